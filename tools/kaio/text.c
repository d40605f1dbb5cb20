#include "text.h"

#include <stdbool.h>
#include <stdint.h>

enum { DELETE = 0x7f, CONTROLS_END = 0xa0, SURROGATE_FIRST = 0xd800, SURROGATE_END = 0xe000 };

static const uint32_t last_character = 0x10ffff;

// decode gives the size of the character as text_character does, and the character.
static size_t decode(const char *text, uint32_t *out_character) {
    static const struct {
        uint8_t mask;
        uint8_t lead;
        uint32_t first;  // what is less has a shorter form
    } forms[] = {
        {0x80, 0x00, 0x01}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
    const uint8_t *bytes = (const uint8_t *)text;
    size_t form = 0;
    while (form < sizeof forms / sizeof forms[0] &&
           (bytes[0] & forms[form].mask) != forms[form].lead) {
        ++form;
    }
    if (form == sizeof forms / sizeof forms[0]) {
        return 0;
    }
    uint32_t character = bytes[0] & (uint8_t)~forms[form].mask;
    for (size_t i = 1; i <= form; ++i) {
        if ((bytes[i] & 0xc0) != 0x80) {  // so is the end of the string
            return 0;
        }
        character = character << 6 | (bytes[i] & 0x3f);
    }
    bool is_surrogate = character >= SURROGATE_FIRST && character < SURROGATE_END;
    if (character < forms[form].first || character > last_character || is_surrogate) {
        return 0;
    }
    *out_character = character;
    return form + 1;
}

size_t text_character(const char *text) {
    uint32_t character;
    return decode(text, &character);
}

void text_put(FILE *file, const char *text, size_t size_bytes) {
    const char *end = text + size_bytes;
    while (text < end && *text != '\0') {
        uint32_t character = 0;
        size_t count = decode(text, &character);
        bool is_control = character < ' ' || (character >= DELETE && character < CONTROLS_END);
        if (count == 0 || is_control) {
            (void)fputc('?', file);
        } else {
            (void)fwrite(text, 1, count, file);
        }
        text += count == 0 ? 1 : count;
    }
}
