#include "kaio/safe/poll.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

#include "tests/support/safe_test.h"

namespace kaio_test {
namespace {

// A pipe, and a file for each end.
class PollTest : public QueueTest {
  protected:
    void SetUp() override {
        QueueTest::SetUp();
        ASSERT_EQ(pipe2(fds_, O_CLOEXEC | O_NONBLOCK), 0);
        ASSERT_OK(kaio_file_borrow(fds_[0], &reader_));
        ASSERT_OK(kaio_file_borrow(fds_[1], &writer_));
        errno = kErrno;
    }

    void TearDown() override {
        EXPECT_EQ(errno, kErrno) << "errno was touched";
        QueueTest::TearDown();
        kaio_file_drop(&reader_);
        kaio_file_drop(&writer_);
        close(fds_[0]);
        CloseWriter();
    }

    kaio_ticket StartPoll(kaio_file *file, kaio_poll_events events, uint64_t user = 0) {
        kaio_ticket ticket = {};
        EXPECT_OK(K(kaio_poll_start(queue_, file, events, user, &ticket)));
        return ticket;
    }

    void Write() {
        EXPECT_EQ(write(fds_[1], "x", 1), 1);
    }

    void CloseWriter() {
        if (fds_[1] >= 0) {
            close(fds_[1]);
        }
        fds_[1] = -1;
    }

    // A poll that is not ready stays, and a wait for it ends at its deadline.
    void ExpectPending() {
        uint32_t ready = 77;
        EXPECT_CODE(KAIO_TIMED_OUT,
                    K(kaio_queue_wait(queue_, 1, kaio_deadline_after_ns(2000000), &ready)));
        EXPECT_EQ(ready, 77u) << "written by a call that failed";
        EXPECT_EQ(Counts().in_flight_count, 1u);
    }

    int fds_[2] = {-1, -1};
    kaio_file *reader_ = nullptr;
    kaio_file *writer_ = nullptr;
};

TEST_F(PollTest, WhatIsReadyEndsAtOnceWithWhatWasFound) {
    const kaio_ticket ticket =
        StartPoll(writer_, kaio_poll_both(kaio_poll_writable(), kaio_poll_readable()), 7);

    const kaio_completion completion = WaitAndTake();

    EXPECT_EQ(completion.operation, KAIO_POLL);
    EXPECT_EQ(completion.poll, KAIO_POLL_READY);
    EXPECT_EQ(completion.events.bits, POLLOUT);
    EXPECT_TRUE(kaio_poll_has_any(completion.events, kaio_poll_writable()));
    EXPECT_FALSE(kaio_poll_has_any(completion.events, kaio_poll_readable()));
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_PENDING);
    EXPECT_EQ(completion.sync, KAIO_SYNC_PENDING);
    EXPECT_EQ(completion.os_error, 0);
    EXPECT_OK(completion.refusal);
    EXPECT_EQ(completion.user, 7u);
    EXPECT_EQ(completion.ticket.bits, ticket.bits);
    EXPECT_EQ(completion.buffer, nullptr);
    EXPECT_EQ(Text(completion), "poll ready: events 0x4");
    ExpectEmpty();
}

TEST_F(PollTest, WhatIsNotReadyWaitsUntilItIs) {
    StartPoll(reader_, kaio_poll_readable());
    ExpectPending();

    Write();

    const kaio_completion completion = WaitAndTake();
    EXPECT_EQ(completion.poll, KAIO_POLL_READY);
    EXPECT_EQ(completion.events.bits, POLLIN) << "bits that were not asked for are left out";
}

TEST_F(PollTest, AnotherPollIsNeededToHearOfMore) {
    StartPoll(reader_, kaio_poll_readable());
    Write();
    EXPECT_EQ(WaitAndTake().poll, KAIO_POLL_READY);

    Write();

    uint32_t ready = 0;
    EXPECT_CODE(KAIO_NOTHING_TO_WAIT_FOR,
                K(kaio_queue_wait(queue_, 1, kaio_deadline_never(), &ready)));
    StartPoll(reader_, kaio_poll_readable());
    EXPECT_EQ(WaitAndTake().poll, KAIO_POLL_READY);
}

TEST_F(PollTest, AHangUpIsToldWithoutBeingAskedFor) {
    StartPoll(reader_, kaio_poll_none());
    ExpectPending();
    kaio_file_drop(&writer_);

    CloseWriter();

    const kaio_completion completion = WaitAndTake();
    EXPECT_EQ(completion.poll, KAIO_POLL_READY);
    EXPECT_EQ(completion.events.bits, POLLHUP);
    EXPECT_TRUE(kaio_poll_has_any(completion.events, kaio_poll_hung_up()));
}

TEST_F(PollTest, AnErrorIsToldWithoutBeingAskedFor) {
    kaio_file_drop(&reader_);
    close(fds_[0]);
    fds_[0] = -1;

    StartPoll(writer_, kaio_poll_none());

    EXPECT_TRUE(kaio_poll_has_any(WaitAndTake().events, kaio_poll_failed()));
    fds_[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    errno = kErrno;
}

TEST_F(PollTest, UrgentDataOfASocketIsReady) {
    int sockets[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
    kaio_file *file = nullptr;
    ASSERT_OK(kaio_file_borrow(sockets[0], &file));
    StartPoll(file, kaio_poll_urgent());
    ExpectPending();

    if (send(sockets[1], "!", 1, MSG_OOB) == 1) {
        const kaio_completion completion = WaitAndTake();
        EXPECT_EQ(completion.events.bits, POLLPRI);
    } else {  // before 5.15, or without CONFIG_AF_UNIX_OOB
        RecordProperty("msg_oob", errno);
    }

    kaio_queue_drop(&queue_);
    EXPECT_OK(kaio_file_close(&file));
    close(sockets[0]);
    close(sockets[1]);
    errno = kErrno;
}

TEST_F(PollTest, TheLongFormDoesTheSame) {
    kaio_poll *poll = nullptr;
    ASSERT_OK(K(kaio_poll_new(queue_, writer_, kaio_poll_writable(), &poll)));
    EXPECT_EQ(Counts().idle_count, 1u);
    EXPECT_NE(K(kaio_poll_push(&poll, 3)).bits, 0u);
    EXPECT_EQ(poll, nullptr);

    const kaio_completion completion = WaitAndTake();
    EXPECT_EQ(completion.poll, KAIO_POLL_READY);
    EXPECT_EQ(completion.user, 3u);
}

TEST_F(PollTest, AnAbandonedPollFreesItsPlaceAndItsFile) {
    kaio_poll *poll = nullptr;
    ASSERT_OK(K(kaio_poll_new(queue_, writer_, kaio_poll_writable(), &poll)));
    EXPECT_CODE(KAIO_BUSY, K(kaio_file_close(&writer_)));

    EXPECT_OK(K(kaio_poll_abandon(&poll)));

    EXPECT_EQ(poll, nullptr);
    EXPECT_EQ(Counts().free_count, kDepth);
    EXPECT_OK(K(kaio_file_close(&writer_)));
}

TEST_F(PollTest, APollMadeAnewWaitsForItsNewEventsOnly) {
    Write();
    kaio_poll *poll = nullptr;
    ASSERT_OK(K(kaio_poll_new(queue_, reader_, kaio_poll_readable(), &poll)));
    ASSERT_OK(K(kaio_poll_abandon(&poll)));

    StartPoll(reader_, kaio_poll_urgent());

    ExpectPending();
}

TEST_F(PollTest, AWaitForOneWhoseTimeIsOverLooksAndDoesNotWait) {
    StartPoll(reader_, kaio_poll_readable());
    uint32_t ready = 77;

    EXPECT_CODE(KAIO_TIMED_OUT, K(kaio_queue_wait(queue_, 1, kaio_deadline_now(), &ready)));
    EXPECT_EQ(ready, 77u);
    EXPECT_EQ(Counts().in_flight_count, 1u);

    Write();
    EXPECT_EQ(WaitAndTake().poll, KAIO_POLL_READY);
}

TEST_F(PollTest, AFullQueueMakesNoPoll) {
    for (uint32_t i = 0; i < kDepth; ++i) {
        StartPoll(writer_, kaio_poll_writable());
    }
    kaio_ticket ticket = {};

    EXPECT_CODE(KAIO_FULL, K(kaio_poll_start(queue_, writer_, kaio_poll_writable(), 0, &ticket)));

    EXPECT_EQ(Wait(kDepth), kDepth);
    for (uint32_t i = 0; i < kDepth; ++i) {
        EXPECT_EQ(Take().poll, KAIO_POLL_READY);
    }
}

TEST_F(PollTest, AFilePinnedByAPollIsNotClosed) {
    StartPoll(reader_, kaio_poll_readable());
    EXPECT_EQ(Flush().accepted_count, 1u);
    EXPECT_CODE(KAIO_BUSY, K(kaio_file_close(&reader_)));

    Write();
    EXPECT_EQ(WaitAndTake().poll, KAIO_POLL_READY);

    EXPECT_OK(K(kaio_file_close(&reader_)));
}

TEST_F(PollTest, ReadsAndPollsShareAQueue) {
    TempFile temp(Pattern(512));
    kaio_file *file = OpenFile(temp.path());
    kaio_buffer *buffer = NewBuffer(512);
    StartPoll(reader_, kaio_poll_readable(), 1);
    StartRead(file, 0, &buffer, 2);

    kaio_completion completion = WaitAndTake();

    EXPECT_EQ(completion.user, 2u) << "the read does not wait for the poll before it";
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL);
    EXPECT_EQ(completion.poll, KAIO_POLL_PENDING);
    EXPECT_EQ(completion.events.bits, 0);
    kaio_completion_drop(&completion);
    Write();
    EXPECT_EQ(WaitAndTake().user, 1u);
    EXPECT_OK(kaio_file_close(&file));
}

// ---- the ends ----

TEST_F(PollTest, AQueueWithAPendingPollIsNotClosed) {
    StartPoll(reader_, kaio_poll_readable());
    EXPECT_EQ(Flush().accepted_count, 1u);

    EXPECT_CODE(KAIO_BUSY, K(kaio_queue_close(&queue_)));

    Write();
    EXPECT_EQ(WaitAndTake().poll, KAIO_POLL_READY);
}

TEST_F(PollTest, ADestroyedQueueEndsItsPendingPollsAsCancelled) {
    struct Lost {
        uint32_t cancelled_count = 0;
        uint64_t users = 0;
    } lost;
    for (uint64_t user = 1; user <= 3; ++user) {
        StartPoll(reader_, kaio_poll_readable(), user);
    }
    EXPECT_EQ(Flush().accepted_count, 3u);
    kaio_destroy_report report = {};

    EXPECT_OK(kaio_queue_destroy(
        &queue_,
        [](void *context, kaio_completion *completion) {
            Lost *seen = static_cast<Lost *>(context);
            seen->cancelled_count += completion->poll == KAIO_POLL_CANCELLED;
            seen->users += completion->user;
        },
        &lost, &report));

    EXPECT_EQ(lost.cancelled_count, 3u);
    EXPECT_EQ(lost.users, 6u);
    EXPECT_EQ(report.given_back_count + report.dropped_count + report.leaked_count, 0u);
}

TEST_F(PollTest, ADroppedQueueWithAPendingPollDoesNotHang) {
    StartPoll(reader_, kaio_poll_readable());
    EXPECT_EQ(Flush().accepted_count, 1u);

    kaio_queue_drop(&queue_);

    EXPECT_EQ(queue_, nullptr);
}

}  // namespace
}  // namespace kaio_test
