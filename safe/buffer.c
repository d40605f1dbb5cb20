#define _POSIX_C_SOURCE 200809L  // posix_memalign

#include "kaio/safe/buffer.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "buffer_pin.h"
#include "table.h"
#include "thread.h"

// From <sanitizer/lsan_interface.h>, where the program is built with a leak checker.
void __lsan_ignore_object(const void *object) __attribute__((weak));

struct kaio_table kaio_buffers = KAIO_TABLE_INITIALIZER(struct kaio_buffer_place);

static _Thread_local bool has_bound;

static struct kaio_buffer_place *buffer_at(uint32_t index) {
    return kaio_table_at(&kaio_buffers, index, sizeof(struct kaio_buffer_place));
}

static uint32_t word_thread(uintptr_t word) {
    return kaio_bits_index(word);
}

// living returns the place of `bits` and its word when the handle is good in any state, or NULL.
static struct kaio_buffer_place *living(uintptr_t bits, uintptr_t *out_word) {
    struct kaio_buffer_place *buffer = buffer_at(kaio_bits_index(bits));
    if (buffer == NULL || kaio_bits_kind(bits) != KAIO_KIND_BUFFER) {
        return NULL;
    }
    uintptr_t word = atomic_load_explicit(&buffer->place.word, memory_order_acquire);
    bool is_alive =
        kaio_word_state(word) == KAIO_BUFFER_HELD || kaio_word_state(word) == KAIO_BUFFER_PINNED;
    if (!is_alive || kaio_bits_life(word) != kaio_bits_life(bits)) {
        return NULL;
    }
    *out_word = word;
    return buffer;
}

// release ends a held buffer that is bound to the calling thread.
static void release(struct kaio_buffer_place *buffer, uintptr_t word) {
    uint8_t *bytes = atomic_load_explicit(&buffer->bytes, memory_order_relaxed);
    atomic_store_explicit(&buffer->bytes, NULL, memory_order_relaxed);
    kaio_table_give_back(&kaio_buffers, &buffer->place, word);
    free(bytes);
}

static bool is_posted(const struct kaio_buffer_place *buffer, uintptr_t word) {
    return atomic_load(&buffer->posted_life) == kaio_bits_life(word);
}

static void drop(uintptr_t bits);

static uintptr_t bits_of(const struct kaio_buffer_place *buffer, uintptr_t word) {
    return kaio_bits_make(kaio_bits_life(word), buffer->place.index, KAIO_KIND_BUFFER);
}

// unbind makes a held buffer of a thread that ends anybody's. Who posts it meanwhile looks at the
// word afterwards, and this looks at the post afterwards: one of the two drops it.
static void unbind(struct kaio_buffer_place *buffer, uintptr_t word) {
    atomic_store(&buffer->place.word, kaio_buffer_word(kaio_bits_life(word), 0, KAIO_BUFFER_HELD));
    if (is_posted(buffer, word)) {
        drop(bits_of(buffer, word));
    }
}

// unbind_all is called in a thread that ends.
static void unbind_all(uint32_t thread) {
    if (!has_bound) {
        return;
    }
    uint32_t end = kaio_table_end(&kaio_buffers);
    for (uint32_t index = 1; index < end; ++index) {
        struct kaio_buffer_place *buffer = buffer_at(index);
        assert(buffer != NULL);
        uintptr_t word = atomic_load_explicit(&buffer->place.word, memory_order_relaxed);
        if (word_thread(word) == thread && kaio_word_state(word) == KAIO_BUFFER_HELD) {
            unbind(buffer, word);
        }
    }
    has_bound = false;
}

void kaio_buffer_will_bind(void) {
    kaio_thread_at_exit(unbind_all);
    has_bound = true;
}

bool kaio_buffer_bind(struct kaio_buffer_place *buffer, const kaio_buffer *handle, uint32_t thread,
                      uint32_t state) {
    if (thread == KAIO_NO_THREAD) {
        return false;
    }
    kaio_buffer_will_bind();
    uintptr_t life = kaio_bits_life((uintptr_t)handle);
    uintptr_t unbound = kaio_buffer_word(life, 0, KAIO_BUFFER_HELD);
    return atomic_compare_exchange_strong_explicit(&buffer->place.word, &unbound,
                                                   kaio_buffer_word(life, thread, state),
                                                   memory_order_acq_rel, memory_order_acquire);
}

struct kaio_buffer_place *kaio_buffer_look(uintptr_t bits, uint32_t thread, kaio_status *out_why) {
    uintptr_t word = 0;
    struct kaio_buffer_place *buffer = living(bits, &word);
    if (buffer == NULL) {
        *out_why = kaio_table_stale(&kaio_buffers, bits, KAIO_KIND_BUFFER, KAIO_SUBJECT_BUFFER);
        return NULL;
    }
    bool is_held = kaio_word_state(word) == KAIO_BUFFER_HELD;
    if (is_held && (word_thread(word) == 0 || word_thread(word) == thread)) {
        return buffer;
    }
    *out_why = kaio_status_make(is_held ? KAIO_WRONG_THREAD : KAIO_BUSY, KAIO_SUBJECT_BUFFER);
    return NULL;
}

void kaio_buffer_leak(struct kaio_buffer_place *buffer) {
    if (__lsan_ignore_object != NULL) {
        __lsan_ignore_object(atomic_load_explicit(&buffer->bytes, memory_order_relaxed));
    }
}

// post leaves a dropped buffer for the thread that it is bound to.
static void post(struct kaio_buffer_place *buffer, uintptr_t word) {
    atomic_store(&buffer->posted_life, kaio_bits_life(word));
    struct kaio_thread *thread = kaio_thread_at(word_thread(word));
    if (thread != NULL) {
        atomic_store(&thread->has_post, 1);
    }
}

// drop releases the buffer of `bits` when it is held: now, or through the thread it is bound to.
static void drop(uintptr_t bits) {
    uint32_t self = kaio_thread_number();
    uint32_t asked = 0;  // the thread that was left a post
    uintptr_t word;
    struct kaio_buffer_place *buffer;
    while ((buffer = living(bits, &word)) != NULL && kaio_word_state(word) == KAIO_BUFFER_HELD) {
        uint32_t thread = word_thread(word);
        if (thread == self) {
            release(buffer, word);
            return;
        }
        if ((thread == 0 && self == KAIO_NO_THREAD) || (thread != 0 && thread == asked)) {
            return;
        }
        if (thread != 0) {
            post(buffer, word);
            asked = thread;  // and look again: that thread may have ended in between
        } else {
            (void)kaio_buffer_bind(buffer, (const kaio_buffer *)bits, self, KAIO_BUFFER_HELD);
        }
    }
}

void kaio_buffer_collect(void) {
    uint32_t self = kaio_thread_number();
    struct kaio_thread *thread = self == KAIO_NO_THREAD ? NULL : kaio_thread_at(self);
    if (thread == NULL || atomic_load_explicit(&thread->has_post, memory_order_relaxed) == 0) {
        return;
    }
    atomic_store(&thread->has_post, 0);
    uint32_t end = kaio_table_end(&kaio_buffers);
    for (uint32_t index = 1; index < end; ++index) {
        struct kaio_buffer_place *buffer = buffer_at(index);
        assert(buffer != NULL);
        uintptr_t word = atomic_load(&buffer->place.word);
        if (word_thread(word) == self && kaio_word_state(word) == KAIO_BUFFER_HELD &&
            is_posted(buffer, word)) {
            release(buffer, word);
        }
    }
}

static bool is_power_of_two(size_t n) {
    return n != 0 && (n & (n - 1)) == 0;
}

static kaio_status check_new(size_t size_bytes, size_t align_bytes) {
    if (size_bytes == 0 || size_bytes > KAIO_BUFFER_SIZE_MAX_BYTES) {
        return kaio_status_pair(KAIO_RANGE, KAIO_SUBJECT_SIZE, size_bytes,
                                KAIO_BUFFER_SIZE_MAX_BYTES);
    }
    if (!is_power_of_two(align_bytes) || align_bytes > KAIO_BUFFER_ALIGN_MAX_BYTES) {
        return kaio_status_pair(KAIO_RANGE, KAIO_SUBJECT_ALIGNMENT, align_bytes,
                                KAIO_BUFFER_ALIGN_MAX_BYTES);
    }
    return kaio_status_ok();
}

// allocate returns `size_bytes` zeroed bytes that end no cache line with somebody else's.
static uint8_t *allocate(size_t size_bytes, size_t align_bytes) {
    size_t least_bytes = align_bytes < sizeof(void *) ? sizeof(void *) : align_bytes;
    if (size_bytes > SIZE_MAX - least_bytes) {
        return NULL;
    }
    void *bytes;
    int saved_errno = errno;
    int error = posix_memalign(&bytes, least_bytes, size_bytes);
    errno = saved_errno;
    if (error != 0) {
        return NULL;
    }
    memset(bytes, 0, size_bytes);
    return bytes;
}

kaio_status kaio_buffer_new(size_t size_bytes, size_t align_bytes, kaio_buffer **out_buffer) {
    kaio_process_check();
    if (out_buffer == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OUTPUT);
    }
    kaio_status status = check_new(size_bytes, align_bytes);
    if (!kaio_status_is_ok(status)) {
        return status;
    }
    kaio_buffer_collect();
    uint8_t *bytes = allocate(size_bytes, align_bytes);
    struct kaio_buffer_place *buffer = bytes == NULL ? NULL : kaio_table_take(&kaio_buffers);
    if (buffer == NULL) {
        free(bytes);
        return kaio_status_make(KAIO_NO_MEMORY, KAIO_SUBJECT_BUFFER);
    }
    atomic_store_explicit(&buffer->bytes, bytes, memory_order_relaxed);
    atomic_store_explicit(&buffer->size_bytes, size_bytes, memory_order_relaxed);
    uintptr_t life =
        kaio_bits_life(atomic_load_explicit(&buffer->place.word, memory_order_relaxed));
    atomic_store_explicit(&buffer->place.word, kaio_buffer_word(life, 0, KAIO_BUFFER_HELD),
                          memory_order_release);
    *out_buffer = (kaio_buffer *)kaio_bits_make(life, buffer->place.index, KAIO_KIND_BUFFER);
    return kaio_status_ok();
}

uint8_t *kaio_buffer_as_bytes(const kaio_buffer *buffer) {
    kaio_process_check();
    uintptr_t word;
    struct kaio_buffer_place *found = living((uintptr_t)buffer, &word);
    return found != NULL && kaio_word_state(word) == KAIO_BUFFER_HELD
               ? atomic_load_explicit(&found->bytes, memory_order_relaxed)
               : NULL;
}

size_t kaio_buffer_size(const kaio_buffer *buffer) {
    kaio_process_check();
    uintptr_t word;
    struct kaio_buffer_place *found = living((uintptr_t)buffer, &word);
    return found != NULL ? atomic_load_explicit(&found->size_bytes, memory_order_relaxed) : 0;
}

kaio_status kaio_buffer_detach(kaio_buffer *buffer) {
    kaio_process_check();
    kaio_status why;
    uint32_t self = kaio_thread_number();
    struct kaio_buffer_place *found = kaio_buffer_find(buffer, self, &why);
    if (found == NULL) {
        return why;
    }
    uintptr_t life = kaio_bits_life((uintptr_t)buffer);
    if (atomic_load_explicit(&found->place.word, memory_order_relaxed) ==
        kaio_buffer_word(life, self, KAIO_BUFFER_HELD)) {
        atomic_store_explicit(&found->place.word, kaio_buffer_word(life, 0, KAIO_BUFFER_HELD),
                              memory_order_release);
    }
    return kaio_status_ok();
}

void kaio_buffer_drop(kaio_buffer **move_buffer) {
    kaio_process_check();
    if (move_buffer == NULL) {
        return;
    }
    kaio_buffer *buffer = *move_buffer;
    *move_buffer = NULL;
    kaio_buffer_collect();
    drop((uintptr_t)buffer);
}
