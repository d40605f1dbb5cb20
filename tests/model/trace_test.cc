// The simulated kernel is held to the real one: what is recorded at the door of the real kernel,
// calls by value, answers and events, is replayed at the simulated one's. Recorded when the test
// runs, so that it holds on every kernel. Events are compared as sets: the kernel promises no
// order.

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "kaio/raw/kaio_raw.h"
#include "kaio/safe/sim/sim.h"
#include "tests/model/choices.h"

extern "C" {
long kaio_sim_setup(unsigned nr_events, kaio_raw_context *out_ctx);
long kaio_sim_destroy(kaio_raw_context ctx);
long kaio_sim_submit(kaio_raw_context ctx, long nr, struct kaio_raw_iocb **iocbs);
long kaio_sim_cancel(kaio_raw_context ctx, struct kaio_raw_iocb *iocb,
                     struct kaio_raw_event *result);
long kaio_sim_getevents(kaio_raw_context ctx, long min_nr, long nr,
                        struct kaio_raw_event *out_events, struct kaio_raw_old_timespec *timeout);
}

namespace kaio_model {
namespace {

struct Door {
    long (*setup)(unsigned, kaio_raw_context *);
    long (*destroy)(kaio_raw_context);
    long (*submit)(kaio_raw_context, long, struct kaio_raw_iocb **);
    long (*cancel)(kaio_raw_context, struct kaio_raw_iocb *, struct kaio_raw_event *);
    long (*getevents)(kaio_raw_context, long, long, struct kaio_raw_event *,
                      struct kaio_raw_old_timespec *);
};
const Door kReal = {kaio_raw_setup, kaio_raw_destroy, kaio_raw_submit, kaio_raw_cancel,
                    kaio_raw_getevents};
const Door kSim = {kaio_sim_setup, kaio_sim_destroy, kaio_sim_submit, kaio_sim_cancel,
                   kaio_sim_getevents};

constexpr unsigned kDepth = 8;
constexpr size_t kFileBytes = 10000;
constexpr size_t kArenaBytes = 65536;
alignas(4096) uint8_t arena[kArenaBytes];

// One thing that was done at the door, and what it answered, as text.
struct Step {
    enum Kind { kSubmit, kCancel, kEvents, kOutside } kind;
    std::vector<kaio_raw_iocb> iocbs;  // of a submit
    size_t cancelled = 0;              // which of all that was submitted
    long wanted_count = 0;             // events to wait for
    std::function<void()> outside;
    std::string answer;
};

class TraceTest : public testing::Test {
  protected:
    void SetUp() override {
        const char *folder = getenv("TEST_TMPDIR");
        path_ = std::string(folder != nullptr ? folder : "/tmp") + "/kaio_trace_XXXXXX";
        rw_ = mkostemp(path_.data(), O_CLOEXEC);
        ro_ = open(path_.c_str(), O_RDONLY | O_CLOEXEC);
        wo_ = open(path_.c_str(), O_WRONLY | O_CLOEXEC);
        direct_ = open(path_.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC);
        ASSERT_EQ(pipe2(pipe_, O_CLOEXEC), 0);
        ASSERT_EQ(pipe2(nonblocking_, O_CLOEXEC | O_NONBLOCK), 0);
        closed_ = 1000;
        close(closed_);
    }

    void TearDown() override {
        for (const int fd :
             {rw_, ro_, wo_, direct_, pipe_[0], pipe_[1], nonblocking_[0], nonblocking_[1]}) {
            close(fd);
        }
        unlink(path_.c_str());
    }

    // Prepare makes files, pipes and memory what they are when a run begins.
    void Prepare() {
        std::string bytes(kFileBytes, 'a');
        for (size_t i = 0; i < bytes.size(); ++i) {
            bytes[i] = static_cast<char>(i * 7 + i / 256);
        }
        ASSERT_EQ(ftruncate(rw_, 0), 0);
        ASSERT_EQ(pwrite(rw_, bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
        memset(arena, 'm', sizeof arena);
        Empty(pipe_[0]);
        Empty(nonblocking_[0]);
    }

    static void Empty(int fd) {
        char bytes[4096];
        pollfd ready = {fd, POLLIN, 0};
        while (poll(&ready, 1, 0) == 1 && read(fd, bytes, sizeof bytes) > 0) {
        }
    }

    // ---- what a scenario is made of ----

    static kaio_raw_iocb Io(uint16_t opcode, int fd, size_t at, size_t size, int64_t offset,
                            int32_t rw_flags = 0) {
        kaio_raw_iocb iocb = {};
        iocb.aio_lio_opcode = opcode;
        iocb.aio_fildes = static_cast<uint32_t>(fd);
        iocb.aio_buf = reinterpret_cast<uintptr_t>(arena + at);
        iocb.aio_nbytes = size;
        iocb.aio_offset = offset;
        iocb.aio_rw_flags = rw_flags;
        return iocb;
    }
    static kaio_raw_iocb Plain(uint16_t opcode, int fd, uint64_t events = 0) {
        kaio_raw_iocb iocb = {};
        iocb.aio_lio_opcode = opcode;
        iocb.aio_fildes = static_cast<uint32_t>(fd);
        iocb.aio_buf = events;
        return iocb;
    }

    void Submit(std::vector<kaio_raw_iocb> iocbs) {
        Step step = {Step::kSubmit, std::move(iocbs), 0, 0, nullptr, ""};
        for (kaio_raw_iocb &iocb : step.iocbs) {
            iocb.aio_data = ++data_;
        }
        steps_.push_back(std::move(step));
    }
    void Cancel(size_t which) {
        steps_.push_back({Step::kCancel, {}, which, 0, nullptr, ""});
    }
    // Events takes all events of what was accepted, for which it waits, or `wanted_count` less.
    void Events(long missing_count = 0) {
        steps_.push_back({Step::kEvents, {}, 0, missing_count, nullptr, ""});
    }
    void Outside(std::function<void()> outside) {
        steps_.push_back({Step::kOutside, {}, 0, 0, std::move(outside), ""});
    }

    // ---- record and replay ----

    static std::string Show(std::vector<kaio_raw_event> events) {
        std::sort(events.begin(), events.end(),
                  [](const auto &a, const auto &b) { return a.data < b.data; });
        std::string text;
        for (const kaio_raw_event &event : events) {
            text += " " + std::to_string(event.data) + ":" + std::to_string(event.res);
        }
        size_t hash = std::hash<std::string_view>()(
            std::string_view(reinterpret_cast<char *>(arena), sizeof arena));
        return text + " memory " + std::to_string(hash);
    }

    // Perform makes the calls and returns what each answered.
    std::vector<std::string> Perform(const Door &door) {
        Prepare();
        std::vector<std::string> answers;
        kaio_raw_context ctx = 0;
        answers.push_back("setup " + std::to_string(door.setup(kDepth, &ctx)));
        std::deque<kaio_raw_iocb> kept;  // their addresses name them
        long owed = 0;
        for (const Step &step : steps_) {
            switch (step.kind) {
                case Step::kSubmit: {
                    std::vector<kaio_raw_iocb *> list;
                    for (const kaio_raw_iocb &iocb : step.iocbs) {
                        kept.push_back(iocb);
                        list.push_back(&kept.back());
                    }
                    const long answer =
                        door.submit(ctx, static_cast<long>(list.size()), list.data());
                    owed += std::max(answer, 0L);
                    answers.push_back("submit " + std::to_string(answer));
                    break;
                }
                case Step::kCancel: {
                    kaio_raw_event event = {};
                    answers.push_back("cancel " + std::to_string(door.cancel(
                                                      ctx, &kept[step.cancelled], &event)));
                    break;
                }
                case Step::kEvents: {
                    std::vector<kaio_raw_event> events(64);
                    const long wanted = owed - step.wanted_count;
                    kaio_raw_old_timespec timeout = {10, 0};
                    const long count = door.getevents(ctx, wanted, 64, events.data(), &timeout);
                    owed -= std::max(count, 0L);
                    events.resize(static_cast<size_t>(std::max(count, 0L)));
                    answers.push_back("events " + std::to_string(count) + Show(events));
                    break;
                }
                case Step::kOutside:
                    step.outside();
            }
        }
        answers.push_back("destroy " + std::to_string(door.destroy(ctx)));
        std::string content(2 * kArenaBytes, '\0');
        content.resize(static_cast<size_t>(
            std::max<ssize_t>(pread(rw_, content.data(), content.size(), 0), 0)));
        answers.push_back("file " + std::to_string(content.size()) + " " +
                          std::to_string(std::hash<std::string>()(content)));
        return answers;
    }

    void ExpectSameOnBoth() {
        const kaio_sim_script none = {};
        kaio_sim_play(&none);
        const std::vector<std::string> recorded = Perform(kReal);
        const std::vector<std::string> replayed = Perform(kSim);
        ASSERT_EQ(recorded.size(), replayed.size());
        for (size_t i = 0; i < recorded.size(); ++i) {
            EXPECT_EQ(recorded[i], replayed[i]) << "step " << i << " " << Describe(i);
        }
        EXPECT_GT(recorded.size(), 3u);
        steps_.clear();
    }

    // Describe shows what the answer `index` is about.
    std::string Describe(size_t index) const {
        size_t n = 1;
        for (const Step &step : steps_) {
            if (step.kind == Step::kOutside) {
                continue;
            }
            if (n++ == index && step.kind == Step::kSubmit) {
                std::string text;
                for (const kaio_raw_iocb &iocb : step.iocbs) {
                    text += " [op " + std::to_string(iocb.aio_lio_opcode) + " fd " +
                            std::to_string(iocb.aio_fildes) + " size " +
                            std::to_string(iocb.aio_nbytes) + " offset " +
                            std::to_string(iocb.aio_offset) + " flags " +
                            std::to_string(iocb.aio_rw_flags) + "]";
                }
                return text;
            }
        }
        return "";
    }

    std::string path_;
    int rw_ = -1, ro_ = -1, wo_ = -1, direct_ = -1, closed_ = -1;
    int pipe_[2] = {-1, -1};
    int nonblocking_[2] = {-1, -1};
    uint64_t data_ = 0;
    std::vector<Step> steps_;
};

constexpr uint16_t kRead = KAIO_RAW_CMD_PREAD;
constexpr uint16_t kWrite = KAIO_RAW_CMD_PWRITE;
constexpr uint16_t kFsync = KAIO_RAW_CMD_FSYNC;
constexpr uint16_t kFdsync = KAIO_RAW_CMD_FDSYNC;
constexpr uint16_t kPoll = KAIO_RAW_CMD_POLL;

TEST_F(TraceTest, ReadsAreFullShortOrEnd) {
    Submit({Io(kRead, rw_, 0, 4096, 0), Io(kRead, ro_, 4096, 4096, 9990),
            Io(kRead, rw_, 8192, 100, 10000), Io(kRead, rw_, 8192, 0, 5)});
    Events();
    ExpectSameOnBoth();
}

TEST_F(TraceTest, WritesLandAndExtend) {
    Submit({Io(kWrite, rw_, 0, 100, 50)});
    Events();
    Submit({Io(kWrite, wo_, 0, 100, 12000)});
    Events();
    Submit({Io(kWrite, rw_, 0, 10, 0, KAIO_RAW_RWF_APPEND)});
    Events();
    Submit({Io(kRead, rw_, 1000, 20000, 0)});
    Events();
    ExpectSameOnBoth();
}

TEST_F(TraceTest, ABadEntryEndsTheBatchBeforeIt) {
    const kaio_raw_iocb good = Io(kRead, rw_, 0, 512, 0);
    const kaio_raw_iocb bad = Io(kRead, closed_, 0, 512, 0);
    Submit({good, bad, good});
    Submit({bad, good});
    Submit({good});
    Events();
    ExpectSameOnBoth();
}

TEST_F(TraceTest, TheModeOfTheFileIsCheckedAtSubmit) {
    Submit({Io(kWrite, ro_, 0, 512, 0)});
    Submit({Io(kRead, wo_, 0, 512, 0)});
    Submit({Io(kWrite, pipe_[0], 0, 1, 0)});
    ExpectSameOnBoth();
}

TEST_F(TraceTest, Syncs) {
    Submit({Plain(kFsync, rw_), Plain(kFdsync, ro_)});
    Events();
    kaio_raw_iocb with_size = Plain(kFsync, rw_);
    with_size.aio_nbytes = 1;
    kaio_raw_iocb with_offset = Plain(kFdsync, rw_);
    with_offset.aio_offset = 1;
    kaio_raw_iocb with_flags = Plain(kFsync, rw_);
    with_flags.aio_rw_flags = KAIO_RAW_RWF_DSYNC;
    Submit({with_size});
    Submit({with_offset});
    Submit({with_flags});
    Submit({Plain(kFsync, pipe_[0])});
    Submit({Plain(kFdsync, closed_)});
    ExpectSameOnBoth();
}

TEST_F(TraceTest, PollsWaitAndAreCancelled) {
    Submit({Plain(kPoll, pipe_[0], POLLIN), Plain(kPoll, pipe_[1], POLLOUT)});
    Events(1);
    Outside([this] { EXPECT_EQ(write(pipe_[1], "x", 1), 1); });
    Events();
    Submit({Plain(kPoll, nonblocking_[0], POLLIN)});
    Cancel(2);
    Events();
    Cancel(2);
    Cancel(0);
    Submit({Plain(kPoll, rw_, POLLIN)});
    Events();
    Submit({Plain(kPoll, rw_, POLLPRI)});
    Submit({Plain(kPoll, pipe_[0], 0x10000)});
    kaio_raw_iocb with_size = Plain(kPoll, pipe_[0], POLLIN);
    with_size.aio_nbytes = 1;
    Submit({with_size});
    ExpectSameOnBoth();
}

TEST_F(TraceTest, EachFlagOnEachKindOfFile) {
    for (int32_t flag = 1; flag <= 0x200; flag <<= 1) {
        for (const int fd : {rw_, nonblocking_[0]}) {
            Submit({Io(kRead, fd, 0, 512, 0, flag)});
            Events();
        }
        for (const int fd : {rw_, nonblocking_[1]}) {
            Submit({Io(kWrite, fd, 4096, 16, 0, flag)});
            Events();
        }
    }
    Submit({Io(kWrite, rw_, 0, 512, 0, KAIO_RAW_RWF_APPEND | KAIO_RAW_RWF_NOAPPEND)});
    ExpectSameOnBoth();
}

TEST_F(TraceTest, PipesMoveWhatIsThereOrWouldBlock) {
    Submit({Io(kRead, nonblocking_[0], 0, 10, 0)});
    Events();
    Submit({Io(kWrite, nonblocking_[1], 0, 100, 0)});
    Events();
    Submit({Io(kRead, nonblocking_[0], 4096, 60, 0)});
    Events();
    Submit({Io(kRead, pipe_[0], 0, 10, 0, KAIO_RAW_RWF_NOWAIT)});
    Events();
    Submit({Io(kRead, nonblocking_[0], 4096, 60, 777)});
    Events();
    ExpectSameOnBoth();
}

TEST_F(TraceTest, WhatNoKernelDoes) {
    Submit({Io(9, rw_, 0, 512, 0)});
    Submit({Io(4, rw_, 0, 512, 0)});
    Submit({Io(kRead, rw_, 0, 512, -1)});
    Submit({});
    kaio_raw_iocb nowhere = Io(kRead, rw_, 0, 512, 0);
    nowhere.aio_buf = 8;
    Submit({nowhere});
    Events();
    ExpectSameOnBoth();
}

TEST_F(TraceTest, MisalignedDirectTransfersFailInTheirEvents) {
    if (direct_ < 0) {
        GTEST_SKIP() << "no O_DIRECT on " << path_;
    }
    Submit({Io(kRead, direct_, 0, 4096, 4096), Io(kRead, direct_, 8192, 100, 3)});
    Events();
    Submit({Io(kWrite, direct_, 0, 4096, 0)});
    Events();
    ExpectSameOnBoth();
}

TEST_F(TraceTest, EventfdsAreCheckedAtSubmit) {
    kaio_raw_iocb iocb = Io(kRead, rw_, 0, 512, 0);
    iocb.aio_flags = KAIO_RAW_FLAG_RESFD;
    iocb.aio_resfd = static_cast<uint32_t>(closed_);
    Submit({iocb});
    iocb.aio_resfd = static_cast<uint32_t>(rw_);
    Submit({iocb});
    ExpectSameOnBoth();
}

// A context takes at least as many requests as it was asked for, then EAGAIN, until one was reaped.
TEST_F(TraceTest, AFullContextTakesOneForEachThatIsReaped) {
    for (const Door *door : {&kReal, &kSim}) {
        kaio_raw_context ctx = 0;
        ASSERT_EQ(door->setup(kDepth, &ctx), 0);
        kaio_raw_iocb iocb = Plain(kPoll, pipe_[0], POLLIN);
        Empty(pipe_[0]);
        kaio_raw_iocb *list[] = {&iocb};
        long answer = 1;
        unsigned count = 0;
        for (; (answer = door->submit(ctx, 1, list)) == 1; ++count) {
        }
        EXPECT_EQ(answer, -EAGAIN);
        EXPECT_GE(count, kDepth);
        kaio_raw_event event = {};
        kaio_raw_iocb other = Plain(kPoll, pipe_[0], POLLIN);
        kaio_raw_iocb *others[] = {&other};
        EXPECT_EQ(door->submit(ctx, 1, others), -EAGAIN);
        EXPECT_EQ(door->cancel(ctx, &iocb, &event), -EINPROGRESS);
        kaio_raw_old_timespec timeout = {10, 0};
        EXPECT_EQ(door->getevents(ctx, 1, 1, &event, &timeout), 1);
        EXPECT_EQ(event.res, 0);
        EXPECT_EQ(door->submit(ctx, 1, others), 1);
        EXPECT_EQ(door->submit(ctx, 1, others), -EAGAIN);
        EXPECT_EQ(door->destroy(ctx), 0);
    }
}

// Batches of anything: what is right, and what is not.
TEST_F(TraceTest, RandomBatches) {
    for (uint64_t seed = 1; seed <= 60; ++seed) {
        Choices choices(seed);
        const int fds[] = {rw_, rw_, ro_, wo_, nonblocking_[0], nonblocking_[1], closed_};
        static const uint16_t opcodes[] = {kRead, kRead, kWrite, kWrite, kFsync, kFdsync, 9};
        for (int batch = 0; batch < 12; ++batch) {
            const int fd = fds[choices.Below(7)];
            const uint16_t opcode = opcodes[choices.Below(7)];
            const bool is_sync = opcode == kFsync || opcode == kFdsync;
            // Not on a file of the wrong mode: of two errors the kernel tells the flag's, which the
            // simulated one cannot ask for there.
            const int32_t flags = fd == rw_ && choices.OneIn(3) ? 1 << choices.Below(11) : 0;
            // One to a batch where the order in which they are done shows in the bytes.
            std::vector<kaio_raw_iocb> iocbs;
            iocbs.push_back(is_sync && !choices.OneIn(8)
                                ? Plain(opcode, fd)
                                : Io(opcode, fd, choices.Below(40000), choices.Below(9000),
                                     static_cast<int64_t>(choices.Below(15000)) -
                                         (choices.OneIn(16) ? 15000 : 0),
                                     flags));
            if (choices.OneIn(3)) {
                iocbs.push_back(Io(kRead, closed_, 0, 1, 0));
                iocbs.push_back(iocbs[0]);
            }
            Submit(std::move(iocbs));
            Events();
        }
        SCOPED_TRACE("seed " + std::to_string(seed));
        ExpectSameOnBoth();
        if (HasFailure()) {
            return;
        }
    }
}

}  // namespace
}  // namespace kaio_model
