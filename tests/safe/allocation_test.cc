// After a queue is open, its hot path asks for no memory.

#include <malloc.h>

#include <atomic>

#include "tests/support/safe_test.h"

namespace {
std::atomic<uint64_t> allocations;
std::atomic<uint64_t> frees;
std::atomic<uint64_t> countdown;  // at 1 the next allocation fails; 0: none does

bool Fails() {
    ++allocations;
    return countdown != 0 && --countdown == 0;
}
}  // namespace

extern "C" {
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *bytes, size_t size);
void *__libc_memalign(size_t align, size_t size);
void __libc_free(void *bytes);

void *malloc(size_t size) {
    return Fails() ? nullptr : __libc_malloc(size);
}
void *calloc(size_t count, size_t size) {
    return Fails() ? nullptr : __libc_calloc(count, size);
}
void *realloc(void *bytes, size_t size) {
    return Fails() ? nullptr : __libc_realloc(bytes, size);
}
void free(void *bytes) {
    frees += bytes != nullptr;
    __libc_free(bytes);
}
int posix_memalign(void **out_bytes, size_t align, size_t size) {
    *out_bytes = Fails() ? nullptr : __libc_memalign(align, size);
    return *out_bytes == nullptr ? ENOMEM : 0;
}
}

namespace kaio_test {
namespace {

class AllocationTest : public QueueTest {};

// A queue with all that options ask for: each of its allocations fails once.
TEST(OpenWithoutMemoryTest, AnswersSoAndLeavesNothing) {
    kaio_queue_options options = {};
    options.depth = 4;
    options.segment_count = 4;
    options.latency = true;
    options.continue_limit = 1;
    options.deadlines = true;
    options.helper_count = 2;
    kaio_queue *queue = nullptr;
    for (int i = 0; i < 2; ++i) {  // what is made once and kept is there from then on
        ASSERT_OK(kaio_queue_open(&options, &queue));
        ASSERT_OK(kaio_queue_close(&queue));
    }
    uint64_t failed_count = 0;
    for (kaio_status status = {}; queue == nullptr; ++failed_count) {
        const uint64_t live = allocations - frees;
        countdown = failed_count + 1;
        status = kaio_queue_open(&options, &queue);
        const bool has_failed = countdown == 0;
        countdown = 0;
        EXPECT_EQ(kaio_status_is_ok(status), !has_failed) << failed_count;
        if (has_failed) {
            EXPECT_EQ(queue, nullptr);
            EXPECT_TRUE(status.code == KAIO_NO_MEMORY || status.os_error == EAGAIN)
                << Text(status);                                       // EAGAIN: of a thread
            EXPECT_EQ(allocations - frees, live + 1) << failed_count;  // the failed one counted
        }
        ASSERT_LT(failed_count, 100u);
    }
    EXPECT_GE(failed_count, 10u);
    EXPECT_OK(kaio_queue_close(&queue));
}

TEST_F(AllocationTest, TheCounterCounts) {
    const uint64_t before = allocations;
    kaio_buffer *buffer = NewBuffer(512);
    EXPECT_GT(allocations, before);
    kaio_buffer_drop(&buffer);
}

TEST_F(AllocationTest, NothingIsAllocatedBetweenOpenAndClose) {
    TempFile temp(Pattern(4096));
    kaio_file *file = OpenFile(temp.path());
    kaio_buffer *buffers[kDepth];
    for (kaio_buffer *&buffer : buffers) {
        buffer = NewBuffer(512);
    }
    bool is_good = true;
    const uint64_t before = allocations;
    for (int round = 0; round < 1000; ++round) {
        for (kaio_buffer *&buffer : buffers) {
            kaio_ticket ticket;
            is_good &= kaio_status_is_ok(
                kaio_read_start(queue_, file, Range(0, 512), kaio_rw_none(), 0, &buffer, &ticket));
        }
        uint32_t ready = 0;
        is_good &=
            kaio_status_is_ok(kaio_queue_wait(queue_, kDepth, kaio_deadline_never(), &ready));
        for (kaio_buffer *&buffer : buffers) {
            kaio_completion completion;
            is_good &= kaio_status_is_ok(kaio_queue_take(queue_, &completion));
            buffer = completion.buffer;
        }
    }
    EXPECT_EQ(allocations, before);
    EXPECT_TRUE(is_good);
    for (kaio_buffer *&buffer : buffers) {
        kaio_buffer_drop(&buffer);
    }
    kaio_file_drop(&file);
}

// Every kind of request, every way through the queue, and what is asked about it.
class EveryAllocationTest : public AllocationTest {
  protected:
    static constexpr uint32_t kPartCount = 2;

    kaio_queue_options Options() const override {
        kaio_queue_options options = AllocationTest::Options();
        options.eventfd = true;
        options.latency = true;
        options.continue_limit = 1;
        options.deadlines = true;
        options.helper_count = 1;
        options.segment_count = kPartCount;
        return options;
    }

    void SetUp() override {
        AllocationTest::SetUp();
        file_ = OpenFile(temp_.path());
        ASSERT_EQ(pipe2(fds_, O_CLOEXEC | O_NONBLOCK), 0);
        ASSERT_OK(kaio_file_borrow(fds_[0], &pipe_));
        buffer_ = NewBuffer(512);
        other_ = NewBuffer(512);
        kaio_pool_options pool = {};
        pool.buffer_bytes = 512;
        pool.buffer_count = 2;
        ASSERT_OK(kaio_pool_open(&pool, &pool_));
    }

    void TearDown() override {
        kaio_buffer_drop(&buffer_);
        kaio_buffer_drop(&other_);
        EXPECT_OK(kaio_pool_close(&pool_));
        kaio_file_drop(&file_);
        kaio_file_drop(&pipe_);
        AllocationTest::TearDown();
        close(fds_[0]);
        close(fds_[1]);
    }

    // Is notes whether all went well: no assertion allocates in between.
    void Is(bool is_so) {
        is_good_ &= is_so;
    }
    void Is(kaio_status status, kaio_code code = KAIO_OK) {
        is_good_ &= status.code == code;
    }

    // Finish waits for what is owed and takes it; the buffer comes back.
    void Finish() {
        kaio_queue_counts left;
        kaio_completion completion;
        Is(kaio_queue_drain(queue_, kaio_deadline_never(), &left));
        while (kaio_status_is_ok(kaio_queue_take(queue_, &completion))) {
            buffer_ = completion.buffer != nullptr ? completion.buffer : buffer_;
        }
    }

    void Transfers() {
        const kaio_range range = Range(0, 512);
        kaio_read *read;
        kaio_write *write;
        kaio_ticket ticket;
        Is(kaio_read_new(queue_, file_, range, kaio_rw_none(), &buffer_, &read));
        Is(kaio_read_retarget(read, file_, Range(512, 512), kaio_rw_none()));
        Is(kaio_read_set_priority(read, kaio_priority_best_effort(4)));
        Is(kaio_read_into_write(&read, &write));
        Is(kaio_write_push(&write, 1).bits != 0);
        Finish();
        Is(kaio_write_new(queue_, file_, range, kaio_rw_none(), &buffer_, &write));
        Is(kaio_write_abandon(&write, &buffer_));
        Is(kaio_write_start(queue_, file_, range, kaio_rw_none(), 1, &buffer_, &ticket));
        Finish();
        kaio_view *view;
        Is(kaio_buffer_freeze(&buffer_, &view));
        Is(kaio_write_start_shared(queue_, file_, range, kaio_rw_none(), 1, &view, &ticket));
        kaio_queue_counts left;
        kaio_completion completion;
        Is(kaio_queue_drain(queue_, kaio_deadline_never(), &left));
        Is(kaio_queue_take(queue_, &completion));
        Is(kaio_view_thaw(&completion.view, &buffer_));
    }

    void SyncsAndPolls() {
        kaio_ticket ticket;
        kaio_cancel_answer answer;
        uint32_t ready;
        kaio_flush_report report;
        Is(kaio_write_start(queue_, file_, Range(0, 512), kaio_rw_none(), 1, &buffer_, &ticket));
        Is(kaio_sync_start(queue_, file_, KAIO_SYNC_DATA, 2, &ticket));
        Finish();
        Is(kaio_poll_start(queue_, pipe_, kaio_poll_readable(), 3, &ticket));
        Is(kaio_queue_flush(queue_, &report));
        Is(kaio_queue_wait(queue_, 1, kaio_deadline_after_ns(1000), &ready), KAIO_TIMED_OUT);
        Is(kaio_queue_cancel(queue_, ticket, &answer));
        Finish();
    }

    static void Keep(void *context, uint64_t, kaio_read_result *result) {
        static_cast<EveryAllocationTest *>(context)->buffer_ = result->buffer;
        result->buffer = nullptr;
    }

    void Run() {
        kaio_ticket ticket;
        kaio_handlers handlers = {};
        handlers.on_read = Keep;
        kaio_run_report report;
        Is(kaio_read_start(queue_, file_, Range(0, 512), kaio_rw_none(), 1, &buffer_, &ticket));
        Is(kaio_sync_start(queue_, file_, KAIO_SYNC_ALL, 2, &ticket));
        Is(kaio_queue_run(queue_, &handlers, this, kaio_deadline_never(), &report));
    }

    // A vectored read, made a write, and back again.
    void Vectored() {
        kaio_segment segments[kPartCount] = {{buffer_, nullptr, 0, 512}, {other_, nullptr, 0, 256}};
        buffer_ = other_ = nullptr;
        kaio_readv *readv;
        kaio_writev *writev;
        kaio_ticket ticket;
        kaio_queue_counts left;
        kaio_completion completion;
        Is(kaio_readv_new(queue_, file_, 0, kaio_rw_none(), segments, kPartCount, &readv));
        Is(kaio_readv_into_writev(&readv, &writev));
        Is(kaio_writev_push(&writev, 1).bits != 0);
        Is(kaio_queue_drain(queue_, kaio_deadline_never(), &left));
        Is(kaio_queue_take_segments(queue_, segments, kPartCount, &completion));
        Is(kaio_readv_start(queue_, file_, 0, kaio_rw_none(), 1, segments, kPartCount, &ticket));
        Is(kaio_queue_drain(queue_, kaio_deadline_never(), &left));
        Is(kaio_queue_take_segments(queue_, segments, kPartCount, &completion));
        buffer_ = segments[0].buffer;
        other_ = segments[1].buffer;
    }

    // Buffers of a pool, taken, read into and given back.
    void Pooled() {
        kaio_buffer *buffer;
        kaio_ticket ticket;
        kaio_queue_counts left;
        kaio_completion completion;
        Is(kaio_pool_take(pool_, &buffer));
        Is(kaio_read_start(queue_, file_, Range(0, 512), kaio_rw_none(), 1, &buffer, &ticket));
        Is(kaio_queue_drain(queue_, kaio_deadline_never(), &left));
        Is(kaio_queue_take(queue_, &completion));
        kaio_completion_drop(&completion);
    }

    void Ask() {
        kaio_queue_counters counters;
        Is(kaio_queue_counters_read(queue_, &counters));
        Is(kaio_queue_latency_read(queue_, KAIO_READ, &latency_));
        int64_t ns;
        Is(kaio_latency_quantile(&latency_, 500000, &ns));
    }

    TempFile temp_{Pattern(4096)};
    kaio_file *file_ = nullptr;
    kaio_file *pipe_ = nullptr;
    kaio_buffer *buffer_ = nullptr;
    kaio_buffer *other_ = nullptr;
    kaio_pool *pool_ = nullptr;
    kaio_latency latency_ = {};
    int fds_[2] = {-1, -1};
    bool is_good_ = true;
};

TEST_F(EveryAllocationTest, NoOperationAllocates) {
    const uint64_t before = allocations;
    for (int round = 0; round < 100; ++round) {
        Transfers();
        SyncsAndPolls();
        Run();
        Vectored();
        Pooled();
        Ask();
    }
    EXPECT_EQ(allocations, before);
    EXPECT_TRUE(is_good_);
}

}  // namespace
}  // namespace kaio_test
