#define _GNU_SOURCE  // RWF_DSYNC and its kin

#include "kaio/safe/sim/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inside.h"
#include "kaio/raw/aio_abi.h"

// gcc's analyser loses what is kept in lists of structures, and says that it leaks.
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 10
#    pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"
#endif

enum { SECTOR = KAIO_SIM_DISK_SECTOR_BYTES };

// An image is the bytes of a file.
struct image {
    uint8_t *bytes;
    uint64_t size_bytes;
};

// A change is a write that is not durable.
struct change {
    uint64_t offset;
    struct image data;
};

struct file {
    struct file *next;
    dev_t device;
    ino_t inode;
    int fd;  // of its own, neither O_DIRECT nor O_APPEND
    struct image durable;
    struct change *changes;  // [0..count), the oldest first
    uint32_t count;
    uint32_t capacity;
    struct image found;  // after the last cut
};

static struct file *files;
static bool is_keeping;
static bool was_cut;

static void *must(void *memory) {
    if (memory == NULL) {
        perror("kaio_sim_disk");
        abort();
    }
    return memory;
}

static void must_be(bool is_good) {
    (void)must(is_good ? &files : NULL);
}

// ---- images ----

// resize makes it `size_bytes` long; new bytes are 0, as those behind the end of a file are.
static void resize(struct image *image, uint64_t size_bytes) {
    image->bytes = must(realloc(image->bytes, (size_t)size_bytes + 1));
    if (size_bytes > image->size_bytes) {
        memset(image->bytes + image->size_bytes, 0, (size_t)(size_bytes - image->size_bytes));
    }
    image->size_bytes = size_bytes;
}

static void apply(struct image *image, const struct change *change) {
    uint64_t end = change->offset + change->data.size_bytes;
    if (end > image->size_bytes) {
        resize(image, end);
    }
    memcpy(image->bytes + change->offset, change->data.bytes, (size_t)change->data.size_bytes);
}

static void read_all(int fd, struct image *out_image) {
    struct stat stat;
    must_be(fstat(fd, &stat) == 0);
    resize(out_image, (uint64_t)stat.st_size);
    uint64_t done = 0;
    while (done < out_image->size_bytes) {
        ssize_t got =
            pread(fd, out_image->bytes + done, (size_t)(out_image->size_bytes - done), (off_t)done);
        must_be(got > 0);
        done += (uint64_t)got;
    }
}

static void write_all(int fd, const struct image *image) {
    must_be(ftruncate(fd, (off_t)image->size_bytes) == 0);
    for (uint64_t done = 0; done < image->size_bytes;) {
        ssize_t put =
            pwrite(fd, image->bytes + done, (size_t)(image->size_bytes - done), (off_t)done);
        must_be(put > 0);
        done += (uint64_t)put;
    }
}

// ---- files ----

static void forget_changes(struct file *file) {
    for (uint32_t i = 0; i < file->count; ++i) {
        free(file->changes[i].data.bytes);
    }
    file->count = 0;
}

static void forget_all(void) {
    while (files != NULL) {
        struct file *file = files;
        files = file->next;
        forget_changes(file);
        free(file->changes);
        free(file->durable.bytes);
        free(file->found.bytes);
        (void)close(file->fd);
        free(file);
    }
    is_keeping = false;
    was_cut = false;
}

static struct file *find(int fd) {
    struct stat stat;
    struct file *file = fstat(fd, &stat) == 0 ? files : NULL;
    while (file != NULL && (file->device != stat.st_dev || file->inode != stat.st_ino)) {
        file = file->next;
    }
    return file;
}

// learn takes a file as it is for durable.
static void learn(int fd) {
    struct stat stat;
    if (fstat(fd, &stat) != 0 || !S_ISREG(stat.st_mode)) {
        return;
    }
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    struct file *file = must(calloc(1, sizeof *file));
    file->device = stat.st_dev;
    file->inode = stat.st_ino;
    file->fd = open(path, O_RDWR | O_CLOEXEC);
    must_be(file->fd >= 0);
    read_all(file->fd, &file->durable);
    file->next = files;
    files = file;
}

// copy_pinned copies bytes that a request has, which are poisoned for everybody but the kernel.
__attribute__((no_sanitize("address"))) static void copy_pinned(uint8_t *to, const void *from,
                                                                size_t size_bytes) {
    const volatile uint8_t *bytes = from;
    for (size_t i = 0; i < size_bytes; ++i) {
        to[i] = bytes[i];
    }
}

// gather copies the first `size_bytes` of the parts.
static void gather(const struct kaio_sim_parts *parts, uint64_t size_bytes,
                   struct image *out_image) {
    resize(out_image, size_bytes);
    uint64_t done = 0;
    for (int i = 0; i < parts->count && done < size_bytes; ++i) {
        uint64_t left = size_bytes - done;
        size_t piece = parts->iovecs[i].iov_len < left ? parts->iovecs[i].iov_len : (size_t)left;
        copy_pinned(out_image->bytes + done, parts->iovecs[i].iov_base, piece);
        done += piece;
    }
}

static struct change *add_change(struct file *file, uint64_t offset) {
    if (file->count == file->capacity) {
        file->capacity = file->capacity == 0 ? 16 : 2 * file->capacity;
        file->changes = must(realloc(file->changes, file->capacity * sizeof *file->changes));
    }
    struct change *change = &file->changes[file->count++];
    *change = (struct change){.offset = offset};
    return change;
}

void kaio_sim_disk_will_write(int fd) {
    if (is_keeping && find(fd) == NULL) {
        int saved_errno = errno;
        learn(fd);
        errno = saved_errno;
    }
}

// start_of tells where a write is. Appends do not say so: they go to the end, or went there.
static uint64_t start_of(int fd, int64_t offset, int rw_flags, int64_t moved_bytes) {
    bool is_append = (rw_flags & KAIO_RAW_RWF_APPEND) != 0 || (fcntl(fd, F_GETFL) & O_APPEND) != 0;
    struct stat stat;
    return is_append && fstat(fd, &stat) == 0 ? (uint64_t)(stat.st_size - moved_bytes)
                                              : (uint64_t)offset;
}

static uint64_t sector_of(uint64_t offset) {
    return offset / SECTOR * SECTOR;
}

static bool share_a_sector(const struct change *one, const struct change *other) {
    return sector_of(one->offset) < other->offset + other->data.size_bytes &&
           sector_of(other->offset) < one->offset + one->data.size_bytes;
}

// settle_last makes the last change durable, and with it the ones before that it is on top of.
static void settle_last(struct file *file) {
    const struct change last = file->changes[file->count - 1];
    uint32_t kept_count = 0;
    for (uint32_t i = 0; i < file->count; ++i) {
        struct change change = file->changes[i];
        if (!share_a_sector(&change, &last)) {
            file->changes[kept_count++] = change;
            continue;
        }
        apply(&file->durable, &change);
        if (i + 1 < file->count) {
            free(change.data.bytes);
        }
    }
    free(last.data.bytes);
    file->count = kept_count;
}

void kaio_sim_disk_wrote(int fd, int64_t offset, int rw_flags, const struct kaio_sim_parts *parts,
                         int64_t moved_bytes) {
    struct file *file = is_keeping && moved_bytes > 0 ? find(fd) : NULL;
    if (file == NULL) {
        return;
    }
    uint64_t start = start_of(fd, offset, rw_flags, moved_bytes);
    gather(parts, (uint64_t)moved_bytes, &add_change(file, start)->data);
    bool is_durable = (rw_flags & (KAIO_RAW_RWF_DSYNC | KAIO_RAW_RWF_SYNC)) != 0 ||
                      (fcntl(fd, F_GETFL) & O_DSYNC) != 0;
    if (is_durable) {
        settle_last(file);
    }
}

void kaio_sim_disk_synced(int fd) {
    struct file *file = is_keeping ? find(fd) : NULL;
    if (file == NULL) {
        return;
    }
    for (uint32_t i = 0; i < file->count; ++i) {
        apply(&file->durable, &file->changes[i]);
    }
    forget_changes(file);
}

// ---- the cut ----

void kaio_sim_disk_begin(void) {
    forget_all();
    is_keeping = true;
}

// touches tells whether a change has bytes in the sector at `first`.
static bool touches(const struct change *change, uint64_t first) {
    return change->offset < first + SECTOR && change->offset + change->data.size_bytes > first;
}

// apply_within applies the part of a change that is in the sector at `first`.
static void apply_within(struct image *image, const struct change *change, uint64_t first) {
    uint64_t from = change->offset > first ? change->offset : first;
    uint64_t end = change->offset + change->data.size_bytes;
    end = end < first + SECTOR ? end : first + SECTOR;
    memcpy(image->bytes + from, change->data.bytes + (from - change->offset), (size_t)(end - from));
}

// choose_sector gives the sector at `first` the bytes that it had behind any of the changes to it.
static void choose_sector(struct file *file, uint64_t first, uint64_t *state) {
    uint32_t touch_count = 0;
    for (uint32_t i = 0; i < file->count; ++i) {
        touch_count += touches(&file->changes[i], first);
    }
    uint32_t kept_count = (uint32_t)(kaio_sim_mix(state) % ((uint64_t)touch_count + 1));
    for (uint32_t i = 0; i < file->count && kept_count > 0; ++i) {
        if (touches(&file->changes[i], first)) {
            apply_within(&file->found, &file->changes[i], first);
            --kept_count;
        }
    }
}

static uint64_t end_of(const struct file *file) {
    uint64_t end = file->durable.size_bytes;
    for (uint32_t i = 0; i < file->count; ++i) {
        uint64_t change_end = file->changes[i].offset + file->changes[i].data.size_bytes;
        end = change_end > end ? change_end : end;
    }
    return end;
}

// choose_size is the durable size, or that behind any change.
static uint64_t choose_size(const struct file *file, uint64_t *state) {
    uint64_t size = file->durable.size_bytes;
    uint64_t kept_count = kaio_sim_mix(state) % ((uint64_t)file->count + 1);
    for (uint64_t i = 0; i < kept_count; ++i) {
        uint64_t change_end = file->changes[i].offset + file->changes[i].data.size_bytes;
        size = change_end > size ? change_end : size;
    }
    return size;
}

// cut decides what is found of a file. Now and then nothing or all of it survived.
static void cut(struct file *file, uint64_t *state) {
    enum { NOTHING = 0, ALL = 1, KINDS = 8 };
    uint64_t kind = kaio_sim_mix(state) % KINDS;
    resize(&file->found, file->durable.size_bytes);
    memcpy(file->found.bytes, file->durable.bytes, (size_t)file->durable.size_bytes);
    if (kind == NOTHING) {
        return;
    }
    uint64_t end = end_of(file);
    uint64_t size = kind == ALL ? end : choose_size(file, state);
    resize(&file->found, end);
    for (uint32_t i = 0; kind == ALL && i < file->count; ++i) {
        apply(&file->found, &file->changes[i]);
    }
    for (uint64_t first = 0; kind != ALL && first < end; first += SECTOR) {
        choose_sector(file, first, state);
    }
    resize(&file->found, size);
}

static void note_in_flight(int fd, int64_t offset, int rw_flags,
                           const struct kaio_sim_parts *parts) {
    struct file *file = find(fd);
    if (file == NULL) {
        learn(fd);
        file = find(fd);
    }
    if (file != NULL) {
        gather(parts, parts->size_bytes,
               &add_change(file, start_of(fd, offset, rw_flags, 0))->data);
    }
}

void kaio_sim_disk_cut(uint64_t seed) {
    if (!is_keeping) {
        return;
    }
    int saved_errno = errno;
    kaio_sim_visit_writes(note_in_flight);
    uint64_t state = seed;
    for (struct file *file = files; file != NULL; file = file->next) {
        cut(file, &state);
    }
    was_cut = true;
    is_keeping = false;
    errno = saved_errno;
}

uint32_t kaio_sim_disk_restore(void) {
    uint32_t count = 0;
    int saved_errno = errno;
    for (struct file *file = files; was_cut && file != NULL; file = file->next) {
        write_all(file->fd, &file->found);
        ++count;
    }
    forget_all();
    errno = saved_errno;
    return count;
}
