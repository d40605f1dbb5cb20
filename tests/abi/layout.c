// Compiles: the structures of raw are those of the compiler's kernel headers, and of the table.
#include <linux/aio_abi.h>
#include <linux/time_types.h>
#include <signal.h>
#include <stddef.h>

#include "kaio/raw/aio_abi.h"

#define HOLDS(condition) _Static_assert(condition, #condition)
#define SAME_TYPE(ours, theirs) HOLDS(__builtin_types_compatible_p(ours, theirs))

// `offset` is a third opinion: ours and the kernel's header may not change together.
#define FIELD(ours, theirs, field, offset)           \
    HOLDS(offsetof(struct ours, field) == offset);   \
    HOLDS(offsetof(struct theirs, field) == offset); \
    HOLDS(sizeof(((struct ours *)0)->field) == sizeof(((struct theirs *)0)->field))
#define IOCB_FIELD(field, offset) FIELD(kaio_raw_iocb, iocb, field, offset)
#define EVENT_FIELD(field, offset) FIELD(kaio_raw_event, io_event, field, offset)

// The program.
HOLDS(sizeof(long) * 8 == TABLE_BITS);
HOLDS(sizeof(void *) * 8 == TABLE_BITS);
#if TABLE_BIG_ENDIAN
HOLDS(__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__);
#    define KEY_OFFSET 12
#    define RW_FLAGS_OFFSET 8
#else
HOLDS(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);
#    define KEY_OFFSET 8
#    define RW_FLAGS_OFFSET 12
#endif

// The request.
HOLDS(sizeof(struct kaio_raw_iocb) == 64);
HOLDS(sizeof(struct iocb) == 64);
HOLDS(_Alignof(struct kaio_raw_iocb) == TABLE_ALIGN);
HOLDS(_Alignof(struct iocb) == TABLE_ALIGN);
IOCB_FIELD(aio_data, 0);
IOCB_FIELD(aio_key, KEY_OFFSET);
IOCB_FIELD(aio_rw_flags, RW_FLAGS_OFFSET);
IOCB_FIELD(aio_lio_opcode, 16);
IOCB_FIELD(aio_reqprio, 18);
IOCB_FIELD(aio_fildes, 20);
IOCB_FIELD(aio_buf, 24);
IOCB_FIELD(aio_nbytes, 32);
IOCB_FIELD(aio_offset, 40);
IOCB_FIELD(aio_reserved2, 48);
IOCB_FIELD(aio_flags, 56);
IOCB_FIELD(aio_resfd, 60);

// The completion.
HOLDS(sizeof(struct kaio_raw_event) == 32);
HOLDS(sizeof(struct io_event) == 32);
HOLDS(_Alignof(struct kaio_raw_event) == TABLE_ALIGN);
HOLDS(_Alignof(struct io_event) == TABLE_ALIGN);
EVENT_FIELD(data, 0);
EVENT_FIELD(obj, 8);
EVENT_FIELD(res, 16);
EVENT_FIELD(res2, 24);

// The context and the kernel's long.
HOLDS(sizeof(kaio_raw_context) == TABLE_CONTEXT);
SAME_TYPE(kaio_raw_context, aio_context_t);
SAME_TYPE(kaio_raw_long, __kernel_long_t);
SAME_TYPE(kaio_raw_ulong, __kernel_ulong_t);

// The timeouts.
HOLDS(sizeof(struct kaio_raw_old_timespec) == 2 * TABLE_CONTEXT);
HOLDS(sizeof(struct __kernel_old_timespec) == 2 * TABLE_CONTEXT);
FIELD(kaio_raw_old_timespec, __kernel_old_timespec, tv_sec, 0);
HOLDS(sizeof(((struct kaio_raw_old_timespec *)0)->tv_nsec) == TABLE_CONTEXT);
HOLDS(offsetof(struct kaio_raw_old_timespec, tv_nsec) == TABLE_CONTEXT);
HOLDS(offsetof(struct __kernel_old_timespec, tv_nsec) == TABLE_CONTEXT);
#if TABLE_BITS == TABLE_CONTEXT * 8  // on x32 the header's has 4 bytes and padding, the kernel's 8
HOLDS(sizeof(((struct __kernel_old_timespec *)0)->tv_nsec) == TABLE_CONTEXT);
#endif
HOLDS(sizeof(struct kaio_raw_timespec) == 16);
FIELD(kaio_raw_timespec, __kernel_timespec, tv_sec, 0);
FIELD(kaio_raw_timespec, __kernel_timespec, tv_nsec, 8);

// The signal mask: no header of the kernel has struct __aio_sigset.
HOLDS(sizeof(struct kaio_raw_sigset) == 2 * TABLE_CONTEXT);
HOLDS(offsetof(struct kaio_raw_sigset, sigmask) == 0);
HOLDS(offsetof(struct kaio_raw_sigset, sigsetsize) == TABLE_CONTEXT);
HOLDS(KAIO_RAW_SIGSET_BYTES == TABLE_SIGSET);
HOLDS((_NSIG - 1 + 7) / 8 == TABLE_SIGSET);  // libc's _NSIG is the last signal + 1

// The ring, which no header of the kernel has.
HOLDS(sizeof(struct kaio_raw_ring) == 32);
HOLDS(offsetof(struct kaio_raw_ring, id) == 0);
HOLDS(offsetof(struct kaio_raw_ring, nr) == 4);
HOLDS(offsetof(struct kaio_raw_ring, head) == 8);
HOLDS(offsetof(struct kaio_raw_ring, tail) == 12);
HOLDS(offsetof(struct kaio_raw_ring, magic) == 16);
HOLDS(offsetof(struct kaio_raw_ring, compat_features) == 20);
HOLDS(offsetof(struct kaio_raw_ring, incompat_features) == 24);
HOLDS(offsetof(struct kaio_raw_ring, header_length) == 28);
