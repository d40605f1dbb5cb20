// What real file systems and devices tell of themselves, on a loop device with sectors of 4096
// bytes: each step of asking by itself, since the simulated kernel can leave out the ones before
// it. What is told is held against what the kernel then does.

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>

#include "kaio/safe/sim/file.h"
#include "tests/support/folder.h"
#include "tests/support/machine.h"
#include "tests/support/safe_test.h"

namespace kaio_test {
namespace {

constexpr uint32_t kSectorBytes = 4096;
constexpr uint32_t kFileBytes = 1u << 20;
constexpr uint32_t kTransferBytes = 65536;

// STATX_*: include/uapi/linux/stat.h.
constexpr uint32_t kStatxDio = 0x2000 | 0x20000;

// A file system on a device whose sectors have 4096 bytes; or the device itself.
struct Kind {
    const char *name;
    const char *kind;  // "": the device
    const char *make;  // works on $1; "": nothing is made
    const char *options;
};

constexpr Kind kDevice = {"Device", "", "", ""};
constexpr Kind kExt4On4096 = {"Ext4", "ext4", "mkfs.ext4 -q $1", ""};
constexpr Kind kXfsOn4096 = {"Xfs", "xfs", "mkfs.xfs -q -f $1", ""};
constexpr Kind kExt4Journaled = {"Ext4Journaled", "ext4", "mkfs.ext4 -q $1", "data=journal"};
constexpr Kind kTmpfsKind = {"Tmpfs", "tmpfs", "", ""};

class Disk {
  public:
    explicit Disk(const Kind &kind) {
        const bool is_tmpfs = kind.kind == std::string("tmpfs");
        if (!is_tmpfs) {
            WriteSparse(folder_ / "image", 512u << 20, {});
            loop_ = std::make_unique<Loop>(folder_ / "image",
                                           "--sector-size " + std::to_string(kSectorBytes));
            file_ = loop_->path();
        }
        if (kind.kind[0] == '\0') {
            return;
        }
        mounted_ = folder_ / "mounted";
        EXPECT_EQ(mkdir(mounted_.c_str(), 0755), 0);
        const std::string source = is_tmpfs ? "none" : loop_->path();
        if (!is_tmpfs) {
            EXPECT_EQ(Shell("set -- " + source + "; " + kind.make + " >/dev/null"), 0);
        }
        EXPECT_EQ(mount(source.c_str(), mounted_.c_str(), kind.kind, 0, kind.options), 0)
            << strerror(errno);
        file_ = mounted_ + "/file";
        WriteFile(file_, Pattern(kFileBytes));
    }

    ~Disk() {
        if (!mounted_.empty()) {
            EXPECT_EQ(umount(mounted_.c_str()), 0) << strerror(errno);
        }
    }

    Disk(const Disk &) = delete;
    Disk &operator=(const Disk &) = delete;

    const std::string &file() const {
        return file_;
    }

  private:
    const Folder folder_;
    std::unique_ptr<Loop> loop_;
    std::string mounted_;
    std::string file_;
};

class FileMachineTest : public OnMachine<QueueTest> {
  protected:
    void TearDown() override {
        kaio_file_drop(&file_);
        QueueTest::TearDown();
        const kaio_sim_file_script nothing = {};
        kaio_sim_play_file(&nothing);
        disk_.reset();
    }

    // Learn opens the file of `disk_`, where statx does not know `hidden_mask`.
    kaio_alignment Learn(uint32_t hidden_mask, int flags = O_RDWR | O_DIRECT) {
        kaio_file_drop(&file_);
        kaio_sim_file_script script = {};
        script.statx_hidden_mask = hidden_mask;
        kaio_sim_play_file(&script);
        file_ = OpenFile(disk_->file().c_str(), flags);
        kaio_alignment alignment = {};
        EXPECT_OK(kaio_file_alignment(file_, &alignment));
        return alignment;
    }

    int fd() {
        int fd = -1;
        EXPECT_OK(kaio_file_as_fd(file_, &fd));
        return fd;
    }

    // Ask lets the kernel do what a request would: the bytes moved, or -errno.
    int64_t Ask(bool is_write, kaio_range range, uint32_t flags) {
        char *const first = memory_ + range.buffer_offset_bytes;
        iovec part = {first, range.size_bytes};
        const long moved =
            syscall(is_write ? SYS_pwritev2 : SYS_preadv2, fd(), &part, 1L,
                    static_cast<long>(range.file_offset_bytes), 0L, static_cast<long>(flags));
        return moved < 0 ? -errno : moved;
    }

    // Make makes a request, as far as that, and gives it up.
    kaio_status Make(bool is_write, kaio_range range, uint32_t flags) {
        kaio_buffer *buffer = NewBuffer(2 * kTransferBytes);
        kaio_status status = {};
        if (is_write) {
            kaio_write *write = nullptr;
            status = K(kaio_write_new(queue_, file_, range, {flags}, &buffer, &write));
            kaio_write_drop(&write);
        } else {
            kaio_read *read = nullptr;
            status = K(kaio_read_new(queue_, file_, range, {flags}, &buffer, &read));
            kaio_read_drop(&read);
        }
        kaio_buffer_drop(&buffer);
        return status;
    }

    // The library refuses nothing of this that the kernel would take.
    void ExpectNothingRefusedInVain(bool is_write, kaio_range range, uint32_t flags) {
        const kaio_status status = Make(is_write, range, flags);
        if (!kaio_status_is_ok(status)) {
            const int64_t result = Ask(is_write, range, flags);
            EXPECT_LT(result, 0) << (is_write ? "write" : "read") << " with 0x" << std::hex << flags
                                 << std::dec << ", " << range.size_bytes << " at "
                                 << range.file_offset_bytes << ": " << Text(status);
            EXPECT_NE(result, -EAGAIN);
        }
    }

    alignas(4096) char memory_[2 * kTransferBytes] = {};
    std::unique_ptr<Disk> disk_;
    kaio_file *file_ = nullptr;
};

// ---- alignment ----

TEST_F(FileMachineTest, ADeviceTellsItsSectorsWithoutStatxToo) {
    disk_ = std::make_unique<Disk>(kDevice);
    const kaio_alignment by_statx = Learn(0);

    const kaio_alignment alignment = Learn(kStatxDio);

    EXPECT_EQ(alignment.source, KAIO_ALIGNMENT_SOURCE_DEVICE);
    EXPECT_TRUE(alignment.is_known);
    EXPECT_EQ(alignment.memory_bytes, kSectorBytes);
    EXPECT_EQ(alignment.read_bytes, kSectorBytes);
    EXPECT_EQ(alignment.write_bytes, kSectorBytes);
    if (by_statx.source == KAIO_ALIGNMENT_SOURCE_STATX) {
        EXPECT_EQ(by_statx.write_bytes, kSectorBytes);
    }
    EXPECT_CODE(KAIO_ALIGN, Make(false, Range(512, kSectorBytes), 0));
    EXPECT_EQ(Ask(false, Range(512, kSectorBytes), 0), -EINVAL);
    EXPECT_CODE(KAIO_ALIGN, Make(true, Range(0, 512), 0));
    EXPECT_EQ(Ask(true, Range(0, 512), 0), -EINVAL);
    EXPECT_OK(Make(false, Range(kSectorBytes, kSectorBytes), 0));
    EXPECT_EQ(Ask(false, Range(kSectorBytes, kSectorBytes), 0), int64_t{kSectorBytes});
}

TEST_F(FileMachineTest, XfsTellsWithoutStatxWhatStatxTells) {
    if (Shell("command -v mkfs.xfs >/dev/null") != 0) {
        GTEST_SKIP() << "mkfs.xfs is not installed (xfsprogs)";
    }
    disk_ = std::make_unique<Disk>(kXfsOn4096);
    const kaio_alignment by_statx = Learn(0);

    const kaio_alignment alignment = Learn(kStatxDio);

    EXPECT_EQ(alignment.source, KAIO_ALIGNMENT_SOURCE_XFS);
    EXPECT_TRUE(alignment.is_known);
    EXPECT_EQ(alignment.read_bytes, kSectorBytes);
    EXPECT_EQ(alignment.write_bytes, kSectorBytes);
    if (by_statx.source == KAIO_ALIGNMENT_SOURCE_STATX) {
        EXPECT_EQ(alignment.memory_bytes, by_statx.memory_bytes);
        EXPECT_EQ(alignment.write_bytes, by_statx.write_bytes);
    }
    EXPECT_CODE(KAIO_ALIGN, Make(false, Range(0, 512), 0));
    EXPECT_EQ(Ask(false, Range(0, 512), 0), -EINVAL);
}

TEST_F(FileMachineTest, WhereTheFileSystemTellsNothingSysfsTellsOfItsDevice) {
    disk_ = std::make_unique<Disk>(kExt4On4096);
    const kaio_alignment by_statx = Learn(0);

    const kaio_alignment alignment = Learn(kStatxDio);

    EXPECT_EQ(alignment.source, KAIO_ALIGNMENT_SOURCE_SYSFS);
    EXPECT_FALSE(alignment.is_known);
    EXPECT_EQ(alignment.read_bytes, kSectorBytes);
    EXPECT_EQ(alignment.write_bytes, kSectorBytes);
    if (by_statx.source == KAIO_ALIGNMENT_SOURCE_STATX) {
        EXPECT_EQ(alignment.memory_bytes, by_statx.memory_bytes);
        EXPECT_EQ(alignment.write_bytes, by_statx.write_bytes);
    }
    EXPECT_OK(Make(false, Range(0, 512), 0));
    EXPECT_EQ(Ask(false, Range(0, 512), 0), -EINVAL);
}

// The reason why what sysfs tells is not enforced: this file goes through the page cache.
TEST_F(FileMachineTest, AFileMayTakeWhatItsDeviceDoesNot) {
    disk_ = std::make_unique<Disk>(kExt4Journaled);

    EXPECT_EQ(Learn(kStatxDio).source, KAIO_ALIGNMENT_SOURCE_SYSFS);

    EXPECT_EQ(Ask(false, Range(1, 100, 1), 0), 100);
    EXPECT_OK(Make(false, Range(1, 100, 1), 0));
}

TEST_F(FileMachineTest, AFileThatTellsItIsNotDoneDirectlyIsGuessedAbout) {
    disk_ = std::make_unique<Disk>(kExt4Journaled);
    const kaio_alignment alignment = Learn(0);
    if (alignment.source == KAIO_ALIGNMENT_SOURCE_SYSFS) {
        GTEST_SKIP() << "STATX_DIOALIGN came with Linux 6.1";
    }

    EXPECT_EQ(alignment.source, KAIO_ALIGNMENT_SOURCE_GUESS);
    EXPECT_FALSE(alignment.is_known);
    EXPECT_OK(Make(true, Range(1, 100, 1), 0));
}

// ---- flags ----

struct Case {
    Kind kind;
    int open_flags;
};

std::string Name(const testing::TestParamInfo<Case> &info) {
    return std::string(info.param.kind.name) +
           ((info.param.open_flags & O_DIRECT) != 0 ? "Direct" : "Buffered");
}

class FlagMachineTest : public FileMachineTest, public testing::WithParamInterface<Case> {
  protected:
    void SetUp() override {
        FileMachineTest::SetUp();
        if (IsSkipped()) {
            return;
        }
        if (GetParam().kind.kind == std::string("xfs") &&
            Shell("command -v mkfs.xfs >/dev/null") != 0) {
            GTEST_SKIP() << "mkfs.xfs is not installed (xfsprogs)";
        }
        disk_ = std::make_unique<Disk>(GetParam().kind);
        alignment_ = Learn(0, O_RDWR | GetParam().open_flags);
    }

    kaio_alignment alignment_ = {};
};

constexpr uint32_t kDurability = 0x2 | 0x4;
constexpr uint32_t kAtomicFlag = 0x40;

TEST_P(FlagMachineTest, NoFlagIsRefusedThatTheKernelTakes) {
    for (uint32_t first = 1; first <= 0x400; first <<= 1) {
        for (uint32_t second = 1; second <= 0x400; second <<= 1) {
            const uint32_t flags = first | second;
            ExpectNothingRefusedInVain(true, Range(0, kSectorBytes), flags);
            if ((flags & kDurability) == 0) {
                ExpectNothingRefusedInVain(false, Range(0, kSectorBytes), flags);
            }
        }
    }
}

// The exception: the kernel takes the flag and does nothing about it.
TEST_P(FlagMachineTest, AReadThatAsksForDurabilityIsRefusedThoughTheKernelTakesIt) {
    for (const uint32_t flag : {0x2u, 0x4u, 0x6u}) {
        const kaio_status status = Make(false, Range(0, kSectorBytes), flag);
        EXPECT_CODE(KAIO_UNSUPPORTED, status);
        EXPECT_EQ(status.detail, flag);
        EXPECT_EQ(Ask(false, Range(0, kSectorBytes), flag), int64_t{kSectorBytes});
    }
}

TEST_P(FlagMachineTest, WhatTheKernelDoesNotKnowIsRefused) {
    for (uint32_t flag = 1; flag != 0; flag <<= 1) {
        const int64_t result = Ask(true, Range(0, kSectorBytes), flag | 0x10 | 0x20);
        EXPECT_LT(result, 0) << "nothing is written with APPEND and NOAPPEND";
        if (result == -EOPNOTSUPP) {
            EXPECT_CODE(KAIO_UNSUPPORTED, Make(true, Range(0, kSectorBytes), flag)) << flag;
        }
    }
}

TEST_P(FlagMachineTest, AtomicWritesKeepTheLimitsThatTheFileTells) {
    if (alignment_.atomic_max_bytes == 0) {
        EXPECT_CODE(KAIO_UNSUPPORTED, Make(true, Range(0, kSectorBytes), kAtomicFlag));
        EXPECT_EQ(Ask(true, Range(0, kSectorBytes), kAtomicFlag), -EOPNOTSUPP);
        return;
    }
    RecordProperty("atomic_min_bytes", std::to_string(alignment_.atomic_min_bytes));
    RecordProperty("atomic_max_bytes", std::to_string(alignment_.atomic_max_bytes));
    for (uint32_t size_bytes = 512; size_bytes <= kTransferBytes; size_bytes += 512) {
        for (const uint64_t offset_bytes : {uint64_t{0}, uint64_t{4096}, uint64_t{size_bytes}}) {
            const kaio_range range = Range(offset_bytes, size_bytes);
            ExpectNothingRefusedInVain(true, range, kAtomicFlag);
            const bool is_made = kaio_status_is_ok(Make(true, range, kAtomicFlag));
            if (is_made && alignment_.is_direct) {
                EXPECT_EQ(Ask(true, range, kAtomicFlag), int64_t{size_bytes}) << offset_bytes;
            }
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Every, FlagMachineTest,
                         testing::Values(Case{kDevice, 0}, Case{kDevice, O_DIRECT},
                                         Case{kExt4On4096, 0}, Case{kExt4On4096, O_DIRECT},
                                         Case{kXfsOn4096, 0}, Case{kXfsOn4096, O_DIRECT},
                                         Case{kTmpfsKind, 0}, Case{kTmpfsKind, O_DIRECT}),
                         Name);

}  // namespace
}  // namespace kaio_test
