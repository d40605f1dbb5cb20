// kaio/safe/queue.h: a kernel context, the requests in it, and the way through.
//
//   free -> idle -> staged -> in flight -> finished -> free
//      new     push     flush        reap         take
// After every call: depth = free + idle + staged + in flight + finished. No request is ever lost:
// one that the kernel refuses becomes finished, one that it has no memory for stays staged.
// Threads: a queue belongs to the thread that opened it, until kaio_queue_detach; any other gets
// WRONG_THREAD. One that is detached, or whose thread has ended, waits, with all that is in it, for
// kaio_queue_attach or kaio_queue_drop by any thread. Signal handlers: calls on queues and requests
// answer REENTERED when they interrupt another one. A handler that forks must not return in the
// child, and none may leave by siglongjmp(3).

#ifndef KAIO_SAFE_QUEUE_H_
#define KAIO_SAFE_QUEUE_H_

#include <stdbool.h>
#include <stdint.h>

#include "kaio/safe/base.h"
#include "kaio/safe/handle.h"
#include "kaio/safe/outcome.h"
#include "kaio/safe/segment.h"
#include "kaio/safe/signals.h"
#include "kaio/safe/status.h"
#include "kaio/safe/transfer.h"

KAIO_BEGIN_DECLS

// The largest depth, in requests: the default of fs.aio-max-nr, for all processes together. On
// 32-bit machines all queues of a process together have 16384 places.
#define KAIO_QUEUE_DEPTH_MAX 65536u

// The largest budget of segments.
#define KAIO_QUEUE_SEGMENTS_MAX (1u << 20)

// A kaio_stall is one io_submit(2) that took long: it sleeps where a request must wait for memory,
// a lock, metadata, or a place in the device's queue, and does buffered reads and writes itself.
typedef struct kaio_stall {
    int64_t took_ns;
    uint32_t request_count;   // that it was given
    uint32_t accepted_count;  // and took
} kaio_stall;

// Called for a stall, on the queue's thread, inside the call that had it: calls on queues answer
// REENTERED. Must not throw or longjmp.
typedef void kaio_stall_handler(void *context, const kaio_stall *stall);

// A kaio_queue_options is zeroed first, then filled: what is 0 has its default.
typedef struct kaio_queue_options {
    uint32_t depth;   // requests, 1 to KAIO_QUEUE_DEPTH_MAX; there is no default
    bool never_ring;  // reap by io_getevents(2) alone, not from the ring in memory
    bool eventfd;     // make a descriptor that tells of outcomes: kaio_queue_as_fd
    bool latency;     // keep latencies: kaio_queue_latency_read, kaio_queue_submit_latency_read; 18
                      // KB, four exact looks at the clock for each batch

    // Before a wait or a run blocks, look at the ring for so long, in nanoseconds, up to
    // KAIO_QUEUE_SPIN_NS_MAX. Measured on one disk, one direct read at a time, 60 us: latency 0.70
    // to 0.72 of what blocking gives. It costs a processor, and what must finish the work may need
    // that: fsync took 1.5 times as long and 11 times the processor time. Nothing without a ring.
    uint32_t spin_ns;
    // The segments of all vectored requests together, 24 bytes each, up to KAIO_QUEUE_SEGMENTS_MAX;
    // 0 is none.
    uint32_t segment_count;
    // The most requests that one io_submit(2) is given; 0 is no limit. On the same disk 2, below
    // what makes the kernel hold a batch back, gave 1.15 (reads) and 1.32 (writes) times the direct
    // transfers at depth 32, for 1.03 to 1.25 times the processor time.
    uint32_t chunk_count;
    // End a transfer as REFUSED, OVERLAP, when it is pushed while another one of this queue, staged
    // or in flight, has bytes of the same file that both use and one writes: what would be read or
    // stay in the file is not defined, since the kernel promises no order. By the file (device and
    // inode), not the handle. Appends, and files without offsets such as pipes, are let through.
    // For tests and for finding a fault: each push looks at every place of the queue.
    bool refuse_overlaps;
    // Go on by itself behind a SHORT transfer, up to so many times for each: the rest is sent anew,
    // and only the end is told; 0 is never. Not where the next byte's place is not known (appends,
    // files without offsets) and not behind bytes that are not a multiple of the alignment, where a
    // direct file has ended. 32 bytes for each request. See kaio_completion.met_end, os_error.
    uint32_t continue_limit;
    bool deadlines;  // requests may have deadlines of their own: late.h. 24 bytes for each
    // Threads, up to KAIO_QUEUE_HELPERS_MAX, that call io_submit(2) for transfers which would sleep
    // in there, so that this thread does not; their outcomes come as all others. They start here
    // and end with the queue; no signal reaches them; 48 bytes for each request. The three behind
    // it say which: transfers of files with offsets alone, for polls and syncs do not sleep there.
    uint32_t helper_count;
    // Each but appends gets RWF_NOWAIT, and only what would block goes to a helper, which does the
    // whole of it. Where that was so three times of four, for one device and direction, the flag is
    // left out for some thousands of requests: it costs a second io_submit each time.
    bool try_nowait;
    bool offload_buffered;   // to a helper at once: files without O_DIRECT,
    bool offload_extending;  // writes behind the end of a file, for an fstat(2) each
    // Called when one io_submit(2) took `stall_ns` nanoseconds or longer; NULL is nobody. Two exact
    // looks at the clock for each.
    kaio_stall_handler *on_stall;
    void *stall_context;  // borrowed until the queue ends
    uint32_t stall_ns;
} kaio_queue_options;

#define KAIO_QUEUE_SPIN_NS_MAX 1000000u
#define KAIO_QUEUE_HELPERS_MAX 16u

// kaio_queue_open makes a queue of `options->depth` requests, owned by the calling thread.
//
// Everything that the hot path needs is allocated here: at most 160 bytes for each request.
// Errors: RANGE(depth, segments), RANGE(options): spin_ns, helper_count (also 0, where one of the
//         three behind it is set). LIMIT(depth): fs.aio-max-nr is reached (detail = fs.aio-nr, the
//         limit). NO_MEMORY. OS_ERROR(queue): ENOSYS, EPERM where AIO is not allowed; EMFILE for
//         the eventfd; EAGAIN for a helper.
// Kernel: io_setup(2); costs about 15 us.
KAIO_MUST_USE kaio_status kaio_queue_open(const kaio_queue_options *options,
                                          kaio_queue **out_queue) KAIO_NOEXCEPT;

// What one flush did, in requests.
typedef struct kaio_flush_report {
    uint32_t accepted_count;  // are in flight now
    uint32_t refused_count;   // are finished now: REFUSED, with the kernel's errno
    uint32_t staged_count;    // still staged: held syncs, and on AGAIN all the kernel did not take
    int32_t os_error;         // of AGAIN, otherwise 0
} kaio_flush_report;

// kaio_queue_flush sends what is staged, in the order of the pushes.
//
// Errors: AGAIN(request): the kernel is short of memory; what it did not take stays staged, in
//         order; take some outcomes and flush again. `*out_report` is written on OK and on AGAIN.
// Kernel: io_submit(2): one call when nothing is refused, and two more at most for each refusal.
KAIO_MUST_USE kaio_status kaio_queue_flush(kaio_queue *queue,
                                           kaio_flush_report *out_report) KAIO_NOEXCEPT;

// A kaio_deadline is a moment of CLOCK_MONOTONIC: waiting again does not move it.
typedef struct kaio_deadline {
    int64_t at_ns;
} kaio_deadline;

// Already over: do not wait.
static inline kaio_deadline kaio_deadline_now(void) {
    kaio_deadline deadline;
    deadline.at_ns = 0;
    return deadline;
}

// Never over.
static inline kaio_deadline kaio_deadline_never(void) {
    kaio_deadline deadline;
    deadline.at_ns = INT64_MAX;
    return deadline;
}

// At `at_ns` nanoseconds of CLOCK_MONOTONIC.
static inline kaio_deadline kaio_deadline_at_ns(int64_t at_ns) {
    kaio_deadline deadline;
    deadline.at_ns = at_ns;
    return deadline;
}

// `wait_ns` nanoseconds from now (now, when it is negative).
kaio_deadline kaio_deadline_after_ns(int64_t wait_ns) KAIO_NOEXCEPT;

// kaio_queue_wait flushes, then waits until kaio_queue_take would yield `min_count` outcomes, or
// fewer where fewer are owed. `*out_ready_count` is what it would yield.
//
// A min_count of 0 flushes, looks and never waits. Signals and stops do not end the wait.
// Errors: TIMED_OUT(queue): `deadline` passed first; TIMED_OUT(request): a request's own did, see
//         kaio_queue_take_late. NOTHING_TO_WAIT_FOR: nothing is owed.
//         AGAIN(request): nothing is in flight and the kernel takes nothing. OS_ERROR(queue).
//         In all of them every request stays where it is.
// Kernel: none when enough is in the ring, otherwise io_getevents(2).
KAIO_MUST_USE kaio_status kaio_queue_wait(kaio_queue *queue, uint32_t min_count,
                                          kaio_deadline deadline,
                                          uint32_t *out_ready_count) KAIO_NOEXCEPT;

// kaio_queue_wait_masked is kaio_queue_wait with `blocked` as the thread's signal mask as long as
// it sleeps, and the old one again on return: what is pending and not in `blocked` is let in before
// the sleep, atomically, as ppoll(2) does it, and also when nothing has to be waited for.
//
// The handler of a signal ends the wait; its calls on the queue answer REENTERED.
// Errors: INTERRUPTED: a handler ran, and fewer than `min_count` are ready: nothing is lost.
//         UNSUPPORTED(queue): the kernel cannot (ENOSYS), and nothing was done. As kaio_queue_wait.
// Kernel: io_pgetevents, 4.18 (on 32-bit machines 5.1), at least once. After a stop and
//         continue the kernel begins the time anew, where more than one outcome is waited for.
KAIO_MUST_USE kaio_status kaio_queue_wait_masked(kaio_queue *queue, uint32_t min_count,
                                                 kaio_deadline deadline, kaio_signals blocked,
                                                 uint32_t *out_ready_count) KAIO_NOEXCEPT;

// A kaio_completion is a plain value: an outcome, and the buffer that took part in it.
// Outcomes of other operations read PENDING.
typedef struct kaio_completion {
    kaio_operation operation;
    kaio_transfer_outcome transfer;
    kaio_sync_outcome sync;
    kaio_poll_outcome poll;
    kaio_poll_events events;  // of a poll that is READY, otherwise none
    // The file ended behind what moved: of END, and of a SHORT read of a queue that continues.
    bool met_end;
    // The kernel's errno of REFUSED, FAILED and WOULD_BLOCK; of SHORT, when the queue continues,
    // what its last rest met (EAGAIN: would block, ECANCELED: cancelled). Otherwise 0.
    int32_t os_error;
    // Why REFUSED: OS_ERROR, CAN_STALL, WRONG_THREAD, REENTERED; OVERLAP: detail = `user` of the
    // request that it met first, in the order of places. Why FAILED, where it is not
    // os_error: MODIFIED_IN_FLIGHT. Otherwise OK.
    kaio_status refusal;
    kaio_range range;      // what was asked for
    uint64_t moved_bytes;  // of FULL and SHORT, otherwise 0
    uint64_t user;
    kaio_ticket ticket;   // the one the push returned; stale from here on
    kaio_buffer *buffer;  // the caller's from here on; NULL for a sync or poll, and with a view
    kaio_view *view;      // the same, of a write that was given one
    // Of a vectored request: what it had, in the array that kaio_queue_take_segments was given. The
    // handles are the caller's from here on. Otherwise NULL and 0.
    kaio_segment *segments;
    uint32_t segment_count;
} kaio_completion;

// kaio_queue_take hands over one finished request and frees its place.
//
// Ownership: `out_completion->buffer` or `view` is the caller's again.
// Errors:    EMPTY: none is finished. RANGE(segments): the oldest is vectored: detail = how many
//            segments it has, and 0; it stays. See kaio_queue_take_segments.
// Kernel:    none with a ring; io_getevents(2), not waiting, without. A queue that continues
//            flushes when it finds nothing but a short transfer.
KAIO_MUST_USE kaio_status kaio_queue_take(kaio_queue *queue,
                                          kaio_completion *out_completion) KAIO_NOEXCEPT;

// kaio_queue_take_segments is kaio_queue_take also for vectored requests, whose segments it writes
// to out_segments[0..out_completion->segment_count); KAIO_SEGMENT_COUNT_MAX of them are always
// enough.
//
// Errors: RANGE(segments): the oldest has more than `capacity`: detail = how many, and that; it
//         stays. Else those of kaio_queue_take.
KAIO_MUST_USE kaio_status kaio_queue_take_segments(kaio_queue *queue, kaio_segment *out_segments,
                                                   uint32_t capacity,
                                                   kaio_completion *out_completion) KAIO_NOEXCEPT;

// kaio_queue_as_fd lends the eventfd of a queue that was opened with one, for poll(2) and epoll(7).
//
// It is readable whenever kaio_queue_take would yield an outcome, refused and unsent requests
// included, until a take answers EMPTY: take until then, also where there may be nothing. Do not
// read it. What another thread gave up by mistake shows with the next outcome, or in the next wait.
// Ownership: the queue's; it is closed with the queue.
// Errors:    UNSUPPORTED(options): the queue has none.
// Kernel:    IOCB_FLAG_RESFD, 2.6.22. Costs about 110 ns an operation, and a read(2) for EMPTY.
KAIO_MUST_USE kaio_status kaio_queue_as_fd(const kaio_queue *queue, int *out_fd) KAIO_NOEXCEPT;

// kaio_completion_drop drops the buffers and views that `completion` and its segments still have.
// NULL does nothing.
void kaio_completion_drop(kaio_completion *completion) KAIO_NOEXCEPT;

// kaio_completion_message writes one line (operation, outcome, asked, moved, offset, error), as
// kaio_status_message does, and returns its length. KAIO_COMPLETION_MESSAGE_BYTES are room for
// every line, its zero byte included.
#define KAIO_COMPLETION_MESSAGE_BYTES 384u
size_t kaio_completion_message(const kaio_completion *completion, char *out_text,
                               size_t size_bytes) KAIO_NOEXCEPT;

// What kaio_queue_cancel could do.
typedef enum kaio_cancel_answer {
    KAIO_CANCEL_STALE = 0,   // the ticket names no request that was pushed and not taken
    KAIO_CANCEL_UNSENT = 1,  // it never was with the kernel: it is finished now, CANCELLED
    KAIO_CANCEL_ASKED = 2,   // the kernel began to end it; its outcome will come, CANCELLED or not
    KAIO_CANCEL_CANNOT = 3   // it goes on, or is over: its outcome comes as if nobody had asked
} kaio_cancel_answer;

// kaio_queue_cancel asks for an early end of the request of `ticket`.
//
// Whatever the answer, the request and its buffer come back once, from kaio_queue_take, and from
// nowhere else. A write that is ended so counts as failed for the ordered syncs behind it.
// Errors: misuse; OS_ERROR(queue): io_cancel is not allowed here (seccomp); the request goes on.
// Kernel: none for what is staged. io_cancel(2) for what is in flight: it ends pending polls, and
// of
//         transfers those of a few drivers (USB gadgets); disks, files and pipes have no such hook.
KAIO_MUST_USE kaio_status kaio_queue_cancel(kaio_queue *queue, kaio_ticket ticket,
                                            kaio_cancel_answer *out_answer) KAIO_NOEXCEPT;

// kaio_cancel_answer_name is a static lower-case word such as "unsent"; never NULL, "invalid" for a
// value that is none.
const char *kaio_cancel_answer_name(kaio_cancel_answer answer) KAIO_NOEXCEPT;

// Where a queue's requests are. The last five add up to the first.
typedef struct kaio_queue_counts {
    uint32_t depth;
    uint32_t free_count;
    uint32_t idle_count;
    uint32_t staged_count;
    uint32_t in_flight_count;
    uint32_t finished_count;
} kaio_queue_counts;

// kaio_queue_count reports where the requests are; reaps nothing. What became of those that were
// taken is in observe.h.
KAIO_MUST_USE kaio_status kaio_queue_count(kaio_queue *queue,
                                           kaio_queue_counts *out_counts) KAIO_NOEXCEPT;

// kaio_queue_detach ends the calling thread's ownership of `queue`, with all that is in it: the
// kernel goes on, and idle requests wait.
//
// Buffers that requests have go along; those that the caller holds stay bound to its thread:
// kaio_buffer_detach.
KAIO_MUST_USE kaio_status kaio_queue_detach(kaio_queue *queue) KAIO_NOEXCEPT;

// kaio_queue_attach makes the calling thread the owner of a `queue` that has none. OK also when it
// is the owner already.
//
// Errors: WRONG_THREAD(queue): another thread is the owner. NO_MEMORY. STALE, REENTERED, FORKED.
KAIO_MUST_USE kaio_status kaio_queue_attach(kaio_queue *queue) KAIO_NOEXCEPT;

// kaio_queue_drain flushes, then waits until nothing of the queue is staged or in flight: all that
// was pushed is finished, to be taken. Idle requests stay.
//
// Ownership: `*out_left` is what there is then; it is written on OK, TIMED_OUT, AGAIN and OS_ERROR.
// Errors:    TIMED_OUT, AGAIN(request), OS_ERROR(queue): as kaio_queue_wait. Nothing is lost.
KAIO_MUST_USE kaio_status kaio_queue_drain(kaio_queue *queue, kaio_deadline deadline,
                                           kaio_queue_counts *out_left) KAIO_NOEXCEPT;

// kaio_queue_close ends a queue that owes nothing.
//
// Ownership: OK and OS_ERROR consume `*move_queue`; BUSY and misuse leave it as it is.
// Errors:    BUSY(queue): requests are idle, staged, in flight or finished: detail holds the four
//            counts, 16 bits each from the lowest, 65535 meaning that or more.
// Kernel:    io_destroy(2); takes 25 to 40 ms.
KAIO_MUST_USE kaio_status kaio_queue_close(kaio_queue **move_queue) KAIO_NOEXCEPT;

// What became of the buffers and views that requests of a destroyed queue had.
typedef struct kaio_destroy_report {
    uint32_t given_back_count;  // taken by `on_lost`
    uint32_t dropped_count;     // left in the completion, and released
    uint32_t leaked_count;      // kept for ever: the kernel could not be stopped
} kaio_destroy_report;

// Called once for each request that was not taken: finished and in flight ones with their true
// outcome, idle and staged ones as CANCELLED. Takes `completion->buffer` or `view`, or those of
// its segments, by setting it to NULL, or leaves it to be dropped. Calls into the queue answer
// REENTERED. Must not throw or longjmp.
typedef void kaio_lost_handler(void *context, kaio_completion *completion);

// kaio_queue_destroy ends a queue whatever it owes. It never returns while the kernel can still
// write to a buffer: polls in flight are cancelled, all else that is in flight is waited for.
//
// Ownership: OK consumes `*move_queue`. `on_lost` may be NULL: every buffer is dropped.
// Errors:    misuse only (STALE, WRONG_THREAD, ...); the queue is unchanged then.
// Kernel:    io_cancel(2) for each poll, io_getevents(2) until nothing is in flight, io_destroy(2).
KAIO_MUST_USE kaio_status kaio_queue_destroy(kaio_queue **move_queue, kaio_lost_handler *on_lost,
                                             void *context,
                                             kaio_destroy_report *out_report) KAIO_NOEXCEPT;

// kaio_queue_destroy_all destroys the queues move_queues[0..count) as kaio_queue_destroy does, but
// lets the kernel end them side by side, in up to 31 threads that are gone when it returns:
// io_destroy sleeps for 25 to 40 ms. Where no thread can be made, they end one after the other.
//
// All or nothing: when one of them may not be ended, none is.
// Ownership: OK consumes all. `on_lost` is called for the first queue first; by then none of them
// is
//            usable. The report is that of all together.
// Errors:    the misuse of one (STALE also when it is there twice, NULL_ARGUMENT, WRONG_THREAD,
//            REENTERED, FORKED), with the subject ELEMENT: detail = its index. NO_MEMORY.
KAIO_MUST_USE kaio_status kaio_queue_destroy_all(kaio_queue **move_queues, uint32_t count,
                                                 kaio_lost_handler *on_lost, void *context,
                                                 kaio_destroy_report *out_report) KAIO_NOEXCEPT;

// kaio_queue_drop destroys `*move_queue` and drops its buffers; `*move_queue` becomes NULL. From
// another thread the queue is destroyed by its owner's next call on it, which answers STALE, or
// when that thread ends; if it has ended already, now.
void kaio_queue_drop(kaio_queue **move_queue) KAIO_NOEXCEPT;

KAIO_END_DECLS

#endif  // KAIO_SAFE_QUEUE_H_
