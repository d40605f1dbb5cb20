// Each request is either pushed or abandoned, and its buffer comes back both ways.

#include <fcntl.h>
#include <string.h>

#include "kaio/safe/kaio.h"

static bool ok(kaio_status status) {
    return kaio_status_is_ok(status);
}

static bool finish(kaio_queue *queue, kaio_buffer **out_buffer) {
    uint32_t ready_count = 0;
    kaio_completion completion;
    if (!ok(kaio_queue_wait(queue, 1, kaio_deadline_never(), &ready_count)) ||
        !ok(kaio_queue_take(queue, &completion))) {
        return false;
    }
    *out_buffer = completion.buffer;
    return completion.transfer == KAIO_TRANSFER_FULL;
}

static bool push_or_abandon(kaio_queue *queue, kaio_file *file, bool is_wanted,
                            kaio_buffer **inout_buffer) {
    const kaio_range range = {0, 0, 64};
    kaio_write *write = KAIO_NULL;
    if (!ok(kaio_write_new(queue, file, range, kaio_rw_none(), inout_buffer, &write))) {
        return false;
    }
    if (is_wanted) {
        kaio_write_push(&write, 1);
    } else if (!ok(kaio_write_abandon(&write, inout_buffer))) {
        return false;
    }
    return write == KAIO_NULL && (!is_wanted || finish(queue, inout_buffer));
}

int main(void) {
    kaio_queue_options options;
    kaio_queue *queue = KAIO_NULL;
    kaio_file *file = KAIO_NULL;
    kaio_buffer *buffer = KAIO_NULL;
    memset(&options, 0, sizeof options);
    options.depth = 1;
    bool is_good = ok(kaio_queue_open(&options, &queue)) &&
                   ok(kaio_file_open("/dev/null", O_WRONLY, 0, &file)) &&
                   ok(kaio_buffer_new(64, 64, &buffer));
    for (int i = 0; is_good && i < 10; ++i) {
        is_good = push_or_abandon(queue, file, i % 3 != 0, &buffer);
    }
    kaio_buffer_drop(&buffer);
    kaio_file_drop(&file);
    kaio_queue_drop(&queue);
    return is_good ? 0 : 1;
}
