// Which requests get RWF_NOWAIT, which go to a helper, and when the flag is left out: on the
// simulated kernel, where the helper's work is done by the thread that gives it.

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#include <string>
#include <vector>

#include "kaio/raw/aio_abi.h"
#include "kaio/safe/kaio.h"
#include "tests/support/sim_test.h"

namespace kaio_test {
namespace {

constexpr uint32_t kSizeBytes = 4096;
constexpr uint32_t kWindow = 64;
constexpr uint32_t kOff = 4096;

class HelperSimTest : public SimQueueTest {
  protected:
    kaio_queue_options Options() const override {
        kaio_queue_options options = QueueTest::Options();
        options.helper_count = 1;
        options.try_nowait = true;
        options.eventfd = true;
        options.segment_count = 4;
        return options;
    }

    void SetUp() override {
        kaio_sim_watch(Note, this);
        SimQueueTest::SetUp();
    }

    void TearDown() override {
        SimQueueTest::TearDown();
        kaio_sim_watch(nullptr, nullptr);
    }

    static void Note(void *context, const kaio_sim_note *note) {
        if (note->event == KAIO_SIM_TOOK || note->event == KAIO_SIM_REFUSED) {
            auto *const self = static_cast<HelperSimTest *>(context);
            self->asked_.push_back(note->request.rw_flags);
        }
    }

    // The next `count` requests end with `error` in their events.
    static void Fail(uint32_t count, int error) {
        kaio_sim_script script = {};
        script.fail_count = count;
        script.fail_error = error;
        Play(script);
    }

    // Whether the requests that the kernel was asked for, since the last call, had RWF_NOWAIT.
    std::vector<bool> Asked() {
        std::vector<bool> had;
        for (const int32_t rw_flags : asked_) {
            had.push_back((static_cast<uint32_t>(rw_flags) & KAIO_RAW_RWF_NOWAIT) != 0);
        }
        asked_.clear();
        return had;
    }

    kaio_completion Read(kaio_rw_flags flags = kaio_rw_none()) {
        kaio_buffer *buffer = NewBuffer(kSizeBytes);
        kaio_ticket ticket = {};
        EXPECT_OK(
            K(kaio_read_start(queue_, file_, Range(0, kSizeBytes), flags, 0, &buffer, &ticket)));
        return WaitAndTake();
    }

    kaio_completion Write(uint64_t offset_bytes = 0) {
        kaio_buffer *buffer = NewBuffer(Pattern(kSizeBytes, 3));
        StartWrite(file_, offset_bytes, &buffer);
        return WaitAndTake();
    }

    void ExpectRead(kaio_completion completion) {
        EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL) << Text(completion);
        ASSERT_NE(completion.buffer, nullptr);
        EXPECT_EQ(BufferText(completion.buffer, kSizeBytes), content_);
        kaio_completion_drop(&completion);
    }

    static void Expect(kaio_transfer_outcome outcome, int os_error, kaio_completion completion) {
        EXPECT_EQ(completion.transfer, outcome) << Text(completion);
        EXPECT_EQ(completion.os_error, os_error);
        kaio_completion_drop(&completion);
    }

    using Flags = std::vector<bool>;

    std::vector<int32_t> asked_;
};

TEST_F(HelperSimTest, WhatDoesNotBlockNeedsNoHelper) {
    ExpectRead(Read());
    EXPECT_EQ(Asked(), (Flags{true}));
    EXPECT_EQ(Counters().nowait_count, 1u);
    EXPECT_EQ(Counters().nowait_block_count, 0u);
    EXPECT_EQ(Counters().helped_count, 0u);
}

TEST_F(HelperSimTest, WhatWouldBlockIsDoneByAHelperAndComesBackAsItself) {
    Fail(1, EAGAIN);
    ExpectRead(Read());
    EXPECT_EQ(Asked(), (Flags{true, false}));
    EXPECT_EQ(Counters().nowait_block_count, 1u);
    EXPECT_EQ(Counters().helped_count, 1u);
    EXPECT_EQ(Counters().read.full_count, 1u);
    EXPECT_EQ(Counters().read.would_block_count, 0u);
}

// In the page cache is a part: the flag makes it a short read, which without it would be whole.
TEST_F(HelperSimTest, WhatIsShortBecauseOfTheFlagIsDoneAnew) {
    kaio_sim_script script = {};
    script.shorten_count = 1;
    Play(script);
    ExpectRead(Read());
    EXPECT_EQ(Asked(), (Flags{true, false}));
    EXPECT_EQ(Counters().nowait_block_count, 1u);
}

TEST_F(HelperSimTest, AnEventThatComesTwiceIsNotThatOfTheHelpers) {
    kaio_sim_script script = {};
    script.fail_count = 1;
    script.fail_error = EAGAIN;
    script.duplicate_count = 1;
    script.hold = true;
    Play(script);
    kaio_buffer *buffer = NewBuffer(kSizeBytes);
    const kaio_ticket ticket = StartRead(file_, 0, &buffer);
    Flush();
    EXPECT_EQ(kaio_sim_complete(1), 1u);
    EXPECT_EQ(Wait(0), 0u);
    EXPECT_EQ(Counts().in_flight_count, 1u);
    EXPECT_EQ(Counters().duplicate_count, 1u);
    const kaio_completion completion = WaitAndTake();
    EXPECT_EQ(completion.ticket.bits, ticket.bits);
    ExpectRead(completion);
}

// What it moved would be in the file twice.
TEST_F(HelperSimTest, AnAppendIsNotDoneAnew) {
    kaio_sim_script script = {};
    script.shorten_count = 1;
    Play(script);
    kaio_buffer *buffer = NewBuffer(content_);
    kaio_ticket ticket = {};
    EXPECT_OK(K(kaio_write_start(queue_, file_, Range(0, kSizeBytes), kaio_rw_append(), 0, &buffer,
                                 &ticket)));
    Expect(KAIO_TRANSFER_SHORT, 0, WaitAndTake());
    EXPECT_EQ(Asked(), (Flags{false}));
    EXPECT_EQ(temp_.Content(), content_ + content_.substr(0, kSizeBytes / 2));
}

TEST_F(HelperSimTest, TheEndOfTheFileIsTheEnd) {
    kaio_buffer *buffer = NewBuffer(kSizeBytes);
    StartRead(file_, kSizeBytes, &buffer);
    Expect(KAIO_TRANSFER_END, 0, WaitAndTake());
    EXPECT_EQ(Asked(), (Flags{true}));
}

TEST_F(HelperSimTest, AnErrorIsAnError) {
    Fail(1, EIO);
    Expect(KAIO_TRANSFER_FAILED, EIO, Read());
    EXPECT_EQ(Asked(), (Flags{true}));
    Fail(2, EAGAIN);
    Expect(KAIO_TRANSFER_WOULD_BLOCK, EAGAIN, Read());
    EXPECT_EQ(Asked(), (Flags{true, false}));
}

TEST_F(HelperSimTest, WhoAsksForTheFlagGetsItsAnswer) {
    Fail(1, EAGAIN);
    Expect(KAIO_TRANSFER_WOULD_BLOCK, EAGAIN, Read(kaio_rw_nowait()));
    EXPECT_EQ(Asked(), (Flags{true}));
    EXPECT_EQ(Counters().nowait_count, 0u);
}

TEST_F(HelperSimTest, ARefusedFlagIsLeftOutAtOnce) {
    kaio_sim_script script = {};
    script.submit_error_count = 1;
    script.submit_error = EOPNOTSUPP;
    Play(script);
    Expect(KAIO_TRANSFER_FULL, 0, Write());
    EXPECT_EQ(Asked(), (Flags{false}));  // a call that fails looks at no request
    EXPECT_EQ(kaio_sim_call_counts().submit_count, 2u);
    EXPECT_EQ(Counters().nowait_count, 1u);
    EXPECT_EQ(Counters().nowait_block_count, 1u);
    EXPECT_EQ(Counters().nowait_off_count, 1u);
    Expect(KAIO_TRANSFER_FULL, 0, Write());
    EXPECT_EQ(Asked(), (Flags{false}));
    Expect(KAIO_TRANSFER_FULL, 0, Read());
    EXPECT_EQ(Asked(), (Flags{true}));
}

TEST_F(HelperSimTest, AFlagThatIsMostlyInVainIsLeftOutForAWhile) {
    for (uint32_t i = 0; i < kWindow; ++i) {
        Fail(i % 4 == 3 ? 0 : 1, EAGAIN);  // three of four
        ExpectRead(Read());
    }
    EXPECT_EQ(Counters().nowait_off_count, 1u);
    Asked();
    Play({});
    for (uint32_t i = 0; i < kOff; ++i) {
        ExpectRead(Read());
    }
    EXPECT_EQ(Asked(), Flags(kOff, false));
    EXPECT_EQ(Counters().nowait_count, kWindow);
    ExpectRead(Read());
    EXPECT_EQ(Asked(), (Flags{true}));
}

TEST_F(HelperSimTest, AFlagThatHelpsNowAndThenStays) {
    for (uint32_t i = 0; i < 2 * kWindow; ++i) {
        Fail(i % 4 < 2 || i == 2 ? 1 : 0, EAGAIN);  // one more than half
        ExpectRead(Read());
    }
    EXPECT_EQ(Counters().nowait_off_count, 0u);
    EXPECT_EQ(Counters().nowait_count, 2 * kWindow);
}

TEST_F(HelperSimTest, EachDirectionIsJudgedForItself) {
    for (uint32_t i = 0; i < kWindow; ++i) {
        Fail(1, EAGAIN);
        Expect(KAIO_TRANSFER_FULL, 0, Write());
    }
    EXPECT_EQ(Counters().nowait_off_count, 1u);
    Play({});
    Asked();
    Expect(KAIO_TRANSFER_FULL, 0, Write());
    Expect(KAIO_TRANSFER_FULL, 0, Read());
    EXPECT_EQ(Asked(), (Flags{false, true}));
}

TEST_F(HelperSimTest, AVectoredOneToo) {
    Fail(1, EAGAIN);
    kaio_segment segments[2] = {};
    for (kaio_segment &segment : segments) {
        segment.buffer = NewBuffer(kSizeBytes / 2);
        segment.size_bytes = kSizeBytes / 2;
    }
    kaio_ticket ticket = {};
    EXPECT_OK(K(kaio_readv_start(queue_, file_, 0, kaio_rw_none(), 0, segments, 2, &ticket)));
    EXPECT_EQ(Wait(1), 1u);
    kaio_completion completion = {};
    EXPECT_OK(K(kaio_queue_take_segments(queue_, segments, 2, &completion)));
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL);
    EXPECT_EQ(BufferText(segments[1].buffer, kSizeBytes / 2), content_.substr(kSizeBytes / 2));
    EXPECT_EQ(Asked(), (Flags{true, false}));
    kaio_completion_drop(&completion);
}

// The kernel has no event for what it refuses: the helper makes one.
TEST_F(HelperSimTest, WhatAHelperIsRefusedEndsRefused) {
    int fd = -1;
    EXPECT_OK(kaio_queue_as_fd(queue_, &fd));
    kaio_sim_script script = {};
    script.fail_count = 1;
    script.fail_error = EAGAIN;
    script.submit_error_after = 1;
    script.submit_error_count = 1;
    script.submit_error = EBADF;
    Play(script);
    kaio_buffer *buffer = NewBuffer(kSizeBytes);
    StartRead(file_, 0, &buffer);
    Flush();
    pollfd poll_fd = {fd, POLLIN, 0};
    EXPECT_EQ(poll(&poll_fd, 1, 0), 1);
    kaio_completion completion = WaitAndTake();
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_REFUSED) << Text(completion);
    EXPECT_CODE(KAIO_OS_ERROR, completion.refusal);
    EXPECT_EQ(completion.os_error, EBADF);
    kaio_completion_drop(&completion);
    ExpectRead(Read());  // nothing is left of it
}

TEST_F(HelperSimTest, AHelperTriesUntilTheKernelHasMemory) {
    kaio_sim_script script = {};
    script.fail_count = 1;
    script.fail_error = EAGAIN;
    script.submit_error_after = 1;
    script.submit_error_count = 2;
    script.submit_error = EAGAIN;
    Play(script);
    ExpectRead(Read());
}

TEST_F(HelperSimTest, SyncsAndPipesGoAsEver) {
    kaio_ticket ticket = {};
    EXPECT_OK(K(kaio_sync_start(queue_, file_, KAIO_SYNC_DATA, 0, &ticket)));
    EXPECT_EQ(WaitAndTake().sync, KAIO_SYNC_SYNCED);
    EXPECT_EQ(Asked(), (Flags{false}));
    EXPECT_EQ(Counters().nowait_count, 0u);
}

TEST_F(HelperSimTest, ASyncWaitsForAWriteThatIsWithAHelper) {
    kaio_sim_script script = {};
    script.hold = true;
    script.fail_count = 1;
    script.fail_error = EAGAIN;
    Play(script);
    kaio_buffer *buffer = NewBuffer(content_);
    StartWrite(file_, 0, &buffer);
    kaio_ticket ticket = {};
    EXPECT_OK(K(kaio_sync_start(queue_, file_, KAIO_SYNC_DATA, 0, &ticket)));
    Flush();
    EXPECT_EQ(kaio_sim_complete(1), 1u);
    EXPECT_EQ(Wait(0), 0u);
    EXPECT_EQ(Counts().in_flight_count, 1u);
    EXPECT_EQ(Counts().staged_count, 1u);
    EXPECT_EQ(Wait(2), 2u);
    Expect(KAIO_TRANSFER_FULL, 0, Take());
    EXPECT_EQ(Take().sync, KAIO_SYNC_SYNCED);
}

// ---- classes that go to a helper at once ----

class OffloadSimTest : public HelperSimTest {
  protected:
    kaio_queue_options Options() const override {
        kaio_queue_options options = HelperSimTest::Options();
        options.try_nowait = false;
        options.offload_extending = true;
        return options;
    }
};

TEST_F(OffloadSimTest, WritesBehindTheEndGoToAHelper) {
    Expect(KAIO_TRANSFER_FULL, 0, Write());
    EXPECT_EQ(Counters().helped_count, 0u);
    Expect(KAIO_TRANSFER_FULL, 0, Write(1));
    EXPECT_EQ(Counters().helped_count, 1u);
    EXPECT_EQ(Asked(), (Flags{false, false}));
    Expect(KAIO_TRANSFER_FULL, 0, Write(1));  // which is in the file now
    EXPECT_EQ(Counters().helped_count, 1u);
    kaio_buffer *buffer = NewBuffer(content_);
    kaio_ticket ticket = {};
    EXPECT_OK(K(kaio_write_start(queue_, file_, Range(0, kSizeBytes), kaio_rw_append(), 0, &buffer,
                                 &ticket)));
    Expect(KAIO_TRANSFER_FULL, 0, WaitAndTake());
    EXPECT_EQ(Counters().helped_count, 2u);
}

class BufferedSimTest : public HelperSimTest {
  protected:
    kaio_queue_options Options() const override {
        kaio_queue_options options = HelperSimTest::Options();
        options.offload_buffered = true;
        options.continue_limit = 1;
        options.deadlines = true;
        return options;
    }
};

TEST_F(BufferedSimTest, BufferedFilesGoToAHelper) {
    kaio_sim_script script = {};
    script.shorten_count = 1;
    Play(script);
    ExpectRead(Read());  // and so does the rest of it
    EXPECT_EQ(Asked(), (Flags{false, false}));
    EXPECT_EQ(Counters().helped_count, 2u);
    EXPECT_EQ(Counters().continued_count, 1u);
}

// The kernel has no event for it, also none that raises the eventfd.
TEST_F(BufferedSimTest, TheEventfdTellsOfWhatAHelperIsRefused) {
    int fd = -1;
    EXPECT_OK(kaio_queue_as_fd(queue_, &fd));
    kaio_sim_script script = {};
    script.submit_error_count = 1;
    script.submit_error = EBADF;
    Play(script);
    kaio_buffer *buffer = NewBuffer(kSizeBytes);
    StartRead(file_, 0, &buffer);
    Flush();
    pollfd poll_fd = {fd, POLLIN, 0};
    EXPECT_EQ(poll(&poll_fd, 1, 0), 1);
    Expect(KAIO_TRANSFER_REFUSED, EBADF, Take());
    ExpectRead(Read());  // by a helper, in the same place
    EXPECT_EQ(Counters().helped_count, 2u);
}

TEST_F(BufferedSimTest, WhatAHelperHasIsInFlight) {
    kaio_sim_script script = {};
    script.hold = true;
    Play(script);
    kaio_buffer *buffer = NewBuffer(kSizeBytes);
    const kaio_ticket ticket = StartRead(file_, 0, &buffer);
    EXPECT_EQ(Flush().accepted_count, 1u);
    EXPECT_EQ(Counts().in_flight_count, 1u);
    EXPECT_EQ(Counters().accepted_count, 1u);
    kaio_cancel_answer answer = KAIO_CANCEL_STALE;
    EXPECT_OK(K(kaio_queue_cancel(queue_, ticket, &answer)));
    EXPECT_EQ(answer, KAIO_CANCEL_CANNOT);
    ExpectRead(WaitAndTake());
}

// ---- options ----

TEST(HelperOptionsTest, WhatIsForHelpersNeedsSome) {
    kaio_queue_options options = {};
    options.depth = 1;
    for (const int which : {0, 1, 2}) {
        options.try_nowait = which == 0;
        options.offload_buffered = which == 1;
        options.offload_extending = which == 2;
        kaio_queue *queue = nullptr;
        const kaio_status status = kaio_queue_open(&options, &queue);
        EXPECT_CODE(KAIO_RANGE, status);
        EXPECT_EQ(status.subject, KAIO_SUBJECT_OPTIONS);
        EXPECT_EQ(queue, nullptr);
    }
    options.helper_count = KAIO_QUEUE_HELPERS_MAX + 1;
    kaio_queue *queue = nullptr;
    EXPECT_CODE(KAIO_RANGE, kaio_queue_open(&options, &queue));
}

}  // namespace
}  // namespace kaio_test
