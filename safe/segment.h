// kaio/safe/segment.h: one piece of a vectored transfer.

#ifndef KAIO_SAFE_SEGMENT_H_
#define KAIO_SAFE_SEGMENT_H_

#include <stdint.h>

#include "kaio/safe/base.h"
#include "kaio/safe/handle.h"

KAIO_BEGIN_DECLS

// The most segments one request may have. Kernel: UIO_MAXIOV, include/uapi/linux/uio.h.
#define KAIO_SEGMENT_COUNT_MAX 1024u

// A kaio_segment is `size_bytes` bytes of a buffer, from `buffer_offset_bytes` on; or of a view, in
// a write. The other of the two is NULL. The segments of a request follow each other in the file.
typedef struct kaio_segment {
    kaio_buffer *buffer;
    kaio_view *view;
    uint32_t buffer_offset_bytes;
    uint32_t size_bytes;
} kaio_segment;

KAIO_END_DECLS

#endif  // KAIO_SAFE_SEGMENT_H_
