// For valgrind_test.sh: reads, reaped in user space, until each slot of a ring was used twice.
//
// Exits by 0 if all is right; by 3 if it was to tell Valgrind of the ring, and lacks the header.

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kaio/raw/kaio_raw.h"

enum { BATCH = 7, MAGIC_BYTES = 4 };

static struct kaio_raw_iocb iocbs[BATCH];
static char buffers[BATCH][MAGIC_BYTES];  // of static storage: Valgrind does not see them filled

// Requests by turns nothing of /dev/null, and the first bytes of this program.
static int submit(kaio_raw_context ctx, const int *fds, uint64_t first) {
    struct kaio_raw_iocb *pointers[BATCH];
    for (unsigned i = 0; i < BATCH; ++i) {
        memset(buffers[i], 0, MAGIC_BYTES);
        iocbs[i] = kaio_raw_prep_pread(fds[(first + i) % 2], buffers[i], MAGIC_BYTES, 0);
        kaio_raw_set_data(&iocbs[i], first + i);
        pointers[i] = &iocbs[i];
    }
    return kaio_raw_submit(ctx, BATCH, pointers) == BATCH;
}

static int is_right(const struct kaio_raw_event *event, uint64_t first, unsigned i) {
    if (event->data != first + i || event->obj != (uintptr_t)&iocbs[i] || event->res2 != 0) {
        return 0;
    }
    if (event->data % 2 == 0) {
        return event->res == 0;
    }
    return event->res == MAGIC_BYTES && memcmp(buffers[i], "\177ELF", MAGIC_BYTES) == 0;
}

static int reap(struct kaio_raw_ring_consumer *consumer, uint64_t first) {
    for (unsigned reaped = 0; reaped < BATCH;) {
        const struct kaio_raw_event *events;
        uint32_t count = kaio_raw_ring_peek(consumer, &events);
        if (count == 0 || count == KAIO_RAW_RING_CORRUPT) {
            return 0;
        }
        for (uint32_t k = 0; k < count; ++k) {
            if (!is_right(&events[k], first, reaped + k)) {
                return 0;
            }
        }
        kaio_raw_ring_consume(consumer, count);
        reaped += count;
    }
    return 1;
}

static int run(kaio_raw_context ctx, const int *fds) {
    struct kaio_raw_ring_consumer consumer;
    if (kaio_raw_ring_validate(ctx, &consumer) != 0) {
        return 0;
    }
    for (uint64_t first = 0; first < UINT64_C(2) * consumer.nr; first += BATCH) {
        if (!submit(ctx, fds, first) || !reap(&consumer, first)) {
            return 0;
        }
    }
    return 1;
}

int main(void) {
#if !defined(NVALGRIND) && !defined(KAIO_RAW_MEMCHECK_)
    return 3;
#endif
    const int fds[] = {open("/dev/null", O_RDONLY), open("/proc/self/exe", O_RDONLY)};
    // Valgrind takes a ring to have as many slots as were asked for. There are twice as many, and
    // from one page on no rounding hides it.
    unsigned nr_events = (unsigned)sysconf(_SC_PAGESIZE) / sizeof(struct kaio_raw_event);
    kaio_raw_context ctx = 0;
    if (fds[0] < 0 || fds[1] < 0 || kaio_raw_setup(nr_events, &ctx) != 0 || !run(ctx, fds)) {
        fputs("not the events that were requested\n", stderr);
        return 1;
    }
    return kaio_raw_destroy(ctx) != 0;
}
