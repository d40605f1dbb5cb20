// tools/engines/wal/wal_files.h: the segment files of a log, all of one size, numbered from 0.

#ifndef KAIO_TOOLS_ENGINES_WAL_WAL_FILES_H_
#define KAIO_TOOLS_ENGINES_WAL_WAL_FILES_H_

#include "wal.h"

enum { WAL_SEGMENT_COUNT_MAX = 1024 };

// A wal_shape is how large a log is.
typedef struct wal_shape {
    uint32_t segment_count;
    uint32_t batch_bytes;
    uint64_t segment_bytes;
} wal_shape;

// wal_files_make makes the files of a new log, and wal_files_find finds how many there are of an
// old one, and how long. Both check the shape.
bool wal_files_make(const char *folder, const wal_shape *shape, wal_error *out_error);
bool wal_files_find(const char *folder, wal_shape *shape, wal_error *out_error);

#endif  // KAIO_TOOLS_ENGINES_WAL_WAL_FILES_H_
