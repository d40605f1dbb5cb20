// Compiles: <libaio.h> may follow.
#define _DEFAULT_SOURCE  // sigset_t, which -std=c11 hides
#include "kaio/raw/kaio_raw.h"

#include <libaio.h>

typedef char same_size[sizeof(struct kaio_raw_event) == sizeof(struct io_event) ? 1 : -1];
