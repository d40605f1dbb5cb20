// A handle after its end, of another kind or made up: STALE, and nobody else is touched.

#include <fcntl.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "kaio/safe/kaio.h"
#include "kaio/safe/testing.h"
#include "tests/misuse/every_use.h"
#include "tests/support/safe_test.h"

namespace {

using namespace kaio_test;

const Request &RequestOf(Kind kind) {
    static const std::vector<Request> requests = EveryRequest();
    for (const Request &request : requests) {
        if (request.kind == kind) {
            return request;
        }
    }
    ADD_FAILURE() << "no request of this kind";
    return requests[0];
}

// One living object of every kind stands by while handles are misused.
class StaleTest : public QueueTest {
  protected:
    static constexpr uint32_t kOtherDepth = 2;

    void SetUp() override {
        QueueTest::SetUp();
        file_ = OpenFile("/dev/zero");
        content_ = Pattern(64);
        buffer_ = NewBuffer(content_);
        other_queue_ = OpenOther();
        read_ = MakeRequest(Kind::kRead, queue_, &read_buffer_);
        write_ = MakeRequest(Kind::kWrite, queue_, &write_buffer_);
        sync_ = MakeRequest(Kind::kSync, queue_);
        poll_ = MakeRequest(Kind::kPoll, queue_);
    }

    void TearDown() override {
        ExpectUntouched();
        EndRequest(Kind::kRead, read_);
        EndRequest(Kind::kWrite, write_);
        EndRequest(Kind::kSync, sync_);
        EndRequest(Kind::kPoll, poll_);
        kaio_queue_drop(&other_queue_);
        kaio_buffer_drop(&buffer_);
        EXPECT_OK(kaio_file_close(&file_));
        EXPECT_OK(kaio_queue_close(&queue_));
        QueueTest::TearDown();
    }

    void ExpectStale(const Use &use, uintptr_t bits) {
        ExpectAnswer(KAIO_STALE, use, K(use.call({queue_, file_, buffer_}, bits)));
    }

    void ExpectUntouched() {
        const kaio_queue_counts counts = Counts();
        EXPECT_EQ(counts.idle_count, 4u);
        EXPECT_EQ(counts.free_count, kDepth - 4u);
        EXPECT_EQ(BufferText(buffer_, content_.size()), content_);
        int fd = -1;
        EXPECT_OK(kaio_file_as_fd(file_, &fd));
        EXPECT_NE(fcntl(fd, F_GETFD), -1);
        ExpectAlive(Kind::kQueue, Bits(other_queue_));
    }

    // ---- objects of any kind ----

    kaio_queue *OpenOther() {
        kaio_queue_options options = {};
        options.depth = kOtherDepth;
        kaio_queue *queue = nullptr;
        EXPECT_OK(kaio_queue_open(&options, &queue));
        return queue;
    }

    uintptr_t MakeRequest(Kind kind, kaio_queue *queue, uintptr_t *out_buffer = nullptr) {
        kaio_buffer *buffer = RequestOf(kind).has_buffer() ? NewBuffer(8, 8) : nullptr;
        if (out_buffer != nullptr) {
            *out_buffer = Bits(buffer);
        }
        const uintptr_t bits = K(RequestOf(kind).make(queue, file_, &buffer));
        EXPECT_EQ(buffer, nullptr);
        return bits;
    }

    // Abandoning is proof that the request was idle, and had its buffer.
    void EndRequest(Kind kind, uintptr_t bits) {
        kaio_buffer *buffer = nullptr;
        EXPECT_OK(K(RequestOf(kind).abandon(bits, &buffer)));
        EXPECT_EQ(kaio_buffer_size(buffer), RequestOf(kind).has_buffer() ? 8u : 0u);
        kaio_buffer_drop(&buffer);
    }

    uintptr_t Make(Kind kind) {
        switch (kind) {
            case Kind::kQueue:
                return Bits(OpenOther());
            case Kind::kFile:
                return Bits(OpenFile("/dev/zero"));
            case Kind::kBuffer:
                return Bits(NewBuffer(16, 16));
            case Kind::kRead:
            case Kind::kWrite:
            case Kind::kSync:
            case Kind::kPoll:
                return MakeRequest(kind, queue_);
        }
        return 0;
    }

    void ExpectAlive(Kind kind, uintptr_t bits) {
        kaio_queue_counts counts = {};
        int fd = -1;
        switch (kind) {
            case Kind::kQueue:
                EXPECT_OK(kaio_queue_count(Handle<kaio_queue>(bits), &counts));
                EXPECT_EQ(counts.free_count, kOtherDepth);
                return;
            case Kind::kFile:
                EXPECT_OK(kaio_file_as_fd(Handle<kaio_file>(bits), &fd));
                EXPECT_NE(fcntl(fd, F_GETFD), -1);
                return;
            case Kind::kBuffer:
                EXPECT_NE(kaio_buffer_as_bytes(Handle<kaio_buffer>(bits)), nullptr);
                EXPECT_EQ(kaio_buffer_size(Handle<kaio_buffer>(bits)), 16u);
                return;
            case Kind::kRead:
            case Kind::kWrite:
            case Kind::kSync:
            case Kind::kPoll:
                return;  // End tells
        }
    }

    void End(Kind kind, uintptr_t bits) {
        kaio_queue *queue = Handle<kaio_queue>(bits);
        kaio_file *file = Handle<kaio_file>(bits);
        kaio_buffer *buffer = Handle<kaio_buffer>(bits);
        switch (kind) {
            case Kind::kQueue:
                EXPECT_OK(kaio_queue_close(&queue));
                return;
            case Kind::kFile:
                EXPECT_OK(kaio_file_close(&file));
                return;
            case Kind::kBuffer:
                kaio_buffer_drop(&buffer);
                return;
            case Kind::kRead:
            case Kind::kWrite:
            case Kind::kSync:
            case Kind::kPoll:
                EndRequest(kind, bits);
                return;
        }
    }

    uintptr_t Bystander(Kind kind) const {
        switch (kind) {
            case Kind::kQueue:
                return Bits(other_queue_);
            case Kind::kFile:
                return Bits(file_);
            case Kind::kBuffer:
                return Bits(buffer_);
            case Kind::kRead:
                return read_;
            case Kind::kWrite:
                return write_;
            case Kind::kSync:
                return sync_;
            case Kind::kPoll:
                return poll_;
        }
        return 0;
    }

    std::vector<uintptr_t> Living() const {
        return {Bits(queue_), Bits(other_queue_), Bits(file_),  Bits(buffer_), read_, write_, sync_,
                poll_,        read_buffer_,       write_buffer_};
    }

    bool IsLiving(uintptr_t bits) const {
        const std::vector<uintptr_t> living = Living();
        return std::find(living.begin(), living.end(), bits) != living.end();
    }

    kaio_file *file_ = nullptr;
    kaio_buffer *buffer_ = nullptr;
    std::string content_;
    kaio_queue *other_queue_ = nullptr;
    uintptr_t read_ = 0;
    uintptr_t write_ = 0;
    uintptr_t sync_ = 0;
    uintptr_t poll_ = 0;
    uintptr_t read_buffer_ = 0;  // what the idle requests have
    uintptr_t write_buffer_ = 0;
};

TEST_F(StaleTest, AHandleAnswersStaleAfterItsEnd) {
    for (const Use &use : EveryUse()) {
        const uintptr_t bits = Make(use.kind);
        End(use.kind, bits);

        ExpectStale(use, bits);
    }
}

TEST_F(StaleTest, AHandleAnswersStaleWhenItsPlaceHasAnotherObject) {
    for (const Use &use : EveryUse()) {
        const uintptr_t first = Make(use.kind);
        End(use.kind, first);
        const uintptr_t second = Make(use.kind);
        ASSERT_EQ(PlaceOf(first), PlaceOf(second)) << "the place was not used again";
        ASSERT_NE(first, second);

        ExpectStale(use, first);

        ExpectAlive(use.kind, second);
        End(use.kind, second);
    }
}

TEST_F(StaleTest, AHandleOfAnotherKindAnswersStale) {
    for (const Use &use : EveryUse()) {
        for (const Kind kind : {Kind::kQueue, Kind::kFile, Kind::kBuffer, Kind::kRead, Kind::kWrite,
                                Kind::kSync, Kind::kPoll}) {
            if (kind != use.kind) {
                ExpectStale(use, Bystander(kind));
            }
        }
    }
}

TEST_F(StaleTest, AHandleThatDiffersInItsKindAloneAnswersStale) {
    constexpr uintptr_t kKinds = 16;
    kaio_ticket ticket = StartRead(file_, 0, &buffer_);  // binds it to this thread
    buffer_ = WaitAndTake().buffer;
    const uintptr_t good = Bits(buffer_);
    for (uintptr_t kind = 0; kind < kKinds; ++kind) {
        const uintptr_t bits = good / kKinds * kKinds + kind;
        if (bits == good) {
            continue;
        }
        kaio_buffer *buffer = Handle<kaio_buffer>(bits);
        const kaio_status status =
            K(kaio_read_start(queue_, file_, Range(0, 8), kaio_rw_none(), 0, &buffer, &ticket));
        EXPECT_CODE(KAIO_STALE, status) << kind;
        EXPECT_EQ(status.subject, KAIO_SUBJECT_BUFFER) << kind;
    }
    const uint8_t *bytes = kaio_buffer_as_bytes(buffer_);
    ASSERT_NE(bytes, nullptr);
    content_.assign(bytes, bytes + content_.size());
}

TEST_F(StaleTest, RandomBitsAnswerStale) {
    for (const Use &use : EveryUse()) {
        std::mt19937_64 random(1);
        for (int i = 0; i < 100000 && !HasFailure(); ++i) {
            const uintptr_t bits = static_cast<uintptr_t>(random());
            ExpectAnswer(KAIO_STALE, use, use.call({queue_, file_, buffer_}, bits));
        }
        ExpectBooks();
    }
}

TEST_F(StaleTest, SmallNumbersAndRunsOfOnesAnswerStale) {
    for (const Use &use : EveryUse()) {
        for (uintptr_t bits = 1; bits <= 4096; ++bits) {
            ExpectStale(use, bits);
        }
        for (unsigned shift = 0; shift < 8 * sizeof(uintptr_t); ++shift) {
            ExpectStale(use, ~uintptr_t(0) << shift);
            ExpectStale(use, ~uintptr_t(0) >> shift);
            ExpectStale(use, uintptr_t(1) << shift);
        }
    }
}

TEST_F(StaleTest, TheLivesBesideALivingOneAnswerStale) {
    for (const Use &use : EveryUse()) {
        const uintptr_t bits = Bystander(use.kind);
        for (uintptr_t distance = 1; distance <= 64; ++distance) {
            ExpectStale(use, bits + (distance << kLifeShift));
            ExpectStale(use, bits - (distance << kLifeShift));
        }
        ExpectStale(use, bits | (~uintptr_t(0) << kLifeShift));
    }
}

TEST_F(StaleTest, ALivingHandleWithAnotherKindsBitsAnswersStale) {
    for (const Use &use : EveryUse()) {
        for (const uintptr_t bits : Living()) {
            for (uintptr_t kind = 0; kind < 1u << kKindBits; ++kind) {
                const uintptr_t changed = (bits & ~uintptr_t(15)) | kind;
                if (!IsLiving(changed)) {
                    ExpectStale(use, changed);
                }
            }
        }
    }
}

TEST_F(StaleTest, APlaceThatNeverWasAnswersStale) {
    const uintptr_t places = (uintptr_t(1) << kLifeShift) - (uintptr_t(1) << kKindBits);
    for (const Use &use : EveryUse()) {
        ExpectStale(use, Bystander(use.kind) | places);
        ExpectStale(use, Bystander(use.kind) & ~places);
    }
}

TEST_F(StaleTest, ARequestAnswersStaleAfterItsQueuesEnd) {
    for (const Use &use : UsesOfRequests()) {
        kaio_queue *ended = OpenOther();
        const uintptr_t bits = MakeRequest(use.kind, ended);
        kaio_queue_drop(&ended);

        ExpectStale(use, bits);
    }
}

TEST_F(StaleTest, ARequestAnswersStaleWhenItsSlotIsInAnotherQueue) {
    for (const Use &use : UsesOfRequests()) {
        kaio_queue *ended = OpenOther();
        const uintptr_t first = MakeRequest(use.kind, ended);
        kaio_queue_drop(&ended);
        kaio_queue *later = OpenOther();
        const uintptr_t second = MakeRequest(use.kind, later);
        ASSERT_EQ(PlaceOf(first), PlaceOf(second)) << "the slot was not used again";

        ExpectStale(use, first);

        EndRequest(use.kind, second);
        EXPECT_OK(kaio_queue_close(&later));
    }
}

// ---- aliases of one request ----

class AliasTest : public QueueTest, public testing::WithParamInterface<Request> {
  protected:
    void SetUp() override {
        QueueTest::SetUp();
        file_ = OpenFile(content_.path());
    }

    void TearDown() override {
        kaio_file_drop(&file_);
        EXPECT_OK(kaio_queue_close(&queue_));
        QueueTest::TearDown();
    }

    uintptr_t Make() {
        kaio_buffer *buffer = GetParam().has_buffer() ? NewBuffer("the byte", 8) : nullptr;
        return K(GetParam().make(queue_, file_, &buffer));
    }

    uint64_t Push(uintptr_t bits, uint64_t user) {
        return K(GetParam().push(bits, user));
    }

    void ExpectAbandonStale(uintptr_t bits) {
        Output<kaio_buffer *> buffer;
        EXPECT_CODE(KAIO_STALE, buffer.Judge(K(GetParam().abandon(bits, buffer.at()))));
    }

    // Exactly one request ends, the one that was pushed with `user`.
    void ExpectOne(uint64_t user) {
        kaio_completion completion = WaitAndTake();
        EXPECT_EQ(completion.user, user);
        EXPECT_OK(completion.refusal);
        EXPECT_EQ(completion.os_error, 0);
        EXPECT_EQ(completion.buffer != nullptr, GetParam().has_buffer());
        kaio_completion_drop(&completion);
        ExpectEmpty();
        EXPECT_EQ(Counts().free_count, kDepth);
    }

    TempFile content_{"content of a file"};
    kaio_file *file_ = nullptr;
};

TEST_P(AliasTest, ASecondPushAnswersTicketZeroAndOneOutcomeComes) {
    const uintptr_t bits = Make();
    EXPECT_NE(Push(bits, 1), 0u);

    EXPECT_EQ(Push(bits, 2), 0u);

    EXPECT_EQ(Counts().staged_count, 1u);
    ExpectOne(1);
}

TEST_P(AliasTest, APushWhileFinishedOrAfterTheTakeAnswersTicketZero) {
    const uintptr_t bits = Make();
    EXPECT_NE(Push(bits, 1), 0u);
    EXPECT_EQ(Wait(1), 1u);

    EXPECT_EQ(Push(bits, 2), 0u);
    ExpectOne(1);
    EXPECT_EQ(Push(bits, 3), 0u);

    ExpectEmpty();
}

TEST_P(AliasTest, AbandonAfterPushAnswersStale) {
    const uintptr_t bits = Make();
    EXPECT_NE(Push(bits, 1), 0u);

    ExpectAbandonStale(bits);
    EXPECT_EQ(Wait(1), 1u);
    ExpectAbandonStale(bits);

    ExpectOne(1);
    ExpectAbandonStale(bits);
}

TEST_P(AliasTest, DropAfterPushChangesNothing) {
    const uintptr_t bits = Make();
    EXPECT_NE(Push(bits, 1), 0u);

    GetParam().drop(bits);
    ExpectBooks();
    EXPECT_EQ(Counts().staged_count, 1u);
    EXPECT_EQ(Wait(1), 1u);
    GetParam().drop(bits);
    ExpectBooks();

    ExpectOne(1);
}

TEST_P(AliasTest, PushAfterAbandonAnswersTicketZero) {
    const uintptr_t bits = Make();
    kaio_buffer *buffer = nullptr;
    EXPECT_OK(K(GetParam().abandon(bits, &buffer)));

    EXPECT_EQ(Push(bits, 1), 0u);
    ExpectAbandonStale(bits);

    EXPECT_EQ(Counts().free_count, kDepth);
    kaio_buffer_drop(&buffer);
}

TEST_P(AliasTest, PushAfterDropAnswersTicketZero) {
    const uintptr_t bits = Make();
    GetParam().drop(bits);
    ExpectBooks();

    EXPECT_EQ(Push(bits, 1), 0u);
    GetParam().drop(bits);

    EXPECT_EQ(Counts().free_count, kDepth);
}

TEST_P(AliasTest, TheNextRequestInTheSlotIsNotTheAliass) {
    const uintptr_t first = Make();
    GetParam().drop(first);
    const uintptr_t second = Make();
    ASSERT_EQ(PlaceOf(first), PlaceOf(second));

    EXPECT_EQ(Push(first, 1), 0u);
    ExpectAbandonStale(first);
    GetParam().drop(first);
    EXPECT_EQ(Counts().idle_count, 1u);

    EXPECT_NE(Push(second, 2), 0u);
    ExpectOne(2);
}

TEST_P(AliasTest, TheFirstLifesHandleIsStaleInThousandsOfLives) {
    const uintptr_t first = Make();
    GetParam().drop(first);
    for (int life = 1; life < 5000 && !HasFailure(); ++life) {
        const uintptr_t bits = Make();
        ASSERT_EQ(PlaceOf(first), PlaceOf(bits));

        EXPECT_EQ(Push(first, 1), 0u);
        ExpectAbandonStale(first);
        GetParam().drop(first);

        EXPECT_EQ(Counts().idle_count, 1u);
        GetParam().drop(bits);
    }
}

// Slots begin anew, places of tables do not: their handles are kept for longer.
TEST_F(StaleTest, APlaceWhoseLivesAreSpentIsNeverGivenOutAgain) {
    constexpr int kAhead = 3;
    for (const Kind kind : {Kind::kQueue, Kind::kFile, Kind::kBuffer}) {
        SCOPED_TRACE(SubjectOf(kind));
        const uintptr_t first = Make(kind);
        End(kind, first);
        ASSERT_TRUE(kaio_testing_age_place(first, kAhead));

        std::set<uintptr_t> before = {first};
        int there_count = 0;
        for (int life = 0; life < 4 * kAhead; ++life) {
            const uintptr_t bits = Make(kind);
            EXPECT_TRUE(before.insert(bits).second) << "a handle came twice";
            there_count += PlaceOf(bits) == PlaceOf(first);
            ExpectAlive(kind, bits);
            End(kind, bits);
        }
        EXPECT_EQ(there_count, kAhead + 1);
        for (const Use &use : EveryUse()) {
            for (const uintptr_t old : before) {
                if (use.kind == kind) {
                    ExpectStale(use, old);
                }
            }
        }
    }
}

TEST_P(AliasTest, LivesGoOnPastTheLastOne) {
    constexpr int kAhead = 5;
    EXPECT_EQ(kaio_testing_age_slots(queue_, kAhead), kDepth);
    std::set<uintptr_t> before;
    for (int life = 0; life < 4 * kAhead && !HasFailure(); ++life) {
        const uintptr_t bits = Make();
        EXPECT_NE(bits, 0u);
        EXPECT_TRUE(before.insert(bits).second) << "a handle came twice";
        for (const uintptr_t old : before) {
            if (old != bits) {
                EXPECT_EQ(Push(old, 99), 0u);
                ExpectAbandonStale(old);
            }
        }

        EXPECT_NE(Push(bits, static_cast<uint64_t>(life)), 0u);
        ExpectOne(static_cast<uint64_t>(life));
    }
}

// Behind the last life comes the first again, and its handle names the request of then: what
// handle.h says, and no crash.
TEST_P(AliasTest, TheFirstLifesHandleIsStaleUntilTheLivesAreSpent) {
    constexpr int kAhead = 5;
    constexpr int kLimit = 1 << 17;  // this place may have had many lives before the test's first
    const uintptr_t first = Make();
    GetParam().drop(first);
    EXPECT_EQ(kaio_testing_age_slots(queue_, kAhead), kDepth);
    uintptr_t bits = Make();
    int life = 0;
    for (; bits != first && life < kLimit && !HasFailure(); ++life) {
        ASSERT_EQ(PlaceOf(first), PlaceOf(bits));
        EXPECT_EQ(Push(first, 1), 0u);
        ExpectAbandonStale(first);
        GetParam().drop(first);
        EXPECT_EQ(Counts().idle_count, 1u);
        GetParam().drop(bits);
        bits = Make();
    }
    EXPECT_GE(life, kAhead);
    ASSERT_EQ(bits, first) << "the lives did not begin anew";

    EXPECT_NE(Push(first, 7), 0u);
    ExpectOne(7);
    EXPECT_EQ(Push(first, 8), 0u);
}

INSTANTIATE_TEST_SUITE_P(Every, AliasTest, testing::ValuesIn(EveryRequest()), RequestName);

TEST_F(QueueTest, ATicketIsNeverZeroAndNeverTheSame) {
    kaio_file *file = OpenFile("/dev/zero");
    kaio_buffer *buffer = NewBuffer(8, 8);
    std::set<uint64_t> tickets;
    for (int i = 0; i < 1000; ++i) {
        const kaio_ticket ticket = StartRead(file, 0, &buffer);
        EXPECT_TRUE(ticket.bits != 0 && tickets.insert(ticket.bits).second);
        const kaio_completion completion = WaitAndTake();
        EXPECT_EQ(completion.ticket.bits, ticket.bits);
        buffer = completion.buffer;
    }
    kaio_buffer_drop(&buffer);
    EXPECT_OK(kaio_file_close(&file));
}

}  // namespace
