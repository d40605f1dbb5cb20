// One queue, several threads: only its owner changes anything, and nothing is lost.

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
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

constexpr size_t kSizeBytes = 64;

void OnAnotherThread(const std::function<void()> &body) {
    std::thread(body).join();
}

kaio_queue *OpenQueue(uint32_t depth) {
    kaio_queue_options options = {};
    options.depth = depth;
    kaio_queue *queue = nullptr;
    EXPECT_OK(kaio_queue_open(&options, &queue));
    return queue;
}

bool operator==(const kaio_queue_counts &a, const kaio_queue_counts &b) {
    return a.depth == b.depth && a.free_count == b.free_count && a.idle_count == b.idle_count &&
           a.staged_count == b.staged_count && a.in_flight_count == b.in_flight_count &&
           a.finished_count == b.finished_count;
}

class ThreadTest : public QueueTest {
  protected:
    void SetUp() override {
        QueueTest::SetUp();
        file_ = OpenFile(disk_.path());
    }

    void TearDown() override {
        EXPECT_OK(kaio_file_close(&file_));
        if (queue_ != nullptr) {
            EXPECT_EQ(Counts().free_count, kDepth);
        }
        QueueTest::TearDown();
    }

    // One idle request of each kind.
    void MakeIdle() {
        for (const Request &request : requests_) {
            kaio_buffer *buffer = request.has_buffer() ? NewBuffer(Pattern(8), 8) : nullptr;
            buffers_.push_back(buffer);
            idle_.push_back(K(request.make(queue_, file_, &buffer)));
        }
    }

    // One request in each other state, so that a call that gets through would change something.
    void FillStates() {
        kaio_buffer *buffer = NewBuffer(kSizeBytes);
        StartRead(file_, 0, &buffer, 1);
        EXPECT_EQ(Wait(1), 1u);
        buffer = NewBuffer(kSizeBytes);
        StartRead(file_, 0, &buffer, 2);
        EXPECT_EQ(Flush().accepted_count, 1u);
        buffer = NewBuffer(kSizeBytes);
        StartRead(file_, 0, &buffer, 3);
    }

    void ExpectStatesFilled() {
        const kaio_queue_counts counts = Counts();
        EXPECT_EQ(counts.staged_count, 1u);
        EXPECT_EQ(counts.in_flight_count, 1u);
        EXPECT_EQ(counts.finished_count, 1u);
        EXPECT_EQ(Wait(3), 3u);
        for (uint64_t user = 1; user <= 3; ++user) {
            kaio_completion completion = Take();
            EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL) << Text(completion);
            EXPECT_EQ(completion.user, user);
            EXPECT_EQ(BufferText(completion.buffer, kSizeBytes), Pattern(kSizeBytes));
            kaio_completion_drop(&completion);
        }
    }

    void AbandonIdle() {
        for (size_t i = 0; i < idle_.size(); ++i) {
            kaio_buffer *buffer = nullptr;
            EXPECT_OK(K(requests_[i].abandon(idle_[i], &buffer)));
            EXPECT_EQ(buffer, buffers_[i]);
            kaio_buffer_drop(&buffer);
        }
    }

    // The next outcomes are REFUSED with WRONG_THREAD and have the buffers of the idle ones.
    void ExpectRefused() {
        for (size_t i = 0; i < idle_.size(); ++i) {
            kaio_completion completion = Take();
            EXPECT_CODE(KAIO_WRONG_THREAD, completion.refusal);
            const bool is_transfer = requests_[i].has_buffer();
            const bool is_sync = completion.operation == KAIO_SYNC;
            const bool is_poll = completion.operation == KAIO_POLL;
            EXPECT_EQ(completion.transfer,
                      is_transfer ? KAIO_TRANSFER_REFUSED : KAIO_TRANSFER_PENDING);
            EXPECT_EQ(completion.sync, is_sync ? KAIO_SYNC_REFUSED : KAIO_SYNC_PENDING);
            EXPECT_EQ(completion.poll, is_poll ? KAIO_POLL_REFUSED : KAIO_POLL_PENDING);
            EXPECT_EQ(completion.os_error, 0);
            EXPECT_EQ(completion.ticket.bits, idle_[i]);
            EXPECT_EQ(completion.user, 0u);
            EXPECT_EQ(completion.buffer, buffers_[i]);
            if (is_transfer) {
                EXPECT_EQ(BufferText(completion.buffer, 8), Pattern(8)) << "untouched";
            }
            kaio_completion_drop(&completion);
        }
        ExpectEmpty();
    }

    TempFile disk_{Pattern(kSizeBytes)};
    kaio_file *file_ = nullptr;
    const std::vector<Request> requests_ = EveryRequest();
    std::vector<uintptr_t> idle_;
    std::vector<kaio_buffer *> buffers_;
};

// ---- what answers ----

TEST_F(ThreadTest, EveryCallOnAnothersQueueAnswersWrongThreadAndChangesNothing) {
    FillStates();
    const kaio_queue_counts before = Counts();
    kaio_buffer *spare = NewBuffer(8, 8);

    OnAnotherThread([&] {
        for (const Use &use : UsesOfQueues()) {
            if (!use.is_silent) {
                ExpectAnswer(KAIO_WRONG_THREAD, use,
                             use.call({queue_, file_, spare}, Bits(queue_)));
            }
        }
    });

    ExpectBooks();
    EXPECT_TRUE(Counts() == before);
    ExpectStatesFilled();
    kaio_buffer_drop(&spare);
}

TEST_F(ThreadTest, AnothersRequestIsNotAbandoned) {
    MakeIdle();
    const kaio_queue_counts before = Counts();

    OnAnotherThread([&] {
        for (size_t i = 0; i < idle_.size(); ++i) {
            Output<kaio_buffer *> buffer;
            EXPECT_CODE(KAIO_WRONG_THREAD,
                        buffer.Judge(requests_[i].abandon(idle_[i], buffer.at())));
        }
    });

    ExpectBooks();
    EXPECT_TRUE(Counts() == before);
    AbandonIdle();
}

TEST_F(ThreadTest, ItMakesNoDifferenceThatTheOtherThreadHasAQueueToo) {
    FillStates();
    MakeIdle();

    OnAnotherThread([&] {
        kaio_queue *own = OpenQueue(2);
        kaio_buffer *spare = NewBuffer(8, 8);
        for (const Use &use : UsesOfQueues()) {
            if (!use.is_silent) {
                ExpectAnswer(KAIO_WRONG_THREAD, use,
                             use.call({queue_, file_, spare}, Bits(queue_)));
            }
        }
        EXPECT_OK(kaio_read_start(own, file_, Range(0, 8), kaio_rw_none(), 1, &spare,
                                  Output<kaio_ticket>().at()));
        kaio_queue_drop(&own);
    });

    AbandonIdle();
    ExpectStatesFilled();
}

// ---- what consumes: nothing is lost ----

TEST_F(ThreadTest, ARequestPushedByAnotherThreadIsTakenRefusedWithItsBuffer) {
    MakeIdle();

    OnAnotherThread([&] {
        for (size_t i = 0; i < idle_.size(); ++i) {
            EXPECT_EQ(requests_[i].push(idle_[i], 100 + i), idle_[i]);
        }
    });

    ExpectRefused();
}

TEST_F(ThreadTest, WaitCountsWhatAnotherThreadPushed) {
    MakeIdle();

    OnAnotherThread([&] {
        for (size_t i = 0; i < idle_.size(); ++i) {
            requests_[i].push(idle_[i], 100 + i);
        }
    });

    EXPECT_EQ(Wait(1), requests_.size());
    EXPECT_EQ(Counts().finished_count, requests_.size());
    ExpectRefused();
}

TEST_F(ThreadTest, ARequestDroppedByAnotherThreadIsTakenRefused) {
    MakeIdle();

    OnAnotherThread([&] {
        for (size_t i = 0; i < idle_.size(); ++i) {
            requests_[i].drop(idle_[i]);
        }
    });

    ExpectRefused();
}

TEST_F(ThreadTest, ARequestGivenUpElsewhereIsStaleForItsOwnerOnceTaken) {
    MakeIdle();
    OnAnotherThread([&] {
        for (size_t i = 0; i < idle_.size(); ++i) {
            requests_[i].push(idle_[i], 100 + i);
            requests_[i].push(idle_[i], 100 + i);
        }
    });
    ExpectRefused();

    for (size_t i = 0; i < idle_.size(); ++i) {
        Output<kaio_buffer *> buffer;
        EXPECT_EQ(K(requests_[i].push(idle_[i], 9)), 0u);
        EXPECT_CODE(KAIO_STALE, buffer.Judge(K(requests_[i].abandon(idle_[i], buffer.at()))));
    }
}

TEST_F(ThreadTest, APushElsewhereOfARequestThatHasEndedDoesNotHitTheNextInItsPlace) {
    MakeIdle();
    OnAnotherThread([&] {
        for (size_t i = 0; i < idle_.size(); ++i) {
            requests_[i].push(idle_[i], 100 + i);
        }
    });
    AbandonIdle();
    buffers_.clear();
    idle_.clear();
    MakeIdle();

    ExpectEmpty();

    EXPECT_EQ(Counts().idle_count, requests_.size());
    AbandonIdle();
}

TEST_F(ThreadTest, APushElsewhereAfterThePushChangesNothing) {
    MakeIdle();
    for (size_t i = 0; i < idle_.size(); ++i) {
        EXPECT_NE(K(requests_[i].push(idle_[i], i)), 0u);
    }

    OnAnotherThread([&] {
        for (size_t i = 0; i < idle_.size(); ++i) {
            EXPECT_EQ(requests_[i].push(idle_[i], 100 + i), 0u);
            requests_[i].drop(idle_[i]);
        }
    });

    EXPECT_EQ(Wait(kDepth), requests_.size());
    for (size_t i = 0; i < requests_.size(); ++i) {
        kaio_completion completion = Take();
        EXPECT_OK(completion.refusal);
        EXPECT_LT(completion.user, requests_.size());
        kaio_completion_drop(&completion);
    }
    ExpectEmpty();
}

TEST_F(ThreadTest, ARequestGivenUpElsewhereKeepsCloseBusyUntilItIsTaken) {
    MakeIdle();
    OnAnotherThread([&] {
        for (size_t i = 0; i < idle_.size(); ++i) {
            requests_[i].push(idle_[i], 100 + i);
        }
    });

    EXPECT_CODE(KAIO_BUSY, K(kaio_queue_close(&queue_)));

    ExpectRefused();
}

TEST_F(ThreadTest, ARequestGivenUpElsewhereGoesToOnLostWithItsQueue) {
    MakeIdle();
    OnAnotherThread([&] {
        for (size_t i = 0; i < idle_.size(); ++i) {
            requests_[i].push(idle_[i], 100 + i);
        }
    });
    std::vector<kaio_completion> lost;
    kaio_destroy_report report = {};

    ASSERT_OK(kaio_queue_destroy(
        &queue_,
        [](void *context, kaio_completion *completion) {
            static_cast<std::vector<kaio_completion> *>(context)->push_back(*completion);
        },
        &lost, &report));

    ASSERT_EQ(lost.size(), requests_.size());
    for (const kaio_completion &completion : lost) {
        EXPECT_CODE(KAIO_WRONG_THREAD, completion.refusal);
    }
    EXPECT_EQ(report.dropped_count, 2u);
}

// ---- queues dropped elsewhere ----

TEST_F(ThreadTest, AQueueDroppedElsewhereIsDestroyedByItsOwnersNextCall) {
    for (const Use &use : UsesOfQueues()) {
        if (std::string(use.name) == "QueueOfWake") {
            continue;  // which is no call of the owner's
        }
        kaio_queue *queue = OpenQueue(2);
        kaio_buffer *buffer = NewBuffer(8, 8);
        kaio_buffer *spare = NewBuffer(8, 8);
        kaio_ticket ticket = {};
        EXPECT_OK(kaio_read_start(queue, file_, Range(0, 8), kaio_rw_none(), 1, &buffer, &ticket));
        kaio_queue *const alias = queue;
        OnAnotherThread([&] { kaio_queue_drop(&queue); });
        EXPECT_EQ(queue, nullptr);
        EXPECT_EQ(kaio_testing_count().queue_count, 2u) << "not by the thread that dropped it";

        ExpectAnswer(KAIO_STALE, use, use.call({alias, file_, spare}, Bits(alias)));

        EXPECT_EQ(kaio_testing_count().queue_count, 1u) << use.name;
        EXPECT_EQ(kaio_testing_count().buffer_count, 1u) << use.name;
        kaio_buffer_drop(&spare);
    }
}

TEST_F(ThreadTest, AQueueDroppedElsewhereIsDestroyedAtTheEndOfItsThread) {
    kaio_queue *queue = nullptr;
    OnAnotherThread([&] {
        queue = OpenQueue(2);
        kaio_buffer *buffer = NewBuffer(8, 8);
        kaio_ticket ticket = {};
        EXPECT_OK(kaio_read_start(queue, file_, Range(0, 8), kaio_rw_none(), 1, &buffer, &ticket));
        OnAnotherThread([&] { kaio_queue_drop(&queue); });
        EXPECT_EQ(kaio_testing_count().queue_count, 2u);
    });

    EXPECT_EQ(kaio_testing_count().queue_count, 1u);
    EXPECT_EQ(kaio_testing_count().buffer_count, 0u);
}

TEST_F(ThreadTest, AQueueDroppedElsewhereTwiceIsDestroyedOnce) {
    kaio_queue *queue = OpenQueue(2);
    kaio_queue *const alias = queue;
    for (int i = 0; i < 3; ++i) {
        OnAnotherThread([alias] {
            kaio_queue *copy = alias;
            kaio_queue_drop(&copy);
        });
    }
    kaio_queue *copy = alias;
    kaio_queue_drop(&copy);
    EXPECT_EQ(kaio_testing_count().queue_count, 1u);

    kaio_queue_drop(&queue);

    EXPECT_EQ(kaio_testing_count().queue_count, 1u);
}

// ---- threads that end ----

TEST_F(ThreadTest, AnyThreadDropsTheQueueOfAThreadThatEnded) {
    for (const bool is_idle : {true, false}) {
        kaio_queue *queue = nullptr;
        kaio_read *read = nullptr;
        OnAnotherThread([&] {
            queue = OpenQueue(4);
            kaio_buffer *buffer = NewBuffer(8, 8);
            EXPECT_OK(kaio_read_new(queue, file_, Range(0, 8), kaio_rw_none(), &buffer, &read));
            if (!is_idle) {
                kaio_flush_report report = {};
                kaio_read_push(&read, 1);
                EXPECT_OK(kaio_queue_flush(queue, &report));
            }
        });
        Output<kaio_flush_report> report;
        EXPECT_CODE(KAIO_WRONG_THREAD, report.Judge(kaio_queue_flush(queue, report.at())));
        EXPECT_CODE(KAIO_WRONG_THREAD, kaio_queue_close(&queue));
        EXPECT_NE(queue, nullptr);

        kaio_queue_drop(&queue);

        EXPECT_EQ(kaio_testing_count().queue_count, 1u);
        EXPECT_EQ(kaio_testing_count().buffer_count, 0u);
    }
}

TEST_F(ThreadTest, TheNextThreadWithTheSameNumberDoesNotInheritAQueue) {
    kaio_queue *queue = nullptr;
    OnAnotherThread([&] { queue = OpenQueue(1); });

    for (int i = 0; i < 4; ++i) {
        OnAnotherThread([&] {
            kaio_buffer *own = NewBuffer(8, 8);
            Output<kaio_queue_counts> counts;
            EXPECT_CODE(KAIO_WRONG_THREAD, counts.Judge(kaio_queue_count(queue, counts.at())));
            kaio_buffer_drop(&own);
        });
    }

    kaio_queue_drop(&queue);
}

// ---- all at once ----

// The owner works on; others keep trying everything that must not get through.
TEST_F(ThreadTest, AnOwnerIsNotDisturbedByThreadsThatKeepTrying) {
    std::atomic<bool> is_over{false};
    kaio_buffer *spares[2] = {NewBuffer(8, 8), NewBuffer(8, 8)};
    std::vector<std::thread> threads;
    for (kaio_buffer *const spare : spares) {
        threads.emplace_back([&, spare] {
            while (!is_over) {
                for (const Use &use : UsesOfQueues()) {
                    if (!use.is_silent) {
                        ExpectAnswer(KAIO_WRONG_THREAD, use,
                                     use.call({queue_, file_, spare}, Bits(queue_)));
                    }
                }
            }
        });
    }

    kaio_buffer *buffer = NewBuffer(kSizeBytes);
    for (uint64_t i = 0; i < 2000 && !HasFailure(); ++i) {
        StartRead(file_, 0, &buffer, i);
        const kaio_completion completion = WaitAndTake();
        EXPECT_EQ(completion.user, i);
        EXPECT_EQ(BufferText(completion.buffer, kSizeBytes), Pattern(kSizeBytes));
        buffer = completion.buffer;
    }

    is_over = true;
    for (std::thread &thread : threads) {
        thread.join();
    }
    kaio_buffer_drop(&buffer);
    for (kaio_buffer *&spare : spares) {
        kaio_buffer_drop(&spare);
    }
}

// Owner and others push and drop the same request at the same time: it ends exactly once.
TEST_F(ThreadTest, ARequestThatSeveralThreadsPushEndsOnce) {
    constexpr uint64_t kRounds = 2000;
    std::atomic<uintptr_t> offered{0};
    std::atomic<bool> is_over{false};
    std::thread other([&] {
        uintptr_t last = 0;
        while (!is_over) {
            const uintptr_t bits = offered.load();
            if (bits != last) {
                requests_[0].push(bits, 2);
                last = bits;
            }
        }
    });

    uint64_t own_count = 0;
    uint64_t refused_count = 0;
    kaio_buffer *buffer = NewBuffer(8, 8);
    for (uint64_t i = 0; i < kRounds && !HasFailure(); ++i) {
        const uintptr_t bits = K(requests_[0].make(queue_, file_, &buffer));
        offered = bits;
        K(requests_[0].push(bits, 1));
        kaio_completion completion = WaitAndTake();
        EXPECT_EQ(completion.ticket.bits, bits);
        completion.refusal.code == KAIO_OK ? ++own_count : ++refused_count;
        ExpectEmpty();
        buffer = completion.buffer;
    }

    is_over = true;
    other.join();
    EXPECT_EQ(own_count + refused_count, kRounds);
    kaio_buffer_drop(&buffer);
}

// A Mailbox holds one buffer that is on its way to another thread.
class Mailbox {
  public:
    void Put(kaio_buffer *buffer) {
        buffer_ = buffer;
    }
    kaio_buffer *Get() {
        kaio_buffer *buffer = nullptr;
        while ((buffer = buffer_.exchange(nullptr)) == nullptr) {
            std::this_thread::yield();
        }
        return buffer;
    }

  private:
    std::atomic<kaio_buffer *> buffer_{nullptr};
};

// A buffer goes round between two threads' queues, detached by each before the other takes it.
TEST_F(ThreadTest, ADetachedBufferGoesRound) {
    constexpr int kRounds = 200;
    Mailbox there;
    Mailbox back;
    std::thread other([&] {
        kaio_queue *own = OpenQueue(1);
        for (int i = 0; i < kRounds; ++i) {
            kaio_buffer *buffer = there.Get();
            kaio_ticket ticket = {};
            uint32_t ready = 0;
            kaio_completion completion = {};
            EXPECT_OK(
                kaio_read_start(own, file_, Range(0, 8), kaio_rw_none(), 1, &buffer, &ticket));
            EXPECT_OK(kaio_queue_wait(own, 1, kaio_deadline_never(), &ready));
            EXPECT_OK(kaio_queue_take(own, &completion));
            EXPECT_OK(kaio_buffer_detach(completion.buffer));
            back.Put(completion.buffer);
        }
        EXPECT_OK(kaio_queue_close(&own));
    });

    kaio_buffer *buffer = NewBuffer(8, 8);
    kaio_buffer *const handle = buffer;
    for (int i = 0; i < kRounds; ++i) {
        there.Put(buffer);
        buffer = back.Get();
        EXPECT_EQ(buffer, handle);
        StartRead(file_, 0, &buffer);
        buffer = WaitAndTake().buffer;
        EXPECT_OK(K(kaio_buffer_detach(buffer)));
    }
    other.join();
    kaio_buffer_drop(&buffer);
}

}  // namespace
