// Buffers that are dropped, lent, shared or moved where they must not be.

#include <fcntl.h>

#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "kaio/safe/kaio.h"
#include "kaio/safe/testing.h"
#include "tests/misuse/every_use.h"
#include "tests/support/safe_test.h"

namespace {

using namespace kaio_test;

uint32_t BufferCount() {
    return kaio_testing_count().buffer_count;
}

kaio_queue *OpenQueue() {
    kaio_queue_options options = {};
    options.depth = 2;
    kaio_queue *queue = nullptr;
    EXPECT_OK(kaio_queue_open(&options, &queue));
    return queue;
}

// Moves `*inout_buffer` through a read of a queue of the calling thread.
void ReadHere(kaio_file *file, kaio_buffer **inout_buffer) {
    kaio_queue *queue = OpenQueue();
    kaio_ticket ticket = {};
    uint32_t ready = 0;
    kaio_completion completion = {};
    const uint32_t size_bytes = static_cast<uint32_t>(kaio_buffer_size(*inout_buffer));
    ASSERT_OK(kaio_read_start(queue, file, Range(0, size_bytes), kaio_rw_none(), 1, inout_buffer,
                              &ticket));
    ASSERT_OK(kaio_queue_wait(queue, 1, kaio_deadline_never(), &ready));
    ASSERT_OK(kaio_queue_take(queue, &completion));
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL);
    *inout_buffer = completion.buffer;
    EXPECT_OK(kaio_queue_close(&queue));
}

void OnAnotherThread(const std::function<void()> &body) {
    std::thread(body).join();
}

class BufferMisuseTest : public QueueTest {
  protected:
    void SetUp() override {
        QueueTest::SetUp();
        file_ = OpenFile(disk_.path());
    }

    void TearDown() override {
        kaio_file_drop(&file_);
        EXPECT_OK(kaio_queue_close(&queue_));
        QueueTest::TearDown();
    }

    // The buffer is of no use to anyone but its request.
    void ExpectPinned(kaio_buffer *alias) {
        EXPECT_EQ(kaio_buffer_as_bytes(alias), nullptr);
        EXPECT_EQ(kaio_buffer_size(alias), kSizeBytes);
        EXPECT_CODE(KAIO_BUSY, K(kaio_buffer_detach(alias)));
        for (const Use &use : UsesOfBuffers()) {
            const std::string name = use.name;
            if (name.find("New") != std::string::npos || name.find("Start") != std::string::npos) {
                EXPECT_CODE(KAIO_BUSY, K(use.call({queue_, file_, nullptr}, Bits(alias)))) << name;
            }
        }
    }

    void DropAlias(kaio_buffer *alias) {
        kaio_buffer_drop(&alias);
        EXPECT_EQ(alias, nullptr);
        ExpectBooks();
    }

    static constexpr size_t kSizeBytes = 4096;
    const std::string content_ = Pattern(kSizeBytes);
    TempFile disk_{Pattern(kSizeBytes, 2)};
    kaio_file *file_ = nullptr;
};

// ---- while a request has it ----

TEST_F(BufferMisuseTest, ABufferIsOutOfReachFromNewToTake) {
    kaio_buffer *buffer = NewBuffer(content_);
    kaio_buffer *const alias = buffer;
    const uint8_t *const bytes = kaio_buffer_as_bytes(alias);
    kaio_read *read = NewRead(file_, &buffer);

    ExpectPinned(alias);
    kaio_read_push(&read, 1);
    ExpectPinned(alias);
    EXPECT_EQ(Wait(1), 1u);
    ExpectPinned(alias);

    kaio_completion completion = Take();
    EXPECT_EQ(completion.buffer, alias);
    EXPECT_EQ(kaio_buffer_as_bytes(alias), bytes);
    kaio_completion_drop(&completion);
}

TEST_F(BufferMisuseTest, AWritesBufferDroppedThroughAnAliasIsWrittenAndComesBackWhole) {
    kaio_buffer *buffer = NewBuffer(content_);
    kaio_buffer *const alias = buffer;
    kaio_write *write = nullptr;
    ASSERT_OK(
        K(kaio_write_new(queue_, file_, Range(0, kSizeBytes), kaio_rw_none(), &buffer, &write)));

    DropAlias(alias);
    kaio_write_push(&write, 1);
    DropAlias(alias);
    EXPECT_EQ(Wait(1), 1u);
    DropAlias(alias);

    kaio_completion completion = Take();
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL);
    EXPECT_EQ(completion.buffer, alias);
    EXPECT_EQ(BufferText(alias, kSizeBytes), content_);
    EXPECT_EQ(disk_.Content(), content_);
    kaio_completion_drop(&completion);
}

TEST_F(BufferMisuseTest, AReadsBufferDroppedThroughAnAliasComesBackFilled) {
    kaio_buffer *buffer = NewBuffer(content_);
    kaio_buffer *const alias = buffer;
    StartRead(file_, 0, &buffer);

    DropAlias(alias);
    kaio_completion completion = WaitAndTake();

    EXPECT_EQ(completion.buffer, alias);
    EXPECT_EQ(BufferText(alias, kSizeBytes), disk_.Content());
    kaio_completion_drop(&completion);
}

TEST_F(BufferMisuseTest, AnAbandonedRequestGivesItsBufferBackUntouched) {
    kaio_buffer *buffer = NewBuffer(content_);
    kaio_buffer *const alias = buffer;
    kaio_read *read = NewRead(file_, &buffer);
    DropAlias(alias);

    EXPECT_OK(K(kaio_read_abandon(&read, &buffer)));

    EXPECT_EQ(buffer, alias);
    EXPECT_EQ(BufferText(buffer, kSizeBytes), content_);
    kaio_buffer_drop(&buffer);
}

TEST_F(BufferMisuseTest, ThePinnedBufferOfAnotherThreadIsOutOfReachToo) {
    kaio_buffer *buffer = NewBuffer(content_);
    kaio_buffer *const alias = buffer;
    StartRead(file_, 0, &buffer);

    OnAnotherThread([&] {
        kaio_queue *queue = OpenQueue();
        kaio_buffer *own = alias;
        EXPECT_EQ(kaio_buffer_as_bytes(alias), nullptr);
        EXPECT_CODE(KAIO_BUSY, kaio_buffer_detach(alias));
        EXPECT_CODE(KAIO_BUSY, (StartWith<kaio_read_start>(queue, file_, alias)));
        kaio_buffer_drop(&own);
        kaio_queue_drop(&queue);
    });

    kaio_completion completion = WaitAndTake();
    EXPECT_EQ(completion.buffer, alias);
    EXPECT_EQ(BufferText(alias, kSizeBytes), disk_.Content());
    kaio_completion_drop(&completion);
}

// ---- dropped too often ----

TEST_F(BufferMisuseTest, ASecondDropThroughAnAliasLeavesTheNextBufferAlone) {
    kaio_buffer *first = NewBuffer(kSizeBytes);
    kaio_buffer *const alias = first;
    kaio_buffer_drop(&first);
    kaio_buffer *second = NewBuffer(content_);

    DropAlias(alias);
    DropAlias(alias);

    EXPECT_EQ(BufferText(second, kSizeBytes), content_);
    kaio_buffer_drop(&second);
}

// The next buffer in the place is bound to the same thread: nothing but its life tells it apart.
TEST_F(BufferMisuseTest, AnAliasIsStaleWhenItsPlaceHasABufferOfTheSameThread) {
    kaio_buffer *buffer = NewBuffer(kSizeBytes);
    kaio_buffer *const alias = buffer;
    kaio_buffer_drop(&buffer);
    buffer = NewBuffer(kSizeBytes);
    ASSERT_EQ(PlaceOf(Bits(alias)), PlaceOf(Bits(buffer))) << "the place was not used again";
    StartRead(file_, 0, &buffer);
    kaio_completion completion = WaitAndTake();
    kaio_buffer *const next = completion.buffer;

    for (const Use &use : UsesOfBuffers()) {
        ExpectAnswer(KAIO_STALE, use, K(use.call({queue_, file_, nullptr}, Bits(alias))));
    }

    EXPECT_EQ(BufferText(next, kSizeBytes), disk_.Content());
    OnAnotherThread([next] { EXPECT_CODE(KAIO_WRONG_THREAD, kaio_buffer_detach(next)); });
    EXPECT_EQ(Counts().free_count, kDepth);
    kaio_completion_drop(&completion);
}

TEST_F(BufferMisuseTest, ACompletionDroppedTwiceReleasesOnce) {
    kaio_buffer *buffer = NewBuffer(kSizeBytes);
    StartRead(file_, 0, &buffer);
    kaio_completion completion = WaitAndTake();
    kaio_completion copy = completion;

    kaio_completion_drop(&completion);
    kaio_buffer *next = NewBuffer(content_);
    kaio_completion_drop(&completion);
    kaio_completion_drop(&copy);

    EXPECT_EQ(BufferText(next, kSizeBytes), content_);
    kaio_buffer_drop(&next);
}

// ---- of another thread ----

TEST_F(BufferMisuseTest, AnotherThreadsQueueTakesABufferOnlyAfterDetach) {
    kaio_buffer *buffer = NewBuffer(kSizeBytes);
    StartRead(file_, 0, &buffer);
    buffer = WaitAndTake().buffer;
    OnAnotherThread([&] {
        kaio_queue *queue = OpenQueue();
        const kaio_status status = StartWith<kaio_read_start>(queue, file_, buffer);
        EXPECT_CODE(KAIO_WRONG_THREAD, status);
        EXPECT_EQ(status.subject, KAIO_SUBJECT_BUFFER);
        EXPECT_CODE(KAIO_WRONG_THREAD, kaio_buffer_detach(buffer));
        EXPECT_OK(kaio_queue_close(&queue));
    });
    EXPECT_EQ(BufferText(buffer, kSizeBytes), disk_.Content());

    EXPECT_OK(K(kaio_buffer_detach(buffer)));
    OnAnotherThread([&] {
        ReadHere(file_, &buffer);
        EXPECT_OK(kaio_buffer_detach(buffer));
    });

    StartRead(file_, 0, &buffer);
    buffer = WaitAndTake().buffer;
    kaio_buffer_drop(&buffer);
}

TEST_F(BufferMisuseTest, AFailedRequestDoesNotBindABuffer) {
    kaio_file *write_only = OpenFile(disk_.path(), O_WRONLY);
    kaio_buffer *buffer = NewBuffer(kSizeBytes);
    kaio_read *read = nullptr;
    EXPECT_CODE(KAIO_RANGE, K(kaio_read_new(queue_, file_, Range(0, kSizeBytes + 1), kaio_rw_none(),
                                            &buffer, &read)));
    EXPECT_CODE(KAIO_ACCESS, K(kaio_read_new(queue_, write_only, Range(0, kSizeBytes),
                                             kaio_rw_none(), &buffer, &read)));
    EXPECT_CODE(KAIO_UNSUPPORTED,
                K(kaio_read_new(queue_, file_, Range(0, kSizeBytes),
                                kaio_rw_flags_from_bits(1u << 31), &buffer, &read)));

    OnAnotherThread([&] { ReadHere(file_, &buffer); });

    kaio_buffer_drop(&buffer);
    EXPECT_OK(kaio_file_close(&write_only));
}

TEST_F(BufferMisuseTest, TheBuffersOfAThreadThatEndedAreEverybodys) {
    kaio_buffer *buffer = nullptr;
    OnAnotherThread([&] {
        buffer = NewBuffer(kSizeBytes);
        ReadHere(file_, &buffer);
    });

    StartRead(file_, 0, &buffer);
    kaio_completion completion = WaitAndTake();

    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL);
    kaio_completion_drop(&completion);
}

TEST_F(BufferMisuseTest, ABufferOfAThreadThatEndedIsReleasedAtOnce) {
    const uint32_t before = BufferCount();
    kaio_buffer *buffer = nullptr;
    OnAnotherThread([&] {
        buffer = NewBuffer(kSizeBytes);
        ReadHere(file_, &buffer);
    });
    EXPECT_EQ(BufferCount(), before + 1);

    kaio_buffer_drop(&buffer);

    EXPECT_EQ(BufferCount(), before);
}

// Makes three buffers of the calling thread, and has another thread drop each of them twice.
void MakeThreeThatOthersDrop() {
    TempFile disk(Pattern(16));
    kaio_file *file = OpenFile(disk.path());
    kaio_buffer *buffers[3];
    for (kaio_buffer *&buffer : buffers) {
        buffer = NewBuffer(16, 16);
        ReadHere(file, &buffer);
    }
    OnAnotherThread([&] {
        for (kaio_buffer *buffer : buffers) {
            kaio_buffer *again = buffer;
            kaio_buffer_drop(&buffer);
            kaio_buffer_drop(&again);
        }
    });
    EXPECT_OK(kaio_file_close(&file));
}

// A Moment is one of those at which a thread releases what others dropped for it.
struct Moment {
    const char *name;
    void (*come)(kaio_queue **open, kaio_queue **none);
};

void PrintTo(const Moment &moment, std::ostream *out) {
    *out << moment.name;
}

class DroppedElsewhereTest : public SafeTest, public testing::WithParamInterface<Moment> {};

TEST_P(DroppedElsewhereTest, ABufferStaysUntilItsThreadNext) {
    kaio_queue *open = OpenQueue();
    kaio_queue *none = nullptr;
    const uint32_t before = BufferCount();
    MakeThreeThatOthersDrop();
    EXPECT_EQ(BufferCount(), before + 3) << "released by a thread that they do not belong to";

    GetParam().come(&open, &none);

    EXPECT_EQ(BufferCount(), before);
    kaio_queue_drop(&open);
    kaio_queue_drop(&none);
}

INSTANTIATE_TEST_SUITE_P(
    Every, DroppedElsewhereTest,
    testing::Values(
        Moment{"MakesABuffer",
               [](kaio_queue **, kaio_queue **) {
                   kaio_buffer *buffer = NewBuffer(16, 16);
                   EXPECT_EQ(BufferCount(), 1u);
                   kaio_buffer_drop(&buffer);
               }},
        Moment{"DropsABuffer",
               [](kaio_queue **, kaio_queue **) {
                   kaio_buffer *none = nullptr;
                   kaio_buffer_drop(&none);
               }},
        Moment{"OpensAQueue", [](kaio_queue **, kaio_queue **none) { *none = OpenQueue(); }},
        Moment{"ClosesAQueue",
               [](kaio_queue **open, kaio_queue **) { EXPECT_OK(kaio_queue_close(open)); }},
        Moment{"DestroysAQueue",
               [](kaio_queue **open, kaio_queue **) {
                   kaio_destroy_report report = {};
                   EXPECT_OK(kaio_queue_destroy(open, nullptr, nullptr, &report));
               }},
        Moment{"DropsAQueue", [](kaio_queue **open, kaio_queue **) { kaio_queue_drop(open); }}),
    [](const testing::TestParamInfo<Moment> &moment) { return moment.param.name; });

TEST_F(SafeTest, ABufferDroppedElsewhereStaysUntilItsThreadExits) {
    const uint32_t before = BufferCount();

    OnAnotherThread([&] {
        MakeThreeThatOthersDrop();
        EXPECT_EQ(BufferCount(), before + 3);
    });

    EXPECT_EQ(BufferCount(), before);
}

}  // namespace
