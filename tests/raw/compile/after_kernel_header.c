// Compiles: <linux/aio_abi.h> may come first.
#include <linux/aio_abi.h>

#include "kaio/raw/kaio_raw.h"

typedef char same_size[sizeof(struct kaio_raw_iocb) == sizeof(struct iocb) ? 1 : -1];
