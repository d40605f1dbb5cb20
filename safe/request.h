// kaio/safe/request.h (private): the life of a request inside its queue.
//
//   free -> idle -> staged (in order, or held) -> in flight -> finished -> free
// Every change of state is one function here, and keeps
// depth = free + idle + staged + in flight + finished.

#ifndef KAIO_SAFE_REQUEST_H_
#define KAIO_SAFE_REQUEST_H_

#include "attach.h"
#include "checker.h"
#include "file_pin.h"
#include "kaio/raw/aio_prep.h"
#include "kaio/safe/transfer.h"
#include "outcome_count.h"
#include "queue_observe.h"
#include "queue_place.h"
#include "slots.h"

// kaio_request_bits is the handle of a slot's request, and on 64-bit machines its ticket.
static inline uintptr_t kaio_request_bits(const struct kaio_queue_place *queue,
                                          const struct kaio_slot *slot) {
    uintptr_t word = kaio_slot_load(slot);
    return kaio_bits_make(kaio_bits_life(word), queue->first_slot + (uint32_t)(slot - queue->slots),
                          kaio_slot_kind(word));
}

// A kaio_transfer describes a read or write for the functions below.
struct kaio_transfer {
    uint32_t kind;  // KAIO_KIND_READ or KAIO_KIND_WRITE
    bool is_view;   // its bytes are a view's, not a buffer's
    kaio_range range;
    kaio_rw_flags flags;
};

// The bodies of kaio_read_new, kaio_read_start and their kin. `memory` is the handle of the buffer
// or view, which is the request's when the answer is OK.
kaio_status kaio_request_new_transfer(kaio_queue *queue, const kaio_file *file,
                                      const struct kaio_transfer *transfer, uintptr_t memory,
                                      uintptr_t *out_bits);
kaio_status kaio_request_start_transfer(kaio_queue *queue, const kaio_file *file,
                                        const struct kaio_transfer *transfer, uint64_t user,
                                        uintptr_t memory, kaio_ticket *out_ticket);

// kaio_request_null is the answer when `output` is NULL, or else the variable of `subject`.
static inline kaio_status kaio_request_null(const void *output, kaio_subject subject) {
    return kaio_status_make(KAIO_NULL_ARGUMENT, output == NULL ? KAIO_SUBJECT_OUTPUT : subject);
}

// kaio_request_is_in_range checks a transfer against its buffer and the largest file offset.
static inline bool kaio_request_is_in_range(const kaio_range *range, size_t buffer_bytes) {
    return range->size_bytes <= KAIO_TRANSFER_SIZE_MAX_BYTES &&
           (uint64_t)range->buffer_offset_bytes + range->size_bytes <= buffer_bytes &&
           range->file_offset_bytes <= (uint64_t)INT64_MAX - range->size_bytes;
}

// kaio_request_way is what is true of `transfer` in its direction.
static inline const struct kaio_file_way *kaio_request_way(const struct kaio_file_place *file,
                                                           const struct kaio_transfer *transfer) {
    return kaio_kind_is_write(transfer->kind) ? &file->write : &file->read;
}

// kaio_request_may_transfer checks what `transfer` asks of `file`, for a buffer at `address`.
// False: the long way decides.
static inline bool kaio_request_may_transfer(const struct kaio_file_place *file,
                                             const struct kaio_transfer *transfer,
                                             uintptr_t address) {
    const struct kaio_file_way *way = kaio_request_way(file, transfer);
    uint64_t excess =
        (address & file->memory_mask) |
        ((transfer->range.file_offset_bytes | transfer->range.size_bytes) & way->mask) |
        (transfer->flags.bits & way->flags_to_check) | kaio_file_way_closed(way);
    return excess == 0;
}

// What vector.c has in common with the above. kaio_request_undo_attach lets go of a file that was
// attached for a request that did not come about, and returns NULL; kaio_request_enter_idle begins
// a call on the queue of an idle request and returns its slot, or NULL with the reason.
kaio_status kaio_request_check_range(const kaio_range *range, size_t buffer_bytes);
kaio_status kaio_request_check_file(const struct kaio_file_place *file,
                                    const struct kaio_transfer *transfer, uintptr_t address);
kaio_status kaio_request_check_address(const struct kaio_file_place *file, uintptr_t address);
void kaio_request_set_flags(struct kaio_slot *slot, kaio_rw_flags flags,
                            const struct kaio_file_place *file);
struct kaio_slot *kaio_request_undo_attach(struct kaio_queue_place *queue,
                                           struct kaio_attachment *attachment,
                                           uint32_t attached_before);
struct kaio_slot *kaio_request_enter_idle(uintptr_t bits, uint32_t kind,
                                          struct kaio_queue_place **out_queue,
                                          kaio_status *out_why);

// kaio_request_begin_plain enters the queue and makes an idle request of `kind` that has no buffer.
// The caller fills in its iocb, by the file in `*out_file`, and leaves the queue. NULL: it was not
// entered, or was left, and the reason is in `*out_why`.
struct kaio_slot *kaio_request_begin_plain(kaio_queue *handle, const kaio_file *file, uint32_t kind,
                                           const void *output, struct kaio_queue_place **out_queue,
                                           struct kaio_file_place **out_file, kaio_status *out_why);

// kaio_request_take_slot makes an idle request of `kind` in a free slot, which the caller made sure
// of, and pins the file of `attachment`.
static inline struct kaio_slot *kaio_request_take_slot(struct kaio_queue_place *queue,
                                                       uint32_t kind,
                                                       struct kaio_attachment *attachment) {
    struct kaio_slot *slot = &queue->slots[queue->free_head];
    queue->free_head = slot->next;
    --queue->free_count;
    ++queue->idle_count;
    attachment->counts += KAIO_PIN;
    slot->attachment = (uint32_t)(attachment - queue->attachments);
    slot->memory = 0;
    slot->user = 0;
    slot->sent_ns = 0;
    slot->refusal = KAIO_OK;
    slot->flags = 0;
    uintptr_t life = kaio_bits_life(kaio_slot_load(slot));
    atomic_store_explicit(&slot->word, kaio_slot_word(life, kind, KAIO_SLOT_IDLE),
                          memory_order_relaxed);
    return slot;
}

// kaio_request_ticket is the ticket of a request that was pushed.
static inline uintptr_t kaio_request_ticket(const struct kaio_queue_place *queue,
                                            const struct kaio_slot *slot) {
    return (slot->flags & KAIO_SLOT_IS_RENAMED) != 0 ? queue->extras->tickets[slot - queue->slots]
                                                     : (uintptr_t)slot->iocb.aio_data;
}

// kaio_request_rename gives a claimed request, which is to be sent again, another name for the
// kernel: an event of its that comes twice must not be taken for that of what is sent now. Its
// ticket stays.
static inline void kaio_request_rename(struct kaio_queue_place *queue, struct kaio_slot *slot) {
    queue->extras->tickets[slot - queue->slots] = kaio_request_ticket(queue, slot);
    slot->flags |= KAIO_SLOT_IS_RENAMED;
    uintptr_t word = kaio_slot_load(slot) + KAIO_LIFE_ONE;
    atomic_store_explicit(&slot->word, word, memory_order_relaxed);
    slot->iocb.aio_data = kaio_request_bits(queue, slot);
}

// kaio_request_of_ticket is the request that was pushed with `ticket` and not taken, or NULL.
struct kaio_slot *kaio_request_of_ticket(struct kaio_queue_place *queue, kaio_ticket ticket);

// kaio_request_file is the file of a request, which pins it.
static inline struct kaio_file_place *kaio_request_file(const struct kaio_queue_place *queue,
                                                        const struct kaio_slot *slot) {
    struct kaio_file_place *file =
        kaio_file_at(kaio_bits_index(queue->attachments[slot->attachment].bits));
    assert(file != NULL);
    return file;
}

// kaio_request_is_append tells whether a write of `file` goes to its end, whatever its offset is.
static inline bool kaio_request_is_append(const struct kaio_file_place *file,
                                          const struct kaio_slot *slot) {
    uint32_t flags = (uint32_t)slot->iocb.aio_rw_flags;
    return (flags & KAIO_RAW_RWF_APPEND) != 0 ||
           (file->is_appending && (flags & KAIO_RAW_RWF_NOAPPEND) == 0);
}

// kaio_request_forbid tells a checker that the kernel may touch the buffer of `slot` from now on;
// kaio_request_allow, that it may not any more, and has written what the slot's result says.
static inline void kaio_request_forbid(const struct kaio_slot *slot) {
    if (kaio_is_watched() && kaio_bits_kind(slot->memory) != KAIO_KIND_VIEW) {
        kaio_checker_forbid((const void *)(uintptr_t)slot->iocb.aio_buf,
                            (size_t)slot->iocb.aio_nbytes);
    }
}
void kaio_request_allow_(const struct kaio_slot *slot);
static inline void kaio_request_allow(const struct kaio_slot *slot) {
    if (kaio_is_watched()) {
        kaio_request_allow_(slot);
    }
}

// Builds without NDEBUG sum the bytes of a view when its write is pushed, and when it ends.
#ifdef NDEBUG
static inline void kaio_request_sum_views(const struct kaio_queue_place *queue,
                                          const struct kaio_slot *slot) {
    (void)queue;
    (void)slot;
}
static inline void kaio_request_check_views(const struct kaio_queue_place *queue,
                                            const struct kaio_slot *slot) {
    (void)queue;
    (void)slot;
}
#else
void kaio_request_sum_views(const struct kaio_queue_place *queue, const struct kaio_slot *slot);
void kaio_request_check_views(const struct kaio_queue_place *queue, struct kaio_slot *slot);
#endif

// kaio_request_make_room moves what is staged to the front of its array.
void kaio_request_make_room(struct kaio_queue_place *queue);

// kaio_request_append_staged puts a slot at the end of what the next flush sends.
static inline void kaio_request_append_staged(struct kaio_queue_place *queue,
                                              struct kaio_slot *slot) {
    if (KAIO_UNLIKELY(queue->staged_end == queue->depth)) {
        kaio_request_make_room(queue);
    }
    queue->staged[queue->staged_end++] = &slot->iocb;
}

// kaio_request_stage_sync stages a sync, or holds it back until the writes before it were reaped.
void kaio_request_stage_sync(struct kaio_queue_place *queue, struct kaio_slot *slot);

// kaio_request_refuse_overlap ends a request that was just pushed as REFUSED when it meets one
// that is under way. False: it meets none.
bool kaio_request_refuse_overlap(struct kaio_queue_place *queue, struct kaio_slot *slot);

// kaio_request_stage sends an idle request on its way.
static inline void kaio_request_stage(struct kaio_queue_place *queue, struct kaio_slot *slot,
                                      uint64_t user) {
    uintptr_t word = kaio_slot_load(slot);
    slot->user = user;
    kaio_slot_enter(slot, KAIO_SLOT_STAGED);
    --queue->idle_count;
    ++queue->staged_count;
    uint32_t kind = kaio_slot_kind(word);
    if (KAIO_UNLIKELY(kind == KAIO_KIND_SYNC)) {
        kaio_request_stage_sync(queue, slot);
        return;
    }
    if (kaio_kind_is_write(kind)) {
        kaio_request_sum_views(queue, slot);
        slot->epoch = queue->sync_epoch;
        queue->attachments[slot->attachment].counts += KAIO_WRITE_PIN;
    }
    if (KAIO_UNLIKELY(queue->refuses_overlaps != 0) && kaio_request_refuse_overlap(queue, slot)) {
        return;
    }
    kaio_request_append_staged(queue, slot);
}

// kaio_request_settle_syncs tells the held syncs that were pushed after `write` how it ended.
void kaio_request_settle_syncs(struct kaio_queue_place *queue, const struct kaio_slot *write);

// kaio_request_is_whole tells whether a finished transfer moved all that it was asked to.
static inline bool kaio_request_is_whole(const struct kaio_slot *slot) {
    return slot->refusal == KAIO_OK && (slot->flags & KAIO_SLOT_WAS_CANCELLED) == 0 &&
           kaio_slot_result(slot) == (int64_t)kaio_slot_asked_bytes(slot);
}

// kaio_request_append_finished makes a slot the last to be taken; the other one, with `word` for
// its word.
__attribute__((always_inline)) static inline void kaio_request_append_finished_as(
    struct kaio_queue_place *queue, struct kaio_slot *slot, uint32_t index, uintptr_t word) {
    slot->next = KAIO_NO_SLOT;
    if (queue->finished_head == KAIO_NO_SLOT) {
        queue->finished_head = index;
    } else {
        queue->slots[queue->finished_tail].next = index;
    }
    queue->finished_tail = index;
    ++queue->finished_count;
    atomic_store_explicit(&slot->word, word, memory_order_relaxed);
}

static inline void kaio_request_append_finished(struct kaio_queue_place *queue,
                                                struct kaio_slot *slot) {
    uint32_t index = (uint32_t)(slot - queue->slots);
    uintptr_t word = (kaio_slot_load(slot) & ~(uintptr_t)15) | KAIO_SLOT_FINISHED;
    kaio_request_append_finished_as(queue, slot, index, word);
}

// kaio_request_pop_finished takes the oldest finished request, of which there is one, out of the
// list, to be freed.
static inline struct kaio_slot *kaio_request_pop_finished(struct kaio_queue_place *queue) {
    struct kaio_slot *slot = &queue->slots[queue->finished_head];
    queue->finished_head = slot->next;
    --queue->finished_count;
    return slot;
}

// kaio_request_settle_sync has the file remember the error of a sync that has ended, or the sync
// have the one that the file remembers.
void kaio_request_settle_sync(const struct kaio_queue_place *queue, struct kaio_slot *sync);

// kaio_request_settle_write counts a write that has ended, and tells the syncs that waited for it.
static inline void kaio_request_settle_write(struct kaio_queue_place *queue,
                                             struct kaio_slot *slot) {
    kaio_request_check_views(queue, slot);
    struct kaio_attachment *attachment = &queue->attachments[slot->attachment];
    attachment->counts -= KAIO_WRITE_PIN;
    if (KAIO_UNLIKELY(!kaio_request_is_whole(slot))) {
        slot->flags |= KAIO_SLOT_HAS_FAILED;
        attachment->counts += KAIO_FAILED_PIN;
    }
    if (KAIO_UNLIKELY(queue->held_head != KAIO_NO_SLOT)) {
        kaio_request_settle_syncs(queue, slot);
    }
}

// kaio_request_settle does what else the end of a request of `kind` that the kernel had means.
__attribute__((always_inline)) static inline void kaio_request_settle(
    struct kaio_queue_place *queue, struct kaio_slot *slot, uint32_t kind) {
    if (kaio_kind_is_write(kind)) {
        kaio_request_settle_write(queue, slot);
    } else if (KAIO_UNLIKELY(kind == KAIO_KIND_SYNC)) {
        kaio_request_settle_sync(queue, slot);
    }
}

// kaio_request_finish makes a request that was staged or in flight one to be taken, and settles the
// syncs that waited for it. Its result and its refusal are set before.
static inline void kaio_request_finish(struct kaio_queue_place *queue, struct kaio_slot *slot) {
    bool is_write = kaio_kind_is_write(kaio_slot_kind(kaio_slot_load(slot)));
    kaio_request_append_finished(queue, slot);
    if (is_write) {
        kaio_request_settle_write(queue, slot);
    }
}

// kaio_request_finish_claimed does that for a request of `kind` that was claimed, in the slot of
// `index`.
__attribute__((always_inline)) static inline void kaio_request_finish_claimed(
    struct kaio_queue_place *queue, struct kaio_slot *slot, uint32_t index, uint32_t kind) {
    static_assert(KAIO_SLOT_FINISHED == KAIO_SLOT_IN_FLIGHT + 1, "the next state");
    kaio_request_append_finished_as(queue, slot, index, kaio_slot_load(slot) + 1);
    if (KAIO_UNLIKELY(kind != KAIO_KIND_READ)) {
        kaio_request_settle(queue, slot, kind);
    }
}

// kaio_request_cancel_staged finishes a staged request, which is not sent, as CANCELLED.
void kaio_request_cancel_staged(struct kaio_queue_place *queue, struct kaio_slot *slot);

// kaio_request_free_usual frees the slot of `index`, of a request of `life` that was whole. The
// file and the buffer are the caller's to unpin.
__attribute__((always_inline)) static inline void kaio_request_free_usual(
    struct kaio_queue_place *queue, struct kaio_slot *slot, uint32_t index, uintptr_t life) {
    atomic_store_explicit(&slot->word, kaio_slot_word(life + KAIO_LIFE_ONE, 0, KAIO_SLOT_FREE),
                          memory_order_relaxed);
    slot->next = queue->free_head;
    queue->free_head = index;
    ++queue->free_count;
}

// kaio_request_free does that for any request.
static inline void kaio_request_free(struct kaio_queue_place *queue, struct kaio_slot *slot) {
    if (KAIO_UNLIKELY((slot->flags & KAIO_SLOT_HAS_FAILED) != 0)) {
        queue->attachments[slot->attachment].counts -= KAIO_FAILED_PIN;
    }
    uint32_t attachment = slot->attachment;
    kaio_request_free_usual(queue, slot, (uint32_t)(slot - queue->slots),
                            kaio_bits_life((uintptr_t)slot->iocb.aio_data));
    kaio_attachment_unpin(queue, attachment);
}

// kaio_request_is_usual tells whether a request that has ended is what most are: a transfer of a
// buffer or frame that the kernel counted the bytes of, and nothing else to say of it.
static inline bool kaio_request_is_usual(const struct kaio_slot *slot) {
    return KAIO_LIKELY(slot->memory != 0 && kaio_bits_kind(slot->memory) != KAIO_KIND_VIEW &&
                       slot->oddities == 0 && kaio_slot_result(slot) >= 0);
}

// A kaio_usual_end is what there is to tell of such a request.
struct kaio_usual_end {
    kaio_transfer_outcome outcome;
    uint32_t buffer_offset_bytes;
    uint64_t file_offset_bytes;
    uint64_t size_bytes;
    uint64_t moved_bytes;
    uint64_t user;
    uint64_t ticket;
    uintptr_t memory;
};

static inline kaio_range kaio_usual_range(const struct kaio_usual_end *end) {
    return (kaio_range){.file_offset_bytes = end->file_offset_bytes,
                        .buffer_offset_bytes = end->buffer_offset_bytes,
                        .size_bytes = (uint32_t)end->size_bytes};
}

// kaio_request_end_usual counts how such a request of `kind`, in the slot of `index`, ended, unpins
// what it has and frees its slot.
__attribute__((always_inline)) static inline struct kaio_usual_end kaio_request_end_usual(
    struct kaio_queue_place *queue, struct kaio_slot *slot, uint32_t index, uint32_t kind) {
    uint32_t attachment = slot->attachment;
    struct kaio_usual_end end = {.buffer_offset_bytes = slot->buffer_offset_bytes,
                                 .file_offset_bytes = (uint64_t)slot->iocb.aio_offset,
                                 .size_bytes = slot->iocb.aio_nbytes,
                                 .moved_bytes = (uint64_t)kaio_slot_result(slot),
                                 .user = slot->user,
                                 .ticket = slot->iocb.aio_data,
                                 .memory = slot->memory};
    end.outcome = kaio_outcome_of_count(!kaio_kind_is_write(kind), end.moved_bytes, end.size_bytes);
    kaio_request_allow(slot);
    kaio_request_free_usual(queue, slot, index, kaio_bits_life((uintptr_t)end.ticket));
    kaio_attachment_unpin(queue, attachment);
    kaio_queue_count_outcome(queue, kind, end.outcome, end.moved_bytes);
    _Atomic uintptr_t *word = KAIO_LIKELY(kaio_bits_kind(end.memory) == KAIO_KIND_BUFFER)
                                  ? &kaio_buffer_good_of(end.memory)->place.word
                                  : kaio_frame_word(kaio_bits_index(end.memory));
    uintptr_t held = kaio_memory_make_word(kaio_bits_life(end.memory), kaio_self.thread_number,
                                           KAIO_MEMORY_HELD);
    atomic_store_explicit(word, held, memory_order_release);
    return end;
}

// kaio_request_free_idle frees an idle request, whose buffers were unpinned before.
static inline void kaio_request_free_idle(struct kaio_queue_place *queue, struct kaio_slot *slot) {
    --queue->idle_count;
    kaio_request_free(queue, slot);
}

// kaio_request_move_pin gives an idle request the file of `attachment` instead of its own.
static inline void kaio_request_move_pin(struct kaio_queue_place *queue, struct kaio_slot *slot,
                                         struct kaio_attachment *attachment) {
    uint32_t old = slot->attachment;
    attachment->counts += KAIO_PIN;
    slot->attachment = (uint32_t)(attachment - queue->attachments);
    kaio_attachment_unpin(queue, old);
}

// kaio_request_collect_strays finishes requests that were pushed or dropped where they must not be;
// the other one is its slow half.
void kaio_request_collect_strays_now(struct kaio_queue_place *queue);
static inline void kaio_request_collect_strays(struct kaio_queue_place *queue) {
    if (KAIO_UNLIKELY(atomic_load_explicit(&queue->has_strays, memory_order_relaxed) != 0)) {
        kaio_request_collect_strays_now(queue);
    }
}

// kaio_request_full is the answer when there is no free slot.
kaio_status kaio_request_full(const struct kaio_queue_place *queue);

// The bodies of kaio_read_set_priority, kaio_read_retarget, kaio_read_into_write and
// kaio_read_rest_start, and of their kin. `*bits` becomes the new handle.
kaio_status kaio_request_set_priority(uintptr_t bits, uint32_t kind, kaio_priority priority);
kaio_status kaio_request_retarget(uintptr_t bits, const kaio_file *file,
                                  const struct kaio_transfer *transfer);
kaio_status kaio_request_retype(uintptr_t *bits, uint32_t kind, uint32_t new_kind);
kaio_status kaio_request_start_rest(kaio_queue *queue, const kaio_file *file, uint32_t kind,
                                    kaio_rw_flags flags, kaio_completion *completion,
                                    kaio_ticket *out_ticket);

// The bodies of kaio_read_push_ and its kin; `kind` is what the handle's type promises, and
// `memory_kind` what the caller can take back: KAIO_KIND_BUFFER (or a frame), KAIO_KIND_VIEW, or 0.
kaio_ticket kaio_request_push(uintptr_t bits, uint32_t kind, uint64_t user);
kaio_status kaio_request_abandon(uintptr_t bits, uint32_t kind, uint32_t memory_kind,
                                 uintptr_t *out_memory);
void kaio_request_drop(uintptr_t bits, uint32_t kind);

#endif  // KAIO_SAFE_REQUEST_H_
