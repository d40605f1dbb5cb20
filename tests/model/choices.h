// Where the decisions of a random run come from: a seed, or the bytes of a fuzzer.

#ifndef KAIO_TESTS_MODEL_CHOICES_H_
#define KAIO_TESTS_MODEL_CHOICES_H_

#include <cstddef>
#include <cstdint>

namespace kaio_model {

class Choices {
  public:
    explicit Choices(uint64_t seed) : state_(seed) {}
    Choices(const uint8_t *bytes, size_t size) : bytes_(bytes), size_(size), is_fuzzed_(true) {}

    // Below gives a number in [0, bound); 0 when the bytes are used up.
    uint32_t Below(uint32_t bound) {
        return bound <= 1 ? 0 : static_cast<uint32_t>(Next(bound <= 256 ? 1 : 4) % bound);
    }

    bool OneIn(uint32_t n) {
        return Below(n) == n - 1;  // not 0: used up bytes choose what is usual
    }

    uint64_t Bits() {
        return Next(8);
    }

    // No bytes are left; a seed never ends.
    bool IsOver() const {
        return is_fuzzed_ && size_ == 0;
    }

  private:
    uint64_t Next(size_t wanted_bytes) {
        if (!is_fuzzed_) {  // splitmix64
            uint64_t z = (state_ += UINT64_C(0x9e3779b97f4a7c15));
            z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
            z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
            return z ^ (z >> 31);
        }
        uint64_t value = 0;
        for (; wanted_bytes > 0 && size_ > 0; --wanted_bytes, --size_) {
            value = value << 8 | *bytes_++;
        }
        return value;
    }

    uint64_t state_ = 0;
    const uint8_t *bytes_ = nullptr;
    size_t size_ = 0;
    bool is_fuzzed_ = false;
};

}  // namespace kaio_model

#endif  // KAIO_TESTS_MODEL_CHOICES_H_
