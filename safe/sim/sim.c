#define _GNU_SOURCE  // syscall

#include "kaio/safe/sim/sim.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "../kernel.h"
#include "inside.h"
#include "kaio/raw/aio_abi.h"
#include "kaio/raw/aio_ring.h"

// In the field of a pending iocb that the kernel does not read.
enum { WAITED = 1 };

enum { PAGE_BYTES = 4096, KNOWN_RW_FLAGS = 0x1ff };

// A context is a ring like the kernel's, and what is in flight, oldest first.
struct context {
    struct context *next;
    struct kaio_raw_ring *ring;
    size_t ring_bytes;
    struct kaio_raw_iocb *pending;
    uintptr_t *objects;  // the addresses of the iocbs, for io_event.obj
    uint32_t pending_count;
    uint32_t capacity;
};

static struct context *contexts;
static kaio_sim_script script;
static kaio_sim_calls calls;
static pthread_mutex_t destroy_lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic uint32_t destroying_count;
static _Atomic uint32_t destroy_met_count;
static int64_t clock_ns = 1;
static kaio_sim_watcher *watcher;
static void *watcher_context;

// Draws about requests and about calls have a stream each: how often a wait calls is up to the
// clock, and what becomes of the requests must not be.
enum { STREAM_REQUESTS = 0, STREAM_CALLS = 1 };
static uint64_t random_states[2];

void kaio_sim_play(const kaio_sim_script *next) {
    script = *next;
    random_states[STREAM_REQUESTS] = next->seed;
    random_states[STREAM_CALLS] = ~next->seed;
    calls = (kaio_sim_calls){.setup_count = 0};
    atomic_store(&destroy_met_count, 0);
}

kaio_sim_calls kaio_sim_call_counts(void) {
    calls.destroy_met_count = atomic_load(&destroy_met_count);
    return calls;
}

// spend counts one use of a fault down, and tells whether there was one.
static bool spend(uint32_t *count) {
    if (*count == 0) {
        return false;
    }
    --*count;
    return true;
}

void kaio_sim_watch(kaio_sim_watcher *next, void *context) {
    watcher = next;
    watcher_context = context;
}

static void tell(const kaio_sim_note *note) {
    if (watcher != NULL) {
        watcher(watcher_context, note);
    }
}

uint64_t kaio_sim_mix(uint64_t *state) {
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t next_random(unsigned stream) {
    return kaio_sim_mix(&random_states[stream]);
}

// happens draws whether something with `chance` does; what never happens draws nothing.
static bool happens(uint16_t chance, unsigned stream) {
    return chance != 0 && (next_random(stream) & UINT16_MAX) < chance;
}

static int32_t one_of(const int32_t *errors, size_t count, unsigned stream) {
    return errors[next_random(stream) % count];
}
#define ONE_OF(errors, stream) one_of((errors), sizeof(errors) / sizeof *(errors), (stream))

static kaio_sim_request request_of(const struct kaio_raw_iocb *iocb) {
    return (kaio_sim_request){.data = iocb->aio_data,
                              .opcode = iocb->aio_lio_opcode,
                              .priority = iocb->aio_reqprio,
                              .rw_flags = iocb->aio_rw_flags,
                              .fd = iocb->aio_fildes,
                              .flags = iocb->aio_flags,
                              .event_fd = iocb->aio_resfd,
                              .address = iocb->aio_buf,
                              .size_bytes = iocb->aio_nbytes,
                              .offset_bytes = iocb->aio_offset};
}

// tell_call tells of a call that returns `answer`.
static void tell_call(kaio_sim_event event, kaio_raw_context ctx, uint64_t count, long answer) {
    kaio_sim_note note = {.event = event, .ctx = ctx, .count = count, .answer = answer};
    tell(&note);
}

static void tell_request(kaio_sim_event event, kaio_raw_context ctx, kaio_sim_cause cause,
                         int64_t answer, uint64_t count, const struct kaio_raw_iocb *iocb) {
    kaio_sim_note note = {.event = event,
                          .cause = cause,
                          .ctx = ctx,
                          .answer = answer,
                          .count = count,
                          .request = request_of(iocb)};
    tell(&note);
}

static struct context *context_of(kaio_raw_context ctx) {
    struct context *context = contexts;
    while (context != NULL && (kaio_raw_context)(uintptr_t)context->ring != ctx) {
        context = context->next;
    }
    return context;
}

static uint32_t available(const struct context *context) {
    const struct kaio_raw_ring *ring = context->ring;
    return ring->tail >= ring->head ? ring->tail - ring->head : ring->nr - ring->head + ring->tail;
}

static struct kaio_raw_event *events_of(const struct context *context) {
    return (struct kaio_raw_event *)(void *)(context->ring + 1);
}

static int event_fd_of(const struct kaio_raw_iocb *iocb) {
    return (iocb->aio_flags & KAIO_RAW_FLAG_RESFD) != 0 ? (int)iocb->aio_resfd : -1;
}

// hold_event_fd and let_event_fd_go keep a request's eventfd open for as long as it is in flight,
// whoever closes the descriptor, as the kernel does.
static long hold_event_fd(struct kaio_raw_iocb *iocb) {
    int event_fd = event_fd_of(iocb);
    if (event_fd < 0) {
        return 0;
    }
    struct stat stat;
    bool is_open = fstat(event_fd, &stat) == 0;
    if (is_open && (stat.st_mode & S_IFMT) != 0) {
        return -EINVAL;  // no eventfd: those have no type
    }
    int held = is_open ? fcntl(event_fd, F_DUPFD_CLOEXEC, 0) : -1;
    iocb->aio_resfd = (uint32_t)held;
    return held < 0 ? -errno : 0;
}

static void let_event_fd_go(const struct kaio_raw_iocb *iocb) {
    int event_fd = event_fd_of(iocb);
    if (event_fd >= 0) {
        (void)close(event_fd);
    }
}

// post puts an event into the ring, then raises `event_fd`, if there is one.
static void post(struct context *context, const struct kaio_raw_event *event, int event_fd) {
    struct kaio_raw_ring *ring = context->ring;
    uint32_t tail = ring->tail;
    if (available(context) == ring->nr - 1) {
        fputs("kaio_sim: more events than the ring has places\n", stderr);
        abort();
    }
    events_of(context)[tail] = *event;
    __atomic_store_n(&ring->tail, tail + 1 == ring->nr ? 0 : tail + 1, __ATOMIC_RELEASE);
    uint64_t one = 1;
    if (event_fd >= 0 && write(event_fd, &one, sizeof one) < 0) {
        perror("kaio_sim: eventfd");
        abort();
    }
}

static void fill_ring(struct context *context) {
    struct kaio_raw_ring *ring = context->ring;
    ring->nr = (uint32_t)(context->ring_bytes / sizeof(struct kaio_raw_event)) - 1;
    ring->magic = script.no_ring ? 0 : KAIO_RAW_RING_MAGIC;
    ring->compat_features = 1;
    ring->header_length = sizeof *ring;
}

static void free_context(struct context *context) {
    if (context->ring != NULL && context->ring != MAP_FAILED) {
        (void)munmap(context->ring, context->ring_bytes);
    }
    free(context->pending);
    free(context->objects);
    free(context);
}

static struct context *make_context(unsigned nr_events) {
    struct context *context = calloc(1, sizeof *context);
    if (context == NULL) {
        return NULL;
    }
    size_t wanted_bytes = (2 * (size_t)nr_events + 3) * sizeof(struct kaio_raw_event);
    context->capacity = 2 * nr_events;  // the kernel has more room than it is asked for, too
    context->ring_bytes = (wanted_bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    context->pending = calloc(context->capacity, sizeof *context->pending);
    context->objects = calloc(context->capacity, sizeof *context->objects);
    context->ring =
        mmap(NULL, context->ring_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (context->pending == NULL || context->objects == NULL || context->ring == MAP_FAILED) {
        free_context(context);
        return NULL;
    }
    return context;
}

static long setup(unsigned nr_events, kaio_raw_context *out_ctx) {
    static const int32_t errors[] = {EAGAIN, ENOMEM, ENOSYS, EPERM};
    if (spend(&script.setup_error_count)) {
        return -script.setup_error;
    }
    if (happens(script.chances.setup_failure, STREAM_CALLS)) {
        return -ONE_OF(errors, STREAM_CALLS);
    }
    struct context *context = make_context(nr_events);
    if (context == NULL) {
        return -ENOMEM;
    }
    fill_ring(context);
    context->next = contexts;
    contexts = context;
    *out_ctx = (kaio_raw_context)(uintptr_t)context->ring;
    return 0;
}

long kaio_sim_setup(unsigned nr_events, kaio_raw_context *out_ctx) {
    ++calls.setup_count;
    long answer = setup(nr_events, out_ctx);
    tell_call(KAIO_SIM_SETUP, answer == 0 ? *out_ctx : 0, nr_events, answer);
    return answer;
}

static bool is_reading(const struct kaio_raw_iocb *iocb) {
    return iocb->aio_lio_opcode == KAIO_RAW_CMD_PREAD ||
           iocb->aio_lio_opcode == KAIO_RAW_CMD_PREADV;
}

static bool is_vectored(const struct kaio_raw_iocb *iocb) {
    return iocb->aio_lio_opcode == KAIO_RAW_CMD_PREADV ||
           iocb->aio_lio_opcode == KAIO_RAW_CMD_PWRITEV;
}

static bool has_sync(int fd) {
    struct stat stat;
    return fstat(fd, &stat) == 0 &&
           (S_ISREG(stat.st_mode) || S_ISDIR(stat.st_mode) || S_ISBLK(stat.st_mode));
}

// check_flags has the kernel itself say what it thinks of the flags: of a transfer of one byte
// from or to an address where nothing can be, so that nothing moves.
static long check_flags(const struct kaio_raw_iocb *iocb) {
    if (iocb->aio_rw_flags == 0) {
        return 0;
    }
    bool is_read = is_reading(iocb);
    int32_t flags = iocb->aio_rw_flags;
    if (!is_read && has_sync((int)iocb->aio_fildes)) {
        flags &= ~KAIO_RAW_RWF_NOWAIT;  // file systems refuse it in the event
    }
    struct iovec nowhere = {.iov_base = (void *)1, .iov_len = 1};
    long moved = syscall(is_read ? SYS_preadv2 : SYS_pwritev2, (int)iocb->aio_fildes, &nowhere, 1L,
                         -1L, -1L, (long)flags);
    bool is_refused = moved < 0 && (errno == EOPNOTSUPP || errno == EPERM || errno == EINVAL);
    return is_refused ? -errno : 0;
}

static bool is_ready(const struct kaio_raw_iocb *iocb);

// check_transfer answers as aio_read and aio_write in fs/aio.c do before they start.
static long check_transfer(const struct kaio_raw_iocb *iocb, int mode) {
    bool is_read = is_reading(iocb);
    long error = (iocb->aio_rw_flags & ~KNOWN_RW_FLAGS) != 0 ? -EOPNOTSUPP : check_flags(iocb);
    if (error != 0) {
        return error;
    }
    if ((mode & O_ACCMODE) == (is_read ? O_WRONLY : O_RDONLY)) {
        return -EBADF;
    }
    return iocb->aio_offset < 0 ? -EINVAL : 0;
}

// check_poll refuses what would wait on a file that has no way to tell.
static long check_poll(const struct kaio_raw_iocb *iocb) {
    if (iocb->aio_buf > UINT16_MAX || iocb->aio_nbytes != 0 || iocb->aio_offset != 0 ||
        iocb->aio_rw_flags != 0) {
        return -EINVAL;
    }
    return has_sync((int)iocb->aio_fildes) && !is_ready(iocb) ? -EINVAL : 0;
}

static long check_sync(const struct kaio_raw_iocb *iocb) {
    bool is_plain = iocb->aio_buf == 0 && iocb->aio_nbytes == 0 && iocb->aio_offset == 0 &&
                    iocb->aio_rw_flags == 0;
    return is_plain && has_sync((int)iocb->aio_fildes) ? 0 : -EINVAL;
}

// check answers what io_submit would: 0 or -errno.
static long check(const struct context *context, const struct kaio_raw_iocb *iocb) {
    if (context->pending_count == context->capacity) {
        return -EAGAIN;
    }
    int mode = fcntl((int)iocb->aio_fildes, F_GETFL);
    if (mode < 0) {
        return -EBADF;
    }
    switch (iocb->aio_lio_opcode) {
        case KAIO_RAW_CMD_PREAD:
        case KAIO_RAW_CMD_PWRITE:
        case KAIO_RAW_CMD_PREADV:
        case KAIO_RAW_CMD_PWRITEV:
            return check_transfer(iocb, mode);
        case KAIO_RAW_CMD_FSYNC:
        case KAIO_RAW_CMD_FDSYNC:
            return check_sync(iocb);
        case KAIO_RAW_CMD_POLL:
            return check_poll(iocb);
        default:
            return -EINVAL;
    }
}

// poll_now gives what a poll finds now, 0 if nothing.
static int64_t poll_now(const struct kaio_raw_iocb *iocb) {
    struct pollfd file = {.fd = (int)iocb->aio_fildes, .events = (short)iocb->aio_buf};
    if (poll(&file, 1, 0) != 1) {
        return 0;
    }
    int64_t found = (uint16_t)file.revents;
    if (iocb->aio_reserved2 == WAITED) {  // then the kernel tells all of what woke it
        found |= (found & POLLIN) != 0 ? POLLRDNORM : 0;
        found |= (found & POLLOUT) != 0 ? POLLWRNORM : 0;
    }
    return found;
}

static bool is_ready(const struct kaio_raw_iocb *iocb) {
    return iocb->aio_lio_opcode != KAIO_RAW_CMD_POLL || poll_now(iocb) != 0;
}

// transfer_at is preadv2 or pwritev2 without the C library, whose functions are watched by ASan:
// the bytes are poisoned for everybody but the kernel. Without flags the older calls do, which
// emulators know.
static long transfer_at(bool is_read, int fd, const struct iovec *parts, int count, int64_t offset,
                        int flags) {
    long low = (long)offset;
    long high = (long)((uint64_t)offset >> 32);
    if (flags == 0 && offset == -1) {
        return syscall(is_read ? SYS_readv : SYS_writev, fd, parts, (long)count);
    }
    if (flags == 0) {
        return syscall(is_read ? SYS_preadv : SYS_pwritev, fd, parts, (long)count, low, high);
    }
    return syscall(is_read ? SYS_preadv2 : SYS_pwritev2, fd, parts, (long)count, low, high,
                   (long)flags);
}

// find_parts lists the parts of a transfer, cut to the first `limit_bytes`.
static void find_parts(const struct kaio_raw_iocb *iocb, uint64_t limit_bytes,
                       struct kaio_sim_parts *out_parts) {
    struct iovec one = {.iov_base = (void *)(uintptr_t)iocb->aio_buf,
                        .iov_len = (size_t)iocb->aio_nbytes};
    const struct iovec *all =
        is_vectored(iocb) ? (const struct iovec *)(uintptr_t)iocb->aio_buf : &one;
    uint64_t count = is_vectored(iocb) ? iocb->aio_nbytes : 1;
    out_parts->count = 0;
    out_parts->size_bytes = 0;
    for (uint64_t i = 0; i < count && i < UIO_MAXIOV; ++i) {
        uint64_t left_bytes = limit_bytes - out_parts->size_bytes;
        struct iovec *part = &out_parts->iovecs[out_parts->count++];
        *part = all[i];
        part->iov_len = part->iov_len < left_bytes ? part->iov_len : (size_t)left_bytes;
        out_parts->size_bytes += part->iov_len;
    }
}

static uint64_t size_of(const struct kaio_raw_iocb *iocb) {
    struct kaio_sim_parts parts;
    find_parts(iocb, UINT64_MAX, &parts);
    return parts.size_bytes;
}

static int64_t transfer(const struct kaio_raw_iocb *iocb, uint64_t size_bytes) {
    struct kaio_sim_parts parts;
    find_parts(iocb, size_bytes, &parts);
    int fd = (int)iocb->aio_fildes;
    bool is_read = is_reading(iocb);
    if (!is_read) {
        kaio_sim_disk_will_write(fd);
    }
    long moved =
        transfer_at(is_read, fd, parts.iovecs, parts.count, iocb->aio_offset, iocb->aio_rw_flags);
    if (moved < 0 && errno == ESPIPE) {  // no offset: where the file is
        moved = transfer_at(is_read, fd, parts.iovecs, parts.count, -1, iocb->aio_rw_flags);
    }
    if (moved < 0) {
        return -errno;
    }
    if (!is_read) {
        kaio_sim_disk_wrote(fd, iocb->aio_offset, iocb->aio_rw_flags, &parts, moved);
    }
    return moved;
}

static int64_t sync_file(const struct kaio_raw_iocb *iocb) {
    int fd = (int)iocb->aio_fildes;
    int answer = iocb->aio_lio_opcode == KAIO_RAW_CMD_FSYNC ? fsync(fd) : fdatasync(fd);
    if (answer != 0) {
        return -errno;
    }
    kaio_sim_disk_synced(fd);
    return 0;
}

void kaio_sim_visit_writes(void (*visit)(int fd, int64_t offset, int rw_flags,
                                         const struct kaio_sim_parts *parts)) {
    for (const struct context *context = contexts; context != NULL; context = context->next) {
        for (uint32_t i = 0; i < context->pending_count; ++i) {
            const struct kaio_raw_iocb *iocb = &context->pending[i];
            bool is_write = iocb->aio_lio_opcode == KAIO_RAW_CMD_PWRITE ||
                            iocb->aio_lio_opcode == KAIO_RAW_CMD_PWRITEV;
            if (is_write) {
                struct kaio_sim_parts parts;
                find_parts(iocb, UINT64_MAX, &parts);
                visit((int)iocb->aio_fildes, iocb->aio_offset, iocb->aio_rw_flags, &parts);
            }
        }
    }
}

static bool should_fail(int32_t *out_error) {
    static const int32_t errors[] = {EIO, ENOSPC, EFAULT, EAGAIN, EINTR, ECANCELED};
    if (spend(&script.fail_count)) {
        *out_error = script.fail_error;
        return true;
    }
    if (happens(script.chances.fail, STREAM_REQUESTS)) {
        *out_error = ONE_OF(errors, STREAM_REQUESTS);
        return true;
    }
    return false;
}

static int64_t perform(const struct kaio_raw_iocb *iocb, kaio_sim_cause *out_cause) {
    int32_t error;
    *out_cause = KAIO_SIM_HONEST;
    if (should_fail(&error)) {
        *out_cause = KAIO_SIM_SCRIPTED;
        return -error;
    }
    switch (iocb->aio_lio_opcode) {
        case KAIO_RAW_CMD_FSYNC:
        case KAIO_RAW_CMD_FDSYNC:
            return sync_file(iocb);
        case KAIO_RAW_CMD_POLL:
            return poll_now(iocb);
        default:
            break;
    }
    uint64_t size_bytes = size_of(iocb);
    bool is_short = size_bytes >= 2 && (spend(&script.shorten_count) ||
                                        happens(script.chances.shorten, STREAM_REQUESTS));
    *out_cause = is_short ? KAIO_SIM_SHORTENED : KAIO_SIM_HONEST;
    return transfer(iocb, is_short ? size_bytes / 2 : size_bytes);
}

static void drop_iovecs(const struct kaio_raw_iocb *iocb) {
    if (is_vectored(iocb)) {
        free((void *)(uintptr_t)iocb->aio_buf);
    }
}

// end_pending takes the request `index` out of what is in flight and posts its event.
static void end_pending(struct context *context, uint32_t index, kaio_sim_cause cause,
                        int64_t result) {
    struct kaio_raw_iocb iocb = context->pending[index];
    int event_fd = event_fd_of(&iocb);
    struct kaio_raw_event event = {
        .data = iocb.aio_data, .obj = context->objects[index], .res = result};
    uint32_t rest = --context->pending_count - index;
    memmove(&context->pending[index], &context->pending[index + 1],
            rest * sizeof *context->pending);
    memmove(&context->objects[index], &context->objects[index + 1],
            rest * sizeof *context->objects);
    post(context, &event, event_fd);
    bool is_doubled =
        spend(&script.duplicate_count) || happens(script.chances.duplicate, STREAM_REQUESTS);
    if (is_doubled) {
        post(context, &event, event_fd);
    }
    let_event_fd_go(&iocb);
    tell_request(KAIO_SIM_ENDED, (kaio_raw_context)(uintptr_t)context->ring, cause, result,
                 is_doubled ? 2 : 1, &iocb);
    drop_iovecs(&iocb);
}

static uint32_t count_ready(const struct context *context) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < context->pending_count; ++i) {
        count += is_ready(&context->pending[i]);
    }
    return count;
}

// complete_one ends one request of `context`: the oldest that can end, or any. False: none can.
static bool complete_one(struct context *context) {
    uint32_t skipped_count = 0;
    if (script.reorder) {
        uint32_t ready_count = count_ready(context);
        skipped_count =
            ready_count == 0 ? 0 : (uint32_t)(next_random(STREAM_REQUESTS) % ready_count);
    }
    for (uint32_t i = 0; i < context->pending_count; ++i) {
        struct kaio_raw_iocb iocb = context->pending[i];
        if (!is_ready(&iocb) || skipped_count-- > 0) {
            continue;
        }
        kaio_sim_cause cause;
        int64_t result = perform(&iocb, &cause);
        end_pending(context, i, cause, result);
        return true;
    }
    return false;
}

uint32_t kaio_sim_complete(uint32_t count) {
    uint32_t done = 0;
    int saved_errno = errno;
    for (struct context *context = contexts; context != NULL; context = context->next) {
        while (done < count && complete_one(context)) {
            ++done;
        }
    }
    errno = saved_errno;
    return done;
}

// consider answers for one iocb as io_submit would: 0 or -errno.
static long consider(const struct context *context, const struct kaio_raw_iocb *iocb,
                     kaio_sim_cause *out_cause) {
    static const int32_t errors[] = {EBADF, EINVAL, EOPNOTSUPP, EPERM, EOVERFLOW};
    static const int32_t shortages[] = {EAGAIN, ENOMEM};
    *out_cause = KAIO_SIM_SCRIPTED;
    if (happens(script.chances.shortage, STREAM_REQUESTS)) {
        return -ONE_OF(shortages, STREAM_REQUESTS);
    }
    if (happens(script.chances.refuse, STREAM_REQUESTS)) {
        return -ONE_OF(errors, STREAM_REQUESTS);
    }
    *out_cause = KAIO_SIM_HONEST;
    return check(context, iocb);
}

// keep_iovecs copies the iovecs of a request, as the kernel does.
static void keep_iovecs(struct kaio_raw_iocb *iocb) {
    if (!is_vectored(iocb)) {
        return;
    }
    size_t size_bytes = (size_t)iocb->aio_nbytes * sizeof(struct iovec);
    struct iovec *copy = malloc(size_bytes);
    if (copy == NULL) {
        perror("kaio_sim");
        abort();
    }
    memcpy(copy, (const void *)(uintptr_t)iocb->aio_buf, size_bytes);
    iocb->aio_buf = (uint64_t)(uintptr_t)copy;
}

// take makes `iocb` one that is in flight, as `copy`.
static void take(struct context *context, struct kaio_raw_iocb *iocb,
                 const struct kaio_raw_iocb *copy) {
    iocb->aio_key = 0;
    ++calls.request_count;
    if ((iocb->aio_flags & KAIO_RAW_FLAG_IOPRIO) != 0) {
        ++calls.ioprio_count;
        calls.last_ioprio = (uint16_t)iocb->aio_reqprio;
    }
    context->objects[context->pending_count] = (uintptr_t)iocb;
    context->pending[context->pending_count] = *copy;
    keep_iovecs(&context->pending[context->pending_count++]);
    tell_request(KAIO_SIM_TOOK, (kaio_raw_context)(uintptr_t)context->ring, KAIO_SIM_HONEST, 0, 0,
                 iocb);
    if (!script.hold && !script.late && !happens(script.chances.delay, STREAM_REQUESTS)) {
        (void)complete_one(context);
    }
    for (uint32_t i = 0; i < context->pending_count; ++i) {
        context->pending[i].aio_reserved2 = WAITED;
    }
}

// accept takes iocbs[0..nr) until one is wrong; returns as io_submit does.
static long accept(struct context *context, long nr, struct kaio_raw_iocb **iocbs) {
    for (long i = 0; i < nr; ++i) {
        struct kaio_raw_iocb copy = *iocbs[i];
        kaio_sim_cause cause;
        long error = consider(context, &copy, &cause);
        if (error == 0) {
            error = hold_event_fd(&copy);
        }
        if (error != 0) {
            tell_request(KAIO_SIM_REFUSED, (kaio_raw_context)(uintptr_t)context->ring, cause, error,
                         0, iocbs[i]);
            return i > 0 ? i : error;
        }
        take(context, iocbs[i], &copy);
    }
    return nr;
}

static long submit(kaio_raw_context ctx, long nr, struct kaio_raw_iocb **iocbs) {
    struct context *context = context_of(ctx);
    if (context == NULL || nr < 0) {
        return -EINVAL;
    }
    if (!spend(&script.submit_error_after) && spend(&script.submit_error_count)) {
        return -script.submit_error;
    }
    if (script.submit_limit != 0 && nr > (long)script.submit_limit) {
        nr = (long)script.submit_limit;
    }
    int saved_errno = errno;
    long answer = accept(context, nr, iocbs);
    errno = saved_errno;
    return answer;
}

long kaio_sim_submit(kaio_raw_context ctx, long nr, struct kaio_raw_iocb **iocbs) {
    ++calls.submit_count;
    tell_call(KAIO_SIM_SUBMIT, ctx, (uint64_t)nr, 0);
    long answer = submit(ctx, nr, iocbs);
    clock_ns += script.submit_ns;
    tell_call(KAIO_SIM_SUBMITTED, ctx, (uint64_t)nr, answer);
    return answer;
}

static void pause_for(const struct kaio_raw_old_timespec *timeout) {
    struct timespec pause = {.tv_sec = (time_t)timeout->tv_sec, .tv_nsec = (long)timeout->tv_nsec};
    (void)nanosleep(&pause, NULL);
}

// wait_for completes requests until `min_nr` events are there or nothing is left to complete.
static void wait_for(struct context *context, long min_nr,
                     const struct kaio_raw_old_timespec *timeout) {
    if (script.late && timeout != NULL) {
        if ((long)available(context) < min_nr) {
            pause_for(timeout);
        }
        return;
    }
    while ((long)available(context) < min_nr && complete_one(context)) {
    }
    if ((long)available(context) >= min_nr) {
        return;
    }
    if (timeout == NULL) {
        fputs("kaio_sim: io_getevents would wait for ever\n", stderr);
        abort();
    }
    pause_for(timeout);  // polls of files that stay as they are
}

static long copy_out(struct context *context, long nr, struct kaio_raw_event *out_events) {
    struct kaio_raw_ring *ring = context->ring;
    long count = 0;
    for (; count < nr && available(context) > 0; ++count) {
        out_events[count] = events_of(context)[ring->head];
        ring->head = ring->head + 1 == ring->nr ? 0 : ring->head + 1;
    }
    return count;
}

static long getevents_error(void) {
    static const int32_t errors[] = {EFAULT, EINVAL, ENOSYS};
    if (spend(&script.getevents_error_count)) {
        return -script.getevents_error;
    }
    if (happens(script.chances.interrupt, STREAM_CALLS)) {
        return -EINTR;
    }
    return happens(script.chances.getevents_failure, STREAM_CALLS) ? -ONE_OF(errors, STREAM_CALLS)
                                                                   : 0;
}

long kaio_sim_getevents(kaio_raw_context ctx, long min_nr, long nr,
                        struct kaio_raw_event *out_events, struct kaio_raw_old_timespec *timeout) {
    ++calls.getevents_count;
    struct context *context = context_of(ctx);
    long error = context == NULL || min_nr < 0 || min_nr > nr ? -EINVAL : getevents_error();
    if (error != 0) {
        tell_call(KAIO_SIM_GOT, ctx, (uint64_t)min_nr, error);
        return error;
    }
    int saved_errno = errno;
    bool is_missing = spend(&script.missed_count) || happens(script.chances.miss, STREAM_CALLS);
    if (!is_missing) {
        wait_for(context, min_nr, timeout);
    }
    long count = copy_out(context, nr, out_events);
    while (is_missing && complete_one(context)) {
    }
    errno = saved_errno;
    tell_call(KAIO_SIM_GOT, ctx, (uint64_t)min_nr, count);
    return count;
}

// sleep_masked sleeps for `timeout` under `sigset`. False: a handler ran.
static bool sleep_masked(const struct timespec *timeout, const struct kaio_raw_sigset *sigset) {
    sigset_t mask;
    (void)sigemptyset(&mask);
    if (sigset == NULL) {
        return ppoll(NULL, 0, timeout, NULL) == 0;
    }
    memcpy(&mask, sigset->sigmask, sigset->sigsetsize);
    return ppoll(NULL, 0, timeout, &mask) == 0;
}

long kaio_sim_pgetevents(kaio_raw_context ctx, long min_nr, long nr,
                         struct kaio_raw_event *out_events, struct kaio_raw_timespec *timeout,
                         const struct kaio_raw_sigset *sigset) {
    ++calls.pgetevents_count;
    struct context *context = context_of(ctx);
    if (script.no_pgetevents) {
        return -ENOSYS;
    }
    if (context == NULL || min_nr < 0 || min_nr > nr) {
        return -EINVAL;
    }
    int saved_errno = errno;
    while (!(script.late && timeout != NULL) && (long)available(context) < min_nr &&
           complete_one(context)) {
    }
    struct timespec pause = {.tv_sec = 0};
    bool is_short = (long)available(context) < min_nr;
    if (is_short && timeout != NULL) {
        pause =
            (struct timespec){.tv_sec = (time_t)timeout->tv_sec, .tv_nsec = (long)timeout->tv_nsec};
    }
    bool is_whole = sleep_masked(is_short && timeout == NULL ? NULL : &pause, sigset);
    long count = copy_out(context, nr, out_events);
    long answer = count == 0 && !is_whole ? -EINTR : count;
    tell_call(KAIO_SIM_GOT, ctx, (uint64_t)min_nr, answer);
    errno = saved_errno;
    return answer;
}

static long cancel(struct context *context, const struct kaio_raw_iocb *iocb) {
    if (spend(&script.cancel_error_count)) {
        return -script.cancel_error;
    }
    if (happens(script.chances.cancel_failure, STREAM_CALLS)) {
        return -EPERM;
    }
    for (uint32_t i = 0; context != NULL && i < context->pending_count; ++i) {
        if (context->objects[i] == (uintptr_t)iocb &&
            context->pending[i].aio_lio_opcode == KAIO_RAW_CMD_POLL) {
            end_pending(context, i, KAIO_SIM_HONEST, 0);
            return -EINPROGRESS;
        }
    }
    return -EINVAL;
}

long kaio_sim_cancel(kaio_raw_context ctx, struct kaio_raw_iocb *iocb,
                     struct kaio_raw_event *result) {
    (void)result;  // which no kernel writes to
    ++calls.cancel_count;
    long answer = cancel(context_of(ctx), iocb);
    tell_request(KAIO_SIM_CANCELLED, ctx, KAIO_SIM_HONEST, answer, 0, iocb);
    return answer;
}

// finish_silently does what is in flight: the events are lost, the transfers are not.
static void finish_silently(struct context *context) {
    while (context->pending_count > 0) {
        const struct kaio_raw_iocb *iocb = &context->pending[--context->pending_count];
        let_event_fd_go(iocb);
        if (iocb->aio_lio_opcode != KAIO_RAW_CMD_POLL) {
            kaio_sim_cause cause;
            int64_t result = perform(iocb, &cause);
            tell_request(KAIO_SIM_ENDED, (kaio_raw_context)(uintptr_t)context->ring, cause, result,
                         0, iocb);
            drop_iovecs(iocb);
        }
    }
}

// meet waits until as many calls of io_destroy are here as the script says.
static void meet(void) {
    const struct timespec pause = {.tv_nsec = 1000000};
    int saved_errno = errno;
    uint32_t here = atomic_fetch_add(&destroying_count, 1) + 1;
    uint32_t most = atomic_load(&destroy_met_count);
    while (most < here && !atomic_compare_exchange_weak(&destroy_met_count, &most, here)) {
    }
    for (int i = 0; i < 10000 && atomic_load(&destroy_met_count) < script.destroy_meets; ++i) {
        (void)nanosleep(&pause, NULL);
    }
    atomic_fetch_sub(&destroying_count, 1);
    errno = saved_errno;
}

static long destroy(kaio_raw_context ctx) {
    struct context **link = &contexts;
    while (*link != NULL && (kaio_raw_context)(uintptr_t)(*link)->ring != ctx) {
        link = &(*link)->next;
    }
    struct context *context = *link;
    if (context == NULL || script.destroy_fails) {
        return -EINVAL;
    }
    int saved_errno = errno;
    finish_silently(context);
    *link = context->next;
    free_context(context);
    errno = saved_errno;
    return 0;
}

long kaio_sim_destroy(kaio_raw_context ctx) {
    meet();
    (void)pthread_mutex_lock(&destroy_lock);
    ++calls.destroy_count;
    long answer = destroy(ctx);
    tell_call(KAIO_SIM_DESTROYED, ctx, 0, answer);
    (void)pthread_mutex_unlock(&destroy_lock);
    return answer;
}

// ---- the clock ----

void kaio_sim_set_clock(int64_t now_ns) {
    clock_ns = now_ns;
}

int64_t kaio_sim_now_ns(void) {
    return clock_ns;
}
