// A poll is cancelled while its file becomes ready: whoever is quicker, it ends once.

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>

#include "kaio/safe/poll.h"
#include "kaio/safe/queue.h"
#include "tests/support/safe_test.h"

namespace kaio_test {
namespace {

// A Writer makes the pipe readable, from a thread of its own, once in each round.
class Writer {
  public:
    explicit Writer(int fd) : thread_([this, fd] { Run(fd); }) {}

    ~Writer() {
        asked_ = -1;
        thread_.join();
    }

    Writer(const Writer &) = delete;
    Writer &operator=(const Writer &) = delete;

    void Begin(int round) {
        asked_ = round;
    }

    void WaitUntilWritten(int round) const {
        while (written_ != round) {
            std::this_thread::yield();
        }
    }

  private:
    void Run(int fd) {
        for (int asked = 0; (asked = asked_) >= 0;) {
            if (asked != written_) {
                EXPECT_EQ(write(fd, "x", 1), 1);
                written_ = asked;
            }
        }
    }

    std::atomic<int> asked_{0};
    std::atomic<int> written_{0};
    std::thread thread_;
};

TEST_F(QueueTest, ACancelThatRacesWithReadinessGivesOneOutcome) {
    constexpr int kRounds = 100000;
    int fds[2];
    ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
    kaio_file *file = nullptr;
    ASSERT_OK(kaio_file_borrow(fds[0], &file));
    int cancelled_count = 0;
    {
        Writer writer(fds[1]);
        for (int round = 1; round <= kRounds && !HasFailure(); ++round) {
            kaio_ticket ticket = {};
            kaio_flush_report report = {};
            ASSERT_OK(kaio_poll_start(queue_, file, kaio_poll_readable(), 1, &ticket));
            ASSERT_OK(kaio_queue_flush(queue_, &report));
            kaio_cancel_answer answer = KAIO_CANCEL_STALE;

            writer.Begin(round);
            for (int spin = 0; spin < round % 64; ++spin) {
                asm volatile("" ::: "memory");
            }
            ASSERT_OK(kaio_queue_cancel(queue_, ticket, &answer));

            const kaio_completion completion = WaitAndTake();
            ASSERT_TRUE(answer == KAIO_CANCEL_ASKED || answer == KAIO_CANCEL_CANNOT);
            ASSERT_TRUE(completion.poll == KAIO_POLL_READY ||
                        (completion.poll == KAIO_POLL_CANCELLED && answer == KAIO_CANCEL_ASKED))
                << Text(completion) << ", " << kaio_cancel_answer_name(answer);
            cancelled_count += completion.poll == KAIO_POLL_CANCELLED;
            writer.WaitUntilWritten(round);
            char byte = 0;
            ASSERT_EQ(read(fds[0], &byte, 1), 1);
            ASSERT_EQ(Counts().free_count, kDepth) << "a second outcome came";
        }
    }
    EXPECT_EQ(Counters().duplicate_count, 0u);
    RecordProperty("cancelled", cancelled_count);
    EXPECT_OK(K(kaio_queue_close(&queue_)));
    EXPECT_OK(kaio_file_close(&file));
    close(fds[0]);
    close(fds[1]);
}

}  // namespace
}  // namespace kaio_test
