#include "kaio/safe/queue.h"

#include <algorithm>
#include <numeric>
#include <thread>

#include "tests/support/safe_test.h"

namespace kaio_test {
namespace {

class OpenTest : public SafeTest {};

TEST_F(OpenTest, AQueueOpensAndCloses) {
    kaio_queue_options options = {};
    options.depth = 1;
    kaio_queue *queue = nullptr;

    ASSERT_OK(kaio_queue_open(&options, &queue));

    EXPECT_OK(kaio_queue_close(&queue));
    EXPECT_EQ(queue, nullptr);
}

TEST_F(OpenTest, DepthsOutsideTheLimitsAreRefusedWithTheLimit) {
    kaio_queue *queue = nullptr;
    for (uint32_t depth : {0u, KAIO_QUEUE_DEPTH_MAX + 1}) {
        kaio_queue_options options = {};
        options.depth = depth;
        const kaio_status status = kaio_queue_open(&options, &queue);
        EXPECT_CODE(KAIO_RANGE, status);
        EXPECT_EQ(status.subject, KAIO_SUBJECT_DEPTH);
        EXPECT_EQ(status.detail, depth | uint64_t{KAIO_QUEUE_DEPTH_MAX} << 32);
    }
    EXPECT_EQ(queue, nullptr);
}

TEST_F(OpenTest, ARequestTakesAtMost160Bytes) {
    for (uint32_t depth : {128u, 129u, 1000u, 4096u}) {
        kaio_queue_options options = {};
        options.depth = depth;
        KAIO_SCOPED(kaio_queue) queue = nullptr;
        ASSERT_OK(kaio_queue_open(&options, &queue));
        EXPECT_LE(kaio_testing_queue_bytes(queue), 160u * depth) << depth;
    }
}

TEST_F(OpenTest, QueuesOfManyDepthsComeAndGo) {
    std::vector<kaio_queue *> queues;
    for (int round = 0; round < 3; ++round) {
        for (uint32_t depth : {1u, 5u, 127u, 2049u, 16u}) {
            kaio_queue_options options = {};
            options.depth = depth;
            kaio_queue *queue = nullptr;
            ASSERT_OK(kaio_queue_open(&options, &queue));
            EXPECT_EQ(kaio_testing_fault(queue), nullptr);
            queues.push_back(queue);
        }
        kaio_queue_drop(&queues[static_cast<size_t>(round)]);
    }
    for (kaio_queue *&queue : queues) {
        kaio_queue_drop(&queue);
    }
}

class BatchTest : public QueueTest {
  protected:
    void SetUp() override {
        QueueTest::SetUp();
        file_ = OpenFile(temp_.path());
    }

    void TearDown() override {
        QueueTest::TearDown();
        kaio_file_drop(&file_);
    }

    // FillWithReads pushes one read of 512 bytes for each place, with its number as the user's
    // word.
    void FillWithReads() {
        for (uint32_t i = 0; i < kDepth; ++i) {
            kaio_buffer *buffer = NewBuffer(512);
            StartRead(file_, i * 512, &buffer, i);
        }
    }

    const std::string content_ = Pattern(8192);
    TempFile temp_{content_};
    kaio_file *file_ = nullptr;
};

TEST_F(BatchTest, ANewQueueIsAllFree) {
    const kaio_queue_counts counts = Counts();
    EXPECT_EQ(counts.depth, kDepth);
    EXPECT_EQ(counts.free_count, kDepth);
    ExpectEmpty();
}

TEST_F(BatchTest, EveryRequestOfABatchIsTakenOnceWithItsWordAndItsBytes) {
    FillWithReads();
    EXPECT_EQ(Counts().staged_count, kDepth);
    EXPECT_EQ(Flush().accepted_count, kDepth);
    EXPECT_EQ(Wait(kDepth), kDepth);
    std::vector<uint64_t> users;
    for (uint32_t i = 0; i < kDepth; ++i) {
        kaio_completion completion = Take();
        EXPECT_EQ(completion.operation, KAIO_READ);
        EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL);
        EXPECT_EQ(completion.range.file_offset_bytes, completion.user * 512);
        EXPECT_EQ(BufferText(completion.buffer, 512),
                  content_.substr(static_cast<size_t>(completion.user) * 512, 512));
        users.push_back(completion.user);
        kaio_completion_drop(&completion);
    }
    ExpectEmpty();
    std::sort(users.begin(), users.end());
    std::vector<uint64_t> expected(kDepth);
    std::iota(expected.begin(), expected.end(), 0u);
    EXPECT_EQ(users, expected);
    EXPECT_EQ(Counts().free_count, kDepth);
}

TEST_F(BatchTest, ARequestBeyondTheDepthIsRefusedAndItsBufferStays) {
    FillWithReads();
    kaio_buffer *buffer = NewBuffer(512);
    kaio_buffer *const before = buffer;
    kaio_ticket ticket = {};

    const kaio_status status =
        K(kaio_read_start(queue_, file_, Range(0, 512), kaio_rw_none(), 0, &buffer, &ticket));

    EXPECT_CODE(KAIO_FULL, status);
    EXPECT_EQ(status.detail, kDepth);
    EXPECT_EQ(buffer, before);
    EXPECT_NE(kaio_buffer_as_bytes(buffer), nullptr);
    kaio_buffer_drop(&buffer);
}

TEST_F(BatchTest, WaitFlushesFirst) {
    FillWithReads();
    EXPECT_EQ(Wait(kDepth), kDepth);
    EXPECT_EQ(Counts().finished_count, kDepth);
}

TEST_F(BatchTest, WaitForMoreThanIsOwedYieldsWhatIsOwed) {
    kaio_buffer *buffer = NewBuffer(512);
    StartRead(file_, 0, &buffer);
    EXPECT_EQ(Wait(1000), 1u);
}

TEST_F(BatchTest, WaitForNothingLooksAndNeverWaits) {
    uint32_t ready = 99;
    EXPECT_OK(K(kaio_queue_wait(queue_, 0, kaio_deadline_never(), &ready)));
    EXPECT_EQ(ready, 0u);
}

TEST_F(BatchTest, WaitOnAnEmptyQueueSaysThatNothingIsOwed) {
    uint32_t ready = 99;
    EXPECT_CODE(KAIO_NOTHING_TO_WAIT_FOR,
                K(kaio_queue_wait(queue_, 1, kaio_deadline_never(), &ready)));
    EXPECT_EQ(ready, 99u);
}

TEST_F(BatchTest, AnIdleRequestIsNotOwed) {
    kaio_buffer *buffer = NewBuffer(512);
    kaio_read *read = NewRead(file_, &buffer);
    uint32_t ready = 0;
    EXPECT_CODE(KAIO_NOTHING_TO_WAIT_FOR,
                K(kaio_queue_wait(queue_, 1, kaio_deadline_never(), &ready)));
    kaio_read_drop(&read);
}

TEST_F(BatchTest, FlushOfNothingAcceptsNothing) {
    const kaio_flush_report report = Flush();
    EXPECT_EQ(report.accepted_count, 0u);
    EXPECT_EQ(report.refused_count, 0u);
    EXPECT_EQ(report.staged_count, 0u);
}

TEST_F(BatchTest, ABadDescriptorBetweenGoodOnesIsRefusedAloneAndNothingIsLost) {
    const int fd = open(temp_.path(), O_RDONLY | O_CLOEXEC);
    kaio_file *doomed = nullptr;
    ASSERT_OK(kaio_file_borrow(fd, &doomed));
    kaio_file *const order[] = {file_, doomed, file_, doomed, doomed, file_};
    for (uint64_t i = 0; i < std::size(order); ++i) {
        kaio_buffer *buffer = NewBuffer(512);
        StartRead(order[i], i * 512, &buffer, i);
    }
    close(fd);

    const kaio_flush_report report = Flush();

    EXPECT_EQ(report.accepted_count, 3u);
    EXPECT_EQ(report.refused_count, 3u);
    EXPECT_EQ(report.staged_count, 0u);
    EXPECT_EQ(Wait(6), 6u);
    std::vector<uint64_t> good;
    for (int i = 0; i < 6; ++i) {
        kaio_completion completion = Take();
        const bool is_bad = order[completion.user] == doomed;
        EXPECT_EQ(completion.transfer, is_bad ? KAIO_TRANSFER_REFUSED : KAIO_TRANSFER_FULL);
        EXPECT_EQ(completion.os_error, is_bad ? EBADF : 0);
        EXPECT_EQ(completion.refusal.code, is_bad ? KAIO_OS_ERROR : KAIO_OK);
        EXPECT_NE(completion.buffer, nullptr);
        if (!is_bad) {
            good.push_back(completion.user);
        }
        kaio_completion_drop(&completion);
    }
    EXPECT_EQ(good, (std::vector<uint64_t>{0, 2, 5}));
    kaio_file_drop(&doomed);
}

TEST_F(BatchTest, ABatchThatIsAllBadIsAllRefused) {
    const int fd = open(temp_.path(), O_RDONLY | O_CLOEXEC);
    kaio_file *doomed = nullptr;
    ASSERT_OK(kaio_file_borrow(fd, &doomed));
    for (uint32_t i = 0; i < kDepth; ++i) {
        kaio_buffer *buffer = NewBuffer(512);
        StartRead(doomed, 0, &buffer);
    }
    close(fd);
    EXPECT_EQ(Flush().refused_count, kDepth);
    for (uint32_t i = 0; i < kDepth; ++i) {
        kaio_completion completion = Take();
        EXPECT_EQ(completion.transfer, KAIO_TRANSFER_REFUSED);
        kaio_completion_drop(&completion);
    }
    EXPECT_EQ(Counts().free_count, kDepth);
    kaio_file_drop(&doomed);
}

TEST_F(BatchTest, CloseIsBusyInEveryStateAndCountsThem) {
    kaio_buffer *buffer = NewBuffer(512);
    kaio_read *read = NewRead(file_, &buffer);
    kaio_status status = K(kaio_queue_close(&queue_));
    EXPECT_EQ(Text(status), "busy (queue): 1 idle, 0 staged, 0 in flight, 0 finished");
    kaio_read_push(&read, 0);
    status = K(kaio_queue_close(&queue_));
    EXPECT_EQ(Text(status), "busy (queue): 0 idle, 1 staged, 0 in flight, 0 finished");
    Wait(1);
    status = K(kaio_queue_close(&queue_));
    EXPECT_EQ(Text(status), "busy (queue): 0 idle, 0 staged, 0 in flight, 1 finished");
    kaio_completion completion = Take();
    kaio_completion_drop(&completion);
    EXPECT_OK(kaio_queue_close(&queue_));
    EXPECT_EQ(queue_, nullptr);
}

struct Lost {
    std::vector<kaio_completion> completions;
    bool takes_buffers;
};

void OnLost(void *context, kaio_completion *completion) {
    Lost *lost = static_cast<Lost *>(context);
    lost->completions.push_back(*completion);
    if (lost->takes_buffers) {
        kaio_buffer_drop(&completion->buffer);
    }
}

TEST_F(BatchTest, DestroyHandsOverEveryRequestOnceWithItsTrueOutcome) {
    kaio_buffer *buffer = NewBuffer(512);
    kaio_read *idle = NewRead(file_, &buffer);
    (void)idle;
    kaio_buffer *finished = NewBuffer(512);
    StartRead(file_, 0, &finished, 1);
    Wait(1);
    kaio_buffer *in_flight = NewBuffer(512);
    StartRead(file_, 512, &in_flight, 2);
    Flush();
    kaio_buffer *staged = NewBuffer(512);
    StartRead(file_, 1024, &staged, 3);
    Lost lost = {{}, false};
    kaio_destroy_report report = {};

    ASSERT_OK(kaio_queue_destroy(&queue_, OnLost, &lost, &report));

    EXPECT_EQ(queue_, nullptr);
    EXPECT_EQ(report.dropped_count, 4u);
    EXPECT_EQ(report.given_back_count, 0u);
    EXPECT_EQ(report.leaked_count, 0u);
    ASSERT_EQ(lost.completions.size(), 4u);
    for (const kaio_completion &completion : lost.completions) {
        const bool was_sent = completion.user == 1 || completion.user == 2;
        EXPECT_EQ(completion.transfer, was_sent ? KAIO_TRANSFER_FULL : KAIO_TRANSFER_CANCELLED)
            << Text(completion);
    }
}

TEST_F(BatchTest, AHandlerOfLostRequestsMayKeepTheBuffers) {
    FillWithReads();
    Lost lost = {{}, true};
    kaio_destroy_report report = {};
    ASSERT_OK(kaio_queue_destroy(&queue_, OnLost, &lost, &report));
    EXPECT_EQ(report.given_back_count, kDepth);
    EXPECT_EQ(report.dropped_count, 0u);
}

TEST_F(BatchTest, DropReleasesEverything) {
    FillWithReads();
    kaio_queue_drop(&queue_);
    EXPECT_EQ(queue_, nullptr);
    EXPECT_EQ(kaio_testing_count().buffer_count, 0u);
}

TEST_F(BatchTest, OwnersMayBeDroppedInAnyOrder) {
    FillWithReads();
    kaio_file_drop(&file_);
    EXPECT_EQ(Wait(kDepth), kDepth);
    kaio_queue_drop(&queue_);
    EXPECT_EQ(kaio_testing_count().file_count, 0u);
}

TEST_F(BatchTest, ManyMoreRequestsThanPlacesGoThrough) {
    uint64_t taken = 0;
    uint64_t sum = 0;
    constexpr uint64_t kCount = 20000;
    for (uint64_t next = 0; taken < kCount;) {
        while (next < kCount && Counts().free_count > 0) {
            kaio_buffer *buffer = NewBuffer(512);
            StartRead(file_, (next % 16) * 512, &buffer, next);
            ++next;
        }
        for (uint32_t ready = Wait(1); ready > 0; --ready) {
            kaio_completion completion = Take();
            ASSERT_EQ(completion.transfer, KAIO_TRANSFER_FULL) << Text(completion);
            sum += completion.user;
            ++taken;
            kaio_completion_drop(&completion);
        }
    }
    EXPECT_EQ(sum, kCount * (kCount - 1) / 2);
    EXPECT_EQ(Counters().duplicate_count, 0u);
}

TEST_F(BatchTest, TheTicketOfThePushComesBack) {
    kaio_buffer *buffer = NewBuffer(512);
    const kaio_ticket ticket = StartRead(file_, 0, &buffer);
    EXPECT_NE(ticket.bits, 0u);
    kaio_completion completion = WaitAndTake();
    EXPECT_EQ(completion.ticket.bits, ticket.bits);
    kaio_completion_drop(&completion);
}

TEST_F(BatchTest, TicketsOfOnePlaceDiffer) {
    uint64_t before = 0;
    for (int i = 0; i < 100; ++i) {
        kaio_buffer *buffer = NewBuffer(512);
        const kaio_ticket ticket = StartRead(file_, 0, &buffer);
        EXPECT_NE(ticket.bits, before);
        before = ticket.bits;
        kaio_completion completion = WaitAndTake();
        kaio_completion_drop(&completion);
    }
}

TEST_F(BatchTest, ErrnoIsLeftAlone) {
    errno = kErrno;
    FillWithReads();
    Wait(kDepth);
    kaio_completion completion = Take();
    kaio_completion_drop(&completion);
    kaio_queue_drop(&queue_);
    EXPECT_EQ(errno, kErrno);
}

TEST_F(BatchTest, APushElsewhereOfARequestThatIsGoneHitsNobody) {
    kaio_buffer *buffer = NewBuffer(512);
    kaio_read *read = NewRead(file_, &buffer);
    std::thread([alias = read]() mutable { kaio_read_push(&alias, 1); }).join();
    // The owner was faster than the news: the same place lives on as another request.
    ASSERT_OK(K(kaio_read_abandon(&read, &buffer)));
    read = NewRead(file_, &buffer);

    ExpectEmpty();

    EXPECT_EQ(Counts().idle_count, 1u);
    EXPECT_NE(K(kaio_read_push(&read, 2)).bits, 0u);
    kaio_completion completion = WaitAndTake();
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL);
    EXPECT_EQ(completion.user, 2u);
    kaio_completion_drop(&completion);
}

class NeverRingTest : public BatchTest {
  protected:
    kaio_queue_options Options() const override {
        kaio_queue_options options = BatchTest::Options();
        options.never_ring = true;
        return options;
    }
};

TEST_F(NeverRingTest, ReapingByTheSystemCallGivesTheSame) {
    for (int round = 0; round < 20; ++round) {
        FillWithReads();
        EXPECT_EQ(Wait(kDepth), kDepth);
        for (uint32_t i = 0; i < kDepth; ++i) {
            kaio_completion completion = Take();
            EXPECT_EQ(BufferText(completion.buffer, 512),
                      content_.substr(static_cast<size_t>(completion.user) * 512, 512));
            kaio_completion_drop(&completion);
        }
        ExpectEmpty();
    }
}

TEST_F(NeverRingTest, TakeAloneFindsWhatHasArrived) {
    FillWithReads();
    Flush();
    kaio_completion completion = Take();
    kaio_completion_drop(&completion);
}

class DeadlineTest : public SafeTest {};

int64_t NowNs() {
    timespec now = {};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return int64_t{now.tv_sec} * 1000000000 + now.tv_nsec;
}

TEST_F(DeadlineTest, AfterIsCountedFromNow) {
    const int64_t before = NowNs();
    const int64_t at_ns = kaio_deadline_after_ns(1000000).at_ns;
    EXPECT_GE(at_ns, before + 1000000);
    EXPECT_LE(at_ns, NowNs() + 1000000);
}

TEST_F(DeadlineTest, ExtremeWaitsSaturate) {
    EXPECT_EQ(kaio_deadline_after_ns(-5).at_ns, kaio_deadline_now().at_ns);
    EXPECT_EQ(kaio_deadline_after_ns(INT64_MAX).at_ns, kaio_deadline_never().at_ns);
}

TEST_F(DeadlineTest, CompletionsHaveALineForPeople) {
    kaio_completion completion = {};
    completion.operation = KAIO_WRITE;
    completion.transfer = KAIO_TRANSFER_FAILED;
    completion.os_error = ENOSPC;
    completion.range = Range(73400320, 1048576);
    EXPECT_EQ(Text(completion),
              "write failed: 0 of 1048576 bytes at offset 73400320: system error: No space left on "
              "device (errno 28)");
}

}  // namespace
}  // namespace kaio_test
