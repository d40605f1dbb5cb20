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

#include "tests/tools/command.h"

namespace kaio_test {
namespace {

using testing::ContainsRegex;
using testing::ElementsAre;

constexpr size_t kMib = 1024 * 1024;

std::string Message(const std::string &path, const std::string &rest) {
    return "kaio: copy: " + path + ": " + rest + "\n";
}

int Shell(const std::string &line) {
    return system(("PATH=$PATH:/usr/sbin:/sbin; " + line).c_str());
}

// A Mount lasts as long as this object.
class Mount {
  public:
    // `make` makes a file system on the file $1; without one, `kind` needs no device.
    Mount(const Folder &parent, const std::string &kind, const std::string &options,
          const std::string &make = "", size_t image_bytes = 0)
        : path_(parent / "mounted"), image_(parent / "image") {
        EXPECT_EQ(mkdir(path_.c_str(), 0755), 0);
        if (make.empty()) {
            EXPECT_EQ(mount("none", path_.c_str(), kind.c_str(), 0, options.c_str()), 0)
                << strerror(errno);
            return;
        }
        WriteSparse(image_, image_bytes, {});
        EXPECT_EQ(Shell("set -- " + image_ + "; " + make + " >/dev/null"), 0);
        EXPECT_EQ(Shell("mount -o loop " + image_ + " " + path_), 0);
    }
    ~Mount() {
        EXPECT_EQ(umount(path_.c_str()), 0) << strerror(errno);
    }
    Mount(const Mount &) = delete;
    Mount &operator=(const Mount &) = delete;

    std::string operator/(const std::string &name) const {
        return path_ + "/" + name;
    }

    std::vector<std::string> Names() const {
        std::vector<std::string> names;
        for (const auto &entry : std::filesystem::directory_iterator(path_)) {
            if (entry.path().filename() != "lost+found") {
                names.push_back(entry.path().filename().string());
            }
        }
        return names;
    }

    uint64_t FreeBytes() const {
        sync();
        struct statvfs found = {};
        EXPECT_EQ(statvfs(path_.c_str(), &found), 0);
        return found.f_bfree * found.f_frsize;
    }

  private:
    const std::string path_;
    const std::string image_;
};

class MountTest : public testing::Test {
  protected:
    void SetUp() override {
        if (geteuid() != 0) {
            GTEST_SKIP() << "only the superuser may mount";
        }
        static const bool is_alone =
            unshare(CLONE_NEWNS) == 0 &&
            mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
        ASSERT_TRUE(is_alone) << strerror(errno);
    }

    static Ending Copy(const std::string &source, const std::string &target,
                       std::vector<std::string> options = {}) {
        options.insert(options.begin(), "copy");
        options.push_back(source);
        options.push_back(target);
        return Command(options).Run();
    }

    Folder folder_;
    const std::string source_ = folder_ / "source";
};

// ---- kinds ----

struct Kind {
    const char *name;
    const char *kind;
    const char *tool;  // that makes one; NULL when there is nothing to make
    const char *make;
    size_t image_bytes;
    bool has_direct;
    bool has_holes;
};

constexpr Kind kKinds[] = {
    {"Tmpfs", "tmpfs", nullptr, "", 0, true, true},
    {"Ramfs", "ramfs", nullptr, "", 0, false, false},
    {"Ext4", "ext4", "mkfs.ext4", "mkfs.ext4 -q $1", 64 * kMib, true, true},
    {"Ext4SmallBlocks", "ext4", "mkfs.ext4", "mkfs.ext4 -q -b1024 $1", 64 * kMib, true, true},
    {"Ext4NoExtents", "ext4", "mkfs.ext4", "mkfs.ext4 -q -O ^extent,^64bit $1", 64 * kMib, true,
     true},
    {"Xfs", "xfs", "mkfs.xfs", "mkfs.xfs -q -f $1", 512 * kMib, true, true},
    {"Btrfs", "btrfs", "mkfs.btrfs", "mkfs.btrfs -q -f $1", 256 * kMib, true, true}};

// KindsHere are those that can be made on this machine.
std::vector<Kind> KindsHere() {
    std::vector<Kind> here;
    for (const Kind &kind : kKinds) {
        const bool is_here = kind.tool == nullptr ||
                             access((std::string("/sbin/") + kind.tool).c_str(), X_OK) == 0 ||
                             access((std::string("/usr/sbin/") + kind.tool).c_str(), X_OK) == 0;
        if (is_here) {
            here.push_back(kind);
        }
    }
    return here;
}

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
    const Mount mounted(folder_, GetParam().kind, "", GetParam().make, GetParam().image_bytes);
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

INSTANTIATE_TEST_SUITE_P(FileSystems, KindTest, testing::ValuesIn(KindsHere()),
                         [](const auto &kind) { return std::string(kind.param.name); });

// ---- full and broken ones ----

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
    const Mount mounted(folder_, GetParam().kind, GetParam().make[0] == '\0' ? "size=16m" : "",
                        GetParam().make, GetParam().image_bytes);

    EXPECT_EQ(TryToFill(mounted), Message(mounted / "target",
                                          "reserve 50331648 bytes at offset 0: No space left on "
                                          "device"));
}

INSTANTIATE_TEST_SUITE_P(FileSystems, FullTest,
                         testing::Values(Kind{"Tmpfs", "tmpfs", nullptr, "", 0, true, true},
                                         Kind{"Ext4", "ext4", "mkfs.ext4", "mkfs.ext4 -q $1",
                                              32 * kMib, true, true}),
                         [](const auto &kind) { return std::string(kind.param.name); });

class BrokenTest : public MountTest {};

TEST_F(BrokenTest, WhereNothingCanBeReservedTheWriteNamesItsOffset) {
    WriteFile(source_, Pattern(48 * kMib));
    const Mount mounted(folder_, "ext4", "", "mkfs.ext4 -q -O ^extent,^64bit $1", 32 * kMib);
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
    const Mount memory(folder_, "tmpfs", "size=24m");
    const Folder below(memory / "");
    const Mount mounted(below, "ext4", "", "mkfs.ext4 -q -O ^has_journal $1", 128 * kMib);

    const Ending ending = Copy(source_, mounted / "target", {"-b64K"});

    EXPECT_EQ(ending.exit_status, 1);
    EXPECT_THAT(ending.err, ContainsRegex("target: write of 65536 bytes at offset [1-9][0-9]+: "
                                          "(Input/output error|No space left on device)\n$"));
    EXPECT_THAT(mounted.Names(), ElementsAre());
}

TEST_F(BrokenTest, AReadOnlyFileSystemIsSaid) {
    WriteFile(source_, Pattern(100));
    const Mount mounted(folder_, "tmpfs", "");
    ASSERT_EQ(mount(nullptr, (mounted / "").c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr), 0);

    EXPECT_EQ(Copy(source_, mounted / "target").err,
              Message(mounted / "target", "create a file in its folder: Read-only file system"));
}

// ---- what only the superuser has ----

class RootTest : public MountTest {};

// A Loop device lasts as long as this object.
class Loop {
  public:
    explicit Loop(const std::string &image) {
        const std::string answer = image + ".device";
        EXPECT_EQ(Shell("losetup --find --show " + image + " >" + answer), 0);
        std::ifstream(answer) >> path_;
    }
    ~Loop() {
        EXPECT_EQ(Shell("losetup --detach " + path_), 0);
    }
    Loop(const Loop &) = delete;
    Loop &operator=(const Loop &) = delete;

    const std::string &path() const {
        return path_;
    }

  private:
    std::string path_;
};

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
