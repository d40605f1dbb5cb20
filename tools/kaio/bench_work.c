#define _GNU_SOURCE  // O_DIRECT, O_TMPFILE, MADV_HUGEPAGE

#include "bench_work.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "message.h"
#include "number.h"
#include "progress.h"

enum { BLOCK_BYTES = 512, HUGE_BYTES = 2 << 20, FILL_BYTES = 4 << 20 };

// ---- files ----

// fill writes `size_bytes`, each 512 of which begin with their offset, and makes them durable.
static bool fill(int fd, uint64_t size_bytes, uint8_t *memory, const char *folder) {
    progress_begin("writing", size_bytes);
    for (uint64_t offset = 0; offset < size_bytes; offset += FILL_BYTES) {
        for (uint64_t block = 0; block < FILL_BYTES; block += BLOCK_BYTES) {
            uint64_t place = offset + block;
            memcpy(memory + block, &place, sizeof place);
        }
        ssize_t count = pwrite(fd, memory, FILL_BYTES, (off_t)offset);
        if (count != FILL_BYTES) {
            progress_end();
            return message_os_error(folder, "write", count < 0 ? errno : ENOSPC);
        }
        progress_add(FILL_BYTES);
        progress_draw();
    }
    progress_end();
    return fsync(fd) == 0 || message_os_error(folder, "fsync", errno);
}

// make_file makes a file without a name. -1: said why.
static int make_file(const struct bench_place *place, uint64_t size_bytes) {
    int fd = open(place->folder, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    if (fd < 0) {
        (void)message_os_error(place->folder, "open a file in it", errno);
        return -1;
    }
    if (!fill(fd, size_bytes, place->memory[0], place->folder)) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

int bench_work_reopen(int fd, int flags) {
    char name[64];
    (void)snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    return open(name, flags | O_CLOEXEC);
}

static bool open_direct(struct bench_place *place) {
    int fd = make_file(place, place->size_bytes);
    if (fd < 0) {
        return false;
    }
    place->direct_fd = bench_work_reopen(fd, O_RDWR | O_DIRECT);
    int error = errno;
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    (void)close(fd);
    return place->direct_fd >= 0 ||
           message_os_error(place->folder, "open a file in it with O_DIRECT", error);
}

static bool open_device(struct bench_place *place) {
    place->device_fd = open(place->device, O_RDONLY | O_DIRECT | O_CLOEXEC);
    if (place->device_fd < 0) {
        return message_os_error(place->device, "open", errno);
    }
    struct stat stat;
    uint64_t bytes = 0;
    if (fstat(place->device_fd, &stat) != 0) {
        return message_os_error(place->device, "fstat", errno);
    }
    if (!S_ISBLK(stat.st_mode)) {
        bytes = (uint64_t)stat.st_size;
    } else if (ioctl(place->device_fd, BLKGETSIZE64, &bytes) != 0) {
        return message_os_error(place->device, "BLKGETSIZE64", errno);
    }
    place->device_bytes = bytes;
    return bytes >= FILL_BYTES || message_error("%s: %" PRIu64 " bytes: at least %d are needed",
                                                place->device, bytes, FILL_BYTES);
}

// ---- many files ----

enum { FILE_MIN_BYTES = 1024, FILE_NAME_BYTES = 16 };

static const char *file_name(uint64_t number, char out_name[FILE_NAME_BYTES]) {
    (void)snprintf(out_name, FILE_NAME_BYTES, "%u", (unsigned)number);
    return out_name;
}

static bool make_one_file(struct bench_place *place, uint32_t number) {
    char name[FILE_NAME_BYTES];
    uint32_t size_bytes = place->file_sizes[number];
    int fd = openat(place->files_fd, file_name(number, name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    bool is_written = fd >= 0 &&
                      pwrite(fd, place->memory[0], size_bytes, 0) == (ssize_t)size_bytes &&
                      fsync(fd) == 0 && posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0;
    int error = errno;
    if (fd >= 0) {
        (void)close(fd);
    }
    return is_written || message_os_error(place->files_path, "write a file in it", error);
}

static bool make_files(struct bench_place *place) {
    int length = snprintf(place->files_path, sizeof place->files_path, "%s/kaio_bench_XXXXXX",
                          place->folder);
    if (length < 0 || (size_t)length >= sizeof place->files_path ||
        mkdtemp(place->files_path) == NULL) {
        place->files_path[0] = '\0';
        return message_os_error(place->folder, "make a folder in it", errno);
    }
    place->files_fd = open(place->files_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (place->files_fd < 0) {
        return message_os_error(place->files_path, "open", errno);
    }
    uint64_t state = 1;
    for (uint32_t i = 0; i < BENCH_FILE_COUNT; ++i) {
        place->file_sizes[i] =
            FILE_MIN_BYTES +
            (uint32_t)(bench_work_random(&state) % (BENCH_FILE_MAX_BYTES - FILE_MIN_BYTES + 1));
        if (!make_one_file(place, i)) {
            return false;
        }
    }
    return true;
}

static void remove_files(struct bench_place *place) {
    char name[FILE_NAME_BYTES];
    for (uint32_t i = 0; place->files_fd >= 0 && i < BENCH_FILE_COUNT; ++i) {
        (void)unlinkat(place->files_fd, file_name(i, name), 0);
    }
    if (place->files_path[0] != '\0') {
        (void)rmdir(place->files_path);
    }
}

int bench_work_open_file(const struct bench_work *work, uint64_t number) {
    char name[FILE_NAME_BYTES];
    int fd = openat(work->files_fd, file_name(number, name), O_RDONLY | O_DIRECT | O_CLOEXEC);
    if (fd < 0) {
        (void)message_os_error(name, "open", errno);
    }
    return fd;
}

// ---- memory ----

static uint8_t *map(int advice) {
    // Twice as much, so that an aligned half is in it: the rest costs no memory.
    uint8_t *mapping = mmap(NULL, 2 * (size_t)BENCH_MEMORY_BYTES, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping == MAP_FAILED) {
        return NULL;
    }
    size_t excess = (uintptr_t)mapping % HUGE_BYTES;
    uint8_t *memory = mapping + (excess == 0 ? 0 : HUGE_BYTES - excess);
    (void)madvise(memory, BENCH_MEMORY_BYTES, advice);
    memset(memory, 1, BENCH_MEMORY_BYTES);
    return memory;
}

// has_huge_pages asks the kernel for what it gave.
static bool has_huge_pages(const uint8_t *memory) {
    FILE *file = fopen("/proc/self/smaps", "re");
    char line[256];
    bool is_here = false;
    unsigned long kilobytes = 0;
    while (file != NULL && kilobytes == 0 && fgets(line, sizeof line, file) != NULL) {
        char *dash = NULL;
        uintptr_t first = strtoull(line, &dash, 16);
        if (*dash == '-') {  // the first line of a mapping
            is_here =
                first <= (uintptr_t)memory && (uintptr_t)memory < strtoull(dash + 1, NULL, 16);
        } else if (is_here && strncmp(line, "AnonHugePages:", 14) == 0) {
            kilobytes = strtoul(line + 14, NULL, 10);
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return kilobytes >= BENCH_MEMORY_BYTES / 1024;
}

// ---- the place ----

bool bench_place_open(struct bench_place *place) {
    place->null_fd = place->cached_fd = place->direct_fd = place->device_fd = -1;
    place->files_fd = -1;
    place->files_path[0] = '\0';
    place->pipe_fds[0] = place->pipe_fds[1] = -1;
    place->memory[0] = map(MADV_NOHUGEPAGE);
    place->memory[1] = map(MADV_HUGEPAGE);
    if (place->memory[0] == NULL || place->memory[1] == NULL) {
        return message_error("no memory for the buffers");
    }
    place->is_huge = has_huge_pages(place->memory[1]);
    place->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (place->null_fd < 0) {
        return message_os_error("/dev/null", "open", errno);
    }
    if (pipe2(place->pipe_fds, O_CLOEXEC) != 0 || write(place->pipe_fds[1], "", 1) != 1) {
        return message_os_error("a pipe", "pipe2", errno);
    }
    place->cached_fd = make_file(place, BENCH_CACHED_BYTES);
    return place->cached_fd >= 0 && open_direct(place) &&
           (place->device == NULL || open_device(place)) &&
           (!place->wants_files || make_files(place));
}

static void close_if_open(int fd) {
    if (fd >= 0) {
        (void)close(fd);
    }
}

void bench_place_close(struct bench_place *place) {
    remove_files(place);
    close_if_open(place->files_fd);
    close_if_open(place->null_fd);
    close_if_open(place->cached_fd);
    close_if_open(place->direct_fd);
    close_if_open(place->device_fd);
    close_if_open(place->pipe_fds[0]);
    close_if_open(place->pipe_fds[1]);
}

// ---- work ----

uint64_t bench_work_random(uint64_t *state) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

static void make_offsets(uint64_t offsets[BENCH_OFFSET_COUNT], uint64_t file_bytes,
                         uint32_t size_bytes, bool is_sequence) {
    uint64_t block_count = size_bytes == 0 ? 0 : file_bytes / size_bytes;
    uint64_t state = 88172645463325252;
    for (uint64_t i = 0; i < BENCH_OFFSET_COUNT; ++i) {
        uint64_t block = is_sequence ? i : bench_work_random(&state);
        offsets[i] = block_count == 0 ? 0 : block % block_count * size_bytes;
    }
}

struct bench_work bench_work_make(const struct bench_place *place, enum bench_source source,
                                  enum bench_kind kind, uint32_t size_bytes, uint32_t depth,
                                  uint64_t offsets[BENCH_OFFSET_COUNT]) {
    static const uint32_t page_bytes = 4096;
    struct bench_work work = {.kind = kind, .depth = depth, .size_bytes = size_bytes};
    uint64_t file_bytes = 0;
    switch (source) {
        case BENCH_NULL:
            work.fd = place->null_fd;
            break;
        case BENCH_CACHED:
            work.fd = place->cached_fd;
            file_bytes = BENCH_CACHED_BYTES;
            break;
        case BENCH_DIRECT:
        case BENCH_SEQUENCE:
            work.fd = place->direct_fd;
            file_bytes = place->size_bytes;
            break;
        case BENCH_PIPE:
            work.fd = place->pipe_fds[0];
            break;
        case BENCH_DEVICE:
            work.fd = place->device_fd;
            file_bytes = place->device_bytes;
            break;
        case BENCH_FILES:
            work.fd = -1;
            work.files_fd = place->files_fd;
            work.file_sizes = place->file_sizes;
            break;
    }
    bool is_transfer = kind == BENCH_READ || kind == BENCH_WRITE;
    work.expected = is_transfer && file_bytes != 0 ? size_bytes : 0;
    work.is_checked = kind == BENCH_READ && file_bytes != 0 && source != BENCH_DEVICE;
    if (source == BENCH_FILES) {
        make_offsets(offsets, BENCH_FILE_COUNT, 1, true);
    } else {
        make_offsets(offsets, file_bytes, size_bytes, source == BENCH_SEQUENCE);
    }
    work.offsets = offsets;
    work.stride_bytes = size_bytes < page_bytes ? page_bytes : size_bytes;
    bench_work_use_memory(&work, place, false);
    return work;
}

void bench_work_use_memory(struct bench_work *work, const struct bench_place *place, bool is_huge) {
    work->memory = place->memory[is_huge];
}
