#define _GNU_SOURCE  // CLOCK_MONOTONIC_COARSE

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "attach.h"
#include "kaio/safe/observe.h"
#include "kernel.h"
#include "probes.h"
#include "queue_observe.h"
#include "request.h"
#include "vector.h"

static_assert(KAIO_TRANSFER_FAILED < 8 && KAIO_SYNC_FAILED < 8 && KAIO_POLL_FAILED < 8,
              "a tally has a place for each outcome");

// ---- clock ----

static int64_t now_of(clockid_t clock) {
#ifdef KAIO_SIM
    (void)clock;
    return kaio_sim_now_ns();
#else
    struct timespec now;
    (void)clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
#endif
}

int64_t kaio_queue_now_ns(const struct kaio_queue_place *queue) {
    return now_of(queue->sent_clock);
}

void kaio_queue_count_latency(struct kaio_queue_place *queue, const struct kaio_slot *slot,
                              int64_t now_ns) {
    uint32_t kind = kaio_slot_kind(kaio_slot_load(slot));
    kaio_latency *latency = &queue->latencies->of_kind[kind - 1];
    ++latency->counts[kaio_latency_bucket_from_ns(now_ns - slot->sent_ns)];
}

long kaio_queue_submit_timed(struct kaio_queue_place *queue, uint32_t count) {
    int64_t before_ns = now_of(CLOCK_MONOTONIC);
    long answer = kaio_kernel_submit(queue->ctx, (long)count, queue->staged + queue->staged_first);
    int64_t took_ns = now_of(CLOCK_MONOTONIC) - before_ns;
    if (queue->latencies != NULL) {
        ++queue->latencies->of_submits.counts[kaio_latency_bucket_from_ns(took_ns)];
    }
    if (queue->on_stall != NULL && took_ns >= queue->stall_ns) {
        const kaio_stall stall = {.took_ns = took_ns,
                                  .request_count = count,
                                  .accepted_count = answer > 0 ? (uint32_t)answer : 0};
        ++queue->stall_count;
        KAIO_PROBE(stall, kaio_queue_bits(queue), took_ns, count);
        queue->on_stall(queue->extras->stall_context, &stall);
    }
    return answer;
}

// ---- counters ----

void kaio_queue_begin_counting(struct kaio_queue_place *queue) {
    queue->sent_clock = queue->latencies != NULL ? CLOCK_MONOTONIC : CLOCK_MONOTONIC_COARSE;
    queue->flush_count = queue->submit_count = queue->accepted_count = queue->again_count = 0;
    queue->getevents_count = queue->block_count = 0;
    queue->duplicate_count = queue->stall_count = 0;
    queue->stray_count = queue->overlap_count = 0;
    memset(queue->tallies, 0, sizeof queue->tallies);
}

static const uint64_t *outcomes_of(const struct kaio_queue_place *queue, uint32_t kind) {
    return queue->tallies[kind - 1].outcomes;
}

// pushed_of counts what was pushed: what was taken since, and what is in the queue, `live_count`.
static uint64_t pushed_of(const uint64_t *outcomes, uint32_t live_count) {
    uint64_t count = live_count;
    for (uint32_t i = 1; i < 8; ++i) {
        count += outcomes[i];
    }
    return count;
}

static kaio_transfer_counters transfer_counters(const uint64_t *outcomes, uint32_t live_count) {
    return (kaio_transfer_counters){.pushed_count = pushed_of(outcomes, live_count),
                                    .full_count = outcomes[KAIO_TRANSFER_FULL],
                                    .short_count = outcomes[KAIO_TRANSFER_SHORT],
                                    .end_count = outcomes[KAIO_TRANSFER_END],
                                    .would_block_count = outcomes[KAIO_TRANSFER_WOULD_BLOCK],
                                    .cancelled_count = outcomes[KAIO_TRANSFER_CANCELLED],
                                    .refused_count = outcomes[KAIO_TRANSFER_REFUSED],
                                    .failed_count = outcomes[KAIO_TRANSFER_FAILED],
                                    .moved_bytes = outcomes[0]};
}

static kaio_sync_counters sync_counters(const uint64_t *outcomes, uint32_t live_count) {
    return (kaio_sync_counters){
        .pushed_count = pushed_of(outcomes, live_count),
        .synced_count = outcomes[KAIO_SYNC_SYNCED],
        .preceded_by_failure_count = outcomes[KAIO_SYNC_PRECEDED_BY_FAILURE],
        .cancelled_count = outcomes[KAIO_SYNC_CANCELLED],
        .refused_count = outcomes[KAIO_SYNC_REFUSED],
        .failed_count = outcomes[KAIO_SYNC_FAILED]};
}

static kaio_poll_counters poll_counters(const uint64_t *outcomes, uint32_t live_count) {
    return (kaio_poll_counters){.pushed_count = pushed_of(outcomes, live_count),
                                .ready_count = outcomes[KAIO_POLL_READY],
                                .cancelled_count = outcomes[KAIO_POLL_CANCELLED],
                                .refused_count = outcomes[KAIO_POLL_REFUSED],
                                .failed_count = outcomes[KAIO_POLL_FAILED]};
}

static bool was_pushed(const struct kaio_slot *slot) {
    uint32_t state = kaio_word_state(kaio_slot_load(slot));
    return state == KAIO_SLOT_STAGED || state == KAIO_SLOT_IN_FLIGHT || state == KAIO_SLOT_FINISHED;
}

// extras_of is what the queue keeps besides, or nothing.
static const struct kaio_extras *extras_of(const struct kaio_queue_place *queue) {
    static const struct kaio_extras none;
    return queue->extras != NULL ? queue->extras : &none;
}

static kaio_queue_counters counters_of(const struct kaio_queue_place *queue) {
    const struct kaio_extras *extras = extras_of(queue);
    uint32_t live[KAIO_QUEUE_KIND_COUNT + 1] = {0};
    for (uint32_t i = 0; i < queue->depth; ++i) {
        const struct kaio_slot *slot = &queue->slots[i];
        live[kaio_slot_kind(kaio_slot_load(slot))] += was_pushed(slot);
    }
    return (kaio_queue_counters){
        .read = transfer_counters(outcomes_of(queue, KAIO_KIND_READ), live[KAIO_KIND_READ]),
        .write = transfer_counters(outcomes_of(queue, KAIO_KIND_WRITE), live[KAIO_KIND_WRITE]),
        .readv = transfer_counters(outcomes_of(queue, KAIO_KIND_READV), live[KAIO_KIND_READV]),
        .writev = transfer_counters(outcomes_of(queue, KAIO_KIND_WRITEV), live[KAIO_KIND_WRITEV]),
        .sync = sync_counters(outcomes_of(queue, KAIO_KIND_SYNC), live[KAIO_KIND_SYNC]),
        .poll = poll_counters(outcomes_of(queue, KAIO_KIND_POLL), live[KAIO_KIND_POLL]),
        .flush_count = queue->flush_count,
        .submit_count = queue->submit_count,
        .accepted_count = queue->accepted_count,
        .again_count = queue->again_count,
        .getevents_count = queue->getevents_count,
        .block_count = queue->block_count,
        .duplicate_count = queue->duplicate_count,
        .stray_count = queue->stray_count,
        .stall_count = queue->stall_count,
        .overlap_count = queue->overlap_count,
        .late_count = extras->late_count,
        .late_end_count = extras->late_end_count,
        .helped_count = extras->helped_count,
        .nowait_count = extras->nowait_count,
        .nowait_block_count = extras->nowait_block_count,
        .nowait_off_count = extras->nowait_off_count,
        .continued_count = extras->continued_count};
}

kaio_status kaio_queue_counters_read(kaio_queue *queue, kaio_queue_counters *out_counters) {
    if (out_counters == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OUTPUT);
    }
    kaio_status why;
    struct kaio_queue_place *place = kaio_queue_enter(queue, &why);
    if (place == NULL) {
        return why;
    }
    *out_counters = counters_of(place);
    kaio_queue_leave();
    return kaio_status_ok();
}

// ---- latencies ----

static bool is_operation(kaio_operation operation) {
    switch (operation) {
        case KAIO_READ:
        case KAIO_WRITE:
        case KAIO_READV:
        case KAIO_WRITEV:
        case KAIO_SYNC:
        case KAIO_POLL:
            return true;
        case KAIO_NO_OPERATION:
            break;
    }
    return false;
}

// copy_latency copies what a queue keeps: NULL, where it keeps none.
static kaio_status copy_latency(const kaio_latency *kept, kaio_latency *out_latency) {
    if (kept == NULL) {
        return kaio_status_make(KAIO_UNSUPPORTED, KAIO_SUBJECT_OPTIONS);
    }
    *out_latency = *kept;
    return kaio_status_ok();
}

kaio_status kaio_queue_latency_read(kaio_queue *queue, kaio_operation operation,
                                    kaio_latency *out_latency) {
    if (out_latency == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OUTPUT);
    }
    if (!is_operation(operation)) {
        return kaio_status_pair(KAIO_RANGE, KAIO_SUBJECT_KIND, (uint32_t)operation, KAIO_POLL);
    }
    kaio_status status;
    struct kaio_queue_place *place = kaio_queue_enter(queue, &status);
    if (place == NULL) {
        return status;
    }
    status = copy_latency(
        place->latencies == NULL ? NULL : &place->latencies->of_kind[operation - 1], out_latency);
    kaio_queue_leave();
    return status;
}

kaio_status kaio_queue_submit_latency_read(kaio_queue *queue, kaio_latency *out_latency) {
    if (out_latency == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OUTPUT);
    }
    kaio_status status;
    struct kaio_queue_place *place = kaio_queue_enter(queue, &status);
    if (place == NULL) {
        return status;
    }
    status =
        copy_latency(place->latencies == NULL ? NULL : &place->latencies->of_submits, out_latency);
    kaio_queue_leave();
    return status;
}

// ---- dump ----

static const char *yes_or_no(bool is_so) {
    return is_so ? "yes" : "no";
}

static const char *state_name(uint32_t state) {
    switch (state) {
        case KAIO_SLOT_IDLE:
            return "idle";
        case KAIO_SLOT_STAGED:
            return "staged";
        case KAIO_SLOT_IN_FLIGHT:
            return "in_flight";
        default:
            return "finished";
    }
}

static void dump_queue(FILE *stream, uintptr_t bits, const struct kaio_queue_place *queue) {
    const struct kaio_extras *extras = extras_of(queue);
    (void)fprintf(stream,
                  "queue=0x%" PRIxPTR " depth=%" PRIu32 " free=%" PRIu32 " idle=%" PRIu32
                  " staged=%" PRIu32 " in_flight=%" PRIu32 " finished=%" PRIu32,
                  bits, queue->depth, queue->free_count, queue->idle_count, queue->staged_count,
                  queue->in_flight_count, queue->finished_count);
    if (queue->event_fd >= 0) {
        (void)fprintf(stream, " eventfd=%d", queue->event_fd);
    } else {
        (void)fprintf(stream, " eventfd=none");
    }
    (void)fprintf(stream,
                  " ring=%s latency=%s submits=%" PRIu64 " accepted=%" PRIu64 " again=%" PRIu64
                  " getevents=%" PRIu64 " blocks=%" PRIu64 " duplicates=%" PRIu64 " strays=%" PRIu32
                  " stalls=%" PRIu64 " overlaps=%" PRIu32 " continued=%" PRIu64 " late=%" PRIu64
                  " late_ends=%" PRIu64 " helped=%" PRIu64 " nowait=%" PRIu64
                  " nowait_blocks=%" PRIu64 " nowait_offs=%" PRIu64 "\n",
                  yes_or_no(queue->consumer.ring != NULL), yes_or_no(queue->latencies != NULL),
                  queue->submit_count, queue->accepted_count, queue->again_count,
                  queue->getevents_count, queue->block_count, queue->duplicate_count,
                  queue->stray_count, queue->stall_count, queue->overlap_count,
                  extras->continued_count, extras->late_count, extras->late_end_count,
                  extras->helped_count, extras->nowait_count, extras->nowait_block_count,
                  extras->nowait_off_count);
}

static void dump_asked(FILE *stream, const struct kaio_slot *slot, kaio_operation operation) {
    switch (operation) {
        case KAIO_READ:
        case KAIO_WRITE:
            (void)fprintf(stream,
                          " file_offset=%" PRIu64 " size=%" PRIu64 " memory=0x%" PRIx64
                          " user=%" PRIu64,
                          (uint64_t)slot->iocb.aio_offset, (uint64_t)slot->iocb.aio_nbytes,
                          (uint64_t)slot->iocb.aio_buf, slot->user);
            return;
        case KAIO_READV:
        case KAIO_WRITEV:
            (void)fprintf(stream,
                          " file_offset=%" PRIu64 " size=%" PRIu64 " segments=%" PRIu32
                          " user=%" PRIu64,
                          (uint64_t)slot->iocb.aio_offset, kaio_slot_asked_bytes(slot),
                          kaio_vector_count(slot), slot->user);
            return;
        case KAIO_SYNC:
            (void)fprintf(stream, " user=%" PRIu64, slot->user);
            return;
        case KAIO_POLL:
            (void)fprintf(stream, " user=%" PRIu64 " events=0x%" PRIx64, slot->user,
                          (uint64_t)slot->iocb.aio_buf);
            return;
        case KAIO_NO_OPERATION:
            return;
    }
}

static void dump_request(FILE *stream, const struct kaio_queue_place *queue,
                         const struct kaio_slot *slot, int64_t now_ns) {
    uintptr_t word = kaio_slot_load(slot);
    uint32_t state = kaio_word_state(word);
    kaio_operation operation = (kaio_operation)kaio_slot_kind(word);
    (void)fprintf(stream, "request=0x%" PRIxPTR " state=%s operation=%s",
                  kaio_request_bits(queue, slot), state_name(state),
                  kaio_operation_name(operation));
    if (slot->sent_ns == 0 || slot->refusal == KAIO_OVERLAP) {
        (void)fprintf(stream, " age_ns=none");
    } else {
        (void)fprintf(stream, " age_ns=%" PRId64, now_ns - slot->sent_ns);
    }
    const struct kaio_file_place *file = kaio_request_file(queue, slot);
    (void)fprintf(stream, " fd=%d direct=%s", file->fd, yes_or_no(file->is_direct));
    dump_asked(stream, slot, operation);
    if (state == KAIO_SLOT_STAGED && operation == KAIO_SYNC && slot->waits_for_count > 0) {
        (void)fprintf(stream, " waits_for=%" PRIu32, slot->waits_for_count);
    }
    if (state == KAIO_SLOT_FINISHED) {
        (void)fprintf(stream, " result=%" PRId64 " refusal=%s", kaio_slot_result(slot),
                      kaio_status_name((kaio_status){.code = slot->refusal}));
    }
    (void)fputc('\n', stream);
}

// dump writes all lines. False: the stream has an error.
static bool dump(FILE *stream, uintptr_t bits, const struct kaio_queue_place *queue) {
    dump_queue(stream, bits, queue);
    int64_t now_ns = kaio_queue_now_ns(queue);
    for (uint32_t i = 0; i < queue->depth; ++i) {
        const struct kaio_slot *slot = &queue->slots[i];
        if (kaio_word_state(kaio_slot_load(slot)) != KAIO_SLOT_FREE) {
            dump_request(stream, queue, slot, now_ns);
        }
    }
    return fflush(stream) == 0 && ferror(stream) == 0;
}

// enter_to_look is kaio_queue_enter, and gives a queue that is inside a call too: nothing but that
// call changes it, and it is the calling thread's, stopped by a debugger or a signal. Not one whose
// requests are being given up.
static const struct kaio_queue_place *enter_to_look(const kaio_queue *handle, bool *out_is_inside,
                                                    kaio_status *out_why) {
    const struct kaio_queue_place *queue = kaio_queue_enter(handle, out_why);
    *out_is_inside = queue == NULL && out_why->code == KAIO_REENTERED;
    if (*out_is_inside) {
        queue = kaio_queue_at(kaio_bits_index((uintptr_t)handle));
        assert(queue != NULL);
    }
    bool is_ending = queue != NULL && (atomic_load_explicit(&queue->owner, memory_order_relaxed) &
                                       KAIO_QUEUE_ENDING) != 0;
    return is_ending ? NULL : queue;
}

kaio_status kaio_queue_dump(kaio_queue *queue, FILE *stream) {
    if (stream == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OUTPUT);
    }
    kaio_status why;
    bool is_inside;
    const struct kaio_queue_place *place = enter_to_look(queue, &is_inside, &why);
    if (place == NULL) {
        return why;
    }
    int saved_errno = errno;
    errno = 0;
    bool is_written = dump(stream, (uintptr_t)queue, place);
    int error = errno != 0 ? errno : EIO;  // EIO: the stream had failed before
    errno = saved_errno;
    if (!is_inside) {
        kaio_queue_leave();
    }
    return is_written ? kaio_status_ok() : kaio_status_os(KAIO_SUBJECT_OUTPUT, error);
}
