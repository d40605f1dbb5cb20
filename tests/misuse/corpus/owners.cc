// C++ owners of a user's own around the handles: unique_ptr, a container of requests, a lambda.

#include <fcntl.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "kaio/safe/kaio.h"

namespace {

struct Drop {
    void operator()(kaio_queue *queue) const {
        kaio_queue_drop(&queue);
    }
    void operator()(kaio_file *file) const {
        kaio_file_drop(&file);
    }
};

constexpr uint32_t kCount = 6;

bool Ok(kaio_status status) {
    return kaio_status_is_ok(status);
}

// A Reads owns idle requests; what is never pushed is dropped.
class Reads {
  public:
    Reads() = default;
    ~Reads() {
        for (kaio_read *&read : reads_) {
            kaio_read_drop(&read);
        }
    }
    Reads(const Reads &) = delete;
    Reads &operator=(const Reads &) = delete;

    bool Add(kaio_queue *queue, kaio_file *file) {
        KAIO_SCOPED(kaio_buffer) buffer = KAIO_NULL;
        kaio_read *read = KAIO_NULL;
        if (!Ok(kaio_buffer_new(64, 64, &buffer)) ||
            !Ok(kaio_read_new(queue, file, {0, 0, 64}, kaio_rw_none(), &buffer, &read))) {
            return false;
        }
        reads_.push_back(read);
        return true;
    }

    // Pushes every second one.
    uint32_t PushSome() {
        uint32_t count = 0;
        for (kaio_read *&read : reads_) {
            if (count % 2 == 0) {
                kaio_read_push(&read, count);
            }
            ++count;
        }
        return (count + 1) / 2;
    }

  private:
    std::vector<kaio_read *> reads_;
};

bool Run(kaio_queue *queue, kaio_file *file) {
    Reads reads;
    for (uint32_t i = 0; i < kCount; ++i) {
        if (!reads.Add(queue, file)) {
            return false;
        }
    }
    const uint32_t pushed = reads.PushSome();
    uint32_t ready = 0;
    if (!Ok(kaio_queue_wait(queue, pushed, kaio_deadline_never(), &ready)) || ready != pushed) {
        return false;
    }
    const auto take = [queue] {
        kaio_completion completion = {};
        const bool is_good =
            Ok(kaio_queue_take(queue, &completion)) && completion.transfer == KAIO_TRANSFER_FULL;
        kaio_completion_drop(&completion);
        return is_good;
    };
    for (uint32_t i = 0; i < ready; ++i) {
        if (!take()) {
            return false;
        }
    }
    return true;
}

}  // namespace

int main() {
    kaio_queue_options options = {};
    options.depth = kCount;
    kaio_queue *queue = KAIO_NULL;
    kaio_file *file = KAIO_NULL;
    if (!Ok(kaio_queue_open(&options, &queue))) {
        return 1;
    }
    const std::unique_ptr<kaio_queue, Drop> queue_owner(queue);
    if (!Ok(kaio_file_open("/dev/zero", O_RDONLY, 0, &file))) {
        return 1;
    }
    const std::unique_ptr<kaio_file, Drop> file_owner(file);
    return Run(queue, file) ? 0 : 1;
}
