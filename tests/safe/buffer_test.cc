#include "kaio/safe/buffer.h"

#include <string.h>

#include <algorithm>
#include <thread>

#include "tests/support/safe_test.h"

namespace kaio_test {
namespace {

class BufferTest : public SafeTest {};

TEST_F(BufferTest, IsZeroedAlignedAndAsLargeAsAsked) {
    for (size_t align_bytes : {1u, 8u, 512u, 4096u, 1u << 21}) {
        kaio_buffer *buffer = NewBuffer(5000, align_bytes);

        const uint8_t *bytes = kaio_buffer_as_bytes(buffer);

        ASSERT_NE(bytes, nullptr);
        EXPECT_EQ(reinterpret_cast<uintptr_t>(bytes) % align_bytes, 0u);
        EXPECT_EQ(kaio_buffer_size(buffer), 5000u);
        EXPECT_TRUE(std::all_of(bytes, bytes + 5000, [](uint8_t byte) { return byte == 0; }));
        kaio_buffer_drop(&buffer);
    }
}

TEST_F(BufferTest, ImpossibleSizesAreRefusedWithTheLimit) {
    kaio_buffer *buffer = nullptr;
    EXPECT_CODE(KAIO_RANGE, kaio_buffer_new(0, 512, &buffer));
    if (sizeof(size_t) > 4) {
        const kaio_status status = kaio_buffer_new(SIZE_MAX, 512, &buffer);
        EXPECT_CODE(KAIO_RANGE, status);
        EXPECT_EQ(Text(status), "range (size): asked for 4294967295, the limit is 4294967295");
    } else {  // the limit is what a size can be
        EXPECT_CODE(KAIO_NO_MEMORY, kaio_buffer_new(SIZE_MAX, 512, &buffer));
    }
    EXPECT_EQ(buffer, nullptr);
}

TEST_F(BufferTest, AlignmentsThatAreNoPowerOfTwoAreRefused) {
    kaio_buffer *buffer = nullptr;
    for (size_t align_bytes : {size_t{0}, size_t{3}, size_t{513}, size_t{1} << 31}) {
        const kaio_status status = kaio_buffer_new(512, align_bytes, &buffer);
        EXPECT_CODE(KAIO_RANGE, status);
        EXPECT_EQ(status.subject, KAIO_SUBJECT_ALIGNMENT);
    }
    EXPECT_EQ(buffer, nullptr);
}

TEST_F(BufferTest, DropSetsTheHandleToNullAndEndsIt) {
    kaio_buffer *buffer = NewBuffer(512);
    kaio_buffer *alias = buffer;

    kaio_buffer_drop(&buffer);

    EXPECT_EQ(buffer, nullptr);
    EXPECT_EQ(kaio_buffer_as_bytes(alias), nullptr);
    EXPECT_EQ(kaio_buffer_size(alias), 0u);
    kaio_buffer_drop(&alias);
}

TEST_F(BufferTest, DropIgnoresNull) {
    kaio_buffer *none = nullptr;
    kaio_buffer_drop(&none);
    kaio_buffer_drop(nullptr);
}

TEST_F(BufferTest, AScopedBufferIsDropped) {
    {
        KAIO_SCOPED(kaio_buffer) buffer = KAIO_NULL;
        ASSERT_OK(kaio_buffer_new(512, 512, &buffer));
        EXPECT_EQ(kaio_testing_count().buffer_count, 1u);
    }
    EXPECT_EQ(kaio_testing_count().buffer_count, 0u);
}

TEST_F(BufferTest, ManyBuffersHaveHandlesOfTheirOwn) {
    std::vector<kaio_buffer *> buffers;
    for (int i = 0; i < 10000; ++i) {
        buffers.push_back(NewBuffer(16, 16));
        *kaio_buffer_as_bytes(buffers.back()) = static_cast<uint8_t>(i);
    }
    for (size_t i = 0; i < buffers.size(); ++i) {
        EXPECT_EQ(*kaio_buffer_as_bytes(buffers[i]), static_cast<uint8_t>(i));
        kaio_buffer_drop(&buffers[i]);
    }
}

TEST_F(BufferTest, ABufferThatNoQueueHadMayBeDroppedByAnyThread) {
    kaio_buffer *buffer = NewBuffer(512);
    std::thread([&] { kaio_buffer_drop(&buffer); }).join();
    EXPECT_EQ(kaio_testing_count().buffer_count, 0u);
}

TEST_F(BufferTest, ErrnoIsLeftAlone) {
    errno = kErrno;
    kaio_buffer *buffer = nullptr;
    // More memory than there is: the allocator fails, and sets errno for itself.
    for (int i = 0; i < 3; ++i) {
        kaio_status status = kaio_buffer_new(512, 512, &buffer);
        EXPECT_OK(status);
        kaio_buffer_drop(&buffer);
    }
    EXPECT_EQ(errno, kErrno);
}

}  // namespace
}  // namespace kaio_test
