// What a queue counts, keeps of its latencies, and dumps.

#include <fcntl.h>
#include <regex.h>
#include <stdio.h>

#include <string>

#include "tests/support/safe_test.h"

namespace kaio_test {
namespace {

class ObserveTest : public QueueTest {
  protected:
    void SetUp() override {
        QueueTest::SetUp();
        file_ = OpenFile(temp_.path());
        ASSERT_EQ(pipe2(fds_, O_CLOEXEC | O_NONBLOCK), 0);
        ASSERT_OK(kaio_file_borrow(fds_[0], &reader_));
    }

    void TearDown() override {
        QueueTest::TearDown();
        kaio_file_drop(&file_);
        kaio_file_drop(&reader_);
        close(fds_[0]);
        close(fds_[1]);
    }

    kaio_ticket StartSync(kaio_sync_kind kind = KAIO_SYNC_DATA) {
        kaio_ticket ticket = {};
        EXPECT_OK(K(kaio_sync_start(queue_, file_, kind, 5, &ticket)));
        return ticket;
    }

    kaio_ticket StartPoll(uint64_t user = 6) {
        kaio_ticket ticket = {};
        EXPECT_OK(K(kaio_poll_start(queue_, reader_, kaio_poll_readable(), user, &ticket)));
        return ticket;
    }

    void Cancel(kaio_ticket ticket) {
        kaio_cancel_answer answer;
        EXPECT_OK(K(kaio_queue_cancel(queue_, ticket, &answer)));
        EXPECT_NE(answer, KAIO_CANCEL_STALE);
    }

    // Finish waits for all that is owed and takes it.
    void Finish() {
        kaio_queue_counts left = {};
        EXPECT_OK(K(kaio_queue_drain(queue_, kaio_deadline_after_ns(10000000000), &left)));
        for (uint32_t i = 0; i < left.finished_count; ++i) {
            kaio_completion completion = Take();
            kaio_completion_drop(&completion);
        }
    }

    // Dump returns the lines of a dump, without the new lines.
    std::vector<std::string> Dump() {
        char *text = nullptr;
        size_t size = 0;
        FILE *stream = open_memstream(&text, &size);
        errno = kErrno;
        EXPECT_OK(K(kaio_queue_dump(queue_, stream)));
        EXPECT_EQ(errno, kErrno) << "errno was touched";
        fclose(stream);
        std::vector<std::string> lines;
        for (const char *line = text; *line != '\0';) {
            const char *end = strchr(line, '\n');
            lines.emplace_back(line, end);
            line = end + 1;
        }
        free(text);
        return lines;
    }

    static std::string Hex(uintptr_t bits) {
        char text[32];
        snprintf(text, sizeof text, "0x%jx", static_cast<uintmax_t>(bits));
        return text;
    }

    static constexpr uint32_t kSize = 512;
    TempFile temp_{Pattern(1000)};
    kaio_file *file_ = nullptr;
    kaio_file *reader_ = nullptr;
    int fds_[2] = {-1, -1};
};

// ExpectLine wants `line` to be as the whole `pattern`, an extended regular expression, has it.
void ExpectLine(const std::string &pattern, const std::string &line) {
    regex_t regex;
    ASSERT_EQ(regcomp(&regex, ("^" + pattern + "$").c_str(), REG_EXTENDED | REG_NOSUB), 0);
    EXPECT_EQ(regexec(&regex, line.c_str(), 0, nullptr, 0), 0) << line << "\n" << pattern;
    regfree(&regex);
}

// ---- counters ----

TEST_F(ObserveTest, ANewQueueHasCountedNothing) {
    const kaio_queue_counters nothing = {};
    const kaio_queue_counters counters = Counters();
    EXPECT_EQ(memcmp(&counters, &nothing, sizeof nothing), 0);
}

TEST_F(ObserveTest, TransfersAreCountedByTheirOutcomes) {
    kaio_buffer *buffers[4] = {NewBuffer(kSize), NewBuffer(kSize), NewBuffer(kSize),
                               NewBuffer(Pattern(kSize))};
    StartRead(file_, 0, &buffers[0]);
    StartRead(file_, kSize, &buffers[1]);  // 488 bytes are left
    StartRead(file_, 1000, &buffers[2]);   // none is
    StartWrite(file_, 2000, &buffers[3]);
    EXPECT_EQ(Counters().read.pushed_count, 3u);
    EXPECT_EQ(Counters().write.pushed_count, 1u);
    EXPECT_EQ(Counters().read.full_count, 0u);
    Finish();

    const kaio_queue_counters counters = Counters();
    EXPECT_EQ(counters.read.pushed_count, 3u);
    EXPECT_EQ(counters.read.full_count, 1u);
    EXPECT_EQ(counters.read.short_count, 1u);
    EXPECT_EQ(counters.read.end_count, 1u);
    EXPECT_EQ(counters.read.moved_bytes, kSize + 488u);
    EXPECT_EQ(counters.write.pushed_count, 1u);
    EXPECT_EQ(counters.write.full_count, 1u);
    EXPECT_EQ(counters.write.moved_bytes, kSize);
    EXPECT_EQ(counters.flush_count, 1u);
    EXPECT_EQ(counters.submit_count, 1u);
    EXPECT_EQ(counters.accepted_count, 4u);
    EXPECT_EQ(counters.again_count + counters.stray_count + counters.duplicate_count, 0u);
}

TEST_F(ObserveTest, AReadThatWouldBlockIsCountedSo) {
    kaio_buffer *buffer = NewBuffer(kSize);
    StartRead(reader_, 0, &buffer);
    Finish();
    EXPECT_EQ(Counters().read.would_block_count, 1u);
    EXPECT_EQ(Counters().read.moved_bytes, 0u);
}

TEST_F(ObserveTest, WhatIsCancelledBeforeItWasSentIsNoCallAndCounted) {
    kaio_buffer *buffer = NewBuffer(kSize);
    Cancel(StartRead(file_, 0, &buffer));
    Cancel(StartSync());
    Finish();
    const kaio_queue_counters counters = Counters();
    EXPECT_EQ(counters.read.cancelled_count, 1u);
    EXPECT_EQ(counters.sync.cancelled_count, 1u);
    EXPECT_EQ(counters.flush_count, 0u);
    EXPECT_EQ(counters.submit_count, 0u);
    EXPECT_EQ(counters.accepted_count, 0u);
}

TEST_F(ObserveTest, SyncsAndPollsAreCountedByTheirs) {
    StartSync(KAIO_SYNC_ALL_UNORDERED);
    const kaio_ticket poll = StartPoll();
    Flush();
    Cancel(poll);
    Finish();
    ASSERT_EQ(write(fds_[1], "x", 1), 1);
    StartPoll();
    Finish();
    const kaio_queue_counters counters = Counters();
    EXPECT_EQ(counters.sync.pushed_count, 1u);
    EXPECT_EQ(counters.sync.synced_count, 1u);
    EXPECT_EQ(counters.poll.pushed_count, 2u);
    EXPECT_EQ(counters.poll.cancelled_count, 1u);
    EXPECT_EQ(counters.poll.ready_count, 1u);
    EXPECT_EQ(counters.flush_count, 2u);
    EXPECT_EQ(counters.accepted_count, 3u);
}

TEST_F(ObserveTest, ASyncBehindAFailedWriteIsCounted) {
    kaio_buffer *buffer = NewBuffer(Pattern(kSize));
    Cancel(StartWrite(file_, 0, &buffer));
    StartSync();
    Finish();
    EXPECT_EQ(Counters().write.cancelled_count, 1u);
    EXPECT_EQ(Counters().sync.preceded_by_failure_count, 1u);
}

TEST_F(ObserveTest, ARequestThatIsGivenUpIsNotCounted) {
    kaio_buffer *buffer = NewBuffer(kSize);
    kaio_read *read = NewRead(file_, &buffer);
    EXPECT_EQ(Counters().read.pushed_count, 0u);
    kaio_read_drop(&read);
    EXPECT_EQ(Counters().read.pushed_count, 0u);
}

TEST_F(ObserveTest, ReadingCountersChangesNothing) {
    kaio_buffer *buffer = NewBuffer(kSize);
    StartRead(file_, 0, &buffer);
    const kaio_queue_counters first = Counters();
    const kaio_queue_counters second = Counters();
    EXPECT_EQ(memcmp(&first, &second, sizeof first), 0);
    EXPECT_EQ(Counts().staged_count, 1u);
    Finish();
}

TEST_F(ObserveTest, AQueueInAPlaceThatWasUsedBeginsAtZero) {
    kaio_buffer *buffer = NewBuffer(kSize);
    StartRead(file_, 0, &buffer);
    Finish();
    kaio_queue_drop(&queue_);
    const kaio_queue_options options = Options();
    ASSERT_OK(kaio_queue_open(&options, &queue_));
    const kaio_queue_counters nothing = {};
    const kaio_queue_counters counters = Counters();
    EXPECT_EQ(memcmp(&counters, &nothing, sizeof nothing), 0);
}

// ---- latencies ----

TEST_F(ObserveTest, AQueueThatWasNotAskedToKeepsNoLatencies) {
    kaio_latency latency;
    memset(&latency, 0xa5, sizeof latency);
    EXPECT_CODE(KAIO_UNSUPPORTED, K(kaio_queue_latency_read(queue_, KAIO_READ, &latency)));
    EXPECT_EQ(latency.counts[0], UINT64_C(0xa5a5a5a5a5a5a5a5));
}

class LatencyOfQueueTest : public ObserveTest {
  protected:
    kaio_queue_options Options() const override {
        kaio_queue_options options = ObserveTest::Options();
        options.latency = true;
        return options;
    }

    kaio_latency Latency(kaio_operation operation) {
        kaio_latency latency = {};
        EXPECT_OK(K(kaio_queue_latency_read(queue_, operation, &latency)));
        return latency;
    }

    uint64_t Total(kaio_operation operation) {
        const kaio_latency latency = Latency(operation);
        return kaio_latency_total(&latency);
    }
};

TEST_F(LatencyOfQueueTest, EachOperationHasItsOwn) {
    for (int i = 0; i < 3; ++i) {
        kaio_buffer *buffer = NewBuffer(kSize);
        StartRead(file_, 0, &buffer);
    }
    kaio_buffer *buffer = NewBuffer(Pattern(kSize));
    StartWrite(file_, 0, &buffer);
    StartSync();
    ASSERT_EQ(write(fds_[1], "x", 1), 1);
    StartPoll();
    Finish();
    EXPECT_EQ(Total(KAIO_READ), 3u);
    EXPECT_EQ(Total(KAIO_WRITE), 1u);
    EXPECT_EQ(Total(KAIO_SYNC), 1u);
    EXPECT_EQ(Total(KAIO_POLL), 1u);
}

TEST_F(LatencyOfQueueTest, ARunCountsTheSame) {
    for (uint32_t i = 0; i < 3; ++i) {
        kaio_buffer *buffer = NewBuffer(kSize);
        StartRead(file_, 0, &buffer);
    }
    kaio_buffer *buffer = NewBuffer(Pattern(kSize));
    StartWrite(file_, 0, &buffer);
    StartSync();
    ASSERT_EQ(write(fds_[1], "x", 1), 1);
    StartPoll();
    const kaio_handlers handlers = {};
    kaio_run_report report = {};
    EXPECT_OK(K(kaio_queue_run(queue_, &handlers, nullptr, kaio_deadline_never(), &report)));
    EXPECT_EQ(report.completed_count, 6u);
    EXPECT_EQ(Total(KAIO_READ), 3u);
    EXPECT_EQ(Total(KAIO_WRITE), 1u);
    EXPECT_EQ(Total(KAIO_SYNC), 1u);
    EXPECT_EQ(Total(KAIO_POLL), 1u);
    const kaio_queue_counters counters = Counters();
    EXPECT_EQ(counters.read.full_count, 3u);
    EXPECT_EQ(counters.read.moved_bytes, 3u * kSize);
    EXPECT_EQ(counters.write.full_count, 1u);
    EXPECT_EQ(counters.write.moved_bytes, kSize);
    EXPECT_EQ(counters.sync.synced_count, 1u);
    EXPECT_EQ(counters.poll.ready_count, 1u);
    EXPECT_EQ(counters.accepted_count, 6u);
}

TEST_F(LatencyOfQueueTest, WhatWasNeverSentHasNone) {
    kaio_buffer *buffer = NewBuffer(Pattern(kSize));
    Cancel(StartWrite(file_, 0, &buffer));
    StartSync();  // preceded by the failure
    Finish();
    EXPECT_EQ(Total(KAIO_WRITE), 0u);
    EXPECT_EQ(Total(KAIO_SYNC), 0u);
}

TEST_F(LatencyOfQueueTest, WhatIsNoOperationIsOutOfRange) {
    kaio_latency latency;
    for (int operation : {0, -1, 7, 64}) {
        const kaio_status status =
            K(kaio_queue_latency_read(queue_, static_cast<kaio_operation>(operation), &latency));
        EXPECT_CODE(KAIO_RANGE, status);
        EXPECT_EQ(status.subject, KAIO_SUBJECT_KIND);
    }
}

// ---- dump ----

TEST_F(ObserveTest, ADumpHasALineForTheQueueAndOneForEachRequest) {
    const std::string handle = Hex(reinterpret_cast<uintptr_t>(queue_));
    ASSERT_EQ(Dump().size(), 1u);
    const std::string rest =
        " ring=(yes|no) latency=no submits=0 accepted=0 again=0 getevents=0 "
        "blocks=0 duplicates=0 strays=0 stalls=0 overlaps=0 continued=0 late=0 late_ends=0 "
        "helped=0 nowait=0 nowait_blocks=0 nowait_offs=0";
    ExpectLine("queue=" + handle +
                   " depth=8 free=8 idle=0 staged=0 in_flight=0 finished=0 eventfd=none" + rest,
               Dump()[0]);

    kaio_buffer *buffers[3] = {NewBuffer(kSize), NewBuffer(kSize), NewBuffer(Pattern(kSize))};
    const std::string memory[3] = {
        Hex(reinterpret_cast<uintptr_t>(kaio_buffer_as_bytes(buffers[0]))),
        Hex(reinterpret_cast<uintptr_t>(kaio_buffer_as_bytes(buffers[1]))),
        Hex(reinterpret_cast<uintptr_t>(kaio_buffer_as_bytes(buffers[2])))};
    int fd = -1;
    ASSERT_OK(kaio_file_as_fd(file_, &fd));
    const std::string file = " fd=" + std::to_string(fd) + " direct=no";
    const std::string unsent = " age_ns=none" + file;

    kaio_read *idle = NewRead(file_, &buffers[0]);
    Cancel(StartRead(file_, kSize, &buffers[1], 41));
    const kaio_ticket write = StartWrite(file_, 0, &buffers[2], 42);
    const kaio_ticket sync = StartSync();
    const std::vector<std::string> lines = Dump();
    ASSERT_EQ(lines.size(), 5u);
    ExpectLine("queue=" + handle +
                   " depth=8 free=4 idle=1 staged=2 in_flight=0 finished=1 eventfd=none" + rest,
               lines[0]);
    EXPECT_EQ(lines[1], "request=" + Hex(reinterpret_cast<uintptr_t>(idle)) +
                            " state=idle operation=read" + unsent +
                            " file_offset=0 size=512 memory=" + memory[0] + " user=0");
    ExpectLine("request=0x[0-9a-f]+ state=finished operation=read" + unsent +
                   " file_offset=512 size=512 memory=" + memory[1] + " user=41 result=0 refusal=ok",
               lines[2]);
    EXPECT_EQ(lines[3], "request=" + Hex(write.bits) + " state=staged operation=write" + unsent +
                            " file_offset=0 size=512 memory=" + memory[2] + " user=42");
    EXPECT_EQ(lines[4], "request=" + Hex(sync.bits) + " state=staged operation=sync" + unsent +
                            " user=5 waits_for=1");
    kaio_read_drop(&idle);
    Finish();
}

TEST_F(ObserveTest, ADumpTellsTheAgeOfWhatIsInFlight) {
    const kaio_ticket ticket = StartPoll(7);
    Flush();
    const std::vector<std::string> lines = Dump();
    ASSERT_EQ(lines.size(), 2u);
    ExpectLine("request=" + Hex(ticket.bits) + " state=in_flight operation=poll age_ns=[0-9]+ fd=" +
                   std::to_string(fds_[0]) + " direct=no user=7 events=0x1",
               lines[1]);
    Cancel(ticket);
    Finish();
    EXPECT_EQ(Dump().size(), 1u);
}

TEST_F(ObserveTest, AStreamThatFailsIsAnAnswer) {
    FILE *full = fopen("/dev/full", "we");
    ASSERT_NE(full, nullptr);
    errno = kErrno;
    const kaio_status status = K(kaio_queue_dump(queue_, full));
    EXPECT_CODE(KAIO_OS_ERROR, status);
    EXPECT_EQ(status.subject, KAIO_SUBJECT_OUTPUT);
    EXPECT_EQ(status.os_error, ENOSPC);
    EXPECT_EQ(errno, kErrno) << "errno was touched";
    fclose(full);
    FILE *unwritable = fopen("/dev/null", "re");
    ASSERT_NE(unwritable, nullptr);
    EXPECT_CODE(KAIO_OS_ERROR, K(kaio_queue_dump(queue_, unwritable)));
    fclose(unwritable);
}

class EventfdObserveTest : public ObserveTest {
  protected:
    kaio_queue_options Options() const override {
        kaio_queue_options options = ObserveTest::Options();
        options.eventfd = true;
        options.latency = true;
        options.never_ring = true;
        return options;
    }
};

TEST_F(EventfdObserveTest, ADumpHasTheOptions) {
    int fd = -1;
    ASSERT_OK(kaio_queue_as_fd(queue_, &fd));
    ExpectLine(".* eventfd=" + std::to_string(fd) + " ring=no latency=yes .*", Dump()[0]);
}

TEST_F(EventfdObserveTest, WithoutARingEachLookIsACall) {
    kaio_buffer *buffer = NewBuffer(kSize);
    StartRead(file_, 0, &buffer);
    Flush();
    EXPECT_EQ(Counters().getevents_count, 0u);
    kaio_completion completion = Take();
    EXPECT_EQ(Counters().getevents_count, 1u);
    EXPECT_EQ(Counters().block_count, 0u);
    kaio_completion_drop(&completion);
}

}  // namespace
}  // namespace kaio_test
