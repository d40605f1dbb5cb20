#include "kaio/safe/poll.h"

#include "request.h"

// begin enters the queue and makes an idle poll. With a slot the caller leaves the queue; NULL: it
// was not entered, or was left, and the reason is in `*out_why`.
static struct kaio_slot *begin(kaio_queue *handle, const kaio_file *file, kaio_poll_events events,
                               const void *output, struct kaio_queue_place **out_queue,
                               kaio_status *out_why) {
    struct kaio_file_place *place;
    struct kaio_slot *slot =
        kaio_request_begin_plain(handle, file, KAIO_KIND_POLL, output, out_queue, &place, out_why);
    if (slot != NULL) {
        slot->iocb = kaio_raw_prep_poll(place->fd, events.bits);
        kaio_raw_set_data(&slot->iocb, kaio_request_bits(*out_queue, slot));
    }
    return slot;
}

kaio_status kaio_poll_new(kaio_queue *queue, kaio_file *file, kaio_poll_events events,
                          kaio_poll **out_poll) {
    struct kaio_queue_place *place;
    kaio_status why;
    struct kaio_slot *slot = begin(queue, file, events, out_poll, &place, &why);
    if (slot == NULL) {
        return why;
    }
    *out_poll = (kaio_poll *)(uintptr_t)slot->iocb.aio_data;
    kaio_queue_leave();
    return kaio_status_ok();
}

kaio_ticket kaio_poll_push_(kaio_poll *poll, uint64_t user) {
    return kaio_request_push((uintptr_t)poll, KAIO_KIND_POLL, user);
}

kaio_status kaio_poll_abandon(kaio_poll **move_poll) {
    if (move_poll == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_REQUEST);
    }
    uintptr_t none;
    kaio_status status = kaio_request_abandon((uintptr_t)*move_poll, KAIO_KIND_POLL, 0, &none);
    if (kaio_status_is_ok(status)) {
        *move_poll = NULL;
    }
    return status;
}

void kaio_poll_drop(kaio_poll **move_poll) {
    if (move_poll == NULL) {
        return;
    }
    kaio_poll *poll = *move_poll;
    *move_poll = NULL;
    kaio_request_drop((uintptr_t)poll, KAIO_KIND_POLL);
}

kaio_status kaio_poll_start(kaio_queue *queue, kaio_file *file, kaio_poll_events events,
                            uint64_t user, kaio_ticket *out_ticket) {
    struct kaio_queue_place *place;
    kaio_status why;
    struct kaio_slot *slot = begin(queue, file, events, out_ticket, &place, &why);
    if (slot == NULL) {
        return why;
    }
    out_ticket->bits = slot->iocb.aio_data;
    kaio_request_stage(place, slot, user);
    kaio_queue_leave();
    return kaio_status_ok();
}
