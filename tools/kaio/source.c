#define _GNU_SOURCE  // O_CLOEXEC, O_NOCTTY

#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "message.h"

// check_kind answers before the file is opened, for to open a device may do anything; and again
// afterwards, for it may have been replaced meanwhile.
static bool check_kind(const char *path, const struct stat *found) {
    if (S_ISREG(found->st_mode) || S_ISBLK(found->st_mode)) {
        return true;
    }
    return message_error("%s: %s", path,
                         S_ISDIR(found->st_mode) ? "is a directory" : "is not a regular file");
}

// open_at_once opens a file that may have become another one since it was looked at: to wait for a
// pipe's writer is not asked for.
static int open_at_once(const char *path) {
    int fd = open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    int flags = fd < 0 ? -1 : fcntl(fd, F_GETFL);
    if (flags >= 0) {
        (void)fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
    }
    return fd;
}

// measure finds the size, and whether it can be believed.
static bool measure(const char *path, int fd, struct source *source) {
    if (fstat(fd, &source->found) != 0) {
        return message_os_error(path, "stat", errno);
    }
    if (!check_kind(path, &source->found)) {
        return false;
    }
    off_t end = S_ISBLK(source->found.st_mode) ? lseek(fd, 0, SEEK_END) : source->found.st_size;
    if (end < 0) {
        return message_os_error(path, "size", errno);
    }
    source->size_bytes = (uint64_t)end;
    if (end > 0) {
        return true;
    }
    char byte;
    ssize_t count = pread(fd, &byte, 1, 0);
    if (count < 0) {
        return message_os_error(path, "read", errno);
    }
    source->is_unsized = count > 0;
    return true;
}

bool source_open(const char *path, bool wants_direct, struct source *out_source) {
    struct stat found;
    if (stat(path, &found) != 0) {
        return message_os_error(path, "open", errno);
    }
    if (!check_kind(path, &found)) {
        return false;
    }
    int fd = open_at_once(path);
    if (fd < 0) {
        return message_os_error(path, "open", errno);
    }
    struct source source = {0};
    if (!measure(path, fd, &source)) {
        (void)close(fd);
        return false;
    }
    if (!side_adopt(path, fd, wants_direct && !source.is_unsized, &source.side)) {
        return false;
    }
    *out_source = source;
    return true;
}

static bool is_same_time(struct timespec first, struct timespec second) {
    return first.tv_sec == second.tv_sec && first.tv_nsec == second.tv_nsec;
}

bool source_is_unchanged(const struct source *source) {
    struct stat now;
    if (fstat(source->side.fd, &now) != 0) {
        return message_os_error(source->side.path, "stat", errno);
    }
    bool is_same =
        now.st_size == source->found.st_size && is_same_time(now.st_mtim, source->found.st_mtim);
    if (!is_same && !S_ISBLK(now.st_mode)) {
        return message_error("%s: source changed while it was copied", source->side.path);
    }
    return true;
}

void source_close(struct source *source) {
    side_close(&source->side);
}
