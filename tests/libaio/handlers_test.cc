// //raw/libaio where a call is interrupted in the middle: by a signal handler, by other threads.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <functional>
#include <memory>
#include <new>
#include <thread>
#include <utility>
#include <vector>

#include "libaio.h"
#include "tests/libaio/libaio_test.h"
#include "tests/support/folder.h"
#include "tests/support/seccomp.h"

namespace kaio_test {
namespace {

using testing::AnyOf;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

using HandlersTest = LibaioTest;

// A Fault stops a thread while it stores events: the page they go to may not be written, and the
// signal handler does what `action` says, and lets it go on.
class Fault {
  public:
    explicit Fault(std::function<void()> action) : action_(std::move(action)) {
        page_ = mmap(nullptr, kPageBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        current_ = this;
        struct sigaction now = {};
        now.sa_handler = Handle;
        now.sa_flags = SA_NODEFER;
        EXPECT_EQ(sigaction(SIGSEGV, &now, &before_), 0);
    }
    ~Fault() {
        EXPECT_EQ(sigaction(SIGSEGV, &before_, nullptr), 0);
        munmap(page_, kPageBytes);
        EXPECT_EQ(count_, 1);
    }
    Fault(const Fault &) = delete;
    Fault &operator=(const Fault &) = delete;

    io_event *Room() const {
        return static_cast<io_event *>(page_);
    }

  private:
    static constexpr size_t kPageBytes = 4096;

    static void Handle(int) {
        ++current_->count_;
        current_->action_();
        if (mprotect(current_->page_, kPageBytes, PROT_READ | PROT_WRITE) != 0) {
            abort();
        }
    }

    static Fault *current_;
    std::function<void()> action_;
    void *page_;
    struct sigaction before_ = {};
    int count_ = 0;
};

Fault *Fault::current_ = nullptr;

TEST_F(HandlersTest, AHandlerThatInterruptedTheCallIsNotLockedOut) {
    Finish(3);
    io_event event;
    std::vector<int> answers;
    const Fault fault([&] {
        answers.push_back(io_getevents(ctx_, 0, 1, &event, nullptr));
        answers.push_back(io_getevents(ctx_, 1, 1, &event, nullptr));
        answers.push_back(io_destroy(ctx_));
    });

    EXPECT_EQ(io_getevents(ctx_, 1, 2, fault.Room(), nullptr), 2);

    EXPECT_EQ(answers, (std::vector<int>{0, -EINTR, -EINTR}));
    EXPECT_EQ(fault.Room()[0].data, reinterpret_cast<void *>(1));
    EXPECT_EQ(fault.Room()[1].data, reinterpret_cast<void *>(2));
    EXPECT_THAT(Get(0, 8), ElementsAre(3));
}

// An Other is a thread that does one call on the context, and is seen waiting for its turn.
class Other {
  public:
    explicit Other(const std::function<int()> &call)
        : thread_([this, call] {
              number_ = static_cast<pid_t>(syscall(SYS_gettid));
              answer_ = call();
              is_done_ = true;
          }) {}

    bool WaitsForItsTurn() const {
        return WaitFor([this] { return number_ != 0 && IsAsleep(number_, SYS_futex); }) &&
               !is_done_;
    }
    int Answer() {
        thread_.join();
        return answer_;
    }

  private:
    std::atomic<pid_t> number_ = 0;
    std::atomic<bool> is_done_ = false;
    int answer_ = 0;
    std::thread thread_;
};

TEST_F(HandlersTest, OthersWaitUntilTheEventsAreTaken) {
    Finish(3);
    io_event event;
    std::vector<std::unique_ptr<Other>> others;
    bool all_wait = true;
    const Fault fault([&] {
        for (int i = 0; i < 2; ++i) {
            others.push_back(
                std::make_unique<Other>([&] { return io_getevents(ctx_, 0, 1, &event, nullptr); }));
            all_wait = all_wait && others.back()->WaitsForItsTurn();
        }
    });

    EXPECT_EQ(io_getevents(ctx_, 1, 2, fault.Room(), nullptr), 2);

    EXPECT_TRUE(all_wait);
    ASSERT_EQ(others.size(), 2u);
    EXPECT_EQ(others[0]->Answer() + others[1]->Answer(), 1);
    EXPECT_EQ(event.data, reinterpret_cast<void *>(3));
}

TEST_F(HandlersTest, DestroyWaitsUntilTheEventsAreTaken) {
    Finish(2);
    std::unique_ptr<Other> other;
    bool waits = false;
    const Fault fault([&] {
        other = std::make_unique<Other>([&] { return io_destroy(ctx_); });
        waits = other->WaitsForItsTurn();
    });

    EXPECT_EQ(io_getevents(ctx_, 1, 2, fault.Room(), nullptr), 2);

    EXPECT_TRUE(waits);
    EXPECT_EQ(other->Answer(), 0);
    ctx_ = nullptr;
}

TEST_F(HandlersTest, ASandboxThatForbidsFutexOnlyMakesItSlower) {
    Finish(3);
    std::thread other;
    std::atomic<int> answer = -1;
    std::atomic<bool> is_running = false;
    const Fault fault([&] {
        other = std::thread([&] {
            ASSERT_GE(Filter({SYS_futex}, Errno(EPERM)), 0);
            io_event event;
            is_running = true;
            answer = io_getevents(ctx_, 1, 1, &event, nullptr);
        });
        while (!is_running) {
            std::this_thread::yield();
        }
        usleep(20000);
        EXPECT_EQ(answer, -1);
    });

    EXPECT_EQ(io_getevents(ctx_, 1, 2, fault.Room(), nullptr), 2);

    EXPECT_TRUE(WaitFor([&] { return answer == 1; }));
    other.join();
}

// ---- at each instruction ----

// Steps runs a call once for each of its instructions, and interrupts it before that one, by a
// signal handler of the same thread that runs `action`.
class Steps {
  public:
    explicit Steps(std::function<void()> action) : action_(std::move(action)) {}

    // True when `call` was interrupted before its instruction `number`; it has fewer otherwise.
    bool Interrupt(int number, const std::function<void()> &call) {
        count_ = 0;
        number_ = number;
        is_over_ = false;
        current_ = this;
        Trap();
        call();
        is_over_ = true;  // the next trap is the last
        return count_ >= number;
    }

    static bool AreToBeHad() {
#ifdef __x86_64__
        struct sigaction action = {};
        action.sa_sigaction = Handle;
        action.sa_flags = SA_SIGINFO;
        return sigaction(SIGTRAP, &action, nullptr) == 0;
#else
        return false;
#endif
    }

  private:
#ifdef __x86_64__
    static constexpr greg_t kTrapFlag = 0x100;

    static void Trap() {
        __asm__ volatile(
            "lea -128(%%rsp), %%rsp\n\tpushfq\n\torq $0x100, (%%rsp)\n\tpopfq\n\t"
            "lea 128(%%rsp), %%rsp"
            :
            :
            : "cc", "memory");
    }
    static void Handle(int, siginfo_t *, void *context) {
        if (current_->is_over_) {
            static_cast<ucontext_t *>(context)->uc_mcontext.gregs[REG_EFL] &= ~kTrapFlag;
        } else if (++current_->count_ == current_->number_) {
            current_->action_();
        }
    }
#else
    static void Trap() {}
#endif

    static thread_local Steps *current_;
    std::function<void()> action_;
    volatile int count_ = 0;
    volatile int number_ = 0;
    volatile bool is_over_ = true;
};

thread_local Steps *Steps::current_ = nullptr;

class StepsTest : public LibaioTest {
  protected:
    void SetUp() override {
        LibaioTest::SetUp();
        if (!Steps::AreToBeHad()) {
            GTEST_SKIP() << "single steps are known of x86-64 alone";
        }
        EXPECT_THAT(Get(0, 1), IsEmpty());  // bound by now
    }
};

// AddTags appends the tags of what a call stored.
void AddTags(std::vector<uintptr_t> *tags, const io_event *events, int count) {
    for (int i = 0; i < count; ++i) {
        tags->push_back(reinterpret_cast<uintptr_t>(events[i].data));
    }
}

TEST_F(StepsTest, AHandlerMayTakeEventsAtEachOfThem) {
    timespec short_wait = {0, 1000};
    for (const long min_nr : {1, 4}) {  // from the ring; more than there are, in the kernel
        io_event inner[2];
        int inner_count = -1;
        Steps steps([&] { inner_count = io_getevents(ctx_, 0, 2, inner, nullptr); });
        int step = 0;
        bool is_reached = true;
        int taken_inside_count = 0;
        while (is_reached) {
            tag_ = 0;
            inner_count = 0;
            Finish(3);
            io_event outer[4];
            int outer_count = 0;
            is_reached = steps.Interrupt(
                ++step, [&] { outer_count = io_getevents(ctx_, min_nr, 4, outer, &short_wait); });
            ASSERT_GE(outer_count, 0);
            ASSERT_GE(inner_count, 0);
            std::vector<uintptr_t> tags;
            AddTags(&tags, outer, outer_count);
            AddTags(&tags, inner, inner_count);
            io_event rest[4];
            AddTags(&tags, rest, io_getevents(ctx_, 0, 4, rest, nullptr));
            ASSERT_THAT(tags, UnorderedElementsAre(1, 2, 3)) << "step " << step;
            taken_inside_count += inner_count > 0;
        }
        EXPECT_GT(step, 40);
        EXPECT_GT(taken_inside_count, 10);
        EXPECT_LT(taken_inside_count, step - 10);  // not where it would disturb
    }
}

// Processes, for each destroy takes 30 ms, and what one destroys must not be another's at once.
TEST_F(StepsTest, AHandlerMayDestroyTheContextAtEachOfThem) {
    struct Counts {
        std::atomic<int> refused;
        std::atomic<int> destroyed;
    };
    void *shared =
        mmap(nullptr, sizeof(Counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(shared, MAP_FAILED);
    Counts *counts = new (shared) Counts{};
    const auto interrupt_every = [&](int first, int stride) {
        io_context_t ctx = nullptr;
        int destroyed = 1;
        Steps steps([&] { destroyed = io_destroy(ctx); });
        bool is_reached = true;
        for (int step = first; is_reached; step += stride) {
            ctx = nullptr;
            ASSERT_EQ(io_setup(1, &ctx), 0);
            iocb request;
            iocb *pointer = &request;
            io_prep_pwrite(&request, null_, &byte_, 1, 0);
            ASSERT_EQ(io_submit(ctx, 1, &pointer), 1);
            io_event event;
            int answer = 0;
            destroyed = 1;
            is_reached =
                steps.Interrupt(step, [&] { answer = io_getevents(ctx, 1, 1, &event, nullptr); });
            ASSERT_TRUE(answer == 1 || (answer == -EINVAL && destroyed == 0)) << answer;
            ASSERT_THAT(destroyed, AnyOf(0, -EINTR, 1));
            ASSERT_EQ(io_destroy(ctx), destroyed == 0 ? -EINVAL : 0);
            counts->refused += destroyed == -EINTR;
            counts->destroyed += destroyed == 0;
        }
    };
    constexpr int kChildren = 8;
    fflush(nullptr);
    for (int first = 1; first <= kChildren; ++first) {
        const pid_t child = fork();
        ASSERT_NE(child, -1);
        if (child == 0) {
            alarm(kSeconds);
            interrupt_every(first, kChildren);
            fflush(nullptr);
            _exit(HasFailure() ? 1 : 0);
        }
    }
    for (int i = 0; i < kChildren; ++i) {
        int answer = -1;
        EXPECT_GT(wait(&answer), 0);
        EXPECT_EQ(answer, 0);
    }
    EXPECT_GT(counts->refused, 10);
    EXPECT_GT(counts->destroyed, 10);
    munmap(shared, sizeof(Counts));
}

// A Holder is a thread that has begun to take one event, and holds the others up until it is told
// to go on.
class Holder {
  public:
    explicit Holder(io_context_t ctx)
        : fault_([this] {
              is_holding_ = true;
              while (!may_go_) {
                  std::this_thread::yield();
              }
          }),
          thread_([this, ctx] {
              count_ = io_getevents(ctx, 1, 1, fault_.Room(), nullptr);
              is_done_ = true;
          }) {
        while (!is_holding_) {
            std::this_thread::yield();
        }
    }
    ~Holder() {
        Release();
        thread_.join();
        EXPECT_EQ(count_, 1);
    }
    Holder(const Holder &) = delete;
    Holder &operator=(const Holder &) = delete;

    void Release() {
        may_go_ = true;
    }
    void Finish() {
        Release();
        while (!is_done_) {
            std::this_thread::yield();
        }
    }

  private:
    std::atomic<bool> is_holding_ = false;
    std::atomic<bool> may_go_ = false;
    std::atomic<bool> is_done_ = false;
    int count_ = 0;
    Fault fault_;
    std::thread thread_;
};

// Whoever waits is woken, whenever the other was done: before it slept, or when it did.
TEST_F(StepsTest, WhoWaitsIsWokenAtEachOfThem) {
    const auto self = static_cast<pid_t>(syscall(SYS_gettid));
    bool is_reached = true;
    int step = 0;
    int slept_count = 0;
    while (is_reached) {
        Finish(2);
        Holder holder(ctx_);
        Steps steps([&] { holder.Finish(); });
        std::atomic<bool> is_done = false;
        std::thread waker([&] {
            while (!is_done && !IsAsleep(self, SYS_futex)) {
                std::this_thread::yield();
            }
            slept_count += !is_done;
            holder.Release();
        });
        io_event event;
        int count = 0;
        is_reached =
            steps.Interrupt(++step, [&] { count = io_getevents(ctx_, 1, 1, &event, nullptr); });
        is_done = true;
        waker.join();
        ASSERT_EQ(count, 1);
    }
    EXPECT_GT(step, 40);
    EXPECT_GT(slept_count, 0);
}

// A stray write to the ring's header never makes the call read or write elsewhere.
TEST_F(StepsTest, TheRingMayBeScribbledOnAtEachOfThem) {
    kaio_raw_ring *ring = Ring();
    for (uint32_t kaio_raw_ring::*word :
         {&kaio_raw_ring::head, &kaio_raw_ring::nr, &kaio_raw_ring::magic}) {
        bool is_reached = true;
        for (int step = 1; is_reached; ++step) {
            Finish(2);
            const kaio_raw_ring good = *ring;
            Steps steps([&] { ring->*word = 1000000; });
            io_event events[2];
            int count = 0;
            is_reached =
                steps.Interrupt(step, [&] { count = io_getevents(ctx_, 0, 2, events, &no_wait_); });
            ASSERT_GE(count, 0);
            ASSERT_LE(count, 2);
            ring->head = good.tail;
            ring->nr = good.nr;
            ring->magic = good.magic;
        }
    }
}

// ---- at any moment ----

// A storm of handlers that take events, too, over a loop that does.
std::atomic<io_context_t> storm_ctx = nullptr;
Collector *storm_collector = nullptr;
std::atomic<int> storm_count = 0;

void TakeSome(int) {
    io_event events[2];
    const int count = io_getevents(storm_ctx, 0, 2, events, nullptr);
    if (count > 0) {
        storm_collector->Take(events, count);
        ++storm_count;
    }
}

TEST_F(HandlersTest, HandlersThatTakeEventsGetEachOnce) {
    constexpr uintptr_t kCount = 60000;
    Collector collector(kCount);
    storm_ctx = ctx_;
    storm_collector = &collector;
    struct sigaction action = {};
    action.sa_handler = TakeSome;
    ASSERT_EQ(sigaction(SIGUSR2, &action, nullptr), 0);
    sigevent how = {};
    how.sigev_notify = SIGEV_SIGNAL;
    how.sigev_signo = SIGUSR2;
    timer_t timer = nullptr;
    ASSERT_EQ(timer_create(CLOCK_MONOTONIC, &how, &timer), 0);
    std::thread submitter([&] {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_BLOCK, &all, nullptr);
        SubmitAll(ctx_, null_, 0, kCount);
    });
    const itimerspec storm = {{0, 100000}, {0, 100000}};
    ASSERT_EQ(timer_settime(timer, 0, &storm, nullptr), 0);

    while (!collector.HasAll()) {
        io_event events[3];
        const int count = io_getevents(ctx_, 0, 3, events, nullptr);
        ASSERT_GE(count, 0);
        collector.Take(events, count);
    }

    timer_delete(timer);
    submitter.join();
    signal(SIGUSR2, SIG_DFL);
    EXPECT_EQ(collector.WrongCount(), 0u);
    EXPECT_GT(storm_count, 0);
}

}  // namespace
}  // namespace kaio_test
