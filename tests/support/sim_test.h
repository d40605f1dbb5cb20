// What tests on the simulated kernel share. Link //safe:sim beside it.

#ifndef KAIO_TESTS_SUPPORT_SIM_TEST_H_
#define KAIO_TESTS_SUPPORT_SIM_TEST_H_

#include <string>

#include "kaio/safe/sim/sim.h"
#include "tests/support/safe_test.h"

namespace kaio_test {

// A SimQueueTest has a file, and a kernel that does not misbehave until a script is played.
class SimQueueTest : public QueueTest {
  protected:
    static constexpr uint32_t kContentBytes = 4096;

    void SetUp() override {
        Play({});
        QueueTest::SetUp();
        file_ = OpenFile(temp_.path());
    }

    void TearDown() override {
        Play({});
        QueueTest::TearDown();
        kaio_file_drop(&file_);
    }

    static void Play(const kaio_sim_script &script) {
        kaio_sim_play(&script);
    }

    const std::string content_ = Pattern(kContentBytes);
    TempFile temp_{content_};
    kaio_file *file_ = nullptr;
};

}  // namespace kaio_test

#endif  // KAIO_TESTS_SUPPORT_SIM_TEST_H_
