#define _GNU_SOURCE  // fallocate

#include "copy_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "digest.h"
#include "extents.h"
#include "message.h"
#include "pipeline.h"
#include "progress.h"
#include "replace.h"
#include "side.h"
#include "source.h"

enum { LEAST_ALIGN_BYTES = 4096, UNSIZED_CHUNK_BYTES = 1 << 16 };

struct copy {
    const struct copy_options *options;
    struct source source;
    struct replacement replacement;
    struct side target;
    struct extents extents;  // the data of the source
    struct pipeline pipeline;
};

// check_target refuses a target that is no file name, or that must not be replaced. A link to
// nowhere may be.
static bool check_target(const struct copy *copy) {
    const char *target = copy->options->target;
    size_t length = strlen(target);
    struct stat found;
    if (stat(target, &found) != 0) {
        if (errno != ENOENT || length == 0) {
            return message_os_error(target, "stat", errno);
        }
        return target[length - 1] != '/' || message_error("%s: names a directory", target);
    }
    if (S_ISDIR(found.st_mode)) {
        return message_error("%s: is a directory", target);
    }
    if (!S_ISREG(found.st_mode)) {
        return message_error("%s: is not a regular file, and would be replaced", target);
    }
    const struct stat *source = &copy->source.found;
    if (found.st_dev == source->st_dev && found.st_ino == source->st_ino) {
        return message_error("%s: is the same file as %s", target, copy->options->source);
    }
    return true;
}

static bool open_source(struct copy *copy) {
    const struct copy_options *options = copy->options;
    if (!source_open(options->source, !options->is_buffered, &copy->source)) {
        return false;
    }
    if (!copy->source.is_unsized) {
        return true;
    }
    if (options->is_verified) {
        return message_error("%s: size unknown: it cannot be read again to verify",
                             options->source);
    }
    message_note("%s: size unknown, copying buffered to its end", options->source);
    return true;
}

// open_target makes the temporary file.
static bool open_target(struct copy *copy) {
    int fd;
    if (!replacement_begin(copy->options->target, &copy->replacement, &fd)) {
        return false;
    }
    bool wants_direct = !copy->options->is_buffered && !copy->source.is_unsized;
    if (!side_adopt(copy->options->target, fd, wants_direct, &copy->target)) {
        replacement_abandon(&copy->replacement);
        return false;
    }
    return true;
}

static uint32_t larger(uint32_t first, uint32_t second) {
    return first > second ? first : second;
}

static uint32_t file_align_bytes(const struct side *side) {
    return larger(side_align_bytes(side, KAIO_READ), side_align_bytes(side, KAIO_WRITE));
}

static bool check_block(const struct copy *copy, const struct side *side) {
    uint32_t align_bytes = file_align_bytes(side);
    if (copy->options->block_bytes % align_bytes != 0) {
        return message_error("%s: direct I/O here needs a block size of %" PRIu32
                             " or more, not %" PRIu32,
                             side->path, align_bytes, copy->options->block_bytes);
    }
    return true;
}

static bool open_pipeline(struct copy *copy) {
    const struct side *source = &copy->source.side;
    const struct side *target = &copy->target;
    if (!check_block(copy, source) || !check_block(copy, target)) {
        return false;
    }
    uint32_t memory_bytes = larger(source->alignment.memory_bytes, target->alignment.memory_bytes);
    return pipeline_open(copy->options->depth, copy->options->block_bytes,
                         larger(memory_bytes, LEAST_ALIGN_BYTES), &copy->pipeline);
}

static bool find_extents(const struct copy *copy, const struct side *side, struct extents *out) {
    uint32_t align_bytes =
        larger(file_align_bytes(&copy->source.side), file_align_bytes(&copy->target));
    int error = extents_find(side->fd, copy->source.size_bytes, align_bytes, out);
    return error == 0 || message_os_error(side->path, "find its data", error);
}

// padded_bytes is the size of the target while it is written: the last block is written whole.
static uint64_t padded_bytes(const struct copy *copy) {
    uint64_t align_bytes = side_align_bytes(&copy->target, KAIO_WRITE);
    return (copy->source.size_bytes + align_bytes - 1) & ~(align_bytes - 1);
}

static bool resize(const struct copy *copy, uint64_t size_bytes) {
    while (ftruncate(copy->target.fd, (off_t)size_bytes) != 0) {
        if (errno != EINTR) {
            return message_error("%s: set size to %" PRIu64 " bytes: %s", copy->target.path,
                                 size_bytes, strerror(errno));
        }
    }
    return true;
}

// reserve_extent takes the room for one extent. Returns 0 or an errno value.
static int reserve_extent(const struct copy *copy, const struct extent *extent) {
    int error;
    do {
        error = fallocate(copy->target.fd, FALLOC_FL_KEEP_SIZE, (off_t)extent->offset_bytes,
                          (off_t)extent->size_bytes) == 0
                    ? 0
                    : errno;
    } while (error == EINTR);
    return error;
}

// reserve finds out early whether there is room, where the file system can tell. Writes into what
// is reserved, inside the size of the file, need no lock of it: they run side by side.
static bool reserve(const struct copy *copy) {
    for (size_t i = 0; i < copy->extents.count; ++i) {
        const struct extent *extent = &copy->extents.items[i];
        int error = reserve_extent(copy, extent);
        if (error == EOPNOTSUPP || error == ENOSYS) {
            return true;
        }
        if (error != 0) {
            return message_error("%s: reserve %" PRIu64 " bytes at offset %" PRIu64 ": %s",
                                 copy->target.path, extent->size_bytes, extent->offset_bytes,
                                 strerror(error));
        }
    }
    return true;
}

// copy_blocks keeps every block on its way: read, written, and read again from the next piece.
static bool copy_blocks(struct copy *copy) {
    struct pipeline *pipeline = &copy->pipeline;
    struct extent_cursor cursor = {.extents = &copy->extents};
    struct extent piece;
    uint32_t busy_count = 0;
    while (busy_count < pipeline->depth &&
           extent_cursor_next(&cursor, pipeline->block_bytes, &piece)) {
        if (!pipeline_read(pipeline, busy_count++, &copy->source.side, piece)) {
            return false;
        }
    }
    while (busy_count > 0) {
        uint32_t index;
        if (!pipeline_next(pipeline, &index)) {
            return false;
        }
        const struct block *block = &pipeline->blocks[index];
        bool is_started = true;
        if (block->operation == KAIO_READ) {
            is_started = pipeline_write(pipeline, index, &copy->target);
        } else {
            progress_add(block->piece.size_bytes);
            if (extent_cursor_next(&cursor, pipeline->block_bytes, &piece)) {
                is_started = pipeline_read(pipeline, index, &copy->source.side, piece);
            } else {
                --busy_count;
            }
        }
        if (!is_started) {
            return false;
        }
    }
    return true;
}

static bool copy_sized(struct copy *copy) {
    if (!find_extents(copy, &copy->source.side, &copy->extents) ||
        !resize(copy, padded_bytes(copy)) || !reserve(copy)) {
        return false;
    }
    progress_begin("copying", copy->extents.total_bytes);
    return copy_blocks(copy) && resize(copy, copy->source.size_bytes);
}

static bool write_all(const struct side *side, const char *bytes, size_t size_bytes) {
    while (size_bytes > 0) {
        ssize_t count = write(side->fd, bytes, size_bytes);
        if (count < 0 && errno != EINTR) {
            return message_os_error(side->path, "write", errno);
        }
        size_t moved_bytes = count < 0 ? 0 : (size_t)count;
        bytes += moved_bytes;
        size_bytes -= moved_bytes;
    }
    return true;
}

// copy_unsized reads to the end. Such files (procfs) often take neither offsets nor AIO.
static bool copy_unsized(struct copy *copy) {
    const struct side *source = &copy->source.side;
    char chunk[UNSIZED_CHUNK_BYTES];
    for (;;) {
        ssize_t count = read(source->fd, chunk, sizeof chunk);
        if (count == 0) {
            return true;
        }
        if (count < 0 && errno != EINTR) {
            return message_os_error(source->path, "read", errno);
        }
        if (count > 0 && !write_all(&copy->target, chunk, (size_t)count)) {
            return false;
        }
    }
}

static bool digest_both(struct copy *copy, const struct extents *extents, struct digest *out_source,
                        struct digest *out_target) {
    progress_begin("verifying", 2 * extents->total_bytes);
    return digest_read(&copy->pipeline, &copy->source.side, extents, out_source) &&
           digest_read(&copy->pipeline, &copy->target, extents, out_target);
}

// compare reads back what is data in either file; the rest are holes in both, and so zeros.
static bool compare(struct copy *copy, const struct extents *in_source,
                    const struct extents *in_target) {
    struct extents extents;
    int error = extents_unite(in_source, in_target, &extents);
    if (error != 0) {
        return message_os_error(copy->target.path, "verify", error);
    }
    struct digest source;
    struct digest target;
    bool is_read = digest_both(copy, &extents, &source, &target);
    extents_free(&extents);
    if (!is_read) {
        return false;
    }
    return digest_is_equal(source, target) ||
           message_error("%s: verify: the copy differs from %s: XXH3 %016" PRIx64 "%016" PRIx64
                         ", not %016" PRIx64 "%016" PRIx64,
                         copy->target.path, copy->source.side.path, target.high, target.low,
                         source.high, source.low);
}

static bool verify(struct copy *copy) {
    if (!copy->options->is_verified) {
        return true;
    }
    progress_begin("syncing", 0);
    if (!pipeline_sync(&copy->pipeline, &copy->target)) {
        return false;
    }
    struct extents in_source = {0};
    struct extents in_target = {0};
    bool is_equal = find_extents(copy, &copy->source.side, &in_source) &&
                    find_extents(copy, &copy->target, &in_target) &&
                    compare(copy, &in_source, &in_target);
    extents_free(&in_source);
    extents_free(&in_target);
    return is_equal;
}

// mode_for is the mode of the copy. It keeps set-ID bits only where they mean the same ID.
static mode_t mode_for(const struct copy *copy, const struct stat *made) {
    const struct stat *source = &copy->source.found;
    if (!copy->options->is_preserved) {
        mode_t mask = umask(0);
        (void)umask(mask);
        return source->st_mode & 0777 & ~mask;
    }
    mode_t mode = source->st_mode & 07777;
    if (made->st_uid != source->st_uid) {
        mode &= ~(mode_t)S_ISUID;
    }
    if (made->st_gid != source->st_gid) {
        mode &= ~(mode_t)S_ISGID;
    }
    return mode;
}

static bool set_attributes(const struct copy *copy) {
    const struct side *target = &copy->target;
    struct stat made;
    if (fstat(target->fd, &made) != 0) {
        return message_os_error(target->path, "stat", errno);
    }
    bool is_preserved = copy->options->is_preserved;
    // EPERM on a file of our own: this file system has no modes (vfat).
    if (fchmod(target->fd, mode_for(copy, &made)) != 0 && (is_preserved || errno != EPERM)) {
        return message_os_error(target->path, "set mode", errno);
    }
    struct timespec times[] = {copy->source.found.st_atim, copy->source.found.st_mtim};
    if (is_preserved && futimens(target->fd, times) != 0) {
        return message_os_error(target->path, "set times", errno);
    }
    return true;
}

static bool sync_target(struct copy *copy) {
    progress_begin("syncing", 0);
    return pipeline_sync(&copy->pipeline, &copy->target);
}

// fill makes the temporary file all that the target shall be.
static bool fill(struct copy *copy) {
    return open_pipeline(copy) &&
           (copy->source.is_unsized ? copy_unsized(copy) : copy_sized(copy)) && verify(copy) &&
           set_attributes(copy) && sync_target(copy) && source_is_unchanged(&copy->source);
}

static bool replace_target(struct copy *copy) {
    if (!open_target(copy)) {
        return false;
    }
    if (!fill(copy)) {
        replacement_abandon(&copy->replacement);
        return false;
    }
    return replacement_commit(&copy->replacement, copy->target.fd);
}

bool copy_file(const struct copy_options *options) {
    (void)signal(SIGXFSZ, SIG_IGN);  // so that a write beyond the limit of the process fails
    struct copy copy = {.options = options};
    bool is_copied = open_source(&copy) && check_target(&copy) && replace_target(&copy);
    progress_end();
    pipeline_close(&copy.pipeline);
    extents_free(&copy.extents);
    side_close(&copy.target);
    source_close(&copy.source);
    return is_copied;
}
