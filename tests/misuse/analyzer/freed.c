// A buffer is given to free(3).

#include <stdlib.h>

#include "kaio/safe/kaio.h"

kaio_status freed(void);

kaio_status freed(void) {
    kaio_buffer *buffer = KAIO_NULL;
    kaio_status status = kaio_buffer_new(512, 512, &buffer);
    if (kaio_status_is_ok(status)) {
#ifdef OK
        kaio_buffer_drop(&buffer);
#else
        free(buffer);
#endif
    }
    return status;
}
