// tools/kaio/bench_plot.h: a picture of what `kaio bench --json` wrote.

#ifndef KAIO_TOOLS_KAIO_BENCH_PLOT_H_
#define KAIO_TOOLS_KAIO_BENCH_PLOT_H_

#include <stdbool.h>

struct plot_options {
    const char *input;        // what --json wrote
    const char *output;       // NAME.svg or NAME.png
    const char *const *rows;  // the names of rows, or what they begin with, or none for all
    unsigned row_count;
    bool of_latencies;  // percentiles of one row instead of speeds of many
};

// bench_plot draws it, by gnuplot. False: said why.
bool bench_plot(const struct plot_options *options);

#endif  // KAIO_TOOLS_KAIO_BENCH_PLOT_H_
