// kaio/safe/analysis.h: what static analysers are told about ownership. KAIO_ANALYZE includes it.
//
//   gcc -O2 -fanalyzer -DKAIO_ANALYZE ...       clang --analyze -DKAIO_ANALYZE ...
// A handle is no memory, so an analyser knows nothing of its end. Here the calls that make, give
// away and end objects become small models on a pretended allocator, and what leaks, ends twice or
// is used when it is gone becomes a finding. What is built so does not link. KAIO_ANALYZE=2 takes
// it that every completion has a buffer: for code without sync and poll.

#ifndef KAIO_SAFE_ANALYSIS_H_
#define KAIO_SAFE_ANALYSIS_H_

#include "kaio/safe/base.h"
#include "kaio/safe/buffer.h"
#include "kaio/safe/file.h"
#include "kaio/safe/handle.h"
#include "kaio/safe/poll.h"
#include "kaio/safe/queue.h"
#include "kaio/safe/read.h"
#include "kaio/safe/status.h"
#include "kaio/safe/sync.h"
#include "kaio/safe/write.h"

// clang 14 knows ownership only of memory that its own model of malloc(3) has; gcc pairs any two.
#ifdef __clang__
#    define KAIO_MODEL_ENDS __attribute__((ownership_takes(malloc, 1)))
#    define KAIO_MODEL_ENDED_BY(end) __attribute__((ownership_returns(malloc)))
#else
#    define KAIO_MODEL_ENDS
#    define KAIO_MODEL_ENDED_BY(end) __attribute__((malloc(end, 1)))
#endif

// clang 14 does not see the cleanup attribute. What is static has no end of scope to leak at.
#ifdef __clang__
#    undef KAIO_SCOPED
#    define KAIO_SCOPED(type) static type *
#endif

KAIO_BEGIN_DECLS

// ---- what the models are made of; none of these is defined ----

// Either answer may come.
bool kaio_model_perhaps_(void);

// Looks at a handle and keeps nothing of it: NULL, and one that is gone, is a finding.
bool kaio_model_is_good_(const void *object) __attribute__((pure, nonnull));

// NULL is a finding.
void kaio_model_need_(const void *object) __attribute__((nonnull));

kaio_status kaio_model_failure_(void);
kaio_ticket kaio_model_ticket_(void);
kaio_completion kaio_model_completion_(void);
kaio_flush_report kaio_model_flush_report_(void);
kaio_destroy_report kaio_model_destroy_report_(void);
uint32_t kaio_model_ready_count_(void);
kaio_buffer *kaio_model_taken_buffer_(void);

static inline kaio_status kaio_model_refuse_(void) {
    kaio_status status = kaio_model_failure_();
    status.code = KAIO_BUSY;
    return status;
}

// gcc 12 loses what is in an element of an array: it would call it leaked where it is put there,
// and never set or NULL where it is read.
#if __GNUC__ >= 12
#    pragma GCC diagnostic push
#    pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"
#    pragma GCC diagnostic ignored "-Wanalyzer-null-argument"
#    pragma GCC diagnostic ignored "-Wanalyzer-use-of-uninitialized-value"
#endif

// For each kind: how it begins; drop; how it is given away, which NULL must not be; and close,
// which may answer that nothing has ended.
#define KAIO_MODEL_(kind)                                                                       \
    void kaio_model_##kind##_end_(kaio_##kind *object) KAIO_MODEL_ENDS;                         \
    kaio_##kind *kaio_model_##kind##_make_(void) KAIO_MODEL_ENDED_BY(kaio_model_##kind##_end_); \
    static inline kaio_status kaio_model_##kind##_begin_(kaio_##kind **out_object) {            \
        kaio_##kind *made = KAIO_NULL;                                                          \
        if (out_object == KAIO_NULL) {                                                          \
            return kaio_model_refuse_();                                                        \
        }                                                                                       \
        made = kaio_model_##kind##_make_();                                                     \
        if (made == KAIO_NULL) {                                                                \
            return kaio_model_refuse_();                                                        \
        }                                                                                       \
        *out_object = made;                                                                     \
        return kaio_status_ok();                                                                \
    }                                                                                           \
    static inline void kaio_model_##kind##_drop_(kaio_##kind **move_object) {                   \
        if (move_object != KAIO_NULL) {                                                         \
            kaio_##kind *object = *move_object;                                                 \
            *move_object = KAIO_NULL;                                                           \
            kaio_model_##kind##_end_(object);                                                   \
        }                                                                                       \
    }                                                                                           \
    static inline void kaio_model_##kind##_give_(kaio_##kind **move_object) {                   \
        KAIO_CHECK_NOT_MOVED(*move_object);                                                     \
        kaio_model_need_(*move_object);                                                         \
        kaio_model_##kind##_drop_(move_object);                                                 \
    }                                                                                           \
    static inline kaio_status kaio_model_##kind##_close_(kaio_##kind **move_object) {           \
        if (move_object == KAIO_NULL || *move_object == KAIO_NULL || kaio_model_perhaps_()) {   \
            return kaio_model_refuse_();                                                        \
        }                                                                                       \
        kaio_model_##kind##_give_(move_object);                                                 \
        return kaio_status_ok();                                                                \
    }

KAIO_MODEL_(queue)
KAIO_MODEL_(file)
KAIO_MODEL_(buffer)
KAIO_MODEL_(read)
KAIO_MODEL_(write)
KAIO_MODEL_(sync)
KAIO_MODEL_(poll)

#undef KAIO_MODEL_

#if __GNUC__ >= 12
#    pragma GCC diagnostic pop
#endif

// ---- the calls ----

static inline kaio_status kaio_model_queue_open(const kaio_queue_options *options,
                                                kaio_queue **out_queue) {
    (void)options;
    return kaio_model_queue_begin_(out_queue);
}

static inline kaio_status kaio_model_queue_close(kaio_queue **move_queue) {
    return kaio_model_queue_close_(move_queue);
}

static inline kaio_status kaio_model_queue_destroy(kaio_queue **move_queue,
                                                   kaio_lost_handler *on_lost, void *context,
                                                   kaio_destroy_report *out_report) {
    (void)on_lost;
    (void)context;
    kaio_status status = kaio_model_queue_close_(move_queue);
    if (kaio_status_is_ok(status)) {
        *out_report = kaio_model_destroy_report_();
    }
    return status;
}

static inline void kaio_model_queue_drop(kaio_queue **move_queue) {
    kaio_model_queue_drop_(move_queue);
}

static inline kaio_status kaio_model_queue_flush(kaio_queue *queue, kaio_flush_report *out_report) {
    if (!kaio_model_is_good_(queue)) {
        return kaio_model_refuse_();
    }
    *out_report = kaio_model_flush_report_();
    return kaio_status_ok();
}

static inline kaio_status kaio_model_queue_wait(kaio_queue *queue, uint32_t min_count,
                                                kaio_deadline deadline, uint32_t *out_ready_count) {
    (void)min_count;
    (void)deadline;
    if (!kaio_model_is_good_(queue) || kaio_model_perhaps_()) {
        return kaio_model_refuse_();
    }
    *out_ready_count = kaio_model_ready_count_();
    return kaio_status_ok();
}

static inline kaio_status kaio_model_queue_take(kaio_queue *queue,
                                                kaio_completion *out_completion) {
    if (!kaio_model_is_good_(queue) || kaio_model_perhaps_()) {
        return kaio_model_refuse_();
    }
    *out_completion = kaio_model_completion_();
#if defined(KAIO_ANALYZE) && KAIO_ANALYZE >= 2
    out_completion->buffer = kaio_model_buffer_make_();
#else
    out_completion->buffer = kaio_model_taken_buffer_();
#endif
    return kaio_status_ok();
}

static inline void kaio_model_completion_drop(kaio_completion *completion) {
    if (completion != KAIO_NULL) {
        kaio_model_buffer_drop_(&completion->buffer);
    }
}

static inline kaio_status kaio_model_file_open(const char *path, int flags, mode_t mode,
                                               kaio_file **out_file) {
    (void)path;
    (void)flags;
    (void)mode;
    return kaio_model_file_begin_(out_file);
}

static inline kaio_status kaio_model_file_adopt(int fd, kaio_file **out_file) {
    (void)fd;
    return kaio_model_file_begin_(out_file);
}

static inline kaio_status kaio_model_file_borrow(int fd, kaio_file **out_file) {
    (void)fd;
    return kaio_model_file_begin_(out_file);
}

static inline kaio_status kaio_model_file_close(kaio_file **move_file) {
    return kaio_model_file_close_(move_file);
}

static inline void kaio_model_file_drop(kaio_file **move_file) {
    kaio_model_file_drop_(move_file);
}

static inline kaio_status kaio_model_buffer_new(size_t size_bytes, size_t align_bytes,
                                                kaio_buffer **out_buffer) {
    (void)size_bytes;
    (void)align_bytes;
    return kaio_model_buffer_begin_(out_buffer);
}

// NULL for what is gone by move: to go on with the answer is a finding.
static inline uint8_t *kaio_model_buffer_as_bytes(const kaio_buffer *buffer) {
    return buffer == KAIO_NULL ? KAIO_NULL : kaio_buffer_as_bytes(buffer);
}

static inline void kaio_model_buffer_drop(kaio_buffer **move_buffer) {
    kaio_model_buffer_drop_(move_buffer);
}

static inline kaio_status kaio_model_read_new(kaio_queue *queue, kaio_file *file, kaio_range range,
                                              kaio_rw_flags flags, kaio_buffer **move_buffer,
                                              kaio_read **out_read) {
    (void)range;
    (void)flags;
    if (!kaio_model_is_good_(queue) || !kaio_model_is_good_(file) || move_buffer == KAIO_NULL ||
        *move_buffer == KAIO_NULL) {
        return kaio_model_refuse_();
    }
    kaio_status status = kaio_model_read_begin_(out_read);
    if (kaio_status_is_ok(status)) {
        kaio_model_buffer_drop_(move_buffer);
    }
    return status;
}

static inline kaio_ticket kaio_model_read_push(kaio_read **move_read, uint64_t user) {
    (void)user;
    kaio_model_read_give_(move_read);
    return kaio_model_ticket_();
}

static inline kaio_status kaio_model_read_abandon(kaio_read **move_read, kaio_buffer **out_buffer) {
    kaio_model_read_drop_(move_read);
    return kaio_model_buffer_begin_(out_buffer);
}

static inline void kaio_model_read_drop(kaio_read **move_read) {
    kaio_model_read_drop_(move_read);
}

static inline kaio_status kaio_model_read_start(kaio_queue *queue, kaio_file *file,
                                                kaio_range range, kaio_rw_flags flags,
                                                uint64_t user, kaio_buffer **move_buffer,
                                                kaio_ticket *out_ticket) {
    (void)range;
    (void)flags;
    (void)user;
    if (!kaio_model_is_good_(queue) || !kaio_model_is_good_(file) || move_buffer == KAIO_NULL ||
        *move_buffer == KAIO_NULL || kaio_model_perhaps_()) {
        return kaio_model_refuse_();
    }
    kaio_model_buffer_drop_(move_buffer);
    *out_ticket = kaio_model_ticket_();
    return kaio_status_ok();
}

static inline kaio_status kaio_model_write_new(kaio_queue *queue, kaio_file *file, kaio_range range,
                                               kaio_rw_flags flags, kaio_buffer **move_buffer,
                                               kaio_write **out_write) {
    (void)range;
    (void)flags;
    if (!kaio_model_is_good_(queue) || !kaio_model_is_good_(file) || move_buffer == KAIO_NULL ||
        *move_buffer == KAIO_NULL) {
        return kaio_model_refuse_();
    }
    kaio_status status = kaio_model_write_begin_(out_write);
    if (kaio_status_is_ok(status)) {
        kaio_model_buffer_drop_(move_buffer);
    }
    return status;
}

static inline kaio_ticket kaio_model_write_push(kaio_write **move_write, uint64_t user) {
    (void)user;
    kaio_model_write_give_(move_write);
    return kaio_model_ticket_();
}

static inline kaio_status kaio_model_write_abandon(kaio_write **move_write,
                                                   kaio_buffer **out_buffer) {
    kaio_model_write_drop_(move_write);
    return kaio_model_buffer_begin_(out_buffer);
}

static inline void kaio_model_write_drop(kaio_write **move_write) {
    kaio_model_write_drop_(move_write);
}

static inline kaio_status kaio_model_write_start(kaio_queue *queue, kaio_file *file,
                                                 kaio_range range, kaio_rw_flags flags,
                                                 uint64_t user, kaio_buffer **move_buffer,
                                                 kaio_ticket *out_ticket) {
    (void)range;
    (void)flags;
    (void)user;
    if (!kaio_model_is_good_(queue) || !kaio_model_is_good_(file) || move_buffer == KAIO_NULL ||
        *move_buffer == KAIO_NULL || kaio_model_perhaps_()) {
        return kaio_model_refuse_();
    }
    kaio_model_buffer_drop_(move_buffer);
    *out_ticket = kaio_model_ticket_();
    return kaio_status_ok();
}

static inline kaio_status kaio_model_sync_new(kaio_queue *queue, kaio_file *file,
                                              kaio_sync_kind kind, kaio_sync **out_sync) {
    (void)kind;
    if (!kaio_model_is_good_(queue) || !kaio_model_is_good_(file)) {
        return kaio_model_refuse_();
    }
    return kaio_model_sync_begin_(out_sync);
}

static inline kaio_ticket kaio_model_sync_push(kaio_sync **move_sync, uint64_t user) {
    (void)user;
    kaio_model_sync_give_(move_sync);
    return kaio_model_ticket_();
}

static inline kaio_status kaio_model_sync_abandon(kaio_sync **move_sync) {
    kaio_model_sync_drop_(move_sync);
    return kaio_model_perhaps_() ? kaio_status_ok() : kaio_model_refuse_();
}

static inline void kaio_model_sync_drop(kaio_sync **move_sync) {
    kaio_model_sync_drop_(move_sync);
}

static inline kaio_status kaio_model_poll_new(kaio_queue *queue, kaio_file *file,
                                              kaio_poll_events events, kaio_poll **out_poll) {
    (void)events;
    if (!kaio_model_is_good_(queue) || !kaio_model_is_good_(file)) {
        return kaio_model_refuse_();
    }
    return kaio_model_poll_begin_(out_poll);
}

static inline kaio_ticket kaio_model_poll_push(kaio_poll **move_poll, uint64_t user) {
    (void)user;
    kaio_model_poll_give_(move_poll);
    return kaio_model_ticket_();
}

static inline kaio_status kaio_model_poll_abandon(kaio_poll **move_poll) {
    kaio_model_poll_drop_(move_poll);
    return kaio_model_perhaps_() ? kaio_status_ok() : kaio_model_refuse_();
}

static inline void kaio_model_poll_drop(kaio_poll **move_poll) {
    kaio_model_poll_drop_(move_poll);
}

KAIO_END_DECLS

#define kaio_queue_open kaio_model_queue_open
#define kaio_queue_close kaio_model_queue_close
#define kaio_queue_destroy kaio_model_queue_destroy
#define kaio_queue_drop kaio_model_queue_drop
#define kaio_queue_flush kaio_model_queue_flush
#define kaio_queue_wait kaio_model_queue_wait
#define kaio_queue_take kaio_model_queue_take
#define kaio_completion_drop kaio_model_completion_drop
#define kaio_file_open kaio_model_file_open
#define kaio_file_adopt kaio_model_file_adopt
#define kaio_file_borrow kaio_model_file_borrow
#define kaio_file_close kaio_model_file_close
#define kaio_file_drop kaio_model_file_drop
#define kaio_buffer_new kaio_model_buffer_new
#define kaio_buffer_as_bytes kaio_model_buffer_as_bytes
#define kaio_buffer_drop kaio_model_buffer_drop
#define kaio_read_new kaio_model_read_new
#define kaio_read_push kaio_model_read_push
#define kaio_read_abandon kaio_model_read_abandon
#define kaio_read_drop kaio_model_read_drop
#define kaio_read_start kaio_model_read_start
#define kaio_write_new kaio_model_write_new
#define kaio_write_push kaio_model_write_push
#define kaio_write_abandon kaio_model_write_abandon
#define kaio_write_drop kaio_model_write_drop
#define kaio_write_start kaio_model_write_start
#define kaio_sync_new kaio_model_sync_new
#define kaio_sync_push kaio_model_sync_push
#define kaio_sync_abandon kaio_model_sync_abandon
#define kaio_sync_drop kaio_model_sync_drop
#define kaio_poll_new kaio_model_poll_new
#define kaio_poll_push kaio_model_poll_push
#define kaio_poll_abandon kaio_model_poll_abandon
#define kaio_poll_drop kaio_model_poll_drop

#endif  // KAIO_SAFE_ANALYSIS_H_
