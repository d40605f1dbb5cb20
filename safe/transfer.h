// kaio/safe/transfer.h: what a read or write is described with: a range and flags.

#ifndef KAIO_SAFE_TRANSFER_H_
#define KAIO_SAFE_TRANSFER_H_

#include <stdint.h>

#include "kaio/safe/base.h"

KAIO_BEGIN_DECLS

// The most bytes one request may ask for: what no kernel cuts, whatever its page size.
// Kernel: MAX_RW_COUNT, include/linux/fs.h (INT_MAX rounded down to a page).
#define KAIO_TRANSFER_SIZE_MAX_BYTES 0x7fff0000u

// A kaio_range says which bytes move: size_bytes of them, between file_offset_bytes in the file and
// buffer_offset_bytes in the buffer.
typedef struct kaio_range {
    uint64_t file_offset_bytes;
    uint32_t buffer_offset_bytes;
    uint32_t size_bytes;
} kaio_range;

// A kaio_rw_flags is a set of RWF_* flags, made by the functions below; a zeroed one is empty.
//
// What is known not to be supported is answered when a request is made, UNSUPPORTED(flags): flags
// that the running kernel does not know; APPEND with NOAPPEND; ATOMIC with a read, or where
// statx(2) has no limits for it (see kaio_alignment); DSYNC and SYNC with a read, which the kernel
// takes and ignores. What only the file's kernel code knows (NOWAIT, DONTCACHE) ends the request
// REFUSED or FAILED with EOPNOTSUPP.
typedef struct kaio_rw_flags {
    uint32_t bits;
} kaio_rw_flags;

static inline kaio_rw_flags kaio_rw_flags_from_bits(uint32_t bits) {
    kaio_rw_flags flags;
    flags.bits = bits;
    return flags;
}

// No flag.
static inline kaio_rw_flags kaio_rw_none(void) {
    return kaio_rw_flags_from_bits(0);
}

// High priority; accepted and without effect in AIO. RWF_HIPRI, 4.13.
static inline kaio_rw_flags kaio_rw_high_priority(void) {
    return kaio_rw_flags_from_bits(0x1);
}

// The write is durable (data and what is needed to read it) when it ends FULL. RWF_DSYNC, 4.13.
static inline kaio_rw_flags kaio_rw_dsync(void) {
    return kaio_rw_flags_from_bits(0x2);
}

// The same with all metadata. RWF_SYNC, 4.13.
static inline kaio_rw_flags kaio_rw_sync(void) {
    return kaio_rw_flags_from_bits(0x4);
}

// End as WOULD_BLOCK rather than wait. RWF_NOWAIT, 4.13.
static inline kaio_rw_flags kaio_rw_nowait(void) {
    return kaio_rw_flags_from_bits(0x8);
}

// Write at the end of the file, whatever the offset. RWF_APPEND, 4.16.
static inline kaio_rw_flags kaio_rw_append(void) {
    return kaio_rw_flags_from_bits(0x10);
}

// Write at the offset although the file is open with O_APPEND. RWF_NOAPPEND, 6.9.
static inline kaio_rw_flags kaio_rw_no_append(void) {
    return kaio_rw_flags_from_bits(0x20);
}

// All of the write or nothing of it, also across a power cut. RWF_ATOMIC, 6.11. With direct I/O;
// RANGE(size) and ALIGN(size or file offset) where kaio_alignment's limits are not kept.
static inline kaio_rw_flags kaio_rw_atomic(void) {
    return kaio_rw_flags_from_bits(0x40);
}

// Do not keep the pages in the page cache. RWF_DONTCACHE, 6.14.
static inline kaio_rw_flags kaio_rw_dont_cache(void) {
    return kaio_rw_flags_from_bits(0x80);
}

// No SIGPIPE when writing to a pipe or socket without a reader. RWF_NOSIGNAL, 6.18.
static inline kaio_rw_flags kaio_rw_no_signal(void) {
    return kaio_rw_flags_from_bits(0x100);
}

// Both sets together.
static inline kaio_rw_flags kaio_rw_both(kaio_rw_flags first, kaio_rw_flags second) {
    return kaio_rw_flags_from_bits(first.bits | second.bits);
}

// A kaio_priority is what the block layer orders transfers by; a zeroed one is the submitting
// thread's own. Kernel: IOCB_FLAG_IOPRIO, 4.18; ioprio_set(2).
typedef struct kaio_priority {
    uint8_t priority_class;  // as the functions below make it
    uint8_t level;           // 0, served first, to KAIO_PRIORITY_LEVEL_MAX
} kaio_priority;

#define KAIO_PRIORITY_LEVEL_MAX 7u

static inline kaio_priority kaio_priority_from_class(uint8_t priority_class, uint8_t level) {
    kaio_priority priority;
    priority.priority_class = priority_class;
    priority.level = level;
    return priority;
}

// The submitting thread's own.
static inline kaio_priority kaio_priority_inherited(void) {
    return kaio_priority_from_class(0, 0);
}

// Before all others. Needs CAP_SYS_ADMIN or CAP_SYS_NICE, else the request ends REFUSED with EPERM.
static inline kaio_priority kaio_priority_real_time(uint8_t level) {
    return kaio_priority_from_class(1, level);
}

// By level.
static inline kaio_priority kaio_priority_best_effort(uint8_t level) {
    return kaio_priority_from_class(2, level);
}

// When nobody else wants the disk.
static inline kaio_priority kaio_priority_idle(void) {
    return kaio_priority_from_class(3, 0);
}

KAIO_END_DECLS

#endif  // KAIO_SAFE_TRANSFER_H_
