// kaio/safe/request.h (private): the life of a request inside its queue.
//
//   free -> idle -> staged (in order, or held) -> in flight -> finished -> free
// Every change of state is one function here, and keeps
// depth = free + idle + staged + in flight + finished.

#ifndef KAIO_SAFE_REQUEST_H_
#define KAIO_SAFE_REQUEST_H_

#include "attach.h"
#include "kaio/raw/aio_prep.h"
#include "kaio/safe/transfer.h"
#include "queue_place.h"
#include "slots.h"

// kaio_request_bits is the handle of a slot's request, and on 64-bit machines its ticket.
static inline uintptr_t kaio_request_bits(const struct kaio_queue_place *queue,
                                          const struct kaio_slot *slot) {
    uintptr_t word = kaio_slot_load(slot);
    return kaio_bits_make(kaio_bits_life(word), queue->first_slot + (uint32_t)(slot - queue->slots),
                          kaio_slot_kind(word));
}

// A kaio_transfer describes a read or write for the functions below.
struct kaio_transfer {
    uint32_t kind;  // KAIO_KIND_READ or KAIO_KIND_WRITE
    kaio_range range;
    kaio_rw_flags flags;
};

// The bodies of kaio_read_new, kaio_read_start and their kin.
kaio_status kaio_request_new_transfer(kaio_queue *queue, const kaio_file *file,
                                      const struct kaio_transfer *transfer,
                                      kaio_buffer **move_buffer, const void *output,
                                      uintptr_t *out_bits);
kaio_status kaio_request_start_transfer(kaio_queue *queue, const kaio_file *file,
                                        const struct kaio_transfer *transfer, uint64_t user,
                                        kaio_buffer **move_buffer, kaio_ticket *out_ticket);

// kaio_request_stage sends an idle request on its way.
void kaio_request_stage(struct kaio_queue_place *queue, struct kaio_slot *slot, uint64_t user);

// kaio_request_finish makes a request one to be taken, and settles the syncs that waited for it.
// Its result and its refusal are set before.
void kaio_request_finish(struct kaio_queue_place *queue, struct kaio_slot *slot);

// kaio_request_free unpins the file and frees the slot. The buffer was unpinned or leaked before.
void kaio_request_free(struct kaio_queue_place *queue, struct kaio_slot *slot);

// kaio_request_take_slot gives an idle slot of `kind`; the caller made sure that one is free.
struct kaio_slot *kaio_request_take_slot(struct kaio_queue_place *queue, uint32_t kind,
                                         uint32_t attachment);

// kaio_request_refuse finishes a request that the kernel never had.
void kaio_request_refuse(struct kaio_queue_place *queue, struct kaio_slot *slot, kaio_code code,
                         int os_error);

// kaio_request_collect_strays finishes requests that were pushed or dropped where they must not be.
void kaio_request_collect_strays(struct kaio_queue_place *queue);

// kaio_request_is_full tells why there is no free slot.
kaio_status kaio_request_full(const struct kaio_queue_place *queue);

// The bodies of kaio_read_push_ and its kin; `kind` is what the handle's type promises.
kaio_ticket kaio_request_push(uintptr_t bits, uint32_t kind, uint64_t user);
kaio_status kaio_request_abandon(uintptr_t bits, uint32_t kind, kaio_buffer **out_buffer);
void kaio_request_drop(uintptr_t bits, uint32_t kind);

#endif  // KAIO_SAFE_REQUEST_H_
