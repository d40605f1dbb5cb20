// What the tests of the six calls share: a context, a file and a pipe of the real kernel.

#ifndef KAIO_TESTS_RAW_KERNEL_TEST_H_
#define KAIO_TESTS_RAW_KERNEL_TEST_H_

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>
#include <system_error>
#include <thread>

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

// An open descriptor, closed in the end.
class Descriptor {
  public:
    explicit Descriptor(int fd) : fd_(fd) {
        EXPECT_GE(fd, 0) << std::generic_category().message(errno);
    }

    ~Descriptor() {
        Close();
    }

    Descriptor(const Descriptor &) = delete;
    Descriptor &operator=(const Descriptor &) = delete;

    int fd() const {
        return fd_;
    }

    void Close() {
        if (fd_ >= 0) {
            close(fd_);
        }
        fd_ = kNoDescriptor;
    }

  private:
    int fd_;
};

// Counts how often `signal` comes, instead of what it would do; one object at a time.
class SignalCount {
  public:
    explicit SignalCount(int signal) : signal_(signal) {
        count_ = 0;
        struct sigaction action = {};
        action.sa_handler = [](int) { count_ = count_ + 1; };
        EXPECT_EQ(sigaction(signal, &action, &old_action_), 0);
    }

    ~SignalCount() {
        EXPECT_EQ(sigaction(signal_, &old_action_, nullptr), 0);
    }

    SignalCount(const SignalCount &) = delete;
    SignalCount &operator=(const SignalCount &) = delete;

    static int count() {
        return count_;
    }

  private:
    static inline volatile sig_atomic_t count_ = 0;
    const int signal_;
    struct sigaction old_action_ = {};
};

// True on kernels before `major`.`minor`, which may lack what came with it.
inline bool KernelIsBefore(int major, int minor) {
    utsname name = {};
    int found_major = 0;
    int found_minor = 0;
    EXPECT_EQ(uname(&name), 0);
    EXPECT_EQ(std::sscanf(name.release, "%d.%d", &found_major, &found_minor), 2);
    return found_major < major || (found_major == major && found_minor < minor);
}

// io_destroy takes some 30 ms: one context serves all tests, each of which leaves it empty.
class KernelTest : public testing::Test {
  protected:
    // What became of a request that the kernel or the file need not support, and, or-ed together,
    // what may become of it.
    enum Answer : unsigned {
        kServed = 1,       // an event of 0 or more
        kRefused = 2,      // kaio_raw_submit gave -EOPNOTSUPP
        kUnsupported = 4,  // an event of -EOPNOTSUPP
        kWouldBlock = 8,   // an event of -EAGAIN
        kInvalid = 16,     // kaio_raw_submit or the event gave -EINVAL
        kElse = 32,
    };

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

    // Submits `iocb` from a thread that has no capability but `capability`, or none at -1. False:
    // it cannot have that one.
    static bool SubmitWithCapability(kaio_raw_iocb *iocb, int capability, long *out_answer) {
        bool is_set = false;
        std::thread([&] {
            __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
            __user_cap_data_struct only[_LINUX_CAPABILITY_U32S_3] = {};
            if (capability >= 0) {
                only[capability / 32].effective = 1u << (capability % 32);
                only[capability / 32].permitted = 1u << (capability % 32);
            }
            is_set = syscall(SYS_capset, &header, only) == 0;
            *out_answer = is_set ? Submit(iocb) : 0;
        }).join();
        return is_set;
    }

    // Submits `iocb` and waits for its event; the result is the event's.
    static int64_t Run(kaio_raw_iocb iocb) {
        kaio_raw_event event = {};
        EXPECT_EQ(Submit(&iocb), 1);
        EXPECT_EQ(Get(1, 1, &event, kPatienceMs), 1);
        EXPECT_EQ(event.obj, reinterpret_cast<uintptr_t>(&iocb));
        EXPECT_EQ(event.res2, 0);
        return event.res;
    }

    // Submits `iocb` and, if it is taken, waits for its event.
    static Answer Try(kaio_raw_iocb iocb) {
        kaio_raw_event event = {};
        const long answer = Submit(&iocb);
        if (answer != 1) {
            return answer == -EOPNOTSUPP ? kRefused : answer == -EINVAL ? kInvalid : kElse;
        }
        EXPECT_EQ(Get(1, 1, &event, kPatienceMs), 1);
        return event.res >= 0             ? kServed
               : event.res == -EOPNOTSUPP ? kUnsupported
               : event.res == -EAGAIN     ? kWouldBlock
               : event.res == -EINVAL     ? kInvalid
                                          : kElse;
    }

    // kRefused on kernels before `major`.`minor`, where what is asked for came; else nothing.
    static unsigned RefusedBefore(int major, int minor) {
        return KernelIsBefore(major, minor) ? unsigned{kRefused} : 0;
    }

    static std::string Text(unsigned answers) {
        const char *const names[] = {"served, ",      "refused, ", "unsupported, ",
                                     "would block, ", "invalid, ", "else, "};
        std::string text;
        for (unsigned bit = 0; bit < 6; ++bit) {
            text += answers >> bit & 1 ? names[bit] : "";
        }
        return text.substr(0, text.size() - 2);
    }

    // Makes the read end of the pipe readable.
    void Ready() {
        ASSERT_EQ(write(pipe_[1], "x", 1), 1);
    }

    // Waits until the thread `tid` of this process sleeps; false if it does not.
    static bool WaitUntilAsleep(pid_t tid) {
        const std::string path = "/proc/self/task/" + std::to_string(tid) + "/stat";
        const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(kPatienceMs);
        while (std::chrono::steady_clock::now() < end) {
            std::string text;
            std::ifstream file(path);
            std::getline(file, text);
            const size_t name_end = text.rfind(')');
            if (name_end != std::string::npos && text.compare(name_end, 3, ") S") == 0) {
                return true;
            }
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        return false;
    }

    // Requests that may be in flight at once.
    static constexpr unsigned kDepth = 32;

    // The value that no call of raw may change; checked after every test.
    static constexpr int kErrno = EXDEV;

    // Waits for what must come end after this long: nothing hangs for ever.
    static constexpr long kPatienceMs = 30000;

    static inline kaio_raw_context ctx_ = 0;
    std::FILE *file_ = nullptr;
    int fd_ = kNoDescriptor;
    int pipe_[2] = {kNoDescriptor, kNoDescriptor};
    char bytes_[64] = {};
};

}  // namespace kaio_test

#endif  // KAIO_TESTS_RAW_KERNEL_TEST_H_
