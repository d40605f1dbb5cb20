// kaio/safe/queue_reap.h (private): which request an event means, inside a call.

#ifndef KAIO_SAFE_QUEUE_REAP_H_
#define KAIO_SAFE_QUEUE_REAP_H_

#include "probes.h"
#include "queue_place.h"
#include "slots.h"

// kaio_queue_no_request deals with an event that names no request in flight.
void kaio_queue_no_request(struct kaio_queue_place *queue, uint64_t data);

// kaio_queue_claim gives the request that an event names, with its result, and no more in flight;
// NULL: it names none. `*out_index` is its place in the queue.
__attribute__((always_inline)) static inline struct kaio_slot *kaio_queue_claim(
    struct kaio_queue_place *queue, uint64_t data, int64_t result, uint32_t *out_index) {
    uint32_t index = kaio_bits_index((uintptr_t)data) - queue->first_slot;
    *out_index = index;
    if (KAIO_LIKELY(index < queue->depth)) {
        struct kaio_slot *slot = &queue->slots[index];
        // What is in flight is what its iocb says, which is what the kernel was told.
        if (KAIO_LIKELY(slot->iocb.aio_data == data &&
                        kaio_word_state(kaio_slot_load(slot)) == KAIO_SLOT_IN_FLIGHT)) {
            kaio_slot_set_result(slot, result);
            --queue->in_flight_count;
            KAIO_PROBE(complete, data, kaio_bits_kind((uintptr_t)data), result);
            return slot;
        }
    }
    kaio_queue_no_request(queue, data);
    return NULL;
}

#endif  // KAIO_SAFE_QUEUE_REAP_H_
