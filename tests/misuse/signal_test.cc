// Signal handlers that call the queue they interrupted, in a storm of signals.

#include <fcntl.h>
#include <signal.h>
#include <sys/time.h>
#include <time.h>

#include <atomic>
#include <cstdint>
#include <vector>

#include "kaio/safe/kaio.h"
#include "kaio/safe/testing.h"
#include "tests/misuse/every_use.h"
#include "tests/support/safe_test.h"

namespace {

using namespace kaio_test;

constexpr size_t kSizeBytes = 512;
constexpr uint32_t kWordCount = 1 << 22;
constexpr int kBufferCount = 4;
constexpr int kHandlerRounds = 3000;
constexpr int kLimitSeconds = 60;

// Under TSan a handler runs later, when its thread is outside the library.
#if defined(__SANITIZE_THREAD__)
constexpr uint32_t kLeastReentered = 0;
#else
constexpr uint32_t kLeastReentered = 50;
#endif

// What the test and its signal handler share. Whatever ends is counted under its word.
struct Storm {
    kaio_queue *queue;
    kaio_file *file;
    kaio_file *other_file;
    std::atomic<uint32_t> next_word;
    std::vector<std::atomic<uint8_t>> ended_count;
    std::atomic<uint32_t> refused_count;
    std::atomic<uint32_t> round_count;
    std::atomic<uint32_t> reentered_count;
    std::atomic<uint32_t> through_count;
    std::atomic<uint32_t> wrong_count;  // answers that must not be
    std::atomic<int> wrong_code;
    std::atomic<uintptr_t> idle;  // a read for the handler to push
    kaio_buffer *spares[kBufferCount + 1];
    int spare_count;  // only the handler's, and the test's while it blocks signals
};

Storm *storm;

void CountWrong(kaio_code code) {
    storm->wrong_code = code;
    ++storm->wrong_count;
}

// Keep counts what ended, once under its word.
void Keep(const kaio_completion &completion) {
    if (completion.transfer == KAIO_TRANSFER_FULL) {
        ++storm->ended_count[completion.user];
    } else if (completion.transfer == KAIO_TRANSFER_REFUSED &&
               completion.refusal.code == KAIO_REENTERED && completion.user == 0) {
        ++storm->refused_count;
    } else {
        CountWrong(static_cast<kaio_code>(completion.refusal.code));
    }
}

// Counts an answer inside the handler. True: the call got through.
bool Through(kaio_status status, kaio_code also) {
    if (status.code == KAIO_REENTERED) {
        ++storm->reentered_count;
    } else if (status.code == KAIO_OK || status.code == also) {
        ++storm->through_count;
    } else {
        CountWrong(static_cast<kaio_code>(status.code));
    }
    return status.code == KAIO_OK;
}

void TakeInside() {
    kaio_completion completion;
    if (Through(kaio_queue_take(storm->queue, &completion), KAIO_EMPTY)) {
        Keep(completion);
        storm->spares[storm->spare_count++] = completion.buffer;
    }
}

void StartInside() {
    if (storm->spare_count == 0) {
        return;
    }
    kaio_ticket ticket;
    const uint32_t word = storm->next_word++;
    if (Through(kaio_read_start(storm->queue, storm->file, Range(0, kSizeBytes), kaio_rw_none(),
                                word, &storm->spares[storm->spare_count - 1], &ticket),
                KAIO_OK)) {
        --storm->spare_count;
    } else {
        ++storm->ended_count[word];  // never begun
    }
}

void PushInside() {
    kaio_read *idle = Handle<kaio_read>(storm->idle.exchange(0));
    if (idle != nullptr && kaio_read_push(&idle, storm->next_word++).bits == 0) {
        CountWrong(KAIO_STALE);
    }
}

void WaitInside() {
    uint32_t ready;
    (void)Through(kaio_queue_wait(storm->queue, 0, kaio_deadline_now(), &ready), KAIO_OK);
}

// What needs the locks of the tables: of the files here, and of the buffers never.
void AttachInside() {
    if (Through(kaio_file_attach(storm->other_file, storm->queue), KAIO_OK)) {
        (void)Through(kaio_file_detach(storm->other_file, storm->queue), KAIO_BUSY);
    }
}

void OnSignal(int) {
    const int before = errno;
    switch (++storm->round_count % 5) {
        case 0:
            TakeInside();
            break;
        case 1:
            StartInside();
            break;
        case 2:
            PushInside();
            break;
        case 3:
            AttachInside();
            break;
        default:
            WaitInside();
    }
    errno = before;
}

// A Quiet keeps the signal away as long as it lives.
class Quiet {
  public:
    Quiet() {
        sigset_t alarm;
        sigemptyset(&alarm);
        sigaddset(&alarm, SIGALRM);
        sigprocmask(SIG_BLOCK, &alarm, &before_);
    }
    ~Quiet() {
        sigprocmask(SIG_SETMASK, &before_, nullptr);
    }
    Quiet(const Quiet &) = delete;
    Quiet &operator=(const Quiet &) = delete;

  private:
    sigset_t before_;
};

void SetTimer(int interval_us) {
    itimerval timer = {};
    timer.it_interval.tv_usec = interval_us;
    timer.it_value.tv_usec = interval_us;
    ASSERT_EQ(setitimer(ITIMER_REAL, &timer, nullptr), 0);
}

class SignalTest : public QueueTest {
  protected:
    void SetUp() override {
        QueueTest::SetUp();
        file_ = OpenFile(disk_.path());
        storm_.queue = queue_;
        storm_.file = file_;
        storm_.other_file = OpenFile(disk_.path());
        storm = &storm_;
        ASSERT_OK(K(kaio_file_attach(file_, queue_)));
        struct sigaction action = {};
        action.sa_handler = OnSignal;
        ASSERT_EQ(sigaction(SIGALRM, &action, &old_action_), 0);
    }

    void TearDown() override {
        sigaction(SIGALRM, &old_action_, nullptr);
        EXPECT_OK(kaio_file_close(&file_));
        EXPECT_OK(kaio_file_close(&storm_.other_file));
        EXPECT_OK(kaio_queue_close(&queue_));
        QueueTest::TearDown();
    }

    // Gives the handler a read to push, and takes the buffers that it took.
    void Exchange() {
        const Quiet quiet;
        ExpectBooks();
        while (storm_.spare_count > 1) {
            buffers_.push_back(storm_.spares[--storm_.spare_count]);
        }
        if (storm_.idle == 0 && !buffers_.empty()) {
            kaio_buffer *buffer = buffers_.back();
            buffers_.pop_back();
            storm_.idle = Bits(NewRead(file_, &buffer));
        }
    }

    void StartAll() {
        while (!buffers_.empty()) {
            kaio_ticket ticket = {};
            const kaio_status status =
                kaio_read_start(queue_, file_, Range(0, kSizeBytes), kaio_rw_none(),
                                storm_.next_word++, &buffers_.back(), &ticket);
            ASSERT_OK(status);
            buffers_.pop_back();
        }
    }

    void TakeAll() {
        uint32_t ready = 0;
        const kaio_status waited =
            kaio_queue_wait(queue_, 1, kaio_deadline_after_ns(1000000000), &ready);
        EXPECT_TRUE(waited.code == KAIO_OK || waited.code == KAIO_NOTHING_TO_WAIT_FOR)
            << Text(waited);
        kaio_completion completion = {};
        while (kaio_status_is_ok(kaio_queue_take(queue_, &completion))) {
            Keep(completion);
            buffers_.push_back(completion.buffer);
        }
    }

    bool IsEnough() const {
        return storm_.round_count >= kHandlerRounds && storm_.reentered_count >= kLeastReentered;
    }

    // Run calls `round` in the storm until there were signals enough, and then takes stock.
    template <typename Round>
    void Run(Round round) {
        for (int i = 0; i < kBufferCount; ++i) {
            buffers_.push_back(NewBuffer(kSizeBytes));
        }
        const time_t end = time(nullptr) + kLimitSeconds;

        SetTimer(50);
        while (!IsEnough() && time(nullptr) < end && storm_.next_word < kWordCount - 100 &&
               !HasFailure()) {
            round();
        }
        SetTimer(0);

        EXPECT_TRUE(IsEnough()) << storm_.round_count << " rounds, " << storm_.reentered_count
                                << " answers from inside, after " << storm_.next_word
                                << " requests";
        EXPECT_EQ(storm_.wrong_count, 0u) << "the last one: " << storm_.wrong_code;
        TakeRest();
        ExpectEachOnce();
        for (int i = 0; i < storm_.spare_count; ++i) {
            kaio_buffer_drop(&storm_.spares[i]);
        }
        for (kaio_buffer *&buffer : buffers_) {
            kaio_buffer_drop(&buffer);
        }
    }

    void TakeRest() {
        kaio_read *idle = Handle<kaio_read>(storm_.idle);
        kaio_read_drop(&idle);
        while (Counts().free_count < kDepth && !HasFailure()) {
            TakeAll();
        }
    }

    void ExpectEachOnce() const {
        uint32_t missing = 0;
        for (uint32_t word = 1; word < storm_.next_word; ++word) {
            const int count = storm_.ended_count[word];
            EXPECT_LE(count, 1) << "word " << word;
            missing += count == 0;
        }
        EXPECT_EQ(missing, storm_.refused_count) << "only what was pushed inside has no word";
    }

    TempFile disk_{Pattern(kSizeBytes)};
    kaio_file *file_ = nullptr;
    std::vector<kaio_buffer *> buffers_;
    Storm storm_{nullptr, nullptr, nullptr, {1}, std::vector<std::atomic<uint8_t>>(kWordCount),
                 {0},     {0},     {0},     {0}, {0},
                 {0},     {0},     {},      0};
    struct sigaction old_action_ = {};
};

TEST_F(SignalTest, NothingIsLostOrDoubledWhenHandlersCallTheQueue) {
    Run([this] {
        Exchange();
        StartAll();
        TakeAll();
    });
}

// What was interrupted holds a lock that the handler's call wants: it must not wait for it.
TEST_F(SignalTest, HandlersDoNotWaitForTheLocksOfWhatTheyInterrupt) {
    Run([this] {
        for (int i = 0; i < 50; ++i) {
            kaio_buffer *buffer = NewBuffer(8, 8);
            kaio_buffer_drop(&buffer);
            kaio_file *file = OpenFile("/dev/null");
            EXPECT_OK(kaio_file_attach(file, queue_));
            EXPECT_OK(kaio_file_close(&file));
        }
        Exchange();
        TakeAll();
    });
}

}  // namespace
