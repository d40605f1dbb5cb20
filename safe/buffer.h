// kaio/safe/buffer.h: memory that stays put while the kernel may touch it.
//
// A buffer is held by the caller, or pinned by the one request it was given to, and comes back with
// that request's outcome under the same handle. Its address never changes. Its memory is malloc's,
// the caller's (kaio_buffer_adopt), or a frame of a region (region.h) or a pool (pool.h).
// Threads: the first queue that takes a buffer binds it to its thread; kaio_buffer_detach unbinds
// it, so that another thread's queue may take it. Reading the bytes and dropping need no binding.

#ifndef KAIO_SAFE_BUFFER_H_
#define KAIO_SAFE_BUFFER_H_

#include <stddef.h>
#include <stdint.h>

#include "kaio/safe/base.h"
#include "kaio/safe/handle.h"
#include "kaio/safe/status.h"

KAIO_BEGIN_DECLS

// The largest alignment and size of a buffer, in bytes.
#define KAIO_BUFFER_ALIGN_MAX_BYTES ((size_t)1 << 30)
#define KAIO_BUFFER_SIZE_MAX_BYTES ((size_t)0xffffffffu)

// kaio_buffer_new makes a zeroed buffer of `size_bytes` at an address that is a multiple of
// `align_bytes`, a power of two.
//
// Ownership: `*out_buffer` is the caller's until a request takes it or kaio_buffer_drop.
// Errors:    RANGE(size or alignment): 0, too large, or no power of two. NO_MEMORY.
KAIO_MUST_USE kaio_status kaio_buffer_new(size_t size_bytes, size_t align_bytes,
                                          kaio_buffer **out_buffer) KAIO_NOEXCEPT;

// Called once, when the memory that was adopted with it is the caller's again: after the last drop,
// on the thread that dropped last, outside every call of the library (not where a signal handler
// interrupted one: then later), and never in a child process. Must not throw or longjmp.
typedef void kaio_release_handler(void *context, void *bytes, size_t size_bytes);

// kaio_buffer_adopt makes a buffer of bytes[0..size_bytes), which are the caller's own memory.
//
// A door: nothing can check that the bytes are mapped, stay so until `on_release` is called, and
// that nobody else touches them while a request has the buffer.
// Ownership: the library's until `on_release(context, bytes, size_bytes)`, which may be NULL.
// Errors:    RANGE(size): 0, or too large. NULL_ARGUMENT(memory). NO_MEMORY. The bytes stay yours.
KAIO_MUST_USE kaio_status kaio_buffer_adopt(void *bytes, size_t size_bytes,
                                            kaio_release_handler *on_release, void *context,
                                            kaio_buffer **out_buffer) KAIO_NOEXCEPT;

// kaio_buffer_as_bytes lends the bytes, kaio_buffer_size of them, or returns NULL while a request
// has the buffer, while it is frozen, and when the handle is stale. The loan ends when the buffer
// is given to a request or dropped: ask again when it comes back.
uint8_t *kaio_buffer_as_bytes(const kaio_buffer *buffer) KAIO_NOEXCEPT;

// kaio_buffer_size returns the size in bytes, also while pinned, and 0 when the handle is stale.
size_t kaio_buffer_size(const kaio_buffer *buffer) KAIO_NOEXCEPT;

// kaio_buffer_detach unbinds `buffer` from the calling thread, so that another may take it.
//
// Errors:    WRONG_THREAD bound to another thread; BUSY a request has it, or views; STALE; FORKED.
KAIO_MUST_USE kaio_status kaio_buffer_detach(kaio_buffer *buffer) KAIO_NOEXCEPT;

// kaio_buffer_drop releases the memory and sets `*move_buffer` to NULL.
//
// A buffer that a request has stays with that request. One that is bound to another thread is
// released when that thread next makes or drops a buffer, opens or ends a queue, or ends itself; so
// is one that a signal handler drops in the middle of a call.
void kaio_buffer_drop(kaio_buffer **move_buffer) KAIO_NOEXCEPT;

KAIO_END_DECLS

#endif  // KAIO_SAFE_BUFFER_H_
