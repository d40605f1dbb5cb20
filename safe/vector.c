#include "vector.h"

#include <stdlib.h>
#include <string.h>

#include "file_pin.h"
#include "kaio/safe/buffer.h"
#include "kaio/safe/view.h"
#include "memory.h"
#include "rest.h"

struct kaio_segments *kaio_segments_new(uint32_t count) {
    struct kaio_segments *segments =
        calloc(1, sizeof *segments + count * (sizeof(struct iovec) + sizeof(uintptr_t)));
    if (segments != NULL) {
        segments->capacity = count;
        segments->memories = (uintptr_t *)(void *)(segments->iovecs + count);
    }
    return segments;
}

// ---- the budget ----

static uint32_t first_of(const struct kaio_queue_place *queue, const struct kaio_slot *slot) {
    const struct iovec *first = (const struct iovec *)(uintptr_t)slot->iocb.aio_buf;
    return (uint32_t)(first - queue->segments->iovecs);
}

static void place_at(const struct kaio_queue_place *queue, struct kaio_slot *slot, uint32_t first) {
    slot->iocb.aio_buf = (uint64_t)(uintptr_t)(queue->segments->iovecs + first);
}

static bool has_segments(const struct kaio_slot *slot) {
    return kaio_word_state(kaio_slot_load(slot)) != KAIO_SLOT_FREE && kaio_vector_count(slot) > 0;
}

// mark_runs leaves the number of each request's slot in the place of its first handle, which waits
// in the slot. Handles have a kind, which a number in the bits above the kind has not.
static void mark_runs(struct kaio_queue_place *queue) {
    for (uint32_t i = 0; i < queue->depth; ++i) {
        struct kaio_slot *slot = &queue->slots[i];
        if (has_segments(slot)) {
            uintptr_t *first = &queue->segments->memories[first_of(queue, slot)];
            slot->memory = *first;
            *first = ((uintptr_t)i + 1) << KAIO_KIND_BITS;
        }
    }
}

// move_together closes the gaps between the segments that are given out.
static void move_together(struct kaio_queue_place *queue) {
    struct kaio_segments *segments = queue->segments;
    kaio_rest_rewind_all(queue);
    mark_runs(queue);
    uint32_t to = 0;
    uint32_t from = 0;
    while (from < segments->end) {
        if (segments->memories[from] == 0) {
            ++from;
            continue;
        }
        uint32_t number = (uint32_t)(segments->memories[from] >> KAIO_KIND_BITS) - 1;
        struct kaio_slot *slot = &queue->slots[number];
        uint32_t count = kaio_vector_count(slot);
        segments->memories[from] = slot->memory;
        slot->memory = 0;
        memmove(&segments->iovecs[to], &segments->iovecs[from], count * sizeof(struct iovec));
        memmove(&segments->memories[to], &segments->memories[from], count * sizeof(uintptr_t));
        place_at(queue, slot, to);
        from += count;
        to += count;
    }
    memset(segments->memories + to, 0, (segments->end - to) * sizeof(uintptr_t));
    segments->end = to;
    kaio_rest_advance_all(queue);
}

// take_run gives out `count` segments, which the caller made sure of.
static uint32_t take_run(struct kaio_queue_place *queue, uint32_t count) {
    struct kaio_segments *segments = queue->segments;
    if (segments->capacity - segments->end < count) {
        move_together(queue);
    }
    uint32_t first = segments->end;
    segments->end += count;
    segments->used_count += count;
    return first;
}

static void give_run(struct kaio_segments *segments, uint32_t first, uint32_t count) {
    memset(segments->memories + first, 0, count * sizeof(uintptr_t));
    segments->used_count -= count;
    if (first + count == segments->end) {
        segments->end = first;
    }
    if (segments->used_count == 0) {
        segments->end = 0;
    }
}

// ---- checks ----

static uintptr_t memory_of(const kaio_segment *segment) {
    return segment->buffer != NULL ? (uintptr_t)segment->buffer : (uintptr_t)segment->view;
}

static bool is_view(const kaio_segment *segment) {
    return segment->buffer == NULL && segment->view != NULL;
}

// check_segment checks one segment, for `thread`.
static kaio_status check_segment(const kaio_segment *segment, uint32_t kind, uint32_t thread) {
    kaio_status why;
    if (is_view(segment) && kind == KAIO_KIND_READV) {
        return kaio_status_make(KAIO_ACCESS, KAIO_SUBJECT_VIEW);
    }
    if (segment->buffer != NULL && segment->view != NULL) {
        return kaio_status_pair(KAIO_RANGE, KAIO_SUBJECT_SEGMENTS, 2, 1);
    }
    if (!kaio_memory_find(memory_of(segment), thread, is_view(segment), &why)) {
        return why;
    }
    const kaio_range range = {.buffer_offset_bytes = segment->buffer_offset_bytes,
                              .size_bytes = segment->size_bytes};
    return kaio_request_check_range(&range, kaio_memory_of(memory_of(segment)).size_bytes);
}

// measure checks every segment, and adds their sizes up.
static kaio_status measure(const struct kaio_vector *vector, uint32_t thread,
                           uint32_t *out_size_bytes) {
    uint64_t size_bytes = 0;
    for (uint32_t i = 0; i < vector->count; ++i) {
        kaio_status status = check_segment(&vector->segments[i], vector->kind, thread);
        if (!kaio_status_is_ok(status)) {
            return status;
        }
        size_bytes += vector->segments[i].size_bytes;
    }
    if (size_bytes > KAIO_TRANSFER_SIZE_MAX_BYTES) {
        return kaio_status_pair(KAIO_RANGE, KAIO_SUBJECT_SIZE, size_bytes,
                                KAIO_TRANSFER_SIZE_MAX_BYTES);
    }
    *out_size_bytes = (uint32_t)size_bytes;
    const kaio_range range = {.file_offset_bytes = vector->file_offset_bytes,
                              .size_bytes = *out_size_bytes};
    return kaio_request_check_range(&range, *out_size_bytes);
}

// check_file checks what is asked of `file` in all, then the address of each segment.
static kaio_status check_file(const struct kaio_file_place *file, const struct kaio_vector *vector,
                              uint32_t size_bytes, const struct iovec *iovecs, uint32_t count) {
    const struct kaio_transfer whole = {
        .kind = vector->kind,
        .range = {.file_offset_bytes = vector->file_offset_bytes, .size_bytes = size_bytes},
        .flags = vector->flags};
    kaio_status status = kaio_request_check_file(file, &whole, 0);
    for (uint32_t i = 0; i < count && kaio_status_is_ok(status); ++i) {
        status = kaio_request_check_address(file, (uintptr_t)iovecs[i].iov_base);
    }
    return status;
}

static kaio_status check_addresses(const struct kaio_file_place *file,
                                   const struct kaio_vector *vector, uint32_t size_bytes) {
    kaio_status status = check_file(file, vector, size_bytes, NULL, 0);
    for (uint32_t i = 0; i < vector->count && kaio_status_is_ok(status); ++i) {
        const kaio_segment *segment = &vector->segments[i];
        uintptr_t bytes = (uintptr_t)kaio_memory_of(memory_of(segment)).bytes;
        status = kaio_request_check_address(file, bytes + segment->buffer_offset_bytes);
    }
    return status;
}

static kaio_status check_count(const struct kaio_vector *vector) {
    return vector->count == 0 || vector->count > KAIO_SEGMENT_COUNT_MAX
               ? kaio_status_pair(KAIO_RANGE, KAIO_SUBJECT_SEGMENTS, vector->count,
                                  KAIO_SEGMENT_COUNT_MAX)
               : kaio_status_ok();
}

static kaio_status check_room(const struct kaio_queue_place *queue, uint32_t count) {
    uint32_t capacity = queue->segments == NULL ? 0 : queue->segments->capacity;
    uint32_t used_count = queue->segments == NULL ? 0 : queue->segments->used_count;
    if (queue->free_count == 0) {
        return kaio_request_full(queue);
    }
    kaio_status status = kaio_status_ok();
    if (capacity - used_count < count) {
        status = kaio_status_make(KAIO_FULL, KAIO_SUBJECT_SEGMENTS);
        status.detail = capacity;
    }
    return status;
}

// ---- pins ----

// A set of segments, by number.
struct set {
    uint64_t words[KAIO_SEGMENT_COUNT_MAX / 64];
};

// unpin_all takes the pins of segments[0..count) back, and what was bound by them.
static void unpin_all(const kaio_segment *segments, uint32_t count, uint32_t thread,
                      const struct set *unbound) {
    for (uint32_t i = 0; i < count; ++i) {
        bool was_unbound = (unbound->words[i / 64] >> (i % 64) & 1) != 0;
        kaio_memory_unpin(memory_of(&segments[i]), was_unbound ? 0 : thread);
    }
}

// pin_all pins every segment. One that is there twice is busy the second time.
static kaio_status pin_all(const struct kaio_vector *vector, uint32_t thread) {
    struct set unbound = {{0}};
    for (uint32_t i = 0; i < vector->count; ++i) {
        const kaio_segment *segment = &vector->segments[i];
        struct kaio_memory_hold hold;
        kaio_status why;
        bool is_good =
            kaio_memory_find_hold(memory_of(segment), thread, is_view(segment), &hold, &why);
        if (is_good && atomic_load_explicit(hold.word, memory_order_relaxed) != hold.held_word) {
            unbound.words[i / 64] |= UINT64_C(1) << (i % 64);
        }
        if (is_good && !kaio_memory_pin(&hold, thread)) {
            why = kaio_memory_lost(memory_of(segment), thread, is_view(segment));
            is_good = false;
        }
        if (!is_good) {
            unpin_all(vector->segments, i, thread, &unbound);
            return why;
        }
    }
    return kaio_status_ok();
}

// describe fills in the iocb of an idle request, whose segments begin at `first`.
static void describe(struct kaio_queue_place *queue, struct kaio_slot *slot,
                     const struct kaio_vector *vector, const struct kaio_file_place *file,
                     uint32_t first, uint32_t count) {
    const struct iovec *iovecs = queue->segments->iovecs + first;
    int64_t offset = (int64_t)vector->file_offset_bytes;
    slot->iocb = vector->kind == KAIO_KIND_READV
                     ? kaio_raw_prep_preadv(file->fd, iovecs, count, offset)
                     : kaio_raw_prep_pwritev(file->fd, iovecs, count, offset);
    kaio_request_set_flags(slot, vector->flags, file);
    kaio_raw_set_data(&slot->iocb, kaio_request_bits(queue, slot));
}

// tell_checkers forbids or allows the bytes of each exclusive segment.
static void tell_checkers(const struct kaio_queue_place *queue, const struct kaio_slot *slot,
                          void (*tell)(const void *bytes, size_t size_bytes)) {
    uint32_t first = first_of(queue, slot);
    for (uint32_t i = first; i < first + kaio_vector_count(slot); ++i) {
        if (kaio_bits_kind(queue->segments->memories[i]) != KAIO_KIND_VIEW) {
            tell(queue->segments->iovecs[i].iov_base, queue->segments->iovecs[i].iov_len);
        }
    }
}

// define_moved says that the first `moved_bytes` of a read arrived.
static void define_moved(const struct iovec *iovecs, uint32_t count, uint64_t moved_bytes) {
    for (uint32_t i = 0; i < count && moved_bytes > 0; ++i) {
        uint64_t part_bytes = iovecs[i].iov_len < moved_bytes ? iovecs[i].iov_len : moved_bytes;
        kaio_checker_define(iovecs[i].iov_base, (size_t)part_bytes);
        moved_bytes -= part_bytes;
    }
}

// prepare checks, then takes a slot, segments, pins: an idle request, or NULL with the reason.
static struct kaio_slot *prepare(struct kaio_queue_place *queue, const kaio_file *file,
                                 const struct kaio_vector *vector, kaio_status *out_why) {
    uint32_t thread = kaio_queue_thread(queue);
    uint32_t size_bytes = 0;
    *out_why = measure(vector, thread, &size_bytes);
    if (!kaio_status_is_ok(*out_why)) {
        return NULL;
    }
    *out_why = check_room(queue, vector->count);
    if (!kaio_status_is_ok(*out_why)) {
        return NULL;
    }
    struct kaio_file_place *place;
    uint32_t attached_before = queue->attachment_count;
    struct kaio_attachment *attachment = kaio_attachment_find(queue, file, &place, out_why);
    if (attachment == NULL) {
        return NULL;
    }
    *out_why = check_addresses(place, vector, size_bytes);
    if (kaio_status_is_ok(*out_why)) {
        *out_why = pin_all(vector, thread);
    }
    if (!kaio_status_is_ok(*out_why)) {
        return kaio_request_undo_attach(queue, attachment, attached_before);
    }
    uint32_t first = take_run(queue, vector->count);
    struct kaio_slot *slot = kaio_request_take_slot(queue, vector->kind, attachment);
    for (uint32_t i = 0; i < vector->count; ++i) {
        kaio_segment *segment = &vector->segments[i];
        uintptr_t memory = memory_of(segment);
        queue->segments->memories[first + i] = memory;
        queue->segments->iovecs[first + i] =
            (struct iovec){.iov_base = kaio_memory_of(memory).bytes + segment->buffer_offset_bytes,
                           .iov_len = segment->size_bytes};
        segment->buffer = NULL;
        segment->view = NULL;
    }
    slot->asked_bytes = size_bytes;
    describe(queue, slot, vector, place, first, vector->count);
    if (kaio_is_watched()) {
        tell_checkers(queue, slot, kaio_checker_forbid);
    }
    return slot;
}

// begin checks the arguments, enters the queue and prepares. With a slot the caller leaves it.
static struct kaio_slot *begin(kaio_queue *handle, const kaio_file *file,
                               const struct kaio_vector *vector, const void *output,
                               struct kaio_queue_place **out_queue, kaio_status *out_why) {
    if (output == NULL || vector->segments == NULL) {
        *out_why = kaio_request_null(output, KAIO_SUBJECT_SEGMENTS);
        return NULL;
    }
    *out_why = check_count(vector);
    if (!kaio_status_is_ok(*out_why)) {
        return NULL;
    }
    *out_queue = kaio_queue_enter(handle, out_why);
    if (*out_queue == NULL) {
        return NULL;
    }
    struct kaio_slot *slot = prepare(*out_queue, file, vector, out_why);
    if (slot == NULL) {
        kaio_queue_leave();
    }
    return slot;
}

kaio_status kaio_vector_new(kaio_queue *queue, const kaio_file *file,
                            const struct kaio_vector *vector, const void *output,
                            uintptr_t *out_bits) {
    struct kaio_queue_place *place;
    kaio_status why;
    struct kaio_slot *slot = begin(queue, file, vector, output, &place, &why);
    if (slot == NULL) {
        return why;
    }
    *out_bits = (uintptr_t)slot->iocb.aio_data;
    kaio_queue_leave();
    return kaio_status_ok();
}

kaio_status kaio_vector_start(kaio_queue *queue, const kaio_file *file,
                              const struct kaio_vector *vector, uint64_t user,
                              kaio_ticket *out_ticket) {
    struct kaio_queue_place *place;
    kaio_status why;
    struct kaio_slot *slot = begin(queue, file, vector, out_ticket, &place, &why);
    if (slot == NULL) {
        return why;
    }
    out_ticket->bits = slot->iocb.aio_data;
    kaio_request_stage(place, slot, user);
    kaio_queue_leave();
    return kaio_status_ok();
}

// ---- the way back ----

uint32_t kaio_vector_give_back(struct kaio_queue_place *queue, struct kaio_slot *slot,
                               kaio_segment *out_segments) {
    struct kaio_segments *segments = queue->segments;
    uint32_t first = first_of(queue, slot);
    uint32_t count = kaio_vector_count(slot);
    if (kaio_is_watched()) {
        tell_checkers(queue, slot, kaio_checker_allow);
        int64_t result = slot->refusal == KAIO_OK ? kaio_slot_result(slot) : 0;
        bool is_read = slot->iocb.aio_lio_opcode == KAIO_RAW_CMD_PREADV;
        if (is_read && result > 0) {
            define_moved(segments->iovecs + first, count, (uint64_t)result);
        }
    }
    for (uint32_t i = 0; i < count; ++i) {
        uintptr_t memory = segments->memories[first + i];
        const struct iovec *iovec = &segments->iovecs[first + i];
        bool is_shared = kaio_bits_kind(memory) == KAIO_KIND_VIEW;
        uintptr_t bytes = (uintptr_t)kaio_memory_of(memory).bytes;
        out_segments[i] =
            (kaio_segment){.buffer = is_shared ? NULL : (kaio_buffer *)memory,
                           .view = is_shared ? (kaio_view *)memory : NULL,
                           .buffer_offset_bytes = (uint32_t)((uintptr_t)iovec->iov_base - bytes),
                           .size_bytes = (uint32_t)iovec->iov_len};
        kaio_memory_unpin(memory, kaio_queue_thread(queue));
    }
    give_run(segments, first, count);
    return count;
}

uint32_t kaio_segment_drop_all(kaio_segment *segments, uint32_t count) {
    uint32_t dropped_count = 0;
    for (uint32_t i = 0; i < count; ++i) {
        dropped_count += segments[i].buffer != NULL || segments[i].view != NULL;
        kaio_buffer_drop(&segments[i].buffer);
        kaio_view_drop(&segments[i].view);
    }
    return dropped_count;
}

void kaio_vector_drop_idle(struct kaio_queue_place *queue, struct kaio_slot *slot) {
    kaio_segment segments[KAIO_SEGMENT_COUNT_MAX];
    uint32_t count = kaio_vector_give_back(queue, slot, segments);
    kaio_request_free_idle(queue, slot);
    kaio_queue_leave();
    (void)kaio_segment_drop_all(segments, count);
}

uint32_t kaio_vector_leak(const struct kaio_queue_place *queue, const struct kaio_slot *slot) {
    uint32_t count = kaio_vector_count(slot);
    if (count == 0) {
        return 0;  // a sync or poll; the queue may have no segments at all
    }
    uint32_t first = first_of(queue, slot);
    for (uint32_t i = first; i < first + count; ++i) {
        kaio_memory_leak(queue->segments->memories[i]);
    }
    return count;
}

kaio_status kaio_vector_abandon(uintptr_t bits, uint32_t kind, kaio_segment *out_segments,
                                uint32_t capacity, uint32_t *out_count) {
    struct kaio_queue_place *queue;
    kaio_status why;
    struct kaio_slot *slot = kaio_request_enter_idle(bits, kind, &queue, &why);
    if (slot == NULL) {
        return why;
    }
    uint32_t count = kaio_vector_count(slot);
    if (count > capacity) {
        why = kaio_status_pair(KAIO_RANGE, KAIO_SUBJECT_SEGMENTS, count, capacity);
    } else {
        *out_count = kaio_vector_give_back(queue, slot, out_segments);
        kaio_request_free_idle(queue, slot);
        why = kaio_status_ok();
    }
    kaio_queue_leave();
    return why;
}

// ---- changes of an idle request ----

// describe_anew checks `vector`, which has no segments of its own, for an idle request, and fills
// it in, in the life and kind that `word` has.
static kaio_status describe_anew(struct kaio_queue_place *queue, struct kaio_slot *slot,
                                 const struct kaio_vector *vector,
                                 const struct kaio_file_place *file, uintptr_t word) {
    uint32_t first = first_of(queue, slot);
    uint32_t count = kaio_vector_count(slot);
    const kaio_range range = {.file_offset_bytes = vector->file_offset_bytes,
                              .size_bytes = slot->asked_bytes};
    kaio_status status = kaio_request_check_range(&range, slot->asked_bytes);
    if (kaio_status_is_ok(status)) {
        status =
            check_file(file, vector, slot->asked_bytes, queue->segments->iovecs + first, count);
    }
    if (kaio_status_is_ok(status)) {
        atomic_store_explicit(&slot->word, word, memory_order_relaxed);
        slot->flags = 0;
        describe(queue, slot, vector, file, first, count);
    }
    return status;
}

static kaio_status retarget(struct kaio_queue_place *queue, struct kaio_slot *slot,
                            const kaio_file *file, const struct kaio_vector *vector) {
    kaio_status status;
    struct kaio_file_place *place;
    uint32_t attached_before = queue->attachment_count;
    struct kaio_attachment *attachment = kaio_attachment_find(queue, file, &place, &status);
    if (attachment == NULL) {
        return status;
    }
    status = describe_anew(queue, slot, vector, place, kaio_slot_load(slot));
    if (kaio_status_is_ok(status)) {
        kaio_request_move_pin(queue, slot, attachment);
    } else {
        (void)kaio_request_undo_attach(queue, attachment, attached_before);
    }
    return status;
}

kaio_status kaio_vector_retarget(uintptr_t bits, const kaio_file *file,
                                 const struct kaio_vector *vector) {
    struct kaio_queue_place *queue;
    kaio_status status;
    struct kaio_slot *slot = kaio_request_enter_idle(bits, vector->kind, &queue, &status);
    if (slot == NULL) {
        return status;
    }
    status = retarget(queue, slot, file, vector);
    kaio_queue_leave();
    return status;
}

static bool has_view(const struct kaio_queue_place *queue, const struct kaio_slot *slot) {
    uint32_t first = first_of(queue, slot);
    for (uint32_t i = first; i < first + kaio_vector_count(slot); ++i) {
        if (kaio_bits_kind(queue->segments->memories[i]) == KAIO_KIND_VIEW) {
            return true;
        }
    }
    return false;
}

// retype makes the idle request of an entered queue one of `new_kind`, in a new life.
static kaio_status retype(struct kaio_queue_place *queue, struct kaio_slot *slot,
                          uint32_t new_kind) {
    if (has_view(queue, slot)) {
        return kaio_status_make(KAIO_ACCESS, KAIO_SUBJECT_VIEW);
    }
    uintptr_t file_bits = queue->attachments[slot->attachment].bits;
    const struct kaio_file_place *file = kaio_file_at(kaio_bits_index(file_bits));
    if (file == NULL || !kaio_file_is_open(file, file_bits)) {
        return kaio_file_refusal(file_bits);
    }
    const struct kaio_vector vector = {.kind = new_kind,
                                       .file_offset_bytes = (uint64_t)slot->iocb.aio_offset};
    uintptr_t life = kaio_bits_life(kaio_slot_load(slot)) + KAIO_LIFE_ONE;
    return describe_anew(queue, slot, &vector, file,
                         kaio_slot_word(life, new_kind, KAIO_SLOT_IDLE));
}

kaio_status kaio_vector_retype(uintptr_t *bits, uint32_t kind, uint32_t new_kind) {
    struct kaio_queue_place *queue;
    kaio_status status;
    struct kaio_slot *slot = kaio_request_enter_idle(*bits, kind, &queue, &status);
    if (slot == NULL) {
        return status;
    }
    status = retype(queue, slot, new_kind);
    if (kaio_status_is_ok(status)) {
        *bits = (uintptr_t)slot->iocb.aio_data;
    }
    kaio_queue_leave();
    return status;
}

// ---- the rest of a short one ----

kaio_status kaio_vector_start_rest(kaio_queue *queue, const kaio_file *file, uint32_t kind,
                                   kaio_rw_flags flags, kaio_completion *completion,
                                   kaio_ticket *out_ticket) {
    if (completion == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_REQUEST);
    }
    if (out_ticket == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OUTPUT);
    }
    if ((uint32_t)completion->operation != kind || completion->transfer != KAIO_TRANSFER_SHORT ||
        completion->segments == NULL) {
        return kaio_status_make(KAIO_EMPTY, KAIO_SUBJECT_SIZE);
    }
    uint64_t moved_bytes = completion->moved_bytes;
    uint32_t done = 0;
    while (done < completion->segment_count &&
           completion->segments[done].size_bytes <= moved_bytes) {
        moved_bytes -= completion->segments[done++].size_bytes;
    }
    if (done == completion->segment_count) {
        return kaio_status_make(KAIO_EMPTY, KAIO_SUBJECT_SIZE);
    }
    kaio_segment *first = &completion->segments[done];
    const kaio_segment kept = *first;
    first->buffer_offset_bytes += (uint32_t)moved_bytes;
    first->size_bytes -= (uint32_t)moved_bytes;
    const struct kaio_vector rest = {
        .kind = kind,
        .segments = first,
        .count = completion->segment_count - done,
        .file_offset_bytes = completion->range.file_offset_bytes + completion->moved_bytes,
        .flags = flags};
    kaio_status status = kaio_vector_start(queue, file, &rest, completion->user, out_ticket);
    if (!kaio_status_is_ok(status)) {
        *first = kept;
    }
    return status;
}
