// As many reads as the queue is deep, kept in an array, pushed anew as they are taken.

#include <fcntl.h>
#include <string.h>

#include "kaio/safe/kaio.h"

enum { DEPTH = 8, ROUNDS = 100, SIZE_BYTES = 4096 };

static bool ok(kaio_status status) {
    return kaio_status_is_ok(status);
}

static bool make_reads(kaio_queue *queue, kaio_file *file, kaio_read *out_reads[DEPTH]) {
    const kaio_range range = {0, 0, SIZE_BYTES};
    for (int i = 0; i < DEPTH; ++i) {
        kaio_buffer *buffer = KAIO_NULL;
        if (!ok(kaio_buffer_new(SIZE_BYTES, SIZE_BYTES, &buffer))) {
            return false;
        }
        if (!ok(kaio_read_new(queue, file, range, kaio_rw_none(), &buffer, &out_reads[i]))) {
            kaio_buffer_drop(&buffer);
            return false;
        }
    }
    return true;
}

// again makes the next read of a buffer that came back, in the place of the one that it came with.
static bool again(kaio_queue *queue, kaio_file *file, kaio_completion *completion,
                  kaio_read **out_read) {
    return completion->transfer == KAIO_TRANSFER_FULL &&
           ok(kaio_read_new(queue, file, completion->range, kaio_rw_none(), &completion->buffer,
                            out_read));
}

static bool turn(kaio_queue *queue, kaio_file *file, kaio_read *reads[DEPTH]) {
    uint32_t ready_count = 0;
    kaio_completion completion;
    for (uint64_t i = 0; i < DEPTH; ++i) {
        kaio_read_push(&reads[i], i);
    }
    if (!ok(kaio_queue_wait(queue, DEPTH, kaio_deadline_never(), &ready_count))) {
        return false;
    }
    for (int i = 0; i < DEPTH; ++i) {
        if (!ok(kaio_queue_take(queue, &completion))) {
            return false;
        }
        if (!again(queue, file, &completion, &reads[completion.user])) {
            kaio_completion_drop(&completion);
            return false;
        }
    }
    return true;
}

int main(void) {
    kaio_queue_options options;
    kaio_queue *queue = KAIO_NULL;
    kaio_file *file = KAIO_NULL;
    kaio_read *reads[DEPTH] = {KAIO_NULL};
    memset(&options, 0, sizeof options);
    options.depth = DEPTH;
    bool is_good = ok(kaio_queue_open(&options, &queue)) &&
                   ok(kaio_file_open("/dev/zero", O_RDONLY, 0, &file)) &&
                   make_reads(queue, file, reads);
    for (int round = 0; is_good && round < ROUNDS; ++round) {
        is_good = turn(queue, file, reads);
    }
    for (int i = 0; i < DEPTH; ++i) {
        kaio_read_drop(&reads[i]);
    }
    kaio_file_drop(&file);
    kaio_queue_drop(&queue);
    return is_good ? 0 : 1;
}
