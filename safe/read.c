#include "kaio/safe/read.h"

#include "request.h"

kaio_status kaio_read_new(kaio_queue *queue, kaio_file *file, kaio_range range, kaio_rw_flags flags,
                          kaio_buffer **move_buffer, kaio_read **out_read) {
    struct kaio_transfer transfer = {.kind = KAIO_KIND_READ, .range = range, .flags = flags};
    if (out_read == NULL || move_buffer == NULL) {
        return kaio_request_null(out_read, KAIO_SUBJECT_BUFFER);
    }
    uintptr_t bits;
    kaio_status status =
        kaio_request_new_transfer(queue, file, &transfer, (uintptr_t)*move_buffer, &bits);
    if (kaio_status_is_ok(status)) {
        *move_buffer = NULL;
        *out_read = (kaio_read *)bits;
    }
    return status;
}

kaio_ticket kaio_read_push_(kaio_read *read, uint64_t user) {
    return kaio_request_push((uintptr_t)read, KAIO_KIND_READ, user);
}

kaio_status kaio_read_abandon(kaio_read **move_read, kaio_buffer **out_buffer) {
    if (move_read == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_REQUEST);
    }
    if (out_buffer == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OUTPUT);
    }
    uintptr_t memory;
    kaio_status status =
        kaio_request_abandon((uintptr_t)*move_read, KAIO_KIND_READ, KAIO_KIND_BUFFER, &memory);
    if (kaio_status_is_ok(status)) {
        *move_read = NULL;
        *out_buffer = (kaio_buffer *)memory;
    }
    return status;
}

void kaio_read_drop(kaio_read **move_read) {
    if (move_read == NULL) {
        return;
    }
    kaio_read *read = *move_read;
    *move_read = NULL;
    kaio_request_drop((uintptr_t)read, KAIO_KIND_READ);
}

kaio_status kaio_read_set_priority(kaio_read *read, kaio_priority priority) {
    return kaio_request_set_priority((uintptr_t)read, KAIO_KIND_READ, priority);
}

kaio_status kaio_read_retarget(kaio_read *read, kaio_file *file, kaio_range range,
                               kaio_rw_flags flags) {
    struct kaio_transfer transfer = {.kind = KAIO_KIND_READ, .range = range, .flags = flags};
    return kaio_request_retarget((uintptr_t)read, file, &transfer);
}

kaio_status kaio_read_into_write(kaio_read **move_read, kaio_write **out_write) {
    if (move_read == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_REQUEST);
    }
    if (out_write == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OUTPUT);
    }
    uintptr_t bits = (uintptr_t)*move_read;
    kaio_status status = kaio_request_retype(&bits, KAIO_KIND_READ, KAIO_KIND_WRITE);
    if (kaio_status_is_ok(status)) {
        *move_read = NULL;
        *out_write = (kaio_write *)bits;
    }
    return status;
}

kaio_status kaio_read_rest_start(kaio_queue *queue, kaio_file *file, kaio_rw_flags flags,
                                 kaio_completion *completion, kaio_ticket *out_ticket) {
    return kaio_request_start_rest(queue, file, KAIO_KIND_READ, flags, completion, out_ticket);
}
