// NULL, and the address of a NULL, to every public function: an answer, and nothing changes.

#include <fcntl.h>

#include <cstdint>

#include "kaio/safe/kaio.h"
#include "kaio/safe/testing.h"
#include "tests/misuse/every_use.h"
#include "tests/support/safe_test.h"

namespace {

using namespace kaio_test;

// ExpectNull wants NULL_ARGUMENT, about `subject`.
void ExpectNull(kaio_subject subject, kaio_status status) {
    EXPECT_CODE(KAIO_NULL_ARGUMENT, status);
    EXPECT_EQ(status.subject, subject) << Text(status);
}

class NullTest : public QueueTest {
  protected:
    void SetUp() override {
        QueueTest::SetUp();
        file_ = OpenFile("/dev/null");
        buffer_ = NewBuffer(8, 8);
        before_ = kaio_testing_count();
    }

    void TearDown() override {
        const kaio_testing_census after = kaio_testing_count();
        EXPECT_EQ(after.queue_count, before_.queue_count);
        EXPECT_EQ(after.file_count, before_.file_count);
        EXPECT_EQ(after.buffer_count, before_.buffer_count);
        EXPECT_EQ(Counts().free_count, kDepth);
        EXPECT_NE(kaio_buffer_as_bytes(buffer_), nullptr);
        EXPECT_EQ(errno, kErrno) << "errno was touched";
        kaio_buffer_drop(&buffer_);
        EXPECT_OK(kaio_file_close(&file_));
        EXPECT_OK(kaio_queue_close(&queue_));
        QueueTest::TearDown();
    }

    kaio_file *file_ = nullptr;
    kaio_buffer *buffer_ = nullptr;
    kaio_testing_census before_ = {};
};

TEST_F(NullTest, EveryNullHandleIsANullArgument) {
    for (const Use &use : EveryUse()) {
        ExpectAnswer(KAIO_NULL_ARGUMENT, use, K(use.call({queue_, file_, buffer_}, 0)));
    }
}

// ---- the address of the variable is NULL ----

TEST_F(NullTest, WhatIsMovedFromNowhereIsANullArgument) {
    kaio_destroy_report report = {};
    kaio_buffer *buffer = nullptr;
    kaio_read *read = nullptr;
    kaio_write *write = nullptr;
    kaio_ticket ticket = {};
    const kaio_rw_flags none = kaio_rw_none();

    ExpectNull(KAIO_SUBJECT_QUEUE, K(kaio_queue_close(nullptr)));
    ExpectNull(KAIO_SUBJECT_QUEUE, K(kaio_queue_destroy(nullptr, nullptr, nullptr, &report)));
    ExpectNull(KAIO_SUBJECT_QUEUE,
               K(kaio_queue_destroy_all(nullptr, 1, nullptr, nullptr, &report)));
    ExpectNull(KAIO_SUBJECT_FILE, K(kaio_file_close(nullptr)));
    ExpectNull(KAIO_SUBJECT_REQUEST, K(kaio_read_abandon(nullptr, &buffer)));
    ExpectNull(KAIO_SUBJECT_REQUEST, K(kaio_write_abandon(nullptr, &buffer)));
    ExpectNull(KAIO_SUBJECT_REQUEST, K(kaio_sync_abandon(nullptr)));
    ExpectNull(KAIO_SUBJECT_REQUEST, K(kaio_poll_abandon(nullptr)));
    ExpectNull(KAIO_SUBJECT_BUFFER,
               K(kaio_read_new(queue_, file_, Range(0, 8), none, nullptr, &read)));
    ExpectNull(KAIO_SUBJECT_BUFFER,
               K(kaio_write_new(queue_, file_, Range(0, 8), none, nullptr, &write)));
    ExpectNull(KAIO_SUBJECT_BUFFER,
               K(kaio_read_start(queue_, file_, Range(0, 8), none, 1, nullptr, &ticket)));
    ExpectNull(KAIO_SUBJECT_BUFFER,
               K(kaio_write_start(queue_, file_, Range(0, 8), none, 1, nullptr, &ticket)));

    EXPECT_EQ(read, nullptr);
    EXPECT_EQ(write, nullptr);
    EXPECT_EQ(ticket.bits, 0u);
}

TEST_F(NullTest, DropsIgnoreNull) {
    kaio_queue_drop(nullptr);
    kaio_file_drop(nullptr);
    kaio_buffer_drop(nullptr);
    kaio_read_drop(nullptr);
    kaio_write_drop(nullptr);
    kaio_sync_drop(nullptr);
    kaio_poll_drop(nullptr);
    kaio_completion_drop(nullptr);
}

// Unseen hides a NULL from the compiler: a push of one that it sees does not compile.
template <typename T>
T *Unseen() {
    T *volatile null = nullptr;
    return null;
}

TEST_F(NullTest, APushFromNowhereAnswersTicketZero) {
    EXPECT_EQ(K(kaio_read_push(Unseen<kaio_read *>(), 1)).bits, 0u);
    EXPECT_EQ(K(kaio_write_push(Unseen<kaio_write *>(), 1)).bits, 0u);
    EXPECT_EQ(K(kaio_sync_push(Unseen<kaio_sync *>(), 1)).bits, 0u);
    EXPECT_EQ(K(kaio_poll_push(Unseen<kaio_poll *>(), 1)).bits, 0u);
}

TEST_F(NullTest, APushOfNullAnswersTicketZero) {
    kaio_read *read = Unseen<kaio_read>();
    kaio_write *write = Unseen<kaio_write>();
    kaio_sync *sync = Unseen<kaio_sync>();
    kaio_poll *poll = Unseen<kaio_poll>();
    EXPECT_EQ(K(kaio_read_push(&read, 1)).bits, 0u);
    EXPECT_EQ(K(kaio_write_push(&write, 1)).bits, 0u);
    EXPECT_EQ(K(kaio_sync_push(&sync, 1)).bits, 0u);
    EXPECT_EQ(K(kaio_poll_push(&poll, 1)).bits, 0u);
}

TEST_F(NullTest, LatenciesThatAreNotThereAreANullArgument) {
    kaio_latency latency = {};
    int64_t ns = 0;
    ExpectNull(KAIO_SUBJECT_LATENCY, K(kaio_latency_quantile(nullptr, 1, &ns)));
    ExpectNull(KAIO_SUBJECT_OUTPUT, K(kaio_latency_quantile(&latency, 1, nullptr)));
    ExpectNull(KAIO_SUBJECT_LATENCY, K(kaio_latency_merge(nullptr, &latency)));
    ExpectNull(KAIO_SUBJECT_LATENCY, K(kaio_latency_merge(&latency, nullptr)));
    EXPECT_EQ(kaio_latency_total(nullptr), 0u);
}

// ---- there is nowhere to put the result ----

TEST_F(NullTest, ANullOutputIsANullArgument) {
    const kaio_subject output = KAIO_SUBJECT_OUTPUT;
    const kaio_rw_flags none = kaio_rw_none();
    kaio_queue_options options = {};
    options.depth = 1;
    const kaio_handlers handlers = {};
    kaio_queue *queue = queue_;

    ExpectNull(output, kaio_buffer_new(8, 8, nullptr));
    ExpectNull(output, kaio_file_open("/dev/null", O_RDWR, 0, nullptr));
    ExpectNull(output, kaio_file_adopt(0, nullptr));
    ExpectNull(output, kaio_file_borrow(0, nullptr));
    ExpectNull(output, kaio_file_as_fd(file_, nullptr));
    ExpectNull(output, kaio_file_alignment(file_, nullptr));
    ExpectNull(output, kaio_file_clear_sync_error(file_, nullptr));
    ExpectNull(output, kaio_queue_open(&options, nullptr));
    ExpectNull(output, K(kaio_queue_counters_read(queue_, nullptr)));
    ExpectNull(output, K(kaio_queue_latency_read(queue_, KAIO_READ, nullptr)));
    ExpectNull(output, K(kaio_queue_submit_latency_read(queue_, nullptr)));
    ExpectNull(output, K(kaio_queue_dump(queue_, nullptr)));
    ExpectNull(output, K(kaio_queue_flush(queue_, nullptr)));
    ExpectNull(output, K(kaio_queue_wait(queue_, 0, kaio_deadline_now(), nullptr)));
    ExpectNull(output, K(kaio_queue_take(queue_, nullptr)));
    ExpectNull(output, K(kaio_queue_as_fd(queue_, nullptr)));
    ExpectNull(output, K(kaio_queue_count(queue_, nullptr)));
    ExpectNull(output, K(kaio_queue_drain(queue_, kaio_deadline_now(), nullptr)));
    ExpectNull(output, K(kaio_queue_destroy(&queue, nullptr, nullptr, nullptr)));
    ExpectNull(output, K(kaio_queue_destroy_all(&queue, 1, nullptr, nullptr, nullptr)));
    ExpectNull(output, K(kaio_queue_wait_masked(queue_, 0, kaio_deadline_now(), kaio_signals_none(),
                                                nullptr)));
    ExpectNull(output, K(kaio_queue_run(queue_, &handlers, nullptr, kaio_deadline_now(), nullptr)));
    ExpectNull(output, K(kaio_read_new(queue_, file_, Range(0, 8), none, &buffer_, nullptr)));
    ExpectNull(output, K(kaio_write_new(queue_, file_, Range(0, 8), none, &buffer_, nullptr)));
    ExpectNull(output, K(kaio_sync_new(queue_, file_, KAIO_SYNC_DATA, nullptr)));
    ExpectNull(output, K(kaio_poll_new(queue_, file_, kaio_poll_none(), nullptr)));
    ExpectNull(output, K(kaio_read_start(queue_, file_, Range(0, 8), none, 1, &buffer_, nullptr)));
    ExpectNull(output, K(kaio_write_start(queue_, file_, Range(0, 8), none, 1, &buffer_, nullptr)));
    ExpectNull(output, K(kaio_sync_start(queue_, file_, KAIO_SYNC_DATA, 1, nullptr)));
    ExpectNull(output, K(kaio_poll_start(queue_, file_, kaio_poll_none(), 1, nullptr)));
    ExpectNull(output, K(kaio_queue_cancel(queue_, {}, nullptr)));
    ExpectNull(output, K(kaio_queue_take_late(queue_, nullptr)));
    ExpectNull(output, K(kaio_queue_next_deadline(queue_, nullptr)));

    EXPECT_EQ(queue, queue_);
}

TEST_F(NullTest, AbandonWithNowhereToPutTheBufferKeepsTheRequestIdle) {
    kaio_read *read = NewRead(file_, &buffer_);
    kaio_read *const kept = read;

    ExpectNull(KAIO_SUBJECT_OUTPUT, K(kaio_read_abandon(&read, nullptr)));

    EXPECT_EQ(read, kept);
    EXPECT_EQ(Counts().idle_count, 1u);
    EXPECT_OK(K(kaio_read_abandon(&read, &buffer_)));
}

TEST_F(NullTest, AbandonOfAWriteWithNowhereToPutTheBufferKeepsTheRequestIdle) {
    kaio_write *write = nullptr;
    EXPECT_OK(K(kaio_write_new(queue_, file_, Range(0, 8), kaio_rw_none(), &buffer_, &write)));
    kaio_write *const kept = write;

    ExpectNull(KAIO_SUBJECT_OUTPUT, K(kaio_write_abandon(&write, nullptr)));

    EXPECT_EQ(write, kept);
    EXPECT_OK(K(kaio_write_abandon(&write, &buffer_)));
}

// ---- inputs that are no handles ----

TEST_F(NullTest, ANullPathOrNullOptionsAreNullArguments) {
    Output<kaio_file *> file;
    Output<kaio_queue *> queue;
    ExpectNull(KAIO_SUBJECT_PATH, file.Judge(kaio_file_open(nullptr, O_RDWR, 0, file.at())));
    ExpectNull(KAIO_SUBJECT_OPTIONS, queue.Judge(kaio_queue_open(nullptr, queue.at())));
    Output<kaio_run_report> report;
    ExpectNull(KAIO_SUBJECT_HANDLERS,
               K(report.Judge(
                   kaio_queue_run(queue_, nullptr, nullptr, kaio_deadline_now(), report.at()))));
    kaio_queue_wake(nullptr);
}

TEST_F(NullTest, WhatEndsMayHaveNoHandlerAndNoContext) {
    kaio_queue_options options = {};
    options.depth = 1;
    kaio_queue *queue = nullptr;
    ASSERT_OK(kaio_queue_open(&options, &queue));
    kaio_destroy_report report = {};

    EXPECT_OK(kaio_queue_destroy(&queue, nullptr, nullptr, &report));
}

// ---- texts ----

TEST_F(NullTest, AMessageToNowhereTellsItsLength) {
    const kaio_status status = kaio_queue_close(nullptr);
    char text[128];
    const size_t length = kaio_status_message(status, text, sizeof text);

    EXPECT_EQ(length, strlen(text));
    EXPECT_EQ(kaio_status_message(status, nullptr, 0), length);
    EXPECT_EQ(kaio_status_message(status, nullptr, sizeof text), length);
    text[0] = 'x';
    EXPECT_EQ(kaio_status_message(status, text, 0), length);
    EXPECT_EQ(text[0], 'x');
}

TEST_F(NullTest, AMessageOfNoCompletionSaysSo) {
    char text[128];
    const size_t length = kaio_completion_message(nullptr, text, sizeof text);
    EXPECT_EQ(length, strlen(text));
    EXPECT_STREQ(text, "null argument (request)");
    EXPECT_EQ(kaio_completion_message(nullptr, nullptr, 0), length);

    const kaio_completion nothing = {};
    EXPECT_EQ(kaio_completion_message(&nothing, nullptr, sizeof text),
              kaio_completion_message(&nothing, text, sizeof text));
}

}  // namespace
