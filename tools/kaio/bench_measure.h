// tools/kaio/bench_measure.h: how the peers of a row are measured.
//
// In rounds, each of which runs every peer for a moment, in an order that is drawn anew; what
// counts is the median over the rounds of ratios within a round. Machines drift by a factor while a
// benchmark runs, and such ratios do not.

#ifndef KAIO_TOOLS_KAIO_BENCH_MEASURE_H_
#define KAIO_TOOLS_KAIO_BENCH_MEASURE_H_

#include <signal.h>

#include "bench_rows.h"

enum { BENCH_ENTRIES_MAX = 10, BENCH_ROUNDS_MAX = 201, BENCH_ATTEMPTS_MAX = 4 };

// How long it takes.
struct bench_effort {
    uint32_t cpu_round_count;
    uint32_t wall_round_count;
    int64_t cpu_slice_ns;  // of each peer in each round
    int64_t wall_slice_ns;
    uint32_t attempt_count;                   // of a row whose control is off, at most
    const volatile sig_atomic_t *is_stopped;  // not 0: no further round
};

struct bench_quartiles {
    double first;
    double median;
    double third;
};

// What one peer did in one attempt.
struct bench_result {
    char why[BENCH_WHY_BYTES];  // it could not be measured; "" otherwise
    uint64_t operation_count;
    double wall_ns[BENCH_ROUNDS_MAX];  // of an operation, by round
    double cpu_ns[BENCH_ROUNDS_MAX];
    kaio_latency latency;  // where time is the wall's
};

struct bench_attempt {
    uint32_t round_count;
    double control;  // the second peer's ratio: the same as the first's but for noise
    bool counts;     // it is within the row's margin
    struct bench_result results[BENCH_ENTRIES_MAX];
};

struct bench_report {
    const struct bench_row *row;
    uint32_t attempt_count;
    struct bench_attempt *attempts[BENCH_ATTEMPTS_MAX];  // the last one is what counts, if it does
};

// bench_measure measures a row, again where its control is off. False: said why.
bool bench_measure(const struct bench_row *row, const struct bench_place *place,
                   const struct bench_effort *effort, struct bench_report *out_report);

// bench_report_end frees what it has.
void bench_report_end(struct bench_report *report);

// bench_ratio is how many times faster `entry` was than the first one, by the row's clock (`clock`
// being the other one's if it is), over the rounds.
struct bench_quartiles bench_ratio(const struct bench_attempt *attempt, uint32_t entry,
                                   enum bench_clock clock);

// bench_time_ns is what an operation of `entry` took.
struct bench_quartiles bench_time_ns(const struct bench_attempt *attempt, uint32_t entry,
                                     enum bench_clock clock);

// bench_quantile_us is a quantile of the latencies, between the bounds of its bucket; 0 when there
// are none.
double bench_quantile_us(const kaio_latency *latency, double quantile);

#endif  // KAIO_TOOLS_KAIO_BENCH_MEASURE_H_
