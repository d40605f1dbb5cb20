#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>
#include <thread>

#include "kaio/raw/aio_prep.h"
#include "kaio/raw/aio_syscall.h"
#include "tests/raw/kernel_test.h"

namespace kaio_test {
namespace {

class CancelTest : public KernelTest {
  protected:
    static long Cancel(kaio_raw_iocb *iocb) {
        return kaio_raw_cancel(ctx_, iocb, nullptr);
    }
};

// ---- what is cancelled ----

TEST_F(CancelTest, PendingPollIsCancelledAndItsEventHasNoResult) {
    kaio_raw_iocb poll = kaio_raw_prep_poll(pipe_[0], POLLIN);
    kaio_raw_set_data(&poll, 77);
    kaio_raw_event event = {1, 2, 3, 4};
    ASSERT_EQ(Submit(&poll), 1);

    EXPECT_EQ(Cancel(&poll), -EINPROGRESS);

    ASSERT_EQ(Get(1, 1, &event, kPatienceMs), 1);
    EXPECT_EQ(event.data, 77u);
    EXPECT_EQ(event.obj, reinterpret_cast<uintptr_t>(&poll));
    EXPECT_EQ(event.res, 0);
    EXPECT_EQ(event.res2, 0);
}

TEST_F(CancelTest, CancelledPollGivesNoSecondEventWhenItsFileBecomesReady) {
    kaio_raw_iocb poll = kaio_raw_prep_poll(pipe_[0], POLLIN);
    kaio_raw_event events[2];
    ASSERT_EQ(Submit(&poll), 1);
    ASSERT_EQ(Cancel(&poll), -EINPROGRESS);

    Ready();

    EXPECT_EQ(Get(2, 2, events, 50), 1);
}

TEST_F(CancelTest, OtherPollsOfTheSameFileStayPending) {
    kaio_raw_iocb first = kaio_raw_prep_poll(pipe_[0], POLLIN);
    kaio_raw_iocb second = kaio_raw_prep_poll(pipe_[0], POLLIN);
    kaio_raw_iocb *iocbs[] = {&first, &second};
    kaio_raw_event event;
    ASSERT_EQ(kaio_raw_submit(ctx_, 2, iocbs), 2);

    ASSERT_EQ(Cancel(&first), -EINPROGRESS);

    ASSERT_EQ(Get(1, 1, &event, kPatienceMs), 1);
    EXPECT_EQ(event.obj, reinterpret_cast<uintptr_t>(&first));
    Ready();
    ASSERT_EQ(Get(1, 1, &event, kPatienceMs), 1);
    EXPECT_EQ(event.obj, reinterpret_cast<uintptr_t>(&second));
    EXPECT_NE(event.res & POLLIN, 0);
}

TEST_F(CancelTest, OnlyTheAddressAndTheKeyAreCompared) {
    kaio_raw_iocb poll = kaio_raw_prep_poll(pipe_[0], POLLIN);
    kaio_raw_event event;
    ASSERT_EQ(Submit(&poll), 1);
    std::memset(&poll, 0xee, sizeof poll);
    poll.aio_key = 0;

    EXPECT_EQ(Cancel(&poll), -EINPROGRESS);

    EXPECT_EQ(Get(1, 1, &event, kPatienceMs), 1);
}

TEST_F(CancelTest, OfTwoRequestsAtOneAddressTheOlderGoesFirst) {
    kaio_raw_iocb poll = kaio_raw_prep_poll(pipe_[0], POLLIN);
    kaio_raw_event event;
    kaio_raw_set_data(&poll, 1);
    ASSERT_EQ(Submit(&poll), 1);
    kaio_raw_set_data(&poll, 2);
    ASSERT_EQ(Submit(&poll), 1);

    for (const uint64_t expected : {1u, 2u}) {
        EXPECT_EQ(Cancel(&poll), -EINPROGRESS);
        ASSERT_EQ(Get(1, 1, &event, kPatienceMs), 1);
        EXPECT_EQ(event.data, expected);
    }
    EXPECT_EQ(Cancel(&poll), -EINVAL);
}

TEST_F(CancelTest, AnyThreadMayCancel) {
    kaio_raw_iocb poll = kaio_raw_prep_poll(pipe_[0], POLLIN);
    kaio_raw_event event;
    ASSERT_EQ(Submit(&poll), 1);

    std::thread([&poll] { EXPECT_EQ(Cancel(&poll), -EINPROGRESS); }).join();

    EXPECT_EQ(Get(1, 1, &event, kPatienceMs), 1);
}

// Reads and writes in flight are in cancel_machine_test.cc.
TEST_F(CancelTest, SyncIsNotCancelledAndItsEventComes) {
    const std::string bytes(1 << 20, 'x');
    ASSERT_EQ(Run(kaio_raw_prep_pwrite(fd_, bytes.data(), bytes.size(), 0)), 1 << 20);
    kaio_raw_iocb sync = kaio_raw_prep_fsync(fd_);
    kaio_raw_event event;
    ASSERT_EQ(Submit(&sync), 1);

    EXPECT_EQ(Cancel(&sync), -EINVAL);

    const bool was_in_flight = Get(0, 1, &event) == 0;
    EXPECT_TRUE(!was_in_flight || Get(1, 1, &event, kPatienceMs) == 1);
    EXPECT_EQ(event.res, 0);
    RecordProperty("seen", was_in_flight ? "in flight" : "done");
}

// ---- the result argument ----

TEST_F(CancelTest, ResultIsNotTouched) {
    kaio_raw_iocb poll = kaio_raw_prep_poll(pipe_[0], POLLIN);
    kaio_raw_event result;
    kaio_raw_event before;
    kaio_raw_event event;
    std::memset(&result, 0xee, sizeof result);
    std::memset(&before, 0xee, sizeof before);
    ASSERT_EQ(Submit(&poll), 1);

    EXPECT_EQ(kaio_raw_cancel(ctx_, &poll, &result), -EINPROGRESS);

    EXPECT_EQ(Get(1, 1, &event, kPatienceMs), 1);
    EXPECT_EQ(std::memcmp(&result, &before, sizeof result), 0);
}

TEST_F(CancelTest, ResultNeedNotBeMapped) {
    Page no_access(PROT_NONE);
    kaio_raw_iocb poll = kaio_raw_prep_poll(pipe_[0], POLLIN);
    kaio_raw_event event;
    ASSERT_EQ(Submit(&poll), 1);

    EXPECT_EQ(kaio_raw_cancel(ctx_, &poll, no_access.As<kaio_raw_event>()), -EINPROGRESS);

    EXPECT_EQ(Get(1, 1, &event, kPatienceMs), 1);
}

// ---- refusals ----

TEST_F(CancelTest, SecondCancelIsRefused) {
    kaio_raw_iocb poll = kaio_raw_prep_poll(pipe_[0], POLLIN);
    kaio_raw_event event;
    ASSERT_EQ(Submit(&poll), 1);
    ASSERT_EQ(Cancel(&poll), -EINPROGRESS);

    EXPECT_EQ(Cancel(&poll), -EINVAL);
    ASSERT_EQ(Get(1, 1, &event, kPatienceMs), 1);
    EXPECT_EQ(Cancel(&poll), -EINVAL);
}

TEST_F(CancelTest, CompletedRequestIsRefusedBeforeAndAfterItsEventIsTaken) {
    kaio_raw_iocb poll = kaio_raw_prep_poll(pipe_[0], POLLIN);
    kaio_raw_event event;
    ASSERT_EQ(Submit(&poll), 1);
    Ready();

    EXPECT_EQ(Cancel(&poll), -EINVAL);
    ASSERT_EQ(Get(1, 1, &event, kPatienceMs), 1);
    EXPECT_NE(event.res & POLLIN, 0);
    EXPECT_EQ(Cancel(&poll), -EINVAL);
}

TEST_F(CancelTest, RequestThatWasNeverSubmittedIsRefused) {
    kaio_raw_iocb poll = kaio_raw_prep_poll(pipe_[0], POLLIN);

    EXPECT_EQ(Cancel(&poll), -EINVAL);
}

TEST_F(CancelTest, CopyAtAnotherAddressIsRefused) {
    kaio_raw_iocb poll = kaio_raw_prep_poll(pipe_[0], POLLIN);
    kaio_raw_event event;
    ASSERT_EQ(Submit(&poll), 1);
    kaio_raw_iocb copy = poll;

    EXPECT_EQ(Cancel(&copy), -EINVAL);

    EXPECT_EQ(Cancel(&poll), -EINPROGRESS);
    EXPECT_EQ(Get(1, 1, &event, kPatienceMs), 1);
}

TEST_F(CancelTest, KeyOtherThanZeroIsRefused) {
    kaio_raw_iocb poll = kaio_raw_prep_poll(pipe_[0], POLLIN);
    kaio_raw_event event;
    ASSERT_EQ(Submit(&poll), 1);
    poll.aio_key = 7;

    EXPECT_EQ(Cancel(&poll), -EINVAL);

    poll.aio_key = 0;
    EXPECT_EQ(Cancel(&poll), -EINPROGRESS);
    EXPECT_EQ(Get(1, 1, &event, kPatienceMs), 1);
}

TEST_F(CancelTest, RequestIsReadBeforeTheContextIsLookedUp) {
    Page no_access(PROT_NONE);
    kaio_raw_iocb poll = kaio_raw_prep_poll(pipe_[0], POLLIN);

    EXPECT_EQ(kaio_raw_cancel(0, nullptr, nullptr), -EFAULT);
    EXPECT_EQ(kaio_raw_cancel(0, no_access.As<kaio_raw_iocb>(), nullptr), -EFAULT);
    EXPECT_EQ(kaio_raw_cancel(0, &poll, nullptr), -EINVAL);
}

TEST_F(CancelTest, RequestOfAnotherContextIsRefused) {
    kaio_raw_context other = 0;
    kaio_raw_iocb poll = kaio_raw_prep_poll(pipe_[0], POLLIN);
    kaio_raw_event event;
    ASSERT_EQ(kaio_raw_setup(1, &other), 0);
    ASSERT_EQ(Submit(&poll), 1);

    EXPECT_EQ(kaio_raw_cancel(other, &poll, nullptr), -EINVAL);

    EXPECT_EQ(Cancel(&poll), -EINPROGRESS);
    EXPECT_EQ(Get(1, 1, &event, kPatienceMs), 1);
    EXPECT_EQ(kaio_raw_destroy(other), 0);
}

// ---- the race ----

// Polls that one thread cancels while another makes their pipes readable, in step, so that the two
// meet at each.
class CancelRaceTest : public CancelTest {
  protected:
    static constexpr size_t kBatch = kDepth;
    static constexpr size_t kBatches = 313;  // 10,000 polls and some

    enum Racer { kCanceller, kWriter };

    void SetUp() override {
        CancelTest::SetUp();
        for (auto &pipe : pipes_) {
            ASSERT_EQ(pipe2(pipe.data(), O_CLOEXEC | O_NONBLOCK), 0);
        }
        ASSERT_EQ(pthread_barrier_init(&barrier_, nullptr, 2), 0);
    }

    void TearDown() override {
        pthread_barrier_destroy(&barrier_);
        CancelTest::TearDown();
        for (auto &pipe : pipes_) {
            close(pipe[0]);
            close(pipe[1]);
        }
    }

    void Meet() {
        pthread_barrier_wait(&barrier_);
    }

    // Says that `racer` is at poll `i`, and gives the other a moment to get there.
    void InStep(Racer racer, size_t i) {
        at_[racer].store(i, std::memory_order_relaxed);
        for (int spins = 0; spins < 4000; ++spins) {
            if (at_[1 - racer].load(std::memory_order_relaxed) >= i) {
                return;
            }
        }
    }

    // Later by more and less: a cancel may be longer on its way than a write.
    void Write(size_t batch) {
        for (size_t i = 0; i < kBatch; ++i) {
            InStep(kWriter, i + 1);
            for (size_t moments = (batch * kBatch + i) % 64 * 50; moments > 0; --moments) {
                (void)at_[kCanceller].load(std::memory_order_relaxed);
            }
            EXPECT_EQ(write(pipes_[i][1], "x", 1), 1);
        }
    }

    void CancelAll() {
        for (size_t i = 0; i < kBatch; ++i) {
            InStep(kCanceller, i + 1);
            answers_[i] = Cancel(&polls_[i]);
        }
    }

    void SubmitBatch(size_t batch) {
        kaio_raw_iocb *iocbs[kBatch];
        for (size_t i = 0; i < kBatch; ++i) {
            polls_[i] = kaio_raw_prep_poll(pipes_[i][0], POLLIN);
            kaio_raw_set_data(&polls_[i], batch * kBatch + i);
            iocbs[i] = &polls_[i];
        }
        at_[kCanceller] = 0;
        at_[kWriter] = 0;
        EXPECT_EQ(kaio_raw_submit(ctx_, kBatch, iocbs), long{kBatch});
    }

    // One event for each poll of the batch, which says what the answer to the cancel allows.
    void TakeBatch(size_t batch) {
        kaio_raw_event events[kBatch] = {};
        std::array<int, kBatch> times_seen = {};
        EXPECT_EQ(Get(kBatch, kBatch, events, kPatienceMs), long{kBatch}) << "in batch " << batch;
        for (const kaio_raw_event &event : events) {
            const size_t i = static_cast<size_t>(event.data) - batch * kBatch;
            ASSERT_LT(i, kBatch) << "an event of another batch";
            times_seen[i]++;
            if (answers_[i] == -EINPROGRESS) {
                EXPECT_TRUE(event.res == 0 || (event.res & POLLIN) != 0) << event.res;
                event.res == 0 ? ++cancelled_ : ++overtaken_;
            } else {
                EXPECT_EQ(answers_[i], -EINVAL);
                EXPECT_NE(event.res & POLLIN, 0) << event.res;
                ++ready_;
            }
        }
        for (size_t i = 0; i < kBatch; ++i) {
            EXPECT_EQ(times_seen[i], 1) << "poll " << i << " of batch " << batch;
        }
    }

    void DrainPipes() {
        for (auto &pipe : pipes_) {
            char byte;
            EXPECT_EQ(read(pipe[0], &byte, 1), 1);
        }
    }

    std::array<std::array<int, 2>, kBatch> pipes_ = {};
    std::array<kaio_raw_iocb, kBatch> polls_ = {};
    std::array<long, kBatch> answers_ = {};
    std::array<std::atomic<size_t>, 2> at_ = {};
    pthread_barrier_t barrier_;
    bool is_over_ = false;  // written before the two meet
    int cancelled_ = 0;
    int overtaken_ = 0;
    int ready_ = 0;
};

TEST_F(CancelRaceTest, PollThatIsCancelledWhileItBecomesReadyGivesExactlyOneEvent) {
    std::thread writer([this] {
        size_t batch = 0;
        for (Meet(); !is_over_; Meet()) {
            Write(batch++);
            Meet();
        }
    });

    for (size_t batch = 0; batch < kBatches && !HasFailure(); ++batch) {
        SubmitBatch(batch);
        Meet();
        CancelAll();
        Meet();
        TakeBatch(batch);
        DrainPipes();
    }
    is_over_ = true;
    Meet();
    writer.join();

    RecordProperty("seen", std::to_string(cancelled_) + " cancelled, " +
                               std::to_string(overtaken_) + " ready after all, " +
                               std::to_string(ready_) + " ready before");
}

}  // namespace
}  // namespace kaio_test
