// wal.h: a group-commit log, on kaio.
//
// Records of bytes, numbered from 1 on, go into a ring of segment files whose space is allocated
// once. Any number of threads append; one thread commits what they appended meanwhile with one
// write and one sync. What wal_append answered OK for is found again after a crash or a power cut.
//
//   wal_open (recovers) -> wal_start -> wal_append, wal_append, ... wal_trim, ... -> wal_close
// Without wal_start there is no thread: the caller does wal_put and wal_commit by itself.
// Threads: wal_append and wal_trim from any; all else from one, and not beside them.

#ifndef KAIO_TOOLS_ENGINES_WAL_WAL_H_
#define KAIO_TOOLS_ENGINES_WAL_WAL_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// What direct I/O is aligned to here, and what a segment's header takes.
#define WAL_BLOCK_BYTES 4096u

typedef struct wal_options {
    const char *folder;      // has the segment files 0.wal, 1.wal, ...
    uint64_t segment_bytes;  // a multiple of WAL_BLOCK_BYTES; 0: 16 MiB. Of new logs
    uint32_t segment_count;  // at least 2; 0: 4. Of new logs
    uint32_t batch_bytes;    // the most that one commit writes; 0: 1 MiB
    bool is_new;             // make the files, which must not exist
    bool is_buffered;        // through the page cache instead of O_DIRECT
    bool acks_early;         // for tests: commits without a sync, which loses data
} wal_options;

// Why a call did not do its work.
typedef enum wal_code {
    WAL_OK = 0,
    WAL_BATCH_FULL = 1,  // commit first (wal_append does)
    WAL_LOG_FULL = 2,    // no segment is free: wal_trim, then commit
    WAL_TOO_LARGE = 3,   // more than wal_record_max bytes
    WAL_FAILED = 4,      // a write or sync failed, now or before: what is not durable may be lost
    WAL_CORRUPT = 5,     // a record is missing that must be there
    WAL_SYSTEM = 6       // no file, no memory, no kernel AIO: the error tells
} wal_code;

// What went wrong, for people.
typedef struct wal_error {
    char text[512];
} wal_error;

// Called for each record, oldest first. The bytes live until it returns.
typedef void wal_record_handler(void *context, uint64_t number, const uint8_t *bytes,
                                uint32_t size_bytes);

// Where a log ends, and why there.
typedef struct wal_recovery {
    uint64_t first_number;  // 0: there is no record
    uint64_t last_number;
    uint32_t segment;     // its number
    uint64_t end_offset;  // in it, of the first byte behind the last record
    const char *why;      // "no record", "size", "number", "checksum" or "end of segment"
} wal_recovery;

typedef struct wal wal;

// wal_open opens a log, or makes one, and calls `on_record`, if there is one, for every record that
// is there and was not trimmed.
//
// Ownership: wal_close ends `*out_log`.
// Errors:    SYSTEM, CORRUPT; `*out_error` says what and where.
wal_code wal_open(const wal_options *options, wal_record_handler *on_record, void *context,
                  wal **out_log, wal_recovery *out_recovery, wal_error *out_error);

// wal_put adds a record to what the next wal_commit makes durable. Not beside wal_start.
wal_code wal_put(wal *log, const void *bytes, uint32_t size_bytes, uint64_t *out_number);

// wal_commit makes all that was put durable, and takes trims into account.
wal_code wal_commit(wal *log);

// wal_start begins the thread that commits.
wal_code wal_start(wal *log);

// wal_append adds a record, and returns when it is durable.
wal_code wal_append(wal *log, const void *bytes, uint32_t size_bytes, uint64_t *out_number);

// wal_trim gives up the records up to `number`: their segments are used again once that is durable.
void wal_trim(wal *log, uint64_t number);

// wal_record_max is the largest size of a record, in bytes.
uint32_t wal_record_max(const wal *log);

uint64_t wal_durable_number(const wal *log);

// wal_failure tells what failed, after FAILED.
const char *wal_failure(const wal *log);

typedef struct wal_counters {
    uint64_t record_count;  // that were put
    uint64_t commit_count;  // and how many commits there were for them
    uint64_t written_bytes;
} wal_counters;

wal_counters wal_count(const wal *log);

// wal_close commits what was put, ends the thread and closes the files. NULL: does nothing.
wal_code wal_close(wal *log);

// wal_abandon ends everything as a crash would leave it, but for what the kernel already has.
void wal_abandon(wal *log);

#endif  // KAIO_TOOLS_ENGINES_WAL_WAL_H_
