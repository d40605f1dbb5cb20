// The page store: what was written to a page is read, whoever does it, whatever the cache has room
// for.
//
// KAIO_PAGES_OPERATIONS=2000000 makes so many in PagesTest.ManyThreadsSeeWhatWasWritten.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <vector>

extern "C" {
#include "pages.h"
}

namespace kaio_test {
namespace {

constexpr uint64_t kPages = 400;
constexpr uint32_t kFrames = 64;

struct Content {
    uint64_t number;
    uint64_t version;
    uint8_t bytes[PAGES_CONTENT_BYTES - 16];
};
static_assert(sizeof(Content) == PAGES_CONTENT_BYTES, "one page");

void Fill(Content *content, uint64_t number, uint64_t version) {
    content->number = number;
    content->version = version;
    uint64_t state = number * 1000003 + version;
    for (size_t i = 0; i + 8 <= sizeof content->bytes; i += 8) {
        state = state * UINT64_C(6364136223846793005) + 1;
        memcpy(content->bytes + i, &state, 8);
    }
}

// Whether it is page `number` in any version; a page that was never written is 0 and version 0.
bool IsWhole(const Content &content, uint64_t number) {
    Content want = {};
    if (content.version != 0) {
        Fill(&want, number, content.version);
    }
    return memcmp(&want, &content, sizeof want) == 0;
}

class PagesTest : public testing::TestWithParam<bool> {  // whether it is buffered
  protected:
    void SetUp() override {
        std::string name = testing::TempDir() + "/pages_XXXXXX";
        ASSERT_NE(mkdtemp(&name[0]), nullptr);
        folder_ = name;
        path_ = folder_ + "/file";
    }

    void TearDown() override {
        EXPECT_EQ(pages_close(store_), PAGES_OK);
        unlink(path_.c_str());
        rmdir(folder_.c_str());
    }

    pages_options Options(bool is_new) const {
        pages_options options = {};
        options.path = path_.c_str();
        options.page_count = kPages;
        options.frame_count = kFrames;
        options.is_new = is_new;
        options.is_buffered = GetParam();
        return options;
    }

    void Open(bool is_new) {
        const pages_options options = Options(is_new);
        pages_error error = {};
        ASSERT_EQ(pages_open(&options, &store_, &error), PAGES_OK) << error.text;
        EXPECT_EQ(pages_count(store_), kPages);
    }

    void Reopen() {
        EXPECT_EQ(pages_close(store_), PAGES_OK);
        store_ = nullptr;
        Open(false);
    }

    pages_worker *Worker() {
        pages_worker *worker = nullptr;
        pages_error error = {};
        EXPECT_EQ(pages_worker_open(store_, &worker, &error), PAGES_OK) << error.text;
        return worker;
    }

    void Damage(uint64_t number, const void *bytes, size_t size) {
        const int fd = open(path_.c_str(), O_RDWR | O_CLOEXEC);
        EXPECT_EQ(pwrite(fd, bytes, size, static_cast<off_t>(number * PAGES_PAGE_BYTES)),
                  static_cast<ssize_t>(size));
        fsync(fd);
        close(fd);
    }

    std::string Raw(uint64_t number) {
        std::string page(PAGES_PAGE_BYTES, '\0');
        const int fd = open(path_.c_str(), O_RDONLY | O_CLOEXEC);
        EXPECT_EQ(pread(fd, &page[0], page.size(), static_cast<off_t>(number * PAGES_PAGE_BYTES)),
                  static_cast<ssize_t>(page.size()));
        close(fd);
        return page;
    }

    void WriteAll(pages_worker *worker, uint64_t version) {
        for (uint64_t number = 0; number < kPages; ++number) {
            Content content;
            Fill(&content, number, version);
            ASSERT_EQ(pages_write(worker, number, &content), PAGES_OK) << pages_failure(store_);
        }
    }

    // Reads every page by a scan: all are whole; returns how many have `version`.
    uint64_t ScanAll(pages_worker *worker, uint64_t version) {
        struct Seen {
            uint64_t version;
            uint64_t next;
            uint64_t count;
        } seen = {version, 0, 0};
        const auto look = [](void *context, uint64_t number, const uint8_t *bytes) {
            Seen *into = static_cast<Seen *>(context);
            EXPECT_EQ(number, into->next++);
            Content content;
            memcpy(&content, bytes, sizeof content);
            EXPECT_TRUE(IsWhole(content, number)) << number;
            into->count += content.version == into->version;
        };
        EXPECT_EQ(pages_scan(worker, 0, kPages, look, &seen), PAGES_OK) << pages_failure(store_);
        EXPECT_EQ(seen.next, kPages);
        return seen.count;
    }

    std::string folder_;
    std::string path_;
    pages *store_ = nullptr;
};

INSTANTIATE_TEST_SUITE_P(Files, PagesTest, testing::Bool(),
                         [](const testing::TestParamInfo<bool> &is_buffered) {
                             return is_buffered.param ? "Buffered" : "Direct";
                         });

TEST_P(PagesTest, ANewStoreIsAllZero) {
    Open(true);
    pages_worker *worker = Worker();
    EXPECT_EQ(ScanAll(worker, 0), kPages);
    pages_worker_close(worker);
}

TEST_P(PagesTest, WhatWasWrittenIsReadAlsoWhenTheCacheIsSmaller) {
    Open(true);
    pages_worker *worker = Worker();
    WriteAll(worker, 1);
    EXPECT_EQ(ScanAll(worker, 1), kPages);
    WriteAll(worker, 2);
    for (uint64_t number = kPages; number-- > 0;) {
        Content content;
        ASSERT_EQ(pages_read(worker, number, &content), PAGES_OK) << pages_failure(store_);
        EXPECT_TRUE(IsWhole(content, number));
        EXPECT_EQ(content.version, 2u);
    }
    pages_worker_close(worker);
    const pages_counters counters = pages_count_work(store_);
    EXPECT_GT(counters.written_count, kPages);
    EXPECT_GT(counters.miss_count, kPages / 2);
}

TEST_P(PagesTest, WhatWasFlushedIsInTheFile) {
    Open(true);
    pages_worker *worker = Worker();
    WriteAll(worker, 3);
    EXPECT_EQ(pages_flush(store_), PAGES_OK);
    for (uint64_t number = 0; number < kPages; ++number) {
        Content content;
        memcpy(&content, Raw(number).data() + PAGES_HEAD_BYTES, sizeof content);
        EXPECT_TRUE(IsWhole(content, number)) << number;
        EXPECT_EQ(content.version, 3u);
    }
    pages_worker_close(worker);
    Reopen();
    worker = Worker();
    EXPECT_EQ(ScanAll(worker, 3), kPages);
    pages_worker_close(worker);
}

TEST_P(PagesTest, AScanReadsSeveralPagesAtOnce) {
    Open(true);
    pages_worker *worker = Worker();
    EXPECT_EQ(ScanAll(worker, 0), kPages);
    const pages_counters counters = pages_count_work(store_);
    EXPECT_EQ(counters.read_ahead_count, kPages);
    EXPECT_EQ(counters.miss_count, 0u);
    pages_worker_close(worker);
}

TEST_P(PagesTest, PagesThatAreNotThereAreRefused) {
    Open(true);
    pages_worker *worker = Worker();
    Content content = {};
    EXPECT_EQ(pages_read(worker, kPages, &content), PAGES_RANGE);
    EXPECT_EQ(pages_write(worker, UINT64_MAX, &content), PAGES_RANGE);
    const auto look = [](void *, uint64_t, const uint8_t *) {};
    EXPECT_EQ(pages_scan(worker, 1, kPages, look, nullptr), PAGES_RANGE);
    EXPECT_EQ(pages_scan(worker, UINT64_MAX, 1, look, nullptr), PAGES_RANGE);
    pages_worker_close(worker);
}

TEST_P(PagesTest, ADamagedPageIsFoundAndNoOther) {
    Open(true);
    pages_worker *worker = Worker();
    WriteAll(worker, 1);
    pages_worker_close(worker);
    EXPECT_EQ(pages_close(store_), PAGES_OK);
    store_ = nullptr;
    std::string page = Raw(7);
    page[2000] = static_cast<char>(page[2000] ^ 1);
    Damage(7, page.data(), page.size());
    const std::string misplaced = Raw(9);
    Damage(8, misplaced.data(), misplaced.size());

    Open(false);
    worker = Worker();
    Content content;
    for (uint64_t number : {7u, 8u}) {
        EXPECT_EQ(pages_read(worker, number, &content), PAGES_DAMAGED);
        EXPECT_EQ(std::string(pages_failure(store_)),
                  "page " + std::to_string(number) + ": its checksum is not that of its bytes");
    }
    EXPECT_EQ(pages_read(worker, 9, &content), PAGES_OK);
    // Written anew it is good.
    Fill(&content, 7, 2);
    EXPECT_EQ(pages_write(worker, 7, &content), PAGES_OK);
    EXPECT_EQ(pages_read(worker, 7, &content), PAGES_OK);
    pages_worker_close(worker);
}

// A disk that says it wrote, and did not.
TEST_P(PagesTest, AnOlderVersionOfAPageIsFound) {
    Open(true);
    pages_worker *worker = Worker();
    WriteAll(worker, 1);
    EXPECT_EQ(pages_flush(store_), PAGES_OK);
    const std::string older = Raw(5);
    const std::string nothing(PAGES_PAGE_BYTES, '\0');
    WriteAll(worker, 2);
    EXPECT_EQ(pages_flush(store_), PAGES_OK);
    EXPECT_EQ(ScanAll(worker, 2), kPages);  // the first pages are not in the cache any more
    Damage(5, older.data(), older.size());
    Damage(6, nothing.data(), nothing.size());

    Content content;
    EXPECT_EQ(pages_read(worker, 5, &content), PAGES_DAMAGED);
    EXPECT_STREQ(pages_failure(store_), "page 5: an older one than was written");
    EXPECT_EQ(pages_read(worker, 6, &content), PAGES_DAMAGED);
    EXPECT_STREQ(pages_failure(store_), "page 6: what was written to it is gone");
    pages_worker_close(worker);
}

// Each page is written by one thread and read by all.
TEST_P(PagesTest, ManyThreadsSeeWhatWasWritten) {
    constexpr uint32_t kThreads = 4;
    const char *text = getenv("KAIO_PAGES_OPERATIONS");
    const uint64_t operations = text == nullptr ? 40000 : strtoull(text, nullptr, 10);
    Open(true);
    std::vector<uint64_t> versions(kPages, 0);  // each its writer's
    std::atomic<uint64_t> bad_count{0};
    std::vector<std::thread> threads;
    for (uint32_t t = 0; t < kThreads; ++t) {
        threads.emplace_back([&, t] {
            pages_worker *worker = Worker();
            std::mt19937_64 random(t);
            Content content;
            for (uint64_t i = 0; i < operations / kThreads && bad_count == 0; ++i) {
                uint64_t number = random() % kPages;
                number = random() % 4 == 0 ? number : number % 80;  // some are wanted more often
                const bool is_own = number % kThreads == t;
                if (is_own && random() % 2 == 0) {
                    Fill(&content, number, ++versions[number]);
                    bad_count += pages_write(worker, number, &content) != PAGES_OK;
                } else {
                    bad_count += pages_read(worker, number, &content) != PAGES_OK;
                    bad_count += !IsWhole(content, number);
                    bad_count += is_own && content.version != versions[number];
                }
                if (t == 0 && i % 5000 == 4999) {
                    bad_count += pages_flush(store_) != PAGES_OK;
                }
            }
            pages_worker_close(worker);
        });
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    EXPECT_EQ(bad_count, 0u) << pages_failure(store_);
    const pages_counters counters = pages_count_work(store_);
    EXPECT_GT(counters.hit_count, operations / 4);
    EXPECT_GT(counters.miss_count, operations / 20);
    EXPECT_GT(counters.written_count, operations / 40);

    Reopen();
    pages_worker *worker = Worker();
    for (uint64_t number = 0; number < kPages; ++number) {
        Content content;
        ASSERT_EQ(pages_read(worker, number, &content), PAGES_OK) << pages_failure(store_);
        EXPECT_TRUE(IsWhole(content, number)) << number;
        EXPECT_EQ(content.version, versions[number]) << number;
    }
    pages_worker_close(worker);
}

TEST_P(PagesTest, ReportsWhatIsWrong) {
    pages_options options = Options(true);
    options.frame_count = 15;
    pages_error error = {};
    EXPECT_EQ(pages_open(&options, &store_, &error), PAGES_SYSTEM);
    EXPECT_STREQ(error.text, "15 frames: at least 16 are needed");
    options = Options(false);
    EXPECT_EQ(pages_open(&options, &store_, &error), PAGES_SYSTEM);
    EXPECT_NE(std::string(error.text).find("No such file"), std::string::npos) << error.text;
    Open(true);
    options = Options(true);
    pages *other = nullptr;
    EXPECT_EQ(pages_open(&options, &other, &error), PAGES_SYSTEM);
    EXPECT_NE(std::string(error.text).find("File exists"), std::string::npos) << error.text;
}

}  // namespace
}  // namespace kaio_test
