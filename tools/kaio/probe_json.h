// tools/kaio/probe_json.h: the report for programs.

#ifndef KAIO_TOOLS_KAIO_PROBE_JSON_H_
#define KAIO_TOOLS_KAIO_PROBE_JSON_H_

#include "probe_report.h"

// probe_json writes the report to stdout, as one JSON object. `kaio probe --help` has its keys.
//
// Errors:    false no memory, which was said.
bool probe_json(const struct report *report);

#endif  // KAIO_TOOLS_KAIO_PROBE_JSON_H_
