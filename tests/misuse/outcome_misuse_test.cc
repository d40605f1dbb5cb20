// Outcomes that are asked for too often, read as another operation's, or dropped with their buffer.

#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <string>

#include "kaio/safe/kaio.h"
#include "kaio/safe/testing.h"
#include "tests/misuse/every_use.h"
#include "tests/support/safe_test.h"

namespace {

using namespace kaio_test;

constexpr size_t kSizeBytes = 64;

class OutcomeMisuseTest : public QueueTest {
  protected:
    void SetUp() override {
        QueueTest::SetUp();
        file_ = OpenFile(disk_.path());
    }

    void TearDown() override {
        EXPECT_OK(kaio_file_close(&file_));
        EXPECT_EQ(Counts().free_count, kDepth);
        QueueTest::TearDown();
    }

    TempFile disk_{Pattern(kSizeBytes)};
    kaio_file *file_ = nullptr;
};

TEST_F(OutcomeMisuseTest, OutcomesOfOtherOperationsReadPending) {
    int fds[2];
    ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
    kaio_file *writable = nullptr;
    ASSERT_OK(kaio_file_adopt(fds[1], &writable));
    kaio_buffer *buffer = NewBuffer(kSizeBytes);
    kaio_ticket ticket = {};

    StartRead(file_, 0, &buffer);
    kaio_completion completion = WaitAndTake();
    EXPECT_EQ(completion.operation, KAIO_READ);
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL);
    EXPECT_EQ(completion.sync, KAIO_SYNC_PENDING);
    EXPECT_EQ(completion.poll, KAIO_POLL_PENDING);
    EXPECT_EQ(completion.events.bits, 0u);

    buffer = completion.buffer;
    StartWrite(file_, 0, &buffer);
    completion = WaitAndTake();
    EXPECT_EQ(completion.operation, KAIO_WRITE);
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL);
    EXPECT_EQ(completion.sync, KAIO_SYNC_PENDING);
    EXPECT_EQ(completion.poll, KAIO_POLL_PENDING);
    kaio_completion_drop(&completion);

    ASSERT_OK(K(kaio_sync_start(queue_, file_, KAIO_SYNC_DATA, 1, &ticket)));
    completion = WaitAndTake();
    EXPECT_EQ(completion.operation, KAIO_SYNC);
    EXPECT_EQ(completion.sync, KAIO_SYNC_SYNCED);
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_PENDING);
    EXPECT_EQ(completion.poll, KAIO_POLL_PENDING);
    EXPECT_EQ(completion.buffer, nullptr);
    EXPECT_EQ(completion.moved_bytes, 0u);

    ASSERT_OK(K(kaio_poll_start(queue_, writable, kaio_poll_writable(), 1, &ticket)));
    completion = WaitAndTake();
    EXPECT_EQ(completion.operation, KAIO_POLL);
    EXPECT_EQ(completion.poll, KAIO_POLL_READY);
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_PENDING);
    EXPECT_EQ(completion.sync, KAIO_SYNC_PENDING);
    EXPECT_EQ(completion.buffer, nullptr);
    EXPECT_EQ(completion.moved_bytes, 0u);

    EXPECT_OK(K(kaio_file_close(&writable)));
    close(fds[0]);
}

TEST_F(OutcomeMisuseTest, AnEmptyQueueIsEmptyHoweverOftenItIsAsked) {
    ExpectEmpty();
    kaio_buffer *buffer = NewBuffer(kSizeBytes);
    StartRead(file_, 0, &buffer);
    kaio_completion completion = WaitAndTake();

    for (int i = 0; i < 3; ++i) {
        ExpectEmpty();
    }

    EXPECT_EQ(BufferText(completion.buffer, kSizeBytes), Pattern(kSizeBytes));
    kaio_completion_drop(&completion);
    ExpectEmpty();
}

TEST_F(OutcomeMisuseTest, AnOutcomeIsTakenOnceAndItsTicketIsStaleThen) {
    kaio_buffer *buffer = NewBuffer(kSizeBytes);
    const kaio_ticket ticket = StartRead(file_, 0, &buffer, 7);
    kaio_completion completion = WaitAndTake();
    kaio_buffer *const given_back = completion.buffer;

    Output<kaio_completion> again;
    EXPECT_CODE(KAIO_EMPTY, again.Judge(K(kaio_queue_take(queue_, again.at()))));

    kaio_cancel_answer answer = KAIO_CANCEL_ASKED;
    EXPECT_OK(K(kaio_queue_cancel(queue_, ticket, &answer)));
    EXPECT_EQ(answer, KAIO_CANCEL_STALE);
    EXPECT_EQ(completion.buffer, given_back);
    EXPECT_EQ(BufferText(given_back, kSizeBytes), Pattern(kSizeBytes));
    kaio_completion_drop(&completion);
}

TEST_F(OutcomeMisuseTest, TheRestOfAShortReadIsStartedOnce) {
    kaio_buffer *buffer = NewBuffer(kSizeBytes);
    StartRead(file_, kSizeBytes - 10, &buffer, 7);
    kaio_completion completion = WaitAndTake();
    ASSERT_EQ(completion.transfer, KAIO_TRANSFER_SHORT);
    kaio_completion copy = completion;
    kaio_ticket ticket = {};
    const kaio_rw_flags none = kaio_rw_none();
    EXPECT_OK(K(kaio_read_rest_start(queue_, file_, none, &completion, &ticket)));

    Output<kaio_ticket> second;
    EXPECT_CODE(
        KAIO_NULL_ARGUMENT,
        second.Judge(K(kaio_read_rest_start(queue_, file_, none, &completion, second.at()))));
    EXPECT_CODE(KAIO_BUSY,
                second.Judge(K(kaio_read_rest_start(queue_, file_, none, &copy, second.at()))));

    EXPECT_EQ(Counts().staged_count, 1u);
    completion = WaitAndTake();
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_END);
    EXPECT_EQ(completion.buffer, copy.buffer);
    kaio_completion_drop(&completion);
    ExpectEmpty();
}

TEST_F(OutcomeMisuseTest, ABufferThatIsNotTakenOutOfItsCompletionIsReleasedOnce) {
    const uint32_t before = kaio_testing_count().buffer_count;
    kaio_buffer *buffer = NewBuffer(kSizeBytes);
    kaio_buffer *const alias = buffer;
    StartRead(file_, 0, &buffer);
    kaio_completion completion = WaitAndTake();
    EXPECT_EQ(kaio_testing_count().buffer_count, before + 1);

    kaio_completion_drop(&completion);

    EXPECT_EQ(completion.buffer, nullptr);
    EXPECT_EQ(kaio_testing_count().buffer_count, before);
    EXPECT_EQ(kaio_buffer_as_bytes(alias), nullptr);
    kaio_completion_drop(&completion);
    EXPECT_EQ(kaio_testing_count().buffer_count, before);
}

TEST_F(OutcomeMisuseTest, ABufferThatIsForgottenWithItsCompletionIsStillCounted) {
    const uint32_t before = kaio_testing_count().buffer_count;
    kaio_buffer *buffer = NewBuffer(kSizeBytes);
    kaio_buffer *alias = buffer;
    StartRead(file_, 0, &buffer);
    WaitAndTake();

    EXPECT_EQ(kaio_testing_count().buffer_count, before + 1);

    kaio_buffer_drop(&alias);
    EXPECT_EQ(kaio_testing_count().buffer_count, before);
}

}  // namespace
