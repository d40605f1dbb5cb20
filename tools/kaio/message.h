// tools/kaio/message.h: what a command says on stderr: `kaio: COMMAND: FILE: OPERATION: CAUSE`.
//
// Every line takes the place of the progress line, and has nothing in it that a terminal would act
// on: see text.h. All functions that say an error return false, so
// that a failure can be said and returned in one statement.

#ifndef KAIO_TOOLS_KAIO_MESSAGE_H_
#define KAIO_TOOLS_KAIO_MESSAGE_H_

#include <stdbool.h>

#include "kaio/safe/status.h"

// message_begin names the command for all lines to come. `command` stays the caller's and must
// last.
void message_begin(const char *command);

// message_note says something that is no error.
__attribute__((format(printf, 1, 2))) void message_note(const char *format, ...);

// message_error says what went wrong, in the caller's words.
__attribute__((format(printf, 1, 2))) bool message_error(const char *format, ...);

// message_os_error says that `operation` on `path` failed with the errno value `os_error`.
bool message_os_error(const char *path, const char *operation, int os_error);

// message_status says that `operation` on `path` was answered with `status`.
bool message_status(const char *path, const char *operation, kaio_status status);

#endif  // KAIO_TOOLS_KAIO_MESSAGE_H_
