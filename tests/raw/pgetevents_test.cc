#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>

#include "kaio/raw/aio_prep.h"
#include "kaio/raw/aio_syscall.h"
#include "tests/raw/kernel_test.h"

namespace kaio_test {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

kaio_raw_sigset SigsetOf(const void *mask, size_t bytes = KAIO_RAW_SIGSET_BYTES) {
    kaio_raw_sigset sigset = {};
    sigset.sigmask = mask;
    sigset.sigsetsize = bytes;
    return sigset;
}

// SIGUSR1 has a handler that counts, and is blocked but where a mask of the call lets it in.
// What getevents_test.cc says of both calls is not said again here.
class PgeteventsTest : public KernelTest {
  protected:
    void SetUp() override {
        KernelTest::SetUp();
        struct sigaction action = {};
        action.sa_handler = [](int) { handled_ = handled_ + 1; };
        action.sa_flags = SA_RESTART;
        handled_ = 0;
        ASSERT_EQ(sigaction(SIGUSR1, &action, &old_action_), 0);
        sigemptyset(&nothing_);
        sigemptyset(&usr1_);
        sigaddset(&usr1_, SIGUSR1);
        ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &usr1_, &old_mask_), 0);
    }

    void TearDown() override {
        EXPECT_EQ(pthread_sigmask(SIG_SETMASK, &old_mask_, nullptr), 0);
        EXPECT_EQ(sigaction(SIGUSR1, &old_action_, nullptr), 0);
        KernelTest::TearDown();
    }

    // Bounded: what should end at once fails instead of hanging.
    static long Wait(long min_nr, kaio_raw_event *out_event, const kaio_raw_sigset *sigset,
                     kaio_raw_timespec timeout = {30, 0}) {
        return kaio_raw_pgetevents(ctx_, min_nr, 1, out_event, &timeout, sigset);
    }

    // Whether the thread's mask has SIGUSR1, as it was made by SetUp.
    static bool IsBlocked() {
        sigset_t mask;
        EXPECT_EQ(pthread_sigmask(SIG_SETMASK, nullptr, &mask), 0);
        return sigismember(&mask, SIGUSR1) == 1;
    }

    // An event that is there when this returns.
    void MakeEvent() {
        kaio_raw_iocb read = kaio_raw_prep_pread(fd_, bytes_, 1, 0);
        ASSERT_EQ(Submit(&read), 1);
    }

    static inline volatile sig_atomic_t handled_ = 0;
    sigset_t nothing_;
    sigset_t usr1_;
    sigset_t old_mask_;
    struct sigaction old_action_ = {};
};

// ---- what is read first ----

TEST_F(PgeteventsTest, TimeoutIsReadBeforeTheMask) {
    Page no_access(PROT_NONE);
    kaio_raw_event event;
    const kaio_raw_sigset wrong_size = SigsetOf(&nothing_, 4);

    EXPECT_EQ(
        kaio_raw_pgetevents(ctx_, 0, 1, &event, no_access.As<kaio_raw_timespec>(), &wrong_size),
        -EFAULT);
}

TEST_F(PgeteventsTest, SizeOfTheMaskIsCheckedBeforeTheMaskIsRead) {
    Page no_access(PROT_NONE);
    kaio_raw_event event;
    const kaio_raw_sigset wrong_size = SigsetOf(no_access.As<char>(), 4);

    EXPECT_EQ(Wait(0, &event, &wrong_size), -EINVAL);
}

TEST_F(PgeteventsTest, MaskIsReadBeforeTheContextIsLookedUp) {
    Page no_access(PROT_NONE);
    kaio_raw_event event;
    const kaio_raw_sigset no_mask = SigsetOf(no_access.As<char>());
    const kaio_raw_sigset good = SigsetOf(&nothing_);

    EXPECT_EQ(kaio_raw_pgetevents(0, 0, 1, &event, nullptr, no_access.As<const kaio_raw_sigset>()),
              -EFAULT);
    EXPECT_EQ(kaio_raw_pgetevents(0, 0, 1, &event, nullptr, &no_mask), -EFAULT);
    EXPECT_EQ(kaio_raw_pgetevents(0, 0, 1, &event, nullptr, &good), -EINVAL);
}

// ---- the size of the mask ----

TEST_F(PgeteventsTest, MaskOfTheKernelsSizeIsTaken) {
    const kaio_raw_sigset sigset = SigsetOf(&nothing_);
    kaio_raw_event event;
    MakeEvent();

    EXPECT_EQ(Wait(1, &event, &sigset), 1);
}

TEST_F(PgeteventsTest, MaskOfAnyOtherSizeIsRefused) {
    const size_t others[] = {
        0, 4, KAIO_RAW_SIGSET_BYTES - 1, KAIO_RAW_SIGSET_BYTES + 1, 32, sizeof(sigset_t)};

    for (const size_t bytes : others) {
        const kaio_raw_sigset sigset = SigsetOf(&nothing_, bytes);
        kaio_raw_event event;

        EXPECT_EQ(Wait(0, &event, &sigset), -EINVAL) << bytes;
    }
}

TEST_F(PgeteventsTest, SizeOfNoMaskIsNotLookedAt) {
    const size_t sizes[] = {0, 4, KAIO_RAW_SIGSET_BYTES, sizeof(sigset_t)};

    for (const size_t bytes : sizes) {
        const kaio_raw_sigset sigset = SigsetOf(nullptr, bytes);
        kaio_raw_event event;

        EXPECT_EQ(Wait(0, &event, &sigset), 0) << bytes;
    }
}

// ---- signals ----

TEST_F(PgeteventsTest, PendingSignalThatTheMaskLetsInInterruptsAtOnce) {
    const kaio_raw_sigset sigset = SigsetOf(&nothing_);
    kaio_raw_event event;
    ASSERT_EQ(raise(SIGUSR1), 0);

    EXPECT_EQ(Wait(1, &event, &sigset), -EINTR);

    EXPECT_TRUE(IsBlocked());
    EXPECT_EQ(handled_, 1);
}

TEST_F(PgeteventsTest, PendingSignalInterruptsEvenWithoutMinimumAndTimeout) {
    const kaio_raw_sigset sigset = SigsetOf(&nothing_);
    kaio_raw_event event;
    ASSERT_EQ(raise(SIGUSR1), 0);

    EXPECT_EQ(Wait(0, &event, &sigset, {0, 0}), -EINTR);

    EXPECT_TRUE(IsBlocked());
    EXPECT_EQ(handled_, 1);
}

TEST_F(PgeteventsTest, PendingSignalAndReadyEventAreBothGiven) {
    const kaio_raw_sigset sigset = SigsetOf(&nothing_);
    kaio_raw_event event;
    MakeEvent();
    ASSERT_EQ(raise(SIGUSR1), 0);

    EXPECT_EQ(Wait(1, &event, &sigset), 1);

    EXPECT_TRUE(IsBlocked());
    EXPECT_EQ(handled_, 1);
}

TEST_F(PgeteventsTest, PendingSignalThatTheMaskHoldsBackStaysPending) {
    const kaio_raw_sigset sigset = SigsetOf(&usr1_);
    kaio_raw_event event;
    ASSERT_EQ(raise(SIGUSR1), 0);

    EXPECT_EQ(Wait(1, &event, &sigset, {0, 20000000}), 0);

    EXPECT_TRUE(IsBlocked());
    EXPECT_EQ(handled_, 0);
}

TEST_F(PgeteventsTest, WithoutAMaskTheThreadsOwnStays) {
    const kaio_raw_sigset no_mask = SigsetOf(nullptr);
    kaio_raw_event event;
    ASSERT_EQ(raise(SIGUSR1), 0);

    EXPECT_EQ(Wait(1, &event, &no_mask, {0, 20000000}), 0);
    EXPECT_EQ(Wait(1, &event, nullptr, {0, 20000000}), 0);

    EXPECT_TRUE(IsBlocked());
    EXPECT_EQ(handled_, 0);
}

// Without the mask each of the signals would interrupt the wait.
TEST_F(PgeteventsTest, MaskHoldsBackSignalsThatTheThreadLetsIn) {
    struct sigaction action = {};
    struct sigaction old_action = {};
    action.sa_handler = [](int) {};
    ASSERT_EQ(sigaction(SIGALRM, &action, &old_action), 0);
    sigset_t alarm;
    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    const kaio_raw_sigset sigset = SigsetOf(&alarm);
    const itimerval every_millisecond = {{0, 1000}, {0, 1000}};
    const itimerval never = {};
    kaio_raw_event event;
    const auto start = steady_clock::now();
    ASSERT_EQ(setitimer(ITIMER_REAL, &every_millisecond, nullptr), 0);

    const long with_mask = Wait(1, &event, &sigset, {0, 50000000});
    const auto waited = steady_clock::now() - start;
    const long without_mask = Wait(1, &event, nullptr);

    ASSERT_EQ(setitimer(ITIMER_REAL, &never, nullptr), 0);
    std::this_thread::sleep_for(milliseconds(1));  // ThreadSanitizer puts handlers off until then
    ASSERT_EQ(sigaction(SIGALRM, &old_action, nullptr), 0);
    EXPECT_EQ(with_mask, 0);
    EXPECT_GE(waited, milliseconds(50));
    EXPECT_EQ(without_mask, -EINTR);
}

TEST_F(PgeteventsTest, MaskIsRestoredAfterAnEvent) {
    const kaio_raw_sigset sigset = SigsetOf(&nothing_);
    kaio_raw_event event;
    MakeEvent();

    EXPECT_EQ(Wait(1, &event, &sigset), 1);

    EXPECT_TRUE(IsBlocked());
}

TEST_F(PgeteventsTest, MaskIsRestoredAfterATimeout) {
    const kaio_raw_sigset sigset = SigsetOf(&nothing_);
    kaio_raw_event event;

    EXPECT_EQ(Wait(1, &event, &sigset, {0, 1000000}), 0);

    EXPECT_TRUE(IsBlocked());
}

TEST_F(PgeteventsTest, MaskIsRestoredAfterARefusal) {
    const kaio_raw_sigset sigset = SigsetOf(&nothing_);
    kaio_raw_event event;

    EXPECT_EQ(Wait(2, &event, &sigset), -EINVAL);

    EXPECT_TRUE(IsBlocked());
}

// ---- the timeout ----

TEST_F(PgeteventsTest, TimeoutIsNotWritten) {
    Page page(PROT_READ | PROT_WRITE);
    auto *timeout = page.As<kaio_raw_timespec>();
    *timeout = {0, 1000000};
    ASSERT_EQ(mprotect(timeout, sizeof *timeout, PROT_READ), 0);
    kaio_raw_event event;

    EXPECT_EQ(kaio_raw_pgetevents(ctx_, 1, 1, &event, timeout, nullptr), 0);

    EXPECT_EQ(timeout->tv_nsec, 1000000);
}

// The upper half of a 64-bit timeout is seconds too, on 32-bit architectures as on all others.
class PgeteventsSecondsTest : public PgeteventsTest, public testing::WithParamInterface<int64_t> {};

INSTANTIATE_TEST_SUITE_P(Over32Bits, PgeteventsSecondsTest,
                         testing::Values(INT64_C(1) << 32, INT64_C(1) << 62, INT64_MAX),
                         [](const auto &tested) { return std::to_string(tested.param); });

TEST_P(PgeteventsSecondsTest, ReadyEventIsGiven) {
    kaio_raw_event event;
    MakeEvent();

    EXPECT_EQ(Wait(1, &event, nullptr, {GetParam(), 0}), 1);
}

TEST_P(PgeteventsSecondsTest, EventIsWaitedFor) {
    kaio_raw_iocb poll = kaio_raw_prep_poll(pipe_[0], POLLIN);
    kaio_raw_event event;
    ASSERT_EQ(Submit(&poll), 1);
    std::thread writer([this] {
        std::this_thread::sleep_for(milliseconds(50));
        Ready();
    });

    const long taken = Wait(1, &event, nullptr, {GetParam(), 0});

    writer.join();
    EXPECT_EQ(taken, 1);
}

#ifndef __LP64__
// The kernel takes the upper half for padding. A 64-bit program would wait four seconds.
TEST_F(PgeteventsTest, UpperHalfOfNanosecondsIsIgnoredForA32BitProgram) {
    kaio_raw_event event;
    const auto start = steady_clock::now();

    EXPECT_EQ(Wait(1, &event, nullptr, {0, (INT64_C(1) << 32) + 20000000}), 0);

    const auto waited = steady_clock::now() - start;
    EXPECT_GE(waited, milliseconds(20));
    EXPECT_LT(waited, milliseconds(4000));
}
#endif

}  // namespace
}  // namespace kaio_test
