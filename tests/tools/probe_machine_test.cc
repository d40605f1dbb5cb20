// `kaio probe` on whole file systems and block devices, and on one that has stopped.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "tests/support/command.h"
#include "tests/support/machine.h"
#include "tests/tools/probe_report.h"

namespace kaio_test {
namespace {

using testing::AllOf;
using testing::AnyOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Matcher;
using testing::StartsWith;

constexpr size_t kMib = 1024 * 1024;

const char kOk[] = "ok";
const char kAgain[] = "failed in event: EAGAIN";
const char kEventRefuses[] = "failed in event: EOPNOTSUPP";
const char kSubmitRefuses[] = "refused by submit: EOPNOTSUPP";

class ProbeMachineTest : public MachineTest {
  protected:
    static Ending Probe(const std::string &path, std::vector<std::string> options = {}) {
        options.insert(options.begin(), {"probe", "--json"});
        options.push_back(path);
        return Command(options).Run();
    }

    static Report ExpectProbed(const std::string &path,
                               const std::vector<std::string> &options = {}) {
        const Ending ending = Probe(path, options);
        EXPECT_EQ(ending.exit_status, 0) << ending.err;
        return Report(ending.out);
    }
};

// ---- kinds of file systems ----

struct KnownKind : FileSystemKind {
    long long memory_align;  // -1: not reported
    Matcher<std::string> nowait_buffered_write;
    Matcher<std::string> nowait_direct_write;
    Matcher<std::string> atomic_buffered_write;
    Matcher<std::string> atomic_direct_write;
    Matcher<std::string> nowait_read;
    Matcher<std::string> dontcache;
};

class KnownKindTest : public ProbeMachineTest, public testing::WithParamInterface<KnownKind> {};

TEST_P(KnownKindTest, FlagsAreAnsweredInTheirChannel) {
    const Mount mounted(folder_, GetParam());

    const Report report = ExpectProbed(mounted.path());

    EXPECT_EQ(Report::Text(report.Get("path"), "file_system"), GetParam().kind);
    EXPECT_THAT(report.Flag("NOWAIT", "read", "buffered"), GetParam().nowait_read);
    EXPECT_THAT(report.Flag("NOWAIT", "read", "direct"), GetParam().nowait_read);
    EXPECT_THAT(report.Flag("NOWAIT", "write", "buffered"), GetParam().nowait_buffered_write);
    EXPECT_THAT(report.Flag("NOWAIT", "write", "direct"), GetParam().nowait_direct_write);
    EXPECT_THAT(report.Flag("ATOMIC", "write", "buffered"), GetParam().atomic_buffered_write);
    EXPECT_THAT(report.Flag("ATOMIC", "write", "direct"), GetParam().atomic_direct_write);
    EXPECT_THAT(report.Flag("ATOMIC", "read", "buffered"), kSubmitRefuses);
    EXPECT_THAT(report.Flag("DONTCACHE", "read", "buffered"), GetParam().dontcache);
    EXPECT_THAT(report.Flag("DONTCACHE", "write", "direct"), GetParam().dontcache);
    for (const char *flag : {"none", "HIPRI", "DSYNC", "SYNC", "APPEND"}) {
        EXPECT_EQ(report.Flag(flag, "read", "buffered"), kOk) << flag;
        EXPECT_EQ(report.Flag(flag, "write", "buffered"), kOk) << flag;
        EXPECT_EQ(report.Flag(flag, "read", "direct"), kOk) << flag;
        EXPECT_EQ(report.Flag(flag, "write", "direct"), kOk) << flag;
    }
    EXPECT_EQ(Report::Number(report.Get("alignment"), "dio_mem_align"), GetParam().memory_align);
    EXPECT_THAT(mounted.Names(), IsEmpty());
    for (const char *mode : {"buffered", "direct"}) {
        RecordProperty(std::string("nowait_") + mode, report.Flag("NOWAIT", "write", mode));
        RecordProperty(std::string("atomic_") + mode, report.Flag("ATOMIC", "write", mode));
        RecordProperty(std::string("dontcache_") + mode, report.Flag("DONTCACHE", "write", mode));
    }
}

TEST_P(KnownKindTest, AFileIsProbedAndNothingIsLeftBesideIt) {
    const Mount mounted(folder_, GetParam());
    WriteFile(mounted / "file", Pattern(100000));

    const Report report = ExpectProbed(mounted / "file");

    EXPECT_EQ(report.Opcode("pread"), kOk);
    EXPECT_EQ(report.Opcode("pwrite"), kOk);
    EXPECT_TRUE(ReadFile(mounted / "file") == Pattern(100000)) << "the bytes differ";
    EXPECT_EQ(mounted.Names(), std::vector<std::string>{"file"});
}

const KnownKind kKinds[] = {
    {kTmpfs, -1, kSubmitRefuses, kSubmitRefuses, kSubmitRefuses, kSubmitRefuses, kSubmitRefuses,
     kSubmitRefuses},
    {kExt4, 512, AnyOf(kEventRefuses, kAgain, kOk), AnyOf(kOk, kAgain), kSubmitRefuses,
     kSubmitRefuses, kOk, AnyOf(kOk, kSubmitRefuses)},
    {kXfs, 512, AnyOf(kOk, kAgain), AnyOf(kOk, kAgain), AnyOf(kEventRefuses, kSubmitRefuses),
     AnyOf(kOk, kSubmitRefuses), kOk, AnyOf(kOk, kSubmitRefuses)},
    {kBtrfs, -1, AnyOf(kAgain, kOk), AnyOf(kAgain, kOk), kSubmitRefuses, kSubmitRefuses, kOk,
     AnyOf(kOk, kSubmitRefuses)}};

INSTANTIATE_TEST_SUITE_P(FileSystems, KnownKindTest, testing::ValuesIn(kKinds),
                         [](const auto &kind) { return std::string(kind.param.name); });

// So slow a device that a write which goes on behind io_submit is not done when that returns,
// whatever delays the one who looks.
TEST_F(ProbeMachineTest, Ext4CompletesExtendingDirectWritesInsideSubmit) {
    constexpr unsigned kWritesPerSecond = 50;
    const Mount mounted(folder_, kExt4);
    const Throttle throttle(mounted.Device(), kWritesPerSecond);
    if (!throttle.why_not().empty()) {
        GTEST_SKIP() << throttle.why_not();
    }

    const Report report = ExpectProbed(mounted.path());

    EXPECT_EQ(Report::Text(report.Find("direct_writes", "extend"), "behaviour"),
              "completed inside io_submit");
    EXPECT_EQ(Report::Number(report.Find("direct_writes", "extend"), "inside_count"),
              Report::Number(report.Find("direct_writes", "extend"), "write_count"));
    EXPECT_EQ(Report::Text(report.Find("direct_writes", "overwrite"), "behaviour"), "asynchronous");
}

TEST_F(ProbeMachineTest, AReadOnlyFileSystemStillHasItsCallsAndReads) {
    const Mount mounted(folder_, kTmpfs);
    WriteFile(mounted / "file", "bytes");
    ASSERT_EQ(mount(nullptr, (mounted / "").c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr), 0);

    const Ending of_folder = Probe(mounted.path());
    const Ending of_file = Probe(mounted / "file");

    EXPECT_EQ(of_folder.exit_status, 0);
    EXPECT_EQ(Report(of_folder.out).Call("io_submit"), kOk);
    EXPECT_EQ(Report(of_folder.out).Opcode("pread"), "not tried");
    EXPECT_THAT(of_folder.err, EndsWith("to write to: Read-only file system\n"));
    EXPECT_EQ(of_file.exit_status, 0);
    EXPECT_EQ(Report(of_file.out).Opcode("pread"), kOk);
    EXPECT_EQ(Report(of_file.out).Opcode("pwrite"), "not tried");
}

// The folder of a file that is mounted there says nothing of the file's own file system.
TEST_F(ProbeMachineTest, AMountedFileIsReadAndNoOtherIsWrittenForIt) {
    const Mount mounted(folder_, kTmpfs);
    const Folder other;
    WriteFile(mounted / "file", Pattern(100000));
    WriteFile(other / "file", "");
    WriteFile(other / "plain", "bytes");
    ASSERT_EQ(
        mount((mounted / "file").c_str(), (other / "file").c_str(), nullptr, MS_BIND, nullptr), 0);

    const Report report = ExpectProbed(other / "file");
    const Report of_plain = ExpectProbed(other / "plain");

    EXPECT_EQ(umount((other / "file").c_str()), 0);
    EXPECT_EQ(report.Opcode("pread"), kOk);
    EXPECT_EQ(report.Opcode("pwrite"), "not tried");
    EXPECT_EQ(Report::Text(report.Get("path", "buffered_write"), "reason"),
              "its folder is on another file system");
    EXPECT_EQ(Report::Text(report.Find("direct_writes", "extend"), "reason"),
              "its folder is on another file system");
    EXPECT_EQ(of_plain.Opcode("pwrite"), kOk);
}

// The folder's time changes when a queue is made there, though it is gone in the end.
TEST_F(ProbeMachineTest, AmongMessageQueuesNoFileIsMade) {
    const std::string path = folder_ / "queues";
    ASSERT_EQ(mkdir(path.c_str(), 0700), 0);
    if (mount("none", path.c_str(), "mqueue", 0, nullptr) != 0) {
        GTEST_SKIP() << "mqueue: " << strerror(errno);
    }
    const int fd = open((path + "/queue").c_str(), O_RDONLY | O_CREAT | O_CLOEXEC, 0600);
    EXPECT_GE(fd, 0);
    close(fd);
    const timespec times[] = {{1000000001, 0}, {999999999, 0}};
    EXPECT_EQ(utimensat(AT_FDCWD, path.c_str(), times, 0), 0);

    const Report of_folder = ExpectProbed(path);
    const Report of_queue = ExpectProbed(path + "/queue");

    EXPECT_EQ(Stat(path).st_mtim.tv_sec, 999999999);
    EXPECT_EQ(unlink((path + "/queue").c_str()), 0);
    EXPECT_EQ(umount(path.c_str()), 0);
    EXPECT_EQ(Report::Text(of_folder.Get("path"), "file_system"), "mqueue");
    EXPECT_EQ(of_folder.Opcode("pread"), "not tried");
    EXPECT_EQ(of_queue.Opcode("poll"), kOk);
    EXPECT_EQ(of_queue.Opcode("pwrite"), "not tried");
    EXPECT_EQ(of_queue.Flag("none", "read", "buffered"), of_queue.Opcode("pread"));
}

TEST_F(ProbeMachineTest, AFullFileSystemIsAnAnswer) {
    const Mount mounted(folder_, kTmpfs, "size=64k");
    WriteFile(mounted / "file", Pattern(64 * 1024));

    const Ending ending = Probe(mounted.path());

    EXPECT_EQ(ending.exit_status, 0);
    EXPECT_THAT(ending.err, HasSubstr("could not be filled: No space left on device\n"));
    EXPECT_EQ(Report(ending.out).Opcode("pwrite"), "failed in event: ENOSPC");
    EXPECT_EQ(Report::Said(Report(ending.out).Find("direct_writes", "overwrite")), "not tried");
}

// Both files of a probe need room for a block.
TEST_F(ProbeMachineTest, OnAnAlmostFullFileSystemBothWaysHaveRoom) {
    const Mount mounted(folder_, kTmpfs, "size=64k");
    WriteFile(mounted / "file", Pattern(64 * 1024 - 20 * 1024));

    const Ending ending = Probe(mounted.path());
    const Ending tables = Command({"probe", mounted.path()}).Run();

    const Report report(ending.out);
    EXPECT_THAT(ending.err, HasSubstr("could not be filled: No space left on device\n"));
    EXPECT_EQ(report.Opcode("pwrite"), kOk);
    EXPECT_THAT(report.Flag("none", "write", "direct"), AnyOf(kOk, "not tried"));
    EXPECT_THAT(tables.out, HasSubstr("\n  the file's content        incomplete "));
}

// A file system is frozen while a Freeze lasts: who writes sleeps where not even SIGKILL reaches.
// A child thaws it when the pipe to it ends, also by the death of this process and its group.
class Freeze {
  public:
    explicit Freeze(const std::string &path) {
        int ends[2] = {-1, -1};
        EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
        fd_ = ends[1];
        const int folder_fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
        child_ = fork();
        if (child_ == 0) {
            setsid();
            close(ends[1]);
            char byte;
            (void)!read(ends[0], &byte, 1);
            _exit(ioctl(folder_fd, FITHAW, 0) == 0 ? 0 : 1);
        }
        EXPECT_EQ(ioctl(folder_fd, FIFREEZE, 0), 0);
        close(ends[0]);
        close(folder_fd);
    }
    ~Freeze() {
        close(fd_);
        int status = -1;
        EXPECT_EQ(waitpid(child_, &status, 0), child_);
        EXPECT_EQ(status, 0);
    }
    Freeze(const Freeze &) = delete;
    Freeze &operator=(const Freeze &) = delete;

  private:
    int fd_ = -1;
    pid_t child_ = -1;
};

TEST_F(ProbeMachineTest, AFileSystemThatDoesNotAnswerIsSaidInTime) {
    const Mount mounted(folder_, kExt4);
    Ending ending;

    {
        const Freeze frozen(mounted.path());
        ending = Probe(mounted.path(), {"--timeout=1"});
    }

    EXPECT_EQ(ending.exit_status, 1);
    EXPECT_EQ(ending.out, "");
    EXPECT_EQ(ending.err, "kaio: probe: " + mounted.path() + ": open: no answer within 1 s\n");
    // It can become read-only once the child that slept, and its file, are gone.
    EXPECT_TRUE(WaitFor([&] {
        return mount(nullptr, mounted.path().c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr) ==
               0;
    }));
    EXPECT_THAT(mounted.Names(), IsEmpty());
}

// ---- block devices ----

class BlockDeviceTest : public ProbeMachineTest {
  protected:
    void SetUp() override {
        ProbeMachineTest::SetUp();
        WriteFile(image_, Pattern(4 * kMib));
    }

    void ExpectUntouched() {
        sync();
        EXPECT_TRUE(ReadFile(image_) == Pattern(4 * kMib)) << "the bytes differ";
    }

    const std::string image_ = folder_ / "image";
};

// How many writes and flushes the device has done.
std::string WriteCounts(const Loop &loop) {
    const std::string counts = ReadFile("/sys/class/block/" + loop.path().substr(5) + "/stat");
    std::istringstream words(counts);
    std::vector<std::string> all{std::istream_iterator<std::string>(words), {}};
    return all[4] + " " + all[6] + (all.size() > 15 ? " " + all[15] : "");
}

TEST_F(BlockDeviceTest, IsReadWithYesAndNeverWrittenTo) {
    const Loop loop(image_);
    sync();
    const std::string counts = WriteCounts(loop);

    const Report report = ExpectProbed(loop.path(), {"--yes"});

    EXPECT_EQ(WriteCounts(loop), counts);
    ExpectUntouched();
    EXPECT_EQ(Report::Text(report.Get("path"), "kind"), "block device");
    EXPECT_EQ(report.Opcode("pread"), kOk);
    EXPECT_EQ(report.Opcode("preadv"), kOk);
    EXPECT_EQ(report.Flag("NOWAIT", "read", "buffered"), kOk);
    EXPECT_EQ(report.Flag("none", "read", "direct"), kOk);
    EXPECT_EQ(report.Flag("DONTCACHE", "read", "direct"), kSubmitRefuses);
    for (const char *opcode : {"pwrite", "pwritev", "fsync", "fdsync"}) {
        EXPECT_EQ(report.Opcode(opcode), "not tried") << opcode;
    }
    for (const json_t *probe : report.Probes("rw_flags")) {
        if (Report::Text(probe, "operation") == "write") {
            EXPECT_EQ(Report::Said(probe), "not tried");
            EXPECT_EQ(Report::Text(probe, "reason"), "a device is not written to");
        }
    }
    EXPECT_EQ(Report::Said(report.Find("direct_writes", "overwrite")), "not tried");
    EXPECT_EQ(Report::Number(report.Get("alignment"), "dio_mem_align"), 512);
}

TEST_F(BlockDeviceTest, WithoutTerminalAndWithoutYesIsNotRead) {
    const Loop loop(image_);

    const Ending ending = Probe(loop.path());

    EXPECT_EQ(ending.exit_status, 1);
    EXPECT_EQ(ending.out, "");
    EXPECT_EQ(ending.err,
              "kaio: probe: " + loop.path() + ": is a block device: to read from it, say --yes\n");
}

// Answer runs the probe on two terminals, and types `line` at the question.
Ending Answer(const std::string &path, const std::string &line) {
    int from = -1;
    int to = -1;
    EXPECT_EQ(openpty(&from, &to, nullptr, nullptr, nullptr), 0);
    EXPECT_EQ(write(from, line.data(), line.size()), static_cast<ssize_t>(line.size()));
    Ending ending = Command({"probe", "--json", path})
                        .OnTerminal()
                        .Before([to] { dup2(to, STDIN_FILENO); })
                        .Run();
    close(from);
    close(to);
    return ending;
}

TEST_F(BlockDeviceTest, OnATerminalIsReadAfterAYes) {
    const Loop loop(image_);

    const Ending ending = Answer(loop.path(), "y\n");

    EXPECT_EQ(ending.exit_status, 0);
    EXPECT_THAT(ending.err, StartsWith("Probe " + loop.path() + " by reading? [y/N] "));
    EXPECT_EQ(Report(ending.out).Opcode("pread"), kOk);
    ExpectUntouched();
}

TEST_F(BlockDeviceTest, OnATerminalIsNotReadAfterAnythingElse) {
    const Loop loop(image_);

    for (const char *line : {"\n", "n\n", "yellow\n", "\x04"}) {
        const Ending ending = Answer(loop.path(), line);

        EXPECT_EQ(ending.exit_status, 1) << line;
        EXPECT_EQ(ending.out, "");
        EXPECT_THAT(ending.err, EndsWith("kaio: probe: " + loop.path() + ": not probed\n"));
    }
}

}  // namespace
}  // namespace kaio_test
