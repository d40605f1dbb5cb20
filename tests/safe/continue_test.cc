// Queues that go on by themselves behind a short transfer, where a real kernel makes them.

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <string>

#include "kaio/safe/kaio.h"
#include "tests/support/safe_test.h"

namespace kaio_test {
namespace {

constexpr uint32_t kSizeBytes = 8192;

class ContinueTest : public QueueTest {
  protected:
    kaio_queue_options Options() const override {
        kaio_queue_options options = QueueTest::Options();
        options.continue_limit = 8;
        return options;
    }

    void SetUp() override {
        QueueTest::SetUp();
        file_ = OpenFile(temp_.path());
    }

    void TearDown() override {
        QueueTest::TearDown();
        kaio_file_drop(&file_);
    }

    const std::string content_ = Pattern(5000);
    TempFile temp_{content_};
    kaio_file *file_ = nullptr;
};

TEST_F(ContinueTest, AReadThatMeetsTheEndIsShortAndSaysSo) {
    kaio_buffer *buffer = NewBuffer(kSizeBytes);
    StartRead(file_, 0, &buffer);
    kaio_completion completion = WaitAndTake();
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_SHORT) << Text(completion);
    EXPECT_EQ(completion.moved_bytes, content_.size());
    EXPECT_TRUE(completion.met_end);
    EXPECT_EQ(completion.os_error, 0);
    EXPECT_EQ(BufferText(completion.buffer, content_.size()), content_);
    EXPECT_EQ(Counters().continued_count, 1u);
    kaio_completion_drop(&completion);
}

TEST_F(ContinueTest, AWholeReadIsNotSentAnew) {
    kaio_buffer *buffer = NewBuffer(content_.size());
    StartRead(file_, 0, &buffer);
    kaio_completion completion = WaitAndTake();
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL) << Text(completion);
    EXPECT_FALSE(completion.met_end);
    EXPECT_EQ(Counters().continued_count, 0u);
    EXPECT_EQ(Counters().accepted_count, 1u);
    kaio_completion_drop(&completion);
}

// A FileLimit ends what this process may write to a file, as a full disk would.
class FileLimit {
  public:
    explicit FileLimit(rlim_t size_bytes) {
        EXPECT_EQ(getrlimit(RLIMIT_FSIZE, &before_), 0);
        signal_before_ = signal(SIGXFSZ, SIG_IGN);
        const rlimit limit = {size_bytes, before_.rlim_max};
        EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
    }
    ~FileLimit() {
        EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &before_), 0);
        signal(SIGXFSZ, signal_before_);
    }
    FileLimit(const FileLimit &) = delete;
    FileLimit &operator=(const FileLimit &) = delete;

  private:
    rlimit before_ = {};
    sighandler_t signal_before_ = SIG_DFL;
};

// Without going on it is not known why so little moved: the kernel tells an error only where
// nothing did.
TEST_F(ContinueTest, AWriteThatNoMoreRoomIsForSaysWhy) {
    const FileLimit limit(6000);
    kaio_buffer *buffer = NewBuffer(Pattern(kSizeBytes, 5));
    StartWrite(file_, 0, &buffer);
    kaio_ticket ticket = {};
    EXPECT_OK(K(kaio_sync_start(queue_, file_, KAIO_SYNC_DATA, 0, &ticket)));
    EXPECT_EQ(Wait(2), 2u);
    kaio_completion completion = Take();
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_SHORT) << Text(completion);
    EXPECT_EQ(completion.moved_bytes, 6000u);
    EXPECT_EQ(completion.os_error, EFBIG);
    EXPECT_FALSE(completion.met_end);
    kaio_completion_drop(&completion);
    EXPECT_EQ(Take().sync, KAIO_SYNC_PRECEDED_BY_FAILURE);
}

// A direct read that the end of the file cuts in the middle of a block: EINVAL is what the kernel
// would say to the rest of it.
TEST_F(ContinueTest, BehindAPartOfABlockADirectReadEnds) {
    kaio_file *direct = nullptr;
    const kaio_status opened = kaio_file_open(temp_.path(), O_RDONLY | O_DIRECT, 0, &direct);
    if (opened.code == KAIO_OS_ERROR && opened.os_error == EINVAL) {
        GTEST_SKIP() << "no O_DIRECT here: " << temp_.path();
    }
    ASSERT_OK(opened);
    kaio_alignment alignment = {};
    EXPECT_OK(kaio_file_alignment(direct, &alignment));
    kaio_buffer *buffer = NewBuffer(kSizeBytes);
    StartRead(direct, 0, &buffer);
    kaio_completion completion = WaitAndTake();
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_SHORT) << Text(completion);
    EXPECT_EQ(completion.moved_bytes, content_.size());
    EXPECT_EQ(completion.os_error, 0);
    EXPECT_EQ(Counters().continued_count, alignment.is_known ? 0u : 1u);
    kaio_completion_drop(&completion);
    kaio_file_drop(&direct);
}

}  // namespace
}  // namespace kaio_test
