// kaio/safe/rest.h (private): queues that go on by themselves behind a short transfer.
//
// While a rest is under way, the iocb describes that alone, and the request is staged or in flight
// as before: its file, its buffers and, of a write, the syncs behind it wait for it. At the end the
// iocb describes the whole again, and the result is the sum.

#ifndef KAIO_SAFE_REST_H_
#define KAIO_SAFE_REST_H_

#include "request.h"

// kaio_rest_of is what `slot` has behind it; NULL: its queue does not continue.
static inline struct kaio_rest *kaio_rest_of(const struct kaio_queue_place *queue,
                                             const struct kaio_slot *slot) {
    return queue->extras == NULL || queue->extras->rests == NULL
               ? NULL
               : &queue->extras->rests[slot - queue->slots];
}

// kaio_rest_left_bytes is how many bytes a transfer that has not ended is still to move.
static inline uint64_t kaio_rest_left_bytes(const struct kaio_queue_place *queue,
                                            const struct kaio_slot *slot) {
    const struct kaio_rest *rest = kaio_rest_of(queue, slot);
    bool is_whole = rest == NULL || slot->memory != 0;  // then the iocb has it, or all is left
    return kaio_slot_asked_bytes(slot) - (is_whole ? 0 : rest->moved_bytes);
}

// kaio_rest_go_on stages the rest of a request that is claimed, or folds it. False: it has ended.
bool kaio_rest_go_on(struct kaio_queue_place *queue, struct kaio_slot *slot);

// kaio_rest_fold makes a request that is about to end the whole again, with the sum of its pieces
// as its result: SHORT, whatever ended the last one, for the others have moved something.
void kaio_rest_fold(struct kaio_queue_place *queue, struct kaio_slot *slot);

// kaio_rest_stop lets short transfers end short from now on: the queue ends.
static inline void kaio_rest_stop(struct kaio_queue_place *queue) {
    if (queue->extras != NULL) {
        queue->extras->continue_limit = 0;
    }
}

// kaio_rest_rewind_all has every iocb describe the whole, and kaio_rest_advance_all the rest again:
// in between their segments may be moved.
void kaio_rest_rewind_all(struct kaio_queue_place *queue);
void kaio_rest_advance_all(struct kaio_queue_place *queue);

// kaio_rest_judge adds what the last piece met to the verdict of a request that ended SHORT.
void kaio_rest_judge(const struct kaio_queue_place *queue, const struct kaio_slot *slot,
                     kaio_verdict *verdict);

#endif  // KAIO_SAFE_REST_H_
