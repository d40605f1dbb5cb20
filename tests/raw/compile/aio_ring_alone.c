// Compiles: kaio/raw/aio_ring.h needs no other include before it.
#include "kaio/raw/aio_ring.h"

typedef struct kaio_raw_iocb not_empty;
