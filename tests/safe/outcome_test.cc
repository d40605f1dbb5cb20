#include "kaio/safe/outcome.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <set>
#include <string>

namespace {

kaio_ending Ending(kaio_operation operation, int64_t result, uint64_t asked_bytes) {
    kaio_ending ending = {};
    ending.operation = operation;
    ending.kernel_result = result;
    ending.asked_bytes = asked_bytes;
    return ending;
}

kaio_ending Refused(kaio_operation operation, int error) {
    kaio_ending ending = Ending(operation, -error, 512);
    ending.was_refused = true;
    return ending;
}

kaio_ending Cancelled(kaio_operation operation, int64_t result) {
    kaio_ending ending = Ending(operation, result, 512);
    ending.was_cancelled = true;
    return ending;
}

kaio_ending Preceded() {
    kaio_ending ending = Ending(KAIO_SYNC, 0, 0);
    ending.was_preceded = true;
    return ending;
}

kaio_ending Poll(int64_t result, uint16_t asked_bits) {
    kaio_ending ending = Ending(KAIO_POLL, result, 0);
    ending.asked_events.bits = asked_bits;
    return ending;
}

struct Case {
    const char *name;
    kaio_ending ending;
    kaio_transfer_outcome transfer;
    kaio_sync_outcome sync;
    int32_t os_error;
    uint64_t moved_bytes;
};

constexpr kaio_transfer_outcome kNoTransfer = KAIO_TRANSFER_PENDING;
constexpr kaio_sync_outcome kNoSync = KAIO_SYNC_PENDING;

class VerdictTest : public testing::TestWithParam<Case> {};

TEST_P(VerdictTest, ClassifiesAnEnding) {
    const Case &c = GetParam();

    const kaio_verdict verdict = kaio_verdict_from_ending(c.ending);

    EXPECT_EQ(verdict.transfer, c.transfer) << kaio_transfer_outcome_name(verdict.transfer);
    EXPECT_EQ(verdict.sync, c.sync) << kaio_sync_outcome_name(verdict.sync);
    EXPECT_EQ(verdict.os_error, c.os_error);
    EXPECT_EQ(verdict.moved_bytes, c.moved_bytes);
    EXPECT_EQ(verdict.met_end, c.transfer == KAIO_TRANSFER_END);
}

INSTANTIATE_TEST_SUITE_P(
    All, VerdictTest,
    testing::Values(
        Case{"EveryByte", Ending(KAIO_READ, 512, 512), KAIO_TRANSFER_FULL, kNoSync, 0, 512},
        Case{"OneByteLess", Ending(KAIO_READ, 511, 512), KAIO_TRANSFER_SHORT, kNoSync, 0, 511},
        Case{"ReadOfNothing", Ending(KAIO_READ, 0, 512), KAIO_TRANSFER_END, kNoSync, 0, 0},
        Case{"WriteOfNothing", Ending(KAIO_WRITE, 0, 512), KAIO_TRANSFER_SHORT, kNoSync, 0, 0},
        Case{"NothingAsked", Ending(KAIO_READ, 0, 0), KAIO_TRANSFER_FULL, kNoSync, 0, 0},
        Case{"WouldBlock", Ending(KAIO_READ, -EAGAIN, 512), KAIO_TRANSFER_WOULD_BLOCK, kNoSync,
             EAGAIN, 0},
        Case{"KernelCancelled", Ending(KAIO_READ, -ECANCELED, 512), KAIO_TRANSFER_CANCELLED,
             kNoSync, 0, 0},
        Case{"Failed", Ending(KAIO_WRITE, -EIO, 512), KAIO_TRANSFER_FAILED, kNoSync, EIO, 0},
        Case{"Refused", Refused(KAIO_WRITE, EBADF), KAIO_TRANSFER_REFUSED, kNoSync, EBADF, 0},
        Case{"RefusedForNoErrno", Refused(KAIO_READ, 0), KAIO_TRANSFER_REFUSED, kNoSync, 0, 0},
        Case{"CancelledAndInterrupted", Cancelled(KAIO_READ, -EINTR), KAIO_TRANSFER_CANCELLED,
             kNoSync, 0, 0},
        Case{"CancelledAndFailed", Cancelled(KAIO_WRITE, -EIO), KAIO_TRANSFER_FAILED, kNoSync, EIO,
             0},
        Case{"Unsent", Cancelled(KAIO_READ, 0), KAIO_TRANSFER_CANCELLED, kNoSync, 0, 0},
        Case{"CancelledTooLate", Cancelled(KAIO_READ, 512), KAIO_TRANSFER_FULL, kNoSync, 0, 512},
        Case{"Synced", Ending(KAIO_SYNC, 0, 0), kNoTransfer, KAIO_SYNC_SYNCED, 0, 0},
        Case{"SyncFailed", Ending(KAIO_SYNC, -EIO, 0), kNoTransfer, KAIO_SYNC_FAILED, EIO, 0},
        Case{"SyncRefused", Refused(KAIO_SYNC, EINVAL), kNoTransfer, KAIO_SYNC_REFUSED, EINVAL, 0},
        Case{"SyncCancelled", Cancelled(KAIO_SYNC, 0), kNoTransfer, KAIO_SYNC_CANCELLED, 0, 0},
        Case{"SyncCancelledTooLate", Cancelled(KAIO_SYNC, -EIO), kNoTransfer, KAIO_SYNC_FAILED, EIO,
             0},
        Case{"SyncPreceded", Preceded(), kNoTransfer, KAIO_SYNC_PRECEDED_BY_FAILURE, 0, 0},
        Case{"NoErrnoAtAll", Ending(KAIO_READ, INT64_MIN, 512), KAIO_TRANSFER_FAILED, kNoSync,
             INT32_MAX, 0},
        Case{"NoOperation", Ending(KAIO_NO_OPERATION, 512, 512), kNoTransfer, kNoSync, 0, 0}),
    [](const testing::TestParamInfo<Case> &c) { return std::string(c.param.name); });

struct PollCase {
    const char *name;
    kaio_ending ending;
    kaio_poll_outcome poll;
    uint16_t events;
    int32_t os_error;
};

class PollVerdictTest : public testing::TestWithParam<PollCase> {};

TEST_P(PollVerdictTest, ClassifiesAnEnding) {
    const PollCase &c = GetParam();

    const kaio_verdict verdict = kaio_verdict_from_ending(c.ending);

    EXPECT_EQ(verdict.poll, c.poll) << kaio_poll_outcome_name(verdict.poll);
    EXPECT_EQ(verdict.events.bits, c.events);
    EXPECT_EQ(verdict.os_error, c.os_error);
    EXPECT_EQ(verdict.transfer, kNoTransfer);
    EXPECT_EQ(verdict.sync, kNoSync);
    EXPECT_EQ(verdict.moved_bytes, 0u);
}

INSTANTIATE_TEST_SUITE_P(
    All, PollVerdictTest,
    testing::Values(
        PollCase{"WhatWasAskedFor", Poll(POLLIN | POLLOUT, POLLIN), KAIO_POLL_READY, POLLIN, 0},
        PollCase{"ErrorsAreAlwaysTold", Poll(POLLIN | POLLERR | POLLHUP | POLLNVAL, 0),
                 KAIO_POLL_READY, POLLERR | POLLHUP | POLLNVAL, 0},
        PollCase{"NothingOfWhatWasAskedFor", Poll(POLLOUT, POLLIN), KAIO_POLL_READY, 0, 0},
        PollCase{"BitsBehindThe16", Poll(0x10000 | POLLIN, POLLIN), KAIO_POLL_READY, POLLIN, 0},
        PollCase{"Cancelled", Cancelled(KAIO_POLL, 0), KAIO_POLL_CANCELLED, 0, 0},
        PollCase{"KernelCancelled", Poll(-ECANCELED, POLLIN), KAIO_POLL_CANCELLED, 0, 0},
        PollCase{"CancelledTooLate", Cancelled(KAIO_POLL, POLLHUP), KAIO_POLL_READY, POLLHUP, 0},
        PollCase{"Refused", Refused(KAIO_POLL, EINVAL), KAIO_POLL_REFUSED, 0, EINVAL},
        PollCase{"Failed", Poll(-EIO, POLLIN), KAIO_POLL_FAILED, 0, EIO}),
    [](const testing::TestParamInfo<PollCase> &c) { return std::string(c.param.name); });

TEST(OutcomeTest, ZeroedOutcomesArePending) {
    const kaio_verdict verdict = {};
    EXPECT_EQ(verdict.poll, KAIO_POLL_PENDING);
    EXPECT_EQ(verdict.transfer, KAIO_TRANSFER_PENDING);
    EXPECT_EQ(verdict.sync, KAIO_SYNC_PENDING);
}

TEST(OutcomeTest, EveryOutcomeHasItsOwnName) {
    std::set<std::string> transfers;
    for (int i = KAIO_TRANSFER_PENDING; i <= KAIO_TRANSFER_FAILED; ++i) {
        transfers.insert(kaio_transfer_outcome_name(static_cast<kaio_transfer_outcome>(i)));
    }
    EXPECT_EQ(transfers.size(), 8u);
    EXPECT_EQ(transfers.count("invalid"), 0u);
    std::set<std::string> syncs;
    for (int i = KAIO_SYNC_PENDING; i <= KAIO_SYNC_FAILED; ++i) {
        syncs.insert(kaio_sync_outcome_name(static_cast<kaio_sync_outcome>(i)));
    }
    EXPECT_EQ(syncs.size(), 6u);
    EXPECT_EQ(syncs.count("invalid"), 0u);
    std::set<std::string> polls;
    for (int i = KAIO_POLL_PENDING; i <= KAIO_POLL_FAILED; ++i) {
        polls.insert(kaio_poll_outcome_name(static_cast<kaio_poll_outcome>(i)));
    }
    EXPECT_EQ(polls.size(), 5u);
    EXPECT_EQ(polls.count("invalid"), 0u);
}

TEST(OutcomeTest, OperationsHaveNames) {
    EXPECT_STREQ(kaio_operation_name(KAIO_READ), "read");
    EXPECT_STREQ(kaio_operation_name(KAIO_WRITE), "write");
    EXPECT_STREQ(kaio_operation_name(KAIO_SYNC), "sync");
    EXPECT_STREQ(kaio_operation_name(KAIO_POLL), "poll");
    EXPECT_STREQ(kaio_operation_name(KAIO_NO_OPERATION), "no operation");
}

}  // namespace
