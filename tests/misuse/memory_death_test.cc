// What ends a program at once: a handle given to free(3), and, under AddressSanitizer, bytes that
// are used behind the drop and owners that are left behind. Each statement opens all that it uses:
// it runs in a child.

#include <stdlib.h>

#include <cstdint>
#include <thread>

#include "kaio/safe/kaio.h"
#include "tests/support/safe_test.h"
#include "tests/support/sanitizer.h"

#ifdef KAIO_HAS_ASAN
#    include <sanitizer/lsan_interface.h>
#endif

namespace {

using namespace kaio_test;

// Hidden hides a value from the optimiser, which would see what is wrong.
template <typename T>
T Hidden(T value) {
    volatile T hidden = value;
    return hidden;
}

void FreeAHandle() {
    free(Hidden(NewBuffer(64, 64)));
}

void WriteThroughAHandle() {
    *reinterpret_cast<volatile char *>(Hidden(NewBuffer(64, 64))) = 1;
}

TEST(MemoryDeathTest, AHandleGivenToFreeEndsTheProgram) {
    EXPECT_DEATH(FreeAHandle(), "");
}

TEST(MemoryDeathTest, AHandleTakenForAnAddressEndsTheProgram) {
    EXPECT_DEATH(WriteThroughAHandle(), "");
}

#ifdef KAIO_HAS_ASAN

void UseBytesBehindTheDrop() {
    kaio_buffer *buffer = NewBuffer(64, 64);
    volatile uint8_t *bytes = kaio_buffer_as_bytes(buffer);
    kaio_buffer_drop(&buffer);
    bytes[0] = 1;
}

void UseBytesBehindTheEnd() {
    kaio_buffer *buffer = NewBuffer(64, 64);
    volatile uint8_t *bytes = kaio_buffer_as_bytes(buffer);
    bytes[Hidden(64)] = 1;
    kaio_buffer_drop(&buffer);
}

void LeaveABuffer() {
    NewBuffer(64, 64);
    __lsan_do_leak_check();
}

void LeaveAQueue() {
    kaio_queue_options options = {};
    options.depth = 4;
    kaio_queue *queue = nullptr;
    EXPECT_OK(kaio_queue_open(&options, &queue));
    __lsan_do_leak_check();
}

void LeaveACompletionHere() {
    kaio_queue_options options = {};
    options.depth = 4;
    kaio_queue *queue = nullptr;
    kaio_buffer *buffer = NewBuffer(64, 64);
    kaio_file *file = OpenFile("/dev/zero");
    kaio_ticket ticket = {};
    uint32_t ready = 0;
    kaio_completion completion = {};
    EXPECT_OK(kaio_queue_open(&options, &queue));
    EXPECT_OK(kaio_read_start(queue, file, Range(0, 64), kaio_rw_none(), 1, &buffer, &ticket));
    EXPECT_OK(kaio_queue_wait(queue, 1, kaio_deadline_never(), &ready));
    EXPECT_OK(kaio_queue_take(queue, &completion));
    kaio_queue_drop(&queue);
    kaio_file_drop(&file);
}

// In a thread of its own, so that nothing of it is left on the stack.
void LeaveACompletion() {
    std::thread(LeaveACompletionHere).join();
    __lsan_do_leak_check();
}

TEST(MemoryDeathTest, BytesUsedBehindTheDropAreReported) {
    EXPECT_DEATH(UseBytesBehindTheDrop(), "heap-use-after-free");
}

TEST(MemoryDeathTest, BytesUsedBehindTheEndAreReported) {
    EXPECT_DEATH(UseBytesBehindTheEnd(), "heap-buffer-overflow");
}

TEST(MemoryDeathTest, ABufferThatIsLeftIsReported) {
    EXPECT_DEATH(LeaveABuffer(), "detected memory leaks(.|\n)*kaio_buffer_new");
}

TEST(MemoryDeathTest, AQueueThatIsLeftIsReported) {
    EXPECT_DEATH(LeaveAQueue(), "detected memory leaks(.|\n)*kaio_queue_open");
}

TEST(MemoryDeathTest, TheBufferOfACompletionThatIsLeftIsReported) {
    EXPECT_DEATH(LeaveACompletion(), "detected memory leaks(.|\n)*kaio_buffer_new");
}

#endif

}  // namespace
