#include "kaio/raw/aio_prep.h"

#include <gtest/gtest.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <sys/uio.h>

#include <cstdint>
#include <cstring>

namespace {

// The kernel's own struct, all zero but for what a builder must set.
iocb Expected(uint16_t opcode, uint32_t fd, const void *buf, uint64_t nbytes, int64_t offset) {
    iocb expected;
    std::memset(&expected, 0, sizeof expected);
    expected.aio_lio_opcode = opcode;
    expected.aio_fildes = fd;
    expected.aio_buf = reinterpret_cast<uintptr_t>(buf);
    expected.aio_nbytes = nbytes;
    expected.aio_offset = offset;
    return expected;
}

testing::AssertionResult SameBytes(const kaio_raw_iocb &ours, const iocb &theirs) {
    const auto *a = reinterpret_cast<const unsigned char *>(&ours);
    const auto *b = reinterpret_cast<const unsigned char *>(&theirs);
    for (size_t i = 0; i < sizeof theirs; ++i) {
        if (a[i] != b[i]) {
            return testing::AssertionFailure() << "byte " << i << " differs";
        }
    }
    return testing::AssertionSuccess();
}

TEST(AioPrepTest, PreadSetsWhatTheKernelReads) {
    char bytes[8];

    kaio_raw_iocb iocb = kaio_raw_prep_pread(5, bytes, 8, 4096);

    EXPECT_TRUE(SameBytes(iocb, Expected(IOCB_CMD_PREAD, 5, bytes, 8, 4096)));
}

TEST(AioPrepTest, PwriteSetsWhatTheKernelReads) {
    const char bytes[8] = {};

    kaio_raw_iocb iocb = kaio_raw_prep_pwrite(5, bytes, 8, 4096);

    EXPECT_TRUE(SameBytes(iocb, Expected(IOCB_CMD_PWRITE, 5, bytes, 8, 4096)));
}

TEST(AioPrepTest, PreadvSetsWhatTheKernelReads) {
    const iovec parts[3] = {};

    kaio_raw_iocb iocb = kaio_raw_prep_preadv(5, parts, 3, 4096);

    EXPECT_TRUE(SameBytes(iocb, Expected(IOCB_CMD_PREADV, 5, parts, 3, 4096)));
}

TEST(AioPrepTest, PwritevSetsWhatTheKernelReads) {
    const iovec parts[3] = {};

    kaio_raw_iocb iocb = kaio_raw_prep_pwritev(5, parts, 3, 4096);

    EXPECT_TRUE(SameBytes(iocb, Expected(IOCB_CMD_PWRITEV, 5, parts, 3, 4096)));
}

TEST(AioPrepTest, FsyncAndFdsyncSetNothingButTheFile) {
    EXPECT_TRUE(SameBytes(kaio_raw_prep_fsync(5), Expected(IOCB_CMD_FSYNC, 5, nullptr, 0, 0)));
    EXPECT_TRUE(SameBytes(kaio_raw_prep_fdsync(5), Expected(IOCB_CMD_FDSYNC, 5, nullptr, 0, 0)));
}

TEST(AioPrepTest, PollPutsTheMaskWhereTheBufferIs) {
    iocb expected = Expected(IOCB_CMD_POLL, 5, nullptr, 0, 0);
    expected.aio_buf = POLLIN | POLLPRI;

    EXPECT_TRUE(SameBytes(kaio_raw_prep_poll(5, POLLIN | POLLPRI), expected));
}

TEST(AioPrepTest, ExtremesPassUnchanged) {
    kaio_raw_iocb iocb = kaio_raw_prep_pread(-1, nullptr, UINT64_MAX, INT64_MIN);

    EXPECT_TRUE(
        SameBytes(iocb, Expected(IOCB_CMD_PREAD, UINT32_MAX, nullptr, UINT64_MAX, INT64_MIN)));
    EXPECT_EQ(kaio_raw_prep_poll(5, UINT32_MAX).aio_buf, UINT32_MAX);
}

// On ILP32 a sign-extended address or length would name other memory.
TEST(AioPrepTest, HighAddressIsZeroExtended) {
    void *highest = reinterpret_cast<void *>(UINTPTR_MAX);

    EXPECT_EQ(kaio_raw_prep_pread(5, highest, 1, 0).aio_buf, UINTPTR_MAX);
    EXPECT_EQ(kaio_raw_prep_pwrite(5, highest, 1, 0).aio_buf, UINTPTR_MAX);
}

TEST(AioPrepTest, AddressAndLengthOf32BitsHaveNoUpperHalf) {
    void *high = reinterpret_cast<void *>(uintptr_t{0xfffff000});
    auto *parts = static_cast<iovec *>(high);

    for (const kaio_raw_iocb &iocb :
         {kaio_raw_prep_pread(5, high, 10, 0), kaio_raw_prep_pwrite(5, high, 10, 0),
          kaio_raw_prep_preadv(5, parts, 10, 0), kaio_raw_prep_pwritev(5, parts, 10, 0)}) {
        EXPECT_EQ(iocb.aio_buf, UINT64_C(0xfffff000));
        EXPECT_EQ(iocb.aio_nbytes, 10u);
    }
}

TEST(AioPrepTest, SetDataSetsTheDataAlone) {
    kaio_raw_iocb iocb = kaio_raw_prep_fsync(5);
    ::iocb expected = Expected(IOCB_CMD_FSYNC, 5, nullptr, 0, 0);
    expected.aio_data = 0x1122334455667788;

    kaio_raw_set_data(&iocb, 0x1122334455667788);

    EXPECT_TRUE(SameBytes(iocb, expected));
}

TEST(AioPrepTest, SetEventfdSetsFlagAndDescriptor) {
    kaio_raw_iocb iocb = kaio_raw_prep_fsync(5);
    ::iocb expected = Expected(IOCB_CMD_FSYNC, 5, nullptr, 0, 0);
    expected.aio_flags = IOCB_FLAG_RESFD;
    expected.aio_resfd = 7;

    kaio_raw_set_eventfd(&iocb, 7);

    EXPECT_TRUE(SameBytes(iocb, expected));
}

TEST(AioPrepTest, SetPrioritySetsFlagAndPriority) {
    kaio_raw_iocb iocb = kaio_raw_prep_fsync(5);
    ::iocb expected = Expected(IOCB_CMD_FSYNC, 5, nullptr, 0, 0);
    expected.aio_flags = IOCB_FLAG_IOPRIO;
    expected.aio_reqprio = static_cast<int16_t>(0xe007);

    kaio_raw_set_priority(&iocb, 0xe007);

    EXPECT_TRUE(SameBytes(iocb, expected));
}

TEST(AioPrepTest, SetRwFlagsReplacesTheFlags) {
    kaio_raw_iocb iocb = kaio_raw_prep_pread(5, nullptr, 0, 0);
    ::iocb expected = Expected(IOCB_CMD_PREAD, 5, nullptr, 0, 0);
    expected.aio_rw_flags = RWF_NOWAIT;

    kaio_raw_set_rw_flags(&iocb, KAIO_RAW_RWF_DSYNC);
    kaio_raw_set_rw_flags(&iocb, KAIO_RAW_RWF_NOWAIT);

    EXPECT_TRUE(SameBytes(iocb, expected));
}

TEST(AioPrepTest, SettersAddToEachOtherInAnyOrder) {
    kaio_raw_iocb one = kaio_raw_prep_pread(5, nullptr, 0, 0);
    kaio_raw_iocb other = one;

    kaio_raw_set_eventfd(&one, 7);
    kaio_raw_set_priority(&one, 1);
    kaio_raw_set_priority(&other, 1);
    kaio_raw_set_eventfd(&other, 7);

    EXPECT_EQ(one.aio_flags, static_cast<uint32_t>(IOCB_FLAG_RESFD | IOCB_FLAG_IOPRIO));
    EXPECT_EQ(other.aio_flags, one.aio_flags);
}

}  // namespace
