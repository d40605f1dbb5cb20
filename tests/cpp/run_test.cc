// The run loop with handlers that are C++, on both kernels.

#include <fcntl.h>
#include <unistd.h>

#include <functional>
#include <utility>

#include "tests/cpp/cpp_test.h"

namespace kaio_test {
namespace {

class CppRunTest : public CppTest {
  protected:
    template <typename Handlers>
    kaio_run_report Run(Handlers &handlers) {
        kaio_run_report report = {};
        EXPECT_OK(queue_.run(handlers, Soon(), &report));
        ExpectBooks();
        return report;
    }
};

// Reads 512 bytes after 512 bytes, each from the handler of another.
struct Scan {
    kaio::queue &queue;
    kaio::file &file;
    uint64_t left_count;
    uint64_t next = 0;
    uint64_t full_count = 0;

    void Start(kaio::buffer *move_buffer) {
        kaio_ticket ticket = {};
        EXPECT_OK(kaio::read::start(queue, file, Range(next * 512, 512), kaio_rw_none(), next,
                                    move_buffer, &ticket));
        ++next;
        --left_count;
    }

    void on_read(uint64_t user, kaio::read_result &result) {
        EXPECT_EQ(result.range.file_offset_bytes, user * 512);
        EXPECT_EQ(result.outcome, KAIO_TRANSFER_FULL);
        EXPECT_EQ(result.moved_bytes, 512u);
        EXPECT_EQ(result.os_error, 0);
        EXPECT_EQ(result.refusal.code, KAIO_OK);
        ++full_count;
        if (left_count > 0) {
            kaio::buffer buffer = result.move_buffer();
            Start(&buffer);
        }
    }
};

TEST_F(CppRunTest, AHandlerKeepsTheDepth) {
    Scan scan = {queue_, file_, 16};
    for (uint32_t i = 0; i < 4; ++i) {
        kaio::buffer buffer = Make(512);
        scan.Start(&buffer);
    }

    const kaio_run_report report = Run(scan);

    EXPECT_EQ(report.ended, KAIO_RUN_IDLE);
    EXPECT_EQ(report.completed_count, 16u);
    EXPECT_EQ(report.dropped_count, 0u);
    EXPECT_EQ(scan.full_count, 16u);
    EXPECT_EQ(kaio_testing_count().buffer_count, 0u) << "what a handler leaves is dropped";
}

// One of each, as members that are functions and as members that can be called.
struct Every {
    uint64_t user_sum = 0;
    kaio::buffer kept;
    std::function<void(uint64_t, const kaio_sync_result &)> on_sync;
    uint32_t turn_count = 0;

    void on_read(uint64_t user, kaio::read_result &result) {
        user_sum += user;
        kept = result.move_buffer();
    }
    void on_write(uint64_t user, kaio::write_result &result) {
        user_sum += user;
        EXPECT_EQ(result.outcome, KAIO_TRANSFER_FULL);
    }
    void on_poll(uint64_t user, const kaio_poll_result &result) {
        user_sum += user;
        EXPECT_EQ(result.outcome, KAIO_POLL_READY);
    }
    kaio_turn on_turn() {
        ++turn_count;
        return KAIO_TURN_CONTINUE;
    }
};

TEST_F(CppRunTest, EachOutcomeGoesToTheHandlerOfItsOperation) {
    Every every;
    kaio_sync_outcome synced = KAIO_SYNC_PENDING;
    every.on_sync = [&](uint64_t user, const kaio_sync_result &result) {
        every.user_sum += user;
        synced = result.outcome;
    };
    int fds[2];
    ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
    kaio::file end;
    ASSERT_OK(kaio::file::adopt(fds[1], &end));
    kaio_ticket ticket = {};
    kaio::buffer first = Make(512);
    kaio::buffer second = Make(512);
    ASSERT_OK(kaio::read::start(queue_, file_, Range(0, 512), kaio_rw_none(), 1, &first, &ticket));
    ASSERT_OK(
        kaio::write::start(queue_, file_, Range(512, 512), kaio_rw_none(), 20, &second, &ticket));
    ASSERT_OK(kaio::sync::start(queue_, file_, KAIO_SYNC_DATA, 300, &ticket));
    ASSERT_OK(kaio::poll::start(queue_, end, kaio_poll_writable(), 4000, &ticket));

    const kaio_run_report report = Run(every);

    EXPECT_EQ(report.completed_count, 4u);
    EXPECT_EQ(report.dropped_count, 0u);
    EXPECT_EQ(every.user_sum, 4321u);
    EXPECT_EQ(synced, KAIO_SYNC_SYNCED);
    EXPECT_GE(every.turn_count, 1u);
    EXPECT_EQ(BufferText(every.kept.get(), 512), content_.substr(0, 512));
    EXPECT_EQ(kaio_testing_count().buffer_count, 1u);
    close(fds[0]);
}

// A poll that is never ready until it is late.
struct Late {
    int fd;
    uint64_t late_user = 0;
    uint64_t ended_user = 0;

    void on_late(const kaio_late &late) {
        late_user = late.user;
        EXPECT_EQ(write(fd, "x", 1), 1);
    }
    void on_poll(uint64_t user, const kaio_poll_result &) {
        EXPECT_EQ(late_user, user) << "not late yet";
        ended_user = user;
    }
};

TEST_F(CppRunTest, WhatIsLateGoesToItsMember) {
    kaio_queue_options options = {};
    options.depth = 1;
    options.deadlines = true;
    kaio::queue queue;
    ASSERT_OK(kaio::queue::open(options, &queue));
    int fds[2];
    ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
    kaio::file end;
    ASSERT_OK(kaio::file::adopt(fds[0], &end));
    ASSERT_OK(end.set_fail_fast(true));
    kaio_ticket ticket = {};
    ASSERT_OK(kaio::poll::start(queue, end, kaio_poll_readable(), 7, &ticket));
    ASSERT_OK(queue.set_deadline(ticket, kaio_deadline_after_ns(1000000)));
    kaio_deadline next = {};
    ASSERT_OK(queue.next_deadline(&next));
    EXPECT_LT(next.at_ns, INT64_MAX);

    Late late = {fds[1]};
    kaio_run_report report = {};
    ASSERT_OK(queue.run(late, kaio_deadline_never(), &report));

    EXPECT_EQ(report.ended, KAIO_RUN_IDLE);
    EXPECT_EQ(late.ended_user, 7u);
    kaio_late none = {};
    EXPECT_EQ(queue.take_late(&none).code, KAIO_EMPTY);
    close(fds[1]);
}

struct Nothing {};

TEST_F(CppRunTest, OutcomesWithoutAMemberAreDroppedAndCounted) {
    StartReads(3);
    const Nothing nothing = {};

    const kaio_run_report report = Run(nothing);

    EXPECT_EQ(report.completed_count, 3u);
    EXPECT_EQ(report.dropped_count, 3u);
    EXPECT_EQ(kaio_testing_count().buffer_count, 0u);
}

struct ConstCounter {
    uint32_t *count;
    void on_read(uint64_t, kaio::read_result &) const {
        ++*count;
    }
    void on_read(uint64_t, int) const {}
};

TEST_F(CppRunTest, HandlersMayBeConstAndOverloaded) {
    StartReads(2);
    uint32_t count = 0;
    const ConstCounter counter = {&count};

    Run(counter);

    EXPECT_EQ(count, 2u);
}

struct Stop {
    kaio_turn on_turn() {
        return KAIO_TURN_STOP;
    }
};

TEST_F(CppRunTest, ATurnMayStopIt) {
    Stop stop;

    EXPECT_EQ(Run(stop).ended, KAIO_RUN_STOPPED);
}

TEST_F(CppRunTest, AWakeEndsIt) {
    Nothing nothing;
    kaio_run_report report = {};
    queue_.wake();

    EXPECT_OK(queue_.run(nothing, Soon(), &report));

    EXPECT_EQ(report.ended, KAIO_RUN_WOKEN);
}

TEST_F(CppRunTest, AMoveOfTheWholeResultTakesTheBuffer) {
    struct {
        kaio::read_result kept;
        void on_read(uint64_t, kaio::read_result &result) {
            kept = std::move(result);
        }
    } keep;
    StartReads(1);

    Run(keep);

    EXPECT_EQ(keep.kept.moved_bytes, 512u);
    EXPECT_EQ(keep.kept.move_buffer().size(), 512u);
}

TEST_F(CppRunTest, AResultHasTheViewOfItsWrite) {
    struct {
        kaio::view kept;
        void on_write(uint64_t user, kaio::write_result &result) {
            EXPECT_FALSE(result.move_buffer());
            if (user == 1) {
                kept = result.move_view();
            }
        }
    } keep;
    kaio::buffer buffer = Make(512);
    kaio::view view;
    kaio::view share;
    kaio_ticket ticket = {};
    ASSERT_OK(buffer.freeze(&view));
    ASSERT_OK(view.share(&share));
    ASSERT_OK(
        kaio::write::start_shared(queue_, file_, Range(0, 512), kaio_rw_none(), 0, &view, &ticket));
    ASSERT_OK(kaio::write::start_shared(queue_, file_, Range(0, 512), kaio_rw_none(), 1, &share,
                                        &ticket));

    Run(keep);

    EXPECT_OK(keep.kept.thaw(&buffer)) << "the view that the handler left is dropped";
}

TEST_F(CppRunTest, AResultBecomesACompletionWithItsBuffer) {
    struct {
        kaio::completion read;
        kaio::completion write;
        void on_read(uint64_t user, kaio::read_result &result) {
            read = result.into_completion(user);
        }
        void on_write(uint64_t user, kaio::write_result &result) {
            write = result.into_completion(user);
        }
    } keep;
    StartReads(1);
    kaio_ticket ticket = {};
    kaio::buffer buffer = Make(512);
    ASSERT_OK(
        kaio::write::start(queue_, file_, Range(512, 512), kaio_rw_none(), 5, &buffer, &ticket));

    Run(keep);

    EXPECT_EQ(keep.read.operation, KAIO_READ);
    EXPECT_EQ(keep.read.transfer, KAIO_TRANSFER_FULL);
    EXPECT_TRUE(keep.read.move_buffer());
    EXPECT_EQ(keep.write.operation, KAIO_WRITE);
    EXPECT_EQ(keep.write.user, 5u);
    EXPECT_TRUE(keep.write.move_buffer());
}

struct Throw {
    void on_read(uint64_t, kaio::read_result &) {
        throw 1;
    }
};

using CppRunDeathTest = CppRunTest;

TEST_F(CppRunDeathTest, WhatAHandlerThrowsTerminates) {
    GTEST_FLAG_SET(death_test_style, "fast");
    EXPECT_DEATH(
        {
            // The child has nothing of its parent: a queue of its own.
            kaio::queue queue;
            kaio::file file;
            kaio::buffer buffer;
            Throw handlers;
            kaio_queue_options options = {};
            options.depth = 1;
            kaio_ticket ticket = {};
            kaio_run_report report = {};
            kaio_ignore(kaio::queue::open(options, &queue));
            kaio_ignore(kaio::file::open("/dev/zero", O_RDONLY, 0, &file));
            kaio_ignore(kaio::buffer::make(8, 8, &buffer));
            kaio_ignore(
                kaio::read::start(queue, file, Range(0, 8), kaio_rw_none(), 0, &buffer, &ticket));
            try {
                kaio_ignore(queue.run(handlers, kaio_deadline_never(), &report));
            } catch (...) {
                _exit(0);  // it came through the C layer
            }
        },
        "terminate");
}

}  // namespace
}  // namespace kaio_test
