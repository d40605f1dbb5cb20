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
// Under Valgrind the ring becomes defined memory, so that events need no mark when they come.
// What cannot be told: whether the mapping is as long as nr says, and whether it is readable.
// Ownership: the ring belongs to the context. `*out_consumer` is written on 0 only.
// Errors:    then use kaio_raw_getevents. -ENOMEM, -EINVAL nothing is mapped at `ctx` (an emulated
//            kernel's contexts need not be addresses); -EPROTO no ring that this header can read;
//            -EPERM, -ENOSYS a seccomp filter.
// Kernel:    struct aio_ring, fs/aio.c; mincore, mm/mincore.c.
static inline long kaio_raw_ring_validate(kaio_raw_context ctx,
                                          struct kaio_raw_ring_consumer *out_consumer) {
    unsigned char residency[1];
    long error = kaio_raw_syscall3_(__NR_mincore, ctx, sizeof(struct kaio_raw_ring),
                                    KAIO_RAW_ADDRESS_(residency));
    if (error != 0) {
        return error;
    }
    struct kaio_raw_ring *ring = KAIO_RAW_POINTER_(struct kaio_raw_ring *, ctx & UINTPTR_MAX);
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

// Private: the slot `count` after slot `head`, with wrap; both are below `nr`.
static inline uint32_t kaio_raw_ring_slot_(uint32_t nr, uint32_t head, uint32_t count) {
    uint32_t to_end = nr - head;
    return count < to_end ? head + count : count - to_end;
}

// kaio_raw_ring_peek returns how many events are ready, the first of them in slot `*out_head`.
//
// Errors:    KAIO_RAW_RING_CORRUPT head or tail outside the ring; `*out_head` is then not written.
// Kernel:    pairs with the barrier between event and tail in aio_complete, fs/aio.c.
static inline uint32_t kaio_raw_ring_peek(const struct kaio_raw_ring_consumer *consumer,
                                          uint32_t *out_head) {
    uint32_t nr = consumer->nr;
    uint32_t head = __atomic_load_n(&consumer->ring->head, __ATOMIC_RELAXED);
    uint32_t tail = __atomic_load_n(&consumer->ring->tail, __ATOMIC_ACQUIRE);
    if (head >= nr || tail >= nr) {
        return KAIO_RAW_RING_CORRUPT;
    }
    *out_head = head;
    return head <= tail ? tail - head : nr - head + tail;
}

// kaio_raw_ring_event is the event `k` after slot `head`; `k` is below kaio_raw_ring_peek's answer.
//
// Ownership: the event is the kernel's to overwrite after kaio_raw_ring_consume: copy it before.
static inline const struct kaio_raw_event *kaio_raw_ring_event(
    const struct kaio_raw_ring_consumer *consumer, uint32_t head, uint32_t k) {
    const void *events = consumer->ring + 1;
    return KAIO_RAW_CAST_(const struct kaio_raw_event *, events) +
           kaio_raw_ring_slot_(consumer->nr, head, k);
}

// kaio_raw_ring_consume gives the `count` events from slot `head` on back to the kernel.
//
// `head` and `count` as kaio_raw_ring_peek told, or a smaller `count`; once per batch is enough.
static inline void kaio_raw_ring_consume(struct kaio_raw_ring_consumer *consumer, uint32_t head,
                                         uint32_t count) {
    __atomic_store_n(&consumer->ring->head, kaio_raw_ring_slot_(consumer->nr, head, count),
                     __ATOMIC_RELEASE);
}

#endif  // KAIO_RAW_AIO_RING_H_
