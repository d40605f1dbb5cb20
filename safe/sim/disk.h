// kaio/safe/sim/disk.h: a simulated disk that loses power: what was not synced is kept, lost, torn
// or reordered, sector by sector.
//
//   kaio_sim_disk_begin -> the program writes and syncs -> kaio_sim_disk_cut, at any moment
//   -> the program is torn down -> kaio_sim_disk_restore -> it recovers, and is looked at
// It knows the regular files that the simulated kernel writes to: as they are when it first does
// so, they are durable. From then on what was written becomes durable with a sync that begins
// afterwards, or at once with DSYNC and SYNC. What other calls do to a file is not seen, and its
// name, its directory and its blocks are durable: make files and allocate their space before.
// Threads: one, as all of sim.h; a cut also from the watcher of kaio_sim_watch.

#ifndef KAIO_SAFE_SIM_DISK_H_
#define KAIO_SAFE_SIM_DISK_H_

#include <stdint.h>

#include "kaio/safe/base.h"

KAIO_BEGIN_DECLS

// What is written whole or not at all, in bytes.
#define KAIO_SIM_DISK_SECTOR_BYTES 512u

// kaio_sim_disk_begin begins to keep what is durable apart from what is not. What it kept before is
// forgotten.
void kaio_sim_disk_begin(void) KAIO_NOEXCEPT;

// kaio_sim_disk_cut cuts the power now: it decides, from `seed`, what is found afterwards. Each
// sector has the bytes that are durable, or those of any write since, in flight ones included; the
// size of each file is the durable one, or that after any write since.
//
// The program may go on, and tear itself down: nothing of that counts, nor does another cut.
void kaio_sim_disk_cut(uint64_t seed) KAIO_NOEXCEPT;

// kaio_sim_disk_restore makes the files what the last cut left of them, and keeps nothing apart any
// more. Returns how many files there were; without a cut it changes none.
uint32_t kaio_sim_disk_restore(void) KAIO_NOEXCEPT;

KAIO_END_DECLS

#endif  // KAIO_SAFE_SIM_DISK_H_
