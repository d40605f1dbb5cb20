#include "kaio/safe/status.h"

#include <errno.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <string>

#include "kaio/safe/queue.h"

namespace {

kaio_status Make(kaio_code code, kaio_subject subject, uint64_t detail = 0, int os_error = 0) {
    kaio_status status = {};
    status.code = static_cast<uint16_t>(code);
    status.subject = static_cast<uint16_t>(subject);
    status.os_error = os_error;
    status.detail = detail;
    return status;
}

std::string Message(kaio_status status) {
    char text[256];
    EXPECT_LT(kaio_status_message(status, text, sizeof text), sizeof text);
    return text;
}

TEST(StatusTest, TakesTwoRegisters) {
    EXPECT_EQ(sizeof(kaio_status), 16u);
}

TEST(StatusTest, OnlyOkIsOk) {
    EXPECT_TRUE(kaio_status_is_ok(Make(KAIO_OK, KAIO_SUBJECT_NONE)));
    for (int code = KAIO_OK + 1; code <= KAIO_OVERLAP; ++code) {
        EXPECT_FALSE(kaio_status_is_ok(Make(static_cast<kaio_code>(code), KAIO_SUBJECT_NONE)));
    }
}

TEST(StatusTest, EveryCodeHasItsOwnName) {
    std::set<std::string> names;
    for (int code = KAIO_OK; code <= KAIO_OVERLAP; ++code) {
        names.insert(kaio_status_name(Make(static_cast<kaio_code>(code), KAIO_SUBJECT_NONE)));
    }
    EXPECT_EQ(names.size(), static_cast<size_t>(KAIO_OVERLAP + 1));
    EXPECT_EQ(names.count("invalid"), 0u);
}

TEST(StatusTest, AnUnknownCodeIsNamedInvalid) {
    kaio_status status = {};
    status.code = 4711;
    EXPECT_STREQ(kaio_status_name(status), "invalid");
}

TEST(StatusTest, AnswersOfOnesOwnAreMadeLikeKaios) {
    const kaio_status ok = kaio_status_ok();
    EXPECT_TRUE(kaio_status_is_ok(ok));
    EXPECT_EQ(ok.subject, KAIO_SUBJECT_NONE);
    EXPECT_EQ(ok.os_error, 0);
    EXPECT_EQ(ok.detail, 0u);
    const kaio_status failed = kaio_status_from_os_error(EIO);
    EXPECT_EQ(failed.code, KAIO_OS_ERROR);
    EXPECT_EQ(failed.subject, KAIO_SUBJECT_NONE);
    EXPECT_EQ(failed.os_error, EIO);
    EXPECT_EQ(failed.detail, 0u);
}

// Every code with every subject, the largest numbers, and the longest reason: one of the kernel's
// has 127 bytes at most, which no real one has.
TEST(StatusTest, EveryMessageFitsIntoItsConstant) {
    size_t longest_reason = 0;
    for (int error = 1; error < 4096; ++error) {
        longest_reason = std::max(longest_reason, strlen(strerror(error)));
    }
    size_t longest = 0;
    for (int code = KAIO_OK; code <= KAIO_OVERLAP; ++code) {
        for (int subject = KAIO_SUBJECT_NONE; subject <= KAIO_SUBJECT_QUANTILE; ++subject) {
            kaio_status status =
                Make(static_cast<kaio_code>(code), static_cast<kaio_subject>(subject));
            status.detail = UINT64_MAX;
            longest = std::max(longest, kaio_status_message(status, nullptr, 0));
            status.os_error = INT32_MAX;
            longest = std::max(longest, kaio_status_message(status, nullptr, 0));
        }
    }
    EXPECT_GT(longest, 60u);
    EXPECT_LT(longest + longest_reason, KAIO_STATUS_MESSAGE_BYTES);
}

TEST(StatusTest, EveryCompletionsMessageFitsIntoItsConstant) {
    size_t longest = 0;
    for (int operation = KAIO_NO_OPERATION; operation <= KAIO_POLL; ++operation) {
        for (int outcome = 0; outcome < 8; ++outcome) {
            kaio_completion completion = {};
            completion.operation = static_cast<kaio_operation>(operation);
            completion.transfer = static_cast<kaio_transfer_outcome>(outcome);
            completion.range.file_offset_bytes = UINT64_MAX;
            completion.range.size_bytes = UINT32_MAX;
            completion.moved_bytes = UINT64_MAX;
            completion.os_error = INT32_MAX;
            longest = std::max(longest, kaio_completion_message(&completion, nullptr, 0));
        }
    }
    EXPECT_GT(longest, 90u);
    EXPECT_LT(longest, KAIO_COMPLETION_MESSAGE_BYTES - KAIO_STATUS_MESSAGE_BYTES + 128);
}

struct Case {
    const char *name;
    kaio_status status;
    const char *message;
};

class StatusMessageTest : public testing::TestWithParam<Case> {};

TEST_P(StatusMessageTest, PrintsTheNumbers) {
    EXPECT_EQ(Message(GetParam().status), GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(
    All, StatusMessageTest,
    testing::Values(
        Case{"Ok", Make(KAIO_OK, KAIO_SUBJECT_NONE), "ok"},
        Case{"Stale", Make(KAIO_STALE, KAIO_SUBJECT_BUFFER), "stale (buffer)"},
        Case{"Range", Make(KAIO_RANGE, KAIO_SUBJECT_SIZE, 5000 | uint64_t{4096} << 32),
             "range (size): asked for 5000, the limit is 4096"},
        Case{"Align", Make(KAIO_ALIGN, KAIO_SUBJECT_FILE_OFFSET, 100 | uint64_t{512} << 32),
             "align (file offset): 100 bytes past a multiple of 512, which it needs"},
        Case{"BusyQueue",
             Make(KAIO_BUSY, KAIO_SUBJECT_QUEUE,
                  1 | 2 << 16 | uint64_t{3} << 32 | uint64_t{4} << 48),
             "busy (queue): 1 idle, 2 staged, 3 in flight, 4 finished"},
        Case{"BusyFile", Make(KAIO_BUSY, KAIO_SUBJECT_FILE, 2 | uint64_t{1} << 32),
             "busy (file): used by 2 requests here, attached to 1 queues of other threads"},
        Case{"Full", Make(KAIO_FULL, KAIO_SUBJECT_REQUEST, 128),
             "full (request): all 128 places are taken"},
        Case{"Limit", Make(KAIO_LIMIT, KAIO_SUBJECT_DEPTH, 65000 | uint64_t{65536} << 32, EAGAIN),
             "limit (depth): fs.aio-nr is 65000 and fs.aio-max-nr 65536, too little is left: "
             "Resource temporarily unavailable (errno 11)"},
        Case{"Unsupported", Make(KAIO_UNSUPPORTED, KAIO_SUBJECT_FLAGS, 0x8000),
             "unsupported (flags): bits 0x8000 are not supported here"},
        Case{"OsError", Make(KAIO_OS_ERROR, KAIO_SUBJECT_PATH, 0, ENOENT),
             "system error (path): No such file or directory (errno 2)"}),
    [](const testing::TestParamInfo<Case> &c) { return std::string(c.param.name); });

TEST(StatusTest, MessageIsCutToFitAndEnded) {
    char text[8] = "xxxxxxx";
    const kaio_status status = Make(KAIO_STALE, KAIO_SUBJECT_BUFFER);

    EXPECT_EQ(kaio_status_message(status, text, sizeof text), strlen("stale (buffer)"));

    EXPECT_STREQ(text, "stale (");
}

TEST(StatusTest, MessageWritesNothingWithoutRoom) {
    char text = 'x';
    const kaio_status status = Make(KAIO_STALE, KAIO_SUBJECT_BUFFER);
    EXPECT_EQ(kaio_status_message(status, &text, 0), strlen("stale (buffer)"));
    EXPECT_EQ(text, 'x');
    EXPECT_EQ(kaio_status_message(status, nullptr, 100), strlen("stale (buffer)"));
}

TEST(StatusTest, AnInventedStatusHasAMessageToo) {
    kaio_status status = {};
    status.code = 999;
    status.subject = 999;
    status.detail = UINT64_MAX;
    EXPECT_EQ(Message(status), "invalid (invalid subject)");
}

}  // namespace
