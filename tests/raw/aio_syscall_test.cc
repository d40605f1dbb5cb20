#include "kaio/raw/aio_syscall.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <utility>
#include <vector>

#include "kaio/raw/aio_prep.h"

namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr int kNoDescriptor = -1;

// An anonymous page with `protection`, for pointers that the kernel cannot follow.
class Page {
  public:
    explicit Page(int protection)
        : bytes_(static_cast<size_t>(sysconf(_SC_PAGESIZE))),
          address_(mmap(nullptr, bytes_, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {}

    ~Page() {
        munmap(address_, bytes_);
    }

    Page(const Page &) = delete;
    Page &operator=(const Page &) = delete;

    template <typename T>
    T *As() {
        return static_cast<T *>(address_);
    }

  private:
    size_t bytes_;
    void *address_;
};

// io_destroy takes some 30 ms: one context serves all tests, each of which leaves it empty.
class AioSyscallTest : public testing::Test {
  protected:
    static void SetUpTestSuite() {
        ASSERT_EQ(kaio_raw_setup(32, &ctx_), 0);
    }

    static void TearDownTestSuite() {
        EXPECT_EQ(kaio_raw_destroy(ctx_), 0);
        ctx_ = 0;
    }

    void SetUp() override {
        file_ = std::tmpfile();
        ASSERT_NE(file_, nullptr);
        fd_ = fileno(file_);
        ASSERT_EQ(pipe2(pipe_, O_CLOEXEC | O_NONBLOCK), 0);
        errno = kErrno;
    }

    void TearDown() override {
        EXPECT_EQ(errno, kErrno) << "raw touched errno";
        kaio_raw_event stray;
        EXPECT_EQ(Get(0, 1, &stray), 0) << "the test left an event behind";
        std::fclose(file_);
        close(pipe_[0]);
        close(pipe_[1]);
    }

    static long Submit(kaio_raw_iocb *iocb) {
        return kaio_raw_submit(ctx_, 1, &iocb);
    }

    static long Get(long min_nr, long nr, kaio_raw_event *out_events, long timeout_ms = 0) {
        kaio_raw_old_timespec timeout = {timeout_ms / 1000, timeout_ms % 1000 * 1000000};
        return kaio_raw_getevents(ctx_, min_nr, nr, out_events, &timeout);
    }

    // Submits `iocb` and waits for its event; the result is the event's.
    static int64_t Run(kaio_raw_iocb iocb) {
        kaio_raw_event event = {};
        EXPECT_EQ(Submit(&iocb), 1);
        EXPECT_EQ(kaio_raw_getevents(ctx_, 1, 1, &event, nullptr), 1);
        EXPECT_EQ(event.obj, reinterpret_cast<uintptr_t>(&iocb));
        EXPECT_EQ(event.res2, 0);
        return event.res;
    }

    // Makes the read end of the pipe readable.
    void Ready() {
        ASSERT_EQ(write(pipe_[1], "x", 1), 1);
    }

    // The value that no call of raw may change; checked after every test.
    static constexpr int kErrno = EXDEV;

    static kaio_raw_context ctx_;
    std::FILE *file_ = nullptr;
    int fd_ = kNoDescriptor;
    int pipe_[2] = {kNoDescriptor, kNoDescriptor};
    char bytes_[64] = {};
};

kaio_raw_context AioSyscallTest::ctx_ = 0;

// ---- setup and destroy ----

TEST_F(AioSyscallTest, DestroyEndsTheContextOnce) {
    kaio_raw_context ctx = 0;
    ASSERT_EQ(kaio_raw_setup(1, &ctx), 0);
    ASSERT_NE(ctx, 0u);

    EXPECT_EQ(kaio_raw_destroy(ctx), 0);
    EXPECT_EQ(kaio_raw_destroy(ctx), -EINVAL);
    EXPECT_EQ(kaio_raw_submit(ctx, 0, nullptr), -EINVAL);
}

TEST_F(AioSyscallTest, SetupRefusesAContextThatIsNotZero) {
    kaio_raw_context ctx = 1;

    EXPECT_EQ(kaio_raw_setup(1, &ctx), -EINVAL);
    EXPECT_EQ(ctx, 1u);
}

TEST_F(AioSyscallTest, SetupRefusesCountsOutOfRange) {
    kaio_raw_context ctx = 0;

    EXPECT_EQ(kaio_raw_setup(0, &ctx), -EINVAL);
    EXPECT_EQ(kaio_raw_setup(4194305, &ctx), -EINVAL);
    EXPECT_EQ(kaio_raw_setup(UINT32_MAX, &ctx), -EINVAL);
    EXPECT_EQ(ctx, 0u);
}

// The kernel doubles the count in 32 bits: this one becomes 0 and meets the next limit instead.
TEST_F(AioSyscallTest, SetupOfACountThatWrapsMeetsTheSystemsLimit) {
    kaio_raw_context ctx = 0;

    EXPECT_EQ(kaio_raw_setup(0x80000000, &ctx), -EAGAIN);
}

TEST_F(AioSyscallTest, SetupLooksAtThePointerFirst) {
    EXPECT_EQ(kaio_raw_setup(0, nullptr), -EFAULT);
}

TEST_F(AioSyscallTest, SetupIntoReadOnlyMemoryFaults) {
    Page read_only(PROT_READ);

    EXPECT_EQ(kaio_raw_setup(1, read_only.As<kaio_raw_context>()), -EFAULT);
}

TEST_F(AioSyscallTest, DestroyRefusesWhatIsNoContext) {
    Page no_ring(PROT_READ | PROT_WRITE);

    EXPECT_EQ(kaio_raw_destroy(0), -EINVAL);
    EXPECT_EQ(kaio_raw_destroy(8), -EINVAL);
    EXPECT_EQ(kaio_raw_destroy(reinterpret_cast<uintptr_t>(no_ring.As<char>())), -EINVAL);
}

// ---- submit: reads, writes, sync ----

TEST_F(AioSyscallTest, WriteThenReadRoundTripsARealFile) {
    EXPECT_EQ(Run(kaio_raw_prep_pwrite(fd_, "0123456789", 10, 4096)), 10);
    EXPECT_EQ(Run(kaio_raw_prep_pread(fd_, bytes_, sizeof bytes_, 4098)), 8);
    EXPECT_STREQ(bytes_, "23456789");
    EXPECT_EQ(Run(kaio_raw_prep_pread(fd_, bytes_, sizeof bytes_, 4106)), 0);
}

TEST_F(AioSyscallTest, VectorsRoundTripARealFile) {
    char out[] = "abcdefg";
    const iovec out_parts[] = {{out, 3}, {out + 3, 4}};
    const iovec in_parts[] = {{bytes_, 5}, {bytes_ + 32, 5}};

    EXPECT_EQ(Run(kaio_raw_prep_pwritev(fd_, out_parts, 2, 0)), 7);
    EXPECT_EQ(Run(kaio_raw_prep_preadv(fd_, in_parts, 2, 0)), 7);
    EXPECT_STREQ(bytes_, "abcde");
    EXPECT_STREQ(bytes_ + 32, "fg");
}

TEST_F(AioSyscallTest, SyncOfARealFileGivesZero) {
    EXPECT_EQ(Run(kaio_raw_prep_pwrite(fd_, "x", 1, 0)), 1);
    EXPECT_EQ(Run(kaio_raw_prep_fsync(fd_)), 0);
    EXPECT_EQ(Run(kaio_raw_prep_fdsync(fd_)), 0);
}

TEST_F(AioSyscallTest, SyncOfAPipeIsRefused) {
    kaio_raw_iocb sync = kaio_raw_prep_fsync(pipe_[0]);

    EXPECT_EQ(Submit(&sync), -EINVAL);
}

TEST_F(AioSyscallTest, EventNamesRequestAndCarriesAll64BitsOfData) {
    kaio_raw_iocb read = kaio_raw_prep_pread(fd_, bytes_, 1, 0);
    kaio_raw_set_data(&read, 0xf122334455667788);
    kaio_raw_event event = {1, 2, 3, 4};

    ASSERT_EQ(Submit(&read), 1);
    ASSERT_EQ(Get(1, 1, &event, 1000), 1);

    EXPECT_EQ(event.data, 0xf122334455667788);
    EXPECT_EQ(event.obj, reinterpret_cast<uintptr_t>(&read));
    EXPECT_EQ(event.res, 0);
    EXPECT_EQ(event.res2, 0);
}

TEST_F(AioSyscallTest, AcceptedRequestHasKeyZeroAndMayBeOverwritten) {
    kaio_raw_iocb poll = kaio_raw_prep_poll(pipe_[0], POLLIN);
    poll.aio_key = 0xdead;
    kaio_raw_event event;

    ASSERT_EQ(Submit(&poll), 1);
    EXPECT_EQ(poll.aio_key, 0u);
    std::memset(&poll, 0xee, sizeof poll);
    Ready();

    ASSERT_EQ(Get(1, 1, &event, 1000), 1);
    EXPECT_EQ(event.obj, reinterpret_cast<uintptr_t>(&poll));
}

TEST_F(AioSyscallTest, UnmappedBufferIsAnEventNotARefusal) {
    Page no_access(PROT_NONE);

    EXPECT_EQ(Run(kaio_raw_prep_pwrite(fd_, "x", 1, 0)), 1);
    EXPECT_EQ(Run(kaio_raw_prep_pread(fd_, no_access.As<char>(), 1, 0)), -EFAULT);
}

// ---- submit: refusals ----

TEST_F(AioSyscallTest, SubmitCountsTheFrontAndHidesTheErrorBehindIt) {
    kaio_raw_iocb good = kaio_raw_prep_pread(fd_, bytes_, 1, 0);
    kaio_raw_iocb bad = kaio_raw_prep_pread(kNoDescriptor, bytes_, 1, 0);
    kaio_raw_iocb behind = kaio_raw_prep_pread(fd_, bytes_, 1, 0);
    kaio_raw_iocb *iocbs[] = {&good, &bad, &behind};
    kaio_raw_event events[3];

    EXPECT_EQ(kaio_raw_submit(ctx_, 3, iocbs), 1);
    EXPECT_EQ(kaio_raw_submit(ctx_, 2, iocbs + 1), -EBADF);

    ASSERT_EQ(Get(0, 3, events), 1);
    EXPECT_EQ(events[0].obj, reinterpret_cast<uintptr_t>(&good));
}

TEST_F(AioSyscallTest, SubmitChecksCountThenContextThenPointers) {
    Page no_access(PROT_NONE);
    kaio_raw_iocb *null_iocb = nullptr;

    EXPECT_EQ(kaio_raw_submit(ctx_, -1, nullptr), -EINVAL);
    EXPECT_EQ(kaio_raw_submit(0, 0, nullptr), -EINVAL);
    EXPECT_EQ(kaio_raw_submit(0, 1, nullptr), -EINVAL);
    EXPECT_EQ(kaio_raw_submit(ctx_, 0, nullptr), 0);
    EXPECT_EQ(kaio_raw_submit(ctx_, 1, nullptr), -EFAULT);
    EXPECT_EQ(kaio_raw_submit(ctx_, 1, &null_iocb), -EFAULT);
    EXPECT_EQ(Submit(no_access.As<kaio_raw_iocb>()), -EFAULT);
}

TEST_F(AioSyscallTest, SubmitChecksReservedThenFileThenEventfdThenOpcode) {
    kaio_raw_iocb iocb = kaio_raw_prep_pread(kNoDescriptor, bytes_, 1, 0);
    iocb.aio_lio_opcode = 77;
    iocb.aio_reserved2 = 1;
    kaio_raw_set_eventfd(&iocb, fd_);

    EXPECT_EQ(Submit(&iocb), -EINVAL);
    iocb.aio_reserved2 = 0;
    EXPECT_EQ(Submit(&iocb), -EBADF);
    iocb.aio_fildes = static_cast<uint32_t>(fd_);
    EXPECT_EQ(Submit(&iocb), -EINVAL);
    kaio_raw_set_eventfd(&iocb, kNoDescriptor);
    EXPECT_EQ(Submit(&iocb), -EBADF);
    iocb.aio_flags = 0;
    EXPECT_EQ(Submit(&iocb), -EINVAL);
}

TEST_F(AioSyscallTest, OpcodesThatAreNoneAreRefused) {
    for (unsigned opcode :
         {unsigned{KAIO_RAW_CMD_PREADX}, unsigned{KAIO_RAW_CMD_NOOP}, 9u, unsigned{UINT16_MAX}}) {
        kaio_raw_iocb iocb = kaio_raw_prep_pread(fd_, bytes_, 1, 0);
        iocb.aio_lio_opcode = static_cast<uint16_t>(opcode);

        EXPECT_EQ(Submit(&iocb), -EINVAL) << opcode;
    }
}

TEST_F(AioSyscallTest, ReadOnlyRequestFaultsBecauseTheKeyIsWritten) {
    Page page(PROT_READ | PROT_WRITE);
    auto *iocb = page.As<kaio_raw_iocb>();
    *iocb = kaio_raw_prep_pread(fd_, bytes_, 1, 0);
    ASSERT_EQ(mprotect(iocb, sizeof *iocb, PROT_READ), 0);

    EXPECT_EQ(Submit(iocb), -EFAULT);
}

TEST_F(AioSyscallTest, RangesAreCheckedAtSubmit) {
    const iovec part = {bytes_, 1};
    const std::vector<iovec> parts(KAIO_RAW_IOV_MAX + 1, part);
    kaio_raw_iocb before_start = kaio_raw_prep_pread(fd_, bytes_, 1, -1);
    kaio_raw_iocb too_long = kaio_raw_prep_pread(fd_, bytes_, SIZE_MAX, 0);
    kaio_raw_iocb too_many = kaio_raw_prep_preadv(fd_, parts.data(), parts.size(), 0);

    EXPECT_EQ(Submit(&before_start), -EINVAL);
    EXPECT_EQ(Submit(&too_long), -EINVAL);
    EXPECT_EQ(Submit(&too_many), -EINVAL);
    EXPECT_EQ(Run(kaio_raw_prep_preadv(fd_, parts.data(), KAIO_RAW_IOV_MAX, 0)), 0);
}

TEST_F(AioSyscallTest, PriorityIsCheckedBeforeRwFlagsAndThoseBeforeTheMode) {
    kaio_raw_iocb read = kaio_raw_prep_pread(pipe_[1], bytes_, 1, 0);
    kaio_raw_set_rw_flags(&read, 1 << 30);
    kaio_raw_set_priority(&read, kaio_raw_ioprio_encode(KAIO_RAW_IOPRIO_CLASS_NONE, 0, 1));

    EXPECT_EQ(Submit(&read), -EINVAL);
    read.aio_flags = 0;
    EXPECT_EQ(Submit(&read), -EOPNOTSUPP);
    kaio_raw_set_rw_flags(&read, 0);
    EXPECT_EQ(Submit(&read), -EBADF);
}

TEST_F(AioSyscallTest, PriorityOfAClassIsTaken) {
    kaio_raw_iocb read = kaio_raw_prep_pread(fd_, bytes_, 1, 0);
    kaio_raw_set_priority(&read, kaio_raw_ioprio_encode(KAIO_RAW_IOPRIO_CLASS_BE, 0, 7));

    EXPECT_EQ(Run(read), 0);
    kaio_raw_set_priority(&read, kaio_raw_ioprio_encode(KAIO_RAW_IOPRIO_CLASS_INVALID, 0, 0));
    EXPECT_EQ(Submit(&read), -EINVAL);
}

TEST_F(AioSyscallTest, RwFlagsAreHonoured) {
    kaio_raw_iocb append = kaio_raw_prep_pwrite(fd_, "b", 1, 0);
    kaio_raw_set_rw_flags(&append, KAIO_RAW_RWF_APPEND | KAIO_RAW_RWF_DSYNC);

    EXPECT_EQ(Run(kaio_raw_prep_pwrite(fd_, "a", 1, 0)), 1);
    EXPECT_EQ(Run(append), 1);
    EXPECT_EQ(Run(kaio_raw_prep_pread(fd_, bytes_, 3, 0)), 2);
    EXPECT_STREQ(bytes_, "ab");
}

// ---- poll and cancel ----

TEST_F(AioSyscallTest, PollEndsWhenThePipeBecomesReadable) {
    kaio_raw_iocb poll = kaio_raw_prep_poll(pipe_[0], POLLIN);
    kaio_raw_event event;
    ASSERT_EQ(Submit(&poll), 1);
    ASSERT_EQ(Get(0, 1, &event), 0);

    Ready();

    ASSERT_EQ(Get(1, 1, &event, 1000), 1);
    EXPECT_NE(event.res & POLLIN, 0);
}

TEST_F(AioSyscallTest, PollOfAReadyPipeEndsInsideSubmit) {
    kaio_raw_iocb poll = kaio_raw_prep_poll(pipe_[0], POLLIN);
    kaio_raw_event event;
    Ready();

    ASSERT_EQ(Submit(&poll), 1);

    ASSERT_EQ(Get(0, 1, &event), 1);
    EXPECT_NE(event.res & POLLIN, 0);
}

TEST_F(AioSyscallTest, PollMaskOfMoreThan16BitsIsRefused) {
    kaio_raw_iocb poll = kaio_raw_prep_poll(pipe_[0], 0x10000 | POLLIN);

    EXPECT_EQ(Submit(&poll), -EINVAL);
}

TEST_F(AioSyscallTest, CancelOfAPendingPollSaysInProgressAndItsEventHasNoResult) {
    kaio_raw_iocb poll = kaio_raw_prep_poll(pipe_[0], POLLIN);
    kaio_raw_event untouched = {11, 12, 13, 14};
    kaio_raw_event event;
    ASSERT_EQ(Submit(&poll), 1);

    EXPECT_EQ(kaio_raw_cancel(ctx_, &poll, &untouched), -EINPROGRESS);

    ASSERT_EQ(Get(1, 1, &event, 1000), 1);
    EXPECT_EQ(event.obj, reinterpret_cast<uintptr_t>(&poll));
    EXPECT_EQ(event.res, 0);
    EXPECT_EQ(untouched.data, 11u);
    EXPECT_EQ(untouched.res2, 14);
    EXPECT_EQ(kaio_raw_cancel(ctx_, &poll, nullptr), -EINVAL);
}

TEST_F(AioSyscallTest, CancelReadsTheKeyThenTheContextThenSearches) {
    kaio_raw_iocb idle = kaio_raw_prep_poll(pipe_[0], POLLIN);

    EXPECT_EQ(kaio_raw_cancel(0, nullptr, nullptr), -EFAULT);
    EXPECT_EQ(kaio_raw_cancel(0, &idle, nullptr), -EINVAL);
    EXPECT_EQ(kaio_raw_cancel(ctx_, &idle, nullptr), -EINVAL);
}

TEST_F(AioSyscallTest, CancelWithAForeignKeyFindsNothing) {
    kaio_raw_iocb poll = kaio_raw_prep_poll(pipe_[0], POLLIN);
    kaio_raw_event event;
    ASSERT_EQ(Submit(&poll), 1);
    kaio_raw_iocb copy = poll;

    poll.aio_key = 7;
    EXPECT_EQ(kaio_raw_cancel(ctx_, &poll, nullptr), -EINVAL);
    poll.aio_key = 0;
    EXPECT_EQ(kaio_raw_cancel(ctx_, &copy, nullptr), -EINVAL);
    EXPECT_EQ(kaio_raw_cancel(ctx_, &poll, nullptr), -EINPROGRESS);

    EXPECT_EQ(Get(1, 1, &event, 1000), 1);
}

// ---- getevents and pgetevents ----

TEST_F(AioSyscallTest, GeteventsOfNoMinimumNeverWaits) {
    kaio_raw_event event;
    kaio_raw_old_timespec minute = {60, 0};

    EXPECT_EQ(kaio_raw_getevents(ctx_, 0, 1, &event, nullptr), 0);
    EXPECT_EQ(kaio_raw_getevents(ctx_, 0, 1, &event, &minute), 0);
}

TEST_F(AioSyscallTest, GeteventsWaitsTheWholeTimeoutAndThenGivesWhatIsThere) {
    kaio_raw_iocb read = kaio_raw_prep_pread(fd_, bytes_, 1, 0);
    kaio_raw_event events[2];
    ASSERT_EQ(Submit(&read), 1);
    auto start = steady_clock::now();

    EXPECT_EQ(Get(2, 2, events, 20), 1);

    EXPECT_GE(steady_clock::now() - start, milliseconds(20));
    EXPECT_EQ(Get(1, 2, events, 1), 0);
}

TEST_F(AioSyscallTest, GeteventsGivesAtMostWhatWasAskedFor) {
    kaio_raw_iocb read = kaio_raw_prep_pread(fd_, bytes_, 1, 0);
    kaio_raw_iocb *iocbs[] = {&read, &read, &read, &read, &read};
    kaio_raw_event events[5];
    ASSERT_EQ(kaio_raw_submit(ctx_, 5, iocbs), 5);

    EXPECT_EQ(Get(1, 3, events, 1000), 3);
    EXPECT_EQ(Get(1, 3, events, 1000), 2);
}

TEST_F(AioSyscallTest, GeteventsChecksTimeoutThenContextThenCounts) {
    Page no_access(PROT_NONE);
    kaio_raw_event events[2];

    EXPECT_EQ(kaio_raw_getevents(0, 0, 1, events, no_access.As<kaio_raw_old_timespec>()), -EFAULT);
    EXPECT_EQ(kaio_raw_getevents(0, 0, 1, events, nullptr), -EINVAL);
    EXPECT_EQ(kaio_raw_getevents(ctx_, 2, 1, events, nullptr), -EINVAL);
    EXPECT_EQ(kaio_raw_getevents(ctx_, -1, 1, events, nullptr), -EINVAL);
}

TEST_F(AioSyscallTest, EventThatCouldNotBeStoredStays) {
    kaio_raw_iocb read = kaio_raw_prep_pread(fd_, bytes_, 1, 0);
    Page no_access(PROT_NONE);
    kaio_raw_event event;
    EXPECT_EQ(Get(0, 1, no_access.As<kaio_raw_event>()), 0);
    ASSERT_EQ(Submit(&read), 1);

    EXPECT_EQ(Get(1, 1, no_access.As<kaio_raw_event>(), 1000), -EFAULT);

    ASSERT_EQ(Get(1, 1, &event, 1000), 1);
    EXPECT_EQ(event.obj, reinterpret_cast<uintptr_t>(&read));
}

TEST_F(AioSyscallTest, PgeteventsGivesEventsUnderAnyGoodMask) {
    uint64_t mask[KAIO_RAW_SIGSET_BYTES / sizeof(uint64_t)] = {};
    kaio_raw_sigset sigset = {};
    sigset.sigmask = mask;
    sigset.sigsetsize = KAIO_RAW_SIGSET_BYTES;
    kaio_raw_sigset no_mask = {};
    no_mask.sigsetsize = 77;
    kaio_raw_timespec second = {1, 0};

    for (const kaio_raw_sigset *each : {static_cast<const kaio_raw_sigset *>(nullptr),
                                        &std::as_const(sigset), &std::as_const(no_mask)}) {
        kaio_raw_iocb read = kaio_raw_prep_pread(fd_, bytes_, 1, 0);
        kaio_raw_event event = {};
        ASSERT_EQ(Submit(&read), 1);
        EXPECT_EQ(kaio_raw_pgetevents(ctx_, 1, 1, &event, &second, each), 1);
        EXPECT_EQ(event.obj, reinterpret_cast<uintptr_t>(&read));
    }
}

TEST_F(AioSyscallTest, PgeteventsWaitsTheWholeTimeout) {
    kaio_raw_event event;
    kaio_raw_timespec timeout = {0, 20000000};
    auto start = steady_clock::now();

    EXPECT_EQ(kaio_raw_pgetevents(ctx_, 1, 1, &event, &timeout, nullptr), 0);

    EXPECT_GE(steady_clock::now() - start, milliseconds(20));
}

TEST_F(AioSyscallTest, PgeteventsChecksTimeoutThenMaskThenContext) {
    Page no_access(PROT_NONE);
    kaio_raw_event event;
    sigset_t mask;
    sigemptyset(&mask);
    kaio_raw_sigset sigset = {};
    sigset.sigmask = &mask;
    sigset.sigsetsize = 4;

    EXPECT_EQ(kaio_raw_pgetevents(0, 0, 1, &event, no_access.As<kaio_raw_timespec>(), &sigset),
              -EFAULT);
    EXPECT_EQ(kaio_raw_pgetevents(0, 0, 1, &event, nullptr, no_access.As<const kaio_raw_sigset>()),
              -EFAULT);
    EXPECT_EQ(kaio_raw_pgetevents(ctx_, 0, 1, &event, nullptr, &sigset), -EINVAL);
    sigset.sigsetsize = sizeof mask;
    EXPECT_EQ(kaio_raw_pgetevents(ctx_, 0, 1, &event, nullptr, &sigset), -EINVAL);
    sigset.sigsetsize = KAIO_RAW_SIGSET_BYTES;
    EXPECT_EQ(kaio_raw_pgetevents(0, 0, 1, &event, nullptr, &sigset), -EINVAL);
    EXPECT_EQ(kaio_raw_pgetevents(ctx_, 2, 1, &event, nullptr, &sigset), -EINVAL);
    EXPECT_EQ(kaio_raw_pgetevents(ctx_, 0, 1, &event, nullptr, &sigset), 0);
}

TEST_F(AioSyscallTest, PendingSignalThatTheMaskLetsInEndsPgeteventsAtOnce) {
    sigset_t usr1;
    sigset_t before;
    sigset_t after;
    sigset_t empty;
    sigemptyset(&empty);
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    struct sigaction action = {};
    struct sigaction old_action = {};
    action.sa_handler = [](int) {};
    action.sa_flags = SA_RESTART;
    ASSERT_EQ(sigaction(SIGUSR1, &action, &old_action), 0);
    ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &usr1, &before), 0);
    ASSERT_EQ(raise(SIGUSR1), 0);
    kaio_raw_sigset sigset = {};
    sigset.sigmask = &empty;
    sigset.sigsetsize = KAIO_RAW_SIGSET_BYTES;
    kaio_raw_event event;

    EXPECT_EQ(kaio_raw_pgetevents(ctx_, 1, 1, &event, nullptr, &sigset), -EINTR);

    ASSERT_EQ(pthread_sigmask(SIG_SETMASK, &before, &after), 0);
    EXPECT_EQ(sigismember(&after, SIGUSR1), 1) << "the mask was not restored";
    ASSERT_EQ(sigaction(SIGUSR1, &old_action, nullptr), 0);
}

// ---- eventfd ----

TEST_F(AioSyscallTest, EventfdCountsEventsOfEveryKind) {
    int counter = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ASSERT_GE(counter, 0);
    kaio_raw_iocb read = kaio_raw_prep_pread(fd_, bytes_, 1, 0);
    kaio_raw_iocb poll = kaio_raw_prep_poll(pipe_[0], POLLIN);
    kaio_raw_set_eventfd(&read, counter);
    kaio_raw_set_eventfd(&poll, counter);
    kaio_raw_iocb *iocbs[] = {&read, &read, &poll};
    kaio_raw_event events[3];

    ASSERT_EQ(kaio_raw_submit(ctx_, 3, iocbs), 3);
    ASSERT_EQ(kaio_raw_cancel(ctx_, &poll, nullptr), -EINPROGRESS);
    ASSERT_EQ(Get(3, 3, events, 1000), 3);

    uint64_t count = 0;
    ASSERT_EQ(::read(counter, &count, sizeof count), 8);
    EXPECT_EQ(count, 3u);
    close(counter);
}

TEST_F(AioSyscallTest, EventfdDoesNotCountARefusedRequest) {
    int counter = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ASSERT_GE(counter, 0);
    kaio_raw_iocb wrong_mode = kaio_raw_prep_pread(pipe_[1], bytes_, 1, 0);
    kaio_raw_set_eventfd(&wrong_mode, counter);

    EXPECT_EQ(Submit(&wrong_mode), -EBADF);

    pollfd readable = {counter, POLLIN, 0};
    EXPECT_EQ(poll(&readable, 1, 0), 0);
    close(counter);
}

}  // namespace
