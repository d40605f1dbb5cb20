#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <string>

#include "kaio/raw/aio_prep.h"
#include "kaio/raw/aio_syscall.h"
#include "tests/raw/kernel_test.h"

namespace kaio_test {
namespace {

struct Sync {
    const char *name;
    kaio_raw_iocb (*prep)(int fd);
};

// What FSYNC and FDSYNC do alike: everything that can be seen from here.
class SyncTest : public KernelTest, public testing::WithParamInterface<Sync> {
  protected:
    static kaio_raw_iocb Prep(int fd) {
        return GetParam().prep(fd);
    }

    static long SubmitSync(int fd) {
        kaio_raw_iocb sync = Prep(fd);
        return Submit(&sync);
    }
};

INSTANTIATE_TEST_SUITE_P(Opcodes, SyncTest,
                         testing::Values(Sync{"Fsync", kaio_raw_prep_fsync},
                                         Sync{"Fdsync", kaio_raw_prep_fdsync}),
                         [](const auto &tested) { return std::string(tested.param.name); });

// ---- files that can be synced ----

TEST_P(SyncTest, WrittenFileGivesZero) {
    ASSERT_EQ(Run(kaio_raw_prep_pwrite(fd_, "x", 1, 0)), 1);

    EXPECT_EQ(Run(Prep(fd_)), 0);
}

TEST_P(SyncTest, FileWithNothingToWriteGivesZero) {
    EXPECT_EQ(Run(Prep(fd_)), 0);
}

TEST_P(SyncTest, ReadOnlyDescriptorIsEnough) {
    const int read_only = open(("/proc/self/fd/" + std::to_string(fd_)).c_str(), O_RDONLY);
    ASSERT_GE(read_only, 0);
    ASSERT_EQ(Run(kaio_raw_prep_pwrite(fd_, "x", 1, 0)), 1);

    EXPECT_EQ(Run(Prep(read_only)), 0);

    close(read_only);
}

TEST_P(SyncTest, DirectoryGivesZero) {
    const int directory = open(testing::TempDir().c_str(), O_RDONLY | O_DIRECTORY);
    ASSERT_GE(directory, 0);

    EXPECT_EQ(Run(Prep(directory)), 0);

    close(directory);
}

TEST_P(SyncTest, FileInMemoryGivesZero) {
    const int memory = memfd_create("kaio_test", MFD_CLOEXEC);
    ASSERT_GE(memory, 0);

    EXPECT_EQ(Run(Prep(memory)), 0);

    close(memory);
}

// A priority is not looked at: reads and writes would be refused for this one.
TEST_P(SyncTest, PriorityIsIgnored) {
    kaio_raw_iocb sync = Prep(fd_);
    kaio_raw_set_priority(&sync, kaio_raw_ioprio_encode(KAIO_RAW_IOPRIO_CLASS_INVALID, 0, 0));

    EXPECT_EQ(Run(sync), 0);
}

TEST_P(SyncTest, DescriptorMayBeClosedAfterSubmit) {
    const int duplicate = dup(fd_);
    ASSERT_GE(duplicate, 0);
    kaio_raw_iocb sync = Prep(duplicate);
    kaio_raw_event event;
    ASSERT_EQ(Run(kaio_raw_prep_pwrite(fd_, "x", 1, 0)), 1);

    ASSERT_EQ(Submit(&sync), 1);
    ASSERT_EQ(close(duplicate), 0);

    ASSERT_EQ(Get(1, 1, &event, kPatienceMs), 1);
    EXPECT_EQ(event.res, 0);
}

// ---- refusals ----

TEST_P(SyncTest, BufferIsRefused) {
    kaio_raw_iocb sync = Prep(fd_);
    sync.aio_buf = reinterpret_cast<uintptr_t>(bytes_);

    EXPECT_EQ(Submit(&sync), -EINVAL);
}

TEST_P(SyncTest, LengthIsRefused) {
    kaio_raw_iocb sync = Prep(fd_);
    sync.aio_nbytes = 1;

    EXPECT_EQ(Submit(&sync), -EINVAL);
}

TEST_P(SyncTest, OffsetIsRefused) {
    kaio_raw_iocb sync = Prep(fd_);
    sync.aio_offset = 1;

    EXPECT_EQ(Submit(&sync), -EINVAL);
}

TEST_P(SyncTest, RwFlagsAreRefused) {
    kaio_raw_iocb sync = Prep(fd_);
    kaio_raw_set_rw_flags(&sync, KAIO_RAW_RWF_DSYNC);

    EXPECT_EQ(Submit(&sync), -EINVAL);
}

TEST_P(SyncTest, PipeIsRefused) {
    EXPECT_EQ(SubmitSync(pipe_[1]), -EINVAL);
}

TEST_P(SyncTest, SocketIsRefused) {
    int sockets[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);

    EXPECT_EQ(SubmitSync(sockets[0]), -EINVAL);

    close(sockets[0]);
    close(sockets[1]);
}

TEST_P(SyncTest, NullDeviceIsRefused) {
    const int null_device = open("/dev/null", O_WRONLY | O_CLOEXEC);
    ASSERT_GE(null_device, 0);

    EXPECT_EQ(SubmitSync(null_device), -EINVAL);

    close(null_device);
}

TEST_P(SyncTest, DescriptorThatIsNotOpenIsRefused) {
    EXPECT_EQ(SubmitSync(kNoDescriptor), -EBADF);
}

}  // namespace
}  // namespace kaio_test
