#include "kaio/safe/sync.h"

#include "request.h"

// prepare makes an idle sync in the queue that was entered.
static kaio_status prepare(struct kaio_queue_place *queue, const kaio_file *file,
                           kaio_sync_kind kind, struct kaio_slot **out_slot) {
    if (queue->free_count == 0) {
        return kaio_request_full(queue);
    }
    uint32_t attachment = 0;
    struct kaio_file_place *place = NULL;
    kaio_status status = kaio_attachment_find(queue, file, &attachment, &place);
    if (!kaio_status_is_ok(status)) {
        return status;
    }
    struct kaio_slot *slot = kaio_request_take_slot(queue, KAIO_KIND_SYNC, attachment);
    bool is_all = kind == KAIO_SYNC_ALL || kind == KAIO_SYNC_ALL_UNORDERED;
    slot->is_ordered = kind == KAIO_SYNC_DATA || kind == KAIO_SYNC_ALL;
    slot->iocb = is_all ? kaio_raw_prep_fsync(place->fd) : kaio_raw_prep_fdsync(place->fd);
    kaio_raw_set_data(&slot->iocb, kaio_request_bits(queue, slot));
    *out_slot = slot;
    return status;
}

// begin checks the arguments and enters the queue; on OK the caller leaves it.
static kaio_status begin(kaio_queue *queue, const kaio_file *file, kaio_sync_kind kind,
                         const void *output, struct kaio_queue_place **out_queue,
                         struct kaio_slot **out_slot) {
    if (output == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OUTPUT);
    }
    if ((uint32_t)kind > KAIO_SYNC_ALL_UNORDERED) {
        return kaio_status_pair(KAIO_RANGE, KAIO_SUBJECT_KIND, (uint32_t)kind,
                                KAIO_SYNC_ALL_UNORDERED);
    }
    kaio_status status = kaio_queue_enter(queue, out_queue);
    if (!kaio_status_is_ok(status)) {
        return status;
    }
    status = prepare(*out_queue, file, kind, out_slot);
    if (!kaio_status_is_ok(status)) {
        kaio_queue_leave(*out_queue);
    }
    return status;
}

kaio_status kaio_sync_new(kaio_queue *queue, kaio_file *file, kaio_sync_kind kind,
                          kaio_sync **out_sync) {
    struct kaio_queue_place *place = NULL;
    struct kaio_slot *slot;
    kaio_status status = begin(queue, file, kind, out_sync, &place, &slot);
    if (kaio_status_is_ok(status)) {
        *out_sync = (kaio_sync *)kaio_request_bits(place, slot);
        kaio_queue_leave(place);
    }
    return status;
}

kaio_ticket kaio_sync_push_(kaio_sync *sync, uint64_t user) {
    return kaio_request_push((uintptr_t)sync, KAIO_KIND_SYNC, user);
}

kaio_status kaio_sync_abandon(kaio_sync **move_sync) {
    if (move_sync == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_REQUEST);
    }
    kaio_buffer *none;
    kaio_status status = kaio_request_abandon((uintptr_t)*move_sync, KAIO_KIND_SYNC, &none);
    if (kaio_status_is_ok(status)) {
        *move_sync = NULL;
    }
    return status;
}

void kaio_sync_drop(kaio_sync **move_sync) {
    if (move_sync == NULL) {
        return;
    }
    kaio_sync *sync = *move_sync;
    *move_sync = NULL;
    kaio_request_drop((uintptr_t)sync, KAIO_KIND_SYNC);
}

kaio_status kaio_sync_start(kaio_queue *queue, kaio_file *file, kaio_sync_kind kind, uint64_t user,
                            kaio_ticket *out_ticket) {
    struct kaio_queue_place *place = NULL;
    struct kaio_slot *slot;
    kaio_status status = begin(queue, file, kind, out_ticket, &place, &slot);
    if (kaio_status_is_ok(status)) {
        out_ticket->bits = kaio_request_bits(place, slot);
        kaio_request_stage(place, slot, user);
        kaio_queue_leave(place);
    }
    return status;
}
