// Compiles: the system call through libc needs no other include before it.
#include "kaio/raw/arch/syscall_libc.h"

typedef struct kaio_raw_iocb not_empty;
