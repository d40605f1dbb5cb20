// A copy of a read is pushed when the read was. -DKIND=read, write, sync or poll.

#include "kaio/safe/kaio.h"

#define JOIN(a, b, c) a##b##c
#define TYPE(kind) JOIN(kaio_, kind, )
#define PUSH(kind) JOIN(kaio_, kind, _push)

void alias_pushed(TYPE(KIND) * request);

void alias_pushed(TYPE(KIND) * request) {
    TYPE(KIND) *alias = request;
    PUSH(KIND)(&request, 1);
#ifdef OK
    (void)alias;
#else
    PUSH(KIND)(&alias, 2);
#endif
}
