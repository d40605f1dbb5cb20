// kaio/safe/file.h: an owned or borrowed descriptor, what direct I/O needs of it, and its pins.
//
// Every request pins its file from `new` until its outcome is taken. A file is attached to a queue
// by the first request that names it there; from then on only that queue's thread may close it.
// Threads: any, one at a time; kaio_file_drop needs nothing.

#ifndef KAIO_SAFE_FILE_H_
#define KAIO_SAFE_FILE_H_

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "kaio/safe/base.h"
#include "kaio/safe/handle.h"
#include "kaio/safe/status.h"

KAIO_BEGIN_DECLS

// kaio_file_open opens `path` as open(2) does with `flags` (O_CLOEXEC is added) and `mode`.
//
// Ownership: `*out_file` owns the descriptor until kaio_file_close or kaio_file_drop.
// Errors:    OS_ERROR(path) with open(2)'s errno; NO_MEMORY.
KAIO_MUST_USE kaio_status kaio_file_open(const char *path, int flags, mode_t mode,
                                         kaio_file **out_file) KAIO_NOEXCEPT;

// kaio_file_adopt takes over the open descriptor `fd`.
//
// A door: the caller promises that from now on nobody else closes `fd` or changes its status flags
// (O_DIRECT, O_NONBLOCK).
// Ownership: on OK `fd` is the file's; on any other answer it is still the caller's.
// Errors:    BUSY(descriptor): another file owns it already. OS_ERROR(descriptor): EBADF.
KAIO_MUST_USE kaio_status kaio_file_adopt(int fd, kaio_file **out_file) KAIO_NOEXCEPT;

// kaio_file_borrow uses `fd` without owning it: the same door, but closing the file leaves the
// descriptor open. The caller keeps it open until kaio_file_close answered OK.
//
// Closed behind the library, the number may name somebody else's file when a request is sent. A
// build without NDEBUG compares device and inode then, and ends the request REFUSED with EBADF; in
// one with NDEBUG it goes to that file.
KAIO_MUST_USE kaio_status kaio_file_borrow(int fd, kaio_file **out_file) KAIO_NOEXCEPT;

// kaio_file_as_fd lends the descriptor, for calls that the library has no business in (fstat,
// fallocate). It is the file's: do not close it.
KAIO_MUST_USE kaio_status kaio_file_as_fd(const kaio_file *file, int *out_fd) KAIO_NOEXCEPT;

// A kaio_alignment_source says who told an alignment.
typedef enum kaio_alignment_source {
    KAIO_ALIGNMENT_SOURCE_NOT_DIRECT = 0,  // not opened with O_DIRECT: 1, 1, 1
    KAIO_ALIGNMENT_SOURCE_STATX = 1,       // the file: statx(2)
    KAIO_ALIGNMENT_SOURCE_XFS = 2,         // the file: XFS_IOC_DIOINFO
    KAIO_ALIGNMENT_SOURCE_DEVICE = 3,      // the block device that the file is: BLKSSZGET
    KAIO_ALIGNMENT_SOURCE_SYSFS = 4,       // the device of its file system: /sys/dev/block
    KAIO_ALIGNMENT_SOURCE_GUESS = 5        // nobody, or the file says that it is not done: 4096
} kaio_alignment_source;

// A kaio_alignment tells what a transfer of this file must be a multiple of, in bytes.
typedef struct kaio_alignment {
    uint32_t memory_bytes;  // address of the first byte
    uint32_t read_bytes;    // file offset and size of a read
    uint32_t write_bytes;   // file offset and size of a write
    kaio_alignment_source source;
    // A write with kaio_rw_atomic has a size between these, a power of 2, and a file offset that is
    // a multiple of its size. 0, 0: it cannot be done, or its limits are not told.
    uint32_t atomic_min_bytes;
    uint32_t atomic_max_bytes;
    bool is_direct;  // opened with O_DIRECT; otherwise the first three are 1
    bool is_known;   // told for this file, and checked; from SYSFS or a GUESS: advice, unchecked
} kaio_alignment;

// kaio_file_alignment tells what direct I/O on `file` needs, as found when it was opened.
//
// Until one answers these are asked: the file by statx, XFS, a block device, and for a regular file
// the device of its file system.
//
// Kernel:    statx(2) STATX_DIOALIGN since 6.1, STATX_DIO_READ_ALIGN since 6.14; XFS_IOC_DIOINFO;
//            BLKSSZGET; queue/logical_block_size, and queue/dma_alignment since 6.0.
//            STATX_WRITE_ATOMIC since 6.11.
KAIO_MUST_USE kaio_status kaio_file_alignment(const kaio_file *file,
                                              kaio_alignment *out_alignment) KAIO_NOEXCEPT;

// kaio_file_allow_stall lets requests on a blocking pipe, socket or terminal sleep inside the
// submit call. Without it they carry RWF_NOWAIT and end as WOULD_BLOCK instead.
KAIO_MUST_USE kaio_status kaio_file_allow_stall(kaio_file *file) KAIO_NOEXCEPT;

// kaio_file_clear_sync_error lets syncs of `file` succeed again after one that failed, whose errno
// it writes to `*out_error`; 0: none had.
//
// The kernel tells a failed write-back once, then takes the pages for clean: the next fsync(2)
// would succeed, and the data be lost. So every later sync of the file, on any queue, ends as
// KAIO_SYNC_FAILED with the first error. Clear it once what may be lost was written again.
// Errors: NULL_ARGUMENT(file or output), STALE, FORKED.
KAIO_MUST_USE kaio_status kaio_file_clear_sync_error(kaio_file *file,
                                                     int32_t *out_error) KAIO_NOEXCEPT;

// kaio_file_set_fail_fast has `file` refuse what is new, on whatever queue, once one of its
// requests was late (late.h): reads, writes and syncs answer TIMED_OUT(file) when they are made,
// and are not queued behind those that hang. What was made before goes on. Any call begins anew:
// what was late before is forgotten, and with `is_on` false it stays so.
//
// Errors: NULL_ARGUMENT(file), STALE, FORKED.
KAIO_MUST_USE kaio_status kaio_file_set_fail_fast(kaio_file *file, bool is_on) KAIO_NOEXCEPT;

// kaio_file_attach counts `queue` among the users of `file`. The first request does it by itself; a
// queue that comes to know more files than it has places forgets those that it does not use.
KAIO_MUST_USE kaio_status kaio_file_attach(kaio_file *file, kaio_queue *queue) KAIO_NOEXCEPT;

// kaio_file_detach ends that: from now on `queue` does not know `file`. The queue's thread calls
// it.
//
// Errors:    BUSY(file): `detail` requests of the queue still use it.
KAIO_MUST_USE kaio_status kaio_file_detach(kaio_file *file, kaio_queue *queue) KAIO_NOEXCEPT;

// kaio_file_close closes the descriptor (a borrowed one is only forgotten).
//
// Ownership: BUSY and misuse leave `*move_file` as it is; any other answer sets it to NULL.
// Errors:    BUSY(file): detail = requests of this thread's queues that use it (low half) and
//            queues of other threads that it is attached to (high half): kaio_file_detach there
//            first. OS_ERROR with close(2)'s errno: the descriptor is gone all the same.
KAIO_MUST_USE kaio_status kaio_file_close(kaio_file **move_file) KAIO_NOEXCEPT;

// kaio_file_drop gives `*move_file` up and sets it to NULL. The descriptor is closed now, or when
// the last request that uses it was taken and each queue of another thread that it is attached to
// was flushed or ended. close(2)'s result is lost: kaio_file_close tells it.
void kaio_file_drop(kaio_file **move_file) KAIO_NOEXCEPT;

KAIO_END_DECLS

#endif  // KAIO_SAFE_FILE_H_
