// A read that has ended is described anew.

#include "kaio/safe/kaio.h"

kaio_status finished_retargeted(kaio_read *read, kaio_file *file, kaio_completion *completion);

kaio_status finished_retargeted(kaio_read *read, kaio_file *file, kaio_completion *completion) {
#ifdef OK
    return kaio_read_retarget(read, file, completion->range, kaio_rw_none());
#else
    (void)read;
    return kaio_read_retarget(completion, file, completion->range, kaio_rw_none());
#endif
}
