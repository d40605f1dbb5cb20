// Power cuts at any moment: what the log said is durable is there, and nothing that was not put.
//
// KAIO_WAL_CUTS=100000 cuts that often; a failure names its seed, KAIO_WAL_SEED begins with it.

#include <errno.h>

#include <algorithm>
#include <map>
#include <random>

#include "kaio/safe/sim/disk.h"
#include "kaio/safe/sim/sim.h"
#include "tests/engines/wal_log.h"

namespace kaio_test {
namespace {

constexpr int kLives = 4;  // of a log: each but the last ends with a cut
constexpr uint32_t kRecordMax = 1500;

uint64_t FromEnvironment(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text == nullptr ? otherwise : strtoull(text, nullptr, 10);
}

// Files in memory, whose syncs cost nothing: what is durable is the simulated disk's to say.
std::string MemoryRoot() {
    return access("/dev/shm", W_OK) == 0 ? "/dev/shm" : testing::TempDir();
}

// A Story is one log through several lives.
class Story {
  public:
    Story(Folder *folder, uint64_t seed, bool acks_early) : folder_(folder), random_(seed) {
        options_.folder = folder->path();
        options_.segment_bytes = 4 * WAL_BLOCK_BYTES;
        options_.segment_count = 3;
        options_.batch_bytes = 4 * WAL_BLOCK_BYTES;
        options_.is_buffered = Below(2) == 0;
        options_.acks_early = acks_early;
        // Whole fractions of a block now and then: the last record ends where the block does.
        static const uint32_t fixed[] = {0, 0, 0, 240, 496, 1008};
        fixed_bytes_ = fixed[Below(6)];
    }

    // Tell returns what went wrong, or nothing.
    std::string Tell() {
        folder_->Empty();
        options_.is_new = true;
        for (int life = 0; life < kLives && problem_.empty(); ++life) {
            Live(life);
            options_.is_new = false;
        }
        return problem_;
    }

  private:
    uint32_t Below(uint32_t limit) {
        return static_cast<uint32_t>(random_() % limit);
    }

    void Live(int life) {
        kaio_sim_script script = {};
        script.seed = random_();
        kaio_sim_play(&script);
        log_ = nullptr;
        const Found found = Recover(options_, &log_);
        Check(found);
        if (found.code == WAL_OK && life + 1 < kLives) {
            script.chances.shorten = Below(3) == 0 ? 20000 : 0;
            script.chances.delay = Below(2) == 0 ? 30000 : 0;
            script.reorder = Below(2) == 0;
            kaio_sim_play(&script);
            WorkUntilCut();
        }
        wal_abandon(log_);
        (void)kaio_sim_disk_restore();
    }

    // Check compares what was found with what was put, and with what was durable at the cut.
    void Check(const Found &found) {
        if (found.code != WAL_OK) {
            problem_ = std::string("recovery: ") + found.error.text;
            return;
        }
        const uint64_t last =
            found.records.empty() ? trimmed_ : found.first_number + found.records.size() - 1;
        if (last < durable_) {
            problem_ = "record " + std::to_string(durable_) + " was durable, the last is " +
                       std::to_string(last);
        }
        if (!found.records.empty() && found.first_number > trimmed_ + 1) {
            problem_ = "records from " + std::to_string(trimmed_ + 1) + " on are missing";
        }
        for (size_t i = 0; i < found.records.size(); ++i) {
            const auto put = put_.find(found.first_number + i);
            if (put == put_.end() || put->second != found.records[i]) {
                problem_ = "record " + std::to_string(found.first_number + i) +
                           (put == put_.end() ? " was never put" : " is another");
            }
        }
        put_.erase(put_.upper_bound(last), put_.end());
        durable_ = std::max(durable_, last);
    }

    static void OnNote(void *context, const kaio_sim_note *) {
        Story *story = static_cast<Story *>(context);
        if (story->notes_left_ > 0 && --story->notes_left_ == 0) {
            kaio_sim_disk_cut(story->random_());
            story->durable_ = wal_durable_number(story->log_);
        }
        // While a commit waits for the kernel, other threads put.
        if (story->is_committing_ && story->Below(3) == 0) {
            (void)story->Put();
        }
    }

    wal_code Put() {
        std::string record = RecordOf(random_(), kRecordMax);
        record.resize(fixed_bytes_ == 0 ? record.size() : fixed_bytes_, 'f');
        uint64_t number = 0;
        const wal_code code =
            wal_put(log_, record.data(), static_cast<uint32_t>(record.size()), &number);
        if (code == WAL_OK) {
            put_[number] = record;
            ++put_count_;
        }
        return code;
    }

    void Commit() {
        is_committing_ = true;
        if (wal_commit(log_) != WAL_OK) {
            problem_ = wal_failure(log_);
        }
        is_committing_ = false;
    }

    void WorkUntilCut() {
        kaio_sim_disk_begin();
        notes_left_ = 1 + Below(Below(2) == 0 ? 400 : 30);
        kaio_sim_watch(OnNote, this);
        put_count_ = 0;
        while (notes_left_ > 0 && problem_.empty()) {
            const wal_code code = Below(6) == 0 ? WAL_BATCH_FULL : Put();
            if (code != WAL_OK) {
                Trim(code == WAL_LOG_FULL);
                Commit();
            }
            if (put_count_ > 50000) {
                problem_ = "the kernel was not asked";
            }
        }
        kaio_sim_watch(nullptr, nullptr);
    }

    // Trim gives up some of what is durable; what is given up may be found, or not.
    void Trim(bool must) {
        if (!must && Below(3) > 0) {
            return;
        }
        const uint64_t durable = wal_durable_number(log_);
        const uint64_t number = durable - std::min<uint64_t>(durable, must ? 0 : Below(8));
        trimmed_ = std::max(trimmed_, number);
        wal_trim(log_, number);
    }

    Folder *folder_;
    std::mt19937_64 random_;
    wal_options options_ = {};
    wal *log_ = nullptr;
    std::map<uint64_t, std::string> put_;
    uint64_t durable_ = 0;
    uint64_t trimmed_ = 0;
    uint64_t notes_left_ = 0;
    uint64_t put_count_ = 0;
    uint32_t fixed_bytes_ = 0;  // of each record; 0: any
    bool is_committing_ = false;
    std::string problem_;
};

TEST(WalCutTest, WhatIsDurableSurvivesPowerCuts) {
    const uint64_t seed = FromEnvironment("KAIO_WAL_SEED", 1);
    const uint64_t cuts = FromEnvironment("KAIO_WAL_CUTS", 3000);
    Folder folder(MemoryRoot());
    for (uint64_t i = 0; i * (kLives - 1) < cuts; ++i) {
        const std::string problem = Story(&folder, seed + i, false).Tell();
        ASSERT_EQ(problem, "") << "KAIO_WAL_SEED=" << seed + i;
    }
}

// The same test finds a log that says so before it synced.
TEST(WalCutTest, AcknowledgingBeforeTheSyncIsFound) {
    Folder folder(MemoryRoot());
    int found_count = 0;
    for (uint64_t seed = 1; seed <= 100; ++seed) {
        found_count += !Story(&folder, seed, true).Tell().empty();
    }
    EXPECT_GT(found_count, 50);
}

// What failed once may be lost for good, whatever the kernel says of the next sync.
TEST(WalFailureTest, AfterAFailedSyncNothingIsDurableAnyMore) {
    kaio_sim_script calm = {};
    kaio_sim_play(&calm);
    Folder folder(MemoryRoot());
    wal_options options = {};
    options.folder = folder.path();
    options.segment_bytes = 4 * WAL_BLOCK_BYTES;
    options.batch_bytes = 4 * WAL_BLOCK_BYTES;
    options.is_buffered = true;
    options.is_new = true;
    wal *log = nullptr;
    ASSERT_EQ(Recover(options, &log).code, WAL_OK);
    uint64_t number = 0;
    ASSERT_EQ(wal_put(log, "a", 1, &number), WAL_OK);
    ASSERT_EQ(wal_commit(log), WAL_OK);

    // The write ends well, the sync behind it does not.
    kaio_sim_watch(
        [](void *, const kaio_sim_note *note) {
            if (note->event == KAIO_SIM_ENDED) {
                kaio_sim_script fail = {};
                fail.fail_count = 1;
                fail.fail_error = EIO;
                kaio_sim_play(&fail);
                kaio_sim_watch(nullptr, nullptr);
            }
        },
        nullptr);
    ASSERT_EQ(wal_put(log, "b", 1, &number), WAL_OK);
    EXPECT_EQ(wal_commit(log), WAL_FAILED);
    EXPECT_NE(std::string(wal_failure(log)).find("Input/output error"), std::string::npos)
        << wal_failure(log);
    kaio_sim_play(&calm);

    EXPECT_EQ(wal_put(log, "c", 1, &number), WAL_FAILED);
    EXPECT_EQ(wal_commit(log), WAL_FAILED);
    EXPECT_EQ(wal_durable_number(log), 1u);
    EXPECT_EQ(wal_close(log), WAL_FAILED);
}

}  // namespace
}  // namespace kaio_test
