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
#include <cstdint>
#include <cstring>
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

// Operations of all tests of this file. Every access takes a sanitizer much longer.
#ifdef __SANITIZE_THREAD__
constexpr uint32_t kOperations = 100000;
#else
constexpr uint32_t kOperations = 1000000;
#endif

constexpr uint32_t kNoTag = UINT32_MAX;
constexpr size_t kBlockBytes = 4096;
constexpr auto kPatience = std::chrono::seconds(30);

// A Room has one request at a time. What a producer leaves here for the reaper, and back, is passed
// by `tag`: the kernel's part in between is out of ThreadSanitizer's sight.
struct Room {
    kaio_raw_iocb iocb = {};
    std::atomic<uint32_t> tag{kNoTag};
    std::atomic<bool> is_due{false};  // to be made ready by the waker
};

// A Producer submits requests of one kind, by a thread of its own.
class Producer {
  public:
    Producer(size_t rooms, uint32_t percent) : percent_(percent), rooms_(rooms) {}
    virtual ~Producer() = default;
    Producer(const Producer &) = delete;
    Producer &operator=(const Producer &) = delete;

    uint32_t percent() const {
        return percent_;
    }

    // Submits the tags [first, end) as rooms become free; the result is 0 or -errno.
    long Submit(kaio_raw_context ctx, uint32_t first, uint32_t end, const std::atomic<bool> &stop) {
        std::vector<kaio_raw_iocb *> waiting;
        std::vector<size_t> places;
        while ((first < end || !waiting.empty()) && !stop) {
            for (size_t place = 0; place < rooms_.size() && first < end; ++place) {
                if (rooms_[place].tag.load(std::memory_order_acquire) == kNoTag) {
                    rooms_[place].iocb = Prepare(place, first);
                    kaio_raw_set_data(&rooms_[place].iocb, first);
                    rooms_[place].tag.store(first++, std::memory_order_release);
                    waiting.push_back(&rooms_[place].iocb);
                    places.push_back(place);
                }
            }
            long taken = kaio_raw_submit(ctx, static_cast<long>(waiting.size()), waiting.data());
            if (taken < 0 && taken != -EAGAIN) {
                return taken;
            }
            if (taken <= 0) {
                std::this_thread::yield();
                continue;
            }
            for (long i = 0; i < taken; ++i) {
                Submitted(places[i]);
            }
            waiting.erase(waiting.begin(), waiting.begin() + taken);
            places.erase(places.begin(), places.begin() + taken);
        }
        return 0;
    }

    // Answers true if the event is one of this producer's.
    bool Owns(const kaio_raw_event &event) const {
        const auto first = reinterpret_cast<uintptr_t>(rooms_.data());
        return event.obj >= first && event.obj < first + rooms_.size() * sizeof(Room);
    }

    // Answers what is wrong with the event, or nullptr; then its room is free.
    const char *Take(const kaio_raw_event &event) {
        const auto offset = static_cast<size_t>(event.obj - reinterpret_cast<uintptr_t>(rooms_.data()));
        const size_t place = offset / sizeof(Room);
        Room &room = rooms_[place];
        if (event.obj != reinterpret_cast<uintptr_t>(&room.iocb)) {
            return "obj is no iocb";
        }
        if (event.data != room.tag.load(std::memory_order_acquire)) {
            return "data is not that of the iocb";
        }
        if (event.res2 != 0) {
            return "res2 is not 0";
        }
        if (!IsRight(place, static_cast<uint32_t>(event.data), event.res)) {
            return "the result is not the request's";
        }
        room.tag.store(kNoTag, std::memory_order_release);
        return nullptr;
    }

    // Makes ready what is due, in the waker's thread.
    virtual void Wake() {}

  protected:
    virtual kaio_raw_iocb Prepare(size_t place, uint32_t tag) = 0;
    virtual void Submitted(size_t) {}
    virtual bool IsRight(size_t place, uint32_t tag, int64_t res) const = 0;

    Room &room(size_t place) {
        return rooms_[place];
    }
    size_t size() const {
        return rooms_.size();
    }

  private:
    const uint32_t percent_;
    std::vector<Room> rooms_;
};

// Writes to /dev/null end inside kaio_raw_submit. Each is as long as its tag, and so its result.
class NullWrites : public Producer {
  public:
    NullWrites(size_t rooms, uint32_t percent)
        : Producer(rooms, percent), fd_(open("/dev/null", O_WRONLY | O_CLOEXEC)) {
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

// Polls end in the waker's write, in a work queue, or in kaio_raw_submit when the waker is quicker.
class Polls : public Producer {
  public:
    enum Kind { kPipe, kEventfd };

    Polls(Kind kind, size_t rooms, uint32_t percent) : Producer(rooms, percent), ends_(rooms) {
        for (Ends &ends : ends_) {
            if (kind == kPipe) {
                EXPECT_EQ(pipe2(ends.fds, O_CLOEXEC | O_NONBLOCK), 0);
            } else {
                ends.fds[0] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
                ends.fds[1] = dup(ends.fds[0]);
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
            if (room(place).is_due.exchange(false)) {
                EXPECT_EQ(write(ends_[place].fds[1], &kOne, sizeof kOne), sizeof kOne);
            }
        }
    }

  protected:
    kaio_raw_iocb Prepare(size_t place, uint32_t tag) override {
        Ends &ends = ends_[place];
        if (ends.is_ready) {  // by the request before
            uint64_t count = 0;
            EXPECT_EQ(read(ends.fds[0], &count, sizeof count), sizeof count);
        }
        ends.is_ready = true;
        ends.is_woken_early = tag % 2 == 0;
        if (ends.is_woken_early) {
            room(place).is_due = true;
        }
        return kaio_raw_prep_poll(ends.fds[0], POLLIN);
    }

    void Submitted(size_t place) override {
        if (!ends_[place].is_woken_early) {
            room(place).is_due = true;
        }
    }

    bool IsRight(size_t, uint32_t, int64_t res) const override {
        return (res & (POLLIN | POLLERR | POLLHUP | POLLNVAL)) == POLLIN;
    }

  private:
    struct Ends {
        int fds[2] = {-1, -1};
        bool is_ready = false;
        bool is_woken_early = false;
    };

    static constexpr uint64_t kOne = 1;
    std::vector<Ends> ends_;
};

// Reads of a file past the page cache end in the disk's interrupt.
class BlockReads : public Producer {
  public:
    BlockReads(size_t rooms, uint32_t percent) : Producer(rooms, percent), blocks_(rooms + 1) {
        std::string bytes(kBlocks * kBlockBytes, '\0');
        for (uint32_t block = 0; block < kBlocks; ++block) {
            Block words;
            words.fill(block);
            std::memcpy(&bytes[block * kBlockBytes], words.data(), kBlockBytes);
        }
        const std::string path = folder_ / "blocks";
        WriteFile(path, bytes);
        fd_ = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT);
        is_direct_ = fd_ >= 0;
        if (!is_direct_) {
            fd_ = open(path.c_str(), O_RDONLY | O_CLOEXEC);
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
        aligned(place)->fill(kNoTag);
        return kaio_raw_prep_pread(fd_, aligned(place), kBlockBytes, tag % kBlocks * kBlockBytes);
    }

    bool IsRight(size_t place, uint32_t tag, int64_t res) const override {
        const Block &block = *const_cast<BlockReads *>(this)->aligned(place);
        return res == kBlockBytes && std::all_of(block.begin(), block.end(), [tag](uint32_t word) {
                   return word == tag % kBlocks;
               });
    }

  private:
    static constexpr uint32_t kBlocks = 256;
    using Block = std::array<uint32_t, kBlockBytes / sizeof(uint32_t)>;

    Folder folder_;
    int fd_ = -1;
    bool is_direct_ = false;
    std::vector<Block> blocks_;
};

}  // namespace
}  // namespace kaio_test
