#define _GNU_SOURCE  // O_DIRECT

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "kaio/safe/kaio.h"
#include "wal_device.h"
#include "wal_format.h"

// What is in flight at once: a write and the sync behind it.
enum { DEPTH = 2, SHORT_COUNT_MAX = 64 };

struct wal_device {
    kaio_queue *queue;
    kaio_buffer *buffers[WAL_BUFFER_COUNT];
    uint32_t file_count;
    kaio_file *files[];
};

static bool failed(const char *what, kaio_status status, wal_error *out_error) {
    char text[150];
    kaio_status_message(status, text, sizeof text);
    (void)snprintf(out_error->text, sizeof out_error->text, "%.350s: %s", what, text);
    return false;
}

static bool open_all(wal_device *device, const char *folder, uint32_t count, uint32_t buffer_bytes,
                     bool is_buffered, wal_error *out_error) {
    const kaio_queue_options options = {.depth = DEPTH};
    kaio_status status = kaio_queue_open(&options, &device->queue);
    if (!kaio_status_is_ok(status)) {
        return failed("kernel AIO", status, out_error);
    }
    for (uint32_t i = 0; i < WAL_BUFFER_COUNT; ++i) {
        status = kaio_buffer_new(buffer_bytes, WAL_BLOCK_BYTES, &device->buffers[i]);
        if (!kaio_status_is_ok(status)) {
            return failed("a buffer", status, out_error);
        }
    }
    for (; device->file_count < count; ++device->file_count) {
        char path[WAL_PATH_BYTES];
        wal_segment_path(folder, device->file_count, path);
        status = kaio_file_open(path, O_RDWR | (is_buffered ? 0 : O_DIRECT), 0,
                                &device->files[device->file_count]);
        if (!kaio_status_is_ok(status)) {
            return failed(path, status, out_error);
        }
    }
    return true;
}

wal_device *wal_device_open(const char *folder, uint32_t count, uint32_t buffer_bytes,
                            bool is_buffered, wal_error *out_error) {
    wal_device *device = calloc(1, sizeof *device + count * sizeof(kaio_file *));
    if (device == NULL) {
        (void)snprintf(out_error->text, sizeof out_error->text, "no memory");
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
    kaio_queue_drop(&device->queue);
    for (uint32_t i = 0; i < WAL_BUFFER_COUNT; ++i) {
        kaio_buffer_drop(&device->buffers[i]);
    }
    for (uint32_t i = 0; i < device->file_count; ++i) {
        kaio_file_drop(&device->files[i]);
    }
    free(device);
}

uint8_t *wal_device_bytes(const wal_device *device, uint32_t buffer) {
    return kaio_buffer_as_bytes(device->buffers[buffer]);
}

// take_one waits for the outcome of one request.
static bool take_one(wal_device *device, kaio_completion *out_completion, wal_error *out_error) {
    uint32_t ready_count;
    kaio_status status = kaio_queue_wait(device->queue, 1, kaio_deadline_never(), &ready_count);
    if (kaio_status_is_ok(status)) {
        status = kaio_queue_take(device->queue, out_completion);
    }
    return kaio_status_is_ok(status) || failed("the queue", status, out_error);
}

static bool told(const kaio_completion *completion, wal_error *out_error) {
    kaio_completion_message(completion, out_error->text, sizeof out_error->text);
    return false;
}

// settle_write takes the outcomes of a write, and of the sync behind it. `*out_done_bytes` is how
// much moved: a write may be short, and the sync is not sent then.
static bool settle_write(wal_device *device, uint32_t buffer, uint32_t count,
                         uint32_t *out_done_bytes, wal_error *out_error) {
    bool is_good = true;
    for (; count > 0; --count) {
        kaio_completion completion;
        if (!take_one(device, &completion, out_error)) {
            return false;
        }
        if (completion.operation == KAIO_WRITE) {
            device->buffers[buffer] = completion.buffer;
            *out_done_bytes = (uint32_t)completion.moved_bytes;
            is_good &= completion.transfer == KAIO_TRANSFER_FULL ||
                       completion.transfer == KAIO_TRANSFER_SHORT || told(&completion, out_error);
        } else {
            is_good &= completion.sync == KAIO_SYNC_SYNCED ||
                       completion.sync == KAIO_SYNC_PRECEDED_BY_FAILURE ||
                       told(&completion, out_error);
        }
    }
    return is_good;
}

bool wal_device_write(wal_device *device, uint32_t file, uint32_t buffer, uint64_t offset,
                      uint32_t size_bytes, bool is_durable, wal_error *out_error) {
    uint32_t short_count = 0;
    for (uint32_t done = 0; done < size_bytes;) {
        const kaio_range range = {.file_offset_bytes = offset + done,
                                  .buffer_offset_bytes = done,
                                  .size_bytes = size_bytes - done};
        kaio_ticket ticket;
        kaio_status status = kaio_write_start(device->queue, device->files[file], range,
                                              kaio_rw_none(), 0, &device->buffers[buffer], &ticket);
        if (!kaio_status_is_ok(status)) {
            return failed("write", status, out_error);
        }
        uint32_t count = 1;
        if (is_durable) {
            status =
                kaio_sync_start(device->queue, device->files[file], KAIO_SYNC_DATA, 0, &ticket);
            if (!kaio_status_is_ok(status)) {
                return failed("sync", status, out_error);
            }
            ++count;
        }
        uint32_t moved_bytes = 0;
        if (!settle_write(device, buffer, count, &moved_bytes, out_error)) {
            return false;
        }
        // Direct I/O goes on from a whole block: what is behind it is written again.
        uint32_t end = done + moved_bytes;
        done = end == size_bytes ? end : end / WAL_BLOCK_BYTES * WAL_BLOCK_BYTES;
        if (done < size_bytes && ++short_count > SHORT_COUNT_MAX) {
            (void)snprintf(out_error->text, sizeof out_error->text, "write: short %d times",
                           SHORT_COUNT_MAX);
            return false;
        }
    }
    return true;
}

int64_t wal_device_read(wal_device *device, uint32_t file, uint32_t buffer, uint64_t offset,
                        uint32_t size_bytes, wal_error *out_error) {
    const kaio_range range = {.file_offset_bytes = offset, .size_bytes = size_bytes};
    kaio_ticket ticket;
    kaio_status status = kaio_read_start(device->queue, device->files[file], range, kaio_rw_none(),
                                         0, &device->buffers[buffer], &ticket);
    kaio_completion completion;
    if (!kaio_status_is_ok(status)) {
        (void)failed("read", status, out_error);
        return -1;
    }
    if (!take_one(device, &completion, out_error)) {
        return -1;
    }
    device->buffers[buffer] = completion.buffer;
    bool is_read = completion.transfer == KAIO_TRANSFER_FULL ||
                   completion.transfer == KAIO_TRANSFER_SHORT ||
                   completion.transfer == KAIO_TRANSFER_END;
    if (!is_read) {
        (void)told(&completion, out_error);
        return -1;
    }
    // As for writes: a whole number of blocks, unless the file ends.
    return (int64_t)completion.moved_bytes;
}

// Whoever calls next owns the queue and the buffers. Neither can fail: nobody else has them.
void wal_device_hand_over(wal_device *device) {
    for (uint32_t i = 0; i < WAL_BUFFER_COUNT; ++i) {
        (void)!kaio_status_is_ok(kaio_buffer_detach(device->buffers[i]));
    }
    (void)!kaio_status_is_ok(kaio_queue_detach(device->queue));
}

void wal_device_take_over(wal_device *device) {
    (void)!kaio_status_is_ok(kaio_queue_attach(device->queue));
}
