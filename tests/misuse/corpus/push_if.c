// A request is pushed under a condition, and under the same condition once more looked at.

#include <fcntl.h>
#include <string.h>

#include "kaio/safe/kaio.h"

static bool ok(kaio_status status) {
    return kaio_status_is_ok(status);
}

// Pushes in at most one of three places; what is left in the end is dropped.
static bool push_if(kaio_queue *queue, kaio_file *file, int step) {
    kaio_sync *sync = KAIO_NULL;
    uint32_t ready_count = 0;
    kaio_completion completion;
    bool is_pushed = false;
    if (!ok(kaio_sync_new(queue, file, KAIO_SYNC_DATA, &sync))) {
        return false;
    }
    if (step == 0) {
        kaio_sync_push(&sync, 1);
        is_pushed = true;
    }
    if (!is_pushed && step == 1) {
        kaio_sync_push(&sync, 2);
        is_pushed = true;
    }
    if (sync != KAIO_NULL && step == 2) {
        kaio_sync_push(&sync, 3);
        is_pushed = true;
    }
    kaio_sync_drop(&sync);
    if (!is_pushed) {
        return true;
    }
    return ok(kaio_queue_wait(queue, 1, kaio_deadline_never(), &ready_count)) &&
           ok(kaio_queue_take(queue, &completion)) && completion.user == (uint64_t)step + 1;
}

int main(void) {
    kaio_queue_options options;
    kaio_queue *queue = KAIO_NULL;
    kaio_file *file = KAIO_NULL;
    memset(&options, 0, sizeof options);
    options.depth = 1;
    bool is_good = ok(kaio_queue_open(&options, &queue)) &&
                   ok(kaio_file_open("/proc/self/exe", O_RDONLY, 0, &file));
    for (int step = 0; is_good && step < 5; ++step) {
        is_good = push_if(queue, file, step);
    }
    is_good = is_good && ok(kaio_file_close(&file)) && ok(kaio_queue_close(&queue));
    kaio_file_drop(&file);
    kaio_queue_drop(&queue);
    return is_good ? 0 : 1;
}
