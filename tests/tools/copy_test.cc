// `kaio copy`, as its users see it: the real program, files, exit status and messages.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "tests/support/command.h"
#include "tests/support/seccomp.h"

namespace kaio_test {
namespace {

using testing::AllOf;
using testing::AnyOf;
using testing::Contains;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

constexpr size_t kKib = 1024;
constexpr size_t kMib = 1024 * kKib;

class CopyTest : public testing::Test {
  protected:
    // Copy is `kaio copy OPTION... SRC DST` on "source" and "target".
    Command Copy(std::vector<std::string> options = {}) {
        options.insert(options.begin(), "copy");
        options.push_back(source_);
        options.push_back(target_);
        return Command(options);
    }

    void ExpectCopied(const Ending &ending) {
        EXPECT_EQ(ending.exit_status, 0) << ending.err << " signal " << ending.signal;
        EXPECT_EQ(ending.out, "");
        EXPECT_EQ(ending.err, "");
        ExpectSame();
    }

    void ExpectSame() {
        const std::string wanted = ReadFile(source_);
        const std::string got = ReadFile(target_);
        EXPECT_EQ(got.size(), wanted.size());
        EXPECT_TRUE(got == wanted) << "the bytes differ";
        EXPECT_THAT(folder_.Names(), ElementsAre("source", "target"));
    }

    // The message is one line, in the form that all have, and nothing was left behind.
    void ExpectFailed(const Ending &ending, const std::string &message) {
        EXPECT_EQ(ending.exit_status, 1) << "signal " << ending.signal;
        EXPECT_EQ(ending.out, "");
        EXPECT_EQ(ending.err, "kaio: copy: " + message + "\n");
        EXPECT_THAT(folder_.Names(), Not(Contains(HasSubstr(".kaio-"))));
    }

    Folder folder_;
    const std::string source_ = folder_ / "source";
    const std::string target_ = folder_ / "target";
};

// ---- bytes ----

using Shape = std::tuple<size_t, std::vector<std::string>>;

class BytesTest : public CopyTest, public testing::WithParamInterface<Shape> {};

TEST_P(BytesTest, EveryByteArrives) {
    WriteFile(source_, Pattern(std::get<0>(GetParam())));

    const Ending ending = Copy(std::get<1>(GetParam())).Run();

    ExpectCopied(ending);
}

std::string ShapeName(const testing::TestParamInfo<Shape> &shape) {
    std::string name = std::to_string(std::get<0>(shape.param)) + "Bytes";
    for (const std::string &option : std::get<1>(shape.param)) {
        for (const char letter : option) {
            if (isalnum(letter)) {
                name += letter;
            }
        }
    }
    return name;
}

INSTANTIATE_TEST_SUITE_P(
    Sizes, BytesTest,
    testing::Combine(testing::Values(0, 1, 511, 512, 4095, 4096, 4097, 64 * kKib - 1, 64 * kKib,
                                     kMib + 1, 3 * kMib + 12345),
                     testing::Values(std::vector<std::string>{}, std::vector<std::string>{"-d1"},
                                     std::vector<std::string>{"--depth=3", "--block-size=4K"},
                                     std::vector<std::string>{"-b64k", "-p", "--verify"},
                                     std::vector<std::string>{"-b32M", "--verify"},
                                     std::vector<std::string>{"--buffered", "-b512", "-d64"})),
    ShapeName);

TEST_F(CopyTest, MoreBlocksThanPlacesAreCopiedAndVerified) {
    WriteFile(source_, Pattern(20 * kMib + 77));

    ExpectCopied(Copy({"--verify", "--depth=2", "--block-size=16K"}).Run());
}

TEST_F(CopyTest, TheNamesMayBeBesideTheFolderWeAreIn) {
    WriteFile(source_, Pattern(5000));
    Command copy({"copy", "source", "./target"});

    ExpectCopied(copy.Before([this] { EXPECT_EQ(chdir(folder_.path().c_str()), 0); }).Run());
}

TEST_F(CopyTest, RelativePathsUnderBazelRunMeanTheUsersFolder) {
    WriteFile(source_, Pattern(5000));

    ExpectCopied(Command({"copy", "source", "target"})
                     .With("BUILD_WORKING_DIRECTORY", folder_.path())
                     .Run());
}

TEST_F(CopyTest, AFileWithoutASizeIsCopiedToItsEnd) {
    const Ending ending = Command({"copy", "/proc/filesystems", target_}).Run();

    EXPECT_EQ(ending.exit_status, 0);
    EXPECT_EQ(ending.err,
              "kaio: copy: /proc/filesystems: size unknown, copying buffered to its end\n");
    EXPECT_EQ(ReadFile(target_), ReadFile("/proc/filesystems"));
}

TEST_F(CopyTest, AFileWithoutASizeCannotBeVerified) {
    const Ending ending = Command({"copy", "--verify", "/proc/filesystems", target_}).Run();

    ExpectFailed(ending, "/proc/filesystems: size unknown: it cannot be read again to verify");
    EXPECT_THAT(folder_.Names(), ElementsAre());
}

// ---- holes ----

class HolesTest : public CopyTest, public testing::WithParamInterface<std::string> {};

TEST_P(HolesTest, HolesStayHoles) {
    WriteSparse(source_, 64 * kMib + 4321,
                {{kMib + 4096, Pattern(100)},
                 {8 * kMib, Pattern(2 * kMib + 1)},
                 {64 * kMib + 4000, Pattern(321)}});
    sync();
    const auto source_blocks = Stat(source_).st_blocks;
    ASSERT_LT(source_blocks * 512, 4 * static_cast<int64_t>(kMib)) << "no holes in this folder";

    const Ending ending = Copy({"--verify", GetParam()}).Run();

    ExpectCopied(ending);
    EXPECT_LE(Stat(target_).st_blocks, source_blocks + 16);
}

INSTANTIATE_TEST_SUITE_P(Paths, HolesTest, testing::Values("--depth=16", "-b4K", "--buffered"),
                         [](const auto &path) { return "Way" + std::to_string(path.index); });

TEST_F(CopyTest, AFileThatIsAllHoleTakesNoRoom) {
    WriteSparse(source_, 9 * kMib + 1, {});

    ExpectCopied(Copy({"--verify"}).Run());

    EXPECT_EQ(Stat(target_).st_blocks, 0);
}

TEST_F(CopyTest, AHoleAtTheEndKeepsTheSize) {
    WriteSparse(source_, 9 * kMib + 1, {{0, Pattern(10)}});

    ExpectCopied(Copy().Run());

    EXPECT_LE(Stat(target_).st_blocks, 16);
}

// ---- what the new file is like ----

TEST_F(CopyTest, TheModeIsThatOfTheSourceLessTheUmask) {
    WriteFile(source_, Pattern(10));
    ASSERT_EQ(chmod(source_.c_str(), 04775), 0);

    ExpectCopied(Copy().Before([] { umask(027); }).Run());

    EXPECT_EQ(Stat(target_).st_mode & 07777, 0750u);
}

TEST_F(CopyTest, PreserveKeepsModeAndTimesToTheNanosecond) {
    WriteFile(source_, Pattern(3 * kMib));
    const timespec times[] = {{1000000001, 123456789}, {999999999, 987654321}};
    ASSERT_EQ(chmod(source_.c_str(), 06751), 0);
    ASSERT_EQ(utimensat(AT_FDCWD, source_.c_str(), times, 0), 0);

    const Ending ending = Copy({"-p", "--verify"}).Before([] { umask(077); }).Run();

    const struct stat target = Stat(target_);
    EXPECT_EQ(target.st_mode & 07777, 06751u);
    EXPECT_EQ(target.st_atim.tv_sec, times[0].tv_sec);
    EXPECT_EQ(target.st_atim.tv_nsec, times[0].tv_nsec);
    EXPECT_EQ(target.st_mtim.tv_sec, times[1].tv_sec);
    EXPECT_EQ(target.st_mtim.tv_nsec, times[1].tv_nsec);
    ExpectCopied(ending);
}

TEST_F(CopyTest, AModeThatForbidsReadingIsNoHindrance) {
    WriteFile(source_, Pattern(10000));
    ASSERT_EQ(chmod(source_.c_str(), 0400), 0);

    ExpectCopied(Copy({"-p", "--verify"}).BoundByModes().Run());

    EXPECT_EQ(Stat(target_).st_mode & 07777, 0400u);
}

TEST_F(CopyTest, TheLongestNameIsPossible) {
    const std::string name(255, 'n');
    WriteFile(source_, Pattern(10));

    const Ending ending = Command({"copy", source_, folder_ / name}).Run();

    EXPECT_EQ(ending.exit_status, 0) << ending.err;
    EXPECT_THAT(folder_.Names(), ElementsAre(name, "source"));
}

// ---- what is in the place of the target ----

TEST_F(CopyTest, AnExistingFileIsReplacedNotOverwritten) {
    WriteFile(source_, Pattern(2 * kMib));
    WriteFile(target_, "old");
    const std::string second_name = folder_ / "second name of the old file";
    ASSERT_EQ(link(target_.c_str(), second_name.c_str()), 0);

    EXPECT_EQ(Copy().Run().exit_status, 0);

    EXPECT_EQ(ReadFile(second_name), "old");
    ASSERT_EQ(unlink(second_name.c_str()), 0);
    ExpectSame();
}

TEST_F(CopyTest, ALinkIsReplacedNotFollowed) {
    Folder elsewhere;
    WriteFile(source_, Pattern(100));
    WriteFile(elsewhere / "file", "old");
    ASSERT_EQ(symlink((elsewhere / "file").c_str(), target_.c_str()), 0);

    ExpectCopied(Copy().Run());

    EXPECT_TRUE(S_ISREG(Stat(target_).st_mode));
    EXPECT_EQ(ReadFile(elsewhere / "file"), "old");
}

TEST_F(CopyTest, ALinkToNowhereIsReplaced) {
    WriteFile(source_, Pattern(100));
    ASSERT_EQ(symlink("nowhere", target_.c_str()), 0);

    ExpectCopied(Copy().Run());
}

TEST_F(CopyTest, ADirectoryIsNotReplacedNorFilled) {
    WriteFile(source_, Pattern(100));
    ASSERT_EQ(mkdir(target_.c_str(), 0755), 0);

    ExpectFailed(Copy().Run(), target_ + ": is a directory");

    EXPECT_TRUE(std::filesystem::is_empty(target_));
}

TEST_F(CopyTest, ALinkToADirectoryIsNotReplacedEither) {
    WriteFile(source_, Pattern(100));
    ASSERT_EQ(symlink(".", target_.c_str()), 0);

    ExpectFailed(Copy().Run(), target_ + ": is a directory");
}

TEST_F(CopyTest, ANameWithASlashAtItsEndIsNoFile) {
    WriteFile(source_, Pattern(100));

    ExpectFailed(Command({"copy", source_, target_ + "/"}).Run(), target_ + "/: names a directory");
}

TEST_F(CopyTest, APipeIsNotReplaced) {
    WriteFile(source_, Pattern(100));
    ASSERT_EQ(mkfifo(target_.c_str(), 0644), 0);

    ExpectFailed(Copy().Run(), target_ + ": is not a regular file, and would be replaced");

    EXPECT_TRUE(S_ISFIFO(Stat(target_).st_mode));
}

TEST_F(CopyTest, AFileIsNotCopiedOntoItself) {
    WriteFile(source_, "content");

    ExpectFailed(Command({"copy", source_, source_}).Run(),
                 source_ + ": is the same file as " + source_);

    EXPECT_EQ(ReadFile(source_), "content");
}

TEST_F(CopyTest, AFileIsNotCopiedOntoAnotherNameOfIts) {
    WriteFile(source_, "content");
    for (const bool is_symbolic : {false, true}) {
        EXPECT_EQ((is_symbolic ? symlink : link)(source_.c_str(), target_.c_str()), 0);

        ExpectFailed(Copy().Run(), target_ + ": is the same file as " + source_);

        EXPECT_EQ(ReadFile(source_), "content");
        EXPECT_EQ(unlink(target_.c_str()), 0);
    }
}

// ---- what cannot be opened ----

TEST_F(CopyTest, AMissingSourceIsNamed) {
    ExpectFailed(Copy().Run(), source_ + ": open: No such file or directory");

    EXPECT_THAT(folder_.Names(), ElementsAre());
}

TEST_F(CopyTest, AnUnreadableSourceIsNamedAndNothingIsLeft) {
    WriteFile(source_, Pattern(100));
    ASSERT_EQ(chmod(source_.c_str(), 0), 0);

    ExpectFailed(Copy().BoundByModes().Run(), source_ + ": open: Permission denied");

    EXPECT_THAT(folder_.Names(), ElementsAre("source"));
}

TEST_F(CopyTest, ADirectoryIsNoSource) {
    ExpectFailed(Command({"copy", folder_.path(), target_}).Run(),
                 folder_.path() + ": is a directory");
}

TEST_F(CopyTest, APipeIsNoSourceAndIsNotWaitedFor) {
    ASSERT_EQ(mkfifo(source_.c_str(), 0644), 0);

    ExpectFailed(Copy().Run(), source_ + ": is not a regular file");
}

// Whoever may write to the source's folder can put something else there at any moment: here before
// each file that is opened, in turn.
TEST_F(CopyTest, ASourceThatBecomesAPipeIsNotWaitedFor) {
    int refused_count = 0;
    bool is_reached = true;
    for (int moment = 0; is_reached; ++moment) {
        WriteFile(source_, "bytes");
        is_reached = false;
        Command copy = Copy();
        copy.Before([] { alarm(30); });
        Ending ending;
        {
            const Listener listener(&copy, {SYS_openat}, [&](int index) {
                if (index == moment) {
                    is_reached = unlink(source_.c_str()) == 0 && mkfifo(source_.c_str(), 0644) == 0;
                }
                return 0;
            });
            ending = copy.Run();
        }
        EXPECT_EQ(ending.signal, 0) << "moment " << moment;
        EXPECT_THAT(ending.exit_status, AnyOf(0, 1));
        EXPECT_THAT(ending.err, AnyOf("", HasSubstr("changed"), EndsWith("not a regular file\n")));
        refused_count += ending.err == "kaio: copy: " + source_ + ": is not a regular file\n";
        unlink(source_.c_str());
        unlink(target_.c_str());
        EXPECT_THAT(folder_.Names(), ElementsAre());
    }
    EXPECT_GT(refused_count, 1);  // before it is looked at, and behind that
}

TEST_F(CopyTest, ADeviceIsNoSource) {
    ExpectFailed(Command({"copy", "/dev/zero", target_}).Run(), "/dev/zero: is not a regular file");
}

TEST_F(CopyTest, AMissingFolderIsNamed) {
    WriteFile(source_, Pattern(100));

    ExpectFailed(Command({"copy", source_, folder_ / "none/target"}).Run(),
                 (folder_ / "none/target") + ": open its folder: No such file or directory");
}

TEST_F(CopyTest, AFolderThatMayNotBeWrittenIsAnError) {
    Folder closed;
    WriteFile(source_, Pattern(100));
    ASSERT_EQ(chmod(closed.path().c_str(), 0555), 0);

    const Ending ending = Command({"copy", source_, closed / "target"}).BoundByModes().Run();

    ExpectFailed(ending, (closed / "target") + ": create a file in its folder: Permission denied");
}

TEST_F(CopyTest, AFolderThatMayNotBeReadIsEnough) {
    Folder blind;
    WriteFile(source_, Pattern(100));
    ASSERT_EQ(chmod(blind.path().c_str(), 0333), 0);

    const Ending ending = Command({"copy", source_, blind / "target"}).BoundByModes().Run();

    EXPECT_EQ(ending.exit_status, 0) << ending.err;
    EXPECT_EQ(ReadFile(blind / "target"), ReadFile(source_));
}

TEST_F(CopyTest, ABlockThatDirectIoCannotMoveIsRefusedWithTheLeastOne) {
    Folder memory("/dev/shm");  // tells no alignment: a safe one is guessed
    WriteFile(memory / "source", Pattern(1000));

    const Ending ending = Command({"copy", "-b512", memory / "source", target_}).Run();

    if (ending.err.find("no direct I/O here") == std::string::npos) {  // Linux before 6.6
        ExpectFailed(ending, (memory / "source") +
                                 ": direct I/O here needs a block size of 4096 or more, not 512");
        EXPECT_THAT(folder_.Names(), ElementsAre());
    }
}

TEST_F(CopyTest, TheLimitOfTheFileSizeIsAnErrorNotADeath) {
    WriteFile(source_, Pattern(100000));
    for (const char *way : {"-b4K", "--buffered"}) {
        const Ending ending = Copy({way})
                                  .Before([] {
                                      const rlimit limit = {50000, 50000};
                                      setrlimit(RLIMIT_FSIZE, &limit);
                                  })
                                  .Run();

        EXPECT_EQ(ending.exit_status, 1);
        EXPECT_THAT(ending.err, AllOf(HasSubstr(target_ + ": set size to "),
                                      EndsWith(" bytes: File too large\n")));
        EXPECT_THAT(folder_.Names(), ElementsAre("source"));
    }
}

// ---- in the middle ----

// A SlowTest has a copy of many small blocks, one after the other, that can be stopped in its
// middle.
class SlowTest : public CopyTest {
  protected:
    static constexpr size_t kSize = 4 * kMib;

    void SetUp() override {
        WriteFile(source_, Pattern(kSize));
        WriteFile(target_, "old");
    }

    std::string Temporary() const {
        for (const std::string &name : folder_.Names()) {
            if (name.rfind(".target.kaio-", 0) == 0) {
                return folder_ / name;
            }
        }
        return "";
    }

    bool FirstBlockIsThere() const {
        const std::string path = Temporary();
        const int fd = path.empty() ? -1 : open(path.c_str(), O_RDONLY | O_CLOEXEC);
        char byte = 0;
        const bool is_there = fd >= 0 && pread(fd, &byte, 1, 0) == 1 && byte != 0;
        close(fd);
        return is_there;
    }

    // SlowCopy is a copy in thousands of steps.
    Command SlowCopy(std::vector<std::string> options = {}) {
        options.insert(options.end(), {"--depth=1", "--block-size=4K"});
        return Copy(options);
    }

    // StartAndStop gives a copy that has written its first block, is not done, and waits for
    // SIGCONT.
    Running StartAndStop(const Command &copy) {
        for (int attempt = 1;; ++attempt) {
            Running running = copy.Start();
            EXPECT_TRUE(WaitFor([&] { return FirstBlockIsThere() || running.HasEnded(); }));
            if (running.Stop() && !Temporary().empty()) {
                EXPECT_EQ(ReadFile(target_), "old");
                return running;
            }
            EXPECT_LT(attempt, 20) << "it was always too fast";
            if (HasFailure()) {
                return running;
            }
            running.Kill(SIGCONT);
            running.Wait();
            WriteFile(target_, "old");
        }
    }

    Ending Continue(Running &running) {
        running.Kill(SIGCONT);
        return running.Wait();
    }

    void ExpectOldTarget() {
        EXPECT_EQ(ReadFile(target_), "old");
        EXPECT_THAT(folder_.Names(), ElementsAre("source", "target"));
    }
};

TEST_F(SlowTest, TheOldFileStaysUntilTheCopyIsWhole) {
    Running running = StartAndStop(SlowCopy());

    ExpectCopied(Continue(running));
}

TEST_F(SlowTest, AGrowingSourceIsAnError) {
    Running running = StartAndStop(SlowCopy());
    WriteAt(source_, kSize, "more");

    ExpectFailed(Continue(running), source_ + ": source changed while it was copied");

    ExpectOldTarget();
}

TEST_F(SlowTest, ASourceThatIsWrittenToIsAnErrorThoughItsSizeStays) {
    Running running = StartAndStop(SlowCopy({"-p"}));
    WriteAt(source_, kSize - 1, "x");

    ExpectFailed(Continue(running), source_ + ": source changed while it was copied");

    ExpectOldTarget();
}

TEST_F(SlowTest, AShrinkingSourceIsAnErrorThatNamesTheOffset) {
    for (const off_t size : {off_t{kSize - 4096}, off_t{kSize - 1000}}) {
        Running running = StartAndStop(SlowCopy());
        ASSERT_EQ(truncate(source_.c_str(), size), 0);

        ExpectFailed(Continue(running), source_ + ": read at offset " + std::to_string(size) +
                                            ": the file ends here, before the size it had");

        ExpectOldTarget();
        WriteFile(source_, Pattern(kSize));
    }
}

TEST_F(SlowTest, VerifyFindsWhatBecameDifferent) {
    Running running = StartAndStop(SlowCopy({"--verify"}));
    WriteAt(Temporary(), 10, "x");

    const Ending ending = Continue(running);

    EXPECT_EQ(ending.exit_status, 1);
    EXPECT_THAT(ending.err, testing::ContainsRegex("target: verify: the copy differs from .*: "
                                                   "XXH3 [0-9a-f]{32}, not [0-9a-f]{32}\n"));
    ExpectOldTarget();
}

TEST_F(SlowTest, VerifyFindsDataWhereThereShouldBeAHole) {
    WriteSparse(source_, 2 * kSize, {{0, Pattern(kSize)}});
    Running running = StartAndStop(SlowCopy({"--verify"}));
    WriteAt(Temporary(), 2 * kSize - 10, "x");

    const Ending ending = Continue(running);

    EXPECT_THAT(ending.err, HasSubstr("verify: the copy differs"));
    ExpectOldTarget();
}

class SignalTest : public SlowTest, public testing::WithParamInterface<int> {};

TEST_P(SignalTest, ItRemovesTheTemporaryFileAndDiesByTheSignal) {
    Running running = StartAndStop(SlowCopy());
    running.Kill(GetParam());

    const Ending ending = Continue(running);

    EXPECT_EQ(ending.signal, GetParam()) << "exit status " << ending.exit_status;
    EXPECT_EQ(ending.err, "");
    ExpectOldTarget();
}

INSTANTIATE_TEST_SUITE_P(Deadly, SignalTest,
                         testing::Values(SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGTERM),
                         [](const auto &deadly) {
                             return "Signal" + std::to_string(deadly.param);
                         });

TEST_F(SlowTest, NothingAppearsUnderTheNameWhenItIsKilled) {
    Running running = StartAndStop(SlowCopy());
    running.Kill(SIGKILL);

    EXPECT_EQ(running.Wait().signal, SIGKILL);

    EXPECT_EQ(ReadFile(target_), "old");
}

TEST_F(SlowTest, AnIgnoredHangupStaysIgnored) {
    Running running = StartAndStop(SlowCopy().Before([] { signal(SIGHUP, SIG_IGN); }));
    running.Kill(SIGHUP);

    ExpectCopied(Continue(running));
}

// ---- the progress line ----

TEST_F(CopyTest, ATerminalShowsTheProgressAndIsCleanInTheEnd) {
    WriteFile(source_, Pattern(3 * kMib));

    const Ending ending = Copy().OnTerminal().Run();

    EXPECT_EQ(ending.exit_status, 0);
    EXPECT_THAT(ending.err, AllOf(HasSubstr("\rcopying   0%  0 B of 3.0 MiB"), EndsWith(" \r")));
    EXPECT_THAT(ending.err, Not(HasSubstr("\n")));
    EXPECT_EQ(ending.out, "");
    ExpectSame();
}

TEST_F(SlowTest, TheProgressTellsBytesRateAndTheTimeThatIsLeft) {
    Running running = StartAndStop(SlowCopy({"--verify"}).OnTerminal());
    std::this_thread::sleep_for(std::chrono::milliseconds(300));  // the line is drawn anew then

    const Ending ending = Continue(running);

    EXPECT_THAT(ending.err,
                testing::ContainsRegex("copying +[0-9]+%  [0-9.]+ [KM]iB of 4.0 MiB  "
                                       "[0-9.]+ [KM]iB/s  [0-9]+:[0-9]{2}:[0-9]{2} left"));
    EXPECT_THAT(ending.err, HasSubstr("\rverifying"));
    ExpectSame();
}

TEST_F(CopyTest, ATerminalStaysEmptyWithoutProgress) {
    WriteFile(source_, Pattern(3 * kMib));

    const Ending ending = Copy({"--no-progress"}).OnTerminal().Run();

    EXPECT_EQ(ending.err, "");
    ExpectSame();
}

TEST_F(CopyTest, AMessageTakesThePlaceOfTheProgress) {
    WriteSparse(source_, 100000, {{0, Pattern(100000)}});

    const Ending ending = Command({"copy", source_, folder_ / "none/target"}).OnTerminal().Run();

    EXPECT_THAT(ending.err, EndsWith("No such file or directory\n"));
}

// ---- usage ----

struct BadUsage {
    const char *name;
    std::vector<std::string> arguments;
    const char *message;
};

class UsageTest : public testing::TestWithParam<BadUsage> {};

TEST_P(UsageTest, IsNamedAndNothingIsDone) {
    const Ending ending = Command(GetParam().arguments).Run();

    EXPECT_EQ(ending.exit_status, 64);
    EXPECT_EQ(ending.out, "");
    EXPECT_THAT(ending.err, testing::StartsWith(GetParam().message));
    EXPECT_THAT(ending.err, HasSubstr("--help"));
}

const BadUsage kUsages[] = {
    {"NoCommand", {}, "kaio: which command?\n"},
    {"UnknownCommand", {"move", "a", "b"}, "kaio: move: no such command\n"},
    {"UnknownOption", {"copy", "--fast", "a", "b"}, "kaio copy: unrecognized option '--fast'\n"},
    {"NoSource", {"copy"}, "kaio copy: SRC is missing\n"},
    {"NoTarget", {"copy", "a"}, "kaio copy: DST is missing\n"},
    {"ThreeNames", {"copy", "a", "b", "c"}, "kaio copy: c: one SRC and one DST, and no more\n"},
    {"DepthZero", {"copy", "-d0", "a", "b"}, "kaio copy: --depth=0: a number from 1 to 1024"},
    {"DepthTooLarge", {"copy", "-d1025", "a", "b"}, "kaio copy: --depth=1025: a number from 1"},
    {"DepthNegative", {"copy", "-d-1", "a", "b"}, "kaio copy: --depth=-1: a number from 1 to"},
    {"DepthWithRest", {"copy", "-d4x", "a", "b"}, "kaio copy: --depth=4x: a number from 1 to"},
    {"DepthEmpty", {"copy", "--depth=", "a", "b"}, "kaio copy: --depth=: a number from 1 to 1024"},
    {"DepthBlank", {"copy", "-d 4", "a", "b"}, "kaio copy: --depth= 4: a number from 1 to 1024"},
    {"DepthHuge",
     {"copy", "-d18446744073709551617", "a", "b"},
     "kaio copy: --depth=18446744073709551617: a number from 1 to 1024 is needed\n"},
    {"BlockOdd", {"copy", "-b3000", "a", "b"}, "kaio copy: --block-size=3000: a power of two from"},
    {"BlockZero", {"copy", "-b0", "a", "b"}, "kaio copy: --block-size=0: a power of two from 512"},
    {"BlockSmall", {"copy", "-b256", "a", "b"}, "kaio copy: --block-size=256: a power of two from"},
    {"BlockLarge", {"copy", "-b512M", "a", "b"}, "kaio copy: --block-size=512M: a power of two"},
    {"BlockUnit", {"copy", "-b1T", "a", "b"}, "kaio copy: --block-size=1T: a power of two from"},
    {"BlockRest", {"copy", "-b1MB", "a", "b"}, "kaio copy: --block-size=1MB: a power of two from"},
    {"BlockWraps",
     {"copy", "-b17179869185G", "a", "b"},
     "kaio copy: --block-size=17179869185G: a power of two from 512 to 256M is needed\n"},
    {"Memory",
     {"copy", "-b256M", "-d5", "a", "b"},
     "kaio copy: --depth=5 blocks of 268435456 bytes are more than 1G\n"}};

INSTANTIATE_TEST_SUITE_P(Bad, UsageTest, testing::ValuesIn(kUsages),
                         [](const auto &usage) { return std::string(usage.param.name); });

TEST(VersionTest, IsTheSameForAll) {
    for (const auto &arguments :
         std::vector<std::vector<std::string>>{{"--version"}, {"copy", "--version"}}) {
        const Ending ending = Command(arguments).Run();

        EXPECT_EQ(ending.exit_status, 0);
        EXPECT_EQ(ending.out, "kaio 0.1.0\n");
        EXPECT_EQ(ending.err, "");
    }
}

TEST(HelpTest, NamesEveryCommandAndEveryOption) {
    const Ending all = Command({"--help"}).Run();
    const Ending copy = Command({"copy", "--help"}).Run();

    EXPECT_EQ(all.exit_status, 0);
    EXPECT_THAT(all.out, HasSubstr("copy SRC DST"));
    EXPECT_EQ(copy.exit_status, 0);
    for (const char *option : {"--buffered", "--block-size=SIZE", "--depth=N", "--no-progress",
                               "--preserve", "--verify", "--version"}) {
        EXPECT_THAT(copy.out, HasSubstr(option));
    }
}

}  // namespace
}  // namespace kaio_test
