// tools/kaio/probe_rounds.h: a row of probes, done in a child; in a new one where it was killed.
//
// Each probe gets an answer, whatever becomes of the child that does it: the one that it was killed
// in is ANSWER_KILLED, the one that it sleeps in is late, and what comes behind that is WHY_STUCK.

#ifndef KAIO_TOOLS_KAIO_PROBE_ROUNDS_H_
#define KAIO_TOOLS_KAIO_PROBE_ROUNDS_H_

#include "probe_report.h"

struct round_work {
    void (*begin)(struct report *report);  // once in each child
    void (*run)(struct report *report, struct probe *probe);
};

// rounds_run does the probes [first, last) of the report, which is shared memory.
//
// Errors:    false there can be no child, which was said.
bool rounds_run(struct report *report, size_t first, size_t last, const struct round_work *work);

// rounds_stage says what the child is about to do: to call the kernel, or to wait for an event.
void rounds_stage(struct report *report, enum answer_channel stage);

#endif  // KAIO_TOOLS_KAIO_PROBE_ROUNDS_H_
