// kaio/safe/observe.h: what a queue did, how long it took, and what it is doing: plain numbers.
//
// Counters only grow, and reading changes nothing: what happened in between is a subtraction.
// Latencies are kept by queues that were opened for it, in buckets whose width is at most an eighth
// of their values. A dump is one line for each request, for people, grep and debuggers.
// Threads: the queue's; the functions on a kaio_latency touch nothing else.

#ifndef KAIO_SAFE_OBSERVE_H_
#define KAIO_SAFE_OBSERVE_H_

#include <stdint.h>
#include <stdio.h>

#include "kaio/safe/base.h"
#include "kaio/safe/handle.h"
#include "kaio/safe/outcome.h"
#include "kaio/safe/status.h"

KAIO_BEGIN_DECLS

// ---- counters ----

// Transfers of one operation: how many were pushed, and how those that were taken had ended. What
// was pushed and is in none of the outcomes is staged, in flight or finished.
typedef struct kaio_transfer_counters {
    uint64_t pushed_count;
    uint64_t full_count;
    uint64_t short_count;
    uint64_t end_count;
    uint64_t would_block_count;
    uint64_t cancelled_count;
    uint64_t refused_count;
    uint64_t failed_count;
    uint64_t moved_bytes;  // by those that were full or short
} kaio_transfer_counters;

typedef struct kaio_sync_counters {
    uint64_t pushed_count;
    uint64_t synced_count;
    uint64_t preceded_by_failure_count;
    uint64_t cancelled_count;
    uint64_t refused_count;
    uint64_t failed_count;
} kaio_sync_counters;

typedef struct kaio_poll_counters {
    uint64_t pushed_count;
    uint64_t ready_count;
    uint64_t cancelled_count;
    uint64_t refused_count;
    uint64_t failed_count;
} kaio_poll_counters;

// A kaio_queue_counters is what a queue did since it was opened.
typedef struct kaio_queue_counters {
    kaio_transfer_counters read;
    kaio_transfer_counters write;
    kaio_transfer_counters readv;
    kaio_transfer_counters writev;
    kaio_sync_counters sync;
    kaio_poll_counters poll;
    uint64_t flush_count;         // flushes, those of waits included, that had something to send
    uint64_t submit_count;        // calls of io_submit(2)
    uint64_t accepted_count;      // requests that the kernel took
    uint64_t again_count;         // flushes that the kernel was short of memory for
    uint64_t getevents_count;     // calls of io_getevents(2), and of io_pgetevents(2) to sleep ...
    uint64_t block_count;         // ... and how many of them could sleep
    uint64_t duplicate_count;     // events that named no request in flight: ignored
    uint64_t stray_count;         // requests given up where they must not be: finished as REFUSED
    uint64_t stall_count;         // io_submits that `on_stall` was called for
    uint64_t overlap_count;       // requests refused as OVERLAP
    uint64_t late_count;          // requests whose deadline passed before they ended ...
    uint64_t late_end_count;      // ... and those of them that have ended
    uint64_t helped_count;        // transfers that a helper submitted
    uint64_t nowait_count;        // transfers that were tried with RWF_NOWAIT ...
    uint64_t nowait_block_count;  // ... that would have blocked, or were refused because of it
    uint64_t nowait_off_count;    // times that it was left out from then on
    uint64_t continued_count;     // rests that were staged: see kaio_queue_options.continue_limit
} kaio_queue_counters;

// kaio_queue_counters_read copies the counters; it looks at each place of the queue once.
KAIO_MUST_USE kaio_status kaio_queue_counters_read(kaio_queue *queue,
                                                   kaio_queue_counters *out_counters) KAIO_NOEXCEPT;

// ---- latencies ----

#define KAIO_LATENCY_BUCKET_COUNT 321u

// A kaio_latency counts latencies in nanoseconds; a zeroed one is empty. Up to 16 ns each has a
// bucket; then each power of two has eight, so that the bounds of a bucket differ by less than
// 12.5 % of the latencies in it. The last one has all that took 2^42 ns, 73 minutes, or longer.
typedef struct kaio_latency {
    uint64_t counts[KAIO_LATENCY_BUCKET_COUNT];
} kaio_latency;

// kaio_latency_bucket_from_ns is the index of the bucket that counts `latency_ns` (negative: 0).
uint32_t kaio_latency_bucket_from_ns(int64_t latency_ns) KAIO_NOEXCEPT;

// kaio_latency_bucket_first_ns is the smallest latency of bucket `index`, and INT64_MAX behind the
// last: bucket i has [first(i), first(i + 1)).
int64_t kaio_latency_bucket_first_ns(uint32_t index) KAIO_NOEXCEPT;

// kaio_latency_total is how many latencies were counted.
uint64_t kaio_latency_total(const kaio_latency *latency) KAIO_NOEXCEPT;

// kaio_latency_quantile finds what `quantile_ppm` millionths of the latencies did not exceed: the
// last nanosecond of a bucket, so that it is never too small, and less than 12.5 % too large; of
// the last bucket, which has no such bound, INT64_MAX - 1.
//
// 0 asks for the smallest, 500000 for the median, 999000 for what one in a thousand exceeded,
// 1000000 for the largest.
// Errors: RANGE(quantile): above 1000000. EMPTY: nothing was counted.
KAIO_MUST_USE kaio_status kaio_latency_quantile(const kaio_latency *latency, uint32_t quantile_ppm,
                                                int64_t *out_latency_ns) KAIO_NOEXCEPT;

// kaio_latency_merge adds the counts of `from` to those of `into`.
KAIO_MUST_USE kaio_status kaio_latency_merge(kaio_latency *into,
                                             const kaio_latency *from) KAIO_NOEXCEPT;

// kaio_queue_latency_read copies the latencies of one operation: from the flush that sent a request
// to the look at the ring that found its event. What never was with the kernel has none.
//
// Errors: UNSUPPORTED(options): the queue was not opened with `latency`. RANGE(kind): `operation`
//         is none.
KAIO_MUST_USE kaio_status kaio_queue_latency_read(kaio_queue *queue, kaio_operation operation,
                                                  kaio_latency *out_latency) KAIO_NOEXCEPT;

// kaio_queue_submit_latency_read copies how long the io_submits of the queue took.
//
// Errors: UNSUPPORTED(options): the queue was not opened with `latency`.
KAIO_MUST_USE kaio_status kaio_queue_submit_latency_read(kaio_queue *queue,
                                                         kaio_latency *out_latency) KAIO_NOEXCEPT;

// ---- dump ----

// kaio_queue_dump writes what `queue` is doing, and flushes `stream`. It asks the kernel nothing
// about files or requests, so nothing but the stream can make it wait.
//
//   queue=0x... depth=8 free=5 idle=0 staged=1 in_flight=1 finished=1 eventfd=none ring=yes ...
//   request=0x... state=in_flight operation=read age_ns=31415 fd=5 direct=no file_offset=4096 ...
// One line for the queue, one for each request that is not free, in the order of their places. The
// names and their order stay; more may come at the end of a line. `request` is the ticket. age_ns
// is the time since it was sent, exact to some milliseconds, and none where it never was. Behind
// `user`: `events` of a poll, `waits_for` (writes) of a sync that is held back, and of what is
// finished `result`, the kernel's number, and `refusal`, a code's name.
// In a debugger: select the queue's thread and `call kaio_queue_dump(queue, stderr)`. Unlike other
// calls it is not REENTERED: that thread may be inside a call, waiting.
// Errors: NULL_ARGUMENT(output): no stream. OS_ERROR(output): writing failed. STALE, WRONG_THREAD,
//         FORKED.
KAIO_MUST_USE kaio_status kaio_queue_dump(kaio_queue *queue, FILE *stream) KAIO_NOEXCEPT;

KAIO_END_DECLS

#endif  // KAIO_SAFE_OBSERVE_H_
