#include <assert.h>

#include "kaio/safe/queue.h"
#include "kaio/safe/run.h"
#include "memory.h"
#include "queue_steps.h"
#include "thread.h"

static uintptr_t load_word(const struct kaio_queue_place *queue) {
    return atomic_load(&queue->place.word);
}

bool kaio_queue_is_drop_asked(const struct kaio_queue_place *queue) {
    return (load_word(queue) & ~KAIO_LIFE_MASK) ==
           (KAIO_QUEUE_DROP_ASKED | (uintptr_t)KAIO_QUEUE_OPEN);
}

bool kaio_queue_obey_drop(struct kaio_queue_place *queue) {
    if (!kaio_queue_is_drop_asked(queue) || !kaio_call_begin()) {
        return false;
    }
    bool is_ours = kaio_queue_is_ours(queue) && queue->is_running == 0;
    if (is_ours) {
        kaio_queue_destroy_quietly(queue);
    }
    kaio_call_end();
    return is_ours;
}

// drop_orphan destroys a queue that is to be dropped and has no owner, as its owner. In a signal
// handler that interrupted a call it stays the owner, and the queue ends with its thread. The queue
// may have ended since the caller looked, and be another that nobody asked to drop: that stays an
// orphan.
static void drop_orphan(struct kaio_queue_place *queue, uint32_t self) {
    uint32_t none = 0;
    if (self == KAIO_NO_THREAD || !atomic_compare_exchange_strong(&queue->owner, &none, self)) {
        return;
    }
    kaio_memory_will_bind();
    kaio_thread_at_exit(kaio_queue_end_with_thread);
    if (!kaio_queue_obey_drop(queue) && !kaio_queue_is_drop_asked(queue)) {
        (void)atomic_compare_exchange_strong(&queue->owner, &self, 0);
    }
}

// ask_to_drop leaves the queue of `bits` to its owner, and takes it over when that has ended.
static void ask_to_drop(uintptr_t bits) {
    struct kaio_queue_place *queue = kaio_queue_at(kaio_bits_index(bits));
    assert(queue != NULL);
    uintptr_t open = kaio_bits_life(bits) | KAIO_QUEUE_OPEN;
    uintptr_t word = open;
    if (atomic_compare_exchange_strong(&queue->place.word, &word, open | KAIO_QUEUE_DROP_ASKED) ||
        word == (open | KAIO_QUEUE_DROP_ASKED)) {
        kaio_queue_wake((kaio_queue *)bits);  // a run of it ends
        drop_orphan(queue, kaio_thread_number());
    }
}

void kaio_queue_drop(kaio_queue **move_queue) {
    if (move_queue == NULL) {
        return;
    }
    kaio_queue *handle = *move_queue;
    *move_queue = NULL;
    kaio_status why;
    struct kaio_queue_place *queue = kaio_queue_enter_alone(handle, &why);
    if (queue != NULL) {
        kaio_queue_destroy_quietly(queue);
        kaio_queue_leave();
    } else if (why.code == KAIO_WRONG_THREAD || why.code == KAIO_REENTERED) {
        ask_to_drop((uintptr_t)handle);
    }
    kaio_memory_collect();
}

// is_dropped_in_run tells, in a handler of a run, that the queue is to be dropped: behind the run.
static bool is_dropped_in_run(const struct kaio_queue_place *queue) {
    return kaio_self.call_depth == 0 && queue->is_running != 0 && kaio_queue_is_drop_asked(queue);
}

struct kaio_queue_place *kaio_queue_look(uintptr_t bits) {
    struct kaio_queue_place *queue = kaio_queue_at(kaio_bits_index(bits));
    uintptr_t word = kaio_bits_life(bits) | KAIO_QUEUE_OPEN;
    if (queue == NULL || kaio_bits_kind(bits) != KAIO_KIND_QUEUE || load_word(queue) != word ||
        !kaio_queue_is_ours(queue)) {
        return NULL;
    }
    kaio_self.queue_bits = bits;
    kaio_self.queue_word = word;
    kaio_self.queue = queue;
    return queue;
}

kaio_status kaio_queue_refusal(uintptr_t bits) {
    struct kaio_queue_place *queue = kaio_queue_at(kaio_bits_index(bits));
    uintptr_t word = kaio_bits_life(bits) | KAIO_QUEUE_OPEN;
    bool is_open = queue != NULL && kaio_bits_kind(bits) == KAIO_KIND_QUEUE &&
                   (load_word(queue) & ~KAIO_QUEUE_DROP_ASKED) == word;
    if (!is_open) {
        return kaio_table_stale(&kaio_queues, bits, KAIO_KIND_QUEUE, KAIO_SUBJECT_QUEUE);
    }
    if (kaio_queue_thread(queue) != kaio_thread_number()) {
        return kaio_status_make(KAIO_WRONG_THREAD, KAIO_SUBJECT_QUEUE);
    }
    bool is_dropped = kaio_queue_obey_drop(queue) || is_dropped_in_run(queue);
    return kaio_status_make(is_dropped ? KAIO_STALE : KAIO_REENTERED, KAIO_SUBJECT_QUEUE);
}

// disown leaves `queue`, which belongs to the thread `self`, without an owner, unless it is to be
// dropped. Who asks for that looks for the owner afterwards: one of the two sees the other.
static void disown(struct kaio_queue_place *queue, uint32_t self) {
    kaio_queue_forget(queue);
    (void)atomic_fetch_and(&queue->owner, KAIO_QUEUE_ENDING);
    if ((load_word(queue) & KAIO_QUEUE_DROP_ASKED) != 0) {
        drop_orphan(queue, self);
    }
}

kaio_status kaio_queue_detach(kaio_queue *queue) {
    kaio_status why;
    struct kaio_queue_place *place = kaio_queue_enter_alone(queue, &why);
    if (place == NULL) {
        return why;
    }
    kaio_queue_leave();
    disown(place, kaio_thread_number());
    return kaio_status_ok();
}

// take_over makes the thread `self` the owner of the queue of `bits`, when that has none. False: it
// has one, is to be dropped, or is not open.
static bool take_over(struct kaio_queue_place *queue, uintptr_t bits, uint32_t self) {
    uintptr_t open = kaio_bits_life(bits) | KAIO_QUEUE_OPEN;
    uint32_t none = 0;
    if (load_word(queue) != open || !atomic_compare_exchange_strong(&queue->owner, &none, self)) {
        return false;
    }
    if (load_word(queue) != open) {  // it ended in between: this may be another that has no owner
        disown(queue, self);
        return false;
    }
    kaio_memory_will_bind();  // what it takes will be its thread's
    return true;
}

kaio_status kaio_queue_attach(kaio_queue *queue) {
    kaio_process_check();
    uintptr_t bits = (uintptr_t)queue;
    uint32_t self = kaio_thread_number();
    struct kaio_queue_place *place = kaio_queue_at(kaio_bits_index(bits));
    bool is_known = place != NULL && kaio_bits_kind(bits) == KAIO_KIND_QUEUE;
    if (is_known && self == KAIO_NO_THREAD) {
        return kaio_status_make(KAIO_NO_MEMORY, KAIO_SUBJECT_QUEUE);
    }
    // A signal handler that interrupted a call takes nothing over: locks may be held.
    if (is_known && kaio_self.call_depth == 0 && take_over(place, bits, self)) {
        return kaio_status_ok();
    }
    kaio_status why;
    if (kaio_queue_enter_alone(queue, &why) == NULL) {
        return why;
    }
    kaio_queue_leave();  // it was the calling thread's already
    return kaio_status_ok();
}

// All but those that it was asked to drop are left without an owner.
void kaio_queue_end_with_thread(uint32_t thread) {
    uint32_t end = kaio_table_end(&kaio_queues);
    for (uint32_t i = 1; i < end; ++i) {
        struct kaio_queue_place *queue = kaio_queue_at(i);
        assert(queue != NULL);
        bool is_open = kaio_word_state(load_word(queue)) == KAIO_QUEUE_OPEN;
        if (!is_open || kaio_queue_thread(queue) != thread) {
            continue;
        }
        queue->is_running = 0;  // it ends inside a handler: the run will not return
        if (kaio_queue_obey_drop(queue)) {
            continue;
        }
        disown(queue, thread);
    }
}
