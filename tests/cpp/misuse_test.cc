// Owners used wrongly, where no compiler looked: nothing is lost, and every call answers.

#include <algorithm>
#include <array>
#include <stdexcept>
#include <thread>
#include <utility>

#include "tests/cpp/cpp_test.h"

namespace kaio_test {
namespace {

// Hides from the optimiser which owner it is: where it sees, the misuse does not compile.
template <typename Owner>
Owner &Opaque(Owner &owner) {
    Owner *hidden = &owner;
    __asm__ volatile("" : "+r"(hidden) : : "memory");
    return *hidden;
}

class CppMisuseTest : public CppTest {};

TEST_F(CppMisuseTest, ASecondPushDoesNothing) {
    kaio::buffer buffer = Make(512);
    kaio::read read = NewRead(&buffer);
    EXPECT_NE(std::move(read).push(1).bits, 0u);

    EXPECT_EQ(std::move(Opaque(read)).push(2).bits, 0u);

    EXPECT_EQ(Counts().staged_count, 1u);
    EXPECT_EQ(WaitAndTake().user, 1u);
    EXPECT_EQ(Counts().free_count, kDepth);
}

TEST_F(CppMisuseTest, APushAfterMoveDoesNothing) {
    kaio::buffer buffer = Make(512);
    kaio::read read = NewRead(&buffer);
    kaio::read other = std::move(read);

    EXPECT_EQ(std::move(Opaque(read)).push(1).bits, 0u);

    EXPECT_EQ(Counts().idle_count, 1u);
    EXPECT_NE(std::move(other).push(2).bits, 0u);
    EXPECT_EQ(WaitAndTake().user, 2u);
}

TEST_F(CppMisuseTest, TwoOwnersOfOneRequestPushItOnce) {
    kaio::buffer buffer = Make(512);
    kaio::read read = NewRead(&buffer);
    kaio::read alias(read.get());
    EXPECT_NE(std::move(read).push(1).bits, 0u);

    EXPECT_CODE(KAIO_STALE, alias.abandon(&buffer));
    EXPECT_EQ(std::move(alias).push(2).bits, 0u);

    EXPECT_EQ(Counts().staged_count, 1u);
    EXPECT_EQ(WaitAndTake().user, 1u);
}

TEST_F(CppMisuseTest, AbandonAfterPushAnswers) {
    kaio::buffer buffer = Make(512);
    kaio::read read = NewRead(&buffer);
    std::move(read).push(1);

    EXPECT_CODE(KAIO_NULL_ARGUMENT, Opaque(read).abandon(&buffer));

    EXPECT_EQ(Counts().staged_count, 1u);
}

// Throws between `make` and `push`, as an allocation of the engine may.
void MakeAndThrow(kaio::queue &queue, kaio::file &file, kaio::buffer buffer) {
    kaio::read read;
    kaio::write write;
    kaio::sync sync;
    kaio::poll poll;
    kaio::buffer second;
    ASSERT_OK(kaio::buffer::make(512, 512, &second));
    ASSERT_OK(kaio::read::make(queue, file, Range(0, 512), kaio_rw_none(), &buffer, &read));
    ASSERT_OK(kaio::write::make(queue, file, Range(0, 512), kaio_rw_none(), &second, &write));
    ASSERT_OK(kaio::sync::make(queue, file, KAIO_SYNC_DATA, &sync));
    ASSERT_OK(kaio::poll::make(queue, file, kaio_poll_readable(), &poll));
    kaio_queue_counts counts = {};
    ASSERT_OK(queue.count(&counts));
    EXPECT_EQ(counts.idle_count, 4u);
    if (counts.idle_count == 4) {
        throw std::runtime_error("between make and push");
    }
    std::move(read).push(1);
}

TEST_F(CppMisuseTest, AnExceptionBetweenMakeAndPushLeavesNothingBehind) {
    EXPECT_THROW(MakeAndThrow(queue_, file_, Make(512)), std::runtime_error);
    errno = kErrno;

    const kaio_queue_counts counts = Counts();
    EXPECT_EQ(counts.free_count, kDepth);
    EXPECT_EQ(kaio_testing_count().buffer_count, 0u);
    EXPECT_OK(file_.detach(queue_)) << "no pin is left";
}

TEST_F(CppMisuseTest, AnExceptionWithTheCompletionInHandReleasesItsBuffer) {
    StartReads(2);
    ASSERT_OK(queue_.wait(2, Soon(), &ready_));

    EXPECT_THROW(
        {
            kaio::completion done;
            EXPECT_OK(queue_.take(&done));
            throw std::runtime_error("before the buffer is moved out");
        },
        std::runtime_error);
    errno = kErrno;

    EXPECT_EQ(kaio_testing_count().buffer_count, 1u);
    EXPECT_EQ(Counts().finished_count, 1u);
}

TEST_F(CppMisuseTest, ARequestDroppedByAnotherThreadComesBackRefused) {
    kaio::buffer buffer = Make(512);
    kaio::read read = NewRead(&buffer);
    std::thread([&] { read.reset(); }).join();
    errno = kErrno;

    kaio::completion done = WaitAndTake();

    EXPECT_EQ(done.transfer, KAIO_TRANSFER_REFUSED);
    EXPECT_EQ(done.refusal.code, KAIO_WRONG_THREAD);
    EXPECT_EQ(done.move_buffer().size(), 512u);
}

// ---- any order of destruction ----

enum Member {
    kQueue,
    kFile,
    kBuffer,
    kView,
    kRegion,
    kFrame,
    kPool,
    kRead,
    kWrite,
    kSync,
    kPoll,
    kDone,
    kMemberCount
};

// A World has one of each owner, with all that they have of each other: idle, staged and finished
// requests, a completion with its buffer.
struct World {
    World() {
        kaio_queue_options options = {};
        options.depth = 8;
        kaio_ticket ticket = {};
        kaio::buffer other;
        uint32_t ready = 0;
        EXPECT_OK(kaio::queue::open(options, &queue));
        EXPECT_OK(kaio::file::open(temp.path(), O_RDWR, 0, &file));
        for (int i = 0; i < 2; ++i) {
            EXPECT_OK(kaio::buffer::make(64, 64, &other));
            EXPECT_OK(
                kaio::read::start(queue, file, Range(0, 64), kaio_rw_none(), 0, &other, &ticket));
        }
        EXPECT_OK(queue.wait(2, kaio_deadline_never(), &ready));
        EXPECT_OK(queue.take(&done));
        EXPECT_OK(kaio::buffer::make(64, 64, &other));
        EXPECT_OK(kaio::read::start(queue, file, Range(0, 64), kaio_rw_none(), 0, &other, &ticket));
        EXPECT_OK(kaio::buffer::make(64, 64, &other));
        EXPECT_OK(kaio::read::make(queue, file, Range(0, 64), kaio_rw_none(), &other, &read));
        EXPECT_OK(kaio::buffer::make(64, 64, &other));
        EXPECT_OK(kaio::write::make(queue, file, Range(0, 64), kaio_rw_none(), &other, &write));
        EXPECT_OK(kaio::sync::make(queue, file, KAIO_SYNC_DATA, &sync));
        EXPECT_OK(kaio::poll::make(queue, file, kaio_poll_readable(), &poll));
        kaio::view share;
        EXPECT_OK(kaio::buffer::make(64, 64, &other));
        EXPECT_OK(other.freeze(&view));
        EXPECT_OK(view.share(&share));
        EXPECT_OK(kaio::write::start_shared(queue, file, Range(0, 64), kaio_rw_none(), 0, &share,
                                            &ticket));
        EXPECT_OK(kaio::region::adopt(bytes, sizeof bytes, 1, &region));
        EXPECT_OK(region.take(0, &frame));
        kaio_pool_options pool_options = {};
        pool_options.buffer_bytes = 64;
        pool_options.buffer_count = 1;
        EXPECT_OK(kaio::pool::open(pool_options, &pool));
        EXPECT_OK(pool.take(&buffer));
    }

    void End(Member member) {
        switch (member) {
            case kQueue:
                return queue.reset();
            case kFile:
                return file.reset();
            case kBuffer:
                return buffer.reset();
            case kView:
                return view.reset();
            case kRegion:
                return region.reset();
            case kFrame:
                return frame.reset();
            case kPool:
                return pool.reset();
            case kRead:
                return read.reset();
            case kWrite:
                return write.reset();
            case kSync:
                return sync.reset();
            case kPoll:
                return poll.reset();
            case kDone:
                done = kaio::completion();
                return;
            case kMemberCount:
                return;
        }
    }

    const TempFile temp{Pattern(512)};
    kaio::queue queue;
    kaio::file file;
    kaio::buffer buffer;  // of the pool
    kaio::view view;
    kaio::region region;
    kaio::buffer frame;
    kaio::pool pool;
    kaio::read read;
    kaio::write write;
    kaio::sync sync;
    kaio::poll poll;
    kaio::completion done;
    alignas(64) uint8_t bytes[64];
};

class OrderTest : public SafeTest {
  protected:
    void ExpectNothingLeft() const {
        const kaio_testing_census census = kaio_testing_count();
        EXPECT_EQ(census.queue_count, 0u);
        EXPECT_EQ(census.file_count, 0u);
        EXPECT_EQ(census.buffer_count, 0u);
        EXPECT_EQ(census.view_count, 0u);
        EXPECT_EQ(census.region_count, 0u);
    }
};

// Every order of two, with the others behind in both directions: who ends before whom is all that
// an owner can notice of another.
TEST_F(OrderTest, OwnersEndInAnyOrder) {
    std::array<Member, kMemberCount> order = {};
    for (size_t i = 0; i < order.size(); ++i) {
        order[i] = static_cast<Member>(i);
    }
    for (int first = 0; first < kMemberCount; ++first) {
        for (int second = 0; second < kMemberCount; ++second) {
            std::sort(order.begin(), order.end());
            if (second < first) {
                std::reverse(order.begin(), order.end());
            }
            std::stable_partition(order.begin(), order.end(),
                                  [=](Member member) { return member == second; });
            std::stable_partition(order.begin(), order.end(),
                                  [=](Member member) { return member == first; });
            {
                World world;
                for (const Member member : order) {
                    world.End(member);
                }
                SCOPED_TRACE(testing::Message() << first << " first, then " << second);
                ExpectNothingLeft();
            }
        }
    }
}

}  // namespace
}  // namespace kaio_test
