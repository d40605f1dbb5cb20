// Owners that end with their scope, declared in any order, and left behind in any state.

#include <fcntl.h>
#include <string.h>

#include "kaio/safe/kaio.h"

static bool ok(kaio_status status) {
    return kaio_status_is_ok(status);
}

static kaio_status open_queue(kaio_queue **out_queue) {
    kaio_queue_options options;
    memset(&options, 0, sizeof options);
    options.depth = 2;
    return kaio_queue_open(&options, out_queue);
}

// Ends its file first, then its queue, then its buffer.
static bool file_ends_first(void) {
    KAIO_SCOPED(kaio_buffer) buffer = KAIO_NULL;
    KAIO_SCOPED(kaio_queue) queue = KAIO_NULL;
    KAIO_SCOPED(kaio_file) file = KAIO_NULL;
    const kaio_range range = {0, 0, 16};
    kaio_ticket ticket;
    return ok(kaio_buffer_new(16, 16, &buffer)) && ok(open_queue(&queue)) &&
           ok(kaio_file_open("/dev/zero", O_RDONLY, 0, &file)) &&
           ok(kaio_read_start(queue, file, range, kaio_rw_none(), 1, &buffer, &ticket));
}

// Ends its queue first, with an idle read in it, and the read last.
static bool queue_ends_first(void) {
    KAIO_SCOPED(kaio_read) read = KAIO_NULL;
    KAIO_SCOPED(kaio_buffer) buffer = KAIO_NULL;
    KAIO_SCOPED(kaio_file) file = KAIO_NULL;
    KAIO_SCOPED(kaio_queue) queue = KAIO_NULL;
    const kaio_range range = {0, 0, 16};
    return ok(kaio_buffer_new(16, 16, &buffer)) &&
           ok(kaio_file_open("/dev/zero", O_RDONLY, 0, &file)) && ok(open_queue(&queue)) &&
           ok(kaio_read_new(queue, file, range, kaio_rw_none(), &buffer, &read));
}

// Pushes what its scope owns: there is nothing left to drop.
static bool pushed_before_the_end(void) {
    KAIO_SCOPED(kaio_queue) queue = KAIO_NULL;
    KAIO_SCOPED(kaio_file) file = KAIO_NULL;
    KAIO_SCOPED(kaio_sync) sync = KAIO_NULL;
    if (!ok(open_queue(&queue)) || !ok(kaio_file_open("/dev/zero", O_RDONLY, 0, &file)) ||
        !ok(kaio_sync_new(queue, file, KAIO_SYNC_ALL, &sync))) {
        return false;
    }
    kaio_sync_push(&sync, 1);
    return true;
}

int main(void) {
    return file_ends_first() && queue_ends_first() && pushed_before_the_end() ? 0 : 1;
}
