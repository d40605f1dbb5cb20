// Compiles: kaio/raw/aio_syscall.h needs no other include before it.
#include "kaio/raw/aio_syscall.h"

typedef struct kaio_raw_iocb not_empty;
