#define _GNU_SOURCE  // struct winsize

#include "progress.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "number.h"

enum { LINE_BYTES = 160, DEFAULT_COLUMNS = 80 };

static const int64_t interval_ns = INT64_C(200) * 1000 * 1000;

static struct {
    bool is_allowed;
    const char *verb;  // NULL between two stages
    uint64_t done_bytes;
    uint64_t total_bytes;
    int64_t began_at_ns;
    int64_t due_at_ns;
    int drawn_columns;
} line;

static int64_t now_ns(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int columns(void) {
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < 2) {
        return DEFAULT_COLUMNS;
    }
    return size.ws_col;
}

// describe_rate adds what only time can tell: bytes a second, and how long the rest will take.
static void describe_rate(char *text, size_t size_bytes, double elapsed_s) {
    double rate = (double)line.done_bytes / elapsed_s;
    uint64_t left_s = (uint64_t)((double)(line.total_bytes - line.done_bytes) / rate + 0.5);
    char rate_text[SIZE_TEXT_BYTES];
    (void)snprintf(text, size_bytes, "  %s/s  %u:%02u:%02u left",
                   size_format((uint64_t)rate, rate_text), (unsigned)(left_s / 3600),
                   (unsigned)(left_s / 60 % 60), (unsigned)(left_s % 60));
}

static void describe(char text[LINE_BYTES], int64_t at_ns) {
    if (line.total_bytes == 0) {
        (void)snprintf(text, LINE_BYTES, "%s", line.verb);
        return;
    }
    char done_text[SIZE_TEXT_BYTES];
    char total_text[SIZE_TEXT_BYTES];
    char rate_text[LINE_BYTES / 2] = "";
    if (line.done_bytes > 0 && at_ns > line.began_at_ns) {
        describe_rate(rate_text, sizeof rate_text, (double)(at_ns - line.began_at_ns) / 1e9);
    }
    unsigned percent = (unsigned)(100 * (double)line.done_bytes / (double)line.total_bytes);
    (void)snprintf(text, LINE_BYTES, "%s %3u%%  %s of %s%s", line.verb, percent,
                   size_format(line.done_bytes, done_text),
                   size_format(line.total_bytes, total_text), rate_text);
}

void progress_allow(void) {
    line.is_allowed = isatty(STDERR_FILENO) == 1;
}

void progress_begin(const char *verb, uint64_t total_bytes) {
    progress_end();
    line.verb = verb;
    line.done_bytes = 0;
    line.total_bytes = total_bytes;
    line.began_at_ns = now_ns();
    line.due_at_ns = line.began_at_ns;
    progress_draw();
}

void progress_add(uint64_t bytes) {
    line.done_bytes += bytes;
}

kaio_deadline progress_deadline(void) {
    bool is_on = line.is_allowed && line.verb != NULL;
    return is_on ? kaio_deadline_at_ns(line.due_at_ns) : kaio_deadline_never();
}

void progress_draw(void) {
    if (!line.is_allowed || line.verb == NULL) {
        return;
    }
    int64_t at_ns = now_ns();
    if (at_ns < line.due_at_ns) {
        return;
    }
    line.due_at_ns = at_ns + interval_ns;
    char text[LINE_BYTES];
    describe(text, at_ns);
    int room = columns() - 1;
    int length = (int)strlen(text);
    int shown = length < room ? length : room;
    int blank = line.drawn_columns > shown ? line.drawn_columns - shown : 0;
    (void)fprintf(stderr, "\r%.*s%*s", shown, text, blank, "");
    line.drawn_columns = shown;
}

void progress_clear(void) {
    if (line.drawn_columns > 0) {
        (void)fprintf(stderr, "\r%*s\r", line.drawn_columns, "");
        line.drawn_columns = 0;
    }
}

void progress_end(void) {
    progress_clear();
    line.verb = NULL;
}
