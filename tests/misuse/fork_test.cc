// A child of fork(2) with its parent's handles: FORKED, and the parent does not notice.

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "kaio/safe/kaio.h"
#include "kaio/safe/testing.h"
#include "tests/misuse/every_use.h"
#include "tests/support/in_child.h"
#include "tests/support/safe_test.h"

namespace {

using namespace kaio_test;

constexpr size_t kSizeBytes = 64;

kaio_queue *OpenQueue(uint32_t depth) {
    kaio_queue_options options = {};
    options.depth = depth;
    kaio_queue *queue = nullptr;
    EXPECT_OK(kaio_queue_open(&options, &queue));
    return queue;
}

// A queue, a file and a buffer of the calling process work together.
void ExpectWorkingLibrary(const char *path) {
    kaio_queue *queue = OpenQueue(4);
    kaio_file *file = OpenFile(path);
    for (int i = 0; i < 20; ++i) {
        kaio_buffer *buffer = NewBuffer(kSizeBytes);
        kaio_ticket ticket = {};
        uint32_t ready = 0;
        kaio_completion completion = {};
        ASSERT_OK(kaio_read_start(queue, file, Range(0, kSizeBytes), kaio_rw_none(), 3, &buffer,
                                  &ticket));
        ASSERT_OK(kaio_queue_wait(queue, 1, kaio_deadline_never(), &ready));
        ASSERT_OK(kaio_queue_take(queue, &completion));
        EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL);
        EXPECT_EQ(BufferText(completion.buffer, kSizeBytes), Pattern(kSizeBytes));
        EXPECT_EQ(kaio_testing_fault(queue), nullptr);
        kaio_completion_drop(&completion);
    }
    EXPECT_OK(kaio_file_close(&file));
    EXPECT_OK(kaio_queue_close(&queue));
}

// The parent has a queue with a request in every state, a file, and a buffer.
class ForkTest : public QueueTest {
  protected:
    void SetUp() override {
        QueueTest::SetUp();
        file_ = OpenFile(disk_.path());
        EXPECT_OK(kaio_file_as_fd(file_, &fd_));
        buffer_ = NewBuffer(Pattern(kSizeBytes, 3));
        for (const Request &request : requests_) {
            kaio_buffer *buffer = request.has_buffer() ? NewBuffer(8, 8) : nullptr;
            idle_.push_back(K(request.make(queue_, file_, &buffer)));
        }
        kaio_buffer *buffer = NewBuffer(kSizeBytes);
        finished_ = buffer;
        StartRead(file_, 0, &buffer, 1);
        EXPECT_EQ(Wait(1), 1u);
        buffer = NewBuffer(kSizeBytes);
        in_flight_ = buffer;
        StartRead(file_, 0, &buffer, 2);
        EXPECT_EQ(Flush().accepted_count, 1u);
        buffer = NewBuffer(kSizeBytes);
        staged_ = buffer;
        StartRead(file_, 0, &buffer, 3);
    }

    // Whatever the children did, all of it goes on here.
    void TearDown() override {
        const kaio_queue_counts counts = Counts();
        EXPECT_EQ(counts.idle_count, requests_.size());
        EXPECT_EQ(counts.staged_count, 1u);
        EXPECT_EQ(counts.in_flight_count, 1u);
        EXPECT_EQ(counts.finished_count, 1u);
        EXPECT_EQ(Wait(3), 3u);
        kaio_buffer *const buffers[] = {finished_, in_flight_, staged_};
        for (uint64_t user = 1; user <= 3; ++user) {
            kaio_completion completion = Take();
            EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL) << Text(completion);
            EXPECT_EQ(completion.user, user);
            EXPECT_EQ(completion.buffer, buffers[user - 1]);
            EXPECT_EQ(BufferText(completion.buffer, kSizeBytes), Pattern(kSizeBytes));
            kaio_completion_drop(&completion);
        }
        for (size_t i = 0; i < idle_.size(); ++i) {
            kaio_buffer *buffer = nullptr;
            EXPECT_OK(K(requests_[i].abandon(idle_[i], &buffer)));
            kaio_buffer_drop(&buffer);
        }
        EXPECT_EQ(BufferText(buffer_, kSizeBytes), Pattern(kSizeBytes, 3));
        kaio_buffer_drop(&buffer_);
        EXPECT_OK(kaio_file_close(&file_));
        EXPECT_OK(kaio_queue_close(&queue_));
        QueueTest::TearDown();
    }

    uintptr_t IdleOf(Kind kind) const {
        for (size_t i = 0; i < requests_.size(); ++i) {
            if (requests_[i].kind == kind) {
                return idle_[i];
            }
        }
        return 0;
    }

    // The parent's object that a use of its kind is tried with.
    uintptr_t ParentsOf(Kind kind) const {
        switch (kind) {
            case Kind::kQueue:
                return Bits(queue_);
            case Kind::kFile:
                return Bits(file_);
            case Kind::kBuffer:
                return Bits(buffer_);
            case Kind::kRead:
            case Kind::kWrite:
            case Kind::kSync:
            case Kind::kPoll:
                return IdleOf(kind);
        }
        return 0;
    }

    TempFile disk_{Pattern(kSizeBytes)};
    kaio_file *file_ = nullptr;
    int fd_ = -1;
    kaio_buffer *buffer_ = nullptr;
    const std::vector<Request> requests_ = EveryRequest();
    std::vector<uintptr_t> idle_;
    kaio_buffer *finished_ = nullptr;
    kaio_buffer *in_flight_ = nullptr;
    kaio_buffer *staged_ = nullptr;
};

TEST_F(ForkTest, EveryUseOfTheParentsObjectsAnswersForked) {
    ExpectFineInChild([this] {
        const Companions parents = {queue_, file_, buffer_};
        for (const Use &use : EveryUse()) {
            // The queue is asked first, where a function takes one.
            const std::string name = use.name;
            const bool is_of_queue = name == "FileOfAttach" || name == "FileOfDetach" ||
                                     name.find("New") != std::string::npos ||
                                     name.find("Start") != std::string::npos;
            if (is_of_queue && use.kind != Kind::kQueue) {
                continue;
            }
            ExpectAnswer(KAIO_FORKED, use, use.call(parents, ParentsOf(use.kind)));
        }
    });
}

TEST_F(ForkTest, EveryUseAnswersForkedBesideObjectsOfTheChild) {
    ExpectFineInChild([this] {
        kaio_queue *queue = OpenQueue(4);
        kaio_file *file = OpenFile("/dev/zero");
        kaio_buffer *buffer = NewBuffer(8, 8);
        for (const Use &use : EveryUse()) {
            ExpectAnswer(KAIO_FORKED, use, use.call({queue, file, buffer}, ParentsOf(use.kind)));
            EXPECT_EQ(kaio_testing_fault(queue), nullptr) << use.name;
        }
        EXPECT_OK(kaio_file_close(&file));
        EXPECT_OK(kaio_queue_close(&queue));
        EXPECT_NE(kaio_buffer_as_bytes(buffer), nullptr);
    });
}

// Each one as the very first call: no other has told the library of the fork before.
TEST_F(ForkTest, AnyUseMayBeTheFirstInAChild) {
    for (const Use &use : EveryUse()) {
        ExpectFineInChild([&] {
            const Companions parents = {queue_, file_, buffer_};
            const kaio_status status = use.call(parents, ParentsOf(use.kind));
            EXPECT_CODE(use.is_silent ? KAIO_STALE : KAIO_FORKED, status) << use.name;
        });
    }
}

TEST_F(ForkTest, AChildDropsEverythingAndTheParentKeepsIt) {
    ExpectFineInChild([this] {
        for (size_t i = 0; i < requests_.size(); ++i) {
            EXPECT_EQ(requests_[i].push(idle_[i], 9), 0u);
            requests_[i].drop(idle_[i]);
        }
        kaio_buffer_drop(&buffer_);
        kaio_file_drop(&file_);
        kaio_queue_drop(&queue_);
        EXPECT_NE(fcntl(fd_, F_GETFD), -1) << "the child's copy of a parent's descriptor";
    });
}

TEST_F(ForkTest, AChildReapsNothingOfItsParents) {
    for (int i = 0; i < 5; ++i) {
        ExpectFineInChild([this] {
            Output<kaio_completion> completion;
            Output<uint32_t> ready;
            EXPECT_CODE(KAIO_FORKED, completion.Judge(kaio_queue_take(queue_, completion.at())));
            EXPECT_CODE(KAIO_FORKED,
                        ready.Judge(kaio_queue_wait(queue_, 3, kaio_deadline_never(), ready.at())));
        });
    }
}

TEST_F(ForkTest, TheParentsBytesAreNotLentInAChild) {
    ExpectFineInChild([this] {
        for (kaio_buffer *const buffer : {buffer_, finished_, in_flight_, staged_}) {
            EXPECT_EQ(kaio_buffer_as_bytes(buffer), nullptr);
            EXPECT_EQ(kaio_buffer_size(buffer), 0u);
        }
    });
}

TEST_F(ForkTest, AChildHasALibraryOfItsOwn) {
    ExpectFineInChild([this] { ExpectWorkingLibrary(disk_.path()); });
}

TEST_F(ForkTest, AChildMayAdoptItsCopyOfAParentsDescriptor) {
    ExpectFineInChild([this] {
        kaio_file *own = nullptr;
        EXPECT_OK(kaio_file_adopt(fd_, &own));
        EXPECT_OK(kaio_file_close(&own));
        EXPECT_EQ(fcntl(fd_, F_GETFD), -1);
    });
    EXPECT_NE(fcntl(fd_, F_GETFD), -1);
}

TEST_F(ForkTest, AGrandchildAnswersForkedForBothGenerations) {
    ExpectFineInChild([this] {
        kaio_queue *childs = OpenQueue(1);
        kaio_buffer *buffer = NewBuffer(8, 8);
        ExpectFineInChild([&] {
            Output<kaio_queue_counts> counts;
            EXPECT_CODE(KAIO_FORKED, counts.Judge(kaio_queue_count(queue_, counts.at())));
            EXPECT_CODE(KAIO_FORKED, counts.Judge(kaio_queue_count(childs, counts.at())));
            EXPECT_EQ(kaio_buffer_as_bytes(buffer), nullptr);
            ExpectWorkingLibrary(disk_.path());
        });
        kaio_queue_counts counts = {};
        EXPECT_OK(kaio_queue_count(childs, &counts));
        EXPECT_NE(kaio_buffer_as_bytes(buffer), nullptr);
        EXPECT_OK(kaio_queue_close(&childs));
    });
}

TEST_F(ForkTest, AHandleThatWasStaleBeforeTheForkStaysStale) {
    kaio_buffer *ended = NewBuffer(8, 8);
    kaio_buffer *const alias = ended;
    kaio_buffer_drop(&ended);

    ExpectFineInChild([&] {
        EXPECT_CODE(KAIO_STALE, kaio_buffer_detach(alias));
        kaio_buffer *next = NewBuffer(8, 8);
        EXPECT_CODE(KAIO_STALE, kaio_buffer_detach(alias));
        EXPECT_OK(kaio_buffer_detach(next));
    });
}

TEST_F(ForkTest, AChildThatForksInsideDestroyAnswersForked) {
    kaio_queue *queue = OpenQueue(1);
    kaio_buffer *buffer = NewBuffer(8, 8);
    kaio_read *read = nullptr;
    ASSERT_OK(kaio_read_new(queue, file_, Range(0, 8), kaio_rw_none(), &buffer, &read));
    kaio_queue *alias = queue;
    kaio_destroy_report report = {};

    EXPECT_OK(kaio_queue_destroy(
        &queue,
        [](void *context, kaio_completion *) {
            kaio_queue *inside = *static_cast<kaio_queue **>(context);
            ExpectFineInChild([inside] {
                Output<kaio_queue_counts> counts;
                EXPECT_CODE(KAIO_FORKED, counts.Judge(kaio_queue_count(inside, counts.at())));
            });
        },
        &alias, &report));

    EXPECT_EQ(report.dropped_count, 1u);
}

// ---- with threads ----

// A server that opened its queues before it forks its workers, which start threads at once.
TEST(ForkThreadsTest, TheFirstCallsOfAChildMayComeFromTwoThreads) {
    constexpr int kParentsBuffers = 50000;
    std::vector<kaio_buffer *> parents;
    for (int i = 0; i < kParentsBuffers; ++i) {
        parents.push_back(NewBuffer(8, 8));
    }
    for (int round = 0; round < 40 && !testing::Test::HasFailure(); ++round) {
        ExpectFineInChild([round] {
            std::atomic<int> ready{0};
            std::vector<kaio_buffer *> made[2];
            std::vector<std::thread> threads;
            for (std::vector<kaio_buffer *> &own : made) {
                threads.emplace_back([&ready, &own, round] {
                    if (++ready == 2) {
                        for (volatile int i = 0; i < round * 4000; i = i + 1) {
                        }
                    } else {
                        while (ready < 2) {
                        }
                    }
                    for (int i = 0; i < 100; ++i) {
                        own.push_back(NewBuffer(8, 8));
                    }
                });
            }
            for (std::thread &thread : threads) {
                thread.join();
            }
            for (const std::vector<kaio_buffer *> &own : made) {
                for (const kaio_buffer *buffer : own) {
                    EXPECT_NE(kaio_buffer_as_bytes(buffer), nullptr);
                }
            }
        });
    }
    for (kaio_buffer *&buffer : parents) {
        kaio_buffer_drop(&buffer);
    }
}

// Another thread of the parent is inside a call, with locks, when the child is made.
TEST(ForkThreadsTest, AForkWhileAnotherThreadIsInsideTheLibraryLeavesAWorkingChild) {
    TempFile disk(Pattern(kSizeBytes));
    std::atomic<bool> is_over{false};
    std::thread busy([&] {
        while (!is_over) {
            kaio_buffer *buffer = NewBuffer(8, 8);
            kaio_file *file = OpenFile(disk.path());
            kaio_buffer_drop(&buffer);
            kaio_file_drop(&file);
        }
    });

    for (int i = 0; i < 20; ++i) {
        ExpectFineInChild([&] {
            alarm(20);
            ExpectWorkingLibrary(disk.path());
        });
    }

    is_over = true;
    busy.join();
}

}  // namespace
