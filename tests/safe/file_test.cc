#include "kaio/safe/file.h"

#include <thread>

#include "tests/support/safe_test.h"

namespace kaio_test {
namespace {

class FileTest : public SafeTest {
  protected:
    TempFile temp_{Pattern(10000)};
};

bool IsOpen(int fd) {
    return fcntl(fd, F_GETFD) >= 0;
}

int FdOf(const kaio_file *file) {
    int fd = -1;
    EXPECT_OK(kaio_file_as_fd(file, &fd));
    return fd;
}

TEST_F(FileTest, OpenLendsADescriptorThatIsClosedOnExec) {
    kaio_file *file = OpenFile(temp_.path());

    const int fd = FdOf(file);

    EXPECT_TRUE(IsOpen(fd));
    EXPECT_EQ(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    EXPECT_OK(kaio_file_close(&file));
    EXPECT_EQ(file, nullptr);
    EXPECT_FALSE(IsOpen(fd));
}

TEST_F(FileTest, AMissingPathIsNamedWithItsErrno) {
    kaio_file *file = nullptr;
    errno = kErrno;

    const kaio_status status = kaio_file_open("/no/such/file", O_RDONLY, 0, &file);

    EXPECT_CODE(KAIO_OS_ERROR, status);
    EXPECT_EQ(status.os_error, ENOENT);
    EXPECT_EQ(file, nullptr);
    EXPECT_EQ(errno, kErrno);
}

TEST_F(FileTest, AdoptOwnsTheDescriptor) {
    const int fd = open(temp_.path(), O_RDWR | O_CLOEXEC);
    kaio_file *file = nullptr;
    ASSERT_OK(kaio_file_adopt(fd, &file));

    kaio_file_drop(&file);

    EXPECT_EQ(file, nullptr);
    EXPECT_FALSE(IsOpen(fd));
}

TEST_F(FileTest, ASecondOwnerOfADescriptorIsRefused) {
    kaio_file *file = OpenFile(temp_.path());
    kaio_file *second = nullptr;

    EXPECT_CODE(KAIO_BUSY, kaio_file_adopt(FdOf(file), &second));

    EXPECT_EQ(second, nullptr);
    EXPECT_OK(kaio_file_close(&file));
}

TEST_F(FileTest, BorrowLeavesTheDescriptorOpen) {
    const int fd = open(temp_.path(), O_RDWR | O_CLOEXEC);
    kaio_file *file = nullptr;
    ASSERT_OK(kaio_file_borrow(fd, &file));

    EXPECT_OK(kaio_file_close(&file));

    EXPECT_TRUE(IsOpen(fd));
    close(fd);
}

TEST_F(FileTest, ABadDescriptorIsRefused) {
    kaio_file *file = nullptr;
    EXPECT_EQ(kaio_file_adopt(-1, &file).os_error, EBADF);
    EXPECT_EQ(kaio_file_borrow(987654, &file).os_error, EBADF);
    EXPECT_EQ(file, nullptr);
}

TEST_F(FileTest, BufferedFilesNeedNoAlignment) {
    kaio_file *file = OpenFile(temp_.path());
    kaio_alignment alignment = {};

    ASSERT_OK(kaio_file_alignment(file, &alignment));

    EXPECT_FALSE(alignment.is_direct);
    EXPECT_TRUE(alignment.is_known);
    EXPECT_EQ(alignment.memory_bytes, 1u);
    EXPECT_EQ(alignment.read_bytes, 1u);
    EXPECT_EQ(alignment.write_bytes, 1u);
    kaio_file_drop(&file);
}

TEST_F(FileTest, DirectFilesTellTheirAlignment) {
    kaio_file *file = OpenFile(temp_.path(), O_RDWR | O_DIRECT);
    kaio_alignment alignment = {};

    ASSERT_OK(kaio_file_alignment(file, &alignment));

    EXPECT_TRUE(alignment.is_direct);
    for (uint32_t bytes : {alignment.memory_bytes, alignment.read_bytes, alignment.write_bytes}) {
        EXPECT_GE(bytes, 1u);
        EXPECT_LE(bytes, 65536u);
        EXPECT_EQ(bytes & (bytes - 1), 0u) << bytes;
    }
    kaio_file_drop(&file);
}

TEST_F(FileTest, DropIgnoresNull) {
    kaio_file *none = nullptr;
    kaio_file_drop(&none);
    kaio_file_drop(nullptr);
}

TEST_F(FileTest, AClosedDescriptorUnderneathIsReportedByClose) {
    const int fd = open(temp_.path(), O_RDWR | O_CLOEXEC);
    kaio_file *file = nullptr;
    ASSERT_OK(kaio_file_adopt(fd, &file));
    close(fd);

    const kaio_status status = kaio_file_close(&file);

    EXPECT_CODE(KAIO_OS_ERROR, status);
    EXPECT_EQ(status.os_error, EBADF);
    EXPECT_EQ(file, nullptr) << "close consumes also when close(2) fails";
}

class AttachTest : public QueueTest {
  protected:
    TempFile temp_{Pattern(10000)};
};

TEST_F(AttachTest, AttachAndDetachMayBeSaidTwice) {
    kaio_file *file = OpenFile(temp_.path());
    EXPECT_OK(K(kaio_file_attach(file, queue_)));
    EXPECT_OK(K(kaio_file_attach(file, queue_)));
    EXPECT_OK(K(kaio_file_detach(file, queue_)));
    EXPECT_OK(K(kaio_file_detach(file, queue_)));
    EXPECT_OK(kaio_file_close(&file));
}

TEST_F(AttachTest, DetachIsBusyWhileARequestUsesTheFile) {
    kaio_file *file = OpenFile(temp_.path());
    kaio_buffer *buffer = NewBuffer(512);
    kaio_read *read = NewRead(file, &buffer);

    const kaio_status status = K(kaio_file_detach(file, queue_));

    EXPECT_CODE(KAIO_BUSY, status);
    EXPECT_EQ(status.detail, 1u);
    EXPECT_OK(K(kaio_read_abandon(&read, &buffer)));
    EXPECT_OK(K(kaio_file_detach(file, queue_)));
    kaio_file_drop(&file);
    kaio_buffer_drop(&buffer);
}

TEST_F(AttachTest, AFileDroppedWhilePinnedClosesWhenItsLastRequestIsTaken) {
    kaio_file *file = OpenFile(temp_.path());
    const int fd = FdOf(file);
    kaio_buffer *buffer = NewBuffer(512);
    StartRead(file, 0, &buffer);

    kaio_file_drop(&file);

    EXPECT_TRUE(IsOpen(fd));
    kaio_completion completion = WaitAndTake();
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL);
    EXPECT_FALSE(IsOpen(fd));
    kaio_completion_drop(&completion);
}

TEST_F(AttachTest, AFileDroppedByAnotherThreadClosesWhenItsLastRequestIsTaken) {
    kaio_file *file = OpenFile(temp_.path());
    const int fd = FdOf(file);
    kaio_buffer *buffer = NewBuffer(512);
    StartRead(file, 0, &buffer);
    EXPECT_EQ(Wait(1), 1u);
    std::thread([&] { kaio_file_drop(&file); }).join();
    EXPECT_TRUE(IsOpen(fd));

    kaio_completion completion = Take();

    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL);
    EXPECT_FALSE(IsOpen(fd));
    kaio_completion_drop(&completion);
}

TEST_F(AttachTest, ARefusedRequestLeavesItsFileToEverybody) {
    kaio_file *file = OpenFile(temp_.path(), O_RDONLY);
    kaio_buffer *buffer = NewBuffer(512);
    kaio_ticket ticket = {};
    EXPECT_CODE(KAIO_ACCESS, K(kaio_write_start(queue_, file, Range(0, 512), kaio_rw_none(), 0,
                                                &buffer, &ticket)));
    kaio_status status = {};

    std::thread([&] { status = kaio_file_close(&file); }).join();

    EXPECT_OK(status);
    kaio_file_drop(&file);
    kaio_buffer_drop(&buffer);
}

TEST_F(AttachTest, AFileDroppedByAnotherThreadClosesAtTheNextFlush) {
    kaio_file *file = OpenFile(temp_.path());
    const int fd = FdOf(file);
    ASSERT_OK(K(kaio_file_attach(file, queue_)));
    std::thread([&] { kaio_file_drop(&file); }).join();
    EXPECT_TRUE(IsOpen(fd));

    Flush();

    EXPECT_FALSE(IsOpen(fd));
}

TEST_F(AttachTest, MoreFilesThanRequestsPassThroughOneQueue) {
    const std::string content = Pattern(512);
    std::vector<kaio_file *> files;
    for (int i = 0; i < 100; ++i) {
        files.push_back(OpenFile(temp_.path()));
    }
    for (kaio_file *file : files) {
        kaio_buffer *buffer = NewBuffer(512);
        StartRead(file, 0, &buffer);
        kaio_completion completion = WaitAndTake();
        EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL);
        kaio_completion_drop(&completion);
    }
    for (kaio_file *file : files) {
        EXPECT_OK(kaio_file_close(&file));
        ExpectBooks();
    }
}

TEST_F(AttachTest, EveryRequestMayHaveAFileOfItsOwn) {
    std::vector<kaio_file *> files;
    for (uint32_t i = 0; i < kDepth; ++i) {
        files.push_back(OpenFile(temp_.path()));
        kaio_buffer *buffer = NewBuffer(512);
        StartRead(files.back(), 0, &buffer);
    }
    for (uint32_t i = 0; i < kDepth; ++i) {
        kaio_completion completion = WaitAndTake();
        kaio_completion_drop(&completion);
    }
    for (kaio_file *file : files) {
        EXPECT_OK(kaio_file_close(&file));
    }
}

}  // namespace
}  // namespace kaio_test
