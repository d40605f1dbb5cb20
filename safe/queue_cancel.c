#include <errno.h>

#include "kaio/safe/queue.h"
#include "kernel.h"
#include "queue_steps.h"
#include "request.h"

int kaio_queue_ask_end(const struct kaio_queue_place *queue, struct kaio_slot *slot) {
    long answer = kaio_kernel_cancel(queue->ctx, &slot->iocb, NULL);
    if (answer != 0 && answer != -EINPROGRESS) {
        return (int)-answer;
    }
    slot->flags |= KAIO_SLOT_WAS_CANCELLED;
    return 0;
}

static kaio_status cancel_in_flight(const struct kaio_queue_place *queue, struct kaio_slot *slot,
                                    kaio_cancel_answer *out_answer) {
    int error = kaio_queue_ask_end(queue, slot);
    if (error != 0 && error != EINVAL) {
        return kaio_status_os(KAIO_SUBJECT_QUEUE, error);
    }
    *out_answer = error == 0 ? KAIO_CANCEL_ASKED : KAIO_CANCEL_CANNOT;
    return kaio_status_ok();
}

// cancel asks for the end of the request that `ticket` names in the entered queue.
static kaio_status cancel(struct kaio_queue_place *queue, kaio_ticket ticket,
                          kaio_cancel_answer *out_answer) {
    struct kaio_slot *slot = kaio_request_of_ticket(queue, ticket);
    if (slot == NULL) {
        *out_answer = KAIO_CANCEL_STALE;
        return kaio_status_ok();
    }
    switch (kaio_word_state(kaio_slot_load(slot))) {
        case KAIO_SLOT_STAGED:
            kaio_request_cancel_staged(queue, slot);
            *out_answer = KAIO_CANCEL_UNSENT;
            return kaio_status_ok();
        case KAIO_SLOT_IN_FLIGHT:
            return cancel_in_flight(queue, slot, out_answer);
        default:  // finished
            *out_answer = KAIO_CANCEL_CANNOT;
            return kaio_status_ok();
    }
}

kaio_status kaio_queue_cancel(kaio_queue *queue, kaio_ticket ticket,
                              kaio_cancel_answer *out_answer) {
    if (out_answer == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OUTPUT);
    }
    kaio_status status;
    struct kaio_queue_place *place = kaio_queue_enter(queue, &status);
    if (place == NULL) {
        return status;
    }
    kaio_cancel_answer answer;
    status = cancel(place, ticket, &answer);
    kaio_queue_leave();
    if (kaio_status_is_ok(status)) {
        *out_answer = answer;
    }
    return status;
}

const char *kaio_cancel_answer_name(kaio_cancel_answer answer) {
    switch (answer) {
        case KAIO_CANCEL_STALE:
            return "stale";
        case KAIO_CANCEL_UNSENT:
            return "unsent";
        case KAIO_CANCEL_ASKED:
            return "asked";
        case KAIO_CANCEL_CANNOT:
            return "cannot";
    }
    return "invalid";
}
