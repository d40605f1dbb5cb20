// The reference model: what state every object is in, and what each call must answer.
//
// Each public function has a counterpart here with the same arguments. The caller makes the real
// call first and then asks the counterpart, which follows the contract in the headers, consumes the
// notes of the simulated kernel in the order in which the contract lets the library ask it, and
// checks each of them. So nothing is "one of": what the kernel chose is known, the rest follows.
// One thread, and simple lists: what is fast and clever in safe/ has no counterpart.

#ifndef KAIO_TESTS_MODEL_MODEL_H_
#define KAIO_TESTS_MODEL_MODEL_H_

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_set>
#include <vector>

#include "kaio/safe/kaio.h"
#include "kaio/safe/sim/sim.h"
#include "tests/model/world.h"

namespace kaio_model {

using Bits = uintptr_t;

struct Queue;
struct Request;

// Memory that was adopted: its hook must be called once, when the model says so.
struct Adopted {
    std::vector<uint8_t> memory;  // more than is adopted, for an address that is aligned
    size_t size_bytes = 0;
    uint32_t released_count = 0;
    bool is_over = false;
};

// A pool, or a region: memory that was adopted, and whose frames are taken by number.
struct Pool {
    Bits bits = 0;
    Adopted *memory = nullptr;  // of a region
    std::set<uint32_t> out;     // of a region: the frames that are taken
    uint32_t buffer_count = 0;
    size_t buffer_bytes = 0;
    uint32_t out_count = 0;
    bool is_dropped = false;                         // to end with its last buffer
    std::map<uint8_t *, std::vector<uint8_t>> left;  // what the last owner left, by address
};

// A buffer, also an adopted one and one of a pool; or a view of one.
struct Buffer {
    Bits bits = 0;
    uint8_t *address = nullptr;
    std::vector<uint8_t> bytes;  // what must be in it; a view has none of its own
    bool is_pinned = false;      // by a request, or by views
    bool is_bound = false;       // to the main thread
    bool is_posted = false;      // another thread dropped it
    Buffer *frozen = nullptr;    // of a view: the buffer
    uint32_t view_count = 0;     // of a buffer
    Pool *pool = nullptr;
    uint32_t frame_number = 0;  // of a region's
    Adopted *adopted = nullptr;

    bool IsView() const {
        return frozen != nullptr;
    }
    std::vector<uint8_t> &Content() {
        return frozen != nullptr ? frozen->bytes : bytes;
    }
    size_t Size() const {
        return frozen != nullptr ? frozen->bytes.size() : bytes.size();
    }
};

struct File {
    Bits bits = 0;
    int fd = -1;
    bool is_owned = false;
    bool is_readable = true;
    bool is_writable = true;
    bool is_append = false;
    bool is_forced = false;   // RWF_NOWAIT goes with every transfer
    bool is_dropped = false;  // to be closed by the last queue that knows it
    int32_t sync_error = 0;   // of the first sync that failed
    kaio_alignment alignment = {};
    const Resource *resource = nullptr;
    std::set<Queue *> queues;  // that it is attached to
};

// A segment of a vectored request.
struct Part {
    Buffer *memory;
    uint32_t offset_bytes;
    uint32_t size_bytes;
};

enum class State { kIdle, kStaged, kInFlight, kFinished };

struct Request {
    uint64_t id = 0;
    Bits bits = 0;  // its handle, and its ticket
    kaio_operation operation = KAIO_NO_OPERATION;
    Queue *queue = nullptr;
    File *file = nullptr;
    Buffer *buffer = nullptr;
    std::vector<Part> parts;  // of a vectored one, instead of the buffer
    kaio_range range = {};
    uint32_t flags = 0;      // as asked for
    bool is_forced = false;  // RWF_NOWAIT besides
    uint32_t sent_flags = 0;
    kaio_priority priority = {};
    kaio_sync_kind kind = KAIO_SYNC_DATA;
    kaio_poll_events events = {};
    uint64_t user = 0;

    State state = State::kIdle;
    kaio_code stray = KAIO_OK;  // given up where it must not be
    std::set<Request *> waits_for;
    bool is_preceded = false;
    bool is_cancelled = false;
    bool has_failed = false;  // a write that syncs must hear of
    kaio_code refusal = KAIO_OK;
    int64_t result = 0;
    bool is_ending = false;  // a poll that its queue's end asked for
    uint64_t group = 0;      // finished requests of one group may come in any order
};

struct Event {
    uint64_t request_id;
    int64_t result;
};

struct Queue {
    Bits bits = 0;
    uint64_t ctx = 0;
    uint32_t depth = 0;
    uint32_t segment_count = 0;
    uint32_t chunk_count = UINT32_MAX;  // the most that one submit is given
    bool has_ring = false;
    int event_fd = -1;
    bool is_raised = false;
    bool has_owner = true;  // the main thread
    bool is_ending = false;
    bool is_quiet = true;  // the kernel has nothing of it, once it is ending
    bool is_drop_asked = false;
    bool is_woken = false;         // no run has ended for it yet
    bool was_asked_masks = false;  // whether the kernel can wait under a mask
    uint64_t handled_count = 0;    // by the run that goes on
    kaio_destroy_report report = {};
    std::deque<Request *> staged;
    std::deque<Request *> held;
    std::deque<Request *> finished;
    std::deque<Event> ring;
    uint32_t in_flight_count = 0;
    kaio_queue_counters counters = {};  // without what is not taken yet
};

enum class Deadline { kNow, kSoon, kFar };

// A note of the kernel's, or, where an id or a handle is not 0, of what a signal handler did in
// between: it gave a request up, dropped a queue, or woke one.
struct Note {
    kaio_sim_note kernel;
    uint64_t stray_id;
    kaio_code stray;
    Bits dropped_queue;
    Bits woken_queue;
};

// What must not be lost.
struct Census {
    uint32_t queue_count = 0;
    uint32_t file_count = 0;
    uint32_t buffer_count = 0;
    uint32_t view_count = 0;
    uint32_t region_count = 0;
};

class Model {
  public:
    explicit Model(World *world) : world_(world) {}

    // ---- what there is ----
    std::vector<std::unique_ptr<Queue>> queues;
    std::vector<std::unique_ptr<File>> files;
    std::vector<std::unique_ptr<Buffer>> buffers;  // and views
    std::vector<std::unique_ptr<Pool>> pools;
    std::vector<std::unique_ptr<Adopted>> adopted;
    std::vector<std::unique_ptr<Request>> requests;  // not taken yet
    std::vector<Bits> stale;                         // handles that were good once
    std::vector<Note> log;

    Queue *FindQueue(Bits bits);
    File *FindFile(Bits bits);      // open ones
    Buffer *FindBuffer(Bits bits);  // that are not given up
    Buffer *FindView(Bits bits);
    Buffer *FindMemory(Bits bits);  // either
    Pool *FindPool(Bits bits);
    Pool *FindRegion(Bits bits);
    Request *FindRequest(Bits bits);
    Request *RequestOf(uint64_t id);
    uint32_t Count(const Queue *queue, State state) const;
    kaio_queue_counts Counts(const Queue *queue) const;
    kaio_queue_counters Counters(const Queue *queue) const;
    uint32_t Pins(const Queue *queue, const File *file) const;
    bool IsOurs(const Queue *queue) const;
    bool WasGivenOut(Bits bits) const {
        return ever_.count(bits) > 0;
    }
    Census Living() const;
    // What stays behind for ever, since the kernel could not be stopped.
    Census leaked;

    // Answers of a signal handler or of another thread, which change nothing but strays.
    kaio_status PeekQueue(Bits queue, bool is_nested, bool is_other_thread);
    kaio_status PeekRequest(Bits request, kaio_operation operation, bool is_nested,
                            bool is_other_thread);

    // ---- the counterparts ----
    kaio_status QueueOpen(const kaio_queue_options &options, Bits queue);
    kaio_status QueueClose(Bits queue);
    kaio_status QueueDetach(Bits queue);
    kaio_status QueueAttach(Bits queue);
    kaio_status QueueFlush(Bits queue, kaio_flush_report *report);
    kaio_status QueueWait(Bits queue, uint32_t min_count, Deadline deadline, uint32_t *ready_count);
    // Under a mask that no signal comes through: `has_masks` tells whether the kernel can do that.
    kaio_status QueueWaitMasked(Bits queue, uint32_t min_count, Deadline deadline, bool has_masks,
                                uint32_t *ready_count);
    void QueueWake(Bits queue);
    // A run with a deadline of now: Handled for each outcome that a handler is called with, whose
    // ticket it fills in, QueueRun at last, which is told whether any was.
    void Handled(Bits queue, kaio_completion *got);
    kaio_status QueueRun(Bits queue, bool has_begun, kaio_run_report *report);
    kaio_status QueueDrain(Bits queue, Deadline deadline, kaio_queue_counts *left);
    // `answer` is the library's: strays of one time may come in any order, also one that is too
    // long.
    kaio_status QueueTake(Bits queue, const kaio_completion &got, kaio_status answer,
                          uint32_t capacity);
    kaio_status QueueCancel(Bits queue, uint64_t ticket, kaio_cancel_answer *answer);
    kaio_status QueueCount(Bits queue, kaio_queue_counts *counts);
    kaio_status QueueAsFd(Bits queue, int got_fd);
    // Destroying with a handler: OnLost for each request that comes, AfterLost when its handler
    // returns, QueueDestroy at last, which is told whether any came.
    void OnLost(Bits queue, const kaio_completion &got, bool keeps_buffer);
    void AfterLost(Bits memory);  // which the completion still has, or 0
    kaio_status QueueDestroy(Bits queue, bool has_handler, bool has_begun,
                             kaio_destroy_report *report);
    // Of several: all may end only if each of them may, which is none of those with more than one.
    kaio_status QueueDestroyAll(const std::vector<Bits> &queues, bool has_handler, bool has_begun,
                                kaio_destroy_report *report);
    void QueueDrop(Bits queue);
    void QueueDropElsewhere(Bits queue);

    kaio_status FileNew(int fd, const Resource *resource, bool is_owned, int flags, Bits file);
    kaio_status FileUse(Bits file, File **out_file);  // as_fd, alignment, allow_stall, ...
    kaio_status FileAttach(Bits file, Bits queue);
    kaio_status FileDetach(Bits file, Bits queue);
    kaio_status FileClose(Bits file, bool is_other_thread);
    void FileDrop(Bits file, bool is_other_thread);
    bool IsOwned(int fd) const;

    void BufferNew(Bits buffer, size_t size_bytes);
    void BufferAdopt(Bits buffer, Adopted *memory);
    kaio_status BufferDetach(Bits buffer);
    void BufferDrop(Bits buffer);
    kaio_status BufferFreeze(Bits buffer, Bits view);
    kaio_status ViewShare(Bits view, Bits other);
    kaio_status ViewThaw(Bits view, Bits *buffer);
    kaio_status ViewDetach(Bits view);
    void ViewDrop(Bits view);
    void MemoryDrop(Bits memory);
    void MemoryDropElsewhere(Bits memory);
    void PoolNew(Bits pool, uint32_t buffer_count, size_t buffer_bytes);
    kaio_status PoolTake(Bits pool, Bits buffer);
    kaio_status PoolCount(Bits pool, uint32_t *out_count);
    kaio_status PoolClose(Bits pool);
    void PoolDrop(Bits pool);
    void RegionAdopt(Bits region, uint32_t frame_count, size_t frame_bytes, Adopted *memory);
    kaio_status RegionTake(Bits region, uint32_t frame_number, Bits buffer);
    kaio_status RegionCount(Bits region, uint32_t *out_count);
    kaio_status RegionClose(Bits region);
    void RegionDrop(Bits region);
    void Collect();  // what other threads dropped

    kaio_status TransferNew(kaio_operation operation, Bits queue, Bits file, kaio_range range,
                            uint32_t flags, Bits memory, bool is_view, Bits request);
    // `file_offset_bytes` and the sizes in `segments`, whose handles are still the caller's.
    kaio_status VectorNew(kaio_operation operation, Bits queue, Bits file,
                          uint64_t file_offset_bytes, uint32_t flags,
                          const std::vector<kaio_segment> &segments, Bits request);
    kaio_status SyncNew(Bits queue, Bits file, kaio_sync_kind kind, Bits request);
    kaio_status PollNew(Bits queue, Bits file, kaio_poll_events events, Bits request);
    uint64_t Push(Bits request, kaio_operation operation, uint64_t user);
    void PushElsewhere(Bits request, kaio_operation operation);
    kaio_status Abandon(Bits request, kaio_operation operation, bool is_shared, Bits *memory);
    kaio_status AbandonVector(Bits request, kaio_operation operation, uint32_t capacity,
                              std::vector<Part> *parts);
    void Drop(Bits request, kaio_operation operation);
    kaio_status SetPriority(Bits request, kaio_operation operation, kaio_priority priority);
    kaio_status Retarget(Bits request, kaio_operation operation, Bits file, kaio_range range,
                         uint32_t flags);
    kaio_status RetargetVector(Bits request, kaio_operation operation, Bits file,
                               uint64_t file_offset_bytes, uint32_t flags);
    kaio_status Retype(Bits request, kaio_operation from, Bits new_request);

    void Completed();                           // the simulated kernel was asked to go on
    void Forged(Queue *queue, int64_t result);  // an event that names nothing
    void CheckNothingLeft();                    // every note was used
    void CheckClosed();                         // what was closed is
    void CheckCompletion(const Request &request, const kaio_completion &got);

  private:
    kaio_status Enter(Bits bits, Queue **out_queue);
    kaio_status EnterRequest(Bits bits, kaio_operation operation, bool gives_up, Request **out);
    const kaio_sim_note &Next(kaio_sim_event event, const Queue *queue);
    bool HasNote();
    void HearHandlers();
    void HearEnds();
    void Ended(const kaio_sim_note &note);
    void Transfer(Request *request, const kaio_sim_note &note);
    void CheckRead(const Request &request, const kaio_sim_note &note, uint64_t asked_bytes);
    void CheckSent(const Queue &queue, const Request &request, const kaio_sim_request &got);

    kaio_flush_report Flush(Queue *queue);
    void Took(Queue *queue, const kaio_sim_note &note);
    void Refuse(Queue *queue, int error);
    void Reap(Queue *queue);
    void Got(Queue *queue, int64_t count);
    void Settle(Queue *queue, const Event &event);
    kaio_status WaitFor(Queue *queue, uint32_t min_count, Deadline deadline,
                        bool *has_slept = nullptr);
    void CollectStrays(Queue *queue);
    Request *TakeOne(Queue *queue, const kaio_completion &got, kaio_status answer,
                     uint32_t capacity);
    void BeginRun(Queue *queue);
    bool HasDone(Queue *queue);

    void Finish(Request *request);
    void AppendFinished(Request *request);
    void ReleaseSync(Request *sync);
    void SettleSync(Request *sync);
    void Stage(Request *request, uint64_t user);
    void Free(Request *request);
    bool IsWhole(const Request &request) const;

    void BeginDestroy(Queue *queue);
    kaio_destroy_report EndDestroy(Queue *queue);
    kaio_destroy_report DestroyQuietly(Queue *queue, bool is_elsewhere = false);
    void Lose(Request *request);

    kaio_status CheckTransfer(kaio_operation operation, const File &file, const Buffer &buffer,
                              kaio_range range, uint32_t flags);
    kaio_status CheckVector(kaio_operation operation, const File &file,
                            const std::vector<Part> &parts, kaio_range range, uint32_t flags);
    void Move(Request *request, File *file, kaio_range range, uint32_t flags);
    kaio_status CheckRange(kaio_range range, const Buffer &buffer);
    kaio_status LookBuffer(Bits bits, Buffer **out_buffer);
    kaio_status LookView(Bits bits, Buffer **out_view);
    Buffer *MakeView(Buffer *buffer, Bits bits);
    void Drop(Buffer *memory);
    Pool *FindFrames(Bits bits, bool is_region);
    kaio_status CloseFrames(Pool *pool, kaio_subject subject, Bits bits);
    void DropFrames(Pool *pool);
    void MakeFrame(Pool *pool, Bits bits);
    void EndPool(Pool *pool);
    Request *Make(kaio_operation operation, Queue *queue, File *file, Bits bits);
    void Leave(Queue *queue, File *file);
    void LeaveOwn(File *file, uint32_t *pins, uint32_t *queue_count);
    void Sweep(Queue *queue);
    void End(File *file);
    void Erase(Buffer *buffer);
    void Erase(Queue *queue);
    void IsNew(Bits bits);

    World *world_;
    size_t used_ = 0;
    uint64_t last_id_ = 0;
    uint64_t last_group_ = 0;
    std::unordered_set<Bits> ever_;
    struct Closed {
        int fd;
        const Resource *resource;
    };
    std::vector<Closed> closed_;
    std::vector<std::unique_ptr<Queue>> lost_queues_;
    std::vector<std::unique_ptr<Request>> lost_requests_;
    bool has_post_ = false;
};

kaio_status Answer(kaio_code code, kaio_subject subject, uint64_t detail = 0, int32_t os_error = 0);

std::string Text(kaio_status status);

}  // namespace kaio_model

#endif  // KAIO_TESTS_MODEL_MODEL_H_
