#define _DEFAULT_SOURCE  // O_CLOEXEC

#include "kaio/raw/aio_error.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

// The most that io_setup takes: twice as much must not exceed what a ring of 2^28 bytes holds.
#define MAX_EVENTS 4194304

static enum kaio_raw_cause cause_of_invalid(enum kaio_raw_call call) {
    switch (call) {
        case KAIO_RAW_CALL_SETUP:
            return KAIO_RAW_CAUSE_BAD_COUNT;
        case KAIO_RAW_CALL_DESTROY:
            return KAIO_RAW_CAUSE_NO_CONTEXT;
        case KAIO_RAW_CALL_SUBMIT:
            return KAIO_RAW_CAUSE_BAD_REQUEST;
        case KAIO_RAW_CALL_CANCEL:
            return KAIO_RAW_CAUSE_NOT_PENDING;
        case KAIO_RAW_CALL_GETEVENTS:
        case KAIO_RAW_CALL_PGETEVENTS:
            return KAIO_RAW_CAUSE_BAD_WAIT;
    }
    return KAIO_RAW_CAUSE_UNKNOWN;
}

static enum kaio_raw_cause only(int is_of_this_call, enum kaio_raw_cause cause) {
    return is_of_this_call ? cause : KAIO_RAW_CAUSE_UNKNOWN;
}

enum kaio_raw_cause kaio_raw_cause_of(enum kaio_raw_call call, long result) {
    const int is_setup = call == KAIO_RAW_CALL_SETUP;
    const int is_submit = call == KAIO_RAW_CALL_SUBMIT;
    const int is_wait = call == KAIO_RAW_CALL_GETEVENTS || call == KAIO_RAW_CALL_PGETEVENTS;
    if (result >= 0) {
        return KAIO_RAW_CAUSE_NONE;
    }
    switch (-result) {
        case EAGAIN:
            return is_setup ? KAIO_RAW_CAUSE_SYSTEM_LIMIT : only(is_submit, KAIO_RAW_CAUSE_NO_ROOM);
        case ENOMEM:
            return only(is_setup || is_submit, KAIO_RAW_CAUSE_NO_MEMORY);
        case EFAULT:
            return only(call != KAIO_RAW_CALL_DESTROY, KAIO_RAW_CAUSE_BAD_ADDRESS);
        case EINVAL:
            return cause_of_invalid(call);
        case EBADF:
            return only(is_submit, KAIO_RAW_CAUSE_BAD_FILE);
        case EOPNOTSUPP:
            return only(is_submit, KAIO_RAW_CAUSE_NOT_SUPPORTED);
        case EPERM:
            return is_submit ? KAIO_RAW_CAUSE_NOT_PERMITTED : KAIO_RAW_CAUSE_FILTERED;
        case EACCES:
            return only(is_submit, KAIO_RAW_CAUSE_NOT_PERMITTED);
        case ENOSYS:
            return KAIO_RAW_CAUSE_NO_CALL;
        case EINTR:
            return only(is_setup || is_wait, KAIO_RAW_CAUSE_INTERRUPTED);
        case EINPROGRESS:
            return only(call == KAIO_RAW_CALL_CANCEL, KAIO_RAW_CAUSE_CANCEL_STARTED);
        default:
            return KAIO_RAW_CAUSE_UNKNOWN;
    }
}

const char *kaio_raw_call_name(enum kaio_raw_call call) {
    switch (call) {
        case KAIO_RAW_CALL_SETUP:
            return "io_setup";
        case KAIO_RAW_CALL_DESTROY:
            return "io_destroy";
        case KAIO_RAW_CALL_SUBMIT:
            return "io_submit";
        case KAIO_RAW_CALL_CANCEL:
            return "io_cancel";
        case KAIO_RAW_CALL_GETEVENTS:
            return "io_getevents";
        case KAIO_RAW_CALL_PGETEVENTS:
            return "io_pgetevents";
    }
    return "?";
}

const char *kaio_raw_cause_name(enum kaio_raw_cause cause) {
    switch (cause) {
        case KAIO_RAW_CAUSE_NONE:
            return "NONE";
        case KAIO_RAW_CAUSE_SYSTEM_LIMIT:
            return "SYSTEM_LIMIT";
        case KAIO_RAW_CAUSE_NO_ROOM:
            return "NO_ROOM";
        case KAIO_RAW_CAUSE_NO_MEMORY:
            return "NO_MEMORY";
        case KAIO_RAW_CAUSE_BAD_ADDRESS:
            return "BAD_ADDRESS";
        case KAIO_RAW_CAUSE_BAD_COUNT:
            return "BAD_COUNT";
        case KAIO_RAW_CAUSE_NO_CONTEXT:
            return "NO_CONTEXT";
        case KAIO_RAW_CAUSE_BAD_REQUEST:
            return "BAD_REQUEST";
        case KAIO_RAW_CAUSE_NOT_PENDING:
            return "NOT_PENDING";
        case KAIO_RAW_CAUSE_BAD_WAIT:
            return "BAD_WAIT";
        case KAIO_RAW_CAUSE_BAD_FILE:
            return "BAD_FILE";
        case KAIO_RAW_CAUSE_NOT_SUPPORTED:
            return "NOT_SUPPORTED";
        case KAIO_RAW_CAUSE_NOT_PERMITTED:
            return "NOT_PERMITTED";
        case KAIO_RAW_CAUSE_FILTERED:
            return "FILTERED";
        case KAIO_RAW_CAUSE_NO_CALL:
            return "NO_CALL";
        case KAIO_RAW_CAUSE_INTERRUPTED:
            return "INTERRUPTED";
        case KAIO_RAW_CAUSE_CANCEL_STARTED:
            return "CANCEL_STARTED";
        case KAIO_RAW_CAUSE_UNKNOWN:
            return "UNKNOWN";
    }
    return "?";
}

// read_number gives the number in the file at `path`, or -errno.
static long read_number(const char *path, uint64_t *out_number) {
    char text[32];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    ssize_t size_bytes = read(fd, text, sizeof text - 1);
    long error = size_bytes < 0 ? -errno : 0;
    (void)close(fd);
    if (error != 0) {
        return error;
    }
    text[size_bytes] = '\0';
    char *end;
    *out_number = strtoull(text, &end, 10);
    return end == text ? -EINVAL : 0;
}

long kaio_raw_limits_read(struct kaio_raw_limits *out_limits) {
    int callers_errno = errno;
    struct kaio_raw_limits limits;
    long error = read_number("/proc/sys/fs/aio-nr", &limits.aio_nr);
    if (error == 0) {
        error = read_number("/proc/sys/fs/aio-max-nr", &limits.aio_max_nr);
    }
    errno = callers_errno;
    if (error == 0) {
        *out_limits = limits;
    }
    return error;
}

// A place to write to that counts what does not fit.
struct writer {
    char *text;
    size_t size_bytes;
    size_t length;
};

static char *rest(const struct writer *writer) {
    return writer->length < writer->size_bytes ? writer->text + writer->length : NULL;
}

static size_t rest_bytes(const struct writer *writer) {
    return writer->length < writer->size_bytes ? writer->size_bytes - writer->length : 0;
}

#define PUT(writer, ...)                                                         \
    do {                                                                         \
        int put_count = snprintf(rest(writer), rest_bytes(writer), __VA_ARGS__); \
        (writer)->length += put_count < 0 ? 0 : (size_t)put_count;               \
    } while (0)

static void put_limit(struct writer *out, const struct kaio_raw_numbers *numbers) {
    const struct kaio_raw_limits *limits = numbers->limits;
    PUT(out, "%" PRId64 " events asked for", numbers->nr);
    if (numbers->nr < 0 || numbers->nr > MAX_EVENTS) {  // it wrapped when the kernel doubled it
        PUT(out, ": %d is the most", MAX_EVENTS);
    } else if (limits == NULL) {
        PUT(out, ", more than the system has left: see fs.aio-nr and fs.aio-max-nr");
    } else if ((uint64_t)numbers->nr > limits->aio_max_nr) {
        PUT(out, ", more than the whole system may have: fs.aio-max-nr is %" PRIu64 ", raise it",
            limits->aio_max_nr);
    } else if (limits->aio_nr + (uint64_t)numbers->nr > limits->aio_max_nr) {
        PUT(out,
            ", and %" PRIu64 " (fs.aio-nr) of %" PRIu64
            " (fs.aio-max-nr) are taken: raise fs.aio-max-nr",
            limits->aio_nr, limits->aio_max_nr);
    } else {
        PUT(out,
            ", more than was left then; now %" PRIu64 " (fs.aio-nr) of %" PRIu64
            " (fs.aio-max-nr) are taken: try again",
            limits->aio_nr, limits->aio_max_nr);
    }
}

static void put_bad_count(struct writer *out, const struct kaio_raw_numbers *numbers) {
    if (numbers->nr == 0) {
        PUT(out, "0 events asked for: 1 is the least");
    } else if (numbers->nr < 0 || numbers->nr > MAX_EVENTS) {
        PUT(out, "%" PRId64 " events asked for: %d is the most", numbers->nr, MAX_EVENTS);
    } else {
        PUT(out, "the context was not 0 before the call");
    }
}

static void put_bad_wait(struct writer *out, enum kaio_raw_call call,
                         const struct kaio_raw_numbers *numbers) {
    if (numbers->min_nr < 0 || numbers->min_nr > numbers->nr) {
        PUT(out, "%" PRId64 " events at least and %" PRId64 " at most: not 0 <= min_nr <= nr",
            numbers->min_nr, numbers->nr);
    } else if (call == KAIO_RAW_CALL_PGETEVENTS) {
        PUT(out, "no such context, destroyed meanwhile, or a sigsetsize that is not the kernel's");
    } else {
        PUT(out, "no such context, or destroyed meanwhile");
    }
}

static const char *bad_addresses(enum kaio_raw_call call) {
    switch (call) {
        case KAIO_RAW_CALL_SETUP:
            return "out_ctx is not writable";
        case KAIO_RAW_CALL_SUBMIT:
            return "iocbs, the first request (it is written to), its buffer or its iovecs are not "
                   "mapped";
        case KAIO_RAW_CALL_CANCEL:
            return "the request is not readable";
        case KAIO_RAW_CALL_GETEVENTS:
            return "timeout is not readable, or out_events not writable: the events stay";
        case KAIO_RAW_CALL_PGETEVENTS:
            return "timeout, sigset or its mask are not readable, or out_events not writable: the "
                   "events stay";
        case KAIO_RAW_CALL_DESTROY:
            break;
    }
    return "?";
}

static void put_cause(struct writer *out, enum kaio_raw_call call, long result,
                      const struct kaio_raw_numbers *numbers) {
    switch (kaio_raw_cause_of(call, result)) {
        case KAIO_RAW_CAUSE_NONE:
            PUT(out, "no error (%ld)", result);
            return;
        case KAIO_RAW_CAUSE_SYSTEM_LIMIT:
            put_limit(out, numbers);
            return;
        case KAIO_RAW_CAUSE_NO_ROOM:
            PUT(out,
                "the context has no room for the first of %" PRId64
                " requests: reap events, then submit again (if nothing is in flight, the kernel "
                "is short of memory)",
                numbers->nr);
            return;
        case KAIO_RAW_CAUSE_NO_MEMORY:
            if (call == KAIO_RAW_CALL_SETUP) {
                PUT(out, "no memory or address space for a ring of %" PRId64 " events",
                    numbers->nr);
            } else {
                PUT(out, "the kernel has no memory for the first request");
            }
            return;
        case KAIO_RAW_CAUSE_BAD_ADDRESS:
            PUT(out, "%s", bad_addresses(call));
            return;
        case KAIO_RAW_CAUSE_BAD_COUNT:
            put_bad_count(out, numbers);
            return;
        case KAIO_RAW_CAUSE_NO_CONTEXT:
            PUT(out, "no such context, or destroyed already: requests may still be in flight");
            return;
        case KAIO_RAW_CAUSE_BAD_REQUEST:
            if (numbers->nr < 0) {
                PUT(out, "%" PRId64 " requests: 0 is the least", numbers->nr);
            } else if (numbers->nr == 0) {
                PUT(out, "no such context");
            } else {
                PUT(out,
                    "no such context, or the first request is one that its file or this "
                    "kernel does not know");
            }
            return;
        case KAIO_RAW_CAUSE_NOT_PENDING:
            PUT(out,
                "no such context, or nothing under that address that can be cancelled: only a "
                "pending poll can");
            return;
        case KAIO_RAW_CAUSE_BAD_WAIT:
            put_bad_wait(out, call, numbers);
            return;
        case KAIO_RAW_CAUSE_BAD_FILE:
            PUT(out,
                "the file (or eventfd) of the first request is not open, or not for this "
                "operation");
            return;
        case KAIO_RAW_CAUSE_NOT_SUPPORTED:
            PUT(out,
                "this kernel or the file of the first request does not support one of its "
                "aio_rw_flags");
            return;
        case KAIO_RAW_CAUSE_NOT_PERMITTED:
            PUT(out,
                "the first request has a priority that needs CAP_SYS_NICE, its file is append-"
                "only, or a security policy (seccomp, LSM) forbids it");
            return;
        case KAIO_RAW_CAUSE_FILTERED:
            PUT(out, "a seccomp filter forbids the call");
            return;
        case KAIO_RAW_CAUSE_NO_CALL:
            PUT(out, "this kernel has no such call (CONFIG_AIO), or a seccomp filter says so");
            return;
        case KAIO_RAW_CAUSE_INTERRUPTED:
            PUT(out, "a signal came, or the process was stopped and continued");
            return;
        case KAIO_RAW_CAUSE_CANCEL_STARTED:
            PUT(out, "the cancellation has begun: the request's event will come");
            return;
        case KAIO_RAW_CAUSE_UNKNOWN:
            PUT(out, "error %ld, which this call is not known to give", -result);
            return;
    }
}

size_t kaio_raw_error_message(char *out_text, size_t size_bytes, enum kaio_raw_call call,
                              long result, const struct kaio_raw_numbers *numbers) {
    struct writer out = {out_text, size_bytes, 0};
    PUT(&out, "%s: ", kaio_raw_call_name(call));
    put_cause(&out, call, result, numbers);
    return out.length;
}
