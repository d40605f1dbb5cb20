// A frame that another thread drops at the worst moment: between being found and being taken, with
// the region that it was the last of.
//
// The moment is a few instructions long. The linker makes it as long as the test needs: both ways
// to find memory go through here (see BUILD).

#include <fcntl.h>

#include <cstdint>
#include <thread>

#include "kaio/safe/kaio.h"
#include "kaio/safe/testing.h"
#include "tests/misuse/every_use.h"
#include "tests/support/safe_test.h"

namespace {

using namespace kaio_test;

kaio_buffer *dropped_elsewhere;

void DropElsewhere() {
    kaio_buffer *alias = dropped_elsewhere;
    dropped_elsewhere = nullptr;
    if (alias != nullptr) {
        std::thread([&alias] { kaio_buffer_drop(&alias); }).join();
    }
}

}  // namespace

extern "C" {

bool __real_kaio_memory_look(uintptr_t bits, uint32_t thread, bool is_view, kaio_status *why);
bool __wrap_kaio_memory_look(uintptr_t bits, uint32_t thread, bool is_view, kaio_status *why);
bool __real_kaio_memory_find_any_hold(uintptr_t bits, uint32_t thread, bool is_view, void *hold,
                                      kaio_status *why);
bool __wrap_kaio_memory_find_any_hold(uintptr_t bits, uint32_t thread, bool is_view, void *hold,
                                      kaio_status *why);

bool __wrap_kaio_memory_look(uintptr_t bits, uint32_t thread, bool is_view, kaio_status *why) {
    const bool is_found = __real_kaio_memory_look(bits, thread, is_view, why);
    DropElsewhere();
    return is_found;
}

bool __wrap_kaio_memory_find_any_hold(uintptr_t bits, uint32_t thread, bool is_view, void *hold,
                                      kaio_status *why) {
    const bool is_found = __real_kaio_memory_find_any_hold(bits, thread, is_view, hold, why);
    DropElsewhere();
    return is_found;
}

}  // extern "C"

namespace {

class LostRaceTest : public QueueTest {
  protected:
    kaio_queue_options Options() const override {
        kaio_queue_options options = QueueTest::Options();
        options.segment_count = 2;
        return options;
    }

    void SetUp() override {
        QueueTest::SetUp();
        file_ = OpenFile("/dev/zero");
        kaio_region *region = nullptr;
        ASSERT_OK(kaio_region_adopt(memory_, sizeof memory_, 1, CountHook, &hook_count_, &region));
        ASSERT_OK(kaio_region_take(region, 0, &frame_));
        ASSERT_OK(kaio_buffer_detach(frame_));
        kaio_region_drop(&region);
        dropped_elsewhere = frame_;
    }

    void TearDown() override {
        EXPECT_EQ(dropped_elsewhere, nullptr) << "the test did not see the moment";
        EXPECT_EQ(hook_count_, 1);
        EXPECT_EQ(kaio_testing_count().region_count, 0u);
        EXPECT_OK(kaio_queue_close(&queue_));
        EXPECT_OK(kaio_file_close(&file_));
        QueueTest::TearDown();
    }

    static void CountHook(void *count, void *, size_t) {
        ++*static_cast<int *>(count);
    }

    uint8_t memory_[64] = {};
    int hook_count_ = 0;
    kaio_file *file_ = nullptr;
    kaio_buffer *frame_ = nullptr;
};

TEST_F(LostRaceTest, AFreezeAnswersStale) {
    kaio_view *view = nullptr;
    EXPECT_CODE(KAIO_STALE, kaio_buffer_freeze(&frame_, &view));
    EXPECT_EQ(view, nullptr);
}

TEST_F(LostRaceTest, AReadAnswersStale) {
    kaio_read *read = nullptr;
    EXPECT_CODE(KAIO_STALE,
                K(kaio_read_new(queue_, file_, Range(0, 8), kaio_rw_none(), &frame_, &read)));
    EXPECT_EQ(read, nullptr);
    EXPECT_NE(frame_, nullptr);
}

TEST_F(LostRaceTest, AVectoredReadAnswersStaleOrRange) {
    kaio_segment segment = {};
    segment.buffer = frame_;
    segment.size_bytes = 8;
    kaio_readv *readv = nullptr;
    const kaio_status status =
        K(kaio_readv_new(queue_, file_, 0, kaio_rw_none(), &segment, 1, &readv));
    // Whichever look comes first behind the moment.
    EXPECT_TRUE(status.code == KAIO_STALE || status.code == KAIO_RANGE) << Text(status);
    EXPECT_EQ(readv, nullptr);
    EXPECT_EQ(segment.buffer, frame_);
}

}  // namespace
