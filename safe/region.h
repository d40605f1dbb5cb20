// kaio/safe/region.h: the frames of an engine's own memory, registered once.
//
// A page store keeps its pages in one array of frames. Registered as a region, each frame can be
// taken as a buffer whenever it takes part in a transfer, and dropped afterwards, which gives the
// frame back to the engine: no allocation, no lock, 8 bytes for each frame.
//   kaio_region_adopt -> kaio_region_take(frame) -> buffer -> read or write -> kaio_buffer_drop
// Between a take and the drop the frame is the buffer's owner's alone. A buffer of a frame is one
// like any other: it can be frozen and handed over.
// Threads: taking and dropping from any; a taken frame is bound to the thread that took it.

#ifndef KAIO_SAFE_REGION_H_
#define KAIO_SAFE_REGION_H_

#include <stddef.h>
#include <stdint.h>

#include "kaio/safe/base.h"
#include "kaio/safe/buffer.h"
#include "kaio/safe/handle.h"
#include "kaio/safe/status.h"

KAIO_BEGIN_DECLS

// kaio_region_adopt registers `frame_count` frames of `frame_bytes` each, side by side at `bytes`.
//
// A door: nothing can check that the memory is mapped, stays so until `on_release` is called, and
// that nobody else touches a frame that is out. Nothing is asked of its alignment: direct I/O is
// checked with each transfer. All regions and pools of a process together have 2^24 frames, in
// steps of 4096 (2^14 in steps of 256 on 32-bit machines).
// Ownership: the memory is the library's to use until `on_release(context, bytes, all bytes)`,
//            which may be NULL; see kaio_release_handler.
// Errors:    RANGE(size or frames): 0, or too large. LIMIT(frames). NULL_ARGUMENT(memory).
//            NO_MEMORY. The memory stays yours.
KAIO_MUST_USE kaio_status kaio_region_adopt(void *bytes, size_t frame_bytes, uint32_t frame_count,
                                            kaio_release_handler *on_release, void *context,
                                            kaio_region **out_region) KAIO_NOEXCEPT;

// kaio_region_take takes the frame `frame_number`, counted from 0, as a buffer that is bound to the
// calling thread.
//
// Ownership: `*out_buffer` is the caller's; kaio_buffer_drop gives the frame back.
// Errors:    BUSY(buffer): the frame is out. RANGE(frames). STALE, NULL_ARGUMENT, REENTERED,
//            FORKED. NO_MEMORY.
KAIO_MUST_USE kaio_status kaio_region_take(kaio_region *region, uint32_t frame_number,
                                           kaio_buffer **out_buffer) KAIO_NOEXCEPT;

// How many frames a region has, and how many are out: one that another thread is just taking is.
typedef struct kaio_region_counts {
    uint32_t frame_count;
    uint32_t out_count;
} kaio_region_counts;

KAIO_MUST_USE kaio_status kaio_region_count(kaio_region *region,
                                            kaio_region_counts *out_counts) KAIO_NOEXCEPT;

// kaio_region_close ends `*move_region`, which becomes NULL, and calls its `on_release`.
//
// Errors: BUSY(region): detail = how many frames are out. STALE, NULL_ARGUMENT, REENTERED, FORKED.
KAIO_MUST_USE kaio_status kaio_region_close(kaio_region **move_region) KAIO_NOEXCEPT;

// kaio_region_drop ends `*move_region`, which becomes NULL, once its last frame is dropped. From
// now on none can be taken.
void kaio_region_drop(kaio_region **move_region) KAIO_NOEXCEPT;

KAIO_END_DECLS

#endif  // KAIO_SAFE_REGION_H_
