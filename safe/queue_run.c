#include "kaio/safe/run.h"

#include "helper.h"
#include "kaio/safe/buffer.h"
#include "kaio/safe/view.h"
#include "memory.h"
#include "queue_observe.h"
#include "queue_reap.h"
#include "queue_send.h"
#include "queue_steps.h"
#include "queue_wake.h"
#include "request.h"
#include "rest.h"
#include "term.h"

// How long a run sleeps at most while a wake would not end its sleep.
enum { UNWAKEABLE_NS = 5000000 };

// A run is what its functions share. They are inline, so that no function returns behind a submit
// call but the run itself.
struct run {
    struct kaio_queue_place *queue;
    const kaio_handlers *handlers;
    void *context;
    uintptr_t word;  // the queue's, as long as it is neither to be dropped nor the parent's
    kaio_run_report report;
    int64_t seen_ns;  // when `seen_count` of the events in the ring were found; for latencies
    uint32_t seen_count;
};

// ---- one outcome ----

// goes_on does what an event means besides the end of a request: it is the first of `count` in the
// ring, for all of which the clock is read once. True: the request has not ended.
static __attribute__((noinline)) bool goes_on(struct run *run, struct kaio_slot *slot,
                                              uint32_t count) {
    if (run->seen_count == 0) {
        run->seen_count = count;
        run->seen_ns = run->queue->latencies == NULL ? 0 : kaio_queue_now_ns(run->queue);
    }
    --run->seen_count;
    if (kaio_helper_settle(run->queue, slot) || kaio_rest_go_on(run->queue, slot)) {
        return true;
    }
    kaio_term_settle(run->queue, slot);
    if (run->queue->latencies != NULL) {
        kaio_queue_count_latency(run->queue, slot, run->seen_ns);
    }
    return false;
}

// next_done gives a request that has ended, and is free once it was handed out, or NULL when none
// is there now: first what is in the list, then straight from the ring.
static inline struct kaio_slot *next_done(struct run *run) {
    struct kaio_queue_place *queue = run->queue;
    if (KAIO_UNLIKELY(queue->finished_head != KAIO_NO_SLOT)) {
        return kaio_request_pop_finished(queue);
    }
    const struct kaio_raw_event *event;
    while (KAIO_LIKELY(queue->consumer.ring != NULL)) {
        uint32_t count = kaio_raw_ring_peek(&queue->consumer, &event);
        if (count == 0) {
            run->seen_count = 0;
            return NULL;
        }
        if (KAIO_UNLIKELY(count == KAIO_RAW_RING_CORRUPT)) {
            queue->consumer.ring = NULL;  // from now on only through the kernel, which knows
            return NULL;
        }
        uint64_t data = *(const volatile uint64_t *)&event->data;
        int64_t result = event->res;
        kaio_raw_ring_consume(&queue->consumer, 1);  // a handler may reap, too
        uint32_t index;
        struct kaio_slot *slot = kaio_queue_claim(queue, data, result, &index);
        if (KAIO_LIKELY(slot != NULL)) {
            if (KAIO_UNLIKELY(queue->settles_slowly != 0) && goes_on(run, slot, count)) {
                continue;
            }
            kaio_request_settle(queue, slot, kaio_slot_kind(kaio_slot_load(slot)));
            return slot;
        }
    }
    return NULL;
}

// step_out ends the call for as long as somebody else's code runs.
static inline void step_out(void) {
    kaio_queue_leave();
}

// may_go_on tells whether the queue is neither to be dropped nor another process's.
static inline bool may_go_on(const struct run *run) {
    return KAIO_LIKELY(atomic_load_explicit(&run->queue->place.word, memory_order_relaxed) ==
                       run->word);
}

// step_in begins it again. False: the run may not go on.
static inline bool step_in(const struct run *run) {
    kaio_process_check();
    (void)kaio_call_begin();
    return may_go_on(run);
}

// end_slowly is end_transfer for any.
__attribute__((noinline)) static void end_slowly(struct kaio_queue_place *queue,
                                                 struct kaio_slot *slot,
                                                 kaio_read_result *out_result) {
    kaio_verdict verdict = kaio_queue_judge(queue, slot);
    out_result->outcome = verdict.transfer;
    out_result->os_error = verdict.os_error;
    out_result->met_end = verdict.met_end;
    out_result->refusal = kaio_queue_refusal_of(slot);
    out_result->moved_bytes = verdict.moved_bytes;
    out_result->range = kaio_slot_range(slot);
    out_result->buffer = (kaio_buffer *)slot->memory;  // or a view, which is the caller's to know
    kaio_request_allow(slot);
    kaio_memory_unpin(slot->memory, kaio_queue_thread(queue));
    kaio_request_free(queue, slot);
}

// end_transfer tells how a transfer ended and frees its place.
__attribute__((always_inline)) static inline void end_transfer(struct kaio_queue_place *queue,
                                                               uint32_t kind,
                                                               struct kaio_slot *slot,
                                                               kaio_read_result *out_result) {
    if (KAIO_UNLIKELY(!kaio_request_is_usual(slot))) {
        end_slowly(queue, slot, out_result);
        return;
    }
    struct kaio_usual_end end =
        kaio_request_end_usual(queue, slot, (uint32_t)(slot - queue->slots), kind);
    out_result->outcome = end.outcome;
    out_result->os_error = 0;
    out_result->refusal = kaio_status_ok();
    out_result->range = kaio_usual_range(&end);
    out_result->met_end = end.outcome == KAIO_TRANSFER_END;
    out_result->moved_bytes = end.moved_bytes;
    out_result->buffer = (kaio_buffer *)end.memory;
}

__attribute__((always_inline)) static inline void hand_out_read(struct run *run,
                                                                struct kaio_slot *slot) {
    uint64_t user = slot->user;
    kaio_read_result result;
    end_transfer(run->queue, KAIO_KIND_READ, slot, &result);
    step_out();
    if (KAIO_LIKELY(run->handlers->on_read != NULL)) {
        run->handlers->on_read(run->context, user, &result);
    } else {
        ++run->report.dropped_count;
    }
    if (KAIO_UNLIKELY(result.buffer != NULL)) {
        kaio_buffer_drop(&result.buffer);
    }
}

static void hand_out_write(struct run *run, struct kaio_slot *slot) {
    uint64_t user = slot->user;
    bool is_view = kaio_bits_kind(slot->memory) == KAIO_KIND_VIEW;
    kaio_read_result end;
    end_transfer(run->queue, KAIO_KIND_WRITE, slot, &end);
    kaio_write_result result = {.outcome = end.outcome,
                                .os_error = end.os_error,
                                .refusal = end.refusal,
                                .range = end.range,
                                .moved_bytes = end.moved_bytes,
                                .buffer = is_view ? NULL : end.buffer,
                                .view = is_view ? (kaio_view *)(uintptr_t)end.buffer : NULL};
    step_out();
    if (KAIO_LIKELY(run->handlers->on_write != NULL)) {
        run->handlers->on_write(run->context, user, &result);
    } else {
        ++run->report.dropped_count;
    }
    if (KAIO_UNLIKELY(result.buffer != NULL)) {
        kaio_buffer_drop(&result.buffer);
    }
    if (KAIO_UNLIKELY(result.view != NULL)) {
        kaio_view_drop(&result.view);
    }
}

static void hand_out_sync(struct run *run, struct kaio_slot *slot) {
    uint64_t user = slot->user;
    kaio_verdict verdict = kaio_queue_judge(run->queue, slot);
    const kaio_sync_result result = {.outcome = verdict.sync,
                                     .os_error = verdict.os_error,
                                     .refusal = kaio_queue_refusal_of(slot)};
    kaio_request_free(run->queue, slot);
    step_out();
    if (run->handlers->on_sync != NULL) {
        run->handlers->on_sync(run->context, user, &result);
    } else {
        ++run->report.dropped_count;
    }
}

static void hand_out_poll(struct run *run, struct kaio_slot *slot) {
    uint64_t user = slot->user;
    kaio_verdict verdict = kaio_queue_judge(run->queue, slot);
    const kaio_poll_result result = {.outcome = verdict.poll,
                                     .events = verdict.events,
                                     .os_error = verdict.os_error,
                                     .refusal = kaio_queue_refusal_of(slot)};
    kaio_request_free(run->queue, slot);
    step_out();
    if (run->handlers->on_poll != NULL) {
        run->handlers->on_poll(run->context, user, &result);
    } else {
        ++run->report.dropped_count;
    }
}

__attribute__((noinline)) static void hand_out_vectored(struct run *run, struct kaio_slot *slot) {
    kaio_segment segments[KAIO_SEGMENT_COUNT_MAX];
    kaio_completion completion = {.segments = segments};
    kaio_queue_deliver(run->queue, slot, &completion);
    step_out();
    void (*handler)(void *, uint64_t, kaio_completion *) =
        completion.operation == KAIO_READV ? run->handlers->on_readv : run->handlers->on_writev;
    if (handler != NULL) {
        handler(run->context, completion.user, &completion);
    } else {
        ++run->report.dropped_count;
    }
    kaio_completion_drop(&completion);
}

// hand_out frees the place of a request that has ended, then calls its handler. False: as step_in.
static inline bool hand_out(struct run *run, struct kaio_slot *slot) {
    ++run->report.completed_count;
    kaio_operation operation = (kaio_operation)kaio_slot_kind(kaio_slot_load(slot));
    switch (operation) {
        case KAIO_READ:
            hand_out_read(run, slot);
            break;
        case KAIO_WRITE:
            hand_out_write(run, slot);
            break;
        case KAIO_READV:
        case KAIO_WRITEV:
            hand_out_vectored(run, slot);
            break;
        case KAIO_SYNC:
            hand_out_sync(run, slot);
            break;
        case KAIO_POLL:
            hand_out_poll(run, slot);
            break;
        case KAIO_NO_OPERATION:
            break;  // which no slot has that is not free
    }
    return step_in(run);
}

// ---- the loop ----

// block sleeps until there is an event or a wake. OK also when it was interrupted.
static kaio_status block(struct kaio_queue_place *queue, kaio_deadline last) {
    kaio_deadline deadline = kaio_term_cut(queue, last);
    if (kaio_queue_spin(queue, 1, deadline, &queue->is_woken)) {
        return kaio_status_ok();
    }
    bool is_wakeable = kaio_queue_begin_blocking(queue);
    struct kaio_raw_old_timespec storage;
    struct kaio_raw_old_timespec *timeout;
    long count = 0;
    if (!kaio_queue_is_woken(queue) &&
        kaio_queue_time_left(deadline, is_wakeable ? INT64_MAX : UNWAKEABLE_NS, &storage,
                             &timeout)) {
        ++queue->block_count;
        count = kaio_queue_reap_call(queue, 1, timeout);
    }
    kaio_queue_end_blocking(queue);
    return count < 0 && count != -EINTR ? kaio_status_os(KAIO_SUBJECT_QUEUE, (int)-count)
                                        : kaio_status_ok();
}

static bool is_over(kaio_deadline deadline) {
    struct kaio_raw_old_timespec storage;
    struct kaio_raw_old_timespec *timeout;
    return deadline.at_ns != INT64_MAX &&
           !kaio_queue_time_left(deadline, INT64_MAX, &storage, &timeout);
}

static bool is_owed(const struct kaio_queue_place *queue) {
    return queue->in_flight_count + queue->staged_count + queue->finished_count > 0;
}

// tell_late hands out what is late. False: as step_in.
static __attribute__((noinline)) bool tell_late(struct run *run) {
    kaio_late late;
    while (kaio_term_take(run->queue, &late)) {
        step_out();
        if (run->handlers->on_late != NULL) {
            run->handlers->on_late(run->context, &late);
        }
        if (!step_in(run)) {
            return false;
        }
    }
    return true;
}

// next_turn asks what to do next. False: as step_in.
static inline bool next_turn(const struct run *run, kaio_turn *out_turn) {
    *out_turn = KAIO_TURN_CONTINUE;
    if (KAIO_LIKELY(run->handlers->on_turn == NULL)) {
        return may_go_on(run);
    }
    step_out();
    *out_turn = run->handlers->on_turn(run->context);
    return step_in(run);
}

// broken_off is the answer of a run that may not go on.
static kaio_status broken_off(struct run *run) {
    uintptr_t word = atomic_load_explicit(&run->queue->place.word, memory_order_relaxed);
    if (kaio_word_state(word) == KAIO_STATE_FORKED) {
        return kaio_status_make(KAIO_FORKED, KAIO_SUBJECT_QUEUE);
    }
    run->report.ended = KAIO_RUN_STOPPED;
    return kaio_status_ok();
}

static inline kaio_status end(struct run *run, kaio_run_end why) {
    run->report.ended = why;
    return kaio_status_ok();
}

static kaio_status go_on(struct run *run, kaio_deadline deadline) {
    struct kaio_queue_place *queue = run->queue;
    for (;;) {
        kaio_request_collect_strays(queue);
        kaio_flush_report sent = kaio_queue_send_inline(queue);
        if (KAIO_UNLIKELY(queue->consumer.ring == NULL)) {
            kaio_queue_reap(queue);
        }
        uint64_t completed_before = run->report.completed_count;
        struct kaio_slot *slot;
        while ((slot = next_done(run)) != NULL) {
            if (KAIO_UNLIKELY(!hand_out(run, slot))) {
                return broken_off(run);
            }
        }
        if (KAIO_UNLIKELY(queue->extras != NULL) && !tell_late(run)) {
            return broken_off(run);
        }
        kaio_turn turn;
        if (!next_turn(run, &turn)) {
            return broken_off(run);
        }
        bool is_stuck = sent.os_error != 0 && queue->in_flight_count == 0 &&
                        run->report.completed_count == completed_before;
        bool can_send = queue->staged_first < queue->staged_end && sent.os_error == 0;
        if (kaio_queue_take_wake(queue)) {
            return end(run, KAIO_RUN_WOKEN);
        }
        if (turn == KAIO_TURN_STOP) {
            return end(run, KAIO_RUN_STOPPED);
        }
        if (!is_owed(queue)) {
            return end(run, KAIO_RUN_IDLE);
        }
        if (is_over(deadline)) {
            return end(run, KAIO_RUN_DEADLINE);
        }
        if (is_stuck) {
            run->report.os_error = sent.os_error;
            return end(run, KAIO_RUN_AGAIN);
        }
        bool may_block = turn != KAIO_TURN_POLL && !can_send && queue->in_flight_count > 0 &&
                         queue->finished_head == KAIO_NO_SLOT;
        if (may_block) {
            kaio_status status = block(queue, deadline);
            if (!kaio_status_is_ok(status)) {
                return status;
            }
        }
    }
}

kaio_status kaio_queue_run(kaio_queue *queue, const kaio_handlers *handlers, void *context,
                           kaio_deadline deadline, kaio_run_report *out_report) {
    if (handlers == NULL || out_report == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT,
                                handlers == NULL ? KAIO_SUBJECT_HANDLERS : KAIO_SUBJECT_OUTPUT);
    }
    kaio_status status;
    struct kaio_queue_place *place = kaio_queue_enter_alone(queue, &status);
    if (place == NULL) {
        return status;
    }
    int error = kaio_queue_make_wakeable(place);
    if (error != 0) {
        kaio_queue_leave();
        return kaio_status_os(KAIO_SUBJECT_QUEUE, error);
    }
    struct run run = {.queue = place,
                      .handlers = handlers,
                      .context = context,
                      .word = kaio_bits_life((uintptr_t)queue) | KAIO_QUEUE_OPEN};
    place->is_running = 1;
    status = go_on(&run, deadline);
    if (status.code != KAIO_FORKED) {
        place->is_running = 0;
    }
    kaio_queue_leave();
    if (kaio_status_is_ok(status)) {
        *out_report = run.report;
    }
    (void)kaio_queue_obey_drop(place);
    return status;
}

const char *kaio_run_end_name(kaio_run_end end) {
    switch (end) {
        case KAIO_RUN_IDLE:
            return "idle";
        case KAIO_RUN_STOPPED:
            return "stopped";
        case KAIO_RUN_DEADLINE:
            return "deadline";
        case KAIO_RUN_WOKEN:
            return "woken";
        case KAIO_RUN_AGAIN:
            return "again";
    }
    return "invalid";
}

// ---- going on behind a short transfer ----

// into_completion makes a completion of a transfer of `operation`.
static kaio_completion into_completion(const kaio_read_result *result, kaio_operation operation,
                                       uint64_t user) {
    return (kaio_completion){.operation = operation,
                             .transfer = result->outcome,
                             .met_end = result->met_end,
                             .os_error = result->os_error,
                             .refusal = result->refusal,
                             .range = result->range,
                             .moved_bytes = result->moved_bytes,
                             .user = user,
                             .buffer = result->buffer};
}

kaio_completion kaio_read_result_into_completion(kaio_read_result *result, uint64_t user) {
    if (result == NULL) {
        return (kaio_completion){.operation = KAIO_NO_OPERATION};
    }
    kaio_completion completion = into_completion(result, KAIO_READ, user);
    result->buffer = NULL;
    return completion;
}

kaio_completion kaio_write_result_into_completion(kaio_write_result *result, uint64_t user) {
    if (result == NULL) {
        return (kaio_completion){.operation = KAIO_NO_OPERATION};
    }
    kaio_read_result same = {.outcome = result->outcome,
                             .os_error = result->os_error,
                             .refusal = result->refusal,
                             .range = result->range,
                             .moved_bytes = result->moved_bytes,
                             .buffer = result->buffer};
    kaio_completion completion = into_completion(&same, KAIO_WRITE, user);
    completion.view = result->view;
    result->buffer = NULL;
    result->view = NULL;
    return completion;
}
