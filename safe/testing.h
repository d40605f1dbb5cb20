// kaio/safe/testing.h: what tests may know of the inside. Not for products: test-only.

#ifndef KAIO_SAFE_TESTING_H_
#define KAIO_SAFE_TESTING_H_

#include <stdbool.h>
#include <stdint.h>

#include "kaio/safe/base.h"
#include "kaio/safe/handle.h"

KAIO_BEGIN_DECLS

// kaio_testing_fault returns the first thing that is wrong with the queue's books, as a static
// sentence, or NULL: every slot in exactly one state and list, and the counts as the slots have it.
// Call it from the queue's thread, for a living queue.
const char *kaio_testing_fault(const kaio_queue *queue) KAIO_NOEXCEPT;

// How many objects live in this process.
typedef struct kaio_testing_census {
    uint32_t queue_count;
    uint32_t file_count;
    uint32_t buffer_count;  // of their own: not the frames of regions and pools
    uint32_t view_count;
    uint32_t region_count;  // and pools
} kaio_testing_census;

kaio_testing_census kaio_testing_count(void) KAIO_NOEXCEPT;

// kaio_testing_age_slots gives each free slot of `queue` the life that comes `ahead` lives before
// the last one, so that a test can see it wrap. Returns how many slots were changed.
uint32_t kaio_testing_age_slots(const kaio_queue *queue, uint64_t ahead) KAIO_NOEXCEPT;

// kaio_testing_age_place does so with the place that `bits` name, the handle of a queue, file or
// buffer that was. False: the place is in use, or there is none.
bool kaio_testing_age_place(uintptr_t bits, uint64_t ahead) KAIO_NOEXCEPT;

// kaio_testing_queue_bytes is the library's memory for each request of depth, without what a queue
// costs whatever its depth.
uint64_t kaio_testing_queue_bytes(const kaio_queue *queue) KAIO_NOEXCEPT;

// kaio_testing_forge_event puts an event into the ring of `queue`, as a kernel with a bug would.
void kaio_testing_forge_event(const kaio_queue *queue, uint64_t data, int64_t result) KAIO_NOEXCEPT;

KAIO_END_DECLS

#endif  // KAIO_SAFE_TESTING_H_
