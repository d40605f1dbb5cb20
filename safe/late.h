// kaio/safe/late.h: requests that have a deadline of their own.
//
// A deadline ends nothing: no disk or file can be made to stop, so the request goes on, and so does
// its hold on the buffer. But the caller is told, once, of each whose deadline passed before it
// ended, and its outcome comes later as any other. For queues that were opened with
// `options.deadlines`.
// Threads: the queue's. What a deadline costs: nothing until it is set; then one look at the clock
// in each wait that would sleep, and a look at each place of the queue when one has passed.

#ifndef KAIO_SAFE_LATE_H_
#define KAIO_SAFE_LATE_H_

#include <stdbool.h>
#include <stdint.h>

#include "kaio/safe/base.h"
#include "kaio/safe/handle.h"
#include "kaio/safe/outcome.h"
#include "kaio/safe/queue.h"
#include "kaio/safe/status.h"

KAIO_BEGIN_DECLS

// kaio_queue_set_deadline gives the request of `ticket` a deadline, or another one;
// kaio_deadline_never takes it away. One that is finished keeps none: OK, and nothing will be told.
//
// Errors: STALE(request): the ticket names no request that was pushed and not taken.
//         UNSUPPORTED(options): the queue was opened without `deadlines`.
KAIO_MUST_USE kaio_status kaio_queue_set_deadline(kaio_queue *queue, kaio_ticket ticket,
                                                  kaio_deadline deadline) KAIO_NOEXCEPT;

// A kaio_late is a request whose deadline passed before it ended. Its place, buffer and ticket stay
// as they are.
typedef struct kaio_late {
    kaio_operation operation;
    bool is_sent;  // it is with the kernel; otherwise staged: kaio_queue_cancel can end it
    uint64_t user;
    kaio_ticket ticket;
    int64_t late_ns;  // since its deadline
} kaio_late;

// kaio_queue_take_late tells of one request that is late, each once for each deadline that was set,
// in the order of places. It reaps first: what has ended is not late.
//
// Until it was told, kaio_queue_wait and its kin answer TIMED_OUT(request) instead of sleeping,
// with detail = how many are to be told; kaio_queue_run calls `on_late`.
// Errors: EMPTY: none is late. UNSUPPORTED(options).
KAIO_MUST_USE kaio_status kaio_queue_take_late(kaio_queue *queue,
                                               kaio_late *out_late) KAIO_NOEXCEPT;

// kaio_queue_next_deadline tells when to call kaio_queue_take_late next, for who sleeps elsewhere
// (epoll_wait(2)): the earliest deadline that was not told of, never when there is none. It may be
// that of a request that has ended meanwhile.
//
// Errors: UNSUPPORTED(options).
KAIO_MUST_USE kaio_status kaio_queue_next_deadline(kaio_queue *queue,
                                                   kaio_deadline *out_deadline) KAIO_NOEXCEPT;

KAIO_END_DECLS

#endif  // KAIO_SAFE_LATE_H_
