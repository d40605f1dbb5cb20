#include "kaio/safe/readv.h"

#include "vector.h"

kaio_status kaio_readv_new(kaio_queue *queue, kaio_file *file, uint64_t file_offset_bytes,
                           kaio_rw_flags flags, kaio_segment *move_segments, uint32_t segment_count,
                           kaio_readv **out_readv) {
    const struct kaio_vector vector = {.kind = KAIO_KIND_READV,
                                       .segments = move_segments,
                                       .count = segment_count,
                                       .file_offset_bytes = file_offset_bytes,
                                       .flags = flags};
    uintptr_t bits;
    kaio_status status = kaio_vector_new(queue, file, &vector, out_readv, &bits);
    if (kaio_status_is_ok(status)) {
        *out_readv = (kaio_readv *)bits;
    }
    return status;
}

kaio_ticket kaio_readv_push_(kaio_readv *readv, uint64_t user) {
    return kaio_request_push((uintptr_t)readv, KAIO_KIND_READV, user);
}

kaio_status kaio_readv_abandon(kaio_readv **move_readv, kaio_segment *out_segments,
                               uint32_t capacity, uint32_t *out_segment_count) {
    if (move_readv == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_REQUEST);
    }
    if (out_segments == NULL || out_segment_count == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OUTPUT);
    }
    kaio_status status = kaio_vector_abandon((uintptr_t)*move_readv, KAIO_KIND_READV, out_segments,
                                             capacity, out_segment_count);
    if (kaio_status_is_ok(status)) {
        *move_readv = NULL;
    }
    return status;
}

void kaio_readv_drop(kaio_readv **move_readv) {
    if (move_readv == NULL) {
        return;
    }
    kaio_readv *readv = *move_readv;
    *move_readv = NULL;
    kaio_request_drop((uintptr_t)readv, KAIO_KIND_READV);
}

kaio_status kaio_readv_start(kaio_queue *queue, kaio_file *file, uint64_t file_offset_bytes,
                             kaio_rw_flags flags, uint64_t user, kaio_segment *move_segments,
                             uint32_t segment_count, kaio_ticket *out_ticket) {
    const struct kaio_vector vector = {.kind = KAIO_KIND_READV,
                                       .segments = move_segments,
                                       .count = segment_count,
                                       .file_offset_bytes = file_offset_bytes,
                                       .flags = flags};
    return kaio_vector_start(queue, file, &vector, user, out_ticket);
}

kaio_status kaio_readv_set_priority(kaio_readv *readv, kaio_priority priority) {
    return kaio_request_set_priority((uintptr_t)readv, KAIO_KIND_READV, priority);
}

kaio_status kaio_readv_retarget(kaio_readv *readv, kaio_file *file, uint64_t file_offset_bytes,
                                kaio_rw_flags flags) {
    const struct kaio_vector vector = {
        .kind = KAIO_KIND_READV, .file_offset_bytes = file_offset_bytes, .flags = flags};
    return kaio_vector_retarget((uintptr_t)readv, file, &vector);
}

kaio_status kaio_readv_into_writev(kaio_readv **move_readv, kaio_writev **out_writev) {
    if (move_readv == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_REQUEST);
    }
    if (out_writev == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OUTPUT);
    }
    uintptr_t bits = (uintptr_t)*move_readv;
    kaio_status status = kaio_vector_retype(&bits, KAIO_KIND_READV, KAIO_KIND_WRITEV);
    if (kaio_status_is_ok(status)) {
        *move_readv = NULL;
        *out_writev = (kaio_writev *)bits;
    }
    return status;
}

kaio_status kaio_readv_rest_start(kaio_queue *queue, kaio_file *file, kaio_rw_flags flags,
                                  kaio_completion *completion, kaio_ticket *out_ticket) {
    return kaio_vector_start_rest(queue, file, KAIO_KIND_READV, flags, completion, out_ticket);
}
