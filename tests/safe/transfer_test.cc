// Reads and writes of real files, on both kernels.

#include "tests/support/safe_test.h"

namespace kaio_test {
namespace {

class TransferTest : public QueueTest {
  protected:
    void TearDown() override {
        QueueTest::TearDown();
        kaio_file_drop(&file_);
    }

    void Open(const std::string &path, int flags) {
        file_ = OpenFile(path.c_str(), flags);
    }

    kaio_status TryRead(kaio_range range, kaio_buffer **move_buffer,
                        kaio_rw_flags flags = kaio_rw_none()) {
        kaio_ticket ticket = {};
        return K(kaio_read_start(queue_, file_, range, flags, 0, move_buffer, &ticket));
    }

    kaio_status TryWrite(kaio_range range, kaio_buffer **move_buffer,
                         kaio_rw_flags flags = kaio_rw_none()) {
        kaio_ticket ticket = {};
        return K(kaio_write_start(queue_, file_, range, flags, 0, move_buffer, &ticket));
    }

    const std::string content_ = Pattern(10000);
    TempFile temp_{content_};
    kaio_file *file_ = nullptr;
};

TEST_F(TransferTest, AWrittenRangeIsReadBack) {
    Open(temp_.path(), O_RDWR);
    const std::string text = Pattern(4096, 7);
    kaio_buffer *buffer = NewBuffer(text);
    kaio_buffer *const before = buffer;
    StartWrite(file_, 3000, &buffer, 42);
    EXPECT_EQ(buffer, nullptr);

    kaio_completion completion = WaitAndTake();

    EXPECT_EQ(completion.operation, KAIO_WRITE);
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL);
    EXPECT_EQ(completion.moved_bytes, 4096u);
    EXPECT_EQ(completion.user, 42u);
    EXPECT_EQ(completion.buffer, before) << "the same handle comes back";
    EXPECT_EQ(temp_.Content(), content_.substr(0, 3000) + text + content_.substr(7096));
    kaio_completion_drop(&completion);
}

TEST_F(TransferTest, OffsetsInsideTheBufferAreKept) {
    Open(temp_.path(), O_RDONLY);
    kaio_buffer *buffer = NewBuffer(std::string(1000, '.'));
    ASSERT_OK(TryRead(Range(100, 50, 200), &buffer));

    kaio_completion completion = WaitAndTake();

    EXPECT_EQ(completion.range.buffer_offset_bytes, 200u);
    EXPECT_EQ(completion.range.size_bytes, 50u);
    EXPECT_EQ(completion.range.file_offset_bytes, 100u);
    EXPECT_EQ(BufferText(completion.buffer, 1000),
              std::string(200, '.') + content_.substr(100, 50) + std::string(750, '.'));
    kaio_completion_drop(&completion);
}

TEST_F(TransferTest, TheLongFormDoesTheSame) {
    Open(temp_.path(), O_RDWR);
    kaio_buffer *buffer = NewBuffer(Pattern(512, 9));
    kaio_write *write = nullptr;
    ASSERT_OK(K(kaio_write_new(queue_, file_, Range(0, 512), kaio_rw_none(), &buffer, &write)));
    EXPECT_EQ(buffer, nullptr);
    EXPECT_EQ(Counts().idle_count, 1u);

    EXPECT_NE(K(kaio_write_push(&write, 5)).bits, 0u);

    EXPECT_EQ(write, nullptr);
    kaio_completion completion = WaitAndTake();
    EXPECT_EQ(completion.user, 5u);
    EXPECT_EQ(temp_.Content().substr(0, 512), Pattern(512, 9));
    kaio_completion_drop(&completion);
}

TEST_F(TransferTest, AnAbandonedRequestGivesItsBufferBack) {
    Open(temp_.path(), O_RDWR);
    kaio_buffer *buffer = NewBuffer(512);
    kaio_buffer *const before = buffer;
    kaio_read *read = NewRead(file_, &buffer);
    EXPECT_EQ(kaio_buffer_as_bytes(before), nullptr) << "the request has it";

    EXPECT_OK(K(kaio_read_abandon(&read, &buffer)));

    EXPECT_EQ(read, nullptr);
    EXPECT_EQ(buffer, before);
    EXPECT_NE(kaio_buffer_as_bytes(buffer), nullptr);
    EXPECT_EQ(Counts().free_count, kDepth);
    kaio_buffer_drop(&buffer);
}

TEST_F(TransferTest, ADroppedRequestDropsItsBuffer) {
    Open(temp_.path(), O_RDWR);
    kaio_buffer *buffer = NewBuffer(512);
    kaio_read *read = NewRead(file_, &buffer);
    kaio_read_drop(&read);
    EXPECT_EQ(read, nullptr);
    EXPECT_EQ(kaio_testing_count().buffer_count, 0u);
    EXPECT_EQ(Counts().free_count, kDepth);
}

TEST_F(TransferTest, AReadAcrossTheEndIsShortAndTheNextOneEnds) {
    Open(temp_.path(), O_RDONLY);
    kaio_buffer *buffer = NewBuffer(4096);
    StartRead(file_, 9990, &buffer);
    kaio_completion completion = WaitAndTake();
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_SHORT);
    EXPECT_EQ(completion.moved_bytes, 10u);
    StartRead(file_, 10000, &completion.buffer);
    completion = WaitAndTake();
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_END);
    EXPECT_EQ(completion.moved_bytes, 0u);
    kaio_completion_drop(&completion);
}

TEST_F(TransferTest, WhatWasNotRefusedHasAPlainOkAsItsRefusal) {
    Open(temp_.path(), O_RDONLY);
    kaio_status ok;
    memset(&ok, 0, sizeof ok);
    kaio_buffer *buffer = NewBuffer(4096);
    for (const uint64_t offset_bytes : {0, 9990, 10000}) {  // full, short, end
        StartRead(file_, offset_bytes, &buffer);
        const kaio_completion completion = WaitAndTake();
        EXPECT_EQ(memcmp(&completion.refusal, &ok, sizeof ok), 0) << Text(completion.refusal);
        buffer = completion.buffer;
    }
    kaio_buffer_drop(&buffer);
}

TEST_F(TransferTest, MovedBytesTellWhatCameAlsoWhereTheFileHasZeros) {
    const std::string text("ends in zeros\0\0\0", 16);
    TempFile zeros(text);
    Open(zeros.path(), O_RDONLY);
    kaio_buffer *buffer = NewBuffer(64);
    StartRead(file_, 0, &buffer);

    kaio_completion completion = WaitAndTake();

    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_SHORT);
    ASSERT_EQ(completion.moved_bytes, text.size());
    EXPECT_EQ(BufferText(completion.buffer, text.size()), text);
    kaio_completion_drop(&completion);
}

TEST_F(TransferTest, TheSecondOfTwoWritesStaysWhenTheFirstWasTakenBefore) {
    Open(temp_.path(), O_RDWR);
    kaio_buffer *buffer = NewBuffer(Pattern(512, 3));
    StartWrite(file_, 0, &buffer);
    kaio_completion completion = WaitAndTake();
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL);
    kaio_completion_drop(&completion);
    buffer = NewBuffer(Pattern(256, 4));
    StartWrite(file_, 0, &buffer);
    completion = WaitAndTake();
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL);
    kaio_completion_drop(&completion);
    buffer = NewBuffer(512);

    StartRead(file_, 0, &buffer);

    completion = WaitAndTake();
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL);
    EXPECT_EQ(BufferText(completion.buffer, 512), Pattern(256, 4) + Pattern(512, 3).substr(256));
    kaio_completion_drop(&completion);
}

TEST_F(TransferTest, ATransferOfNoBytesIsFull) {
    Open(temp_.path(), O_RDONLY);
    kaio_buffer *buffer = NewBuffer(512);
    ASSERT_OK(TryRead(Range(0, 0), &buffer));
    kaio_completion completion = WaitAndTake();
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL);
    EXPECT_EQ(completion.moved_bytes, 0u);
    kaio_completion_drop(&completion);
}

TEST_F(TransferTest, RangesOutsideTheBufferAreRefusedAndNothingChanges) {
    Open(temp_.path(), O_RDWR);
    kaio_buffer *buffer = NewBuffer(512);
    kaio_buffer *const before = buffer;
    kaio_status status = TryRead(Range(0, 513), &buffer);
    EXPECT_EQ(Text(status), "range (size): asked for 513, the limit is 512");
    status = TryRead(Range(0, 500, 13), &buffer);
    EXPECT_EQ(Text(status), "range (size): asked for 500, the limit is 499");
    status = TryRead(Range(0, 1, 513), &buffer);
    EXPECT_EQ(Text(status), "range (buffer offset): asked for 513, the limit is 512");
    EXPECT_CODE(KAIO_RANGE, TryRead(Range(0, UINT32_MAX, 1), &buffer));
    EXPECT_EQ(buffer, before);
    EXPECT_EQ(Counts().free_count, kDepth);
    kaio_buffer_drop(&buffer);
}

TEST_F(TransferTest, FileOffsetsThatTheKernelHasNoNumberForAreRefused) {
    Open(temp_.path(), O_RDWR);
    kaio_buffer *buffer = NewBuffer(512);
    kaio_status status = TryRead(Range(UINT64_MAX, 1), &buffer);
    EXPECT_CODE(KAIO_RANGE, status);
    EXPECT_EQ(status.subject, KAIO_SUBJECT_FILE_OFFSET);
    EXPECT_EQ(Text(status),
              "range (file offset): 18446744073709551615 and the size are more than the largest "
              "file offset, 9223372036854775807");
    EXPECT_CODE(KAIO_RANGE, TryRead(Range(INT64_MAX, 1), &buffer));
    EXPECT_CODE(KAIO_OK, TryRead(Range(INT64_MAX - 1, 1), &buffer));
    kaio_completion completion = WaitAndTake();
    EXPECT_NE(completion.transfer, KAIO_TRANSFER_FULL);
    kaio_completion_drop(&completion);
}

TEST_F(TransferTest, AFileOpenForReadingTakesNoWrite) {
    Open(temp_.path(), O_RDONLY);
    kaio_buffer *buffer = NewBuffer(512);
    EXPECT_CODE(KAIO_ACCESS, TryWrite(Range(0, 512), &buffer));
    EXPECT_NE(buffer, nullptr);
    kaio_buffer_drop(&buffer);
}

TEST_F(TransferTest, AFileOpenForWritingTakesNoRead) {
    Open(temp_.path(), O_WRONLY);
    kaio_buffer *buffer = NewBuffer(512);
    EXPECT_CODE(KAIO_ACCESS, TryRead(Range(0, 512), &buffer));
    kaio_buffer_drop(&buffer);
}

TEST_F(TransferTest, UnknownFlagBitsAreRefused) {
    Open(temp_.path(), O_RDWR);
    kaio_buffer *buffer = NewBuffer(512);
    const kaio_status status =
        TryRead(Range(0, 512), &buffer, kaio_rw_flags_from_bits(0x80000200u));
    EXPECT_CODE(KAIO_UNSUPPORTED, status);
    EXPECT_EQ(status.detail, 0x80000200u);
    kaio_buffer_drop(&buffer);
}

// The kernel takes DSYNC and SYNC with a read, and does nothing about them.
TEST_F(TransferTest, AReadPromisesNoDurability) {
    Open(temp_.path(), O_RDWR);
    kaio_buffer *buffer = NewBuffer(512);
    for (const kaio_rw_flags flags :
         {kaio_rw_dsync(), kaio_rw_sync(), kaio_rw_both(kaio_rw_dsync(), kaio_rw_sync())}) {
        const kaio_status status =
            TryRead(Range(0, 512), &buffer, kaio_rw_both(flags, kaio_rw_high_priority()));
        EXPECT_CODE(KAIO_UNSUPPORTED, status);
        EXPECT_EQ(status.subject, KAIO_SUBJECT_FLAGS);
        EXPECT_EQ(status.detail, flags.bits);
        ASSERT_OK(TryWrite(Range(0, 512), &buffer, flags));
        kaio_completion completion = WaitAndTake();
        EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL) << Text(completion);
        buffer = completion.buffer;
    }
    kaio_buffer_drop(&buffer);
}

TEST_F(TransferTest, AppendAndNoAppendContradictEachOther) {
    Open(temp_.path(), O_RDWR);
    kaio_buffer *buffer = NewBuffer(512);
    const kaio_rw_flags both = kaio_rw_both(kaio_rw_append(), kaio_rw_no_append());
    for (const kaio_status status :
         {TryRead(Range(0, 512), &buffer, both), TryWrite(Range(0, 512), &buffer, both)}) {
        EXPECT_CODE(KAIO_UNSUPPORTED, status);
        EXPECT_EQ(status.detail & both.bits, status.detail)
            << "an old kernel knows but one of them";
        EXPECT_NE(status.detail, 0u);
    }
    kaio_buffer_drop(&buffer);
}

TEST_F(TransferTest, OneOfThemAloneReachesTheKernel) {
    Open(temp_.path(), O_RDWR);
    kaio_buffer *buffer = NewBuffer(512);
    const kaio_status status = TryWrite(Range(0, 512), &buffer, kaio_rw_no_append());
    if (status.code == KAIO_UNSUPPORTED) {
        kaio_buffer_drop(&buffer);
        GTEST_SKIP() << "RWF_NOAPPEND came with Linux 6.9";
    }
    ASSERT_OK(status);
    kaio_completion completion = WaitAndTake();
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL) << Text(completion);
    EXPECT_EQ(temp_.Content().size(), content_.size());
    kaio_completion_drop(&completion);
}

TEST_F(TransferTest, AReadIsNotAtomic) {
    Open(temp_.path(), O_RDWR);
    kaio_buffer *buffer = NewBuffer(512);
    EXPECT_EQ(TryRead(Range(0, 512), &buffer, kaio_rw_atomic()).detail, kaio_rw_atomic().bits);
    kaio_buffer_drop(&buffer);
}

TEST_F(TransferTest, FlagsReachTheKernel) {
    Open(temp_.path(), O_RDWR);
    kaio_buffer *buffer = NewBuffer(Pattern(100, 3));
    ASSERT_OK(TryWrite(Range(0, 100), &buffer, kaio_rw_both(kaio_rw_append(), kaio_rw_dsync())));
    kaio_completion completion = WaitAndTake();
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL);
    EXPECT_EQ(temp_.Content(), content_ + Pattern(100, 3)) << "appended, not at offset 0";
    kaio_completion_drop(&completion);
}

TEST_F(TransferTest, DirectReadsAndWritesMoveAlignedBlocks) {
    Open(temp_.path(), O_RDWR | O_DIRECT);
    const std::string text = Pattern(8192, 5);
    kaio_buffer *buffer = NewBuffer(text);
    StartWrite(file_, 4096, &buffer);
    kaio_completion completion = WaitAndTake();
    ASSERT_EQ(completion.transfer, KAIO_TRANSFER_FULL) << Text(completion);
    ASSERT_OK(TryRead(Range(4096, 4096, 4096), &completion.buffer));
    completion = WaitAndTake();
    ASSERT_EQ(completion.transfer, KAIO_TRANSFER_FULL) << Text(completion);
    EXPECT_EQ(BufferText(completion.buffer, 8192), text.substr(0, 4096) + text.substr(0, 4096));
    kaio_completion_drop(&completion);
}

TEST_F(TransferTest, MisalignedDirectTransfersAreRefusedBeforeTheKernelWithTheNumbers) {
    Open(temp_.path(), O_RDWR | O_DIRECT);
    kaio_alignment alignment = {};
    ASSERT_OK(kaio_file_alignment(file_, &alignment));
    if (!alignment.is_known || alignment.read_bytes < 2) {
        GTEST_SKIP() << "this file system enforces no alignment";
    }
    const uint32_t block = alignment.read_bytes;
    kaio_buffer *buffer = NewBuffer(16384);
    kaio_buffer *const before = buffer;
    kaio_status status = TryRead(Range(1, block), &buffer);
    EXPECT_CODE(KAIO_ALIGN, status);
    EXPECT_EQ(status.subject, KAIO_SUBJECT_FILE_OFFSET);
    EXPECT_EQ(status.detail, 1 | uint64_t{block} << 32);
    status = TryWrite(Range(0, block + 7), &buffer);
    EXPECT_CODE(KAIO_ALIGN, status);
    EXPECT_EQ(status.subject, KAIO_SUBJECT_SIZE);
    EXPECT_EQ(status.detail, 7 | uint64_t{alignment.write_bytes} << 32);
    if (alignment.memory_bytes > 1) {
        status = TryRead(Range(0, block, 1), &buffer);
        EXPECT_CODE(KAIO_ALIGN, status);
        EXPECT_EQ(status.subject, KAIO_SUBJECT_MEMORY);
    }
    EXPECT_EQ(buffer, before);
    kaio_buffer_drop(&buffer);
}

TEST_F(TransferTest, ABufferComesBackBoundAndMayGoOnInTheSameThread) {
    Open(temp_.path(), O_RDWR);
    kaio_buffer *buffer = NewBuffer(512);
    for (int i = 0; i < 1000; ++i) {
        StartRead(file_, 0, &buffer);
        kaio_completion completion = WaitAndTake();
        ASSERT_EQ(completion.transfer, KAIO_TRANSFER_FULL);
        buffer = completion.buffer;
    }
    kaio_buffer_drop(&buffer);
}

}  // namespace
}  // namespace kaio_test
