// kaio/safe/base.h: the few macros every safe header needs.

#ifndef KAIO_SAFE_BASE_H_
#define KAIO_SAFE_BASE_H_

#include <stddef.h>

#ifdef __cplusplus
#    define KAIO_BEGIN_DECLS extern "C" {
#    define KAIO_END_DECLS }
#    define KAIO_NULL nullptr
#    define KAIO_NOEXCEPT noexcept
#else
#    define KAIO_BEGIN_DECLS
#    define KAIO_END_DECLS
#    define KAIO_NULL NULL
#    define KAIO_NOEXCEPT
#endif
// KAIO_NOEXCEPT: no exception leaves the function, so none may leave a handler that it calls.

// KAIO_MUST_USE marks a result whose loss would hide an error or leak an object. To drop one on
// purpose: kaio_ignore(status).
#if defined(__cplusplus) && __cplusplus >= 201703L
#    define KAIO_MUST_USE [[nodiscard]]
#else
#    define KAIO_MUST_USE __attribute__((warn_unused_result))
#endif

// KAIO_SCOPED(kaio_file) file = KAIO_NULL; declares an owner that is dropped at the end of its
// scope. Owners may be declared in any order: every drop defers what cannot be released yet.
#define KAIO_SCOPED(type) __attribute__((cleanup(type##_drop))) type *

// KAIO_CONSUMES: the handle that is the function's first argument is gone behind the call, in every
// copy of it. clang's analyser knows that from this attribute. gcc (-Wuse-after-free, -fanalyzer)
// knows it of a function that KAIO_CONSUMED_BY pairs with another one.
#if defined(__clang__)
#    define KAIO_CONSUMES __attribute__((ownership_takes(malloc, 1)))
#    define KAIO_CONSUMED_BY(function)
#elif defined(__GNUC__) && __GNUC__ >= 11
#    define KAIO_CONSUMES
#    define KAIO_CONSUMED_BY(function) __attribute__((malloc(function, 1)))
#else
#    define KAIO_CONSUMES
#    define KAIO_CONSUMED_BY(function)
#endif

KAIO_BEGIN_DECLS
// Never defined: a call that survives optimisation is the compile-time error itself. `nothrow`, as
// clang does not look at calls with something to clean up when they throw: C++ owners in scope.
void kaio_error_used_after_move(void)
    __attribute__((nothrow, error("kaio: used after it was moved away")));
KAIO_END_DECLS

// KAIO_CHECK_NOT_MOVED(p) does not compile where the optimiser can see that `p` is NULL. Without
// optimisation nothing can be seen, and the same misuse answers at run time.
#ifdef __OPTIMIZE__
#    define KAIO_CHECK_NOT_MOVED(p)                                           \
        do {                                                                  \
            if (__builtin_constant_p((p) == KAIO_NULL) && (p) == KAIO_NULL) { \
                kaio_error_used_after_move();                                 \
            }                                                                 \
        } while (0)
#else
#    define KAIO_CHECK_NOT_MOVED(p) \
        do {                        \
        } while (0)
#endif

#endif  // KAIO_SAFE_BASE_H_
