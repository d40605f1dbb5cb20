// Compiles twice: the structures of our libaio.h and of the system's are the same numbers.
#include <stddef.h>

#include LIBAIO_HEADER

#define FIELD(type, field) offsetof(struct type, field), sizeof(((struct type *)0)->field)
#define WHOLE(type) sizeof(struct type), _Alignof(struct type)

const size_t layout[] = {
    WHOLE(iocb),
    FIELD(iocb, data),
    FIELD(iocb, key),
    FIELD(iocb, aio_rw_flags),
    FIELD(iocb, aio_lio_opcode),
    FIELD(iocb, aio_reqprio),
    FIELD(iocb, aio_fildes),
    FIELD(iocb, u),
    FIELD(iocb, u.c.buf),
    FIELD(iocb, u.c.nbytes),
    FIELD(iocb, u.c.offset),
    FIELD(iocb, u.c.flags),
    FIELD(iocb, u.c.resfd),
    FIELD(iocb, u.v.vec),
    FIELD(iocb, u.v.nr),
    FIELD(iocb, u.v.offset),
    FIELD(iocb, u.poll.events),
    FIELD(iocb, u.saddr.addr),
    FIELD(iocb, u.saddr.len),
    WHOLE(io_iocb_common),
    WHOLE(io_iocb_vector),
    WHOLE(io_iocb_poll),
    WHOLE(io_iocb_sockaddr),
    WHOLE(io_event),
    FIELD(io_event, data),
    FIELD(io_event, obj),
    FIELD(io_event, res),
    FIELD(io_event, res2),
    WHOLE(io_sigset),
    FIELD(io_sigset, ss),
    FIELD(io_sigset, ss_len),
    WHOLE(io_sigset_compat),
    FIELD(io_sigset_compat, ss),
    FIELD(io_sigset_compat, ss_len),
    sizeof(io_context_t),
    sizeof(io_callback_t),
    sizeof(io_iocb_cmd_t),
    IO_CMD_PREAD,
    IO_CMD_PWRITE,
    IO_CMD_FSYNC,
    IO_CMD_FDSYNC,
    IO_CMD_POLL,
    IO_CMD_NOOP,
    IO_CMD_PREADV,
    IO_CMD_PWRITEV,
};

// The types of the calls: an assignment that would not fit does not compile.
int (*const init)(int, io_context_t *) = io_queue_init;
int (*const release)(io_context_t) = io_queue_release;
int (*const run)(io_context_t) = io_queue_run;
int (*const setup)(int, io_context_t *) = io_setup;
int (*const destroy)(io_context_t) = io_destroy;
int (*const submit)(io_context_t, long, struct iocb **) = io_submit;
int (*const cancel)(io_context_t, struct iocb *, struct io_event *) = io_cancel;
int (*const getevents)(io_context_t, long, long, struct io_event *,
                       struct timespec *) = io_getevents;
int (*const pgetevents)(io_context_t, long, long, struct io_event *, struct timespec *,
                        sigset_t *) = io_pgetevents;

// The helpers: what they write is compared by running them, here that they take the same.
void (*const set_callback)(struct iocb *, io_callback_t) = io_set_callback;
void (*const set_eventfd)(struct iocb *, int) = io_set_eventfd;
void (*const prep_poll)(struct iocb *, int, int) = io_prep_poll;
void (*const prep_fsync)(struct iocb *, int) = io_prep_fsync;
void (*const prep_fdsync)(struct iocb *, int) = io_prep_fdsync;
void (*const prep_pread)(struct iocb *, int, void *, size_t, long long) = io_prep_pread;
void (*const prep_pwrite)(struct iocb *, int, void *, size_t, long long) = io_prep_pwrite;
void (*const prep_preadv)(struct iocb *, int, const struct iovec *, int,
                          long long) = io_prep_preadv;
void (*const prep_pwritev)(struct iocb *, int, const struct iovec *, int,
                           long long) = io_prep_pwritev;
void (*const prep_preadv2)(struct iocb *, int, const struct iovec *, int, long long,
                           int) = io_prep_preadv2;
void (*const prep_pwritev2)(struct iocb *, int, const struct iovec *, int, long long,
                            int) = io_prep_pwritev2;
