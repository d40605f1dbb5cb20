#include "rest.h"

#include <errno.h>

#include "vector.h"

// ---- the iocb: the whole, or what is left of it ----

static struct iovec *segments_of(const struct kaio_slot *slot) {
    return (struct iovec *)(uintptr_t)slot->iocb.aio_buf;
}

// skip_segments leaves out the segments that `size_bytes` fill, which are not all, and what these
// fill of the next.
static void skip_segments(struct kaio_slot *slot, struct kaio_rest *rest, uint32_t size_bytes) {
    struct iovec *segment = segments_of(slot);
    uint32_t skipped_count = 0;
    while (size_bytes >= segment->iov_len) {
        size_bytes -= (uint32_t)segment->iov_len;
        ++segment;
        ++skipped_count;
    }
    segment->iov_base = (uint8_t *)segment->iov_base + size_bytes;
    segment->iov_len -= size_bytes;
    slot->iocb.aio_buf = (uint64_t)(uintptr_t)segment;
    slot->iocb.aio_nbytes -= skipped_count;
    rest->skipped_count = skipped_count;
    rest->skipped_bytes = size_bytes;
}

static void unskip_segments(struct kaio_slot *slot, const struct kaio_rest *rest) {
    struct iovec *segment = segments_of(slot);
    segment->iov_base = (uint8_t *)segment->iov_base - rest->skipped_bytes;
    segment->iov_len += rest->skipped_bytes;
    slot->iocb.aio_buf = (uint64_t)(uintptr_t)(segment - rest->skipped_count);
    slot->iocb.aio_nbytes += rest->skipped_count;
}

static bool is_vectored(const struct kaio_slot *slot) {
    return kaio_kind_is_vectored(kaio_slot_kind(kaio_slot_load(slot)));
}

// advance makes the iocb of the whole that of what is behind rest->moved_bytes; rewind undoes it.
static void advance(struct kaio_slot *slot, struct kaio_rest *rest) {
    slot->iocb.aio_offset += rest->moved_bytes;
    if (is_vectored(slot)) {
        skip_segments(slot, rest, rest->moved_bytes);
    } else {
        slot->iocb.aio_buf += rest->moved_bytes;
        slot->iocb.aio_nbytes -= rest->moved_bytes;
    }
}

static void rewind_slot(struct kaio_slot *slot, const struct kaio_rest *rest) {
    slot->iocb.aio_offset -= rest->moved_bytes;
    if (is_vectored(slot)) {
        unskip_segments(slot, rest);
    } else {
        slot->iocb.aio_buf -= rest->moved_bytes;
        slot->iocb.aio_nbytes += rest->moved_bytes;
    }
}

void kaio_rest_rewind_all(struct kaio_queue_place *queue) {
    for (uint32_t i = 0; i < queue->depth; ++i) {
        struct kaio_rest *rest = kaio_rest_of(queue, &queue->slots[i]);
        if (rest != NULL && rest->moved_bytes > 0) {
            rewind_slot(&queue->slots[i], rest);
        }
    }
}

void kaio_rest_advance_all(struct kaio_queue_place *queue) {
    for (uint32_t i = 0; i < queue->depth; ++i) {
        struct kaio_rest *rest = kaio_rest_of(queue, &queue->slots[i]);
        if (rest != NULL && rest->moved_bytes > 0) {
            advance(&queue->slots[i], rest);
        }
    }
}

// ---- going on ----

static bool is_transfer(uint32_t kind) {
    return kind != KAIO_KIND_SYNC && kind != KAIO_KIND_POLL;
}

// may_go_on tells whether the rest behind `moved_bytes` more is a transfer of its own right: where
// the next byte is is known, and it may be asked for from there.
static bool may_go_on(const struct kaio_queue_place *queue, const struct kaio_slot *slot,
                      uint32_t kind, uint64_t moved_bytes) {
    const struct kaio_file_place *file = kaio_request_file(queue, slot);
    bool is_write = kaio_kind_is_write(kind);
    const struct kaio_file_way *way = is_write ? &file->write : &file->read;
    bool has_place = file->has_offsets && !(is_write && kaio_request_is_append(file, slot));
    return has_place && (moved_bytes & (way->mask | file->memory_mask)) == 0 &&
           (slot->flags & KAIO_SLOT_WAS_CANCELLED) == 0;
}

// stage_rest sends a claimed request on its way again, behind `moved_bytes` more.
static void stage_rest(struct kaio_queue_place *queue, struct kaio_slot *slot,
                       struct kaio_rest *rest, uint32_t moved_bytes) {
    if (rest->moved_bytes > 0) {
        rewind_slot(slot, rest);
    } else {
        rest->first_sent_ns = slot->sent_ns;
        rest->count = 0;
    }
    rest->moved_bytes += moved_bytes;
    ++rest->count;
    advance(slot, rest);
    kaio_request_rename(queue, slot);
    kaio_slot_set_result(slot, 0);  // which the kernel must not see
    kaio_slot_enter(slot, KAIO_SLOT_STAGED);
    ++queue->staged_count;
    kaio_request_append_staged(queue, slot);
    queue->extras->has_staged_rest = 1;
    ++queue->extras->continued_count;
}

bool kaio_rest_go_on(struct kaio_queue_place *queue, struct kaio_slot *slot) {
    struct kaio_rest *rest = kaio_rest_of(queue, slot);
    uint32_t kind = kaio_slot_kind(kaio_slot_load(slot));
    if (rest == NULL || !is_transfer(kind)) {
        return false;
    }
    int64_t result = kaio_slot_result(slot);
    uint32_t sent_count = rest->moved_bytes > 0 ? rest->count : 0;
    bool is_short = result > 0 && (uint64_t)result < kaio_rest_left_bytes(queue, slot);
    if (is_short && sent_count < queue->extras->continue_limit &&
        may_go_on(queue, slot, kind, (uint64_t)result)) {
        stage_rest(queue, slot, rest, (uint32_t)result);
        return true;
    }
    kaio_rest_fold(queue, slot);
    return false;
}

// ---- the end ----

// error_of is what stopped a request whose last piece moved nothing.
static int32_t error_of(const struct kaio_slot *slot, int64_t result) {
    if ((slot->flags & KAIO_SLOT_WAS_CANCELLED) != 0 && result == 0) {
        return ECANCELED;
    }
    return result < -INT32_MAX ? INT32_MAX : (int32_t)-result;
}

void kaio_rest_fold(struct kaio_queue_place *queue, struct kaio_slot *slot) {
    struct kaio_rest *rest = kaio_rest_of(queue, slot);
    if (rest == NULL || rest->moved_bytes == 0) {
        return;
    }
    rewind_slot(slot, rest);
    int64_t result = kaio_slot_result(slot);
    uint64_t last_bytes = result > 0 ? (uint64_t)result : 0;
    uint64_t sum_bytes = rest->moved_bytes + last_bytes;
    if (sum_bytes < kaio_slot_asked_bytes(slot)) {
        slot->flags |= KAIO_SLOT_HAS_REST;
        rest->os_error = last_bytes > 0 ? 0 : error_of(slot, result);
        bool is_write = kaio_kind_is_write(kaio_slot_kind(kaio_slot_load(slot)));
        rest->met_end = result == 0 && rest->os_error == 0 && !is_write;
    }
    slot->refusal = KAIO_OK;
    kaio_slot_set_result(slot, (int64_t)sum_bytes);
    slot->sent_ns = rest->first_sent_ns;
    rest->moved_bytes = 0;
}

void kaio_rest_judge(const struct kaio_queue_place *queue, const struct kaio_slot *slot,
                     kaio_verdict *verdict) {
    const struct kaio_rest *rest = kaio_rest_of(queue, slot);
    bool has_rest = rest != NULL && (slot->flags & KAIO_SLOT_HAS_REST) != 0;
    if (has_rest && verdict->transfer == KAIO_TRANSFER_SHORT) {
        verdict->os_error = rest->os_error;
        verdict->met_end = rest->met_end != 0;
    }
}
