// kaio/safe/pool.h: memory of our own in buffers of one size.
//
// One mapping, taken from the system at once and kept out of child processes. Taking a buffer and
// giving it back cost no system call and no lock; a new buffer's bytes are what its last owner left
// (zero at first). Under AddressSanitizer a buffer that is not out cannot be touched.
// Threads: taking and dropping from any; a taken buffer is bound to the thread that took it.

#ifndef KAIO_SAFE_POOL_H_
#define KAIO_SAFE_POOL_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kaio/safe/base.h"
#include "kaio/safe/buffer.h"
#include "kaio/safe/handle.h"
#include "kaio/safe/status.h"

KAIO_BEGIN_DECLS

// A kaio_pool_options is zeroed first, then filled: what is 0 has its default.
typedef struct kaio_pool_options {
    size_t buffer_bytes;    // of each buffer; no default. Rounded up to the alignment.
    uint32_t buffer_count;  // no default
    size_t align_bytes;     // a power of two, up to KAIO_BUFFER_ALIGN_MAX_BYTES; 0: 4096
    // Ask for pages of 2 MiB and touch them all now. Direct I/O of 64 KiB and more gains most: a
    // request then is a few pieces instead of one for each 4 KiB. It is advice: where the system
    // has none to give, ordinary pages are used; kaio_pool_count tells what came.
    bool huge_pages;
    bool locked;  // mlock(2): never paged out
} kaio_pool_options;

// kaio_pool_open maps the memory of `options->buffer_count` buffers.
//
// Errors: RANGE(size, frames or alignment). LIMIT(frames): see kaio_region_adopt. NO_MEMORY.
//         OS_ERROR(pool): the memory cannot be locked: ENOMEM (RLIMIT_MEMLOCK), EPERM, EAGAIN.
// Kernel: mmap(2), madvise(2) with MADV_DONTFORK and MADV_HUGEPAGE, mlock(2).
KAIO_MUST_USE kaio_status kaio_pool_open(const kaio_pool_options *options,
                                         kaio_pool **out_pool) KAIO_NOEXCEPT;

// kaio_pool_take takes a buffer, the one that was given back last.
//
// Ownership: `*out_buffer` is the caller's, bound to the calling thread; kaio_buffer_drop gives it
//            back.
// Errors:    FULL(pool): all are out: detail = how many there are. STALE, NULL_ARGUMENT, REENTERED,
//            FORKED. NO_MEMORY.
KAIO_MUST_USE kaio_status kaio_pool_take(kaio_pool *pool, kaio_buffer **out_buffer) KAIO_NOEXCEPT;

// What a pool has.
typedef struct kaio_pool_counts {
    uint32_t buffer_count;
    uint32_t out_count;   // of those: one that another thread is just taking is
    size_t buffer_bytes;  // of each, as rounded
    size_t mapped_bytes;  // of the mapping
    size_t huge_bytes;    // of those, in pages of 2 MiB or more
    size_t locked_bytes;
} kaio_pool_counts;

// kaio_pool_count reports that. `huge_bytes` is the kernel's own answer, and 0 where it gives none.
//
// Errors: STALE, NULL_ARGUMENT, REENTERED, FORKED.
// Kernel: /proc/self/smaps, which takes about as long as the process has mappings: not for a hot
//         path.
KAIO_MUST_USE kaio_status kaio_pool_count(kaio_pool *pool,
                                          kaio_pool_counts *out_counts) KAIO_NOEXCEPT;

// kaio_pool_close ends `*move_pool`, which becomes NULL, and unmaps its memory.
//
// Errors: BUSY(pool): detail = how many buffers are out. STALE, NULL_ARGUMENT, REENTERED, FORKED.
KAIO_MUST_USE kaio_status kaio_pool_close(kaio_pool **move_pool) KAIO_NOEXCEPT;

// kaio_pool_drop ends `*move_pool`, which becomes NULL, once its last buffer is dropped. From now
// on none can be taken.
void kaio_pool_drop(kaio_pool **move_pool) KAIO_NOEXCEPT;

KAIO_END_DECLS

#endif  // KAIO_SAFE_POOL_H_
