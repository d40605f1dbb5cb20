// tools/kaio/digest.h: one number for what a file holds.

#ifndef KAIO_TOOLS_KAIO_DIGEST_H_
#define KAIO_TOOLS_KAIO_DIGEST_H_

#include <stdbool.h>
#include <stdint.h>

#include "extents.h"
#include "pipeline.h"
#include "side.h"

// The checksum XXH3 with 128 bits.
struct digest {
    uint64_t low;
    uint64_t high;
};

bool digest_is_equal(struct digest first, struct digest second);

// digest_read reads `extents` of `side` and gives the checksum of their bytes in file order.
bool digest_read(struct pipeline *pipeline, const struct side *side, const struct extents *extents,
                 struct digest *out_digest);

#endif  // KAIO_TOOLS_KAIO_DIGEST_H_
