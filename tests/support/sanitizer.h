// Which sanitizer a test is built with.

#ifndef KAIO_TESTS_SUPPORT_SANITIZER_H_
#define KAIO_TESTS_SUPPORT_SANITIZER_H_

// KAIO_HAS_ASAN is defined with AddressSanitizer: gcc has a macro, clang a feature.
#if defined(__SANITIZE_ADDRESS__)
#    define KAIO_HAS_ASAN 1
#elif defined(__has_feature)
#    if __has_feature(address_sanitizer)
#        define KAIO_HAS_ASAN 1
#    endif
#endif

#endif  // KAIO_TESTS_SUPPORT_SANITIZER_H_
