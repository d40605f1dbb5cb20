// Queues that end together.

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include "kaio/safe/poll.h"
#include "kaio/safe/queue.h"
#include "kaio/safe/run.h"
#include "tests/support/safe_test.h"

namespace kaio_test {
namespace {

constexpr uint32_t kQueueCount = 5;

struct Lost {
    std::vector<uint64_t> users;
    std::vector<kaio_queue *> queues;  // whose calls are tried in the handler
};

void OnLost(void *context, kaio_completion *completion) {
    Lost *lost = static_cast<Lost *>(context);
    lost->users.push_back(completion->user);
    for (kaio_queue *queue : lost->queues) {
        kaio_queue_counts counts = {};
        const kaio_status status = kaio_queue_count(queue, &counts);
        EXPECT_TRUE(status.code == KAIO_REENTERED || status.code == KAIO_STALE) << Text(status);
    }
}

class DestroyAllTest : public SafeTest {
  protected:
    void SetUp() override {
        kaio_queue_options options = {};
        options.depth = 4;
        for (uint32_t i = 0; i < kQueueCount; ++i) {
            queues_.push_back(nullptr);
            ASSERT_OK(kaio_queue_open(&options, &queues_[i]));
        }
        file_ = OpenFile("/dev/zero");
        ASSERT_EQ(pipe2(fds_, O_CLOEXEC), 0);
        ASSERT_OK(kaio_file_borrow(fds_[0], &reader_));
        errno = kErrno;
    }

    void TearDown() override {
        EXPECT_EQ(errno, kErrno) << "errno was touched";
        for (kaio_queue *&queue : queues_) {
            kaio_queue_drop(&queue);
        }
        kaio_file_drop(&file_);
        kaio_file_drop(&reader_);
        close(fds_[0]);
        close(fds_[1]);
    }

    void StartRead(kaio_queue *queue, uint64_t user) {
        kaio_buffer *buffer = NewBuffer(8, 8);
        kaio_ticket ticket = {};
        EXPECT_OK(
            kaio_read_start(queue, file_, Range(0, 8), kaio_rw_none(), user, &buffer, &ticket));
    }

    void ExpectBooks() {
        for (kaio_queue *queue : queues_) {
            const char *fault = queue == nullptr ? nullptr : kaio_testing_fault(queue);
            EXPECT_EQ(fault, nullptr) << fault;
        }
    }

    kaio_status DestroyAll() {
        return kaio_queue_destroy_all(queues_.data(), static_cast<uint32_t>(queues_.size()), OnLost,
                                      &lost_, &report_);
    }

    // ExpectIntact wants element `index` to have been misused, and nothing to have changed.
    void ExpectIntact(kaio_code code, uint32_t index, kaio_status status) {
        EXPECT_CODE(code, status);
        EXPECT_EQ(status.subject, KAIO_SUBJECT_ELEMENT);
        EXPECT_EQ(status.detail, index);
        EXPECT_EQ(report_.dropped_count, kUntouched);
        EXPECT_TRUE(lost_.users.empty());
        ExpectBooks();
    }

    static constexpr uint32_t kUntouched = 777;
    std::vector<kaio_queue *> queues_;
    kaio_file *file_ = nullptr;
    kaio_file *reader_ = nullptr;
    int fds_[2] = {-1, -1};
    Lost lost_;
    kaio_destroy_report report_ = {kUntouched, kUntouched, kUntouched};
};

TEST_F(DestroyAllTest, EveryRequestIsLostOnceAndNoQueueIsUsableInTheHandler) {
    for (uint32_t i = 0; i < kQueueCount; ++i) {
        StartRead(queues_[i], i * 10);  // staged
        kaio_ticket ticket = {};
        kaio_flush_report flushed = {};
        EXPECT_OK(kaio_poll_start(queues_[i], reader_, kaio_poll_readable(), i * 10 + 1, &ticket));
        EXPECT_OK(kaio_queue_flush(queues_[i], &flushed));
        StartRead(queues_[i], i * 10 + 2);
    }
    ExpectBooks();
    lost_.queues = queues_;

    EXPECT_OK(DestroyAll());

    EXPECT_EQ(lost_.users.size(), 3 * kQueueCount);
    EXPECT_EQ(report_.dropped_count, 2 * kQueueCount);
    EXPECT_EQ(report_.leaked_count, 0u);
    for (size_t i = 1; i < lost_.users.size(); ++i) {
        EXPECT_LE(lost_.users[i - 1] / 10, lost_.users[i] / 10) << "the first queue first";
    }
    for (kaio_queue *queue : queues_) {
        EXPECT_EQ(queue, nullptr);
    }
    EXPECT_EQ(kaio_testing_count().queue_count, 0u);
}

TEST_F(DestroyAllTest, NoneIsDestroyedWhenOneIsStale) {
    kaio_queue *const alias = queues_[3];
    StartRead(queues_[0], 1);
    EXPECT_OK(kaio_queue_close(&queues_[3]));
    queues_[3] = alias;

    const kaio_status status = DestroyAll();

    queues_[3] = nullptr;
    ExpectIntact(KAIO_STALE, 3, status);
    EXPECT_EQ(Text(status), "stale (element): the one with index 3");
    EXPECT_EQ(kaio_testing_count().queue_count, kQueueCount - 1);
}

TEST_F(DestroyAllTest, NoneIsDestroyedWhenOneIsNull) {
    kaio_queue *const kept = queues_[1];
    queues_[1] = nullptr;

    ExpectIntact(KAIO_NULL_ARGUMENT, 1, DestroyAll());

    queues_[1] = kept;
    EXPECT_EQ(kaio_testing_count().queue_count, kQueueCount);
}

TEST_F(DestroyAllTest, NoneIsDestroyedWhenOneIsThereTwice) {
    kaio_queue *const kept = queues_[4];
    queues_[4] = queues_[1];

    ExpectIntact(KAIO_STALE, 4, DestroyAll());

    queues_[4] = kept;
}

TEST_F(DestroyAllTest, NoneIsDestroyedByAnotherThread) {
    kaio_status status = {};
    std::thread([&] { status = DestroyAll(); }).join();

    ExpectIntact(KAIO_WRONG_THREAD, 0, status);
}

TEST_F(DestroyAllTest, NoneIsDestroyedInARunOfOne) {
    StartRead(queues_[2], 1);
    kaio_handlers handlers = {};
    handlers.on_turn = [](void *context) {
        (*static_cast<std::function<void()> *>(context))();
        return KAIO_TURN_CONTINUE;
    };
    std::function<void()> try_it = [this] { ExpectIntact(KAIO_REENTERED, 2, DestroyAll()); };
    kaio_run_report report = {};

    EXPECT_OK(kaio_queue_run(queues_[2], &handlers, &try_it, kaio_deadline_never(), &report));

    EXPECT_EQ(report.ended, KAIO_RUN_IDLE);
}

TEST_F(DestroyAllTest, NoneAtAllIsFine) {
    EXPECT_OK(kaio_queue_destroy_all(queues_.data(), 0, nullptr, nullptr, &report_));
    EXPECT_EQ(report_.dropped_count, 0u);
    EXPECT_OK(kaio_queue_destroy_all(nullptr, 0, nullptr, nullptr, &report_));
    EXPECT_EQ(kaio_testing_count().queue_count, kQueueCount);
}

TEST_F(DestroyAllTest, ManyMoreThanThreads) {
    kaio_queue_options options = {};
    options.depth = 1;
    while (queues_.size() < 100) {
        queues_.push_back(nullptr);
        ASSERT_OK(kaio_queue_open(&options, &queues_.back()));
    }

    EXPECT_OK(DestroyAll());

    EXPECT_EQ(kaio_testing_count().queue_count, 0u);
}

}  // namespace
}  // namespace kaio_test
