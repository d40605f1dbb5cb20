// Vectored requests through the C++ layer, on both kernels: no handle of a segment is lost, none is
// dropped twice.

#include <fcntl.h>
#include <unistd.h>

#include <utility>

#include "kaio/safe/kaio.hpp"
#include "tests/cpp/cpp_test.h"

namespace kaio_test {
namespace {

constexpr uint32_t kPartBytes = 512;
constexpr uint32_t kPartCount = 3;

uint32_t Living() {
    return kaio_testing_count().buffer_count;
}

class CppVectorTest : public CppTest {
  protected:
    void SetUp() override {
        CppTest::SetUp();
        kaio_queue_options options = {};
        options.depth = kDepth;
        options.segment_count = 16;
        ASSERT_OK(kaio::queue::open(options, &queue_));
    }

    // Fill puts new buffers into segments_.
    void Fill() {
        for (kaio_segment &segment : segments_) {
            segment = {};
            segment.buffer = Make(kPartBytes).release();
            segment.size_bytes = kPartBytes;
        }
    }

    // Start starts a read of `count` segments at `file_offset_bytes`.
    void Start(uint64_t user, uint32_t count = kPartCount, uint64_t file_offset_bytes = 0) {
        Fill();
        for (uint32_t i = count; i < kPartCount; ++i) {
            kaio_buffer_drop(&segments_[i].buffer);
        }
        kaio_ticket ticket = {};
        ASSERT_OK(kaio::readv::start(queue_, file_, file_offset_bytes, kaio_rw_none(), user,
                                     segments_, count, &ticket));
        ExpectNone(segments_);
    }

    kaio_status Take(kaio::completion *done) {
        EXPECT_OK(queue_.wait(1, Soon(), &ready_));
        return queue_.take_segments(taken_, kPartCount, done);
    }

    static void ExpectNone(const kaio_segment (&segments)[kPartCount]) {
        for (const kaio_segment &segment : segments) {
            EXPECT_EQ(segment.buffer, nullptr);
            EXPECT_EQ(segment.view, nullptr);
        }
    }

    kaio_segment segments_[kPartCount] = {};
    kaio_segment taken_[kPartCount] = {};
};

TEST_F(CppVectorTest, ATakenReadHasItsSegmentsAndDropsWhatIsLeft) {
    Start(7);
    kaio::buffer kept;
    {
        kaio::completion done;
        ASSERT_OK(Take(&done));
        EXPECT_EQ(done.operation, KAIO_READV);
        EXPECT_EQ(done.transfer, KAIO_TRANSFER_FULL);
        EXPECT_EQ(done.user, 7u);
        EXPECT_EQ(done.segments, taken_);
        ASSERT_EQ(done.segment_count, kPartCount);
        kept.reset(done.segments[1].buffer);
        done.segments[1].buffer = nullptr;
    }

    EXPECT_EQ(Living(), 1u);
    ExpectNone(taken_);
    EXPECT_EQ(BufferText(kept.get(), kPartBytes), content_.substr(kPartBytes, kPartBytes));
}

TEST_F(CppVectorTest, AMovedCompletionHasNone) {
    Start(1);
    kaio::completion first;
    ASSERT_OK(Take(&first));

    kaio::completion second(std::move(first));
    kaio::completion third;
    third = std::move(second);

    EXPECT_EQ(first.segments, nullptr);  // NOLINT(bugprone-use-after-move)
    EXPECT_EQ(first.segment_count, 0u);
    EXPECT_EQ(second.segments, nullptr);  // NOLINT(bugprone-use-after-move)
    EXPECT_EQ(third.segment_count, kPartCount);
    EXPECT_EQ(Living(), kPartCount);
    third = kaio::completion();
    EXPECT_EQ(Living(), 0u);
}

TEST_F(CppVectorTest, AReleasedCompletionDropsNothing) {
    Start(1);
    kaio_completion plain;
    {
        kaio::completion done;
        ASSERT_OK(Take(&done));
        plain = done.release();
    }

    EXPECT_EQ(Living(), kPartCount);
    kaio_completion_drop(&plain);
}

TEST_F(CppVectorTest, ATakeIntoTheSameArrayDropsWhatWasThere) {
    Start(1, 3);
    kaio::completion done;
    ASSERT_OK(Take(&done));
    Start(2, 2, kPartBytes);
    EXPECT_EQ(Living(), 5u);

    ASSERT_OK(Take(&done));

    EXPECT_EQ(done.user, 2u);
    EXPECT_EQ(done.segment_count, 2u);
    EXPECT_EQ(Living(), 2u);
    EXPECT_EQ(taken_[2].buffer, nullptr);
    EXPECT_EQ(BufferText(taken_[0].buffer, kPartBytes), content_.substr(kPartBytes, kPartBytes));
}

TEST_F(CppVectorTest, ATakeIntoAnotherArrayOrWithoutOneDropsWhatWasThere) {
    Start(1);
    kaio::completion done;
    ASSERT_OK(Take(&done));
    Start(2);
    ASSERT_OK(queue_.wait(1, Soon(), &ready_));

    ASSERT_OK(queue_.take_segments(segments_, kPartCount, &done));

    ExpectNone(taken_);
    EXPECT_EQ(Living(), kPartCount);
    StartReads(1);
    ASSERT_OK(queue_.wait(1, Soon(), &ready_));
    ASSERT_OK(queue_.take(&done));
    ExpectNone(segments_);
    EXPECT_EQ(done.segments, nullptr);
    EXPECT_EQ(Living(), 1u);
}

TEST_F(CppVectorTest, ATakeThatFailsChangesNothing) {
    Start(1);
    kaio::completion done;
    ASSERT_OK(queue_.wait(1, Soon(), &ready_));
    EXPECT_CODE(KAIO_RANGE, queue_.take(&done));
    EXPECT_CODE(KAIO_RANGE, queue_.take_segments(taken_, 2, &done));
    EXPECT_CODE(KAIO_NULL_ARGUMENT, queue_.take_segments(nullptr, 2, &done));
    EXPECT_CODE(KAIO_NULL_ARGUMENT, queue_.take_segments(taken_, 2, nullptr));
    ASSERT_OK(Take(&done));

    EXPECT_CODE(KAIO_EMPTY, queue_.take_segments(taken_, kPartCount, &done));

    EXPECT_EQ(done.user, 1u);
    EXPECT_EQ(done.segment_count, kPartCount);
    EXPECT_EQ(Living(), kPartCount);
}

TEST_F(CppVectorTest, AnIdleRequestIsChangedPushedAndAbandoned) {
    Fill();
    kaio::readv readv;
    kaio::writev writev;
    ASSERT_OK(kaio::readv::make(queue_, file_, 0, kaio_rw_none(), segments_, kPartCount, &readv));
    ExpectNone(segments_);
    ASSERT_OK(readv.set_priority(kaio_priority_best_effort(3)));
    ASSERT_OK(readv.retarget(file_, 1024, kaio_rw_none()));
    ASSERT_OK(readv.into_writev(&writev));
    EXPECT_FALSE(readv);
    ASSERT_OK(writev.set_priority(kaio_priority_best_effort(4)));
    ASSERT_OK(writev.retarget(file_, 2048, kaio_rw_none()));
    uint32_t count = 0;
    EXPECT_CODE(KAIO_RANGE, writev.abandon(segments_, 1, &count));
    EXPECT_TRUE(writev);
    ASSERT_OK(writev.into_readv(&readv));
    EXPECT_FALSE(writev);

    ASSERT_OK(readv.abandon(segments_, kPartCount, &count));

    EXPECT_FALSE(readv);
    EXPECT_EQ(count, kPartCount);
    ASSERT_OK(kaio::writev::make(queue_, file_, 0, kaio_rw_none(), segments_, count, &writev));
    EXPECT_NE(std::move(writev).push(5).bits, 0u);
    kaio::completion done;
    ASSERT_OK(Take(&done));
    EXPECT_EQ(done.operation, KAIO_WRITEV);
    EXPECT_EQ(done.user, 5u);
}

TEST_F(CppVectorTest, AnOwnerDropsItsSegments) {
    Fill();
    {
        kaio::writev writev;
        ASSERT_OK(
            kaio::writev::make(queue_, file_, 0, kaio_rw_none(), segments_, kPartCount, &writev));
        EXPECT_EQ(Living(), kPartCount);
    }

    EXPECT_EQ(Living(), 0u);
    EXPECT_EQ(Counts().free_count, kDepth);
}

TEST_F(CppVectorTest, TheRestOfAShortReadIsStarted) {
    Start(9, kPartCount, 8192 - 700);
    kaio::completion done;
    ASSERT_OK(Take(&done));
    ASSERT_EQ(done.transfer, KAIO_TRANSFER_SHORT);
    kaio_ticket ticket = {};
    EXPECT_CODE(KAIO_EMPTY,
                kaio::writev::rest_start(queue_, file_, kaio_rw_none(), &done, &ticket));

    ASSERT_OK(kaio::readv::rest_start(queue_, file_, kaio_rw_none(), &done, &ticket));

    EXPECT_NE(done.segments[0].buffer, nullptr);
    EXPECT_EQ(done.segments[1].buffer, nullptr);
    kaio::completion rest;
    ASSERT_OK(queue_.wait(1, Soon(), &ready_));
    ASSERT_OK(queue_.take_segments(segments_, kPartCount, &rest));
    EXPECT_EQ(rest.user, 9u);
    EXPECT_EQ(rest.segment_count, 2u);
    EXPECT_EQ(Living(), kPartCount);
}

// Takes the first buffer of each.
struct TakeFirst {
    uint64_t user_sum = 0;
    kaio::buffer kept;
    void Keep(uint64_t user, kaio::completion &done) {
        user_sum += user;
        EXPECT_EQ(done.user, user);
        EXPECT_EQ(done.segment_count, kPartCount);
        kept.reset(done.segments[0].buffer);
        done.segments[0].buffer = nullptr;
    }
    void on_readv(uint64_t user, kaio::completion &done) {
        EXPECT_EQ(done.operation, KAIO_READV);
        Keep(user, done);
    }
    void on_writev(uint64_t user, kaio::completion &done) {
        EXPECT_EQ(done.operation, KAIO_WRITEV);
        Keep(user, done);
    }
};

TEST_F(CppVectorTest, AHandlerTakesHandlesAndTheRestIsDropped) {
    Start(1);
    Fill();
    kaio_ticket ticket = {};
    ASSERT_OK(kaio::writev::start(queue_, file_, 4096, kaio_rw_none(), 20, segments_, kPartCount,
                                  &ticket));
    TakeFirst handlers;
    kaio_run_report report = {};

    ASSERT_OK(queue_.run(handlers, Soon(), &report));

    EXPECT_EQ(report.completed_count, 2u);
    EXPECT_EQ(report.dropped_count, 0u);
    EXPECT_EQ(handlers.user_sum, 21u);
    EXPECT_EQ(Living(), 1u);
}

TEST_F(CppVectorTest, ALostOneGivesHandlesAway) {
    Start(1);
    kaio::buffer kept;
    kaio_destroy_report report = {};

    ASSERT_OK(queue_.destroy(
        [&](kaio::completion &done) {
            ASSERT_EQ(done.segment_count, kPartCount);
            kept.reset(done.segments[2].buffer);
            done.segments[2].buffer = nullptr;
        },
        &report));

    EXPECT_EQ(report.given_back_count, 1u);
    EXPECT_EQ(report.dropped_count, 2u);
    EXPECT_EQ(Living(), 1u);
}

using CppVectorDeathTest = CppVectorTest;

TEST_F(CppVectorDeathTest, SegmentsThatWouldOutliveTheirHandlerTerminate) {
    kaio_completion lent = {};
    lent.segments = taken_;
    lent.segment_count = kPartCount;
    kaio::completion kept;

    kaio::lend(&lent, [&](kaio::completion &done) {
        kept = std::move(done);
        done = std::move(kept);
    });
    EXPECT_DEATH(kaio::lend(&lent, [&](kaio::completion &done) { kept = std::move(done); }),
                 "terminate");
}

}  // namespace
}  // namespace kaio_test
