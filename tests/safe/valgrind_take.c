// Reads 64 bytes into the middle of memory that nobody wrote to, and looks at what arrived; with an
// argument, at the byte in front of it or behind it, which memcheck must call undefined.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kaio/safe/kaio.h"

enum { SIZE_BYTES = 128, FIRST = 32, READ_BYTES = 64, ROUNDS = 100 };

static int sum;

static void check(kaio_status status) {
    if (!kaio_status_is_ok(status)) {
        char text[256];
        (void)kaio_status_message(status, text, sizeof text);
        (void)fprintf(stderr, "valgrind_take: %s\n", text);
        exit(2);
    }
}

static void look_at(const uint8_t *byte) {
    if (*byte == 0) {
        ++sum;
    }
}

static void look(const uint8_t *bytes, const char *where) {
    if (strcmp(where, "before") == 0) {
        look_at(bytes + FIRST - 1);
    } else if (strcmp(where, "behind") == 0) {
        look_at(bytes + FIRST + READ_BYTES);
    } else {
        for (int i = FIRST; i < FIRST + READ_BYTES; ++i) {
            look_at(bytes + i);
        }
    }
}

static void read_once(kaio_queue *queue, kaio_file *file, const char *where) {
    uint8_t *bytes = malloc(SIZE_BYTES);
    kaio_buffer *buffer = NULL;
    check(kaio_buffer_adopt(bytes, SIZE_BYTES, NULL, NULL, &buffer));
    const kaio_range range = {.buffer_offset_bytes = FIRST, .size_bytes = READ_BYTES};
    kaio_ticket ticket;
    check(kaio_read_start(queue, file, range, kaio_rw_none(), 0, &buffer, &ticket));
    uint32_t ready;
    check(kaio_queue_wait(queue, 1, kaio_deadline_never(), &ready));
    kaio_completion completion;
    check(kaio_queue_take(queue, &completion));
    look(bytes, where);
    kaio_completion_drop(&completion);
    free(bytes);
}

int main(int argc, char **argv) {
    const char *where = argc > 1 ? argv[1] : "inside";
    kaio_queue *queue = NULL;
    kaio_file *file = NULL;
    const kaio_queue_options options = {.depth = 4};
    check(kaio_queue_open(&options, &queue));
    check(kaio_file_open("/dev/zero", 0, 0, &file));
    for (int i = 0; i < ROUNDS; ++i) {  // more than io_setup's argument: around the ring
        read_once(queue, file, where);
    }
    check(kaio_queue_close(&queue));
    check(kaio_file_close(&file));
    return sum == 0 ? 1 : 0;
}
