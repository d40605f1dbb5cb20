// tools/kaio/text.h: text of others, such as a path, before it reaches a terminal or a format.

#ifndef KAIO_TOOLS_KAIO_TEXT_H_
#define KAIO_TOOLS_KAIO_TEXT_H_

#include <stddef.h>
#include <stdio.h>

// text_character is how many bytes the UTF-8 character at `text` has: 0 at the end of the string,
// and where there is none.
size_t text_character(const char *text);

// text_put writes the first `size_bytes` bytes of the string `text`, or all there are. What a
// terminal would act on, and what is no UTF-8, is shown as "?".
void text_put(FILE *file, const char *text, size_t size_bytes);

#endif  // KAIO_TOOLS_KAIO_TEXT_H_
