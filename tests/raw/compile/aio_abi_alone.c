// Compiles: kaio/raw/aio_abi.h needs no other include before it.
#include "kaio/raw/aio_abi.h"

typedef struct kaio_raw_iocb not_empty;
