// A million operations: four threads with two queues each, all on the same files and on shares of
// one frozen buffer, while buffers go round between the threads and files come and go. Under
// ThreadSanitizer this is the test of what is shared.

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "kaio/safe/kaio.h"
#include "kaio/safe/testing.h"
#include "tests/support/safe_test.h"

namespace {

using namespace kaio_test;

constexpr int kThreadCount = 4;
constexpr int kQueueCount = 2;  // of each thread
constexpr uint64_t kOperationCount = 1000000;
constexpr uint64_t kShare = kOperationCount / kThreadCount / kQueueCount;
constexpr uint32_t kDepth = 32;
constexpr size_t kBlockBytes = 64;
constexpr uint64_t kBlockCount = 64;
constexpr uint64_t kGiveAwayEvery = 97;  // operations
constexpr uint64_t kReopenEvery = 1009;
constexpr uint64_t kCheckEvery = 256;  // batches

// Where threads leave buffers for each other.
class Exchange {
  public:
    ~Exchange() {
        for (kaio_buffer *&buffer : buffers_) {
            kaio_buffer_drop(&buffer);
        }
    }

    // Swap gives a buffer that is bound to nobody, and takes what another thread left.
    kaio_buffer *Swap(kaio_buffer *given) {
        EXPECT_OK(kaio_buffer_detach(given));
        const std::lock_guard<std::mutex> lock(mutex_);
        buffers_.push_back(given);
        kaio_buffer *taken = buffers_.front();
        buffers_.erase(buffers_.begin());
        return taken;
    }

    void Put(kaio_buffer *buffer) {
        buffers_.push_back(buffer);
    }

  private:
    std::mutex mutex_;
    std::vector<kaio_buffer *> buffers_;
};

// What everybody uses: a file of known blocks, one to write the same blocks to, /dev/null.
struct Shared {
    const char *source_path;
    kaio_file *source;
    kaio_file *target;
    kaio_file *null;
    Exchange *exchange;
    std::vector<std::string> blocks;
    std::vector<kaio_view *> views;  // of one buffer, one for each lane, bound to nobody
    std::atomic<uint64_t> ended_count;
};

// A Lane is one queue with its buffers.
class Lane {
  public:
    Lane(Shared *shared, uint64_t number)
        : shared_(shared), random_(number + 1), view_(shared->views[number]) {
        kaio_queue_options options = {};
        options.depth = kDepth;
        EXPECT_OK(kaio_queue_open(&options, &queue_));
        for (uint32_t i = 0; i < kDepth; ++i) {
            spare_.push_back(NewBuffer(kBlockBytes, 8));
        }
        own_ = OpenFile(shared_->source_path, O_RDONLY);
    }

    ~Lane() {
        EXPECT_EQ(started_count_, kShare);
        EXPECT_EQ(ended_count_, kShare);
        EXPECT_EQ(sum_, kShare * (kShare - 1) / 2) << "each word once";
        EXPECT_OK(kaio_queue_close(&queue_));
        kaio_file_drop(&own_);
        kaio_view_drop(&view_);
        for (kaio_buffer *&buffer : spare_) {
            kaio_buffer_drop(&buffer);
        }
        shared_->ended_count += ended_count_;
    }

    Lane(const Lane &) = delete;
    Lane &operator=(const Lane &) = delete;

    bool IsDone() const {
        return ended_count_ == kShare || testing::Test::HasFailure();
    }

    // Turn fills the queue, waits for some outcomes and takes them.
    void Turn() {
        while (started_count_ < kShare && in_queue_count_ < kDepth) {
            Start(started_count_);
            ++started_count_;
            ++in_queue_count_;
        }
        uint32_t ready = 0;
        const uint32_t min_count = 1 + Random() % kDepth;
        ASSERT_OK(kaio_queue_wait(queue_, min_count, kaio_deadline_never(), &ready));
        kaio_completion completion = {};
        for (; ready > 0; --ready) {
            ASSERT_OK(kaio_queue_take(queue_, &completion));
            Keep(&completion);
        }
        if (++turn_count_ % kCheckEvery == 0) {
            ASSERT_EQ(kaio_testing_fault(queue_), nullptr);
        }
    }

  private:
    uint32_t Random() {
        random_ = random_ * 6364136223846793005u + 1442695040888963407u;
        return static_cast<uint32_t>(random_ >> 33);
    }

    void Start(uint64_t word) {
        const uint64_t index = Random() % kBlockCount;
        const kaio_range range = Range(index * kBlockBytes, kBlockBytes);
        const kaio_rw_flags none = kaio_rw_none();
        kaio_ticket ticket = {};
        if (word % kGiveAwayEvery == 0) {
            spare_.back() = shared_->exchange->Swap(spare_.back());
        }
        if (word % kReopenEvery == 0) {
            kaio_file_drop(&own_);  // requests may use it still
            own_ = OpenFile(shared_->source_path, O_RDONLY);
        }
        switch (Random() % 8) {
            case 0:
                ASSERT_OK(
                    kaio_poll_start(queue_, shared_->null, kaio_poll_writable(), word, &ticket));
                return;
            case 1:
                ASSERT_OK(kaio_sync_start(queue_, own_, KAIO_SYNC_DATA_UNORDERED, word, &ticket));
                return;
            case 2: {
                const std::string &block = shared_->blocks[index];
                kaio_buffer *buffer = TakeSpare();
                block.copy(reinterpret_cast<char *>(kaio_buffer_as_bytes(buffer)), block.size());
                ASSERT_OK(
                    kaio_write_start(queue_, shared_->target, range, none, word, &buffer, &ticket));
                return;
            }
            case 3: {
                const auto offset_bytes = static_cast<uint32_t>(range.file_offset_bytes);
                const kaio_range in_view = Range(offset_bytes, kBlockBytes, offset_bytes);
                kaio_view *view = nullptr;
                kaio_write *write = nullptr;
                ASSERT_OK(kaio_view_share(view_, &view));
                ASSERT_OK(
                    kaio_write_new_shared(queue_, shared_->target, in_view, none, &view, &write));
                ASSERT_NE(kaio_write_push(&write, word).bits, 0u);
                return;
            }
            default: {
                kaio_buffer *buffer = TakeSpare();
                kaio_file *file = Random() % 2 == 0 ? own_ : shared_->source;
                ASSERT_OK(kaio_read_start(queue_, file, range, none, word, &buffer, &ticket));
                return;
            }
        }
    }

    kaio_buffer *TakeSpare() {
        kaio_buffer *buffer = spare_.back();
        spare_.pop_back();
        return buffer;
    }

    void Keep(kaio_completion *completion) {
        ++ended_count_;
        --in_queue_count_;
        sum_ += completion->user;
        switch (completion->operation) {
            case KAIO_READ:
                ASSERT_EQ(completion->transfer, KAIO_TRANSFER_FULL) << Text(*completion);
                ASSERT_EQ(BufferText(completion->buffer, kBlockBytes),
                          shared_->blocks[completion->range.file_offset_bytes / kBlockBytes]);
                break;
            case KAIO_WRITE:
                ASSERT_EQ(completion->transfer, KAIO_TRANSFER_FULL) << Text(*completion);
                if (completion->view != nullptr) {
                    kaio_completion_drop(completion);
                    return;
                }
                break;
            case KAIO_SYNC:
                ASSERT_EQ(completion->sync, KAIO_SYNC_SYNCED) << Text(*completion);
                return;
            default:
                ASSERT_EQ(completion->poll, KAIO_POLL_READY) << Text(*completion);
                return;
        }
        spare_.push_back(completion->buffer);
    }

    Shared *const shared_;
    uint64_t random_;
    kaio_queue *queue_ = nullptr;
    kaio_view *view_;
    kaio_file *own_ = nullptr;
    std::vector<kaio_buffer *> spare_;
    uint32_t in_queue_count_ = 0;
    uint64_t started_count_ = 0;
    uint64_t ended_count_ = 0;
    uint64_t turn_count_ = 0;
    uint64_t sum_ = 0;
};

// SharesOf gives each lane a view of `content`.
std::vector<kaio_view *> SharesOf(const std::string &content) {
    kaio_buffer *buffer = NewBuffer(content, 8);
    kaio_view *view = nullptr;
    EXPECT_OK(kaio_buffer_freeze(&buffer, &view));
    std::vector<kaio_view *> views(kThreadCount * kQueueCount);
    for (kaio_view *&each : views) {
        EXPECT_OK(kaio_view_share(view, &each));
        EXPECT_OK(kaio_view_detach(each));
    }
    kaio_view_drop(&view);
    return views;
}

void RunThread(Shared *shared, uint64_t number) {
    Lane first(shared, 2 * number);
    Lane second(shared, 2 * number + 1);
    while (!first.IsDone() || !second.IsDone()) {
        if (!first.IsDone()) {
            first.Turn();
        }
        if (!second.IsDone()) {
            second.Turn();
        }
    }
}

TEST_F(SafeTest, AMillionOperationsOfFourThreadsOnSharedFiles) {
    std::string content;
    std::vector<std::string> blocks;
    for (uint64_t i = 0; i < kBlockCount; ++i) {
        blocks.push_back(Pattern(kBlockBytes, static_cast<unsigned>(i) + 1));
        content += blocks.back();
    }
    TempFile source(content);
    TempFile target(content);
    {
        Exchange exchange;
        for (int i = 0; i < kThreadCount; ++i) {
            exchange.Put(NewBuffer(kBlockBytes, 8));
        }
        Shared shared = {source.path(),
                         OpenFile(source.path(), O_RDONLY),
                         OpenFile(target.path()),
                         OpenFile("/dev/null"),
                         &exchange,
                         blocks,
                         SharesOf(content),
                         {0}};

        std::vector<std::thread> threads;
        for (uint64_t i = 0; i < kThreadCount; ++i) {
            threads.emplace_back([&shared, i] { RunThread(&shared, i); });
        }
        for (std::thread &thread : threads) {
            thread.join();
        }

        EXPECT_EQ(shared.ended_count, kOperationCount);
        EXPECT_OK(kaio_file_close(&shared.source));
        EXPECT_OK(kaio_file_close(&shared.target));
        EXPECT_OK(kaio_file_close(&shared.null));
    }
    EXPECT_EQ(source.Content(), content);
    EXPECT_EQ(target.Content(), content);
}

}  // namespace
