// pages_device.h (private): a file of pages, the memory of the frames, and how bytes move between
// them.
//
// Two files implement it: pages_device_kaio.c on kaio, and pages_device_libaio.c, the same by hand,
// to compare with. All else of the store is the same.
// Threads: a channel is its thread's. Of a frame's memory a read has the bytes alone; those that
// are written may be read meanwhile, and not changed.

#ifndef KAIO_TOOLS_ENGINES_PAGES_PAGES_DEVICE_H_
#define KAIO_TOOLS_ENGINES_PAGES_PAGES_DEVICE_H_

#include <stdbool.h>
#include <stdint.h>

#include "pages.h"

enum { PAGES_READ_MAX = 16, PAGES_WRITE_MAX = 32 };

typedef struct pages_device pages_device;
typedef struct pages_channel pages_channel;

// pages_device_open opens `path`, and registers `frame_count` frames of PAGES_PAGE_BYTES each at
// `memory`. NULL: it failed.
pages_device *pages_device_open(const char *path, uint8_t *memory, uint32_t frame_count,
                                bool is_buffered, pages_error *out_error);

// pages_device_size is the size of the file, in bytes.
uint64_t pages_device_size(const pages_device *device);

// pages_device_close ends it, when no channel is left. NULL: does nothing.
void pages_device_close(pages_device *device);

// pages_channel_open makes a channel for the calling thread. NULL: it failed.
pages_channel *pages_channel_open(pages_device *device, pages_error *out_error);

// pages_channel_close ends it, and never while the kernel may still write. NULL: does nothing.
void pages_channel_close(pages_channel *channel);

// pages_channel_read fills frames[0..count), up to PAGES_READ_MAX, with the pages from `number` on,
// by one request.
bool pages_channel_read(pages_channel *channel, const uint32_t *frames, uint32_t count,
                        uint64_t number, pages_error *out_error);

// pages_channel_write writes frames[i] to page numbers[i], i in [0, count), up to PAGES_WRITE_MAX,
// all at once.
bool pages_channel_write(pages_channel *channel, const uint32_t *frames, const uint64_t *numbers,
                         uint32_t count, pages_error *out_error);

// pages_channel_sync makes durable what was written before.
bool pages_channel_sync(pages_channel *channel, pages_error *out_error);

#endif  // KAIO_TOOLS_ENGINES_PAGES_PAGES_DEVICE_H_
