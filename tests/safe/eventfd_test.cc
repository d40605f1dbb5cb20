// A queue's eventfd is readable whenever an outcome can be taken.

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <set>
#include <string>
#include <thread>

#include "kaio/safe/poll.h"
#include "kaio/safe/queue.h"
#include "kaio/safe/sync.h"
#include "tests/support/safe_test.h"

namespace kaio_test {
namespace {

constexpr uint32_t kSizeBytes = 512;

class EventfdTest : public QueueTest {
  protected:
    kaio_queue_options Options() const override {
        kaio_queue_options options = QueueTest::Options();
        options.eventfd = true;
        return options;
    }

    void SetUp() override {
        QueueTest::SetUp();
        file_ = OpenFile(temp_.path());
        ASSERT_OK(K(kaio_queue_as_fd(queue_, &event_fd_)));
        ASSERT_EQ(pipe2(fds_, O_CLOEXEC), 0);
        ASSERT_OK(kaio_file_borrow(fds_[0], &reader_));
        errno = kErrno;
    }

    void TearDown() override {
        EXPECT_EQ(errno, kErrno) << "errno was touched";
        QueueTest::TearDown();
        kaio_file_drop(&file_);
        kaio_file_drop(&reader_);
        close(fds_[0]);
        close(fds_[1]);
    }

    bool IsReadable(int patience_ms = 0) const {
        pollfd file = {event_fd_, POLLIN, 0};
        return poll(&file, 1, patience_ms) == 1;
    }

    void StartReads(uint32_t count) {
        for (uint32_t i = 0; i < count; ++i) {
            kaio_buffer *buffer = NewBuffer(kSizeBytes);
            StartRead(file_, 0, &buffer, i);
        }
    }

    // Takes `count` outcomes, before each of which the eventfd is readable, and after EMPTY not.
    void TakeAll(uint32_t count) {
        for (uint32_t i = 0; i < count; ++i) {
            EXPECT_TRUE(IsReadable(kPatienceMs)) << i;
            kaio_completion completion = Take();
            kaio_completion_drop(&completion);
        }
        ExpectEmpty();
        EXPECT_FALSE(IsReadable());
    }

    static constexpr int kPatienceMs = 10000;
    TempFile temp_{Pattern(kSizeBytes)};
    kaio_file *file_ = nullptr;
    kaio_file *reader_ = nullptr;
    int event_fd_ = -1;
    int fds_[2] = {-1, -1};
};

using WithoutEventfdTest = QueueTest;

TEST_F(WithoutEventfdTest, AQueueThatWasOpenedWithoutOneHasNone) {
    int fd = 77;

    const kaio_status status = K(kaio_queue_as_fd(queue_, &fd));

    EXPECT_CODE(KAIO_UNSUPPORTED, status);
    EXPECT_EQ(status.subject, KAIO_SUBJECT_OPTIONS);
    EXPECT_EQ(fd, 77);
}

TEST_F(EventfdTest, NothingIsReadableAtFirstAndAfterAnEmptyTake) {
    EXPECT_FALSE(IsReadable());
    ExpectEmpty();
    EXPECT_FALSE(IsReadable());
}

TEST_F(EventfdTest, CompletionsMakeItReadableUntilEmpty) {
    StartReads(5);
    EXPECT_FALSE(IsReadable()) << "nothing was sent yet";
    Flush();

    TakeAll(5);
    StartReads(1);
    Flush();

    TakeAll(1);
}

TEST_F(EventfdTest, ItStaysReadableWhileOutcomesThatAWaitReapedAreLeft) {
    StartReads(3);

    EXPECT_EQ(Wait(3), 3u);

    TakeAll(3);
}

TEST_F(EventfdTest, ARefusedRequestMakesItReadable) {
    kaio_file *closed = nullptr;
    const int fd = open(temp_.path(), O_RDONLY | O_CLOEXEC);
    ASSERT_OK(kaio_file_borrow(fd, &closed));
    kaio_buffer *buffer = NewBuffer(kSizeBytes);
    StartRead(closed, 0, &buffer);
    close(fd);

    EXPECT_EQ(Flush().refused_count, 1u);

    TakeAll(1);
    kaio_file_drop(&closed);
}

TEST_F(EventfdTest, AnUnsentCancelledRequestMakesItReadable) {
    kaio_buffer *buffer = NewBuffer(kSizeBytes);
    const kaio_ticket ticket = StartRead(file_, 0, &buffer);
    kaio_cancel_answer answer = KAIO_CANCEL_STALE;

    EXPECT_OK(K(kaio_queue_cancel(queue_, ticket, &answer)));

    EXPECT_EQ(answer, KAIO_CANCEL_UNSENT);
    TakeAll(1);
}

TEST_F(EventfdTest, ASyncThatIsNotSentMakesItReadable) {
    kaio_buffer *buffer = NewBuffer(kSizeBytes);
    const kaio_ticket write = StartWrite(file_, 0, &buffer);
    kaio_cancel_answer answer = KAIO_CANCEL_STALE;
    EXPECT_OK(K(kaio_queue_cancel(queue_, write, &answer)));
    TakeAll(1);
    buffer = NewBuffer(kSizeBytes);
    const kaio_ticket again = StartWrite(file_, 0, &buffer);
    EXPECT_OK(K(kaio_queue_cancel(queue_, again, &answer)));  // not taken: the sync hears of it
    kaio_ticket sync = {};

    EXPECT_OK(K(kaio_sync_start(queue_, file_, KAIO_SYNC_DATA, 1, &sync)));

    EXPECT_EQ(Counts().finished_count, 2u);
    TakeAll(2);
}

TEST_F(EventfdTest, ACancelledPollMakesItReadable) {
    kaio_ticket ticket = {};
    EXPECT_OK(K(kaio_poll_start(queue_, reader_, kaio_poll_readable(), 1, &ticket)));
    EXPECT_EQ(Flush().accepted_count, 1u);
    EXPECT_FALSE(IsReadable());
    kaio_cancel_answer answer = KAIO_CANCEL_STALE;

    EXPECT_OK(K(kaio_queue_cancel(queue_, ticket, &answer)));

    EXPECT_EQ(answer, KAIO_CANCEL_ASKED);
    TakeAll(1);
}

TEST_F(EventfdTest, WhatAnotherThreadGaveUpMakesItReadableInTheNextWait) {
    kaio_buffer *buffer = NewBuffer(kSizeBytes);
    kaio_read *read = NewRead(file_, &buffer);
    std::thread([&read] { kaio_read_push(&read, 1); }).join();

    EXPECT_EQ(Wait(1), 1u);

    TakeAll(1);
}

TEST_F(EventfdTest, ItIsClosedWithTheQueue) {
    EXPECT_NE(fcntl(event_fd_, F_GETFD), -1);

    EXPECT_OK(K(kaio_queue_close(&queue_)));

    EXPECT_EQ(fcntl(event_fd_, F_GETFD), -1);
    errno = kErrno;
}

TEST_F(EventfdTest, WithoutADescriptorLeftNoQueueIsOpened) {
    rlimit old = {};
    ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
    const rlimit none = {0, old.rlim_max};
    const kaio_queue_options options = Options();
    kaio_queue *queue = nullptr;

    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    const kaio_status status = kaio_queue_open(&options, &queue);
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);

    EXPECT_CODE(KAIO_OS_ERROR, status);
    EXPECT_EQ(status.os_error, EMFILE);
    EXPECT_EQ(queue, nullptr);
}

// As an event loop does it: sleep in epoll, take until EMPTY, start as many again.
TEST_F(EventfdTest, AnEventLoopHearsOfEveryOutcome) {
    constexpr int kOperations = 20000;
    const int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    epoll_event wanted = {};
    wanted.events = EPOLLIN;
    ASSERT_EQ(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, event_fd_, &wanted), 0);
    int started_count = 0;
    int taken_count = 0;
    const auto start = [&](kaio_buffer **move_buffer) {
        kaio_ticket ticket = {};
        ASSERT_OK(kaio_read_start(queue_, file_, Range(0, kSizeBytes), kaio_rw_none(), 1,
                                  move_buffer, &ticket));
        ++started_count;
    };
    for (uint32_t i = 0; i < kDepth; ++i) {
        kaio_buffer *buffer = NewBuffer(kSizeBytes);
        start(&buffer);
    }
    while (taken_count < kOperations && !HasFailure()) {
        Flush();
        epoll_event event = {};
        ASSERT_EQ(epoll_wait(epoll_fd, &event, 1, kPatienceMs), 1) << "it slept on an outcome";
        kaio_completion completion = {};
        while (kaio_status_is_ok(kaio_queue_take(queue_, &completion))) {
            ASSERT_EQ(completion.transfer, KAIO_TRANSFER_FULL);
            ++taken_count;
            if (started_count < kOperations) {
                start(&completion.buffer);
            } else {
                kaio_completion_drop(&completion);
            }
        }
    }
    EXPECT_EQ(taken_count, started_count);
    close(epoll_fd);
    errno = kErrno;
}

}  // namespace
}  // namespace kaio_test
