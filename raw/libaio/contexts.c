#define _GNU_SOURCE  // MADV_WIPEONFORK

#include "contexts.h"

#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kaio/raw/aio_ring.h"
#include "kaio/raw/aio_syscall.h"

_Atomic(struct kaio_libaio_place *) kaio_libaio_places;

// ---- the table ----

// No page is larger. A table has whole pages for itself: all of them are wiped in a child.
enum { PAGE_BYTES_MAX = 64 * 1024 };
#define TABLE_BYTES (sizeof(struct kaio_libaio_place) * KAIO_LIBAIO_PLACES)
_Static_assert(TABLE_BYTES <= PAGE_BYTES_MAX, "the table and what it is rounded to fit");

static uint8_t memory[2 * PAGE_BYTES_MAX];

// make_table returns the table, which two threads may make at once. NULL: it cannot be wiped.
static struct kaio_libaio_place *make_table(void) {
    uintptr_t page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE);
    if (page_bytes == 0 || page_bytes > PAGE_BYTES_MAX) {
        return NULL;
    }
    uintptr_t skipped_bytes = -(uintptr_t)memory % page_bytes;
    size_t size_bytes = (TABLE_BYTES + page_bytes - 1) / page_bytes * page_bytes;
    void *table = memory + skipped_bytes;
    long error = kaio_raw_syscall3_(__NR_madvise, (uintptr_t)table, size_bytes, MADV_WIPEONFORK);
    return error == 0 ? table : NULL;
}

static struct kaio_libaio_place *table(void) {
    struct kaio_libaio_place *places =
        atomic_load_explicit(&kaio_libaio_places, memory_order_acquire);
    if (places == NULL) {
        places = make_table();
        atomic_store_explicit(&kaio_libaio_places, places, memory_order_release);
    }
    return places;
}

// ---- the lock ----

#ifdef __NR_futex
enum { NR_FUTEX = __NR_futex };
#else
enum { NR_FUTEX = __NR_futex_time64 };
#endif

static long futex(struct kaio_libaio_place *place, uint32_t operation, uint32_t value) {
    return kaio_raw_syscall5_(NR_FUTEX, (uintptr_t)&place->is_awaited, operation, value, 0, 0);
}

void kaio_libaio_wake(struct kaio_libaio_place *place) {
    atomic_store(&place->is_awaited, 0);
    (void)futex(place, FUTEX_WAKE_PRIVATE, INT_MAX);
}

// await sleeps until a place that somebody has locked may be unlocked.
static void await(struct kaio_libaio_place *place) {
    atomic_store(&place->is_awaited, 1);
    if (atomic_load(&place->owner) == 0) {
        return;
    }
    long error = futex(place, FUTEX_WAIT_PRIVATE, 1);
    if (error != 0 && error != -EAGAIN && error != -EINTR) {
        (void)sched_yield();  // a seccomp filter
    }
}

bool kaio_libaio_enter(struct kaio_libaio_place *place) {
    (void)atomic_fetch_add(&place->inside_count, 1);
    uintptr_t owner;
    while ((owner = atomic_load(&place->owner)) != 0) {
        if (owner == kaio_libaio_self()) {
            kaio_libaio_leave(place);
            return false;
        }
        await(place);
    }
    return true;
}

// lock locks a place, whoever is inside. False: as kaio_libaio_enter.
static bool lock(struct kaio_libaio_place *place) {
    while (!kaio_libaio_try_lock(place)) {
        if (atomic_load(&place->owner) == kaio_libaio_self()) {
            return false;
        }
        await(place);
    }
    return true;
}

// ---- contexts ----

// put gives a place to a context if it has `expected` by now.
static bool put(struct kaio_libaio_place *place, uintptr_t expected,
                const struct kaio_raw_ring_consumer *consumer) {
    if (atomic_load_explicit(&place->context, memory_order_relaxed) != expected || !lock(place)) {
        return false;
    }
    bool is_put = atomic_load_explicit(&place->context, memory_order_relaxed) == expected;
    if (is_put) {
        place->nr = consumer->nr;
        atomic_store_explicit(&place->context, (uintptr_t)consumer->ring, memory_order_release);
    }
    kaio_libaio_unlock(place);
    return is_put;
}

void kaio_libaio_remember(kaio_raw_context context) {
    struct kaio_raw_ring_consumer consumer;
    struct kaio_libaio_place *places = table();
    if (places == NULL || kaio_raw_ring_validate(context, &consumer) != 0) {
        return;
    }
    // One of the same address that was destroyed behind our back.
    struct kaio_libaio_place *old_place = kaio_libaio_find((uintptr_t)context);
    if (old_place != NULL && put(old_place, (uintptr_t)context, &consumer)) {
        return;
    }
    uint32_t first = kaio_libaio_first((uintptr_t)context);
    for (uint32_t i = 0; i < KAIO_LIBAIO_PROBES; ++i) {
        if (put(&places[(first + i) % KAIO_LIBAIO_PLACES], 0, &consumer)) {
            return;
        }
    }
}

bool kaio_libaio_forget(kaio_raw_context context) {
    struct kaio_libaio_place *place = kaio_libaio_find((uintptr_t)context);
    if (place == NULL) {
        return true;
    }
    if (!lock(place)) {
        return false;
    }
    if (atomic_load_explicit(&place->context, memory_order_relaxed) == (uintptr_t)context) {
        atomic_store_explicit(&place->context, 0, memory_order_relaxed);
    }
    kaio_libaio_unlock(place);
    return true;
}
