#include "bench_rows.h"

// The control's margins are twice what eight processes showed of one and the same peer beside
// itself: 1 to 2 % of processor time, 5 % of a device's.
#define TIGHT 0.03
#define LOOSE 0.05

#define SPIN_NS 60000
#define COUNT_OF(entries) (entries), sizeof(entries) / sizeof((entries)[0])

static const struct bench_entry all[] = {
    {"libaio", &bench_peer_libaio, {0}},
    {"libaio again", &bench_peer_libaio, {0}},
    {"raw", &bench_peer_raw, {0}},
    {"start+take", &bench_peer_start, {0}},
    {"run loop", &bench_peer_run, {0}},
    {"liburing", &bench_peer_uring, {0}},
    {"liburing tuned", &bench_peer_uring_tuned, {0}},
    {"pread/pwrite", &bench_peer_pread, {0}},
    {"thread pool", &bench_peer_pool, {0}},
    {"POSIX AIO", &bench_peer_posix, {0}},
};

// With pages of 4 KiB and of 2 MiB, ours from a pool.
static const struct bench_entry pages[] = {
    {"run loop", &bench_peer_run, {0}},
    {"run loop again", &bench_peer_run, {0}},
    {"run loop, pool of 2M pages", &bench_peer_run, {.is_huge = true}},
    {"libaio", &bench_peer_libaio, {0}},
    {"libaio, 2M pages", &bench_peer_libaio, {.is_huge = true}},
    {"liburing tuned", &bench_peer_uring_tuned, {0}},
    {"liburing tuned, 2M pages", &bench_peer_uring_tuned, {.is_huge = true}},
    {"pread/pwrite", &bench_peer_pread, {0}},
    {"pread/pwrite, 2M pages", &bench_peer_pread, {.is_huge = true}},
};

static const struct bench_entry spins[] = {
    {"libaio", &bench_peer_libaio, {0}},
    {"libaio again", &bench_peer_libaio, {0}},
    {"run loop", &bench_peer_run, {0}},
    {"run loop, spin", &bench_peer_run, {.spin_ns = SPIN_NS}},
    {"liburing tuned", &bench_peer_uring_tuned, {0}},
    {"pread/pwrite", &bench_peer_pread, {0}},
};

static const struct bench_entry chunks[] = {
    {"libaio", &bench_peer_libaio, {0}},
    {"libaio again", &bench_peer_libaio, {0}},
    {"run loop", &bench_peer_run, {0}},
    {"run loop, chunks of 2", &bench_peer_run, {.chunk_count = 2}},
};

static const struct bench_entry threads[] = {
    {"run loop", &bench_peer_run, {0}},
    {"run loop again", &bench_peer_run, {0}},
    {"run loop, 2 threads", &bench_peer_run, {.thread_count = 2}},
    {"libaio", &bench_peer_libaio, {0}},
    {"libaio, 2 threads", &bench_peer_libaio, {.thread_count = 2}},
    {"liburing tuned", &bench_peer_uring_tuned, {0}},
    {"liburing tuned, 2 threads", &bench_peer_uring_tuned, {.thread_count = 2}},
};

static const struct bench_entry closings[] = {
    {"close one", &bench_peer_close_one, {0}},
    {"close one again", &bench_peer_close_one, {0}},
    {"close 8, each", &bench_peer_close_each, {0}},
    {"destroy_all of 8", &bench_peer_close_all, {0}},
};

#define NOOP(depth)                                                                             \
    {                                                                                           \
        "noop-" #depth, "reads of /dev/null, 512 B", BENCH_READ, BENCH_NULL, 512, depth, TIGHT, \
            COUNT_OF(all), BENCH_CPU                                                            \
    }
#define CACHED_512(depth)                                                                       \
    {                                                                                           \
        "cached512-" #depth, "reads from the page cache, 512 B", BENCH_READ, BENCH_CACHED, 512, \
            depth, LOOSE, COUNT_OF(all), BENCH_CPU                                              \
    }
#define CACHED_4K(depth)                                                                        \
    {                                                                                           \
        "cached4k-" #depth, "reads from the page cache, 4 KiB", BENCH_READ, BENCH_CACHED, 4096, \
            depth, LOOSE, COUNT_OF(all), BENCH_CPU                                              \
    }
#define OVERWRITE(depth)                                                               \
    {                                                                                  \
        "overwrite-" #depth, "writes to the page cache, in place, 4 KiB", BENCH_WRITE, \
            BENCH_CACHED, 4096, depth, LOOSE, COUNT_OF(all), BENCH_CPU                 \
    }
#define POLL(depth)                                                                               \
    {                                                                                             \
        "poll-" #depth, "polls of a pipe that is ready", BENCH_POLL, BENCH_PIPE, 0, depth, TIGHT, \
            COUNT_OF(all), BENCH_CPU                                                              \
    }
#define SYNC(depth)                                                                      \
    {                                                                                    \
        "sync-" #depth, "fdatasync of a clean file", BENCH_SYNC, BENCH_DIRECT, 0, depth, \
            2 * LOOSE, COUNT_OF(all), BENCH_WALL                                         \
    }
#define READ(depth)                                                                          \
    {                                                                                        \
        "read-" #depth, "random direct reads, 4 KiB", BENCH_READ, BENCH_DIRECT, 4096, depth, \
            LOOSE, COUNT_OF(all), BENCH_WALL                                                 \
    }
#define WRITE(depth)                                                                            \
    {                                                                                           \
        "write-" #depth, "random direct writes, 4 KiB", BENCH_WRITE, BENCH_DIRECT, 4096, depth, \
            LOOSE, COUNT_OF(all), BENCH_WALL                                                    \
    }
#define PAGES(name, size, text)                                                                    \
    {                                                                                              \
        "pages" name "-8", "direct reads in sequence, " text, BENCH_READ, BENCH_SEQUENCE, size, 8, \
            LOOSE, COUNT_OF(pages), BENCH_WALL                                                     \
    }
#define DEVICE(depth)                                                                           \
    {                                                                                           \
        "device-" #depth, "random direct reads of the device, 4 KiB", BENCH_READ, BENCH_DEVICE, \
            4096, depth, LOOSE, COUNT_OF(all), BENCH_WALL                                       \
    }

const struct bench_row bench_rows[] = {
    NOOP(1),
    NOOP(4),
    NOOP(32),
    NOOP(128),
    CACHED_512(1),
    CACHED_512(4),
    CACHED_512(32),
    CACHED_512(128),
    CACHED_4K(1),
    CACHED_4K(4),
    CACHED_4K(32),
    CACHED_4K(128),
    OVERWRITE(1),
    OVERWRITE(32),
    POLL(1),
    POLL(32),
    {"threads-32", "reads of /dev/null, 512 B, by 1 and 2 threads", BENCH_READ, BENCH_NULL, 512, 32,
     LOOSE, COUNT_OF(threads), BENCH_WALL},
    {"close", "the end of queues", BENCH_SYNC, BENCH_NULL, 0, 1, 4 * LOOSE, COUNT_OF(closings),
     BENCH_WALL},
    SYNC(1),
    SYNC(32),
    READ(1),
    READ(8),
    READ(32),
    READ(128),
    WRITE(1),
    WRITE(8),
    WRITE(32),
    WRITE(128),
    {"spin-1", "random direct reads, 4 KiB, looked for without sleeping", BENCH_READ, BENCH_DIRECT,
     4096, 1, LOOSE, COUNT_OF(spins), BENCH_WALL},
    {"chunkread-32", "random direct reads, 4 KiB, sent two by two", BENCH_READ, BENCH_DIRECT, 4096,
     32, LOOSE, COUNT_OF(chunks), BENCH_WALL},
    {"chunkwrite-32", "random direct writes, 4 KiB, sent two by two", BENCH_WRITE, BENCH_DIRECT,
     4096, 32, LOOSE, COUNT_OF(chunks), BENCH_WALL},
    PAGES("64k", 64 << 10, "64 KiB"),
    PAGES("256k", 256 << 10, "256 KiB"),
    PAGES("1m", 1 << 20, "1 MiB"),
    {"files-128", "many files of 1 to 100 KiB, opened, read whole past the cache, closed",
     BENCH_READ, BENCH_FILES, BENCH_FILE_MAX_BYTES, 128, 2 * LOOSE, COUNT_OF(all), BENCH_WALL},
    DEVICE(1),
    DEVICE(8),
    DEVICE(32),
    DEVICE(128),
};

const uint32_t bench_row_count = sizeof bench_rows / sizeof bench_rows[0];
