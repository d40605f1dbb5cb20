// Compiles: the numbers of raw are those of the compiler's kernel headers, and of the table.
#include <asm/mman.h>
#include <asm/signal.h>
#include <asm/unistd.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <linux/ioprio.h>
#include <linux/uio.h>

#include "kaio/raw/aio_abi.h"
#include "kaio/raw/arch/numbers.h"

#define HOLDS(condition) _Static_assert(condition, #condition)
#define NUMBER(ours, theirs, number)       \
    HOLDS((long)(ours) == (long)(number)); \
    HOLDS((long)(theirs) == (long)(number))

// ---- opcodes and flags ----

NUMBER(KAIO_RAW_CMD_PREAD, IOCB_CMD_PREAD, 0);
NUMBER(KAIO_RAW_CMD_PWRITE, IOCB_CMD_PWRITE, 1);
NUMBER(KAIO_RAW_CMD_FSYNC, IOCB_CMD_FSYNC, 2);
NUMBER(KAIO_RAW_CMD_FDSYNC, IOCB_CMD_FDSYNC, 3);
HOLDS(KAIO_RAW_CMD_PREADX == 4);  // a comment in the kernel's header
NUMBER(KAIO_RAW_CMD_POLL, IOCB_CMD_POLL, 5);
NUMBER(KAIO_RAW_CMD_NOOP, IOCB_CMD_NOOP, 6);
NUMBER(KAIO_RAW_CMD_PREADV, IOCB_CMD_PREADV, 7);
NUMBER(KAIO_RAW_CMD_PWRITEV, IOCB_CMD_PWRITEV, 8);

NUMBER(KAIO_RAW_FLAG_RESFD, IOCB_FLAG_RESFD, 1);
NUMBER(KAIO_RAW_FLAG_IOPRIO, IOCB_FLAG_IOPRIO, 2);

NUMBER(KAIO_RAW_RWF_HIPRI, RWF_HIPRI, 0x1);
NUMBER(KAIO_RAW_RWF_DSYNC, RWF_DSYNC, 0x2);
NUMBER(KAIO_RAW_RWF_SYNC, RWF_SYNC, 0x4);
NUMBER(KAIO_RAW_RWF_NOWAIT, RWF_NOWAIT, 0x8);
NUMBER(KAIO_RAW_RWF_APPEND, RWF_APPEND, 0x10);
HOLDS(KAIO_RAW_RWF_NOAPPEND == 0x20);
HOLDS(KAIO_RAW_RWF_ATOMIC == 0x40);
HOLDS(KAIO_RAW_RWF_DONTCACHE == 0x80);
HOLDS(KAIO_RAW_RWF_NOSIGNAL == 0x100);
#ifdef RWF_NOAPPEND
HOLDS(RWF_NOAPPEND == 0x20);
#endif
#ifdef RWF_ATOMIC
HOLDS(RWF_ATOMIC == 0x40);
#endif
#ifdef RWF_DONTCACHE
HOLDS(RWF_DONTCACHE == 0x80);
#endif
#ifdef RWF_NOSIGNAL
HOLDS(RWF_NOSIGNAL == 0x100);
#endif

// ---- priorities ----

NUMBER(KAIO_RAW_IOPRIO_CLASS_NONE, IOPRIO_CLASS_NONE, 0);
NUMBER(KAIO_RAW_IOPRIO_CLASS_RT, IOPRIO_CLASS_RT, 1);
NUMBER(KAIO_RAW_IOPRIO_CLASS_BE, IOPRIO_CLASS_BE, 2);
NUMBER(KAIO_RAW_IOPRIO_CLASS_IDLE, IOPRIO_CLASS_IDLE, 3);
NUMBER(KAIO_RAW_IOPRIO_CLASS_SHIFT, IOPRIO_CLASS_SHIFT, 13);
NUMBER(KAIO_RAW_IOPRIO_CLASS_MASK, IOPRIO_CLASS_MASK, 7);
HOLDS(KAIO_RAW_IOPRIO_CLASS_INVALID == 7);
HOLDS(KAIO_RAW_IOPRIO_HINT_SHIFT == 3);
HOLDS(KAIO_RAW_IOPRIO_HINT_MASK == 0x3ff);
HOLDS(KAIO_RAW_IOPRIO_LEVEL_MASK == 7);
#ifdef IOPRIO_HINT_SHIFT  // 6.5
HOLDS(IOPRIO_CLASS_INVALID == 7);
HOLDS(IOPRIO_HINT_SHIFT == 3);
HOLDS(IOPRIO_HINT_MASK == 0x3ff);
HOLDS(IOPRIO_LEVEL_MASK == 7);
#endif

// ---- limits ----

NUMBER(KAIO_RAW_IOV_MAX, UIO_MAXIOV, 1024);
NUMBER(KAIO_RAW_MADV_DONTFORK, MADV_DONTFORK, 10);
HOLDS(KAIO_RAW_SIGSET_BYTES == TABLE_SIGSET);
#ifdef __NEW_NSIG  // sparc: its _NSIG is that of SunOS outside of the kernel
HOLDS(__NEW_NSIG / 8 == TABLE_SIGSET);
#elif defined(_NSIG)  // some architectures hide it
HOLDS(_NSIG / 8 == TABLE_SIGSET);
#endif

// ---- system calls: their use is checked in calls.c ----

#ifndef TABLE_ALONE
HOLDS(__NR_io_setup == TABLE_SETUP);
HOLDS(__NR_io_destroy == TABLE_DESTROY);
HOLDS(__NR_io_submit == TABLE_SUBMIT);
HOLDS(__NR_io_cancel == TABLE_CANCEL);
#    ifdef TABLE_GETEVENTS
HOLDS(__NR_io_getevents == TABLE_GETEVENTS);
#    elif defined(__NR_io_getevents)
#        error "the kernel's header has io_getevents, the table has none"
#    endif
#    ifdef TABLE_PGETEVENTS
HOLDS(__NR_io_pgetevents == TABLE_PGETEVENTS);
#    elif defined(__NR_io_pgetevents)
#        error "the kernel's header has io_pgetevents, the table has none"
#    endif
#    ifdef TABLE_TIME64
HOLDS(__NR_io_pgetevents_time64 == TABLE_TIME64);
#    elif defined(__NR_io_pgetevents_time64)
#        error "the kernel's header has io_pgetevents_time64, the table has none"
#    endif
#endif

HOLDS(KAIO_RAW_NR_SETUP_ == TABLE_SETUP);
HOLDS(KAIO_RAW_NR_DESTROY_ == TABLE_DESTROY);
HOLDS(KAIO_RAW_NR_SUBMIT_ == TABLE_SUBMIT);
HOLDS(KAIO_RAW_NR_CANCEL_ == TABLE_CANCEL);
#ifdef TABLE_GETEVENTS
HOLDS(KAIO_RAW_NR_GETEVENTS_ == TABLE_GETEVENTS);
#elif defined(KAIO_RAW_NR_GETEVENTS_)
#    error "raw has io_getevents, the table has none"
#endif
#ifdef TABLE_TIME64  // 64-bit time wherever there is a choice
HOLDS(KAIO_RAW_NR_PGETEVENTS_ == TABLE_TIME64);
#else
HOLDS(KAIO_RAW_NR_PGETEVENTS_ == TABLE_PGETEVENTS);
#endif
