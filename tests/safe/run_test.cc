// The run loop: what it hands out, in which order, and why it ends.

#include "kaio/safe/run.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tests/support/safe_test.h"

namespace kaio_test {
namespace {

constexpr uint32_t kSizeBytes = 512;
constexpr uint32_t kBlockCount = 16;

// A Loop is the context of a run: it notes what it is handed, and does what it is told.
struct Loop {
    std::vector<std::string> heard;
    std::vector<kaio_buffer *> kept;
    std::function<void(uint64_t user, kaio_read_result *result)> on_read;
    std::function<void(uint64_t user, kaio_write_result *result)> on_write;
    std::function<kaio_turn()> on_turn;
};

void Hear(Loop *loop, const char *operation, uint64_t user, const char *outcome) {
    loop->heard.push_back(operation + std::to_string(user) + " " + outcome);
}

kaio_handlers AllHandlers() {
    kaio_handlers handlers = {};
    handlers.on_read = [](void *context, uint64_t user, kaio_read_result *result) {
        Loop *loop = static_cast<Loop *>(context);
        Hear(loop, "read", user, kaio_transfer_outcome_name(result->outcome));
        if (loop->on_read) {
            loop->on_read(user, result);
        }
    };
    handlers.on_write = [](void *context, uint64_t user, kaio_write_result *result) {
        Loop *loop = static_cast<Loop *>(context);
        Hear(loop, "write", user, kaio_transfer_outcome_name(result->outcome));
        if (loop->on_write) {
            loop->on_write(user, result);
        }
    };
    handlers.on_sync = [](void *context, uint64_t user, const kaio_sync_result *result) {
        Hear(static_cast<Loop *>(context), "sync", user, kaio_sync_outcome_name(result->outcome));
    };
    handlers.on_poll = [](void *context, uint64_t user, const kaio_poll_result *result) {
        Hear(static_cast<Loop *>(context), "poll", user, kaio_poll_outcome_name(result->outcome));
    };
    handlers.on_turn = [](void *context) {
        Loop *loop = static_cast<Loop *>(context);
        return loop->on_turn ? loop->on_turn() : KAIO_TURN_CONTINUE;
    };
    return handlers;
}

class RunTest : public QueueTest {
  protected:
    void SetUp() override {
        QueueTest::SetUp();
        file_ = OpenFile(temp_.path());
        ASSERT_EQ(pipe2(fds_, O_CLOEXEC), 0);
        ASSERT_OK(kaio_file_borrow(fds_[0], &reader_));
        errno = kErrno;
    }

    void TearDown() override {
        EXPECT_EQ(errno, kErrno) << "errno was touched";
        QueueTest::TearDown();
        for (kaio_buffer *&buffer : loop_.kept) {
            kaio_buffer_drop(&buffer);
        }
        kaio_file_drop(&file_);
        kaio_file_drop(&reader_);
        close(fds_[0]);
        close(fds_[1]);
    }

    void StartReads(uint32_t count) {
        for (uint32_t i = 0; i < count; ++i) {
            kaio_buffer *buffer = NewBuffer(kSizeBytes);
            StartRead(file_, i * kSizeBytes, &buffer, i);
        }
    }

    void StartPoll(uint64_t user) {
        kaio_ticket ticket = {};
        EXPECT_OK(K(kaio_poll_start(queue_, reader_, kaio_poll_readable(), user, &ticket)));
    }

    kaio_run_report Run(kaio_deadline deadline = kaio_deadline_after_ns(kPatienceNs)) {
        kaio_run_report report = {};
        const kaio_handlers handlers = AllHandlers();
        EXPECT_OK(K(kaio_queue_run(queue_, &handlers, &loop_, deadline, &report)));
        return report;
    }

    static constexpr int64_t kPatienceNs = 10000000000;
    const std::string content_ = Pattern(kBlockCount * kSizeBytes);
    TempFile temp_{content_};
    kaio_file *file_ = nullptr;
    kaio_file *reader_ = nullptr;
    int fds_[2] = {-1, -1};
    Loop loop_;
};

TEST_F(RunTest, ARunWithNothingToDoIsIdle) {
    const kaio_run_report report = Run(kaio_deadline_never());

    EXPECT_EQ(report.ended, KAIO_RUN_IDLE);
    EXPECT_EQ(report.completed_count, 0u);
    EXPECT_EQ(report.os_error, 0);
}

TEST_F(RunTest, EveryReadIsHandedOutOnceWithItsBufferAndRange) {
    StartReads(kDepth);
    uint32_t good_count = 0;
    loop_.on_read = [&](uint64_t user, kaio_read_result *result) {
        EXPECT_EQ(result->range.file_offset_bytes, user * kSizeBytes);
        EXPECT_EQ(result->range.size_bytes, kSizeBytes);
        EXPECT_EQ(result->moved_bytes, kSizeBytes);
        EXPECT_EQ(result->os_error, 0);
        EXPECT_OK(result->refusal);
        good_count += BufferText(result->buffer, kSizeBytes) ==
                      content_.substr(static_cast<size_t>(user * kSizeBytes), kSizeBytes);
    };

    const kaio_run_report report = Run();

    EXPECT_EQ(report.ended, KAIO_RUN_IDLE);
    EXPECT_EQ(report.completed_count, kDepth);
    EXPECT_EQ(report.dropped_count, 0u);
    EXPECT_EQ(good_count, kDepth);
    EXPECT_EQ(Counts().free_count, kDepth);
}

TEST_F(RunTest, ABufferThatAHandlerTakesIsItsOwn) {
    StartReads(1);
    loop_.on_read = [&](uint64_t, kaio_read_result *result) {
        loop_.kept.push_back(result->buffer);
        result->buffer = nullptr;
    };

    Run();

    ASSERT_EQ(loop_.kept.size(), 1u);
    EXPECT_EQ(BufferText(loop_.kept[0], kSizeBytes), content_.substr(0, kSizeBytes));
}

TEST_F(RunTest, ABufferThatIsLeftIsDropped) {
    StartReads(3);
    const uint32_t before = kaio_testing_count().buffer_count;

    Run();

    EXPECT_EQ(kaio_testing_count().buffer_count, before - 3);
}

TEST_F(RunTest, AHandlerKeepsTheDepth) {
    constexpr uint64_t kOperations = 1000;
    StartReads(kDepth);
    uint64_t started = kDepth;
    loop_.on_read = [&](uint64_t, kaio_read_result *result) {
        kaio_ticket ticket = {};
        if (started < kOperations) {
            ASSERT_OK(kaio_read_start(queue_, file_, result->range, kaio_rw_none(), started++,
                                      &result->buffer, &ticket));
        }
    };

    const kaio_run_report report = Run();

    EXPECT_EQ(report.ended, KAIO_RUN_IDLE);
    EXPECT_EQ(report.completed_count, kOperations);
}

TEST_F(RunTest, WhatIsFinishedAlreadyComesFirstAndInOrder) {
    StartReads(3);
    EXPECT_EQ(Wait(3), 3u);
    kaio_buffer *buffer = NewBuffer(kSizeBytes);
    StartRead(file_, 0, &buffer, 7);

    EXPECT_EQ(Run().ended, KAIO_RUN_IDLE);

    EXPECT_EQ(loop_.heard,
              (std::vector<std::string>{"read0 full", "read1 full", "read2 full", "read7 full"}));
}

TEST_F(RunTest, WhatAHandlerTakesIsNotHandedOut) {
    StartReads(4);
    EXPECT_EQ(Wait(4), 4u);
    uint64_t taken_user = 99;
    loop_.on_read = [&](uint64_t user, kaio_read_result *) {
        kaio_completion completion = {};
        if (user == 0) {
            ASSERT_OK(kaio_queue_take(queue_, &completion));
            taken_user = completion.user;
            kaio_completion_drop(&completion);
        }
    };

    EXPECT_EQ(Run().completed_count, 3u);

    EXPECT_EQ(taken_user, 1u);
    EXPECT_EQ(loop_.heard, (std::vector<std::string>{"read0 full", "read2 full", "read3 full"}));
}

// The events are in the ring, and the handler reaps them all into the list.
TEST_F(RunTest, ATakeInsideAHandlerLosesNothingOfTheRing) {
    StartReads(6);
    uint32_t taken_count = 0;
    loop_.on_read = [&](uint64_t, kaio_read_result *) {
        kaio_completion completion = {};
        if (taken_count < 2) {
            ASSERT_OK(kaio_queue_take(queue_, &completion));
            ++taken_count;
            kaio_completion_drop(&completion);
        }
        ExpectBooks();
    };

    EXPECT_EQ(Run().completed_count, 4u);

    EXPECT_EQ(Counts().free_count, kDepth);
}

TEST_F(RunTest, EachOperationHasItsHandler) {
    ASSERT_EQ(write(fds_[1], "x", 1), 1);
    kaio_buffer *buffer = NewBuffer(content_.substr(0, kSizeBytes));
    StartWrite(file_, 0, &buffer, 1);
    kaio_ticket ticket = {};
    EXPECT_OK(K(kaio_sync_start(queue_, file_, KAIO_SYNC_DATA, 2, &ticket)));
    StartPoll(3);
    buffer = NewBuffer(kSizeBytes);
    StartRead(file_, kBlockCount * kSizeBytes, &buffer, 4);

    EXPECT_EQ(Run().completed_count, 4u);

    std::sort(loop_.heard.begin(), loop_.heard.end());
    EXPECT_EQ(loop_.heard, (std::vector<std::string>{"poll3 ready", "read4 end", "sync2 synced",
                                                     "write1 full"}));
}

TEST_F(RunTest, OutcomesWithoutAHandlerAreDroppedAndCounted) {
    ASSERT_EQ(write(fds_[1], "x", 1), 1);
    kaio_buffer *buffer = NewBuffer(content_.substr(0, kSizeBytes));
    StartWrite(file_, 0, &buffer, 1);
    kaio_ticket ticket = {};
    EXPECT_OK(K(kaio_sync_start(queue_, file_, KAIO_SYNC_DATA, 2, &ticket)));
    StartPoll(3);
    StartReads(1);
    const kaio_handlers none = {};
    kaio_run_report report = {};

    EXPECT_OK(
        K(kaio_queue_run(queue_, &none, nullptr, kaio_deadline_after_ns(kPatienceNs), &report)));

    EXPECT_EQ(report.ended, KAIO_RUN_IDLE);
    EXPECT_EQ(report.completed_count, 4u);
    EXPECT_EQ(report.dropped_count, 4u);
    EXPECT_EQ(Counts().free_count, kDepth);
}

TEST_F(RunTest, ARefusedRequestIsHandedOutWithItsReason) {
    kaio_file *closed = nullptr;
    const int fd = fcntl(fds_[0], F_DUPFD_CLOEXEC, 500);  // a number that nobody gets next
    ASSERT_OK(kaio_file_borrow(fd, &closed));
    kaio_buffer *buffer = NewBuffer(kSizeBytes);
    StartRead(closed, 0, &buffer, 1);
    close(fd);
    StartReads(1);
    loop_.on_read = [&](uint64_t user, kaio_read_result *result) {
        EXPECT_CODE(user == 1 ? KAIO_OS_ERROR : KAIO_OK, result->refusal);
        EXPECT_EQ(result->os_error, user == 1 ? EBADF : 0);
    };

    EXPECT_EQ(Run().completed_count, 2u);

    std::sort(loop_.heard.begin(), loop_.heard.end());
    EXPECT_EQ(loop_.heard, (std::vector<std::string>{"read0 full", "read1 refused"}));
    kaio_file_drop(&closed);
}

// A write that fails is settled without the detour over the list, and the sync hears of it.
TEST_F(RunTest, AnOrderedSyncHearsOfAWriteThatFailed) {
    signal(SIGPIPE, SIG_IGN);
    int fds[2] = {-1, -1};
    ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
    close(fds[0]);
    kaio_file *broken = nullptr;
    ASSERT_OK(kaio_file_adopt(fds[1], &broken));
    kaio_buffer *buffer = NewBuffer(kSizeBytes);
    StartWrite(broken, 0, &buffer, 1);
    kaio_ticket ticket = {};
    EXPECT_OK(K(kaio_sync_start(queue_, broken, KAIO_SYNC_DATA, 2, &ticket)));

    EXPECT_EQ(Run().ended, KAIO_RUN_IDLE);

    EXPECT_EQ(loop_.heard,
              (std::vector<std::string>{"write1 failed", "sync2 preceded by failure"}));
    EXPECT_OK(kaio_file_close(&broken));
}

TEST_F(RunTest, ADeadlineInThePastStillMakesOneTurn) {
    StartReads(2);
    StartPoll(9);

    const kaio_run_report report = Run(kaio_deadline_at_ns(-1));

    EXPECT_EQ(report.ended, KAIO_RUN_DEADLINE);
    EXPECT_EQ(Counts().in_flight_count + report.completed_count, 3u);
    EXPECT_GE(Counts().in_flight_count, 1u) << "the poll";
}

TEST_F(RunTest, ADeadlineEndsARunThatBlocks) {
    StartPoll(9);
    const int64_t begin_ns = kaio_deadline_after_ns(1).at_ns;

    const kaio_run_report report = Run(kaio_deadline_after_ns(50000000));

    EXPECT_EQ(report.ended, KAIO_RUN_DEADLINE);
    EXPECT_GE(kaio_deadline_after_ns(1).at_ns - begin_ns, 50000000);
    EXPECT_EQ(Counts().in_flight_count, 1u);
}

TEST_F(RunTest, ADeadlineEndsARunThatNeverBlocks) {
    StartReads(1);
    loop_.on_read = [&](uint64_t, kaio_read_result *result) {
        kaio_ticket ticket = {};
        ASSERT_OK(kaio_read_start(queue_, file_, result->range, kaio_rw_none(), 1, &result->buffer,
                                  &ticket));
    };

    const kaio_run_report report = Run(kaio_deadline_after_ns(20000000));

    EXPECT_EQ(report.ended, KAIO_RUN_DEADLINE);
    EXPECT_GT(report.completed_count, 1u);
}

TEST_F(RunTest, OnTurnStopsTheRun) {
    StartPoll(9);
    uint32_t turn_count = 0;
    loop_.on_turn = [&] { return ++turn_count < 3 ? KAIO_TURN_POLL : KAIO_TURN_STOP; };

    const kaio_run_report report = Run(kaio_deadline_never());

    EXPECT_EQ(report.ended, KAIO_RUN_STOPPED);
    EXPECT_EQ(turn_count, 3u) << "a turn that polls does not block";
}

TEST_F(RunTest, OnTurnComesAfterAllThatWasThere) {
    StartReads(4);
    EXPECT_EQ(Wait(4), 4u);
    size_t heard_count = 0;
    loop_.on_turn = [&] {
        heard_count = loop_.heard.size();
        return KAIO_TURN_STOP;
    };

    Run();

    EXPECT_EQ(heard_count, 4u);
}

TEST_F(RunTest, WhatOnTurnStartsIsDone) {
    bool has_started = false;
    loop_.on_turn = [&] {
        if (!has_started) {
            has_started = true;
            kaio_buffer *buffer = NewBuffer(kSizeBytes);
            kaio_ticket ticket = {};
            EXPECT_OK(kaio_read_start(queue_, file_, Range(0, kSizeBytes), kaio_rw_none(), 5,
                                      &buffer, &ticket));
        }
        return KAIO_TURN_CONTINUE;
    };

    EXPECT_EQ(Run().ended, KAIO_RUN_IDLE);

    EXPECT_EQ(loop_.heard, (std::vector<std::string>{"read5 full"}));
}

TEST_F(RunTest, IdleRequestsDoNotKeepARunGoing) {
    kaio_buffer *buffer = NewBuffer(kSizeBytes);
    kaio_read *read = NewRead(file_, &buffer);

    EXPECT_EQ(Run(kaio_deadline_never()).ended, KAIO_RUN_IDLE);

    EXPECT_EQ(Counts().idle_count, 1u);
    kaio_read_drop(&read);
}

TEST_F(RunTest, TheRestOfAShortReadIsStartedFromItsResult) {
    const uint32_t rest_bytes = kSizeBytes / 2;
    TempFile half(content_.substr(0, kSizeBytes + rest_bytes));
    kaio_file *file = OpenFile(half.path());
    kaio_buffer *buffer = NewBuffer(2 * kSizeBytes);
    StartRead(file, 0, &buffer, 1);
    kaio_completion short_one = {};
    loop_.on_read = [&](uint64_t user, kaio_read_result *result) {
        if (result->outcome != KAIO_TRANSFER_SHORT) {
            return;
        }
        short_one = kaio_read_result_into_completion(result, user);
        EXPECT_EQ(result->buffer, nullptr);
        kaio_ticket ticket = {};
        EXPECT_OK(kaio_read_rest_start(queue_, file, kaio_rw_none(), &short_one, &ticket));
        EXPECT_EQ(short_one.buffer, nullptr);
    };

    EXPECT_EQ(Run().ended, KAIO_RUN_IDLE);

    EXPECT_EQ(loop_.heard, (std::vector<std::string>{"read1 short", "read1 end"}));
    EXPECT_EQ(short_one.operation, KAIO_READ);
    EXPECT_EQ(short_one.moved_bytes, kSizeBytes + rest_bytes);
    EXPECT_OK(kaio_file_close(&file));
}

TEST_F(RunTest, AWritesResultBecomesACompletion) {
    kaio_buffer *buffer = NewBuffer(kSizeBytes);
    kaio_buffer *const alias = buffer;
    StartWrite(file_, kSizeBytes, &buffer, 3);
    kaio_completion completion = {};
    loop_.on_write = [&](uint64_t user, kaio_write_result *result) {
        completion = kaio_write_result_into_completion(result, user);
        EXPECT_EQ(result->buffer, nullptr);
    };

    Run();

    EXPECT_EQ(completion.operation, KAIO_WRITE);
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL);
    EXPECT_EQ(completion.range.file_offset_bytes, kSizeBytes);
    EXPECT_EQ(completion.user, 3u);
    EXPECT_EQ(completion.buffer, alias);
    kaio_completion_drop(&completion);
    EXPECT_EQ(kaio_read_result_into_completion(nullptr, 1).operation, KAIO_NO_OPERATION);
    EXPECT_EQ(kaio_write_result_into_completion(nullptr, 1).operation, KAIO_NO_OPERATION);
}

// ---- waking ----

TEST_F(RunTest, AWakeBeforeARunEndsTheNextOne) {
    StartPoll(9);
    kaio_queue_wake(queue_);

    EXPECT_EQ(Run(kaio_deadline_never()).ended, KAIO_RUN_WOKEN);
    EXPECT_EQ(Run(kaio_deadline_after_ns(1000000)).ended, KAIO_RUN_DEADLINE) << "it counts once";
}

TEST_F(RunTest, SeveralWakesThatNoRunNoticedCountOnce) {
    StartPoll(9);
    for (int i = 0; i < 5; ++i) {
        kaio_queue_wake(queue_);
    }

    EXPECT_EQ(Run(kaio_deadline_never()).ended, KAIO_RUN_WOKEN);
    EXPECT_EQ(Run(kaio_deadline_after_ns(1000000)).ended, KAIO_RUN_DEADLINE);
}

TEST_F(RunTest, AWakenRunHasHandedOutWhatWasThere) {
    StartReads(3);
    EXPECT_EQ(Wait(3), 3u);
    kaio_queue_wake(queue_);

    const kaio_run_report report = Run();

    EXPECT_EQ(report.ended, KAIO_RUN_WOKEN);
    EXPECT_EQ(report.completed_count, 3u);
}

TEST_F(RunTest, AHandlerWakesItsOwnRun) {
    StartReads(1);
    StartPoll(9);
    loop_.on_read = [&](uint64_t, kaio_read_result *) { kaio_queue_wake(queue_); };

    EXPECT_EQ(Run().ended, KAIO_RUN_WOKEN);
}

TEST_F(RunTest, OtherCallsCopeWithAWakeThatIsArmed) {
    StartPoll(9);
    EXPECT_EQ(Run(kaio_deadline_after_ns(1000000)).ended, KAIO_RUN_DEADLINE) << "armed now";
    kaio_queue_wake(queue_);
    StartReads(3);

    uint32_t ready = 0;
    EXPECT_OK(K(kaio_queue_wait(queue_, 3, kaio_deadline_after_ns(kPatienceNs), &ready)));
    EXPECT_EQ(ready, 3u);
    for (int i = 0; i < 3; ++i) {
        kaio_completion completion = Take();
        kaio_completion_drop(&completion);
    }
    ExpectEmpty();
    kaio_queue_counts left = {};
    EXPECT_CODE(KAIO_TIMED_OUT,
                K(kaio_queue_drain(queue_, kaio_deadline_after_ns(1000000), &left)));
    EXPECT_EQ(left.in_flight_count, 1u) << "the poll of the queue's own is none of the depth";
    EXPECT_EQ(Counters().duplicate_count, 0u);
    EXPECT_EQ(Run(kaio_deadline_never()).ended, KAIO_RUN_WOKEN);
}

TEST_F(RunTest, AQueueThatIsArmedClosesAndIsDestroyed) {
    StartPoll(9);
    EXPECT_EQ(Run(kaio_deadline_after_ns(1000000)).ended, KAIO_RUN_DEADLINE);
    kaio_queue *const alias = queue_;

    kaio_destroy_report report = {};
    EXPECT_OK(K(kaio_queue_destroy(&queue_, nullptr, nullptr, &report)));
    kaio_queue_wake(alias);
    QueueTest::SetUp();
    StartPoll(9);

    EXPECT_EQ(Run(kaio_deadline_after_ns(1000000)).ended, KAIO_RUN_DEADLINE)
        << "a stale wake woke the place's next queue";
    EXPECT_EQ(write(fds_[1], "x", 1), 1);
    EXPECT_EQ(Run().ended, KAIO_RUN_IDLE);
    EXPECT_OK(K(kaio_queue_close(&queue_)));
    QueueTest::SetUp();
}

TEST_F(RunTest, WakesOfWhatIsNoQueueDoNothing) {
    kaio_queue_wake(nullptr);
    kaio_queue_wake(reinterpret_cast<kaio_queue *>(file_));
    kaio_queue_wake(reinterpret_cast<kaio_queue *>(UINTPTR_MAX));
    const uintptr_t of_its_life = uintptr_t{1} << (8 * sizeof(uintptr_t) - 2);
    kaio_queue_wake(
        reinterpret_cast<kaio_queue *>(reinterpret_cast<uintptr_t>(queue_) ^ of_its_life));

    EXPECT_EQ(Run().ended, KAIO_RUN_IDLE);
}

// ---- what must not be called inside ----

TEST_F(RunTest, WhatWouldMeetTheRunAnswersReentered) {
    StartReads(1);
    loop_.on_read = [&](uint64_t, kaio_read_result *) {
        kaio_flush_report flushed = {};
        uint32_t ready = 0;
        kaio_queue_counts left = {};
        kaio_destroy_report destroyed = {};
        kaio_run_report report = {};
        const kaio_handlers handlers = {};
        kaio_queue *queue = queue_;
        EXPECT_CODE(KAIO_REENTERED, kaio_queue_flush(queue_, &flushed));
        EXPECT_CODE(KAIO_REENTERED, kaio_queue_wait(queue_, 0, kaio_deadline_now(), &ready));
        EXPECT_CODE(KAIO_REENTERED, kaio_queue_drain(queue_, kaio_deadline_now(), &left));
        EXPECT_CODE(KAIO_REENTERED, kaio_queue_close(&queue));
        EXPECT_CODE(KAIO_REENTERED, kaio_queue_destroy(&queue, nullptr, nullptr, &destroyed));
        EXPECT_CODE(KAIO_REENTERED, kaio_queue_detach(queue_));
        EXPECT_CODE(KAIO_REENTERED, kaio_queue_attach(queue_));
        EXPECT_CODE(KAIO_REENTERED,
                    kaio_queue_run(queue_, &handlers, nullptr, kaio_deadline_now(), &report));
        EXPECT_EQ(queue, queue_);
    };

    EXPECT_EQ(Run().ended, KAIO_RUN_IDLE);

    EXPECT_EQ(loop_.heard.size(), 1u);
    EXPECT_EQ(Flush().accepted_count, 0u) << "allowed again behind the run";
}

TEST_F(RunTest, WhatMayBeCalledInsideWorks) {
    StartReads(1);
    StartPoll(9);
    loop_.on_read = [&](uint64_t, kaio_read_result *result) {
        kaio_buffer *buffer = NewBuffer(kSizeBytes);
        kaio_read *read = NewRead(file_, &buffer);
        kaio_write *write = nullptr;
        kaio_ticket ticket = {};
        kaio_cancel_answer answer = KAIO_CANCEL_STALE;
        EXPECT_OK(kaio_read_set_priority(read, kaio_priority_idle()));
        EXPECT_OK(kaio_read_retarget(read, file_, Range(8, 8), kaio_rw_none()));
        EXPECT_OK(kaio_read_into_write(&read, &write));
        EXPECT_OK(kaio_write_abandon(&write, &buffer));
        EXPECT_OK(kaio_read_start(queue_, file_, Range(0, 8), kaio_rw_none(), 2, &buffer, &ticket));
        EXPECT_OK(kaio_queue_cancel(queue_, ticket, &answer));
        EXPECT_EQ(answer, KAIO_CANCEL_UNSENT);
        int fd = -1;
        EXPECT_CODE(KAIO_UNSUPPORTED, kaio_queue_as_fd(queue_, &fd));
        EXPECT_CODE(KAIO_BUSY, kaio_file_detach(reader_, queue_));
        kaio_file *other = OpenFile(temp_.path());
        EXPECT_OK(kaio_file_attach(other, queue_));
        EXPECT_OK(kaio_file_close(&other));
        EXPECT_EQ(Counts().in_flight_count, 1u);
        EXPECT_NE(kaio_buffer_as_bytes(result->buffer), nullptr);
        loop_.on_read = nullptr;
    };
    loop_.on_turn = [&] { return KAIO_TURN_STOP; };

    EXPECT_EQ(Run().ended, KAIO_RUN_STOPPED);
}

TEST_F(RunTest, AnotherQueueRunsInsideAHandler) {
    const kaio_queue_options options = Options();
    kaio_queue *inner = nullptr;
    ASSERT_OK(kaio_queue_open(&options, &inner));
    StartReads(2);
    uint64_t inner_count = 0;
    loop_.on_read = [&](uint64_t, kaio_read_result *result) {
        kaio_ticket ticket = {};
        kaio_run_report report = {};
        const kaio_handlers handlers = {};
        EXPECT_OK(kaio_read_start(inner, file_, result->range, kaio_rw_none(), 1, &result->buffer,
                                  &ticket));
        EXPECT_OK(kaio_queue_run(inner, &handlers, nullptr, kaio_deadline_never(), &report));
        inner_count += report.completed_count;
    };

    EXPECT_EQ(Run().completed_count, 2u);

    EXPECT_EQ(inner_count, 2u);
    EXPECT_OK(kaio_queue_close(&inner));
}

TEST_F(RunTest, ADropInsideAHandlerTakesEffectWhenTheRunReturns) {
    StartReads(3);
    EXPECT_EQ(Wait(3), 3u);
    kaio_queue *const alias = queue_;
    loop_.on_read = [&](uint64_t, kaio_read_result *result) {
        kaio_queue *mine = alias;
        kaio_queue_drop(&mine);
        EXPECT_EQ(mine, nullptr);
        EXPECT_EQ(kaio_testing_count().queue_count, 1u) << "the run is still in it";
        kaio_ticket ticket = {};
        EXPECT_CODE(KAIO_STALE, kaio_read_start(alias, file_, result->range, kaio_rw_none(), 1,
                                                &result->buffer, &ticket));
        EXPECT_NE(result->buffer, nullptr);
        EXPECT_EQ(kaio_testing_count().queue_count, 1u) << "nor does a call end it";
    };
    const kaio_handlers handlers = AllHandlers();
    kaio_run_report report = {};

    EXPECT_OK(kaio_queue_run(alias, &handlers, &loop_, kaio_deadline_never(), &report));
    queue_ = nullptr;

    EXPECT_EQ(report.ended, KAIO_RUN_STOPPED);
    EXPECT_EQ(report.completed_count, 1u);
    EXPECT_EQ(kaio_testing_count().queue_count, 0u);
    EXPECT_EQ(kaio_testing_count().buffer_count, 0u) << "what was not handed out was dropped";
    kaio_queue_counts counts = {};
    EXPECT_CODE(KAIO_STALE, kaio_queue_count(alias, &counts));
    QueueTest::SetUp();
}

// ---- options ----

class NeverRingRunTest : public RunTest {
  protected:
    kaio_queue_options Options() const override {
        kaio_queue_options options = RunTest::Options();
        options.never_ring = true;
        return options;
    }
};

TEST_F(NeverRingRunTest, ARunWithoutTheRingHandsOutAll) {
    constexpr uint64_t kOperations = 100;
    StartReads(kDepth);
    uint64_t started = kDepth;
    loop_.on_read = [&](uint64_t, kaio_read_result *result) {
        kaio_ticket ticket = {};
        if (started++ < kOperations) {
            ASSERT_OK(kaio_read_start(queue_, file_, result->range, kaio_rw_none(), 1,
                                      &result->buffer, &ticket));
        }
    };

    EXPECT_EQ(Run().completed_count, kOperations);

    StartPoll(9);
    EXPECT_EQ(Run(kaio_deadline_after_ns(1000000)).ended, KAIO_RUN_DEADLINE);
    kaio_queue_wake(queue_);
    EXPECT_EQ(Run(kaio_deadline_never()).ended, KAIO_RUN_WOKEN);
}

TEST(RunEndTest, EachEndHasAName) {
    EXPECT_STREQ(kaio_run_end_name(KAIO_RUN_IDLE), "idle");
    EXPECT_STREQ(kaio_run_end_name(KAIO_RUN_STOPPED), "stopped");
    EXPECT_STREQ(kaio_run_end_name(KAIO_RUN_DEADLINE), "deadline");
    EXPECT_STREQ(kaio_run_end_name(KAIO_RUN_WOKEN), "woken");
    EXPECT_STREQ(kaio_run_end_name(KAIO_RUN_AGAIN), "again");
    EXPECT_STREQ(kaio_run_end_name(static_cast<kaio_run_end>(0)), "invalid");
}

}  // namespace
}  // namespace kaio_test
