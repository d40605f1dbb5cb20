#define _GNU_SOURCE  // syscall, AT_EMPTY_PATH

#include "file_kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PATH_BYTES = 256 };

#define XFS_IOC_DIOINFO _IOR('X', 30, struct kaio_xfs_dioattr)

long kaio_real_statx(int fd, unsigned mask, unsigned char *out_statx) {
    return syscall(SYS_statx, fd, "", AT_EMPTY_PATH, mask, out_statx) == 0 ? 0 : -errno;
}

long kaio_real_xfs_dioinfo(int fd, struct kaio_xfs_dioattr *out_attributes) {
    return ioctl(fd, XFS_IOC_DIOINFO, out_attributes) == 0 ? 0 : -errno;
}

long kaio_real_block_bytes(int fd, int *out_bytes) {
    return ioctl(fd, BLKSSZGET, out_bytes) == 0 ? 0 : -errno;
}

long kaio_real_sysfs_number(const char *sysfs_path, const char *path, uint32_t *out_number) {
    char whole[PATH_BYTES];
    int length = snprintf(whole, sizeof whole, "%s/%s", sysfs_path, path);
    if (length < 0 || (size_t)length >= sizeof whole) {
        return -ENAMETOOLONG;
    }
    int fd = open(whole, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    char text[16];
    ssize_t read_bytes = read(fd, text, sizeof text - 1);
    (void)close(fd);
    text[read_bytes < 0 ? 0 : read_bytes] = '\0';
    char *end;
    unsigned long number = strtoul(text, &end, 10);
    if (end == text || *end != '\n' || number > INT32_MAX) {
        return -EINVAL;
    }
    *out_number = (uint32_t)number;
    return 0;
}

long kaio_real_try_flags(int empty_pipe, uint32_t rw_flags) {
    char byte;
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    // Without the C library: its preadv2 answers for a kernel that has none.
    long moved = syscall(SYS_preadv2, empty_pipe, &part, 1L, -1L, -1L, (long)rw_flags);
    return moved < 0 ? -errno : -EINVAL;
}
