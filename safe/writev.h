// kaio/safe/writev.h: several buffers or views into a file, in one request.
//
// What is said of write.h holds here too; instead of one buffer there are segments, up to
// KAIO_SEGMENT_COUNT_MAX of them, from the budget kaio_queue_options.segment_count.
// Threads: the queue's.

#ifndef KAIO_SAFE_WRITEV_H_
#define KAIO_SAFE_WRITEV_H_

#include <stdint.h>

#include "kaio/safe/base.h"
#include "kaio/safe/handle.h"
#include "kaio/safe/queue.h"
#include "kaio/safe/segment.h"
#include "kaio/safe/status.h"
#include "kaio/safe/transfer.h"

KAIO_BEGIN_DECLS

// kaio_writev_new describes a write of move_segments[0..segment_count), one behind the other from
// `file_offset_bytes` on.
//
// Ownership: on OK every handle in `move_segments` is the request's and becomes NULL, `file` is
//            pinned, and `*out_writev` is the caller's. The array stays the caller's. On any other
//            answer nothing has changed.
// Errors:    FULL(segments): the budget has not that many left: detail = all of it.
//            RANGE(segments): 0, or above KAIO_SEGMENT_COUNT_MAX. BUSY(buffer or view): a
//            request has it, or another segment. ALIGN: for direct I/O each address, the file
//            offset and the size of all. Else those of kaio_write_new.
// Kernel:    IOCB_CMD_PWRITEV, 2.6.19.
KAIO_MUST_USE kaio_status kaio_writev_new(kaio_queue *queue, kaio_file *file,
                                          uint64_t file_offset_bytes, kaio_rw_flags flags,
                                          kaio_segment *move_segments, uint32_t segment_count,
                                          kaio_writev **out_writev) KAIO_NOEXCEPT;

// Out of line half of kaio_writev_push.
kaio_ticket kaio_writev_push_(kaio_writev *writev, uint64_t user) KAIO_NOEXCEPT;

// kaio_writev_push stages `*move_writev`, which becomes NULL: as kaio_write_push.
static inline kaio_ticket kaio_writev_push(kaio_writev **move_writev, uint64_t user) {
    kaio_writev *writev = KAIO_NULL;
    if (move_writev != KAIO_NULL) {
        writev = *move_writev;
        KAIO_CHECK_NOT_MOVED(writev);
        *move_writev = KAIO_NULL;
    }
    return kaio_writev_push_(writev, user);
}

// kaio_writev_abandon dissolves an idle `*move_writev`, which becomes NULL, and gives its segments
// back, to out_segments[0..*out_segment_count).
//
// Errors: RANGE(segments): it has more than `capacity`: detail = how many, and that. STALE (once
//         it was pushed, too), WRONG_THREAD, REENTERED, FORKED. Nothing has changed.
KAIO_MUST_USE kaio_status kaio_writev_abandon(kaio_writev **move_writev, kaio_segment *out_segments,
                                              uint32_t capacity,
                                              uint32_t *out_segment_count) KAIO_NOEXCEPT;

// kaio_writev_drop abandons `*move_writev` and drops what its segments have: as kaio_write_drop.
void kaio_writev_drop(kaio_writev **move_writev) KAIO_NOEXCEPT;

// kaio_writev_start is kaio_writev_new and kaio_writev_push in one call.
KAIO_MUST_USE kaio_status kaio_writev_start(kaio_queue *queue, kaio_file *file,
                                            uint64_t file_offset_bytes, kaio_rw_flags flags,
                                            uint64_t user, kaio_segment *move_segments,
                                            uint32_t segment_count,
                                            kaio_ticket *out_ticket) KAIO_NOEXCEPT;

// kaio_writev_set_priority gives an idle `writev` a `priority`: as kaio_write_set_priority.
KAIO_MUST_USE kaio_status kaio_writev_set_priority(kaio_writev *writev,
                                                   kaio_priority priority) KAIO_NOEXCEPT;

// kaio_writev_retarget gives an idle `writev` another file, offset and flags; it keeps its place
// and its segments.
//
// Errors: those of kaio_writev_new but for FULL and those of the segments: nothing has changed.
KAIO_MUST_USE kaio_status kaio_writev_retarget(kaio_writev *writev, kaio_file *file,
                                               uint64_t file_offset_bytes,
                                               kaio_rw_flags flags) KAIO_NOEXCEPT;

// kaio_writev_into_readv makes an idle `*move_writev` a read of the same segments, offset and file:
// as kaio_write_into_read.
KAIO_MUST_USE kaio_status kaio_writev_into_readv(kaio_writev **move_writev,
                                                 kaio_readv **out_readv) KAIO_NOEXCEPT;

// kaio_writev_rest_start goes on behind a write that ended SHORT: it starts a write of what is
// left, with its segments and its `user`. What is done stays in completion->segments.
//
// Ownership: on OK the handles of the segments that are not done are the request's and become NULL.
// Errors:    as kaio_write_rest_start.
KAIO_MUST_USE kaio_status kaio_writev_rest_start(kaio_queue *queue, kaio_file *file,
                                                 kaio_rw_flags flags, kaio_completion *completion,
                                                 kaio_ticket *out_ticket) KAIO_NOEXCEPT;

KAIO_END_DECLS

#endif  // KAIO_SAFE_WRITEV_H_
