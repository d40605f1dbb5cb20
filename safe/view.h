// kaio/safe/view.h: one buffer that many writes may read at the same time.
//
//   buffer -> kaio_buffer_freeze -> view -> kaio_view_share -> more views -> kaio_view_thaw ->
//   buffer
// A view is one owner's share of a frozen buffer, whose bytes nobody may change as long as one
// lives: neither through the library, which has no call for it, nor through an old pointer. Builds
// without NDEBUG sum the bytes when a write is pushed and when it ends, and end it as FAILED with
// MODIFIED_IN_FLIGHT when they differ.
// Threads: like a buffer, a view is bound to the first thread that pushes or shares it. Sharing,
// thawing and dropping use an atomic; pushing and taking do not.

#ifndef KAIO_SAFE_VIEW_H_
#define KAIO_SAFE_VIEW_H_

#include <stddef.h>
#include <stdint.h>

#include "kaio/safe/base.h"
#include "kaio/safe/handle.h"
#include "kaio/safe/status.h"

KAIO_BEGIN_DECLS

// kaio_buffer_freeze turns `*move_buffer` into its first view.
//
// Ownership: on OK `*move_buffer` becomes NULL, and its handle answers BUSY until the buffer is
//            thawed; `*out_view` is the caller's.
// Errors:    BUSY(buffer): a request or a view has it. WRONG_THREAD, STALE, NULL_ARGUMENT, FORKED.
//            NO_MEMORY. Nothing has changed.
KAIO_MUST_USE kaio_status kaio_buffer_freeze(kaio_buffer **move_buffer,
                                             kaio_view **out_view) KAIO_NOEXCEPT;

// kaio_view_share makes one more view of the same bytes, bound to no thread.
//
// Ownership: `view` stays the caller's and `*out_view` is too; each is dropped, or given to a
//            write.
// Errors:    BUSY(view): a request has it. WRONG_THREAD, STALE, NULL_ARGUMENT, FORKED. NO_MEMORY.
KAIO_MUST_USE kaio_status kaio_view_share(kaio_view *view, kaio_view **out_view) KAIO_NOEXCEPT;

// kaio_view_thaw turns the only view of a buffer back into that buffer.
//
// Ownership: on OK `*move_view` becomes NULL; `*out_buffer` is the handle that was frozen.
// Errors:    BUSY(view): other views live: detail = how many; or a request has this one (0).
//            WRONG_THREAD, STALE, NULL_ARGUMENT, REENTERED, FORKED. Nothing has changed.
KAIO_MUST_USE kaio_status kaio_view_thaw(kaio_view **move_view,
                                         kaio_buffer **out_buffer) KAIO_NOEXCEPT;

// kaio_view_as_bytes lends the bytes, kaio_view_size of them, also while a write has the view, or
// returns NULL when the handle is stale. The loan ends with the last view.
const uint8_t *kaio_view_as_bytes(const kaio_view *view) KAIO_NOEXCEPT;

// kaio_view_size returns the size in bytes, also while pinned, and 0 when the handle is stale.
size_t kaio_view_size(const kaio_view *view) KAIO_NOEXCEPT;

// kaio_view_detach unbinds `view` from the calling thread, so that another may take it.
//
// Errors: WRONG_THREAD bound to another thread; BUSY a request has it; STALE; FORKED.
KAIO_MUST_USE kaio_status kaio_view_detach(kaio_view *view) KAIO_NOEXCEPT;

// kaio_view_drop ends `*move_view`, which becomes NULL, and with the last one the buffer. What is
// said of kaio_buffer_drop holds here too.
void kaio_view_drop(kaio_view **move_view) KAIO_NOEXCEPT;

KAIO_END_DECLS

#endif  // KAIO_SAFE_VIEW_H_
