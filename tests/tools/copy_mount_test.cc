// `kaio copy` between whole file systems: other kinds, full ones, broken ones, and block devices.
//
// The mounts are in a namespace of their own: whatever kills the test, nothing of them stays.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/support/command.h"
#include "tests/support/machine.h"

namespace kaio_test {
namespace {

using testing::ContainsRegex;
using testing::ElementsAre;

constexpr size_t kMib = 1024 * 1024;

std::string Message(const std::string &path, const std::string &rest) {
    return "kaio: copy: " + path + ": " + rest + "\n";
}

class MountTest : public MachineTest {
  protected:
    static Ending Copy(const std::string &source, const std::string &target,
                       std::vector<std::string> options = {}) {
        options.insert(options.begin(), "copy");
        options.push_back(source);
        options.push_back(target);
        return Command(options).Run();
    }

    const std::string source_ = folder_ / "source";
};

// ---- kinds ----

struct Kind : FileSystemKind {
    bool has_direct;
    bool has_holes;
};

const Kind kKinds[] = {
    {kTmpfs, true, true},
    {{"Ramfs", "ramfs", "", 0}, false, false},
    {kExt4, true, true},
    {{"Ext4SmallBlocks", "ext4", "mkfs.ext4 -q -b1024 $1", 64 * kMib}, true, true},
    {{"Ext4NoExtents", "ext4", "mkfs.ext4 -q -O ^extent,^64bit $1", 64 * kMib}, true, true},
    {kXfs, true, true},
    {kBtrfs, true, true}};

class KindTest : public MountTest, public testing::WithParamInterface<Kind> {
  protected:
    void ExpectCopied(const std::string &source, const std::string &target,
                      const std::vector<std::string> &options) {
        const Ending ending = Copy(source, target, options);

        EXPECT_EQ(ending.exit_status, 0) << ending.err;
        EXPECT_TRUE(ReadFile(target) == ReadFile(source)) << "the bytes differ";
        const bool says_buffered = ending.err.find("no direct I/O here") != std::string::npos;
        EXPECT_EQ(says_buffered, !GetParam().has_direct) << ending.err;
    }
};

TEST_P(KindTest, FilesGoThereAndBackWithTheirHolesAndTimes) {
    const Mount mounted(folder_, GetParam());
    WriteSparse(source_, 24 * kMib + 777,
                {{5 * kMib, Pattern(3 * kMib + 99)}, {24 * kMib + 700, Pattern(77)}});
    const struct stat source = Stat(source_);

    ExpectCopied(source_, mounted / "there", {"-p", "--verify"});
    ExpectCopied(mounted / "there", mounted / "there too", {"-p", "--verify", "-d3", "-b64K"});
    ExpectCopied(mounted / "there too", folder_ / "back", {"-p", "--verify"});

    for (const std::string &copy : {mounted / "there", mounted / "there too", folder_ / "back"}) {
        if (GetParam().has_holes) {
            EXPECT_LT(Stat(copy).st_blocks * 512, 5 * static_cast<int64_t>(kMib)) << copy;
        }
    }
    EXPECT_EQ(Stat(folder_ / "back").st_mtim.tv_sec, source.st_mtim.tv_sec);
    EXPECT_EQ(Stat(folder_ / "back").st_mtim.tv_nsec, source.st_mtim.tv_nsec);
}

INSTANTIATE_TEST_SUITE_P(FileSystems, KindTest, testing::ValuesIn(kKinds),
                         [](const auto &kind) { return std::string(kind.param.name); });

// ---- full and broken ones ----

const FileSystemKind kSmallExt4 = {"Ext4", "ext4", "mkfs.ext4 -q $1", 32 * kMib};

class FullTest : public KindTest {
  protected:
    void SetUp() override {
        KindTest::SetUp();
        if (!IsSkipped() && !HasFatalFailure()) {
            WriteFile(source_, Pattern(48 * kMib));
        }
    }

    // TryToFill copies what does not fit, and gives the message.
    std::string TryToFill(const Mount &mounted) {
        WriteFile(mounted / "target", "old");
        const uint64_t free_bytes = mounted.FreeBytes();

        const Ending ending = Copy(source_, mounted / "target");

        EXPECT_EQ(ending.exit_status, 1);
        EXPECT_THAT(mounted.Names(), ElementsAre("target"));
        EXPECT_EQ(ReadFile(mounted / "target"), "old");
        EXPECT_GE(mounted.FreeBytes() + 64 * 1024, free_bytes);
        return ending.err;
    }
};

TEST_P(FullTest, ItIsSaidBeforeAnythingIsCopied) {
    const Mount mounted(folder_, GetParam(), GetParam().make[0] == '\0' ? "size=16m" : "");

    EXPECT_EQ(TryToFill(mounted), Message(mounted / "target",
                                          "reserve 50331648 bytes at offset 0: No space left on "
                                          "device"));
}

INSTANTIATE_TEST_SUITE_P(FileSystems, FullTest,
                         testing::Values(Kind{kTmpfs, true, true}, Kind{kSmallExt4, true, true}),
                         [](const auto &kind) { return std::string(kind.param.name); });

class BrokenTest : public MountTest {};

TEST_F(BrokenTest, WhereNothingCanBeReservedTheWriteNamesItsOffset) {
    WriteFile(source_, Pattern(48 * kMib));
    const Mount mounted(folder_, {"", "ext4", "mkfs.ext4 -q -O ^extent,^64bit $1", 32 * kMib});
    WriteFile(mounted / "target", "old");
    const uint64_t free_bytes = mounted.FreeBytes();

    const Ending ending = Copy(source_, mounted / "target");

    EXPECT_EQ(ending.exit_status, 1);
    EXPECT_THAT(ending.err, ContainsRegex("^kaio: copy: .*/target: write of [0-9]+ bytes at offset "
                                          "[0-9]+: No space left on device\n$"));
    EXPECT_THAT(mounted.Names(), ElementsAre("target"));
    EXPECT_EQ(ReadFile(mounted / "target"), "old");
    EXPECT_GE(mounted.FreeBytes() + 64 * 1024, free_bytes);
}

// The device promises more than the memory it is in can hold.
TEST_F(BrokenTest, AFailingDeviceIsAnErrorWithTheOffsetAndNothingIsLeft) {
    WriteFile(source_, Pattern(48 * kMib));
    const Mount memory(folder_, kTmpfs, "size=24m");
    const Folder below(memory / "");
    const Mount mounted(below, {"", "ext4", "mkfs.ext4 -q -O ^has_journal $1", 128 * kMib});

    const Ending ending = Copy(source_, mounted / "target", {"-b64K"});

    EXPECT_EQ(ending.exit_status, 1);
    EXPECT_THAT(ending.err, ContainsRegex("target: write of 65536 bytes at offset [1-9][0-9]+: "
                                          "(Input/output error|No space left on device)\n$"));
    EXPECT_THAT(mounted.Names(), ElementsAre());
}

TEST_F(BrokenTest, AReadOnlyFileSystemIsSaid) {
    WriteFile(source_, Pattern(100));
    const Mount mounted(folder_, kTmpfs);
    ASSERT_EQ(mount(nullptr, (mounted / "").c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr), 0);

    EXPECT_EQ(Copy(source_, mounted / "target").err,
              Message(mounted / "target", "create a file in its folder: Read-only file system"));
}

// ---- what only the superuser has ----

class RootTest : public MountTest {};

TEST_F(RootTest, ABlockDeviceIsCopiedToAFile) {
    WriteFile(source_, Pattern(3 * kMib + 512));
    const Loop loop(source_);

    const Ending ending = Copy(loop.path(), folder_ / "target", {"--verify"});

    EXPECT_EQ(ending.exit_status, 0);
    EXPECT_EQ(ending.err, "");
    EXPECT_TRUE(ReadFile(folder_ / "target") == ReadFile(source_)) << "the bytes differ";
}

TEST_F(RootTest, ABlockDeviceIsNotReplaced) {
    WriteFile(source_, Pattern(kMib));
    const Loop loop(source_);

    const Ending ending = Copy(source_, loop.path());

    EXPECT_EQ(ending.err, Message(loop.path(), "is not a regular file, and would be replaced"));
    EXPECT_TRUE(S_ISBLK(Stat(loop.path()).st_mode));
}

TEST_F(RootTest, SetIdBitsAreNotKeptForAnotherOwner) {
    WriteFile(source_, Pattern(100));
    ASSERT_EQ(chown(source_.c_str(), 12345, 0), 0);
    ASSERT_EQ(chmod(source_.c_str(), 06755), 0);

    EXPECT_EQ(Copy(source_, folder_ / "target", {"-p"}).exit_status, 0);

    EXPECT_EQ(Stat(folder_ / "target").st_mode & 07777, 02755u);
    EXPECT_EQ(Stat(folder_ / "target").st_uid, 0u);
}

}  // namespace
}  // namespace kaio_test
