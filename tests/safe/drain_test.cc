#include <fcntl.h>
#include <unistd.h>

#include "kaio/safe/poll.h"
#include "kaio/safe/queue.h"
#include "tests/support/safe_test.h"

namespace kaio_test {
namespace {

class DrainTest : public QueueTest {
  protected:
    void SetUp() override {
        QueueTest::SetUp();
        file_ = OpenFile(temp_.path());
        ASSERT_EQ(pipe2(fds_, O_CLOEXEC), 0);
        ASSERT_OK(kaio_file_borrow(fds_[0], &reader_));
    }

    void TearDown() override {
        QueueTest::TearDown();
        kaio_file_drop(&file_);
        kaio_file_drop(&reader_);
        close(fds_[0]);
        close(fds_[1]);
    }

    static kaio_deadline Soon() {
        return kaio_deadline_after_ns(2000000);
    }

    void StartReads(uint32_t count) {
        for (uint32_t i = 0; i < count; ++i) {
            kaio_buffer *buffer = NewBuffer(512);
            StartRead(file_, i * 512, &buffer, i);
        }
    }

    TempFile temp_{Pattern(4096)};
    kaio_file *file_ = nullptr;
    kaio_file *reader_ = nullptr;
    int fds_[2] = {-1, -1};
};

TEST_F(DrainTest, AQueueThatOwesNothingIsDrained) {
    kaio_queue_counts left = {};

    EXPECT_OK(K(kaio_queue_drain(queue_, kaio_deadline_never(), &left)));

    EXPECT_EQ(left.free_count, kDepth);
}

TEST_F(DrainTest, WhatIsStagedOrInFlightIsFinishedAndStaysToBeTaken) {
    StartReads(3);
    EXPECT_EQ(Flush().accepted_count, 3u);
    StartReads(2);
    kaio_queue_counts left = {};

    EXPECT_OK(K(kaio_queue_drain(queue_, kaio_deadline_never(), &left)));

    EXPECT_EQ(left.staged_count + left.in_flight_count, 0u);
    EXPECT_EQ(left.finished_count, 5u);
    EXPECT_CODE(KAIO_BUSY, K(kaio_queue_close(&queue_)));
    for (int i = 0; i < 5; ++i) {
        kaio_completion completion = Take();
        EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL) << Text(completion);
        kaio_completion_drop(&completion);
    }
    EXPECT_OK(K(kaio_queue_close(&queue_)));
}

TEST_F(DrainTest, IdleRequestsStay) {
    kaio_buffer *buffer = NewBuffer(512);
    kaio_read *read = NewRead(file_, &buffer);
    kaio_queue_counts left = {};

    EXPECT_OK(K(kaio_queue_drain(queue_, kaio_deadline_never(), &left)));

    EXPECT_EQ(left.idle_count, 1u);
    EXPECT_OK(K(kaio_read_abandon(&read, &buffer)));
    kaio_buffer_drop(&buffer);
}

TEST_F(DrainTest, WhatDoesNotEndInTimeIsSaidAndIsStillInFlight) {
    kaio_ticket ticket = {};
    EXPECT_OK(K(kaio_poll_start(queue_, reader_, kaio_poll_readable(), 7, &ticket)));
    StartReads(1);
    kaio_queue_counts left = {};

    EXPECT_CODE(KAIO_TIMED_OUT, K(kaio_queue_drain(queue_, Soon(), &left)));

    EXPECT_EQ(left.in_flight_count, 1u);
    EXPECT_EQ(left.finished_count, 1u);
    EXPECT_EQ(write(fds_[1], "x", 1), 1);
    EXPECT_OK(K(kaio_queue_drain(queue_, kaio_deadline_never(), &left)));
    EXPECT_EQ(left.finished_count, 2u);
    kaio_completion completion = Take();
    kaio_completion_drop(&completion);
    EXPECT_EQ(Take().poll, KAIO_POLL_READY);
}

}  // namespace
}  // namespace kaio_test
