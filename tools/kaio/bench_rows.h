// tools/kaio/bench_rows.h: the rows of the benchmark: which peers do what beside each other.

#ifndef KAIO_TOOLS_KAIO_BENCH_ROWS_H_
#define KAIO_TOOLS_KAIO_BENCH_ROWS_H_

#include "bench_peer.h"

// Which time of a row counts.
enum bench_clock {
    BENCH_CPU = 0,  // the process's: nothing sleeps, and noise of others is left out
    BENCH_WALL = 1
};

struct bench_entry {
    const char *label;
    const struct bench_peer *peer;
    struct bench_variant variant;
};

struct bench_row {
    const char *name;
    const char *what;  // for people
    enum bench_kind kind;
    enum bench_source source;
    uint32_t size_bytes;
    uint32_t depth;
    double margin;  // as far from 1 the control may be
    // The first is what the others are compared with; the second is the same again, the control.
    const struct bench_entry *entries;
    uint32_t entry_count;
    enum bench_clock clock;
};

extern const struct bench_row bench_rows[];
extern const uint32_t bench_row_count;

#endif  // KAIO_TOOLS_KAIO_BENCH_ROWS_H_
