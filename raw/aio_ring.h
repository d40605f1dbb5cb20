// kaio/raw/aio_ring.h: the mapped completion ring: read events without a system call.
//
// The kernel stores an event, then tail; the reader loads tail (acquire), copies events, then
// stores head (release). tail is never written here. The ring is gone after kaio_raw_destroy. A
// child of fork(2) shares it and would take its parent's events: kaio_raw_ring_dontfork.

#ifndef KAIO_RAW_AIO_RING_H_
#define KAIO_RAW_AIO_RING_H_

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

#include "kaio/raw/aio_abi.h"
#include "kaio/raw/aio_syscall.h"

// Valgrind does not see the kernel fill the ring. Without its header, or with -DNVALGRIND, nothing
// is told to it.
#if defined(__has_include) && !defined(NVALGRIND)
#    if __has_include(<valgrind/memcheck.h>)
#        include <valgrind/memcheck.h>
#        define KAIO_RAW_MEMCHECK_ 1
#    endif
#endif

// KAIO_RAW_RING_CORRUPT is kaio_raw_ring_peek's answer to a head or tail outside the ring.
#define KAIO_RAW_RING_CORRUPT UINT32_MAX

// struct kaio_raw_ring_consumer is the right to reap a context: there is one, and it is not copied.
//
// While it is in use nobody else reaps, neither here nor by io_getevents, which moves head too.
// Several threads share it under one lock, which they also hold around io_getevents.
struct kaio_raw_ring_consumer {
    struct kaio_raw_ring *ring;
    uint32_t nr;  // slots, as the ring once said: a stray write may change its own copy
};

// kaio_raw_ring_validate makes the consumer of the ring of `ctx`, and returns 0 or -errno.
//
// Under Valgrind the ring becomes defined memory, so that events need no mark when they come; the
// bytes that a read brought do, where Valgrind does not know them: VALGRIND_MAKE_MEM_DEFINED.
// What cannot be told: whether the mapping is as long as nr says, and whether it is readable.
// Ownership: the ring belongs to the context. `*out_consumer` is written on 0 only.
// Errors:    then use kaio_raw_getevents. -ENOMEM, -EINVAL nothing is mapped at `ctx` (an emulated
//            kernel's contexts need not be addresses); -EPROTO no ring that this header can read;
//            -EAGAIN no kernel memory for the look; -EPERM, -ENOSYS a seccomp filter.
// Kernel:    struct aio_ring, fs/aio.c; mincore, mm/mincore.c.
static inline long kaio_raw_ring_validate(kaio_raw_context ctx,
                                          struct kaio_raw_ring_consumer *out_consumer) {
    unsigned char residency[1];
    long error = kaio_raw_syscall3_(__NR_mincore, ctx, sizeof(struct kaio_raw_ring),
                                    KAIO_RAW_ADDRESS_(residency));
    if (error != 0) {
        return error;
    }
    struct kaio_raw_ring *ring = KAIO_RAW_POINTER_(struct kaio_raw_ring *, ctx);
    if (ring->magic != KAIO_RAW_RING_MAGIC ||
        ring->incompat_features != KAIO_RAW_RING_INCOMPAT_FEATURES ||
        ring->header_length != KAIO_RAW_RING_HEADER_BYTES || ring->nr < 2) {
        return -EPROTO;
    }
    out_consumer->ring = ring;
    out_consumer->nr = ring->nr;
#ifdef KAIO_RAW_MEMCHECK_
    (void)VALGRIND_MAKE_MEM_DEFINED(
        ring, sizeof *ring + KAIO_RAW_CAST_(size_t, ring->nr) * sizeof(struct kaio_raw_event));
#endif
    return 0;
}

// kaio_raw_ring_dontfork unmaps the ring in every child of fork(2) from now on: 0 or -errno.
//
// Without it a child that moves head takes its parent's events, until 7.3, where the kernel itself
// leaves the ring out of children. A child that touches the address afterwards faults.
// Kernel: MADV_DONTFORK, mm/madvise.c.
static inline long kaio_raw_ring_dontfork(const struct kaio_raw_ring_consumer *consumer) {
    size_t size_bytes = sizeof(struct kaio_raw_ring) +
                        KAIO_RAW_CAST_(size_t, consumer->nr) * sizeof(struct kaio_raw_event);
    return kaio_raw_syscall3_(__NR_madvise, KAIO_RAW_ADDRESS_(consumer->ring), size_bytes,
                              KAIO_RAW_MADV_DONTFORK);
}

// kaio_raw_ring_peek returns how many events are ready in a row, and `*out_events` is the first.
//
// Events behind the ring's end are not counted: they show once those before it are consumed.
// Ownership: out_events[0..count) are the kernel's to overwrite after kaio_raw_ring_consume.
// Errors:    KAIO_RAW_RING_CORRUPT head or tail outside the ring; `*out_events` is not written.
// Kernel:    pairs with the barrier between event and tail in aio_complete, fs/aio.c.
static inline uint32_t kaio_raw_ring_peek(const struct kaio_raw_ring_consumer *consumer,
                                          const struct kaio_raw_event **out_events) {
    const struct kaio_raw_ring *ring = consumer->ring;
    uint32_t nr = consumer->nr;
    uint32_t head = __atomic_load_n(&ring->head, __ATOMIC_RELAXED);
    uint32_t tail = __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);
    if (head >= nr || tail >= nr) {
        return KAIO_RAW_RING_CORRUPT;
    }
    const void *events = ring + 1;
    *out_events = KAIO_RAW_CAST_(const struct kaio_raw_event *, events) + head;
    return (tail >= head ? tail : nr) - head;
}

// kaio_raw_ring_ready returns how many events are ready in all, or KAIO_RAW_RING_CORRUPT.
static inline uint32_t kaio_raw_ring_ready(const struct kaio_raw_ring_consumer *consumer) {
    uint32_t nr = consumer->nr;
    uint32_t head = __atomic_load_n(&consumer->ring->head, __ATOMIC_RELAXED);
    uint32_t tail = __atomic_load_n(&consumer->ring->tail, __ATOMIC_ACQUIRE);
    if (head >= nr || tail >= nr) {
        return KAIO_RAW_RING_CORRUPT;
    }
    return tail >= head ? tail - head : nr - head + tail;
}

// kaio_raw_ring_consume gives the next `count` events back to the kernel.
//
// `count` as kaio_raw_ring_peek told, or smaller; once per batch is enough.
static inline void kaio_raw_ring_consume(struct kaio_raw_ring_consumer *consumer, uint32_t count) {
    struct kaio_raw_ring *ring = consumer->ring;
    uint32_t head = __atomic_load_n(&ring->head, __ATOMIC_RELAXED) + count;
    __atomic_store_n(&ring->head, head == consumer->nr ? 0 : head, __ATOMIC_RELEASE);
}

#endif  // KAIO_RAW_AIO_RING_H_
