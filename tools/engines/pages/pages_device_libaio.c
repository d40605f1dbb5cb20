// The peer: what pages_device_kaio.c does, on libaio, as it is written by hand.

#define _GNU_SOURCE  // O_DIRECT

#include <errno.h>
#include <fcntl.h>
#include <libaio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pages_device.h"

struct pages_device {
    int fd;
    uint8_t *memory;
    uint64_t size_bytes;
};

struct pages_channel {
    pages_device *device;
    io_context_t context;
};

static bool failed(const char *what, int error, pages_error *out_error) {
    (void)snprintf(out_error->text, sizeof out_error->text, "%.350s: %s", what, strerror(error));
    return false;
}

pages_device *pages_device_open(const char *path, uint8_t *memory, uint32_t frame_count,
                                bool is_buffered, pages_error *out_error) {
    (void)frame_count;
    pages_device *device = calloc(1, sizeof *device);
    int fd = device == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC | (is_buffered ? 0 : O_DIRECT));
    struct stat stat;
    if (fd < 0 || fstat(fd, &stat) != 0) {
        (void)failed(path, errno, out_error);
        if (fd >= 0) {
            (void)close(fd);
        }
        free(device);
        return NULL;
    }
    *device = (pages_device){.fd = fd, .memory = memory, .size_bytes = (uint64_t)stat.st_size};
    return device;
}

uint64_t pages_device_size(const pages_device *device) {
    return device->size_bytes;
}

void pages_device_close(pages_device *device) {
    if (device != NULL) {
        (void)close(device->fd);
        free(device);
    }
}

pages_channel *pages_channel_open(pages_device *device, pages_error *out_error) {
    pages_channel *channel = calloc(1, sizeof *channel);
    int error = channel == NULL ? ENOMEM : -io_setup(PAGES_WRITE_MAX, &channel->context);
    if (error != 0) {
        (void)failed("kernel AIO", error, out_error);
        free(channel);
        return NULL;
    }
    channel->device = device;
    return channel;
}

void pages_channel_close(pages_channel *channel) {
    if (channel != NULL) {
        (void)io_destroy(channel->context);
        free(channel);
    }
}

// perform submits requests[0..count) and waits for them, each of which must move `size_bytes`.
static bool perform(pages_channel *channel, struct iocb **requests, int count, uint64_t size_bytes,
                    const char *what, pages_error *out_error) {
    struct io_event events[PAGES_WRITE_MAX];
    int error = 0;
    int sent = 0;
    while (sent < count && error == 0) {
        int answer = io_submit(channel->context, count - sent, requests + sent);
        bool is_later = answer == -EAGAIN || answer == -EINTR;
        error = answer < 0 && !is_later ? -answer : 0;
        sent += answer > 0 ? answer : 0;
    }
    for (int done = 0; done < sent;) {
        int answer = io_getevents(channel->context, 1, PAGES_WRITE_MAX, events, NULL);
        for (int i = 0; i < answer; ++i) {
            int64_t result = (int64_t)events[i].res;
            bool is_good = result >= 0 && (uint64_t)result == size_bytes;
            error = is_good ? error : result < 0 ? (int)-result : EIO;
        }
        done += answer > 0 ? answer : 0;
    }
    return error == 0 || failed(what, error, out_error);
}

bool pages_channel_read(pages_channel *channel, const uint32_t *frames, uint32_t count,
                        uint64_t number, pages_error *out_error) {
    const pages_device *device = channel->device;
    struct iovec iovecs[PAGES_READ_MAX];
    for (uint32_t i = 0; i < count; ++i) {
        iovecs[i] =
            (struct iovec){.iov_base = device->memory + (size_t)frames[i] * PAGES_PAGE_BYTES,
                           .iov_len = PAGES_PAGE_BYTES};
    }
    struct iocb request;
    struct iocb *requests = &request;
    io_prep_preadv(&request, device->fd, iovecs, (int)count, (long long)number * PAGES_PAGE_BYTES);
    return perform(channel, &requests, 1, (uint64_t)count * PAGES_PAGE_BYTES, "read", out_error);
}

bool pages_channel_write(pages_channel *channel, const uint32_t *frames, const uint64_t *numbers,
                         uint32_t count, pages_error *out_error) {
    const pages_device *device = channel->device;
    struct iocb requests[PAGES_WRITE_MAX];
    struct iocb *pointers[PAGES_WRITE_MAX];
    for (uint32_t i = 0; i < count; ++i) {
        io_prep_pwrite(&requests[i], device->fd,
                       device->memory + (size_t)frames[i] * PAGES_PAGE_BYTES, PAGES_PAGE_BYTES,
                       (long long)numbers[i] * PAGES_PAGE_BYTES);
        pointers[i] = &requests[i];
    }
    return perform(channel, pointers, (int)count, PAGES_PAGE_BYTES, "write", out_error);
}

bool pages_channel_sync(pages_channel *channel, pages_error *out_error) {
    struct iocb request;
    struct iocb *requests = &request;
    io_prep_fdsync(&request, channel->device->fd);
    return perform(channel, &requests, 1, 0, "sync", out_error);
}
