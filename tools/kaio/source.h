// tools/kaio/source.h: the file that is copied, as it was when it was opened.

#ifndef KAIO_TOOLS_KAIO_SOURCE_H_
#define KAIO_TOOLS_KAIO_SOURCE_H_

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "side.h"

struct source {
    struct side side;
    struct stat found;
    uint64_t size_bytes;
    bool is_unsized;  // not empty, though its size says so: a file that is made up when it is read
};

// source_open opens a regular file or a block device for reading.
//
// Ownership: `out_source` is ended by source_close; `path` stays the caller's and must last.
bool source_open(const char *path, bool wants_direct, struct source *out_source);

// source_is_unchanged says an error if the file has another size or time of change now.
bool source_is_unchanged(const struct source *source);

// source_close closes the file; a zeroed source is fine.
void source_close(struct source *source);

#endif  // KAIO_TOOLS_KAIO_SOURCE_H_
