// Waits under a signal mask.

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <thread>

#include "kaio/safe/poll.h"
#include "kaio/safe/queue.h"
#include "kaio/safe/signals.h"
#include "tests/support/safe_test.h"

namespace kaio_test {
namespace {

std::atomic<int> handled_count;

void OnSignal(int) {
    ++handled_count;
}

// SIGUSR1 and SIGALRM have a handler and are blocked but inside a masked wait.
class MaskTest : public QueueTest {
  protected:
    void SetUp() override {
        QueueTest::SetUp();
        file_ = OpenFile("/dev/zero");
        ASSERT_EQ(pipe2(fds_, O_CLOEXEC), 0);
        ASSERT_OK(kaio_file_borrow(fds_[0], &reader_));
        struct sigaction action = {};
        action.sa_handler = OnSignal;
        ASSERT_EQ(sigaction(SIGUSR1, &action, nullptr), 0);
        ASSERT_EQ(sigaction(SIGALRM, &action, nullptr), 0);
        sigset_t blocked;
        sigemptyset(&blocked);
        sigaddset(&blocked, SIGUSR1);
        sigaddset(&blocked, SIGALRM);
        ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &blocked, &old_mask_), 0);
        handled_count = 0;
        errno = kErrno;
    }

    void TearDown() override {
        EXPECT_EQ(errno, kErrno) << "errno was touched";
        sigset_t mask;
        EXPECT_EQ(pthread_sigmask(SIG_SETMASK, nullptr, &mask), 0);
        EXPECT_EQ(sigismember(&mask, SIGUSR1), 1) << "the mask is the old one again";
        EXPECT_EQ(sigismember(&mask, SIGALRM), 1);
        pthread_sigmask(SIG_SETMASK, &old_mask_, nullptr);
        signal(SIGUSR1, SIG_DFL);
        signal(SIGALRM, SIG_DFL);
        QueueTest::TearDown();
        kaio_file_drop(&file_);
        kaio_file_drop(&reader_);
        close(fds_[0]);
        close(fds_[1]);
    }

    void StartPoll() {
        kaio_ticket ticket = {};
        EXPECT_OK(K(kaio_poll_start(queue_, reader_, kaio_poll_readable(), 1, &ticket)));
    }

    kaio_status WaitMasked(uint32_t min_count, kaio_signals blocked, kaio_deadline deadline) {
        ready_ = kUntouched;
        const kaio_status status =
            K(kaio_queue_wait_masked(queue_, min_count, deadline, blocked, &ready_));
        EXPECT_EQ(ready_ == kUntouched, !kaio_status_is_ok(status));
        return status;
    }

    static kaio_deadline Soon() {
        return kaio_deadline_after_ns(20000000);
    }

    static kaio_deadline Late() {
        return kaio_deadline_after_ns(10000000000);
    }

    static void SetTimer(int first_us) {
        itimerval timer = {};
        timer.it_value.tv_usec = first_us;
        ASSERT_EQ(setitimer(ITIMER_REAL, &timer, nullptr), 0);
    }

    static constexpr uint32_t kUntouched = 777;
    uint32_t ready_ = kUntouched;
    kaio_file *file_ = nullptr;
    kaio_file *reader_ = nullptr;
    int fds_[2] = {-1, -1};
    sigset_t old_mask_ = {};
};

TEST_F(MaskTest, APendingSignalThatIsLetInEndsTheWait) {
    StartPoll();
    raise(SIGUSR1);
    EXPECT_EQ(handled_count, 0);

    EXPECT_CODE(KAIO_INTERRUPTED, WaitMasked(1, kaio_signals_none(), Late()));

    EXPECT_EQ(handled_count, 1);
    EXPECT_EQ(Counts().in_flight_count, 1u) << "nothing is lost";
    EXPECT_CODE(KAIO_TIMED_OUT, WaitMasked(1, kaio_signals_none(), Soon())) << "it was let in once";
}

TEST_F(MaskTest, ASignalThatStaysBlockedDoesNotEndTheWait) {
    StartPoll();
    raise(SIGUSR1);

    EXPECT_CODE(KAIO_TIMED_OUT,
                WaitMasked(1, kaio_signals_add(kaio_signals_none(), SIGUSR1), Soon()));
    EXPECT_CODE(KAIO_TIMED_OUT, WaitMasked(1, kaio_signals_all(), Soon()));
    EXPECT_EQ(handled_count, 0);

    EXPECT_CODE(KAIO_INTERRUPTED,
                WaitMasked(1, kaio_signals_remove(kaio_signals_all(), SIGUSR1), Late()));
    EXPECT_EQ(handled_count, 1);
}

TEST_F(MaskTest, ASignalThatComesWhileTheWaitSleepsEndsIt) {
    StartPoll();
    SetTimer(20000);

    EXPECT_CODE(KAIO_INTERRUPTED, WaitMasked(1, kaio_signals_none(), Late()));

    EXPECT_EQ(handled_count, 1);
}

TEST_F(MaskTest, AWaitForMoreIsInterruptedAlsoWhenSomeAreReady) {
    StartPoll();
    kaio_buffer *buffer = NewBuffer(8, 8);
    StartRead(file_, 0, &buffer, 2);
    SetTimer(20000);

    EXPECT_CODE(KAIO_INTERRUPTED, WaitMasked(2, kaio_signals_none(), Late()));

    EXPECT_EQ(handled_count, 1);
    kaio_completion completion = Take();
    EXPECT_EQ(completion.user, 2u);
    kaio_completion_drop(&completion);
}

// One of the two comes while the wait sleeps, and then the signal: the kernel answers 1.
TEST_F(MaskTest, AWaitForMoreIsInterruptedAlsoWhenSomeCameInTheSleep) {
    int fds[2] = {-1, -1};
    ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
    kaio_file *other = nullptr;
    ASSERT_OK(kaio_file_borrow(fds[0], &other));
    kaio_ticket ticket = {};
    StartPoll();
    EXPECT_OK(K(kaio_poll_start(queue_, other, kaio_poll_readable(), 2, &ticket)));
    const pthread_t self = pthread_self();
    std::thread sender([&] {
        usleep(20000);
        EXPECT_EQ(write(fds[1], "x", 1), 1);
        usleep(20000);
        pthread_kill(self, SIGUSR1);
    });

    EXPECT_CODE(KAIO_INTERRUPTED, WaitMasked(2, kaio_signals_none(), Late()));

    sender.join();
    EXPECT_EQ(handled_count, 1);
    EXPECT_EQ(WaitAndTake().user, 2u);
    kaio_file_drop(&other);
    close(fds[0]);
    close(fds[1]);
}

TEST_F(MaskTest, WhatIsPendingIsLetInAlsoWhenEnoughIsReady) {
    kaio_buffer *buffer = NewBuffer(8, 8);
    StartRead(file_, 0, &buffer, 2);
    EXPECT_EQ(Wait(1), 1u);
    raise(SIGUSR1);

    EXPECT_OK(WaitMasked(1, kaio_signals_none(), Late()));

    EXPECT_EQ(ready_, 1u);
    EXPECT_EQ(handled_count, 1);
    kaio_completion completion = Take();
    kaio_completion_drop(&completion);
}

TEST_F(MaskTest, WhatIsPendingIsLetInAlsoWhenNothingIsOwedOrTheTimeIsOver) {
    raise(SIGUSR1);
    EXPECT_CODE(KAIO_INTERRUPTED, WaitMasked(1, kaio_signals_none(), Late()));
    EXPECT_EQ(handled_count, 1);
    EXPECT_CODE(KAIO_NOTHING_TO_WAIT_FOR, WaitMasked(1, kaio_signals_none(), Late()));
    StartPoll();
    raise(SIGUSR1);

    EXPECT_CODE(KAIO_INTERRUPTED, WaitMasked(1, kaio_signals_none(), kaio_deadline_now()));

    EXPECT_EQ(handled_count, 2);
    EXPECT_CODE(KAIO_TIMED_OUT, WaitMasked(1, kaio_signals_none(), kaio_deadline_at_ns(-5)));
    EXPECT_OK(WaitMasked(0, kaio_signals_none(), kaio_deadline_now()));
    EXPECT_EQ(ready_, 0u);
}

TEST_F(MaskTest, OutcomesEndTheWait) {
    for (int i = 0; i < 3; ++i) {
        kaio_buffer *buffer = NewBuffer(8, 8);
        StartRead(file_, 0, &buffer, 2);
    }

    EXPECT_OK(WaitMasked(100, kaio_signals_none(), Late())) << "cut to what is owed";

    EXPECT_EQ(ready_, 3u);
    for (int i = 0; i < 3; ++i) {
        kaio_completion completion = Take();
        kaio_completion_drop(&completion);
    }
}

TEST_F(MaskTest, TheDeadlineIsKeptWhenTheSleepIsCut) {
    StartPoll();
    const int64_t begin_ns = kaio_deadline_after_ns(1).at_ns;

    EXPECT_CODE(KAIO_TIMED_OUT,
                WaitMasked(1, kaio_signals_none(), kaio_deadline_after_ns(250000000)));

    EXPECT_GE(kaio_deadline_after_ns(1).at_ns - begin_ns, 250000000);
}

TEST(SignalsTest, ASetHasWhatWasAdded) {
    const kaio_signals none = kaio_signals_none();
    const kaio_signals two = kaio_signals_add(kaio_signals_add(none, 1), 65);

    EXPECT_EQ(two.bits[0], 1u);
    EXPECT_EQ(two.bits[1], 1u);
    EXPECT_EQ(kaio_signals_add(none, 64).bits[0], uint64_t{1} << 63);
    EXPECT_EQ(kaio_signals_remove(kaio_signals_all(), 128).bits[1], UINT64_MAX >> 1);
    EXPECT_EQ(kaio_signals_remove(two, 65).bits[1], 0u);
}

TEST(SignalsTest, NumbersThatAreNoSignalChangeNothing) {
    for (const int number : {0, -1, INT32_MIN, 129, INT32_MAX}) {
        EXPECT_EQ(kaio_signals_add(kaio_signals_none(), number).bits[0], 0u);
        EXPECT_EQ(kaio_signals_add(kaio_signals_none(), number).bits[1], 0u);
        EXPECT_EQ(kaio_signals_remove(kaio_signals_all(), number).bits[0], UINT64_MAX);
        EXPECT_EQ(kaio_signals_remove(kaio_signals_all(), number).bits[1], UINT64_MAX);
    }
}

}  // namespace
}  // namespace kaio_test
