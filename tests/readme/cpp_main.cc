// The program around the C++ function of README.md: reads twice, and says how.

#include <fcntl.h>

#include <cstdio>
#include <utility>

#include "kaio/safe/kaio.hpp"

namespace {

#include "cpp_example.inc"

bool Ok(kaio_status status) {
    return kaio_status_is_ok(status);
}

bool Run(const char *path) {
    kaio_queue_options options = {};
    options.depth = 1;
    kaio::queue queue;
    kaio::file file;
    kaio::buffer buffer;
    kaio::completion done;
    kaio_ticket ticket;
    uint32_t ready_count;
    char line[128];
    if (!Ok(kaio::queue::open(options, &queue)) ||
        !Ok(kaio::file::open(path, O_RDONLY, 0, &file)) ||
        !Ok(kaio::buffer::make(4096, 4096, &buffer)) ||
        !Ok(kaio::read::start(queue, file, {0, 0, 4096}, kaio_rw_none(), 7, &buffer, &ticket)) ||
        !Ok(queue.wait(1, kaio_deadline_never(), &ready_count)) || !Ok(queue.take(&done)) ||
        !Ok(read_again(queue, file, &done))) {
        return false;
    }
    done.message(line, sizeof line);
    std::printf("request %u: %s\n", static_cast<unsigned>(done.user), line);
    return Ok(queue.close());
}

}  // namespace

int main(int argc, char **argv) {
    return argc == 2 && Run(argv[1]) ? 0 : 1;
}
