// tools/kaio/probe_session.h: a context, and one request at a time on it: submitted, then reaped in
// whatever way works here.

#ifndef KAIO_TOOLS_KAIO_PROBE_SESSION_H_
#define KAIO_TOOLS_KAIO_PROBE_SESSION_H_

#include "kaio/raw/aio_abi.h"
#include "kaio/raw/aio_ring.h"
#include "probe_report.h"

struct session {
    struct report *report;
    kaio_raw_context ctx;
    struct kaio_raw_ring_consumer consumer;  // its ring is NULL where it cannot be read
};

// session_is_possible: there are answers enough of the calls to submit and to reap.
bool session_is_possible(const struct report *report);

// session_open makes the context. Nothing is in flight at first; the end of the process ends it.
//
// Errors:    that of kaio_raw_setup.
long session_open(struct report *report, struct session *out_session);

// session_try does one request and gives the answer; also how long it was in io_submit, and whether
// its event was there when that returned (inside_count is 1). What moves less than `wanted_bytes`
// has failed: short_of.
void session_try(struct session *session, struct kaio_raw_iocb iocb, uint64_t wanted_bytes,
                 struct answer *out_answer);

// session_try_poll does a poll. One that is taken and stays without an event is ANSWER_OK in
// CHANNEL_SUBMIT: the file is not ready. The session is a new one then; where there is none,
// is_late is set too.
void session_try_poll(struct session *session, struct kaio_raw_iocb iocb,
                      struct answer *out_answer);

#endif  // KAIO_TOOLS_KAIO_PROBE_SESSION_H_
