// The answer of -DCALL=... is not looked at.

#include "kaio/safe/kaio.hpp"

extern kaio::queue queue;
extern kaio::file file;
extern kaio::buffer buffer;
extern kaio::view view;
extern kaio::pool pool;
extern kaio::region region;
extern kaio::read reading;
extern kaio::write writing;
extern kaio::readv readving;
extern kaio::writev writeving;
extern kaio_segment *segments;
extern uint32_t segment_count;
extern kaio::sync syncing;
extern kaio::poll polling;
extern kaio::completion completion;
extern kaio_poll_events events;
extern kaio_cancel_answer answer;
extern kaio_range range;
extern kaio_rw_flags flags;
extern kaio_priority priority;
extern kaio_deadline deadline;
extern kaio_late late;
extern kaio_signals signals;
extern kaio_queue_options options;
extern kaio_flush_report flushed;
extern kaio_destroy_report destroyed;
extern kaio_queue_counts counts;
extern kaio_alignment alignment;
extern kaio_ticket ticket;
extern kaio_pool_options pool_options;
extern kaio_pool_counts pool_counts;
extern kaio_region_counts region_counts;
extern kaio_queue_counters counters;
extern kaio_latency latency;
extern uint8_t *bytes;
extern uint32_t ready;
extern int fd;
extern int32_t error;

extern kaio_run_report report;
extern struct nothing {
} handlers;

void ignored();

void ignored() {
#ifdef OK
    kaio_ignore(CALL);
#else
    CALL;
#endif
}
