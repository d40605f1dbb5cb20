#include "kaio/raw/aio_ring.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "kaio/raw/aio_prep.h"
#include "tests/raw/kernel_test.h"

namespace kaio_test {
namespace {

// A page that looks like the kernel's ring, for what the kernel never shows.
class FakeRing {
  public:
    explicit FakeRing(uint32_t nr) : bytes_(static_cast<size_t>(sysconf(_SC_PAGESIZE))) {
        page_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        kaio_raw_ring header = {};
        header.nr = nr;
        header.magic = KAIO_RAW_RING_MAGIC;
        header.compat_features = KAIO_RAW_RING_COMPAT_FEATURES;
        header.incompat_features = KAIO_RAW_RING_INCOMPAT_FEATURES;
        header.header_length = KAIO_RAW_RING_HEADER_BYTES;
        *ring() = header;
    }

    ~FakeRing() {
        munmap(page_, bytes_);
    }

    FakeRing(const FakeRing &) = delete;
    FakeRing &operator=(const FakeRing &) = delete;

    kaio_raw_ring *ring() {
        return static_cast<kaio_raw_ring *>(page_);
    }

    // The consumer of a ring of `nr` slots, whatever the ring says.
    kaio_raw_ring_consumer consumer(uint32_t nr) {
        return {ring(), nr};
    }

    kaio_raw_event *event(uint32_t slot) {
        return static_cast<kaio_raw_event *>(page_) + 1 + slot;
    }

    kaio_raw_context ctx() {
        return reinterpret_cast<uintptr_t>(page_);
    }

  private:
    size_t bytes_;
    void *page_;
};

TEST(AioRingTest, ValidateTakesAWellFormedRing) {
    FakeRing fake(127);
    kaio_raw_ring_consumer consumer = {};

    ASSERT_EQ(kaio_raw_ring_validate(fake.ctx(), &consumer), 0);
    EXPECT_EQ(consumer.ring, fake.ring());
    EXPECT_EQ(consumer.nr, 127u);
}

struct BadHeader {
    const char *name;
    uint32_t kaio_raw_ring::*field;
    uint32_t value;
};

class AioRingBadHeaderTest : public testing::TestWithParam<BadHeader> {};

TEST_P(AioRingBadHeaderTest, IsNoRing) {
    FakeRing fake(127);
    kaio_raw_ring_consumer consumer = {nullptr, 0xdead};

    fake.ring()->*GetParam().field = GetParam().value;

    EXPECT_EQ(kaio_raw_ring_validate(fake.ctx(), &consumer), -EPROTO);
    EXPECT_EQ(consumer.ring, nullptr);
    EXPECT_EQ(consumer.nr, 0xdeadu);
}

const BadHeader kBadHeaders[] = {
    {"MagicZero", &kaio_raw_ring::magic, 0},
    {"MagicSwapped", &kaio_raw_ring::magic, 0xa1100aa1},
    {"IncompatibleFeature", &kaio_raw_ring::incompat_features, 1},
    {"HeaderShorter", &kaio_raw_ring::header_length, 28},
    {"HeaderLonger", &kaio_raw_ring::header_length, 64},
    {"NoSlot", &kaio_raw_ring::nr, 0},
    {"OneSlot", &kaio_raw_ring::nr, 1},
};

std::string BadHeaderName(const testing::TestParamInfo<BadHeader> &info) {
    return info.param.name;
}

INSTANTIATE_TEST_SUITE_P(Every, AioRingBadHeaderTest, testing::ValuesIn(kBadHeaders),
                         BadHeaderName);

TEST(AioRingTest, TwoSlotsAreTheLeast) {
    FakeRing fake(2);
    kaio_raw_ring_consumer consumer = {};

    EXPECT_EQ(kaio_raw_ring_validate(fake.ctx(), &consumer), 0);

    EXPECT_EQ(consumer.nr, 2u);
}

TEST(AioRingTest, ValidateIgnoresUnknownCompatibleFeatures) {
    FakeRing fake(127);
    kaio_raw_ring_consumer consumer;

    fake.ring()->compat_features = 0xffff;

    EXPECT_EQ(kaio_raw_ring_validate(fake.ctx(), &consumer), 0);
}

TEST(AioRingTest, ValidateRefusesWhereNothingIsMapped) {
    auto bytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    void *page = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_EQ(munmap(page, bytes), 0);
    kaio_raw_ring_consumer consumer = {nullptr, 0xdead};

    EXPECT_EQ(kaio_raw_ring_validate(0, &consumer), -ENOMEM);
    EXPECT_EQ(kaio_raw_ring_validate(1, &consumer), -EINVAL);
    EXPECT_EQ(kaio_raw_ring_validate(reinterpret_cast<uintptr_t>(page), &consumer), -ENOMEM);
    EXPECT_LT(kaio_raw_ring_validate(UINTPTR_MAX, &consumer), 0);
    EXPECT_LT(kaio_raw_ring_validate(UINTPTR_MAX - bytes + 1, &consumer), 0);
    EXPECT_EQ(consumer.ring, nullptr);
    EXPECT_EQ(consumer.nr, 0xdeadu);
}

TEST(AioRingTest, ValidateRefusesTheInsideOfAPage) {
    FakeRing fake(127);
    kaio_raw_ring_consumer consumer;
    std::memcpy(fake.event(0), fake.ring(), sizeof(kaio_raw_ring));

    EXPECT_EQ(kaio_raw_ring_validate(fake.ctx() + sizeof(kaio_raw_ring), &consumer), -EINVAL);
}

// As in an emulated kernel whose contexts are addresses of something else.
TEST(AioRingTest, ValidateRefusesMemoryThatIsNoRing) {
    Page page(PROT_READ | PROT_WRITE);
    kaio_raw_ring_consumer consumer;

    EXPECT_EQ(kaio_raw_ring_validate(reinterpret_cast<uintptr_t>(page.As<char>()), &consumer),
              -EPROTO);
}

TEST(AioRingTest, ValidateLeavesErrnoAlone) {
    kaio_raw_ring_consumer consumer;
    errno = EXDEV;

    EXPECT_NE(kaio_raw_ring_validate(0, &consumer), 0);
    EXPECT_EQ(errno, EXDEV);
}

TEST(AioRingTest, DontforkSaysWhatTheKernelSays) {
    FakeRing fake(127);
    kaio_raw_ring_consumer whole = fake.consumer(127);
    kaio_raw_ring_consumer nowhere = {reinterpret_cast<kaio_raw_ring *>(fake.ctx() + 32), 127};

    EXPECT_EQ(kaio_raw_ring_dontfork(&whole), 0);
    EXPECT_EQ(kaio_raw_ring_dontfork(&nowhere), -EINVAL);
}

TEST(AioRingTest, PeekGivesTheEventsFromHeadToTail) {
    FakeRing fake(127);
    kaio_raw_ring_consumer consumer = fake.consumer(127);
    const kaio_raw_event *events = nullptr;

    EXPECT_EQ(kaio_raw_ring_peek(&consumer, &events), 0u);
    fake.ring()->head = 5;
    fake.ring()->tail = 12;
    EXPECT_EQ(kaio_raw_ring_peek(&consumer, &events), 7u);
    EXPECT_EQ(events, fake.event(5));
    EXPECT_EQ(kaio_raw_ring_ready(&consumer), 7u);
}

TEST(AioRingTest, PeekStopsAtTheEndAndGoesOnAtTheStart) {
    FakeRing fake(127);
    kaio_raw_ring_consumer consumer = fake.consumer(127);
    const kaio_raw_event *events = nullptr;
    fake.ring()->head = 124;
    fake.ring()->tail = 2;

    EXPECT_EQ(kaio_raw_ring_ready(&consumer), 5u);
    EXPECT_EQ(kaio_raw_ring_peek(&consumer, &events), 3u);
    EXPECT_EQ(events, fake.event(124));
    kaio_raw_ring_consume(&consumer, 3);
    EXPECT_EQ(kaio_raw_ring_ready(&consumer), 2u);
    EXPECT_EQ(kaio_raw_ring_peek(&consumer, &events), 2u);
    EXPECT_EQ(events, fake.event(0));
    kaio_raw_ring_consume(&consumer, 2);
    EXPECT_EQ(kaio_raw_ring_ready(&consumer), 0u);
    EXPECT_EQ(kaio_raw_ring_peek(&consumer, &events), 0u);
}

TEST(AioRingTest, AFullRingHoldsOneEventLessThanItsSlots) {
    FakeRing fake(127);
    kaio_raw_ring_consumer consumer = fake.consumer(127);
    const kaio_raw_event *events = nullptr;
    fake.ring()->head = 126;
    fake.ring()->tail = 125;

    EXPECT_EQ(kaio_raw_ring_ready(&consumer), 126u);
    EXPECT_EQ(kaio_raw_ring_peek(&consumer, &events), 1u);
    EXPECT_EQ(events, fake.event(126));
}

TEST(AioRingTest, HeadOrTailOutsideTheRingIsCorrupt) {
    FakeRing fake(127);
    kaio_raw_ring_consumer consumer = fake.consumer(127);

    for (uint32_t outside : {127u, 128u, 0x80000000u, UINT32_MAX}) {
        const kaio_raw_event *events = nullptr;
        fake.ring()->head = outside;
        fake.ring()->tail = 3;
        EXPECT_EQ(kaio_raw_ring_peek(&consumer, &events), KAIO_RAW_RING_CORRUPT) << outside;
        EXPECT_EQ(kaio_raw_ring_ready(&consumer), KAIO_RAW_RING_CORRUPT) << outside;
        fake.ring()->head = 3;
        fake.ring()->tail = outside;
        EXPECT_EQ(kaio_raw_ring_peek(&consumer, &events), KAIO_RAW_RING_CORRUPT) << outside;
        EXPECT_EQ(kaio_raw_ring_ready(&consumer), KAIO_RAW_RING_CORRUPT) << outside;
        fake.ring()->head = outside;
        EXPECT_EQ(kaio_raw_ring_peek(&consumer, &events), KAIO_RAW_RING_CORRUPT) << outside;
        EXPECT_EQ(kaio_raw_ring_ready(&consumer), KAIO_RAW_RING_CORRUPT) << outside;
        EXPECT_EQ(events, nullptr);
    }
}

TEST(AioRingTest, PeekBelievesTheConsumersSizeNotTheRings) {
    FakeRing fake(127);
    kaio_raw_ring_consumer consumer = fake.consumer(127);
    const kaio_raw_event *events = nullptr;

    fake.ring()->nr = UINT32_MAX;
    fake.ring()->tail = 127;

    EXPECT_EQ(kaio_raw_ring_peek(&consumer, &events), KAIO_RAW_RING_CORRUPT);
}

TEST(AioRingTest, FirstEventIsBehindTheHeader) {
    FakeRing fake(127);
    kaio_raw_ring_consumer consumer = fake.consumer(127);
    const kaio_raw_event *events = nullptr;
    fake.ring()->tail = 1;

    ASSERT_EQ(kaio_raw_ring_peek(&consumer, &events), 1u);

    EXPECT_EQ(reinterpret_cast<uintptr_t>(events), fake.ctx() + fake.ring()->header_length);
}

TEST(AioRingTest, ConsumeMovesHeadWrapsAndLeavesTailAlone) {
    FakeRing fake(127);
    kaio_raw_ring_consumer consumer = fake.consumer(127);

    kaio_raw_ring_consume(&consumer, 5);
    EXPECT_EQ(fake.ring()->head, 5u);
    kaio_raw_ring_consume(&consumer, 0);
    EXPECT_EQ(fake.ring()->head, 5u);
    kaio_raw_ring_consume(&consumer, 122);
    EXPECT_EQ(fake.ring()->head, 0u);
    kaio_raw_ring_consume(&consumer, 126);
    EXPECT_EQ(fake.ring()->head, 126u);
    EXPECT_EQ(fake.ring()->tail, 0u);
}

// A thread in the kernel's place: what it stored before tail is whole when tail is seen.
TEST(AioRingTest, ReaderSeesWholeEventsFromAnotherThread) {
    constexpr uint32_t kSlots = 5;
    constexpr uint64_t kEvents = 20000;
    FakeRing fake(kSlots);
    std::thread writer([&fake] {
        uint32_t tail = 0;
        for (uint64_t i = 0; i < kEvents; ++i) {
            uint32_t next = tail + 1 == kSlots ? 0 : tail + 1;
            while (__atomic_load_n(&fake.ring()->head, __ATOMIC_ACQUIRE) == next) {
                std::this_thread::yield();
            }
            *fake.event(tail) = {i, ~i, static_cast<int64_t>(i), 0};
            tail = next;
            __atomic_store_n(&fake.ring()->tail, tail, __ATOMIC_RELEASE);
        }
    });

    kaio_raw_ring_consumer consumer = fake.consumer(kSlots);
    uint64_t seen = 0;
    uint64_t wrong = 0;
    while (seen < kEvents) {
        const kaio_raw_event *events = nullptr;
        uint32_t count = kaio_raw_ring_peek(&consumer, &events);
        for (uint32_t k = 0; k < count; ++k) {
            kaio_raw_event event = events[k];
            wrong += event.data != seen || event.obj != ~seen;
            ++seen;
        }
        if (count == 0) {
            std::this_thread::yield();
        } else {
            kaio_raw_ring_consume(&consumer, count);
        }
    }
    writer.join();

    EXPECT_EQ(wrong, 0u);
}

// Rings of the real kernel, filled by reads of /dev/null: each ends inside kaio_raw_submit.
class AioRingKernelTest : public testing::Test {
  protected:
    void SetUp() override {
        null_ = open("/dev/null", O_RDONLY | O_CLOEXEC);
        ASSERT_GE(null_, 0);
    }

    void TearDown() override {
        if (ctx_ != 0) {
            EXPECT_EQ(kaio_raw_destroy(ctx_), 0);
        }
        close(null_);
    }

    void Open(unsigned nr_events) {
        ASSERT_EQ(kaio_raw_setup(nr_events, &ctx_), 0);
        if (kaio_raw_ring_validate(ctx_, &consumer_) != 0) {
            GTEST_SKIP() << "this kernel maps no ring";
        }
    }

    // Submits reads tagged [first, first + count); returns how many were taken.
    long Submit(uint64_t first, size_t count) {
        std::vector<kaio_raw_iocb> iocbs(count);
        std::vector<kaio_raw_iocb *> pointers(count);
        for (size_t i = 0; i < count; ++i) {
            iocbs[i] = kaio_raw_prep_pread(null_, &byte_, 1, 0);
            kaio_raw_set_data(&iocbs[i], first + i);
            pointers[i] = &iocbs[i];
        }
        return kaio_raw_submit(ctx_, static_cast<long>(count), pointers.data());
    }

    // Expects just the tags [first, first + count) in the ring, in order, and consumes them.
    void ReapInUserSpace(uint64_t first, uint32_t count) {
        ASSERT_EQ(kaio_raw_ring_ready(&consumer_), count);
        ReapFirst(first, count);
    }

    // Expects the tags [first, first + count) as the first ones in the ring, and consumes them.
    void ReapFirst(uint64_t first, uint32_t count) {
        while (count > 0) {
            const kaio_raw_event *events = nullptr;
            uint32_t in_a_row = kaio_raw_ring_peek(&consumer_, &events);
            ASSERT_NE(in_a_row, 0u);
            ASSERT_NE(in_a_row, KAIO_RAW_RING_CORRUPT);
            in_a_row = std::min(in_a_row, count);
            for (uint32_t k = 0; k < in_a_row; ++k) {
                ASSERT_EQ(events[k].data, first + k);
                ASSERT_EQ(events[k].res, 0);
            }
            kaio_raw_ring_consume(&consumer_, in_a_row);
            first += in_a_row;
            count -= in_a_row;
        }
    }

    void ReapBySystemCall(uint64_t first, uint32_t count) {
        std::vector<kaio_raw_event> events(count + 1);
        kaio_raw_old_timespec no_wait = {0, 0};
        ASSERT_EQ(kaio_raw_getevents(ctx_, 0, count + 1, events.data(), &no_wait), count);
        for (uint32_t k = 0; k < count; ++k) {
            ASSERT_EQ(events[k].data, first + k);
        }
    }

    int null_ = -1;
    char byte_ = 0;
    kaio_raw_context ctx_ = 0;
    kaio_raw_ring_consumer consumer_ = {};
};

TEST_F(AioRingKernelTest, ValidateTakesTheKernelsRing) {
    Open(1);

    EXPECT_GE(consumer_.nr, 2u);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(consumer_.ring), ctx_);
    EXPECT_EQ(consumer_.ring->compat_features,
              static_cast<uint32_t>(KAIO_RAW_RING_COMPAT_FEATURES));
    EXPECT_EQ(kaio_raw_ring_ready(&consumer_), 0u);
}

TEST_F(AioRingKernelTest, ValidateRefusesADestroyedContext) {
    Open(1);
    kaio_raw_context ctx = ctx_;
    ctx_ = 0;
    ASSERT_EQ(kaio_raw_destroy(ctx), 0);
    kaio_raw_ring_consumer consumer;

    EXPECT_EQ(kaio_raw_ring_validate(ctx, &consumer), -ENOMEM);
}

// With 4 KiB pages and few CPUs: 127 slots, no power of two.
TEST_F(AioRingKernelTest, SmallestRingWrapsWithoutLoss) {
    Open(1);
    constexpr uint32_t kBatch = 7;

    for (uint64_t tag = 0; tag < uint64_t{35000}; tag += kBatch) {
        ASSERT_EQ(Submit(tag, kBatch), kBatch);
        ASSERT_NO_FATAL_FAILURE(ReapInUserSpace(tag, kBatch));
    }
}

TEST_F(AioRingKernelTest, EventsCrossPagesWithoutLoss) {
    constexpr uint32_t kBatch = 100;
    unsigned events_in_a_page = static_cast<unsigned>(sysconf(_SC_PAGESIZE)) / 32;
    Open(events_in_a_page);
    ASSERT_GT(consumer_.nr, events_in_a_page);

    for (uint64_t tag = 0; tag < uint64_t{20} * consumer_.nr; tag += kBatch) {
        ASSERT_EQ(Submit(tag, kBatch), kBatch);
        ASSERT_NO_FATAL_FAILURE(ReapInUserSpace(tag, kBatch));
    }
}

TEST_F(AioRingKernelTest, PartOfABatchMayBeConsumed) {
    Open(1);
    ASSERT_EQ(Submit(0, 5), 5);

    ReapFirst(0, 2);

    ReapInUserSpace(2, 3);
}

TEST_F(AioRingKernelTest, KernelSeesWhatUserSpaceConsumed) {
    Open(1);
    constexpr uint32_t kBatch = 5;
    constexpr uint32_t kTwoBatches = 2 * kBatch;
    constexpr uint32_t kThreeBatches = 3 * kBatch;

    for (uint64_t tag = 0; tag < uint64_t{4} * consumer_.nr; tag += kThreeBatches) {
        ASSERT_EQ(Submit(tag, kBatch), kBatch);
        ASSERT_NO_FATAL_FAILURE(ReapInUserSpace(tag, kBatch));
        ASSERT_EQ(Submit(tag + kBatch, kTwoBatches), kTwoBatches);
        ASSERT_EQ(kaio_raw_ring_ready(&consumer_), kTwoBatches);
        ASSERT_NO_FATAL_FAILURE(ReapFirst(tag + kBatch, kBatch));
        ASSERT_NO_FATAL_FAILURE(ReapBySystemCall(tag + kTwoBatches, kBatch));
    }
}

TEST_F(AioRingKernelTest, ConsumedSlotsTakeNewRequests) {
    Open(1);
    uint32_t filled = 0;
    long taken;
    while ((taken = Submit(filled, 1)) == 1) {
        ++filled;
    }
    ASSERT_EQ(taken, -EAGAIN);
    ASSERT_LT(filled, consumer_.nr);

    ReapInUserSpace(0, filled);

    EXPECT_EQ(Submit(filled, 1), 1);
}

}  // namespace
}  // namespace kaio_test
