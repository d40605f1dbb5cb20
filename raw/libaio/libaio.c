#include "libaio.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <time.h>

#include "contexts.h"
#include "kaio/raw/aio_ring.h"
#include "kaio/raw/aio_syscall.h"

// The two layouts are one.
#define SAME_FIELD(theirs, field, ours, same) \
    _Static_assert(offsetof(struct theirs, field) == offsetof(struct ours, same), #field)
_Static_assert(sizeof(struct iocb) == sizeof(struct kaio_raw_iocb), "iocb");
_Static_assert(_Alignof(struct iocb) == _Alignof(struct kaio_raw_iocb), "iocb");
_Static_assert(sizeof(struct io_event) == sizeof(struct kaio_raw_event), "io_event");
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ || __SIZEOF_POINTER__ == 8
SAME_FIELD(iocb, data, kaio_raw_iocb, aio_data);
SAME_FIELD(iocb, u.c.buf, kaio_raw_iocb, aio_buf);
SAME_FIELD(iocb, u.c.nbytes, kaio_raw_iocb, aio_nbytes);
SAME_FIELD(io_event, data, kaio_raw_event, data);
SAME_FIELD(io_event, obj, kaio_raw_event, obj);
SAME_FIELD(io_event, res, kaio_raw_event, res);
SAME_FIELD(io_event, res2, kaio_raw_event, res2);
#endif
SAME_FIELD(iocb, key, kaio_raw_iocb, aio_key);
SAME_FIELD(iocb, aio_rw_flags, kaio_raw_iocb, aio_rw_flags);
SAME_FIELD(iocb, aio_lio_opcode, kaio_raw_iocb, aio_lio_opcode);
SAME_FIELD(iocb, aio_reqprio, kaio_raw_iocb, aio_reqprio);
SAME_FIELD(iocb, aio_fildes, kaio_raw_iocb, aio_fildes);
SAME_FIELD(iocb, u.c.offset, kaio_raw_iocb, aio_offset);
SAME_FIELD(iocb, u.c.flags, kaio_raw_iocb, aio_flags);
SAME_FIELD(iocb, u.c.resfd, kaio_raw_iocb, aio_resfd);

static kaio_raw_context bits_of(io_context_t ctx) {
    return (kaio_raw_context)(uintptr_t)ctx;
}

// ---- setup, submit ----

int io_setup(int maxevents, io_context_t *ctxp) {
    // x32 reads and writes 4 bytes there, as long as a pointer.
    long error = kaio_raw_setup((unsigned)maxevents, (kaio_raw_context *)(void *)ctxp);
    if (error == 0) {
        kaio_libaio_remember(bits_of(*ctxp));
    }
    return (int)error;
}

int io_destroy(io_context_t ctx) {
    if (!kaio_libaio_forget(bits_of(ctx))) {
        return -EINTR;
    }
    return (int)kaio_raw_destroy(bits_of(ctx));
}

int io_submit(io_context_t ctx, long nr, struct iocb *ios[]) {
    return (int)kaio_raw_submit(bits_of(ctx), nr, (struct kaio_raw_iocb **)(void *)ios);
}

int io_cancel(io_context_t ctx, struct iocb *iocb, struct io_event *evt) {
    return (int)kaio_raw_cancel(bits_of(ctx), (struct kaio_raw_iocb *)(void *)iocb,
                                (struct kaio_raw_event *)(void *)evt);
}

// ---- events, from the kernel ----

// What a caller of io_getevents wants.
struct wish {
    io_context_t ctx;
    long min_nr;
    long nr;
    struct io_event *events;
    struct timespec *timeout;
    sigset_t *sigmask;  // NULL: io_getevents
};

static struct kaio_raw_event *events_of(const struct wish *wish) {
    return (struct kaio_raw_event *)(void *)wish->events;
}

static long masked_getevents(const struct wish *wish) {
    struct kaio_raw_timespec wide;
    struct kaio_raw_timespec *timeout = (struct kaio_raw_timespec *)(void *)wish->timeout;
    if (sizeof(struct timespec) != sizeof wide && wish->timeout != NULL) {
        wide = (struct kaio_raw_timespec){wish->timeout->tv_sec, wish->timeout->tv_nsec};
        timeout = &wide;
    }
    struct kaio_raw_sigset sigset;
    memset(&sigset, 0, sizeof sigset);
    sigset.sigmask = wish->sigmask;
    sigset.sigsetsize = KAIO_RAW_SIGSET_BYTES;
    return kaio_raw_pgetevents(bits_of(wish->ctx), wish->min_nr, wish->nr, events_of(wish), timeout,
                               &sigset);
}

#ifdef KAIO_RAW_NR_GETEVENTS_
static long plain_getevents(const struct wish *wish) {
    struct kaio_raw_old_timespec narrow;
    struct kaio_raw_old_timespec *timeout = (struct kaio_raw_old_timespec *)(void *)wish->timeout;
    if (sizeof(struct timespec) != sizeof narrow && wish->timeout != NULL) {
        bool is_far = wish->timeout->tv_sec > LONG_MAX;
        narrow = (struct kaio_raw_old_timespec){is_far ? LONG_MAX : (long)wish->timeout->tv_sec,
                                                wish->timeout->tv_nsec};
        timeout = &narrow;
    }
    return kaio_raw_getevents(bits_of(wish->ctx), wish->min_nr, wish->nr, events_of(wish), timeout);
}
#else
static long plain_getevents(const struct wish *wish) {
    return masked_getevents(wish);
}
#endif

static int ask_kernel(const struct wish *wish) {
    return (int)(wish->sigmask != NULL ? masked_getevents(wish) : plain_getevents(wish));
}

// ---- events, from the ring ----

static bool is_zero(const struct timespec *timeout) {
    return timeout != NULL && timeout->tv_sec == 0 && timeout->tv_nsec == 0;
}

// is_plain tells whether the kernel could only say yes: its errors are its own to tell.
static bool is_plain(const struct wish *wish) {
    return wish->sigmask == NULL && wish->min_nr >= 0 && wish->min_nr <= wish->nr &&
           wish->events != NULL;
}

// copy takes up to `count` events, and returns how many there were.
static uint32_t copy(struct kaio_raw_ring_consumer *consumer, uint32_t count,
                     struct io_event *out) {
    uint32_t done = 0;
    while (done < count) {
        const struct kaio_raw_event *first;
        uint32_t part = kaio_raw_ring_peek(consumer, &first);
        if (part == 0 || part == KAIO_RAW_RING_CORRUPT) {
            break;
        }
        part = part < count - done ? part : count - done;
        for (uint32_t i = 0; i < part; ++i) {
            memcpy(&out[done + i], &first[i], sizeof *out);
        }
        kaio_raw_ring_consume(consumer, part);
        done += part;
    }
    return done;
}

// reap_locked takes what the ring has, and returns how many. -1: the kernel has to be asked.
static int reap_locked(struct kaio_libaio_place *place, const struct wish *wish) {
    struct kaio_raw_ring *ring = (struct kaio_raw_ring *)(void *)wish->ctx;
    assert(ring != NULL);  // it has a place
    if (atomic_load_explicit(&place->context, memory_order_relaxed) != (uintptr_t)ring ||
        ring->magic != KAIO_RAW_RING_MAGIC || ring->nr != place->nr) {
        return -1;
    }
    struct kaio_raw_ring_consumer consumer = {ring, place->nr};
    uint32_t ready = kaio_raw_ring_ready(&consumer);
    long count = ready < (unsigned long)wish->nr ? (long)ready : wish->nr;
    if (ready == KAIO_RAW_RING_CORRUPT || (count < wish->min_nr && !is_zero(wish->timeout))) {
        return -1;
    }
    return (int)copy(&consumer, (uint32_t)count, wish->events);
}

static int reap(struct kaio_libaio_place *place, const struct wish *wish) {
    if (!kaio_libaio_try_lock_alone(place)) {
        return -1;
    }
    int count = reap_locked(place, wish);
    kaio_libaio_unlock(place);
    return count;
}

static int get(const struct wish *wish) {
    struct kaio_libaio_place *place = kaio_libaio_find((uintptr_t)wish->ctx);
    if (place == NULL) {
        return ask_kernel(wish);
    }
    int count = is_plain(wish) ? reap(place, wish) : -1;
    if (count >= 0) {
        return count;
    }
    if (!kaio_libaio_enter(place)) {
        return wish->min_nr > 0 ? -EINTR : 0;
    }
    count = ask_kernel(wish);
    kaio_libaio_leave(place);
    return count;
}

int io_getevents(io_context_t ctx, long min_nr, long nr, struct io_event *events,
                 struct timespec *timeout) {
    struct wish wish = {ctx, min_nr, nr, events, timeout, NULL};
    return get(&wish);
}

int io_pgetevents(io_context_t ctx, long min_nr, long nr, struct io_event *events,
                  struct timespec *timeout, sigset_t *sigmask) {
    struct wish wish = {ctx, min_nr, nr, events, timeout, sigmask};
    return get(&wish);
}

// ---- queues ----

int io_queue_init(int maxevents, io_context_t *ctxp) {
    if (maxevents <= 0) {
        return -EINVAL;
    }
    *ctxp = NULL;
    return io_setup(maxevents, ctxp);
}

int io_queue_release(io_context_t ctx) {
    return io_destroy(ctx);
}

int io_queue_run(io_context_t ctx) {
    struct timespec no_wait = {0, 0};
    struct io_event event = {.res = 0};
    int count;
    while ((count = io_getevents(ctx, 0, 1, &event, &no_wait)) == 1) {
        io_callback_t callback;
        memcpy(&callback, &event.data, sizeof callback);
        callback(ctx, event.obj, (long)event.res, (long)event.res2);
    }
    return count;
}
