#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <random>
#include <set>
#include <string>

#include "kaio/safe/poll.h"
#include "kaio/safe/queue.h"
#include "kaio/safe/sync.h"
#include "tests/support/safe_test.h"

namespace kaio_test {
namespace {

class CancelTest : public QueueTest {
  protected:
    void SetUp() override {
        QueueTest::SetUp();
        file_ = OpenFile(temp_.path());
        ASSERT_EQ(pipe2(fds_, O_CLOEXEC | O_NONBLOCK), 0);
        ASSERT_OK(kaio_file_borrow(fds_[0], &reader_));
    }

    void TearDown() override {
        QueueTest::TearDown();
        kaio_file_drop(&file_);
        kaio_file_drop(&reader_);
        close(fds_[0]);
        close(fds_[1]);
    }

    kaio_cancel_answer Cancel(kaio_ticket ticket) {
        kaio_cancel_answer answer = KAIO_CANCEL_STALE;
        EXPECT_OK(K(kaio_queue_cancel(queue_, ticket, &answer)));
        return answer;
    }

    kaio_ticket StartPoll(uint64_t user = 0) {
        kaio_ticket ticket = {};
        EXPECT_OK(K(kaio_poll_start(queue_, reader_, kaio_poll_readable(), user, &ticket)));
        return ticket;
    }

    // A poll that the kernel has, and that nothing ends.
    kaio_ticket PendingPoll(uint64_t user = 0) {
        const kaio_ticket ticket = StartPoll(user);
        EXPECT_EQ(Flush().accepted_count, 1u);
        return ticket;
    }

    kaio_ticket StartSync(uint64_t user) {
        kaio_ticket ticket = {};
        EXPECT_OK(K(kaio_sync_start(queue_, file_, KAIO_SYNC_DATA, user, &ticket)));
        return ticket;
    }

    TempFile temp_{Pattern(4096)};
    kaio_file *file_ = nullptr;
    kaio_file *reader_ = nullptr;
    int fds_[2] = {-1, -1};
};

// ---- what the kernel never had ----

TEST_F(CancelTest, AStagedReadIsUnsentAndComesBackCancelledWithItsBuffer) {
    const std::string before = Pattern(512, 9);
    kaio_buffer *buffer = NewBuffer(before);
    kaio_buffer *const kept = buffer;
    const kaio_ticket ticket = StartRead(file_, 0, &buffer, 5);

    EXPECT_EQ(Cancel(ticket), KAIO_CANCEL_UNSENT);

    EXPECT_EQ(Counts().finished_count, 1u);
    kaio_completion completion = Take();
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_CANCELLED);
    EXPECT_EQ(completion.os_error, 0);
    EXPECT_EQ(completion.moved_bytes, 0u);
    EXPECT_EQ(completion.user, 5u);
    EXPECT_EQ(completion.ticket.bits, ticket.bits);
    EXPECT_EQ(completion.buffer, kept);
    EXPECT_EQ(BufferText(completion.buffer, before.size()), before) << "nothing was read";
    kaio_completion_drop(&completion);
    ExpectEmpty();
}

TEST_F(CancelTest, OnlyTheCancelledOneOfABatchIsLeftOutAndTheOthersKeepTheirOrder) {
    kaio_ticket tickets[4];
    for (uint64_t i = 0; i < 4; ++i) {
        kaio_buffer *buffer = NewBuffer(Pattern(512, static_cast<unsigned>(i) + 2));
        tickets[i] = StartWrite(file_, i * 512, &buffer, i);
    }

    EXPECT_EQ(Cancel(tickets[1]), KAIO_CANCEL_UNSENT);
    const kaio_flush_report report = Flush();

    EXPECT_EQ(report.accepted_count, 3u);
    EXPECT_EQ(Wait(4), 4u);
    for (const uint64_t user : {1u, 0u, 2u, 3u}) {
        kaio_completion completion = Take();
        EXPECT_EQ(completion.user, user);
        EXPECT_EQ(completion.transfer, user == 1 ? KAIO_TRANSFER_CANCELLED : KAIO_TRANSFER_FULL);
        kaio_completion_drop(&completion);
    }
    EXPECT_EQ(temp_.Content().substr(512, 512), Pattern(4096).substr(512, 512))
        << "the cancelled write was done";
    EXPECT_EQ(temp_.Content().substr(1024, 512), Pattern(512, 4));
}

TEST_F(CancelTest, EveryPlaceOfABatchCanBeCancelled) {
    for (uint32_t place = 0; place < kDepth; ++place) {
        kaio_ticket tickets[kDepth];
        for (uint32_t i = 0; i < kDepth; ++i) {
            tickets[i] = StartPoll(i);
        }

        for (uint32_t i = 0; i < kDepth; ++i) {
            EXPECT_EQ(Cancel(tickets[(place + i) % kDepth]), KAIO_CANCEL_UNSENT);
        }

        EXPECT_EQ(Flush().accepted_count, 0u);
        for (uint32_t i = 0; i < kDepth; ++i) {
            const kaio_completion completion = Take();
            EXPECT_EQ(completion.poll, KAIO_POLL_CANCELLED);
            EXPECT_EQ(completion.user, (place + i) % kDepth);
        }
        ExpectEmpty();
    }
}

TEST_F(CancelTest, ASyncThatWaitsForWritesIsUnsent) {
    kaio_buffer *buffer = NewBuffer(Pattern(512, 2));
    StartWrite(file_, 0, &buffer, 1);
    const kaio_ticket first = StartSync(2);
    StartSync(3);

    EXPECT_EQ(Cancel(first), KAIO_CANCEL_UNSENT);

    EXPECT_EQ(Wait(3), 3u);
    std::set<uint64_t> users;
    for (int i = 0; i < 3; ++i) {
        kaio_completion completion = Take();
        users.insert(completion.user);
        if (completion.user == 2) {
            EXPECT_EQ(completion.sync, KAIO_SYNC_CANCELLED);
        } else if (completion.user == 3) {
            EXPECT_EQ(completion.sync, KAIO_SYNC_SYNCED);
        }
        kaio_completion_drop(&completion);
    }
    EXPECT_EQ(users, (std::set<uint64_t>{1, 2, 3}));
}

TEST_F(CancelTest, AnOrderedSyncIsPrecededByTheFailureOfACancelledWrite) {
    kaio_buffer *buffer = NewBuffer(512);
    const kaio_ticket write = StartWrite(file_, 0, &buffer, 1);
    StartSync(2);

    EXPECT_EQ(Cancel(write), KAIO_CANCEL_UNSENT);

    EXPECT_EQ(Wait(2), 2u);
    kaio_completion completion = Take();
    EXPECT_EQ(completion.user, 1u);
    kaio_completion_drop(&completion);
    EXPECT_EQ(Take().sync, KAIO_SYNC_PRECEDED_BY_FAILURE);
}

// ---- what the kernel has ----

TEST_F(CancelTest, APendingPollIsAskedAndEndsCancelled) {
    const kaio_ticket ticket = PendingPoll(5);

    EXPECT_EQ(Cancel(ticket), KAIO_CANCEL_ASKED);
    const kaio_completion completion = WaitAndTake();

    EXPECT_EQ(completion.poll, KAIO_POLL_CANCELLED);
    EXPECT_EQ(completion.events.bits, 0);
    EXPECT_EQ(completion.user, 5u);
    EXPECT_EQ(Text(completion), "poll cancelled");
    ExpectEmpty();
    EXPECT_EQ(Counters().duplicate_count, 0u);
}

TEST_F(CancelTest, TheFileStaysPinnedUntilTheCancelledPollIsTaken) {
    const kaio_ticket ticket = PendingPoll();
    EXPECT_EQ(Cancel(ticket), KAIO_CANCEL_ASKED);

    EXPECT_CODE(KAIO_BUSY, K(kaio_file_close(&reader_)));

    EXPECT_EQ(WaitAndTake().poll, KAIO_POLL_CANCELLED);
    EXPECT_OK(K(kaio_file_close(&reader_)));
}

TEST_F(CancelTest, ASecondCancelCannotAndChangesNothing) {
    const kaio_ticket ticket = PendingPoll();
    EXPECT_EQ(Cancel(ticket), KAIO_CANCEL_ASKED);

    EXPECT_EQ(Cancel(ticket), KAIO_CANCEL_CANNOT);

    EXPECT_EQ(WaitAndTake().poll, KAIO_POLL_CANCELLED);
    EXPECT_EQ(Cancel(ticket), KAIO_CANCEL_STALE);
}

TEST_F(CancelTest, OfTwoPollsTheOneThatIsNamedEnds) {
    PendingPoll(1);
    const kaio_ticket second = PendingPoll(2);

    EXPECT_EQ(Cancel(second), KAIO_CANCEL_ASKED);

    const kaio_completion completion = WaitAndTake();
    EXPECT_EQ(completion.user, 2u);
    EXPECT_EQ(completion.poll, KAIO_POLL_CANCELLED);
    EXPECT_EQ(write(fds_[1], "x", 1), 1);
    EXPECT_EQ(WaitAndTake().poll, KAIO_POLL_READY);
}

TEST_F(CancelTest, APollThatWasQuickerIsReady) {
    const kaio_ticket ticket = PendingPoll();
    EXPECT_EQ(write(fds_[1], "x", 1), 1);
    EXPECT_EQ(Wait(1), 1u);

    EXPECT_EQ(Cancel(ticket), KAIO_CANCEL_CANNOT);

    EXPECT_EQ(Take().poll, KAIO_POLL_READY);
}

// ---- tickets of nothing ----

TEST_F(CancelTest, ARequestThatWasTakenIsStale) {
    kaio_buffer *buffer = NewBuffer(512);
    const kaio_ticket ticket = StartRead(file_, 0, &buffer);
    kaio_completion completion = WaitAndTake();

    EXPECT_EQ(Cancel(ticket), KAIO_CANCEL_STALE);

    // Nor does it hit the next one in its place.
    const kaio_ticket next = StartRead(file_, 0, &completion.buffer);
    EXPECT_NE(next.bits, ticket.bits);
    EXPECT_EQ(Cancel(ticket), KAIO_CANCEL_STALE);
    completion = WaitAndTake();
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL);
    kaio_completion_drop(&completion);
}

TEST_F(CancelTest, AnIdleRequestIsStale) {
    kaio_buffer *buffer = NewBuffer(512);
    kaio_read *read = NewRead(file_, &buffer);
    kaio_ticket ticket = {};
    ticket.bits = reinterpret_cast<uintptr_t>(read);

    EXPECT_EQ(Cancel(ticket), KAIO_CANCEL_STALE);

    EXPECT_EQ(Counts().idle_count, 1u);
    EXPECT_OK(K(kaio_read_abandon(&read, &buffer)));
    kaio_buffer_drop(&buffer);
}

TEST_F(CancelTest, TicketsOfAnotherQueueAndInventedOnesAreStale) {
    kaio_queue_options options = {};
    options.depth = 2;
    kaio_queue *other = nullptr;
    ASSERT_OK(kaio_queue_open(&options, &other));
    kaio_buffer *buffer = NewBuffer(512);
    const kaio_range range = Range(0, 512);
    kaio_ticket foreign = {};
    ASSERT_OK(kaio_read_start(other, file_, range, kaio_rw_none(), 0, &buffer, &foreign));
    const kaio_ticket own = StartPoll();
    std::mt19937_64 random(1);

    EXPECT_EQ(Cancel(foreign), KAIO_CANCEL_STALE);
    EXPECT_EQ(Cancel({}), KAIO_CANCEL_STALE);
    for (int i = 0; i < 100000; ++i) {
        kaio_ticket invented = {};
        invented.bits = i % 2 == 0 ? random() : own.bits ^ (uint64_t{1} << (random() % 64));
        if (invented.bits != own.bits && invented.bits != foreign.bits) {
            kaio_cancel_answer answer = KAIO_CANCEL_CANNOT;
            ASSERT_OK(kaio_queue_cancel(queue_, invented, &answer));
            ASSERT_EQ(answer, KAIO_CANCEL_STALE) << invented.bits;
        }
    }
    ExpectBooks();

    kaio_cancel_answer answer = KAIO_CANCEL_CANNOT;
    EXPECT_OK(kaio_queue_cancel(other, own, &answer));
    EXPECT_EQ(answer, KAIO_CANCEL_STALE) << "through the queue beside it";

    EXPECT_EQ(Counts().staged_count, 1u);
    kaio_queue_drop(&other);
    EXPECT_EQ(Cancel(own), KAIO_CANCEL_UNSENT);
    EXPECT_EQ(Take().poll, KAIO_POLL_CANCELLED);
}

TEST_F(CancelTest, EveryAnswerHasItsOwnName) {
    std::set<std::string> names;
    for (int i = KAIO_CANCEL_STALE; i <= KAIO_CANCEL_CANNOT; ++i) {
        names.insert(kaio_cancel_answer_name(static_cast<kaio_cancel_answer>(i)));
    }
    EXPECT_EQ(names.size(), 4u);
    EXPECT_EQ(names.count("invalid"), 0u);
}

}  // namespace
}  // namespace kaio_test
