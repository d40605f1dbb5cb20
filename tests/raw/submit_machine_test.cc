#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "kaio/raw/aio_abi.h"
#include "kaio/raw/aio_prep.h"
#include "tests/raw/kernel_test.h"
#include "tests/support/folder.h"
#include "tests/support/machine.h"

namespace kaio_test {
namespace {

constexpr size_t kBlockBytes = 4096;
constexpr size_t kFileBytes = 64 * 1024;

// A file system, or a block device without one, and how its file is opened.
struct Place {
    const char *name;
    const FileSystemKind *kind;  // NULL: a block device
    int open_flags;
};

constexpr Place kExt4Buffered = {"Ext4Buffered", &kExt4, 0};
constexpr Place kExt4Direct = {"Ext4Direct", &kExt4, O_DIRECT};
constexpr Place kXfsBuffered = {"XfsBuffered", &kXfs, 0};
constexpr Place kXfsDirect = {"XfsDirect", &kXfs, O_DIRECT};
constexpr Place kBtrfsBuffered = {"BtrfsBuffered", &kBtrfs, 0};
constexpr Place kBtrfsDirect = {"BtrfsDirect", &kBtrfs, O_DIRECT};
constexpr Place kBlockBuffered = {"BlockBuffered", nullptr, 0};
constexpr Place kBlockDirect = {"BlockDirect", nullptr, O_DIRECT};
constexpr Place kTmpfsBuffered = {"TmpfsBuffered", &kTmpfs, 0};
constexpr Place kTmpfsDirect = {"TmpfsDirect", &kTmpfs, O_DIRECT};

// What the cases of a suite that come after each other on one file system share.
class Disk {
  public:
    explicit Disk(const FileSystemKind *kind) : kind_(kind) {
        if (kind != nullptr) {
            mount_ = std::make_unique<Mount>(folder_, *kind);
        } else {
            WriteSparse(folder_ / "image", kFileBytes, {});
            loop_ = std::make_unique<Loop>(folder_ / "image");
        }
    }

    const FileSystemKind *kind() const {
        return kind_;
    }

    // The file of the tests, or the block device.
    std::string File() const {
        return mount_ != nullptr ? *mount_ / "file" : loop_->path();
    }

  private:
    const FileSystemKind *const kind_;
    const Folder folder_;
    std::unique_ptr<Mount> mount_;
    std::unique_ptr<Loop> loop_;
};

class SubmitMachineTest : public OnMachine<KernelTest> {
  protected:
    static void TearDownTestSuite() {
        disk_.reset();
        KernelTest::TearDownTestSuite();
    }

    // Mounting and the like touch errno. That raw does not is tested elsewhere.
    void TearDown() override {
        file_under_test_.reset();
        errno = kErrno;
        KernelTest::TearDown();
    }

    // Opens the file of `place`, which is then content_ and no more.
    void Open(const Place &place, int more_flags = 0) {
        if (disk_ == nullptr || disk_->kind() != place.kind) {
            disk_.reset();
            disk_ = std::make_unique<Disk>(place.kind);
        }
        if (place.kind != nullptr) {
            WriteFile(disk_->File(), content_);
        } else {
            WriteAt(disk_->File(), 0, content_);
        }
        file_under_test_ = std::make_unique<Descriptor>(
            open(disk_->File().c_str(), O_RDWR | O_CLOEXEC | place.open_flags | more_flags));
    }

    int file() const {
        return file_under_test_->fd();
    }

    kaio_raw_iocb ReadBlock(int64_t offset = 0) {
        return kaio_raw_prep_pread(file(), page_.As<char>(), kBlockBytes, offset);
    }

    kaio_raw_iocb WriteBlock(int64_t offset = 0) {
        std::memcpy(page_.As<char>(), content_.data(), kBlockBytes);
        return kaio_raw_prep_pwrite(file(), page_.As<char>(), kBlockBytes, offset);
    }

    static inline std::unique_ptr<Disk> disk_;
    const std::string content_ = Pattern(kFileBytes);
    Page page_{PROT_READ | PROT_WRITE};
    std::unique_ptr<Descriptor> file_under_test_;
};

// ---- flags that a file need not support ----

// `flags` of a read or write; a kernel before `major`.`minor` may refuse them everywhere.
struct Column {
    const char *name;
    bool is_write;
    int flags;
    int major;
    int minor;
};

constexpr Column kColumns[] = {
    {"NoWaitRead", false, KAIO_RAW_RWF_NOWAIT, 6, 12},
    {"NoWaitWrite", true, KAIO_RAW_RWF_NOWAIT, 6, 12},
    {"AtomicRead", false, KAIO_RAW_RWF_ATOMIC, 6, 16},
    {"AtomicWrite", true, KAIO_RAW_RWF_ATOMIC, 6, 16},
    {"DontCacheRead", false, KAIO_RAW_RWF_DONTCACHE, 6, 14},
    {"DontCacheWrite", true, KAIO_RAW_RWF_DONTCACHE, 6, 14},
};

struct Cell {
    Place place;
    Column column;
    unsigned accepted;
};

class FlagMatrixTest : public SubmitMachineTest, public testing::WithParamInterface<Cell> {
  public:
    // Every file with every flag, and what may come of it.
    static std::vector<Cell> Cells() {
        // Not while the times of the file must be written first, or the device is busy.
        constexpr unsigned kPerhaps = kServed | kWouldBlock;
        const struct {
            Place place;
            unsigned accepted[std::size(kColumns)];
        } rows[] = {
            {kExt4Buffered,
             {kServed, kUnsupported | kPerhaps, kRefused, kRefused, kServed, kServed}},
            // Atomic writes where the device has them; a loop device has not.
            {kExt4Direct, {kServed, kPerhaps, kRefused, kRefused | kServed, kServed, kServed}},
            {kXfsBuffered, {kServed, kPerhaps, kRefused, kUnsupported, kServed, kServed}},
            {kXfsDirect, {kServed, kPerhaps, kRefused, kServed, kServed, kServed}},
            {kBtrfsBuffered, {kServed, kPerhaps, kRefused, kRefused, kRefused, kRefused}},
            {kBtrfsDirect, {kServed, kPerhaps, kRefused, kRefused, kRefused, kRefused}},
            {kBlockBuffered, {kServed, kUnsupported, kRefused, kRefused, kRefused, kRefused}},
            {kBlockDirect, {kServed, kServed, kRefused, kRefused | kServed, kRefused, kRefused}},
            {kTmpfsBuffered, {kRefused, kRefused, kRefused, kRefused, kRefused, kRefused}},
            {kTmpfsDirect, {kRefused, kRefused, kRefused, kRefused, kRefused, kRefused}},
        };
        std::vector<Cell> cells;
        for (const auto &row : rows) {
            for (size_t column = 0; column < std::size(kColumns); ++column) {
                cells.push_back({row.place, kColumns[column], row.accepted[column]});
            }
        }
        return cells;
    }
};

TEST_P(FlagMatrixTest, AnswersAsTheTableSays) {
    const auto &[place, column, expected] = GetParam();
    const unsigned accepted = expected | RefusedBefore(column.major, column.minor);
    Open(place);
    ASSERT_EQ(Run(ReadBlock()), int64_t{kBlockBytes});
    kaio_raw_iocb iocb = column.is_write ? WriteBlock() : ReadBlock();
    kaio_raw_set_rw_flags(&iocb, column.flags);

    Answer answer = Try(iocb);
    // What was read may have left the cache again.
    for (int again = 0; again < 100 && answer == kWouldBlock && (accepted & answer) == 0; ++again) {
        ASSERT_EQ(Run(ReadBlock()), int64_t{kBlockBytes});
        answer = Try(iocb);
    }

    EXPECT_NE(answer & accepted, 0u) << Text(answer) << "; expected " << Text(accepted);
    RecordProperty("seen", Text(answer));
}

INSTANTIATE_TEST_SUITE_P(Every, FlagMatrixTest, testing::ValuesIn(FlagMatrixTest::Cells()),
                         [](const auto &cell) {
                             return std::string(cell.param.place.name) + cell.param.column.name;
                         });

TEST_F(SubmitMachineTest, NoWaitWriteThatExtendsADirectFileWouldBlockOrIsServed) {
    Open(kExt4Direct);
    kaio_raw_iocb write = WriteBlock(kFileBytes);
    kaio_raw_set_rw_flags(&write, KAIO_RAW_RWF_NOWAIT);

    const Answer answer = Try(write);

    EXPECT_NE(answer & (kWouldBlock | kServed), 0u) << Text(answer);
    EXPECT_EQ(Stat(disk_->File()).st_size,
              static_cast<off_t>(kFileBytes + (answer == kServed ? kBlockBytes : 0)));
    RecordProperty("seen", Text(answer));
}

TEST_F(SubmitMachineTest, NoAppendOnAnAppendOnlyFileIsNotPermitted) {
    Open(kExt4Buffered, O_APPEND);
    int flags = 0;
    ASSERT_EQ(ioctl(file(), FS_IOC_GETFLAGS, &flags), 0);
    const int append_only = flags | FS_APPEND_FL;
    ASSERT_EQ(ioctl(file(), FS_IOC_SETFLAGS, &append_only), 0);
    kaio_raw_iocb write = WriteBlock();
    kaio_raw_set_rw_flags(&write, KAIO_RAW_RWF_NOAPPEND);

    EXPECT_EQ(Submit(&write), KernelIsBefore(6, 9) ? -EOPNOTSUPP : -EPERM);

    EXPECT_EQ(ioctl(file(), FS_IOC_SETFLAGS, &flags), 0);
}

TEST_F(SubmitMachineTest, RealTimePriorityIsTakenFromTheSuperuser) {
    Open(kExt4Direct);
    kaio_raw_iocb read = ReadBlock();
    kaio_raw_set_priority(&read, kaio_raw_ioprio_encode(KAIO_RAW_IOPRIO_CLASS_RT, 0, 7));

    EXPECT_EQ(Run(read), int64_t{kBlockBytes});
}

TEST_F(SubmitMachineTest, RealTimePriorityNeedsEitherOfTwoCapabilities) {
    Open(kExt4Direct);
    for (const int capability : {CAP_SYS_ADMIN, CAP_SYS_NICE, CAP_CHOWN}) {
        kaio_raw_iocb read = ReadBlock();
        kaio_raw_set_priority(&read, kaio_raw_ioprio_encode(KAIO_RAW_IOPRIO_CLASS_RT, 0, 7));
        kaio_raw_event event = {};
        long answer = 0;

        ASSERT_TRUE(SubmitWithCapability(&read, capability, &answer)) << capability;

        EXPECT_EQ(answer, capability == CAP_CHOWN ? -EPERM : 1) << capability;
        if (answer == 1) {
            EXPECT_EQ(Get(1, 1, &event, kPatienceMs), 1);
        }
    }
}

// ---- direct I/O ----

// How a place takes what is not aligned; what goes through the page cache after all takes it.
struct DirectPlace {
    Place place;
    bool is_strict;
};

class DirectTest : public SubmitMachineTest, public testing::WithParamInterface<DirectPlace> {
  protected:
    void SetUp() override {
        SubmitMachineTest::SetUp();
        if (IsSkipped()) {
            return;
        }
        if (GetParam().place.kind == &kTmpfs && KernelIsBefore(6, 6)) {
            GTEST_SKIP() << "O_DIRECT on tmpfs came with Linux 6.6";
        }
        Open(GetParam().place);
    }

    bool IsBlockDevice() {
        return GetParam().place.kind == nullptr;
    }

    // Reads into memory that is aligned or, by `shift_bytes`, is not.
    int64_t Read(uint64_t nbytes, int64_t offset, size_t shift_bytes = 0) {
        return Run(kaio_raw_prep_pread(file(), memory_ + shift_bytes, nbytes, offset));
    }

    std::string Bytes(size_t size_bytes, size_t shift_bytes = 0) const {
        return {memory_ + shift_bytes, size_bytes};
    }

    alignas(kBlockBytes) char memory_[4 * kBlockBytes] = {};
};

TEST_P(DirectTest, AlignedReadIsServed) {
    EXPECT_EQ(Read(kBlockBytes, kBlockBytes), int64_t{kBlockBytes});
    EXPECT_EQ(Bytes(kBlockBytes), content_.substr(kBlockBytes, kBlockBytes));
}

TEST_P(DirectTest, AlignedWriteIsServed) {
    const std::string bytes = Pattern(kBlockBytes, 2);
    std::memcpy(memory_, bytes.data(), kBlockBytes);

    EXPECT_EQ(Run(kaio_raw_prep_pwrite(file(), memory_, kBlockBytes, kBlockBytes)),
              int64_t{kBlockBytes});

    std::memset(memory_, 0, sizeof memory_);
    EXPECT_EQ(Read(kBlockBytes, kBlockBytes), int64_t{kBlockBytes});
    EXPECT_EQ(Bytes(kBlockBytes), bytes);
}

TEST_P(DirectTest, UnalignedLengthIsRefusedInTheEventOrServed) {
    EXPECT_EQ(Read(100, 0), GetParam().is_strict ? -EINVAL : 100);
    EXPECT_EQ(Bytes(100), GetParam().is_strict ? std::string(100, '\0') : content_.substr(0, 100));
}

TEST_P(DirectTest, UnalignedOffsetIsRefusedInTheEventOrServed) {
    EXPECT_EQ(Read(kBlockBytes, 100), GetParam().is_strict ? -EINVAL : int64_t{kBlockBytes});
}

TEST_P(DirectTest, UnalignedWriteIsRefusedInTheEventOrServed) {
    EXPECT_EQ(Run(kaio_raw_prep_pwrite(file(), memory_, 100, 0)),
              GetParam().is_strict ? -EINVAL : 100);
}

// The kernel does not look at every address, only where it must split what is asked for.
TEST_P(DirectTest, UnalignedMemoryIsRefusedInTheEventOrServed) {
    for (const size_t size_bytes : {size_t{512}, 2 * kBlockBytes}) {
        const int64_t result = Read(size_bytes, 0, 1);

        EXPECT_TRUE(result == static_cast<int64_t>(size_bytes) ||
                    (result == -EINVAL && GetParam().is_strict))
            << size_bytes << ": " << result;
        if (result > 0) {
            EXPECT_EQ(Bytes(size_bytes, 1), content_.substr(0, size_bytes));
        }
        RecordProperty("seen_" + std::to_string(size_bytes), std::to_string(result));
    }
}

TEST_P(DirectTest, ReadAcrossTheEndGivesWhatIsThere) {
    constexpr size_t kRest = 1808;
    if (!IsBlockDevice()) {
        ASSERT_EQ(ftruncate(file(), kFileBytes - kBlockBytes + kRest), 0);
    }

    EXPECT_EQ(Read(2 * kBlockBytes, kFileBytes - kBlockBytes),
              static_cast<int64_t>(IsBlockDevice() ? kBlockBytes : kRest));
    EXPECT_EQ(Bytes(kRest), content_.substr(kFileBytes - kBlockBytes, kRest));
}

TEST_P(DirectTest, ReadAtTheEndGivesZero) {
    EXPECT_EQ(Read(kBlockBytes, kFileBytes), 0);
}

TEST_P(DirectTest, UnalignedReadBehindTheEndGivesZero) {
    EXPECT_EQ(Read(kBlockBytes, kFileBytes + 100), 0);
}

TEST_P(DirectTest, WriteAtTheEndMakesAFileLongerButNoDevice) {
    const int64_t result = Run(WriteBlock(kFileBytes));

    EXPECT_EQ(result, IsBlockDevice() ? -ENOSPC : int64_t{kBlockBytes});
    EXPECT_EQ(lseek(file(), 0, SEEK_END),
              static_cast<off_t>(kFileBytes + (IsBlockDevice() ? 0 : kBlockBytes)));
}

INSTANTIATE_TEST_SUITE_P(Every, DirectTest,
                         testing::Values(DirectPlace{kExt4Direct, true},
                                         DirectPlace{kXfsDirect, true},
                                         DirectPlace{kBlockDirect, true},
                                         DirectPlace{kBtrfsDirect, false},
                                         DirectPlace{kTmpfsDirect, false}),
                         [](const auto &row) { return row.param.place.name; });

// ---- what may be reused in flight ----

TEST_F(SubmitMachineTest, RequestAndVectorsMayBeOverwrittenInFlight) {
    Open(kBlockDirect);
    const Throttle throttle(Stat(disk_->File()).st_rdev, 2);
    if (!throttle.why_not().empty()) {
        GTEST_SKIP() << throttle.why_not();
    }
    Page second(PROT_READ | PROT_WRITE);
    Page elsewhere(PROT_READ | PROT_WRITE);
    kaio_raw_iocb first = ReadBlock();
    kaio_raw_iocb other = ReadBlock();
    iovec parts[] = {{page_.As<char>(), kBlockBytes}, {second.As<char>(), kBlockBytes}};
    kaio_raw_iocb read = kaio_raw_prep_preadv(file(), parts, 2, 3 * kBlockBytes);
    kaio_raw_set_data(&read, 77);
    kaio_raw_iocb *iocbs[] = {&first, &other, &read};
    kaio_raw_event events[3] = {};
    ASSERT_EQ(kaio_raw_submit(ctx_, 3, iocbs), 3);

    std::memset(&read, 0xee, sizeof read);
    std::memset(iocbs, 0xee, sizeof iocbs);
    parts[0].iov_base = elsewhere.As<char>();
    parts[1].iov_base = elsewhere.As<char>();
    ASSERT_EQ(second.As<char>()[0], '\0') << "the read was not in flight any more";

    ASSERT_EQ(Get(3, 3, events, kPatienceMs), 3);
    EXPECT_EQ(events[2].obj, reinterpret_cast<uintptr_t>(&read));
    EXPECT_EQ(events[2].data, 77u);
    EXPECT_EQ(events[2].res, int64_t{2 * kBlockBytes});
    EXPECT_EQ(std::string(page_.As<char>(), kBlockBytes),
              content_.substr(3 * kBlockBytes, kBlockBytes));
    EXPECT_EQ(std::string(second.As<char>(), kBlockBytes),
              content_.substr(4 * kBlockBytes, kBlockBytes));
}

// ---- no space ----

TEST_F(SubmitMachineTest, WriteEndsShortWhereTheSpaceEnds) {
    const Mount mount(folder_, kTmpfs, "size=65536");
    const Descriptor file(open((mount / "file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    const std::string bytes = Pattern(2 * kFileBytes);

    EXPECT_EQ(Run(kaio_raw_prep_pwrite(file.fd(), bytes.data(), bytes.size(), 0)),
              int64_t{kFileBytes});
    EXPECT_EQ(Run(kaio_raw_prep_pwrite(file.fd(), bytes.data(), bytes.size(), kFileBytes)),
              -ENOSPC);
}

}  // namespace
}  // namespace kaio_test
