// A program for libaio, whichever header and library it gets: what it prints is the same on all.
#define _GNU_SOURCE  // dlvsym

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <libaio.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static int failed;

static void expect(const char *what, long found, long wanted) {
    printf("%s: %ld\n", what, found);
    if (found != wanted) {
        printf("  wanted %ld\n", wanted);
        failed = 1;
    }
}

static void note(io_context_t ctx, struct iocb *iocb, long res, long res2) {
    (void)ctx;
    printf("callback: %d %ld %ld\n", iocb->aio_lio_opcode, res, res2);
}

// run submits one request and waits for its event.
static long run(io_context_t ctx, struct iocb *iocb) {
    struct io_event event;
    iocb->data = &failed;
    if (io_submit(ctx, 1, &iocb) != 1 || io_getevents(ctx, 1, 1, &event, NULL) != 1 ||
        event.obj != iocb || event.data != &failed || event.res2 != 0) {
        return -999;
    }
    return (long)event.res;
}

static void move(io_context_t ctx, int fd) {
    char text[] = "abcdef";
    char room[8];
    struct iovec parts[2] = {{text, 2}, {text + 4, 2}};
    struct iovec rooms[2] = {{room, 3}, {room + 3, 5}};
    struct iocb iocb;
    io_prep_pwrite(&iocb, fd, text, 6, 0);
    expect("pwrite", run(ctx, &iocb), 6);
    io_prep_pwritev(&iocb, fd, parts, 2, 6);
    expect("pwritev", run(ctx, &iocb), 4);
    io_prep_pwritev2(&iocb, fd, parts, 2, 10, 2);
    expect("pwritev2", run(ctx, &iocb), 4);
    io_prep_fsync(&iocb, fd);
    expect("fsync", run(ctx, &iocb), 0);
    io_prep_fdsync(&iocb, fd);
    expect("fdsync", run(ctx, &iocb), 0);
    io_prep_pread(&iocb, fd, room, 8, 2);
    expect("pread", run(ctx, &iocb), 8);
    printf("bytes: %.8s\n", room);
    io_prep_preadv(&iocb, fd, rooms, 2, 1);
    expect("preadv", run(ctx, &iocb), 8);
    io_prep_preadv2(&iocb, fd, rooms, 2, 9, 0);
    expect("preadv2", run(ctx, &iocb), 5);
    printf("bytes: %.5s\n", room);
}

static void wait_some(io_context_t ctx, const int *fds) {
    struct timespec no_wait = {0, 0};
    struct timespec short_wait = {0, 1000000};
    struct io_event events[4];
    struct iocb iocb;
    struct iocb *pointer = &iocb;
    sigset_t mask;
    sigemptyset(&mask);
    expect("empty", io_getevents(ctx, 0, 4, events, &no_wait), 0);
    expect("timeout", io_getevents(ctx, 1, 4, events, &short_wait), 0);
    expect("masked", io_pgetevents(ctx, 1, 4, events, &short_wait, &mask), 0);
    expect("no mask", io_pgetevents(ctx, 1, 4, events, &short_wait, NULL), 0);
    expect("min above nr", io_getevents(ctx, 5, 4, events, NULL), -EINVAL);
    io_prep_poll(&iocb, fds[0], POLLIN);
    expect("poll", io_submit(ctx, 1, &pointer), 1);
    expect("cancel", io_cancel(ctx, &iocb, events), -EINPROGRESS);
    expect("cancelled", io_getevents(ctx, 1, 1, events, NULL), 1);
    expect("again", io_cancel(ctx, &iocb, events), -EINVAL);
    expect("poll", io_poll(ctx, &iocb, note, fds[1], POLLOUT), 1);
    while (io_getevents(ctx, 0, 0, NULL, NULL) != 0) {
    }
    (void)poll(NULL, 0, 10);
    expect("run", io_queue_run(ctx), 0);
}

// old finds a call by the version that only old programs ask for.
static void old(const char *name, const char *version, void *out_call) {
    void *call = dlvsym(RTLD_DEFAULT, name, version);
    if (call == NULL) {
        printf("no %s@%s\n", name, version);
        exit(3);
    }
    memcpy(out_call, &call, sizeof call);
}

// The calls as they were in 2001: io_getevents wants one event at least, io_cancel gives none back.
static void call_old(io_context_t ctx, const int *fds) {
    int (*getevents)(io_context_t, long, struct io_event *, const struct timespec *);
    int (*cancel)(io_context_t, struct iocb *);
    int (*wait_old)(io_context_t, const struct timespec *);
    int (*wait_newer)(io_context_t, struct timespec *);
    old("io_getevents", "LIBAIO_0.1", &getevents);
    old("io_cancel", "LIBAIO_0.1", &cancel);
    old("io_queue_wait", "LIBAIO_0.1", &wait_old);
    old("io_queue_wait", "LIBAIO_0.4", &wait_newer);
    struct timespec short_wait = {0, 1000000};
    struct io_event events[2];
    struct iocb iocb;
    struct iocb *pointer = &iocb;
    expect("old timeout", getevents(ctx, 2, events, &short_wait), 0);
    io_prep_poll(&iocb, fds[0], POLLIN);
    expect("old poll", io_submit(ctx, 1, &pointer), 1);
    expect("old wait", wait_old(ctx, &short_wait), 0);
    expect("newer wait", wait_newer(ctx, &short_wait), 0);
    expect("old wait for ever", wait_old(ctx, NULL), 0);
    expect("old cancel", cancel(ctx, &iocb), -EINPROGRESS);
    expect("old getevents", getevents(ctx, 2, events, NULL), 1);
    expect("its request", events[0].obj == &iocb, 1);
    expect("timeout as it was", short_wait.tv_nsec, 1000000);
}

int main(int count, char **arguments) {
    io_context_t ctx = NULL;
    int fds[2];
    int fd = open(count == 2 ? arguments[1] : "", O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || pipe(fds) != 0) {
        perror("open");
        return 2;
    }
    errno = 77;
    expect("setup", io_setup(16, &ctx), 0);
    move(ctx, fd);
    wait_some(ctx, fds);
    call_old(ctx, fds);
    expect("setup twice", io_setup(16, &ctx), -EINVAL);
    expect("destroy", io_destroy(ctx), 0);
    expect("destroy twice", io_destroy(ctx), -EINVAL);
    expect("init", io_queue_init(0, &ctx), -EINVAL);
    expect("init", io_queue_init(4, &ctx), 0);
    expect("release", io_queue_release(ctx), 0);
    expect("errno", errno, 77);
    return failed;
}
