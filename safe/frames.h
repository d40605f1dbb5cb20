// kaio/safe/frames.h (private): words for the frames of regions and pools.
//
// A region is one piece of memory in frames of one size: the engine's, or a pool's own. Each frame
// has one word, 8 bytes, like the word of a buffer; words are never unmapped, and a handle names
// the word's index. A region takes whole chunks of words; its own place counts the frames that are
// out.
// Threads: an open region is entered before its frames are taken, which counts; who wants to end it
// takes the state away first and looks at the counts afterwards, so that one sees the other. Who
// enters to take a frame counts it as out at once: taking it and giving it back change the shared
// line once each.
// Signal handlers: entering and ending are calls, which a handler does not meet halfway.

#ifndef KAIO_SAFE_FRAMES_H_
#define KAIO_SAFE_FRAMES_H_

#include <stdbool.h>

#include "kaio/safe/buffer.h"
#include "table.h"

// All regions and pools together have so many frames.
#define KAIO_FRAME_COUNT_MAX (KAIO_CHUNK_COUNT << KAIO_CHUNK_BITS)

// CLOSING: somebody finds out whether it may end, or ends it. DROPPED: it ends with the last frame.
enum { KAIO_REGION_OPEN = 1, KAIO_REGION_CLOSING = 2, KAIO_REGION_DROPPED = 3 };

struct kaio_region_place {
    _Alignas(64) struct kaio_place place;
    uint32_t kind;  // KAIO_KIND_REGION or KAIO_KIND_POOL
    // Constant while it is open, and while a frame is out; stale handles may still ask.
    _Atomic(uint8_t *) bytes;
    _Atomic size_t frame_bytes;
    _Atomic uint32_t first_index;  // of its frames' words
    _Atomic uint32_t frame_count;
    kaio_release_handler *on_release;
    void *context;
    // What changes all the time has a line of its own.
    _Alignas(64) _Atomic uint32_t out_count;  // frames that are out, and calls that take one
    _Atomic uint32_t visit_count;             // other calls that have entered it
    _Atomic uintptr_t drop_life;  // the life in which it was dropped while it was CLOSING
    // Of a pool: the free frames, a stack. The top is a frame's number + 1 (0: none) below a count
    // of changes; next[i] is the same for the frame below i.
#if ATOMIC_LLONG_LOCK_FREE == 2
    _Atomic uint64_t free_top;
#else
    uint64_t free_top;  // guarded by kaio_regions.kind_lock
#endif
    _Atomic uint32_t *next;
    void *mapping;
    size_t mapping_bytes;
    size_t locked_bytes;
};

extern struct kaio_table kaio_regions;

// The words, and which region has them (0: none), by chunk.
extern _Atomic(_Atomic uintptr_t *) kaio_frame_chunks[KAIO_CHUNK_COUNT];
extern _Atomic uint32_t kaio_frame_regions[KAIO_CHUNK_COUNT];

static inline struct kaio_region_place *kaio_region_at(uint32_t index) {
    return kaio_table_at(&kaio_regions, index, sizeof(struct kaio_region_place));
}

// kaio_frame_region returns the living region of the frame `index`, or NULL.
static inline struct kaio_region_place *kaio_frame_region(uint32_t index) {
    uint32_t region =
        atomic_load_explicit(&kaio_frame_regions[index >> KAIO_CHUNK_BITS], memory_order_acquire);
    struct kaio_region_place *place = region == 0 ? NULL : kaio_region_at(region);
    if (KAIO_UNLIKELY(place == NULL)) {
        return NULL;
    }
    uint32_t state =
        kaio_word_state(atomic_load_explicit(&place->place.word, memory_order_acquire));
    return KAIO_LIKELY(state - KAIO_REGION_OPEN <= KAIO_REGION_DROPPED - KAIO_REGION_OPEN) ? place
                                                                                           : NULL;
}

// kaio_frame_is_forked tells whether the frame `index` is of a region of the parent process.
bool kaio_frame_is_forked(uint32_t index);

// kaio_frame_word returns the word of the frame `index`, or NULL where no region has one.
static inline _Atomic uintptr_t *kaio_frame_word(uint32_t index) {
    if (KAIO_UNLIKELY(kaio_frame_region(index) == NULL)) {
        return NULL;
    }
    return &atomic_load_explicit(&kaio_frame_chunks[index >> KAIO_CHUNK_BITS],
                                 memory_order_acquire)[index & (KAIO_CHUNK_PLACES - 1)];
}

// kaio_region_make makes a region of `frame_count` frames that is not open yet: the caller fills in
// the rest of `**out_region` and opens it. LIMIT(frames), NO_MEMORY(region).
kaio_status kaio_region_make(uint32_t kind, uint8_t *bytes, size_t frame_bytes,
                             uint32_t frame_count, struct kaio_region_place **out_region);

// kaio_region_open makes it good, and returns its handle.
uintptr_t kaio_region_open(struct kaio_region_place *region);

// A visit is what a call that has entered a region is there for. One that TAKES has its frame
// counted as out already.
enum kaio_visit { KAIO_VISIT_TAKES, KAIO_VISIT_LOOKS };

// kaio_region_enter begins a call on the region of `bits`, or returns NULL with the reason;
// kaio_region_leave ends it without a frame, and a dropped region that has no frame out any more.
struct kaio_region_place *kaio_region_enter(uintptr_t bits, uint32_t kind, enum kaio_visit visit,
                                            kaio_status *out_why);
void kaio_region_leave(struct kaio_region_place *region, enum kaio_visit visit);

// kaio_region_leave_with ends a call that TAKES: with the frame of `frame_bits` when it is not 0.
static inline void kaio_region_leave_with(struct kaio_region_place *region, uintptr_t frame_bits) {
    if (KAIO_LIKELY(frame_bits != 0)) {
        kaio_call_end();
    } else {
        kaio_region_leave(region, KAIO_VISIT_TAKES);
    }
}

// kaio_region_out_count returns how many frames of an entered region are out.
static inline uint32_t kaio_region_out_count(struct kaio_region_place *region) {
    uint32_t frame_count = atomic_load_explicit(&region->frame_count, memory_order_relaxed);
    uint32_t out_count = atomic_load(&region->out_count);
    return out_count < frame_count ? out_count : frame_count;  // a call may be about to find none
}

// kaio_frame_take takes the frame `number` of a region entered to take it for the calling thread:
// its handle, or 0 when it is out, or the thread has no number.
uintptr_t kaio_frame_take(struct kaio_region_place *region, uint32_t number);

// kaio_frame_release ends the life of a frame that is bound to the calling thread.
void kaio_frame_release(uintptr_t bits);

// The two halves of kaio_region_close: the first, when it is OK, begins a call and makes the region
// the caller's alone; the second ends both, and then calls its hook.
kaio_status kaio_region_end_begin(uintptr_t bits, uint32_t kind);
void kaio_region_end_finish(uintptr_t bits);

// kaio_regions_end_put_off ends what was dropped where a signal handler had interrupted a call.
void kaio_regions_end_put_off(void);

// kaio_region_give_up is the body of kaio_region_drop.
void kaio_region_give_up(uintptr_t bits, uint32_t kind);

// kaio_pool_push and kaio_pool_pop change the free frames of a pool; kaio_pool_unmap returns its
// memory. (In pool.c.)
void kaio_pool_push(struct kaio_region_place *pool, uint32_t number);
bool kaio_pool_pop(struct kaio_region_place *pool, uint32_t *out_number);
void kaio_pool_unmap(struct kaio_region_place *pool);

// kaio_frames_visit calls `visit` for each word of a living region that is bound to `thread`.
void kaio_frames_visit(uint32_t thread, void (*visit)(_Atomic uintptr_t *word, uintptr_t bits));

#endif  // KAIO_SAFE_FRAMES_H_
