#define _GNU_SOURCE  // CLOCK_MONOTONIC

#include "probe_session.h"

#include <errno.h>
#include <time.h>

#include "kaio/raw/aio_syscall.h"
#include "probe_rounds.h"

enum { ROOM = 1, LOOK_NS = 100 * 1000 };

static const int64_t second_ns = INT64_C(1000) * 1000 * 1000;

static int64_t now_ns(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * second_ns + now.tv_nsec;
}

static bool is_call_ok(const struct report *report, const char *name) {
    return report_find(report, PROBE_GROUP_CALL, name)->result == ANSWER_OK;
}

static bool is_ring_ok(const struct report *report) {
    return report_find(report, PROBE_GROUP_RING, "ring")->result == ANSWER_OK;
}

bool session_is_possible(const struct report *report) {
    bool can_reap = is_call_ok(report, "io_getevents") || is_call_ok(report, "io_pgetevents") ||
                    is_ring_ok(report);
    return is_call_ok(report, "io_setup") && is_call_ok(report, "io_submit") && can_reap;
}

long session_open(struct report *report, struct session *out_session) {
    struct session session = {.report = report};
    long error = kaio_raw_setup(ROOM, &session.ctx);
    if (error == 0 && is_ring_ok(report)) {
        (void)kaio_raw_ring_validate(session.ctx, &session.consumer);
    }
    *out_session = session;
    return error;
}

static bool take_from_ring(struct session *session, struct kaio_raw_event *out_event) {
    const struct kaio_raw_event *events;
    uint32_t count = kaio_raw_ring_peek(&session->consumer, &events);
    if (count == 0 || count == KAIO_RAW_RING_CORRUPT) {
        return false;
    }
    *out_event = events[0];
    kaio_raw_ring_consume(&session->consumer, 1);
    return true;
}

// take waits for an event, `timeout_ns` at most. It may return early: a stop ends the calls.
static bool take(struct session *session, int64_t timeout_ns, struct kaio_raw_event *out_event) {
    const struct report *report = session->report;
    long min_nr = timeout_ns > 0 ? 1 : 0;
    if (is_call_ok(report, "io_getevents")) {
        struct kaio_raw_old_timespec timeout = {.tv_sec = (kaio_raw_long)(timeout_ns / second_ns),
                                                .tv_nsec = (kaio_raw_long)(timeout_ns % second_ns)};
        return kaio_raw_getevents(session->ctx, min_nr, 1, out_event, &timeout) == 1;
    }
    if (is_call_ok(report, "io_pgetevents")) {
        struct kaio_raw_timespec timeout = {.tv_sec = timeout_ns / second_ns,
                                            .tv_nsec = timeout_ns % second_ns};
        return kaio_raw_pgetevents(session->ctx, min_nr, 1, out_event, &timeout, NULL) == 1;
    }
    if (session->consumer.ring == NULL) {
        return false;
    }
    bool is_there = take_from_ring(session, out_event);
    if (!is_there && timeout_ns > 0) {
        struct timespec pause = {.tv_nsec = LOOK_NS};
        (void)nanosleep(&pause, NULL);
    }
    return is_there;
}

static bool take_until(struct session *session, int64_t deadline_ns,
                       struct kaio_raw_event *out_event) {
    for (;;) {
        int64_t left_ns = deadline_ns - now_ns();
        bool is_over = left_ns <= 0;
        if (take(session, is_over ? 0 : left_ns, out_event)) {
            return true;
        }
        if (is_over) {
            return false;
        }
    }
}

static struct answer from_event(int64_t res, uint64_t wanted_bytes) {
    if (res >= 0 && (uint64_t)res < wanted_bytes) {
        return (struct answer){.result = ANSWER_FAILED,
                               .channel = CHANNEL_EVENT,
                               .value = res,
                               .short_of = wanted_bytes};
    }
    if (res >= 0) {
        return (struct answer){.result = ANSWER_OK, .channel = CHANNEL_EVENT, .value = res};
    }
    return (struct answer){
        .result = ANSWER_FAILED, .channel = CHANNEL_EVENT, .os_error = (int)-res};
}

// take_at_once takes the event if it is there. In the ring that is seen soonest, before a request
// that went on behind io_submit can be done too.
static bool take_at_once(struct session *session, struct kaio_raw_event *out_event) {
    return session->consumer.ring != NULL ? take_from_ring(session, out_event)
                                          : take(session, 0, out_event);
}

// try_within does one request, and waits for its event that long at most.
static void try_within(struct session *session, struct kaio_raw_iocb iocb, uint64_t wanted_bytes,
                       int64_t wait_ns, struct answer *out_answer) {
    struct kaio_raw_iocb *iocbs[] = {&iocb};
    struct kaio_raw_event event = {0};
    rounds_stage(session->report, CHANNEL_SUBMIT);
    int64_t began_ns = now_ns();
    long taken = kaio_raw_submit(session->ctx, 1, iocbs);
    bool is_inside = taken == 1 && take_at_once(session, &event);
    int64_t submit_ns = now_ns() - began_ns;
    if (taken != 1) {
        *out_answer = (struct answer){.result = ANSWER_REFUSED,
                                      .channel = CHANNEL_SUBMIT,
                                      .os_error = taken < 0 ? (int)-taken : EAGAIN};
        return;
    }
    rounds_stage(session->report, CHANNEL_EVENT);
    if (!is_inside && !take_until(session, now_ns() + wait_ns, &event)) {
        *out_answer =
            (struct answer){.result = ANSWER_FAILED, .channel = CHANNEL_EVENT, .is_late = true};
        return;
    }
    *out_answer = from_event(event.res, wanted_bytes);
    out_answer->sample_count = 1;
    out_answer->inside_count = is_inside ? 1 : 0;
    out_answer->median_ns = submit_ns;
    out_answer->longest_ns = submit_ns;
}

void session_try(struct session *session, struct kaio_raw_iocb iocb, uint64_t wanted_bytes,
                 struct answer *out_answer) {
    try_within(session, iocb, wanted_bytes, session->report->timeout_s * second_ns, out_answer);
}

// The request that is left in flight ends with the process.
void session_try_poll(struct session *session, struct kaio_raw_iocb iocb,
                      struct answer *out_answer) {
    try_within(session, iocb, 0, second_ns, out_answer);
    if (out_answer->is_late) {
        bool is_open = session_open(session->report, session) == 0;
        *out_answer =
            (struct answer){.result = ANSWER_OK, .channel = CHANNEL_SUBMIT, .is_late = !is_open};
    }
}
