// wal_device.h (private): the files of a log and two buffers, and how bytes become durable.
//
// Two files implement it: wal_device_kaio.c on kaio, and wal_device_libaio.c, the same by hand, to
// compare with. All else of the log is the same.
// Threads: one at a time; wal_device_hand_over makes it the next caller's.

#ifndef KAIO_TOOLS_ENGINES_WAL_WAL_DEVICE_H_
#define KAIO_TOOLS_ENGINES_WAL_WAL_DEVICE_H_

#include <stdbool.h>
#include <stdint.h>

#include "wal.h"

enum { WAL_BUFFER_COUNT = 2 };

typedef struct wal_device wal_device;

// wal_device_open opens the first `count` segments in `folder`, and makes buffers of
// `buffer_bytes`. NULL: it failed.
wal_device *wal_device_open(const char *folder, uint32_t count, uint32_t buffer_bytes,
                            bool is_buffered, wal_error *out_error);

// wal_device_bytes lends a buffer's bytes, until it is written from.
uint8_t *wal_device_bytes(const wal_device *device, uint32_t buffer);

// wal_device_write writes bytes[0..size_bytes) of a buffer to a file and, if `is_durable`, syncs it
// behind that. Offset and size are multiples of WAL_BLOCK_BYTES.
bool wal_device_write(wal_device *device, uint32_t file, uint32_t buffer, uint64_t offset,
                      uint32_t size_bytes, bool is_durable, wal_error *out_error);

// wal_device_read reads into a buffer. Returns how much; less than `size_bytes` at the end of the
// file; -1: it failed.
int64_t wal_device_read(wal_device *device, uint32_t file, uint32_t buffer, uint64_t offset,
                        uint32_t size_bytes, wal_error *out_error);

void wal_device_hand_over(wal_device *device);
void wal_device_take_over(wal_device *device);

// wal_device_close ends it, and never while the kernel may still write. NULL: does nothing.
void wal_device_close(wal_device *device);

#endif  // KAIO_TOOLS_ENGINES_WAL_WAL_DEVICE_H_
