// tools/kaio/extents.h: which ranges of a file hold data; the rest are holes.
//
// The list is ascending, does not overlap, and every offset in it is a multiple of the alignment it
// was made for, but for the end of the last extent, which may be the end of the file.

#ifndef KAIO_TOOLS_KAIO_EXTENTS_H_
#define KAIO_TOOLS_KAIO_EXTENTS_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct extent {
    uint64_t offset_bytes;
    uint64_t size_bytes;
};

struct extents {
    struct extent *items;
    size_t count;
    size_t capacity;
    uint64_t total_bytes;
};

// extents_find lists the data of the first `size_bytes` of `fd`, widened to `align_bytes`, a power
// of two. A file system that knows no holes has data everywhere.
//
// Ownership: `out_extents` is ended by extents_free.
// Returns 0 or an errno value, with nothing made.
int extents_find(int fd, uint64_t size_bytes, uint64_t align_bytes, struct extents *out_extents);

// extents_unite makes the list of what is in `first` or in `second`. Returns 0 or an errno value.
int extents_unite(const struct extents *first, const struct extents *second,
                  struct extents *out_extents);

// extents_free ends a list; a zeroed one is fine.
void extents_free(struct extents *extents);

// A cursor walks over a list in pieces.
struct extent_cursor {
    const struct extents *extents;
    size_t index;
    uint64_t done_bytes;  // of the extent at `index`
};

// extent_cursor_next gives the next piece, of `piece_bytes` at most, or false behind the last.
bool extent_cursor_next(struct extent_cursor *cursor, uint64_t piece_bytes,
                        struct extent *out_piece);

#endif  // KAIO_TOOLS_KAIO_EXTENTS_H_
