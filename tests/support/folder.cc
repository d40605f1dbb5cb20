#include "tests/support/folder.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

namespace kaio_test {
namespace {

std::string FolderForTests() {
    const char *given = getenv("TEST_TMPDIR");
    return given == nullptr || given[0] == '\0' ? "/tmp" : given;
}

}  // namespace

Folder::Folder(const std::string &parent) {
    path_ = (parent.empty() ? FolderForTests() : parent) + "/kaio_XXXXXX";
    EXPECT_NE(mkdtemp(path_.data()), nullptr) << path_;
}

Folder::~Folder() {
    std::error_code error;
    std::filesystem::permissions(path_, std::filesystem::perms::owner_all, error);
    std::filesystem::remove_all(path_, error);
    EXPECT_FALSE(error) << path_ << ": " << error.message();
}

std::vector<std::string> Folder::Names() const {
    std::vector<std::string> names;
    for (const auto &entry : std::filesystem::directory_iterator(path_)) {
        names.push_back(entry.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
}

std::string Pattern(size_t size_bytes, unsigned seed) {
    std::string bytes(size_bytes, '\0');
    uint32_t state = seed * 2654435761u + 1;
    for (char &byte : bytes) {
        state = state * 1664525u + 1013904223u;
        byte = static_cast<char>(1 + (state >> 24) % 255);
    }
    return bytes;
}

void WriteAt(const std::string &path, uint64_t offset_bytes, const std::string &bytes) {
    const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    ASSERT_GE(fd, 0) << path;
    EXPECT_EQ(pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset_bytes)),
              static_cast<ssize_t>(bytes.size()));
    EXPECT_EQ(fsync(fd), 0);
    EXPECT_EQ(close(fd), 0);
}

void WriteFile(const std::string &path, const std::string &bytes) {
    WriteSparse(path, bytes.size(), {{0, bytes}});
}

void WriteSparse(const std::string &path, uint64_t size_bytes, const std::vector<Data> &data) {
    WriteAt(path, 0, "");
    ASSERT_EQ(truncate(path.c_str(), static_cast<off_t>(size_bytes)), 0) << path;
    for (const auto &[offset_bytes, bytes] : data) {
        WriteAt(path, offset_bytes, bytes);
    }
}

std::string ReadFile(const std::string &path) {
    std::ifstream file(path, std::ios::binary);
    EXPECT_TRUE(file) << path;
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

struct stat Stat(const std::string &path) {
    struct stat found = {};
    EXPECT_EQ(lstat(path.c_str(), &found), 0) << path;
    return found;
}

bool WaitFor(const std::function<bool()> &is_so) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    while (!is_so()) {
        if (std::chrono::steady_clock::now() > end) {
            return false;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
}

}  // namespace kaio_test
