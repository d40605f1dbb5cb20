#define _GNU_SOURCE  // madvise, MAP_ANONYMOUS

#include "kaio/safe/pool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "checker.h"
#include "frames.h"
#include "memory.h"

enum { DEFAULT_ALIGN_BYTES = 4096, HUGE_BYTES = 2 * 1024 * 1024 };

// ---- the free frames ----

// A top is a frame's number + 1 below a count of changes, so that one that came back is not taken
// for one that never left.
static uint64_t make_top(uint64_t old_top, uint32_t link) {
    return ((old_top >> 32) + 1) << 32 | link;
}

// swap_top makes `new_top` the top if it is `*top`, which it makes what there is otherwise. Where a
// processor cannot change 64 bits at once, that takes a lock: libatomic is no part of libc.
#if ATOMIC_LLONG_LOCK_FREE == 2
static uint64_t load_top(struct kaio_region_place *pool) {
    return atomic_load_explicit(&pool->free_top, memory_order_acquire);
}

static bool swap_top(struct kaio_region_place *pool, uint64_t *top, uint64_t new_top) {
    return atomic_compare_exchange_weak_explicit(&pool->free_top, top, new_top,
                                                 memory_order_acq_rel, memory_order_acquire);
}
#else
static uint64_t load_top(struct kaio_region_place *pool) {
    kaio_lock(&kaio_regions.kind_lock);
    uint64_t top = pool->free_top;
    kaio_unlock(&kaio_regions.kind_lock);
    return top;
}

static bool swap_top(struct kaio_region_place *pool, uint64_t *top, uint64_t new_top) {
    kaio_lock(&kaio_regions.kind_lock);
    bool is_same = pool->free_top == *top;
    *top = pool->free_top;
    pool->free_top = is_same ? new_top : *top;
    kaio_unlock(&kaio_regions.kind_lock);
    return is_same;
}
#endif

void kaio_pool_push(struct kaio_region_place *pool, uint32_t number) {
    uint64_t top = load_top(pool);
    do {
        atomic_store_explicit(&pool->next[number], (uint32_t)top, memory_order_relaxed);
    } while (!swap_top(pool, &top, make_top(top, number + 1)));
}

bool kaio_pool_pop(struct kaio_region_place *pool, uint32_t *out_number) {
    uint64_t top = load_top(pool);
    uint32_t below;
    do {
        if ((uint32_t)top == 0) {
            return false;
        }
        below = atomic_load_explicit(&pool->next[(uint32_t)top - 1], memory_order_relaxed);
    } while (!swap_top(pool, &top, make_top(top, below)));
    *out_number = (uint32_t)top - 1;
    return true;
}

// ---- the memory ----

static size_t round_up(size_t size_bytes, size_t align_bytes) {
    return (size_bytes + align_bytes - 1) & ~(align_bytes - 1);
}

// A piece is one mapping, and the part of it that is used.
struct piece {
    uint8_t *bytes;
    size_t size_bytes;
    void *mapping;
    size_t mapping_bytes;
};

// map gets `size_bytes` at a multiple of `align_bytes`, which children do not get. NULL: no memory.
static bool map(size_t size_bytes, size_t align_bytes, struct piece *out_piece) {
    size_t mapping_bytes = size_bytes + align_bytes;
    void *mapping =
        mmap(NULL, mapping_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping == MAP_FAILED) {
        return false;
    }
    uint8_t *first = mapping;
    *out_piece = (struct piece){.bytes = first + (-(uintptr_t)mapping & (align_bytes - 1)),
                                .size_bytes = size_bytes,
                                .mapping = mapping,
                                .mapping_bytes = mapping_bytes};
    if (madvise(mapping, mapping_bytes, MADV_DONTFORK) != 0) {
        (void)munmap(mapping, mapping_bytes);
        return false;
    }
    return true;
}

// prepare asks for what the options want of a piece. Returns 0 or an errno.
static int prepare(const struct piece *piece, const kaio_pool_options *options) {
    if (options->huge_pages && madvise(piece->bytes, piece->size_bytes, MADV_HUGEPAGE) == 0) {
        memset(piece->bytes, 0, piece->size_bytes);  // a page comes when it is touched first
    }
    return options->locked && mlock(piece->bytes, piece->size_bytes) != 0 ? errno : 0;
}

// heads_mapping tells whether `line` heads a mapping ("first-end perms ...") that has a part of
// bytes[0..size_bytes), in `*out_overlaps`. False: it heads none.
static bool heads_mapping(const char *line, const uint8_t *bytes, size_t size_bytes,
                          bool *out_overlaps) {
    char *end;
    unsigned long long first = strtoull(line, &end, 16);
    if (end == line || *end != '-') {
        return false;
    }
    unsigned long long last = strtoull(end + 1, NULL, 16);
    *out_overlaps = first < (uintptr_t)bytes + size_bytes && last > (uintptr_t)bytes;
    return true;
}

// huge_bytes_of asks the kernel how much of the mapping at `bytes` is in huge pages.
static size_t huge_bytes_of(const uint8_t *bytes, size_t size_bytes) {
    static const char name[] = "AnonHugePages:";
    FILE *file = fopen("/proc/self/smaps", "re");
    unsigned long long huge_kib = 0;
    bool is_inside = false;
    char line[256];
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        bool is_head = heads_mapping(line, bytes, size_bytes, &is_inside);
        if (!is_head && is_inside && strncmp(line, name, sizeof name - 1) == 0) {
            huge_kib += strtoull(line + sizeof name - 1, NULL, 10);
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    size_t huge_bytes = (size_t)huge_kib * 1024;
    return huge_bytes < size_bytes ? huge_bytes : size_bytes;
}

void kaio_pool_unmap(struct kaio_region_place *pool) {
    int saved_errno = errno;
    if (kaio_is_watched()) {  // the addresses may be somebody else's soon
        kaio_checker_allow(pool->mapping, pool->mapping_bytes);
    }
    (void)munmap(pool->mapping, pool->mapping_bytes);
    free(pool->next);
    pool->next = NULL;
    errno = saved_errno;
}

// ---- open ----

// A plan is the options with their defaults, and what follows from them.
struct plan {
    size_t buffer_bytes;
    size_t align_bytes;
    size_t all_bytes;
};

static kaio_status make_plan(const kaio_pool_options *options, struct plan *out_plan) {
    size_t align_bytes = options->align_bytes == 0 ? DEFAULT_ALIGN_BYTES : options->align_bytes;
    if (!kaio_is_power_of_two(align_bytes) || align_bytes > KAIO_BUFFER_ALIGN_MAX_BYTES) {
        return kaio_status_pair(KAIO_RANGE, KAIO_SUBJECT_ALIGNMENT, align_bytes,
                                KAIO_BUFFER_ALIGN_MAX_BYTES);
    }
    size_t max_bytes = KAIO_BUFFER_SIZE_MAX_BYTES & ~(align_bytes - 1);
    if (options->buffer_bytes == 0 || options->buffer_bytes > max_bytes) {
        return kaio_status_pair(KAIO_RANGE, KAIO_SUBJECT_SIZE, options->buffer_bytes, max_bytes);
    }
    size_t buffer_bytes = round_up(options->buffer_bytes, align_bytes);
    size_t max_count = (SIZE_MAX - 2 * KAIO_BUFFER_ALIGN_MAX_BYTES) / buffer_bytes;
    if (options->buffer_count == 0 || options->buffer_count > max_count) {
        return kaio_status_pair(KAIO_RANGE, KAIO_SUBJECT_FRAMES, options->buffer_count, max_count);
    }
    if (options->buffer_count > KAIO_FRAME_COUNT_MAX) {
        return kaio_status_pair(KAIO_LIMIT, KAIO_SUBJECT_FRAMES, options->buffer_count,
                                KAIO_FRAME_COUNT_MAX);
    }
    size_t all_bytes = buffer_bytes * options->buffer_count;
    size_t huge_bytes = options->huge_pages ? HUGE_BYTES : 1;
    *out_plan = (struct plan){.buffer_bytes = buffer_bytes,
                              .align_bytes = align_bytes > huge_bytes ? align_bytes : huge_bytes,
                              .all_bytes = round_up(all_bytes, huge_bytes)};
    return kaio_status_ok();
}

// fill puts every frame among the free ones, the first on top.
static void fill(struct kaio_region_place *pool, uint32_t count) {
    pool->free_top = 0;
    for (uint32_t i = count; i-- > 0;) {
        kaio_pool_push(pool, i);
    }
}

// open_on makes a pool of a mapped piece. What fails leaves the piece.
static kaio_status open_on(const struct piece *piece, const struct plan *plan, uint32_t count,
                           bool is_locked, kaio_pool **out_pool) {
    _Atomic uint32_t *next = calloc(count, sizeof *next);
    if (next == NULL) {
        return kaio_status_make(KAIO_NO_MEMORY, KAIO_SUBJECT_POOL);
    }
    struct kaio_region_place *pool;
    kaio_status status =
        kaio_region_make(KAIO_KIND_POOL, piece->bytes, plan->buffer_bytes, count, &pool);
    if (!kaio_status_is_ok(status)) {
        free(next);
        return status;
    }
    pool->on_release = NULL;
    pool->next = next;
    pool->mapping = piece->mapping;
    pool->mapping_bytes = piece->mapping_bytes;
    pool->locked_bytes = is_locked ? piece->size_bytes : 0;
    fill(pool, count);
    if (kaio_is_watched()) {
        kaio_checker_forbid(piece->bytes, piece->size_bytes);
    }
    *out_pool = (kaio_pool *)kaio_region_open(pool);
    return status;
}

static kaio_status open_pool(const kaio_pool_options *options, kaio_pool **out_pool) {
    struct plan plan;
    kaio_status status = make_plan(options, &plan);
    if (!kaio_status_is_ok(status)) {
        return status;
    }
    struct piece piece;
    if (!map(plan.all_bytes, plan.align_bytes, &piece)) {
        return kaio_status_make(KAIO_NO_MEMORY, KAIO_SUBJECT_POOL);
    }
    int error = prepare(&piece, options);
    status = error != 0 ? kaio_status_os(KAIO_SUBJECT_POOL, error)
                        : open_on(&piece, &plan, options->buffer_count, options->locked, out_pool);
    if (!kaio_status_is_ok(status)) {
        (void)munmap(piece.mapping, piece.mapping_bytes);
    }
    return status;
}

kaio_status kaio_pool_open(const kaio_pool_options *options, kaio_pool **out_pool) {
    kaio_process_check();
    if (options == NULL || out_pool == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT,
                                options == NULL ? KAIO_SUBJECT_OPTIONS : KAIO_SUBJECT_OUTPUT);
    }
    int saved_errno = errno;
    kaio_status status = open_pool(options, out_pool);
    errno = saved_errno;
    return status;
}

// ---- use ----

// take takes the free frame on top of a pool entered to take one: its bits in `*out_bits`, 0
// without one.
static kaio_status take(struct kaio_region_place *pool, uintptr_t *out_bits) {
    *out_bits = 0;
    uint32_t number;
    if (kaio_thread_number() == KAIO_NO_THREAD) {
        return kaio_status_make(KAIO_NO_MEMORY, KAIO_SUBJECT_BUFFER);
    }
    if (!kaio_pool_pop(pool, &number)) {
        kaio_status status = kaio_status_make(KAIO_FULL, KAIO_SUBJECT_POOL);
        status.detail = atomic_load_explicit(&pool->frame_count, memory_order_relaxed);
        return status;
    }
    *out_bits = kaio_frame_take(pool, number);
    if (kaio_is_watched()) {
        struct kaio_memory memory = kaio_memory_of(*out_bits);
        kaio_checker_allow(memory.bytes, memory.size_bytes);
    }
    return kaio_status_ok();
}

kaio_status kaio_pool_take(kaio_pool *pool, kaio_buffer **out_buffer) {
    if (out_buffer == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OUTPUT);
    }
    kaio_memory_collect();
    kaio_status status;
    struct kaio_region_place *place =
        kaio_region_enter((uintptr_t)pool, KAIO_KIND_POOL, KAIO_VISIT_TAKES, &status);
    if (place == NULL) {
        return status;
    }
    uintptr_t bits;
    status = take(place, &bits);
    if (bits != 0) {
        *out_buffer = (kaio_buffer *)bits;
    }
    kaio_region_leave_with(place, bits);
    return status;
}

kaio_status kaio_pool_count(kaio_pool *pool, kaio_pool_counts *out_counts) {
    if (out_counts == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OUTPUT);
    }
    kaio_status why;
    struct kaio_region_place *place =
        kaio_region_enter((uintptr_t)pool, KAIO_KIND_POOL, KAIO_VISIT_LOOKS, &why);
    if (place == NULL) {
        return why;
    }
    int saved_errno = errno;
    *out_counts = (kaio_pool_counts){
        .buffer_count = atomic_load_explicit(&place->frame_count, memory_order_relaxed),
        .out_count = kaio_region_out_count(place),
        .buffer_bytes = atomic_load_explicit(&place->frame_bytes, memory_order_relaxed),
        .mapped_bytes = place->mapping_bytes,
        .huge_bytes = huge_bytes_of(place->mapping, place->mapping_bytes),
        .locked_bytes = place->locked_bytes};
    errno = saved_errno;
    kaio_region_leave(place, KAIO_VISIT_LOOKS);
    return kaio_status_ok();
}

kaio_status kaio_pool_close(kaio_pool **move_pool) {
    if (move_pool == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_POOL);
    }
    kaio_memory_collect();
    uintptr_t bits = (uintptr_t)*move_pool;
    kaio_status status = kaio_region_end_begin(bits, KAIO_KIND_POOL);
    if (kaio_status_is_ok(status)) {
        *move_pool = NULL;
        kaio_region_end_finish(bits);
    }
    return status;
}

void kaio_pool_drop(kaio_pool **move_pool) {
    if (move_pool == NULL) {
        return;
    }
    uintptr_t bits = (uintptr_t)*move_pool;
    *move_pool = NULL;
    kaio_memory_collect();
    kaio_region_give_up(bits, KAIO_KIND_POOL);
}
