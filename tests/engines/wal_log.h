// A log in a folder of its own, and what is in it.

#ifndef KAIO_TESTS_ENGINES_WAL_LOG_H_
#define KAIO_TESTS_ENGINES_WAL_LOG_H_

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <vector>

extern "C" {
#include "wal.h"
}

namespace kaio_test {

// A Folder of segment files. `root` may be one in memory.
class Folder {
  public:
    explicit Folder(const std::string &root = testing::TempDir()) {
        std::string name = root + "/wal_XXXXXX";
        path_ = mkdtemp(&name[0]) == nullptr ? "" : name;
        EXPECT_NE(path_, "") << root;
    }
    ~Folder() {
        Empty();
        rmdir(path_.c_str());
    }
    Folder(const Folder &) = delete;
    Folder &operator=(const Folder &) = delete;

    void Empty() {
        for (int i = 0; unlink(File(i).c_str()) == 0; ++i) {
        }
    }

    std::string File(int segment) const {
        return path_ + "/" + std::to_string(segment) + ".wal";
    }
    const char *path() const {
        return path_.c_str();
    }

  private:
    std::string path_;
};

// What a recovery found.
struct Found {
    wal_code code = WAL_SYSTEM;
    wal_recovery recovery = {};
    wal_error error = {};
    uint64_t first_number = 0;
    std::vector<std::string> records;  // from first_number on
};

// Recover opens a log. `*out_log` stays as it is when that fails.
inline Found Recover(const wal_options &options, wal **out_log) {
    Found found;
    const auto on_record = [](void *context, uint64_t number, const uint8_t *bytes,
                              uint32_t size_bytes) {
        Found *into = static_cast<Found *>(context);
        if (into->records.empty()) {
            into->first_number = number;
        }
        EXPECT_EQ(number, into->first_number + into->records.size()) << "records out of order";
        into->records.emplace_back(reinterpret_cast<const char *>(bytes), size_bytes);
    };
    found.code = wal_open(&options, on_record, &found, out_log, &found.recovery, &found.error);
    return found;
}

// The content of record `number`: any size up to `max_bytes`, the same every time.
inline std::string RecordOf(uint64_t number, uint32_t max_bytes, uint64_t seed = 0) {
    uint64_t state = number * UINT64_C(0x9e3779b97f4a7c15) + seed;
    state ^= state >> 29;
    std::string bytes(state % (max_bytes + 1), '\0');
    for (char &byte : bytes) {
        state = state * UINT64_C(6364136223846793005) + 1;
        byte = static_cast<char>(state >> 56);
    }
    return bytes;
}

}  // namespace kaio_test

#endif  // KAIO_TESTS_ENGINES_WAL_LOG_H_
