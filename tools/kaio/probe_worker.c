#define _GNU_SOURCE  // MAP_ANONYMOUS, O_PATH

#include "probe_worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "message.h"
#include "progress.h"

// The parent looks this often, and allows a child that was killed that long to go.
enum { LOOK_MS = 2, LOOKS_PER_S = 1000 / LOOK_MS, FAREWELL_LOOKS = LOOKS_PER_S / 2 };

// What a child tells its parent.
struct board {
    uint32_t tick_count;
    bool is_done;
    bool is_shielded;
    bool is_given_up;  // what its parent tells the child
    pid_t parent;
};

static struct board *board;

void *worker_share(size_t size_bytes) {
    void *memory =
        mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        (void)message_error("memory for the children: %s", strerror(errno));
        return NULL;
    }
    return memory;
}

void worker_tick(void) {
    (void)__atomic_fetch_add(&board->tick_count, 1, __ATOMIC_RELEASE);
}

// Of the shield and the giving up each is told before the other is asked for: one of the two
// processes sees that of the other, and no kill comes between.
void worker_shield(void) {
    (void)prctl(PR_SET_PDEATHSIG, 0);
    __atomic_store_n(&board->is_shielded, true, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&board->is_given_up, __ATOMIC_SEQ_CST)) {
        _exit(1);
    }
}

void worker_unshield(void) {
    __atomic_store_n(&board->is_shielded, false, __ATOMIC_SEQ_CST);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (__atomic_load_n(&board->is_given_up, __ATOMIC_SEQ_CST) || getppid() != board->parent) {
        _exit(1);
    }
}

// leave_file leaves of `fd` only what can name the file, so that PATH may be /dev/stdin: it can
// neither be read nor written, and who waits for the end of a pipe does not wait for it.
static void leave_file(int fd) {
    char path[sizeof "/proc/self/fd/" + 3 * sizeof fd];
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int name_fd = open(path, O_PATH | O_CLOEXEC);
    if (name_fd < 0) {
        name_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    }
    if (name_fd < 0) {
        (void)close(fd);
    } else if (name_fd != fd) {
        (void)dup2(name_fd, fd);
        (void)close(name_fd);
    }
}

__attribute__((noreturn)) static void be_child(void (*job)(void *), void *context) {
    struct rlimit none = {0};
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != board->parent) {
        _exit(1);
    }
    (void)setrlimit(RLIMIT_CORE, &none);
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
        leave_file(fd);
    }
    job(context);
    __atomic_store_n(&board->is_done, true, __ATOMIC_RELEASE);
    _exit(0);
}

static void look_later(void) {
    struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};
    (void)nanosleep(&pause, NULL);
    progress_draw();
}

// has_gone takes the child's leave, if it has gone.
static bool has_gone(pid_t child, int *out_status) {
    return waitpid(child, out_status, WNOHANG) == child;
}

// end_child kills the child. It may sleep in the kernel, and is then left to itself; so is one that
// is shielded, which ends as soon as it is not.
static void end_child(pid_t child) {
    int status;
    __atomic_store_n(&board->is_given_up, true, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&board->is_shielded, __ATOMIC_SEQ_CST)) {
        return;
    }
    (void)kill(child, SIGKILL);
    for (int look = 0; look < FAREWELL_LOOKS && !has_gone(child, &status); ++look) {
        look_later();
    }
}

// Looks are counted, not seconds: both processes may be stopped meanwhile.
static struct worker_end watch(pid_t child, uint32_t timeout_s) {
    uint32_t tick_count = 0;
    uint64_t looks_left = (uint64_t)timeout_s * LOOKS_PER_S;
    int status = 0;
    for (;;) {
        bool is_gone = has_gone(child, &status);
        if (__atomic_load_n(&board->is_done, __ATOMIC_ACQUIRE)) {
            if (!is_gone) {
                end_child(child);
            }
            return (struct worker_end){.fate = WORKER_DONE};
        }
        if (is_gone) {
            return (struct worker_end){.fate = WORKER_KILLED,
                                       .signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0};
        }
        uint32_t now_count = __atomic_load_n(&board->tick_count, __ATOMIC_ACQUIRE);
        if (now_count != tick_count) {
            tick_count = now_count;
            looks_left = (uint64_t)timeout_s * LOOKS_PER_S;
        } else if (looks_left-- == 0) {
            end_child(child);
            return (struct worker_end){.fate = WORKER_LATE};
        }
        look_later();
    }
}

bool worker_run(void (*job)(void *context), void *context, uint32_t timeout_s,
                struct worker_end *out_end) {
    // A child that did not go may still tick: each has a board of its own.
    board = worker_share(sizeof *board);
    if (board == NULL) {
        return false;
    }
    (void)signal(SIGCHLD, SIG_DFL);  // an ignored one would take the child's end with it
    board->parent = getpid();
    pid_t child = fork();
    if (child < 0) {
        return message_error("a child for the probes: %s", strerror(errno));
    }
    if (child == 0) {
        be_child(job, context);
    }
    *out_end = watch(child, timeout_s);
    return true;
}
