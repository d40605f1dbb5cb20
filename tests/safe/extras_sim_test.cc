// All that a queue does by itself (going on, helpers, RWF_NOWAIT, deadlines, latencies), at random
// and together, under every fault of the simulated kernel.

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "kaio/safe/kaio.h"
#include "kaio/safe/sim/sim.h"
#include "tests/support/safe_test.h"

namespace kaio_test {
namespace {

constexpr uint32_t kPlaceBytes = 4096;  // of the file, for each write that ever is
constexpr uint32_t kReadBytes = 8 * kPlaceBytes;
constexpr uint32_t kSegmentsMax = 6;

class ExtrasSimTest : public QueueTest, public testing::WithParamInterface<uint32_t> {
  protected:
    // What is known of a request that did not come back yet.
    struct Asked {
        bool is_write;
        uint64_t offset_bytes;
        uint32_t size_bytes;
        bool was_late;
    };

    kaio_queue_options Options() const override {
        std::mt19937 engine(GetParam());
        const auto random = [&] { return static_cast<uint32_t>(engine()); };
        kaio_queue_options options = QueueTest::Options();
        options.depth = 1 + random() % 12;
        options.segment_count = 2 * kSegmentsMax;
        options.continue_limit = random() % 2 * (random() % 5);
        options.deadlines = true;
        options.latency = random() % 2 == 0;
        options.eventfd = random() % 2 == 0;
        options.never_ring = random() % 4 == 0;
        options.chunk_count = random() % 3;
        options.helper_count = random() % 2;
        options.try_nowait = options.helper_count != 0 && random() % 2 == 0;
        options.offload_buffered = options.helper_count != 0 && random() % 4 == 0;
        options.offload_extending = options.helper_count != 0 && random() % 2 == 0;
        return options;
    }

    void SetUp() override {
        random_.seed(GetParam() + 1000000);
        Play();
        QueueTest::SetUp();
        file_ = OpenFile(temp_.path());
    }

    void TearDown() override {
        const kaio_sim_script none = {};
        kaio_sim_play(&none);
        QueueTest::TearDown();
        kaio_file_drop(&file_);
    }

    uint32_t Below(uint32_t end) {
        return static_cast<uint32_t>(random_() % end);
    }

    uint16_t Chance() {
        return static_cast<uint16_t>(Below(3) == 0 ? Below(30000) : 0);
    }

    void Play() {
        kaio_sim_script script = {};
        script.seed = random_();
        script.reorder = Below(2) == 0;
        script.submit_limit = Below(4);
        script.chances.refuse = Chance();
        script.chances.shortage = Chance();
        script.chances.delay = Chance();
        script.chances.shorten = static_cast<uint16_t>(Below(60000));
        script.chances.fail = Chance();
        script.chances.duplicate = Chance();
        script.chances.interrupt = Chance();
        script.chances.miss = Chance();
        kaio_sim_play(&script);
    }

    static std::string WrittenText(uint64_t user, uint32_t size_bytes) {
        return Pattern(size_bytes, static_cast<uint32_t>(5000 + user));
    }

    void Start() {
        const uint64_t user = next_user_;
        const bool is_write = Below(2) == 0;
        const uint64_t offset =
            is_write ? kReadBytes + user * kPlaceBytes : Below(kReadBytes + kPlaceBytes);
        const uint32_t size = 1 + Below(kPlaceBytes);
        const std::string text = is_write ? WrittenText(user, size) : std::string(size, ' ');
        kaio_ticket ticket = {};
        if (!(Below(2) == 0 ? StartOne(is_write, offset, text, user, &ticket)
                            : StartVectored(is_write, offset, text, user, &ticket))) {
            return;
        }
        ++next_user_;
        asked_[user] = {is_write, offset, size, false};
        if (Below(2) == 0) {
            const int64_t wait_ns = Below(3) == 0 ? 0 : Below(300000);
            EXPECT_OK(K(kaio_queue_set_deadline(queue_, ticket, kaio_deadline_after_ns(wait_ns))));
        }
        tickets_[user] = ticket;
    }

    bool StartOne(bool is_write, uint64_t offset, const std::string &text, uint64_t user,
                  kaio_ticket *out_ticket) {
        kaio_buffer *buffer = NewBuffer(text);
        auto *const start = is_write ? kaio_write_start : kaio_read_start;
        const kaio_status status =
            K(start(queue_, file_, Range(offset, static_cast<uint32_t>(text.size())),
                    kaio_rw_none(), user, &buffer, out_ticket));
        kaio_buffer_drop(&buffer);
        return kaio_status_is_ok(status);
    }

    bool StartVectored(bool is_write, uint64_t offset, const std::string &text, uint64_t user,
                       kaio_ticket *out_ticket) {
        std::vector<kaio_segment> segments;
        for (size_t at = 0; at < text.size();) {
            const size_t left = text.size() - at;
            const size_t size =
                segments.size() + 1 == kSegmentsMax ? left : 1 + Below(static_cast<uint32_t>(left));
            kaio_segment segment = {};
            segment.buffer = NewBuffer(text.substr(at, size));
            segment.size_bytes = static_cast<uint32_t>(size);
            segments.push_back(segment);
            at += size;
        }
        auto *const start = is_write ? kaio_writev_start : kaio_readv_start;
        const kaio_status status =
            K(start(queue_, file_, offset, kaio_rw_none(), user, segments.data(),
                    static_cast<uint32_t>(segments.size()), out_ticket));
        for (kaio_segment &segment : segments) {
            kaio_buffer_drop(&segment.buffer);
        }
        return kaio_status_is_ok(status);
    }

    // TextOf is what the buffers of a completion have, in order.
    static std::string TextOf(const kaio_completion &completion) {
        if (completion.buffer != nullptr) {
            return BufferText(completion.buffer, kaio_buffer_size(completion.buffer));
        }
        std::string text;
        for (uint32_t i = 0; i < completion.segment_count; ++i) {
            const kaio_segment &segment = completion.segments[i];
            EXPECT_EQ(segment.buffer_offset_bytes, 0u);
            EXPECT_EQ(kaio_buffer_size(segment.buffer), segment.size_bytes);
            text += BufferText(segment.buffer, segment.size_bytes);
        }
        return text;
    }

    void Check(const kaio_completion &completion) {
        const auto found = asked_.find(completion.user);
        ASSERT_NE(found, asked_.end()) << "came back twice: " << Text(completion);
        const Asked asked = found->second;
        asked_.erase(found);
        EXPECT_EQ(completion.range.file_offset_bytes, asked.offset_bytes) << Text(completion);
        EXPECT_EQ(completion.range.size_bytes, asked.size_bytes);
        const std::string text = TextOf(completion);
        ASSERT_EQ(text.size(), asked.size_bytes);
        const uint64_t moved = completion.moved_bytes;
        const bool is_full = completion.transfer == KAIO_TRANSFER_FULL;
        const bool is_short = completion.transfer == KAIO_TRANSFER_SHORT;
        EXPECT_TRUE(is_full ? moved == asked.size_bytes
                            : moved < asked.size_bytes && is_short == (moved > 0))
            << Text(completion);
        EXPECT_TRUE(!completion.met_end || completion.transfer == KAIO_TRANSFER_END || is_short);
        if (asked.is_write) {
            EXPECT_EQ(text, WrittenText(completion.user, asked.size_bytes));
        }
        const std::string in_file = temp_.Content().substr(
            std::min<size_t>(asked.offset_bytes, temp_.Content().size()), moved);
        EXPECT_EQ(text.substr(0, moved), in_file) << Text(completion);
    }

    void TakeAll() {
        kaio_segment segments[kSegmentsMax];
        kaio_completion completion = {};
        while (kaio_status_is_ok(
            K(kaio_queue_take_segments(queue_, segments, kSegmentsMax, &completion)))) {
            Check(completion);
            kaio_completion_drop(&completion);
        }
    }

    void TakeLate() {
        kaio_late late = {};
        while (kaio_status_is_ok(K(kaio_queue_take_late(queue_, &late)))) {
            const auto found = asked_.find(late.user);
            ASSERT_NE(found, asked_.end()) << "late, and back already";
            EXPECT_FALSE(found->second.was_late) << "told twice";
            EXPECT_EQ(late.ticket.bits, tickets_[late.user].bits);
            found->second.was_late = true;
        }
    }

    void Cancel() {
        if (asked_.empty()) {
            return;
        }
        auto any = asked_.begin();
        std::advance(any, Below(static_cast<uint32_t>(asked_.size())));
        kaio_cancel_answer answer = KAIO_CANCEL_STALE;
        EXPECT_OK(K(kaio_queue_cancel(queue_, tickets_[any->first], &answer)));
        EXPECT_NE(answer, KAIO_CANCEL_STALE);
    }

    void Run() {
        kaio_handlers handlers = {};
        handlers.on_read = [](void *context, uint64_t user, kaio_read_result *result) {
            kaio_completion completion = kaio_read_result_into_completion(result, user);
            static_cast<ExtrasSimTest *>(context)->Check(completion);
            kaio_completion_drop(&completion);
        };
        handlers.on_write = [](void *context, uint64_t user, kaio_write_result *result) {
            kaio_completion completion = kaio_write_result_into_completion(result, user);
            static_cast<ExtrasSimTest *>(context)->Check(completion);
            kaio_completion_drop(&completion);
        };
        handlers.on_readv =
            handlers.on_writev = [](void *context, uint64_t, kaio_completion *completion) {
                static_cast<ExtrasSimTest *>(context)->Check(*completion);
            };
        handlers.on_late = [](void *context, const kaio_late *late) {
            auto *const self = static_cast<ExtrasSimTest *>(context);
            EXPECT_EQ(self->asked_.count(late->user), 1u);
            self->asked_[late->user].was_late = true;
        };
        kaio_run_report report = {};
        EXPECT_OK(
            K(kaio_queue_run(queue_, &handlers, this, kaio_deadline_after_ns(20000), &report)));
    }

    void Destroy(kaio_destroy_report *out_report) {
        const kaio_status status = kaio_queue_destroy(
            &queue_,
            [](void *context, kaio_completion *completion) {
                static_cast<ExtrasSimTest *>(context)->Check(*completion);
            },
            this, out_report);
        EXPECT_OK(status);
    }

    void Step() {
        uint32_t ready = 0;
        kaio_flush_report report = {};
        switch (Below(10)) {
            case 0:
                Play();
                break;
            case 1:
                kaio_ignore(K(kaio_queue_flush(queue_, &report)));
                break;
            case 2:
                kaio_ignore(
                    K(kaio_queue_wait(queue_, Below(4), kaio_deadline_after_ns(20000), &ready)));
                break;
            case 3:
                TakeLate();
                break;
            case 4:
                kaio_sim_complete(Below(4));
                break;
            case 5:
                Cancel();
                break;
            case 6:
                Run();
                break;
            case 7:
                TakeAll();
                break;
            default:
                Start();
        }
    }

    std::mt19937 random_;
    uint64_t next_user_ = 0;
    std::map<uint64_t, Asked> asked_;
    std::map<uint64_t, kaio_ticket> tickets_;
    TempFile temp_{Pattern(kReadBytes)};
    kaio_file *file_ = nullptr;
};

TEST_P(ExtrasSimTest, EachRequestComesBackOnceWithItsOwnBytes) {
    for (int i = 0; i < 400 && !HasFailure(); ++i) {
        Step();
    }
    const kaio_sim_script none = {};
    kaio_sim_play(&none);
    if (GetParam() % 2 == 0) {
        kaio_destroy_report report = {};
        Destroy(&report);
        EXPECT_EQ(report.leaked_count, 0u);
    } else {
        kaio_queue_counts left = {};
        kaio_status status = kaio_status_ok();
        do {
            TakeLate();
            status = K(kaio_queue_drain(queue_, kaio_deadline_never(), &left));
        } while (status.code == KAIO_TIMED_OUT);
        EXPECT_OK(status);
        TakeAll();
        const kaio_queue_counters counters = Counters();
        EXPECT_EQ(counters.late_end_count, counters.late_count);
        EXPECT_OK(kaio_queue_close(&queue_));
    }
    EXPECT_TRUE(asked_.empty()) << asked_.size() << " were lost";
}

INSTANTIATE_TEST_SUITE_P(Seeds, ExtrasSimTest, testing::Range(0u, 50u));

}  // namespace
}  // namespace kaio_test
