// The run loop, the spin and the chunks on a kernel that misbehaves on request.

#include <fcntl.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <functional>
#include <vector>

#include "kaio/safe/queue.h"
#include "kaio/safe/run.h"
#include "kaio/safe/sim/sim.h"
#include "tests/support/safe_test.h"

namespace kaio_test {
namespace {

constexpr uint32_t kSizeBytes = 512;

// What a run's handlers do; they may be called from C.
struct Loop {
    std::function<void(kaio_read_result *)> on_read;
    std::function<kaio_turn()> on_turn;
};

kaio_handlers HandlersOf(const Loop &loop) {
    kaio_handlers handlers = {};
    handlers.on_read = [](void *context, uint64_t, kaio_read_result *result) {
        const Loop *with = static_cast<const Loop *>(context);
        if (with->on_read) {
            with->on_read(result);
        }
    };
    if (loop.on_turn) {
        handlers.on_turn = [](void *context) {
            return static_cast<const Loop *>(context)->on_turn();
        };
    }
    return handlers;
}

// The timer's handler: async-signal-safe, or safe where the run then is.
kaio_queue *signalled_queue;
bool signal_wakes;
bool signal_completes;

void OnSignal(int) {
    const int before = errno;
    if (signal_wakes) {
        kaio_queue_wake(signalled_queue);
    }
    if (signal_completes) {
        kaio_sim_complete(1);
    }
    errno = before;
}

class RunSimTest : public QueueTest {
  protected:
    void SetUp() override {
        Play({});
        QueueTest::SetUp();
        Play({});
        file_ = OpenFile("/dev/zero");
        ASSERT_EQ(pipe2(fds_, O_CLOEXEC), 0);
        ASSERT_OK(kaio_file_borrow(fds_[0], &reader_));
        struct sigaction action = {};
        action.sa_handler = OnSignal;
        ASSERT_EQ(sigaction(SIGALRM, &action, nullptr), 0);
        signalled_queue = queue_;
        signal_wakes = signal_completes = false;
    }

    void TearDown() override {
        SetTimer(0);
        signal(SIGALRM, SIG_DFL);
        Play({});
        QueueTest::TearDown();
        kaio_file_drop(&file_);
        kaio_file_drop(&reader_);
        close(fds_[0]);
        close(fds_[1]);
    }

    static void Play(const kaio_sim_script &script) {
        kaio_sim_play(&script);
    }

    static void SetTimer(int interval_us) {
        itimerval timer = {};
        timer.it_value.tv_usec = interval_us;
        timer.it_interval.tv_usec = interval_us;
        ASSERT_EQ(setitimer(ITIMER_REAL, &timer, nullptr), 0);
    }

    void StartReads(uint32_t count) {
        for (uint32_t i = 0; i < count; ++i) {
            kaio_buffer *buffer = NewBuffer(kSizeBytes);
            StartRead(file_, 0, &buffer, i);
        }
    }

    void StartPoll() {
        kaio_ticket ticket = {};
        EXPECT_OK(K(kaio_poll_start(queue_, reader_, kaio_poll_readable(), 9, &ticket)));
    }

    // Again starts as many reads as it was called with.
    void KeepDepth(uint64_t operations) {
        left_ = operations;
        loop_.on_read = [this](kaio_read_result *result) {
            kaio_ticket ticket = {};
            if (left_ > 0) {
                --left_;
                ASSERT_OK(kaio_read_start(queue_, file_, result->range, kaio_rw_none(), 1,
                                          &result->buffer, &ticket));
            }
        };
    }

    kaio_status TryRun(kaio_run_report *out_report,
                       kaio_deadline deadline = kaio_deadline_after_ns(10000000000)) {
        const kaio_handlers handlers = HandlersOf(loop_);
        return K(kaio_queue_run(queue_, &handlers, &loop_, deadline, out_report));
    }

    kaio_run_report Run(kaio_deadline deadline = kaio_deadline_after_ns(10000000000)) {
        kaio_run_report report = {};
        EXPECT_OK(TryRun(&report, deadline));
        return report;
    }

    kaio_file *file_ = nullptr;
    kaio_file *reader_ = nullptr;
    int fds_[2] = {-1, -1};
    Loop loop_;
    uint64_t left_ = 0;
};

TEST_F(RunSimTest, ABatchThatCompletesAtOnceIsOneSystemCall) {
    StartReads(kDepth);
    KeepDepth(99 * kDepth);

    EXPECT_EQ(Run().completed_count, 100 * kDepth);

    const kaio_sim_calls calls = kaio_sim_call_counts();
    EXPECT_EQ(calls.submit_count, 100u);
    EXPECT_EQ(calls.getevents_count, 0u);
}

TEST_F(RunSimTest, ABatchThatDoesNotIsTwoAndTheWakeIsArmedOnce) {
    kaio_sim_script script = {};
    script.hold = true;
    Play(script);
    StartReads(1);
    KeepDepth(99);

    EXPECT_EQ(Run().completed_count, 100u);

    const kaio_sim_calls calls = kaio_sim_call_counts();
    EXPECT_EQ(calls.submit_count, 101u);
    EXPECT_EQ(calls.getevents_count, 100u);
}

TEST_F(RunSimTest, AgainEndsARunOnlyWhenNothingIsInFlight) {
    StartReads(2);
    kaio_sim_script script = {};
    script.submit_error_count = UINT32_MAX;
    script.submit_error = ENOMEM;
    Play(script);

    const kaio_run_report report = Run(kaio_deadline_never());

    EXPECT_EQ(report.ended, KAIO_RUN_AGAIN);
    EXPECT_EQ(report.os_error, ENOMEM);
    EXPECT_EQ(kaio_sim_call_counts().submit_count, 1u) << "no spinning";
    EXPECT_EQ(Counts().staged_count, 2u);
    Play({});
    EXPECT_EQ(Run().completed_count, 2u);
}

TEST_F(RunSimTest, AShortageWithSomethingInFlightIsWaitedOut) {
    kaio_sim_script script = {};
    script.hold = true;
    script.submit_limit = 3;
    script.submit_error_after = 1;
    script.submit_error_count = 2;  // the second call of the batch, and the arming of the wake
    script.submit_error = EAGAIN;
    Play(script);
    StartReads(kDepth);

    EXPECT_EQ(Run().completed_count, kDepth);

    EXPECT_LE(kaio_sim_call_counts().submit_count, 8u) << "no spinning";
}

TEST_F(RunSimTest, AShortageBehindProgressIsTriedAgain) {
    StartReads(1);
    KeepDepth(3);
    kaio_sim_script script = {};
    script.submit_error_after = 1;
    script.submit_error_count = 1;
    script.submit_error = EAGAIN;
    Play(script);

    // The first read ends; the second meets the shortage, with nothing in flight and nothing done.
    EXPECT_EQ(Run().ended, KAIO_RUN_AGAIN);
    EXPECT_EQ(Run().ended, KAIO_RUN_IDLE);
}

TEST_F(RunSimTest, ARunSurvivesAnInterruptStorm) {
    kaio_sim_script script = {};
    script.hold = true;
    script.getevents_error_count = 1000;
    script.getevents_error = EINTR;
    Play(script);
    StartReads(kDepth);

    EXPECT_EQ(Run().completed_count, kDepth);

    EXPECT_GT(kaio_sim_call_counts().getevents_count, 1000u);
}

TEST_F(RunSimTest, ARunThatCannotWaitAnswersAndLosesNothing) {
    kaio_sim_script script = {};
    script.hold = true;
    script.getevents_error_count = 1;
    script.getevents_error = EFAULT;
    Play(script);
    StartReads(3);
    kaio_run_report report = {};

    const kaio_status status = TryRun(&report);

    EXPECT_CODE(KAIO_OS_ERROR, status);
    EXPECT_EQ(status.os_error, EFAULT);
    EXPECT_EQ(report.ended, 0);
    EXPECT_EQ(Counts().in_flight_count, 3u);
    EXPECT_EQ(Run().completed_count, 3u) << "it may be tried again";
}

TEST_F(RunSimTest, ADoubledEventIsHandedOutOnce) {
    kaio_sim_script script = {};
    script.duplicate_count = UINT32_MAX;
    Play(script);
    StartReads(4);

    EXPECT_EQ(Run().completed_count, 4u);

    EXPECT_EQ(Counters().duplicate_count, 4u);
}

// ---- waking ----

TEST_F(RunSimTest, AHandlerOfASignalWakesARunThatSleeps) {
    kaio_sim_script script = {};
    script.late = true;
    Play(script);
    StartPoll();
    signal_wakes = true;
    SetTimer(20000);

    EXPECT_EQ(Run().ended, KAIO_RUN_WOKEN);
}

// The kernel has no room for the poll of the queue's own: the run sleeps in slices.
TEST_F(RunSimTest, AWakeThatCannotBeArmedIsNoticedAllTheSame) {
    kaio_sim_script script = {};
    script.late = true;
    script.submit_error_after = 1;
    script.submit_error_count = UINT32_MAX;
    script.submit_error = EAGAIN;
    Play(script);
    StartPoll();
    uint32_t turn_count = 0;
    loop_.on_turn = [&] {
        if (++turn_count == 3) {
            kaio_queue_wake(queue_);
        }
        return KAIO_TURN_CONTINUE;
    };

    EXPECT_EQ(Run(kaio_deadline_never()).ended, KAIO_RUN_WOKEN);

    EXPECT_EQ(kaio_sim_call_counts().getevents_count, 2u) << "it slept, and not for ever";
    EXPECT_EQ(Counts().in_flight_count, 1u);
}

TEST_F(RunSimTest, TheQueuesOwnPollIsNoneOfTheDepth) {
    kaio_sim_script script = {};
    script.late = true;
    Play(script);
    StartReads(kDepth - 1);
    StartPoll();

    EXPECT_EQ(Run(kaio_deadline_after_ns(1000000)).ended, KAIO_RUN_DEADLINE);

    EXPECT_EQ(Counts().in_flight_count, kDepth);
    EXPECT_EQ(kaio_sim_complete(UINT32_MAX), kDepth - 1) << "not the two polls";
}

// ---- options ----

class ChunkTest : public RunSimTest {
  protected:
    kaio_queue_options Options() const override {
        kaio_queue_options options = RunSimTest::Options();
        options.chunk_count = 3;
        return options;
    }
};

TEST_F(ChunkTest, ACallSendsNoMoreThanAChunk) {
    StartReads(kDepth);

    EXPECT_EQ(Flush().accepted_count, kDepth);

    EXPECT_EQ(kaio_sim_call_counts().submit_count, 3u);  // 3 + 3 + 2
    EXPECT_EQ(Wait(kDepth), kDepth);
}

TEST_F(ChunkTest, ARunSendsInChunksToo) {
    StartReads(kDepth);

    EXPECT_EQ(Run().completed_count, kDepth);

    EXPECT_EQ(kaio_sim_call_counts().submit_count, 3u);
}

class SpinTest : public RunSimTest {
  protected:
    kaio_queue_options Options() const override {
        kaio_queue_options options = RunSimTest::Options();
        options.spin_ns = KAIO_QUEUE_SPIN_NS_MAX;
        return options;
    }

    // An event comes into the ring while somebody looks at it, and nobody enters the kernel.
    void CompleteInSpin() {
        kaio_sim_script script = {};
        script.late = true;
        Play(script);
        StartReads(1);
        signal_completes = true;
        SetTimer(300);
    }
};

TEST_F(SpinTest, AWaitThatSpinsNeedsNoCallForWhatComesSoon) {
    for (int i = 0; i < 50; ++i) {
        CompleteInSpin();
        EXPECT_EQ(Wait(1), 1u);
        SetTimer(0);
        kaio_completion completion = Take();
        kaio_completion_drop(&completion);
        if (kaio_sim_call_counts().getevents_count == 0) {
            return;
        }
    }
    ADD_FAILURE() << "no wait out of 50 found the event without a call";
}

TEST_F(SpinTest, ARunThatSpinsNeedsNoCallForWhatComesSoon) {
    for (int i = 0; i < 50; ++i) {
        CompleteInSpin();
        EXPECT_EQ(Run().ended, KAIO_RUN_IDLE);
        SetTimer(0);
        const kaio_sim_calls calls = kaio_sim_call_counts();
        if (calls.getevents_count == 0) {
            EXPECT_EQ(calls.submit_count, 1u) << "nor was the wake armed";
            return;
        }
    }
    ADD_FAILURE() << "no run out of 50 found the event without a call";
}

TEST_F(SpinTest, ASpinIsBounded) {
    kaio_sim_script script = {};
    script.late = true;
    Play(script);
    StartReads(1);
    uint32_t ready = 0;

    EXPECT_CODE(KAIO_TIMED_OUT,
                K(kaio_queue_wait(queue_, 1, kaio_deadline_after_ns(50000000), &ready)));

    EXPECT_GE(kaio_sim_call_counts().getevents_count, 1u) << "it blocked";
    EXPECT_EQ(kaio_sim_complete(1), 1u);
}

TEST_F(SpinTest, AWakeEndsASpin) {
    kaio_sim_script script = {};
    script.late = true;
    Play(script);
    StartPoll();
    signal_wakes = true;
    for (int i = 0; i < 50; ++i) {
        SetTimer(300);
        EXPECT_EQ(Run().ended, KAIO_RUN_WOKEN);
        SetTimer(0);
    }
}

TEST_F(RunSimTest, ALongerSpinThanTheLimitIsRefused) {
    kaio_queue_options options = Options();
    options.spin_ns = KAIO_QUEUE_SPIN_NS_MAX + 1;
    kaio_queue *queue = nullptr;

    const kaio_status status = kaio_queue_open(&options, &queue);

    EXPECT_CODE(KAIO_RANGE, status);
    EXPECT_EQ(status.subject, KAIO_SUBJECT_OPTIONS);
    EXPECT_EQ(status.detail, (KAIO_QUEUE_SPIN_NS_MAX + 1) | uint64_t{KAIO_QUEUE_SPIN_NS_MAX} << 32);
    EXPECT_EQ(queue, nullptr);
}

// ---- masked waits, and ends side by side ----

TEST_F(RunSimTest, WithoutTheCallAMaskedWaitDoesNothing) {
    kaio_sim_script script = {};
    script.no_pgetevents = true;
    Play(script);
    StartReads(2);
    uint32_t ready = 777;

    const kaio_status status =
        K(kaio_queue_wait_masked(queue_, 1, kaio_deadline_never(), kaio_signals_none(), &ready));

    EXPECT_CODE(KAIO_UNSUPPORTED, status);
    EXPECT_EQ(status.os_error, ENOSYS);
    EXPECT_EQ(ready, 777u);
    EXPECT_EQ(Counts().staged_count, 2u) << "not even sent";
    EXPECT_EQ(kaio_sim_call_counts().submit_count, 0u);
    EXPECT_EQ(Text(status), "unsupported (queue): Function not implemented (errno 38)");
}

TEST_F(RunSimTest, AMaskedWaitAsksTheKernelOnceWhetherItCan) {
    for (int i = 0; i < 3; ++i) {
        StartReads(1);
        uint32_t ready = 0;
        EXPECT_OK(K(
            kaio_queue_wait_masked(queue_, 1, kaio_deadline_never(), kaio_signals_none(), &ready)));
        kaio_completion completion = Take();
        kaio_completion_drop(&completion);
    }

    EXPECT_EQ(kaio_sim_call_counts().pgetevents_count, 4u) << "and once in each wait";
}

TEST_F(RunSimTest, QueuesThatEndTogetherAreInTheKernelTogether) {
    constexpr uint32_t kQueueCount = 6;
    const kaio_queue_options options = Options();
    std::vector<kaio_queue *> queues(kQueueCount);
    for (kaio_queue *&queue : queues) {
        ASSERT_OK(kaio_queue_open(&options, &queue));
    }
    kaio_sim_script script = {};
    script.destroy_meets = kQueueCount;
    Play(script);
    kaio_destroy_report report = {};

    EXPECT_OK(kaio_queue_destroy_all(queues.data(), kQueueCount, nullptr, nullptr, &report));

    EXPECT_EQ(kaio_sim_call_counts().destroy_met_count, kQueueCount);
    EXPECT_EQ(kaio_sim_call_counts().destroy_count, kQueueCount);
}

TEST_F(RunSimTest, BuffersOfContextsThatDoNotEndAreLeakedByAllTogether) {
    const kaio_queue_options options = Options();
    std::vector<kaio_queue *> queues(2);
    for (kaio_queue *&queue : queues) {
        ASSERT_OK(kaio_queue_open(&options, &queue));
    }
    kaio_sim_script script = {};
    script.destroy_fails = true;
    Play(script);
    kaio_destroy_report report = {};

    EXPECT_OK(kaio_queue_destroy_all(queues.data(), 2, nullptr, nullptr, &report));

    EXPECT_EQ(report.leaked_count, 0u) << "nothing was in flight: nothing is leaked";
}

}  // namespace
}  // namespace kaio_test
