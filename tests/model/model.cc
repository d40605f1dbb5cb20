#include "tests/model/model.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>

#include "kaio/raw/aio_abi.h"
#include "tests/model/check.h"

namespace kaio_model {
namespace {

constexpr uint32_t kDurability = 0x6;
constexpr uint32_t kNoWait = 0x8;
constexpr uint32_t kAppend = 0x10;
constexpr uint32_t kNoAppend = 0x20;
constexpr uint32_t kAtomic = 0x40;
constexpr uint32_t kReapCount = 64;

uint64_t Pair(uint64_t first, uint64_t second) {
    return std::min<uint64_t>(first, UINT32_MAX) | std::min<uint64_t>(second, UINT32_MAX) << 32;
}

bool IsTransfer(const Request &request) {
    return request.operation >= KAIO_READ && request.operation <= KAIO_WRITEV;
}

bool IsRead(kaio_operation operation) {
    return operation == KAIO_READ || operation == KAIO_READV;
}

bool IsWrite(kaio_operation operation) {
    return operation == KAIO_WRITE || operation == KAIO_WRITEV;
}

// Memories are the buffers and views that a request has.
std::vector<Buffer *> Memories(const Request &request) {
    std::vector<Buffer *> memories;
    if (request.buffer != nullptr) {
        memories.push_back(request.buffer);
    }
    for (const Part &part : request.parts) {
        memories.push_back(part.memory);
    }
    return memories;
}

// PartsOf is what moves: of a plain transfer, one.
std::vector<Part> PartsOf(const Request &request) {
    return request.buffer == nullptr
               ? request.parts
               : std::vector<Part>{
                     {request.buffer, request.range.buffer_offset_bytes, request.range.size_bytes}};
}

// Gather and Scatter move the first `count` bytes of a request's parts.
std::vector<uint8_t> Gather(const Request &request, size_t count) {
    std::vector<uint8_t> bytes;
    for (const Part &part : PartsOf(request)) {
        const size_t wanted = std::min<size_t>(part.size_bytes, count - bytes.size());
        const uint8_t *first = part.memory->Content().data() + part.offset_bytes;
        bytes.insert(bytes.end(), first, first + wanted);
    }
    return bytes;
}

void Scatter(const Request &request, const std::vector<uint8_t> &bytes) {
    size_t done = 0;
    for (const Part &part : PartsOf(request)) {
        const size_t wanted = std::min<size_t>(part.size_bytes, bytes.size() - done);
        std::copy_n(bytes.begin() + static_cast<ptrdiff_t>(done), wanted,
                    part.memory->Content().begin() + part.offset_bytes);
        done += wanted;
    }
}

template <typename T>
T *Find(const std::vector<std::unique_ptr<T>> &objects, Bits bits) {
    for (const std::unique_ptr<T> &object : objects) {
        if (object->bits == bits && bits != 0) {
            return object.get();
        }
    }
    return nullptr;
}

template <typename T>
std::unique_ptr<T> Remove(std::vector<std::unique_ptr<T>> *objects, const T *object) {
    for (auto i = objects->begin(); i != objects->end(); ++i) {
        if (i->get() == object) {
            std::unique_ptr<T> removed = std::move(*i);
            objects->erase(i);
            return removed;
        }
    }
    Fail(__FILE__, __LINE__, "the model lost an object");
}

kaio_status Missing(Bits bits, kaio_subject subject) {
    return Answer(bits == 0 ? KAIO_NULL_ARGUMENT : KAIO_STALE, subject);
}

}  // namespace

kaio_status Answer(kaio_code code, kaio_subject subject, uint64_t detail, int32_t os_error) {
    kaio_status status = {};
    status.code = static_cast<uint16_t>(code);
    status.subject = static_cast<uint16_t>(subject);
    status.detail = detail;
    status.os_error = os_error;
    return status;
}

std::string Text(kaio_status status) {
    char text[256];
    kaio_status_message(status, text, sizeof text);
    return std::string(text) + " [" + std::to_string(status.detail) + "]";
}

static std::string Text(const kaio_completion &completion) {
    char text[256];
    kaio_completion_message(&completion, text, sizeof text);
    return std::string(text) + " for " + std::to_string(completion.user);
}

// ---- what there is ----

Queue *Model::FindQueue(Bits bits) {
    return Find(queues, bits);
}

File *Model::FindFile(Bits bits) {
    File *file = Find(files, bits);
    return file == nullptr || file->is_dropped ? nullptr : file;
}

Buffer *Model::FindBuffer(Bits bits) {
    Buffer *buffer = FindMemory(bits);
    return buffer == nullptr || buffer->IsView() ? nullptr : buffer;
}

Buffer *Model::FindView(Bits bits) {
    Buffer *view = FindMemory(bits);
    return view == nullptr || !view->IsView() ? nullptr : view;
}

Buffer *Model::FindMemory(Bits bits) {
    Buffer *memory = Find(buffers, bits);
    return memory == nullptr || memory->is_posted ? nullptr : memory;
}

Pool *Model::FindFrames(Bits bits, bool is_region) {
    Pool *pool = Find(pools, bits);
    const bool is_good =
        pool != nullptr && !pool->is_dropped && (pool->memory != nullptr) == is_region;
    return is_good ? pool : nullptr;
}

Pool *Model::FindPool(Bits bits) {
    return FindFrames(bits, false);
}

Pool *Model::FindRegion(Bits bits) {
    return FindFrames(bits, true);
}

Request *Model::FindRequest(Bits bits) {
    return Find(requests, bits);
}

Request *Model::RequestOf(uint64_t id) {
    for (const std::unique_ptr<Request> &request : requests) {
        if (request->id == id) {
            return request.get();
        }
    }
    return nullptr;
}

uint32_t Model::Count(const Queue *queue, State state) const {
    return static_cast<uint32_t>(std::count_if(
        requests.begin(), requests.end(),
        [&](const auto &request) { return request->queue == queue && request->state == state; }));
}

kaio_queue_counts Model::Counts(const Queue *queue) const {
    kaio_queue_counts counts = {};
    counts.depth = queue->depth;
    counts.idle_count = Count(queue, State::kIdle);
    counts.staged_count = Count(queue, State::kStaged);
    counts.in_flight_count = Count(queue, State::kInFlight);
    counts.finished_count = Count(queue, State::kFinished);
    counts.free_count = counts.depth - counts.idle_count - counts.staged_count -
                        counts.in_flight_count - counts.finished_count;
    return counts;
}

// CountOutcome counts the outcome of a request that is taken.
static void CountOutcome(const kaio_completion &got, kaio_queue_counters *counters) {
    if (got.operation == KAIO_SYNC) {
        uint64_t *const counts[] = {nullptr,
                                    &counters->sync.synced_count,
                                    &counters->sync.preceded_by_failure_count,
                                    &counters->sync.cancelled_count,
                                    &counters->sync.refused_count,
                                    &counters->sync.failed_count};
        ++*counts[got.sync];
        ++counters->sync.pushed_count;
        return;
    }
    if (got.operation == KAIO_POLL) {
        uint64_t *const counts[] = {nullptr, &counters->poll.ready_count,
                                    &counters->poll.cancelled_count, &counters->poll.refused_count,
                                    &counters->poll.failed_count};
        ++*counts[got.poll];
        ++counters->poll.pushed_count;
        return;
    }
    kaio_transfer_counters *const all[] = {nullptr, &counters->read, &counters->write,
                                           &counters->readv, &counters->writev};
    kaio_transfer_counters *transfers = all[got.operation];
    uint64_t *const counts[] = {nullptr,
                                &transfers->full_count,
                                &transfers->short_count,
                                &transfers->end_count,
                                &transfers->would_block_count,
                                &transfers->cancelled_count,
                                &transfers->refused_count,
                                &transfers->failed_count};
    ++*counts[got.transfer];
    ++transfers->pushed_count;
    transfers->moved_bytes += got.moved_bytes;
}

kaio_queue_counters Model::Counters(const Queue *queue) const {
    kaio_queue_counters counters = queue->counters;
    for (const std::unique_ptr<Request> &request : requests) {
        if (request->queue != queue || request->state == State::kIdle) {
            continue;
        }
        uint64_t *const counts[] = {nullptr,
                                    &counters.read.pushed_count,
                                    &counters.write.pushed_count,
                                    &counters.readv.pushed_count,
                                    &counters.writev.pushed_count,
                                    &counters.sync.pushed_count,
                                    &counters.poll.pushed_count};
        ++*counts[request->operation];
    }
    return counters;
}

uint32_t Model::Pins(const Queue *queue, const File *file) const {
    return static_cast<uint32_t>(std::count_if(
        requests.begin(), requests.end(),
        [&](const auto &request) { return request->queue == queue && request->file == file; }));
}

bool Model::IsOurs(const Queue *queue) const {
    return queue->has_owner && !queue->is_ending;
}

Census Model::Living() const {
    Census census;
    census.queue_count = static_cast<uint32_t>(queues.size());
    census.file_count = static_cast<uint32_t>(files.size());
    for (const auto &buffer : buffers) {
        census.view_count += buffer->IsView();
        census.buffer_count += !buffer->IsView() && buffer->pool == nullptr;
    }
    census.region_count = static_cast<uint32_t>(pools.size());
    return census;
}

kaio_status Model::PeekQueue(Bits bits, bool is_nested, bool is_other_thread) {
    const Queue *queue = FindQueue(bits);
    if (queue == nullptr) {
        return Missing(bits, KAIO_SUBJECT_QUEUE);
    }
    if (!queue->has_owner || is_other_thread) {
        return Answer(KAIO_WRONG_THREAD, KAIO_SUBJECT_QUEUE);
    }
    MODEL_CHECK(is_nested, "a call that may enter");
    return Answer(KAIO_REENTERED, KAIO_SUBJECT_QUEUE);
}

kaio_status Model::PeekRequest(Bits bits, kaio_operation operation, bool is_nested,
                               bool is_other_thread) {
    const Request *request = FindRequest(bits);
    if (request == nullptr || request->state != State::kIdle || request->operation != operation) {
        return Missing(bits, KAIO_SUBJECT_REQUEST);
    }
    if (!request->queue->has_owner || is_other_thread) {
        return Answer(KAIO_WRONG_THREAD, KAIO_SUBJECT_REQUEST);
    }
    MODEL_CHECK(is_nested, "a call that may enter");
    return Answer(KAIO_REENTERED, KAIO_SUBJECT_REQUEST);
}

// A new object's handle is one that nobody ever had.
void Model::IsNew(Bits bits) {
    MODEL_CHECK(bits != 0 && ever_.insert(bits).second, "a handle was given out twice");
}

// ---- the notes of the kernel ----

// HearHandlers learns what signal handlers did up to the next note of the kernel's.
void Model::HearHandlers() {
    for (; used_ < log.size(); ++used_) {
        const Note &note = log[used_];
        if (note.stray_id != 0) {
            Request *request = RequestOf(note.stray_id);
            if (request != nullptr && request->state == State::kIdle && request->stray == KAIO_OK) {
                request->stray = note.stray;
            }
        } else if (note.dropped_queue != 0) {
            Queue *queue = FindQueue(note.dropped_queue);
            if (queue != nullptr) {  // it ends with its owner's next call, or with its thread
                queue->has_owner = true;
                queue->is_drop_asked = true;
            }
        } else if (note.woken_queue != 0) {
            QueueWake(note.woken_queue);
        } else {
            return;
        }
    }
}

// HearEnds learns what ended inside a call of the kernel's, whose own note comes behind.
void Model::HearEnds() {
    HearHandlers();
    while (used_ < log.size() && log[used_].kernel.event == KAIO_SIM_ENDED) {
        Ended(log[used_++].kernel);
        HearHandlers();
    }
}

bool Model::HasNote() {
    HearHandlers();
    return used_ < log.size();
}

const kaio_sim_note &Model::Next(kaio_sim_event event, const Queue *queue) {
    HearEnds();
    MODEL_CHECK(used_ < log.size(), "the kernel was not asked");
    const kaio_sim_note &note = log[used_++].kernel;
    MODEL_CHECK(note.event == event, "the kernel was asked for event " +
                                         std::to_string(note.event) + " instead of " +
                                         std::to_string(event));
    MODEL_CHECK(queue == nullptr || note.ctx == queue->ctx, "another context");
    return note;
}

void Model::CheckNothingLeft() {
    MODEL_CHECK(!HasNote(), "the kernel was asked for more: event " +
                                std::to_string(used_ < log.size() ? log[used_].kernel.event : 0));
    log.clear();
    used_ = 0;
}

void Model::Completed() {
    HearEnds();
}

void Model::Forged(Queue *queue, int64_t result) {
    queue->ring.push_back({0, result});
}

// CheckSent compares what the kernel was given with what was asked for.
void Model::CheckSent(const Queue &queue, const Request &request, const kaio_sim_request &got) {
    kaio_sim_request want = {};
    want.data = request.bits;
    want.fd = static_cast<uint32_t>(request.file->fd);
    if (queue.event_fd >= 0) {
        want.flags |= KAIO_RAW_FLAG_RESFD;
        want.event_fd = static_cast<uint32_t>(queue.event_fd);
    }
    if (IsTransfer(request)) {
        static const uint16_t opcodes[] = {0, KAIO_RAW_CMD_PREAD, KAIO_RAW_CMD_PWRITE,
                                           KAIO_RAW_CMD_PREADV, KAIO_RAW_CMD_PWRITEV};
        want.opcode = opcodes[request.operation];
        want.rw_flags = static_cast<int32_t>(request.sent_flags);
        if (request.buffer != nullptr) {
            want.address = reinterpret_cast<uintptr_t>(request.buffer->address) +
                           request.range.buffer_offset_bytes;
            want.size_bytes = request.range.size_bytes;
        } else {
            want.address = got.address;  // of its segments, which the kernel reads when it takes it
            want.size_bytes = request.parts.size();
        }
        want.offset_bytes = static_cast<int64_t>(request.range.file_offset_bytes);
        if (request.priority.priority_class != 0) {
            want.flags |= KAIO_RAW_FLAG_IOPRIO;
            want.priority = static_cast<int16_t>(request.priority.priority_class << 13 |
                                                 request.priority.level);
        }
    } else if (request.operation == KAIO_SYNC) {
        const bool is_all =
            request.kind == KAIO_SYNC_ALL || request.kind == KAIO_SYNC_ALL_UNORDERED;
        want.opcode = is_all ? KAIO_RAW_CMD_FSYNC : KAIO_RAW_CMD_FDSYNC;
    } else {
        want.opcode = KAIO_RAW_CMD_POLL;
        want.address = request.events.bits;
    }
    MODEL_CHECK(got.data == want.data, "the order of the pushes");
    MODEL_CHECK(got.opcode == want.opcode && got.fd == want.fd && got.flags == want.flags &&
                    got.event_fd == want.event_fd && got.rw_flags == want.rw_flags &&
                    got.priority == want.priority,
                "what was sent");
    MODEL_CHECK(got.address == want.address && got.size_bytes == want.size_bytes &&
                    got.offset_bytes == want.offset_bytes,
                "what was sent");
}

// CheckRead compares what a read moved with what was there, before the model moves it.
void Model::CheckRead(const Request &request, const kaio_sim_note &note, uint64_t asked_bytes) {
    const Content &content = *request.file->resource->content;
    if (note.answer < 0) {
        const bool is_empty = content.is_pipe && content.fifo.empty() && asked_bytes > 0;
        MODEL_CHECK(is_empty || request.sent_flags != 0 || request.file->alignment.is_direct,
                    note.answer);
        return;
    }
    uint64_t there = content.fifo.size();
    if (!content.is_pipe) {
        const uint64_t offset = request.range.file_offset_bytes;
        there = offset >= content.image.size() ? 0 : content.image.size() - offset;
    }
    MODEL_CHECK(note.answer == static_cast<int64_t>(std::min(asked_bytes, there)), note.answer);
}

// Transfer moves the bytes that the kernel says it moved.
void Model::Transfer(Request *request, const kaio_sim_note &note) {
    uint64_t asked_bytes = request->range.size_bytes;
    if (note.cause == KAIO_SIM_SHORTENED) {
        asked_bytes /= 2;
    }
    Content *content = request->file->resource->content;
    const size_t count = note.answer < 0 ? 0 : static_cast<size_t>(note.answer);
    MODEL_CHECK(count <= asked_bytes, note.answer);
    size_t offset = static_cast<size_t>(request->range.file_offset_bytes);
    if (IsRead(request->operation)) {
        CheckRead(*request, note, asked_bytes);
        if (content->is_pipe) {
            const auto end = content->fifo.begin() + static_cast<ptrdiff_t>(count);
            Scatter(*request, std::vector<uint8_t>(content->fifo.begin(), end));
            content->fifo.erase(content->fifo.begin(), end);
        } else if (count > 0) {
            const auto first = content->image.begin() + static_cast<ptrdiff_t>(offset);
            Scatter(*request, std::vector<uint8_t>(first, first + static_cast<ptrdiff_t>(count)));
        }
        return;
    }
    const std::vector<uint8_t> bytes = Gather(*request, count);
    if (content->is_pipe) {
        content->fifo.insert(content->fifo.end(), bytes.begin(), bytes.end());
        return;
    }
    const bool can_fail = request->sent_flags != 0 || request->file->alignment.is_direct;
    MODEL_CHECK(can_fail || count == asked_bytes, note.answer);
    if (count == 0) {
        return;
    }
    if ((request->sent_flags & kAppend) != 0 ||
        (request->file->is_append && (request->sent_flags & kNoAppend) == 0)) {
        offset = content->image.size();
    }
    content->image.resize(std::max(content->image.size(), offset + count));
    std::copy_n(bytes.begin(), count, content->image.begin() + static_cast<ptrdiff_t>(offset));
}

void Model::Ended(const kaio_sim_note &note) {
    Request *request = FindRequest(static_cast<Bits>(note.request.data));
    if (request == nullptr) {
        request = Find(lost_requests_, static_cast<Bits>(note.request.data));
    }
    if (request == nullptr) {  // a poll of a queue that was lost in an earlier episode
        MODEL_CHECK(note.request.opcode == KAIO_RAW_CMD_POLL, "an end of nothing");
        return;
    }
    MODEL_CHECK(request->state == State::kInFlight, "an end of what was not in flight");
    if (note.cause == KAIO_SIM_SCRIPTED) {
        MODEL_CHECK(note.answer < 0, note.answer);
    } else if (IsTransfer(*request)) {
        Transfer(request, note);
    } else if (request->operation == KAIO_SYNC) {
        MODEL_CHECK(note.answer == 0, note.answer);
    }
    Queue *queue = request->queue;
    for (uint64_t i = 0; i < note.count; ++i) {
        queue->ring.push_back({request->id, note.answer});
        queue->is_raised = true;
    }
}

// ---- flush ----

void Model::Took(Queue *queue, const kaio_sim_note &note) {
    MODEL_CHECK(!queue->staged.empty(), "more was sent than is staged");
    Request *request = queue->staged.front();
    CheckSent(*queue, *request, note.request);
    queue->staged.pop_front();
    request->state = State::kInFlight;
    ++queue->in_flight_count;
    MODEL_CHECK(queue->in_flight_count <= queue->depth, "more in flight than the depth");
}

void Model::Refuse(Queue *queue, int error) {
    Request *request = queue->staged.front();
    queue->staged.pop_front();
    request->refusal = request->is_forced && error == EOPNOTSUPP ? KAIO_CAN_STALL : KAIO_OS_ERROR;
    request->result = -error;
    Finish(request);
    queue->is_raised = true;
}

kaio_flush_report Model::Flush(Queue *queue) {
    kaio_flush_report report = {};
    queue->counters.flush_count += !queue->staged.empty();
    while (!queue->staged.empty()) {
        ++queue->counters.submit_count;
        const uint64_t all = std::min<uint64_t>(queue->staged.size(), queue->chunk_count);
        MODEL_CHECK(Next(KAIO_SIM_SUBMIT, queue).count == all, "how much is sent in one call");
        int64_t took = 0;
        int64_t refused = 0;
        kaio_sim_note note;
        for (;;) {
            HearEnds();
            MODEL_CHECK(used_ < log.size(), "a call that did not return");
            note = log[used_++].kernel;
            if (note.event == KAIO_SIM_SUBMITTED) {
                break;
            }
            if (note.event == KAIO_SIM_TOOK) {
                Took(queue, note);
                ++took;
                continue;
            }
            MODEL_CHECK(note.event == KAIO_SIM_REFUSED && !queue->staged.empty(), note.event);
            CheckSent(*queue, *queue->staged.front(), note.request);
            refused = note.answer;
            MODEL_CHECK(note.cause == KAIO_SIM_SCRIPTED || refused != -EAGAIN,
                        "the depth did not keep the kernel's capacity");
            MODEL_CHECK(note.cause == KAIO_SIM_SCRIPTED || !IsTransfer(*queue->staged.front()) ||
                            queue->staged.front()->sent_flags != 0,
                        "a plain transfer was refused");
        }
        if (note.answer > 0) {
            MODEL_CHECK(note.answer == took, note.answer);
            report.accepted_count += static_cast<uint32_t>(took);
            queue->counters.accepted_count += static_cast<uint64_t>(took);
            continue;
        }
        MODEL_CHECK(took == 0, note.answer);
        if (note.answer == 0 || note.answer == -EAGAIN || note.answer == -ENOMEM ||
            note.answer == -EINTR) {
            ++queue->counters.again_count;
            report.os_error = note.answer == 0 ? EAGAIN : static_cast<int32_t>(-note.answer);
            break;
        }
        Refuse(queue, static_cast<int>(-note.answer));
        ++report.refused_count;
    }
    report.staged_count = static_cast<uint32_t>(queue->staged.size() + queue->held.size());
    Sweep(queue);
    return report;
}

static kaio_status FlushStatus(const kaio_flush_report &report) {
    return report.os_error == 0
               ? Answer(KAIO_OK, KAIO_SUBJECT_NONE)
               : Answer(KAIO_AGAIN, KAIO_SUBJECT_REQUEST, report.staged_count, report.os_error);
}

// ---- reap and wait ----

void Model::Settle(Queue *queue, const Event &event) {
    Request *request = event.request_id == 0 ? nullptr : RequestOf(event.request_id);
    if (request == nullptr || request->state != State::kInFlight) {
        ++queue->counters.duplicate_count;
        return;
    }
    request->result = event.result;
    --queue->in_flight_count;
    if (request->operation == KAIO_SYNC) {
        SettleSync(request);
    }
    Finish(request);
}

// Got settles `count` events that io_getevents took out of the ring.
void Model::Got(Queue *queue, int64_t count) {
    MODEL_CHECK(count <= static_cast<int64_t>(queue->ring.size()), count);
    for (; count > 0; --count) {
        const Event event = queue->ring.front();
        queue->ring.pop_front();
        Settle(queue, event);
    }
}

void Model::Reap(Queue *queue) {
    if (queue->in_flight_count == 0) {
        return;
    }
    if (queue->has_ring) {
        while (!queue->ring.empty()) {
            const Event event = queue->ring.front();
            queue->ring.pop_front();
            Settle(queue, event);
        }
        return;
    }
    for (int64_t count = kReapCount; queue->in_flight_count > 0 && count == kReapCount;) {
        const kaio_sim_note note = Next(KAIO_SIM_GOT, queue);
        MODEL_CHECK(note.count == 0, "a look that waits");
        ++queue->counters.getevents_count;
        count = note.answer;
        Got(queue, count);
    }
}

void Model::CollectStrays(Queue *queue) {
    HearHandlers();
    const uint64_t group = ++last_group_;
    for (const std::unique_ptr<Request> &request : requests) {
        if (request->queue != queue || request->stray == KAIO_OK) {
            continue;
        }
        const kaio_code stray = request->stray;
        request->stray = KAIO_OK;
        if (request->state == State::kIdle) {
            request->refusal = stray;
            request->result = 0;
            AppendFinished(request.get());
            request->group = group;
            ++queue->counters.stray_count;
            queue->is_raised = true;
        }
    }
}

kaio_status Model::WaitFor(Queue *queue, uint32_t min_count, Deadline deadline, bool *has_slept) {
    for (;;) {
        CollectStrays(queue);
        const kaio_flush_report report = Flush(queue);
        Reap(queue);
        if (!queue->staged.empty() && report.os_error == 0) {
            continue;
        }
        const uint32_t finished = static_cast<uint32_t>(queue->finished.size());
        const uint32_t owed = finished + queue->in_flight_count +
                              static_cast<uint32_t>(queue->staged.size() + queue->held.size());
        if (min_count > 0 && owed == 0) {
            return Answer(KAIO_NOTHING_TO_WAIT_FOR, KAIO_SUBJECT_QUEUE);
        }
        const uint32_t wanted = std::min(min_count, owed);
        if (finished >= wanted) {
            return Answer(KAIO_OK, KAIO_SUBJECT_NONE);
        }
        if (queue->in_flight_count == 0) {
            return FlushStatus(report);
        }
        if (deadline == Deadline::kNow || (deadline == Deadline::kSoon && !HasNote())) {
            return Answer(KAIO_TIMED_OUT, KAIO_SUBJECT_QUEUE);
        }
        const uint32_t asked = std::min(
            {queue->staged.empty() ? wanted - finished : 1, queue->in_flight_count, kReapCount});
        const kaio_sim_note note = Next(KAIO_SIM_GOT, queue);
        MODEL_CHECK(note.count == asked, "waited for " + std::to_string(note.count) +
                                             " instead of " + std::to_string(asked));
        ++queue->counters.getevents_count;
        ++queue->counters.block_count;
        if (has_slept != nullptr) {
            *has_slept = true;
        }
        if (note.answer < 0 && note.answer != -EINTR) {
            return Answer(KAIO_OS_ERROR, KAIO_SUBJECT_QUEUE, 0, static_cast<int32_t>(-note.answer));
        }
        Got(queue, note.answer);
    }
}

// ---- the states of a request ----

bool Model::IsWhole(const Request &request) const {
    return request.refusal == KAIO_OK && !request.is_cancelled &&
           request.result == static_cast<int64_t>(request.range.size_bytes);
}

void Model::AppendFinished(Request *request) {
    request->state = State::kFinished;
    request->group = ++last_group_;
    request->queue->finished.push_back(request);
}

// SettleSync: no sync succeeds behind one that failed.
void Model::SettleSync(Request *sync) {
    const bool is_cancelled = sync->result == -ECANCELED ||
                              (sync->is_cancelled && (sync->result == 0 || sync->result == -EINTR));
    if (is_cancelled) {
        return;
    }
    int32_t *first = &sync->file->sync_error;
    *first = *first == 0 ? static_cast<int32_t>(-sync->result) : *first;
    sync->result = -*first;
}

// ReleaseSync lets a sync go that waits for nothing any more.
void Model::ReleaseSync(Request *sync) {
    if (sync->file->sync_error != 0 || sync->is_preceded) {
        sync->is_preceded &= sync->file->sync_error == 0;
        sync->result = -sync->file->sync_error;
        AppendFinished(sync);
        sync->queue->is_raised = true;
    } else {
        sync->queue->staged.push_back(sync);
    }
}

// Finish makes a request one to be taken, and tells the syncs that wait for it.
void Model::Finish(Request *request) {
    AppendFinished(request);
    if (!IsWrite(request->operation)) {
        return;
    }
    request->has_failed = !IsWhole(*request);
    std::deque<Request *> still_held;
    const std::deque<Request *> held = request->queue->held;
    for (Request *sync : held) {
        if (sync->waits_for.erase(request) == 0) {
            still_held.push_back(sync);
            continue;
        }
        sync->is_preceded |= request->has_failed;
        if (!sync->waits_for.empty()) {
            still_held.push_back(sync);
        } else {
            ReleaseSync(sync);
        }
    }
    request->queue->held = still_held;
}

void Model::Stage(Request *request, uint64_t user) {
    Queue *queue = request->queue;
    request->user = user;
    request->state = State::kStaged;
    if (request->operation != KAIO_SYNC) {
        queue->staged.push_back(request);
        return;
    }
    if (request->kind != KAIO_SYNC_DATA && request->kind != KAIO_SYNC_ALL) {  // unordered
        ReleaseSync(request);
        return;
    }
    for (const std::unique_ptr<Request> &write : requests) {
        if (write->queue != queue || write->file != request->file || !IsWrite(write->operation)) {
            continue;
        }
        if (write->state == State::kStaged || write->state == State::kInFlight) {
            request->waits_for.insert(write.get());
        }
        request->is_preceded |= write->has_failed;
    }
    if (request->waits_for.empty()) {
        ReleaseSync(request);
    } else {
        queue->held.push_back(request);
    }
}

// Free ends a request: its place is free, and its file is pinned once less.
void Model::Free(Request *request) {
    Queue *queue = request->queue;
    for (Buffer *memory : Memories(*request)) {
        memory->is_pinned = false;
        memory->is_bound = true;
    }
    stale.push_back(request->bits);
    Remove(&requests, request);
    Sweep(queue);
}

void Model::CheckCompletion(const Request &request, const kaio_completion &got) {
    kaio_completion want = {};
    want.operation = request.operation;
    want.user = request.user;
    want.ticket.bits = request.bits;
    if (request.buffer != nullptr) {
        want.range = request.range;
        const Bits memory = request.buffer->bits;
        want.buffer = request.buffer->IsView() ? nullptr : reinterpret_cast<kaio_buffer *>(memory);
        want.view = request.buffer->IsView() ? reinterpret_cast<kaio_view *>(memory) : nullptr;
    }
    if (!request.parts.empty()) {
        want.range = request.range;
        want.segment_count = static_cast<uint32_t>(request.parts.size());
        MODEL_CHECK(got.segments != nullptr, "it has no segments");
        want.segments = got.segments;
        for (uint32_t i = 0; i < want.segment_count && i < got.segment_count; ++i) {
            const Part &part = request.parts[i];
            const kaio_segment &segment = got.segments[i];
            const Bits theirs = part.memory->IsView() ? reinterpret_cast<Bits>(segment.view)
                                                      : reinterpret_cast<Bits>(segment.buffer);
            MODEL_CHECK(theirs == part.memory->bits &&
                            (segment.view == nullptr) != (segment.buffer == nullptr) &&
                            segment.buffer_offset_bytes == part.offset_bytes &&
                            segment.size_bytes == part.size_bytes,
                        "a segment is not as it was given");
        }
    }
    if (request.refusal != KAIO_OK) {
        want.refusal = Answer(request.refusal, KAIO_SUBJECT_REQUEST);
        if (request.refusal == KAIO_OS_ERROR || request.refusal == KAIO_CAN_STALL) {
            want.refusal.os_error = static_cast<int32_t>(-request.result);
        }
    }
    const bool is_refused = request.refusal != KAIO_OK;
    const int64_t result = request.result;
    const bool is_cancelled =
        result == -ECANCELED || (request.is_cancelled && (result == 0 || result == -EINTR));
    const int32_t error = result < 0 ? static_cast<int32_t>(-result) : 0;
    if (IsTransfer(request)) {
        const int64_t asked = request.range.size_bytes;
        want.transfer = is_refused                                 ? KAIO_TRANSFER_REFUSED
                        : is_cancelled                             ? KAIO_TRANSFER_CANCELLED
                        : result == -EAGAIN                        ? KAIO_TRANSFER_WOULD_BLOCK
                        : result < 0                               ? KAIO_TRANSFER_FAILED
                        : result >= asked                          ? KAIO_TRANSFER_FULL
                        : result == 0 && IsRead(request.operation) ? KAIO_TRANSFER_END
                                                                   : KAIO_TRANSFER_SHORT;
        const bool has_moved =
            want.transfer == KAIO_TRANSFER_FULL || want.transfer == KAIO_TRANSFER_SHORT;
        want.moved_bytes = has_moved ? static_cast<uint64_t>(result) : 0;
        want.os_error = want.transfer == KAIO_TRANSFER_CANCELLED ? 0 : error;
    } else if (request.operation == KAIO_SYNC) {
        want.sync = is_refused            ? KAIO_SYNC_REFUSED
                    : request.is_preceded ? KAIO_SYNC_PRECEDED_BY_FAILURE
                    : is_cancelled        ? KAIO_SYNC_CANCELLED
                    : result == 0         ? KAIO_SYNC_SYNCED
                                          : KAIO_SYNC_FAILED;
        const bool has_error = want.sync == KAIO_SYNC_REFUSED || want.sync == KAIO_SYNC_FAILED;
        want.os_error = has_error ? error : 0;
    } else {
        want.poll = is_refused     ? KAIO_POLL_REFUSED
                    : is_cancelled ? KAIO_POLL_CANCELLED
                    : result >= 0  ? KAIO_POLL_READY
                                   : KAIO_POLL_FAILED;
        if (want.poll == KAIO_POLL_READY) {
            const uint16_t wanted =
                static_cast<uint16_t>(request.events.bits | POLLERR | POLLHUP | POLLNVAL);
            want.events.bits = static_cast<uint16_t>(result) & wanted;
        }
        want.os_error = want.poll == KAIO_POLL_CANCELLED ? 0 : error;
    }
    const std::string text = Text(got) + ", the model: " + Text(want);
    MODEL_CHECK(got.operation == want.operation && got.transfer == want.transfer &&
                    got.sync == want.sync && got.poll == want.poll &&
                    got.events.bits == want.events.bits && got.os_error == want.os_error,
                text);
    MODEL_CHECK(memcmp(&got.refusal, &want.refusal, sizeof got.refusal) == 0, text);
    MODEL_CHECK(memcmp(&got.range, &want.range, sizeof got.range) == 0, text);
    MODEL_CHECK(got.moved_bytes == want.moved_bytes && got.user == want.user &&
                    got.ticket.bits == want.ticket.bits && got.buffer == want.buffer &&
                    got.view == want.view && got.segments == want.segments &&
                    got.segment_count == want.segment_count,
                text);
}

// ---- queues ----

kaio_status Model::Enter(Bits bits, Queue **out_queue) {
    Queue *queue = FindQueue(bits);
    if (queue == nullptr) {
        return Missing(bits, KAIO_SUBJECT_QUEUE);
    }
    if (!queue->has_owner) {
        return Answer(KAIO_WRONG_THREAD, KAIO_SUBJECT_QUEUE);
    }
    if (queue->is_ending) {
        return Answer(KAIO_REENTERED, KAIO_SUBJECT_QUEUE);
    }
    if (queue->is_drop_asked) {
        (void)DestroyQuietly(queue);
        return Answer(KAIO_STALE, KAIO_SUBJECT_QUEUE);
    }
    *out_queue = queue;
    return Answer(KAIO_OK, KAIO_SUBJECT_NONE);
}

void Model::Erase(Queue *queue) {
    stale.push_back(queue->bits);
    for (const std::unique_ptr<Request> &request : requests) {
        MODEL_CHECK(request->queue != queue, "a request outlived its queue");
    }
    Remove(&queues, queue);
}

kaio_status Model::QueueOpen(const kaio_queue_options &options, Bits bits) {
    if (options.depth == 0 || options.depth > KAIO_QUEUE_DEPTH_MAX) {
        return Answer(KAIO_RANGE, KAIO_SUBJECT_DEPTH, Pair(options.depth, KAIO_QUEUE_DEPTH_MAX));
    }
    if (options.spin_ns > KAIO_QUEUE_SPIN_NS_MAX) {
        return Answer(KAIO_RANGE, KAIO_SUBJECT_OPTIONS,
                      Pair(options.spin_ns, KAIO_QUEUE_SPIN_NS_MAX));
    }
    Collect();
    const kaio_sim_note &note = Next(KAIO_SIM_SETUP, nullptr);
    MODEL_CHECK(note.count == options.depth, note.count);
    if (note.answer == -EAGAIN) {
        return Answer(KAIO_LIMIT, KAIO_SUBJECT_DEPTH, 0, EAGAIN);
    }
    if (note.answer < 0) {
        return Answer(KAIO_OS_ERROR, KAIO_SUBJECT_QUEUE, 0, static_cast<int32_t>(-note.answer));
    }
    IsNew(bits);
    queues.push_back(std::make_unique<Queue>());
    Queue *queue = queues.back().get();
    queue->bits = bits;
    queue->ctx = note.ctx;
    queue->depth = options.depth;
    queue->segment_count = options.segment_count;
    queue->chunk_count = options.chunk_count == 0 ? UINT32_MAX : options.chunk_count;
    queue->has_ring = !options.never_ring;
    return Answer(KAIO_OK, KAIO_SUBJECT_NONE);
}

kaio_status Model::QueueClose(Bits bits) {
    Queue *queue = nullptr;
    const kaio_status status = Enter(bits, &queue);
    if (queue == nullptr) {
        return status;
    }
    const kaio_queue_counts counts = Counts(queue);
    if (counts.free_count != counts.depth) {
        return Answer(KAIO_BUSY, KAIO_SUBJECT_QUEUE,
                      counts.idle_count | uint64_t{counts.staged_count} << 16 |
                          uint64_t{counts.in_flight_count} << 32 |
                          uint64_t{counts.finished_count} << 48);
    }
    const int64_t answer = Next(KAIO_SIM_DESTROYED, queue).answer;
    const std::vector<std::unique_ptr<File>> &all = files;
    for (size_t i = all.size(); i-- > 0;) {
        Leave(queue, all[i].get());
    }
    Erase(queue);
    Collect();
    return answer == 0
               ? Answer(KAIO_OK, KAIO_SUBJECT_NONE)
               : Answer(KAIO_OS_ERROR, KAIO_SUBJECT_QUEUE, 0, static_cast<int32_t>(-answer));
}

kaio_status Model::QueueDetach(Bits bits) {
    Queue *queue = nullptr;
    const kaio_status status = Enter(bits, &queue);
    if (queue != nullptr) {
        queue->has_owner = false;
    }
    return status;
}

kaio_status Model::QueueAttach(Bits bits) {
    Queue *queue = FindQueue(bits);
    if (queue != nullptr) {
        queue->has_owner = true;
    }
    return Enter(bits, &queue);
}

kaio_status Model::QueueFlush(Bits bits, kaio_flush_report *report) {
    Queue *queue = nullptr;
    const kaio_status status = Enter(bits, &queue);
    if (queue == nullptr) {
        return status;
    }
    *report = Flush(queue);
    return FlushStatus(*report);
}

kaio_status Model::QueueWait(Bits bits, uint32_t min_count, Deadline deadline,
                             uint32_t *ready_count) {
    Queue *queue = nullptr;
    kaio_status status = Enter(bits, &queue);
    if (queue == nullptr) {
        return status;
    }
    status = WaitFor(queue, min_count, deadline);
    *ready_count = static_cast<uint32_t>(queue->finished.size());
    return status;
}

// A mask is in force in a system call, of which there is one at least.
kaio_status Model::QueueWaitMasked(Bits bits, uint32_t min_count, Deadline deadline, bool has_masks,
                                   uint32_t *ready_count) {
    Queue *queue = nullptr;
    kaio_status status = Enter(bits, &queue);
    if (queue == nullptr) {
        return status;
    }
    if (!queue->was_asked_masks && !has_masks) {
        return Answer(KAIO_UNSUPPORTED, KAIO_SUBJECT_QUEUE, 0, ENOSYS);
    }
    if (!queue->was_asked_masks) {
        MODEL_CHECK(Next(KAIO_SIM_GOT, queue).answer == 0, "a question that got events");
        queue->was_asked_masks = true;
    }
    bool has_slept = false;
    status = WaitFor(queue, min_count, deadline, &has_slept);
    if (!has_slept) {
        const kaio_sim_note note = Next(KAIO_SIM_GOT, queue);
        MODEL_CHECK(note.count == 0, "a look that waits");
        ++queue->counters.getevents_count;
        Got(queue, note.answer);
    }
    *ready_count = static_cast<uint32_t>(queue->finished.size());
    return status;
}

void Model::QueueWake(Bits bits) {
    Queue *queue = FindQueue(bits);
    if (queue != nullptr && !queue->is_ending) {
        queue->is_woken = true;
    }
}

kaio_status Model::QueueDrain(Bits bits, Deadline deadline, kaio_queue_counts *left) {
    Queue *queue = nullptr;
    kaio_status status = Enter(bits, &queue);
    if (queue == nullptr) {
        return status;
    }
    status = WaitFor(queue, UINT32_MAX, deadline);
    *left = Counts(queue);
    return status.code == KAIO_NOTHING_TO_WAIT_FOR ? Answer(KAIO_OK, KAIO_SUBJECT_NONE) : status;
}

static kaio_status TooLong(const Request &request, uint32_t capacity) {
    return request.parts.size() <= capacity
               ? Answer(KAIO_OK, KAIO_SUBJECT_NONE)
               : Answer(KAIO_RANGE, KAIO_SUBJECT_SEGMENTS, Pair(request.parts.size(), capacity));
}

// TakeOne gives the request that `got` or `answer` must be about, of those that may come next.
Request *Model::TakeOne(Queue *queue, const kaio_completion &got, kaio_status answer,
                        uint32_t capacity) {
    CollectStrays(queue);
    if (queue->finished.empty()) {
        Reap(queue);
    }
    if (queue->finished.empty()) {
        return nullptr;
    }
    auto chosen = queue->finished.begin();
    const uint64_t group = (*chosen)->group;
    for (auto i = chosen; i != queue->finished.end() && (*i)->group == group; ++i) {
        const kaio_status too_long = TooLong(**i, capacity);
        const bool is_it = answer.code == KAIO_RANGE
                               ? too_long.code == KAIO_RANGE && too_long.detail == answer.detail
                               : (*i)->bits == got.ticket.bits;
        if (is_it) {
            chosen = i;
        }
    }
    Request *request = *chosen;
    queue->finished.erase(chosen);
    return request;
}

kaio_status Model::QueueTake(Bits bits, const kaio_completion &got, kaio_status answer,
                             uint32_t capacity) {
    Queue *queue = nullptr;
    const kaio_status status = Enter(bits, &queue);
    if (queue == nullptr) {
        return status;
    }
    Request *request = TakeOne(queue, got, answer, capacity);
    if (request == nullptr && queue->event_fd >= 0) {
        queue->is_raised = false;
        request = TakeOne(queue, got, answer, capacity);
        queue->is_raised |= request != nullptr;
    }
    if (request == nullptr) {
        return Answer(KAIO_EMPTY, KAIO_SUBJECT_QUEUE);
    }
    const kaio_status too_long = TooLong(*request, capacity);
    if (!kaio_status_is_ok(too_long)) {
        queue->finished.push_front(request);
        return too_long;
    }
    CheckCompletion(*request, got);
    CountOutcome(got, &queue->counters);
    Free(request);
    return status;
}

// BeginRun follows a run up to its first handler.
void Model::BeginRun(Queue *queue) {
    queue->handled_count = 0;
    CollectStrays(queue);
    (void)Flush(queue);
    if (!queue->has_ring) {
        Reap(queue);
    }
    HearHandlers();
}

// HasDone settles events one by one until something is finished.
bool Model::HasDone(Queue *queue) {
    while (queue->has_ring && queue->finished.empty() && !queue->ring.empty()) {
        const Event event = queue->ring.front();
        queue->ring.pop_front();
        Settle(queue, event);
    }
    return !queue->finished.empty();
}

void Model::Handled(Bits bits, kaio_completion *got) {
    Queue *queue = FindQueue(bits);
    MODEL_CHECK(queue != nullptr && queue->has_owner, "a run of what is no queue of ours");
    if (queue->handled_count == 0) {
        BeginRun(queue);
    }
    MODEL_CHECK(queue->handled_count == 0 || !queue->is_drop_asked, "a run that went on");
    MODEL_CHECK(HasDone(queue), "nothing is there to be handed out");
    auto chosen = queue->finished.begin();
    const uint64_t group = (*chosen)->group;
    for (auto i = chosen; i != queue->finished.end() && (*i)->group == group; ++i) {
        const Bits memory = (*i)->buffer == nullptr ? 0 : (*i)->buffer->bits;
        const Bits theirs = got->view != nullptr ? reinterpret_cast<Bits>(got->view)
                                                 : reinterpret_cast<Bits>(got->buffer);
        const bool is_it = got->segments != nullptr
                               ? (*i)->bits == got->ticket.bits
                               : (*i)->operation == got->operation && (*i)->user == got->user &&
                                     memory == theirs && (*i)->refusal == got->refusal.code;
        if (is_it) {
            chosen = i;
            break;
        }
    }
    Request *request = *chosen;
    queue->finished.erase(chosen);
    got->ticket.bits = request->bits;
    CheckCompletion(*request, *got);
    CountOutcome(*got, &queue->counters);
    ++queue->handled_count;
    Free(request);
}

kaio_status Model::QueueRun(Bits bits, bool has_begun, kaio_run_report *report) {
    Queue *queue = nullptr;
    if (has_begun) {
        queue = FindQueue(bits);
    } else {
        const kaio_status status = Enter(bits, &queue);
        if (queue == nullptr) {
            return status;
        }
        BeginRun(queue);
    }
    *report = {};
    report->completed_count = queue->handled_count;
    queue->handled_count = 0;
    if (queue->is_drop_asked) {
        MODEL_CHECK(report->completed_count > 0 || !HasDone(queue), "an outcome was kept back");
        report->ended = KAIO_RUN_STOPPED;
        (void)DestroyQuietly(queue);
        return Answer(KAIO_OK, KAIO_SUBJECT_NONE);
    }
    MODEL_CHECK(!HasDone(queue), "an outcome was kept back");
    const bool is_owed =
        queue->in_flight_count > 0 || !queue->staged.empty() || !queue->held.empty();
    if (queue->is_woken) {
        queue->is_woken = false;
        report->ended = KAIO_RUN_WOKEN;
        return Answer(KAIO_OK, KAIO_SUBJECT_NONE);
    }
    report->ended = is_owed ? KAIO_RUN_DEADLINE : KAIO_RUN_IDLE;
    return Answer(KAIO_OK, KAIO_SUBJECT_NONE);
}

kaio_status Model::QueueCancel(Bits bits, uint64_t ticket, kaio_cancel_answer *answer) {
    Queue *queue = nullptr;
    const kaio_status status = Enter(bits, &queue);
    if (queue == nullptr) {
        return status;
    }
    Request *request = FindRequest(static_cast<Bits>(ticket));
    *answer = KAIO_CANCEL_STALE;
    if (request == nullptr || request->queue != queue || request->state == State::kIdle) {
        return status;
    }
    if (request->state == State::kFinished) {
        *answer = KAIO_CANCEL_CANNOT;
        return status;
    }
    if (request->state == State::kStaged) {
        *answer = KAIO_CANCEL_UNSENT;
        for (std::deque<Request *> *list : {&queue->staged, &queue->held}) {
            list->erase(std::remove(list->begin(), list->end(), request), list->end());
        }
        request->is_cancelled = true;
        request->result = 0;
        Finish(request);
        queue->is_raised = true;
        return status;
    }
    const kaio_sim_note &note = Next(KAIO_SIM_CANCELLED, queue);
    MODEL_CHECK(note.request.data == ticket, "another request was to be cancelled");
    if (note.answer == 0 || note.answer == -EINPROGRESS) {
        request->is_cancelled = true;
        *answer = KAIO_CANCEL_ASKED;
        return status;
    }
    *answer = KAIO_CANCEL_CANNOT;
    return note.answer == -EINVAL
               ? status
               : Answer(KAIO_OS_ERROR, KAIO_SUBJECT_QUEUE, 0, static_cast<int32_t>(-note.answer));
}

kaio_status Model::QueueCount(Bits bits, kaio_queue_counts *counts) {
    Queue *queue = nullptr;
    const kaio_status status = Enter(bits, &queue);
    if (queue != nullptr) {
        *counts = Counts(queue);
    }
    return status;
}

kaio_status Model::QueueAsFd(Bits bits, int got_fd) {
    Queue *queue = nullptr;
    const kaio_status status = Enter(bits, &queue);
    if (queue == nullptr) {
        return status;
    }
    if (queue->event_fd < 0) {
        return Answer(KAIO_UNSUPPORTED, KAIO_SUBJECT_OPTIONS);
    }
    MODEL_CHECK(got_fd == queue->event_fd, got_fd);
    return status;
}

// ---- the end of a queue ----

// BeginDestroy follows the library until the kernel has nothing of the queue any more.
void Model::BeginDestroy(Queue *queue) {
    CollectStrays(queue);
    Reap(queue);
    uint32_t poll_count = 0;
    for (const std::unique_ptr<Request> &request : requests) {
        poll_count += request->queue == queue && request->operation == KAIO_POLL &&
                      request->state == State::kInFlight;
    }
    uint32_t lasting_count = 0;
    for (; poll_count > 0; --poll_count) {
        const kaio_sim_note note = Next(KAIO_SIM_CANCELLED, queue);
        Request *poll = FindRequest(static_cast<Bits>(note.request.data));
        MODEL_CHECK(poll != nullptr && poll->queue == queue && poll->operation == KAIO_POLL &&
                        poll->state == State::kInFlight && !poll->is_ending,
                    "what was cancelled");
        poll->is_ending = true;
        if (note.answer == 0 || note.answer == -EINPROGRESS) {
            poll->is_cancelled = true;
        } else if (note.answer != -EINVAL) {
            ++lasting_count;
        }
    }
    while (queue->in_flight_count > lasting_count) {
        const kaio_sim_note note = Next(KAIO_SIM_GOT, queue);
        MODEL_CHECK(note.count == std::min(queue->in_flight_count - lasting_count, kReapCount),
                    note.count);
        if (note.answer < 0 && note.answer != -EINTR) {
            break;
        }
        Got(queue, note.answer);
    }
    queue->is_quiet = Next(KAIO_SIM_DESTROYED, queue).answer == 0 || queue->in_flight_count == 0;
    queue->is_ending = true;
    HearHandlers();
}

// Lose gives a request the outcome that it has when its queue is destroyed.
void Model::Lose(Request *request) {
    if (request->state == State::kInFlight && request->operation != KAIO_POLL) {
        request->result = -EIO;
    } else if (request->state != State::kFinished) {
        request->is_cancelled = true;
        request->result = 0;
    }
}

void Model::OnLost(Bits bits, const kaio_completion &got, bool keeps_buffer) {
    Queue *queue = FindQueue(bits);
    MODEL_CHECK(queue != nullptr, "a handler was called for a queue that is none");
    if (!queue->is_ending) {
        MODEL_CHECK(queue->has_owner && !queue->is_drop_asked, "it must not be destroyed");
        BeginDestroy(queue);
    }
    Request *request = FindRequest(static_cast<Bits>(got.ticket.bits));
    MODEL_CHECK(request != nullptr && request->queue == queue, "not of this queue, or lost twice");
    MODEL_CHECK(request->state != State::kInFlight || queue->is_quiet, "the kernel has it");
    Lose(request);
    CheckCompletion(*request, got);
    (keeps_buffer ? queue->report.given_back_count : queue->report.dropped_count) +=
        static_cast<uint32_t>(Memories(*request).size());
    Free(request);
}

void Model::AfterLost(Bits memory) {
    MemoryDrop(memory);
}

// EndDestroy ends a queue whose requests were lost, but for those that the kernel may still have.
kaio_destroy_report Model::EndDestroy(Queue *queue) {
    kaio_destroy_report report = queue->report;
    bool is_clean = true;
    for (size_t i = requests.size(); i-- > 0;) {
        Request *request = requests[i].get();
        if (request->queue != queue) {
            continue;
        }
        MODEL_CHECK(!queue->is_quiet && request->state == State::kInFlight,
                    "a request was not handed to the handler");
        is_clean = false;
        report.leaked_count += static_cast<uint32_t>(Memories(*request).size());
        stale.push_back(request->bits);
        lost_requests_.push_back(Remove(&requests, request));
    }
    if (!is_clean) {
        stale.push_back(queue->bits);
        lost_queues_.push_back(Remove(&queues, queue));
        return report;
    }
    for (size_t i = files.size(); i-- > 0;) {
        Leave(queue, files[i].get());
    }
    Erase(queue);
    return report;
}

kaio_destroy_report Model::DestroyQuietly(Queue *queue, bool is_elsewhere) {
    BeginDestroy(queue);
    for (size_t i = requests.size(); i-- > 0;) {
        Request *request = requests[i].get();
        if (request->queue != queue || (request->state == State::kInFlight && !queue->is_quiet)) {
            continue;
        }
        const std::vector<Buffer *> memories = Memories(*request);
        Free(request);
        queue->report.dropped_count += static_cast<uint32_t>(memories.size());
        if (!is_elsewhere) {  // what the main thread drops, it collects for
            Collect();
        }
        for (Buffer *memory : memories) {
            Drop(memory);
        }
        i = std::min(i, requests.size());
    }
    return EndDestroy(queue);
}

kaio_status Model::QueueDestroy(Bits bits, bool has_handler, bool has_begun,
                                kaio_destroy_report *report) {
    Queue *queue = nullptr;
    if (has_begun) {
        queue = FindQueue(bits);
    } else {
        const kaio_status status = Enter(bits, &queue);
        if (queue == nullptr) {
            return status;
        }
        if (has_handler) {
            BeginDestroy(queue);
        }
    }
    *report = has_handler ? EndDestroy(queue) : DestroyQuietly(queue);
    Collect();
    return Answer(KAIO_OK, KAIO_SUBJECT_NONE);
}

kaio_status Model::QueueDestroyAll(const std::vector<Bits> &all, bool has_handler, bool has_begun,
                                   kaio_destroy_report *report) {
    kaio_status status = Answer(KAIO_OK, KAIO_SUBJECT_NONE);
    for (size_t i = 0; i < all.size() && !has_begun && kaio_status_is_ok(status); ++i) {
        Queue *queue = nullptr;
        const kaio_status why = Enter(all[i], &queue);
        const bool is_twice =
            std::count(all.begin(), all.begin() + static_cast<ptrdiff_t>(i), all[i]) > 0;
        if (queue == nullptr) {
            status = Answer(static_cast<kaio_code>(why.code), KAIO_SUBJECT_ELEMENT, i);
        } else if (is_twice) {
            status = Answer(KAIO_STALE, KAIO_SUBJECT_ELEMENT, i);
        }
    }
    if (kaio_status_is_ok(status)) {
        MODEL_CHECK(all.size() <= 1, "several queues at once");
        *report = {};
        if (!all.empty()) {
            return QueueDestroy(all[0], has_handler, has_begun, report);
        }
    }
    Collect();
    return status;
}

void Model::QueueDrop(Bits bits) {
    Queue *queue = FindQueue(bits);
    if (queue != nullptr && queue->is_ending) {
        queue->is_drop_asked = true;
    } else if (queue != nullptr) {
        (void)DestroyQuietly(queue);
    }
    Collect();
}

void Model::QueueDropElsewhere(Bits bits) {
    Queue *queue = FindQueue(bits);
    if (queue == nullptr) {
        return;
    }
    if (queue->has_owner) {
        queue->is_drop_asked = true;
    } else {
        (void)DestroyQuietly(queue, true);
    }
}

// ---- files ----

bool Model::IsOwned(int fd) const {
    return std::any_of(files.begin(), files.end(),
                       [&](const auto &file) { return file->is_owned && file->fd == fd; });
}

kaio_status Model::FileNew(int fd, const Resource *resource, bool is_owned, int flags, Bits bits) {
    IsNew(bits);
    files.push_back(std::make_unique<File>());
    File *file = files.back().get();
    file->bits = bits;
    file->fd = fd;
    file->resource = resource;
    file->is_owned = is_owned;
    file->is_readable = resource->is_readable && (flags & O_ACCMODE) != O_WRONLY;
    file->is_writable = resource->is_writable && (flags & O_ACCMODE) != O_RDONLY;
    file->is_append = (flags & O_APPEND) != 0;
    file->is_forced = resource->can_sleep;
    return Answer(KAIO_OK, KAIO_SUBJECT_NONE);
}

kaio_status Model::FileUse(Bits bits, File **out_file) {
    File *file = FindFile(bits);
    if (file == nullptr) {
        return Missing(bits, KAIO_SUBJECT_FILE);
    }
    *out_file = file;
    return Answer(KAIO_OK, KAIO_SUBJECT_NONE);
}

// End closes a file that no queue knows any more.
void Model::End(File *file) {
    MODEL_CHECK(file->queues.empty(), "a file that a queue knows");
    if (file->is_owned) {
        closed_.push_back({file->fd, file->resource});
    }
    stale.push_back(file->bits);
    Remove(&files, file);
}

// CheckClosed: a number may be in use again, but not for the file that was closed.
void Model::CheckClosed() {
    for (const Closed &closed : closed_) {
        struct stat there;
        struct stat was;
        MODEL_CHECK(fstat(closed.resource->fd, &was) == 0, strerror(errno));
        const bool is_in_use = std::any_of(files.begin(), files.end(),
                                           [&](const auto &file) { return file->fd == closed.fd; });
        MODEL_CHECK(is_in_use || fstat(closed.fd, &there) != 0 || there.st_ino != was.st_ino ||
                        there.st_dev != was.st_dev,
                    "a descriptor was left open");
    }
    closed_.clear();
}

void Model::Leave(Queue *queue, File *file) {
    if (file->queues.erase(queue) > 0 && file->queues.empty() && file->is_dropped) {
        End(file);
    }
}

// Sweep lets a queue go of the dropped files that it does not use.
void Model::Sweep(Queue *queue) {
    for (size_t i = files.size(); i-- > 0;) {
        File *file = files[i].get();
        if (file->is_dropped && file->queues.count(queue) > 0 && Pins(queue, file) == 0) {
            Leave(queue, file);
        }
    }
}

// LeaveOwn lets those of our queues go of a file that do not use it.
void Model::LeaveOwn(File *file, uint32_t *pins, uint32_t *queue_count) {
    *pins = *queue_count = 0;
    for (const std::unique_ptr<Queue> &queue : queues) {
        if (file->queues.count(queue.get()) == 0 || !IsOurs(queue.get())) {
            continue;
        }
        const uint32_t pin_count = Pins(queue.get(), file);
        *pins += pin_count;
        *queue_count += pin_count > 0;
        if (pin_count == 0) {
            file->queues.erase(queue.get());
        }
    }
}

kaio_status Model::FileAttach(Bits bits, Bits queue_bits) {
    Queue *queue = nullptr;
    const kaio_status status = Enter(queue_bits, &queue);
    if (queue == nullptr) {
        return status;
    }
    File *file = FindFile(bits);
    if (file == nullptr) {
        return Missing(bits, KAIO_SUBJECT_FILE);
    }
    file->queues.insert(queue);
    return status;
}

kaio_status Model::FileDetach(Bits bits, Bits queue_bits) {
    Queue *queue = nullptr;
    const kaio_status status = Enter(queue_bits, &queue);
    if (queue == nullptr) {
        return status;
    }
    File *file = FindFile(bits);
    if (file == nullptr) {
        return Missing(bits, KAIO_SUBJECT_FILE);
    }
    const uint32_t pin_count = Pins(queue, file);
    if (pin_count > 0) {
        return Answer(KAIO_BUSY, KAIO_SUBJECT_FILE, Pair(pin_count, 0));
    }
    file->queues.erase(queue);
    return status;
}

kaio_status Model::FileClose(Bits bits, bool is_other_thread) {
    File *file = FindFile(bits);
    if (file == nullptr) {
        return Missing(bits, KAIO_SUBJECT_FILE);
    }
    uint32_t pins = 0;
    uint32_t queue_count = 0;
    if (!is_other_thread) {
        LeaveOwn(file, &pins, &queue_count);
    }
    if (!file->queues.empty()) {
        return Answer(KAIO_BUSY, KAIO_SUBJECT_FILE, Pair(pins, file->queues.size() - queue_count));
    }
    End(file);
    return Answer(KAIO_OK, KAIO_SUBJECT_NONE);
}

void Model::FileDrop(Bits bits, bool is_other_thread) {
    File *file = FindFile(bits);
    if (file == nullptr) {
        return;
    }
    uint32_t pins = 0;
    uint32_t queue_count = 0;
    if (!is_other_thread) {
        LeaveOwn(file, &pins, &queue_count);
    }
    file->is_dropped = true;
    if (file->queues.empty()) {
        End(file);
    }
}

// ---- buffers ----

void Model::BufferNew(Bits bits, size_t size_bytes) {
    Collect();
    IsNew(bits);
    buffers.push_back(std::make_unique<Buffer>());
    buffers.back()->bits = bits;
    buffers.back()->bytes.resize(size_bytes);
}

void Model::BufferAdopt(Bits bits, Adopted *memory) {
    BufferNew(bits, memory->size_bytes);
    buffers.back()->adopted = memory;
}

// Erase ends a buffer, or a view and with the last one the buffer.
void Model::Erase(Buffer *buffer) {
    stale.push_back(buffer->bits);
    Buffer *frozen = buffer->frozen;
    Pool *pool = buffer->pool;
    if (buffer->adopted != nullptr) {
        buffer->adopted->is_over = true;
    }
    if (pool != nullptr) {
        pool->left[buffer->address] = buffer->bytes;
        pool->out.erase(buffer->frame_number);
        --pool->out_count;
    }
    Remove(&buffers, buffer);
    if (pool != nullptr && pool->is_dropped && pool->out_count == 0) {
        EndPool(pool);
    }
    if (frozen != nullptr && --frozen->view_count == 0) {
        Erase(frozen);
    }
}

kaio_status Model::LookBuffer(Bits bits, Buffer **out_buffer) {
    Buffer *buffer = FindBuffer(bits);
    if (buffer == nullptr) {
        return Missing(bits, KAIO_SUBJECT_BUFFER);
    }
    if (buffer->is_pinned) {
        return Answer(KAIO_BUSY, KAIO_SUBJECT_BUFFER);
    }
    *out_buffer = buffer;
    return Answer(KAIO_OK, KAIO_SUBJECT_NONE);
}

kaio_status Model::LookView(Bits bits, Buffer **out_view) {
    Buffer *view = FindView(bits);
    if (view == nullptr) {
        return Missing(bits, KAIO_SUBJECT_VIEW);
    }
    if (view->is_pinned) {
        return Answer(KAIO_BUSY, KAIO_SUBJECT_VIEW);
    }
    *out_view = view;
    return Answer(KAIO_OK, KAIO_SUBJECT_NONE);
}

kaio_status Model::BufferDetach(Bits bits) {
    Buffer *buffer = nullptr;
    const kaio_status status = LookBuffer(bits, &buffer);
    if (buffer != nullptr) {
        buffer->is_bound = false;
    }
    return status;
}

// Drop ends what nobody has pinned.
void Model::Drop(Buffer *memory) {
    if (memory != nullptr && !memory->is_pinned) {
        Erase(memory);
    }
}

void Model::BufferDrop(Bits bits) {
    Collect();
    Drop(FindBuffer(bits));
}

void Model::ViewDrop(Bits bits) {
    Collect();
    Drop(FindView(bits));
}

void Model::MemoryDrop(Bits bits) {
    Collect();
    Drop(FindMemory(bits));
}

void Model::MemoryDropElsewhere(Bits bits) {
    Buffer *buffer = FindMemory(bits);
    if (buffer == nullptr || buffer->is_pinned) {
        return;
    }
    if (buffer->is_bound) {
        buffer->is_posted = true;
        has_post_ = true;
    } else {
        Erase(buffer);
    }
}

void Model::Collect() {
    if (!has_post_) {
        return;
    }
    has_post_ = false;
    for (size_t i = buffers.size(); i-- > 0;) {
        Buffer *buffer = buffers[i].get();
        if (buffer->is_posted && buffer->is_bound && !buffer->is_pinned) {
            Erase(buffer);
            i = std::min(i, buffers.size());
        }
    }
}

// ---- views ----

Buffer *Model::MakeView(Buffer *buffer, Bits bits) {
    IsNew(bits);
    buffers.push_back(std::make_unique<Buffer>());
    Buffer *view = buffers.back().get();
    view->bits = bits;
    view->address = buffer->address;
    view->frozen = buffer;
    ++buffer->view_count;
    return view;
}

kaio_status Model::BufferFreeze(Bits bits, Bits view) {
    Buffer *buffer = nullptr;
    const kaio_status status = LookBuffer(bits, &buffer);
    if (buffer != nullptr) {
        buffer->is_pinned = true;
        buffer->is_bound = false;
        MakeView(buffer, view);
    }
    return status;
}

kaio_status Model::ViewShare(Bits bits, Bits other) {
    Buffer *view = nullptr;
    const kaio_status status = LookView(bits, &view);
    if (view != nullptr) {
        view->is_bound = true;
        MakeView(view->frozen, other);
    }
    return status;
}

kaio_status Model::ViewThaw(Bits bits, Bits *buffer) {
    Buffer *view = nullptr;
    const kaio_status status = LookView(bits, &view);
    if (view == nullptr) {
        return status;
    }
    view->is_bound = true;
    Buffer *frozen = view->frozen;
    if (frozen->view_count > 1) {
        return Answer(KAIO_BUSY, KAIO_SUBJECT_VIEW, frozen->view_count - 1);
    }
    *buffer = frozen->bits;
    frozen->view_count = 0;
    frozen->is_pinned = false;
    frozen->is_bound = true;
    stale.push_back(bits);
    Remove(&buffers, view);
    return status;
}

kaio_status Model::ViewDetach(Bits bits) {
    Buffer *view = nullptr;
    const kaio_status status = LookView(bits, &view);
    if (view != nullptr) {
        view->is_bound = false;
    }
    return status;
}

// ---- pools ----

void Model::PoolNew(Bits bits, uint32_t buffer_count, size_t buffer_bytes) {
    IsNew(bits);
    pools.push_back(std::make_unique<Pool>());
    pools.back()->bits = bits;
    pools.back()->buffer_count = buffer_count;
    pools.back()->buffer_bytes = buffer_bytes;
}

void Model::EndPool(Pool *pool) {
    if (pool->memory != nullptr) {
        pool->memory->is_over = true;
    }
    stale.push_back(pool->bits);
    Remove(&pools, pool);
}

kaio_status Model::PoolTake(Bits bits, Bits buffer) {
    Collect();
    Pool *pool = FindPool(bits);
    if (pool == nullptr) {
        return Missing(bits, KAIO_SUBJECT_POOL);
    }
    if (pool->out_count == pool->buffer_count) {
        return Answer(KAIO_FULL, KAIO_SUBJECT_POOL, pool->buffer_count);
    }
    MakeFrame(pool, buffer);
    return Answer(KAIO_OK, KAIO_SUBJECT_NONE);
}

void Model::MakeFrame(Pool *pool, Bits bits) {
    BufferNew(bits, pool->buffer_bytes);
    buffers.back()->is_bound = true;
    buffers.back()->pool = pool;
    ++pool->out_count;
}

kaio_status Model::PoolCount(Bits bits, uint32_t *out_count) {
    const Pool *pool = FindPool(bits);
    if (pool == nullptr) {
        return Missing(bits, KAIO_SUBJECT_POOL);
    }
    *out_count = pool->out_count;
    return Answer(KAIO_OK, KAIO_SUBJECT_NONE);
}

kaio_status Model::PoolClose(Bits bits) {
    Collect();
    return CloseFrames(FindPool(bits), KAIO_SUBJECT_POOL, bits);
}

kaio_status Model::CloseFrames(Pool *pool, kaio_subject subject, Bits bits) {
    if (pool == nullptr) {
        return Missing(bits, subject);
    }
    if (pool->out_count > 0) {
        return Answer(KAIO_BUSY, subject, pool->out_count);
    }
    EndPool(pool);
    return Answer(KAIO_OK, KAIO_SUBJECT_NONE);
}

void Model::PoolDrop(Bits bits) {
    Collect();
    DropFrames(FindPool(bits));
}

void Model::DropFrames(Pool *pool) {
    if (pool != nullptr && pool->out_count == 0) {
        EndPool(pool);
    } else if (pool != nullptr) {
        pool->is_dropped = true;
    }
}

// ---- regions ----

void Model::RegionAdopt(Bits bits, uint32_t frame_count, size_t frame_bytes, Adopted *memory) {
    PoolNew(bits, frame_count, frame_bytes);
    pools.back()->memory = memory;
}

kaio_status Model::RegionTake(Bits bits, uint32_t frame_number, Bits buffer) {
    Collect();
    Pool *region = FindRegion(bits);
    if (region == nullptr) {
        return Missing(bits, KAIO_SUBJECT_REGION);
    }
    if (frame_number >= region->buffer_count) {
        return Answer(KAIO_RANGE, KAIO_SUBJECT_FRAMES, Pair(frame_number, region->buffer_count));
    }
    if (!region->out.insert(frame_number).second) {
        return Answer(KAIO_BUSY, KAIO_SUBJECT_BUFFER);
    }
    MakeFrame(region, buffer);
    buffers.back()->frame_number = frame_number;
    return Answer(KAIO_OK, KAIO_SUBJECT_NONE);
}

kaio_status Model::RegionCount(Bits bits, uint32_t *out_count) {
    const Pool *region = FindRegion(bits);
    if (region == nullptr) {
        return Missing(bits, KAIO_SUBJECT_REGION);
    }
    *out_count = region->out_count;
    return Answer(KAIO_OK, KAIO_SUBJECT_NONE);
}

kaio_status Model::RegionClose(Bits bits) {
    Collect();
    return CloseFrames(FindRegion(bits), KAIO_SUBJECT_REGION, bits);
}

void Model::RegionDrop(Bits bits) {
    Collect();
    DropFrames(FindRegion(bits));
}

// ---- requests ----

kaio_status Model::CheckRange(kaio_range range, const Buffer &buffer) {
    const uint64_t size = buffer.Size();
    if (range.size_bytes > KAIO_TRANSFER_SIZE_MAX_BYTES) {
        return Answer(KAIO_RANGE, KAIO_SUBJECT_SIZE,
                      Pair(range.size_bytes, KAIO_TRANSFER_SIZE_MAX_BYTES));
    }
    if (range.buffer_offset_bytes > size) {
        return Answer(KAIO_RANGE, KAIO_SUBJECT_BUFFER_OFFSET,
                      Pair(range.buffer_offset_bytes, size));
    }
    if (range.size_bytes > size - range.buffer_offset_bytes) {
        return Answer(KAIO_RANGE, KAIO_SUBJECT_SIZE,
                      Pair(range.size_bytes, size - range.buffer_offset_bytes));
    }
    if (range.file_offset_bytes > static_cast<uint64_t>(INT64_MAX) - range.size_bytes) {
        return Answer(KAIO_RANGE, KAIO_SUBJECT_FILE_OFFSET, range.file_offset_bytes);
    }
    return Answer(KAIO_OK, KAIO_SUBJECT_NONE);
}

static kaio_status CheckAligned(kaio_subject subject, uint64_t number, uint32_t needed) {
    return number % needed == 0 ? Answer(KAIO_OK, KAIO_SUBJECT_NONE)
                                : Answer(KAIO_ALIGN, subject, Pair(number % needed, needed));
}

// CheckFlags names the flags that cannot be had.
static kaio_status CheckFlags(kaio_operation operation, const File &file, uint32_t flags,
                              uint32_t kernel_flags) {
    uint32_t can_have = kernel_flags & ~kAtomic;
    if (IsRead(operation)) {
        can_have &= ~kDurability;
    } else if (file.alignment.atomic_max_bytes > 0) {
        can_have |= kAtomic;
    }
    const uint32_t both = kAppend | kNoAppend;
    const uint32_t missing = (flags & ~can_have) != 0 ? flags & ~can_have
                             : (flags & both) == both ? both
                                                      : 0;
    return missing == 0 ? Answer(KAIO_OK, KAIO_SUBJECT_NONE)
                        : Answer(KAIO_UNSUPPORTED, KAIO_SUBJECT_FLAGS, missing);
}

kaio_status Model::CheckTransfer(kaio_operation operation, const File &file, const Buffer &buffer,
                                 kaio_range range, uint32_t flags) {
    if (!(IsRead(operation) ? file.is_readable : file.is_writable)) {
        return Answer(KAIO_ACCESS, KAIO_SUBJECT_FILE);
    }
    kaio_status status = Answer(KAIO_OK, KAIO_SUBJECT_NONE);
    if (file.alignment.is_known && file.alignment.is_direct) {
        const uintptr_t address =
            reinterpret_cast<uintptr_t>(buffer.address) + range.buffer_offset_bytes;
        const uint32_t needed =
            IsRead(operation) ? file.alignment.read_bytes : file.alignment.write_bytes;
        status = CheckAligned(KAIO_SUBJECT_MEMORY, address, file.alignment.memory_bytes);
        if (kaio_status_is_ok(status)) {
            status = CheckAligned(KAIO_SUBJECT_FILE_OFFSET, range.file_offset_bytes, needed);
        }
        if (kaio_status_is_ok(status)) {
            status = CheckAligned(KAIO_SUBJECT_SIZE, range.size_bytes, needed);
        }
    }
    return kaio_status_is_ok(status) ? CheckFlags(operation, file, flags, world_->kernel_flags)
                                     : status;
}

Request *Model::Make(kaio_operation operation, Queue *queue, File *file, Bits bits) {
    IsNew(bits);
    file->queues.insert(queue);
    requests.push_back(std::make_unique<Request>());
    Request *request = requests.back().get();
    request->id = ++last_id_;
    request->bits = bits;
    request->operation = operation;
    request->queue = queue;
    request->file = file;
    return request;
}

static void Describe(Request *request, kaio_range range, uint32_t flags) {
    const uint32_t forced = request->file->is_forced ? kNoWait : 0;
    request->range = range;
    request->flags = flags;
    request->is_forced = (forced & ~flags) != 0;
    request->sent_flags = flags | forced;
    request->priority = {};
}

kaio_status Model::TransferNew(kaio_operation operation, Bits queue_bits, Bits file_bits,
                               kaio_range range, uint32_t flags, Bits memory_bits, bool is_view,
                               Bits bits) {
    Queue *queue = nullptr;
    kaio_status status = Enter(queue_bits, &queue);
    if (queue == nullptr) {
        return status;
    }
    Buffer *buffer = nullptr;
    status = is_view ? LookView(memory_bits, &buffer) : LookBuffer(memory_bits, &buffer);
    if (buffer == nullptr) {
        return status;
    }
    status = CheckRange(range, *buffer);
    if (!kaio_status_is_ok(status)) {
        return status;
    }
    if (Counts(queue).free_count == 0) {
        return Answer(KAIO_FULL, KAIO_SUBJECT_REQUEST, queue->depth);
    }
    File *file = FindFile(file_bits);
    if (file == nullptr) {
        return Missing(file_bits, KAIO_SUBJECT_FILE);
    }
    status = CheckTransfer(operation, *file, *buffer, range, flags);
    if (kaio_status_is_ok(status)) {
        Request *request = Make(operation, queue, file, bits);
        request->buffer = buffer;
        buffer->is_pinned = true;
        buffer->is_bound = true;
        Describe(request, range, flags);
    }
    return status;
}

kaio_status Model::CheckVector(kaio_operation operation, const File &file,
                               const std::vector<Part> &parts, kaio_range range, uint32_t flags) {
    Buffer nowhere;  // at address 0: it is aligned
    kaio_status status = CheckTransfer(operation, file, nowhere, range, flags);
    for (const Part &part : parts) {
        if (kaio_status_is_ok(status) && file.alignment.is_known && file.alignment.is_direct) {
            status =
                CheckAligned(KAIO_SUBJECT_MEMORY,
                             reinterpret_cast<uintptr_t>(part.memory->address) + part.offset_bytes,
                             file.alignment.memory_bytes);
        }
    }
    return status;
}

kaio_status Model::VectorNew(kaio_operation operation, Bits queue_bits, Bits file_bits,
                             uint64_t file_offset_bytes, uint32_t flags,
                             const std::vector<kaio_segment> &segments, Bits bits) {
    Queue *queue = nullptr;
    kaio_status status = Enter(queue_bits, &queue);
    if (queue == nullptr) {
        return status;
    }
    std::vector<Part> parts;
    kaio_range range = {file_offset_bytes, 0, 0};
    for (const kaio_segment &segment : segments) {
        const bool is_view = segment.view != nullptr;
        if (is_view && operation == KAIO_READV) {
            return Answer(KAIO_ACCESS, KAIO_SUBJECT_VIEW);
        }
        Buffer *memory = nullptr;
        status = is_view ? LookView(reinterpret_cast<Bits>(segment.view), &memory)
                         : LookBuffer(reinterpret_cast<Bits>(segment.buffer), &memory);
        if (memory == nullptr) {
            return status;
        }
        status = CheckRange({0, segment.buffer_offset_bytes, segment.size_bytes}, *memory);
        if (!kaio_status_is_ok(status)) {
            return status;
        }
        parts.push_back({memory, segment.buffer_offset_bytes, segment.size_bytes});
        range.size_bytes += segment.size_bytes;
    }
    if (file_offset_bytes > static_cast<uint64_t>(INT64_MAX) - range.size_bytes) {
        return Answer(KAIO_RANGE, KAIO_SUBJECT_FILE_OFFSET, file_offset_bytes);
    }
    size_t used_count = 0;
    for (const auto &request : requests) {
        used_count += request->queue == queue ? request->parts.size() : 0;
    }
    if (Counts(queue).free_count == 0) {
        return Answer(KAIO_FULL, KAIO_SUBJECT_REQUEST, queue->depth);
    }
    if (queue->segment_count - used_count < parts.size()) {
        return Answer(KAIO_FULL, KAIO_SUBJECT_SEGMENTS, queue->segment_count);
    }
    File *file = FindFile(file_bits);
    if (file == nullptr) {
        return Missing(file_bits, KAIO_SUBJECT_FILE);
    }
    status = CheckVector(operation, *file, parts, range, flags);
    for (size_t i = 0; i < parts.size() && kaio_status_is_ok(status); ++i) {
        for (size_t k = 0; k < i; ++k) {
            if (parts[i].memory == parts[k].memory) {
                status = Answer(
                    KAIO_BUSY, parts[i].memory->IsView() ? KAIO_SUBJECT_VIEW : KAIO_SUBJECT_BUFFER);
            }
        }
    }
    if (kaio_status_is_ok(status)) {
        Request *request = Make(operation, queue, file, bits);
        request->parts = parts;
        for (const Part &part : parts) {
            part.memory->is_pinned = true;
            part.memory->is_bound = true;
        }
        Describe(request, range, flags);
    }
    return status;
}

kaio_status Model::SyncNew(Bits queue_bits, Bits file_bits, kaio_sync_kind kind, Bits bits) {
    Queue *queue = nullptr;
    const kaio_status status = Enter(queue_bits, &queue);
    if (queue == nullptr) {
        return status;
    }
    if (Counts(queue).free_count == 0) {
        return Answer(KAIO_FULL, KAIO_SUBJECT_REQUEST, queue->depth);
    }
    File *file = FindFile(file_bits);
    if (file == nullptr) {
        return Missing(file_bits, KAIO_SUBJECT_FILE);
    }
    Make(KAIO_SYNC, queue, file, bits)->kind = kind;
    return status;
}

kaio_status Model::PollNew(Bits queue_bits, Bits file_bits, kaio_poll_events events, Bits bits) {
    Queue *queue = nullptr;
    const kaio_status status = Enter(queue_bits, &queue);
    if (queue == nullptr) {
        return status;
    }
    if (Counts(queue).free_count == 0) {
        return Answer(KAIO_FULL, KAIO_SUBJECT_REQUEST, queue->depth);
    }
    File *file = FindFile(file_bits);
    if (file == nullptr) {
        return Missing(file_bits, KAIO_SUBJECT_FILE);
    }
    Make(KAIO_POLL, queue, file, bits)->events = events;
    return status;
}

kaio_status Model::EnterRequest(Bits bits, kaio_operation operation, bool gives_up, Request **out) {
    Request *request = FindRequest(bits);
    if (request == nullptr || request->state != State::kIdle || request->operation != operation) {
        return Missing(bits, KAIO_SUBJECT_REQUEST);
    }
    kaio_code code = KAIO_OK;
    if (!request->queue->has_owner) {
        code = KAIO_WRONG_THREAD;
    } else if (request->queue->is_ending) {
        code = KAIO_REENTERED;
    } else {
        *out = request;
        return Answer(KAIO_OK, KAIO_SUBJECT_NONE);
    }
    if (gives_up && request->stray == KAIO_OK) {
        request->stray = code;
    }
    return Answer(code, KAIO_SUBJECT_REQUEST);
}

uint64_t Model::Push(Bits bits, kaio_operation operation, uint64_t user) {
    Request *request = nullptr;
    const kaio_status status = EnterRequest(bits, operation, true, &request);
    if (request != nullptr) {
        Stage(request, user);
        return bits;
    }
    return status.code == KAIO_WRONG_THREAD || status.code == KAIO_REENTERED ? bits : 0;
}

void Model::PushElsewhere(Bits bits, kaio_operation operation) {
    Request *request = FindRequest(bits);
    if (request != nullptr && request->state == State::kIdle && request->operation == operation &&
        request->stray == KAIO_OK) {
        request->stray = KAIO_WRONG_THREAD;
    }
}

kaio_status Model::Abandon(Bits bits, kaio_operation operation, bool is_shared, Bits *memory) {
    Request *request = nullptr;
    const kaio_status status = EnterRequest(bits, operation, false, &request);
    if (request != nullptr) {
        if (request->buffer != nullptr && request->buffer->IsView() != is_shared) {
            return Answer(KAIO_ACCESS, is_shared ? KAIO_SUBJECT_BUFFER : KAIO_SUBJECT_VIEW);
        }
        *memory = request->buffer == nullptr ? 0 : request->buffer->bits;
        Free(request);
    }
    return status;
}

kaio_status Model::AbandonVector(Bits bits, kaio_operation operation, uint32_t capacity,
                                 std::vector<Part> *parts) {
    Request *request = nullptr;
    const kaio_status status = EnterRequest(bits, operation, false, &request);
    if (request == nullptr) {
        return status;
    }
    if (request->parts.size() > capacity) {
        return Answer(KAIO_RANGE, KAIO_SUBJECT_SEGMENTS, Pair(request->parts.size(), capacity));
    }
    *parts = request->parts;
    Free(request);
    return status;
}

void Model::Drop(Bits bits, kaio_operation operation) {
    Request *request = nullptr;
    (void)EnterRequest(bits, operation, true, &request);
    if (request == nullptr) {
        return;
    }
    const std::vector<Buffer *> memories = Memories(*request);
    Free(request);
    Collect();
    for (Buffer *memory : memories) {
        Drop(memory);
    }
}

kaio_status Model::SetPriority(Bits bits, kaio_operation operation, kaio_priority priority) {
    if (priority.priority_class > 3) {
        return Answer(KAIO_RANGE, KAIO_SUBJECT_KIND, Pair(priority.priority_class, 3));
    }
    const uint32_t level_max = priority.priority_class == 0 ? 0 : KAIO_PRIORITY_LEVEL_MAX;
    if (priority.level > level_max) {
        return Answer(KAIO_RANGE, KAIO_SUBJECT_PRIORITY, Pair(priority.level, level_max));
    }
    Request *request = nullptr;
    const kaio_status status = EnterRequest(bits, operation, false, &request);
    if (request != nullptr) {
        request->priority = priority;
    }
    return status;
}

kaio_status Model::Retarget(Bits bits, kaio_operation operation, Bits file_bits, kaio_range range,
                            uint32_t flags) {
    Request *request = nullptr;
    kaio_status status = EnterRequest(bits, operation, false, &request);
    if (request == nullptr) {
        return status;
    }
    status = CheckRange(range, *request->buffer);
    if (!kaio_status_is_ok(status)) {
        return status;
    }
    File *file = FindFile(file_bits);
    if (file == nullptr) {
        return Missing(file_bits, KAIO_SUBJECT_FILE);
    }
    status = CheckTransfer(operation, *file, *request->buffer, range, flags);
    if (kaio_status_is_ok(status)) {
        Move(request, file, range, flags);
    }
    return status;
}

// Move gives an idle request another file.
void Model::Move(Request *request, File *file, kaio_range range, uint32_t flags) {
    file->queues.insert(request->queue);
    request->file = file;
    Describe(request, range, flags);
    Sweep(request->queue);
}

kaio_status Model::RetargetVector(Bits bits, kaio_operation operation, Bits file_bits,
                                  uint64_t file_offset_bytes, uint32_t flags) {
    Request *request = nullptr;
    kaio_status status = EnterRequest(bits, operation, false, &request);
    if (request == nullptr) {
        return status;
    }
    File *file = FindFile(file_bits);
    if (file == nullptr) {
        return Missing(file_bits, KAIO_SUBJECT_FILE);
    }
    const kaio_range range = {file_offset_bytes, 0, request->range.size_bytes};
    if (file_offset_bytes > static_cast<uint64_t>(INT64_MAX) - range.size_bytes) {
        return Answer(KAIO_RANGE, KAIO_SUBJECT_FILE_OFFSET, file_offset_bytes);
    }
    status = CheckVector(operation, *file, request->parts, range, flags);
    if (kaio_status_is_ok(status)) {
        Move(request, file, range, flags);
    }
    return status;
}

kaio_status Model::Retype(Bits bits, kaio_operation from, Bits new_bits) {
    Request *request = nullptr;
    kaio_status status = EnterRequest(bits, from, false, &request);
    if (request == nullptr) {
        return status;
    }
    for (const Buffer *memory : Memories(*request)) {
        if (memory->IsView()) {
            return Answer(KAIO_ACCESS, KAIO_SUBJECT_VIEW);
        }
    }
    if (request->file->is_dropped) {
        return Answer(KAIO_STALE, KAIO_SUBJECT_FILE);
    }
    static const kaio_operation others[] = {KAIO_NO_OPERATION, KAIO_WRITE, KAIO_READ, KAIO_WRITEV,
                                            KAIO_READV};
    const kaio_operation to = others[from];
    status = request->buffer == nullptr
                 ? CheckVector(to, *request->file, request->parts, request->range, 0)
                 : CheckTransfer(to, *request->file, *request->buffer, request->range, 0);
    if (kaio_status_is_ok(status)) {
        IsNew(new_bits);
        stale.push_back(request->bits);
        request->bits = new_bits;
        request->operation = to;
        request->stray = KAIO_OK;  // it was of another life
        Describe(request, request->range, 0);
    }
    return status;
}

}  // namespace kaio_model
