// kaio/safe/queue_mask.h (private): waiting under a signal mask, inside a call.

#ifndef KAIO_SAFE_QUEUE_MASK_H_
#define KAIO_SAFE_QUEUE_MASK_H_

#include "kaio/raw/aio_abi.h"
#include "kaio/safe/queue.h"
#include "queue_place.h"

// A kaio_mask is the signals that are blocked while a wait sleeps, as the kernel has them.
struct kaio_mask {
    kaio_raw_ulong words[KAIO_RAW_SIGSET_BYTES / sizeof(kaio_raw_ulong)];
    bool was_in_force;    // a system call was made under it
    bool is_interrupted;  // the handler of a signal that it lets in has run
};

// kaio_queue_reap_masked sleeps under `mask` until `min_count` events are there, a handler has run,
// or `deadline` has passed, or shorter. Returns as io_pgetevents does.
long kaio_queue_reap_masked(struct kaio_queue_place *queue, uint32_t min_count,
                            kaio_deadline deadline, struct kaio_mask *mask);

#endif  // KAIO_SAFE_QUEUE_MASK_H_
