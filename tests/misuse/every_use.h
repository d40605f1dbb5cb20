// Every public function that takes a handle, as a table: each called with any bits in its place.

#ifndef KAIO_TESTS_MISUSE_EVERY_USE_H_
#define KAIO_TESTS_MISUSE_EVERY_USE_H_

#include <gtest/gtest.h>
#include <stdio.h>
#include <string.h>

#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "kaio/safe/kaio.h"
#include "tests/support/safe_test.h"

namespace kaio_test {

template <typename T>
uintptr_t Bits(T *handle) {
    return reinterpret_cast<uintptr_t>(handle);
}

template <typename T>
T *Handle(uintptr_t bits) {
    return reinterpret_cast<T *>(bits);
}

// The kind and the place of an object, without its life: see handle.h.
constexpr unsigned kKindBits = 4;
constexpr unsigned kLifeShift = sizeof(uintptr_t) == 8 ? 28 : 18;

inline uintptr_t PlaceOf(uintptr_t bits) {
    return bits & ((uintptr_t(1) << kLifeShift) - 1);
}

// An Output holds a pattern until somebody writes to it.
template <typename T>
class Output {
    static_assert(std::is_trivially_copyable<T>::value, "plain data");

  public:
    Output() {
        memset(bytes_, kPattern, sizeof bytes_);
    }

    T *at() {
        return reinterpret_cast<T *>(bytes_);
    }

    // Judge returns `status`; unless that is OK, nothing may have been written.
    kaio_status Judge(kaio_status status) const {
        for (size_t i = 0; status.code != KAIO_OK && i < sizeof bytes_; ++i) {
            EXPECT_EQ(bytes_[i], kPattern) << "an output was written by a call that failed";
        }
        return status;
    }

  private:
    static constexpr unsigned char kPattern = 0xa5;
    alignas(T) unsigned char bytes_[sizeof(T)];
};

enum class Kind { kQueue, kFile, kBuffer, kRead, kWrite, kSync, kPoll };

inline kaio_subject SubjectOf(Kind kind) {
    switch (kind) {
        case Kind::kQueue:
            return KAIO_SUBJECT_QUEUE;
        case Kind::kFile:
            return KAIO_SUBJECT_FILE;
        case Kind::kBuffer:
            return KAIO_SUBJECT_BUFFER;
        case Kind::kRead:
        case Kind::kWrite:
        case Kind::kSync:
        case Kind::kPoll:
            return KAIO_SUBJECT_REQUEST;
    }
    return KAIO_SUBJECT_NONE;
}

// The other arguments of a use: all of them good, and none changed by a use that fails.
struct Companions {
    kaio_queue *queue;
    kaio_file *file;
    kaio_buffer *buffer;
};

struct Use {
    const char *name;
    Kind kind;       // of the handle that is tried
    bool is_silent;  // it has no status: STALE stands for "did nothing", OK for anything else
    kaio_status (*call)(const Companions &with, uintptr_t bits);
};

// Without a status: what a function that takes `kind` did.
inline kaio_status DidSomething(bool did, Kind kind) {
    kaio_status status = {};
    status.code = did ? KAIO_OK : KAIO_STALE;
    status.subject = static_cast<uint16_t>(SubjectOf(kind));
    return status;
}

// ---- the uses that several kinds have, once for each ----

// A function that gives `*move_handle` away when it succeeds, and leaves it alone otherwise.
template <typename T, typename Call>
kaio_status Moving(uintptr_t bits, Call call) {
    T *handle = Handle<T>(bits);
    const kaio_status status = call(&handle);
    EXPECT_EQ(Bits(handle), kaio_status_is_ok(status) ? 0 : bits);
    return status;
}

template <typename T, void (*kDrop)(T **), Kind kKind>
kaio_status Drop(const Companions &, uintptr_t bits) {
    T *handle = Handle<T>(bits);
    kDrop(&handle);
    EXPECT_EQ(handle, nullptr);
    return DidSomething(false, kKind);
}

template <typename T, kaio_ticket (*kPush)(T *, uint64_t), Kind kKind>
kaio_status Push(const Companions &, uintptr_t bits) {
    return DidSomething(kPush(Handle<T>(bits), 1).bits != 0, kKind);
}

template <typename T, kaio_status (*kAbandon)(T **, kaio_buffer **)>
kaio_status Abandon(const Companions &, uintptr_t bits) {
    Output<kaio_buffer *> buffer;
    return buffer.Judge(
        Moving<T>(bits, [&](T **move_handle) { return kAbandon(move_handle, buffer.at()); }));
}

template <typename T>
using New = kaio_status (*)(kaio_queue *, kaio_file *, kaio_range, kaio_rw_flags, kaio_buffer **,
                            T **);
using Start = kaio_status (*)(kaio_queue *, kaio_file *, kaio_range, kaio_rw_flags, uint64_t,
                              kaio_buffer **, kaio_ticket *);

template <typename T, New<T> kNew>
kaio_status NewWith(kaio_queue *queue, kaio_file *file, kaio_buffer *buffer) {
    Output<T *> request;
    return request.Judge(Moving<kaio_buffer>(Bits(buffer), [&](kaio_buffer **move_buffer) {
        return kNew(queue, file, Range(0, 8), kaio_rw_none(), move_buffer, request.at());
    }));
}

template <Start kStart>
kaio_status StartWith(kaio_queue *queue, kaio_file *file, kaio_buffer *buffer) {
    Output<kaio_ticket> ticket;
    return ticket.Judge(Moving<kaio_buffer>(Bits(buffer), [&](kaio_buffer **move_buffer) {
        return kStart(queue, file, Range(0, 8), kaio_rw_none(), 1, move_buffer, ticket.at());
    }));
}

inline kaio_status SyncNewWith(kaio_queue *queue, kaio_file *file) {
    Output<kaio_sync *> sync;
    return sync.Judge(kaio_sync_new(queue, file, KAIO_SYNC_DATA, sync.at()));
}

inline kaio_status SyncStartWith(kaio_queue *queue, kaio_file *file) {
    Output<kaio_ticket> ticket;
    return ticket.Judge(kaio_sync_start(queue, file, KAIO_SYNC_DATA, 1, ticket.at()));
}

inline kaio_status PollNewWith(kaio_queue *queue, kaio_file *file) {
    Output<kaio_poll *> poll;
    return poll.Judge(kaio_poll_new(queue, file, kaio_poll_readable(), poll.at()));
}

inline kaio_status PollStartWith(kaio_queue *queue, kaio_file *file) {
    Output<kaio_ticket> ticket;
    return ticket.Judge(kaio_poll_start(queue, file, kaio_poll_readable(), 1, ticket.at()));
}

// ---- the table ----

inline void FailOnLost(void *, kaio_completion *) {
    ADD_FAILURE() << "a queue that was not destroyed gave up a request";
}

inline std::vector<Use> UsesOfQueues() {
    using C = const Companions &;
    return {
        {"QueueOfFlush", Kind::kQueue, false,
         [](C, uintptr_t bits) {
             Output<kaio_flush_report> report;
             return report.Judge(kaio_queue_flush(Handle<kaio_queue>(bits), report.at()));
         }},
        {"QueueOfWait", Kind::kQueue, false,
         [](C, uintptr_t bits) {
             Output<uint32_t> ready;
             return ready.Judge(
                 kaio_queue_wait(Handle<kaio_queue>(bits), 0, kaio_deadline_now(), ready.at()));
         }},
        {"QueueOfTake", Kind::kQueue, false,
         [](C, uintptr_t bits) {
             Output<kaio_completion> completion;
             return completion.Judge(kaio_queue_take(Handle<kaio_queue>(bits), completion.at()));
         }},
        {"QueueOfCount", Kind::kQueue, false,
         [](C, uintptr_t bits) {
             Output<kaio_queue_counts> counts;
             return counts.Judge(kaio_queue_count(Handle<kaio_queue>(bits), counts.at()));
         }},
        {"QueueOfCountersRead", Kind::kQueue, false,
         [](C, uintptr_t bits) {
             Output<kaio_queue_counters> counters;
             return counters.Judge(
                 kaio_queue_counters_read(Handle<kaio_queue>(bits), counters.at()));
         }},
        {"QueueOfLatencyRead", Kind::kQueue, false,
         [](C, uintptr_t bits) {
             Output<kaio_latency> latency;
             return latency.Judge(
                 kaio_queue_latency_read(Handle<kaio_queue>(bits), KAIO_READ, latency.at()));
         }},
        {"QueueOfSubmitLatencyRead", Kind::kQueue, false,
         [](C, uintptr_t bits) {
             Output<kaio_latency> latency;
             return latency.Judge(
                 kaio_queue_submit_latency_read(Handle<kaio_queue>(bits), latency.at()));
         }},
        {"QueueOfSetDeadline", Kind::kQueue, false,
         [](C, uintptr_t bits) {
             return kaio_queue_set_deadline(Handle<kaio_queue>(bits), {}, kaio_deadline_now());
         }},
        {"QueueOfTakeLate", Kind::kQueue, false,
         [](C, uintptr_t bits) {
             Output<kaio_late> late;
             return late.Judge(kaio_queue_take_late(Handle<kaio_queue>(bits), late.at()));
         }},
        {"QueueOfNextDeadline", Kind::kQueue, false,
         [](C, uintptr_t bits) {
             Output<kaio_deadline> deadline;
             return deadline.Judge(
                 kaio_queue_next_deadline(Handle<kaio_queue>(bits), deadline.at()));
         }},
        {"QueueOfDump", Kind::kQueue, false,
         [](C, uintptr_t bits) {
             char text[64] = "";
             FILE *stream = fmemopen(text, sizeof text, "w");
             const kaio_status status = kaio_queue_dump(Handle<kaio_queue>(bits), stream);
             fclose(stream);
             EXPECT_STREQ(text, "") << "a queue that is not good was dumped";
             return status;
         }},
        {"QueueOfAsFd", Kind::kQueue, false,
         [](C, uintptr_t bits) {
             Output<int> fd;
             return fd.Judge(kaio_queue_as_fd(Handle<kaio_queue>(bits), fd.at()));
         }},
        {"QueueOfDetach", Kind::kQueue, false,
         [](C, uintptr_t bits) { return kaio_queue_detach(Handle<kaio_queue>(bits)); }},
        {"QueueOfAttach", Kind::kQueue, false,
         [](C, uintptr_t bits) { return kaio_queue_attach(Handle<kaio_queue>(bits)); }},
        {"QueueOfDrain", Kind::kQueue, false,
         [](C, uintptr_t bits) {
             Output<kaio_queue_counts> left;
             return left.Judge(
                 kaio_queue_drain(Handle<kaio_queue>(bits), kaio_deadline_now(), left.at()));
         }},
        {"QueueOfClose", Kind::kQueue, false,
         [](C, uintptr_t bits) { return Moving<kaio_queue>(bits, kaio_queue_close); }},
        {"QueueOfDestroy", Kind::kQueue, false,
         [](C, uintptr_t bits) {
             Output<kaio_destroy_report> report;
             return report.Judge(Moving<kaio_queue>(bits, [&](kaio_queue **move_queue) {
                 return kaio_queue_destroy(move_queue, FailOnLost, nullptr, report.at());
             }));
         }},
        {"QueueOfWaitMasked", Kind::kQueue, false,
         [](C, uintptr_t bits) {
             Output<uint32_t> ready;
             return ready.Judge(kaio_queue_wait_masked(
                 Handle<kaio_queue>(bits), 0, kaio_deadline_now(), kaio_signals_all(), ready.at()));
         }},
        {"QueueOfDestroyAll", Kind::kQueue, false,
         [](C, uintptr_t bits) {
             Output<kaio_destroy_report> report;
             kaio_status status =
                 report.Judge(Moving<kaio_queue>(bits, [&](kaio_queue **move_queue) {
                     return kaio_queue_destroy_all(move_queue, 1, FailOnLost, nullptr, report.at());
                 }));
             EXPECT_EQ(status.subject, KAIO_SUBJECT_ELEMENT);
             EXPECT_EQ(status.detail, 0u);
             status.subject = KAIO_SUBJECT_QUEUE;
             return status;
         }},
        {"QueueOfRun", Kind::kQueue, false,
         [](C, uintptr_t bits) {
             Output<kaio_run_report> report;
             const kaio_handlers handlers = {};
             return report.Judge(kaio_queue_run(Handle<kaio_queue>(bits), &handlers, nullptr,
                                                kaio_deadline_now(), report.at()));
         }},
        {"QueueOfDrop", Kind::kQueue, true, Drop<kaio_queue, kaio_queue_drop, Kind::kQueue>},
        {"QueueOfWake", Kind::kQueue, true,
         [](C, uintptr_t bits) {
             kaio_queue_wake(Handle<kaio_queue>(bits));
             return DidSomething(false, Kind::kQueue);
         }},
        {"QueueOfReadNew", Kind::kQueue, false,
         [](C with, uintptr_t bits) {
             return NewWith<kaio_read, kaio_read_new>(Handle<kaio_queue>(bits), with.file,
                                                      with.buffer);
         }},
        {"QueueOfReadStart", Kind::kQueue, false,
         [](C with, uintptr_t bits) {
             return StartWith<kaio_read_start>(Handle<kaio_queue>(bits), with.file, with.buffer);
         }},
        {"QueueOfWriteNew", Kind::kQueue, false,
         [](C with, uintptr_t bits) {
             return NewWith<kaio_write, kaio_write_new>(Handle<kaio_queue>(bits), with.file,
                                                        with.buffer);
         }},
        {"QueueOfWriteStart", Kind::kQueue, false,
         [](C with, uintptr_t bits) {
             return StartWith<kaio_write_start>(Handle<kaio_queue>(bits), with.file, with.buffer);
         }},
        {"QueueOfSyncNew", Kind::kQueue, false,
         [](C with, uintptr_t bits) { return SyncNewWith(Handle<kaio_queue>(bits), with.file); }},
        {"QueueOfSyncStart", Kind::kQueue, false,
         [](C with, uintptr_t bits) { return SyncStartWith(Handle<kaio_queue>(bits), with.file); }},
        {"QueueOfPollNew", Kind::kQueue, false,
         [](C with, uintptr_t bits) { return PollNewWith(Handle<kaio_queue>(bits), with.file); }},
        {"QueueOfPollStart", Kind::kQueue, false,
         [](C with, uintptr_t bits) { return PollStartWith(Handle<kaio_queue>(bits), with.file); }},
        {"QueueOfCancel", Kind::kQueue, false,
         [](C, uintptr_t bits) {
             Output<kaio_cancel_answer> answer;
             return answer.Judge(kaio_queue_cancel(Handle<kaio_queue>(bits), {}, answer.at()));
         }},
        {"QueueOfFileAttach", Kind::kQueue, false,
         [](C with, uintptr_t bits) {
             return kaio_file_attach(with.file, Handle<kaio_queue>(bits));
         }},
        {"QueueOfFileDetach", Kind::kQueue, false,
         [](C with, uintptr_t bits) {
             return kaio_file_detach(with.file, Handle<kaio_queue>(bits));
         }},
    };
}

inline std::vector<Use> UsesOfFiles() {
    using C = const Companions &;
    return {
        {"FileOfAsFd", Kind::kFile, false,
         [](C, uintptr_t bits) {
             Output<int> fd;
             return fd.Judge(kaio_file_as_fd(Handle<kaio_file>(bits), fd.at()));
         }},
        {"FileOfAlignment", Kind::kFile, false,
         [](C, uintptr_t bits) {
             Output<kaio_alignment> alignment;
             return alignment.Judge(kaio_file_alignment(Handle<kaio_file>(bits), alignment.at()));
         }},
        {"FileOfAllowStall", Kind::kFile, false,
         [](C, uintptr_t bits) { return kaio_file_allow_stall(Handle<kaio_file>(bits)); }},
        {"FileOfClearSyncError", Kind::kFile, false,
         [](C, uintptr_t bits) {
             Output<int32_t> error;
             return error.Judge(kaio_file_clear_sync_error(Handle<kaio_file>(bits), error.at()));
         }},
        {"FileOfSetFailFast", Kind::kFile, false,
         [](C, uintptr_t bits) { return kaio_file_set_fail_fast(Handle<kaio_file>(bits), true); }},
        {"FileOfAttach", Kind::kFile, false,
         [](C with, uintptr_t bits) {
             return kaio_file_attach(Handle<kaio_file>(bits), with.queue);
         }},
        {"FileOfDetach", Kind::kFile, false,
         [](C with, uintptr_t bits) {
             return kaio_file_detach(Handle<kaio_file>(bits), with.queue);
         }},
        {"FileOfClose", Kind::kFile, false,
         [](C, uintptr_t bits) { return Moving<kaio_file>(bits, kaio_file_close); }},
        {"FileOfDrop", Kind::kFile, true, Drop<kaio_file, kaio_file_drop, Kind::kFile>},
        {"FileOfReadNew", Kind::kFile, false,
         [](C with, uintptr_t bits) {
             return NewWith<kaio_read, kaio_read_new>(with.queue, Handle<kaio_file>(bits),
                                                      with.buffer);
         }},
        {"FileOfReadStart", Kind::kFile, false,
         [](C with, uintptr_t bits) {
             return StartWith<kaio_read_start>(with.queue, Handle<kaio_file>(bits), with.buffer);
         }},
        {"FileOfWriteNew", Kind::kFile, false,
         [](C with, uintptr_t bits) {
             return NewWith<kaio_write, kaio_write_new>(with.queue, Handle<kaio_file>(bits),
                                                        with.buffer);
         }},
        {"FileOfWriteStart", Kind::kFile, false,
         [](C with, uintptr_t bits) {
             return StartWith<kaio_write_start>(with.queue, Handle<kaio_file>(bits), with.buffer);
         }},
        {"FileOfSyncNew", Kind::kFile, false,
         [](C with, uintptr_t bits) { return SyncNewWith(with.queue, Handle<kaio_file>(bits)); }},
        {"FileOfSyncStart", Kind::kFile, false,
         [](C with, uintptr_t bits) { return SyncStartWith(with.queue, Handle<kaio_file>(bits)); }},
        {"FileOfPollNew", Kind::kFile, false,
         [](C with, uintptr_t bits) { return PollNewWith(with.queue, Handle<kaio_file>(bits)); }},
        {"FileOfPollStart", Kind::kFile, false,
         [](C with, uintptr_t bits) { return PollStartWith(with.queue, Handle<kaio_file>(bits)); }},
    };
}

inline std::vector<Use> UsesOfBuffers() {
    using C = const Companions &;
    return {
        {"BufferOfAsBytes", Kind::kBuffer, true,
         [](C, uintptr_t bits) {
             return DidSomething(kaio_buffer_as_bytes(Handle<kaio_buffer>(bits)) != nullptr,
                                 Kind::kBuffer);
         }},
        {"BufferOfSize", Kind::kBuffer, true,
         [](C, uintptr_t bits) {
             return DidSomething(kaio_buffer_size(Handle<kaio_buffer>(bits)) != 0, Kind::kBuffer);
         }},
        {"BufferOfDetach", Kind::kBuffer, false,
         [](C, uintptr_t bits) { return kaio_buffer_detach(Handle<kaio_buffer>(bits)); }},
        {"BufferOfDrop", Kind::kBuffer, true, Drop<kaio_buffer, kaio_buffer_drop, Kind::kBuffer>},
        {"BufferOfCompletionDrop", Kind::kBuffer, true,
         [](C, uintptr_t bits) {
             kaio_completion completion = {};
             completion.buffer = Handle<kaio_buffer>(bits);
             kaio_completion_drop(&completion);
             EXPECT_EQ(completion.buffer, nullptr);
             return DidSomething(false, Kind::kBuffer);
         }},
        {"BufferOfReadNew", Kind::kBuffer, false,
         [](C with, uintptr_t bits) {
             return NewWith<kaio_read, kaio_read_new>(with.queue, with.file,
                                                      Handle<kaio_buffer>(bits));
         }},
        {"BufferOfReadStart", Kind::kBuffer, false,
         [](C with, uintptr_t bits) {
             return StartWith<kaio_read_start>(with.queue, with.file, Handle<kaio_buffer>(bits));
         }},
        {"BufferOfWriteNew", Kind::kBuffer, false,
         [](C with, uintptr_t bits) {
             return NewWith<kaio_write, kaio_write_new>(with.queue, with.file,
                                                        Handle<kaio_buffer>(bits));
         }},
        {"BufferOfWriteStart", Kind::kBuffer, false,
         [](C with, uintptr_t bits) {
             return StartWith<kaio_write_start>(with.queue, with.file, Handle<kaio_buffer>(bits));
         }},
    };
}

inline std::vector<Use> UsesOfRequests() {
    return {
        {"ReadOfPush", Kind::kRead, true, Push<kaio_read, kaio_read_push_, Kind::kRead>},
        {"ReadOfAbandon", Kind::kRead, false, Abandon<kaio_read, kaio_read_abandon>},
        {"ReadOfSetPriority", Kind::kRead, false,
         [](const Companions &, uintptr_t bits) {
             return kaio_read_set_priority(Handle<kaio_read>(bits), kaio_priority_idle());
         }},
        {"ReadOfRetarget", Kind::kRead, false,
         [](const Companions &with, uintptr_t bits) {
             return kaio_read_retarget(Handle<kaio_read>(bits), with.file, Range(0, 1),
                                       kaio_rw_none());
         }},
        {"ReadOfIntoWrite", Kind::kRead, false,
         [](const Companions &, uintptr_t bits) {
             Output<kaio_write *> write;
             return write.Judge(Moving<kaio_read>(bits, [&](kaio_read **move_read) {
                 return kaio_read_into_write(move_read, write.at());
             }));
         }},
        {"ReadOfDrop", Kind::kRead, true, Drop<kaio_read, kaio_read_drop, Kind::kRead>},
        {"WriteOfPush", Kind::kWrite, true, Push<kaio_write, kaio_write_push_, Kind::kWrite>},
        {"WriteOfAbandon", Kind::kWrite, false, Abandon<kaio_write, kaio_write_abandon>},
        {"WriteOfSetPriority", Kind::kWrite, false,
         [](const Companions &, uintptr_t bits) {
             return kaio_write_set_priority(Handle<kaio_write>(bits), kaio_priority_idle());
         }},
        {"WriteOfRetarget", Kind::kWrite, false,
         [](const Companions &with, uintptr_t bits) {
             return kaio_write_retarget(Handle<kaio_write>(bits), with.file, Range(0, 1),
                                        kaio_rw_none());
         }},
        {"WriteOfIntoRead", Kind::kWrite, false,
         [](const Companions &, uintptr_t bits) {
             Output<kaio_read *> read;
             return read.Judge(Moving<kaio_write>(bits, [&](kaio_write **move_write) {
                 return kaio_write_into_read(move_write, read.at());
             }));
         }},
        {"WriteOfDrop", Kind::kWrite, true, Drop<kaio_write, kaio_write_drop, Kind::kWrite>},
        {"SyncOfPush", Kind::kSync, true, Push<kaio_sync, kaio_sync_push_, Kind::kSync>},
        {"SyncOfAbandon", Kind::kSync, false,
         [](const Companions &, uintptr_t bits) {
             return Moving<kaio_sync>(bits, kaio_sync_abandon);
         }},
        {"SyncOfDrop", Kind::kSync, true, Drop<kaio_sync, kaio_sync_drop, Kind::kSync>},
        {"PollOfPush", Kind::kPoll, true, Push<kaio_poll, kaio_poll_push_, Kind::kPoll>},
        {"PollOfAbandon", Kind::kPoll, false,
         [](const Companions &, uintptr_t bits) {
             return Moving<kaio_poll>(bits, kaio_poll_abandon);
         }},
        {"PollOfDrop", Kind::kPoll, true, Drop<kaio_poll, kaio_poll_drop, Kind::kPoll>},
    };
}

inline std::vector<Use> EveryUse() {
    std::vector<Use> all;
    for (const std::vector<Use> &some :
         {UsesOfQueues(), UsesOfFiles(), UsesOfBuffers(), UsesOfRequests()}) {
        all.insert(all.end(), some.begin(), some.end());
    }
    return all;
}

// ExpectAnswer compares what `use` of a bad handle answered; one without a status did nothing.
inline void ExpectAnswer(kaio_code expected, const Use &use, kaio_status status) {
    EXPECT_CODE(use.is_silent ? KAIO_STALE : expected, status) << use.name;
    EXPECT_EQ(status.subject, SubjectOf(use.kind)) << use.name << ": " << Text(status);
}

// ---- the kinds of requests, alike ----

// A Request makes and uses the requests of one kind by their bits.
struct Request {
    const char *name;
    Kind kind;
    // Takes `*move_buffer`, unless it has none.
    uintptr_t (*make)(kaio_queue *queue, kaio_file *file, kaio_buffer **move_buffer);
    uint64_t (*push)(uintptr_t bits, uint64_t user);
    // `*out_buffer` is not written where there is none.
    kaio_status (*abandon)(uintptr_t bits, kaio_buffer **out_buffer);
    void (*drop)(uintptr_t bits);

    bool has_buffer() const {
        return kind != Kind::kSync && kind != Kind::kPoll;
    }
};

inline void PrintTo(const Request &request, std::ostream *out) {
    *out << request.name;
}

inline std::string RequestName(const testing::TestParamInfo<Request> &request) {
    return request.param.name;
}

template <typename T, New<T> kNew>
uintptr_t Make(kaio_queue *queue, kaio_file *file, kaio_buffer **move_buffer) {
    T *request = nullptr;
    EXPECT_OK(kNew(queue, file, Range(0, 8), kaio_rw_none(), move_buffer, &request));
    return Bits(request);
}

template <typename T, kaio_ticket (*kPush)(T **, uint64_t)>
uint64_t PushBits(uintptr_t bits, uint64_t user) {
    T *request = Handle<T>(bits);
    const kaio_ticket ticket = kPush(&request, user);
    EXPECT_EQ(request, nullptr);
    return ticket.bits;
}

template <typename T, void (*kDrop)(T **)>
void DropBits(uintptr_t bits) {
    T *request = Handle<T>(bits);
    kDrop(&request);
    EXPECT_EQ(request, nullptr);
}

inline std::vector<Request> EveryRequest() {
    return {
        {"Read", Kind::kRead, Make<kaio_read, kaio_read_new>, PushBits<kaio_read, kaio_read_push>,
         [](uintptr_t bits, kaio_buffer **out_buffer) {
             return Moving<kaio_read>(bits, [=](kaio_read **move_read) {
                 return kaio_read_abandon(move_read, out_buffer);
             });
         },
         DropBits<kaio_read, kaio_read_drop>},
        {"Write", Kind::kWrite, Make<kaio_write, kaio_write_new>,
         PushBits<kaio_write, kaio_write_push>,
         [](uintptr_t bits, kaio_buffer **out_buffer) {
             return Moving<kaio_write>(bits, [=](kaio_write **move_write) {
                 return kaio_write_abandon(move_write, out_buffer);
             });
         },
         DropBits<kaio_write, kaio_write_drop>},
        {"Sync", Kind::kSync,
         [](kaio_queue *queue, kaio_file *file, kaio_buffer **) {
             kaio_sync *sync = nullptr;
             EXPECT_OK(kaio_sync_new(queue, file, KAIO_SYNC_DATA, &sync));
             return Bits(sync);
         },
         PushBits<kaio_sync, kaio_sync_push>,
         [](uintptr_t bits, kaio_buffer **) { return Moving<kaio_sync>(bits, kaio_sync_abandon); },
         DropBits<kaio_sync, kaio_sync_drop>},
        {"Poll", Kind::kPoll,
         [](kaio_queue *queue, kaio_file *file, kaio_buffer **) {
             kaio_poll *poll = nullptr;
             EXPECT_OK(kaio_poll_new(queue, file, kaio_poll_readable(), &poll));
             return Bits(poll);
         },
         PushBits<kaio_poll, kaio_poll_push>,
         [](uintptr_t bits, kaio_buffer **) { return Moving<kaio_poll>(bits, kaio_poll_abandon); },
         DropBits<kaio_poll, kaio_poll_drop>},
    };
}

}  // namespace kaio_test

#endif  // KAIO_TESTS_MISUSE_EVERY_USE_H_
