// Signals that interrupt a wait again and again: it yields what was asked for, each outcome once.

#include <fcntl.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "kaio/safe/kaio.h"
#include "kaio/safe/testing.h"
#include "tests/support/safe_test.h"

namespace {

using namespace kaio_test;

std::atomic<uint32_t> signal_count{0};

void CountSignal(int) {
    ++signal_count;
}

// A timer interrupts the test's thread every 100 us, without SA_RESTART. One thread lives beside it
// and makes pipes readable; signals are blocked there.
class EintrTest : public QueueTest {
  protected:
    void SetUp() override {
        QueueTest::SetUp();
        for (int(&fds)[2] : pipes_) {
            ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
            files_.push_back(nullptr);
            ASSERT_OK(kaio_file_adopt(fds[0], &files_.back()));
        }
        struct sigaction action = {};
        action.sa_handler = CountSignal;
        ASSERT_EQ(sigaction(SIGALRM, &action, &old_action_), 0);
        signal_count = 0;
    }

    void TearDown() override {
        SetTimer(0);
        sigaction(SIGALRM, &old_action_, nullptr);
        EXPECT_EQ(Counts().free_count, kDepth);
        EXPECT_EQ(Counters().duplicate_count, 0u);
        for (uint32_t i = 0; i < kDepth; ++i) {
            EXPECT_OK(kaio_file_close(&files_[i]));
            close(pipes_[i][1]);
        }
        errno = kErrno;
        QueueTest::TearDown();
    }

    static void SetTimer(int every_us) {
        itimerval timer = {};
        timer.it_interval.tv_usec = every_us;
        timer.it_value.tv_usec = every_us;
        ASSERT_EQ(setitimer(ITIMER_REAL, &timer, nullptr), 0);
    }

    void StartPolls(uint64_t first_word) {
        for (uint32_t i = 0; i < kDepth; ++i) {
            kaio_ticket ticket = {};
            ASSERT_OK(K(
                kaio_poll_start(queue_, files_[i], kaio_poll_readable(), first_word + i, &ticket)));
        }
        ASSERT_EQ(Flush().accepted_count, kDepth);
    }

    // A thread that makes one pipe after the other readable, `pause_us` apart.
    std::thread Writer(int pause_us) {
        sigset_t all;
        sigset_t old;
        sigfillset(&all);
        pthread_sigmask(SIG_BLOCK, &all, &old);
        std::thread writer([this, pause_us] {
            for (int(&fds)[2] : pipes_) {
                usleep(static_cast<useconds_t>(pause_us));
                EXPECT_EQ(write(fds[1], "x", 1), 1);
            }
        });
        pthread_sigmask(SIG_SETMASK, &old, nullptr);
        return writer;
    }

    void EmptyPipe(uint32_t index) {
        char byte = 0;
        EXPECT_EQ(read(pipes_[index][0], &byte, 1), 1);
    }

    int pipes_[kDepth][2];
    std::vector<kaio_file *> files_;
    struct sigaction old_action_ = {};
};

TEST_F(EintrTest, AWaitInAStormYieldsItsMinimumAndEachOutcomeOnce) {
    constexpr int kRounds = 50;
    std::vector<int> seen(kRounds * kDepth);
    for (int round = 0; round < kRounds && !HasFailure(); ++round) {
        StartPolls(static_cast<uint64_t>(round) * kDepth);
        std::thread writer = Writer(1000);
        SetTimer(100);
        uint32_t taken = 0;
        while (taken < kDepth && !HasFailure()) {
            const uint32_t min_count = taken == 0 ? 3 : kDepth;
            uint32_t ready = 0;
            EXPECT_OK(K(kaio_queue_wait(queue_, min_count, kaio_deadline_never(), &ready)));
            EXPECT_GE(ready, std::min(min_count, kDepth - taken));
            for (; ready > 0; --ready, ++taken) {
                const kaio_completion completion = Take();
                EXPECT_EQ(completion.poll, KAIO_POLL_READY) << Text(completion);
                ASSERT_LT(completion.user, seen.size());
                ++seen[completion.user];
                EmptyPipe(static_cast<uint32_t>(completion.user % kDepth));
            }
        }
        SetTimer(0);
        writer.join();
        EXPECT_EQ(taken, kDepth);
        ExpectEmpty();
    }

    EXPECT_GT(signal_count, 1000u) << "no storm";
    for (const int count : seen) {
        EXPECT_EQ(count, 1);
    }
}

TEST_F(EintrTest, ADeadlineIsKeptInAStorm) {
    constexpr int64_t kWaitNs = 200000000;
    StartPolls(0);
    SetTimer(100);
    uint32_t ready = 0;
    const int64_t before = kaio_deadline_after_ns(1).at_ns;

    EXPECT_CODE(KAIO_TIMED_OUT,
                K(kaio_queue_wait(queue_, 1, kaio_deadline_after_ns(kWaitNs), &ready)));

    const int64_t waited_ns = kaio_deadline_after_ns(1).at_ns - before;
    SetTimer(0);
    EXPECT_GE(waited_ns, kWaitNs);
    EXPECT_LT(waited_ns, 20 * kWaitNs);
    EXPECT_GT(signal_count, 100u) << "no storm";
    EXPECT_EQ(Counts().in_flight_count, kDepth);
    std::thread writer = Writer(0);
    writer.join();
    EXPECT_EQ(Wait(kDepth), kDepth);
    for (uint32_t i = 0; i < kDepth; ++i) {
        EXPECT_EQ(Take().poll, KAIO_POLL_READY);
        EmptyPipe(i);
    }
}

}  // namespace
