// kaio/safe/ring_fork.h (private): a child of fork(2) must not see the parent's ring.
//
// The ring is shared memory: a child that reaps from it takes its parent's events.

#ifndef KAIO_SAFE_RING_FORK_H_
#define KAIO_SAFE_RING_FORK_H_

#include <stdbool.h>
#include <stdint.h>

#include "kaio/raw/aio_abi.h"

// kaio_ring_keep_from_children unmaps the ring in every child from now on. False: it stays mapped.
//
// Kernel: madvise(2) MADV_DONTFORK.
bool kaio_ring_keep_from_children(struct kaio_raw_ring *ring, uint32_t nr);

#endif  // KAIO_SAFE_RING_FORK_H_
