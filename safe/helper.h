// kaio/safe/helper.h (private): io_submits that may sleep, in threads of their own.
//
// A helper does nothing but the io_submit of a request that would block there: the kernel takes any
// thread of the process, and the event comes through the queue's own ring, so that waits, masks,
// the eventfd and the ends of a queue need to know nothing of it. A request that the kernel refuses
// has no event: then the helper submits a read of nothing in its place, whose event brings the
// errno. Only the queue's thread touches slots; a helper has a copy of what it needs.

#ifndef KAIO_SAFE_HELPER_H_
#define KAIO_SAFE_HELPER_H_

#include "kaio/safe/queue.h"
#include "queue_place.h"
#include "slots.h"

// kaio_helpers_new makes what `options` ask for, its threads included. 0, or an errno, and nothing
// is left.
int kaio_helpers_new(const kaio_queue_options *options, struct kaio_helpers **out_helpers);

// kaio_helpers_end waits until the helpers have nothing left to do, and ends them. NULL does
// nothing.
void kaio_helpers_end(struct kaio_helpers *helpers);

static inline bool kaio_has_helpers(const struct kaio_queue_place *queue) {
    return queue->extras != NULL && queue->extras->helpers != NULL;
}

// kaio_helper_prepare looks at what is staged: what may not block gets RWF_NOWAIT, and what is the
// helpers' leaves for them. Returns how many did: they are in flight.
uint32_t kaio_helper_prepare(struct kaio_queue_place *queue, int64_t now_ns);

// kaio_helper_settle looks at the event of a claimed request. True: it would have blocked, and is
// in flight again. Otherwise it may be one that the kernel refused.
bool kaio_helper_settle(struct kaio_queue_place *queue, struct kaio_slot *slot);

// kaio_helper_retry gives a request that was refused with `os_error` to a helper, where RWF_NOWAIT
// may be why. False: it is not.
bool kaio_helper_retry(struct kaio_queue_place *queue, struct kaio_slot *slot, int os_error);

#endif  // KAIO_SAFE_HELPER_H_
