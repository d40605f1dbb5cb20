// kaio/safe/file_learn.h (private): what can be found out about a descriptor before it is used.

#ifndef KAIO_SAFE_FILE_LEARN_H_
#define KAIO_SAFE_FILE_LEARN_H_

#include "file_pin.h"

// Every flag that transfer.h can make.
#define KAIO_FILE_RW_FLAGS UINT32_C(0x1ff)

// kaio_file_learn fills in what the kernel tells about `fd`, and may change errno. Returns 0, or an
// errno: `fd` is no descriptor.
int kaio_file_learn(struct kaio_file_place *file, int fd);

#ifdef KAIO_SIM
// kaio_file_forget_kernel_flags lets the next file ask anew which flags the kernel knows.
void kaio_file_forget_kernel_flags(void);
#endif

#endif  // KAIO_SAFE_FILE_LEARN_H_
