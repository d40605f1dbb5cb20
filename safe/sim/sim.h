// kaio/safe/sim/sim.h: a simulated kernel behind the same door, for what a real one cannot be made
// to do on request.
//
// Link //safe:sim instead of //safe: the same sources, but io_setup and its kin are functions of
// this file. Reads, writes and syncs are really done on the given descriptors, when the simulated
// kernel completes them; a poll is pending until its file is ready, which is looked at whenever the
// kernel is entered. Everything follows from the script: no clock, no thread.
// Threads: one; the script is the process's.

#ifndef KAIO_SAFE_SIM_SIM_H_
#define KAIO_SAFE_SIM_SIM_H_

#include <stdbool.h>
#include <stdint.h>

#include "kaio/safe/base.h"

KAIO_BEGIN_DECLS

// A kaio_sim_script says how the kernel misbehaves; zeroed, it does not. Counts run down by one
// with each call or request that they applied to.
typedef struct kaio_sim_script {
    uint32_t submit_limit;        // io_submit takes at most so many of a call; 0: no limit
    uint32_t submit_error_after;  // after so many calls of io_submit ...
    uint32_t submit_error_count;  // ... so many fail ...
    int32_t submit_error;         // ... with this errno
    uint32_t missed_count;  // so many calls of io_getevents miss what completes right behind them
    uint32_t getevents_error_count;
    int32_t getevents_error;
    uint32_t cancel_error_count;
    int32_t cancel_error;
    uint32_t setup_error_count;
    int32_t setup_error;
    bool destroy_fails;  // io_destroy answers EINVAL and nothing is known of what is in flight
    bool hold;           // requests stay in flight until io_getevents has to wait for them
    bool late;           // and longer: a wait with a timeout ends without them
    bool reorder;        // they complete in a pseudo-random order, from `seed`
    uint64_t seed;
    uint32_t shorten_count;  // so many transfers of 2 bytes or more move only half
    uint32_t fail_count;     // so many requests end with -fail_error in their event
    int32_t fail_error;
    uint32_t duplicate_count;  // so many events are delivered twice
    bool no_ring;              // the context's memory is no ring, as under gVisor
} kaio_sim_script;

// What the simulated kernel was asked.
typedef struct kaio_sim_calls {
    uint64_t setup_count;
    uint64_t destroy_count;
    uint64_t submit_count;
    uint64_t cancel_count;
    uint64_t getevents_count;
    uint64_t request_count;  // that io_submit took ...
    uint64_t ioprio_count;   // ... and of those, the ones with a priority ...
    uint16_t last_ioprio;    // ... the last one's, as the kernel packs it
} kaio_sim_calls;

// kaio_sim_play starts to follow `script` and sets the counts of calls to 0. Requests in flight
// stay.
void kaio_sim_play(const kaio_sim_script *script);

// kaio_sim_complete ends up to `count` requests in flight of every context, as a device would, and
// returns how many it ended: of polls those whose file is ready.
uint32_t kaio_sim_complete(uint32_t count);

// kaio_sim_call_counts returns what was asked since the last kaio_sim_play.
kaio_sim_calls kaio_sim_call_counts(void);

KAIO_END_DECLS

#endif  // KAIO_SAFE_SIM_SIM_H_
