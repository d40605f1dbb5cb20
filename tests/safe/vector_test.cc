// Vectored requests: several buffers or views in one request, from the queue's budget of segments.

#include <fcntl.h>

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "kaio/safe/kaio.h"
#include "kaio/safe/testing.h"
#include "tests/support/safe_test.h"

namespace {

using namespace kaio_test;

constexpr uint32_t kPartBytes = 512;
constexpr uint32_t kBudget = 16;

kaio_segment Segment(kaio_buffer *buffer, uint32_t size_bytes = kPartBytes,
                     uint32_t offset_bytes = 0) {
    kaio_segment segment = {};
    segment.buffer = buffer;
    segment.size_bytes = size_bytes;
    segment.buffer_offset_bytes = offset_bytes;
    return segment;
}

class VectorTest : public QueueTest {
  protected:
    kaio_queue_options Options() const override {
        kaio_queue_options options = QueueTest::Options();
        options.segment_count = kBudget;
        return options;
    }

    void SetUp() override {
        QueueTest::SetUp();
        content_ = Pattern(16 * kPartBytes);
        temp_.reset(new TempFile(content_));
        file_ = OpenFile(temp_->path());
    }

    void TearDown() override {
        Drop(&segments_);
        EXPECT_OK(kaio_queue_close(&queue_));
        EXPECT_OK(kaio_file_close(&file_));
        QueueTest::TearDown();
    }

    static void Drop(std::vector<kaio_segment> *segments) {
        for (kaio_segment &segment : *segments) {
            kaio_buffer_drop(&segment.buffer);
            kaio_view_drop(&segment.view);
        }
        segments->clear();
    }

    static std::vector<kaio_segment> NewSegments(uint32_t count) {
        std::vector<kaio_segment> segments;
        for (uint32_t i = 0; i < count; ++i) {
            segments.push_back(Segment(NewBuffer(Pattern(kPartBytes, 100 + i))));
        }
        return segments;
    }

    static void ExpectMoved(const std::vector<kaio_segment> &segments) {
        for (const kaio_segment &segment : segments) {
            EXPECT_EQ(segment.buffer, nullptr);
            EXPECT_EQ(segment.view, nullptr);
        }
    }

    kaio_status Start(bool is_read, uint64_t offset_bytes, std::vector<kaio_segment> *segments,
                      uint64_t user = 0) {
        kaio_ticket ticket = {};
        const auto count = static_cast<uint32_t>(segments->size());
        return K(is_read ? kaio_readv_start(queue_, file_, offset_bytes, kaio_rw_none(), user,
                                            segments->data(), count, &ticket)
                         : kaio_writev_start(queue_, file_, offset_bytes, kaio_rw_none(), user,
                                             segments->data(), count, &ticket));
    }

    // TakeSegments takes one into segments_.
    kaio_completion TakeSegments() {
        Wait(1);
        segments_.resize(KAIO_SEGMENT_COUNT_MAX);
        kaio_completion completion = {};
        EXPECT_OK(K(kaio_queue_take_segments(queue_, segments_.data(), KAIO_SEGMENT_COUNT_MAX,
                                             &completion)));
        EXPECT_EQ(completion.buffer, nullptr);
        EXPECT_EQ(completion.view, nullptr);
        EXPECT_EQ(completion.segments, completion.segment_count == 0 ? nullptr : segments_.data());
        segments_.resize(completion.segment_count);
        return completion;
    }

    std::string content_;
    std::unique_ptr<TempFile> temp_;
    kaio_file *file_ = nullptr;
    std::vector<kaio_segment> segments_;
};

TEST_F(VectorTest, AReadFillsOneBufferBehindTheOther) {
    std::vector<kaio_segment> segments = NewSegments(4);
    segments[1].buffer_offset_bytes = 8;
    segments[1].size_bytes = 16;
    segments[2].size_bytes = 0;
    std::vector<kaio_buffer *> kept;
    for (const kaio_segment &segment : segments) {
        kept.push_back(segment.buffer);
    }
    ASSERT_OK(Start(true, 100, &segments, 7));
    ExpectMoved(segments);
    EXPECT_EQ(kaio_buffer_as_bytes(kept[0]), nullptr);

    const kaio_completion completion = TakeSegments();

    EXPECT_EQ(completion.operation, KAIO_READV);
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL);
    EXPECT_EQ(completion.moved_bytes, 2 * kPartBytes + 16);
    EXPECT_EQ(completion.range.size_bytes, 2 * kPartBytes + 16);
    EXPECT_EQ(completion.range.file_offset_bytes, 100u);
    EXPECT_EQ(completion.user, 7u);
    ASSERT_EQ(completion.segment_count, 4u);
    for (size_t i = 0; i < 4; ++i) {
        EXPECT_EQ(segments_[i].buffer, kept[i]);
        EXPECT_EQ(segments_[i].view, nullptr);
    }
    EXPECT_EQ(segments_[1].buffer_offset_bytes, 8u);
    EXPECT_EQ(segments_[1].size_bytes, 16u);
    EXPECT_EQ(BufferText(kept[0], kPartBytes), content_.substr(100, kPartBytes));
    EXPECT_EQ(BufferText(kept[1], kPartBytes), Pattern(kPartBytes, 101).substr(0, 8) +
                                                   content_.substr(100 + kPartBytes, 16) +
                                                   Pattern(kPartBytes, 101).substr(24));
    EXPECT_EQ(BufferText(kept[2], kPartBytes), Pattern(kPartBytes, 102));
    EXPECT_EQ(BufferText(kept[3], kPartBytes), content_.substr(116 + kPartBytes, kPartBytes));
    EXPECT_EQ(Text(completion), "readv full: 1040 of 1040 bytes at offset 100");
}

TEST_F(VectorTest, AWriteTakesBuffersAndViewsAndCountsForSyncs) {
    std::vector<kaio_segment> segments = NewSegments(2);
    kaio_view *view = nullptr;
    ASSERT_OK(kaio_buffer_freeze(&segments[1].buffer, &view));
    kaio_view *second = nullptr;
    ASSERT_OK(kaio_view_share(view, &second));
    segments[1].view = view;
    segments.push_back(Segment(nullptr));
    segments[2].view = second;
    ASSERT_OK(Start(false, kPartBytes, &segments));
    kaio_ticket ticket = {};
    ASSERT_OK(K(kaio_sync_start(queue_, file_, KAIO_SYNC_DATA, 0, &ticket)));
    kaio_flush_report report = Flush();
    EXPECT_EQ(report.staged_count, 1u) << "the sync did not wait for the vectored write";
    Wait(2);
    kaio_completion completion = TakeSegments();
    EXPECT_EQ(completion.operation, KAIO_WRITEV);
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL);
    ASSERT_EQ(completion.segment_count, 3u);
    EXPECT_EQ(segments_[1].view, view);
    EXPECT_EQ(segments_[2].view, second);
    EXPECT_EQ(Take().sync, KAIO_SYNC_SYNCED);
    const std::string one = Pattern(kPartBytes, 101);
    EXPECT_EQ(temp_->Content(), content_.substr(0, kPartBytes) + Pattern(kPartBytes, 100) + one +
                                    one + content_.substr(4 * kPartBytes));
}

TEST_F(VectorTest, AChangedViewIsSeenInDebugBuilds) {
    std::vector<kaio_segment> segments = NewSegments(2);
    uint8_t *bytes = kaio_buffer_as_bytes(segments[1].buffer);
    ASSERT_OK(kaio_buffer_freeze(&segments[1].buffer, &segments[1].view));
    ASSERT_OK(Start(false, 0, &segments));
    bytes[3] ^= 1;
    const kaio_completion completion = TakeSegments();
#ifdef NDEBUG
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL);
#else
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FAILED);
    EXPECT_CODE(KAIO_MODIFIED_IN_FLIGHT, completion.refusal);
#endif
}

TEST_F(VectorTest, ShortAndEndAreOutcomesAndTheRestGoesOn) {
    std::vector<kaio_segment> segments = NewSegments(3);
    const kaio_buffer *first = segments[0].buffer;
    ASSERT_OK(Start(true, 15 * kPartBytes - 100, &segments, 5));
    kaio_completion completion = TakeSegments();
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_SHORT);
    EXPECT_EQ(completion.moved_bytes, kPartBytes + 100);
    kaio_ticket ticket = {};
    ASSERT_OK(K(kaio_readv_rest_start(queue_, file_, kaio_rw_none(), &completion, &ticket)));
    EXPECT_EQ(segments_[0].buffer, first) << "what is done stays";
    EXPECT_EQ(segments_[1].buffer, nullptr);
    EXPECT_EQ(segments_[2].buffer, nullptr);
    kaio_buffer_drop(&segments_[0].buffer);
    completion = TakeSegments();
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_END);
    EXPECT_EQ(completion.user, 5u);
    ASSERT_EQ(completion.segment_count, 2u);
    EXPECT_EQ(segments_[0].buffer_offset_bytes, 100u);
    EXPECT_EQ(segments_[0].size_bytes, kPartBytes - 100);
    EXPECT_CODE(KAIO_EMPTY,
                K(kaio_readv_rest_start(queue_, file_, kaio_rw_none(), &completion, &ticket)));
    EXPECT_CODE(KAIO_EMPTY,
                K(kaio_writev_rest_start(queue_, file_, kaio_rw_none(), &completion, &ticket)));
}

TEST_F(VectorTest, APlainTakeLeavesItWhereItIs) {
    std::vector<kaio_segment> segments = NewSegments(3);
    ASSERT_OK(Start(true, 0, &segments));
    Wait(1);
    kaio_completion completion = {};
    kaio_status status = K(kaio_queue_take(queue_, &completion));
    EXPECT_CODE(KAIO_RANGE, status);
    EXPECT_EQ(Text(status), "range (segments): asked for 3, the limit is 0");
    segments_.resize(3);
    EXPECT_CODE(KAIO_RANGE, K(kaio_queue_take_segments(queue_, segments_.data(), 2, &completion)));
    EXPECT_EQ(Counts().finished_count, 1u);
    EXPECT_OK(K(kaio_queue_take_segments(queue_, segments_.data(), 3, &completion)));
    EXPECT_CODE(KAIO_EMPTY, K(kaio_queue_take_segments(queue_, segments_.data(), 3, &completion)));
}

TEST_F(VectorTest, OtherRequestsAreTakenWithSegmentsToo) {
    kaio_buffer *buffer = NewBuffer(kPartBytes);
    kaio_ticket ticket = {};
    ASSERT_OK(K(
        kaio_read_start(queue_, file_, Range(0, kPartBytes), kaio_rw_none(), 0, &buffer, &ticket)));
    Wait(1);
    kaio_segment segment = {};
    kaio_completion completion = {};
    ASSERT_OK(K(kaio_queue_take_segments(queue_, &segment, 1, &completion)));
    EXPECT_EQ(completion.operation, KAIO_READ);
    EXPECT_EQ(completion.segments, nullptr);
    EXPECT_EQ(completion.segment_count, 0u);
    kaio_completion_drop(&completion);
}

TEST_F(VectorTest, AbandonAndDropGiveTheSegmentsBack) {
    std::vector<kaio_segment> segments = NewSegments(3);
    const kaio_buffer *first = segments[0].buffer;
    kaio_readv *readv = nullptr;
    ASSERT_OK(K(kaio_readv_new(queue_, file_, 0, kaio_rw_none(), segments.data(), 3, &readv)));
    ExpectMoved(segments);
    uint32_t count = 0;
    kaio_status status = K(kaio_readv_abandon(&readv, segments.data(), 2, &count));
    EXPECT_CODE(KAIO_RANGE, status);
    EXPECT_NE(readv, nullptr);
    ASSERT_OK(K(kaio_readv_abandon(&readv, segments.data(), 3, &count)));
    EXPECT_EQ(readv, nullptr);
    EXPECT_EQ(count, 3u);
    EXPECT_EQ(segments[0].buffer, first);
    kaio_writev *writev = nullptr;
    ASSERT_OK(K(kaio_writev_new(queue_, file_, 0, kaio_rw_none(), segments.data(), 3, &writev)));
    kaio_writev_drop(&writev);
    EXPECT_EQ(writev, nullptr);
    ExpectBooks();
    EXPECT_EQ(kaio_buffer_size(first), 0u);
    EXPECT_EQ(Counts().free_count, kDepth);
}

TEST_F(VectorTest, ReportsWhatIsWrongAndChangesNothing) {
    std::vector<kaio_segment> segments = NewSegments(2);
    kaio_readv *readv = nullptr;
    const auto try_new = [&](uint32_t count) {
        const std::vector<kaio_segment> before = segments;
        const kaio_status status =
            K(kaio_readv_new(queue_, file_, 0, kaio_rw_none(), segments.data(), count, &readv));
        EXPECT_EQ(readv, nullptr);
        for (size_t i = 0; i < segments.size(); ++i) {
            EXPECT_EQ(segments[i].buffer, before[i].buffer);
        }
        EXPECT_EQ(Counts().free_count, kDepth);
        return Text(status);
    };
    EXPECT_EQ(try_new(0), "range (segments): asked for 0, the limit is 1024");
    EXPECT_EQ(try_new(1025), "range (segments): asked for 1025, the limit is 1024");
    segments[1].size_bytes = kPartBytes + 1;
    EXPECT_EQ(try_new(2), "range (size): asked for 513, the limit is 512");
    segments[1].size_bytes = kPartBytes;
    kaio_buffer *other = segments[1].buffer;
    segments[1].buffer = segments[0].buffer;
    EXPECT_EQ(try_new(2).substr(0, 13), "busy (buffer)") << "one buffer twice";
    segments[1].buffer = nullptr;
    EXPECT_EQ(try_new(2), "null argument (buffer)");
    ASSERT_OK(kaio_buffer_freeze(&other, &segments[1].view));
    EXPECT_EQ(try_new(2).substr(0, 13), "access (view)");
    kaio_buffer *third = NewBuffer(8);
    segments[1].buffer = third;
    EXPECT_EQ(try_new(2), "range (segments): asked for 2, the limit is 1") << "a buffer and a view";
    kaio_buffer_drop(&third);
    segments[1].buffer = nullptr;
    kaio_view_drop(&segments[1].view);
    segments.resize(1);
    kaio_file *other_file = OpenFile(temp_->path(), O_WRONLY);
    EXPECT_CODE(KAIO_ACCESS, K(kaio_readv_new(queue_, other_file, 0, kaio_rw_none(),
                                              segments.data(), 1, &readv)));
    EXPECT_CODE(KAIO_RANGE, K(kaio_readv_new(queue_, file_, UINT64_C(1) << 63, kaio_rw_none(),
                                             segments.data(), 1, &readv)));
    EXPECT_OK(kaio_file_close(&other_file));
    Drop(&segments);
}

TEST_F(VectorTest, DirectTransfersAreCheckedSegmentBySegment) {
    kaio_file *direct = nullptr;
    const kaio_status opened = kaio_file_open(temp_->path(), O_RDWR | O_DIRECT, 0, &direct);
    kaio_alignment alignment = {};
    if (opened.code == KAIO_OK) {
        EXPECT_OK(kaio_file_alignment(direct, &alignment));
    }
    if (!alignment.is_known) {
        kaio_file_drop(&direct);
        GTEST_SKIP() << "no direct I/O with known alignments on this file system";
    }
    const uint32_t block_bytes = alignment.read_bytes;
    std::vector<kaio_segment> segments;
    for (int i = 0; i < 2; ++i) {
        segments.push_back(Segment(NewBuffer(2 * block_bytes), block_bytes));
    }
    kaio_readv *readv = nullptr;
    const auto try_new = [&](uint64_t offset_bytes) {
        return Text(K(kaio_readv_new(queue_, direct, offset_bytes, kaio_rw_none(), segments.data(),
                                     2, &readv)));
    };
    segments[1].buffer_offset_bytes = 1;
    EXPECT_EQ(try_new(0), "align (buffer address): 1 bytes past a multiple of " +
                              std::to_string(alignment.memory_bytes) + ", which it needs");
    segments[1].buffer_offset_bytes = 0;
    segments[1].size_bytes = block_bytes / 2;
    EXPECT_EQ(try_new(0).substr(0, 12), "align (size)");
    segments[1].size_bytes = block_bytes;
    EXPECT_EQ(try_new(8).substr(0, 19), "align (file offset)");
    EXPECT_EQ(try_new(0), "ok");
    kaio_readv_push(&readv, 0);
    EXPECT_EQ(TakeSegments().transfer, KAIO_TRANSFER_FULL);
    EXPECT_EQ(BufferText(segments_[1].buffer, block_bytes),
              content_.substr(block_bytes, block_bytes));
    EXPECT_OK(kaio_file_close(&direct));
}

TEST_F(VectorTest, AFailedNewLeavesUnboundBuffersUnbound) {
    std::vector<kaio_segment> segments = NewSegments(2);
    kaio_buffer *second = segments[1].buffer;
    segments[1].buffer = segments[0].buffer;
    kaio_readv *readv = nullptr;
    EXPECT_CODE(KAIO_BUSY,
                K(kaio_readv_new(queue_, file_, 0, kaio_rw_none(), segments.data(), 2, &readv)));
    std::thread([&] {
        EXPECT_OK(kaio_buffer_detach(segments[0].buffer)) << "it was bound by a call that failed";
    }).join();
    segments[1].buffer = second;
    Drop(&segments);
}

TEST_F(VectorTest, TheBudgetIsALimitAndComesBack) {
    std::vector<kaio_segment> first = NewSegments(10);
    std::vector<kaio_segment> second = NewSegments(7);
    ASSERT_OK(Start(true, 0, &first));
    kaio_status status = Start(true, 0, &second);
    EXPECT_CODE(KAIO_FULL, status);
    EXPECT_EQ(Text(status), "full (segments): all 16 places are taken");
    EXPECT_NE(second[0].buffer, nullptr);
    TakeSegments();
    Drop(&segments_);
    EXPECT_OK(Start(true, 0, &second));
    TakeSegments();
}

TEST_F(VectorTest, WithoutABudgetNoneIsMade) {
    kaio_queue_options options = QueueTest::Options();
    kaio_queue *plain = nullptr;
    ASSERT_OK(kaio_queue_open(&options, &plain));
    std::vector<kaio_segment> segments = NewSegments(1);
    kaio_readv *readv = nullptr;
    kaio_status status =
        kaio_readv_new(plain, file_, 0, kaio_rw_none(), segments.data(), 1, &readv);
    EXPECT_EQ(Text(status), "full (segments): all 0 places are taken");
    EXPECT_OK(kaio_queue_close(&plain));
    options.segment_count = KAIO_QUEUE_SEGMENTS_MAX + 1;
    EXPECT_CODE(KAIO_RANGE, kaio_queue_open(&options, &plain));
    Drop(&segments);
}

// Requests of all lengths come and go in disorder, so that gaps must be closed while some are idle,
// some staged and some with the kernel; every byte must be where it belongs.
TEST_F(VectorTest, GapsAreClosedUnderRequestsInEveryState) {
    std::mt19937 random(11);
    std::vector<kaio_readv *> idle;
    for (int round = 0; round < 3000; ++round) {
        std::vector<kaio_segment> segments = NewSegments(static_cast<uint32_t>(1 + random() % 5));
        const uint64_t offset_bytes = random() % (8 * kPartBytes);
        kaio_readv *readv = nullptr;
        const auto count = static_cast<uint32_t>(segments.size());
        const kaio_status status = K(kaio_readv_new(queue_, file_, offset_bytes, kaio_rw_none(),
                                                    segments.data(), count, &readv));
        if (status.code == KAIO_OK) {
            idle.push_back(readv);
        } else {
            ASSERT_CODE(KAIO_FULL, status);
            Drop(&segments);
        }
        if (!idle.empty() && random() % 2 == 0) {
            const size_t which = random() % idle.size();
            kaio_readv *pushed = idle[which];
            idle.erase(idle.begin() + static_cast<long>(which));
            kaio_readv_push(&pushed, 0);
            ExpectBooks();
            if (random() % 2 == 0) {
                Flush();
            }
        }
        const kaio_queue_counts counts = Counts();
        if (counts.staged_count + counts.in_flight_count + counts.finished_count > 2) {
            const kaio_completion completion = TakeSegments();
            ASSERT_EQ(completion.transfer, KAIO_TRANSFER_FULL);
            size_t at = static_cast<size_t>(completion.range.file_offset_bytes);
            for (const kaio_segment &segment : segments_) {
                EXPECT_EQ(BufferText(segment.buffer, kPartBytes), content_.substr(at, kPartBytes));
                at += kPartBytes;
            }
            Drop(&segments_);
        }
    }
    for (kaio_readv *&readv : idle) {
        kaio_readv_drop(&readv);
    }
    while (Counts().free_count < kDepth) {
        TakeSegments();
        Drop(&segments_);
    }
}

TEST_F(VectorTest, AnIdleOneIsRetargetedAndRetyped) {
    std::vector<kaio_segment> segments = NewSegments(2);
    kaio_readv *readv = nullptr;
    ASSERT_OK(K(kaio_readv_new(queue_, file_, 0, kaio_rw_none(), segments.data(), 2, &readv)));
    TempFile other;
    kaio_file *other_file = OpenFile(other.path());
    ASSERT_OK(K(kaio_readv_set_priority(readv, kaio_priority_idle())));
    ASSERT_OK(K(kaio_readv_retarget(readv, other_file, kPartBytes, kaio_rw_none())));
    kaio_readv *alias = readv;
    kaio_writev *writev = nullptr;
    ASSERT_OK(K(kaio_readv_into_writev(&readv, &writev)));
    EXPECT_EQ(readv, nullptr);
    EXPECT_CODE(KAIO_STALE, K(kaio_readv_retarget(alias, file_, 0, kaio_rw_none())));
    kaio_readv *again = nullptr;
    ASSERT_OK(K(kaio_writev_into_readv(&writev, &again)));
    ASSERT_OK(K(kaio_readv_into_writev(&again, &writev)));
    kaio_writev_push(&writev, 0);
    const kaio_completion completion = TakeSegments();
    EXPECT_EQ(completion.operation, KAIO_WRITEV);
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL);
    EXPECT_EQ(other.Content().substr(kPartBytes),
              Pattern(kPartBytes, 100) + Pattern(kPartBytes, 101));
    EXPECT_OK(kaio_file_close(&other_file));
}

TEST_F(VectorTest, OneWithAViewDoesNotBecomeARead) {
    std::vector<kaio_segment> segments = NewSegments(1);
    ASSERT_OK(kaio_buffer_freeze(&segments[0].buffer, &segments[0].view));
    kaio_writev *writev = nullptr;
    ASSERT_OK(K(kaio_writev_new(queue_, file_, 0, kaio_rw_none(), segments.data(), 1, &writev)));
    kaio_readv *readv = nullptr;
    EXPECT_CODE(KAIO_ACCESS, K(kaio_writev_into_readv(&writev, &readv)));
    EXPECT_NE(writev, nullptr);
    kaio_writev_drop(&writev);
}

TEST_F(VectorTest, ADestroyedQueueHandsEverySegmentOver) {
    std::vector<kaio_segment> idle = NewSegments(2);
    std::vector<kaio_segment> staged = NewSegments(3);
    kaio_readv *readv = nullptr;
    ASSERT_OK(K(kaio_readv_new(queue_, file_, 0, kaio_rw_none(), idle.data(), 2, &readv)));
    ASSERT_OK(Start(false, 0, &staged));
    kaio_destroy_report report = {};
    std::vector<kaio_buffer *> lost;
    const kaio_status status = kaio_queue_destroy(
        &queue_,
        [](void *context, kaio_completion *completion) {
            auto *list = static_cast<std::vector<kaio_buffer *> *>(context);
            EXPECT_EQ(completion->transfer, KAIO_TRANSFER_CANCELLED);
            list->push_back(completion->segments[0].buffer);
            completion->segments[0].buffer = nullptr;
        },
        &lost, &report);
    ASSERT_OK(status);
    EXPECT_EQ(report.given_back_count, 2u);
    EXPECT_EQ(report.dropped_count, 3u);
    ASSERT_EQ(lost.size(), 2u);
    for (kaio_buffer *&buffer : lost) {
        EXPECT_NE(kaio_buffer_as_bytes(buffer), nullptr);
        kaio_buffer_drop(&buffer);
    }
    const kaio_queue_options options = Options();
    ASSERT_OK(kaio_queue_open(&options, &queue_));
}

TEST_F(VectorTest, TheRunLoopHandsThemOut) {
    std::vector<kaio_segment> segments = NewSegments(2);
    std::vector<kaio_segment> written = NewSegments(2);
    ASSERT_OK(Start(true, 0, &segments, 1));
    ASSERT_OK(Start(false, 8 * kPartBytes, &written, 2));
    struct Seen {
        uint64_t users = 0;
        kaio_buffer *kept = nullptr;
    } seen;
    kaio_handlers handlers = {};
    handlers.on_readv = [](void *context, uint64_t user, kaio_completion *completion) {
        auto *self = static_cast<Seen *>(context);
        self->users += user;
        EXPECT_EQ(completion->transfer, KAIO_TRANSFER_FULL);
        EXPECT_EQ(completion->segment_count, 2u);
        self->kept = completion->segments[1].buffer;
        completion->segments[1].buffer = nullptr;
    };
    handlers.on_writev = [](void *context, uint64_t user, kaio_completion *completion) {
        static_cast<Seen *>(context)->users += user;
        EXPECT_EQ(completion->operation, KAIO_WRITEV);
    };
    kaio_run_report report = {};
    ASSERT_OK(K(kaio_queue_run(queue_, &handlers, &seen, kaio_deadline_never(), &report)));
    EXPECT_EQ(seen.users, 3u);
    EXPECT_EQ(BufferText(seen.kept, kPartBytes), content_.substr(kPartBytes, kPartBytes));
    kaio_buffer_drop(&seen.kept);
}

TEST_F(VectorTest, TheMostSegmentsThereCanBe) {
    kaio_queue_options options = QueueTest::Options();
    options.segment_count = KAIO_SEGMENT_COUNT_MAX;
    kaio_queue *large = nullptr;
    ASSERT_OK(kaio_queue_open(&options, &large));
    std::vector<kaio_segment> segments;
    for (uint32_t i = 0; i < KAIO_SEGMENT_COUNT_MAX; ++i) {
        segments.push_back(Segment(NewBuffer(8, 8), 8));
    }
    kaio_ticket ticket = {};
    ASSERT_OK(kaio_readv_start(large, file_, 0, kaio_rw_none(), 0, segments.data(),
                               KAIO_SEGMENT_COUNT_MAX, &ticket));
    uint32_t ready = 0;
    ASSERT_OK(kaio_queue_wait(large, 1, kaio_deadline_never(), &ready));
    kaio_completion completion = {};
    ASSERT_OK(
        kaio_queue_take_segments(large, segments.data(), KAIO_SEGMENT_COUNT_MAX, &completion));
    EXPECT_EQ(kaio_testing_fault(large), nullptr);
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL);
    for (uint32_t i = 0; i < KAIO_SEGMENT_COUNT_MAX; ++i) {
        ASSERT_EQ(BufferText(segments[i].buffer, 8), content_.substr(8 * i, 8)) << i;
    }
    Drop(&segments);
    EXPECT_OK(kaio_queue_close(&large));
}

TEST_F(VectorTest, NullIsAnAnswer) {
    std::vector<kaio_segment> segments = NewSegments(1);
    kaio_readv *readv = nullptr;
    kaio_writev *writev = nullptr;
    kaio_ticket ticket = {};
    kaio_completion completion = {};
    uint32_t count = 0;
    const kaio_rw_flags none = kaio_rw_none();
    EXPECT_CODE(KAIO_NULL_ARGUMENT,
                kaio_readv_new(nullptr, file_, 0, none, segments.data(), 1, &readv));
    EXPECT_CODE(KAIO_NULL_ARGUMENT,
                kaio_readv_new(queue_, nullptr, 0, none, segments.data(), 1, &readv));
    EXPECT_CODE(KAIO_NULL_ARGUMENT, kaio_readv_new(queue_, file_, 0, none, nullptr, 1, &readv));
    EXPECT_CODE(KAIO_NULL_ARGUMENT,
                kaio_readv_new(queue_, file_, 0, none, segments.data(), 1, nullptr));
    EXPECT_CODE(KAIO_NULL_ARGUMENT,
                kaio_writev_new(queue_, file_, 0, none, segments.data(), 1, nullptr));
    EXPECT_CODE(KAIO_NULL_ARGUMENT,
                kaio_readv_start(queue_, file_, 0, none, 0, segments.data(), 1, nullptr));
    EXPECT_CODE(KAIO_NULL_ARGUMENT,
                kaio_writev_start(queue_, file_, 0, none, 0, nullptr, 1, &ticket));
    EXPECT_EQ(kaio_readv_push(nullptr, 0).bits, 0u);
    EXPECT_EQ(kaio_writev_push(nullptr, 0).bits, 0u);
    EXPECT_CODE(KAIO_NULL_ARGUMENT, kaio_readv_abandon(nullptr, segments.data(), 1, &count));
    EXPECT_CODE(KAIO_NULL_ARGUMENT, kaio_readv_abandon(&readv, nullptr, 1, &count));
    EXPECT_CODE(KAIO_NULL_ARGUMENT, kaio_readv_abandon(&readv, segments.data(), 1, nullptr));
    EXPECT_CODE(KAIO_NULL_ARGUMENT, kaio_readv_abandon(&readv, segments.data(), 1, &count));
    EXPECT_CODE(KAIO_NULL_ARGUMENT, kaio_writev_abandon(&writev, segments.data(), 1, &count));
    kaio_readv_drop(nullptr);
    kaio_readv_drop(&readv);
    kaio_writev_drop(nullptr);
    kaio_writev_drop(&writev);
    EXPECT_CODE(KAIO_NULL_ARGUMENT, kaio_readv_set_priority(nullptr, kaio_priority_idle()));
    EXPECT_CODE(KAIO_NULL_ARGUMENT, kaio_writev_set_priority(nullptr, kaio_priority_idle()));
    EXPECT_CODE(KAIO_NULL_ARGUMENT, kaio_readv_retarget(nullptr, file_, 0, none));
    EXPECT_CODE(KAIO_NULL_ARGUMENT, kaio_writev_retarget(nullptr, file_, 0, none));
    EXPECT_CODE(KAIO_NULL_ARGUMENT, kaio_readv_into_writev(nullptr, &writev));
    EXPECT_CODE(KAIO_NULL_ARGUMENT, kaio_readv_into_writev(&readv, nullptr));
    EXPECT_CODE(KAIO_NULL_ARGUMENT, kaio_readv_into_writev(&readv, &writev));
    EXPECT_CODE(KAIO_NULL_ARGUMENT, kaio_writev_into_readv(nullptr, &readv));
    EXPECT_CODE(KAIO_NULL_ARGUMENT, kaio_writev_into_readv(&writev, nullptr));
    EXPECT_CODE(KAIO_NULL_ARGUMENT, kaio_readv_rest_start(queue_, file_, none, nullptr, &ticket));
    EXPECT_CODE(KAIO_NULL_ARGUMENT,
                kaio_readv_rest_start(queue_, file_, none, &completion, nullptr));
    EXPECT_CODE(KAIO_NULL_ARGUMENT,
                kaio_queue_take_segments(nullptr, segments.data(), 1, &completion));
    EXPECT_CODE(KAIO_NULL_ARGUMENT, kaio_queue_take_segments(queue_, nullptr, 1, &completion));
    EXPECT_CODE(KAIO_NULL_ARGUMENT, kaio_queue_take_segments(queue_, segments.data(), 1, nullptr));
    ExpectBooks();
    Drop(&segments);
}

}  // namespace
