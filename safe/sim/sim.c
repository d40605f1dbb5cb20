#define _GNU_SOURCE  // preadv2, pwritev2

#include "kaio/safe/sim/sim.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "../kernel.h"
#include "kaio/raw/aio_abi.h"
#include "kaio/raw/aio_ring.h"

enum { PAGE_BYTES = 4096, KNOWN_RW_FLAGS = 0x1ff };

// A context is a ring like the kernel's, and what is in flight, oldest first.
struct context {
    struct context *next;
    struct kaio_raw_ring *ring;
    size_t ring_bytes;
    struct kaio_raw_iocb *pending;
    uintptr_t *objects;  // the addresses of the iocbs, for io_event.obj
    uint32_t pending_count;
    uint32_t capacity;
};

static struct context *contexts;
static kaio_sim_script script;
static kaio_sim_calls calls;
static uint64_t random_state;

void kaio_sim_play(const kaio_sim_script *next) {
    script = *next;
    random_state = next->seed;
    calls = (kaio_sim_calls){.setup_count = 0};
}

kaio_sim_calls kaio_sim_call_counts(void) {
    return calls;
}

// spend counts one use of a fault down, and tells whether there was one.
static bool spend(uint32_t *count) {
    if (*count == 0) {
        return false;
    }
    --*count;
    return true;
}

// next_random is splitmix64.
static uint64_t next_random(void) {
    uint64_t z = (random_state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static struct context *context_of(kaio_raw_context ctx) {
    struct context *context = contexts;
    while (context != NULL && (kaio_raw_context)(uintptr_t)context->ring != ctx) {
        context = context->next;
    }
    return context;
}

static uint32_t available(const struct context *context) {
    const struct kaio_raw_ring *ring = context->ring;
    return ring->tail >= ring->head ? ring->tail - ring->head : ring->nr - ring->head + ring->tail;
}

static struct kaio_raw_event *events_of(const struct context *context) {
    return (struct kaio_raw_event *)(void *)(context->ring + 1);
}

// post puts an event into the ring, then raises `event_fd`, if there is one.
static void post(struct context *context, const struct kaio_raw_event *event, int event_fd) {
    struct kaio_raw_ring *ring = context->ring;
    uint32_t tail = ring->tail;
    if (available(context) == ring->nr - 1) {
        fputs("kaio_sim: more events than the ring has places\n", stderr);
        abort();
    }
    events_of(context)[tail] = *event;
    __atomic_store_n(&ring->tail, tail + 1 == ring->nr ? 0 : tail + 1, __ATOMIC_RELEASE);
    uint64_t one = 1;
    if (event_fd >= 0 && write(event_fd, &one, sizeof one) < 0) {
        perror("kaio_sim: eventfd");
        abort();
    }
}

static void fill_ring(struct context *context) {
    struct kaio_raw_ring *ring = context->ring;
    ring->nr = (uint32_t)(context->ring_bytes / sizeof(struct kaio_raw_event)) - 1;
    ring->magic = script.no_ring ? 0 : KAIO_RAW_RING_MAGIC;
    ring->compat_features = 1;
    ring->header_length = sizeof *ring;
}

static void free_context(struct context *context) {
    if (context->ring != NULL && context->ring != MAP_FAILED) {
        (void)munmap(context->ring, context->ring_bytes);
    }
    free(context->pending);
    free(context->objects);
    free(context);
}

static struct context *make_context(unsigned nr_events) {
    struct context *context = calloc(1, sizeof *context);
    if (context == NULL) {
        return NULL;
    }
    size_t wanted_bytes = (2 * (size_t)nr_events + 3) * sizeof(struct kaio_raw_event);
    context->capacity = nr_events;
    context->ring_bytes = (wanted_bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    context->pending = calloc(nr_events, sizeof *context->pending);
    context->objects = calloc(nr_events, sizeof *context->objects);
    context->ring =
        mmap(NULL, context->ring_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (context->pending == NULL || context->objects == NULL || context->ring == MAP_FAILED) {
        free_context(context);
        return NULL;
    }
    return context;
}

long kaio_sim_setup(unsigned nr_events, kaio_raw_context *out_ctx) {
    ++calls.setup_count;
    if (spend(&script.setup_error_count)) {
        return -script.setup_error;
    }
    struct context *context = make_context(nr_events);
    if (context == NULL) {
        return -ENOMEM;
    }
    fill_ring(context);
    context->next = contexts;
    contexts = context;
    *out_ctx = (kaio_raw_context)(uintptr_t)context->ring;
    return 0;
}

// check answers what io_submit would: 0 or -errno.
static long check(const struct context *context, const struct kaio_raw_iocb *iocb) {
    if (context->pending_count == context->capacity) {
        return -EAGAIN;
    }
    int mode = fcntl((int)iocb->aio_fildes, F_GETFL);
    if (mode < 0) {
        return -EBADF;
    }
    switch (iocb->aio_lio_opcode) {
        case KAIO_RAW_CMD_PREAD:
        case KAIO_RAW_CMD_PWRITE:
            if ((iocb->aio_rw_flags & ~KNOWN_RW_FLAGS) != 0) {
                return -EOPNOTSUPP;
            }
            mode &= O_ACCMODE;
            return mode == (iocb->aio_lio_opcode == KAIO_RAW_CMD_PREAD ? O_WRONLY : O_RDONLY)
                       ? -EBADF
                       : 0;
        case KAIO_RAW_CMD_FSYNC:
        case KAIO_RAW_CMD_FDSYNC:
            return iocb->aio_buf != 0 || iocb->aio_nbytes != 0 || iocb->aio_rw_flags != 0 ? -EINVAL
                                                                                          : 0;
        case KAIO_RAW_CMD_POLL:
            return iocb->aio_buf > UINT16_MAX || iocb->aio_nbytes != 0 || iocb->aio_offset != 0 ||
                           iocb->aio_rw_flags != 0
                       ? -EINVAL
                       : 0;
        default:
            return -EINVAL;
    }
}

// poll_now gives what a poll finds now, 0 if nothing.
static int64_t poll_now(const struct kaio_raw_iocb *iocb) {
    struct pollfd file = {.fd = (int)iocb->aio_fildes, .events = (short)iocb->aio_buf};
    return poll(&file, 1, 0) == 1 ? (int64_t)(uint16_t)file.revents : 0;
}

static bool is_ready(const struct kaio_raw_iocb *iocb) {
    return iocb->aio_lio_opcode != KAIO_RAW_CMD_POLL || poll_now(iocb) != 0;
}

static int64_t transfer(const struct kaio_raw_iocb *iocb, uint64_t size_bytes) {
    struct iovec part = {.iov_base = (void *)(uintptr_t)iocb->aio_buf,
                         .iov_len = (size_t)size_bytes};
    int fd = (int)iocb->aio_fildes;
    bool is_read = iocb->aio_lio_opcode == KAIO_RAW_CMD_PREAD;
    ssize_t moved = is_read ? preadv2(fd, &part, 1, iocb->aio_offset, iocb->aio_rw_flags)
                            : pwritev2(fd, &part, 1, iocb->aio_offset, iocb->aio_rw_flags);
    if (moved < 0 && errno == ESPIPE) {
        moved = is_read ? readv(fd, &part, 1) : writev(fd, &part, 1);
    }
    return moved < 0 ? -errno : moved;
}

static int64_t perform(const struct kaio_raw_iocb *iocb) {
    if (spend(&script.fail_count)) {
        return -script.fail_error;
    }
    switch (iocb->aio_lio_opcode) {
        case KAIO_RAW_CMD_FSYNC:
            return fsync((int)iocb->aio_fildes) != 0 ? -errno : 0;
        case KAIO_RAW_CMD_FDSYNC:
            return fdatasync((int)iocb->aio_fildes) != 0 ? -errno : 0;
        case KAIO_RAW_CMD_POLL:
            return poll_now(iocb);
        default:
            break;
    }
    bool is_short = iocb->aio_nbytes >= 2 && spend(&script.shorten_count);
    return transfer(iocb, is_short ? iocb->aio_nbytes / 2 : iocb->aio_nbytes);
}

// end_pending takes the request `index` out of what is in flight and posts its event.
static void end_pending(struct context *context, uint32_t index, int64_t result) {
    const struct kaio_raw_iocb *iocb = &context->pending[index];
    int event_fd = (iocb->aio_flags & KAIO_RAW_FLAG_RESFD) != 0 ? (int)iocb->aio_resfd : -1;
    struct kaio_raw_event event = {
        .data = iocb->aio_data, .obj = context->objects[index], .res = result};
    uint32_t rest = --context->pending_count - index;
    memmove(&context->pending[index], &context->pending[index + 1],
            rest * sizeof *context->pending);
    memmove(&context->objects[index], &context->objects[index + 1],
            rest * sizeof *context->objects);
    post(context, &event, event_fd);
    if (spend(&script.duplicate_count)) {
        post(context, &event, event_fd);
    }
}

// complete_one ends one request of `context`. False: none can end now.
static bool complete_one(struct context *context) {
    uint32_t count = context->pending_count;
    uint32_t first = script.reorder && count > 0 ? (uint32_t)(next_random() % count) : 0;
    for (uint32_t n = 0; n < count; ++n) {
        uint32_t index = (first + n) % count;
        struct kaio_raw_iocb iocb = context->pending[index];
        if (is_ready(&iocb)) {
            end_pending(context, index, perform(&iocb));
            return true;
        }
    }
    return false;
}

uint32_t kaio_sim_complete(uint32_t count) {
    uint32_t done = 0;
    int saved_errno = errno;
    for (struct context *context = contexts; context != NULL; context = context->next) {
        while (done < count && complete_one(context)) {
            ++done;
        }
    }
    errno = saved_errno;
    return done;
}

// accept takes iocbs[0..nr) until one is wrong; returns as io_submit does.
static long accept(struct context *context, long nr, struct kaio_raw_iocb **iocbs) {
    for (long i = 0; i < nr; ++i) {
        long error = check(context, iocbs[i]);
        if (error != 0) {
            return i > 0 ? i : error;
        }
        iocbs[i]->aio_key = 0;
        ++calls.request_count;
        if ((iocbs[i]->aio_flags & KAIO_RAW_FLAG_IOPRIO) != 0) {
            ++calls.ioprio_count;
            calls.last_ioprio = (uint16_t)iocbs[i]->aio_reqprio;
        }
        context->objects[context->pending_count] = (uintptr_t)iocbs[i];
        context->pending[context->pending_count++] = *iocbs[i];
        if (!script.hold && !script.late) {
            (void)complete_one(context);
        }
    }
    return nr;
}

long kaio_sim_submit(kaio_raw_context ctx, long nr, struct kaio_raw_iocb **iocbs) {
    ++calls.submit_count;
    struct context *context = context_of(ctx);
    if (context == NULL) {
        return -EINVAL;
    }
    if (!spend(&script.submit_error_after) && spend(&script.submit_error_count)) {
        return -script.submit_error;
    }
    if (script.submit_limit != 0 && nr > (long)script.submit_limit) {
        nr = (long)script.submit_limit;
    }
    int saved_errno = errno;
    long answer = accept(context, nr, iocbs);
    errno = saved_errno;
    return answer;
}

static void pause_for(const struct kaio_raw_old_timespec *timeout) {
    struct timespec pause = {.tv_sec = (time_t)timeout->tv_sec, .tv_nsec = (long)timeout->tv_nsec};
    (void)nanosleep(&pause, NULL);
}

// wait_for completes requests until `min_nr` events are there or nothing is left to complete.
static void wait_for(struct context *context, long min_nr,
                     const struct kaio_raw_old_timespec *timeout) {
    if (script.late && timeout != NULL) {
        if ((long)available(context) < min_nr) {
            pause_for(timeout);
        }
        return;
    }
    while ((long)available(context) < min_nr && complete_one(context)) {
    }
    if ((long)available(context) >= min_nr) {
        return;
    }
    if (timeout == NULL) {
        fputs("kaio_sim: io_getevents would wait for ever\n", stderr);
        abort();
    }
    pause_for(timeout);  // polls of files that stay as they are
}

static long copy_out(struct context *context, long nr, struct kaio_raw_event *out_events) {
    struct kaio_raw_ring *ring = context->ring;
    long count = 0;
    for (; count < nr && available(context) > 0; ++count) {
        out_events[count] = events_of(context)[ring->head];
        ring->head = ring->head + 1 == ring->nr ? 0 : ring->head + 1;
    }
    return count;
}

long kaio_sim_getevents(kaio_raw_context ctx, long min_nr, long nr,
                        struct kaio_raw_event *out_events, struct kaio_raw_old_timespec *timeout) {
    ++calls.getevents_count;
    struct context *context = context_of(ctx);
    if (context == NULL || min_nr < 0 || min_nr > nr) {
        return -EINVAL;
    }
    if (spend(&script.getevents_error_count)) {
        return -script.getevents_error;
    }
    int saved_errno = errno;
    bool is_missing = spend(&script.missed_count);
    if (!is_missing) {
        wait_for(context, min_nr, timeout);
    }
    long count = copy_out(context, nr, out_events);
    while (is_missing && complete_one(context)) {
    }
    errno = saved_errno;
    return count;
}

long kaio_sim_cancel(kaio_raw_context ctx, struct kaio_raw_iocb *iocb,
                     struct kaio_raw_event *result) {
    (void)result;  // which no kernel writes to
    ++calls.cancel_count;
    struct context *context = context_of(ctx);
    if (spend(&script.cancel_error_count)) {
        return -script.cancel_error;
    }
    for (uint32_t i = 0; context != NULL && i < context->pending_count; ++i) {
        if (context->objects[i] == (uintptr_t)iocb &&
            context->pending[i].aio_lio_opcode == KAIO_RAW_CMD_POLL) {
            end_pending(context, i, 0);
            return -EINPROGRESS;
        }
    }
    return -EINVAL;
}

long kaio_sim_destroy(kaio_raw_context ctx) {
    ++calls.destroy_count;
    struct context **link = &contexts;
    while (*link != NULL && (kaio_raw_context)(uintptr_t)(*link)->ring != ctx) {
        link = &(*link)->next;
    }
    struct context *context = *link;
    if (context == NULL || script.destroy_fails) {
        return -EINVAL;
    }
    int saved_errno = errno;
    while (context->pending_count > 0) {  // the events are lost, the transfers are not
        const struct kaio_raw_iocb *iocb = &context->pending[--context->pending_count];
        if (iocb->aio_lio_opcode != KAIO_RAW_CMD_POLL) {
            (void)perform(iocb);
        }
    }
    *link = context->next;
    free_context(context);
    errno = saved_errno;
    return 0;
}
