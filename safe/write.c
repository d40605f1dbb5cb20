#include "kaio/safe/write.h"

#include "request.h"

kaio_status kaio_write_new(kaio_queue *queue, kaio_file *file, kaio_range range,
                           kaio_rw_flags flags, kaio_buffer **move_buffer, kaio_write **out_write) {
    struct kaio_transfer transfer = {.kind = KAIO_KIND_WRITE, .range = range, .flags = flags};
    if (out_write == NULL || move_buffer == NULL) {
        return kaio_request_null(out_write, KAIO_SUBJECT_BUFFER);
    }
    uintptr_t bits;
    kaio_status status =
        kaio_request_new_transfer(queue, file, &transfer, (uintptr_t)*move_buffer, &bits);
    if (kaio_status_is_ok(status)) {
        *move_buffer = NULL;
        *out_write = (kaio_write *)bits;
    }
    return status;
}

kaio_status kaio_write_new_shared(kaio_queue *queue, kaio_file *file, kaio_range range,
                                  kaio_rw_flags flags, kaio_view **move_view,
                                  kaio_write **out_write) {
    struct kaio_transfer transfer = {
        .kind = KAIO_KIND_WRITE, .is_view = true, .range = range, .flags = flags};
    if (out_write == NULL || move_view == NULL) {
        return kaio_request_null(out_write, KAIO_SUBJECT_VIEW);
    }
    uintptr_t bits;
    kaio_status status =
        kaio_request_new_transfer(queue, file, &transfer, (uintptr_t)*move_view, &bits);
    if (kaio_status_is_ok(status)) {
        *move_view = NULL;
        *out_write = (kaio_write *)bits;
    }
    return status;
}

kaio_ticket kaio_write_push_(kaio_write *write, uint64_t user) {
    return kaio_request_push((uintptr_t)write, KAIO_KIND_WRITE, user);
}

kaio_status kaio_write_abandon(kaio_write **move_write, kaio_buffer **out_buffer) {
    if (move_write == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_REQUEST);
    }
    if (out_buffer == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OUTPUT);
    }
    uintptr_t memory;
    kaio_status status =
        kaio_request_abandon((uintptr_t)*move_write, KAIO_KIND_WRITE, KAIO_KIND_BUFFER, &memory);
    if (kaio_status_is_ok(status)) {
        *move_write = NULL;
        *out_buffer = (kaio_buffer *)memory;
    }
    return status;
}

kaio_status kaio_write_abandon_shared(kaio_write **move_write, kaio_view **out_view) {
    if (move_write == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_REQUEST);
    }
    if (out_view == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OUTPUT);
    }
    uintptr_t memory;
    kaio_status status =
        kaio_request_abandon((uintptr_t)*move_write, KAIO_KIND_WRITE, KAIO_KIND_VIEW, &memory);
    if (kaio_status_is_ok(status)) {
        *move_write = NULL;
        *out_view = (kaio_view *)memory;
    }
    return status;
}

void kaio_write_drop(kaio_write **move_write) {
    if (move_write == NULL) {
        return;
    }
    kaio_write *write = *move_write;
    *move_write = NULL;
    kaio_request_drop((uintptr_t)write, KAIO_KIND_WRITE);
}

kaio_status kaio_write_start_shared(kaio_queue *queue, kaio_file *file, kaio_range range,
                                    kaio_rw_flags flags, uint64_t user, kaio_view **move_view,
                                    kaio_ticket *out_ticket) {
    struct kaio_transfer transfer = {
        .kind = KAIO_KIND_WRITE, .is_view = true, .range = range, .flags = flags};
    if (KAIO_UNLIKELY(out_ticket == NULL || move_view == NULL)) {
        return kaio_request_null(out_ticket, KAIO_SUBJECT_VIEW);
    }
    kaio_status status = kaio_request_start_transfer(queue, file, &transfer, user,
                                                     (uintptr_t)*move_view, out_ticket);
    if (KAIO_LIKELY(kaio_status_is_ok(status))) {
        *move_view = NULL;
    }
    return status;
}

kaio_status kaio_write_set_priority(kaio_write *write, kaio_priority priority) {
    return kaio_request_set_priority((uintptr_t)write, KAIO_KIND_WRITE, priority);
}

kaio_status kaio_write_retarget(kaio_write *write, kaio_file *file, kaio_range range,
                                kaio_rw_flags flags) {
    struct kaio_transfer transfer = {.kind = KAIO_KIND_WRITE, .range = range, .flags = flags};
    return kaio_request_retarget((uintptr_t)write, file, &transfer);
}

kaio_status kaio_write_into_read(kaio_write **move_write, kaio_read **out_read) {
    if (move_write == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_REQUEST);
    }
    if (out_read == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OUTPUT);
    }
    uintptr_t bits = (uintptr_t)*move_write;
    kaio_status status = kaio_request_retype(&bits, KAIO_KIND_WRITE, KAIO_KIND_READ);
    if (kaio_status_is_ok(status)) {
        *move_write = NULL;
        *out_read = (kaio_read *)bits;
    }
    return status;
}

kaio_status kaio_write_rest_start(kaio_queue *queue, kaio_file *file, kaio_rw_flags flags,
                                  kaio_completion *completion, kaio_ticket *out_ticket) {
    return kaio_request_start_rest(queue, file, KAIO_KIND_WRITE, flags, completion, out_ticket);
}
