#include "tests/model/world.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "tests/model/check.h"

namespace kaio_model {
namespace {

constexpr size_t kFileBytes = 12000;    // not a multiple of a block
constexpr size_t kDirectBytes = 65536;  // no transfer of a run comes to its end

std::vector<uint8_t> Pattern(size_t size_bytes, uint64_t seed) {
    std::vector<uint8_t> bytes(size_bytes);
    uint64_t state = seed * 2 + 1;
    for (uint8_t &byte : bytes) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        byte = static_cast<uint8_t>(state >> 56);
    }
    return bytes;
}

void WriteAll(int fd, const std::vector<uint8_t> &bytes) {
    MODEL_CHECK(pwrite(fd, bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()),
                strerror(errno));
}

std::vector<uint8_t> ReadAll(int fd) {
    struct stat stat;
    MODEL_CHECK(fstat(fd, &stat) == 0, strerror(errno));
    std::vector<uint8_t> bytes(static_cast<size_t>(stat.st_size));
    MODEL_CHECK(pread(fd, bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()),
                strerror(errno));
    return bytes;
}

std::string TempPath() {
    const char *folder = getenv("TEST_TMPDIR");
    return std::string(folder != nullptr ? folder : "/tmp") + "/kaio_model_XXXXXX";
}

// KernelFlags asks for each flag beside two that exclude each other: a kernel that knows them all
// says so (EINVAL) before it looks at the file. Not by the C library, whose preadv2 says EOPNOTSUPP
// for a kernel that has none.
uint32_t KernelFlags(int pipe_fd) {
    uint32_t known = 0;
    for (uint32_t flag = 1; flag <= 0x100; flag <<= 1) {
        char byte;
        iovec part = {&byte, 1};
        const long answer =
            syscall(SYS_preadv2, pipe_fd, &part, 1L, -1L, -1L, static_cast<long>(flag | 0x30));
        MODEL_CHECK(answer < 0, "both flags were taken");
        known |= errno == EOPNOTSUPP ? 0 : flag;
    }
    return known;
}

// CanFork: emulators promise MADV_WIPEONFORK, and keep the memory.
bool CanFork() {
    const size_t size = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    void *memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MODEL_CHECK(memory != MAP_FAILED, strerror(errno));
    const bool is_promised = madvise(memory, size, MADV_WIPEONFORK) == 0;
    memset(memory, 1, 1);
    const pid_t child = fork();
    MODEL_CHECK(child >= 0, strerror(errno));
    if (child == 0) {
        _exit(memcmp(memory, "", 1) == 0 ? 0 : 1);
    }
    int status = 0;
    MODEL_CHECK(waitpid(child, &status, 0) == child, strerror(errno));
    munmap(memory, size);
    return !is_promised || (WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

}  // namespace

World::World() {
    for (size_t i = 0; i + 1 < kFileCount; ++i) {
        Resource file;
        file.fd = memfd_create("kaio_model", MFD_CLOEXEC);
        MODEL_CHECK(file.fd >= 0, strerror(errno));
        file.path = "/proc/self/fd/" + std::to_string(file.fd);
        file.content = &contents_[i];
        resources.push_back(file);
    }
    Resource direct;
    std::string path = TempPath();
    direct.fd = mkstemp(path.data());
    MODEL_CHECK(direct.fd >= 0, strerror(errno));
    direct.path = path;
    direct.open_flags = O_DIRECT;
    direct.is_slow = true;
    direct.content = &contents_[kFileCount - 1];
    WriteAll(direct.fd, Pattern(kDirectBytes, 1));
    resources.push_back(direct);
    for (uint32_t i = 0; i < kPipeCount; ++i) {
        const bool is_blocking = i == 0;
        Content *content = &contents_[kFileCount + i];
        content->is_pipe = true;
        MODEL_CHECK(pipe2(pipes_[i], O_CLOEXEC | (is_blocking ? 0 : O_NONBLOCK)) == 0,
                    strerror(errno));
        for (int end = 0; end < 2; ++end) {
            Resource pipe;
            pipe.fd = pipes_[i][end];
            pipe.is_readable = end == 0;
            pipe.is_writable = end == 1;
            pipe.can_sleep = is_blocking;
            pipe.content = content;
            resources.push_back(pipe);
        }
    }
    kernel_flags = KernelFlags(pipes_[1][0]);
    can_fork = CanFork();
}

World::~World() {
    for (const Resource &resource : resources) {
        if (resource.is_slow) {
            unlink(resource.path.c_str());
        }
        close(resource.fd);
    }
}

void World::Reset(uint64_t seed) {
    for (Resource &resource : resources) {
        Content *content = resource.content;
        if (content->is_pipe) {
            content->fifo.clear();
        } else if (resource.is_slow) {
            content->image = ReadAll(resource.fd);
        } else {
            content->image = Pattern(kFileBytes, seed++);
            MODEL_CHECK(ftruncate(resource.fd, 0) == 0, strerror(errno));
            WriteAll(resource.fd, content->image);
        }
    }
}

void World::Check() {
    for (const Resource &resource : resources) {
        if (!resource.content->is_pipe) {
            MODEL_CHECK(ReadAll(resource.fd) == resource.content->image,
                        "a file is not as written");
        }
    }
    for (uint32_t i = 0; i < kPipeCount; ++i) {
        Drain(i, UINT32_MAX);
    }
}

void World::Feed(uint32_t which, uint32_t size_bytes, uint64_t seed) {
    Content *content = &contents_[kFileCount + which];
    if (content->fifo.size() + size_bytes > 4096) {
        return;  // always room enough, so that it never waits
    }
    const std::vector<uint8_t> bytes = Pattern(size_bytes, seed);
    const ssize_t written = write(pipes_[which][1], bytes.data(), bytes.size());
    for (ssize_t i = 0; i < written; ++i) {
        content->fifo.push_back(bytes[static_cast<size_t>(i)]);
    }
}

void World::Drain(uint32_t which, uint32_t size_bytes) {
    Content *content = &contents_[kFileCount + which];
    while (size_bytes > 0 && !content->fifo.empty()) {
        uint8_t bytes[4096];
        const size_t wanted = std::min({size_t{size_bytes}, sizeof bytes, content->fifo.size()});
        const ssize_t count = read(pipes_[which][0], bytes, wanted);
        MODEL_CHECK(count == static_cast<ssize_t>(wanted), "less in the pipe than was written");
        for (size_t i = 0; i < wanted; ++i) {
            MODEL_CHECK(bytes[i] == content->fifo.front(), "other bytes in the pipe");
            content->fifo.pop_front();
        }
        size_bytes -= static_cast<uint32_t>(wanted);
    }
}

}  // namespace kaio_model
