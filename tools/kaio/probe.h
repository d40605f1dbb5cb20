// tools/kaio/probe.h: the command `kaio probe`.

#ifndef KAIO_TOOLS_KAIO_PROBE_H_
#define KAIO_TOOLS_KAIO_PROBE_H_

// probe_command runs `kaio probe` with argv[1..argc) behind the command, and returns the exit
// status. Bad usage exits with argp's status.
int probe_command(int argc, char **argv);

#endif  // KAIO_TOOLS_KAIO_PROBE_H_
