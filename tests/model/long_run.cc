// A random run of any length, by hand:
//   bazel run -c opt //tests/model:long_run -- --seed=1 --steps=100000000
// Episode n of 2000 steps has the seed `seed` + n; a failure names the seed of its episode, and
//   bazel run //tests/model:long_run -- --seed=S --episodes=1
// repeats it. Progress goes to a terminal on stderr, the summary to stdout.

#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/model/run.h"

namespace {

uint64_t episodes_wanted;
std::chrono::steady_clock::time_point begun;

void ShowProgress(const kaio_model::Tally &tally) {
    static auto shown = begun;
    const auto now = std::chrono::steady_clock::now();
    if (now - shown < std::chrono::milliseconds(500)) {
        return;
    }
    shown = now;
    const double seconds = std::chrono::duration<double>(now - begun).count();
    const double share =
        static_cast<double>(tally.episode_count) / static_cast<double>(episodes_wanted);
    fprintf(stderr, "\r%5.1f %%, %llu steps, %.0f a second, %.0f s to go ", 100 * share,
            static_cast<unsigned long long>(tally.step_count),
            static_cast<double>(tally.step_count) / seconds, seconds / share - seconds);
}

// number parses an option --name=N into `*out`. False: it is another one.
bool Number(const char *argument, const char *name, uint64_t *out) {
    const size_t length = strlen(name);
    if (strncmp(argument, name, length) != 0) {
        return false;
    }
    char *end = nullptr;
    *out = strtoull(argument + length, &end, 10);
    return end != argument + length && *end == '\0';
}

}  // namespace

int main(int argc, char **argv) {
    uint64_t seed = 1;
    uint64_t steps = 1000000;
    uint64_t episodes = 0;
    for (int i = 1; i < argc; ++i) {
        if (!Number(argv[i], "--seed=", &seed) && !Number(argv[i], "--steps=", &steps) &&
            !Number(argv[i], "--episodes=", &episodes)) {
            fprintf(stderr, "usage: %s [--seed=N] [--steps=N | --episodes=N]\n", argv[0]);
            return 2;
        }
    }
    if (episodes == 0) {
        episodes = (steps + kaio_model::kEpisodeSteps - 1) / kaio_model::kEpisodeSteps;
    }
    rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {  // some stay open for ever
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    prctl(PR_SET_TIMERSLACK, 1);  // short waits are short
    episodes_wanted = episodes;
    begun = std::chrono::steady_clock::now();
    kaio_model::Tally tally;
    kaio_model::RunSeeds(seed, episodes, &tally, isatty(2) != 0 ? ShowProgress : nullptr);
    if (isatty(2) != 0) {
        fputs("\n", stderr);
    }
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    printf("seeds %llu to %llu, %.1f s, %s", static_cast<unsigned long long>(seed),
           static_cast<unsigned long long>(seed + episodes - 1), seconds, tally.Summary().c_str());
    return 0;
}
