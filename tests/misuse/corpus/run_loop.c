// A run loop that keeps the depth, takes its buffers from the results and ends by itself.

#include <fcntl.h>
#include <string.h>

#include "kaio/safe/kaio.h"

enum { DEPTH = 8, READS = 1000, SIZE_BYTES = 4096 };

struct job {
    kaio_queue *queue;
    kaio_file *file;
    int left_count;  // reads to be started
    int full_count;
    bool is_good;
};

static bool ok(kaio_status status) {
    return kaio_status_is_ok(status);
}

static void start(struct job *job, kaio_buffer **move_buffer) {
    const kaio_range range = {0, 0, SIZE_BYTES};
    kaio_ticket ticket;
    job->is_good = job->is_good && ok(kaio_read_start(job->queue, job->file, range, kaio_rw_none(),
                                                      1, move_buffer, &ticket));
    --job->left_count;
}

static void on_read(void *context, uint64_t user, kaio_read_result *result) {
    struct job *job = (struct job *)context;
    (void)user;
    job->full_count += result->outcome == KAIO_TRANSFER_FULL;
    if (job->left_count > 0) {
        start(job, &result->buffer);
    }
}

static kaio_turn on_turn(void *context) {
    const struct job *job = (const struct job *)context;
    return job->is_good ? KAIO_TURN_CONTINUE : KAIO_TURN_STOP;
}

static bool run(struct job *job) {
    kaio_handlers handlers;
    kaio_run_report report;
    memset(&handlers, 0, sizeof handlers);
    handlers.on_read = on_read;
    handlers.on_turn = on_turn;
    for (int i = 0; i < DEPTH; ++i) {
        kaio_buffer *buffer = KAIO_NULL;
        if (!ok(kaio_buffer_new(SIZE_BYTES, SIZE_BYTES, &buffer))) {
            return false;
        }
        start(job, &buffer);
        kaio_buffer_drop(&buffer);  // where it was not given away
    }
    return ok(kaio_queue_run(job->queue, &handlers, job, kaio_deadline_never(), &report)) &&
           report.ended == KAIO_RUN_IDLE && job->full_count == READS;
}

int main(void) {
    kaio_queue_options options;
    struct job job;
    memset(&options, 0, sizeof options);
    memset(&job, 0, sizeof job);
    options.depth = DEPTH;
    job.left_count = READS;
    job.is_good = true;
    bool is_good = ok(kaio_queue_open(&options, &job.queue)) &&
                   ok(kaio_file_open("/dev/zero", O_RDONLY, 0, &job.file)) && run(&job);
    kaio_file_drop(&job.file);
    kaio_queue_drop(&job.queue);
    return is_good ? 0 : 1;
}
