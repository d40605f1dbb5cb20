// Queues that are ended while they owe something, called from inside a call, or used after it.

#include <fcntl.h>

#include <cstdint>
#include <string>
#include <vector>

#include "kaio/safe/kaio.h"
#include "kaio/safe/testing.h"
#include "tests/misuse/every_use.h"
#include "tests/support/safe_test.h"

namespace {

using namespace kaio_test;

// How far a request got before its queue was ended.
enum class Stage { kIdle, kStaged, kInFlight, kFinished };

struct Case {
    const char *name;
    Stage stage;
    const char *message;
};

void PrintTo(const Case &value, std::ostream *out) {
    *out << value.name;
}

constexpr Case kCases[] = {
    {"Idle", Stage::kIdle, "busy (queue): 3 idle, 0 staged, 0 in flight, 0 finished"},
    {"Staged", Stage::kStaged, "busy (queue): 0 idle, 3 staged, 0 in flight, 0 finished"},
    {"InFlight", Stage::kInFlight, "busy (queue): 0 idle, 0 staged, 3 in flight, 0 finished"},
    {"Finished", Stage::kFinished, "busy (queue): 0 idle, 0 staged, 0 in flight, 3 finished"},
};

constexpr size_t kSizeBytes = 256;

class QueueMisuseTest : public QueueTest {
  protected:
    void SetUp() override {
        QueueTest::SetUp();
        file_ = OpenFile(disk_.path());
    }

    void TearDown() override {
        kaio_file_drop(&file_);
        QueueTest::TearDown();
    }

    // One read, one write and one sync, as far as `stage`.
    void Bring(Stage stage) {
        kaio_buffer *buffer = NewBuffer(kSizeBytes);
        kaio_buffer *source = NewBuffer(Pattern(kSizeBytes, 2));
        buffers_ = {buffer, source};
        kaio_range range = Range(0, kSizeBytes);
        EXPECT_OK(K(kaio_read_new(queue_, file_, range, kaio_rw_none(), &buffer, &read_)));
        range.file_offset_bytes = kSizeBytes;
        EXPECT_OK(K(kaio_write_new(queue_, file_, range, kaio_rw_none(), &source, &write_)));
        EXPECT_OK(K(kaio_sync_new(queue_, file_, KAIO_SYNC_DATA_UNORDERED, &sync_)));
        if (stage == Stage::kIdle) {
            return;
        }
        kaio_read_push(&read_, 1);
        kaio_write_push(&write_, 2);
        kaio_sync_push(&sync_, 3);
        if (stage == Stage::kInFlight) {
            EXPECT_EQ(Flush().accepted_count, 3u);
        }
        if (stage == Stage::kFinished) {
            EXPECT_EQ(Wait(3), 3u);
        }
    }

    TempFile disk_{Pattern(kSizeBytes)};
    kaio_file *file_ = nullptr;
    kaio_read *read_ = nullptr;
    kaio_write *write_ = nullptr;
    kaio_sync *sync_ = nullptr;
    std::vector<kaio_buffer *> buffers_;
};

class QueueEndTest : public QueueMisuseTest, public testing::WithParamInterface<Case> {};

TEST_P(QueueEndTest, CloseIsBusyWithTheCountsAndChangesNothing) {
    Bring(GetParam().stage);
    kaio_queue *const alias = queue_;

    EXPECT_EQ(Text(K(kaio_queue_close(&queue_))), GetParam().message);
    EXPECT_EQ(Text(K(kaio_queue_close(&queue_))), GetParam().message);

    EXPECT_EQ(queue_, alias);
    kaio_read_push(&read_, 1);
    kaio_write_push(&write_, 2);
    kaio_sync_push(&sync_, 3);
    EXPECT_EQ(Wait(3), 3u);
    for (int i = 0; i < 3; ++i) {
        kaio_completion completion = Take();
        EXPECT_OK(completion.refusal);
        EXPECT_EQ(completion.os_error, 0);
        kaio_completion_drop(&completion);
    }
    EXPECT_OK(kaio_queue_close(&queue_));
}

// What a destroyed queue gave up.
struct Lost {
    std::vector<kaio_completion> all;
    bool keeps_buffers = false;
};

void OnLost(void *context, kaio_completion *completion) {
    Lost *lost = static_cast<Lost *>(context);
    lost->all.push_back(*completion);
    if (lost->keeps_buffers) {
        completion->buffer = nullptr;
    }
}

bool WasSent(Stage stage) {
    return stage == Stage::kInFlight || stage == Stage::kFinished;
}

// Each of the three requests once, as it ended, with its own word.
void ExpectEach(const Lost &lost, Stage stage, const std::vector<kaio_buffer *> &buffers) {
    ASSERT_EQ(lost.all.size(), 3u);
    uint64_t sum = 0;
    for (const kaio_completion &completion : lost.all) {
        sum += completion.user;
        switch (completion.operation) {
            case KAIO_READ:
            case KAIO_WRITE:
                EXPECT_EQ(completion.transfer,
                          WasSent(stage) ? KAIO_TRANSFER_FULL : KAIO_TRANSFER_CANCELLED);
                EXPECT_EQ(completion.moved_bytes, WasSent(stage) ? kSizeBytes : 0u);
                EXPECT_EQ(completion.buffer, buffers[completion.operation == KAIO_WRITE]);
                break;
            case KAIO_SYNC:
                EXPECT_EQ(completion.sync, WasSent(stage) ? KAIO_SYNC_SYNCED : KAIO_SYNC_CANCELLED);
                EXPECT_EQ(completion.buffer, nullptr);
                break;
            case KAIO_READV:
            case KAIO_WRITEV:
            case KAIO_POLL:
            case KAIO_NO_OPERATION:
                ADD_FAILURE();
        }
    }
    EXPECT_EQ(sum, stage == Stage::kIdle ? 0u : 1u + 2u + 3u) << "an idle request has no word yet";
}

TEST_P(QueueEndTest, DestroyDropsEveryBufferThatTheHandlerLeaves) {
    Bring(GetParam().stage);
    Lost lost;
    kaio_destroy_report report = {};

    ASSERT_OK(kaio_queue_destroy(&queue_, OnLost, &lost, &report));

    EXPECT_EQ(queue_, nullptr);
    ExpectEach(lost, GetParam().stage, buffers_);
    EXPECT_EQ(report.dropped_count, 2u);
    EXPECT_EQ(report.given_back_count, 0u);
    EXPECT_EQ(report.leaked_count, 0u);
    EXPECT_EQ(kaio_testing_count().buffer_count, 0u);
}

TEST_P(QueueEndTest, DestroyGivesEveryBufferBackToAHandlerThatTakesIt) {
    Bring(GetParam().stage);
    Lost lost;
    lost.keeps_buffers = true;
    kaio_destroy_report report = {};

    ASSERT_OK(kaio_queue_destroy(&queue_, OnLost, &lost, &report));

    ExpectEach(lost, GetParam().stage, buffers_);
    EXPECT_EQ(report.given_back_count, 2u);
    EXPECT_EQ(report.dropped_count, 0u);
    const std::string read =
        WasSent(GetParam().stage) ? Pattern(kSizeBytes) : std::string(kSizeBytes, '\0');
    EXPECT_EQ(BufferText(buffers_[0], kSizeBytes), read);
    EXPECT_EQ(BufferText(buffers_[1], kSizeBytes), Pattern(kSizeBytes, 2));
    for (kaio_buffer *&buffer : buffers_) {
        kaio_buffer_drop(&buffer);
    }
}

TEST_P(QueueEndTest, DestroyWithoutAHandlerAndDropReleaseEverything) {
    Bring(GetParam().stage);
    kaio_destroy_report report = {};

    ASSERT_OK(kaio_queue_destroy(&queue_, nullptr, nullptr, &report));

    EXPECT_EQ(report.dropped_count, 2u);
    EXPECT_EQ(kaio_testing_count().buffer_count, 0u);
    QueueTest::SetUp();
    Bring(GetParam().stage);
    kaio_queue_drop(&queue_);
    EXPECT_EQ(kaio_testing_count().buffer_count, 0u);
}

TEST_P(QueueEndTest, TheRequestsOfADestroyedQueueAnswerStale) {
    Bring(GetParam().stage);
    kaio_queue_drop(&queue_);
    Output<kaio_buffer *> buffer;

    if (read_ != nullptr) {
        EXPECT_CODE(KAIO_STALE, buffer.Judge(kaio_read_abandon(&read_, buffer.at())));
        EXPECT_EQ(kaio_read_push(&read_, 1).bits, 0u);
        EXPECT_EQ(kaio_write_push(&write_, 1).bits, 0u);
        EXPECT_CODE(KAIO_STALE, kaio_sync_abandon(&sync_));
    }
    for (const kaio_buffer *ended : buffers_) {
        EXPECT_EQ(kaio_buffer_as_bytes(ended), nullptr);
    }
}

INSTANTIATE_TEST_SUITE_P(Every, QueueEndTest, testing::ValuesIn(kCases),
                         [](const testing::TestParamInfo<Case> &value) {
                             return value.param.name;
                         });

// ---- from inside a call ----

struct Inside {
    kaio_queue *queue;
    kaio_file *file;
    kaio_buffer *buffer;
    std::vector<Request> requests;
    std::vector<uintptr_t> idle;  // one of each kind, in the order of `requests`
    int lost_count;
};

// Everything that can be said to a queue or its requests while it is being destroyed.
void TryEverything(void *context, kaio_completion *completion) {
    Inside *inside = static_cast<Inside *>(context);
    ++inside->lost_count;
    EXPECT_OK(completion->refusal);
    const Companions with = {inside->queue, inside->file, inside->buffer};
    for (const Use &use : UsesOfQueues()) {
        if (!use.is_silent) {
            ExpectAnswer(KAIO_REENTERED, use, use.call(with, Bits(inside->queue)));
        }
    }
    kaio_queue *alias = inside->queue;
    kaio_queue_drop(&alias);
    for (size_t i = 0; i < inside->requests.size(); ++i) {
        Output<kaio_buffer *> buffer;
        const kaio_status status =
            buffer.Judge(inside->requests[i].abandon(inside->idle[i], buffer.at()));
        EXPECT_TRUE(status.code == KAIO_REENTERED || status.code == KAIO_STALE) << Text(status);
        inside->requests[i].push(inside->idle[i], 77);
        inside->requests[i].drop(inside->idle[i]);
    }
    kaio_file *file = inside->file;
    EXPECT_CODE(KAIO_BUSY, kaio_file_close(&file));
}

TEST_F(QueueMisuseTest, CallsFromInsideDestroyAnswerReentered) {
    kaio_buffer *spare = NewBuffer(16, 16);
    Inside inside = {queue_, file_, spare, EveryRequest(), {}, 0};
    for (const Request &request : inside.requests) {
        kaio_buffer *buffer = request.has_buffer() ? NewBuffer(8, 8) : nullptr;
        inside.idle.push_back(K(request.make(queue_, file_, &buffer)));
    }
    kaio_buffer *finished = NewBuffer(8, 8);
    StartRead(file_, 0, &finished, 1);
    EXPECT_EQ(Wait(1), 1u);
    kaio_destroy_report report = {};

    ASSERT_OK(kaio_queue_destroy(&queue_, TryEverything, &inside, &report));

    EXPECT_EQ(inside.lost_count, static_cast<int>(inside.requests.size()) + 1);
    EXPECT_EQ(report.dropped_count, 3u);
    EXPECT_NE(kaio_buffer_as_bytes(spare), nullptr);
    kaio_buffer_drop(&spare);
    EXPECT_EQ(kaio_testing_count().buffer_count, 0u);
    EXPECT_EQ(kaio_testing_count().queue_count, 0u);
    EXPECT_OK(kaio_file_close(&file_));
}

// Other objects are not inside the call: they may be made, used and ended there.
TEST_F(QueueMisuseTest, AHandlerMayUseAnotherQueue) {
    Bring(Stage::kIdle);
    struct Other {
        kaio_file *file;
        int done_count;
    } other = {file_, 0};
    kaio_destroy_report report = {};

    ASSERT_OK(kaio_queue_destroy(
        &queue_,
        [](void *context, kaio_completion *completion) {
            Other *used = static_cast<Other *>(context);
            if (completion->buffer == nullptr) {
                return;
            }
            kaio_queue_options options = {};
            options.depth = 1;
            kaio_queue *queue = nullptr;
            kaio_ticket ticket = {};
            uint32_t ready = 0;
            kaio_completion again = {};
            EXPECT_OK(kaio_queue_open(&options, &queue));
            EXPECT_OK(kaio_read_start(queue, used->file, Range(0, kSizeBytes), kaio_rw_none(), 1,
                                      &completion->buffer, &ticket));
            EXPECT_OK(kaio_queue_wait(queue, 1, kaio_deadline_never(), &ready));
            EXPECT_OK(kaio_queue_take(queue, &again));
            EXPECT_EQ(again.transfer, KAIO_TRANSFER_FULL);
            kaio_completion_drop(&again);
            EXPECT_OK(kaio_queue_close(&queue));
            ++used->done_count;
        },
        &other, &report));

    EXPECT_EQ(other.done_count, 2);
    EXPECT_EQ(report.given_back_count, 2u);
}

TEST_F(QueueMisuseTest, AHandlerMayDropTheBufferAndTheFile) {
    Bring(Stage::kStaged);
    kaio_destroy_report report = {};

    ASSERT_OK(kaio_queue_destroy(
        &queue_,
        [](void *context, kaio_completion *completion) {
            kaio_buffer *alias = completion->buffer;
            kaio_buffer_drop(&alias);
            kaio_file_drop(static_cast<kaio_file **>(context));
        },
        &file_, &report));

    EXPECT_EQ(file_, nullptr);
    EXPECT_EQ(kaio_testing_count().buffer_count, 0u);
    EXPECT_EQ(kaio_testing_count().file_count, 0u);
}

// ---- what is no misuse, and no success ----

TEST_F(QueueMisuseTest, AnAnswerThatIsNotOkWritesNoOutput) {
    Output<kaio_completion> completion;
    EXPECT_CODE(KAIO_EMPTY, completion.Judge(K(kaio_queue_take(queue_, completion.at()))));
    Output<uint32_t> ready;
    EXPECT_CODE(KAIO_NOTHING_TO_WAIT_FOR,
                ready.Judge(K(kaio_queue_wait(queue_, 1, kaio_deadline_never(), ready.at()))));
    std::vector<kaio_sync *> syncs(kDepth);
    for (kaio_sync *&sync : syncs) {
        EXPECT_OK(K(kaio_sync_new(queue_, file_, KAIO_SYNC_DATA, &sync)));
    }
    kaio_buffer *buffer = NewBuffer(8, 8);
    EXPECT_CODE(KAIO_FULL, K((NewWith<kaio_read, kaio_read_new>(queue_, file_, buffer))));
    EXPECT_CODE(KAIO_FULL, K((NewWith<kaio_write, kaio_write_new>(queue_, file_, buffer))));
    EXPECT_CODE(KAIO_FULL, K(StartWith<kaio_read_start>(queue_, file_, buffer)));
    EXPECT_CODE(KAIO_FULL, K(StartWith<kaio_write_start>(queue_, file_, buffer)));
    EXPECT_CODE(KAIO_FULL, K(SyncNewWith(queue_, file_)));
    EXPECT_CODE(KAIO_FULL, K(SyncStartWith(queue_, file_)));
    Output<kaio_file *> file;
    EXPECT_CODE(KAIO_OS_ERROR, file.Judge(kaio_file_open("/nowhere", O_RDONLY, 0, file.at())));
    EXPECT_CODE(KAIO_OS_ERROR, file.Judge(kaio_file_borrow(-1, file.at())));
    Output<kaio_queue *> queue;
    kaio_queue_options options = {};
    EXPECT_CODE(KAIO_RANGE, queue.Judge(kaio_queue_open(&options, queue.at())));
    Output<kaio_buffer *> none;
    EXPECT_CODE(KAIO_RANGE, none.Judge(kaio_buffer_new(0, 8, none.at())));
    for (kaio_sync *&sync : syncs) {
        kaio_sync_drop(&sync);
    }
    kaio_buffer_drop(&buffer);
}

// ---- ended twice ----

TEST_F(QueueMisuseTest, AClosedQueueIsNotClosedAgain) {
    kaio_queue *alias = queue_;
    kaio_queue *const kept = queue_;
    EXPECT_OK(kaio_queue_close(&queue_));
    EXPECT_EQ(queue_, nullptr);

    EXPECT_CODE(KAIO_NULL_ARGUMENT, kaio_queue_close(&queue_));
    EXPECT_CODE(KAIO_STALE, kaio_queue_close(&alias));

    EXPECT_EQ(alias, kept);
    kaio_queue_drop(&alias);
    EXPECT_EQ(alias, nullptr);
}

TEST_F(QueueMisuseTest, ADestroyedQueueIsNotDestroyedAgain) {
    kaio_queue *alias = queue_;
    Output<kaio_destroy_report> report;
    EXPECT_OK(kaio_queue_destroy(&queue_, FailOnLost, nullptr, report.at()));

    Output<kaio_destroy_report> second;
    EXPECT_CODE(KAIO_STALE,
                second.Judge(kaio_queue_destroy(&alias, FailOnLost, nullptr, second.at())));
}

}  // namespace
