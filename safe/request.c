#include "request.h"

#include <assert.h>
#include <string.h>

#include "file_pin.h"
#include "kaio/safe/buffer.h"
#include "memory.h"
#include "rest.h"
#include "term.h"
#include "vector.h"

kaio_status kaio_request_full(const struct kaio_queue_place *queue) {
    kaio_status status = kaio_status_make(KAIO_FULL, KAIO_SUBJECT_REQUEST);
    status.detail = queue->depth;
    return status;
}

// out_of_range names what kaio_request_is_in_range found.
static kaio_status out_of_range(const kaio_range *range, size_t buffer_bytes) {
    if (range->size_bytes > KAIO_TRANSFER_SIZE_MAX_BYTES) {
        return kaio_status_pair(KAIO_RANGE, KAIO_SUBJECT_SIZE, range->size_bytes,
                                KAIO_TRANSFER_SIZE_MAX_BYTES);
    }
    if (range->buffer_offset_bytes > buffer_bytes) {
        return kaio_status_pair(KAIO_RANGE, KAIO_SUBJECT_BUFFER_OFFSET, range->buffer_offset_bytes,
                                buffer_bytes);
    }
    if (range->size_bytes > buffer_bytes - range->buffer_offset_bytes) {
        return kaio_status_pair(KAIO_RANGE, KAIO_SUBJECT_SIZE, range->size_bytes,
                                buffer_bytes - range->buffer_offset_bytes);
    }
    kaio_status status = kaio_status_make(KAIO_RANGE, KAIO_SUBJECT_FILE_OFFSET);
    status.detail = range->file_offset_bytes;
    return status;
}

kaio_status kaio_request_check_range(const kaio_range *range, size_t buffer_bytes) {
    return kaio_request_is_in_range(range, buffer_bytes) ? kaio_status_ok()
                                                         : out_of_range(range, buffer_bytes);
}

static kaio_status misaligned(kaio_subject subject, uint64_t number, uint32_t mask) {
    return kaio_status_pair(KAIO_ALIGN, subject, number & mask, (uint64_t)mask + 1);
}

static kaio_status unsupported(uint32_t flags) {
    kaio_status status = kaio_status_make(KAIO_UNSUPPORTED, KAIO_SUBJECT_FLAGS);
    status.detail = flags;
    return status;
}

// check_atomic checks a write of all or nothing. Without limits the kernel does.
//
// Kernel: generic_atomic_write_valid, fs/read_write.c, and the file systems: EINVAL in the event.
static kaio_status check_atomic(const struct kaio_file_place *file, const kaio_range *range) {
    uint32_t size_bytes = range->size_bytes;
    if (file->atomic_max_bytes == 0) {
        return kaio_status_ok();
    }
    if (size_bytes < file->atomic_min_bytes || size_bytes > file->atomic_max_bytes) {
        return kaio_status_pair(
            KAIO_RANGE, KAIO_SUBJECT_SIZE, size_bytes,
            size_bytes > file->atomic_max_bytes ? file->atomic_max_bytes : file->atomic_min_bytes);
    }
    uint32_t power_bytes = file->atomic_min_bytes;  // the largest one that is not too large
    while (power_bytes <= size_bytes / 2) {
        power_bytes *= 2;
    }
    if (size_bytes != power_bytes) {
        return misaligned(KAIO_SUBJECT_SIZE, size_bytes, power_bytes - 1);
    }
    return (range->file_offset_bytes & (size_bytes - 1)) == 0
               ? kaio_status_ok()
               : misaligned(KAIO_SUBJECT_FILE_OFFSET, range->file_offset_bytes, size_bytes - 1);
}

// check_flags names the flags of `transfer` that would be refused, or do nothing that they promise.
static kaio_status check_flags(const struct kaio_file_place *file,
                               const struct kaio_transfer *transfer) {
    const uint32_t conflict = KAIO_RAW_RWF_APPEND | KAIO_RAW_RWF_NOAPPEND;
    uint32_t wanted = transfer->flags.bits;
    uint32_t missing = wanted & ~kaio_request_way(file, transfer)->flags;
    if (missing != 0) {
        return unsupported(missing);
    }
    if ((wanted & conflict) == conflict) {
        return unsupported(conflict);
    }
    return (wanted & KAIO_RAW_RWF_ATOMIC) != 0 ? check_atomic(file, &transfer->range)
                                               : kaio_status_ok();
}

// look_closer names the first thing that is wrong, or finds that nothing is.
static kaio_status look_closer(const struct kaio_file_place *file,
                               const struct kaio_transfer *transfer, uintptr_t address) {
    const struct kaio_file_way *way = kaio_request_way(file, transfer);
    uint32_t is_closed = kaio_file_way_closed(way);
    if ((is_closed & ~(uint32_t)KAIO_FILE_WAY_FORCED) != 0) {
        return kaio_status_make(
            (is_closed & KAIO_FILE_WAY_CLOSED) != 0 ? KAIO_ACCESS : KAIO_TIMED_OUT,
            KAIO_SUBJECT_FILE);
    }
    if ((address & file->memory_mask) != 0) {
        return misaligned(KAIO_SUBJECT_MEMORY, address, file->memory_mask);
    }
    if ((transfer->range.file_offset_bytes & way->mask) != 0) {
        return misaligned(KAIO_SUBJECT_FILE_OFFSET, transfer->range.file_offset_bytes, way->mask);
    }
    if ((transfer->range.size_bytes & way->mask) != 0) {
        return misaligned(KAIO_SUBJECT_SIZE, transfer->range.size_bytes, way->mask);
    }
    return check_flags(file, transfer);
}

kaio_status kaio_request_check_file(const struct kaio_file_place *file,
                                    const struct kaio_transfer *transfer, uintptr_t address) {
    return kaio_request_may_transfer(file, transfer, address)
               ? kaio_status_ok()
               : look_closer(file, transfer, address);
}

kaio_status kaio_request_check_address(const struct kaio_file_place *file, uintptr_t address) {
    return (address & file->memory_mask) == 0
               ? kaio_status_ok()
               : misaligned(KAIO_SUBJECT_MEMORY, address, file->memory_mask);
}

void kaio_request_set_flags(struct kaio_slot *slot, kaio_rw_flags flags,
                            const struct kaio_file_place *file) {
    int32_t forced = atomic_load_explicit(&file->forced_rw_flags, memory_order_relaxed);
    int32_t wanted = (int32_t)flags.bits;
    if (KAIO_UNLIKELY((forced & ~wanted) != 0)) {
        slot->flags |= KAIO_SLOT_IS_FORCED;
    }
    kaio_raw_set_rw_flags(&slot->iocb, wanted | forced);
}

// fill_iocb is what the kernel gets to see. The iocb's address stays its name for io_cancel.
static void fill_iocb(struct kaio_slot *slot, const struct kaio_transfer *transfer,
                      const struct kaio_file_place *file, uint8_t *bytes, uint64_t data) {
    const kaio_range *range = &transfer->range;
    uint8_t *first = bytes + range->buffer_offset_bytes;
    slot->buffer_offset_bytes = range->buffer_offset_bytes;
    int64_t offset = (int64_t)range->file_offset_bytes;
    slot->iocb = transfer->kind == KAIO_KIND_READ
                     ? kaio_raw_prep_pread(file->fd, first, range->size_bytes, offset)
                     : kaio_raw_prep_pwrite(file->fd, first, range->size_bytes, offset);
    kaio_request_set_flags(slot, transfer->flags, file);
    kaio_raw_set_data(&slot->iocb, data);
}

struct kaio_slot *kaio_request_undo_attach(struct kaio_queue_place *queue,
                                           struct kaio_attachment *attachment,
                                           uint32_t attached_before) {
    if (queue->attachment_count > attached_before) {
        kaio_attachment_let_go(queue, attachment);
    }
    return NULL;
}

// prepare checks, then takes a slot, the buffer or view and a pin of the file: an idle request, or
// NULL with the reason.
static struct kaio_slot *prepare(struct kaio_queue_place *queue, const kaio_file *file,
                                 const struct kaio_transfer *transfer, uintptr_t memory_bits,
                                 kaio_status *out_why) {
    uint32_t thread = kaio_queue_thread(queue);
    struct kaio_memory_hold hold;
    if (KAIO_UNLIKELY(
            !kaio_memory_find_hold(memory_bits, thread, transfer->is_view, &hold, out_why))) {
        return NULL;
    }
    struct kaio_memory memory = hold.memory;
    if (KAIO_UNLIKELY(!kaio_request_is_in_range(&transfer->range, memory.size_bytes))) {
        *out_why = out_of_range(&transfer->range, memory.size_bytes);
        return NULL;
    }
    if (KAIO_UNLIKELY(queue->free_count == 0)) {
        *out_why = kaio_request_full(queue);
        return NULL;
    }
    struct kaio_file_place *place;
    uint32_t attached_before = queue->attachment_count;
    struct kaio_attachment *attachment = kaio_attachment_find(queue, file, &place, out_why);
    if (KAIO_UNLIKELY(attachment == NULL)) {
        return NULL;
    }
    uintptr_t address = (uintptr_t)memory.bytes + transfer->range.buffer_offset_bytes;
    if (KAIO_UNLIKELY(!kaio_request_may_transfer(place, transfer, address))) {
        *out_why = look_closer(place, transfer, address);
        if (!kaio_status_is_ok(*out_why)) {
            return kaio_request_undo_attach(queue, attachment, attached_before);
        }
    }
    if (KAIO_UNLIKELY(!kaio_memory_pin(&hold, thread))) {
        *out_why = kaio_memory_lost(memory_bits, thread, transfer->is_view);
        return kaio_request_undo_attach(queue, attachment, attached_before);
    }
    struct kaio_slot *slot = kaio_request_take_slot(queue, transfer->kind, attachment);
    slot->memory = memory_bits;
    fill_iocb(slot, transfer, place, memory.bytes, kaio_request_bits(queue, slot));
    kaio_request_forbid(slot);
    return slot;
}

kaio_status kaio_request_new_transfer(kaio_queue *queue, const kaio_file *file,
                                      const struct kaio_transfer *transfer, uintptr_t memory,
                                      uintptr_t *out_bits) {
    kaio_status why;
    struct kaio_queue_place *place = kaio_queue_enter(queue, &why);
    if (place == NULL) {
        return why;
    }
    struct kaio_slot *slot = prepare(place, file, transfer, memory, &why);
    if (slot != NULL) {
        *out_bits = (uintptr_t)slot->iocb.aio_data;
    }
    kaio_queue_leave();
    return slot != NULL ? kaio_status_ok() : why;
}

kaio_status kaio_request_start_transfer(kaio_queue *queue, const kaio_file *file,
                                        const struct kaio_transfer *transfer, uint64_t user,
                                        uintptr_t memory, kaio_ticket *out_ticket) {
    kaio_status why;
    struct kaio_queue_place *place = kaio_queue_enter(queue, &why);
    if (place == NULL) {
        return why;
    }
    struct kaio_slot *slot = prepare(place, file, transfer, memory, &why);
    if (slot != NULL) {
        out_ticket->bits = slot->iocb.aio_data;
        kaio_request_stage(place, slot, user);
    }
    kaio_queue_leave();
    return slot != NULL ? kaio_status_ok() : why;
}

// prepare_plain makes an idle request in the queue that was entered, or answers NULL with the
// reason.
static struct kaio_slot *prepare_plain(struct kaio_queue_place *queue, const kaio_file *file,
                                       uint32_t kind, struct kaio_file_place **out_file,
                                       kaio_status *out_why) {
    if (queue->free_count == 0) {
        *out_why = kaio_request_full(queue);
        return NULL;
    }
    uint32_t attached_before = queue->attachment_count;
    struct kaio_attachment *attachment = kaio_attachment_find(queue, file, out_file, out_why);
    if (attachment == NULL) {
        return NULL;
    }
    bool is_late = (kaio_file_way_closed(&(*out_file)->write) & KAIO_FILE_WAY_LATE) != 0;
    if (is_late && kind == KAIO_KIND_SYNC) {
        *out_why = kaio_status_make(KAIO_TIMED_OUT, KAIO_SUBJECT_FILE);
        return kaio_request_undo_attach(queue, attachment, attached_before);
    }
    return kaio_request_take_slot(queue, kind, attachment);
}

struct kaio_slot *kaio_request_begin_plain(kaio_queue *handle, const kaio_file *file, uint32_t kind,
                                           const void *output, struct kaio_queue_place **out_queue,
                                           struct kaio_file_place **out_file,
                                           kaio_status *out_why) {
    if (output == NULL) {
        *out_why = kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OUTPUT);
        return NULL;
    }
    struct kaio_queue_place *queue = kaio_queue_enter(handle, out_why);
    if (queue == NULL) {
        return NULL;
    }
    struct kaio_slot *slot = prepare_plain(queue, file, kind, out_file, out_why);
    if (slot == NULL) {
        kaio_queue_leave();
    }
    *out_queue = queue;
    return slot;
}

void kaio_request_make_room(struct kaio_queue_place *queue) {
    uint32_t count = queue->staged_end - queue->staged_first;
    memmove(queue->staged, queue->staged + queue->staged_first, count * sizeof *queue->staged);
    queue->staged_first = 0;
    queue->staged_end = count;
}

// hold puts a sync at the end of those that wait for writes.
static void hold(struct kaio_queue_place *queue, struct kaio_slot *slot) {
    uint32_t *link = &queue->held_head;
    while (*link != KAIO_NO_SLOT) {
        link = &queue->slots[*link].next;
    }
    slot->next = KAIO_NO_SLOT;
    *link = (uint32_t)(slot - queue->slots);
}

// A span is the bytes of a file that a request uses: none of a sync or poll, which ask for no
// bytes, and none where offsets do not say which.
struct span {
    const struct kaio_file_place *file;
    uint64_t first;
    uint64_t end;
    bool is_write;
};

static struct span span_of(const struct kaio_queue_place *queue, const struct kaio_slot *slot) {
    const struct kaio_file_place *file = kaio_request_file(queue, slot);
    bool is_write = kaio_kind_is_write(kaio_slot_kind(kaio_slot_load(slot)));
    bool has_span = file->has_offsets && !(is_write && kaio_request_is_append(file, slot));
    uint64_t first = (uint64_t)slot->iocb.aio_offset;
    uint64_t size = has_span ? kaio_rest_left_bytes(queue, slot) : 0;
    return (struct span){.file = file, .first = first, .end = first + size, .is_write = is_write};
}

static bool do_meet(const struct span *one, const struct span *other) {
    bool is_same_file =
        one->file->device == other->file->device && one->file->inode == other->file->inode;
    bool is_disjoint = one->first >= other->end || other->first >= one->end;
    return is_same_file && !is_disjoint && one->first < one->end && other->first < other->end &&
           (one->is_write || other->is_write);
}

// is_under_way tells whether a slot has a request that was pushed and has not ended.
static bool is_under_way(const struct kaio_slot *slot) {
    uint32_t state = kaio_word_state(kaio_slot_load(slot));
    return state == KAIO_SLOT_STAGED || state == KAIO_SLOT_IN_FLIGHT;
}

// `sent_ns` of what is never sent keeps whom it met: the result, the kernel's, stays 0.
bool kaio_request_refuse_overlap(struct kaio_queue_place *queue, struct kaio_slot *slot) {
    struct span span = span_of(queue, slot);
    for (uint32_t i = 0; i < queue->depth; ++i) {
        const struct kaio_slot *other = &queue->slots[i];
        if (other == slot || !is_under_way(other)) {
            continue;
        }
        struct span other_span = span_of(queue, other);
        if (!do_meet(&span, &other_span)) {
            continue;
        }
        --queue->staged_count;
        ++queue->overlap_count;
        slot->refusal = KAIO_OVERLAP;
        slot->sent_ns = (int64_t)other->user;
        kaio_request_finish(queue, slot);
        kaio_queue_raise(queue);
        return true;
    }
    return false;
}

void kaio_request_settle_sync(const struct kaio_queue_place *queue, struct kaio_slot *sync) {
    const kaio_ending ending = {.operation = KAIO_SYNC,
                                .kernel_result = kaio_slot_result(sync),
                                .was_cancelled = (sync->flags & KAIO_SLOT_WAS_CANCELLED) != 0};
    kaio_verdict verdict = kaio_verdict_from_ending(ending);
    bool counts = verdict.sync == KAIO_SYNC_SYNCED || verdict.sync == KAIO_SYNC_FAILED;
    int32_t first_error = 0;
    bool is_first =
        counts && atomic_compare_exchange_strong(&kaio_request_file(queue, sync)->sync_error,
                                                 &first_error, verdict.os_error);
    if (counts && !is_first) {
        kaio_slot_set_result(sync, -(int64_t)first_error);
    }
}

// release_sync lets a sync that waits for nothing go: to the kernel, or back to the caller, when
// the file has an error or a write before it has.
static void release_sync(struct kaio_queue_place *queue, struct kaio_slot *sync) {
    int32_t error = atomic_load(&kaio_request_file(queue, sync)->sync_error);
    if (error == 0 && (sync->flags & KAIO_SLOT_WAS_PRECEDED) == 0) {
        kaio_request_append_staged(queue, sync);
        return;
    }
    if (error != 0) {
        sync->flags &= (uint16_t)~KAIO_SLOT_WAS_PRECEDED;
    }
    kaio_slot_set_result(sync, -(int64_t)error);
    --queue->staged_count;
    kaio_request_append_finished(queue, sync);
    kaio_queue_raise(queue);
}

void kaio_request_stage_sync(struct kaio_queue_place *queue, struct kaio_slot *slot) {
    const struct kaio_attachment *attachment = &queue->attachments[slot->attachment];
    bool is_ordered = (slot->flags & KAIO_SLOT_IS_ORDERED) != 0;
    slot->epoch = ++queue->sync_epoch;
    slot->waits_for_count = is_ordered ? kaio_attachment_count(attachment, KAIO_WRITE_PIN) : 0;
    // A write that failed already counts as long as the caller has not heard of it.
    if (is_ordered && kaio_attachment_count(attachment, KAIO_FAILED_PIN) > 0) {
        slot->flags |= KAIO_SLOT_WAS_PRECEDED;
    }
    if (slot->waits_for_count > 0) {
        hold(queue, slot);
    } else {
        release_sync(queue, slot);
    }
}

void kaio_request_settle_syncs(struct kaio_queue_place *queue, const struct kaio_slot *write) {
    bool is_whole = kaio_request_is_whole(write);
    uint32_t *link = &queue->held_head;
    while (*link != KAIO_NO_SLOT) {
        struct kaio_slot *sync = &queue->slots[*link];
        // Epochs are compared by their distance: the counter may wrap, the depth does not reach it.
        bool is_later = (int32_t)(sync->epoch - write->epoch) > 0;
        bool is_concerned = sync->attachment == write->attachment && is_later;
        if (is_concerned && !is_whole) {
            sync->flags |= KAIO_SLOT_WAS_PRECEDED;
        }
        if (!is_concerned || --sync->waits_for_count > 0) {
            link = &sync->next;
            continue;
        }
        *link = sync->next;
        release_sync(queue, sync);
    }
}

// unhold takes a slot out of the list of those that wait for writes. False: it is not in there.
static bool unhold(struct kaio_queue_place *queue, const struct kaio_slot *slot) {
    uint32_t *link = &queue->held_head;
    while (*link != KAIO_NO_SLOT) {
        if (&queue->slots[*link] == slot) {
            *link = slot->next;
            return true;
        }
        link = &queue->slots[*link].next;
    }
    return false;
}

// unstage takes a slot out of what the next flush sends.
static void unstage(struct kaio_queue_place *queue, const struct kaio_slot *slot) {
    uint32_t index = queue->staged_first;
    while (queue->staged[index] != &slot->iocb) {
        ++index;
        assert(index < queue->staged_end);
    }
    uint32_t behind_count = --queue->staged_end - index;
    memmove(queue->staged + index, queue->staged + index + 1, behind_count * sizeof *queue->staged);
}

void kaio_request_cancel_staged(struct kaio_queue_place *queue, struct kaio_slot *slot) {
    if (!unhold(queue, slot)) {
        unstage(queue, slot);
    }
    --queue->staged_count;
    slot->flags |= KAIO_SLOT_WAS_CANCELLED;
    kaio_slot_set_result(slot, 0);
    kaio_rest_fold(queue, slot);
    kaio_term_settle(queue, slot);
    kaio_request_finish(queue, slot);
    kaio_queue_raise(queue);
}

struct kaio_slot *kaio_request_of_ticket(struct kaio_queue_place *queue, kaio_ticket ticket) {
    uintptr_t bits = (uintptr_t)ticket.bits;
    uint32_t index = kaio_bits_index(bits) - queue->first_slot;
    if (bits != ticket.bits || index >= queue->depth) {
        return NULL;
    }
    struct kaio_slot *slot = &queue->slots[index];
    bool was_pushed = kaio_word_state(kaio_slot_load(slot)) >= KAIO_SLOT_STAGED;
    return was_pushed && kaio_request_ticket(queue, slot) == bits ? slot : NULL;
}

// find gives the slot and the queue that `bits` name, whatever they are by now, or NULL.
static struct kaio_slot *find(uintptr_t bits, struct kaio_queue_place **out_queue) {
    struct kaio_slot *slot = kaio_slot_at(kaio_bits_index(bits));
    uint32_t queue = slot == NULL ? 0 : atomic_load_explicit(&slot->queue, memory_order_acquire);
    *out_queue = queue == 0 ? NULL : kaio_queue_at(queue);
    return *out_queue == NULL ? NULL : slot;
}

static bool is_idle(const struct kaio_slot *slot, uintptr_t bits, uint32_t kind) {
    return kaio_bits_kind(bits) == kind &&
           kaio_slot_load(slot) == kaio_slot_word(kaio_bits_life(bits), kind, KAIO_SLOT_IDLE);
}

// why_no_entry says why the calling thread must not touch the idle request of `queue`.
static kaio_code why_no_entry(const struct kaio_queue_place *queue) {
    uintptr_t word = atomic_load_explicit(&queue->place.word, memory_order_acquire);
    if (kaio_word_state(word) == KAIO_STATE_FORKED) {
        return KAIO_FORKED;
    }
    if (kaio_word_state(word) != KAIO_QUEUE_OPEN) {
        return KAIO_STALE;
    }
    return kaio_queue_thread(queue) == kaio_thread_number() ? KAIO_REENTERED : KAIO_WRONG_THREAD;
}

// report_stray leaves word for the owner that the request of `bits` was given up elsewhere, unless
// it was already, or is idle no more.
static void report_stray(struct kaio_queue_place *queue, struct kaio_slot *slot, uintptr_t bits,
                         kaio_code code) {
    uintptr_t life = kaio_bits_life(bits);
    uintptr_t stray = atomic_load(&slot->stray);
    do {
        if (!is_idle(slot, bits, kaio_bits_kind(bits)) || kaio_bits_life(stray) == life) {
            return;
        }
    } while (!atomic_compare_exchange_weak(&slot->stray, &stray, life | (uintptr_t)code));
    atomic_store(&queue->has_strays, 1);
}

static bool is_enterable(const struct kaio_queue_place *queue) {
    uintptr_t word = atomic_load_explicit(&queue->place.word, memory_order_acquire);
    return kaio_word_state(word) == KAIO_QUEUE_OPEN && kaio_queue_is_ours(queue);
}

// What an idle request's owner wants when it may not enter the queue.
enum otherwise { LEAVE_IT, GIVE_IT_UP };

// enter begins a call on the queue of an idle request and returns its slot. NULL, with the reason:
// it is not idle, or it is not the calling thread's to touch now; then, with GIVE_IT_UP, the owner
// of the queue will find it finished.
static struct kaio_slot *enter(uintptr_t bits, uint32_t kind, enum otherwise otherwise,
                               struct kaio_queue_place **out_queue, kaio_status *out_why) {
    bool has_begun = kaio_call_begin();
    kaio_process_check();
    struct kaio_slot *slot = find(bits, out_queue);
    bool is_good = slot != NULL && is_idle(slot, bits, kind);
    if (KAIO_LIKELY(has_begun && is_good && is_enterable(*out_queue))) {
        return slot;
    }
    kaio_code code = bits == 0 ? KAIO_NULL_ARGUMENT : KAIO_STALE;
    if (is_good) {
        code = why_no_entry(*out_queue);
    }
    if (has_begun) {
        kaio_call_end();
    }
    bool is_stray = code == KAIO_WRONG_THREAD || code == KAIO_REENTERED;
    if (is_stray && otherwise == GIVE_IT_UP) {
        report_stray(*out_queue, slot, bits, code);
    }
    *out_why = kaio_status_make(code, KAIO_SUBJECT_REQUEST);
    return NULL;
}

struct kaio_slot *kaio_request_enter_idle(uintptr_t bits, uint32_t kind,
                                          struct kaio_queue_place **out_queue,
                                          kaio_status *out_why) {
    return enter(bits, kind, LEAVE_IT, out_queue, out_why);
}

void kaio_request_collect_strays_now(struct kaio_queue_place *queue) {
    atomic_store(&queue->has_strays, 0);
    for (uint32_t i = 0; i < queue->depth; ++i) {
        struct kaio_slot *slot = &queue->slots[i];
        uintptr_t stray = atomic_exchange(&slot->stray, 0);
        uintptr_t word = kaio_slot_load(slot);
        if (stray == 0 || kaio_bits_life(stray) != kaio_bits_life(word) ||
            kaio_word_state(word) != KAIO_SLOT_IDLE) {
            continue;
        }
        --queue->idle_count;
        ++queue->stray_count;
        slot->refusal = (uint16_t)(stray & ~KAIO_LIFE_MASK);
        kaio_slot_set_result(slot, 0);
        kaio_request_append_finished(queue, slot);
        kaio_queue_raise(queue);
    }
}

kaio_ticket kaio_request_push(uintptr_t bits, uint32_t kind, uint64_t user) {
    struct kaio_queue_place *queue;
    kaio_status why;
    struct kaio_slot *slot = enter(bits, kind, GIVE_IT_UP, &queue, &why);
    if (KAIO_LIKELY(slot != NULL)) {
        kaio_request_stage(queue, slot, user);
        kaio_queue_leave();
        return (kaio_ticket){.bits = bits};
    }
    bool is_stray = why.code == KAIO_WRONG_THREAD || why.code == KAIO_REENTERED;
    return (kaio_ticket){.bits = is_stray ? bits : 0};
}

// give_up frees an idle request and returns the handle of its buffer or view, or 0.
static uintptr_t give_up(struct kaio_queue_place *queue, struct kaio_slot *slot) {
    uintptr_t memory = slot->memory;
    if (memory != 0) {
        kaio_request_allow(slot);
        kaio_memory_unpin(memory, kaio_queue_thread(queue));
    }
    kaio_request_free_idle(queue, slot);
    return memory;
}

// can_give_back tells whether what a request has is of the kind that its owner asks for.
static bool can_give_back(const struct kaio_slot *slot, uint32_t memory_kind) {
    bool is_view = kaio_bits_kind(slot->memory) == KAIO_KIND_VIEW;
    return slot->memory == 0 || is_view == (memory_kind == KAIO_KIND_VIEW);
}

kaio_status kaio_request_abandon(uintptr_t bits, uint32_t kind, uint32_t memory_kind,
                                 uintptr_t *out_memory) {
    struct kaio_queue_place *queue;
    kaio_status why;
    struct kaio_slot *slot = enter(bits, kind, LEAVE_IT, &queue, &why);
    if (slot == NULL) {
        return why;
    }
    if (can_give_back(slot, memory_kind)) {
        *out_memory = give_up(queue, slot);
        why = kaio_status_ok();
    } else {
        why = kaio_status_make(
            KAIO_ACCESS, memory_kind == KAIO_KIND_VIEW ? KAIO_SUBJECT_BUFFER : KAIO_SUBJECT_VIEW);
    }
    kaio_queue_leave();
    return why;
}

void kaio_request_drop(uintptr_t bits, uint32_t kind) {
    struct kaio_queue_place *queue;
    kaio_status why;
    struct kaio_slot *slot = enter(bits, kind, GIVE_IT_UP, &queue, &why);
    if (slot != NULL && kaio_kind_is_vectored(kind)) {
        kaio_vector_drop_idle(queue, slot);
    } else if (slot != NULL) {
        uintptr_t memory = give_up(queue, slot);
        kaio_queue_leave();
        kaio_memory_collect();
        kaio_memory_drop(memory);
    }
}

// ---- changes of an idle request ----

static kaio_status check_priority(kaio_priority priority) {
    bool is_inherited = priority.priority_class == KAIO_RAW_IOPRIO_CLASS_NONE;
    uint32_t level_max = is_inherited ? 0 : KAIO_PRIORITY_LEVEL_MAX;
    if (priority.priority_class > KAIO_RAW_IOPRIO_CLASS_IDLE) {
        return kaio_status_pair(KAIO_RANGE, KAIO_SUBJECT_KIND, priority.priority_class,
                                KAIO_RAW_IOPRIO_CLASS_IDLE);
    }
    return priority.level > level_max
               ? kaio_status_pair(KAIO_RANGE, KAIO_SUBJECT_PRIORITY, priority.level, level_max)
               : kaio_status_ok();
}

kaio_status kaio_request_set_priority(uintptr_t bits, uint32_t kind, kaio_priority priority) {
    kaio_status why = check_priority(priority);
    if (!kaio_status_is_ok(why)) {
        return why;
    }
    struct kaio_queue_place *queue;
    struct kaio_slot *slot = enter(bits, kind, LEAVE_IT, &queue, &why);
    if (slot == NULL) {
        return why;
    }
    slot->iocb.aio_flags = 0;
    slot->iocb.aio_reqprio = 0;
    if (priority.priority_class != KAIO_RAW_IOPRIO_CLASS_NONE) {
        kaio_raw_set_priority(&slot->iocb,
                              kaio_raw_ioprio_encode(priority.priority_class, 0, priority.level));
    }
    kaio_queue_leave();
    return kaio_status_ok();
}

// check_transfer checks `transfer` for pinned bytes and an open file.
static kaio_status check_transfer(const uint8_t *bytes, const struct kaio_file_place *file,
                                  const struct kaio_transfer *transfer) {
    uintptr_t address = (uintptr_t)bytes + transfer->range.buffer_offset_bytes;
    return kaio_request_may_transfer(file, transfer, address)
               ? kaio_status_ok()
               : look_closer(file, transfer, address);
}

// describe fills in the iocb of an idle request anew, under the handle that its word gives now.
static void describe(const struct kaio_queue_place *queue, struct kaio_slot *slot,
                     const struct kaio_transfer *transfer, const struct kaio_file_place *file) {
    kaio_request_allow(slot);
    slot->flags = 0;
    fill_iocb(slot, transfer, file, kaio_memory_of(slot->memory).bytes,
              kaio_request_bits(queue, slot));
    kaio_request_forbid(slot);
}

// retarget gives the idle request of an entered queue to another file, or the same.
static kaio_status retarget(struct kaio_queue_place *queue, struct kaio_slot *slot,
                            const kaio_file *file, const struct kaio_transfer *transfer) {
    struct kaio_memory memory = kaio_memory_of(slot->memory);
    if (!kaio_request_is_in_range(&transfer->range, memory.size_bytes)) {
        return out_of_range(&transfer->range, memory.size_bytes);
    }
    kaio_status status;
    struct kaio_file_place *place;
    uint32_t attached_before = queue->attachment_count;
    struct kaio_attachment *attachment = kaio_attachment_find(queue, file, &place, &status);
    if (attachment == NULL) {
        return status;
    }
    status = check_transfer(memory.bytes, place, transfer);
    if (!kaio_status_is_ok(status)) {
        (void)kaio_request_undo_attach(queue, attachment, attached_before);
        return status;
    }
    kaio_request_move_pin(queue, slot, attachment);
    describe(queue, slot, transfer, place);
    return status;
}

kaio_status kaio_request_retarget(uintptr_t bits, const kaio_file *file,
                                  const struct kaio_transfer *transfer) {
    struct kaio_queue_place *queue;
    kaio_status status;
    struct kaio_slot *slot = enter(bits, transfer->kind, LEAVE_IT, &queue, &status);
    if (slot == NULL) {
        return status;
    }
    status = retarget(queue, slot, file, transfer);
    kaio_queue_leave();
    return status;
}

// retype makes the idle request of an entered queue one of `new_kind`, in a new life: an alias of
// what it was is stale, also when it becomes that again.
static kaio_status retype(const struct kaio_queue_place *queue, struct kaio_slot *slot,
                          uint32_t new_kind) {
    if (kaio_bits_kind(slot->memory) == KAIO_KIND_VIEW) {
        return kaio_status_make(KAIO_ACCESS, KAIO_SUBJECT_VIEW);
    }
    struct kaio_transfer transfer = {.kind = new_kind, .range = kaio_slot_range(slot)};
    uintptr_t file_bits = queue->attachments[slot->attachment].bits;
    const struct kaio_file_place *file = kaio_file_at(kaio_bits_index(file_bits));
    assert(file != NULL);
    // Dropped since: the request pins it all the same.
    if (!kaio_file_is_open(file, file_bits)) {
        return kaio_file_refusal(file_bits);
    }
    kaio_status status = check_transfer(kaio_memory_of(slot->memory).bytes, file, &transfer);
    if (kaio_status_is_ok(status)) {
        uintptr_t life = kaio_bits_life(kaio_slot_load(slot)) + KAIO_LIFE_ONE;
        atomic_store_explicit(&slot->word, kaio_slot_word(life, new_kind, KAIO_SLOT_IDLE),
                              memory_order_relaxed);
        describe(queue, slot, &transfer, file);
    }
    return status;
}

kaio_status kaio_request_retype(uintptr_t *bits, uint32_t kind, uint32_t new_kind) {
    struct kaio_queue_place *queue;
    kaio_status status;
    struct kaio_slot *slot = enter(*bits, kind, LEAVE_IT, &queue, &status);
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

kaio_status kaio_request_start_rest(kaio_queue *queue, const kaio_file *file, uint32_t kind,
                                    kaio_rw_flags flags, kaio_completion *completion,
                                    kaio_ticket *out_ticket) {
    if (completion == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_REQUEST);
    }
    if (out_ticket == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OUTPUT);
    }
    if ((uint32_t)completion->operation != kind || completion->transfer != KAIO_TRANSFER_SHORT ||
        completion->moved_bytes > completion->range.size_bytes) {
        return kaio_status_make(KAIO_EMPTY, KAIO_SUBJECT_SIZE);
    }
    uint32_t moved_bytes = (uint32_t)completion->moved_bytes;
    bool is_view = completion->buffer == NULL && completion->view != NULL;
    struct kaio_transfer rest = {
        .kind = kind, .is_view = is_view, .range = completion->range, .flags = flags};
    rest.range.file_offset_bytes += moved_bytes;
    rest.range.buffer_offset_bytes += moved_bytes;
    rest.range.size_bytes -= moved_bytes;
    uintptr_t memory = is_view ? (uintptr_t)completion->view : (uintptr_t)completion->buffer;
    kaio_status status =
        kaio_request_start_transfer(queue, file, &rest, completion->user, memory, out_ticket);
    if (kaio_status_is_ok(status)) {
        completion->buffer = NULL;
        completion->view = NULL;
    }
    return status;
}

// ---- what checkers are told ----

void kaio_request_allow_(const struct kaio_slot *slot) {
    uintptr_t kind = kaio_bits_kind(slot->memory);
    const void *bytes = (const void *)(uintptr_t)slot->iocb.aio_buf;
    if (slot->memory == 0 || kind == KAIO_KIND_VIEW) {
        return;
    }
    kaio_checker_allow(bytes, (size_t)slot->iocb.aio_nbytes);
    int64_t result = kaio_slot_result(slot);
    bool is_read = slot->iocb.aio_lio_opcode == KAIO_RAW_CMD_PREAD;
    if (is_read && result > 0 && slot->refusal == KAIO_OK) {
        uint64_t moved_bytes = (uint64_t)result;
        kaio_checker_define(
            bytes,
            (size_t)(moved_bytes < slot->iocb.aio_nbytes ? moved_bytes : slot->iocb.aio_nbytes));
    }
}

#ifndef NDEBUG

// sum_of is FNV-1a of bytes[0..size_bytes).
static uint32_t sum_of(const uint8_t *bytes, size_t size_bytes) {
    uint32_t sum = UINT32_C(2166136261);
    for (size_t i = 0; i < size_bytes; ++i) {
        sum = (sum ^ bytes[i]) * UINT32_C(16777619);
    }
    return sum;
}

static struct kaio_buffer_place *view_of(uintptr_t memory) {
    bool is_view = kaio_bits_kind(memory) == KAIO_KIND_VIEW;
    return is_view ? kaio_buffer_at(kaio_bits_index(memory)) : NULL;
}

// A piece is what one view of a write moves.
struct piece {
    struct kaio_buffer_place *view;  // NULL: it is none
    uint32_t sum;
};

// piece_of sums the piece `index` of a write up. False: it has no more.
static bool piece_of(const struct kaio_queue_place *queue, const struct kaio_slot *slot,
                     uint32_t index, struct piece *out_piece) {
    uint32_t count = slot->memory != 0 ? 1 : kaio_vector_count(slot);
    if (index >= count) {
        return false;
    }
    struct iovec whole = {.iov_base = (void *)(uintptr_t)slot->iocb.aio_buf,
                          .iov_len = (size_t)slot->iocb.aio_nbytes};
    uintptr_t memory = slot->memory;
    if (memory == 0) {
        const struct iovec *first = (const struct iovec *)(uintptr_t)slot->iocb.aio_buf;
        whole = first[index];
        memory = queue->segments->memories[(uint32_t)(first - queue->segments->iovecs) + index];
    }
    out_piece->view = view_of(memory);
    out_piece->sum = out_piece->view == NULL ? 0 : sum_of(whole.iov_base, whole.iov_len);
    return true;
}

void kaio_request_sum_views(const struct kaio_queue_place *queue, const struct kaio_slot *slot) {
    struct piece piece;
    for (uint32_t i = 0; piece_of(queue, slot, i, &piece); ++i) {
        if (piece.view != NULL) {
            piece.view->checksum = piece.sum;
        }
    }
}

void kaio_request_check_views(const struct kaio_queue_place *queue, struct kaio_slot *slot) {
    bool was_sent = slot->refusal == KAIO_OK && (slot->flags & KAIO_SLOT_WAS_CANCELLED) == 0;
    struct piece piece;
    for (uint32_t i = 0; was_sent && piece_of(queue, slot, i, &piece); ++i) {
        if (piece.view != NULL && piece.view->checksum != piece.sum) {
            slot->refusal = KAIO_MODIFIED_IN_FLIGHT;
        }
    }
}

#endif
