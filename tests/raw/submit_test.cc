#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/raw/kernel_test.h"

namespace kaio_test {
namespace {

// A bit that is no RWF flag in any version.
constexpr int kNoRwFlag = 1 << 30;

class SubmitTest : public KernelTest {
  protected:
    kaio_raw_iocb Read(int fd) {
        return kaio_raw_prep_pread(fd, bytes_, 1, 0);
    }

    // Reaps `count` events and returns how many came.
    static long Reap(long count) {
        kaio_raw_event events[kDepth];
        long reaped = 0;
        while (reaped < count) {
            const long nr = std::min<long>(count - reaped, kDepth);
            const long got = Get(1, nr, events, kPatienceMs);
            if (got < 1) {
                break;
            }
            reaped += got;
        }
        return reaped;
    }
};

// ---- the arguments ----

TEST_F(SubmitTest, NegativeNumberIsRefused) {
    kaio_raw_iocb read = Read(fd_);
    kaio_raw_iocb *iocbs[] = {&read};

    EXPECT_EQ(kaio_raw_submit(ctx_, -1, iocbs), -EINVAL);
}

TEST_F(SubmitTest, NoRequestsNeedNoArray) {
    EXPECT_EQ(kaio_raw_submit(ctx_, 0, nullptr), 0);
}

TEST_F(SubmitTest, NoRequestsNeedAContext) {
    EXPECT_EQ(kaio_raw_submit(0, 0, nullptr), -EINVAL);
}

TEST_F(SubmitTest, ContextIsLookedUpBeforeTheArrayIsRead) {
    EXPECT_EQ(kaio_raw_submit(0, 1, nullptr), -EINVAL);
}

TEST_F(SubmitTest, WithoutAnArrayFaults) {
    EXPECT_EQ(kaio_raw_submit(ctx_, 1, nullptr), -EFAULT);
}

TEST_F(SubmitTest, WithoutARequestFaults) {
    EXPECT_EQ(Submit(nullptr), -EFAULT);
}

TEST_F(SubmitTest, RequestThatCannotBeReadFaults) {
    Page no_access(PROT_NONE);

    EXPECT_EQ(Submit(no_access.As<kaio_raw_iocb>()), -EFAULT);
}

TEST_F(SubmitTest, RequestAtAnOddAddressIsTaken) {
    alignas(kaio_raw_iocb) char bytes[sizeof(kaio_raw_iocb) + 1];
    const kaio_raw_iocb read = Read(fd_);
    void *const odd = bytes + 1;
    std::memcpy(odd, &read, sizeof read);
    kaio_raw_event event = {};

    EXPECT_EQ(Submit(static_cast<kaio_raw_iocb *>(odd)), 1);

    ASSERT_EQ(Get(1, 1, &event, kPatienceMs), 1);
    EXPECT_EQ(event.obj, reinterpret_cast<uintptr_t>(odd));
}

// ---- how many ----

TEST_F(SubmitTest, RefusalInTheMiddleGivesTheNumberBeforeIt) {
    kaio_raw_iocb good = Read(fd_);
    kaio_raw_iocb bad = Read(kNoDescriptor);
    kaio_raw_iocb *iocbs[] = {&good, &good, &bad, &good};
    kaio_raw_event events[4];

    EXPECT_EQ(kaio_raw_submit(ctx_, 4, iocbs), 2);

    EXPECT_EQ(Get(0, 4, events), 2);
}

TEST_F(SubmitTest, RefusalInFrontGivesItsErrorAndTakesNothing) {
    kaio_raw_iocb good = Read(fd_);
    kaio_raw_iocb bad = Read(kNoDescriptor);
    kaio_raw_iocb *iocbs[] = {&bad, &good};
    kaio_raw_event event;

    EXPECT_EQ(kaio_raw_submit(ctx_, 2, iocbs), -EBADF);

    EXPECT_EQ(Get(0, 1, &event), 0);
}

TEST_F(SubmitTest, BadPointerInTheMiddleGivesTheNumberBeforeIt) {
    kaio_raw_iocb good = Read(fd_);
    kaio_raw_iocb *iocbs[] = {&good, nullptr, &good, &good};
    kaio_raw_event events[4];

    EXPECT_EQ(kaio_raw_submit(ctx_, 4, iocbs), 1);

    EXPECT_EQ(Get(0, 4, events), 1);
}

TEST_F(SubmitTest, NumberLargerThanTheRingDoesNoHarm) {
    kaio_raw_iocb good = Read(fd_);
    kaio_raw_iocb *iocbs[] = {&good, nullptr};

    EXPECT_EQ(kaio_raw_submit(ctx_, LONG_MAX, iocbs), 1);

    EXPECT_EQ(Reap(1), 1);
}

TEST_F(SubmitTest, SameRequestTwiceInOneCallIsTwoRequests) {
    kaio_raw_iocb read = Read(fd_);
    kaio_raw_iocb *iocbs[] = {&read, &read};
    kaio_raw_event events[3] = {};

    EXPECT_EQ(kaio_raw_submit(ctx_, 2, iocbs), 2);

    ASSERT_EQ(Get(2, 3, events, 100), 2);
    EXPECT_EQ(events[0].obj, reinterpret_cast<uintptr_t>(&read));
    EXPECT_EQ(events[1].obj, reinterpret_cast<uintptr_t>(&read));
}

TEST_F(SubmitTest, BufferedReadIsDoneWhenItReturns) {
    ASSERT_EQ(pwrite(fd_, "x", 1, 0), 1);
    kaio_raw_iocb read = Read(fd_);
    kaio_raw_event event = {};

    ASSERT_EQ(Submit(&read), 1);

    EXPECT_EQ(bytes_[0], 'x');
    EXPECT_EQ(Get(0, 1, &event), 1);
}

// ---- room ----

// On one CPU, since each keeps some room to itself.
class RoomTest : public SubmitTest {
  protected:
    void SetUp() override {
        SubmitTest::SetUp();
        ASSERT_EQ(sched_getaffinity(0, sizeof old_cpus_, &old_cpus_), 0);
        cpu_set_t one;
        CPU_ZERO(&one);
        for (unsigned cpu = 0; CPU_COUNT(&one) == 0; ++cpu) {
            if (CPU_ISSET(cpu, &old_cpus_)) {
                CPU_SET(cpu, &one);
            }
        }
        ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    }

    void TearDown() override {
        EXPECT_EQ(sched_setaffinity(0, sizeof old_cpus_, &old_cpus_), 0);
        SubmitTest::TearDown();
    }

    // Submits copies of `iocb` until one is refused, for `refusal_`; returns how many were taken.
    long Fill(kaio_raw_iocb iocb) {
        long count = 0;
        while ((refusal_ = Submit(&iocb)) == 1) {
            ++count;
        }
        return count;
    }

    cpu_set_t old_cpus_;
    long refusal_ = 0;
};

TEST_F(RoomTest, IsAtLeastWhatSetupWasAskedForAndThenTryAgain) {
    const long count = Fill(kaio_raw_prep_poll(pipe_[0], POLLIN));

    EXPECT_GE(count, long{kDepth});
    EXPECT_EQ(refusal_, -EAGAIN);
    RecordProperty("seen", std::to_string(count));
    Ready();
    EXPECT_EQ(Reap(count), count);
}

TEST_F(RoomTest, ComesBackWhenEventsAreReapedOneBatchAtTheLatest) {
    kaio_raw_iocb poll = kaio_raw_prep_poll(pipe_[0], POLLIN);
    const long count = Fill(poll);
    Ready();
    ASSERT_EQ(Submit(&poll), -EAGAIN);

    long reaped = 0;
    do {
        ASSERT_EQ(Reap(1), 1);
        ++reaped;
    } while (Submit(&poll) == -EAGAIN && reaped < count);

    // A batch is what the CPUs take at a time: no more than a quarter of all room.
    EXPECT_LE(reaped, count / 4 + 1);
    EXPECT_EQ(Reap(count - reaped + 1), count - reaped + 1);
}

TEST_F(RoomTest, IsHeldByEventsThatNobodyReaped) {
    kaio_raw_iocb read = Read(fd_);
    const long count = Fill(read);
    ASSERT_GE(count, long{kDepth});

    EXPECT_EQ(Submit(&read), -EAGAIN);

    EXPECT_EQ(Reap(count), count);
    EXPECT_EQ(Run(read), 0);
}

TEST_F(RoomTest, IsGivenBackByARefusedRequest) {
    kaio_raw_iocb bad = Read(kNoDescriptor);
    const long count = Fill(Read(fd_));
    ASSERT_EQ(Reap(count), count);

    for (long each = 0; each <= count; ++each) {
        ASSERT_EQ(Submit(&bad), -EBADF) << each;
    }
}

TEST_F(RoomTest, IsLookedForAfterTheReservedFieldAndBeforeTheFile) {
    kaio_raw_iocb bad = Read(kNoDescriptor);
    const long count = Fill(Read(fd_));

    EXPECT_EQ(Submit(&bad), -EAGAIN);
    bad.aio_reserved2 = 1;
    EXPECT_EQ(Submit(&bad), -EINVAL);

    EXPECT_EQ(Reap(count), count);
}

TEST_F(RoomTest, ThatEndsInTheMiddleGivesTheNumberBeforeIt) {
    kaio_raw_iocb poll = kaio_raw_prep_poll(pipe_[0], POLLIN);
    const long count = Fill(poll);
    Ready();
    ASSERT_EQ(Reap(count), count);
    char byte;
    ASSERT_EQ(read(pipe_[0], &byte, 1), 1);
    const std::vector<kaio_raw_iocb *> iocbs(static_cast<size_t>(2 * count), &poll);

    const long taken = kaio_raw_submit(ctx_, 2 * count, const_cast<kaio_raw_iocb **>(iocbs.data()));

    EXPECT_GE(taken, long{kDepth});
    EXPECT_LT(taken, 2 * count);
    Ready();
    EXPECT_EQ(Reap(taken), taken);
}

// ---- the fields of a request, in the order of the checks ----

TEST_F(SubmitTest, ReservedFieldMustBeZero) {
    kaio_raw_iocb read = Read(fd_);
    read.aio_reserved2 = 1;

    EXPECT_EQ(Submit(&read), -EINVAL);
}

TEST_F(SubmitTest, ReservedFieldIsCheckedBeforeTheFile) {
    kaio_raw_iocb read = Read(kNoDescriptor);
    read.aio_reserved2 = 1;

    EXPECT_EQ(Submit(&read), -EINVAL);
}

TEST_F(SubmitTest, FileThatIsNotOpenIsRefused) {
    kaio_raw_iocb read = Read(kNoDescriptor);

    EXPECT_EQ(Submit(&read), -EBADF);
}

TEST_F(SubmitTest, FileThatIsOnlyAPathIsRefused) {
    const Descriptor path(open("/", O_PATH | O_CLOEXEC));
    kaio_raw_iocb read = Read(path.fd());

    EXPECT_EQ(Submit(&read), -EBADF);
}

TEST_F(SubmitTest, FileIsCheckedBeforeTheEventfd) {
    kaio_raw_iocb read = Read(kNoDescriptor);
    kaio_raw_set_eventfd(&read, fd_);

    EXPECT_EQ(Submit(&read), -EBADF);
}

TEST_F(SubmitTest, EventfdThatIsNoneIsRefusedBeforeTheOpcode) {
    kaio_raw_iocb read = Read(fd_);
    read.aio_lio_opcode = 77;
    kaio_raw_set_eventfd(&read, kNoDescriptor);

    EXPECT_EQ(Submit(&read), -EBADF);
}

TEST_F(SubmitTest, EventfdIsCheckedBeforeTheRequestIsWritten) {
    Page page(PROT_READ | PROT_WRITE);
    auto *const read = page.As<kaio_raw_iocb>();
    *read = Read(fd_);
    kaio_raw_set_eventfd(read, fd_);
    ASSERT_EQ(mprotect(read, sizeof *read, PROT_READ), 0);

    EXPECT_EQ(Submit(read), -EINVAL);
}

TEST_F(SubmitTest, ReadOnlyRequestFaultsBecauseTheKeyIsWritten) {
    Page page(PROT_READ | PROT_WRITE);
    auto *const read = page.As<kaio_raw_iocb>();
    *read = Read(fd_);
    ASSERT_EQ(mprotect(read, sizeof *read, PROT_READ), 0);

    EXPECT_EQ(Submit(read), -EFAULT);
}

TEST_F(SubmitTest, RequestIsWrittenBeforeTheOpcodeIsLookedAt) {
    Page page(PROT_READ | PROT_WRITE);
    auto *const read = page.As<kaio_raw_iocb>();
    *read = Read(fd_);
    read->aio_lio_opcode = 77;
    ASSERT_EQ(mprotect(read, sizeof *read, PROT_READ), 0);

    EXPECT_EQ(Submit(read), -EFAULT);
}

TEST_F(SubmitTest, FileIsCheckedBeforeTheOpcode) {
    kaio_raw_iocb read = Read(kNoDescriptor);
    read.aio_lio_opcode = 77;

    EXPECT_EQ(Submit(&read), -EBADF);
}

TEST_F(SubmitTest, KeyIsZeroAfterwards) {
    kaio_raw_iocb read = Read(fd_);
    read.aio_key = 0xdeadbeef;

    ASSERT_EQ(Submit(&read), 1);

    EXPECT_EQ(read.aio_key, 0u);
    EXPECT_EQ(Reap(1), 1);
}

TEST_F(SubmitTest, ChangesNothingOfARequestButTheKey) {
    kaio_raw_iocb read = Read(fd_);
    const kaio_raw_iocb before = read;

    ASSERT_EQ(Submit(&read), 1);

    EXPECT_EQ(std::memcmp(&read, &before, sizeof read), 0);
    EXPECT_EQ(Reap(1), 1);
}

TEST_F(SubmitTest, UnknownFlagsAreIgnored) {
    kaio_raw_iocb read = Read(fd_);
    read.aio_flags = ~uint32_t{KAIO_RAW_FLAG_RESFD | KAIO_RAW_FLAG_IOPRIO};

    EXPECT_EQ(Run(read), 0);
}

TEST_F(SubmitTest, EventfdWithoutItsFlagIsNotLookedAt) {
    kaio_raw_iocb read = Read(fd_);
    read.aio_resfd = static_cast<uint32_t>(kNoDescriptor);

    EXPECT_EQ(Run(read), 0);
}

class OpcodeTest : public KernelTest, public testing::WithParamInterface<int> {};

TEST_P(OpcodeTest, ThatIsNoneIsRefused) {
    kaio_raw_iocb iocb = kaio_raw_prep_pread(fd_, bytes_, 1, 0);
    iocb.aio_lio_opcode = static_cast<uint16_t>(GetParam());

    EXPECT_EQ(Submit(&iocb), -EINVAL);
}

INSTANTIATE_TEST_SUITE_P(Every, OpcodeTest,
                         testing::Values(KAIO_RAW_CMD_PREADX, KAIO_RAW_CMD_NOOP, 9, 77, UINT16_MAX),
                         testing::PrintToStringParamName());

// ---- reads and writes: file, buffer and range ----

TEST_F(SubmitTest, ReadOfAFileOpenForWritingIsRefused) {
    kaio_raw_iocb read = Read(pipe_[1]);

    EXPECT_EQ(Submit(&read), -EBADF);
}

TEST_F(SubmitTest, WriteToAFileOpenForReadingIsRefused) {
    const Descriptor read_only(open("/dev/zero", O_RDONLY | O_CLOEXEC));
    kaio_raw_iocb write = kaio_raw_prep_pwrite(read_only.fd(), bytes_, 1, 0);

    EXPECT_EQ(Submit(&write), -EBADF);
}

TEST_F(SubmitTest, ModeIsCheckedBeforeTheOffset) {
    kaio_raw_iocb read = kaio_raw_prep_pread(pipe_[1], bytes_, 1, -1);

    EXPECT_EQ(Submit(&read), -EBADF);
}

TEST_F(SubmitTest, ModeIsCheckedBeforeTheBuffer) {
    kaio_raw_iocb read = Read(pipe_[1]);
    read.aio_buf = UINT64_MAX - 4095;

    EXPECT_EQ(Submit(&read), -EBADF);
}

TEST_F(SubmitTest, BufferOfTheKernelFaults) {
    kaio_raw_iocb read = Read(fd_);
    read.aio_buf = UINT64_MAX - 4095;

    EXPECT_EQ(Submit(&read), -EFAULT);
}

TEST_F(SubmitTest, BufferOfTheKernelFaultsEvenForNoBytes) {
    kaio_raw_iocb read = Read(fd_);
    read.aio_buf = UINT64_MAX - 4095;
    read.aio_nbytes = 0;

    EXPECT_EQ(Submit(&read), -EFAULT);
}

TEST_F(SubmitTest, BufferIsCheckedBeforeTheOffset) {
    kaio_raw_iocb read = Read(fd_);
    read.aio_buf = UINT64_MAX - 4095;
    read.aio_offset = -1;

    EXPECT_EQ(Submit(&read), -EFAULT);
}

TEST_F(SubmitTest, OffsetBeforeTheStartIsRefused) {
    kaio_raw_iocb read = kaio_raw_prep_pread(fd_, bytes_, 1, -1);
    kaio_raw_iocb write = kaio_raw_prep_pwrite(fd_, bytes_, 1, -1);

    EXPECT_EQ(Submit(&read), -EINVAL);
    EXPECT_EQ(Submit(&write), -EINVAL);
}

TEST_F(SubmitTest, RangeThatEndsPastTheLargestOffsetIsRefused) {
    kaio_raw_iocb read = kaio_raw_prep_pread(fd_, bytes_, 2, INT64_MAX - 1);

    EXPECT_EQ(Submit(&read), -EINVAL);
    read.aio_nbytes = 1;
    EXPECT_EQ(Run(read), 0);
}

TEST_F(SubmitTest, LengthThatIsNegativeWithASignIsRefused) {
    kaio_raw_iocb longest = kaio_raw_prep_pread(fd_, bytes_, UINT64_MAX, 0);
    kaio_raw_iocb shortest = kaio_raw_prep_pread(fd_, bytes_, uint64_t{1} << 63, 0);

    EXPECT_EQ(Submit(&longest), -EINVAL);
    EXPECT_EQ(Submit(&shortest), -EINVAL);
}

TEST_F(SubmitTest, AsManyVectorsAsTheMaximumAreTaken) {
    ASSERT_EQ(ftruncate(fd_, 2 * KAIO_RAW_IOV_MAX), 0);
    const std::vector<iovec> parts(KAIO_RAW_IOV_MAX, iovec{bytes_, 1});

    EXPECT_EQ(Run(kaio_raw_prep_preadv(fd_, parts.data(), parts.size(), 0)), KAIO_RAW_IOV_MAX);
}

TEST_F(SubmitTest, MoreVectorsThanTheMaximumAreRefused) {
    const std::vector<iovec> parts(KAIO_RAW_IOV_MAX + 1, iovec{bytes_, 1});
    kaio_raw_iocb read = kaio_raw_prep_preadv(fd_, parts.data(), parts.size(), 0);

    EXPECT_EQ(Submit(&read), -EINVAL);
}

TEST_F(SubmitTest, VectorsThatCannotBeReadFault) {
    Page no_access(PROT_NONE);
    kaio_raw_iocb read = kaio_raw_prep_preadv(fd_, no_access.As<iovec>(), 1, 0);

    EXPECT_EQ(Submit(&read), -EFAULT);
}

TEST_F(SubmitTest, VectorOfNegativeLengthIsRefused) {
    const iovec part = {bytes_, SIZE_MAX};
    kaio_raw_iocb read = kaio_raw_prep_preadv(fd_, &part, 1, 0);

    EXPECT_EQ(Submit(&read), -EINVAL);
}

// A file that can be opened for reading, and yet not be read in this way.
struct Unreadable {
    const char *name;
    int (*open_it)();
};

class UnreadableFileTest : public SubmitTest, public testing::WithParamInterface<Unreadable> {};

TEST_P(UnreadableFileTest, IsRefused) {
    const Descriptor file(GetParam().open_it());
    kaio_raw_iocb read = Read(file.fd());

    EXPECT_EQ(Submit(&read), -EINVAL);
}

TEST_P(UnreadableFileTest, IsRefusedAfterTheFlags) {
    const Descriptor file(GetParam().open_it());
    kaio_raw_iocb read = Read(file.fd());
    kaio_raw_set_rw_flags(&read, kNoRwFlag);

    EXPECT_EQ(Submit(&read), -EOPNOTSUPP);
}

INSTANTIATE_TEST_SUITE_P(
    Every, UnreadableFileTest,
    testing::Values(Unreadable{"Directory",
                               [] { return open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC); }},
                    Unreadable{"Epoll", [] { return epoll_create1(EPOLL_CLOEXEC); }},
                    Unreadable{"Inotify", [] { return inotify_init1(IN_CLOEXEC | IN_NONBLOCK); }}),
    [](const auto &row) { return row.param.name; });

// ---- priorities ----

class PriorityTest : public SubmitTest {
  protected:
    kaio_raw_iocb ReadWith(unsigned priority_class, unsigned hint, unsigned level) {
        kaio_raw_iocb read = Read(fd_);
        kaio_raw_set_priority(&read, kaio_raw_ioprio_encode(priority_class, hint, level));
        return read;
    }
};

TEST_F(PriorityTest, NoneIsTaken) {
    EXPECT_EQ(Run(ReadWith(KAIO_RAW_IOPRIO_CLASS_NONE, 0, 0)), 0);
}

TEST_F(PriorityTest, NoneWithALevelIsRefused) {
    kaio_raw_iocb read = ReadWith(KAIO_RAW_IOPRIO_CLASS_NONE, 0, 1);

    EXPECT_EQ(Submit(&read), -EINVAL);
}

TEST_F(PriorityTest, BestEffortIsTakenWithEveryLevel) {
    for (unsigned level = 0; level <= KAIO_RAW_IOPRIO_LEVEL_MASK; ++level) {
        EXPECT_EQ(Run(ReadWith(KAIO_RAW_IOPRIO_CLASS_BE, 0, level)), 0) << level;
    }
}

TEST_F(PriorityTest, IdleIsTakenWithALevel) {
    EXPECT_EQ(Run(ReadWith(KAIO_RAW_IOPRIO_CLASS_IDLE, 0, 7)), 0);
}

// Hints came with 6.5; before, their bits were part of the level and out of range.
TEST_F(PriorityTest, EveryHintIsTaken) {
    const unsigned accepted = KernelIsBefore(6, 5) ? kServed | kInvalid : kServed;

    for (unsigned hint = 1; hint <= KAIO_RAW_IOPRIO_HINT_MASK; hint *= 2) {
        const Answer answer = Try(ReadWith(KAIO_RAW_IOPRIO_CLASS_BE, hint, 4));

        EXPECT_NE(answer & accepted, 0u) << hint << ": " << Text(answer);
    }
}

TEST_F(PriorityTest, ClassThatIsNoneIsRefused) {
    for (unsigned priority_class : {4, 5, 6, int{KAIO_RAW_IOPRIO_CLASS_INVALID}}) {
        kaio_raw_iocb read = ReadWith(priority_class, 0, 0);

        EXPECT_EQ(Submit(&read), -EINVAL) << priority_class;
    }
}

TEST_F(PriorityTest, RealTimeNeedsTheRight) {
    kaio_raw_iocb read = ReadWith(KAIO_RAW_IOPRIO_CLASS_RT, 0, 0);
    long answer = 0;

    ASSERT_TRUE(SubmitWithCapability(&read, -1, &answer));

    EXPECT_EQ(answer, -EPERM);
}

TEST_F(PriorityTest, WithoutItsFlagIsNotLookedAt) {
    kaio_raw_iocb read = ReadWith(KAIO_RAW_IOPRIO_CLASS_INVALID, 0, 0);
    read.aio_flags = 0;

    EXPECT_EQ(Run(read), 0);
}

TEST_F(PriorityTest, OfASyncOrPollIsIgnored) {
    const uint16_t bad = kaio_raw_ioprio_encode(KAIO_RAW_IOPRIO_CLASS_INVALID, 0, 0);
    kaio_raw_iocb sync = kaio_raw_prep_fsync(fd_);
    kaio_raw_iocb poll = kaio_raw_prep_poll(pipe_[1], POLLOUT);
    kaio_raw_set_priority(&sync, bad);
    kaio_raw_set_priority(&poll, bad);

    EXPECT_EQ(Run(sync), 0);
    EXPECT_EQ(Run(poll) & POLLOUT, POLLOUT);
}

TEST_F(PriorityTest, IsCheckedBeforeTheFlagsAndTheMode) {
    kaio_raw_iocb read = ReadWith(KAIO_RAW_IOPRIO_CLASS_NONE, 0, 1);
    read.aio_fildes = static_cast<uint32_t>(pipe_[1]);
    kaio_raw_set_rw_flags(&read, kNoRwFlag);

    EXPECT_EQ(Submit(&read), -EINVAL);
}

// ---- flags of reads and writes ----

using RwFlagTest = SubmitTest;

TEST_F(RwFlagTest, ThatIsUnknownIsNotSupported) {
    for (unsigned bit = 24; bit < 32; ++bit) {
        kaio_raw_iocb read = Read(fd_);
        kaio_raw_set_rw_flags(&read, static_cast<int>(uint32_t{1} << bit));
        const Answer answer = Try(read);

        EXPECT_EQ(answer, kRefused) << "bit " << bit << ": " << Text(answer);
    }
}

TEST_F(RwFlagTest, IsCheckedBeforeTheMode) {
    kaio_raw_iocb read = Read(pipe_[1]);
    kaio_raw_set_rw_flags(&read, kNoRwFlag);

    EXPECT_EQ(Submit(&read), -EOPNOTSUPP);
}

TEST_F(RwFlagTest, AppendWritesAtTheEnd) {
    kaio_raw_iocb append = kaio_raw_prep_pwrite(fd_, "b", 1, 0);
    kaio_raw_set_rw_flags(&append, KAIO_RAW_RWF_APPEND);
    ASSERT_EQ(pwrite(fd_, "a", 1, 0), 1);

    EXPECT_EQ(Run(append), 1);

    ASSERT_EQ(pread(fd_, bytes_, 3, 0), 2);
    EXPECT_STREQ(bytes_, "ab");
}

TEST_F(RwFlagTest, AppendNeedsAnOffsetAllTheSame) {
    kaio_raw_iocb append = kaio_raw_prep_pwrite(fd_, "b", 1, -1);
    kaio_raw_set_rw_flags(&append, KAIO_RAW_RWF_APPEND);

    EXPECT_EQ(Submit(&append), -EINVAL);
}

TEST_F(RwFlagTest, NoAppendWritesAtTheOffsetOfAnAppendFile) {
    ASSERT_EQ(pwrite(fd_, "abc", 3, 0), 3);
    ASSERT_EQ(fcntl(fd_, F_SETFL, O_APPEND), 0);
    kaio_raw_iocb write = kaio_raw_prep_pwrite(fd_, "x", 1, 1);
    kaio_raw_set_rw_flags(&write, KAIO_RAW_RWF_NOAPPEND);

    const Answer answer = Try(write);

    RecordProperty("seen", Text(answer));
    ASSERT_EQ(pread(fd_, bytes_, 5, 0), 3);
    EXPECT_NE(answer & (kServed | RefusedBefore(6, 9)), 0u) << Text(answer);
    EXPECT_STREQ(bytes_, answer == kServed ? "axc" : "abc");
}

TEST_F(RwFlagTest, AppendWithNoAppendIsRefused) {
    kaio_raw_iocb write = kaio_raw_prep_pwrite(fd_, "x", 1, 0);
    kaio_raw_set_rw_flags(&write, KAIO_RAW_RWF_APPEND | KAIO_RAW_RWF_NOAPPEND);

    EXPECT_EQ(Submit(&write), KernelIsBefore(6, 9) ? -EOPNOTSUPP : -EINVAL);
}

TEST_F(RwFlagTest, NoWaitReadOfAnEmptyPipeWouldBlock) {
    ASSERT_EQ(fcntl(pipe_[0], F_SETFL, 0), 0);
    kaio_raw_iocb read = Read(pipe_[0]);
    kaio_raw_set_rw_flags(&read, KAIO_RAW_RWF_NOWAIT);

    EXPECT_EQ(Run(read), -EAGAIN);
}

TEST_F(RwFlagTest, NoSignalKeepsTheSignalOfABrokenPipeAway) {
    const SignalCount broken(SIGPIPE);
    close(pipe_[0]);
    pipe_[0] = kNoDescriptor;
    kaio_raw_iocb write = kaio_raw_prep_pwrite(pipe_[1], "x", 1, 0);
    kaio_raw_set_rw_flags(&write, KAIO_RAW_RWF_NOSIGNAL);

    if (KernelIsBefore(6, 18) && Try(write) == kRefused) {
        GTEST_SKIP() << "RWF_NOSIGNAL came with Linux 6.18";
    }

    EXPECT_EQ(Run(write), -EPIPE);
    EXPECT_EQ(SignalCount::count(), 0);
}

// A flag that every file takes, and the version that it came with.
struct CommonFlag {
    const char *name;
    int flags;
    int major;
    int minor;
};

class CommonRwFlagTest : public SubmitTest, public testing::WithParamInterface<CommonFlag> {
  protected:
    void ExpectServed(kaio_raw_iocb iocb) {
        const CommonFlag &flag = GetParam();
        kaio_raw_set_rw_flags(&iocb, flag.flags);

        const Answer answer = Try(iocb);

        const unsigned accepted = kServed | RefusedBefore(flag.major, flag.minor);
        EXPECT_NE(answer & accepted, 0u) << Text(answer);
        RecordProperty("seen", Text(answer));
    }
};

TEST_P(CommonRwFlagTest, IsTakenWithARead) {
    ExpectServed(Read(fd_));
}

TEST_P(CommonRwFlagTest, IsTakenWithAWrite) {
    ExpectServed(kaio_raw_prep_pwrite(fd_, "x", 1, 0));
}

TEST_P(CommonRwFlagTest, IsTakenWithAPipe) {
    ExpectServed(kaio_raw_prep_pwrite(pipe_[1], "x", 1, 0));
}

INSTANTIATE_TEST_SUITE_P(Every, CommonRwFlagTest,
                         testing::Values(CommonFlag{"HighPriority", KAIO_RAW_RWF_HIPRI, 4, 13},
                                         CommonFlag{"Dsync", KAIO_RAW_RWF_DSYNC, 4, 13},
                                         CommonFlag{"Sync", KAIO_RAW_RWF_SYNC, 4, 13},
                                         CommonFlag{"DsyncAndSync",
                                                    KAIO_RAW_RWF_DSYNC | KAIO_RAW_RWF_SYNC, 4, 13},
                                         CommonFlag{"Append", KAIO_RAW_RWF_APPEND, 4, 16},
                                         CommonFlag{"NoAppend", KAIO_RAW_RWF_NOAPPEND, 6, 9},
                                         CommonFlag{"NoSignal", KAIO_RAW_RWF_NOSIGNAL, 6, 18}),
                         [](const auto &row) { return row.param.name; });

// A file of no disk: what it is read and written by, and what a NOWAIT read of 8 bytes does.
struct Ends {
    int read;
    int write;
};

struct Special {
    const char *name;
    Ends (*open_it)();
    bool is_empty;
};

Ends Both(int fd) {
    return {fd, fcntl(fd, F_DUPFD_CLOEXEC, 0)};
}

class SpecialFileTest : public SubmitTest, public testing::WithParamInterface<Special> {
  protected:
    void SetUp() override {
        SubmitTest::SetUp();
        const Ends ends = GetParam().open_it();
        read_end_ = std::make_unique<Descriptor>(ends.read);
        write_end_ = std::make_unique<Descriptor>(ends.write);
    }

    std::unique_ptr<Descriptor> read_end_;
    std::unique_ptr<Descriptor> write_end_;
};

// A kernel before the first that was looked at (6.12) may refuse this.
TEST_P(SpecialFileTest, TakesNoWait) {
    kaio_raw_iocb read = kaio_raw_prep_pread(read_end_->fd(), bytes_, 8, 0);
    kaio_raw_set_rw_flags(&read, KAIO_RAW_RWF_NOWAIT);

    const Answer answer = Try(read);

    const unsigned accepted = (GetParam().is_empty ? kWouldBlock : kServed) | RefusedBefore(6, 12);
    EXPECT_NE(answer & accepted, 0u) << Text(answer);
    RecordProperty("seen", Text(answer));
}

TEST_P(SpecialFileTest, HasNoDontCache) {
    kaio_raw_iocb read = Read(read_end_->fd());
    kaio_raw_set_rw_flags(&read, KAIO_RAW_RWF_DONTCACHE);

    EXPECT_EQ(Submit(&read), -EOPNOTSUPP);
}

TEST_P(SpecialFileTest, HasNoAtomicWrite) {
    kaio_raw_iocb write = kaio_raw_prep_pwrite(write_end_->fd(), bytes_, 8, 0);
    kaio_raw_set_rw_flags(&write, KAIO_RAW_RWF_ATOMIC);

    EXPECT_EQ(Submit(&write), -EOPNOTSUPP);
}

INSTANTIATE_TEST_SUITE_P(
    Every, SpecialFileTest,
    testing::Values(
        Special{"Pipe",
                [] {
                    int ends[2];
                    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
                    return Ends{ends[0], ends[1]};
                },
                true},
        Special{"Socket",
                [] {
                    int ends[2];
                    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
                    return Ends{ends[0], ends[1]};
                },
                true},
        Special{"Eventfd", [] { return Both(eventfd(0, EFD_CLOEXEC)); }, true},
        Special{"Timerfd", [] { return Both(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC)); }, true},
        Special{"Zero", [] { return Both(open("/dev/zero", O_RDWR | O_CLOEXEC)); }, false},
        Special{"Null", [] { return Both(open("/dev/null", O_RDWR | O_CLOEXEC)); }, false},
        Special{"Random", [] { return Both(open("/dev/urandom", O_RDWR | O_CLOEXEC)); }, false}),
    [](const auto &row) { return row.param.name; });

}  // namespace
}  // namespace kaio_test
