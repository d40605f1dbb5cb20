// wal_bench.h (private): how fast a log is.

#ifndef KAIO_TOOLS_ENGINES_WAL_WAL_BENCH_H_
#define KAIO_TOOLS_ENGINES_WAL_WAL_BENCH_H_

#include "wal.h"

struct wal_bench_options {
    uint32_t thread_count;  // that append
    uint32_t record_bytes;
    uint32_t seconds;
};

// wal_bench makes a log, has the threads append to it, and prints one line of JSON. The log stays.
bool wal_bench(const wal_options *options, const struct wal_bench_options *bench,
               wal_error *out_error);

#endif  // KAIO_TOOLS_ENGINES_WAL_WAL_BENCH_H_
