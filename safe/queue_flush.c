#include <assert.h>
#include <errno.h>

#include "attach.h"
#include "kaio/safe/queue.h"
#include "kernel.h"
#include "queue_steps.h"
#include "request.h"

static struct kaio_slot *slot_of(struct kaio_raw_iocb *iocb) {
    static_assert(offsetof(struct kaio_slot, iocb) == 0, "an iocb's address is its slot's");
    return (struct kaio_slot *)iocb;
}

static void mark_sent(struct kaio_queue_place *queue, uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) {
        kaio_slot_enter(slot_of(queue->staged[queue->staged_first + i]), KAIO_SLOT_IN_FLIGHT);
    }
    queue->staged_first += count;
    queue->staged_count -= count;
    queue->in_flight_count += count;
}

// refusal_of names what a refused request was refused for, where it is more than its errno.
static kaio_code refusal_of(const struct kaio_slot *slot, int os_error) {
    bool is_forced = (slot->flags & KAIO_SLOT_IS_FORCED) != 0;
    return is_forced && os_error == EOPNOTSUPP ? KAIO_CAN_STALL : KAIO_OS_ERROR;
}

static void refuse_first(struct kaio_queue_place *queue, int os_error) {
    struct kaio_slot *slot = slot_of(queue->staged[queue->staged_first]);
    ++queue->staged_first;
    --queue->staged_count;
    slot->refusal = (uint16_t)refusal_of(slot, os_error);
    kaio_slot_set_result(slot, -(int64_t)os_error);
    kaio_request_finish(queue, slot);
    kaio_queue_raise(queue);
}

// The kernel takes nothing now and may later; nothing is wrong with the request.
static bool is_shortage(long error) {
    return error == 0 || error == -EAGAIN || error == -ENOMEM || error == -EINTR;
}

// ask_for_events has the kernel raise the eventfd for everything that is about to be sent.
static void ask_for_events(struct kaio_queue_place *queue) {
    for (uint32_t i = queue->staged_first; i < queue->staged_end; ++i) {
        kaio_raw_set_eventfd(queue->staged[i], queue->event_fd);
    }
}

// Each call sends something or ends the first entry, since only the first one's errno is ever told.
kaio_flush_report kaio_queue_send(struct kaio_queue_place *queue) {
    kaio_flush_report report = {.accepted_count = 0};
    if (KAIO_UNLIKELY(queue->event_fd >= 0)) {
        ask_for_events(queue);
    }
    while (queue->staged_first < queue->staged_end) {
        uint32_t count = queue->staged_end - queue->staged_first;
        long answer =
            kaio_kernel_submit(queue->ctx, (long)count, queue->staged + queue->staged_first);
        if (answer > 0) {
            assert((unsigned long)answer <= count);
            mark_sent(queue, (uint32_t)answer);
            report.accepted_count += (uint32_t)answer;
        } else if (is_shortage(answer)) {
            report.os_error = answer == 0 ? EAGAIN : (int32_t)-answer;
            break;
        } else {
            refuse_first(queue, (int)-answer);
            ++report.refused_count;
        }
    }
    if (queue->staged_first == queue->staged_end) {
        queue->staged_first = queue->staged_end = 0;
    }
    report.staged_count = queue->staged_count;
    kaio_detach_dropped(queue);
    return report;
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
    struct kaio_queue_place *place = kaio_queue_enter(queue, &why);
    if (place == NULL) {
        return why;
    }
    *out_report = kaio_queue_send(place);
    kaio_queue_leave();
    return kaio_queue_send_status(out_report);
}
