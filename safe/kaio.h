// kaio/safe/kaio.h: the one include for users of the safe layer.
//
//   buffer + file -> request -> push -> flush -> take -> outcome + buffer
// Conventions: a NULL argument is a status; outputs are written on success only; a parameter
// `move_x` is given away and becomes NULL; what fails changes nothing; nothing touches errno.

#ifndef KAIO_SAFE_KAIO_H_
#define KAIO_SAFE_KAIO_H_

#include "kaio/safe/base.h"
#include "kaio/safe/buffer.h"
#include "kaio/safe/file.h"
#include "kaio/safe/handle.h"
#include "kaio/safe/late.h"
#include "kaio/safe/observe.h"
#include "kaio/safe/outcome.h"
#include "kaio/safe/poll.h"
#include "kaio/safe/pool.h"
#include "kaio/safe/queue.h"
#include "kaio/safe/read.h"
#include "kaio/safe/readv.h"
#include "kaio/safe/region.h"
#include "kaio/safe/run.h"
#include "kaio/safe/segment.h"
#include "kaio/safe/signals.h"
#include "kaio/safe/status.h"
#include "kaio/safe/sync.h"
#include "kaio/safe/transfer.h"
#include "kaio/safe/view.h"
#include "kaio/safe/write.h"
#include "kaio/safe/writev.h"

#ifdef KAIO_ANALYZE
#    include "kaio/safe/analysis.h"
#endif

#endif  // KAIO_SAFE_KAIO_H_
