// tools/kaio/probe_system.h: what the kernel and this process say of themselves.

#ifndef KAIO_TOOLS_KAIO_PROBE_SYSTEM_H_
#define KAIO_TOOLS_KAIO_PROBE_SYSTEM_H_

#include "probe_report.h"

// The two rights of which either allows the real-time class of priorities, as bits of
// system_facts.capabilities.
enum { CAPABILITY_SYS_ADMIN = 21, CAPABILITY_SYS_NICE = 23 };

// system_read asks for everything; what is not told is left unknown.
void system_read(struct system_facts *out_facts);

#endif  // KAIO_TOOLS_KAIO_PROBE_SYSTEM_H_
