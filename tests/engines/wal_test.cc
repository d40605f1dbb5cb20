// The log on real files: what is put is found, wherever it ends.

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "tests/engines/wal_log.h"

namespace kaio_test {
namespace {

constexpr uint64_t kSegmentBytes = 64 << 10;

class WalTest : public testing::TestWithParam<bool> {  // whether it is buffered
  protected:
    void TearDown() override {
        wal_abandon(log_);
    }

    wal_options Options() const {
        wal_options options = {};
        options.folder = folder_.path();
        options.segment_bytes = kSegmentBytes;
        options.segment_count = 3;
        options.batch_bytes = 32 << 10;
        options.is_buffered = GetParam();
        return options;
    }

    void Make() {
        wal_options options = Options();
        options.is_new = true;
        const Found found = Recover(options, &log_);
        ASSERT_EQ(found.code, WAL_OK) << found.error.text;
        EXPECT_EQ(found.recovery.first_number, 0u);
    }

    Found Reopen() {
        wal_abandon(log_);
        log_ = nullptr;
        Found found = Recover(Options(), &log_);
        EXPECT_EQ(found.code, WAL_OK) << found.error.text;
        return found;
    }

    wal_code Put(const std::string &record, uint64_t *out_number = nullptr) {
        uint64_t number = 0;
        const wal_code code =
            wal_put(log_, record.data(), static_cast<uint32_t>(record.size()), &number);
        if (out_number != nullptr) {
            *out_number = number;
        }
        return code;
    }

    // Puts and commits records until `count` were, or the log is full.
    uint64_t Fill(uint64_t count, uint32_t max_bytes) {
        uint64_t done = 0;
        while (done < count) {
            const wal_code code = Put(RecordOf(wal_durable_number(log_) + 1 + pending_, max_bytes));
            if (code == WAL_OK) {
                ++done;
                ++pending_;
                continue;
            }
            const bool was_empty = pending_ == 0;
            EXPECT_EQ(wal_commit(log_), WAL_OK) << wal_failure(log_);
            pending_ = 0;
            if (code == WAL_LOG_FULL && was_empty) {
                break;
            }
        }
        EXPECT_EQ(wal_commit(log_), WAL_OK);
        pending_ = 0;
        return done;
    }

    static void ExpectRecords(const Found &found, uint64_t first, uint64_t last,
                              uint32_t max_bytes) {
        EXPECT_EQ(found.recovery.first_number, first);
        EXPECT_EQ(found.recovery.last_number, last);
        ASSERT_EQ(found.records.size(), last - first + 1);
        for (uint64_t number = first; number <= last; ++number) {
            ASSERT_TRUE(found.records[number - first] == RecordOf(number, max_bytes)) << number;
        }
    }

    // Changes one byte of a segment file.
    void Damage(int segment, uint64_t offset) {
        const int fd = open(folder_.File(segment).c_str(), O_RDWR | O_CLOEXEC);
        char byte = 0;
        EXPECT_EQ(pread(fd, &byte, 1, static_cast<off_t>(offset)), 1);
        byte = static_cast<char>(byte ^ 0x20);
        EXPECT_EQ(pwrite(fd, &byte, 1, static_cast<off_t>(offset)), 1);
        close(fd);
    }

    Folder folder_;
    wal *log_ = nullptr;
    uint64_t pending_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Files, WalTest, testing::Bool(),
                         [](const testing::TestParamInfo<bool> &is_buffered) {
                             return is_buffered.param ? "Buffered" : "Direct";
                         });

TEST_P(WalTest, ANewLogIsEmpty) {
    Make();
    const Found found = Reopen();
    EXPECT_EQ(found.records.size(), 0u);
    EXPECT_STREQ(found.recovery.why, "no record");
}

TEST_P(WalTest, WhatWasCommittedIsFound) {
    Make();
    EXPECT_EQ(Fill(100, 300), 100u);
    EXPECT_EQ(wal_durable_number(log_), 100u);
    ExpectRecords(Reopen(), 1, 100, 300);
}

TEST_P(WalTest, WhatWasOnlyPutIsNot) {
    Make();
    EXPECT_EQ(Fill(3, 300), 3u);
    uint64_t number = 0;
    EXPECT_EQ(Put("lost", &number), WAL_OK);
    EXPECT_EQ(number, 4u);
    EXPECT_EQ(wal_durable_number(log_), 3u);
    ExpectRecords(Reopen(), 1, 3, 300);
}

TEST_P(WalTest, ClosingCommits) {
    Make();
    EXPECT_EQ(Put(RecordOf(1, 300)), WAL_OK);
    EXPECT_EQ(wal_close(log_), WAL_OK);
    log_ = nullptr;
    ExpectRecords(Reopen(), 1, 1, 300);
}

TEST_P(WalTest, ManyOpensInARowNeedNoNewSegments) {
    Make();
    for (int i = 0; i < 20; ++i) {
        (void)Reopen();
    }
    EXPECT_EQ(Fill(5, 300), 5u);
    ExpectRecords(Reopen(), 1, 5, 300);
}

TEST_P(WalTest, EachOpenGoesOnBehindTheLastRecord) {
    Make();
    EXPECT_EQ(Fill(10, 300), 10u);
    (void)Reopen();
    EXPECT_EQ(Fill(10, 300), 10u);
    (void)Reopen();
    EXPECT_EQ(Fill(10, 300), 10u);
    ExpectRecords(Reopen(), 1, 30, 300);
}

TEST_P(WalTest, SmallCommitsRewriteTheTail) {
    Make();
    for (int i = 0; i < 200; ++i) {
        EXPECT_EQ(Fill(1, 50), 1u);
    }
    ExpectRecords(Reopen(), 1, 200, 50);
}

TEST_P(WalTest, TheLargestRecordFitsAndNoLarger) {
    Make();
    const uint32_t max_bytes = wal_record_max(log_);
    EXPECT_EQ(max_bytes, (32u << 10) - 2 * WAL_BLOCK_BYTES - 16);
    EXPECT_EQ(Put(std::string(max_bytes + 1, 'x')), WAL_TOO_LARGE);
    for (int i = 0; i < 4; ++i) {
        ASSERT_EQ(Put(std::string(max_bytes, static_cast<char>('a' + i))), WAL_OK);
        ASSERT_EQ(wal_commit(log_), WAL_OK);
    }
    EXPECT_EQ(Put(""), WAL_OK);
    ASSERT_EQ(wal_commit(log_), WAL_OK);
    const Found found = Reopen();
    ASSERT_EQ(found.records.size(), 5u);
    EXPECT_EQ(found.records[3], std::string(max_bytes, 'd'));
    EXPECT_EQ(found.records[4], "");
}

TEST_P(WalTest, AFullLogSaysSoAndTakesWhatIsTrimmed) {
    Make();
    const uint64_t count = Fill(UINT64_MAX, 2000);
    EXPECT_GT(count, 100u);
    EXPECT_EQ(Put(std::string(2000, 'x')), WAL_LOG_FULL);
    ExpectRecords(Reopen(), 1, count, 2000);
    EXPECT_EQ(Put("x"), WAL_LOG_FULL);

    wal_trim(log_, count / 2);
    EXPECT_EQ(wal_commit(log_), WAL_OK);
    const uint64_t more = Fill(UINT64_MAX, 2000);
    EXPECT_GT(more, 30u);
    ExpectRecords(Reopen(), count / 2 + 1, count + more, 2000);
}

TEST_P(WalTest, SegmentsAreUsedAgainForAsLongAsOneTrims) {
    Make();
    uint64_t last = 0;
    for (int round = 0; round < 40; ++round) {
        last += Fill(60, 1000);
        wal_trim(log_, last - 20);
        EXPECT_EQ(wal_commit(log_), WAL_OK);
    }
    EXPECT_EQ(last, 2400u);
    ExpectRecords(Reopen(), 2381, 2400, 1000);
}

TEST_P(WalTest, WhatIsNotDurableCannotBeTrimmed) {
    Make();
    EXPECT_EQ(Fill(10, 100), 10u);
    wal_trim(log_, 1000);
    EXPECT_EQ(wal_commit(log_), WAL_OK);
    EXPECT_EQ(Fill(5, 100), 5u);
    ExpectRecords(Reopen(), 11, 15, 100);
}

TEST_P(WalTest, ATornLastRecordEndsTheLog) {
    Make();
    EXPECT_EQ(Fill(9, 300), 9u);
    (void)Reopen();
    ASSERT_EQ(Fill(1, 300), 1u);  // in a segment of its own
    const Found more = Reopen();
    EXPECT_EQ(more.recovery.last_number, 10u);
    Damage(static_cast<int>(more.recovery.segment), WAL_BLOCK_BYTES);

    const Found found = Reopen();
    ExpectRecords(found, 1, 9, 300);
    EXPECT_EQ(found.recovery.end_offset, WAL_BLOCK_BYTES);
    EXPECT_STREQ(found.recovery.why, "checksum");
}

TEST_P(WalTest, ADamagedRecordInTheMiddleIsCorruptionAndSaysWhere) {
    Make();
    EXPECT_EQ(Fill(9, 300), 9u);
    const Found first = Reopen();
    EXPECT_EQ(Fill(9, 300), 9u);
    Damage(static_cast<int>(first.recovery.segment), first.recovery.end_offset - 8);

    wal_abandon(log_);
    log_ = nullptr;
    const Found found = Recover(Options(), &log_);
    EXPECT_EQ(found.code, WAL_CORRUPT);
    EXPECT_NE(std::string(found.error.text).find("record 9 is missing"), std::string::npos)
        << found.error.text;
}

TEST_P(WalTest, ManyWritersShareCommits) {
    Make();
    ASSERT_EQ(wal_start(log_), WAL_OK);
    constexpr int kThreads = 8;
    constexpr int kEach = 40;
    std::vector<std::thread> threads;
    std::atomic<int> failed_count{0};
    std::vector<std::vector<std::pair<uint64_t, std::string>>> written(kThreads);
    for (int t = 0; t < kThreads; ++t) {
        threads.emplace_back([&, t] {
            for (int i = 0; i < kEach; ++i) {
                const std::string record = std::to_string(t) + ":" + std::to_string(i);
                uint64_t number = 0;
                failed_count += wal_append(log_, record.data(),
                                           static_cast<uint32_t>(record.size()), &number) != WAL_OK;
                written[static_cast<size_t>(t)].emplace_back(number, record);
            }
        });
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    EXPECT_EQ(failed_count, 0);
    const wal_counters counters = wal_count(log_);
    EXPECT_EQ(counters.record_count, uint64_t{kThreads * kEach});
    EXPECT_LT(counters.commit_count, counters.record_count);

    const Found found = Reopen();
    ASSERT_EQ(found.records.size(), size_t{kThreads * kEach});
    for (const auto &of_thread : written) {
        EXPECT_TRUE(std::is_sorted(of_thread.begin(), of_thread.end()));
        for (const auto &[number, record] : of_thread) {
            EXPECT_EQ(found.records[number - 1], record);
        }
    }
}

TEST_P(WalTest, AppendersOfAFullLogAreToldAndGoOnWhenItIsTrimmed) {
    Make();
    ASSERT_EQ(wal_start(log_), WAL_OK);
    const std::string record(3000, 'r');
    uint64_t number = 0;
    uint64_t last = 0;
    wal_code code;
    while ((code = wal_append(log_, record.data(), 3000, &number)) == WAL_OK) {
        last = number;
    }
    EXPECT_EQ(code, WAL_LOG_FULL);
    wal_trim(log_, last);
    for (int i = 0; i < 1000 && code == WAL_LOG_FULL; ++i) {
        code = wal_append(log_, record.data(), 3000, &number);
        usleep(1000);
    }
    EXPECT_EQ(code, WAL_OK);
    EXPECT_EQ(number, last + 1);
}

TEST_P(WalTest, ReportsWhatIsWrong) {
    wal_options options = Options();
    EXPECT_EQ(Recover(options, &log_).code, WAL_SYSTEM) << "there is none";
    options.is_new = true;
    options.segment_bytes = 5000;
    EXPECT_EQ(Recover(options, &log_).code, WAL_SYSTEM);
    options = Options();
    options.is_new = true;
    options.segment_count = 1;
    const Found few = Recover(options, &log_);
    EXPECT_EQ(few.code, WAL_SYSTEM);
    EXPECT_STREQ(few.error.text,
                 "1 segments of 65536 bytes, batches of 32768: 2 to 1024 are needed, and "
                 "multiples of 4096, at least 4 of them");
    Make();
    options = Options();
    options.is_new = true;
    wal *other = nullptr;
    const Found again = Recover(options, &other);
    EXPECT_EQ(again.code, WAL_SYSTEM);
    EXPECT_NE(std::string(again.error.text).find("0.wal: File exists"), std::string::npos)
        << again.error.text;
}

}  // namespace
}  // namespace kaio_test
