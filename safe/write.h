// kaio/safe/write.h: bytes of a buffer into a file.
//
//   kaio_write_new -> idle -> kaio_write_push -> staged -> kaio_queue_flush -> ... ->
//   kaio_queue_take
// kaio_write_start is new and push in one, for the hot path. An idle request is a place in its
// queue and has its buffer: it is pushed, or abandoned. Threads: the queue's.

#ifndef KAIO_SAFE_WRITE_H_
#define KAIO_SAFE_WRITE_H_

#include <stdint.h>

#include "kaio/safe/base.h"
#include "kaio/safe/handle.h"
#include "kaio/safe/queue.h"
#include "kaio/safe/status.h"
#include "kaio/safe/transfer.h"

KAIO_BEGIN_DECLS

// kaio_write_new describes a write of `range` from `*move_buffer` into `file`.
//
// Ownership: on OK `*move_buffer` is the request's and becomes NULL, `file` is pinned, and
//            `*out_write` is the caller's. On any other answer nothing has changed.
// Errors:    FULL(request): every place of the queue is taken. RANGE(size, buffer offset or file
//            offset). ALIGN(memory, size or file offset) for direct I/O, RANGE(size) and ALIGN(size
//            or file offset) for kaio_rw_atomic: see kaio_alignment. ACCESS(file): not open for
//            writing. UNSUPPORTED(flags): see kaio_rw_flags. BUSY(buffer): another request has it.
//            WRONG_THREAD(queue or buffer). STALE, NULL_ARGUMENT, REENTERED, FORKED.
// Kernel:    IOCB_CMD_PWRITE.
KAIO_MUST_USE kaio_status kaio_write_new(kaio_queue *queue, kaio_file *file, kaio_range range,
                                         kaio_rw_flags flags, kaio_buffer **move_buffer,
                                         kaio_write **out_write) KAIO_NOEXCEPT;

// kaio_write_new_shared is kaio_write_new from a view, which other writes may share: see view.h.
//
// Ownership: on OK `*move_view` is the request's and becomes NULL; it comes back in the completion.
// Errors:    those of kaio_write_new, about a view.
KAIO_MUST_USE kaio_status kaio_write_new_shared(kaio_queue *queue, kaio_file *file,
                                                kaio_range range, kaio_rw_flags flags,
                                                kaio_view **move_view,
                                                kaio_write **out_write) KAIO_NOEXCEPT;

// Out of line half of kaio_write_push.
KAIO_CONSUMES kaio_ticket kaio_write_push_(kaio_write *write, uint64_t user) KAIO_NOEXCEPT;

// Never defined or called: it says that kaio_write_push_ consumes.
kaio_write *kaio_write_never_made_(void) KAIO_NOEXCEPT KAIO_CONSUMED_BY(kaio_write_push_);

// kaio_write_push stages `*move_write`, which becomes NULL, to be sent by the next flush or wait.
// `user` comes back with the outcome.
//
// Always consumes. Pushed from another thread or from inside a call, the request ends REFUSED with
// that status, and the queue's owner takes it with its buffer (its word is 0 then); a stale one
// answers ticket 0.
static inline kaio_ticket kaio_write_push(kaio_write **move_write, uint64_t user) {
    kaio_write *write = KAIO_NULL;
    if (move_write != KAIO_NULL) {
        write = *move_write;
        KAIO_CHECK_NOT_MOVED(write);
        *move_write = KAIO_NULL;
    }
    return kaio_write_push_(write, user);
}

// kaio_write_abandon dissolves an idle `*move_write`, which becomes NULL, and gives its buffer
// back.
//
// Errors: ACCESS(view): it has a view, not a buffer. STALE (also once it was pushed), WRONG_THREAD,
//         REENTERED, FORKED. Nothing has changed.
KAIO_MUST_USE kaio_status kaio_write_abandon(kaio_write **move_write,
                                             kaio_buffer **out_buffer) KAIO_NOEXCEPT;

// kaio_write_abandon_shared is the same for a write that was given a view, and ACCESS(buffer) for
// any other.
KAIO_MUST_USE kaio_status kaio_write_abandon_shared(kaio_write **move_write,
                                                    kaio_view **out_view) KAIO_NOEXCEPT;

// kaio_write_drop abandons `*move_write` and drops its buffer or view. From another thread the
// request becomes one that the queue's owner takes, REFUSED.
void kaio_write_drop(kaio_write **move_write) KAIO_NOEXCEPT;

// kaio_write_start is kaio_write_new and kaio_write_push in one call, with the answers of the
// former.
KAIO_MUST_USE kaio_status kaio_write_start(kaio_queue *queue, kaio_file *file, kaio_range range,
                                           kaio_rw_flags flags, uint64_t user,
                                           kaio_buffer **move_buffer,
                                           kaio_ticket *out_ticket) KAIO_NOEXCEPT;

// kaio_write_start_shared is kaio_write_new_shared and kaio_write_push in one call.
KAIO_MUST_USE kaio_status kaio_write_start_shared(kaio_queue *queue, kaio_file *file,
                                                  kaio_range range, kaio_rw_flags flags,
                                                  uint64_t user, kaio_view **move_view,
                                                  kaio_ticket *out_ticket) KAIO_NOEXCEPT;

// kaio_write_set_priority gives an idle `write` a `priority`, instead of the one it has.
//
// Errors: RANGE(priority, or kind for the class), before anything else. STALE, WRONG_THREAD,
//         REENTERED, FORKED: nothing has changed.
KAIO_MUST_USE kaio_status kaio_write_set_priority(kaio_write *write,
                                                  kaio_priority priority) KAIO_NOEXCEPT;

// kaio_write_retarget describes an idle `write` anew: it keeps its place and its buffer, all else
// is as from kaio_write_new.
//
// Errors: those of kaio_write_new but for FULL and those of the buffer: nothing has changed.
KAIO_MUST_USE kaio_status kaio_write_retarget(kaio_write *write, kaio_file *file, kaio_range range,
                                              kaio_rw_flags flags) KAIO_NOEXCEPT;

// kaio_write_into_read makes an idle `*move_write` a read of the same buffer, range and file,
// without flags and priority.
//
// Ownership: on OK `*move_write` becomes NULL, its handle is stale, and `*out_read` is yours.
// Errors:    ACCESS(view): its bytes are shared, and not to be changed. ACCESS(file), ALIGN(size or
//            file offset): the file is not for reading, or not like this. STALE, WRONG_THREAD,
//            REENTERED, FORKED. Nothing has changed.
KAIO_MUST_USE kaio_status kaio_write_into_read(kaio_write **move_write,
                                               kaio_read **out_read) KAIO_NOEXCEPT;

// kaio_write_rest_start goes on behind a write that ended SHORT: it starts a write of what is left,
// with the buffer or view of `completion` and its `user`.
//
// Ownership: on OK `completion->buffer` or `view` is the request's and becomes NULL.
// Errors:    EMPTY(size): `completion` is no write that ended SHORT. ALIGN with the numbers, where
//            the rest is no longer as direct I/O needs it. Else those of kaio_write_start. Nothing
//            has changed.
KAIO_MUST_USE kaio_status kaio_write_rest_start(kaio_queue *queue, kaio_file *file,
                                                kaio_rw_flags flags, kaio_completion *completion,
                                                kaio_ticket *out_ticket) KAIO_NOEXCEPT;

KAIO_END_DECLS

#endif  // KAIO_SAFE_WRITE_H_
