// Whether there is a buffer is not looked at before its bytes are written to.

#include "kaio/safe/kaio.h"

void unmade_touched(void);

void unmade_touched(void) {
    kaio_buffer *buffer = KAIO_NULL;
    kaio_status status = kaio_buffer_new(512, 512, &buffer);
#ifdef OK
    if (!kaio_status_is_ok(status)) {
        return;
    }
#else
    kaio_ignore(status);
#endif
    kaio_buffer_as_bytes(buffer)[0] = 1;
    kaio_buffer_drop(&buffer);
}
