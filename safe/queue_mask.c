#include "queue_mask.h"

#include <errno.h>

#include "kernel.h"
#include "queue_reap.h"
#include "queue_steps.h"
#include "request.h"

// After a stop and a continue the kernel begins a masked sleep anew, with the whole time: a sleep
// for one event, after which nothing is unclear, is cut to this.
enum { SLICE_NS = 100000000 };

static struct kaio_mask make_mask(kaio_signals signals) {
    enum { WORD_BITS = 8 * sizeof(kaio_raw_ulong) };
    struct kaio_mask mask = {.was_in_force = false};
    for (unsigned i = 0; i < sizeof mask.words / sizeof mask.words[0]; ++i) {
        unsigned first_bit = i * WORD_BITS;
        mask.words[i] = (kaio_raw_ulong)(signals.bits[first_bit / 64] >> first_bit % 64);
    }
    return mask;
}

// reap_under reaps once under `mask`.
static long reap_under(struct kaio_queue_place *queue, uint32_t min_count,
                       struct kaio_raw_timespec *timeout, struct kaio_mask *mask) {
    struct kaio_raw_sigset sigset = {.sigmask = mask->words, .sigsetsize = sizeof mask->words};
    struct kaio_raw_event events[KAIO_REAP_COUNT];
    ++queue->getevents_count;
    long count = kaio_kernel_pgetevents(queue->ctx, (long)min_count, KAIO_REAP_COUNT, events,
                                        timeout, &sigset);
    kaio_queue_settle(queue, events, count);
    mask->was_in_force = true;
    mask->is_interrupted |= count == -EINTR;
    return count;
}

// Fewer events than asked for, before the time is over: a handler has run.
long kaio_queue_reap_masked(struct kaio_queue_place *queue, uint32_t min_count,
                            kaio_deadline deadline, struct kaio_mask *mask) {
    struct kaio_raw_old_timespec left;
    struct kaio_raw_old_timespec *is_limited;
    bool is_cut = min_count == 1 && deadline.at_ns != INT64_MAX;
    if (!kaio_queue_time_left(deadline, is_cut ? SLICE_NS : INT64_MAX, &left, &is_limited)) {
        return 0;
    }
    struct kaio_raw_timespec timeout = {.tv_sec = is_limited == NULL ? 0 : left.tv_sec,
                                        .tv_nsec = is_limited == NULL ? 0 : left.tv_nsec};
    long count = reap_under(queue, min_count, is_limited == NULL ? NULL : &timeout, mask);
    if (count >= 0 && count < (long)min_count && !is_cut) {
        mask->is_interrupted |= kaio_queue_time_left(deadline, INT64_MAX, &left, &is_limited);
    }
    return count;
}

// is_supported asks the kernel once for each queue, for nothing, under no mask.
static bool is_supported(struct kaio_queue_place *queue) {
    if (queue->has_pgetevents == 0) {
        struct kaio_raw_timespec no_time = {.tv_sec = 0};
        long answer = kaio_kernel_pgetevents(queue->ctx, 0, 0, NULL, &no_time, NULL);
        queue->has_pgetevents = answer != -ENOSYS;
    }
    return queue->has_pgetevents != 0;
}

// wait_under waits, and lets in what is pending also when it need not sleep.
static kaio_status wait_under(struct kaio_queue_place *queue, uint32_t min_count,
                              kaio_deadline deadline, struct kaio_mask *mask) {
    kaio_status status = kaio_queue_wait_for(queue, min_count, deadline, mask);
    if (!mask->was_in_force) {
        struct kaio_raw_timespec no_time = {.tv_sec = 0};
        long count = reap_under(queue, 0, &no_time, mask);
        if (count < 0 && count != -EINTR && kaio_status_is_ok(status)) {
            return kaio_status_os(KAIO_SUBJECT_QUEUE, (int)-count);
        }
    }
    return mask->is_interrupted && !kaio_status_is_ok(status)
               ? kaio_status_make(KAIO_INTERRUPTED, KAIO_SUBJECT_QUEUE)
               : status;
}

kaio_status kaio_queue_wait_masked(kaio_queue *queue, uint32_t min_count, kaio_deadline deadline,
                                   kaio_signals signals, uint32_t *out_ready_count) {
    if (out_ready_count == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OUTPUT);
    }
    kaio_status status;
    struct kaio_queue_place *place = kaio_queue_enter_alone(queue, &status);
    if (place == NULL) {
        return status;
    }
    if (!is_supported(place)) {
        kaio_queue_leave();
        status = kaio_status_make(KAIO_UNSUPPORTED, KAIO_SUBJECT_QUEUE);
        status.os_error = ENOSYS;
        return status;
    }
    struct kaio_mask mask = make_mask(signals);
    status = wait_under(place, min_count, deadline, &mask);
    if (kaio_status_is_ok(status)) {
        *out_ready_count = place->finished_count;
    }
    kaio_queue_leave();
    return status;
}
