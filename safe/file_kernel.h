// kaio/safe/file_kernel.h (private): what the kernel is asked about a descriptor, through a door
// like that of kernel.h.
//
// The product asks the kernel and /sys. //safe:sim is built with KAIO_SIM and asks sim/file.c,
// which answers as an older kernel or another file system would, where its script says so.

#ifndef KAIO_SAFE_FILE_KERNEL_H_
#define KAIO_SAFE_FILE_KERNEL_H_

#include <stdint.h>

// struct dioattr of XFS (fs/xfs/libxfs/xfs_fs.h), whose header is in a package of its own.
struct kaio_xfs_dioattr {
    uint32_t d_mem;
    uint32_t d_miniosz;
    uint32_t d_maxiosz;
};

// Each answers 0, or -errno. They may change errno.

// statx(2) of `fd` itself, 256 bytes of struct statx.
long kaio_real_statx(int fd, unsigned mask, unsigned char *out_statx);

// XFS_IOC_DIOINFO; -ENOTTY elsewhere.
long kaio_real_xfs_dioinfo(int fd, struct kaio_xfs_dioattr *out_attributes);

// BLKSSZGET: the logical block of a block device, in bytes.
long kaio_real_block_bytes(int fd, int *out_bytes);

// The number in the file `path` below `sysfs_path`, which is "/sys".
long kaio_real_sysfs_number(const char *sysfs_path, const char *path, uint32_t *out_number);

// preadv2(2) of one byte from `empty_pipe`, where O_NONBLOCK is set, with `rw_flags`: -EAGAIN where
// it takes them all, and never 0.
long kaio_real_try_flags(int empty_pipe, uint32_t rw_flags);

#ifdef KAIO_SIM

long kaio_sim_statx(int fd, unsigned mask, unsigned char *out_statx);
long kaio_sim_xfs_dioinfo(int fd, struct kaio_xfs_dioattr *out_attributes);
long kaio_sim_block_bytes(int fd, int *out_bytes);
long kaio_sim_sysfs_number(const char *sysfs_path, const char *path, uint32_t *out_number);
long kaio_sim_try_flags(int empty_pipe, uint32_t rw_flags);

#    define kaio_kernel_statx kaio_sim_statx
#    define kaio_kernel_xfs_dioinfo kaio_sim_xfs_dioinfo
#    define kaio_kernel_block_bytes kaio_sim_block_bytes
#    define kaio_kernel_sysfs_number kaio_sim_sysfs_number
#    define kaio_kernel_try_flags kaio_sim_try_flags

#else

#    define kaio_kernel_statx kaio_real_statx
#    define kaio_kernel_xfs_dioinfo kaio_real_xfs_dioinfo
#    define kaio_kernel_block_bytes kaio_real_block_bytes
#    define kaio_kernel_sysfs_number kaio_real_sysfs_number
#    define kaio_kernel_try_flags kaio_real_try_flags

#endif

#endif  // KAIO_SAFE_FILE_KERNEL_H_
