// kaio/raw/arch/syscall_x86_64.h: the system call instruction of x86-64 and x32.
//
// Included by kaio/raw/aio_syscall.h alone. Every function returns the kernel's own value.
// x32 has the same registers, 64 bits wide; its numbers carry the x32 bit.

#ifndef KAIO_RAW_ARCH_SYSCALL_X86_64_H_
#define KAIO_RAW_ARCH_SYSCALL_X86_64_H_

#include "kaio/raw/aio_abi.h"

#ifdef __x86_64__  // parsed alone, this file is empty elsewhere

static inline long kaio_raw_syscall1_(long number, kaio_raw_ulong first) {
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(first)
                     : "rcx", "r11", "cc", "memory");
    return result;
}

static inline long kaio_raw_syscall2_(long number, kaio_raw_ulong first, kaio_raw_ulong second) {
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(first), "S"(second)
                     : "rcx", "r11", "cc", "memory");
    return result;
}

static inline long kaio_raw_syscall3_(long number, kaio_raw_ulong first, kaio_raw_ulong second,
                                      kaio_raw_ulong third) {
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(first), "S"(second), "d"(third)
                     : "rcx", "r11", "cc", "memory");
    return result;
}

static inline long kaio_raw_syscall5_(long number, kaio_raw_ulong first, kaio_raw_ulong second,
                                      kaio_raw_ulong third, kaio_raw_ulong fourth,
                                      kaio_raw_ulong fifth) {
    long result;
    register kaio_raw_ulong r10 __asm__("r10") = fourth;
    register kaio_raw_ulong r8 __asm__("r8") = fifth;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(first), "S"(second), "d"(third), "r"(r10), "r"(r8)
                     : "rcx", "r11", "cc", "memory");
    return result;
}

static inline long kaio_raw_syscall6_(long number, kaio_raw_ulong first, kaio_raw_ulong second,
                                      kaio_raw_ulong third, kaio_raw_ulong fourth,
                                      kaio_raw_ulong fifth, kaio_raw_ulong sixth) {
    long result;
    register kaio_raw_ulong r10 __asm__("r10") = fourth;
    register kaio_raw_ulong r8 __asm__("r8") = fifth;
    register kaio_raw_ulong r9 __asm__("r9") = sixth;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(first), "S"(second), "d"(third), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "cc", "memory");
    return result;
}

#endif  // __x86_64__

#endif  // KAIO_RAW_ARCH_SYSCALL_X86_64_H_
