// kaio/safe/checker.h (private): what the checkers of memory that watch the program are told.
//
// AddressSanitizer: bytes that the kernel may touch are poisoned, so that a read or write through
// an old pointer is reported where it happens; the kernel itself is not watched.
// Valgrind and MemorySanitizer do not see the kernel write what is reaped from the ring in memory:
// they are told. Without a checker each of these functions is one load and a branch.

#ifndef KAIO_SAFE_CHECKER_H_
#define KAIO_SAFE_CHECKER_H_

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "table.h"

enum { KAIO_CHECKER_ASAN = 1, KAIO_CHECKER_MSAN = 2, KAIO_CHECKER_VALGRIND = 4 };

// Who watches; known from the first queue, pool or region on.
extern _Atomic uint32_t kaio_checkers;
void kaio_checkers_find(void);

static inline bool kaio_is_watched(void) {
    return KAIO_UNLIKELY(atomic_load_explicit(&kaio_checkers, memory_order_relaxed) != 0);
}

// kaio_checker_forbid makes every access of the program to bytes[0..size_bytes) an error: of whole
// granules of 8 bytes, since ASan knows no smaller ones whose beginning is forbidden.
void kaio_checker_forbid(const void *bytes, size_t size_bytes);

// kaio_checker_allow takes that back.
void kaio_checker_allow(const void *bytes, size_t size_bytes);

// kaio_checker_define says that bytes[0..size_bytes) were written by the kernel.
void kaio_checker_define(const void *bytes, size_t size_bytes);

#endif  // KAIO_SAFE_CHECKER_H_
