// A function with one way out, where everything it may still have is dropped.

#include <fcntl.h>
#include <string.h>

#include "kaio/safe/kaio.h"

static bool ok(kaio_status status) {
    return kaio_status_is_ok(status);
}

// Gives up after `steps` steps; one that was pushed is not the function's any more.
static int try_until(int steps) {
    const kaio_range range = {0, 0, 16};
    kaio_queue_options options;
    kaio_queue *queue = KAIO_NULL;
    kaio_file *file = KAIO_NULL;
    kaio_buffer *buffer = KAIO_NULL;
    kaio_write *write = KAIO_NULL;
    kaio_sync *sync = KAIO_NULL;
    int done = 0;
    memset(&options, 0, sizeof options);
    options.depth = 2;
    if (steps < 1 || !ok(kaio_queue_open(&options, &queue))) {
        goto out;
    }
    ++done;
    if (steps < 2 || !ok(kaio_file_open("/dev/null", O_WRONLY, 0, &file))) {
        goto out;
    }
    ++done;
    if (steps < 3 || !ok(kaio_buffer_new(16, 16, &buffer))) {
        goto out;
    }
    ++done;
    if (steps < 4 || !ok(kaio_write_new(queue, file, range, kaio_rw_none(), &buffer, &write))) {
        goto out;
    }
    ++done;
    if (steps < 5 || !ok(kaio_sync_new(queue, file, KAIO_SYNC_DATA, &sync))) {
        goto out;
    }
    ++done;
    if (steps < 6) {
        goto out;
    }
    kaio_write_push(&write, 1);
    ++done;
    if (steps < 7) {
        goto out;
    }
    kaio_sync_push(&sync, 2);
    ++done;
out:
    kaio_sync_drop(&sync);
    kaio_write_drop(&write);
    kaio_buffer_drop(&buffer);
    kaio_file_drop(&file);
    kaio_queue_drop(&queue);
    return done;
}

int main(void) {
    for (int steps = 0; steps <= 7; ++steps) {
        if (try_until(steps) != steps) {
            return 1;
        }
    }
    return 0;
}
