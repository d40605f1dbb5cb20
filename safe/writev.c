#include "kaio/safe/writev.h"

#include "vector.h"

kaio_status kaio_writev_new(kaio_queue *queue, kaio_file *file, uint64_t file_offset_bytes,
                            kaio_rw_flags flags, kaio_segment *move_segments,
                            uint32_t segment_count, kaio_writev **out_writev) {
    const struct kaio_vector vector = {.kind = KAIO_KIND_WRITEV,
                                       .segments = move_segments,
                                       .count = segment_count,
                                       .file_offset_bytes = file_offset_bytes,
                                       .flags = flags};
    uintptr_t bits;
    kaio_status status = kaio_vector_new(queue, file, &vector, out_writev, &bits);
    if (kaio_status_is_ok(status)) {
        *out_writev = (kaio_writev *)bits;
    }
    return status;
}

kaio_ticket kaio_writev_push_(kaio_writev *writev, uint64_t user) {
    return kaio_request_push((uintptr_t)writev, KAIO_KIND_WRITEV, user);
}

kaio_status kaio_writev_abandon(kaio_writev **move_writev, kaio_segment *out_segments,
                                uint32_t capacity, uint32_t *out_segment_count) {
    if (move_writev == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_REQUEST);
    }
    if (out_segments == NULL || out_segment_count == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OUTPUT);
    }
    kaio_status status = kaio_vector_abandon((uintptr_t)*move_writev, KAIO_KIND_WRITEV,
                                             out_segments, capacity, out_segment_count);
    if (kaio_status_is_ok(status)) {
        *move_writev = NULL;
    }
    return status;
}

void kaio_writev_drop(kaio_writev **move_writev) {
    if (move_writev == NULL) {
        return;
    }
    kaio_writev *writev = *move_writev;
    *move_writev = NULL;
    kaio_request_drop((uintptr_t)writev, KAIO_KIND_WRITEV);
}

kaio_status kaio_writev_start(kaio_queue *queue, kaio_file *file, uint64_t file_offset_bytes,
                              kaio_rw_flags flags, uint64_t user, kaio_segment *move_segments,
                              uint32_t segment_count, kaio_ticket *out_ticket) {
    const struct kaio_vector vector = {.kind = KAIO_KIND_WRITEV,
                                       .segments = move_segments,
                                       .count = segment_count,
                                       .file_offset_bytes = file_offset_bytes,
                                       .flags = flags};
    return kaio_vector_start(queue, file, &vector, user, out_ticket);
}

kaio_status kaio_writev_set_priority(kaio_writev *writev, kaio_priority priority) {
    return kaio_request_set_priority((uintptr_t)writev, KAIO_KIND_WRITEV, priority);
}

kaio_status kaio_writev_retarget(kaio_writev *writev, kaio_file *file, uint64_t file_offset_bytes,
                                 kaio_rw_flags flags) {
    const struct kaio_vector vector = {
        .kind = KAIO_KIND_WRITEV, .file_offset_bytes = file_offset_bytes, .flags = flags};
    return kaio_vector_retarget((uintptr_t)writev, file, &vector);
}

kaio_status kaio_writev_into_readv(kaio_writev **move_writev, kaio_readv **out_readv) {
    if (move_writev == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_REQUEST);
    }
    if (out_readv == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OUTPUT);
    }
    uintptr_t bits = (uintptr_t)*move_writev;
    kaio_status status = kaio_vector_retype(&bits, KAIO_KIND_WRITEV, KAIO_KIND_READV);
    if (kaio_status_is_ok(status)) {
        *move_writev = NULL;
        *out_readv = (kaio_readv *)bits;
    }
    return status;
}

kaio_status kaio_writev_rest_start(kaio_queue *queue, kaio_file *file, kaio_rw_flags flags,
                                   kaio_completion *completion, kaio_ticket *out_ticket) {
    return kaio_vector_start_rest(queue, file, KAIO_KIND_WRITEV, flags, completion, out_ticket);
}
