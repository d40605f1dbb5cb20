// What a process may do while the kernel works on its memory: on a device so slow that requests are
// surely in flight meanwhile.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "kaio/raw/aio_prep.h"
#include "kaio/raw/aio_syscall.h"
#include "tests/raw/ending_child.h"
#include "tests/raw/kernel_test.h"
#include "tests/support/folder.h"
#include "tests/support/machine.h"

namespace kaio_test {
namespace {

constexpr size_t kBlockBytes = 4096;
constexpr long kBlocks = 8;

// A loop device of kBlocks blocks does kPerSecond of them in a second, the first at once.
class SlowDeviceTest : public OnMachine<KernelTest> {
  protected:
    static constexpr unsigned kPerSecond = 2;

    void SetUp() override {
        OnMachine<KernelTest>::SetUp();
        if (IsSkipped() || HasFatalFailure()) {
            return;
        }
        WriteFile(folder_ / "image", contents_);
        loop_.emplace(folder_ / "image");
        device_.emplace(open(loop_->path().c_str(), O_RDWR | O_DIRECT | O_CLOEXEC));
        throttle_.emplace(loop_->Device(), kPerSecond);
        if (!throttle_->why_not().empty()) {
            GTEST_SKIP() << throttle_->why_not();
        }
    }

    void TearDown() override {
        errno = kErrno;  // what the tests do beside raw changes it
        KernelTest::TearDown();
    }

    // Submits `iocb`, and before it reads that keep the device busy for two seconds.
    void SubmitSlow(kaio_raw_iocb *iocb) {
        kaio_raw_iocb before[kBefore];
        kaio_raw_iocb *pointers[kBefore + 1];
        for (size_t i = 0; i < kBefore; ++i) {
            before[i] = kaio_raw_prep_pread(device_->fd(), before_.get(), kBlockBytes,
                                            static_cast<int64_t>((i + 2) * kBlockBytes));
            pointers[i] = &before[i];
        }
        pointers[kBefore] = iocb;
        ASSERT_EQ(kaio_raw_submit(ctx_, kBefore + 1, pointers), long{kBefore + 1});
        obj_ = reinterpret_cast<uintptr_t>(iocb);
    }

    // Fails if the request of SubmitSlow may have been done: it is the last.
    void ExpectInFlight() {
        const long count = Get(0, kBefore + 1, events_);
        ASSERT_GE(count, 0);
        ASSERT_LE(count, long{kBefore}) << "the device is too fast";
        taken_count_ = count;
    }

    // Waits for the requests of SubmitSlow; the result is the last one's.
    int64_t Result() {
        const long rest = kBefore + 1 - taken_count_;
        EXPECT_EQ(Get(rest, rest, events_ + taken_count_, kPatienceMs), rest);
        EXPECT_EQ(events_[kBefore].obj, obj_);
        return events_[kBefore].res;
    }

    std::string Buffer() const {
        return {buffer_, kBlockBytes};
    }

    struct alignas(kBlockBytes) Block {
        char buffer_[kBlockBytes];
    };

    const std::string contents_ = Pattern(kBlocks * kBlockBytes);
    std::optional<Loop> loop_;
    std::optional<Descriptor> device_;
    std::optional<Throttle> throttle_;
    static constexpr unsigned kBefore = 4;
    std::unique_ptr<Block> before_ = std::make_unique<Block>();
    kaio_raw_event events_[kBefore + 1] = {};
    long taken_count_ = 0;
    Page page_{PROT_READ | PROT_WRITE};
    char *const buffer_ = page_.As<char>();
    uint64_t obj_ = 0;
};

TEST_F(SlowDeviceTest, FileMayBeClosedInFlight) {
    kaio_raw_iocb iocb = kaio_raw_prep_pread(device_->fd(), buffer_, kBlockBytes, kBlockBytes);
    SubmitSlow(&iocb);

    device_->Close();
    ExpectInFlight();

    EXPECT_EQ(Result(), static_cast<int64_t>(kBlockBytes));
    EXPECT_EQ(Buffer(), contents_.substr(kBlockBytes, kBlockBytes));
}

TEST_F(SlowDeviceTest, DescriptorMayBeGivenToAnotherFileInFlight) {
    Descriptor other(open("/dev/zero", O_RDONLY | O_CLOEXEC));
    kaio_raw_iocb iocb = kaio_raw_prep_pread(device_->fd(), buffer_, kBlockBytes, kBlockBytes);
    SubmitSlow(&iocb);

    ASSERT_EQ(dup2(other.fd(), device_->fd()), device_->fd());
    ExpectInFlight();

    EXPECT_EQ(Result(), static_cast<int64_t>(kBlockBytes));
    EXPECT_EQ(Buffer(), contents_.substr(kBlockBytes, kBlockBytes));
}

TEST_F(SlowDeviceTest, SubmittingThreadMayEndInFlight) {
    kaio_raw_iocb iocb = kaio_raw_prep_pread(device_->fd(), buffer_, kBlockBytes, kBlockBytes);
    std::thread submitter([this, &iocb] { SubmitSlow(&iocb); });

    submitter.join();
    ExpectInFlight();

    EXPECT_EQ(Result(), static_cast<int64_t>(kBlockBytes));
    EXPECT_EQ(Buffer(), contents_.substr(kBlockBytes, kBlockBytes));
}

TEST_F(SlowDeviceTest, IocbAndIovecsMayBeUnmappedInFlight) {
    {
        struct Request {
            kaio_raw_iocb iocb;
            iovec iov[1];
        };
        Page request_page(PROT_READ | PROT_WRITE);
        auto *request = request_page.As<Request>();
        request->iov[0] = {buffer_, kBlockBytes};
        request->iocb = kaio_raw_prep_preadv(device_->fd(), request->iov, 1, kBlockBytes);
        SubmitSlow(&request->iocb);
    }
    ExpectInFlight();

    EXPECT_EQ(Result(), static_cast<int64_t>(kBlockBytes));
    EXPECT_EQ(Buffer(), contents_.substr(kBlockBytes, kBlockBytes));
}

// The kernel has the pages, not the addresses: what it reads goes where nobody sees it.
TEST_F(SlowDeviceTest, WhatReplacesAnUnmappedBufferIsNotReadInto) {
    kaio_raw_iocb iocb = kaio_raw_prep_pread(device_->fd(), buffer_, kBlockBytes, kBlockBytes);
    SubmitSlow(&iocb);

    ASSERT_EQ(munmap(buffer_, kBlockBytes), 0);
    ASSERT_EQ(mmap(buffer_, kBlockBytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
              buffer_);
    std::memset(buffer_, 0x55, kBlockBytes);
    ExpectInFlight();

    EXPECT_EQ(Result(), static_cast<int64_t>(kBlockBytes));
    EXPECT_EQ(Buffer(), std::string(kBlockBytes, 0x55));
}

// Kernels that only count references to a page may leave what is read to the child.
TEST_F(SlowDeviceTest, ReadInFlightAcrossForkGoesToTheParent) {
    std::memset(buffer_, 0x55, kBlockBytes);
    int fds[2];
    ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
    Descriptor read_end(fds[0]);
    Descriptor write_end(fds[1]);
    kaio_raw_iocb iocb = kaio_raw_prep_pread(device_->fd(), buffer_, kBlockBytes, kBlockBytes);
    SubmitSlow(&iocb);

    const pid_t child = fork();
    ASSERT_NE(child, -1);
    if (child == 0) {
        write_end.Close();
        buffer_[0] = 0x11;
        char byte = 0;
        const bool parent_is_done = read(read_end.fd(), &byte, 1) == 0;
        const bool has_old = buffer_[0] == 0x11 && buffer_[kBlockBytes - 1] == 0x55;
        _exit(!parent_is_done ? 2 : has_old ? 0 : 1);
    }
    buffer_[1] = 0x22;
    ExpectInFlight();
    EXPECT_EQ(Result(), static_cast<int64_t>(kBlockBytes));
    write_end.Close();
    int answer = 0;
    ASSERT_EQ(waitpid(child, &answer, 0), child);
    ASSERT_TRUE(WIFEXITED(answer));

    const bool parent_has_it = Buffer() == contents_.substr(kBlockBytes, kBlockBytes);
    RecordProperty("seen", parent_has_it ? "the parent has the data" : "the child has the data");
    EXPECT_TRUE(parent_has_it || KernelIsBefore(5, 12));
    EXPECT_EQ(WEXITSTATUS(answer), parent_has_it ? 0 : 1);
}

class SlowDeviceEndTest : public SlowDeviceTest, public testing::WithParamInterface<End> {};

// An eventfd of the parent counts what the child's requests have come to.
TEST_P(SlowDeviceEndTest, WaitsForRequestsInFlight) {
    constexpr uint64_t kWrites = 3;
    const std::string written = Pattern(kWrites * kBlockBytes, 2);
    auto blocks = std::make_unique<Block[]>(kWrites);
    std::memcpy(blocks.get(), written.data(), written.size());
    Descriptor counter(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    EndingChild child(GetParam(), [this, &blocks, &counter] {
        kaio_raw_iocb iocbs[kWrites];
        kaio_raw_iocb *pointers[kWrites];
        for (size_t i = 0; i < kWrites; ++i) {
            iocbs[i] = kaio_raw_prep_pwrite(device_->fd(), &blocks[i], kBlockBytes,
                                            static_cast<int64_t>(i * kBlockBytes));
            kaio_raw_set_eventfd(&iocbs[i], counter.fd());
            pointers[i] = &iocbs[i];
        }
        kaio_raw_context ctx = 0;
        return kaio_raw_setup(kWrites, &ctx) == 0 &&
               kaio_raw_submit(ctx, kWrites, pointers) == static_cast<long>(kWrites);
    });
    ASSERT_TRUE(child.IsPrepared());
    uint64_t before = 0;
    uint64_t later = 0;
    (void)!read(counter.fd(), &before, sizeof before);
    ASSERT_LT(before, kWrites) << "the device is too fast";

    ASSERT_TRUE(child.HasEnded());

    EXPECT_EQ(read(counter.fd(), &later, sizeof later), ssize_t{sizeof later});
    EXPECT_EQ(before + later, kWrites);
    EXPECT_EQ(ReadFile(folder_ / "image").substr(0, written.size()), written);
}

INSTANTIATE_TEST_SUITE_P(Every, SlowDeviceEndTest,
                         testing::Values(End::kExec, End::kExit, End::kKill), EndName);

}  // namespace
}  // namespace kaio_test
