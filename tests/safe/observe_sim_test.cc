// The exact counts and times of a queue whose kernel follows a script.

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include <string>
#include <thread>
#include <vector>

#include "kaio/safe/sim/sim.h"
#include "tests/support/safe_test.h"

namespace kaio_test {
namespace {

class ObserveSimTest : public QueueTest {
  protected:
    kaio_queue_options Options() const override {
        kaio_queue_options options = QueueTest::Options();
        options.latency = true;
        return options;
    }

    void SetUp() override {
        Play({});
        kaio_sim_set_clock(1000);
        QueueTest::SetUp();
        file_ = OpenFile(temp_.path());
    }

    void TearDown() override {
        Play({});
        kaio_sim_watch(nullptr, nullptr);
        QueueTest::TearDown();
        kaio_file_drop(&file_);
    }

    void Play(const kaio_sim_script &script) {
        kaio_sim_play(&script);
    }

    void StartReads(uint32_t count) {
        for (uint32_t i = 0; i < count; ++i) {
            kaio_buffer *buffer = NewBuffer(512);
            StartRead(file_, i * 512, &buffer, i);
        }
    }

    void TakeAll(uint32_t count) {
        for (uint32_t i = 0; i < count; ++i) {
            kaio_completion completion = Take();
            kaio_completion_drop(&completion);
        }
    }

    kaio_latency Latency(kaio_operation operation) {
        kaio_latency latency = {};
        EXPECT_OK(K(kaio_queue_latency_read(queue_, operation, &latency)));
        return latency;
    }

    TempFile temp_{Pattern(kDepth * 512)};
    kaio_file *file_ = nullptr;
};

TEST_F(ObserveSimTest, RefusedRequestsCostTheirCalls) {
    StartReads(3);
    kaio_sim_script script = {};
    script.submit_error_count = 1;
    script.submit_error = EBADF;
    Play(script);
    Flush();
    TakeAll(3);
    const kaio_queue_counters counters = Counters();
    EXPECT_EQ(counters.flush_count, 1u);
    EXPECT_EQ(counters.submit_count, 2u);
    EXPECT_EQ(counters.submit_count, kaio_sim_call_counts().submit_count);
    EXPECT_EQ(counters.accepted_count, 2u);
    EXPECT_EQ(counters.read.refused_count, 1u);
    EXPECT_EQ(counters.read.full_count, 2u);
    EXPECT_EQ(counters.read.pushed_count, 3u);
    EXPECT_EQ(counters.read.moved_bytes, 1024u);
}

TEST_F(ObserveSimTest, AShortageIsCountedAndNothingIsAccepted) {
    StartReads(2);
    kaio_sim_script script = {};
    script.submit_error_count = 2;
    script.submit_error = EAGAIN;
    Play(script);
    kaio_flush_report report = {};
    EXPECT_CODE(KAIO_AGAIN, K(kaio_queue_flush(queue_, &report)));
    EXPECT_CODE(KAIO_AGAIN, K(kaio_queue_flush(queue_, &report)));
    kaio_queue_counters counters = Counters();
    EXPECT_EQ(counters.again_count, 2u);
    EXPECT_EQ(counters.flush_count, 2u);
    EXPECT_EQ(counters.submit_count, 2u);
    EXPECT_EQ(counters.accepted_count, 0u);
    EXPECT_EQ(counters.read.pushed_count, 2u);
    EXPECT_EQ(Wait(2), 2u);
    TakeAll(2);
    counters = Counters();
    EXPECT_EQ(counters.accepted_count, 2u);
    EXPECT_EQ(counters.flush_count, 3u);
}

TEST_F(ObserveSimTest, AFlushOfNothingIsNone) {
    Flush();
    EXPECT_EQ(Counters().flush_count, 0u);
    EXPECT_EQ(Counters().submit_count, 0u);
}

TEST_F(ObserveSimTest, CallsThatCouldSleepAreCountedApart) {
    StartReads(4);
    kaio_sim_script script = {};
    script.hold = true;
    script.getevents_error_count = 1;
    script.getevents_error = EINTR;
    Play(script);
    EXPECT_EQ(Wait(4), 4u);
    const kaio_queue_counters counters = Counters();
    EXPECT_EQ(counters.block_count, 2u);  // interrupted once
    EXPECT_EQ(counters.getevents_count, 2u);
    EXPECT_EQ(counters.getevents_count, kaio_sim_call_counts().getevents_count);
    TakeAll(4);
}

TEST_F(ObserveSimTest, ShortFailedAndDoubledOnesAreCounted) {
    StartReads(4);
    kaio_sim_script script = {};
    script.shorten_count = 1;
    script.fail_count = 1;
    script.fail_error = EIO;
    script.duplicate_count = 2;
    Play(script);
    EXPECT_EQ(Wait(4), 4u);
    TakeAll(4);
    const kaio_queue_counters counters = Counters();
    EXPECT_EQ(counters.read.short_count + counters.read.failed_count + counters.read.full_count,
              4u);
    EXPECT_EQ(counters.read.short_count, 1u);
    EXPECT_EQ(counters.read.failed_count, 1u);
    EXPECT_EQ(counters.read.moved_bytes, 2u * 512 + 256);
    EXPECT_EQ(counters.duplicate_count, 2u);
    const kaio_latency latency = Latency(KAIO_READ);
    EXPECT_EQ(kaio_latency_total(&latency), 4u) << "a doubled event has no latency";
}

TEST_F(ObserveSimTest, AStrayIsCountedOnce) {
    kaio_buffer *buffer = NewBuffer(512);
    kaio_read *read = NewRead(file_, &buffer);
    std::thread([&] { kaio_read_push(&read, 1); }).join();
    kaio_completion completion = Take();
    EXPECT_CODE(KAIO_WRONG_THREAD, completion.refusal);
    kaio_completion_drop(&completion);
    EXPECT_EQ(Counters().stray_count, 1u);
    EXPECT_EQ(Counters().read.refused_count, 1u);
    EXPECT_EQ(Counters().read.pushed_count, 1u);
}

TEST_F(ObserveSimTest, ATakeFindsAStrayAlsoWhereItHasAnother) {
    kaio_buffer *buffer = NewBuffer(512);
    StartRead(file_, 0, &buffer, 1);
    EXPECT_EQ(Wait(1), 1u);
    kaio_buffer *strays = NewBuffer(512);
    kaio_read *read = NewRead(file_, &strays);
    std::thread([&] { kaio_read_push(&read, 2); }).join();

    kaio_completion completion = Take();

    EXPECT_EQ(completion.user, 1u);
    EXPECT_EQ(Counts().idle_count, 0u);
    EXPECT_EQ(Counts().finished_count, 1u);
    kaio_completion_drop(&completion);
    completion = Take();
    EXPECT_CODE(KAIO_WRONG_THREAD, completion.refusal);
    kaio_completion_drop(&completion);
}

TEST_F(ObserveSimTest, ALatencyIsFromTheFlushToTheLook) {
    kaio_sim_script script = {};
    script.hold = true;
    Play(script);
    StartReads(1);
    kaio_sim_set_clock(5000);  // from the push to the flush does not count
    Flush();
    kaio_sim_set_clock(5000 + 12345);
    EXPECT_EQ(Wait(1), 1u);
    kaio_sim_set_clock(1000000);  // nor from the look to the take
    TakeAll(1);
    kaio_latency expected = {};
    expected.counts[kaio_latency_bucket_from_ns(12345)] = 1;
    const kaio_latency latency = Latency(KAIO_READ);
    EXPECT_EQ(memcmp(&latency, &expected, sizeof latency), 0);
    int64_t median = 0;
    EXPECT_OK(kaio_latency_quantile(&latency, 500000, &median));
    EXPECT_GE(median, 12345);
    EXPECT_LE(median, 12345 * 9 / 8);
}

TEST_F(ObserveSimTest, ADumpHasExactAges) {
    kaio_sim_script script = {};
    script.hold = true;
    Play(script);
    StartReads(1);
    Flush();
    kaio_sim_set_clock(1000 + 777);
    char text[1024] = "";
    FILE *stream = fmemopen(text, sizeof text, "w");
    EXPECT_OK(K(kaio_queue_dump(queue_, stream)));
    fclose(stream);
    EXPECT_NE(std::string(text).find(" state=in_flight operation=read age_ns=777 "),
              std::string::npos)
        << text;
    Wait(1);
    TakeAll(1);
}

TEST_F(ObserveSimTest, WhatIsStagedHasNoAgeOfItsPlacesLastRequest) {
    StartReads(1);
    kaio_buffer *buffer = WaitAndTake().buffer;
    StartRead(file_, 0, &buffer);
    char text[1024] = "";
    FILE *stream = fmemopen(text, sizeof text, "w");
    EXPECT_OK(K(kaio_queue_dump(queue_, stream)));
    fclose(stream);
    EXPECT_NE(std::string(text).find(" state=staged operation=read age_ns=none "),
              std::string::npos)
        << text;
    EXPECT_EQ(Wait(1), 1u);
    TakeAll(1);
}

// What a debugger finds in a thread that waits: the queue is inside a call.
struct Inside {
    kaio_queue *queue;
    char text[1024];
    kaio_status dumped;
    kaio_status counted;
};

void DumpInside(void *context, const kaio_sim_note *note) {
    auto *inside = static_cast<Inside *>(context);
    if (note->event == KAIO_SIM_GOT) {
        FILE *stream = fmemopen(inside->text, sizeof inside->text, "w");
        inside->dumped = kaio_queue_dump(inside->queue, stream);
        fclose(stream);
        kaio_queue_counts counts = {};
        inside->counted = kaio_queue_count(inside->queue, &counts);
    }
}

TEST_F(ObserveSimTest, AQueueThatIsInsideACallIsDumpedAllTheSame) {
    kaio_sim_script script = {};
    script.hold = true;
    Play(script);
    StartReads(2);
    Inside inside = {};
    inside.queue = queue_;
    kaio_sim_watch(DumpInside, &inside);
    EXPECT_EQ(Wait(2), 2u);
    kaio_sim_watch(nullptr, nullptr);
    EXPECT_OK(inside.dumped);
    EXPECT_CODE(KAIO_REENTERED, inside.counted);
    const std::string text = inside.text;
    EXPECT_NE(text.find(" in_flight=2 finished=0 "), std::string::npos) << text;
    EXPECT_NE(text.find(" blocks=1 "), std::string::npos) << text;
    TakeAll(2);
}

// ---- stalls ----

struct Stalls {
    std::vector<kaio_stall> list;
    kaio_queue *queue = nullptr;
    kaio_status inside = {};  // what a call on the queue answered
};

class StallSimTest : public ObserveSimTest {
  protected:
    kaio_queue_options Options() const override {
        kaio_queue_options options = ObserveSimTest::Options();
        options.latency = has_latency_;
        options.on_stall = OnStall;
        options.stall_context = const_cast<Stalls *>(&stalls_);
        options.stall_ns = 5000;
        return options;
    }

    static void OnStall(void *context, const kaio_stall *stall) {
        Stalls *stalls = static_cast<Stalls *>(context);
        stalls->list.push_back(*stall);
        kaio_queue_counts counts;
        stalls->inside = kaio_queue_count(stalls->queue, &counts);
    }

    // Sends `count` reads with a call that takes `submit_ns`.
    void Send(uint32_t count, uint32_t submit_ns) {
        kaio_sim_script script = {};
        script.submit_ns = submit_ns;
        Play(script);
        StartReads(count);
        EXPECT_EQ(Wait(count), count);
        TakeAll(count);
    }

    kaio_queue_counters Counters() {
        kaio_queue_counters counters = {};
        EXPECT_OK(K(kaio_queue_counters_read(queue_, &counters)));
        return counters;
    }

    bool has_latency_ = true;
    Stalls stalls_;
};

TEST_F(StallSimTest, TheHandlerHearsOfCallsThatTookAsLongAsTheThreshold) {
    stalls_.queue = queue_;
    Send(2, 4999);
    EXPECT_EQ(stalls_.list.size(), 0u);

    Send(3, 5000);
    ASSERT_EQ(stalls_.list.size(), 1u);
    EXPECT_EQ(stalls_.list[0].took_ns, 5000);
    EXPECT_EQ(stalls_.list[0].request_count, 3u);
    EXPECT_EQ(stalls_.list[0].accepted_count, 3u);
    EXPECT_CODE(KAIO_REENTERED, stalls_.inside);
    EXPECT_EQ(Counters().stall_count, 1u);
}

TEST_F(StallSimTest, ItHearsOfWhatWasNotAccepted) {
    kaio_sim_script script = {};
    script.submit_ns = 6000;
    script.submit_error_count = 1;
    script.submit_error = EAGAIN;
    Play(script);
    stalls_.queue = queue_;
    StartReads(2);
    kaio_flush_report report = {};
    EXPECT_CODE(KAIO_AGAIN, K(kaio_queue_flush(queue_, &report)));
    EXPECT_EQ(Wait(2), 2u);
    TakeAll(2);
    ASSERT_EQ(stalls_.list.size(), 2u);
    EXPECT_EQ(stalls_.list[0].accepted_count, 0u);
    EXPECT_EQ(stalls_.list[1].accepted_count, 2u);
}

TEST_F(StallSimTest, TheTimesOfAllSubmitsAreKept) {
    Send(1, 100);
    Send(2, 100);
    Send(2, 9000);
    kaio_latency latency = {};
    ASSERT_OK(K(kaio_queue_submit_latency_read(queue_, &latency)));
    EXPECT_EQ(kaio_latency_total(&latency), 3u);
    EXPECT_EQ(latency.counts[kaio_latency_bucket_from_ns(100)], 2u);
    EXPECT_EQ(latency.counts[kaio_latency_bucket_from_ns(9000)], 1u);
    EXPECT_EQ(Counters().submit_count, 3u);
}

class StallAloneSimTest : public StallSimTest {
  protected:
    StallAloneSimTest() {
        has_latency_ = false;
    }
};

TEST_F(StallAloneSimTest, NeedsNoLatencies) {
    Send(1, 7000);
    EXPECT_EQ(stalls_.list.size(), 1u);
    kaio_latency latency = {};
    EXPECT_CODE(KAIO_UNSUPPORTED, K(kaio_queue_submit_latency_read(queue_, &latency)));
}

}  // namespace
}  // namespace kaio_test
