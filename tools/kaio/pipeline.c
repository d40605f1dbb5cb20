#define _GNU_SOURCE  // MADV_HUGEPAGE

#include "pipeline.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "kaio/safe/read.h"
#include "kaio/safe/sync.h"
#include "kaio/safe/write.h"
#include "message.h"
#include "progress.h"

// The kernel pins a buffer page by page for each direct transfer: with pages of 2 MiB a copy takes
// half the time. A smaller block gains too, down to 64 KiB, and has one of its own if there are not
// many.
enum { HUGE_PAGE_BYTES = 1 << 21, HUGE_GAIN_BYTES = 1 << 16, HUGE_GAIN_COUNT = 128 };

// How often, and how long each time, a kernel that is short of memory is asked again.
enum { AGAIN_COUNT = 500, AGAIN_PAUSE_NS = 10 * 1000 * 1000 };

static uint32_t round_up(uint32_t bytes, uint32_t align_bytes) {
    return (bytes + align_bytes - 1) & ~(align_bytes - 1);
}

bool pipeline_open(uint32_t depth, uint32_t block_bytes, size_t memory_bytes,
                   struct pipeline *out_pipeline) {
    struct pipeline pipeline = {
        .depth = depth, .block_bytes = block_bytes, .memory_bytes = memory_bytes};
    pipeline.blocks = calloc(depth, sizeof *pipeline.blocks);
    if (pipeline.blocks == NULL) {
        return message_error("%u blocks: %s", depth, strerror(ENOMEM));
    }
    kaio_queue_options options = {.depth = depth};
    kaio_status status = kaio_queue_open(&options, &pipeline.queue);
    if (!kaio_status_is_ok(status)) {
        free(pipeline.blocks);
        return message_status("kernel", "queue", status);
    }
    *out_pipeline = pipeline;
    return true;
}

static void free_bytes(void *context, void *bytes, size_t size_bytes) {
    (void)context;
    (void)size_bytes;
    free(bytes);
}

// make_huge_buffer asks for large pages before the memory is touched: it takes those that there are
// then.
static kaio_status make_huge_buffer(size_t size_bytes, kaio_buffer **out_buffer) {
    void *bytes = aligned_alloc(HUGE_PAGE_BYTES, size_bytes);
    if (bytes == NULL) {
        return kaio_status_from_os_error(ENOMEM);
    }
    (void)madvise(bytes, size_bytes, MADV_HUGEPAGE);
    kaio_status status = kaio_buffer_adopt(bytes, size_bytes, free_bytes, NULL, out_buffer);
    if (!kaio_status_is_ok(status)) {
        free(bytes);
    }
    return status;
}

static bool wants_huge_pages(const struct pipeline *pipeline) {
    return pipeline->block_bytes >= HUGE_PAGE_BYTES ||
           (pipeline->block_bytes >= HUGE_GAIN_BYTES && pipeline->depth <= HUGE_GAIN_COUNT);
}

static bool make_buffer(const struct pipeline *pipeline, kaio_buffer **out_buffer) {
    kaio_status status =
        wants_huge_pages(pipeline)
            ? make_huge_buffer(round_up(pipeline->block_bytes, HUGE_PAGE_BYTES), out_buffer)
            : kaio_buffer_new(pipeline->block_bytes, pipeline->memory_bytes, out_buffer);
    if (!kaio_status_is_ok(status)) {
        return message_status("memory", "buffer", status);
    }
    return true;
}

// remainder_of is what is still to be moved: from the last aligned place on, and to an aligned end.
static kaio_range remainder_of(const struct block *block) {
    uint32_t align_bytes = side_align_bytes(block->side, block->operation);
    uint32_t from = block->done_bytes & ~(align_bytes - 1);
    uint32_t end = round_up((uint32_t)block->piece.size_bytes, align_bytes);
    return (kaio_range){.file_offset_bytes = block->piece.offset_bytes + from,
                        .buffer_offset_bytes = from,
                        .size_bytes = end - from};
}

// transfer starts what is left of a block's transfer.
static bool transfer(struct pipeline *pipeline, uint32_t index) {
    struct block *block = &pipeline->blocks[index];
    bool is_read = block->operation == KAIO_READ;
    kaio_ticket ticket;
    kaio_status status = (is_read ? kaio_read_start : kaio_write_start)(
        pipeline->queue, block->side->file, remainder_of(block), kaio_rw_none(), index,
        &block->buffer, &ticket);
    if (!kaio_status_is_ok(status)) {
        return message_status(block->side->path, is_read ? "read" : "write", status);
    }
    return true;
}

static bool begin(struct pipeline *pipeline, uint32_t index, const struct side *side,
                  kaio_operation operation) {
    struct block *block = &pipeline->blocks[index];
    block->side = side;
    block->operation = operation;
    block->done_bytes = 0;
    block->is_whole = false;
    return transfer(pipeline, index);
}

bool pipeline_read(struct pipeline *pipeline, uint32_t index, const struct side *side,
                   struct extent piece) {
    struct block *block = &pipeline->blocks[index];
    if (block->buffer == NULL && !make_buffer(pipeline, &block->buffer)) {
        return false;
    }
    block->piece = piece;
    return begin(pipeline, index, side, KAIO_READ);
}

bool pipeline_write(struct pipeline *pipeline, uint32_t index, const struct side *side) {
    struct block *block = &pipeline->blocks[index];
    uint32_t size_bytes = (uint32_t)block->piece.size_bytes;
    uint32_t padded_bytes = round_up(size_bytes, side_align_bytes(side, KAIO_WRITE));
    uint8_t *bytes = kaio_buffer_as_bytes(block->buffer);
    memset(bytes + size_bytes, 0, padded_bytes - size_bytes);
    return begin(pipeline, index, side, KAIO_WRITE);
}

static bool say_failure(const struct block *block, const kaio_completion *completion) {
    int os_error = completion->os_error;
    char text[160] = "";
    if (os_error == 0) {
        (void)kaio_status_message(completion->refusal, text, sizeof text);
    }
    bool may_be_direct = os_error == EINVAL && block->side->alignment.is_direct;
    return message_error("%s: %s of %" PRIu32 " bytes at offset %" PRIu64 ": %s%s",
                         block->side->path, kaio_operation_name(completion->operation),
                         completion->range.size_bytes, completion->range.file_offset_bytes,
                         os_error != 0 ? strerror(os_error) : text,
                         may_be_direct ? " (--buffered may help)" : "");
}

static bool say_no_more(const struct block *block) {
    uint64_t end = block->piece.offset_bytes + block->done_bytes;
    if (block->operation == KAIO_READ) {
        return message_error("%s: read at offset %" PRIu64
                             ": the file ends here, before the size it had",
                             block->side->path, end);
    }
    return message_error("%s: write at offset %" PRIu64 ": nothing was written", block->side->path,
                         end);
}

// accept counts what a request moved, and sends the rest of the block. A request that began before
// what was done already (at an aligned place) and came no further met an end.
static bool accept(struct pipeline *pipeline, uint32_t index, const kaio_completion *completion) {
    struct block *block = &pipeline->blocks[index];
    uint64_t reached_bytes = completion->range.buffer_offset_bytes + completion->moved_bytes;
    if (reached_bytes >= block->piece.size_bytes) {
        block->is_whole = true;
        return true;
    }
    if (reached_bytes <= block->done_bytes) {
        return say_no_more(block);
    }
    block->done_bytes = (uint32_t)reached_bytes;
    return transfer(pipeline, index);
}

static bool finish(struct pipeline *pipeline, uint32_t index, const kaio_completion *completion) {
    switch (completion->transfer) {
        case KAIO_TRANSFER_FULL:
        case KAIO_TRANSFER_SHORT:
            return accept(pipeline, index, completion);
        case KAIO_TRANSFER_END:
            return say_no_more(&pipeline->blocks[index]);
        case KAIO_TRANSFER_PENDING:
        case KAIO_TRANSFER_WOULD_BLOCK:
        case KAIO_TRANSFER_CANCELLED:
        case KAIO_TRANSFER_REFUSED:
        case KAIO_TRANSFER_FAILED:
            break;
    }
    return say_failure(&pipeline->blocks[index], completion);
}

// await waits for one outcome at least, and keeps the progress line alive.
static bool await(struct pipeline *pipeline) {
    uint32_t ready_count;
    kaio_status status;
    for (unsigned again_count = 0; again_count < AGAIN_COUNT;) {
        progress_draw();
        status = kaio_queue_wait(pipeline->queue, 1, progress_deadline(), &ready_count);
        if (kaio_status_is_ok(status)) {
            return true;
        }
        if (status.code == KAIO_AGAIN) {
            ++again_count;
            (void)nanosleep(&(struct timespec){.tv_nsec = AGAIN_PAUSE_NS}, NULL);
        } else if (status.code != KAIO_TIMED_OUT) {
            break;
        }
    }
    return message_status("kernel", "wait", status);
}

// take gives an outcome, of those that are ready or else of the first to come.
static bool take(struct pipeline *pipeline, kaio_completion *out_completion) {
    while (!kaio_status_is_ok(kaio_queue_take(pipeline->queue, out_completion))) {
        if (!await(pipeline)) {
            return false;
        }
    }
    return true;
}

bool pipeline_next(struct pipeline *pipeline, uint32_t *out_index) {
    for (;;) {
        kaio_completion completion;
        if (!take(pipeline, &completion)) {
            return false;
        }
        uint32_t index = (uint32_t)completion.user;
        pipeline->blocks[index].buffer = completion.buffer;
        if (!finish(pipeline, index, &completion)) {
            return false;
        }
        if (pipeline->blocks[index].is_whole) {
            *out_index = index;
            return true;
        }
    }
}

const uint8_t *pipeline_bytes(const struct pipeline *pipeline, uint32_t index) {
    return kaio_buffer_as_bytes(pipeline->blocks[index].buffer);
}

bool pipeline_sync(struct pipeline *pipeline, const struct side *side) {
    kaio_ticket ticket;
    kaio_status status = kaio_sync_start(pipeline->queue, side->file, KAIO_SYNC_ALL, 0, &ticket);
    if (!kaio_status_is_ok(status)) {
        return message_status(side->path, "sync", status);
    }
    kaio_completion completion;
    if (!take(pipeline, &completion)) {
        return false;
    }
    if (completion.sync != KAIO_SYNC_SYNCED) {
        return message_os_error(side->path, "sync", completion.os_error);
    }
    return true;
}

void pipeline_close(struct pipeline *pipeline) {
    kaio_queue_drop(&pipeline->queue);
    for (uint32_t i = 0; pipeline->blocks != NULL && i < pipeline->depth; ++i) {
        kaio_buffer_drop(&pipeline->blocks[i].buffer);
    }
    free(pipeline->blocks);
    *pipeline = (struct pipeline){0};
}
