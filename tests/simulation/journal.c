#include "tests/simulation/journal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kaio/safe/kaio.h"

// As often a kernel may say that it has no memory just now, or yield one outcome at a time.
enum { TRIES_MAX = 1000 };

struct journal {
    kaio_queue *queue;
    kaio_file *file;
    kaio_buffer *buffers[JOURNAL_BATCH_MAX];
    uint64_t acknowledged;
    journal_mistake mistake;
    bool has_failed;
};

// fill makes the bytes of a record: its number, and what follows from that.
static void fill(uint8_t *bytes, uint64_t number) {
    for (size_t i = 0; i < JOURNAL_RECORD_BYTES; i += sizeof number) {
        uint64_t word = (number + 1) * UINT64_C(0x9e3779b97f4a7c15) + i;
        memcpy(bytes + i, &word, sizeof word);
    }
}

journal *journal_open(const char *path, uint64_t first, journal_mistake mistake) {
    journal *new_journal = calloc(1, sizeof *new_journal);
    if (new_journal == NULL) {
        return NULL;
    }
    new_journal->acknowledged = first;
    new_journal->mistake = mistake;
    kaio_queue_options options = {.depth = JOURNAL_BATCH_MAX + 1};
    kaio_status status = kaio_queue_open(&options, &new_journal->queue);
    if (kaio_status_is_ok(status)) {
        status = kaio_file_open(path, O_RDWR, 0, &new_journal->file);
    }
    for (uint32_t i = 0; i < JOURNAL_BATCH_MAX && kaio_status_is_ok(status); ++i) {
        status = kaio_buffer_new(JOURNAL_RECORD_BYTES, 64, &new_journal->buffers[i]);
    }
    if (!kaio_status_is_ok(status)) {
        journal_close(new_journal);
        return NULL;
    }
    return new_journal;
}

void journal_close(journal *log) {
    if (log == NULL) {
        return;
    }
    kaio_queue_drop(&log->queue);
    for (uint32_t i = 0; i < JOURNAL_BATCH_MAX; ++i) {
        kaio_buffer_drop(&log->buffers[i]);
    }
    kaio_file_drop(&log->file);
    free(log);
}

uint64_t journal_acknowledged(const journal *log) {
    return log->acknowledged;
}

// start writes the record `acknowledged + i`.
static bool start(journal *log, uint32_t i) {
    uint64_t number = log->acknowledged + i;
    fill(kaio_buffer_as_bytes(log->buffers[i]), number);
    kaio_range range = {.file_offset_bytes = number * JOURNAL_RECORD_BYTES,
                        .size_bytes = JOURNAL_RECORD_BYTES};
    kaio_ticket ticket;
    return kaio_status_is_ok(kaio_write_start(log->queue, log->file, range, kaio_rw_none(), i,
                                              &log->buffers[i], &ticket));
}

// settle looks at one outcome. A write that was short goes on behind what it has moved.
static bool settle(journal *log, kaio_completion *done) {
    bool is_good = done->transfer == KAIO_TRANSFER_FULL || done->sync == KAIO_SYNC_SYNCED;
    if (done->transfer == KAIO_TRANSFER_SHORT) {
        kaio_ticket ticket;
        is_good = log->mistake == JOURNAL_LOSES_SHORT_WRITES ||
                  kaio_status_is_ok(
                      kaio_write_rest_start(log->queue, log->file, kaio_rw_none(), done, &ticket));
    }
    if (done->buffer != NULL) {
        log->buffers[done->user] = done->buffer;
    }
    return is_good;
}

// finish waits for all that was started. False: one of them failed, or some are still under way.
static bool finish(journal *log) {
    bool is_good = true;
    for (uint32_t try_count = 0; try_count < TRIES_MAX; ++try_count) {
        uint32_t ready_count;
        kaio_status status = kaio_queue_wait(log->queue, 1, kaio_deadline_never(), &ready_count);
        if (status.code == KAIO_NOTHING_TO_WAIT_FOR) {
            return is_good;
        }
        if (!kaio_status_is_ok(status) && status.code != KAIO_AGAIN) {
            return false;
        }
        kaio_completion done;
        while (kaio_status_is_ok(kaio_queue_take(log->queue, &done))) {
            is_good = settle(log, &done) && is_good;
        }
    }
    return false;
}

static bool sync_file(journal *log) {
    kaio_ticket ticket;
    return kaio_status_is_ok(kaio_sync_start(log->queue, log->file, KAIO_SYNC_DATA, 0, &ticket)) &&
           finish(log);
}

bool journal_append(journal *log, uint32_t count) {
    bool is_good = !log->has_failed;
    for (uint32_t i = 0; i < count && is_good; ++i) {
        is_good = start(log, i);
    }
    is_good = finish(log) && is_good;
    if (is_good && log->mistake == JOURNAL_ACKNOWLEDGES_EARLY) {
        log->acknowledged += count;
        count = 0;
    }
    is_good = is_good && sync_file(log);
    log->acknowledged += is_good ? count : 0;
    log->has_failed = !is_good;
    return is_good;
}

uint64_t journal_recover(const char *path) {
    FILE *file = fopen(path, "rb");
    uint8_t found[JOURNAL_RECORD_BYTES];
    uint8_t wanted[JOURNAL_RECORD_BYTES];
    uint64_t count = 0;
    while (file != NULL && fread(found, sizeof found, 1, file) == 1) {
        fill(wanted, count);
        if (memcmp(found, wanted, sizeof found) != 0) {
            break;
        }
        ++count;
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return count;
}
