#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/raw/kernel_test.h"
#include "tests/support/folder.h"

namespace kaio_test {
namespace {

class ResultTest : public KernelTest {
  protected:
    void Put(const std::string &bytes, int64_t offset = 0) {
        ASSERT_EQ(pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset)),
                  static_cast<ssize_t>(bytes.size()));
    }

    // All of the file, as far as it fits.
    std::string Content() {
        char bytes[256];
        const ssize_t count = pread(fd_, bytes, sizeof bytes, 0);
        EXPECT_GE(count, 0);
        return {bytes, static_cast<size_t>(std::max<ssize_t>(count, 0))};
    }

    int64_t Read(uint64_t nbytes, int64_t offset) {
        return Run(kaio_raw_prep_pread(fd_, bytes_, nbytes, offset));
    }
};

// ---- the event ----

TEST_F(ResultTest, AllBitsOfTheDataComeBack) {
    for (uint64_t data : {UINT64_C(0x1122334455667788), UINT64_C(0xf122334455667788), UINT64_MAX}) {
        kaio_raw_iocb read = kaio_raw_prep_pread(fd_, bytes_, 1, 0);
        kaio_raw_set_data(&read, data);
        kaio_raw_event event = {};

        ASSERT_EQ(Submit(&read), 1);

        ASSERT_EQ(Get(1, 1, &event, kPatienceMs), 1);
        EXPECT_EQ(event.data, data);
    }
}

TEST_F(ResultTest, EventHasTheAddressOfItsRequest) {
    kaio_raw_iocb reads[2] = {kaio_raw_prep_pread(fd_, bytes_, 1, 0),
                              kaio_raw_prep_pread(fd_, bytes_, 1, 0)};
    kaio_raw_event event = {};

    for (kaio_raw_iocb &read : reads) {
        ASSERT_EQ(Submit(&read), 1);
        ASSERT_EQ(Get(1, 1, &event, kPatienceMs), 1);
        EXPECT_EQ(event.obj, reinterpret_cast<uintptr_t>(&read));
    }
}

// A request of each kind that ends at once, on the file `fd`.
struct Kind {
    const char *name;
    kaio_raw_iocb (*prepare)(int fd, const iovec *part);
    int64_t res;
};

class KindTest : public ResultTest, public testing::WithParamInterface<Kind> {};

TEST_P(KindTest, EventHasTheResultAndAZeroBesideIt) {
    Put("abcdef");
    const iovec part = {bytes_, 4};
    kaio_raw_iocb iocb = GetParam().prepare(fd_, &part);
    kaio_raw_event event = {11, 12, 13, 14};

    ASSERT_EQ(Submit(&iocb), 1);

    ASSERT_EQ(Get(1, 1, &event, kPatienceMs), 1);
    EXPECT_EQ(event.res, GetParam().res);
    EXPECT_EQ(event.res2, 0);
}

INSTANTIATE_TEST_SUITE_P(
    Every, KindTest,
    testing::Values(
        Kind{
            "Read",
            [](int fd, const iovec *part) { return kaio_raw_prep_pread(fd, part->iov_base, 4, 0); },
            4},
        Kind{"Write",
             [](int fd, const iovec *part) {
                 return kaio_raw_prep_pwrite(fd, part->iov_base, 4, 0);
             },
             4},
        Kind{"ReadOfVectors",
             [](int fd, const iovec *part) { return kaio_raw_prep_preadv(fd, part, 1, 0); }, 4},
        Kind{"WriteOfVectors",
             [](int fd, const iovec *part) { return kaio_raw_prep_pwritev(fd, part, 1, 0); }, 4},
        Kind{"Sync", [](int fd, const iovec *) { return kaio_raw_prep_fsync(fd); }, 0},
        Kind{"DataSync", [](int fd, const iovec *) { return kaio_raw_prep_fdsync(fd); }, 0},
        Kind{"Poll", [](int fd, const iovec *) { return kaio_raw_prep_poll(fd, POLLIN); }, POLLIN},
        Kind{"FailedRead",
             [](int fd, const iovec *) { return kaio_raw_prep_pread(fd, nullptr, 4, 0); },
             -EFAULT}),
    [](const auto &row) { return row.param.name; });

// ---- bytes ----

TEST_F(ResultTest, WriteGoesToItsOffset) {
    Put("abcdef");

    EXPECT_EQ(Run(kaio_raw_prep_pwrite(fd_, "XY", 2, 3)), 2);

    EXPECT_EQ(Content(), "abcXYf");
}

TEST_F(ResultTest, ReadComesFromItsOffset) {
    Put("abcdef");

    EXPECT_EQ(Read(2, 3), 2);

    EXPECT_STREQ(bytes_, "de");
}

TEST_F(ResultTest, OffsetMayBeBeyond4GiB) {
    const int64_t far = (int64_t{1} << 33) + 5;
    const Descriptor memory(
        static_cast<int>(syscall(SYS_memfd_create, "far", 1u /* MFD_CLOEXEC */)));
    ASSERT_EQ(fcntl(memory.fd(), F_SETFL, O_LARGEFILE), 0);

    EXPECT_EQ(Run(kaio_raw_prep_pwrite(memory.fd(), "far", 3, far)), 3);
    EXPECT_EQ(Run(kaio_raw_prep_pread(memory.fd(), bytes_, 8, far - 1)), 4);

    EXPECT_EQ(std::memcmp(bytes_, "\0far", 4), 0);
}

TEST_F(ResultTest, WriteOfVectorsGathersThemInTurn) {
    char first[] = "abc";
    char second[] = "defg";
    const iovec parts[] = {{first, 3}, {second, 4}};

    EXPECT_EQ(Run(kaio_raw_prep_pwritev(fd_, parts, 2, 0)), 7);

    EXPECT_EQ(Content(), "abcdefg");
}

TEST_F(ResultTest, ReadOfVectorsFillsThemInTurn) {
    const iovec parts[] = {{bytes_, 5}, {bytes_ + 32, 5}};
    Put("abcdefg");

    EXPECT_EQ(Run(kaio_raw_prep_preadv(fd_, parts, 2, 0)), 7);

    EXPECT_STREQ(bytes_, "abcde");
    EXPECT_STREQ(bytes_ + 32, "fg");
}

TEST_F(ResultTest, ReadAtTheEndGivesZero) {
    Put(std::string(100, 'x'));

    EXPECT_EQ(Read(10, 100), 0);
}

TEST_F(ResultTest, ReadFarBehindTheEndGivesZero) {
    Put(std::string(100, 'x'));

    EXPECT_EQ(Read(10, 1000000), 0);
}

TEST_F(ResultTest, ReadAcrossTheEndGivesWhatIsThere) {
    Page page(PROT_READ | PROT_WRITE);
    Put(Pattern(100));

    EXPECT_EQ(Run(kaio_raw_prep_pread(fd_, page.As<char>(), 4096, 90)), 10);

    EXPECT_EQ(std::string(page.As<char>(), 10), Pattern(100).substr(90));
}

TEST_F(ResultTest, ReadOfNothingGivesZero) {
    Put("abcdef");

    EXPECT_EQ(Read(0, 2), 0);
    EXPECT_EQ(Run(kaio_raw_prep_preadv(fd_, nullptr, 0, 2)), 0);
}

TEST_F(ResultTest, WriteOfNothingGivesZeroAndLeavesTheFile) {
    Put("abcdef");

    EXPECT_EQ(Run(kaio_raw_prep_pwrite(fd_, bytes_, 0, 100)), 0);

    EXPECT_EQ(Content(), "abcdef");
}

TEST_F(ResultTest, ReadOfNothingNeedsNoBuffer) {
    Put("abcdef");

    EXPECT_EQ(Run(kaio_raw_prep_pread(fd_, nullptr, 0, 0)), 0);
}

// 2^31 less a page.
TEST_F(ResultTest, LengthIsCutToTheMostOfOneCall) {
    const Descriptor null(open("/dev/null", O_RDWR | O_CLOEXEC));
    const int64_t most = INT_MAX & -sysconf(_SC_PAGESIZE);

    EXPECT_EQ(Run(kaio_raw_prep_pwrite(null.fd(), bytes_, INT_MAX, 0)), most);
    EXPECT_EQ(Run(kaio_raw_prep_pwrite(null.fd(), bytes_, static_cast<uint64_t>(most) + 1, 0)),
              most);
    EXPECT_EQ(Run(kaio_raw_prep_pwrite(null.fd(), bytes_, static_cast<uint64_t>(most) - 1, 0)),
              most - 1);
}

#ifdef __LP64__
TEST_F(ResultTest, LengthOfMoreThan32BitsIsCutAndNotWrapped) {
    const Descriptor null(open("/dev/null", O_RDWR | O_CLOEXEC));
    const int64_t most = INT_MAX & -sysconf(_SC_PAGESIZE);

    EXPECT_EQ(Run(kaio_raw_prep_pwrite(null.fd(), bytes_, (uint64_t{1} << 32) + 1, 0)), most);
}
#endif

// ---- what goes wrong while the work is done ----

TEST_F(ResultTest, ReadIntoMemoryThatIsNotThereFaultsInTheEvent) {
    Page no_access(PROT_NONE);
    Put("x");

    EXPECT_EQ(Run(kaio_raw_prep_pread(fd_, no_access.As<char>(), 1, 0)), -EFAULT);
}

TEST_F(ResultTest, WriteFromMemoryThatIsNotThereFaultsInTheEvent) {
    Page no_access(PROT_NONE);

    EXPECT_EQ(Run(kaio_raw_prep_pwrite(fd_, no_access.As<char>(), 1, 0)), -EFAULT);
    EXPECT_EQ(Content(), "");
}

TEST_F(ResultTest, ReadIntoReadOnlyMemoryFaultsInTheEvent) {
    Page read_only(PROT_READ);
    Put("x");

    EXPECT_EQ(Run(kaio_raw_prep_pread(fd_, read_only.As<char>(), 1, 0)), -EFAULT);
}

TEST_F(ResultTest, ReadEndsShortBeforeAVectorThatIsNotThere) {
    Page no_access(PROT_NONE);
    Page page(PROT_READ | PROT_WRITE);
    const iovec parts[] = {{page.As<char>(), 100}, {no_access.As<char>(), 100}};
    Put(Pattern(200));

    EXPECT_EQ(Run(kaio_raw_prep_preadv(fd_, parts, 2, 0)), 100);

    EXPECT_EQ(std::string(page.As<char>(), 100), Pattern(200).substr(0, 100));
}

TEST_F(ResultTest, WriteEndsShortBeforeAVectorThatIsNotThere) {
    Page no_access(PROT_NONE);
    const iovec parts[] = {{bytes_, 10}, {no_access.As<char>(), 100}};
    std::memset(bytes_, 'x', sizeof bytes_);

    EXPECT_EQ(Run(kaio_raw_prep_pwritev(fd_, parts, 2, 0)), 10);

    EXPECT_EQ(Content(), std::string(10, 'x'));
}

TEST_F(ResultTest, WriteToSealedMemoryIsNotPermittedInTheEvent) {
    constexpr unsigned kAllowSealing = 2;
    const Descriptor memory(static_cast<int>(syscall(SYS_memfd_create, "sealed", kAllowSealing)));
    ASSERT_EQ(fcntl(memory.fd(), F_ADD_SEALS, F_SEAL_WRITE), 0);

    EXPECT_EQ(Run(kaio_raw_prep_pwrite(memory.fd(), "x", 1, 0)), -EPERM);
}

// While it lasts no file grows beyond `size_bytes`, not even the log of this test.
class FileSizeLimit {
  public:
    explicit FileSizeLimit(rlim_t size_bytes) {
        EXPECT_EQ(getrlimit(RLIMIT_FSIZE, &old_limit_), 0);
        const rlimit limit = {size_bytes, old_limit_.rlim_max};
        EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
    }

    ~FileSizeLimit() {
        EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &old_limit_), 0);
    }

    FileSizeLimit(const FileSizeLimit &) = delete;
    FileSizeLimit &operator=(const FileSizeLimit &) = delete;

  private:
    rlimit old_limit_ = {};
};

TEST_F(ResultTest, WriteAcrossTheFileSizeLimitEndsShortWithoutASignal) {
    const SignalCount exceeded(SIGXFSZ);
    const std::string bytes(8192, 'x');
    int64_t result = 0;
    {
        const FileSizeLimit limit(8192);
        result = Run(kaio_raw_prep_pwrite(fd_, bytes.data(), bytes.size(), 4096));
    }

    EXPECT_EQ(result, 4096);
    EXPECT_EQ(SignalCount::count(), 0);
}

TEST_F(ResultTest, WriteAtTheFileSizeLimitIsTooBigAndRaisesASignal) {
    const SignalCount exceeded(SIGXFSZ);
    int64_t result = 0;
    {
        const FileSizeLimit limit(8192);
        result = Run(kaio_raw_prep_pwrite(fd_, "x", 1, 8192));
    }

    EXPECT_EQ(result, -EFBIG);
    EXPECT_EQ(SignalCount::count(), 1);
}

// ---- positions ----

TEST_F(ResultTest, WriteToAnAppendFileGoesToTheEnd) {
    Put("ab");
    ASSERT_EQ(fcntl(fd_, F_SETFL, O_APPEND), 0);

    EXPECT_EQ(Run(kaio_raw_prep_pwrite(fd_, "c", 1, 0)), 1);

    EXPECT_EQ(Content(), "abc");
}

TEST_F(ResultTest, ReadOfAnAppendFileComesFromItsOffset) {
    Put("ab");
    ASSERT_EQ(fcntl(fd_, F_SETFL, O_APPEND), 0);

    EXPECT_EQ(Read(1, 1), 1);

    EXPECT_EQ(bytes_[0], 'b');
}

TEST_F(ResultTest, PositionOfTheFileStays) {
    Put("abcdef");
    ASSERT_EQ(lseek(fd_, 3, SEEK_SET), 3);

    EXPECT_EQ(Read(2, 0), 2);
    EXPECT_EQ(Run(kaio_raw_prep_pwrite(fd_, "xy", 2, 0)), 2);

    EXPECT_EQ(lseek(fd_, 0, SEEK_CUR), 3);
}

TEST_F(ResultTest, WriteChangesTheTimeOfTheFile) {
    const timespec times[] = {{1, 0}, {1, 0}};
    ASSERT_EQ(futimens(fd_, times), 0);

    EXPECT_EQ(Run(kaio_raw_prep_pwrite(fd_, "x", 1, 0)), 1);

    struct stat found = {};
    ASSERT_EQ(fstat(fd_, &found), 0);
    EXPECT_GT(found.st_mtim.tv_sec, 1);
}

// ---- what may be reused when kaio_raw_submit is back ----

TEST_F(ResultTest, RequestMayBeOverwrittenWhileItIsPending) {
    kaio_raw_iocb poll = kaio_raw_prep_poll(pipe_[0], POLLIN);
    kaio_raw_set_data(&poll, 77);
    kaio_raw_event event = {};
    ASSERT_EQ(Submit(&poll), 1);

    std::memset(&poll, 0xee, sizeof poll);
    Ready();

    ASSERT_EQ(Get(1, 1, &event, kPatienceMs), 1);
    EXPECT_EQ(event.data, 77u);
    EXPECT_EQ(event.obj, reinterpret_cast<uintptr_t>(&poll));
    EXPECT_EQ(event.res & POLLIN, POLLIN);
}

// ---- pipes and sockets ----

TEST_F(ResultTest, ReadOfAnEmptyNonblockingPipeSaysTryAgain) {
    EXPECT_EQ(Run(kaio_raw_prep_pread(pipe_[0], bytes_, 1, 0)), -EAGAIN);
}

TEST_F(ResultTest, ReadOfAnEmptyBlockingPipeSleepsInSubmitUntilThereIsData) {
    ASSERT_EQ(fcntl(pipe_[0], F_SETFL, 0), 0);
    std::atomic<pid_t> reader{0};
    std::atomic<bool> is_back{false};
    int64_t result = 0;
    std::thread thread([&] {
        kaio_raw_iocb read = kaio_raw_prep_pread(pipe_[0], bytes_, 8, 0);
        kaio_raw_event event = {};
        reader = static_cast<pid_t>(syscall(SYS_gettid));
        EXPECT_EQ(Submit(&read), 1);
        is_back = true;
        EXPECT_EQ(Get(0, 1, &event), 1);
        result = event.res;
    });
    EXPECT_TRUE(WaitFor([&reader] { return reader != 0; }));
    EXPECT_TRUE(WaitUntilAsleep(reader));
    EXPECT_FALSE(is_back);

    Ready();
    thread.join();

    EXPECT_EQ(result, 1);
}

TEST_F(ResultTest, PipeIgnoresTheOffset) {
    EXPECT_EQ(Run(kaio_raw_prep_pwrite(pipe_[1], "abc", 3, 1000)), 3);
    EXPECT_EQ(Run(kaio_raw_prep_pread(pipe_[0], bytes_, 8, 2)), 3);

    EXPECT_STREQ(bytes_, "abc");
}

TEST_F(ResultTest, ReadOfAPipeWithoutWritersGivesZero) {
    close(pipe_[1]);
    pipe_[1] = kNoDescriptor;

    EXPECT_EQ(Run(kaio_raw_prep_pread(pipe_[0], bytes_, 1, 0)), 0);
}

TEST_F(ResultTest, WriteToABrokenPipeRaisesASignal) {
    const SignalCount broken(SIGPIPE);
    close(pipe_[0]);
    pipe_[0] = kNoDescriptor;

    EXPECT_EQ(Run(kaio_raw_prep_pwrite(pipe_[1], "x", 1, 0)), -EPIPE);

    EXPECT_EQ(SignalCount::count(), 1);
}

class SocketResultTest : public ResultTest {
  protected:
    void SetUp() override {
        ResultTest::SetUp();
        int ends[2];
        ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
        near_ = std::make_unique<Descriptor>(ends[0]);
        far_ = std::make_unique<Descriptor>(ends[1]);
    }

    std::unique_ptr<Descriptor> near_;
    std::unique_ptr<Descriptor> far_;
};

TEST_F(SocketResultTest, OffsetZeroIsServed) {
    EXPECT_EQ(Run(kaio_raw_prep_pwrite(near_->fd(), "abc", 3, 0)), 3);
    EXPECT_EQ(Run(kaio_raw_prep_pread(far_->fd(), bytes_, 8, 0)), 3);

    EXPECT_STREQ(bytes_, "abc");
}

TEST_F(SocketResultTest, OtherOffsetIsAnIllegalSeekInTheEvent) {
    ASSERT_EQ(write(far_->fd(), "abc", 3), 3);

    EXPECT_EQ(Run(kaio_raw_prep_pread(near_->fd(), bytes_, 8, 1)), -ESPIPE);
    EXPECT_EQ(Run(kaio_raw_prep_pwrite(near_->fd(), "abc", 3, 1)), -ESPIPE);
}

TEST_F(SocketResultTest, ReadOfAnEmptyNonblockingSocketSaysTryAgain) {
    EXPECT_EQ(Run(kaio_raw_prep_pread(near_->fd(), bytes_, 1, 0)), -EAGAIN);
}

// ---- many ----

// Reads of random places, through the page cache or, with O_DIRECT, truly at the same time.
class RandomReadTest : public ResultTest, public testing::WithParamInterface<int> {
  protected:
    static constexpr size_t kReads = 10000;
    static constexpr size_t kBlockBytes = 4096;
    static constexpr size_t kBlocks = 256;

    // A request, where its bytes go, and the block that it reads at present.
    struct Slot {
        alignas(kBlockBytes) char bytes[kBlockBytes];
        kaio_raw_iocb iocb;
        size_t block;
    };

    const Folder folder_;
};

TEST_P(RandomReadTest, EachEndsOnceAndBringsTheRightBytes) {
    const std::string content = Pattern(kBlocks * kBlockBytes);
    WriteFile(folder_ / "file", content);
    const int fd = open((folder_ / "file").c_str(), O_RDONLY | O_CLOEXEC | GetParam());
    if (fd < 0 && errno == EINVAL) {
        GTEST_SKIP() << "no O_DIRECT in " << folder_.path();
    }
    const Descriptor file(fd);
    errno = kErrno;
    std::mt19937 random(1);
    std::vector<Slot> slots(kDepth);
    std::vector<Slot *> idle;
    for (Slot &slot : slots) {
        idle.push_back(&slot);
    }
    std::vector<Slot *> slot_of(kReads, nullptr);
    std::vector<int> ends_of(kReads, 0);

    for (size_t submitted = 0, ended = 0; ended < kReads;) {
        std::vector<kaio_raw_iocb *> batch;
        for (; !idle.empty() && submitted < kReads; ++submitted) {
            Slot *const slot = idle.back();
            idle.pop_back();
            slot->block = random() % kBlocks;
            slot->iocb = kaio_raw_prep_pread(file.fd(), slot->bytes, kBlockBytes,
                                             static_cast<int64_t>(slot->block * kBlockBytes));
            kaio_raw_set_data(&slot->iocb, submitted);
            slot_of[submitted] = slot;
            batch.push_back(&slot->iocb);
        }
        const long batch_count = static_cast<long>(batch.size());
        ASSERT_EQ(kaio_raw_submit(ctx_, batch_count, batch.data()), batch_count);

        kaio_raw_event events[kDepth];
        const long count = Get(1, 1 + static_cast<long>(random() % kDepth), events, kPatienceMs);
        ASSERT_GE(count, 1);
        for (const kaio_raw_event *event = events; event != events + count; ++event) {
            ASSERT_LT(event->data, submitted);
            const size_t number = static_cast<size_t>(event->data);
            ASSERT_EQ(++ends_of[number], 1) << number;
            Slot *const slot = slot_of[number];
            ASSERT_EQ(event->obj, reinterpret_cast<uintptr_t>(&slot->iocb));
            ASSERT_EQ(event->res, int64_t{kBlockBytes});
            ASSERT_EQ(
                std::memcmp(slot->bytes, content.data() + slot->block * kBlockBytes, kBlockBytes),
                0)
                << "block " << slot->block;
            std::memset(slot->bytes, 0, kBlockBytes);
            idle.push_back(slot);
            ++ended;
        }
    }

    EXPECT_EQ(std::count(ends_of.begin(), ends_of.end(), 1), static_cast<long>(kReads));
}

INSTANTIATE_TEST_SUITE_P(Every, RandomReadTest, testing::Values(0, O_DIRECT),
                         [](const auto &row) { return row.param == 0 ? "Buffered" : "Direct"; });

}  // namespace
}  // namespace kaio_test
