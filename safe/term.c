#include "term.h"

#include "file_pin.h"
#include "queue_steps.h"

enum { DUE = 0, LATE = 1, TOLD = 2 };  // states of a kaio_term

static struct kaio_term *term_of(const struct kaio_queue_place *queue,
                                 const struct kaio_slot *slot) {
    return &queue->extras->terms[slot - queue->slots];
}

static bool has_terms(const struct kaio_queue_place *queue) {
    return queue->extras != NULL && queue->extras->terms != NULL;
}

// is_running tells whether the deadline of `slot` is that of a request that has not ended.
static bool is_running(const struct kaio_queue_place *queue, const struct kaio_slot *slot) {
    uint32_t state = kaio_word_state(kaio_slot_load(slot));
    return (state == KAIO_SLOT_STAGED || state == KAIO_SLOT_IN_FLIGHT) &&
           term_of(queue, slot)->bits == kaio_request_ticket(queue, slot);
}

// note_late counts a request that is late for the first time, and has its file remember it.
static void note_late(struct kaio_queue_place *queue, const struct kaio_slot *slot) {
    term_of(queue, slot)->state = LATE;
    ++queue->extras->late_count;
    kaio_file_note_late(kaio_request_file(queue, slot));
}

// scan finds what is late at `now_ns`, returns how many of these were not told, and finds the
// earliest deadline of those and of what is not late yet.
static uint32_t scan(struct kaio_queue_place *queue, int64_t now_ns) {
    uint32_t late_count = 0;
    int64_t nearest_ns = INT64_MAX;
    for (uint32_t i = 0; i < queue->depth; ++i) {
        const struct kaio_slot *slot = &queue->slots[i];
        const struct kaio_term *term = term_of(queue, slot);
        if (!is_running(queue, slot) || term->state == TOLD) {
            continue;
        }
        if (term->state == DUE && term->at_ns <= now_ns) {
            note_late(queue, slot);
        }
        late_count += term->state == LATE;
        nearest_ns = term->at_ns < nearest_ns ? term->at_ns : nearest_ns;
    }
    queue->extras->nearest_ns = nearest_ns;
    return late_count;
}

uint32_t kaio_term_late_count(struct kaio_queue_place *queue) {
    if (kaio_term_nearest(queue).at_ns == INT64_MAX) {
        return 0;
    }
    int64_t now_ns = kaio_queue_clock_ns();
    return now_ns < queue->extras->nearest_ns ? 0 : scan(queue, now_ns);
}

bool kaio_term_take(struct kaio_queue_place *queue, kaio_late *out_late) {
    if (kaio_term_late_count(queue) == 0) {
        return false;
    }
    int64_t now_ns = kaio_queue_clock_ns();
    for (uint32_t i = 0; i < queue->depth; ++i) {
        const struct kaio_slot *slot = &queue->slots[i];
        struct kaio_term *term = term_of(queue, slot);
        if (is_running(queue, slot) && term->state == LATE) {
            uintptr_t word = kaio_slot_load(slot);
            term->state = TOLD;
            *out_late = (kaio_late){.operation = (kaio_operation)kaio_slot_kind(word),
                                    .is_sent = kaio_word_state(word) == KAIO_SLOT_IN_FLIGHT,
                                    .user = slot->user,
                                    .ticket = {.bits = term->bits},
                                    .late_ns = now_ns - term->at_ns};
            return true;
        }
    }
    return false;
}

void kaio_term_settle(struct kaio_queue_place *queue, const struct kaio_slot *slot) {
    if (has_terms(queue)) {
        const struct kaio_term *term = term_of(queue, slot);
        bool is_late = term->bits == kaio_request_ticket(queue, slot) && term->state != DUE;
        queue->extras->late_end_count += is_late;
    }
}

// ---- calls ----

// enter is kaio_queue_enter for a queue that was opened with `deadlines`.
static struct kaio_queue_place *enter(kaio_queue *handle, kaio_status *out_why) {
    struct kaio_queue_place *queue = kaio_queue_enter(handle, out_why);
    if (queue == NULL || has_terms(queue)) {
        return queue;
    }
    kaio_queue_leave();
    *out_why = kaio_status_make(KAIO_UNSUPPORTED, KAIO_SUBJECT_OPTIONS);
    return NULL;
}

static void set(struct kaio_queue_place *queue, const struct kaio_slot *slot,
                kaio_deadline deadline) {
    int64_t at_ns = deadline.at_ns < 0 ? 0 : deadline.at_ns;  // no clock of these is below 0
    *term_of(queue, slot) =
        (struct kaio_term){.bits = kaio_request_ticket(queue, slot), .at_ns = at_ns, .state = DUE};
    if (at_ns < queue->extras->nearest_ns) {
        queue->extras->nearest_ns = at_ns;
    }
}

kaio_status kaio_queue_set_deadline(kaio_queue *queue, kaio_ticket ticket, kaio_deadline deadline) {
    kaio_status status;
    struct kaio_queue_place *place = enter(queue, &status);
    if (place == NULL) {
        return status;
    }
    const struct kaio_slot *slot = kaio_request_of_ticket(place, ticket);
    if (slot != NULL) {
        set(place, slot, deadline);
    }
    kaio_queue_leave();
    return slot != NULL ? kaio_status_ok() : kaio_status_make(KAIO_STALE, KAIO_SUBJECT_REQUEST);
}

kaio_status kaio_queue_take_late(kaio_queue *queue, kaio_late *out_late) {
    if (out_late == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OUTPUT);
    }
    kaio_status status;
    struct kaio_queue_place *place = enter(queue, &status);
    if (place == NULL) {
        return status;
    }
    kaio_queue_reap(place);
    bool is_taken = kaio_term_take(place, out_late);
    kaio_queue_leave();
    return is_taken ? kaio_status_ok() : kaio_status_make(KAIO_EMPTY, KAIO_SUBJECT_QUEUE);
}

kaio_status kaio_queue_next_deadline(kaio_queue *queue, kaio_deadline *out_deadline) {
    if (out_deadline == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OUTPUT);
    }
    kaio_status status;
    struct kaio_queue_place *place = enter(queue, &status);
    if (place == NULL) {
        return status;
    }
    *out_deadline = kaio_term_nearest(place);
    kaio_queue_leave();
    return kaio_status_ok();
}
