// The calls that only programs linked long ago reach, by their version: part of libaio.so.1 alone.

#include <time.h>

#include "libaio.h"

// Of both versions the newer is the one that new programs are linked to.
__asm__(".symver kaio_libaio_cancel_0_1, io_cancel@LIBAIO_0.1");
__asm__(".symver kaio_libaio_getevents_0_1, io_getevents@LIBAIO_0.1");
__asm__(".symver kaio_libaio_queue_wait_0_1, io_queue_wait@LIBAIO_0.1");

int io_queue_wait(io_context_t ctx, struct timespec *timeout);
int kaio_libaio_cancel_0_1(io_context_t ctx, struct iocb *iocb);
int kaio_libaio_getevents_0_1(io_context_t ctx, long nr, struct io_event *events,
                              const struct timespec *timeout);
int kaio_libaio_queue_wait_0_1(io_context_t ctx, const struct timespec *timeout);

// io_queue_wait has been of no use since LIBAIO_0.4: it wants no events, so it never waits.
int io_queue_wait(io_context_t ctx, struct timespec *timeout) {
    return io_getevents(ctx, 0, 0, NULL, timeout);
}

int kaio_libaio_cancel_0_1(io_context_t ctx, struct iocb *iocb) {
    struct io_event event;
    return io_cancel(ctx, iocb, &event);
}

int kaio_libaio_getevents_0_1(io_context_t ctx, long nr, struct io_event *events,
                              const struct timespec *timeout) {
    struct timespec copy;
    if (timeout != NULL) {
        copy = *timeout;
    }
    return io_getevents(ctx, 1, nr, events, timeout != NULL ? &copy : NULL);
}

int kaio_libaio_queue_wait_0_1(io_context_t ctx, const struct timespec *timeout) {
    struct timespec copy;
    if (timeout != NULL) {
        copy = *timeout;
    }
    return io_queue_wait(ctx, timeout != NULL ? &copy : NULL);
}
