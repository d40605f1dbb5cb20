// What is found out about a file where the kernel, its file system or /sys tells less or something
// else than on this machine.

#include "kaio/safe/sim/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <string>

#include "kaio/safe/sim/sim.h"
#include "tests/support/folder.h"
#include "tests/support/safe_test.h"

namespace kaio_test {
namespace {

// STATX_*: include/uapi/linux/stat.h.
constexpr uint32_t kDioAlign = 0x2000;
constexpr uint32_t kWriteAtomic = 0x10000;
constexpr uint32_t kDioReadAlign = 0x20000;

// A kernel before 6.1, on a file system that is not XFS.
kaio_sim_file_script OldKernel() {
    kaio_sim_file_script script = {};
    script.statx_hidden_mask = kDioAlign | kDioReadAlign | kWriteAtomic;
    script.xfs_error = ENOTTY;
    return script;
}

class FileSimTest : public QueueTest {
  protected:
    void SetUp() override {
        QueueTest::SetUp();
        Play({});
    }

    void TearDown() override {
        kaio_file_drop(&file_);
        QueueTest::TearDown();
        Play({});
    }

    void Play(const kaio_sim_file_script &script) {
        kaio_sim_play_file(&script);
        const kaio_sim_script kernel = {};
        kaio_sim_play(&kernel);
    }

    // Learn opens the file by `script`.
    kaio_alignment Learn(const kaio_sim_file_script &script, int flags = O_RDWR | O_DIRECT) {
        kaio_file_drop(&file_);
        Play(script);
        file_ = OpenFile(temp_.path(), flags);
        return Alignment();
    }

    kaio_alignment Alignment() {
        kaio_alignment alignment = {};
        EXPECT_OK(kaio_file_alignment(file_, &alignment));
        return alignment;
    }

    void ExpectNumbers(const kaio_alignment &alignment, uint32_t memory_bytes, uint32_t read_bytes,
                       uint32_t write_bytes) {
        EXPECT_EQ(alignment.memory_bytes, memory_bytes);
        EXPECT_EQ(alignment.read_bytes, read_bytes);
        EXPECT_EQ(alignment.write_bytes, write_bytes);
    }

    // MayRead and MayWrite make a request, as far as that, and give it up.
    kaio_status MayRead(kaio_range range, kaio_rw_flags flags = kaio_rw_none()) {
        kaio_buffer *buffer = NewBuffer(kBufferBytes, 4096);
        kaio_read *read = nullptr;
        const kaio_status status = K(kaio_read_new(queue_, file_, range, flags, &buffer, &read));
        if (kaio_status_is_ok(status)) {
            EXPECT_OK(K(kaio_read_abandon(&read, &buffer)));
        }
        EXPECT_NE(buffer, nullptr);
        kaio_buffer_drop(&buffer);
        return status;
    }

    kaio_status MayWrite(kaio_range range, kaio_rw_flags flags = kaio_rw_none()) {
        kaio_buffer *buffer = NewBuffer(kBufferBytes, 4096);
        kaio_write *write = nullptr;
        const kaio_status status = K(kaio_write_new(queue_, file_, range, flags, &buffer, &write));
        if (kaio_status_is_ok(status)) {
            EXPECT_OK(K(kaio_write_abandon(&write, &buffer)));
        }
        EXPECT_NE(buffer, nullptr);
        kaio_buffer_drop(&buffer);
        return status;
    }

    void ExpectNumbers(kaio_status status, kaio_code code, kaio_subject subject, uint32_t first,
                       uint32_t second) {
        EXPECT_CODE(code, status);
        EXPECT_EQ(status.subject, subject);
        EXPECT_EQ(status.detail, first | uint64_t{second} << 32);
    }

    void ExpectUnsupported(kaio_status status, uint32_t bits) {
        EXPECT_CODE(KAIO_UNSUPPORTED, status);
        EXPECT_EQ(status.subject, KAIO_SUBJECT_FLAGS);
        EXPECT_EQ(status.detail, bits);
        EXPECT_EQ(kaio_sim_call_counts().submit_count, 0u);
    }

    static constexpr uint32_t kBufferBytes = 1u << 18;
    TempFile temp_{Pattern(10000)};
    kaio_file *file_ = nullptr;
};

// ---- alignment: statx ----

TEST_F(FileSimTest, StatxTellsReadsAndWritesApart) {
    kaio_sim_file_script script = {};
    script.tells_dio = true;
    script.dio_memory_bytes = 4;
    script.dio_offset_bytes = 4096;
    script.dio_read_bytes = 512;

    const kaio_alignment alignment = Learn(script);

    EXPECT_EQ(alignment.source, KAIO_ALIGNMENT_SOURCE_STATX);
    EXPECT_TRUE(alignment.is_known);
    ExpectNumbers(alignment, 4, 512, 4096);
    EXPECT_OK(MayRead(Range(512, 512, 4)));
    ExpectNumbers(MayWrite(Range(512, 4096)), KAIO_ALIGN, KAIO_SUBJECT_FILE_OFFSET, 512, 4096);
    ExpectNumbers(MayWrite(Range(4096, 512)), KAIO_ALIGN, KAIO_SUBJECT_SIZE, 512, 4096);
    ExpectNumbers(MayRead(Range(512, 512, 2)), KAIO_ALIGN, KAIO_SUBJECT_MEMORY, 2, 4);
    EXPECT_EQ(kaio_sim_file_call_counts().xfs_count, 0u);
    EXPECT_EQ(kaio_sim_file_call_counts().sysfs_count, 0u);
}

TEST_F(FileSimTest, ReadsAreAlignedAsWritesWhereStatxDoesNotTellThemApart) {
    kaio_sim_file_script script = {};
    script.tells_dio = true;
    script.dio_memory_bytes = 512;
    script.dio_offset_bytes = 4096;

    const kaio_alignment alignment = Learn(script);

    EXPECT_EQ(alignment.source, KAIO_ALIGNMENT_SOURCE_STATX);
    ExpectNumbers(alignment, 512, 4096, 4096);
    EXPECT_CODE(KAIO_ALIGN, MayRead(Range(512, 512)));
}

TEST_F(FileSimTest, AFileThatSaysItIsNotDoneDirectlyIsNotJudgedByItsDevice) {
    kaio_sim_file_script script = {};
    script.tells_dio = true;
    script.tells_xfs = true;
    script.xfs_memory_bytes = script.xfs_transfer_bytes = 512;

    const kaio_alignment alignment = Learn(script);

    EXPECT_EQ(alignment.source, KAIO_ALIGNMENT_SOURCE_GUESS);
    EXPECT_FALSE(alignment.is_known);
    ExpectNumbers(alignment, 4096, 4096, 4096);
    EXPECT_OK(MayRead(Range(1, 1, 1)));
    EXPECT_EQ(kaio_sim_file_call_counts().xfs_count, 0u);
    EXPECT_EQ(kaio_sim_file_call_counts().sysfs_count, 0u);
}

TEST_F(FileSimTest, ABufferedFileIsNotAskedForAlignments) {
    kaio_sim_file_script script = OldKernel();
    script.xfs_error = 0;
    script.tells_xfs = true;
    script.xfs_memory_bytes = script.xfs_transfer_bytes = 512;

    const kaio_alignment alignment = Learn(script, O_RDWR);

    EXPECT_EQ(alignment.source, KAIO_ALIGNMENT_SOURCE_NOT_DIRECT);
    EXPECT_TRUE(alignment.is_known);
    ExpectNumbers(alignment, 1, 1, 1);
    EXPECT_OK(MayWrite(Range(1, 1, 1)));
    EXPECT_EQ(kaio_sim_file_call_counts().xfs_count, 0u);
    EXPECT_EQ(kaio_sim_file_call_counts().sysfs_count, 0u);
}

// ---- alignment: XFS ----

TEST_F(FileSimTest, XfsTellsWhereStatxDoesNot) {
    for (const int32_t statx_error : {0, ENOSYS, EPERM}) {
        kaio_sim_file_script script = OldKernel();
        script.statx_error = statx_error;
        script.xfs_error = 0;
        script.tells_xfs = true;
        script.xfs_memory_bytes = 512;
        script.xfs_transfer_bytes = 4096;

        const kaio_alignment alignment = Learn(script);

        EXPECT_EQ(alignment.source, KAIO_ALIGNMENT_SOURCE_XFS);
        EXPECT_TRUE(alignment.is_known);
        ExpectNumbers(alignment, 512, 4096, 4096);
        ExpectNumbers(MayRead(Range(0, 512)), KAIO_ALIGN, KAIO_SUBJECT_SIZE, 512, 4096);
        ExpectNumbers(MayWrite(Range(0, 512)), KAIO_ALIGN, KAIO_SUBJECT_SIZE, 512, 4096);
        EXPECT_EQ(kaio_sim_file_call_counts().statx_count, 1u);
        EXPECT_EQ(kaio_sim_file_call_counts().sysfs_count, 0u);
    }
}

TEST_F(FileSimTest, NumbersThatAreNoPowersOfTwoAreNotTaken) {
    kaio_sim_file_script script = {};
    script.tells_dio = true;
    script.dio_memory_bytes = 512;
    script.dio_offset_bytes = 12288;
    script.tells_xfs = true;
    script.xfs_memory_bytes = 512;
    script.xfs_transfer_bytes = 0;
    script.sysfs_path = "/no/such/folder";

    EXPECT_EQ(Learn(script).source, KAIO_ALIGNMENT_SOURCE_GUESS);
    EXPECT_EQ(kaio_sim_file_call_counts().xfs_count, 1u);

    script.xfs_transfer_bytes = 512;
    EXPECT_EQ(Learn(script).source, KAIO_ALIGNMENT_SOURCE_XFS);
}

// ---- alignment: sysfs ----

// A SysfsTest has a folder that stands for /sys.
class SysfsTest : public FileSimTest {
  protected:
    void SetUp() override {
        FileSimTest::SetUp();
        const dev_t device = Stat(temp_.path()).st_dev;
        number_ = std::to_string(major(device)) + ":" + std::to_string(minor(device));
        sysfs_ = folder_ / "sys";
        for (const char *path : {"", "/dev", "/dev/block", "/devices", "/devices/disk",
                                 "/devices/disk/queue", "/devices/disk/part"}) {
            ASSERT_EQ(mkdir((sysfs_ + path).c_str(), 0755), 0) << path;
        }
    }

    // The device is the disk, or a partition of it.
    void Link(const std::string &target) {
        ASSERT_EQ(symlink(("../../devices/" + target).c_str(),
                          (sysfs_ + "/dev/block/" + number_).c_str()),
                  0);
    }

    void Tell(const std::string &name, const std::string &text) {
        WriteFile(sysfs_ + "/devices/disk/queue/" + name, text);
    }

    kaio_sim_file_script Script() {
        kaio_sim_file_script script = OldKernel();
        script.sysfs_path = sysfs_.c_str();
        return script;
    }

    Folder folder_;
    std::string sysfs_;
    std::string number_;
};

TEST_F(SysfsTest, TheDeviceOfTheFileTellsWhenTheFileDoesNot) {
    Link("disk");
    Tell("logical_block_size", "2048\n");
    Tell("dma_alignment", "3\n");

    const kaio_alignment alignment = Learn(Script());

    EXPECT_EQ(alignment.source, KAIO_ALIGNMENT_SOURCE_SYSFS);
    ExpectNumbers(alignment, 4, 2048, 2048);
    EXPECT_TRUE(alignment.is_direct);
    EXPECT_EQ(kaio_sim_file_call_counts().xfs_count, 1u);
}

TEST_F(SysfsTest, WhatTheDeviceTellsIsAdviceAndNotEnforced) {
    Link("disk");
    Tell("logical_block_size", "4096\n");
    Tell("dma_alignment", "511\n");

    EXPECT_FALSE(Learn(Script()).is_known);

    EXPECT_OK(MayRead(Range(1, 1, 1)));
    EXPECT_OK(MayWrite(Range(512, 512)));
}

TEST_F(SysfsTest, APartitionHasTheQueueOfItsDisk) {
    Link("disk/part");
    Tell("logical_block_size", "4096\n");
    Tell("dma_alignment", "511\n");

    const kaio_alignment alignment = Learn(Script());

    EXPECT_EQ(alignment.source, KAIO_ALIGNMENT_SOURCE_SYSFS);
    ExpectNumbers(alignment, 512, 4096, 4096);
}

TEST_F(SysfsTest, MemoryIsAlignedAsTheTransferWhereTheDeviceDoesNotTell) {
    Link("disk");
    Tell("logical_block_size", "1024\n");

    const kaio_alignment alignment = Learn(Script());

    EXPECT_EQ(alignment.source, KAIO_ALIGNMENT_SOURCE_SYSFS);
    ExpectNumbers(alignment, 1024, 1024, 1024);
}

TEST_F(SysfsTest, WhereNobodyTellsTheNumbersAreAGuessAndNotEnforced) {
    const kaio_alignment alignment = Learn(Script());

    EXPECT_EQ(alignment.source, KAIO_ALIGNMENT_SOURCE_GUESS);
    EXPECT_FALSE(alignment.is_known);
    ExpectNumbers(alignment, 4096, 4096, 4096);
    EXPECT_OK(MayRead(Range(1, 1, 1)));
    EXPECT_GT(kaio_sim_file_call_counts().sysfs_count, 0u);
}

TEST_F(SysfsTest, WhatIsNoSizeIsNotTaken) {
    Link("disk");
    for (const char *text :
         {"", "\n", "abc\n", "-512\n", "512", "0\n", "513\n", "51200000000\n", "512 512\n"}) {
        Tell("logical_block_size", text);
        EXPECT_EQ(Learn(Script()).source, KAIO_ALIGNMENT_SOURCE_GUESS) << text;
    }
}

TEST_F(SysfsTest, WhatIsNoRegularFileHasNoDeviceToAsk) {
    int fds[2];
    ASSERT_EQ(pipe2(fds, O_CLOEXEC | O_DIRECT | O_NONBLOCK), 0);
    Play(Script());
    ASSERT_OK(kaio_file_borrow(fds[1], &file_));  // the reading end is not direct

    EXPECT_EQ(Alignment().source, KAIO_ALIGNMENT_SOURCE_GUESS);

    EXPECT_EQ(kaio_sim_file_call_counts().xfs_count, 0u);
    EXPECT_EQ(kaio_sim_file_call_counts().block_count, 0u);
    EXPECT_EQ(kaio_sim_file_call_counts().sysfs_count, 0u);
    close(fds[0]);
    close(fds[1]);
}

// ---- flags ----

constexpr uint32_t kAppend = 0x10;
constexpr uint32_t kNoAppend = 0x20;
constexpr uint32_t kAtomic = 0x40;
constexpr uint32_t kDontCache = 0x80;
constexpr uint32_t kNoSignal = 0x100;

using FlagSimTest = FileSimTest;

TEST_F(FlagSimTest, AFlagThatIsNewerThanTheKernelIsAnsweredBeforeTheSubmit) {
    for (const uint32_t bit : {kDontCache, kNoSignal}) {
        kaio_sim_file_script script = {};
        script.unknown_rw_flags = bit;
        Learn(script, O_RDWR);

        ExpectUnsupported(MayRead(Range(0, 512), {bit}), bit);
        ExpectUnsupported(MayWrite(Range(0, 512), {bit | 0x2}), bit);
        EXPECT_OK(MayWrite(Range(0, 512), {kAppend}));
    }
}

TEST_F(FlagSimTest, AKernelWithoutNoAppendIsAskedForEachFlagThatAPipeTakes) {
    kaio_sim_file_script script = {};
    script.unknown_rw_flags = kNoAppend | kAtomic | kDontCache | kNoSignal;
    script.statx_hidden_mask = kWriteAtomic;
    Learn(script, O_RDWR);

    ExpectUnsupported(MayWrite(Range(0, 512), {kNoAppend}), kNoAppend);
    ExpectUnsupported(MayWrite(Range(0, 512), {kNoSignal | kAppend}), kNoSignal);
    ExpectUnsupported(MayWrite(Range(0, 512), {kAtomic}), kAtomic);
    EXPECT_OK(MayWrite(Range(0, 512), {kAppend}));
    EXPECT_OK(MayWrite(Range(0, 512), {kDontCache})) << "a pipe refuses it also when it is known";
}

TEST_F(FlagSimTest, WhatCannotBeAskedIsLeftToTheKernel) {
    for (const int32_t error : {ENOSYS, EPERM}) {
        kaio_sim_file_script script = {};
        script.pipe_error = error;
        script.unknown_rw_flags = kNoAppend | kDontCache | kNoSignal;
        script.statx_error = error;
        Learn(script, O_RDWR);

        EXPECT_OK(MayWrite(Range(0, 512), {kNoAppend | kNoSignal | kDontCache}));
        EXPECT_OK(MayWrite(Range(3, 500), {kAtomic}));
        ExpectUnsupported(MayWrite(Range(0, 512), {0x200}), 0x200);
        EXPECT_EQ(kaio_sim_file_call_counts().flags_count, 1u);
    }
}

TEST_F(FlagSimTest, TheKernelIsAskedOnceForAllFiles) {
    Learn({}, O_RDWR);
    const uint32_t count = kaio_sim_file_call_counts().flags_count;
    EXPECT_GT(count, 1u);
    kaio_file *second = OpenFile(temp_.path());

    EXPECT_EQ(kaio_sim_file_call_counts().flags_count, count);

    kaio_file_drop(&second);
}

TEST_F(FlagSimTest, RetargetAndTheRestOfATransferAreCheckedToo) {
    kaio_sim_file_script script = {};
    script.unknown_rw_flags = kNoSignal;
    Learn(script, O_RDWR);
    kaio_buffer *buffer = NewBuffer(512);
    kaio_read *read = NewRead(file_, &buffer);
    ExpectUnsupported(K(kaio_read_retarget(read, file_, Range(0, 8), {kNoSignal})), kNoSignal);
    EXPECT_OK(K(kaio_read_abandon(&read, &buffer)));
    kaio_completion completion = {};
    completion.operation = KAIO_READ;
    completion.transfer = KAIO_TRANSFER_SHORT;
    completion.range = Range(0, 512);
    completion.moved_bytes = 8;
    completion.buffer = buffer;
    kaio_ticket ticket = {};

    ExpectUnsupported(K(kaio_read_rest_start(queue_, file_, {kNoSignal}, &completion, &ticket)),
                      kNoSignal);

    EXPECT_EQ(completion.buffer, buffer);
    kaio_completion_drop(&completion);
}

// ---- atomic writes ----

class AtomicSimTest : public FileSimTest {
  protected:
    static kaio_sim_file_script Script(uint32_t min_bytes, uint32_t max_bytes) {
        kaio_sim_file_script script = {};
        script.tells_atomic = true;
        script.atomic_min_bytes = min_bytes;
        script.atomic_max_bytes = max_bytes;
        return script;
    }

    kaio_status MayWriteAtomically(kaio_range range) {
        return MayWrite(range, kaio_rw_atomic());
    }
};

TEST_F(AtomicSimTest, TheLimitsAreTold) {
    const kaio_alignment alignment = Learn(Script(4096, 65536), O_RDWR);

    EXPECT_EQ(alignment.atomic_min_bytes, 4096u);
    EXPECT_EQ(alignment.atomic_max_bytes, 65536u);
}

TEST_F(AtomicSimTest, EverySizeAndOffsetThatFitsIsTaken) {
    Learn(Script(4096, 65536), O_RDWR);
    for (uint32_t size_bytes = 4096; size_bytes <= 65536; size_bytes *= 2) {
        EXPECT_OK(MayWriteAtomically(Range(0, size_bytes)));
        EXPECT_OK(MayWriteAtomically(Range(3 * uint64_t{size_bytes}, size_bytes, 100)));
    }
}

TEST_F(AtomicSimTest, AWrongSizeIsAnsweredWithTheLimit) {
    Learn(Script(4096, 65536), O_RDWR);
    ExpectNumbers(MayWriteAtomically(Range(0, 2048)), KAIO_RANGE, KAIO_SUBJECT_SIZE, 2048, 4096);
    ExpectNumbers(MayWriteAtomically(Range(0, 0)), KAIO_RANGE, KAIO_SUBJECT_SIZE, 0, 4096);
    ExpectNumbers(MayWriteAtomically(Range(0, 131072)), KAIO_RANGE, KAIO_SUBJECT_SIZE, 131072,
                  65536);
    ExpectNumbers(MayWriteAtomically(Range(0, 12288)), KAIO_ALIGN, KAIO_SUBJECT_SIZE, 4096, 8192);
    ExpectNumbers(MayWriteAtomically(Range(0, 4097)), KAIO_ALIGN, KAIO_SUBJECT_SIZE, 1, 4096);
}

TEST_F(AtomicSimTest, AnOffsetThatIsNoMultipleOfTheSizeIsAnsweredWithTheSize) {
    Learn(Script(4096, 65536), O_RDWR);
    ExpectNumbers(MayWriteAtomically(Range(4096, 8192)), KAIO_ALIGN, KAIO_SUBJECT_FILE_OFFSET, 4096,
                  8192);
    ExpectNumbers(MayWriteAtomically(Range(65537, 65536)), KAIO_ALIGN, KAIO_SUBJECT_FILE_OFFSET, 1,
                  65536);
}

TEST_F(AtomicSimTest, OtherWritesOfTheFileKnowNoSuchLimits) {
    Learn(Script(4096, 65536), O_RDWR);
    EXPECT_OK(MayWrite(Range(1, 100)));
    EXPECT_OK(MayWrite(Range(1, 131073), kaio_rw_dsync()));
}

TEST_F(AtomicSimTest, AReadIsNeverAtomic) {
    Learn(Script(4096, 65536), O_RDWR);
    ExpectUnsupported(MayRead(Range(0, 4096), kaio_rw_atomic()), kAtomic);
}

TEST_F(AtomicSimTest, AFileWithoutLimitsHasNoAtomicWrites) {
    const kaio_alignment alignment = Learn(Script(0, 0), O_RDWR);

    EXPECT_EQ(alignment.atomic_min_bytes, 0u);
    EXPECT_EQ(alignment.atomic_max_bytes, 0u);
    ExpectUnsupported(MayWriteAtomically(Range(0, 4096)), kAtomic);
}

TEST_F(AtomicSimTest, LimitsThatMakeNoSenseAreLeftToTheKernel) {
    for (const auto &[min_bytes, max_bytes] :
         {std::pair{0u, 4096u}, {4096u, 12288u}, {8192u, 4096u}}) {
        EXPECT_EQ(Learn(Script(min_bytes, max_bytes), O_RDWR).atomic_max_bytes, 0u);
        EXPECT_OK(MayWriteAtomically(Range(0, 100)));
    }
}

TEST_F(AtomicSimTest, AWriteThatBecomesAReadLeavesTheFlagBehind) {
    Learn(Script(4096, 65536), O_RDWR);
    kaio_buffer *buffer = NewBuffer(4096);
    kaio_write *write = nullptr;
    ASSERT_OK(K(kaio_write_new(queue_, file_, Range(0, 4096), kaio_rw_atomic(), &buffer, &write)));
    kaio_read *read = nullptr;

    EXPECT_OK(K(kaio_write_into_read(&write, &read)));

    kaio_read_push(&read, 0);
    kaio_completion completion = WaitAndTake();
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL) << Text(completion);
    kaio_completion_drop(&completion);
}

}  // namespace
}  // namespace kaio_test
