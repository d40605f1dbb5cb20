// wal_format.h (private): what the bytes of a segment mean.
//
//   header block of WAL_BLOCK_BYTES | record | record | ...
// A record is a head, its bytes, and 0 to 7 bytes up to the next multiple of 8. Each use of a file
// has a random salt, with which each checksum begins: what an earlier use left behind is no record
// of this one, also where a power cut kept those records and lost their header, epoch and all.

#ifndef KAIO_TOOLS_ENGINES_WAL_WAL_FORMAT_H_
#define KAIO_TOOLS_ENGINES_WAL_WAL_FORMAT_H_

#include <stdbool.h>
#include <stdint.h>

#define WAL_MAGIC UINT64_C(0x31306c6177696b)  // "kiwal01"

// The first bytes of a segment; in one sector, which a disk writes whole or not at all.
struct wal_segment_head {
    uint64_t magic;
    uint64_t segment_bytes;
    uint64_t segment_count;
    uint64_t epoch;  // one more than any before
    uint64_t salt;
    uint64_t first_number;    // of the first record in it
    uint64_t trimmed_number;  // records up to it are not needed any more
    uint64_t checksum;        // CRC32C of what is above
};

struct wal_record_head {
    uint32_t checksum;  // CRC32C of the salt, what is below, and the bytes
    uint32_t size_bytes;
    uint64_t number;
};

// wal_segment_path writes the name of a segment file.
#define WAL_PATH_BYTES 4096
void wal_segment_path(const char *folder, uint32_t segment, char *out_path);

// wal_record_room is how much a record of `size_bytes` takes.
static inline uint64_t wal_record_room(uint64_t size_bytes) {
    return (sizeof(struct wal_record_head) + size_bytes + 7) & ~UINT64_C(7);
}

void wal_encode_segment(struct wal_segment_head *head, uint8_t *out_block);
bool wal_decode_segment(const uint8_t *block, struct wal_segment_head *out_head);

// wal_encode_record writes a record at `out_bytes`, which have wal_record_room.
void wal_encode_record(uint64_t salt, uint64_t number, const void *bytes, uint32_t size_bytes,
                       uint8_t *out_bytes);

// wal_decode_record looks for the record `number` in bytes[0..room). NULL: it is there, and
// `*out_size` long; otherwise why it is not.
const char *wal_decode_record(uint64_t salt, uint64_t number, const uint8_t *bytes, uint64_t room,
                              uint32_t *out_size);

#endif  // KAIO_TOOLS_ENGINES_WAL_WAL_FORMAT_H_
