// The peer: what wal_device_kaio.c does, on libaio, as it is written by hand.

#define _GNU_SOURCE  // O_DIRECT

#include <errno.h>
#include <fcntl.h>
#include <libaio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "wal_device.h"
#include "wal_format.h"

enum { SHORT_COUNT_MAX = 64 };

struct wal_device {
    io_context_t context;
    uint8_t *buffers[WAL_BUFFER_COUNT];
    uint32_t file_count;
    int fds[];
};

static bool failed(const char *what, int error, wal_error *out_error) {
    (void)snprintf(out_error->text, sizeof out_error->text, "%.350s: %s", what, strerror(error));
    return false;
}

static bool open_all(wal_device *device, const char *folder, uint32_t count, uint32_t buffer_bytes,
                     bool is_buffered, wal_error *out_error) {
    int error = -io_setup(2, &device->context);
    if (error != 0) {
        return failed("kernel AIO", error, out_error);
    }
    for (uint32_t i = 0; i < WAL_BUFFER_COUNT; ++i) {
        void *bytes;
        error = posix_memalign(&bytes, WAL_BLOCK_BYTES, buffer_bytes);
        if (error != 0) {
            return failed("a buffer", error, out_error);
        }
        device->buffers[i] = memset(bytes, 0, buffer_bytes);
    }
    for (; device->file_count < count; ++device->file_count) {
        char path[WAL_PATH_BYTES];
        wal_segment_path(folder, device->file_count, path);
        int fd = open(path, O_RDWR | O_CLOEXEC | (is_buffered ? 0 : O_DIRECT));
        if (fd < 0) {
            return failed(path, errno, out_error);
        }
        device->fds[device->file_count] = fd;
    }
    return true;
}

wal_device *wal_device_open(const char *folder, uint32_t count, uint32_t buffer_bytes,
                            bool is_buffered, wal_error *out_error) {
    wal_device *device = calloc(1, sizeof *device + count * sizeof(int));
    if (device == NULL) {
        (void)failed("no memory", ENOMEM, out_error);
        return NULL;
    }
    if (!open_all(device, folder, count, buffer_bytes, is_buffered, out_error)) {
        wal_device_close(device);
        return NULL;
    }
    return device;
}

void wal_device_close(wal_device *device) {
    if (device == NULL) {
        return;
    }
    if (device->context != NULL) {
        (void)io_destroy(device->context);
    }
    for (uint32_t i = 0; i < WAL_BUFFER_COUNT; ++i) {
        free(device->buffers[i]);
    }
    for (uint32_t i = 0; i < device->file_count; ++i) {
        (void)close(device->fds[i]);
    }
    free(device);
}

uint8_t *wal_device_bytes(const wal_device *device, uint32_t buffer) {
    return device->buffers[buffer];
}

// perform submits one request and waits for it. Returns what the event says, or -errno.
static int64_t perform(wal_device *device, struct iocb *request) {
    int count;
    do {
        count = io_submit(device->context, 1, &request);
    } while (count == -EAGAIN || count == -EINTR || count == 0);
    if (count < 0) {
        return count;
    }
    struct io_event event;
    do {
        count = io_getevents(device->context, 1, 1, &event, NULL);
    } while (count == -EINTR || count == 0);
    return count < 0 ? count : (int64_t)event.res;
}

bool wal_device_write(wal_device *device, uint32_t file, uint32_t buffer, uint64_t offset,
                      uint32_t size_bytes, bool is_durable, wal_error *out_error) {
    struct iocb request;
    uint32_t short_count = 0;
    for (uint32_t done = 0; done < size_bytes;) {
        io_prep_pwrite(&request, device->fds[file], device->buffers[buffer] + done,
                       size_bytes - done, (long long)(offset + done));
        int64_t moved = perform(device, &request);
        if (moved < 0) {
            return failed("write", (int)-moved, out_error);
        }
        uint32_t end = done + (uint32_t)moved;
        done = end == size_bytes ? end : end / WAL_BLOCK_BYTES * WAL_BLOCK_BYTES;
        if (done < size_bytes && ++short_count > SHORT_COUNT_MAX) {
            return failed("write: short again and again", EIO, out_error);
        }
    }
    if (is_durable) {
        io_prep_fdsync(&request, device->fds[file]);
        int64_t answer = perform(device, &request);
        if (answer < 0) {
            return failed("sync", (int)-answer, out_error);
        }
    }
    return true;
}

int64_t wal_device_read(wal_device *device, uint32_t file, uint32_t buffer, uint64_t offset,
                        uint32_t size_bytes, wal_error *out_error) {
    struct iocb request;
    io_prep_pread(&request, device->fds[file], device->buffers[buffer], size_bytes,
                  (long long)offset);
    int64_t moved = perform(device, &request);
    if (moved < 0) {
        (void)failed("read", (int)-moved, out_error);
        return -1;
    }
    return moved;
}

void wal_device_hand_over(wal_device *device) {
    (void)device;
}

void wal_device_take_over(wal_device *device) {
    (void)device;
}
