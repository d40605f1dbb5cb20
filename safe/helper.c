#define _GNU_SOURCE  // O_CLOEXEC

#include "helper.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "kaio/raw/aio_prep.h"
#include "kernel.h"
#include "request.h"
#include "rest.h"

// ---- what helpers and queue share ----

// A job is a request that is to be submitted, by value.
struct job {
    kaio_raw_context ctx;
    struct kaio_raw_iocb *iocb;
    _Atomic int32_t *error;  // where an errno goes
    uint64_t data;
    int event_fd;  // -1: none
};

// How often RWF_NOWAIT was tried for one device and direction.
struct trial {
    dev_t device;
    uint32_t is_write;
    uint32_t tried_count;    // of this window, and ...
    uint32_t blocked_count;  // ... how many of them would have blocked
    uint32_t off_count;      // requests that go without it, before it is tried again
};

enum {
    WINDOW_COUNT = 64,  // tries that are judged together
    OFF_COUNT = 4096,   // requests without, behind a window that was in vain
    TRIAL_COUNT = 16    // devices and directions; more share the last
};

struct kaio_helpers {
    pthread_mutex_t lock;
    pthread_cond_t has_job;
    struct job *jobs;  // [0..capacity): a ring
    uint32_t capacity;
    uint32_t first;
    uint32_t job_count;
    _Atomic bool is_ending;
    int null_fd;

    // The queue's thread alone:
    _Atomic int32_t *errors;  // [slot]: of one whose event is that of a read of nothing, or 0
    uint32_t offload;         // a set of OFFLOAD_*
    uint32_t trial_count;
    struct trial trials[TRIAL_COUNT];

    uint32_t thread_count;
    pthread_t threads[KAIO_QUEUE_HELPERS_MAX];
};

enum { OFFLOAD_BUFFERED = 1, OFFLOAD_EXTENDING = 2, TRY_NOWAIT = 4 };

// ---- a helper ----

static void nap(void) {
    const struct timespec pause = {.tv_nsec = 1000000};
    (void)nanosleep(&pause, NULL);
}

// submit_one submits until the kernel takes or refuses it. Returns 0, or the errno.
static int submit_one(kaio_raw_context ctx, struct kaio_raw_iocb *iocb) {
    for (;;) {
        long answer = kaio_kernel_submit(ctx, 1, &iocb);
        if (answer == 1) {
            return 0;
        }
        if (answer != 0 && answer != -EAGAIN && answer != -ENOMEM && answer != -EINTR) {
            return (int)-answer;
        }
        nap();  // the kernel is short of memory: there is nobody else to try again
    }
}

// do_job submits a request; from then on, it may be over and the slot another's. The event of one
// that is refused is owed: it is tried for until the queue is gone.
static void do_job(const struct kaio_helpers *helpers, const struct job *job) {
    int error = submit_one(job->ctx, job->iocb);
    if (error == 0) {
        return;
    }
    atomic_store_explicit(job->error, error, memory_order_release);
    struct kaio_raw_iocb nothing = kaio_raw_prep_pread(helpers->null_fd, NULL, 0, 0);
    kaio_raw_set_data(&nothing, job->data);
    if (job->event_fd >= 0) {
        kaio_raw_set_eventfd(&nothing, job->event_fd);
    }
    while (submit_one(job->ctx, &nothing) != 0 && !atomic_load(&helpers->is_ending)) {
        nap();
    }
}

#ifdef KAIO_SIM

// The simulated kernel has one thread: the job is done by the one that gives it.
static int start_threads(struct kaio_helpers *helpers, uint32_t count) {
    (void)helpers;
    (void)count;
    return 0;
}

static void give_job(struct kaio_helpers *helpers, const struct job *job) {
    do_job(helpers, job);
}

#else

static void *help(void *context) {
    struct kaio_helpers *helpers = context;
    (void)pthread_mutex_lock(&helpers->lock);
    for (;;) {
        while (helpers->job_count == 0 && !atomic_load(&helpers->is_ending)) {
            (void)pthread_cond_wait(&helpers->has_job, &helpers->lock);
        }
        if (helpers->job_count == 0) {
            break;
        }
        struct job job = helpers->jobs[helpers->first];
        helpers->first = (helpers->first + 1) % helpers->capacity;
        --helpers->job_count;
        (void)pthread_mutex_unlock(&helpers->lock);
        do_job(helpers, &job);
        (void)pthread_mutex_lock(&helpers->lock);
    }
    (void)pthread_mutex_unlock(&helpers->lock);
    return NULL;
}

// start_threads starts `count` helpers, which no signal reaches. 0, or an errno; those that were
// started then are counted.
static int start_threads(struct kaio_helpers *helpers, uint32_t count) {
    int error = 0;
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    while (helpers->thread_count < count && error == 0) {
        error = pthread_create(&helpers->threads[helpers->thread_count], NULL, help, helpers);
        helpers->thread_count += error == 0;
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

static void give_job(struct kaio_helpers *helpers, const struct job *job) {
    (void)pthread_mutex_lock(&helpers->lock);
    helpers->jobs[(helpers->first + helpers->job_count) % helpers->capacity] = *job;
    ++helpers->job_count;
    (void)pthread_cond_signal(&helpers->has_job);
    (void)pthread_mutex_unlock(&helpers->lock);
}

#endif

static uint32_t offload_of(const kaio_queue_options *options) {
    return (options->offload_buffered ? OFFLOAD_BUFFERED : 0u) |
           (options->offload_extending ? OFFLOAD_EXTENDING : 0u) |
           (options->try_nowait ? TRY_NOWAIT : 0u);
}

static int make(const kaio_queue_options *options, struct kaio_helpers **out_helpers) {
    struct kaio_helpers *helpers = calloc(1, sizeof *helpers);
    if (helpers == NULL) {
        return ENOMEM;
    }
    (void)pthread_mutex_init(&helpers->lock, NULL);
    (void)pthread_cond_init(&helpers->has_job, NULL);
    helpers->offload = offload_of(options);
    helpers->capacity = options->depth;
    helpers->jobs = calloc(options->depth, sizeof *helpers->jobs);
    helpers->errors = calloc(options->depth, sizeof *helpers->errors);
    helpers->null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int error = helpers->null_fd < 0 ? errno : 0;
    if (helpers->jobs == NULL || helpers->errors == NULL) {
        error = ENOMEM;
    }
    if (error == 0) {
        error = start_threads(helpers, options->helper_count);
    }
    if (error != 0) {
        kaio_helpers_end(helpers);
        return error;
    }
    *out_helpers = helpers;
    return 0;
}

int kaio_helpers_new(const kaio_queue_options *options, struct kaio_helpers **out_helpers) {
    int saved_errno = errno;
    int state;
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);  // open(2)
    int error = make(options, out_helpers);
    (void)pthread_setcancelstate(state, NULL);
    errno = saved_errno;
    return error;
}

void kaio_helpers_end(struct kaio_helpers *helpers) {
    if (helpers == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&helpers->lock);
    atomic_store(&helpers->is_ending, true);
    (void)pthread_cond_broadcast(&helpers->has_job);
    (void)pthread_mutex_unlock(&helpers->lock);
    int state;
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    for (uint32_t i = 0; i < helpers->thread_count; ++i) {
        (void)pthread_join(helpers->threads[i], NULL);
    }
    if (helpers->null_fd >= 0) {
        (void)close(helpers->null_fd);
    }
    (void)pthread_setcancelstate(state, NULL);
    (void)pthread_cond_destroy(&helpers->has_job);
    (void)pthread_mutex_destroy(&helpers->lock);
    free(helpers->jobs);
    free(helpers->errors);
    free(helpers);
}

// ---- which request goes which way ----

static struct trial *trial_of(struct kaio_helpers *helpers, dev_t device, bool is_write) {
    for (uint32_t i = 0; i < helpers->trial_count; ++i) {
        struct trial *trial = &helpers->trials[i];
        if (trial->device == device && (trial->is_write != 0) == is_write) {
            return trial;
        }
    }
    if (helpers->trial_count == TRIAL_COUNT) {
        return &helpers->trials[TRIAL_COUNT - 1];
    }
    struct trial *trial = &helpers->trials[helpers->trial_count++];
    *trial = (struct trial){.device = device, .is_write = is_write};
    return trial;
}

static struct trial *trial_of_slot(const struct kaio_queue_place *queue,
                                   const struct kaio_slot *slot) {
    bool is_write = kaio_kind_is_write(kaio_slot_kind(kaio_slot_load(slot)));
    return trial_of(queue->extras->helpers, kaio_request_file(queue, slot)->device, is_write);
}

static void switch_off(struct kaio_queue_place *queue, struct trial *trial) {
    trial->tried_count = trial->blocked_count = 0;
    trial->off_count = OFF_COUNT;
    ++queue->extras->nowait_off_count;
}

// note_try judges RWF_NOWAIT when a window is full: three of four in vain are worse than none,
// since each of those is submitted twice.
static void note_try(struct kaio_queue_place *queue, const struct kaio_slot *slot,
                     bool has_blocked) {
    struct trial *trial = trial_of_slot(queue, slot);
    ++trial->tried_count;
    trial->blocked_count += has_blocked;
    queue->extras->nowait_block_count += has_blocked;
    if (trial->tried_count < WINDOW_COUNT) {
        return;
    }
    if (trial->blocked_count * 4 >= trial->tried_count * 3) {
        switch_off(queue, trial);
    } else {
        trial->tried_count = trial->blocked_count = 0;
    }
}

// may_try tells whether a request may have RWF_NOWAIT, and counts one that goes without.
static bool may_try(struct kaio_queue_place *queue, const struct kaio_slot *slot) {
    struct trial *trial = trial_of_slot(queue, slot);
    if (trial->off_count > 0) {
        --trial->off_count;
        return false;
    }
    return true;
}

// is_extending tells whether a write goes behind the end of its file.
static bool is_extending(const struct kaio_file_place *file, const struct kaio_slot *slot) {
    struct stat now;
    if (kaio_request_is_append(file, slot)) {
        return true;
    }
    uint64_t end = (uint64_t)slot->iocb.aio_offset + kaio_slot_asked_bytes(slot);
    int saved_errno = errno;
    bool is_known = fstat(file->fd, &now) == 0 && S_ISREG(now.st_mode);
    errno = saved_errno;
    return is_known && end > (uint64_t)now.st_size;
}

enum way { WAY_PLAIN, WAY_NOWAIT, WAY_HELPER };

static enum way way_of(struct kaio_queue_place *queue, struct kaio_slot *slot) {
    uint32_t kind = kaio_slot_kind(kaio_slot_load(slot));
    const struct kaio_file_place *file = kaio_request_file(queue, slot);
    uint32_t offload = queue->extras->helpers->offload;
#ifndef NDEBUG
    if (kaio_file_is_replaced(file)) {
        return WAY_PLAIN;  // where it is refused
    }
#endif
    if (kind == KAIO_KIND_SYNC || kind == KAIO_KIND_POLL || !file->has_offsets) {
        return WAY_PLAIN;
    }
    if ((offload & OFFLOAD_BUFFERED) != 0 && !file->is_direct) {
        return WAY_HELPER;
    }
    if ((offload & OFFLOAD_EXTENDING) != 0 && kaio_kind_is_write(kind) &&
        is_extending(file, slot)) {
        return WAY_HELPER;
    }
    // What an append that is short has moved stays at the end of the file: it cannot be done anew.
    bool is_append = kaio_kind_is_write(kind) && kaio_request_is_append(file, slot);
    bool is_callers = ((uint32_t)slot->iocb.aio_rw_flags & KAIO_RAW_RWF_NOWAIT) != 0;
    bool is_for_trying = (offload & TRY_NOWAIT) != 0 && !is_append && !is_callers;
    return is_for_trying && may_try(queue, slot) ? WAY_NOWAIT : WAY_PLAIN;
}

// hand_over gives a request that is not staged any more to a helper: it is in flight.
static void hand_over(struct kaio_queue_place *queue, struct kaio_slot *slot) {
    struct kaio_helpers *helpers = queue->extras->helpers;
    uint32_t index = (uint32_t)(slot - queue->slots);
    kaio_slot_enter(slot, KAIO_SLOT_IN_FLIGHT);
    slot->flags |= KAIO_SLOT_IS_HELPED;
    ++queue->in_flight_count;
    ++queue->extras->helped_count;
    atomic_store_explicit(&helpers->errors[index], 0, memory_order_relaxed);
    const struct job job = {.ctx = queue->ctx,
                            .iocb = &slot->iocb,
                            .error = &helpers->errors[index],
                            .data = slot->iocb.aio_data,
                            .event_fd = queue->event_fd};
    give_job(helpers, &job);
}

uint32_t kaio_helper_prepare(struct kaio_queue_place *queue, int64_t now_ns) {
    uint32_t kept_end = queue->staged_first;
    uint32_t end = queue->staged_end;
    for (uint32_t i = queue->staged_first; i < end; ++i) {
        struct kaio_raw_iocb *iocb = queue->staged[i];
        struct kaio_slot *slot = (struct kaio_slot *)(void *)iocb;
        bool is_tried = (slot->flags & KAIO_SLOT_IS_TRIED) != 0;
        enum way way = is_tried ? WAY_PLAIN : way_of(queue, slot);
        if (way == WAY_HELPER) {
            slot->sent_ns = now_ns;
            --queue->staged_count;
            ++queue->accepted_count;
            hand_over(queue, slot);
            continue;
        }
        if (way == WAY_NOWAIT) {
            slot->flags |= KAIO_SLOT_IS_TRIED;
            iocb->aio_rw_flags |= (int32_t)KAIO_RAW_RWF_NOWAIT;
            ++queue->extras->nowait_count;
        }
        queue->staged[kept_end++] = iocb;
    }
    queue->staged_end = kept_end;
    return end - kept_end;
}

static void end_try(struct kaio_slot *slot) {
    slot->flags &= (uint16_t)~KAIO_SLOT_IS_TRIED;
    slot->iocb.aio_rw_flags &= ~(int32_t)KAIO_RAW_RWF_NOWAIT;
}

// settle_try looks at the event of a request that had RWF_NOWAIT. What moved of one that is short
// is moved again: the flag may be why it is, and without it, it is as if there had been none.
static bool settle_try(struct kaio_queue_place *queue, struct kaio_slot *slot) {
    int64_t result = kaio_slot_result(slot);
    bool is_short = result > 0 && (uint64_t)result < kaio_rest_left_bytes(queue, slot);
    bool has_blocked = result == -EAGAIN || result == -EOPNOTSUPP || is_short;
    end_try(slot);
    note_try(queue, slot, has_blocked);
    if (!has_blocked || (slot->flags & KAIO_SLOT_WAS_CANCELLED) != 0) {
        return false;
    }
    kaio_request_rename(queue, slot);
    kaio_slot_set_result(slot, 0);  // which the kernel must not see
    hand_over(queue, slot);
    return true;
}

bool kaio_helper_settle(struct kaio_queue_place *queue, struct kaio_slot *slot) {
    if ((slot->flags & KAIO_SLOT_IS_TRIED) != 0) {
        return settle_try(queue, slot);
    }
    if ((slot->flags & KAIO_SLOT_IS_HELPED) != 0) {
        slot->flags &= (uint16_t)~KAIO_SLOT_IS_HELPED;
        int32_t error = atomic_load_explicit(&queue->extras->helpers->errors[slot - queue->slots],
                                             memory_order_acquire);
        if (error != 0) {
            slot->refusal = KAIO_OS_ERROR;
            kaio_slot_set_result(slot, -(int64_t)error);
        }
    }
    return false;
}

bool kaio_helper_retry(struct kaio_queue_place *queue, struct kaio_slot *slot, int os_error) {
    if ((slot->flags & KAIO_SLOT_IS_TRIED) == 0) {
        return false;
    }
    end_try(slot);
    if (os_error == EOPNOTSUPP) {  // whatever it is asked for
        ++queue->extras->nowait_block_count;
        switch_off(queue, trial_of_slot(queue, slot));
    } else {
        note_try(queue, slot, os_error == EINVAL);  // of kernels that do not know it
    }
    if (os_error != EOPNOTSUPP && os_error != EINVAL) {
        return false;
    }
    ++queue->accepted_count;
    hand_over(queue, slot);
    return true;
}
