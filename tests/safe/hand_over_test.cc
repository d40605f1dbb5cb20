// A queue goes from one thread to another, with all that is in it.

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "kaio/safe/poll.h"
#include "kaio/safe/queue.h"
#include "tests/support/in_child.h"
#include "tests/support/safe_test.h"

namespace kaio_test {
namespace {

class HandOverTest : public QueueTest {
  protected:
    void SetUp() override {
        QueueTest::SetUp();
        file_ = OpenFile(temp_.path());
    }

    void TearDown() override {
        QueueTest::TearDown();
        EXPECT_OK(kaio_file_close(&file_));
    }

    template <typename Work>
    static void OnAnotherThread(Work work) {
        std::thread(work).join();
    }

    // One request in each state: users 1 to 3, and idle.
    void FillStates() {
        kaio_buffer *buffer = NewBuffer(kSizeBytes);
        StartRead(file_, 0, &buffer, 1);
        EXPECT_EQ(Wait(1), 1u);
        buffer = NewBuffer(kSizeBytes);
        StartRead(file_, 0, &buffer, 2);
        EXPECT_EQ(Flush().accepted_count, 1u);
        buffer = NewBuffer(kSizeBytes);
        StartRead(file_, 0, &buffer, 3);
        buffer = NewBuffer(kSizeBytes);
        idle_ = NewRead(file_, &buffer);
    }

    // Takes all of it, as the queue's owner.
    void TakeAll() {
        EXPECT_NE(K(kaio_read_push(&idle_, 4)).bits, 0u);
        EXPECT_EQ(Wait(4), 4u);
        for (uint64_t user = 1; user <= 4; ++user) {
            kaio_completion completion = Take();
            EXPECT_EQ(completion.user, user);
            EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL) << Text(completion);
            EXPECT_EQ(BufferText(completion.buffer, kSizeBytes), Pattern(kSizeBytes));
            kaio_completion_drop(&completion);
        }
        ExpectEmpty();
    }

    static constexpr size_t kSizeBytes = 512;
    TempFile temp_{Pattern(kSizeBytes)};
    kaio_file *file_ = nullptr;
    kaio_read *idle_ = nullptr;
};

TEST_F(HandOverTest, TheNewOwnerHasAllThatIsInTheQueue) {
    FillStates();

    EXPECT_OK(kaio_queue_detach(queue_));
    OnAnotherThread([this] {
        EXPECT_OK(K(kaio_queue_attach(queue_)));
        TakeAll();
        EXPECT_OK(K(kaio_queue_close(&queue_)));
    });
}

TEST_F(HandOverTest, TheOldOwnerHasNothingOfIt) {
    FillStates();
    EXPECT_OK(kaio_queue_detach(queue_));
    kaio_queue_counts counts = {};
    EXPECT_CODE(KAIO_WRONG_THREAD, kaio_queue_count(queue_, &counts));
    EXPECT_CODE(KAIO_WRONG_THREAD, kaio_queue_detach(queue_)) << "detached twice";
    kaio_buffer *buffer = nullptr;
    EXPECT_CODE(KAIO_WRONG_THREAD, kaio_read_abandon(&idle_, &buffer));

    EXPECT_OK(kaio_queue_attach(queue_));

    TakeAll();
}

TEST_F(HandOverTest, AQueueThatHasAnOwnerIsNotTakenOver) {
    OnAnotherThread([this] { EXPECT_CODE(KAIO_WRONG_THREAD, kaio_queue_attach(queue_)); });

    EXPECT_EQ(Counts().free_count, kDepth) << "it is still its owner's";
}

TEST_F(HandOverTest, TheOwnerMayAttachAgain) {
    EXPECT_OK(K(kaio_queue_attach(queue_)));
    EXPECT_EQ(Counts().free_count, kDepth);
}

TEST_F(HandOverTest, OfManyThatTryOneAtATimeHasIt) {
    constexpr int kThreads = 4;
    constexpr int kTries = 20000;
    std::atomic<int> owner_count{0};
    std::atomic<int> success_count{0};
    EXPECT_OK(kaio_queue_detach(queue_));
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) {
        threads.emplace_back([&] {
            for (int n = 0; n < kTries; ++n) {
                const kaio_status status = kaio_queue_attach(queue_);
                if (!kaio_status_is_ok(status)) {
                    ASSERT_CODE(KAIO_WRONG_THREAD, status);
                    continue;
                }
                ASSERT_EQ(++owner_count, 1);
                ++success_count;
                kaio_queue_counts counts = {};
                ASSERT_OK(kaio_queue_count(queue_, &counts));
                --owner_count;
                ASSERT_OK(kaio_queue_detach(queue_));
            }
        });
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    EXPECT_GT(success_count, 0);
    EXPECT_OK(K(kaio_queue_attach(queue_)));
}

TEST_F(HandOverTest, TheQueueOfAThreadThatEndedIsTakenOverWithAllThatIsInIt) {
    kaio_queue_drop(&queue_);
    OnAnotherThread([this] {
        const kaio_queue_options options = Options();
        ASSERT_OK(kaio_queue_open(&options, &queue_));
        FillStates();
    });

    EXPECT_OK(K(kaio_queue_attach(queue_)));

    TakeAll();
}

TEST_F(HandOverTest, AThreadThatAttachedAndEndedLeavesItToTheNext) {
    FillStates();
    EXPECT_OK(kaio_queue_detach(queue_));
    OnAnotherThread([this] { EXPECT_OK(K(kaio_queue_attach(queue_))); });

    EXPECT_OK(K(kaio_queue_attach(queue_)));

    TakeAll();
}

TEST_F(HandOverTest, ADetachedQueueIsDroppedByAnyThread) {
    FillStates();
    EXPECT_OK(kaio_queue_detach(queue_));
    kaio_queue *alias = queue_;

    OnAnotherThread([this] { kaio_queue_drop(&queue_); });

    EXPECT_CODE(KAIO_STALE, kaio_queue_attach(alias));
    kaio_read_drop(&idle_);
}

TEST_F(HandOverTest, AQueueThatIsToBeDroppedIsNotHandedOver) {
    kaio_queue *alias = queue_;
    OnAnotherThread([this] { kaio_queue_drop(&queue_); });

    EXPECT_CODE(KAIO_STALE, kaio_queue_detach(alias)) << "its owner destroys it instead";
    EXPECT_CODE(KAIO_STALE, kaio_queue_attach(alias));
}

TEST_F(HandOverTest, WhatAThirdThreadGivesUpWhileNobodyOwnsItIsTakenByTheNextOwner) {
    kaio_buffer *buffer = NewBuffer(kSizeBytes);
    kaio_buffer *const kept = buffer;
    kaio_read *read = NewRead(file_, &buffer);
    EXPECT_OK(kaio_queue_detach(queue_));

    kaio_read_push(&read, 5);

    OnAnotherThread([this, kept] {
        EXPECT_OK(K(kaio_queue_attach(queue_)));
        kaio_completion completion = Take();
        EXPECT_EQ(completion.transfer, KAIO_TRANSFER_REFUSED);
        EXPECT_CODE(KAIO_WRONG_THREAD, completion.refusal);
        EXPECT_EQ(completion.buffer, kept);
        kaio_completion_drop(&completion);
        EXPECT_OK(K(kaio_queue_close(&queue_)));
    });
}

TEST_F(HandOverTest, ABufferThatCameBackIsTheNewOwnersThreads) {
    kaio_buffer *buffer = NewBuffer(kSizeBytes);
    StartRead(file_, 0, &buffer, 1);
    EXPECT_EQ(Flush().accepted_count, 1u);
    EXPECT_OK(kaio_queue_detach(queue_));

    OnAnotherThread([this] {
        EXPECT_OK(K(kaio_queue_attach(queue_)));
        kaio_completion completion = WaitAndTake();
        StartRead(file_, 0, &completion.buffer, 2);
        completion = WaitAndTake();
        EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL) << Text(completion);
        kaio_completion_drop(&completion);
        EXPECT_OK(K(kaio_queue_close(&queue_)));
    });
}

TEST_F(HandOverTest, ABufferThatTheNewOwnerTookIsFreeWhenItsThreadEnds) {
    kaio_buffer *buffer = NewBuffer(kSizeBytes);
    StartRead(file_, 0, &buffer, 1);
    EXPECT_OK(kaio_queue_detach(queue_));
    OnAnotherThread([this, &buffer] {
        EXPECT_OK(K(kaio_queue_attach(queue_)));
        buffer = WaitAndTake().buffer;
    });

    EXPECT_OK(K(kaio_queue_attach(queue_)));
    StartRead(file_, 0, &buffer, 2);

    kaio_completion completion = WaitAndTake();
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL) << Text(completion);
    kaio_completion_drop(&completion);
}

TEST_F(HandOverTest, AChildAttachesNothingOfItsParents) {
    EXPECT_OK(kaio_queue_detach(queue_));

    ExpectFineInChild([this] { EXPECT_CODE(KAIO_FORKED, kaio_queue_attach(queue_)); });

    EXPECT_OK(K(kaio_queue_attach(queue_)));
}

// Two threads hand the queue to and fro with work in it; a third drops it at some moment. It is
// destroyed once, whoever has it then.
TEST_F(HandOverTest, ADropThatRacesWithHandOversIsNotForgotten) {
    kaio_queue_drop(&queue_);
    for (int round = 0; round < 100; ++round) {
        const kaio_queue_options options = Options();
        kaio_queue *queue = nullptr;
        ASSERT_OK(kaio_queue_open(&options, &queue));
        ASSERT_OK(kaio_queue_detach(queue));
        const auto work = [this, queue] {
            for (int i = 0; i < 10000; ++i) {
                const kaio_status status = kaio_queue_attach(queue);
                if (status.code == KAIO_STALE) {
                    return;
                }
                if (!kaio_status_is_ok(status)) {
                    EXPECT_CODE(KAIO_WRONG_THREAD, status);
                    continue;
                }
                kaio_buffer *buffer = NewBuffer(kSizeBytes);
                kaio_ticket ticket = {};
                kaio_ignore(kaio_read_start(queue, file_, Range(0, kSizeBytes), kaio_rw_none(), 1,
                                            &buffer, &ticket));
                kaio_buffer_drop(&buffer);
                kaio_ignore(kaio_queue_detach(queue));
            }
        };
        std::thread first(work);
        std::thread second(work);
        std::this_thread::yield();
        kaio_queue *alias = queue;
        kaio_queue_drop(&alias);
        first.join();
        second.join();
        EXPECT_CODE(KAIO_STALE, kaio_queue_attach(queue)) << round;
    }
}

}  // namespace
}  // namespace kaio_test
