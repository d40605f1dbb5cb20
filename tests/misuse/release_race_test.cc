// A queue that another thread drops at the worst moment: while its owner is giving its place back.
//
// The moment is a few instructions long. The linker makes it as long as the test needs: each call
// of kaio_table_give_back goes through here (see BUILD).

#include <fcntl.h>

#include <cstdint>
#include <thread>

#include "kaio/safe/kaio.h"
#include "kaio/safe/testing.h"
#include "tests/misuse/every_use.h"
#include "tests/support/safe_test.h"

namespace {

using namespace kaio_test;

kaio_queue *dropped_elsewhere;
int moment_count;

}  // namespace

extern "C" {

void __real_kaio_table_give_back(void *table, void *place, uintptr_t word);
void __wrap_kaio_table_give_back(void *table, void *place, uintptr_t word);

void __wrap_kaio_table_give_back(void *table, void *place, uintptr_t word) {
    if (dropped_elsewhere != nullptr) {
        kaio_queue *alias = dropped_elsewhere;
        dropped_elsewhere = nullptr;
        ++moment_count;
        std::thread([&alias] { kaio_queue_drop(&alias); }).join();
    }
    __real_kaio_table_give_back(table, place, word);
}

}  // extern "C"

namespace {

class ReleaseRaceTest : public SafeTest {
  protected:
    ReleaseRaceTest() {
        moment_count = 0;
        kaio_queue_options options = {};
        options.depth = 4;
        EXPECT_OK(kaio_queue_open(&options, &queue_));
    }

    // Two queues do not get the same place, nor the same slots.
    void ExpectNothingTwice() {
        EXPECT_EQ(moment_count, 1) << "the test did not see the moment";
        EXPECT_EQ(kaio_testing_count().queue_count, 0u);
        kaio_queue_options options = {};
        options.depth = 4;
        kaio_queue *queues[2] = {};
        uintptr_t idle[2] = {};
        kaio_file *file = OpenFile("/dev/null");
        for (int i = 0; i < 2; ++i) {
            ASSERT_OK(kaio_queue_open(&options, &queues[i]));
            kaio_sync *sync = nullptr;
            ASSERT_OK(kaio_sync_new(queues[i], file, KAIO_SYNC_DATA, &sync));
            idle[i] = Bits(sync);
            EXPECT_EQ(kaio_testing_fault(queues[i]), nullptr);
        }
        EXPECT_NE(queues[0], queues[1]);
        EXPECT_NE(idle[0], idle[1]);
        kaio_queue_drop(&queues[0]);
        kaio_queue_drop(&queues[1]);
        EXPECT_OK(kaio_file_close(&file));
    }

    kaio_queue *queue_ = nullptr;
};

TEST_F(ReleaseRaceTest, AQueueDroppedElsewhereWhileItIsClosedEndsOnce) {
    dropped_elsewhere = queue_;

    EXPECT_OK(kaio_queue_close(&queue_));

    ExpectNothingTwice();
}

TEST_F(ReleaseRaceTest, AQueueDroppedElsewhereWhileItIsDestroyedEndsOnce) {
    kaio_destroy_report report = {};
    dropped_elsewhere = queue_;

    EXPECT_OK(kaio_queue_destroy(&queue_, nullptr, nullptr, &report));

    ExpectNothingTwice();
}

}  // namespace
