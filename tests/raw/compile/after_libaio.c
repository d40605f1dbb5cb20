// Compiles: <libaio.h> may come first.
#define _DEFAULT_SOURCE  // sigset_t, which -std=c11 hides
#include <libaio.h>

#include "kaio/raw/kaio_raw.h"

typedef char same_size[sizeof(struct kaio_raw_event) == sizeof(struct io_event) ? 1 : -1];
