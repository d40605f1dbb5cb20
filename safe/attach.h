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

// kaio_attach makes an entry for the open file of `bits`, which has none.
kaio_status kaio_attach(struct kaio_queue_place *queue, uintptr_t bits, uint32_t *out_index);

// kaio_attachment_search is the slow half of kaio_attachment_find: it looks on, then attaches.
kaio_status kaio_attachment_search(struct kaio_queue_place *queue, uintptr_t bits,
                                   uint32_t *out_index);

// kaio_attachment_find gives the entry of the open file `handle`, attaching it when it has none.
static inline kaio_status kaio_attachment_find(struct kaio_queue_place *queue,
                                               const kaio_file *handle, uint32_t *out_index,
                                               struct kaio_file_place **out_file) {
    uintptr_t bits = (uintptr_t)handle;
    uint32_t index = kaio_attachment_home(queue, bits);
    kaio_status status = kaio_status_ok();
    if (KAIO_UNLIKELY(queue->attachments[index].bits != bits || bits <= KAIO_ATTACHMENT_LEFT)) {
        status = kaio_attachment_search(queue, bits, &index);
        if (!kaio_status_is_ok(status)) {
            return status;
        }
    }
    struct kaio_file_place *file = kaio_file_at(kaio_bits_index(bits));
    if (KAIO_UNLIKELY(!kaio_file_is_open(file, bits))) {  // dropped, and still pinned here
        return kaio_table_stale(&kaio_files, bits, KAIO_KIND_FILE, KAIO_SUBJECT_FILE);
    }
    *out_index = index;
    *out_file = file;
    return status;
}

// kaio_detach_dropped lets go of files that were dropped elsewhere and are not pinned here.
void kaio_detach_dropped(struct kaio_queue_place *queue);

static inline void kaio_attachment_unpin(struct kaio_queue_place *queue, uint32_t index) {
    --queue->attachments[index].pin_count;
    if (KAIO_UNLIKELY(queue->seen_deferred_count !=
                      atomic_load_explicit(&kaio_file_deferred_count, memory_order_relaxed))) {
        kaio_detach_dropped(queue);
    }
}

// kaio_detach_all lets go of every file; none is pinned.
void kaio_detach_all(struct kaio_queue_place *queue);

#endif  // KAIO_SAFE_ATTACH_H_
