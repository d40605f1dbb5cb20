// What a step can be. Each action chooses arguments, makes the call, then has the model answer the
// same call (in two statements: the order matters), and compares: the status, and what was written,
// which is nothing unless the call says so.

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "tests/model/check.h"
#include "tests/model/run.h"

namespace kaio_model {
namespace {

constexpr size_t kQueuesMax = 4;
// So few that no queue ever has more files than places for them: which one it forgets then is its
// own affair (tests/safe/file_test.cc).
constexpr size_t kFilesMax = 5;
constexpr size_t kBuffersMax = 12;
constexpr size_t kPoolsMax = 3;  // with regions
// More than a buffer can have, where there are such sizes.
constexpr size_t kTooLarge = SIZE_MAX > KAIO_BUFFER_SIZE_MAX_BYTES ? SIZE_MAX : 0;
constexpr Bits kUntouched = 0x5a5a5a50;

template <typename T>
T *As(Bits bits) {
    return reinterpret_cast<T *>(bits);
}

template <typename T>
Bits BitsOf(T *handle) {
    return reinterpret_cast<Bits>(handle);
}

kaio_status NullArgument(kaio_subject subject) {
    return Answer(KAIO_NULL_ARGUMENT, subject);
}

// ExpectMoved: a variable that was given away is NULL on OK, and as it was otherwise.
void ExpectMoved(kaio_status status, Bits before, Bits after) {
    MODEL_CHECK(after == (kaio_status_is_ok(status) ? 0 : before), "what became of a variable");
}

void ExpectWritten(kaio_status status, Bits out) {
    MODEL_CHECK((out != kUntouched) == kaio_status_is_ok(status), "what was written to an output");
}

// AlignedBytes is what is adopted of the memory.
uint8_t *AlignedBytes(Adopted *memory) {
    return memory->memory.data() + (-reinterpret_cast<uintptr_t>(memory->memory.data()) & 4095);
}

// MemoryOf is the handle of the buffer or view that a completion has, or 0.
Bits MemoryOf(const kaio_completion &completion) {
    return completion.view != nullptr ? BitsOf(completion.view) : BitsOf(completion.buffer);
}

// MemoriesOf are the handles of all that a completion has.
std::vector<Bits> MemoriesOf(const kaio_completion &completion) {
    std::vector<Bits> memories;
    if (MemoryOf(completion) != 0) {
        memories.push_back(MemoryOf(completion));
    }
    for (uint32_t i = 0; completion.segments != nullptr && i < completion.segment_count; ++i) {
        const kaio_segment &segment = completion.segments[i];
        memories.push_back(segment.view != nullptr ? BitsOf(segment.view) : BitsOf(segment.buffer));
    }
    return memories;
}

// Empty takes them out.
void Empty(kaio_completion *completion) {
    completion->buffer = nullptr;
    completion->view = nullptr;
    for (uint32_t i = 0; completion->segments != nullptr && i < completion->segment_count; ++i) {
        completion->segments[i].buffer = nullptr;
        completion->segments[i].view = nullptr;
    }
}

// ---- queues ----

void QueueOpen(Run *run) {
    if (run->model.queues.size() >= kQueuesMax) {
        return;
    }
    static const uint32_t depths[] = {1, 2, 3, 4, 6, 8, 8, 12};
    kaio_queue_options options = {};
    options.depth = depths[run->choices.Below(8)];
    options.never_ring = run->choices.OneIn(4);
    options.eventfd = run->choices.OneIn(3);
    if (run->choices.OneIn(32)) {
        options.depth = 100;  // more than one io_getevents asks for
    }
    options.segment_count = run->choices.OneIn(4) ? 0 : 1 + run->choices.Below(10);
    options.chunk_count = run->choices.OneIn(4) ? 1 + run->choices.Below(4) : 0;
    options.spin_ns = run->choices.OneIn(16) ? 500 : 0;
    if (run->choices.OneIn(64)) {
        options.spin_ns = KAIO_QUEUE_SPIN_NS_MAX + 1;
    }
    if (run->choices.OneIn(32)) {
        options.depth = run->choices.Below(2) == 0 ? 0 : KAIO_QUEUE_DEPTH_MAX + 1;
    }
    kaio_queue *queue = As<kaio_queue>(kUntouched);
    if (run->choices.OneIn(64)) {
        run->Expect("queue_open", run->Call([&] { return kaio_queue_open(nullptr, &queue); }),
                    NullArgument(KAIO_SUBJECT_OPTIONS));
        return;
    }
    const kaio_status status = run->Call([&] { return kaio_queue_open(&options, &queue); });
    run->Expect("queue_open", status, run->model.QueueOpen(options, BitsOf(queue)));
    ExpectWritten(status, BitsOf(queue));
    if (!kaio_status_is_ok(status)) {
        return;
    }
    Queue *opened = run->model.FindQueue(BitsOf(queue));
    opened->has_ring &= !run->script.no_ring;
    if (options.eventfd) {
        MODEL_CHECK(kaio_status_is_ok(kaio_queue_as_fd(queue, &opened->event_fd)), "no eventfd");
    }
}

void QueueClose(Run *run) {
    const Bits bits = run->PickQueue();
    if (run->choices.OneIn(64)) {
        run->Expect("queue_close", run->Call([] { return kaio_queue_close(nullptr); }),
                    NullArgument(KAIO_SUBJECT_QUEUE));
        return;
    }
    const bool fails = run->choices.OneIn(64) && run->CanLose();
    kaio_sim_script script = run->script;
    script.destroy_fails = fails;
    run->Play(script);
    kaio_queue *queue = As<kaio_queue>(bits);
    const kaio_status status = run->Call([&] { return kaio_queue_close(&queue); });
    run->Expect("queue_close", status, run->model.QueueClose(bits));
    const bool is_gone = status.code == KAIO_OK || status.code == KAIO_OS_ERROR;
    MODEL_CHECK(BitsOf(queue) == (is_gone ? 0 : bits), "what became of a variable");
    script.destroy_fails = false;
    run->Play(script);
}

struct Farewell {
    Run *run;
    Bits queue;
    bool has_begun;
};

void OnLost(void *context, kaio_completion *completion) {
    Farewell *farewell = static_cast<Farewell *>(context);
    Run *run = farewell->run;
    farewell->has_begun = true;
    const bool keeps_buffer = run->choices.Below(2) == 0;
    const std::vector<Bits> memories = MemoriesOf(*completion);
    run->model.OnLost(farewell->queue, *completion, keeps_buffer);
    run->CountOutcome(*completion);
    for (const Bits memory : memories) {
        run->CheckBuffer(*run->model.FindMemory(memory));
    }
    if (keeps_buffer) {
        Empty(completion);
    }
    if (run->handler_depth < 2 && run->choices.OneIn(3)) {
        run->StepInHandler();
    }
    run->model.AfterLost(0);
    for (const Bits memory : memories) {
        run->model.AfterLost(keeps_buffer ? 0 : memory);
    }
    errno = kErrno;
}

void Destroy(Run *run, Bits bits) {
    const bool has_handler = !run->choices.OneIn(4);
    kaio_queue *queue = As<kaio_queue>(bits);
    Farewell farewell = {run, bits, false};
    kaio_destroy_report got = {77, 77, 77};
    kaio_destroy_report want = got;
    const kaio_status status = run->Call([&] {
        return kaio_queue_destroy(&queue, has_handler ? OnLost : nullptr, &farewell, &got);
    });
    run->Expect("queue_destroy", status,
                run->model.QueueDestroy(bits, has_handler, farewell.has_begun, &want));
    ExpectMoved(status, bits, BitsOf(queue));
    MODEL_CHECK(memcmp(&got, &want, sizeof got) == 0,
                "report of a destroyed queue: leaked " + std::to_string(got.leaked_count) +
                    ", the model " + std::to_string(want.leaked_count));
}

void QueueDestroy(Run *run) {
    const Bits bits = run->PickQueue();
    if (run->choices.OneIn(64)) {
        kaio_queue *queue = As<kaio_queue>(bits);
        run->Expect("queue_destroy", run->Call([&] {
            return kaio_queue_destroy(&queue, nullptr, nullptr, nullptr);
        }),
                    NullArgument(KAIO_SUBJECT_OUTPUT));
        return;
    }
    Destroy(run, bits);
}

// One alone, or several of which one may not end: threads would end the others side by side.
void QueueDestroyAll(Run *run) {
    std::vector<Bits> all;
    const uint32_t count = run->choices.Below(4);
    bool may_end = true;
    for (uint32_t i = 0; i < count; ++i) {
        all.push_back(i > 0 && run->choices.OneIn(4) ? all[0] : run->PickQueue());
        const Queue *queue = run->model.FindQueue(all[i]);
        may_end &= queue != nullptr && run->model.IsOurs(queue) && !queue->is_drop_asked &&
                   std::count(all.begin(), all.end(), all[i]) == 1;
    }
    if (may_end && count > 1) {
        all.resize(1);
    }
    std::vector<kaio_queue *> queues;
    for (const Bits bits : all) {
        queues.push_back(As<kaio_queue>(bits));
    }
    const bool has_handler = !run->choices.OneIn(4);
    Farewell farewell = {run, all.empty() ? 0 : all[0], false};
    kaio_destroy_report got = {77, 77, 77};
    kaio_destroy_report want = got;
    const kaio_status status = run->Call([&] {
        return kaio_queue_destroy_all(queues.data(), static_cast<uint32_t>(queues.size()),
                                      has_handler ? OnLost : nullptr, &farewell, &got);
    });
    run->Expect("queue_destroy_all", status,
                run->model.QueueDestroyAll(all, has_handler, farewell.has_begun, &want));
    for (size_t i = 0; i < all.size(); ++i) {
        ExpectMoved(status, all[i], BitsOf(queues[i]));
    }
    MODEL_CHECK(memcmp(&got, &want, sizeof got) == 0, "report of destroyed queues");
}

// The kernel can neither tell what became of its requests nor be made to stop: they leak.
void QueueDestroyInVain(Run *run) {
    const Queue *queue = run->AnyQueue();
    if (queue == nullptr || !run->CanLose()) {
        return;
    }
    kaio_sim_script script = run->script;
    script.destroy_fails = true;
    script.getevents_error_count = 2;
    script.getevents_error = EINVAL;
    run->Play(script);
    Destroy(run, queue->bits);
    script.destroy_fails = false;
    script.getevents_error_count = 0;
    run->Play(script);
    kaio_sim_complete(UINT32_MAX);  // and writes to them all the same
    run->model.Completed();
}

void QueueDrop(Run *run) {
    const Bits bits = run->PickQueue();
    kaio_queue *queue = As<kaio_queue>(bits);
    Queue *there = run->model.FindQueue(bits);
    if (there != nullptr) {
        there->has_owner = true;  // one without is taken over first
    }
    run->CallVoid([&] { kaio_queue_drop(&queue); });
    run->model.QueueDrop(bits);
    MODEL_CHECK(queue == nullptr, "a drop consumes");
    run->Count("queue_drop");
}

void QueueDetach(Run *run) {
    const Bits bits = run->PickQueue();
    const kaio_status status = run->Call([&] { return kaio_queue_detach(As<kaio_queue>(bits)); });
    run->Expect("queue_detach", status, run->model.QueueDetach(bits));
}

void QueueAttach(Run *run) {
    Bits bits = run->PickQueue();
    for (const auto &queue : run->model.queues) {
        if (!queue->has_owner && !run->choices.OneIn(4)) {
            bits = queue->bits;
        }
    }
    const kaio_status status = run->Call([&] { return kaio_queue_attach(As<kaio_queue>(bits)); });
    run->Expect("queue_attach", status, run->model.QueueAttach(bits));
}

void QueueFlush(Run *run) {
    const Bits bits = run->PickQueue();
    if (run->choices.OneIn(64)) {
        run->Expect("queue_flush",
                    run->Call([&] { return kaio_queue_flush(As<kaio_queue>(bits), nullptr); }),
                    NullArgument(KAIO_SUBJECT_OUTPUT));
        return;
    }
    kaio_flush_report got = {77, 77, 77, 77};
    kaio_flush_report want = got;
    const kaio_status status =
        run->Call([&] { return kaio_queue_flush(As<kaio_queue>(bits), &got); });
    run->Expect("queue_flush", status, run->model.QueueFlush(bits, &want));
    MODEL_CHECK(memcmp(&got, &want, sizeof got) == 0,
                "a flush report: accepted " + std::to_string(got.accepted_count) + " refused " +
                    std::to_string(got.refused_count) + " staged " +
                    std::to_string(got.staged_count));
}

void QueueWait(Run *run) {
    const Bits bits = run->PickQueue();
    const uint32_t min_count =
        run->choices.OneIn(8) ? static_cast<uint32_t>(run->choices.Bits()) : run->choices.Below(6);
    kaio_deadline deadline;
    const Deadline kind = run->PickDeadline(bits, &deadline);
    uint32_t got = 77;
    uint32_t want = got;
    const kaio_status status =
        run->Call([&] { return kaio_queue_wait(As<kaio_queue>(bits), min_count, deadline, &got); });
    run->Expect("queue_wait", status, run->model.QueueWait(bits, min_count, kind, &want));
    MODEL_CHECK(got == (kaio_status_is_ok(status) ? want : 77), "how many are ready");
}

void QueueWaitMasked(Run *run) {
    const Bits bits = run->PickQueue();
    const uint32_t min_count = run->choices.Below(6);
    kaio_deadline deadline;
    Deadline kind = run->PickDeadline(bits, &deadline);
    if (kind == Deadline::kSoon) {  // it may be over in the middle, which leaves no note
        kind = Deadline::kNow;
        deadline = kaio_deadline_now();
    }
    const Queue *queue = run->model.FindQueue(bits);
    if (queue != nullptr && queue->was_asked_masks && run->script.no_pgetevents) {
        return;  // no kernel forgets how
    }
    uint32_t got = 77;
    uint32_t want = got;
    const kaio_status status = run->Call([&] {
        return kaio_queue_wait_masked(As<kaio_queue>(bits), min_count, deadline,
                                      kaio_signals_none(), &got);
    });
    run->Expect(
        "queue_wait_masked", status,
        run->model.QueueWaitMasked(bits, min_count, kind, !run->script.no_pgetevents, &want));
    MODEL_CHECK(got == (kaio_status_is_ok(status) ? want : 77), "how many are ready");
}

void QueueWake(Run *run) {
    const Bits bits = run->PickQueue();
    run->CallVoid([&] { kaio_queue_wake(As<kaio_queue>(bits)); });
    run->model.QueueWake(bits);
    run->Count("queue_wake", run->model.FindQueue(bits) != nullptr ? KAIO_OK : KAIO_STALE);
}

void QueueDrain(Run *run) {
    const Bits bits = run->PickQueue();
    kaio_deadline deadline;
    const Deadline kind = run->PickDeadline(bits, &deadline);
    kaio_queue_counts got = {77, 77, 77, 77, 77, 77};
    kaio_queue_counts want = got;
    const kaio_status status =
        run->Call([&] { return kaio_queue_drain(As<kaio_queue>(bits), deadline, &got); });
    run->Expect("queue_drain", status, run->model.QueueDrain(bits, kind, &want));
    MODEL_CHECK(memcmp(&got, &want, sizeof got) == 0, "what is left after a drain");
}

void QueueTake(Run *run) {
    const Bits bits = run->PickQueue();
    kaio_completion got;
    kaio_completion untouched;
    memset(&got, 0xa5, sizeof got);
    memset(&untouched, 0xa5, sizeof untouched);
    kaio_segment segments[kPartsMax];
    const uint32_t capacity =
        run->choices.OneIn(4) ? run->choices.Below(kPartsMax) : uint32_t{kPartsMax};
    const bool is_plain = capacity == 0;
    const kaio_status status = run->Call([&] {
        return is_plain ? kaio_queue_take(As<kaio_queue>(bits), &got)
                        : kaio_queue_take_segments(As<kaio_queue>(bits), segments, capacity, &got);
    });
    run->Expect("queue_take", status, run->model.QueueTake(bits, got, status, capacity));
    if (!kaio_status_is_ok(status)) {
        MODEL_CHECK(memcmp(&got, &untouched, sizeof got) == 0, "an output without an outcome");
        return;
    }
    run->CountOutcome(got);
    for (const Bits memory : MemoriesOf(got)) {
        run->CheckBuffer(*run->model.FindMemory(memory));
    }
    if (MemoriesOf(got).empty()) {
        return;
    }
    if (got.transfer == KAIO_TRANSFER_SHORT || run->choices.OneIn(8)) {
        Kept kept = {got, {}};
        for (uint32_t i = 0; got.segments != nullptr && i < got.segment_count; ++i) {
            kept.segments[i] = got.segments[i];
        }
        run->kept.push_back(kept);
        if (run->kept.size() > 4) {
            run->kept.erase(run->kept.begin());
        }
    }
}

// ---- the run loop ----

struct Running {
    Run *run;
    Bits queue;
    bool has_begun;
};

void New(Run *run, kaio_operation operation, const uint64_t *user);

// Handle has the model follow one outcome. True: the handler takes what the outcome has.
bool Handle(Running *running, kaio_completion *got) {
    Run *run = running->run;
    running->has_begun = true;
    run->model.Handled(running->queue, got);
    run->CountOutcome(*got);
    const std::vector<Bits> memories = MemoriesOf(*got);
    for (const Bits memory : memories) {
        run->CheckBuffer(*run->model.FindMemory(memory));
    }
    const Queue *queue = run->model.FindQueue(running->queue);
    if (!queue->is_drop_asked && run->choices.OneIn(3)) {
        const uint64_t user = run->choices.Bits();
        New(run, run->PickOperation(), &user);
    }
    errno = kErrno;
    const bool is_taken = run->choices.Below(2) == 0;
    // What follows as soon as the handler returns: a completion is dropped, whatever it has.
    if (got->segments != nullptr) {
        run->model.Collect();
    }
    if (!is_taken) {
        for (const Bits memory : memories) {
            run->model.MemoryDrop(memory);
        }
    }
    return is_taken;
}

void OnRead(void *context, uint64_t user, kaio_read_result *result) {
    kaio_completion got = {};
    got.operation = KAIO_READ;
    got.transfer = result->outcome;
    got.os_error = result->os_error;
    got.refusal = result->refusal;
    got.range = result->range;
    got.moved_bytes = result->moved_bytes;
    got.user = user;
    got.buffer = result->buffer;
    if (Handle(static_cast<Running *>(context), &got)) {
        result->buffer = nullptr;
    }
}

void OnWrite(void *context, uint64_t user, kaio_write_result *result) {
    kaio_completion got = {};
    got.operation = KAIO_WRITE;
    got.transfer = result->outcome;
    got.os_error = result->os_error;
    got.refusal = result->refusal;
    got.range = result->range;
    got.moved_bytes = result->moved_bytes;
    got.user = user;
    got.buffer = result->buffer;
    got.view = result->view;
    if (Handle(static_cast<Running *>(context), &got)) {
        result->buffer = nullptr;
        result->view = nullptr;
    }
}

void OnSync(void *context, uint64_t user, const kaio_sync_result *result) {
    kaio_completion got = {};
    got.operation = KAIO_SYNC;
    got.sync = result->outcome;
    got.os_error = result->os_error;
    got.refusal = result->refusal;
    got.user = user;
    (void)Handle(static_cast<Running *>(context), &got);
}

void OnPoll(void *context, uint64_t user, const kaio_poll_result *result) {
    kaio_completion got = {};
    got.operation = KAIO_POLL;
    got.poll = result->outcome;
    got.events = result->events;
    got.os_error = result->os_error;
    got.refusal = result->refusal;
    got.user = user;
    (void)Handle(static_cast<Running *>(context), &got);
}

void OnVectored(void *context, uint64_t user, kaio_completion *completion) {
    MODEL_CHECK(completion->user == user, "the word of a request");
    const Bits ticket = static_cast<Bits>(completion->ticket.bits);
    const bool is_taken = Handle(static_cast<Running *>(context), completion);
    MODEL_CHECK(completion->ticket.bits == ticket, "the ticket of a request");
    if (is_taken) {
        Empty(completion);
    }
}

void QueueRun(Run *run) {
    const Bits bits = run->PickQueue();
    kaio_handlers handlers = {};
    handlers.on_read = OnRead;
    handlers.on_write = OnWrite;
    handlers.on_readv = handlers.on_writev = OnVectored;
    handlers.on_sync = OnSync;
    handlers.on_poll = OnPoll;
    Running running = {run, bits, false};
    kaio_run_report got = {};
    kaio_run_report want = {};
    const kaio_status status = run->Call([&] {
        return kaio_queue_run(As<kaio_queue>(bits), &handlers, &running, kaio_deadline_now(), &got);
    });
    run->Expect("queue_run", status, run->model.QueueRun(bits, running.has_begun, &want));
    MODEL_CHECK(got.ended == want.ended && got.completed_count == want.completed_count &&
                    got.dropped_count == want.dropped_count && got.os_error == want.os_error,
                std::string("a run ended ") + kaio_run_end_name(got.ended) + ", the model " +
                    kaio_run_end_name(want.ended));
    if (kaio_status_is_ok(status)) {
        run->Count((std::string("run ") + kaio_run_end_name(got.ended)).c_str());
    }
}

void QueueCancel(Run *run) {
    const kaio_ticket ticket = {run->PickTicket()};
    const Request *request = run->model.FindRequest(static_cast<Bits>(ticket.bits));
    const Bits bits =
        request != nullptr && !run->choices.OneIn(8) ? request->queue->bits : run->PickQueue();
    const kaio_cancel_answer untouched = KAIO_CANCEL_ASKED;
    kaio_cancel_answer got = untouched;
    kaio_cancel_answer want = KAIO_CANCEL_STALE;
    const kaio_status status =
        run->Call([&] { return kaio_queue_cancel(As<kaio_queue>(bits), ticket, &got); });
    run->Expect("queue_cancel", status, run->model.QueueCancel(bits, ticket.bits, &want));
    MODEL_CHECK(got == (kaio_status_is_ok(status) ? want : untouched),
                kaio_cancel_answer_name(got));
    if (kaio_status_is_ok(status)) {
        run->Count((std::string("cancel ") + kaio_cancel_answer_name(got)).c_str());
    }
}

void QueueCount(Run *run) {
    const Bits bits = run->PickQueue();
    kaio_queue_counts got = {77, 77, 77, 77, 77, 77};
    kaio_queue_counts want = got;
    const kaio_status status =
        run->Call([&] { return kaio_queue_count(As<kaio_queue>(bits), &got); });
    run->Expect("queue_count", status, run->model.QueueCount(bits, &want));
    MODEL_CHECK(memcmp(&got, &want, sizeof got) == 0, "counts");
}

void QueueAsFd(Run *run) {
    const Bits bits = run->PickQueue();
    int fd = -77;
    const kaio_status status =
        run->Call([&] { return kaio_queue_as_fd(As<kaio_queue>(bits), &fd); });
    run->Expect("queue_as_fd", status, run->model.QueueAsFd(bits, fd));
    MODEL_CHECK((fd != -77) == kaio_status_is_ok(status), fd);
}

// ---- files ----

// Learn tells the model what a new file needs; that the library tells the truth about it is
// tests/safe/file_test.cc's.
void Learn(Run *run, kaio_file *handle) {
    File *file = run->model.FindFile(BitsOf(handle));
    MODEL_CHECK(kaio_status_is_ok(kaio_file_alignment(handle, &file->alignment)), "alignment");
    run->CountAlignment(file->alignment);
}

void FileOpen(Run *run) {
    if (run->model.files.size() >= kFilesMax) {
        return;
    }
    static const int modes[] = {O_RDWR, O_RDWR, O_RDWR, O_RDONLY, O_WRONLY, O_RDWR | O_APPEND};
    uint32_t index = run->choices.Below(3);
    if (run->world->resources[index].is_slow && !run->choices.OneIn(3)) {
        index = 0;
    }
    const Resource &resource = run->world->resources[index];
    int flags = modes[run->choices.Below(6)];
    flags = resource.is_slow ? flags & ~O_APPEND : flags;
    kaio_file *file = As<kaio_file>(kUntouched);
    if (run->choices.OneIn(32)) {
        const bool has_path = run->choices.Below(2) == 0;
        const char *path = has_path ? "/nowhere/at/all" : nullptr;
        run->Expect("file_open", run->Call([&] { return kaio_file_open(path, flags, 0, &file); }),
                    has_path ? Answer(KAIO_OS_ERROR, KAIO_SUBJECT_PATH, 0, ENOENT)
                             : NullArgument(KAIO_SUBJECT_PATH));
        ExpectWritten(NullArgument(KAIO_SUBJECT_PATH), BitsOf(file));
        return;
    }
    const kaio_status status = run->Call([&] {
        return kaio_file_open(resource.path.c_str(), flags | resource.open_flags, 0, &file);
    });
    if (status.code == KAIO_OS_ERROR && resource.open_flags != 0) {
        return;  // the file system knows no direct I/O
    }
    int fd = -1;
    MODEL_CHECK(kaio_status_is_ok(status) && kaio_status_is_ok(kaio_file_as_fd(file, &fd)),
                Text(status));
    run->Expect("file_open", status, run->model.FileNew(fd, &resource, true, flags, BitsOf(file)));
    Learn(run, file);
}

void FileAdopt(Run *run) {
    if (run->model.files.size() >= kFilesMax) {
        return;
    }
    kaio_file *file = As<kaio_file>(kUntouched);
    if (run->choices.OneIn(8)) {  // one that is owned already, or that is none
        int fd = -1;
        for (const auto &other : run->model.files) {
            fd = other->is_owned ? other->fd : fd;
        }
        run->Expect("file_adopt", run->Call([&] { return kaio_file_adopt(fd, &file); }),
                    fd >= 0 ? Answer(KAIO_BUSY, KAIO_SUBJECT_DESCRIPTOR)
                            : Answer(KAIO_OS_ERROR, KAIO_SUBJECT_DESCRIPTOR, 0, EBADF));
        ExpectWritten(NullArgument(KAIO_SUBJECT_PATH), BitsOf(file));
        return;
    }
    uint32_t index = run->choices.Below(static_cast<uint32_t>(run->world->resources.size()));
    index = run->world->resources[index].is_slow ? 0 : index;  // not open for direct I/O here
    const Resource &resource = run->world->resources[index];
    const int fd = fcntl(resource.fd, F_DUPFD_CLOEXEC, 0);
    MODEL_CHECK(fd >= 0 && !run->model.IsOwned(fd), fd);
    const kaio_status status = run->Call([&] { return kaio_file_adopt(fd, &file); });
    run->Expect("file_adopt", status,
                run->model.FileNew(fd, &resource, true, O_RDWR, BitsOf(file)));
    Learn(run, file);
}

void FileBorrow(Run *run) {
    if (run->model.files.size() >= kFilesMax) {
        return;
    }
    uint32_t index = run->choices.Below(static_cast<uint32_t>(run->world->resources.size()));
    index = run->world->resources[index].is_slow ? 1 : index;
    const Resource &resource = run->world->resources[index];
    kaio_file *file = As<kaio_file>(kUntouched);
    const kaio_status status = run->Call([&] { return kaio_file_borrow(resource.fd, &file); });
    run->Expect("file_borrow", status,
                run->model.FileNew(resource.fd, &resource, false, O_RDWR, BitsOf(file)));
    Learn(run, file);
}

void FileAttach(Run *run) {
    const Bits file = run->PickFile();
    const Bits queue = run->PickQueue();
    const kaio_status status =
        run->Call([&] { return kaio_file_attach(As<kaio_file>(file), As<kaio_queue>(queue)); });
    run->Expect("file_attach", status, run->model.FileAttach(file, queue));
}

void FileDetach(Run *run) {
    const Bits file = run->PickFile();
    const Bits queue = run->PickQueue();
    const kaio_status status =
        run->Call([&] { return kaio_file_detach(As<kaio_file>(file), As<kaio_queue>(queue)); });
    run->Expect("file_detach", status, run->model.FileDetach(file, queue));
}

void FileClose(Run *run) {
    const Bits bits = run->PickFile();
    kaio_file *file = As<kaio_file>(bits);
    const kaio_status status = run->Call([&] { return kaio_file_close(&file); });
    run->Expect("file_close", status, run->model.FileClose(bits, false));
    ExpectMoved(status, bits, BitsOf(file));
}

void FileDrop(Run *run) {
    const Bits bits = run->PickFile();
    kaio_file *file = As<kaio_file>(bits);
    run->CallVoid([&] { kaio_file_drop(&file); });
    run->model.FileDrop(bits, false);
    MODEL_CHECK(file == nullptr, "a drop consumes");
    run->Count("file_drop");
}

void FileUse(Run *run) {
    const Bits bits = run->PickFile();
    File *file = nullptr;
    switch (run->choices.Below(4)) {
        case 3: {
            int32_t error = -77;
            const kaio_status status =
                run->Call([&] { return kaio_file_clear_sync_error(As<kaio_file>(bits), &error); });
            run->Expect("clear_sync_error", status, run->model.FileUse(bits, &file));
            MODEL_CHECK(error == (file == nullptr ? -77 : file->sync_error), error);
            if (file != nullptr) {
                file->sync_error = 0;
            }
            return;
        }
        case 0: {
            const kaio_status status =
                run->Call([&] { return kaio_file_allow_stall(As<kaio_file>(bits)); });
            run->Expect("file_allow_stall", status, run->model.FileUse(bits, &file));
            if (file != nullptr) {
                file->is_forced = false;
            }
            return;
        }
        case 1: {
            int fd = -77;
            const kaio_status status =
                run->Call([&] { return kaio_file_as_fd(As<kaio_file>(bits), &fd); });
            run->Expect("file_as_fd", status, run->model.FileUse(bits, &file));
            MODEL_CHECK(fd == (file == nullptr ? -77 : file->fd), fd);
            return;
        }
        default: {
            kaio_alignment alignment = {};
            const kaio_status status =
                run->Call([&] { return kaio_file_alignment(As<kaio_file>(bits), &alignment); });
            run->Expect("file_alignment", status, run->model.FileUse(bits, &file));
            MODEL_CHECK(file == nullptr || (alignment.is_direct == file->alignment.is_direct &&
                                            alignment.is_direct == file->resource->is_slow),
                        "whether it is direct");
        }
    }
}

// ---- buffers ----

void BufferNew(Run *run) {
    if (run->model.buffers.size() >= kBuffersMax) {
        return;
    }
    static const size_t sizes[] = {1, 64, 100, 512, 4096, 4096, 8192, 8192};
    static const size_t aligns[] = {1, 64, 512, 4096};
    size_t size = sizes[run->choices.Below(8)];
    size_t align = aligns[(size < 512 ? 0 : 2) + run->choices.Below(2)];
    kaio_buffer *buffer = As<kaio_buffer>(kUntouched);
    if (run->choices.OneIn(24)) {
        const bool has_bad_size = run->choices.Below(2) == 0;
        size = has_bad_size ? (run->choices.Below(2) == 0 ? 0 : kTooLarge) : size;
        align = has_bad_size ? align : 24;
        run->Expect("buffer_new", run->Call([&] { return kaio_buffer_new(size, align, &buffer); }),
                    has_bad_size ? Answer(KAIO_RANGE, KAIO_SUBJECT_SIZE,
                                          std::min<uint64_t>(size, UINT32_MAX) |
                                              uint64_t{KAIO_BUFFER_SIZE_MAX_BYTES} << 32)
                                 : Answer(KAIO_RANGE, KAIO_SUBJECT_ALIGNMENT,
                                          align | uint64_t{KAIO_BUFFER_ALIGN_MAX_BYTES} << 32));
        ExpectWritten(NullArgument(KAIO_SUBJECT_SIZE), BitsOf(buffer));
        return;
    }
    const kaio_status status = run->Call([&] { return kaio_buffer_new(size, align, &buffer); });
    run->Expect("buffer_new", status, Answer(KAIO_OK, KAIO_SUBJECT_NONE));
    run->model.BufferNew(BitsOf(buffer), size);
    Buffer *made = run->model.FindBuffer(BitsOf(buffer));
    made->address = kaio_buffer_as_bytes(buffer);
    MODEL_CHECK(reinterpret_cast<uintptr_t>(made->address) % align == 0, "alignment");
    run->CheckBuffer(*made);
}

void BufferDetach(Run *run) {
    const Bits bits = run->PickBuffer();
    const kaio_status status = run->Call([&] { return kaio_buffer_detach(As<kaio_buffer>(bits)); });
    run->Expect("buffer_detach", status, run->model.BufferDetach(bits));
}

void BufferDrop(Run *run) {
    const Bits bits = run->PickBuffer();
    kaio_buffer *buffer = As<kaio_buffer>(bits);
    run->CallVoid([&] { kaio_buffer_drop(&buffer); });
    run->model.BufferDrop(bits);
    MODEL_CHECK(buffer == nullptr, "a drop consumes");
    run->Count("buffer_drop");
}

// BufferFill looks at any buffer, and writes to it when it is ours.
void BufferFill(Run *run) {
    const Bits bits = run->choices.OneIn(4) && !run->model.buffers.empty()
                          ? run->model.buffers.back()->bits
                          : run->PickBuffer();
    Buffer *buffer = run->model.FindBuffer(bits);
    uint8_t *bytes = run->Call([&] { return kaio_buffer_as_bytes(As<kaio_buffer>(bits)); });
    const size_t size = run->Call([&] { return kaio_buffer_size(As<kaio_buffer>(bits)); });
    run->Count("buffer_as_bytes", buffer == nullptr   ? KAIO_STALE
                                  : buffer->is_pinned ? KAIO_BUSY
                                                      : KAIO_OK);
    MODEL_CHECK(size == (buffer == nullptr ? 0 : buffer->Size()), static_cast<int64_t>(size));
    MODEL_CHECK(bytes == (buffer == nullptr || buffer->is_pinned ? nullptr : buffer->address),
                "where the bytes are");
    if (bytes != nullptr) {
        uint64_t state = run->choices.Bits();
        for (size_t i = 0; i < size; ++i) {
            state = state * UINT64_C(6364136223846793005) + 1;
            bytes[i] = buffer->bytes[i] = static_cast<uint8_t>(state >> 56);
        }
    }
}

// Release is the hook of adopted memory.
void Release(void *context, void *bytes, size_t size_bytes) {
    Adopted *memory = static_cast<Adopted *>(context);
    MODEL_CHECK(bytes == AlignedBytes(memory) && size_bytes == memory->size_bytes,
                "what was released is not what was adopted");
    ++memory->released_count;
}

Adopted *NewAdopted(Run *run, size_t size_bytes) {
    run->model.adopted.push_back(std::make_unique<Adopted>());
    Adopted *memory = run->model.adopted.back().get();
    memory->size_bytes = size_bytes;
    memory->memory.resize(size_bytes + 4096);
    return memory;
}

void BufferAdopt(Run *run) {
    if (run->model.buffers.size() >= kBuffersMax) {
        return;
    }
    Adopted *memory = NewAdopted(run, run->choices.Below(2) == 0 ? 512 : 4096);
    kaio_buffer *buffer = As<kaio_buffer>(kUntouched);
    const kaio_status status = run->Call([&] {
        return kaio_buffer_adopt(AlignedBytes(memory), memory->size_bytes, Release, memory,
                                 &buffer);
    });
    run->Expect("buffer_adopt", status, Answer(KAIO_OK, KAIO_SUBJECT_NONE));
    run->model.BufferAdopt(BitsOf(buffer), memory);
    run->model.FindBuffer(BitsOf(buffer))->address = AlignedBytes(memory);
    MODEL_CHECK(kaio_buffer_as_bytes(buffer) == AlignedBytes(memory), "it was moved");
}

// ---- views ----

void BufferFreeze(Run *run) {
    if (run->model.buffers.size() >= kBuffersMax) {
        return;
    }
    const Bits bits = run->PickBuffer();
    kaio_buffer *buffer = As<kaio_buffer>(bits);
    kaio_view *view = As<kaio_view>(kUntouched);
    const kaio_status status = run->Call([&] { return kaio_buffer_freeze(&buffer, &view); });
    run->Expect("buffer_freeze", status, run->model.BufferFreeze(bits, BitsOf(view)));
    ExpectMoved(status, bits, BitsOf(buffer));
    ExpectWritten(status, BitsOf(view));
}

void ViewShare(Run *run) {
    if (run->model.buffers.size() >= kBuffersMax) {
        return;
    }
    const Bits bits = run->PickView();
    kaio_view *other = As<kaio_view>(kUntouched);
    const kaio_status status =
        run->Call([&] { return kaio_view_share(As<kaio_view>(bits), &other); });
    run->Expect("view_share", status, run->model.ViewShare(bits, BitsOf(other)));
    ExpectWritten(status, BitsOf(other));
}

void ViewThaw(Run *run) {
    const Bits bits = run->PickView();
    kaio_view *view = As<kaio_view>(bits);
    kaio_buffer *buffer = As<kaio_buffer>(kUntouched);
    Bits want = kUntouched;
    const kaio_status status = run->Call([&] { return kaio_view_thaw(&view, &buffer); });
    run->Expect("view_thaw", status, run->model.ViewThaw(bits, &want));
    ExpectMoved(status, bits, BitsOf(view));
    MODEL_CHECK(BitsOf(buffer) == want, "another buffer than was frozen");
}

void ViewDetach(Run *run) {
    const Bits bits = run->PickView();
    const kaio_status status = run->Call([&] { return kaio_view_detach(As<kaio_view>(bits)); });
    run->Expect("view_detach", status, run->model.ViewDetach(bits));
}

void ViewDrop(Run *run) {
    const Bits bits = run->PickView();
    kaio_view *view = As<kaio_view>(bits);
    run->CallVoid([&] { kaio_view_drop(&view); });
    run->model.ViewDrop(bits);
    MODEL_CHECK(view == nullptr, "a drop consumes");
    run->Count("view_drop");
}

void ViewLook(Run *run) {
    const Bits bits = run->PickView();
    const Buffer *view = run->model.FindView(bits);
    const uint8_t *bytes = run->Call([&] { return kaio_view_as_bytes(As<kaio_view>(bits)); });
    const size_t size = run->Call([&] { return kaio_view_size(As<kaio_view>(bits)); });
    MODEL_CHECK(size == (view == nullptr ? 0 : view->Size()), static_cast<int64_t>(size));
    MODEL_CHECK(bytes == (view == nullptr ? nullptr : view->address), "where the bytes are");
    if (view != nullptr) {
        run->CheckBuffer(*view);
    }
    run->Count("view_as_bytes", view == nullptr ? KAIO_STALE : KAIO_OK);
}

// ---- pools ----

void PoolOpen(Run *run) {
    if (run->model.pools.size() >= kPoolsMax) {
        return;
    }
    static const size_t sizes[] = {512, 1000, 4096, 4096};
    kaio_pool_options options = {};
    options.buffer_count = 1 + run->choices.Below(4);
    options.buffer_bytes = sizes[run->choices.Below(4)];
    options.align_bytes = run->choices.Below(2) == 0 ? 0 : 512;
    kaio_pool *pool = As<kaio_pool>(kUntouched);
    if (run->choices.OneIn(16)) {
        options.buffer_count = 0;
        const size_t align = options.align_bytes == 0 ? 4096 : options.align_bytes;
        const size_t bytes = (options.buffer_bytes + align - 1) / align * align;
        const uint64_t max_count = (SIZE_MAX - 2 * KAIO_BUFFER_ALIGN_MAX_BYTES) / bytes;
        run->Expect("pool_open", run->Call([&] { return kaio_pool_open(&options, &pool); }),
                    Answer(KAIO_RANGE, KAIO_SUBJECT_FRAMES,
                           std::min<uint64_t>(max_count, UINT32_MAX) << 32));
        ExpectWritten(NullArgument(KAIO_SUBJECT_POOL), BitsOf(pool));
        return;
    }
    const kaio_status status = run->Call([&] { return kaio_pool_open(&options, &pool); });
    run->Expect("pool_open", status, Answer(KAIO_OK, KAIO_SUBJECT_NONE));
    const size_t align = options.align_bytes == 0 ? 4096 : options.align_bytes;
    run->model.PoolNew(BitsOf(pool), options.buffer_count,
                       (options.buffer_bytes + align - 1) / align * align);
}

// CheckTaken learns where a buffer of a pool or region lies: nowhere else, and as it was left.
Buffer *CheckTaken(Run *run, Bits bits) {
    Buffer *taken = run->model.FindBuffer(bits);
    taken->address = kaio_buffer_as_bytes(As<kaio_buffer>(bits));
    for (const auto &other : run->model.buffers) {
        MODEL_CHECK(other.get() == taken || other->IsView() || other->address != taken->address,
                    "two buffers at one place");
    }
    const auto left = taken->pool->left.find(taken->address);
    if (left != taken->pool->left.end()) {
        taken->bytes = left->second;
    }
    run->CheckBuffer(*taken);
    return taken;
}

void PoolTake(Run *run) {
    const Bits bits = run->PickPool();
    kaio_buffer *buffer = As<kaio_buffer>(kUntouched);
    const kaio_status status =
        run->Call([&] { return kaio_pool_take(As<kaio_pool>(bits), &buffer); });
    run->Expect("pool_take", status, run->model.PoolTake(bits, BitsOf(buffer)));
    ExpectWritten(status, BitsOf(buffer));
    if (!kaio_status_is_ok(status)) {
        return;
    }
    const Buffer *taken = CheckTaken(run, BitsOf(buffer));
    MODEL_CHECK(reinterpret_cast<uintptr_t>(taken->address) % 512 == 0, "alignment");
}

void PoolCount(Run *run) {
    const Bits bits = run->PickPool();
    const Pool *pool = run->model.FindPool(bits);
    if (!run->choices.OneIn(8)) {
        return;  // it reads a file of /proc, which is slow
    }
    kaio_pool_counts counts = {};
    uint32_t out_count = 0;
    const kaio_status status =
        run->Call([&] { return kaio_pool_count(As<kaio_pool>(bits), &counts); });
    run->Expect("pool_count", status, run->model.PoolCount(bits, &out_count));
    MODEL_CHECK(pool == nullptr ||
                    (counts.out_count == out_count && counts.buffer_count == pool->buffer_count &&
                     counts.buffer_bytes == pool->buffer_bytes),
                "counts of a pool");
}

void PoolClose(Run *run) {
    const Bits bits = run->PickPool();
    kaio_pool *pool = As<kaio_pool>(bits);
    const kaio_status status = run->Call([&] { return kaio_pool_close(&pool); });
    run->Expect("pool_close", status, run->model.PoolClose(bits));
    ExpectMoved(status, bits, BitsOf(pool));
}

void PoolDrop(Run *run) {
    const Bits bits = run->PickPool();
    kaio_pool *pool = As<kaio_pool>(bits);
    run->CallVoid([&] { kaio_pool_drop(&pool); });
    run->model.PoolDrop(bits);
    MODEL_CHECK(pool == nullptr, "a drop consumes");
    run->Count("pool_drop");
}

// ---- regions ----

void RegionAdopt(Run *run) {
    if (run->model.pools.size() >= kPoolsMax) {
        return;
    }
    static const size_t sizes[] = {512, 1000, 4096, 4096};
    const size_t frame_bytes = sizes[run->choices.Below(4)];
    const uint32_t frame_count = 1 + run->choices.Below(4);
    kaio_region *region = As<kaio_region>(kUntouched);
    if (run->choices.OneIn(16)) {
        uint8_t byte = 0;
        const bool has_memory = run->choices.Below(2) == 0;
        const size_t size = run->choices.Below(2) == 0 ? 0 : KAIO_BUFFER_SIZE_MAX_BYTES + size_t{1};
        run->Expect("region_adopt", run->Call([&] {
            return kaio_region_adopt(has_memory ? &byte : nullptr, size, 1, nullptr, nullptr,
                                     &region);
        }),
                    has_memory ? Answer(KAIO_RANGE, KAIO_SUBJECT_SIZE,
                                        std::min<uint64_t>(size, UINT32_MAX) |
                                            uint64_t{KAIO_BUFFER_SIZE_MAX_BYTES} << 32)
                               : NullArgument(KAIO_SUBJECT_MEMORY));
        ExpectWritten(NullArgument(KAIO_SUBJECT_MEMORY), BitsOf(region));
        return;
    }
    Adopted *memory = NewAdopted(run, frame_count * frame_bytes);
    const kaio_status status = run->Call([&] {
        return kaio_region_adopt(AlignedBytes(memory), frame_bytes, frame_count, Release, memory,
                                 &region);
    });
    run->Expect("region_adopt", status, Answer(KAIO_OK, KAIO_SUBJECT_NONE));
    run->model.RegionAdopt(BitsOf(region), frame_count, frame_bytes, memory);
}

void RegionTake(Run *run) {
    const Bits bits = run->PickRegion();
    const Pool *region = run->model.FindRegion(bits);
    const uint32_t number = run->choices.Below(5);
    kaio_buffer *buffer = As<kaio_buffer>(kUntouched);
    const kaio_status status =
        run->Call([&] { return kaio_region_take(As<kaio_region>(bits), number, &buffer); });
    run->Expect("region_take", status, run->model.RegionTake(bits, number, BitsOf(buffer)));
    ExpectWritten(status, BitsOf(buffer));
    if (kaio_status_is_ok(status)) {
        Buffer *taken = CheckTaken(run, BitsOf(buffer));
        MODEL_CHECK(taken->address == AlignedBytes(region->memory) + number * region->buffer_bytes,
                    "another frame");
    }
}

void RegionCount(Run *run) {
    const Bits bits = run->PickRegion();
    const Pool *region = run->model.FindRegion(bits);
    kaio_region_counts counts = {};
    uint32_t out_count = 0;
    const kaio_status status =
        run->Call([&] { return kaio_region_count(As<kaio_region>(bits), &counts); });
    run->Expect("region_count", status, run->model.RegionCount(bits, &out_count));
    MODEL_CHECK(region == nullptr ||
                    (counts.out_count == out_count && counts.frame_count == region->buffer_count),
                "counts of a region");
}

void RegionClose(Run *run) {
    const Bits bits = run->PickRegion();
    kaio_region *region = As<kaio_region>(bits);
    const kaio_status status = run->Call([&] { return kaio_region_close(&region); });
    run->Expect("region_close", status, run->model.RegionClose(bits));
    ExpectMoved(status, bits, BitsOf(region));
}

void RegionDrop(Run *run) {
    const Bits bits = run->PickRegion();
    kaio_region *region = As<kaio_region>(bits);
    run->CallVoid([&] { kaio_region_drop(&region); });
    run->model.RegionDrop(bits);
    MODEL_CHECK(region == nullptr, "a drop consumes");
    run->Count("region_drop");
}

// ---- requests ----

// NewShared makes an idle write of a view, or with `user` a pushed one.
void NewShared(Run *run, const uint64_t *user) {
    const Bits queue_bits = run->PickQueue();
    const Bits view_bits = run->PickView();
    const Bits file_bits = run->Suitable(run->PickFile(true), view_bits);
    kaio_queue *queue = As<kaio_queue>(queue_bits);
    kaio_file *file = As<kaio_file>(file_bits);
    kaio_view *view = As<kaio_view>(view_bits);
    const kaio_range range = run->PickRange(file_bits, view_bits);
    const kaio_rw_flags flags = kaio_rw_flags_from_bits(run->PickFlags(file_bits));
    kaio_write *write = As<kaio_write>(kUntouched);
    kaio_ticket ticket = {kUntouched};
    const kaio_status status = run->Call([&] {
        return user == nullptr
                   ? kaio_write_new_shared(queue, file, range, flags, &view, &write)
                   : kaio_write_start_shared(queue, file, range, flags, *user, &view, &ticket);
    });
    const Bits out = user == nullptr ? BitsOf(write) : static_cast<Bits>(ticket.bits);
    run->Expect(user == nullptr ? "write_new_shared" : "write_start_shared", status,
                run->model.TransferNew(KAIO_WRITE, queue_bits, file_bits, range, flags.bits,
                                       view_bits, true, out));
    ExpectMoved(status, view_bits, BitsOf(view));
    ExpectWritten(status, out);
    if (user != nullptr && kaio_status_is_ok(status)) {
        run->model.Push(out, KAIO_WRITE, *user);
    }
}

void WriteNewShared(Run *run) {
    NewShared(run, nullptr);
}

void WriteStartShared(Run *run) {
    const uint64_t user = run->choices.Bits();
    NewShared(run, &user);
}

void WriteAbandonShared(Run *run) {
    const Bits bits = run->PickRequest(KAIO_WRITE);
    kaio_write *write = As<kaio_write>(bits);
    kaio_view *view = As<kaio_view>(kUntouched);
    const kaio_status status = run->Call([&] { return kaio_write_abandon_shared(&write, &view); });
    Bits want = kUntouched;
    run->Expect("abandon_shared", status, run->model.Abandon(bits, KAIO_WRITE, true, &want));
    ExpectMoved(status, bits, BitsOf(write));
    MODEL_CHECK(BitsOf(view) == want, "the view of an abandoned request");
}

// NewVector makes an idle vectored request, or with `user` a pushed one: of buffers, and writes of
// views, too.
void NewVector(Run *run, const uint64_t *user) {
    const kaio_operation operation = run->choices.Below(2) == 0 ? KAIO_READV : KAIO_WRITEV;
    const Bits queue_bits = run->PickQueue();
    Bits file_bits = run->PickFile(true);
    std::vector<kaio_segment> segments;
    const uint32_t count = 1 + run->choices.Below(kPartsMax);
    for (uint32_t i = 0; i < count; ++i) {
        const bool is_view = run->choices.OneIn(operation == KAIO_WRITEV ? 3 : 16);
        const Bits bits = is_view ? run->PickView() : run->PickBuffer();
        file_bits = run->Suitable(file_bits, bits);
        const kaio_range range = run->PickRange(file_bits, bits);
        kaio_segment segment = {};
        segment.buffer = is_view ? nullptr : As<kaio_buffer>(bits);
        segment.view = is_view ? As<kaio_view>(bits) : nullptr;
        segment.buffer_offset_bytes = range.buffer_offset_bytes;
        segment.size_bytes = range.size_bytes;
        segments.push_back(segment);
    }
    uint64_t offset = run->PickRange(file_bits, 0).file_offset_bytes;
    if (offset > UINT32_MAX) {  // past the largest offset that there is, with these sizes
        offset = static_cast<uint64_t>(INT64_MAX) + 1;
    }
    const kaio_rw_flags flags = kaio_rw_flags_from_bits(run->PickFlags(file_bits));
    const std::vector<kaio_segment> before = segments;
    kaio_queue *queue = As<kaio_queue>(queue_bits);
    kaio_file *file = As<kaio_file>(file_bits);
    kaio_segment *list = segments.data();
    kaio_readv *readv = As<kaio_readv>(kUntouched);
    kaio_writev *writev = As<kaio_writev>(kUntouched);
    kaio_ticket ticket = {kUntouched};
    const bool is_read = operation == KAIO_READV;
    const kaio_status status = run->Call([&] {
        if (user == nullptr) {
            return is_read ? kaio_readv_new(queue, file, offset, flags, list, count, &readv)
                           : kaio_writev_new(queue, file, offset, flags, list, count, &writev);
        }
        return is_read ? kaio_readv_start(queue, file, offset, flags, *user, list, count, &ticket)
                       : kaio_writev_start(queue, file, offset, flags, *user, list, count, &ticket);
    });
    Bits out = is_read ? BitsOf(readv) : BitsOf(writev);
    out = user == nullptr ? out : static_cast<Bits>(ticket.bits);
    static const char *const names[2][2] = {{"writev_new", "readv_new"},
                                            {"writev_start", "readv_start"}};
    run->Expect(
        names[user != nullptr][is_read], status,
        run->model.VectorNew(operation, queue_bits, file_bits, offset, flags.bits, before, out));
    ExpectWritten(status, out);
    for (uint32_t i = 0; i < count; ++i) {
        ExpectMoved(status, BitsOf(before[i].buffer), BitsOf(segments[i].buffer));
        ExpectMoved(status, BitsOf(before[i].view), BitsOf(segments[i].view));
    }
    if (user != nullptr && kaio_status_is_ok(status)) {
        run->model.Push(out, operation, *user);
    }
}

void VectorNew(Run *run) {
    NewVector(run, nullptr);
}

void VectorStart(Run *run) {
    const uint64_t user = run->choices.Bits();
    NewVector(run, &user);
}

// New makes an idle request, or with `user` a pushed one.
void New(Run *run, kaio_operation operation, const uint64_t *user) {
    const Bits queue_bits = run->PickQueue();
    kaio_queue *queue = As<kaio_queue>(queue_bits);
    Bits file_bits = run->PickFile(operation == KAIO_READ || operation == KAIO_WRITE);
    Bits out = kUntouched;
    kaio_ticket ticket = {kUntouched};
    kaio_status got;
    kaio_status want;
    if (operation == KAIO_READ || operation == KAIO_WRITE) {
        const bool is_read = operation == KAIO_READ;
        const Bits buffer_bits = run->PickBuffer();
        file_bits = run->Suitable(file_bits, buffer_bits);
        kaio_file *file = As<kaio_file>(file_bits);
        kaio_buffer *buffer = As<kaio_buffer>(buffer_bits);
        const kaio_range range = run->PickRange(file_bits, buffer_bits);
        const kaio_rw_flags flags = kaio_rw_flags_from_bits(run->PickFlags(file_bits));
        kaio_read *read = As<kaio_read>(kUntouched);
        kaio_write *write = As<kaio_write>(kUntouched);
        got = run->Call([&] {
            if (user == nullptr) {
                return is_read ? kaio_read_new(queue, file, range, flags, &buffer, &read)
                               : kaio_write_new(queue, file, range, flags, &buffer, &write);
            }
            return is_read ? kaio_read_start(queue, file, range, flags, *user, &buffer, &ticket)
                           : kaio_write_start(queue, file, range, flags, *user, &buffer, &ticket);
        });
        out = is_read ? BitsOf(read) : BitsOf(write);
        out = user == nullptr ? out : static_cast<Bits>(ticket.bits);
        want = run->model.TransferNew(operation, queue_bits, file_bits, range, flags.bits,
                                      buffer_bits, false, out);
        ExpectMoved(got, buffer_bits, BitsOf(buffer));
    } else if (operation == KAIO_SYNC) {
        const kaio_sync_kind kind = static_cast<kaio_sync_kind>(run->choices.Below(4));
        kaio_file *file = As<kaio_file>(file_bits);
        kaio_sync *sync = As<kaio_sync>(kUntouched);
        got = run->Call([&] {
            return user == nullptr ? kaio_sync_new(queue, file, kind, &sync)
                                   : kaio_sync_start(queue, file, kind, *user, &ticket);
        });
        out = user == nullptr ? BitsOf(sync) : static_cast<Bits>(ticket.bits);
        want = run->model.SyncNew(queue_bits, file_bits, kind, out);
    } else {
        static const uint16_t masks[] = {0x1, 0x4, 0x2, 0x5, 0x0, 0x1};
        const kaio_poll_events events = {masks[run->choices.Below(6)]};
        kaio_file *file = As<kaio_file>(file_bits);
        kaio_poll *poll = As<kaio_poll>(kUntouched);
        got = run->Call([&] {
            return user == nullptr ? kaio_poll_new(queue, file, events, &poll)
                                   : kaio_poll_start(queue, file, events, *user, &ticket);
        });
        out = user == nullptr ? BitsOf(poll) : static_cast<Bits>(ticket.bits);
        want = run->model.PollNew(queue_bits, file_bits, events, out);
    }
    static const char *const names[2][7] = {
        {"", "read_new", "write_new", "", "", "sync_new", "poll_new"},
        {"", "read_start", "write_start", "", "", "sync_start", "poll_start"}};
    run->Expect(names[user != nullptr][operation], got, want);
    ExpectWritten(got, out);
    if (user != nullptr && kaio_status_is_ok(got)) {
        run->model.Push(out, operation, *user);
    }
}

void RequestNew(Run *run) {
    New(run, run->PickOperation(), nullptr);
}

void RequestStart(Run *run) {
    const uint64_t user = run->choices.Bits();
    New(run, run->PickOperation(), &user);
}

// NewWithNull leaves one argument out.
void NewWithNull(Run *run) {
    const Bits queue_bits = run->PickQueue();
    kaio_queue *queue = As<kaio_queue>(queue_bits);
    const kaio_range range = {};
    kaio_buffer *buffer = nullptr;
    kaio_read *read = As<kaio_read>(kUntouched);
    const uint32_t choice = run->choices.Below(3);
    const kaio_status status = run->Call([&] {
        switch (choice) {
            case 0:
                return kaio_read_new(queue, nullptr, range, kaio_rw_none(), &buffer, nullptr);
            case 1:
                return kaio_read_new(queue, nullptr, range, kaio_rw_none(), nullptr, &read);
            default:
                return kaio_sync_new(queue, nullptr, KAIO_SYNC_DATA, nullptr);
        }
    });
    const kaio_subject subject = choice == 1 ? KAIO_SUBJECT_BUFFER : KAIO_SUBJECT_OUTPUT;
    run->Expect("new_with_null", status, NullArgument(subject));
    ExpectWritten(status, BitsOf(read));
}

void RequestPush(Run *run) {
    const kaio_operation operation = run->PickAnyOperation();
    const Bits bits = run->PickRequest(operation);
    const uint64_t user = run->choices.Bits();
    const kaio_ticket got = run->Call([&] { return PushBits(operation, bits, user); });
    const uint64_t want = run->model.Push(bits, operation, user);
    Remember("push -> " + std::to_string(got.bits));
    MODEL_CHECK(got.bits == want, "the ticket of a push");
    run->Count("push", want != 0 ? KAIO_OK : KAIO_STALE);
}

void RequestAbandon(Run *run) {
    const kaio_operation operation = run->PickOperation();
    const Bits bits = run->PickRequest(operation);
    kaio_read *read = As<kaio_read>(bits);
    kaio_write *write = As<kaio_write>(bits);
    kaio_sync *sync = As<kaio_sync>(bits);
    kaio_poll *poll = As<kaio_poll>(bits);
    kaio_buffer *buffer = As<kaio_buffer>(kUntouched);
    const kaio_status status = run->Call([&] {
        switch (operation) {
            case KAIO_READ:
                return kaio_read_abandon(&read, &buffer);
            case KAIO_WRITE:
                return kaio_write_abandon(&write, &buffer);
            case KAIO_SYNC:
                return kaio_sync_abandon(&sync);
            default:
                return kaio_poll_abandon(&poll);
        }
    });
    Bits want = 0;
    run->Expect("abandon", status, run->model.Abandon(bits, operation, false, &want));
    const bool is_transfer = operation == KAIO_READ || operation == KAIO_WRITE;
    const Bits after = operation == KAIO_READ    ? BitsOf(read)
                       : operation == KAIO_WRITE ? BitsOf(write)
                       : operation == KAIO_SYNC  ? BitsOf(sync)
                                                 : BitsOf(poll);
    ExpectMoved(status, bits, after);
    MODEL_CHECK(BitsOf(buffer) == (is_transfer && kaio_status_is_ok(status) ? want : kUntouched),
                "the buffer of an abandoned request");
    if (is_transfer && kaio_status_is_ok(status)) {
        run->CheckBuffer(*run->model.FindBuffer(want));
    }
}

void VectorAbandon(Run *run) {
    const kaio_operation operation = run->PickVectored();
    const Bits bits = run->PickRequest(operation);
    kaio_readv *readv = As<kaio_readv>(bits);
    kaio_writev *writev = As<kaio_writev>(bits);
    kaio_segment segments[kPartsMax] = {};
    uint32_t count = 77;
    const uint32_t capacity =
        run->choices.OneIn(4) ? run->choices.Below(kPartsMax) : uint32_t{kPartsMax};
    const kaio_status status = run->Call([&] {
        return operation == KAIO_READV ? kaio_readv_abandon(&readv, segments, capacity, &count)
                                       : kaio_writev_abandon(&writev, segments, capacity, &count);
    });
    std::vector<Part> parts;
    run->Expect("abandon_vector", status,
                run->model.AbandonVector(bits, operation, capacity, &parts));
    ExpectMoved(status, bits, operation == KAIO_READV ? BitsOf(readv) : BitsOf(writev));
    MODEL_CHECK(count == (kaio_status_is_ok(status) ? parts.size() : 77), "how many segments");
    for (size_t i = 0; i < parts.size(); ++i) {
        const Buffer &memory = *parts[i].memory;
        MODEL_CHECK(
            segments[i].buffer == (memory.IsView() ? nullptr : As<kaio_buffer>(memory.bits)) &&
                segments[i].view == (memory.IsView() ? As<kaio_view>(memory.bits) : nullptr) &&
                segments[i].buffer_offset_bytes == parts[i].offset_bytes &&
                segments[i].size_bytes == parts[i].size_bytes,
            "a segment of an abandoned request");
        run->CheckBuffer(memory);
    }
}

void RequestDrop(Run *run) {
    const kaio_operation operation = run->PickAnyOperation();
    const Bits bits = run->PickRequest(operation);
    run->CallVoid([&] { DropBits(operation, bits); });
    run->model.Drop(bits, operation);
    run->Count("request_drop");
}

void SetPriority(Run *run) {
    const kaio_operation operation =
        run->choices.OneIn(3) ? run->PickVectored() : run->PickTransfer();
    const Bits bits = run->PickRequest(operation);
    const kaio_priority priority = kaio_priority_from_class(
        static_cast<uint8_t>(run->choices.Below(5)), static_cast<uint8_t>(run->choices.Below(9)));
    const kaio_status status = run->Call([&] {
        switch (operation) {
            case KAIO_READ:
                return kaio_read_set_priority(As<kaio_read>(bits), priority);
            case KAIO_WRITE:
                return kaio_write_set_priority(As<kaio_write>(bits), priority);
            case KAIO_READV:
                return kaio_readv_set_priority(As<kaio_readv>(bits), priority);
            default:
                return kaio_writev_set_priority(As<kaio_writev>(bits), priority);
        }
    });
    run->Expect("set_priority", status, run->model.SetPriority(bits, operation, priority));
}

void Retarget(Run *run) {
    const kaio_operation operation = run->PickTransfer();
    const Bits bits = run->PickRequest(operation);
    const Request *request = run->model.FindRequest(bits);
    const bool has_buffer = request != nullptr && request->buffer != nullptr;
    const Bits buffer_bits = has_buffer ? request->buffer->bits : 0;
    const Bits file_bits = run->Suitable(run->PickFile(true), buffer_bits);
    kaio_file *file = As<kaio_file>(file_bits);
    const kaio_range range = run->PickRange(file_bits, buffer_bits);
    const kaio_rw_flags flags = kaio_rw_flags_from_bits(run->PickFlags(file_bits));
    const kaio_status status = run->Call([&] {
        return operation == KAIO_READ
                   ? kaio_read_retarget(As<kaio_read>(bits), file, range, flags)
                   : kaio_write_retarget(As<kaio_write>(bits), file, range, flags);
    });
    run->Expect("retarget", status,
                run->model.Retarget(bits, operation, file_bits, range, flags.bits));
}

void Retype(Run *run) {
    const kaio_operation from = run->PickTransfer();
    const Bits bits = run->PickRequest(from);
    kaio_read *read = As<kaio_read>(from == KAIO_READ ? bits : kUntouched);
    kaio_write *write = As<kaio_write>(from == KAIO_READ ? kUntouched : bits);
    const kaio_status status = run->Call([&] {
        return from == KAIO_READ ? kaio_read_into_write(&read, &write)
                                 : kaio_write_into_read(&write, &read);
    });
    const Bits out = from == KAIO_READ ? BitsOf(write) : BitsOf(read);
    run->Expect("retype", status, run->model.Retype(bits, from, out));
    ExpectMoved(status, bits, from == KAIO_READ ? BitsOf(read) : BitsOf(write));
    ExpectWritten(status, out);
}

void VectorRetarget(Run *run) {
    const kaio_operation operation = run->PickVectored();
    const Bits bits = run->PickRequest(operation);
    const Bits file_bits = run->PickFile(true);
    kaio_file *file = As<kaio_file>(file_bits);
    uint64_t offset = run->PickRange(file_bits, 0).file_offset_bytes;
    if (offset > UINT32_MAX) {  // past the largest offset that there is, with these sizes
        offset = static_cast<uint64_t>(INT64_MAX) + 1;
    }
    const kaio_rw_flags flags = kaio_rw_flags_from_bits(run->PickFlags(file_bits));
    const kaio_status status = run->Call([&] {
        return operation == KAIO_READV
                   ? kaio_readv_retarget(As<kaio_readv>(bits), file, offset, flags)
                   : kaio_writev_retarget(As<kaio_writev>(bits), file, offset, flags);
    });
    run->Expect("retarget_vector", status,
                run->model.RetargetVector(bits, operation, file_bits, offset, flags.bits));
}

void VectorRetype(Run *run) {
    const kaio_operation from = run->PickVectored();
    const Bits bits = run->PickRequest(from);
    kaio_readv *readv = As<kaio_readv>(from == KAIO_READV ? bits : kUntouched);
    kaio_writev *writev = As<kaio_writev>(from == KAIO_READV ? kUntouched : bits);
    const kaio_status status = run->Call([&] {
        return from == KAIO_READV ? kaio_readv_into_writev(&readv, &writev)
                                  : kaio_writev_into_readv(&writev, &readv);
    });
    const Bits out = from == KAIO_READV ? BitsOf(writev) : BitsOf(readv);
    run->Expect("retype_vector", status, run->model.Retype(bits, from, out));
    ExpectMoved(status, bits, from == KAIO_READV ? BitsOf(readv) : BitsOf(writev));
    ExpectWritten(status, out);
}

// VectorRestStart goes on behind `kept[index]`, a vectored one.
void VectorRestStart(Run *run, uint32_t index) {
    Kept kept = run->kept[index];
    const Kept before = kept;
    kaio_completion *completion = &kept.completion;
    completion->segments = kept.segments.data();
    const kaio_operation operation =
        run->choices.OneIn(8) ? run->PickVectored() : completion->operation;
    const Bits queue_bits = run->PickQueue();
    const Bits file_bits = run->PickFile(true);
    const kaio_rw_flags flags = kaio_rw_flags_from_bits(run->PickFlags(file_bits));
    kaio_ticket ticket = {kUntouched};
    kaio_queue *queue = As<kaio_queue>(queue_bits);
    kaio_file *file = As<kaio_file>(file_bits);
    const kaio_status status = run->Call([&] {
        return operation == KAIO_READV
                   ? kaio_readv_rest_start(queue, file, flags, completion, &ticket)
                   : kaio_writev_rest_start(queue, file, flags, completion, &ticket);
    });
    const Bits out = static_cast<Bits>(ticket.bits);
    kaio_status want = Answer(KAIO_EMPTY, KAIO_SUBJECT_SIZE);
    uint32_t done = 0;
    if (completion->operation == operation && completion->transfer == KAIO_TRANSFER_SHORT) {
        uint64_t moved_bytes = completion->moved_bytes;
        while (before.segments[done].size_bytes <= moved_bytes) {
            moved_bytes -= before.segments[done++].size_bytes;
        }
        std::vector<kaio_segment> rest(before.segments.begin() + done,
                                       before.segments.begin() + completion->segment_count);
        rest[0].buffer_offset_bytes += static_cast<uint32_t>(moved_bytes);
        rest[0].size_bytes -= static_cast<uint32_t>(moved_bytes);
        want = run->model.VectorNew(operation, queue_bits, file_bits,
                                    completion->range.file_offset_bytes + completion->moved_bytes,
                                    flags.bits, rest, out);
    }
    run->Expect("vector_rest_start", status, want);
    ExpectWritten(status, out);
    for (uint32_t i = 0; i < completion->segment_count; ++i) {
        const kaio_segment &was = before.segments[i];
        const bool is_gone = kaio_status_is_ok(status) && i >= done;
        MODEL_CHECK(kept.segments[i].buffer == (is_gone ? nullptr : was.buffer) &&
                        kept.segments[i].view == (is_gone ? nullptr : was.view),
                    "the handles of a rest");
        MODEL_CHECK(is_gone || (kept.segments[i].size_bytes == was.size_bytes &&
                                kept.segments[i].buffer_offset_bytes == was.buffer_offset_bytes),
                    "a segment that was left");
    }
    if (kaio_status_is_ok(status)) {
        run->model.Push(out, operation, completion->user);
        run->kept.erase(run->kept.begin() + index);
    }
}

// RestStart goes on behind what was taken: mostly a short transfer.
void RestStart(Run *run) {
    if (run->kept.empty()) {
        return;
    }
    const uint32_t index = run->choices.Below(static_cast<uint32_t>(run->kept.size()));
    if (run->kept[index].completion.segments != nullptr) {
        VectorRestStart(run, index);
        return;
    }
    kaio_completion completion = run->kept[index].completion;
    const kaio_completion before = completion;
    const kaio_operation operation =
        run->choices.OneIn(8) ? run->PickTransfer() : completion.operation;
    const Bits queue_bits = run->PickQueue();
    const Bits file_bits = run->Suitable(run->PickFile(true), MemoryOf(completion));
    const kaio_rw_flags flags = kaio_rw_flags_from_bits(run->PickFlags(file_bits));
    kaio_ticket ticket = {kUntouched};
    kaio_queue *queue = As<kaio_queue>(queue_bits);
    kaio_file *file = As<kaio_file>(file_bits);
    const kaio_status status = run->Call([&] {
        return operation == KAIO_READ
                   ? kaio_read_rest_start(queue, file, flags, &completion, &ticket)
                   : kaio_write_rest_start(queue, file, flags, &completion, &ticket);
    });
    kaio_status want = Answer(KAIO_EMPTY, KAIO_SUBJECT_SIZE);
    if (before.operation == operation && before.transfer == KAIO_TRANSFER_SHORT) {
        kaio_range range = before.range;
        range.file_offset_bytes += before.moved_bytes;
        range.buffer_offset_bytes += static_cast<uint32_t>(before.moved_bytes);
        range.size_bytes -= static_cast<uint32_t>(before.moved_bytes);
        want = run->model.TransferNew(operation, queue_bits, file_bits, range, flags.bits,
                                      MemoryOf(before), before.view != nullptr,
                                      static_cast<Bits>(ticket.bits));
    }
    run->Expect("rest_start", status, want);
    ExpectMoved(status, MemoryOf(before), MemoryOf(completion));
    ExpectWritten(status, static_cast<Bits>(ticket.bits));
    if (kaio_status_is_ok(status)) {
        run->model.Push(static_cast<Bits>(ticket.bits), operation, before.user);
        run->kept.erase(run->kept.begin() + index);
    }
}

void CompletionDrop(Run *run) {
    if (run->kept.empty()) {
        return;
    }
    Kept kept = run->kept.back();
    kaio_completion *completion = &kept.completion;
    completion->segments = completion->segments == nullptr ? nullptr : kept.segments.data();
    const std::vector<Bits> memories = MemoriesOf(*completion);
    run->kept.pop_back();
    run->CallVoid([&] { kaio_completion_drop(completion); });
    run->model.Collect();
    for (const Bits memory : memories) {
        run->model.MemoryDrop(memory);
    }
    MODEL_CHECK(MemoryOf(*completion) == 0, "a drop consumes");
    run->Count("completion_drop");
}

// ---- the kernel, the pipes ----

void KernelGoesOn(Run *run) {
    kaio_sim_complete(run->choices.Below(4) + 1);
    run->model.Completed();
}

uint16_t Chance(Run *run, uint32_t one_in) {
    return static_cast<uint16_t>(run->choices.Below(2) == 0 ? 0 : 65536 / one_in);
}

// KernelChanges begins another script: calm, slow, or hostile in some ways.
void KernelChanges(Run *run) {
    kaio_sim_script script = {};
    script.seed = run->choices.Bits();
    script.reorder = run->choices.Below(2) == 0;
    script.chances.delay = Chance(run, 2);
    if (run->choices.Below(3) != 0) {
        script.no_ring = run->choices.OneIn(8);
        script.no_pgetevents = run->choices.OneIn(8);
        script.submit_limit = run->choices.OneIn(4) ? 1 + run->choices.Below(4) : 0;
        script.chances.refuse = Chance(run, 8);
        script.chances.shortage = Chance(run, 8);
        script.chances.shorten = Chance(run, 3);
        script.chances.fail = Chance(run, 6);
        script.chances.duplicate = Chance(run, 4);
        script.chances.interrupt = Chance(run, 4);
        script.chances.miss = Chance(run, 4);
        script.chances.getevents_failure = Chance(run, 16);
        script.chances.cancel_failure = Chance(run, 8);
        script.chances.setup_failure = Chance(run, 8);
    }
    run->Play(script);
}

// ForgeEvent has the kernel deliver an event that names nothing which is in flight, or will be.
void ForgeEvent(Run *run) {
    Queue *queue = run->AnyQueue();
    if (queue == nullptr || !queue->has_ring || queue->is_ending || queue->ring.size() > 32) {
        return;
    }
    const Bits bits = run->Invented();
    const Bits kind = bits % 16;
    if (run->model.FindRequest(bits) != nullptr ||
        (kind <= KAIO_POLL && !run->model.WasGivenOut(bits))) {
        return;  // a request, or one of the future
    }
    kaio_testing_forge_event(As<kaio_queue>(queue->bits), bits, 0);
    run->model.Forged(queue, 0);
}

void PipeFeed(Run *run) {
    run->world->Feed(run->choices.Below(World::kPipeCount), 1 + run->choices.Below(2000),
                     run->choices.Bits());
}

void PipeDrain(Run *run) {
    run->world->Drain(run->choices.Below(World::kPipeCount), 1 + run->choices.Below(8000));
}

// ---- other threads and processes ----

// Elsewhere makes a call in a thread of its own, which ends.
template <typename Function>
void Elsewhere(Run *run, Function function) {
    run->is_elsewhere = true;
    std::thread thread(function);
    thread.join();
    run->is_elsewhere = false;
}

void OtherThread(Run *run) {
    if (run->handler_depth > 0) {
        return;
    }
    const Bits queue_bits = run->PickQueue();
    kaio_queue *queue = As<kaio_queue>(queue_bits);
    kaio_status got;
    switch (run->choices.Below(9)) {
        case 7:
            Elsewhere(run, [&] { kaio_queue_wake(queue); });
            run->model.QueueWake(queue_bits);
            run->Count("elsewhere_wake");
            return;
        case 0: {
            kaio_queue_counts counts;
            Elsewhere(run, [&] { got = kaio_queue_count(queue, &counts); });
            run->Expect("elsewhere_count", got, run->model.PeekQueue(queue_bits, false, true));
            return;
        }
        case 1: {
            kaio_completion completion;
            Elsewhere(run, [&] { got = kaio_queue_take(queue, &completion); });
            run->Expect("elsewhere_take", got, run->model.PeekQueue(queue_bits, false, true));
            return;
        }
        case 2: {
            const kaio_operation operation = run->PickAnyOperation();
            const Bits bits = run->PickRequest(operation);
            const kaio_status why = run->model.PeekRequest(bits, operation, false, true);
            kaio_ticket ticket = {};
            Elsewhere(run, [&] { ticket = PushBits(operation, bits, 5); });
            run->model.PushElsewhere(bits, operation);
            MODEL_CHECK(ticket.bits == (why.code == KAIO_WRONG_THREAD ? bits : 0), Text(why));
            run->Count("elsewhere_push", static_cast<kaio_code>(why.code));
            return;
        }
        case 3: {
            const kaio_operation operation = run->PickAnyOperation();
            const Bits bits = run->PickRequest(operation);
            Elsewhere(run, [&] { DropBits(operation, bits); });
            run->model.PushElsewhere(bits, operation);
            run->Count("elsewhere_drop");
            return;
        }
        case 4: {
            const bool is_view = run->choices.Below(2) == 0;
            const Bits bits = is_view ? run->PickView() : run->PickBuffer();
            kaio_buffer *buffer = As<kaio_buffer>(bits);
            kaio_view *view = As<kaio_view>(bits);
            Elsewhere(run, [&] { is_view ? kaio_view_drop(&view) : kaio_buffer_drop(&buffer); });
            if ((is_view ? run->model.FindView(bits) : run->model.FindBuffer(bits)) != nullptr) {
                run->model.MemoryDropElsewhere(bits);
            }
            run->Count("elsewhere_drop");
            return;
        }
        case 5: {
            const Bits bits = run->PickFile();
            kaio_file *file = As<kaio_file>(bits);
            Elsewhere(run, [&] { got = kaio_file_close(&file); });
            run->Expect("elsewhere_close", got, run->model.FileClose(bits, true));
            return;
        }
        case 6: {
            const Queue *there = run->model.FindQueue(queue_bits);
            Elsewhere(run, [&] { got = kaio_queue_attach(queue); });
            run->Expect("elsewhere_attach", got,
                        there != nullptr && !there->has_owner
                            ? Answer(KAIO_OK, KAIO_SUBJECT_NONE)
                            : run->model.PeekQueue(queue_bits, false, true));
            return;
        }
        default:
            if (run->choices.OneIn(4)) {
                Elsewhere(run, [&] { kaio_queue_drop(&queue); });
                run->model.QueueDropElsewhere(queue_bits);
                run->Count("elsewhere_drop");
            }
    }
}

// AnswersForked is what a child finds: nothing is its own.
bool AnswersForked(const Model &model) {
    bool is_good = true;
    const auto expect = [&](kaio_status status) { is_good &= status.code == KAIO_FORKED; };
    for (const auto &queue : model.queues) {
        kaio_queue *handle = As<kaio_queue>(queue->bits);
        kaio_queue_counts counts;
        uint32_t ready_count;
        expect(kaio_queue_count(handle, &counts));
        expect(kaio_queue_wait(handle, 1, kaio_deadline_never(), &ready_count));
        expect(kaio_queue_attach(handle));
        expect(kaio_queue_close(&handle));
        kaio_queue_drop(&handle);
    }
    for (const auto &file : model.files) {
        kaio_file *handle = As<kaio_file>(file->bits);
        expect(kaio_file_close(&handle));
        kaio_file_drop(&handle);
        is_good &= fcntl(file->fd, F_GETFD) >= 0;  // it was not closed
    }
    for (const auto &pool : model.pools) {
        kaio_pool *handle = As<kaio_pool>(pool->bits);
        kaio_region *region = As<kaio_region>(pool->bits);
        kaio_buffer *buffer = nullptr;
        if (pool->memory != nullptr) {
            if (!pool->is_dropped) {
                expect(kaio_region_take(region, 0, &buffer));
                expect(kaio_region_close(&region));
            }
            kaio_region_drop(&region);
            continue;
        }
        if (!pool->is_dropped) {
            expect(kaio_pool_take(handle, &buffer));
            expect(kaio_pool_close(&handle));
        }
        kaio_pool_drop(&handle);
    }
    for (const auto &buffer : model.buffers) {
        if (buffer->IsView()) {
            kaio_view *view = As<kaio_view>(buffer->bits);
            kaio_buffer *thawed = nullptr;
            expect(kaio_view_thaw(&view, &thawed));
            is_good &= kaio_view_as_bytes(view) == nullptr;
            kaio_view_drop(&view);
            continue;
        }
        kaio_buffer *handle = As<kaio_buffer>(buffer->bits);
        expect(kaio_buffer_detach(handle));
        is_good &= kaio_buffer_as_bytes(handle) == nullptr;
        kaio_buffer_drop(&handle);
    }
    for (const auto &request : model.requests) {
        if (request->state != State::kIdle) {
            continue;
        }
        if (request->operation == KAIO_READ) {
            kaio_read *handle = As<kaio_read>(request->bits);
            kaio_buffer *none = nullptr;
            expect(kaio_read_abandon(&handle, &none));
        }
        is_good &= PushBits(request->operation, request->bits, 0).bits == 0;
        DropBits(request->operation, request->bits);
    }
    kaio_buffer *own = nullptr;
    is_good &= kaio_status_is_ok(kaio_buffer_new(16, 1, &own));
    kaio_buffer_drop(&own);
    return is_good && own == nullptr;
}

void Fork(Run *run) {
    if (run->handler_depth > 0 || !run->world->can_fork) {
        return;
    }
    const pid_t child = fork();
    MODEL_CHECK(child >= 0, strerror(errno));
    if (child == 0) {
        kaio_sim_watch(nullptr, nullptr);
        _exit(AnswersForked(run->model) ? 0 : 1);
    }
    int status = 0;
    MODEL_CHECK(waitpid(child, &status, 0) == child, strerror(errno));
    MODEL_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "something is the child's");
    run->Count("fork", KAIO_FORKED);
}

}  // namespace

kaio_ticket PushBits(kaio_operation operation, Bits bits, uint64_t user) {
    kaio_read *read = As<kaio_read>(bits);
    kaio_write *write = As<kaio_write>(bits);
    kaio_readv *readv = As<kaio_readv>(bits);
    kaio_writev *writev = As<kaio_writev>(bits);
    kaio_sync *sync = As<kaio_sync>(bits);
    kaio_poll *poll = As<kaio_poll>(bits);
    switch (operation) {
        case KAIO_READ:
            return kaio_read_push(&read, user);
        case KAIO_WRITE:
            return kaio_write_push(&write, user);
        case KAIO_READV:
            return kaio_readv_push(&readv, user);
        case KAIO_WRITEV:
            return kaio_writev_push(&writev, user);
        case KAIO_SYNC:
            return kaio_sync_push(&sync, user);
        default:
            return kaio_poll_push(&poll, user);
    }
}

void DropBits(kaio_operation operation, Bits bits) {
    kaio_read *read = As<kaio_read>(bits);
    kaio_write *write = As<kaio_write>(bits);
    kaio_readv *readv = As<kaio_readv>(bits);
    kaio_writev *writev = As<kaio_writev>(bits);
    kaio_sync *sync = As<kaio_sync>(bits);
    kaio_poll *poll = As<kaio_poll>(bits);
    switch (operation) {
        case KAIO_READ:
            return kaio_read_drop(&read);
        case KAIO_WRITE:
            return kaio_write_drop(&write);
        case KAIO_READV:
            return kaio_readv_drop(&readv);
        case KAIO_WRITEV:
            return kaio_writev_drop(&writev);
        case KAIO_SYNC:
            return kaio_sync_drop(&sync);
        default:
            return kaio_poll_drop(&poll);
    }
}

// To add an operation: a row here, a function above, and its counterpart in the model.
const std::vector<Action> kActions = {
    {"queue_open", 300, QueueOpen},
    {"queue_close", 60, QueueClose},
    {"queue_destroy", 60, QueueDestroy},
    {"queue_destroy_in_vain", 4, QueueDestroyInVain},
    {"queue_destroy_all", 20, QueueDestroyAll},
    {"queue_drop", 15, QueueDrop},
    {"queue_detach", 40, QueueDetach},
    {"queue_attach", 120, QueueAttach},
    {"queue_flush", 500, QueueFlush},
    {"queue_wait", 600, QueueWait},
    {"queue_wait_masked", 150, QueueWaitMasked},
    {"queue_wake", 60, QueueWake},
    {"queue_drain", 60, QueueDrain},
    {"queue_take", 2200, QueueTake},
    {"queue_run", 500, QueueRun},
    {"queue_cancel", 400, QueueCancel},
    {"queue_count", 60, QueueCount},
    {"queue_as_fd", 40, QueueAsFd},
    {"file_open", 200, FileOpen},
    {"file_adopt", 120, FileAdopt},
    {"file_borrow", 120, FileBorrow},
    {"file_attach", 60, FileAttach},
    {"file_detach", 60, FileDetach},
    {"file_close", 80, FileClose},
    {"file_drop", 40, FileDrop},
    {"file_use", 60, FileUse},
    {"buffer_new", 700, BufferNew},
    {"buffer_detach", 60, BufferDetach},
    {"buffer_drop", 150, BufferDrop},
    {"buffer_fill", 500, BufferFill},
    {"buffer_adopt", 120, BufferAdopt},
    {"buffer_freeze", 200, BufferFreeze},
    {"view_share", 200, ViewShare},
    {"view_thaw", 120, ViewThaw},
    {"view_detach", 30, ViewDetach},
    {"view_drop", 120, ViewDrop},
    {"view_as_bytes", 60, ViewLook},
    {"pool_open", 60, PoolOpen},
    {"pool_take", 300, PoolTake},
    {"pool_count", 8, PoolCount},
    {"pool_close", 40, PoolClose},
    {"pool_drop", 15, PoolDrop},
    {"region_adopt", 60, RegionAdopt},
    {"region_take", 300, RegionTake},
    {"region_count", 30, RegionCount},
    {"region_close", 40, RegionClose},
    {"region_drop", 15, RegionDrop},
    {"write_new_shared", 200, WriteNewShared},
    {"write_start_shared", 400, WriteStartShared},
    {"abandon_shared", 40, WriteAbandonShared},
    {"request_new", 900, RequestNew},
    {"request_start", 1500, RequestStart},
    {"vector_start", 500, VectorStart},
    {"vector_new", 250, VectorNew},
    {"new_with_null", 20, NewWithNull},
    {"push", 700, RequestPush},
    {"abandon", 120, RequestAbandon},
    {"abandon_vector", 40, VectorAbandon},
    {"request_drop", 60, RequestDrop},
    {"set_priority", 80, SetPriority},
    {"retarget", 150, Retarget},
    {"retype", 150, Retype},
    {"retarget_vector", 60, VectorRetarget},
    {"retype_vector", 60, VectorRetype},
    {"rest_start", 300, RestStart},
    {"completion_drop", 60, CompletionDrop},
    {"kernel_goes_on", 300, KernelGoesOn},
    {"kernel_changes", 80, KernelChanges},
    {"forge_event", 40, ForgeEvent},
    {"pipe_feed", 120, PipeFeed},
    {"pipe_drain", 40, PipeDrain},
    {"other_thread", 15, OtherThread},
    {"fork", 1, Fork},
};

}  // namespace kaio_model
