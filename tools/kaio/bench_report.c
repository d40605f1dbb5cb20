#define _POSIX_C_SOURCE 200809L  // uname

#include "bench_report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "message.h"

// A number that grows when a key changes its meaning or goes; new keys may come without.
enum { FORMAT_VERSION = 1 };

static const struct bench_attempt *last_of(const struct bench_report *report) {
    return report->attempts[report->attempt_count - 1];
}

// ---- for people ----

static void print_latency(const kaio_latency *latency) {
    if (kaio_latency_total(latency) > 0) {
        (void)printf("  %7.1f %7.1f %7.1f %7.0f", bench_quantile_us(latency, 0.5),
                     bench_quantile_us(latency, 0.99), bench_quantile_us(latency, 0.999),
                     bench_quantile_us(latency, 1));
    }
}

void bench_print(const struct bench_report *report) {
    const struct bench_row *row = report->row;
    const struct bench_attempt *attempt = last_of(report);
    bool is_wall = row->clock == BENCH_WALL;
    (void)printf("%s: %s, %" PRIu32 " in flight, %s time\n", row->name, row->what, row->depth,
                 is_wall ? "wall" : "processor");
    (void)printf("  %-26s  speed  (quartiles)        ns each  %s%s\n", "", is_wall ? "cpu ns" : "",
                 is_wall ? "   p50 us     p99   p99.9     max" : "");
    for (uint32_t i = 0; i < row->entry_count; ++i) {
        const struct bench_result *result = &attempt->results[i];
        if (result->why[0] != '\0') {
            (void)printf("  %-26s  cannot: %s\n", row->entries[i].label, result->why);
            continue;
        }
        struct bench_quartiles ratio = bench_ratio(attempt, i, row->clock);
        (void)printf("  %-26s %6.2f  (%.2f to %.2f)  %12.0f", row->entries[i].label, ratio.median,
                     ratio.first, ratio.third, bench_time_ns(attempt, i, row->clock).median);
        if (is_wall) {
            (void)printf("  %6.0f", bench_time_ns(attempt, i, BENCH_CPU).median);
            print_latency(&result->latency);
        }
        (void)printf("\n");
    }
    if (!attempt->counts) {
        (void)printf("  DOES NOT COUNT: the control is %.3f, more than %.0f %% off, in %" PRIu32
                     " attempts\n",
                     attempt->control, 100 * row->margin, report->attempt_count);
    }
    (void)printf("\n");
    (void)fflush(stdout);
}

// ---- for programs ----

static json_t *numbers(const double *values, uint32_t count) {
    json_t *array = json_array();
    for (uint32_t i = 0; i < count; ++i) {
        (void)json_array_append_new(array, json_real(values[i]));
    }
    return array;
}

static json_t *quartiles(struct bench_quartiles values) {
    return json_pack("[f, f, f]", values.first, values.median, values.third);
}

static json_t *latency_object(const kaio_latency *latency) {
    if (kaio_latency_total(latency) == 0) {
        return json_null();
    }
    return json_pack("{s:I, s:f, s:f, s:f, s:f}", "count", (json_int_t)kaio_latency_total(latency),
                     "p50_us", bench_quantile_us(latency, 0.5), "p99_us",
                     bench_quantile_us(latency, 0.99), "p999_us", bench_quantile_us(latency, 0.999),
                     "max_us", bench_quantile_us(latency, 1));
}

static json_t *peer_object(const struct bench_row *row, const struct bench_attempt *attempt,
                           uint32_t entry) {
    const struct bench_result *result = &attempt->results[entry];
    const char *label = row->entries[entry].label;
    if (result->why[0] != '\0') {
        return json_pack("{s:s, s:s}", "peer", label, "cannot", result->why);
    }
    uint32_t count = attempt->round_count;
    return json_pack("{s:s, s:I, s:o, s:o, s:o, s:o, s:o}", "peer", label, "operations",
                     (json_int_t)result->operation_count, "speed",
                     quartiles(bench_ratio(attempt, entry, row->clock)), "cpu_speed",
                     quartiles(bench_ratio(attempt, entry, BENCH_CPU)), "latency",
                     latency_object(&result->latency), "wall_ns", numbers(result->wall_ns, count),
                     "cpu_ns", numbers(result->cpu_ns, count));
}

static json_t *attempt_object(const struct bench_row *row, const struct bench_attempt *attempt) {
    json_t *peers = json_array();
    for (uint32_t i = 0; i < row->entry_count; ++i) {
        (void)json_array_append_new(peers, peer_object(row, attempt, i));
    }
    return json_pack("{s:f, s:b, s:o}", "control", attempt->control, "counts", attempt->counts,
                     "peers", peers);
}

json_t *bench_json(const struct bench_report *report) {
    const struct bench_row *row = report->row;
    json_t *attempts = json_array();
    for (uint32_t i = 0; i < report->attempt_count; ++i) {
        (void)json_array_append_new(attempts, attempt_object(row, report->attempts[i]));
    }
    return json_pack("{s:s, s:s, s:i, s:i, s:s, s:f, s:o}", "row", row->name, "what", row->what,
                     "depth", (int)row->depth, "size_bytes", (int)row->size_bytes, "clock",
                     row->clock == BENCH_WALL ? "wall" : "cpu", "margin", row->margin, "attempts",
                     attempts);
}

json_t *bench_json_all(json_t *rows, const struct bench_place *place,
                       const struct bench_effort *effort) {
    struct utsname name;
    (void)uname(&name);
    return json_pack("{s:i, s:{s:s, s:s, s:i, s:b}, s:{s:I, s:I}, s:o}", "version", FORMAT_VERSION,
                     "machine", "kernel", name.release, "architecture", name.machine, "processors",
                     (int)sysconf(_SC_NPROCESSORS_ONLN), "has_2m_pages", place->is_huge, "slices",
                     "cpu_ns", (json_int_t)effort->cpu_slice_ns, "wall_ns",
                     (json_int_t)effort->wall_slice_ns, "rows", rows);
}

// ---- for plotters ----

// write_distribution writes one line for each bucket that has something in it.
static void write_distribution(FILE *file, const kaio_latency *latency) {
    double total = (double)kaio_latency_total(latency);
    uint64_t below = 0;
    double sum = 0;
    double squares = 0;
    double last = 0;
    (void)fprintf(file, "       Value     Percentile TotalCount 1/(1-Percentile)\n\n");
    for (uint32_t i = 0; i < KAIO_LATENCY_BUCKET_COUNT; ++i) {
        uint64_t count = latency->counts[i];
        if (count == 0) {
            continue;
        }
        below += count;
        double part = (double)below / total;
        last = (double)(kaio_latency_bucket_first_ns(i + 1) - 1) / 1000;
        double middle = ((double)kaio_latency_bucket_first_ns(i) / 1000 + last) / 2;
        sum += middle * (double)count;
        squares += middle * middle * (double)count;
        (void)fprintf(file, "%12.3f %2.12f %10" PRIu64, last, part, below);
        if (part < 1) {
            (void)fprintf(file, " %14.2f\n", 1 / (1 - part));
        } else {
            (void)fprintf(file, "\n");
        }
    }
    double mean = sum / total;
    double variance = squares / total - mean * mean;
    (void)fprintf(file, "#[Mean    = %12.3f, Variance       = %12.3f]\n", mean,
                  variance < 0 ? 0 : variance);
    (void)fprintf(file, "#[Max     = %12.3f, Total count    = %12.0f]\n", last, total);
    (void)fprintf(file, "#[Buckets = %12d, SubBuckets     = %12d]\n", 40, 8);
}

static bool write_histogram(const struct bench_report *report, uint32_t entry, const char *folder) {
    char path[4096];
    int length = snprintf(path, sizeof path, "%s/%s.%s.hgrm", folder, report->row->name,
                          report->row->entries[entry].label);
    if (length < 0 || (size_t)length >= sizeof path) {
        return message_os_error(folder, "make a name in it", ENAMETOOLONG);
    }
    for (char *c = path + strlen(folder) + 1; *c != '\0'; ++c) {
        if (*c == ' ' || *c == ',' || *c == '/') {
            *c = '_';
        }
    }
    FILE *file = fopen(path, "we");
    if (file == NULL) {
        return message_os_error(path, "open", errno);
    }
    write_distribution(file, &last_of(report)->results[entry].latency);
    return fclose(file) == 0 || message_os_error(path, "write", errno);
}

bool bench_write_histograms(const struct bench_report *report, const char *folder) {
    for (uint32_t i = 0; i < report->row->entry_count; ++i) {
        if (kaio_latency_total(&last_of(report)->results[i].latency) > 0 &&
            !write_histogram(report, i, folder)) {
            return false;
        }
    }
    return true;
}
