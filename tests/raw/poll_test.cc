#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <string>
#include <thread>

#include "kaio/raw/aio_prep.h"
#include "kaio/raw/aio_syscall.h"
#include "tests/raw/kernel_test.h"

namespace kaio_test {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

class PollTest : public KernelTest {
  protected:
    static long SubmitPoll(int fd, uint32_t events) {
        poll_ = kaio_raw_prep_poll(fd, events);
        return Submit(&poll_);
    }

    // The result of the only poll in flight, which has to come within `limit_ms`.
    static int64_t Result(long limit_ms = kPatienceMs) {
        kaio_raw_event event = {};
        EXPECT_EQ(Get(1, 1, &event, limit_ms), 1);
        EXPECT_EQ(event.obj, reinterpret_cast<uintptr_t>(&poll_));
        EXPECT_EQ(event.res2, 0);
        return event.res;
    }

    static bool IsPending() {
        kaio_raw_event event;
        return Get(0, 1, &event) == 0;
    }

    // Ends the poll that SubmitPoll began.
    static void CancelPoll() {
        EXPECT_EQ(kaio_raw_cancel(ctx_, &poll_, nullptr), -EINPROGRESS);
        EXPECT_EQ(Result(), 0);
    }

    // Gives up the descriptor `fd`, one of the fixture's.
    static void Close(int *fd) {
        ASSERT_EQ(close(*fd), 0);
        *fd = kNoDescriptor;
    }

    static inline kaio_raw_iocb poll_ = {};
};

// ---- a pipe ----

TEST_F(PollTest, WriteToAnEmptyPipeEndsThePoll) {
    ASSERT_EQ(SubmitPoll(pipe_[0], POLLIN), 1);
    ASSERT_TRUE(IsPending());

    Ready();

    EXPECT_NE(Result() & POLLIN, 0);
}

// poll(2) would cut the rest away.
TEST_F(PollTest, WriteToAnEmptyPipeMayGiveBitsThatWereNotAskedFor) {
    ASSERT_EQ(SubmitPoll(pipe_[0], POLLIN), 1);

    Ready();

    const int64_t result = Result();
    EXPECT_TRUE(result == POLLIN || result == (POLLIN | POLLRDNORM)) << result;
    RecordProperty("seen", std::to_string(result));
}

TEST_F(PollTest, ReadablePipeEndsThePollInsideSubmitWithWhatWasAskedFor) {
    Ready();

    ASSERT_EQ(SubmitPoll(pipe_[0], POLLIN), 1);

    EXPECT_EQ(Result(0), POLLIN);
}

TEST_F(PollTest, SecondWriteGivesNoSecondEvent) {
    ASSERT_EQ(SubmitPoll(pipe_[0], POLLIN), 1);
    Ready();
    EXPECT_NE(Result() & POLLIN, 0);
    kaio_raw_event event;

    Ready();

    EXPECT_EQ(Get(1, 1, &event, 50), 0);
}

TEST_F(PollTest, OneByteEndsEveryPendingPollOfThePipe) {
    std::array<kaio_raw_iocb, kDepth> polls;
    std::array<kaio_raw_iocb *, kDepth> iocbs;
    std::array<kaio_raw_event, kDepth> events;
    for (size_t i = 0; i < kDepth; ++i) {
        polls[i] = kaio_raw_prep_poll(pipe_[0], POLLIN);
        iocbs[i] = &polls[i];
    }
    ASSERT_EQ(kaio_raw_submit(ctx_, kDepth, iocbs.data()), long{kDepth});
    ASSERT_TRUE(IsPending());

    Ready();

    EXPECT_EQ(Get(kDepth, kDepth, events.data(), kPatienceMs), long{kDepth});
}

TEST_F(PollTest, FullPipeBecomesWritableWhenItIsRead) {
    std::array<char, 65536> bytes = {};
    ASSERT_EQ(fcntl(pipe_[1], F_SETPIPE_SZ, static_cast<int>(bytes.size())),
              static_cast<int>(bytes.size()));
    ASSERT_EQ(write(pipe_[1], bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    ASSERT_EQ(SubmitPoll(pipe_[1], POLLOUT), 1);
    ASSERT_TRUE(IsPending());

    ASSERT_EQ(read(pipe_[0], bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));

    EXPECT_NE(Result() & POLLOUT, 0);
}

TEST_F(PollTest, LastWriterThatClosesGivesPollhupThoughNothingWasAskedFor) {
    ASSERT_EQ(SubmitPoll(pipe_[0], 0), 1);
    ASSERT_TRUE(IsPending());

    Close(&pipe_[1]);

    EXPECT_EQ(Result() & (POLLHUP | POLLERR), POLLHUP);
}

TEST_F(PollTest, LastReaderThatClosesGivesPollerrThoughNothingWasAskedFor) {
    std::array<char, 65536> bytes = {};
    ASSERT_EQ(fcntl(pipe_[1], F_SETPIPE_SZ, static_cast<int>(bytes.size())),
              static_cast<int>(bytes.size()));
    ASSERT_EQ(write(pipe_[1], bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    ASSERT_EQ(SubmitPoll(pipe_[1], 0), 1);
    ASSERT_TRUE(IsPending());

    Close(&pipe_[0]);

    EXPECT_EQ(Result() & (POLLHUP | POLLERR), POLLERR);
}

TEST_F(PollTest, DataDoesNotEndAPollOfNothing) {
    kaio_raw_event event;
    ASSERT_EQ(SubmitPoll(pipe_[0], 0), 1);

    Ready();

    EXPECT_EQ(Get(1, 1, &event, 50), 0);
    CancelPoll();
}

// ---- the open file ----

// The write end, while SIGPIPE is ignored.
class PollKeepsFileTest : public PollTest {
  protected:
    void SetUp() override {
        PollTest::SetUp();
        struct sigaction ignore = {};
        ignore.sa_handler = SIG_IGN;
        ASSERT_EQ(sigaction(SIGPIPE, &ignore, &old_action_), 0);
    }

    void TearDown() override {
        EXPECT_EQ(sigaction(SIGPIPE, &old_action_, nullptr), 0);
        PollTest::TearDown();
    }

    // Whether writes are refused with EPIPE within `limit`: nobody has the read end any more.
    bool ReaderIsGoneWithin(milliseconds limit) const {
        const auto end = steady_clock::now() + limit;
        bool is_gone = false;
        while (!is_gone && steady_clock::now() < end) {
            is_gone = write(pipe_[1], "x", 1) == -1 && errno == EPIPE;
            std::this_thread::sleep_for(milliseconds(1));
        }
        errno = kErrno;
        return is_gone;
    }

    struct sigaction old_action_ = {};
};

TEST_F(PollKeepsFileTest, UntilItsEventAlthoughTheDescriptorIsClosed) {
    ASSERT_EQ(SubmitPoll(pipe_[0], POLLIN), 1);
    Close(&pipe_[0]);
    ASSERT_TRUE(IsPending());

    EXPECT_EQ(write(pipe_[1], "x", 1), 1);

    EXPECT_NE(Result() & POLLIN, 0);
    EXPECT_TRUE(ReaderIsGoneWithin(milliseconds{kPatienceMs}));
}

TEST_F(PollKeepsFileTest, UntilItIsCancelled) {
    ASSERT_EQ(SubmitPoll(pipe_[0], POLLPRI), 1);
    Close(&pipe_[0]);
    EXPECT_FALSE(ReaderIsGoneWithin(milliseconds(20)));

    CancelPoll();

    EXPECT_TRUE(ReaderIsGoneWithin(milliseconds{kPatienceMs}));
}

// ---- files that are always ready ----

class PollOfAlwaysReadyTest : public PollTest, public testing::WithParamInterface<uint32_t> {};

INSTANTIATE_TEST_SUITE_P(Masks, PollOfAlwaysReadyTest,
                         testing::Values(POLLIN, POLLOUT, POLLIN | POLLOUT),
                         [](const auto &tested) { return "Mask" + std::to_string(tested.param); });

TEST_P(PollOfAlwaysReadyTest, RegularFileGivesAtOnceWhatWasAskedFor) {
    ASSERT_EQ(SubmitPoll(fd_, GetParam()), 1);

    EXPECT_EQ(Result(0), int64_t{GetParam()});
}

TEST_P(PollOfAlwaysReadyTest, DirectoryGivesAtOnceWhatWasAskedFor) {
    const Descriptor directory(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));

    ASSERT_EQ(SubmitPoll(directory.fd(), GetParam()), 1);

    EXPECT_EQ(Result(0), int64_t{GetParam()});
}

// ---- files of many kinds ----

// A kind of file that becomes readable; fds[0] is polled.
struct Kind {
    const char *name;
    void (*open)(std::array<int, 2> *out_fds);
    void (*make_ready)(const std::array<int, 2> &fds);
};

void WriteCount(int fd) {
    const uint64_t one = 1;
    EXPECT_EQ(write(fd, &one, sizeof one), static_cast<ssize_t>(sizeof one));
}

constexpr Kind kEventfd = {"Eventfd",
                           [](std::array<int, 2> *fds) { (*fds)[0] = eventfd(0, EFD_CLOEXEC); },
                           [](const std::array<int, 2> &fds) { WriteCount(fds[0]); }};

constexpr Kind kTimerfd = {
    "Timerfd",
    [](std::array<int, 2> *fds) { (*fds)[0] = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC); },
    [](const std::array<int, 2> &fds) {
        const itimerspec soon = {{0, 0}, {0, 1}};
        EXPECT_EQ(timerfd_settime(fds[0], 0, &soon, nullptr), 0);
    }};

constexpr Kind kSocket = {
    "Socket",
    [](std::array<int, 2> *fds) { EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds->data()), 0); },
    [](const std::array<int, 2> &fds) { EXPECT_EQ(send(fds[1], "x", 1, MSG_NOSIGNAL), 1); }};

constexpr Kind kDatagramSocket = {
    "DatagramSocket",
    [](std::array<int, 2> *fds) { EXPECT_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds->data()), 0); },
    [](const std::array<int, 2> &fds) { EXPECT_EQ(send(fds[1], "x", 1, MSG_NOSIGNAL), 1); }};

// In the abstract name space: nothing is left in a folder.
constexpr Kind kListeningSocket = {
    "ListeningSocket",
    [](std::array<int, 2> *fds) {
        const sockaddr_un any_name = {AF_UNIX, {}};
        (*fds)[0] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        (*fds)[1] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        EXPECT_EQ(bind((*fds)[0], reinterpret_cast<const sockaddr *>(&any_name),
                       sizeof any_name.sun_family),
                  0);
        EXPECT_EQ(listen((*fds)[0], 1), 0);
    },
    [](const std::array<int, 2> &fds) {
        sockaddr_un name = {};
        socklen_t bytes = sizeof name;
        EXPECT_EQ(getsockname(fds[0], reinterpret_cast<sockaddr *>(&name), &bytes), 0);
        EXPECT_EQ(connect(fds[1], reinterpret_cast<sockaddr *>(&name), bytes), 0);
    }};

// The way round for files that cannot be polled themselves.
constexpr Kind kEpoll = {"Epoll",
                         [](std::array<int, 2> *fds) {
                             (*fds)[0] = epoll_create1(EPOLL_CLOEXEC);
                             (*fds)[1] = eventfd(0, EFD_CLOEXEC);
                             epoll_event event = {};
                             event.events = EPOLLIN;
                             EXPECT_EQ(epoll_ctl((*fds)[0], EPOLL_CTL_ADD, (*fds)[1], &event), 0);
                         },
                         [](const std::array<int, 2> &fds) { WriteCount(fds[1]); }};

class PollOfKindTest : public PollTest, public testing::WithParamInterface<Kind> {
  protected:
    void SetUp() override {
        PollTest::SetUp();
        GetParam().open(&fds_);
        ASSERT_GE(fds_[0], 0);
    }

    void TearDown() override {
        PollTest::TearDown();
        close(fds_[0]);
        close(fds_[1]);
    }

    std::array<int, 2> fds_ = {kNoDescriptor, kNoDescriptor};
};

INSTANTIATE_TEST_SUITE_P(Kinds, PollOfKindTest,
                         testing::Values(kEventfd, kTimerfd, kSocket, kDatagramSocket,
                                         kListeningSocket, kEpoll),
                         [](const auto &tested) { return std::string(tested.param.name); });

TEST_P(PollOfKindTest, PollIsPendingUntilTheFileIsReadable) {
    ASSERT_EQ(SubmitPoll(fds_[0], POLLIN), 1);
    ASSERT_TRUE(IsPending());

    GetParam().make_ready(fds_);

    EXPECT_NE(Result() & POLLIN, 0);
}

TEST_P(PollOfKindTest, ReadableFileEndsThePollInsideSubmit) {
    GetParam().make_ready(fds_);
    pollfd readable = {fds_[0], POLLIN, 0};
    ASSERT_EQ(poll(&readable, 1, kPatienceMs), 1);

    ASSERT_EQ(SubmitPoll(fds_[0], POLLIN), 1);

    EXPECT_EQ(Result(0), POLLIN);
}

TEST_F(PollTest, SocketWhosePeerClosesGivesPollhup) {
    int sockets[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
    ASSERT_EQ(SubmitPoll(sockets[0], POLLIN), 1);
    ASSERT_TRUE(IsPending());

    close(sockets[1]);

    const int64_t result = Result();
    EXPECT_NE(result & POLLHUP, 0) << result;
    close(sockets[0]);
}

TEST_F(PollTest, SocketWithRoomIsWritableAtOnce) {
    int sockets[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);

    ASSERT_EQ(SubmitPoll(sockets[0], POLLOUT), 1);

    EXPECT_EQ(Result(0), POLLOUT);
    close(sockets[0]);
    close(sockets[1]);
}

// ---- files with two wait queues ----

// The fixture's pipe, opened for reading and writing at once.
class PollOfTwoQueuesTest : public PollTest {
  protected:
    void SetUp() override {
        PollTest::SetUp();
        both_ends_ = open(("/proc/self/fd/" + std::to_string(pipe_[0])).c_str(),
                          O_RDWR | O_NONBLOCK | O_CLOEXEC);
        ASSERT_GE(both_ends_, 0);
        errno = kErrno;
    }

    void TearDown() override {
        PollTest::TearDown();
        close(both_ends_);
    }

    int both_ends_ = kNoDescriptor;
};

TEST_F(PollOfTwoQueuesTest, FifoIsRefusedWhereThePollWouldWait) {
    EXPECT_EQ(SubmitPoll(both_ends_, POLLIN), -EINVAL);
}

TEST_F(PollOfTwoQueuesTest, FifoIsTakenWhereThePollIsReady) {
    ASSERT_EQ(SubmitPoll(both_ends_, POLLOUT), 1);
    EXPECT_EQ(Result(0), POLLOUT);
    Ready();

    ASSERT_EQ(SubmitPoll(both_ends_, POLLIN), 1);

    EXPECT_EQ(Result(0), POLLIN);
}

TEST_F(PollOfTwoQueuesTest, FifoIsPolledThroughEpoll) {
    const Descriptor epoll(epoll_create1(EPOLL_CLOEXEC));
    epoll_event event = {};
    event.events = EPOLLIN;
    ASSERT_EQ(epoll_ctl(epoll.fd(), EPOLL_CTL_ADD, both_ends_, &event), 0);
    ASSERT_EQ(SubmitPoll(epoll.fd(), POLLIN), 1);
    ASSERT_TRUE(IsPending());

    Ready();

    EXPECT_NE(Result() & POLLIN, 0);
}

TEST_F(PollOfTwoQueuesTest, PtyIsRefusedWhereThePollWouldWaitAndTakenWhereItIsReady) {
    const int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (master < 0) {
        const int why_not = errno;
        errno = kErrno;
        GTEST_SKIP() << "no pty here: " << strerror(why_not);
    }
    ASSERT_EQ(unlockpt(master), 0);
    const int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    ASSERT_GE(slave, 0);

    EXPECT_EQ(SubmitPoll(master, POLLIN), -EINVAL);
    ASSERT_EQ(SubmitPoll(master, POLLOUT), 1);

    EXPECT_EQ(Result(0), POLLOUT);
    close(slave);
    close(master);
}

// ---- refusals ----

TEST_F(PollTest, MaskOf16BitsIsTaken) {
    ASSERT_EQ(SubmitPoll(pipe_[0], POLLPRI | 0x8000), 1);

    CancelPoll();
}

TEST_F(PollTest, MaskOfMoreThan16BitsIsRefused) {
    EXPECT_EQ(SubmitPoll(pipe_[0], 0x10000 | POLLIN), -EINVAL);
}

TEST_F(PollTest, MaskBeyond32BitsIsRefused) {
    kaio_raw_iocb poll = kaio_raw_prep_poll(pipe_[0], POLLIN);
    poll.aio_buf |= UINT64_C(1) << 32;

    EXPECT_EQ(Submit(&poll), -EINVAL);
}

TEST_F(PollTest, LengthIsRefused) {
    kaio_raw_iocb poll = kaio_raw_prep_poll(pipe_[0], POLLIN);
    poll.aio_nbytes = 1;

    EXPECT_EQ(Submit(&poll), -EINVAL);
}

TEST_F(PollTest, OffsetIsRefused) {
    kaio_raw_iocb poll = kaio_raw_prep_poll(pipe_[0], POLLIN);
    poll.aio_offset = 1;

    EXPECT_EQ(Submit(&poll), -EINVAL);
}

TEST_F(PollTest, RwFlagsAreRefused) {
    kaio_raw_iocb poll = kaio_raw_prep_poll(pipe_[0], POLLIN);
    kaio_raw_set_rw_flags(&poll, KAIO_RAW_RWF_NOWAIT);

    EXPECT_EQ(Submit(&poll), -EINVAL);
}

TEST_F(PollTest, DescriptorThatIsNotOpenIsRefused) {
    EXPECT_EQ(SubmitPoll(kNoDescriptor, POLLIN), -EBADF);
}

}  // namespace
}  // namespace kaio_test
