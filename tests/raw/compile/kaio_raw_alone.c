// Compiles: kaio/raw/kaio_raw.h needs no other include before it.
#include "kaio/raw/kaio_raw.h"

typedef struct kaio_raw_iocb not_empty;
