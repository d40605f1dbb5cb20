// kaio/safe/readv.h: bytes of a file into several buffers, in one request.
//
// What is said of read.h holds here too; instead of one buffer there are segments, up to
// KAIO_SEGMENT_COUNT_MAX of them, from the budget kaio_queue_options.segment_count.
// Threads: the queue's.

#ifndef KAIO_SAFE_READV_H_
#define KAIO_SAFE_READV_H_

#include <stdint.h>

#include "kaio/safe/base.h"
#include "kaio/safe/handle.h"
#include "kaio/safe/queue.h"
#include "kaio/safe/segment.h"
#include "kaio/safe/status.h"
#include "kaio/safe/transfer.h"

KAIO_BEGIN_DECLS

// kaio_readv_new describes a read of move_segments[0..segment_count), one behind the other from
// `file_offset_bytes` on.
//
// Ownership: on OK every handle in `move_segments` is the request's and becomes NULL, `file` is
//            pinned, and `*out_readv` is the caller's. The array stays the caller's. On any other
//            answer nothing has changed.
// Errors:    FULL(segments): the budget has not that many left: detail = all of it.
//            RANGE(segments): 0, or above KAIO_SEGMENT_COUNT_MAX. BUSY(buffer): a request
//            has it, or another segment. ACCESS(view): a view is not to be changed. ALIGN: for
//            direct I/O each address, the file offset and the size of all. Else those of
//            kaio_read_new.
// Kernel:    IOCB_CMD_PREADV, 2.6.19.
KAIO_MUST_USE kaio_status kaio_readv_new(kaio_queue *queue, kaio_file *file,
                                         uint64_t file_offset_bytes, kaio_rw_flags flags,
                                         kaio_segment *move_segments, uint32_t segment_count,
                                         kaio_readv **out_readv) KAIO_NOEXCEPT;

// Out of line half of kaio_readv_push.
kaio_ticket kaio_readv_push_(kaio_readv *readv, uint64_t user) KAIO_NOEXCEPT;

// kaio_readv_push stages `*move_readv`, which becomes NULL: as kaio_read_push.
static inline kaio_ticket kaio_readv_push(kaio_readv **move_readv, uint64_t user) {
    kaio_readv *readv = KAIO_NULL;
    if (move_readv != KAIO_NULL) {
        readv = *move_readv;
        KAIO_CHECK_NOT_MOVED(readv);
        *move_readv = KAIO_NULL;
    }
    return kaio_readv_push_(readv, user);
}

// kaio_readv_abandon dissolves an idle `*move_readv`, which becomes NULL, and gives its segments
// back, to out_segments[0..*out_segment_count).
//
// Errors: RANGE(segments): it has more than `capacity`: detail = how many, and that. STALE (once
//         it was pushed, too), WRONG_THREAD, REENTERED, FORKED. Nothing has changed.
KAIO_MUST_USE kaio_status kaio_readv_abandon(kaio_readv **move_readv, kaio_segment *out_segments,
                                             uint32_t capacity,
                                             uint32_t *out_segment_count) KAIO_NOEXCEPT;

// kaio_readv_drop abandons `*move_readv` and drops what its segments have: as kaio_read_drop.
void kaio_readv_drop(kaio_readv **move_readv) KAIO_NOEXCEPT;

// kaio_readv_start is kaio_readv_new and kaio_readv_push in one call.
KAIO_MUST_USE kaio_status kaio_readv_start(kaio_queue *queue, kaio_file *file,
                                           uint64_t file_offset_bytes, kaio_rw_flags flags,
                                           uint64_t user, kaio_segment *move_segments,
                                           uint32_t segment_count,
                                           kaio_ticket *out_ticket) KAIO_NOEXCEPT;

// kaio_readv_set_priority gives an idle `readv` a `priority`: as kaio_read_set_priority.
KAIO_MUST_USE kaio_status kaio_readv_set_priority(kaio_readv *readv,
                                                  kaio_priority priority) KAIO_NOEXCEPT;

// kaio_readv_retarget gives an idle `readv` another file, offset and flags; it keeps its place and
// its segments.
//
// Errors: those of kaio_readv_new but for FULL and those of the segments: nothing has changed.
KAIO_MUST_USE kaio_status kaio_readv_retarget(kaio_readv *readv, kaio_file *file,
                                              uint64_t file_offset_bytes,
                                              kaio_rw_flags flags) KAIO_NOEXCEPT;

// kaio_readv_into_writev makes an idle `*move_readv` a write of the same segments, offset and file:
// as kaio_read_into_write.
KAIO_MUST_USE kaio_status kaio_readv_into_writev(kaio_readv **move_readv,
                                                 kaio_writev **out_writev) KAIO_NOEXCEPT;

// kaio_readv_rest_start goes on behind a read that ended SHORT: it starts a read of what is left,
// with its segments and its `user`. What is done stays in completion->segments.
//
// Ownership: on OK the handles of the segments that are not done are the request's and become NULL.
// Errors:    as kaio_read_rest_start.
KAIO_MUST_USE kaio_status kaio_readv_rest_start(kaio_queue *queue, kaio_file *file,
                                                kaio_rw_flags flags, kaio_completion *completion,
                                                kaio_ticket *out_ticket) KAIO_NOEXCEPT;

KAIO_END_DECLS

#endif  // KAIO_SAFE_READV_H_
