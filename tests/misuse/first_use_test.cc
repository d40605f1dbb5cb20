// What can go wrong only the first time that a process uses the library. The children are fresh
// processes: nothing here uses it before them.

#include <fcntl.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <thread>
#include <vector>

#include "kaio/safe/kaio.h"
#include "tests/misuse/every_use.h"
#include "tests/support/in_child.h"
#include "tests/support/safe_test.h"

namespace {

using namespace kaio_test;

// A child that hangs is ended by SIGALRM.
constexpr unsigned kHangSeconds = 10;

// Two threads make the first object of each kind at the same time.
void UseForTheFirstTime() {
    pthread_barrier_t start;
    pthread_barrier_init(&start, nullptr, 2);
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; ++i) {
        threads.emplace_back([&start] {
            pthread_barrier_wait(&start);
            kaio_buffer *buffer = NewBuffer(16, 16);
            kaio_file *file = OpenFile("/dev/null");
            EXPECT_NE(kaio_buffer_as_bytes(buffer), nullptr);
            kaio_buffer_drop(&buffer);
            EXPECT_OK(kaio_file_close(&file));
        });
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    pthread_barrier_destroy(&start);
}

TEST(FirstUseTest, NoSmallNumberIsTheFirstRequest) {
    ExpectFineInChild([] {
        kaio_queue_options options = {};
        options.depth = 8;
        kaio_queue *queue = nullptr;
        ASSERT_OK(kaio_queue_open(&options, &queue));
        kaio_file *file = OpenFile("/dev/zero");
        kaio_buffer *buffer = NewBuffer(8, 8);
        kaio_read *read = nullptr;
        ASSERT_OK(kaio_read_new(queue, file, Range(0, 8), kaio_rw_none(), &buffer, &read));

        for (uintptr_t bits = 1; bits < 1u << 20; ++bits) {
            ASSERT_EQ(kaio_read_push_(Handle<kaio_read>(bits), 0).bits, 0u) << bits;
        }

        EXPECT_OK(kaio_read_abandon(&read, &buffer));
    });
}

TEST(FirstUseTest, NoSmallNumberIsTheFirstFile) {
    ExpectFineInChild([] {
        kaio_queue_options options = {};
        options.depth = 2;
        kaio_queue *queue = nullptr;
        ASSERT_OK(kaio_queue_open(&options, &queue));
        kaio_buffer *buffer = NewBuffer(8, 8);
        kaio_ticket ticket = {};
        for (uintptr_t bits = 0; bits < 4096; ++bits) {
            const kaio_status status = kaio_read_start(queue, Handle<kaio_file>(bits), Range(0, 8),
                                                       kaio_rw_none(), 0, &buffer, &ticket);
            ASSERT_EQ(status.code, bits == 0 ? KAIO_NULL_ARGUMENT : KAIO_STALE) << Text(status);
            ASSERT_EQ(status.subject, KAIO_SUBJECT_FILE) << bits;
        }
        kaio_buffer_drop(&buffer);
        EXPECT_OK(kaio_queue_close(&queue));
    });
}

TEST(FirstUseTest, TwoThreadsMayBeTheFirstAndTheirChildGoesOn) {
    for (int round = 0; round < 300 && !testing::Test::HasFailure(); ++round) {
        ExpectFineInChild([] {
            UseForTheFirstTime();
            ExpectFineInChild([] {
                alarm(kHangSeconds);
                kaio_buffer *buffer = NewBuffer(16, 16);
                EXPECT_NE(kaio_buffer_as_bytes(buffer), nullptr);
            });
        });
    }
}

}  // namespace
