// tools/kaio/copy_file.h: one file to another name, whole and durable or not at all.

#ifndef KAIO_TOOLS_KAIO_COPY_FILE_H_
#define KAIO_TOOLS_KAIO_COPY_FILE_H_

#include <stdbool.h>
#include <stdint.h>

struct copy_options {
    const char *source;
    const char *target;
    uint32_t depth;        // blocks in flight
    uint32_t block_bytes;  // a power of two
    bool is_buffered;      // through the page cache even where direct I/O works
    bool is_verified;
    bool is_preserved;  // mode and times
};

// copy_file does what `kaio copy --help` says. What fails is said, and leaves nothing behind.
bool copy_file(const struct copy_options *options);

#endif  // KAIO_TOOLS_KAIO_COPY_FILE_H_
