// What the tests of //raw/libaio share.

#ifndef KAIO_TESTS_LIBAIO_LIBAIO_TEST_H_
#define KAIO_TESTS_LIBAIO_LIBAIO_TEST_H_

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "kaio/raw/aio_abi.h"
#include "libaio.h"
#include "tests/support/folder.h"
#include "tests/support/seccomp.h"

namespace kaio_test {

constexpr unsigned kSeconds = 60;

// WithoutCalls runs `body` in a thread for which the kernel refuses `numbers` with EPERM.
inline void WithoutCalls(const std::vector<long> &numbers, const std::function<void()> &body) {
    std::thread thread([&] {
        ASSERT_GE(Filter(numbers, Errno(EPERM)), 0);
        body();
    });
    thread.join();
}

inline const std::vector<long> kWaits = {SYS_io_getevents, SYS_io_pgetevents};

// IsAsleep tells whether the thread is inside the system call `number`.
inline bool IsAsleep(pid_t thread, long number) {
    const std::string text = ReadFile("/proc/self/task/" + std::to_string(thread) + "/syscall");
    return text.rfind(std::to_string(number) + " ", 0) == 0;
}

class LibaioTest : public testing::Test {
  protected:
    void SetUp() override {
        null_ = open("/dev/null", O_RDWR | O_CLOEXEC);
        ASSERT_GE(null_, 0);
        ASSERT_EQ(pipe2(pipe_, O_CLOEXEC), 0);
        ASSERT_EQ(io_setup(kEvents, &ctx_), 0);
        alarm(kSeconds);
    }

    void TearDown() override {
        alarm(0);
        if (ctx_ != nullptr) {
            EXPECT_EQ(io_destroy(ctx_), 0);
        }
        close(pipe_[0]);
        close(pipe_[1]);
        close(null_);
    }

    kaio_raw_ring *Ring() const {
        return reinterpret_cast<kaio_raw_ring *>(ctx_);
    }

    // Finish has `count` requests done, tagged on from the last.
    void Finish(int count) {
        for (int i = 0; i < count; ++i) {
            ASSERT_EQ(TryToFinish(), 1);
        }
    }
    int TryToFinish() {
        iocb request;
        iocb *pointer = &request;
        io_prep_pwrite(&request, null_, &byte_, 1, 0);
        request.data = reinterpret_cast<void *>(++tag_);
        return io_submit(ctx_, 1, &pointer);
    }

    // Get answers the tags of the events, or one number below 0.
    std::vector<long> Get(long min_nr, long nr, timespec *timeout = nullptr) const {
        std::vector<io_event> events(static_cast<size_t>(nr) + 1);
        const int count = io_getevents(ctx_, min_nr, nr, events.data(), timeout);
        if (count < 0) {
            return {count};
        }
        std::vector<long> tags;
        for (int i = 0; i < count; ++i) {
            const io_event &event = events[static_cast<size_t>(i)];
            EXPECT_EQ(event.res, 1u);
            EXPECT_EQ(event.res2, 0u);
            tags.push_back(static_cast<long>(reinterpret_cast<intptr_t>(event.data)));
        }
        return tags;
    }

    static constexpr int kEvents = 8;

    timespec no_wait_ = {0, 0};
    io_context_t ctx_ = nullptr;
    int null_ = -1;
    int pipe_[2] = {-1, -1};
    char byte_ = 'x';
    intptr_t tag_ = 0;
};

// A Collector counts how often each tag was seen.
class Collector {
  public:
    explicit Collector(size_t count) : seen_(count) {}

    void Take(const io_event *events, int count) {
        for (int i = 0; i < count; ++i) {
            ++seen_.at(reinterpret_cast<uintptr_t>(events[i].data));
            ++total_;
        }
    }
    bool HasAll() const {
        return total_ >= seen_.size();
    }
    size_t WrongCount() const {
        size_t wrong_count = 0;
        for (const std::atomic<int> &times : seen_) {
            wrong_count += times != 1;
        }
        return wrong_count;
    }

  private:
    std::vector<std::atomic<int>> seen_;
    std::atomic<size_t> total_ = 0;
};

// SubmitAll submits requests with the tags from `first` to `end`, as room becomes free.
inline void SubmitAll(io_context_t ctx, int fd, uintptr_t first, uintptr_t end) {
    static char byte;
    for (uintptr_t tag = first; tag < end;) {
        iocb requests[4];
        iocb *pointers[4];
        const long count = static_cast<long>(std::min<uintptr_t>(4, end - tag));
        for (long i = 0; i < count; ++i) {
            io_prep_pwrite(&requests[i], fd, &byte, 1, 0);
            requests[i].data = reinterpret_cast<void *>(tag + static_cast<uintptr_t>(i));
            pointers[i] = &requests[i];
        }
        const int taken = io_submit(ctx, count, pointers);
        ASSERT_TRUE(taken > 0 || taken == -EAGAIN) << taken;
        if (taken > 0) {
            tag += static_cast<uintptr_t>(taken);
        } else {
            std::this_thread::yield();
        }
    }
}

}  // namespace kaio_test

#endif  // KAIO_TESTS_LIBAIO_LIBAIO_TEST_H_
