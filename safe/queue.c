#define _POSIX_C_SOURCE 200809L  // clock_gettime

#include "kaio/safe/queue.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "attach.h"
#include "buffer_pin.h"
#include "kaio/safe/buffer.h"
#include "kernel.h"
#include "queue_place.h"
#include "request.h"
#include "slots.h"
#include "thread.h"

struct kaio_table kaio_queues = {.place_bytes = sizeof(struct kaio_queue_place),
                                 .lock = PTHREAD_MUTEX_INITIALIZER,
                                 .kind_lock = PTHREAD_MUTEX_INITIALIZER,
                                 .in_child = kaio_slots_forget};

enum { NS_PER_S = 1000000000, REAP_COUNT = 64 };

// ---- open ----

// read_number reads one number from a file of /proc, or 0.
static uint64_t read_number(const char *path) {
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return 0;
    }
    char text[32] = "";
    bool is_read = fgets(text, sizeof text, file) != NULL;
    (void)fclose(file);
    return is_read ? strtoull(text, NULL, 10) : 0;
}

static kaio_status setup_failed(int os_error) {
    if (os_error != EAGAIN) {
        return kaio_status_os(KAIO_SUBJECT_QUEUE, os_error);
    }
    int saved_errno = errno;
    kaio_status status =
        kaio_status_pair(KAIO_LIMIT, KAIO_SUBJECT_DEPTH, read_number("/proc/sys/fs/aio-nr"),
                         read_number("/proc/sys/fs/aio-max-nr"));
    errno = saved_errno;
    status.os_error = os_error;
    return status;
}

// make_lists makes every slot of a new queue free and every list empty.
static void make_lists(struct kaio_queue_place *queue) {
    queue->free_head = KAIO_NO_SLOT;
    for (uint32_t i = queue->depth; i-- > 0;) {
        queue->slots[i].next = queue->free_head;
        queue->free_head = i;
    }
    queue->free_count = queue->depth;
    queue->finished_head = queue->finished_tail = queue->held_head = KAIO_NO_SLOT;
    queue->idle_count = queue->staged_count = queue->in_flight_count = queue->finished_count = 0;
    queue->staged_first = queue->staged_end = 0;
    queue->attachment_count = 0;
    queue->seen_deferred_count =
        atomic_load_explicit(&kaio_file_deferred_count, memory_order_acquire);
    queue->sync_epoch = 0;
    queue->duplicate_count = 0;
    atomic_store_explicit(&queue->has_strays, 0, memory_order_relaxed);
    queue->is_ending = 0;
}

// find_ring uses the ring in memory, unless told not to or there is none.
static void find_ring(struct kaio_queue_place *queue, bool never_ring) {
    if (never_ring || kaio_raw_ring_validate(queue->ctx, &queue->consumer) != 0 ||
        kaio_raw_ring_dontfork(&queue->consumer) != 0) {
        queue->consumer.ring = NULL;
    }
}

static void free_memory(struct kaio_queue_place *queue) {
    if (queue->event_fd >= 0) {
        int saved_errno = errno;
        (void)close(queue->event_fd);
        errno = saved_errno;
        queue->event_fd = -1;
    }
    free(queue->staged);
    free(queue->attachments);
    queue->staged = NULL;
    queue->attachments = NULL;
}

// allocate gets the memory of a queue of `depth` requests: nothing is left when it fails.
static bool allocate(struct kaio_queue_place *queue, uint32_t depth) {
    queue->depth = depth;
    queue->event_fd = -1;
    queue->attachment_capacity = depth + depth / 8 + 4;  // more than can be pinned
    queue->staged = calloc(depth, sizeof *queue->staged);
    queue->attachments = calloc(queue->attachment_capacity, sizeof *queue->attachments);
    queue->slots = NULL;
    if (queue->staged != NULL && queue->attachments != NULL) {
        queue->slots = kaio_slots_take(depth, queue->place.index, &queue->first_slot);
    }
    if (queue->slots == NULL) {
        free_memory(queue);
        return false;
    }
    return true;
}

// release returns the memory and the place of a queue whose slots are all free. The life ends
// first: from then on nobody else can ask for a drop, or take the queue over.
static void release(struct kaio_queue_place *queue) {
    uintptr_t word = atomic_load_explicit(&queue->place.word, memory_order_relaxed);
    atomic_store(&queue->place.word, (kaio_bits_life(word) + KAIO_LIFE_ONE) | KAIO_STATE_FREE);
    kaio_slots_give_back(queue->slots, queue->first_slot, queue->depth);
    free_memory(queue);
    queue->is_ending = 0;
    atomic_store(&queue->owner, 0);
    kaio_table_give_back(&kaio_queues, &queue->place, word);
}

static void end_with_thread(uint32_t thread);

// make_eventfd returns 0 or an errno.
static int make_eventfd(struct kaio_queue_place *queue) {
    int saved_errno = errno;
    queue->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int error = queue->event_fd < 0 ? errno : 0;
    errno = saved_errno;
    return error;
}

static kaio_status open_place(struct kaio_queue_place *queue, const kaio_queue_options *options,
                              uint32_t thread) {
    int saved_errno = errno;
    bool is_allocated = allocate(queue, options->depth);
    errno = saved_errno;
    if (!is_allocated) {
        return kaio_status_make(KAIO_NO_MEMORY, KAIO_SUBJECT_QUEUE);
    }
    make_lists(queue);
    queue->ctx = 0;
    int event_error = options->eventfd ? make_eventfd(queue) : 0;
    long error = event_error != 0 ? 0 : kaio_kernel_setup(options->depth, &queue->ctx);
    if (event_error != 0 || error < 0) {
        kaio_slots_give_back(queue->slots, queue->first_slot, queue->depth);
        free_memory(queue);
        return event_error != 0 ? kaio_status_os(KAIO_SUBJECT_QUEUE, event_error)
                                : setup_failed((int)-error);
    }
    find_ring(queue, options->never_ring);
    kaio_thread_at_exit(end_with_thread);
    atomic_store_explicit(&queue->owner, thread, memory_order_relaxed);
    return kaio_status_ok();
}

static kaio_status check_options(const kaio_queue_options *options) {
    if (options == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OPTIONS);
    }
    if (options->depth == 0 || options->depth > KAIO_QUEUE_DEPTH_MAX) {
        return kaio_status_pair(KAIO_RANGE, KAIO_SUBJECT_DEPTH, options->depth,
                                KAIO_QUEUE_DEPTH_MAX);
    }
    return kaio_status_ok();
}

kaio_status kaio_queue_open(const kaio_queue_options *options, kaio_queue **out_queue) {
    kaio_process_check();
    kaio_status status = check_options(options);
    if (!kaio_status_is_ok(status)) {
        return status;
    }
    if (out_queue == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OUTPUT);
    }
    kaio_buffer_collect();
    uint32_t thread = kaio_thread_number();
    struct kaio_queue_place *queue =
        thread == KAIO_NO_THREAD ? NULL : kaio_table_take(&kaio_queues);
    if (queue == NULL) {
        return kaio_status_make(KAIO_NO_MEMORY, KAIO_SUBJECT_QUEUE);
    }
    uintptr_t word = atomic_load_explicit(&queue->place.word, memory_order_relaxed);
    status = open_place(queue, options, thread);
    if (!kaio_status_is_ok(status)) {
        kaio_table_give_back(&kaio_queues, &queue->place, word);
        return status;
    }
    uintptr_t life = kaio_bits_life(word);
    atomic_store_explicit(&queue->place.word, life | KAIO_QUEUE_OPEN, memory_order_release);
    *out_queue = (kaio_queue *)kaio_bits_make(life, queue->place.index, KAIO_KIND_QUEUE);
    return status;
}

// ---- flush ----

static struct kaio_slot *slot_of(struct kaio_raw_iocb *iocb) {
    static_assert(offsetof(struct kaio_slot, iocb) == 0, "an iocb's address is its slot's");
    return (struct kaio_slot *)iocb;
}

static void mark_sent(struct kaio_queue_place *queue, uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) {
        kaio_slot_enter(slot_of(queue->staged[queue->staged_first + i]), KAIO_SLOT_IN_FLIGHT);
    }
    queue->staged_first += count;
    queue->staged_count -= count;
    queue->in_flight_count += count;
}

// refusal_of names what a refused request was refused for, where it is more than its errno.
static kaio_code refusal_of(const struct kaio_slot *slot, int os_error) {
    bool is_forced = (slot->flags & KAIO_SLOT_IS_FORCED) != 0;
    return is_forced && os_error == EOPNOTSUPP ? KAIO_CAN_STALL : KAIO_OS_ERROR;
}

static void refuse_first(struct kaio_queue_place *queue, int os_error) {
    struct kaio_slot *slot = slot_of(queue->staged[queue->staged_first]);
    ++queue->staged_first;
    --queue->staged_count;
    slot->refusal = (uint16_t)refusal_of(slot, os_error);
    slot->kernel_result = -(int64_t)os_error;
    kaio_request_finish(queue, slot);
    kaio_queue_raise(queue);
}

// The kernel takes nothing now and may later; nothing is wrong with the request.
static bool is_shortage(long error) {
    return error == 0 || error == -EAGAIN || error == -ENOMEM || error == -EINTR;
}

// ask_for_events has the kernel raise the eventfd for everything that is about to be sent.
static void ask_for_events(struct kaio_queue_place *queue) {
    for (uint32_t i = queue->staged_first; i < queue->staged_end; ++i) {
        kaio_raw_set_eventfd(queue->staged[i], queue->event_fd);
    }
}

// flush sends staged[staged_first..staged_end) until it is empty or the kernel is short of memory.
// Each call sends something or ends the first entry, since only the first one's errno is ever told.
static kaio_flush_report flush(struct kaio_queue_place *queue) {
    kaio_flush_report report = {.accepted_count = 0};
    if (KAIO_UNLIKELY(queue->event_fd >= 0)) {
        ask_for_events(queue);
    }
    while (queue->staged_first < queue->staged_end) {
        uint32_t count = queue->staged_end - queue->staged_first;
        long answer =
            kaio_kernel_submit(queue->ctx, (long)count, queue->staged + queue->staged_first);
        if (answer > 0) {
            assert((unsigned long)answer <= count);
            mark_sent(queue, (uint32_t)answer);
            report.accepted_count += (uint32_t)answer;
        } else if (is_shortage(answer)) {
            report.os_error = answer == 0 ? EAGAIN : (int32_t)-answer;
            break;
        } else {
            refuse_first(queue, (int)-answer);
            ++report.refused_count;
        }
    }
    if (queue->staged_first == queue->staged_end) {
        queue->staged_first = queue->staged_end = 0;
    }
    report.staged_count = queue->staged_count;
    kaio_detach_dropped(queue);
    return report;
}

static kaio_status flush_status(const kaio_flush_report *report) {
    if (report->os_error == 0) {
        return kaio_status_ok();
    }
    kaio_status status = kaio_status_make(KAIO_AGAIN, KAIO_SUBJECT_REQUEST);
    status.os_error = report->os_error;
    status.detail = report->staged_count;
    return status;
}

kaio_status kaio_queue_flush(kaio_queue *queue, kaio_flush_report *out_report) {
    if (out_report == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OUTPUT);
    }
    kaio_status why;
    struct kaio_queue_place *place = kaio_queue_enter(queue, &why);
    if (place == NULL) {
        return why;
    }
    *out_report = flush(place);
    kaio_queue_leave();
    return flush_status(out_report);
}

// ---- reap ----

// settle ends the request that an event names. Events that name none in flight were seen in the
// field (a kernel delivered some twice): they are counted, and nothing else.
static void settle(struct kaio_queue_place *queue, const struct kaio_raw_event *event) {
    uintptr_t bits = (uintptr_t)event->data;
    uint32_t index = kaio_bits_index(bits) - queue->first_slot;
    if (KAIO_UNLIKELY(
            index >= queue->depth ||
            kaio_slot_load(&queue->slots[index]) !=
                kaio_slot_word(kaio_bits_life(bits), kaio_bits_kind(bits), KAIO_SLOT_IN_FLIGHT))) {
        ++queue->duplicate_count;
        return;
    }
    struct kaio_slot *slot = &queue->slots[index];
    slot->kernel_result = event->res;
    --queue->in_flight_count;
    kaio_request_finish(queue, slot);
}

// reap_ring settles what is in the ring, without a system call. False: the ring cannot be trusted.
static bool reap_ring(struct kaio_queue_place *queue) {
    const struct kaio_raw_event *events;
    uint32_t count;
    while ((count = kaio_raw_ring_peek(&queue->consumer, &events)) != 0) {
        if (KAIO_UNLIKELY(count == KAIO_RAW_RING_CORRUPT)) {
            return false;
        }
        for (uint32_t k = 0; k < count; ++k) {
            settle(queue, &events[k]);
        }
        kaio_raw_ring_consume(&queue->consumer, count);
    }
    return true;
}

// reap_call settles up to REAP_COUNT events through the kernel, waiting for `min_count` of them.
static long reap_call(struct kaio_queue_place *queue, uint32_t min_count,
                      struct kaio_raw_old_timespec *timeout) {
    struct kaio_raw_event events[REAP_COUNT];
    long count = kaio_kernel_getevents(queue->ctx, (long)min_count, REAP_COUNT, events, timeout);
    for (long i = 0; i < count; ++i) {
        settle(queue, &events[i]);
    }
    return count;
}

// reap settles whatever has arrived and never waits.
static void reap(struct kaio_queue_place *queue) {
    if (queue->in_flight_count == 0) {
        return;
    }
    if (KAIO_LIKELY(queue->consumer.ring != NULL)) {
        if (KAIO_LIKELY(reap_ring(queue))) {
            return;
        }
        queue->consumer.ring = NULL;  // from now on only through the kernel, which knows the truth
    }
    struct kaio_raw_old_timespec no_time = {.tv_sec = 0};
    while (queue->in_flight_count > 0 && reap_call(queue, 0, &no_time) == REAP_COUNT) {
    }
}

// ---- wait ----

static int64_t now_ns(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

kaio_deadline kaio_deadline_after_ns(int64_t wait_ns) {
    if (wait_ns <= 0) {
        return kaio_deadline_now();
    }
    int64_t now = now_ns();
    return wait_ns > INT64_MAX - now ? kaio_deadline_never() : kaio_deadline_at_ns(now + wait_ns);
}

// time_left turns a deadline into what the kernel wants: a relative time, NULL for ever. Waits are
// cut to a day, so that they fit every kernel's seconds; the caller waits again.
static bool time_left(kaio_deadline deadline, struct kaio_raw_old_timespec *storage,
                      struct kaio_raw_old_timespec **out_timeout) {
    const int64_t day_ns = INT64_C(86400) * NS_PER_S;
    if (deadline.at_ns == INT64_MAX) {
        *out_timeout = NULL;
        return true;
    }
    int64_t left_ns = deadline.at_ns <= 0 ? 0 : deadline.at_ns - now_ns();
    if (left_ns <= 0) {
        return false;
    }
    left_ns = left_ns > day_ns ? day_ns : left_ns;
    *storage = (struct kaio_raw_old_timespec){.tv_sec = (kaio_raw_long)(left_ns / NS_PER_S),
                                              .tv_nsec = (kaio_raw_long)(left_ns % NS_PER_S)};
    *out_timeout = storage;
    return true;
}

// block waits once for events that are owed. OK also when it was interrupted: the caller looks
// again.
static kaio_status block(struct kaio_queue_place *queue, uint32_t wanted_count,
                         kaio_deadline deadline) {
    struct kaio_raw_old_timespec storage;
    struct kaio_raw_old_timespec *timeout;
    if (!time_left(deadline, &storage, &timeout)) {
        return kaio_status_make(KAIO_TIMED_OUT, KAIO_SUBJECT_QUEUE);
    }
    // With something still to be sent one event is enough: its place may be what the kernel lacks.
    uint32_t min_count = queue->staged_first < queue->staged_end ? 1 : wanted_count;
    min_count = min_count < queue->in_flight_count ? min_count : queue->in_flight_count;
    min_count = min_count < REAP_COUNT ? min_count : REAP_COUNT;
    long count = reap_call(queue, min_count, timeout);
    return count < 0 && count != -EINTR ? kaio_status_os(KAIO_SUBJECT_QUEUE, (int)-count)
                                        : kaio_status_ok();
}

static uint32_t owed_count(const struct kaio_queue_place *queue) {
    return queue->finished_count + queue->in_flight_count + queue->staged_count;
}

static kaio_status wait_for(struct kaio_queue_place *queue, uint32_t min_count,
                            kaio_deadline deadline) {
    for (;;) {
        kaio_request_collect_strays(queue);
        kaio_flush_report report = flush(queue);
        reap(queue);
        if (queue->staged_first < queue->staged_end && report.os_error == 0) {
            continue;  // a sync that waited for what was just reaped
        }
        uint32_t owed = owed_count(queue);
        if (min_count > 0 && owed == 0) {
            return kaio_status_make(KAIO_NOTHING_TO_WAIT_FOR, KAIO_SUBJECT_QUEUE);
        }
        uint32_t wanted = min_count < owed ? min_count : owed;
        if (queue->finished_count >= wanted) {
            return kaio_status_ok();
        }
        if (queue->in_flight_count == 0) {
            return flush_status(&report);
        }
        kaio_status status = block(queue, wanted - queue->finished_count, deadline);
        if (!kaio_status_is_ok(status)) {
            return status;
        }
    }
}

kaio_status kaio_queue_wait(kaio_queue *queue, uint32_t min_count, kaio_deadline deadline,
                            uint32_t *out_ready_count) {
    if (out_ready_count == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OUTPUT);
    }
    kaio_status status;
    struct kaio_queue_place *place = kaio_queue_enter(queue, &status);
    if (place == NULL) {
        return status;
    }
    status = wait_for(place, min_count, deadline);
    if (kaio_status_is_ok(status)) {
        *out_ready_count = place->finished_count;
    }
    kaio_queue_leave();
    return status;
}

// ---- take ----

static kaio_status refusal_status(const struct kaio_slot *slot) {
    kaio_status status = kaio_status_make((kaio_code)slot->refusal, KAIO_SUBJECT_REQUEST);
    if (slot->refusal == KAIO_OS_ERROR || slot->refusal == KAIO_CAN_STALL) {
        status.os_error = (int32_t)-slot->kernel_result;
    }
    return status;
}

static kaio_poll_events asked_events(const struct kaio_slot *slot, kaio_operation operation) {
    uint64_t bits = operation == KAIO_POLL ? slot->iocb.aio_buf : 0;
    return (kaio_poll_events){.bits = (uint16_t)bits};
}

// judge fills in what became of a request.
static void judge(const struct kaio_slot *slot, kaio_operation operation,
                  kaio_completion *out_completion) {
    kaio_verdict verdict = kaio_verdict_from_ending(
        (kaio_ending){.operation = operation,
                      .kernel_result = slot->kernel_result,
                      .asked_bytes = slot->iocb.aio_nbytes,
                      .asked_events = asked_events(slot, operation),
                      .was_refused = slot->refusal != KAIO_OK,
                      .was_cancelled = (slot->flags & KAIO_SLOT_WAS_CANCELLED) != 0,
                      .was_preceded = (slot->flags & KAIO_SLOT_WAS_PRECEDED) != 0});
    out_completion->transfer = verdict.transfer;
    out_completion->sync = verdict.sync;
    out_completion->poll = verdict.poll;
    out_completion->events = verdict.events;
    out_completion->os_error = verdict.os_error;
    out_completion->moved_bytes = verdict.moved_bytes;
    out_completion->refusal = refusal_status(slot);
}

// describe_transfer fills in what was asked for, and gives the buffer back.
static void describe_transfer(const struct kaio_queue_place *queue, const struct kaio_slot *slot,
                              kaio_completion *out_completion) {
    uintptr_t bytes = (uintptr_t)atomic_load_explicit(&slot->buffer->bytes, memory_order_relaxed);
    out_completion->range.file_offset_bytes = (uint64_t)slot->iocb.aio_offset;
    out_completion->range.buffer_offset_bytes = (uint32_t)((uintptr_t)slot->iocb.aio_buf - bytes);
    out_completion->range.size_bytes = (uint32_t)slot->iocb.aio_nbytes;
    out_completion->buffer = kaio_buffer_unpin(slot->buffer, kaio_queue_thread(queue));
}

// deliver turns a slot that will not change any more into a completion and frees it. Most are
// whole: they need no judging.
static void deliver(struct kaio_queue_place *queue, struct kaio_slot *slot,
                    kaio_completion *out_completion) {
    kaio_operation operation = (kaio_operation)kaio_slot_kind(kaio_slot_load(slot));
    out_completion->operation = operation;
    out_completion->user = slot->user;
    out_completion->ticket.bits = slot->iocb.aio_data;
    if (KAIO_LIKELY(slot->buffer != NULL && kaio_request_is_whole(slot))) {
        out_completion->transfer = KAIO_TRANSFER_FULL;
        out_completion->sync = KAIO_SYNC_PENDING;
        out_completion->poll = KAIO_POLL_PENDING;
        out_completion->events.bits = 0;
        out_completion->os_error = 0;
        out_completion->moved_bytes = slot->iocb.aio_nbytes;
        out_completion->refusal = kaio_status_ok();
    } else {
        judge(slot, operation, out_completion);
    }
    if (KAIO_LIKELY(slot->buffer != NULL)) {
        describe_transfer(queue, slot, out_completion);
    } else {
        out_completion->range = (kaio_range){.size_bytes = 0};
        out_completion->buffer = NULL;
    }
    kaio_request_free(queue, slot);
}

static struct kaio_slot *pop_finished(struct kaio_queue_place *queue) {
    struct kaio_slot *slot = &queue->slots[queue->finished_head];
    queue->finished_head = slot->next;
    --queue->finished_count;
    return slot;
}

// ---- the eventfd ----

void kaio_queue_raise(struct kaio_queue_place *queue) {
    if (queue->event_fd < 0) {
        return;
    }
    int saved_errno = errno;
    uint64_t one = 1;
    if (write(queue->event_fd, &one, sizeof one) < 0) {
        assert(errno == EAGAIN);  // full, and so readable
    }
    errno = saved_errno;
}

// lower reads the eventfd, which is not readable then until it is raised again.
static void lower(struct kaio_queue_place *queue) {
    int saved_errno = errno;
    uint64_t count;
    if (read(queue->event_fd, &count, sizeof count) < 0) {
        assert(errno == EAGAIN);  // it was not raised
    }
    errno = saved_errno;
}

kaio_status kaio_queue_as_fd(const kaio_queue *queue, int *out_fd) {
    if (out_fd == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OUTPUT);
    }
    kaio_status why;
    struct kaio_queue_place *place = kaio_queue_enter(queue, &why);
    if (place == NULL) {
        return why;
    }
    int fd = place->event_fd;
    kaio_queue_leave();
    if (fd < 0) {
        return kaio_status_make(KAIO_UNSUPPORTED, KAIO_SUBJECT_OPTIONS);
    }
    *out_fd = fd;
    return kaio_status_ok();
}

// take_one hands over the oldest finished request, if there is one.
static bool take_one(struct kaio_queue_place *queue, kaio_completion *out_completion) {
    kaio_request_collect_strays(queue);
    if (queue->finished_head == KAIO_NO_SLOT) {
        reap(queue);
        if (queue->finished_head == KAIO_NO_SLOT) {
            return false;
        }
    }
    deliver(queue, pop_finished(queue), out_completion);
    return true;
}

// lower_and_take lowers the eventfd, since nothing was left. What came in between may have been
// lowered with the rest: it is handed over, and the eventfd is raised until the next EMPTY.
static bool lower_and_take(struct kaio_queue_place *queue, kaio_completion *out_completion) {
    lower(queue);
    bool is_taken = take_one(queue, out_completion);
    if (is_taken) {
        kaio_queue_raise(queue);
    }
    return is_taken;
}

kaio_status kaio_queue_take(kaio_queue *queue, kaio_completion *out_completion) {
    if (KAIO_UNLIKELY(out_completion == NULL)) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OUTPUT);
    }
    kaio_status why;
    struct kaio_queue_place *place = kaio_queue_enter(queue, &why);
    if (KAIO_UNLIKELY(place == NULL)) {
        return why;
    }
    bool is_taken = take_one(place, out_completion);
    if (KAIO_UNLIKELY(!is_taken && place->event_fd >= 0)) {
        is_taken = lower_and_take(place, out_completion);
    }
    kaio_queue_leave();
    return is_taken ? kaio_status_ok() : kaio_status_make(KAIO_EMPTY, KAIO_SUBJECT_QUEUE);
}

void kaio_completion_drop(kaio_completion *completion) {
    if (completion != NULL) {
        kaio_buffer_drop(&completion->buffer);
    }
}

// line_head writes the part of a completion's line that its operation decides, as snprintf does.
static int line_head(const kaio_completion *completion, char *out_text, size_t size_bytes) {
    switch (completion->operation) {
        case KAIO_SYNC:
            return snprintf(out_text, size_bytes, "sync %s",
                            kaio_sync_outcome_name(completion->sync));
        case KAIO_POLL:
            return completion->poll == KAIO_POLL_READY
                       ? snprintf(out_text, size_bytes, "poll ready: events 0x%x",
                                  (unsigned)completion->events.bits)
                       : snprintf(out_text, size_bytes, "poll %s",
                                  kaio_poll_outcome_name(completion->poll));
        case KAIO_NO_OPERATION:
        case KAIO_READ:
        case KAIO_WRITE:
            break;
    }
    return snprintf(out_text, size_bytes, "%s %s: %llu of %u bytes at offset %llu",
                    kaio_operation_name(completion->operation),
                    kaio_transfer_outcome_name(completion->transfer),
                    (unsigned long long)completion->moved_bytes,
                    (unsigned)completion->range.size_bytes,
                    (unsigned long long)completion->range.file_offset_bytes);
}

size_t kaio_completion_message(const kaio_completion *completion, char *out_text,
                               size_t size_bytes) {
    if (completion == NULL) {
        return kaio_status_message(kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_REQUEST),
                                   out_text, size_bytes);
    }
    char cause[256] = "";
    kaio_status reason = completion->refusal;
    if (kaio_status_is_ok(reason) && completion->os_error != 0) {
        reason = kaio_status_os(KAIO_SUBJECT_NONE, completion->os_error);
    }
    if (!kaio_status_is_ok(reason)) {
        cause[0] = ':';
        cause[1] = ' ';
        (void)kaio_status_message(reason, cause + 2, sizeof cause - 2);
    }
    char head[128];
    (void)line_head(completion, head, sizeof head);
    int length = snprintf(out_text, out_text == NULL ? 0 : size_bytes, "%s%s", head, cause);
    return length < 0 ? 0 : (size_t)length;
}

// ---- cancel ----

// ask_kernel asks for the end of a request that is in flight. 0: it began to end; else an errno.
static int ask_kernel(const struct kaio_queue_place *queue, struct kaio_slot *slot) {
    long answer = kaio_kernel_cancel(queue->ctx, &slot->iocb, NULL);
    if (answer != 0 && answer != -EINPROGRESS) {
        return (int)-answer;
    }
    slot->flags |= KAIO_SLOT_WAS_CANCELLED;
    return 0;
}

static kaio_status cancel_in_flight(const struct kaio_queue_place *queue, struct kaio_slot *slot,
                                    kaio_cancel_answer *out_answer) {
    int error = ask_kernel(queue, slot);
    if (error != 0 && error != EINVAL) {
        return kaio_status_os(KAIO_SUBJECT_QUEUE, error);
    }
    *out_answer = error == 0 ? KAIO_CANCEL_ASKED : KAIO_CANCEL_CANNOT;
    return kaio_status_ok();
}

// cancel asks for the end of the request that `ticket` names in the entered queue.
static kaio_status cancel(struct kaio_queue_place *queue, kaio_ticket ticket,
                          kaio_cancel_answer *out_answer) {
    uintptr_t bits = (uintptr_t)ticket.bits;
    uint32_t index = kaio_bits_index(bits) - queue->first_slot;
    *out_answer = KAIO_CANCEL_STALE;
    if (bits != ticket.bits || index >= queue->depth) {
        return kaio_status_ok();
    }
    struct kaio_slot *slot = &queue->slots[index];
    uintptr_t word = kaio_slot_load(slot);
    uint32_t state = kaio_word_state(word);
    if (word != kaio_slot_word(kaio_bits_life(bits), kaio_bits_kind(bits), state)) {
        return kaio_status_ok();
    }
    switch (state) {
        case KAIO_SLOT_STAGED:
            kaio_request_cancel_staged(queue, slot);
            *out_answer = KAIO_CANCEL_UNSENT;
            return kaio_status_ok();
        case KAIO_SLOT_IN_FLIGHT:
            return cancel_in_flight(queue, slot, out_answer);
        case KAIO_SLOT_FINISHED:
            *out_answer = KAIO_CANCEL_CANNOT;
            return kaio_status_ok();
        default:  // idle: it has no ticket yet
            return kaio_status_ok();
    }
}

kaio_status kaio_queue_cancel(kaio_queue *queue, kaio_ticket ticket,
                              kaio_cancel_answer *out_answer) {
    if (out_answer == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OUTPUT);
    }
    kaio_status status;
    struct kaio_queue_place *place = kaio_queue_enter(queue, &status);
    if (place == NULL) {
        return status;
    }
    kaio_cancel_answer answer;
    status = cancel(place, ticket, &answer);
    kaio_queue_leave();
    if (kaio_status_is_ok(status)) {
        *out_answer = answer;
    }
    return status;
}

const char *kaio_cancel_answer_name(kaio_cancel_answer answer) {
    switch (answer) {
        case KAIO_CANCEL_STALE:
            return "stale";
        case KAIO_CANCEL_UNSENT:
            return "unsent";
        case KAIO_CANCEL_ASKED:
            return "asked";
        case KAIO_CANCEL_CANNOT:
            return "cannot";
    }
    return "invalid";
}

// ---- count ----

static kaio_queue_counts counts_of(const struct kaio_queue_place *queue) {
    return (kaio_queue_counts){.depth = queue->depth,
                               .free_count = queue->free_count,
                               .idle_count = queue->idle_count,
                               .staged_count = queue->staged_count,
                               .in_flight_count = queue->in_flight_count,
                               .finished_count = queue->finished_count,
                               .duplicate_count = queue->duplicate_count};
}

kaio_status kaio_queue_count(kaio_queue *queue, kaio_queue_counts *out_counts) {
    if (out_counts == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OUTPUT);
    }
    kaio_status why;
    struct kaio_queue_place *place = kaio_queue_enter(queue, &why);
    if (place == NULL) {
        return why;
    }
    *out_counts = counts_of(place);
    kaio_queue_leave();
    return kaio_status_ok();
}

// ---- the ends ----

kaio_status kaio_queue_drain(kaio_queue *queue, kaio_deadline deadline,
                             kaio_queue_counts *out_left) {
    if (out_left == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OUTPUT);
    }
    kaio_status status;
    struct kaio_queue_place *place = kaio_queue_enter(queue, &status);
    if (place == NULL) {
        return status;
    }
    status = wait_for(place, UINT32_MAX, deadline);  // cut to what is owed
    *out_left = counts_of(place);
    kaio_queue_leave();
    return status.code == KAIO_NOTHING_TO_WAIT_FOR ? kaio_status_ok() : status;
}

static uint64_t busy_count(uint32_t count, unsigned shift) {
    return (uint64_t)(count > UINT16_MAX ? UINT16_MAX : count) << shift;
}

static kaio_status busy(const struct kaio_queue_place *queue) {
    kaio_status status = kaio_status_make(KAIO_BUSY, KAIO_SUBJECT_QUEUE);
    status.detail = busy_count(queue->idle_count, 0) | busy_count(queue->staged_count, 16) |
                    busy_count(queue->in_flight_count, 32) | busy_count(queue->finished_count, 48);
    return status;
}

kaio_status kaio_queue_close(kaio_queue **move_queue) {
    if (move_queue == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_QUEUE);
    }
    kaio_status why;
    struct kaio_queue_place *queue = kaio_queue_enter(*move_queue, &why);
    if (queue == NULL) {
        return why;
    }
    if (queue->free_count != queue->depth) {
        why = busy(queue);
        kaio_queue_leave();
        return why;
    }
    kaio_detach_all(queue);
    long error = kaio_kernel_destroy(queue->ctx);
    release(queue);
    kaio_queue_leave();
    *move_queue = NULL;
    kaio_buffer_collect();
    return error < 0 ? kaio_status_os(KAIO_SUBJECT_QUEUE, (int)-error) : kaio_status_ok();
}

static bool is_poll_in_flight(const struct kaio_slot *slot) {
    uintptr_t word = kaio_slot_load(slot);
    return kaio_slot_kind(word) == KAIO_KIND_POLL && kaio_word_state(word) == KAIO_SLOT_IN_FLIGHT;
}

// cancel_polls asks for the end of every poll in flight: nothing else would end them. Returns how
// many may stay all the same, because the kernel was not to be asked; io_destroy ends those.
static uint32_t cancel_polls(struct kaio_queue_place *queue) {
    uint32_t lasting_count = 0;
    for (uint32_t i = 0; i < queue->depth; ++i) {
        struct kaio_slot *slot = &queue->slots[i];
        if (is_poll_in_flight(slot)) {
            int error = ask_kernel(queue, slot);
            lasting_count += error != 0 && error != EINVAL;  // EINVAL: its event is on its way
        }
    }
    return lasting_count;
}

// quiesce waits until the kernel has nothing of the queue any more: first for the events, which
// tell how each request ended, then for io_destroy. False: it could not be made sure.
static bool quiesce(struct kaio_queue_place *queue) {
    reap(queue);
    uint32_t lasting_count = cancel_polls(queue);
    while (queue->in_flight_count > lasting_count) {
        uint32_t count = queue->in_flight_count - lasting_count;
        count = count < REAP_COUNT ? count : REAP_COUNT;
        long answer = reap_call(queue, count, NULL);
        if (answer < 0 && answer != -EINTR) {
            break;
        }
    }
    bool is_destroyed = kaio_kernel_destroy(queue->ctx) == 0;
    return is_destroyed || queue->in_flight_count == 0;
}

// A farewell is what the requests of a destroyed queue go through.
struct farewell {
    kaio_lost_handler *on_lost;
    void *context;
    kaio_destroy_report report;
};

static void say_farewell(struct kaio_queue_place *queue, struct kaio_slot *slot,
                         struct farewell *farewell) {
    kaio_completion completion;
    deliver(queue, slot, &completion);
    bool had_buffer = completion.buffer != NULL;
    if (farewell->on_lost != NULL) {
        kaio_queue_leave();  // its own calls begin anew; those on this queue find it ending
        farewell->on_lost(farewell->context, &completion);
        (void)kaio_call_begin();
    }
    if (completion.buffer != NULL) {
        ++farewell->report.dropped_count;
        kaio_completion_drop(&completion);
    } else if (had_buffer) {
        ++farewell->report.given_back_count;
    }
}

// abandon_to_kernel leaves a request and its buffer where they are for ever: the kernel may still
// write to them.
static void abandon_to_kernel(const struct kaio_slot *slot, struct farewell *farewell) {
    if (slot->buffer != NULL) {
        kaio_buffer_leak(slot->buffer);
        ++farewell->report.leaked_count;
    }
}

// end_unsent turns what never reached the kernel into finished requests, CANCELLED.
static void end_unsent(struct kaio_slot *slot) {
    slot->flags |= KAIO_SLOT_WAS_CANCELLED;
    slot->kernel_result = 0;
}

// part_with ends one slot, whatever its state. True: the slot is free now.
static bool part_with(struct kaio_queue_place *queue, struct kaio_slot *slot, bool is_quiet,
                      struct farewell *farewell) {
    switch (kaio_word_state(kaio_slot_load(slot))) {
        case KAIO_SLOT_FREE:
            return true;
        case KAIO_SLOT_IN_FLIGHT:
            if (!is_quiet) {
                abandon_to_kernel(slot, farewell);
                return false;
            }
            // The context is gone and so is the event: it ended, and how is known of polls alone.
            if (is_poll_in_flight(slot)) {
                end_unsent(slot);
            } else {
                slot->kernel_result = -EIO;
            }
            break;
        case KAIO_SLOT_IDLE:
        case KAIO_SLOT_STAGED:
            end_unsent(slot);
            break;
        default:
            break;
    }
    say_farewell(queue, slot, farewell);
    return true;
}

// destroy ends an entered queue. Its slots go back to be reused only when all of them are free.
static void destroy(struct kaio_queue_place *queue, struct farewell *farewell) {
    kaio_request_collect_strays(queue);
    bool is_quiet = quiesce(queue);
    bool is_clean = true;
    queue->is_ending = 1;
    for (uint32_t i = 0; i < queue->depth; ++i) {
        is_clean &= part_with(queue, &queue->slots[i], is_quiet, farewell);
    }
    if (is_clean) {
        kaio_detach_all(queue);
        release(queue);
    } else {
        // Its files stay pinned, its slots taken, and its place is never used again.
        uintptr_t word = atomic_load_explicit(&queue->place.word, memory_order_relaxed);
        atomic_store(&queue->place.word, (kaio_bits_life(word) + KAIO_LIFE_ONE) | KAIO_STATE_FREE);
        free_memory(queue);
        atomic_store(&queue->owner, 0);
    }
}

kaio_status kaio_queue_destroy(kaio_queue **move_queue, kaio_lost_handler *on_lost, void *context,
                               kaio_destroy_report *out_report) {
    if (move_queue == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_QUEUE);
    }
    if (out_report == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OUTPUT);
    }
    kaio_status why;
    struct kaio_queue_place *queue = kaio_queue_enter(*move_queue, &why);
    if (queue == NULL) {
        return why;
    }
    struct farewell farewell = {.on_lost = on_lost, .context = context};
    *move_queue = NULL;  // first: a handler may reuse the variable
    destroy(queue, &farewell);
    kaio_queue_leave();
    *out_report = farewell.report;
    kaio_buffer_collect();
    return kaio_status_ok();
}

static void destroy_quietly(struct kaio_queue_place *queue) {
    struct farewell farewell = {.on_lost = NULL};
    destroy(queue, &farewell);
}

static uintptr_t load_word(const struct kaio_queue_place *queue) {
    return atomic_load(&queue->place.word);
}

static bool is_drop_asked(const struct kaio_queue_place *queue) {
    return (load_word(queue) & ~KAIO_LIFE_MASK) ==
           (KAIO_QUEUE_DROP_ASKED | (uintptr_t)KAIO_QUEUE_OPEN);
}

// obey_drop destroys a queue that is to be dropped, when the calling thread owns it and is not
// inside a call.
static bool obey_drop(struct kaio_queue_place *queue) {
    if (!is_drop_asked(queue) || !kaio_call_begin()) {
        return false;
    }
    bool is_ours = kaio_queue_is_ours(queue);
    if (is_ours) {
        destroy_quietly(queue);
    }
    kaio_call_end();
    return is_ours;
}

// drop_orphan destroys a queue that is to be dropped and has no owner, as its owner. In a signal
// handler that interrupted a call it stays the owner, and the queue ends with its thread. The queue
// may have ended since the caller looked, and be another that nobody asked to drop: that stays an
// orphan.
static void drop_orphan(struct kaio_queue_place *queue, uint32_t self) {
    uint32_t none = 0;
    if (self == KAIO_NO_THREAD || !atomic_compare_exchange_strong(&queue->owner, &none, self)) {
        return;
    }
    kaio_buffer_will_bind();
    kaio_thread_at_exit(end_with_thread);
    if (!obey_drop(queue) && !is_drop_asked(queue)) {
        (void)atomic_compare_exchange_strong(&queue->owner, &self, 0);
    }
}

// ask_to_drop leaves the queue of `bits` to its owner, and takes it over when that has ended.
static void ask_to_drop(uintptr_t bits) {
    struct kaio_queue_place *queue = kaio_queue_at(kaio_bits_index(bits));
    assert(queue != NULL);
    uintptr_t open = kaio_bits_life(bits) | KAIO_QUEUE_OPEN;
    uintptr_t word = open;
    if (atomic_compare_exchange_strong(&queue->place.word, &word, open | KAIO_QUEUE_DROP_ASKED) ||
        word == (open | KAIO_QUEUE_DROP_ASKED)) {
        drop_orphan(queue, kaio_thread_number());
    }
}

void kaio_queue_drop(kaio_queue **move_queue) {
    if (move_queue == NULL) {
        return;
    }
    kaio_queue *handle = *move_queue;
    *move_queue = NULL;
    kaio_status why;
    struct kaio_queue_place *queue = kaio_queue_enter(handle, &why);
    if (queue != NULL) {
        destroy_quietly(queue);
        kaio_queue_leave();
    } else if (why.code == KAIO_WRONG_THREAD || why.code == KAIO_REENTERED) {
        ask_to_drop((uintptr_t)handle);
    }
    kaio_buffer_collect();
}

kaio_status kaio_queue_refusal(uintptr_t bits) {
    struct kaio_queue_place *queue = kaio_queue_at(kaio_bits_index(bits));
    uintptr_t word = kaio_bits_life(bits) | KAIO_QUEUE_OPEN;
    bool is_open = queue != NULL && kaio_bits_kind(bits) == KAIO_KIND_QUEUE &&
                   (load_word(queue) & ~KAIO_QUEUE_DROP_ASKED) == word;
    if (!is_open) {
        return kaio_table_stale(&kaio_queues, bits, KAIO_KIND_QUEUE, KAIO_SUBJECT_QUEUE);
    }
    if (atomic_load(&queue->owner) != kaio_thread_number()) {
        return kaio_status_make(KAIO_WRONG_THREAD, KAIO_SUBJECT_QUEUE);
    }
    return kaio_status_make(obey_drop(queue) ? KAIO_STALE : KAIO_REENTERED, KAIO_SUBJECT_QUEUE);
}

// disown leaves `queue`, which belongs to the thread `self`, without an owner, unless it is to be
// dropped. Who asks for that looks for the owner afterwards: one of the two sees the other.
static void disown(struct kaio_queue_place *queue, uint32_t self) {
    atomic_store(&queue->owner, 0);
    if ((load_word(queue) & KAIO_QUEUE_DROP_ASKED) != 0) {
        drop_orphan(queue, self);
    }
}

kaio_status kaio_queue_detach(kaio_queue *queue) {
    kaio_status why;
    struct kaio_queue_place *place = kaio_queue_enter(queue, &why);
    if (place == NULL) {
        return why;
    }
    kaio_queue_leave();
    disown(place, kaio_thread_number());
    return kaio_status_ok();
}

// take_over makes the thread `self` the owner of the queue of `bits`, when that has none. False: it
// has one, is to be dropped, or is not open.
static bool take_over(struct kaio_queue_place *queue, uintptr_t bits, uint32_t self) {
    uintptr_t open = kaio_bits_life(bits) | KAIO_QUEUE_OPEN;
    uint32_t none = 0;
    if (load_word(queue) != open || !atomic_compare_exchange_strong(&queue->owner, &none, self)) {
        return false;
    }
    if (load_word(queue) != open) {  // it ended in between: this may be another that has no owner
        disown(queue, self);
        return false;
    }
    kaio_buffer_will_bind();  // what it takes will be its thread's
    return true;
}

kaio_status kaio_queue_attach(kaio_queue *queue) {
    kaio_process_check();
    uintptr_t bits = (uintptr_t)queue;
    uint32_t self = kaio_thread_number();
    struct kaio_queue_place *place = kaio_queue_at(kaio_bits_index(bits));
    bool is_known = place != NULL && kaio_bits_kind(bits) == KAIO_KIND_QUEUE;
    if (is_known && self == KAIO_NO_THREAD) {
        return kaio_status_make(KAIO_NO_MEMORY, KAIO_SUBJECT_QUEUE);
    }
    // A signal handler that interrupted a call takes nothing over: locks may be held.
    if (is_known && kaio_call_depth == 0 && take_over(place, bits, self)) {
        return kaio_status_ok();
    }
    kaio_status why;
    if (kaio_queue_enter(queue, &why) == NULL) {
        return why;
    }
    kaio_queue_leave();  // it was the calling thread's already
    return kaio_status_ok();
}

// end_with_thread leaves the queues of a thread that ends without an owner, except for those that
// it was asked to drop.
static void end_with_thread(uint32_t thread) {
    uint32_t end = kaio_table_end(&kaio_queues);
    for (uint32_t i = 1; i < end; ++i) {
        struct kaio_queue_place *queue = kaio_queue_at(i);
        assert(queue != NULL);
        bool is_open = kaio_word_state(load_word(queue)) == KAIO_QUEUE_OPEN;
        if (!is_open || atomic_load(&queue->owner) != thread || obey_drop(queue)) {
            continue;
        }
        disown(queue, thread);
    }
}
