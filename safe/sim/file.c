#include "kaio/safe/sim/file.h"

#include <errno.h>
#include <string.h>

#include "../file_kernel.h"
#include "../file_learn.h"
#include "kaio/raw/aio_abi.h"

// struct statx: include/uapi/linux/stat.h.
enum {
    STATX_WRITE_ATOMIC = 0x10000,
    STATX_DIOALIGN = 0x2000,
    STATX_DIO_READ_ALIGN = 0x20000,
    STATX_ATTR_WRITE_ATOMIC = 0x400000,
    AT_MASK = 0x00,
    AT_ATTRIBUTES = 0x08,
    AT_ATTRIBUTES_MASK = 0x38,
    AT_DIO_MEM_ALIGN = 0x98,
    AT_DIO_OFFSET_ALIGN = 0x9c,
    AT_ATOMIC_WRITE_UNIT_MIN = 0xa8,
    AT_ATOMIC_WRITE_UNIT_MAX = 0xac,
    AT_ATOMIC_WRITE_SEGMENTS_MAX = 0xb0,
    AT_DIO_READ_OFFSET_ALIGN = 0xb4
};

static kaio_sim_file_script script;
static kaio_sim_file_calls calls;

void kaio_sim_play_file(const kaio_sim_file_script *next) {
    script = *next;
    calls = (kaio_sim_file_calls){.statx_count = 0};
    kaio_file_forget_kernel_flags();
}

kaio_sim_file_calls kaio_sim_file_call_counts(void) {
    return calls;
}

static uint32_t field_of(const unsigned char *statx, size_t offset_bytes) {
    uint32_t field = 0;
    memcpy(&field, statx + offset_bytes, sizeof field);
    return field;
}

static void set_field(unsigned char *statx, size_t offset_bytes, uint32_t field) {
    memcpy(statx + offset_bytes, &field, sizeof field);
}

// The low half of a field of 64 bits, where all that is told here is.
static void set_half(unsigned char *statx, size_t offset_bytes, uint32_t bit, bool is_set) {
    bool is_big_endian = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;
    size_t at_bytes = offset_bytes + (is_big_endian ? sizeof(uint32_t) : 0);
    uint32_t field = field_of(statx, at_bytes);
    set_field(statx, at_bytes, is_set ? field | bit : field & ~bit);
}

static void tell_dio(unsigned char *statx) {
    uint32_t read_mask = script.dio_read_bytes != 0 ? STATX_DIO_READ_ALIGN : 0;
    uint32_t mask = field_of(statx, AT_MASK) & ~(uint32_t)STATX_DIO_READ_ALIGN;
    set_field(statx, AT_MASK, mask | STATX_DIOALIGN | read_mask);
    set_field(statx, AT_DIO_MEM_ALIGN, script.dio_memory_bytes);
    set_field(statx, AT_DIO_OFFSET_ALIGN, script.dio_offset_bytes);
    set_field(statx, AT_DIO_READ_OFFSET_ALIGN, script.dio_read_bytes);
}

static void tell_atomic(unsigned char *statx) {
    set_field(statx, AT_MASK, field_of(statx, AT_MASK) | STATX_WRITE_ATOMIC);
    set_half(statx, AT_ATTRIBUTES_MASK, STATX_ATTR_WRITE_ATOMIC, true);
    set_half(statx, AT_ATTRIBUTES, STATX_ATTR_WRITE_ATOMIC, script.atomic_max_bytes != 0);
    set_field(statx, AT_ATOMIC_WRITE_UNIT_MIN, script.atomic_min_bytes);
    set_field(statx, AT_ATOMIC_WRITE_UNIT_MAX, script.atomic_max_bytes);
    set_field(statx, AT_ATOMIC_WRITE_SEGMENTS_MAX, script.atomic_max_bytes != 0 ? 1 : 0);
}

long kaio_sim_statx(int fd, unsigned mask, unsigned char *out_statx) {
    ++calls.statx_count;
    long error =
        script.statx_error != 0 ? -script.statx_error : kaio_real_statx(fd, mask, out_statx);
    if (error != 0) {
        return error;
    }
    set_field(out_statx, AT_MASK, field_of(out_statx, AT_MASK) & ~script.statx_hidden_mask);
    if (script.tells_dio) {
        tell_dio(out_statx);
    }
    if (script.tells_atomic) {
        tell_atomic(out_statx);
    }
    return 0;
}

long kaio_sim_xfs_dioinfo(int fd, struct kaio_xfs_dioattr *out_attributes) {
    ++calls.xfs_count;
    if (script.xfs_error != 0) {
        return -script.xfs_error;
    }
    if (!script.tells_xfs) {
        return kaio_real_xfs_dioinfo(fd, out_attributes);
    }
    *out_attributes =
        (struct kaio_xfs_dioattr){.d_mem = script.xfs_memory_bytes,
                                  .d_miniosz = script.xfs_transfer_bytes,
                                  .d_maxiosz = INT32_MAX & ~(script.xfs_transfer_bytes - 1)};
    return 0;
}

long kaio_sim_block_bytes(int fd, int *out_bytes) {
    ++calls.block_count;
    return script.block_error != 0 ? -script.block_error : kaio_real_block_bytes(fd, out_bytes);
}

long kaio_sim_sysfs_number(const char *sysfs_path, const char *path, uint32_t *out_number) {
    ++calls.sysfs_count;
    return kaio_real_sysfs_number(script.sysfs_path != NULL ? script.sysfs_path : sysfs_path, path,
                                  out_number);
}

// The order of kiocb_set_rw_flags, include/linux/fs.h: unknown first.
long kaio_sim_try_flags(int empty_pipe, uint32_t rw_flags) {
    ++calls.flags_count;
    if (script.pipe_error != 0) {
        return -script.pipe_error;
    }
    if ((rw_flags & script.unknown_rw_flags) != 0) {
        return -EOPNOTSUPP;
    }
    return kaio_real_try_flags(empty_pipe, rw_flags);
}
