// Waking a run from other threads, in races with everything.

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include "kaio/safe/poll.h"
#include "kaio/safe/run.h"
#include "tests/support/in_child.h"
#include "tests/support/safe_test.h"

namespace kaio_test {
namespace {

constexpr uint32_t kWakes = 100000;

class WakeTest : public QueueTest {
  protected:
    void SetUp() override {
        QueueTest::SetUp();
        ASSERT_EQ(pipe2(fds_, O_CLOEXEC), 0);
        ASSERT_OK(kaio_file_borrow(fds_[0], &reader_));
        zero_ = OpenFile("/dev/zero", O_RDONLY);
    }

    void TearDown() override {
        QueueTest::TearDown();
        kaio_file_drop(&reader_);
        kaio_file_drop(&zero_);
        close(fds_[0]);
        close(fds_[1]);
    }

    // Something that is owed for ever.
    void StartPoll() {
        kaio_ticket ticket = {};
        EXPECT_OK(K(kaio_poll_start(queue_, reader_, kaio_poll_readable(), 9, &ticket)));
    }

    kaio_run_end Run(kaio_deadline deadline = kaio_deadline_after_ns(30000000000)) {
        kaio_run_report report = {};
        const kaio_handlers handlers = {};
        EXPECT_OK(K(kaio_queue_run(queue_, &handlers, nullptr, deadline, &report)));
        return report.ended;
    }

    kaio_file *reader_ = nullptr;
    kaio_file *zero_ = nullptr;
    int fds_[2] = {-1, -1};
};

TEST_F(WakeTest, AThreadWakesARunThatSleeps) {
    StartPoll();
    std::thread waker([this] {
        usleep(20000);
        kaio_queue_wake(queue_);
    });

    EXPECT_EQ(Run(kaio_deadline_never()), KAIO_RUN_WOKEN);

    waker.join();
    EXPECT_EQ(Run(kaio_deadline_after_ns(1000000)), KAIO_RUN_DEADLINE) << "it counts once";
    EXPECT_EQ(Counts().in_flight_count, 1u);
    EXPECT_EQ(Counters().duplicate_count, 0u);
}

// Each wake is answered by a run before the next one is sent: none is lost, and none counts twice.
TEST_F(WakeTest, OneWakeIsOneWokenRunInARaceWithBlocking) {
    StartPoll();
    std::atomic<uint32_t> woken_count{0};
    std::thread waker([&] {
        for (uint32_t i = 0; i < kWakes; ++i) {
            kaio_queue_wake(queue_);
            while (woken_count.load() == i) {
                std::this_thread::yield();
            }
        }
    });
    while (woken_count < kWakes && !HasFailure()) {
        kaio_run_report report = {};
        const kaio_handlers handlers = {};
        ASSERT_OK(kaio_queue_run(queue_, &handlers, nullptr, kaio_deadline_after_ns(30000000000),
                                 &report));
        ASSERT_EQ(report.ended, KAIO_RUN_WOKEN) << "wake " << woken_count << " was lost";
        ++woken_count;
    }
    woken_count = kWakes;
    waker.join();

    EXPECT_EQ(Run(kaio_deadline_after_ns(1000000)), KAIO_RUN_DEADLINE);
    EXPECT_EQ(Counters().duplicate_count, 0u);
}

// Many wakers, which do not wait: the last wake is seen by a run that begins after it.
TEST_F(WakeTest, ManyWakersLoseNoWake) {
    constexpr uint32_t kWakers = 3;
    StartPoll();
    std::atomic<uint32_t> sent_count{0};
    std::vector<std::thread> wakers;
    for (uint32_t n = 0; n < kWakers; ++n) {
        wakers.emplace_back([&] {
            for (uint32_t i = 0; i < kWakes / kWakers; ++i) {
                kaio_queue_wake(queue_);
                ++sent_count;
            }
        });
    }
    uint32_t woken_count = 0;
    const uint32_t all = kWakes / kWakers * kWakers;
    uint32_t before = 0;
    do {
        before = sent_count;
        if (Run(kaio_deadline_after_ns(before < all ? 30000000000 : 1000000)) == KAIO_RUN_WOKEN) {
            ++woken_count;
        }
    } while (before < all);
    for (std::thread &waker : wakers) {
        waker.join();
    }

    EXPECT_GE(woken_count, 1u);
    EXPECT_LE(woken_count, all);
    while (Run(kaio_deadline_after_ns(1000000)) == KAIO_RUN_WOKEN) {
        EXPECT_LE(++woken_count, all);
    }
}

// Wakers hold on to a handle whose queue is closed, and whose place and descriptor others get.
TEST_F(WakeTest, WakersThatRaceWithTheEndHitNobodyElse) {
    constexpr uint32_t kRounds = 60;
    std::atomic<kaio_queue *> current{nullptr};
    std::atomic<bool> is_over{false};
    std::atomic<uint64_t> wake_count{0};
    std::vector<std::thread> wakers;
    for (int n = 0; n < 2; ++n) {
        wakers.emplace_back([&] {
            while (!is_over) {
                kaio_queue *queue = current;
                for (int i = 0; i < 50; ++i) {
                    kaio_queue_wake(queue);
                    ++wake_count;
                }
            }
        });
    }
    kaio_queue_options options = Options();
    uint32_t round = 0;
    while ((round < kRounds || wake_count < kWakes) && !HasFailure()) {
        ++round;
        kaio_queue *queue = nullptr;
        ASSERT_OK(kaio_queue_open(&options, &queue));
        current = queue;
        kaio_ticket ticket = {};
        ASSERT_OK(kaio_poll_start(queue, reader_, kaio_poll_readable(), 9, &ticket));
        const kaio_handlers handlers = {};
        kaio_run_report report = {};
        ASSERT_OK(kaio_queue_run(queue, &handlers, nullptr, kaio_deadline_after_ns(30000000000),
                                 &report));
        EXPECT_EQ(report.ended, KAIO_RUN_WOKEN);
        kaio_destroy_report destroyed = {};
        EXPECT_OK(kaio_queue_destroy(&queue, nullptr, nullptr, &destroyed));
        // The descriptors that are free now become eventfds of ours: nobody else writes to them.
        int fds[4];
        for (int &fd : fds) {
            fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        }
        usleep(200);
        for (const int fd : fds) {
            uint64_t count = 0;
            EXPECT_EQ(read(fd, &count, sizeof count), -1) << "a waker wrote to a stranger's file";
            close(fd);
        }
    }
    is_over = true;
    for (std::thread &waker : wakers) {
        waker.join();
    }
}

// The place of a queue that ended is used again, while somebody goes on waking the old one.
TEST_F(WakeTest, AStaleWakeDoesNotWakeTheNextQueueOfThePlace) {
    kaio_queue *const stale = queue_;
    EXPECT_OK(K(kaio_queue_close(&queue_)));
    std::atomic<bool> is_over{false};
    std::thread waker([&] {
        while (!is_over) {
            kaio_queue_wake(stale);
        }
    });
    QueueTest::SetUp();
    StartPoll();

    EXPECT_EQ(Run(kaio_deadline_after_ns(50000000)), KAIO_RUN_DEADLINE);

    is_over = true;
    waker.join();
}

TEST_F(WakeTest, ADropByAnotherThreadEndsARunThatSleeps) {
    StartPoll();
    kaio_queue *const alias = queue_;
    std::thread dropper([alias] {
        usleep(20000);
        kaio_queue *mine = alias;
        kaio_queue_drop(&mine);
    });
    kaio_run_report report = {};
    const kaio_handlers handlers = {};

    EXPECT_OK(
        kaio_queue_run(alias, &handlers, nullptr, kaio_deadline_after_ns(30000000000), &report));
    queue_ = nullptr;

    EXPECT_EQ(report.ended, KAIO_RUN_STOPPED);
    EXPECT_EQ(kaio_testing_count().queue_count, 0u);
    dropper.join();
    QueueTest::SetUp();
}

TEST_F(WakeTest, ADetachedQueueKeepsItsWake) {
    StartPoll();
    EXPECT_EQ(Run(kaio_deadline_after_ns(1000000)), KAIO_RUN_DEADLINE);
    EXPECT_OK(K(kaio_queue_detach(queue_)));
    kaio_queue_wake(queue_);
    std::thread([this] {
        EXPECT_OK(kaio_queue_attach(queue_));
        EXPECT_EQ(Run(kaio_deadline_never()), KAIO_RUN_WOKEN);
        EXPECT_EQ(Run(kaio_deadline_after_ns(1000000)), KAIO_RUN_DEADLINE);
        EXPECT_OK(kaio_queue_detach(queue_));
    }).join();
    EXPECT_OK(kaio_queue_attach(queue_));
}

TEST_F(WakeTest, AThreadThatEndsInsideAHandlerLeavesAQueueThatCanBeAttached) {
    kaio_queue *left = nullptr;
    std::thread([&] {
        const kaio_queue_options options = Options();
        ASSERT_OK(kaio_queue_open(&options, &left));
        for (uint64_t i = 0; i < 3; ++i) {
            kaio_buffer *buffer = NewBuffer(8, 8);
            kaio_ticket ticket = {};
            ASSERT_OK(
                kaio_read_start(left, zero_, Range(0, 8), kaio_rw_none(), i, &buffer, &ticket));
        }
        pthread_t thread = {};
        ASSERT_OK(kaio_queue_detach(left));
        // A thread of C: an exit from a handler unwinds no C++ frames.
        struct Ending {
            kaio_queue *queue;
        } ending = {left};
        ASSERT_EQ(pthread_create(
                      &thread, nullptr,
                      [](void *context) -> void * {
                          kaio_queue *queue = static_cast<Ending *>(context)->queue;
                          kaio_handlers handlers = {};
                          handlers.on_read = [](void *, uint64_t, kaio_read_result *result) {
                              kaio_buffer_drop(&result->buffer);
                              pthread_exit(nullptr);
                          };
                          kaio_run_report report = {};
                          kaio_ignore(kaio_queue_attach(queue));
                          kaio_ignore(kaio_queue_run(queue, &handlers, nullptr,
                                                     kaio_deadline_never(), &report));
                          return context;
                      },
                      &ending),
                  0);
        void *returned = &ending;
        ASSERT_EQ(pthread_join(thread, &returned), 0);
        EXPECT_EQ(returned, nullptr) << "it ended in the handler";
    }).join();

    ASSERT_OK(kaio_queue_attach(left));
    EXPECT_EQ(kaio_testing_fault(left), nullptr);
    const kaio_handlers handlers = {};
    kaio_run_report report = {};
    EXPECT_OK(kaio_queue_run(left, &handlers, nullptr, kaio_deadline_never(), &report));
    EXPECT_EQ(report.completed_count, 2u);
    EXPECT_OK(kaio_queue_close(&left));
}

// Forbidden, and still nobody else's harm: the queue is in a run for ever, and ends with its
// thread.
TEST_F(WakeTest, AHandlerThatJumpsOutLeavesAQueueThatAnswersAndEndsWithItsThread) {
    const kaio_queue_options options = Options();
    kaio_queue *left = nullptr;
    std::thread([&] {
        static jmp_buf out;
        ASSERT_OK(kaio_queue_open(&options, &left));
        kaio_buffer *buffer = NewBuffer(8, 8);
        kaio_ticket ticket = {};
        ASSERT_OK(kaio_read_start(left, zero_, Range(0, 8), kaio_rw_none(), 1, &buffer, &ticket));
        kaio_handlers handlers = {};
        handlers.on_read = [](void *, uint64_t, kaio_read_result *result) {
            kaio_buffer_drop(&result->buffer);
            longjmp(out, 1);
        };
        kaio_run_report report = {};
        if (setjmp(out) == 0) {
            kaio_ignore(kaio_queue_run(left, &handlers, nullptr, kaio_deadline_never(), &report));
            ADD_FAILURE() << "it did not jump";
        }
        uint32_t ready = 0;
        kaio_queue_counts counts = {};
        kaio_queue *alias = left;
        EXPECT_CODE(KAIO_REENTERED, kaio_queue_wait(left, 0, kaio_deadline_now(), &ready));
        EXPECT_CODE(KAIO_REENTERED, kaio_queue_close(&alias));
        EXPECT_OK(kaio_queue_count(left, &counts));
        EXPECT_EQ(counts.free_count, counts.depth);
        EXPECT_EQ(kaio_testing_fault(left), nullptr);
        kaio_queue_drop(&alias);
        EXPECT_EQ(kaio_testing_count().queue_count, 2u) << "not yet";
    }).join();

    EXPECT_EQ(kaio_testing_count().queue_count, 1u);
    kaio_queue_wake(left);
}

// ---- processes ----

TEST_F(WakeTest, AChildThatAHandlerMakesIsAnsweredForkedAlsoBehindTheHandler) {
    for (uint64_t i = 0; i < 2; ++i) {
        kaio_buffer *buffer = NewBuffer(8, 8);
        StartRead(zero_, 0, &buffer, i);
    }
    struct Forking {
        kaio_queue *queue;
        pid_t child;
    } forking = {queue_, -1};
    kaio_handlers handlers = {};
    handlers.on_read = [](void *context, uint64_t user, kaio_read_result *result) {
        Forking *with = static_cast<Forking *>(context);
        if (user == 0) {
            with->child = fork();
        }
        if (with->child == 0) {  // which calls nothing, so that the run itself must look
            EXPECT_EQ(user, 0u) << "the run went on in the child";
            result->buffer = nullptr;
        }
    };
    kaio_run_report report = {};

    const kaio_status status =
        kaio_queue_run(queue_, &handlers, &forking, kaio_deadline_never(), &report);

    if (forking.child == 0) {
        kaio_queue_counts counts = {};
        EXPECT_CODE(KAIO_FORKED, kaio_queue_count(queue_, &counts));
        kaio_queue_wake(queue_);
        _exit(status.code == KAIO_FORKED && report.ended == 0 && !HasFailure() ? 0 : 1);
    }
    EXPECT_OK(status);
    EXPECT_EQ(report.ended, KAIO_RUN_IDLE);
    EXPECT_EQ(report.completed_count, 2u) << "the child took nothing";
    int answer = 0;
    ASSERT_EQ(waitpid(forking.child, &answer, 0), forking.child);
    EXPECT_TRUE(WIFEXITED(answer) && WEXITSTATUS(answer) == 0) << answer;
}

TEST_F(WakeTest, AChildsWakeDoesNotWakeTheParent) {
    StartPoll();
    EXPECT_EQ(Run(kaio_deadline_after_ns(1000000)), KAIO_RUN_DEADLINE);

    ExpectFineInChild([this] { kaio_queue_wake(queue_); });

    EXPECT_EQ(Run(kaio_deadline_after_ns(1000000)), KAIO_RUN_DEADLINE);
}

// The process is stopped and continued while the run sleeps.
TEST_F(WakeTest, StopsDoNotEndARunAndItsDeadlineStays) {
    StartPoll();
    const pid_t parent = getpid();
    const pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < 3; ++i) {
            usleep(20000);
            kill(parent, SIGSTOP);
            usleep(20000);
            kill(parent, SIGCONT);
        }
        _exit(0);
    }
    const int64_t begin_ns = kaio_deadline_after_ns(1).at_ns;

    EXPECT_EQ(Run(kaio_deadline_after_ns(400000000)), KAIO_RUN_DEADLINE);

    const int64_t passed_ns = kaio_deadline_after_ns(1).at_ns - begin_ns;
    EXPECT_GE(passed_ns, 400000000);
    EXPECT_LT(passed_ns, 10000000000);
    int answer = 0;
    EXPECT_EQ(waitpid(child, &answer, 0), child);
}

TEST_F(WakeTest, WithoutADescriptorLeftARunDoesNothing) {
    kaio_buffer *buffer = NewBuffer(8, 8);
    StartRead(zero_, 0, &buffer);
    rlimit old = {};
    ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
    const rlimit none = {0, old.rlim_max};
    const kaio_handlers handlers = {};
    kaio_run_report report = {};

    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    const kaio_status status =
        K(kaio_queue_run(queue_, &handlers, nullptr, kaio_deadline_never(), &report));
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);

    EXPECT_CODE(KAIO_OS_ERROR, status);
    EXPECT_EQ(status.os_error, EMFILE);
    EXPECT_EQ(Counts().staged_count, 1u);
    EXPECT_EQ(Run(), KAIO_RUN_IDLE);
}

TEST_F(WakeTest, ADescriptorIsMadeByTheFirstRunAndClosedWithTheQueue) {
    const auto count_fds = [] {
        int count = 0;
        for (int fd = 0; fd < 1024; ++fd) {
            count += fcntl(fd, F_GETFD) != -1 ? 1 : 0;
        }
        return count;
    };
    const int before = count_fds();
    kaio_queue_options options = Options();
    kaio_queue *queue = nullptr;
    ASSERT_OK(kaio_queue_open(&options, &queue));
    EXPECT_EQ(count_fds(), before) << "only queues that run pay for it";
    const kaio_handlers handlers = {};
    kaio_run_report report = {};
    EXPECT_OK(kaio_queue_run(queue, &handlers, nullptr, kaio_deadline_now(), &report));
    EXPECT_OK(kaio_queue_run(queue, &handlers, nullptr, kaio_deadline_now(), &report));

    EXPECT_EQ(count_fds(), before + 1);
    EXPECT_OK(kaio_queue_close(&queue));
    EXPECT_EQ(count_fds(), before);
}

// ---- signal handlers ----

kaio_queue *signalled_queue;
std::atomic<uint32_t> signal_count;

void OnSignal(int) {
    const int before = errno;
    kaio_queue_wake(signalled_queue);
    if (errno != before) {
        abort();
    }
    ++signal_count;
}

TEST_F(WakeTest, SignalHandlersWakeInAStorm) {
    signalled_queue = queue_;
    signal_count = 0;
    struct sigaction action = {};
    action.sa_handler = OnSignal;
    ASSERT_EQ(sigaction(SIGALRM, &action, nullptr), 0);
    StartPoll();
    itimerval timer = {};
    timer.it_value.tv_usec = timer.it_interval.tv_usec = 200;
    ASSERT_EQ(setitimer(ITIMER_REAL, &timer, nullptr), 0);
    uint32_t woken_count = 0;
    while (woken_count < 300 && !HasFailure()) {
        woken_count += Run() == KAIO_RUN_WOKEN;
    }
    timer = {};
    ASSERT_EQ(setitimer(ITIMER_REAL, &timer, nullptr), 0);
    signal(SIGALRM, SIG_DFL);

    EXPECT_GE(signal_count, woken_count);
    EXPECT_EQ(Counts().in_flight_count, 1u);
}

}  // namespace
}  // namespace kaio_test
