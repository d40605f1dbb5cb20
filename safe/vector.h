// kaio/safe/vector.h (private): the segments of vectored requests.
//
// All segments of a queue come from one budget of `segment_count`, 24 bytes each: an iovec and a
// handle. A request's lie side by side. They are given out from the front; when the end is reached
// they are moved together, which the kernel does not mind: it copies the iovecs in io_submit.

#ifndef KAIO_SAFE_VECTOR_H_
#define KAIO_SAFE_VECTOR_H_

#include <sys/uio.h>

#include "kaio/safe/queue.h"
#include "kaio/safe/segment.h"
#include "request.h"

struct kaio_segments {
    uint32_t capacity;
    uint32_t used_count;
    uint32_t end;         // what is given out lies before it
    uintptr_t *memories;  // handles; 0: not given out
    struct iovec iovecs[];
};

// kaio_segments_new returns room for `count` segments, or NULL without memory; free(3) ends it.
struct kaio_segments *kaio_segments_new(uint32_t count);

// A kaio_vector describes a vectored transfer.
struct kaio_vector {
    uint32_t kind;  // KAIO_KIND_READV or KAIO_KIND_WRITEV
    kaio_segment *segments;
    uint32_t count;
    uint64_t file_offset_bytes;
    kaio_rw_flags flags;
};

// The bodies of kaio_readv_new and its kin. On OK every handle in `segments` becomes NULL.
kaio_status kaio_vector_new(kaio_queue *queue, const kaio_file *file,
                            const struct kaio_vector *vector, const void *output,
                            uintptr_t *out_bits);
kaio_status kaio_vector_start(kaio_queue *queue, const kaio_file *file,
                              const struct kaio_vector *vector, uint64_t user,
                              kaio_ticket *out_ticket);
kaio_status kaio_vector_abandon(uintptr_t bits, uint32_t kind, kaio_segment *out_segments,
                                uint32_t capacity, uint32_t *out_count);
kaio_status kaio_vector_retarget(uintptr_t bits, const kaio_file *file,
                                 const struct kaio_vector *vector);
kaio_status kaio_vector_retype(uintptr_t *bits, uint32_t kind, uint32_t new_kind);
kaio_status kaio_vector_start_rest(kaio_queue *queue, const kaio_file *file, uint32_t kind,
                                   kaio_rw_flags flags, kaio_completion *completion,
                                   kaio_ticket *out_ticket);

// kaio_vector_count is how many segments `slot` has.
static inline uint32_t kaio_vector_count(const struct kaio_slot *slot) {
    return kaio_kind_is_vectored(kaio_slot_kind(kaio_slot_load(slot)))
               ? (uint32_t)slot->iocb.aio_nbytes
               : 0;
}

// kaio_vector_give_back writes the segments of `slot` to out_segments[0..its count), ends its hold
// on them, and returns how many there were.
uint32_t kaio_vector_give_back(struct kaio_queue_place *queue, struct kaio_slot *slot,
                               kaio_segment *out_segments);

// kaio_segment_drop_all drops what segments[0..count) still have, and returns how many that were.
uint32_t kaio_segment_drop_all(kaio_segment *segments, uint32_t count);

// kaio_vector_drop_idle dissolves the idle request of an entered queue, and leaves that.
void kaio_vector_drop_idle(struct kaio_queue_place *queue, struct kaio_slot *slot);

// kaio_vector_leak keeps them for ever, and returns how many they are.
uint32_t kaio_vector_leak(const struct kaio_queue_place *queue, const struct kaio_slot *slot);

#endif  // KAIO_SAFE_VECTOR_H_
