// Blocks go from one file to another: a read that has ended becomes the write of the same buffer, a
// short one is gone on with. Several queues and files in arrays.

#include <fcntl.h>
#include <string.h>

#include "kaio/safe/kaio.h"

enum { QUEUES = 2, WINDOW = 4, BLOCKS = 32, SIZE_BYTES = 512 };

typedef struct copy {
    kaio_file *source;
    kaio_file *target;
    uint64_t next_block;
    uint64_t written_count;
} copy;

static bool ok(kaio_status status) {
    return kaio_status_is_ok(status);
}

// read_next gives the buffer to the next read, or keeps it when all are read.
static bool read_next(kaio_queue *queue, copy *state, kaio_buffer **move_buffer) {
    kaio_ticket ticket;
    if (state->next_block == BLOCKS) {
        kaio_buffer_drop(move_buffer);
        return true;
    }
    const kaio_range range = {state->next_block * SIZE_BYTES, 0, SIZE_BYTES};
    if (!ok(kaio_read_start(queue, state->source, range, kaio_rw_none(), state->next_block,
                            move_buffer, &ticket))) {
        return false;
    }
    ++state->next_block;
    return true;
}

static bool handle_read(kaio_queue *queue, copy *state, kaio_completion *completion) {
    kaio_ticket ticket;
    switch (completion->transfer) {
        case KAIO_TRANSFER_FULL:
            return ok(kaio_write_start(queue, state->target, completion->range, kaio_rw_none(),
                                       completion->user, &completion->buffer, &ticket));
        case KAIO_TRANSFER_SHORT:
            return ok(
                kaio_read_rest_start(queue, state->source, kaio_rw_none(), completion, &ticket));
        case KAIO_TRANSFER_END:
        case KAIO_TRANSFER_PENDING:
        case KAIO_TRANSFER_WOULD_BLOCK:
        case KAIO_TRANSFER_CANCELLED:
        case KAIO_TRANSFER_REFUSED:
        case KAIO_TRANSFER_FAILED:
            return false;
    }
    return false;
}

static bool handle(kaio_queue *queue, copy *state, kaio_completion *completion) {
    if (completion->operation == KAIO_READ) {
        return handle_read(queue, state, completion);
    }
    ++state->written_count;
    return completion->transfer == KAIO_TRANSFER_FULL &&
           read_next(queue, state, &completion->buffer);
}

static bool fill_window(kaio_queue *queue, copy *state) {
    for (int i = 0; i < WINDOW; ++i) {
        kaio_buffer *buffer = KAIO_NULL;
        if (!ok(kaio_buffer_new(SIZE_BYTES, 512, &buffer))) {
            return false;
        }
        if (!read_next(queue, state, &buffer)) {
            kaio_buffer_drop(&buffer);
            return false;
        }
    }
    return true;
}

static bool copy_all(kaio_queue *queue, copy *state) {
    if (!fill_window(queue, state)) {
        return false;
    }
    while (state->written_count < BLOCKS) {
        uint32_t ready_count = 0;
        if (!ok(kaio_queue_wait(queue, 1, kaio_deadline_never(), &ready_count))) {
            return false;
        }
        for (; ready_count > 0; --ready_count) {
            kaio_completion completion;
            if (!ok(kaio_queue_take(queue, &completion))) {
                return false;
            }
            bool is_good = handle(queue, state, &completion);
            kaio_completion_drop(&completion);
            if (!is_good) {
                return false;
            }
        }
    }
    return true;
}

int main(void) {
    kaio_queue *queues[QUEUES] = {KAIO_NULL};
    copy copies[QUEUES];
    kaio_queue_options options;
    bool is_good = true;
    memset(copies, 0, sizeof copies);
    memset(&options, 0, sizeof options);
    options.depth = WINDOW;
    for (int i = 0; is_good && i < QUEUES; ++i) {
        is_good = ok(kaio_queue_open(&options, &queues[i])) &&
                  ok(kaio_file_open("/dev/zero", O_RDONLY, 0, &copies[i].source)) &&
                  ok(kaio_file_open("/dev/null", O_WRONLY, 0, &copies[i].target)) &&
                  copy_all(queues[i], &copies[i]);
    }
    for (int i = 0; i < QUEUES; ++i) {
        kaio_file_drop(&copies[i].source);
        kaio_file_drop(&copies[i].target);
        is_good = is_good && ok(kaio_queue_close(&queues[i]));
        kaio_queue_drop(&queues[i]);
    }
    return is_good ? 0 : 1;
}
