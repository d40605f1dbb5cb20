// All outcomes are taken and looked at, and their buffers forgotten.

#include "kaio/safe/kaio.h"

uint64_t completion_leaked(kaio_queue *queue);

uint64_t completion_leaked(kaio_queue *queue) {
    kaio_completion completion;
    uint64_t moved_bytes = 0;
    while (kaio_status_is_ok(kaio_queue_take(queue, &completion))) {
        moved_bytes += completion.moved_bytes;
#ifdef OK
        kaio_completion_drop(&completion);
#endif
    }
    return moved_bytes;
}
