// Compiles: each function of raw makes the system call whose number the table has.
//
// In the place of the system call stand functions that answer with its number. The optimiser
// finds out what comes back; where that is another number, a call that may not be is left.

#define KAIO_RAW_SYSCALL_LIBC
#define KAIO_RAW_ARCH_SYSCALL_LIBC_H_  // keeps the real ones out

#include "kaio/raw/aio_abi.h"

static inline long kaio_raw_syscall1_(long number, kaio_raw_ulong a) {
    (void)a;
    return number;
}
static inline long kaio_raw_syscall2_(long number, kaio_raw_ulong a, kaio_raw_ulong b) {
    (void)b;
    return kaio_raw_syscall1_(number, a);
}
static inline long kaio_raw_syscall3_(long number, kaio_raw_ulong a, kaio_raw_ulong b,
                                      kaio_raw_ulong c) {
    (void)c;
    return kaio_raw_syscall2_(number, a, b);
}
static inline long kaio_raw_syscall5_(long number, kaio_raw_ulong a, kaio_raw_ulong b,
                                      kaio_raw_ulong c, kaio_raw_ulong d, kaio_raw_ulong e) {
    (void)d, (void)e;
    return kaio_raw_syscall3_(number, a, b, c);
}
static inline long kaio_raw_syscall6_(long number, kaio_raw_ulong a, kaio_raw_ulong b,
                                      kaio_raw_ulong c, kaio_raw_ulong d, kaio_raw_ulong e,
                                      kaio_raw_ulong f) {
    (void)f;
    return kaio_raw_syscall5_(number, a, b, c, d, e);
}

#include "kaio/raw/aio_syscall.h"

#ifdef TABLE_GETEVENTS
#    define GETEVENTS_ANSWER TABLE_GETEVENTS
#else
#    define GETEVENTS_ANSWER -ENOSYS
#endif

// The call with 64-bit time, which alone takes a struct kaio_raw_timespec.
#ifdef TABLE_TIME64
#    define PGETEVENTS_ANSWER TABLE_TIME64
#else
#    define PGETEVENTS_ANSWER TABLE_PGETEVENTS
#endif

#define ANSWERS(function, arguments, answer)                                        \
    extern void function##_makes_another_call(void)                                 \
        __attribute__((error("kaio_raw_" #function " makes another system call"))); \
    void check_##function(void);                                                    \
    void check_##function(void) {                                                   \
        if (kaio_raw_##function arguments != (answer)) {                            \
            function##_makes_another_call();                                        \
        }                                                                           \
    }

ANSWERS(setup, (1, NULL), TABLE_SETUP)
ANSWERS(destroy, (0), TABLE_DESTROY)
ANSWERS(submit, (0, 1, NULL), TABLE_SUBMIT)
ANSWERS(cancel, (0, NULL, NULL), TABLE_CANCEL)
ANSWERS(getevents, (0, 1, 1, NULL, NULL), GETEVENTS_ANSWER)
ANSWERS(pgetevents, (0, 1, 1, NULL, NULL, NULL), PGETEVENTS_ANSWER)
