#define _GNU_SOURCE  // SEEK_DATA, SEEK_HOLE

#include "extents.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static uint64_t end_of(const struct extent *extent) {
    return extent->offset_bytes + extent->size_bytes;
}

static int grow(struct extents *extents) {
    size_t capacity = extents->capacity == 0 ? 16 : extents->capacity * 2;
    struct extent *items = reallocarray(extents->items, capacity, sizeof *items);
    if (items == NULL) {
        return ENOMEM;
    }
    extents->items = items;
    extents->capacity = capacity;
    return 0;
}

// append adds [start, end), which begins in or behind the last extent, and merges what touches.
static int append(struct extents *extents, uint64_t start, uint64_t end) {
    struct extent *last = extents->count == 0 ? NULL : &extents->items[extents->count - 1];
    if (last != NULL && start <= end_of(last)) {
        uint64_t more_bytes = end > end_of(last) ? end - end_of(last) : 0;
        last->size_bytes += more_bytes;
        extents->total_bytes += more_bytes;
        return 0;
    }
    if (extents->count == extents->capacity && grow(extents) != 0) {
        return ENOMEM;
    }
    extents->items[extents->count++] = (struct extent){start, end - start};
    extents->total_bytes += end - start;
    return 0;
}

// next_data finds the first data at or behind `from`: [*out_start, *out_end). Returns 0, ENXIO
// where there is none, or another errno value.
static int next_data(int fd, uint64_t from, uint64_t size_bytes, uint64_t *out_start,
                     uint64_t *out_end) {
    off_t data = lseek(fd, (off_t)from, SEEK_DATA);
    if (data < 0 && (errno == EINVAL || errno == EOPNOTSUPP)) {  // holes are not known here
        *out_start = from;
        *out_end = size_bytes;
        return 0;
    }
    if (data < 0) {
        return errno;
    }
    off_t hole = lseek(fd, data, SEEK_HOLE);
    *out_start = (uint64_t)data;
    *out_end = hole < 0 ? size_bytes : (uint64_t)hole;
    return 0;
}

static int find(int fd, uint64_t size_bytes, uint64_t align_bytes, struct extents *extents) {
    uint64_t from = 0;
    while (from < size_bytes) {
        uint64_t start = 0;
        uint64_t end = 0;
        int error = next_data(fd, from, size_bytes, &start, &end);
        if (error == ENXIO || (error == 0 && start >= size_bytes)) {
            return 0;
        }
        if (error != 0) {
            return error;
        }
        from = (end + align_bytes - 1) & ~(align_bytes - 1);
        error = append(extents, start & ~(align_bytes - 1), from < size_bytes ? from : size_bytes);
        if (error != 0) {
            return error;
        }
    }
    return 0;
}

int extents_find(int fd, uint64_t size_bytes, uint64_t align_bytes, struct extents *out_extents) {
    struct extents extents = {0};
    int error = find(fd, size_bytes, align_bytes, &extents);
    if (error != 0) {
        extents_free(&extents);
        return error;
    }
    *out_extents = extents;
    return 0;
}

int extents_unite(const struct extents *first, const struct extents *second,
                  struct extents *out_extents) {
    struct extents united = {0};
    size_t i = 0;
    size_t j = 0;
    while (i < first->count || j < second->count) {
        bool takes_first =
            j == second->count ||
            (i < first->count && first->items[i].offset_bytes <= second->items[j].offset_bytes);
        const struct extent *next = takes_first ? &first->items[i++] : &second->items[j++];
        if (append(&united, next->offset_bytes, end_of(next)) != 0) {
            extents_free(&united);
            return ENOMEM;
        }
    }
    *out_extents = united;
    return 0;
}

void extents_free(struct extents *extents) {
    free(extents->items);
    *extents = (struct extents){0};
}

bool extent_cursor_next(struct extent_cursor *cursor, uint64_t piece_bytes,
                        struct extent *out_piece) {
    if (cursor->index == cursor->extents->count) {
        return false;
    }
    const struct extent *extent = &cursor->extents->items[cursor->index];
    uint64_t left_bytes = extent->size_bytes - cursor->done_bytes;
    out_piece->offset_bytes = extent->offset_bytes + cursor->done_bytes;
    out_piece->size_bytes = left_bytes < piece_bytes ? left_bytes : piece_bytes;
    cursor->done_bytes += out_piece->size_bytes;
    if (cursor->done_bytes == extent->size_bytes) {
        ++cursor->index;
        cursor->done_bytes = 0;
    }
    return true;
}
