// Deadlines of reads, writes and syncs on a device that hangs, and files that fail fast.

#include <errno.h>
#include <fcntl.h>

#include <string>

#include "kaio/safe/kaio.h"
#include "tests/support/sim_test.h"

namespace kaio_test {
namespace {

constexpr uint32_t kSizeBytes = 4096;
constexpr int64_t kMs = 1000000;

class LateSimTest : public SimQueueTest {
  protected:
    kaio_queue_options Options() const override {
        kaio_queue_options options = QueueTest::Options();
        options.deadlines = true;
        options.continue_limit = 2;
        options.segment_count = 4;
        return options;
    }

    // Nothing completes until kaio_sim_complete.
    static kaio_sim_script Hang() {
        kaio_sim_script script = {};
        script.hold = true;
        script.late = true;
        Play(script);
        return script;
    }

    kaio_ticket Write(const std::string &content) {
        kaio_buffer *buffer = NewBuffer(content);
        return StartWrite(file_, 0, &buffer);
    }

    void SetDeadline(kaio_ticket ticket, int64_t wait_ns) {
        EXPECT_OK(K(kaio_queue_set_deadline(queue_, ticket, kaio_deadline_after_ns(wait_ns))));
    }

    kaio_late WaitForLate() {
        uint32_t ready = 0;
        kaio_late late = {};
        EXPECT_CODE(KAIO_TIMED_OUT, K(kaio_queue_wait(queue_, 1, kaio_deadline_never(), &ready)));
        EXPECT_OK(K(kaio_queue_take_late(queue_, &late)));
        return late;
    }

    // HangOne has a write that is late, and told.
    void HangOne() {
        Hang();
        SetDeadline(Write(content_), 2 * kMs);
        EXPECT_EQ(WaitForLate().operation, KAIO_WRITE);
    }

    void EndAll() {
        Play({});
        kaio_queue_counts left = {};
        EXPECT_OK(K(kaio_queue_drain(queue_, kaio_deadline_never(), &left)));
        for (uint32_t i = 0; i < left.finished_count; ++i) {
            kaio_segment segments[4];
            kaio_completion completion = {};
            EXPECT_OK(K(kaio_queue_take_segments(queue_, segments, 4, &completion)));
            kaio_completion_drop(&completion);
        }
    }

    kaio_status NewRead() {
        kaio_buffer *buffer = NewBuffer(kSizeBytes);
        kaio_ticket ticket = {};
        const kaio_status status = K(kaio_read_start(queue_, file_, Range(0, kSizeBytes),
                                                     kaio_rw_none(), 0, &buffer, &ticket));
        EXPECT_EQ(buffer == nullptr, kaio_status_is_ok(status));
        kaio_buffer_drop(&buffer);
        return status;
    }

    kaio_status NewWrite() {
        kaio_buffer *buffer = NewBuffer(content_);
        kaio_ticket ticket = {};
        const kaio_status status = K(kaio_write_start(queue_, file_, Range(0, kSizeBytes),
                                                      kaio_rw_none(), 0, &buffer, &ticket));
        kaio_buffer_drop(&buffer);
        return status;
    }

    kaio_status NewReadv() {
        kaio_segment segment = {};
        segment.buffer = NewBuffer(kSizeBytes);
        segment.size_bytes = kSizeBytes;
        kaio_ticket ticket = {};
        const kaio_status status =
            K(kaio_readv_start(queue_, file_, 0, kaio_rw_none(), 0, &segment, 1, &ticket));
        kaio_buffer_drop(&segment.buffer);
        return status;
    }

    kaio_status NewSync() {
        kaio_ticket ticket = {};
        return K(kaio_sync_start(queue_, file_, KAIO_SYNC_DATA_UNORDERED, 0, &ticket));
    }

    void ExpectFailsFast(bool fails) {
        for (const kaio_status status : {NewRead(), NewWrite(), NewReadv(), NewSync()}) {
            EXPECT_CODE(fails ? KAIO_TIMED_OUT : KAIO_OK, status);
            EXPECT_EQ(status.subject, fails ? KAIO_SUBJECT_FILE : KAIO_SUBJECT_NONE);
        }
    }
};

TEST_F(LateSimTest, TheBufferStaysPinnedUntilTheLateEnd) {
    Hang();
    kaio_buffer *buffer = NewBuffer(content_);
    kaio_buffer *const alias = buffer;
    SetDeadline(StartWrite(file_, 0, &buffer), 2 * kMs);
    EXPECT_EQ(WaitForLate().operation, KAIO_WRITE);
    EXPECT_EQ(kaio_buffer_as_bytes(alias), nullptr);
    EXPECT_EQ(Counts().in_flight_count, 1u);

    EXPECT_EQ(kaio_sim_complete(1), 1u);
    kaio_completion completion = WaitAndTake();
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL);
    EXPECT_EQ(completion.buffer, alias);
    EXPECT_EQ(Counters().late_end_count, 1u);
    kaio_completion_drop(&completion);
}

TEST_F(LateSimTest, ADeadlineHoldsForTheRestOfAShortTransferToo) {
    kaio_sim_script script = Hang();
    script.shorten_count = 1;
    Play(script);
    SetDeadline(Write(content_), 5 * kMs);
    Flush();
    EXPECT_EQ(kaio_sim_complete(1), 1u);
    EXPECT_TRUE(WaitForLate().is_sent);
    EXPECT_EQ(Counters().continued_count, 1u);
    EXPECT_EQ(kaio_sim_complete(1), 1u);
    kaio_completion completion = WaitAndTake();
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL);
    EXPECT_EQ(Counters().late_end_count, 1u);
    kaio_completion_drop(&completion);
}

TEST_F(LateSimTest, OneThatTheKernelRefusesInTheEndIsCounted) {
    kaio_sim_script script = {};
    script.submit_error_count = 1;
    script.submit_error = EINVAL;
    Play(script);
    SetDeadline(Write(content_), 0);
    kaio_late late = {};
    EXPECT_OK(K(kaio_queue_take_late(queue_, &late)));
    EXPECT_FALSE(late.is_sent);
    kaio_completion completion = WaitAndTake();
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_REFUSED);
    EXPECT_EQ(Counters().late_end_count, 1u);
    kaio_completion_drop(&completion);
}

TEST_F(LateSimTest, OtherwiseWhatIsNewQueuesUpBehindWhatHangs) {
    HangOne();
    ExpectFailsFast(false);
    EXPECT_EQ(Counts().staged_count, 4u);
    EndAll();
}

TEST_F(LateSimTest, AFileThatFailsFastRefusesWhatIsNew) {
    EXPECT_OK(kaio_file_set_fail_fast(file_, true));
    EXPECT_OK(NewRead());
    HangOne();
    ExpectFailsFast(true);
    const kaio_queue_counts counts = Counts();
    EXPECT_EQ(counts.in_flight_count, 2u);
    EXPECT_EQ(counts.idle_count + counts.staged_count, 0u);
    EndAll();
    ExpectFailsFast(true);
}

TEST_F(LateSimTest, AnotherQueueHearsOfItToo) {
    EXPECT_OK(kaio_file_set_fail_fast(file_, true));
    const kaio_queue_options options = Options();
    kaio_queue *other = nullptr;
    EXPECT_OK(kaio_queue_open(&options, &other));
    HangOne();
    kaio_ticket ticket = {};
    const kaio_status status = kaio_sync_start(other, file_, KAIO_SYNC_DATA, 0, &ticket);
    EXPECT_CODE(KAIO_TIMED_OUT, status);
    kaio_queue_drop(&other);
    EndAll();
}

TEST_F(LateSimTest, ItBeginsAnewWhenItIsSetAgain) {
    EXPECT_OK(kaio_file_set_fail_fast(file_, true));
    HangOne();
    EXPECT_OK(kaio_file_set_fail_fast(file_, true));
    ExpectFailsFast(false);
    EndAll();
    HangOne();
    ExpectFailsFast(true);
    EXPECT_OK(kaio_file_set_fail_fast(file_, false));
    ExpectFailsFast(false);
    EndAll();
    HangOne();
    ExpectFailsFast(false);
    EndAll();
}

TEST_F(LateSimTest, AnotherFileInTheSamePlaceDoesNotFailFast) {
    EXPECT_OK(kaio_file_set_fail_fast(file_, true));
    HangOne();
    EndAll();
    EXPECT_OK(kaio_file_close(&file_));
    file_ = OpenFile(temp_.path());
    ExpectFailsFast(false);
    EndAll();
    HangOne();
    ExpectFailsFast(false);
    EndAll();
}

TEST_F(LateSimTest, AFileThatWasOnlyOpenForReadingStaysThat) {
    kaio_file *read_only = OpenFile(temp_.path(), O_RDONLY);
    EXPECT_OK(kaio_file_set_fail_fast(read_only, true));
    EXPECT_OK(kaio_file_set_fail_fast(read_only, false));
    kaio_buffer *buffer = NewBuffer(content_);
    kaio_ticket ticket = {};
    EXPECT_CODE(KAIO_ACCESS, K(kaio_write_start(queue_, read_only, Range(0, kSizeBytes),
                                                kaio_rw_none(), 0, &buffer, &ticket)));
    kaio_buffer_drop(&buffer);
    kaio_file_drop(&read_only);
}

}  // namespace
}  // namespace kaio_test
