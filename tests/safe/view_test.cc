// Views: one frozen buffer that many writes read at the same time.

#include "kaio/safe/view.h"

#include <fcntl.h>

#include <string>
#include <thread>
#include <vector>

#include "kaio/safe/kaio.h"
#include "kaio/safe/testing.h"
#include "tests/support/safe_test.h"

namespace {

using namespace kaio_test;

constexpr uint32_t kSizeBytes = 4096;

class ViewTest : public QueueTest {
  protected:
    void SetUp() override {
        QueueTest::SetUp();
        file_ = OpenFile(temp_.path());
        content_ = Pattern(kSizeBytes);
        buffer_ = NewBuffer(content_);
        kept_ = buffer_;
    }

    void TearDown() override {
        kaio_view_drop(&view_);
        kaio_buffer_drop(&buffer_);
        EXPECT_OK(kaio_queue_close(&queue_));
        EXPECT_OK(kaio_file_close(&file_));
        EXPECT_EQ(kaio_testing_count().view_count, 0u);
        QueueTest::TearDown();
    }

    void Freeze() {
        ASSERT_OK(K(kaio_buffer_freeze(&buffer_, &view_)));
        ASSERT_EQ(buffer_, nullptr);
    }

    kaio_view *Share(kaio_view *view) {
        kaio_view *other = nullptr;
        EXPECT_OK(K(kaio_view_share(view, &other)));
        return other;
    }

    kaio_ticket Write(uint64_t offset_bytes, kaio_view **move_view) {
        kaio_ticket ticket = {};
        EXPECT_OK(K(kaio_write_start_shared(queue_, file_, Range(offset_bytes, kSizeBytes),
                                            kaio_rw_none(), offset_bytes, move_view, &ticket)));
        EXPECT_EQ(*move_view, nullptr);
        return ticket;
    }

    TempFile temp_;
    std::string content_;
    kaio_file *file_ = nullptr;
    kaio_buffer *buffer_ = nullptr;
    kaio_buffer *kept_ = nullptr;  // an alias
    kaio_view *view_ = nullptr;
};

TEST_F(ViewTest, ManyWritesShareOneBuffer) {
    Freeze();
    std::vector<kaio_view *> views = {view_};
    view_ = nullptr;
    while (views.size() < kDepth) {
        views.push_back(Share(views[0]));
    }
    for (uint32_t i = 0; i < kDepth; ++i) {
        Write(i * kSizeBytes, &views[i]);
    }
    EXPECT_EQ(Wait(kDepth), kDepth);
    for (uint32_t i = 0; i < kDepth; ++i) {
        kaio_completion completion = Take();
        EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL);
        EXPECT_EQ(completion.buffer, nullptr);
        ASSERT_NE(completion.view, nullptr);
        EXPECT_EQ(completion.range.file_offset_bytes, completion.user);
        if (i + 1 < kDepth) {
            kaio_completion_drop(&completion);
            EXPECT_EQ(completion.view, nullptr);
        } else {
            EXPECT_OK(kaio_view_thaw(&completion.view, &buffer_));
            EXPECT_EQ(completion.view, nullptr);
        }
    }
    EXPECT_EQ(buffer_, kept_);
    std::string expected;
    for (uint32_t i = 0; i < kDepth; ++i) {
        expected += content_;
    }
    EXPECT_EQ(temp_.Content(), expected);
}

TEST_F(ViewTest, LendsItsBytesAlsoWhileAWriteHasIt) {
    Freeze();
    kaio_view *alias = view_;
    const uint8_t *bytes = kaio_view_as_bytes(view_);
    ASSERT_NE(bytes, nullptr);
    EXPECT_EQ(kaio_view_size(view_), kSizeBytes);

    Write(0, &view_);

    EXPECT_EQ(kaio_view_as_bytes(alias), bytes);
    EXPECT_EQ(kaio_view_size(alias), kSizeBytes);
    EXPECT_EQ(std::string(reinterpret_cast<const char *>(bytes), kSizeBytes), content_);
    Wait(1);
    view_ = Take().view;
    EXPECT_EQ(view_, alias);
}

TEST_F(ViewTest, AFrozenBufferIsBusy) {
    Freeze();
    kaio_buffer *alias = kept_;
    kaio_ticket ticket = {};
    EXPECT_EQ(kaio_buffer_as_bytes(alias), nullptr);
    EXPECT_EQ(kaio_buffer_size(alias), kSizeBytes);
    EXPECT_CODE(KAIO_BUSY,
                K(kaio_read_start(queue_, file_, Range(0, 8), kaio_rw_none(), 0, &alias, &ticket)));
    EXPECT_CODE(KAIO_BUSY, K(kaio_write_start(queue_, file_, Range(0, 8), kaio_rw_none(), 0, &alias,
                                              &ticket)));
    kaio_view *second = nullptr;
    EXPECT_CODE(KAIO_BUSY, kaio_buffer_freeze(&alias, &second));
    EXPECT_CODE(KAIO_BUSY, kaio_buffer_detach(alias));
    EXPECT_EQ(alias, kept_);

    kaio_buffer_drop(&alias);

    EXPECT_EQ(kaio_view_size(view_), kSizeBytes) << "a drop through an alias took the bytes";
}

TEST_F(ViewTest, ABufferThatAWriteReadsIsNotReadIntoAndTwoWritesShareIt) {
    Freeze();
    kaio_view *second = Share(view_);
    Write(0, &view_);
    kaio_buffer *alias = kept_;
    kaio_ticket ticket = {};
    EXPECT_CODE(KAIO_BUSY,
                K(kaio_read_start(queue_, file_, Range(0, 8), kaio_rw_none(), 0, &alias, &ticket)));
    Write(kSizeBytes, &second);
    EXPECT_EQ(Wait(2), 2u);
    kaio_completion completion = Take();
    kaio_completion_drop(&completion);
    completion = Take();
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL);
    kaio_completion_drop(&completion);
    EXPECT_EQ(kaio_buffer_size(kept_), 0u) << "the last view did not end the buffer";
}

TEST_F(ViewTest, IsThawedOnlyWhenItIsAlone) {
    Freeze();
    kaio_view *second = Share(view_);
    kaio_view *third = Share(second);
    kaio_status status = K(kaio_view_thaw(&view_, &buffer_));
    EXPECT_CODE(KAIO_BUSY, status);
    EXPECT_EQ(Text(status), "busy (view): 2 other views live");
    EXPECT_NE(view_, nullptr);
    EXPECT_EQ(buffer_, nullptr);
    kaio_view_drop(&second);
    Write(0, &third);
    EXPECT_CODE(KAIO_BUSY, K(kaio_view_thaw(&view_, &buffer_)));
    Wait(1);
    kaio_completion completion = Take();
    kaio_completion_drop(&completion);

    EXPECT_OK(K(kaio_view_thaw(&view_, &buffer_)));

    EXPECT_EQ(view_, nullptr);
    EXPECT_EQ(buffer_, kept_);
    EXPECT_EQ(BufferText(buffer_, kSizeBytes), content_);
}

TEST_F(ViewTest, APinnedViewIsNotSharedThawedDetachedOrPushedTwice) {
    Freeze();
    kaio_view *alias = view_;
    Write(0, &view_);
    kaio_view *other = nullptr;
    kaio_buffer *buffer = nullptr;
    kaio_ticket ticket = {};
    EXPECT_CODE(KAIO_BUSY, K(kaio_view_share(alias, &other)));
    EXPECT_CODE(KAIO_BUSY, K(kaio_view_thaw(&alias, &buffer)));
    EXPECT_CODE(KAIO_BUSY, K(kaio_view_detach(alias)));
    EXPECT_CODE(KAIO_BUSY, K(kaio_write_start_shared(queue_, file_, Range(0, 8), kaio_rw_none(), 0,
                                                     &alias, &ticket)));
    kaio_view *dropped = alias;
    kaio_view_drop(&dropped);
    EXPECT_EQ(kaio_view_size(alias), kSizeBytes);
    Wait(1);
    view_ = Take().view;
    EXPECT_EQ(view_, alias);
}

TEST_F(ViewTest, AnAbandonedWriteGivesTheViewBack) {
    Freeze();
    kaio_view *kept = view_;
    kaio_write *write = nullptr;
    ASSERT_OK(K(kaio_write_new_shared(queue_, file_, Range(0, kSizeBytes), kaio_rw_none(), &view_,
                                      &write)));
    kaio_buffer *buffer = nullptr;
    kaio_read *read = nullptr;
    EXPECT_CODE(KAIO_ACCESS, K(kaio_write_abandon(&write, &buffer)));
    EXPECT_CODE(KAIO_ACCESS, K(kaio_write_into_read(&write, &read)));
    EXPECT_NE(write, nullptr);
    EXPECT_EQ(buffer, nullptr);
    EXPECT_EQ(read, nullptr);

    EXPECT_OK(K(kaio_write_abandon_shared(&write, &view_)));

    EXPECT_EQ(view_, kept);
    EXPECT_EQ(write, nullptr);
}

TEST_F(ViewTest, AWriteOfABufferGivesNoView) {
    kaio_write *write = nullptr;
    ASSERT_OK(K(kaio_write_new(queue_, file_, Range(0, 8), kaio_rw_none(), &buffer_, &write)));
    EXPECT_CODE(KAIO_ACCESS, K(kaio_write_abandon_shared(&write, &view_)));
    EXPECT_EQ(view_, nullptr);
    EXPECT_OK(K(kaio_write_abandon(&write, &buffer_)));
}

TEST_F(ViewTest, TheRestOfAShortWriteTakesTheView) {
    Freeze();
    kaio_completion completion = {};
    completion.operation = KAIO_WRITE;
    completion.transfer = KAIO_TRANSFER_SHORT;
    completion.moved_bytes = 100;
    completion.range = Range(0, kSizeBytes);
    completion.user = 7;
    completion.view = view_;
    view_ = nullptr;
    kaio_ticket ticket = {};
    ASSERT_OK(K(kaio_write_rest_start(queue_, file_, kaio_rw_none(), &completion, &ticket)));
    EXPECT_EQ(completion.view, nullptr);
    Wait(1);
    completion = Take();
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL);
    EXPECT_EQ(completion.moved_bytes, kSizeBytes - 100);
    EXPECT_EQ(completion.user, 7u);
    view_ = completion.view;
    EXPECT_EQ(temp_.Content().substr(100), content_.substr(100));
}

TEST_F(ViewTest, ADestroyedQueueHandsViewsOver) {
    Freeze();
    kaio_view *second = Share(view_);
    Write(0, &view_);
    Write(kSizeBytes, &second);
    kaio_destroy_report report = {};
    struct Lost {
        int count = 0;
        kaio_view *view = nullptr;
    } lost;
    const kaio_status status = kaio_queue_destroy(
        &queue_,
        [](void *context, kaio_completion *completion) {
            auto *seen = static_cast<Lost *>(context);
            EXPECT_EQ(completion->buffer, nullptr);
            ASSERT_NE(completion->view, nullptr);
            if (seen->count++ == 0) {
                seen->view = completion->view;
                completion->view = nullptr;
            }
        },
        &lost, &report);
    ASSERT_OK(status);
    EXPECT_EQ(lost.count, 2);
    EXPECT_EQ(report.given_back_count, 1u);
    EXPECT_EQ(report.dropped_count, 1u);
    EXPECT_OK(kaio_view_thaw(&lost.view, &buffer_));
    EXPECT_EQ(buffer_, kept_);
    const kaio_queue_options options = Options();
    ASSERT_OK(kaio_queue_open(&options, &queue_));
}

TEST_F(ViewTest, ABufferChangedWhileAWriteHasItIsSeenInDebugBuilds) {
    uint8_t *bytes = kaio_buffer_as_bytes(buffer_);
    Freeze();
    Write(0, &view_);
    bytes[kSizeBytes - 1] ^= 1;
    kaio_ticket ticket = {};
    ASSERT_OK(K(kaio_sync_start(queue_, file_, KAIO_SYNC_DATA, 9, &ticket)));
    Wait(2);
    kaio_completion completion = Take();
    view_ = completion.view;
#ifdef NDEBUG
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FULL);
    EXPECT_EQ(Take().sync, KAIO_SYNC_SYNCED);
#else
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FAILED);
    EXPECT_CODE(KAIO_MODIFIED_IN_FLIGHT, completion.refusal);
    EXPECT_EQ(completion.moved_bytes, 0u);
    EXPECT_NE(Text(completion).find("changed while a write had it"), std::string::npos)
        << Text(completion);
    EXPECT_EQ(Take().sync, KAIO_SYNC_PRECEDED_BY_FAILURE);
#endif
}

TEST_F(ViewTest, IsBoundToTheThreadThatSharesItUntilDetached) {
    Freeze();
    kaio_view *second = Share(view_);
    kaio_view *alias = view_;
    std::thread([&] {
        kaio_view *other = nullptr;
        kaio_buffer *buffer = nullptr;
        EXPECT_CODE(KAIO_WRONG_THREAD, kaio_view_share(alias, &other));
        EXPECT_CODE(KAIO_WRONG_THREAD, kaio_view_thaw(&alias, &buffer));
        EXPECT_CODE(KAIO_WRONG_THREAD, kaio_view_detach(alias));
        EXPECT_OK(kaio_view_share(second, &other)) << "a new view is anybody's";
        kaio_view_drop(&other);
        kaio_view_drop(&second);
    }).join();
    EXPECT_OK(kaio_view_detach(view_));
    std::thread([&] { EXPECT_OK(kaio_view_thaw(&view_, &buffer_)); }).join();
    EXPECT_EQ(buffer_, kept_);
}

TEST_F(ViewTest, OneDroppedElsewhereEndsWithItsThreadsNextCall) {
    Freeze();
    kaio_view *second = Share(view_);
    kaio_view *alias = view_;
    view_ = nullptr;
    std::thread([&] { kaio_view_drop(&alias); }).join();
    EXPECT_EQ(kaio_testing_count().view_count, 2u);
    kaio_view_drop(&second);
    EXPECT_EQ(kaio_testing_count().view_count, 0u);
    EXPECT_EQ(kaio_buffer_size(kept_), 0u);
}

TEST_F(ViewTest, ManyThreadsShareAndDropOneBuffer) {
    Freeze();
    EXPECT_OK(kaio_view_detach(view_));
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        kaio_view *mine = Share(view_);
        threads.emplace_back([mine]() mutable {
            for (int round = 0; round < 5000; ++round) {
                kaio_view *more = nullptr;
                EXPECT_OK(kaio_view_share(mine, &more));
                EXPECT_EQ(kaio_view_size(more), kSizeBytes);
                std::swap(mine, more);
                kaio_view_drop(&more);
            }
            kaio_view_drop(&mine);
        });
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    EXPECT_OK(kaio_view_thaw(&view_, &buffer_));
    EXPECT_EQ(BufferText(buffer_, kSizeBytes), content_);
}

}  // namespace
