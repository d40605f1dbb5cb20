// The C++ layer: a copy of a file that keeps its depth, and gives up where something is wrong.

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "kaio/safe/kaio.hpp"

namespace {

constexpr uint32_t kDepth = 4;
constexpr uint32_t kBlockBytes = 4096;
constexpr uint64_t kBlockCount = 16;

bool Ok(kaio_status status) {
    return kaio_status_is_ok(status);
}

kaio_range Block(uint64_t index) {
    return {index * kBlockBytes, 0, kBlockBytes};
}

// A Copy reads block after block and writes each where its completion says.
class Copy {
  public:
    bool Open(const char *from, const char *to) {
        kaio_queue_options options = {};
        options.depth = kDepth;
        return Ok(kaio::file::open(from, O_RDONLY, 0, &from_)) &&
               Ok(kaio::file::open(to, O_WRONLY, 0, &to_)) &&
               Ok(kaio::queue::open(options, &queue_));
    }

    bool Run() {
        for (uint32_t i = 0; i < kDepth; ++i) {
            kaio::buffer buffer;
            if (!Ok(kaio::buffer::make(kBlockBytes, kBlockBytes, &buffer)) || !Read(&buffer)) {
                return false;
            }
        }
        while (written_ < kBlockCount) {
            if (!Turn()) {
                return false;
            }
        }
        return Sync();
    }

  private:
    bool Turn() {
        uint32_t ready = 0;
        kaio::completion done;
        if (!Ok(queue_.wait(1, kaio_deadline_never(), &ready)) || !Ok(queue_.take(&done)) ||
            done.transfer != KAIO_TRANSFER_FULL) {
            return false;
        }
        kaio::buffer buffer = done.move_buffer();
        if (done.operation == KAIO_READ) {
            return Write(done.range, std::move(buffer), done.user);
        }
        ++written_;
        return Read(&buffer);
    }

    bool Read(kaio::buffer *move_buffer) {
        kaio_ticket ticket;
        if (next_ == kBlockCount) {
            return true;
        }
        const uint64_t index = next_++;
        return Ok(kaio::read::start(queue_, from_, Block(index), kaio_rw_none(), index, move_buffer,
                                    &ticket));
    }

    // The long form: what throws between `make` and `push` loses nothing.
    bool Write(kaio_range range, kaio::buffer buffer, uint64_t user) {
        kaio::write write;
        if (!Ok(kaio::write::make(queue_, to_, range, kaio_rw_none(), &buffer, &write))) {
            return false;
        }
        users_.push_back(user);
        return std::move(write).push(user).bits != 0;
    }

    bool Sync() {
        uint32_t ready = 0;
        kaio_ticket ticket;
        kaio::completion done;
        return Ok(kaio::sync::start(queue_, to_, KAIO_SYNC_DATA, 0, &ticket)) &&
               Ok(queue_.wait(1, kaio_deadline_never(), &ready)) && Ok(queue_.take(&done)) &&
               done.sync == KAIO_SYNC_SYNCED && Ok(queue_.close());
    }

    kaio::queue queue_;
    kaio::file from_;
    kaio::file to_;
    uint64_t next_ = 0;
    uint64_t written_ = 0;
    std::vector<uint64_t> users_;
};

// Owners in a container, abandoned, given back and pushed.
bool Idle(const char *path) {
    std::array<kaio::read, kDepth> reads;
    kaio::file file;
    kaio::queue queue;
    kaio_queue_options options = {};
    options.depth = kDepth;
    if (!Ok(kaio::queue::open(options, &queue)) ||
        !Ok(kaio::file::open(path, O_RDONLY, 0, &file))) {
        return false;
    }
    for (kaio::read &read : reads) {
        kaio::buffer buffer;
        if (!Ok(kaio::buffer::make(kBlockBytes, kBlockBytes, &buffer)) ||
            !Ok(kaio::read::make(queue, file, Block(0), kaio_rw_none(), &buffer, &read))) {
            return false;
        }
    }
    kaio::buffer back;
    if (!Ok(reads[0].abandon(&back)) || reads[0] || back.as_bytes() == nullptr) {
        return false;
    }
    std::move(reads[1]).push(1);
    uint32_t lost_count = 0;
    kaio_destroy_report report;
    return Ok(queue.destroy([&](kaio::completion &) { ++lost_count; }, &report)) &&
           lost_count == kDepth - 1;
}

bool Run(const char *from, const char *to) {
    Copy copy;
    return copy.Open(from, to) && copy.Run() && Idle(from);
}

}  // namespace

int main() {
    char to[] = "/tmp/kaio_corpus_XXXXXX";
    const int fd = mkstemp(to);
    if (fd < 0) {
        return 1;
    }
    close(fd);
    const bool is_good = Run("/dev/zero", to);
    unlink(to);
    return is_good ? 0 : 1;
}
