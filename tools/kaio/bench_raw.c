// //raw: the system calls inline, and events from the ring without one.

#define _POSIX_C_SOURCE 200809L  // clock_gettime

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "bench_window.h"
#include "kaio/raw/kaio_raw.h"

struct raw {
    struct bench_window window;
    kaio_raw_context context;
    struct kaio_raw_ring_consumer consumer;
    struct kaio_raw_iocb iocbs[BENCH_DEPTH_MAX];
    struct kaio_raw_iocb *pointers[BENCH_DEPTH_MAX];
};

static void *open_it(const struct bench_work *work, const struct bench_variant *variant,
                     char out_why[BENCH_WHY_BYTES]) {
    (void)variant;
    struct raw *peer = calloc(1, sizeof *peer);
    long error = peer == NULL ? -ENOMEM : kaio_raw_setup(work->depth, &peer->context);
    if (error != 0) {
        free(peer);
        return bench_peer_cannot(out_why, "io_setup: %s", strerror((int)-error));
    }
    if (kaio_raw_ring_validate(peer->context, &peer->consumer) != 0) {
        (void)kaio_raw_destroy(peer->context);
        free(peer);
        return bench_peer_cannot(out_why, "the ring cannot be read");
    }
    bench_window_init(&peer->window, work);
    return peer;
}

static inline void prepare(struct raw *peer, uint32_t slot, uint64_t offset) {
    const struct bench_work *work = peer->window.work;
    void *bytes = bench_window_bytes(&peer->window, slot);
    struct kaio_raw_iocb *iocb = &peer->iocbs[slot];
    int fd = bench_window_open(&peer->window, slot, &offset);
    switch (work->kind) {
        case BENCH_READ:
            *iocb = kaio_raw_prep_pread(fd, bytes, work->size_bytes, (int64_t)offset);
            break;
        case BENCH_WRITE:
            *iocb = kaio_raw_prep_pwrite(fd, bytes, work->size_bytes, (int64_t)offset);
            break;
        case BENCH_POLL:
            *iocb = kaio_raw_prep_poll(fd, POLLIN);
            break;
        case BENCH_SYNC:
            *iocb = kaio_raw_prep_fdsync(fd);
            break;
    }
    kaio_raw_set_data(iocb, slot);
}

static inline bool submit(struct raw *peer, long count) {
    for (long sent = 0; sent < count;) {
        long answer = kaio_raw_submit(peer->context, count - sent, peer->pointers + sent);
        if (answer < 0 && answer != -EAGAIN && answer != -EINTR) {
            return message_error("io_submit: %s", strerror((int)-answer));
        }
        sent += answer > 0 ? answer : 0;
    }
    return true;
}

static inline void end(struct raw *peer, const struct kaio_raw_event *event) {
    // The kernel wrote it, which the analyser cannot see.
    // NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult)
    const struct kaio_raw_iocb *iocb = &peer->iocbs[event->data % BENCH_DEPTH_MAX];
    bench_window_end(&peer->window, (uint32_t)event->data, event->res,
                     (const uint8_t *)(uintptr_t)iocb->aio_buf, (uint64_t)iocb->aio_offset);
}

// reap ends what has an event, of which there is at least one when it returns.
static inline bool reap(struct raw *peer) {
    const struct kaio_raw_event *events;
    uint32_t count = kaio_raw_ring_peek(&peer->consumer, &events);
    if (count == 0) {
        struct kaio_raw_event found[BENCH_DEPTH_MAX];
        long answer = kaio_raw_getevents(peer->context, 1, BENCH_DEPTH_MAX, found, NULL);
        for (long i = 0; i < answer; ++i) {
            end(peer, &found[i]);
        }
        return answer > 0 || answer == -EINTR;
    }
    if (count == KAIO_RAW_RING_CORRUPT) {
        return message_error("the ring is damaged");
    }
    for (uint32_t i = 0; i < count; ++i) {
        end(peer, &events[i]);
    }
    kaio_raw_ring_consume(&peer->consumer, count);
    return true;
}

static bool run_it(void *argument, uint64_t count, kaio_latency *latency) {
    struct raw *peer = argument;
    struct bench_window *window = &peer->window;
    bench_window_begin(window, count, latency);
    while (!bench_window_is_over(window)) {
        long started = 0;
        uint32_t slot;
        uint64_t offset;
        while (bench_window_next(window, &slot, &offset)) {
            prepare(peer, slot, offset);
            peer->pointers[started++] = &peer->iocbs[slot];
        }
        if (!submit(peer, started) || !reap(peer)) {
            return false;
        }
    }
    return !window->has_failed;
}

static void close_it(void *argument) {
    struct raw *peer = argument;
    (void)kaio_raw_destroy(peer->context);
    free(peer);
}

const struct bench_peer bench_peer_raw = {"raw", open_it, run_it, close_it};
