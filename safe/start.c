// The hot path of kaio_read_start and kaio_write_start.
//
// What is as it mostly is, is done here, in one piece and without a way back: whatever is not so
// (an error, a file that the queue does not know yet, a buffer that is bound to nobody) has changed
// nothing and goes the long way, kaio_request_start_transfer, which knows all that can be.

#include "attach.h"
#include "file_pin.h"
#include "kaio/safe/read.h"
#include "kaio/safe/write.h"
#include "memory.h"
#include "request.h"

// commit gives `memory` to a request, which is staged: nothing can go wrong any more. The file is
// the recent one.
__attribute__((always_inline)) static inline uint64_t commit(struct kaio_queue_place *queue, int fd,
                                                             const struct kaio_transfer *transfer,
                                                             uintptr_t address, uintptr_t memory,
                                                             uint64_t user, bool is_plain) {
    void *first = (void *)address;
    uint32_t kind = transfer->kind;
    size_t size_bytes = transfer->range.size_bytes;
    int64_t offset = (int64_t)transfer->range.file_offset_bytes;
    uint32_t index = queue->free_head;
    struct kaio_slot *slot = &queue->slots[index];
    queue->free_head = slot->next;
    --queue->free_count;
    ++queue->staged_count;
    slot->attachment = queue->recent_attachment;
    queue->attachments[queue->recent_attachment].counts +=
        kaio_kind_is_write(kind) ? KAIO_PIN + KAIO_WRITE_PIN : KAIO_PIN;
    uintptr_t life = kaio_bits_life(kaio_slot_load(slot));
    uint64_t bits = kaio_bits_make(life, queue->first_slot + index, kind);
    struct kaio_raw_iocb iocb = kind == KAIO_KIND_READ
                                    ? kaio_raw_prep_pread(fd, first, size_bytes, offset)
                                    : kaio_raw_prep_pwrite(fd, first, size_bytes, offset);
    kaio_raw_set_rw_flags(&iocb, (int32_t)transfer->flags.bits);
    kaio_raw_set_data(&iocb, bits);
    slot->iocb = iocb;
    atomic_store_explicit(&slot->word, kaio_slot_word(life, kind, KAIO_SLOT_STAGED),
                          memory_order_relaxed);
    slot->memory = memory;
    slot->user = user;
    slot->sent_ns = 0;
    slot->epoch = queue->sync_epoch;
    slot->buffer_offset_bytes = transfer->range.buffer_offset_bytes;
    slot->oddities = 0;
    if (is_plain) {
        queue->staged[queue->staged_end++] = &slot->iocb;
    } else {
        kaio_request_forbid(slot);
        kaio_request_append_staged(queue, slot);
    }
    return bits;
}

// A found is the bytes of a buffer's handle, and its word. Where the word is not what it has to be,
// the bytes may be anything, and are not touched.
struct found {
    _Atomic uintptr_t *word;  // NULL: there is none
    uintptr_t address;
    size_t size_bytes;
};

// find_frame is the half of find for frames.
static inline struct found find_frame(uintptr_t bits, uintptr_t held) {
    _Atomic uintptr_t *word =
        kaio_bits_kind(bits) == KAIO_KIND_FRAME ? kaio_frame_word(kaio_bits_index(bits)) : NULL;
    if (word == NULL || atomic_load_explicit(word, memory_order_acquire) != held) {
        return (struct found){.word = NULL};
    }
    struct kaio_memory memory = kaio_memory_of(bits);
    return (struct found){
        .word = word, .address = (uintptr_t)memory.bytes, .size_bytes = memory.size_bytes};
}

__attribute__((always_inline)) static inline struct found find(uintptr_t bits, uintptr_t held) {
    struct kaio_buffer_place *buffer = kaio_buffer_of(bits);
    if (KAIO_UNLIKELY(kaio_bits_kind(bits) != KAIO_KIND_BUFFER || buffer == NULL)) {
        return find_frame(bits, held);
    }
    return (struct found){
        .word = &buffer->place.word,
        .address = (uintptr_t)atomic_load_explicit(&buffer->bytes, memory_order_relaxed),
        .size_bytes = atomic_load_explicit(&buffer->size_bytes, memory_order_relaxed)};
}

// is_plain_for tells whether a start needs no call: no checker is to be told, there is room behind
// what is staged, and the file is the one of the last request.
static inline bool is_plain_for(const struct kaio_queue_place *queue, const kaio_file *file) {
    return KAIO_LIKELY(!kaio_is_watched() && queue->staged_end != queue->depth &&
                       queue->recent_bits == (uintptr_t)file);
}

// start_in answers false when it has changed nothing. `is_plain`: only what needs no call, so that
// this is one piece that saves few registers.
__attribute__((always_inline)) static inline bool start_in(struct kaio_queue_place *queue,
                                                           const kaio_file *file,
                                                           const struct kaio_transfer *transfer,
                                                           uint64_t user, uintptr_t bits,
                                                           bool is_plain, uint64_t *out_ticket) {
    uintptr_t held =
        kaio_memory_make_word(kaio_bits_life(bits), kaio_self.thread_number, KAIO_MEMORY_HELD);
    struct found found = find(bits, held);
    if (KAIO_UNLIKELY(found.word == NULL || queue->free_head == KAIO_NO_SLOT ||
                      (is_plain && !is_plain_for(queue, file)) ||
                      !kaio_attachment_known(queue, (uintptr_t)file))) {
        return false;
    }
    const struct kaio_file_place *place = queue->recent_file;
    uintptr_t first = found.address + transfer->range.buffer_offset_bytes;
    if (KAIO_UNLIKELY(!kaio_request_is_in_range(&transfer->range, found.size_bytes) ||
                      !kaio_request_may_transfer(place, transfer, first))) {
        return false;
    }
    // Last, so that nothing lies between.
    if (KAIO_UNLIKELY(atomic_load_explicit(found.word, memory_order_acquire) != held)) {
        return false;
    }
    atomic_store_explicit(found.word, held + 1, memory_order_relaxed);
    *out_ticket = commit(queue, place->fd, transfer, first, bits, user, is_plain);
    return true;
}

// start_slowly is the long way.
__attribute__((noinline)) static kaio_status start_slowly(kaio_queue *queue, const kaio_file *file,
                                                          const struct kaio_transfer *transfer,
                                                          uint64_t user, kaio_buffer **move_buffer,
                                                          kaio_ticket *out_ticket) {
    if (out_ticket == NULL || move_buffer == NULL) {
        return kaio_request_null(out_ticket, KAIO_SUBJECT_BUFFER);
    }
    uintptr_t memory = (uintptr_t)*move_buffer;
    kaio_status status =
        kaio_request_start_transfer(queue, file, transfer, user, memory, out_ticket);
    if (kaio_status_is_ok(status)) {
        *move_buffer = NULL;
    }
    return status;
}

// start_quickly answers false when it has changed nothing.
__attribute__((always_inline)) static inline bool start_quickly(
    kaio_queue *queue, const kaio_file *file, const struct kaio_transfer *transfer, uint64_t user,
    bool is_plain, kaio_buffer **move_buffer, kaio_ticket *out_ticket) {
    struct kaio_queue_place *place;
    if (KAIO_UNLIKELY(out_ticket == NULL || move_buffer == NULL ||
                      !kaio_queue_enter_same(queue, &place))) {
        return false;
    }
    uintptr_t memory = (uintptr_t)*move_buffer;
    if (KAIO_UNLIKELY(
            !start_in(place, file, transfer, user, memory, is_plain, &out_ticket->bits))) {
        kaio_queue_leave();
        return false;
    }
    *move_buffer = NULL;
    kaio_queue_leave();
    return true;
}

// What is not plain is for functions with the same arguments: what is jumped to costs nothing here.
__attribute__((noinline)) static kaio_status read_any(kaio_queue *queue, const kaio_file *file,
                                                      kaio_range range, kaio_rw_flags flags,
                                                      uint64_t user, kaio_buffer **move_buffer,
                                                      kaio_ticket *out_ticket) {
    const struct kaio_transfer transfer = {.kind = KAIO_KIND_READ, .range = range, .flags = flags};
    if (start_quickly(queue, file, &transfer, user, false, move_buffer, out_ticket)) {
        return kaio_status_ok();
    }
    return start_slowly(queue, file, &transfer, user, move_buffer, out_ticket);
}

__attribute__((noinline)) static kaio_status write_any(kaio_queue *queue, const kaio_file *file,
                                                       kaio_range range, kaio_rw_flags flags,
                                                       uint64_t user, kaio_buffer **move_buffer,
                                                       kaio_ticket *out_ticket) {
    const struct kaio_transfer transfer = {.kind = KAIO_KIND_WRITE, .range = range, .flags = flags};
    if (start_quickly(queue, file, &transfer, user, false, move_buffer, out_ticket)) {
        return kaio_status_ok();
    }
    return start_slowly(queue, file, &transfer, user, move_buffer, out_ticket);
}

kaio_status kaio_read_start(kaio_queue *queue, kaio_file *file, kaio_range range,
                            kaio_rw_flags flags, uint64_t user, kaio_buffer **move_buffer,
                            kaio_ticket *out_ticket) {
    const struct kaio_transfer transfer = {.kind = KAIO_KIND_READ, .range = range, .flags = flags};
    if (KAIO_LIKELY(start_quickly(queue, file, &transfer, user, true, move_buffer, out_ticket))) {
        return kaio_status_ok();
    }
    return read_any(queue, file, range, flags, user, move_buffer, out_ticket);
}

kaio_status kaio_write_start(kaio_queue *queue, kaio_file *file, kaio_range range,
                             kaio_rw_flags flags, uint64_t user, kaio_buffer **move_buffer,
                             kaio_ticket *out_ticket) {
    const struct kaio_transfer transfer = {.kind = KAIO_KIND_WRITE, .range = range, .flags = flags};
    if (KAIO_LIKELY(start_quickly(queue, file, &transfer, user, true, move_buffer, out_ticket))) {
        return kaio_status_ok();
    }
    return write_any(queue, file, range, flags, user, move_buffer, out_ticket);
}
