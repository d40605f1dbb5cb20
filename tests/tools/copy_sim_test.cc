// `kaio copy` on a kernel that does what a real one rarely does: short transfers, any order,
// errors.

#include <errno.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/command.h"

namespace kaio_test {
namespace {

using testing::ElementsAre;

class CopySimTest : public testing::Test {
  protected:
    void SetUp() override {
        WriteFile(source_, Pattern(kSize));
    }

    Command Copy(std::vector<std::string> options) {
        options.insert(options.begin(), "copy");
        options.push_back(source_);
        options.push_back(target_);
        return Command(options).Program("tests/tools/kaio_on_sim");
    }

    void ExpectCopied(const Ending &ending) {
        EXPECT_EQ(ending.exit_status, 0) << ending.err;
        EXPECT_TRUE(ReadFile(target_) == ReadFile(source_)) << "the bytes differ";
        EXPECT_THAT(folder_.Names(), ElementsAre("source", "target"));
    }

    void ExpectFailed(const Ending &ending, const std::string &message) {
        EXPECT_EQ(ending.exit_status, 1);
        EXPECT_EQ(ending.err, "kaio: copy: " + message + "\n");
        EXPECT_THAT(folder_.Names(), ElementsAre("source"));
    }

    static constexpr size_t kSize = 300 * 1024 + 123;

    Folder folder_;
    const std::string source_ = folder_ / "source";
    const std::string target_ = folder_ / "target";
};

TEST_F(CopySimTest, BlocksMayEndInAnyOrder) {
    for (const char *seed : {"1", "2", "3", "4", "5"}) {
        ExpectCopied(Copy({"-b4K", "-d16", "--verify"})
                         .With("HOLD", "1")
                         .With("REORDER", "1")
                         .With("SEED", seed)
                         .Run());
    }
}

TEST_F(CopySimTest, WhatIsMovedInPartsIsPutTogether) {
    for (const char *seed : {"1", "2", "3", "4", "5"}) {
        ExpectCopied(Copy({"-b8K", "-d4", "--buffered", "--verify"})
                         .With("HOLD", "1")
                         .With("REORDER", "1")
                         .With("SEED", seed)
                         .With("SHORTEN_COUNT", "400")
                         .Run());
    }
}

TEST_F(CopySimTest, DirectTransfersGoOnAtAnAlignedPlace) {
    ExpectCopied(Copy({"-b32K", "-d4", "--verify"}).With("SHORTEN_COUNT", "6").Run());
}

// Nothing is known of the alignment in memory: the parts end anywhere, and are begun anew.
TEST_F(CopySimTest, PartsThatEndAnywhereAreBegunAnewAtAnAlignedPlace) {
    Folder memory("/dev/shm");
    for (const char *count : {"1", "3", "5"}) {
        const Ending ending = Command({"copy", "-b64K", "-d2", source_, memory / "target"})
                                  .Program("tests/tools/kaio_on_sim")
                                  .With("SHORTEN_COUNT", count)
                                  .Run();

        EXPECT_EQ(ending.exit_status, 0) << ending.err;
        EXPECT_TRUE(ReadFile(memory / "target") == ReadFile(source_)) << "the bytes differ";
    }
}

TEST_F(CopySimTest, AKernelShortOfMemoryIsAskedAgain) {
    ExpectCopied(Copy({"-b4K", "--verify"})
                     .With("SUBMIT_ERROR_COUNT", "20")
                     .With("SUBMIT_ERROR", std::to_string(EAGAIN))
                     .Run());
}

TEST_F(CopySimTest, AKernelThatTakesOneRequestAtATimeIsFine) {
    ExpectCopied(Copy({"-b4K"}).With("HOLD", "1").With("SUBMIT_LIMIT", "1").Run());
}

TEST_F(CopySimTest, AKernelWithoutARingIsFine) {
    ExpectCopied(Copy({"-b4K", "--verify"}).With("HOLD", "1").With("NO_RING", "1").Run());
}

TEST_F(CopySimTest, AReadErrorNamesFileSizeOffsetAndCause) {
    ExpectFailed(Copy({"-b64K", "-d1"})
                     .With("FAIL_COUNT", "1")
                     .With("FAIL_ERROR", std::to_string(EIO))
                     .Run(),
                 source_ + ": read of 65536 bytes at offset 0: Input/output error");
}

TEST_F(CopySimTest, AnErrorOfDirectIoHintsAtTheOtherWay) {
    ExpectFailed(Copy({"-b64K", "-d1"})
                     .With("FAIL_COUNT", "1")
                     .With("FAIL_ERROR", std::to_string(EINVAL))
                     .Run(),
                 source_ +
                     ": read of 65536 bytes at offset 0: Invalid argument (--buffered may "
                     "help)");
}

TEST_F(CopySimTest, AKernelWithoutAioIsSaid) {
    ExpectFailed(
        Copy({}).With("SETUP_ERROR_COUNT", "1").With("SETUP_ERROR", std::to_string(ENOSYS)).Run(),
        "kernel: queue: Function not implemented");
}

TEST_F(CopySimTest, ASystemWithoutRoomForTheQueueIsSaid) {
    const Ending ending =
        Copy({}).With("SETUP_ERROR_COUNT", "1").With("SETUP_ERROR", std::to_string(EAGAIN)).Run();

    EXPECT_EQ(ending.exit_status, 1);
    EXPECT_THAT(ending.err, testing::HasSubstr("fs.aio-max-nr"));
}

}  // namespace
}  // namespace kaio_test
