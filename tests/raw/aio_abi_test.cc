#include "kaio/raw/aio_abi.h"

#include <gtest/gtest.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <linux/ioprio.h>
#include <linux/time_types.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

// What kernel headers older than the number lack.
#ifndef RWF_NOAPPEND
#    define RWF_NOAPPEND 0x20
#endif
#ifndef RWF_ATOMIC
#    define RWF_ATOMIC 0x40
#endif
#ifndef RWF_DONTCACHE
#    define RWF_DONTCACHE 0x80
#endif
#ifndef RWF_NOSIGNAL
#    define RWF_NOSIGNAL 0x100
#endif

namespace {

#define EXPECT_SAME_FIELD(ours, theirs, field)                     \
    do {                                                           \
        EXPECT_EQ(offsetof(ours, field), offsetof(theirs, field)); \
        EXPECT_EQ(sizeof(ours::field), sizeof(theirs::field));     \
    } while (0)

TEST(AioAbiTest, IocbMatchesKernelHeader) {
    EXPECT_EQ(sizeof(kaio_raw_iocb), sizeof(iocb));
    EXPECT_EQ(alignof(kaio_raw_iocb), alignof(iocb));
    EXPECT_SAME_FIELD(kaio_raw_iocb, iocb, aio_data);
    EXPECT_SAME_FIELD(kaio_raw_iocb, iocb, aio_key);
    EXPECT_SAME_FIELD(kaio_raw_iocb, iocb, aio_rw_flags);
    EXPECT_SAME_FIELD(kaio_raw_iocb, iocb, aio_lio_opcode);
    EXPECT_SAME_FIELD(kaio_raw_iocb, iocb, aio_reqprio);
    EXPECT_SAME_FIELD(kaio_raw_iocb, iocb, aio_fildes);
    EXPECT_SAME_FIELD(kaio_raw_iocb, iocb, aio_buf);
    EXPECT_SAME_FIELD(kaio_raw_iocb, iocb, aio_nbytes);
    EXPECT_SAME_FIELD(kaio_raw_iocb, iocb, aio_offset);
    EXPECT_SAME_FIELD(kaio_raw_iocb, iocb, aio_reserved2);
    EXPECT_SAME_FIELD(kaio_raw_iocb, iocb, aio_flags);
    EXPECT_SAME_FIELD(kaio_raw_iocb, iocb, aio_resfd);
}

TEST(AioAbiTest, EventMatchesKernelHeader) {
    EXPECT_EQ(sizeof(kaio_raw_event), sizeof(io_event));
    EXPECT_EQ(alignof(kaio_raw_event), alignof(io_event));
    EXPECT_SAME_FIELD(kaio_raw_event, io_event, data);
    EXPECT_SAME_FIELD(kaio_raw_event, io_event, obj);
    EXPECT_SAME_FIELD(kaio_raw_event, io_event, res);
    EXPECT_SAME_FIELD(kaio_raw_event, io_event, res2);
}

TEST(AioAbiTest, TimespecsMatchKernelHeader) {
    EXPECT_EQ(sizeof(kaio_raw_timespec), sizeof(__kernel_timespec));
    EXPECT_SAME_FIELD(kaio_raw_timespec, __kernel_timespec, tv_sec);
    EXPECT_SAME_FIELD(kaio_raw_timespec, __kernel_timespec, tv_nsec);
    EXPECT_EQ(sizeof(kaio_raw_old_timespec), sizeof(__kernel_old_timespec));
    EXPECT_SAME_FIELD(kaio_raw_old_timespec, __kernel_old_timespec, tv_sec);
    EXPECT_SAME_FIELD(kaio_raw_old_timespec, __kernel_old_timespec, tv_nsec);
}

TEST(AioAbiTest, ContextIsTheKernelsType) {
    EXPECT_TRUE((std::is_same<kaio_raw_context, aio_context_t>::value));
    EXPECT_TRUE((std::is_same<kaio_raw_long, __kernel_long_t>::value));
    EXPECT_TRUE((std::is_same<kaio_raw_ulong, __kernel_ulong_t>::value));
}

// A field's signedness decides what a comparison with it means.
TEST(AioAbiTest, FieldsHaveTheKernelsSigns) {
    EXPECT_TRUE((std::is_signed<decltype(kaio_raw_iocb::aio_rw_flags)>::value));
    EXPECT_TRUE((std::is_signed<decltype(kaio_raw_iocb::aio_reqprio)>::value));
    EXPECT_TRUE((std::is_signed<decltype(kaio_raw_iocb::aio_offset)>::value));
    EXPECT_TRUE((std::is_unsigned<decltype(kaio_raw_iocb::aio_fildes)>::value));
    EXPECT_TRUE((std::is_signed<decltype(kaio_raw_event::res)>::value));
    EXPECT_TRUE((std::is_signed<decltype(kaio_raw_event::res2)>::value));
}

struct Number {
    const char *name;
    int64_t ours;
    int64_t theirs;
};

class AioAbiNumberTest : public testing::TestWithParam<Number> {};

TEST_P(AioAbiNumberTest, MatchesKernelHeader) {
    EXPECT_EQ(GetParam().ours, GetParam().theirs);
}

const Number kNumbers[] = {
    {"CmdPread", KAIO_RAW_CMD_PREAD, IOCB_CMD_PREAD},
    {"CmdPwrite", KAIO_RAW_CMD_PWRITE, IOCB_CMD_PWRITE},
    {"CmdFsync", KAIO_RAW_CMD_FSYNC, IOCB_CMD_FSYNC},
    {"CmdFdsync", KAIO_RAW_CMD_FDSYNC, IOCB_CMD_FDSYNC},
    {"CmdPoll", KAIO_RAW_CMD_POLL, IOCB_CMD_POLL},
    {"CmdNoop", KAIO_RAW_CMD_NOOP, IOCB_CMD_NOOP},
    {"CmdPreadv", KAIO_RAW_CMD_PREADV, IOCB_CMD_PREADV},
    {"CmdPwritev", KAIO_RAW_CMD_PWRITEV, IOCB_CMD_PWRITEV},
    {"FlagResfd", KAIO_RAW_FLAG_RESFD, IOCB_FLAG_RESFD},
    {"FlagIoprio", KAIO_RAW_FLAG_IOPRIO, IOCB_FLAG_IOPRIO},
    {"RwfHipri", KAIO_RAW_RWF_HIPRI, RWF_HIPRI},
    {"RwfDsync", KAIO_RAW_RWF_DSYNC, RWF_DSYNC},
    {"RwfSync", KAIO_RAW_RWF_SYNC, RWF_SYNC},
    {"RwfNowait", KAIO_RAW_RWF_NOWAIT, RWF_NOWAIT},
    {"RwfAppend", KAIO_RAW_RWF_APPEND, RWF_APPEND},
    {"RwfNoappend", KAIO_RAW_RWF_NOAPPEND, RWF_NOAPPEND},
    {"RwfAtomic", KAIO_RAW_RWF_ATOMIC, RWF_ATOMIC},
    {"RwfDontcache", KAIO_RAW_RWF_DONTCACHE, RWF_DONTCACHE},
    {"RwfNosignal", KAIO_RAW_RWF_NOSIGNAL, RWF_NOSIGNAL},
    {"IoprioClassNone", KAIO_RAW_IOPRIO_CLASS_NONE, IOPRIO_CLASS_NONE},
    {"IoprioClassRt", KAIO_RAW_IOPRIO_CLASS_RT, IOPRIO_CLASS_RT},
    {"IoprioClassBe", KAIO_RAW_IOPRIO_CLASS_BE, IOPRIO_CLASS_BE},
    {"IoprioClassIdle", KAIO_RAW_IOPRIO_CLASS_IDLE, IOPRIO_CLASS_IDLE},
    {"IoprioClassShift", KAIO_RAW_IOPRIO_CLASS_SHIFT, IOPRIO_CLASS_SHIFT},
#ifdef IOPRIO_HINT_SHIFT
    {"IoprioClassInvalid", KAIO_RAW_IOPRIO_CLASS_INVALID, IOPRIO_CLASS_INVALID},
    {"IoprioHintShift", KAIO_RAW_IOPRIO_HINT_SHIFT, IOPRIO_HINT_SHIFT},
    {"IoprioHintMask", KAIO_RAW_IOPRIO_HINT_MASK, IOPRIO_HINT_MASK},
#endif
};

std::string NumberName(const testing::TestParamInfo<Number> &info) {
    return info.param.name;
}

INSTANTIATE_TEST_SUITE_P(Every, AioAbiNumberTest, testing::ValuesIn(kNumbers), NumberName);

TEST(AioAbiTest, IovMaxIsTheSystems) {
    EXPECT_EQ(KAIO_RAW_IOV_MAX, sysconf(_SC_IOV_MAX));
}

TEST(AioAbiTest, PriorityPacksClassHintAndLevel) {
    EXPECT_EQ(kaio_raw_ioprio_encode(KAIO_RAW_IOPRIO_CLASS_BE, 0, 4),
              IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 4));
    EXPECT_EQ(kaio_raw_ioprio_encode(KAIO_RAW_IOPRIO_CLASS_RT, 5, 7), 1 << 13 | 5 << 3 | 7);
    EXPECT_EQ(kaio_raw_ioprio_encode(KAIO_RAW_IOPRIO_CLASS_INVALID, 0x3ff, 7), 0xffff);
}

TEST(AioAbiTest, PriorityUnpacksToWhatWasPacked) {
    for (unsigned priority = 0; priority <= UINT16_MAX; ++priority) {
        auto packed = static_cast<uint16_t>(priority);
        ASSERT_EQ(
            kaio_raw_ioprio_encode(kaio_raw_ioprio_class(packed), kaio_raw_ioprio_hint(packed),
                                   kaio_raw_ioprio_level(packed)),
            packed);
    }
}

TEST(AioAbiTest, PriorityPartsAreCutToTheirWidth) {
    uint16_t priority = kaio_raw_ioprio_encode(8 + 2, 0x400 + 3, 8 + 1);

    EXPECT_EQ(kaio_raw_ioprio_class(priority), 2u);
    EXPECT_EQ(kaio_raw_ioprio_hint(priority), 3u);
    EXPECT_EQ(kaio_raw_ioprio_level(priority), 1u);
}

}  // namespace
