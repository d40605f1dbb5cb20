// kaio/safe/status.h: what a call answers: one code, what it is about, and the numbers.
//
// A status is plain data, 16 bytes, returned in registers. It never doubles as a count, and it is
// never an outcome: what became of a request is in outcome.h.

#ifndef KAIO_SAFE_STATUS_H_
#define KAIO_SAFE_STATUS_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kaio/safe/base.h"

KAIO_BEGIN_DECLS

// A kaio_code is the answer itself. Switch over it without `default`.
typedef enum kaio_code {
    KAIO_OK = 0,
    // Misuse: nothing was changed.
    KAIO_NULL_ARGUMENT = 1,  // `subject` is NULL or points to NULL
    KAIO_STALE = 2,          // the handle's object is gone, or it never was one
    KAIO_FORKED = 3,         // the object belongs to the parent process
    KAIO_WRONG_THREAD = 4,   // the object belongs to another thread
    KAIO_REENTERED = 5,      // called from inside a call on the same queue (signal handler)
    KAIO_RANGE = 6,  // `subject` is outside its limits: detail = asked, allowed (or only asked)
    KAIO_ALIGN = 7,  // a direct or atomic transfer needs `subject` aligned: detail = excess, needed
    KAIO_ACCESS = 8,       // the file is not open for reading, or not for writing
    KAIO_UNSUPPORTED = 9,  // flags that cannot be had here: detail = the bits
    // Conditions: to be expected, and handled.
    KAIO_BUSY = 10,   // still in use: detail = see kaio_queue_close, kaio_file_close
    KAIO_FULL = 11,   // every place of `subject` is taken: detail = how many there are
    KAIO_EMPTY = 12,  // nothing is ready
    KAIO_NOTHING_TO_WAIT_FOR = 13,  // nothing is owed: waiting would never end
    KAIO_TIMED_OUT = 14,            // the deadline passed; everything in flight still is
    KAIO_AGAIN = 15,                // the kernel is short of memory; `detail` requests stay staged
    KAIO_CAN_STALL = 16,            // would sleep inside the submit call: see kaio_file_allow_stall
    KAIO_NO_MEMORY = 17,            // this process is out of memory
    KAIO_LIMIT = 18,        // a limit of the system: `subject` = DEPTH: fs.aio-max-nr is reached
    KAIO_OS_ERROR = 19,     // a system call failed: os_error
    KAIO_INTERRUPTED = 20,  // a signal handler ended the wait: a condition; nothing is lost
    KAIO_MODIFIED_IN_FLIGHT = 21,  // of a completion: a view's bytes changed while a write had it
    KAIO_OVERLAP = 22  // of a completion: it meets the range of a request that is under way
} kaio_code;

// A kaio_subject names the argument or object that the code is about.
typedef enum kaio_subject {
    KAIO_SUBJECT_NONE = 0,
    KAIO_SUBJECT_QUEUE = 1,
    KAIO_SUBJECT_FILE = 2,
    KAIO_SUBJECT_BUFFER = 3,
    KAIO_SUBJECT_REQUEST = 4,
    KAIO_SUBJECT_OUTPUT = 5,  // an out_ parameter
    KAIO_SUBJECT_OPTIONS = 6,
    KAIO_SUBJECT_DEPTH = 7,           // requests
    KAIO_SUBJECT_SIZE = 8,            // bytes
    KAIO_SUBJECT_ALIGNMENT = 9,       // bytes
    KAIO_SUBJECT_BUFFER_OFFSET = 10,  // bytes
    KAIO_SUBJECT_FILE_OFFSET = 11,    // bytes
    KAIO_SUBJECT_MEMORY = 12,         // the address of the bytes
    KAIO_SUBJECT_FLAGS = 13,
    KAIO_SUBJECT_PATH = 14,
    KAIO_SUBJECT_DESCRIPTOR = 15,
    KAIO_SUBJECT_KIND = 16,      // an enum parameter
    KAIO_SUBJECT_PRIORITY = 17,  // a level
    KAIO_SUBJECT_HANDLERS = 18,  // a kaio_handlers
    KAIO_SUBJECT_ELEMENT = 19,   // of an array: detail = its index
    KAIO_SUBJECT_VIEW = 20,
    KAIO_SUBJECT_REGION = 21,
    KAIO_SUBJECT_POOL = 22,
    KAIO_SUBJECT_FRAMES = 23,    // the frames of a region or pool, or the number of one
    KAIO_SUBJECT_SEGMENTS = 24,  // of readv and writev
    KAIO_SUBJECT_LATENCY = 25,   // a kaio_latency
    KAIO_SUBJECT_QUANTILE = 26   // in millionths
} kaio_subject;

// A kaio_status is the answer of a call.
typedef struct kaio_status {
    uint16_t code;     // a kaio_code
    uint16_t subject;  // a kaio_subject
    int32_t os_error;  // the kernel's errno value, unchanged, or 0
    uint64_t detail;   // as the code says: two 32-bit numbers (low: first), or one count
} kaio_status;

// kaio_status_is_ok is true when the call did what it promises.
static inline bool kaio_status_is_ok(kaio_status status) {
    return status.code == KAIO_OK;
}

// kaio_status_ok is the answer of a call that did what it promises, kaio_status_from_os_error that
// of one that the system refused with an errno: for functions that answer as kaio's do.
static inline kaio_status kaio_status_ok(void) {
    kaio_status status;
    status.code = KAIO_OK;
    status.subject = KAIO_SUBJECT_NONE;
    status.os_error = 0;
    status.detail = 0;
    return status;
}
static inline kaio_status kaio_status_from_os_error(int32_t os_error) {
    kaio_status status = kaio_status_ok();
    status.code = KAIO_OS_ERROR;
    status.os_error = os_error;
    return status;
}

// kaio_ignore states that `status` is dropped on purpose.
static inline void kaio_ignore(kaio_status status) {
    (void)status;
}

// kaio_status_name returns the code as a static lower-case word such as "stale"; never NULL, and
// "invalid" for a code that no call returns.
const char *kaio_status_name(kaio_status status) KAIO_NOEXCEPT;

// kaio_status_message writes one line with every number into out_text[0..size_bytes), cut to fit
// and always ended by a zero byte (nothing is written when size_bytes is 0), and returns the length
// that the whole line has, as snprintf(3) does.
//
// A NULL `out_text` is answered with the length alone. KAIO_STATUS_MESSAGE_BYTES are room for every
// line, its zero byte included.
#define KAIO_STATUS_MESSAGE_BYTES 256u
size_t kaio_status_message(kaio_status status, char *out_text, size_t size_bytes) KAIO_NOEXCEPT;

KAIO_END_DECLS

#endif  // KAIO_SAFE_STATUS_H_
