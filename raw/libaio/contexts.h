// kaio/raw/libaio/contexts.h (private): the contexts of this process whose rings may be read.
//
// A small table, filled by io_setup and emptied by io_destroy. What is not in it, because the table
// is full, or the context was made by another library or in the parent process, goes to the kernel.
// A child of fork finds the table empty: its pages are marked MADV_WIPEONFORK, and where that
// cannot be had nothing is ever put into it.
// Each context has a lock, and a count of the callers that are inside the kernel's io_getevents
// with it. From the ring events are taken with the lock held, and with nobody inside; who enters
// the kernel, or takes the context out of the table, waits for the lock.

#ifndef KAIO_RAW_LIBAIO_CONTEXTS_H_
#define KAIO_RAW_LIBAIO_CONTEXTS_H_

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "kaio/raw/aio_abi.h"

// A context is looked for in so many places from its first one on.
enum { KAIO_LIBAIO_PLACES = 256, KAIO_LIBAIO_PROBES = 8 };

struct kaio_libaio_place {
    _Alignas(64) _Atomic uintptr_t context;  // 0: free
    _Atomic uintptr_t owner;                 // the lock: the thread that has it, or 0
    _Atomic uint32_t inside_count;           // callers in the kernel, and those about to be
    _Atomic uint32_t is_awaited;             // somebody sleeps until it is unlocked
    uint32_t nr;                             // slots of the ring; guarded by the lock
};

// The table, once there is one: NULL before, and where it cannot be had.
extern __attribute__((visibility("hidden"))) _Atomic(struct kaio_libaio_place *) kaio_libaio_places;

// kaio_libaio_self is a number that no other living thread has.
static inline uintptr_t kaio_libaio_self(void) {
    return (uintptr_t)&errno;
}

static inline uint32_t kaio_libaio_first(uintptr_t context) {
    uint64_t page = (uint64_t)context >> 12;
    return (uint32_t)((page * UINT64_C(0x9e3779b97f4a7c15)) >> 56) % KAIO_LIBAIO_PLACES;
}

// kaio_libaio_find returns the place of `context`, or NULL. It may be another's by the time it is
// locked.
static inline struct kaio_libaio_place *kaio_libaio_find(uintptr_t context) {
    struct kaio_libaio_place *places =
        atomic_load_explicit(&kaio_libaio_places, memory_order_acquire);
    if (places == NULL || context == 0) {
        return NULL;
    }
    uint32_t first = kaio_libaio_first(context);
    for (uint32_t i = 0; i < KAIO_LIBAIO_PROBES; ++i) {
        struct kaio_libaio_place *place = &places[(first + i) % KAIO_LIBAIO_PLACES];
        if (atomic_load_explicit(&place->context, memory_order_acquire) == context) {
            return place;
        }
    }
    return NULL;
}

// kaio_libaio_try_lock locks a place if nobody has it locked. The owner is there with the lock: a
// signal handler that interrupts its thread is to know it.
static inline bool kaio_libaio_try_lock(struct kaio_libaio_place *place) {
    uintptr_t nobody = 0;
    return atomic_compare_exchange_strong(&place->owner, &nobody, kaio_libaio_self());
}

// kaio_libaio_wake wakes who waits for the lock.
void kaio_libaio_wake(struct kaio_libaio_place *place);

static inline void kaio_libaio_unlock(struct kaio_libaio_place *place) {
    atomic_store(&place->owner, 0);
    if (atomic_load(&place->is_awaited) != 0) {
        kaio_libaio_wake(place);
    }
}

// kaio_libaio_try_lock_alone locks a place when nobody has it and nobody is inside. Who enters
// counts first and looks at the lock afterwards, so that one of the two sees the other.
static inline bool kaio_libaio_try_lock_alone(struct kaio_libaio_place *place) {
    if (!kaio_libaio_try_lock(place)) {
        return false;
    }
    if (atomic_load(&place->inside_count) == 0) {
        return true;
    }
    kaio_libaio_unlock(place);
    return false;
}

// kaio_libaio_enter counts the caller as inside, and waits until the place is not locked. False:
// the caller itself has it locked, and was interrupted by the signal handler that asks.
bool kaio_libaio_enter(struct kaio_libaio_place *place);

static inline void kaio_libaio_leave(struct kaio_libaio_place *place) {
    (void)atomic_fetch_sub(&place->inside_count, 1);
}

// kaio_libaio_remember puts a new context into the table, if its ring can be read.
void kaio_libaio_remember(kaio_raw_context context);

// kaio_libaio_forget takes a context out of the table: nobody touches its ring afterwards. False:
// as kaio_libaio_enter; the caller is still at it.
bool kaio_libaio_forget(kaio_raw_context context);

#endif  // KAIO_RAW_LIBAIO_CONTEXTS_H_
