// Transfers that meet while both are under way, in a queue that was told to refuse them.

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include <string>

#include "kaio/safe/kaio.h"
#include "tests/support/safe_test.h"

namespace {

using namespace kaio_test;

constexpr uint32_t kPageBytes = 4096;

class OverlapTest : public QueueTest {
  protected:
    kaio_queue_options Options() const override {
        kaio_queue_options options = QueueTest::Options();
        options.refuse_overlaps = true;
        options.segment_count = 8;
        options.eventfd = true;
        return options;
    }

    void SetUp() override {
        QueueTest::SetUp();
        file_ = OpenFile(temp_.path());
    }

    void TearDown() override {
        QueueTest::TearDown();
        kaio_file_drop(&file_);
    }

    void Push(bool is_write, uint64_t offset_bytes, uint64_t user, kaio_file *file = nullptr,
              uint32_t size_bytes = kPageBytes, kaio_rw_flags flags = kaio_rw_none()) {
        kaio_buffer *buffer = NewBuffer(kPageBytes);
        kaio_ticket ticket = {};
        auto *const start = is_write ? kaio_write_start : kaio_read_start;
        EXPECT_OK(K(start(queue_, file == nullptr ? file_ : file, Range(offset_bytes, size_bytes),
                          flags, user, &buffer, &ticket)));
    }

    void Write(uint64_t offset_bytes, uint64_t user) {
        Push(true, offset_bytes, user);
    }

    void Read(uint64_t offset_bytes, uint64_t user) {
        Push(false, offset_bytes, user);
    }

    uint32_t FinishedCount() {
        return Counts().finished_count;
    }

    // The oldest outcome is a refusal because of `met`.
    void ExpectRefused(uint64_t user, uint64_t met) {
        ASSERT_GE(FinishedCount(), 1u);
        kaio_completion completion = Take();
        EXPECT_EQ(completion.user, user);
        EXPECT_EQ(completion.transfer, KAIO_TRANSFER_REFUSED);
        EXPECT_EQ(completion.os_error, 0);
        EXPECT_CODE(KAIO_OVERLAP, completion.refusal);
        EXPECT_EQ(completion.refusal.detail, met);
        EXPECT_EQ(completion.moved_bytes, 0u);
        EXPECT_NE(completion.buffer, nullptr);
        kaio_completion_drop(&completion);
    }

    TempFile temp_;
    kaio_file *file_ = nullptr;
};

TEST_F(OverlapTest, TwoWritesOfOneRange) {
    Write(0, 1);
    Write(0, 2);
    ExpectRefused(2, 1);
    EXPECT_EQ(Counters().overlap_count, 1u);
    EXPECT_EQ(Counters().write.refused_count, 1u);
}

// A buffer that was used before takes the short way of a start, where it may.
TEST_F(OverlapTest, BuffersThatWereUsedBefore) {
    kaio_buffer *buffers[2] = {};
    for (kaio_buffer *&buffer : buffers) {
        buffer = NewBuffer(kPageBytes);
        (void)StartWrite(file_, 0, &buffer);
        buffer = WaitAndTake().buffer;
        ASSERT_NE(buffer, nullptr);
    }
    (void)StartWrite(file_, 0, &buffers[0], 1);
    (void)StartWrite(file_, 0, &buffers[1], 2);
    ExpectRefused(2, 1);
}

TEST_F(OverlapTest, AReadAndAWriteInBothOrders) {
    Write(0, 1);
    Read(0, 2);
    ExpectRefused(2, 1);
    Read(2 * kPageBytes, 3);
    Write(2 * kPageBytes, 4);
    ExpectRefused(4, 3);
}

TEST_F(OverlapTest, TwoReadsMayMeet) {
    Read(0, 1);
    Read(0, 2);
    EXPECT_EQ(FinishedCount(), 0u);
}

TEST_F(OverlapTest, OneByteIsEnoughAndNeighboursAreNone) {
    Write(kPageBytes, 1);
    Write(0, 2);
    Write(2 * kPageBytes, 3);
    EXPECT_EQ(FinishedCount(), 0u);
    Push(true, 2 * kPageBytes + kPageBytes - 1, 4, nullptr, 1);
    ExpectRefused(4, 3);
    Push(true, 1, 5);
    ExpectRefused(5, 1);
}

TEST_F(OverlapTest, NoBytesAreMetByNothing) {
    Push(true, 100, 1, nullptr, 0);
    Write(0, 2);
    EXPECT_EQ(FinishedCount(), 0u);
}

TEST_F(OverlapTest, NoBytesMeetNothing) {
    Write(0, 1);
    Push(true, 0, 2, nullptr, 0);
    EXPECT_EQ(FinishedCount(), 0u);
    Push(true, 100, 3, nullptr, 0);
    EXPECT_EQ(FinishedCount(), 0u);
}

// Until it is reaped, whatever the kernel has done of it by then.
TEST_F(OverlapTest, WhatIsInFlightIsMet) {
    Write(0, 1);
    EXPECT_EQ(Flush().accepted_count, 1u);
    Read(0, 2);
    ExpectRefused(2, 1);
}

TEST_F(OverlapTest, WhatHasEndedIsForgotten) {
    Write(0, 1);
    EXPECT_EQ(Wait(1), 1u);
    Write(0, 2);
    EXPECT_EQ(Wait(2), 2u);
    for (int i = 0; i < 2; ++i) {
        kaio_completion completion = Take();
        EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL) << Text(completion);
        kaio_completion_drop(&completion);
    }
}

TEST_F(OverlapTest, AnIdleRequestMeetsWhenItIsPushed) {
    kaio_buffer *buffer = NewBuffer(kPageBytes);
    kaio_read *read = NewRead(file_, &buffer);
    Write(0, 1);
    EXPECT_EQ(FinishedCount(), 0u);
    (void)K(kaio_read_push(&read, 2));
    ExpectRefused(2, 1);
}

TEST_F(OverlapTest, AnotherHandleOfTheSameFileIsTheSameFile) {
    kaio_file *other = OpenFile(temp_.path());
    Write(0, 1);
    Push(true, 0, 2, other);
    ExpectRefused(2, 1);
    kaio_file_drop(&other);
}

TEST_F(OverlapTest, AnotherFileIsNot) {
    const TempFile second;
    kaio_file *other = OpenFile(second.path());
    Write(0, 1);
    Push(true, 0, 2, other);
    EXPECT_EQ(FinishedCount(), 0u);
    kaio_file_drop(&other);
}

TEST_F(OverlapTest, AppendsAreLetThrough) {
    Push(true, 0, 1, nullptr, kPageBytes, kaio_rw_append());
    Push(true, 0, 2, nullptr, kPageBytes, kaio_rw_append());
    kaio_file *appending = OpenFile(temp_.path(), O_RDWR | O_APPEND);
    Push(true, 0, 3, appending);
    Push(true, 0, 4, appending);
    EXPECT_EQ(FinishedCount(), 0u);
    kaio_file_drop(&appending);
}

TEST_F(OverlapTest, AReadUsesItsOffsetWhateverAppends) {
    Write(0, 1);
    Push(false, 0, 2, nullptr, kPageBytes, kaio_rw_append());
    ExpectRefused(2, 1);
    kaio_file *appending = OpenFile(temp_.path(), O_RDWR | O_APPEND);
    Push(false, 0, 3, appending);
    ExpectRefused(3, 1);
    kaio_file_drop(&appending);
}

// RWF_NOAPPEND, 6.9: an older kernel has no such write.
TEST_F(OverlapTest, AWriteThatIsToldNotToAppendUsesItsOffset) {
    kaio_file *appending = OpenFile(temp_.path(), O_RDWR | O_APPEND);
    kaio_buffer *buffer = NewBuffer(kPageBytes);
    kaio_ticket ticket = {};
    const kaio_status status = K(kaio_write_start(queue_, appending, Range(0, kPageBytes),
                                                  kaio_rw_no_append(), 1, &buffer, &ticket));
    if (status.code == KAIO_UNSUPPORTED) {
        kaio_buffer_drop(&buffer);
        kaio_file_drop(&appending);
        GTEST_SKIP() << "the kernel has no RWF_NOAPPEND";
    }
    EXPECT_OK(status);
    Write(0, 2);
    ExpectRefused(2, 1);
    kaio_file_drop(&appending);
}

TEST_F(OverlapTest, PollsAndSyncsMeetNothing) {
    kaio_ticket ticket = {};
    EXPECT_OK(K(kaio_sync_start(queue_, file_, KAIO_SYNC_DATA_UNORDERED, 1, &ticket)));
    EXPECT_OK(K(kaio_poll_start(queue_, file_, kaio_poll_readable(), 2, &ticket)));
    Write(0, 3);
    EXPECT_OK(K(kaio_poll_start(queue_, file_, kaio_poll_readable(), 4, &ticket)));
    EXPECT_EQ(FinishedCount(), 0u);
}

bool IsReadable(int fd) {
    pollfd asked = {};
    asked.fd = fd;
    asked.events = POLLIN;
    return poll(&asked, 1, 0) == 1;
}

// An event loop that sleeps hears of a refusal, which the kernel has no event for.
TEST_F(OverlapTest, TheEventfdTellsOfARefusal) {
    int fd = -1;
    EXPECT_OK(K(kaio_queue_as_fd(queue_, &fd)));
    Write(0, 1);
    ExpectEmpty();
    ASSERT_FALSE(IsReadable(fd));
    Write(0, 2);
    EXPECT_TRUE(IsReadable(fd));
}

TEST_F(OverlapTest, ADumpHasNoAgeForWhatWasNotSent) {
    Write(0, 4711);
    Write(0, 2);
    char text[4096] = "";
    FILE *stream = fmemopen(text, sizeof text, "w");
    ASSERT_NE(stream, nullptr);
    EXPECT_OK(K(kaio_queue_dump(queue_, stream)));
    fclose(stream);
    EXPECT_NE(std::string(text).find("refusal=overlap"), std::string::npos) << text;
    const std::string none = " age_ns=none";
    EXPECT_NE(std::string(text).find(none, std::string(text).find(none) + 1), std::string::npos)
        << text;
    EXPECT_NE(std::string(text).find("overlaps=1"), std::string::npos) << text;
}

TEST_F(OverlapTest, APipeHasNoRanges) {
    int ends[2] = {-1, -1};
    ASSERT_EQ(pipe2(ends, O_NONBLOCK), 0);
    kaio_file *into = nullptr;
    ASSERT_OK(kaio_file_adopt(ends[1], &into));
    Push(true, 0, 1, into, 16);
    Push(true, 0, 2, into, 16);
    EXPECT_EQ(FinishedCount(), 0u);
    EXPECT_EQ(Wait(2), 2u);  // before the reading end is closed
    kaio_file_drop(&into);
    (void)close(ends[0]);
}

TEST_F(OverlapTest, VectoredOnesMeetToo) {
    kaio_segment segments[2] = {};
    for (kaio_segment &segment : segments) {
        segment.buffer = NewBuffer(kPageBytes);
        segment.size_bytes = kPageBytes;
    }
    kaio_ticket ticket = {};
    EXPECT_OK(K(kaio_writev_start(queue_, file_, 0, kaio_rw_none(), 1, segments, 2, &ticket)));
    Write(kPageBytes, 2);
    ExpectRefused(2, 1);
    Write(2 * kPageBytes, 3);
    EXPECT_EQ(FinishedCount(), 0u);
    for (kaio_segment &segment : segments) {
        segment.buffer = NewBuffer(kPageBytes);
        segment.size_bytes = kPageBytes;
    }
    EXPECT_OK(
        K(kaio_readv_start(queue_, file_, kPageBytes, kaio_rw_none(), 4, segments, 2, &ticket)));
    kaio_segment taken[2] = {};
    kaio_completion completion = {};
    ASSERT_OK(K(kaio_queue_take_segments(queue_, taken, 2, &completion)));
    EXPECT_EQ(completion.user, 4u);
    EXPECT_CODE(KAIO_OVERLAP, completion.refusal);
    EXPECT_EQ(completion.segment_count, 2u);
    kaio_completion_drop(&completion);
}

// A sync behind a write that was refused must not say that it is durable.
TEST_F(OverlapTest, AnOrderedSyncHearsOfIt) {
    Write(0, 1);
    Write(0, 2);
    kaio_ticket ticket = {};
    EXPECT_OK(K(kaio_sync_start(queue_, file_, KAIO_SYNC_DATA, 3, &ticket)));
    EXPECT_EQ(Wait(3), 3u);
    for (int i = 0; i < 3; ++i) {
        kaio_completion completion = Take();
        if (completion.operation == KAIO_SYNC) {
            EXPECT_EQ(completion.sync, KAIO_SYNC_PRECEDED_BY_FAILURE);
        }
        kaio_completion_drop(&completion);
    }
}

TEST_F(OverlapTest, TheMessageNamesTheOther) {
    Write(0, 4711);
    Write(0, 2);
    kaio_completion completion = Take();
    EXPECT_NE(Text(completion.refusal).find("4711"), std::string::npos) << Text(completion.refusal);
    kaio_completion_drop(&completion);
}

class NoOverlapTest : public OverlapTest {
  protected:
    kaio_queue_options Options() const override {
        kaio_queue_options options = OverlapTest::Options();
        options.refuse_overlaps = false;
        return options;
    }
};

// What the option is there for: without it the kernel is given both, in no order.
TEST_F(NoOverlapTest, WithoutTheOptionBothAreSent) {
    Write(0, 1);
    Write(0, 2);
    EXPECT_EQ(Flush().accepted_count, 2u);
    EXPECT_EQ(Counters().overlap_count, 0u);
}

}  // namespace
