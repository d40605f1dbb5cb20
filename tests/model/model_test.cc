// The random model test: the safe API driven with arbitrary sequences, misuse included, against a
// reference model over the simulated kernel. After every step the library's answer, the books of
// each queue, the census and the eventfds are the model's (tests/model/model.h).
//
// Replay: a failure names the seed of its episode; run //tests/model:long_run with --seed and
// --episodes=1, or this test with KAIO_MODEL_SEED and KAIO_MODEL_STEPS in the environment
// (--test_env=KAIO_MODEL_SEED=...). What the seed does not decide is how far a wait of 100 us
// comes.

#include <gtest/gtest.h>
#include <sys/prctl.h>

#include <cstdlib>
#include <string>

#include "tests/model/run.h"

namespace kaio_model {
namespace {

uint64_t FromEnvironment(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text == nullptr || *text == '\0' ? otherwise : strtoull(text, nullptr, 10);
}

// What must have come up, or the run has shown nothing about it. NO_MEMORY never does: nothing here
// makes malloc fail (tests/safe/limit_test.cc). CAN_STALL is the refusal of a request, see below.
struct Expected {
    kaio_code code;
    uint64_t least_count;
};
constexpr Expected kExpected[] = {{KAIO_OK, 10000},          {KAIO_NULL_ARGUMENT, 1000},
                                  {KAIO_STALE, 1000},        {KAIO_FORKED, 1},
                                  {KAIO_WRONG_THREAD, 1000}, {KAIO_REENTERED, 100},
                                  {KAIO_RANGE, 100},         {KAIO_ALIGN, 100},
                                  {KAIO_ACCESS, 100},        {KAIO_UNSUPPORTED, 50},
                                  {KAIO_BUSY, 500},          {KAIO_FULL, 1000},
                                  {KAIO_EMPTY, 1000},        {KAIO_NOTHING_TO_WAIT_FOR, 100},
                                  {KAIO_TIMED_OUT, 100},     {KAIO_AGAIN, 100},
                                  {KAIO_LIMIT, 5},           {KAIO_OS_ERROR, 100}};

const char *const kOutcomes[] = {
    "read full",
    "read short",
    "read end",
    "read would block",
    "read cancelled",
    "read failed",
    "read refused: system error",
    "read refused: can stall",
    "read refused: wrong thread",
    "read refused: reentered",
    "write full",
    "write short",
    "write would block",
    "write cancelled",
    "write failed",
    "write refused: system error",
    "readv full",
    "readv short",
    "readv cancelled",
    "writev full",
    "writev short",
    "writev refused: system error",
    "sync synced",
    "sync preceded by failure",
    "sync cancelled",
    "sync failed",
    "sync refused: system error",
    "poll ready",
    "poll cancelled",
    "poll failed",
    "poll refused: system error",
};

// Calls that few arguments suit: each must have done its work.
const char *const kRareCalls[] = {
    "queue_destroy_all", "queue_wait_masked", "run woken",      "region_take",    "region_close",
    "pool_close",        "view_thaw",         "abandon_shared", "abandon_vector", "retarget_vector",
    "retype_vector",     "vector_rest_start", "rest_start",     "retype",         "retarget"};

TEST(ModelTest, TheLibraryAnswersAsTheModelAfterEveryStep) {
    const uint64_t seed = FromEnvironment("KAIO_MODEL_SEED", 1);
    const uint64_t steps = FromEnvironment("KAIO_MODEL_STEPS", 1000000);
    prctl(PR_SET_TIMERSLACK, 1);
    printf("KAIO_MODEL_SEED=%llu KAIO_MODEL_STEPS=%llu\n", static_cast<unsigned long long>(seed),
           static_cast<unsigned long long>(steps));
    Tally tally;

    RunSeeds(seed, (steps + kEpisodeSteps - 1) / kEpisodeSteps, &tally, nullptr);

    printf("%s", tally.Summary().c_str());
    if (steps < 1000000) {
        return;  // a replay: too few steps to ask what came up
    }
    for (const Expected &expected : kExpected) {
        if (expected.code == KAIO_ALIGN && !tally.knows_alignment) {
            printf("TEST_TMPDIR's file system does not tell what direct I/O needs\n");
            continue;
        }
        EXPECT_GE(tally.Answers(expected.code), expected.least_count)
            << kaio_status_name(Answer(expected.code, KAIO_SUBJECT_NONE));
    }
    for (const char *outcome : kOutcomes) {
        EXPECT_GE(tally.outcomes[outcome], 5u) << outcome;
    }
    for (const char *call : kRareCalls) {
        EXPECT_GE(tally.answers[call][KAIO_OK], 5u) << call;
    }
}

}  // namespace
}  // namespace kaio_model
