// tools/kaio/probe_target.h: PATH, and the files that are probed for it.
//
// Nothing that is there is written to, and nothing is opened that opening could change: files that
// are made have no name, and a pipe or socket is replaced by one of our own. What takes the name of
// PATH meanwhile is not touched either. All of it may sleep, and belongs into a child; the files
// are closed by the child's end.

#ifndef KAIO_TOOLS_KAIO_PROBE_TARGET_H_
#define KAIO_TOOLS_KAIO_PROBE_TARGET_H_

#include "probe_report.h"

enum {
    // Bytes of a file that is made, of one write to it, and of a read or write elsewhere.
    TARGET_FILE_BYTES = 128 * 1024,
    TARGET_BLOCK_BYTES = 64 * 1024,
    TARGET_PIPE_BYTES = 512,
};

// The files of a target: -1 where `places` says why there is none.
struct target_files {
    int fds[PROBE_OPERATION_COUNT][PROBE_MODE_COUNT];
    struct place places[PROBE_OPERATION_COUNT][PROBE_MODE_COUNT];
    int fill_error;
};

// target_examine finds out what `target->path` is, without opening it: see stat_error and kind.
void target_examine(struct target *target);

// target_open opens or makes all files of `target`, and says there what could not be removed.
void target_open(struct target *target, struct target_files *out_files);

// target_survey opens the files once, and keeps what there is to tell about them: `places` are
// known from is_surveyed on.
void target_survey(struct target *target);

// target_kind_name is what PATH is, in a word or two.
const char *target_kind_name(enum target_kind kind);

// target_method says what was probed in its place.
const char *target_method(enum target_kind kind);

// target_file_system_name is the name of the file system, or NULL where it is not known.
const char *target_file_system_name(uint64_t magic);

#endif  // KAIO_TOOLS_KAIO_PROBE_TARGET_H_
