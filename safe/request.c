#include "request.h"

#include <assert.h>
#include <string.h>

#include "buffer_pin.h"
#include "file_pin.h"

// Every flag that transfer.h can make.
#define KNOWN_RW_FLAGS UINT32_C(0x1ff)

static struct kaio_slot *pop_free(struct kaio_queue_place *queue) {
    struct kaio_slot *slot = &queue->slots[queue->free_head];
    queue->free_head = slot->next;
    --queue->free_count;
    return slot;
}

kaio_status kaio_request_full(const struct kaio_queue_place *queue) {
    kaio_status status = kaio_status_make(KAIO_FULL, KAIO_SUBJECT_REQUEST);
    status.detail = queue->depth;
    return status;
}

struct kaio_slot *kaio_request_take_slot(struct kaio_queue_place *queue, uint32_t kind,
                                         uint32_t attachment) {
    struct kaio_slot *slot = pop_free(queue);
    ++queue->idle_count;
    ++queue->attachments[attachment].pin_count;
    slot->attachment = attachment;
    slot->buffer = NULL;
    slot->user = 0;
    slot->refusal = KAIO_OK;
    slot->was_cancelled = false;
    slot->was_preceded = false;
    slot->is_ordered = false;
    uintptr_t life = kaio_bits_life(kaio_slot_load(slot));
    atomic_store_explicit(&slot->word, kaio_slot_word(life, kind, KAIO_SLOT_IDLE),
                          memory_order_relaxed);
    return slot;
}

// check_range checks a transfer against its buffer and the largest file offset.
static kaio_status check_range(const kaio_range *range, size_t buffer_bytes) {
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
    if (range->file_offset_bytes > (uint64_t)INT64_MAX - range->size_bytes) {
        return kaio_status_pair(KAIO_RANGE, KAIO_SUBJECT_FILE_OFFSET, range->file_offset_bytes,
                                (uint64_t)INT64_MAX - range->size_bytes);
    }
    return kaio_status_ok();
}

static kaio_status misaligned(kaio_subject subject, uint64_t number, uint32_t mask) {
    return kaio_status_pair(KAIO_ALIGN, subject, number & mask, (uint64_t)mask + 1);
}

// check_alignment names the first thing that direct I/O would refuse.
static kaio_status check_alignment(const kaio_range *range, uintptr_t address, uint32_t memory_mask,
                                   uint32_t file_mask) {
    if ((address & memory_mask) != 0) {
        return misaligned(KAIO_SUBJECT_MEMORY, address, memory_mask);
    }
    if ((range->file_offset_bytes & file_mask) != 0) {
        return misaligned(KAIO_SUBJECT_FILE_OFFSET, range->file_offset_bytes, file_mask);
    }
    return misaligned(KAIO_SUBJECT_SIZE, range->size_bytes, file_mask);
}

// check_file checks what `transfer` asks of `file`, for a buffer at `address`.
static kaio_status check_file(const struct kaio_file_place *file,
                              const struct kaio_transfer *transfer, uintptr_t address) {
    bool is_read = transfer->kind == KAIO_KIND_READ;
    if (KAIO_UNLIKELY(!(is_read ? file->is_readable : file->is_writable))) {
        return kaio_status_make(KAIO_ACCESS, KAIO_SUBJECT_FILE);
    }
    uint32_t file_mask = is_read ? file->read_mask : file->write_mask;
    uint64_t excess =
        (address & file->memory_mask) |
        ((transfer->range.file_offset_bytes | transfer->range.size_bytes) & file_mask);
    if (KAIO_UNLIKELY(excess != 0)) {
        return check_alignment(&transfer->range, address, file->memory_mask, file_mask);
    }
    return kaio_status_ok();
}

static kaio_status unknown_flags(kaio_rw_flags flags) {
    kaio_status status = kaio_status_make(KAIO_UNSUPPORTED, KAIO_SUBJECT_FLAGS);
    status.detail = flags.bits & ~KNOWN_RW_FLAGS;
    return status;
}

// fill_iocb is what the kernel gets to see. The iocb's address stays its name for io_cancel.
static void fill_iocb(struct kaio_slot *slot, const struct kaio_transfer *transfer,
                      const struct kaio_file_place *file, uint8_t *bytes, uint64_t data) {
    const kaio_range *range = &transfer->range;
    uint8_t *first = bytes + range->buffer_offset_bytes;
    int64_t offset = (int64_t)range->file_offset_bytes;
    slot->iocb = transfer->kind == KAIO_KIND_READ
                     ? kaio_raw_prep_pread(file->fd, first, range->size_bytes, offset)
                     : kaio_raw_prep_pwrite(file->fd, first, range->size_bytes, offset);
    int32_t forced = atomic_load_explicit(&file->forced_rw_flags, memory_order_relaxed);
    kaio_raw_set_rw_flags(&slot->iocb, (int32_t)transfer->flags.bits | forced);
    kaio_raw_set_data(&slot->iocb, data);
}

// prepare checks, then takes a slot, the buffer and a pin of the file: an idle request.
static kaio_status prepare(struct kaio_queue_place *queue, const kaio_file *file,
                           const struct kaio_transfer *transfer, kaio_buffer **move_buffer,
                           struct kaio_slot **out_slot) {
    uint32_t thread = kaio_thread_number();
    struct kaio_buffer_place *buffer;
    kaio_status status = kaio_buffer_find(*move_buffer, thread, &buffer);
    if (KAIO_UNLIKELY(!kaio_status_is_ok(status))) {
        return status;
    }
    status = check_range(&transfer->range,
                         atomic_load_explicit(&buffer->size_bytes, memory_order_relaxed));
    if (KAIO_UNLIKELY(!kaio_status_is_ok(status))) {
        return status;
    }
    if (KAIO_UNLIKELY((transfer->flags.bits & ~KNOWN_RW_FLAGS) != 0)) {
        return unknown_flags(transfer->flags);
    }
    if (KAIO_UNLIKELY(queue->free_count == 0)) {
        return kaio_request_full(queue);
    }
    uint32_t attachment = 0;
    struct kaio_file_place *place = NULL;
    status = kaio_attachment_find(queue, file, &attachment, &place);
    if (KAIO_UNLIKELY(!kaio_status_is_ok(status))) {
        return status;
    }
    uint8_t *bytes = atomic_load_explicit(&buffer->bytes, memory_order_relaxed);
    status = check_file(place, transfer, (uintptr_t)bytes + transfer->range.buffer_offset_bytes);
    if (KAIO_UNLIKELY(!kaio_status_is_ok(status))) {
        return status;
    }
    struct kaio_slot *slot = kaio_request_take_slot(queue, transfer->kind, attachment);
    kaio_buffer_pin(buffer, thread);
    slot->buffer = buffer;
    fill_iocb(slot, transfer, place, bytes, kaio_request_bits(queue, slot));
    *move_buffer = NULL;
    *out_slot = slot;
    return status;
}

// begin checks the arguments, enters the queue and prepares; on OK the caller leaves the queue.
static kaio_status begin(kaio_queue *queue, const kaio_file *file,
                         const struct kaio_transfer *transfer, kaio_buffer **move_buffer,
                         struct kaio_queue_place **out_queue, struct kaio_slot **out_slot) {
    if (KAIO_UNLIKELY(move_buffer == NULL)) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_BUFFER);
    }
    kaio_status status = kaio_queue_enter(queue, out_queue);
    if (KAIO_UNLIKELY(!kaio_status_is_ok(status))) {
        return status;
    }
    status = prepare(*out_queue, file, transfer, move_buffer, out_slot);
    if (KAIO_UNLIKELY(!kaio_status_is_ok(status))) {
        kaio_queue_leave(*out_queue);
    }
    return status;
}

kaio_status kaio_request_new_transfer(kaio_queue *queue, const kaio_file *file,
                                      const struct kaio_transfer *transfer,
                                      kaio_buffer **move_buffer, const void *output,
                                      uintptr_t *out_bits) {
    if (output == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OUTPUT);
    }
    struct kaio_queue_place *place = NULL;
    struct kaio_slot *slot;
    kaio_status status = begin(queue, file, transfer, move_buffer, &place, &slot);
    if (kaio_status_is_ok(status)) {
        *out_bits = kaio_request_bits(place, slot);
        kaio_queue_leave(place);
    }
    return status;
}

kaio_status kaio_request_start_transfer(kaio_queue *queue, const kaio_file *file,
                                        const struct kaio_transfer *transfer, uint64_t user,
                                        kaio_buffer **move_buffer, kaio_ticket *out_ticket) {
    if (KAIO_UNLIKELY(out_ticket == NULL)) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OUTPUT);
    }
    struct kaio_queue_place *place = NULL;
    struct kaio_slot *slot;
    kaio_status status = begin(queue, file, transfer, move_buffer, &place, &slot);
    if (KAIO_LIKELY(kaio_status_is_ok(status))) {
        out_ticket->bits = kaio_request_bits(place, slot);
        kaio_request_stage(place, slot, user);
        kaio_queue_leave(place);
    }
    return status;
}

// append_staged puts a slot at the end of what the next flush sends.
static void append_staged(struct kaio_queue_place *queue, struct kaio_slot *slot) {
    if (KAIO_UNLIKELY(queue->staged_end == queue->depth)) {
        uint32_t count = queue->staged_end - queue->staged_first;
        memmove(queue->staged, queue->staged + queue->staged_first, count * sizeof *queue->staged);
        queue->staged_first = 0;
        queue->staged_end = count;
    }
    queue->staged[queue->staged_end++] = &slot->iocb;
}

// hold keeps an ordered sync back until the writes before it were reaped.
static void hold(struct kaio_queue_place *queue, struct kaio_slot *slot, uint32_t write_count) {
    slot->waits_for_count = write_count;
    slot->next = queue->held_head;
    queue->held_head = (uint32_t)(slot - queue->slots);
}

void kaio_request_stage(struct kaio_queue_place *queue, struct kaio_slot *slot, uint64_t user) {
    slot->user = user;
    kaio_slot_enter(slot, KAIO_SLOT_STAGED);
    --queue->idle_count;
    ++queue->staged_count;
    uint32_t kind = kaio_slot_kind(kaio_slot_load(slot));
    struct kaio_attachment *attachment = &queue->attachments[slot->attachment];
    if (kind == KAIO_KIND_WRITE) {
        slot->epoch = queue->sync_epoch;
        ++attachment->write_count;
    } else if (KAIO_UNLIKELY(kind == KAIO_KIND_SYNC)) {
        slot->epoch = ++queue->sync_epoch;
        if (slot->is_ordered && attachment->write_count > 0) {
            hold(queue, slot, attachment->write_count);
            return;
        }
    }
    append_staged(queue, slot);
}

static void append_finished(struct kaio_queue_place *queue, struct kaio_slot *slot) {
    uint32_t index = (uint32_t)(slot - queue->slots);
    slot->next = KAIO_NO_SLOT;
    if (queue->finished_head == KAIO_NO_SLOT) {
        queue->finished_head = index;
    } else {
        queue->slots[queue->finished_tail].next = index;
    }
    queue->finished_tail = index;
    kaio_slot_enter(slot, KAIO_SLOT_FINISHED);
    ++queue->finished_count;
}

// settle_syncs tells the held syncs that were pushed after `write` how it ended.
static void settle_syncs(struct kaio_queue_place *queue, const struct kaio_slot *write) {
    bool is_whole = write->refusal == KAIO_OK && !write->was_cancelled &&
                    write->kernel_result >= 0 &&
                    (uint64_t)write->kernel_result == write->iocb.aio_nbytes;
    uint32_t *link = &queue->held_head;
    while (*link != KAIO_NO_SLOT) {
        struct kaio_slot *sync = &queue->slots[*link];
        // Epochs are compared by their distance: the counter may wrap, the depth does not reach it.
        bool is_before = (int32_t)(sync->epoch - write->epoch) > 0;
        if (sync->attachment != write->attachment || !is_before) {
            link = &sync->next;
            continue;
        }
        sync->was_preceded |= !is_whole;
        if (--sync->waits_for_count > 0) {
            link = &sync->next;
            continue;
        }
        *link = sync->next;
        if (sync->was_preceded) {
            sync->kernel_result = 0;
            --queue->staged_count;
            append_finished(queue, sync);
        } else {
            append_staged(queue, sync);
        }
    }
}

void kaio_request_finish(struct kaio_queue_place *queue, struct kaio_slot *slot) {
    append_finished(queue, slot);
    if (kaio_slot_kind(kaio_slot_load(slot)) == KAIO_KIND_WRITE) {
        --queue->attachments[slot->attachment].write_count;
        if (KAIO_UNLIKELY(queue->held_head != KAIO_NO_SLOT)) {
            settle_syncs(queue, slot);
        }
    }
}

void kaio_request_refuse(struct kaio_queue_place *queue, struct kaio_slot *slot, kaio_code code,
                         int os_error) {
    slot->refusal = (uint8_t)code;
    slot->kernel_result = -(int64_t)os_error;
    kaio_request_finish(queue, slot);
}

void kaio_request_free(struct kaio_queue_place *queue, struct kaio_slot *slot) {
    kaio_attachment_unpin(queue, slot->attachment);
    uintptr_t life = kaio_bits_life(kaio_slot_load(slot)) + KAIO_LIFE_ONE;
    atomic_store_explicit(&slot->word, kaio_slot_word(life, 0, KAIO_SLOT_FREE),
                          memory_order_relaxed);
    slot->next = queue->free_head;
    queue->free_head = (uint32_t)(slot - queue->slots);
    ++queue->free_count;
}

// find gives the slot and the queue that `bits` name; either may be anything by now.
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

// refused_entry says why the calling thread must not touch a request of `queue`.
static kaio_code refused_entry(const struct kaio_queue_place *queue) {
    uintptr_t word = atomic_load_explicit(&queue->place.word, memory_order_acquire);
    if (kaio_word_state(word) == KAIO_STATE_FORKED) {
        return KAIO_FORKED;
    }
    if (kaio_word_state(word) != KAIO_QUEUE_OPEN) {
        return KAIO_STALE;
    }
    return atomic_load_explicit(&queue->owner, memory_order_relaxed) == kaio_thread_number()
               ? KAIO_REENTERED
               : KAIO_WRONG_THREAD;
}

// enter begins a call on the queue of an idle request, or says why not and leaves it alone.
static kaio_status enter(uintptr_t bits, uint32_t kind, struct kaio_queue_place **out_queue,
                         struct kaio_slot **out_slot) {
    kaio_process_check();
    if (bits == 0) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_REQUEST);
    }
    struct kaio_slot *slot = find(bits, out_queue);
    if (slot == NULL) {
        return kaio_status_make(KAIO_STALE, KAIO_SUBJECT_REQUEST);
    }
    uintptr_t word = atomic_load_explicit(&(*out_queue)->place.word, memory_order_acquire);
    if (KAIO_UNLIKELY(kaio_word_state(word) != KAIO_QUEUE_OPEN ||
                      !kaio_queue_try_begin(*out_queue))) {
        *out_slot = slot;
        return kaio_status_make(is_idle(slot, bits, kind) ? refused_entry(*out_queue) : KAIO_STALE,
                                KAIO_SUBJECT_REQUEST);
    }
    if (KAIO_UNLIKELY(!is_idle(slot, bits, kind))) {
        kaio_queue_leave(*out_queue);
        return kaio_status_make(KAIO_STALE, KAIO_SUBJECT_REQUEST);
    }
    *out_slot = slot;
    return kaio_status_ok();
}

static bool is_stray(kaio_status status) {
    return status.code == KAIO_WRONG_THREAD || status.code == KAIO_REENTERED;
}

// report_stray leaves word for the owner that the request of `bits` was given up elsewhere.
static void report_stray(struct kaio_queue_place *queue, struct kaio_slot *slot, uintptr_t bits,
                         kaio_code code) {
    atomic_store(&slot->stray, kaio_bits_life(bits) | (uintptr_t)code);
    atomic_store(&queue->has_strays, 1);
}

void kaio_request_collect_strays(struct kaio_queue_place *queue) {
    if (KAIO_LIKELY(atomic_load_explicit(&queue->has_strays, memory_order_relaxed) == 0)) {
        return;
    }
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
        slot->refusal = (uint8_t)(stray & ~KAIO_LIFE_MASK);
        slot->kernel_result = 0;
        append_finished(queue, slot);
    }
}

kaio_ticket kaio_request_push(uintptr_t bits, uint32_t kind, uint64_t user) {
    struct kaio_queue_place *queue;
    struct kaio_slot *slot;
    kaio_status status = enter(bits, kind, &queue, &slot);
    if (KAIO_UNLIKELY(!kaio_status_is_ok(status))) {
        if (is_stray(status)) {
            report_stray(queue, slot, bits, (kaio_code)status.code);
            return (kaio_ticket){.bits = bits};
        }
        return (kaio_ticket){.bits = 0};
    }
    kaio_request_stage(queue, slot, user);
    kaio_queue_leave(queue);
    return (kaio_ticket){.bits = bits};
}

// give_up frees an idle request and returns its buffer, or NULL.
static kaio_buffer *give_up(struct kaio_queue_place *queue, struct kaio_slot *slot) {
    kaio_buffer *buffer =
        slot->buffer == NULL ? NULL : kaio_buffer_unpin(slot->buffer, kaio_thread_number());
    --queue->idle_count;
    kaio_request_free(queue, slot);
    return buffer;
}

kaio_status kaio_request_abandon(uintptr_t bits, uint32_t kind, kaio_buffer **out_buffer) {
    struct kaio_queue_place *queue;
    struct kaio_slot *slot;
    kaio_status status = enter(bits, kind, &queue, &slot);
    if (kaio_status_is_ok(status)) {
        *out_buffer = give_up(queue, slot);
        kaio_queue_leave(queue);
    }
    return status;
}

void kaio_request_drop(uintptr_t bits, uint32_t kind) {
    struct kaio_queue_place *queue;
    struct kaio_slot *slot;
    kaio_status status = enter(bits, kind, &queue, &slot);
    if (is_stray(status)) {
        report_stray(queue, slot, bits, (kaio_code)status.code);
    }
    if (kaio_status_is_ok(status)) {
        kaio_buffer *buffer = give_up(queue, slot);
        kaio_queue_leave(queue);
        kaio_buffer_drop(&buffer);
    }
}
