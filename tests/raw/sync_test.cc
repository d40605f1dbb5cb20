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
    const Descriptor read_only(open(("/proc/self/fd/" + std::to_string(fd_)).c_str(), O_RDONLY));
    ASSERT_EQ(Run(kaio_raw_prep_pwrite(fd_, "x", 1, 0)), 1);

    EXPECT_EQ(Run(Prep(read_only.fd())), 0);
}

TEST_P(SyncTest, DirectoryGivesZero) {
    const Descriptor directory(open(testing::TempDir().c_str(), O_RDONLY | O_DIRECTORY));

    EXPECT_EQ(Run(Prep(directory.fd())), 0);
}

TEST_P(SyncTest, FileInMemoryGivesZero) {
    const Descriptor memory(memfd_create("kaio_test", MFD_CLOEXEC));

    EXPECT_EQ(Run(Prep(memory.fd())), 0);
}

// A priority is not looked at: reads and writes would be refused for this one.
TEST_P(SyncTest, PriorityIsIgnored) {
    kaio_raw_iocb sync = Prep(fd_);
    kaio_raw_set_priority(&sync, kaio_raw_ioprio_encode(KAIO_RAW_IOPRIO_CLASS_INVALID, 0, 0));

    EXPECT_EQ(Run(sync), 0);
}

TEST_P(SyncTest, DescriptorMayBeClosedAfterSubmit) {
    Descriptor duplicate(dup(fd_));
    kaio_raw_iocb sync = Prep(duplicate.fd());
    kaio_raw_event event;
    ASSERT_EQ(Run(kaio_raw_prep_pwrite(fd_, "x", 1, 0)), 1);

    ASSERT_EQ(Submit(&sync), 1);
    duplicate.Close();

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
    const Descriptor unconnected(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));

    EXPECT_EQ(SubmitSync(unconnected.fd()), -EINVAL);
}

TEST_P(SyncTest, NullDeviceIsRefused) {
    const Descriptor null_device(open("/dev/null", O_WRONLY | O_CLOEXEC));

    EXPECT_EQ(SubmitSync(null_device.fd()), -EINVAL);
}

TEST_P(SyncTest, DescriptorThatIsNotOpenIsRefused) {
    EXPECT_EQ(SubmitSync(kNoDescriptor), -EBADF);
}

}  // namespace
}  // namespace kaio_test
