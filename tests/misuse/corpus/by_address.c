// Functions of the user's own that take an owner by the address of its variable.

#include <fcntl.h>
#include <string.h>

#include "kaio/safe/kaio.h"

typedef struct job {
    kaio_read *read;
    uint64_t number;
} job;

static bool ok(kaio_status status) {
    return kaio_status_is_ok(status);
}

static kaio_ticket send(kaio_read **move_read, uint64_t number) {
    return kaio_read_push(move_read, number);
}

static void send_or_drop(job *given, bool is_wanted) {
    if (is_wanted) {
        send(&given->read, given->number);
    }
    kaio_read_drop(&given->read);
}

static bool make(kaio_queue *queue, kaio_file *file, kaio_buffer **move_buffer, job *out_job) {
    const kaio_range range = {0, 0, 16};
    return ok(kaio_read_new(queue, file, range, kaio_rw_none(), move_buffer, &out_job->read));
}

// hand_over moves a read from one variable to another.
static void hand_over(kaio_read **move_from, kaio_read **out_to) {
    *out_to = *move_from;
    *move_from = KAIO_NULL;
}

static bool run(kaio_queue *queue, kaio_file *file, kaio_buffer **move_buffer) {
    job first = {KAIO_NULL, 1};
    job second = {KAIO_NULL, 2};
    uint32_t ready_count = 0;
    kaio_completion completion;
    if (!make(queue, file, move_buffer, &first)) {
        return false;
    }
    hand_over(&first.read, &second.read);
    send_or_drop(&first, first.read != KAIO_NULL);
    send_or_drop(&second, true);
    if (!ok(kaio_queue_wait(queue, 1, kaio_deadline_never(), &ready_count)) ||
        !ok(kaio_queue_take(queue, &completion))) {
        return false;
    }
    bool is_good = completion.user == 2 && completion.transfer == KAIO_TRANSFER_FULL;
    kaio_completion_drop(&completion);
    return is_good;
}

int main(void) {
    KAIO_SCOPED(kaio_queue) queue = KAIO_NULL;
    KAIO_SCOPED(kaio_file) file = KAIO_NULL;
    KAIO_SCOPED(kaio_buffer) buffer = KAIO_NULL;
    kaio_queue_options options;
    memset(&options, 0, sizeof options);
    options.depth = 2;
    bool is_good = ok(kaio_queue_open(&options, &queue)) &&
                   ok(kaio_file_open("/dev/zero", O_RDONLY, 0, &file)) &&
                   ok(kaio_buffer_new(16, 16, &buffer)) && run(queue, file, &buffer);
    return is_good ? 0 : 1;
}
