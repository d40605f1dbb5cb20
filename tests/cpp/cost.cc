// cost: operations through the C layer and through the C++ layer, for callgrind to count.
//
// Usage: cost c|cpp|c-run|cpp-run BATCH ROUNDS
//
// Reads of /dev/zero, BATCH of them sent together, ROUNDS times: started, waited for and taken, or
// by handlers of the run loop. Each way is written as its language would have it.

#include <fcntl.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "kaio/safe/kaio.h"
#include "kaio/safe/kaio.hpp"

namespace {

constexpr long kBatchMax = 64;
constexpr uint32_t kSizeBytes = 512;

volatile uint64_t sink;  // where what was taken goes: it must not be optimised away

bool Ok(kaio_status status) {
    return kaio_status_is_ok(status);
}

kaio_range Range() {
    return {0, 0, kSizeBytes};
}

// ---- C ----

struct CBench {
    kaio_queue *queue;
    kaio_file *file;
    kaio_buffer *buffers[kBatchMax];
    uint64_t next;
};

__attribute__((noinline)) bool Round(CBench *bench, long batch) {
    kaio_ticket ticket;
    uint32_t ready_count;
    for (long i = 0; i < batch; ++i) {
        if (!Ok(kaio_read_start(bench->queue, bench->file, Range(), kaio_rw_none(),
                                static_cast<uint64_t>(i), &bench->buffers[i], &ticket))) {
            return false;
        }
    }
    if (!Ok(kaio_queue_wait(bench->queue, static_cast<uint32_t>(batch), kaio_deadline_never(),
                            &ready_count))) {
        return false;
    }
    kaio_completion done = {};
    for (long i = 0; i < batch; ++i) {
        if (!Ok(kaio_queue_take(bench->queue, &done))) {
            return false;
        }
        sink = done.user + done.moved_bytes;
        bench->buffers[i] = done.buffer;
    }
    return true;
}

void OnRead(void *context, uint64_t user, kaio_read_result *result) {
    auto *bench = static_cast<CBench *>(context);
    sink = user + result->moved_bytes;
    bench->buffers[bench->next++] = result->buffer;
    result->buffer = nullptr;
}

__attribute__((noinline)) bool RunRound(CBench *bench, long batch) {
    kaio_ticket ticket;
    kaio_run_report report;
    for (long i = 0; i < batch; ++i) {
        if (!Ok(kaio_read_start(bench->queue, bench->file, Range(), kaio_rw_none(),
                                static_cast<uint64_t>(i), &bench->buffers[i], &ticket))) {
            return false;
        }
    }
    bench->next = 0;
    kaio_handlers handlers = {};
    handlers.on_read = OnRead;
    return Ok(kaio_queue_run(bench->queue, &handlers, bench, kaio_deadline_never(), &report));
}

// ---- C++ ----

struct CppBench {
    kaio::queue queue;
    kaio::file file;
    kaio::buffer buffers[kBatchMax];
    uint64_t next = 0;

    void on_read(uint64_t user, kaio::read_result &result) {
        sink = user + result.moved_bytes;
        buffers[next++] = result.move_buffer();
    }
};

__attribute__((noinline)) bool Start(CppBench *bench, long batch) {
    kaio_ticket ticket;
    for (long i = 0; i < batch; ++i) {
        if (!Ok(kaio::read::start(bench->queue, bench->file, Range(), kaio_rw_none(),
                                  static_cast<uint64_t>(i), &bench->buffers[i], &ticket))) {
            return false;
        }
    }
    return true;
}

__attribute__((noinline)) bool Round(CppBench *bench, long batch) {
    kaio_ticket ticket;
    uint32_t ready_count;
    for (long i = 0; i < batch; ++i) {
        if (!Ok(kaio::read::start(bench->queue, bench->file, Range(), kaio_rw_none(),
                                  static_cast<uint64_t>(i), &bench->buffers[i], &ticket))) {
            return false;
        }
    }
    if (!Ok(bench->queue.wait(static_cast<uint32_t>(batch), kaio_deadline_never(), &ready_count))) {
        return false;
    }
    kaio::completion done;
    for (long i = 0; i < batch; ++i) {
        if (!Ok(bench->queue.take(&done))) {
            return false;
        }
        sink = done.user + done.moved_bytes;
        bench->buffers[i] = done.move_buffer();
    }
    return true;
}

__attribute__((noinline)) bool RunRound(CppBench *bench, long batch) {
    kaio_run_report report;
    bench->next = 0;
    return Start(bench, batch) && Ok(bench->queue.run(*bench, kaio_deadline_never(), &report));
}

// ---- both ----

template <typename Bench>
bool Rounds(Bench *bench, bool by_run, long batch, long rounds) {
    bool is_good = true;
    for (long round = 0; is_good && round < rounds; ++round) {
        is_good = by_run ? RunRound(bench, batch) : Round(bench, batch);
    }
    return is_good;
}

bool Open(CppBench *bench) {
    kaio_queue_options options = {};
    options.depth = kBatchMax;
    bool is_good = Ok(kaio::queue::open(options, &bench->queue)) &&
                   Ok(kaio::file::open("/dev/zero", O_RDONLY, 0, &bench->file));
    for (kaio::buffer &buffer : bench->buffers) {
        is_good = is_good && Ok(kaio::buffer::make(kSizeBytes, kSizeBytes, &buffer));
    }
    return is_good;
}

bool RunInC(CppBench *owners, bool by_run, long batch, long rounds) {
    CBench bench = {owners->queue.get(), owners->file.get(), {}, 0};
    for (long i = 0; i < kBatchMax; ++i) {
        bench.buffers[i] = owners->buffers[i].release();
    }
    const bool is_good = Rounds(&bench, by_run, batch, rounds);
    for (long i = 0; i < kBatchMax; ++i) {
        owners->buffers[i].reset(bench.buffers[i]);
    }
    return is_good;
}

bool Run(const char *way, long batch, long rounds) {
    CppBench bench;
    const bool by_run = std::strstr(way, "-run") != nullptr;
    if (batch < 1 || batch > kBatchMax || !Open(&bench)) {
        return false;
    }
    return std::strncmp(way, "cpp", 3) == 0 ? Rounds(&bench, by_run, batch, rounds)
                                            : RunInC(&bench, by_run, batch, rounds);
}

}  // namespace

int main(int argc, char **argv) {
    if (argc != 4 ||
        !Run(argv[1], std::strtol(argv[2], nullptr, 10), std::strtol(argv[3], nullptr, 10))) {
        std::fputs("usage: cost c|cpp|c-run|cpp-run BATCH ROUNDS\n", stderr);
        return 1;
    }
    return 0;
}
