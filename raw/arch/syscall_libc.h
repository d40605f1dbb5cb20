// kaio/raw/arch/syscall_libc.h: the system call through libc's syscall(2), for any architecture.
//
// Included by kaio/raw/aio_syscall.h alone. Every function returns the kernel's own value and
// leaves the caller's errno as it was.

#ifndef KAIO_RAW_ARCH_SYSCALL_LIBC_H_
#define KAIO_RAW_ARCH_SYSCALL_LIBC_H_

#include <errno.h>
#include <unistd.h>

#include "kaio/raw/aio_abi.h"

#if !defined(__cplusplus) && !defined(_GNU_SOURCE) && !defined(_DEFAULT_SOURCE)
long syscall(long number, ...);  // <unistd.h> hides it under -std=c11
#endif

// Private: turns syscall(2)'s -1 and errno back into the kernel's value.
static inline long kaio_raw_from_libc_(long result, int callers_errno) {
    if (result != -1) {
        return result;
    }
    result = -errno;
    errno = callers_errno;
    return result;
}

static inline long kaio_raw_syscall1_(long number, kaio_raw_ulong first) {
    int callers_errno = errno;
    return kaio_raw_from_libc_(syscall(number, first), callers_errno);
}

static inline long kaio_raw_syscall2_(long number, kaio_raw_ulong first, kaio_raw_ulong second) {
    int callers_errno = errno;
    return kaio_raw_from_libc_(syscall(number, first, second), callers_errno);
}

static inline long kaio_raw_syscall3_(long number, kaio_raw_ulong first, kaio_raw_ulong second,
                                      kaio_raw_ulong third) {
    int callers_errno = errno;
    return kaio_raw_from_libc_(syscall(number, first, second, third), callers_errno);
}

static inline long kaio_raw_syscall5_(long number, kaio_raw_ulong first, kaio_raw_ulong second,
                                      kaio_raw_ulong third, kaio_raw_ulong fourth,
                                      kaio_raw_ulong fifth) {
    int callers_errno = errno;
    return kaio_raw_from_libc_(syscall(number, first, second, third, fourth, fifth), callers_errno);
}

static inline long kaio_raw_syscall6_(long number, kaio_raw_ulong first, kaio_raw_ulong second,
                                      kaio_raw_ulong third, kaio_raw_ulong fourth,
                                      kaio_raw_ulong fifth, kaio_raw_ulong sixth) {
    int callers_errno = errno;
    return kaio_raw_from_libc_(syscall(number, first, second, third, fourth, fifth, sixth),
                               callers_errno);
}

#endif  // KAIO_RAW_ARCH_SYSCALL_LIBC_H_
