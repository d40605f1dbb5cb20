#define _POSIX_C_SOURCE 200809L  // pthread_sigmask

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "attach.h"
#include "kaio/safe/queue.h"
#include "kernel.h"
#include "memory.h"
#include "queue_steps.h"
#include "request.h"
#include "rest.h"
#include "vector.h"

kaio_status kaio_queue_drain(kaio_queue *queue, kaio_deadline deadline,
                             kaio_queue_counts *out_left) {
    if (out_left == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OUTPUT);
    }
    kaio_status status;
    struct kaio_queue_place *place = kaio_queue_enter_alone(queue, &status);
    if (place == NULL) {
        return status;
    }
    status = kaio_queue_wait_for(place, UINT32_MAX, deadline, NULL);  // cut to what is owed
    *out_left = kaio_queue_counts_of(place);
    kaio_queue_leave();
    return status.code == KAIO_NOTHING_TO_WAIT_FOR ? kaio_status_ok() : status;
}

static uint64_t busy_count(uint32_t count, unsigned shift) {
    return (uint64_t)(count > UINT16_MAX ? UINT16_MAX : count) << shift;
}

static kaio_status busy(const struct kaio_queue_place *queue) {
    kaio_status status = kaio_status_make(KAIO_BUSY, KAIO_SUBJECT_QUEUE);
    status.detail = busy_count(queue->idle_count, 0) | busy_count(queue->staged_count, 16) |
                    busy_count(queue->in_flight_count, 32) | busy_count(queue->finished_count, 48);
    return status;
}

kaio_status kaio_queue_close(kaio_queue **move_queue) {
    if (move_queue == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_QUEUE);
    }
    kaio_status why;
    struct kaio_queue_place *queue = kaio_queue_enter_alone(*move_queue, &why);
    if (queue == NULL) {
        return why;
    }
    if (queue->free_count != queue->depth) {
        why = busy(queue);
        kaio_queue_leave();
        return why;
    }
    kaio_detach_all(queue);
    long error = kaio_kernel_destroy(queue->ctx);
    kaio_queue_release(queue);
    kaio_queue_leave();
    *move_queue = NULL;
    kaio_memory_collect();
    return error < 0 ? kaio_status_os(KAIO_SUBJECT_QUEUE, (int)-error) : kaio_status_ok();
}

static bool is_poll_in_flight(const struct kaio_slot *slot) {
    uintptr_t word = kaio_slot_load(slot);
    return kaio_slot_kind(word) == KAIO_KIND_POLL && kaio_word_state(word) == KAIO_SLOT_IN_FLIGHT;
}

// cancel_polls asks for the end of every poll in flight: nothing else would end them. Returns how
// many may stay all the same, because the kernel was not to be asked; io_destroy ends those.
static uint32_t cancel_polls(struct kaio_queue_place *queue) {
    uint32_t lasting_count = 0;
    for (uint32_t i = 0; i < queue->depth; ++i) {
        struct kaio_slot *slot = &queue->slots[i];
        if (is_poll_in_flight(slot)) {
            int error = kaio_queue_ask_end(queue, slot);
            lasting_count += error != 0 && error != EINVAL;  // EINVAL: its event is on its way
        }
    }
    return lasting_count;
}

// await_events waits for the events of all that is in flight, which tell how each request ended.
static void await_events(struct kaio_queue_place *queue) {
    kaio_rest_stop(queue);
    kaio_request_collect_strays(queue);
    kaio_queue_reap(queue);
    uint32_t lasting_count = cancel_polls(queue);
    while (queue->in_flight_count > lasting_count) {
        uint32_t count = queue->in_flight_count - lasting_count;
        count = count < KAIO_REAP_COUNT ? count : KAIO_REAP_COUNT;
        long answer = kaio_queue_reap_call(queue, count, NULL);
        if (answer < 0 && answer != -EINTR) {
            break;
        }
    }
}

// end_context waits until the kernel has nothing of the queue any more. False: it could not be made
// sure.
static bool end_context(const struct kaio_queue_place *queue) {
    return kaio_kernel_destroy(queue->ctx) == 0 || queue->in_flight_count == 0;
}

// A farewell is what the requests of a destroyed queue go through.
struct farewell {
    kaio_lost_handler *on_lost;
    void *context;
    kaio_destroy_report report;
};

// count_memory counts the buffers and views of a completion. What a handler added is not counted.
static uint32_t count_memory(const kaio_completion *completion) {
    uint32_t count = completion->buffer != NULL || completion->view != NULL;
    for (uint32_t i = 0; completion->segments != NULL && i < completion->segment_count; ++i) {
        const kaio_segment *segment = &completion->segments[i];
        count += segment->buffer != NULL || segment->view != NULL;
    }
    return count;
}

static void say_farewell(struct kaio_queue_place *queue, struct kaio_slot *slot,
                         struct farewell *farewell) {
    kaio_segment segments[KAIO_SEGMENT_COUNT_MAX];
    kaio_completion completion = {.segments = segments};
    kaio_queue_deliver(queue, slot, &completion);
    uint32_t had_count = count_memory(&completion);
    kaio_queue_leave();  // calls of the hooks begin anew; those on this queue find it ending
    if (farewell->on_lost != NULL) {
        farewell->on_lost(farewell->context, &completion);
    }
    uint32_t left_count = count_memory(&completion);
    farewell->report.dropped_count += left_count;
    farewell->report.given_back_count += had_count - left_count;
    kaio_completion_drop(&completion);
    (void)kaio_call_begin();
}

// abandon_to_kernel leaves a request and its buffer where they are for ever: the kernel may still
// write to them.
static void abandon_to_kernel(struct kaio_queue_place *queue, struct kaio_slot *slot,
                              struct farewell *farewell) {
    kaio_rest_fold(queue, slot);
    if (slot->memory != 0) {
        kaio_memory_leak(slot->memory);
        ++farewell->report.leaked_count;
    } else {
        farewell->report.leaked_count += kaio_vector_leak(queue, slot);
    }
}

// end_unsent turns what never reached the kernel into finished requests, CANCELLED.
static void end_unsent(struct kaio_slot *slot) {
    slot->flags |= KAIO_SLOT_WAS_CANCELLED;
    kaio_slot_set_result(slot, 0);
}

// part_with ends one slot, whatever its state. True: the slot is free now.
static bool part_with(struct kaio_queue_place *queue, struct kaio_slot *slot, bool is_quiet,
                      struct farewell *farewell) {
    switch (kaio_word_state(kaio_slot_load(slot))) {
        case KAIO_SLOT_FREE:
            return true;
        case KAIO_SLOT_IN_FLIGHT:
            if (!is_quiet) {
                abandon_to_kernel(queue, slot, farewell);
                return false;
            }
            // The context is gone and so is the event: it ended, and how is known of polls alone.
            if (is_poll_in_flight(slot)) {
                end_unsent(slot);
            } else {
                kaio_slot_set_result(slot, -EIO);
            }
            break;
        case KAIO_SLOT_IDLE:
        case KAIO_SLOT_STAGED:
            end_unsent(slot);
            break;
        default:
            break;
    }
    kaio_rest_fold(queue, slot);
    say_farewell(queue, slot, farewell);
    return true;
}

// begin_ending makes the queue, which is the calling thread's, nobody's to enter.
static void begin_ending(struct kaio_queue_place *queue) {
    kaio_queue_forget(queue);
    atomic_store(&queue->owner, kaio_queue_thread(queue) | KAIO_QUEUE_ENDING);
}

// part_with_all ends an entered queue, whose context has ended. Its slots go back to be reused only
// when all of them are free.
static void part_with_all(struct kaio_queue_place *queue, bool is_quiet,
                          struct farewell *farewell) {
    bool is_clean = true;
    begin_ending(queue);
    for (uint32_t i = 0; i < queue->depth; ++i) {
        is_clean &= part_with(queue, &queue->slots[i], is_quiet, farewell);
    }
    if (is_clean) {
        kaio_detach_all(queue);
        kaio_queue_release(queue);
    } else {
        // Its files stay pinned, its slots taken, and its place is never used again.
        uintptr_t word = atomic_load_explicit(&queue->place.word, memory_order_relaxed);
        atomic_store(&queue->place.word, (kaio_bits_life(word) + KAIO_LIFE_ONE) | KAIO_STATE_FREE);
        kaio_queue_free_memory(queue);
        atomic_store(&queue->owner, 0);
    }
}

static void destroy(struct kaio_queue_place *queue, struct farewell *farewell) {
    await_events(queue);
    part_with_all(queue, end_context(queue), farewell);
}

kaio_status kaio_queue_destroy(kaio_queue **move_queue, kaio_lost_handler *on_lost, void *context,
                               kaio_destroy_report *out_report) {
    if (move_queue == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_QUEUE);
    }
    if (out_report == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OUTPUT);
    }
    kaio_status why;
    struct kaio_queue_place *queue = kaio_queue_enter_alone(*move_queue, &why);
    if (queue == NULL) {
        return why;
    }
    struct farewell farewell = {.on_lost = on_lost, .context = context};
    *move_queue = NULL;  // first: a handler may reuse the variable
    destroy(queue, &farewell);
    kaio_queue_leave();
    *out_report = farewell.report;
    kaio_memory_collect();
    return kaio_status_ok();
}

void kaio_queue_destroy_quietly(struct kaio_queue_place *queue) {
    struct farewell farewell = {.on_lost = NULL};
    destroy(queue, &farewell);
}

// ---- many side by side ----

enum { HELPER_COUNT_MAX = 31 };

// An ending is one queue of those that end together.
struct ending {
    struct kaio_queue_place *queue;
    bool is_quiet;
};

// Endings are shared by the threads that end the contexts: each takes the next one.
struct endings {
    struct ending *list;  // [0..count)
    uint32_t count;
    _Atomic uint32_t next_index;
};

static void *end_contexts(void *argument) {
    struct endings *endings = argument;
    uint32_t index;
    while ((index = atomic_fetch_add(&endings->next_index, 1)) < endings->count) {
        struct ending *ending = &endings->list[index];
        ending->is_quiet = end_context(ending->queue);
    }
    return NULL;
}

// end_side_by_side ends the contexts in as many threads as it gets, the calling one among them. The
// others run no signal handler, and nothing of the library but the system call.
static void end_side_by_side(struct endings *endings) {
    pthread_t helpers[HELPER_COUNT_MAX];
    uint32_t helper_count = 0;
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    bool is_quiet = pthread_sigmask(SIG_SETMASK, &all, &before) == 0;
    while (is_quiet && helper_count < HELPER_COUNT_MAX && helper_count + 1 < endings->count &&
           pthread_create(&helpers[helper_count], NULL, end_contexts, endings) == 0) {
        ++helper_count;
    }
    if (is_quiet) {
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    (void)end_contexts(endings);
    int state;
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    for (uint32_t i = 0; i < helper_count; ++i) {
        (void)pthread_join(helpers[i], NULL);
    }
    (void)pthread_setcancelstate(state, NULL);
}

static kaio_status about_element(kaio_code code, uint32_t index) {
    kaio_status status = kaio_status_make(code, KAIO_SUBJECT_ELEMENT);
    status.detail = index;
    return status;
}

static bool is_among(kaio_queue *const *queues, uint32_t count, const kaio_queue *queue) {
    for (uint32_t i = 0; i < count; ++i) {
        if (queues[i] == queue) {
            return true;
        }
    }
    return false;
}

// find_all fills in the places of queues[0..count), all of which the calling thread may end.
static kaio_status find_all(kaio_queue *const *queues, uint32_t count, struct ending *out_list) {
    for (uint32_t i = 0; i < count; ++i) {
        kaio_status why;
        out_list[i].queue = kaio_queue_enter_alone(queues[i], &why);
        if (out_list[i].queue == NULL) {
            return about_element((kaio_code)why.code, i);
        }
        kaio_queue_leave();
        if (is_among(queues, i, queues[i])) {
            return about_element(KAIO_STALE, i);
        }
    }
    return kaio_status_ok();
}

// are_still_there looks again, inside the call: a signal handler may have ended one in between.
static kaio_status are_still_there(kaio_queue *const *queues, uint32_t count,
                                   const struct ending *list) {
    for (uint32_t i = 0; i < count; ++i) {
        uintptr_t open = kaio_bits_life((uintptr_t)queues[i]) | KAIO_QUEUE_OPEN;
        if (atomic_load(&list[i].queue->place.word) != open || !kaio_queue_is_ours(list[i].queue)) {
            return about_element(KAIO_STALE, i);
        }
    }
    return kaio_status_ok();
}

// destroy_all ends the queues of `endings`, inside a call. None of them is anybody's from the first
// farewell on.
static void destroy_all(struct endings *endings, struct farewell *farewell) {
    for (uint32_t i = 0; i < endings->count; ++i) {
        await_events(endings->list[i].queue);
    }
    end_side_by_side(endings);
    for (uint32_t i = 0; i < endings->count; ++i) {
        begin_ending(endings->list[i].queue);
    }
    for (uint32_t i = 0; i < endings->count; ++i) {
        part_with_all(endings->list[i].queue, endings->list[i].is_quiet, farewell);
    }
}

static kaio_status end_all(kaio_queue **move_queues, struct endings *endings,
                           struct farewell *farewell) {
    kaio_status status = find_all(move_queues, endings->count, endings->list);
    if (endings->count == 0 || !kaio_status_is_ok(status)) {
        return status;
    }
    (void)kaio_call_begin();
    status = are_still_there(move_queues, endings->count, endings->list);
    if (kaio_status_is_ok(status)) {
        for (uint32_t i = 0; i < endings->count; ++i) {
            move_queues[i] = NULL;  // first: a handler may reuse the variables
        }
        destroy_all(endings, farewell);
    }
    kaio_queue_leave();
    return status;
}

kaio_status kaio_queue_destroy_all(kaio_queue **move_queues, uint32_t count,
                                   kaio_lost_handler *on_lost, void *context,
                                   kaio_destroy_report *out_report) {
    if ((move_queues == NULL && count > 0) || out_report == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT,
                                out_report == NULL ? KAIO_SUBJECT_OUTPUT : KAIO_SUBJECT_QUEUE);
    }
    int saved_errno = errno;
    struct endings endings = {.list = calloc(count + (count == 0), sizeof *endings.list),
                              .count = count};
    errno = saved_errno;
    if (endings.list == NULL) {
        return kaio_status_make(KAIO_NO_MEMORY, KAIO_SUBJECT_QUEUE);
    }
    struct farewell farewell = {.on_lost = on_lost, .context = context};
    kaio_status status = end_all(move_queues, &endings, &farewell);
    free(endings.list);
    if (kaio_status_is_ok(status)) {
        *out_report = farewell.report;
    }
    kaio_memory_collect();
    return status;
}
