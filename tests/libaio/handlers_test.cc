// //raw/libaio where a call is interrupted in the middle: by a signal handler, by other threads.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "libaio.h"
#include "tests/libaio/libaio_test.h"
#include "tests/support/folder.h"
#include "tests/tools/probe_filter.h"

namespace kaio_test {
namespace {

using testing::ElementsAre;

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

TEST_F(LibaioTest, AHandlerThatInterruptedTheCallIsNotLockedOut) {
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

TEST_F(LibaioTest, OthersWaitUntilTheEventsAreTaken) {
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

TEST_F(LibaioTest, DestroyWaitsUntilTheEventsAreTaken) {
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

TEST_F(LibaioTest, ASandboxThatForbidsFutexOnlyMakesItSlower) {
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

TEST_F(LibaioTest, HandlersThatTakeEventsGetEachOnce) {
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
