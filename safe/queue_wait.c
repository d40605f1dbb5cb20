#define _POSIX_C_SOURCE 200809L  // clock_gettime

#include <errno.h>
#include <time.h>

#include "helper.h"
#include "kaio/safe/queue.h"
#include "kernel.h"
#include "queue_mask.h"
#include "queue_observe.h"
#include "queue_reap.h"
#include "queue_send.h"
#include "queue_steps.h"
#include "request.h"
#include "rest.h"
#include "term.h"

enum { NS_PER_S = 1000000000 };

// ---- reap ----

// data_of reads it once: the ring is memory that a stray pointer may write to at any time.
static inline uint64_t data_of(const struct kaio_raw_event *event) {
    // The kernel wrote it, which the analyser cannot see.
    // NOLINTNEXTLINE(clang-analyzer-core.uninitialized.UndefReturn)
    return *(const volatile uint64_t *)&event->data;
}

// settle_slowly is kaio_queue_settle where an event is more than the end of a request.
static __attribute__((noinline)) void settle_slowly(struct kaio_queue_place *queue,
                                                    const struct kaio_raw_event *events,
                                                    long count) {
    int64_t at_ns = queue->latencies == NULL ? 0 : kaio_queue_now_ns(queue);
    for (long k = 0; k < count; ++k) {
        uint64_t data = data_of(&events[k]);
        uint32_t index;
        struct kaio_slot *slot = kaio_queue_claim(queue, data, events[k].res, &index);
        if (slot == NULL || kaio_helper_settle(queue, slot) || kaio_rest_go_on(queue, slot)) {
            continue;
        }
        kaio_request_finish_claimed(queue, slot, index, kaio_bits_kind((uintptr_t)data));
        kaio_term_settle(queue, slot);
        if (queue->latencies != NULL) {
            kaio_queue_count_latency(queue, slot, at_ns);
        }
    }
}

__attribute__((always_inline)) static inline void settle_all(struct kaio_queue_place *queue,
                                                             const struct kaio_raw_event *events,
                                                             long count) {
    if (KAIO_UNLIKELY(queue->settles_slowly != 0)) {
        settle_slowly(queue, events, count);
        return;
    }
    for (long k = 0; k < count; ++k) {
        uint64_t data = data_of(&events[k]);
        uint32_t index;
        struct kaio_slot *slot = kaio_queue_claim(queue, data, events[k].res, &index);
        if (KAIO_LIKELY(slot != NULL)) {
            kaio_request_finish_claimed(queue, slot, index, kaio_bits_kind((uintptr_t)data));
        }
    }
}

void kaio_queue_settle(struct kaio_queue_place *queue, const struct kaio_raw_event *events,
                       long count) {
    settle_all(queue, events, count);
}

// reap_ring settles what is in the ring, without a system call. False: the ring cannot be trusted.
static inline bool reap_ring(struct kaio_queue_place *queue) {
    const struct kaio_raw_event *events;
    uint32_t count;
    while ((count = kaio_raw_ring_peek(&queue->consumer, &events)) != 0) {
        if (KAIO_UNLIKELY(count == KAIO_RAW_RING_CORRUPT)) {
            return false;
        }
        settle_all(queue, events, (long)count);
        kaio_raw_ring_consume(&queue->consumer, count);
    }
    return true;
}

long kaio_queue_reap_call(struct kaio_queue_place *queue, uint32_t min_count,
                          struct kaio_raw_old_timespec *timeout) {
    struct kaio_raw_event events[KAIO_REAP_COUNT];
    long count =
        kaio_kernel_getevents(queue->ctx, (long)min_count, KAIO_REAP_COUNT, events, timeout);
    ++queue->getevents_count;
    kaio_queue_settle(queue, events, count);
    return count;
}

// reap_through_kernel reaps without a ring, and from now on where it cannot be trusted.
static __attribute__((noinline)) void reap_through_kernel(struct kaio_queue_place *queue) {
    queue->consumer.ring = NULL;
    struct kaio_raw_old_timespec no_time = {.tv_sec = 0};
    while (queue->in_flight_count > 0 &&
           kaio_queue_reap_call(queue, 0, &no_time) == KAIO_REAP_COUNT) {
    }
}

__attribute__((always_inline)) static inline void reap(struct kaio_queue_place *queue) {
    if (queue->in_flight_count > 0 &&
        KAIO_UNLIKELY(queue->consumer.ring == NULL || !reap_ring(queue))) {
        reap_through_kernel(queue);
    }
}

void kaio_queue_reap(struct kaio_queue_place *queue) {
    reap(queue);
}

// ---- wait ----

int64_t kaio_queue_clock_ns(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

kaio_deadline kaio_deadline_after_ns(int64_t wait_ns) {
    if (wait_ns <= 0) {
        return kaio_deadline_now();
    }
    int64_t now = kaio_queue_clock_ns();
    return wait_ns > INT64_MAX - now ? kaio_deadline_never() : kaio_deadline_at_ns(now + wait_ns);
}

// Waits are cut to a day, so that they fit every kernel's seconds; the caller waits again.
bool kaio_queue_time_left(kaio_deadline deadline, int64_t limit_ns,
                          struct kaio_raw_old_timespec *storage,
                          struct kaio_raw_old_timespec **out_timeout) {
    const int64_t day_ns = INT64_C(86400) * NS_PER_S;
    int64_t left_ns = INT64_MAX;
    if (deadline.at_ns != INT64_MAX) {
        left_ns = deadline.at_ns <= 0 ? 0 : deadline.at_ns - kaio_queue_clock_ns();
        if (left_ns <= 0) {
            return false;
        }
    } else if (limit_ns == INT64_MAX) {
        *out_timeout = NULL;
        return true;
    }
    left_ns = left_ns > limit_ns ? limit_ns : left_ns;
    left_ns = left_ns > day_ns ? day_ns : left_ns;
    *storage = (struct kaio_raw_old_timespec){.tv_sec = (kaio_raw_long)(left_ns / NS_PER_S),
                                              .tv_nsec = (kaio_raw_long)(left_ns % NS_PER_S)};
    *out_timeout = storage;
    return true;
}

static inline void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

bool kaio_queue_spin(const struct kaio_queue_place *queue, uint32_t count, kaio_deadline deadline,
                     const _Atomic uint32_t *stop) {
    enum { LOOKS_PER_TIME = 16 };
    if (KAIO_LIKELY(queue->spin_ns == 0) || queue->consumer.ring == NULL) {
        return false;
    }
    int64_t end_ns = kaio_queue_clock_ns() + queue->spin_ns;
    end_ns = end_ns < deadline.at_ns ? end_ns : deadline.at_ns;
    do {
        for (int i = 0; i < LOOKS_PER_TIME; ++i) {
            if (kaio_raw_ring_ready(&queue->consumer) >= count ||
                (stop != NULL && atomic_load_explicit(stop, memory_order_relaxed) != 0)) {
                return true;
            }
            relax();
        }
    } while (kaio_queue_clock_ns() < end_ns);
    return false;
}

// block waits once for events that are owed. OK also when it was interrupted, or a request's own
// deadline has passed: the caller looks again.
static kaio_status block(struct kaio_queue_place *queue, uint32_t wanted_count, kaio_deadline last,
                         struct kaio_mask *mask) {
    kaio_deadline deadline = kaio_term_cut(queue, last);
    struct kaio_raw_old_timespec storage;
    struct kaio_raw_old_timespec *timeout;
    if (!kaio_queue_time_left(deadline, INT64_MAX, &storage, &timeout)) {
        return deadline.at_ns < last.at_ns ? kaio_status_ok()
                                           : kaio_status_make(KAIO_TIMED_OUT, KAIO_SUBJECT_QUEUE);
    }
    // With something still to be sent one event is enough: its place may be what the kernel lacks.
    uint32_t min_count = queue->staged_first < queue->staged_end ? 1 : wanted_count;
    min_count = min_count < queue->in_flight_count ? min_count : queue->in_flight_count;
    min_count = min_count < KAIO_REAP_COUNT ? min_count : KAIO_REAP_COUNT;
    if (kaio_queue_spin(queue, min_count, deadline, NULL)) {
        return kaio_status_ok();
    }
    ++queue->block_count;
    long count = mask == NULL ? kaio_queue_reap_call(queue, min_count, timeout)
                              : kaio_queue_reap_masked(queue, min_count, deadline, mask);
    return count < 0 && count != -EINTR ? kaio_status_os(KAIO_SUBJECT_QUEUE, (int)-count)
                                        : kaio_status_ok();
}

static uint32_t owed_count(const struct kaio_queue_place *queue) {
    return queue->finished_count + queue->in_flight_count + queue->staged_count;
}

// step sends what is staged and reaps what is there.
__attribute__((always_inline)) static inline kaio_flush_report step(
    struct kaio_queue_place *queue) {
    kaio_request_collect_strays(queue);
    kaio_flush_report report = kaio_queue_send_inline(queue);
    reap(queue);
    return report;
}

// can_send tells whether something was staged since `report`: a sync that waited for what was
// reaped.
static inline bool can_send(const struct kaio_queue_place *queue, const kaio_flush_report *report) {
    return queue->staged_first < queue->staged_end && report->os_error == 0;
}

// wait_on waits after a step that was not enough.
static __attribute__((noinline)) kaio_status wait_on(struct kaio_queue_place *queue,
                                                     uint32_t min_count, kaio_deadline deadline,
                                                     struct kaio_mask *mask,
                                                     kaio_flush_report report) {
    for (;; report = step(queue)) {
        if (can_send(queue, &report)) {
            continue;
        }
        uint32_t owed = owed_count(queue);
        if (min_count > 0 && owed == 0) {
            return kaio_status_make(KAIO_NOTHING_TO_WAIT_FOR, KAIO_SUBJECT_QUEUE);
        }
        uint32_t wanted = min_count < owed ? min_count : owed;
        if (queue->finished_count >= wanted) {
            return kaio_status_ok();
        }
        if (queue->in_flight_count == 0) {
            return kaio_queue_send_status(&report);
        }
        if (mask != NULL && mask->is_interrupted) {
            return kaio_status_make(KAIO_INTERRUPTED, KAIO_SUBJECT_QUEUE);
        }
        uint32_t late_count = kaio_term_late_count(queue);
        if (KAIO_UNLIKELY(late_count > 0)) {
            kaio_status late = kaio_status_make(KAIO_TIMED_OUT, KAIO_SUBJECT_REQUEST);
            late.detail = late_count;
            return late;
        }
        kaio_status status = block(queue, wanted - queue->finished_count, deadline, mask);
        if (!kaio_status_is_ok(status)) {
            return status;
        }
    }
}

kaio_status kaio_queue_wait_for(struct kaio_queue_place *queue, uint32_t min_count,
                                kaio_deadline deadline, struct kaio_mask *mask) {
    return wait_on(queue, min_count, deadline, mask, step(queue));
}

kaio_status kaio_queue_wait(kaio_queue *queue, uint32_t min_count, kaio_deadline deadline,
                            uint32_t *out_ready_count) {
    if (out_ready_count == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OUTPUT);
    }
    kaio_status status;
    struct kaio_queue_place *place = kaio_queue_enter_alone(queue, &status);
    if (KAIO_UNLIKELY(place == NULL)) {
        return status;
    }
    kaio_flush_report report = step(place);
    // Mostly that was all: what completes in the submit call is there.
    bool is_enough = place->finished_count >= min_count && !can_send(place, &report);
    if (KAIO_UNLIKELY(!is_enough)) {
        status = wait_on(place, min_count, deadline, NULL, report);
        if (!kaio_status_is_ok(status)) {
            kaio_queue_leave();
            return status;
        }
    }
    *out_ready_count = place->finished_count;
    kaio_queue_leave();
    return kaio_status_ok();
}
