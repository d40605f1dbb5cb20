// One loop makes requests, a second one pushes them, a third one takes their outcomes.

#include <fcntl.h>
#include <string.h>

#include "kaio/safe/kaio.h"

enum { COUNT = 5 };

static bool ok(kaio_status status) {
    return kaio_status_is_ok(status);
}

static bool make_all(kaio_queue *queue, kaio_file *file, kaio_write *out_writes[COUNT]) {
    const kaio_range range = {0, 0, 32};
    bool is_good = true;
    for (int i = 0; is_good && i < COUNT; ++i) {
        kaio_buffer *buffer = KAIO_NULL;
        is_good = ok(kaio_buffer_new(32, 32, &buffer)) &&
                  ok(kaio_write_new(queue, file, range, kaio_rw_none(), &buffer, &out_writes[i]));
        kaio_buffer_drop(&buffer);
    }
    return is_good;
}

static bool take_all(kaio_queue *queue) {
    uint32_t ready_count = 0;
    uint64_t seen = 0;
    kaio_completion completion;
    if (!ok(kaio_queue_wait(queue, COUNT, kaio_deadline_never(), &ready_count))) {
        return false;
    }
    while (ok(kaio_queue_take(queue, &completion))) {
        seen |= completion.transfer == KAIO_TRANSFER_FULL ? UINT64_C(1) << completion.user : 0;
        kaio_completion_drop(&completion);
    }
    return seen == (UINT64_C(1) << COUNT) - 1;
}

int main(void) {
    kaio_queue_options options;
    kaio_queue *queue = KAIO_NULL;
    kaio_file *file = KAIO_NULL;
    kaio_write *writes[COUNT] = {KAIO_NULL};
    memset(&options, 0, sizeof options);
    options.depth = COUNT;
    bool is_good = ok(kaio_queue_open(&options, &queue)) &&
                   ok(kaio_file_open("/dev/null", O_WRONLY, 0, &file)) &&
                   make_all(queue, file, writes);
    if (is_good) {
        for (uint64_t i = 0; i < COUNT; ++i) {
            kaio_write_push(&writes[i], i);
        }
        is_good = take_all(queue);
    }
    for (int i = 0; i < COUNT; ++i) {
        kaio_write_drop(&writes[i]);
    }
    kaio_file_drop(&file);
    kaio_queue_drop(&queue);
    return is_good ? 0 : 1;
}
