// tools/kaio/bench_report.h: what was measured: for people, for programs, and for plotters.

#ifndef KAIO_TOOLS_KAIO_BENCH_REPORT_H_
#define KAIO_TOOLS_KAIO_BENCH_REPORT_H_

#include <jansson.h>

#include "bench_measure.h"

// bench_print writes a row to stdout, as soon as it is there.
void bench_print(const struct bench_report *report);

// bench_json makes the object of a row, all attempts and rounds in it. NULL: no memory.
json_t *bench_json(const struct bench_report *report);

// bench_json_all makes the whole of `rows`, which it takes over. NULL: no memory.
json_t *bench_json_all(json_t *rows, const struct bench_place *place,
                       const struct bench_effort *effort);

// bench_write_histograms writes a file FOLDER/ROW.PEER.hgrm for each peer that has latencies: the
// percentile distribution that HdrHistogram and its plotters write and read, in microseconds.
// False: said why.
bool bench_write_histograms(const struct bench_report *report, const char *folder);

#endif  // KAIO_TOOLS_KAIO_BENCH_REPORT_H_
