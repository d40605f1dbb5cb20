// Jobs of the caller's own, allocated one by one and kept in a list; a completion finds its job by
// its word. Some are given up before they are sent.

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "kaio/safe/kaio.h"

enum { COUNT = 6, SIZE_BYTES = 128 };

typedef struct job {
    struct job *next;
    uint64_t number;
    kaio_write *write;
    kaio_buffer *buffer;  // before the write is made, and when it came back
    bool is_done;
} job;

static bool ok(kaio_status status) {
    return kaio_status_is_ok(status);
}

static job *new_job(uint64_t number, job *next) {
    job *made = (job *)calloc(1, sizeof *made);
    if (made == NULL) {
        return NULL;
    }
    made->number = number;
    made->next = next;
    if (!ok(kaio_buffer_new(SIZE_BYTES, 16, &made->buffer))) {
        free(made);
        return NULL;
    }
    return made;
}

static void end_job(job *given) {
    kaio_write_drop(&given->write);
    kaio_buffer_drop(&given->buffer);
    free(given);
}

static void end_all(job *jobs) {
    while (jobs != NULL) {
        job *next = jobs->next;
        end_job(jobs);
        jobs = next;
    }
}

static job *find(job *jobs, uint64_t number) {
    while (jobs != NULL && jobs->number != number) {
        jobs = jobs->next;
    }
    return jobs;
}

static bool prepare_all(kaio_queue *queue, kaio_file *file, job *jobs) {
    for (job *each = jobs; each != NULL; each = each->next) {
        const kaio_range range = {each->number * SIZE_BYTES, 0, SIZE_BYTES};
        if (!ok(kaio_write_new(queue, file, range, kaio_rw_none(), &each->buffer, &each->write))) {
            return false;
        }
    }
    return true;
}

// Every third one is thought over.
static uint32_t send(job *jobs) {
    uint32_t sent_count = 0;
    for (job *each = jobs; each != NULL; each = each->next) {
        if (each->number % 3 == 0) {
            kaio_ignore(kaio_write_abandon(&each->write, &each->buffer));
            continue;
        }
        kaio_write_push(&each->write, each->number);
        ++sent_count;
    }
    return sent_count;
}

static bool take_all(kaio_queue *queue, job *jobs, uint32_t count) {
    uint32_t ready_count = 0;
    kaio_completion completion;
    if (!ok(kaio_queue_wait(queue, count, kaio_deadline_never(), &ready_count))) {
        return false;
    }
    while (ok(kaio_queue_take(queue, &completion))) {
        job *found = find(jobs, completion.user);
        if (found == NULL) {
            kaio_completion_drop(&completion);
            return false;
        }
        found->buffer = completion.buffer;
        found->is_done = completion.transfer == KAIO_TRANSFER_FULL;
    }
    return true;
}

static bool run(kaio_queue *queue, kaio_file *file) {
    job *jobs = NULL;
    bool is_good = true;
    for (uint64_t i = 0; is_good && i < COUNT; ++i) {
        job *made = new_job(i, jobs);
        is_good = made != NULL;
        jobs = made != NULL ? made : jobs;
    }
    is_good = is_good && prepare_all(queue, file, jobs);
    is_good = is_good && take_all(queue, jobs, send(jobs));
    for (const job *each = jobs; each != NULL; each = each->next) {
        is_good = is_good && each->is_done == (each->number % 3 != 0) && each->buffer != KAIO_NULL;
    }
    end_all(jobs);
    return is_good;
}

int main(void) {
    kaio_queue_options options;
    kaio_queue *queue = KAIO_NULL;
    kaio_file *file = KAIO_NULL;
    memset(&options, 0, sizeof options);
    options.depth = COUNT;
    bool is_good = ok(kaio_queue_open(&options, &queue)) &&
                   ok(kaio_file_open("/dev/null", O_WRONLY, 0, &file)) && run(queue, file);
    kaio_file_drop(&file);
    kaio_queue_drop(&queue);
    return is_good ? 0 : 1;
}
