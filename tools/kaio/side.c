#define _GNU_SOURCE  // O_DIRECT

#include "side.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "message.h"

// Not by open(2): with O_CREAT and O_DIRECT a file system without the latter creates, then refuses.
static void try_direct(const char *path, int fd) {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_DIRECT) != 0) {
        message_note("%s: no direct I/O here (%s), copying buffered", path, strerror(errno));
    }
}

bool side_adopt(const char *path, int fd, bool wants_direct, struct side *out_side) {
    if (wants_direct) {
        try_direct(path, fd);
    }
    struct side side = {.path = path, .fd = fd};
    kaio_status status = kaio_file_adopt(fd, &side.file);
    if (!kaio_status_is_ok(status)) {
        (void)close(fd);
        return message_status(path, "open", status);
    }
    status = kaio_file_alignment(side.file, &side.alignment);
    if (!kaio_status_is_ok(status)) {
        side_close(&side);
        return message_status(path, "alignment", status);
    }
    *out_side = side;
    return true;
}

uint32_t side_align_bytes(const struct side *side, kaio_operation operation) {
    return operation == KAIO_READ ? side->alignment.read_bytes : side->alignment.write_bytes;
}

void side_close(struct side *side) {
    kaio_file_drop(&side->file);
    *side = (struct side){.fd = -1};
}
