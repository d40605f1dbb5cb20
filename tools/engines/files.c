#define _GNU_SOURCE  // fallocate

#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void engine_say(engine_text out_text, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(out_text.text, out_text.size_bytes, format, arguments);
    va_end(arguments);
}

// end closes `fd`, if it is one, and says what went wrong.
static bool end(int fd, bool is_done, const char *path, engine_text out_why) {
    if (!is_done) {
        engine_say(out_why, "%s: %s", path, strerror(errno));
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return is_done;
}

bool engine_make_file(const char *path, uint64_t size_bytes, engine_text out_why) {
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    bool is_made = fd >= 0 && fallocate(fd, 0, 0, (off_t)size_bytes) == 0 && fsync(fd) == 0;
    return end(fd, is_made, path, out_why);
}

bool engine_sync_folder(const char *folder, engine_text out_why) {
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return end(fd, fd >= 0 && fsync(fd) == 0, folder, out_why);
}
