// Memory in frames: an engine's own (regions), and the library's (pools).

#include "kaio/safe/pool.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "kaio/safe/kaio.h"
#include "kaio/safe/testing.h"
#include "tests/support/in_child.h"
#include "tests/support/safe_test.h"
#include "tests/support/sanitizer.h"

namespace {

using namespace kaio_test;

constexpr size_t kFrameBytes = 4096;
constexpr uint32_t kFrames = 16;

// What a release hook was called with.
struct Released {
    int count = 0;
    void *bytes = nullptr;
    size_t size_bytes = 0;
    std::thread::id thread;

    static void Hook(void *context, void *bytes, size_t size_bytes) {
        auto *self = static_cast<Released *>(context);
        ++self->count;
        self->bytes = bytes;
        self->size_bytes = size_bytes;
        self->thread = std::this_thread::get_id();
    }
};

class RegionTest : public QueueTest {
  protected:
    void SetUp() override {
        QueueTest::SetUp();
        memory_ = static_cast<uint8_t *>(aligned_alloc(kFrameBytes, kFrameBytes * kFrames));
        memset(memory_, 0, kFrameBytes * kFrames);
        file_ = OpenFile(temp_.path());
        ASSERT_OK(
            kaio_region_adopt(memory_, kFrameBytes, kFrames, Released::Hook, &released_, &region_));
    }

    void TearDown() override {
        EXPECT_OK(kaio_queue_close(&queue_));
        EXPECT_OK(kaio_file_close(&file_));
        if (region_ != nullptr) {
            EXPECT_OK(kaio_region_close(&region_));
        }
        EXPECT_EQ(released_.count, 1);
        EXPECT_EQ(released_.bytes, memory_);
        EXPECT_EQ(released_.size_bytes, kFrameBytes * kFrames);
        EXPECT_EQ(kaio_testing_count().region_count, 0u);
        free(memory_);
        QueueTest::TearDown();
    }

    kaio_buffer *TakeFrame(uint32_t number) {
        kaio_buffer *buffer = nullptr;
        EXPECT_OK(K(kaio_region_take(region_, number, &buffer)));
        return buffer;
    }

    uint32_t OutCount() {
        kaio_region_counts counts = {};
        EXPECT_OK(kaio_region_count(region_, &counts));
        EXPECT_EQ(counts.frame_count, kFrames);
        return counts.out_count;
    }

    TempFile temp_{Pattern(kFrameBytes * kFrames)};
    uint8_t *memory_ = nullptr;
    kaio_file *file_ = nullptr;
    kaio_region *region_ = nullptr;
    Released released_;
};

TEST_F(RegionTest, AFrameIsABufferOfTheEnginesOwnBytes) {
    kaio_buffer *buffer = TakeFrame(3);
    EXPECT_EQ(kaio_buffer_as_bytes(buffer), memory_ + 3 * kFrameBytes);
    EXPECT_EQ(kaio_buffer_size(buffer), kFrameBytes);
    EXPECT_EQ(OutCount(), 1u);
    kaio_buffer *kept = buffer;
    kaio_ticket ticket = {};
    ASSERT_OK(K(kaio_read_start(queue_, file_, Range(3 * kFrameBytes, kFrameBytes), kaio_rw_none(),
                                3, &buffer, &ticket)));
    EXPECT_EQ(kaio_buffer_as_bytes(kept), nullptr);
    Wait(1);
    kaio_completion completion = Take();
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL);
    EXPECT_EQ(completion.buffer, kept);
    kaio_completion_drop(&completion);
    EXPECT_EQ(OutCount(), 0u);
    EXPECT_EQ(std::string(reinterpret_cast<char *>(memory_) + 3 * kFrameBytes, kFrameBytes),
              temp_.Content().substr(3 * kFrameBytes, kFrameBytes));
}

TEST_F(RegionTest, AFrameIsTakenOnceAndItsOldHandleIsStale) {
    kaio_buffer *buffer = TakeFrame(0);
    kaio_buffer *alias = buffer;
    kaio_buffer *second = nullptr;
    EXPECT_CODE(KAIO_BUSY, K(kaio_region_take(region_, 0, &second)));
    EXPECT_EQ(second, nullptr);
    kaio_buffer_drop(&buffer);

    buffer = TakeFrame(0);

    EXPECT_NE(buffer, alias) << "the same frame in another life";
    kaio_ticket ticket = {};
    EXPECT_CODE(KAIO_STALE,
                K(kaio_read_start(queue_, file_, Range(0, 8), kaio_rw_none(), 0, &alias, &ticket)));
    EXPECT_EQ(kaio_buffer_as_bytes(alias), nullptr);
    EXPECT_EQ(kaio_buffer_size(alias), 0u);
    kaio_buffer_drop(&alias);
    EXPECT_EQ(OutCount(), 1u) << "a stale handle dropped the frame of another";
    kaio_buffer_drop(&buffer);
}

TEST_F(RegionTest, ReportsWhatIsOutOfRange) {
    kaio_buffer *buffer = nullptr;
    kaio_status status = K(kaio_region_take(region_, kFrames, &buffer));
    EXPECT_CODE(KAIO_RANGE, status);
    EXPECT_EQ(Text(status), "range (frames): asked for 16, the limit is 16");
    kaio_region *region = nullptr;
    EXPECT_CODE(KAIO_RANGE, kaio_region_adopt(memory_, 0, 1, nullptr, nullptr, &region));
    EXPECT_CODE(KAIO_RANGE, kaio_region_adopt(memory_, 1, 0, nullptr, nullptr, &region));
    EXPECT_CODE(KAIO_RANGE, kaio_region_adopt(memory_, KAIO_BUFFER_SIZE_MAX_BYTES + 1, 1, nullptr,
                                              nullptr, &region));
    EXPECT_CODE(KAIO_NULL_ARGUMENT,
                kaio_region_adopt(nullptr, kFrameBytes, 1, nullptr, nullptr, &region));
    EXPECT_CODE(KAIO_NULL_ARGUMENT,
                kaio_region_adopt(memory_, kFrameBytes, 1, nullptr, nullptr, nullptr));
    status = kaio_region_adopt(memory_, 1, UINT32_C(1) << 25, nullptr, nullptr, &region);
    EXPECT_CODE(KAIO_LIMIT, status);
    EXPECT_NE(Text(status).find("33554432"), std::string::npos) << Text(status);
    EXPECT_EQ(region, nullptr);
}

TEST_F(RegionTest, IsBusyWhileAFrameIsOut) {
    kaio_buffer *buffer = TakeFrame(1);
    kaio_ticket ticket = {};
    ASSERT_OK(K(kaio_read_start(queue_, file_, Range(0, 8), kaio_rw_none(), 0, &buffer, &ticket)));
    kaio_status status = kaio_region_close(&region_);
    EXPECT_CODE(KAIO_BUSY, status);
    EXPECT_EQ(Text(status), "busy (region): 1 buffers are out");
    EXPECT_NE(region_, nullptr);
    EXPECT_EQ(released_.count, 0);
    Wait(1);
    kaio_completion completion = Take();
    kaio_completion_drop(&completion);
    EXPECT_OK(kaio_region_close(&region_));
    EXPECT_EQ(released_.count, 1);
}

TEST_F(RegionTest, ADroppedOneEndsWithItsLastFrameOnTheThreadThatDropsIt) {
    kaio_buffer *first = TakeFrame(1);
    kaio_buffer *last = TakeFrame(2);
    kaio_region *alias = region_;
    kaio_region_drop(&region_);
    EXPECT_EQ(region_, nullptr);
    kaio_buffer *none = nullptr;
    EXPECT_CODE(KAIO_STALE, kaio_region_take(alias, 3, &none));
    EXPECT_CODE(KAIO_STALE, kaio_region_close(&alias));
    kaio_buffer_drop(&first);
    EXPECT_EQ(released_.count, 0);
    EXPECT_EQ(kaio_buffer_as_bytes(last), memory_ + 2 * kFrameBytes);
    ASSERT_OK(kaio_buffer_detach(last));
    std::thread::id dropper;
    std::thread([&] {
        dropper = std::this_thread::get_id();
        kaio_buffer_drop(&last);
    }).join();
    EXPECT_EQ(released_.count, 1);
    EXPECT_EQ(released_.thread, dropper);
}

TEST_F(RegionTest, AFrameIsBoundToTheThreadThatTookIt) {
    kaio_buffer *buffer = TakeFrame(1);
    std::thread([&] { EXPECT_CODE(KAIO_WRONG_THREAD, kaio_buffer_detach(buffer)); }).join();
    kaio_buffer *alias = buffer;
    std::thread([&] { kaio_buffer_drop(&alias); }).join();
    EXPECT_EQ(kaio_buffer_as_bytes(buffer), nullptr) << "it was given up elsewhere";
    EXPECT_EQ(OutCount(), 1u);
    kaio_buffer *second = TakeFrame(2);  // and it is collected here
    EXPECT_EQ(OutCount(), 1u);
    kaio_buffer_drop(&second);
}

TEST_F(RegionTest, MoreThanAThreadListsAreCollectedAll) {
    std::vector<kaio_buffer *> buffers;
    for (uint32_t i = 0; i < kFrames; ++i) {
        buffers.push_back(TakeFrame(i));
    }
    std::thread([&] {
        for (kaio_buffer *&buffer : buffers) {
            kaio_buffer_drop(&buffer);
        }
    }).join();
    EXPECT_EQ(OutCount(), kFrames);
    kaio_buffer *one = NewBuffer(8);
    EXPECT_EQ(OutCount(), 0u);
    kaio_buffer_drop(&one);
}

TEST_F(RegionTest, TheFramesOfAThreadThatEndedAreAnybodys) {
    kaio_buffer *buffer = nullptr;
    kaio_buffer *given_up = nullptr;
    std::thread([&] {
        EXPECT_OK(kaio_region_take(region_, 5, &buffer));
        EXPECT_OK(kaio_region_take(region_, 6, &given_up));
        std::thread([&] { kaio_buffer_drop(&given_up); }).join();
    }).join();
    EXPECT_EQ(OutCount(), 1u) << "what was given up for the thread did not end with it";
    kaio_ticket ticket = {};
    EXPECT_OK(K(kaio_read_start(queue_, file_, Range(0, 8), kaio_rw_none(), 0, &buffer, &ticket)));
    Wait(1);
    kaio_completion completion = Take();
    kaio_completion_drop(&completion);
}

TEST_F(RegionTest, AFrameIsFrozenAndThawed) {
    kaio_buffer *buffer = TakeFrame(4);
    kaio_buffer *kept = buffer;
    kaio_view *view = nullptr;
    ASSERT_OK(kaio_buffer_freeze(&buffer, &view));
    EXPECT_EQ(kaio_view_as_bytes(view), memory_ + 4 * kFrameBytes);
    EXPECT_EQ(OutCount(), 1u);
    kaio_view *second = nullptr;
    ASSERT_OK(kaio_view_share(view, &second));
    kaio_view_drop(&view);
    ASSERT_OK(kaio_view_thaw(&second, &buffer));
    EXPECT_EQ(buffer, kept);
    ASSERT_OK(kaio_buffer_freeze(&buffer, &view));
    kaio_view_drop(&view);
    EXPECT_EQ(OutCount(), 0u);
}

TEST_F(RegionTest, AChildHasNothingOfIt) {
    kaio_buffer *buffer = TakeFrame(4);
    ExpectFineInChild([&] {
        kaio_buffer *other = nullptr;
        EXPECT_TRUE(kaio_region_take(region_, 5, &other).code == KAIO_FORKED) << "take";
        EXPECT_TRUE(kaio_buffer_detach(buffer).code == KAIO_FORKED) << "detach";
        EXPECT_TRUE(kaio_buffer_as_bytes(buffer) == nullptr) << "bytes";
        kaio_region *alias = region_;
        EXPECT_TRUE(kaio_region_close(&alias).code == KAIO_FORKED) << "close";
        kaio_region_drop(&alias);
        kaio_buffer_drop(&buffer);
        EXPECT_TRUE(released_.count == 0) << "hook";
        kaio_region *own = nullptr;
        EXPECT_TRUE(kaio_region_adopt(memory_, kFrameBytes, kFrames, nullptr, nullptr, &own).code ==
                    KAIO_OK)
            << "a region of the child's own";
        EXPECT_TRUE(kaio_region_take(own, 4, &other).code == KAIO_OK) << "its frame";
        kaio_buffer_drop(&other);
        EXPECT_TRUE(kaio_region_close(&own).code == KAIO_OK) << "its end";
    });
    EXPECT_EQ(kaio_buffer_as_bytes(buffer), memory_ + 4 * kFrameBytes);
    kaio_buffer_drop(&buffer);
}

TEST_F(RegionTest, FourThreadsTakeAndDropFramesOfOne) {
    std::vector<std::thread> threads;
    std::atomic<int> busy{0};
    for (uint32_t t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
            for (uint32_t i = 0; i < 20000; ++i) {
                kaio_buffer *buffer = nullptr;
                const kaio_status status = kaio_region_take(region_, (i + t) % kFrames, &buffer);
                if (status.code == KAIO_BUSY) {
                    ++busy;
                    continue;
                }
                EXPECT_OK(status);
                uint8_t *bytes = kaio_buffer_as_bytes(buffer);
                EXPECT_EQ(bytes[0], 0u) << "two threads have one frame";
                bytes[0] = 1;
                bytes[0] = 0;
                kaio_buffer_drop(&buffer);
            }
        });
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    EXPECT_EQ(OutCount(), 0u);
}

// ---- adopted buffers ----

// A call that finds none to take is counted while it looks, but never above what there is.
TEST_F(RegionTest, NoMoreAreOutThanThereAre) {
    std::vector<kaio_buffer *> frames;
    for (uint32_t i = 0; i < kFrames; ++i) {
        frames.push_back(TakeFrame(i));
    }
    std::atomic<bool> is_over = false;
    std::thread taker([&] {
        while (!is_over) {
            kaio_buffer *none = nullptr;
            EXPECT_CODE(KAIO_BUSY, kaio_region_take(region_, 0, &none));
        }
    });
    uint32_t most = 0;
    for (int i = 0; i < 20000; ++i) {
        kaio_region_counts counts = {};
        EXPECT_OK(kaio_region_count(region_, &counts));
        most = std::max(most, counts.out_count);
    }
    is_over = true;
    taker.join();
    EXPECT_EQ(most, kFrames);
    for (kaio_buffer *frame : frames) {
        kaio_buffer_drop(&frame);
    }
}

class AdoptTest : public QueueTest {};

TEST_F(AdoptTest, TheHookIsCalledOnceAfterTheLastDrop) {
    alignas(16) static uint8_t memory[512];
    Released released;
    kaio_buffer *buffer = nullptr;
    ASSERT_OK(kaio_buffer_adopt(memory, sizeof memory, Released::Hook, &released, &buffer));
    EXPECT_EQ(kaio_buffer_as_bytes(buffer), memory);
    EXPECT_EQ(kaio_buffer_size(buffer), sizeof memory);
    kaio_file *file = OpenFile("/dev/zero");
    kaio_ticket ticket = {};
    ASSERT_OK(K(kaio_read_start(queue_, file, Range(0, 512), kaio_rw_none(), 0, &buffer, &ticket)));
    Wait(1);
    kaio_completion completion = Take();
    EXPECT_EQ(released.count, 0);
    kaio_completion_drop(&completion);
    EXPECT_EQ(released.count, 1);
    EXPECT_EQ(released.bytes, memory);
    EXPECT_EQ(released.size_bytes, sizeof memory);
    EXPECT_OK(kaio_queue_close(&queue_));
    EXPECT_OK(kaio_file_close(&file));
}

TEST_F(AdoptTest, ADestroyedQueueCallsTheHooksOfWhatItHadOutsideEveryCall) {
    static uint8_t memory[2][64];
    struct Hooked {
        int count = 0;
        static void Hook(void *context, void *, size_t) {
            ++static_cast<Hooked *>(context)->count;
            kaio_buffer *buffer = NewBuffer(8);  // the library can be used
            kaio_view *view = nullptr;
            EXPECT_OK(kaio_buffer_freeze(&buffer, &view)) << "called inside a call";
            kaio_view_drop(&view);
        }
    } hooked;
    kaio_file *file = OpenFile("/dev/zero");
    kaio_ticket ticket = {};
    for (auto &bytes : memory) {
        kaio_buffer *buffer = nullptr;
        ASSERT_OK(kaio_buffer_adopt(bytes, sizeof bytes, Hooked::Hook, &hooked, &buffer));
        ASSERT_OK(
            K(kaio_read_start(queue_, file, Range(0, 64), kaio_rw_none(), 0, &buffer, &ticket)));
    }
    kaio_destroy_report report = {};
    ASSERT_OK(kaio_queue_destroy(&queue_, nullptr, nullptr, &report));
    EXPECT_EQ(hooked.count, 2);
    EXPECT_EQ(report.dropped_count, 2u);
    EXPECT_OK(kaio_file_close(&file));
}

// A child's first call of all is one that collects: what was left for its parent is not its own.
TEST_F(AdoptTest, AChildReleasesNothingThatWasLeftForItsParent) {
    static uint8_t memory[64];
    Released released;
    kaio_buffer *buffer = nullptr;
    kaio_view *view = nullptr;
    ASSERT_OK(kaio_buffer_adopt(memory, sizeof memory, Released::Hook, &released, &buffer));
    ASSERT_OK(kaio_buffer_freeze(&buffer, &view));  // binds it
    ASSERT_OK(kaio_view_thaw(&view, &buffer));
    std::thread([&] { kaio_buffer_drop(&buffer); }).join();
    ASSERT_EQ(released.count, 0);
    ExpectFineInChild([&] {
        kaio_pool *none = nullptr;
        kaio_pool_drop(&none);
        EXPECT_EQ(released.count, 0) << "the parent's hook was called in a child";
    });
    kaio_pool *none = nullptr;
    kaio_pool_drop(&none);
    EXPECT_EQ(released.count, 1);
}

// What a hook binds in a thread that ends is anybody's behind it, too.
TEST_F(AdoptTest, AHookAtTheEndOfItsThreadMayTakeBuffers) {
    static kaio_buffer *made;
    static uint8_t memory[64];
    kaio_buffer *low = NewBuffer(8);  // its place comes before the adopted one's
    kaio_buffer *buffer = nullptr;
    const auto hook = [](void *, void *, size_t) {
        kaio_view *view = nullptr;
        made = NewBuffer(8);
        EXPECT_OK(kaio_buffer_freeze(&made, &view));  // binds it
        EXPECT_OK(kaio_view_thaw(&view, &made));
    };
    ASSERT_OK(kaio_buffer_adopt(memory, sizeof memory, hook, nullptr, &buffer));
    std::thread([&] {
        kaio_view *view = nullptr;
        EXPECT_OK(kaio_buffer_freeze(&buffer, &view));
        EXPECT_OK(kaio_view_thaw(&view, &buffer));
        kaio_buffer_drop(&low);
        std::thread([&] { kaio_buffer_drop(&buffer); }).join();
    }).join();
    ASSERT_NE(made, nullptr) << "what was given up for the thread did not end with it";
    EXPECT_OK(kaio_buffer_detach(made)) << "it is bound to a thread that is gone";
    kaio_buffer_drop(&made);
}

TEST_F(AdoptTest, ReportsWhatIsWrong) {
    uint8_t byte = 0;
    kaio_buffer *buffer = nullptr;
    EXPECT_CODE(KAIO_RANGE, kaio_buffer_adopt(&byte, 0, nullptr, nullptr, &buffer));
    EXPECT_CODE(KAIO_RANGE, kaio_buffer_adopt(&byte, KAIO_BUFFER_SIZE_MAX_BYTES + 1, nullptr,
                                              nullptr, &buffer));
    EXPECT_CODE(KAIO_RANGE, kaio_buffer_adopt(reinterpret_cast<void *>(UINTPTR_MAX - 1), 16,
                                              nullptr, nullptr, &buffer));
    EXPECT_CODE(KAIO_NULL_ARGUMENT, kaio_buffer_adopt(nullptr, 1, nullptr, nullptr, &buffer));
    EXPECT_CODE(KAIO_NULL_ARGUMENT, kaio_buffer_adopt(&byte, 1, nullptr, nullptr, nullptr));
    EXPECT_EQ(buffer, nullptr);
    ASSERT_OK(kaio_buffer_adopt(&byte, 1, nullptr, nullptr, &buffer));
    kaio_buffer_drop(&buffer);
}

// ---- pools ----

class PoolTest : public QueueTest {
  protected:
    kaio_pool *Open(kaio_pool_options options) {
        kaio_pool *pool = nullptr;
        EXPECT_OK(kaio_pool_open(&options, &pool));
        return pool;
    }

    static kaio_pool_options Small() {
        kaio_pool_options options = {};
        options.buffer_bytes = 1000;
        options.buffer_count = 5;
        options.align_bytes = 512;
        return options;
    }

    static kaio_pool_counts Counts(kaio_pool *pool) {
        kaio_pool_counts counts = {};
        EXPECT_OK(kaio_pool_count(pool, &counts));
        return counts;
    }
};

TEST_F(PoolTest, GivesAlignedBuffersOfOneSizeUntilItIsEmpty) {
    kaio_pool *pool = Open(Small());
    std::vector<kaio_buffer *> buffers(5);
    std::set<uint8_t *> addresses;
    for (kaio_buffer *&buffer : buffers) {
        ASSERT_OK(kaio_pool_take(pool, &buffer));
        uint8_t *bytes = kaio_buffer_as_bytes(buffer);
        EXPECT_EQ(reinterpret_cast<uintptr_t>(bytes) % 512, 0u);
        EXPECT_EQ(kaio_buffer_size(buffer), 1024u);
        EXPECT_EQ(bytes[0], 0u);
        memset(bytes, 1, 1024);
        addresses.insert(bytes);
    }
    EXPECT_EQ(addresses.size(), 5u);
    kaio_buffer *none = nullptr;
    kaio_status status = kaio_pool_take(pool, &none);
    EXPECT_CODE(KAIO_FULL, status);
    EXPECT_EQ(Text(status), "full (pool): all 5 places are taken");
    EXPECT_EQ(Counts(pool).out_count, 5u);
    status = kaio_pool_close(&pool);
    EXPECT_CODE(KAIO_BUSY, status);
    EXPECT_EQ(Text(status), "busy (pool): 5 buffers are out");
    uint8_t *last = kaio_buffer_as_bytes(buffers[2]);
    for (int i : {0, 1, 3, 4, 2}) {
        kaio_buffer_drop(&buffers[static_cast<size_t>(i)]);
    }
    ASSERT_OK(kaio_pool_take(pool, &none));
    EXPECT_EQ(kaio_buffer_as_bytes(none), last) << "not the one that was given back last";
    kaio_buffer_drop(&none);
    EXPECT_OK(kaio_pool_close(&pool));
    EXPECT_EQ(pool, nullptr);
}

TEST_F(PoolTest, ADroppedOneEndsWithItsLastBuffer) {
    kaio_pool *pool = Open(Small());
    kaio_buffer *buffer = nullptr;
    ASSERT_OK(kaio_pool_take(pool, &buffer));
    kaio_pool *alias = pool;
    kaio_pool_drop(&pool);
    kaio_buffer *none = nullptr;
    EXPECT_CODE(KAIO_STALE, kaio_pool_take(alias, &none));
    EXPECT_EQ(kaio_testing_count().region_count, 1u);
    kaio_buffer_as_bytes(buffer)[0] = 1;
    kaio_buffer_drop(&buffer);
    EXPECT_EQ(kaio_testing_count().region_count, 0u);
}

TEST_F(PoolTest, TellsHowManyHugePagesCame) {
    kaio_pool_options options = {};
    options.buffer_bytes = 256 * 1024;
    options.buffer_count = 24;
    options.huge_pages = true;
    kaio_pool *pool = Open(options);
    const kaio_pool_counts counts = Counts(pool);
    EXPECT_GE(counts.mapped_bytes, 6u * 1024 * 1024);
    FILE *file = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "re");
    char text[64] = "";
    const bool is_known = file != nullptr && fgets(text, sizeof text, file) != nullptr;
    if (file != nullptr) {
        fclose(file);
    }
    if (is_known && strstr(text, "[never]") == nullptr) {
        EXPECT_GT(counts.huge_bytes, 0u) << text;
        EXPECT_EQ(counts.huge_bytes % (2 * 1024 * 1024), 0u);
    } else {
        EXPECT_EQ(counts.huge_bytes, 0u);
    }
    EXPECT_OK(kaio_pool_close(&pool));
    options.huge_pages = false;
    pool = Open(options);
    EXPECT_EQ(Counts(pool).locked_bytes, 0u);
    EXPECT_OK(kaio_pool_close(&pool));
}

TEST_F(PoolTest, ALockedOneIsLockedOrSaysWhyNot) {
    kaio_pool_options options = Small();
    options.locked = true;
    kaio_pool *pool = Open(options);
    EXPECT_GE(Counts(pool).locked_bytes, 5u * 1024);
    EXPECT_OK(kaio_pool_close(&pool));
#ifndef KAIO_HAS_ASAN  // which locks nothing, and says that it did
    ExpectFineInChild([&] {
        const rlimit none = {0, 0};
        EXPECT_TRUE(setrlimit(RLIMIT_MEMLOCK, &none) == 0) << "setrlimit";
        const int is_other =
            setresuid(65534, 65534, 65534);  // not in a sandbox, which can lock nothing
        (void)is_other;
        const kaio_status status = kaio_pool_open(&options, &pool);
        EXPECT_TRUE(status.code == KAIO_OS_ERROR && status.subject == KAIO_SUBJECT_POOL)
            << "status";
        EXPECT_TRUE(status.os_error == EPERM || status.os_error == ENOMEM) << "errno";
        EXPECT_TRUE(kaio_testing_count().region_count == 0) << "something is left";
    });
#endif
}

TEST_F(PoolTest, ReportsWhatIsWrong) {
    kaio_pool *pool = nullptr;
    kaio_pool_options options = Small();
    options.buffer_bytes = 0;
    EXPECT_CODE(KAIO_RANGE, kaio_pool_open(&options, &pool));
    options = Small();
    options.buffer_count = 0;
    EXPECT_CODE(KAIO_RANGE, kaio_pool_open(&options, &pool));
    options = Small();
    options.align_bytes = 48;
    EXPECT_CODE(KAIO_RANGE, kaio_pool_open(&options, &pool));
    options = Small();
    options.buffer_bytes = 8;
    options.align_bytes = 1;
    options.buffer_count = UINT32_MAX / 32;
    EXPECT_CODE(KAIO_LIMIT, kaio_pool_open(&options, &pool));
    EXPECT_CODE(KAIO_NULL_ARGUMENT, kaio_pool_open(nullptr, &pool));
    EXPECT_CODE(KAIO_NULL_ARGUMENT, kaio_pool_open(&options, nullptr));
    EXPECT_EQ(pool, nullptr);
}

TEST_F(PoolTest, AChildHasNothingOfIt) {
    kaio_pool *pool = Open(Small());
    kaio_buffer *buffer = nullptr;
    ASSERT_OK(kaio_pool_take(pool, &buffer));
    uint8_t *bytes = kaio_buffer_as_bytes(buffer);
    uint8_t *page = bytes - reinterpret_cast<uintptr_t>(bytes) % 4096;
    unsigned char is_there = 0;
    EXPECT_EQ(mincore(page, 4096, &is_there), 0);
    ExpectFineInChild([&] {
        EXPECT_EQ(mincore(page, 4096, &is_there), -1) << "the child has the memory";
        EXPECT_EQ(errno, ENOMEM);
        errno = kErrno;
        kaio_buffer *other = nullptr;
        kaio_pool_counts counts = {};
        EXPECT_TRUE(kaio_pool_take(pool, &other).code == KAIO_FORKED) << "take";
        EXPECT_TRUE(kaio_pool_count(pool, &counts).code == KAIO_FORKED) << "count";
        EXPECT_TRUE(kaio_buffer_as_bytes(buffer) == nullptr) << "bytes";
        kaio_buffer_drop(&buffer);
        kaio_pool_drop(&pool);
    });
    kaio_buffer_drop(&buffer);
    EXPECT_OK(kaio_pool_close(&pool));
}

TEST_F(PoolTest, IsNotBusyBecauseSomebodyCounts) {
    std::atomic<kaio_pool *> shared{nullptr};
    std::atomic<bool> is_over{false};
    std::atomic<int> counted{0};
    std::thread counting([&] {
        while (!is_over) {
            kaio_pool_counts counts = {};
            const kaio_status status = kaio_pool_count(shared, &counts);
            counted += status.code == KAIO_OK;
            EXPECT_TRUE(status.code == KAIO_OK || status.code == KAIO_STALE ||
                        status.code == KAIO_NULL_ARGUMENT)
                << Text(status);
        }
    });
    for (int round = 0; round < 200; ++round) {
        kaio_pool *pool = Open(Small());
        shared = pool;
        const int before = counted;
        while (counted == before) {
        }
        EXPECT_OK(kaio_pool_close(&pool));
    }
    is_over = true;
    counting.join();
}

// A take that is on its way is waited for: a pool does not end under it.
TEST_F(PoolTest, IsClosedWhileOthersTake) {
    std::atomic<kaio_pool *> shared{nullptr};
    std::atomic<bool> is_over{false};
    std::atomic<int> taken{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
        threads.emplace_back([&] {
            while (!is_over) {
                kaio_buffer *buffer = nullptr;
                if (kaio_pool_take(shared, &buffer).code == KAIO_OK) {
                    kaio_buffer_as_bytes(buffer)[0] = 1;
                    ++taken;
                    kaio_buffer_drop(&buffer);
                }
            }
        });
    }
    for (int round = 0; round < 500; ++round) {
        kaio_pool *pool = Open(Small());
        const int before = taken;
        shared = pool;
        while (taken == before) {  // the others may not have had the processor yet
            std::this_thread::yield();
        }
        kaio_status status;
        while ((status = kaio_pool_close(&pool)).code == KAIO_BUSY) {
        }
        EXPECT_OK(status);
    }
    is_over = true;
    for (std::thread &thread : threads) {
        thread.join();
    }
}

TEST_F(PoolTest, FourThreadsTakeAndDrop) {
    kaio_pool *pool = Open(Small());
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([pool] {
            for (int i = 0; i < 20000; ++i) {
                kaio_buffer *buffer = nullptr;
                const kaio_status status = kaio_pool_take(pool, &buffer);
                if (status.code == KAIO_FULL) {
                    continue;
                }
                EXPECT_OK(status);
                uint8_t *bytes = kaio_buffer_as_bytes(buffer);
                EXPECT_EQ(bytes[0], 0u) << "two threads have one buffer";
                bytes[0] = 1;
                bytes[0] = 0;
                kaio_buffer_drop(&buffer);
            }
        });
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    EXPECT_EQ(Counts(pool).out_count, 0u);
    EXPECT_OK(kaio_pool_close(&pool));
}

}  // namespace
