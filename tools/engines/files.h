// tools/engines/files.h: what the engines do to files besides reading and writing them.

#ifndef KAIO_TOOLS_ENGINES_FILES_H_
#define KAIO_TOOLS_ENGINES_FILES_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// An engine_text is where a reason goes: text[0..size_bytes).
typedef struct engine_text {
    char *text;
    size_t size_bytes;
} engine_text;

// engine_text_of is the text of a wal_error or pages_error.
#define engine_text_of(error) \
    ((engine_text){.text = (error)->text, .size_bytes = sizeof(error)->text})

// engine_say writes a reason.
__attribute__((format(printf, 2, 3))) void engine_say(engine_text out_text, const char *format,
                                                      ...);

// engine_make_file makes a file that is not there, and its space, both durable.
bool engine_make_file(const char *path, uint64_t size_bytes, engine_text out_why);

// engine_sync_folder makes the names in a folder durable.
bool engine_sync_folder(const char *folder, engine_text out_why);

#endif  // KAIO_TOOLS_ENGINES_FILES_H_
