// journal.h: a small engine of a user's, as an example of what to test with //safe:sim.
//
// A file of records, each at its number times JOURNAL_RECORD_BYTES. What is acknowledged is
// durable. docs/SIMULATION.md walks through its test. Two mistakes can be asked for, to see them
// found.
//
//   journal_open -> journal_append, ... -> journal_close; journal_recover reads what is there
// Threads: a journal is its thread's.

#ifndef KAIO_TESTS_SIMULATION_JOURNAL_H_
#define KAIO_TESTS_SIMULATION_JOURNAL_H_

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { JOURNAL_RECORD_BYTES = 1024, JOURNAL_BATCH_MAX = 4 };

typedef enum journal_mistake {
    JOURNAL_CORRECT = 0,
    JOURNAL_LOSES_SHORT_WRITES = 1,  // takes a write that moved some bytes for one that moved all
    JOURNAL_ACKNOWLEDGES_EARLY = 2   // before the sync is done
} journal_mistake;

typedef struct journal journal;

// journal_open begins at the record `first` of a file that has the room already. NULL: it failed.
journal *journal_open(const char *path, uint64_t first, journal_mistake mistake);

// journal_append writes the next `count` records, up to JOURNAL_BATCH_MAX, and syncs. False: it
// failed, now or before, and they are not acknowledged.
bool journal_append(journal *log, uint32_t count);

// journal_acknowledged returns how many records are promised to be there.
uint64_t journal_acknowledged(const journal *log);

// journal_close ends it. NULL: does nothing.
void journal_close(journal *log);

// journal_recover returns how many records from the first on are whole.
uint64_t journal_recover(const char *path);

#ifdef __cplusplus
}
#endif

#endif  // KAIO_TESTS_SIMULATION_JOURNAL_H_
