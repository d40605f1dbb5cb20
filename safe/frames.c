#define _GNU_SOURCE  // MAP_ANONYMOUS, MAP_NORESERVE

#include "frames.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <sys/mman.h>

#include "checker.h"
#include "memory.h"
#include "thread.h"

struct kaio_table kaio_regions = KAIO_TABLE_INITIALIZER(struct kaio_region_place);

_Atomic(_Atomic uintptr_t *) kaio_frame_chunks[KAIO_CHUNK_COUNT];
_Atomic uint32_t kaio_frame_regions[KAIO_CHUNK_COUNT];

bool kaio_frame_is_forked(uint32_t index) {
    uint32_t region =
        atomic_load_explicit(&kaio_frame_regions[index >> KAIO_CHUNK_BITS], memory_order_acquire);
    struct kaio_region_place *place = region == 0 ? NULL : kaio_region_at(region);
    return place != NULL && kaio_word_state(atomic_load(&place->place.word)) == KAIO_STATE_FORKED;
}

// has_chunk makes sure that the chunk `number` is mapped.
static bool has_chunk(uint32_t number) {
    if (atomic_load_explicit(&kaio_frame_chunks[number], memory_order_relaxed) != NULL) {
        return true;
    }
    int saved_errno = errno;
    void *words = mmap(NULL, sizeof(uintptr_t) << KAIO_CHUNK_BITS, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    errno = saved_errno;
    if (words == MAP_FAILED) {
        return false;
    }
    atomic_store_explicit(&kaio_frame_chunks[number], words, memory_order_release);
    return true;
}

// find_chunks looks for `count` chunks side by side that no region has. KAIO_CHUNK_COUNT: none.
static uint32_t find_chunks(uint32_t count) {
    uint32_t run = 0;
    for (uint32_t i = 0; i < KAIO_CHUNK_COUNT; ++i) {
        bool is_free = atomic_load_explicit(&kaio_frame_regions[i], memory_order_acquire) == 0;
        run = is_free ? run + 1 : 0;
        if (run == count) {
            return i + 1 - count;
        }
    }
    return KAIO_CHUNK_COUNT;
}

static uint32_t chunk_count_of(uint32_t frame_count) {
    return (uint32_t)(((uint64_t)frame_count + KAIO_CHUNK_PLACES - 1) >> KAIO_CHUNK_BITS);
}

static void give_chunks(uint32_t first, uint32_t count, uint32_t region) {
    for (uint32_t i = 0; i < count; ++i) {
        atomic_store_explicit(&kaio_frame_regions[first + i], region, memory_order_release);
    }
}

// take_chunks gives a region the words of its frames, with the lock held.
static kaio_status take_chunks(struct kaio_region_place *region, uint32_t frame_count) {
    uint32_t count = chunk_count_of(frame_count);
    uint32_t first = find_chunks(count);
    if (first == KAIO_CHUNK_COUNT) {
        return kaio_status_pair(KAIO_LIMIT, KAIO_SUBJECT_FRAMES, frame_count, KAIO_FRAME_COUNT_MAX);
    }
    for (uint32_t i = 0; i < count; ++i) {
        if (!has_chunk(first + i)) {
            return kaio_status_make(KAIO_NO_MEMORY, KAIO_SUBJECT_REGION);
        }
    }
    give_chunks(first, count, region->place.index);
    atomic_store_explicit(&region->first_index, first << KAIO_CHUNK_BITS, memory_order_relaxed);
    atomic_store_explicit(&region->frame_count, frame_count, memory_order_relaxed);
    return kaio_status_ok();
}

static void end_if_over(struct kaio_region_place *region);

// Some region's end was put off.
static atomic_bool has_put_off;

void kaio_regions_end_put_off(void) {
    if (kaio_self.call_depth != 0 || !atomic_load_explicit(&has_put_off, memory_order_relaxed) ||
        !atomic_exchange(&has_put_off, false)) {
        return;
    }
    uint32_t end = kaio_table_end(&kaio_regions);
    for (uint32_t i = 1; i < end; ++i) {
        struct kaio_region_place *region = kaio_region_at(i);
        assert(region != NULL);
        end_if_over(region);
    }
}

kaio_status kaio_region_make(uint32_t kind, uint8_t *bytes, size_t frame_bytes,
                             uint32_t frame_count, struct kaio_region_place **out_region) {
    kaio_checkers_find();
    struct kaio_region_place *region = kaio_table_take(&kaio_regions);
    if (region == NULL) {
        return kaio_status_make(KAIO_NO_MEMORY, KAIO_SUBJECT_REGION);
    }
    kaio_lock(&kaio_regions.kind_lock);
    kaio_status status = take_chunks(region, frame_count);
    kaio_unlock(&kaio_regions.kind_lock);
    if (!kaio_status_is_ok(status)) {
        kaio_table_give_back(&kaio_regions, &region->place, atomic_load(&region->place.word));
        return status;
    }
    region->kind = kind;
    atomic_store_explicit(&region->bytes, bytes, memory_order_relaxed);
    atomic_store_explicit(&region->frame_bytes, frame_bytes, memory_order_relaxed);
    *out_region = region;
    return status;
}

uintptr_t kaio_region_open(struct kaio_region_place *region) {
    uintptr_t life = kaio_bits_life(atomic_load(&region->place.word));
    atomic_store(&region->place.word, life | KAIO_REGION_OPEN);
    return kaio_bits_make(life, region->place.index, region->kind);
}

// A region_end is what is left to do when a region has ended.
struct region_end {
    kaio_release_handler *on_release;
    void *context;
    uint8_t *bytes;
    size_t size_bytes;
};

// finish ends the life of a region that is CLOSING, has no frame out, and is the caller's alone;
// then it ends the call. The hook comes last: it may make and end regions itself.
static void finish(struct kaio_region_place *region) {
    uint32_t frame_count = atomic_load_explicit(&region->frame_count, memory_order_relaxed);
    struct region_end rest = {
        .on_release = region->on_release,
        .context = region->context,
        .bytes = atomic_load_explicit(&region->bytes, memory_order_relaxed),
        .size_bytes =
            atomic_load_explicit(&region->frame_bytes, memory_order_relaxed) * frame_count};
    if (region->kind == KAIO_KIND_POOL) {
        kaio_pool_unmap(region);
    }
    uint32_t first = atomic_load_explicit(&region->first_index, memory_order_relaxed);
    uintptr_t word = atomic_load(&region->place.word);
    give_chunks(first >> KAIO_CHUNK_BITS, chunk_count_of(frame_count), 0);
    kaio_table_give_back(&kaio_regions, &region->place, word);
    kaio_call_end();
    if (rest.on_release != NULL) {
        rest.on_release(rest.context, rest.bytes, rest.size_bytes);
    }
}

// is_over tells whether a region has neither a frame out nor a visitor.
static bool is_over(struct kaio_region_place *region) {
    return atomic_load(&region->out_count) == 0 && atomic_load(&region->visit_count) == 0;
}

// end_if_over ends a dropped region that has no frame out any more. Where a signal handler has
// interrupted a call it is put off: the hook is the user's code, and a table may be locked.
static void end_if_over(struct kaio_region_place *region) {
    uintptr_t word = atomic_load(&region->place.word);
    if (kaio_word_state(word) != KAIO_REGION_DROPPED || !is_over(region)) {
        return;
    }
    if (!kaio_call_begin()) {
        atomic_store(&has_put_off, true);
        return;
    }
    uintptr_t closing = kaio_bits_life(word) | KAIO_REGION_CLOSING;
    if (atomic_compare_exchange_strong(&region->place.word, &word, closing)) {
        finish(region);
    } else {
        kaio_call_end();
    }
}

// settled returns the word of a region once no other thread is deciding about its end. Inside a
// call nobody waits: a signal handler may have interrupted who decides.
static uintptr_t settled(struct kaio_region_place *region) {
    uintptr_t word;
    while (kaio_word_state(word = atomic_load(&region->place.word)) == KAIO_REGION_CLOSING &&
           kaio_self.call_depth == 0) {
        (void)sched_yield();
    }
    return word;
}

// find returns the place of a region's handle, whatever lives there by now, or NULL.
static struct kaio_region_place *find(uintptr_t bits, uint32_t kind) {
    struct kaio_region_place *region = kaio_region_at(kaio_bits_index(bits));
    return region != NULL && kaio_bits_kind(bits) == kind && region->kind == kind ? region : NULL;
}

static kaio_subject subject_of(uint32_t kind) {
    return kind == KAIO_KIND_POOL ? KAIO_SUBJECT_POOL : KAIO_SUBJECT_REGION;
}

static kaio_status stale(uintptr_t bits, uint32_t kind) {
    return kaio_table_stale(&kaio_regions, bits, kind, subject_of(kind));
}

static _Atomic uint32_t *count_of(struct kaio_region_place *region, enum kaio_visit visit) {
    return visit == KAIO_VISIT_TAKES ? &region->out_count : &region->visit_count;
}

struct kaio_region_place *kaio_region_enter(uintptr_t bits, uint32_t kind, enum kaio_visit visit,
                                            kaio_status *out_why) {
    kaio_process_check();
    struct kaio_region_place *region = find(bits, kind);
    uintptr_t open = kaio_bits_life(bits) | KAIO_REGION_OPEN;
    while (region != NULL && settled(region) == open) {
        if (!kaio_call_begin()) {
            *out_why = kaio_status_make(KAIO_REENTERED, subject_of(kind));
            return NULL;
        }
        atomic_fetch_add(count_of(region, visit), 1);
        if (atomic_load(&region->place.word) == open) {
            return region;
        }
        kaio_region_leave(region, visit);  // who closes it has seen it, and waits or is BUSY
    }
    bool is_closing = region != NULL && atomic_load(&region->place.word) ==
                                            (kaio_bits_life(bits) | KAIO_REGION_CLOSING);
    *out_why = is_closing ? kaio_status_make(KAIO_REENTERED, subject_of(kind)) : stale(bits, kind);
    return NULL;
}

void kaio_region_leave(struct kaio_region_place *region, enum kaio_visit visit) {
    uint32_t before = atomic_fetch_sub(count_of(region, visit), 1);
    kaio_call_end();
    if (before == 1) {
        end_if_over(region);
    }
}

uintptr_t kaio_frame_take(struct kaio_region_place *region, uint32_t number) {
    uint32_t index = atomic_load_explicit(&region->first_index, memory_order_relaxed) + number;
    _Atomic uintptr_t *word = kaio_frame_word(index);
    uint32_t thread = kaio_thread_number();
    assert(word != NULL);
    uintptr_t free_word = atomic_load_explicit(word, memory_order_relaxed);
    if (thread == KAIO_NO_THREAD || kaio_word_state(free_word) != KAIO_STATE_FREE) {
        return 0;
    }
    // Fresh memory: a life of 0 would make small handles.
    uintptr_t life = free_word == 0 ? KAIO_LIFE_ONE : kaio_bits_life(free_word);
    kaio_memory_will_bind();
    if (!atomic_compare_exchange_strong(word, &free_word,
                                        kaio_memory_make_word(life, thread, KAIO_MEMORY_HELD))) {
        return 0;
    }
    return kaio_bits_make(life, index, KAIO_KIND_FRAME);
}

void kaio_frame_release(uintptr_t bits) {
    uint32_t index = kaio_bits_index(bits);
    struct kaio_region_place *region = kaio_frame_region(index);
    _Atomic uintptr_t *word = kaio_frame_word(index);
    assert(region != NULL && word != NULL);
    uint32_t number = index - atomic_load_explicit(&region->first_index, memory_order_relaxed);
    bool is_pooled = region->kind == KAIO_KIND_POOL;
    if (is_pooled && kaio_is_watched()) {
        size_t frame_bytes = atomic_load_explicit(&region->frame_bytes, memory_order_relaxed);
        uint8_t *bytes = atomic_load_explicit(&region->bytes, memory_order_relaxed);
        kaio_checker_forbid(bytes + number * frame_bytes, frame_bytes);
    }
    atomic_store_explicit(word, (kaio_bits_life(bits) + KAIO_LIFE_ONE) | KAIO_STATE_FREE,
                          memory_order_release);
    if (is_pooled) {
        kaio_pool_push(region, number);
    }
    if (atomic_fetch_sub(&region->out_count, 1) == 1) {
        end_if_over(region);
    }
}

// reopen takes CLOSING back and ends the call. A drop that came meanwhile, in a signal handler,
// counts.
static void reopen(struct kaio_region_place *region, uintptr_t life) {
    uintptr_t open = life | KAIO_REGION_OPEN;
    atomic_store(&region->place.word, open);
    kaio_call_end();
    if (atomic_load(&region->drop_life) == life &&
        atomic_compare_exchange_strong(&region->place.word, &open, life | KAIO_REGION_DROPPED)) {
        end_if_over(region);
    }
}

kaio_status kaio_region_end_begin(uintptr_t bits, uint32_t kind) {
    kaio_process_check();
    struct kaio_region_place *region = find(bits, kind);
    uintptr_t life = kaio_bits_life(bits);
    uintptr_t open = life | KAIO_REGION_OPEN;
    if (kaio_self.call_depth != 0 && bits != 0) {
        return kaio_status_make(KAIO_REENTERED, subject_of(kind));
    }
    if (region == NULL || settled(region) != open || !kaio_call_begin()) {
        return stale(bits, kind);
    }
    if (!atomic_compare_exchange_strong(&region->place.word, &open, life | KAIO_REGION_CLOSING)) {
        kaio_call_end();
        return stale(bits, kind);
    }
    while (atomic_load(&region->visit_count) != 0) {  // of other threads: they leave at once
        (void)sched_yield();
    }
    uint32_t out_count = atomic_load(&region->out_count);
    if (out_count > 0) {
        reopen(region, life);
        return kaio_status_pair(KAIO_BUSY, subject_of(kind), out_count, 0);
    }
    return kaio_status_ok();
}

void kaio_region_end_finish(uintptr_t bits) {
    struct kaio_region_place *region = kaio_region_at(kaio_bits_index(bits));
    assert(region != NULL);
    finish(region);
}

void kaio_region_give_up(uintptr_t bits, uint32_t kind) {
    kaio_process_check();
    struct kaio_region_place *region = find(bits, kind);
    uintptr_t life = kaio_bits_life(bits);
    if (region == NULL || (settled(region) & ~(uintptr_t)15) != life) {
        return;
    }
    atomic_store(&region->drop_life, life);
    uintptr_t open = life | KAIO_REGION_OPEN;
    if (atomic_compare_exchange_strong(&region->place.word, &open, life | KAIO_REGION_DROPPED)) {
        end_if_over(region);
    }
}

void kaio_frames_visit(uint32_t thread, void (*visit)(_Atomic uintptr_t *word, uintptr_t bits)) {
    for (uint32_t i = 0; i < KAIO_FRAME_COUNT_MAX; ++i) {
        if ((i & (KAIO_CHUNK_PLACES - 1)) == 0 && kaio_frame_region(i) == NULL) {
            i += KAIO_CHUNK_PLACES - 1;
            continue;
        }
        _Atomic uintptr_t *word =
            &atomic_load_explicit(&kaio_frame_chunks[i >> KAIO_CHUNK_BITS],
                                  memory_order_acquire)[i & (KAIO_CHUNK_PLACES - 1)];
        uintptr_t value = atomic_load(word);
        if (kaio_memory_thread(value) == thread) {
            visit(word, kaio_bits_make(kaio_bits_life(value), i, KAIO_KIND_FRAME));
        }
    }
}
