// tools/kaio/bench.h: `kaio bench`.

#ifndef KAIO_TOOLS_KAIO_BENCH_H_
#define KAIO_TOOLS_KAIO_BENCH_H_

// bench_command measures, or draws what was measured, and returns the exit status.
int bench_command(int argc, char **argv);

#endif  // KAIO_TOOLS_KAIO_BENCH_H_
