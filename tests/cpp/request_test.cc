// The way of a request through the C++ layer, on both kernels.

#include <fcntl.h>
#include <unistd.h>

#include <utility>

#include "kaio/safe/kaio.hpp"
#include "tests/cpp/cpp_test.h"

namespace kaio_test {
namespace {

class CppRequestTest : public CppTest {};

TEST_F(CppRequestTest, AStartedReadBringsItsBufferBack) {
    kaio::buffer buffer = Make(512);
    kaio_buffer *const handle = buffer.get();
    kaio_ticket ticket = {};

    ASSERT_OK(
        kaio::read::start(queue_, file_, Range(100, 512), kaio_rw_none(), 7, &buffer, &ticket));

    EXPECT_FALSE(buffer);
    kaio::completion done = WaitAndTake();
    EXPECT_EQ(done.operation, KAIO_READ);
    EXPECT_EQ(done.transfer, KAIO_TRANSFER_FULL);
    EXPECT_EQ(done.user, 7u);
    EXPECT_EQ(done.ticket.bits, ticket.bits);
    EXPECT_EQ(done.moved_bytes, 512u);
    buffer = done.move_buffer();
    EXPECT_EQ(buffer.get(), handle);
    EXPECT_EQ(BufferText(buffer.get(), 512), content_.substr(100, 512));
    char text[128];
    EXPECT_EQ(done.message(text, sizeof text), Text(*done.get()).size());
}

TEST_F(CppRequestTest, AStartThatFailsLeavesTheBuffer) {
    kaio::buffer buffer = Make(512);
    kaio_ticket ticket = {};

    EXPECT_CODE(KAIO_RANGE, kaio::read::start(queue_, file_, Range(0, 513), kaio_rw_none(), 7,
                                              &buffer, &ticket));

    EXPECT_EQ(buffer.size(), 512u);
    EXPECT_EQ(Counts().free_count, kDepth);
}

TEST_F(CppRequestTest, AnIdleRequestIsPushedOnce) {
    kaio::buffer buffer = Make(512);
    kaio::write write;
    ASSERT_OK(kaio::write::make(queue_, file_, Range(0, 512), kaio_rw_none(), &buffer, &write));
    EXPECT_FALSE(buffer);
    EXPECT_EQ(Counts().idle_count, 1u);

    const kaio_ticket ticket = std::move(write).push(3);

    EXPECT_NE(ticket.bits, 0u);
    EXPECT_FALSE(write);  // NOLINT(bugprone-use-after-move)
    EXPECT_EQ(Counts().staged_count, 1u);
    const kaio::completion done = WaitAndTake();
    EXPECT_EQ(done.operation, KAIO_WRITE);
    EXPECT_EQ(done.user, 3u);
}

TEST_F(CppRequestTest, AbandoningGivesTheBufferBack) {
    kaio::buffer buffer = Make(512);
    kaio_buffer *const handle = buffer.get();
    kaio::read read = NewRead(&buffer);

    EXPECT_OK(read.abandon(&buffer));

    EXPECT_FALSE(read);
    EXPECT_EQ(buffer.get(), handle);
    EXPECT_EQ(Counts().free_count, kDepth);
}

TEST_F(CppRequestTest, AbandoningWithoutAPlaceForTheBufferChangesNothing) {
    kaio::buffer buffer = Make(512);
    kaio::read read = NewRead(&buffer);

    EXPECT_CODE(KAIO_NULL_ARGUMENT, read.abandon(nullptr));

    EXPECT_TRUE(read);
    EXPECT_EQ(Counts().idle_count, 1u);
}

TEST_F(CppRequestTest, AnIdleRequestIsChangedAndBecomesTheOtherKind) {
    kaio::buffer buffer = Make(512);
    kaio::read read = NewRead(&buffer);
    kaio::write write;
    ASSERT_OK(read.set_priority(kaio_priority_best_effort(3)));
    ASSERT_OK(read.retarget(file_, Range(1024, 256), kaio_rw_none()));

    ASSERT_OK(read.into_write(&write));
    EXPECT_FALSE(read);
    ASSERT_OK(write.set_priority(kaio_priority_best_effort(4)));
    ASSERT_OK(write.retarget(file_, Range(2048, 256), kaio_rw_none()));
    ASSERT_OK(write.into_read(&read));
    EXPECT_FALSE(write);
    std::move(read).push(1);

    kaio::completion done = WaitAndTake();
    EXPECT_EQ(done.operation, KAIO_READ);
    EXPECT_EQ(done.range.file_offset_bytes, 2048u);
    buffer = done.move_buffer();
    EXPECT_EQ(BufferText(buffer.get(), 256), content_.substr(2048, 256));
}

TEST_F(CppRequestTest, ASyncAndAPollComeBackWithoutABuffer) {
    kaio_ticket ticket = {};
    ASSERT_OK(kaio::sync::start(queue_, file_, KAIO_SYNC_DATA, 1, &ticket));
    kaio::completion done = WaitAndTake();
    EXPECT_EQ(done.sync, KAIO_SYNC_SYNCED);
    EXPECT_FALSE(done.move_buffer());

    int fds[2];
    ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
    kaio::file end;
    ASSERT_OK(kaio::file::adopt(fds[1], &end));
    ASSERT_OK(kaio::poll::start(queue_, end, kaio_poll_writable(), 2, &ticket));
    ASSERT_OK(queue_.wait(1, Soon(), &ready_));
    ASSERT_OK(queue_.take(&done));
    EXPECT_EQ(done.poll, KAIO_POLL_READY);
    EXPECT_TRUE(kaio_poll_has_any(done.events, kaio_poll_writable()));
    close(fds[0]);
}

TEST_F(CppRequestTest, IdleSyncsAndPollsArePushedOrAbandoned) {
    kaio::sync sync;
    kaio::poll poll;
    ASSERT_OK(kaio::sync::make(queue_, file_, KAIO_SYNC_ALL, &sync));
    ASSERT_OK(kaio::poll::make(queue_, file_, kaio_poll_readable(), &poll));
    EXPECT_EQ(Counts().idle_count, 2u);

    EXPECT_OK(poll.abandon());
    EXPECT_FALSE(poll);
    ASSERT_OK(kaio::poll::make(queue_, file_, kaio_poll_readable(), &poll));
    EXPECT_NE(std::move(poll).push(1).bits, 0u);
    EXPECT_NE(std::move(sync).push(2).bits, 0u);

    EXPECT_EQ(Counts().staged_count, 2u);
    ASSERT_OK(kaio::sync::make(queue_, file_, KAIO_SYNC_ALL, &sync));
    EXPECT_OK(sync.abandon());
    EXPECT_FALSE(sync);
}

TEST_F(CppRequestTest, TakingIntoACompletionDropsTheBufferThatIsStillThere) {
    StartReads(2);
    ASSERT_OK(queue_.wait(2, Soon(), &ready_));
    kaio::completion done;
    ASSERT_OK(queue_.take(&done));
    EXPECT_EQ(kaio_testing_count().buffer_count, 2u);

    ASSERT_OK(queue_.take(&done));

    EXPECT_EQ(done.user, 1u);
    EXPECT_EQ(kaio_testing_count().buffer_count, 1u);
    EXPECT_CODE(KAIO_EMPTY, queue_.take(&done));
    EXPECT_EQ(done.user, 1u) << "a take that yields nothing changes nothing";
    EXPECT_TRUE(done.move_buffer());
    EXPECT_CODE(KAIO_NULL_ARGUMENT, queue_.take(nullptr));
}

TEST_F(CppRequestTest, TheQueueAnswersAsInC) {
    kaio_flush_report flushed = {};
    kaio_queue_counts left = {};
    kaio_cancel_answer answer = KAIO_CANCEL_CANNOT;
    int fd = -1;
    StartReads(1);

    EXPECT_OK(queue_.flush(&flushed));
    EXPECT_EQ(flushed.accepted_count, 1u);
    EXPECT_OK(queue_.drain(Soon(), &left));
    EXPECT_EQ(left.finished_count, 1u);
    EXPECT_CODE(KAIO_BUSY, queue_.close());
    EXPECT_TRUE(queue_);
    EXPECT_OK(queue_.cancel(kaio_ticket{}, &answer));
    EXPECT_EQ(answer, KAIO_CANCEL_STALE);
    EXPECT_CODE(KAIO_UNSUPPORTED, queue_.as_fd(&fd));
    EXPECT_OK(queue_.detach());
    EXPECT_OK(queue_.attach());
    WaitAndTake();
    EXPECT_OK(file_.detach(queue_));
    EXPECT_OK(file_.attach(queue_));

    EXPECT_OK(queue_.close());

    EXPECT_FALSE(queue_);
}

TEST_F(CppRequestTest, DestroyHandsOutWhatWasNotTaken) {
    StartReads(3);
    uint64_t users = 0;
    kaio::buffer kept;
    kaio_destroy_report report = {};

    ASSERT_OK(queue_.destroy(
        [&](kaio::completion &lost) {
            EXPECT_EQ(lost.operation, KAIO_READ);
            users |= uint64_t{1} << lost.user;
            if (lost.user == 1) {
                kept = lost.move_buffer();
            }
        },
        &report));

    EXPECT_FALSE(queue_);
    EXPECT_EQ(users, 7u);
    EXPECT_EQ(report.given_back_count, 1u);
    EXPECT_EQ(report.dropped_count, 2u);
    EXPECT_EQ(kept.size(), 512u);
    EXPECT_EQ(kaio_testing_count().buffer_count, 1u);
}

TEST_F(CppRequestTest, AHandlerMayMoveTheWholeCompletion) {
    StartReads(1);
    kaio::completion kept;
    kaio_destroy_report report = {};

    ASSERT_OK(queue_.destroy([&](kaio::completion &lost) { kept = std::move(lost); }, &report));

    EXPECT_EQ(report.given_back_count, 1u);
    EXPECT_EQ(kept.move_buffer().size(), 512u);
}

uint32_t lost_count = 0;

void CountLost(kaio::completion &) {
    ++lost_count;
}

struct ConstCounter {
    uint32_t *count;
    void operator()(kaio::completion &) const {
        ++*count;
    }
};

TEST_F(CppRequestTest, AHandlerIsAnythingThatCanBeCalled) {
    kaio_destroy_report report = {};
    StartReads(2);
    lost_count = 0;
    ASSERT_OK(queue_.destroy(CountLost, &report));
    EXPECT_EQ(lost_count, 2u);

    Open();
    StartReads(2);
    const ConstCounter counter = {&lost_count};
    ASSERT_OK(queue_.destroy(counter, &report));
    EXPECT_EQ(lost_count, 4u);

    Open();
    StartReads(2);
    ASSERT_OK(queue_.destroy(&report));
    EXPECT_EQ(report.dropped_count, 2u);
}

TEST_F(CppRequestTest, AViewIsWrittenAndComesBack) {
    kaio::buffer buffer = Make(512);
    kaio::view view;
    kaio::view share;
    kaio::write write;
    kaio_ticket ticket = {};
    ASSERT_OK(buffer.freeze(&view));
    ASSERT_OK(view.share(&share));
    kaio_view *const handle = view.get();

    ASSERT_OK(
        kaio::write::start_shared(queue_, file_, Range(0, 512), kaio_rw_none(), 1, &view, &ticket));
    EXPECT_FALSE(view);
    ASSERT_OK(
        kaio::write::make_shared(queue_, file_, Range(512, 512), kaio_rw_none(), &share, &write));
    EXPECT_FALSE(share);
    EXPECT_OK(write.abandon_shared(&share));
    EXPECT_FALSE(write);
    EXPECT_EQ(share.size(), 512u);

    kaio::completion done = WaitAndTake();
    EXPECT_EQ(done.transfer, KAIO_TRANSFER_FULL);
    EXPECT_FALSE(done.move_buffer());
    view = done.move_view();
    EXPECT_EQ(view.get(), handle);
}

TEST_F(CppRequestTest, TakingIntoACompletionDropsTheViewThatIsStillThere) {
    kaio::buffer buffer = Make(512);
    kaio::view view;
    kaio::view share;
    kaio_ticket ticket = {};
    ASSERT_OK(buffer.freeze(&view));
    ASSERT_OK(view.share(&share));
    ASSERT_OK(kaio::write::start_shared(queue_, file_, Range(0, 512), kaio_rw_none(), 1, &share,
                                        &ticket));
    kaio::completion done = WaitAndTake();
    EXPECT_CODE(KAIO_BUSY, view.thaw(&buffer));
    ASSERT_OK(kaio::sync::start(queue_, file_, KAIO_SYNC_DATA, 2, &ticket));
    ASSERT_OK(queue_.wait(1, Soon(), &ready_));

    ASSERT_OK(queue_.take(&done));

    EXPECT_OK(view.thaw(&buffer));
}

TEST_F(CppRequestTest, DestroyHandsOutViews) {
    kaio::buffer buffer = Make(512);
    kaio::view view;
    kaio::view share;
    kaio::view kept;
    kaio_ticket ticket = {};
    kaio_destroy_report report = {};
    ASSERT_OK(buffer.freeze(&view));
    ASSERT_OK(view.share(&share));
    ASSERT_OK(
        kaio::write::start_shared(queue_, file_, Range(0, 512), kaio_rw_none(), 0, &view, &ticket));
    ASSERT_OK(kaio::write::start_shared(queue_, file_, Range(0, 512), kaio_rw_none(), 1, &share,
                                        &ticket));

    ASSERT_OK(queue_.destroy(
        [&](kaio::completion &lost) {
            if (lost.user == 1) {
                kept = lost.move_view();
            }
        },
        &report));

    EXPECT_EQ(report.given_back_count, 1u);
    EXPECT_EQ(report.dropped_count, 1u);
    EXPECT_OK(kept.thaw(&buffer)) << "the other share is gone";
}

TEST_F(CppRequestTest, AQueueTellsWhatItDid) {
    StartReads(2);
    kaio_queue_counters counters = {};
    kaio_latency latency = {};

    EXPECT_OK(queue_.counters_read(&counters));
    EXPECT_CODE(KAIO_UNSUPPORTED, queue_.latency_read(KAIO_READ, &latency));
    EXPECT_CODE(KAIO_NULL_ARGUMENT, queue_.dump(nullptr));

    EXPECT_EQ(counters.read.pushed_count, 2u);
}

TEST_F(CppRequestTest, QueuesAreDestroyedSideBySide) {
    kaio::queue queues[3];
    kaio_queue_options options = {};
    options.depth = 2;
    kaio_ticket ticket = {};
    for (kaio::queue &queue : queues) {
        kaio::buffer buffer = Make(512);
        ASSERT_OK(kaio::queue::open(options, &queue));
        ASSERT_OK(
            kaio::read::start(queue, file_, Range(0, 512), kaio_rw_none(), 1, &buffer, &ticket));
    }
    kaio::queue empty[1];
    uint64_t user_sum = 0;
    kaio_destroy_report report = {};
    EXPECT_CODE(KAIO_NULL_ARGUMENT, kaio::queue::destroy_all(empty, 1, &report));

    ASSERT_OK(kaio::queue::destroy_all(
        queues, 3, [&](kaio::completion &lost) { user_sum += lost.user; }, &report));

    EXPECT_EQ(user_sum, 3u);
    EXPECT_EQ(report.dropped_count, 3u);
    for (const kaio::queue &queue : queues) {
        EXPECT_FALSE(queue);
    }
    ASSERT_OK(kaio::queue::open(options, &queues[0]));
    ASSERT_OK(kaio::queue::open(options, &queues[1]));
    EXPECT_OK(kaio::queue::destroy_all(queues, 2, &report));
    EXPECT_FALSE(queues[1]);
}

TEST_F(CppRequestTest, AWaitUnderAMaskIsAWait) {
    StartReads(1);

    EXPECT_OK(queue_.wait_masked(1, Soon(), kaio_signals_none(), &ready_));

    EXPECT_EQ(ready_, 1u);
    WaitAndTake();
}

using CppRequestDeathTest = CppRequestTest;

TEST_F(CppRequestDeathTest, WhatAHandlerThrowsTerminates) {
    GTEST_FLAG_SET(death_test_style, "fast");
    EXPECT_DEATH(
        {
            // The child has nothing of its parent: a queue of its own.
            kaio::queue queue;
            kaio::file file;
            kaio::buffer buffer;
            kaio_queue_options options = {};
            options.depth = 1;
            kaio_ticket ticket = {};
            kaio_destroy_report report = {};
            kaio_ignore(kaio::queue::open(options, &queue));
            kaio_ignore(kaio::file::open("/dev/zero", O_RDONLY, 0, &file));
            kaio_ignore(kaio::buffer::make(8, 8, &buffer));
            kaio_ignore(
                kaio::read::start(queue, file, Range(0, 8), kaio_rw_none(), 0, &buffer, &ticket));
            try {
                kaio_ignore(queue.destroy([](kaio::completion &) { throw 1; }, &report));
            } catch (...) {
                _exit(0);  // it came through the C layer
            }
        },
        "terminate");
}

}  // namespace
}  // namespace kaio_test
