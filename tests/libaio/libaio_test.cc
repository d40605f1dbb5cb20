// The calls of //raw/libaio:libaio: what they answer, and when they ask the kernel.

#include "libaio.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "kaio/raw/aio_syscall.h"
#include "tests/libaio/libaio_test.h"
#include "tests/support/folder.h"
#include "tests/support/in_child.h"

namespace kaio_test {
namespace {

using testing::AnyOf;
using testing::ElementsAre;
using testing::IsEmpty;

// ---- from the ring ----

TEST_F(LibaioTest, EventsThatAreThereNeedNoSystemCall) {
    Finish(6);
    WithoutCalls(kWaits, [this] {
        EXPECT_THAT(Get(1, 1), ElementsAre(1));
        EXPECT_THAT(Get(0, 2), ElementsAre(2, 3));
        EXPECT_THAT(Get(2, 8), ElementsAre(4, 5, 6));
    });
}

TEST_F(LibaioTest, NothingIsAskedForWhereNobodyWantsToWait) {
    WithoutCalls(kWaits, [this] {
        EXPECT_THAT(Get(0, 8), IsEmpty());
        EXPECT_THAT(Get(3, 8, &no_wait_), IsEmpty());
        Finish(2);
        EXPECT_THAT(Get(3, 8, &no_wait_), ElementsAre(1, 2));
    });
}

TEST_F(LibaioTest, WhatIsNotThereIsTheKernelsToWaitFor) {
    Finish(2);
    timespec short_wait = {0, 1000000};
    timespec long_wait = {1, 0};
    WithoutCalls(kWaits, [&] {
        EXPECT_THAT(Get(3, 8), ElementsAre(-EPERM));
        EXPECT_THAT(Get(3, 8, &short_wait), ElementsAre(-EPERM));
        EXPECT_THAT(Get(3, 8, &long_wait), ElementsAre(-EPERM));
    });

    EXPECT_THAT(Get(3, 8, &short_wait), ElementsAre(1, 2));
}

TEST_F(LibaioTest, TheRingIsReadRoundItsEnd) {
    const long nr = static_cast<long>(Ring()->nr);
    std::vector<long> expected(3);
    for (long done = 0; done < 3 * nr; done += 3) {
        Finish(3);
        std::iota(expected.begin(), expected.end(), done + 1);
        WithoutCalls(kWaits, [&] { ASSERT_EQ(Get(3, 3), expected); });
    }
}

TEST_F(LibaioTest, AllThatTheContextHasRoomForComesAtOnce) {
    const int nr = static_cast<int>(Ring()->nr);
    Finish(nr / 2);
    EXPECT_EQ(Get(nr / 2, nr).size(), static_cast<size_t>(nr / 2));
    tag_ = 0;
    while (TryToFinish() == 1) {
    }
    ASSERT_GE(--tag_, kEvents);
    std::vector<long> expected(static_cast<size_t>(tag_));
    std::iota(expected.begin(), expected.end(), 1);

    WithoutCalls(kWaits, [&] { EXPECT_EQ(Get(tag_, nr), expected); });
}

TEST_F(LibaioTest, WithoutAMaskPgeteventsIsGetevents) {
    Finish(1);
    io_event event;
    timespec short_wait = {0, 1000000};
    WithoutCalls({SYS_io_pgetevents}, [&] {  // as containers do
        EXPECT_EQ(io_pgetevents(ctx_, 1, 1, &event, nullptr, nullptr), 1);
        EXPECT_EQ(io_pgetevents(ctx_, 1, 1, &event, &short_wait, nullptr), 0);
    });
}

TEST_F(LibaioTest, WithAMaskTheKernelIsAskedAlways) {
    Finish(1);
    io_event event;
    sigset_t mask;
    sigemptyset(&mask);
    WithoutCalls({SYS_io_pgetevents},
                 [&] { EXPECT_EQ(io_pgetevents(ctx_, 1, 1, &event, nullptr, &mask), -EPERM); });
    EXPECT_EQ(io_pgetevents(ctx_, 1, 1, &event, nullptr, &mask), 1);
}

void Ignore(int) {}

TEST_F(LibaioTest, TheMaskLetsASignalIn) {
    struct sigaction action = {};
    action.sa_handler = Ignore;
    ASSERT_EQ(sigaction(SIGUSR1, &action, nullptr), 0);
    sigset_t blocked;
    sigset_t old;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &blocked, &old), 0);
    ASSERT_EQ(raise(SIGUSR1), 0);
    io_event event;

    EXPECT_EQ(io_pgetevents(ctx_, 1, 1, &event, nullptr, &old), -EINTR);

    ASSERT_EQ(pthread_sigmask(SIG_SETMASK, &old, nullptr), 0);
}

TEST_F(LibaioTest, AContextThatAnotherMadeGoesToTheKernel) {
    kaio_raw_context raw = 0;
    ASSERT_EQ(kaio_raw_setup(8, &raw), 0);
    io_event event;
    const auto foreign = reinterpret_cast<io_context_t>(raw);
    WithoutCalls(kWaits,
                 [&] { EXPECT_EQ(io_getevents(foreign, 0, 1, &event, &no_wait_), -EPERM); });
    EXPECT_EQ(io_getevents(foreign, 0, 1, &event, &no_wait_), 0);
    EXPECT_EQ(io_destroy(foreign), 0);
}

TEST_F(LibaioTest, AContextOfTheAddressOfOneThatWentUnseenIsANewOne) {
    const io_context_t old = ctx_;
    ASSERT_EQ(kaio_raw_destroy(reinterpret_cast<kaio_raw_context>(old)), 0);
    ctx_ = nullptr;
    ASSERT_EQ(io_setup(kEvents, &ctx_), 0);
    ASSERT_EQ(ctx_, old) << "the kernel gave another address";
    Finish(1);

    WithoutCalls(kWaits, [this] { EXPECT_THAT(Get(1, 1), ElementsAre(1)); });
}

TEST_F(LibaioTest, ARingThatIsNotAsItWasIsTheKernelsToRead) {
    Finish(1);
    kaio_raw_ring *ring = Ring();
    for (uint32_t *word : {&ring->magic, &ring->nr, &ring->head}) {
        const uint32_t good = *word;
        *word = 1000000;
        WithoutCalls(kWaits, [this] { EXPECT_THAT(Get(0, 1), ElementsAre(-EPERM)); });
        *word = good;
    }
    EXPECT_THAT(Get(1, 1), ElementsAre(1));
}

// More contexts than the table has places: each works, those without a place by system calls.
TEST_F(LibaioTest, ContextsWithoutAPlaceWork) {
    ExpectFineInChild([this] {  // which ends without 30 ms for each
        alarm(kSeconds);
        constexpr size_t kContexts = 600;
        std::vector<io_context_t> contexts(kContexts);
        for (io_context_t &context : contexts) {
            ASSERT_EQ(io_setup(1, &context), 0);
        }
        for (const io_context_t context : contexts) {
            ctx_ = context;
            tag_ = 0;
            Finish(1);
            ASSERT_THAT(Get(1, 1), ElementsAre(1));
            ASSERT_THAT(Get(0, 1, &no_wait_), IsEmpty());
        }
        size_t by_ring_count = 0;
        WithoutCalls(kWaits, [&] {
            for (const io_context_t context : contexts) {
                io_event event;
                by_ring_count += io_getevents(context, 0, 1, &event, &no_wait_) == 0;
            }
        });
        EXPECT_GT(by_ring_count, 128u);
        EXPECT_LT(by_ring_count, kContexts);
    });
}

// ---- errors ----

// What is wrong is answered as the kernel does, whether events are there or not.
TEST_F(LibaioTest, ErrorsAreTheKernels) {
    struct Case {
        uintptr_t ctx;
        long min_nr;
        long nr;
        bool has_room;
    };
    io_event events[8];
    const auto good = reinterpret_cast<uintptr_t>(ctx_);
    const Case cases[] = {{0, 0, 1, true},     {8, 0, 1, true},      {good + 4096, 0, 1, true},
                          {good, 2, 1, true},  {good, -1, 1, true},  {good, 0, -1, true},
                          {good, 0, 0, true},  {good, 0, 0, false},  {good, 1, 0, true},
                          {good, 1, 1, false}, {good, -2, -1, true}, {UINTPTR_MAX, 1, 1, true}};
    for (const int finished_count : {0, 1}) {
        Finish(finished_count);
        for (const Case &wrong : cases) {
            io_event *room = wrong.has_room ? events : nullptr;
            kaio_raw_old_timespec raw_no_wait = {0, 0};
            const long expected =
                kaio_raw_getevents(wrong.ctx, wrong.min_nr, wrong.nr,
                                   reinterpret_cast<kaio_raw_event *>(room), &raw_no_wait);
            errno = 1234;
            EXPECT_EQ(io_getevents(reinterpret_cast<io_context_t>(wrong.ctx), wrong.min_nr,
                                   wrong.nr, room, &no_wait_),
                      expected)
                << wrong.ctx - good << " " << wrong.min_nr << " " << wrong.nr;
            EXPECT_EQ(errno, 1234);
        }
    }
    EXPECT_THAT(Get(1, 1), ElementsAre(1));
}

TEST_F(LibaioTest, TheOtherCallsAnswerTheKernelsErrorsAndLeaveErrnoAlone) {
    io_context_t none = nullptr;
    io_context_t used = ctx_;
    iocb request;
    iocb *pointer = &request;
    io_event event;
    io_prep_pread(&request, -1, &byte_, 1, 0);
    errno = 1234;

    EXPECT_EQ(io_setup(0, &none), -EINVAL);
    EXPECT_EQ(io_setup(1, &used), -EINVAL);
    EXPECT_EQ(io_setup(1, nullptr), -EFAULT);
    EXPECT_EQ(io_queue_init(0, &used), -EINVAL);  // which is left as it was
    EXPECT_EQ(used, ctx_);
    EXPECT_EQ(io_queue_init(-5, &none), -EINVAL);
    EXPECT_EQ(io_setup(-5, &none), -EINVAL);
    EXPECT_EQ(io_destroy(none), -EINVAL);
    EXPECT_EQ(io_queue_release(none), -EINVAL);
    EXPECT_EQ(io_submit(none, 1, &pointer), -EINVAL);
    EXPECT_EQ(io_submit(ctx_, 1, &pointer), -EBADF);
    EXPECT_EQ(io_submit(ctx_, -1, &pointer), -EINVAL);
    EXPECT_EQ(io_submit(ctx_, 0, &pointer), 0);
    EXPECT_EQ(io_cancel(ctx_, &request, &event), -EINVAL);
    EXPECT_EQ(io_queue_run(none), -EINVAL);

    EXPECT_EQ(errno, 1234);
}

// ---- the operations ----

struct Call {
    io_context_t ctx;
    iocb *request;
    long res;
    long res2;
};
std::vector<Call> calls;
void Note(io_context_t ctx, iocb *request, long res, long res2) {
    calls.push_back({ctx, request, res, res2});
}

TEST_F(LibaioTest, QueueRunCallsBackWithWhatBecameOfEachRequest) {
    calls.clear();
    iocb requests[3];
    io_prep_pwrite(&requests[0], null_, &byte_, 1, 0);
    io_set_callback(&requests[0], Note);
    io_prep_pwrite(&requests[1], null_, &byte_, 1, 0);
    io_set_callback(&requests[1], Note);
    iocb *pointers[] = {&requests[0], &requests[1]};
    ASSERT_EQ(io_submit(ctx_, 2, pointers), 2);
    ASSERT_EQ(io_poll(ctx_, &requests[2], Note, pipe_[1], POLLOUT), 1);
    ASSERT_TRUE(WaitFor([&] { return Ring()->tail - Ring()->head == 3; }));

    EXPECT_EQ(io_queue_run(ctx_), 0);

    ASSERT_EQ(calls.size(), 3u);
    for (size_t i = 0; i < 3; ++i) {
        EXPECT_EQ(calls[i].ctx, ctx_);
        EXPECT_EQ(calls[i].request, &requests[i]);
        EXPECT_EQ(calls[i].res, i == 2 ? POLLOUT : 1);
        EXPECT_EQ(calls[i].res2, 0);
    }
}

// Each helper of the header makes a request that does what its name says.
TEST_F(LibaioTest, EveryKindOfRequestIsDone) {
    const Folder folder;
    const int file = open((folder / "file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ASSERT_GE(file, 0);
    const int counter = eventfd(0, EFD_CLOEXEC);
    char text[] = "abcdefgh";
    char read_text[8] = {};
    iovec written[] = {{text, 2}, {text + 4, 4}};
    iovec room[] = {{read_text, 3}, {read_text + 3, 3}};
    iocb request;
    const auto result = [&] {
        iocb *pointer = &request;
        io_event event;
        io_set_eventfd(&request, counter);
        request.data = &request;
        EXPECT_EQ(io_submit(ctx_, 1, &pointer), 1);
        EXPECT_EQ(io_getevents(ctx_, 1, 1, &event, nullptr), 1);
        EXPECT_EQ(event.data, &request);
        EXPECT_EQ(event.obj, &request);
        return static_cast<long>(event.res);
    };

    io_prep_pwrite(&request, file, text, 4, 0);
    EXPECT_EQ(result(), 4);
    io_prep_pwritev(&request, file, written, 2, 4);
    EXPECT_EQ(result(), 6);
    io_prep_pwritev2(&request, file, written, 2, 10, KAIO_RAW_RWF_DSYNC);
    EXPECT_EQ(result(), 6);
    io_prep_pwritev2(&request, file, written, 2, 0, 1 << 30);
    iocb *pointer = &request;
    EXPECT_EQ(io_submit(ctx_, 1, &pointer), -EOPNOTSUPP);
    io_prep_fsync(&request, file);
    EXPECT_EQ(result(), 0);
    io_prep_fdsync(&request, file);
    EXPECT_EQ(result(), 0);
    io_prep_pread(&request, file, read_text, 8, 2);
    EXPECT_EQ(result(), 8);
    EXPECT_EQ(std::string(read_text, 8), "cdabefgh");
    io_prep_preadv(&request, file, room, 2, 10);
    EXPECT_EQ(result(), 6);
    EXPECT_EQ(std::string(read_text, 6), "abefgh");
    io_prep_preadv2(&request, file, room, 1, 4, KAIO_RAW_RWF_HIPRI);
    EXPECT_EQ(result(), 3);
    EXPECT_EQ(std::string(read_text, 3), "abe");
    io_prep_poll(&request, pipe_[1], POLLOUT);
    EXPECT_EQ(result(), POLLOUT);
    uint64_t count = 0;
    EXPECT_EQ(read(counter, &count, sizeof count), 8);
    EXPECT_EQ(count, 9u);
    EXPECT_EQ(io_fsync(ctx_, &request, Note, file), 1);
    EXPECT_EQ(io_fdsync(ctx_, &request, Note, file), 1);
    close(counter);
    close(file);
}

TEST_F(LibaioTest, APollIsCancelled) {
    iocb request;
    io_event event;
    ASSERT_EQ(io_poll(ctx_, &request, Note, pipe_[0], POLLIN), 1);
    EXPECT_EQ(io_cancel(ctx_, &request, &event), -EINPROGRESS);
    EXPECT_EQ(io_getevents(ctx_, 1, 1, &event, nullptr), 1);
    EXPECT_EQ(event.obj, &request);
}

TEST_F(LibaioTest, QueuesAreContexts) {
    io_context_t queue = reinterpret_cast<io_context_t>(&queue);  // set to NULL before all else
    ASSERT_EQ(io_queue_init(4, &queue), 0);
    io_event event;
    WithoutCalls(kWaits, [&] { EXPECT_EQ(io_getevents(queue, 0, 1, &event, nullptr), 0); });
    EXPECT_EQ(io_queue_release(queue), 0);
    EXPECT_EQ(io_getevents(queue, 0, 1, &event, nullptr), -EINVAL);
}

// ---- threads ----

// A Waiter is a thread that waits in the kernel for events of a context.
class Waiter {
  public:
    Waiter(io_context_t ctx, long min_nr)
        : thread_([this, ctx, min_nr] {
              number_ = static_cast<pid_t>(syscall(SYS_gettid));
              answer_ = io_getevents(ctx, min_nr, min_nr, events_, nullptr);
          }) {
        EXPECT_TRUE(
            WaitFor([this] { return number_ != 0 && IsAsleep(number_, SYS_io_getevents); }));
    }

    int Answer() {
        thread_.join();
        return answer_;
    }

  private:
    io_event events_[8] = {};
    std::atomic<pid_t> number_ = 0;
    int answer_ = 0;
    std::thread thread_;
};

TEST_F(LibaioTest, NobodyReadsTheRingWhileAThreadIsInsideTheKernel) {
    Waiter waiter(ctx_, 2);
    WithoutCalls(kWaits, [this] { EXPECT_THAT(Get(0, 8), ElementsAre(-EPERM)); });
    Finish(2);
    EXPECT_EQ(waiter.Answer(), 2);

    Finish(1);
    WithoutCalls(kWaits, [this] { EXPECT_THAT(Get(1, 8), ElementsAre(3)); });
}

TEST_F(LibaioTest, DestroyWakesWhoWaits) {
    Waiter first(ctx_, 1);
    Waiter second(ctx_, 2);

    EXPECT_EQ(io_destroy(ctx_), 0);

    EXPECT_EQ(first.Answer(), -EINVAL);
    EXPECT_EQ(second.Answer(), -EINVAL);
    EXPECT_THAT(Get(0, 1), ElementsAre(-EINVAL));
    EXPECT_EQ(io_destroy(ctx_), -EINVAL);
    ctx_ = nullptr;
}

TEST_F(LibaioTest, ManyThreadsOnOneContextGetEachEventOnce) {
    constexpr uintptr_t kCount = 100000;
    Collector collector(kCount);
    std::vector<std::thread> threads;
    for (uintptr_t i = 0; i < 2; ++i) {
        threads.emplace_back([=] { SubmitAll(ctx_, null_, i * kCount / 2, (i + 1) * kCount / 2); });
    }
    // Those that never wait, those that wait a little for one or for some.
    for (const long min_nr : {0, 0, 1, 1, 3}) {
        threads.emplace_back([&, min_nr] {
            io_event events[5];
            while (!collector.HasAll()) {
                timespec wait = {0, 200000};
                const int count = io_getevents(ctx_, min_nr, 5, events, &wait);
                ASSERT_GE(count, 0);
                collector.Take(events, count);
            }
        });
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    EXPECT_EQ(collector.WrongCount(), 0u);
}

TEST_F(LibaioTest, AContextThatGoesWhileOthersReadItIsNotTouched) {
    EXPECT_EQ(io_destroy(ctx_), 0);
    for (int round = 0; round < 20; ++round) {
        ctx_ = nullptr;
        ASSERT_EQ(io_setup(kEvents, &ctx_), 0);
        Finish(3);
        std::vector<std::thread> threads;
        std::atomic<int> reading_count = 0;
        for (const long min_nr : {0, 0, 1}) {
            threads.emplace_back([&, min_nr] {
                io_event events[2];
                int count = 0;
                ++reading_count;
                while (count >= 0) {
                    count = io_getevents(ctx_, min_nr, 2, events, &no_wait_);
                }
                EXPECT_EQ(count, -EINVAL);
            });
        }
        while (reading_count < 3) {
            std::this_thread::yield();
        }
        EXPECT_EQ(io_destroy(ctx_), 0);
        for (std::thread &thread : threads) {
            thread.join();
        }
    }
    ctx_ = nullptr;
}

// ---- children ----

TEST_F(LibaioTest, AChildTakesNothingFromItsParent) {
    Finish(2);
    ExpectFineInChild([this] {
        EXPECT_THAT(Get(0, 8), ElementsAre(-EINVAL));
        EXPECT_THAT(Get(1, 8), ElementsAre(-EINVAL));
        EXPECT_THAT(Get(0, 8, &no_wait_), ElementsAre(-EINVAL));
        EXPECT_EQ(io_queue_run(ctx_), -EINVAL);
        EXPECT_EQ(io_destroy(ctx_), -EINVAL);
    });
    WithoutCalls(kWaits, [this] { EXPECT_THAT(Get(2, 8), ElementsAre(1, 2)); });
}

TEST_F(LibaioTest, AChildsOwnContextIsReadLikeAnyOther) {
    ExpectFineInChild([this] {
        ctx_ = nullptr;
        ASSERT_EQ(io_setup(kEvents, &ctx_), 0);
        Finish(1);
        WithoutCalls(kWaits, [this] { EXPECT_THAT(Get(1, 1), ElementsAre(1)); });
        ExpectFineInChild([this] { EXPECT_THAT(Get(0, 1), ElementsAre(-EINVAL)); });
        EXPECT_EQ(io_destroy(ctx_), 0);
    });
}

// Whatever a thread was at when its process was forked, the child has no lock left behind.
TEST_F(LibaioTest, AChildBornInTheMiddleOfACallIsFree) {
    std::atomic<bool> is_over = false;
    std::thread reader([&] {
        io_event event;
        while (!is_over) {
            EXPECT_GE(io_getevents(ctx_, 0, 1, &event, nullptr), 0);
        }
    });
    for (int round = 0; round < 100; ++round) {
        ExpectFineInChild([this] {
            alarm(kSeconds);
            io_event event;
            EXPECT_EQ(io_getevents(ctx_, 0, 1, &event, nullptr), -EINVAL);
            io_context_t own = nullptr;
            ASSERT_EQ(io_setup(1, &own), 0);
            EXPECT_EQ(io_getevents(own, 0, 1, &event, nullptr), 0);
        });
    }
    is_over = true;
    reader.join();
}

}  // namespace
}  // namespace kaio_test
