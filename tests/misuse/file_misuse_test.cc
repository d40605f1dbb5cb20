// Files that are closed, dropped, owned twice or moved to another thread while they are in use.

#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <functional>
#include <iterator>
#include <string>
#include <thread>

#include "kaio/safe/kaio.h"
#include "kaio/safe/testing.h"
#include "tests/misuse/every_use.h"
#include "tests/support/safe_test.h"

namespace {

using namespace kaio_test;

bool IsOpen(int fd) {
    const int before = errno;
    const bool is_open = fcntl(fd, F_GETFD) != -1;
    errno = before;
    return is_open;
}

int DescriptorOf(const kaio_file *file) {
    int fd = -1;
    EXPECT_OK(kaio_file_as_fd(file, &fd));
    return fd;
}

void OnAnotherThread(const std::function<void()> &body) {
    std::thread(body).join();
}

// How many requests of this thread, and how many queues of other threads, a BUSY names.
uint32_t UsersHere(kaio_status status) {
    return static_cast<uint32_t>(status.detail);
}

uint32_t QueuesElsewhere(kaio_status status) {
    return static_cast<uint32_t>(status.detail >> 32);
}

class FileMisuseTest : public QueueTest {
  protected:
    void SetUp() override {
        QueueTest::SetUp();
        file_ = OpenFile(disk_.path());
        fd_ = DescriptorOf(file_);
    }

    void TearDown() override {
        kaio_file_drop(&file_);
        EXPECT_OK(kaio_queue_close(&queue_));
        EXPECT_FALSE(IsOpen(fd_));
        QueueTest::TearDown();
    }

    // Close and detach refuse, with the count of requests, and the file stays as it is.
    void ExpectBusy(uint32_t users) {
        kaio_file *const alias = file_;
        const kaio_status closed = K(kaio_file_close(&file_));
        EXPECT_CODE(KAIO_BUSY, closed);
        EXPECT_EQ(closed.subject, KAIO_SUBJECT_FILE);
        EXPECT_EQ(UsersHere(closed), users);
        EXPECT_EQ(QueuesElsewhere(closed), 0u);
        EXPECT_EQ(file_, alias);

        const kaio_status detached = K(kaio_file_detach(file_, queue_));
        EXPECT_CODE(KAIO_BUSY, detached);
        EXPECT_EQ(UsersHere(detached), users);
        EXPECT_TRUE(IsOpen(fd_));
    }

    void ExpectWhole(kaio_completion completion) {
        EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL) << Text(completion);
        EXPECT_EQ(BufferText(completion.buffer, kSizeBytes), Pattern(kSizeBytes));
        kaio_completion_drop(&completion);
    }

    static constexpr size_t kSizeBytes = 512;
    TempFile disk_{Pattern(kSizeBytes)};
    kaio_file *file_ = nullptr;
    int fd_ = -1;
};

// ---- closed while in use ----

TEST_F(FileMisuseTest, CloseIsBusyInEveryStateOfARequestAndOkAfterTheTake) {
    kaio_buffer *buffer = NewBuffer(kSizeBytes);
    kaio_read *read = NewRead(file_, &buffer);
    ExpectBusy(1);
    kaio_read_push(&read, 1);
    ExpectBusy(1);
    EXPECT_EQ(Flush().accepted_count, 1u);
    EXPECT_EQ(Counts().in_flight_count, 1u);
    ExpectBusy(1);
    EXPECT_EQ(Wait(1), 1u);
    ExpectBusy(1);

    ExpectWhole(Take());

    EXPECT_OK(K(kaio_file_close(&file_)));
    EXPECT_FALSE(IsOpen(fd_));
}

TEST_F(FileMisuseTest, CloseCountsTheRequestsOfEveryQueueOfTheThread) {
    kaio_queue_options options = {};
    options.depth = 4;
    kaio_queue *other = nullptr;
    ASSERT_OK(kaio_queue_open(&options, &other));
    kaio_sync *here[2] = {};
    kaio_sync *there[3] = {};
    for (kaio_sync *&sync : here) {
        EXPECT_OK(K(kaio_sync_new(queue_, file_, KAIO_SYNC_DATA, &sync)));
    }
    for (kaio_sync *&sync : there) {
        EXPECT_OK(kaio_sync_new(other, file_, KAIO_SYNC_DATA, &sync));
    }

    const kaio_status status = K(kaio_file_close(&file_));

    EXPECT_CODE(KAIO_BUSY, status);
    EXPECT_EQ(UsersHere(status), 5u);
    EXPECT_EQ(QueuesElsewhere(status), 0u);
    kaio_queue_drop(&other);
    for (kaio_sync *&sync : here) {
        EXPECT_OK(K(kaio_sync_abandon(&sync)));
    }
    EXPECT_OK(K(kaio_file_close(&file_)));
}

TEST_F(FileMisuseTest, AbandonAndDropUnpinTheFileToo) {
    kaio_buffer *buffer = NewBuffer(kSizeBytes);
    kaio_read *read = NewRead(file_, &buffer);
    kaio_sync *sync = nullptr;
    EXPECT_OK(K(kaio_sync_new(queue_, file_, KAIO_SYNC_DATA, &sync)));
    ExpectBusy(2);
    kaio_sync_drop(&sync);
    ExpectBusy(1);
    EXPECT_OK(K(kaio_read_abandon(&read, &buffer)));

    EXPECT_OK(K(kaio_file_close(&file_)));

    kaio_buffer_drop(&buffer);
}

// ---- dropped while in use ----

TEST_F(FileMisuseTest, AFileDroppedWhilePinnedServesItsRequestAndClosesAtTheTake) {
    kaio_buffer *buffer = NewBuffer(kSizeBytes);
    kaio_read *read = NewRead(file_, &buffer);
    kaio_file *alias = file_;

    kaio_file_drop(&file_);
    EXPECT_TRUE(IsOpen(fd_));
    kaio_read_push(&read, 1);
    EXPECT_EQ(Wait(1), 1u);
    kaio_file_drop(&alias);
    EXPECT_TRUE(IsOpen(fd_));
    ExpectWhole(Take());

    EXPECT_FALSE(IsOpen(fd_));
}

TEST_F(FileMisuseTest, AFileDroppedWhilePinnedClosesWhenItsRequestIsAbandoned) {
    kaio_buffer *buffer = NewBuffer(kSizeBytes);
    kaio_read *read = NewRead(file_, &buffer);
    kaio_file_drop(&file_);
    EXPECT_TRUE(IsOpen(fd_));

    EXPECT_OK(K(kaio_read_abandon(&read, &buffer)));

    EXPECT_FALSE(IsOpen(fd_));
    kaio_buffer_drop(&buffer);
}

TEST_F(FileMisuseTest, AFileDroppedWhilePinnedClosesWithItsQueue) {
    kaio_buffer *buffer = NewBuffer(kSizeBytes);
    StartRead(file_, 0, &buffer);
    kaio_file_drop(&file_);
    EXPECT_TRUE(IsOpen(fd_));
    kaio_queue_drop(&queue_);

    EXPECT_FALSE(IsOpen(fd_));
    QueueTest::SetUp();
}

TEST_F(FileMisuseTest, ADroppedFileAnswersStaleAtOnce) {
    kaio_buffer *pinning = NewBuffer(kSizeBytes);
    StartRead(file_, 0, &pinning);
    const uintptr_t bits = Bits(file_);
    kaio_file_drop(&file_);
    kaio_buffer *buffer = NewBuffer(kSizeBytes);

    for (const Use &use : UsesOfFiles()) {
        ExpectAnswer(KAIO_STALE, use, K(use.call({queue_, nullptr, buffer}, bits)));
    }

    EXPECT_TRUE(IsOpen(fd_));
    ExpectWhole(WaitAndTake());
    kaio_buffer_drop(&buffer);
}

// ---- owned twice ----

TEST_F(FileMisuseTest, ALivingDescriptorIsNotAdoptedAgain) {
    Output<kaio_file *> second;

    const kaio_status status = second.Judge(kaio_file_adopt(fd_, second.at()));

    EXPECT_CODE(KAIO_BUSY, status);
    EXPECT_EQ(status.subject, KAIO_SUBJECT_DESCRIPTOR);
    EXPECT_EQ(DescriptorOf(file_), fd_);
}

TEST_F(FileMisuseTest, ADescriptorThatIsStillPinnedIsNotAdoptedAgain) {
    kaio_buffer *buffer = NewBuffer(kSizeBytes);
    StartRead(file_, 0, &buffer);
    kaio_file_drop(&file_);
    Output<kaio_file *> second;

    EXPECT_CODE(KAIO_BUSY, second.Judge(kaio_file_adopt(fd_, second.at())));

    ExpectWhole(WaitAndTake());
    EXPECT_CODE(KAIO_OS_ERROR, second.Judge(kaio_file_adopt(fd_, second.at())));
}

TEST_F(FileMisuseTest, ABorrowedDescriptorStaysOpenHoweverItsFileEnds) {
    const int fd = open(disk_.path(), O_RDONLY | O_CLOEXEC);
    kaio_file *closed = nullptr;
    kaio_file *dropped = nullptr;
    ASSERT_OK(kaio_file_borrow(fd, &closed));
    ASSERT_OK(kaio_file_borrow(fd, &dropped));
    kaio_buffer *buffer = NewBuffer(kSizeBytes);
    kaio_read *read = NewRead(dropped, &buffer);

    EXPECT_OK(K(kaio_file_close(&closed)));
    kaio_file_drop(&dropped);
    EXPECT_OK(K(kaio_read_abandon(&read, &buffer)));

    EXPECT_TRUE(IsOpen(fd));
    EXPECT_OK(kaio_file_adopt(fd, &closed));
    EXPECT_OK(kaio_file_close(&closed));
    EXPECT_FALSE(IsOpen(fd));
    kaio_buffer_drop(&buffer);
}

TEST_F(FileMisuseTest, ABorrowedFileIsBusyWhileARequestUsesIt) {
    kaio_file *borrowed = nullptr;
    ASSERT_OK(kaio_file_borrow(fd_, &borrowed));
    kaio_sync *sync = nullptr;
    EXPECT_OK(K(kaio_sync_new(queue_, borrowed, KAIO_SYNC_DATA, &sync)));

    EXPECT_CODE(KAIO_BUSY, K(kaio_file_close(&borrowed)));
    EXPECT_OK(K(kaio_sync_abandon(&sync)));

    EXPECT_OK(K(kaio_file_close(&borrowed)));
}

// The limit of what can be checked: the number closed behind the library is not the file's any
// more. Where it names nothing the kernel refuses, and the buffer comes back.
TEST_F(FileMisuseTest, ADescriptorClosedBehindItsFileEndsItsRequestsRefused) {
    kaio_buffer *buffer = NewBuffer(kSizeBytes);
    kaio_buffer *const alias = buffer;
    StartRead(file_, 0, &buffer, 7);
    ASSERT_EQ(close(fd_), 0);

    kaio_completion completion = WaitAndTake();

    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_REFUSED);
    EXPECT_CODE(KAIO_OS_ERROR, completion.refusal);
    EXPECT_EQ(completion.os_error, EBADF);
    EXPECT_EQ(completion.user, 7u);
    EXPECT_EQ(completion.buffer, alias);
    kaio_completion_drop(&completion);
}

// ---- a borrowed descriptor, closed behind the library ----

// A BorrowTest borrows `fd_`, and can make the number another file's. In builds with NDEBUG nobody
// looks: the documented limit.
class BorrowTest : public FileMisuseTest {
  protected:
    void SetUp() override {
#ifdef NDEBUG
        GTEST_SKIP() << "this build takes the caller's word for borrowed descriptors";
#endif
        FileMisuseTest::SetUp();
        number_ = open(disk_.path(), O_RDWR | O_CLOEXEC);
        ASSERT_OK(kaio_file_borrow(number_, &borrowed_));
    }

    void TearDown() override {
        if (queue_ == nullptr) {
            return;
        }
        kaio_file_drop(&borrowed_);
        FileMisuseTest::TearDown();
        EXPECT_EQ(close(number_), 0);
    }

    // Replace closes the descriptor and opens `path` under its number.
    void Replace(const char *path) {
        ASSERT_EQ(close(number_), 0);
        const int fd = open(path, O_RDWR | O_CLOEXEC);
        if (fd != number_) {
            ASSERT_EQ(dup3(fd, number_, O_CLOEXEC), number_);
            close(fd);
        }
    }

    void ExpectRefused(const kaio_completion &completion, uint64_t user) {
        EXPECT_CODE(KAIO_OS_ERROR, completion.refusal);
        EXPECT_EQ(completion.os_error, EBADF);
        EXPECT_EQ(completion.user, user);
    }

    TempFile other_{Pattern(2 * kSizeBytes, 9)};
    int number_ = -1;
    kaio_file *borrowed_ = nullptr;
};

TEST_F(BorrowTest, AWriteDoesNotGoToTheFileThatHasItsNumberNow) {
    kaio_buffer *buffer = NewBuffer(Pattern(kSizeBytes, 3));
    kaio_buffer *const alias = buffer;
    StartWrite(borrowed_, 0, &buffer, 7);
    Replace(other_.path());

    const kaio_flush_report report = Flush();

    EXPECT_EQ(report.accepted_count, 0u);
    EXPECT_EQ(report.refused_count, 1u);
    kaio_completion completion = Take();
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_REFUSED);
    ExpectRefused(completion, 7);
    EXPECT_EQ(completion.buffer, alias);
    EXPECT_EQ(BufferText(completion.buffer, kSizeBytes), Pattern(kSizeBytes, 3));
    EXPECT_EQ(other_.Content(), Pattern(2 * kSizeBytes, 9));
    EXPECT_EQ(disk_.Content(), Pattern(kSizeBytes));
    kaio_completion_drop(&completion);
}

TEST_F(BorrowTest, TheOthersOfTheBatchAreSentInOrder) {
    kaio_file *second = nullptr;
    ASSERT_OK(kaio_file_borrow(fd_, &second));
    kaio_file *const files[] = {second, borrowed_, borrowed_, file_, borrowed_, second};
    for (uint64_t user = 0; user < std::size(files); ++user) {
        kaio_buffer *buffer = NewBuffer(kSizeBytes);
        StartRead(files[user], 0, &buffer, user);
    }
    Replace(other_.path());

    const kaio_flush_report report = Flush();

    EXPECT_EQ(report.accepted_count, 3u);
    EXPECT_EQ(report.refused_count, 3u);
    EXPECT_EQ(Wait(std::size(files)), std::size(files));
    uint64_t last_whole = 0;
    for (size_t i = 0; i < std::size(files); ++i) {
        kaio_completion completion = Take();
        if (files[completion.user] == borrowed_) {
            ExpectRefused(completion, completion.user);
            kaio_completion_drop(&completion);
        } else {
            EXPECT_GE(completion.user, last_whole);
            last_whole = completion.user;
            ExpectWhole(completion);
        }
    }
    kaio_file_drop(&second);
}

TEST_F(BorrowTest, SyncsAndPollsAreRefusedToo) {
    kaio_ticket ticket = {};
    ASSERT_OK(K(kaio_sync_start(queue_, borrowed_, KAIO_SYNC_DATA, 1, &ticket)));
    ASSERT_OK(K(kaio_poll_start(queue_, borrowed_, kaio_poll_readable(), 2, &ticket)));
    Replace(other_.path());

    EXPECT_EQ(Flush().refused_count, 2u);

    for (const uint64_t user : {1, 2}) {
        ExpectRefused(Take(), user);
    }
}

TEST_F(BorrowTest, TheSameFileUnderItsNumberIsTheSame) {
    kaio_buffer *buffer = NewBuffer(kSizeBytes);
    StartRead(borrowed_, 0, &buffer);
    Replace(disk_.path());

    ExpectWhole(WaitAndTake());
}

// ---- several threads ----

TEST_F(FileMisuseTest, AnotherThreadCannotCloseAnAttachedFile) {
    ASSERT_OK(K(kaio_file_attach(file_, queue_)));

    OnAnotherThread([this] {
        kaio_file *alias = file_;
        const kaio_status status = kaio_file_close(&alias);
        EXPECT_CODE(KAIO_BUSY, status);
        EXPECT_EQ(UsersHere(status), 0u);
        EXPECT_EQ(QueuesElsewhere(status), 1u);
        EXPECT_EQ(alias, file_);
        EXPECT_CODE(KAIO_WRONG_THREAD, kaio_file_detach(alias, queue_));
    });
    EXPECT_TRUE(IsOpen(fd_));

    EXPECT_OK(K(kaio_file_detach(file_, queue_)));
    OnAnotherThread([this] { EXPECT_OK(kaio_file_close(&file_)); });
    EXPECT_FALSE(IsOpen(fd_));
}

TEST_F(FileMisuseTest, AFileThatARequestUsedStaysAttachedUntilItsThreadDetachesOrCloses) {
    kaio_buffer *buffer = NewBuffer(kSizeBytes);
    StartRead(file_, 0, &buffer);
    ExpectWhole(WaitAndTake());

    OnAnotherThread([this] {
        kaio_file *alias = file_;
        EXPECT_CODE(KAIO_BUSY, kaio_file_close(&alias));
    });

    EXPECT_OK(K(kaio_file_close(&file_)));
}

TEST_F(FileMisuseTest, AFileThatAnotherThreadDropsClosesAtTheNextTake) {
    kaio_buffer *buffer = NewBuffer(kSizeBytes);
    StartRead(file_, 0, &buffer);
    OnAnotherThread([this] { kaio_file_drop(&file_); });
    EXPECT_EQ(file_, nullptr);
    EXPECT_TRUE(IsOpen(fd_));

    ExpectWhole(WaitAndTake());

    EXPECT_FALSE(IsOpen(fd_));
}

TEST_F(FileMisuseTest, AFileThatAnotherThreadDropsUnusedClosesWithTheQueueAtTheLatest) {
    ASSERT_OK(K(kaio_file_attach(file_, queue_)));
    OnAnotherThread([this] { kaio_file_drop(&file_); });

    EXPECT_OK(kaio_queue_close(&queue_));

    EXPECT_FALSE(IsOpen(fd_));
    QueueTest::SetUp();
}

TEST_F(FileMisuseTest, AThreadThatEndsLeavesItsAttachmentsToItsQueuesDrop) {
    kaio_queue *left = nullptr;
    OnAnotherThread([&] {
        kaio_queue_options options = {};
        options.depth = 1;
        ASSERT_OK(kaio_queue_open(&options, &left));
        ASSERT_OK(kaio_file_attach(file_, left));
    });
    EXPECT_CODE(KAIO_BUSY, K(kaio_file_close(&file_)));

    kaio_queue_drop(&left);

    EXPECT_OK(K(kaio_file_close(&file_)));
}

}  // namespace
