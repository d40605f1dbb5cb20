#include "number.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

// parse_digits reads the digits that `text` begins with; strtoull alone also takes blanks and
// signs.
static bool parse_digits(const char *text, uint64_t *out_number, const char **out_rest) {
    if (text[0] < '0' || text[0] > '9') {
        return false;
    }
    char *rest;
    errno = 0;
    unsigned long long number = strtoull(text, &rest, 10);
    if (errno != 0) {
        return false;
    }
    *out_number = number;
    *out_rest = rest;
    return true;
}

bool number_parse(const char *text, uint64_t *out_number) {
    const char *rest;
    uint64_t number;
    if (!parse_digits(text, &number, &rest) || rest[0] != '\0') {
        return false;
    }
    *out_number = number;
    return true;
}

// suffix_shift gives the power of two behind a suffix, or -1 where it is none.
static int suffix_shift(char suffix) {
    switch (suffix) {
        case '\0':
            return 0;
        case 'K':
        case 'k':
            return 10;
        case 'M':
        case 'm':
            return 20;
        case 'G':
        case 'g':
            return 30;
        default:
            return -1;
    }
}

bool size_parse(const char *text, uint64_t *out_bytes) {
    const char *rest;
    uint64_t number;
    if (!parse_digits(text, &number, &rest)) {
        return false;
    }
    int shift = suffix_shift(rest[0]);
    if (shift < 0 || (rest[0] != '\0' && rest[1] != '\0') || number > UINT64_MAX >> shift) {
        return false;
    }
    *out_bytes = number << shift;
    return true;
}

const char *size_format(uint64_t bytes, char out_text[SIZE_TEXT_BYTES]) {
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    if (bytes < 1024) {
        (void)snprintf(out_text, SIZE_TEXT_BYTES, "%u B", (unsigned)bytes);
        return out_text;
    }
    size_t unit = 0;
    for (; bytes >= UINT64_C(1) << 20; bytes >>= 10) {
        ++unit;
    }
    unsigned tenths = (unsigned)(bytes % 1024 * 10 / 1024);
    (void)snprintf(out_text, SIZE_TEXT_BYTES, "%u.%u %s", (unsigned)(bytes / 1024), tenths,
                   units[unit]);
    return out_text;
}
