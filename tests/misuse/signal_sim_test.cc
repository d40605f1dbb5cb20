// Signal handlers that run while a wait is blocked in the kernel.

#include <fcntl.h>
#include <signal.h>
#include <sys/time.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "kaio/safe/kaio.h"
#include "kaio/safe/sim/sim.h"
#include "kaio/safe/testing.h"
#include "tests/misuse/every_use.h"
#include "tests/support/safe_test.h"

namespace {

using namespace kaio_test;

// What the handler tries, and what it was told: the handler itself expects nothing and allocates
// nothing.
struct Tried {
    std::vector<Use> uses;
    Companions with;
    std::atomic<uint32_t> round_count;
    std::atomic<uint32_t> inside_count;  // rounds in which every answer was REENTERED
    std::atomic<uint32_t> mixed_count;   // rounds in which some were, and others not
    std::atomic<uintptr_t> idle;         // a read that the handler pushes in such a round
    std::atomic<uintptr_t> dropped;      // a queue that it drops there
};

Tried *tried;

void GiveUpInside() {
    kaio_read *idle = Handle<kaio_read>(tried->idle.exchange(0));
    if (idle != nullptr) {
        kaio_read_push(&idle, 8);
    }
    kaio_queue *dropped = Handle<kaio_queue>(tried->dropped.exchange(0));
    kaio_queue_drop(&dropped);
}

void OnSignal(int) {
    const int before = errno;
    uint32_t reentered_count = 0;
    for (const Use &use : tried->uses) {
        reentered_count +=
            use.call(tried->with, Bits(tried->with.queue)).code == KAIO_REENTERED ? 1 : 0;
    }
    ++tried->round_count;
    if (reentered_count == tried->uses.size()) {
        ++tried->inside_count;
        GiveUpInside();
    } else if (reentered_count > 0) {
        ++tried->mixed_count;
    }
    errno = before;
}

class BlockedWaitTest : public QueueTest {
  protected:
    void SetUp() override {
        kaio_sim_script script = {};
        script.late = true;  // a wait sleeps until its deadline
        kaio_sim_play(&script);
        QueueTest::SetUp();
        file_ = OpenFile("/dev/zero");
        // Outside a call these two change nothing: the timer may be faster than the wait.
        for (const Use &use : UsesOfQueues()) {
            const std::string name = use.name;
            if (name == "QueueOfTake" || name == "QueueOfCount") {
                tried_.uses.push_back(use);
            }
        }
        tried_.with = {queue_, file_, nullptr};
        tried = &tried_;
        struct sigaction action = {};
        action.sa_handler = OnSignal;
        ASSERT_EQ(sigaction(SIGALRM, &action, &old_action_), 0);
    }

    void TearDown() override {
        sigaction(SIGALRM, &old_action_, nullptr);
        const kaio_sim_script none = {};
        kaio_sim_play(&none);
        EXPECT_OK(kaio_file_close(&file_));
        EXPECT_OK(kaio_queue_close(&queue_));
        QueueTest::TearDown();
    }

    void WaitUnderSignals(int64_t wait_ns) {
        itimerval timer = {};
        timer.it_interval.tv_usec = 2000;
        timer.it_value.tv_usec = 2000;
        ASSERT_EQ(setitimer(ITIMER_REAL, &timer, nullptr), 0);
        Output<uint32_t> ready;
        const kaio_status status =
            kaio_queue_wait(queue_, 1, kaio_deadline_after_ns(wait_ns), ready.at());
        timer = {};
        ASSERT_EQ(setitimer(ITIMER_REAL, &timer, nullptr), 0);
        EXPECT_CODE(KAIO_TIMED_OUT, ready.Judge(status));
        ExpectBooks();
    }

    kaio_file *file_ = nullptr;
    Tried tried_{{}, {}, {0}, {0}, {0}, {0}, {0}};
    struct sigaction old_action_ = {};
};

TEST_F(BlockedWaitTest, AHandlersCallsAnswerReenteredAndTheWaitKeepsItsDeadline) {
    kaio_buffer *buffer = NewBuffer(8, 8);
    StartRead(file_, 0, &buffer, 6);
    const int64_t begin = kaio_deadline_after_ns(1).at_ns;

    WaitUnderSignals(200000000);

    EXPECT_GE(kaio_deadline_after_ns(1).at_ns - begin, 200000000);
    EXPECT_EQ(tried_.mixed_count, 0u);
#if !defined(__SANITIZE_THREAD__)
    EXPECT_GE(tried_.inside_count, 1u);
#endif
    EXPECT_EQ(Counts().in_flight_count, 1u);
    EXPECT_EQ(kaio_sim_complete(1), 1u);
    kaio_completion completion = Take();
    EXPECT_EQ(completion.user, 6u);
    kaio_completion_drop(&completion);
}

TEST_F(BlockedWaitTest, ARequestThatAHandlerPushesIsTakenRefused) {
#if defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "TSan runs handlers when their thread is outside the library";
#endif
    kaio_buffer *buffer = NewBuffer(8, 8);
    StartRead(file_, 0, &buffer, 6);
    kaio_buffer *refused = NewBuffer(Pattern(8), 8);
    kaio_buffer *const alias = refused;
    const uintptr_t bits = Bits(NewRead(file_, &refused));
    tried_.idle = bits;

    // The wait finds it, and ends.
    itimerval timer = {};
    timer.it_value.tv_usec = 20000;
    timer.it_interval.tv_usec = 20000;
    ASSERT_EQ(setitimer(ITIMER_REAL, &timer, nullptr), 0);
    uint32_t ready = 0;
    EXPECT_OK(kaio_queue_wait(queue_, 1, kaio_deadline_after_ns(30000000000), &ready));
    timer = {};
    ASSERT_EQ(setitimer(ITIMER_REAL, &timer, nullptr), 0);

    EXPECT_EQ(ready, 1u);
    kaio_completion completion = Take();
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_REFUSED);
    EXPECT_CODE(KAIO_REENTERED, completion.refusal);
    EXPECT_EQ(completion.ticket.bits, bits);
    EXPECT_EQ(completion.buffer, alias);
    EXPECT_EQ(BufferText(alias, 8), Pattern(8));
    kaio_completion_drop(&completion);
    ExpectEmpty();
    EXPECT_EQ(kaio_sim_complete(1), 1u);
    completion = Take();
    EXPECT_EQ(completion.user, 6u);
    kaio_completion_drop(&completion);
}

TEST_F(BlockedWaitTest, AQueueThatAHandlerDropsIsDestroyedByTheNextCall) {
#if defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "TSan runs handlers when their thread is outside the library";
#endif
    kaio_buffer *buffer = NewBuffer(8, 8);
    StartRead(file_, 0, &buffer, 6);
    tried_.dropped = Bits(queue_);
    kaio_queue *const alias = queue_;

    WaitUnderSignals(200000000);
    EXPECT_EQ(tried_.dropped, 0u);
    EXPECT_EQ(kaio_testing_count().queue_count, 1u) << "the wait was still in it";

    Output<kaio_queue_counts> counts;
    EXPECT_CODE(KAIO_STALE, counts.Judge(kaio_queue_count(alias, counts.at())));
    EXPECT_EQ(kaio_testing_count().queue_count, 0u);
    EXPECT_EQ(kaio_testing_count().buffer_count, 0u);
    QueueTest::SetUp();
}

TEST_F(BlockedWaitTest, AQueueWithoutAThreadThatAHandlerDropsEndsWithTheNextDropOrTheThread) {
#if defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "TSan runs handlers when their thread is outside the library";
#endif
    kaio_queue *left = nullptr;
    std::thread([&left] {
        kaio_queue_options options = {};
        options.depth = 1;
        EXPECT_OK(kaio_queue_open(&options, &left));
    }).join();
    kaio_buffer *buffer = NewBuffer(8, 8);
    StartRead(file_, 0, &buffer, 6);
    tried_.dropped = Bits(left);

    WaitUnderSignals(200000000);
    EXPECT_EQ(tried_.dropped, 0u);
    kaio_queue_drop(&left);

    EXPECT_EQ(kaio_testing_count().queue_count, 1u);
    EXPECT_EQ(kaio_sim_complete(1), 1u);
    kaio_completion completion = Take();
    EXPECT_EQ(completion.user, 6u);
    kaio_completion_drop(&completion);
}

}  // namespace
