#define _POSIX_C_SOURCE 200809L  // clock_gettime

#include "pages_bench.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "kaio/safe/observe.h"

static int64_t now_ns(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

struct client {
    pthread_t thread;
    pages *store;
    uint32_t write_percent;
    int64_t end_ns;
    uint64_t random;
    uint64_t count;
    pages_code code;
    pages_error error;
    kaio_latency latency;
};

// next_random is xorshift64*.
static uint64_t next_random(uint64_t *state) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

static void *use_until_the_end(void *argument) {
    struct client *client = argument;
    uint8_t content[PAGES_CONTENT_BYTES] = {0};
    pages_worker *worker;
    client->code = pages_worker_open(client->store, &worker, &client->error);
    if (client->code != PAGES_OK) {
        return NULL;
    }
    int64_t before_ns = now_ns();
    while (client->code == PAGES_OK && before_ns < client->end_ns) {
        uint64_t number = next_random(&client->random) % pages_count(client->store);
        bool is_write = next_random(&client->random) % 100 < client->write_percent;
        client->code =
            is_write ? pages_write(worker, number, content) : pages_read(worker, number, content);
        int64_t after_ns = now_ns();
        ++client->latency.counts[kaio_latency_bucket_from_ns(after_ns - before_ns)];
        ++client->count;
        before_ns = after_ns;
    }
    pages_worker_close(worker);
    return NULL;
}

static double quantile_us(const kaio_latency *latency, uint32_t quantile_ppm) {
    int64_t ns = 0;
    bool is_known = kaio_status_is_ok(kaio_latency_quantile(latency, quantile_ppm, &ns));
    return is_known ? (double)ns / 1000 : 0;
}

static void report(const struct client *clients, const struct pages_bench_options *bench,
                   pages_counters counters, double seconds) {
    kaio_latency all = {{0}};
    uint64_t count = 0;
    for (uint32_t i = 0; i < bench->thread_count; ++i) {
        (void)!kaio_status_is_ok(kaio_latency_merge(&all, &clients[i].latency));
        count += clients[i].count;
    }
    (void)printf("{\"threads\": %" PRIu32 ", \"operations_per_s\": %.0f, \"hits\": %" PRIu64
                 ", \"misses\": %" PRIu64 ", \"written\": %" PRIu64 ", \"waited\": %" PRIu64
                 ", \"p50_us\": %.1f, \"p99_us\": %.1f}\n",
                 bench->thread_count, (double)count / seconds, counters.hit_count,
                 counters.miss_count, counters.written_count, counters.waited_count,
                 quantile_us(&all, 500000), quantile_us(&all, 990000));
}

static bool run(pages *store, const struct pages_bench_options *bench, pages_error *out_error) {
    struct client *clients = calloc(bench->thread_count, sizeof *clients);
    int64_t start_ns = now_ns();
    uint32_t started_count = 0;
    (void)snprintf(out_error->text, sizeof out_error->text, "no memory, or no thread");
    for (; clients != NULL && started_count < bench->thread_count; ++started_count) {
        struct client *client = &clients[started_count];
        client->store = store;
        client->write_percent = bench->write_percent;
        client->random = started_count + 1;
        client->end_ns = start_ns + (int64_t)bench->seconds * 1000000000;
        if (pthread_create(&client->thread, NULL, use_until_the_end, client) != 0) {
            break;
        }
    }
    bool is_good = clients != NULL && started_count == bench->thread_count;
    for (uint32_t i = 0; i < started_count; ++i) {
        (void)pthread_join(clients[i].thread, NULL);
        if (clients[i].code != PAGES_OK) {
            is_good = false;
            (void)snprintf(
                out_error->text, sizeof out_error->text, "%s",
                clients[i].code == PAGES_SYSTEM ? clients[i].error.text : pages_failure(store));
        }
    }
    if (is_good) {
        report(clients, bench, pages_count_work(store), (double)(now_ns() - start_ns) / 1e9);
    }
    free(clients);
    return is_good;
}

bool pages_bench(const pages_options *options, const struct pages_bench_options *bench,
                 pages_error *out_error) {
    pages *store;
    if (pages_open(options, &store, out_error) != PAGES_OK) {
        return false;
    }
    bool is_good = run(store, bench, out_error);
    return pages_close(store) == PAGES_OK && is_good;
}
