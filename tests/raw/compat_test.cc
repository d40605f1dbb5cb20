// What a program with 32-bit addresses could get wrong. Run as one and, for comparison, as any
// other: where nothing else is said the answers are the same.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstring>
#include <string>
#include <thread>

#include "kaio/raw/aio_prep.h"
#include "kaio/raw/aio_syscall.h"
#include "tests/raw/kernel_test.h"

namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr uintptr_t kTwoGiB = 0x80000000;

class CompatTest : public kaio_test::KernelTest {
  protected:
    void SetUp() override {
        KernelTest::SetUp();
        ASSERT_EQ(pwrite(fd_, kText.data(), kText.size(), 0), static_cast<ssize_t>(kText.size()));
        errno = kErrno;
    }

    static kaio_raw_event GetOne() {
        kaio_raw_event event = {};
        EXPECT_EQ(Get(1, 1, &event, kPatienceMs), 1);
        return event;
    }

    // Submits `iocb`; its answer if it is refused, else the res of its event.
    static int64_t SubmitAndGet(kaio_raw_iocb iocb) {
        const long answer = Submit(&iocb);
        return answer == 1 ? GetOne().res : answer;
    }

    const std::string kText = std::string(32, 'a') + std::string(32, 'b');
};

TEST_F(CompatTest, PreadvTakesTheProgramsOwnIovecs) {
    char three[3] = {};
    char four[4] = {};
    const iovec parts[] = {{three, 3}, {four, 4}};

    EXPECT_EQ(Run(kaio_raw_prep_preadv(fd_, parts, 2, 29)), 7);

    EXPECT_EQ(std::string(three, 3) + std::string(four, 4), "aaabbbb");
}

TEST_F(CompatTest, DataKeepsAllSixtyFourBits) {
    kaio_raw_iocb read = kaio_raw_prep_pread(fd_, bytes_, 1, 0);
    kaio_raw_set_data(&read, UINT64_C(0xfedcba9876543210));

    ASSERT_EQ(Submit(&read), 1);

    EXPECT_EQ(GetOne().data, UINT64_C(0xfedcba9876543210));
}

// Sign-extended, the address would be 0xffffffffa.......
TEST_F(CompatTest, RequestAndBufferAboveTwoGiBAreFound) {
    constexpr size_t kPageBytes = 4096;
    void *hint = reinterpret_cast<void *>(uintptr_t{0xa0000000});
    void *page = mmap(hint, kPageBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(page, MAP_FAILED);
    ASSERT_GE(reinterpret_cast<uintptr_t>(page), kTwoGiB);
    auto *iocb = static_cast<kaio_raw_iocb *>(page);
    char *buffer = static_cast<char *>(page) + sizeof *iocb;
    *iocb = kaio_raw_prep_pread(fd_, buffer, kText.size(), 0);

    ASSERT_EQ(Submit(iocb), 1);
    const kaio_raw_event event = GetOne();

    EXPECT_EQ(event.obj, static_cast<uint64_t>(reinterpret_cast<uintptr_t>(page)));
    EXPECT_EQ(event.res, static_cast<int64_t>(kText.size()));
    EXPECT_EQ(std::string(buffer, kText.size()), kText);
    EXPECT_EQ(munmap(page, kPageBytes), 0);
}

// Read as 32-bit time, 2^32 seconds are none.
TEST_F(CompatTest, PgeteventsTakesSecondsOfOver32Bits) {
    const pid_t waiter = static_cast<pid_t>(syscall(SYS_gettid));
    kaio_raw_iocb poll = kaio_raw_prep_poll(pipe_[0], POLLIN);
    kaio_raw_timespec timeout = {INT64_C(1) << 32, 0};
    kaio_raw_event event = {};
    ASSERT_EQ(Submit(&poll), 1);
    std::thread waker([this, waiter] {
        EXPECT_TRUE(WaitUntilAsleep(waiter));
        Ready();
    });

    const long count = kaio_raw_pgetevents(ctx_, 1, 1, &event, &timeout, nullptr);

    waker.join();
    errno = kErrno;
    EXPECT_EQ(count, 1);
    if (count == 0) {
        GetOne();
    }
}

// The kernel of a 64-bit machine does not look whether a length fits a 32-bit program.
TEST_F(CompatTest, LengthOfOver32BitsIsTakenWholeOrRefused) {
    kaio_test::Page buffer(PROT_READ | PROT_WRITE);

    const int64_t res = SubmitAndGet(
        kaio_raw_prep_pread(fd_, buffer.As<char>(), (UINT64_C(1) << 40) + kText.size() / 2, 0));

    RecordProperty("seen", std::to_string(res));
    if (sizeof(void *) == 4 && res == -EINVAL) {  // a 32-bit kernel
        return;
    }
    EXPECT_EQ(res, static_cast<int64_t>(kText.size()));
}

#ifndef __LP64__

TEST_F(CompatTest, AddressOfOver32BitsFaultsOrIsRefused) {
    kaio_raw_iocb read = kaio_raw_prep_pread(fd_, bytes_, 1, 0);
    read.aio_buf |= UINT64_C(1) << 40;

    const int64_t res = SubmitAndGet(read);

    RecordProperty("seen", std::to_string(res));
    EXPECT_TRUE(res == -EFAULT || res == -EINVAL) << res;
    EXPECT_EQ(bytes_[0], 0);
}

// libc's own struct timespec has padding there.
TEST_F(CompatTest, PgeteventsIgnoresTheUpperHalfOfNanoseconds) {
    kaio_raw_timespec timeout = {0, (INT64_C(1) << 32) + 1000000};
    kaio_raw_event event;
    const auto start = steady_clock::now();

    EXPECT_EQ(kaio_raw_pgetevents(ctx_, 1, 1, &event, &timeout, nullptr), 0);

    EXPECT_GE(steady_clock::now() - start, milliseconds(1));
    EXPECT_LT(steady_clock::now() - start, milliseconds(4295)) << "2^32 ns";
}

#endif

}  // namespace
