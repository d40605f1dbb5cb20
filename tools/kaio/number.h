// tools/kaio/number.h: numbers and sizes as people write and read them.

#ifndef KAIO_TOOLS_KAIO_NUMBER_H_
#define KAIO_TOOLS_KAIO_NUMBER_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// number_parse reads a whole decimal number: digits alone, that fit.
bool number_parse(const char *text, uint64_t *out_number);

// size_parse reads a number of bytes with an optional K, M or G (powers of 1024).
bool size_parse(const char *text, uint64_t *out_bytes);

// Room for the text of size_format.
enum { SIZE_TEXT_BYTES = 32 };

// size_format writes `bytes` for people, such as "512 B" or "1.5 GiB", and returns `out_text`.
const char *size_format(uint64_t bytes, char out_text[SIZE_TEXT_BYTES]);

#endif  // KAIO_TOOLS_KAIO_NUMBER_H_
