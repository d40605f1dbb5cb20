// kaio/safe/slots.h (private): the in-flight table, the only owner of what the kernel may touch.
//
// A slot is one request's place in its queue, and holds its iocb. Slots are type-stable like every
// place: a queue takes a run of them when it opens and returns it when it ends, and their lives go
// on counting. Only the queue's thread writes to a slot, except for `stray`.

#ifndef KAIO_SAFE_SLOTS_H_
#define KAIO_SAFE_SLOTS_H_

#include <assert.h>
#include <stdatomic.h>
#include <stdint.h>

#include "kaio/raw/aio_abi.h"
#include "kaio/safe/handle.h"
#include "kaio/safe/transfer.h"
#include "memory.h"
#include "table.h"

enum {
    KAIO_SLOT_FREE = KAIO_STATE_FREE,
    KAIO_SLOT_IDLE = 1,
    KAIO_SLOT_STAGED = 2,
    KAIO_SLOT_IN_FLIGHT = 3,
    KAIO_SLOT_FINISHED = 4
};

// Flags of a slot.
enum {
    KAIO_SLOT_WAS_CANCELLED = 1,
    KAIO_SLOT_WAS_PRECEDED = 2,  // a sync: a write before it failed
    KAIO_SLOT_IS_ORDERED = 4,    // a sync: waits for the writes before it
    KAIO_SLOT_IS_FORCED = 8,     // RWF_NOWAIT was the library's wish, not the caller's
    KAIO_SLOT_HAS_FAILED = 16,   // a write: finished, not whole, not taken
    KAIO_SLOT_HAS_REST = 32,     // finished, SHORT, and not for the first time: see rest.h
    KAIO_SLOT_IS_TRIED = 64,     // RWF_NOWAIT is the queue's, to find out whether it blocks
    KAIO_SLOT_IS_HELPED = 128,   // a helper submits it: see helper.h
    KAIO_SLOT_IS_RENAMED = 256   // its ticket is not what the kernel knows it by
};

#define KAIO_NO_SLOT UINT32_MAX

extern struct kaio_table kaio_queues;  // in queue.c

// 128 bytes on 64-bit machines: what the kernel reads is in the first cache line.
struct kaio_slot {
    struct kaio_raw_iocb iocb;
    _Atomic uintptr_t word;  // life, kind, state
    // Set by a thread that must not push: the life it saw, and a kaio_code. See kaio_queue_stray.
    _Atomic uintptr_t stray;
    uintptr_t memory;  // the handle of the buffer or view that it pins; 0: none, or segments
    uint64_t user;
    int64_t sent_ns;         // when it was last given to the kernel, CLOCK_MONOTONIC; 0: never
    uint32_t next;           // in the list of free, finished or held slots
    uint32_t attachment;     // index in the queue's table of files
    _Atomic uint32_t queue;  // index of the queue that has the run; 0: none
    uint32_t epoch;          // how many syncs the queue had when this was pushed
    union {
        uint32_t buffer_offset_bytes;  // of a transfer
        uint32_t asked_bytes;          // of a vectored one
        uint32_t waits_for_count;      // of a held sync: writes that it waits for
    };
    union {
        struct {
            uint16_t refusal;  // a kaio_code, when the kernel never had it
            uint16_t flags;
        };
        uint32_t oddities;  // both: 0 is nothing to look at
    };
};
#if UINTPTR_MAX > 0xffffffffu
static_assert(sizeof(struct kaio_slot) == 128, "two cache lines");
#endif

// kaio_slots_take gives a run of `count` free slots for the queue `queue`, or NULL when there is no
// memory or no index left. `*out_first_index` is the index of the first.
struct kaio_slot *kaio_slots_take(uint32_t count, uint32_t queue, uint32_t *out_first_index);

// kaio_slots_give_back returns a run, all of whose slots are free.
void kaio_slots_give_back(struct kaio_slot *slots, uint32_t first_index, uint32_t count);

// kaio_slots_forget begins without free runs: in a child, whose parent may have been changing them.
void kaio_slots_forget(void);

// kaio_slot_at returns the slot `index`, or NULL where there never was one.
struct kaio_slot *kaio_slot_at(uint32_t index);

// A slot's word: the kind stands where other places have their mark.
static inline uintptr_t kaio_slot_word(uintptr_t life, uint32_t kind, uint32_t state) {
    return life | ((uintptr_t)kind << KAIO_KIND_BITS) | state;
}

static inline uint32_t kaio_slot_kind(uintptr_t word) {
    return kaio_bits_index(word);
}

static inline uintptr_t kaio_slot_load(const struct kaio_slot *slot) {
    return atomic_load_explicit(&slot->word, memory_order_relaxed);
}

// The kernel's result stands in a word of the iocb that must be 0 when it is sent, and that nobody
// looks at afterwards: io_event.res, or -errno of the submit call.
static inline int64_t kaio_slot_result(const struct kaio_slot *slot) {
    return (int64_t)slot->iocb.aio_reserved2;
}

static inline void kaio_slot_set_result(struct kaio_slot *slot, int64_t result) {
    slot->iocb.aio_reserved2 = (uint64_t)result;
}

// kaio_slot_asked_bytes is how many bytes a transfer is to move.
static inline uint64_t kaio_slot_asked_bytes(const struct kaio_slot *slot) {
    bool is_vectored =
        slot->memory == 0 && kaio_kind_is_vectored(kaio_slot_kind(kaio_slot_load(slot)));
    return KAIO_UNLIKELY(is_vectored) ? slot->asked_bytes : slot->iocb.aio_nbytes;
}

// kaio_slot_range is what a transfer asks for.
static inline kaio_range kaio_slot_range(const struct kaio_slot *slot) {
    return (kaio_range){.file_offset_bytes = (uint64_t)slot->iocb.aio_offset,
                        .buffer_offset_bytes = slot->buffer_offset_bytes,
                        .size_bytes = (uint32_t)slot->iocb.aio_nbytes};
}

// kaio_slot_enter changes the state and keeps life and kind.
static inline void kaio_slot_enter(struct kaio_slot *slot, uint32_t state) {
    uintptr_t word = kaio_slot_load(slot);
    atomic_store_explicit(&slot->word, (word & ~(uintptr_t)15) | state, memory_order_relaxed);
}

#endif  // KAIO_SAFE_SLOTS_H_
