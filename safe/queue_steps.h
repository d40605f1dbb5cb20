// kaio/safe/queue_steps.h (private): what the files of the queue do for each other, inside a call.

#ifndef KAIO_SAFE_QUEUE_STEPS_H_
#define KAIO_SAFE_QUEUE_STEPS_H_

#include "kaio/safe/queue.h"
#include "queue_place.h"
#include "slots.h"

// How many events one io_getevents(2) is asked for.
enum { KAIO_REAP_COUNT = 64 };

// ---- queue.c ----

// kaio_queue_release returns the memory and the place of a queue whose slots are all free.
void kaio_queue_release(struct kaio_queue_place *queue);

// kaio_queue_free_memory returns what a queue has besides its slots.
void kaio_queue_free_memory(struct kaio_queue_place *queue);

kaio_queue_counts kaio_queue_counts_of(const struct kaio_queue_place *queue);

// ---- queue_flush.c ----

// kaio_queue_send is kaio_queue_send_inline, out of line.
kaio_flush_report kaio_queue_send(struct kaio_queue_place *queue);

// kaio_queue_send_status is the answer for that.
kaio_status kaio_queue_send_status(const kaio_flush_report *report);

// ---- queue_wait.c ----

// kaio_queue_reap finishes what has arrived and never waits.
void kaio_queue_reap(struct kaio_queue_place *queue);

// kaio_queue_reap_call finishes up to KAIO_REAP_COUNT requests through the kernel, waiting for
// `min_count` of them. Returns as io_getevents does.
long kaio_queue_reap_call(struct kaio_queue_place *queue, uint32_t min_count,
                          struct kaio_raw_old_timespec *timeout);

// kaio_queue_settle finishes the requests of events[0..count); a `count` below 0 is 0.
void kaio_queue_settle(struct kaio_queue_place *queue, const struct kaio_raw_event *events,
                       long count);

// kaio_queue_wait_for is kaio_queue_wait in an entered queue, under `mask`, if there is one.
struct kaio_mask;
kaio_status kaio_queue_wait_for(struct kaio_queue_place *queue, uint32_t min_count,
                                kaio_deadline deadline, struct kaio_mask *mask);

// kaio_queue_time_left turns a deadline into what the kernel wants: a relative time of at most
// `limit_ns`, NULL for ever (when there is no limit: INT64_MAX). False: it is over.
bool kaio_queue_time_left(kaio_deadline deadline, int64_t limit_ns,
                          struct kaio_raw_old_timespec *storage,
                          struct kaio_raw_old_timespec **out_timeout);

// kaio_queue_clock_ns is now, as deadlines have it.
int64_t kaio_queue_clock_ns(void);

// kaio_queue_spin looks at the ring for as long as the options say, and not past `deadline`. True:
// `count` events are there, or `*stop`, if there is one, is not 0.
bool kaio_queue_spin(const struct kaio_queue_place *queue, uint32_t count, kaio_deadline deadline,
                     const _Atomic uint32_t *stop);

// ---- queue_take.c ----

// kaio_queue_judge tells what became of a request that is handed out, and counts it.
kaio_verdict kaio_queue_judge(struct kaio_queue_place *queue, const struct kaio_slot *slot);

// kaio_queue_refusal_of tells why it was refused, or OK.
kaio_status kaio_queue_refusal_of(const struct kaio_slot *slot);

// kaio_queue_deliver turns a slot that will not change any more into a completion and frees it.
void kaio_queue_deliver(struct kaio_queue_place *queue, struct kaio_slot *slot,
                        kaio_completion *out_completion);

// ---- queue_cancel.c ----

// kaio_queue_ask_end asks the kernel for the end of a request that is in flight. 0: it began to
// end; else an errno.
int kaio_queue_ask_end(const struct kaio_queue_place *queue, struct kaio_slot *slot);

// ---- queue_end.c ----

// kaio_queue_destroy_quietly destroys an entered queue and drops its buffers.
void kaio_queue_destroy_quietly(struct kaio_queue_place *queue);

// ---- queue_owner.c ----

// kaio_queue_is_drop_asked tells whether the queue's owner is to destroy it.
bool kaio_queue_is_drop_asked(const struct kaio_queue_place *queue);

// kaio_queue_obey_drop destroys a queue that is to be dropped, when the calling thread owns it and
// is neither inside a call nor in a run of it.
bool kaio_queue_obey_drop(struct kaio_queue_place *queue);

// kaio_queue_end_with_thread is called in a thread that ends.
void kaio_queue_end_with_thread(uint32_t thread);

#endif  // KAIO_SAFE_QUEUE_STEPS_H_
