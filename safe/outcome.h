// kaio/safe/outcome.h: what became of a request: closed enums, and the pure function behind them.
//
// A stored outcome of 0 is PENDING: zeroed memory never reads as success. The kernel's errno
// travels beside the outcome, unchanged.

#ifndef KAIO_SAFE_OUTCOME_H_
#define KAIO_SAFE_OUTCOME_H_

#include <stdbool.h>
#include <stdint.h>

#include "kaio/safe/base.h"

KAIO_BEGIN_DECLS

typedef enum kaio_operation {
    KAIO_NO_OPERATION = 0,
    KAIO_READ = 1,
    KAIO_WRITE = 2,
    KAIO_READV = 3,
    KAIO_WRITEV = 4,
    KAIO_SYNC = 5,
    KAIO_POLL = 6
} kaio_operation;

// How a read or a write ended.
typedef enum kaio_transfer_outcome {
    KAIO_TRANSFER_PENDING = 0,
    KAIO_TRANSFER_FULL = 1,         // every byte asked for moved (also when none was)
    KAIO_TRANSFER_SHORT = 2,        // some moved: go on behind them
    KAIO_TRANSFER_END = 3,          // a read at or behind the end of the file; nothing moved
    KAIO_TRANSFER_WOULD_BLOCK = 4,  // it was not allowed to wait: EAGAIN; nothing moved
    KAIO_TRANSFER_CANCELLED = 5,    // stopped before anything moved
    KAIO_TRANSFER_REFUSED = 6,      // never started: see kaio_completion.refusal
    KAIO_TRANSFER_FAILED = 7        // os_error; what moved before is not known
} kaio_transfer_outcome;

// How a sync ended.
typedef enum kaio_sync_outcome {
    KAIO_SYNC_PENDING = 0,
    KAIO_SYNC_SYNCED = 1,
    KAIO_SYNC_PRECEDED_BY_FAILURE = 2,  // a write it had to cover failed or was short; not sent
    KAIO_SYNC_CANCELLED = 3,
    KAIO_SYNC_REFUSED = 4,
    KAIO_SYNC_FAILED = 5
} kaio_sync_outcome;

// How a poll ended.
typedef enum kaio_poll_outcome {
    KAIO_POLL_PENDING = 0,
    KAIO_POLL_READY = 1,  // see kaio_completion.events
    KAIO_POLL_CANCELLED = 2,
    KAIO_POLL_REFUSED = 3,  // never started: see kaio_completion.refusal
    KAIO_POLL_FAILED = 4
} kaio_poll_outcome;

// A kaio_poll_events is a set of POLL* bits: asked for, or found. See poll.h.
typedef struct kaio_poll_events {
    uint16_t bits;
} kaio_poll_events;

// A kaio_ending is what is known of a request that will not change any more.
typedef struct kaio_ending {
    kaio_operation operation;
    int64_t kernel_result;  // io_event.res, or -errno of the submit call
    uint64_t asked_bytes;   // of a read or write, otherwise 0
    kaio_poll_events asked_events;
    bool was_refused;    // the submit call did not take it
    bool was_cancelled;  // it was ended before it was sent, or the kernel was asked to end it
    bool was_preceded;   // a sync that a failed write went before
} kaio_ending;

// A kaio_verdict is an ending as outcomes; those of other operations are PENDING.
typedef struct kaio_verdict {
    kaio_transfer_outcome transfer;
    kaio_sync_outcome sync;
    kaio_poll_outcome poll;
    int32_t os_error;         // errno of REFUSED, FAILED and WOULD_BLOCK, otherwise 0
    uint64_t moved_bytes;     // of FULL and SHORT, otherwise 0
    kaio_poll_events events;  // of READY: those asked for, and errors and hang-ups
    bool met_end;             // END
} kaio_verdict;

// kaio_verdict_from_ending classifies `ending`: no I/O, no errno, no state. An operation that is
// none has every outcome PENDING.
kaio_verdict kaio_verdict_from_ending(kaio_ending ending) KAIO_NOEXCEPT;

// The names are static lower-case words such as "would block"; never NULL, "invalid" for a value
// that is none.
const char *kaio_operation_name(kaio_operation operation) KAIO_NOEXCEPT;
const char *kaio_transfer_outcome_name(kaio_transfer_outcome outcome) KAIO_NOEXCEPT;
const char *kaio_sync_outcome_name(kaio_sync_outcome outcome) KAIO_NOEXCEPT;
const char *kaio_poll_outcome_name(kaio_poll_outcome outcome) KAIO_NOEXCEPT;

KAIO_END_DECLS

#endif  // KAIO_SAFE_OUTCOME_H_
