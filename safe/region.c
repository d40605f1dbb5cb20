#include "kaio/safe/region.h"

#include "frames.h"
#include "memory.h"

static kaio_status check(const void *bytes, size_t frame_bytes, uint32_t frame_count,
                         const void *output) {
    if (bytes == NULL || output == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT,
                                bytes == NULL ? KAIO_SUBJECT_MEMORY : KAIO_SUBJECT_OUTPUT);
    }
    if (frame_bytes == 0 || frame_bytes > KAIO_BUFFER_SIZE_MAX_BYTES) {
        return kaio_status_pair(KAIO_RANGE, KAIO_SUBJECT_SIZE, frame_bytes,
                                KAIO_BUFFER_SIZE_MAX_BYTES);
    }
    size_t room_bytes = UINTPTR_MAX - (uintptr_t)bytes;
    if (frame_count == 0 || frame_count > room_bytes / frame_bytes) {
        return kaio_status_pair(KAIO_RANGE, KAIO_SUBJECT_FRAMES, frame_count,
                                room_bytes / frame_bytes);
    }
    return kaio_status_ok();
}

kaio_status kaio_region_adopt(void *bytes, size_t frame_bytes, uint32_t frame_count,
                              kaio_release_handler *on_release, void *context,
                              kaio_region **out_region) {
    kaio_process_check();
    kaio_status status = check(bytes, frame_bytes, frame_count, out_region);
    if (!kaio_status_is_ok(status)) {
        return status;
    }
    struct kaio_region_place *region;
    status = kaio_region_make(KAIO_KIND_REGION, bytes, frame_bytes, frame_count, &region);
    if (kaio_status_is_ok(status)) {
        region->on_release = on_release;
        region->context = context;
        *out_region = (kaio_region *)kaio_region_open(region);
    }
    return status;
}

// take takes a frame of a region entered to take one: its bits in `*out_bits`, 0 without one.
static kaio_status take(struct kaio_region_place *region, uint32_t frame_number,
                        uintptr_t *out_bits) {
    *out_bits = 0;
    uint32_t frame_count = atomic_load_explicit(&region->frame_count, memory_order_relaxed);
    if (frame_number >= frame_count) {
        return kaio_status_pair(KAIO_RANGE, KAIO_SUBJECT_FRAMES, frame_number, frame_count);
    }
    if (kaio_thread_number() == KAIO_NO_THREAD) {
        return kaio_status_make(KAIO_NO_MEMORY, KAIO_SUBJECT_BUFFER);
    }
    *out_bits = kaio_frame_take(region, frame_number);
    return *out_bits == 0 ? kaio_status_make(KAIO_BUSY, KAIO_SUBJECT_BUFFER) : kaio_status_ok();
}

kaio_status kaio_region_take(kaio_region *region, uint32_t frame_number, kaio_buffer **out_buffer) {
    if (out_buffer == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OUTPUT);
    }
    kaio_memory_collect();
    kaio_status status;
    struct kaio_region_place *place =
        kaio_region_enter((uintptr_t)region, KAIO_KIND_REGION, KAIO_VISIT_TAKES, &status);
    if (place == NULL) {
        return status;
    }
    uintptr_t bits;
    status = take(place, frame_number, &bits);
    if (bits != 0) {
        *out_buffer = (kaio_buffer *)bits;
    }
    kaio_region_leave_with(place, bits);
    return status;
}

kaio_status kaio_region_count(kaio_region *region, kaio_region_counts *out_counts) {
    if (out_counts == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OUTPUT);
    }
    kaio_status why;
    struct kaio_region_place *place =
        kaio_region_enter((uintptr_t)region, KAIO_KIND_REGION, KAIO_VISIT_LOOKS, &why);
    if (place == NULL) {
        return why;
    }
    *out_counts = (kaio_region_counts){
        .frame_count = atomic_load_explicit(&place->frame_count, memory_order_relaxed),
        .out_count = kaio_region_out_count(place)};
    kaio_region_leave(place, KAIO_VISIT_LOOKS);
    return kaio_status_ok();
}

kaio_status kaio_region_close(kaio_region **move_region) {
    if (move_region == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_REGION);
    }
    kaio_memory_collect();
    uintptr_t bits = (uintptr_t)*move_region;
    kaio_status status = kaio_region_end_begin(bits, KAIO_KIND_REGION);
    if (kaio_status_is_ok(status)) {
        *move_region = NULL;  // first: the hook may reuse the variable
        kaio_region_end_finish(bits);
    }
    return status;
}

void kaio_region_drop(kaio_region **move_region) {
    if (move_region == NULL) {
        return;
    }
    uintptr_t bits = (uintptr_t)*move_region;
    *move_region = NULL;
    kaio_memory_collect();
    kaio_region_give_up(bits, KAIO_KIND_REGION);
}
