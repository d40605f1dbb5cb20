#define _POSIX_C_SOURCE 200809L  // posix_memalign

#include "kaio/safe/buffer.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"

static kaio_status check_new(size_t size_bytes, size_t align_bytes) {
    if (size_bytes == 0 || size_bytes > KAIO_BUFFER_SIZE_MAX_BYTES) {
        return kaio_status_pair(KAIO_RANGE, KAIO_SUBJECT_SIZE, size_bytes,
                                KAIO_BUFFER_SIZE_MAX_BYTES);
    }
    if (!kaio_is_power_of_two(align_bytes) || align_bytes > KAIO_BUFFER_ALIGN_MAX_BYTES) {
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

// publish gives a place to `bytes`. NULL: there is no memory for one.
static kaio_buffer *publish(uint8_t *bytes, size_t size_bytes, kaio_release_handler *on_release,
                            void *context) {
    struct kaio_buffer_place *buffer = kaio_table_take(&kaio_buffers);
    if (buffer == NULL) {
        return NULL;
    }
    atomic_store_explicit(&buffer->bytes, bytes, memory_order_relaxed);
    atomic_store_explicit(&buffer->size_bytes, size_bytes, memory_order_relaxed);
    buffer->on_release = on_release;
    buffer->context = context;
    uintptr_t life =
        kaio_bits_life(atomic_load_explicit(&buffer->place.word, memory_order_relaxed));
    atomic_store_explicit(&buffer->place.word, kaio_memory_make_word(life, 0, KAIO_MEMORY_HELD),
                          memory_order_release);
    return (kaio_buffer *)kaio_bits_make(life, buffer->place.index, KAIO_KIND_BUFFER);
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
    kaio_memory_collect();
    uint8_t *bytes = allocate(size_bytes, align_bytes);
    kaio_buffer *buffer = bytes == NULL ? NULL : publish(bytes, size_bytes, NULL, NULL);
    if (buffer == NULL) {
        free(bytes);
        return kaio_status_make(KAIO_NO_MEMORY, KAIO_SUBJECT_BUFFER);
    }
    *out_buffer = buffer;
    return kaio_status_ok();
}

static void release_nothing(void *context, void *bytes, size_t size_bytes) {
    (void)context;
    (void)bytes;
    (void)size_bytes;
}

kaio_status kaio_buffer_adopt(void *bytes, size_t size_bytes, kaio_release_handler *on_release,
                              void *context, kaio_buffer **out_buffer) {
    kaio_process_check();
    if (bytes == NULL || out_buffer == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT,
                                bytes == NULL ? KAIO_SUBJECT_MEMORY : KAIO_SUBJECT_OUTPUT);
    }
    if (size_bytes == 0 || size_bytes > KAIO_BUFFER_SIZE_MAX_BYTES ||
        size_bytes > UINTPTR_MAX - (uintptr_t)bytes) {
        return kaio_status_pair(KAIO_RANGE, KAIO_SUBJECT_SIZE, size_bytes,
                                KAIO_BUFFER_SIZE_MAX_BYTES);
    }
    kaio_memory_collect();
    kaio_buffer *buffer =
        publish(bytes, size_bytes, on_release != NULL ? on_release : release_nothing, context);
    if (buffer == NULL) {
        return kaio_status_make(KAIO_NO_MEMORY, KAIO_SUBJECT_BUFFER);
    }
    *out_buffer = buffer;
    return kaio_status_ok();
}

uint8_t *kaio_buffer_as_bytes(const kaio_buffer *buffer) {
    kaio_process_check();
    uintptr_t bits = (uintptr_t)buffer;
    bool is_buffer = kaio_bits_kind(bits) != KAIO_KIND_VIEW;
    return is_buffer && kaio_memory_is(bits, KAIO_MEMORY_HELD) ? kaio_memory_of(bits).bytes : NULL;
}

size_t kaio_buffer_size(const kaio_buffer *buffer) {
    kaio_process_check();
    uintptr_t bits = (uintptr_t)buffer;
    bool is_buffer = kaio_bits_kind(bits) != KAIO_KIND_VIEW;
    return is_buffer && kaio_memory_is_alive(bits) ? kaio_memory_of(bits).size_bytes : 0;
}

kaio_status kaio_buffer_detach(kaio_buffer *buffer) {
    return kaio_memory_detach((uintptr_t)buffer, false);
}

void kaio_buffer_drop(kaio_buffer **move_buffer) {
    kaio_process_check();
    if (move_buffer == NULL) {
        return;
    }
    uintptr_t bits = (uintptr_t)*move_buffer;
    *move_buffer = NULL;
    kaio_memory_collect();
    if (kaio_bits_kind(bits) != KAIO_KIND_VIEW) {
        kaio_memory_drop(bits);
    }
}
