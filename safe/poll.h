// kaio/safe/poll.h: wait once until a file is ready, beside the reads and writes of a queue.
//
// A poll ends once: READY with what was found, or CANCELLED by kaio_queue_cancel; to go on waiting,
// push another. It is the one request that stays in flight until somebody else does something.
// Threads: the queue's.

#ifndef KAIO_SAFE_POLL_H_
#define KAIO_SAFE_POLL_H_

#include <stdbool.h>
#include <stdint.h>

#include "kaio/safe/base.h"
#include "kaio/safe/handle.h"
#include "kaio/safe/outcome.h"
#include "kaio/safe/status.h"

KAIO_BEGIN_DECLS

// kaio_poll_events_from_bits takes POLL* bits of <poll.h>; the functions below name the usual ones.
static inline kaio_poll_events kaio_poll_events_from_bits(uint16_t bits) {
    kaio_poll_events events;
    events.bits = bits;
    return events;
}

// Nothing but what is always told: kaio_poll_failed and kaio_poll_hung_up.
static inline kaio_poll_events kaio_poll_none(void) {
    return kaio_poll_events_from_bits(0);
}

// A read would not wait. POLLIN.
static inline kaio_poll_events kaio_poll_readable(void) {
    return kaio_poll_events_from_bits(0x1);
}

// There is something out of band. POLLPRI.
static inline kaio_poll_events kaio_poll_urgent(void) {
    return kaio_poll_events_from_bits(0x2);
}

// A write would not wait. POLLOUT.
static inline kaio_poll_events kaio_poll_writable(void) {
    return kaio_poll_events_from_bits(0x4);
}

// An error, or a pipe without readers; told without being asked for. POLLERR.
static inline kaio_poll_events kaio_poll_failed(void) {
    return kaio_poll_events_from_bits(0x8);
}

// The other end is gone; told without being asked for. POLLHUP.
static inline kaio_poll_events kaio_poll_hung_up(void) {
    return kaio_poll_events_from_bits(0x10);
}

// Both sets together.
static inline kaio_poll_events kaio_poll_both(kaio_poll_events first, kaio_poll_events second) {
    first.bits |= second.bits;
    return first;
}

// kaio_poll_has_any tells whether `found` has one of `wanted`.
static inline bool kaio_poll_has_any(kaio_poll_events found, kaio_poll_events wanted) {
    return (found.bits & wanted.bits) != 0;
}

// kaio_poll_new describes a wait for any of `events` on `file`.
//
// Ownership: on OK `file` is pinned and `*out_poll` is the caller's.
// Errors:    FULL(request), STALE, NULL_ARGUMENT, WRONG_THREAD, REENTERED, FORKED.
// Kernel:    IOCB_CMD_POLL, 4.19. A file that would wait in two queues, a FIFO opened for both or a
//            terminal's master, is REFUSED with EINVAL when it is not ready at once.
KAIO_MUST_USE kaio_status kaio_poll_new(kaio_queue *queue, kaio_file *file, kaio_poll_events events,
                                        kaio_poll **out_poll) KAIO_NOEXCEPT;

// Out of line half of kaio_poll_push.
KAIO_CONSUMES kaio_ticket kaio_poll_push_(kaio_poll *poll, uint64_t user) KAIO_NOEXCEPT;

// Never defined or called: it says that kaio_poll_push_ consumes.
kaio_poll *kaio_poll_never_made_(void) KAIO_NOEXCEPT KAIO_CONSUMED_BY(kaio_poll_push_);

// kaio_poll_push stages `*move_poll`, which becomes NULL. Always consumes, as kaio_read_push does.
static inline kaio_ticket kaio_poll_push(kaio_poll **move_poll, uint64_t user) {
    kaio_poll *poll = KAIO_NULL;
    if (move_poll != KAIO_NULL) {
        poll = *move_poll;
        KAIO_CHECK_NOT_MOVED(poll);
        *move_poll = KAIO_NULL;
    }
    return kaio_poll_push_(poll, user);
}

// kaio_poll_abandon dissolves an idle `*move_poll`, which becomes NULL.
//
// Errors: STALE (also once it was pushed), WRONG_THREAD, REENTERED, FORKED: nothing has changed.
KAIO_MUST_USE kaio_status kaio_poll_abandon(kaio_poll **move_poll) KAIO_NOEXCEPT;

// kaio_poll_drop abandons `*move_poll` and answers nothing.
void kaio_poll_drop(kaio_poll **move_poll) KAIO_NOEXCEPT;

// kaio_poll_start is kaio_poll_new and kaio_poll_push in one call, with the answers of the former.
KAIO_MUST_USE kaio_status kaio_poll_start(kaio_queue *queue, kaio_file *file,
                                          kaio_poll_events events, uint64_t user,
                                          kaio_ticket *out_ticket) KAIO_NOEXCEPT;

KAIO_END_DECLS

#endif  // KAIO_SAFE_POLL_H_
