#include "kaio/safe/kaio.h"

int main(void) {
    kaio_queue_options options = {0};
    options.depth = 1;
    kaio_queue *queue = KAIO_NULL;
    kaio_status status = kaio_queue_open(&options, &queue);
    if (!kaio_status_is_ok(status)) {
        return 1;
    }
    status = kaio_queue_close(&queue);
    return kaio_status_is_ok(status) ? 0 : 1;
}
