// A child of fork(2) has no contexts, but may have its parent's rings: what it can do to them.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <functional>
#include <memory>

#include "kaio/raw/aio_prep.h"
#include "kaio/raw/aio_ring.h"
#include "kaio/raw/aio_syscall.h"
#include "tests/support/in_child.h"

namespace kaio_test {
namespace {

constexpr unsigned kChildSeconds = 60;
constexpr long kEvents = 5;

// A context that has kEvents finished events, tagged in order, which nobody has reaped.
class ForkTest : public testing::Test {
  protected:
    void SetUp() override {
        null_ = open("/dev/null", O_RDONLY | O_CLOEXEC);
        ASSERT_GE(null_, 0);
        ASSERT_EQ(pipe2(pipe_, O_CLOEXEC), 0);
        ASSERT_EQ(kaio_raw_setup(2 * kEvents, &ctx_), 0);
        if (kaio_raw_ring_validate(ctx_, &consumer_) != 0) {
            GTEST_SKIP() << "this kernel maps no ring";
        }
        for (long tag = 0; tag < kEvents; ++tag) {
            ASSERT_EQ(SubmitRead(static_cast<uint64_t>(tag)), 1);
        }
    }

    void TearDown() override {
        if (ctx_ != 0) {
            EXPECT_EQ(kaio_raw_destroy(ctx_), 0);
        }
        close(pipe_[0]);
        close(pipe_[1]);
        close(null_);
    }

    long SubmitRead(uint64_t tag) {
        kaio_raw_iocb iocb = kaio_raw_prep_pread(null_, &byte_, 1, 0);
        kaio_raw_set_data(&iocb, tag);
        kaio_raw_iocb *pointer = &iocb;
        return kaio_raw_submit(ctx_, 1, &pointer);
    }

    long Get(kaio_raw_event *out_events, long nr) {
        kaio_raw_old_timespec no_wait = {0, 0};
        return kaio_raw_getevents(ctx_, 0, nr, out_events, &no_wait);
    }

    void ExpectNothingTaken() {
        kaio_raw_event events[kEvents + 1] = {};
        ASSERT_EQ(Get(events, kEvents + 1), kEvents);
        for (long tag = 0; tag < kEvents; ++tag) {
            EXPECT_EQ(events[tag].data, static_cast<uint64_t>(tag));
        }
    }

    // What each call answers in a child, which then has done its best to disturb the context.
    void ExpectCallsRefused() {
        kaio_raw_event event;
        kaio_raw_timespec no_wait = {0, 0};
        kaio_raw_iocb iocb = kaio_raw_prep_poll(pipe_[0], POLLIN);
        EXPECT_EQ(SubmitRead(0), -EINVAL);
        EXPECT_EQ(kaio_raw_cancel(ctx_, &iocb, &event), -EINVAL);
        EXPECT_EQ(Get(&event, 1), -EINVAL);
        EXPECT_EQ(kaio_raw_pgetevents(ctx_, 0, 1, &event, &no_wait, nullptr), -EINVAL);
        EXPECT_EQ(kaio_raw_destroy(ctx_), -EINVAL);
    }

    int null_ = -1;
    int pipe_[2] = {-1, -1};
    char byte_ = 0;
    kaio_raw_context ctx_ = 0;
    kaio_raw_ring_consumer consumer_ = {};
};

TEST_F(ForkTest, ChildsCallsAreRefusedAndTakeNothing) {
    ExpectFineInChild([this] {
        alarm(kChildSeconds);
        ExpectCallsRefused();
    });

    ExpectNothingTaken();
}

TEST_F(ForkTest, DontforkLeavesTheRingOutOfTheChild) {
    ASSERT_EQ(kaio_raw_ring_dontfork(&consumer_), 0);

    ExpectFineInChild([this] {
        alarm(kChildSeconds);
        kaio_raw_ring_consumer consumer;
        EXPECT_EQ(kaio_raw_ring_validate(ctx_, &consumer), -ENOMEM);
    });
}

TEST_F(ForkTest, DontforkCoversTheWholeRing) {
    kaio_raw_context large = 0;
    ASSERT_EQ(kaio_raw_setup(1000, &large), 0);
    kaio_raw_ring_consumer consumer;
    ASSERT_EQ(kaio_raw_ring_validate(large, &consumer), 0);
    ASSERT_EQ(kaio_raw_ring_dontfork(&consumer), 0);

    ExpectFineInChild([large, &consumer] {
        alarm(kChildSeconds);
        auto page_bytes = static_cast<kaio_raw_context>(sysconf(_SC_PAGESIZE));
        kaio_raw_context bytes = (consumer.nr + 1) * sizeof(kaio_raw_event);
        ASSERT_GT(bytes, page_bytes);
        kaio_raw_ring_consumer found;
        for (kaio_raw_context offset = 0; offset < bytes; offset += page_bytes) {
            EXPECT_EQ(kaio_raw_ring_validate(large + offset, &found), -ENOMEM) << offset;
        }
    });
    EXPECT_EQ(kaio_raw_destroy(large), 0);
}

TEST_F(ForkTest, ChildWithoutTheRingIsRefusedAndTakesNothing) {
    ASSERT_EQ(kaio_raw_ring_dontfork(&consumer_), 0);

    ExpectFineInChild([this] {
        alarm(kChildSeconds);
        ExpectCallsRefused();
    });

    ExpectNothingTaken();
}

TEST_F(ForkTest, ChildWithoutTheRingFaultsWhereItWas) {
    ASSERT_EQ(kaio_raw_ring_dontfork(&consumer_), 0);
    const pid_t child = fork();
    ASSERT_NE(child, -1);
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        alarm(kChildSeconds);
        _exit(kaio_raw_ring_ready(&consumer_) == kEvents ? 1 : 2);
    }

    int answer = 0;
    ASSERT_EQ(waitpid(child, &answer, 0), child);
    ASSERT_TRUE(WIFSIGNALED(answer)) << "the child read the ring";
    EXPECT_EQ(WTERMSIG(answer), SIGSEGV);
}

// The danger that kaio_raw_ring_dontfork is for. From 7.3 on the kernel itself averts it.
TEST_F(ForkTest, ChildWithTheRingTakesItsParentsEvents) {
    enum { kElse, kTook, kHadNoRing };
    const pid_t child = fork();
    ASSERT_NE(child, -1);
    if (child == 0) {
        alarm(kChildSeconds);
        kaio_raw_ring_consumer consumer;
        const long error = kaio_raw_ring_validate(ctx_, &consumer);
        if (error != 0) {
            _exit(error == -ENOMEM ? kHadNoRing : kElse);
        }
        const kaio_raw_event *events = nullptr;
        uint32_t count = kaio_raw_ring_peek(&consumer, &events);
        kaio_raw_ring_consume(&consumer, count);
        _exit(count == kEvents ? kTook : kElse);
    }
    int answer = 0;
    ASSERT_EQ(waitpid(child, &answer, 0), child);
    ASSERT_TRUE(WIFEXITED(answer));

    if (WEXITSTATUS(answer) == kHadNoRing) {
        RecordProperty("seen", "nothing lost: the child had no ring");
        ExpectNothingTaken();
        return;
    }
    RecordProperty("seen", "events lost: the child had the ring");
    ASSERT_EQ(WEXITSTATUS(answer), kTook);
    kaio_raw_event event;
    EXPECT_EQ(Get(&event, 1), 0);
}

TEST_F(ForkTest, DontforkLeavesTheParentItsRing) {
    ASSERT_EQ(kaio_raw_ring_dontfork(&consumer_), 0);
    ExpectFineInChild([] {});

    const kaio_raw_event *events = nullptr;
    ASSERT_EQ(kaio_raw_ring_peek(&consumer_, &events), kEvents);
    EXPECT_EQ(events[kEvents - 1].data, kEvents - 1u);
    kaio_raw_ring_consume(&consumer_, kEvents);
    EXPECT_EQ(SubmitRead(0), 1);
    EXPECT_EQ(kaio_raw_ring_ready(&consumer_), 1u);
}

TEST_F(ForkTest, ChildUsesContextsOfItsOwn) {
    ASSERT_EQ(kaio_raw_ring_dontfork(&consumer_), 0);

    ExpectFineInChild([this] {
        alarm(kChildSeconds);
        ctx_ = 0;
        ASSERT_EQ(kaio_raw_setup(1, &ctx_), 0);
        ASSERT_EQ(SubmitRead(77), 1);
        kaio_raw_event event = {};
        EXPECT_EQ(Get(&event, 1), 1);
        EXPECT_EQ(event.data, 77u);
        EXPECT_EQ(kaio_raw_destroy(ctx_), 0);
    });

    ExpectNothingTaken();
}

TEST_F(ForkTest, PendingRequestOutlivesTheChild) {
    kaio_raw_iocb iocb = kaio_raw_prep_poll(pipe_[0], POLLIN);
    kaio_raw_set_data(&iocb, kEvents);
    kaio_raw_iocb *pointer = &iocb;
    ASSERT_EQ(kaio_raw_submit(ctx_, 1, &pointer), 1);

    ExpectFineInChild([] {});
    ExpectNothingTaken();
    ASSERT_EQ(write(pipe_[1], "x", 1), 1);

    kaio_raw_event event = {};
    kaio_raw_old_timespec timeout = {kChildSeconds, 0};
    ASSERT_EQ(kaio_raw_getevents(ctx_, 1, 1, &event, &timeout), 1);
    EXPECT_EQ(event.data, static_cast<uint64_t>(kEvents));
    EXPECT_NE(event.res & POLLIN, 0);
}

TEST_F(ForkTest, ChildThatSharesTheMemoryUsesTheContext) {
    ASSERT_EQ(kaio_raw_ring_dontfork(&consumer_), 0);
    long submitted = 0;
    long got = 0;
    std::function<void()> use = [&] {
        kaio_raw_event events[kEvents + 1];
        submitted = SubmitRead(kEvents);
        got = Get(events, kEvents + 1);
    };
    auto call = [](void *function) {
        (*static_cast<std::function<void()> *>(function))();
        return 0;
    };
    constexpr size_t kStackBytes = 256 * 1024;
    auto stack = std::make_unique<char[]>(kStackBytes);

    // As vfork(2), which may not return from the function that calls it.
    const pid_t child =
        clone(call, stack.get() + kStackBytes, CLONE_VM | CLONE_VFORK | SIGCHLD, &use);

    ASSERT_NE(child, -1);
    int answer = -1;
    ASSERT_EQ(waitpid(child, &answer, 0), child);
    EXPECT_EQ(answer, 0);
    EXPECT_EQ(submitted, 1);
    EXPECT_EQ(got, kEvents + 1);
    EXPECT_EQ(SubmitRead(0), 1);
}

}  // namespace
}  // namespace kaio_test
