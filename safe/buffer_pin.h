// kaio/safe/buffer_pin.h (private): how a request takes a buffer and gives it back.
//
// The word of a buffer holds its life, the number of the thread it is bound to (0: none) and its
// state. Only the bound thread changes the word, so pinning needs no atomic read-modify-write;
// binding, which happens once for each thread that a buffer comes to, does.

#ifndef KAIO_SAFE_BUFFER_PIN_H_
#define KAIO_SAFE_BUFFER_PIN_H_

#include "kaio/safe/buffer.h"
#include "table.h"
#include "thread.h"

enum { KAIO_BUFFER_HELD = 1, KAIO_BUFFER_PINNED = 2 };

struct kaio_buffer_place {
    _Alignas(64) struct kaio_place place;
    _Atomic(uint8_t *) bytes;  // both change between lives only, but stale handles still ask
    _Atomic size_t size_bytes;
    // The life in which it was dropped by a thread that it is not bound to, or 0: waits for the one
    // that it is bound to.
    _Atomic uintptr_t posted_life;
};

extern struct kaio_table kaio_buffers;

static inline uintptr_t kaio_buffer_word(uintptr_t life, uint32_t thread, uint32_t state) {
    return life | ((uintptr_t)thread << KAIO_KIND_BITS) | state;
}

// kaio_buffer_look is the slow half of kaio_buffer_find.
struct kaio_buffer_place *kaio_buffer_look(uintptr_t bits, uint32_t thread, kaio_status *out_why);

// kaio_buffer_find returns the place of a held buffer that `thread` may pin, or NULL with the
// reason in `*out_why`. Nothing changes.
static inline struct kaio_buffer_place *kaio_buffer_find(const kaio_buffer *buffer, uint32_t thread,
                                                         kaio_status *out_why) {
    uintptr_t bits = (uintptr_t)buffer;
    struct kaio_buffer_place *found =
        kaio_table_at(&kaio_buffers, kaio_bits_index(bits), sizeof *found);
    uintptr_t want = kaio_buffer_word(kaio_bits_life(bits), thread, KAIO_BUFFER_HELD);
    if (KAIO_LIKELY(found != NULL && kaio_bits_kind(bits) == KAIO_KIND_BUFFER &&
                    atomic_load_explicit(&found->place.word, memory_order_acquire) == want)) {
        return found;
    }
    return kaio_buffer_look(bits, thread, out_why);
}

// kaio_buffer_bind binds the unbound buffer of `handle` to `thread` and enters `state`. False: it
// is not unbound and held any more.
bool kaio_buffer_bind(struct kaio_buffer_place *buffer, const kaio_buffer *handle, uint32_t thread,
                      uint32_t state);

// kaio_buffer_pin gives `buffer`, just found by `handle` for `thread`, to a request. False: another
// thread was faster.
static inline bool kaio_buffer_pin(struct kaio_buffer_place *buffer, const kaio_buffer *handle,
                                   uint32_t thread) {
    uintptr_t life = kaio_bits_life((uintptr_t)handle);
    if (KAIO_UNLIKELY(atomic_load_explicit(&buffer->place.word, memory_order_relaxed) !=
                      kaio_buffer_word(life, thread, KAIO_BUFFER_HELD))) {
        return kaio_buffer_bind(buffer, handle, thread, KAIO_BUFFER_PINNED);
    }
    atomic_store_explicit(&buffer->place.word, kaio_buffer_word(life, thread, KAIO_BUFFER_PINNED),
                          memory_order_relaxed);
    return true;
}

// kaio_buffer_unpin ends that, binds the buffer to `thread`, and returns its handle.
static inline kaio_buffer *kaio_buffer_unpin(struct kaio_buffer_place *buffer, uint32_t thread) {
    uintptr_t life =
        kaio_bits_life(atomic_load_explicit(&buffer->place.word, memory_order_relaxed));
    atomic_store_explicit(&buffer->place.word, kaio_buffer_word(life, thread, KAIO_BUFFER_HELD),
                          memory_order_release);
    return (kaio_buffer *)kaio_bits_make(life, buffer->place.index, KAIO_KIND_BUFFER);
}

// kaio_buffer_leak keeps a pinned buffer for ever, since the kernel may still write to it, and
// tells the leak checker that this is meant.
void kaio_buffer_leak(struct kaio_buffer_place *buffer);

// kaio_buffer_will_bind prepares the calling thread for buffers that are bound to it.
void kaio_buffer_will_bind(void);

// kaio_buffer_collect releases what other threads dropped for the calling one.
void kaio_buffer_collect(void);

#endif  // KAIO_SAFE_BUFFER_PIN_H_
