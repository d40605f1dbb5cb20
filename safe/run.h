// kaio/safe/run.h: the run loop: the fastest way through a queue.
//
// It sends what is staged, hands each outcome to the handler of its operation, and waits for more,
// without returning between the system calls. A request's place is free again before its handler
// is called, so a handler keeps the depth by starting the next request.
// Handlers may call kaio_*_new, push, start, abandon, drop, retarget and their kin, and
// kaio_queue_cancel, take, count, as_fd and wake, what observe.h has, all of files and buffers, and
// other queues.
// Whatever else they call on the running queue answers REENTERED; a kaio_queue_drop takes effect
// when the run returns. They must not throw or longjmp: the queue would answer REENTERED for ever,
// and end with its thread. A thread that ends inside a handler leaves its queue as any other does.

#ifndef KAIO_SAFE_RUN_H_
#define KAIO_SAFE_RUN_H_

#include <stdbool.h>
#include <stdint.h>

#include "kaio/safe/base.h"
#include "kaio/safe/handle.h"
#include "kaio/safe/late.h"
#include "kaio/safe/outcome.h"
#include "kaio/safe/queue.h"
#include "kaio/safe/status.h"
#include "kaio/safe/transfer.h"

KAIO_BEGIN_DECLS

// How a read ended: as kaio_completion has it.
typedef struct kaio_read_result {
    kaio_transfer_outcome outcome;
    int32_t os_error;
    kaio_status refusal;
    kaio_range range;
    bool met_end;
    uint64_t moved_bytes;
    kaio_buffer *buffer;  // the handler's to take, by setting this to NULL; else it is dropped
} kaio_read_result;

// How a write ended.
typedef struct kaio_write_result {
    kaio_transfer_outcome outcome;
    int32_t os_error;
    kaio_status refusal;
    kaio_range range;
    uint64_t moved_bytes;
    kaio_buffer *buffer;  // the handler's to take, by setting this to NULL; else it is dropped
    kaio_view *view;      // the same, of a write that was given one
} kaio_write_result;

// How a sync ended.
typedef struct kaio_sync_result {
    kaio_sync_outcome outcome;
    int32_t os_error;
    kaio_status refusal;
} kaio_sync_result;

// How a poll ended.
typedef struct kaio_poll_result {
    kaio_poll_outcome outcome;
    kaio_poll_events events;
    int32_t os_error;
    kaio_status refusal;
} kaio_poll_result;

// kaio_read_result_into_completion makes a completion of `result`, for kaio_read_rest_start, and
// takes its buffer. The completion has no ticket.
kaio_completion kaio_read_result_into_completion(kaio_read_result *result,
                                                 uint64_t user) KAIO_NOEXCEPT;

// kaio_write_result_into_completion is the same for a write.
kaio_completion kaio_write_result_into_completion(kaio_write_result *result,
                                                  uint64_t user) KAIO_NOEXCEPT;

// What a run does next.
typedef enum kaio_turn {
    KAIO_TURN_CONTINUE = 0,  // go on
    KAIO_TURN_POLL = 1,      // go on, and do not block: come back at once
    KAIO_TURN_STOP = 2       // end the run
} kaio_turn;

// A kaio_handlers says who is called with what. Any of them may be NULL: the outcomes of an
// operation without a handler are dropped, with their buffers, and counted in the report. They and
// `context` are borrowed for the run.
typedef struct kaio_handlers {
    void (*on_read)(void *context, uint64_t user, kaio_read_result *result);
    void (*on_write)(void *context, uint64_t user, kaio_write_result *result);
    // Vectored ones: the segments, too, live until the handler returns; it takes handles from them
    // by setting them to NULL.
    void (*on_readv)(void *context, uint64_t user, kaio_completion *completion);
    void (*on_writev)(void *context, uint64_t user, kaio_completion *completion);
    void (*on_sync)(void *context, uint64_t user, const kaio_sync_result *result);
    void (*on_poll)(void *context, uint64_t user, const kaio_poll_result *result);
    // A request whose deadline has passed, and that goes on: its outcome comes later, to the
    // others. NULL: nobody is told. See late.h.
    void (*on_late)(void *context, const kaio_late *late);
    // Once a turn: when all that was there has been handed out, before the run sends again or
    // blocks. NULL is KAIO_TURN_CONTINUE.
    kaio_turn (*on_turn)(void *context);
} kaio_handlers;

// Why a run ended.
typedef enum kaio_run_end {
    KAIO_RUN_IDLE = 1,      // nothing is owed
    KAIO_RUN_STOPPED = 2,   // `on_turn` said so, or the queue was dropped
    KAIO_RUN_DEADLINE = 3,  // the deadline passed; everything in flight still is
    KAIO_RUN_WOKEN = 4,     // kaio_queue_wake
    KAIO_RUN_AGAIN = 5  // nothing is in flight and the kernel takes nothing: what is staged stays
} kaio_run_end;

// kaio_run_end_name is a static lower-case word such as "woken"; never NULL, "invalid" for a value
// that is none.
const char *kaio_run_end_name(kaio_run_end end) KAIO_NOEXCEPT;

typedef struct kaio_run_report {
    kaio_run_end ended;
    int32_t os_error;          // the kernel's errno of AGAIN, otherwise 0
    uint64_t completed_count;  // outcomes handed out ...
    uint64_t dropped_count;    // ... and of those, the ones that had no handler
} kaio_run_report;

// kaio_queue_run goes on until nothing is owed, `deadline` has passed, or it is told to end.
//
// What is finished already is handed out first, in order. Each run makes at least one turn: it
// sends, and hands out what is there. Signals and stops do not end it. Idle requests stay.
// Ownership: `*out_report` is written on OK, which all five ends are.
// Errors:    NULL_ARGUMENT(handlers). OS_ERROR(queue): no descriptor for the first run, and nothing
//            was done; or the kernel cannot wait, and every request stays where it is. FORKED: in
//            a child that a handler made and that returned from it.
// Kernel:    io_submit(2) for each batch, io_getevents(2) to block; eventfd(2) and one
//            IOCB_CMD_POLL (4.19) for wakes: before, a wake is noticed within 5 ms.
KAIO_MUST_USE kaio_status kaio_queue_run(kaio_queue *queue, const kaio_handlers *handlers,
                                         void *context, kaio_deadline deadline,
                                         kaio_run_report *out_report) KAIO_NOEXCEPT;

// kaio_queue_wake ends a run of `queue` as WOKEN: the one that is going on, or the next one. Wakes
// that no run has noticed yet count once.
//
// From any thread, and from any signal handler. It has no answer: whoever wakes from outside may
// always be too late, and nothing follows from that. A handle that names no living queue, NULL
// included, does nothing, also while another thread ends the queue.
// Kernel: write(2) to an eventfd when a run is blocked, none otherwise.
void kaio_queue_wake(kaio_queue *queue) KAIO_NOEXCEPT;

KAIO_END_DECLS

#endif  // KAIO_SAFE_RUN_H_
