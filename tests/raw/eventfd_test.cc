#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <thread>
#include <vector>

#include "kaio/raw/aio_prep.h"
#include "kaio/raw/aio_syscall.h"
#include "tests/raw/kernel_test.h"

namespace kaio_test {
namespace {

// An eventfd that counts events.
class Counter {
  public:
    explicit Counter(int flags = 0) : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | flags)) {
        EXPECT_GE(fd_, 0);
    }

    ~Counter() {
        Close();
    }

    Counter(const Counter &) = delete;
    Counter &operator=(const Counter &) = delete;

    int fd() const {
        return fd_;
    }

    void Close() {
        if (fd_ != kNoDescriptor) {
            EXPECT_EQ(close(fd_), 0);
        }
        fd_ = kNoDescriptor;
    }

    // What poll(2) finds within `limit_ms`.
    int Poll(int limit_ms = 0) const {
        pollfd polled = {fd_, POLLIN, 0};
        EXPECT_GE(poll(&polled, 1, limit_ms), 0);
        return polled.revents;
    }

    // What a read takes: all, or 1 with EFD_SEMAPHORE; 0 where it would block.
    uint64_t Take() const {
        uint64_t count = 0;
        if (Poll() != 0) {
            EXPECT_EQ(read(fd_, &count, sizeof count), static_cast<ssize_t>(sizeof count));
        }
        return count;
    }

    void Add(uint64_t count) const {
        EXPECT_EQ(write(fd_, &count, sizeof count), static_cast<ssize_t>(sizeof count));
    }

  private:
    int fd_;
};

class EventfdTest : public KernelTest {
  protected:
    // A read of `fd_` that raises `counter`.
    kaio_raw_iocb CountedRead(const Counter &counter) {
        kaio_raw_iocb read = kaio_raw_prep_pread(fd_, bytes_, 1, 0);
        kaio_raw_set_eventfd(&read, counter.fd());
        return read;
    }

    kaio_raw_iocb CountedPoll(const Counter &counter) {
        kaio_raw_iocb poll = kaio_raw_prep_poll(pipe_[0], POLLIN);
        kaio_raw_set_eventfd(&poll, counter.fd());
        return poll;
    }

    // Makes `count` events that raise `counter`, and takes them.
    void CountEvents(const Counter &counter, long count) {
        kaio_raw_iocb read = CountedRead(counter);
        std::vector<kaio_raw_iocb *> iocbs(static_cast<size_t>(count), &read);
        std::vector<kaio_raw_event> events(static_cast<size_t>(count));
        ASSERT_EQ(kaio_raw_submit(ctx_, count, iocbs.data()), count);
        ASSERT_EQ(Get(count, count, events.data(), kPatienceMs), count);
    }
};

// ---- what is counted ----

TEST_F(EventfdTest, FiveEventsCountFive) {
    Counter counter;

    CountEvents(counter, 5);

    EXPECT_EQ(counter.Take(), 5u);
}

TEST_F(EventfdTest, NothingIsCountedBeforeTheEvent) {
    Counter counter;
    kaio_raw_iocb poll = CountedPoll(counter);
    kaio_raw_event event;
    ASSERT_EQ(Submit(&poll), 1);

    EXPECT_EQ(counter.Poll(), 0);
    Ready();

    EXPECT_EQ(counter.Poll(kPatienceMs), POLLIN);
    EXPECT_EQ(counter.Take(), 1u);
    EXPECT_EQ(Get(0, 1, &event), 1);
}

TEST_F(EventfdTest, EventWithAnErrorCounts) {
    Page no_access(PROT_NONE);
    Counter counter;
    ASSERT_EQ(Run(kaio_raw_prep_pwrite(fd_, "x", 1, 0)), 1);
    kaio_raw_iocb read = kaio_raw_prep_pread(fd_, no_access.As<char>(), 1, 0);
    kaio_raw_set_eventfd(&read, counter.fd());

    EXPECT_EQ(Run(read), -EFAULT);

    EXPECT_EQ(counter.Take(), 1u);
}

TEST_F(EventfdTest, CancelledPollCounts) {
    Counter counter;
    kaio_raw_iocb poll = CountedPoll(counter);
    kaio_raw_event event;
    ASSERT_EQ(Submit(&poll), 1);

    ASSERT_EQ(kaio_raw_cancel(ctx_, &poll, nullptr), -EINPROGRESS);

    EXPECT_EQ(counter.Poll(kPatienceMs), POLLIN);
    EXPECT_EQ(counter.Take(), 1u);
    EXPECT_EQ(Get(0, 1, &event), 1);
}

TEST_F(EventfdTest, SyncCounts) {
    Counter counter;
    kaio_raw_iocb sync = kaio_raw_prep_fsync(fd_);
    kaio_raw_set_eventfd(&sync, counter.fd());
    kaio_raw_event event;
    ASSERT_EQ(Submit(&sync), 1);

    EXPECT_EQ(counter.Poll(kPatienceMs), POLLIN);
    EXPECT_EQ(counter.Take(), 1u);
    EXPECT_EQ(Get(0, 1, &event), 1);
}

TEST_F(EventfdTest, RefusedRequestIsNotCounted) {
    Counter counter;
    kaio_raw_iocb wrong_mode = kaio_raw_prep_pread(pipe_[1], bytes_, 1, 0);
    kaio_raw_set_eventfd(&wrong_mode, counter.fd());

    EXPECT_EQ(Submit(&wrong_mode), -EBADF);

    EXPECT_EQ(counter.Poll(), 0);
}

TEST_F(EventfdTest, EachRequestRaisesItsOwn) {
    Counter first;
    Counter second;
    kaio_raw_iocb first_read = CountedRead(first);
    kaio_raw_iocb second_read = CountedRead(second);
    kaio_raw_iocb uncounted = kaio_raw_prep_pread(fd_, bytes_, 1, 0);
    kaio_raw_iocb *iocbs[] = {&first_read, &second_read, &uncounted, &second_read};
    kaio_raw_event events[4];

    ASSERT_EQ(kaio_raw_submit(ctx_, 4, iocbs), 4);
    ASSERT_EQ(Get(4, 4, events, kPatienceMs), 4);

    EXPECT_EQ(first.Take(), 1u);
    EXPECT_EQ(second.Take(), 2u);
}

TEST_F(EventfdTest, TakingEventsDoesNotLowerTheCount) {
    Counter counter;
    CountEvents(counter, 2);
    CountEvents(counter, 3);

    EXPECT_EQ(counter.Take(), 5u);
    EXPECT_EQ(counter.Take(), 0u);
}

TEST_F(EventfdTest, SemaphoreGivesOneReadForEachEvent) {
    Counter counter(EFD_SEMAPHORE);

    CountEvents(counter, 3);

    EXPECT_EQ(counter.Take(), 1u);
    EXPECT_EQ(counter.Take(), 1u);
    EXPECT_EQ(counter.Take(), 1u);
    EXPECT_EQ(counter.Take(), 0u);
}

// 2^64 - 2 is the most that a write(2) can bring about.
TEST_F(EventfdTest, FullCounterStaysFullAndEveryEventIsThere) {
    Counter counter;
    counter.Add(UINT64_MAX - 1);

    CountEvents(counter, 3);

    EXPECT_NE(counter.Poll() & POLLERR, 0);
    EXPECT_EQ(counter.Take(), UINT64_MAX);
    EXPECT_EQ(counter.Take(), 0u);
}

// ---- which descriptor ----

TEST_F(EventfdTest, DescriptorThatIsNoEventfdIsRefused) {
    kaio_raw_iocb read = kaio_raw_prep_pread(fd_, bytes_, 1, 0);
    kaio_raw_set_eventfd(&read, pipe_[1]);

    EXPECT_EQ(Submit(&read), -EINVAL);
}

TEST_F(EventfdTest, DescriptorThatIsNotOpenIsRefused) {
    Counter counter;
    kaio_raw_iocb read = CountedRead(counter);
    counter.Close();

    EXPECT_EQ(Submit(&read), -EBADF);
}

TEST_F(EventfdTest, DescriptorIsNotLookedAtWithoutTheFlag) {
    kaio_raw_iocb read = kaio_raw_prep_pread(fd_, bytes_, 1, 0);
    kaio_raw_set_eventfd(&read, pipe_[1]);
    read.aio_flags = 0;

    EXPECT_EQ(Run(read), 0);
}

TEST_F(EventfdTest, ClosedWhileThePollIsPendingItCountsForItsDuplicate) {
    Counter counter;
    const int duplicate = dup(counter.fd());
    ASSERT_GE(duplicate, 0);
    kaio_raw_iocb poll = CountedPoll(counter);
    kaio_raw_event event;
    uint64_t count = 0;
    ASSERT_EQ(Submit(&poll), 1);

    counter.Close();
    Ready();

    ASSERT_EQ(Get(1, 1, &event, kPatienceMs), 1);
    EXPECT_EQ(read(duplicate, &count, sizeof count), static_cast<ssize_t>(sizeof count));
    EXPECT_EQ(count, 1u);
    close(duplicate);
}

TEST_F(EventfdTest, ClosedForGoodWhileThePollIsPendingTheEventStillComes) {
    Counter counter;
    kaio_raw_iocb poll = CountedPoll(counter);
    kaio_raw_event event;
    ASSERT_EQ(Submit(&poll), 1);

    counter.Close();
    Ready();

    ASSERT_EQ(Get(1, 1, &event, kPatienceMs), 1);
    EXPECT_NE(event.res & POLLIN, 0);
}

TEST_F(EventfdTest, PollOfTheEventfdThatItRaisesCompletes) {
    Counter counter;
    kaio_raw_iocb poll = kaio_raw_prep_poll(counter.fd(), POLLIN);
    kaio_raw_set_eventfd(&poll, counter.fd());
    kaio_raw_event event;
    ASSERT_EQ(Submit(&poll), 1);

    counter.Add(10);

    ASSERT_EQ(Get(1, 1, &event, kPatienceMs), 1);
    EXPECT_NE(event.res & POLLIN, 0);
    EXPECT_EQ(counter.Poll(kPatienceMs), POLLIN);
    EXPECT_EQ(counter.Take(), 11u);
}

// ---- events and count ----

TEST_F(EventfdTest, CountNeverRunsAheadOfTheEvents) {
    constexpr uint64_t kEvents = 10000;
    Counter counter;
    std::atomic<uint64_t> taken = 0;
    std::atomic<bool> has_failed = false;
    std::thread submitter([&] {
        kaio_raw_iocb read = CountedRead(counter);
        for (uint64_t submitted = 0; submitted < kEvents && !has_failed;) {
            if (submitted - taken >= kDepth) {
                std::this_thread::yield();
                continue;
            }
            EXPECT_EQ(Submit(&read), 1);
            ++submitted;
        }
    });

    while (taken < kEvents && !has_failed) {
        kaio_raw_event events[kDepth];
        has_failed = counter.Poll(kPatienceMs) != POLLIN;
        const uint64_t count = counter.Take();
        has_failed = has_failed || count > kDepth;
        EXPECT_LE(count, kDepth);
        const long found = has_failed ? 0 : Get(0, static_cast<long>(count), events);
        EXPECT_EQ(static_cast<uint64_t>(found), count);
        has_failed = has_failed || static_cast<uint64_t>(found) != count;
        taken += count;
    }
    submitter.join();

    EXPECT_FALSE(has_failed);
    EXPECT_EQ(taken, kEvents);
    EXPECT_EQ(counter.Poll(), 0);
}

}  // namespace
}  // namespace kaio_test
