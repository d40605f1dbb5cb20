#define _GNU_SOURCE  // O_DIRECT

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "kaio/safe/kaio.h"
#include "pages_device.h"

struct pages_device {
    kaio_file *file;
    kaio_region *region;
    uint64_t size_bytes;
};

struct pages_channel {
    pages_device *device;
    kaio_queue *queue;
};

static bool failed(const char *what, kaio_status status, pages_error *out_error) {
    char text[150];
    kaio_status_message(status, text, sizeof text);
    (void)snprintf(out_error->text, sizeof out_error->text, "%.350s: %s", what, text);
    return false;
}

static bool told(const kaio_completion *completion, pages_error *out_error) {
    kaio_completion_message(completion, out_error->text, sizeof out_error->text);
    return false;
}

// ---- the file and the frames ----

static bool open_all(pages_device *device, const char *path, uint8_t *memory, uint32_t frame_count,
                     bool is_buffered, pages_error *out_error) {
    int flags = O_RDWR | (is_buffered ? 0 : O_DIRECT);
    kaio_status status = kaio_file_open(path, flags, 0, &device->file);
    int fd = -1;
    if (kaio_status_is_ok(status)) {
        status = kaio_file_as_fd(device->file, &fd);
    }
    if (!kaio_status_is_ok(status)) {
        return failed(path, status, out_error);
    }
    struct stat stat;
    device->size_bytes = fstat(fd, &stat) == 0 ? (uint64_t)stat.st_size : 0;
    status = kaio_region_adopt(memory, PAGES_PAGE_BYTES, frame_count, NULL, NULL, &device->region);
    return kaio_status_is_ok(status) || failed("the frames", status, out_error);
}

pages_device *pages_device_open(const char *path, uint8_t *memory, uint32_t frame_count,
                                bool is_buffered, pages_error *out_error) {
    pages_device *device = calloc(1, sizeof *device);
    if (device == NULL) {
        (void)snprintf(out_error->text, sizeof out_error->text, "no memory");
        return NULL;
    }
    if (!open_all(device, path, memory, frame_count, is_buffered, out_error)) {
        pages_device_close(device);
        return NULL;
    }
    return device;
}

uint64_t pages_device_size(const pages_device *device) {
    return device->size_bytes;
}

void pages_device_close(pages_device *device) {
    if (device != NULL) {
        kaio_region_drop(&device->region);
        kaio_file_drop(&device->file);
        free(device);
    }
}

pages_channel *pages_channel_open(pages_device *device, pages_error *out_error) {
    const kaio_queue_options options = {.depth = PAGES_WRITE_MAX, .segment_count = PAGES_READ_MAX};
    pages_channel *channel = calloc(1, sizeof *channel);
    if (channel == NULL) {
        (void)snprintf(out_error->text, sizeof out_error->text, "no memory");
        return NULL;
    }
    channel->device = device;
    kaio_status status = kaio_queue_open(&options, &channel->queue);
    if (!kaio_status_is_ok(status)) {
        (void)failed("kernel AIO", status, out_error);
        free(channel);
        return NULL;
    }
    return channel;
}

void pages_channel_close(pages_channel *channel) {
    if (channel != NULL) {
        kaio_queue_drop(&channel->queue);
        free(channel);
    }
}

// ---- requests ----

// wait waits for the outcomes of `count` requests.
static kaio_status wait(pages_channel *channel, uint32_t count) {
    uint32_t ready_count;
    return kaio_queue_wait(channel->queue, count, kaio_deadline_never(), &ready_count);
}

// read_one fills one frame.
static kaio_status read_one(pages_channel *channel, uint32_t frame, uint64_t number,
                            kaio_completion *out_completion) {
    const pages_device *device = channel->device;
    const kaio_range range = {.file_offset_bytes = number * PAGES_PAGE_BYTES,
                              .size_bytes = PAGES_PAGE_BYTES};
    kaio_buffer *buffer = NULL;
    kaio_ticket ticket;
    kaio_status status = kaio_region_take(device->region, frame, &buffer);
    if (kaio_status_is_ok(status)) {
        status = kaio_read_start(channel->queue, device->file, range, kaio_rw_none(), 0, &buffer,
                                 &ticket);
    }
    if (kaio_status_is_ok(status)) {
        status = wait(channel, 1);
    }
    if (kaio_status_is_ok(status)) {
        status = kaio_queue_take(channel->queue, out_completion);
    }
    kaio_buffer_drop(kaio_status_is_ok(status) ? &out_completion->buffer : &buffer);
    return status;
}

// read_many fills several, side by side in the file.
static kaio_status read_many(pages_channel *channel, const uint32_t *frames, uint32_t count,
                             uint64_t number, kaio_completion *out_completion) {
    const pages_device *device = channel->device;
    kaio_segment segments[PAGES_READ_MAX] = {{0}};
    kaio_status status = {.code = KAIO_OK};
    kaio_ticket ticket;
    for (uint32_t i = 0; i < count && kaio_status_is_ok(status); ++i) {
        status = kaio_region_take(device->region, frames[i], &segments[i].buffer);
        segments[i].size_bytes = PAGES_PAGE_BYTES;
    }
    if (kaio_status_is_ok(status)) {
        status = kaio_readv_start(channel->queue, device->file, number * PAGES_PAGE_BYTES,
                                  kaio_rw_none(), 0, segments, count, &ticket);
    }
    if (kaio_status_is_ok(status)) {
        status = wait(channel, 1);
    }
    if (kaio_status_is_ok(status)) {
        status = kaio_queue_take_segments(channel->queue, segments, PAGES_READ_MAX, out_completion);
    }
    for (uint32_t i = 0; i < count; ++i) {
        kaio_buffer_drop(&segments[i].buffer);
    }
    return status;
}

// Both drop what they read to: the frame is the store's again.
bool pages_channel_read(pages_channel *channel, const uint32_t *frames, uint32_t count,
                        uint64_t number, pages_error *out_error) {
    kaio_completion completion;
    kaio_status status = count == 1 ? read_one(channel, frames[0], number, &completion)
                                    : read_many(channel, frames, count, number, &completion);
    if (!kaio_status_is_ok(status)) {
        return failed("read", status, out_error);
    }
    return completion.transfer == KAIO_TRANSFER_FULL || told(&completion, out_error);
}

// start_write starts the write of a frame, as a view: others may read it meanwhile.
static kaio_status start_write(pages_channel *channel, uint32_t frame, uint64_t number) {
    const pages_device *device = channel->device;
    const kaio_range range = {.file_offset_bytes = number * PAGES_PAGE_BYTES,
                              .size_bytes = PAGES_PAGE_BYTES};
    kaio_buffer *buffer = NULL;
    kaio_view *view = NULL;
    kaio_ticket ticket;
    kaio_status status = kaio_region_take(device->region, frame, &buffer);
    if (kaio_status_is_ok(status)) {
        status = kaio_buffer_freeze(&buffer, &view);
    }
    if (kaio_status_is_ok(status)) {
        status = kaio_write_start_shared(channel->queue, device->file, range, kaio_rw_none(), 0,
                                         &view, &ticket);
    }
    kaio_buffer_drop(&buffer);
    kaio_view_drop(&view);
    return status;
}

bool pages_channel_write(pages_channel *channel, const uint32_t *frames, const uint64_t *numbers,
                         uint32_t count, pages_error *out_error) {
    bool is_good = true;
    uint32_t started_count = 0;
    for (; started_count < count && is_good; started_count += is_good) {
        kaio_status status = start_write(channel, frames[started_count], numbers[started_count]);
        is_good = kaio_status_is_ok(status) || failed("write", status, out_error);
    }
    kaio_status status = wait(channel, started_count);
    for (uint32_t i = 0; i < started_count && kaio_status_is_ok(status); ++i) {
        kaio_completion completion;
        status = kaio_queue_take(channel->queue, &completion);
        if (kaio_status_is_ok(status)) {
            is_good &= completion.transfer == KAIO_TRANSFER_FULL || told(&completion, out_error);
            kaio_completion_drop(&completion);
        }
    }
    return kaio_status_is_ok(status) ? is_good : failed("write", status, out_error);
}

bool pages_channel_sync(pages_channel *channel, pages_error *out_error) {
    kaio_completion completion;
    kaio_ticket ticket;
    kaio_status status =
        kaio_sync_start(channel->queue, channel->device->file, KAIO_SYNC_DATA, 0, &ticket);
    if (kaio_status_is_ok(status)) {
        status = wait(channel, 1);
    }
    if (kaio_status_is_ok(status)) {
        status = kaio_queue_take(channel->queue, &completion);
    }
    if (!kaio_status_is_ok(status)) {
        return failed("sync", status, out_error);
    }
    return completion.sync == KAIO_SYNC_SYNCED || told(&completion, out_error);
}
