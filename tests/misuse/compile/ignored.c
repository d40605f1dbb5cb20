// The answer of -DCALL=... is not looked at.

#include "kaio/safe/kaio.h"

extern kaio_queue *queue;
extern kaio_file *file;
extern kaio_buffer *buffer;
extern kaio_view *view;
extern kaio_readv *readingv;
extern kaio_writev *writingv;
extern kaio_segment *segments;
extern kaio_region *region;
extern kaio_pool *pool;
extern kaio_region_counts framed;
extern kaio_pool_counts pooled;
extern kaio_read *reading;
extern kaio_write *writing;
extern kaio_sync *syncing;
extern kaio_poll *polling;
extern kaio_poll_events events;
extern kaio_cancel_answer answer;
extern kaio_range range;
extern kaio_rw_flags flags;
extern kaio_priority priority;
extern kaio_deadline deadline;
extern kaio_late late;
extern kaio_queue_options options;
extern kaio_flush_report flushed;
extern kaio_destroy_report destroyed;
extern kaio_queue_counts counts;
extern kaio_queue_counters counters;
extern kaio_latency latency;
extern int64_t median_ns;
extern FILE *stream;
extern kaio_handlers handlers;
extern kaio_run_report ran;
extern kaio_signals signals;
extern kaio_completion completion;
extern kaio_alignment alignment;
extern kaio_ticket ticket;
extern uint32_t ready;
extern int fd;
extern int32_t error;

void ignored(void);

void ignored(void) {
#ifdef OK
    kaio_ignore(CALL);
#else
    CALL;
#endif
}
