// A program that tells what its queue did, and how long it took.

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "kaio/safe/kaio.h"

enum { ROUNDS = 100, SIZE_BYTES = 4096 };

static bool ok(kaio_status status) {
    return kaio_status_is_ok(status);
}

static bool read_once(kaio_queue *queue, kaio_file *file, kaio_buffer **buffer) {
    const kaio_range range = {0, 0, SIZE_BYTES};
    kaio_completion completion;
    kaio_ticket ticket;
    uint32_t ready_count;
    if (!ok(kaio_read_start(queue, file, range, kaio_rw_none(), 1, buffer, &ticket)) ||
        !ok(kaio_queue_wait(queue, 1, kaio_deadline_never(), &ready_count)) ||
        !ok(kaio_queue_take(queue, &completion))) {
        return false;
    }
    *buffer = completion.buffer;
    return completion.transfer == KAIO_TRANSFER_FULL;
}

// rounds_are_counted subtracts two looks at the counters.
static bool rounds_are_counted(kaio_queue *queue, kaio_file *file, kaio_buffer **buffer) {
    kaio_queue_counters before;
    kaio_queue_counters after;
    if (!ok(kaio_queue_counters_read(queue, &before))) {
        return false;
    }
    for (int round = 0; round < ROUNDS; ++round) {
        if (!read_once(queue, file, buffer)) {
            return false;
        }
    }
    return ok(kaio_queue_counters_read(queue, &after)) &&
           after.read.full_count - before.read.full_count == ROUNDS &&
           after.read.moved_bytes - before.read.moved_bytes == ROUNDS * SIZE_BYTES;
}

static bool tell(kaio_queue *queue) {
    kaio_latency latency;
    kaio_latency sum;
    int64_t median_ns;
    memset(&sum, 0, sizeof sum);
    if (!ok(kaio_queue_latency_read(queue, KAIO_READ, &latency)) ||
        !ok(kaio_latency_merge(&sum, &latency)) ||
        !ok(kaio_latency_quantile(&sum, 500000, &median_ns))) {
        return false;
    }
    printf("%" PRIu64 " reads, half of them within %" PRId64 " ns\n", kaio_latency_total(&sum),
           median_ns);
    return ok(kaio_queue_dump(queue, stdout));
}

int main(void) {
    kaio_queue_options options;
    kaio_queue *queue = KAIO_NULL;
    kaio_file *file = KAIO_NULL;
    kaio_buffer *buffer = KAIO_NULL;
    memset(&options, 0, sizeof options);
    options.depth = 8;
    options.latency = true;
    bool is_good = ok(kaio_queue_open(&options, &queue)) &&
                   ok(kaio_file_open("/dev/zero", O_RDONLY, 0, &file)) &&
                   ok(kaio_buffer_new(SIZE_BYTES, SIZE_BYTES, &buffer)) &&
                   rounds_are_counted(queue, file, &buffer) && tell(queue);
    kaio_buffer_drop(&buffer);
    kaio_file_drop(&file);
    kaio_queue_drop(&queue);
    return is_good ? 0 : 1;
}
