#define _GNU_SOURCE  // MAP_ANONYMOUS, MAP_NORESERVE

#include "slots.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/mman.h>

// Slots are mapped in groups of whole chunks; chunk i of the directory holds the indices from
// i << KAIO_CHUNK_BITS. A free run keeps its length and the next run in its first slot: `user` and
// `next`, which a free slot does not use. All of it is guarded by kaio_queues.kind_lock.

static _Atomic(struct kaio_slot *) chunks[KAIO_CHUNK_COUNT];
static uint32_t made_chunk_count;
static uint32_t first_free_run = KAIO_NO_SLOT;  // in the order of the indices

struct kaio_slot *kaio_slot_at(uint32_t index) {
    struct kaio_slot *chunk =
        atomic_load_explicit(&chunks[index >> KAIO_CHUNK_BITS], memory_order_acquire);
    return chunk == NULL ? NULL : chunk + (index & (KAIO_CHUNK_PLACES - 1));
}

// made returns the slot `index` of a chunk that was made.
static struct kaio_slot *made(uint32_t index) {
    struct kaio_slot *slot = kaio_slot_at(index);
    assert(slot != NULL);
    return slot;
}

static uint32_t run_count(const struct kaio_slot *first) {
    return (uint32_t)first->user;
}

// follows tells whether `second` begins where the run at `first` ends, in index and in memory.
static bool follows(uint32_t first, uint32_t second) {
    const struct kaio_slot *slot = made(first);
    return first + run_count(slot) == second && slot + run_count(slot) == made(second);
}

// insert puts a run among the free ones and joins it with its neighbours.
static void insert(uint32_t index, uint32_t count) {
    uint32_t *link = &first_free_run;
    uint32_t before = KAIO_NO_SLOT;
    while (*link != KAIO_NO_SLOT && *link < index) {
        before = *link;
        link = &made(before)->next;
    }
    struct kaio_slot *run = made(index);
    run->user = count;
    run->next = *link;
    *link = index;
    if (run->next != KAIO_NO_SLOT && follows(index, run->next)) {
        const struct kaio_slot *after = made(run->next);
        run->user += after->user;
        run->next = after->next;
    }
    if (before != KAIO_NO_SLOT && follows(before, index)) {
        struct kaio_slot *previous = made(before);
        previous->user += run->user;
        previous->next = run->next;
    }
}

// map_more maps enough chunks for a run of `count` slots and frees them. One after the other they
// are one run only where the kernel mapped them side by side; those of one call are.
static bool map_more(uint32_t count) {
    uint32_t chunk_count = (count + KAIO_CHUNK_PLACES - 1) >> KAIO_CHUNK_BITS;
    if (made_chunk_count + chunk_count > KAIO_CHUNK_COUNT) {
        return false;
    }
    uint32_t slot_count = chunk_count << KAIO_CHUNK_BITS;
    int saved_errno = errno;
    struct kaio_slot *slots = mmap(NULL, (size_t)slot_count * sizeof *slots, PROT_READ | PROT_WRITE,
                                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    errno = saved_errno;
    if (slots == MAP_FAILED) {
        return false;
    }
    uint32_t first = made_chunk_count << KAIO_CHUNK_BITS;
    for (uint32_t i = 0; i < chunk_count; ++i) {
        atomic_store_explicit(&chunks[made_chunk_count++], slots + ((size_t)i << KAIO_CHUNK_BITS),
                              memory_order_release);
    }
    insert(first, slot_count);
    return true;
}

// take_run unlinks `count` slots from the first free run that has them; KAIO_NO_SLOT: none has.
static uint32_t take_run(uint32_t count) {
    uint32_t *link = &first_free_run;
    while (*link != KAIO_NO_SLOT && run_count(made(*link)) < count) {
        link = &made(*link)->next;
    }
    uint32_t index = *link;
    if (index == KAIO_NO_SLOT) {
        return KAIO_NO_SLOT;
    }
    struct kaio_slot *run = made(index);
    if (run_count(run) == count) {
        *link = run->next;
        return index;
    }
    run->user -= count;  // from the end: the rest of the run stays where it is linked
    return index + run_count(run);
}

struct kaio_slot *kaio_slots_take(uint32_t count, uint32_t queue, uint32_t *out_first_index) {
    kaio_lock(&kaio_queues.kind_lock);
    uint32_t index = take_run(count);
    if (index == KAIO_NO_SLOT && map_more(count)) {
        index = take_run(count);
    }
    kaio_unlock(&kaio_queues.kind_lock);
    if (index == KAIO_NO_SLOT) {
        return NULL;
    }
    struct kaio_slot *slots = made(index);
    for (uint32_t i = 0; i < count; ++i) {
        if (kaio_slot_load(&slots[i]) == 0) {  // fresh memory: a life of 0 would make small handles
            atomic_store_explicit(&slots[i].word, KAIO_LIFE_ONE | KAIO_SLOT_FREE,
                                  memory_order_relaxed);
        }
        atomic_store_explicit(&slots[i].queue, queue, memory_order_release);
    }
    *out_first_index = index;
    return slots;
}

void kaio_slots_give_back(struct kaio_slot *slots, uint32_t first_index, uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) {
        atomic_store_explicit(&slots[i].queue, 0, memory_order_relaxed);
    }
    kaio_lock(&kaio_queues.kind_lock);
    insert(first_index, count);
    kaio_unlock(&kaio_queues.kind_lock);
}

void kaio_slots_forget(void) {
    first_free_run = KAIO_NO_SLOT;
}
