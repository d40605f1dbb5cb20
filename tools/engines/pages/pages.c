#include "pages.h"

#include <inttypes.h>
#include <isa-l.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "../files.h"
#include "pages_device.h"

enum { FRAMES_MIN = 16 };
#define NO_FRAME UINT32_MAX
#define NO_PAGE UINT64_MAX

// The first bytes of a page. A page that was never written is 0 all over.
struct head {
    uint32_t checksum;  // CRC32C of what is behind it
    uint32_t is_written;
    uint64_t number;
};

// MOVING: a request has the memory. CLEAN and CHANGED frames are their users'.
enum state { FREE = 0, CLEAN = 1, CHANGED = 2, READING = 3, WRITING = 4 };

struct frame {
    uint64_t number;
    enum state state;
    bool was_used;  // since the hand passed
    uint32_t next;  // of the same hash
};

struct pages {
    pages_device *device;
    uint8_t *memory;  // of all frames
    uint64_t page_count;
    uint32_t frame_count;

    pthread_mutex_t lock;     // of all below
    pthread_cond_t progress;  // a frame moved on
    pthread_cond_t work;      // for the cleaner
    struct frame *frames;
    uint32_t *buckets;    // frame_count of them: the first frame of each hash
    uint32_t *checksums;  // of each page as it was written last; 0: not known
    uint32_t hand;        // of the clock
    uint32_t changed_count;
    uint32_t waiting_count;   // that need a frame
    uint64_t wanted_flush;    // how many flushes were asked for ...
    uint64_t finished_flush;  // ... and done
    bool is_closing;
    bool has_failed;
    pages_error failure;
    pages_counters counters;
    pthread_t cleaner;
};

struct pages_worker {
    pages *store;
    pages_channel *channel;
};

// ---- frames, locked ----

static uint8_t *bytes_of(const pages *store, uint32_t frame) {
    return store->memory + (size_t)frame * PAGES_PAGE_BYTES;
}

static uint32_t *bucket_of(const pages *store, uint64_t number) {
    return &store->buckets[number * UINT64_C(0x9e3779b97f4a7c15) % store->frame_count];
}

static uint32_t find(const pages *store, uint64_t number) {
    uint32_t frame = *bucket_of(store, number);
    while (frame != NO_FRAME && store->frames[frame].number != number) {
        frame = store->frames[frame].next;
    }
    return frame;
}

static void forget(pages *store, uint32_t frame) {
    uint32_t *link = bucket_of(store, store->frames[frame].number);
    while (*link != frame) {
        link = &store->frames[*link].next;
    }
    *link = store->frames[frame].next;
    store->frames[frame] = (struct frame){.number = NO_PAGE, .next = NO_FRAME};
}

// evict gives a frame that nobody needs, or NO_FRAME: it waits for none. What was changed is left
// to the cleaner, what moves to whoever moves it.
static uint32_t evict(pages *store) {
    for (uint32_t step = 0; step < 2 * store->frame_count; ++step) {
        uint32_t frame = store->hand;
        struct frame *place = &store->frames[frame];
        store->hand = frame + 1 == store->frame_count ? 0 : frame + 1;
        if (place->state == FREE) {
            return frame;
        }
        if (place->state == CLEAN && !place->was_used) {
            forget(store, frame);
            return frame;
        }
        place->was_used = false;
        ++store->counters.skipped_count;
    }
    return NO_FRAME;
}

// claim makes a frame one for page `number`, which is not in the cache. NO_FRAME: none can be had.
static uint32_t claim(pages *store, uint64_t number, enum state state) {
    uint32_t frame = evict(store);
    if (frame == NO_FRAME) {
        return NO_FRAME;
    }
    uint32_t *bucket = bucket_of(store, number);
    store->frames[frame] =
        (struct frame){.number = number, .state = state, .was_used = true, .next = *bucket};
    *bucket = frame;
    return frame;
}

// wait_for_frame sleeps until something moved; the cleaner makes it so.
static void wait_for_frame(pages *store) {
    ++store->waiting_count;
    ++store->counters.waited_count;
    (void)pthread_cond_signal(&store->work);
    (void)pthread_cond_wait(&store->progress, &store->lock);
    --store->waiting_count;
}

static void fail(pages *store, const pages_error *error) {
    if (!store->has_failed) {
        store->failure = *error;
    }
    store->has_failed = true;
    (void)pthread_cond_broadcast(&store->progress);
    (void)pthread_cond_signal(&store->work);
}

// ---- checksums ----

static uint32_t checksum_of(const uint8_t *page) {
    size_t skipped = offsetof(struct head, is_written);
    uint32_t sum = crc32_iscsi((unsigned char *)(uintptr_t)(page + skipped),
                               (int)(PAGES_PAGE_BYTES - skipped), UINT32_MAX);
    return sum == 0 ? 1 : sum;
}

// seal writes the head of a page that is to be written back.
static void seal(pages *store, uint32_t frame) {
    uint8_t *page = bytes_of(store, frame);
    struct head head = {.is_written = 1, .number = store->frames[frame].number};
    memcpy(page, &head, sizeof head);
    head.checksum = checksum_of(page);
    memcpy(page, &head, sizeof head);
    store->checksums[head.number] = head.checksum;
}

// check compares a page that was read with its head, and with what is remembered of it.
static bool check(pages *store, uint32_t frame, pages_error *out_error) {
    const uint8_t *page = bytes_of(store, frame);
    uint64_t number = store->frames[frame].number;
    uint32_t remembered = store->checksums[number];
    struct head head;
    memcpy(&head, page, sizeof head);
    if (head.is_written == 0 && head.checksum == 0 && head.number == 0) {
        if (remembered != 0) {
            engine_say(engine_text_of(out_error),
                       "page %" PRIu64 ": what was written to it is gone", number);
        }
        return remembered == 0;
    }
    bool is_whole = head.number == number && head.checksum == checksum_of(page);
    bool is_newest = remembered == 0 || remembered == head.checksum;
    if (!is_whole) {
        engine_say(engine_text_of(out_error),
                   "page %" PRIu64 ": its checksum is not that of its bytes", number);
    } else if (!is_newest) {
        engine_say(engine_text_of(out_error), "page %" PRIu64 ": an older one than was written",
                   number);
    }
    if (is_whole && is_newest) {
        store->checksums[number] = head.checksum;
    }
    return is_whole && is_newest;
}

// ---- reading ----

// load reads frames that were claimed for consecutive pages, and lets others at them. Locked, but
// not while it reads.
static pages_code load(pages_worker *worker, const uint32_t *frames, uint32_t count) {
    pages *store = worker->store;
    uint64_t first_number = store->frames[frames[0]].number;
    pages_error error;
    (void)pthread_mutex_unlock(&store->lock);
    bool is_read = pages_channel_read(worker->channel, frames, count, first_number, &error);
    (void)pthread_mutex_lock(&store->lock);
    pages_code code = is_read ? PAGES_OK : PAGES_FAILED;
    for (uint32_t i = 0; i < count; ++i) {
        if (code == PAGES_OK && !check(store, frames[i], &error)) {
            code = PAGES_DAMAGED;
        }
        store->frames[frames[i]].state = CLEAN;
        if (code != PAGES_OK) {
            forget(store, frames[i]);
        }
    }
    if (code != PAGES_OK) {
        store->failure = error;
    }
    (void)pthread_cond_broadcast(&store->progress);
    return code;
}

// fetch gives the frame of a page, which nobody moves, or NO_FRAME with the reason. Locked; with
// `is_whole` the caller is about to write all of it, so nothing is read.
static uint32_t fetch(pages_worker *worker, uint64_t number, bool is_whole, pages_code *out_code) {
    pages *store = worker->store;
    *out_code = PAGES_OK;
    bool is_hit = true;
    for (;;) {
        if (store->has_failed) {
            *out_code = PAGES_FAILED;
            return NO_FRAME;
        }
        uint32_t frame = find(store, number);
        bool is_moving = frame != NO_FRAME && (store->frames[frame].state == READING ||
                                               (store->frames[frame].state == WRITING && is_whole));
        if (frame != NO_FRAME && !is_moving) {
            store->frames[frame].was_used = true;
            store->counters.hit_count += is_hit;
            return frame;
        }
        is_hit = false;
        if (is_moving) {
            (void)pthread_cond_wait(&store->progress, &store->lock);
            continue;
        }
        frame = claim(store, number, is_whole ? CLEAN : READING);
        if (frame == NO_FRAME) {
            wait_for_frame(store);
        } else if (!is_whole) {
            ++store->counters.miss_count;
            *out_code = load(worker, &frame, 1);
            if (*out_code != PAGES_OK) {
                return NO_FRAME;
            }
        }
    }
}

pages_code pages_read(pages_worker *worker, uint64_t number, void *out_bytes) {
    pages *store = worker->store;
    if (number >= store->page_count) {
        return PAGES_RANGE;
    }
    pages_code code;
    (void)pthread_mutex_lock(&store->lock);
    uint32_t frame = fetch(worker, number, false, &code);
    if (frame != NO_FRAME) {
        memcpy(out_bytes, bytes_of(store, frame) + PAGES_HEAD_BYTES, PAGES_CONTENT_BYTES);
    }
    (void)pthread_mutex_unlock(&store->lock);
    return code;
}

pages_code pages_write(pages_worker *worker, uint64_t number, const void *bytes) {
    pages *store = worker->store;
    if (number >= store->page_count) {
        return PAGES_RANGE;
    }
    pages_code code;
    (void)pthread_mutex_lock(&store->lock);
    uint32_t frame = fetch(worker, number, true, &code);
    if (frame != NO_FRAME) {
        memcpy(bytes_of(store, frame) + PAGES_HEAD_BYTES, bytes, PAGES_CONTENT_BYTES);
        store->changed_count += store->frames[frame].state != CHANGED;
        store->frames[frame].state = CHANGED;
        if (store->changed_count > store->frame_count / 4) {
            (void)pthread_cond_signal(&store->work);
        }
    }
    (void)pthread_mutex_unlock(&store->lock);
    return code;
}

// read_ahead loads the pages from `number` on that are missing side by side, as far as frames are
// to be had without waiting.
static pages_code read_ahead(pages_worker *worker, uint64_t number, uint64_t end) {
    pages *store = worker->store;
    uint32_t frames[PAGES_READ_MAX];
    uint32_t count = 0;
    while (count < PAGES_READ_MAX && number + count < end &&
           find(store, number + count) == NO_FRAME &&
           (frames[count] = claim(store, number + count, READING)) != NO_FRAME) {
        ++count;
    }
    store->counters.read_ahead_count += count;
    return count == 0 ? PAGES_OK : load(worker, frames, count);
}

pages_code pages_scan(pages_worker *worker, uint64_t first, uint64_t count, pages_handler *handler,
                      void *context) {
    pages *store = worker->store;
    if (first > store->page_count || count > store->page_count - first) {
        return PAGES_RANGE;
    }
    uint8_t content[PAGES_CONTENT_BYTES];
    for (uint64_t number = first; number < first + count; ++number) {
        (void)pthread_mutex_lock(&store->lock);
        pages_code code = PAGES_OK;
        if (find(store, number) == NO_FRAME) {
            code = read_ahead(worker, number, first + count);
        }
        uint32_t frame = code == PAGES_OK ? fetch(worker, number, false, &code) : NO_FRAME;
        if (frame != NO_FRAME) {
            memcpy(content, bytes_of(store, frame) + PAGES_HEAD_BYTES, sizeof content);
        }
        (void)pthread_mutex_unlock(&store->lock);
        if (code != PAGES_OK) {
            return code;
        }
        handler(context, number, content);
    }
    return PAGES_OK;
}

// ---- the cleaner ----

// take_changed makes up to PAGES_WRITE_MAX changed frames ones that are written. Locked.
static uint32_t take_changed(pages *store, uint32_t *hand, uint32_t *out_frames) {
    uint32_t count = 0;
    for (uint32_t step = 0; step < store->frame_count && count < PAGES_WRITE_MAX; ++step) {
        uint32_t frame = *hand;
        *hand = frame + 1 == store->frame_count ? 0 : frame + 1;
        if (store->frames[frame].state == CHANGED) {
            seal(store, frame);
            store->frames[frame].state = WRITING;
            --store->changed_count;
            out_frames[count++] = frame;
        }
    }
    return count;
}

// clean_some writes back some of what was changed. Locked, but not while it writes.
static bool clean_some(pages *store, pages_channel *channel, uint32_t *hand) {
    uint32_t frames[PAGES_WRITE_MAX];
    uint64_t numbers[PAGES_WRITE_MAX];
    uint32_t count = take_changed(store, hand, frames);
    if (count == 0) {
        return false;
    }
    for (uint32_t i = 0; i < count; ++i) {
        numbers[i] = store->frames[frames[i]].number;
    }
    pages_error error;
    (void)pthread_mutex_unlock(&store->lock);
    bool is_written = pages_channel_write(channel, frames, numbers, count, &error);
    (void)pthread_mutex_lock(&store->lock);
    for (uint32_t i = 0; i < count; ++i) {
        store->frames[frames[i]].state = CLEAN;
    }
    store->counters.written_count += count;
    if (!is_written) {
        fail(store, &error);
    }
    (void)pthread_cond_broadcast(&store->progress);
    return true;
}

// flush writes back all that was changed before, and syncs. Locked, but not while it does so.
static void flush(pages *store, pages_channel *channel, uint32_t *hand) {
    uint64_t wanted = store->wanted_flush;
    uint64_t most = store->frame_count;  // writers that go on do not keep it for ever
    while (!store->has_failed && most > 0 && clean_some(store, channel, hand)) {
        most -= most < PAGES_WRITE_MAX ? most : PAGES_WRITE_MAX;
    }
    pages_error error;
    (void)pthread_mutex_unlock(&store->lock);
    bool is_synced = pages_channel_sync(channel, &error);
    (void)pthread_mutex_lock(&store->lock);
    if (!is_synced) {
        fail(store, &error);
    }
    store->finished_flush = wanted;
    (void)pthread_cond_broadcast(&store->progress);
}

static void *clean(void *argument) {
    pages *store = argument;
    pages_error error;
    pages_channel *channel = pages_channel_open(store->device, &error);
    uint32_t hand = 0;
    (void)pthread_mutex_lock(&store->lock);
    if (channel == NULL) {
        fail(store, &error);
    }
    while (!store->has_failed) {
        bool is_needed = store->waiting_count > 0 || store->changed_count > store->frame_count / 4;
        if (store->wanted_flush > store->finished_flush) {
            flush(store, channel, &hand);
        } else if (store->is_closing) {
            break;
        } else if (!is_needed || !clean_some(store, channel, &hand)) {
            (void)pthread_cond_wait(&store->work, &store->lock);
        }
    }
    (void)pthread_mutex_unlock(&store->lock);
    pages_channel_close(channel);
    return NULL;
}

pages_code pages_flush(pages *store) {
    (void)pthread_mutex_lock(&store->lock);
    uint64_t wanted = ++store->wanted_flush;
    (void)pthread_cond_signal(&store->work);
    while (!store->has_failed && store->finished_flush < wanted) {
        (void)pthread_cond_wait(&store->progress, &store->lock);
    }
    pages_code code = store->has_failed ? PAGES_FAILED : PAGES_OK;
    (void)pthread_mutex_unlock(&store->lock);
    return code;
}

// ---- open and close ----

// open_device opens the file with all frames of a new cache.
static bool open_device(pages *store, const pages_options *options, pages_error *out_error) {
    size_t size_bytes = (size_t)store->frame_count * PAGES_PAGE_BYTES;
    store->memory = aligned_alloc(PAGES_PAGE_BYTES, size_bytes);
    if (store->memory == NULL) {
        engine_say(engine_text_of(out_error), "no memory for %" PRIu32 " frames",
                   store->frame_count);
        return false;
    }
    memset(store->memory, 0, size_bytes);
    store->device = pages_device_open(options->path, store->memory, store->frame_count,
                                      options->is_buffered, out_error);
    return store->device != NULL;
}

static bool make_tables(pages *store, pages_error *out_error) {
    store->page_count = pages_device_size(store->device) / PAGES_PAGE_BYTES;
    store->frames = calloc(store->frame_count, sizeof *store->frames);
    store->buckets = calloc(store->frame_count, sizeof *store->buckets);
    store->checksums = calloc((size_t)store->page_count + 1, sizeof *store->checksums);
    if (store->frames == NULL || store->buckets == NULL || store->checksums == NULL) {
        engine_say(engine_text_of(out_error), "no memory for %" PRIu64 " pages", store->page_count);
        return false;
    }
    for (uint32_t i = 0; i < store->frame_count; ++i) {
        store->frames[i] = (struct frame){.number = NO_PAGE, .next = NO_FRAME};
        store->buckets[i] = NO_FRAME;
    }
    return true;
}

static void end(pages *store) {
    pages_device_close(store->device);
    (void)pthread_cond_destroy(&store->work);
    (void)pthread_cond_destroy(&store->progress);
    (void)pthread_mutex_destroy(&store->lock);
    free(store->checksums);
    free(store->buckets);
    free(store->frames);
    free(store->memory);
    free(store);
}

pages_code pages_open(const pages_options *options, pages **out_store, pages_error *out_error) {
    pages *store = calloc(1, sizeof *store);
    if (store == NULL) {
        engine_say(engine_text_of(out_error), "no memory");
        return PAGES_SYSTEM;
    }
    (void)pthread_mutex_init(&store->lock, NULL);
    (void)pthread_cond_init(&store->progress, NULL);
    (void)pthread_cond_init(&store->work, NULL);
    store->frame_count = options->frame_count == 0 ? 1024 : options->frame_count;
    bool is_good = store->frame_count >= FRAMES_MIN;
    if (!is_good) {
        engine_say(engine_text_of(out_error), "%" PRIu32 " frames: at least %d are needed",
                   store->frame_count, FRAMES_MIN);
    }
    is_good =
        is_good &&
        (!options->is_new || engine_make_file(options->path, options->page_count * PAGES_PAGE_BYTES,
                                              engine_text_of(out_error))) &&
        open_device(store, options, out_error) && make_tables(store, out_error);
    if (is_good && pthread_create(&store->cleaner, NULL, clean, store) != 0) {
        engine_say(engine_text_of(out_error), "no thread");
        is_good = false;
    }
    if (!is_good) {
        end(store);
        return PAGES_SYSTEM;
    }
    *out_store = store;
    return PAGES_OK;
}

pages_code pages_close(pages *store) {
    if (store == NULL) {
        return PAGES_OK;
    }
    pages_code code = pages_flush(store);
    (void)pthread_mutex_lock(&store->lock);
    store->is_closing = true;
    (void)pthread_cond_signal(&store->work);
    (void)pthread_mutex_unlock(&store->lock);
    (void)pthread_join(store->cleaner, NULL);
    end(store);
    return code;
}

pages_code pages_worker_open(pages *store, pages_worker **out_worker, pages_error *out_error) {
    pages_worker *worker = calloc(1, sizeof *worker);
    if (worker == NULL) {
        engine_say(engine_text_of(out_error), "no memory");
        return PAGES_SYSTEM;
    }
    worker->store = store;
    worker->channel = pages_channel_open(store->device, out_error);
    if (worker->channel == NULL) {
        free(worker);
        return PAGES_SYSTEM;
    }
    *out_worker = worker;
    return PAGES_OK;
}

void pages_worker_close(pages_worker *worker) {
    if (worker != NULL) {
        pages_channel_close(worker->channel);
        free(worker);
    }
}

uint64_t pages_count(const pages *store) {
    return store->page_count;
}

pages_counters pages_count_work(pages *store) {
    (void)pthread_mutex_lock(&store->lock);
    pages_counters counters = store->counters;
    (void)pthread_mutex_unlock(&store->lock);
    return counters;
}

const char *pages_failure(const pages *store) {
    return store->failure.text;
}
