// What the tests of the six calls share: a context, a file and a pipe of the real kernel.

#ifndef KAIO_TESTS_RAW_KERNEL_TEST_H_
#define KAIO_TESTS_RAW_KERNEL_TEST_H_

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>

#include "kaio/raw/aio_prep.h"
#include "kaio/raw/aio_syscall.h"

namespace kaio_test {

constexpr int kNoDescriptor = -1;

// An anonymous page with `protection`, for pointers that the kernel cannot follow.
class Page {
  public:
    explicit Page(int protection)
        : bytes_(static_cast<size_t>(sysconf(_SC_PAGESIZE))),
          address_(mmap(nullptr, bytes_, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {}

    ~Page() {
        munmap(address_, bytes_);
    }

    Page(const Page &) = delete;
    Page &operator=(const Page &) = delete;

    template <typename T>
    T *As() {
        return static_cast<T *>(address_);
    }

  private:
    size_t bytes_;
    void *address_;
};

// io_destroy takes some 30 ms: one context serves all tests, each of which leaves it empty.
class KernelTest : public testing::Test {
  protected:
    static void SetUpTestSuite() {
        ASSERT_EQ(kaio_raw_setup(kDepth, &ctx_), 0);
    }

    static void TearDownTestSuite() {
        EXPECT_EQ(kaio_raw_destroy(ctx_), 0);
        ctx_ = 0;
    }

    void SetUp() override {
        file_ = std::tmpfile();
        ASSERT_NE(file_, nullptr);
        fd_ = fileno(file_);
        ASSERT_EQ(pipe2(pipe_, O_CLOEXEC | O_NONBLOCK), 0);
        errno = kErrno;
    }

    void TearDown() override {
        EXPECT_EQ(errno, kErrno) << "raw touched errno";
        kaio_raw_event stray;
        EXPECT_EQ(Get(0, 1, &stray), 0) << "the test left an event behind";
        std::fclose(file_);
        close(pipe_[0]);
        close(pipe_[1]);
    }

    static long Submit(kaio_raw_iocb *iocb) {
        return kaio_raw_submit(ctx_, 1, &iocb);
    }

    static long Get(long min_nr, long nr, kaio_raw_event *out_events, long timeout_ms = 0) {
        kaio_raw_old_timespec timeout = {timeout_ms / 1000, timeout_ms % 1000 * 1000000};
        return kaio_raw_getevents(ctx_, min_nr, nr, out_events, &timeout);
    }

    // Submits `iocb` and waits for its event; the result is the event's.
    static int64_t Run(kaio_raw_iocb iocb) {
        kaio_raw_event event = {};
        EXPECT_EQ(Submit(&iocb), 1);
        EXPECT_EQ(kaio_raw_getevents(ctx_, 1, 1, &event, nullptr), 1);
        EXPECT_EQ(event.obj, reinterpret_cast<uintptr_t>(&iocb));
        EXPECT_EQ(event.res2, 0);
        return event.res;
    }

    // Makes the read end of the pipe readable.
    void Ready() {
        ASSERT_EQ(write(pipe_[1], "x", 1), 1);
    }

    // Requests that may be in flight at once.
    static constexpr unsigned kDepth = 32;

    // The value that no call of raw may change; checked after every test.
    static constexpr int kErrno = EXDEV;

    static inline kaio_raw_context ctx_ = 0;
    std::FILE *file_ = nullptr;
    int fd_ = kNoDescriptor;
    int pipe_[2] = {kNoDescriptor, kNoDescriptor};
    char bytes_[64] = {};
};

}  // namespace kaio_test

#endif  // KAIO_TESTS_RAW_KERNEL_TEST_H_
