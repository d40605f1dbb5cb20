// Compiles: every function of raw, inlined into a caller that compiles with many warnings.
#include "kaio/raw/kaio_raw.h"

long every_builder(int fd, char *bytes, const struct iovec *iov, struct kaio_raw_iocb *out_iocbs);
long every_builder(int fd, char *bytes, const struct iovec *iov, struct kaio_raw_iocb *out_iocbs) {
    uint16_t priority = kaio_raw_ioprio_encode(KAIO_RAW_IOPRIO_CLASS_BE, 0, 4);
    unsigned parts = kaio_raw_ioprio_class(priority) + kaio_raw_ioprio_hint(priority) +
                     kaio_raw_ioprio_level(priority);
    out_iocbs[0] = kaio_raw_prep_pread(fd, bytes, 1, 2);
    out_iocbs[1] = kaio_raw_prep_pwrite(fd, bytes, 1, 2);
    out_iocbs[2] = kaio_raw_prep_preadv(fd, iov, 1, 2);
    out_iocbs[3] = kaio_raw_prep_pwritev(fd, iov, 1, 2);
    out_iocbs[4] = kaio_raw_prep_fsync(fd);
    out_iocbs[5] = kaio_raw_prep_fdsync(fd);
    out_iocbs[6] = kaio_raw_prep_poll(fd, 1);
    kaio_raw_set_data(&out_iocbs[0], 1);
    kaio_raw_set_eventfd(&out_iocbs[0], fd);
    kaio_raw_set_priority(&out_iocbs[0], priority);
    kaio_raw_set_rw_flags(&out_iocbs[0], KAIO_RAW_RWF_NOWAIT | KAIO_RAW_RWF_DSYNC);
    return parts > 0;
}

long every_call(unsigned nr_events, struct kaio_raw_iocb *iocb,
                const struct kaio_raw_sigset *sigset, struct kaio_raw_event *out_events);
long every_call(unsigned nr_events, struct kaio_raw_iocb *iocb,
                const struct kaio_raw_sigset *sigset, struct kaio_raw_event *out_events) {
    kaio_raw_context ctx = 0;
    struct kaio_raw_old_timespec old_timeout = {0, 0};
    struct kaio_raw_timespec timeout = {0, 0};
    long sum = kaio_raw_setup(nr_events, &ctx);
    sum += kaio_raw_submit(ctx, 1, &iocb);
    sum += kaio_raw_cancel(ctx, iocb, out_events);
    sum += kaio_raw_getevents(ctx, 0, 1, out_events, &old_timeout);
    sum += kaio_raw_pgetevents(ctx, 0, 1, out_events, &timeout, sigset);
    return sum + kaio_raw_destroy(ctx);
}

uint32_t every_ring_step(kaio_raw_context ctx, struct kaio_raw_event *out_event);
uint32_t every_ring_step(kaio_raw_context ctx, struct kaio_raw_event *out_event) {
    const struct kaio_raw_event *events;
    struct kaio_raw_ring_consumer consumer;
    if (kaio_raw_ring_validate(ctx, &consumer) != 0 || kaio_raw_ring_dontfork(&consumer) != 0) {
        return 0;
    }
    uint32_t count = kaio_raw_ring_peek(&consumer, &events);
    if (count == 0 || count == KAIO_RAW_RING_CORRUPT) {
        return count;
    }
    *out_event = events[0];
    kaio_raw_ring_consume(&consumer, 1);
    return kaio_raw_ring_ready(&consumer);
}

size_t every_error(long result, char *out_text, size_t size_bytes);
size_t every_error(long result, char *out_text, size_t size_bytes) {
    struct kaio_raw_limits limits;
    struct kaio_raw_numbers numbers = {1, 0, &limits};
    if (kaio_raw_limits_read(&limits) != 0) {
        return 0;
    }
    const char *call = kaio_raw_call_name(KAIO_RAW_CALL_SETUP);
    const char *cause = kaio_raw_cause_name(kaio_raw_cause_of(KAIO_RAW_CALL_SETUP, result));
    return call == cause ? 0
                         : kaio_raw_error_message(out_text, size_bytes, KAIO_RAW_CALL_SETUP, result,
                                                  &numbers);
}
