#include <errno.h>

#include "file_pin.h"
#include "helper.h"
#include "kaio/safe/queue.h"
#include "queue_send.h"
#include "queue_steps.h"
#include "request.h"
#include "rest.h"
#include "term.h"

// refusal_of names what a refused request was refused for, where it is more than its errno.
static kaio_code refusal_of(const struct kaio_slot *slot, int os_error) {
    bool is_forced = (slot->flags & KAIO_SLOT_IS_FORCED) != 0;
    return is_forced && os_error == EOPNOTSUPP ? KAIO_CAN_STALL : KAIO_OS_ERROR;
}

// refuse_first ends the first staged request. False: it is with a helper instead.
static bool refuse_first(struct kaio_queue_place *queue, int os_error) {
    struct kaio_slot *slot = kaio_slot_of(queue->staged[queue->staged_first]);
    ++queue->staged_first;
    --queue->staged_count;
    if (kaio_helper_retry(queue, slot, os_error)) {
        return false;
    }
    slot->refusal = (uint16_t)refusal_of(slot, os_error);
    kaio_slot_set_result(slot, -(int64_t)os_error);
    kaio_rest_fold(queue, slot);
    kaio_term_settle(queue, slot);
    kaio_request_finish(queue, slot);
    kaio_queue_raise(queue);
    return true;
}

// The kernel takes nothing now and may later; nothing is wrong with the request.
static bool is_shortage(long error) {
    return error == 0 || error == -EAGAIN || error == -ENOMEM || error == -EINTR;
}

bool kaio_queue_send_refused(struct kaio_queue_place *queue, long answer,
                             kaio_flush_report *report) {
    if (is_shortage(answer)) {
        report->os_error = answer == 0 ? EAGAIN : (int32_t)-answer;
        ++queue->again_count;
        return false;
    }
    bool is_refused = refuse_first(queue, (int)-answer);
    report->refused_count += is_refused;
    report->accepted_count += !is_refused;
    return true;
}

static void ask_for_events(struct kaio_queue_place *queue) {
    for (uint32_t i = queue->staged_first; i < queue->staged_end; ++i) {
        kaio_raw_set_eventfd(queue->staged[i], queue->event_fd);
    }
}

uint32_t kaio_queue_prepare(struct kaio_queue_place *queue) {
    if (queue->event_fd >= 0) {
        ask_for_events(queue);
    }
    bool is_helped = kaio_has_helpers(queue) && queue->staged_first < queue->staged_end;
    return is_helped ? kaio_helper_prepare(queue, kaio_queue_now_ns(queue)) : 0;
}

#ifndef NDEBUG
uint32_t kaio_queue_sound_count(const struct kaio_queue_place *queue, uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) {
        const struct kaio_slot *slot = kaio_slot_of(queue->staged[queue->staged_first + i]);
        uintptr_t bits = queue->attachments[slot->attachment].bits;
        if (kaio_file_is_replaced(kaio_file_at(kaio_bits_index(bits)))) {
            return i;
        }
    }
    return count;
}
#endif

kaio_flush_report kaio_queue_send(struct kaio_queue_place *queue) {
    return kaio_queue_send_inline(queue);
}

kaio_status kaio_queue_send_status(const kaio_flush_report *report) {
    if (report->os_error == 0) {
        return kaio_status_ok();
    }
    kaio_status status = kaio_status_make(KAIO_AGAIN, KAIO_SUBJECT_REQUEST);
    status.os_error = report->os_error;
    status.detail = report->staged_count;
    return status;
}

kaio_status kaio_queue_flush(kaio_queue *queue, kaio_flush_report *out_report) {
    if (out_report == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OUTPUT);
    }
    kaio_status why;
    struct kaio_queue_place *place = kaio_queue_enter_alone(queue, &why);
    if (place == NULL) {
        return why;
    }
    *out_report = kaio_queue_send(place);
    kaio_queue_leave();
    return kaio_queue_send_status(out_report);
}
