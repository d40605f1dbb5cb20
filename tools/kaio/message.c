#include "message.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "progress.h"
#include "text.h"

static const char *command = "";

// Two paths of the greatest length and what is said of them; more is cut off.
enum { LINE_BYTES = 10 * 1024 };

__attribute__((format(printf, 1, 0))) static void say(const char *format, va_list arguments) {
    char line[LINE_BYTES];
    (void)vsnprintf(line, sizeof line, format, arguments);
    progress_clear();
    (void)fprintf(stderr, "kaio: %s: ", command);
    text_put(stderr, line, sizeof line);
    (void)fputc('\n', stderr);
}

void message_begin(const char *name) {
    command = name;
}

void message_note(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
}

bool message_error(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
    return false;
}

bool message_os_error(const char *path, const char *operation, int os_error) {
    return message_error("%s: %s: %s", path, operation, strerror(os_error));
}

bool message_status(const char *path, const char *operation, kaio_status status) {
    if (status.code == KAIO_OS_ERROR) {
        return message_os_error(path, operation, status.os_error);
    }
    char text[KAIO_STATUS_MESSAGE_BYTES];
    (void)kaio_status_message(status, text, sizeof text);
    return message_error("%s: %s: %s", path, operation, text);
}
