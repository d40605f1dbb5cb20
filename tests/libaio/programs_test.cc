// fio, qemu-img and qemu-io, unmodified, on our libaio.so.1: on files, and under injected faults.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/libaio/programs.h"
#include "tests/support/command.h"
#include "tests/support/folder.h"

namespace kaio_test {
namespace {

using testing::HasSubstr;

size_t CountIn(const std::string &text, const std::string &word) {
    size_t count = 0;
    for (size_t at = 0; (at = text.find(word, at)) != std::string::npos; ++at) {
        ++count;
    }
    return count;
}

class ProgramsTest : public testing::Test {
  protected:
    const Folder folder_;
    const std::string path_ = folder_ / "file";
};

// ---- fio ----

struct FioCase {
    const char *name;
    std::vector<std::string> options;
};

void PrintTo(const FioCase &value, std::ostream *out) {
    *out << value.name;
}

class FioTest : public ProgramsTest, public testing::WithParamInterface<FioCase> {};

TEST_P(FioTest, WhatItWroteIsThere) {
    for (const char *direct : {"--direct=0", "--direct=1"}) {
        std::vector<std::string> options = GetParam().options;
        options.emplace_back(direct);
        const Ending ending = Program(FioLine(path_, options)).RunOnOurs();
        EXPECT_EQ(ending.exit_status, 0) << direct << ": " << ending.out << ending.err;
        EXPECT_THAT(ending.out, HasSubstr("err= 0"));
        EXPECT_THAT(ending.out, HasSubstr("issued rwts: total="));
    }
}

INSTANTIATE_TEST_SUITE_P(
    , FioTest,
    testing::Values(
        FioCase{"Plain", {}}, FioCase{"DepthOne", {"--iodepth=1"}},
        FioCase{"UserspaceReap", {"--userspace_reap"}},
        FioCase{"Batches", {"--iodepth_batch=8", "--iodepth_batch_complete_min=4"}},
        FioCase{"BatchesThatDoNotWait", {"--iodepth_batch=8", "--iodepth_batch_complete_min=0"}},
        FioCase{"ManyThreads", {"--numjobs=4", "--size=2m", "--offset_increment=2m"}},
        FioCase{"Processes", {"--thread=0", "--numjobs=2", "--size=2m", "--offset_increment=2m"}},
        FioCase{"Syncs", {"--fsync=8", "--iodepth=4"}}),
    [](const auto &kind) { return std::string(kind.param.name); });

// ---- qemu ----

class QemuTest : public ProgramsTest {
  protected:
    void SetUp() override {
        WriteFile(path_, std::string(kMib * 8, '\0'));
    }

    Ending Io(const std::vector<std::string> &commands) const {
        std::vector<std::string> line = {"qemu-io", "-f", "raw", "-n", "-i", "native"};
        for (const std::string &command : commands) {
            line.insert(line.end(), {"-c", command});
        }
        line.push_back(path_);
        return Program(line).RunOnOurs();
    }

    static constexpr size_t kMib = 1024 * 1024;
};

TEST_F(QemuTest, ImgBenchReadsAndWrites) {
    for (const char *way : {"-q", "-w"}) {
        const Ending ending =
            Program({"qemu-img", "bench", "-n", "-i", "native", "-t", "none", "-f", "raw", "-c",
                     "2000", "-d", "32", "-s", "4096", way, path_})
                .RunOnOurs();
        EXPECT_EQ(ending.exit_status, 0) << ending.err;
        EXPECT_THAT(ending.out, HasSubstr("Run completed"));
    }
}

TEST_F(QemuTest, IoReadsTheBytesItWrote) {
    const Ending ending = Io({"aio_write -P 0x3c 0 512k", "aio_write -P 0xc3 2M 64k", "aio_flush",
                              "write -P 0xa5 1M 1M", "read -P 0x3c 0 512k", "read -P 0xc3 2M 64k",
                              "read -P 0xa5 1M 1M", "read -P 0 4M 64k"});
    EXPECT_EQ(ending.exit_status, 0) << ending.out << ending.err;
    const std::string bytes = ReadFile(path_);
    EXPECT_EQ(bytes.substr(0, kMib / 2), std::string(kMib / 2, '\x3c'));
    EXPECT_EQ(bytes.substr(kMib, kMib), std::string(kMib, '\xa5'));
    EXPECT_EQ(bytes.substr(2 * kMib, kMib / 16), std::string(kMib / 16, '\xc3'));
}

TEST_F(QemuTest, IoSeesBytesThatAreNotThePattern) {
    const Ending ending = Io({"read -P 0x5a 0 64k"});
    EXPECT_NE(ending.exit_status, 0);
    EXPECT_THAT(ending.out, HasSubstr("Pattern verification failed"));
}

// ---- faults ----

// `ours` and `theirs` are fio's exit statuses; ours is at least as good.
struct Fault {
    const char *name;
    std::string call;
    std::string rule;
    int ours;
    int theirs;
    const char *message;  // in fio's output, on ours; "" where all is well
};

void PrintTo(const Fault &value, std::ostream *out) {
    *out << value.name;
}

class FaultTest : public ProgramsTest, public testing::WithParamInterface<Fault> {
  protected:
    // The trace tells how often the fault was injected.
    std::vector<std::string> Line(const std::string &trace) const {
        std::vector<std::string> line = {
            "strace", "-f",
            "-o",     trace,
            "-e",     "trace=" + GetParam().call,
            "-e",     "inject=" + GetParam().call + ":" + GetParam().rule};
        const std::vector<std::string> fio = FioLine(path_, {"--iodepth_batch=4", "--size=2m"});
        line.insert(line.end(), fio.begin(), fio.end());
        return line;
    }
    static size_t InjectedCount(const std::string &trace) {
        return CountIn(ReadFile(trace), "(INJECTED)");
    }
};

TEST_P(FaultTest, EndsAsWellAsOnTheSystemsLibrary) {
    const Fault &fault = GetParam();
    const Ending ours = Program(Line(folder_ / "ours")).RunOnOurs();
    EXPECT_EQ(ours.exit_status, fault.ours) << ours.out << ours.err;
    EXPECT_THAT(ours.out + ours.err, HasSubstr(fault.message));

    const Ending theirs = Program(Line(folder_ / "theirs")).RunOnTheSystems();
    EXPECT_EQ(theirs.exit_status, fault.theirs) << theirs.out << theirs.err;

    EXPECT_GT(InjectedCount(folder_ / "theirs"), 0u);
    if (fault.call != "io_getevents") {  // which ours hardly ever calls
        EXPECT_EQ(InjectedCount(folder_ / "ours"), InjectedCount(folder_ / "theirs"));
    }
}

INSTANTIATE_TEST_SUITE_P(
    , FaultTest,
    testing::Values(
        Fault{"EveryThirdSubmitIsAgain", "io_submit", "error=EAGAIN:when=3+3", 0, 0, "err= 0"},
        Fault{"OneSubmitHasNoMemory", "io_submit", "error=ENOMEM:when=5", 0, 0, "err= 0"},
        Fault{"EveryThirdGeteventsIsInterrupted", "io_getevents", "error=EINTR:when=1+3", 0, 0,
              "err= 0"},
        Fault{"SetupHasNoMemory", "io_setup", "error=ENOMEM", 1, 1, "Cannot allocate memory"},
        Fault{"SetupIsAboveTheLimit", "io_setup", "error=EAGAIN", 1, 1,
              "Resource temporarily unavailable"},
        Fault{"SubmitIsForbidden", "io_submit", "error=EPERM", 1, 1, "Operation not permitted"},
        Fault{"SubmitIsNotThere", "io_submit", "error=ENOSYS", 1, 1, "Function not implemented"}),
    [](const auto &kind) { return std::string(kind.param.name); });

// As in containers: the first io_pgetevents of the program has a mask, the others have none.
TEST_F(ProgramsTest, APgeteventsThatIsForbiddenIsNotCalledWithoutAMask) {
    const auto line = [this](const char *trace) {
        return std::vector<std::string>{"strace",
                                        "-f",
                                        "-o",
                                        folder_ / trace,
                                        "-e",
                                        "trace=io_pgetevents",
                                        "-e",
                                        "inject=io_pgetevents:error=EPERM:when=2+",
                                        "tests/libaio/program",
                                        path_};
    };
    const Ending ours = Program(line("ours")).RunOnOurs();
    EXPECT_EQ(ours.exit_status, 0) << ours.out << ours.err;
    const Ending theirs = Program(line("theirs")).RunOnTheSystems();
    EXPECT_EQ(theirs.exit_status, 1) << theirs.err;
    EXPECT_THAT(theirs.out, HasSubstr("no mask: -1"));
}

// Where a child could not be kept from the table, or a ring cannot be looked at, the kernel is
// asked for everything.
TEST_F(ProgramsTest, WhereTheRingIsNotToBeTrustedTheKernelIsAsked) {
    const auto geteventses = [this](const std::string &fault) {
        std::vector<std::string> line = {
            "strace", "-f", "-o", folder_ / "trace", "-e", "trace=io_getevents,madvise,mincore"};
        if (!fault.empty()) {
            line.insert(line.end(), {"-e", "inject=" + fault});
        }
        line.insert(line.end(), {"tests/libaio/program", path_});
        const Ending ending = Program(line).RunOnOurs();
        EXPECT_EQ(ending.exit_status, 0) << ending.out << ending.err;
        const std::string trace = ReadFile(folder_ / "trace");
        EXPECT_EQ(trace.find("(INJECTED)") != std::string::npos, !fault.empty());
        return CountIn(trace, "io_getevents(");
    };
    const size_t usual_count = geteventses("");
    EXPECT_GT(geteventses("madvise:error=EINVAL"), usual_count + 8);
    EXPECT_GT(geteventses("mincore:error=EPERM"), usual_count + 8);
}

}  // namespace
}  // namespace kaio_test
