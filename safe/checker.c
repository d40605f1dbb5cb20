#include "checker.h"

// From <sanitizer/asan_interface.h> and <sanitizer/msan_interface.h>, where the program has them.
void __asan_poison_memory_region(const volatile void *bytes, size_t size_bytes)
    __attribute__((weak));
void __asan_unpoison_memory_region(const volatile void *bytes, size_t size_bytes)
    __attribute__((weak));
void __msan_unpoison(const volatile void *bytes, size_t size_bytes) __attribute__((weak));

_Atomic uint32_t kaio_checkers;

enum { ASAN_GRANULE_BYTES = 8 };

// Requests of <valgrind/valgrind.h> and <valgrind/memcheck.h>.
enum {
    VALGRIND_RUNNING_ON = 0x1001,
    MEMCHECK_MAKE_DEFINED = (int)('M' << 24 | 'C' << 16 | 2),
};

// ask_valgrind makes a client request: instructions that do nothing on a processor, and that
// Valgrind takes for a call. 0 where it does not run, on machines whose sequence is not here, and
// with -DNVALGRIND, as for Valgrind's own headers.
static uintptr_t ask_valgrind(uintptr_t request, uintptr_t first, uintptr_t second) {
    volatile uintptr_t words[6] = {request, first, second, 0, 0, 0};
    uintptr_t answer = 0;
#if defined(NVALGRIND)
    (void)words;
#elif defined(__x86_64__) && defined(__LP64__)
    __asm__ volatile(
        "rolq $3, %%rdi; rolq $13, %%rdi; rolq $61, %%rdi; rolq $51, %%rdi; xchgq %%rbx, %%rbx"
        : "=d"(answer)
        : "a"(words), "0"(answer)
        : "cc", "memory");
#elif defined(__i386__)
    __asm__ volatile(
        "roll $3, %%edi; roll $13, %%edi; roll $29, %%edi; roll $19, %%edi; xchgl %%ebx, %%ebx"
        : "=d"(answer)
        : "a"(words), "0"(answer)
        : "cc", "memory");
#elif defined(__aarch64__)
    __asm__ volatile(
        "mov x3, %1; mov x4, %2;"
        "ror x12, x12, #3; ror x12, x12, #13; ror x12, x12, #51; ror x12, x12, #61;"
        "orr x10, x10, x10; mov %0, x3"
        : "=r"(answer)
        : "r"(answer), "r"(words)
        : "cc", "memory", "x3", "x4");
#else
    (void)words;
#endif
    return answer;
}

void kaio_checkers_find(void) {
    uint32_t found = 0;
    found |= __asan_poison_memory_region != NULL ? KAIO_CHECKER_ASAN : 0;
    found |= __msan_unpoison != NULL ? KAIO_CHECKER_MSAN : 0;
    found |= ask_valgrind(VALGRIND_RUNNING_ON, 0, 0) != 0 ? KAIO_CHECKER_VALGRIND : 0;
    atomic_store_explicit(&kaio_checkers, found, memory_order_relaxed);
}

static bool has(uint32_t checker) {
    return (atomic_load_explicit(&kaio_checkers, memory_order_relaxed) & checker) != 0;
}

// granules cuts bytes[0..size_bytes) to the whole granules inside. NULL: there is none.
static const volatile char *granules(const void *bytes, size_t size_bytes, size_t *out_size_bytes) {
    const volatile char *first = bytes;
    size_t lead_bytes = -(uintptr_t)bytes & (ASAN_GRANULE_BYTES - 1);
    if (size_bytes < lead_bytes + ASAN_GRANULE_BYTES) {
        return NULL;
    }
    *out_size_bytes = (size_bytes - lead_bytes) & ~(size_t)(ASAN_GRANULE_BYTES - 1);
    return first + lead_bytes;
}

void kaio_checker_forbid(const void *bytes, size_t size_bytes) {
    size_t whole_bytes;
    const volatile char *first = granules(bytes, size_bytes, &whole_bytes);
    if (has(KAIO_CHECKER_ASAN) && first != NULL) {
        __asan_poison_memory_region(first, whole_bytes);
    }
}

void kaio_checker_allow(const void *bytes, size_t size_bytes) {
    size_t whole_bytes;
    const volatile char *first = granules(bytes, size_bytes, &whole_bytes);
    if (has(KAIO_CHECKER_ASAN) && first != NULL) {
        __asan_unpoison_memory_region(first, whole_bytes);
    }
}

void kaio_checker_define(const void *bytes, size_t size_bytes) {
    if (size_bytes == 0) {
        return;
    }
    if (has(KAIO_CHECKER_MSAN)) {
        __msan_unpoison(bytes, size_bytes);
    }
    if (has(KAIO_CHECKER_VALGRIND)) {
        (void)ask_valgrind(MEMCHECK_MAKE_DEFINED, (uintptr_t)bytes, size_bytes);
    }
}
