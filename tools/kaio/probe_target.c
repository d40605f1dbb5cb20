#define _GNU_SOURCE  // O_DIRECT, O_NOATIME, O_TMPFILE

#include "probe_target.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "probe_worker.h"

// ---- what PATH is ----

// A file that is made there is a message queue, which can be read and written by calls of its own.
enum { QUEUE_MAGIC = 0x19800202 };

// From linux/magic.h, and from the file systems' own sources what is not there. `makes_files`: what
// is read is made in that moment, and may be gone then.
static const struct {
    uint64_t magic;
    const char *name;
    bool makes_files;
} file_systems[] = {
    {0xef53, "ext4", false},          {0x58465342, "xfs", false},
    {0x9123683e, "btrfs", false},     {0x01021994, "tmpfs", false},
    {0x794c7630, "overlay", false},   {0x6969, "nfs", false},
    {0x65735546, "fuse", false},      {0x858458f6, "ramfs", false},
    {0xf2f52010, "f2fs", false},      {0x2fc12fc1, "zfs", false},
    {0xca451a4e, "bcachefs", false},  {0x01021997, "9p", false},
    {0x4d44, "vfat", false},          {0x2011bab0, "exfat", false},
    {0x7366746e, "ntfs3", false},     {0xe0f5e1e2, "erofs", false},
    {0x73717368, "squashfs", false},  {0xff534d42, "cifs", false},
    {0xfe534d42, "smb2", false},      {0x00c36400, "ceph", false},
    {0x9660, "iso9660", false},       {0x01161970, "gfs2", false},
    {0x7461636f, "ocfs2", false},     {0x958458f6, "hugetlbfs", false},
    {0x9fa0, "proc", true},           {0x62656572, "sysfs", true},
    {0x64626720, "debugfs", true},    {0x74726163, "tracefs", true},
    {0x73636673, "securityfs", true}, {0x62656570, "configfs", true},
    {0x27e0eb, "cgroup", true},       {0x63677270, "cgroup2", true},
    {0xf97cff8c, "selinuxfs", true},  {0xcafe4a11, "bpf", true},
    {0xde5e81e4, "efivarfs", true},   {0x6165676c, "pstore", true},
    {QUEUE_MAGIC, "mqueue", false},
};

enum { FILE_SYSTEM_COUNT = sizeof file_systems / sizeof file_systems[0] };

static size_t find_file_system(uint64_t magic) {
    size_t i = 0;
    while (i < FILE_SYSTEM_COUNT && file_systems[i].magic != magic) {
        ++i;
    }
    return i;
}

const char *target_file_system_name(uint64_t magic) {
    size_t i = find_file_system(magic);
    return i < FILE_SYSTEM_COUNT ? file_systems[i].name : NULL;
}

const char *target_kind_name(enum target_kind kind) {
    switch (kind) {
        case TARGET_FOLDER:
            return "folder";
        case TARGET_FILE:
            return "regular file";
        case TARGET_BLOCK_DEVICE:
            return "block device";
        case TARGET_PIPE:
            return "pipe";
        case TARGET_SOCKET:
            return "socket";
        case TARGET_MEMORY_DEVICE:
            return "memory device";
        case TARGET_UNSAFE:
            break;
    }
    return "unsafe";
}

const char *target_method(enum target_kind kind) {
    switch (kind) {
        case TARGET_FOLDER:
            return "reads and writes of a file without a name, made in it";
        case TARGET_FILE:
            return "reads of it; writes to a file without a name, made in its folder";
        case TARGET_BLOCK_DEVICE:
            return "reads of it; it is never written to";
        case TARGET_PIPE:
            return "a pipe of our own: to open this one could wake or end who waits for it";
        case TARGET_SOCKET:
            return "a pair of sockets of our own: this one cannot be opened by its path";
        case TARGET_MEMORY_DEVICE:
            return "reads of it, and writes where it throws them away";
        case TARGET_UNSAFE:
            break;
    }
    return "";
}

// The devices of drivers/char/mem.c that have no memory behind them: null, zero, full, random,
// urandom.
static bool is_memory_device(dev_t device, bool *out_is_writable) {
    enum { MEMORY_MAJOR = 1, NULL_MINOR = 3, ZERO_MINOR = 5, FULL_MINOR = 7, URANDOM_MINOR = 9 };
    unsigned number = minor(device);
    bool is_sink = number == NULL_MINOR || number == ZERO_MINOR || number == FULL_MINOR;
    *out_is_writable = is_sink;
    return major(device) == MEMORY_MAJOR &&
           (is_sink || (number > FULL_MINOR && number <= URANDOM_MINOR));
}

static void find_kind(const struct stat *found, struct target *target) {
    if (S_ISDIR(found->st_mode)) {
        target->kind = TARGET_FOLDER;
    } else if (S_ISREG(found->st_mode)) {
        target->kind = TARGET_FILE;
    } else if (S_ISBLK(found->st_mode)) {
        target->kind = TARGET_BLOCK_DEVICE;
    } else if (S_ISFIFO(found->st_mode)) {
        target->kind = TARGET_PIPE;
    } else if (S_ISSOCK(found->st_mode)) {
        target->kind = TARGET_SOCKET;
    } else if (is_memory_device(found->st_rdev, &target->is_writable_device)) {
        target->kind = TARGET_MEMORY_DEVICE;
    } else {
        target->kind = TARGET_UNSAFE;
        target->unsafe_text = "is a character device, and to open one may do anything";
    }
}

static_assert(TARGET_PATH_BYTES >= PATH_MAX, "realpath writes that much");

// find_folder finds where files are made: in PATH itself, or where the file itself is.
static int find_folder(struct target *target) {
    target->step = "realpath";
    if (realpath(target->path, target->folder) == NULL) {
        return errno;
    }
    char *slash = strrchr(target->folder, '/');
    if (target->kind == TARGET_FILE && slash != NULL) {
        slash[slash == target->folder ? 1 : 0] = '\0';
    }
    return 0;
}

static struct identity identify(const struct stat *found) {
    return (struct identity){.device = found->st_dev,
                             .inode = found->st_ino,
                             .special_device = found->st_rdev,
                             .type = found->st_mode & S_IFMT};
}

static bool is_same(const struct target *target, int fd) {
    struct stat found;
    if (fstat(fd, &found) != 0) {
        return false;
    }
    const struct identity *wanted = &target->identity;
    const struct identity identity = identify(&found);
    return identity.device == wanted->device && identity.inode == wanted->inode &&
           identity.special_device == wanted->special_device && identity.type == wanted->type;
}

// look fills `out_found` and `out_file_system` from one and the same file, whatever becomes of its
// name. A folder is asked by its name for what is mounted on it at the first question.
static int look(struct target *target, struct stat *out_found, struct statfs *out_file_system) {
    target->step = "stat";
    int fd = open(target->path, O_PATH | O_CLOEXEC);
    if (fd < 0) {
        return errno;
    }
    int error = fstat(fd, out_found) == 0 ? 0 : errno;
    bool is_folder = error == 0 && S_ISDIR(out_found->st_mode);
    target->step = "statfs";
    if ((is_folder ? statfs(target->path, out_file_system) : fstatfs(fd, out_file_system)) != 0) {
        *out_file_system = (struct statfs){0};
    }
    (void)close(fd);
    return error;
}

static uint64_t magic_of(const struct statfs *file_system) {
    return (uint64_t)file_system->f_type & UINT32_MAX;
}

static uint64_t id_of(const struct statfs *file_system) {
    uint64_t id = 0;
    static_assert(sizeof id == sizeof file_system->f_fsid, "copied whole");
    memcpy(&id, &file_system->f_fsid, sizeof id);
    return id;
}

void target_examine(struct target *target) {
    struct stat found = {0};
    struct statfs file_system = {0};
    target->stat_error = look(target, &found, &file_system);
    if (target->stat_error != 0) {
        return;
    }
    target->identity = identify(&found);
    find_kind(&found, target);
    if (target->kind != TARGET_FOLDER && target->kind != TARGET_FILE) {
        return;
    }
    target->stat_error = find_folder(target);
    if (target->stat_error != 0) {
        return;
    }
    target->file_system_magic = magic_of(&file_system);
    target->file_system_id = id_of(&file_system);
    size_t i = find_file_system(target->file_system_magic);
    if (target->kind == TARGET_FILE && i < FILE_SYSTEM_COUNT && file_systems[i].makes_files) {
        target->kind = TARGET_UNSAFE;
        target->unsafe_text = "is made by the kernel when it is read, and may be gone then";
    }
}

// ---- files ----

enum { DESCRIPTOR_NAME_BYTES = sizeof "/proc/self/fd/" + 3 * sizeof(int) };

static void set_open(struct target_files *files, enum probe_operation operation,
                     enum probe_mode mode, int fd, int os_error) {
    files->fds[operation][mode] = fd;
    if (fd >= 0) {
        files->places[operation][mode] = (struct place){0};
        return;
    }
    if (os_error == ESTALE) {
        files->places[operation][mode] = (struct place){.why = WHY_REPLACED};
        return;
    }
    bool is_direct_to_blame = mode == PROBE_DIRECT && files->fds[operation][PROBE_BUFFERED] >= 0 &&
                              (os_error == EINVAL || os_error == EOPNOTSUPP);
    files->places[operation][mode] = (struct place){
        .why = is_direct_to_blame ? WHY_NO_DIRECT : WHY_NO_FILE, .os_error = os_error};
}

static void set_never_written(struct target_files *files, enum why why) {
    for (int mode = 0; mode < PROBE_MODE_COUNT; ++mode) {
        files->fds[PROBE_WRITE][mode] = -1;
        files->places[PROBE_WRITE][mode] = (struct place){.why = why};
    }
}

// open_quietly leaves the time of the last access as it is, where that is allowed.
static int open_quietly(const char *path, int flags) {
    int fd = open(path, flags | O_NOATIME);
    return fd < 0 && errno == EPERM ? open(path, flags) : fd;
}

// name_descriptor writes the name that the file behind `fd` can be opened anew by, where /proc is.
static void name_descriptor(int fd, char out_name[DESCRIPTOR_NAME_BYTES]) {
    (void)snprintf(out_name, DESCRIPTOR_NAME_BYTES, "/proc/self/fd/%d", fd);
}

// open_same opens PATH again: ESTALE when it is another file than the one that was examined. What
// has taken its name is not even opened, where /proc is.
static int open_same(const struct target *target, int flags) {
    char name[DESCRIPTOR_NAME_BYTES];
    int path_fd = open(target->path, O_PATH | O_CLOEXEC);
    if (path_fd < 0) {
        return -1;
    }
    name_descriptor(path_fd, name);
    int fd = -1;
    int error = ESTALE;
    if (is_same(target, path_fd)) {
        fd = open_quietly(name, flags);
        fd = fd < 0 && errno == ENOENT ? open_quietly(target->path, flags) : fd;
        error = errno;
    }
    (void)close(path_fd);
    if (fd >= 0 && !is_same(target, fd)) {
        (void)close(fd);
        fd = -1;
        error = ESTALE;
    }
    errno = error;
    return fd;
}

static void open_path(const struct target *target, enum probe_operation operation,
                      struct target_files *files) {
    int access_flags = operation == PROBE_READ ? O_RDONLY : O_WRONLY;
    for (int mode = 0; mode < PROBE_MODE_COUNT; ++mode) {
        int direct_flag = mode == PROBE_DIRECT ? O_DIRECT : 0;
        int fd = open_same(target, access_flags | direct_flag | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        set_open(files, operation, (enum probe_mode)mode, fd, errno);
    }
}

// unlink_made keeps the name that could not be taken away. Returns 0 or an errno value.
static int unlink_made(const char *path, struct target *target) {
    if (unlink(path) == 0) {
        return 0;
    }
    target->leftover_error = errno;
    (void)snprintf(target->leftover, sizeof target->leftover, "%s", strrchr(path, '/') + 1);
    return target->leftover_error;
}

// make_named makes a file and takes its name away at once, for file systems without O_TMPFILE. No
// signal comes between, be it from the terminal or from the parent. Where one name has stayed there
// is no second.
static int make_named(struct target *target) {
    char path[TARGET_PATH_BYTES + LEFTOVER_BYTES];
    sigset_t all;
    sigset_t old;
    if (target->leftover_error != 0 || target->file_system_magic == QUEUE_MAGIC) {
        errno = target->leftover_error != 0 ? target->leftover_error : EOPNOTSUPP;
        return -1;
    }
    (void)snprintf(path, sizeof path, "%s/.kaio-XXXXXX", target->folder);
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_BLOCK, &all, &old);
    worker_shield();
    int fd = mkostemp(path, O_CLOEXEC);
    int error = fd < 0 ? errno : unlink_made(path, target);
    worker_unshield();
    (void)sigprocmask(SIG_SETMASK, &old, NULL);
    if (fd >= 0 && error != 0) {
        (void)close(fd);
        fd = -1;
    }
    errno = error;
    return fd;
}

static int make_file(struct target *target) {
    target->step = "open";
    int fd = open(target->folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    bool is_unknown = errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL || errno == ENOENT;
    return fd < 0 && is_unknown ? make_named(target) : fd;
}

// is_beside: `fd` is on the file system of PATH, as far as that is told.
static bool is_beside(struct target *target, int fd) {
    struct statfs found;
    target->step = "statfs";
    if (target->file_system_magic == 0 || fstatfs(fd, &found) != 0) {
        return true;
    }
    return magic_of(&found) == target->file_system_magic && id_of(&found) == target->file_system_id;
}

static int write_whole(struct target *target, int fd) {
    target->step = "write";
    static char bytes[TARGET_FILE_BYTES];
    memset(bytes, 'k', sizeof bytes);
    size_t done = 0;
    while (done < sizeof bytes) {
        ssize_t count = pwrite(fd, bytes + done, sizeof bytes - done, (off_t)done);
        if (count <= 0) {
            return count < 0 ? errno : ENOSPC;
        }
        done += (size_t)count;
    }
    target->step = "fdatasync";
    return fdatasync(fd) == 0 ? 0 : errno;
}

// fill writes the whole file, so that it has blocks on the disk. The first error is kept.
static void fill(struct target *target, int fd, struct target_files *files) {
    int error = write_whole(target, fd);
    if (files->fill_error == 0) {
        files->fill_error = error;
    }
}

// give_back has the files take no room where there is not enough to fill both: no file shall be
// without, of what is left for the probes.
static void give_back(const struct target_files *files) {
    for (int mode = 0; mode < PROBE_MODE_COUNT; ++mode) {
        if (files->fill_error != 0 && files->fds[PROBE_WRITE][mode] >= 0) {
            (void)!ftruncate(files->fds[PROBE_WRITE][mode], 0);
        }
    }
}

// open_made makes a file for each mode. Direct by fcntl(2), as open(2) may make one and then
// refuse.
static void open_made(struct target *target, bool is_for_reads, struct target_files *files) {
    for (int mode = 0; mode < PROBE_MODE_COUNT; ++mode) {
        int fd = make_file(target);
        int error = errno;
        if (fd >= 0 && target->kind == TARGET_FILE && !is_beside(target, fd)) {
            (void)close(fd);
            set_never_written(files, WHY_ELSEWHERE);
            return;
        }
        if (fd >= 0) {
            fill(target, fd, files);
        }
        target->step = "fcntl";
        if (fd >= 0 && mode == PROBE_DIRECT && fcntl(fd, F_SETFL, O_DIRECT) != 0) {
            error = errno;
            (void)close(fd);
            fd = -1;
        }
        set_open(files, PROBE_WRITE, (enum probe_mode)mode, fd, error);
        if (is_for_reads) {
            set_open(files, PROBE_READ, (enum probe_mode)mode, fd, error);
        }
    }
    give_back(files);
}

// reopen opens the pipe `fd` by name, which makes of it what a named one is. Without /proc it stays
// what it was.
static int reopen(int fd, int flags) {
    char name[DESCRIPTOR_NAME_BYTES];
    name_descriptor(fd, name);
    int reopened = open(name, flags | O_NONBLOCK | O_CLOEXEC);
    bool is_without_names = reopened < 0 && (errno == ENOENT || errno == EACCES);
    return is_without_names && (flags & O_DIRECT) == 0 ? fd : reopened;
}

// open_pipes makes a pipe for each operation: a full one to read from, an empty one to write to.
static void open_pipes(struct target_files *files) {
    static const char bytes[PROBE_MAX / 2 * TARGET_PIPE_BYTES];
    for (int operation = 0; operation < PROBE_OPERATION_COUNT; ++operation) {
        for (int mode = 0; mode < PROBE_MODE_COUNT; ++mode) {
            int ends[2] = {-1, -1};
            int fd = -1;
            if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0) {
                int access_flags = operation == PROBE_READ ? O_RDONLY : O_WRONLY;
                int direct_flag = mode == PROBE_DIRECT ? O_DIRECT : 0;
                fd = reopen(ends[operation], access_flags | direct_flag);
            }
            set_open(files, (enum probe_operation)operation, (enum probe_mode)mode, fd, errno);
            if (operation == PROBE_READ && fd >= 0 && write(ends[1], bytes, sizeof bytes) < 0) {
                files->fill_error = errno;
            }
        }
    }
}

static void open_sockets(struct target_files *files) {
    static const char bytes[PROBE_MAX / 2 * TARGET_PIPE_BYTES];
    for (int mode = 0; mode < PROBE_MODE_COUNT; ++mode) {
        int ends[2] = {-1, -1};
        int error = 0;
        bool is_open =
            socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0 &&
            (mode != PROBE_DIRECT || (fcntl(ends[0], F_SETFL, O_NONBLOCK | O_DIRECT) == 0));
        if (!is_open) {
            error = errno;
        } else if (write(ends[1], bytes, sizeof bytes) < 0) {
            files->fill_error = errno;
        }
        set_open(files, PROBE_READ, (enum probe_mode)mode, is_open ? ends[0] : -1, error);
        set_open(files, PROBE_WRITE, (enum probe_mode)mode, is_open ? ends[0] : -1, error);
    }
}

void target_open(struct target *target, struct target_files *out_files) {
    struct target_files files = {0};
    target->step = "open";
    switch (target->kind) {
        case TARGET_FOLDER:
            open_made(target, true, &files);
            break;
        case TARGET_FILE:
            open_path(target, PROBE_READ, &files);
            open_made(target, false, &files);
            break;
        case TARGET_BLOCK_DEVICE:
            open_path(target, PROBE_READ, &files);
            set_never_written(&files, WHY_NEVER_WRITTEN);
            break;
        case TARGET_PIPE:
            open_pipes(&files);
            break;
        case TARGET_SOCKET:
            open_sockets(&files);
            break;
        case TARGET_MEMORY_DEVICE:
            open_path(target, PROBE_READ, &files);
            if (target->is_writable_device) {
                open_path(target, PROBE_WRITE, &files);
            } else {
                set_never_written(&files, WHY_NEVER_WRITTEN);
            }
            break;
        case TARGET_UNSAFE:
            break;
    }
    *out_files = files;
}

// ---- alignments ----

// The masks and places of include/uapi/linux/stat.h that the C library's may be too old for.
enum { ASK_DIRECT = 0x2000, ASK_ATOMIC = 0x10000, ASK_DIRECT_READ = 0x20000 };

struct statx_answer {
    uint32_t mask;
    uint8_t ignored1[0x98 - 4];
    uint32_t direct_memory_align;
    uint32_t direct_offset_align;
    uint64_t ignored2;
    uint32_t atomic_unit_min;
    uint32_t atomic_unit_max;
    uint32_t atomic_segments_max;
    uint32_t direct_read_offset_align;
    uint8_t ignored3[0x100 - 0xb8];
};
static_assert(offsetof(struct statx_answer, direct_memory_align) == 0x98, "0x98");
static_assert(offsetof(struct statx_answer, atomic_unit_min) == 0xa8, "0xa8");
static_assert(offsetof(struct statx_answer, direct_read_offset_align) == 0xb4, "0xb4");
static_assert(sizeof(struct statx_answer) == 0x100, "0x100");

static void read_alignment(int fd, struct alignment *alignment) {
    struct statx_answer answer = {0};
    alignment->is_asked = true;
#ifdef SYS_statx
    if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH, ASK_DIRECT | ASK_ATOMIC | ASK_DIRECT_READ,
                &answer) != 0) {
        alignment->os_error = errno;
        return;
    }
#else
    (void)fd;
    alignment->os_error = ENOSYS;
#endif
    alignment->is_direct_known = (answer.mask & ASK_DIRECT) != 0;
    alignment->memory_bytes = answer.direct_memory_align;
    alignment->offset_bytes = answer.direct_offset_align;
    alignment->is_read_known = (answer.mask & ASK_DIRECT_READ) != 0;
    alignment->read_offset_bytes = answer.direct_read_offset_align;
    alignment->is_atomic_known = (answer.mask & ASK_ATOMIC) != 0;
    alignment->atomic_min_bytes = answer.atomic_unit_min;
    alignment->atomic_max_bytes = answer.atomic_unit_max;
    alignment->atomic_segment_count = answer.atomic_segments_max;
}

void target_survey(struct target *target) {
    struct target_files files;
    target_open(target, &files);
    memcpy(target->places, files.places, sizeof target->places);
    target->fill_error = files.fill_error;
    target->is_surveyed = true;
    target->step = "statx";
    if (files.fds[PROBE_READ][PROBE_BUFFERED] >= 0) {
        read_alignment(files.fds[PROBE_READ][PROBE_BUFFERED], &target->alignment);
    }
}
