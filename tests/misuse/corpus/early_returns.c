// Scoped owners, and a return wherever something may go wrong.

#include <fcntl.h>
#include <string.h>

#include "kaio/safe/kaio.h"

enum { SIZE_BYTES = 1024 };

static kaio_status open_queue(uint32_t depth, kaio_queue **out_queue) {
    kaio_queue_options options;
    memset(&options, 0, sizeof options);
    options.depth = depth;
    return kaio_queue_open(&options, out_queue);
}

// checksum adds up the first bytes of a file.
static kaio_status checksum(const char *path, uint64_t *out_sum) {
    KAIO_SCOPED(kaio_buffer) buffer = KAIO_NULL;
    KAIO_SCOPED(kaio_queue) queue = KAIO_NULL;
    KAIO_SCOPED(kaio_file) file = KAIO_NULL;
    const kaio_range range = {0, 0, SIZE_BYTES};
    kaio_ticket ticket;
    kaio_completion completion;
    uint32_t ready_count = 0;

    kaio_status status = open_queue(1, &queue);
    if (!kaio_status_is_ok(status)) {
        return status;
    }
    status = kaio_file_open(path, O_RDONLY, 0, &file);
    if (!kaio_status_is_ok(status)) {
        return status;
    }
    status = kaio_buffer_new(SIZE_BYTES, 8, &buffer);
    if (!kaio_status_is_ok(status)) {
        return status;
    }
    status = kaio_read_start(queue, file, range, kaio_rw_none(), 1, &buffer, &ticket);
    if (!kaio_status_is_ok(status)) {
        return status;
    }
    status = kaio_queue_wait(queue, 1, kaio_deadline_never(), &ready_count);
    if (!kaio_status_is_ok(status)) {
        return status;
    }
    status = kaio_queue_take(queue, &completion);
    if (!kaio_status_is_ok(status)) {
        return status;
    }
    buffer = completion.buffer;
    const uint8_t *bytes = kaio_buffer_as_bytes(buffer);
    if (bytes == KAIO_NULL || completion.transfer != KAIO_TRANSFER_FULL) {
        return status;
    }
    *out_sum = 0;
    for (uint64_t i = 0; i < completion.moved_bytes; ++i) {
        *out_sum += bytes[i];
    }
    return status;
}

int main(void) {
    uint64_t sum = 0;
    kaio_status good = checksum("/proc/self/exe", &sum);
    kaio_status bad = checksum("/proc/self/no_such_file", &sum);
    return kaio_status_is_ok(good) && !kaio_status_is_ok(bad) && sum > 0 ? 0 : 1;
}
