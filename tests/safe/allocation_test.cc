// After a queue is open, its hot path asks for no memory.

#include <malloc.h>

#include <atomic>

#include "tests/support/safe_test.h"

namespace {
std::atomic<uint64_t> allocations;
}

extern "C" {
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *bytes, size_t size);
void *__libc_memalign(size_t align, size_t size);

void *malloc(size_t size) {
    ++allocations;
    return __libc_malloc(size);
}
void *calloc(size_t count, size_t size) {
    ++allocations;
    return __libc_calloc(count, size);
}
void *realloc(void *bytes, size_t size) {
    ++allocations;
    return __libc_realloc(bytes, size);
}
int posix_memalign(void **out_bytes, size_t align, size_t size) {
    ++allocations;
    *out_bytes = __libc_memalign(align, size);
    return *out_bytes == nullptr ? ENOMEM : 0;
}
}

namespace kaio_test {
namespace {

class AllocationTest : public QueueTest {};

TEST_F(AllocationTest, TheCounterCounts) {
    const uint64_t before = allocations;
    kaio_buffer *buffer = NewBuffer(512);
    EXPECT_GT(allocations, before);
    kaio_buffer_drop(&buffer);
}

TEST_F(AllocationTest, NothingIsAllocatedBetweenOpenAndClose) {
    TempFile temp(Pattern(4096));
    kaio_file *file = OpenFile(temp.path());
    kaio_buffer *buffers[kDepth];
    for (kaio_buffer *&buffer : buffers) {
        buffer = NewBuffer(512);
    }
    bool is_good = true;
    const uint64_t before = allocations;
    for (int round = 0; round < 1000; ++round) {
        for (kaio_buffer *&buffer : buffers) {
            kaio_ticket ticket;
            is_good &= kaio_status_is_ok(
                kaio_read_start(queue_, file, Range(0, 512), kaio_rw_none(), 0, &buffer, &ticket));
        }
        uint32_t ready = 0;
        is_good &=
            kaio_status_is_ok(kaio_queue_wait(queue_, kDepth, kaio_deadline_never(), &ready));
        for (kaio_buffer *&buffer : buffers) {
            kaio_completion completion;
            is_good &= kaio_status_is_ok(kaio_queue_take(queue_, &completion));
            buffer = completion.buffer;
        }
    }
    EXPECT_EQ(allocations, before);
    EXPECT_TRUE(is_good);
    for (kaio_buffer *&buffer : buffers) {
        kaio_buffer_drop(&buffer);
    }
    kaio_file_drop(&file);
}

}  // namespace
}  // namespace kaio_test
