#define _DEFAULT_SOURCE  // madvise

#include "ring_fork.h"

#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>

bool kaio_ring_keep_from_children(struct kaio_raw_ring *ring, uint32_t nr) {
    size_t size_bytes = sizeof *ring + (size_t)nr * sizeof(struct kaio_raw_event);
    int saved_errno = errno;
    bool is_kept = madvise(ring, size_bytes, MADV_DONTFORK) == 0;
    errno = saved_errno;
    return is_kept;
}
