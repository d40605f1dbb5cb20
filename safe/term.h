// kaio/safe/term.h (private): the deadlines of requests.
//
// A slot's deadline has the ticket that it was set for: a slot that was reused has none.

#ifndef KAIO_SAFE_TERM_H_
#define KAIO_SAFE_TERM_H_

#include "kaio/safe/late.h"
#include "request.h"

// kaio_term_nearest is the earliest deadline that was not told of, or earlier than that.
static inline kaio_deadline kaio_term_nearest(const struct kaio_queue_place *queue) {
    return queue->extras == NULL ? kaio_deadline_never()
                                 : kaio_deadline_at_ns(queue->extras->nearest_ns);
}

// kaio_term_cut is the earlier of `deadline` and that.
static inline kaio_deadline kaio_term_cut(const struct kaio_queue_place *queue,
                                          kaio_deadline deadline) {
    kaio_deadline nearest = kaio_term_nearest(queue);
    return nearest.at_ns < deadline.at_ns ? nearest : deadline;
}

// kaio_term_late_count counts what is late and was not told of, where everything that has ended was
// reaped. It looks at the clock only where a deadline is set.
uint32_t kaio_term_late_count(struct kaio_queue_place *queue);

// kaio_term_take tells of one of those. False: there is none.
bool kaio_term_take(struct kaio_queue_place *queue, kaio_late *out_late);

// kaio_term_settle counts a request that ends late.
void kaio_term_settle(struct kaio_queue_place *queue, const struct kaio_slot *slot);

#endif  // KAIO_SAFE_TERM_H_
