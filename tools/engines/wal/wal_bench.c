#define _GNU_SOURCE  // usleep

#include "wal_bench.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "kaio/safe/observe.h"

static int64_t now_ns(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

struct writer {
    pthread_t thread;
    wal *log;
    uint32_t record_bytes;
    int64_t end_ns;
    uint64_t count;
    wal_code code;
    kaio_latency latency;
};

static void *append_until_the_end(void *argument) {
    struct writer *writer = argument;
    uint8_t *record = calloc(1, writer->record_bytes + 1);
    int64_t before_ns = now_ns();
    while (record != NULL && writer->code == WAL_OK && before_ns < writer->end_ns) {
        uint64_t number = 0;
        writer->code = wal_append(writer->log, record, writer->record_bytes, &number);
        if (writer->code == WAL_LOG_FULL) {  // nobody wants the old ones
            wal_trim(writer->log, wal_durable_number(writer->log));
            (void)usleep(100);
            writer->code = WAL_OK;
            continue;
        }
        int64_t after_ns = now_ns();
        ++writer->latency.counts[kaio_latency_bucket_from_ns(after_ns - before_ns)];
        ++writer->count;
        before_ns = after_ns;
        if (number % 1024 == 0) {
            wal_trim(writer->log, number);
        }
    }
    free(record);
    return NULL;
}

static double quantile_us(const kaio_latency *latency, uint32_t quantile_ppm) {
    int64_t ns = 0;
    return kaio_status_is_ok(kaio_latency_quantile(latency, quantile_ppm, &ns)) ? (double)ns / 1000
                                                                                : 0;
}

static void report(const struct writer *writers, const struct wal_bench_options *bench,
                   wal_counters counters, double seconds) {
    kaio_latency all = {{0}};
    uint64_t count = 0;
    for (uint32_t i = 0; i < bench->thread_count; ++i) {
        (void)!kaio_status_is_ok(kaio_latency_merge(&all, &writers[i].latency));
        count += writers[i].count;
    }
    (void)printf("{\"threads\": %" PRIu32 ", \"record_bytes\": %" PRIu32
                 ", \"appends_per_s\": %.0f, \"commits_per_s\": %.0f, \"p50_us\": %.1f, "
                 "\"p99_us\": %.1f}\n",
                 bench->thread_count, bench->record_bytes, (double)count / seconds,
                 (double)counters.commit_count / seconds, quantile_us(&all, 500000),
                 quantile_us(&all, 990000));
}

static bool run(wal *log, const struct wal_bench_options *bench, wal_error *out_error) {
    struct writer *writers = calloc(bench->thread_count, sizeof *writers);
    bool is_good = writers != NULL && wal_start(log) == WAL_OK;
    int64_t start_ns = now_ns();
    uint32_t started_count = 0;
    for (; is_good && started_count < bench->thread_count; ++started_count) {
        struct writer *writer = &writers[started_count];
        writer->log = log;
        writer->record_bytes = bench->record_bytes;
        writer->end_ns = start_ns + (int64_t)bench->seconds * 1000000000;
        if (pthread_create(&writer->thread, NULL, append_until_the_end, writer) != 0) {
            break;
        }
    }
    is_good &= started_count == bench->thread_count;
    (void)snprintf(out_error->text, sizeof out_error->text, "no memory, or no thread");
    for (uint32_t i = 0; i < started_count; ++i) {
        (void)pthread_join(writers[i].thread, NULL);
        if (writers[i].code != WAL_OK) {
            is_good = false;
            (void)snprintf(out_error->text, sizeof out_error->text, "%s",
                           writers[i].code == WAL_FAILED ? wal_failure(log) : "too large");
        }
    }
    if (is_good) {
        report(writers, bench, wal_count(log), (double)(now_ns() - start_ns) / 1e9);
    }
    free(writers);
    return is_good;
}

bool wal_bench(const wal_options *options, const struct wal_bench_options *bench,
               wal_error *out_error) {
    wal_options made = *options;
    made.is_new = true;
    wal *log;
    wal_recovery recovery;
    if (wal_open(&made, NULL, NULL, &log, &recovery, out_error) != WAL_OK) {
        return false;
    }
    bool is_good = run(log, bench, out_error);
    wal_abandon(log);
    return is_good;
}
