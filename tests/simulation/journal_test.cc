// The test of a user's engine: short writes, errors and power cuts at any moment, by seed.
//
// KAIO_JOURNAL_SEED=N begins with that seed: a failure names its own.

#include "tests/simulation/journal.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstdint>
#include <random>
#include <string>

#include "kaio/safe/sim/disk.h"
#include "kaio/safe/sim/sim.h"
#include "tests/support/folder.h"

namespace kaio_test {
namespace {

constexpr uint64_t kRecords = 64;
constexpr uint64_t kSeeds = 400;

// What one run came to.
struct Story {
    uint64_t acknowledged = 0;  // when the power went
    uint64_t recovered = 0;
    uint64_t note_count = 0;  // things that the kernel did

    bool IsGood() const {
        return recovered >= acknowledged;
    }
};

// An Episode runs the engine on a kernel that follows from `seed`, and cuts the power.
class Episode {
  public:
    Episode(const std::string &path, uint64_t seed) : path_(path), random_(seed) {
        const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        EXPECT_GE(fd, 0);
        EXPECT_EQ(posix_fallocate(fd, 0, kRecords * JOURNAL_RECORD_BYTES), 0);
        close(fd);
    }

    Story Tell(journal_mistake mistake) {
        kaio_sim_script script = {};
        script.seed = random_();
        script.reorder = true;
        script.chances.shorten = 6000;  // of 65536
        script.chances.delay = 20000;
        script.chances.interrupt = 3000;
        script.chances.fail = 300;
        script.chances.refuse = 300;
        script.chances.shortage = 1000;
        kaio_sim_play(&script);
        kaio_sim_disk_begin();
        kaio_sim_watch(OnNote, this);
        notes_until_cut_ = 1 + random_() % 300;
        journal_ = journal_open(path_.c_str(), 0, mistake);
        EXPECT_NE(journal_, nullptr);
        while (journal_acknowledged(journal_) + JOURNAL_BATCH_MAX <= kRecords &&
               journal_append(journal_, 1 + static_cast<uint32_t>(random_() % JOURNAL_BATCH_MAX))) {
        }
        Cut();  // at the latest
        kaio_sim_watch(nullptr, nullptr);
        journal_close(journal_);
        EXPECT_LE(kaio_sim_disk_restore(), 1u);
        story_.recovered = journal_recover(path_.c_str());
        return story_;
    }

  private:
    void Cut() {
        if (!is_cut_) {
            kaio_sim_disk_cut(random_());
            story_.acknowledged = journal_acknowledged(journal_);
        }
        is_cut_ = true;
    }

    static void OnNote(void *context, const kaio_sim_note *note) {
        Episode *episode = static_cast<Episode *>(context);
        ++episode->story_.note_count;
        // Not before the engine is there, whose first call makes its context.
        if (note->event != KAIO_SIM_SETUP && --episode->notes_until_cut_ == 0) {
            episode->Cut();
        }
    }

    const std::string path_;
    std::mt19937_64 random_;
    journal *journal_ = nullptr;
    uint64_t notes_until_cut_ = 0;
    bool is_cut_ = false;
    Story story_;
};

class JournalTest : public testing::Test {
  protected:
    // FirstBadSeed returns the first seed that shows a mistake, or kSeeds.
    uint64_t FirstBadSeed(journal_mistake mistake) {
        uint64_t seed = 0;
        while (seed < kSeeds && Episode(path_, seed).Tell(mistake).IsGood()) {
            ++seed;
        }
        return seed;
    }

    const Folder folder_;
    const std::string path_ = folder_ / "journal";
};

TEST_F(JournalTest, WhatIsAcknowledgedIsThereAfterAnyCut) {
    const char *text = getenv("KAIO_JOURNAL_SEED");
    const uint64_t first = text == nullptr ? 0 : strtoull(text, nullptr, 10);
    uint64_t acknowledged = 0;
    for (uint64_t seed = first; seed < first + kSeeds; ++seed) {
        const Story story = Episode(path_, seed).Tell(JOURNAL_CORRECT);
        ASSERT_TRUE(story.IsGood())
            << story.acknowledged << " records were acknowledged, " << story.recovered
            << " are there; KAIO_JOURNAL_SEED=" << seed << " shows it again";
        acknowledged += story.acknowledged;
    }
    EXPECT_GT(acknowledged, 4 * kSeeds) << "the runs end too early to show anything";
}

TEST_F(JournalTest, AShortWriteThatIsTakenForAWholeOneIsFound) {
    EXPECT_LT(FirstBadSeed(JOURNAL_LOSES_SHORT_WRITES), kSeeds);
}

TEST_F(JournalTest, AnAcknowledgementBeforeTheSyncIsFound) {
    EXPECT_LT(FirstBadSeed(JOURNAL_ACKNOWLEDGES_EARLY), kSeeds);
}

TEST_F(JournalTest, ASeedTellsTheSameStoryAgain) {
    for (const journal_mistake mistake : {JOURNAL_LOSES_SHORT_WRITES, JOURNAL_ACKNOWLEDGES_EARLY}) {
        const uint64_t seed = FirstBadSeed(mistake);
        const Story first = Episode(path_, seed).Tell(mistake);
        const Story second = Episode(path_, seed).Tell(mistake);
        EXPECT_FALSE(first.IsGood());
        EXPECT_EQ(first.acknowledged, second.acknowledged);
        EXPECT_EQ(first.recovered, second.recovered);
        EXPECT_EQ(first.note_count, second.note_count);
    }
}

}  // namespace
}  // namespace kaio_test
