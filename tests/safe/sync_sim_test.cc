// A sync that failed, which no real kernel can be made to do on request.

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#include <vector>

#include "tests/support/sim_test.h"

namespace kaio_test {
namespace {

class SyncSimTest : public SimQueueTest {
  protected:
    // The next `count` requests that complete fail.
    void Fail(uint32_t count, int error) {
        kaio_sim_script script = {};
        script.fail_count = count;
        script.fail_error = error;
        Play(script);
    }

    void Start(kaio_sync_kind kind = KAIO_SYNC_DATA) {
        kaio_ticket ticket = {};
        EXPECT_OK(K(kaio_sync_start(queue_, file_, kind, 0, &ticket)));
    }

    void ExpectFailed(int error, const kaio_completion &completion) {
        EXPECT_EQ(completion.sync, KAIO_SYNC_FAILED);
        EXPECT_EQ(completion.os_error, error);
    }

    void FailOne(int error) {
        Fail(1, error);
        Start();
        ExpectFailed(error, WaitAndTake());
        Play({});
    }

    int32_t Clear() {
        int32_t error = -1;
        EXPECT_OK(kaio_file_clear_sync_error(file_, &error));
        return error;
    }
};

TEST_F(SyncSimTest, LaterSyncsFailWithTheFirstErrorAndAskNobody) {
    FailOne(EIO);

    for (const kaio_sync_kind kind :
         {KAIO_SYNC_DATA, KAIO_SYNC_ALL, KAIO_SYNC_DATA_UNORDERED, KAIO_SYNC_ALL_UNORDERED}) {
        Start(kind);
        EXPECT_EQ(Counts().finished_count, 1u);
        ExpectFailed(EIO, WaitAndTake());
    }
    EXPECT_EQ(kaio_sim_call_counts().request_count, 0u);
}

TEST_F(SyncSimTest, OneThatSucceedsBesideOneThatFailedFails) {
    Fail(1, EIO);
    Start(KAIO_SYNC_DATA_UNORDERED);
    Start(KAIO_SYNC_DATA_UNORDERED);  // the kernel tells an error once: of this it says 0

    EXPECT_EQ(Wait(2), 2u);
    EXPECT_EQ(kaio_sim_call_counts().request_count, 2u);
    ExpectFailed(EIO, Take());
    ExpectFailed(EIO, Take());
}

TEST_F(SyncSimTest, TheFirstErrorStays) {
    kaio_sim_script script = {};
    script.hold = true;
    Play(script);
    Start(KAIO_SYNC_DATA_UNORDERED);
    Start(KAIO_SYNC_DATA_UNORDERED);
    Flush();
    Fail(1, ENOSPC);
    kaio_sim_complete(1);
    Fail(1, EIO);
    kaio_sim_complete(1);

    ExpectFailed(ENOSPC, WaitAndTake());
    ExpectFailed(ENOSPC, WaitAndTake());
    EXPECT_EQ(Clear(), ENOSPC);
}

TEST_F(SyncSimTest, ClearedItMaySucceedAgain) {
    EXPECT_EQ(Clear(), 0);
    FailOne(EIO);

    EXPECT_EQ(Clear(), EIO);
    EXPECT_EQ(Clear(), 0);

    Start();
    EXPECT_EQ(WaitAndTake().sync, KAIO_SYNC_SYNCED);
    FailOne(EDQUOT);
    EXPECT_EQ(Clear(), EDQUOT);
}

TEST_F(SyncSimTest, AnotherQueueHearsOfItAnotherFileDoesNot) {
    FailOne(EIO);
    kaio_queue_options options = Options();
    kaio_queue *other = nullptr;
    ASSERT_OK(kaio_queue_open(&options, &other));
    std::swap(queue_, other);
    Start();
    ExpectFailed(EIO, WaitAndTake());

    kaio_file *same_file = OpenFile(temp_.path());
    std::swap(file_, same_file);
    Start();
    EXPECT_EQ(WaitAndTake().sync, KAIO_SYNC_SYNCED) << "an open file of its own";

    std::swap(file_, same_file);
    std::swap(queue_, other);
    kaio_queue_drop(&other);
    kaio_file_drop(&same_file);
}

TEST_F(SyncSimTest, APlacesNextFileBeginsWithoutOne) {
    FailOne(EIO);
    const kaio_file *before = file_;
    ASSERT_OK(kaio_file_close(&file_));
    file_ = OpenFile(temp_.path());
    ASSERT_NE(before, file_);

    EXPECT_EQ(Clear(), 0);
    Start();
    EXPECT_EQ(WaitAndTake().sync, KAIO_SYNC_SYNCED);
}

TEST_F(SyncSimTest, WhatTheKernelNeverHadOrWasToldToEndDoesNotCount) {
    Fail(1, ECANCELED);
    Start();
    EXPECT_EQ(WaitAndTake().sync, KAIO_SYNC_CANCELLED);

    kaio_sim_script script = {};
    script.submit_error_count = 1;
    script.submit_error = EINVAL;
    Play(script);
    Start();
    EXPECT_EQ(WaitAndTake().sync, KAIO_SYNC_REFUSED);

    Play({});
    Start();
    EXPECT_EQ(WaitAndTake().sync, KAIO_SYNC_SYNCED);
}

TEST_F(SyncSimTest, OneThatWaitsForWritesIsNotSentBehindIt) {
    Fail(1, EIO);
    Start(KAIO_SYNC_DATA_UNORDERED);
    kaio_buffer *buffer = NewBuffer(512);
    StartWrite(file_, 0, &buffer);
    Start();

    EXPECT_EQ(Wait(3), 3u);

    EXPECT_EQ(kaio_sim_call_counts().request_count, 2u);
    ExpectFailed(EIO, Take());
    kaio_completion write = Take();
    EXPECT_EQ(write.transfer, KAIO_TRANSFER_FULL);
    kaio_completion_drop(&write);
    ExpectFailed(EIO, Take());
}

TEST_F(SyncSimTest, TheRunLoopKeepsToItToo) {
    Fail(1, EIO);
    Start(KAIO_SYNC_DATA_UNORDERED);
    Start(KAIO_SYNC_DATA_UNORDERED);
    kaio_handlers handlers = {};
    handlers.on_sync = [](void *context, uint64_t, const kaio_sync_result *result) {
        static_cast<std::vector<int> *>(context)->push_back(result->os_error);
    };
    std::vector<int> errors;
    kaio_run_report report = {};
    EXPECT_OK(K(kaio_queue_run(queue_, &handlers, &errors, kaio_deadline_never(), &report)));
    EXPECT_EQ(errors, (std::vector<int>{EIO, EIO}));
}

// What a write had is told beside; that nothing can be made durable is the graver news.
TEST_F(SyncSimTest, ItIsToldBeforeAFailedWrite) {
    FailOne(EIO);
    Fail(1, ENOSPC);
    kaio_buffer *buffer = NewBuffer(512);
    StartWrite(file_, 0, &buffer);
    Start();

    EXPECT_EQ(Wait(2), 2u);
    kaio_completion write = Take();
    EXPECT_EQ(write.transfer, KAIO_TRANSFER_FAILED);
    kaio_completion_drop(&write);
    ExpectFailed(EIO, Take());
}

class SyncEventfdSimTest : public SyncSimTest {
  protected:
    kaio_queue_options Options() const override {
        kaio_queue_options options = SyncSimTest::Options();
        options.eventfd = true;
        return options;
    }
};

TEST_F(SyncEventfdSimTest, IsReadableForOneThatWasNotSent) {
    FailOne(EIO);
    kaio_completion none;
    EXPECT_CODE(KAIO_EMPTY, K(kaio_queue_take(queue_, &none)));
    int fd = -1;
    ASSERT_OK(kaio_queue_as_fd(queue_, &fd));
    pollfd ready = {fd, POLLIN, 0};
    ASSERT_EQ(poll(&ready, 1, 0), 0);

    Start();

    EXPECT_EQ(poll(&ready, 1, 0), 1);
    ExpectFailed(EIO, Take());
}

}  // namespace
}  // namespace kaio_test
