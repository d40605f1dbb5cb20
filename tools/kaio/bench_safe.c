// //safe, in both of its ways: start and take, and the run loop.

#define _POSIX_C_SOURCE 200809L  // clock_gettime

#include <stdlib.h>
#include <unistd.h>

#include "bench_window.h"
#include "kaio/safe/kaio.h"

struct safe {
    struct bench_window window;
    kaio_queue *queue;
    kaio_file *file;                    // or, of many files,
    kaio_file *files[BENCH_DEPTH_MAX];  // the one of each slot
    kaio_pool *pool;
    kaio_buffer *buffers[BENCH_DEPTH_MAX];
    const uint8_t *bytes[BENCH_DEPTH_MAX];
};

static void close_it(void *argument) {
    struct safe *peer = argument;
    kaio_queue_drop(&peer->queue);
    kaio_file_drop(&peer->file);
    for (uint32_t i = 0; i < BENCH_DEPTH_MAX; ++i) {
        kaio_file_drop(&peer->files[i]);
        kaio_buffer_drop(&peer->buffers[i]);
    }
    kaio_pool_drop(&peer->pool);
    free(peer);
}

static void leave(void *context, void *bytes, size_t size_bytes) {
    (void)context;
    (void)bytes;
    (void)size_bytes;
}

static kaio_status open_buffer(struct safe *peer, uint32_t slot) {
    kaio_status status =
        peer->pool != NULL
            ? kaio_pool_take(peer->pool, &peer->buffers[slot])
            : kaio_buffer_adopt(bench_window_bytes(&peer->window, slot),
                                peer->window.work->stride_bytes, leave, NULL, &peer->buffers[slot]);
    peer->bytes[slot] = kaio_buffer_as_bytes(peer->buffers[slot]);
    return status;
}

static kaio_status open_all(struct safe *peer, const struct bench_variant *variant) {
    const struct bench_work *work = peer->window.work;
    const kaio_queue_options options = {
        .depth = work->depth, .spin_ns = variant->spin_ns, .chunk_count = variant->chunk_count};
    const kaio_pool_options pool = {
        .buffer_bytes = work->stride_bytes, .buffer_count = work->depth, .huge_pages = true};
    kaio_status status = kaio_queue_open(&options, &peer->queue);
    if (kaio_status_is_ok(status) && work->file_sizes == NULL) {
        status = kaio_file_borrow(work->fd, &peer->file);
    }
    if (kaio_status_is_ok(status) && variant->is_huge) {
        status = kaio_pool_open(&pool, &peer->pool);
    }
    for (uint32_t i = 0; i < work->depth && kaio_status_is_ok(status); ++i) {
        status = open_buffer(peer, i);
    }
    return status;
}

static void *open_it(const struct bench_work *work, const struct bench_variant *variant,
                     char out_why[BENCH_WHY_BYTES]) {
    struct safe *peer = calloc(1, sizeof *peer);
    if (peer == NULL) {
        return bench_peer_cannot(out_why, "no memory");
    }
    bench_window_init(&peer->window, work);
    kaio_status status = open_all(peer, variant);
    if (!kaio_status_is_ok(status)) {
        close_it(peer);
        char text[BENCH_WHY_BYTES];
        (void)kaio_status_message(status, text, sizeof text);
        return bench_peer_cannot(out_why, "%s", text);
    }
    return peer;
}

static bool fail(kaio_status status) {
    return message_status("kaio", "the queue", status);
}

// start_file opens one of many files, which is its slot's then, and starts to read it.
static kaio_status start_file(struct safe *peer, uint32_t slot, uint64_t number) {
    uint64_t offset = number;
    const kaio_range range = {.size_bytes = peer->window.work->size_bytes};
    kaio_ticket ticket;
    kaio_status status =
        kaio_file_adopt(bench_window_open(&peer->window, slot, &offset), &peer->files[slot]);
    if (!kaio_status_is_ok(status)) {
        return status;
    }
    peer->window.fds[slot] = -1;
    return kaio_read_start(peer->queue, peer->files[slot], range, kaio_rw_none(), slot,
                           &peer->buffers[slot], &ticket);
}

// start starts the operation of `slot`.
static inline kaio_status start(struct safe *peer, uint32_t slot, uint64_t offset) {
    const struct bench_work *work = peer->window.work;
    const kaio_range range = {.file_offset_bytes = offset, .size_bytes = work->size_bytes};
    kaio_ticket ticket;
    if (work->file_sizes != NULL) {
        return start_file(peer, slot, offset);
    }
    switch (work->kind) {
        case BENCH_READ:
            return kaio_read_start(peer->queue, peer->file, range, kaio_rw_none(), slot,
                                   &peer->buffers[slot], &ticket);
        case BENCH_WRITE:
            return kaio_write_start(peer->queue, peer->file, range, kaio_rw_none(), slot,
                                    &peer->buffers[slot], &ticket);
        case BENCH_POLL:
            return kaio_poll_start(peer->queue, peer->file, kaio_poll_readable(), slot, &ticket);
        case BENCH_SYNC:
            break;
    }
    return kaio_sync_start(peer->queue, peer->file, KAIO_SYNC_DATA, slot, &ticket);
}

// start_all starts what can be. False: said why.
static inline bool start_all(struct safe *peer) {
    uint32_t slot;
    uint64_t offset;
    while (bench_window_next(&peer->window, &slot, &offset)) {
        kaio_status status = start(peer, slot, offset);
        if (__builtin_expect(!kaio_status_is_ok(status), 0)) {
            bench_window_fail(&peer->window);
            return fail(status);
        }
    }
    return true;
}

static inline bool is_moved(kaio_transfer_outcome outcome) {
    return outcome == KAIO_TRANSFER_FULL || outcome == KAIO_TRANSFER_END ||
           outcome == KAIO_TRANSFER_SHORT;
}

static inline void end_transfer(struct safe *peer, uint64_t user, kaio_transfer_outcome outcome,
                                uint64_t moved_bytes, uint64_t offset) {
    uint32_t slot = (uint32_t)user;
    if (peer->window.work->file_sizes != NULL) {
        kaio_file_drop(&peer->files[slot]);
    }
    bench_window_end(&peer->window, slot, is_moved(outcome) ? (int64_t)moved_bytes : -1,
                     peer->bytes[slot], offset);
}

// ---- start and take ----

static inline void end_completion(struct safe *peer, kaio_completion *completion) {
    uint32_t slot = (uint32_t)completion->user;
    switch (completion->operation) {
        case KAIO_POLL:
            bench_window_end(&peer->window, slot, completion->poll == KAIO_POLL_READY, NULL, 0);
            return;
        case KAIO_SYNC:
            bench_window_end(&peer->window, slot, completion->sync == KAIO_SYNC_SYNCED ? 0 : -1,
                             NULL, 0);
            return;
        case KAIO_READ:
        case KAIO_WRITE:
        case KAIO_READV:
        case KAIO_WRITEV:
        case KAIO_NO_OPERATION:
            break;
    }
    peer->buffers[slot] = completion->buffer;
    end_transfer(peer, slot, completion->transfer, completion->moved_bytes,
                 completion->range.file_offset_bytes);
}

static bool run_start(void *argument, uint64_t count, kaio_latency *latency) {
    struct safe *peer = argument;
    struct bench_window *window = &peer->window;
    bench_window_begin(window, count, latency);
    while (!bench_window_is_over(window)) {
        if (!start_all(peer)) {
            return false;
        }
        uint32_t ready_count;
        kaio_status status = kaio_queue_wait(peer->queue, 1, kaio_deadline_never(), &ready_count);
        for (; kaio_status_is_ok(status) && ready_count > 0; --ready_count) {
            kaio_completion completion;
            status = kaio_queue_take(peer->queue, &completion);
            if (kaio_status_is_ok(status)) {
                end_completion(peer, &completion);
            }
        }
        if (!kaio_status_is_ok(status)) {
            return fail(status);
        }
    }
    return !window->has_failed;
}

// ---- the run loop ----

static void on_read(void *context, uint64_t user, kaio_read_result *result) {
    struct safe *peer = context;
    peer->buffers[user] = result->buffer;
    result->buffer = NULL;
    end_transfer(peer, user, result->outcome, result->moved_bytes, result->range.file_offset_bytes);
    (void)start_all(peer);
}

static void on_write(void *context, uint64_t user, kaio_write_result *result) {
    struct safe *peer = context;
    peer->buffers[user] = result->buffer;
    result->buffer = NULL;
    end_transfer(peer, user, result->outcome, result->moved_bytes, result->range.file_offset_bytes);
    (void)start_all(peer);
}

static void on_sync(void *context, uint64_t user, const kaio_sync_result *result) {
    struct safe *peer = context;
    bench_window_end(&peer->window, (uint32_t)user, result->outcome == KAIO_SYNC_SYNCED ? 0 : -1,
                     NULL, 0);
    (void)start_all(peer);
}

static void on_poll(void *context, uint64_t user, const kaio_poll_result *result) {
    struct safe *peer = context;
    bench_window_end(&peer->window, (uint32_t)user, result->outcome == KAIO_POLL_READY, NULL, 0);
    (void)start_all(peer);
}

static bool run_loop(void *argument, uint64_t count, kaio_latency *latency) {
    static const kaio_handlers handlers = {
        .on_read = on_read, .on_write = on_write, .on_sync = on_sync, .on_poll = on_poll};
    struct safe *peer = argument;
    bench_window_begin(&peer->window, count, latency);
    if (!start_all(peer)) {
        return false;
    }
    kaio_run_report report;
    kaio_status status =
        kaio_queue_run(peer->queue, &handlers, peer, kaio_deadline_never(), &report);
    if (!kaio_status_is_ok(status)) {
        return fail(status);
    }
    return !peer->window.has_failed && bench_window_is_over(&peer->window);
}

const struct bench_peer bench_peer_start = {"start+take", open_it, run_start, close_it};
const struct bench_peer bench_peer_run = {"run loop", open_it, run_loop, close_it};
