#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstdint>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "kaio/raw/aio_prep.h"
#include "kaio/raw/aio_syscall.h"
#include "tests/raw/kernel_test.h"

namespace kaio_test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

struct Timeout {
    long seconds;
    long nanoseconds;
};

// One of the two calls that wait, with the same arguments for both; `timeout` may be NULL.
struct Call {
    const char *name;
    long (*get)(kaio_raw_context ctx, long min_nr, long nr, kaio_raw_event *out_events,
                const Timeout *timeout);
};

long Getevents(kaio_raw_context ctx, long min_nr, long nr, kaio_raw_event *out_events,
               const Timeout *timeout) {
    kaio_raw_old_timespec time = {};
    if (timeout != nullptr) {
        time.tv_sec = timeout->seconds;
        time.tv_nsec = timeout->nanoseconds;
    }
    return kaio_raw_getevents(ctx, min_nr, nr, out_events, timeout != nullptr ? &time : nullptr);
}

long Pgetevents(kaio_raw_context ctx, long min_nr, long nr, kaio_raw_event *out_events,
                const Timeout *timeout) {
    kaio_raw_timespec time = {};
    if (timeout != nullptr) {
        time.tv_sec = timeout->seconds;
        time.tv_nsec = timeout->nanoseconds;
    }
    return kaio_raw_pgetevents(ctx, min_nr, nr, out_events, timeout != nullptr ? &time : nullptr,
                               nullptr);
}

constexpr Call kGetevents = {"Getevents", Getevents};
constexpr Call kPgetevents = {"Pgetevents", Pgetevents};

// SIGALRM again and again while this object lasts: a wait that began too late for one alarm has
// the next, and a wait that should not be one fails instead of hanging.
class Alarms {
  public:
    explicit Alarms(milliseconds period, int action_flags = 0) {
        struct sigaction action = {};
        action.sa_handler = [](int) { handled_ = handled_ + 1; };
        action.sa_flags = action_flags;
        handled_ = 0;
        EXPECT_EQ(sigaction(SIGALRM, &action, &old_action_), 0);
        const timeval time = {static_cast<time_t>(period.count() / 1000),
                              static_cast<suseconds_t>(period.count() % 1000 * 1000)};
        const itimerval timer = {time, time};
        EXPECT_EQ(setitimer(ITIMER_REAL, &timer, nullptr), 0);
    }

    ~Alarms() {
        const itimerval never = {};
        EXPECT_EQ(setitimer(ITIMER_REAL, &never, nullptr), 0);
        LetHandlerRun();
        EXPECT_EQ(sigaction(SIGALRM, &old_action_, nullptr), 0);
    }

    Alarms(const Alarms &) = delete;
    Alarms &operator=(const Alarms &) = delete;

    static int handled() {
        LetHandlerRun();
        return handled_;
    }

  private:
    // ThreadSanitizer puts a handler off until a call that it knows. An alarm may end the sleep.
    static void LetHandlerRun() {
        const int errno_of_raw = errno;
        std::this_thread::sleep_for(milliseconds(1));
        errno = errno_of_raw;
    }

    static inline volatile sig_atomic_t handled_ = 0;
    struct sigaction old_action_ = {};
};

// What both calls do alike.
class WaitTest : public KernelTest, public testing::WithParamInterface<Call> {
  protected:
    static long Wait(long min_nr, long nr, kaio_raw_event *out_events, const Timeout *timeout) {
        return GetParam().get(ctx_, min_nr, nr, out_events, timeout);
    }

    static long Wait(long min_nr, long nr, kaio_raw_event *out_events, Timeout timeout) {
        return Wait(min_nr, nr, out_events, &timeout);
    }

    // Makes `count` events, which are there when this returns.
    void MakeEvents(long count) {
        kaio_raw_iocb read = kaio_raw_prep_pread(fd_, bytes_, 1, 0);
        std::vector<kaio_raw_iocb *> iocbs(static_cast<size_t>(count), &read);
        ASSERT_EQ(kaio_raw_submit(ctx_, count, iocbs.data()), count);
    }
};

INSTANTIATE_TEST_SUITE_P(Calls, WaitTest, testing::Values(kGetevents, kPgetevents),
                         [](const auto &tested) { return std::string(tested.param.name); });

// ---- arguments ----

TEST_P(WaitTest, MinimumAboveTheMaximumIsRefused) {
    kaio_raw_event events[2];

    EXPECT_EQ(Wait(2, 1, events, {0, 0}), -EINVAL);
}

TEST_P(WaitTest, NegativeMinimumIsRefused) {
    kaio_raw_event event;

    EXPECT_EQ(Wait(-1, 1, &event, {0, 0}), -EINVAL);
}

TEST_P(WaitTest, NegativeMaximumIsRefused) {
    kaio_raw_event event;

    EXPECT_EQ(Wait(0, -1, &event, {0, 0}), -EINVAL);
}

TEST_P(WaitTest, MaximumOfZeroTakesNothing) {
    kaio_raw_event event;
    MakeEvents(1);

    EXPECT_EQ(Wait(0, 0, nullptr, {0, 0}), 0);

    EXPECT_EQ(Wait(0, 1, &event, {0, 0}), 1);
}

TEST_P(WaitTest, UnknownContextIsRefused) {
    Page no_ring(PROT_READ | PROT_WRITE);
    kaio_raw_event event;
    const Timeout none = {0, 0};

    EXPECT_EQ(GetParam().get(0, 0, 1, &event, &none), -EINVAL);
    EXPECT_EQ(GetParam().get(8, 0, 1, &event, &none), -EINVAL);
    EXPECT_EQ(GetParam().get(reinterpret_cast<uintptr_t>(no_ring.As<char>()), 0, 1, &event, &none),
              -EINVAL);
}

TEST_P(WaitTest, DestroyedContextIsRefused) {
    kaio_raw_context ctx = 0;
    kaio_raw_event event;
    const Timeout none = {0, 0};
    ASSERT_EQ(kaio_raw_setup(1, &ctx), 0);
    ASSERT_EQ(GetParam().get(ctx, 0, 1, &event, &none), 0);

    ASSERT_EQ(kaio_raw_destroy(ctx), 0);

    EXPECT_EQ(GetParam().get(ctx, 0, 1, &event, &none), -EINVAL);
}

TEST_P(WaitTest, EventThatCannotBeStoredStays) {
    Page no_access(PROT_NONE);
    kaio_raw_iocb read = kaio_raw_prep_pread(fd_, bytes_, 1, 0);
    kaio_raw_event event = {};
    ASSERT_EQ(Submit(&read), 1);

    EXPECT_EQ(Wait(1, 1, no_access.As<kaio_raw_event>(), {0, 0}), -EFAULT);

    ASSERT_EQ(Wait(1, 1, &event, {0, 0}), 1);
    EXPECT_EQ(event.obj, reinterpret_cast<uintptr_t>(&read));
}

TEST_P(WaitTest, PlaceForEventsIsNotLookedAtWhileThereAreNone) {
    Page no_access(PROT_NONE);

    EXPECT_EQ(Wait(0, 1, no_access.As<kaio_raw_event>(), {0, 0}), 0);
    EXPECT_EQ(Wait(1, 1, no_access.As<kaio_raw_event>(), {0, 1000000}), 0);
}

// ---- how many, and when ----

TEST_P(WaitTest, NoMinimumNeverWaits) {
    Alarms instead_of_hanging(milliseconds{kPatienceMs});
    kaio_raw_event event;

    EXPECT_EQ(Wait(0, 1, &event, nullptr), 0);
    EXPECT_EQ(Wait(0, 1, &event, {3600, 0}), 0);
}

TEST_P(WaitTest, ZeroTimeoutGivesWhatIsThere) {
    kaio_raw_event events[2];
    MakeEvents(1);

    EXPECT_EQ(Wait(2, 2, events, {0, 0}), 1);
    EXPECT_EQ(Wait(2, 2, events, {0, 0}), 0);
}

TEST_P(WaitTest, EmptyContextWaitsTheWholeTimeout) {
    kaio_raw_event event;
    const auto start = steady_clock::now();

    EXPECT_EQ(Wait(1, 1, &event, {0, 100000000}), 0);

    EXPECT_GE(steady_clock::now() - start, milliseconds(100));
}

TEST_P(WaitTest, TimeoutGivesFewerThanTheMinimum) {
    kaio_raw_event events[3];
    MakeEvents(2);
    const auto start = steady_clock::now();

    EXPECT_EQ(Wait(3, 3, events, {0, 50000000}), 2);

    EXPECT_GE(steady_clock::now() - start, milliseconds(50));
}

TEST_P(WaitTest, MinimumThatIsThereIsGivenAtOnceAndNotMoreThanTheMaximum) {
    Alarms instead_of_hanging(milliseconds{kPatienceMs});
    kaio_raw_event events[5];
    MakeEvents(5);

    EXPECT_EQ(Wait(1, 3, events, nullptr), 3);
    EXPECT_EQ(Wait(1, 3, events, nullptr), 2);
}

TEST_P(WaitTest, EventsComeInTheOrderOfCompletion) {
    kaio_raw_iocb poll = kaio_raw_prep_poll(pipe_[0], POLLIN);
    kaio_raw_iocb read = kaio_raw_prep_pread(fd_, bytes_, 1, 0);
    kaio_raw_iocb *iocbs[] = {&poll, &read};
    kaio_raw_event events[2] = {};
    ASSERT_EQ(kaio_raw_submit(ctx_, 2, iocbs), 2);
    Ready();

    ASSERT_EQ(Wait(2, 2, events, {kPatienceMs / 1000, 0}), 2);

    EXPECT_EQ(events[0].obj, reinterpret_cast<uintptr_t>(&read));
    EXPECT_EQ(events[1].obj, reinterpret_cast<uintptr_t>(&poll));
}

// Since some 6.8 only the third event wakes the waiter, before every one did.
TEST_P(WaitTest, WaiterSleepsOnUntilItsMinimumIsThere) {
    kaio_raw_iocb read = kaio_raw_prep_pread(fd_, bytes_, 1, 0);
    kaio_raw_event events[3];
    std::thread submitter([&read] {
        EXPECT_EQ(Submit(&read), 1);
        std::this_thread::sleep_for(milliseconds(50));
        EXPECT_EQ(Submit(&read), 1);
        std::this_thread::sleep_for(milliseconds(100));
        EXPECT_EQ(Submit(&read), 1);
    });
    rusage before = {};
    rusage after = {};
    EXPECT_EQ(getrusage(RUSAGE_THREAD, &before), 0);

    const long taken = Wait(3, 3, events, {kPatienceMs / 1000, 0});

    EXPECT_EQ(getrusage(RUSAGE_THREAD, &after), 0);
    submitter.join();
    EXPECT_EQ(taken, 3);
    RecordProperty("seen", std::to_string(after.ru_nvcsw - before.ru_nvcsw) + " times asleep");
}

TEST_P(WaitTest, EachEventGoesToOneOfTheWaiters) {
    constexpr size_t kEvents = 30 * kDepth;
    std::array<std::atomic<int>, kEvents> times_taken = {};
    std::atomic<size_t> taken = 0;
    const auto end = steady_clock::now() + milliseconds(kPatienceMs);
    const Call call = GetParam();
    const auto take = [&] {
        while (taken < kEvents && steady_clock::now() < end) {
            kaio_raw_event events[4];
            const Timeout timeout = {0, 10000000};
            const long count = call.get(ctx_, 1, 4, events, &timeout);
            ASSERT_GE(count, 0);
            for (long i = 0; i < count; ++i) {
                times_taken.at(static_cast<size_t>(events[i].data))++;
            }
            taken += static_cast<size_t>(count);
        }
    };
    std::thread first(take);
    std::thread second(take);

    std::array<kaio_raw_iocb, kDepth> reads;
    std::array<kaio_raw_iocb *, kDepth> iocbs;
    for (size_t submitted = 0; submitted < kEvents && steady_clock::now() < end;) {
        for (size_t i = 0; i < kDepth; ++i) {
            reads[i] = kaio_raw_prep_pread(fd_, bytes_, 1, 0);
            kaio_raw_set_data(&reads[i], submitted + i);
            iocbs[i] = &reads[i];
        }
        EXPECT_EQ(kaio_raw_submit(ctx_, kDepth, iocbs.data()), long{kDepth});
        submitted += kDepth;
        while (taken < submitted && steady_clock::now() < end) {
            std::this_thread::sleep_for(std::chrono::microseconds(100));
        }
    }
    first.join();
    second.join();

    EXPECT_EQ(taken, kEvents);
    for (size_t i = 0; i < kEvents; ++i) {
        EXPECT_EQ(times_taken[i], 1) << i;
    }
}

// ---- timeouts that are not checked ----

TEST_P(WaitTest, NegativeTimeoutWaitsUntilASignal) {
    Alarms alarms(milliseconds(100));
    kaio_raw_event event;

    EXPECT_EQ(Wait(1, 1, &event, {-1, 0}), -EINTR);
}

TEST_P(WaitTest, NanosecondsMayFillSeconds) {
    kaio_raw_event event;
    const auto start = steady_clock::now();

    EXPECT_EQ(Wait(1, 1, &event, {0, 1000000001}), 0);

    EXPECT_GE(steady_clock::now() - start, seconds(1));
}

TEST_P(WaitTest, LongestTimeoutWaitsForTheEvent) {
    Alarms instead_of_hanging(milliseconds{kPatienceMs});
    kaio_raw_iocb poll = kaio_raw_prep_poll(pipe_[0], POLLIN);
    kaio_raw_event event;
    ASSERT_EQ(Submit(&poll), 1);
    std::thread writer([this] {
        std::this_thread::sleep_for(milliseconds(50));
        Ready();
    });

    const long taken = Wait(1, 1, &event, {LONG_MAX, 0});

    writer.join();
    EXPECT_EQ(taken, 1);
}

// ---- signals ----

TEST_P(WaitTest, SignalInterruptsAWaitWithoutEvents) {
    Alarms alarms(milliseconds(20));
    kaio_raw_event event;

    EXPECT_EQ(Wait(1, 1, &event, nullptr), -EINTR);
}

TEST_P(WaitTest, SignalInterruptsInSpiteOfSaRestart) {
    Alarms alarms(milliseconds(20), SA_RESTART);
    kaio_raw_event event;

    EXPECT_EQ(Wait(1, 1, &event, nullptr), -EINTR);
}

TEST_P(WaitTest, SignalGivesTheEventsThatAreThereAndIsHandled) {
    Alarms alarms(milliseconds(20), SA_RESTART);
    kaio_raw_event events[2];
    MakeEvents(1);

    EXPECT_EQ(Wait(2, 2, events, nullptr), 1);

    EXPECT_GE(Alarms::handled(), 1);
}

// ---- io_getevents alone ----

class GeteventsTest : public KernelTest {};

TEST_F(GeteventsTest, TimeoutIsReadBeforeTheContextIsLookedUp) {
    Page no_access(PROT_NONE);
    kaio_raw_event event;

    EXPECT_EQ(kaio_raw_getevents(0, 0, 1, &event, no_access.As<kaio_raw_old_timespec>()), -EFAULT);
    EXPECT_EQ(kaio_raw_getevents(0, 0, 1, &event, nullptr), -EINVAL);
}

TEST_F(GeteventsTest, TimeoutIsReadEvenWhereItIsNotNeeded) {
    Page no_access(PROT_NONE);
    kaio_raw_event event;

    EXPECT_EQ(kaio_raw_getevents(ctx_, 0, 1, &event, no_access.As<kaio_raw_old_timespec>()),
              -EFAULT);
}

TEST_F(GeteventsTest, TimeoutIsNotWritten) {
    Page page(PROT_READ | PROT_WRITE);
    auto *timeout = page.As<kaio_raw_old_timespec>();
    *timeout = {0, 1000000};
    ASSERT_EQ(mprotect(timeout, sizeof *timeout, PROT_READ), 0);
    kaio_raw_event event;

    EXPECT_EQ(kaio_raw_getevents(ctx_, 1, 1, &event, timeout), 0);

    EXPECT_EQ(timeout->tv_nsec, 1000000);
}

TEST_F(GeteventsTest, NegativeNanosecondsWaitUntilASignal) {
    Alarms alarms(milliseconds(100));
    kaio_raw_old_timespec timeout = {0, -1};
    kaio_raw_event event;

    EXPECT_EQ(kaio_raw_getevents(ctx_, 1, 1, &event, &timeout), -EINTR);
}

TEST_F(GeteventsTest, NegativeNanosecondsAreTakenFromTheSeconds) {
    const kaio_raw_long whole = sizeof(kaio_raw_long) == 8 ? 60 : 2;
    kaio_raw_old_timespec timeout = {whole, 100000000 - whole * 1000000000};
    kaio_raw_event event;
    const auto start = steady_clock::now();

    EXPECT_EQ(kaio_raw_getevents(ctx_, 1, 1, &event, &timeout), 0);

    const auto waited = steady_clock::now() - start;
    EXPECT_GE(waited, milliseconds(100));
    EXPECT_LT(waited, seconds(whole));
}

// ---- stop and continue ----

int64_t Now() {
    return std::chrono::nanoseconds(steady_clock::now().time_since_epoch()).count();
}

// A child process in `call`, without events, for at most `timeout`. It has no signal handlers.
class WaitingChild {
  public:
    static constexpr long kPatienceMs = 30000;

    // What the child tells: when it began to wait; then how and when the wait ended.
    struct Begin {
        int64_t ns;
    };
    struct End {
        int64_t ns;
        int64_t result;
    };

    WaitingChild(const Call &call, Timeout timeout) {
        EXPECT_EQ(pipe2(report_, O_CLOEXEC), 0);
        pid_ = fork();
        if (pid_ == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            kaio_raw_context ctx = 0;
            kaio_raw_event event;
            End end = {0, kaio_raw_setup(1, &ctx)};
            Tell(Begin{Now()});
            if (end.result == 0) {
                end.result = call.get(ctx, 1, 1, &event, &timeout);
            }
            end.ns = Now();
            Tell(end);
            _exit(0);
        }
        EXPECT_GT(pid_, 0);
    }

    ~WaitingChild() {
        if (pid_ > 0) {
            kill(pid_, SIGKILL);
            waitpid(pid_, nullptr, 0);
        }
        close(report_[0]);
        close(report_[1]);
    }

    WaitingChild(const WaitingChild &) = delete;
    WaitingChild &operator=(const WaitingChild &) = delete;

    // Whether there is something to hear within `limit_ms`.
    bool HasTold(long limit_ms) const {
        pollfd readable = {report_[0], POLLIN, 0};
        return poll(&readable, 1, static_cast<int>(limit_ms)) == 1;
    }

    template <typename T>
    T Hear() {
        T heard = {};
        EXPECT_TRUE(HasTold(2 * kPatienceMs));
        EXPECT_EQ(read(report_[0], &heard, sizeof heard), static_cast<ssize_t>(sizeof heard));
        return heard;
    }

    // Returns when the child sleeps, after it told Begin in the call, or has ended already.
    void AwaitSleep() const {
        const auto end = steady_clock::now() + milliseconds(kPatienceMs);
        char state = '?';
        while (state != 'S' && state != 'Z') {
            ASSERT_LT(steady_clock::now(), end) << state;
            std::this_thread::sleep_for(milliseconds(1));
            std::ifstream stat("/proc/" + std::to_string(pid_) + "/stat");
            stat.ignore(INT_MAX, ')').ignore(1).get(state);
        }
    }

    // Returns when the child is stopped; false if it has ended before.
    bool Stop() {
        int status = 0;
        EXPECT_EQ(kill(pid_, SIGSTOP), 0);
        EXPECT_EQ(waitpid(pid_, &status, WUNTRACED), pid_);
        if (!WIFSTOPPED(status)) {
            pid_ = -1;  // no longer ours: another process may get the number
        }
        return WIFSTOPPED(status);
    }

    void Continue() const {
        ASSERT_EQ(kill(pid_, SIGCONT), 0);
    }

  private:
    template <typename T>
    void Tell(const T &told) const {
        if (write(report_[1], &told, sizeof told) != static_cast<ssize_t>(sizeof told)) {
            _exit(1);
        }
    }

    int report_[2] = {kNoDescriptor, kNoDescriptor};
    pid_t pid_ = -1;
};

TEST(StopTest, ContinueInterruptsGeteventsWithoutAHandler) {
    WaitingChild child(kGetevents, {2 * WaitingChild::kPatienceMs / 1000, 0});
    child.Hear<WaitingChild::Begin>();
    child.AwaitSleep();

    ASSERT_TRUE(child.Stop());
    ASSERT_NO_FATAL_FAILURE(child.Continue());

    EXPECT_EQ(child.Hear<WaitingChild::End>().result, -EINTR);
}

// A child that was not stopped in time tells nothing: the next one waits longer.
TEST(StopTest, ContinueLetsPgeteventsWaitItsWholeTimeoutAgain) {
    bool was_stopped_in_time = false;
    for (long timeout_s = 1; timeout_s <= 16 && !was_stopped_in_time; timeout_s *= 2) {
        const int64_t timeout_ns = int64_t{timeout_s} * 1000000000;
        WaitingChild child(kPgetevents, {timeout_s, 0});
        const int64_t begin_ns = child.Hear<WaitingChild::Begin>().ns;
        child.AwaitSleep();
        if (child.HasTold(200) || !child.Stop()) {
            continue;
        }
        const int64_t stopped_ns = Now();
        was_stopped_in_time = stopped_ns < begin_ns + timeout_ns;
        ASSERT_NO_FATAL_FAILURE(child.Continue());

        const WaitingChild::End end = child.Hear<WaitingChild::End>();

        if (was_stopped_in_time) {
            EXPECT_EQ(end.result, 0);
            EXPECT_GE(end.ns, stopped_ns + timeout_ns);
        }
    }
    EXPECT_TRUE(was_stopped_in_time) << "the machine is too slow for this test";
}

}  // namespace
}  // namespace kaio_test
