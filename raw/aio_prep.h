// kaio/raw/aio_prep.h: one builder per operation; each returns a complete iocb by value.
//
// Nothing is checked and nothing is owned: an iocb holds addresses as numbers.
// What a builder does not name is 0; the setters below fill in the optional parts.

#ifndef KAIO_RAW_AIO_PREP_H_
#define KAIO_RAW_AIO_PREP_H_

#include <stdint.h>

#include "kaio/raw/aio_abi.h"

// Of <sys/uio.h>, or of <linux/uio.h>: which do not go together.
struct iovec;

// Private: every field of an iocb, so that no byte is left unset.
static inline struct kaio_raw_iocb kaio_raw_prep_(uint16_t opcode, int fd, uint64_t buf,
                                                  uint64_t nbytes, int64_t offset) {
    struct kaio_raw_iocb iocb;
    iocb.aio_data = 0;
    iocb.aio_key = 0;
    iocb.aio_rw_flags = 0;
    iocb.aio_lio_opcode = opcode;
    iocb.aio_reqprio = 0;
    iocb.aio_fildes = KAIO_RAW_CAST_(uint32_t, fd);
    iocb.aio_buf = buf;
    iocb.aio_nbytes = nbytes;
    iocb.aio_offset = offset;
    iocb.aio_reserved2 = 0;
    iocb.aio_flags = 0;
    iocb.aio_resfd = 0;
    return iocb;
}

// kaio_raw_prep_pread reads `nbytes` at byte `offset` of `fd` into `buf[0..nbytes)`.
//
// Ownership: the kernel writes to `buf` from submit until the request's event.
// Errors:    of kaio_raw_submit: -EBADF not open for reading; -EINVAL `offset` < 0, `offset` +
//            `nbytes` past the largest offset, `nbytes` over the kernel's SSIZE_MAX, or a file
//            without read (directory); -EFAULT `buf` no user address.
//            In the event: -EFAULT not mapped, -EINVAL misaligned for O_DIRECT, -EAGAIN, -ESPIPE
//            a socket and `offset` not 0. 0 at the end of the file; short counts are normal.
// Kernel:    aio_read, fs/aio.c; lengths above 2^31 - page size are cut to it.
static inline struct kaio_raw_iocb kaio_raw_prep_pread(int fd, void *buf, uint64_t nbytes,
                                                       int64_t offset) {
    return kaio_raw_prep_(KAIO_RAW_CMD_PREAD, fd, KAIO_RAW_ADDRESS_(buf), nbytes, offset);
}

// kaio_raw_prep_pwrite writes `buf[0..nbytes)` at byte `offset` of `fd`.
//
// An O_APPEND file is written at its end, whatever `offset` (>= 0) says.
// Ownership: the kernel reads `buf` from submit until the request's event.
// Errors:    as kaio_raw_prep_pread; also in the event: -ENOSPC, -EFBIG (with SIGXFSZ), -EPIPE
//            (with SIGPIPE), -EPERM.
// Kernel:    aio_write, fs/aio.c.
static inline struct kaio_raw_iocb kaio_raw_prep_pwrite(int fd, const void *buf, uint64_t nbytes,
                                                        int64_t offset) {
    return kaio_raw_prep_(KAIO_RAW_CMD_PWRITE, fd, KAIO_RAW_ADDRESS_(buf), nbytes, offset);
}

// kaio_raw_prep_preadv reads at byte `offset` of `fd` into the buffers of `iov[0..count)`, in turn.
//
// Ownership: the kernel copies `iov` before submit returns; the buffers as kaio_raw_prep_pread.
// Errors:    as kaio_raw_prep_pread; of kaio_raw_submit: -EINVAL `count` over KAIO_RAW_IOV_MAX or
//            a length over SSIZE_MAX, -EFAULT `iov` not mapped.
// Kernel:    aio_read, fs/aio.c.
static inline struct kaio_raw_iocb kaio_raw_prep_preadv(int fd, const struct iovec *iov,
                                                        uint64_t count, int64_t offset) {
    return kaio_raw_prep_(KAIO_RAW_CMD_PREADV, fd, KAIO_RAW_ADDRESS_(iov), count, offset);
}

// kaio_raw_prep_pwritev writes the buffers of `iov[0..count)`, in turn, at byte `offset` of `fd`.
//
// Ownership: as kaio_raw_prep_preadv.
// Errors:    as kaio_raw_prep_pwrite and kaio_raw_prep_preadv.
// Kernel:    aio_write, fs/aio.c.
static inline struct kaio_raw_iocb kaio_raw_prep_pwritev(int fd, const struct iovec *iov,
                                                         uint64_t count, int64_t offset) {
    return kaio_raw_prep_(KAIO_RAW_CMD_PWRITEV, fd, KAIO_RAW_ADDRESS_(iov), count, offset);
}

// kaio_raw_prep_fsync makes what was written to `fd` before, and its metadata, durable.
//
// It does not wait for writes in flight: it may finish before a write that was submitted first.
// Errors:    of kaio_raw_submit: -EINVAL a file without fsync (pipe, socket), or any of aio_buf,
//            aio_nbytes, aio_offset, aio_rw_flags set. In the event: 0, -EIO, -ENOSPC, -EDQUOT.
// Kernel:    aio_fsync, fs/aio.c, 4.18.
static inline struct kaio_raw_iocb kaio_raw_prep_fsync(int fd) {
    return kaio_raw_prep_(KAIO_RAW_CMD_FSYNC, fd, 0, 0, 0);
}

// kaio_raw_prep_fdsync is kaio_raw_prep_fsync without metadata that reading does not need.
static inline struct kaio_raw_iocb kaio_raw_prep_fdsync(int fd) {
    return kaio_raw_prep_(KAIO_RAW_CMD_FDSYNC, fd, 0, 0, 0);
}

// kaio_raw_prep_poll waits once for any of `events` (POLLIN, ...; at most 16 bits) on `fd`.
//
// The event's res is the mask found. It may hold bits that were not asked for, POLLERR and POLLHUP
// among them, and is 0 after kaio_raw_cancel.
// Ownership: keeps the open file behind `fd` alive until the event.
// Errors:    of kaio_raw_submit: -EINVAL `events` over 0xffff, aio_nbytes, aio_offset or
//            aio_rw_flags set, or a file that would wait on two queues (FIFO opened O_RDWR, pty).
// Kernel:    aio_poll, fs/aio.c, 4.19; unsafe before 5.16 without stable fixes.
static inline struct kaio_raw_iocb kaio_raw_prep_poll(int fd, uint32_t events) {
    return kaio_raw_prep_(KAIO_RAW_CMD_POLL, fd, events, 0, 0);
}

// kaio_raw_set_data makes `data` come back in the request's event, all 64 bits of it.
static inline void kaio_raw_set_data(struct kaio_raw_iocb *iocb, uint64_t data) {
    iocb->aio_data = data;
}

// kaio_raw_set_eventfd makes the request's event add 1 to the eventfd `fd`.
//
// The event is in the ring before the count is raised. At 2^64 - 1 the count stays.
// Ownership: the kernel holds the eventfd until the event; `fd` may be closed after submit.
// Errors:    of kaio_raw_submit: -EBADF not open, -EINVAL not an eventfd.
// Kernel:    IOCB_FLAG_RESFD, 2.6.22.
static inline void kaio_raw_set_eventfd(struct kaio_raw_iocb *iocb, int fd) {
    iocb->aio_flags |= KAIO_RAW_FLAG_RESFD;
    iocb->aio_resfd = KAIO_RAW_CAST_(uint32_t, fd);
}

// kaio_raw_set_priority gives a read or write the `priority` of kaio_raw_ioprio_encode.
//
// Errors:    of kaio_raw_submit, before all others of reads and writes: -EPERM class RT without
//            the right, -EINVAL class 4 to 7, or NONE with a level. Others ignore the priority.
// Kernel:    IOCB_FLAG_IOPRIO, 4.18.
static inline void kaio_raw_set_priority(struct kaio_raw_iocb *iocb, uint16_t priority) {
    iocb->aio_flags |= KAIO_RAW_FLAG_IOPRIO;
    iocb->aio_reqprio = KAIO_RAW_CAST_(int16_t, priority);
}

// kaio_raw_set_rw_flags replaces the flags of a read or write by `rw_flags`: KAIO_RAW_RWF_*.
//
// Errors:    of kaio_raw_submit, after the priority and before the file's mode: -EOPNOTSUPP a bit
//            that kernel or file lacks, -EINVAL APPEND with NOAPPEND, -EPERM NOAPPEND on an
//            append-only file. In the event, for some files: -EOPNOTSUPP, -EAGAIN (NOWAIT).
// Kernel:    4.13; must be 0 before.
static inline void kaio_raw_set_rw_flags(struct kaio_raw_iocb *iocb, int rw_flags) {
    iocb->aio_rw_flags = rw_flags;
}

#endif  // KAIO_RAW_AIO_PREP_H_
