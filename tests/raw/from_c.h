// tests/raw/from_c.h: raw used by C11, for a C++ test to call.

#ifndef KAIO_TESTS_RAW_FROM_C_H_
#define KAIO_TESTS_RAW_FROM_C_H_

#ifdef __cplusplus
extern "C" {
#endif

// from_c_round_trip writes and reads back `size` bytes of `fd` through a context of its own.
//
// Errors: the line of from_c.c that went wrong; 0 if none.
int from_c_round_trip(int fd, const char *bytes, unsigned long size);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // KAIO_TESTS_RAW_FROM_C_H_
