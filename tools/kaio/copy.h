// tools/kaio/copy.h: the command `kaio copy`.

#ifndef KAIO_TOOLS_KAIO_COPY_H_
#define KAIO_TOOLS_KAIO_COPY_H_

// copy_command runs `kaio copy` with argv[1..argc) behind the command, and returns the exit status.
// Bad usage exits with argp's status.
int copy_command(int argc, char **argv);

#endif  // KAIO_TOOLS_KAIO_COPY_H_
