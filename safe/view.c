#include "kaio/safe/view.h"

#include <stdbool.h>

#include "memory.h"

// A frozen buffer has a share: a place of its own that counts its views and knows its handle.

static struct kaio_buffer_place *place_of(uintptr_t view) {
    return kaio_buffer_good(kaio_bits_index(view));
}

static struct kaio_buffer_place *share_of(uintptr_t view) {
    uintptr_t index = atomic_load_explicit(&place_of(view)->origin, memory_order_relaxed);
    return kaio_buffer_good((uint32_t)index);
}

static uintptr_t life_of(const struct kaio_buffer_place *place) {
    return kaio_bits_life(atomic_load_explicit(&place->place.word, memory_order_relaxed));
}

static void give_back(struct kaio_buffer_place *place) {
    kaio_table_give_back(&kaio_buffers, &place->place,
                         atomic_load_explicit(&place->place.word, memory_order_relaxed));
}

// publish makes `place` a view of `share` with the bytes of `memory`.
static kaio_view *publish(struct kaio_buffer_place *place, const struct kaio_buffer_place *share,
                          struct kaio_memory memory) {
    atomic_store_explicit(&place->bytes, memory.bytes, memory_order_relaxed);
    atomic_store_explicit(&place->size_bytes, memory.size_bytes, memory_order_relaxed);
    atomic_store_explicit(&place->origin, share->place.index, memory_order_relaxed);
    uintptr_t life = life_of(place);
    atomic_store_explicit(&place->place.word, kaio_memory_make_word(life, 0, KAIO_VIEW_HELD),
                          memory_order_release);
    return (kaio_view *)kaio_bits_make(life, place->place.index, KAIO_KIND_VIEW);
}

// bind binds what `bits` name to the calling thread, so that no other one can take it meanwhile.
static bool bind(uintptr_t bits, bool is_view, kaio_status *out_why) {
    uint32_t self = kaio_thread_number();
    if (!kaio_memory_find(bits, self, is_view, out_why)) {
        return false;
    }
    uintptr_t bound =
        kaio_memory_make_word(kaio_bits_life(bits), self, kaio_memory_held_state(bits));
    const _Atomic uintptr_t *word = kaio_memory_word(bits);
    if ((word != NULL && atomic_load_explicit(word, memory_order_relaxed) == bound) ||
        kaio_memory_bind(bits, self, 0)) {
        return true;
    }
    *out_why = kaio_memory_lost(bits, self, is_view);
    return false;
}

// own begins a call, which a signal handler does not meet halfway, and binds. False: the call is
// over, and the reason is in `*out_why`.
static bool own(uintptr_t bits, bool is_view, kaio_status *out_why) {
    kaio_process_check();
    if (!kaio_call_begin()) {
        *out_why =
            kaio_status_make(KAIO_REENTERED, is_view ? KAIO_SUBJECT_VIEW : KAIO_SUBJECT_BUFFER);
        return false;
    }
    bool is_bound = bind(bits, is_view, out_why);
    if (!is_bound) {
        kaio_call_end();
    }
    return is_bound;
}

// freeze makes the share and the first view of the calling thread's buffer.
static kaio_status freeze(uintptr_t bits, kaio_view **out_view) {
    struct kaio_buffer_place *share = kaio_table_take(&kaio_buffers);
    struct kaio_buffer_place *view = share == NULL ? NULL : kaio_table_take(&kaio_buffers);
    if (view == NULL) {
        if (share != NULL) {
            give_back(share);
        }
        return kaio_status_make(KAIO_NO_MEMORY, KAIO_SUBJECT_VIEW);
    }
    atomic_store_explicit(&share->origin, bits, memory_order_relaxed);
    atomic_store_explicit(&share->view_count, 1, memory_order_relaxed);
    atomic_store_explicit(&share->place.word, life_of(share) | KAIO_SHARE, memory_order_relaxed);
    *out_view = publish(view, share, kaio_memory_of(bits));
    atomic_store_explicit(kaio_memory_word(bits),
                          kaio_memory_make_word(kaio_bits_life(bits), 0, KAIO_MEMORY_FROZEN),
                          memory_order_release);
    return kaio_status_ok();
}

kaio_status kaio_buffer_freeze(kaio_buffer **move_buffer, kaio_view **out_view) {
    if (move_buffer == NULL || out_view == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT,
                                move_buffer == NULL ? KAIO_SUBJECT_BUFFER : KAIO_SUBJECT_OUTPUT);
    }
    kaio_status status;
    if (!own((uintptr_t)*move_buffer, false, &status)) {
        return status;
    }
    status = freeze((uintptr_t)*move_buffer, out_view);
    kaio_call_end();
    if (kaio_status_is_ok(status)) {
        *move_buffer = NULL;
    }
    return status;
}

kaio_status kaio_view_share(kaio_view *view, kaio_view **out_view) {
    if (out_view == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OUTPUT);
    }
    uintptr_t bits = (uintptr_t)view;
    kaio_status why;
    if (!own(bits, true, &why)) {
        return why;
    }
    struct kaio_buffer_place *place = kaio_table_take(&kaio_buffers);
    if (place != NULL) {
        struct kaio_buffer_place *share = share_of(bits);
        atomic_fetch_add_explicit(&share->view_count, 1, memory_order_relaxed);
        *out_view = publish(place, share, kaio_memory_of(bits));
    }
    kaio_call_end();
    return place != NULL ? kaio_status_ok() : kaio_status_make(KAIO_NO_MEMORY, KAIO_SUBJECT_VIEW);
}

// end_view ends a view of the calling thread. When it was the last one the frozen buffer is held by
// the calling thread again, and its handle returned; else 0.
static uintptr_t end_view(uintptr_t bits) {
    struct kaio_buffer_place *share = share_of(bits);
    give_back(place_of(bits));
    if (atomic_fetch_sub_explicit(&share->view_count, 1, memory_order_acq_rel) > 1) {
        return 0;
    }
    uintptr_t origin = atomic_load_explicit(&share->origin, memory_order_relaxed);
    give_back(share);
    kaio_memory_unpin(origin, kaio_thread_number());
    return origin;
}

void kaio_view_release(uintptr_t bits) {
    uintptr_t origin = end_view(bits);
    if (origin != 0) {
        kaio_memory_drop(origin);
    }
}

kaio_status kaio_view_thaw(kaio_view **move_view, kaio_buffer **out_buffer) {
    if (move_view == NULL || out_buffer == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT,
                                move_view == NULL ? KAIO_SUBJECT_VIEW : KAIO_SUBJECT_OUTPUT);
    }
    uintptr_t bits = (uintptr_t)*move_view;
    kaio_status why;
    if (!own(bits, true, &why)) {
        return why;
    }
    // Only who has a view makes more of them: one that is alone stays so.
    uint32_t count = atomic_load_explicit(&share_of(bits)->view_count, memory_order_acquire);
    uintptr_t origin = count > 1 ? 0 : end_view(bits);
    kaio_call_end();
    if (origin == 0) {
        return kaio_status_pair(KAIO_BUSY, KAIO_SUBJECT_VIEW, count - 1, 0);
    }
    *move_view = NULL;
    *out_buffer = (kaio_buffer *)origin;
    return kaio_status_ok();
}

const uint8_t *kaio_view_as_bytes(const kaio_view *view) {
    kaio_process_check();
    uintptr_t bits = (uintptr_t)view;
    bool is_view = kaio_bits_kind(bits) == KAIO_KIND_VIEW;
    return is_view && kaio_memory_is_alive(bits) ? kaio_memory_of(bits).bytes : NULL;
}

size_t kaio_view_size(const kaio_view *view) {
    kaio_process_check();
    uintptr_t bits = (uintptr_t)view;
    bool is_view = kaio_bits_kind(bits) == KAIO_KIND_VIEW;
    return is_view && kaio_memory_is_alive(bits) ? kaio_memory_of(bits).size_bytes : 0;
}

kaio_status kaio_view_detach(kaio_view *view) {
    return kaio_memory_detach((uintptr_t)view, true);
}

void kaio_view_drop(kaio_view **move_view) {
    kaio_process_check();
    if (move_view == NULL) {
        return;
    }
    uintptr_t bits = (uintptr_t)*move_view;
    *move_view = NULL;
    kaio_memory_collect();
    if (kaio_bits_kind(bits) == KAIO_KIND_VIEW) {
        kaio_memory_drop(bits);
    }
}
