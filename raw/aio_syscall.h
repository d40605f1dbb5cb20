// kaio/raw/aio_syscall.h: the AIO system calls, one C function each, nothing added.
//
// Every function returns the kernel's own value: >= 0, or -errno; errno itself is not touched.
// Nothing is checked here: a wrong pointer is the caller's bug. -ENOSYS of any of them: a kernel
// without CONFIG_AIO. Threads: any thread of the process that made the context; a child of fork
// has no contexts (-EINVAL). KAIO_RAW_SYSCALL_LIBC, if defined, sends all calls through syscall(2).

#ifndef KAIO_RAW_AIO_SYSCALL_H_
#define KAIO_RAW_AIO_SYSCALL_H_

#include <errno.h>
#include <stdint.h>

#include "kaio/raw/aio_abi.h"
#include "kaio/raw/arch/numbers.h"

#if defined(KAIO_RAW_SYSCALL_LIBC)
#    include "kaio/raw/arch/syscall_libc.h"
#elif defined(__x86_64__)
#    include "kaio/raw/arch/syscall_x86_64.h"
#elif defined(__aarch64__) && defined(__LP64__)
#    include "kaio/raw/arch/syscall_aarch64.h"
#elif defined(__riscv) && defined(__LP64__) && !defined(__riscv_vector)
#    include "kaio/raw/arch/syscall_riscv64.h"
#else
#    include "kaio/raw/arch/syscall_libc.h"
#endif

// kaio_raw_setup makes a context that has room for at least `nr_events` requests.
//
// A request holds its room from submit until its event is reaped, not until it is done.
// Ownership: the caller owns `*out_ctx`, which must be 0 on entry, until kaio_raw_destroy.
// Errors:    in this order: -EFAULT `out_ctx` not readable; -EINVAL `*out_ctx` not 0, `nr_events`
//            0 or over 4194304; -EAGAIN `nr_events` alone over /proc/sys/fs/aio-max-nr (0x80000000
//            to 0x80400000 also end here); -ENOMEM, -EINTR; -EAGAIN with aio-nr over aio-max-nr;
//            -EFAULT `out_ctx` not writable. Then nothing is left behind.
// Kernel:    io_setup, fs/aio.c, 2.5.
static inline long kaio_raw_setup(unsigned nr_events, kaio_raw_context *out_ctx) {
    return kaio_raw_syscall2_(KAIO_RAW_NR_SETUP_, nr_events, KAIO_RAW_ADDRESS_(out_ctx));
}

// kaio_raw_destroy ends `ctx`: cancels pending polls, waits for all else, drops unreaped events.
//
// The wait cannot be interrupted, and takes some 30 ms even for an idle context.
// Ownership: on 0 the context is gone and every buffer in flight is the caller's again. On -EINVAL
//            the kernel may still use them: of two calls at once the second does not wait.
// Errors:    -EINVAL no such context; never -EFAULT.
// Kernel:    io_destroy, fs/aio.c, 2.5.
static inline long kaio_raw_destroy(kaio_raw_context ctx) {
    return kaio_raw_syscall1_(KAIO_RAW_NR_DESTROY_, ctx);
}

// kaio_raw_submit hands `iocbs[0..nr)` to the kernel and returns how many it took, front first.
//
// The first refusal ends the call; its error shows only if it is first in the next call. What goes
// wrong while the I/O is done comes as the event's res. The call may sleep: buffered I/O is done in
// it. `nr` above the ring's size is cut.
// Ownership: iocbs are written (aio_key = 0) and copied before return. Data buffers are the
//            kernel's until the event is reaped; the file may be closed.
// Errors:    -EINVAL `nr` < 0, no such context; then of iocbs[0], in this order: -EFAULT, -EINVAL
//            aio_reserved2 or length, -EAGAIN no room or no kernel memory, -EBADF file, -EBADF or
//            -EINVAL eventfd, -EFAULT iocb not writable, -EINVAL opcode, then those of aio_prep.h.
// Kernel:    io_submit, fs/aio.c, 2.5.
static inline long kaio_raw_submit(kaio_raw_context ctx, long nr, struct kaio_raw_iocb **iocbs) {
    return kaio_raw_syscall3_(KAIO_RAW_NR_SUBMIT_, ctx, KAIO_RAW_CAST_(kaio_raw_ulong, nr),
                              KAIO_RAW_ADDRESS_(iocbs));
}

// kaio_raw_cancel asks for an early end of the request that was submitted at the address `iocb`.
//
// -EINPROGRESS is the success: an event will come, with res 0 unless the request was quicker.
// Only a pending poll can be cancelled. Never returns 0, never writes `result` (may be NULL).
// Errors:    in this order: -EFAULT `iocb` not readable; -EINVAL its aio_key not 0; -EINVAL no such
//            context; -EINVAL nothing pending under that address, or not to be cancelled.
// Kernel:    io_cancel, fs/aio.c; -EINPROGRESS since 3.11.
static inline long kaio_raw_cancel(kaio_raw_context ctx, struct kaio_raw_iocb *iocb,
                                   struct kaio_raw_event *result) {
    return kaio_raw_syscall3_(KAIO_RAW_NR_CANCEL_, ctx, KAIO_RAW_ADDRESS_(iocb),
                              KAIO_RAW_ADDRESS_(result));
}

// kaio_raw_getevents waits for `min_nr` events and stores up to `nr` in `out_events[0..nr)`.
//
// Returns the number stored: fewer than `min_nr`, perhaps 0, after `timeout` or a signal. `timeout`
// is relative and not checked: NULL or a negative one waits for ever. `min_nr` 0 never waits.
// Errors:    in this order: -EFAULT `timeout`; -EINVAL no such context, or destroyed meanwhile;
//            -EINVAL not 0 <= min_nr <= nr; -EFAULT `out_events`, and the events stay; -EINTR
//            nothing stored and a signal, SA_RESTART or not, or a stop and continue.
//            -ENOSYS on riscv32 and loongarch32, which have kaio_raw_pgetevents alone.
// Kernel:    io_getevents, fs/aio.c, 2.5; 32-bit time on 32-bit architectures.
static inline long kaio_raw_getevents(kaio_raw_context ctx, long min_nr, long nr,
                                      struct kaio_raw_event *out_events,
                                      struct kaio_raw_old_timespec *timeout) {
#ifdef KAIO_RAW_NR_GETEVENTS_
    return kaio_raw_syscall5_(KAIO_RAW_NR_GETEVENTS_, ctx, KAIO_RAW_CAST_(kaio_raw_ulong, min_nr),
                              KAIO_RAW_CAST_(kaio_raw_ulong, nr), KAIO_RAW_ADDRESS_(out_events),
                              KAIO_RAW_ADDRESS_(timeout));
#else
    (void)ctx, (void)min_nr, (void)nr, (void)out_events, (void)timeout;
    return -ENOSYS;
#endif
}

// kaio_raw_pgetevents is kaio_raw_getevents under the signal mask of `sigset`, restored on return.
//
// `timeout` has 64 bits everywhere. `sigset`, or its sigmask, may be NULL: the mask stays.
// Errors:    as kaio_raw_getevents; after `timeout`: -EFAULT `sigset` or its sigmask, -EINVAL
//            sigsetsize not KAIO_RAW_SIGSET_BYTES. -EINTR at once if a signal is pending that
//            `sigset` lets in and no event is ready, even with `min_nr` 0. After a stop and
//            continue it waits the full `timeout` again.
//            -ENOSYS a kernel older than the call.
// Kernel:    io_pgetevents, 4.18; on 32-bit architectures io_pgetevents_time64, 5.1; fs/aio.c.
static inline long kaio_raw_pgetevents(kaio_raw_context ctx, long min_nr, long nr,
                                       struct kaio_raw_event *out_events,
                                       struct kaio_raw_timespec *timeout,
                                       const struct kaio_raw_sigset *sigset) {
    return kaio_raw_syscall6_(KAIO_RAW_NR_PGETEVENTS_, ctx, KAIO_RAW_CAST_(kaio_raw_ulong, min_nr),
                              KAIO_RAW_CAST_(kaio_raw_ulong, nr), KAIO_RAW_ADDRESS_(out_events),
                              KAIO_RAW_ADDRESS_(timeout), KAIO_RAW_ADDRESS_(sigset));
}

#endif  // KAIO_RAW_AIO_SYSCALL_H_
