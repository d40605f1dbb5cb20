// kaio/safe/memory.h (private): how a request takes a buffer or a view, and gives it back.
//
// Buffers of their own, views and the frames of regions and pools have a word each: its life, the
// number of the thread it is bound to (0: none) and its state. Only the bound thread changes the
// word, so pinning needs no atomic read-modify-write. Binding does, which happens once for each
// thread that a buffer comes to; so does POSTED, by which another thread gives it up: that may be
// lost to a pin at the same moment, and then the buffer comes back to the thread it is bound to.

#ifndef KAIO_SAFE_MEMORY_H_
#define KAIO_SAFE_MEMORY_H_

#include <assert.h>

#include "frames.h"
#include "kaio/safe/buffer.h"
#include "table.h"
#include "thread.h"

enum {
    KAIO_MEMORY_HELD = 1,    // by the caller
    KAIO_MEMORY_PINNED = 2,  // by a request
    KAIO_MEMORY_POSTED = 3,  // dropped by another thread, to be released by the one it is bound to
    KAIO_MEMORY_FROZEN = 4,  // shared by views
    KAIO_VIEW_HELD = 5,
    KAIO_VIEW_PINNED = 6,
    KAIO_VIEW_POSTED = 7,
    KAIO_SHARE = 8  // what the views of one buffer have in common; no handle names it
};

// A kaio_buffer_place is a buffer of its own, a view, or a share.
struct kaio_buffer_place {
    _Alignas(64) struct kaio_place place;
    _Atomic(uint8_t *) bytes;  // both change between lives only, but stale handles still ask
    _Atomic size_t size_bytes;
    kaio_release_handler *on_release;  // of adopted bytes; NULL: they are malloc's
    void *context;
    _Atomic uintptr_t origin;     // of a view: its share's index; of a share: the frozen handle
    _Atomic uint32_t view_count;  // of a share
    uint32_t checksum;            // of a view: what was pushed, where that is checked
};

extern struct kaio_table kaio_buffers;

static inline struct kaio_buffer_place *kaio_buffer_at(uint32_t index) {
    return kaio_table_at(&kaio_buffers, index, sizeof(struct kaio_buffer_place));
}

// kaio_buffer_good is the same for an index that is in use.
static inline struct kaio_buffer_place *kaio_buffer_good(uint32_t index) {
    struct kaio_buffer_place *buffer = kaio_buffer_at(index);
    if (buffer == NULL) {
        __builtin_unreachable();
    }
    return buffer;
}

// kaio_buffer_of and kaio_buffer_good_of are the same two for the index of a handle.
static inline struct kaio_buffer_place *kaio_buffer_of(uintptr_t bits) {
    static_assert(sizeof(struct kaio_buffer_place) % (1 << KAIO_KIND_BITS) == 0, "kaio_table_find");
    return kaio_table_find(&kaio_buffers, bits, sizeof(struct kaio_buffer_place));
}

static inline struct kaio_buffer_place *kaio_buffer_good_of(uintptr_t bits) {
    struct kaio_buffer_place *buffer = kaio_buffer_of(bits);
    if (buffer == NULL) {
        __builtin_unreachable();
    }
    return buffer;
}

static inline uintptr_t kaio_memory_make_word(uintptr_t life, uint32_t thread, uint32_t state) {
    return life | ((uintptr_t)thread << KAIO_KIND_BITS) | state;
}

static inline uint32_t kaio_memory_thread(uintptr_t word) {
    return kaio_bits_index(word);
}

static inline uint32_t kaio_memory_held_state(uintptr_t bits) {
    return kaio_bits_kind(bits) == KAIO_KIND_VIEW ? KAIO_VIEW_HELD : KAIO_MEMORY_HELD;
}

// kaio_memory_word returns the word that `bits` name, in whatever life and state, or NULL.
static inline _Atomic uintptr_t *kaio_memory_word(uintptr_t bits) {
    uint32_t index = kaio_bits_index(bits);
    uint32_t kind = kaio_bits_kind(bits);
    if (KAIO_LIKELY(kind == KAIO_KIND_BUFFER || kind == KAIO_KIND_VIEW)) {
        struct kaio_buffer_place *buffer = kaio_buffer_at(index);
        return buffer == NULL ? NULL : &buffer->place.word;
    }
    return kind == KAIO_KIND_FRAME ? kaio_frame_word(index) : NULL;
}

// A kaio_memory is where bytes are.
struct kaio_memory {
    uint8_t *bytes;
    size_t size_bytes;
};

// kaio_memory_of gives the bytes of a handle whose word was found good.
static inline struct kaio_memory kaio_memory_of(uintptr_t bits) {
    uint32_t index = kaio_bits_index(bits);
    if (KAIO_LIKELY(kaio_bits_kind(bits) != KAIO_KIND_FRAME)) {
        struct kaio_buffer_place *buffer = kaio_buffer_good(index);
        return (struct kaio_memory){
            .bytes = atomic_load_explicit(&buffer->bytes, memory_order_relaxed),
            .size_bytes = atomic_load_explicit(&buffer->size_bytes, memory_order_relaxed)};
    }
    struct kaio_region_place *region = kaio_frame_region(index);
    if (KAIO_UNLIKELY(region == NULL)) {
        return (struct kaio_memory){.bytes = NULL};
    }
    size_t frame_bytes = atomic_load_explicit(&region->frame_bytes, memory_order_relaxed);
    uint32_t number = index - atomic_load_explicit(&region->first_index, memory_order_relaxed);
    return (struct kaio_memory){
        .bytes = atomic_load_explicit(&region->bytes, memory_order_relaxed) + number * frame_bytes,
        .size_bytes = frame_bytes};
}

// kaio_memory_look is the slow half of kaio_memory_find.
bool kaio_memory_look(uintptr_t bits, uint32_t thread, bool is_view, kaio_status *out_why);

// kaio_memory_find tells whether `bits` name a held buffer or frame (`is_view`: a held view) that
// `thread` may pin; if not, the reason is in `*out_why`. Nothing changes.
static inline bool kaio_memory_find(uintptr_t bits, uint32_t thread, bool is_view,
                                    kaio_status *out_why) {
    const _Atomic uintptr_t *word = kaio_memory_word(bits);
    uint32_t state = kaio_memory_held_state(bits);
    uintptr_t want = kaio_memory_make_word(kaio_bits_life(bits), thread, state);
    if (KAIO_LIKELY(word != NULL && (state == KAIO_VIEW_HELD) == is_view &&
                    atomic_load_explicit(word, memory_order_acquire) == want)) {
        return true;
    }
    return kaio_memory_look(bits, thread, is_view, out_why);
}

// kaio_memory_bind binds what `bits` name, unbound and held, to `thread` and enters the state held
// + `step`. False: it is not unbound and held any more.
bool kaio_memory_bind(uintptr_t bits, uint32_t thread, uint32_t step);

// A kaio_memory_hold is what was found for a request to take.
struct kaio_memory_hold {
    uintptr_t bits;
    _Atomic uintptr_t *word;
    uintptr_t held_word;  // what it is while the thread that looked holds it; + 1: pinned
    struct kaio_memory memory;
};

// kaio_memory_find_hold is kaio_memory_find and fills in `*out_hold`.
bool kaio_memory_find_any_hold(uintptr_t bits, uint32_t thread, bool is_view,
                               struct kaio_memory_hold *out_hold, kaio_status *out_why);
__attribute__((always_inline)) static inline bool kaio_memory_find_hold(
    uintptr_t bits, uint32_t thread, bool is_view, struct kaio_memory_hold *out_hold,
    kaio_status *out_why) {
    struct kaio_buffer_place *buffer = kaio_buffer_of(bits);
    uintptr_t held_word = kaio_memory_make_word(kaio_bits_life(bits), thread,
                                                is_view ? KAIO_VIEW_HELD : KAIO_MEMORY_HELD);
    if (KAIO_UNLIKELY(kaio_bits_kind(bits) != (is_view ? KAIO_KIND_VIEW : KAIO_KIND_BUFFER) ||
                      buffer == NULL ||
                      atomic_load_explicit(&buffer->place.word, memory_order_acquire) !=
                          held_word)) {
        struct kaio_memory_hold any;  // the inlined one stays in registers
        if (!kaio_memory_find_any_hold(bits, thread, is_view, &any, out_why)) {
            return false;
        }
        *out_hold = any;
        return true;
    }
    out_hold->bits = bits;
    out_hold->word = &buffer->place.word;
    out_hold->held_word = held_word;
    out_hold->memory.bytes = atomic_load_explicit(&buffer->bytes, memory_order_relaxed);
    out_hold->memory.size_bytes = atomic_load_explicit(&buffer->size_bytes, memory_order_relaxed);
    return true;
}

// kaio_memory_pin gives what was just found to a request. False: another thread was faster.
static inline bool kaio_memory_pin(const struct kaio_memory_hold *hold, uint32_t thread) {
    if (KAIO_UNLIKELY(atomic_load_explicit(hold->word, memory_order_relaxed) != hold->held_word)) {
        return kaio_memory_bind(hold->bits, thread, 1);
    }
    atomic_store_explicit(hold->word, hold->held_word + 1, memory_order_relaxed);
    return true;
}

// kaio_memory_lost says why a pin or a binding of what was just found did not come about.
kaio_status kaio_memory_lost(uintptr_t bits, uint32_t thread, bool is_view);

// kaio_memory_unpin ends that, and binds what `bits` name to `thread`.
static inline void kaio_memory_unpin(uintptr_t bits, uint32_t thread) {
    atomic_store_explicit(
        kaio_memory_word(bits),
        kaio_memory_make_word(kaio_bits_life(bits), thread, kaio_memory_held_state(bits)),
        memory_order_release);
}

// kaio_memory_leak keeps what is pinned for ever, since the kernel may still write to it, and tells
// the leak checker that this is meant.
void kaio_memory_leak(uintptr_t bits);

// kaio_memory_will_bind prepares the calling thread for what is bound to it.
void kaio_memory_will_bind(void);

// kaio_memory_drop releases what `bits` name when it is held: now, or through the thread that it is
// bound to.
void kaio_memory_drop(uintptr_t bits);

// kaio_memory_detach unbinds what `bits` name from the calling thread.
kaio_status kaio_memory_detach(uintptr_t bits, bool is_view);

// kaio_memory_collect releases what other threads, and signal handlers, dropped for this one.
void kaio_memory_collect(void);

// kaio_memory_is tells whether `bits` name something in `state`, whoever it is bound to;
// kaio_memory_is_alive, in any.
bool kaio_memory_is(uintptr_t bits, uint32_t state);
bool kaio_memory_is_alive(uintptr_t bits);

// kaio_view_release ends a view that is bound to the calling thread, and with the last one the
// buffer. (In view.c.)
void kaio_view_release(uintptr_t bits);

#endif  // KAIO_SAFE_MEMORY_H_
