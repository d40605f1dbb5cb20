#include "kaio/safe/sync.h"

#include "request.h"

// begin checks the arguments, enters the queue and makes an idle sync. With a slot the caller
// leaves the queue; NULL: it was not entered, or was left, and the reason is in `*out_why`.
static struct kaio_slot *begin(kaio_queue *handle, const kaio_file *file, kaio_sync_kind kind,
                               const void *output, struct kaio_queue_place **out_queue,
                               kaio_status *out_why) {
    if ((uint32_t)kind > KAIO_SYNC_ALL_UNORDERED) {
        *out_why = kaio_status_pair(KAIO_RANGE, KAIO_SUBJECT_KIND, (uint32_t)kind,
                                    KAIO_SYNC_ALL_UNORDERED);
        return NULL;
    }
    struct kaio_file_place *place;
    struct kaio_slot *slot =
        kaio_request_begin_plain(handle, file, KAIO_KIND_SYNC, output, out_queue, &place, out_why);
    if (slot != NULL) {
        bool is_all = kind == KAIO_SYNC_ALL || kind == KAIO_SYNC_ALL_UNORDERED;
        slot->flags = kind == KAIO_SYNC_DATA || kind == KAIO_SYNC_ALL ? KAIO_SLOT_IS_ORDERED : 0;
        slot->iocb = is_all ? kaio_raw_prep_fsync(place->fd) : kaio_raw_prep_fdsync(place->fd);
        kaio_raw_set_data(&slot->iocb, kaio_request_bits(*out_queue, slot));
    }
    return slot;
}

kaio_status kaio_sync_new(kaio_queue *queue, kaio_file *file, kaio_sync_kind kind,
                          kaio_sync **out_sync) {
    struct kaio_queue_place *place;
    kaio_status why;
    struct kaio_slot *slot = begin(queue, file, kind, out_sync, &place, &why);
    if (slot == NULL) {
        return why;
    }
    *out_sync = (kaio_sync *)(uintptr_t)slot->iocb.aio_data;
    kaio_queue_leave();
    return kaio_status_ok();
}

kaio_ticket kaio_sync_push_(kaio_sync *sync, uint64_t user) {
    return kaio_request_push((uintptr_t)sync, KAIO_KIND_SYNC, user);
}

kaio_status kaio_sync_abandon(kaio_sync **move_sync) {
    if (move_sync == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_REQUEST);
    }
    uintptr_t none;
    kaio_status status = kaio_request_abandon((uintptr_t)*move_sync, KAIO_KIND_SYNC, 0, &none);
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
    struct kaio_queue_place *place;
    kaio_status why;
    struct kaio_slot *slot = begin(queue, file, kind, out_ticket, &place, &why);
    if (slot == NULL) {
        return why;
    }
    out_ticket->bits = slot->iocb.aio_data;
    kaio_request_stage(place, slot, user);
    kaio_queue_leave();
    return kaio_status_ok();
}
