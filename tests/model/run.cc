#include "tests/model/run.h"

#include <errno.h>
#include <poll.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <numeric>

#include "tests/model/check.h"

namespace kaio_model {
namespace {

template <typename T>
T *As(Bits bits) {
    return reinterpret_cast<T *>(bits);
}

std::string Text(const kaio_queue_counts &counts) {
    std::string text;
    for (const uint32_t count : {counts.free_count, counts.idle_count, counts.staged_count,
                                 counts.in_flight_count, counts.finished_count}) {
        text += " " + std::to_string(count);
    }
    return text;
}

std::string Text(const Census &census) {
    return std::to_string(census.queue_count) + " queues, " + std::to_string(census.file_count) +
           " files, " + std::to_string(census.buffer_count) + " buffers, " +
           std::to_string(census.view_count) + " views, " + std::to_string(census.region_count) +
           " pools";
}

Census Counted() {
    const kaio_testing_census got = kaio_testing_count();
    Census census;
    census.queue_count = got.queue_count;
    census.file_count = got.file_count;
    census.buffer_count = got.buffer_count;
    census.view_count = got.view_count;
    census.region_count = got.region_count;
    return census;
}

// FirstDifference finds the first counter that differs: all are 64 bits wide.
size_t FirstDifference(const kaio_queue_counters &got, const kaio_queue_counters &want) {
    size_t index = 0;
    uint64_t numbers[2] = {0, 0};
    for (; index < sizeof got / sizeof numbers[0] && numbers[0] == numbers[1]; ++index) {
        memcpy(&numbers[0], reinterpret_cast<const char *>(&got) + index * 8, 8);
        memcpy(&numbers[1], reinterpret_cast<const char *>(&want) + index * 8, 8);
    }
    return index;
}

uint32_t TotalWeight() {
    return std::accumulate(kActions.begin(), kActions.end(), uint32_t{0},
                           [](uint32_t sum, const Action &action) { return sum + action.weight; });
}

}  // namespace

// ---- what came up ----

uint64_t Tally::Answers(kaio_code code) const {
    uint64_t sum = 0;
    for (const auto &[name, counts] : answers) {
        sum += counts[code];
    }
    return sum;
}

std::string Tally::Summary() const {
    std::string text =
        std::to_string(episode_count) + " episodes, " + std::to_string(step_count) + " steps\n";
    char line[160];
    for (const auto &[name, counts] : answers) {
        snprintf(line, sizeof line, "  %-18s", name.c_str());
        text += line;
        for (int code = 0; code < kCodeCount; ++code) {
            if (counts[code] > 0) {
                kaio_status status = {};
                status.code = static_cast<uint16_t>(code);
                snprintf(line, sizeof line, "  %s %" PRIu64, kaio_status_name(status),
                         counts[code]);
                text += line;
            }
        }
        text += "\n";
    }
    for (const auto &[name, count] : outcomes) {
        snprintf(line, sizeof line, "  %-28s %" PRIu64 "\n", name.c_str(), count);
        text += line;
    }
    return text;
}

void Run::Count(const char *name, kaio_code code) {
    ++tally_->answers[name][code];
}

void Run::CountOutcome(const kaio_completion &completion) {
    std::string name = kaio_operation_name(completion.operation);
    switch (completion.operation) {
        case KAIO_SYNC:
            name += std::string(" ") + kaio_sync_outcome_name(completion.sync);
            break;
        case KAIO_POLL:
            name += std::string(" ") + kaio_poll_outcome_name(completion.poll);
            break;
        default:
            name += std::string(" ") + kaio_transfer_outcome_name(completion.transfer);
    }
    if (!kaio_status_is_ok(completion.refusal)) {
        name += std::string(": ") + kaio_status_name(completion.refusal);
    }
    ++tally_->outcomes[name];
}

void Run::CountAlignment(const kaio_alignment &alignment) {
    tally_->knows_alignment |=
        alignment.is_direct && alignment.is_known && alignment.read_bytes > 1;
}

void Run::Expect(const char *name, kaio_status got, kaio_status want) {
    Remember(std::string(name) + " -> " + Text(got));
    if (want.code == KAIO_LIMIT) {
        want.detail = got.detail;  // of all processes
    }
    MODEL_CHECK(memcmp(&got, &want, sizeof got) == 0,
                std::string(name) + " answered " + Text(got) + ", the model " + Text(want));
    Count(name, static_cast<kaio_code>(got.code));
}

// ---- calls ----

void Run::BeginCall() {
    ++call_depth_;
    errno = kErrno;
}

void Run::EndCall() {
    --call_depth_;
    MODEL_CHECK(errno == kErrno, "errno was touched");
}

void Run::Watch(void *context, const kaio_sim_note *note) {
    Run *run = static_cast<Run *>(context);
    run->model.log.push_back({*note, 0, KAIO_OK, 0, 0});
    const bool is_inside = run->call_depth_ > 0 && !run->is_elsewhere;
    // Opening a queue is no call on one: what interrupts it finds nothing begun.
    if (is_inside && note->event != KAIO_SIM_SETUP && run->choices.OneIn(40)) {
        run->Interrupt();
    }
}

// Interrupt calls what a signal handler might, inside a call.
void Run::Interrupt() {
    const Bits queue = PickQueue();
    Request *request = AnyIdle();
    if (request != nullptr && std::count(strayed_.begin(), strayed_.end(), request->id) > 0) {
        request = nullptr;
    }
    const uint32_t choice = choices.Below(11);
    const int saved_errno = errno;
    switch (choice) {
        case 0: {
            kaio_queue_counts counts;
            Expect("interrupted_call", kaio_queue_count(As<kaio_queue>(queue), &counts),
                   model.PeekQueue(queue, true, false));
            break;
        }
        case 1: {
            kaio_completion completion;
            Expect("interrupted_call", kaio_queue_take(As<kaio_queue>(queue), &completion),
                   model.PeekQueue(queue, true, false));
            break;
        }
        case 2: {
            uint32_t ready_count;
            Expect("interrupted_call",
                   kaio_queue_wait(As<kaio_queue>(queue), 1, kaio_deadline_never(), &ready_count),
                   model.PeekQueue(queue, true, false));
            break;
        }
        case 3:
            Expect("interrupted_call", kaio_queue_attach(As<kaio_queue>(queue)),
                   model.PeekQueue(queue, true, false));
            break;
        case 4:
            if (choices.OneIn(8)) {
                kaio_queue *handle = As<kaio_queue>(queue);
                Queue *there = model.FindQueue(queue);
                const bool is_there = there != nullptr;
                kaio_queue_drop(&handle);
                if (is_there) {
                    there->has_owner = true;  // at once: another handler may ask
                    model.log.push_back({{}, 0, KAIO_OK, queue, 0});
                }
                Count("interrupted_drop", is_there ? KAIO_REENTERED : KAIO_STALE);
            }
            break;
        case 10:
            kaio_queue_wake(As<kaio_queue>(queue));
            if (queue != 0) {
                model.log.push_back({{}, 0, KAIO_OK, 0, queue});
            }
            Count("interrupted_wake");
            break;
        case 8: {
            kaio_buffer *buffer = As<kaio_buffer>(PickBuffer());
            kaio_view *view = nullptr;
            Expect("interrupted_call", kaio_buffer_freeze(&buffer, &view),
                   Answer(KAIO_REENTERED, KAIO_SUBJECT_BUFFER));
            break;
        }
        case 9: {
            const Bits bits = PickPool();
            kaio_buffer *buffer = nullptr;
            const bool is_there = model.FindPool(bits) != nullptr;
            Expect("interrupted_call", kaio_pool_take(As<kaio_pool>(bits), &buffer),
                   Answer(is_there    ? KAIO_REENTERED
                          : bits == 0 ? KAIO_NULL_ARGUMENT
                                      : KAIO_STALE,
                          KAIO_SUBJECT_POOL));
            break;
        }
        case 5:
            if (request != nullptr && request->operation == KAIO_READ) {
                kaio_read *read = As<kaio_read>(request->bits);
                kaio_buffer *buffer = nullptr;
                Expect("interrupted_call", kaio_read_abandon(&read, &buffer),
                       model.PeekRequest(request->bits, KAIO_READ, true, false));
            }
            break;
        default:
            if (request != nullptr && request->stray == KAIO_OK) {
                const kaio_status why =
                    model.PeekRequest(request->bits, request->operation, true, false);
                uint64_t ticket = request->bits;
                if (choice == 6) {
                    ticket = PushBits(request->operation, request->bits, 1).bits;
                } else {
                    DropBits(request->operation, request->bits);
                }
                MODEL_CHECK(ticket == request->bits, "a stray push has its ticket");
                strayed_.push_back(request->id);
                model.log.push_back({{}, request->id, static_cast<kaio_code>(why.code), 0, 0});
                Count("interrupted_push", static_cast<kaio_code>(why.code));
            }
    }
    errno = saved_errno;
}

// ---- choosing ----

Queue *Run::AnyQueue() {
    const size_t count = model.queues.size();
    return count == 0 ? nullptr : model.queues[choices.Below(static_cast<uint32_t>(count))].get();
}

Request *Run::AnyIdle() {
    const size_t count = model.requests.size();
    const uint32_t first = count == 0 ? 0 : choices.Below(static_cast<uint32_t>(count));
    for (size_t n = 0; n < count; ++n) {
        Request *request = model.requests[(first + n) % count].get();
        if (request->state == State::kIdle && request->stray == KAIO_OK) {
            return request;
        }
    }
    return nullptr;
}

// Invented gives no handle that is good by chance: whether it is depends on what was before.
Bits Run::Invented() {
    const Bits bits = Invent();
    const bool is_good = model.FindQueue(bits) != nullptr || model.FindFile(bits) != nullptr ||
                         model.FindMemory(bits) != nullptr || model.FindPool(bits) != nullptr ||
                         model.FindRegion(bits) != nullptr || model.FindRequest(bits) != nullptr;
    return is_good ? 0 : bits;
}

// OfAnyKind gives a good handle, likely of another kind than is asked for.
Bits Run::OfAnyKind() {
    std::vector<Bits> live;
    for (const auto &queue : model.queues) {
        live.push_back(queue->bits);
    }
    for (const auto &file : model.files) {
        live.push_back(file->bits);
    }
    for (const auto &buffer : model.buffers) {
        live.push_back(buffer->bits);
    }
    for (const auto &pool : model.pools) {
        live.push_back(pool->bits);
    }
    for (const auto &request : model.requests) {
        live.push_back(request->bits);
    }
    return live.empty() ? 0 : live[choices.Below(static_cast<uint32_t>(live.size()))];
}

Bits Run::Invent() {
    switch (choices.Below(5)) {
        case 0:
            return 0;
        case 1:
        case 2:
            return model.stale.empty()
                       ? 0
                       : model.stale[choices.Below(static_cast<uint32_t>(model.stale.size()))];
        case 3:
            return OfAnyKind() ^ (Bits{1} << choices.Below(8 * sizeof(Bits)));
        default:
            return static_cast<Bits>(choices.Bits());
    }
}

Bits Run::Bad() {
    return choices.OneIn(4) ? OfAnyKind() : Invented();
}

Bits Run::PickQueue() {
    const Queue *queue = AnyQueue();
    return queue == nullptr || choices.OneIn(24) ? Bad() : queue->bits;
}

Bits Run::PickFile(bool is_for_transfer) {
    const size_t count = model.files.size();
    if (count == 0 || choices.OneIn(24)) {
        return Bad();
    }
    const File *file = model.files[choices.Below(static_cast<uint32_t>(count))].get();
    if (!is_for_transfer && file->resource->is_slow && !choices.OneIn(8)) {
        file = model.files[choices.Below(static_cast<uint32_t>(count))].get();
    }
    return file->bits;
}

Bits Run::PickMemory(bool is_view) {
    const size_t count = model.buffers.size();
    if (count == 0 || choices.OneIn(24)) {
        return Bad();
    }
    const uint32_t first = choices.Below(static_cast<uint32_t>(count));
    const Buffer *any = nullptr;
    for (size_t n = 0; n < count; ++n) {  // a held one, if there is one
        const Buffer *buffer = model.buffers[(first + n) % count].get();
        if (buffer->IsView() != is_view) {
            continue;
        }
        if (!buffer->is_pinned && !buffer->is_posted) {
            return buffer->bits;
        }
        any = buffer;
    }
    return any == nullptr ? Bad() : any->bits;
}

Bits Run::PickBuffer() {
    return PickMemory(false);
}

Bits Run::PickView() {
    return PickMemory(true);
}

Bits Run::PickFrames(bool is_region) {
    const size_t count = model.pools.size();
    const uint32_t first = count == 0 ? 0 : choices.Below(static_cast<uint32_t>(count));
    for (size_t n = 0; n < count && !choices.OneIn(24); ++n) {
        const Pool *pool = model.pools[(first + n) % count].get();
        if ((pool->memory != nullptr) == is_region) {
            return pool->bits;
        }
    }
    return Bad();
}

Bits Run::PickPool() {
    return PickFrames(false);
}

Bits Run::PickRegion() {
    return PickFrames(true);
}

Bits Run::PickRequest(kaio_operation operation) {
    const size_t count = model.requests.size();
    if (count == 0 || choices.OneIn(24)) {
        return Bad();
    }
    const uint32_t first = choices.Below(static_cast<uint32_t>(count));
    for (size_t n = 0; n < count && !choices.OneIn(16); ++n) {
        const Request *request = model.requests[(first + n) % count].get();
        if (request->state == State::kIdle && request->operation == operation) {
            return request->bits;
        }
    }
    return model.requests[first]->bits;
}

uint64_t Run::PickTicket() {
    const size_t count = model.requests.size();
    return count == 0 || choices.OneIn(12)
               ? Bad()
               : model.requests[choices.Below(static_cast<uint32_t>(count))]->bits;
}

kaio_operation Run::PickTransfer() {
    return choices.Below(2) == 0 ? KAIO_READ : KAIO_WRITE;
}

kaio_operation Run::PickVectored() {
    return choices.Below(2) == 0 ? KAIO_READV : KAIO_WRITEV;
}

kaio_operation Run::PickAnyOperation() {
    return choices.OneIn(4) ? PickVectored() : PickOperation();
}

kaio_operation Run::PickOperation() {
    static const kaio_operation operations[] = {KAIO_READ,  KAIO_WRITE, KAIO_READ,
                                                KAIO_WRITE, KAIO_SYNC,  KAIO_POLL};
    return operations[choices.Below(6)];
}

kaio_range Run::PickRange(Bits file_bits, Bits buffer_bits) {
    const Buffer *buffer = model.FindMemory(buffer_bits);
    const File *file = model.FindFile(file_bits);
    const uint32_t size = buffer == nullptr ? 512 : static_cast<uint32_t>(buffer->Size());
    const bool is_direct = file != nullptr && file->alignment.is_direct;
    kaio_range range = {};
    if (is_direct && !choices.OneIn(4)) {
        const uint32_t unit = std::max({file->alignment.read_bytes, file->alignment.write_bytes,
                                        file->alignment.memory_bytes, 512u});
        range.file_offset_bytes = uint64_t{choices.Below(8)} * unit;
        range.size_bytes = size / unit * unit;
        return range;
    }
    range.file_offset_bytes = choices.Below(16000);
    range.buffer_offset_bytes = choices.Below(4) == 0 ? choices.Below(size + 1) : 0;
    range.size_bytes = choices.Below(size - range.buffer_offset_bytes + 1);
    if (choices.OneIn(24)) {
        switch (choices.Below(4)) {
            case 0:
                range.size_bytes = size + choices.Below(1000);
                break;
            case 1:
                range.buffer_offset_bytes = size + choices.Below(1000);
                break;
            case 2:
                range.size_bytes = UINT32_MAX - choices.Below(1000);
                break;
            default:
                range.file_offset_bytes =
                    static_cast<uint64_t>(INT64_MAX) - range.size_bytes + 1 + choices.Below(16);
        }
    }
    return range;
}

// Suitable gives `file`, or another for a buffer whose address is only by chance as direct I/O
// needs it.
Bits Run::Suitable(Bits file_bits, Bits buffer_bits) {
    const Buffer *buffer = model.FindMemory(buffer_bits);
    const File *file = model.FindFile(file_bits);
    const bool is_direct = file != nullptr && file->alignment.is_direct;
    return is_direct && buffer != nullptr && buffer->Size() < 512 ? 0 : file_bits;
}

uint32_t Run::PickFlags(Bits file_bits) {
    const File *file = model.FindFile(file_bits);
    uint32_t flags = 0;
    if (choices.OneIn(5)) {
        flags = 1u << choices.Below(9);
        if (choices.OneIn(4)) {
            flags |= 1u << choices.Below(9);
        }
        if (choices.OneIn(8)) {
            flags |= static_cast<uint32_t>(choices.Bits());
        }
    }
    if (file != nullptr && file->resource->is_slow) {
        // No DSYNC and SYNC, which take milliseconds; it must not grow; and the limits of ATOMIC
        // are tests/safe/file_sim_test.cc's.
        flags &= ~0x56u;
    }
    if (file != nullptr && file->resource->can_sleep && !file->is_forced) {
        flags |= kaio_rw_nowait().bits;  // the promise of kaio_file_allow_stall
    }
    return flags;
}

// PickDeadline gives all the time in the world only to a wait that must end.
Deadline Run::PickDeadline(Bits queue_bits, kaio_deadline *out_deadline) {
    const Queue *queue = model.FindQueue(queue_bits);
    bool has_poll = false;
    for (const auto &request : model.requests) {
        has_poll |= request->queue == queue && request->operation == KAIO_POLL &&
                    request->state != State::kFinished;
    }
    const uint32_t choice = choices.Below(has_poll ? 16 : 64);
    if (choice == 0) {
        *out_deadline = kaio_deadline_after_ns(100000);
        return Deadline::kSoon;
    }
    if (has_poll || choice < 8) {
        *out_deadline = choices.Below(2) == 0 ? kaio_deadline_now() : kaio_deadline_at_ns(1);
        return Deadline::kNow;
    }
    *out_deadline = choices.Below(2) == 0 ? kaio_deadline_never()
                                          : kaio_deadline_after_ns(INT64_C(3600000000000));
    return Deadline::kFar;
}

void Run::Play(const kaio_sim_script &next) {
    script = next;
    kaio_sim_play(&script);
}

// ---- steps ----

Run::Run(World *the_world, Tally *tally, Choices the_choices, uint64_t seed)
    : world(the_world), choices(the_choices), model(the_world), tally_(tally), seed_(seed) {
    kaio_sim_watch(Watch, this);
}

Run::~Run() {
    kaio_sim_watch(nullptr, nullptr);
}

void Run::CheckBuffer(const Buffer &buffer) {
    const std::vector<uint8_t> &bytes = buffer.IsView() ? buffer.frozen->bytes : buffer.bytes;
    MODEL_CHECK(memcmp(buffer.address, bytes.data(), bytes.size()) == 0, "bytes of a buffer");
}

// CheckAll compares all that can be asked for without a change.
void Run::CheckAll() {
    model.CheckNothingLeft();
    model.CheckClosed();
    for (const auto &queue : model.queues) {
        if (queue->is_ending) {
            continue;
        }
        const char *fault = kaio_testing_fault(As<kaio_queue>(queue->bits));
        MODEL_CHECK(fault == nullptr, fault == nullptr ? "" : fault);
        if (queue->event_fd >= 0) {
            pollfd ready = {queue->event_fd, POLLIN, 0};
            MODEL_CHECK((poll(&ready, 1, 0) == 1) == queue->is_raised,
                        queue->is_raised ? "the eventfd is not raised" : "the eventfd is raised");
        }
        if (!queue->has_owner || queue->is_drop_asked) {
            continue;
        }
        kaio_queue_counts got = {};
        const kaio_queue_counts want = model.Counts(queue.get());
        kaio_queue *handle = As<kaio_queue>(queue->bits);
        const kaio_status status = kaio_queue_count(handle, &got);
        MODEL_CHECK(kaio_status_is_ok(status) && memcmp(&got, &want, sizeof got) == 0,
                    Text(status) + Text(got) + ", the model" + Text(want));
        kaio_queue_counters counted = {};
        const kaio_queue_counters counters = model.Counters(queue.get());
        MODEL_CHECK(kaio_status_is_ok(kaio_queue_counters_read(handle, &counted)) &&
                        memcmp(&counted, &counters, sizeof counted) == 0,
                    "counters of a queue: the first to differ is number " +
                        std::to_string(FirstDifference(counted, counters)));
    }
    for (const auto &buffer : model.buffers) {
        const size_t size = buffer->IsView() ? kaio_view_size(As<kaio_view>(buffer->bits))
                                             : kaio_buffer_size(As<kaio_buffer>(buffer->bits));
        MODEL_CHECK((size == 0) == buffer->is_posted,
                    buffer->is_posted ? "a buffer that was given up is good" : "a buffer is gone");
    }
    for (size_t i = model.adopted.size(); i-- > 0;) {
        const Adopted &memory = *model.adopted[i];
        MODEL_CHECK(memory.released_count == (memory.is_over ? 1 : 0),
                    memory.is_over ? "adopted memory was not released" : "it was released early");
        if (memory.is_over) {
            model.adopted.erase(model.adopted.begin() + static_cast<ptrdiff_t>(i));
        }
    }
    const Census got = Counted();
    Census want = model.Living();
    want.queue_count += model.leaked.queue_count;
    want.file_count += model.leaked.file_count;
    want.buffer_count += model.leaked.buffer_count;
    want.view_count += model.leaked.view_count;
    want.region_count += model.leaked.region_count;
    MODEL_CHECK(got.queue_count == want.queue_count && got.file_count == want.file_count &&
                    got.buffer_count == want.buffer_count && got.view_count == want.view_count &&
                    got.region_count == want.region_count,
                Text(got) + " live, the model: " + Text(want));
}

void Run::StepInHandler() {
    const uint32_t depth = call_depth_;
    call_depth_ = 0;  // the library has left its call
    ++handler_depth;
    Step();
    --handler_depth;
    call_depth_ = depth;
}

void Run::Step() {
    static const uint32_t total = TotalWeight();
    uint32_t point = choices.Below(total);
    const Action *action = kActions.data();
    for (; point >= action->weight; ++action) {
        point -= action->weight;
    }
    ++step_;
    ++tally_->step_count;
    SetPlace(seed_, step_);
    if (handler_depth == 0) {
        strayed_.clear();
    }
    Remember(action->name);
    action->act(this);
    CheckAll();
}

void Run::DropPools(bool really) {
    for (size_t i = model.pools.size(); really && i-- > 0;) {
        const Bits bits = model.pools[i]->bits;
        kaio_pool *pool = As<kaio_pool>(bits);
        kaio_region *region = As<kaio_region>(bits);
        const bool is_region = model.pools[i]->memory != nullptr;
        CallVoid([&] { is_region ? kaio_region_drop(&region) : kaio_pool_drop(&pool); });
        is_region ? model.RegionDrop(bits) : model.PoolDrop(bits);
    }
}

// EndAll ends what is there, in an order of its own, and looks for what is left.
void Run::EndAll() {
    kaio_sim_script calm = {};
    Play(calm);
    kept.clear();
    while (!model.queues.empty()) {
        Bits bits = AnyQueue()->bits;
        kaio_queue *queue = As<kaio_queue>(bits);
        model.FindQueue(bits)->has_owner = true;
        CallVoid([&] { kaio_queue_drop(&queue); });
        model.QueueDrop(bits);
        model.CheckNothingLeft();
    }
    for (size_t i = model.files.size(); i-- > 0;) {
        const Bits bits = model.files[i]->bits;
        kaio_file *file = As<kaio_file>(bits);
        CallVoid([&] { kaio_file_drop(&file); });
        model.FileDrop(bits, false);
    }
    DropPools(choices.Below(2) == 0);
    for (size_t i = model.buffers.size(); i-- > 0;) {
        const Buffer &memory = *model.buffers[i];
        const Bits bits = memory.bits;
        kaio_buffer *buffer = As<kaio_buffer>(bits);
        kaio_view *view = As<kaio_view>(bits);
        const bool is_view = memory.IsView();
        CallVoid([&] { is_view ? kaio_view_drop(&view) : kaio_buffer_drop(&buffer); });
        is_view ? model.ViewDrop(bits) : model.BufferDrop(bits);
        i = std::min(i, model.buffers.size());
    }
    DropPools(true);
    CheckAll();
    for (const auto &file : model.files) {
        MODEL_CHECK(file->is_dropped, "a file was left");
    }
    for (const auto &buffer : model.buffers) {
        MODEL_CHECK(buffer->is_pinned, "a buffer was left");
    }
    for (const auto &pool : model.pools) {
        MODEL_CHECK(pool->is_dropped && pool->out_count > 0, "a pool was left");
    }
    world->Check();
}

void Run::Episode(uint64_t step_count) {
    model.leaked = Counted();
    world->Reset(seed_);
    kaio_sim_script calm = {};
    Play(calm);
    const uint64_t last = step_ + step_count;
    while (step_ < last && !choices.IsOver()) {
        Step();
    }
    EndAll();
    ++tally_->episode_count;
}

void RunSeeds(uint64_t first_seed, uint64_t episode_count, Tally *tally,
              void (*on_episode)(const Tally &tally)) {
    World world;
    for (uint64_t i = 0; i < episode_count; ++i) {
        const uint64_t seed = first_seed + i;
        Run run(&world, tally, Choices(seed), seed);
        run.Episode(kEpisodeSteps);
        if (on_episode != nullptr) {
            on_episode(*tally);
        }
    }
}

}  // namespace kaio_model
