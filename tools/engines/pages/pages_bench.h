// pages_bench.h (private): how fast a store is.

#ifndef KAIO_TOOLS_ENGINES_PAGES_PAGES_BENCH_H_
#define KAIO_TOOLS_ENGINES_PAGES_PAGES_BENCH_H_

#include "pages.h"

struct pages_bench_options {
    uint32_t thread_count;
    uint32_t seconds;
    uint32_t write_percent;
};

// pages_bench makes a store, has the threads read and write random pages, and prints one line of
// JSON. The file stays.
bool pages_bench(const pages_options *options, const struct pages_bench_options *bench,
                 pages_error *out_error);

#endif  // KAIO_TOOLS_ENGINES_PAGES_PAGES_BENCH_H_
