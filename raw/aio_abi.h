// kaio/raw/aio_abi.h: Linux AIO types and numbers, byte-exact with the kernel.
//
// Field names are the kernel's own, so io_submit(2) reads without translation.
// May be included beside <linux/aio_abi.h> or <libaio.h>, in any order.
// Each number names its kernel file and the first version that honours it for AIO.
// Kernel: include/uapi/linux/aio_abi.h where nothing else is said.

#ifndef KAIO_RAW_AIO_ABI_H_
#define KAIO_RAW_AIO_ABI_H_

#include <stddef.h>
#include <stdint.h>

// Private: what C and C++ spell differently, for headers that build without a warning in both.
#ifdef __cplusplus
#    define KAIO_RAW_ASSERT_(condition) static_assert(condition, #    condition)
#    define KAIO_RAW_CAST_(type, value) static_cast<type>(value)
#    define KAIO_RAW_ADDRESS_(pointer) reinterpret_cast<uintptr_t>(pointer)
#    define KAIO_RAW_POINTER_(type, address) reinterpret_cast<type>(static_cast<uintptr_t>(address))
#    define KAIO_RAW_NULL_ nullptr
#else
#    define KAIO_RAW_ASSERT_(condition) _Static_assert(condition, #    condition)
#    define KAIO_RAW_CAST_(type, value) ((type)(value))
#    define KAIO_RAW_ADDRESS_(pointer) ((uintptr_t)(pointer))
#    define KAIO_RAW_POINTER_(type, address) ((type)(uintptr_t)(address))
#    define KAIO_RAW_NULL_ ((void *)0)
#endif

// kaio_raw_long and kaio_raw_ulong are the kernel's long: 8 bytes on x32, else as C's long.
// Kernel: __kernel_long_t, __kernel_ulong_t, include/uapi/asm-generic/posix_types.h.
#if defined(__x86_64__) && defined(__ILP32__)
typedef long long kaio_raw_long;
typedef unsigned long long kaio_raw_ulong;
#else
typedef long kaio_raw_long;
typedef unsigned long kaio_raw_ulong;
#endif

// kaio_raw_context is the kernel's aio_context_t: 0 is "none", else the address of its ring.
typedef kaio_raw_ulong kaio_raw_context;

// aio_lio_opcode. Any other number: -EINVAL.
enum {
    KAIO_RAW_CMD_PREAD = 0,    // 2.5
    KAIO_RAW_CMD_PWRITE = 1,   // 2.5
    KAIO_RAW_CMD_FSYNC = 2,    // 4.18; -EINVAL before
    KAIO_RAW_CMD_FDSYNC = 3,   // 4.18; -EINVAL before
    KAIO_RAW_CMD_PREADX = 4,   // never valid: -EINVAL in every version
    KAIO_RAW_CMD_POLL = 5,     // 4.19
    KAIO_RAW_CMD_NOOP = 6,     // never valid: named in the kernel's header, yet -EINVAL
    KAIO_RAW_CMD_PREADV = 7,   // 2.6.19
    KAIO_RAW_CMD_PWRITEV = 8,  // 2.6.19
};

// aio_flags. The kernel ignores all other bits without an error.
enum {
    KAIO_RAW_FLAG_RESFD = 1,   // 2.6.22: aio_resfd is an eventfd, incremented once per event
    KAIO_RAW_FLAG_IOPRIO = 2,  // 4.18: aio_reqprio replaces the submitting thread's priority
};

// aio_rw_flags of reads and writes. A bit that the kernel or the file lacks: -EOPNOTSUPP.
// Kernel: include/uapi/linux/fs.h; kiocb_set_rw_flags, include/linux/fs.h.
enum {
    KAIO_RAW_RWF_HIPRI = 0x1,       // 4.13; accepted and cleared, AIO never polls the device
    KAIO_RAW_RWF_DSYNC = 0x2,       // 4.13; ignored for reads
    KAIO_RAW_RWF_SYNC = 0x4,        // 4.13; ignored for reads
    KAIO_RAW_RWF_NOWAIT = 0x8,      // 4.13; an event of -EAGAIN instead of sleeping
    KAIO_RAW_RWF_APPEND = 0x10,     // 4.16; aio_offset must be >= 0 all the same
    KAIO_RAW_RWF_NOAPPEND = 0x20,   // 6.9; not together with APPEND: -EINVAL
    KAIO_RAW_RWF_ATOMIC = 0x40,     // 6.11; writes only
    KAIO_RAW_RWF_DONTCACHE = 0x80,  // 6.14
    KAIO_RAW_RWF_NOSIGNAL = 0x100,  // 6.18; no SIGPIPE
};

// aio_reqprio: class, hint and level in 16 bits. Kernel: include/uapi/linux/ioprio.h.
enum {
    KAIO_RAW_IOPRIO_CLASS_NONE = 0,     // 2.6.13; level must be 0: -EINVAL
    KAIO_RAW_IOPRIO_CLASS_RT = 1,       // 2.6.13; needs CAP_SYS_ADMIN or CAP_SYS_NICE: -EPERM
    KAIO_RAW_IOPRIO_CLASS_BE = 2,       // 2.6.13
    KAIO_RAW_IOPRIO_CLASS_IDLE = 3,     // 2.6.13
    KAIO_RAW_IOPRIO_CLASS_INVALID = 7,  // 6.5; -EINVAL, as 4 to 6 are
};
enum {
    KAIO_RAW_IOPRIO_CLASS_SHIFT = 13,
    KAIO_RAW_IOPRIO_CLASS_MASK = 0x7,
    KAIO_RAW_IOPRIO_HINT_SHIFT = 3,
    KAIO_RAW_IOPRIO_HINT_MASK = 0x3ff,
    KAIO_RAW_IOPRIO_LEVEL_MASK = 0x7,
};

// KAIO_RAW_IOV_MAX is the most iovecs of one request; more: -EINVAL.
// Kernel: UIO_MAXIOV, include/uapi/linux/uio.h.
enum { KAIO_RAW_IOV_MAX = 1024 };

// KAIO_RAW_SIGSET_BYTES is the only sigsetsize that the kernel takes: not libc's sizeof(sigset_t).
// Kernel: _NSIG / 8, include/uapi/asm-generic/signal.h; arch/mips has twice as many.
#ifdef __mips__
enum { KAIO_RAW_SIGSET_BYTES = 16 };
#else
enum { KAIO_RAW_SIGSET_BYTES = 8 };
#endif

// The ring's header. Kernel: struct aio_ring, fs/aio.c; the same in every version.
#define KAIO_RAW_RING_MAGIC UINT32_C(0xa10a10a1)
enum {
    KAIO_RAW_RING_COMPAT_FEATURES = 1,
    KAIO_RAW_RING_INCOMPAT_FEATURES = 0,
    KAIO_RAW_RING_HEADER_BYTES = 32,
};

// KAIO_RAW_MADV_DONTFORK leaves a mapping out of children. Kernel: uapi/asm-generic/mman-common.h.
enum { KAIO_RAW_MADV_DONTFORK = 10 };

// struct kaio_raw_iocb is one request; the kernel copies it before io_submit returns.
//
// aio_key and aio_rw_flags change places with the byte order of the program.
struct kaio_raw_iocb {
    uint64_t aio_data;  // comes back in kaio_raw_event.data
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    uint32_t aio_key;      // written by the kernel on submit: 0
    int32_t aio_rw_flags;  // KAIO_RAW_RWF_*
#elif __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    int32_t aio_rw_flags;  // KAIO_RAW_RWF_*
    uint32_t aio_key;      // written by the kernel on submit: 0
#else
#    error "kaio: this byte order has no Linux AIO"
#endif
    uint16_t aio_lio_opcode;  // KAIO_RAW_CMD_*
    int16_t aio_reqprio;      // read with KAIO_RAW_FLAG_IOPRIO only
    uint32_t aio_fildes;
    uint64_t aio_buf;     // address of bytes or of iovecs, or a poll mask
    uint64_t aio_nbytes;  // bytes, or number of iovecs
    int64_t aio_offset;   // bytes
    uint64_t aio_reserved2;
    uint32_t aio_flags;  // KAIO_RAW_FLAG_*
    uint32_t aio_resfd;  // read with KAIO_RAW_FLAG_RESFD only
};

// struct kaio_raw_event is one completion.
struct kaio_raw_event {
    uint64_t data;  // aio_data of the request
    uint64_t obj;   // address of the submitted iocb, zero-extended
    int64_t res;    // bytes, 0 or a poll mask; or -errno
    int64_t res2;   // 0 for every opcode
};

// struct kaio_raw_sigset is the sixth argument of io_pgetevents.
//
// Zero the whole of it first: x32 has padding that must be 0.
// Kernel: struct __aio_sigset, fs/aio.c, 4.18; x32 shares the 64-bit layout.
struct kaio_raw_sigset {
    const void *sigmask;  // a sigset_t; NULL leaves the mask alone
#if defined(__x86_64__) && defined(__ILP32__)
    uint32_t sigmask_high;
#endif
    size_t sigsetsize;  // KAIO_RAW_SIGSET_BYTES
#if defined(__x86_64__) && defined(__ILP32__)
    uint32_t sigsetsize_high;
#endif
};

// struct kaio_raw_old_timespec is the timeout of io_getevents: a pair of kernel longs.
// Kernel: struct __kernel_old_timespec, include/uapi/linux/time_types.h.
struct kaio_raw_old_timespec {
    kaio_raw_long tv_sec;
    kaio_raw_long tv_nsec;
};

// struct kaio_raw_timespec is the timeout of io_pgetevents: 64 bits on every architecture.
// Kernel: struct __kernel_timespec, include/uapi/linux/time_types.h.
struct kaio_raw_timespec {
    int64_t tv_sec;
    int64_t tv_nsec;
};

// struct kaio_raw_ring is the header that a context's address points at; nr events follow it.
// Kernel: struct aio_ring, fs/aio.c.
struct kaio_raw_ring {
    uint32_t id;    // the kernel reads it back on every call
    uint32_t nr;    // slots; at most nr - 1 hold an event
    uint32_t head;  // next event to read; written by whoever reaps
    uint32_t tail;  // next slot to fill; written by the kernel alone
    uint32_t magic;
    uint32_t compat_features;
    uint32_t incompat_features;
    uint32_t header_length;  // bytes: offset of the first event
};

// kaio_raw_ioprio_encode packs an aio_reqprio; each part is cut to its 3, 10 or 3 bits.
static inline uint16_t kaio_raw_ioprio_encode(unsigned priority_class, unsigned hint,
                                              unsigned level) {
    return KAIO_RAW_CAST_(
        uint16_t, (priority_class & KAIO_RAW_IOPRIO_CLASS_MASK) << KAIO_RAW_IOPRIO_CLASS_SHIFT |
                      (hint & KAIO_RAW_IOPRIO_HINT_MASK) << KAIO_RAW_IOPRIO_HINT_SHIFT |
                      (level & KAIO_RAW_IOPRIO_LEVEL_MASK));
}

// kaio_raw_ioprio_class is the class of `priority`: KAIO_RAW_IOPRIO_CLASS_*.
static inline unsigned kaio_raw_ioprio_class(uint16_t priority) {
    return KAIO_RAW_CAST_(unsigned, priority) >> KAIO_RAW_IOPRIO_CLASS_SHIFT;
}

// kaio_raw_ioprio_hint is the hint of `priority`, 0 to 1023.
static inline unsigned kaio_raw_ioprio_hint(uint16_t priority) {
    return KAIO_RAW_CAST_(unsigned, priority) >> KAIO_RAW_IOPRIO_HINT_SHIFT &
           KAIO_RAW_IOPRIO_HINT_MASK;
}

// kaio_raw_ioprio_level is the level of `priority`, 0 (first) to 7.
static inline unsigned kaio_raw_ioprio_level(uint16_t priority) {
    return KAIO_RAW_CAST_(unsigned, priority) & KAIO_RAW_IOPRIO_LEVEL_MASK;
}

KAIO_RAW_ASSERT_(sizeof(struct kaio_raw_iocb) == 64);
KAIO_RAW_ASSERT_(offsetof(struct kaio_raw_iocb, aio_data) == 0);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
KAIO_RAW_ASSERT_(offsetof(struct kaio_raw_iocb, aio_key) == 8);
KAIO_RAW_ASSERT_(offsetof(struct kaio_raw_iocb, aio_rw_flags) == 12);
#else
KAIO_RAW_ASSERT_(offsetof(struct kaio_raw_iocb, aio_rw_flags) == 8);
KAIO_RAW_ASSERT_(offsetof(struct kaio_raw_iocb, aio_key) == 12);
#endif
KAIO_RAW_ASSERT_(offsetof(struct kaio_raw_iocb, aio_lio_opcode) == 16);
KAIO_RAW_ASSERT_(offsetof(struct kaio_raw_iocb, aio_reqprio) == 18);
KAIO_RAW_ASSERT_(offsetof(struct kaio_raw_iocb, aio_fildes) == 20);
KAIO_RAW_ASSERT_(offsetof(struct kaio_raw_iocb, aio_buf) == 24);
KAIO_RAW_ASSERT_(offsetof(struct kaio_raw_iocb, aio_nbytes) == 32);
KAIO_RAW_ASSERT_(offsetof(struct kaio_raw_iocb, aio_offset) == 40);
KAIO_RAW_ASSERT_(offsetof(struct kaio_raw_iocb, aio_reserved2) == 48);
KAIO_RAW_ASSERT_(offsetof(struct kaio_raw_iocb, aio_flags) == 56);
KAIO_RAW_ASSERT_(offsetof(struct kaio_raw_iocb, aio_resfd) == 60);

KAIO_RAW_ASSERT_(sizeof(struct kaio_raw_event) == 32);
KAIO_RAW_ASSERT_(offsetof(struct kaio_raw_event, data) == 0);
KAIO_RAW_ASSERT_(offsetof(struct kaio_raw_event, obj) == 8);
KAIO_RAW_ASSERT_(offsetof(struct kaio_raw_event, res) == 16);
KAIO_RAW_ASSERT_(offsetof(struct kaio_raw_event, res2) == 24);

KAIO_RAW_ASSERT_(sizeof(kaio_raw_context) == sizeof(kaio_raw_long));
KAIO_RAW_ASSERT_(sizeof(struct kaio_raw_sigset) == 2 * sizeof(kaio_raw_long));
KAIO_RAW_ASSERT_(offsetof(struct kaio_raw_sigset, sigmask) == 0);
KAIO_RAW_ASSERT_(offsetof(struct kaio_raw_sigset, sigsetsize) == sizeof(kaio_raw_long));

KAIO_RAW_ASSERT_(sizeof(struct kaio_raw_old_timespec) == 2 * sizeof(kaio_raw_long));
KAIO_RAW_ASSERT_(offsetof(struct kaio_raw_old_timespec, tv_sec) == 0);
KAIO_RAW_ASSERT_(offsetof(struct kaio_raw_old_timespec, tv_nsec) == sizeof(kaio_raw_long));
KAIO_RAW_ASSERT_(sizeof(struct kaio_raw_timespec) == 16);
KAIO_RAW_ASSERT_(offsetof(struct kaio_raw_timespec, tv_sec) == 0);
KAIO_RAW_ASSERT_(offsetof(struct kaio_raw_timespec, tv_nsec) == 8);

KAIO_RAW_ASSERT_(sizeof(struct kaio_raw_ring) == KAIO_RAW_RING_HEADER_BYTES);
KAIO_RAW_ASSERT_(offsetof(struct kaio_raw_ring, id) == 0);
KAIO_RAW_ASSERT_(offsetof(struct kaio_raw_ring, nr) == 4);
KAIO_RAW_ASSERT_(offsetof(struct kaio_raw_ring, head) == 8);
KAIO_RAW_ASSERT_(offsetof(struct kaio_raw_ring, tail) == 12);
KAIO_RAW_ASSERT_(offsetof(struct kaio_raw_ring, magic) == 16);
KAIO_RAW_ASSERT_(offsetof(struct kaio_raw_ring, compat_features) == 20);
KAIO_RAW_ASSERT_(offsetof(struct kaio_raw_ring, incompat_features) == 24);
KAIO_RAW_ASSERT_(offsetof(struct kaio_raw_ring, header_length) == 28);

#endif  // KAIO_RAW_AIO_ABI_H_
