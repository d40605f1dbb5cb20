// tools/kaio/bench_window.h: which operations are under way, for the peers. Inline: it is the same
// few instructions in each of them.

#ifndef KAIO_TOOLS_KAIO_BENCH_WINDOW_H_
#define KAIO_TOOLS_KAIO_BENCH_WINDOW_H_

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench_peer.h"
#include "message.h"

struct bench_window {
    const struct bench_work *work;
    kaio_latency *latency;  // or NULL
    uint64_t left_count;    // to be started
    uint32_t flying_count;
    uint32_t free_count;
    uint32_t position;  // in the offsets; goes on from run to run
    bool has_failed;
    uint32_t free_slots[BENCH_DEPTH_MAX];
    int64_t began_ns[BENCH_DEPTH_MAX];
    // Of many files: the one of each slot, to be closed here unless it is -1, and its number.
    int fds[BENCH_DEPTH_MAX];
    uint32_t numbers[BENCH_DEPTH_MAX];
};

static inline void bench_window_init(struct bench_window *window, const struct bench_work *work) {
    *window = (struct bench_window){.work = work, .free_count = work->depth};
    for (uint32_t i = 0; i < work->depth; ++i) {
        window->free_slots[i] = work->depth - 1 - i;
    }
}

static inline void bench_window_begin(struct bench_window *window, uint64_t count,
                                      kaio_latency *latency) {
    window->left_count = count;
    window->latency = latency;
}

static inline int64_t bench_clock_ns(clockid_t clock) {
    struct timespec now;
    (void)clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

// bench_window_bytes is the memory of a slot.
static inline uint8_t *bench_window_bytes(const struct bench_window *window, uint32_t slot) {
    return window->work->memory + slot * window->work->stride_bytes;
}

// bench_window_next gives the slot and the offset of an operation to start. False: none now.
static inline bool bench_window_next(struct bench_window *window, uint32_t *out_slot,
                                     uint64_t *out_offset) {
    if (window->free_count == 0 || window->left_count == 0) {
        return false;
    }
    --window->left_count;
    ++window->flying_count;
    uint32_t slot = window->free_slots[--window->free_count];
    if (window->latency != NULL) {
        window->began_ns[slot] = bench_clock_ns(CLOCK_MONOTONIC);
    }
    *out_slot = slot;
    *out_offset = window->work->offsets[window->position++ % BENCH_OFFSET_COUNT];
    if (window->work->kind == BENCH_WRITE) {  // so that reads find what they look for
        memcpy(bench_window_bytes(window, slot), out_offset, sizeof *out_offset);
    }
    return true;
}

// bench_window_fail has nothing more started.
static inline void bench_window_fail(struct bench_window *window) {
    window->has_failed = true;
    window->left_count = 0;
}

// bench_window_open is the descriptor for the operation of `slot`, and makes `*offset` the one in
// its file. -1: said why.
static inline int bench_window_open(struct bench_window *window, uint32_t slot, uint64_t *offset) {
    if (window->work->file_sizes == NULL) {
        return window->work->fd;
    }
    int fd = bench_work_open_file(window->work, *offset);
    window->fds[slot] = fd;
    window->numbers[slot] = (uint32_t)*offset;
    *offset = 0;
    return fd;
}

// bench_window_close_file closes that, and is 0 when all of the file was read.
static inline int64_t bench_window_close_file(struct bench_window *window, uint32_t slot,
                                              int64_t result) {
    if (window->fds[slot] >= 0) {
        (void)close(window->fds[slot]);
    }
    int64_t size_bytes = window->work->file_sizes[window->numbers[slot]];
    return result == size_bytes ? 0 : result == 0 ? -1 : result;
}

// bench_window_end ends the operation of `slot`, which read to, or wrote from, `bytes` at `offset`.
static inline void bench_window_end(struct bench_window *window, uint32_t slot, int64_t result,
                                    const uint8_t *bytes, uint64_t offset) {
    const struct bench_work *work = window->work;
    if (work->file_sizes != NULL) {
        result = bench_window_close_file(window, slot, result);
    }
    bool is_good = work->kind == BENCH_POLL ? result > 0 : result == work->expected;
    if (work->is_checked && bytes != NULL) {
        uint64_t found;
        memcpy(&found, bytes, sizeof found);
        is_good = is_good && found == offset;
    }
    if (__builtin_expect(!is_good, 0)) {
        if (!window->has_failed) {
            (void)message_error("an operation at offset %llu ended with %lld, not %lld",
                                (unsigned long long)offset, (long long)result,
                                (long long)work->expected);
        }
        bench_window_fail(window);
    }
    if (window->latency != NULL) {
        int64_t took_ns = bench_clock_ns(CLOCK_MONOTONIC) - window->began_ns[slot];
        ++window->latency->counts[kaio_latency_bucket_from_ns(took_ns)];
    }
    window->free_slots[window->free_count++] = slot;
    --window->flying_count;
}

// bench_window_is_over tells whether all that is to be started has ended.
static inline bool bench_window_is_over(const struct bench_window *window) {
    return window->flying_count == 0 && window->left_count == 0;
}

#endif  // KAIO_TOOLS_KAIO_BENCH_WINDOW_H_
