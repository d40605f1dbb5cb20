// Requests that have deadlines of their own, on what a real kernel lets hang: polls of a pipe.

#include "kaio/safe/late.h"

#include <fcntl.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

#include <vector>

#include "kaio/safe/kaio.h"
#include "tests/support/safe_test.h"

namespace kaio_test {
namespace {

constexpr int64_t kMs = 1000000;

int64_t NowNs() {
    return kaio_deadline_after_ns(1).at_ns - 1;
}

class LateTest : public QueueTest {
  protected:
    kaio_queue_options Options() const override {
        kaio_queue_options options = QueueTest::Options();
        options.deadlines = true;
        return options;
    }

    void SetUp() override {
        QueueTest::SetUp();
        ASSERT_EQ(pipe2(fds_, O_CLOEXEC | O_NONBLOCK), 0);
        ASSERT_OK(kaio_file_borrow(fds_[0], &reader_));
    }

    void TearDown() override {
        QueueTest::TearDown();
        kaio_file_drop(&reader_);
        close(fds_[0]);
        close(fds_[1]);
    }

    kaio_ticket StartPoll(uint64_t user) {
        kaio_ticket ticket = {};
        EXPECT_OK(K(kaio_poll_start(queue_, reader_, kaio_poll_readable(), user, &ticket)));
        return ticket;
    }

    kaio_ticket StartPoll(uint64_t user, int64_t wait_ns) {
        const kaio_ticket ticket = StartPoll(user);
        SetDeadline(ticket, wait_ns);
        return ticket;
    }

    void SetDeadline(kaio_ticket ticket, int64_t wait_ns) {
        EXPECT_OK(K(kaio_queue_set_deadline(queue_, ticket, kaio_deadline_after_ns(wait_ns))));
    }

    // WaitForLate expects a wait of 10 s to be cut because `count` requests are late.
    void WaitForLate(uint64_t count) {
        uint32_t ready = 77;
        const kaio_status status =
            K(kaio_queue_wait(queue_, 1, kaio_deadline_after_ns(10000 * kMs), &ready));
        EXPECT_CODE(KAIO_TIMED_OUT, status);
        EXPECT_EQ(status.subject, KAIO_SUBJECT_REQUEST);
        EXPECT_EQ(status.detail, count);
        EXPECT_EQ(ready, 77u);
    }

    kaio_late TakeLate() {
        kaio_late late = {};
        EXPECT_OK(K(kaio_queue_take_late(queue_, &late)));
        return late;
    }

    void ExpectNoneLate() {
        kaio_late late = {};
        late.user = 99;
        EXPECT_CODE(KAIO_EMPTY, K(kaio_queue_take_late(queue_, &late)));
        EXPECT_EQ(late.user, 99u) << "written by a call that failed";
    }

    void MakeReadable() {
        EXPECT_EQ(write(fds_[1], "x", 1), 1);
    }

    int64_t NextDeadline() {
        kaio_deadline deadline = {};
        EXPECT_OK(K(kaio_queue_next_deadline(queue_, &deadline)));
        return deadline.at_ns;
    }

    int fds_[2] = {-1, -1};
    kaio_file *reader_ = nullptr;
};

TEST_F(LateTest, TheCallerIsToldAndTheRequestGoesOn) {
    const int64_t before_ns = NowNs();
    const kaio_ticket ticket = StartPoll(7, 10 * kMs);
    WaitForLate(1);
    EXPECT_GE(NowNs() - before_ns, 10 * kMs);
    EXPECT_EQ(Counts().in_flight_count, 1u);

    const kaio_late late = TakeLate();
    EXPECT_EQ(late.operation, KAIO_POLL);
    EXPECT_TRUE(late.is_sent);
    EXPECT_EQ(late.user, 7u);
    EXPECT_EQ(late.ticket.bits, ticket.bits);
    EXPECT_GE(late.late_ns, 0);
    EXPECT_LE(late.late_ns, NowNs() - before_ns - 10 * kMs);
    EXPECT_EQ(Counters().late_count, 1u);
    EXPECT_EQ(Counters().late_end_count, 0u);

    MakeReadable();
    EXPECT_EQ(WaitAndTake().poll, KAIO_POLL_READY);
    EXPECT_EQ(Counters().late_count, 1u);
    EXPECT_EQ(Counters().late_end_count, 1u);
    ExpectNoneLate();
}

TEST_F(LateTest, OneIsToldOnce) {
    StartPoll(7, kMs);
    WaitForLate(1);
    WaitForLate(1);  // as long as nobody asks which
    TakeLate();
    ExpectNoneLate();
    uint32_t ready = 0;
    const kaio_status status =
        K(kaio_queue_wait(queue_, 1, kaio_deadline_after_ns(3 * kMs), &ready));
    EXPECT_CODE(KAIO_TIMED_OUT, status);
    EXPECT_EQ(status.subject, KAIO_SUBJECT_QUEUE);
    EXPECT_EQ(Counters().late_count, 1u);
}

TEST_F(LateTest, AnotherDeadlineIsToldAgain) {
    const kaio_ticket ticket = StartPoll(7, kMs);
    WaitForLate(1);
    TakeLate();
    SetDeadline(ticket, 2 * kMs);
    WaitForLate(1);
    EXPECT_EQ(TakeLate().user, 7u);
    EXPECT_EQ(Counters().late_count, 2u);
    MakeReadable();
    WaitAndTake();
    EXPECT_EQ(Counters().late_end_count, 1u);
}

TEST_F(LateTest, SeveralAreToldInTheOrderOfPlaces) {
    StartPoll(1, 3 * kMs);
    StartPoll(2);
    StartPoll(3, kMs);
    const int64_t end_ns = NowNs() + 4 * kMs;
    while (NowNs() < end_ns) {
    }
    Flush();
    EXPECT_EQ(TakeLate().user, 1u);
    WaitForLate(1);
    EXPECT_EQ(TakeLate().user, 3u);
    ExpectNoneLate();
    EXPECT_EQ(Counters().late_count, 2u);
}

TEST_F(LateTest, OneThatIsNotSentIsToldAsThat) {
    StartPoll(7, 0);
    const kaio_late late = TakeLate();
    EXPECT_FALSE(late.is_sent);
    kaio_cancel_answer answer = KAIO_CANCEL_STALE;
    EXPECT_OK(K(kaio_queue_cancel(queue_, late.ticket, &answer)));
    EXPECT_EQ(answer, KAIO_CANCEL_UNSENT);
    EXPECT_EQ(Take().poll, KAIO_POLL_CANCELLED);
    EXPECT_EQ(Counters().late_end_count, 1u);
}

// What has ended before anybody looked is not late, whenever that is.
TEST_F(LateTest, WhatHasEndedIsNotLate) {
    MakeReadable();
    StartPoll(7, kMs);
    Flush();
    const int64_t end_ns = NowNs() + 3 * kMs;
    while (NowNs() < end_ns) {
    }
    ExpectNoneLate();
    EXPECT_EQ(WaitAndTake().poll, KAIO_POLL_READY);
    EXPECT_EQ(Counters().late_count, 0u);
    EXPECT_EQ(Counters().late_end_count, 0u);
}

TEST_F(LateTest, ADeadlineBelongsToItsRequestNotToThePlace) {
    const kaio_ticket ticket = StartPoll(7, 2 * kMs);
    MakeReadable();
    EXPECT_EQ(WaitAndTake().poll, KAIO_POLL_READY);
    char byte;
    EXPECT_EQ(read(fds_[0], &byte, 1), 1);

    StartPoll(8);  // in the same place
    uint32_t ready = 0;
    const kaio_status status =
        K(kaio_queue_wait(queue_, 1, kaio_deadline_after_ns(5 * kMs), &ready));
    EXPECT_CODE(KAIO_TIMED_OUT, status);
    EXPECT_EQ(status.subject, KAIO_SUBJECT_QUEUE);
    ExpectNoneLate();
    EXPECT_CODE(KAIO_STALE, K(kaio_queue_set_deadline(queue_, ticket, kaio_deadline_now())));
    EXPECT_CODE(KAIO_STALE, K(kaio_queue_set_deadline(queue_, kaio_ticket(), kaio_deadline_now())));
}

// The deadline may pass at any moment, also just before the wait would sleep.
TEST_F(LateTest, AWaitIsAlwaysCutByTheRequestsOwnDeadline) {
    const kaio_ticket ticket = StartPoll(7);
    Flush();
    for (int64_t i = 0; i < 5000 && !HasFailure(); ++i) {
        ASSERT_OK(kaio_queue_set_deadline(queue_, ticket, kaio_deadline_after_ns(i % 1000)));
        WaitForLate(1);
        TakeLate();
    }
}

// Longer ago than the clock can say.
TEST_F(LateTest, ADeadlineMayBeAnyNumber) {
    const kaio_ticket ticket = StartPoll(7);
    EXPECT_OK(K(kaio_queue_set_deadline(queue_, ticket, kaio_deadline_at_ns(INT64_MIN))));
    EXPECT_EQ(NextDeadline(), 0);
    const kaio_late late = TakeLate();
    EXPECT_GT(late.late_ns, 0);
    EXPECT_LE(late.late_ns, NowNs());
}

TEST_F(LateTest, NeverTakesItAway) {
    const kaio_ticket ticket = StartPoll(7, kMs);
    EXPECT_OK(K(kaio_queue_set_deadline(queue_, ticket, kaio_deadline_never())));
    uint32_t ready = 0;
    const kaio_status status =
        K(kaio_queue_wait(queue_, 1, kaio_deadline_after_ns(3 * kMs), &ready));
    EXPECT_EQ(status.subject, KAIO_SUBJECT_QUEUE);
    ExpectNoneLate();
}

TEST_F(LateTest, TheNextDeadlineIsForThoseWhoSleepElsewhere) {
    EXPECT_EQ(NextDeadline(), INT64_MAX);
    const kaio_ticket ticket = StartPoll(7);
    const int64_t at_ns = NowNs() + 5 * kMs;
    EXPECT_OK(K(kaio_queue_set_deadline(queue_, ticket, kaio_deadline_at_ns(at_ns))));
    EXPECT_EQ(NextDeadline(), at_ns);
    StartPoll(8, 60000 * kMs);
    EXPECT_EQ(NextDeadline(), at_ns);
    WaitForLate(1);
    TakeLate();
    ExpectNoneLate();
    EXPECT_GT(NextDeadline(), at_ns);
    EXPECT_LT(NextDeadline(), INT64_MAX);
}

TEST_F(LateTest, AWaitThatNeedNotSleepIsNotCut) {
    StartPoll(7, 0);
    uint32_t ready = 77;
    EXPECT_OK(K(kaio_queue_wait(queue_, 0, kaio_deadline_now(), &ready)));
    EXPECT_EQ(ready, 0u);
    WaitForLate(1);
}

TEST_F(LateTest, ADrainIsCutToo) {
    StartPoll(7, kMs);
    kaio_queue_counts left = {};
    const kaio_status status = K(kaio_queue_drain(queue_, kaio_deadline_never(), &left));
    EXPECT_CODE(KAIO_TIMED_OUT, status);
    EXPECT_EQ(status.subject, KAIO_SUBJECT_REQUEST);
    EXPECT_EQ(left.in_flight_count, 1u);
}

struct Told {
    int fd;
    std::vector<uint64_t> late;
    std::vector<uint64_t> ended;
};

// A run that sleeps has the kernel reap; one that only polls finds the events in the ring.
class LateRunTest : public LateTest, public testing::WithParamInterface<bool> {};

TEST_P(LateRunTest, TellsItsHandler) {
    StartPoll(7, 2 * kMs);
    StartPoll(8, 4 * kMs);
    Told told = {fds_[1], {}, {}};
    kaio_handlers handlers = {};
    handlers.on_late = [](void *context, const kaio_late *late) {
        auto *const all = static_cast<Told *>(context);
        EXPECT_TRUE(all->ended.empty());
        all->late.push_back(late->user);
        if (late->user == 8) {
            EXPECT_EQ(write(all->fd, "x", 1), 1);
        }
    };
    handlers.on_poll = [](void *context, uint64_t user, const kaio_poll_result *result) {
        EXPECT_EQ(result->outcome, KAIO_POLL_READY);
        static_cast<Told *>(context)->ended.push_back(user);
    };
    handlers.on_turn = GetParam() ? [](void *) { return KAIO_TURN_CONTINUE; }
                                  : [](void *) { return KAIO_TURN_POLL; };
    kaio_run_report report = {};
    EXPECT_OK(
        K(kaio_queue_run(queue_, &handlers, &told, kaio_deadline_after_ns(10000 * kMs), &report)));
    EXPECT_EQ(report.ended, KAIO_RUN_IDLE);
    EXPECT_EQ(told.late, (std::vector<uint64_t>{7, 8}));
    EXPECT_EQ(told.ended.size(), 2u);
    EXPECT_EQ(Counters().late_end_count, 2u);
}

INSTANTIATE_TEST_SUITE_P(All, LateRunTest, testing::Bool(),
                         [](const testing::TestParamInfo<bool> &run) {
                             return run.param ? "Asleep" : "Polling";
                         });

TEST_F(LateTest, ARunWithoutAHandlerGoesOn) {
    StartPoll(7, kMs);
    kaio_handlers handlers = {};
    kaio_run_report report = {};
    EXPECT_OK(
        K(kaio_queue_run(queue_, &handlers, nullptr, kaio_deadline_after_ns(4 * kMs), &report)));
    EXPECT_EQ(report.ended, KAIO_RUN_DEADLINE);
    EXPECT_EQ(Counters().late_count, 1u);
    ExpectNoneLate();
}

// The mask's signals and the request's deadline end the same sleep.
TEST_F(LateTest, AMaskedWaitIsCutToo) {
    StartPoll(7, kMs);
    uint32_t ready = 0;
    const kaio_status status = K(kaio_queue_wait_masked(
        queue_, 1, kaio_deadline_after_ns(10000 * kMs), kaio_signals_none(), &ready));
    EXPECT_CODE(KAIO_TIMED_OUT, status);
    EXPECT_EQ(status.subject, KAIO_SUBJECT_REQUEST);
}

class NoLateTest : public QueueTest {};

TEST_F(NoLateTest, WithoutTheOptionThereAreNoDeadlines) {
    kaio_late late = {};
    kaio_deadline deadline = {};
    for (const kaio_status status :
         {kaio_queue_set_deadline(queue_, kaio_ticket(), kaio_deadline_now()),
          kaio_queue_take_late(queue_, &late), kaio_queue_next_deadline(queue_, &deadline)}) {
        EXPECT_CODE(KAIO_UNSUPPORTED, status);
        EXPECT_EQ(status.subject, KAIO_SUBJECT_OPTIONS);
    }
}

}  // namespace
}  // namespace kaio_test
