// kaio/raw/arch/syscall_riscv64.h: the system call instruction of 64-bit RISC-V.
//
// Included by kaio/raw/aio_syscall.h alone. Every function returns the kernel's own value.
// Not for code that uses vector registers: the kernel discards those on every system call.

#ifndef KAIO_RAW_ARCH_SYSCALL_RISCV64_H_
#define KAIO_RAW_ARCH_SYSCALL_RISCV64_H_

#include "kaio/raw/aio_abi.h"

#ifdef __riscv  // parsed alone, this file is empty elsewhere

static inline long kaio_raw_syscall1_(long number, kaio_raw_ulong first) {
    register long a7 __asm__("a7") = number;
    register kaio_raw_ulong a0 __asm__("a0") = first;
    __asm__ volatile("ecall" : "+r"(a0) : "r"(a7) : "memory");
    return KAIO_RAW_CAST_(long, a0);
}

static inline long kaio_raw_syscall2_(long number, kaio_raw_ulong first, kaio_raw_ulong second) {
    register long a7 __asm__("a7") = number;
    register kaio_raw_ulong a0 __asm__("a0") = first;
    register kaio_raw_ulong a1 __asm__("a1") = second;
    __asm__ volatile("ecall" : "+r"(a0) : "r"(a7), "r"(a1) : "memory");
    return KAIO_RAW_CAST_(long, a0);
}

static inline long kaio_raw_syscall3_(long number, kaio_raw_ulong first, kaio_raw_ulong second,
                                      kaio_raw_ulong third) {
    register long a7 __asm__("a7") = number;
    register kaio_raw_ulong a0 __asm__("a0") = first;
    register kaio_raw_ulong a1 __asm__("a1") = second;
    register kaio_raw_ulong a2 __asm__("a2") = third;
    __asm__ volatile("ecall" : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2) : "memory");
    return KAIO_RAW_CAST_(long, a0);
}

static inline long kaio_raw_syscall5_(long number, kaio_raw_ulong first, kaio_raw_ulong second,
                                      kaio_raw_ulong third, kaio_raw_ulong fourth,
                                      kaio_raw_ulong fifth) {
    register long a7 __asm__("a7") = number;
    register kaio_raw_ulong a0 __asm__("a0") = first;
    register kaio_raw_ulong a1 __asm__("a1") = second;
    register kaio_raw_ulong a2 __asm__("a2") = third;
    register kaio_raw_ulong a3 __asm__("a3") = fourth;
    register kaio_raw_ulong a4 __asm__("a4") = fifth;
    __asm__ volatile("ecall" : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4) : "memory");
    return KAIO_RAW_CAST_(long, a0);
}

static inline long kaio_raw_syscall6_(long number, kaio_raw_ulong first, kaio_raw_ulong second,
                                      kaio_raw_ulong third, kaio_raw_ulong fourth,
                                      kaio_raw_ulong fifth, kaio_raw_ulong sixth) {
    register long a7 __asm__("a7") = number;
    register kaio_raw_ulong a0 __asm__("a0") = first;
    register kaio_raw_ulong a1 __asm__("a1") = second;
    register kaio_raw_ulong a2 __asm__("a2") = third;
    register kaio_raw_ulong a3 __asm__("a3") = fourth;
    register kaio_raw_ulong a4 __asm__("a4") = fifth;
    register kaio_raw_ulong a5 __asm__("a5") = sixth;
    __asm__ volatile("ecall"
                     : "+r"(a0)
                     : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a5)
                     : "memory");
    return KAIO_RAW_CAST_(long, a0);
}

#endif  // __riscv

#endif  // KAIO_RAW_ARCH_SYSCALL_RISCV64_H_
