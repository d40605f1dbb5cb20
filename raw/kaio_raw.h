// kaio/raw/kaio_raw.h: all of raw: the one include for users of the unsafe layer.

#ifndef KAIO_RAW_KAIO_RAW_H_
#define KAIO_RAW_KAIO_RAW_H_

#include "kaio/raw/aio_abi.h"
#include "kaio/raw/aio_error.h"
#include "kaio/raw/aio_prep.h"
#include "kaio/raw/aio_ring.h"
#include "kaio/raw/aio_syscall.h"

#endif  // KAIO_RAW_KAIO_RAW_H_
