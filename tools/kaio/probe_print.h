// tools/kaio/probe_print.h: the report as tables for people.

#ifndef KAIO_TOOLS_KAIO_PROBE_PRINT_H_
#define KAIO_TOOLS_KAIO_PROBE_PRINT_H_

#include "probe_report.h"

// probe_print writes all of the report to stdout, in lines of at most 100 characters.
void probe_print(const struct report *report);

#endif  // KAIO_TOOLS_KAIO_PROBE_PRINT_H_
