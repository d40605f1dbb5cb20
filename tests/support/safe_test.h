// What tests of the safe layer share: files to work on, and books that are checked all the time.

#ifndef KAIO_TESTS_SUPPORT_SAFE_TEST_H_
#define KAIO_TESTS_SUPPORT_SAFE_TEST_H_

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <vector>

#include "kaio/safe/kaio.h"
#include "kaio/safe/testing.h"
#include "tests/support/folder.h"

namespace kaio_test {

inline std::string Text(kaio_status status) {
    char text[KAIO_STATUS_MESSAGE_BYTES];
    kaio_status_message(status, text, sizeof text);
    return text;
}

inline std::string Text(const kaio_completion &completion) {
    char text[KAIO_COMPLETION_MESSAGE_BYTES];
    kaio_completion_message(&completion, text, sizeof text);
    return text;
}

// EXPECT_CODE(KAIO_BUSY, status) compares the code and shows the whole status when it differs.
#define EXPECT_CODE(expected, status) \
    EXPECT_PRED_FORMAT2(::kaio_test::HasCode, (expected), (status))
#define ASSERT_CODE(expected, status) \
    ASSERT_PRED_FORMAT2(::kaio_test::HasCode, (expected), (status))
#define EXPECT_OK(status) EXPECT_CODE(KAIO_OK, status)
#define ASSERT_OK(status) ASSERT_CODE(KAIO_OK, status)

inline testing::AssertionResult HasCode(const char *, const char *what, kaio_code expected,
                                        kaio_status status) {
    if (status.code == expected) {
        return testing::AssertionSuccess();
    }
    kaio_status wanted = {};
    wanted.code = static_cast<uint16_t>(expected);
    return testing::AssertionFailure() << what << " is \"" << Text(status) << "\", wanted \""
                                       << kaio_status_name(wanted) << "\"";
}

inline std::string TempFolder() {
    const char *folder = getenv("TEST_TMPDIR");
    return folder != nullptr ? folder : "/tmp";
}

// A TempFile has a name of its own and is removed in the end.
class TempFile {
  public:
    explicit TempFile(const std::string &content = "") {
        path_ = TempFolder() + "/kaio_XXXXXX";
        const int fd = mkstemp(path_.data());
        EXPECT_GE(fd, 0) << path_;
        EXPECT_EQ(write(fd, content.data(), content.size()), static_cast<ssize_t>(content.size()));
        close(fd);
    }
    ~TempFile() {
        unlink(path_.c_str());
    }
    TempFile(const TempFile &) = delete;
    TempFile &operator=(const TempFile &) = delete;

    const char *path() const {
        return path_.c_str();
    }

    std::string Content() const {
        std::string content;
        char part[4096];
        const int fd = ::open(path(), O_RDONLY | O_CLOEXEC);
        EXPECT_GE(fd, 0);
        for (ssize_t n = 0; (n = read(fd, part, sizeof part)) > 0;) {
            content.append(part, static_cast<size_t>(n));
        }
        close(fd);
        return content;
    }

  private:
    std::string path_;
};

inline kaio_buffer *NewBuffer(size_t size_bytes, size_t align_bytes = 4096) {
    kaio_buffer *buffer = nullptr;
    EXPECT_OK(kaio_buffer_new(size_bytes, align_bytes, &buffer));
    return buffer;
}

inline kaio_buffer *NewBuffer(const std::string &content, size_t align_bytes = 4096) {
    kaio_buffer *buffer = NewBuffer(content.size(), align_bytes);
    content.copy(reinterpret_cast<char *>(kaio_buffer_as_bytes(buffer)), content.size());
    return buffer;
}

inline std::string BufferText(const kaio_buffer *buffer, size_t size_bytes) {
    const uint8_t *bytes = kaio_buffer_as_bytes(buffer);
    EXPECT_NE(bytes, nullptr);
    return bytes == nullptr ? "" : std::string(reinterpret_cast<const char *>(bytes), size_bytes);
}

inline kaio_file *OpenFile(const char *path, int flags = O_RDWR) {
    kaio_file *file = nullptr;
    EXPECT_OK(kaio_file_open(path, flags, 0600, &file));
    return file;
}

inline kaio_range Range(uint64_t file_offset_bytes, uint32_t size_bytes,
                        uint32_t buffer_offset_bytes = 0) {
    return {file_offset_bytes, buffer_offset_bytes, size_bytes};
}

// A SafeTest fails when it leaves a queue, file or buffer behind, or when a call touched errno.
class SafeTest : public testing::Test {
  protected:
    SafeTest() : before_(kaio_testing_count()) {
        errno = kErrno;
    }

    ~SafeTest() override {
        const kaio_testing_census after = kaio_testing_count();
        EXPECT_EQ(after.queue_count, before_.queue_count) << "a queue was left";
        EXPECT_EQ(after.file_count, before_.file_count) << "a file was left";
        EXPECT_EQ(after.buffer_count, before_.buffer_count) << "a buffer was left";
    }

    static constexpr int kErrno = 9999;

  private:
    const kaio_testing_census before_;
};

// A QueueTest has a queue, whose books are checked after every call made through K(...).
class QueueTest : public SafeTest {
  protected:
    static constexpr uint32_t kDepth = 8;

    virtual kaio_queue_options Options() const {
        kaio_queue_options options = {};
        options.depth = kDepth;
        return options;
    }

    void SetUp() override {
        const kaio_queue_options options = Options();
        ASSERT_OK(kaio_queue_open(&options, &queue_));
        ExpectBooks();
    }

    void TearDown() override {
        kaio_queue_drop(&queue_);
    }

    // K is put around every call: what it did must leave each request in exactly one place.
    template <typename Answer>
    Answer K(Answer answer) {
        ExpectBooks();
        return answer;
    }

    void ExpectBooks() {
        if (queue_ == nullptr) {
            return;
        }
        const char *fault = kaio_testing_fault(queue_);
        EXPECT_EQ(fault, nullptr) << fault;
    }

    kaio_queue_counts Counts() {
        kaio_queue_counts counts = {};
        EXPECT_OK(K(kaio_queue_count(queue_, &counts)));
        return counts;
    }

    kaio_queue_counters Counters() {
        kaio_queue_counters counters = {};
        EXPECT_OK(K(kaio_queue_counters_read(queue_, &counters)));
        return counters;
    }

    kaio_flush_report Flush() {
        kaio_flush_report report = {};
        EXPECT_OK(K(kaio_queue_flush(queue_, &report)));
        return report;
    }

    uint32_t Wait(uint32_t min_count) {
        uint32_t ready = 0;
        EXPECT_OK(
            K(kaio_queue_wait(queue_, min_count, kaio_deadline_after_ns(10000000000), &ready)));
        return ready;
    }

    kaio_completion Take() {
        kaio_completion completion = {};
        EXPECT_OK(K(kaio_queue_take(queue_, &completion)));
        return completion;
    }

    kaio_completion WaitAndTake() {
        EXPECT_GE(Wait(1), 1u);
        return Take();
    }

    // ExpectEmpty also sees to it that a take that yields nothing writes nothing.
    void ExpectEmpty() {
        kaio_completion completion;
        kaio_completion untouched;
        memset(&completion, 0xa5, sizeof completion);
        memset(&untouched, 0xa5, sizeof untouched);
        EXPECT_CODE(KAIO_EMPTY, K(kaio_queue_take(queue_, &completion)));
        EXPECT_EQ(memcmp(&completion, &untouched, sizeof completion), 0);
    }

    // Start pushes a read or write of the whole buffer, which it takes.
    kaio_ticket StartRead(kaio_file *file, uint64_t offset_bytes, kaio_buffer **move_buffer,
                          uint64_t user = 0) {
        kaio_ticket ticket = {};
        const kaio_range range =
            Range(offset_bytes, static_cast<uint32_t>(kaio_buffer_size(*move_buffer)));
        EXPECT_OK(
            K(kaio_read_start(queue_, file, range, kaio_rw_none(), user, move_buffer, &ticket)));
        return ticket;
    }

    kaio_ticket StartWrite(kaio_file *file, uint64_t offset_bytes, kaio_buffer **move_buffer,
                           uint64_t user = 0) {
        kaio_ticket ticket = {};
        const kaio_range range =
            Range(offset_bytes, static_cast<uint32_t>(kaio_buffer_size(*move_buffer)));
        EXPECT_OK(
            K(kaio_write_start(queue_, file, range, kaio_rw_none(), user, move_buffer, &ticket)));
        return ticket;
    }

    kaio_read *NewRead(kaio_file *file, kaio_buffer **move_buffer) {
        kaio_read *read = nullptr;
        const kaio_range range = Range(0, static_cast<uint32_t>(kaio_buffer_size(*move_buffer)));
        EXPECT_OK(K(kaio_read_new(queue_, file, range, kaio_rw_none(), move_buffer, &read)));
        return read;
    }

    kaio_queue *queue_ = nullptr;
};

}  // namespace kaio_test

#endif  // KAIO_TESTS_SUPPORT_SAFE_TEST_H_
