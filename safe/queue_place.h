// kaio/safe/queue_place.h (private): the inside of a queue, and the one way into it.
//
// Only the owner's thread touches a queue, inside kaio_queue_enter and kaio_queue_leave, and in one
// call at a time, signal handlers included; others may read `owner` and set `has_strays`.

#ifndef KAIO_SAFE_QUEUE_PLACE_H_
#define KAIO_SAFE_QUEUE_PLACE_H_

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "kaio/raw/aio_ring.h"
#include "kaio/safe/observe.h"
#include "kaio/safe/queue.h"
#include "slots.h"
#include "table.h"
#include "thread.h"

enum { KAIO_QUEUE_OPEN = 1 };

// In the word, where other places have their mark: the queue's owner is to destroy it.
#define KAIO_QUEUE_DROP_ASKED ((uintptr_t)1 << KAIO_KIND_BITS)

// In `owner`: the queue's requests are being handed to on_lost.
#define KAIO_QUEUE_ENDING UINT32_C(0x80000000)

// An attachment counts what one queue has of one file. Its index stays the same while pins > 0.
struct kaio_attachment {
    uintptr_t bits;   // the file's handle; 0: never used; 1: used before
    uint64_t counts;  // three of 21 bits, in units of what is below, and KAIO_FILE_IS_DROPPED
};
#define KAIO_PIN UINT64_C(1)                      // requests, from new to take
#define KAIO_WRITE_PIN (UINT64_C(1) << 21)        // writes staged or in flight
#define KAIO_FAILED_PIN (UINT64_C(1) << 42)       // writes that failed or were short, not taken yet
#define KAIO_FILE_IS_DROPPED (UINT64_C(1) << 63)  // to be let go when nothing pins it

// kaio_attachment_count gives one of the three counts: `unit` is KAIO_PIN or the like.
static inline uint32_t kaio_attachment_count(const struct kaio_attachment *attachment,
                                             uint64_t unit) {
    return (uint32_t)(attachment->counts / unit) & 0x1fffff;
}

// The kinds of requests: 1 to this.
#define KAIO_QUEUE_KIND_COUNT 6u

// A kaio_tally counts the outcomes of one kind of request, in one cache line.
struct kaio_tally {
    uint64_t outcomes[8];  // [i] counts outcome i; [0], PENDING, has the bytes that moved
};

// What a queue keeps besides when its latencies are asked for.
struct kaio_latencies {
    kaio_latency of_kind[KAIO_QUEUE_KIND_COUNT];  // [kind - 1]
    kaio_latency of_submits;
};

// A kaio_rest is what a transfer of a queue that continues has behind it: see rest.h.
struct kaio_rest {
    int64_t first_sent_ns;   // of the first piece
    uint32_t moved_bytes;    // by the pieces before the one that is under way; 0: that is the first
    uint32_t count;          // of rests that were sent
    uint32_t skipped_count;  // segments that `moved_bytes` fill, and ...
    uint32_t skipped_bytes;  // ... what is gone of the one behind them
    int32_t os_error;        // of a request that is finished, SHORT: what the last piece met; or 0
    uint32_t met_end;
};

// A kaio_term is the deadline of a request: see term.h.
struct kaio_term {
    uintptr_t bits;  // the ticket of the request
    int64_t at_ns;
    uint64_t state;
};

// What a queue keeps besides where an option asks for it.
struct kaio_extras {
    void *stall_context;
    uintptr_t *tickets;        // [slot]: of those that were renamed; NULL: none ever is
    struct kaio_rest *rests;   // [slot]; NULL: short transfers are the caller's to go on with
    uint32_t continue_limit;   // 0 also when the queue ends
    uint32_t has_staged_rest;  // a take is to send it
    uint64_t continued_count;
    struct kaio_term *terms;  // [slot]; NULL: requests have no deadlines
    int64_t nearest_ns;  // no deadline that was not told of is earlier; INT64_MAX: there is none
    struct kaio_helpers *helpers;  // NULL: none
    uint64_t helped_count;
    uint64_t nowait_count;
    uint64_t nowait_block_count;
    uint64_t nowait_off_count;
    uint64_t late_count;
    uint64_t late_end_count;
};

struct kaio_queue_place {
    _Alignas(64) struct kaio_place place;
    _Atomic uint32_t owner;       // a thread's number, or 0: none; | KAIO_QUEUE_ENDING
    uint32_t is_running;          // kaio_queue_run is going on; its handlers are outside a call
    _Atomic uint32_t has_strays;  // some slot's `stray` may be news

    uint32_t depth;
    uint32_t first_slot;
    struct kaio_slot *slots;  // [0..depth)

    uint32_t free_head;  // a stack: the slot used last is in the cache
    uint32_t finished_head;
    uint32_t finished_tail;
    uint32_t held_head;  // syncs that wait for writes; counted as staged
    uint32_t free_count;
    uint32_t idle_count;
    uint32_t staged_count;
    uint32_t in_flight_count;
    uint32_t finished_count;

    uint32_t staged_first;  // staged[staged_first..staged_end) are to be sent, in this order
    uint32_t staged_end;
    uint32_t chunk_count;           // the most that one system call sends
    struct kaio_raw_iocb **staged;  // room for `depth`

    kaio_raw_context ctx;
    struct kaio_raw_ring_consumer consumer;  // ring NULL: reap by the system call
    uint32_t sync_epoch;
    uint8_t has_pgetevents;  // 0: the kernel was not asked yet, or has it not
    uint8_t refuses_overlaps;
    uint8_t settles_slowly;  // an event is more than the end of a request: kaio_queue_settle
    uint8_t sends_slowly;    // kaio_queue_prepare is to be called before a flush

    struct kaio_attachment *attachments;
    uintptr_t recent_bits;  // what was found last: see attach.h
    struct kaio_file_place *recent_file;
    uint32_t recent_attachment;
    uint32_t attachment_capacity;
    struct kaio_segments *segments;  // NULL: it has none
    uint32_t attachment_count;
    uint32_t seen_deferred_count;
    uint32_t spin_ns;  // how long to look at the ring before a wait blocks

    int event_fd;  // -1: none

    // ---- counters: queue_observe.h ----
    int32_t sent_clock;                // a clockid_t: what `sent_ns` of a slot is read from
    uint32_t stall_ns;                 // of on_stall
    struct kaio_latencies *latencies;  // or NULL
    kaio_stall_handler *on_stall;
    struct kaio_extras *extras;  // NULL: no option asked for any
    uint64_t stall_count;
    uint32_t stray_count;  // of these two nobody makes 2^32
    uint32_t overlap_count;
    uint64_t flush_count;
    uint64_t submit_count;
    uint64_t accepted_count;
    uint64_t again_count;
    uint64_t getevents_count;
    uint64_t block_count;
    uint64_t duplicate_count;
    struct kaio_tally tallies[KAIO_QUEUE_KIND_COUNT];  // [kind - 1]

    // ---- waking, by any thread: queue_wake.c ----
    _Atomic uint32_t is_woken;     // no run has ended for it yet
    _Atomic uint32_t waker_count;  // threads that may be writing to wake_fd
    _Atomic uint32_t is_blocking;  // a run sleeps, or is about to
    _Atomic int wake_fd;           // an eventfd; -1: no run has been yet
    uint32_t is_armed;             // the kernel polls it, beside the requests
    struct kaio_raw_iocb wake_iocb;
};

static inline struct kaio_queue_place *kaio_queue_at(uint32_t index) {
    return kaio_table_at(&kaio_queues, index, sizeof(struct kaio_queue_place));
}

// kaio_queue_refusal says why the queue of `bits` could not be entered; where its owner was asked
// to drop it, it does. Never OK.
kaio_status kaio_queue_refusal(uintptr_t bits);

// kaio_queue_is_ours tells whether the calling thread may touch `queue`, once it has begun a call.
static inline bool kaio_queue_is_ours(const struct kaio_queue_place *queue) {
    return atomic_load_explicit(&queue->owner, memory_order_relaxed) == kaio_thread_number();
}

// kaio_queue_look is the slow half of kaio_queue_enter: the queue of `bits`, if the calling thread
// may touch it, which is remembered, or NULL.
struct kaio_queue_place *kaio_queue_look(uintptr_t bits);

// kaio_queue_same tells whether `bits` name the queue that the thread entered last, and may still:
// as long as it is open nobody else makes it another's, and who gives it up here forgets it.
static inline bool kaio_queue_same(uintptr_t bits, struct kaio_queue_place **out_queue) {
    struct kaio_queue_place *queue = kaio_self.queue;
    *out_queue = queue;
    return KAIO_LIKELY(kaio_self.queue_bits == bits &&
                       atomic_load_explicit(&queue->place.word, memory_order_acquire) ==
                           kaio_self.queue_word);
}

// kaio_queue_forget has the calling thread look `queue` up anew, which it may not touch any more.
static inline void kaio_queue_forget(const struct kaio_queue_place *queue) {
    if (kaio_self.queue == queue) {
        kaio_self.queue_word = KAIO_NO_WORD;
    }
}

// kaio_queue_enter begins a call and returns the queue, the caller's to touch until it leaves, or
// NULL with the reason in `*out_why`.
static inline struct kaio_queue_place *kaio_queue_enter(const kaio_queue *handle,
                                                        kaio_status *out_why) {
    uintptr_t bits = (uintptr_t)handle;
    if (KAIO_LIKELY(kaio_call_begin())) {
        kaio_process_check();
        struct kaio_queue_place *queue;
        if (kaio_queue_same(bits, &queue)) {
            if (queue == NULL) {
                __builtin_unreachable();
            }
            return queue;
        }
        queue = kaio_queue_look(bits);
        if (queue != NULL) {
            return queue;
        }
        kaio_call_end();
    }
    *out_why = kaio_queue_refusal(bits);
    return NULL;
}

// kaio_queue_enter_same is kaio_queue_enter for what goes another way unless everything is as it
// was the last time. False: it is not, and no call has begun.
static inline bool kaio_queue_enter_same(const kaio_queue *handle,
                                         struct kaio_queue_place **out_queue) {
    if (KAIO_UNLIKELY(!kaio_call_begin())) {
        return false;
    }
    const uint32_t *word = atomic_load_explicit(&kaio_process_word, memory_order_acquire);
    if (KAIO_LIKELY(__atomic_load_n(word, __ATOMIC_ACQUIRE) == KAIO_PROCESS_BEGUN) &&
        kaio_queue_same((uintptr_t)handle, out_queue)) {
        return true;
    }
    kaio_call_end();
    return false;
}

// kaio_queue_enter_alone is kaio_queue_enter for what must not be called inside a run.
static inline struct kaio_queue_place *kaio_queue_enter_alone(const kaio_queue *handle,
                                                              kaio_status *out_why) {
    struct kaio_queue_place *queue = kaio_queue_enter(handle, out_why);
    if (KAIO_LIKELY(queue == NULL || queue->is_running == 0)) {
        return queue;
    }
    kaio_call_end();
    *out_why = kaio_status_make(KAIO_REENTERED, KAIO_SUBJECT_QUEUE);
    return NULL;
}

// kaio_queue_raise makes the eventfd readable, where there is one, for an outcome that the kernel
// has no event for.
void kaio_queue_raise(struct kaio_queue_place *queue);

// kaio_queue_bits is the handle of an open queue.
static inline uintptr_t kaio_queue_bits(const struct kaio_queue_place *queue) {
    uintptr_t word = atomic_load_explicit(&queue->place.word, memory_order_relaxed);
    return kaio_bits_make(kaio_bits_life(word), queue->place.index, KAIO_KIND_QUEUE);
}

// kaio_queue_thread is the number of the calling thread, inside a call on `queue`.
static inline uint32_t kaio_queue_thread(const struct kaio_queue_place *queue) {
    return atomic_load_explicit(&queue->owner, memory_order_relaxed) & ~KAIO_QUEUE_ENDING;
}

// kaio_queue_leave ends a call.
static inline void kaio_queue_leave(void) {
    kaio_call_end();
}

#endif  // KAIO_SAFE_QUEUE_PLACE_H_
