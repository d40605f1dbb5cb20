// The layout of every public type, as one compiler has it. layout.c and layout_test.cc include this
// file, and each has its own numbers in it.

#ifndef KAIO_TESTS_SAFE_LAYOUT_H_
#define KAIO_TESTS_SAFE_LAYOUT_H_

#include <stddef.h>

#include "kaio/safe/kaio.h"

KAIO_BEGIN_DECLS

// A type, when `field` is NULL, or a field of it. In bytes.
typedef struct layout_row {
    const char *type;
    const char *field;
    size_t offset;
    size_t size;
    size_t align;
} layout_row;

// The layout in C; its last row has a NULL `type`.
const layout_row *layout_in_c(void);

KAIO_END_DECLS

#ifdef __cplusplus
#    define LAYOUT_ALIGN(name) alignof(name)
#    define LAYOUT_FIELD_SIZE(name, field) sizeof(name::field)
#else
#    define LAYOUT_ALIGN(name) _Alignof(name)
#    define LAYOUT_FIELD_SIZE(name, field) sizeof(((name *)NULL)->field)
#endif

#define LAYOUT_TYPE(name) {#name, KAIO_NULL, 0, sizeof(name), LAYOUT_ALIGN(name)},
#define LAYOUT_FIELD(name, field) \
    {#name, #field, offsetof(name, field), LAYOUT_FIELD_SIZE(name, field), 1},

static const layout_row layout_here[] = {
#include "tests/safe/layout_rows.inc"
    {KAIO_NULL, KAIO_NULL, 0, 0, 0},
};

#endif  // KAIO_TESTS_SAFE_LAYOUT_H_
