// Views, regions and pools misused: NULL, stale, of another kind, made up, of the parent process,
// and from a signal handler.

#include <fcntl.h>
#include <signal.h>

#include <cstdint>
#include <cstdlib>
#include <random>
#include <vector>

#include "kaio/safe/kaio.h"
#include "kaio/safe/testing.h"
#include "tests/misuse/every_use.h"
#include "tests/support/in_child.h"
#include "tests/support/safe_test.h"

namespace {

using namespace kaio_test;

constexpr size_t kFrameBytes = 64;

// A Thing is what a handle of one kind can be used for. Each call answers the code of the misuse,
// or KAIO_STALE where there is no status and nothing was done.
struct Thing {
    const char *name;
    kaio_subject subject;
    std::vector<kaio_status (*)(uintptr_t bits)> calls;
};

kaio_status Silent(bool did, kaio_subject subject) {
    kaio_status status = {};
    status.code = did ? KAIO_OK : KAIO_STALE;
    status.subject = static_cast<uint16_t>(subject);
    return status;
}

const std::vector<Thing> &Things() {
    static const std::vector<Thing> things = {
        {"View",
         KAIO_SUBJECT_VIEW,
         {[](uintptr_t bits) {
              Output<kaio_view *> view;
              return view.Judge(kaio_view_share(Handle<kaio_view>(bits), view.at()));
          },
          [](uintptr_t bits) {
              Output<kaio_buffer *> buffer;
              return buffer.Judge(Moving<kaio_view>(bits, [&](kaio_view **move_view) {
                  return kaio_view_thaw(move_view, buffer.at());
              }));
          },
          [](uintptr_t bits) { return kaio_view_detach(Handle<kaio_view>(bits)); },
          [](uintptr_t bits) {
              return Silent(kaio_view_as_bytes(Handle<kaio_view>(bits)) != nullptr,
                            KAIO_SUBJECT_VIEW);
          },
          [](uintptr_t bits) {
              return Silent(kaio_view_size(Handle<kaio_view>(bits)) != 0, KAIO_SUBJECT_VIEW);
          },
          [](uintptr_t bits) {
              kaio_view *view = Handle<kaio_view>(bits);
              kaio_view_drop(&view);
              EXPECT_EQ(view, nullptr);
              return Silent(false, KAIO_SUBJECT_VIEW);
          },
          [](uintptr_t bits) {
              kaio_completion completion = {};
              completion.view = Handle<kaio_view>(bits);
              kaio_completion_drop(&completion);
              EXPECT_EQ(completion.view, nullptr);
              return Silent(false, KAIO_SUBJECT_VIEW);
          }}},
        {"Region",
         KAIO_SUBJECT_REGION,
         {[](uintptr_t bits) {
              Output<kaio_buffer *> buffer;
              return buffer.Judge(kaio_region_take(Handle<kaio_region>(bits), 0, buffer.at()));
          },
          [](uintptr_t bits) {
              Output<kaio_region_counts> counts;
              return counts.Judge(kaio_region_count(Handle<kaio_region>(bits), counts.at()));
          },
          [](uintptr_t bits) { return Moving<kaio_region>(bits, kaio_region_close); },
          [](uintptr_t bits) {
              kaio_region *region = Handle<kaio_region>(bits);
              kaio_region_drop(&region);
              EXPECT_EQ(region, nullptr);
              return Silent(false, KAIO_SUBJECT_REGION);
          }}},
        {"Pool",
         KAIO_SUBJECT_POOL,
         {[](uintptr_t bits) {
              Output<kaio_buffer *> buffer;
              return buffer.Judge(kaio_pool_take(Handle<kaio_pool>(bits), buffer.at()));
          },
          [](uintptr_t bits) {
              Output<kaio_pool_counts> counts;
              return counts.Judge(kaio_pool_count(Handle<kaio_pool>(bits), counts.at()));
          },
          [](uintptr_t bits) { return Moving<kaio_pool>(bits, kaio_pool_close); },
          [](uintptr_t bits) {
              kaio_pool *pool = Handle<kaio_pool>(bits);
              kaio_pool_drop(&pool);
              EXPECT_EQ(pool, nullptr);
              return Silent(false, KAIO_SUBJECT_POOL);
          }}},
        {"Frame",
         KAIO_SUBJECT_BUFFER,
         {[](uintptr_t bits) { return kaio_buffer_detach(Handle<kaio_buffer>(bits)); },
          [](uintptr_t bits) {
              Output<kaio_view *> view;
              return view.Judge(Moving<kaio_buffer>(bits, [&](kaio_buffer **move_buffer) {
                  return kaio_buffer_freeze(move_buffer, view.at());
              }));
          },
          [](uintptr_t bits) {
              return Silent(kaio_buffer_as_bytes(Handle<kaio_buffer>(bits)) != nullptr,
                            KAIO_SUBJECT_BUFFER);
          },
          [](uintptr_t bits) {
              return Silent(kaio_buffer_size(Handle<kaio_buffer>(bits)) != 0, KAIO_SUBJECT_BUFFER);
          },
          [](uintptr_t bits) {
              kaio_buffer *buffer = Handle<kaio_buffer>(bits);
              kaio_buffer_drop(&buffer);
              EXPECT_EQ(buffer, nullptr);
              return Silent(false, KAIO_SUBJECT_BUFFER);
          }}},
    };
    return things;
}

// One of each stands by, and must be as it was afterwards.
class MemoryMisuseTest : public QueueTest {
  protected:
    void SetUp() override {
        QueueTest::SetUp();
        kaio_pool_options options = {};
        options.buffer_bytes = kFrameBytes;
        options.buffer_count = 2;
        options.align_bytes = 64;
        ASSERT_OK(kaio_pool_open(&options, &pool_));
        ASSERT_OK(kaio_region_adopt(memory_, kFrameBytes, 2, nullptr, nullptr, &region_));
        ASSERT_OK(kaio_region_take(region_, 1, &frame_));
        kaio_buffer *buffer = NewBuffer(Pattern(kFrameBytes));
        ASSERT_OK(kaio_buffer_freeze(&buffer, &view_));
    }

    void TearDown() override {
        ExpectUntouched();
        kaio_buffer_drop(&frame_);
        EXPECT_OK(kaio_region_close(&region_));
        EXPECT_OK(kaio_pool_close(&pool_));
        kaio_view_drop(&view_);
        QueueTest::TearDown();
    }

    void ExpectUntouched() {
        kaio_region_counts counts = {};
        EXPECT_OK(kaio_region_count(region_, &counts));
        EXPECT_EQ(counts.out_count, 1u);
        kaio_pool_counts pool_counts = {};
        EXPECT_OK(kaio_pool_count(pool_, &pool_counts));
        EXPECT_EQ(pool_counts.out_count, 0u);
        EXPECT_EQ(kaio_buffer_as_bytes(frame_), memory_ + kFrameBytes);
        EXPECT_EQ(kaio_view_size(view_), kFrameBytes);
    }

    void ExpectAnswers(const Thing &thing, kaio_code expected, uintptr_t bits) {
        for (const auto call : thing.calls) {
            const kaio_status status = K(call(bits));
            if (status.code != KAIO_STALE || expected == KAIO_STALE) {  // silent ones do nothing
                EXPECT_CODE(expected, status) << thing.name;
            }
            EXPECT_EQ(status.subject, thing.subject) << thing.name << ": " << Text(status);
        }
    }

    uint8_t memory_[2 * kFrameBytes] = {};
    kaio_pool *pool_ = nullptr;
    kaio_region *region_ = nullptr;
    kaio_buffer *frame_ = nullptr;
    kaio_view *view_ = nullptr;
};

TEST_F(MemoryMisuseTest, NullIsAnAnswer) {
    for (const Thing &thing : Things()) {
        ExpectAnswers(thing, KAIO_NULL_ARGUMENT, 0);
    }
    kaio_buffer *buffer = nullptr;
    kaio_view *view = nullptr;
    EXPECT_CODE(KAIO_NULL_ARGUMENT, kaio_buffer_freeze(nullptr, &view));
    EXPECT_CODE(KAIO_NULL_ARGUMENT, kaio_buffer_freeze(&frame_, nullptr));
    EXPECT_CODE(KAIO_NULL_ARGUMENT, kaio_buffer_freeze(&buffer, &view));
    EXPECT_CODE(KAIO_NULL_ARGUMENT, kaio_view_share(view_, nullptr));
    EXPECT_CODE(KAIO_NULL_ARGUMENT, kaio_view_thaw(nullptr, &buffer));
    EXPECT_CODE(KAIO_NULL_ARGUMENT, kaio_view_thaw(&view_, nullptr));
    EXPECT_CODE(KAIO_NULL_ARGUMENT, kaio_region_take(region_, 0, nullptr));
    EXPECT_CODE(KAIO_NULL_ARGUMENT, kaio_region_count(region_, nullptr));
    EXPECT_CODE(KAIO_NULL_ARGUMENT, kaio_region_close(nullptr));
    EXPECT_CODE(KAIO_NULL_ARGUMENT, kaio_pool_take(pool_, nullptr));
    EXPECT_CODE(KAIO_NULL_ARGUMENT, kaio_pool_count(pool_, nullptr));
    EXPECT_CODE(KAIO_NULL_ARGUMENT, kaio_pool_close(nullptr));
    kaio_view_drop(nullptr);
    kaio_region_drop(nullptr);
    kaio_pool_drop(nullptr);
    kaio_file *file = OpenFile("/dev/null");
    kaio_write *write = nullptr;
    kaio_ticket ticket = {};
    const kaio_range range = Range(0, 8);
    EXPECT_CODE(KAIO_NULL_ARGUMENT,
                K(kaio_write_new_shared(queue_, file, range, kaio_rw_none(), nullptr, &write)));
    EXPECT_CODE(KAIO_NULL_ARGUMENT,
                K(kaio_write_new_shared(queue_, file, range, kaio_rw_none(), &view_, nullptr)));
    EXPECT_CODE(KAIO_NULL_ARGUMENT,
                K(kaio_write_new_shared(queue_, file, range, kaio_rw_none(), &view, &write)));
    EXPECT_CODE(KAIO_NULL_ARGUMENT, K(kaio_write_start_shared(queue_, file, range, kaio_rw_none(),
                                                              0, nullptr, &ticket)));
    EXPECT_CODE(KAIO_NULL_ARGUMENT, K(kaio_write_start_shared(queue_, file, range, kaio_rw_none(),
                                                              0, &view_, nullptr)));
    EXPECT_CODE(KAIO_NULL_ARGUMENT, K(kaio_write_abandon_shared(nullptr, &view)));
    EXPECT_CODE(KAIO_NULL_ARGUMENT, K(kaio_write_abandon_shared(&write, nullptr)));
    EXPECT_CODE(KAIO_NULL_ARGUMENT, K(kaio_write_abandon_shared(&write, &view)));
    EXPECT_OK(kaio_queue_close(&queue_));
    EXPECT_OK(kaio_file_close(&file));
}

TEST_F(MemoryMisuseTest, AHandleOfAnotherKindIsStale) {
    const std::vector<uintptr_t> all = {Bits(view_), Bits(region_), Bits(pool_), Bits(frame_),
                                        Bits(queue_)};
    for (size_t kind = 0; kind < Things().size(); ++kind) {
        for (size_t other = 0; other < all.size(); ++other) {
            if (other != kind) {
                ExpectAnswers(Things()[kind], KAIO_STALE, all[other]);
            }
        }
    }
    kaio_file *file = OpenFile("/dev/null");
    kaio_ticket ticket = {};
    kaio_view *no_view = Handle<kaio_view>(Bits(frame_));
    EXPECT_CODE(KAIO_STALE, K(kaio_write_start_shared(queue_, file, Range(0, 8), kaio_rw_none(), 0,
                                                      &no_view, &ticket)));
    kaio_buffer *no_buffer = Handle<kaio_buffer>(Bits(view_));
    EXPECT_CODE(KAIO_STALE, K(kaio_read_start(queue_, file, Range(0, 8), kaio_rw_none(), 0,
                                              &no_buffer, &ticket)));
    EXPECT_EQ(Bits(no_buffer), Bits(view_));
    EXPECT_OK(kaio_queue_close(&queue_));
    EXPECT_OK(kaio_file_close(&file));
}

TEST_F(MemoryMisuseTest, AHandleAfterItsEndIsStaleAndItsSuccessorUntouched) {
    const uintptr_t old_view = Bits(view_);
    const uintptr_t old_region = Bits(region_);
    const uintptr_t old_pool = Bits(pool_);
    const uintptr_t old_frame = Bits(frame_);
    for (int life = 0; life < 3; ++life) {
        kaio_view_drop(&view_);
        kaio_buffer_drop(&frame_);
        ASSERT_OK(kaio_region_close(&region_));
        ASSERT_OK(kaio_pool_close(&pool_));
        kaio_pool_options options = {};
        options.buffer_bytes = kFrameBytes;
        options.buffer_count = 2;
        options.align_bytes = 64;
        ASSERT_OK(kaio_pool_open(&options, &pool_));
        ASSERT_OK(kaio_region_adopt(memory_, kFrameBytes, 2, nullptr, nullptr, &region_));
        ASSERT_OK(kaio_region_take(region_, 1, &frame_));
        kaio_buffer *buffer = NewBuffer(Pattern(kFrameBytes));
        ASSERT_OK(kaio_buffer_freeze(&buffer, &view_));
        const uintptr_t old[] = {old_view, old_region, old_pool, old_frame};
        for (size_t kind = 0; kind < Things().size(); ++kind) {
            ExpectAnswers(Things()[kind], KAIO_STALE, old[kind]);
        }
        ExpectUntouched();
    }
}

TEST_F(MemoryMisuseTest, InventedHandlesAreStale) {
    std::mt19937_64 random(7);
    for (int i = 0; i < 20000; ++i) {
        const auto bits = static_cast<uintptr_t>(random());
        for (const Thing &thing : Things()) {
            if (bits == Bits(view_) || bits == Bits(region_) || bits == Bits(pool_) ||
                bits == Bits(frame_)) {
                continue;
            }
            ExpectAnswers(thing, KAIO_STALE, bits);
        }
    }
}

TEST_F(MemoryMisuseTest, AChildHasNothing) {
    ExpectFineInChild([&] {
        const uintptr_t all[] = {Bits(view_), Bits(region_), Bits(pool_), Bits(frame_)};
        for (size_t kind = 0; kind < Things().size(); ++kind) {
            for (const auto call : Things()[kind].calls) {
                const kaio_status status = call(all[kind]);
                EXPECT_TRUE(status.code == KAIO_FORKED || status.code == KAIO_STALE)
                    << Things()[kind].name << ": " << Text(status);
            }
        }
    });
}

// ---- from a signal handler that interrupts a call ----

class MemorySignalTest;
MemorySignalTest *current;

class MemorySignalTest : public MemoryMisuseTest {
  public:
    static void Handle(int);

    void InHandler() {
        kaio_view *view = nullptr;
        kaio_buffer *buffer = nullptr;
        answers_[0] = kaio_view_share(view_, &view);
        answers_[1] = kaio_view_thaw(&view_, &buffer);
        answers_[2] = kaio_buffer_freeze(&frame_, &view);
        answers_[3] = kaio_region_close(&region_);
        answers_[4] = kaio_pool_close(&pool_);
        answers_[5] = kaio_region_take(region_, 0, &buffer);
        kaio_region_drop(&dropped_region_);
        kaio_buffer_drop(&dropped_);
        size_after_drop_ = kaio_buffer_size(dropped_alias_);
        ++handled_;
    }

    int handled_ = 0;
    kaio_status answers_[6] = {};
    kaio_region *dropped_region_ = nullptr;
    uint8_t dropped_memory_[kFrameBytes] = {};
    int released_count_ = 0;
    kaio_buffer *dropped_ = nullptr;
    kaio_buffer *dropped_alias_ = nullptr;
    size_t size_after_drop_ = 1;
};

void MemorySignalTest::Handle(int) {
    current->InHandler();
}

TEST_F(MemorySignalTest, IsAnsweredReenteredAndADropWaitsForTheCallToEnd) {
    current = this;
    ASSERT_OK(kaio_region_take(region_, 0, &dropped_));
    dropped_alias_ = dropped_;
    ASSERT_OK(kaio_region_adopt(
        dropped_memory_, kFrameBytes, 1,
        [](void *count, void *, size_t) { ++*static_cast<int *>(count); }, &released_count_,
        &dropped_region_));
    // A release hook would be outside every call; on_turn too. A handler of a lost request is not
    // needed: the signal is raised where the library is inside a call, by a write to a pipe that
    // nobody reads.
    struct sigaction action = {};
    action.sa_handler = Handle;
    ASSERT_EQ(sigaction(SIGPIPE, &action, nullptr), 0);
    int fds[2];
    ASSERT_EQ(pipe(fds), 0);
    close(fds[0]);
    kaio_file *file = nullptr;
    ASSERT_OK(kaio_file_adopt(fds[1], &file));
    ASSERT_OK(kaio_file_allow_stall(file));
    kaio_buffer *buffer = NewBuffer(8);
    kaio_ticket ticket = {};
    ASSERT_OK(K(kaio_write_start(queue_, file, Range(0, 8), kaio_rw_none(), 0, &buffer, &ticket)));
    kaio_flush_report report = {};
    ASSERT_OK(K(kaio_queue_flush(queue_, &report)));
    ASSERT_EQ(handled_, 1) << "the signal did not come inside the call";
    for (const kaio_status &answer : answers_) {
        EXPECT_CODE(KAIO_REENTERED, answer);
    }
    EXPECT_EQ(dropped_, nullptr);
    EXPECT_EQ(size_after_drop_, 0u);
    EXPECT_EQ(released_count_, 0) << "a hook was called inside a call";
    kaio_region_counts counts = {};
    ASSERT_OK(kaio_region_count(region_, &counts));
    EXPECT_EQ(counts.out_count, 2u);
    Wait(1);
    kaio_completion completion = Take();
    kaio_completion_drop(&completion);  // and collects
    EXPECT_EQ(released_count_, 1) << "what a handler dropped did not end with the next call";
    ASSERT_OK(kaio_region_count(region_, &counts));
    EXPECT_EQ(counts.out_count, 1u);
    signal(SIGPIPE, SIG_DFL);
    EXPECT_OK(kaio_queue_close(&queue_));
    EXPECT_OK(kaio_file_close(&file));
}

}  // namespace
