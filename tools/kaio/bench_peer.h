// tools/kaio/bench_peer.h: a way to do the operations of a row: ours, and what users would pick
// instead.
//
// A peer keeps up to `depth` operations under way: it starts what it can, waits for at least one,
// and starts again. All of them do so, and nothing more.

#ifndef KAIO_TOOLS_KAIO_BENCH_PEER_H_
#define KAIO_TOOLS_KAIO_BENCH_PEER_H_

#include "bench_work.h"
#include "kaio/safe/observe.h"

enum { BENCH_WHY_BYTES = 160 };

// What a peer is asked to do differently; zeroed is nothing.
struct bench_variant {
    uint32_t thread_count;  // each with its own of everything; 0 is 1, the calling one
    uint32_t spin_ns;       // ours
    uint32_t chunk_count;   // ours
    bool is_huge;           // memory in pages of 2 MiB; ours: from a pool
};

struct bench_peer {
    const char *name;
    // Prepares for `work`, which it borrows until it is closed. NULL: it cannot, here or at all;
    // the reason is in `out_why`. The thread that opens it also runs and closes it.
    void *(*open)(const struct bench_work *work, const struct bench_variant *variant,
                  char out_why[BENCH_WHY_BYTES]);
    // Does `count` operations. False: one of them went wrong. `latency`, or NULL, counts how long
    // each took.
    bool (*run)(void *peer, uint64_t count, kaio_latency *latency);
    void (*close)(void *peer);
};

extern const struct bench_peer bench_peer_libaio;
extern const struct bench_peer bench_peer_uring;
extern const struct bench_peer bench_peer_uring_tuned;
extern const struct bench_peer bench_peer_pread;
extern const struct bench_peer bench_peer_pool;
extern const struct bench_peer bench_peer_posix;
extern const struct bench_peer bench_peer_raw;
extern const struct bench_peer bench_peer_start;
extern const struct bench_peer bench_peer_run;

// Opening and closing: closes one queue; eight, one after the other; eight, side by side.
extern const struct bench_peer bench_peer_close_one;
extern const struct bench_peer bench_peer_close_each;
extern const struct bench_peer bench_peer_close_all;

// bench_peer_cannot writes the reason why a peer cannot, and is NULL.
__attribute__((format(printf, 2, 3))) void *bench_peer_cannot(char out_why[BENCH_WHY_BYTES],
                                                              const char *format, ...);

#endif  // KAIO_TOOLS_KAIO_BENCH_PEER_H_
