#include "digest.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "progress.h"

bool digest_is_equal(struct digest first, struct digest second) {
    return first.low == second.low && first.high == second.high;
}

// A reader has the blocks in a ring: they were started in file order, and are digested in it.
struct reader {
    struct pipeline *pipeline;
    const struct side *side;
    struct extent_cursor cursor;
    uint32_t first;  // block whose bytes come next
    uint32_t busy_count;
};

// read_next starts the next piece in block `index`, if there is one.
static bool read_next(struct reader *reader, uint32_t index) {
    struct extent piece;
    if (!extent_cursor_next(&reader->cursor, reader->pipeline->block_bytes, &piece)) {
        return true;
    }
    ++reader->busy_count;
    return pipeline_read(reader->pipeline, index, reader->side, piece);
}

// digest_ready digests the blocks that are whole and whose turn it is, and starts them again.
static bool digest_ready(struct reader *reader, XXH3_state_t *state) {
    struct block *block = &reader->pipeline->blocks[reader->first];
    while (reader->busy_count > 0 && block->is_whole) {
        size_t size_bytes = (size_t)block->piece.size_bytes;
        (void)XXH3_128bits_update(state, pipeline_bytes(reader->pipeline, reader->first),
                                  size_bytes);
        progress_add(size_bytes);
        --reader->busy_count;
        block->is_whole = false;
        if (!read_next(reader, reader->first)) {
            return false;
        }
        reader->first = (reader->first + 1) % reader->pipeline->depth;
        block = &reader->pipeline->blocks[reader->first];
    }
    return true;
}

static bool digest_all(struct reader *reader, XXH3_state_t *state) {
    for (uint32_t i = 0; i < reader->pipeline->depth; ++i) {
        reader->pipeline->blocks[i].is_whole = false;
        if (!read_next(reader, i)) {
            return false;
        }
    }
    while (reader->busy_count > 0) {
        uint32_t index;
        if (!pipeline_next(reader->pipeline, &index) || !digest_ready(reader, state)) {
            return false;
        }
    }
    return true;
}

bool digest_read(struct pipeline *pipeline, const struct side *side, const struct extents *extents,
                 struct digest *out_digest) {
    XXH3_state_t state;
    (void)XXH3_128bits_reset(&state);
    struct reader reader = {.pipeline = pipeline, .side = side, .cursor = {.extents = extents}};
    if (!digest_all(&reader, &state)) {
        return false;
    }
    XXH128_hash_t hash = XXH3_128bits_digest(&state);
    *out_digest = (struct digest){.low = hash.low64, .high = hash.high64};
    return true;
}
