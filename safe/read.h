// kaio/safe/read.h: bytes of a file into a buffer.
//
//   kaio_read_new -> idle -> kaio_read_push -> staged -> kaio_queue_flush -> ... -> kaio_queue_take
// kaio_read_start is new and push in one, for the hot path. An idle request is a place in its queue
// and has its buffer: it is pushed, or abandoned.
// Threads: the queue's.

#ifndef KAIO_SAFE_READ_H_
#define KAIO_SAFE_READ_H_

#include <stdint.h>

#include "kaio/safe/base.h"
#include "kaio/safe/handle.h"
#include "kaio/safe/queue.h"
#include "kaio/safe/status.h"
#include "kaio/safe/transfer.h"

KAIO_BEGIN_DECLS

// kaio_read_new describes a read of `range` from `file` into `*move_buffer`.
//
// Ownership: on OK `*move_buffer` is the request's and becomes NULL, `file` is pinned, and
//            `*out_read` is the caller's. On any other answer nothing has changed.
// Errors:    FULL(request): every place of the queue is taken. RANGE(size, buffer offset or file
//            offset). ALIGN(memory, size or file offset) for direct I/O. ACCESS(file): not open for
//            reading. UNSUPPORTED(flags): see kaio_rw_flags. BUSY(buffer): another request has it.
//            WRONG_THREAD(queue or buffer). STALE, NULL_ARGUMENT, REENTERED, FORKED.
// Kernel:    IOCB_CMD_PREAD.
KAIO_MUST_USE kaio_status kaio_read_new(kaio_queue *queue, kaio_file *file, kaio_range range,
                                        kaio_rw_flags flags, kaio_buffer **move_buffer,
                                        kaio_read **out_read) KAIO_NOEXCEPT;

// Out of line half of kaio_read_push.
KAIO_CONSUMES kaio_ticket kaio_read_push_(kaio_read *read, uint64_t user) KAIO_NOEXCEPT;

// Never defined or called: it says that kaio_read_push_ consumes.
kaio_read *kaio_read_never_made_(void) KAIO_NOEXCEPT KAIO_CONSUMED_BY(kaio_read_push_);

// kaio_read_push stages `*move_read`, which becomes NULL, to be sent by the next flush or wait.
// `user` comes back with the outcome.
//
// Always consumes. Pushed from another thread or from inside a call, the request ends REFUSED with
// that status, and the queue's owner takes it with its buffer (its word is 0 then); a stale one
// answers ticket 0.
static inline kaio_ticket kaio_read_push(kaio_read **move_read, uint64_t user) {
    kaio_read *read = KAIO_NULL;
    if (move_read != KAIO_NULL) {
        read = *move_read;
        KAIO_CHECK_NOT_MOVED(read);
        *move_read = KAIO_NULL;
    }
    return kaio_read_push_(read, user);
}

// kaio_read_abandon dissolves an idle `*move_read`, which becomes NULL, and gives its buffer back.
//
// Errors: STALE (also once it was pushed), WRONG_THREAD, REENTERED, FORKED: nothing has changed.
KAIO_MUST_USE kaio_status kaio_read_abandon(kaio_read **move_read,
                                            kaio_buffer **out_buffer) KAIO_NOEXCEPT;

// kaio_read_drop abandons `*move_read` and drops its buffer. From another thread the request
// becomes one that the queue's owner takes, REFUSED.
void kaio_read_drop(kaio_read **move_read) KAIO_NOEXCEPT;

// kaio_read_start is kaio_read_new and kaio_read_push in one call, with the answers of the former.
KAIO_MUST_USE kaio_status kaio_read_start(kaio_queue *queue, kaio_file *file, kaio_range range,
                                          kaio_rw_flags flags, uint64_t user,
                                          kaio_buffer **move_buffer,
                                          kaio_ticket *out_ticket) KAIO_NOEXCEPT;

// kaio_read_set_priority gives an idle `read` a `priority`, instead of the one it has.
//
// Errors: RANGE(priority, or kind for the class), before anything else. STALE, WRONG_THREAD,
//         REENTERED, FORKED: nothing has changed.
KAIO_MUST_USE kaio_status kaio_read_set_priority(kaio_read *read,
                                                 kaio_priority priority) KAIO_NOEXCEPT;

// kaio_read_retarget describes an idle `read` anew: it keeps its place and its buffer, all else
// is as from kaio_read_new.
//
// Errors: those of kaio_read_new but for FULL and those of the buffer: nothing has changed.
KAIO_MUST_USE kaio_status kaio_read_retarget(kaio_read *read, kaio_file *file, kaio_range range,
                                             kaio_rw_flags flags) KAIO_NOEXCEPT;

// kaio_read_into_write makes an idle `*move_read` a write of the same buffer, range and file,
// without flags and priority.
//
// Ownership: on OK `*move_read` becomes NULL, its handle is stale, and `*out_write` is yours.
// Errors:    ACCESS(file), ALIGN(size or file offset): the file is not for writing, or not like
//            this. STALE, WRONG_THREAD, REENTERED, FORKED. Nothing has changed.
KAIO_MUST_USE kaio_status kaio_read_into_write(kaio_read **move_read,
                                               kaio_write **out_write) KAIO_NOEXCEPT;

// kaio_read_rest_start goes on behind a read that ended SHORT: it starts a read of what is left,
// with the buffer of `completion` and its `user`.
//
// Ownership: on OK `completion->buffer` is the request's and becomes NULL.
// Errors:    EMPTY(size): `completion` is no read that ended SHORT. ALIGN with the numbers, where
//            the rest is no longer as direct I/O needs it. Else those of kaio_read_start. Nothing
//            has changed.
KAIO_MUST_USE kaio_status kaio_read_rest_start(kaio_queue *queue, kaio_file *file,
                                               kaio_rw_flags flags, kaio_completion *completion,
                                               kaio_ticket *out_ticket) KAIO_NOEXCEPT;

KAIO_END_DECLS

#endif  // KAIO_SAFE_READ_H_
