#include "tests/model/check.h"

#include <cstdio>
#include <cstdlib>

namespace kaio_model {
namespace {

constexpr size_t kLineCount = 48;
std::string lines[kLineCount];
uint64_t line_count;
uint64_t seed_now;
uint64_t step_now;

}  // namespace

void SetPlace(uint64_t seed, uint64_t step) {
    seed_now = seed;
    step_now = step;
}

void Remember(const std::string &line) {
    lines[line_count++ % kLineCount] = std::to_string(step_now) + ": " + line;
}

void Fail(const char *file, int line, const std::string &what) {
    const uint64_t first = line_count > kLineCount ? line_count - kLineCount : 0;
    for (uint64_t i = first; i < line_count; ++i) {
        fprintf(stderr, "  %s\n", lines[i % kLineCount].c_str());
    }
    fprintf(stderr, "%s:%d: the library and the model differ: %s\n", file, line, what.c_str());
    fprintf(stderr, "seed %llu, step %llu; replay with --seed=%llu --episodes=1\n",
            static_cast<unsigned long long>(seed_now), static_cast<unsigned long long>(step_now),
            static_cast<unsigned long long>(seed_now));
    abort();
}

}  // namespace kaio_model
