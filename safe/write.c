#include "kaio/safe/write.h"

#include "request.h"

kaio_status kaio_write_new(kaio_queue *queue, kaio_file *file, kaio_range range,
                           kaio_rw_flags flags, kaio_buffer **move_buffer, kaio_write **out_write) {
    struct kaio_transfer transfer = {.kind = KAIO_KIND_WRITE, .range = range, .flags = flags};
    uintptr_t bits;
    kaio_status status =
        kaio_request_new_transfer(queue, file, &transfer, move_buffer, out_write, &bits);
    if (kaio_status_is_ok(status)) {
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
    kaio_status status = kaio_request_abandon((uintptr_t)*move_write, KAIO_KIND_WRITE, out_buffer);
    if (kaio_status_is_ok(status)) {
        *move_write = NULL;
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

kaio_status kaio_write_start(kaio_queue *queue, kaio_file *file, kaio_range range,
                             kaio_rw_flags flags, uint64_t user, kaio_buffer **move_buffer,
                             kaio_ticket *out_ticket) {
    struct kaio_transfer transfer = {.kind = KAIO_KIND_WRITE, .range = range, .flags = flags};
    return kaio_request_start_transfer(queue, file, &transfer, user, move_buffer, out_ticket);
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
