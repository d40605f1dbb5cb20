// Reaping in user space while the kernel stores events from many places at once: inside the calls
// of several submitters, in whoever makes a polled file ready, in the disk's interrupt.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "kaio/raw/aio_prep.h"
#include "kaio/raw/aio_ring.h"
#include "kaio/raw/aio_syscall.h"
#include "tests/support/folder.h"

namespace kaio_test {
namespace {

constexpr uint32_t kOperations = 1000000;  // of all cases together

// How long nothing may come before the rest counts as lost.
constexpr auto kPatience = std::chrono::seconds(30);

constexpr uint32_t kNoTag = UINT32_MAX;

// Sleeping threads get a busy machine's CPU back sooner than yielding ones.
void Idle() {
    std::this_thread::sleep_for(std::chrono::microseconds(20));
}

// A Room has one request at a time. `tag` passes the room from its producer to the reaper and back:
// ThreadSanitizer does not see that the kernel does so too.
struct Room {
    kaio_raw_iocb iocb = {};
    std::atomic<uint32_t> tag{kNoTag};
    std::atomic<bool> is_due{false};  // the waker is to make it ready
};

// A Producer makes requests of one kind. Prepare and Submitted are called by its own thread, Wake
// by the waker's, Take by the reaper's.
class Producer {
  public:
    explicit Producer(size_t rooms) : rooms_(rooms) {}
    virtual ~Producer() = default;
    Producer(const Producer &) = delete;
    Producer &operator=(const Producer &) = delete;

    // Submits the tags [first, end), each when there is room; the result is 0 or -errno.
    long Submit(kaio_raw_context ctx, uint32_t first, uint32_t end, const std::atomic<bool> &stop) {
        std::vector<kaio_raw_iocb *> waiting;
        while ((first < end || !waiting.empty()) && !stop) {
            for (size_t place = 0; place < size() && first < end; ++place) {
                if (rooms_[place].tag.load(std::memory_order_acquire) == kNoTag) {
                    rooms_[place].iocb = Prepare(place, first);
                    kaio_raw_set_data(&rooms_[place].iocb, first);
                    rooms_[place].tag.store(first, std::memory_order_release);
                    waiting.push_back(&rooms_[place].iocb);
                    ++first;
                }
            }
            long taken = kaio_raw_submit(ctx, static_cast<long>(waiting.size()), waiting.data());
            if (taken < 0 && taken != -EAGAIN) {
                return taken;
            }
            if (taken <= 0) {
                Idle();
                continue;
            }
            for (long i = 0; i < taken; ++i) {
                Submitted(Place(reinterpret_cast<uintptr_t>(waiting[i])));
            }
            waiting.erase(waiting.begin(), waiting.begin() + taken);
        }
        return 0;
    }

    // Makes ready what is due.
    virtual void Wake() {}

    bool Owns(uint64_t obj) const {
        return obj >= Address(0) && obj < Address(size());
    }

    // Answers what is wrong with the event, or nullptr: then its room is free again.
    const char *Take(const kaio_raw_event &event) {
        const size_t place = Place(event.obj);
        if (event.obj != Address(place)) {
            return "obj is no iocb";
        }
        if (event.data != rooms_[place].tag.load(std::memory_order_acquire)) {
            return "data is not of the request in flight";
        }
        if (event.res2 != 0) {
            return "res2 is not 0";
        }
        if (!IsRight(place, static_cast<uint32_t>(event.data), event.res)) {
            return "the result is not the request's";
        }
        rooms_[place].tag.store(kNoTag, std::memory_order_release);
        return nullptr;
    }

  protected:
    virtual kaio_raw_iocb Prepare(size_t place, uint32_t tag) = 0;
    virtual void Submitted(size_t) {}
    virtual bool IsRight(size_t place, uint32_t tag, int64_t res) const = 0;

    size_t size() const {
        return rooms_.size();
    }
    std::atomic<bool> &is_due(size_t place) {
        return rooms_[place].is_due;
    }

  private:
    uint64_t Address(size_t place) const {
        return reinterpret_cast<uintptr_t>(rooms_.data()) + place * sizeof(Room);
    }
    size_t Place(uint64_t obj) const {
        return static_cast<size_t>(obj - Address(0)) / sizeof(Room);
    }

    static_assert(offsetof(Room, iocb) == 0, "the address of a room is that of its iocb");
    std::vector<Room> rooms_;
};

// Writes to /dev/null end inside kaio_raw_submit. Each is as long as its tag says, so is its
// result.
class NullWrites : public Producer {
  public:
    explicit NullWrites(size_t rooms)
        : Producer(rooms), fd_(open("/dev/null", O_WRONLY | O_CLOEXEC)) {
        EXPECT_GE(fd_, 0);
    }

    ~NullWrites() override {
        close(fd_);
    }

  protected:
    kaio_raw_iocb Prepare(size_t, uint32_t tag) override {
        return kaio_raw_prep_pwrite(fd_, this, tag, 0);
    }

    bool IsRight(size_t, uint32_t tag, int64_t res) const override {
        return res == tag;
    }

  private:
    const int fd_;
};

// Polls end in the waker's write or in a work queue, and those that the waker was told of early
// also inside kaio_raw_submit.
class Polls : public Producer {
  public:
    enum Kind { kPipe, kEventfd };

    Polls(Kind kind, size_t rooms) : Producer(rooms), ends_(rooms) {
        for (Ends &ends : ends_) {
            if (kind == kPipe) {
                EXPECT_EQ(pipe2(ends.fds, O_CLOEXEC | O_NONBLOCK), 0);
            } else {
                ends.fds[0] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
                ends.fds[1] = fcntl(ends.fds[0], F_DUPFD_CLOEXEC, 0);
                EXPECT_GE(ends.fds[1], 0);
            }
        }
    }

    ~Polls() override {
        for (Ends &ends : ends_) {
            close(ends.fds[0]);
            close(ends.fds[1]);
        }
    }

    void Wake() override {
        for (size_t place = 0; place < size(); ++place) {
            if (is_due(place).exchange(false)) {
                const uint64_t one = 1;
                EXPECT_EQ(write(ends_[place].fds[1], &one, sizeof one), ssize_t{sizeof one});
            }
        }
    }

  protected:
    kaio_raw_iocb Prepare(size_t place, uint32_t tag) override {
        Ends &ends = ends_[place];
        if (ends.was_used) {
            uint64_t one = 0;
            EXPECT_EQ(read(ends.fds[0], &one, sizeof one), ssize_t{sizeof one});
            EXPECT_EQ(one, 1u);
        }
        ends.was_used = true;
        ends.is_early = tag % 2 == 0;
        if (ends.is_early) {
            is_due(place) = true;
        }
        return kaio_raw_prep_poll(ends.fds[0], POLLIN);
    }

    void Submitted(size_t place) override {
        if (!ends_[place].is_early) {
            is_due(place) = true;
        }
    }

    bool IsRight(size_t, uint32_t, int64_t res) const override {
        return (res & (POLLIN | POLLERR | POLLHUP | POLLNVAL)) == POLLIN;
    }

  private:
    struct Ends {
        int fds[2] = {-1, -1};
        bool was_used = false;
        bool is_early = false;
    };

    std::vector<Ends> ends_;
};

// Reads of a file past the page cache, where it lets them, end in the disk's interrupt.
class BlockReads : public Producer {
  public:
    explicit BlockReads(size_t rooms) : Producer(rooms), blocks_(rooms) {
        std::vector<Block> file(kFileBlocks);
        for (uint32_t number = 0; number < kFileBlocks; ++number) {
            std::fill(std::begin(file[number].words), std::end(file[number].words), number);
        }
        const char *bytes = reinterpret_cast<const char *>(file.data());
        WriteFile(folder_ / "blocks", std::string(bytes, kFileBlocks * sizeof(Block)));
        fd_ = Open(O_DIRECT);
        is_direct_ = fd_ >= 0;
        if (!is_direct_) {
            fd_ = Open(0);
        }
        EXPECT_GE(fd_, 0);
    }

    ~BlockReads() override {
        close(fd_);
    }

    bool is_direct() const {
        return is_direct_;
    }

  protected:
    kaio_raw_iocb Prepare(size_t place, uint32_t tag) override {
        Block *block = &blocks_[place];
        std::fill(std::begin(block->words), std::end(block->words), kNoTag);
        return kaio_raw_prep_pread(fd_, block, sizeof *block, tag % kFileBlocks * sizeof *block);
    }

    bool IsRight(size_t place, uint32_t tag, int64_t res) const override {
        const Block &block = blocks_[place];
        return res == sizeof block &&
               std::all_of(std::begin(block.words), std::end(block.words),
                           [tag](uint32_t word) { return word == tag % kFileBlocks; });
    }

  private:
    struct alignas(4096) Block {
        uint32_t words[1024];
    };
    static constexpr uint32_t kFileBlocks = 64;

    int Open(int flags) const {
        return open((folder_ / "blocks").c_str(), O_RDONLY | O_CLOEXEC | flags);
    }

    Folder folder_;
    std::vector<Block> blocks_;
    int fd_ = -1;
    bool is_direct_ = false;
};

// A bit for every tag, and what was wrong first.
class Ledger {
  public:
    explicit Ledger(uint32_t tags) : came_(tags) {}

    void Add(uint64_t tag, const char *wrong) {
        if (wrong == nullptr && tag >= came_.size()) {
            wrong = "nobody's tag";
        } else if (wrong == nullptr && came_[static_cast<size_t>(tag)]) {
            wrong = "twice";
        }
        if (wrong != nullptr) {
            ++wrong_count_;
            first_wrong_ = first_wrong_.empty() ? std::to_string(tag) + ": " + wrong : first_wrong_;
            return;
        }
        came_[static_cast<size_t>(tag)] = true;
        ++came_count_;
    }

    bool is_full() const {
        return came_count_ == came_.size();
    }
    size_t came_count() const {
        return came_count_;
    }
    size_t wrong_count() const {
        return wrong_count_;
    }
    const std::string &first_wrong() const {
        return first_wrong_;
    }

  private:
    std::vector<bool> came_;
    size_t came_count_ = 0;
    size_t wrong_count_ = 0;
    std::string first_wrong_;
};

// A turn of reaping; the reapers that share the ring take turns under one lock.
enum class Turn { kRing, kPartOfTheRing, kCall, kWaitingCall };

class RingStressTest : public testing::Test {
  protected:
    void TearDown() override {
        if (ctx_ != 0) {
            EXPECT_EQ(kaio_raw_destroy(ctx_), 0);
        }
    }

    // Lets the producers share a context of `nr_events` until `tags` tags are reaped, by as many
    // threads as `turns` has rows.
    void Run(unsigned nr_events, uint32_t tags, const std::vector<std::vector<Turn>> &turns) {
        ASSERT_EQ(kaio_raw_setup(nr_events, &ctx_), 0);
        if (kaio_raw_ring_validate(ctx_, &consumer_) != 0) {
            GTEST_SKIP() << "this kernel maps no ring";
        }
        ledger_ = std::make_unique<Ledger>(tags);
        const uint32_t hundredth = tags / 100;
        auto blocks = std::make_unique<BlockReads>(16);
        RecordProperty("direct", blocks->is_direct());
        StartProducer(std::move(blocks), 5 * hundredth);
        StartProducer(std::make_unique<Polls>(Polls::kPipe, 32), 20 * hundredth);
        StartProducer(std::make_unique<Polls>(Polls::kEventfd, 32), 25 * hundredth);
        StartProducer(std::make_unique<NullWrites>(96), 30 * hundredth);
        StartProducer(std::make_unique<NullWrites>(32), tags - started_);
        for (const std::vector<Turn> &row : turns) {
            threads_.emplace_back([this, row] { Reap(row); });
        }
        go_ = true;
        for (std::thread &thread : threads_) {
            thread.join();
        }

        EXPECT_EQ(ledger_->wrong_count(), 0u) << "the first is tag " << ledger_->first_wrong();
        EXPECT_EQ(ledger_->came_count(), tags);
        EXPECT_EQ(kaio_raw_ring_ready(&consumer_), 0u);
    }

  private:
    // Gives `producer` the next `count` tags, a thread to submit them, and a waker.
    void StartProducer(std::unique_ptr<Producer> producer, uint32_t count) {
        Producer *shared = producer.get();
        const uint32_t first = started_;
        started_ += count;
        producers_.push_back(std::move(producer));
        threads_.emplace_back([this, shared, first, count] {
            AwaitGo();
            EXPECT_EQ(shared->Submit(ctx_, first, first + count, stop_), 0);
        });
        threads_.emplace_back([this, shared] {
            AwaitGo();
            while (!stop_) {
                shared->Wake();
                Idle();
            }
        });
    }

    void AwaitGo() const {
        while (!go_) {
            Idle();
        }
    }

    void Reap(const std::vector<Turn> &turns) {
        AwaitGo();
        auto deadline = std::chrono::steady_clock::now() + kPatience;
        for (size_t i = 0; !stop_; ++i) {
            size_t count = 0;
            {
                std::lock_guard<std::mutex> lock(mutex_);
                count = Reap(turns[i % turns.size()]);
                stop_ = stop_ || ledger_->is_full();
            }
            if (count > 0) {
                deadline = std::chrono::steady_clock::now() + kPatience;
            } else if (std::chrono::steady_clock::now() > deadline) {
                stop_ = true;
            } else {
                Idle();
            }
        }
    }

    size_t Reap(Turn turn) {
        switch (turn) {
            case Turn::kRing:
                return ReapRing(UINT32_MAX);
            case Turn::kPartOfTheRing:
                return ReapRing(5);
            case Turn::kCall:
                return ReapByCall(0);
            case Turn::kWaitingCall:
                return ReapByCall(1);
        }
        return 0;
    }

    size_t ReapRing(uint32_t most) {
        const kaio_raw_event *events = nullptr;
        uint32_t count = kaio_raw_ring_peek(&consumer_, &events);
        if (count == KAIO_RAW_RING_CORRUPT) {
            ADD_FAILURE() << "head or tail is outside the ring";
            stop_ = true;
            return 0;
        }
        count = std::min(count, most);
        for (uint32_t k = 0; k < count; ++k) {
            Take(events[k]);
        }
        if (count > 0) {
            kaio_raw_ring_consume(&consumer_, count);
        }
        return count;
    }

    size_t ReapByCall(long min_nr) {
        kaio_raw_event events[8];
        kaio_raw_old_timespec timeout = {0, 1000000};
        long count = kaio_raw_getevents(ctx_, min_nr, std::size(events), events, &timeout);
        if (count < 0 && count != -EINTR) {
            ADD_FAILURE() << "io_getevents: " << count;
            stop_ = true;
        }
        for (long k = 0; k < count; ++k) {
            Take(events[k]);
        }
        return static_cast<size_t>(std::max(count, 0L));
    }

    void Take(const kaio_raw_event &event) {
        for (auto &producer : producers_) {
            if (producer->Owns(event.obj)) {
                ledger_->Add(event.data, producer->Take(event));
                return;
            }
        }
        ledger_->Add(event.data, "obj is no iocb");
    }

    kaio_raw_context ctx_ = 0;
    std::vector<std::unique_ptr<Producer>> producers_;
    uint32_t started_ = 0;  // tags given to producers
    std::vector<std::thread> threads_;
    std::atomic<bool> go_{false};

    std::mutex mutex_;  // of all that reaping touches
    kaio_raw_ring_consumer consumer_ = {};
    std::unique_ptr<Ledger> ledger_;
    std::atomic<bool> stop_{false};
};

TEST_F(RingStressTest, OneReaperGetsEveryEventOnce) {
    Run(256, kOperations / 2, {{Turn::kRing}});
}

// Some 120 requests fill it: submitters are refused, and wait for slots that the reaper gives back.
TEST_F(RingStressTest, OneReaperOfASmallRingGetsEveryEventOnce) {
    Run(1, kOperations / 4, {{Turn::kPartOfTheRing, Turn::kRing}});
}

TEST_F(RingStressTest, RingAndCallsUnderOneLockGetEveryEventOnce) {
    Run(1, kOperations / 4,
        {{Turn::kRing, Turn::kCall},
         {Turn::kCall, Turn::kPartOfTheRing},
         {Turn::kPartOfTheRing, Turn::kWaitingCall},
         {Turn::kRing}});
}

}  // namespace
}  // namespace kaio_test
