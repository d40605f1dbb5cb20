// tools/kaio/bench_work.h: what the operations of a row of the benchmark do, and to what.
//
// All peers of a row have the same file, the same offsets in the same order, and memory of the same
// kind, so that nothing differs but the way.

#ifndef KAIO_TOOLS_KAIO_BENCH_WORK_H_
#define KAIO_TOOLS_KAIO_BENCH_WORK_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BENCH_DEPTH_MAX = 128, BENCH_OFFSET_COUNT = 4096 };

enum bench_kind { BENCH_READ = 0, BENCH_WRITE = 1, BENCH_POLL = 2, BENCH_SYNC = 3 };

// What the operations are on.
enum bench_source {
    BENCH_NULL = 0,      // /dev/null: a read of it moves nothing
    BENCH_CACHED = 1,    // a file in the page cache, 16 MiB, rewritten in place
    BENCH_DIRECT = 2,    // a file past the page cache, at random
    BENCH_SEQUENCE = 3,  // the same, one block after the other
    BENCH_PIPE = 4,      // a pipe with a byte in it
    BENCH_DEVICE = 5,    // the device that was named, past the page cache, only read
    BENCH_FILES = 6      // many files, each opened, read whole past the page cache, and closed
};

// Of BENCH_FILES: how many there are, and the largest one.
enum { BENCH_FILE_COUNT = 1000, BENCH_FILE_MAX_BYTES = 100 << 10 };

// A bench_place is where the files are, made once for all rows.
struct bench_place {
    const char *folder;
    const char *device;  // or NULL
    bool wants_files;
    uint64_t size_bytes;  // of the file for direct transfers
    int null_fd;
    int cached_fd;
    int direct_fd;
    int pipe_fds[2];
    int device_fd;
    uint64_t device_bytes;
    int files_fd;  // the folder that the files are in, and its name
    char files_path[4096];
    uint32_t file_sizes[BENCH_FILE_COUNT];
    uint8_t *memory[2];  // for BENCH_MEMORY_BYTES: in pages of 4 KiB, and of 2 MiB
    bool is_huge;        // the second really is
};

enum { BENCH_CACHED_BYTES = 16 << 20, BENCH_MEMORY_BYTES = 32 << 20 };

// bench_place_open makes the files; those of BENCH_FILES alone have names. False: said why.
bool bench_place_open(struct bench_place *place);

// bench_place_close ends all that, and removes what has a name.
void bench_place_close(struct bench_place *place);

struct bench_work {
    enum bench_kind kind;
    int fd;
    uint32_t depth;
    uint32_t size_bytes;         // of each operation
    int64_t expected;            // its result
    bool is_checked;             // of a read: the block must have its own offset in front
    const uint64_t *offsets;     // [0..BENCH_OFFSET_COUNT), the ones that follow begin anew
    const uint32_t *file_sizes;  // of many files: an offset is the number of one; else NULL
    int files_fd;
    uint8_t *memory;  // slot i's is `size_bytes` at i * stride_bytes
    size_t stride_bytes;
};

// bench_work_make describes operations of `place`. Their offsets go to `offsets`, which the work
// borrows.
struct bench_work bench_work_make(const struct bench_place *place, enum bench_source source,
                                  enum bench_kind kind, uint32_t size_bytes, uint32_t depth,
                                  uint64_t offsets[BENCH_OFFSET_COUNT]);

// bench_work_reopen opens the file of `fd` once more, with other `flags`. -1: errno says why.
int bench_work_reopen(int fd, int flags);

// bench_work_random is the next number of xorshift64*, whose state must not be 0.
uint64_t bench_work_random(uint64_t *state);

// bench_work_open_file opens the file `number` of many. -1: said why.
int bench_work_open_file(const struct bench_work *work, uint64_t number);

// bench_work_use_memory gives it memory in pages of 2 MiB (`is_huge`), or of 4 KiB.
void bench_work_use_memory(struct bench_work *work, const struct bench_place *place, bool is_huge);

#endif  // KAIO_TOOLS_KAIO_BENCH_WORK_H_
