// Compiles: kaio/raw/aio_error.h needs no other include before it.
#include "kaio/raw/aio_error.h"

typedef struct kaio_raw_limits not_empty;
