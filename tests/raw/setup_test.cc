#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <fstream>
#include <thread>

#include "tests/raw/kernel_test.h"
#include "tests/support/folder.h"

namespace kaio_test {
namespace {

// The most that io_setup takes for a number, whatever the system's limit.
constexpr unsigned kMostEvents = 4194304;

using SetupTest = KernelTest;

unsigned long SystemLimit() {
    unsigned long limit = 0;
    std::ifstream("/proc/sys/fs/aio-max-nr") >> limit;
    EXPECT_GT(limit, 0u);
    return limit;
}

TEST_F(SetupTest, GivesAContextOfItsOwnEachTime) {
    kaio_raw_context ctx = 0;
    kaio_raw_iocb read = kaio_raw_prep_pread(fd_, bytes_, 1, 0);
    kaio_raw_iocb *iocbs[] = {&read};
    kaio_raw_event event;

    ASSERT_EQ(kaio_raw_setup(1, &ctx), 0);

    EXPECT_NE(ctx, 0u);
    EXPECT_NE(ctx, ctx_);
    EXPECT_EQ(kaio_raw_submit(ctx, 1, iocbs), 1);
    EXPECT_EQ(Get(0, 1, &event), 0);
    EXPECT_EQ(kaio_raw_getevents(ctx, 0, 1, &event, nullptr), 1);
    EXPECT_EQ(kaio_raw_destroy(ctx), 0);
}

TEST_F(SetupTest, ContextServesEveryThread) {
    kaio_raw_iocb read = kaio_raw_prep_pread(fd_, bytes_, 1, 0);
    kaio_raw_event event = {};
    long answer = 0;

    ASSERT_EQ(Submit(&read), 1);
    std::thread([&] { answer = Get(1, 1, &event, kPatienceMs); }).join();

    EXPECT_EQ(answer, 1);
    EXPECT_EQ(event.obj, reinterpret_cast<uintptr_t>(&read));
}

TEST_F(SetupTest, ContextThatIsNotZeroIsRefused) {
    kaio_raw_context ctx = 1;

    EXPECT_EQ(kaio_raw_setup(1, &ctx), -EINVAL);
    EXPECT_EQ(ctx, 1u);
}

TEST_F(SetupTest, LiveContextIsRefusedAndLivesOn) {
    kaio_raw_context ctx = ctx_;

    EXPECT_EQ(kaio_raw_setup(1, &ctx), -EINVAL);
    EXPECT_EQ(ctx, ctx_);
    EXPECT_EQ(kaio_raw_submit(ctx, 0, nullptr), 0);
}

TEST_F(SetupTest, NoEventsAreRefused) {
    kaio_raw_context ctx = 0;

    EXPECT_EQ(kaio_raw_setup(0, &ctx), -EINVAL);
    EXPECT_EQ(ctx, 0u);
}

TEST_F(SetupTest, MoreEventsThanAnySystemHasAreRefused) {
    kaio_raw_context ctx = 0;

    EXPECT_EQ(kaio_raw_setup(kMostEvents + 1, &ctx), -EINVAL);
    EXPECT_EQ(kaio_raw_setup(UINT32_MAX, &ctx), -EINVAL);
    EXPECT_EQ(ctx, 0u);
}

TEST_F(SetupTest, MoreEventsThanTheSystemAllowsAreTooManyForNow) {
    const unsigned long limit = SystemLimit();
    if (limit >= kMostEvents) {
        GTEST_SKIP() << "fs.aio-max-nr is " << limit;
    }
    kaio_raw_context ctx = 0;

    EXPECT_EQ(kaio_raw_setup(static_cast<unsigned>(limit) + 1, &ctx), -EAGAIN);
    EXPECT_EQ(kaio_raw_setup(kMostEvents, &ctx), -EAGAIN);
    EXPECT_EQ(ctx, 0u);
}

// The kernel doubles the number in 32 bits: from 2^31 on it is small again, and meets the next
// limit instead.
TEST_F(SetupTest, NumberThatWrapsMeetsTheSystemsLimit) {
    constexpr unsigned kWrap = 0x80000000;
    kaio_raw_context ctx = 0;

    for (const unsigned nr : {kWrap, kWrap + 1, kWrap + 0x1000, kWrap + kMostEvents}) {
        EXPECT_EQ(kaio_raw_setup(nr, &ctx), -EAGAIN) << nr;
    }
    EXPECT_EQ(kaio_raw_setup(kWrap + kMostEvents + 1, &ctx), -EINVAL);
    EXPECT_EQ(ctx, 0u);
}

// What is asked for fits alone, and not beside what others have: that is looked at last.
TEST_F(SetupTest, ShareOfTheSystemIsLookedAtWhenTheRingIsMade) {
    const unsigned long limit = SystemLimit();
    if (limit > kMostEvents) {
        GTEST_SKIP() << "fs.aio-max-nr is " << limit;
    }
    rlimit old = {};
    ASSERT_EQ(getrlimit(RLIMIT_AS, &old), 0);
    const rlimit none = {0, old.rlim_max};
    kaio_raw_context ctx = 0;  // KernelTest's own has its share already

    ASSERT_EQ(setrlimit(RLIMIT_AS, &none), 0);
    const long without_room = kaio_raw_setup(static_cast<unsigned>(limit), &ctx);
    ASSERT_EQ(setrlimit(RLIMIT_AS, &old), 0);

    EXPECT_EQ(without_room, -ENOMEM);
    EXPECT_EQ(kaio_raw_setup(static_cast<unsigned>(limit), &ctx), -EAGAIN);
    EXPECT_EQ(ctx, 0u);
}

TEST_F(SetupTest, WithoutAPointerFaults) {
    EXPECT_EQ(kaio_raw_setup(1, nullptr), -EFAULT);
}

TEST_F(SetupTest, PointerIsReadBeforeTheNumberIsLookedAt) {
    Page no_access(PROT_NONE);

    EXPECT_EQ(kaio_raw_setup(0, no_access.As<kaio_raw_context>()), -EFAULT);
}

TEST_F(SetupTest, IntoReadOnlyMemoryFaults) {
    Page read_only(PROT_READ);

    EXPECT_EQ(kaio_raw_setup(1, read_only.As<kaio_raw_context>()), -EFAULT);
}

TEST_F(SetupTest, WithoutRoomForItsRingIsOutOfMemory) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        const rlimit none = {0, 0};
        kaio_raw_context ctx = 0;
        if (setrlimit(RLIMIT_AS, &none) != 0) {
            _exit(0);
        }
        const long answer = kaio_raw_setup(1, &ctx);
        _exit(static_cast<int>(-answer));
    }

    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);

    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), ENOMEM);
}

class DestroyTest : public KernelTest {
  protected:
    void SetUp() override {
        KernelTest::SetUp();
        ASSERT_EQ(kaio_raw_setup(4, &own_), 0);
    }

    static long SubmitTo(kaio_raw_context ctx, kaio_raw_iocb *iocb) {
        return kaio_raw_submit(ctx, 1, &iocb);
    }

    // Waits in another thread for `min_nr` events of own_, which is destroyed meanwhile.
    long WaitForEventsUntilDestroyed(long min_nr, kaio_raw_event *out_events) {
        std::atomic<pid_t> waiter{0};
        long answer = 0;
        std::thread thread([&] {
            kaio_raw_old_timespec patience = {kPatienceMs / 1000, 0};
            waiter = static_cast<pid_t>(syscall(SYS_gettid));
            answer = kaio_raw_getevents(own_, min_nr, min_nr, out_events, &patience);
        });
        EXPECT_TRUE(WaitFor([&waiter] { return waiter != 0; }));
        EXPECT_TRUE(WaitUntilAsleep(waiter));
        EXPECT_EQ(kaio_raw_destroy(own_), 0);
        thread.join();
        return answer;
    }

    kaio_raw_context own_ = 0;
};

TEST_F(DestroyTest, EndsTheContextForEveryCall) {
    kaio_raw_iocb poll = kaio_raw_prep_poll(pipe_[0], POLLIN);
    kaio_raw_event event;

    EXPECT_EQ(kaio_raw_destroy(own_), 0);

    EXPECT_EQ(SubmitTo(own_, &poll), -EINVAL);
    EXPECT_EQ(kaio_raw_getevents(own_, 0, 1, &event, nullptr), -EINVAL);
    EXPECT_EQ(kaio_raw_pgetevents(own_, 0, 1, &event, nullptr, nullptr), -EINVAL);
    EXPECT_EQ(kaio_raw_cancel(own_, &poll, nullptr), -EINVAL);
}

TEST_F(DestroyTest, EndsTheContextOnce) {
    EXPECT_EQ(kaio_raw_destroy(own_), 0);
    EXPECT_EQ(kaio_raw_destroy(own_), -EINVAL);
}

TEST_F(DestroyTest, LeavesOtherContextsAlone) {
    kaio_raw_iocb poll = kaio_raw_prep_poll(pipe_[0], POLLIN);
    kaio_raw_event event;
    ASSERT_EQ(Submit(&poll), 1);

    EXPECT_EQ(kaio_raw_destroy(own_), 0);

    EXPECT_EQ(Get(0, 1, &event), 0);
    Ready();
    EXPECT_EQ(Get(1, 1, &event, kPatienceMs), 1);
}

TEST_F(DestroyTest, UnmapsTheRing) {
    unsigned char residency[1];
    void *const ring = reinterpret_cast<void *>(static_cast<uintptr_t>(own_));
    ASSERT_EQ(mincore(ring, 1, residency), 0);

    EXPECT_EQ(kaio_raw_destroy(own_), 0);

    EXPECT_EQ(mincore(ring, 1, residency), -1);
    EXPECT_EQ(errno, ENOMEM);
    errno = kErrno;
}

TEST_F(DestroyTest, EndsPendingPolls) {
    kaio_raw_event event;
    for (int count = 0; count < 3; ++count) {
        kaio_raw_iocb poll = kaio_raw_prep_poll(pipe_[0], POLLIN);
        ASSERT_EQ(SubmitTo(own_, &poll), 1);
    }
    ASSERT_EQ(kaio_raw_getevents(own_, 0, 1, &event, nullptr), 0);

    EXPECT_EQ(kaio_raw_destroy(own_), 0);
}

TEST_F(DestroyTest, LetsGoOfTheFilesOfPendingPolls) {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    Descriptor near(ends[0]);
    const Descriptor far(ends[1]);
    const auto has_reader = [&far] { return send(far.fd(), "x", 1, MSG_NOSIGNAL) == 1; };
    kaio_raw_iocb poll = kaio_raw_prep_poll(near.fd(), POLLPRI);
    ASSERT_EQ(SubmitTo(own_, &poll), 1);
    near.Close();
    ASSERT_TRUE(has_reader());

    EXPECT_EQ(kaio_raw_destroy(own_), 0);

    // The kernel closes what a worker lets go of a little later.
    EXPECT_TRUE(WaitFor([&has_reader] { return !has_reader(); }));
    errno = kErrno;
}

TEST_F(DestroyTest, DropsEventsThatNobodyReaped) {
    const Descriptor counter(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    kaio_raw_iocb read = kaio_raw_prep_pread(fd_, bytes_, 1, 0);
    kaio_raw_set_eventfd(&read, counter.fd());
    kaio_raw_event event = {};
    uint64_t count = 0;
    ASSERT_EQ(SubmitTo(own_, &read), 1);
    ASSERT_EQ(::read(counter.fd(), &count, sizeof count), ssize_t{sizeof count});
    ASSERT_EQ(count, 1u) << "there is no event";

    EXPECT_EQ(kaio_raw_destroy(own_), 0);

    EXPECT_EQ(kaio_raw_getevents(own_, 0, 1, &event, nullptr), -EINVAL);
    EXPECT_EQ(event.obj, 0u);
}

TEST_F(DestroyTest, EndsAWaitForEvents) {
    kaio_raw_event event;

    EXPECT_EQ(WaitForEventsUntilDestroyed(1, &event), -EINVAL);
}

TEST_F(DestroyTest, WaitThatItEndsGivesTheEventsThatCameBefore) {
    kaio_raw_iocb read = kaio_raw_prep_pread(fd_, bytes_, 1, 0);
    kaio_raw_event events[2] = {};
    ASSERT_EQ(SubmitTo(own_, &read), 1);

    EXPECT_EQ(WaitForEventsUntilDestroyed(2, events), 1);
    EXPECT_EQ(events[0].obj, reinterpret_cast<uintptr_t>(&read));
}

class NoContextTest : public testing::TestWithParam<kaio_raw_context> {};

TEST_P(NoContextTest, CannotBeDestroyed) {
    EXPECT_EQ(kaio_raw_destroy(GetParam()), -EINVAL);
}

INSTANTIATE_TEST_SUITE_P(Every, NoContextTest,
                         testing::Values(0u, 8u, 0x1234u,
                                         static_cast<kaio_raw_context>(UINTPTR_MAX)),
                         testing::PrintToStringParamName());

TEST(DestroyOfMemoryTest, PageThatIsNoRingIsRefused) {
    Page page(PROT_READ | PROT_WRITE);

    EXPECT_EQ(kaio_raw_destroy(reinterpret_cast<uintptr_t>(page.As<char>())), -EINVAL);
}

TEST(DestroyOfMemoryTest, MemoryThatCannotBeReadIsRefused) {
    Page no_access(PROT_NONE);

    EXPECT_EQ(kaio_raw_destroy(reinterpret_cast<uintptr_t>(no_access.As<char>())), -EINVAL);
}

}  // namespace
}  // namespace kaio_test
