// kaio/raw/arch/numbers.h: the numbers of the AIO system calls, for every architecture of Linux.
//
// Included by kaio/raw/aio_syscall.h alone. They are written out here, so that a call does not
// depend on the age of the kernel's headers; tests/abi/ compares them with those headers.
// PGETEVENTS is the call with 64-bit time, on 32-bit architectures io_pgetevents_time64. GETEVENTS
// is undefined where the kernel has none. Kernel: the syscall.tbl of each architecture.

#ifndef KAIO_RAW_ARCH_NUMBERS_H_
#define KAIO_RAW_ARCH_NUMBERS_H_

// The same on every architecture that has it, but for a base. Kernel: 5.1.
#define KAIO_RAW_NR_TIME64_ 416

#if defined(__x86_64__) && defined(__ILP32__)  // x32
#    define KAIO_RAW_NR_SETUP_ (0x40000000 + 543)
#    define KAIO_RAW_NR_DESTROY_ (0x40000000 + 207)
#    define KAIO_RAW_NR_SUBMIT_ (0x40000000 + 544)
#    define KAIO_RAW_NR_CANCEL_ (0x40000000 + 210)
#    define KAIO_RAW_NR_GETEVENTS_ (0x40000000 + 208)
#    define KAIO_RAW_NR_PGETEVENTS_ (0x40000000 + 333)

#elif defined(__x86_64__)
#    define KAIO_RAW_NR_SETUP_ 206
#    define KAIO_RAW_NR_DESTROY_ 207
#    define KAIO_RAW_NR_SUBMIT_ 209
#    define KAIO_RAW_NR_CANCEL_ 210
#    define KAIO_RAW_NR_GETEVENTS_ 208
#    define KAIO_RAW_NR_PGETEVENTS_ 333

#elif defined(__i386__) || defined(__microblaze__) || defined(__sh__)
#    define KAIO_RAW_NR_SETUP_ 245
#    define KAIO_RAW_NR_DESTROY_ 246
#    define KAIO_RAW_NR_SUBMIT_ 248
#    define KAIO_RAW_NR_CANCEL_ 249
#    define KAIO_RAW_NR_GETEVENTS_ 247
#    define KAIO_RAW_NR_PGETEVENTS_ KAIO_RAW_NR_TIME64_

#elif defined(__arm__) && defined(__ARM_EABI__)
#    define KAIO_RAW_NR_SETUP_ 243
#    define KAIO_RAW_NR_DESTROY_ 244
#    define KAIO_RAW_NR_SUBMIT_ 246
#    define KAIO_RAW_NR_CANCEL_ 247
#    define KAIO_RAW_NR_GETEVENTS_ 245
#    define KAIO_RAW_NR_PGETEVENTS_ KAIO_RAW_NR_TIME64_

// Kernel: include/uapi/asm-generic/unistd.h, later scripts/syscall.tbl.
#elif (defined(__aarch64__) && defined(__LP64__)) || defined(__loongarch__) || defined(__riscv) || \
    defined(__arc__) || defined(__csky__) || defined(__hexagon__) || defined(__nios2__) ||         \
    defined(__or1k__)
#    define KAIO_RAW_NR_SETUP_ 0
#    define KAIO_RAW_NR_DESTROY_ 1
#    define KAIO_RAW_NR_SUBMIT_ 2
#    define KAIO_RAW_NR_CANCEL_ 3
#    if defined(__LP64__) || !(defined(__loongarch__) || defined(__riscv))
#        define KAIO_RAW_NR_GETEVENTS_ 4  // riscv32 and loongarch32 never had 32-bit time
#    endif
#    ifdef __LP64__
#        define KAIO_RAW_NR_PGETEVENTS_ 292
#    else
#        define KAIO_RAW_NR_PGETEVENTS_ KAIO_RAW_NR_TIME64_
#    endif

#elif defined(__powerpc__)
#    define KAIO_RAW_NR_SETUP_ 227
#    define KAIO_RAW_NR_DESTROY_ 228
#    define KAIO_RAW_NR_SUBMIT_ 230
#    define KAIO_RAW_NR_CANCEL_ 231
#    define KAIO_RAW_NR_GETEVENTS_ 229
#    ifdef __powerpc64__
#        define KAIO_RAW_NR_PGETEVENTS_ 388
#    else
#        define KAIO_RAW_NR_PGETEVENTS_ KAIO_RAW_NR_TIME64_
#    endif

#elif defined(__s390__)  // and __s390x__
#    define KAIO_RAW_NR_SETUP_ 243
#    define KAIO_RAW_NR_DESTROY_ 244
#    define KAIO_RAW_NR_SUBMIT_ 246
#    define KAIO_RAW_NR_CANCEL_ 247
#    define KAIO_RAW_NR_GETEVENTS_ 245
#    ifdef __s390x__
#        define KAIO_RAW_NR_PGETEVENTS_ 382
#    else
#        define KAIO_RAW_NR_PGETEVENTS_ KAIO_RAW_NR_TIME64_
#    endif

#elif defined(__mips__) && defined(_ABIO32) && _MIPS_SIM == _ABIO32
#    define KAIO_RAW_NR_SETUP_ (4000 + 241)
#    define KAIO_RAW_NR_DESTROY_ (4000 + 242)
#    define KAIO_RAW_NR_SUBMIT_ (4000 + 244)
#    define KAIO_RAW_NR_CANCEL_ (4000 + 245)
#    define KAIO_RAW_NR_GETEVENTS_ (4000 + 243)
#    define KAIO_RAW_NR_PGETEVENTS_ (4000 + KAIO_RAW_NR_TIME64_)

#elif defined(__mips__) && defined(_ABI64) && _MIPS_SIM == _ABI64
#    define KAIO_RAW_NR_SETUP_ (5000 + 200)
#    define KAIO_RAW_NR_DESTROY_ (5000 + 201)
#    define KAIO_RAW_NR_SUBMIT_ (5000 + 203)
#    define KAIO_RAW_NR_CANCEL_ (5000 + 204)
#    define KAIO_RAW_NR_GETEVENTS_ (5000 + 202)
#    define KAIO_RAW_NR_PGETEVENTS_ (5000 + 328)

#elif defined(__mips__) && defined(_ABIN32) && _MIPS_SIM == _ABIN32
#    define KAIO_RAW_NR_SETUP_ (6000 + 200)
#    define KAIO_RAW_NR_DESTROY_ (6000 + 201)
#    define KAIO_RAW_NR_SUBMIT_ (6000 + 203)
#    define KAIO_RAW_NR_CANCEL_ (6000 + 204)
#    define KAIO_RAW_NR_GETEVENTS_ (6000 + 202)
#    define KAIO_RAW_NR_PGETEVENTS_ (6000 + KAIO_RAW_NR_TIME64_)

#elif defined(__sparc__)
#    define KAIO_RAW_NR_SETUP_ 268
#    define KAIO_RAW_NR_DESTROY_ 269
#    define KAIO_RAW_NR_SUBMIT_ 270
#    define KAIO_RAW_NR_CANCEL_ 271
#    define KAIO_RAW_NR_GETEVENTS_ 272
#    ifdef __arch64__
#        define KAIO_RAW_NR_PGETEVENTS_ 361
#    else
#        define KAIO_RAW_NR_PGETEVENTS_ KAIO_RAW_NR_TIME64_
#    endif

#elif defined(__alpha__)
#    define KAIO_RAW_NR_SETUP_ 398
#    define KAIO_RAW_NR_DESTROY_ 399
#    define KAIO_RAW_NR_SUBMIT_ 401
#    define KAIO_RAW_NR_CANCEL_ 402
#    define KAIO_RAW_NR_GETEVENTS_ 400
#    define KAIO_RAW_NR_PGETEVENTS_ 523

#elif defined(__hppa__)
#    define KAIO_RAW_NR_SETUP_ 215
#    define KAIO_RAW_NR_DESTROY_ 216
#    define KAIO_RAW_NR_SUBMIT_ 218
#    define KAIO_RAW_NR_CANCEL_ 219
#    define KAIO_RAW_NR_GETEVENTS_ 217
#    ifdef __LP64__
#        define KAIO_RAW_NR_PGETEVENTS_ 350
#    else
#        define KAIO_RAW_NR_PGETEVENTS_ KAIO_RAW_NR_TIME64_
#    endif

#elif defined(__m68k__)
#    define KAIO_RAW_NR_SETUP_ 241
#    define KAIO_RAW_NR_DESTROY_ 242
#    define KAIO_RAW_NR_SUBMIT_ 244
#    define KAIO_RAW_NR_CANCEL_ 245
#    define KAIO_RAW_NR_GETEVENTS_ 243
#    define KAIO_RAW_NR_PGETEVENTS_ KAIO_RAW_NR_TIME64_

#elif defined(__xtensa__)
#    define KAIO_RAW_NR_SETUP_ 239
#    define KAIO_RAW_NR_DESTROY_ 240
#    define KAIO_RAW_NR_SUBMIT_ 241
#    define KAIO_RAW_NR_CANCEL_ 243
#    define KAIO_RAW_NR_GETEVENTS_ 242
#    define KAIO_RAW_NR_PGETEVENTS_ KAIO_RAW_NR_TIME64_

// Those that compilers know and Linux does not, or no more.
#elif defined(__arm__)
#    error "kaio: the AIO system call numbers of arm without EABI are not known"
#elif defined(__aarch64__)
#    error "kaio: the AIO system call numbers of aarch64 with ILP32 are not known"
#elif defined(__mips__)
#    error "kaio: the AIO system call numbers of this ABI of mips (_MIPS_SIM) are not known"
#elif defined(__ia64__)
#    error "kaio: the AIO system call numbers of ia64 are not known"
#else
#    error \
        "kaio: the AIO system call numbers of this architecture are not known: none of __x86_64__ __i386__ __arm__ __aarch64__ __loongarch__ __riscv __arc__ __csky__ __hexagon__ __nios2__ __or1k__ __powerpc__ __s390__ __mips__ __sparc__ __alpha__ __hppa__ __m68k__ __microblaze__ __sh__ __xtensa__ is defined; they belong in kaio/raw/arch/numbers.h"
#endif

#endif  // KAIO_RAW_ARCH_NUMBERS_H_
