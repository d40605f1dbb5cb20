// Idle requests are changed, and what a short transfer left is gone on with.

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <functional>
#include <string>

#include "kaio/safe/poll.h"
#include "kaio/safe/queue.h"
#include "kaio/safe/read.h"
#include "kaio/safe/readv.h"
#include "kaio/safe/sync.h"
#include "kaio/safe/write.h"
#include "kaio/safe/writev.h"
#include "tests/support/safe_test.h"

namespace kaio_test {
namespace {

constexpr uint32_t kSizeBytes = 512;

class ChangeTest : public QueueTest {
  protected:
    void SetUp() override {
        QueueTest::SetUp();
        file_ = OpenFile(temp_.path());
        other_ = OpenFile(other_temp_.path());
        buffer_ = NewBuffer(Pattern(kSizeBytes, 9));
        kept_ = buffer_;
    }

    void TearDown() override {
        QueueTest::TearDown();
        kaio_buffer_drop(&buffer_);
        kaio_file_drop(&file_);
        kaio_file_drop(&other_);
    }

    kaio_write *NewWrite(kaio_file *file, kaio_rw_flags flags = kaio_rw_none()) {
        kaio_write *write = nullptr;
        EXPECT_OK(K(kaio_write_new(queue_, file, Range(0, kSizeBytes), flags, &buffer_, &write)));
        return write;
    }

    // Takes the only outcome, which must be FULL, and has the buffer again.
    void ExpectFull() {
        kaio_completion completion = WaitAndTake();
        EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL) << Text(completion);
        EXPECT_EQ(completion.buffer, kept_);
        buffer_ = completion.buffer;
        ExpectEmpty();
    }

    TempFile temp_{Pattern(2 * kSizeBytes)};
    TempFile other_temp_{Pattern(2 * kSizeBytes, 2)};
    kaio_file *file_ = nullptr;
    kaio_file *other_ = nullptr;
    kaio_buffer *buffer_ = nullptr;
    kaio_buffer *kept_ = nullptr;
};

// ---- retarget ----

TEST_F(ChangeTest, ARetargetedReadReadsFromTheOtherFileAndOffset) {
    kaio_read *read = NewRead(file_, &buffer_);

    EXPECT_OK(K(kaio_read_retarget(read, other_, Range(kSizeBytes, 256, 128), kaio_rw_none())));

    EXPECT_OK(K(kaio_file_close(&file_))) << "it is pinned no more";
    EXPECT_CODE(KAIO_BUSY, K(kaio_file_close(&other_)));
    kaio_read_push(&read, 5);
    ExpectFull();
    EXPECT_EQ(BufferText(buffer_, kSizeBytes),
              Pattern(kSizeBytes, 9).substr(0, 128) +
                  Pattern(2 * kSizeBytes, 2).substr(kSizeBytes, 256) +
                  Pattern(kSizeBytes, 9).substr(384));
}

TEST_F(ChangeTest, ARetargetedWriteWritesToTheOtherFileOnly) {
    kaio_write *write = NewWrite(file_);

    EXPECT_OK(K(kaio_write_retarget(write, other_, Range(kSizeBytes, 64), kaio_rw_dsync())));

    kaio_write_push(&write, 5);
    ExpectFull();
    EXPECT_EQ(temp_.Content(), Pattern(2 * kSizeBytes));
    EXPECT_EQ(other_temp_.Content().substr(kSizeBytes, 64), Pattern(kSizeBytes, 9).substr(0, 64));
}

TEST_F(ChangeTest, ARetargetThatIsRefusedChangesNothing) {
    kaio_file *write_only = OpenFile(other_temp_.path(), O_WRONLY);
    kaio_read *read = NewRead(file_, &buffer_);
    kaio_read *const kept = read;
    const kaio_rw_flags none = kaio_rw_none();

    EXPECT_CODE(KAIO_RANGE, K(kaio_read_retarget(read, other_, Range(0, kSizeBytes + 1), none)));
    EXPECT_CODE(KAIO_RANGE, K(kaio_read_retarget(read, other_, Range(UINT64_MAX, 1), none)));
    EXPECT_CODE(KAIO_UNSUPPORTED, K(kaio_read_retarget(read, other_, Range(0, 8), {1u << 31})));
    EXPECT_CODE(KAIO_ACCESS, K(kaio_read_retarget(read, write_only, Range(0, 8), none)));
    EXPECT_CODE(KAIO_NULL_ARGUMENT, K(kaio_read_retarget(read, nullptr, Range(0, 8), none)));

    EXPECT_OK(K(kaio_file_close(&write_only))) << "the queue still knows a file it did not use";
    EXPECT_EQ(read, kept);
    kaio_read_push(&read, 5);
    ExpectFull();
    EXPECT_EQ(BufferText(buffer_, kSizeBytes), Pattern(2 * kSizeBytes).substr(0, kSizeBytes));
}

TEST_F(ChangeTest, ARetargetToTheSameFileKeepsOnePin) {
    kaio_read *read = NewRead(file_, &buffer_);

    EXPECT_OK(K(kaio_read_retarget(read, file_, Range(kSizeBytes, 8), kaio_rw_none())));

    const kaio_status status = K(kaio_file_close(&file_));
    EXPECT_CODE(KAIO_BUSY, status);
    EXPECT_EQ(status.detail, 1u);
    EXPECT_OK(K(kaio_read_abandon(&read, &buffer_)));
}

TEST_F(ChangeTest, ADroppedFileIsClosedWhenItsLastRequestGoesElsewhere) {
    int fd = -1;
    EXPECT_OK(kaio_file_as_fd(file_, &fd));
    kaio_read *read = NewRead(file_, &buffer_);
    kaio_file_drop(&file_);
    EXPECT_NE(fcntl(fd, F_GETFD), -1);

    EXPECT_OK(K(kaio_read_retarget(read, other_, Range(0, 8), kaio_rw_none())));

    EXPECT_EQ(fcntl(fd, F_GETFD), -1);
    errno = kErrno;
    EXPECT_OK(K(kaio_read_abandon(&read, &buffer_)));
}

// ---- retype ----

TEST_F(ChangeTest, AReadBecomesAWriteOfTheSameBytes) {
    kaio_read *read = nullptr;
    EXPECT_OK(K(kaio_read_new(queue_, file_, Range(kSizeBytes, 256, 128), kaio_rw_high_priority(),
                              &buffer_, &read)));
    kaio_read *alias = read;
    kaio_write *write = nullptr;

    EXPECT_OK(K(kaio_read_into_write(&read, &write)));

    EXPECT_EQ(read, nullptr);
    EXPECT_EQ(Counts().idle_count, 1u);
    kaio_buffer *none = nullptr;
    EXPECT_CODE(KAIO_STALE, K(kaio_read_abandon(&alias, &none)));
    EXPECT_NE(K(kaio_write_push(&write, 5)).bits, 0u);
    ExpectFull();
    EXPECT_EQ(temp_.Content().substr(kSizeBytes, 256), Pattern(kSizeBytes, 9).substr(128, 256));
}

TEST_F(ChangeTest, AnAliasIsStaleAlsoWhenTheRequestIsAReadAgain) {
    kaio_read *read = NewRead(file_, &buffer_);
    kaio_read *alias = read;
    kaio_write *write = nullptr;
    EXPECT_OK(K(kaio_read_into_write(&read, &write)));

    EXPECT_OK(K(kaio_write_into_read(&write, &read)));

    EXPECT_EQ(write, nullptr);
    EXPECT_NE(read, alias);
    EXPECT_EQ(K(kaio_read_push(&alias, 1)).bits, 0u);
    EXPECT_NE(K(kaio_read_push(&read, 5)).bits, 0u);
    ExpectFull();
    EXPECT_EQ(BufferText(buffer_, kSizeBytes), Pattern(2 * kSizeBytes).substr(0, kSizeBytes));
}

TEST_F(ChangeTest, AFileThatIsNotForItLeavesTheRequestAsItIs) {
    kaio_file *read_only = OpenFile(temp_.path(), O_RDONLY);
    kaio_read *read = NewRead(read_only, &buffer_);
    kaio_read *const kept = read;
    kaio_write *write = nullptr;

    EXPECT_CODE(KAIO_ACCESS, K(kaio_read_into_write(&read, &write)));

    EXPECT_EQ(read, kept);
    EXPECT_EQ(write, nullptr);
    EXPECT_NE(K(kaio_read_push(&read, 5)).bits, 0u);
    ExpectFull();
    EXPECT_OK(K(kaio_file_close(&read_only)));
}

TEST_F(ChangeTest, ARequestWhoseFileWasDroppedIsNotRetypedAndStillServed) {
    kaio_read *read = NewRead(file_, &buffer_);
    kaio_write *write = nullptr;
    kaio_file_drop(&file_);

    const kaio_status status = K(kaio_read_into_write(&read, &write));

    EXPECT_CODE(KAIO_STALE, status);
    EXPECT_EQ(status.subject, KAIO_SUBJECT_FILE);
    EXPECT_NE(K(kaio_read_push(&read, 5)).bits, 0u);
    ExpectFull();
}

TEST_F(ChangeTest, AWriteThatBecameAReadIsNoWriteToASync) {
    kaio_write *write = NewWrite(file_, kaio_rw_dsync());
    kaio_read *read = nullptr;
    kaio_ticket ticket = {};
    EXPECT_OK(K(kaio_write_into_read(&write, &read)));
    EXPECT_NE(K(kaio_read_push(&read, 5)).bits, 0u);
    EXPECT_OK(K(kaio_sync_start(queue_, file_, KAIO_SYNC_DATA, 6, &ticket)));

    EXPECT_EQ(Flush().staged_count, 0u) << "the sync waits for a write";

    EXPECT_EQ(Wait(2), 2u);
    for (int i = 0; i < 2; ++i) {
        kaio_completion completion = Take();
        kaio_completion_drop(&completion);
    }
    EXPECT_EQ(temp_.Content(), Pattern(2 * kSizeBytes));
}

// A queue with one place, where an idle request makes room for one of any other kind.
class OnePlaceTest : public ChangeTest {
  protected:
    enum Kind { kRead, kWrite, kReadv, kWritev, kSyncData, kSyncAll, kPoll };
    static constexpr Kind kKinds[] = {kRead, kWrite, kReadv, kWritev, kSyncData, kSyncAll, kPoll};

    kaio_queue_options Options() const override {
        kaio_queue_options options = {};
        options.depth = 1;
        options.segment_count = 1;
        return options;
    }

    // Gives the buffer bytes that the file does not have.
    void Fill() {
        Pattern(kSizeBytes, ++round_)
            .copy(reinterpret_cast<char *>(kaio_buffer_as_bytes(buffer_)), kSizeBytes);
    }

    void MoveToSegment() {
        segment_ = {buffer_, nullptr, 0, kSizeBytes};
        buffer_ = nullptr;
    }

    void New(Kind kind) {
        switch (kind) {
            case kRead:
                read_ = NewRead(file_, &buffer_);
                break;
            case kWrite:
                Fill();
                write_ = NewWrite(file_);
                break;
            case kReadv:
                MoveToSegment();
                EXPECT_OK(
                    K(kaio_readv_new(queue_, file_, 0, kaio_rw_none(), &segment_, 1, &readv_)));
                break;
            case kWritev:
                Fill();
                MoveToSegment();
                EXPECT_OK(
                    K(kaio_writev_new(queue_, file_, 0, kaio_rw_none(), &segment_, 1, &writev_)));
                break;
            case kSyncData:
                EXPECT_OK(K(kaio_sync_new(queue_, file_, KAIO_SYNC_DATA, &sync_)));
                break;
            case kSyncAll:
                EXPECT_OK(K(kaio_sync_new(queue_, file_, KAIO_SYNC_ALL, &sync_)));
                break;
            case kPoll:
                EXPECT_OK(K(kaio_poll_new(queue_, file_, kaio_poll_readable(), &poll_)));
                break;
        }
        EXPECT_EQ(Counts().idle_count, 1u);
    }

    // Makes room, and returns a push of a copy of what is gone.
    std::function<kaio_ticket()> Abandon(Kind kind) {
        std::function<kaio_ticket()> push;
        uint32_t segment_count = 0;
        switch (kind) {
            case kRead:
                push = [copy = read_] { return kaio_read_push_(copy, 0); };
                EXPECT_OK(K(kaio_read_abandon(&read_, &buffer_)));
                break;
            case kWrite:
                push = [copy = write_] { return kaio_write_push_(copy, 0); };
                EXPECT_OK(K(kaio_write_abandon(&write_, &buffer_)));
                break;
            case kReadv:
                push = [copy = readv_] { return kaio_readv_push_(copy, 0); };
                EXPECT_OK(K(kaio_readv_abandon(&readv_, &segment_, 1, &segment_count)));
                buffer_ = segment_.buffer;
                break;
            case kWritev:
                push = [copy = writev_] { return kaio_writev_push_(copy, 0); };
                EXPECT_OK(K(kaio_writev_abandon(&writev_, &segment_, 1, &segment_count)));
                buffer_ = segment_.buffer;
                break;
            case kSyncData:
            case kSyncAll:
                push = [copy = sync_] { return kaio_sync_push_(copy, 0); };
                EXPECT_OK(K(kaio_sync_abandon(&sync_)));
                break;
            case kPoll:
                push = [copy = poll_] { return kaio_poll_push_(copy, 0); };
                EXPECT_OK(K(kaio_poll_abandon(&poll_)));
                break;
        }
        EXPECT_EQ(Counts().free_count, 1u);
        return push;
    }

    // Takes the only outcome, which must be FULL, and has the buffer again.
    void ExpectFullSegment() {
        EXPECT_EQ(Wait(1), 1u);
        kaio_completion completion = {};
        EXPECT_OK(K(kaio_queue_take_segments(queue_, &segment_, 1, &completion)));
        EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL) << Text(completion);
        EXPECT_EQ(segment_.buffer, kept_);
        buffer_ = segment_.buffer;
    }

    void PushAndTake(Kind kind) {
        switch (kind) {
            case kRead:
                kaio_read_push(&read_, 5);
                ExpectFull();
                EXPECT_EQ(BufferText(buffer_, kSizeBytes), temp_.Content().substr(0, kSizeBytes));
                break;
            case kWrite:
                kaio_write_push(&write_, 5);
                ExpectFull();
                EXPECT_EQ(temp_.Content().substr(0, kSizeBytes), Pattern(kSizeBytes, round_));
                break;
            case kReadv:
                kaio_readv_push(&readv_, 5);
                ExpectFullSegment();
                EXPECT_EQ(BufferText(buffer_, kSizeBytes), temp_.Content().substr(0, kSizeBytes));
                break;
            case kWritev:
                kaio_writev_push(&writev_, 5);
                ExpectFullSegment();
                EXPECT_EQ(temp_.Content().substr(0, kSizeBytes), Pattern(kSizeBytes, round_));
                break;
            case kSyncData:
            case kSyncAll:
                kaio_sync_push(&sync_, 5);
                EXPECT_EQ(WaitAndTake().sync, KAIO_SYNC_SYNCED);
                break;
            case kPoll: {
                kaio_poll_push(&poll_, 5);
                const kaio_completion completion = WaitAndTake();
                EXPECT_EQ(completion.poll, KAIO_POLL_READY);
                EXPECT_EQ(completion.buffer, nullptr);
                break;
            }
        }
    }

    unsigned round_ = 20;
    kaio_read *read_ = nullptr;
    kaio_write *write_ = nullptr;
    kaio_segment segment_ = {};
    kaio_readv *readv_ = nullptr;
    kaio_writev *writev_ = nullptr;
    kaio_sync *sync_ = nullptr;
    kaio_poll *poll_ = nullptr;
};

TEST_F(OnePlaceTest, ARequestMakesRoomForOneOfAnyKindAndItsHandleIsStale) {
    for (const Kind before : kKinds) {
        for (const Kind after : kKinds) {
            New(before);
            const std::function<kaio_ticket()> push_copy = Abandon(before);
            EXPECT_EQ(K(push_copy()).bits, 0u);
            New(after);
            EXPECT_EQ(K(push_copy()).bits, 0u);
            EXPECT_EQ(Counts().idle_count, 1u) << "the new one is not what the copy names";
            PushAndTake(after);
        }
    }
}

// ---- priorities ----

TEST_F(ChangeTest, ARequestWithAPriorityIsServed) {
    for (const kaio_priority priority : {kaio_priority_inherited(), kaio_priority_best_effort(0),
                                         kaio_priority_best_effort(7), kaio_priority_idle()}) {
        kaio_read *read = NewRead(file_, &buffer_);
        EXPECT_OK(K(kaio_read_set_priority(read, kaio_priority_best_effort(3))));
        EXPECT_OK(K(kaio_read_set_priority(read, priority)));
        kaio_read_push(&read, 5);
        ExpectFull();
    }
}

TEST_F(ChangeTest, RealTimeIsServedOrNotPermitted) {
    kaio_write *write = NewWrite(file_);
    EXPECT_OK(K(kaio_write_set_priority(write, kaio_priority_real_time(4))));
    kaio_write_push(&write, 5);

    kaio_completion completion = WaitAndTake();

    if (completion.transfer == KAIO_TRANSFER_REFUSED) {
        EXPECT_CODE(KAIO_OS_ERROR, completion.refusal);
        EXPECT_EQ(completion.os_error, EPERM);
    } else {
        EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL) << Text(completion);
    }
    kaio_completion_drop(&completion);
}

TEST_F(ChangeTest, APriorityOutOfRangeIsRefused) {
    kaio_read *read = NewRead(file_, &buffer_);

    EXPECT_EQ(Text(K(kaio_read_set_priority(read, kaio_priority_best_effort(8)))),
              "range (priority): asked for 8, the limit is 7");
    EXPECT_EQ(Text(K(kaio_read_set_priority(read, {0, 1}))),
              "range (priority): asked for 1, the limit is 0");
    EXPECT_EQ(Text(K(kaio_read_set_priority(read, {4, 0}))),
              "range (kind): asked for 4, the limit is 3");

    EXPECT_OK(K(kaio_read_abandon(&read, &buffer_)));
}

// ---- the rest of a short transfer ----

TEST_F(ChangeTest, TheRestOfAReadAcrossTheEndEnds) {
    kaio_ticket ticket = {};
    const kaio_range range = Range(2 * kSizeBytes - 100, kSizeBytes);
    EXPECT_OK(K(kaio_read_start(queue_, file_, range, kaio_rw_none(), 5, &buffer_, &ticket)));
    kaio_completion completion = WaitAndTake();
    ASSERT_EQ(completion.transfer, KAIO_TRANSFER_SHORT);
    ASSERT_EQ(completion.moved_bytes, 100u);

    EXPECT_OK(K(kaio_read_rest_start(queue_, file_, kaio_rw_none(), &completion, &ticket)));

    EXPECT_EQ(completion.buffer, nullptr);
    completion = WaitAndTake();
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_END);
    EXPECT_EQ(completion.user, 5u);
    EXPECT_EQ(completion.range.file_offset_bytes, 2u * kSizeBytes);
    EXPECT_EQ(completion.range.buffer_offset_bytes, 100u);
    EXPECT_EQ(completion.range.size_bytes, kSizeBytes - 100);
    EXPECT_EQ(completion.buffer, kept_);
    buffer_ = completion.buffer;
    EXPECT_EQ(
        BufferText(buffer_, kSizeBytes),
        Pattern(2 * kSizeBytes).substr(2 * kSizeBytes - 100) + Pattern(kSizeBytes, 9).substr(100));
}

TEST_F(ChangeTest, WhatIsNotShortHasNoRest) {
    kaio_ticket ticket = {};
    StartRead(file_, 0, &buffer_);
    kaio_completion completion = WaitAndTake();
    ASSERT_EQ(completion.transfer, KAIO_TRANSFER_FULL);
    const kaio_rw_flags none = kaio_rw_none();

    EXPECT_CODE(KAIO_EMPTY, K(kaio_read_rest_start(queue_, file_, none, &completion, &ticket)));
    completion.transfer = KAIO_TRANSFER_SHORT;
    EXPECT_CODE(KAIO_EMPTY, K(kaio_write_rest_start(queue_, file_, none, &completion, &ticket)))
        << "it was a read";
    completion.moved_bytes = kSizeBytes + 1;
    EXPECT_CODE(KAIO_EMPTY, K(kaio_read_rest_start(queue_, file_, none, &completion, &ticket)));

    EXPECT_EQ(completion.buffer, kept_);
    EXPECT_EQ(Counts().free_count, kDepth);
    buffer_ = completion.buffer;
}

TEST_F(ChangeTest, ARestThatNoLongerFitsDirectIoSaysTheNumbers) {
    kaio_file *direct = nullptr;
    const kaio_status opened = kaio_file_open(other_temp_.path(), O_RDWR | O_DIRECT, 0, &direct);
    ASSERT_OK(opened);
    kaio_alignment alignment = {};
    ASSERT_OK(kaio_file_alignment(direct, &alignment));
    kaio_ticket ticket = {};
    StartRead(file_, 2 * kSizeBytes - 100, &buffer_);
    kaio_completion completion = WaitAndTake();
    ASSERT_EQ(completion.transfer, KAIO_TRANSFER_SHORT);

    const kaio_status status =
        K(kaio_read_rest_start(queue_, direct, kaio_rw_none(), &completion, &ticket));

    if (alignment.is_known && alignment.read_bytes > 4) {
        EXPECT_CODE(KAIO_ALIGN, status);
        EXPECT_EQ(completion.buffer, kept_);
    } else {  // a file system that takes anything
        EXPECT_OK(status);
        completion = WaitAndTake();
    }
    kaio_completion_drop(&completion);
    EXPECT_OK(K(kaio_file_close(&direct)));
}

TEST_F(ChangeTest, NullsAreAnswered) {
    kaio_ticket ticket = {};
    kaio_completion completion = {};
    kaio_read *read = NewRead(file_, &buffer_);
    kaio_write *write = nullptr;
    const kaio_rw_flags none = kaio_rw_none();

    EXPECT_CODE(KAIO_NULL_ARGUMENT, K(kaio_read_into_write(nullptr, &write)));
    EXPECT_CODE(KAIO_NULL_ARGUMENT, K(kaio_read_into_write(&read, nullptr)));
    EXPECT_CODE(KAIO_NULL_ARGUMENT, K(kaio_write_into_read(&write, &read)));
    EXPECT_CODE(KAIO_NULL_ARGUMENT, K(kaio_read_rest_start(queue_, file_, none, nullptr, &ticket)));
    completion.operation = KAIO_READ;
    completion.transfer = KAIO_TRANSFER_SHORT;
    EXPECT_CODE(KAIO_NULL_ARGUMENT,
                K(kaio_read_rest_start(queue_, file_, none, &completion, nullptr)));

    EXPECT_OK(K(kaio_read_abandon(&read, &buffer_)));
}

}  // namespace
}  // namespace kaio_test
