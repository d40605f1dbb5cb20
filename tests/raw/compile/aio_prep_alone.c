// Compiles: kaio/raw/aio_prep.h needs no other include before it.
#include "kaio/raw/aio_prep.h"

typedef struct kaio_raw_iocb not_empty;
