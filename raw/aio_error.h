// kaio/raw/aio_error.h: what an error of one of the six calls means, in a word and in a sentence.
//
// Everything but kaio_raw_limits_read is a pure function of its arguments. The result of a call
// goes in as it came: 0, a count or -errno. Of an event's res this header knows nothing.

#ifndef KAIO_RAW_AIO_ERROR_H_
#define KAIO_RAW_AIO_ERROR_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum kaio_raw_call {
    KAIO_RAW_CALL_SETUP = 0,
    KAIO_RAW_CALL_DESTROY = 1,
    KAIO_RAW_CALL_SUBMIT = 2,
    KAIO_RAW_CALL_CANCEL = 3,
    KAIO_RAW_CALL_GETEVENTS = 4,
    KAIO_RAW_CALL_PGETEVENTS = 5,
};

// enum kaio_raw_cause says which of its reasons a call gave. EINVAL has several in most calls: the
// cause is then as narrow as the kernel's answer allows.
enum kaio_raw_cause {
    KAIO_RAW_CAUSE_NONE = 0,             // no error
    KAIO_RAW_CAUSE_SYSTEM_LIMIT = 1,     // setup EAGAIN: fs.aio-max-nr
    KAIO_RAW_CAUSE_NO_ROOM = 2,          // submit EAGAIN: no slot, or no kernel memory for one
    KAIO_RAW_CAUSE_NO_MEMORY = 3,        // setup, submit ENOMEM
    KAIO_RAW_CAUSE_BAD_ADDRESS = 4,      // EFAULT: which pointers, the message says
    KAIO_RAW_CAUSE_BAD_COUNT = 5,        // setup EINVAL: nr_events, or *out_ctx is not 0
    KAIO_RAW_CAUSE_NO_CONTEXT = 6,       // destroy EINVAL: none, or destroyed already
    KAIO_RAW_CAUSE_BAD_REQUEST = 7,      // submit EINVAL: the context, the count or iocbs[0]
    KAIO_RAW_CAUSE_NOT_PENDING = 8,      // cancel EINVAL: nothing there that can be cancelled
    KAIO_RAW_CAUSE_BAD_WAIT = 9,         // getevents EINVAL: the context, min_nr or nr
    KAIO_RAW_CAUSE_BAD_FILE = 10,        // submit EBADF: not open, or not for this
    KAIO_RAW_CAUSE_NOT_SUPPORTED = 11,   // submit EOPNOTSUPP: an RWF flag
    KAIO_RAW_CAUSE_NOT_PERMITTED = 12,   // submit EPERM: priority, append-only, or a filter
    KAIO_RAW_CAUSE_FILTERED = 13,        // EPERM of the other calls: seccomp
    KAIO_RAW_CAUSE_NO_CALL = 14,         // ENOSYS: no CONFIG_AIO, or seccomp
    KAIO_RAW_CAUSE_INTERRUPTED = 15,     // setup, getevents EINTR
    KAIO_RAW_CAUSE_CANCEL_STARTED = 16,  // cancel EINPROGRESS: the success; its event will come
    KAIO_RAW_CAUSE_UNKNOWN = 17,         // no errno that this call is known to give
};

// struct kaio_raw_limits is how much of the system's allowance is in use: requested, not in flight.
struct kaio_raw_limits {
    uint64_t aio_nr;      // /proc/sys/fs/aio-nr
    uint64_t aio_max_nr;  // /proc/sys/fs/aio-max-nr
};

// struct kaio_raw_numbers is what a message names. What a call has no use for is not looked at.
struct kaio_raw_numbers {
    int64_t nr;                            // nr_events of setup, nr of submit and getevents
    int64_t min_nr;                        // of getevents
    const struct kaio_raw_limits *limits;  // for setup; NULL when they could not be read
};

// kaio_raw_cause_of is the cause of `result`, an answer of `call`.
//
// Kernel:    fs/aio.c; each pair is shown by a test of that call, but for ENOMEM and EACCES of
//            submit and EINTR of setup, which cannot be had on request.
enum kaio_raw_cause kaio_raw_cause_of(enum kaio_raw_call call, long result);

// kaio_raw_call_name is the kernel's name of `call`: "io_setup". Static text.
const char *kaio_raw_call_name(enum kaio_raw_call call);

// kaio_raw_cause_name is the name of `cause` without its prefix: "SYSTEM_LIMIT". Static text.
const char *kaio_raw_cause_name(enum kaio_raw_cause cause);

// kaio_raw_limits_read reads the system's limits as they are now: 0 or -errno.
//
// Other processes change aio-nr at any moment. The caller's errno is left alone.
// Ownership: `*out_limits` is written on 0 only.
// Errors:    those of open(2) and read(2); -EINVAL no number there.
// Kernel:    aio_sysctls, fs/aio.c.
long kaio_raw_limits_read(struct kaio_raw_limits *out_limits);

// kaio_raw_error_message writes one sentence about `result` into `out_text[0..size_bytes)`.
//
// It begins with the call's name, names the numbers that decide, and says what to do where there is
// something. Returns its length without the 0, as snprintf does: >= `size_bytes` if it was cut.
// `out_text` may be NULL when `size_bytes` is 0.
size_t kaio_raw_error_message(char *out_text, size_t size_bytes, enum kaio_raw_call call,
                              long result, const struct kaio_raw_numbers *numbers);

#ifdef __cplusplus
}
#endif

#endif  // KAIO_RAW_AIO_ERROR_H_
