// What the real kernel cannot be made to do on request.

#include "kaio/safe/sim/sim.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <thread>

#include "tests/support/safe_test.h"

namespace kaio_test {
namespace {

class SimTest : public QueueTest {
  protected:
    void SetUp() override {
        Play({});
        QueueTest::SetUp();
        file_ = OpenFile(temp_.path());
        ASSERT_EQ(pipe2(fds_, O_CLOEXEC), 0);
        ASSERT_OK(kaio_file_borrow(fds_[0], &pipe_));
    }

    void TearDown() override {
        Play({});
        QueueTest::TearDown();
        kaio_file_drop(&file_);
        kaio_file_drop(&pipe_);
        close(fds_[0]);
        close(fds_[1]);
    }

    void Play(const kaio_sim_script &script) {
        kaio_sim_play(&script);
    }

    void StartReads(uint32_t count) {
        for (uint32_t i = 0; i < count; ++i) {
            kaio_buffer *buffer = NewBuffer(512);
            StartRead(file_, i * 512, &buffer, i);
        }
    }

    // TakeAll takes `count` full reads, each user's word once.
    void TakeAll(uint32_t count) {
        uint64_t seen = 0;
        for (uint32_t i = 0; i < count; ++i) {
            kaio_completion completion = Take();
            EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL) << Text(completion);
            EXPECT_EQ(BufferText(completion.buffer, 512),
                      content_.substr(completion.user * 512, 512));
            EXPECT_EQ(seen & (uint64_t{1} << completion.user), 0u);
            seen |= uint64_t{1} << completion.user;
            kaio_completion_drop(&completion);
        }
        ExpectEmpty();
    }

    const std::string content_ = Pattern(8192);
    TempFile temp_{content_};
    kaio_file *file_ = nullptr;
    int fds_[2] = {-1, -1};
    kaio_file *pipe_ = nullptr;  // its reading end, empty
};

TEST_F(SimTest, AShortSubmitLosesNothing) {
    kaio_sim_script script = {};
    script.submit_limit = 3;
    Play(script);
    StartReads(kDepth);

    EXPECT_EQ(Flush().accepted_count, kDepth);

    EXPECT_EQ(kaio_sim_call_counts().submit_count, 3u);
    TakeAll(kDepth);
}

TEST_F(SimTest, AgainLeavesTheRestStagedInOrder) {
    StartReads(kDepth);
    kaio_sim_script script = {};
    script.submit_error_count = 1;
    script.submit_error = EAGAIN;
    Play(script);
    kaio_flush_report report = {};

    const kaio_status status = K(kaio_queue_flush(queue_, &report));

    EXPECT_CODE(KAIO_AGAIN, status);
    EXPECT_EQ(status.detail, kDepth);
    EXPECT_EQ(status.os_error, EAGAIN);
    EXPECT_EQ(report.accepted_count, 0u);
    EXPECT_EQ(report.staged_count, kDepth);
    EXPECT_EQ(report.os_error, EAGAIN);
    EXPECT_EQ(kaio_sim_call_counts().submit_count, 1u) << "no spinning";
    EXPECT_EQ(Flush().accepted_count, kDepth);
    for (uint64_t i = 0; i < kDepth; ++i) {
        kaio_completion completion = Take();
        EXPECT_EQ(completion.user, i) << "the order of the pushes";
        kaio_completion_drop(&completion);
    }
}

TEST_F(SimTest, AgainInTheMiddleKeepsTheCountsExact) {
    StartReads(kDepth);
    kaio_sim_script script = {};
    script.hold = true;
    script.submit_limit = 3;
    script.submit_error_after = 2;
    script.submit_error_count = 1;
    script.submit_error = EAGAIN;
    Play(script);
    kaio_flush_report report = {};

    const kaio_status status = K(kaio_queue_flush(queue_, &report));

    EXPECT_CODE(KAIO_AGAIN, status);
    EXPECT_EQ(status.detail, 2u);
    EXPECT_EQ(report.accepted_count, 6u);
    EXPECT_EQ(report.staged_count, 2u);
    EXPECT_EQ(Counts().in_flight_count, 6u);
    EXPECT_EQ(kaio_sim_call_counts().submit_count, 3u);
    EXPECT_EQ(Wait(kDepth), kDepth);
    TakeAll(kDepth);
}

TEST_F(SimTest, ANewRequestQueuesBehindWhatAgainLeft) {
    StartReads(4);
    kaio_sim_script script = {};
    script.submit_error_count = 1;
    script.submit_error = EAGAIN;
    Play(script);
    kaio_flush_report report = {};
    EXPECT_CODE(KAIO_AGAIN, K(kaio_queue_flush(queue_, &report)));
    kaio_buffer *buffer = NewBuffer(512);
    StartRead(file_, 4 * 512, &buffer, 4);
    EXPECT_EQ(Flush().accepted_count, 5u);
    TakeAll(5);
}

TEST_F(SimTest, ThereIsRoomForNewRequestsBehindWhatAgainLeft) {
    StartReads(kDepth);
    kaio_sim_script script = {};
    script.submit_limit = 3;
    script.submit_error_after = 1;
    script.submit_error_count = 1;
    script.submit_error = EAGAIN;
    Play(script);
    kaio_flush_report report = {};
    EXPECT_CODE(KAIO_AGAIN, K(kaio_queue_flush(queue_, &report)));
    EXPECT_EQ(report.accepted_count, 3u);
    for (uint64_t i = 0; i < 3; ++i) {
        kaio_completion completion = Take();
        EXPECT_EQ(completion.user, i);
        EXPECT_TRUE(
            kaio_status_is_ok(K(kaio_read_start(queue_, file_, Range(i * 512, 512), kaio_rw_none(),
                                                i, &completion.buffer, &completion.ticket))));
    }
    Play({});

    EXPECT_EQ(Flush().accepted_count, kDepth);

    TakeAll(kDepth);
}

TEST_F(SimTest, WaitAnswersAgainWhenNothingIsInFlight) {
    StartReads(2);
    kaio_sim_script script = {};
    script.submit_error_count = UINT32_MAX;
    script.submit_error = EAGAIN;
    Play(script);
    uint32_t ready = 0;

    const kaio_status status = K(kaio_queue_wait(queue_, 1, kaio_deadline_never(), &ready));

    EXPECT_CODE(KAIO_AGAIN, status);
    EXPECT_EQ(status.detail, 2u);
    EXPECT_LE(kaio_sim_call_counts().submit_count, 2u) << "no spinning";
    Play({});
    EXPECT_EQ(Wait(2), 2u);
    TakeAll(2);
}

TEST_F(SimTest, WaitReapsAndFlushesUntilEveryStagedRequestWasSent) {
    StartReads(kDepth);
    kaio_sim_script script = {};
    script.hold = true;
    Play(script);
    Flush();
    kaio_completion completion = {};
    EXPECT_CODE(KAIO_EMPTY, K(kaio_queue_take(queue_, &completion)));
    EXPECT_EQ(Wait(3), 3u);
    EXPECT_EQ(Wait(kDepth), kDepth);
    TakeAll(kDepth);
}

TEST_F(SimTest, AnotherErrorThanAgainRefusesTheFirstOnly) {
    StartReads(3);
    kaio_sim_script script = {};
    script.submit_error_count = 1;
    script.submit_error = EINVAL;
    Play(script);

    const kaio_flush_report report = Flush();

    EXPECT_EQ(report.refused_count, 1u);
    EXPECT_EQ(report.accepted_count, 2u);
    kaio_completion completion = Take();
    EXPECT_EQ(completion.user, 0u);
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_REFUSED);
    EXPECT_EQ(completion.os_error, EINVAL);
    kaio_completion_drop(&completion);
}

TEST_F(SimTest, InterruptionsDoNotEndAWait) {
    StartReads(kDepth);
    kaio_sim_script script = {};
    script.hold = true;
    script.getevents_error_count = 100;
    script.getevents_error = EINTR;
    Play(script);

    EXPECT_EQ(Wait(kDepth), kDepth);

    EXPECT_GT(kaio_sim_call_counts().getevents_count, 100u);
    TakeAll(kDepth);
}

TEST_F(SimTest, ADeadlineThatPassesLeavesEverythingInFlight) {
    StartReads(3);
    kaio_sim_script script = {};
    script.late = true;
    Play(script);
    uint32_t ready = 99;
    const int64_t before = kaio_deadline_after_ns(1).at_ns;

    EXPECT_CODE(KAIO_TIMED_OUT,
                K(kaio_queue_wait(queue_, 3, kaio_deadline_after_ns(20000000), &ready)));

    EXPECT_GE(kaio_deadline_after_ns(1).at_ns - before, 20000000);
    EXPECT_EQ(ready, 99u);
    EXPECT_EQ(Counts().in_flight_count, 3u);
    EXPECT_EQ(kaio_sim_complete(1), 1u);
    EXPECT_CODE(KAIO_TIMED_OUT, K(kaio_queue_wait(queue_, 3, kaio_deadline_now(), &ready)));
    EXPECT_EQ(Counts().finished_count, 1u) << "what arrived is there to be taken";
    EXPECT_EQ(kaio_sim_complete(2), 2u);
    EXPECT_EQ(Wait(3), 3u);
    TakeAll(3);
}

TEST_F(SimTest, AnErrorOfGeteventsIsReportedAndNothingIsLost) {
    StartReads(2);
    kaio_sim_script script = {};
    script.hold = true;
    script.getevents_error_count = 1;
    script.getevents_error = EFAULT;
    Play(script);
    uint32_t ready = 0;
    const kaio_status status = K(kaio_queue_wait(queue_, 2, kaio_deadline_never(), &ready));
    EXPECT_CODE(KAIO_OS_ERROR, status);
    EXPECT_EQ(status.os_error, EFAULT);
    EXPECT_EQ(Wait(2), 2u);
    TakeAll(2);
}

TEST_F(SimTest, CompletionsInAnyOrderFindTheirRequests) {
    for (uint64_t seed = 1; seed <= 50; ++seed) {
        StartReads(kDepth);
        kaio_sim_script script = {};
        script.hold = true;
        script.reorder = true;
        script.seed = seed;
        Play(script);
        EXPECT_EQ(Wait(kDepth), kDepth);
        TakeAll(kDepth);
    }
}

TEST_F(SimTest, AnEventDeliveredTwiceIsIgnoredTheSecondTime) {
    StartReads(kDepth);
    kaio_sim_script script = {};
    script.duplicate_count = 5;
    Play(script);
    EXPECT_EQ(Wait(kDepth), kDepth);
    TakeAll(kDepth);
    EXPECT_EQ(Counters().duplicate_count, 5u);
}

TEST_F(SimTest, ADuplicateThatComesAfterItsPlaceLivesOnHitsNobody) {
    kaio_buffer *buffer = NewBuffer(512);
    const kaio_ticket old = StartRead(file_, 0, &buffer, 1);
    kaio_completion completion = WaitAndTake();
    kaio_completion_drop(&completion);
    kaio_sim_script script = {};
    script.hold = true;
    Play(script);
    buffer = NewBuffer(512);
    StartRead(file_, 0, &buffer, 2);
    Flush();
    kaio_testing_forge_event(queue_, old.bits, 512);

    ExpectEmpty();

    EXPECT_EQ(Counters().duplicate_count, 1u);
    EXPECT_EQ(Counts().in_flight_count, 1u);
    completion = WaitAndTake();
    EXPECT_EQ(completion.user, 2u);
    kaio_completion_drop(&completion);
}

TEST_F(SimTest, AnEventThatNamesNoRequestInFlightIsCountedAndIgnored) {
    kaio_buffer *buffer = NewBuffer(512);
    const kaio_ticket ticket = StartRead(file_, 0, &buffer, 7);
    Flush();
    kaio_testing_forge_event(queue_, ticket.bits, 512);
    kaio_testing_forge_event(queue_, UINT64_MAX, 1);
    kaio_testing_forge_event(queue_, 0, 1);

    kaio_completion completion = WaitAndTake();

    EXPECT_EQ(completion.user, 7u);
    ExpectEmpty();
    // The forged twin of the real event stays in the ring until the next look.
    kaio_completion_drop(&completion);
    kaio_buffer *second = NewBuffer(512);
    StartRead(file_, 0, &second, 8);
    completion = WaitAndTake();
    EXPECT_EQ(completion.user, 8u);
    EXPECT_EQ(Counters().duplicate_count, 3u);
    kaio_completion_drop(&completion);
}

TEST_F(SimTest, HalfATransferIsShort) {
    StartReads(1);
    kaio_sim_script script = {};
    script.shorten_count = 1;
    Play(script);
    kaio_completion completion = WaitAndTake();
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_SHORT);
    EXPECT_EQ(completion.moved_bytes, 256u);
    kaio_completion_drop(&completion);
}

TEST_F(SimTest, TheRestsOfAWriteThatIsCutAgainAndAgainAddUp) {
    kaio_sim_script script = {};
    script.shorten_count = 4;
    Play(script);
    const std::string bytes = Pattern(512, 7);
    kaio_buffer *buffer = NewBuffer(bytes);
    kaio_ticket ticket = {};
    StartWrite(file_, 1024, &buffer, 5);
    kaio_completion completion = WaitAndTake();
    int rest_count = 0;
    while (completion.transfer == KAIO_TRANSFER_SHORT) {
        ASSERT_OK(K(kaio_write_rest_start(queue_, file_, kaio_rw_none(), &completion, &ticket)));
        completion = WaitAndTake();
        ++rest_count;
    }

    EXPECT_EQ(rest_count, 4);
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL);
    EXPECT_EQ(completion.user, 5u);
    EXPECT_EQ(temp_.Content(), content_.substr(0, 1024) + bytes + content_.substr(1536));
    kaio_completion_drop(&completion);
}

TEST_F(SimTest, AFailedTransferTellsTheKernelsErrno) {
    StartReads(1);
    kaio_sim_script script = {};
    script.fail_count = 1;
    script.fail_error = EIO;
    Play(script);
    kaio_completion completion = WaitAndTake();
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FAILED);
    EXPECT_EQ(completion.os_error, EIO);
    EXPECT_NE(completion.buffer, nullptr);
    kaio_completion_drop(&completion);
}

TEST_F(SimTest, ASyncBehindAShortOrFailedWriteIsNotSent) {
    for (bool is_short : {true, false}) {
        kaio_sim_script script = {};
        script.hold = true;
        script.shorten_count = is_short ? 1 : 0;
        script.fail_count = is_short ? 0 : 1;
        script.fail_error = EIO;
        Play(script);
        kaio_buffer *buffer = NewBuffer(512);
        StartWrite(file_, 0, &buffer);
        kaio_ticket ticket = {};
        ASSERT_OK(K(kaio_sync_start(queue_, file_, KAIO_SYNC_DATA, 0, &ticket)));
        const uint64_t submits = kaio_sim_call_counts().submit_count;
        EXPECT_EQ(Wait(2), 2u);
        EXPECT_EQ(kaio_sim_call_counts().submit_count, submits + 1) << "the write alone";
        kaio_completion completion = Take();
        kaio_completion_drop(&completion);
        EXPECT_EQ(Take().sync, KAIO_SYNC_PRECEDED_BY_FAILURE);
    }
}

// A file system without AIO fsync says so in io_submit; one that fails says so in the event.
TEST_F(SimTest, ASyncThatTheFileCannotDoIsNeverSynced) {
    kaio_ticket ticket = {};
    kaio_sim_script script = {};
    script.submit_error_count = 1;
    script.submit_error = EINVAL;
    Play(script);
    ASSERT_OK(K(kaio_sync_start(queue_, file_, KAIO_SYNC_DATA, 1, &ticket)));
    kaio_completion completion = WaitAndTake();
    EXPECT_EQ(completion.sync, KAIO_SYNC_REFUSED);
    EXPECT_EQ(completion.os_error, EINVAL);

    script = {};
    script.fail_count = 1;
    script.fail_error = EINVAL;
    Play(script);
    ASSERT_OK(K(kaio_sync_start(queue_, file_, KAIO_SYNC_DATA, 2, &ticket)));
    completion = WaitAndTake();
    EXPECT_EQ(completion.sync, KAIO_SYNC_FAILED);
    EXPECT_EQ(completion.os_error, EINVAL);
}

TEST_F(SimTest, AHeldSyncIsSentWhenTheLastOfItsWritesWasReaped) {
    kaio_sim_script script = {};
    script.hold = true;
    script.reorder = true;
    script.seed = 3;
    Play(script);
    for (uint32_t i = 0; i < 4; ++i) {
        kaio_buffer *buffer = NewBuffer(512);
        StartWrite(file_, i * 512, &buffer);
    }
    kaio_ticket ticket = {};
    ASSERT_OK(K(kaio_sync_start(queue_, file_, KAIO_SYNC_ALL, 0, &ticket)));
    EXPECT_EQ(Flush().accepted_count, 4u);
    for (uint32_t reaped = 1; reaped < 4; ++reaped) {
        kaio_sim_complete(1);
        EXPECT_GE(Wait(0), reaped);
        EXPECT_EQ(Counts().staged_count, 1u);
    }
    kaio_sim_complete(1);
    EXPECT_EQ(Wait(5), 5u);
    for (int i = 0; i < 4; ++i) {
        kaio_completion completion = Take();
        EXPECT_EQ(completion.operation, KAIO_WRITE);
        kaio_completion_drop(&completion);
    }
    EXPECT_EQ(Take().sync, KAIO_SYNC_SYNCED);
}

TEST_F(SimTest, HeldSyncsAreSentInTheOrderOfTheirPushes) {
    kaio_sim_script script = {};
    script.hold = true;
    Play(script);
    kaio_buffer *buffer = NewBuffer(512);
    StartWrite(file_, 0, &buffer, 100);
    for (uint64_t i = 0; i < 4; ++i) {
        kaio_ticket ticket = {};
        ASSERT_OK(K(kaio_sync_start(queue_, file_, KAIO_SYNC_DATA, i, &ticket)));
    }
    EXPECT_EQ(Wait(5), 5u);
    kaio_completion completion = Take();
    kaio_completion_drop(&completion);
    for (uint64_t i = 0; i < 4; ++i) {
        EXPECT_EQ(Take().user, i);
    }
}

TEST_F(SimTest, ASyncBehindManyWritesCostsTwoWaits) {
    kaio_sim_script script = {};
    script.hold = true;
    Play(script);
    for (uint32_t i = 0; i + 1 < kDepth; ++i) {
        kaio_buffer *buffer = NewBuffer(512);
        StartWrite(file_, i * 512, &buffer);
    }
    kaio_ticket ticket = {};
    ASSERT_OK(K(kaio_sync_start(queue_, file_, KAIO_SYNC_DATA, 0, &ticket)));
    EXPECT_EQ(Wait(kDepth), kDepth);
    EXPECT_LE(kaio_sim_call_counts().getevents_count, 2u);
    EXPECT_EQ(kaio_sim_call_counts().submit_count, 2u);
}

TEST_F(SimTest, AHandlerOfLostRequestsMayOpenAQueueInTheSameVariable) {
    StartReads(1);
    kaio_destroy_report report = {};
    ASSERT_OK(kaio_queue_destroy(
        &queue_,
        [](void *context, kaio_completion *) {
            kaio_queue_options options = {};
            options.depth = kDepth;
            EXPECT_OK(kaio_queue_open(&options, static_cast<kaio_queue **>(context)));
        },
        &queue_, &report));
    ASSERT_NE(queue_, nullptr);
    StartReads(1);
    EXPECT_EQ(Wait(1), 1u);
    TakeAll(1);
}

TEST_F(SimTest, APriorityGoesToTheKernelWithItsRequestAlone) {
    kaio_buffer *buffer = NewBuffer(512);
    kaio_read *read = NewRead(file_, &buffer);
    EXPECT_OK(K(kaio_read_set_priority(read, kaio_priority_best_effort(3))));
    Play({});

    kaio_read_push(&read, 0);
    StartReads(1);
    Flush();

    EXPECT_EQ(kaio_sim_call_counts().request_count, 2u);
    EXPECT_EQ(kaio_sim_call_counts().ioprio_count, 1u);
    EXPECT_EQ(kaio_sim_call_counts().last_ioprio, 2u << 13 | 3u);
}

TEST_F(SimTest, APriorityThatWasTakenBackOrLostItsTargetGoesNowhere) {
    for (const bool is_retargeted : {false, true}) {
        kaio_buffer *buffer = NewBuffer(512);
        kaio_read *read = NewRead(file_, &buffer);
        EXPECT_OK(K(kaio_read_set_priority(read, kaio_priority_idle())));
        if (is_retargeted) {
            EXPECT_OK(K(kaio_read_retarget(read, file_, Range(0, 8), kaio_rw_none())));
        } else {
            EXPECT_OK(K(kaio_read_set_priority(read, kaio_priority_inherited())));
        }
        Play({});

        kaio_read_push(&read, 0);
        Flush();

        EXPECT_EQ(kaio_sim_call_counts().request_count, 1u);
        EXPECT_EQ(kaio_sim_call_counts().ioprio_count, 0u);
    }
}

TEST_F(SimTest, ATransferInFlightCannotBeCancelledAndGoesOn) {
    kaio_sim_script script = {};
    script.hold = true;
    Play(script);
    kaio_buffer *buffer = NewBuffer(512);
    const kaio_ticket ticket = StartRead(file_, 0, &buffer);
    EXPECT_EQ(Flush().accepted_count, 1u);
    kaio_cancel_answer answer = KAIO_CANCEL_STALE;

    EXPECT_OK(K(kaio_queue_cancel(queue_, ticket, &answer)));

    EXPECT_EQ(answer, KAIO_CANCEL_CANNOT);
    EXPECT_EQ(kaio_sim_call_counts().cancel_count, 1u);
    EXPECT_EQ(Counts().in_flight_count, 1u);
    EXPECT_EQ(Wait(1), 1u);
    TakeAll(1);
}

TEST_F(SimTest, WhatWasNotSentIsCancelledWithoutASystemCall) {
    kaio_buffer *buffer = NewBuffer(512);
    const kaio_ticket ticket = StartRead(file_, 0, &buffer);
    Play({});
    kaio_cancel_answer answer = KAIO_CANCEL_STALE;

    EXPECT_OK(K(kaio_queue_cancel(queue_, ticket, &answer)));
    kaio_completion completion = Take();
    Flush();

    EXPECT_EQ(answer, KAIO_CANCEL_UNSENT);
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_CANCELLED);
    const kaio_sim_calls calls = kaio_sim_call_counts();
    EXPECT_EQ(calls.cancel_count + calls.submit_count + calls.getevents_count, 0u);
    kaio_completion_drop(&completion);
}

TEST_F(SimTest, ACancelThatIsNotAllowedLeavesTheRequestAsItIs) {
    kaio_ticket ticket = {};
    EXPECT_OK(K(kaio_poll_start(queue_, pipe_, kaio_poll_readable(), 0, &ticket)));
    EXPECT_EQ(Flush().accepted_count, 1u);
    kaio_sim_script script = {};
    script.cancel_error_count = 1;
    script.cancel_error = EPERM;
    Play(script);
    kaio_cancel_answer answer = KAIO_CANCEL_UNSENT;

    const kaio_status status = K(kaio_queue_cancel(queue_, ticket, &answer));

    EXPECT_CODE(KAIO_OS_ERROR, status);
    EXPECT_EQ(status.os_error, EPERM);
    EXPECT_EQ(answer, KAIO_CANCEL_UNSENT) << "written by a call that failed";
    EXPECT_EQ(Counts().in_flight_count, 1u);
    EXPECT_OK(K(kaio_queue_cancel(queue_, ticket, &answer)));
    EXPECT_EQ(answer, KAIO_CANCEL_ASKED);
    EXPECT_EQ(Take().poll, KAIO_POLL_CANCELLED);
}

// io_cancel is not allowed: what else is in flight is waited for all the same, and io_destroy ends
// the poll.
TEST_F(SimTest, DestroyEndsAPollThatCannotBeCancelled) {
    kaio_sim_script script = {};
    script.hold = true;
    script.cancel_error_count = 1;
    script.cancel_error = EPERM;
    Play(script);
    kaio_ticket ticket = {};
    EXPECT_OK(K(kaio_poll_start(queue_, pipe_, kaio_poll_readable(), 100, &ticket)));
    StartReads(2);
    EXPECT_EQ(Flush().accepted_count, 3u);
    struct Lost {
        int full_count = 0;
        int cancelled_count = 0;
    } lost;
    kaio_destroy_report report = {};

    EXPECT_OK(kaio_queue_destroy(
        &queue_,
        [](void *context, kaio_completion *completion) {
            Lost *seen = static_cast<Lost *>(context);
            seen->full_count += completion->transfer == KAIO_TRANSFER_FULL;
            seen->cancelled_count += completion->poll == KAIO_POLL_CANCELLED;
        },
        &lost, &report));

    EXPECT_EQ(lost.full_count, 2);
    EXPECT_EQ(lost.cancelled_count, 1);
    EXPECT_EQ(report.dropped_count, 2u);
    EXPECT_EQ(kaio_sim_call_counts().cancel_count, 1u);
}

TEST_F(SimTest, ADuplicateOfACancelledPollIsIgnored) {
    kaio_ticket ticket = {};
    EXPECT_OK(K(kaio_poll_start(queue_, pipe_, kaio_poll_readable(), 0, &ticket)));
    EXPECT_EQ(Flush().accepted_count, 1u);
    kaio_sim_script script = {};
    script.duplicate_count = 1;
    Play(script);
    kaio_cancel_answer answer = KAIO_CANCEL_STALE;

    EXPECT_OK(K(kaio_queue_cancel(queue_, ticket, &answer)));

    EXPECT_EQ(Take().poll, KAIO_POLL_CANCELLED);
    ExpectEmpty();
    EXPECT_EQ(Counters().duplicate_count, 1u);
}

TEST_F(SimTest, CloseIsBusyWhileARequestIsInFlight) {
    kaio_sim_script script = {};
    script.hold = true;
    Play(script);
    StartReads(2);
    Flush();
    EXPECT_EQ(Text(K(kaio_queue_close(&queue_))),
              "busy (queue): 0 idle, 0 staged, 2 in flight, 0 finished");
}

TEST_F(SimTest, DestroyWaitsForWhatIsInFlight) {
    kaio_sim_script script = {};
    script.hold = true;
    Play(script);
    StartReads(kDepth);
    Flush();
    kaio_destroy_report report = {};
    std::vector<kaio_transfer_outcome> outcomes;
    ASSERT_OK(kaio_queue_destroy(
        &queue_,
        [](void *context, kaio_completion *completion) {
            static_cast<std::vector<kaio_transfer_outcome> *>(context)->push_back(
                completion->transfer);
        },
        &outcomes, &report));
    EXPECT_EQ(outcomes, std::vector<kaio_transfer_outcome>(kDepth, KAIO_TRANSFER_FULL));
    EXPECT_EQ(report.dropped_count, kDepth);
}

TEST_F(SimTest, AContextWithoutARingIsReapedByTheSystemCall) {
    kaio_queue_drop(&queue_);
    kaio_sim_script script = {};
    script.no_ring = true;
    Play(script);
    QueueTest::SetUp();
    StartReads(kDepth);
    EXPECT_EQ(Wait(kDepth), kDepth);
    EXPECT_GT(kaio_sim_call_counts().getevents_count, 0u);
    TakeAll(kDepth);
}

TEST_F(SimTest, WithARingNothingIsAskedOfTheKernelToReap) {
    StartReads(kDepth);
    Play({});
    EXPECT_EQ(Wait(kDepth), kDepth);
    TakeAll(kDepth);
    EXPECT_EQ(kaio_sim_call_counts().submit_count, 1u);
    EXPECT_EQ(kaio_sim_call_counts().getevents_count, 0u);
}

// Outcomes that come between the look for them and the lowering of the eventfd: its count tells of
// them no more.
TEST(EventfdOnSimTest, WhatComesWhileTheEventfdIsLoweredIsTakenAndTold) {
    kaio_sim_script script = {};
    script.hold = true;
    kaio_sim_play(&script);
    kaio_queue_options options = {};
    options.depth = 4;
    options.never_ring = true;
    options.eventfd = true;
    kaio_queue *queue = nullptr;
    TempFile temp(Pattern(512));
    kaio_file *file = OpenFile(temp.path());
    int event_fd = -1;
    ASSERT_OK(kaio_queue_open(&options, &queue));
    ASSERT_OK(kaio_queue_as_fd(queue, &event_fd));
    for (uint64_t user = 1; user <= 2; ++user) {
        kaio_buffer *buffer = NewBuffer(512);
        kaio_ticket ticket = {};
        ASSERT_OK(
            kaio_read_start(queue, file, Range(0, 512), kaio_rw_none(), user, &buffer, &ticket));
    }
    kaio_flush_report report = {};
    ASSERT_OK(kaio_queue_flush(queue, &report));
    script.missed_count = 1;
    kaio_sim_play(&script);
    const auto is_readable = [event_fd] {
        pollfd polled = {event_fd, POLLIN, 0};
        return poll(&polled, 1, 0) == 1;
    };
    kaio_completion completion = {};

    for (uint64_t user = 1; user <= 2; ++user) {
        EXPECT_OK(kaio_queue_take(queue, &completion));
        EXPECT_EQ(completion.user, user);
        EXPECT_TRUE(is_readable()) << "until EMPTY";
        kaio_completion_drop(&completion);
    }

    EXPECT_CODE(KAIO_EMPTY, kaio_queue_take(queue, &completion));
    EXPECT_FALSE(is_readable());
    script = {};
    kaio_sim_play(&script);
    EXPECT_OK(kaio_queue_close(&queue));
    EXPECT_OK(kaio_file_close(&file));
}

class SetupTest : public SafeTest {
  protected:
    ~SetupTest() override {
        const kaio_sim_script none = {};
        kaio_sim_play(&none);
    }

    kaio_status OpenWith(int error) {
        kaio_sim_script script = {};
        script.setup_error_count = 1;
        script.setup_error = error;
        kaio_sim_play(&script);
        kaio_queue_options options = {};
        options.depth = 4;
        kaio_queue *queue = nullptr;
        const kaio_status status = kaio_queue_open(&options, &queue);
        EXPECT_EQ(queue, nullptr);
        return status;
    }
};

TEST_F(SetupTest, AKernelWithoutAioIsReportedAsItIs) {
    for (int error : {ENOSYS, EPERM, ENOMEM}) {
        const kaio_status status = OpenWith(error);
        EXPECT_CODE(KAIO_OS_ERROR, status);
        EXPECT_EQ(status.os_error, error);
    }
}

TEST_F(SetupTest, AFullSystemIsALimit) {
    EXPECT_CODE(KAIO_LIMIT, OpenWith(EAGAIN));
}

// A handler that interrupted a call may drop a queue; releasing buffers takes a lock that the call
// may hold, and free(3).
TEST_F(SimTest, AQueueDroppedInsideACallReleasesNoBuffersOfTheThread) {
    kaio_buffer *buffer = NewBuffer(512);
    kaio_buffer *alias = buffer;
    StartRead(file_, 0, &buffer);
    buffer = WaitAndTake().buffer;  // bound to this thread
    std::thread([&] { kaio_buffer_drop(&alias); }).join();
    ASSERT_EQ(kaio_testing_count().buffer_count, 1u) << "left for this thread";
    uint32_t inside_count = 0;
    kaio_sim_watch(
        [](void *context, const kaio_sim_note *) {
            kaio_queue *none = nullptr;
            kaio_queue_drop(&none);
            *static_cast<uint32_t *>(context) = kaio_testing_count().buffer_count;
        },
        &inside_count);
    kaio_ticket ticket = {};
    ASSERT_OK(K(kaio_sync_start(queue_, file_, KAIO_SYNC_DATA, 0, &ticket)));

    EXPECT_EQ(Flush().accepted_count, 1u);

    kaio_sim_watch(nullptr, nullptr);
    EXPECT_EQ(inside_count, 1u);
    kaio_queue *none = nullptr;
    kaio_queue_drop(&none);
    EXPECT_EQ(kaio_testing_count().buffer_count, 0u) << "outside it does";
    Wait(1);
    Take();
}

// What is in bytes that are not the caller's; AddressSanitizer would forbid the look.
__attribute__((no_sanitize_address)) std::string UncheckedText(const uint8_t *bytes,
                                                               size_t size_bytes) {
    std::string text(size_bytes, '\0');
    for (size_t i = 0; i < size_bytes; ++i) {
        const volatile uint8_t *byte = &bytes[i];
        text[i] = static_cast<char>(*byte);
    }
    return text;
}

// The simulated kernel keeps what it cannot be stopped from doing: the test completes it
// afterwards, into memory that must still be there.
TEST(LeakTest, BuffersThatTheKernelMayStillWriteToAreKept) {
    TempFile temp(Pattern(512));
    kaio_file *file = OpenFile(temp.path());
    kaio_queue_options options = {};
    options.depth = 2;
    kaio_queue *queue = nullptr;
    ASSERT_OK(kaio_queue_open(&options, &queue));
    kaio_buffer *buffer = NewBuffer(512);
    const uint8_t *bytes = kaio_buffer_as_bytes(buffer);
    kaio_sim_script script = {};
    script.hold = true;
    script.destroy_fails = true;
    script.getevents_error_count = UINT32_MAX;
    script.getevents_error = EINVAL;
    kaio_sim_play(&script);
    kaio_ticket ticket = {};
    ASSERT_OK(kaio_read_start(queue, file, Range(0, 512), kaio_rw_none(), 0, &buffer, &ticket));
    kaio_flush_report flushed = {};
    ASSERT_OK(kaio_queue_flush(queue, &flushed));
    int lost = 0;
    kaio_destroy_report report = {};

    ASSERT_OK(kaio_queue_destroy(
        &queue, [](void *context, kaio_completion *) { ++*static_cast<int *>(context); }, &lost,
        &report));

    EXPECT_EQ(lost, 0);
    EXPECT_EQ(report.leaked_count, 1u);
    EXPECT_EQ(report.dropped_count, 0u);
    EXPECT_EQ(kaio_sim_complete(1), 1u);
    EXPECT_EQ(UncheckedText(bytes, 512), Pattern(512));
    const kaio_sim_script none = {};
    kaio_sim_play(&none);
    kaio_file_drop(&file);
}

TEST(LeakTest, ASyncThatTheKernelMayStillHaveHasNothingToLeak) {
    TempFile temp;
    kaio_file *file = OpenFile(temp.path());
    kaio_queue_options options = {};
    options.depth = 2;  // and no segments
    kaio_queue *queue = nullptr;
    ASSERT_OK(kaio_queue_open(&options, &queue));
    kaio_sim_script script = {};
    script.hold = true;
    script.destroy_fails = true;
    script.getevents_error_count = UINT32_MAX;
    script.getevents_error = EINVAL;
    kaio_sim_play(&script);
    kaio_ticket ticket = {};
    ASSERT_OK(kaio_sync_start(queue, file, KAIO_SYNC_DATA, 0, &ticket));
    kaio_flush_report flushed = {};
    ASSERT_OK(kaio_queue_flush(queue, &flushed));
    kaio_destroy_report report = {};

    ASSERT_OK(kaio_queue_destroy(&queue, nullptr, nullptr, &report));

    EXPECT_EQ(report.leaked_count, 0u);
    EXPECT_EQ(report.dropped_count, 0u);
    EXPECT_EQ(kaio_sim_complete(1), 1u);
    const kaio_sim_script none = {};
    kaio_sim_play(&none);
    kaio_file_drop(&file);
}

}  // namespace
}  // namespace kaio_test
