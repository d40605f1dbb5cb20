// pages.h: a fixed-frame page store, on kaio.
//
// A file of pages, and a cache of frames in one piece of memory, registered once as a region. Any
// number of threads read and write pages, each through a worker with a queue of its own; one
// thread, the cleaner, writes back what was changed. A page that is read must have the checksum
// that was written with it, and the one that the store remembers.
//
//   pages_open -> pages_worker_open (in each thread) -> pages_read, pages_write, pages_scan, ...
//   pages_flush -> pages_worker_close -> pages_close
// Threads: a worker is its thread's; pages_open and pages_close while there is none.

#ifndef KAIO_TOOLS_ENGINES_PAGES_PAGES_H_
#define KAIO_TOOLS_ENGINES_PAGES_PAGES_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGES_PAGE_BYTES 4096u
#define PAGES_HEAD_BYTES 16u
#define PAGES_CONTENT_BYTES (PAGES_PAGE_BYTES - PAGES_HEAD_BYTES)

typedef struct pages_options {
    const char *path;
    uint64_t page_count;   // of a new file; 0: what the file has
    uint32_t frame_count;  // at least 16; 0: 1024
    bool is_new;           // make the file, which must not exist; all pages are 0
    bool is_buffered;      // through the page cache instead of O_DIRECT
} pages_options;

typedef enum pages_code {
    PAGES_OK = 0,
    PAGES_RANGE = 1,    // there is no such page
    PAGES_DAMAGED = 2,  // a page is not as it was written
    PAGES_FAILED = 3,   // a read, write or sync failed, now or before
    PAGES_SYSTEM = 4    // no file, no memory, no kernel AIO: the error tells
} pages_code;

typedef struct pages_error {
    char text[512];
} pages_error;

typedef struct pages_counters {
    uint64_t hit_count;
    uint64_t miss_count;        // reads of one page
    uint64_t read_ahead_count;  // pages that a scan read, several at once
    uint64_t written_count;     // pages that the cleaner wrote
    uint64_t skipped_count;     // frames that eviction passed over: in use, changed, being moved
    uint64_t waited_count;      // times that no frame could be had at once
} pages_counters;

typedef struct pages pages;
typedef struct pages_worker pages_worker;

pages_code pages_open(const pages_options *options, pages **out_store, pages_error *out_error);

// pages_close writes back and syncs. NULL: does nothing.
pages_code pages_close(pages *store);

// pages_worker_open makes a worker for the calling thread.
pages_code pages_worker_open(pages *store, pages_worker **out_worker, pages_error *out_error);
void pages_worker_close(pages_worker *worker);

// pages_read copies the content of page `number`, PAGES_CONTENT_BYTES.
pages_code pages_read(pages_worker *worker, uint64_t number, void *out_bytes);

// pages_write changes it. Durable with the next pages_flush that answers OK.
pages_code pages_write(pages_worker *worker, uint64_t number, const void *bytes);

// Called for each page. The bytes live until it returns.
typedef void pages_handler(void *context, uint64_t number, const uint8_t *bytes);

// pages_scan reads the pages [first, first + count), those that are missing several at once.
pages_code pages_scan(pages_worker *worker, uint64_t first, uint64_t count, pages_handler *handler,
                      void *context);

// pages_flush makes everything durable that was written before.
pages_code pages_flush(pages *store);

uint64_t pages_count(const pages *store);
pages_counters pages_count_work(pages *store);

// pages_failure tells what failed, after FAILED or DAMAGED.
const char *pages_failure(const pages *store);

#endif  // KAIO_TOOLS_ENGINES_PAGES_PAGES_H_
