// libaio.h: the interface of libaio 0.3.113, for programs that were written for it.
//
// Types, names and bytes are libaio's on every architecture; each call answers the kernel's value,
// or -errno, and leaves errno alone. Linked to //raw/libaio:libaio, or loaded from libaio.so.1.
// io_getevents, io_pgetevents without a mask, and io_queue_run take events that are there without
// a system call, from contexts that io_setup or io_queue_init of the same process made.
// Threads: any, any call, on one context. Signal handlers: all but io_queue_run; where one has
// interrupted a call that was taking events from the same context, io_getevents answers 0, or
// -EINTR when it would have had to wait, and io_destroy -EINTR. Do not leave such a handler by
// siglongjmp. A child of fork has no contexts: -EINVAL.
// Kernel: the calls of kaio/raw/aio_syscall.h, which tells the errors of each.

// libaio's own name: of the two headers the first that is included counts.
#ifndef __LIBAIO_H  // NOLINT(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp)
#define __LIBAIO_H  // NOLINT(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp)

#include <signal.h>
#include <string.h>
#include <sys/select.h>  // sigset_t, which <signal.h> hides under -std=c11
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct iovec;
struct sockaddr;
struct timespec;

// The address of the kernel's ring; NULL: none.
typedef struct io_context *io_context_t;

// FSYNC and FDSYNC since Linux 4.18, POLL since 4.19; NOOP is -EINVAL in every version.
typedef enum io_iocb_cmd {
    IO_CMD_PREAD = 0,
    IO_CMD_PWRITE = 1,
    IO_CMD_FSYNC = 2,
    IO_CMD_FDSYNC = 3,
    IO_CMD_POLL = 5,
    IO_CMD_NOOP = 6,
    IO_CMD_PREADV = 7,
    IO_CMD_PWRITEV = 8,
} io_iocb_cmd_t;

// Private: a member in the 64 bits that the kernel has for it, and two members in 64 bits of which
// the first is in the low half.
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#    define KAIO_LIBAIO_HALVES_(low, high) \
        low;                               \
        high
#else
#    define KAIO_LIBAIO_HALVES_(low, high) \
        high;                              \
        low
#endif
#if __SIZEOF_POINTER__ == 8
#    define KAIO_LIBAIO_WIDE_(member, padding) member
#else
#    define KAIO_LIBAIO_WIDE_(member, padding) KAIO_LIBAIO_HALVES_(member, unsigned padding)
#endif

struct io_iocb_poll {
    KAIO_LIBAIO_HALVES_(int events, int padding_);  // POLLIN, ...
};

struct io_iocb_sockaddr {
    KAIO_LIBAIO_WIDE_(struct sockaddr *addr, padding_1_);
    KAIO_LIBAIO_WIDE_(unsigned long len, padding_2_);
};

struct io_iocb_common {
    KAIO_LIBAIO_WIDE_(void *buf, padding_1_);
    KAIO_LIBAIO_WIDE_(unsigned long nbytes, padding_2_);  // bytes, or number of iovecs
    long long offset;                                     // bytes
    long long reserved_;
    unsigned flags;  // bit 0: resfd counts; bit 1: the request's aio_reqprio counts
    unsigned resfd;  // an eventfd, incremented with the event
};

struct io_iocb_vector {
    KAIO_LIBAIO_WIDE_(const struct iovec *vec, padding_1_);
    KAIO_LIBAIO_WIDE_(unsigned long nr, padding_2_);
    long long offset;
};

// One request. The kernel has copied it when io_submit returns; the buffer is the kernel's until
// the event is there.
struct iocb {
    KAIO_LIBAIO_WIDE_(void *data, padding_1_);                 // comes back in the event
    KAIO_LIBAIO_HALVES_(unsigned key, unsigned aio_rw_flags);  // written by io_submit; RWF_*
    short aio_lio_opcode;                                      // IO_CMD_*
    short aio_reqprio;
    int aio_fildes;
    union {
        struct io_iocb_common c;
        struct io_iocb_vector v;
        struct io_iocb_poll poll;
        struct io_iocb_sockaddr saddr;
    } u;
};

// One completion. `res` is bytes, 0 or a poll mask; or, as a signed number, -errno.
struct io_event {
    KAIO_LIBAIO_WIDE_(void *data, padding_1_);
    KAIO_LIBAIO_WIDE_(struct iocb *obj, padding_2_);
    KAIO_LIBAIO_WIDE_(unsigned long res, padding_3_);
    KAIO_LIBAIO_WIDE_(unsigned long res2, padding_4_);
};

// What the kernel takes as the last argument of io_pgetevents.
struct io_sigset {
    unsigned long ss;
    unsigned long ss_len;
};
struct io_sigset_compat {
    KAIO_LIBAIO_WIDE_(unsigned long ss, padding_);
    unsigned long ss_len;
};

#undef KAIO_LIBAIO_HALVES_
#undef KAIO_LIBAIO_WIDE_

typedef void (*io_callback_t)(io_context_t ctx, struct iocb *iocb, long res, long res2);

// io_queue_init is io_setup that sets `*ctxp` to NULL first. -EINVAL: maxevents < 1.
extern int io_queue_init(int maxevents, io_context_t *ctxp);

// io_queue_release is io_destroy.
extern int io_queue_release(io_context_t ctx);

// io_queue_run calls the callback of every event that is there (io_set_callback). 0 or -errno.
extern int io_queue_run(io_context_t ctx);

// io_setup makes a context for at least `maxevents` requests; `*ctxp` must be NULL.
extern int io_setup(int maxevents, io_context_t *ctxp);

// io_destroy cancels pending polls, waits for all else, and drops the events. Threads that wait in
// io_getevents get -EINVAL.
extern int io_destroy(io_context_t ctx);

// io_submit hands over ios[0..nr) and returns how many were taken, front first. What was not taken
// is the caller's to send again.
extern int io_submit(io_context_t ctx, long nr, struct iocb *ios[]);

// io_cancel ends a pending poll early: -EINPROGRESS is the success, and the event comes.
extern int io_cancel(io_context_t ctx, struct iocb *iocb, struct io_event *evt);

// io_getevents waits for `min_nr` events and stores up to `nr` of them. `timeout` is relative; NULL
// waits for ever. `events` has to be writable memory: what is not may end in SIGSEGV, not -EFAULT.
extern int io_getevents(io_context_t ctx, long min_nr, long nr, struct io_event *events,
                        struct timespec *timeout);

// io_pgetevents does so under the signal mask `sigmask`. NULL: it is io_getevents.
extern int io_pgetevents(io_context_t ctx, long min_nr, long nr, struct io_event *events,
                         struct timespec *timeout, sigset_t *sigmask);

// io_set_callback has io_queue_run call `cb`. It takes the place of iocb->data.
static inline void io_set_callback(struct iocb *iocb, io_callback_t cb) {
    memcpy(&iocb->data, &cb, sizeof cb);
}

// Private: all that the operations have in common. The rest of the iocb is 0.
static inline void kaio_libaio_prep_(struct iocb *iocb, short opcode, int fd) {
    memset(iocb, 0, sizeof *iocb);
    iocb->aio_lio_opcode = opcode;
    iocb->aio_fildes = fd;
}

// Private: an operation with bytes or iovecs.
static inline void kaio_libaio_prep_rw_(struct iocb *iocb, short opcode, int fd, const void *buf,
                                        unsigned long count, long long offset) {
    kaio_libaio_prep_(iocb, opcode, fd);
    memcpy(&iocb->u.c.buf, &buf, sizeof buf);
    iocb->u.c.nbytes = count;
    iocb->u.c.offset = offset;
}

static inline void io_prep_pread(struct iocb *iocb, int fd, void *buf, size_t count,
                                 long long offset) {
    kaio_libaio_prep_rw_(iocb, IO_CMD_PREAD, fd, buf, count, offset);
}

static inline void io_prep_pwrite(struct iocb *iocb, int fd, void *buf, size_t count,
                                  long long offset) {
    kaio_libaio_prep_rw_(iocb, IO_CMD_PWRITE, fd, buf, count, offset);
}

static inline void io_prep_preadv2(struct iocb *iocb, int fd, const struct iovec *iov, int iovcnt,
                                   long long offset, int flags) {
    // A negative count becomes a large one, which the kernel refuses.
    kaio_libaio_prep_rw_(iocb, IO_CMD_PREADV, fd, iov, (unsigned long)iovcnt, offset);
    iocb->aio_rw_flags = (unsigned)flags;
}

static inline void io_prep_pwritev2(struct iocb *iocb, int fd, const struct iovec *iov, int iovcnt,
                                    long long offset, int flags) {
    io_prep_preadv2(iocb, fd, iov, iovcnt, offset, flags);
    iocb->aio_lio_opcode = IO_CMD_PWRITEV;
}

static inline void io_prep_preadv(struct iocb *iocb, int fd, const struct iovec *iov, int iovcnt,
                                  long long offset) {
    io_prep_preadv2(iocb, fd, iov, iovcnt, offset, 0);
}

static inline void io_prep_pwritev(struct iocb *iocb, int fd, const struct iovec *iov, int iovcnt,
                                   long long offset) {
    io_prep_pwritev2(iocb, fd, iov, iovcnt, offset, 0);
}

static inline void io_prep_poll(struct iocb *iocb, int fd, int events) {
    kaio_libaio_prep_(iocb, IO_CMD_POLL, fd);
    iocb->u.poll.events = events;
}

static inline void io_prep_fsync(struct iocb *iocb, int fd) {
    kaio_libaio_prep_(iocb, IO_CMD_FSYNC, fd);
}

static inline void io_prep_fdsync(struct iocb *iocb, int fd) {
    kaio_libaio_prep_(iocb, IO_CMD_FDSYNC, fd);
}

// io_poll, io_fsync and io_fdsync also submit it: 1, or -errno.
static inline int io_poll(io_context_t ctx, struct iocb *iocb, io_callback_t cb, int fd,
                          int events) {
    io_prep_poll(iocb, fd, events);
    io_set_callback(iocb, cb);
    return io_submit(ctx, 1, &iocb);
}

static inline int io_fsync(io_context_t ctx, struct iocb *iocb, io_callback_t cb, int fd) {
    io_prep_fsync(iocb, fd);
    io_set_callback(iocb, cb);
    return io_submit(ctx, 1, &iocb);
}

static inline int io_fdsync(io_context_t ctx, struct iocb *iocb, io_callback_t cb, int fd) {
    io_prep_fdsync(iocb, fd);
    io_set_callback(iocb, cb);
    return io_submit(ctx, 1, &iocb);
}

// io_set_eventfd has the eventfd incremented when the event is there.
static inline void io_set_eventfd(struct iocb *iocb, int eventfd) {
    iocb->u.c.flags |= 1U;
    iocb->u.c.resfd = (unsigned)eventfd;
}

#ifdef __cplusplus
}
#endif

#endif  // __LIBAIO_H
