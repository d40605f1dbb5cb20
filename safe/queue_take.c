#include "eventfd.h"
#include "kaio/safe/queue.h"
#include "memory.h"
#include "queue_observe.h"
#include "queue_steps.h"
#include "request.h"
#include "rest.h"
#include "vector.h"

kaio_status kaio_queue_refusal_of(const struct kaio_slot *slot) {
    if (slot->refusal == KAIO_OK) {
        return kaio_status_ok();
    }
    kaio_status status = kaio_status_make((kaio_code)slot->refusal, KAIO_SUBJECT_REQUEST);
    if (slot->refusal == KAIO_MODIFIED_IN_FLIGHT) {
        status.subject = KAIO_SUBJECT_VIEW;
    }
    if (slot->refusal == KAIO_OVERLAP) {
        status.detail = (uint64_t)slot->sent_ns;  // see kaio_request_refuse_overlap
    }
    if (slot->refusal == KAIO_OS_ERROR || slot->refusal == KAIO_CAN_STALL) {
        status.os_error = (int32_t)-kaio_slot_result(slot);
    }
    return status;
}

static kaio_poll_events asked_events(const struct kaio_slot *slot, kaio_operation operation) {
    uint64_t bits = operation == KAIO_POLL ? slot->iocb.aio_buf : 0;
    return (kaio_poll_events){.bits = (uint16_t)bits};
}

kaio_verdict kaio_queue_judge(struct kaio_queue_place *queue, const struct kaio_slot *slot) {
    kaio_operation operation = (kaio_operation)kaio_slot_kind(kaio_slot_load(slot));
    bool was_modified = slot->refusal == KAIO_MODIFIED_IN_FLIGHT;
    kaio_verdict verdict = kaio_verdict_from_ending(
        (kaio_ending){.operation = operation,
                      .kernel_result = kaio_slot_result(slot),
                      .asked_bytes = kaio_slot_asked_bytes(slot),
                      .asked_events = asked_events(slot, operation),
                      .was_refused = slot->refusal != KAIO_OK && !was_modified,
                      .was_cancelled = (slot->flags & KAIO_SLOT_WAS_CANCELLED) != 0,
                      .was_preceded = (slot->flags & KAIO_SLOT_WAS_PRECEDED) != 0});
    if (was_modified) {  // what the kernel says of it is worth nothing
        verdict.transfer = KAIO_TRANSFER_FAILED;
        verdict.moved_bytes = 0;
    }
    // Of the three outcomes, those of the two other kinds of operations are PENDING, which is 0.
    kaio_rest_judge(queue, slot, &verdict);
    uint32_t outcome = (uint32_t)verdict.transfer | (uint32_t)verdict.sync | (uint32_t)verdict.poll;
    kaio_queue_count_outcome(queue, (uint32_t)operation, outcome, verdict.moved_bytes);
    return verdict;
}

// judge fills in what became of a request.
static void judge(struct kaio_queue_place *queue, const struct kaio_slot *slot,
                  kaio_completion *out_completion) {
    kaio_verdict verdict = kaio_queue_judge(queue, slot);
    out_completion->transfer = verdict.transfer;
    out_completion->sync = verdict.sync;
    out_completion->poll = verdict.poll;
    out_completion->events = verdict.events;
    out_completion->met_end = verdict.met_end;
    out_completion->os_error = verdict.os_error;
    out_completion->moved_bytes = verdict.moved_bytes;
    out_completion->refusal = kaio_queue_refusal_of(slot);
}

// describe_transfer fills in what was asked for, and gives the buffer or view back.
static void describe_transfer(const struct kaio_queue_place *queue, const struct kaio_slot *slot,
                              kaio_completion *out_completion) {
    out_completion->range = kaio_slot_range(slot);
    bool is_view = kaio_bits_kind(slot->memory) == KAIO_KIND_VIEW;
    out_completion->buffer = is_view ? NULL : (kaio_buffer *)slot->memory;
    out_completion->view = is_view ? (kaio_view *)slot->memory : NULL;
    kaio_request_allow(slot);
    kaio_memory_unpin(slot->memory, kaio_queue_thread(queue));
}

// describe_other does that for what has no buffer or view of its own.
static void describe_other(struct kaio_queue_place *queue, struct kaio_slot *slot,
                           kaio_completion *out_completion) {
    out_completion->range = (kaio_range){.size_bytes = 0};
    out_completion->buffer = NULL;
    out_completion->view = NULL;
    if (kaio_vector_count(slot) == 0) {
        out_completion->segments = NULL;
        out_completion->segment_count = 0;
        return;
    }
    out_completion->range.file_offset_bytes = (uint64_t)slot->iocb.aio_offset;
    out_completion->range.size_bytes = slot->asked_bytes;
    out_completion->segment_count = kaio_vector_give_back(queue, slot, out_completion->segments);
}

void kaio_queue_deliver(struct kaio_queue_place *queue, struct kaio_slot *slot,
                        kaio_completion *out_completion) {
    out_completion->operation = (kaio_operation)kaio_slot_kind(kaio_slot_load(slot));
    out_completion->user = slot->user;
    out_completion->ticket.bits = kaio_request_ticket(queue, slot);
    judge(queue, slot, out_completion);
    if (slot->memory != 0) {
        describe_transfer(queue, slot, out_completion);
        out_completion->segments = NULL;
        out_completion->segment_count = 0;
    } else {
        describe_other(queue, slot, out_completion);
    }
    kaio_request_free(queue, slot);
}

// tell_usual fills in what became of a usual request of `kind`, which has ended. Nothing is written
// before: for all the compiler knows a completion and a slot are the same memory.
__attribute__((always_inline)) static inline void tell_usual(uint32_t kind,
                                                             struct kaio_usual_end end,
                                                             kaio_completion *out_completion) {
    out_completion->operation = (kaio_operation)kind;
    out_completion->transfer = end.outcome;
    out_completion->sync = KAIO_SYNC_PENDING;
    out_completion->poll = KAIO_POLL_PENDING;
    out_completion->events.bits = 0;
    out_completion->met_end = end.outcome == KAIO_TRANSFER_END;
    out_completion->os_error = 0;
    out_completion->refusal = kaio_status_ok();
    out_completion->range.file_offset_bytes = end.file_offset_bytes;
    out_completion->range.buffer_offset_bytes = end.buffer_offset_bytes;
    out_completion->range.size_bytes = (uint32_t)end.size_bytes;
    out_completion->moved_bytes = end.moved_bytes;
    out_completion->user = end.user;
    out_completion->ticket.bits = end.ticket;
    out_completion->buffer = (kaio_buffer *)end.memory;
    out_completion->view = NULL;
    out_completion->segments = NULL;
    out_completion->segment_count = 0;
}

// take_usual is take_one for what is mostly there: a transfer of a buffer that the kernel
// counted the bytes of, and nothing else to do. False: something else, and nothing has changed.
__attribute__((always_inline)) static inline bool take_usual(struct kaio_queue_place *queue,
                                                             kaio_completion *out_completion) {
    uint32_t index = queue->finished_head;
    if (KAIO_UNLIKELY(index == KAIO_NO_SLOT ||
                      atomic_load_explicit(&queue->has_strays, memory_order_relaxed) != 0)) {
        return false;
    }
    struct kaio_slot *slot = &queue->slots[index];
    if (KAIO_UNLIKELY(!kaio_request_is_usual(slot))) {
        return false;
    }
    (void)kaio_request_pop_finished(queue);
    uint32_t kind = kaio_bits_kind((uintptr_t)slot->iocb.aio_data);
    tell_usual(kind, kaio_request_end_usual(queue, slot, index, kind), out_completion);
    return true;
}

// take_plain is take_usual for what needs no call, so that it is one piece that saves few
// registers: a buffer of its own, no checker that is to be told, and no file that was dropped. What
// it does is what kaio_request_end_usual does, in the order that reads everything once.
__attribute__((always_inline)) static inline bool take_plain(struct kaio_queue_place *queue,
                                                             kaio_completion *out_completion) {
    uint32_t index = queue->finished_head;
    uint32_t obstacles = atomic_load_explicit(&queue->has_strays, memory_order_relaxed) |
                         atomic_load_explicit(&kaio_checkers, memory_order_relaxed);
    if (KAIO_UNLIKELY(index == KAIO_NO_SLOT || obstacles != 0)) {
        return false;
    }
    struct kaio_slot *slot = &queue->slots[index];
    uintptr_t memory = slot->memory;
    int64_t result = kaio_slot_result(slot);
    struct kaio_attachment *attachment = &queue->attachments[slot->attachment];
    uint64_t counts = attachment->counts;
    static_assert((int64_t)KAIO_FILE_IS_DROPPED < 0, "the sign");
    uint32_t deferred_count = atomic_load_explicit(&kaio_file_deferred_count, memory_order_relaxed);
    if (KAIO_UNLIKELY(kaio_bits_kind(memory) != KAIO_KIND_BUFFER || slot->oddities != 0 ||
                      (result | (int64_t)counts) < 0 ||
                      queue->seen_deferred_count != deferred_count)) {
        return false;
    }
    attachment->counts = counts - KAIO_PIN;
    struct kaio_usual_end end = {.outcome = KAIO_TRANSFER_FULL,
                                 .buffer_offset_bytes = slot->buffer_offset_bytes,
                                 .file_offset_bytes = (uint64_t)slot->iocb.aio_offset,
                                 .size_bytes = slot->iocb.aio_nbytes,
                                 .moved_bytes = (uint64_t)result,
                                 .user = slot->user,
                                 .ticket = slot->iocb.aio_data,
                                 .memory = memory};
    uint32_t kind = kaio_bits_kind((uintptr_t)end.ticket);
    queue->finished_head = slot->next;
    --queue->finished_count;
    kaio_request_free_usual(queue, slot, index, kaio_bits_life((uintptr_t)end.ticket));
    if (KAIO_UNLIKELY(end.moved_bytes < end.size_bytes)) {
        end.outcome =
            kaio_outcome_of_count(!kaio_kind_is_write(kind), end.moved_bytes, end.size_bytes);
    }
    kaio_queue_count_outcome(queue, kind, end.outcome, end.moved_bytes);
    atomic_store_explicit(
        &kaio_buffer_good_of(memory)->place.word,
        kaio_memory_make_word(kaio_bits_life(memory), kaio_self.thread_number, KAIO_MEMORY_HELD),
        memory_order_release);
    tell_usual(kind, end, out_completion);
    return true;
}

// What take_one found.
enum found { FOUND_NONE, FOUND_ONE, FOUND_TOO_LONG };

// A vault is where the segments of a vectored request go.
struct vault {
    kaio_segment *segments;
    uint32_t capacity;
    uint32_t needed_count;  // of FOUND_TOO_LONG
};

// reap looks for events, and sends the rests of short transfers among them: whoever only takes may
// wait for nothing else. What it sends may be over at once. What the kernel has no memory for is
// tried again with the next take, which must not be one that nothing brings about.
static void reap(struct kaio_queue_place *queue) {
    kaio_queue_reap(queue);
    struct kaio_extras *extras = queue->extras;
    bool is_taken = true;
    while (is_taken && extras != NULL && extras->has_staged_rest != 0) {
        is_taken = kaio_queue_send(queue).os_error == 0;
        extras->has_staged_rest = is_taken ? 0 : 1;
        kaio_queue_reap(queue);
    }
    if (!is_taken && queue->in_flight_count == 0) {
        kaio_queue_raise(queue);
    }
}

// take_one hands over the oldest finished request, if there is one that fits.
static enum found take_one(struct kaio_queue_place *queue, struct vault *vault,
                           kaio_completion *out_completion) {
    kaio_request_collect_strays(queue);
    if (queue->finished_head == KAIO_NO_SLOT) {
        reap(queue);
        if (queue->finished_head == KAIO_NO_SLOT) {
            return FOUND_NONE;
        }
    }
    struct kaio_slot *slot = &queue->slots[queue->finished_head];
    if (KAIO_UNLIKELY(slot->memory == 0)) {
        vault->needed_count = kaio_vector_count(slot);
        if (vault->needed_count > vault->capacity) {
            return FOUND_TOO_LONG;
        }
        out_completion->segments = vault->segments;
    }
    kaio_queue_deliver(queue, kaio_request_pop_finished(queue), out_completion);
    return FOUND_ONE;
}

// lower_and_take lowers the eventfd, since nothing was left. What came in between may have been
// lowered with the rest: it is handed over, and the eventfd is raised until the next EMPTY.
static __attribute__((noinline)) enum found lower_and_take(struct kaio_queue_place *queue,
                                                           struct vault *vault,
                                                           kaio_completion *out_completion) {
    kaio_eventfd_lower(queue->event_fd);
    enum found found = take_one(queue, vault, out_completion);
    if (found != FOUND_NONE) {
        kaio_queue_raise(queue);
    }
    return found;
}

static kaio_status take(kaio_queue *queue, struct vault *vault, kaio_completion *out_completion) {
    kaio_status why;
    struct kaio_queue_place *place = kaio_queue_enter(queue, &why);
    if (KAIO_UNLIKELY(place == NULL)) {
        return why;
    }
    enum found found = take_one(place, vault, out_completion);
    if (KAIO_UNLIKELY(found == FOUND_NONE && place->event_fd >= 0)) {
        found = lower_and_take(place, vault, out_completion);
    }
    kaio_queue_leave();
    if (KAIO_UNLIKELY(found == FOUND_TOO_LONG)) {
        return kaio_status_pair(KAIO_RANGE, KAIO_SUBJECT_SEGMENTS, vault->needed_count,
                                vault->capacity);
    }
    return found == FOUND_ONE ? kaio_status_ok() : kaio_status_make(KAIO_EMPTY, KAIO_SUBJECT_QUEUE);
}

// take_slowly takes whatever there is.
__attribute__((noinline)) static kaio_status take_slowly(kaio_queue *queue,
                                                         kaio_completion *out_completion) {
    if (out_completion == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OUTPUT);
    }
    struct vault none = {.segments = NULL};
    return take(queue, &none, out_completion);
}

// take_quickly is false when it has taken nothing.
__attribute__((always_inline)) static inline bool take_quickly(kaio_queue *queue, bool is_plain,
                                                               kaio_completion *out_completion) {
    struct kaio_queue_place *place;
    if (KAIO_UNLIKELY(out_completion == NULL || !kaio_queue_enter_same(queue, &place))) {
        return false;
    }
    bool is_taken =
        is_plain ? take_plain(place, out_completion) : take_usual(place, out_completion);
    kaio_queue_leave();
    return is_taken;
}

// take_any takes what is not plain.
__attribute__((noinline)) static kaio_status take_any(kaio_queue *queue,
                                                      kaio_completion *out_completion) {
    if (take_quickly(queue, false, out_completion)) {
        return kaio_status_ok();
    }
    return take_slowly(queue, out_completion);
}

kaio_status kaio_queue_take(kaio_queue *queue, kaio_completion *out_completion) {
    if (KAIO_LIKELY(take_quickly(queue, true, out_completion))) {
        return kaio_status_ok();
    }
    return take_any(queue, out_completion);
}

kaio_status kaio_queue_take_segments(kaio_queue *queue, kaio_segment *out_segments,
                                     uint32_t capacity, kaio_completion *out_completion) {
    if (out_completion == NULL || out_segments == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OUTPUT);
    }
    struct vault vault = {.segments = out_segments, .capacity = capacity};
    return take(queue, &vault, out_completion);
}
