// Compiles: <linux/aio_abi.h> may follow.
#include "kaio/raw/kaio_raw.h"

#include <linux/aio_abi.h>

typedef char same_size[sizeof(struct kaio_raw_iocb) == sizeof(struct iocb) ? 1 : -1];
