// Does not compile: an architecture whose numbers raw does not know, by name with -D__ia64__. With
// OK it is this one.
//
// libc first: it would not compile either.
#include <errno.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef OK
#    undef __x86_64__
#    undef __i386__
#    undef __aarch64__
#    undef __riscv
#    undef __powerpc__
#    undef __s390__
#endif

#include "kaio/raw/kaio_raw.h"

typedef struct kaio_raw_iocb not_empty;
