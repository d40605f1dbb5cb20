// kaio/safe/attach.h (private): which files a queue uses, and how often.
//
// Each queue has a table of its own, found by hashing, so that pinning a file is an increment. Only
// the first use, the last and the closing of a file lock. There are more entries than requests, so
// one that nothing pins can always make room.

#ifndef KAIO_SAFE_ATTACH_H_
#define KAIO_SAFE_ATTACH_H_

#include "file_pin.h"
#include "queue_place.h"

enum { KAIO_ATTACHMENT_UNUSED = 0, KAIO_ATTACHMENT_LEFT = 1 };

static inline uint32_t kaio_attachment_home(const struct kaio_queue_place *queue, uintptr_t bits) {
    uint32_t hash = kaio_bits_index(bits) * UINT32_C(0x9e3779b1);
    return (uint32_t)(((uint64_t)hash * queue->attachment_capacity) >> 32);
}

// The file that was found last is found again by one comparison. kaio_attachment_forget makes it
// one that is not open.
void kaio_attachment_forget(struct kaio_queue_place *queue);

// kaio_attachment_search is the slow half of kaio_attachment_find: it looks on, then attaches.
struct kaio_attachment *kaio_attachment_search(struct kaio_queue_place *queue, uintptr_t bits,
                                               kaio_status *out_why);

// kaio_attachment_find returns the entry of the open file `handle`, attaching it when it has none,
// or NULL with the reason in `*out_why`.
static inline struct kaio_attachment *kaio_attachment_find(struct kaio_queue_place *queue,
                                                           const kaio_file *handle,
                                                           struct kaio_file_place **out_file,
                                                           kaio_status *out_why) {
    uintptr_t bits = (uintptr_t)handle;
    struct kaio_attachment *found = &queue->attachments[kaio_attachment_home(queue, bits)];
    if (KAIO_UNLIKELY(found->bits != bits || bits <= KAIO_ATTACHMENT_LEFT)) {
        found = kaio_attachment_search(queue, bits, out_why);
        if (found == NULL) {
            return NULL;
        }
    }
    struct kaio_file_place *file = kaio_file_at(kaio_bits_index(bits));
    if (KAIO_UNLIKELY(file == NULL ||
                      !kaio_file_is_open(file, bits))) {  // dropped, and still pinned here
        *out_why = kaio_file_refusal(bits);
        return NULL;
    }
    if (KAIO_LIKELY(queue->refuses_overlaps == 0)) {  // else the short way is to know no file
        queue->recent_bits = bits;
        queue->recent_file = file;
        queue->recent_attachment = (uint32_t)(found - queue->attachments);
    }
    *out_file = file;
    return found;
}

// kaio_attachment_look is the slow half of kaio_attachment_known.
bool kaio_attachment_look(struct kaio_queue_place *queue, uintptr_t bits);

// kaio_attachment_known tells whether the queue has the open file of `bits` attached, which is the
// recent one then. What is attached keeps its life, so that only its state is asked for.
static inline bool kaio_attachment_known(struct kaio_queue_place *queue, uintptr_t bits) {
    return KAIO_LIKELY(queue->recent_bits == bits || kaio_attachment_look(queue, bits)) &&
           KAIO_LIKELY(kaio_word_state(atomic_load_explicit(&queue->recent_file->place.word,
                                                            memory_order_acquire)) ==
                       KAIO_FILE_OPEN);
}

// kaio_attachment_sweep lets go of files that were dropped: now, or when nothing pins them here.
void kaio_attachment_sweep(struct kaio_queue_place *queue);

// kaio_detach_dropped sweeps when files were dropped somewhere since the last time.
static inline void kaio_detach_dropped(struct kaio_queue_place *queue) {
    if (KAIO_UNLIKELY(queue->seen_deferred_count !=
                      atomic_load_explicit(&kaio_file_deferred_count, memory_order_relaxed))) {
        kaio_attachment_sweep(queue);
    }
}

// kaio_attachment_let_go ends an entry, which nothing pins.
void kaio_attachment_let_go(struct kaio_queue_place *queue, struct kaio_attachment *attachment);

// kaio_attachment_unpin takes one pin off an entry; the other one is its slow half.
void kaio_attachment_unpin_dropped(struct kaio_queue_place *queue,
                                   struct kaio_attachment *attachment);
static inline void kaio_attachment_unpin(struct kaio_queue_place *queue, uint32_t index) {
    struct kaio_attachment *attachment = &queue->attachments[index];
    uint64_t counts = attachment->counts -= KAIO_PIN;
    uint32_t seen = queue->seen_deferred_count;
    bool was_dropped =
        seen != atomic_load_explicit(&kaio_file_deferred_count, memory_order_relaxed);
    if (KAIO_UNLIKELY(was_dropped || (counts & KAIO_FILE_IS_DROPPED) != 0)) {
        kaio_attachment_unpin_dropped(queue, attachment);
    }
}

// kaio_detach_all lets go of every file; none is pinned.
void kaio_detach_all(struct kaio_queue_place *queue);

#endif  // KAIO_SAFE_ATTACH_H_
