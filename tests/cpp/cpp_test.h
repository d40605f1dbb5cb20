// What tests of the C++ layer share: a queue and a file as owners, with the books checked.

#ifndef KAIO_TESTS_CPP_CPP_TEST_H_
#define KAIO_TESTS_CPP_CPP_TEST_H_

#include <fcntl.h>

#include <cstdint>
#include <string>
#include <utility>

#include "kaio/safe/kaio.hpp"
#include "tests/support/safe_test.h"

namespace kaio_test {

class CppTest : public SafeTest {
  protected:
    static constexpr uint32_t kDepth = 8;

    void SetUp() override {
        Open();
        ASSERT_OK(kaio::file::open(temp_.path(), O_RDWR, 0, &file_));
        errno = kErrno;
    }

    void TearDown() override {
        ExpectBooks();
        EXPECT_EQ(errno, kErrno) << "a call touched errno";
        queue_.reset();
        file_.reset();
    }

    void Open() {
        kaio_queue_options options = {};
        options.depth = kDepth;
        ASSERT_OK(kaio::queue::open(options, &queue_));
    }

    void ExpectBooks() const {
        const char *fault = queue_ ? kaio_testing_fault(queue_.get()) : nullptr;
        EXPECT_EQ(fault, nullptr) << fault;
    }

    static kaio_deadline Soon() {
        return kaio_deadline_after_ns(10000000000);
    }

    static kaio::buffer Make(size_t size_bytes) {
        kaio::buffer buffer;
        EXPECT_OK(kaio::buffer::make(size_bytes, 512, &buffer));
        return buffer;
    }

    kaio::read NewRead(kaio::buffer *move_buffer) {
        kaio::read read;
        const kaio_range range = Range(0, static_cast<uint32_t>(move_buffer->size()));
        EXPECT_OK(kaio::read::make(queue_, file_, range, kaio_rw_none(), move_buffer, &read));
        return read;
    }

    // StartReads starts reads of 512 bytes with the users 0 to count - 1.
    void StartReads(uint32_t count) {
        for (uint32_t i = 0; i < count; ++i) {
            kaio::buffer buffer = Make(512);
            kaio_ticket ticket = {};
            EXPECT_OK(kaio::read::start(queue_, file_, Range(i * 512, 512), kaio_rw_none(), i,
                                        &buffer, &ticket));
        }
    }

    kaio_queue_counts Counts() {
        ExpectBooks();
        kaio_queue_counts counts = {};
        EXPECT_OK(queue_.count(&counts));
        return counts;
    }

    kaio::completion WaitAndTake() {
        kaio::completion done;
        EXPECT_OK(queue_.wait(1, Soon(), &ready_));
        EXPECT_OK(queue_.take(&done));
        ExpectBooks();
        return done;
    }

    const std::string content_ = Pattern(8192);
    const TempFile temp_{content_};
    kaio::queue queue_;
    kaio::file file_;
    uint32_t ready_ = 0;
};

}  // namespace kaio_test

#endif  // KAIO_TESTS_CPP_CPP_TEST_H_
