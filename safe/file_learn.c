#define _GNU_SOURCE  // O_DIRECT, O_PATH, pipe2

#include "file_learn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "file_kernel.h"
#include "kaio/raw/aio_abi.h"

// What a direct transfer is aligned to where nobody tells: no device needs more.
enum { GUESSED_ALIGN_BYTES = 4096 };

// struct statx by its offsets (include/uapi/linux/stat.h): the C library's may be too old for the
// fields of direct I/O.
enum {
    STATX_BYTES = 256,
    STATX_WANTS_DIO_ALIGN = 0x2000,        // Linux 6.1
    STATX_WANTS_WRITE_ATOMIC = 0x10000,    // Linux 6.11
    STATX_WANTS_DIO_READ_ALIGN = 0x20000,  // Linux 6.14
    STATX_ATTRIBUTE_WRITE_ATOMIC = 0x400000,
    STATX_AT_MASK = 0x00,
    STATX_AT_ATTRIBUTES = 0x08,  // 64 bits
    STATX_AT_DIO_MEM_ALIGN = 0x98,
    STATX_AT_DIO_OFFSET_ALIGN = 0x9c,
    STATX_AT_ATOMIC_WRITE_UNIT_MIN = 0xa8,
    STATX_AT_ATOMIC_WRITE_UNIT_MAX = 0xac,
    STATX_AT_DIO_READ_OFFSET_ALIGN = 0xb4
};

static uint32_t statx_field(const unsigned char *bytes, size_t offset_bytes) {
    uint32_t field;
    memcpy(&field, bytes + offset_bytes, sizeof field);
    return field;
}

// A descriptor, and what it was found to be.
struct subject {
    int fd;
    int flags;
    struct stat stat;
    bool has_statx;
    unsigned char statx[STATX_BYTES];  // zeroed without
};

// ---- alignments ----

static bool is_power_of_2(uint32_t number) {
    return number != 0 && (number & (number - 1)) == 0;
}

// settle takes what `source` tells, unless no mask can say it.
static bool settle(struct kaio_file_place *file, kaio_alignment_source source,
                   uint32_t memory_bytes, uint32_t read_bytes, uint32_t write_bytes) {
    if (!is_power_of_2(memory_bytes) || !is_power_of_2(read_bytes) || !is_power_of_2(write_bytes)) {
        return false;
    }
    file->alignment_source = source;
    file->memory_align_bytes = memory_bytes;
    file->read.align_bytes = read_bytes;
    file->write.align_bytes = write_bytes;
    return true;
}

static bool settle_guess(struct kaio_file_place *file) {
    return settle(file, KAIO_ALIGNMENT_SOURCE_GUESS, GUESSED_ALIGN_BYTES, GUESSED_ALIGN_BYTES,
                  GUESSED_ALIGN_BYTES);
}

// learn_from_statx takes what the file system tells, if it does.
static bool learn_from_statx(struct kaio_file_place *file, const struct subject *subject) {
    uint32_t mask = statx_field(subject->statx, STATX_AT_MASK);
    uint32_t memory_bytes = statx_field(subject->statx, STATX_AT_DIO_MEM_ALIGN);
    uint32_t offset_bytes = statx_field(subject->statx, STATX_AT_DIO_OFFSET_ALIGN);
    uint32_t read_bytes = statx_field(subject->statx, STATX_AT_DIO_READ_OFFSET_ALIGN);
    bool has_read = (mask & STATX_WANTS_DIO_READ_ALIGN) != 0 && read_bytes != 0;
    if ((mask & STATX_WANTS_DIO_ALIGN) == 0) {
        return false;
    }
    // Told, and 0: this file goes through the page cache after all, or nowhere. Its device's
    // numbers would say nothing about it.
    if (memory_bytes == 0 && offset_bytes == 0) {
        return settle_guess(file);
    }
    return settle(file, KAIO_ALIGNMENT_SOURCE_STATX, memory_bytes,
                  has_read ? read_bytes : offset_bytes, offset_bytes);
}

// learn_from_xfs asks XFS, which told long before statx did.
static bool learn_from_xfs(struct kaio_file_place *file, const struct subject *subject) {
    struct kaio_xfs_dioattr told;
    return S_ISREG(subject->stat.st_mode) && kaio_kernel_xfs_dioinfo(subject->fd, &told) == 0 &&
           settle(file, KAIO_ALIGNMENT_SOURCE_XFS, told.d_mem, told.d_miniosz, told.d_miniosz);
}

// learn_from_block_device asks a device for its logical block.
static bool learn_from_block_device(struct kaio_file_place *file, const struct subject *subject) {
    int told = 0;
    if (!S_ISBLK(subject->stat.st_mode) || kaio_kernel_block_bytes(subject->fd, &told) != 0 ||
        told < 0) {
        return false;
    }
    uint32_t bytes = (uint32_t)told;
    return settle(file, KAIO_ALIGNMENT_SOURCE_DEVICE, bytes, bytes, bytes);
}

// queue_number reads a number of the request queue of a device; a partition has its disk's.
static bool queue_number(dev_t device, const char *name, uint32_t *out_number) {
    static const char *const formats[] = {"dev/block/%u:%u/queue/%s",
                                          "dev/block/%u:%u/../queue/%s"};
    for (size_t i = 0; i < sizeof formats / sizeof *formats; ++i) {
        char path[128];
        (void)snprintf(path, sizeof path, formats[i], major(device), minor(device), name);
        if (kaio_kernel_sysfs_number("/sys", path, out_number) == 0) {
            return true;
        }
    }
    return false;
}

// learn_from_sysfs asks for the device that the file system of a regular file says it is on.
static bool learn_from_sysfs(struct kaio_file_place *file, const struct subject *subject) {
    uint32_t block_bytes;
    uint32_t memory_mask;
    if (!S_ISREG(subject->stat.st_mode) ||
        !queue_number(subject->stat.st_dev, "logical_block_size", &block_bytes)) {
        return false;
    }
    // Before 6.0 there is no such file, and memory is aligned as the transfer is.
    bool has_memory = queue_number(subject->stat.st_dev, "dma_alignment", &memory_mask);
    return settle(file, KAIO_ALIGNMENT_SOURCE_SYSFS, has_memory ? memory_mask + 1 : block_bytes,
                  block_bytes, block_bytes);
}

// is_file_told tells whether the numbers are about the file itself, so that the kernel refuses what
// they do not allow. What sysfs says is about a device: the file may be on another one (the
// realtime device of XFS), or go through the page cache, where everything is allowed (encryption,
// data=journal). To enforce it would refuse what the kernel takes.
static bool is_file_told(kaio_alignment_source source) {
    switch (source) {
        case KAIO_ALIGNMENT_SOURCE_NOT_DIRECT:
        case KAIO_ALIGNMENT_SOURCE_STATX:
        case KAIO_ALIGNMENT_SOURCE_XFS:
        case KAIO_ALIGNMENT_SOURCE_DEVICE:
            return true;
        case KAIO_ALIGNMENT_SOURCE_SYSFS:
        case KAIO_ALIGNMENT_SOURCE_GUESS:
            return false;
    }
    return false;
}

static void learn_alignment(struct kaio_file_place *file, const struct subject *subject) {
    file->is_direct = (subject->flags & O_DIRECT) != 0;
    if (!file->is_direct) {
        (void)settle(file, KAIO_ALIGNMENT_SOURCE_NOT_DIRECT, 1, 1, 1);
    } else if (!learn_from_statx(file, subject) && !learn_from_xfs(file, subject) &&
               !learn_from_block_device(file, subject) && !learn_from_sysfs(file, subject)) {
        (void)settle_guess(file);
    }
    file->is_alignment_known = is_file_told(file->alignment_source);
    uint32_t mask = file->is_alignment_known ? UINT32_MAX : 0;
    file->memory_mask = (file->memory_align_bytes - 1) & mask;
    file->read.mask = (file->read.align_bytes - 1) & mask;
    file->write.mask = (file->write.align_bytes - 1) & mask;
}

// ---- flags ----

enum {
    FLAGS_OF_DURABILITY = KAIO_RAW_RWF_DSYNC | KAIO_RAW_RWF_SYNC,
    FLAGS_IN_CONFLICT = KAIO_RAW_RWF_APPEND | KAIO_RAW_RWF_NOAPPEND,
    // What a pipe may refuse although the kernel knows it.
    FLAGS_OF_THE_FILE = KAIO_RAW_RWF_NOWAIT | KAIO_RAW_RWF_ATOMIC | KAIO_RAW_RWF_DONTCACHE
};

// The flags that the kernel knows, once it was asked; 0 before.
static _Atomic uint32_t kernel_flags;

#ifdef KAIO_SIM
void kaio_file_forget_kernel_flags(void) {
    atomic_store_explicit(&kernel_flags, 0, memory_order_relaxed);
}
#endif

// try_each asks for each flag by itself, beside `company`. The kernel looks at unknown flags first:
// -EOPNOTSUPP. Then it refuses APPEND with NOAPPEND: -EINVAL for whatever it knows, before it looks
// at the file.
static uint32_t try_each(int empty_pipe, uint32_t flags, uint32_t company) {
    uint32_t known = KAIO_FILE_RW_FLAGS;
    for (uint32_t flag = 1; flag < KAIO_FILE_RW_FLAGS; flag <<= 1) {
        if ((flags & flag) != 0 &&
            kaio_kernel_try_flags(empty_pipe, flag | company) == -EOPNOTSUPP) {
            known &= ~flag;
        }
    }
    return known;
}

// ask_kernel finds out which flags the kernel knows from an empty pipe, where nothing is read; by
// its answers and not by its version, since distributions take flags back to older ones. A flag
// that cannot be asked about counts as known: the kernel refuses it later.
static uint32_t ask_kernel(int empty_pipe) {
    if (kaio_kernel_try_flags(empty_pipe, 0) != -EAGAIN) {
        return KAIO_FILE_RW_FLAGS;  // no preadv2(2), or not for this process
    }
    bool has_both = kaio_kernel_try_flags(empty_pipe, FLAGS_IN_CONFLICT) == -EINVAL;
    return has_both ? try_each(empty_pipe, KAIO_FILE_RW_FLAGS, FLAGS_IN_CONFLICT)
                    : try_each(empty_pipe, KAIO_FILE_RW_FLAGS & ~(uint32_t)FLAGS_OF_THE_FILE, 0);
}

static uint32_t known_flags(void) {
    uint32_t known = atomic_load_explicit(&kernel_flags, memory_order_relaxed);
    int ends[2];
    if (known != 0 || pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) {
        return known != 0 ? known : KAIO_FILE_RW_FLAGS;
    }
    known = ask_kernel(ends[0]);
    (void)close(ends[0]);
    (void)close(ends[1]);
    atomic_store_explicit(&kernel_flags, known, memory_order_relaxed);
    return known;
}

// learn_atomic takes the limits of atomic writes. False: the file has none, and the kernel refuses
// them. Where statx cannot be asked the kernel decides: no limits are known.
static bool learn_atomic(struct kaio_file_place *file, const struct subject *subject) {
    uint64_t attributes;
    memcpy(&attributes, subject->statx + STATX_AT_ATTRIBUTES, sizeof attributes);
    bool is_possible =
        (statx_field(subject->statx, STATX_AT_MASK) & STATX_WANTS_WRITE_ATOMIC) != 0 &&
        (attributes & STATX_ATTRIBUTE_WRITE_ATOMIC) != 0;
    uint32_t min_bytes = statx_field(subject->statx, STATX_AT_ATOMIC_WRITE_UNIT_MIN);
    uint32_t max_bytes = statx_field(subject->statx, STATX_AT_ATOMIC_WRITE_UNIT_MAX);
    bool is_sound = is_power_of_2(min_bytes) && is_power_of_2(max_bytes) && min_bytes <= max_bytes;
    file->atomic_min_bytes = is_possible && is_sound ? min_bytes : 0;
    file->atomic_max_bytes = is_possible && is_sound ? max_bytes : 0;
    return is_possible || !subject->has_statx;
}

// learn_flags finds out which flags transfers of the file may have. A read takes DSYNC and SYNC
// from the kernel and does nothing about them; who asks for that to be durable is not to be left in
// the belief that it is. What depends on more than the flag's own bit is looked at for each
// transfer.
static void learn_flags(struct kaio_file_place *file, const struct subject *subject) {
    uint32_t known = known_flags();
    uint32_t atomic = learn_atomic(file, subject) ? KAIO_RAW_RWF_ATOMIC : 0;
    file->read.flags = known & ~(uint32_t)(FLAGS_OF_DURABILITY | KAIO_RAW_RWF_ATOMIC);
    file->write.flags = known & (~(uint32_t)KAIO_RAW_RWF_ATOMIC | atomic);
    file->read.flags_to_check = ~file->read.flags | KAIO_RAW_RWF_NOAPPEND;
    file->write.flags_to_check = ~file->write.flags | KAIO_RAW_RWF_NOAPPEND | KAIO_RAW_RWF_ATOMIC;
}

// ---- the rest ----

// can_sleep tells whether a transfer waits for somebody else: inside io_submit, for an AIO one.
static bool can_sleep(const struct subject *subject) {
    mode_t mode = subject->stat.st_mode;
    if ((subject->flags & O_NONBLOCK) != 0) {
        return false;
    }
    bool is_anonymous = (mode & S_IFMT) == 0;  // eventfd, timerfd, ...
    return is_anonymous || S_ISFIFO(mode) || S_ISSOCK(mode) ||
           (S_ISCHR(mode) && isatty(subject->fd) == 1);
}

int kaio_file_learn(struct kaio_file_place *file, int fd) {
    struct subject subject = {.fd = fd};
    subject.flags = fcntl(fd, F_GETFL);
    if (subject.flags < 0 || fstat(fd, &subject.stat) != 0) {
        return errno;
    }
    unsigned wanted = STATX_WANTS_DIO_ALIGN | STATX_WANTS_DIO_READ_ALIGN | STATX_WANTS_WRITE_ATOMIC;
    subject.has_statx = kaio_kernel_statx(fd, wanted, subject.statx) == 0;
    file->device = subject.stat.st_dev;
    file->inode = subject.stat.st_ino;
    int mode = subject.flags & O_ACCMODE;
    bool has_no_data = (subject.flags & O_PATH) != 0;
    bool is_forced = can_sleep(&subject);
    uint32_t forced = is_forced ? KAIO_FILE_WAY_FORCED : 0;
    bool has_no_reads = has_no_data || mode == O_WRONLY;
    bool has_no_writes = has_no_data || mode == O_RDONLY;
    file->read.is_closed = forced | (has_no_reads ? KAIO_FILE_WAY_CLOSED : 0);
    file->write.is_closed = forced | (has_no_writes ? KAIO_FILE_WAY_CLOSED : 0);
    file->has_offsets = S_ISREG(subject.stat.st_mode) || S_ISBLK(subject.stat.st_mode);
    file->is_appending = (subject.flags & O_APPEND) != 0;
    learn_alignment(file, &subject);
    learn_flags(file, &subject);
    atomic_store_explicit(&file->sync_error, 0, memory_order_relaxed);
    atomic_store_explicit(&file->fails_fast, false, memory_order_relaxed);
    atomic_store_explicit(&file->forced_rw_flags, is_forced ? KAIO_RAW_RWF_NOWAIT : 0,
                          memory_order_relaxed);
    return 0;
}
