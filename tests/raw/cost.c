// cost: submits and reaps reads of /dev/null, for callgrind to count the instructions.
//
// Usage: cost raw|hand|none BATCH ROUNDS
//
// raw: through //raw. hand: the same written out by hand against the kernel's own header, system
// call instruction included, requests filled in as libaio's io_prep_pread does. none: what the
// program does besides.

#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kaio/raw/kaio_raw.h"

enum { BATCH_MAX = 64 };

static char byte[512];
static volatile uint64_t sink;  // where what was reaped goes: it must not be optimised away

static int fail(const char *what) {
    (void)fprintf(stderr, "cost: %s\n", what);
    return EXIT_FAILURE;
}

// ---- by hand ----

struct hand_ring {
    unsigned id, nr, head, tail, magic, compat_features, incompat_features, header_length;
    struct io_event events[];
};

struct hand_reaper {
    struct hand_ring *ring;
    unsigned nr;
};

static long hand_submit(aio_context_t ctx, long nr, struct iocb **iocbs) {
#ifdef __x86_64__
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(__NR_io_submit), "D"(ctx), "S"(nr), "d"(iocbs)
                     : "rcx", "r11", "memory");
    return result;
#else
    return syscall(__NR_io_submit, ctx, nr, iocbs);
#endif
}

__attribute__((noinline)) static int hand_round(aio_context_t ctx, struct hand_reaper *reaper,
                                                int fd, long batch) {
    static struct iocb iocbs[BATCH_MAX];
    static struct iocb *pointers[BATCH_MAX];
    for (long i = 0; i < batch; ++i) {
        struct iocb *iocb = &iocbs[i];
        memset(iocb, 0, sizeof *iocb);
        iocb->aio_data = (uint64_t)i;
        iocb->aio_lio_opcode = IOCB_CMD_PREAD;
        iocb->aio_fildes = (uint32_t)fd;
        iocb->aio_buf = (uintptr_t)byte;
        iocb->aio_nbytes = sizeof byte;
        pointers[i] = iocb;
    }
    if (hand_submit(ctx, batch, pointers) != batch) {
        return 0;
    }
    long reaped = 0;
    while (reaped < batch) {
        struct hand_ring *ring = reaper->ring;
        unsigned nr = reaper->nr;
        unsigned head = ring->head;
        unsigned tail = __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);
        if (head >= nr || tail >= nr || head == tail) {
            return 0;
        }
        unsigned count = (tail >= head ? tail : nr) - head;
        const struct io_event *events = &ring->events[head];
        for (unsigned k = 0; k < count; ++k) {
            struct io_event event = events[k];
            sink = event.data + (uint64_t)event.res;
        }
        head += count;
        __atomic_store_n(&ring->head, head == nr ? 0 : head, __ATOMIC_RELEASE);
        reaped += count;
    }
    return 1;
}

// ---- through //raw ----

__attribute__((noinline)) static int raw_round(kaio_raw_context ctx,
                                               struct kaio_raw_ring_consumer *consumer, int fd,
                                               long batch) {
    static struct kaio_raw_iocb iocbs[BATCH_MAX];
    static struct kaio_raw_iocb *pointers[BATCH_MAX];
    for (long i = 0; i < batch; ++i) {
        iocbs[i] = kaio_raw_prep_pread(fd, byte, sizeof byte, 0);
        kaio_raw_set_data(&iocbs[i], (uint64_t)i);
        pointers[i] = &iocbs[i];
    }
    if (kaio_raw_submit(ctx, batch, pointers) != batch) {
        return 0;
    }
    const struct kaio_raw_event *events;
    long reaped = 0;
    while (reaped < batch) {
        uint32_t count = kaio_raw_ring_peek(consumer, &events);
        if (count == 0 || count == KAIO_RAW_RING_CORRUPT) {
            return 0;
        }
        for (uint32_t k = 0; k < count; ++k) {
            struct kaio_raw_event event = events[k];
            sink = event.data + (uint64_t)event.res;
        }
        kaio_raw_ring_consume(consumer, count);
        reaped += count;
    }
    return 1;
}

int main(int argc, char **argv) {
    if (argc != 4) {
        return fail("usage: cost raw|hand|none BATCH ROUNDS");
    }
    const char *way = argv[1];
    long batch = strtol(argv[2], NULL, 10);
    long rounds = strtol(argv[3], NULL, 10);
    int fd = open("/dev/null", O_RDONLY);
    kaio_raw_context ctx = 0;
    struct kaio_raw_ring_consumer consumer;
    if (fd < 0 || batch < 1 || batch > BATCH_MAX || kaio_raw_setup(BATCH_MAX, &ctx) != 0 ||
        kaio_raw_ring_validate(ctx, &consumer) != 0) {
        return fail("cannot start");
    }
    struct hand_reaper reaper = {.ring = (struct hand_ring *)ctx, .nr = consumer.nr};
    for (long i = 0; i < rounds; ++i) {
        if (way[0] == 'r' && !raw_round(ctx, &consumer, fd, batch)) {
            return fail("raw failed");
        }
        if (way[0] == 'h' && !hand_round(ctx, &reaper, fd, batch)) {
            return fail("hand failed");
        }
    }
    return kaio_raw_destroy(ctx) == 0 ? EXIT_SUCCESS : fail("destroy");
}
