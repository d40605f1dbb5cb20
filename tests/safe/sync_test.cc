#include "kaio/safe/sync.h"

#include "tests/support/safe_test.h"

extern "C" kaio_status start_sync_of_invented_kind(kaio_queue *queue, kaio_file *file);

namespace kaio_test {
namespace {

class SyncTest : public QueueTest {
  protected:
    void SetUp() override {
        QueueTest::SetUp();
        file_ = OpenFile(temp_.path());
    }

    void TearDown() override {
        QueueTest::TearDown();
        kaio_file_drop(&file_);
    }

    kaio_ticket StartSync(kaio_sync_kind kind = KAIO_SYNC_DATA, uint64_t user = 0) {
        kaio_ticket ticket = {};
        EXPECT_OK(K(kaio_sync_start(queue_, file_, kind, user, &ticket)));
        return ticket;
    }

    void StartWrites(uint32_t count) {
        for (uint32_t i = 0; i < count; ++i) {
            kaio_buffer *buffer = NewBuffer(Pattern(512, i));
            StartWrite(file_, i * 512, &buffer, i);
        }
    }

    TempFile temp_{Pattern(4096)};
    kaio_file *file_ = nullptr;
};

TEST_F(SyncTest, EveryKindSyncs) {
    for (kaio_sync_kind kind :
         {KAIO_SYNC_DATA, KAIO_SYNC_ALL, KAIO_SYNC_DATA_UNORDERED, KAIO_SYNC_ALL_UNORDERED}) {
        const kaio_ticket ticket = StartSync(kind, 7);
        const kaio_completion completion = WaitAndTake();
        EXPECT_EQ(completion.operation, KAIO_SYNC);
        EXPECT_EQ(completion.sync, KAIO_SYNC_SYNCED);
        EXPECT_EQ(completion.transfer, KAIO_TRANSFER_PENDING);
        EXPECT_EQ(completion.user, 7u);
        EXPECT_EQ(completion.ticket.bits, ticket.bits);
        EXPECT_EQ(completion.buffer, nullptr);
    }
}

TEST_F(SyncTest, AnUnknownKindIsRefused) {
    const kaio_status status = K(start_sync_of_invented_kind(queue_, file_));
    EXPECT_EQ(Text(status), "range (kind): asked for 4, the limit is 3");
}

TEST_F(SyncTest, TheLongFormDoesTheSame) {
    kaio_sync *sync = nullptr;
    ASSERT_OK(K(kaio_sync_new(queue_, file_, KAIO_SYNC_ALL, &sync)));
    EXPECT_NE(K(kaio_sync_push(&sync, 3)).bits, 0u);
    EXPECT_EQ(sync, nullptr);
    EXPECT_EQ(WaitAndTake().sync, KAIO_SYNC_SYNCED);
}

TEST_F(SyncTest, AnAbandonedSyncFreesItsPlace) {
    kaio_sync *sync = nullptr;
    ASSERT_OK(K(kaio_sync_new(queue_, file_, KAIO_SYNC_ALL, &sync)));
    EXPECT_OK(K(kaio_sync_abandon(&sync)));
    EXPECT_EQ(sync, nullptr);
    EXPECT_EQ(Counts().free_count, kDepth);
}

TEST_F(SyncTest, ASyncIsTheLastOfItsBatch) {
    StartWrites(kDepth - 1);
    StartSync();
    EXPECT_EQ(Flush().staged_count, 1u) << "the sync waits for the writes to be reaped";

    EXPECT_EQ(Wait(kDepth), kDepth);

    for (uint32_t i = 0; i + 1 < kDepth; ++i) {
        kaio_completion completion = Take();
        EXPECT_EQ(completion.operation, KAIO_WRITE);
        kaio_completion_drop(&completion);
    }
    EXPECT_EQ(Take().sync, KAIO_SYNC_SYNCED);
}

TEST_F(SyncTest, AnUnorderedSyncGoesAtOnce) {
    StartWrites(3);
    StartSync(KAIO_SYNC_DATA_UNORDERED);
    EXPECT_EQ(Flush().staged_count, 0u);
}

TEST_F(SyncTest, ASyncDoesNotWaitForWritesToOtherFiles) {
    TempFile other_temp(Pattern(512));
    kaio_file *other = OpenFile(other_temp.path());
    kaio_buffer *buffer = NewBuffer(512);
    StartWrite(other, 0, &buffer);
    StartSync();
    EXPECT_EQ(Flush().staged_count, 0u);
    kaio_queue_drop(&queue_);
    kaio_file_drop(&other);
}

TEST_F(SyncTest, WritesPushedAfterASyncAreNotWaitedFor) {
    StartWrites(1);
    StartSync(KAIO_SYNC_DATA, 100);
    kaio_buffer *buffer = NewBuffer(512);
    StartWrite(file_, 0, &buffer, 200);
    EXPECT_EQ(Wait(3), 3u);
    for (int i = 0; i < 3; ++i) {
        kaio_completion completion = Take();
        if (completion.user == 100) {
            EXPECT_EQ(completion.sync, KAIO_SYNC_SYNCED);
        }
        kaio_completion_drop(&completion);
    }
}

TEST_F(SyncTest, SeveralSyncsEachCoverWhatWasPushedBefore) {
    StartWrites(2);
    StartSync(KAIO_SYNC_DATA, 10);
    StartWrites(2);
    StartSync(KAIO_SYNC_DATA, 11);
    EXPECT_EQ(Wait(6), 6u);
    uint32_t synced = 0;
    for (int i = 0; i < 6; ++i) {
        kaio_completion completion = Take();
        synced += completion.sync == KAIO_SYNC_SYNCED;
        kaio_completion_drop(&completion);
    }
    EXPECT_EQ(synced, 2u);
}

TEST_F(SyncTest, ASyncBehindAFailedWriteIsNotSent) {
    const int fd = open(temp_.path(), O_RDWR | O_CLOEXEC);
    kaio_file *doomed = nullptr;
    ASSERT_OK(kaio_file_borrow(fd, &doomed));
    kaio_buffer *buffer = NewBuffer(512);
    StartWrite(doomed, 0, &buffer, 1);
    kaio_ticket ticket = {};
    ASSERT_OK(K(kaio_sync_start(queue_, doomed, KAIO_SYNC_DATA, 2, &ticket)));
    close(fd);

    EXPECT_EQ(Wait(2), 2u);

    kaio_completion write = Take();
    EXPECT_EQ(write.transfer, KAIO_TRANSFER_REFUSED);
    kaio_completion_drop(&write);
    EXPECT_EQ(Take().sync, KAIO_SYNC_PRECEDED_BY_FAILURE);
    // What comes later is judged on its own.
    kaio_file_drop(&doomed);
    StartSync();
    EXPECT_EQ(WaitAndTake().sync, KAIO_SYNC_SYNCED);
}

TEST_F(SyncTest, AFailedWriteCountsUntilItWasTaken) {
    const int fd = open(temp_.path(), O_RDWR | O_CLOEXEC);
    kaio_file *doomed = nullptr;
    ASSERT_OK(kaio_file_borrow(fd, &doomed));
    kaio_buffer *buffer = NewBuffer(512);
    StartWrite(doomed, 0, &buffer, 1);
    close(fd);
    EXPECT_EQ(Wait(1), 1u);  // it has failed by now, and the caller does not know
    ASSERT_EQ(open(temp_.path(), O_RDWR | O_CLOEXEC), fd);
    kaio_ticket ticket = {};
    ASSERT_OK(K(kaio_sync_start(queue_, doomed, KAIO_SYNC_DATA, 2, &ticket)));
    EXPECT_EQ(Wait(2), 2u);
    kaio_completion write = Take();
    EXPECT_EQ(write.transfer, KAIO_TRANSFER_REFUSED);
    kaio_completion_drop(&write);
    EXPECT_EQ(Take().sync, KAIO_SYNC_PRECEDED_BY_FAILURE);
    ASSERT_OK(K(kaio_sync_start(queue_, doomed, KAIO_SYNC_DATA, 3, &ticket)));
    EXPECT_EQ(WaitAndTake().sync, KAIO_SYNC_SYNCED) << "the caller knows by now";
    kaio_file_drop(&doomed);
    close(fd);
}

TEST_F(SyncTest, AHeldSyncIsCancelledWhenItsQueueIsDestroyed) {
    StartWrites(2);
    StartSync();
    kaio_destroy_report report = {};
    std::vector<kaio_sync_outcome> syncs;
    ASSERT_OK(kaio_queue_destroy(
        &queue_,
        [](void *context, kaio_completion *completion) {
            if (completion->operation == KAIO_SYNC) {
                static_cast<std::vector<kaio_sync_outcome> *>(context)->push_back(completion->sync);
            }
        },
        &syncs, &report));
    EXPECT_EQ(syncs, std::vector<kaio_sync_outcome>{KAIO_SYNC_CANCELLED});
    EXPECT_EQ(report.dropped_count, 2u);
}

}  // namespace
}  // namespace kaio_test
