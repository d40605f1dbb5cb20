// `kaio probe`, as its users see it: what it says, and that nothing is touched.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "kaio/raw/aio_prep.h"
#include "kaio/raw/aio_ring.h"
#include "kaio/raw/aio_syscall.h"
#include "tests/support/command.h"
#include "tests/support/seccomp.h"
#include "tests/tools/probe_report.h"

namespace kaio_test {
namespace {

using testing::AllOf;
using testing::AnyOf;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

constexpr size_t kFileBytes = 128 * 1024;
constexpr size_t kBlockBytes = 4096;

const char *const kCalls[] = {"io_setup",     "io_submit",     "io_cancel",
                              "io_getevents", "io_pgetevents", "io_destroy"};

class ProbeTest : public testing::Test {
  protected:
    Command Probe(std::vector<std::string> arguments = {}) const {
        arguments.insert(arguments.begin(), "probe");
        arguments.push_back(folder_.path());
        return Command(arguments);
    }

    static Ending ExpectProbed(const Command &command) {
        Ending ending = command.Run();
        EXPECT_EQ(ending.exit_status, 0) << ending.err << " signal " << ending.signal;
        return ending;
    }

    static Report ReportOf(const Command &command) {
        return Report(ExpectProbed(command).out);
    }

    static Ending ExpectRefused(const std::vector<std::string> &arguments,
                                const std::string &message) {
        Ending ending = Command(arguments).BoundByModes().Run();
        EXPECT_EQ(ending.exit_status, 1) << "signal " << ending.signal;
        EXPECT_EQ(ending.out, "");
        EXPECT_EQ(ending.err, "kaio: probe: " + message + "\n");
        return ending;
    }

    Folder folder_;
};

// ---- the tables ----

TEST_F(ProbeTest, TheTablesHaveEverySection) {
    const Ending ending = ExpectProbed(Probe());

    EXPECT_EQ(ending.err, "");
    for (const char *section :
         {"Kernel\n", "\n\nProcess\n", "\n\nCalls\n", "\n\nRing of io_setup(1)\n", "\n\nPath\n",
          "\n\nAlignment, as statx reports it\n", "\n\nOpcodes\n",
          "\n\nFlags of a request (IOCB_FLAG_...)\n", "\n\nPriorities, by class\n",
          "\n\nFlags of reads and writes (RWF_...)\n",
          "\n\nDirect writes: does io_submit wait for them?\n"}) {
        EXPECT_THAT(ending.out, HasSubstr(section));
    }
    for (const char *flag : {"HIPRI", "DSYNC", "SYNC", "NOWAIT", "APPEND", "NOAPPEND", "ATOMIC",
                             "DONTCACHE", "NOSIGNAL"}) {
        EXPECT_THAT(ending.out, HasSubstr(std::string("\n  ") + flag + " ")) << flag;
    }
}

TEST_F(ProbeTest, TheTablesTellBothChannelsApart) {
    const Ending ending = ExpectProbed(Probe());

    EXPECT_THAT(ending.out, HasSubstr("\n  noop (6)                  submit: EINVAL      never "
                                      "valid, in any kernel\n"));
    EXPECT_THAT(ending.out, HasSubstr("submit: ERROR             refused by io_submit itself\n"));
    EXPECT_THAT(ending.out,
                HasSubstr("event: ERROR              taken by io_submit, and the event says so\n"));
}

TEST_F(ProbeTest, LinesHaveAtMostHundredCharactersHoweverLongThePathIs) {
    std::string path = folder_.path();
    for (int depth = 0; depth < 3; ++depth) {
        path += "/" + std::string(120, static_cast<char>('a' + depth)) + " and blanks";
        ASSERT_EQ(mkdir(path.c_str(), 0700), 0);
    }

    const Ending ending = ExpectProbed(Command({"probe", path}));

    std::istringstream lines(ending.out);
    for (std::string line; std::getline(lines, line);) {
        EXPECT_LE(line.size(), 100u) << line;
    }
    EXPECT_THAT(ending.out, HasSubstr(std::string(60, 'c')));
}

TEST_F(ProbeTest, WhatATerminalWouldActOnIsNotPrinted) {
    const std::string name = "red\033[31m\n";
    ASSERT_EQ(mkdir((folder_ / name).c_str(), 0700), 0);
    Command probe({"probe", name});
    probe.Before([this] { EXPECT_EQ(chdir(folder_.path().c_str()), 0); });

    const Ending ending = ExpectProbed(probe);

    EXPECT_THAT(ending.out, HasSubstr("red?[31m?\n"));
    EXPECT_THAT(ending.out, Not(HasSubstr("\033")));
}

// The last is a control character of two bytes, and one of a single byte is none in UTF-8.
TEST_F(ProbeTest, WhatATerminalWouldActOnIsNotInAMessageEither) {
    const Ending ending = Command({"probe", "\033[31mevil\nkaio: fine\xc2\x9b\x9b \xc3\xa4"}).Run();

    EXPECT_EQ(ending.err,
              "kaio: probe: ?[31mevil?kaio: fine?? \xc3\xa4: stat: No such file or directory\n");
}

TEST_F(ProbeTest, CharactersOfTwoBytesThatATerminalWouldActOnAreNotPrinted) {
    const std::string path = folder_ /
                             "csi\xc2\x9b"
                             "31m \xc3\xa4";
    ASSERT_EQ(mkdir(path.c_str(), 0700), 0);

    const Ending ending = ExpectProbed(Command({"probe", path}));

    EXPECT_THAT(ending.out, HasSubstr("csi?31m"));
    EXPECT_THAT(ending.out, HasSubstr("\xc3\xa4\n"));
}

TEST_F(ProbeTest, ATerminalShowsThatItWorksAndIsCleanInTheEnd) {
    const Ending ending = ExpectProbed(Probe().OnTerminal());

    EXPECT_THAT(ending.err, AllOf(StartsWith("\rprobing"), EndsWith(" \r")));
    EXPECT_THAT(ending.err, Not(HasSubstr("\n")));
    EXPECT_THAT(ending.out, StartsWith("Kernel\n"));
}

TEST_F(ProbeTest, WithoutAPathTheCurrentFolderIsProbed) {
    Command probe({"probe", "--json"});
    probe.Before([this] { EXPECT_EQ(chdir(folder_.path().c_str()), 0); });

    const Report report = ReportOf(probe);

    EXPECT_EQ(Report::Text(report.Get("path"), "path"), ".");
    EXPECT_EQ(Report::Text(report.Get("path"), "kind"), "folder");
    EXPECT_EQ(report.Opcode("pwrite"), "ok");
}

TEST_F(ProbeTest, AnOutputThatCannotBeWrittenIsAnError) {
    for (const char *option : {"--timeout=10", "--json", "--help"}) {
        Command probe = Probe({option});
        probe.Before([] { dup2(open("/dev/full", O_WRONLY), STDOUT_FILENO); });

        const Ending ending = probe.Run();

        EXPECT_EQ(ending.exit_status, 1) << option;
        EXPECT_EQ(ending.err, "kaio: probe: stdout: write: No space left on device\n") << option;
    }
}

// ---- JSON ----

std::vector<std::string> Keys(const json_t *object) {
    std::vector<std::string> keys;
    for (void *item = json_object_iter(const_cast<json_t *>(object)); item != nullptr;
         item = json_object_iter_next(const_cast<json_t *>(object), item)) {
        keys.emplace_back(json_object_iter_key(item));
    }
    return keys;
}

// Such as "pread 0".
std::vector<std::string> Numbered(const Report &report, const char *group) {
    std::vector<std::string> names;
    for (const json_t *probe : report.Probes(group)) {
        names.push_back(Report::Text(probe, "name") + " " +
                        std::to_string(Report::Number(probe, "number")));
    }
    return names;
}

TEST_F(ProbeTest, TheJsonHasTheKeysThatTheHelpNames) {
    const Report report = ReportOf(Probe({"--json"}));

    EXPECT_THAT(Keys(report.Root()),
                ElementsAre("version", "kernel", "process", "calls", "ring", "path", "alignment",
                            "opcodes", "iocb_flags", "priorities", "rw_flags", "direct_writes"));
    const std::string help = Command({"probe", "--help"}).Run().out;
    for (const json_t *object :
         {report.Root(), report.Get("kernel"), report.Get("process"), report.Get("path"),
          static_cast<const json_t *>(report.Find("rw_flags", "none", "read", "direct")),
          report.Find("direct_writes", "extend")}) {
        for (const std::string &key : Keys(object)) {
            EXPECT_THAT(help, HasSubstr(key));
        }
    }
}

TEST_F(ProbeTest, TheJsonHasEveryCallOpcodeAndFlagWithItsNumber) {
    const Report report = ReportOf(Probe({"--json"}));

    std::vector<std::string> calls;
    for (const json_t *probe : report.Probes("calls")) {
        calls.push_back(Report::Text(probe, "name"));
    }
    EXPECT_THAT(calls, testing::UnorderedElementsAreArray(kCalls));
    EXPECT_THAT(Numbered(report, "opcodes"),
                ElementsAre("pread 0", "pwrite 1", "fsync 2", "fdsync 3", "preadx 4", "poll 5",
                            "noop 6", "preadv 7", "pwritev 8"));
    EXPECT_THAT(Numbered(report, "iocb_flags"), ElementsAre("RESFD 1", "IOPRIO 2"));
    EXPECT_THAT(Numbered(report, "priorities"),
                ElementsAre("none 0", "real-time 1", "best-effort 2", "idle 3", "invalid 7"));
    std::vector<std::string> wanted;
    for (const char *flag : {"none 0", "HIPRI 1", "DSYNC 2", "SYNC 4", "NOWAIT 8", "APPEND 16",
                             "NOAPPEND 32", "ATOMIC 64", "DONTCACHE 128", "NOSIGNAL 256"}) {
        wanted.insert(wanted.end(), 4, flag);
    }
    EXPECT_THAT(Numbered(report, "rw_flags"), testing::UnorderedElementsAreArray(wanted));
}

TEST_F(ProbeTest, EveryProbeHasTheSameKeysAndSaysOneOfFiveResults) {
    const Report report = ReportOf(Probe({"--json"}));

    for (const char *group :
         {"calls", "opcodes", "iocb_flags", "priorities", "rw_flags", "direct_writes"}) {
        for (const json_t *probe : report.Probes(group)) {
            const std::vector<std::string> keys = Keys(probe);
            const std::vector<std::string> first(keys.begin(), keys.begin() + 6);
            EXPECT_THAT(
                first, ElementsAre("name", "result", "channel", "errno", "errno_number", "reason"));
            EXPECT_THAT(Report::Text(probe, "result"),
                        AnyOf("ok", "refused", "failed", "killed", "not tried"));
            EXPECT_THAT(Report::Text(probe, "channel"), AnyOf("", "call", "submit", "event"));
            EXPECT_EQ(Report::Text(probe, "errno").empty(),
                      Report::Number(probe, "errno_number") == -1);
        }
    }
    EXPECT_EQ(Report::Number(report.Find("opcodes", "noop"), "errno_number"), EINVAL);
}

TEST_F(ProbeTest, APathThatIsNotUtf8IsShownWithQuestionMarks) {
    const std::string path =
        folder_ / "gr\xfc\xdf \xc3\xa4 \xed\xa0\x80 \xc0\xaf \xf4\x90\x80\x80 \xe2\x82";
    ASSERT_EQ(mkdir(path.c_str(), 0700), 0);

    const Report report = ReportOf(Command({"probe", "--json", path}));

    EXPECT_EQ(Report::Text(report.Get("path"), "path"), folder_ / "gr?? \xc3\xa4 ??? ?? ???? ??");
}

// ---- what the system says ----

long long NumberIn(const char *path) {
    long long number = -1;
    std::ifstream(path) >> number;
    return number;
}

TEST_F(ProbeTest, TheKernelIsTheOneThatRuns) {
    utsname name;
    ASSERT_EQ(uname(&name), 0);

    const Report report = ReportOf(Probe({"--json"}));

    EXPECT_EQ(Report::Text(report.Get("kernel"), "release"), name.release);
    EXPECT_EQ(Report::Text(report.Get("kernel"), "machine"), name.machine);
    const long long max_nr = NumberIn("/proc/sys/fs/aio-max-nr");
    const long long nr = Report::Number(report.Get("kernel"), "aio_nr");
    EXPECT_EQ(Report::Number(report.Get("kernel"), "aio_max_nr"), max_nr);
    EXPECT_EQ(Report::Number(report.Get("kernel"), "aio_left"), nr < max_nr ? max_nr - nr : 0);
    EXPECT_EQ(Report::Number(report.Get("kernel"), "io_uring_disabled"),
              NumberIn("/proc/sys/kernel/io_uring_disabled"));
}

TEST_F(ProbeTest, LimitsAreThoseOfTheProcess) {
    Command probe = Probe({"--json"});
    probe.Before([] {
        const rlimit fsize = {123456789, RLIM_INFINITY};
        const rlimit nofile = {77, 77};
        const rlimit memlock = {65536, 65536};
        EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &fsize), 0);
        EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &nofile), 0);
        EXPECT_EQ(setrlimit(RLIMIT_MEMLOCK, &memlock), 0);
    });

    const Report report = ReportOf(probe);

    EXPECT_EQ(Report::Number(report.Get("process"), "rlimit_fsize"), 123456789);
    EXPECT_EQ(Report::Number(report.Get("process"), "rlimit_nofile"), 77);
    EXPECT_EQ(Report::Number(report.Get("process"), "rlimit_memlock"), 65536);
}

TEST_F(ProbeTest, ALimitThatIsTooLargeForANumberIsNone) {
    Command probe = Probe({"--json"});
    probe.Before([] {
        const rlimit fsize = {RLIM_INFINITY - 1, RLIM_INFINITY};
        EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &fsize), 0);
    });

    const Report report = ReportOf(probe);

    EXPECT_TRUE(json_is_null(report.Get("process", "rlimit_fsize")));
}

// From linux/capability.h, which clashes with what the C library declares on some systems.
enum { CAP_ADMIN = 21, CAP_NICE = 23 };

TEST_F(ProbeTest, WithoutTheRightTheRealTimeClassIsRefused) {
    Command probe = Probe({"--json"});
    probe.Before([] {
        prctl(PR_CAPBSET_DROP, CAP_ADMIN);
        prctl(PR_CAPBSET_DROP, CAP_NICE);
    });

    const Report report = ReportOf(probe);

    EXPECT_TRUE(json_is_false(report.Get("process", "cap_sys_admin")));
    EXPECT_TRUE(json_is_false(report.Get("process", "cap_sys_nice")));
    const json_t *real_time = report.Find("priorities", "real-time");
    EXPECT_EQ(Report::Said(real_time), "refused by submit: EPERM");
    EXPECT_THAT(Report::Text(real_time, "reason"), HasSubstr("CAP_SYS_NICE"));
    EXPECT_EQ(Report::Said(report.Find("priorities", "best-effort")), "ok");
    EXPECT_EQ(Report::Said(report.Find("priorities", "invalid")), "refused by submit: EINVAL");
}

// ---- the answers are the kernel's ----

// What the kernel says to this process, in the words of Report::Said.
class Kernel {
  public:
    Kernel() {
        EXPECT_EQ(kaio_raw_setup(4, &ctx_), 0);
        EXPECT_EQ(posix_memalign(&bytes_, kFileBytes, kFileBytes), 0);
        memset(bytes_, 'k', kFileBytes);
    }
    ~Kernel() {
        EXPECT_EQ(kaio_raw_destroy(ctx_), 0);
        free(bytes_);
    }
    Kernel(const Kernel &) = delete;
    Kernel &operator=(const Kernel &) = delete;

    std::string Transfer(int fd, const std::string &operation, uint32_t flags,
                         size_t size_bytes = kBlockBytes) {
        kaio_raw_iocb iocb = operation == "read" ? kaio_raw_prep_pread(fd, bytes_, size_bytes, 0)
                                                 : kaio_raw_prep_pwrite(fd, bytes_, size_bytes, 0);
        kaio_raw_set_rw_flags(&iocb, static_cast<int>(flags));
        return Said(&iocb);
    }

    std::string Said(kaio_raw_iocb *iocb) {
        const long taken = kaio_raw_submit(ctx_, 1, &iocb);
        if (taken != 1) {
            return std::string("refused by submit: ") + Name(-taken);
        }
        kaio_raw_event event = {};
        EXPECT_EQ(kaio_raw_getevents(ctx_, 1, 1, &event, nullptr), 1);
        return event.res >= 0 ? "ok" : std::string("failed in event: ") + Name(-event.res);
    }

    uint32_t SlotCount() const {
        kaio_raw_ring_consumer consumer = {};
        EXPECT_EQ(kaio_raw_ring_validate(ctx_, &consumer), 0);
        return consumer.nr;
    }

  private:
    static const char *Name(long long error) {
        return strerrorname_np(static_cast<int>(error));
    }

    kaio_raw_context ctx_ = 0;
    void *bytes_ = nullptr;
};

// A filled file without a name.
int NewFile(const std::string &folder, const std::string &mode) {
    std::string path = folder + "/XXXXXX";
    const int fd = mkstemp(path.data());
    EXPECT_GE(fd, 0);
    EXPECT_EQ(unlink(path.c_str()), 0);
    const std::string bytes(kFileBytes, 'k');
    EXPECT_EQ(pwrite(fd, bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
    EXPECT_EQ(fsync(fd), 0);
    if (mode == "direct" && fcntl(fd, F_SETFL, O_DIRECT) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

struct Way {
    const char *name;
    const char *operation;
    const char *mode;
};

class AgreementTest : public ProbeTest, public testing::WithParamInterface<Way> {
  protected:
    // A write that may not wait does at one time what it does not at another.
    static void ExpectSame(const Report &report, const std::string &folder) {
        const std::string operation = GetParam().operation;
        const std::string mode = GetParam().mode;
        const int fd = NewFile(folder, mode);
        Kernel kernel;
        for (const json_t *probe : report.Probes("rw_flags")) {
            if (Report::Text(probe, "operation") != operation ||
                Report::Text(probe, "mode") != mode) {
                continue;
            }
            const std::string name = Report::Text(probe, "name");
            if (fd < 0) {
                EXPECT_EQ(Report::Said(probe), "not tried") << name;
                continue;
            }
            if (name == "ATOMIC") {
                continue;  // its size is the file system's to say
            }
            const auto flag = static_cast<uint32_t>(Report::Number(probe, "number"));
            const std::string said = kernel.Transfer(fd, operation, flag);
            if (name == "NOWAIT" && (said == "ok" || said == "failed in event: EAGAIN")) {
                EXPECT_THAT(Report::Said(probe), AnyOf("ok", "failed in event: EAGAIN"));
            } else {
                EXPECT_EQ(Report::Said(probe), said) << name;
            }
        }
        close(fd);
    }
};

TEST_P(AgreementTest, FlagsInThisFolder) {
    ExpectSame(ReportOf(Probe({"--json"})), folder_.path());
}

TEST_P(AgreementTest, FlagsInMemory) {
    if (access("/dev/shm", W_OK) != 0) {
        GTEST_SKIP() << "/dev/shm: " << strerror(errno);
    }
    const Folder memory("/dev/shm");
    const Report report = ReportOf(Command({"probe", "--json", memory.path()}));

    ExpectSame(report, memory.path());

    if (Report::Text(report.Get("path"), "file_system") == "tmpfs" &&
        std::string(GetParam().mode) == "buffered") {
        EXPECT_EQ(report.Flag("NOWAIT", GetParam().operation, GetParam().mode),
                  "refused by submit: EOPNOTSUPP");
    }
}

INSTANTIATE_TEST_SUITE_P(Ways, AgreementTest,
                         testing::Values(Way{"BufferedRead", "read", "buffered"},
                                         Way{"BufferedWrite", "write", "buffered"},
                                         Way{"DirectRead", "read", "direct"},
                                         Way{"DirectWrite", "write", "direct"}),
                         [](const auto &way) { return std::string(way.param.name); });

TEST_F(ProbeTest, OpcodesAreAnsweredAsTheKernelAnswersThem) {
    const Report report = ReportOf(Probe({"--json"}));
    const int fd = NewFile(folder_.path(), "buffered");
    Kernel kernel;
    char bytes[2][512];
    const iovec halves[] = {{bytes[0], 512}, {bytes[1], 512}};
    kaio_raw_iocb fsync = kaio_raw_prep_fsync(fd);
    kaio_raw_iocb fdsync = kaio_raw_prep_fdsync(fd);
    kaio_raw_iocb poll = kaio_raw_prep_poll(fd, POLLIN);
    kaio_raw_iocb preadv = kaio_raw_prep_preadv(fd, halves, 2, 0);
    kaio_raw_iocb preadx = kaio_raw_prep_pread(fd, bytes, 512, 0);
    preadx.aio_lio_opcode = KAIO_RAW_CMD_PREADX;
    kaio_raw_iocb noop = preadx;
    noop.aio_lio_opcode = KAIO_RAW_CMD_NOOP;

    EXPECT_EQ(report.Opcode("pread"), kernel.Transfer(fd, "read", 0));
    EXPECT_EQ(report.Opcode("pwrite"), kernel.Transfer(fd, "write", 0));
    EXPECT_EQ(report.Opcode("fsync"), kernel.Said(&fsync));
    EXPECT_EQ(report.Opcode("fdsync"), kernel.Said(&fdsync));
    EXPECT_EQ(report.Opcode("poll"), kernel.Said(&poll));
    EXPECT_EQ(report.Opcode("preadv"), kernel.Said(&preadv));
    EXPECT_EQ(report.Opcode("pwritev"), kernel.Transfer(fd, "write", 0));
    EXPECT_EQ(report.Opcode("preadx"), kernel.Said(&preadx));
    EXPECT_EQ(report.Opcode("noop"), kernel.Said(&noop));
    EXPECT_EQ(report.Opcode("noop"), "refused by submit: EINVAL");
    close(fd);
}

TEST_F(ProbeTest, TheRingIsAsTheKernelMakesIt) {
    const Report report = ReportOf(Probe({"--json"}));

    const json_t *ring = report.Get("ring");
    EXPECT_EQ(Report::Text(ring, "result"), "ok");
    EXPECT_TRUE(json_is_true(json_object_get(ring, "is_mapped")));
    EXPECT_EQ(Report::Number(ring, "nr"), Kernel().SlotCount());
    EXPECT_EQ(Report::Number(ring, "magic"), KAIO_RAW_RING_MAGIC);
    EXPECT_EQ(Report::Number(ring, "head"), 0);
    EXPECT_EQ(Report::Number(ring, "tail"), 0);
    EXPECT_EQ(Report::Number(ring, "header_length"), KAIO_RAW_RING_HEADER_BYTES);
}

TEST_F(ProbeTest, DirectWritesAreTimed) {
    const Report report = ReportOf(Probe({"--json"}));

    for (const json_t *write : report.Probes("direct_writes")) {
        if (!json_is_true(json_object_get(report.Get("path", "direct_write"), "is_open"))) {
            EXPECT_EQ(Report::Said(write), "not tried");
            continue;
        }
        EXPECT_EQ(Report::Said(write), "ok");
        const long long inside_count = Report::Number(write, "inside_count");
        EXPECT_EQ(Report::Text(write, "behaviour"),
                  inside_count == Report::Number(write, "write_count")
                      ? "completed inside io_submit"
                      : "asynchronous");
        EXPECT_GT(Report::Number(write, "submit_median_ns"), 0);
        EXPECT_GE(Report::Number(write, "submit_longest_ns"),
                  Report::Number(write, "submit_median_ns"));
    }
}

// ---- nothing is touched, nothing is left ----

TEST_F(ProbeTest, AFolderHasNothingMoreThanBefore) {
    WriteFile(folder_ / "file", "bytes");

    ExpectProbed(Probe());

    EXPECT_THAT(folder_.Names(), ElementsAre("file"));
}

TEST_F(ProbeTest, AKillInTheMiddleLeavesNothingBehind) {
    for (int delay_ms = 0; delay_ms < 100; delay_ms += 4) {
        Running running = Probe().Start();
        std::this_thread::sleep_for(std::chrono::milliseconds(delay_ms));
        running.Kill(SIGKILL);
        running.Wait();

        EXPECT_THAT(folder_.Names(), IsEmpty());
    }
}

class FileTest : public ProbeTest {
  protected:
    // ReportOfInput probes `path` with the file as stdin.
    Report ReportOfInput(const std::string &path) {
        return ReportOf(Command({"probe", "--json", path}).Before([this] {
            dup2(open((folder_ / "file").c_str(), O_RDONLY | O_CLOEXEC), STDIN_FILENO);
        }));
    }

    // ExpectUntouched probes the file at `path`, and gives the report.
    static Report ExpectUntouched(const std::string &path) {
        const std::string bytes = ReadFile(path);
        const timespec times[] = {{1000000001, 123456789}, {999999999, 987654321}};
        EXPECT_EQ(utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
        const struct stat before = Stat(path);

        Report report = ReportOf(Command({"probe", "--json", path}));

        const struct stat after = Stat(path);
        EXPECT_EQ(ReadFile(path), bytes);
        EXPECT_EQ(after.st_mtim.tv_sec, before.st_mtim.tv_sec);
        EXPECT_EQ(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
        EXPECT_EQ(after.st_ctim.tv_sec, before.st_ctim.tv_sec);
        EXPECT_EQ(after.st_ctim.tv_nsec, before.st_ctim.tv_nsec);
        EXPECT_EQ(after.st_atim.tv_sec, before.st_atim.tv_sec) << "it was read, quietly";
        EXPECT_EQ(Report::Text(report.Get("path"), "kind"), "regular file");
        return report;
    }
};

TEST_F(FileTest, BytesAndTimesStayWhileAnotherFileIsWritten) {
    WriteFile(folder_ / "file", Pattern(10000));

    const Report report = ExpectUntouched(folder_ / "file");

    EXPECT_EQ(report.Flag("none", "read", "buffered"), "ok");
    EXPECT_EQ(report.Flag("none", "write", "buffered"), "ok");
    EXPECT_THAT(folder_.Names(), ElementsAre("file"));
}

TEST_F(FileTest, AnEmptyOneIsProbedToo) {
    WriteFile(folder_ / "file", "");

    const Report report = ExpectUntouched(folder_ / "file");

    EXPECT_EQ(report.Opcode("pread"), "ok");
}

TEST_F(FileTest, OneThatIsStdinIsProbedToo) {
    WriteFile(folder_ / "file", Pattern(10000));

    for (const char *path : {"/dev/stdin", "/proc/self/fd/0"}) {
        const Report report = ReportOfInput(path);

        EXPECT_EQ(Report::Text(report.Get("path"), "kind"), "regular file");
        EXPECT_EQ(report.Opcode("pread"), "ok");
        EXPECT_EQ(report.Opcode("pwrite"), "ok");
    }
    EXPECT_TRUE(ReadFile(folder_ / "file") == Pattern(10000)) << "the bytes differ";
}

TEST_F(ProbeTest, StdoutIsKnownAsThePipeThatItIs) {
    const Report report = ReportOf(Command({"probe", "--json", "/proc/self/fd/1"}));

    EXPECT_EQ(Report::Text(report.Get("path"), "kind"), "pipe");
}

TEST_F(FileTest, OneThatMayOnlyBeReadIsProbed) {
    WriteFile(folder_ / "file", Pattern(10000));
    ASSERT_EQ(chmod((folder_ / "file").c_str(), 0400), 0);

    const Report report = ReportOf(Command({"probe", "--json", folder_ / "file"}).BoundByModes());

    EXPECT_EQ(report.Opcode("pread"), "ok");
    EXPECT_EQ(report.Opcode("pwrite"), "ok");
}

TEST_F(FileTest, InAFolderThatMayOnlyBeReadNoWriteIsTried) {
    WriteFile(folder_ / "file", Pattern(10000));
    ASSERT_EQ(chmod(folder_.path().c_str(), 0500), 0);

    const Ending ending =
        ExpectProbed(Command({"probe", "--json", folder_ / "file"}).BoundByModes());

    ASSERT_EQ(chmod(folder_.path().c_str(), 0700), 0);
    const Report report(ending.out);
    EXPECT_EQ(report.Opcode("pread"), "ok");
    EXPECT_EQ(report.Opcode("pwrite"), "not tried");
    EXPECT_EQ(report.Opcode("fsync"), "not tried");
    EXPECT_THAT(ending.err, AllOf(HasSubstr("no file can be made in "),
                                  EndsWith(" to write to: Permission denied\n")));
}

TEST_F(ProbeTest, AFolderThatMayOnlyBeReadStillHasItsCalls) {
    ASSERT_EQ(chmod(folder_.path().c_str(), 0500), 0);

    const Ending ending = ExpectProbed(Probe({"--json"}).BoundByModes());

    ASSERT_EQ(chmod(folder_.path().c_str(), 0700), 0);
    const Report report(ending.out);
    EXPECT_EQ(report.Call("io_submit"), "ok");
    EXPECT_EQ(report.Opcode("pread"), "not tried");
    EXPECT_THAT(Report::Text(report.Find("opcodes", "pread"), "reason"),
                EndsWith("Permission denied"));
    EXPECT_THAT(ending.err, HasSubstr("Permission denied\n"));
}

// ---- what takes the name of PATH meanwhile ----

// The program makes a child to look at PATH, then one to open it, one for the calls, and one for
// the requests.
enum ChildIndex { kOpeningChild = 1, kRequestingChild = 3 };

class ReplacedTest : public ProbeTest {
  protected:
    void SetUp() override {
        WriteFile(folder_ / "file", Pattern(10000));
        ASSERT_EQ(symlink("/dev/null", (folder_ / "link").c_str()), 0);
        ASSERT_EQ(symlink("file", (folder_ / "other").c_str()), 0);
    }

    // The link leads to the file as soon as the child `when` is about to be made.
    Ending RunAndReplace(int when) {
        Command probe({"probe", "--json", folder_ / "link"});
        const Listener listener(&probe, {SYS_clone}, [this, when](int index) {
            if (index == when) {
                EXPECT_EQ(rename((folder_ / "other").c_str(), (folder_ / "link").c_str()), 0);
            }
            return 0;
        });
        return probe.Run();
    }
};

TEST_F(ReplacedTest, AFileThatTakesTheNameOfADeviceIsNotWrittenTo) {
    const Ending ending = RunAndReplace(kOpeningChild);

    EXPECT_TRUE(ReadFile(folder_ / "file") == Pattern(10000)) << "the bytes differ";
    EXPECT_EQ(ending.exit_status, 1);
    EXPECT_EQ(ending.err, "kaio: probe: " + (folder_ / "link") +
                              ": open: another file has taken its name meanwhile\n");
}

TEST_F(ReplacedTest, NorIsOneThatTakesItLater) {
    const Ending ending = RunAndReplace(kRequestingChild);

    EXPECT_TRUE(ReadFile(folder_ / "file") == Pattern(10000)) << "the bytes differ";
    EXPECT_EQ(ending.exit_status, 0) << ending.err;
    const Report report(ending.out);
    EXPECT_EQ(report.Opcode("pwrite"), "not tried");
    EXPECT_EQ(Report::Text(report.Find("opcodes", "pwrite"), "reason"),
              "another file has taken its name meanwhile");
}

// ---- what is probed by something of our own ----

TEST_F(ProbeTest, APipeLosesNoByteAndIsAnsweredAsIfItHadBeenAsked) {
    ASSERT_EQ(mkfifo((folder_ / "fifo").c_str(), 0600), 0);
    const int fd = open((folder_ / "fifo").c_str(), O_RDWR | O_NONBLOCK);
    ASSERT_EQ(write(fd, "abc", 3), 3);

    const Report report = ReportOf(Command({"probe", "--json", folder_ / "fifo"}));

    char bytes[16];
    EXPECT_EQ(read(fd, bytes, sizeof bytes), 3);
    EXPECT_EQ(Report::Text(report.Get("path"), "kind"), "pipe");
    Kernel kernel;
    for (const json_t *probe : report.Probes("rw_flags")) {
        if (Report::Text(probe, "mode") == "buffered") {
            const auto flag = static_cast<uint32_t>(Report::Number(probe, "number"));
            ASSERT_EQ(write(fd, bytes, sizeof bytes), static_cast<ssize_t>(sizeof bytes));
            EXPECT_EQ(Report::Said(probe),
                      kernel.Transfer(fd, Report::Text(probe, "operation"), flag, 8))
                << Report::Text(probe, "name");
        }
    }
    close(fd);
}

TEST_F(ProbeTest, WhoWaitsForAPipeIsNotWoken) {
    ASSERT_EQ(mkfifo((folder_ / "fifo").c_str(), 0600), 0);
    std::atomic<int> opened_fd{-1};
    std::thread waiting([&] { opened_fd = open((folder_ / "fifo").c_str(), O_WRONLY); });
    std::this_thread::sleep_for(std::chrono::milliseconds(20));

    ExpectProbed(Command({"probe", folder_ / "fifo"}));

    EXPECT_EQ(opened_fd, -1);
    const int fd = open((folder_ / "fifo").c_str(), O_RDONLY | O_NONBLOCK);
    waiting.join();
    EXPECT_GE(opened_fd, 0);
    close(opened_fd);
    close(fd);
}

TEST_F(ProbeTest, ASocketIsProbedByAPairOfOurOwn) {
    const std::string path = folder_ / "s";
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    // Below a name that is short enough, however long the folder's is.
    const std::string short_path = "/proc/self/fd/";
    const int folder_fd = open(folder_.path().c_str(), O_PATH | O_DIRECTORY);
    snprintf(address.sun_path, sizeof address.sun_path, "%s%d/s", short_path.c_str(), folder_fd);
    ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr *>(&address), sizeof address), 0);

    const Report report = ReportOf(Command({"probe", "--json", path}));

    EXPECT_EQ(Report::Text(report.Get("path"), "kind"), "socket");
    EXPECT_EQ(report.Opcode("pread"), "ok");
    EXPECT_EQ(report.Opcode("pwrite"), "ok");
    EXPECT_EQ(report.Opcode("poll"), "ok");
    EXPECT_EQ(report.Opcode("fsync"), "refused by submit: EINVAL");
    close(folder_fd);
    close(fd);
}

TEST_F(ProbeTest, DevicesWithoutMemoryBehindThemAreProbed) {
    const Report null = ReportOf(Command({"probe", "--json", "/dev/null"}));
    const Report random = ReportOf(Command({"probe", "--json", "/dev/urandom"}));

    EXPECT_EQ(null.Opcode("pread"), "ok");
    EXPECT_EQ(null.Opcode("pwrite"), "ok");
    EXPECT_EQ(random.Opcode("pread"), "ok");
    EXPECT_EQ(random.Opcode("pwrite"), "not tried");
}

// ---- what cannot be probed ----

TEST_F(ProbeTest, AMissingPathIsSaid) {
    ExpectRefused({"probe", folder_ / "none"},
                  folder_ / "none" + ": stat: No such file or directory");
    ExpectRefused({"probe", "--json", ""}, ": stat: No such file or directory");
}

TEST_F(ProbeTest, AFolderThatHasNoNameAnyMoreIsSaid) {
    const std::string path = folder_ / "gone";
    ASSERT_EQ(mkdir(path.c_str(), 0700), 0);

    const Ending ending = Command({"probe"})
                              .Before([&path] {
                                  EXPECT_EQ(chdir(path.c_str()), 0);
                                  EXPECT_EQ(rmdir(path.c_str()), 0);
                              })
                              .Run();

    EXPECT_EQ(ending.exit_status, 1);
    EXPECT_EQ(ending.err, "kaio: probe: .: realpath: No such file or directory\n");
}

TEST_F(ProbeTest, WithoutAFileAlignmentsAreNotAskedFor) {
    ASSERT_EQ(chmod(folder_.path().c_str(), 0500), 0);

    const Ending ending = ExpectProbed(Probe().BoundByModes());

    ASSERT_EQ(chmod(folder_.path().c_str(), 0700), 0);
    EXPECT_THAT(ending.out,
                HasSubstr("\n  statx                     not asked: there is no file\n"));
    EXPECT_THAT(ending.out, Not(HasSubstr("not reported")));
}

TEST_F(ProbeTest, AFileThatMayNotBeReadIsSaid) {
    WriteFile(folder_ / "file", "bytes");
    ASSERT_EQ(chmod((folder_ / "file").c_str(), 0), 0);

    ExpectRefused({"probe", folder_ / "file"}, folder_ / "file" + ": open: Permission denied");
}

TEST_F(ProbeTest, ADeviceThatOpeningMayChangeIsNotOpened) {
    ExpectRefused({"probe", "/dev/tty"},
                  "/dev/tty: is a character device, and to open one may do anything: not probed");
}

TEST_F(ProbeTest, AFileThatReadingMayConsumeIsNotRead) {
    ExpectRefused({"probe", "/proc/version"},
                  "/proc/version: is made by the kernel when it is read, and may be gone then: not "
                  "probed");
}

TEST_F(ProbeTest, WithTooFewFilesTheRestIsProbed) {
    Command probe = Probe({"--json"});
    probe.Before([] {
        const rlimit limit = {4, 4};
        EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    });

    const Report report = ReportOf(probe);

    EXPECT_EQ(report.Opcode("pread"), "ok");
    EXPECT_THAT(Report::Text(report.Get("path", "direct_read"), "reason"),
                EndsWith("Too many open files"));
    EXPECT_THAT(Report::Text(report.Find("iocb_flags", "RESFD"), "reason"),
                EndsWith("Too many open files"));
}

TEST_F(ProbeTest, ALimitOfTheFileSizeIsAnAnswerAndNoDeath) {
    Command probe = Probe({"--json"});
    probe.Before([] {
        const rlimit limit = {0, 0};
        EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
    });

    const Ending ending = ExpectProbed(probe);

    const Report report(ending.out);
    EXPECT_EQ(report.Opcode("pread"), "ok");
    EXPECT_EQ(report.Opcode("pwrite"), "failed in event: EFBIG");
    EXPECT_THAT(Report::Text(report.Find("opcodes", "pwrite"), "reason"),
                HasSubstr("RLIMIT_FSIZE"));
    EXPECT_EQ(Report::Said(report.Find("direct_writes", "overwrite")), "not tried");
    EXPECT_THAT(ending.err, HasSubstr("could not be filled: File too large\n"));
}

TEST_F(ProbeTest, AWriteThatIsCutShortIsNotOk) {
    Command probe = Probe({"--json"});
    probe.Before([] {
        const rlimit limit = {1000, 1000};
        EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
    });

    const Report report = ReportOf(probe);

    for (const char *opcode : {"pwrite", "pwritev"}) {
        EXPECT_EQ(report.Opcode(opcode), "failed in event: ");
        EXPECT_EQ(Report::Text(report.Find("opcodes", opcode), "reason"),
                  "short: 1000 of 4096 bytes");
    }
    EXPECT_EQ(report.Flag("none", "write", "buffered"), "failed in event: ");
    EXPECT_EQ(report.Flag("none", "read", "buffered"), "ok");
    const json_t *direct = report.Find("rw_flags", "none", "write", "direct");
    if (Report::Said(direct) == "failed in event: EINVAL") {
        EXPECT_THAT(Report::Text(direct, "reason"), EndsWith("filled: File too large"));
    }
}

// ---- seccomp ----

// Install installs a program of another form than Filter's. Called in the child.
void Install(sock_filter *program, size_t count) {
    const sock_fprog whole = {static_cast<unsigned short>(count), program};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    EXPECT_EQ(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &whole), 0);
}

struct FilteredCall {
    const char *name;
    long number;
    bool is_needed;  // by every other probe
};

const FilteredCall kFilteredCalls[] = {{"io_setup", SYS_io_setup, true},
                                       {"io_submit", SYS_io_submit, true},
                                       {"io_cancel", SYS_io_cancel, false},
                                       {"io_getevents", SYS_io_getevents, false},
                                       {"io_pgetevents", SYS_io_pgetevents, false},
                                       {"io_destroy", SYS_io_destroy, false}};

struct FilterAction {
    const char *name;
    uint32_t action;
    const char *said;
    const char *reason;
    const char *cell;
};

const FilterAction kFilterActions[] = {
    {"Eperm", Errno(EPERM), "refused by call: EPERM",
     "a seccomp filter: the kernel's AIO never says so", "call: EPERM"},
    {"Enosys", Errno(ENOSYS), "refused by call: ENOSYS", "a seccomp filter", "call: ENOSYS"},
    {"KillProcess", SECCOMP_RET_KILL_PROCESS, "killed",
     "killed by SIGSYS: a seccomp filter kills who makes this call", "killed: SIGSYS"},
    {"KillThread", SECCOMP_RET_KILL_THREAD, "killed", "killed by SIGSYS", "killed: SIGSYS"},
    {"Trap", SECCOMP_RET_TRAP, "killed", "killed by SIGSYS", "killed: SIGSYS"}};

using Filtered = std::tuple<FilteredCall, FilterAction>;

class FilterTest : public ProbeTest, public testing::WithParamInterface<Filtered> {
  protected:
    Command FilteredProbe(const std::vector<std::string> &options) const {
        const long number = std::get<0>(GetParam()).number;
        const uint32_t action = std::get<1>(GetParam()).action;
        return Probe(options).Before([number, action] { EXPECT_EQ(Filter({number}, action), 0); });
    }
};

TEST_P(FilterTest, IsNamedAsTheCauseAndTheOtherCallsWork) {
    const auto &[call, action] = GetParam();

    const Report report = ReportOf(FilteredProbe({"--json"}));

    EXPECT_EQ(Report::Number(report.Get("process"), "seccomp_mode"), 2);
    EXPECT_THAT(report.CallReason(call.name), StartsWith(action.reason));
    for (const char *name : kCalls) {
        EXPECT_EQ(report.Call(name), std::string(name) == call.name ? action.said : "ok") << name;
    }
    EXPECT_EQ(report.Opcode("pread"), call.is_needed ? "not tried" : "ok");
    EXPECT_EQ(report.Flag("none", "write", "buffered"), call.is_needed ? "not tried" : "ok");
}

TEST_P(FilterTest, IsInTheTable) {
    const auto &[call, action] = GetParam();

    const Ending ending = ExpectProbed(FilteredProbe({}));

    EXPECT_THAT(ending.out, testing::ContainsRegex(std::string("\n  ") + call.name + " +" +
                                                   action.cell + " +"));
    EXPECT_THAT(ending.out, HasSubstr("\n  seccomp                   a filter is installed\n"));
    EXPECT_EQ(ending.err, "");
}

INSTANTIATE_TEST_SUITE_P(Calls, FilterTest,
                         testing::Combine(testing::ValuesIn(kFilteredCalls),
                                          testing::ValuesIn(kFilterActions)),
                         [](const auto &filtered) {
                             std::string name = std::get<0>(filtered.param).name;
                             name.erase(name.find('_'), 1);
                             return name + std::get<1>(filtered.param).name;
                         });

const std::vector<long> kAllNumbers = {SYS_io_setup,     SYS_io_submit,     SYS_io_cancel,
                                       SYS_io_getevents, SYS_io_pgetevents, SYS_io_destroy};

class AllFilteredTest : public ProbeTest, public testing::WithParamInterface<FilterAction> {};

TEST_P(AllFilteredTest, IsAnAnswerForEachCall) {
    Command probe = Probe({"--json"});
    probe.Before([] { EXPECT_EQ(Filter(kAllNumbers, GetParam().action), 0); });

    const Report report = ReportOf(probe);

    for (const char *name : kCalls) {
        EXPECT_EQ(report.Call(name), GetParam().said) << name;
    }
    EXPECT_EQ(Report::Text(report.Get("ring"), "result"), "not tried");
    EXPECT_EQ(Report::Text(report.Find("opcodes", "pread"), "reason"),
              "the calls that it needs do not work");
}

INSTANTIATE_TEST_SUITE_P(Actions, AllFilteredTest, testing::ValuesIn(kFilterActions),
                         [](const auto &action) { return std::string(action.param.name); });

TEST_F(ProbeTest, AProgramWhoseChildrenEndUnseenStillSeesThemKilled) {
    Command probe = Probe({"--json"});
    probe.Before([] {
        signal(SIGCHLD, SIG_IGN);
        EXPECT_EQ(Filter({SYS_io_submit}, SECCOMP_RET_KILL_PROCESS), 0);
    });

    EXPECT_EQ(ReportOf(probe).Call("io_submit"), "killed");
}

TEST_F(ProbeTest, AFilterThatSaysFullIsNotTakenForAFullSystem) {
    Command probe = Probe({"--json"});
    probe.Before([] { EXPECT_EQ(Filter({SYS_io_setup}, Errno(EAGAIN)), 0); });

    const Report report = ReportOf(probe);

    EXPECT_EQ(report.Call("io_setup"), "refused by call: EAGAIN");
    const bool is_full = Report::Number(report.Get("kernel"), "aio_left") == 0;
    EXPECT_THAT(report.CallReason("io_setup"),
                StartsWith(is_full ? "fs.aio-max-nr is reached (" : "a seccomp filter: "));
    EXPECT_EQ(report.Call("io_submit"), "ok");
    EXPECT_THAT(report.CallReason("io_submit"), HasSubstr("no context"));
}

// fs.aio-max-nr may have room for one request and no more.
TEST_F(ProbeTest, RoomForOneRequestIsEnough) {
    Command probe = Probe({"--json"});
    probe.Before([] {
        sock_filter program[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_setup, 0, 3),
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[0])),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 1, 1, 0),
            BPF_STMT(BPF_RET | BPF_K, Errno(EAGAIN)),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
        Install(program, sizeof program / sizeof program[0]);
    });

    EXPECT_EQ(ReportOf(probe).Opcode("pread"), "ok");
}

TEST_F(ProbeTest, AContextThatThereIsNoMoreRoomForIsSaid) {
    Command probe = Probe({"--json"});
    const Listener listener(&probe, {SYS_io_setup},
                            [](int index) { return index == 0 ? 0 : EAGAIN; });

    const Report report = ReportOf(probe);

    EXPECT_EQ(report.Call("io_setup"), "ok");
    EXPECT_EQ(report.Opcode("pread"), "not tried");
    EXPECT_EQ(Report::Text(report.Find("opcodes", "pread"), "errno"), "EAGAIN");
    EXPECT_EQ(Report::Text(report.Find("opcodes", "pread"), "reason"),
              "there is no context or no memory to try it with: Resource temporarily unavailable");
}

// A filter that refuses to submit anything, and lets the call for no request be.
void RefuseRequests() {
    sock_filter program[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                             BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_submit, 0, 3),
                             BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[1])),
                             BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0),
                             BPF_STMT(BPF_RET | BPF_K, Errno(EPERM)),
                             BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    Install(program, sizeof program / sizeof program[0]);
}

TEST_F(ProbeTest, ARightIsAskedForWhereThePriorityNeedsOne) {
    const Report report = ReportOf(Probe({"--json"}).Before(RefuseRequests));

    for (const char *name : {"none", "best-effort", "idle"}) {
        EXPECT_EQ(Report::Text(report.Find("priorities", name), "reason"),
                  "not permitted, or a seccomp filter");
    }
    EXPECT_THAT(Report::Text(report.Find("priorities", "real-time"), "reason"),
                HasSubstr("CAP_SYS_NICE"));
}

TEST_F(ProbeTest, WithoutTheWaitingCallsEventsComeFromTheRing) {
    Command probe = Probe({"--json"});
    probe.Before([] { EXPECT_EQ(Filter({SYS_io_getevents, SYS_io_pgetevents}, Errno(EPERM)), 0); });

    const Report report = ReportOf(probe);

    EXPECT_EQ(report.Opcode("pread"), "ok");
    EXPECT_EQ(report.Opcode("fsync"), "ok");
    EXPECT_EQ(report.Flag("none", "write", "buffered"), "ok");
}

TEST_F(ProbeTest, ARingThatCannotBeLookedForIsDoneWithout) {
    Command probe = Probe({"--json"});
    probe.Before([] { EXPECT_EQ(Filter({SYS_mincore}, Errno(EPERM)), 0); });

    const Report report = ReportOf(probe);

    EXPECT_EQ(Report::Said(report.Get("ring")), "refused by call: EPERM");
    EXPECT_TRUE(json_is_false(report.Get("ring", "is_mapped")));
    EXPECT_EQ(Report::Number(report.Get("ring"), "nr"), -1);
    EXPECT_EQ(report.Opcode("pread"), "ok");
}

TEST_F(ProbeTest, AFilterThatKillsAtTheRingCostsNothingElse) {
    Command probe = Probe({"--json"});
    probe.Before([] { EXPECT_EQ(Filter({SYS_mincore}, SECCOMP_RET_KILL_PROCESS), 0); });

    const Report report = ReportOf(probe);

    EXPECT_EQ(Report::Said(report.Get("ring")), "killed");
    EXPECT_EQ(report.Call("io_destroy"), "ok");
    EXPECT_EQ(report.Opcode("pread"), "ok");
}

TEST_F(ProbeTest, WithoutStatxAlignmentsAreNotReported) {
    Command probe = Probe({"--json"});
    probe.Before([] { EXPECT_EQ(Filter({SYS_statx}, Errno(ENOSYS)), 0); });

    const Report report = ReportOf(probe);

    EXPECT_EQ(Report::Number(report.Get("alignment"), "dio_mem_align"), -1);
    EXPECT_EQ(report.Opcode("pread"), "ok");
}

TEST_F(ProbeTest, AFilterThatKillsAtTheAlignmentCostsNothingElse) {
    Command probe = Probe({"--json"});
    probe.Before([] { EXPECT_EQ(Filter({SYS_statx}, SECCOMP_RET_KILL_PROCESS), 0); });

    const Ending ending = ExpectProbed(probe);

    EXPECT_EQ(ending.err,
              "kaio: probe: " + folder_.path() + ": statx: killed by SIGSYS: a seccomp filter\n");
    EXPECT_EQ(Report(ending.out).Opcode("pwrite"), "ok");
}

TEST_F(ProbeTest, AFilterThatKillsAtTheFilesLeavesTheCalls) {
    Command probe = Probe({"--json"});
    probe.Before([] { EXPECT_EQ(Filter({SYS_fdatasync}, SECCOMP_RET_KILL_PROCESS), 0); });

    const Ending ending = ExpectProbed(probe);

    EXPECT_EQ(ending.err, "kaio: probe: " + folder_.path() +
                              ": fdatasync: killed by SIGSYS: a seccomp filter\n");
    const Report report(ending.out);
    EXPECT_EQ(report.Call("io_submit"), "ok");
    EXPECT_EQ(report.Opcode("pread"), "not tried");
    EXPECT_EQ(Report::Text(report.Find("opcodes", "pread"), "reason"),
              "what opens the files was killed");
    EXPECT_TRUE(json_is_false(json_object_get(report.Get("path", "buffered_read"), "is_open")));
}

TEST_F(ProbeTest, AFilterThatKillsAtTheFirstLookIsSaid) {
    Command probe = Probe({"--json"});
    probe.Before([] { EXPECT_EQ(Filter({SYS_statfs}, SECCOMP_RET_KILL_PROCESS), 0); });

    const Ending ending = probe.Run();

    EXPECT_EQ(ending.exit_status, 1);
    EXPECT_EQ(ending.err,
              "kaio: probe: " + folder_.path() + ": statfs: killed by SIGSYS: a seccomp filter\n");
}

// Where no file without a name can be made, one gets a name and loses it at once.
void RefuseNamelessFiles() {
    sock_filter program[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                             BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 3),
                             BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[2])),
                             BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_TMPFILE & ~O_DIRECTORY, 0, 1),
                             BPF_STMT(BPF_RET | BPF_K, Errno(EOPNOTSUPP)),
                             BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    Install(program, sizeof program / sizeof program[0]);
}

const std::vector<long> kUnlinkNumbers = {
#ifdef SYS_unlink
    SYS_unlink,
#endif
    SYS_unlinkat};

TEST_F(ProbeTest, WithoutNamelessFilesNothingIsLeftEither) {
    const Report report = ReportOf(Probe({"--json"}).Before(RefuseNamelessFiles));

    EXPECT_EQ(report.Flag("none", "write", "buffered"), "ok");
    EXPECT_THAT(folder_.Names(), IsEmpty());
}

TEST_F(ProbeTest, AFileThatCannotBeRemovedIsSaidAndIsTheOnlyOne) {
    const Ending ending = Probe({"--json"})
                              .Before(RefuseNamelessFiles)
                              .Before([] { EXPECT_EQ(Filter(kUnlinkNumbers, Errno(EPERM)), 0); })
                              .Run();

    EXPECT_EQ(ending.exit_status, 1);
    const std::vector<std::string> names = folder_.Names();
    ASSERT_EQ(names.size(), 1u);
    EXPECT_THAT(ending.err,
                EndsWith("/" + names[0] + ": could not be removed: Operation not permitted\n"));
    const Report report(ending.out);
    EXPECT_EQ(report.Call("io_submit"), "ok");
    EXPECT_EQ(report.Opcode("pwrite"), "not tried");
}

// The program's child has made a file, and is about to take its name away.
class NamedFileTest : public ProbeTest {
  protected:
    // Begin starts the probe, and returns when its child is there.
    Running Begin(const std::vector<std::string> &options) {
        Command probe = Probe(options).Before(RefuseNamelessFiles);
        listener_ = std::make_unique<Listener>(&probe, kUnlinkNumbers, [this](int index) {
            if (index == 0) {
                is_reached_.set_value();
                may_go_on_.get_future().wait_for(std::chrono::minutes(1));
            }
            return 0;
        });
        Running running = probe.Start();
        EXPECT_EQ(is_reached_.get_future().wait_for(std::chrono::minutes(1)),
                  std::future_status::ready);
        EXPECT_EQ(folder_.Names().size(), 1u);
        return running;
    }

    void ExpectNothingLeft() {
        may_go_on_.set_value();
        EXPECT_TRUE(WaitFor([this] { return folder_.Names().empty(); }));
    }

  private:
    std::promise<void> is_reached_;
    std::promise<void> may_go_on_;
    std::unique_ptr<Listener> listener_;
};

TEST_F(NamedFileTest, IsTakenAwayThoughTheProgramIsKilled) {
    Running running = Begin({});

    running.Kill(SIGKILL);
    running.Wait();

    ExpectNothingLeft();
}

TEST_F(NamedFileTest, IsTakenAwayThoughTheProgramWaitsNoLonger) {
    Running running = Begin({"--timeout=1"});

    const Ending ending = running.Wait();

    EXPECT_EQ(ending.exit_status, 1);
    EXPECT_THAT(ending.err, EndsWith(": no answer within 1 s\n"));
    ExpectNothingLeft();
}

// The filter leaves the answer to a listener, which is the program itself: nobody ever answers.
void LeaveSubmitUnanswered() {
    const int listener =
        Filter({SYS_io_submit}, SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER);
    EXPECT_GE(listener, 0);
    EXPECT_EQ(fcntl(listener, F_SETFD, 0), 0);
}

TEST_F(ProbeTest, ACallThatDoesNotReturnIsSaidInTime) {
    const Report report = ReportOf(Probe({"--json", "--timeout=1"}).Before(LeaveSubmitUnanswered));

    EXPECT_EQ(report.Call("io_setup"), "ok");
    EXPECT_EQ(report.Call("io_submit"), "failed in call: ");
    EXPECT_EQ(report.CallReason("io_submit"), "the call did not return within 1 s");
    EXPECT_EQ(report.Call("io_destroy"), "not tried");
    EXPECT_EQ(report.CallReason("io_destroy"), "a probe before it had no answer");
    EXPECT_EQ(report.Opcode("pread"), "not tried");
}

// A pipe that the program and its child hold open ends when both are gone.
TEST_F(ProbeTest, AProgramThatIsKilledTakesItsChildWithIt) {
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
    Command probe = Probe({"--timeout=600"});
    probe.Before(LeaveSubmitUnanswered).Before([&ends] { fcntl(ends[1], F_SETFD, 0); });
    Running running = probe.Start();
    close(ends[1]);
    std::this_thread::sleep_for(std::chrono::milliseconds(300));  // in the call by then
    ASSERT_FALSE(running.HasEnded());

    running.Kill(SIGKILL);
    running.Wait();

    pollfd end = {ends[0], POLLIN, 0};
    EXPECT_EQ(poll(&end, 1, 30000), 1) << "the child is still there";
    close(ends[0]);
}

// ---- usage ----

struct BadUsage {
    const char *name;
    std::vector<std::string> arguments;
    const char *message;
};

class ProbeUsageTest : public testing::TestWithParam<BadUsage> {};

TEST_P(ProbeUsageTest, IsNamed) {
    const Ending ending = Command(GetParam().arguments).Run();

    EXPECT_EQ(ending.exit_status, 64);
    EXPECT_EQ(ending.out, "");
    EXPECT_THAT(ending.err, StartsWith(GetParam().message));
    EXPECT_THAT(ending.err, HasSubstr("--help"));
}

const BadUsage kUsages[] = {
    {"UnknownOption", {"probe", "--fast"}, "kaio probe: unrecognized option '--fast'\n"},
    {"TwoPaths", {"probe", "/", "/tmp"}, "kaio probe: /tmp: one PATH, and no more\n"},
    {"NoTime",
     {"probe", "--timeout=0"},
     "kaio probe: --timeout=0: a number from 1 to 3600 is needed\n"},
    {"TooLong", {"probe", "--timeout=3601"}, "kaio probe: --timeout=3601: a number from 1"},
    {"NotATime", {"probe", "--timeout=1s"}, "kaio probe: --timeout=1s: a number from 1"}};

INSTANTIATE_TEST_SUITE_P(Bad, ProbeUsageTest, testing::ValuesIn(kUsages),
                         [](const auto &usage) { return std::string(usage.param.name); });

TEST(ProbeHelpTest, NamesEveryOptionAndTheExitStatus) {
    const Ending all = Command({"--help"}).Run();
    const Ending probe = Command({"probe", "--help"}).Run();

    EXPECT_THAT(all.out, HasSubstr("probe [PATH]"));
    EXPECT_EQ(probe.exit_status, 0);
    for (const char *text : {"--json", "--timeout=SECONDS", "--yes", "Exit status: 0"}) {
        EXPECT_THAT(probe.out, HasSubstr(text));
    }
}

}  // namespace
}  // namespace kaio_test
