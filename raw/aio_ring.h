// kaio/raw/aio_ring.h: the mapped completion ring: read events without a system call.
//
// The kernel stores an event, then tail; the reader loads tail (acquire), copies events, then
// stores head (release). One consumer: nobody else may reap the context meanwhile, neither here nor
// by io_getevents, which moves head too. tail is never written here. The ring is gone after
// kaio_raw_destroy. In a child of fork it is still the parent's: do not touch it there.

#ifndef KAIO_RAW_AIO_RING_H_
#define KAIO_RAW_AIO_RING_H_

#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

#include "kaio/raw/aio_abi.h"
#include "kaio/raw/aio_syscall.h"

// KAIO_RAW_RING_CORRUPT is kaio_raw_ring_peek's answer to a head or tail outside the ring.
#define KAIO_RAW_RING_CORRUPT UINT32_MAX

// kaio_raw_ring_validate gives the ring of `ctx` and its number of slots, or NULL.
//
// NULL: nothing is mapped at `ctx` (an emulated kernel's contexts need not be addresses), or it is
// no ring that this header can read: use kaio_raw_getevents. Keep `*out_nr` and pass it on, for a
// stray write may change the ring's own copy.
// What cannot be told: whether the mapping is as long as nr says, and whether it is readable.
// Ownership: the ring belongs to the context. `*out_nr` is written unless NULL is returned.
// Kernel:    struct aio_ring, fs/aio.c; mincore, mm/mincore.c.
static inline struct kaio_raw_ring *kaio_raw_ring_validate(kaio_raw_context ctx, uint32_t *out_nr) {
    unsigned char residency[1];
    uintptr_t address = ctx & UINTPTR_MAX;
    if (kaio_raw_syscall3_(__NR_mincore, ctx, sizeof(struct kaio_raw_ring),
                           KAIO_RAW_ADDRESS_(residency)) != 0) {
        return KAIO_RAW_NULL_;
    }
    struct kaio_raw_ring *ring = KAIO_RAW_POINTER_(struct kaio_raw_ring *, address);
    if (ring->magic != KAIO_RAW_RING_MAGIC ||
        ring->incompat_features != KAIO_RAW_RING_INCOMPAT_FEATURES ||
        ring->header_length != KAIO_RAW_RING_HEADER_BYTES || ring->nr < 2) {
        return KAIO_RAW_NULL_;
    }
    *out_nr = ring->nr;
    return ring;
}

// Private: the slot `count` after slot `head`, with wrap; both are below `nr`.
static inline uint32_t kaio_raw_ring_slot_(uint32_t nr, uint32_t head, uint32_t count) {
    uint32_t to_end = nr - head;
    return count < to_end ? head + count : count - to_end;
}

// kaio_raw_ring_peek returns how many events are ready, the first of them in slot `*out_head`.
//
// Errors:    KAIO_RAW_RING_CORRUPT head or tail >= `nr`; `*out_head` is then not written.
// Kernel:    pairs with the barrier between event and tail in aio_complete, fs/aio.c.
static inline uint32_t kaio_raw_ring_peek(const struct kaio_raw_ring *ring, uint32_t nr,
                                          uint32_t *out_head) {
    uint32_t head = __atomic_load_n(&ring->head, __ATOMIC_RELAXED);
    uint32_t tail = __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);
    if (head >= nr || tail >= nr) {
        return KAIO_RAW_RING_CORRUPT;
    }
    *out_head = head;
    return head <= tail ? tail - head : nr - head + tail;
}

// kaio_raw_ring_event is the event `k` after slot `head`; `k` is below kaio_raw_ring_peek's answer.
//
// Ownership: the event is the kernel's to overwrite after kaio_raw_ring_consume: copy it before.
static inline const struct kaio_raw_event *kaio_raw_ring_event(const struct kaio_raw_ring *ring,
                                                               uint32_t nr, uint32_t head,
                                                               uint32_t k) {
    const void *events = ring + 1;
    return KAIO_RAW_CAST_(const struct kaio_raw_event *, events) + kaio_raw_ring_slot_(nr, head, k);
}

// kaio_raw_ring_consume gives the `count` events from slot `head` on back to the kernel.
//
// `head` and `count` as kaio_raw_ring_peek told, or a smaller `count`; once per batch is enough.
static inline void kaio_raw_ring_consume(struct kaio_raw_ring *ring, uint32_t nr, uint32_t head,
                                         uint32_t count) {
    __atomic_store_n(&ring->head, kaio_raw_ring_slot_(nr, head, count), __ATOMIC_RELEASE);
}

#endif  // KAIO_RAW_AIO_RING_H_
