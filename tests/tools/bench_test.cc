// `kaio bench`, as its users see it: which peers there are, what is said of them, and pictures. No
// figure is judged here: machines are too different.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <jansson.h>
#include <signal.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/command.h"
#include "tests/support/folder.h"
#include "tests/support/seccomp.h"

namespace kaio_test {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

const char *const kPeers[] = {"libaio",      "libaio again", "raw",          "start+take",
                              "run loop",    "liburing",     "pread/pwrite", "liburing tuned",
                              "thread pool", "POSIX AIO"};

std::string Content(const std::string &path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream content;
    content << file.rdbuf();
    return content.str();
}

using Json = std::unique_ptr<json_t, decltype(&json_decref)>;

class BenchTest : public testing::Test {
  protected:
    Command Bench(std::vector<std::string> arguments) const {
        const std::vector<std::string> first = {"bench", "--quick",  "--rounds=3",  "--size",
                                                "32M",   "--folder", folder_.path()};
        arguments.insert(arguments.begin(), first.begin(), first.end());
        return Command(arguments);
    }

    static Ending ExpectMeasured(const Command &command) {
        Ending ending = command.Run();
        EXPECT_EQ(ending.exit_status, 0) << ending.err << " signal " << ending.signal;
        return ending;
    }

    static void ExpectRefused(const std::vector<std::string> &arguments, int exit_status,
                              const std::string &message) {
        Ending ending = Command(arguments).Run();
        EXPECT_EQ(ending.exit_status, exit_status) << ending.err;
        EXPECT_EQ(ending.out, "");
        EXPECT_THAT(ending.err, StartsWith("kaio bench: " + message));
    }

    Json Measure(const std::vector<std::string> &rows) const {
        std::vector<std::string> arguments = {"--json"};
        arguments.insert(arguments.end(), rows.begin(), rows.end());
        const Ending ending = ExpectMeasured(Bench(arguments));
        return {json_loads(ending.out.c_str(), 0, nullptr), json_decref};
    }

    // MeasureTo writes what --json says to a file.
    std::string MeasureTo(const std::string &name, const std::vector<std::string> &rows) const {
        std::vector<std::string> arguments = {"--json"};
        arguments.insert(arguments.end(), rows.begin(), rows.end());
        const std::string path = folder_.path() + "/" + name;
        std::ofstream(path) << ExpectMeasured(Bench(arguments)).out;
        return path;
    }

    Folder folder_;
};

double At(const json_t *array, size_t index) {
    return json_number_value(json_array_get(array, index));
}

// MedianSpeed is the median, over three rounds, of what `base` took by what `peer` took.
double MedianSpeed(const json_t *base, const json_t *peer) {
    std::vector<double> ratios;
    for (size_t i = 0; i < 3; ++i) {
        ratios.push_back(At(base, i) / At(peer, i));
    }
    std::sort(ratios.begin(), ratios.end());
    return ratios[1];
}

TEST_F(BenchTest, ATableHasEveryPeer) {
    const Ending ending = ExpectMeasured(Bench({"noop-1"}));

    EXPECT_EQ(ending.err, "");
    EXPECT_THAT(ending.out,
                StartsWith("noop-1: reads of /dev/null, 512 B, 1 in flight, processor"));
    for (const char *peer : kPeers) {
        EXPECT_THAT(ending.out, HasSubstr("\n  " + std::string(peer) + " ")) << peer;
    }
}

TEST_F(BenchTest, ANameIsOneRowAndWhatNamesBeginWithIsAllOfThem) {
    const Ending one = ExpectMeasured(Bench({"poll-1"}));
    const Ending both = ExpectMeasured(Bench({"poll"}));
    const Ending several = ExpectMeasured(Bench({"noop-1", "poll-3"}));

    EXPECT_THAT(one.out, AllOf(StartsWith("poll-1: "), Not(HasSubstr("\n\npoll-32: "))));
    EXPECT_THAT(both.out, AllOf(StartsWith("poll-1: "), HasSubstr("\n\npoll-32: ")));
    EXPECT_THAT(several.out, AllOf(StartsWith("noop-1: "), HasSubstr("\n\npoll-32: "),
                                   Not(HasSubstr("noop-128: "))));
}

TEST_F(BenchTest, EveryRowRuns) {
    const Ending list = ExpectMeasured(Command({"bench", "--list"}));
    const std::string device = folder_.path() + "/device";
    std::ofstream(device) << std::string(8 << 20, 'x');

    const Ending ending = ExpectMeasured(Bench({"--device", device}));

    std::istringstream lines(list.out);
    std::string line;
    int count = 0;
    while (std::getline(lines, line)) {
        const std::string name = line.substr(0, line.find(' '));
        EXPECT_THAT("\n" + ending.out, HasSubstr("\n" + name + ": ")) << name;
        ++count;
    }
    EXPECT_GE(count, 30);
    EXPECT_THAT(ending.out, Not(HasSubstr("went wrong")));
}

TEST_F(BenchTest, ASpeedIsTheMedianOfRatiosWithinARound) {
    const Json report = Measure({"noop-4"});

    const json_t *row = json_array_get(json_object_get(report.get(), "rows"), 0);
    ASSERT_STREQ(json_string_value(json_object_get(row, "row")), "noop-4");
    const json_t *attempt = json_array_get(json_object_get(row, "attempts"), 0);
    const json_t *peers = json_object_get(attempt, "peers");
    ASSERT_EQ(json_array_size(peers), std::size(kPeers));
    const json_t *base = json_object_get(json_array_get(peers, 0), "cpu_ns");
    size_t i;
    const json_t *peer;
    json_array_foreach(peers, i, peer) {
        if (json_object_get(peer, "cannot") != nullptr) {
            continue;
        }
        const json_t *times = json_object_get(peer, "cpu_ns");
        ASSERT_EQ(json_array_size(times), 3u);
        EXPECT_GT(At(times, 0), 0);
        EXPECT_NEAR(At(json_object_get(peer, "speed"), 1), MedianSpeed(base, times), 1e-4) << i;
    }
    const double control = json_number_value(json_object_get(attempt, "control"));
    EXPECT_NEAR(control, At(json_object_get(json_array_get(peers, 1), "speed"), 1), 1e-9);
    const double margin = json_number_value(json_object_get(row, "margin"));
    EXPECT_EQ(json_is_true(json_object_get(attempt, "counts")),
              control >= 1 - margin && control <= 1 + margin);
}

TEST_F(BenchTest, ARowOfADiskHasLatencies) {
    const std::string histograms = folder_.path() + "/histograms";
    std::filesystem::create_directory(histograms);

    const Ending ending = ExpectMeasured(Bench({"--json", "--histograms", histograms, "read-1"}));

    EXPECT_THAT(ending.out, AllOf(HasSubstr("\"p50_us\""), HasSubstr("\"p999_us\"")));
    const std::string content = Content(histograms + "/read-1.pread_pwrite.hgrm");
    EXPECT_THAT(content, StartsWith("       Value     Percentile TotalCount 1/(1-Percentile)\n\n"));
    EXPECT_THAT(content, HasSubstr(" 1.000000000000 "));
    EXPECT_THAT(content, HasSubstr("\n#[Mean    = "));
}

TEST_F(BenchTest, APeerThatIsNotAllowedIsSaidToBeSo) {
    const Ending ending = ExpectMeasured(
        Bench({"noop-1"}).Before([] { (void)Filter({SYS_io_uring_setup}, Errno(EPERM)); }));

    EXPECT_THAT(ending.out, HasSubstr("cannot: io_uring_setup: Operation not permitted\n"));
    EXPECT_THAT(ending.out, HasSubstr("\n  run loop "));
}

TEST_F(BenchTest, WithoutKernelAioTheFirstPeerIsMissingAndThatIsAnError) {
    const Ending ending =
        Bench({"noop-1"}).Before([] { (void)Filter({SYS_io_setup}, Errno(ENOSYS)); }).Run();

    EXPECT_EQ(ending.exit_status, 1);
    EXPECT_EQ(ending.err, "kaio: bench: noop-1: libaio: io_setup: Function not implemented\n");
}

TEST_F(BenchTest, AnOperationThatGoesWrongIsAnError) {
    const Ending ending =
        Bench({"sync-1"}).Before([] { (void)Filter({SYS_fdatasync}, Errno(EIO)); }).Run();

    EXPECT_EQ(ending.exit_status, 1);
    EXPECT_THAT(ending.err, HasSubstr(" ended with -5, not 0\n"));
    EXPECT_THAT(ending.err, EndsWith("sync-1, pread/pwrite: it failed\n"));
}

TEST_F(BenchTest, ARowWhoseControlIsOffIsMeasuredAnew) {
    const Ending ending = ExpectMeasured(Command(
        {"bench", "--json", "--rounds=3", "--size=32M", "--folder", folder_.path(), "poll-1"}));

    const Json report(json_loads(ending.out.c_str(), 0, nullptr), json_decref);
    const json_t *row = json_array_get(json_object_get(report.get(), "rows"), 0);
    const json_t *attempts = json_object_get(row, "attempts");
    const size_t count = json_array_size(attempts);
    ASSERT_GE(count, 1u);
    ASSERT_LE(count, 4u);
    size_t i;
    const json_t *attempt;
    json_array_foreach(attempts, i, attempt) {
        const bool counts = json_is_true(json_object_get(attempt, "counts"));
        EXPECT_TRUE(i + 1 == count ? counts || count == 4 : !counts) << i;
    }
}

TEST_F(BenchTest, ASignalEndsItAndNothingIsLeftBehind) {
    Running bench =
        Command({"bench", "--rounds=201", "--size=32M", "--folder", folder_.path(), "files-128"})
            .Start();
    while (std::filesystem::is_empty(folder_.path()) && !bench.HasEnded()) {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }

    bench.Kill(SIGINT);
    const Ending ending = bench.Wait();

    EXPECT_EQ(ending.exit_status, 1);
    EXPECT_THAT(ending.err, EndsWith("kaio: bench: stopped by a signal\n"));
    EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

TEST_F(BenchTest, ProgressIsShownOnATerminal) {
    const Ending ending = ExpectMeasured(Bench({"noop-1"}).OnTerminal());

    EXPECT_THAT(ending.err, HasSubstr("noop-1: round "));
}

TEST_F(BenchTest, NothingIsLeftBehind) {
    ExpectMeasured(Bench({"cached512-1"}));

    EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

// ---- what is refused ----

TEST_F(BenchTest, ARowThatIsNoneIsNamed) {
    const Ending ending = Bench({"nop"}).Run();

    EXPECT_EQ(ending.exit_status, 1);
    EXPECT_EQ(ending.err, "kaio: bench: nop: no such row without --device; --list lists them\n");
}

TEST_F(BenchTest, AFolderThatIsNotThereIsNamed) {
    const Ending ending = Command({"bench", "--folder", "/nowhere", "noop-1"}).Run();

    EXPECT_EQ(ending.exit_status, 1);
    EXPECT_THAT(ending.err, HasSubstr("/nowhere"));
}

TEST_F(BenchTest, NumbersOutsideTheirLimitsAreNamedWithThem) {
    ExpectRefused({"bench", "--rounds=2"}, 64, "--rounds=2: a number from 3 to 201 is needed\n");
    ExpectRefused({"bench", "--size=5M"}, 64,
                  "--size=5M: a multiple of 32M up to 1024G is needed\n");
    ExpectRefused({"bench", "plot", "x"}, 64, "plot: FILE.json and PICTURE are needed\n");
}

// ---- pictures ----

TEST_F(BenchTest, SpeedsAreDrawn) {
    const std::string report = MeasureTo("r.json", {"noop-1", "noop-4"});
    const std::string picture = folder_.path() + "/speed.svg";

    ExpectMeasured(Command({"bench", "plot", report, picture}));

    EXPECT_THAT(Content(picture), AllOf(HasSubstr("<svg"), HasSubstr("noop-4"),
                                        HasSubstr("run loop"), Not(HasSubstr("libaio again"))));
}

TEST_F(BenchTest, LatenciesAreDrawn) {
    const std::string report = MeasureTo("r.json", {"read-1"});
    const std::string picture = folder_.path() + "/latency.png";

    ExpectMeasured(Command({"bench", "plot", "--latencies", report, picture, "read-1"}));

    EXPECT_THAT(Content(picture), StartsWith("\x89PNG"));
}

TEST_F(BenchTest, APictureOfNothingIsRefused) {
    const std::string report = MeasureTo("r.json", {"noop-1"});
    const std::string picture = folder_.path() + "/p.svg";
    const std::string broken = folder_.path() + "/broken.json";
    std::ofstream(broken) << "{";

    EXPECT_THAT(Command({"bench", "plot", report, picture, "read"}).Run().err,
                EndsWith("r.json: no such row in it\n"));
    EXPECT_THAT(Command({"bench", "plot", report, folder_.path() + "/p.gif"}).Run().err,
                EndsWith("p.gif: the name must end in .svg or .png\n"));
    EXPECT_THAT(Command({"bench", "plot", broken, picture}).Run().err,
                HasSubstr("broken.json, line 1: "));
    EXPECT_FALSE(std::filesystem::exists(picture));
}

}  // namespace
}  // namespace kaio_test
