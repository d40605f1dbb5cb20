// kaio/safe/sim/inside.h (private): what sim.c and disk.c do for each other.

#ifndef KAIO_SAFE_SIM_INSIDE_H_
#define KAIO_SAFE_SIM_INSIDE_H_

#include <stdint.h>
#include <sys/uio.h>

// A kaio_sim_parts is the memory of a transfer.
struct kaio_sim_parts {
    struct iovec iovecs[UIO_MAXIOV];
    int count;
    uint64_t size_bytes;
};

// ---- sim.c ----

// kaio_sim_visit_writes calls `visit` for each write that is in flight, which did not begin yet.
void kaio_sim_visit_writes(void (*visit)(int fd, int64_t offset, int rw_flags,
                                         const struct kaio_sim_parts *parts));

// kaio_sim_mix is the next number of splitmix64 behind `*state`.
uint64_t kaio_sim_mix(uint64_t *state);

// ---- disk.c ----

// kaio_sim_disk_will_write is called before a file is written to, kaio_sim_disk_wrote behind it
// with how much moved, kaio_sim_disk_synced when a sync of it succeeded. None needs a file that is
// known.
void kaio_sim_disk_will_write(int fd);
void kaio_sim_disk_wrote(int fd, int64_t offset, int rw_flags, const struct kaio_sim_parts *parts,
                         int64_t moved_bytes);
void kaio_sim_disk_synced(int fd);

#endif  // KAIO_SAFE_SIM_INSIDE_H_
