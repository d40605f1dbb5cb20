#include "tests/raw/from_c.h"

#include <stddef.h>
#include <string.h>

#include "kaio/raw/kaio_raw.h"

enum { BUFFER_BYTES = 64 };

// run_one submits `iocb`, takes its event from the ring or else by system call, and gives its res.
static long run_one(kaio_raw_context ctx, struct kaio_raw_iocb iocb) {
    struct kaio_raw_iocb *pointer = &iocb;
    if (kaio_raw_submit(ctx, 1, &pointer) != 1) {
        return -1;
    }
    const struct kaio_raw_event *events;
    struct kaio_raw_event event = {0, 0, 0, 0};
    struct kaio_raw_ring_consumer consumer;
    if (kaio_raw_ring_validate(ctx, &consumer) == 0 &&
        kaio_raw_ring_peek(&consumer, &events) == 1) {
        event = events[0];
        kaio_raw_ring_consume(&consumer, 1);
    } else if (kaio_raw_getevents(ctx, 1, 1, &event, NULL) != 1) {
        return -1;
    }
    return (long)event.res;
}

static int round_trip(kaio_raw_context ctx, int fd, const char *bytes, unsigned long size) {
    char back[BUFFER_BYTES] = {0};
    if (size > sizeof back) {
        return __LINE__;
    }
    if (run_one(ctx, kaio_raw_prep_pwrite(fd, bytes, size, 0)) != (long)size) {
        return __LINE__;
    }
    if (run_one(ctx, kaio_raw_prep_pread(fd, back, size, 0)) != (long)size) {
        return __LINE__;
    }
    return memcmp(back, bytes, size) == 0 ? 0 : __LINE__;
}

int from_c_round_trip(int fd, const char *bytes, unsigned long size) {
    kaio_raw_context ctx = 0;
    if (kaio_raw_setup(1, &ctx) != 0) {
        return __LINE__;
    }
    int wrong_line = round_trip(ctx, fd, bytes, size);
    if (kaio_raw_destroy(ctx) != 0) {
        return __LINE__;
    }
    return wrong_line;
}
