// A queue that ends at the worst moment of a wake: when the waker is about to write.
//
// The moment is a few instructions long. The linker makes it as long as the test needs: each call
// of kaio_eventfd_raise goes through here (see BUILD).

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <thread>

#include "kaio/safe/kaio.h"
#include "kaio/safe/testing.h"
#include "tests/misuse/every_use.h"
#include "tests/support/safe_test.h"

namespace {

std::atomic<bool> is_held_up;
std::atomic<bool> is_about_to_write;
std::atomic<bool> may_write;
std::atomic<int> written_fd;

}  // namespace

extern "C" {

void __real_kaio_eventfd_raise(int fd);
void __wrap_kaio_eventfd_raise(int fd);

void __wrap_kaio_eventfd_raise(int fd) {
    if (is_held_up.exchange(false)) {
        is_about_to_write = true;
        while (!may_write) {
            std::this_thread::yield();
        }
        written_fd = fcntl(fd, F_GETFD) == -1 ? -1 : fd;
    }
    __real_kaio_eventfd_raise(fd);
}

}  // extern "C"

namespace {

using namespace kaio_test;

class WakeRaceTest : public SafeTest {
  protected:
    void SetUp() override {
        kaio_queue_options options = {};
        options.depth = 4;
        ASSERT_OK(kaio_queue_open(&options, &queue_));
        is_held_up = is_about_to_write = may_write = false;
        written_fd = -2;
    }

    kaio_queue *queue_ = nullptr;
};

// The run is ended by its deadline, while the waker, which saw it block, is held up.
TEST_F(WakeRaceTest, AQueueDoesNotEndUnderAWakerThatIsAboutToWrite) {
    int fds[2] = {-1, -1};
    ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
    kaio_file *reader = nullptr;
    ASSERT_OK(kaio_file_borrow(fds[0], &reader));
    kaio_ticket ticket = {};
    ASSERT_OK(kaio_poll_start(queue_, reader, kaio_poll_readable(), 1, &ticket));
    is_held_up = true;
    kaio_queue *const alias = queue_;
    std::thread waker([alias] {
        while (!is_about_to_write) {  // until it finds the run blocked
            kaio_queue_wake(alias);
            std::this_thread::yield();
        }
    });
    const kaio_handlers handlers = {};
    kaio_run_report report = {};
    while (!is_about_to_write) {
        EXPECT_OK(
            kaio_queue_run(queue_, &handlers, nullptr, kaio_deadline_after_ns(1000000), &report));
    }
    std::thread releaser([] {
        usleep(100000);
        may_write = true;
    });

    kaio_destroy_report destroyed = {};
    EXPECT_OK(kaio_queue_destroy(&queue_, nullptr, nullptr, &destroyed));

    EXPECT_TRUE(may_write) << "it ended before the waker was through";
    waker.join();
    releaser.join();
    EXPECT_GE(written_fd, 0) << "the waker wrote to a descriptor that was closed";
    kaio_file_drop(&reader);
    close(fds[0]);
    close(fds[1]);
}

}  // namespace
