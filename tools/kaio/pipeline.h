// tools/kaio/pipeline.h: blocks of files on their way, many at once, through one queue.
//
// A block is a buffer, and the piece of a file that it stands for. pipeline_read and pipeline_write
// start its transfer; pipeline_next gives back the index of a block whose transfer is whole: what
// the kernel moved in parts is put together here. What fails is said, and leaves the pipeline to be
// closed: pipeline_close waits for what is in flight.

#ifndef KAIO_TOOLS_KAIO_PIPELINE_H_
#define KAIO_TOOLS_KAIO_PIPELINE_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "extents.h"
#include "kaio/safe/buffer.h"
#include "kaio/safe/queue.h"
#include "side.h"

struct block {
    kaio_buffer *buffer;  // NULL until it is first used, and while a request has it
    struct extent piece;
    const struct side *side;   // of the last transfer
    kaio_operation operation;  // the same
    uint32_t done_bytes;       // of the running transfer
    bool is_whole;             // it is over, and pipeline_next gave its index
};

struct pipeline {
    kaio_queue *queue;
    struct block *blocks;  // [0..depth)
    uint32_t depth;
    uint32_t block_bytes;  // a power of two, a multiple of every side's alignments
    size_t memory_bytes;   // alignment of the buffers
};

// pipeline_open makes a pipeline of `depth` blocks; their buffers are made when they are first
// used.
bool pipeline_open(uint32_t depth, uint32_t block_bytes, size_t memory_bytes,
                   struct pipeline *out_pipeline);

// pipeline_read starts to fill block `index`, which is at rest, with `piece` of `side`. The piece
// begins at a multiple of the side's alignment; its end may be the end of the file.
bool pipeline_read(struct pipeline *pipeline, uint32_t index, const struct side *side,
                   struct extent piece);

// pipeline_write starts to write block `index`, which is at rest, to its place in `side`. Zeros are
// written behind a piece whose end is not aligned.
bool pipeline_write(struct pipeline *pipeline, uint32_t index, const struct side *side);

// pipeline_next waits until a transfer is whole. At least one is running.
bool pipeline_next(struct pipeline *pipeline, uint32_t *out_index);

// pipeline_bytes lends the bytes of block `index`, which is at rest.
const uint8_t *pipeline_bytes(const struct pipeline *pipeline, uint32_t index);

// pipeline_sync makes `side` durable, with all metadata. Nothing is running.
bool pipeline_sync(struct pipeline *pipeline, const struct side *side);

// pipeline_close ends all of it; a zeroed pipeline is fine.
void pipeline_close(struct pipeline *pipeline);

#endif  // KAIO_TOOLS_KAIO_PIPELINE_H_
