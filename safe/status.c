#undef _GNU_SOURCE  // whose strerror_r is another function
#define _POSIX_C_SOURCE 200809L

#include "kaio/safe/status.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *code_name(kaio_code code) {
    switch (code) {
        case KAIO_OK:
            return "ok";
        case KAIO_NULL_ARGUMENT:
            return "null argument";
        case KAIO_STALE:
            return "stale";
        case KAIO_FORKED:
            return "forked";
        case KAIO_WRONG_THREAD:
            return "wrong thread";
        case KAIO_REENTERED:
            return "reentered";
        case KAIO_RANGE:
            return "range";
        case KAIO_ALIGN:
            return "align";
        case KAIO_ACCESS:
            return "access";
        case KAIO_UNSUPPORTED:
            return "unsupported";
        case KAIO_BUSY:
            return "busy";
        case KAIO_FULL:
            return "full";
        case KAIO_EMPTY:
            return "empty";
        case KAIO_NOTHING_TO_WAIT_FOR:
            return "nothing to wait for";
        case KAIO_TIMED_OUT:
            return "timed out";
        case KAIO_AGAIN:
            return "again";
        case KAIO_CAN_STALL:
            return "can stall";
        case KAIO_NO_MEMORY:
            return "no memory";
        case KAIO_LIMIT:
            return "limit";
        case KAIO_OS_ERROR:
            return "system error";
        case KAIO_INTERRUPTED:
            return "interrupted";
        case KAIO_MODIFIED_IN_FLIGHT:
            return "modified in flight";
        case KAIO_OVERLAP:
            return "overlap";
    }
    return "invalid";
}

static const char *subject_name(kaio_subject subject) {
    switch (subject) {
        case KAIO_SUBJECT_NONE:
            return "call";
        case KAIO_SUBJECT_QUEUE:
            return "queue";
        case KAIO_SUBJECT_FILE:
            return "file";
        case KAIO_SUBJECT_BUFFER:
            return "buffer";
        case KAIO_SUBJECT_REQUEST:
            return "request";
        case KAIO_SUBJECT_OUTPUT:
            return "output argument";
        case KAIO_SUBJECT_OPTIONS:
            return "options";
        case KAIO_SUBJECT_DEPTH:
            return "depth";
        case KAIO_SUBJECT_SIZE:
            return "size";
        case KAIO_SUBJECT_ALIGNMENT:
            return "alignment";
        case KAIO_SUBJECT_BUFFER_OFFSET:
            return "buffer offset";
        case KAIO_SUBJECT_FILE_OFFSET:
            return "file offset";
        case KAIO_SUBJECT_MEMORY:
            return "buffer address";
        case KAIO_SUBJECT_FLAGS:
            return "flags";
        case KAIO_SUBJECT_PATH:
            return "path";
        case KAIO_SUBJECT_DESCRIPTOR:
            return "descriptor";
        case KAIO_SUBJECT_KIND:
            return "kind";
        case KAIO_SUBJECT_PRIORITY:
            return "priority";
        case KAIO_SUBJECT_HANDLERS:
            return "handlers";
        case KAIO_SUBJECT_ELEMENT:
            return "element";
        case KAIO_SUBJECT_LATENCY:
            return "latency";
        case KAIO_SUBJECT_QUANTILE:
            return "quantile";
        case KAIO_SUBJECT_VIEW:
            return "view";
        case KAIO_SUBJECT_REGION:
            return "region";
        case KAIO_SUBJECT_POOL:
            return "pool";
        case KAIO_SUBJECT_FRAMES:
            return "frames";
        case KAIO_SUBJECT_SEGMENTS:
            return "segments";
    }
    return "invalid subject";
}

const char *kaio_status_name(kaio_status status) {
    return code_name((kaio_code)status.code);
}

// A line is text that grows and counts what did not fit, as snprintf does.
struct line {
    char *text;
    size_t size_bytes;
    size_t length;
};

__attribute__((format(printf, 2, 3))) static void append(struct line *line, const char *format,
                                                         ...) {
    size_t used = line->length < line->size_bytes ? line->length : line->size_bytes;
    va_list arguments;
    va_start(arguments, format);
    int added = vsnprintf(line->text == NULL ? NULL : line->text + used, line->size_bytes - used,
                          format, arguments);
    va_end(arguments);
    line->length += added < 0 ? 0 : (size_t)added;
}

static unsigned first_half(kaio_status status) {
    return (unsigned)(status.detail & UINT32_MAX);
}

static unsigned second_half(kaio_status status) {
    return (unsigned)(status.detail >> 32);
}

static void append_busy(struct line *line, kaio_status status) {
    switch ((kaio_subject)status.subject) {
        case KAIO_SUBJECT_QUEUE:
            append(line, ": %u idle, %u staged, %u in flight, %u finished",
                   (unsigned)(status.detail & 0xffff), (unsigned)(status.detail >> 16 & 0xffff),
                   (unsigned)(status.detail >> 32 & 0xffff), (unsigned)(status.detail >> 48));
            return;
        case KAIO_SUBJECT_FILE:
            append(line, ": used by %u requests here, attached to %u queues of other threads",
                   first_half(status), second_half(status));
            return;
        case KAIO_SUBJECT_BUFFER:
            append(line, ": a request has it, or views, or the frame is out");
            return;
        case KAIO_SUBJECT_VIEW:
            append(line, first_half(status) > 0 ? ": %u other views live" : ": a request has it",
                   first_half(status));
            return;
        case KAIO_SUBJECT_REGION:
        case KAIO_SUBJECT_POOL:
            append(line, ": %u buffers are out", first_half(status));
            return;
        case KAIO_SUBJECT_DESCRIPTOR:
            append(line, ": another file owns it");
            return;
        case KAIO_SUBJECT_NONE:
        case KAIO_SUBJECT_REQUEST:
        case KAIO_SUBJECT_OUTPUT:
        case KAIO_SUBJECT_OPTIONS:
        case KAIO_SUBJECT_DEPTH:
        case KAIO_SUBJECT_SIZE:
        case KAIO_SUBJECT_ALIGNMENT:
        case KAIO_SUBJECT_BUFFER_OFFSET:
        case KAIO_SUBJECT_FILE_OFFSET:
        case KAIO_SUBJECT_MEMORY:
        case KAIO_SUBJECT_FLAGS:
        case KAIO_SUBJECT_PATH:
        case KAIO_SUBJECT_PRIORITY:
        case KAIO_SUBJECT_KIND:
        case KAIO_SUBJECT_HANDLERS:
        case KAIO_SUBJECT_ELEMENT:
        case KAIO_SUBJECT_LATENCY:
        case KAIO_SUBJECT_QUANTILE:
        case KAIO_SUBJECT_FRAMES:
        case KAIO_SUBJECT_SEGMENTS:
            return;
    }
}

// append_numbers adds what the detail of each code means.
static void append_numbers(struct line *line, kaio_status status) {
    if (status.subject == KAIO_SUBJECT_ELEMENT) {
        append(line, ": the one with index %llu", (unsigned long long)status.detail);
        return;
    }
    switch ((kaio_code)status.code) {
        case KAIO_RANGE:
            if (status.subject == KAIO_SUBJECT_FILE_OFFSET) {
                append(line, ": %llu and the size are more than the largest file offset, %lld",
                       (unsigned long long)status.detail, (long long)INT64_MAX);
                return;
            }
            append(line, ": asked for %u, the limit is %u", first_half(status),
                   second_half(status));
            return;
        case KAIO_ALIGN:
            append(line, ": %u bytes past a multiple of %u, which it needs", first_half(status),
                   second_half(status));
            return;
        case KAIO_UNSUPPORTED:
            if (status.detail != 0) {
                append(line, ": bits 0x%llx are not supported here",
                       (unsigned long long)status.detail);
            }
            return;
        case KAIO_FULL:
            append(line, ": all %llu places are taken", (unsigned long long)status.detail);
            return;
        case KAIO_AGAIN:
            append(line, ": the kernel is short of memory, %llu requests stay staged",
                   (unsigned long long)status.detail);
            return;
        case KAIO_LIMIT:
            if (status.subject == KAIO_SUBJECT_FRAMES) {
                append(line, ": asked for %u, of %u for all regions and pools too little is left",
                       first_half(status), second_half(status));
                return;
            }
            append(line, ": fs.aio-nr is %u and fs.aio-max-nr %u, too little is left",
                   first_half(status), second_half(status));
            return;
        case KAIO_BUSY:
            append_busy(line, status);
            return;
        case KAIO_ACCESS:
            append(line, status.subject == KAIO_SUBJECT_FILE
                             ? ": not open for this"
                             : ": the request has one, not the other");
            return;
        case KAIO_MODIFIED_IN_FLIGHT:
            append(line, ": its bytes changed while a write had it");
            return;
        case KAIO_OVERLAP:
            append(line, ": its range meets that of the request with the user value %" PRIu64,
                   status.detail);
            return;
        case KAIO_CAN_STALL:
            append(line, ": it could sleep inside the submit call");
            return;
        case KAIO_OK:
        case KAIO_NULL_ARGUMENT:
        case KAIO_STALE:
        case KAIO_FORKED:
        case KAIO_WRONG_THREAD:
        case KAIO_REENTERED:
        case KAIO_EMPTY:
        case KAIO_NOTHING_TO_WAIT_FOR:
        case KAIO_TIMED_OUT:
        case KAIO_NO_MEMORY:
        case KAIO_OS_ERROR:
        case KAIO_INTERRUPTED:
            return;
    }
}

size_t kaio_status_message(kaio_status status, char *out_text, size_t size_bytes) {
    struct line line = {.text = out_text, .size_bytes = out_text == NULL ? 0 : size_bytes};
    append(&line, "%s", kaio_status_name(status));
    if (status.subject != KAIO_SUBJECT_NONE) {
        append(&line, " (%s)", subject_name((kaio_subject)status.subject));
    }
    append_numbers(&line, status);
    if (status.os_error != 0) {
        char cause[128];
        append(&line, ": %s (errno %d)",
               strerror_r(status.os_error, cause, sizeof cause) == 0 ? cause : "unknown error",
               (int)status.os_error);
    }
    return line.length;
}
