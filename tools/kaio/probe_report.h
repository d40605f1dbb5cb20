// tools/kaio/probe_report.h: all that `kaio probe` finds out, before it is put into words.
//
// There is one report. It is in memory that the children which do the probes share with their
// parent, and refers to nothing but static text and the command line.

#ifndef KAIO_TOOLS_KAIO_PROBE_REPORT_H_
#define KAIO_TOOLS_KAIO_PROBE_REPORT_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// ---- what kernel and process say of themselves ----

// A number that the system may not tell.
struct told {
    bool is_known;
    uint64_t value;
};

struct system_facts {
    char release[65];
    char machine[65];
    struct told aio_nr;
    struct told aio_max_nr;
    struct told io_uring_disabled;
    struct told seccomp_mode;  // 0 off, 1 strict, 2 filter
    struct told capabilities;  // effective ones, bit by bit
    struct told fsize_bytes;   // limits; unknown is unlimited
    struct told nofile_count;
    struct told memlock_bytes;
};

// The header of the ring of io_setup(1), where it could be read.
struct ring_facts {
    uint32_t id;
    uint32_t nr;
    uint32_t head;
    uint32_t tail;
    uint32_t magic;
    uint32_t compat_features;
    uint32_t incompat_features;
    uint32_t header_bytes;
};

// ---- PATH ----

enum target_kind {
    TARGET_FOLDER = 0,         // a file without a name is made in it
    TARGET_FILE = 1,           // read; writes go to a file without a name in its folder
    TARGET_BLOCK_DEVICE = 2,   // read, never written to
    TARGET_PIPE = 3,           // not opened: a pipe of our own answers for it
    TARGET_SOCKET = 4,         // not opened: a pair of our own answers for it
    TARGET_MEMORY_DEVICE = 5,  // /dev/null and its kin
    TARGET_UNSAFE = 6,         // to open or read it may do anything
};

// Why something was not tried.
enum why {
    WHY_NONE = 0,
    WHY_NO_FILE = 1,        // no file could be made or opened: os_error
    WHY_NO_DIRECT = 2,      // O_DIRECT was refused: os_error
    WHY_NEVER_WRITTEN = 3,  // a device is not written to
    WHY_NO_CALL = 4,        // the calls that it needs do not work
    WHY_STUCK = 5,          // a probe before it had no answer
    WHY_NO_DISK = 6,        // asked of files alone
    WHY_NOT_FILLED = 7,     // the file that was made could not be filled: os_error
    WHY_REPLACED = 8,       // PATH is no longer what it was when it was looked at
    WHY_ELSEWHERE = 9,      // what is made in the file's folder is on another file system
    WHY_NOT_BEGUN = 10,     // there was no context or no memory for it: os_error
    WHY_NOT_OPENED = 11,    // the child that opens the files was killed
};

enum probe_operation { PROBE_READ = 0, PROBE_WRITE = 1 };
enum probe_mode { PROBE_BUFFERED = 0, PROBE_DIRECT = 1 };
enum { PROBE_OPERATION_COUNT = 2, PROBE_MODE_COUNT = 2 };

// Whether there is a file for an operation in a mode.
struct place {
    enum why why;
    int os_error;
};

// What statx tells; a part of which nothing is said has is_... false.
struct alignment {
    bool is_asked;
    int os_error;  // of statx
    bool is_direct_known;
    uint32_t memory_bytes;
    uint32_t offset_bytes;
    bool is_read_known;
    uint32_t read_offset_bytes;
    bool is_atomic_known;
    uint32_t atomic_min_bytes;
    uint32_t atomic_max_bytes;
    uint32_t atomic_segment_count;
};

// What tells a file from another that takes its name, by fstat.
struct identity {
    uint64_t device;
    uint64_t inode;
    uint64_t special_device;
    uint32_t type;
};

enum {
    TARGET_PATH_BYTES = 4096,  // PATH_MAX, which not every source has
    LEFTOVER_BYTES = sizeof ".kaio-XXXXXX",
};

struct target {
    const char *path;  // as the user wrote it
    enum target_kind kind;
    const char *unsafe_text;  // what TARGET_UNSAFE is
    const char *step;         // the call that the child is about to make
    bool is_surveyed;         // `places` say what there is
    int stat_error;
    struct identity identity;
    uint64_t file_system_magic;
    uint64_t file_system_id;         // 0 where it has none
    bool is_writable_device;         // of TARGET_MEMORY_DEVICE
    char folder[TARGET_PATH_BYTES];  // where files are made
    int fill_error;                  // of the files that were made
    char leftover[LEFTOVER_BYTES];   // a file in the folder that could not be removed
    int leftover_error;
    struct place places[PROBE_OPERATION_COUNT][PROBE_MODE_COUNT];
    struct alignment alignment;
};

// ---- probes and their answers ----

enum answer_result {
    ANSWER_NOT_TRIED = 0,  // why
    ANSWER_OK = 1,
    ANSWER_REFUSED = 2,  // by the call, or by io_submit: os_error
    ANSWER_FAILED = 3,   // the event says so: os_error; or there was no answer: is_late
    ANSWER_KILLED = 4,   // signal
};

enum answer_channel {
    CHANNEL_NONE = 0,
    CHANNEL_CALL = 1,
    CHANNEL_SUBMIT = 2,
    CHANNEL_EVENT = 3,
};

struct answer {
    enum answer_result result;
    enum answer_channel channel;
    enum why why;
    int os_error;
    int signal;
    bool is_late;
    int64_t value;         // of the call or the event
    uint64_t short_of;     // how many bytes `value` should have been, where it is less
    uint32_t again_count;  // how often it was -EAGAIN before
    // Of PROBE_GROUP_DIRECT_WRITE.
    uint32_t sample_count;
    uint32_t inside_count;  // the event was there when io_submit returned
    int64_t median_ns;      // in io_submit
    int64_t longest_ns;
};

enum probe_group {
    PROBE_GROUP_CALL = 0,
    PROBE_GROUP_RING = 1,
    PROBE_GROUP_OPCODE = 2,
    PROBE_GROUP_REQUEST_FLAG = 3,
    PROBE_GROUP_PRIORITY = 4,
    PROBE_GROUP_RW_FLAG = 5,
    PROBE_GROUP_DIRECT_WRITE = 6,
};

struct probe {
    enum probe_group group;
    const char *name;
    uint32_t value;  // the kernel's number for it
    bool is_never_valid;
    enum probe_operation operation;  // of PROBE_GROUP_RW_FLAG
    enum probe_mode mode;
    struct answer answer;
};

enum { PROBE_MAX = 80 };

struct report {
    struct system_facts system;
    struct ring_facts ring;
    struct target target;
    uint32_t timeout_s;
    size_t probe_count;
    struct probe probes[PROBE_MAX];
    // Where the child is that does the probes, for when it is seen no more.
    bool is_begun;
    size_t current;
    enum answer_channel stage;
};

// report_fill lists all probes, none of them tried yet.
void report_fill(struct report *report);

// report_next gives the next probe of `group` from `index` on, or probe_count.
size_t report_next(const struct report *report, enum probe_group group, size_t index);

// report_find gives the answer of the probe `name` of `group`, which there must be.
const struct answer *report_find(const struct report *report, enum probe_group group,
                                 const char *name);

#endif  // KAIO_TOOLS_KAIO_PROBE_REPORT_H_
