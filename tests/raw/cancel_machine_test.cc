// What cannot be cancelled, and what does not wait for what: on a device so slow that requests are
// surely in flight meanwhile.

#include <fcntl.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "kaio/raw/aio_prep.h"
#include "kaio/raw/aio_syscall.h"
#include "tests/raw/kernel_test.h"
#include "tests/support/folder.h"
#include "tests/support/machine.h"

namespace kaio_test {
namespace {

constexpr size_t kBlockBytes = 4096;
constexpr size_t kBlocks = 6;

// A loop device of kBlocks blocks, O_DIRECT: reads or writes of all of them are in flight for
// kBlocks / kPerSecond seconds. No file system is between.
class InFlightTest : public OnMachine<KernelTest> {
  protected:
    static constexpr unsigned kPerSecond = 2;

    struct alignas(kBlockBytes) Block {
        char bytes[kBlockBytes];
    };

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
        std::memset(blocks_.data(), 0x55, sizeof(Block) * kBlocks);
        errno = kErrno;
    }

    void TearDown() override {
        errno = kErrno;  // what the tests do beside raw changes it
        KernelTest::TearDown();
    }

    using Prep = kaio_raw_iocb (*)(int fd, Block *block, int64_t offset);

    static kaio_raw_iocb Read(int fd, Block *block, int64_t offset) {
        return kaio_raw_prep_pread(fd, block, kBlockBytes, offset);
    }

    static kaio_raw_iocb Write(int fd, Block *block, int64_t offset) {
        return kaio_raw_prep_pwrite(fd, block, kBlockBytes, offset);
    }

    // Submits one request of `prep` for each block.
    void SubmitAll(Prep prep) {
        kaio_raw_iocb *pointers[kBlocks];
        for (size_t i = 0; i < kBlocks; ++i) {
            iocbs_[i] = prep(device_->fd(), &blocks_[i], static_cast<int64_t>(i * kBlockBytes));
            pointers[i] = &iocbs_[i];
        }
        ASSERT_EQ(kaio_raw_submit(ctx_, kBlocks, pointers), long{kBlocks});
    }

    // Takes the events of all requests and `more`; the result is in the order of the events.
    std::vector<kaio_raw_event> TakeAll(size_t more = 0) {
        std::vector<kaio_raw_event> events(kBlocks + more);
        const long count = static_cast<long>(events.size());
        taken_at_once_ = Get(0, count, events.data());
        const long left = count - taken_at_once_;
        EXPECT_EQ(Get(left, left, events.data() + taken_at_once_, kPatienceMs), left);
        return events;
    }

    const std::string contents_ = Pattern(kBlocks * kBlockBytes);
    std::optional<Loop> loop_;
    std::optional<Descriptor> device_;
    std::optional<Throttle> throttle_;
    std::vector<Block> blocks_{kBlocks};
    kaio_raw_iocb iocbs_[kBlocks] = {};
    long taken_at_once_ = 0;  // what TakeAll did not have to wait for
};

TEST_F(InFlightTest, ReadCannotBeCancelledAndItsEventComesWithItsData) {
    SubmitAll(Read);

    EXPECT_EQ(kaio_raw_cancel(ctx_, &iocbs_[kBlocks - 1], nullptr), -EINVAL);

    for (const kaio_raw_event &event : TakeAll()) {
        EXPECT_EQ(event.res, int64_t{kBlockBytes});
    }
    EXPECT_LT(taken_at_once_, long{kBlocks}) << "the device is too fast";
    EXPECT_EQ(std::memcmp(blocks_.data(), contents_.data(), contents_.size()), 0);
}

TEST_F(InFlightTest, WriteCannotBeCancelledAndIsWritten) {
    SubmitAll(Write);

    EXPECT_EQ(kaio_raw_cancel(ctx_, &iocbs_[kBlocks - 1], nullptr), -EINVAL);

    for (const kaio_raw_event &event : TakeAll()) {
        EXPECT_EQ(event.res, int64_t{kBlockBytes});
    }
    EXPECT_LT(taken_at_once_, long{kBlocks}) << "the device is too fast";
    throttle_.reset();
    EXPECT_EQ(Run(Read(device_->fd(), &blocks_[0], (kBlocks - 1) * kBlockBytes)),
              int64_t{kBlockBytes});
    EXPECT_EQ(std::string(blocks_[0].bytes, kBlockBytes), std::string(kBlockBytes, 0x55));
}

// A sync is for writes whose events have been taken: it waits for no other.
class SyncInFlightTest : public InFlightTest,
                         public testing::WithParamInterface<kaio_raw_iocb (*)(int fd)> {};

INSTANTIATE_TEST_SUITE_P(Opcodes, SyncInFlightTest,
                         testing::Values(kaio_raw_prep_fsync, kaio_raw_prep_fdsync),
                         [](const auto &tested) { return tested.index == 0 ? "Fsync" : "Fdsync"; });

TEST_P(SyncInFlightTest, OvertakesTheWritesThatWereSubmittedBeforeIt) {
    SubmitAll(Write);
    kaio_raw_iocb sync = GetParam()(device_->fd());
    ASSERT_EQ(Submit(&sync), 1);

    const std::vector<kaio_raw_event> events = TakeAll(1);

    size_t writes_before = 0;
    while (writes_before < kBlocks &&
           events[writes_before].obj != reinterpret_cast<uintptr_t>(&sync)) {
        ++writes_before;
    }
    EXPECT_LT(writes_before, kBlocks) << "the sync came last";
    EXPECT_EQ(events[writes_before].res, 0);
    RecordProperty("seen", std::to_string(writes_before) + " writes came first");
}

}  // namespace
}  // namespace kaio_test
