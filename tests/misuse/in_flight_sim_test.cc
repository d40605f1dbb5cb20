// Misuse while the kernel has a request: it is held in flight until the test lets it go.

#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <functional>
#include <string>
#include <thread>

#include "kaio/safe/kaio.h"
#include "kaio/safe/sim/sim.h"
#include "kaio/safe/testing.h"
#include "tests/misuse/every_use.h"
#include "tests/support/in_child.h"
#include "tests/support/safe_test.h"

namespace {

using namespace kaio_test;

constexpr size_t kSizeBytes = 512;

// One read of a file is in flight; the simulated kernel fills its buffer only when it is told to.
class InFlightTest : public QueueTest {
  protected:
    void SetUp() override {
        kaio_sim_script script = {};
        script.hold = true;
        script.late = true;
        kaio_sim_play(&script);
        QueueTest::SetUp();
        file_ = OpenFile(disk_.path());
        EXPECT_OK(kaio_file_as_fd(file_, &fd_));
        kaio_buffer *buffer = NewBuffer(before_);
        pinned_ = buffer;
        bytes_ = kaio_buffer_as_bytes(buffer);
        read_ = NewRead(file_, &buffer);
        alias_ = Bits(read_);
        EXPECT_NE(kaio_read_push(&read_, 5).bits, 0u);
        EXPECT_EQ(Flush().accepted_count, 1u);
        EXPECT_EQ(Counts().in_flight_count, 1u);
    }

    void TearDown() override {
        const kaio_sim_script none = {};
        kaio_sim_play(&none);
        kaio_file_drop(&file_);
        QueueTest::TearDown();
    }

    // Still in flight, nothing has changed, and then it ends as if nothing had been.
    void ExpectUnharmed() {
        EXPECT_EQ(Counts().in_flight_count, 1u);
        EXPECT_EQ(PinnedText(), before_);
        EXPECT_EQ(kaio_sim_complete(1), 1u);
        EXPECT_EQ(PinnedText(), Pattern(kSizeBytes));
        kaio_completion completion = Take();
        EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL) << Text(completion);
        EXPECT_EQ(completion.user, 5u);
        EXPECT_EQ(completion.buffer, pinned_);
        EXPECT_EQ(kaio_buffer_as_bytes(pinned_), bytes_);
        EXPECT_EQ(BufferText(pinned_, kSizeBytes), Pattern(kSizeBytes));
        kaio_completion_drop(&completion);
        ExpectEmpty();
    }

    // What the pointer that was lent before still shows; AddressSanitizer would forbid the look.
    __attribute__((no_sanitize_address)) std::string PinnedText() const {
        char text[kSizeBytes];
        for (size_t i = 0; i < kSizeBytes; ++i) {
            const volatile uint8_t *byte = &bytes_[i];
            text[i] = static_cast<char>(*byte);
        }
        return std::string(text, kSizeBytes);
    }

    const std::string before_ = Pattern(kSizeBytes, 9);
    TempFile disk_{Pattern(kSizeBytes)};
    kaio_file *file_ = nullptr;
    int fd_ = -1;
    kaio_buffer *pinned_ = nullptr;
    const uint8_t *bytes_ = nullptr;
    kaio_read *read_ = nullptr;
    uintptr_t alias_ = 0;
};

TEST_F(InFlightTest, TheRequestIsNotPushedAbandonedOrDroppedThroughAnAlias) {
    for (const Use &use : UsesOfRequests()) {
        ExpectAnswer(KAIO_STALE, use, K(use.call({}, alias_)));
    }

    ExpectUnharmed();
}

TEST_F(InFlightTest, TheRequestIsNotChangedThroughAnAlias) {
    TempFile other_disk(Pattern(kSizeBytes, 3));
    kaio_file *other = OpenFile(other_disk.path());
    kaio_read *alias = Handle<kaio_read>(alias_);
    kaio_write *write = nullptr;

    EXPECT_CODE(KAIO_STALE, K(kaio_read_into_write(&alias, &write)));
    EXPECT_EQ(write, nullptr);
    EXPECT_CODE(KAIO_STALE, K(kaio_read_retarget(alias, other, Range(0, 8), kaio_rw_none())));
    EXPECT_CODE(KAIO_STALE, K(kaio_read_set_priority(alias, kaio_priority_idle())));

    EXPECT_OK(kaio_file_close(&other)) << "it is not pinned";
    ExpectUnharmed();
    EXPECT_EQ(disk_.Content(), Pattern(kSizeBytes)) << "nothing was written";
}

TEST_F(InFlightTest, AnAliasThatIsPushedTooIsNotSubmitted) {
    kaio_read *alias = Handle<kaio_read>(alias_);
    const uint64_t submit_count = kaio_sim_call_counts().submit_count;
    EXPECT_EQ(kaio_sim_call_counts().request_count, 1u);

    EXPECT_EQ(K(kaio_read_push(&alias, 6)).bits, 0u);
    EXPECT_EQ(Flush().accepted_count, 0u);

    EXPECT_EQ(kaio_sim_call_counts().submit_count, submit_count);
    EXPECT_EQ(kaio_sim_call_counts().request_count, 1u);
    ExpectUnharmed();
}

TEST_F(InFlightTest, TheBufferIsNeitherLentNorReleasedNorGivenToAnother) {
    EXPECT_EQ(kaio_buffer_as_bytes(pinned_), nullptr);
    kaio_buffer *alias = pinned_;
    kaio_buffer_drop(&alias);
    EXPECT_CODE(KAIO_BUSY, K(kaio_buffer_detach(pinned_)));
    EXPECT_CODE(KAIO_BUSY, K((StartWith<kaio_read_start>(queue_, file_, pinned_))));
    EXPECT_CODE(KAIO_BUSY, K((StartWith<kaio_write_start>(queue_, file_, pinned_))));
    kaio_buffer *other = NewBuffer(kSizeBytes);
    EXPECT_NE(kaio_buffer_as_bytes(other), bytes_) << "the pinned memory was given out again";

    ExpectUnharmed();
    kaio_buffer_drop(&other);
}

TEST_F(InFlightTest, TheFileIsNotClosed) {
    const kaio_status status = K(kaio_file_close(&file_));
    EXPECT_CODE(KAIO_BUSY, status);
    EXPECT_EQ(status.detail, 1u);
    EXPECT_NE(fcntl(fd_, F_GETFD), -1);

    ExpectUnharmed();
    EXPECT_OK(K(kaio_file_close(&file_)));
}

TEST_F(InFlightTest, ADroppedFileServesItsRequestToTheEnd) {
    kaio_file_drop(&file_);
    EXPECT_NE(fcntl(fd_, F_GETFD), -1);

    ExpectUnharmed();

    EXPECT_EQ(fcntl(fd_, F_GETFD), -1);
    errno = kErrno;
}

TEST_F(InFlightTest, TheQueueIsNotClosed) {
    EXPECT_EQ(Text(K(kaio_queue_close(&queue_))),
              "busy (queue): 0 idle, 0 staged, 1 in flight, 0 finished");

    ExpectUnharmed();
    EXPECT_OK(kaio_queue_close(&queue_));
}

TEST_F(InFlightTest, DestroyEndsOnlyAfterTheKernelWroteItsLastByte) {
    struct Seen {
        kaio_transfer_outcome outcome;
        std::string text;
    } seen = {KAIO_TRANSFER_PENDING, ""};
    kaio_destroy_report report = {};

    ASSERT_OK(kaio_queue_destroy(
        &queue_,
        [](void *context, kaio_completion *completion) {
            Seen *out = static_cast<Seen *>(context);
            out->outcome = completion->transfer;
            out->text = BufferText(completion->buffer, kSizeBytes);
        },
        &seen, &report));

    EXPECT_EQ(seen.outcome, KAIO_TRANSFER_FULL);
    EXPECT_EQ(seen.text, Pattern(kSizeBytes));
    EXPECT_EQ(report.dropped_count, 1u);
    EXPECT_EQ(kaio_sim_complete(1), 0u);
}

TEST_F(InFlightTest, TimeoutsGiveNothingBack) {
    for (int i = 0; i < 3; ++i) {
        Output<uint32_t> ready;
        EXPECT_CODE(KAIO_TIMED_OUT, ready.Judge(K(kaio_queue_wait(
                                        queue_, 1, kaio_deadline_after_ns(1000000), ready.at()))));
        EXPECT_EQ(kaio_buffer_as_bytes(pinned_), nullptr);
    }

    ExpectUnharmed();
}

// All owners end behind the timeout; the memory is somebody else's then, and stays as it is.
TEST_F(InFlightTest, NothingIsWrittenBehindATimeoutAndTheDropOfEverything) {
    const kaio_testing_census before = kaio_testing_count();
    Output<uint32_t> ready;
    EXPECT_CODE(
        KAIO_TIMED_OUT,
        ready.Judge(K(kaio_queue_wait(queue_, 1, kaio_deadline_after_ns(1000000), ready.at()))));
    kaio_buffer *alias = pinned_;
    kaio_buffer_drop(&alias);
    kaio_file_drop(&file_);
    ExpectBooks();
    EXPECT_EQ(kaio_testing_count().buffer_count, before.buffer_count);

    kaio_queue_drop(&queue_);

    EXPECT_EQ(kaio_testing_count().queue_count, before.queue_count - 1);
    EXPECT_EQ(kaio_testing_count().file_count, before.file_count - 1);
    EXPECT_EQ(kaio_testing_count().buffer_count, before.buffer_count - 1);
    kaio_buffer *next = NewBuffer(before_);
    EXPECT_EQ(kaio_sim_complete(1), 0u) << "it was in flight still";
    EXPECT_EQ(BufferText(next, kSizeBytes), before_);
    kaio_buffer_drop(&next);
}

TEST_F(InFlightTest, AnotherThreadChangesNothing) {
    kaio_buffer *spare = NewBuffer(8, 8);
    std::thread([&] {
        for (const Use &use : UsesOfQueues()) {
            if (!use.is_silent) {
                const kaio_status status = use.call({queue_, file_, spare}, Bits(queue_));
                ExpectAnswer(KAIO_WRONG_THREAD, use, status);
            }
        }
        for (const Use &use : UsesOfRequests()) {
            ExpectAnswer(KAIO_STALE, use, use.call({}, alias_));
        }
        kaio_buffer *alias = pinned_;
        kaio_buffer_drop(&alias);
        kaio_file *file = file_;
        EXPECT_CODE(KAIO_BUSY, kaio_file_close(&file));
    }).join();

    ExpectUnharmed();
    kaio_buffer_drop(&spare);
}

TEST_F(InFlightTest, AChildChangesNothing) {
    kaio_buffer *spare = NewBuffer(8, 8);
    ExpectFineInChild([&] {
        for (const Use &use : UsesOfQueues()) {
            ExpectAnswer(KAIO_FORKED, use, use.call({queue_, file_, spare}, Bits(queue_)));
        }
        for (const Use &use : UsesOfRequests()) {
            ExpectAnswer(KAIO_STALE, use, use.call({}, alias_));
        }
        EXPECT_EQ(kaio_buffer_as_bytes(pinned_), nullptr);
        kaio_buffer *alias = pinned_;
        kaio_buffer_drop(&alias);
        kaio_file_drop(&file_);
    });

    ExpectUnharmed();
    kaio_buffer_drop(&spare);
}

}  // namespace
