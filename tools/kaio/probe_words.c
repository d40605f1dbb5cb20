#define _GNU_SOURCE  // strerrorname_np, sigabbrev_np

#include "probe_words.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "kaio/raw/aio_abi.h"

const char *words_result(enum answer_result result) {
    switch (result) {
        case ANSWER_NOT_TRIED:
            return "not tried";
        case ANSWER_OK:
            return "ok";
        case ANSWER_REFUSED:
            return "refused";
        case ANSWER_FAILED:
            return "failed";
        case ANSWER_KILLED:
            break;
    }
    return "killed";
}

const char *words_channel(enum answer_channel channel) {
    switch (channel) {
        case CHANNEL_NONE:
            return NULL;
        case CHANNEL_CALL:
            return "call";
        case CHANNEL_SUBMIT:
            return "submit";
        case CHANNEL_EVENT:
            break;
    }
    return "event";
}

const char *words_error(int os_error, char out_text[WORDS_SHORT_BYTES]) {
    const char *name = strerrorname_np(os_error);
    if (name != NULL) {
        return name;
    }
    (void)snprintf(out_text, WORDS_SHORT_BYTES, "errno %d", os_error);
    return out_text;
}

const char *words_signal(int signal, char out_text[WORDS_SHORT_BYTES]) {
    const char *name = sigabbrev_np(signal);
    if (name == NULL) {
        (void)snprintf(out_text, WORDS_SHORT_BYTES, "signal %d", signal);
    } else {
        (void)snprintf(out_text, WORDS_SHORT_BYTES, "SIG%s", name);
    }
    return out_text;
}

const char *words_short(const struct answer *answer, char out_text[WORDS_SHORT_BYTES]) {
    char name[WORDS_SHORT_BYTES];
    const char *channel = words_channel(answer->channel);
    switch (answer->result) {
        case ANSWER_NOT_TRIED:
            return "not tried";
        case ANSWER_OK:
            return answer->again_count > 0 ? "ok after EAGAIN" : "ok";
        case ANSWER_REFUSED:
        case ANSWER_FAILED:
            if (answer->is_late) {
                return "no answer";
            }
            if (answer->short_of > 0) {
                return "short";
            }
            if (answer->os_error == 0 || channel == NULL) {
                return words_result(answer->result);
            }
            (void)snprintf(out_text, WORDS_SHORT_BYTES, "%s: %.*s", channel, 20,
                           words_error(answer->os_error, name));
            return out_text;
        case ANSWER_KILLED:
            break;
    }
    if (answer->signal == 0) {
        return "killed";
    }
    (void)snprintf(out_text, WORDS_SHORT_BYTES, "killed: %.*s", 20,
                   words_signal(answer->signal, name));
    return out_text;
}

const char *words_behaviour(const struct answer *answer) {
    if (answer->result != ANSWER_OK || answer->sample_count == 0) {
        return NULL;
    }
    return answer->inside_count == answer->sample_count ? "completed inside io_submit"
                                                        : "asynchronous";
}

// ---- causes ----

static void say(char out_text[WORDS_REASON_BYTES], const char *text) {
    (void)snprintf(out_text, WORDS_REASON_BYTES, "%s", text);
}

// say_both says `text` and the errno value in the system's words.
static void say_both(char out_text[WORDS_REASON_BYTES], const char *text, int os_error) {
    (void)snprintf(out_text, WORDS_REASON_BYTES, "%s: %s", text, strerror(os_error));
}

const char *words_place(const struct place *place, char out_text[WORDS_REASON_BYTES]) {
    char name[WORDS_SHORT_BYTES];
    switch (place->why) {
        case WHY_NO_FILE:
            say_both(out_text, "there is no file to try it on", place->os_error);
            return out_text;
        case WHY_NO_DIRECT:
            (void)snprintf(out_text, WORDS_REASON_BYTES, "O_DIRECT is refused with %s",
                           words_error(place->os_error, name));
            return out_text;
        case WHY_NEVER_WRITTEN:
            return "a device is not written to";
        case WHY_NO_CALL:
            return "the calls that it needs do not work";
        case WHY_STUCK:
            return "a probe before it had no answer";
        case WHY_NO_DISK:
            return "asked of regular files alone";
        case WHY_NOT_FILLED:
            say_both(out_text, "there is nothing to write over", place->os_error);
            return out_text;
        case WHY_REPLACED:
            return "another file has taken its name meanwhile";
        case WHY_ELSEWHERE:
            return "its folder is on another file system";
        case WHY_NOT_BEGUN:
            say_both(out_text, "there is no context or no memory to try it with", place->os_error);
            return out_text;
        case WHY_NOT_OPENED:
            return "what opens the files was killed";
        case WHY_NONE:
            break;
    }
    return "";
}

static bool is_aio_there(const struct system_facts *system) {
    return system->aio_max_nr.is_known;
}

static void say_ring_error(int os_error, char out_text[WORDS_REASON_BYTES]) {
    switch (os_error) {
        case EPROTO:
            say(out_text, "it has a form of its own: use io_getevents");
            return;
        case EPERM:
        case ENOSYS:
            say(out_text, "a seccomp filter has mincore fail: use io_getevents");
            return;
        default:
            say(out_text, "it is not mapped: use io_getevents");
    }
}

// What io_setup answers with EAGAIN; fs.aio-nr was read before, and may have been more for a
// moment.
static void say_full(const struct system_facts *system, char out_text[WORDS_REASON_BYTES]) {
    uint64_t nr = system->aio_nr.value;
    uint64_t max_nr = system->aio_max_nr.value;
    bool is_filtered = system->seccomp_mode.value != 0;
    if (!system->aio_nr.is_known || !system->aio_max_nr.is_known) {
        say(out_text, is_filtered ? "fs.aio-max-nr is reached, or a seccomp filter"
                                  : "fs.aio-max-nr is reached");
        return;
    }
    (void)snprintf(out_text, WORDS_REASON_BYTES, "%s (%" PRIu64 " of %" PRIu64 ")",
                   nr >= max_nr  ? "fs.aio-max-nr is reached"
                   : is_filtered ? "a seccomp filter: fs.aio-max-nr is not reached"
                                 : "fs.aio-max-nr was reached, and is no longer",
                   nr, max_nr);
}

static void say_call_error(const struct report *report, const struct probe *probe,
                           char out_text[WORDS_REASON_BYTES]) {
    const struct system_facts *system = &report->system;
    bool is_young = strcmp(probe->name, "io_pgetevents") == 0;
    if (probe->group == PROBE_GROUP_RING) {
        say_ring_error(probe->answer.os_error, out_text);
        return;
    }
    switch (probe->answer.os_error) {
        case ENOSYS:
            say(out_text, !is_aio_there(system) ? "a kernel without CONFIG_AIO, or a seccomp filter"
                          : is_young            ? "a seccomp filter, or a kernel before 4.18"
                                     : "a seccomp filter: the kernel has AIO (fs.aio-max-nr)");
            return;
        case EPERM:
        case EACCES:
            say(out_text, "a seccomp filter: the kernel's AIO never says so");
            return;
        case EAGAIN:
            if (strcmp(probe->name, "io_setup") == 0) {
                say_full(system, out_text);
            } else {
                say(out_text, "a seccomp filter: the kernel's AIO never says so");
            }
            return;
        case ENOMEM:
            say(out_text, "no memory or no address space left");
            return;
        case 0:
            (void)snprintf(out_text, WORDS_REASON_BYTES, "an answer that is none: %" PRId64,
                           probe->answer.value);
            return;
        default:
            say_both(out_text, "not expected here", probe->answer.os_error);
    }
}

static void say_invalid(const struct probe *probe, char out_text[WORDS_REASON_BYTES]) {
    bool is_sync = probe->group == PROBE_GROUP_OPCODE &&
                   (probe->value == KAIO_RAW_CMD_FSYNC || probe->value == KAIO_RAW_CMD_FDSYNC);
    bool is_poll = probe->group == PROBE_GROUP_OPCODE && probe->value == KAIO_RAW_CMD_POLL;
    if (probe->is_never_valid) {
        say(out_text, "never valid, in any kernel");
    } else if (is_sync) {
        say(out_text, "a file that has no fsync, or a kernel before 4.18");
    } else if (is_poll) {
        say(out_text, "a file that cannot be polled so, or a kernel before 4.19");
    } else if (probe->group == PROBE_GROUP_RW_FLAG && probe->value != 0) {
        say(out_text, "a kernel before 4.13, or a file without asynchronous reads or writes");
    } else {
        say(out_text, "a file without asynchronous reads or writes");
    }
}

// needs_right: of the priorities the kernel lets only the highest class to some alone.
static bool needs_right(const struct probe *probe) {
    return probe->group == PROBE_GROUP_PRIORITY && probe->value == KAIO_RAW_IOPRIO_CLASS_RT;
}

static void say_submit_error(const struct report *report, const struct probe *probe,
                             char out_text[WORDS_REASON_BYTES]) {
    bool is_seccomp_on = report->system.seccomp_mode.value != 0;
    switch (probe->answer.os_error) {
        case EOPNOTSUPP:
            say(out_text, "the kernel, or this file, lacks the flag");
            return;
        case EINVAL:
            say_invalid(probe, out_text);
            return;
        case EPERM:
            say(out_text, needs_right(probe)
                              ? "needs CAP_SYS_ADMIN or CAP_SYS_NICE, in the first user namespace"
                          : is_seccomp_on ? "not permitted, or a seccomp filter"
                                          : "not permitted for this file");
            return;
        case EAGAIN:
            say(out_text, "the kernel has no room for the request");
            return;
        default:
            say(out_text, strerror(probe->answer.os_error));
    }
}

static void say_event_error(const struct report *report, const struct probe *probe,
                            char out_text[WORDS_REASON_BYTES]) {
    static const char misfit[] = "size or alignment are not what the file system needs";
    const struct answer *answer = &probe->answer;
    if (answer->short_of > 0) {
        (void)snprintf(out_text, WORDS_REASON_BYTES, "short: %" PRId64 " of %" PRIu64 " bytes",
                       answer->value, answer->short_of);
        return;
    }
    switch (answer->os_error) {
        case 0:
            say(out_text, "the event came, and was not counted by the eventfd");
            return;
        case EAGAIN:
            (void)snprintf(out_text, WORDS_REASON_BYTES,
                           "would have slept (tried %u times): do it again without the flag",
                           (unsigned)answer->again_count);
            return;
        case EOPNOTSUPP:
            say(out_text, "io_submit takes it, then the file system does not");
            return;
        case EINVAL:
            if (report->target.fill_error != 0) {
                (void)snprintf(out_text, WORDS_REASON_BYTES,
                               "%s; or the file, which could not be filled: %s", misfit,
                               strerror(report->target.fill_error));
            } else {
                say(out_text, misfit);
            }
            return;
        case EFBIG:
            say(out_text, "over RLIMIT_FSIZE, or over the largest file here");
            return;
        default:
            say(out_text, strerror(answer->os_error));
    }
}

static void say_late(const struct report *report, const struct answer *answer,
                     char out_text[WORDS_REASON_BYTES]) {
    const char *where = "it was waited for";
    switch (answer->channel) {
        case CHANNEL_NONE:
        case CHANNEL_CALL:
            where = "the call did not return";
            break;
        case CHANNEL_SUBMIT:
            where = "io_submit did not return";
            break;
        case CHANNEL_EVENT:
            where = "no event came";
            break;
    }
    (void)snprintf(out_text, WORDS_REASON_BYTES, "%s within %u s", where,
                   (unsigned)report->timeout_s);
}

static void say_killed(const struct answer *answer, char out_text[WORDS_REASON_BYTES]) {
    char name[WORDS_SHORT_BYTES];
    if (answer->signal == SIGSYS) {
        say(out_text, "killed by SIGSYS: a seccomp filter kills who makes this call");
    } else if (answer->signal != 0) {
        (void)snprintf(out_text, WORDS_REASON_BYTES, "killed by %s",
                       words_signal(answer->signal, name));
    } else {
        say(out_text, "the child that tried it ended by itself");
    }
}

static void say_error(const struct report *report, const struct probe *probe,
                      char out_text[WORDS_REASON_BYTES]) {
    if (probe->answer.is_late) {
        say_late(report, &probe->answer, out_text);
        return;
    }
    switch (probe->answer.channel) {
        case CHANNEL_NONE:
        case CHANNEL_CALL:
            say_call_error(report, probe, out_text);
            return;
        case CHANNEL_SUBMIT:
            say_submit_error(report, probe, out_text);
            return;
        case CHANNEL_EVENT:
            say_event_error(report, probe, out_text);
            return;
    }
}

// ---- good answers ----

static void say_direct_write(const struct answer *answer, char out_text[WORDS_REASON_BYTES]) {
    bool is_inside = answer->inside_count == answer->sample_count;
    uint32_t count = is_inside ? answer->inside_count : answer->sample_count - answer->inside_count;
    (void)snprintf(
        out_text, WORDS_REASON_BYTES, "%s (%u of %u), %" PRId64 " us in it, at most %" PRId64 " us",
        is_inside ? "completed inside io_submit" : "asynchronous to io_submit", (unsigned)count,
        (unsigned)answer->sample_count, answer->median_ns / 1000, answer->longest_ns / 1000);
}

static void say_good(const struct probe *probe, char out_text[WORDS_REASON_BYTES]) {
    const struct answer *answer = &probe->answer;
    switch (probe->group) {
        case PROBE_GROUP_CALL:
            if (answer->value < 0 && strcmp(probe->name, "io_cancel") != 0) {
                say(out_text, "it answers; there is no context to try more on");
            }
            return;
        case PROBE_GROUP_RING:
            say(out_text, "mapped: events can be read without a call");
            return;
        case PROBE_GROUP_RW_FLAG:
            if (answer->again_count > 0) {
                say(out_text, "would have slept at first; went well after one without the flag");
            }
            return;
        case PROBE_GROUP_DIRECT_WRITE:
            say_direct_write(answer, out_text);
            return;
        case PROBE_GROUP_OPCODE:
            if (answer->channel == CHANNEL_SUBMIT) {
                say(out_text, "taken by io_submit; the file was not ready within 1 s");
            }
            return;
        case PROBE_GROUP_REQUEST_FLAG:
        case PROBE_GROUP_PRIORITY:
            return;
    }
}

const char *words_reason(const struct report *report, const struct probe *probe,
                         char out_text[WORDS_REASON_BYTES]) {
    const struct answer *answer = &probe->answer;
    const struct place place = {.why = answer->why, .os_error = answer->os_error};
    out_text[0] = '\0';
    switch (answer->result) {
        case ANSWER_NOT_TRIED:
            return words_place(&place, out_text);
        case ANSWER_OK:
            say_good(probe, out_text);
            break;
        case ANSWER_REFUSED:
        case ANSWER_FAILED:
            say_error(report, probe, out_text);
            break;
        case ANSWER_KILLED:
            say_killed(answer, out_text);
            break;
    }
    return out_text;
}
