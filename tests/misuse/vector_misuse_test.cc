// Vectored requests misused: pushed twice, by the wrong thread, in a child, after their end, as
// what they are not.

#include <fcntl.h>

#include <cstdint>
#include <random>
#include <thread>
#include <vector>

#include "kaio/safe/kaio.h"
#include "kaio/safe/testing.h"
#include "tests/misuse/every_use.h"
#include "tests/support/in_child.h"
#include "tests/support/safe_test.h"

namespace {

using namespace kaio_test;

constexpr uint32_t kPartBytes = 64;
constexpr uint32_t kCount = 3;

// Each of the two kinds by its bits.
struct Vectored {
    const char *name;
    bool is_read;
    uintptr_t (*make)(kaio_queue *queue, kaio_file *file, kaio_segment *segments);
    uint64_t (*push)(uintptr_t bits);
    void (*drop)(uintptr_t bits);
    std::vector<kaio_status (*)(kaio_file *file, uintptr_t bits)> uses;
};

template <typename T, kaio_status (*kAbandon)(T **, kaio_segment *, uint32_t, uint32_t *)>
kaio_status AbandonVectored(kaio_file *, uintptr_t bits) {
    kaio_segment segments[kCount];
    Output<uint32_t> count;
    return count.Judge(
        Moving<T>(bits, [&](T **move) { return kAbandon(move, segments, kCount, count.at()); }));
}

const std::vector<Vectored> &Kinds() {
    static const std::vector<Vectored> kinds = {
        {"Readv",
         true,
         [](kaio_queue *queue, kaio_file *file, kaio_segment *segments) {
             kaio_readv *readv = nullptr;
             EXPECT_OK(kaio_readv_new(queue, file, 0, kaio_rw_none(), segments, kCount, &readv));
             return Bits(readv);
         },
         [](uintptr_t bits) {
             kaio_readv *readv = Handle<kaio_readv>(bits);
             const uint64_t ticket = kaio_readv_push(&readv, 1).bits;
             EXPECT_EQ(readv, nullptr);
             return ticket;
         },
         [](uintptr_t bits) {
             kaio_readv *readv = Handle<kaio_readv>(bits);
             kaio_readv_drop(&readv);
             EXPECT_EQ(readv, nullptr);
         },
         {AbandonVectored<kaio_readv, kaio_readv_abandon>,
          [](kaio_file *, uintptr_t bits) {
              return kaio_readv_set_priority(Handle<kaio_readv>(bits), kaio_priority_idle());
          },
          [](kaio_file *file, uintptr_t bits) {
              return kaio_readv_retarget(Handle<kaio_readv>(bits), file, 8, kaio_rw_none());
          },
          [](kaio_file *, uintptr_t bits) {
              Output<kaio_writev *> writev;
              return writev.Judge(Moving<kaio_readv>(bits, [&](kaio_readv **move) {
                  return kaio_readv_into_writev(move, writev.at());
              }));
          }}},
        {"Writev",
         false,
         [](kaio_queue *queue, kaio_file *file, kaio_segment *segments) {
             kaio_writev *writev = nullptr;
             EXPECT_OK(kaio_writev_new(queue, file, 0, kaio_rw_none(), segments, kCount, &writev));
             return Bits(writev);
         },
         [](uintptr_t bits) {
             kaio_writev *writev = Handle<kaio_writev>(bits);
             const uint64_t ticket = kaio_writev_push(&writev, 1).bits;
             EXPECT_EQ(writev, nullptr);
             return ticket;
         },
         [](uintptr_t bits) {
             kaio_writev *writev = Handle<kaio_writev>(bits);
             kaio_writev_drop(&writev);
             EXPECT_EQ(writev, nullptr);
         },
         {AbandonVectored<kaio_writev, kaio_writev_abandon>,
          [](kaio_file *, uintptr_t bits) {
              return kaio_writev_set_priority(Handle<kaio_writev>(bits), kaio_priority_idle());
          },
          [](kaio_file *file, uintptr_t bits) {
              return kaio_writev_retarget(Handle<kaio_writev>(bits), file, 8, kaio_rw_none());
          },
          [](kaio_file *, uintptr_t bits) {
              Output<kaio_readv *> readv;
              return readv.Judge(Moving<kaio_writev>(bits, [&](kaio_writev **move) {
                  return kaio_writev_into_readv(move, readv.at());
              }));
          }}},
    };
    return kinds;
}

class VectorMisuseTest : public QueueTest, public testing::WithParamInterface<size_t> {
  protected:
    kaio_queue_options Options() const override {
        kaio_queue_options options = QueueTest::Options();
        options.segment_count = 2 * kCount;
        return options;
    }

    void SetUp() override {
        QueueTest::SetUp();
        file_ = OpenFile("/dev/zero");
        for (kaio_segment &segment : segments_) {
            segment = {};
            segment.buffer = NewBuffer(kPartBytes);
            segment.size_bytes = kPartBytes;
        }
        first_ = segments_[0].buffer;
        bits_ = kind().make(queue_, file_, segments_);
    }

    void TearDown() override {
        for (kaio_segment &segment : segments_) {
            kaio_buffer_drop(&segment.buffer);
        }
        EXPECT_OK(kaio_queue_close(&queue_));
        EXPECT_OK(kaio_file_close(&file_));
        QueueTest::TearDown();
    }

    const Vectored &kind() const {
        return Kinds()[GetParam()];
    }

    void ExpectStale(uintptr_t bits) {
        EXPECT_EQ(kind().push(bits), 0u);
        ExpectBooks();
        kind().drop(bits);
        ExpectBooks();
        for (const auto use : kind().uses) {
            EXPECT_CODE(KAIO_STALE, K(use(file_, bits)));
        }
    }

    // It comes back with every buffer.
    kaio_completion TakeIt() {
        kaio_completion completion = {};
        Wait(1);
        EXPECT_OK(K(kaio_queue_take_segments(queue_, segments_, kCount, &completion)));
        EXPECT_EQ(completion.segment_count, kCount);
        EXPECT_EQ(segments_[0].buffer, first_);
        for (const kaio_segment &segment : segments_) {
            EXPECT_NE(kaio_buffer_as_bytes(segment.buffer), nullptr);
        }
        return completion;
    }

    kaio_file *file_ = nullptr;
    kaio_segment segments_[kCount];
    kaio_buffer *first_ = nullptr;
    uintptr_t bits_ = 0;
};

TEST_P(VectorMisuseTest, AnAliasIsStaleOnceItWasPushedAndInItsNextLife) {
    EXPECT_NE(kind().push(bits_), 0u);
    ExpectStale(bits_);
    EXPECT_EQ(TakeIt().transfer, KAIO_TRANSFER_FULL);
    ExpectStale(bits_);
    const uintptr_t next = kind().make(queue_, file_, segments_);
    ExpectStale(bits_);
    EXPECT_EQ(Counts().idle_count, 1u);
    kind().push(next);
    TakeIt();
}

TEST_P(VectorMisuseTest, APinnedBufferIsBusy) {
    kaio_buffer *alias = first_;
    kaio_ticket ticket = {};
    EXPECT_CODE(KAIO_BUSY,
                K(kaio_read_start(queue_, file_, Range(0, 8), kaio_rw_none(), 0, &alias, &ticket)));
    kaio_buffer_drop(&alias);
    EXPECT_EQ(kaio_buffer_size(first_), kPartBytes);
    kind().push(bits_);
    TakeIt();
}

TEST_P(VectorMisuseTest, PushedOrDroppedByAnotherThreadItComesBackRefused) {
    for (const bool is_push : {true, false}) {
        std::thread([&] {
            for (const auto use : kind().uses) {
                EXPECT_CODE(KAIO_WRONG_THREAD, use(file_, bits_));
            }
            if (is_push) {
                EXPECT_NE(kind().push(bits_), 0u);
            } else {
                kind().drop(bits_);
            }
        }).join();
        const kaio_completion completion = TakeIt();
        EXPECT_EQ(completion.transfer, KAIO_TRANSFER_REFUSED);
        EXPECT_CODE(KAIO_WRONG_THREAD, completion.refusal);
        bits_ = kind().make(queue_, file_, segments_);
    }
    kind().push(bits_);
    TakeIt();
}

TEST_P(VectorMisuseTest, AChildHasNothing) {
    ExpectFineInChild([&] {
        for (const auto use : kind().uses) {
            EXPECT_CODE(KAIO_FORKED, use(file_, bits_));
        }
        EXPECT_EQ(kind().push(bits_), 0u);
        kind().drop(bits_);
        kaio_completion completion = {};
        EXPECT_CODE(KAIO_FORKED, kaio_queue_take_segments(queue_, segments_, kCount, &completion));
    });
    EXPECT_NE(kind().push(bits_), 0u);
    EXPECT_EQ(TakeIt().transfer, KAIO_TRANSFER_FULL);
}

TEST_P(VectorMisuseTest, HandlesOfOtherKindsAndInventedOnesAreStale) {
    const uintptr_t kind_bits = 15;
    for (uintptr_t other = 0; other < 16; ++other) {
        if (other != (bits_ & kind_bits)) {
            ExpectStale((bits_ & ~kind_bits) | other);
        }
    }
    std::mt19937_64 random(3);
    for (int i = 0; i < 5000; ++i) {
        const auto bits = static_cast<uintptr_t>(random());
        if (bits != bits_) {
            ExpectStale(bits);
        }
    }
    kind().push(bits_);
    TakeIt();
}

TEST_P(VectorMisuseTest, AQueueThatOwesOneIsBusyAndADroppedOneReleasesAll) {
    EXPECT_CODE(KAIO_BUSY, K(kaio_queue_close(&queue_)));
    kaio_queue_drop(&queue_);
    EXPECT_EQ(kaio_buffer_size(first_), 0u);
    EXPECT_EQ(kind().push(bits_), 0u);
    const kaio_queue_options options = Options();
    ASSERT_OK(kaio_queue_open(&options, &queue_));
}

INSTANTIATE_TEST_SUITE_P(Kinds, VectorMisuseTest, testing::Values(0, 1),
                         [](const testing::TestParamInfo<size_t> &kind) {
                             return std::string(Kinds()[kind.param].name);
                         });

}  // namespace
