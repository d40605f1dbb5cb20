// Transfers that threads of the queue submit, on the real kernel.

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "kaio/safe/kaio.h"
#include "tests/support/safe_test.h"

namespace kaio_test {
namespace {

constexpr uint32_t kPageBytes = 4096;
constexpr uint32_t kPageCount = 64;

// How many threads this process has.
uint32_t ThreadCount() {
    DIR *tasks = opendir("/proc/self/task");
    EXPECT_NE(tasks, nullptr);
    uint32_t count = 0;
    while (const dirent *entry = readdir(tasks)) {
        count += entry->d_name[0] != '.';
    }
    closedir(tasks);
    return count;
}

// AwaitThreadCount waits until those that were joined are gone from /proc, too.
void AwaitThreadCount(uint32_t count) {
    for (int i = 0; i < 1000 && ThreadCount() != count; ++i) {
        usleep(1000);
    }
    EXPECT_EQ(ThreadCount(), count);
}

// StartAThreadAndSeeItGo: what was joined is in /proc for a moment longer, and is not to be
// counted.
void StartAThreadAndSeeItGo() {
    std::string task;
    std::thread([&task] {
        task = "/proc/self/task/" + std::to_string(syscall(SYS_gettid));
    }).join();
    EXPECT_TRUE(WaitFor([&task] { return access(task.c_str(), F_OK) != 0; }));
}

std::string Page(uint32_t index) {
    return Pattern(kPageBytes, 100 + index);
}

class HelperTest : public QueueTest {
  protected:
    static constexpr uint32_t kHelpers = 3;

    kaio_queue_options Options() const override {
        kaio_queue_options options = QueueTest::Options();
        options.helper_count = kHelpers;
        options.offload_buffered = true;
        options.eventfd = true;
        return options;
    }

    void SetUp() override {
        StartAThreadAndSeeItGo();  // with the first one some sanitizers start their own
        threads_before_ = ThreadCount();
        errno = kErrno;
        QueueTest::SetUp();
        std::string content;
        for (uint32_t i = 0; i < kPageCount; ++i) {
            content += Page(i);
        }
        temp_.reset(new TempFile(content));
        file_ = OpenFile(temp_->path());
    }

    void TearDown() override {
        QueueTest::TearDown();
        kaio_file_drop(&file_);
        AwaitThreadCount(threads_before_);
    }

    void StartPage(bool is_write, uint32_t index) {
        kaio_buffer *buffer = NewBuffer(Page(index));
        if (is_write) {
            StartWrite(file_, uint64_t(index) * kPageBytes, &buffer, index);
        } else {
            StartRead(file_, uint64_t(index) * kPageBytes, &buffer, index);
        }
    }

    static void ExpectPage(kaio_completion completion) {
        EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL) << Text(completion);
        EXPECT_EQ(completion.range.file_offset_bytes, completion.user * kPageBytes);
        ASSERT_NE(completion.buffer, nullptr);
        EXPECT_EQ(BufferText(completion.buffer, kPageBytes),
                  Page(static_cast<uint32_t>(completion.user)));
        kaio_completion_drop(&completion);
    }

    uint32_t threads_before_ = 0;
    std::unique_ptr<TempFile> temp_;
    kaio_file *file_ = nullptr;
};

TEST_F(HelperTest, ThreadsComeAndGoWithTheQueue) {
    EXPECT_EQ(ThreadCount(), threads_before_ + kHelpers);
    EXPECT_OK(kaio_queue_close(&queue_));
    AwaitThreadCount(threads_before_);
}

TEST_F(HelperTest, EachComesBackOnceWithItsOwnBytes) {
    std::map<uint64_t, uint32_t> seen;
    uint32_t started = 0;
    for (uint32_t taken = 0; taken < kPageCount; ++taken) {
        for (; started < kPageCount && Counts().free_count > 0; ++started) {
            StartPage(started % 3 == 0, started);
        }
        const kaio_completion completion = WaitAndTake();
        ++seen[completion.user];
        ExpectPage(completion);
    }
    EXPECT_EQ(seen.size(), kPageCount);
    ExpectEmpty();
    EXPECT_EQ(Counters().helped_count, kPageCount);
    EXPECT_EQ(Counters().submit_count, 0u) << "io_submits of this thread";
}

TEST_F(HelperTest, TheEventfdTellsOfWhatTheyDid) {
    int fd = -1;
    EXPECT_OK(kaio_queue_as_fd(queue_, &fd));
    StartPage(false, 5);
    Flush();
    pollfd poll_fd = {fd, POLLIN, 0};
    EXPECT_EQ(poll(&poll_fd, 1, 10000), 1);
    ExpectPage(Take());
}

TEST_F(HelperTest, ARunGetsThemToo) {
    for (uint32_t i = 0; i < kDepth; ++i) {
        StartPage(false, i);
    }
    uint64_t user_sum = 0;
    kaio_handlers handlers = {};
    handlers.on_read = [](void *context, uint64_t user, kaio_read_result *result) {
        EXPECT_EQ(result->outcome, KAIO_TRANSFER_FULL);
        *static_cast<uint64_t *>(context) += user;
    };
    kaio_run_report report = {};
    EXPECT_OK(K(kaio_queue_run(queue_, &handlers, &user_sum, kaio_deadline_never(), &report)));
    EXPECT_EQ(report.completed_count, kDepth);
    EXPECT_EQ(user_sum, kDepth * (kDepth - 1) / 2);
}

TEST_F(HelperTest, DestroyWaitsForThem) {
    for (int round = 0; round < 20; ++round) {
        for (uint32_t i = 0; i < kDepth; ++i) {
            StartPage(i % 2 == 0, i);
        }
        Flush();
        kaio_destroy_report report = {};
        EXPECT_OK(kaio_queue_destroy(
            &queue_,
            [](void *, kaio_completion *completion) {
                EXPECT_EQ(completion->transfer, KAIO_TRANSFER_FULL) << Text(*completion);
            },
            nullptr, &report));
        EXPECT_EQ(report.dropped_count, kDepth);
        const kaio_queue_options options = Options();
        ASSERT_OK(kaio_queue_open(&options, &queue_));
    }
}

// The descriptor of a borrowed file is closed behind the library's back: builds without NDEBUG see
// that, in all others a helper has it, and the kernel refuses it.
TEST_F(HelperTest, WhatTheKernelRefusesThemEndsRefused) {
    const int fd = open(temp_->path(), O_RDONLY | O_CLOEXEC);
    ASSERT_GE(fd, 0);
    kaio_file *borrowed = nullptr;
    ASSERT_OK(kaio_file_borrow(fd, &borrowed));
    kaio_buffer *buffer = NewBuffer(kPageBytes);
    StartRead(borrowed, 0, &buffer);
    EXPECT_EQ(close(fd), 0);
    kaio_completion completion = WaitAndTake();
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_REFUSED) << Text(completion);
    EXPECT_CODE(KAIO_OS_ERROR, completion.refusal);
    EXPECT_EQ(completion.os_error, EBADF);
    kaio_completion_drop(&completion);
    kaio_file_drop(&borrowed);
}

#ifndef NDEBUG

// And the number is another file's by now, which must not be read from or written to.
TEST_F(HelperTest, AFileThatTookTheNumberOverIsNotTheirs) {
    const TempFile other(Page(7));
    const int fd = open(temp_->path(), O_RDWR | O_CLOEXEC);
    ASSERT_GE(fd, 0);
    kaio_file *borrowed = nullptr;
    ASSERT_OK(kaio_file_borrow(fd, &borrowed));
    kaio_buffer *buffer = NewBuffer(Page(1));
    StartWrite(borrowed, 0, &buffer);
    EXPECT_EQ(close(fd), 0);
    ASSERT_EQ(open(other.path(), O_RDWR | O_CLOEXEC), fd);
    kaio_completion completion = WaitAndTake();
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_REFUSED) << Text(completion);
    EXPECT_EQ(completion.os_error, EBADF);
    EXPECT_EQ(other.Content(), Page(7));
    EXPECT_EQ(Counters().helped_count, 0u);
    kaio_completion_drop(&completion);
    kaio_file_drop(&borrowed);
    close(fd);
}

#endif

// Ending a queue waits for its threads: a place where a thread that is to be cancelled would end.
TEST_F(HelperTest, AThreadThatIsToBeCancelledEndsItsQueueFirst) {
    bool is_closed = false;
    std::thread([&] {
        EXPECT_EQ(pthread_cancel(pthread_self()), 0);
        kaio_queue_options options = Options();
        options.eventfd = false;
        kaio_queue *queue = nullptr;
        EXPECT_OK(kaio_queue_open(&options, &queue));
        EXPECT_OK(kaio_queue_close(&queue));
        is_closed = true;
        int state;
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    }).join();
    EXPECT_TRUE(is_closed);
}

// A signal that is let in nowhere else must not end up in a helper.
TEST_F(HelperTest, SignalsAreNotTheirs) {
    sigset_t blocked;
    sigset_t before;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &blocked, &before), 0);
    ASSERT_EQ(kill(getpid(), SIGUSR1), 0);  // would end the process in a thread that lets it in
    usleep(20000);
    const timespec no_time = {};
    EXPECT_EQ(sigtimedwait(&blocked, nullptr, &no_time), SIGUSR1);
    ASSERT_EQ(pthread_sigmask(SIG_SETMASK, &before, nullptr), 0);
    errno = kErrno;
}

TEST_F(HelperTest, AnotherThreadTakesTheQueueOver) {
    for (uint32_t i = 0; i < kDepth; ++i) {
        StartPage(false, i);
    }
    Flush();
    EXPECT_OK(kaio_queue_detach(queue_));
    std::thread([&] {
        EXPECT_OK(kaio_queue_attach(queue_));
        for (uint32_t i = 0; i < kDepth; ++i) {
            ExpectPage(WaitAndTake());
        }
        EXPECT_OK(kaio_queue_detach(queue_));
    }).join();
    EXPECT_OK(kaio_queue_attach(queue_));
}

TEST_F(HelperTest, SeveralQueuesInSeveralThreads) {
    std::vector<std::thread> threads;
    for (uint32_t t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
            const kaio_queue_options options = Options();
            kaio_queue *queue = nullptr;
            ASSERT_OK(kaio_queue_open(&options, &queue));
            std::mt19937 random(t);
            for (uint32_t round = 0; round < 50; ++round) {
                for (uint32_t i = 0; i < kDepth; ++i) {
                    const uint32_t index = random() % kPageCount;
                    kaio_buffer *buffer = NewBuffer(Page(index));
                    kaio_ticket ticket = {};
                    auto *const start = random() % 2 == 0 ? kaio_read_start : kaio_write_start;
                    EXPECT_OK(start(queue, file_, Range(uint64_t(index) * kPageBytes, kPageBytes),
                                    kaio_rw_none(), index, &buffer, &ticket));
                }
                for (uint32_t i = 0; i < kDepth; ++i) {
                    uint32_t ready = 0;
                    EXPECT_OK(kaio_queue_wait(queue, 1, kaio_deadline_never(), &ready));
                    kaio_completion completion = {};
                    EXPECT_OK(kaio_queue_take(queue, &completion));
                    ExpectPage(completion);
                }
            }
            EXPECT_OK(kaio_queue_close(&queue));
        });
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
}

// ---- RWF_NOWAIT ----

class NowaitTest : public HelperTest {
  protected:
    kaio_queue_options Options() const override {
        kaio_queue_options options = HelperTest::Options();
        options.offload_buffered = false;
        options.try_nowait = true;
        return options;
    }
};

TEST_F(NowaitTest, WhatIsCachedNeedsNoHelper) {
    StartPage(false, 3);
    ExpectPage(WaitAndTake());
    StartPage(false, 3);
    ExpectPage(WaitAndTake());
    EXPECT_EQ(Counters().nowait_count, 2u);
    EXPECT_LE(Counters().helped_count, 1u);
}

TEST_F(NowaitTest, WhatIsNotCachedComesBackWhole) {
    const int fd = open(temp_->path(), O_RDONLY | O_CLOEXEC);
    ASSERT_GE(fd, 0);
    ASSERT_EQ(fsync(fd), 0);
    ASSERT_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    close(fd);
    for (uint32_t i = 0; i < kPageCount; i += 8) {
        StartPage(false, i);
        ExpectPage(WaitAndTake());
    }
    const kaio_queue_counters counters = Counters();
    EXPECT_EQ(counters.nowait_count, kPageCount / 8);
    EXPECT_EQ(counters.helped_count, counters.nowait_block_count);
    EXPECT_EQ(counters.read.full_count, kPageCount / 8);
    EXPECT_EQ(counters.read.would_block_count, 0u);
}

TEST_F(NowaitTest, WritesComeBackWholeWhateverTheFileSystemSaysToTheFlag) {
    for (uint32_t i = 0; i < 2 * kPageCount; ++i) {
        StartPage(true, i % kPageCount);
        ExpectPage(WaitAndTake());
    }
    const kaio_queue_counters counters = Counters();
    EXPECT_EQ(counters.write.full_count, 2 * kPageCount);
    EXPECT_EQ(counters.helped_count, counters.nowait_block_count);
    EXPECT_GE(counters.nowait_count, 1u);
}

}  // namespace
}  // namespace kaio_test
