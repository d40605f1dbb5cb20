#include "memory.h"

#include <stdlib.h>

// From <sanitizer/lsan_interface.h>, where the program is built with a leak checker.
void __lsan_ignore_object(const void *object) __attribute__((weak));

struct kaio_table kaio_buffers = KAIO_TABLE_INITIALIZER(struct kaio_buffer_place);

static _Thread_local bool has_bound;

static kaio_subject subject_of(bool is_view) {
    return is_view ? KAIO_SUBJECT_VIEW : KAIO_SUBJECT_BUFFER;
}

static bool is_kind_of(uintptr_t bits, bool is_view) {
    uint32_t kind = kaio_bits_kind(bits);
    return is_view ? kind == KAIO_KIND_VIEW : kind == KAIO_KIND_BUFFER || kind == KAIO_KIND_FRAME;
}

// living returns the word of `bits` and its value when the handle is good: held, pinned or frozen.
static _Atomic uintptr_t *living(uintptr_t bits, uintptr_t *out_value) {
    _Atomic uintptr_t *word = kaio_memory_word(bits);
    if (word == NULL) {
        return NULL;
    }
    uintptr_t value = atomic_load_explicit(word, memory_order_acquire);
    uint32_t state = kaio_word_state(value);
    bool is_view = kaio_bits_kind(bits) == KAIO_KIND_VIEW;
    bool is_alive = is_view ? state == KAIO_VIEW_HELD || state == KAIO_VIEW_PINNED
                            : state == KAIO_MEMORY_HELD || state == KAIO_MEMORY_PINNED ||
                                  state == KAIO_MEMORY_FROZEN;
    *out_value = value;
    return is_alive && kaio_bits_life(value) == kaio_bits_life(bits) ? word : NULL;
}

// stale says why `bits` name nothing.
static kaio_status stale(uintptr_t bits, bool is_view) {
    if (is_view) {
        return kaio_table_stale(&kaio_buffers, bits, KAIO_KIND_VIEW, KAIO_SUBJECT_VIEW);
    }
    if (kaio_bits_kind(bits) == KAIO_KIND_FRAME) {
        bool is_forked = kaio_frame_is_forked(kaio_bits_index(bits));
        return kaio_status_make(is_forked ? KAIO_FORKED : KAIO_STALE, KAIO_SUBJECT_BUFFER);
    }
    return kaio_table_stale(&kaio_buffers, bits, KAIO_KIND_BUFFER, KAIO_SUBJECT_BUFFER);
}

bool kaio_memory_look(uintptr_t bits, uint32_t thread, bool is_view, kaio_status *out_why) {
    uintptr_t value;
    if (!is_kind_of(bits, is_view) || living(bits, &value) == NULL) {
        *out_why = stale(bits, is_view);
        return false;
    }
    bool is_held = kaio_word_state(value) == kaio_memory_held_state(bits);
    uint32_t owner = kaio_memory_thread(value);
    if (is_held && (owner == 0 || owner == thread)) {
        return true;
    }
    *out_why = kaio_status_make(is_held ? KAIO_WRONG_THREAD : KAIO_BUSY, subject_of(is_view));
    return false;
}

bool kaio_memory_find_any_hold(uintptr_t bits, uint32_t thread, bool is_view,
                               struct kaio_memory_hold *out_hold, kaio_status *out_why) {
    if (!kaio_memory_find(bits, thread, is_view, out_why)) {
        return false;
    }
    uint32_t state = kaio_memory_held_state(bits);
    out_hold->bits = bits;
    out_hold->word = kaio_memory_word(bits);
    if (out_hold->word == NULL) {  // its region has ended since
        *out_why = kaio_memory_lost(bits, thread, is_view);
        return false;
    }
    out_hold->held_word = kaio_memory_make_word(kaio_bits_life(bits), thread, state);
    out_hold->memory = kaio_memory_of(bits);
    return true;
}

bool kaio_memory_is(uintptr_t bits, uint32_t state) {
    uintptr_t value;
    return living(bits, &value) != NULL && kaio_word_state(value) == state;
}

bool kaio_memory_is_alive(uintptr_t bits) {
    uintptr_t value;
    return living(bits, &value) != NULL;
}

// ---- binding ----

// unbind makes what is held by a thread that ends anybody's, or ends it when it was given up. Who
// posts it does so by the same word: either it is seen here, or they see that nobody has it.
static void unbind(_Atomic uintptr_t *word, uintptr_t bits) {
    uintptr_t value = atomic_load(word);
    uint32_t held = kaio_memory_held_state(bits);
    if (kaio_word_state(value) == held &&
        atomic_compare_exchange_strong(word, &value,
                                       kaio_memory_make_word(kaio_bits_life(value), 0, held))) {
        return;
    }
    if (kaio_word_state(value) == held + 2) {
        atomic_store(word,
                     kaio_memory_make_word(kaio_bits_life(value), kaio_memory_thread(value), held));
        kaio_memory_drop(bits);
    }
}

// visit_bound calls `visit` for everything that is bound to `thread`.
static void visit_bound(uint32_t thread, void (*visit)(_Atomic uintptr_t *word, uintptr_t bits)) {
    uint32_t end = kaio_table_end(&kaio_buffers);
    for (uint32_t index = 1; index < end; ++index) {
        struct kaio_buffer_place *buffer = kaio_buffer_good(index);
        uintptr_t value = atomic_load_explicit(&buffer->place.word, memory_order_relaxed);
        if (kaio_memory_thread(value) == thread) {
            uint32_t state = kaio_word_state(value);
            bool is_view = state >= KAIO_VIEW_HELD && state <= KAIO_VIEW_POSTED;
            visit(&buffer->place.word, kaio_bits_make(kaio_bits_life(value), index,
                                                      is_view ? KAIO_KIND_VIEW : KAIO_KIND_BUFFER));
        }
    }
    kaio_frames_visit(thread, visit);
}

// unbind_all is called in a thread that ends.
static void unbind_all(uint32_t thread) {
    while (has_bound) {  // a release hook may bind something new
        has_bound = false;
        visit_bound(thread, unbind);
    }
}

void kaio_memory_will_bind(void) {
    if (KAIO_UNLIKELY(!has_bound)) {
        kaio_thread_at_exit(unbind_all);
        has_bound = true;
    }
}

bool kaio_memory_bind(uintptr_t bits, uint32_t thread, uint32_t step) {
    _Atomic uintptr_t *word = kaio_memory_word(bits);
    if (thread == KAIO_NO_THREAD || word == NULL) {
        return false;
    }
    kaio_memory_will_bind();
    uintptr_t life = kaio_bits_life(bits);
    uint32_t held = kaio_memory_held_state(bits);
    uintptr_t unbound = kaio_memory_make_word(life, 0, held);
    return atomic_compare_exchange_strong_explicit(word, &unbound,
                                                   kaio_memory_make_word(life, thread, held + step),
                                                   memory_order_acq_rel, memory_order_acquire);
}

kaio_status kaio_memory_detach(uintptr_t bits, bool is_view) {
    kaio_process_check();
    kaio_status why;
    uint32_t self = kaio_thread_number();
    if (!kaio_memory_find(bits, self, is_view, &why)) {
        return why;
    }
    _Atomic uintptr_t *word = kaio_memory_word(bits);
    uintptr_t life = kaio_bits_life(bits);
    uint32_t held = kaio_memory_held_state(bits);
    uintptr_t bound = kaio_memory_make_word(life, self, held);
    // A signal handler may have pushed it since, or another thread given it up: that is not undone.
    if (word != NULL &&
        atomic_compare_exchange_strong(word, &bound, kaio_memory_make_word(life, 0, held))) {
        return kaio_status_ok();
    }
    return kaio_memory_look(bits, self, is_view, &why) ? kaio_status_ok() : why;
}

kaio_status kaio_memory_lost(uintptr_t bits, uint32_t thread, bool is_view) {
    kaio_status why;
    return kaio_memory_look(bits, thread, is_view, &why)
               ? kaio_status_make(KAIO_WRONG_THREAD, subject_of(is_view))
               : why;
}

// ---- dropping ----

void kaio_memory_leak(uintptr_t bits) {
    if (__lsan_ignore_object == NULL) {
        return;
    }
    if (kaio_bits_kind(bits) == KAIO_KIND_FRAME) {
        const struct kaio_region_place *region = kaio_frame_region(kaio_bits_index(bits));
        __lsan_ignore_object((const void *)(region == NULL ? NULL : region->next));
    } else {
        __lsan_ignore_object(kaio_memory_of(bits).bytes);
    }
}

// release_buffer ends a buffer of its own that is bound to the calling thread. The hook comes last.
static void release_buffer(uintptr_t bits) {
    struct kaio_buffer_place *buffer = kaio_buffer_good(kaio_bits_index(bits));
    uint8_t *bytes = atomic_load_explicit(&buffer->bytes, memory_order_relaxed);
    size_t size_bytes = atomic_load_explicit(&buffer->size_bytes, memory_order_relaxed);
    kaio_release_handler *on_release = buffer->on_release;
    void *context = buffer->context;
    atomic_store_explicit(&buffer->bytes, NULL, memory_order_relaxed);
    kaio_table_give_back(&kaio_buffers, &buffer->place, kaio_bits_life(bits));
    if (on_release != NULL) {
        on_release(context, bytes, size_bytes);
    } else {
        free(bytes);
    }
}

// release ends what is bound to the calling thread and was claimed.
static void release(uintptr_t bits) {
    switch (kaio_bits_kind(bits)) {
        case KAIO_KIND_VIEW:
            kaio_view_release(bits);
            break;
        case KAIO_KIND_FRAME:
            kaio_frame_release(bits);
            break;
        default:
            release_buffer(bits);
            break;
    }
}

// claim makes what is in the state held + `step` the caller's alone, to be released: as if a
// request had it, so that neither a signal handler nor another thread releases it too. False: it is
// not.
static bool claim(_Atomic uintptr_t *word, uintptr_t bits, uint32_t thread, uint32_t step) {
    uintptr_t life = kaio_bits_life(bits);
    uint32_t held = kaio_memory_held_state(bits);
    uintptr_t expected = kaio_memory_make_word(life, thread, held + step);
    return atomic_compare_exchange_strong(word, &expected,
                                          kaio_memory_make_word(life, thread, held + 1));
}

// leave_post tells `thread` that `bits` were given up for it.
static void leave_post(uint32_t number, uintptr_t bits) {
    struct kaio_thread *thread = kaio_thread_at(number);
    if (thread == NULL) {
        return;
    }
    bool is_left = false;
    for (size_t i = 0; i < KAIO_THREAD_POSTS && !is_left; ++i) {
        uintptr_t none = 0;
        is_left = atomic_compare_exchange_strong(&thread->posts[i], &none, bits);
    }
    atomic_fetch_or(&thread->has_post, is_left ? KAIO_POST_LISTED : KAIO_POST_UNLISTED);
}

void kaio_memory_drop(uintptr_t bits) {
    uint32_t self = kaio_thread_number();
    uint32_t held = kaio_memory_held_state(bits);
    uintptr_t value;
    _Atomic uintptr_t *word;
    while ((word = living(bits, &value)) != NULL && kaio_word_state(value) == held) {
        uint32_t thread = kaio_memory_thread(value);
        if (thread == 0 && self == KAIO_NO_THREAD) {
            return;
        }
        if (thread == 0) {
            (void)kaio_memory_bind(bits, self, 0);
        } else if (thread == self && kaio_self.call_depth == 0) {
            if (claim(word, bits, self, 0)) {
                release(bits);
                return;
            }
        } else if (atomic_compare_exchange_strong(
                       word, &value,
                       kaio_memory_make_word(kaio_bits_life(bits), thread, held + 2))) {
            // Of another thread, or in a signal handler that interrupted a call of this one.
            leave_post(thread, bits);
            return;
        }
    }
}

// collect_one releases what is posted to the calling thread.
static void collect_one(_Atomic uintptr_t *word, uintptr_t bits) {
    if (claim(word, bits, kaio_thread_number(), 2)) {
        release(bits);
    }
}

void kaio_memory_collect(void) {
    kaio_process_check();
    kaio_regions_end_put_off();
    uint32_t self = kaio_thread_number();
    struct kaio_thread *thread = self == KAIO_NO_THREAD ? NULL : kaio_thread_at(self);
    if (thread == NULL || atomic_load_explicit(&thread->has_post, memory_order_relaxed) == 0 ||
        kaio_self.call_depth != 0) {
        return;
    }
    uint32_t posted = atomic_exchange(&thread->has_post, 0);
    for (size_t i = 0; i < KAIO_THREAD_POSTS; ++i) {
        uintptr_t bits = atomic_exchange(&thread->posts[i], 0);
        _Atomic uintptr_t *word = bits == 0 ? NULL : kaio_memory_word(bits);
        if (word != NULL) {
            collect_one(word, bits);
        }
    }
    if ((posted & KAIO_POST_UNLISTED) != 0) {
        visit_bound(self, collect_one);
    }
}
