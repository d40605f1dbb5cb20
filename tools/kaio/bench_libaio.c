// Debian's libaio, dynamically linked, as its manual pages have it.

#define _GNU_SOURCE  // libaio.h needs sigset_t

#include <errno.h>
#include <libaio.h>
#include <poll.h>
#include <stdlib.h>

#include "bench_window.h"

struct libaio {
    struct bench_window window;
    io_context_t context;
    struct iocb iocbs[BENCH_DEPTH_MAX];
    struct iocb *pointers[BENCH_DEPTH_MAX];
    struct io_event events[BENCH_DEPTH_MAX];
};

static void *open_it(const struct bench_work *work, const struct bench_variant *variant,
                     char out_why[BENCH_WHY_BYTES]) {
    (void)variant;
    struct libaio *peer = calloc(1, sizeof *peer);
    int error = peer == NULL ? -ENOMEM : io_setup((int)work->depth, &peer->context);
    if (error != 0) {
        free(peer);
        return bench_peer_cannot(out_why, "io_setup: %s", strerror(-error));
    }
    bench_window_init(&peer->window, work);
    return peer;
}

static inline void prepare(struct libaio *peer, uint32_t slot, uint64_t offset) {
    const struct bench_work *work = peer->window.work;
    struct iocb *iocb = &peer->iocbs[slot];
    void *bytes = bench_window_bytes(&peer->window, slot);
    int fd = bench_window_open(&peer->window, slot, &offset);
    switch (work->kind) {
        case BENCH_READ:
            io_prep_pread(iocb, fd, bytes, work->size_bytes, (long long)offset);
            break;
        case BENCH_WRITE:
            io_prep_pwrite(iocb, fd, bytes, work->size_bytes, (long long)offset);
            break;
        case BENCH_POLL:
            io_prep_poll(iocb, fd, POLLIN);
            break;
        case BENCH_SYNC:
            io_prep_fdsync(iocb, fd);
            break;
    }
}

// submit sends all of the `count` first pointers.
static bool submit(struct libaio *peer, int count) {
    for (int sent = 0; sent < count;) {
        int answer = io_submit(peer->context, count - sent, peer->pointers + sent);
        if (answer < 0 && answer != -EAGAIN && answer != -EINTR) {
            return message_error("io_submit: %s", strerror(-answer));
        }
        sent += answer > 0 ? answer : 0;
    }
    return true;
}

static bool run_it(void *argument, uint64_t count, kaio_latency *latency) {
    struct libaio *peer = argument;
    struct bench_window *window = &peer->window;
    bench_window_begin(window, count, latency);
    while (!bench_window_is_over(window)) {
        int started = 0;
        uint32_t slot;
        uint64_t offset;
        while (bench_window_next(window, &slot, &offset)) {
            prepare(peer, slot, offset);
            peer->pointers[started++] = &peer->iocbs[slot];
        }
        if (!submit(peer, started)) {
            return false;
        }
        int found = io_getevents(peer->context, 1, BENCH_DEPTH_MAX, peer->events, NULL);
        for (int i = 0; i < found; ++i) {
            const struct iocb *iocb = peer->events[i].obj;
            bench_window_end(window, (uint32_t)(iocb - peer->iocbs), (int64_t)peer->events[i].res,
                             iocb->u.c.buf, (uint64_t)iocb->u.c.offset);
        }
    }
    return !window->has_failed;
}

static void close_it(void *argument) {
    struct libaio *peer = argument;
    (void)io_destroy(peer->context);
    free(peer);
}

const struct bench_peer bench_peer_libaio = {"libaio", open_it, run_it, close_it};
