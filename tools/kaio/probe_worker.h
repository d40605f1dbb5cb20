// tools/kaio/probe_worker.h: work done in a child, so that the program survives whatever happens.
//
// A child may be killed by a seccomp filter, or sleep in the kernel where not even SIGKILL reaches
// it. It can only name the program's files, so that nobody who reads its output waits for the
// child. It dies with its parent.

#ifndef KAIO_TOOLS_KAIO_PROBE_WORKER_H_
#define KAIO_TOOLS_KAIO_PROBE_WORKER_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum worker_fate {
    WORKER_DONE = 0,
    WORKER_KILLED = 1,  // by `signal`, or it ended by itself: 0
    WORKER_LATE = 2,    // no tick within the time
};

struct worker_end {
    enum worker_fate fate;
    int signal;
};

// worker_share gives zeroed memory that is the same in parent and children; it is never given back.
//
// Errors:    NULL, which was said.
void *worker_share(size_t size_bytes);

// worker_run calls `job` on `context` in a child. `timeout_s` counts from the last worker_tick; it
// stands still while the program is stopped.
//
// Errors:    false there can be no child, which was said.
bool worker_run(void (*job)(void *context), void *context, uint32_t timeout_s,
                struct worker_end *out_end);

// worker_tick tells the parent that there is progress.
void worker_tick(void);

// worker_shield lets the child live on until worker_unshield, even if its parent dies or waits no
// longer. It ends there then; or at worker_shield, where nothing is begun yet.
void worker_shield(void);
void worker_unshield(void);

#endif  // KAIO_TOOLS_KAIO_PROBE_WORKER_H_
