// What an owner is: a handle, and nothing else.

#include <fcntl.h>

#include <type_traits>
#include <utility>

#include "kaio/safe/kaio.hpp"
#include "tests/support/safe_test.h"

namespace kaio_test {
namespace {

template <typename Owner>
class OwnersTest : public SafeTest {};

using Owners =
    testing::Types<kaio::queue, kaio::file, kaio::buffer, kaio::view, kaio::region, kaio::pool,
                   kaio::read, kaio::write, kaio::readv, kaio::writev, kaio::sync, kaio::poll>;
TYPED_TEST_SUITE(OwnersTest, Owners);

TYPED_TEST(OwnersTest, HasTheSizeOfAPointerAndMovesWithoutThrowing) {
    EXPECT_EQ(sizeof(TypeParam), sizeof(void *));
    EXPECT_EQ(alignof(TypeParam), alignof(void *));
    EXPECT_TRUE(std::is_standard_layout<TypeParam>::value);
    EXPECT_FALSE(std::is_polymorphic<TypeParam>::value);
    EXPECT_TRUE(std::is_nothrow_default_constructible<TypeParam>::value);
    EXPECT_TRUE(std::is_nothrow_move_constructible<TypeParam>::value);
    EXPECT_TRUE(std::is_nothrow_move_assignable<TypeParam>::value);
    EXPECT_TRUE(std::is_nothrow_destructible<TypeParam>::value);
    EXPECT_FALSE(std::is_copy_constructible<TypeParam>::value);
    EXPECT_FALSE(std::is_copy_assignable<TypeParam>::value);
    EXPECT_FALSE((std::is_convertible<typename TypeParam::handle_type *, TypeParam>::value))
        << "taking over a handle is said";
    EXPECT_FALSE((std::is_convertible<TypeParam, bool>::value));
}

TYPED_TEST(OwnersTest, HasNoneUntilItIsFilled) {
    TypeParam owner;

    EXPECT_EQ(owner.get(), nullptr);
    EXPECT_FALSE(owner);
    EXPECT_EQ(owner.release(), nullptr);
    owner.reset();
    TypeParam moved(std::move(owner));
    moved = TypeParam();
    EXPECT_FALSE(moved);
}

class BufferOwnerTest : public SafeTest {
  protected:
    static kaio::buffer Make(size_t size_bytes = 64) {
        kaio::buffer buffer;
        EXPECT_OK(kaio::buffer::make(size_bytes, 64, &buffer));
        return buffer;
    }

    static uint32_t Living() {
        return kaio_testing_count().buffer_count;
    }
};

TEST_F(BufferOwnerTest, DropsInTheEnd) {
    {
        const kaio::buffer buffer = Make();

        EXPECT_TRUE(buffer);
        EXPECT_EQ(Living(), 1u);
    }
    EXPECT_EQ(Living(), 0u);
}

TEST_F(BufferOwnerTest, MovesTheHandleAndLeavesNone) {
    kaio::buffer first = Make();
    kaio_buffer *const handle = first.get();

    kaio::buffer second(std::move(first));

    EXPECT_EQ(first.get(), nullptr);  // NOLINT(bugprone-use-after-move)
    EXPECT_EQ(second.get(), handle);
    EXPECT_EQ(second.size(), 64u);
    EXPECT_NE(second.as_bytes(), nullptr);
    EXPECT_EQ(Living(), 1u);
}

TEST_F(BufferOwnerTest, AssigningDropsWhatWasThere) {
    kaio::buffer buffer = Make(64);

    buffer = Make(128);

    EXPECT_EQ(buffer.size(), 128u);
    EXPECT_EQ(Living(), 1u);
}

TEST_F(BufferOwnerTest, AssigningToItselfKeepsTheObject) {
    kaio::buffer buffer = Make();
    kaio::buffer &same = buffer;

    buffer = std::move(same);

    EXPECT_EQ(buffer.size(), 64u);
    EXPECT_EQ(Living(), 1u);
}

TEST_F(BufferOwnerTest, ReleaseGivesTheHandleAway) {
    kaio::buffer buffer = Make();

    kaio_buffer *handle = buffer.release();

    EXPECT_FALSE(buffer);
    EXPECT_EQ(Living(), 1u);
    kaio_buffer_drop(&handle);
}

TEST_F(BufferOwnerTest, ResetDropsAndTakesOver) {
    kaio::buffer buffer = Make(64);

    buffer.reset(Make(128).release());

    EXPECT_EQ(buffer.size(), 128u);
    EXPECT_EQ(Living(), 1u);
    buffer.reset();
    EXPECT_EQ(Living(), 0u);
}

TEST_F(BufferOwnerTest, FillingDropsWhatWasThereAndFailingDoesNot) {
    kaio::buffer buffer = Make(64);

    EXPECT_CODE(KAIO_RANGE, kaio::buffer::make(0, 64, &buffer));
    EXPECT_EQ(buffer.size(), 64u);
    EXPECT_OK(kaio::buffer::make(128, 64, &buffer));

    EXPECT_EQ(buffer.size(), 128u);
    EXPECT_EQ(Living(), 1u);
}

TEST_F(BufferOwnerTest, NoPlaceForTheOwnerIsAnAnswer) {
    EXPECT_CODE(KAIO_NULL_ARGUMENT, kaio::buffer::make(64, 64, nullptr));
    kaio_queue_options options = {};
    options.depth = 1;
    EXPECT_CODE(KAIO_NULL_ARGUMENT, kaio::queue::open(options, nullptr));
    EXPECT_CODE(KAIO_NULL_ARGUMENT, kaio::file::open("/dev/zero", O_RDONLY, 0, nullptr));
}

TEST_F(BufferOwnerTest, AHandleThatIsGoneIsDroppedWithoutHarm) {
    kaio::buffer buffer = Make();
    kaio::buffer alias(buffer.get());

    buffer.reset();

    EXPECT_EQ(alias.as_bytes(), nullptr);
    EXPECT_EQ(alias.size(), 0u);
    EXPECT_CODE(KAIO_STALE, alias.detach());
}

TEST_F(BufferOwnerTest, AnEmptyOwnerAnswersAsNull) {
    kaio::buffer buffer;
    kaio::queue queue;
    kaio::file file;
    kaio::read read;
    kaio_ticket ticket = {};

    EXPECT_EQ(buffer.as_bytes(), nullptr);
    EXPECT_CODE(KAIO_NULL_ARGUMENT, buffer.detach());
    EXPECT_CODE(KAIO_NULL_ARGUMENT, queue.detach());
    EXPECT_CODE(KAIO_NULL_ARGUMENT, file.allow_stall());
    EXPECT_CODE(KAIO_NULL_ARGUMENT, read.abandon(&buffer));
    EXPECT_CODE(KAIO_NULL_ARGUMENT,
                kaio::read::start(queue, file, Range(0, 1), kaio_rw_none(), 0, &buffer, &ticket));
}

// ---- memory of other kinds ----

TEST_F(BufferOwnerTest, ABufferIsFrozenSharedAndThawed) {
    kaio::buffer buffer = Make(64);
    kaio_buffer *const handle = buffer.get();
    kaio::view first;
    kaio::view second;

    ASSERT_OK(buffer.freeze(&first));
    EXPECT_FALSE(buffer);
    ASSERT_OK(first.share(&second));
    EXPECT_EQ(second.size(), 64u);
    EXPECT_EQ(second.as_bytes(), first.as_bytes());
    EXPECT_CODE(KAIO_BUSY, first.thaw(&buffer));
    EXPECT_TRUE(first);
    EXPECT_OK(second.detach());
    second.reset();

    EXPECT_OK(first.thaw(&buffer));

    EXPECT_FALSE(first);
    EXPECT_EQ(buffer.get(), handle);
}

struct Released {
    int count = 0;
    void *bytes = nullptr;
    size_t size_bytes = 0;
    void operator()(void *at, size_t size) {
        ++count;
        bytes = at;
        size_bytes = size;
    }
};

TEST_F(BufferOwnerTest, AdoptedMemoryComesBackToWhatCanBeCalled) {
    alignas(64) uint8_t bytes[128];
    Released released;
    {
        kaio::buffer buffer;
        ASSERT_OK(kaio::buffer::adopt(bytes, sizeof bytes, &released, &buffer));
        EXPECT_EQ(buffer.as_bytes(), bytes);
        EXPECT_EQ(released.count, 0);
    }
    EXPECT_EQ(released.count, 1);
    EXPECT_EQ(released.bytes, bytes);
    EXPECT_EQ(released.size_bytes, sizeof bytes);
    kaio::buffer plain;
    EXPECT_OK(kaio::buffer::adopt(bytes, sizeof bytes, &plain));
    EXPECT_CODE(KAIO_NULL_ARGUMENT, kaio::buffer::adopt(nullptr, 1, &plain));
    EXPECT_EQ(plain.size(), sizeof bytes) << "what fails changes nothing";
}

TEST_F(BufferOwnerTest, FramesOfARegionAreTakenAndGivenBack) {
    alignas(64) uint8_t bytes[256];
    Released released;
    kaio_region_counts counts = {};
    {
        kaio::region region;
        kaio::buffer frame;
        ASSERT_OK(kaio::region::adopt(bytes, 64, 4, &released, &region));
        ASSERT_OK(region.take(2, &frame));
        EXPECT_EQ(frame.as_bytes(), bytes + 128);
        EXPECT_OK(region.count(&counts));
        EXPECT_EQ(counts.out_count, 1u);
        EXPECT_CODE(KAIO_BUSY, region.close());
        EXPECT_TRUE(region);
        frame.reset();
        EXPECT_OK(region.close());
        EXPECT_FALSE(region);
    }
    EXPECT_EQ(released.count, 1);
    EXPECT_EQ(released.bytes, bytes);
    kaio::region plain;
    EXPECT_OK(kaio::region::adopt(bytes, 64, 4, &plain));
}

TEST_F(BufferOwnerTest, ARegionThatEndsBeforeItsFrameIsReleasedByTheFrame) {
    alignas(64) uint8_t bytes[128];
    Released released;
    kaio::buffer frame;
    {
        kaio::region region;
        ASSERT_OK(kaio::region::adopt(bytes, 64, 2, &released, &region));
        ASSERT_OK(region.take(0, &frame));
    }
    EXPECT_EQ(released.count, 0);

    frame.reset();

    EXPECT_EQ(released.count, 1);
}

TEST_F(BufferOwnerTest, APoolLendsBuffers) {
    kaio_pool_options options = {};
    options.buffer_bytes = 4096;
    options.buffer_count = 1;
    kaio_pool_counts counts = {};
    kaio::pool pool;
    kaio::buffer buffer;
    kaio::buffer other;
    ASSERT_OK(kaio::pool::open(options, &pool));

    ASSERT_OK(pool.take(&buffer));

    EXPECT_EQ(buffer.size(), 4096u);
    EXPECT_CODE(KAIO_FULL, pool.take(&other));
    EXPECT_OK(pool.count(&counts));
    EXPECT_EQ(counts.out_count, 1u);
    EXPECT_CODE(KAIO_BUSY, pool.close());
    buffer.reset();
    EXPECT_OK(pool.close());
    EXPECT_FALSE(pool);
}

class FileOwnerTest : public SafeTest {};

TEST_F(FileOwnerTest, ClosesWhatItAdoptedAndNotWhatItBorrowed) {
    const int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    {
        kaio::file borrowed;
        ASSERT_OK(kaio::file::borrow(fd, &borrowed));
    }
    EXPECT_NE(fcntl(fd, F_GETFD), -1);
    {
        kaio::file adopted;
        ASSERT_OK(kaio::file::adopt(fd, &adopted));
        int lent = -1;
        EXPECT_OK(adopted.as_fd(&lent));
        EXPECT_EQ(lent, fd);
    }
    EXPECT_EQ(fcntl(fd, F_GETFD), -1);
    errno = kErrno;
}

TEST_F(FileOwnerTest, CloseConsumesAndTellsTheAlignmentBefore) {
    const TempFile temp("text");
    kaio::file file;
    kaio_alignment alignment = {};
    ASSERT_OK(kaio::file::open(temp.path(), O_RDWR, 0, &file));

    EXPECT_OK(file.alignment(&alignment));
    EXPECT_OK(file.close());

    EXPECT_EQ(alignment.read_bytes, 1u);
    EXPECT_FALSE(file);
}

// ---- completions ----

TEST(CompletionTypeTest, IsTheCompletionOfTheCLayer) {
    EXPECT_EQ(sizeof(kaio::completion), sizeof(kaio_completion));
    EXPECT_EQ(alignof(kaio::completion), alignof(kaio_completion));
    EXPECT_TRUE(std::is_standard_layout<kaio::completion>::value);
    EXPECT_TRUE(std::is_nothrow_default_constructible<kaio::completion>::value);
    EXPECT_TRUE(std::is_nothrow_move_constructible<kaio::completion>::value);
    EXPECT_TRUE(std::is_nothrow_move_assignable<kaio::completion>::value);
    EXPECT_FALSE(std::is_copy_constructible<kaio::completion>::value);
    EXPECT_FALSE(std::is_copy_assignable<kaio::completion>::value);
    EXPECT_FALSE((std::is_convertible<kaio::completion, kaio_completion>::value))
        << "a copy would be a second owner";
}

// A new field does not compile here: kaio::completion and this test have to learn it.
TEST(CompletionTypeTest, HasEveryField) {
    kaio_completion plain = {};
    auto &[operation, transfer, sync, poll, events, met_end, os_error, refusal, range, moved_bytes,
           user, ticket, buffer, view, segments, segment_count] = plain;
    kaio_segment segment = {};
    segments = &segment;
    segment_count = 1;
    operation = KAIO_POLL;
    transfer = KAIO_TRANSFER_SHORT;
    sync = KAIO_SYNC_FAILED;
    poll = KAIO_POLL_READY;
    events.bits = 3;
    met_end = true;
    os_error = 4;
    refusal.code = 5;
    range.size_bytes = 6;
    moved_bytes = 7;
    user = 8;
    ticket.bits = 9;

    const kaio::completion done(plain);

    EXPECT_EQ(done.operation, operation);
    EXPECT_EQ(done.transfer, transfer);
    EXPECT_EQ(done.sync, sync);
    EXPECT_EQ(done.poll, poll);
    EXPECT_EQ(done.events.bits, events.bits);
    EXPECT_EQ(done.met_end, met_end);
    EXPECT_EQ(done.os_error, os_error);
    EXPECT_EQ(done.refusal.code, refusal.code);
    EXPECT_EQ(done.range.size_bytes, range.size_bytes);
    EXPECT_EQ(done.moved_bytes, moved_bytes);
    EXPECT_EQ(done.user, user);
    EXPECT_EQ(done.ticket.bits, ticket.bits);
    EXPECT_EQ(done.get()->buffer, buffer);
    EXPECT_EQ(done.get()->view, view);
    EXPECT_EQ(done.segments, segments);
    EXPECT_EQ(done.segment_count, segment_count);
}

TEST(CompletionTypeTest, ResultsOfTheRunLoopAreThoseOfTheCLayerWithEveryField) {
    EXPECT_EQ(sizeof(kaio::read_result), sizeof(kaio_read_result));
    EXPECT_EQ(sizeof(kaio::write_result), sizeof(kaio_write_result));
    EXPECT_FALSE(std::is_copy_constructible<kaio::read_result>::value);
    EXPECT_FALSE(std::is_copy_constructible<kaio::write_result>::value);
    EXPECT_TRUE(std::is_nothrow_move_constructible<kaio::read_result>::value);
    EXPECT_TRUE(std::is_nothrow_move_constructible<kaio::write_result>::value);
    const kaio_read_result read = {
        KAIO_TRANSFER_SHORT, 1, {2, 0, 0, 0}, Range(3, 4), true, 5, nullptr};
    const kaio_write_result write = {
        KAIO_TRANSFER_SHORT, 1, {2, 0, 0, 0}, Range(3, 4), 5, nullptr, nullptr};

    const kaio::read_result read_copy(read);
    const kaio::write_result write_copy(write);

    EXPECT_EQ(read_copy.outcome, KAIO_TRANSFER_SHORT);
    EXPECT_EQ(write_copy.outcome, KAIO_TRANSFER_SHORT);
    EXPECT_TRUE(read_copy.met_end);
    EXPECT_EQ(read_copy.os_error, 1);
    EXPECT_EQ(write_copy.os_error, 1);
    EXPECT_EQ(read_copy.refusal.code, 2u);
    EXPECT_EQ(write_copy.refusal.code, 2u);
    EXPECT_EQ(read_copy.range.size_bytes, 4u);
    EXPECT_EQ(write_copy.range.size_bytes, 4u);
    EXPECT_EQ(read_copy.moved_bytes, 5u);
    EXPECT_EQ(write_copy.moved_bytes, 5u);
}

TEST(CompletionTypeTest, IsPendingAtFirst) {
    kaio::completion done;

    EXPECT_EQ(done.operation, KAIO_NO_OPERATION);
    EXPECT_EQ(done.transfer, KAIO_TRANSFER_PENDING);
    EXPECT_FALSE(done.move_buffer());
}

class CompletionTest : public BufferOwnerTest {
  protected:
    static kaio_completion Plain(uint64_t user = 0) {
        kaio_completion plain = {};
        plain.user = user;
        plain.buffer = Make().release();
        return plain;
    }
};

TEST_F(CompletionTest, DropsItsBuffer) {
    { const kaio::completion done(Plain()); }

    EXPECT_EQ(Living(), 0u);
}

TEST_F(CompletionTest, GivesItsBufferAwayOnce) {
    kaio::completion done(Plain());

    const kaio::buffer buffer = done.move_buffer();

    EXPECT_TRUE(buffer);
    EXPECT_FALSE(done.move_buffer());
    EXPECT_EQ(Living(), 1u);
}

TEST_F(CompletionTest, MovesWithItsBuffer) {
    kaio::completion first(Plain(1));
    kaio::completion second(std::move(first));
    kaio::completion third(Plain(3));

    third = std::move(second);

    EXPECT_EQ(third.user, 1u);
    EXPECT_TRUE(third.move_buffer());
    EXPECT_FALSE(first.move_buffer());   // NOLINT(bugprone-use-after-move)
    EXPECT_FALSE(second.move_buffer());  // NOLINT(bugprone-use-after-move)
    EXPECT_EQ(Living(), 0u);
}

TEST_F(CompletionTest, AssigningToItselfKeepsTheBuffer) {
    kaio::completion done(Plain());
    kaio::completion &same = done;

    done = std::move(same);

    EXPECT_TRUE(done.move_buffer());
}

TEST_F(CompletionTest, GivesItsViewAwayOrDropsIt) {
    kaio_completion plain = {};
    kaio::buffer buffer = Make();
    kaio::view view;
    kaio::view share;
    ASSERT_OK(buffer.freeze(&view));
    ASSERT_OK(view.share(&share));
    plain.view = share.release();
    kaio::completion done(plain);
    EXPECT_CODE(KAIO_BUSY, view.thaw(&buffer));

    done = kaio::completion();

    EXPECT_OK(view.thaw(&buffer));
    ASSERT_OK(buffer.freeze(&view));
    plain.view = view.release();
    kaio::completion other(plain);
    view = other.move_view();
    EXPECT_TRUE(view);
    EXPECT_FALSE(other.move_view());
    EXPECT_FALSE(other.move_buffer());
}

TEST_F(CompletionTest, ReleaseGivesAllOfItAway) {
    kaio::completion done(Plain(7));

    kaio_completion plain = done.release();

    EXPECT_EQ(plain.user, 7u);
    EXPECT_FALSE(done.move_buffer());
    EXPECT_EQ(Living(), 1u);
    kaio_completion_drop(&plain);
}

}  // namespace
}  // namespace kaio_test
