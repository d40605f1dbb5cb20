// kaio/safe/queue_send.h (private): how staged requests reach the kernel, inside a call.
//
// Inline, for a function that returns behind a system call costs much more than one that is called
// and returns between two: the run loop sends and reaps in one function.

#ifndef KAIO_SAFE_QUEUE_SEND_H_
#define KAIO_SAFE_QUEUE_SEND_H_

#include <assert.h>
#include <errno.h>

#include "attach.h"
#include "kaio/safe/queue.h"
#include "kernel.h"
#include "probes.h"
#include "queue_observe.h"
#include "queue_place.h"
#include "slots.h"

// kaio_queue_send_refused ends the first staged request as REFUSED, or, when `answer` of the submit
// call says that the kernel is short of memory, notes that and answers false: try later.
bool kaio_queue_send_refused(struct kaio_queue_place *queue, long answer,
                             kaio_flush_report *report);

// kaio_queue_prepare has the kernel raise the eventfd for all that is about to be sent, and gives
// the helpers what is theirs: returns how many requests that were.
uint32_t kaio_queue_prepare(struct kaio_queue_place *queue);

#ifndef NDEBUG
// kaio_queue_sound_count tells how many of the first `count` staged requests may be sent together:
// those before one whose borrowed descriptor was closed behind the library, and whose number is
// somebody else's file by now. An fstat(2) for each request of a borrowed file: too much for a
// release, where the caller's word is taken.
uint32_t kaio_queue_sound_count(const struct kaio_queue_place *queue, uint32_t count);
#endif

static inline struct kaio_slot *kaio_slot_of(struct kaio_raw_iocb *iocb) {
    static_assert(offsetof(struct kaio_slot, iocb) == 0, "an iocb's address is its slot's");
    return (struct kaio_slot *)iocb;
}

static inline void kaio_queue_mark_sent(struct kaio_queue_place *queue, uint32_t count,
                                        int64_t now_ns) {
    for (uint32_t i = 0; i < count; ++i) {
        struct kaio_slot *slot = kaio_slot_of(queue->staged[queue->staged_first + i]);
        slot->sent_ns = now_ns;
        uintptr_t word = kaio_slot_load(slot);
        static_assert(KAIO_SLOT_IN_FLIGHT == KAIO_SLOT_STAGED + 1, "the next state");
        atomic_store_explicit(&slot->word, word + 1, memory_order_relaxed);
    }
    queue->staged_first += count;
    queue->staged_count -= count;
    queue->in_flight_count += count;
    queue->accepted_count += count;
}

// kaio_queue_send_inline sends what is staged until nothing is left or the kernel is short of
// memory. Each call sends something or ends the first entry, since only the first one's errno is
// ever told.
__attribute__((always_inline)) static inline kaio_flush_report kaio_queue_send_inline(
    struct kaio_queue_place *queue) {
    kaio_flush_report report = {.accepted_count = 0};
    if (KAIO_UNLIKELY(queue->sends_slowly != 0)) {
        report.accepted_count = kaio_queue_prepare(queue);
    }
    int64_t now_ns = 0;
    if (queue->staged_first < queue->staged_end) {
        ++queue->flush_count;
        now_ns = kaio_queue_now_ns(queue);
    }
    while (queue->staged_first < queue->staged_end) {
        uint32_t count = queue->staged_end - queue->staged_first;
        count = count < queue->chunk_count ? count : queue->chunk_count;
#ifndef NDEBUG
        count = kaio_queue_sound_count(queue, count);
        if (count == 0) {
            (void)kaio_queue_send_refused(queue, -EBADF, &report);
            continue;
        }
#endif
        long answer =
            KAIO_UNLIKELY(kaio_queue_times_submits(queue))
                ? kaio_queue_submit_timed(queue, count)
                : kaio_kernel_submit(queue->ctx, (long)count, queue->staged + queue->staged_first);
        ++queue->submit_count;
        KAIO_PROBE(submit, kaio_queue_bits(queue), count, answer);
        if (KAIO_LIKELY(answer > 0)) {
            assert((unsigned long)answer <= count);
            kaio_queue_mark_sent(queue, (uint32_t)answer, now_ns);
            report.accepted_count += (uint32_t)answer;
        } else if (!kaio_queue_send_refused(queue, answer, &report)) {
            break;
        }
    }
    if (queue->staged_first == queue->staged_end) {
        queue->staged_first = queue->staged_end = 0;
    }
    report.staged_count = queue->staged_count;
    kaio_detach_dropped(queue);
    return report;
}

#endif  // KAIO_SAFE_QUEUE_SEND_H_
