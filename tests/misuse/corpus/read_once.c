// One read, step by step: a queue, a file, a buffer, a request, its outcome.

#include <fcntl.h>
#include <string.h>

#include "kaio/safe/kaio.h"

static bool ok(kaio_status status) {
    return kaio_status_is_ok(status);
}

static bool is_elf(const kaio_completion *completion) {
    const uint8_t *bytes = kaio_buffer_as_bytes(completion->buffer);
    return completion->transfer == KAIO_TRANSFER_FULL && bytes != KAIO_NULL &&
           memcmp(bytes, "\177ELF", 4) == 0;
}

static bool read_header(kaio_queue *queue, kaio_file *file, kaio_buffer **move_buffer) {
    const kaio_range range = {0, 0, 512};
    kaio_read *read = KAIO_NULL;
    uint32_t ready_count = 0;
    kaio_completion completion;
    if (!ok(kaio_read_new(queue, file, range, kaio_rw_none(), move_buffer, &read))) {
        return false;
    }
    kaio_read_push(&read, 1);
    if (!ok(kaio_queue_wait(queue, 1, kaio_deadline_never(), &ready_count)) ||
        !ok(kaio_queue_take(queue, &completion))) {
        return false;
    }
    bool is_good = is_elf(&completion);
    kaio_completion_drop(&completion);
    return is_good;
}

int main(void) {
    kaio_queue_options options;
    kaio_queue *queue = KAIO_NULL;
    kaio_file *file = KAIO_NULL;
    kaio_buffer *buffer = KAIO_NULL;
    memset(&options, 0, sizeof options);
    options.depth = 4;
    bool is_good = ok(kaio_queue_open(&options, &queue)) &&
                   ok(kaio_file_open("/proc/self/exe", O_RDONLY, 0, &file)) &&
                   ok(kaio_buffer_new(512, 512, &buffer)) && read_header(queue, file, &buffer);
    kaio_buffer_drop(&buffer);
    kaio_file_drop(&file);
    kaio_queue_drop(&queue);
    return is_good ? 0 : 1;
}
