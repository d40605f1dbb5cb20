// kaio/safe/sim/sim.h: a simulated kernel behind the same door, for what a real one cannot be made
// to do on request.
//
// Link //safe:sim instead of //safe: the same sources, but io_setup and its kin are functions of
// this file. Reads, writes and syncs are really done on the given descriptors, when the simulated
// kernel completes them; a poll is pending until its file is ready, which is looked at whenever the
// kernel is entered. Everything follows from the script, but for deadlines: no thread.
// Threads: one, but for io_destroy; the script is the process's.

#ifndef KAIO_SAFE_SIM_SIM_H_
#define KAIO_SAFE_SIM_SIM_H_

#include <stdbool.h>
#include <stdint.h>

#include "kaio/safe/base.h"

KAIO_BEGIN_DECLS

// Chances are in 65536ths, drawn once for each call or request.
typedef struct kaio_sim_chances {
    uint16_t refuse;             // a request: io_submit refuses it, for one of several reasons
    uint16_t shortage;           // a request: io_submit has no memory for it
    uint16_t delay;              // a request: stays in flight, as with `hold`
    uint16_t shorten;            // a transfer of 2 bytes or more: only half moves
    uint16_t fail;               // a request: its event has one of several errors
    uint16_t duplicate;          // an event: comes twice
    uint16_t interrupt;          // a call of io_getevents: EINTR
    uint16_t miss;               // a call of io_getevents: what completes comes right behind it
    uint16_t getevents_failure;  // a call of io_getevents: another error
    uint16_t cancel_failure;     // a call of io_cancel: EPERM
    uint16_t setup_failure;      // a call of io_setup: one of several errors
} kaio_sim_chances;

// A kaio_sim_script says how the kernel misbehaves; zeroed, it does not. Counts run down by one
// with each call or request that they applied to.
typedef struct kaio_sim_script {
    uint32_t submit_limit;        // io_submit takes at most so many of a call; 0: no limit
    uint32_t submit_ns;           // each call of io_submit takes so long on the clock
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
    bool no_pgetevents;      // ENOSYS, as before 4.18
    uint32_t destroy_meets;  // io_destroy waits until so many calls are in it, 10 s at most
    bool destroy_fails;      // io_destroy answers EINVAL and nothing is known of what is in flight
    bool hold;               // requests stay in flight until io_getevents has to wait for them
    bool late;               // and longer: a wait with a timeout ends without them
    bool reorder;            // they complete in a pseudo-random order, from `seed`
    uint64_t seed;
    uint32_t shorten_count;  // so many transfers of 2 bytes or more move only half
    uint32_t fail_count;     // so many requests end with -fail_error in their event
    int32_t fail_error;
    uint32_t duplicate_count;  // so many events are delivered twice
    bool no_ring;              // the context's memory is no ring, as under gVisor
    kaio_sim_chances chances;  // and what happens now and then, from `seed`
} kaio_sim_script;

// What the simulated kernel was asked.
typedef struct kaio_sim_calls {
    uint64_t setup_count;
    uint64_t destroy_count;
    uint64_t submit_count;
    uint64_t cancel_count;
    uint64_t getevents_count;
    uint64_t pgetevents_count;
    uint32_t destroy_met_count;  // the most calls of io_destroy that were in it at once
    uint64_t request_count;      // that io_submit took ...
    uint64_t ioprio_count;       // ... and of those, the ones with a priority ...
    uint16_t last_ioprio;        // ... the last one's, as the kernel packs it
} kaio_sim_calls;

// kaio_sim_play starts to follow `script` and sets the counts of calls to 0. Requests in flight
// stay.
void kaio_sim_play(const kaio_sim_script *script) KAIO_NOEXCEPT;

// kaio_sim_complete ends up to `count` requests in flight of every context, as a device would, and
// returns how many it ended: of polls those whose file is ready.
uint32_t kaio_sim_complete(uint32_t count) KAIO_NOEXCEPT;

// kaio_sim_call_counts returns what was asked since the last kaio_sim_play.
kaio_sim_calls kaio_sim_call_counts(void) KAIO_NOEXCEPT;

// kaio_sim_set_clock stops the clock that latencies and ages are read from at `now_ns`, in
// nanoseconds. It begins at 1.
void kaio_sim_set_clock(int64_t now_ns) KAIO_NOEXCEPT;

// ---- what it did ----

typedef enum kaio_sim_event {
    KAIO_SIM_SETUP = 1,    // io_setup returns: answer; on 0 `ctx` is the new context
    KAIO_SIM_SUBMIT = 2,   // io_submit begins: `count` iocbs
    KAIO_SIM_TOOK = 3,     // it took a request: `request`
    KAIO_SIM_REFUSED = 4,  // it did not take one: answer, `request`; nothing behind it is looked at
    KAIO_SIM_SUBMITTED = 5,  // and returns: answer
    KAIO_SIM_ENDED = 6,      // a request ended: answer is its result, `count` its events: 0 to 2
    KAIO_SIM_GOT = 7,  // io_getevents returns, asked for `count`: `answer` events, the oldest ones
    KAIO_SIM_CANCELLED = 8,  // io_cancel returns: answer
    KAIO_SIM_DESTROYED = 9   // io_destroy returns: answer
} kaio_sim_event;

// Whether an answer was the script's wish.
typedef enum kaio_sim_cause {
    KAIO_SIM_HONEST = 0,
    KAIO_SIM_SHORTENED = 1,  // asked to move half
    KAIO_SIM_SCRIPTED = 2
} kaio_sim_cause;

// A kaio_sim_request is an iocb by value, as it was submitted.
typedef struct kaio_sim_request {
    uint64_t data;
    uint16_t opcode;
    int16_t priority;
    int32_t rw_flags;
    uint32_t fd;
    uint32_t flags;
    uint32_t event_fd;
    uint64_t address;
    uint64_t size_bytes;
    int64_t offset_bytes;
} kaio_sim_request;

// A kaio_sim_note is one thing that the simulated kernel did.
typedef struct kaio_sim_note {
    kaio_sim_event event;
    kaio_sim_cause cause;
    uint64_t ctx;
    int64_t answer;
    uint64_t count;
    kaio_sim_request request;  // of TOOK, REFUSED, ENDED and CANCELLED; otherwise zeroed
} kaio_sim_note;

// A kaio_sim_watcher is told of each, in the order in which they happen: inside the library's call,
// so that a call of the library's finds what one in a signal handler would.
typedef void kaio_sim_watcher(void *context, const kaio_sim_note *note);

// kaio_sim_watch tells `watcher` from now on, instead of the one before; NULL: nobody.
void kaio_sim_watch(kaio_sim_watcher *watcher, void *context) KAIO_NOEXCEPT;

KAIO_END_DECLS

#endif  // KAIO_SAFE_SIM_SIM_H_
