// kaio/safe/queue_observe.h (private): how what a queue does is counted, inside a call.

#ifndef KAIO_SAFE_QUEUE_OBSERVE_H_
#define KAIO_SAFE_QUEUE_OBSERVE_H_

#include "kaio/safe/observe.h"
#include "queue_place.h"
#include "slots.h"

// kaio_queue_begin_counting sets the counters of a new queue to 0.
void kaio_queue_begin_counting(struct kaio_queue_place *queue);

// kaio_queue_now_ns is now, for `sent_ns`: exact where latencies are kept, else some milliseconds
// old, which is enough for a dump and costs a sixth.
int64_t kaio_queue_now_ns(const struct kaio_queue_place *queue);

// kaio_queue_count_outcome counts a request of `kind` that is handed out. `outcome` is that of its
// operation.
static inline void kaio_queue_count_outcome(struct kaio_queue_place *queue, uint32_t kind,
                                            uint32_t outcome, uint64_t moved_bytes) {
    uint64_t *outcomes = queue->tallies[kind - 1].outcomes;
    ++outcomes[outcome];
    outcomes[0] += moved_bytes;
}

// kaio_queue_times_submits tells whether somebody wants to know how long its io_submits take.
static inline bool kaio_queue_times_submits(const struct kaio_queue_place *queue) {
    return ((uintptr_t)queue->latencies | (uintptr_t)queue->on_stall) != 0;
}

// kaio_queue_submit_timed submits the first `count` that are staged, as io_submit does, and counts
// how long that took.
long kaio_queue_submit_timed(struct kaio_queue_place *queue, uint32_t count);

// kaio_queue_count_latency counts a request whose event was found at `now_ns`.
void kaio_queue_count_latency(struct kaio_queue_place *queue, const struct kaio_slot *slot,
                              int64_t now_ns);

#endif  // KAIO_SAFE_QUEUE_OBSERVE_H_
