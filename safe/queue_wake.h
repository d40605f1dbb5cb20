// kaio/safe/queue_wake.h (private): how a run that sleeps in the kernel is woken.
//
// `is_woken` is the truth. A waker sets it, and writes to the queue's eventfd if a run is blocking;
// a run says that it is blocking, then looks at `is_woken`: one of the two sees the other. The
// kernel polls the eventfd for the queue, beside the requests, and its event ends the sleep. A
// waker counts itself, then looks whether the queue lives; who ends the queue ends its life, then
// waits until nobody is counted: so no waker writes to a descriptor that was closed.

#ifndef KAIO_SAFE_QUEUE_WAKE_H_
#define KAIO_SAFE_QUEUE_WAKE_H_

#include "queue_place.h"

// kaio_queue_make_wakeable gets what a run needs to be woken: 0 or an errno.
int kaio_queue_make_wakeable(struct kaio_queue_place *queue);

// kaio_queue_begin_blocking announces that the run is going to sleep. False: a wake would not end
// the sleep now, so it must be short.
bool kaio_queue_begin_blocking(struct kaio_queue_place *queue);

static inline void kaio_queue_end_blocking(struct kaio_queue_place *queue) {
    atomic_store_explicit(&queue->is_blocking, 0, memory_order_relaxed);
}

// kaio_queue_is_woken tells whether there was a wake that no run has ended for.
static inline bool kaio_queue_is_woken(const struct kaio_queue_place *queue) {
    return atomic_load(&queue->is_woken) != 0;
}

// kaio_queue_take_wake takes it, so that one run ends for it. False: there was none.
static inline bool kaio_queue_take_wake(struct kaio_queue_place *queue) {
    return KAIO_UNLIKELY(atomic_load_explicit(&queue->is_woken, memory_order_relaxed) != 0) &&
           atomic_exchange(&queue->is_woken, 0) != 0;
}

// kaio_queue_end_wakes frees what waking needs, once the life of the queue has ended and nobody is
// waking it any more.
void kaio_queue_end_wakes(struct kaio_queue_place *queue);

// kaio_queue_forget_wakers is for a child, where those who were waking are not.
void kaio_queue_forget_wakers(void);

#endif  // KAIO_SAFE_QUEUE_WAKE_H_
