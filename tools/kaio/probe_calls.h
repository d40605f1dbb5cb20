// tools/kaio/probe_calls.h: whether the six calls work, and what the ring is like.

#ifndef KAIO_TOOLS_KAIO_PROBE_CALLS_H_
#define KAIO_TOOLS_KAIO_PROBE_CALLS_H_

#include "probe_report.h"

// calls_probe makes each call once, in a way that changes nothing, and answers the groups CALL and
// RING.
//
// Errors:    false there can be no child, which was said.
bool calls_probe(struct report *report);

#endif  // KAIO_TOOLS_KAIO_PROBE_CALLS_H_
