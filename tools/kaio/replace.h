// tools/kaio/replace.h: a file that appears under its name only when it is whole.
//
// It is made under a temporary name in the folder of the target, and takes the place of the target
// by rename(2). A process has one replacement at a time: the temporary file is also removed when
// the process dies by SIGHUP, SIGINT, SIGQUIT, SIGPIPE or SIGTERM.

#ifndef KAIO_TOOLS_KAIO_REPLACE_H_
#define KAIO_TOOLS_KAIO_REPLACE_H_

#include <limits.h>
#include <stdbool.h>

struct replacement {
    const char *target;  // as the user wrote it
    const char *name;    // its last part
    int folder_fd;
    bool is_folder_readable;  // and can be synced
    char temporary[NAME_MAX + 1];
};

// replacement_begin makes the empty temporary file, for its owner alone, and opens it for reading
// and writing. `target` stays the caller's and must last.
//
// Ownership: `*out_fd` is the caller's; `out_replacement` is ended by commit or abandon, and stays
//            where it is until then.
bool replacement_begin(const char *target, struct replacement *out_replacement, int *out_fd);

// replacement_commit puts the file, which is open as `fd` and durable, into the place of the target
// and makes that durable too. On false, which was said, there is nothing under the temporary name;
// under the target's name there is the old file or the whole new one. Either way the replacement is
// over.
bool replacement_commit(struct replacement *replacement, int fd);

// replacement_abandon removes the temporary file.
void replacement_abandon(struct replacement *replacement);

#endif  // KAIO_TOOLS_KAIO_REPLACE_H_
