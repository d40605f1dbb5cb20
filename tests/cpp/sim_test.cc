// What the real kernel cannot be made to do on request, seen by owners.

#include "kaio/safe/sim/sim.h"

#include <utility>

#include "tests/cpp/cpp_test.h"

namespace kaio_test {
namespace {

class CppSimTest : public CppTest {
  protected:
    void TearDown() override {
        Play({});
        CppTest::TearDown();
    }

    static void Play(const kaio_sim_script &script) {
        kaio_sim_play(&script);
    }

    static uint32_t Buffers() {
        return kaio_testing_count().buffer_count;
    }
};

TEST_F(CppSimTest, TheRestOfAShortReadGoesOnWithTheSameBuffer) {
    kaio_sim_script script = {};
    script.shorten_count = 1;
    Play(script);
    StartReads(1);
    kaio::completion done = WaitAndTake();
    ASSERT_EQ(done.transfer, KAIO_TRANSFER_SHORT);
    kaio_ticket ticket = {};

    ASSERT_OK(kaio::read::rest_start(queue_, file_, kaio_rw_none(), &done, &ticket));

    EXPECT_FALSE(done.move_buffer()) << "it is the request's";
    done = WaitAndTake();
    EXPECT_EQ(done.transfer, KAIO_TRANSFER_FULL);
    const kaio::buffer buffer = done.move_buffer();
    EXPECT_EQ(BufferText(buffer.get(), 512), content_.substr(0, 512));
}

TEST_F(CppSimTest, ARestThatCannotStartLeavesTheBufferInTheCompletion) {
    StartReads(1);
    kaio::completion done = WaitAndTake();
    kaio_ticket ticket = {};

    EXPECT_CODE(KAIO_EMPTY, kaio::read::rest_start(queue_, file_, kaio_rw_none(), &done, &ticket));
    EXPECT_CODE(KAIO_EMPTY, kaio::write::rest_start(queue_, file_, kaio_rw_none(), &done, &ticket));
    EXPECT_CODE(KAIO_NULL_ARGUMENT,
                kaio::read::rest_start(queue_, file_, kaio_rw_none(), nullptr, &ticket));

    EXPECT_TRUE(done.move_buffer());
}

TEST_F(CppSimTest, TheRestOfAShortWriteToo) {
    kaio::buffer buffer = Make(512);
    kaio_ticket ticket = {};
    kaio_sim_script script = {};
    script.shorten_count = 1;
    Play(script);
    ASSERT_OK(
        kaio::write::start(queue_, file_, Range(0, 512), kaio_rw_none(), 0, &buffer, &ticket));
    kaio::completion done = WaitAndTake();
    ASSERT_EQ(done.transfer, KAIO_TRANSFER_SHORT);

    ASSERT_OK(kaio::write::rest_start(queue_, file_, kaio_rw_none(), &done, &ticket));

    EXPECT_EQ(WaitAndTake().transfer, KAIO_TRANSFER_FULL);
    EXPECT_EQ(temp_.Content().substr(0, 512), std::string(512, '\0'));
}

TEST_F(CppSimTest, ARefusedRequestBringsItsBufferBack) {
    StartReads(1);
    kaio_sim_script script = {};
    script.submit_error_count = 1;
    script.submit_error = EBADF;
    Play(script);

    kaio::completion done = WaitAndTake();

    EXPECT_EQ(done.transfer, KAIO_TRANSFER_REFUSED);
    EXPECT_EQ(done.os_error, EBADF);
    EXPECT_EQ(done.refusal.code, KAIO_OS_ERROR);
    EXPECT_EQ(done.move_buffer().size(), 512u);
}

TEST_F(CppSimTest, OwnersThatEndWhileTheKernelWorksReleaseWhenItIsDone) {
    kaio_sim_script script = {};
    script.hold = true;
    Play(script);
    StartReads(3);
    kaio_flush_report flushed = {};
    ASSERT_OK(queue_.flush(&flushed));
    EXPECT_EQ(flushed.accepted_count, 3u);

    file_.reset();
    EXPECT_EQ(kaio_testing_count().file_count, 1u) << "it is pinned";
    EXPECT_EQ(Buffers(), 3u);
    queue_.reset();

    EXPECT_EQ(kaio_testing_count().file_count, 0u);
    EXPECT_EQ(Buffers(), 0u);
}

// No SafeTest: the file and the buffer stay for ever, as they must.
TEST(CppLeakTest, AQueueThatCannotEndLeaksAndDoesNotCallTheHandler) {
    const TempFile temp(Pattern(512));
    kaio::queue queue;
    kaio::file file;
    kaio::buffer buffer;
    kaio_queue_options options = {};
    options.depth = 1;
    ASSERT_OK(kaio::queue::open(options, &queue));
    ASSERT_OK(kaio::file::open(temp.path(), O_RDONLY, 0, &file));
    ASSERT_OK(kaio::buffer::make(512, 512, &buffer));
    kaio_sim_script script = {};
    script.hold = true;
    script.destroy_fails = true;
    script.getevents_error_count = UINT32_MAX;
    script.getevents_error = EINVAL;
    kaio_sim_play(&script);
    kaio_ticket ticket = {};
    ASSERT_OK(kaio::read::start(queue, file, Range(0, 512), kaio_rw_none(), 0, &buffer, &ticket));
    kaio_flush_report flushed = {};
    ASSERT_OK(queue.flush(&flushed));
    int lost = 0;
    kaio_destroy_report report = {};

    ASSERT_OK(queue.destroy([&](kaio::completion &) { ++lost; }, &report));

    EXPECT_EQ(lost, 0);
    EXPECT_EQ(report.leaked_count, 1u);
    EXPECT_EQ(kaio_sim_complete(1), 1u);
    const kaio_sim_script none = {};
    kaio_sim_play(&none);
}

}  // namespace
}  // namespace kaio_test
