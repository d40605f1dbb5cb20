// What it costs to end queues: one, eight one after the other, and eight side by side. An operation
// opens them, which takes some microseconds each, and ends them.

#include <stdlib.h>

#include "bench_peer.h"
#include "kaio/safe/kaio.h"
#include "message.h"

enum { QUEUE_COUNT = 8 };

static void *open_any(const struct bench_work *work, const struct bench_variant *variant,
                      char out_why[BENCH_WHY_BYTES]) {
    (void)variant;
    (void)out_why;
    return (void *)(uintptr_t)work;
}

static bool end_each(kaio_queue **queues, uint32_t count, kaio_status *out_status) {
    for (uint32_t i = 0; i < count; ++i) {
        *out_status = kaio_queue_close(&queues[i]);
        if (!kaio_status_is_ok(*out_status)) {
            return false;
        }
    }
    return true;
}

static bool run_any(uint64_t count, uint32_t queue_count, bool is_together, kaio_latency *latency) {
    const kaio_queue_options options = {.depth = 8};
    (void)latency;
    for (uint64_t i = 0; i < count; ++i) {
        kaio_queue *queues[QUEUE_COUNT] = {NULL};
        kaio_status status = {.code = KAIO_OK};
        for (uint32_t k = 0; k < queue_count && kaio_status_is_ok(status); ++k) {
            status = kaio_queue_open(&options, &queues[k]);
        }
        kaio_destroy_report report;
        if (kaio_status_is_ok(status) && is_together) {
            status = kaio_queue_destroy_all(queues, queue_count, NULL, NULL, &report);
        } else if (kaio_status_is_ok(status)) {
            (void)end_each(queues, queue_count, &status);
        }
        if (!kaio_status_is_ok(status)) {
            return message_status("kaio", "a queue", status);
        }
    }
    return true;
}

static bool run_one(void *peer, uint64_t count, kaio_latency *latency) {
    (void)peer;
    return run_any(count, 1, false, latency);
}

static bool run_each(void *peer, uint64_t count, kaio_latency *latency) {
    (void)peer;
    return run_any(count, QUEUE_COUNT, false, latency);
}

static bool run_all(void *peer, uint64_t count, kaio_latency *latency) {
    (void)peer;
    return run_any(count, QUEUE_COUNT, true, latency);
}

static void close_any(void *peer) {
    (void)peer;
}

const struct bench_peer bench_peer_close_one = {"close one", open_any, run_one, close_any};
const struct bench_peer bench_peer_close_each = {"close 8", open_any, run_each, close_any};
const struct bench_peer bench_peer_close_all = {"destroy_all 8", open_any, run_all, close_any};
