// Compiles: the kernel's own headers may come first.
#include <asm/unistd.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <linux/ioprio.h>
#include <linux/time_types.h>
#include <linux/uio.h>

#include "kaio/raw/kaio_raw.h"

typedef char same_size[sizeof(struct kaio_raw_iocb) == sizeof(struct iocb) ? 1 : -1];
