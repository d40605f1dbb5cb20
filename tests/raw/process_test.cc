// Contexts and requests as threads, signals, exec(2), exit and mmap(2) meet them.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <tuple>

#include "kaio/raw/aio_prep.h"
#include "kaio/raw/aio_ring.h"
#include "kaio/raw/aio_syscall.h"
#include "tests/raw/ending_child.h"
#include "tests/raw/kernel_test.h"
#include "tests/support/folder.h"
#include "tests/support/in_child.h"

namespace kaio_test {
namespace {

constexpr unsigned kChildSeconds = 60;

// ---- requests, and what happens to what was submitted ----

constexpr size_t kBlockBytes = 4096;

// Reads of files past the page cache where they can be, so that they are not done at once. Whether
// they are still in flight a moment later cannot be known here.
class SubmittedTest : public KernelTest {
  protected:
    static constexpr long kReads = 8;

    // A new file of kReads blocks, made from `seed`.
    int OpenFile(unsigned seed) {
        const std::string path = folder_ / std::to_string(seed);
        WriteFile(path, Pattern(sizeof *blocks_, seed));
        const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT);
        RecordProperty("direct", fd >= 0);
        return fd >= 0 ? fd : open(path.c_str(), O_RDONLY | O_CLOEXEC);
    }

    void TearDown() override {
        errno = kErrno;  // opening and waiting changed it
        KernelTest::TearDown();
    }

    // Submits kReads reads, one block each.
    void SubmitReads(int fd) {
        kaio_raw_iocb iocbs[kReads];
        kaio_raw_iocb *pointers[kReads];
        for (long i = 0; i < kReads; ++i) {
            iocbs[i] = kaio_raw_prep_pread(fd, blocks_->bytes[i], kBlockBytes, i * 4096);
            pointers[i] = &iocbs[i];
        }
        ASSERT_EQ(kaio_raw_submit(ctx_, kReads, pointers), kReads);
    }

    // Waits for them all; each has read its block of the file that was made from `seed`.
    void ExpectRead(unsigned seed) {
        kaio_raw_event events[kReads] = {};
        ASSERT_EQ(Get(kReads, kReads, events, kPatienceMs), kReads);
        for (const kaio_raw_event &event : events) {
            EXPECT_EQ(event.res, static_cast<int64_t>(kBlockBytes));
        }
        EXPECT_EQ(
            std::memcmp(blocks_.get(), Pattern(sizeof *blocks_, seed).data(), sizeof *blocks_), 0);
    }

    struct alignas(kBlockBytes) Blocks {
        char bytes[kReads][kBlockBytes];
    };

    Folder folder_;
    std::unique_ptr<Blocks> blocks_ = std::make_unique<Blocks>();
};

TEST_F(SubmittedTest, FileMayBeClosed) {
    Descriptor file(OpenFile(1));

    SubmitReads(file.fd());
    file.Close();

    ExpectRead(1);
}

TEST_F(SubmittedTest, DescriptorMayBeGivenToAnotherFile) {
    Descriptor file(OpenFile(1));
    Descriptor other(OpenFile(2));

    SubmitReads(file.fd());
    ASSERT_EQ(dup2(other.fd(), file.fd()), file.fd());

    ExpectRead(1);
    SubmitReads(file.fd());
    ExpectRead(2);
}

TEST_F(SubmittedTest, ThreadMayEnd) {
    Descriptor file(OpenFile(1));

    std::thread submitter([this, &file] { SubmitReads(file.fd()); });
    submitter.join();

    ExpectRead(1);
}

TEST_F(SubmittedTest, ThreadOfAPendingPollMayEnd) {
    kaio_raw_iocb iocb = kaio_raw_prep_poll(pipe_[0], POLLIN);
    std::thread submitter([&iocb] { EXPECT_EQ(Submit(&iocb), 1); });
    submitter.join();
    kaio_raw_event event = {};
    ASSERT_EQ(Get(0, 1, &event), 0);

    Ready();

    ASSERT_EQ(Get(1, 1, &event, kPatienceMs), 1);
    EXPECT_NE(event.res & POLLIN, 0);
}

// The data buffer is the only memory that must stay.
TEST_F(SubmittedTest, IocbItsPointerAndIovecsMayBeUnmapped) {
    Descriptor file(OpenFile(1));

    {
        Page page(PROT_READ | PROT_WRITE);
        struct Request {
            kaio_raw_iocb *pointer;
            kaio_raw_iocb iocb;
            iovec iov[kReads];
        };
        auto *request = page.As<Request>();
        for (long i = 0; i < kReads; ++i) {
            request->iov[i] = {blocks_->bytes[i], kBlockBytes};
        }
        request->iocb = kaio_raw_prep_preadv(file.fd(), request->iov, kReads, 0);
        request->pointer = &request->iocb;
        ASSERT_EQ(kaio_raw_submit(ctx_, 1, &request->pointer), 1);
    }

    kaio_raw_event event = {};
    ASSERT_EQ(Get(1, 1, &event, kPatienceMs), 1);
    EXPECT_EQ(event.res, static_cast<int64_t>(sizeof *blocks_));
    EXPECT_EQ(std::memcmp(blocks_.get(), Pattern(sizeof *blocks_, 1).data(), sizeof *blocks_), 0);
}

// A read of an empty pipe sleeps in kaio_raw_submit. SA_RESTART does not make it go on.
TEST_F(SubmittedTest, SignalEndsASleepingReadInItsEvent) {
    int fds[2];
    ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
    Descriptor read_end(fds[0]);
    Descriptor write_end(fds[1]);
    SignalCount signals(SIGUSR1);
    struct sigaction action = {};
    ASSERT_EQ(sigaction(SIGUSR1, nullptr, &action), 0);
    action.sa_flags |= SA_RESTART;
    ASSERT_EQ(sigaction(SIGUSR1, &action, nullptr), 0);
    const pthread_t reader = pthread_self();
    std::atomic<bool> is_back{false};
    // A signal that comes before the read sleeps does nothing, so there are more. A byte ends a
    // read that none of them ends.
    std::thread sender([&] {
        if (!WaitFor([&] { return is_back || pthread_kill(reader, SIGUSR1) != 0; })) {
            EXPECT_EQ(write(write_end.fd(), "x", 1), 1);
        }
    });

    kaio_raw_iocb iocb = kaio_raw_prep_pread(read_end.fd(), bytes_, 1, 0);
    const long submitted = Submit(&iocb);
    is_back = true;
    sender.join();

    EXPECT_EQ(submitted, 1);
    kaio_raw_event event = {};
    EXPECT_EQ(Get(0, 1, &event), 1);
    EXPECT_EQ(event.res, -EINTR);
    EXPECT_GE(signals.count(), 1);
}

// ---- the end of a process ----

class ProcessEndTest : public testing::TestWithParam<End> {
  protected:
    void SetUp() override {
        ASSERT_EQ(pipe2(pipe_, O_CLOEXEC), 0);
    }

    void TearDown() override {
        close(pipe_[0]);
        close(pipe_[1]);
    }

    int pipe_[2] = {kNoDescriptor, kNoDescriptor};
};

// The child's requests count in an eventfd of its parent.
TEST_P(ProcessEndTest, EndsPendingPolls) {
    Descriptor counter(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    EndingChild child(GetParam(), [this, &counter] {
        kaio_raw_context ctx = 0;
        kaio_raw_iocb iocb = kaio_raw_prep_poll(pipe_[0], POLLIN);
        kaio_raw_set_eventfd(&iocb, counter.fd());
        kaio_raw_iocb *pointers[] = {&iocb, &iocb, &iocb};
        return kaio_raw_setup(3, &ctx) == 0 && kaio_raw_submit(ctx, 3, pointers) == 3;
    });
    ASSERT_TRUE(child.IsPrepared());
    uint64_t count = 0;
    ASSERT_EQ(read(counter.fd(), &count, sizeof count), -1) << "the polls do not pend";

    ASSERT_TRUE(child.HasEnded());

    EXPECT_EQ(read(counter.fd(), &count, sizeof count), ssize_t{sizeof count});
    EXPECT_EQ(count, 3u);
}

unsigned long AioNr() {
    unsigned long number = 0;
    std::ifstream("/proc/sys/fs/aio-nr") >> number;
    return number;
}

// aio-nr is everybody's: others add to it meanwhile, but not for ever.
TEST_P(ProcessEndTest, GivesBackItsShareOfAioNr) {
    constexpr unsigned kShare = 4096;
    EndingChild child(GetParam(), [] {
        kaio_raw_context ctx = 0;
        return kaio_raw_setup(kShare, &ctx) == 0;
    });
    ASSERT_TRUE(child.IsPrepared());
    const unsigned long with_child = AioNr();
    ASSERT_GE(with_child, kShare);

    ASSERT_TRUE(child.HasEnded());

    EXPECT_TRUE(WaitFor([with_child] { return AioNr() + kShare <= with_child; })) << AioNr();
}

INSTANTIATE_TEST_SUITE_P(Every, ProcessEndTest, testing::Values(End::kExec, End::kExit, End::kKill),
                         EndName);

// ---- what mmap(2) and its like do to the ring ----

class RingMappingTest : public testing::Test {
  protected:
    void SetUp() override {
        null_ = open("/dev/null", O_RDONLY | O_CLOEXEC);
        ASSERT_GE(null_, 0);
        ASSERT_EQ(kaio_raw_setup(1, &ctx_), 0);
        if (kaio_raw_ring_validate(ctx_, &consumer_) != 0) {
            GTEST_SKIP() << "this kernel maps no ring";
        }
        ring_bytes_ = (size_t{consumer_.nr} + 1) * sizeof(kaio_raw_event);
    }

    void TearDown() override {
        if (ctx_ != 0) {
            EXPECT_EQ(kaio_raw_destroy(ctx_), 0);
        }
        close(null_);
    }

    static void *Address(kaio_raw_context ctx) {
        return reinterpret_cast<void *>(ctx);
    }

    long SubmitRead(kaio_raw_context ctx) {
        kaio_raw_iocb iocb = kaio_raw_prep_pread(null_, &byte_, 1, 0);
        kaio_raw_iocb *pointer = &iocb;
        return kaio_raw_submit(ctx, 1, &pointer);
    }

    static long Get(kaio_raw_context ctx) {
        kaio_raw_event event;
        kaio_raw_old_timespec no_wait = {0, 0};
        return kaio_raw_getevents(ctx, 0, 1, &event, &no_wait);
    }

    void ExpectUsable(kaio_raw_context ctx) {
        EXPECT_EQ(SubmitRead(ctx), 1);
        EXPECT_EQ(Get(ctx), 1);
    }

    void ExpectRefused(kaio_raw_context ctx) {
        kaio_raw_iocb iocb = kaio_raw_prep_pread(null_, &byte_, 1, 0);
        EXPECT_EQ(SubmitRead(ctx), -EINVAL);
        EXPECT_EQ(kaio_raw_cancel(ctx, &iocb, nullptr), -EINVAL);
        EXPECT_EQ(Get(ctx), -EINVAL);
        EXPECT_EQ(kaio_raw_destroy(ctx), -EINVAL);
    }

    int null_ = kNoDescriptor;
    char byte_ = 0;
    kaio_raw_context ctx_ = 0;
    kaio_raw_ring_consumer consumer_ = {};
    size_t ring_bytes_ = 0;
};

TEST_F(RingMappingTest, MovedRingIsTheContextAtItsNewAddress) {
    ASSERT_EQ(SubmitRead(ctx_), 1);
    const kaio_raw_context old_ctx = ctx_;
    void *place = mmap(nullptr, ring_bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(place, MAP_FAILED);

    void *moved =
        mremap(Address(ctx_), ring_bytes_, ring_bytes_, MREMAP_MAYMOVE | MREMAP_FIXED, place);

    ASSERT_EQ(moved, place);
    ctx_ = reinterpret_cast<uintptr_t>(moved);
    ExpectRefused(old_ctx);
    ASSERT_EQ(kaio_raw_ring_validate(ctx_, &consumer_), 0);
    EXPECT_EQ(kaio_raw_ring_ready(&consumer_), 1u);
    EXPECT_EQ(Get(ctx_), 1);
    ExpectUsable(ctx_);
}

TEST_F(RingMappingTest, RingDoesNotGrow) {
    errno = 0;

    void *grown = mremap(Address(ctx_), ring_bytes_, 2 * ring_bytes_, MREMAP_MAYMOVE);

    EXPECT_EQ(grown, MAP_FAILED);
    EXPECT_EQ(errno, EFAULT);
    ExpectUsable(ctx_);
}

TEST_F(RingMappingTest, RingIsNotMappedTwice) {
    errno = 0;

    void *second = mremap(Address(ctx_), 0, ring_bytes_, MREMAP_MAYMOVE);

    EXPECT_EQ(second, MAP_FAILED);
    EXPECT_EQ(errno, EFAULT);
    ExpectUsable(ctx_);
}

// In a child, whose end alone ends such a context.
TEST_F(RingMappingTest, ContextWithoutItsRingIsRefused) {
    ExpectFineInChild([this] {
        alarm(kChildSeconds);
        kaio_raw_context ctx = 0;
        ASSERT_EQ(kaio_raw_setup(1, &ctx), 0);
        ExpectUsable(ctx);

        ASSERT_EQ(munmap(Address(ctx), ring_bytes_), 0);

        ExpectRefused(ctx);
        EXPECT_EQ(kaio_raw_ring_validate(ctx, &consumer_), -ENOMEM);
    });
}

TEST_F(RingMappingTest, RequestEndsAlthoughTheRingIsUnmapped) {
    ExpectFineInChild([this] {
        alarm(kChildSeconds);
        kaio_raw_context ctx = 0;
        ASSERT_EQ(kaio_raw_setup(1, &ctx), 0);
        int fds[2];
        ASSERT_EQ(pipe(fds), 0);
        const int counter = eventfd(0, EFD_CLOEXEC);
        kaio_raw_iocb iocb = kaio_raw_prep_poll(fds[0], POLLIN);
        kaio_raw_set_eventfd(&iocb, counter);
        kaio_raw_iocb *pointer = &iocb;
        ASSERT_EQ(kaio_raw_submit(ctx, 1, &pointer), 1);

        ASSERT_EQ(munmap(Address(ctx), ring_bytes_), 0);
        ASSERT_EQ(write(fds[1], "x", 1), 1);

        uint64_t count = 0;
        EXPECT_EQ(read(counter, &count, sizeof count), ssize_t{sizeof count});
        EXPECT_EQ(count, 1u);
    });
}

TEST_F(RingMappingTest, ContextIsRefusedWhileItsRingCannotBeRead) {
    ASSERT_EQ(mprotect(Address(ctx_), ring_bytes_, PROT_NONE), 0);

    ExpectRefused(ctx_);

    ASSERT_EQ(mprotect(Address(ctx_), ring_bytes_, PROT_READ | PROT_WRITE), 0);
    ExpectUsable(ctx_);
}

TEST_F(RingMappingTest, CallsNeedNotWriteToTheRing) {
    ASSERT_EQ(mprotect(Address(ctx_), ring_bytes_, PROT_READ), 0);

    ExpectUsable(ctx_);
}

TEST_F(RingMappingTest, CopyOfARingIsNoContext) {
    auto copy = std::make_unique<char[]>(ring_bytes_);
    std::memcpy(copy.get(), consumer_.ring, ring_bytes_);

    ExpectRefused(reinterpret_cast<uintptr_t>(copy.get()));

    ExpectUsable(ctx_);
}

TEST_F(RingMappingTest, ForgedIdIsRefused) {
    kaio_raw_context other = 0;
    ASSERT_EQ(kaio_raw_setup(1, &other), 0);
    uint32_t *id = &consumer_.ring->id;
    const uint32_t true_id = *id;
    const uint32_t others_id = static_cast<const kaio_raw_ring *>(Address(other))->id;
    ASSERT_NE(true_id, others_id);

    for (uint32_t forged : {others_id, true_id + 1000, UINT32_MAX}) {
        __atomic_store_n(id, forged, __ATOMIC_RELEASE);
        ExpectRefused(ctx_);
    }

    __atomic_store_n(id, true_id, __ATOMIC_RELEASE);
    ExpectUsable(ctx_);
    EXPECT_EQ(kaio_raw_destroy(other), 0);
}

// The number of a destroyed context may be that of the next one.
TEST_F(RingMappingTest, OldNumberIsRefusedOrNamesANewContext) {
    const kaio_raw_context old_ctx = ctx_;
    ctx_ = 0;
    ASSERT_EQ(kaio_raw_destroy(old_ctx), 0);
    ExpectRefused(old_ctx);

    ASSERT_EQ(kaio_raw_setup(1, &ctx_), 0);

    RecordProperty("seen", ctx_ == old_ctx ? "the same number again" : "another number");
    if (ctx_ == old_ctx) {
        ExpectUsable(old_ctx);
    } else {
        ExpectRefused(old_ctx);
    }
}

// ---- seccomp ----

struct FilteredCall {
    const char *name;
    long number;
    // Makes the call, which would succeed were it not filtered.
    long (*call)(kaio_raw_context ctx, kaio_raw_iocb *poll);
};

#if defined(__LP64__) || (defined(__x86_64__) && defined(__ILP32__))
constexpr long kPgeteventsNumber = __NR_io_pgetevents;
#else
constexpr long kPgeteventsNumber = __NR_io_pgetevents_time64;
#endif

const FilteredCall kFilteredCalls[] = {
    {"Setup", __NR_io_setup,
     [](kaio_raw_context, kaio_raw_iocb *) {
         kaio_raw_context ctx = 0;
         return kaio_raw_setup(1, &ctx);
     }},
    {"Destroy", __NR_io_destroy,
     [](kaio_raw_context ctx, kaio_raw_iocb *) { return kaio_raw_destroy(ctx); }},
    {"Submit", __NR_io_submit,
     [](kaio_raw_context ctx, kaio_raw_iocb *poll) { return kaio_raw_submit(ctx, 1, &poll); }},
    {"Cancel", __NR_io_cancel,
     [](kaio_raw_context ctx, kaio_raw_iocb *poll) { return kaio_raw_cancel(ctx, poll, nullptr); }},
    {"Getevents", __NR_io_getevents,
     [](kaio_raw_context ctx, kaio_raw_iocb *) {
         kaio_raw_old_timespec no_wait = {0, 0};
         return kaio_raw_getevents(ctx, 0, 0, nullptr, &no_wait);
     }},
    {"Pgetevents", kPgeteventsNumber,
     [](kaio_raw_context ctx, kaio_raw_iocb *) {
         kaio_raw_timespec no_wait = {0, 0};
         return kaio_raw_pgetevents(ctx, 0, 0, nullptr, &no_wait, nullptr);
     }},
    {"Validate", __NR_mincore,
     [](kaio_raw_context ctx, kaio_raw_iocb *) {
         kaio_raw_ring_consumer consumer;
         return kaio_raw_ring_validate(ctx, &consumer);
     }},
    {"Dontfork", __NR_madvise,
     [](kaio_raw_context ctx, kaio_raw_iocb *) {
         kaio_raw_ring_consumer consumer = {};
         EXPECT_EQ(kaio_raw_ring_validate(ctx, &consumer), 0);
         return kaio_raw_ring_dontfork(&consumer);
     }},
};

// Answers the system call `number` by `error` from now on, or says why that may not be.
std::string RefuseCall(long number, int error) {
    sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(number), 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<uint32_t>(error)),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog program = {std::size(filter), filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
        return std::strerror(errno);
    }
    return "";
}

class SeccompTest : public testing::TestWithParam<std::tuple<FilteredCall, int>> {};

TEST_P(SeccompTest, RefusalIsTheResult) {
    const auto &[filtered, error] = GetParam();
    if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) < 0) {
        GTEST_SKIP() << "no seccomp: " << std::strerror(errno);
    }

    ExpectFineInChild([&filtered = filtered, error = error] {
        alarm(kChildSeconds);
        int fds[2];
        ASSERT_EQ(pipe(fds), 0);
        kaio_raw_context ctx = 0;
        ASSERT_EQ(kaio_raw_setup(2, &ctx), 0);
        kaio_raw_iocb iocb = kaio_raw_prep_poll(fds[0], POLLIN);
        kaio_raw_iocb *pointer = &iocb;
        ASSERT_EQ(kaio_raw_submit(ctx, 1, &pointer), 1);
        ASSERT_EQ(RefuseCall(filtered.number, error), "");
        errno = EXDEV;

        const long answer = filtered.call(ctx, &iocb);

        EXPECT_EQ(errno, EXDEV);
        EXPECT_EQ(answer, -error);
    });
}

std::string SeccompName(const testing::TestParamInfo<std::tuple<FilteredCall, int>> &info) {
    const auto &[filtered, error] = info.param;
    return filtered.name + std::string(error == EPERM ? "Forbidden" : "Missing");
}

INSTANTIATE_TEST_SUITE_P(Every, SeccompTest,
                         testing::Combine(testing::ValuesIn(kFilteredCalls),
                                          testing::Values(EPERM, ENOSYS)),
                         SeccompName);

}  // namespace
}  // namespace kaio_test
