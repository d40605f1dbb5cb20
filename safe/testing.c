#include "testing.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "file_pin.h"
#include "kaio/raw/aio_ring.h"
#include "memory.h"
#include "queue_place.h"
#include "request.h"
#include "rest.h"
#include "slots.h"
#include "vector.h"

static struct kaio_queue_place *place_of(const kaio_queue *queue) {
    struct kaio_queue_place *place = kaio_queue_at(kaio_bits_index((uintptr_t)queue));
    assert(place != NULL);
    return place;
}

// Bits of a slot's tally: in which list it was met.
enum { MET_FREE = 1, MET_FINISHED = 2, MET_HELD = 4, MET_STAGED = 8 };

// Each thread asks for the books of its own queues, at any time.
static _Thread_local uint32_t met[KAIO_QUEUE_DEPTH_MAX];

// meet marks what is in a list; -1: a slot was met twice or the list has no end.
static int64_t meet(const struct kaio_queue_place *queue, uint32_t head, uint32_t mark) {
    int64_t count = 0;
    for (uint32_t i = head; i != KAIO_NO_SLOT; i = queue->slots[i].next, ++count) {
        if (i >= queue->depth || met[i] != 0) {
            return -1;
        }
        met[i] = mark;
    }
    return count;
}

static int64_t meet_staged(const struct kaio_queue_place *queue) {
    for (uint32_t i = queue->staged_first; i < queue->staged_end; ++i) {
        const struct kaio_slot *slot = (const struct kaio_slot *)(const void *)queue->staged[i];
        uint32_t index = (uint32_t)(slot - queue->slots);
        if (index >= queue->depth || met[index] != 0) {
            return -1;
        }
        met[index] = MET_STAGED;
    }
    return (int64_t)queue->staged_end - queue->staged_first;
}

static uint32_t expected_mark(uint32_t state) {
    switch (state) {
        case KAIO_SLOT_FREE:
            return MET_FREE;
        case KAIO_SLOT_FINISHED:
            return MET_FINISHED;
        case KAIO_SLOT_STAGED:
            return MET_STAGED | MET_HELD;
        default:
            return 0;
    }
}

static bool is_pinned(uintptr_t memory) {
    const _Atomic uintptr_t *word = kaio_memory_word(memory);
    uintptr_t value = word == NULL ? 0 : atomic_load(word);
    return kaio_bits_life(value) == kaio_bits_life(memory) &&
           kaio_word_state(value) == kaio_memory_held_state(memory) + 1;
}

static bool has_pinned_segments(const struct kaio_segments *segments,
                                const struct kaio_slot *slot) {
    uint32_t count = kaio_vector_count(slot);
    const struct iovec *first = (const struct iovec *)(uintptr_t)slot->iocb.aio_buf;
    for (uint32_t i = 0; i < count; ++i) {
        if (!is_pinned(segments->memories[(uint32_t)(first - segments->iovecs) + i])) {
            return false;
        }
    }
    return true;
}

static const char *check_slots(const struct kaio_queue_place *queue) {
    uint32_t states[16] = {0};
    uint64_t pins = 0;
    uint64_t segment_count = 0;
    const struct kaio_segments *place_segments = queue->segments;
    for (uint32_t i = 0; i < queue->depth; ++i) {
        const struct kaio_slot *slot = &queue->slots[i];
        uint32_t state = kaio_word_state(kaio_slot_load(slot));
        uint32_t expected = expected_mark(state);
        if ((expected == 0) != (met[i] == 0) || (met[i] & ~expected) != 0) {
            return "a slot is in a list that its state does not belong to";
        }
        ++states[state];
        pins += state != KAIO_SLOT_FREE;
        if (state != KAIO_SLOT_FREE && !has_pinned_segments(place_segments, slot)) {
            return "a segment's buffer is not pinned";
        }
        const struct kaio_rest *rest = kaio_rest_of(queue, slot);
        bool has_rest = rest != NULL && rest->moved_bytes > 0 && kaio_vector_count(slot) > 0;
        segment_count += state != KAIO_SLOT_FREE ? kaio_vector_count(slot) : 0;
        segment_count += has_rest ? rest->skipped_count : 0;
        if (state != KAIO_SLOT_FREE && slot->memory != 0 && !is_pinned(slot->memory)) {
            return "a request's buffer is not pinned";
        }
    }
    for (uint32_t i = 0; i < queue->attachment_capacity; ++i) {
        pins -= kaio_attachment_count(&queue->attachments[i], KAIO_PIN);
    }
    if (segment_count != (place_segments == NULL ? 0 : place_segments->used_count)) {
        return "the segments given out are not those of the requests";
    }
    if (pins != 0) {
        return "the pins of the files are not the requests";
    }
    bool is_true = states[KAIO_SLOT_FREE] == queue->free_count &&
                   states[KAIO_SLOT_IDLE] == queue->idle_count &&
                   states[KAIO_SLOT_STAGED] == queue->staged_count &&
                   states[KAIO_SLOT_IN_FLIGHT] == queue->in_flight_count &&
                   states[KAIO_SLOT_FINISHED] == queue->finished_count;
    return is_true ? NULL : "a count is not what the slots have";
}

const char *kaio_testing_fault(const kaio_queue *queue) {
    const struct kaio_queue_place *place = place_of(queue);
    memset(met, 0, place->depth * sizeof met[0]);
    uint64_t sum = (uint64_t)place->free_count + place->idle_count + place->staged_count +
                   place->in_flight_count + place->finished_count;
    if (sum != place->depth) {
        return "free + idle + staged + in flight + finished is not the depth";
    }
    if (meet(place, place->free_head, MET_FREE) != place->free_count ||
        meet(place, place->finished_head, MET_FINISHED) != place->finished_count) {
        return "the list of free or finished slots is broken";
    }
    int64_t held = meet(place, place->held_head, MET_HELD);
    int64_t staged = meet_staged(place);
    if (held < 0 || staged < 0 || held + staged != place->staged_count) {
        return "the list of staged or held slots is broken";
    }
    return check_slots(place);
}

// count_living counts the places that are in a state from `first` to `last`.
static uint32_t count_living(struct kaio_table *table, uint32_t first, uint32_t last) {
    uint32_t living = 0;
    uint32_t end = kaio_table_end(table);
    for (uint32_t i = 1; i < end; ++i) {
        const struct kaio_place *place = kaio_table_at(table, i, table->place_bytes);
        uint32_t state = kaio_word_state(atomic_load(&place->word));
        living += state >= first && state <= last;
    }
    return living;
}

kaio_testing_census kaio_testing_count(void) {
    const uint32_t last = KAIO_STATE_FORKED - 1;
    return (kaio_testing_census){
        .queue_count = count_living(&kaio_queues, 1, last),
        .file_count = count_living(&kaio_files, 1, last),
        .buffer_count = count_living(&kaio_buffers, KAIO_MEMORY_HELD, KAIO_MEMORY_FROZEN),
        .view_count = count_living(&kaio_buffers, KAIO_VIEW_HELD, KAIO_VIEW_POSTED),
        .region_count = count_living(&kaio_regions, 1, last)};
}

static uintptr_t life_before_last(uint64_t ahead) {
    return KAIO_LIFE_MASK - (uintptr_t)ahead * KAIO_LIFE_ONE;
}

uint32_t kaio_testing_age_slots(const kaio_queue *queue, uint64_t ahead) {
    struct kaio_queue_place *place = place_of(queue);
    uint32_t count = 0;
    for (uint32_t i = 0; i < place->depth; ++i) {
        if (kaio_word_state(kaio_slot_load(&place->slots[i])) == KAIO_SLOT_FREE) {
            atomic_store(&place->slots[i].word,
                         kaio_slot_word(life_before_last(ahead), 0, KAIO_SLOT_FREE));
            ++count;
        }
    }
    return count;
}

bool kaio_testing_age_place(uintptr_t bits, uint64_t ahead) {
    uint32_t kind = kaio_bits_kind(bits);
    struct kaio_table *table = kind == KAIO_KIND_QUEUE  ? &kaio_queues
                               : kind == KAIO_KIND_FILE ? &kaio_files
                                                        : &kaio_buffers;
    struct kaio_place *place = kaio_table_at(table, kaio_bits_index(bits), table->place_bytes);
    if (place == NULL || kaio_word_state(atomic_load(&place->word)) != KAIO_STATE_FREE) {
        return false;
    }
    atomic_store(&place->word, life_before_last(ahead) | KAIO_STATE_FREE);
    return true;
}

uint64_t kaio_testing_queue_bytes(const kaio_queue *queue) {
    const struct kaio_queue_place *place = place_of(queue);
    return sizeof *place + (uint64_t)place->depth * sizeof(struct kaio_slot) +
           (uint64_t)place->depth * sizeof *place->staged +
           (uint64_t)place->attachment_capacity * sizeof *place->attachments;
}

void kaio_testing_forge_event(const kaio_queue *queue, uint64_t data, int64_t result) {
    struct kaio_queue_place *place = place_of(queue);
    struct kaio_raw_ring *ring = place->consumer.ring;
    uint32_t tail = __atomic_load_n(&ring->tail, __ATOMIC_RELAXED);
    struct kaio_raw_event event = {.data = data, .res = result};
    memcpy((char *)(ring + 1) + (size_t)tail * sizeof event, &event, sizeof event);
    __atomic_store_n(&ring->tail, tail + 1 == place->consumer.nr ? 0 : tail + 1, __ATOMIC_RELEASE);
}
