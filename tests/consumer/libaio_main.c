#include <libaio.h>

int main(void) {
    io_context_t ctx = NULL;
    struct io_event event;
    if (io_setup(4, &ctx) != 0 || io_getevents(ctx, 0, 1, &event, NULL) != 0) {
        return 1;
    }
    return io_destroy(ctx) == 0 ? 0 : 2;
}
