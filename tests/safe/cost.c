// cost: operations through //safe, or the same through libaio, for callgrind to count the
// instructions and strace the system calls.
//
// Usage: cost WAY JOB BATCH ROUNDS
//
// WAY: start (start, wait, take), run (the run loop, whose handlers start the next; read, end and
// write only), eventfd (the same with one, and take until EMPTY), or libaio
// (io_prep_*, io_submit, io_getevents). JOB: read (of /dev/zero), end (a read of /dev/null, which
// is at its end), write (to /dev/null), or poll (of a timer, ready after a millisecond; not
// libaio). BATCH operations are sent together, ROUNDS times. tools/cost.py knows the functions'
// names.

#define _GNU_SOURCE  // libaio.h needs sigset_t

#include <fcntl.h>
#include <libaio.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>

#include "kaio/safe/kaio.h"

enum { BATCH_MAX = 64, SIZE_BYTES = 512 };

struct job {
    const char *name;
    const char *path;  // NULL: a timer
    int flags;
};

static const struct job jobs[] = {
    {"read", "/dev/zero", O_RDONLY},
    {"end", "/dev/null", O_RDONLY},
    {"write", "/dev/null", O_WRONLY},
    {"poll", NULL, 0},
};

static volatile uint64_t sink;  // where what was reaped goes: it must not be optimised away

static int fail(const char *what) {
    (void)fprintf(stderr, "cost: %s\n", what);
    return EXIT_FAILURE;
}

// ---- through //safe ----

struct bench {
    kaio_queue *queue;
    kaio_file *file;
    kaio_buffer *buffers[BATCH_MAX];
    bool takes_until_empty;
};

static bool open_file(const struct job *job, kaio_file **out_file) {
    kaio_status status = job->path == NULL
                             ? kaio_file_adopt(timerfd_create(CLOCK_MONOTONIC, 0), out_file)
                             : kaio_file_open(job->path, job->flags, 0, out_file);
    return kaio_status_is_ok(status);
}

static bool set_up(struct bench *bench, const struct job *job, long batch) {
    kaio_queue_options options = {.depth = BATCH_MAX, .eventfd = bench->takes_until_empty};
    bool is_good =
        kaio_status_is_ok(kaio_queue_open(&options, &bench->queue)) && open_file(job, &bench->file);
    for (long i = 0; job->path != NULL && i < batch; ++i) {
        is_good =
            is_good && kaio_status_is_ok(kaio_buffer_new(SIZE_BYTES, 512, &bench->buffers[i]));
    }
    return is_good;
}

static void tear_down(struct bench *bench) {
    for (int i = 0; i < BATCH_MAX; ++i) {
        kaio_buffer_drop(&bench->buffers[i]);
    }
    kaio_file_drop(&bench->file);
    kaio_queue_drop(&bench->queue);
}

__attribute__((noinline)) static bool round_of_reads(struct bench *bench, long batch) {
    const kaio_range range = {.size_bytes = SIZE_BYTES};
    kaio_ticket ticket;
    for (long i = 0; i < batch; ++i) {
        if (!kaio_status_is_ok(kaio_read_start(bench->queue, bench->file, range, kaio_rw_none(),
                                               (uint64_t)i, &bench->buffers[i], &ticket))) {
            return false;
        }
    }
    return true;
}

__attribute__((noinline)) static bool round_of_writes(struct bench *bench, long batch) {
    const kaio_range range = {.size_bytes = SIZE_BYTES};
    kaio_ticket ticket;
    for (long i = 0; i < batch; ++i) {
        if (!kaio_status_is_ok(kaio_write_start(bench->queue, bench->file, range, kaio_rw_none(),
                                                (uint64_t)i, &bench->buffers[i], &ticket))) {
            return false;
        }
    }
    return true;
}

__attribute__((noinline)) static bool round_of_polls(struct bench *bench, long batch) {
    const struct itimerspec soon = {.it_value = {.tv_nsec = 1000000}};
    int fd;
    if (!kaio_status_is_ok(kaio_file_as_fd(bench->file, &fd)) ||
        timerfd_settime(fd, 0, &soon, NULL) != 0) {
        return false;
    }
    kaio_ticket ticket;
    for (long i = 0; i < batch; ++i) {
        if (!kaio_status_is_ok(kaio_poll_start(bench->queue, bench->file, kaio_poll_readable(),
                                               (uint64_t)i, &ticket))) {
            return false;
        }
    }
    return true;
}

__attribute__((noinline)) static bool take_round(struct bench *bench, long batch) {
    uint32_t ready_count;
    if (!kaio_status_is_ok(
            kaio_queue_wait(bench->queue, (uint32_t)batch, kaio_deadline_never(), &ready_count))) {
        return false;
    }
    kaio_completion completion;
    for (long i = 0; i < batch; ++i) {
        if (!kaio_status_is_ok(kaio_queue_take(bench->queue, &completion))) {
            return false;
        }
        sink = completion.user + completion.moved_bytes;
        bench->buffers[i] = completion.buffer;
    }
    return !bench->takes_until_empty ||
           kaio_queue_take(bench->queue, &completion).code == KAIO_EMPTY;
}

static bool start_round(struct bench *bench, const struct job *job, long batch) {
    if (job->path == NULL) {
        return round_of_polls(bench, batch);
    }
    return job->flags == O_RDONLY ? round_of_reads(bench, batch) : round_of_writes(bench, batch);
}

static int start(const struct job *job, long batch, long rounds, bool has_eventfd) {
    struct bench bench = {.takes_until_empty = has_eventfd};
    bool is_good = set_up(&bench, job, batch);
    for (long round = 0; is_good && round < rounds; ++round) {
        is_good = start_round(&bench, job, batch) && take_round(&bench, batch);
    }
    tear_down(&bench);
    return is_good ? EXIT_SUCCESS : fail("the safe layer refused something");
}

// ---- through the run loop ----

// A loop starts operations until none is left.
struct loop {
    struct bench *bench;
    long left_count;
    bool is_good;
};

__attribute__((noinline)) static void read_again(void *context, uint64_t user,
                                                 kaio_read_result *result) {
    struct loop *loop = context;
    kaio_ticket ticket;
    sink = user + result->moved_bytes;
    if (loop->left_count == 0) {
        return;
    }
    --loop->left_count;
    loop->is_good &= kaio_status_is_ok(kaio_read_start(
        loop->bench->queue, loop->bench->file, (kaio_range){.size_bytes = SIZE_BYTES},
        kaio_rw_none(), user, &result->buffer, &ticket));
}

__attribute__((noinline)) static void write_again(void *context, uint64_t user,
                                                  kaio_write_result *result) {
    struct loop *loop = context;
    kaio_ticket ticket;
    sink = user + result->moved_bytes;
    if (loop->left_count == 0) {
        return;
    }
    --loop->left_count;
    loop->is_good &= kaio_status_is_ok(kaio_write_start(
        loop->bench->queue, loop->bench->file, (kaio_range){.size_bytes = SIZE_BYTES},
        kaio_rw_none(), user, &result->buffer, &ticket));
}

static int run(const struct job *job, long batch, long rounds) {
    const kaio_handlers handlers = {.on_read = read_again, .on_write = write_again};
    struct bench bench = {.takes_until_empty = false};
    struct loop loop = {.bench = &bench, .left_count = batch * (rounds - 1), .is_good = rounds > 0};
    kaio_run_report report;
    bool is_good = job->path != NULL && set_up(&bench, job, batch) &&
                   start_round(&bench, job, batch) &&
                   kaio_status_is_ok(kaio_queue_run(bench.queue, &handlers, &loop,
                                                    kaio_deadline_never(), &report)) &&
                   loop.is_good && report.ended == KAIO_RUN_IDLE;
    tear_down(&bench);
    return is_good ? EXIT_SUCCESS : fail("the safe layer refused something");
}

// ---- through libaio ----

__attribute__((noinline)) static bool libaio_round(io_context_t ctx, int fd, bool is_read,
                                                   long batch) {
    static char bytes[SIZE_BYTES];
    static struct iocb iocbs[BATCH_MAX];
    static struct iocb *pointers[BATCH_MAX];
    static struct io_event events[BATCH_MAX];
    for (long i = 0; i < batch; ++i) {
        if (is_read) {
            io_prep_pread(&iocbs[i], fd, bytes, sizeof bytes, 0);
        } else {
            io_prep_pwrite(&iocbs[i], fd, bytes, sizeof bytes, 0);
        }
        iocbs[i].data = &iocbs[i];
        pointers[i] = &iocbs[i];
    }
    if (io_submit(ctx, batch, pointers) != batch ||
        io_getevents(ctx, batch, batch, events, NULL) != batch) {
        return false;
    }
    for (long i = 0; i < batch; ++i) {
        sink = (uintptr_t)events[i].data + events[i].res;
    }
    return true;
}

static int libaio(const struct job *job, long batch, long rounds) {
    io_context_t ctx = NULL;
    int fd = job->path == NULL ? -1 : open(job->path, job->flags);
    bool is_good = fd >= 0 && io_setup(BATCH_MAX, &ctx) == 0;
    for (long round = 0; is_good && round < rounds; ++round) {
        is_good = libaio_round(ctx, fd, job->flags == O_RDONLY, batch);
    }
    return is_good && io_destroy(ctx) == 0 ? EXIT_SUCCESS : fail("libaio refused something");
}

static int usage(void) {
    return fail("usage: cost start|run|eventfd|libaio read|end|write|poll BATCH ROUNDS");
}

static const struct job *find_job(const char *name) {
    for (size_t i = 0; i < sizeof jobs / sizeof jobs[0]; ++i) {
        if (strcmp(jobs[i].name, name) == 0) {
            return &jobs[i];
        }
    }
    return NULL;
}

int main(int argc, char **argv) {
    const struct job *job = argc == 5 ? find_job(argv[2]) : NULL;
    if (job == NULL) {
        return usage();
    }
    long batch = strtol(argv[3], NULL, 10);
    long rounds = strtol(argv[4], NULL, 10);
    if (batch < 1 || batch > BATCH_MAX || rounds < 0) {
        return usage();
    }
    switch (argv[1][0]) {
        case 's':
            return start(job, batch, rounds, false);
        case 'r':
            return run(job, batch, rounds);
        case 'e':
            return start(job, batch, rounds, true);
        case 'l':
            return libaio(job, batch, rounds);
        default:
            return usage();
    }
}
