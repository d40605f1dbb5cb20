// tools/kaio/side.h: one end of a transfer: an open file, and what its transfers must be aligned
// to.

#ifndef KAIO_TOOLS_KAIO_SIDE_H_
#define KAIO_TOOLS_KAIO_SIDE_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kaio/safe/file.h"
#include "kaio/safe/outcome.h"

struct side {
    const char *path;  // as the user wrote it, for messages
    kaio_file *file;   // owns the descriptor
    int fd;            // lent by `file`
    kaio_alignment alignment;
};

// side_adopt takes over `fd`, which was opened without O_DIRECT, and switches direct I/O on if it
// is wanted and the file system has it; says so if not. `path` stays the caller's and must last.
//
// Ownership: `fd` is consumed, also on false; `out_side` is ended by side_close. Errors are said.
bool side_adopt(const char *path, int fd, bool wants_direct, struct side *out_side);

// side_align_bytes is what offset and size of an `operation` (read or write) are multiples of.
uint32_t side_align_bytes(const struct side *side, kaio_operation operation);

// side_close closes the file; a zeroed side is fine.
void side_close(struct side *side);

#endif  // KAIO_TOOLS_KAIO_SIDE_H_
