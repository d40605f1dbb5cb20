// kaio/safe/sim/file.h: what the simulated kernel tells about files, as an older one or one with
// another file system or device would.
//
// Zeroed, the script changes nothing: the real kernel and /sys are asked. What was found out about
// a file when it was opened stays.
// Threads: one; the script is the process's.

#ifndef KAIO_SAFE_SIM_FILE_H_
#define KAIO_SAFE_SIM_FILE_H_

#include <stdbool.h>
#include <stdint.h>

#include "kaio/safe/base.h"

KAIO_BEGIN_DECLS

typedef struct kaio_sim_file_script {
    int32_t statx_error;         // statx(2) fails with this errno
    uint32_t statx_hidden_mask;  // STATX_* that it does not know ...
    bool tells_dio;              // ... and what it tells instead: 0, 0 means "not done"
    uint32_t dio_memory_bytes;
    uint32_t dio_offset_bytes;
    uint32_t dio_read_bytes;  // 0: not told
    bool tells_atomic;
    uint32_t atomic_min_bytes;  // 0, 0: not done
    uint32_t atomic_max_bytes;
    bool tells_xfs;  // XFS_IOC_DIOINFO answers
    uint32_t xfs_memory_bytes;
    uint32_t xfs_transfer_bytes;
    int32_t xfs_error;          // or fails with this errno
    int32_t block_error;        // BLKSSZGET fails with this errno
    const char *sysfs_path;     // what stands for /sys; NULL: /sys
    int32_t pipe_error;         // preadv2(2) with flags fails with this errno
    uint32_t unknown_rw_flags;  // RWF_* that are newer than the kernel
} kaio_sim_file_script;

// kaio_sim_play_file starts to follow `script`, whose path must stay.
void kaio_sim_play_file(const kaio_sim_file_script *script) KAIO_NOEXCEPT;

// What was asked since the last kaio_sim_play_file.
typedef struct kaio_sim_file_calls {
    uint32_t statx_count;
    uint32_t xfs_count;
    uint32_t block_count;
    uint32_t sysfs_count;
    uint32_t flags_count;  // preadv2(2)
} kaio_sim_file_calls;

kaio_sim_file_calls kaio_sim_file_call_counts(void) KAIO_NOEXCEPT;

KAIO_END_DECLS

#endif  // KAIO_SAFE_SIM_FILE_H_
