// The random model test as a libFuzzer target: the bytes decide every action and argument.
//   bazel run --config=fuzz //tests/model:fuzz_model -- -max_total_time=600 CORPUS_FOLDER
// A crash leaves the input behind; give its path instead of a folder to repeat it.

#include <sys/prctl.h>

#include <cstddef>
#include <cstdint>

#include "tests/model/run.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static kaio_model::World *world = new kaio_model::World;  // for all inputs
    static kaio_model::Tally tally;
    prctl(PR_SET_TIMERSLACK, 1);
    kaio_model::Run run(world, &tally, kaio_model::Choices(bytes, size), 0);
    run.Episode(kaio_model::kEpisodeSteps);
    return 0;
}
