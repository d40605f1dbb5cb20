#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <deque>
#include <fstream>
#include <future>
#include <memory>
#include <string>

#include "kaio/raw/aio_prep.h"
#include "kaio/raw/aio_syscall.h"
#include "tests/raw/kernel_test.h"
#include "tests/support/folder.h"
#include "tests/support/machine.h"

namespace kaio_test {
namespace {

// ---- what the system counts, of all processes ----

class SystemCountTest : public MachineTest {
  protected:
    static constexpr unsigned long kMostEvents = 4194304;  // of one context

    static unsigned long Now() {
        return Value("aio-nr");
    }

    static unsigned long Limit() {
        return Value("aio-max-nr");
    }

    // Others count too: `holds` is asked again until nobody else came between.
    template <typename Holds>
    static void ExpectOnceUndisturbed(Holds holds) {
        EXPECT_TRUE(WaitFor(holds));
    }

  private:
    static unsigned long Value(const std::string &name) {
        unsigned long value = 0;
        std::ifstream file("/proc/sys/fs/" + name);
        EXPECT_TRUE(file >> value) << name;
        return value;
    }
};

TEST_F(SystemCountTest, RisesByWhatSetupWasAskedForUntilDestroy) {
    ExpectOnceUndisturbed([] {
        kaio_raw_context ctx = 0;
        const unsigned long before = Now();
        EXPECT_EQ(kaio_raw_setup(7, &ctx), 0);
        const unsigned long during = Now();
        EXPECT_EQ(kaio_raw_destroy(ctx), 0);
        return during == before + 7 && Now() == before;
    });
}

TEST_F(SystemCountTest, StaysWhenSetupIsRefusedForTheLimit) {
    if (Limit() >= kMostEvents) {
        GTEST_SKIP() << "fs.aio-max-nr is " << Limit() << ": no number is refused for it";
    }
    ExpectOnceUndisturbed([] {
        kaio_raw_context ctx = 0;
        const unsigned long before = Now();
        EXPECT_EQ(kaio_raw_setup(static_cast<unsigned>(Limit()) + 1, &ctx), -EAGAIN);
        return Now() == before;
    });
}

TEST_F(SystemCountTest, StaysWhenTheContextCannotBeStored) {
    ExpectOnceUndisturbed([] {
        Page read_only(PROT_READ);
        const unsigned long before = Now();
        EXPECT_EQ(kaio_raw_setup(7, read_only.As<kaio_raw_context>()), -EFAULT);
        return Now() == before;
    });
}

TEST_F(SystemCountTest, LimitsAllContextsTogether) {
    if (Limit() > kMostEvents) {
        GTEST_SKIP() << "fs.aio-max-nr is " << Limit() << ": no context may have all of it";
    }
    ExpectOnceUndisturbed([] {
        kaio_raw_context rest = 0;
        kaio_raw_context more = 0;
        const long first = kaio_raw_setup(static_cast<unsigned>(Limit() - Now()), &rest);
        const long second = kaio_raw_setup(1, &more);
        if (first == 0) {
            EXPECT_EQ(kaio_raw_destroy(rest), 0);
        }
        if (second == 0) {
            EXPECT_EQ(kaio_raw_destroy(more), 0);
        }
        return first == 0 && second == -EAGAIN;
    });
}

// ---- destroy with reads in flight ----

// Reads of a device so slow that the last of them lasts a second and more.
class ReadsInFlightTest : public MachineTest {
  protected:
    static constexpr size_t kReads = 4;
    static constexpr unsigned kReadsPerSecond = 2;
    static constexpr size_t kBlockBytes = 4096;

    void SetUp() override {
        MachineTest::SetUp();
        if (IsSkipped()) {
            return;
        }
        WriteFile(folder_ / "image", content_);
        device_ = std::make_unique<Loop>(folder_ / "image");
        file_ = std::make_unique<Descriptor>(
            open(device_->path().c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC));
        throttle_ = std::make_unique<Throttle>(device_->Device(), kReadsPerSecond);
        if (!throttle_->why_not().empty()) {
            GTEST_SKIP() << throttle_->why_not();
        }
        ASSERT_EQ(kaio_raw_setup(kReads + 1, &ctx_), 0);
        for (size_t read = 0; read < kReads; ++read) {
            kaio_raw_iocb iocb =
                kaio_raw_prep_pread(file_->fd(), pages_[read].As<char>(), kBlockBytes,
                                    static_cast<int64_t>(read * kBlockBytes));
            kaio_raw_iocb *iocbs[] = {&iocb};
            ASSERT_EQ(kaio_raw_submit(ctx_, 1, iocbs), 1);
        }
    }

    // True when the bytes of the read number `read` are all in its buffer.
    bool IsThere(size_t read) {
        return std::memcmp(pages_[read].As<char>(), content_.data() + read * kBlockBytes,
                           kBlockBytes) == 0;
    }

    void ExpectAllThere() {
        for (size_t read = 0; read < kReads; ++read) {
            EXPECT_TRUE(IsThere(read)) << read;
        }
    }

    const std::string content_ = Pattern(kReads * kBlockBytes);
    std::unique_ptr<Loop> device_;
    std::unique_ptr<Descriptor> file_;
    std::unique_ptr<Throttle> throttle_;
    Page pages_[kReads] = {Page(PROT_READ | PROT_WRITE), Page(PROT_READ | PROT_WRITE),
                           Page(PROT_READ | PROT_WRITE), Page(PROT_READ | PROT_WRITE)};
    kaio_raw_context ctx_ = 0;
};

TEST_F(ReadsInFlightTest, DestroyWaitsForThem) {
    ASSERT_FALSE(IsThere(kReads - 1));

    EXPECT_EQ(kaio_raw_destroy(ctx_), 0);

    ExpectAllThere();
}

TEST_F(ReadsInFlightTest, DestroyWaitsForThemWhenAPollIsPendingToo) {
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
    const Descriptor read_end(ends[0]);
    const Descriptor write_end(ends[1]);
    kaio_raw_iocb poll = kaio_raw_prep_poll(read_end.fd(), POLLIN);
    kaio_raw_iocb *iocbs[] = {&poll};
    ASSERT_EQ(kaio_raw_submit(ctx_, 1, iocbs), 1);
    ASSERT_FALSE(IsThere(kReads - 1));

    EXPECT_EQ(kaio_raw_destroy(ctx_), 0);

    ExpectAllThere();
}

// Whoever comes second may not touch the buffers: they are still the kernel's.
TEST_F(ReadsInFlightTest, SecondDestroyIsRefusedAndDoesNotWait) {
    std::future<long> first =
        std::async(std::launch::async, [this] { return kaio_raw_destroy(ctx_); });
    ASSERT_TRUE(WaitFor([this] { return kaio_raw_submit(ctx_, 0, nullptr) == -EINVAL; }));

    EXPECT_EQ(kaio_raw_destroy(ctx_), -EINVAL);

    EXPECT_FALSE(IsThere(kReads - 1));
    EXPECT_EQ(first.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
    EXPECT_EQ(first.get(), 0);
    ExpectAllThere();
}

}  // namespace
}  // namespace kaio_test
