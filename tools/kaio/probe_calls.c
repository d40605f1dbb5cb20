#include "probe_calls.h"

#include <errno.h>
#include <string.h>

#include "kaio/raw/aio_ring.h"
#include "kaio/raw/aio_syscall.h"
#include "probe_rounds.h"

// The child's context; 0 where there can be none, and calls then have to say -EINVAL to it.
static kaio_raw_context ctx;

// A child that comes after one that was killed needs a context anew.
static void begin(struct report *report) {
    ctx = 0;
    if (report_find(report, PROBE_GROUP_CALL, "io_setup")->result == ANSWER_OK) {
        (void)kaio_raw_setup(1, &ctx);
    }
}

static struct answer from_return(long value, long wanted) {
    if (value == wanted) {
        return (struct answer){.result = ANSWER_OK, .channel = CHANNEL_CALL, .value = value};
    }
    return (struct answer){.result = ANSWER_REFUSED,
                           .channel = CHANNEL_CALL,
                           .os_error = value < 0 ? (int)-value : 0,
                           .value = value};
}

static struct answer call(const char *name) {
    struct kaio_raw_iocb iocb = {0};  // nothing is in flight under its address
    struct kaio_raw_event event;
    struct kaio_raw_old_timespec old_timeout = {0};
    struct kaio_raw_timespec timeout = {0};
    long done = ctx == 0 ? -EINVAL : 0;
    if (strcmp(name, "io_setup") == 0) {
        return from_return(kaio_raw_setup(1, &ctx), 0);
    }
    if (strcmp(name, "io_submit") == 0) {
        return from_return(kaio_raw_submit(ctx, 0, NULL), done);
    }
    if (strcmp(name, "io_cancel") == 0) {
        return from_return(kaio_raw_cancel(ctx, &iocb, NULL), -EINVAL);
    }
    if (strcmp(name, "io_getevents") == 0) {
        return from_return(kaio_raw_getevents(ctx, 0, 1, &event, &old_timeout), done);
    }
    if (strcmp(name, "io_pgetevents") == 0) {
        return from_return(kaio_raw_pgetevents(ctx, 0, 1, &event, &timeout, NULL), done);
    }
    return from_return(kaio_raw_destroy(ctx), done);
}

static void look_at_ring(struct report *report, struct answer *out_answer) {
    if (ctx == 0) {
        *out_answer = (struct answer){.why = WHY_NO_CALL};
        return;
    }
    struct kaio_raw_ring_consumer consumer = {0};
    *out_answer = from_return(kaio_raw_ring_validate(ctx, &consumer), 0);
    if (out_answer->result != ANSWER_OK) {
        return;
    }
    report->ring = (struct ring_facts){
        .id = consumer.ring->id,
        .nr = consumer.nr,
        .head = consumer.ring->head,
        .tail = consumer.ring->tail,
        .magic = consumer.ring->magic,
        .compat_features = consumer.ring->compat_features,
        .incompat_features = consumer.ring->incompat_features,
        .header_bytes = consumer.ring->header_length,
    };
}

static void run(struct report *report, struct probe *probe) {
    rounds_stage(report, CHANNEL_CALL);
    if (probe->group == PROBE_GROUP_RING) {
        look_at_ring(report, &probe->answer);
    } else {
        probe->answer = call(probe->name);
    }
}

bool calls_probe(struct report *report) {
    static const struct round_work work = {.begin = begin, .run = run};
    size_t last = report_next(report, PROBE_GROUP_OPCODE, 0);
    return rounds_run(report, 0, last, &work);
}
