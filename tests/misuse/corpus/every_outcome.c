// Every way a request can end, each said once: a switch without `default`.

#include <fcntl.h>
#include <string.h>

#include "kaio/safe/kaio.h"

static bool ok(kaio_status status) {
    return kaio_status_is_ok(status);
}

typedef enum next_step { GO_ON, TRY_AGAIN, GIVE_UP } next_step;

static next_step after_transfer(const kaio_completion *completion) {
    switch (completion->transfer) {
        case KAIO_TRANSFER_FULL:
        case KAIO_TRANSFER_END:
            return GO_ON;
        case KAIO_TRANSFER_SHORT:
        case KAIO_TRANSFER_WOULD_BLOCK:
        case KAIO_TRANSFER_CANCELLED:
            return TRY_AGAIN;
        case KAIO_TRANSFER_PENDING:
        case KAIO_TRANSFER_REFUSED:
        case KAIO_TRANSFER_FAILED:
            return GIVE_UP;
    }
    return GIVE_UP;
}

static next_step after_sync(const kaio_completion *completion) {
    switch (completion->sync) {
        case KAIO_SYNC_SYNCED:
            return GO_ON;
        case KAIO_SYNC_CANCELLED:
            return TRY_AGAIN;
        case KAIO_SYNC_PENDING:
        case KAIO_SYNC_PRECEDED_BY_FAILURE:
        case KAIO_SYNC_REFUSED:
        case KAIO_SYNC_FAILED:
            return GIVE_UP;
    }
    return GIVE_UP;
}

static next_step after_poll(const kaio_completion *completion) {
    switch (completion->poll) {
        case KAIO_POLL_READY:
            return GO_ON;
        case KAIO_POLL_CANCELLED:
            return TRY_AGAIN;
        case KAIO_POLL_PENDING:
        case KAIO_POLL_REFUSED:
        case KAIO_POLL_FAILED:
            return GIVE_UP;
    }
    return GIVE_UP;
}

static next_step after(const kaio_completion *completion) {
    switch (completion->operation) {
        case KAIO_READ:
        case KAIO_WRITE:
        case KAIO_READV:
        case KAIO_WRITEV:
            return after_transfer(completion);
        case KAIO_SYNC:
            return after_sync(completion);
        case KAIO_POLL:
            return after_poll(completion);
        case KAIO_NO_OPERATION:
            return GIVE_UP;
    }
    return GIVE_UP;
}

// A read at the end of a file goes on; a sync of what cannot be synced is given up.
static bool run(kaio_queue *queue, kaio_file *file, kaio_buffer **move_buffer) {
    const kaio_range range = {0, 0, 16};
    kaio_ticket ticket;
    uint32_t ready_count = 0;
    kaio_completion completion;
    if (!ok(kaio_read_start(queue, file, range, kaio_rw_none(), GO_ON, move_buffer, &ticket)) ||
        !ok(kaio_sync_start(queue, file, KAIO_SYNC_ALL, GIVE_UP, &ticket)) ||
        !ok(kaio_queue_wait(queue, 2, kaio_deadline_never(), &ready_count))) {
        return false;
    }
    bool is_good = ready_count == 2;
    while (ok(kaio_queue_take(queue, &completion))) {
        is_good = is_good && (uint64_t)after(&completion) == completion.user;
        kaio_completion_drop(&completion);
    }
    return is_good;
}

int main(void) {
    KAIO_SCOPED(kaio_queue) queue = KAIO_NULL;
    KAIO_SCOPED(kaio_file) file = KAIO_NULL;
    KAIO_SCOPED(kaio_buffer) buffer = KAIO_NULL;
    kaio_queue_options options;
    memset(&options, 0, sizeof options);
    options.depth = 2;
    bool is_good = ok(kaio_queue_open(&options, &queue)) &&
                   ok(kaio_file_open("/dev/null", O_RDWR, 0, &file)) &&
                   ok(kaio_buffer_new(16, 16, &buffer)) && run(queue, file, &buffer);
    return is_good ? 0 : 1;
}
