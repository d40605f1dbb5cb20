// Files that make a thread wait for somebody else: the submit call must not.

#include <pty.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <thread>

#include "tests/support/safe_test.h"

namespace kaio_test {
namespace {

class PipeTest : public QueueTest {
  protected:
    void SetUp() override {
        QueueTest::SetUp();
        ASSERT_EQ(pipe2(fds_, O_CLOEXEC), 0);
        ASSERT_OK(kaio_file_adopt(fds_[0], &reader_));
        ASSERT_OK(kaio_file_adopt(fds_[1], &writer_));
    }

    void TearDown() override {
        QueueTest::TearDown();
        kaio_file_drop(&reader_);
        kaio_file_drop(&writer_);
    }

    int fds_[2];
    kaio_file *reader_ = nullptr;
    kaio_file *writer_ = nullptr;
};

TEST_F(PipeTest, BytesGoThroughAPipe) {
    kaio_buffer *written = NewBuffer(Pattern(100));
    StartWrite(writer_, 0, &written);
    kaio_completion completion = WaitAndTake();
    ASSERT_EQ(completion.transfer, KAIO_TRANSFER_FULL) << Text(completion);
    kaio_completion_drop(&completion);
    kaio_buffer *read = NewBuffer(4096);
    StartRead(reader_, 0, &read);
    completion = WaitAndTake();
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_SHORT);
    EXPECT_EQ(completion.moved_bytes, 100u);
    EXPECT_EQ(BufferText(completion.buffer, 100), Pattern(100));
    kaio_completion_drop(&completion);
}

TEST_F(PipeTest, AReadOfAnEmptyPipeWouldBlockAndTheWriteBehindItGoesOn) {
    // Sent as they are, both would sleep for ever: the read waits inside the submit call.
    kaio_buffer *read = NewBuffer(100);
    StartRead(reader_, 0, &read, 1);
    kaio_buffer *written = NewBuffer(Pattern(100));
    StartWrite(writer_, 0, &written, 2);

    EXPECT_EQ(Wait(2), 2u);

    for (int i = 0; i < 2; ++i) {
        kaio_completion completion = Take();
        EXPECT_EQ(completion.transfer,
                  completion.user == 1 ? KAIO_TRANSFER_WOULD_BLOCK : KAIO_TRANSFER_FULL)
            << Text(completion);
        kaio_completion_drop(&completion);
    }
}

// The queue knows the file from the first of a round, and the thread the buffers from the first
// round on: then a shorter way is gone, on which they must not sleep either.
TEST_F(PipeTest, ReadsOfAFileThatTheQueueKnowsWouldBlockAsTheFirstDoes) {
    kaio_buffer *buffers[3] = {NewBuffer(100), NewBuffer(100), NewBuffer(100)};
    for (int round = 0; round < 2; ++round) {
        for (uint64_t i = 0; i < 3; ++i) {
            StartRead(reader_, 0, &buffers[i], i);
        }

        EXPECT_EQ(Wait(3), 3u);

        for (int i = 0; i < 3; ++i) {
            const kaio_completion completion = Take();
            EXPECT_EQ(completion.transfer, KAIO_TRANSFER_WOULD_BLOCK) << Text(completion);
            buffers[completion.user] = completion.buffer;
        }
    }
    for (kaio_buffer *&buffer : buffers) {
        kaio_buffer_drop(&buffer);
    }
}

TEST_F(PipeTest, AStallThatIsAllowedSleepsInTheSubmitCall) {
    ASSERT_OK(kaio_file_allow_stall(reader_));
    const int fd = fds_[1];
    std::thread later([fd] {
        // Whether the read sleeps already or not, it ends with these bytes.
        EXPECT_EQ(write(fd, "kaio", 4), 4);
    });
    kaio_buffer *read = NewBuffer(4);
    StartRead(reader_, 0, &read);
    kaio_completion completion = WaitAndTake();
    later.join();
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL) << Text(completion);
    EXPECT_EQ(BufferText(completion.buffer, 4), "kaio");
    kaio_completion_drop(&completion);
}

TEST_F(PipeTest, NowaitThatTheCallerAskedForIsNotReportedAsAStall) {
    // /proc files know no RWF_NOWAIT.
    kaio_file *proc = OpenFile("/proc/self/stat", O_RDONLY);
    kaio_buffer *buffer = NewBuffer(512);
    kaio_ticket ticket = {};
    ASSERT_OK(
        K(kaio_read_start(queue_, proc, Range(0, 512), kaio_rw_nowait(), 0, &buffer, &ticket)));
    kaio_completion completion = WaitAndTake();
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_REFUSED);
    EXPECT_EQ(completion.refusal.code, KAIO_OS_ERROR) << Text(completion);
    kaio_completion_drop(&completion);
    kaio_file_drop(&proc);
}

TEST_F(PipeTest, TheEndOfAPipeIsAnEnd) {
    kaio_file_drop(&writer_);
    kaio_buffer *read = NewBuffer(100);
    StartRead(reader_, 0, &read);
    kaio_completion completion = WaitAndTake();
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_END);
    kaio_completion_drop(&completion);
}

TEST_F(PipeTest, ASyncOfAPipeIsRefused) {
    kaio_ticket ticket = {};
    ASSERT_OK(K(kaio_sync_start(queue_, writer_, KAIO_SYNC_DATA, 0, &ticket)));
    const kaio_completion completion = WaitAndTake();
    EXPECT_EQ(completion.sync, KAIO_SYNC_REFUSED);
    EXPECT_EQ(completion.os_error, EINVAL);
}

TEST_F(PipeTest, AnEmptySocketWouldBlock) {
    int fds[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    kaio_file *socket = nullptr;
    ASSERT_OK(kaio_file_adopt(fds[0], &socket));
    kaio_buffer *read = NewBuffer(100);
    StartRead(socket, 0, &read);
    kaio_completion completion = WaitAndTake();
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_WOULD_BLOCK) << Text(completion);
    kaio_completion_drop(&completion);
    kaio_file_drop(&socket);
    close(fds[1]);
}

TEST_F(PipeTest, AnUnsetEventfdWouldBlock) {
    kaio_file *event = nullptr;
    ASSERT_OK(kaio_file_adopt(eventfd(0, EFD_CLOEXEC), &event));
    kaio_buffer *read = NewBuffer(8, 8);
    StartRead(event, 0, &read);
    kaio_completion completion = WaitAndTake();
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_WOULD_BLOCK) << Text(completion);
    kaio_completion_drop(&completion);
    kaio_file_drop(&event);
}

TEST_F(PipeTest, ATerminalDoesNotStall) {
    int main_fd = -1;
    int terminal_fd = -1;
    ASSERT_EQ(openpty(&main_fd, &terminal_fd, nullptr, nullptr, nullptr), 0);
    kaio_file *terminal = nullptr;
    ASSERT_OK(kaio_file_adopt(terminal_fd, &terminal));
    kaio_buffer *read = NewBuffer(100);
    StartRead(terminal, 0, &read);
    kaio_completion completion = WaitAndTake();
    // Which of the two is the kernel's choice: whether terminals know RWF_NOWAIT.
    if (completion.transfer == KAIO_TRANSFER_REFUSED) {
        EXPECT_EQ(completion.refusal.code, KAIO_CAN_STALL) << Text(completion);
        EXPECT_EQ(completion.os_error, EOPNOTSUPP);
    } else {
        EXPECT_EQ(completion.transfer, KAIO_TRANSFER_WOULD_BLOCK) << Text(completion);
    }
    kaio_completion_drop(&completion);
    kaio_file_drop(&terminal);
    close(main_fd);
}

}  // namespace
}  // namespace kaio_test
