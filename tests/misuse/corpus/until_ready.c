// A poll that is given up when it takes too long, and one that is not.

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "kaio/safe/kaio.h"

static bool ok(kaio_status status) {
    return kaio_status_is_ok(status);
}

static bool wait_or_cancel(kaio_queue *queue, kaio_ticket ticket, kaio_poll_outcome *out_outcome) {
    uint32_t ready_count = 0;
    kaio_completion completion;
    kaio_cancel_answer answer;
    kaio_status status = kaio_queue_wait(queue, 1, kaio_deadline_after_ns(1000000), &ready_count);
    if (status.code == KAIO_TIMED_OUT) {
        status = kaio_queue_cancel(queue, ticket, &answer);
        if (ok(status)) {
            status = kaio_queue_wait(queue, 1, kaio_deadline_never(), &ready_count);
        }
    }
    if (!ok(status) || !ok(kaio_queue_take(queue, &completion))) {
        return false;
    }
    *out_outcome = completion.poll;
    return true;
}

static bool poll_once(kaio_queue *queue, kaio_file *file, kaio_poll_outcome expected) {
    kaio_poll *poll = KAIO_NULL;
    kaio_poll_outcome outcome = KAIO_POLL_PENDING;
    if (!ok(kaio_poll_new(queue, file, kaio_poll_readable(), &poll))) {
        return false;
    }
    kaio_ticket ticket = kaio_poll_push(&poll, 1);
    return poll == KAIO_NULL && wait_or_cancel(queue, ticket, &outcome) && outcome == expected;
}

int main(void) {
    kaio_queue_options options;
    kaio_queue *queue = KAIO_NULL;
    kaio_file *file = KAIO_NULL;
    int fds[2];
    if (pipe(fds) != 0) {
        return 1;
    }
    memset(&options, 0, sizeof options);
    options.depth = 1;
    bool is_good = ok(kaio_queue_open(&options, &queue)) && ok(kaio_file_borrow(fds[0], &file)) &&
                   poll_once(queue, file, KAIO_POLL_CANCELLED) && write(fds[1], "x", 1) == 1 &&
                   poll_once(queue, file, KAIO_POLL_READY);
    kaio_file_drop(&file);
    kaio_queue_drop(&queue);
    close(fds[0]);
    close(fds[1]);
    return is_good ? 0 : 1;
}
