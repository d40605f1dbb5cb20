// Owners that end in any order, in any state of what they own, also behind a wait that timed out.

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kaio/safe/kaio.h"
#include "kaio/safe/testing.h"
#include "tests/support/safe_test.h"

namespace {

using namespace kaio_test;

constexpr size_t kSizeBytes = 256;

// Queue, file, buffer and request: each kind of owner, all of them in use.
struct Owners {
    kaio_queue *queue = nullptr;
    kaio_file *file = nullptr;
    kaio_buffer *pinned = nullptr;  // a copy: the staged write has it
    kaio_read *idle = nullptr;

    void Drop(int which) {
        switch (which) {
            case 0:
                return kaio_queue_drop(&queue);
            case 1:
                return kaio_file_drop(&file);
            case 2:
                return kaio_buffer_drop(&pinned);
            default:
                return kaio_read_drop(&idle);
        }
    }
};

enum class Stage { kStaged, kInFlight, kFinished };

class DropOrderTest : public SafeTest, public testing::WithParamInterface<Stage> {
  protected:
    void Fill(Owners *owners) {
        kaio_queue_options options = {};
        options.depth = 4;
        ASSERT_OK(kaio_queue_open(&options, &owners->queue));
        owners->file = OpenFile(disk_.path());
        ASSERT_OK(kaio_file_as_fd(owners->file, &fd_));
        kaio_buffer *buffer = NewBuffer(Pattern(kSizeBytes));
        const kaio_range range = Range(0, kSizeBytes);
        ASSERT_OK(kaio_read_new(owners->queue, owners->file, range, kaio_rw_none(), &buffer,
                                &owners->idle));
        buffer = NewBuffer(Pattern(kSizeBytes, 2));
        owners->pinned = buffer;
        kaio_ticket ticket = {};
        kaio_flush_report report = {};
        uint32_t ready = 0;
        ASSERT_OK(kaio_write_start(owners->queue, owners->file, range, kaio_rw_none(), 1, &buffer,
                                   &ticket));
        if (GetParam() != Stage::kStaged) {
            ASSERT_OK(kaio_queue_flush(owners->queue, &report));
        }
        if (GetParam() == Stage::kFinished) {
            ASSERT_OK(kaio_queue_wait(owners->queue, 1, kaio_deadline_never(), &ready));
        }
        EXPECT_EQ(kaio_testing_fault(owners->queue), nullptr);
    }

    TempFile disk_{Pattern(kSizeBytes)};
    int fd_ = -1;
};

TEST_P(DropOrderTest, EveryOrderReleasesEverythingOnce) {
    const kaio_testing_census before = kaio_testing_count();
    int order[] = {0, 1, 2, 3};
    do {
        Owners owners;
        ASSERT_NO_FATAL_FAILURE(Fill(&owners));
        for (const int which : order) {
            owners.Drop(which);
            if (owners.queue != nullptr) {
                EXPECT_EQ(kaio_testing_fault(owners.queue), nullptr);
            }
        }
        const kaio_testing_census after = kaio_testing_count();
        ASSERT_EQ(after.queue_count, before.queue_count);
        ASSERT_EQ(after.file_count, before.file_count);
        ASSERT_EQ(after.buffer_count, before.buffer_count);
        ASSERT_EQ(fcntl(fd_, F_GETFD), -1) << "the descriptor is open still";
        errno = kErrno;
    } while (std::next_permutation(std::begin(order), std::end(order)));
}

std::string StageName(const testing::TestParamInfo<Stage> &param) {
    switch (param.param) {
        case Stage::kStaged:
            return "Staged";
        case Stage::kInFlight:
            return "InFlight";
        case Stage::kFinished:
            return "Finished";
    }
    return "";
}

INSTANTIATE_TEST_SUITE_P(Every, DropOrderTest,
                         testing::Values(Stage::kStaged, Stage::kInFlight, Stage::kFinished),
                         StageName);

// Direct reads take a while: some are in flight when the wait gives up. What malloc(3) hands out
// afterwards is the memory that they had.
TEST_F(SafeTest, NothingWritesToMemoryThatWasDroppedBehindATimeout) {
    constexpr size_t kReadBytes = 128 * 1024;
    constexpr uint32_t kCount = 32;
    TempFile disk(Pattern(kReadBytes));
    int in_flight_rounds = 0;
    for (int round = 0; round < 20 && !HasFailure(); ++round) {
        kaio_queue_options options = {};
        options.depth = kCount;
        kaio_queue *queue = nullptr;
        kaio_file *file = OpenFile(disk.path(), O_RDONLY | O_DIRECT);
        ASSERT_OK(kaio_queue_open(&options, &queue));
        std::vector<kaio_buffer *> aliases;
        for (uint32_t i = 0; i < kCount; ++i) {
            kaio_buffer *buffer = NewBuffer(kReadBytes);
            kaio_ticket ticket = {};
            aliases.push_back(buffer);
            ASSERT_OK(kaio_read_start(queue, file, Range(0, kReadBytes), kaio_rw_none(), i, &buffer,
                                      &ticket));
        }
        uint32_t ready = 0;
        const kaio_status waited = kaio_queue_wait(queue, kCount, kaio_deadline_now(), &ready);
        kaio_queue_counts counts = {};
        ASSERT_OK(kaio_queue_count(queue, &counts));
        EXPECT_EQ(waited.code, counts.in_flight_count > 0 ? KAIO_TIMED_OUT : KAIO_OK)
            << Text(waited);
        in_flight_rounds += counts.in_flight_count > 0;

        for (kaio_buffer *&alias : aliases) {
            kaio_buffer_drop(&alias);
        }
        kaio_file_drop(&file);
        EXPECT_EQ(kaio_testing_fault(queue), nullptr);
        kaio_queue_drop(&queue);

        std::vector<std::unique_ptr<char[]>> canaries;
        for (uint32_t i = 0; i < kCount; ++i) {
            canaries.emplace_back(new char[kReadBytes]);
            memset(canaries.back().get(), 0x5a, kReadBytes);
        }
        usleep(20000);
        const std::string untouched(kReadBytes, 0x5a);
        for (const std::unique_ptr<char[]> &canary : canaries) {
            EXPECT_EQ(memcmp(canary.get(), untouched.data(), kReadBytes), 0);
        }
    }
    RecordProperty("rounds_with_reads_in_flight", in_flight_rounds);
}

}  // namespace
