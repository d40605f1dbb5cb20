// kaio/safe/sync.h: what was written becomes durable.
//
// A sync covers every write to its file that was pushed before it on its queue: it stays staged
// until these were reaped, and is not sent at all when one of them failed or was short.
// (The kernel alone gives no order: a sync sent beside writes may end before them.)
// After a sync that failed every later one of the file fails with the same errno:
// kaio_file_clear_sync_error.
// Threads: the queue's.

#ifndef KAIO_SAFE_SYNC_H_
#define KAIO_SAFE_SYNC_H_

#include <stdint.h>

#include "kaio/safe/base.h"
#include "kaio/safe/handle.h"
#include "kaio/safe/status.h"

KAIO_BEGIN_DECLS

// What becomes durable, and whether earlier writes are waited for.
typedef enum kaio_sync_kind {
    KAIO_SYNC_DATA = 0,            // data, and the metadata needed to read it: as fdatasync(2)
    KAIO_SYNC_ALL = 1,             // all metadata too: as fsync(2)
    KAIO_SYNC_DATA_UNORDERED = 2,  // at once: covers only writes that were taken before
    KAIO_SYNC_ALL_UNORDERED = 3
} kaio_sync_kind;

// kaio_sync_new describes a sync of `file`.
//
// Ownership: on OK `file` is pinned and `*out_sync` is the caller's.
// Errors:    FULL(request), RANGE(kind), STALE, NULL_ARGUMENT, WRONG_THREAD, REENTERED,
//            FORKED.
// Kernel:    IOCB_CMD_FDSYNC, IOCB_CMD_FSYNC, since 4.18; EINVAL on files that cannot be synced.
KAIO_MUST_USE kaio_status kaio_sync_new(kaio_queue *queue, kaio_file *file, kaio_sync_kind kind,
                                        kaio_sync **out_sync) KAIO_NOEXCEPT;

// Out of line half of kaio_sync_push.
KAIO_CONSUMES kaio_ticket kaio_sync_push_(kaio_sync *sync, uint64_t user) KAIO_NOEXCEPT;

// Never defined or called: it says that kaio_sync_push_ consumes.
kaio_sync *kaio_sync_never_made_(void) KAIO_NOEXCEPT KAIO_CONSUMED_BY(kaio_sync_push_);

// kaio_sync_push stages `*move_sync`, which becomes NULL. Always consumes, as kaio_write_push does.
static inline kaio_ticket kaio_sync_push(kaio_sync **move_sync, uint64_t user) {
    kaio_sync *sync = KAIO_NULL;
    if (move_sync != KAIO_NULL) {
        sync = *move_sync;
        KAIO_CHECK_NOT_MOVED(sync);
        *move_sync = KAIO_NULL;
    }
    return kaio_sync_push_(sync, user);
}

// kaio_sync_abandon dissolves an idle `*move_sync`, which becomes NULL.
//
// Errors: STALE (also once it was pushed), WRONG_THREAD, REENTERED, FORKED: nothing has changed.
KAIO_MUST_USE kaio_status kaio_sync_abandon(kaio_sync **move_sync) KAIO_NOEXCEPT;

// kaio_sync_drop abandons `*move_sync` and answers nothing.
void kaio_sync_drop(kaio_sync **move_sync) KAIO_NOEXCEPT;

// kaio_sync_start is kaio_sync_new and kaio_sync_push in one call, with the answers of the former.
KAIO_MUST_USE kaio_status kaio_sync_start(kaio_queue *queue, kaio_file *file, kaio_sync_kind kind,
                                          uint64_t user, kaio_ticket *out_ticket) KAIO_NOEXCEPT;

KAIO_END_DECLS

#endif  // KAIO_SAFE_SYNC_H_
