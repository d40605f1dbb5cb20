// What a power cut leaves of a file: sectors that were synced, and any mixture of the others.

#include "kaio/safe/sim/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <set>
#include <string>

#include "kaio/safe/sim/sim.h"
#include "tests/support/safe_test.h"

namespace kaio_test {
namespace {

constexpr uint32_t kSector = KAIO_SIM_DISK_SECTOR_BYTES;
constexpr uint32_t kSectors = 4;
constexpr uint64_t kSeeds = 200;

class DiskSimTest : public QueueTest {
  protected:
    void SetUp() override {
        kaio_sim_play(&calm_);
        QueueTest::SetUp();
        file_ = OpenFile(temp_.path());
        kaio_sim_disk_begin();
    }

    void TearDown() override {
        QueueTest::TearDown();
        kaio_file_drop(&file_);
        kaio_sim_disk_restore();
        kaio_sim_play(&calm_);
    }

    // Writes `size_bytes` of `letter`.
    void Start(char letter, uint64_t offset, uint32_t size_bytes, kaio_rw_flags flags = {}) {
        kaio_buffer *buffer = NewBuffer(std::string(size_bytes, letter));
        kaio_ticket ticket = {};
        EXPECT_OK(K(kaio_write_start(queue_, file_, Range(offset, size_bytes), flags, 0, &buffer,
                                     &ticket)));
    }

    void Write(char letter, uint64_t offset, uint32_t size_bytes, kaio_rw_flags flags = {}) {
        Start(letter, offset, size_bytes, flags);
        kaio_completion completion = WaitAndTake();
        EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL);
        kaio_completion_drop(&completion);
    }

    kaio_sync_outcome Sync() {
        kaio_ticket ticket = {};
        EXPECT_OK(K(kaio_sync_start(queue_, file_, KAIO_SYNC_DATA, 0, &ticket)));
        return WaitAndTake().sync;
    }

    // The first byte of each sector.
    std::string Letters() {
        const int fd = open(temp_.path(), O_RDONLY | O_CLOEXEC);
        std::string letters;
        char letter;
        for (off_t at = 0; pread(fd, &letter, 1, at) == 1; at += kSector) {
            letters += letter == '\0' ? '0' : letter;
        }
        close(fd);
        return letters;
    }

    // All that is found after a cut behind `act`, each time from a file of kSectors of 'a'.
    template <typename Act>
    std::set<std::string> Found(Act act) {
        std::set<std::string> found;
        for (uint64_t seed = 0; seed < kSeeds && !HasFailure(); ++seed) {
            EXPECT_EQ(truncate(temp_.path(), 0), 0);
            Write('a', 0, kSectors * kSector);
            kaio_sim_disk_begin();
            act();
            kaio_sim_disk_cut(seed);
            EXPECT_EQ(kaio_sim_disk_restore(), 1u);
            found.insert(Letters());
        }
        return found;
    }

    const kaio_sim_script calm_ = {};
    TempFile temp_{""};
    kaio_file *file_ = nullptr;
};

TEST_F(DiskSimTest, WhatWasSyncedIsThere) {
    EXPECT_EQ(Found([&] {
                  Write('b', 0, 2 * kSector);
                  Write('c', kSector, 2 * kSector);
                  EXPECT_EQ(Sync(), KAIO_SYNC_SYNCED);
              }),
              std::set<std::string>{"bcca"});
}

TEST_F(DiskSimTest, AnySectorOfWhatWasNotMayBeThere) {
    const std::set<std::string> found = Found([&] { Write('b', kSector, 2 * kSector); });
    EXPECT_EQ(found, (std::set<std::string>{"aaaa", "abaa", "aaba", "abba"}));
}

TEST_F(DiskSimTest, ALaterWriteMayBeThereWithoutAnEarlierOne) {
    const std::set<std::string> found = Found([&] {
        Write('b', 0, kSector);
        Write('c', 0, kSector);
        Write('d', 3 * kSector, kSector);
    });
    EXPECT_EQ(found, (std::set<std::string>{"aaaa", "baaa", "caaa", "aaad", "baad", "caad"}));
}

TEST_F(DiskSimTest, PartsOfASectorGoTogether) {
    const std::set<std::string> found = Found([&] {
        Write('b', 0, 10);
        Write('c', 5, 10);
    });
    EXPECT_EQ(found, (std::set<std::string>{"aaaa", "baaa"}));
    // What is behind the first byte: the second write is on top of the first, or not there.
    std::string bytes(20, '\0');
    const int fd = open(temp_.path(), O_RDONLY | O_CLOEXEC);
    EXPECT_EQ(pread(fd, &bytes[0], bytes.size(), 0), 20);
    close(fd);
    EXPECT_TRUE(bytes == std::string(20, 'a') ||
                bytes == std::string(10, 'b') + std::string(10, 'a') ||
                bytes == std::string(5, 'b') + std::string(10, 'c') + std::string(5, 'a'))
        << bytes;
}

TEST_F(DiskSimTest, TheSizeIsOneThatItHad) {
    const std::set<std::string> found = Found([&] {
        Write('b', kSectors * kSector, kSector);
        Write('c', (kSectors + 2) * kSector, kSector);
    });
    for (const std::string &letters : found) {
        EXPECT_TRUE(letters.size() == 4 || letters.size() == 5 || letters.size() == 7) << letters;
    }
    for (const char *const possible : {"aaaa", "aaaab", "aaaa0", "aaaab0c", "aaaa00c", "aaaab00"}) {
        EXPECT_EQ(found.count(possible), 1u) << possible;
    }
}

TEST_F(DiskSimTest, WhatIsInFlightMayBeThere) {
    kaio_sim_script hold = {};
    hold.hold = true;
    std::set<std::string> found;
    for (uint64_t seed = 0; seed < kSeeds; ++seed) {
        EXPECT_EQ(truncate(temp_.path(), 0), 0);
        Write('a', 0, kSectors * kSector);
        kaio_sim_disk_begin();
        kaio_sim_play(&hold);
        Start('b', kSector, 2 * kSector);
        Flush();
        kaio_sim_disk_cut(seed);
        kaio_sim_play(&calm_);
        kaio_completion completion = WaitAndTake();
        kaio_completion_drop(&completion);
        EXPECT_EQ(kaio_sim_disk_restore(), 1u);
        found.insert(Letters());
    }
    EXPECT_EQ(found, (std::set<std::string>{"aaaa", "abaa", "aaba", "abba"}));
}

TEST_F(DiskSimTest, ADurableWriteNeedsNoSync) {
    EXPECT_EQ(Found([&] { Write('b', kSector, kSector, kaio_rw_dsync()); }),
              std::set<std::string>{"abaa"});
    EXPECT_EQ(Found([&] {
                  Write('b', 0, 2 * kSector);
                  Write('c', 0, kSector, kaio_rw_sync());
              }),
              std::set<std::string>{"cbaa"})
        << "what is under it goes with it";
}

TEST_F(DiskSimTest, ASyncThatFailedMakesNothingDurable) {
    const std::set<std::string> found = Found([&] {
        Write('b', 0, kSector);
        kaio_sim_script fail = {};
        fail.fail_count = 1;
        fail.fail_error = EIO;
        kaio_sim_play(&fail);
        EXPECT_EQ(Sync(), KAIO_SYNC_FAILED);
        kaio_sim_play(&calm_);
        int32_t error;
        EXPECT_OK(kaio_file_clear_sync_error(file_, &error));
    });
    EXPECT_EQ(found, (std::set<std::string>{"aaaa", "baaa"}));
}

TEST_F(DiskSimTest, ASyncDoesNotCoverWhatEndsBehindIt) {
    kaio_sim_script hold = {};
    hold.hold = true;
    const std::set<std::string> found = Found([&] {
        kaio_sim_play(&hold);
        kaio_ticket ticket = {};
        EXPECT_OK(K(kaio_sync_start(queue_, file_, KAIO_SYNC_DATA_UNORDERED, 0, &ticket)));
        Start('b', 0, kSector);
        Flush();
        EXPECT_EQ(kaio_sim_complete(2), 2u);
        EXPECT_EQ(WaitAndTake().sync, KAIO_SYNC_SYNCED);
        kaio_completion completion = WaitAndTake();
        kaio_completion_drop(&completion);
        kaio_sim_play(&calm_);
    });
    EXPECT_EQ(found, (std::set<std::string>{"aaaa", "baaa"}));
}

TEST_F(DiskSimTest, WhatComesBehindTheCutDoesNotCount) {
    EXPECT_EQ(Found([&] {
                  Write('b', 0, kSector);
                  EXPECT_EQ(Sync(), KAIO_SYNC_SYNCED);
                  kaio_sim_disk_cut(1);
                  Write('c', 0, 2 * kSector);
                  EXPECT_EQ(Sync(), KAIO_SYNC_SYNCED);
              }),
              std::set<std::string>{"baaa"});
}

TEST_F(DiskSimTest, TheSameSeedLeavesTheSame) {
    std::set<std::string> found;
    for (int round = 0; round < 5; ++round) {
        EXPECT_EQ(truncate(temp_.path(), 0), 0);
        Write('a', 0, kSectors * kSector);
        kaio_sim_disk_begin();
        Write('b', 0, kSectors * kSector);
        Write('c', kSector, kSector);
        kaio_sim_disk_cut(77);
        EXPECT_EQ(kaio_sim_disk_restore(), 1u);
        found.insert(Letters());
    }
    EXPECT_EQ(found.size(), 1u);
}

TEST_F(DiskSimTest, WithoutACutNothingIsRestored) {
    Write('b', 0, kSector);
    EXPECT_EQ(kaio_sim_disk_restore(), 0u);
    EXPECT_EQ(Letters(), "b");
    kaio_sim_disk_cut(1);  // nothing is kept apart any more
    EXPECT_EQ(kaio_sim_disk_restore(), 0u);
    EXPECT_EQ(Letters(), "b");
}

}  // namespace
}  // namespace kaio_test
