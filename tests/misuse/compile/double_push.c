// A request is pushed twice through the same variable. -DKIND=read, write, sync or poll.

#include "kaio/safe/kaio.h"

#define JOIN(a, b, c) a##b##c
#define TYPE(kind) JOIN(kaio_, kind, )
#define PUSH(kind) JOIN(kaio_, kind, _push)

void double_push(TYPE(KIND) * request);

void double_push(TYPE(KIND) * request) {
    PUSH(KIND)(&request, 1);
#ifndef OK
    PUSH(KIND)(&request, 2);
#endif
}
