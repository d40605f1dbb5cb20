#include "attach.h"

#include <assert.h>

#include "kaio/safe/file.h"

static uint32_t after(const struct kaio_queue_place *queue, uint32_t index) {
    return index + 1 == queue->attachment_capacity ? 0 : index + 1;
}

static uint32_t before(const struct kaio_queue_place *queue, uint32_t index) {
    return index == 0 ? queue->attachment_capacity - 1 : index - 1;
}

static bool is_live(const struct kaio_attachment *attachment) {
    return attachment->bits > KAIO_ATTACHMENT_LEFT;
}

// look finds the entry of `bits`. Where there is none, `*out_index` is a place for it, or the
// capacity when every place is live.
static bool look(const struct kaio_queue_place *queue, uintptr_t bits, uint32_t *out_index) {
    uint32_t index = kaio_attachment_home(queue, bits);
    uint32_t vacant = queue->attachment_capacity;
    for (uint32_t n = 0; n < queue->attachment_capacity; ++n, index = after(queue, index)) {
        const struct kaio_attachment *attachment = &queue->attachments[index];
        if (attachment->bits == bits) {
            *out_index = index;
            return true;
        }
        if (!is_live(attachment) && vacant == queue->attachment_capacity) {
            vacant = index;
        }
        if (attachment->bits == KAIO_ATTACHMENT_UNUSED) {
            break;
        }
    }
    *out_index = vacant;
    return false;
}

static struct kaio_file_place no_file;

void kaio_attachment_forget(struct kaio_queue_place *queue) {
    queue->recent_bits = 0;
    queue->recent_file = &no_file;
    queue->recent_attachment = UINT32_MAX;
}

bool kaio_attachment_look(struct kaio_queue_place *queue, uintptr_t bits) {
    uint32_t index;
    if (queue->refuses_overlaps != 0 || !look(queue, bits, &index)) {
        return false;
    }
    // No file's bits are those of an entry that is none: place 0, which is never open.
    queue->recent_bits = bits;
    queue->recent_file = kaio_file_at(kaio_bits_index(bits));
    queue->recent_attachment = index;
    return true;
}

// let_go ends the entry `index`, which nothing pins.
static void let_go(struct kaio_queue_place *queue, uint32_t index) {
    struct kaio_attachment *attachment = &queue->attachments[index];
    assert(is_live(attachment) && kaio_attachment_count(attachment, KAIO_PIN) == 0);
    struct kaio_file_place *file = kaio_file_at(kaio_bits_index(attachment->bits));
    if (queue->recent_attachment == index) {
        kaio_attachment_forget(queue);
    }
    *attachment = (struct kaio_attachment){.bits = KAIO_ATTACHMENT_LEFT};
    --queue->attachment_count;
    // Marks of former use are needed only where a search must go on behind them.
    if (queue->attachments[after(queue, index)].bits == KAIO_ATTACHMENT_UNUSED) {
        while (queue->attachments[index].bits == KAIO_ATTACHMENT_LEFT) {
            queue->attachments[index].bits = KAIO_ATTACHMENT_UNUSED;
            index = before(queue, index);
        }
    }
    kaio_file_leave(file);
}

// make_room lets go of an entry that nothing pins: there are more entries than requests to pin
// them.
static void make_room(struct kaio_queue_place *queue) {
    for (uint32_t index = 0; index < queue->attachment_capacity; ++index) {
        struct kaio_attachment *attachment = &queue->attachments[index];
        if (is_live(attachment) && kaio_attachment_count(attachment, KAIO_PIN) == 0) {
            let_go(queue, index);
            return;
        }
    }
    assert(false && "more pinned files than requests");
}

// attach makes an entry for the file of `bits`, which was just joined and has none.
static struct kaio_attachment *attach(struct kaio_queue_place *queue, uintptr_t bits) {
    if (queue->attachment_count == queue->attachment_capacity) {
        make_room(queue);
    }
    uint32_t index;
    bool is_there = look(queue, bits, &index);
    assert(!is_there && index < queue->attachment_capacity);
    (void)is_there;
    queue->attachments[index] = (struct kaio_attachment){.bits = bits};
    ++queue->attachment_count;
    return &queue->attachments[index];
}

struct kaio_attachment *kaio_attachment_search(struct kaio_queue_place *queue, uintptr_t bits,
                                               kaio_status *out_why) {
    uint32_t index;
    if (bits > KAIO_ATTACHMENT_LEFT && look(queue, bits, &index)) {
        return &queue->attachments[index];
    }
    if (!kaio_file_join(bits)) {
        *out_why = kaio_file_refusal(bits);
        return NULL;
    }
    return attach(queue, bits);
}

void kaio_attachment_let_go(struct kaio_queue_place *queue, struct kaio_attachment *attachment) {
    let_go(queue, (uint32_t)(attachment - queue->attachments));
}

void kaio_attachment_unpin_dropped(struct kaio_queue_place *queue,
                                   struct kaio_attachment *attachment) {
    kaio_detach_dropped(queue);
    if ((attachment->counts & KAIO_FILE_IS_DROPPED) != 0 &&
        kaio_attachment_count(attachment, KAIO_PIN) == 0) {
        kaio_attachment_let_go(queue, attachment);
    }
}

static bool is_dropped(const struct kaio_attachment *attachment) {
    const struct kaio_file_place *file = kaio_file_at(kaio_bits_index(attachment->bits));
    return !kaio_file_is_open(file, attachment->bits);
}

void kaio_attachment_sweep(struct kaio_queue_place *queue) {
    queue->seen_deferred_count =
        atomic_load_explicit(&kaio_file_deferred_count, memory_order_acquire);
    for (uint32_t index = 0; index < queue->attachment_capacity; ++index) {
        struct kaio_attachment *attachment = &queue->attachments[index];
        if (!is_live(attachment) || !is_dropped(attachment)) {
            continue;
        }
        attachment->counts |= KAIO_FILE_IS_DROPPED;
        if (kaio_attachment_count(attachment, KAIO_PIN) == 0) {
            let_go(queue, index);
        }
    }
}

void kaio_detach_all(struct kaio_queue_place *queue) {
    for (uint32_t index = 0; index < queue->attachment_capacity; ++index) {
        if (is_live(&queue->attachments[index])) {
            let_go(queue, index);
        }
    }
}

// find_place gives the entry of `file` in a queue of the calling thread.
static bool find_place(const struct kaio_queue_place *queue, const struct kaio_file_place *file,
                       uint32_t *out_index) {
    uintptr_t life = kaio_bits_life(atomic_load_explicit(&file->place.word, memory_order_relaxed));
    return look(queue, kaio_bits_make(life, file->place.index, KAIO_KIND_FILE), out_index);
}

// leave_in lets `queue`, which the calling thread is in, let go of `file` when it does not use it.
// Returns how many requests do.
static uint32_t leave_in(struct kaio_queue_place *queue, const struct kaio_file_place *file) {
    uint32_t index;
    if (!find_place(queue, file, &index)) {
        return 0;
    }
    uint32_t pin_count = kaio_attachment_count(&queue->attachments[index], KAIO_PIN);
    if (pin_count == 0) {
        let_go(queue, index);
    }
    return pin_count;
}

uint32_t kaio_file_leave_own(struct kaio_file_place *file, uint32_t *out_queue_count) {
    uint32_t user_count = 0;
    *out_queue_count = 0;
    uint32_t end = kaio_table_end(&kaio_queues);
    if (!kaio_call_begin()) {
        return 0;  // a signal handler: what it interrupted may be any of them
    }
    for (uint32_t i = 1; i < end; ++i) {
        struct kaio_queue_place *queue = kaio_queue_at(i);
        if (queue == NULL) {
            continue;
        }
        uintptr_t word = atomic_load_explicit(&queue->place.word, memory_order_acquire);
        if (kaio_word_state(word) == KAIO_QUEUE_OPEN && kaio_queue_is_ours(queue)) {
            uint32_t pin_count = leave_in(queue, file);
            user_count += pin_count;
            *out_queue_count += pin_count > 0;
        }
    }
    kaio_call_end();
    return user_count;
}

kaio_status kaio_file_attach(kaio_file *file, kaio_queue *queue) {
    kaio_status why = kaio_status_ok();
    struct kaio_queue_place *place = kaio_queue_enter(queue, &why);
    if (place == NULL) {
        return why;
    }
    struct kaio_file_place *found;
    (void)kaio_attachment_find(place, file, &found, &why);
    kaio_queue_leave();
    return why;
}

// detach lets go of the entry of `bits`, if there is one and nothing pins it.
static kaio_status detach(struct kaio_queue_place *queue, uintptr_t bits) {
    const struct kaio_file_place *file = kaio_file_at(kaio_bits_index(bits));
    if (file == NULL || !kaio_file_is_open(file, bits)) {
        return kaio_file_refusal(bits);
    }
    uint32_t index;
    if (!look(queue, bits, &index)) {
        return kaio_status_ok();
    }
    uint32_t pin_count = kaio_attachment_count(&queue->attachments[index], KAIO_PIN);
    if (pin_count > 0) {
        return kaio_status_pair(KAIO_BUSY, KAIO_SUBJECT_FILE, pin_count, 0);
    }
    let_go(queue, index);
    return kaio_status_ok();
}

kaio_status kaio_file_detach(kaio_file *file, kaio_queue *queue) {
    kaio_status status;
    struct kaio_queue_place *place = kaio_queue_enter(queue, &status);
    if (place == NULL) {
        return status;
    }
    status = detach(place, (uintptr_t)file);
    kaio_queue_leave();
    return status;
}
