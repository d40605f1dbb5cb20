// tools/kaio/probe_words.h: what an answer is called, and what its cause is.

#ifndef KAIO_TOOLS_KAIO_PROBE_WORDS_H_
#define KAIO_TOOLS_KAIO_PROBE_WORDS_H_

#include "probe_report.h"

enum { WORDS_SHORT_BYTES = 32, WORDS_REASON_BYTES = 256 };

// words_result and words_channel are the names that --json gives; NULL for CHANNEL_NONE.
const char *words_result(enum answer_result result);
const char *words_channel(enum answer_channel channel);

// words_error is the name of an errno value, such as "EPERM". `out_text` may be what is returned.
const char *words_error(int os_error, char out_text[WORDS_SHORT_BYTES]);

// words_signal is the name of a signal, such as "SIGSYS". `out_text` may be what is returned.
const char *words_signal(int signal, char out_text[WORDS_SHORT_BYTES]);

// words_short is an answer in at most 20 characters: "ok", "submit: EOPNOTSUPP", "event: EAGAIN",
// "killed: SIGSYS", "short", "no answer", "not tried". `out_text` may be what is returned.
const char *words_short(const struct answer *answer, char out_text[WORDS_SHORT_BYTES]);

// words_reason says why the answer is what it is, and what is noteworthy of a good one; "" when
// there is nothing to say. `out_text` may be what is returned. All causes are worded here.
const char *words_reason(const struct report *report, const struct probe *probe,
                         char out_text[WORDS_REASON_BYTES]);

// words_behaviour says where the event of a direct write came: NULL when it did not.
const char *words_behaviour(const struct answer *answer);

// words_place says why there is no file for an operation in a mode: "" when there is one.
const char *words_place(const struct place *place, char out_text[WORDS_REASON_BYTES]);

#endif  // KAIO_TOOLS_KAIO_PROBE_WORDS_H_
