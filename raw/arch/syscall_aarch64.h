// kaio/raw/arch/syscall_aarch64.h: the system call instruction of 64-bit ARM.
//
// Included by kaio/raw/aio_syscall.h alone. Every function returns the kernel's own value.

#ifndef KAIO_RAW_ARCH_SYSCALL_AARCH64_H_
#define KAIO_RAW_ARCH_SYSCALL_AARCH64_H_

#include "kaio/raw/aio_abi.h"

#ifdef __aarch64__  // parsed alone, this file is empty elsewhere

static inline long kaio_raw_syscall1_(long number, kaio_raw_ulong first) {
    register long x8 __asm__("x8") = number;
    register kaio_raw_ulong x0 __asm__("x0") = first;
    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8) : "cc", "memory");
    return KAIO_RAW_CAST_(long, x0);
}

static inline long kaio_raw_syscall2_(long number, kaio_raw_ulong first, kaio_raw_ulong second) {
    register long x8 __asm__("x8") = number;
    register kaio_raw_ulong x0 __asm__("x0") = first;
    register kaio_raw_ulong x1 __asm__("x1") = second;
    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1) : "cc", "memory");
    return KAIO_RAW_CAST_(long, x0);
}

static inline long kaio_raw_syscall3_(long number, kaio_raw_ulong first, kaio_raw_ulong second,
                                      kaio_raw_ulong third) {
    register long x8 __asm__("x8") = number;
    register kaio_raw_ulong x0 __asm__("x0") = first;
    register kaio_raw_ulong x1 __asm__("x1") = second;
    register kaio_raw_ulong x2 __asm__("x2") = third;
    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "cc", "memory");
    return KAIO_RAW_CAST_(long, x0);
}

static inline long kaio_raw_syscall5_(long number, kaio_raw_ulong first, kaio_raw_ulong second,
                                      kaio_raw_ulong third, kaio_raw_ulong fourth,
                                      kaio_raw_ulong fifth) {
    register long x8 __asm__("x8") = number;
    register kaio_raw_ulong x0 __asm__("x0") = first;
    register kaio_raw_ulong x1 __asm__("x1") = second;
    register kaio_raw_ulong x2 __asm__("x2") = third;
    register kaio_raw_ulong x3 __asm__("x3") = fourth;
    register kaio_raw_ulong x4 __asm__("x4") = fifth;
    __asm__ volatile("svc #0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4)
                     : "cc", "memory");
    return KAIO_RAW_CAST_(long, x0);
}

static inline long kaio_raw_syscall6_(long number, kaio_raw_ulong first, kaio_raw_ulong second,
                                      kaio_raw_ulong third, kaio_raw_ulong fourth,
                                      kaio_raw_ulong fifth, kaio_raw_ulong sixth) {
    register long x8 __asm__("x8") = number;
    register kaio_raw_ulong x0 __asm__("x0") = first;
    register kaio_raw_ulong x1 __asm__("x1") = second;
    register kaio_raw_ulong x2 __asm__("x2") = third;
    register kaio_raw_ulong x3 __asm__("x3") = fourth;
    register kaio_raw_ulong x4 __asm__("x4") = fifth;
    register kaio_raw_ulong x5 __asm__("x5") = sixth;
    __asm__ volatile("svc #0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "cc", "memory");
    return KAIO_RAW_CAST_(long, x0);
}

#endif  // __aarch64__

#endif  // KAIO_RAW_ARCH_SYSCALL_AARCH64_H_
