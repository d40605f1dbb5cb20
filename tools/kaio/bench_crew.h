// tools/kaio/bench_crew.h: a peer in as many threads as it is asked for.

#ifndef KAIO_TOOLS_KAIO_BENCH_CREW_H_
#define KAIO_TOOLS_KAIO_BENCH_CREW_H_

#include "bench_peer.h"

struct bench_crew;

// bench_crew_open opens `peer` once for each thread. NULL: it cannot; the reason is in `out_why`.
// What is borrowed is borrowed until it is closed.
struct bench_crew *bench_crew_open(const struct bench_peer *peer, const struct bench_work *work,
                                   const struct bench_variant *variant,
                                   char out_why[BENCH_WHY_BYTES]);

// bench_crew_run does `count` operations, shared out among the threads. False: said why.
bool bench_crew_run(struct bench_crew *crew, uint64_t count, kaio_latency *latency);

// bench_crew_close ends the threads. NULL: does nothing.
void bench_crew_close(struct bench_crew *crew);

#endif  // KAIO_TOOLS_KAIO_BENCH_CREW_H_
