#define _DEFAULT_SOURCE  // syscall

#include "eventfd.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

int kaio_eventfd_make(int *out_fd) {
    int saved_errno = errno;
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int error = fd < 0 ? errno : 0;
    errno = saved_errno;
    if (error == 0) {
        *out_fd = fd;
    }
    return error;
}

void kaio_eventfd_raise(int fd) {
    int saved_errno = errno;
    uint64_t one = 1;
    if (syscall(SYS_write, fd, &one, sizeof one) < 0) {
        assert(errno == EAGAIN);  // full, and so readable
    }
    errno = saved_errno;
}

void kaio_eventfd_lower(int fd) {
    int saved_errno = errno;
    uint64_t count;
    if (syscall(SYS_read, fd, &count, sizeof count) < 0) {
        assert(errno == EAGAIN);  // it was not raised
    }
    errno = saved_errno;
}

void kaio_eventfd_close(int fd) {
    int saved_errno = errno;
    if (fd >= 0) {
        (void)syscall(SYS_close, fd);
    }
    errno = saved_errno;
}
