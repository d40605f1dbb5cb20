#include "wal_format.h"

#include <inttypes.h>
#include <isa-l.h>
#include <stdio.h>
#include <string.h>

#include "wal.h"

void wal_segment_path(const char *folder, uint32_t segment, char *out_path) {
    (void)snprintf(out_path, WAL_PATH_BYTES, "%s/%" PRIu32 ".wal", folder, segment);
}

static uint32_t checksum(uint32_t seed, const void *bytes, size_t size_bytes) {
    return crc32_iscsi((unsigned char *)(uintptr_t)bytes, (int)size_bytes, seed);
}

static uint32_t checksum_of_segment(const struct wal_segment_head *head) {
    return checksum(UINT32_MAX, head, offsetof(struct wal_segment_head, checksum));
}

void wal_encode_segment(struct wal_segment_head *head, uint8_t *out_block) {
    head->magic = WAL_MAGIC;
    head->checksum = checksum_of_segment(head);
    memset(out_block, 0, WAL_BLOCK_BYTES);
    memcpy(out_block, head, sizeof *head);
}

bool wal_decode_segment(const uint8_t *block, struct wal_segment_head *out_head) {
    memcpy(out_head, block, sizeof *out_head);
    return out_head->magic == WAL_MAGIC && out_head->checksum == checksum_of_segment(out_head);
}

static uint32_t checksum_of_record(uint64_t salt, const uint8_t *record, uint32_t size_bytes) {
    uint32_t sum = checksum(UINT32_MAX, &salt, sizeof salt);
    size_t skipped = offsetof(struct wal_record_head, size_bytes);
    return checksum(sum, record + skipped, sizeof(struct wal_record_head) - skipped + size_bytes);
}

void wal_encode_record(uint64_t salt, uint64_t number, const void *bytes, uint32_t size_bytes,
                       uint8_t *out_bytes) {
    struct wal_record_head head = {.size_bytes = size_bytes, .number = number};
    size_t used = sizeof head + size_bytes;
    memcpy(out_bytes, &head, sizeof head);
    if (size_bytes > 0) {
        memcpy(out_bytes + sizeof head, bytes, size_bytes);
    }
    memset(out_bytes + used, 0, (size_t)wal_record_room(size_bytes) - used);
    head.checksum = checksum_of_record(salt, out_bytes, size_bytes);
    memcpy(out_bytes, &head.checksum, sizeof head.checksum);
}

const char *wal_decode_record(uint64_t salt, uint64_t number, const uint8_t *bytes, uint64_t room,
                              uint32_t *out_size) {
    struct wal_record_head head;
    if (room < sizeof head) {
        return "end of segment";
    }
    memcpy(&head, bytes, sizeof head);
    if (head.checksum == 0 && head.size_bytes == 0 && head.number == 0) {
        return "no record";
    }
    if (wal_record_room(head.size_bytes) > room) {
        return "size";
    }
    if (head.number != number) {
        return "number";
    }
    if (head.checksum != checksum_of_record(salt, bytes, head.size_bytes)) {
        return "checksum";
    }
    *out_size = head.size_bytes;
    return NULL;
}
