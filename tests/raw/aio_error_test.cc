#include "kaio/raw/aio_error.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <fstream>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tests/raw/kernel_test.h"

namespace kaio_test {
namespace {

const kaio_raw_call kCalls[] = {KAIO_RAW_CALL_SETUP,     KAIO_RAW_CALL_DESTROY,
                                KAIO_RAW_CALL_SUBMIT,    KAIO_RAW_CALL_CANCEL,
                                KAIO_RAW_CALL_GETEVENTS, KAIO_RAW_CALL_PGETEVENTS};

struct Row {
    kaio_raw_call call;
    int error;
    kaio_raw_cause cause;
};

const Row kRows[] = {
    {KAIO_RAW_CALL_SETUP, EAGAIN, KAIO_RAW_CAUSE_SYSTEM_LIMIT},
    {KAIO_RAW_CALL_SETUP, EFAULT, KAIO_RAW_CAUSE_BAD_ADDRESS},
    {KAIO_RAW_CALL_SETUP, EINTR, KAIO_RAW_CAUSE_INTERRUPTED},
    {KAIO_RAW_CALL_SETUP, EINVAL, KAIO_RAW_CAUSE_BAD_COUNT},
    {KAIO_RAW_CALL_SETUP, ENOMEM, KAIO_RAW_CAUSE_NO_MEMORY},
    {KAIO_RAW_CALL_SETUP, ENOSYS, KAIO_RAW_CAUSE_NO_CALL},
    {KAIO_RAW_CALL_SETUP, EPERM, KAIO_RAW_CAUSE_FILTERED},
    {KAIO_RAW_CALL_DESTROY, EINVAL, KAIO_RAW_CAUSE_NO_CONTEXT},
    {KAIO_RAW_CALL_DESTROY, ENOSYS, KAIO_RAW_CAUSE_NO_CALL},
    {KAIO_RAW_CALL_DESTROY, EPERM, KAIO_RAW_CAUSE_FILTERED},
    {KAIO_RAW_CALL_SUBMIT, EACCES, KAIO_RAW_CAUSE_NOT_PERMITTED},
    {KAIO_RAW_CALL_SUBMIT, EAGAIN, KAIO_RAW_CAUSE_NO_ROOM},
    {KAIO_RAW_CALL_SUBMIT, EBADF, KAIO_RAW_CAUSE_BAD_FILE},
    {KAIO_RAW_CALL_SUBMIT, EFAULT, KAIO_RAW_CAUSE_BAD_ADDRESS},
    {KAIO_RAW_CALL_SUBMIT, EINVAL, KAIO_RAW_CAUSE_BAD_REQUEST},
    {KAIO_RAW_CALL_SUBMIT, ENOMEM, KAIO_RAW_CAUSE_NO_MEMORY},
    {KAIO_RAW_CALL_SUBMIT, ENOSYS, KAIO_RAW_CAUSE_NO_CALL},
    {KAIO_RAW_CALL_SUBMIT, EOPNOTSUPP, KAIO_RAW_CAUSE_NOT_SUPPORTED},
    {KAIO_RAW_CALL_SUBMIT, EPERM, KAIO_RAW_CAUSE_NOT_PERMITTED},
    {KAIO_RAW_CALL_CANCEL, EFAULT, KAIO_RAW_CAUSE_BAD_ADDRESS},
    {KAIO_RAW_CALL_CANCEL, EINPROGRESS, KAIO_RAW_CAUSE_CANCEL_STARTED},
    {KAIO_RAW_CALL_CANCEL, EINVAL, KAIO_RAW_CAUSE_NOT_PENDING},
    {KAIO_RAW_CALL_CANCEL, ENOSYS, KAIO_RAW_CAUSE_NO_CALL},
    {KAIO_RAW_CALL_CANCEL, EPERM, KAIO_RAW_CAUSE_FILTERED},
    {KAIO_RAW_CALL_GETEVENTS, EFAULT, KAIO_RAW_CAUSE_BAD_ADDRESS},
    {KAIO_RAW_CALL_GETEVENTS, EINTR, KAIO_RAW_CAUSE_INTERRUPTED},
    {KAIO_RAW_CALL_GETEVENTS, EINVAL, KAIO_RAW_CAUSE_BAD_WAIT},
    {KAIO_RAW_CALL_GETEVENTS, ENOSYS, KAIO_RAW_CAUSE_NO_CALL},
    {KAIO_RAW_CALL_GETEVENTS, EPERM, KAIO_RAW_CAUSE_FILTERED},
    {KAIO_RAW_CALL_PGETEVENTS, EFAULT, KAIO_RAW_CAUSE_BAD_ADDRESS},
    {KAIO_RAW_CALL_PGETEVENTS, EINTR, KAIO_RAW_CAUSE_INTERRUPTED},
    {KAIO_RAW_CALL_PGETEVENTS, EINVAL, KAIO_RAW_CAUSE_BAD_WAIT},
    {KAIO_RAW_CALL_PGETEVENTS, ENOSYS, KAIO_RAW_CAUSE_NO_CALL},
    {KAIO_RAW_CALL_PGETEVENTS, EPERM, KAIO_RAW_CAUSE_FILTERED},
};

std::string Message(kaio_raw_call call, long result, const kaio_raw_numbers &numbers) {
    char text[256] = "";
    size_t length = kaio_raw_error_message(text, sizeof text, call, result, &numbers);
    EXPECT_EQ(length, std::string(text).size());
    return text;
}

TEST(AioErrorTest, EveryErrnoOfEveryCallHasOneCause) {
    std::map<std::pair<int, long>, kaio_raw_cause> known;
    for (const Row &row : kRows) {
        known[{row.call, row.error}] = row.cause;
    }

    for (kaio_raw_call call : kCalls) {
        for (long error = 1; error <= 4095; ++error) {
            auto row = known.find({call, error});
            EXPECT_EQ(kaio_raw_cause_of(call, -error),
                      row == known.end() ? KAIO_RAW_CAUSE_UNKNOWN : row->second)
                << kaio_raw_call_name(call) << " " << error;
        }
    }
}

TEST(AioErrorTest, CountsAreNoErrors) {
    for (kaio_raw_call call : kCalls) {
        EXPECT_EQ(kaio_raw_cause_of(call, 0), KAIO_RAW_CAUSE_NONE);
        EXPECT_EQ(kaio_raw_cause_of(call, 4096), KAIO_RAW_CAUSE_NONE);
    }
}

TEST(AioErrorTest, EveryKnownErrorHasASentenceOfItsCall) {
    const kaio_raw_numbers numbers = {3, 1, nullptr};

    for (const Row &row : kRows) {
        std::string message = Message(row.call, -row.error, numbers);
        EXPECT_EQ(message.rfind(std::string(kaio_raw_call_name(row.call)) + ": ", 0), 0u);
        EXPECT_GT(message.size(), 30u) << message;
        EXPECT_EQ(message.find('?'), std::string::npos) << message;
    }
}

TEST(AioErrorTest, NamesAreTheSymbols) {
#define EXPECT_NAMED(name) EXPECT_STREQ(kaio_raw_cause_name(KAIO_RAW_CAUSE_##name), #name)
    EXPECT_NAMED(NONE);
    EXPECT_NAMED(SYSTEM_LIMIT);
    EXPECT_NAMED(NO_ROOM);
    EXPECT_NAMED(NO_MEMORY);
    EXPECT_NAMED(BAD_ADDRESS);
    EXPECT_NAMED(BAD_COUNT);
    EXPECT_NAMED(NO_CONTEXT);
    EXPECT_NAMED(BAD_REQUEST);
    EXPECT_NAMED(NOT_PENDING);
    EXPECT_NAMED(BAD_WAIT);
    EXPECT_NAMED(BAD_FILE);
    EXPECT_NAMED(NOT_SUPPORTED);
    EXPECT_NAMED(NOT_PERMITTED);
    EXPECT_NAMED(FILTERED);
    EXPECT_NAMED(NO_CALL);
    EXPECT_NAMED(INTERRUPTED);
    EXPECT_NAMED(CANCEL_STARTED);
    EXPECT_NAMED(UNKNOWN);
#undef EXPECT_NAMED
    EXPECT_STREQ(kaio_raw_cause_name(static_cast<kaio_raw_cause>(18)), "?");
    EXPECT_STREQ(kaio_raw_call_name(KAIO_RAW_CALL_SETUP), "io_setup");
    EXPECT_STREQ(kaio_raw_call_name(KAIO_RAW_CALL_DESTROY), "io_destroy");
    EXPECT_STREQ(kaio_raw_call_name(KAIO_RAW_CALL_SUBMIT), "io_submit");
    EXPECT_STREQ(kaio_raw_call_name(KAIO_RAW_CALL_CANCEL), "io_cancel");
    EXPECT_STREQ(kaio_raw_call_name(KAIO_RAW_CALL_GETEVENTS), "io_getevents");
    EXPECT_STREQ(kaio_raw_call_name(KAIO_RAW_CALL_PGETEVENTS), "io_pgetevents");
    EXPECT_STREQ(kaio_raw_call_name(static_cast<kaio_raw_call>(6)), "?");
}

TEST(AioErrorTest, SystemLimitNamesWhatDecides) {
    const kaio_raw_limits limits = {65000, 65536};

    EXPECT_EQ(Message(KAIO_RAW_CALL_SETUP, -EAGAIN, {70000, 0, &limits}),
              "io_setup: 70000 events asked for, more than the whole system may have: "
              "fs.aio-max-nr is 65536, raise it");
    EXPECT_EQ(Message(KAIO_RAW_CALL_SETUP, -EAGAIN, {1000, 0, &limits}),
              "io_setup: 1000 events asked for, and 65000 (fs.aio-nr) of 65536 (fs.aio-max-nr) are "
              "taken: raise fs.aio-max-nr");
    EXPECT_EQ(Message(KAIO_RAW_CALL_SETUP, -EAGAIN, {536, 0, &limits}),
              "io_setup: 536 events asked for, more than was left then; now 65000 (fs.aio-nr) of "
              "65536 (fs.aio-max-nr) are taken: try again");
    EXPECT_EQ(Message(KAIO_RAW_CALL_SETUP, -EAGAIN, {1000, 0, nullptr}),
              "io_setup: 1000 events asked for, more than the system has left: see fs.aio-nr and "
              "fs.aio-max-nr");
    // It wrapped when the kernel doubled it: no limit that could be raised would help.
    EXPECT_EQ(Message(KAIO_RAW_CALL_SETUP, -EAGAIN, {0x80000000, 0, &limits}),
              "io_setup: 2147483648 events asked for: 4194304 is the most");
}

TEST(AioErrorTest, BadCountsAreNamed) {
    EXPECT_EQ(Message(KAIO_RAW_CALL_SETUP, -EINVAL, {0, 0, nullptr}),
              "io_setup: 0 events asked for: 1 is the least");
    EXPECT_EQ(Message(KAIO_RAW_CALL_SETUP, -EINVAL, {4194305, 0, nullptr}),
              "io_setup: 4194305 events asked for: 4194304 is the most");
    EXPECT_EQ(Message(KAIO_RAW_CALL_SETUP, -EINVAL, {1, 0, nullptr}),
              "io_setup: the context was not 0 before the call");
    EXPECT_EQ(Message(KAIO_RAW_CALL_SUBMIT, -EINVAL, {-1, 0, nullptr}),
              "io_submit: -1 requests: 0 is the least");
    EXPECT_EQ(Message(KAIO_RAW_CALL_GETEVENTS, -EINVAL, {1, 2, nullptr}),
              "io_getevents: 2 events at least and 1 at most: not 0 <= min_nr <= nr");
    EXPECT_EQ(Message(KAIO_RAW_CALL_GETEVENTS, -EINVAL, {1, 1, nullptr}),
              "io_getevents: no such context, or destroyed meanwhile");
}

TEST(AioErrorTest, UnknownErrorIsNamedByItsNumber) {
    EXPECT_EQ(Message(KAIO_RAW_CALL_DESTROY, -4000, {0, 0, nullptr}),
              "io_destroy: error 4000, which this call is not known to give");
    EXPECT_EQ(Message(KAIO_RAW_CALL_SUBMIT, 7, {7, 0, nullptr}), "io_submit: no error (7)");
}

TEST(AioErrorTest, MessageIsCutToItsPlaceAndSaysItsLength) {
    const kaio_raw_numbers numbers = {0, 0, nullptr};
    const std::string whole = Message(KAIO_RAW_CALL_SETUP, -EINVAL, numbers);

    for (size_t size = 0; size <= whole.size() + 1; ++size) {
        std::vector<char> text(size + 1, '#');
        EXPECT_EQ(kaio_raw_error_message(text.data(), size, KAIO_RAW_CALL_SETUP, -EINVAL, &numbers),
                  whole.size());
        EXPECT_EQ(text[size], '#');
        if (size > 0) {
            EXPECT_EQ(std::string(text.data()), whole.substr(0, size - 1));
        }
    }
    EXPECT_EQ(kaio_raw_error_message(nullptr, 0, KAIO_RAW_CALL_SETUP, -EINVAL, &numbers),
              whole.size());
}

TEST(AioErrorTest, LimitsAreThoseOfThisMomentAndErrnoStays) {
    uint64_t max_nr = 0;
    std::ifstream("/proc/sys/fs/aio-max-nr") >> max_nr;
    kaio_raw_limits limits = {1, 1};
    errno = EXDEV;

    ASSERT_EQ(kaio_raw_limits_read(&limits), 0);

    EXPECT_EQ(errno, EXDEV);
    EXPECT_EQ(limits.aio_max_nr, max_nr);
    EXPECT_LE(limits.aio_nr, limits.aio_max_nr);
}

TEST(AioErrorTest, LimitsThatCannotBeReadSayWhyAndErrnoStays) {
    rlimit files = {};
    ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &files), 0);
    const rlimit none = {0, files.rlim_max};
    kaio_raw_limits limits = {11, 12};
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    errno = EXDEV;

    const long result = kaio_raw_limits_read(&limits);

    EXPECT_EQ(errno, EXDEV);
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &files), 0);
    EXPECT_EQ(result, -EMFILE);
    EXPECT_EQ(limits.aio_nr, 11u);
    EXPECT_EQ(limits.aio_max_nr, 12u);
}

// aio-nr is the whole system's: other processes come and go between two looks.
TEST(AioErrorTest, LimitsCountAContextByWhatItAskedFor) {
    constexpr unsigned kAsked = 1234;
    bool is_counted = false;

    for (int attempt = 0; attempt < 100 && !is_counted; ++attempt) {
        kaio_raw_limits before = {};
        kaio_raw_limits after = {};
        kaio_raw_context ctx = 0;
        ASSERT_EQ(kaio_raw_limits_read(&before), 0);
        ASSERT_EQ(kaio_raw_setup(kAsked, &ctx), 0);
        ASSERT_EQ(kaio_raw_limits_read(&after), 0);
        ASSERT_EQ(kaio_raw_destroy(ctx), 0);
        is_counted = after.aio_nr == before.aio_nr + kAsked;
    }

    EXPECT_TRUE(is_counted);
}

// ---- what the kernel really answers ----

class AioErrorKernelTest : public KernelTest {};

TEST_F(AioErrorKernelTest, SetupBeyondTheSystemsLimitSaysSo) {
    kaio_raw_limits limits = {};
    ASSERT_EQ(kaio_raw_limits_read(&limits), 0);
    if (limits.aio_max_nr >= 4194304) {
        GTEST_SKIP() << "fs.aio-max-nr is " << limits.aio_max_nr << ": no count is refused for it";
    }
    kaio_raw_context ctx = 0;
    auto nr = static_cast<unsigned>(limits.aio_max_nr) + 1;

    long result = kaio_raw_setup(nr, &ctx);

    EXPECT_EQ(kaio_raw_cause_of(KAIO_RAW_CALL_SETUP, result), KAIO_RAW_CAUSE_SYSTEM_LIMIT);
    EXPECT_EQ(Message(KAIO_RAW_CALL_SETUP, result, {nr, 0, &limits}),
              "io_setup: " + std::to_string(nr) +
                  " events asked for, more than the whole system may have: fs.aio-max-nr is " +
                  std::to_string(limits.aio_max_nr) + ", raise it");
}

TEST_F(AioErrorKernelTest, EachCallsCommonErrorsHaveTheirCause) {
    kaio_raw_iocb poll = kaio_raw_prep_poll(pipe_[0], POLLIN);
    kaio_raw_iocb closed = kaio_raw_prep_pread(kNoDescriptor, bytes_, 1, 0);
    kaio_raw_iocb flagged = kaio_raw_prep_pread(fd_, bytes_, 1, 0);
    kaio_raw_set_rw_flags(&flagged, 1 << 30);
    kaio_raw_event event;
    ASSERT_EQ(Submit(&poll), 1);

    EXPECT_EQ(kaio_raw_cause_of(KAIO_RAW_CALL_SUBMIT, Submit(&closed)), KAIO_RAW_CAUSE_BAD_FILE);
    EXPECT_EQ(kaio_raw_cause_of(KAIO_RAW_CALL_SUBMIT, Submit(&flagged)),
              KAIO_RAW_CAUSE_NOT_SUPPORTED);
    EXPECT_EQ(kaio_raw_cause_of(KAIO_RAW_CALL_DESTROY, kaio_raw_destroy(0)),
              KAIO_RAW_CAUSE_NO_CONTEXT);
    EXPECT_EQ(kaio_raw_cause_of(KAIO_RAW_CALL_GETEVENTS, Get(2, 1, &event)),
              KAIO_RAW_CAUSE_BAD_WAIT);
    EXPECT_EQ(kaio_raw_cause_of(KAIO_RAW_CALL_CANCEL, kaio_raw_cancel(ctx_, &closed, nullptr)),
              KAIO_RAW_CAUSE_NOT_PENDING);
    EXPECT_EQ(kaio_raw_cause_of(KAIO_RAW_CALL_CANCEL, kaio_raw_cancel(ctx_, &poll, nullptr)),
              KAIO_RAW_CAUSE_CANCEL_STARTED);
    EXPECT_EQ(Get(1, 1, &event, 10000), 1);
}

}  // namespace
}  // namespace kaio_test
