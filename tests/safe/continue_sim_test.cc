// Queues that go on by themselves behind a short transfer, as no real kernel makes them on request.

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#include <memory>
#include <string>
#include <vector>

#include "kaio/safe/kaio.h"
#include "kaio/safe/testing.h"
#include "tests/support/sim_test.h"

namespace kaio_test {
namespace {

constexpr uint32_t kSizeBytes = 4096;
constexpr uint32_t kLimit = 4;

class ContinueSimTest : public SimQueueTest {
  protected:
    kaio_queue_options Options() const override {
        kaio_queue_options options = QueueTest::Options();
        options.continue_limit = kLimit;
        options.segment_count = 16;
        options.eventfd = true;
        return options;
    }

    // The next `count` transfers move only half of what they ask for.
    static kaio_sim_script Shorten(uint32_t count) {
        kaio_sim_script script = {};
        script.shorten_count = count;
        Play(script);
        return script;
    }

    kaio_ticket Read(uint32_t size_bytes = kSizeBytes, uint64_t offset_bytes = 0) {
        kaio_buffer *buffer = NewBuffer(size_bytes);
        return StartRead(file_, offset_bytes, &buffer);
    }

    kaio_ticket Write(const std::string &content, uint64_t offset_bytes = 0) {
        kaio_buffer *buffer = NewBuffer(content);
        return StartWrite(file_, offset_bytes, &buffer);
    }

    void Sync() {
        kaio_ticket ticket = {};
        EXPECT_OK(K(kaio_sync_start(queue_, file_, KAIO_SYNC_DATA, 0, &ticket)));
    }

    void ExpectFull(kaio_completion completion, const std::string &content) {
        EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL) << Text(completion);
        EXPECT_EQ(completion.moved_bytes, content.size());
        EXPECT_EQ(completion.range.file_offset_bytes, 0u);
        EXPECT_EQ(completion.range.buffer_offset_bytes, 0u);
        EXPECT_EQ(completion.range.size_bytes, content.size());
        EXPECT_EQ(completion.os_error, 0);
        EXPECT_FALSE(completion.met_end);
        ASSERT_NE(completion.buffer, nullptr);
        EXPECT_EQ(BufferText(completion.buffer, content.size()), content);
        kaio_completion_drop(&completion);
    }

    static void ExpectShort(kaio_completion completion, uint64_t moved_bytes, int os_error,
                            bool met_end = false) {
        EXPECT_EQ(completion.transfer, KAIO_TRANSFER_SHORT) << Text(completion);
        EXPECT_EQ(completion.moved_bytes, moved_bytes);
        EXPECT_EQ(completion.range.file_offset_bytes, 0u);
        EXPECT_EQ(completion.range.size_bytes, kSizeBytes);
        EXPECT_EQ(completion.os_error, os_error);
        EXPECT_EQ(completion.met_end, met_end);
        EXPECT_OK(completion.refusal);
        kaio_completion_drop(&completion);
    }
};

class ContinueNotSimTest : public ContinueSimTest {
  protected:
    kaio_queue_options Options() const override {
        kaio_queue_options options = ContinueSimTest::Options();
        options.continue_limit = 0;
        return options;
    }
};

TEST_F(ContinueNotSimTest, WithoutTheOptionAShortReadIsTheCallersToGoOnWith) {
    Shorten(1);
    Read();
    ExpectShort(WaitAndTake(), kSizeBytes / 2, 0);
    EXPECT_EQ(kaio_sim_call_counts().request_count, 1u);
    EXPECT_EQ(Counters().continued_count, 0u);
}

TEST_F(ContinueSimTest, AReadGoesOnToItsEnd) {
    Shorten(3);
    Read();
    ExpectFull(WaitAndTake(), content_);
    EXPECT_EQ(kaio_sim_call_counts().request_count, 4u);

    const kaio_queue_counters counters = Counters();
    EXPECT_EQ(counters.continued_count, 3u);
    EXPECT_EQ(counters.read.pushed_count, 1u);
    EXPECT_EQ(counters.read.full_count, 1u);
    EXPECT_EQ(counters.read.moved_bytes, kSizeBytes);
}

TEST_F(ContinueSimTest, AWriteGoesOnAndTheSyncBehindItWaits) {
    const std::string fresh = Pattern(kSizeBytes, 7);
    Shorten(2);
    Write(fresh);
    Sync();

    EXPECT_EQ(Wait(2), 2u);
    ExpectFull(Take(), fresh);
    EXPECT_EQ(Take().sync, KAIO_SYNC_SYNCED);
    EXPECT_EQ(temp_.Content(), fresh);
}

TEST_F(ContinueSimTest, WhatWasShortOnceMayBeFullTheNextTime) {
    Shorten(1);
    Read();
    ExpectFull(WaitAndTake(), content_);
    Read();
    ExpectFull(WaitAndTake(), content_);
    Shorten(kLimit);
    Read();
    ExpectFull(WaitAndTake(), content_);
}

TEST_F(ContinueSimTest, TheLimitIsThatOfEachRequest) {
    Shorten(kLimit + 1);
    Read();
    ExpectShort(WaitAndTake(), kSizeBytes - kSizeBytes / 32, 0);
    EXPECT_EQ(Counters().continued_count, kLimit);
    EXPECT_EQ(Counters().read.short_count, 1u);
    EXPECT_EQ(Counters().read.moved_bytes, kSizeBytes - kSizeBytes / 32);

    Shorten(2 * kLimit);
    Read();
    Read();
    EXPECT_EQ(Wait(2), 2u);
    ExpectFull(Take(), content_);
    ExpectFull(Take(), content_);
}

TEST_F(ContinueSimTest, TheEndOfTheFileIsToldApart) {
    Play({});
    kaio_buffer *buffer = NewBuffer(2 * kSizeBytes);
    StartRead(file_, 0, &buffer);
    kaio_completion completion = WaitAndTake();
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_SHORT);
    EXPECT_EQ(completion.moved_bytes, kSizeBytes);
    EXPECT_TRUE(completion.met_end);
    EXPECT_EQ(BufferText(completion.buffer, kSizeBytes), content_);
    kaio_completion_drop(&completion);

    Read(kSizeBytes, kSizeBytes);
    completion = WaitAndTake();
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_END);
    EXPECT_TRUE(completion.met_end);
    kaio_completion_drop(&completion);
}

TEST_F(ContinueSimTest, AnErrorBehindWhatMovedIsToldWithIt) {
    kaio_sim_script script = {};
    script.shorten_count = 1;
    script.hold = true;
    Play(script);
    Write(content_);
    Sync();
    Flush();
    EXPECT_EQ(kaio_sim_complete(1), 1u);
    script.shorten_count = 0;
    script.fail_count = 1;
    script.fail_error = EIO;
    Play(script);

    EXPECT_EQ(Wait(2), 2u);
    ExpectShort(Take(), kSizeBytes / 2, EIO);
    EXPECT_EQ(Take().sync, KAIO_SYNC_PRECEDED_BY_FAILURE);
    EXPECT_EQ(Counters().write.short_count, 1u);
}

TEST_F(ContinueSimTest, ARestThatIsRefusedLeavesWhatMoved) {
    kaio_sim_script script = {};
    script.shorten_count = 1;
    script.submit_error_after = 1;
    script.submit_error_count = 1;
    script.submit_error = EINVAL;
    Play(script);
    Write(content_);
    Sync();
    EXPECT_EQ(Wait(2), 2u);
    ExpectShort(Take(), kSizeBytes / 2, EINVAL);
    EXPECT_EQ(Take().sync, KAIO_SYNC_PRECEDED_BY_FAILURE);
}

// StageRest has a write whose rest the kernel has no memory for.
class StagedRestSimTest : public ContinueSimTest {
  protected:
    kaio_ticket StageRest() {
        kaio_sim_script script = {};
        script.shorten_count = 1;
        script.submit_error_after = 1;
        script.submit_error_count = 1;
        script.submit_error = EAGAIN;
        Play(script);
        const kaio_ticket ticket = Write(content_);
        uint32_t ready = 0;
        EXPECT_CODE(KAIO_AGAIN, K(kaio_queue_wait(queue_, 1, kaio_deadline_never(), &ready)));
        EXPECT_EQ(Counts().staged_count, 1u);
        return ticket;
    }
};

TEST_F(StagedRestSimTest, ItIsSentLater) {
    StageRest();
    ExpectFull(WaitAndTake(), content_);
}

TEST_F(StagedRestSimTest, CancelledItIsShort) {
    const kaio_ticket ticket = StageRest();
    Sync();
    kaio_cancel_answer answer = KAIO_CANCEL_STALE;
    EXPECT_OK(K(kaio_queue_cancel(queue_, ticket, &answer)));
    EXPECT_EQ(answer, KAIO_CANCEL_UNSENT);
    EXPECT_EQ(Wait(2), 2u);
    ExpectShort(Take(), kSizeBytes / 2, ECANCELED);
    EXPECT_EQ(Take().sync, KAIO_SYNC_PRECEDED_BY_FAILURE);
}

void Keep(void *context, kaio_completion *completion) {
    *static_cast<kaio_completion *>(context) = *completion;
    completion->buffer = nullptr;
}

TEST_F(StagedRestSimTest, DestroyTellsWhatMoved) {
    StageRest();
    kaio_completion lost = {};
    kaio_destroy_report report = {};
    EXPECT_OK(kaio_queue_destroy(&queue_, Keep, &lost, &report));
    EXPECT_EQ(report.given_back_count, 1u);
    ExpectShort(lost, kSizeBytes / 2, ECANCELED);
}

TEST_F(ContinueSimTest, DestroySendsNothingAnew) {
    kaio_sim_script script = Shorten(2);
    script.hold = true;
    Play(script);
    Write(content_);
    Flush();
    EXPECT_EQ(kaio_sim_complete(1), 1u);
    EXPECT_EQ(Wait(0), 0u);
    EXPECT_EQ(Counts().in_flight_count, 1u);  // the first rest

    kaio_completion lost = {};
    kaio_destroy_report report = {};
    EXPECT_OK(kaio_queue_destroy(&queue_, Keep, &lost, &report));
    ExpectShort(lost, kSizeBytes / 2 + kSizeBytes / 4, 0);
    EXPECT_EQ(kaio_sim_call_counts().request_count, 2u);
}

// An event that comes twice, which kernels did, is not taken for that of the rest: the kernel
// still has that, and its buffer.
TEST_F(ContinueSimTest, AnEventThatComesTwiceIsNotThatOfTheRest) {
    kaio_sim_script script = Shorten(1);
    script.hold = true;
    Play(script);
    const kaio_ticket ticket = Read();
    Flush();
    EXPECT_EQ(kaio_sim_complete(1), 1u);
    EXPECT_EQ(Wait(0), 0u);
    kaio_testing_forge_event(queue_, ticket.bits, kSizeBytes / 2);
    EXPECT_EQ(Wait(0), 0u);
    EXPECT_EQ(Counts().in_flight_count, 1u);
    EXPECT_EQ(Counters().duplicate_count, 1u);
    kaio_cancel_answer answer = KAIO_CANCEL_STALE;
    EXPECT_OK(K(kaio_queue_cancel(queue_, ticket, &answer)));
    EXPECT_EQ(answer, KAIO_CANCEL_CANNOT) << "the ticket is what it was";

    const kaio_completion completion = WaitAndTake();
    EXPECT_EQ(completion.ticket.bits, ticket.bits);
    ExpectFull(completion, content_);
    EXPECT_OK(K(kaio_queue_cancel(queue_, ticket, &answer)));
    EXPECT_EQ(answer, KAIO_CANCEL_STALE);
}

TEST_F(ContinueSimTest, WhoeverOnlyTakesGetsTheWholeToo) {
    Shorten(3);
    Read();
    Flush();
    ExpectFull(Take(), content_);
    ExpectEmpty();
}

TEST_F(ContinueSimTest, ATakeTriesAgainWhatTheKernelHadNoMemoryFor) {
    int fd = -1;
    EXPECT_OK(kaio_queue_as_fd(queue_, &fd));
    kaio_sim_script script = {};
    script.shorten_count = 1;
    script.submit_error_after = 1;
    script.submit_error_count = 2;
    script.submit_error = EAGAIN;
    Play(script);
    Read();
    Flush();
    kaio_completion none = {};  // twice, for it lowers the eventfd and looks again
    EXPECT_CODE(KAIO_EMPTY, K(kaio_queue_take(queue_, &none)));
    EXPECT_EQ(Counts().staged_count, 1u);
    pollfd poll_fd = {fd, POLLIN, 0};
    EXPECT_EQ(poll(&poll_fd, 1, 0), 1) << "nothing else would wake who sleeps here";
    ExpectFull(Take(), content_);
}

TEST_F(ContinueSimTest, TheEventfdIsReadableUntilTheWholeIsTaken) {
    int fd = -1;
    EXPECT_OK(kaio_queue_as_fd(queue_, &fd));
    struct pollfd poll_fd = {fd, POLLIN, 0};
    kaio_sim_script script = Shorten(1);
    script.hold = true;
    Play(script);
    Read();
    Flush();
    EXPECT_EQ(kaio_sim_complete(1), 1u);
    EXPECT_EQ(poll(&poll_fd, 1, 0), 1);
    ExpectEmpty();  // and the rest is under way
    EXPECT_EQ(poll(&poll_fd, 1, 0), 0);
    EXPECT_EQ(kaio_sim_complete(1), 1u);
    EXPECT_EQ(poll(&poll_fd, 1, 0), 1);
    ExpectFull(Take(), content_);
}

void Count(void *context, uint64_t, kaio_read_result *result) {
    auto *const results = static_cast<std::vector<kaio_read_result> *>(context);
    results->push_back(*result);
}

TEST_F(ContinueSimTest, ARunGoesOnToo) {
    Shorten(5);
    Read();
    kaio_buffer *buffer = NewBuffer(2 * kSizeBytes);
    StartRead(file_, 0, &buffer);
    Read(512, kSizeBytes);
    std::vector<kaio_read_result> results;
    kaio_handlers handlers = {};
    handlers.on_read = Count;
    kaio_run_report report = {};
    EXPECT_OK(K(kaio_queue_run(queue_, &handlers, &results, kaio_deadline_never(), &report)));
    EXPECT_EQ(report.ended, KAIO_RUN_IDLE);
    EXPECT_EQ(report.completed_count, 3u);
    ASSERT_EQ(results.size(), 3u);
    for (const kaio_read_result &result : results) {
        if (result.range.size_bytes == 512) {
            EXPECT_EQ(result.outcome, KAIO_TRANSFER_END);
            EXPECT_TRUE(result.met_end);
            continue;
        }
        const bool is_whole = result.range.size_bytes == kSizeBytes;
        EXPECT_EQ(result.outcome, is_whole ? KAIO_TRANSFER_FULL : KAIO_TRANSFER_SHORT);
        EXPECT_EQ(result.moved_bytes, kSizeBytes);
        EXPECT_EQ(result.met_end, !is_whole);
    }
    EXPECT_GE(Counters().continued_count, 3u);
}

TEST_F(ContinueSimTest, AnAppendEndsShort) {
    Shorten(1);
    kaio_buffer *buffer = NewBuffer(content_);
    kaio_ticket ticket = {};
    EXPECT_OK(K(kaio_write_start(queue_, file_, Range(0, kSizeBytes), kaio_rw_append(), 0, &buffer,
                                 &ticket)));
    ExpectShort(WaitAndTake(), kSizeBytes / 2, 0);
    EXPECT_EQ(kaio_sim_call_counts().request_count, 1u);
}

TEST_F(ContinueSimTest, APipeEndsShort) {
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
    EXPECT_EQ(write(ends[1], content_.data(), kSizeBytes), static_cast<ssize_t>(kSizeBytes));
    kaio_file *pipe_file = nullptr;
    EXPECT_OK(kaio_file_adopt(ends[0], &pipe_file));
    Shorten(1);
    kaio_buffer *buffer = NewBuffer(kSizeBytes);
    StartRead(pipe_file, 0, &buffer);
    ExpectShort(WaitAndTake(), kSizeBytes / 2, 0);
    kaio_file_drop(&pipe_file);
    close(ends[1]);
}

// ---- vectored ----

class ContinueVectorSimTest : public ContinueSimTest {
  protected:
    void Start(bool is_write, std::vector<std::string> parts) {
        std::vector<kaio_segment> segments(parts.size());
        for (size_t i = 0; i < parts.size(); ++i) {
            segments[i].buffer = NewBuffer(parts[i]);
            segments[i].size_bytes = static_cast<uint32_t>(parts[i].size());
        }
        auto *const start = is_write ? kaio_writev_start : kaio_readv_start;
        kaio_ticket ticket = {};
        EXPECT_OK(K(start(queue_, file_, 0, kaio_rw_none(), 0, segments.data(),
                          static_cast<uint32_t>(segments.size()), &ticket)));
    }

    void StartRead(std::vector<uint32_t> sizes) {
        std::vector<std::string> parts;
        for (const uint32_t size : sizes) {
            parts.emplace_back(size, ' ');
        }
        Start(false, parts);
    }

    // Text of all segments of the next outcome, which was asked for `segment_count`.
    std::string TakeText(kaio_transfer_outcome outcome, uint64_t moved_bytes) {
        kaio_segment segments[16];
        kaio_completion completion = {};
        EXPECT_OK(K(kaio_queue_take_segments(queue_, segments, 16, &completion)));
        EXPECT_EQ(completion.transfer, outcome) << Text(completion);
        EXPECT_EQ(completion.moved_bytes, moved_bytes);
        EXPECT_EQ(completion.range.file_offset_bytes, 0u);
        std::string text;
        for (uint32_t i = 0; i < completion.segment_count; ++i) {
            EXPECT_EQ(segments[i].buffer_offset_bytes, 0u) << i;
            text += BufferText(segments[i].buffer, segments[i].size_bytes);
        }
        kaio_completion_drop(&completion);
        return text;
    }
};

TEST_F(ContinueVectorSimTest, AReadSkipsTheSegmentsThatAreFull) {
    Shorten(4);
    StartRead({1000, 24, 2048, 1, 1023});
    EXPECT_EQ(Wait(1), 1u);
    EXPECT_EQ(TakeText(KAIO_TRANSFER_FULL, kSizeBytes), content_);
    EXPECT_EQ(Counters().continued_count, 4u);
}

TEST_F(ContinueVectorSimTest, AWriteSkipsTheSegmentsThatAreGone) {
    const std::string fresh = Pattern(kSizeBytes, 9);
    Shorten(3);
    Start(true, {fresh.substr(0, 3000), fresh.substr(3000, 96), fresh.substr(3096)});
    EXPECT_EQ(Wait(1), 1u);
    EXPECT_EQ(TakeText(KAIO_TRANSFER_FULL, kSizeBytes), fresh);
    EXPECT_EQ(temp_.Content(), fresh);
}

TEST_F(ContinueVectorSimTest, TheEndOfTheFileIsToldApart) {
    Play({});
    StartRead({3000, 3000});
    EXPECT_EQ(Wait(1), 1u);
    kaio_segment segments[2];
    kaio_completion completion = {};
    EXPECT_OK(K(kaio_queue_take_segments(queue_, segments, 2, &completion)));
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_SHORT);
    EXPECT_TRUE(completion.met_end);
    EXPECT_EQ(segments[1].size_bytes, 3000u);
    EXPECT_EQ(BufferText(segments[1].buffer, kSizeBytes - 3000), content_.substr(3000));
    kaio_completion_drop(&completion);
}

// The budget has 16 segments: 7, 6 and then, where the first were, 7 again, for which those in the
// middle, a rest of theirs under way, must move.
TEST_F(ContinueVectorSimTest, SegmentsMayBeMovedWhileARestIsUnderWay) {
    kaio_sim_script script = {};
    script.hold = true;
    Play(script);
    StartRead({1, 1, 1, 1, 1, 1, 1});
    Flush();
    StartRead({500, 500, 500, 500, 500, 1596});
    Flush();
    EXPECT_EQ(kaio_sim_complete(1), 1u);
    EXPECT_EQ(Wait(1), 1u);
    EXPECT_EQ(TakeText(KAIO_TRANSFER_FULL, 7), content_.substr(0, 7));
    script.shorten_count = 2;
    Play(script);
    EXPECT_EQ(kaio_sim_complete(1), 1u);
    EXPECT_EQ(Wait(0), 0u);
    EXPECT_EQ(Counters().continued_count, 1u);

    StartRead({2, 2, 2, 2, 2, 2, 2});
    Flush();
    EXPECT_EQ(Wait(2), 2u);
    std::string texts[2];
    for (std::string &text : texts) {
        kaio_segment segments[16];
        kaio_completion completion = {};
        EXPECT_OK(K(kaio_queue_take_segments(queue_, segments, 16, &completion)));
        EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL) << Text(completion);
        for (uint32_t i = 0; i < completion.segment_count; ++i) {
            text += BufferText(segments[i].buffer, segments[i].size_bytes);
        }
        EXPECT_EQ(text, content_.substr(0, text.size()));
        kaio_completion_drop(&completion);
    }
    EXPECT_EQ(texts[0].size() + texts[1].size(), kSizeBytes + 14);
}

// ---- with other options ----

class ContinueTimedSimTest : public ContinueSimTest {
  protected:
    kaio_queue_options Options() const override {
        kaio_queue_options options = ContinueSimTest::Options();
        options.latency = true;
        options.refuse_overlaps = true;
        return options;
    }
};

TEST_F(ContinueTimedSimTest, ItsLatencyIsThatOfTheWhole) {
    kaio_sim_script script = Shorten(1);
    script.hold = true;
    Play(script);
    kaio_sim_set_clock(5000000);
    Read();
    Flush();
    kaio_sim_set_clock(6000000);
    EXPECT_EQ(kaio_sim_complete(1), 1u);
    EXPECT_EQ(Wait(0), 0u);
    kaio_sim_set_clock(13000000);
    ExpectFull(WaitAndTake(), content_);
    kaio_latency latency = {};
    EXPECT_OK(kaio_queue_latency_read(queue_, KAIO_READ, &latency));
    EXPECT_EQ(kaio_latency_total(&latency), 1u);
    int64_t median_ns = 0;
    EXPECT_OK(kaio_latency_quantile(&latency, 500000, &median_ns));
    EXPECT_GE(median_ns, 8000000);
    EXPECT_LT(median_ns, 9000000);
    kaio_sim_set_clock(1);
}

TEST_F(ContinueTimedSimTest, WhatMovedAlreadyOverlapsNothing) {
    kaio_sim_script script = Shorten(1);
    script.hold = true;
    Play(script);
    Read();
    Flush();
    EXPECT_EQ(kaio_sim_complete(1), 1u);
    EXPECT_EQ(Wait(0), 0u);

    Write(std::string(2048, 'x'));
    EXPECT_EQ(Counts().finished_count, 0u);
    Write(std::string(2048, 'y'), 2048);
    EXPECT_EQ(Counts().finished_count, 1u);
    EXPECT_EQ(Counters().overlap_count, 1u);
}

TEST_F(ContinueTimedSimTest, WhatIsLeftOfAVectorEndsWhereTheWholeDoes) {
    kaio_sim_script script = Shorten(1);
    script.hold = true;
    Play(script);
    kaio_segment segments[2] = {};
    for (kaio_segment &segment : segments) {
        segment.buffer = NewBuffer(kSizeBytes / 2);
        segment.size_bytes = kSizeBytes / 2;
    }
    kaio_ticket ticket = {};
    EXPECT_OK(K(kaio_readv_start(queue_, file_, 0, kaio_rw_none(), 0, segments, 2, &ticket)));
    Flush();
    EXPECT_EQ(kaio_sim_complete(1), 1u);
    EXPECT_EQ(Wait(0), 0u);

    Write(std::string(16, 'x'), kSizeBytes);
    EXPECT_EQ(Counts().finished_count, 0u);
    Write(std::string(16, 'y'), kSizeBytes - 1);
    EXPECT_EQ(Counts().finished_count, 1u);
}

// ---- what is kept for ever ----

// All segments of what the kernel may still have are kept, also those that are full already.
TEST(ContinueLeakTest, ARestThatTheKernelMayStillHaveKeepsAllItsSegments) {
    const TempFile temp(Pattern(kSizeBytes));
    kaio_file *file = OpenFile(temp.path());
    kaio_queue_options options = {};
    options.depth = 2;
    options.segment_count = 4;
    options.continue_limit = 1;
    kaio_queue *queue = nullptr;
    ASSERT_OK(kaio_queue_open(&options, &queue));
    kaio_sim_script script = {};
    script.hold = true;
    script.shorten_count = 1;
    kaio_sim_play(&script);
    kaio_segment segments[4] = {};
    for (kaio_segment &segment : segments) {
        segment.buffer = NewBuffer(kSizeBytes / 4);
        segment.size_bytes = kSizeBytes / 4;
    }
    kaio_ticket ticket = {};
    ASSERT_OK(kaio_readv_start(queue, file, 0, kaio_rw_none(), 0, segments, 4, &ticket));
    uint32_t ready = 1;
    ASSERT_OK(kaio_queue_wait(queue, 0, kaio_deadline_now(), &ready));
    EXPECT_EQ(kaio_sim_complete(1), 1u);
    ASSERT_OK(kaio_queue_wait(queue, 0, kaio_deadline_now(), &ready));
    kaio_queue_counters counters = {};
    ASSERT_OK(kaio_queue_counters_read(queue, &counters));
    ASSERT_EQ(counters.continued_count, 1u) << "the rest has two segments";

    script.destroy_fails = true;
    script.getevents_error_count = UINT32_MAX;
    script.getevents_error = EINVAL;
    kaio_sim_play(&script);
    kaio_destroy_report report = {};
    ASSERT_OK(kaio_queue_destroy(&queue, nullptr, nullptr, &report));
    EXPECT_EQ(report.leaked_count, 4u);
    EXPECT_EQ(kaio_sim_complete(1), 1u);
    const kaio_sim_script none = {};
    kaio_sim_play(&none);
    kaio_file_drop(&file);
}

}  // namespace
}  // namespace kaio_test
