// A variable is pushed that never got a request. -DKIND=read, write, sync or poll.

#include "kaio/safe/kaio.h"

#define JOIN(a, b, c) a##b##c
#define TYPE(kind) JOIN(kaio_, kind, )
#define PUSH(kind) JOIN(kaio_, kind, _push)

void push_of_null(TYPE(KIND) * given);

void push_of_null(TYPE(KIND) * given) {
    TYPE(KIND) *request = KAIO_NULL;
#ifdef OK
    request = given;
#else
    (void)given;
#endif
    PUSH(KIND)(&request, 1);
}
