// What needs no asynchronous call of the kernel: pread and pwrite, the same in a pool of threads,
// and POSIX AIO, which is such a pool.

#define _GNU_SOURCE  // pread

#include <aio.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench_window.h"

enum { POOL_THREADS_MAX = 32 };

// perform does one operation here and now: its result, or the negative errno.
static inline int64_t perform(const struct bench_work *work, int fd, uint8_t *bytes,
                              uint64_t offset) {
    struct pollfd pollfd = {.fd = fd, .events = POLLIN};
    int64_t result = 0;
    switch (work->kind) {
        case BENCH_READ:
            result = pread(fd, bytes, work->size_bytes, (off_t)offset);
            break;
        case BENCH_WRITE:
            result = pwrite(fd, bytes, work->size_bytes, (off_t)offset);
            break;
        case BENCH_POLL:
            result = poll(&pollfd, 1, -1);
            break;
        case BENCH_SYNC:
            result = fdatasync(fd);
            break;
    }
    return result < 0 ? -(int64_t)errno : result;
}

// ---- pread and pwrite ----

static void *open_pread(const struct bench_work *work, const struct bench_variant *variant,
                        char out_why[BENCH_WHY_BYTES]) {
    (void)variant;
    struct bench_window *window = malloc(sizeof *window);
    if (window == NULL) {
        return bench_peer_cannot(out_why, "no memory");
    }
    bench_window_init(window, work);
    return window;
}

static bool run_pread(void *argument, uint64_t count, kaio_latency *latency) {
    struct bench_window *window = argument;
    bench_window_begin(window, count, latency);
    uint32_t slot;
    uint64_t offset;
    while (bench_window_next(window, &slot, &offset)) {
        uint8_t *bytes = bench_window_bytes(window, slot);
        int fd = bench_window_open(window, slot, &offset);
        bench_window_end(window, slot, perform(window->work, fd, bytes, offset), bytes, offset);
    }
    return !window->has_failed;
}

// ---- a pool of threads ----

struct task {
    uint64_t offset;
    int64_t result;
};

// What goes from one end to the other: slots, in order. There is room for all.
struct line {
    uint32_t slots[BENCH_DEPTH_MAX];
    uint32_t first;
    uint32_t count;
};

struct pool {
    struct bench_window window;
    pthread_mutex_t lock;  // of all below
    pthread_cond_t has_work;
    pthread_cond_t has_result;
    struct line work;
    struct line results;
    struct task tasks[BENCH_DEPTH_MAX];
    bool is_ending;
    uint32_t thread_count;
    pthread_t threads[POOL_THREADS_MAX];
};

static void put(struct line *line, uint32_t slot) {
    line->slots[(line->first + line->count++) % BENCH_DEPTH_MAX] = slot;
}

static uint32_t get(struct line *line) {
    uint32_t slot = line->slots[line->first];
    line->first = (line->first + 1) % BENCH_DEPTH_MAX;
    --line->count;
    return slot;
}

static void *serve(void *argument) {
    struct pool *pool = argument;
    (void)pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (pool->work.count == 0 && !pool->is_ending) {
            (void)pthread_cond_wait(&pool->has_work, &pool->lock);
        }
        if (pool->work.count == 0) {
            break;
        }
        uint32_t slot = get(&pool->work);
        struct task *task = &pool->tasks[slot];
        (void)pthread_mutex_unlock(&pool->lock);
        int fd = bench_window_open(&pool->window, slot, &task->offset);
        task->result =
            perform(pool->window.work, fd, bench_window_bytes(&pool->window, slot), task->offset);
        (void)pthread_mutex_lock(&pool->lock);
        put(&pool->results, slot);
        if (pool->results.count == 1) {
            (void)pthread_cond_signal(&pool->has_result);
        }
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return NULL;
}

static void close_pool(void *argument) {
    struct pool *pool = argument;
    (void)pthread_mutex_lock(&pool->lock);
    pool->is_ending = true;
    (void)pthread_cond_broadcast(&pool->has_work);
    (void)pthread_mutex_unlock(&pool->lock);
    for (uint32_t i = 0; i < pool->thread_count; ++i) {
        (void)pthread_join(pool->threads[i], NULL);
    }
    (void)pthread_cond_destroy(&pool->has_result);
    (void)pthread_cond_destroy(&pool->has_work);
    (void)pthread_mutex_destroy(&pool->lock);
    free(pool);
}

static void *open_pool(const struct bench_work *work, const struct bench_variant *variant,
                       char out_why[BENCH_WHY_BYTES]) {
    (void)variant;
    struct pool *pool = calloc(1, sizeof *pool);
    if (pool == NULL) {
        return bench_peer_cannot(out_why, "no memory");
    }
    bench_window_init(&pool->window, work);
    (void)pthread_mutex_init(&pool->lock, NULL);
    (void)pthread_cond_init(&pool->has_work, NULL);
    (void)pthread_cond_init(&pool->has_result, NULL);
    uint32_t wanted_count = work->depth < POOL_THREADS_MAX ? work->depth : POOL_THREADS_MAX;
    for (; pool->thread_count < wanted_count; ++pool->thread_count) {
        if (pthread_create(&pool->threads[pool->thread_count], NULL, serve, pool) != 0) {
            close_pool(pool);
            return bench_peer_cannot(out_why, "no thread");
        }
    }
    return pool;
}

static bool run_pool(void *argument, uint64_t count, kaio_latency *latency) {
    struct pool *pool = argument;
    struct bench_window *window = &pool->window;
    bench_window_begin(window, count, latency);
    (void)pthread_mutex_lock(&pool->lock);
    while (!bench_window_is_over(window)) {
        uint32_t slot;
        uint64_t offset;
        while (bench_window_next(window, &slot, &offset)) {
            pool->tasks[slot].offset = offset;
            put(&pool->work, slot);
            (void)pthread_cond_signal(&pool->has_work);
        }
        while (pool->results.count == 0) {
            (void)pthread_cond_wait(&pool->has_result, &pool->lock);
        }
        while (pool->results.count > 0) {
            slot = get(&pool->results);
            bench_window_end(window, slot, pool->tasks[slot].result,
                             bench_window_bytes(window, slot), pool->tasks[slot].offset);
        }
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return !window->has_failed;
}

// ---- POSIX AIO ----

struct posix {
    struct bench_window window;
    struct aiocb aiocbs[BENCH_DEPTH_MAX];
    const struct aiocb *flying[BENCH_DEPTH_MAX];  // NULL: it is not
};

static void *open_posix(const struct bench_work *work, const struct bench_variant *variant,
                        char out_why[BENCH_WHY_BYTES]) {
    (void)variant;
    if (work->kind == BENCH_POLL) {
        return bench_peer_cannot(out_why, "POSIX AIO has no poll");
    }
    struct posix *peer = calloc(1, sizeof *peer);
    if (peer == NULL) {
        return bench_peer_cannot(out_why, "no memory");
    }
    bench_window_init(&peer->window, work);
    return peer;
}

static bool start_posix(struct posix *peer, uint32_t slot, uint64_t offset) {
    const struct bench_work *work = peer->window.work;
    struct aiocb *aiocb = &peer->aiocbs[slot];
    *aiocb = (struct aiocb){.aio_fildes = bench_window_open(&peer->window, slot, &offset),
                            .aio_buf = bench_window_bytes(&peer->window, slot),
                            .aio_nbytes = work->size_bytes,
                            .aio_offset = (off_t)offset,
                            .aio_sigevent = {.sigev_notify = SIGEV_NONE}};
    int answer = work->kind == BENCH_READ    ? aio_read(aiocb)
                 : work->kind == BENCH_WRITE ? aio_write(aiocb)
                                             : aio_fsync(O_DSYNC, aiocb);
    if (answer != 0) {
        bench_window_fail(&peer->window);
        return message_error("aio_read, aio_write or aio_fsync: %s", strerror(errno));
    }
    peer->flying[slot] = aiocb;
    return true;
}

static bool run_posix(void *argument, uint64_t count, kaio_latency *latency) {
    struct posix *peer = argument;
    struct bench_window *window = &peer->window;
    int depth = (int)window->work->depth;
    bench_window_begin(window, count, latency);
    while (!bench_window_is_over(window)) {
        uint32_t slot;
        uint64_t offset;
        while (bench_window_next(window, &slot, &offset)) {
            if (!start_posix(peer, slot, offset)) {
                return false;
            }
        }
        (void)aio_suspend(peer->flying, depth, NULL);
        for (int i = 0; i < depth; ++i) {
            struct aiocb *aiocb = &peer->aiocbs[i];
            int error = peer->flying[i] == NULL ? EINPROGRESS : aio_error(aiocb);
            if (error != EINPROGRESS) {
                peer->flying[i] = NULL;
                int64_t result = aio_return(aiocb);
                bench_window_end(window, (uint32_t)i, error == 0 ? result : -(int64_t)error,
                                 (const uint8_t *)(uintptr_t)aiocb->aio_buf,
                                 (uint64_t)aiocb->aio_offset);
            }
        }
    }
    return !window->has_failed;
}

const struct bench_peer bench_peer_pread = {"pread/pwrite", open_pread, run_pread, free};
const struct bench_peer bench_peer_pool = {"thread pool", open_pool, run_pool, close_pool};
const struct bench_peer bench_peer_posix = {"POSIX AIO", open_posix, run_posix, free};
