// copy_peer: what `kaio copy` is compared with: a loop of pread and pwrite past the page cache,
// from one buffer of BLOCK_BYTES in pages of 2 MiB, and fdatasync.
//
// Usage: copy_peer SRC DST

#define _GNU_SOURCE  // O_DIRECT, MADV_HUGEPAGE

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK_BYTES = 2 << 20 };

static bool fail(const char *what) {
    (void)fprintf(stderr, "copy_peer: %s: %s\n", what, strerror(errno));
    return false;
}

static void *make_buffer(void) {
    uint8_t *memory = aligned_alloc(BLOCK_BYTES, BLOCK_BYTES);
    if (memory != NULL) {
        (void)madvise(memory, BLOCK_BYTES, MADV_HUGEPAGE);
        memset(memory, 0, BLOCK_BYTES);
    }
    return memory;
}

static bool copy(int from, int to, uint8_t *buffer, uint64_t size_bytes) {
    const uint64_t sector_bytes = 4096;
    for (uint64_t offset = 0; offset < size_bytes; offset += BLOCK_BYTES) {
        ssize_t count = pread(from, buffer, BLOCK_BYTES, (off_t)offset);
        if (count <= 0) {
            return fail("pread");
        }
        uint64_t rounded = ((uint64_t)count + sector_bytes - 1) / sector_bytes * sector_bytes;
        if (pwrite(to, buffer, rounded, (off_t)offset) != (ssize_t)rounded) {
            return fail("pwrite");
        }
    }
    if (ftruncate(to, (off_t)size_bytes) != 0) {
        return fail("ftruncate");
    }
    return fdatasync(to) == 0 || fail("fdatasync");
}

int main(int argc, char **argv) {
    if (argc != 3) {
        (void)fprintf(stderr, "usage: copy_peer SRC DST\n");
        return EXIT_FAILURE;
    }
    void *buffer = make_buffer();
    int from = open(argv[1], O_RDONLY | O_DIRECT | O_CLOEXEC);
    int to = open(argv[2], O_WRONLY | O_DIRECT | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    struct stat stat;
    bool is_good = buffer != NULL && from >= 0 && to >= 0 && fstat(from, &stat) == 0;
    if (!is_good) {
        (void)fail("open");
    }
    is_good = is_good && copy(from, to, buffer, (uint64_t)stat.st_size);
    free(buffer);
    return is_good ? EXIT_SUCCESS : EXIT_FAILURE;
}
