#define _POSIX_C_SOURCE 200809L  // clock_gettime

#include "wal.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "../files.h"
#include "wal_device.h"
#include "wal_files.h"
#include "wal_format.h"

struct segment {
    bool is_used;
    uint64_t first_number;
};

// A batch is what one commit writes: whole blocks from `offset` on. The first one may begin with
// records that are durable already.
struct batch {
    bool has_segment;
    uint32_t segment;
    uint64_t offset;
    uint32_t used_bytes;
    uint32_t record_count;  // that are not durable
    uint64_t last_number;
};

struct wal {
    wal_device *device;
    uint64_t segment_bytes;
    uint32_t segment_count;
    uint32_t batch_bytes;
    bool acks_early;

    pthread_mutex_t lock;  // of all below, once there is a thread
    struct segment segments[WAL_SEGMENT_COUNT_MAX];
    struct batch batches[WAL_BUFFER_COUNT];
    uint32_t filling;  // the batch that takes records
    uint64_t epoch;    // of the newest segment
    uint64_t next_number;
    uint64_t durable_number;
    uint64_t trimmed_number;  // durable, too
    uint64_t wanted_trim;
    struct wal_segment_head filled_head;   // of the batch's segment
    struct wal_segment_head written_head;  // of the last one that is in a file, and its number
    uint32_t written_segment;
    bool has_written_head;
    bool has_failed;
    wal_error failure;
    wal_counters counters;

    bool is_started;
    bool is_closing;
    pthread_t thread;
    pthread_cond_t work;      // for the thread
    pthread_cond_t progress;  // for those who append
};

static uint32_t round_up(uint32_t size_bytes) {
    return (size_bytes + WAL_BLOCK_BYTES - 1) / WAL_BLOCK_BYTES * WAL_BLOCK_BYTES;
}

// ---- segments ----

// last_number_of is the last record of a used segment, or UINT64_MAX for the newest.
static uint64_t last_number_of(const wal *log, const struct segment *segment) {
    uint64_t next = 0;
    for (uint32_t i = 0; i < log->segment_count; ++i) {
        const struct segment *other = &log->segments[i];
        bool is_later = other->is_used && other->first_number > segment->first_number;
        next = is_later && (next == 0 || other->first_number < next) ? other->first_number : next;
    }
    return next - 1;
}

static void free_trimmed(wal *log) {
    for (uint32_t i = 0; i < log->segment_count; ++i) {
        struct segment *segment = &log->segments[i];
        if (segment->is_used && last_number_of(log, segment) <= log->trimmed_number) {
            segment->is_used = false;
        }
    }
}

static uint64_t make_salt(void) {
    uint64_t salt;
    struct timespec now = {.tv_sec = 0};
    if (getrandom(&salt, sizeof salt, 0) != sizeof salt) {  // a kernel without it
        (void)clock_gettime(CLOCK_REALTIME, &now);
        salt = (uint64_t)now.tv_sec << 30 ^ (uint64_t)now.tv_nsec;
    }
    return salt;
}

// start_segment lets an empty batch begin a segment, with its header. False: none is free.
static bool start_segment(wal *log, struct batch *batch) {
    uint32_t number = 0;
    while (number < log->segment_count && log->segments[number].is_used) {
        ++number;
    }
    if (number == log->segment_count) {
        return false;
    }
    log->segments[number] = (struct segment){.is_used = true, .first_number = log->next_number};
    log->filled_head = (struct wal_segment_head){.segment_bytes = log->segment_bytes,
                                                 .segment_count = log->segment_count,
                                                 .epoch = ++log->epoch,
                                                 .salt = make_salt(),
                                                 .first_number = log->next_number,
                                                 .trimmed_number = log->trimmed_number};
    *batch = (struct batch){.has_segment = true, .segment = number, .used_bytes = WAL_BLOCK_BYTES};
    wal_encode_segment(&log->filled_head, wal_device_bytes(log->device, log->filling));
    return true;
}

// ---- put and commit ----

uint32_t wal_record_max(const wal *log) {
    uint64_t room = log->segment_bytes < log->batch_bytes ? log->segment_bytes : log->batch_bytes;
    return (uint32_t)(room - UINT64_C(2) * WAL_BLOCK_BYTES - sizeof(struct wal_record_head));
}

wal_code wal_put(wal *log, const void *bytes, uint32_t size_bytes, uint64_t *out_number) {
    if (size_bytes > wal_record_max(log)) {
        return WAL_TOO_LARGE;
    }
    if (log->has_failed) {
        return WAL_FAILED;
    }
    struct batch *batch = &log->batches[log->filling];
    uint64_t room_bytes = wal_record_room(size_bytes);
    bool fits =
        batch->has_segment && batch->offset + batch->used_bytes + room_bytes <= log->segment_bytes;
    if (!fits && batch->record_count == 0 && !start_segment(log, batch)) {
        return WAL_LOG_FULL;
    }
    if ((!fits && batch->record_count > 0) || batch->used_bytes + room_bytes > log->batch_bytes) {
        return WAL_BATCH_FULL;
    }
    uint8_t *there = wal_device_bytes(log->device, log->filling) + batch->used_bytes;
    wal_encode_record(log->filled_head.salt, log->next_number, bytes, size_bytes, there);
    batch->used_bytes += (uint32_t)room_bytes;
    batch->last_number = log->next_number++;
    ++batch->record_count;
    ++log->counters.record_count;
    *out_number = batch->last_number;
    return WAL_OK;
}

// turn makes the other batch the one that takes records, behind this one: it begins with the last
// block, which is not full. Returns the number of this one.
static uint32_t turn(wal *log) {
    uint32_t full = log->filling;
    uint32_t next = (full + 1) % WAL_BUFFER_COUNT;
    const struct batch *batch = &log->batches[full];
    uint32_t whole_bytes = batch->used_bytes / WAL_BLOCK_BYTES * WAL_BLOCK_BYTES;
    uint32_t rest_bytes = batch->used_bytes - whole_bytes;
    uint8_t *bytes = wal_device_bytes(log->device, full);
    memcpy(wal_device_bytes(log->device, next), bytes + whole_bytes, rest_bytes);
    memset(bytes + batch->used_bytes, 0, round_up(batch->used_bytes) - batch->used_bytes);
    log->batches[next] = (struct batch){.has_segment = true,
                                        .segment = batch->segment,
                                        .offset = batch->offset + whole_bytes,
                                        .used_bytes = rest_bytes};
    log->filling = next;
    return full;
}

static void fail(wal *log, const wal_error *error) {
    log->has_failed = true;
    log->failure = *error;
}

// Locks only where there is a thread.
static void lock(wal *log) {
    if (log->is_started) {
        (void)pthread_mutex_lock(&log->lock);
    }
}

static void unlock(wal *log) {
    if (log->is_started) {
        (void)pthread_mutex_unlock(&log->lock);
    }
}

// commit_batch makes the batch that takes records durable. Locked, but not while it writes.
static void commit_batch(wal *log) {
    uint32_t number = turn(log);
    const struct batch batch = log->batches[number];
    struct wal_segment_head head = log->filled_head;
    if (batch.offset == 0) {  // what was trimmed since it was begun must not be looked for
        head.trimmed_number = log->trimmed_number;
        wal_encode_segment(&head, wal_device_bytes(log->device, number));
    }
    uint32_t size_bytes = round_up(batch.used_bytes);
    wal_error error;
    unlock(log);
    bool is_written = wal_device_write(log->device, batch.segment, number, batch.offset, size_bytes,
                                       !log->acks_early, &error);
    lock(log);
    if (!is_written) {
        fail(log, &error);
        return;
    }
    log->durable_number = batch.last_number;
    ++log->counters.commit_count;
    log->counters.written_bytes += size_bytes;
    if (batch.offset == 0) {
        log->written_head = head;
        log->written_segment = batch.segment;
        log->has_written_head = true;
    }
}

// commit_trim makes the wanted trim durable in the newest header, and then frees segments. Not
// before: until then a recovery would look for their records.
static void commit_trim(wal *log) {
    uint32_t idle = (log->filling + 1) % WAL_BUFFER_COUNT;
    struct wal_segment_head head = log->written_head;
    uint32_t segment = log->written_segment;
    head.trimmed_number = log->wanted_trim;
    wal_error error;
    unlock(log);
    wal_encode_segment(&head, wal_device_bytes(log->device, idle));
    bool is_written =
        wal_device_write(log->device, segment, idle, 0, WAL_BLOCK_BYTES, true, &error);
    lock(log);
    if (!is_written) {
        fail(log, &error);
        return;
    }
    log->written_head = head;
    log->trimmed_number = head.trimmed_number;
    free_trimmed(log);
}

// has_trim tells whether there is something to trim that was not; only what is durable can be.
static bool has_trim(const wal *log) {
    return log->wanted_trim > log->trimmed_number && log->has_written_head;
}

// commit does all that there is. Locked.
static void commit(wal *log) {
    if (!log->has_failed && log->batches[log->filling].record_count > 0) {
        commit_batch(log);
    }
    if (!log->has_failed && has_trim(log)) {
        commit_trim(log);
    }
}

wal_code wal_commit(wal *log) {
    commit(log);
    return log->has_failed ? WAL_FAILED : WAL_OK;
}

void wal_trim(wal *log, uint64_t number) {
    lock(log);
    number = number < log->durable_number ? number : log->durable_number;
    log->wanted_trim = number > log->wanted_trim ? number : log->wanted_trim;
    (void)pthread_cond_signal(&log->work);
    unlock(log);
}

// ---- the thread ----

static bool has_work(const wal *log) {
    return !log->has_failed && (log->batches[log->filling].record_count > 0 || has_trim(log));
}

static void *run(void *argument) {
    wal *log = argument;
    wal_device_take_over(log->device);
    (void)pthread_mutex_lock(&log->lock);
    for (;;) {
        while (!has_work(log) && !log->is_closing) {
            (void)pthread_cond_wait(&log->work, &log->lock);
        }
        if (!has_work(log)) {
            break;
        }
        commit(log);
        (void)pthread_cond_broadcast(&log->progress);
    }
    (void)pthread_mutex_unlock(&log->lock);
    wal_device_hand_over(log->device);
    return NULL;
}

wal_code wal_start(wal *log) {
    wal_device_hand_over(log->device);
    log->is_started = true;
    if (pthread_create(&log->thread, NULL, run, log) != 0) {
        log->is_started = false;
        wal_device_take_over(log->device);
        return WAL_SYSTEM;
    }
    return WAL_OK;
}

wal_code wal_append(wal *log, const void *bytes, uint32_t size_bytes, uint64_t *out_number) {
    (void)pthread_mutex_lock(&log->lock);
    wal_code code;
    uint64_t number = 0;
    while ((code = wal_put(log, bytes, size_bytes, &number)) == WAL_BATCH_FULL) {
        (void)pthread_cond_signal(&log->work);
        (void)pthread_cond_wait(&log->progress, &log->lock);
    }
    (void)pthread_cond_signal(&log->work);
    while (code == WAL_OK && log->durable_number < number) {
        if (log->has_failed) {
            code = WAL_FAILED;
        } else {
            (void)pthread_cond_wait(&log->progress, &log->lock);
        }
    }
    (void)pthread_mutex_unlock(&log->lock);
    *out_number = number;
    return code;
}

// ---- recovery ----

// What was found of a segment.
struct finding {
    bool is_good;
    uint32_t segment;
    struct wal_segment_head head;
};

static int by_first_number(const void *one, const void *other) {
    const struct finding *a = one;
    const struct finding *b = other;
    // Of two that begin alike the newer one has the records.
    return a->head.first_number != b->head.first_number
               ? (a->head.first_number > b->head.first_number ? 1 : -1)
               : (a->head.epoch > b->head.epoch ? 1 : -1);
}

// find_segments reads the headers: `*out_count` good ones in out_list, the oldest first.
static bool find_segments(wal *log, struct finding *out_list, uint32_t *out_count,
                          wal_error *out_error) {
    *out_count = 0;
    for (uint32_t i = 0; i < log->segment_count; ++i) {
        int64_t got = wal_device_read(log->device, i, 0, 0, WAL_BLOCK_BYTES, out_error);
        if (got < 0) {
            return false;
        }
        struct finding finding = {.segment = i};
        bool is_good = got == WAL_BLOCK_BYTES &&
                       wal_decode_segment(wal_device_bytes(log->device, 0), &finding.head) &&
                       finding.head.segment_bytes == log->segment_bytes;
        if (is_good) {
            out_list[(*out_count)++] = finding;
            log->epoch = finding.head.epoch > log->epoch ? finding.head.epoch : log->epoch;
        }
    }
    qsort(out_list, *out_count, sizeof *out_list, by_first_number);
    return true;
}

static bool read_segment(wal *log, uint32_t segment, uint8_t *out_bytes, wal_error *out_error) {
    uint64_t done = 0;
    while (done < log->segment_bytes) {
        uint64_t left = log->segment_bytes - done;
        uint32_t wanted = left < log->batch_bytes ? (uint32_t)left : log->batch_bytes;
        int64_t got = wal_device_read(log->device, segment, 0, done, wanted, out_error);
        if (got < 0) {
            return false;
        }
        if (got == 0) {  // shorter than it was made: nothing is there
            memset(out_bytes + done, 0, (size_t)left);
            return true;
        }
        memcpy(out_bytes + done, wal_device_bytes(log->device, 0), (size_t)got);
        done += (uint64_t)got;
    }
    return true;
}

// A replay is who hears of the records.
struct replay {
    wal_record_handler *on_record;
    void *context;
    wal_recovery *recovery;
};

// scan hands out the records of a segment, up to the first that is not there.
static void scan(wal *log, const struct finding *finding, const uint8_t *bytes,
                 const struct replay *replay) {
    uint64_t offset = WAL_BLOCK_BYTES;
    const char *why;
    uint32_t size_bytes;
    while ((why = wal_decode_record(finding->head.salt, log->next_number, bytes + offset,
                                    log->segment_bytes - offset, &size_bytes)) == NULL) {
        if (log->next_number > log->trimmed_number) {
            wal_recovery *recovery = replay->recovery;
            bool is_first = recovery->first_number == 0;
            recovery->first_number = is_first ? log->next_number : recovery->first_number;
            recovery->last_number = log->next_number;
            if (replay->on_record != NULL) {
                replay->on_record(replay->context, log->next_number,
                                  bytes + offset + sizeof(struct wal_record_head), size_bytes);
            }
        }
        ++log->next_number;
        offset += wal_record_room(size_bytes);
    }
    replay->recovery->segment = finding->segment;
    replay->recovery->end_offset = offset;
    replay->recovery->why = why;
}

// recover_from goes through the segments that are needed: the one with the first record that was
// not trimmed, and all behind it.
static wal_code recover_from(wal *log, const struct finding *list, uint32_t count, uint8_t *bytes,
                             const struct replay *replay, wal_error *out_error) {
    log->trimmed_number = list[count - 1].head.trimmed_number;
    uint32_t first = count - 1;
    while (first > 0 && list[first].head.first_number > log->trimmed_number + 1) {
        --first;
    }
    if (list[first].head.first_number > log->trimmed_number + 1) {
        engine_say(engine_text_of(out_error),
                   "record %" PRIu64 " is missing: the oldest segment begins with %" PRIu64,
                   log->trimmed_number + 1, list[first].head.first_number);
        return WAL_CORRUPT;
    }
    log->next_number = list[first].head.first_number;
    for (uint32_t i = first; i < count; ++i) {
        if (list[i].head.first_number != log->next_number) {
            engine_say(engine_text_of(out_error),
                       "record %" PRIu64 " is missing: segment %" PRIu32 " ends at offset %" PRIu64
                       " (%s), the next begins with %" PRIu64,
                       log->next_number, list[i - 1].segment, replay->recovery->end_offset,
                       replay->recovery->why, list[i].head.first_number);
            return WAL_CORRUPT;
        }
        if (!read_segment(log, list[i].segment, bytes, out_error)) {
            return WAL_SYSTEM;
        }
        log->segments[list[i].segment] =
            (struct segment){.is_used = true, .first_number = log->next_number};
        scan(log, &list[i], bytes, replay);
    }
    // Never behind what is there: it could be taken for records again. An empty one begins anew.
    const struct finding *newest = &list[count - 1];
    log->segments[newest->segment].is_used = log->next_number > newest->head.first_number;
    log->written_head = newest->head;
    log->written_segment = newest->segment;
    log->has_written_head = log->segments[newest->segment].is_used;
    log->wanted_trim = log->trimmed_number;
    log->durable_number = log->next_number - 1;
    return WAL_OK;
}

static wal_code recover(wal *log, const struct replay *replay, wal_error *out_error) {
    struct finding *list = calloc(log->segment_count, sizeof *list);
    uint8_t *bytes = malloc((size_t)log->segment_bytes);
    wal_code code = WAL_SYSTEM;
    uint32_t count;
    log->next_number = 1;
    replay->recovery->why = "no record";
    if (list == NULL || bytes == NULL) {
        engine_say(engine_text_of(out_error), "no memory for a segment of %" PRIu64 " bytes",
                   log->segment_bytes);
    } else if (find_segments(log, list, &count, out_error)) {
        code = count == 0 ? WAL_OK : recover_from(log, list, count, bytes, replay, out_error);
    }
    free(bytes);
    free(list);
    return code;
}

// ---- open and close ----

static wal_code open_log(wal *log, const wal_options *options, const struct replay *replay,
                         wal_error *out_error) {
    wal_shape shape = {
        .segment_bytes = options->segment_bytes == 0 ? UINT64_C(16) << 20 : options->segment_bytes,
        .segment_count = options->segment_count == 0 ? 4 : options->segment_count,
        .batch_bytes = options->batch_bytes == 0 ? 1u << 20 : options->batch_bytes};
    bool is_there = options->is_new ? wal_files_make(options->folder, &shape, out_error)
                                    : wal_files_find(options->folder, &shape, out_error);
    log->segment_bytes = shape.segment_bytes;
    log->segment_count = shape.segment_count;
    log->batch_bytes = shape.batch_bytes;
    log->acks_early = options->acks_early;
    is_there = is_there &&
               (log->device = wal_device_open(options->folder, log->segment_count, log->batch_bytes,
                                              options->is_buffered, out_error)) != NULL;
    return is_there ? recover(log, replay, out_error) : WAL_SYSTEM;
}

wal_code wal_open(const wal_options *options, wal_record_handler *on_record, void *context,
                  wal **out_log, wal_recovery *out_recovery, wal_error *out_error) {
    *out_recovery = (wal_recovery){.why = "no record"};
    wal *log = calloc(1, sizeof *log);
    if (log == NULL) {
        engine_say(engine_text_of(out_error), "no memory");
        return WAL_SYSTEM;
    }
    (void)pthread_mutex_init(&log->lock, NULL);
    (void)pthread_cond_init(&log->work, NULL);
    (void)pthread_cond_init(&log->progress, NULL);
    const struct replay replay = {
        .on_record = on_record, .context = context, .recovery = out_recovery};
    wal_code code = open_log(log, options, &replay, out_error);
    if (code != WAL_OK) {
        wal_abandon(log);
        return code;
    }
    *out_log = log;
    return WAL_OK;
}

static void stop(wal *log) {
    if (!log->is_started) {
        return;
    }
    (void)pthread_mutex_lock(&log->lock);
    log->is_closing = true;
    (void)pthread_cond_signal(&log->work);
    (void)pthread_mutex_unlock(&log->lock);
    (void)pthread_join(log->thread, NULL);
    log->is_started = false;
    wal_device_take_over(log->device);
}

wal_code wal_close(wal *log) {
    if (log == NULL) {
        return WAL_OK;
    }
    stop(log);
    wal_code code = wal_commit(log);
    wal_abandon(log);
    return code;
}

void wal_abandon(wal *log) {
    if (log == NULL) {
        return;
    }
    stop(log);
    wal_device_close(log->device);
    (void)pthread_cond_destroy(&log->progress);
    (void)pthread_cond_destroy(&log->work);
    (void)pthread_mutex_destroy(&log->lock);
    free(log);
}

uint64_t wal_durable_number(const wal *log) {
    return log->durable_number;
}

const char *wal_failure(const wal *log) {
    return log->failure.text;
}

wal_counters wal_count(const wal *log) {
    return log->counters;
}
