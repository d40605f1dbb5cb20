#define _GNU_SOURCE  // O_PATH, syncfs

#include "replace.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "message.h"

enum { RANDOM_CHARACTERS = 6, ATTEMPT_COUNT = 100 };

static const int deadly_signals[] = {SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGTERM};
enum { DEADLY_SIGNAL_COUNT = sizeof deadly_signals / sizeof deadly_signals[0] };

// What a signal handler removes; NULL when there is nothing. Changed only while the deadly signals
// are blocked.
static const struct replacement *at_risk;

// die removes the temporary file, then dies by the signal, so that the parent can see it. The
// default action is back (SA_RESETHAND), and the signal no longer blocked; it does not kill the
// first process of a container, which exits.
static void die(int signal_number) {
    if (at_risk != NULL) {
        (void)unlinkat(at_risk->folder_fd, at_risk->temporary, 0);
    }
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, signal_number);
    (void)sigprocmask(SIG_UNBLOCK, &set, NULL);
    (void)raise(signal_number);
    _exit(128 + signal_number);
}

static sigset_t deadly_set(void) {
    sigset_t set;
    (void)sigemptyset(&set);
    for (size_t i = 0; i < DEADLY_SIGNAL_COUNT; ++i) {
        (void)sigaddset(&set, deadly_signals[i]);
    }
    return set;
}

static void set_at_risk(const struct replacement *replacement) {
    at_risk = replacement;
}

// watch has the deadly signals call die(), but for those that the parent had ignored (nohup).
static void watch(void) {
    struct sigaction action = {.sa_handler = die, .sa_mask = deadly_set()};
    action.sa_flags = (int)SA_RESETHAND;
    for (size_t i = 0; i < DEADLY_SIGNAL_COUNT; ++i) {
        struct sigaction old;
        if (sigaction(deadly_signals[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL) {
            (void)sigaction(deadly_signals[i], &action, NULL);
        }
    }
}

static void block_deadly(sigset_t *out_old) {
    sigset_t set = deadly_set();
    (void)sigprocmask(SIG_BLOCK, &set, out_old);
}

static void restore(const sigset_t *old) {
    (void)sigprocmask(SIG_SETMASK, old, NULL);
}

// open_folder opens the folder that `target` is in. Returns the descriptor, or -errno.
static int open_folder(const char *target, bool *out_is_readable) {
    const char *slash = strrchr(target, '/');
    size_t length = slash == NULL ? 0 : (size_t)(slash - target) + 1;
    char *folder = slash == NULL ? strdup(".") : strndup(target, length);
    if (folder == NULL) {
        return -ENOMEM;
    }
    *out_is_readable = true;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == EACCES) {
        *out_is_readable = false;
        fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    }
    int error = errno;
    free(folder);
    return fd < 0 ? -error : fd;
}

// invent_name writes a name that nobody else has, most likely, next to that of the target.
static bool invent_name(struct replacement *replacement) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
    unsigned char random[RANDOM_CHARACTERS];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) {
        return false;
    }
    char suffix[RANDOM_CHARACTERS + 1] = "";
    for (size_t i = 0; i < RANDOM_CHARACTERS; ++i) {
        suffix[i] = letters[random[i] % 32];
    }
    int length = snprintf(replacement->temporary, sizeof replacement->temporary, ".%s.kaio-%s",
                          replacement->name, suffix);
    if (length > NAME_MAX) {
        (void)snprintf(replacement->temporary, sizeof replacement->temporary, ".kaio-%s", suffix);
    }
    return true;
}

// create makes the temporary file. Returns its descriptor, or -errno.
static int create(struct replacement *replacement) {
    for (int attempt = 0; attempt < ATTEMPT_COUNT; ++attempt) {
        if (!invent_name(replacement)) {
            return -errno;
        }
        int fd = openat(replacement->folder_fd, replacement->temporary,
                        O_RDWR | O_CREAT | O_EXCL | O_NOCTTY | O_CLOEXEC, S_IRUSR | S_IWUSR);
        if (fd >= 0 || errno != EEXIST) {
            return fd >= 0 ? fd : -errno;
        }
    }
    return -EEXIST;
}

// create_at_risk is create, without a moment in which a signal would leave the file behind.
static int create_at_risk(struct replacement *replacement) {
    sigset_t old;
    block_deadly(&old);
    int fd = create(replacement);
    if (fd >= 0) {
        set_at_risk(replacement);
        watch();
    }
    restore(&old);
    return fd;
}

bool replacement_begin(const char *target, struct replacement *out_replacement, int *out_fd) {
    const char *slash = strrchr(target, '/');
    struct replacement *replacement = out_replacement;
    *replacement = (struct replacement){.target = target};
    replacement->name = slash == NULL ? target : slash + 1;
    replacement->folder_fd = open_folder(target, &replacement->is_folder_readable);
    if (replacement->folder_fd < 0) {
        return message_os_error(target, "open its folder", -replacement->folder_fd);
    }
    int fd = create_at_risk(replacement);
    if (fd < 0) {
        (void)close(replacement->folder_fd);
        return message_os_error(target, "create a file in its folder", -fd);
    }
    *out_fd = fd;
    return true;
}

// rename_at_risk renames, or removes what could not be renamed. Returns 0 or an errno value.
static int rename_at_risk(struct replacement *replacement) {
    sigset_t old;
    block_deadly(&old);
    int error = 0;
    if (renameat(replacement->folder_fd, replacement->temporary, replacement->folder_fd,
                 replacement->name) != 0) {
        error = errno;
        (void)unlinkat(replacement->folder_fd, replacement->temporary, 0);
    }
    set_at_risk(NULL);
    restore(&old);
    return error;
}

// sync_folder makes the new name durable. A folder that may not be read cannot be synced alone.
static int sync_folder(const struct replacement *replacement, int fd) {
    bool is_synced =
        (replacement->is_folder_readable ? fsync(replacement->folder_fd) : syncfs(fd)) == 0;
    return is_synced ? 0 : errno;
}

bool replacement_commit(struct replacement *replacement, int fd) {
    int error = rename_at_risk(replacement);
    if (error != 0) {
        (void)close(replacement->folder_fd);
        return message_os_error(replacement->target, "rename", error);
    }
    error = sync_folder(replacement, fd);
    (void)close(replacement->folder_fd);
    if (error != 0) {
        return message_os_error(replacement->target, "it is complete, but sync of its folder",
                                error);
    }
    return true;
}

void replacement_abandon(struct replacement *replacement) {
    sigset_t old;
    block_deadly(&old);
    (void)unlinkat(replacement->folder_fd, replacement->temporary, 0);
    set_at_risk(NULL);
    restore(&old);
    (void)close(replacement->folder_fd);
}
