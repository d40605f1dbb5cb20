// Bytes that the kernel may touch are forbidden to everybody else: AddressSanitizer says where it
// happens. Builds without it see that nothing else is different.
//
// A death test forks, so each opens its own queue inside its statement.

#include <fcntl.h>

#include <cstdint>
#include <cstring>

#include "kaio/safe/kaio.h"
#include "kaio/safe/testing.h"
#include "tests/support/safe_test.h"
#include "tests/support/sanitizer.h"

namespace {

using namespace kaio_test;

constexpr uint32_t kSizeBytes = 64;

class PoisonTest : public SafeTest {};

// Pushed is a queue with one request of 16 to 48 of a buffer, and the buffer's address.
struct Pushed {
    explicit Pushed(bool is_read) {
        kaio_queue_options options = {};
        options.depth = 2;
        EXPECT_OK(kaio_queue_open(&options, &queue));
        file = OpenFile("/dev/zero");
        kaio_buffer *buffer = NewBuffer(kSizeBytes);
        bytes = kaio_buffer_as_bytes(buffer);
        kaio_ticket ticket = {};
        const kaio_range range = Range(0, 32, 16);
        EXPECT_OK(is_read
                      ? kaio_read_start(queue, file, range, kaio_rw_none(), 0, &buffer, &ticket)
                      : kaio_write_start(queue, file, range, kaio_rw_none(), 0, &buffer, &ticket));
    }
    ~Pushed() {
        kaio_queue_drop(&queue);
        kaio_file_drop(&file);
    }
    Pushed(const Pushed &) = delete;
    Pushed &operator=(const Pushed &) = delete;

    kaio_buffer *Finish() {
        uint32_t ready = 0;
        kaio_completion completion = {};
        EXPECT_OK(kaio_queue_wait(queue, 1, kaio_deadline_never(), &ready));
        EXPECT_OK(kaio_queue_take(queue, &completion));
        EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL);
        return completion.buffer;
    }

    kaio_queue *queue = nullptr;
    kaio_file *file = nullptr;
    volatile uint8_t *bytes = nullptr;
};

TEST_F(PoisonTest, WhatIsAroundTheRangeIsTheCallersAllTheTime) {
    Pushed pushed(true);
    pushed.bytes[15] = 1;
    pushed.bytes[48] = 2;
    kaio_buffer *buffer = pushed.Finish();
    EXPECT_EQ(pushed.bytes[15], 1);
    EXPECT_EQ(pushed.bytes[48], 2);
    kaio_buffer_drop(&buffer);
}

TEST_F(PoisonTest, EverythingIsTheCallersAgainWithTheOutcome) {
    for (const bool is_read : {true, false}) {
        Pushed pushed(is_read);
        kaio_buffer *buffer = pushed.Finish();
        for (uint32_t i = 0; i < kSizeBytes; ++i) {
            pushed.bytes[i] = 1;
        }
        kaio_buffer_drop(&buffer);
    }
}

TEST_F(PoisonTest, AbandonedAndRetargetedRangesAreTheCallersAgain) {
    kaio_queue_options options = {};
    options.depth = 2;
    kaio_queue *queue = nullptr;
    ASSERT_OK(kaio_queue_open(&options, &queue));
    kaio_file *file = OpenFile("/dev/zero");
    kaio_buffer *buffer = NewBuffer(kSizeBytes);
    volatile uint8_t *bytes = kaio_buffer_as_bytes(buffer);
    kaio_read *read = nullptr;
    ASSERT_OK(kaio_read_new(queue, file, Range(0, 32, 0), kaio_rw_none(), &buffer, &read));
    ASSERT_OK(kaio_read_retarget(read, file, Range(0, 16, 48), kaio_rw_none()));
    bytes[8] = 1;
    ASSERT_OK(kaio_read_abandon(&read, &buffer));
    bytes[56] = 1;
    kaio_buffer_drop(&buffer);
    EXPECT_OK(kaio_queue_close(&queue));
    EXPECT_OK(kaio_file_close(&file));
}

#ifdef KAIO_HAS_ASAN

using PoisonDeathTest = PoisonTest;

TEST_F(PoisonDeathTest, ReadingWhatAReadFillsIsReported) {
    EXPECT_DEATH(
        {
            Pushed pushed(true);
            const uint8_t first = pushed.bytes[16];
            _exit(first);
        },
        "use-after-poison");
}

TEST_F(PoisonDeathTest, WritingWhatAWriteReadsIsReported) {
    EXPECT_DEATH(
        {
            Pushed pushed(false);
            pushed.bytes[47] = 1;
            _exit(0);
        },
        "use-after-poison");
}

TEST_F(PoisonDeathTest, ARetargetedRangeIsForbidden) {
    EXPECT_DEATH(
        {
            Pushed other(true);
            kaio_buffer *buffer = NewBuffer(kSizeBytes);
            volatile uint8_t *bytes = kaio_buffer_as_bytes(buffer);
            kaio_read *read = nullptr;
            kaio_ignore(kaio_read_new(other.queue, other.file, Range(0, 8, 0), kaio_rw_none(),
                                      &buffer, &read));
            kaio_ignore(kaio_read_retarget(read, other.file, Range(0, 8, 48), kaio_rw_none()));
            bytes[50] = 1;
            _exit(0);
        },
        "use-after-poison");
}

TEST_F(PoisonDeathTest, ABufferThatIsBackInItsPoolIsForbidden) {
    EXPECT_DEATH(
        {
            kaio_pool_options options = {};
            options.buffer_bytes = 4096;
            options.buffer_count = 2;
            kaio_pool *pool = nullptr;
            kaio_buffer *buffer = nullptr;
            kaio_ignore(kaio_pool_open(&options, &pool));
            kaio_ignore(kaio_pool_take(pool, &buffer));
            volatile uint8_t *bytes = kaio_buffer_as_bytes(buffer);
            bytes[0] = 1;
            kaio_buffer_drop(&buffer);
            bytes[0] = 2;
            _exit(0);
        },
        "use-after-poison");
}

#endif

}  // namespace
