// tools/kaio/probe_file.h: what requests the file system of PATH accepts.

#ifndef KAIO_TOOLS_KAIO_PROBE_FILE_H_
#define KAIO_TOOLS_KAIO_PROBE_FILE_H_

#include "probe_report.h"

// file_probe answers all groups but CALL and RING, which must have their answers.
//
// Errors:    false there can be no child, which was said.
bool file_probe(struct report *report);

#endif  // KAIO_TOOLS_KAIO_PROBE_FILE_H_
