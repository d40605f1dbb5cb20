// Compiles: each file of arch/ may be parsed on every architecture, one after the other.
#include "kaio/raw/arch/syscall_aarch64.h"
#include "kaio/raw/arch/syscall_riscv64.h"
#include "kaio/raw/arch/syscall_x86_64.h"

typedef struct kaio_raw_iocb not_empty;
