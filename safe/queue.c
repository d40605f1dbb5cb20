#include "kaio/safe/queue.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "attach.h"
#include "checker.h"
#include "eventfd.h"
#include "helper.h"
#include "kernel.h"
#include "memory.h"
#include "queue_observe.h"
#include "queue_steps.h"
#include "queue_wake.h"
#include "thread.h"
#include "vector.h"

// forget is called in a child.
static void forget(void) {
    kaio_slots_forget();
    kaio_queue_forget_wakers();
}

struct kaio_table kaio_queues = {.place_bytes = sizeof(struct kaio_queue_place),
                                 .lock = PTHREAD_MUTEX_INITIALIZER,
                                 .kind_lock = PTHREAD_MUTEX_INITIALIZER,
                                 .in_child = forget};

static struct kaio_queue_place no_queue;

_Thread_local struct kaio_self kaio_self
    __attribute__((tls_model("initial-exec"))) = {.queue_word = KAIO_NO_WORD, .queue = &no_queue};

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

// own_failed is the answer when the eventfd or the helpers could not be had.
static kaio_status own_failed(int os_error) {
    return os_error == ENOMEM ? kaio_status_make(KAIO_NO_MEMORY, KAIO_SUBJECT_QUEUE)
                              : kaio_status_os(KAIO_SUBJECT_QUEUE, os_error);
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
    kaio_attachment_forget(queue);
    queue->seen_deferred_count =
        atomic_load_explicit(&kaio_file_deferred_count, memory_order_acquire);
    queue->sync_epoch = 0;
    atomic_store_explicit(&queue->has_strays, 0, memory_order_relaxed);
    queue->is_running = 0;
    queue->has_pgetevents = 0;
}

// find_ring uses the ring in memory, unless told not to or there is none.
static void find_ring(struct kaio_queue_place *queue, bool never_ring) {
    if (never_ring || kaio_raw_ring_validate(queue->ctx, &queue->consumer) != 0 ||
        kaio_raw_ring_dontfork(&queue->consumer) != 0) {
        queue->consumer.ring = NULL;
        return;
    }
    // Valgrind believes the mapping to be as long as io_setup's argument, and nobody to write to
    // it.
    if (kaio_is_watched()) {
        size_t events_bytes = (size_t)queue->consumer.nr * sizeof(struct kaio_raw_event);
        kaio_checker_define(queue->consumer.ring, sizeof *queue->consumer.ring + events_bytes);
    }
}

void kaio_queue_free_memory(struct kaio_queue_place *queue) {
    kaio_eventfd_close(queue->event_fd);
    queue->event_fd = -1;
    kaio_queue_end_wakes(queue);
    if (queue->extras != NULL) {
        kaio_helpers_end(queue->extras->helpers);
        free(queue->extras->rests);
        free(queue->extras->terms);
        free(queue->extras->tickets);
    }
    free(queue->extras);
    free(queue->latencies);
    free(queue->segments);
    free(queue->staged);
    free(queue->attachments);
    queue->extras = NULL;
    queue->latencies = NULL;
    queue->segments = NULL;
    queue->staged = NULL;
    queue->attachments = NULL;
}

// extras_new makes what the options of a queue ask for besides, or NULL without memory.
static struct kaio_extras *extras_new(const kaio_queue_options *options) {
    struct kaio_extras *extras = calloc(1, sizeof *extras);
    if (extras == NULL) {
        return NULL;
    }
    extras->stall_context = options->stall_context;
    extras->continue_limit = options->continue_limit;
    extras->nearest_ns = INT64_MAX;
    bool wants_rests = options->continue_limit > 0;
    extras->rests = wants_rests ? calloc(options->depth, sizeof *extras->rests) : NULL;
    extras->terms = options->deadlines ? calloc(options->depth, sizeof *extras->terms) : NULL;
    bool wants_tickets = wants_rests || options->helper_count > 0;
    extras->tickets = wants_tickets ? calloc(options->depth, sizeof *extras->tickets) : NULL;
    if ((extras->rests == NULL && wants_rests) || (extras->terms == NULL && options->deadlines) ||
        (extras->tickets == NULL && wants_tickets)) {
        free(extras->rests);
        free(extras->terms);
        free(extras->tickets);
        free(extras);
        return NULL;
    }
    return extras;
}

// allocate gets the memory of a queue of `depth` requests: nothing is left when it fails.
static bool allocate(struct kaio_queue_place *queue, const kaio_queue_options *options) {
    uint32_t depth = options->depth;
    queue->depth = depth;
    queue->event_fd = -1;
    atomic_store_explicit(&queue->wake_fd, -1, memory_order_relaxed);
    queue->attachment_capacity = depth + 4;  // more than can be pinned
    queue->latencies = options->latency ? calloc(1, sizeof *queue->latencies) : NULL;
    queue->on_stall = options->on_stall;
    queue->stall_ns = options->stall_ns;
    bool wants_extras = options->on_stall != NULL || options->continue_limit > 0 ||
                        options->deadlines || options->helper_count > 0;
    queue->extras = wants_extras ? extras_new(options) : NULL;
    queue->settles_slowly = options->latency || options->continue_limit > 0 || options->deadlines ||
                            options->helper_count > 0;
    queue->sends_slowly = options->eventfd || options->helper_count > 0;
    queue->segments = options->segment_count > 0 ? kaio_segments_new(options->segment_count) : NULL;
    queue->staged = calloc(depth, sizeof *queue->staged);
    queue->attachments = calloc(queue->attachment_capacity, sizeof *queue->attachments);
    queue->slots = NULL;
    bool has_all = queue->staged != NULL && queue->attachments != NULL &&
                   (queue->extras != NULL || !wants_extras) &&
                   (queue->latencies != NULL || !options->latency) &&
                   (queue->segments != NULL || options->segment_count == 0);
    if (has_all) {
        queue->slots = kaio_slots_take(depth, queue->place.index, &queue->first_slot);
    }
    if (queue->slots == NULL) {
        kaio_queue_free_memory(queue);
        return false;
    }
    return true;
}

// The life ends first: from then on nobody else can ask for a drop, or take the queue over.
void kaio_queue_release(struct kaio_queue_place *queue) {
    uintptr_t word = atomic_load_explicit(&queue->place.word, memory_order_relaxed);
    atomic_store(&queue->place.word, (kaio_bits_life(word) + KAIO_LIFE_ONE) | KAIO_STATE_FREE);
    kaio_slots_give_back(queue->slots, queue->first_slot, queue->depth);
    kaio_queue_free_memory(queue);
    atomic_store(&queue->owner, 0);
    kaio_table_give_back(&kaio_queues, &queue->place, word);
}

static kaio_status open_place(struct kaio_queue_place *queue, const kaio_queue_options *options,
                              uint32_t thread) {
    int saved_errno = errno;
    bool is_allocated = allocate(queue, options);
    errno = saved_errno;
    if (!is_allocated) {
        return kaio_status_make(KAIO_NO_MEMORY, KAIO_SUBJECT_QUEUE);
    }
    make_lists(queue);
    queue->spin_ns = options->spin_ns;
    queue->refuses_overlaps = options->refuse_overlaps ? 1 : 0;
    queue->chunk_count = options->chunk_count == 0 ? UINT32_MAX : options->chunk_count;
    kaio_queue_begin_counting(queue);
    queue->ctx = 0;
    int own_error = options->eventfd ? kaio_eventfd_make(&queue->event_fd) : 0;
    if (own_error == 0 && options->helper_count > 0) {
        own_error = kaio_helpers_new(options, &queue->extras->helpers);
    }
    long error = own_error != 0 ? 0 : kaio_kernel_setup(options->depth, &queue->ctx);
    if (own_error != 0 || error < 0) {
        kaio_slots_give_back(queue->slots, queue->first_slot, queue->depth);
        kaio_queue_free_memory(queue);
        return own_error != 0 ? own_failed(own_error) : setup_failed((int)-error);
    }
    find_ring(queue, options->never_ring);
    kaio_thread_at_exit(kaio_queue_end_with_thread);
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
    if (options->spin_ns > KAIO_QUEUE_SPIN_NS_MAX) {
        return kaio_status_pair(KAIO_RANGE, KAIO_SUBJECT_OPTIONS, options->spin_ns,
                                KAIO_QUEUE_SPIN_NS_MAX);
    }
    bool is_for_helpers =
        options->try_nowait || options->offload_buffered || options->offload_extending;
    if (options->helper_count > KAIO_QUEUE_HELPERS_MAX ||
        (options->helper_count == 0 && is_for_helpers)) {
        return kaio_status_pair(KAIO_RANGE, KAIO_SUBJECT_OPTIONS, options->helper_count,
                                KAIO_QUEUE_HELPERS_MAX);
    }
    if (options->segment_count > KAIO_QUEUE_SEGMENTS_MAX) {
        return kaio_status_pair(KAIO_RANGE, KAIO_SUBJECT_SEGMENTS, options->segment_count,
                                KAIO_QUEUE_SEGMENTS_MAX);
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
    kaio_memory_collect();
    kaio_checkers_find();
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

// ---- count ----

kaio_queue_counts kaio_queue_counts_of(const struct kaio_queue_place *queue) {
    return (kaio_queue_counts){.depth = queue->depth,
                               .free_count = queue->free_count,
                               .idle_count = queue->idle_count,
                               .staged_count = queue->staged_count,
                               .in_flight_count = queue->in_flight_count,
                               .finished_count = queue->finished_count};
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
    *out_counts = kaio_queue_counts_of(place);
    kaio_queue_leave();
    return kaio_status_ok();
}

// ---- the eventfd ----

void kaio_queue_raise(struct kaio_queue_place *queue) {
    if (queue->event_fd >= 0) {
        kaio_eventfd_raise(queue->event_fd);
    }
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
