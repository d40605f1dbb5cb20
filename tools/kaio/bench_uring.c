// liburing: plain, and with all that makes it faster for one thread on files that it knows.

#define _GNU_SOURCE  // liburing.h needs it

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>

#include "bench_window.h"

struct uring {
    struct bench_window window;
    struct io_uring ring;
    bool is_tuned;
    uint64_t offsets[BENCH_DEPTH_MAX];
};

// tune registers the file, the memory and the ring itself. Otherwise the negative errno.
static int tune(struct uring *peer) {
    const struct bench_work *work = peer->window.work;
    struct iovec iovecs[BENCH_DEPTH_MAX];
    for (uint32_t i = 0; i < work->depth; ++i) {
        iovecs[i] = (struct iovec){bench_window_bytes(&peer->window, i), work->stride_bytes};
    }
    int error = io_uring_register_files(&peer->ring, &work->fd, 1);
    if (error == 0) {
        error = io_uring_register_buffers(&peer->ring, iovecs, work->depth);
    }
    if (error == 0) {
        error = io_uring_register_ring_fd(&peer->ring) == 1 ? 0 : -EINVAL;
    }
    return error;
}

static void *open_any(const struct bench_work *work, bool is_tuned, char out_why[BENCH_WHY_BYTES]) {
    struct uring *peer = calloc(1, sizeof *peer);
    if (peer == NULL) {
        return bench_peer_cannot(out_why, "no memory");
    }
    bench_window_init(&peer->window, work);
    peer->is_tuned = is_tuned;
    unsigned flags = is_tuned ? IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN : 0;
    int error = io_uring_queue_init(work->depth, &peer->ring, flags);
    if (error != 0) {
        free(peer);
        return bench_peer_cannot(out_why, "io_uring_setup: %s", strerror(-error));
    }
    error = is_tuned ? tune(peer) : 0;
    if (error != 0) {
        io_uring_queue_exit(&peer->ring);
        free(peer);
        return bench_peer_cannot(out_why, "io_uring_register: %s", strerror(-error));
    }
    return peer;
}

static void *open_plain(const struct bench_work *work, const struct bench_variant *variant,
                        char out_why[BENCH_WHY_BYTES]) {
    (void)variant;
    return open_any(work, false, out_why);
}

static void *open_tuned(const struct bench_work *work, const struct bench_variant *variant,
                        char out_why[BENCH_WHY_BYTES]) {
    (void)variant;
    if (work->file_sizes != NULL) {
        return bench_peer_cannot(out_why, "files that come and go cannot be registered");
    }
    return open_any(work, true, out_why);
}

static inline void prepare(struct uring *peer, struct io_uring_sqe *sqe, uint32_t slot,
                           uint64_t offset) {
    const struct bench_work *work = peer->window.work;
    void *bytes = bench_window_bytes(&peer->window, slot);
    int fd = peer->is_tuned ? 0 : bench_window_open(&peer->window, slot, &offset);
    switch (work->kind) {
        case BENCH_READ:
            if (peer->is_tuned) {
                io_uring_prep_read_fixed(sqe, fd, bytes, work->size_bytes, offset, (int)slot);
            } else {
                io_uring_prep_read(sqe, fd, bytes, work->size_bytes, offset);
            }
            break;
        case BENCH_WRITE:
            if (peer->is_tuned) {
                io_uring_prep_write_fixed(sqe, fd, bytes, work->size_bytes, offset, (int)slot);
            } else {
                io_uring_prep_write(sqe, fd, bytes, work->size_bytes, offset);
            }
            break;
        case BENCH_POLL:
            io_uring_prep_poll_add(sqe, fd, POLLIN);
            break;
        case BENCH_SYNC:
            io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
            break;
    }
    if (peer->is_tuned) {
        sqe->flags |= IOSQE_FIXED_FILE;
    }
    peer->offsets[slot] = offset;
    io_uring_sqe_set_data64(sqe, slot);
}

static bool run_it(void *argument, uint64_t count, kaio_latency *latency) {
    struct uring *peer = argument;
    struct bench_window *window = &peer->window;
    bench_window_begin(window, count, latency);
    while (!bench_window_is_over(window)) {
        uint32_t slot;
        uint64_t offset;
        while (bench_window_next(window, &slot, &offset)) {
            struct io_uring_sqe *sqe = io_uring_get_sqe(&peer->ring);
            if (sqe == NULL) {  // which cannot be: there are `depth`
                return message_error("io_uring_get_sqe: the ring is full");
            }
            prepare(peer, sqe, slot, offset);
        }
        int answer = io_uring_submit_and_wait(&peer->ring, 1);
        if (answer < 0 && answer != -EAGAIN && answer != -EINTR) {
            return message_error("io_uring_enter: %s", strerror(-answer));
        }
        struct io_uring_cqe *cqe;
        unsigned head;
        unsigned found = 0;
        io_uring_for_each_cqe(&peer->ring, head, cqe) {
            uint32_t ended = (uint32_t)io_uring_cqe_get_data64(cqe);
            bench_window_end(window, ended, cqe->res, bench_window_bytes(window, ended),
                             peer->offsets[ended]);
            ++found;
        }
        io_uring_cq_advance(&peer->ring, found);
    }
    return !window->has_failed;
}

static void close_it(void *argument) {
    struct uring *peer = argument;
    io_uring_queue_exit(&peer->ring);
    free(peer);
}

const struct bench_peer bench_peer_uring = {"liburing", open_plain, run_it, close_it};
const struct bench_peer bench_peer_uring_tuned = {"liburing tuned", open_tuned, run_it, close_it};
