#define _GNU_SOURCE  // stat

#include "wal_files.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../files.h"
#include "wal_format.h"

static bool check(const wal_shape *shape, wal_error *out_error) {
    bool is_good = shape->segment_bytes % WAL_BLOCK_BYTES == 0 &&
                   shape->segment_bytes >= UINT64_C(4) * WAL_BLOCK_BYTES &&
                   shape->segment_count >= 2 && shape->segment_count <= WAL_SEGMENT_COUNT_MAX &&
                   shape->batch_bytes % WAL_BLOCK_BYTES == 0 &&
                   shape->batch_bytes >= 4 * WAL_BLOCK_BYTES;
    if (!is_good) {
        engine_say(engine_text_of(out_error),
                   "%" PRIu32 " segments of %" PRIu64 " bytes, batches of %" PRIu32
                   ": 2 to %d are needed, and multiples of %u, at least 4 of them",
                   shape->segment_count, shape->segment_bytes, shape->batch_bytes,
                   WAL_SEGMENT_COUNT_MAX, WAL_BLOCK_BYTES);
    }
    return is_good;
}

bool wal_files_make(const char *folder, const wal_shape *shape, wal_error *out_error) {
    if (!check(shape, out_error)) {
        return false;
    }
    char path[WAL_PATH_BYTES];
    for (uint32_t i = 0; i < shape->segment_count; ++i) {
        wal_segment_path(folder, i, path);
        if (!engine_make_file(path, shape->segment_bytes, engine_text_of(out_error))) {
            return false;
        }
    }
    return engine_sync_folder(folder, engine_text_of(out_error));
}

bool wal_files_find(const char *folder, wal_shape *shape, wal_error *out_error) {
    char path[WAL_PATH_BYTES];
    struct stat stat_of_first;
    wal_segment_path(folder, 0, path);
    if (stat(path, &stat_of_first) != 0) {
        engine_say(engine_text_of(out_error), "%s: %s", path, strerror(errno));
        return false;
    }
    shape->segment_bytes = (uint64_t)stat_of_first.st_size;
    shape->segment_count = 1;
    for (; shape->segment_count < WAL_SEGMENT_COUNT_MAX; ++shape->segment_count) {
        wal_segment_path(folder, shape->segment_count, path);
        if (access(path, F_OK) != 0) {
            break;
        }
    }
    return check(shape, out_error);
}
