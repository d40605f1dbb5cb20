// The files that a random run works on, and what must be in them: an image of each, which follows
// what the simulated kernel says it did.

#ifndef KAIO_TESTS_MODEL_WORLD_H_
#define KAIO_TESTS_MODEL_WORLD_H_

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

namespace kaio_model {

// What can be read from a file, or is in a pipe.
struct Content {
    bool is_pipe = false;
    std::vector<uint8_t> image;  // of a file
    std::deque<uint8_t> fifo;    // of a pipe
};

struct Resource {
    int fd = -1;
    std::string path;  // to open it by; empty: it has none
    int open_flags = 0;
    bool is_readable = true;
    bool is_writable = true;
    bool can_sleep = false;  // a transfer of a file that is not told so may wait for ever
    bool is_slow = false;    // a disk takes part
    Content *content = nullptr;
};

// A World has the same resources for a whole run; Reset makes its contents anew.
class World {
  public:
    World();
    ~World();
    World(const World &) = delete;
    World &operator=(const World &) = delete;

    void Reset(uint64_t seed);
    // Check compares every content with its image, which empties the pipes.
    void Check();

    // Feed and Drain are the other ends of pipe number `which`.
    void Feed(uint32_t which, uint32_t size_bytes, uint64_t seed);
    void Drain(uint32_t which, uint32_t size_bytes);

    static constexpr uint32_t kPipeCount = 2;
    std::vector<Resource> resources;
    uint32_t kernel_flags = 0;  // RWF_* that this kernel knows
    bool can_fork = false;      // as a kernel does it

  private:
    static constexpr size_t kFileCount = 3;  // the last one is for direct I/O
    Content contents_[kFileCount + kPipeCount];
    int pipes_[kPipeCount][2];
};

}  // namespace kaio_model

#endif  // KAIO_TESTS_MODEL_WORLD_H_
