#define _GNU_SOURCE  // posix_memalign

#include "probe_file.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "kaio/raw/aio_prep.h"
#include "probe_rounds.h"
#include "probe_session.h"
#include "probe_target.h"
#include "probe_worker.h"

enum { PAGE_BYTES = 4096, NOWAIT_TRY_COUNT = 3, SAMPLE_COUNT = 32, EVENTFD_WAIT_MS = 1000 };

// The child's: made anew in each.
static struct {
    int begin_error;  // an errno value
    struct session session;
    struct target_files files;
    char *bytes;  // TARGET_BLOCK_BYTES, aligned to as many
} child;

static void begin(struct report *report) {
    void *memory = NULL;
    child.begin_error = (int)-session_open(report, &child.session);
    if (child.begin_error == 0) {
        child.begin_error = posix_memalign(&memory, TARGET_BLOCK_BYTES, TARGET_BLOCK_BYTES);
    }
    if (child.begin_error != 0) {
        return;
    }
    child.bytes = memory;
    memset(child.bytes, 'k', TARGET_BLOCK_BYTES);
    target_open(&report->target, &child.files);
}

// find_fd gives the file for an operation in a mode, or -1 and why there is none.
static int find_fd(enum probe_operation operation, enum probe_mode mode,
                   struct answer *out_answer) {
    struct place place = child.files.places[operation][mode];
    if (child.files.fds[operation][mode] < 0) {
        *out_answer = (struct answer){.why = place.why, .os_error = place.os_error};
    }
    return child.files.fds[operation][mode];
}

// transfer_bytes is what a plain transfer moves: it is aligned to its own size.
static uint64_t transfer_bytes(const struct target *target) {
    if (target->kind == TARGET_PIPE || target->kind == TARGET_SOCKET) {
        return TARGET_PIPE_BYTES;
    }
    uint32_t align_bytes = target->alignment.offset_bytes;
    bool is_wider = align_bytes > PAGE_BYTES && align_bytes <= TARGET_BLOCK_BYTES;
    return is_wider ? align_bytes : PAGE_BYTES;
}

// atomic_bytes is what a write must be to be atomic, as far as that is known.
static uint64_t atomic_bytes(const struct target *target) {
    uint32_t min_bytes = target->alignment.atomic_min_bytes;
    bool is_fit = min_bytes > 0 && min_bytes <= TARGET_BLOCK_BYTES;
    return is_fit ? min_bytes : transfer_bytes(target);
}

static struct kaio_raw_iocb transfer(enum probe_operation operation, int fd, uint64_t size_bytes) {
    return operation == PROBE_READ ? kaio_raw_prep_pread(fd, child.bytes, size_bytes, 0)
                                   : kaio_raw_prep_pwrite(fd, child.bytes, size_bytes, 0);
}

// ---- opcodes ----

static enum probe_operation opcode_side(uint32_t opcode) {
    switch (opcode) {
        case KAIO_RAW_CMD_PWRITE:
        case KAIO_RAW_CMD_PWRITEV:
        case KAIO_RAW_CMD_FSYNC:  // writes back what others have written
        case KAIO_RAW_CMD_FDSYNC:
            return PROBE_WRITE;
        default:
            return PROBE_READ;
    }
}

static struct kaio_raw_iocb of_opcode(uint32_t opcode, int fd, uint64_t size_bytes,
                                      const struct iovec halves[2]) {
    struct kaio_raw_iocb invalid = {0};
    switch (opcode) {
        case KAIO_RAW_CMD_PREAD:
            return transfer(PROBE_READ, fd, size_bytes);
        case KAIO_RAW_CMD_PWRITE:
            return transfer(PROBE_WRITE, fd, size_bytes);
        case KAIO_RAW_CMD_FSYNC:
            return kaio_raw_prep_fsync(fd);
        case KAIO_RAW_CMD_FDSYNC:
            return kaio_raw_prep_fdsync(fd);
        case KAIO_RAW_CMD_POLL:
            return kaio_raw_prep_poll(fd, POLLIN | POLLOUT);
        case KAIO_RAW_CMD_PREADV:
            return kaio_raw_prep_preadv(fd, halves, 2, 0);
        case KAIO_RAW_CMD_PWRITEV:
            return kaio_raw_prep_pwritev(fd, halves, 2, 0);
        default:
            invalid.aio_lio_opcode = (uint16_t)opcode;
            invalid.aio_fildes = (uint32_t)fd;
            return invalid;
    }
}

static void try_opcode(const struct report *report, struct probe *probe) {
    int fd = find_fd(opcode_side(probe->value), PROBE_BUFFERED, &probe->answer);
    if (fd < 0) {
        return;
    }
    uint64_t size_bytes = transfer_bytes(&report->target);
    size_t half_bytes = (size_t)size_bytes / 2;
    const struct iovec halves[] = {{child.bytes, half_bytes},
                                   {child.bytes + half_bytes, half_bytes}};
    struct kaio_raw_iocb iocb = of_opcode(probe->value, fd, size_bytes, halves);
    if (probe->value == KAIO_RAW_CMD_POLL) {
        session_try_poll(&child.session, iocb, &probe->answer);
    } else {
        bool is_write = probe->value == KAIO_RAW_CMD_PWRITE || probe->value == KAIO_RAW_CMD_PWRITEV;
        session_try(&child.session, iocb, is_write ? size_bytes : 0, &probe->answer);
    }
}

// ---- flags of a request, and priorities ----

static void try_priority(const struct report *report, uint32_t priority_class, unsigned level,
                         struct answer *out_answer) {
    int fd = find_fd(PROBE_READ, PROBE_BUFFERED, out_answer);
    if (fd < 0) {
        return;
    }
    struct kaio_raw_iocb iocb = transfer(PROBE_READ, fd, transfer_bytes(&report->target));
    kaio_raw_set_priority(&iocb, kaio_raw_ioprio_encode(priority_class, 0, level));
    session_try(&child.session, iocb, 0, out_answer);
}

// The event is in the ring before the count is raised.
static bool is_counted(int event_fd) {
    struct pollfd file = {.fd = event_fd, .events = POLLIN};
    uint64_t count = 0;
    return poll(&file, 1, EVENTFD_WAIT_MS) == 1 &&
           read(event_fd, &count, sizeof count) == (ssize_t)sizeof count && count == 1;
}

static void try_eventfd(const struct report *report, struct answer *out_answer) {
    int fd = find_fd(PROBE_READ, PROBE_BUFFERED, out_answer);
    if (fd < 0) {
        return;
    }
    int event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (event_fd < 0) {
        *out_answer = (struct answer){.why = WHY_NO_FILE, .os_error = errno};
        return;
    }
    struct kaio_raw_iocb iocb = transfer(PROBE_READ, fd, transfer_bytes(&report->target));
    kaio_raw_set_eventfd(&iocb, event_fd);
    session_try(&child.session, iocb, 0, out_answer);
    if (out_answer->result == ANSWER_OK && !is_counted(event_fd)) {
        out_answer->result = ANSWER_FAILED;
    }
    (void)close(event_fd);
}

// ---- flags of reads and writes ----

static void try_flag(const struct probe *probe, int fd, uint64_t size_bytes, uint32_t flag,
                     struct answer *out_answer) {
    struct kaio_raw_iocb iocb = transfer(probe->operation, fd, size_bytes);
    kaio_raw_set_rw_flags(&iocb, (int)flag);
    worker_tick();
    session_try(&child.session, iocb, probe->operation == PROBE_WRITE ? size_bytes : 0, out_answer);
}

static bool is_again(const struct answer *answer) {
    return answer->result == ANSWER_FAILED && answer->channel == CHANNEL_EVENT &&
           answer->os_error == EAGAIN;
}

// A request that would have slept is done again, after one that may sleep: as its users have to do.
static void try_rw_flag(const struct report *report, struct probe *probe) {
    int fd = find_fd(probe->operation, probe->mode, &probe->answer);
    if (fd < 0) {
        return;
    }
    uint64_t size_bytes = probe->value == KAIO_RAW_RWF_ATOMIC ? atomic_bytes(&report->target)
                                                              : transfer_bytes(&report->target);
    struct answer answer;
    uint32_t again_count = 0;
    try_flag(probe, fd, size_bytes, probe->value, &answer);
    while (probe->value == KAIO_RAW_RWF_NOWAIT && is_again(&answer) &&
           ++again_count < NOWAIT_TRY_COUNT) {
        try_flag(probe, fd, size_bytes, 0, &answer);
        if (!answer.is_late) {
            try_flag(probe, fd, size_bytes, probe->value, &answer);
        }
    }
    probe->answer = answer;
    probe->answer.again_count = again_count;
}

// ---- whether a direct write is done inside io_submit ----

static int compare_times(const void *first, const void *second) {
    int64_t first_ns = *(const int64_t *)first;
    int64_t second_ns = *(const int64_t *)second;
    return first_ns < second_ns ? -1 : first_ns > second_ns;
}

static void sample_writes(int fd, bool is_extending, struct answer *out_answer) {
    int64_t times_ns[SAMPLE_COUNT];
    uint32_t inside_count = 0;
    for (int i = 0; i < SAMPLE_COUNT; ++i) {
        struct stat found;
        if (fstat(fd, &found) != 0) {
            *out_answer = (struct answer){.why = WHY_NO_FILE, .os_error = errno};
            return;
        }
        struct kaio_raw_iocb iocb = transfer(PROBE_WRITE, fd, TARGET_BLOCK_BYTES);
        iocb.aio_offset = is_extending ? found.st_size : 0;
        worker_tick();
        session_try(&child.session, iocb, TARGET_BLOCK_BYTES, out_answer);
        if (out_answer->result != ANSWER_OK) {
            return;
        }
        times_ns[i] = out_answer->median_ns;
        inside_count += out_answer->inside_count;
    }
    qsort(times_ns, SAMPLE_COUNT, sizeof times_ns[0], compare_times);
    out_answer->sample_count = SAMPLE_COUNT;
    out_answer->inside_count = inside_count;
    out_answer->median_ns = times_ns[SAMPLE_COUNT / 2];
    out_answer->longest_ns = times_ns[SAMPLE_COUNT - 1];
}

static void try_direct_write(const struct report *report, struct probe *probe) {
    if (report->target.kind != TARGET_FOLDER && report->target.kind != TARGET_FILE) {
        probe->answer = (struct answer){.why = WHY_NO_DISK};
        return;
    }
    int fd = find_fd(PROBE_WRITE, PROBE_DIRECT, &probe->answer);
    if (fd < 0) {
        return;
    }
    bool is_extending = strcmp(probe->name, "extend") == 0;
    if (!is_extending && child.files.fill_error != 0) {
        probe->answer = (struct answer){.why = WHY_NOT_FILLED, .os_error = child.files.fill_error};
        return;
    }
    sample_writes(fd, is_extending, &probe->answer);
}

// ----

static void run(struct report *report, struct probe *probe) {
    if (child.begin_error != 0) {
        probe->answer = (struct answer){.why = WHY_NOT_BEGUN, .os_error = child.begin_error};
        return;
    }
    switch (probe->group) {
        case PROBE_GROUP_CALL:
        case PROBE_GROUP_RING:
            return;
        case PROBE_GROUP_OPCODE:
            try_opcode(report, probe);
            return;
        case PROBE_GROUP_REQUEST_FLAG:
            if (probe->value == KAIO_RAW_FLAG_RESFD) {
                try_eventfd(report, &probe->answer);
            } else {
                try_priority(report, KAIO_RAW_IOPRIO_CLASS_BE, 4, &probe->answer);
            }
            return;
        case PROBE_GROUP_PRIORITY:
            try_priority(report, probe->value, 0, &probe->answer);
            return;
        case PROBE_GROUP_RW_FLAG:
            try_rw_flag(report, probe);
            return;
        case PROBE_GROUP_DIRECT_WRITE:
            try_direct_write(report, probe);
            return;
    }
}

bool file_probe(struct report *report) {
    static const struct round_work work = {.begin = begin, .run = run};
    size_t first = report_next(report, PROBE_GROUP_OPCODE, 0);
    bool is_possible = session_is_possible(report);
    if (!is_possible || !report->target.is_surveyed) {
        enum why why = is_possible ? WHY_NOT_OPENED : WHY_NO_CALL;
        for (size_t i = first; i < report->probe_count; ++i) {
            report->probes[i].answer = (struct answer){.why = why};
        }
        return true;
    }
    return rounds_run(report, first, report->probe_count, &work);
}
