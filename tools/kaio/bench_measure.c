#define _POSIX_C_SOURCE 200809L  // clock_gettime

#include "bench_measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_crew.h"
#include "bench_window.h"
#include "message.h"
#include "progress.h"

// What is open for the time of an attempt.
struct team {
    const struct bench_row *row;
    struct bench_work works[BENCH_ENTRIES_MAX];
    struct bench_crew *crews[BENCH_ENTRIES_MAX];  // NULL: it cannot take part
    uint64_t counts[BENCH_ENTRIES_MAX];           // of operations, that fill its slice
    uint32_t order[BENCH_ENTRIES_MAX];            // of this round
    uint64_t random;
    uint64_t offsets[BENCH_OFFSET_COUNT];
};

// ---- one slice ----

struct spent {
    int64_t wall_ns;
    int64_t cpu_ns;
};

// The first part of a slice does not count: it brings back what the peer before it drove out of the
// caches.
enum { WARM_UP_PART = 8 };

static bool run_slice(struct team *team, uint32_t entry, kaio_latency *latency,
                      struct spent *out_spent) {
    uint64_t warm_up_count =
        team->counts[entry] / WARM_UP_PART / team->row->depth * team->row->depth;
    if (warm_up_count > 0 && !bench_crew_run(team->crews[entry], warm_up_count, NULL)) {
        return message_error("%s, %s: it failed", team->row->name, team->row->entries[entry].label);
    }
    int64_t wall_ns = bench_clock_ns(CLOCK_MONOTONIC);
    int64_t cpu_ns = bench_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    bool is_good = bench_crew_run(team->crews[entry], team->counts[entry], latency);
    out_spent->cpu_ns = bench_clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_ns;
    out_spent->wall_ns = bench_clock_ns(CLOCK_MONOTONIC) - wall_ns;
    return is_good ||
           message_error("%s, %s: it failed", team->row->name, team->row->entries[entry].label);
}

// scale sets how many operations fill `slice_ns`, by what the last ones took.
static void scale(struct team *team, uint32_t entry, const struct spent *spent, int64_t slice_ns) {
    uint64_t depth = team->row->depth;
    double each_ns = (double)spent->wall_ns / (double)team->counts[entry];
    double count = (double)slice_ns / (each_ns < 1 ? 1 : each_ns);
    uint64_t whole = (uint64_t)count / depth * depth;
    team->counts[entry] = whole < depth ? depth : whole;
}

// calibrate finds that out, and warms up. Twice, since the first time is far off.
static bool calibrate(struct team *team, uint32_t entry, int64_t slice_ns) {
    struct spent spent = {0};
    team->counts[entry] = team->row->depth;
    for (int i = 0; i < 3; ++i) {
        if (!run_slice(team, entry, NULL, &spent)) {
            return false;
        }
        scale(team, entry, &spent, i == 2 ? slice_ns : slice_ns / 4);
    }
    return true;
}

// ---- an attempt ----

static void close_team(struct team *team) {
    for (uint32_t i = 0; i < team->row->entry_count; ++i) {
        bench_crew_close(team->crews[i]);
    }
}

static bool open_team(struct team *team, const struct bench_place *place,
                      struct bench_attempt *attempt, int64_t slice_ns) {
    const struct bench_row *row = team->row;
    for (uint32_t i = 0; i < row->entry_count; ++i) {
        const struct bench_entry *entry = &row->entries[i];
        team->works[i] = bench_work_make(place, row->source, row->kind, row->size_bytes, row->depth,
                                         team->offsets);
        if (entry->variant.is_huge && !place->is_huge) {
            (void)bench_peer_cannot(attempt->results[i].why, "the system gave no pages of 2 MiB");
            continue;
        }
        bench_work_use_memory(&team->works[i], place, entry->variant.is_huge);
        team->crews[i] =
            bench_crew_open(entry->peer, &team->works[i], &entry->variant, attempt->results[i].why);
        if (team->crews[i] != NULL && !calibrate(team, i, slice_ns)) {
            return false;
        }
    }
    return team->crews[0] != NULL ||
           message_error("%s: %s: %s", row->name, row->entries[0].label, attempt->results[0].why);
}

// shuffle draws an order anew: where one peer always ran behind the same other one, what that
// leaves behind would count, too.
static void shuffle(struct team *team) {
    uint32_t count = team->row->entry_count;
    for (uint32_t i = 0; i < count; ++i) {
        uint32_t place = (uint32_t)(bench_work_random(&team->random) % (i + 1));
        team->order[i] = team->order[place];
        team->order[place] = i;
    }
}

static bool run_round(struct team *team, uint32_t round, struct bench_attempt *attempt,
                      int64_t slice_ns) {
    const struct bench_row *row = team->row;
    shuffle(team);
    for (uint32_t k = 0; k < row->entry_count; ++k) {
        uint32_t i = team->order[k];
        struct bench_result *result = &attempt->results[i];
        if (team->crews[i] == NULL) {
            continue;
        }
        struct spent spent = {0};
        if (!run_slice(team, i, row->clock == BENCH_WALL ? &result->latency : NULL, &spent)) {
            return false;
        }
        double count = (double)team->counts[i];
        result->operation_count += team->counts[i];
        result->wall_ns[round] = (double)spent.wall_ns / count;
        result->cpu_ns[round] = (double)spent.cpu_ns / count;
        scale(team, i, &spent, slice_ns);
    }
    return true;
}

// tell_progress says how far it is.
static void tell_progress(const struct bench_row *row, uint32_t round, uint32_t round_count) {
    static char line[80];
    (void)snprintf(line, sizeof line, "%s: round %u of %u", row->name, round + 1, round_count);
    if (round == 0) {
        progress_begin(line, 0);
    }
    progress_draw();
}

static bool measure_once(const struct bench_row *row, const struct bench_place *place,
                         const struct bench_effort *effort, struct bench_attempt *attempt) {
    bool is_wall = row->clock == BENCH_WALL;
    int64_t slice_ns = is_wall ? effort->wall_slice_ns : effort->cpu_slice_ns;
    struct team *team = calloc(1, sizeof *team);
    if (team == NULL) {
        return message_error("no memory");
    }
    team->row = row;
    team->random = 1;
    attempt->round_count = is_wall ? effort->wall_round_count : effort->cpu_round_count;
    tell_progress(row, 0, attempt->round_count);
    bool is_good = open_team(team, place, attempt, slice_ns);
    for (uint32_t round = 0; is_good && round < attempt->round_count; ++round) {
        tell_progress(row, round, attempt->round_count);
        is_good = run_round(team, round, attempt, slice_ns) &&
                  (*effort->is_stopped == 0 || message_error("stopped by a signal"));
    }
    progress_end();
    close_team(team);
    free(team);
    return is_good;
}

bool bench_measure(const struct bench_row *row, const struct bench_place *place,
                   const struct bench_effort *effort, struct bench_report *out_report) {
    *out_report = (struct bench_report){.row = row};
    while (out_report->attempt_count < effort->attempt_count) {
        struct bench_attempt *attempt = calloc(1, sizeof *attempt);
        if (attempt == NULL || !measure_once(row, place, effort, attempt)) {
            free(attempt);
            bench_report_end(out_report);
            return false;
        }
        attempt->control = bench_ratio(attempt, 1, row->clock).median;
        attempt->counts =
            attempt->control >= 1 - row->margin && attempt->control <= 1 + row->margin;
        out_report->attempts[out_report->attempt_count++] = attempt;
        if (attempt->counts) {
            break;
        }
    }
    return true;
}

void bench_report_end(struct bench_report *report) {
    for (uint32_t i = 0; i < report->attempt_count; ++i) {
        free(report->attempts[i]);
    }
    report->attempt_count = 0;
}

// ---- figures ----

static int compare(const void *first, const void *second) {
    double a = *(const double *)first;
    double b = *(const double *)second;
    return (a > b) - (a < b);
}

// at is what lies at `part` of sorted numbers, between two where it does.
static double at(const double *numbers, uint32_t count, double part) {
    double place = part * (count - 1);
    uint32_t below = (uint32_t)place;
    uint32_t above = below + 1 < count ? below + 1 : below;
    return numbers[below] + (place - below) * (numbers[above] - numbers[below]);
}

static struct bench_quartiles quartiles_of(double *numbers, uint32_t count) {
    qsort(numbers, count, sizeof *numbers, compare);
    return (struct bench_quartiles){at(numbers, count, 0.25), at(numbers, count, 0.5),
                                    at(numbers, count, 0.75)};
}

static const double *times_of(const struct bench_attempt *attempt, uint32_t entry,
                              enum bench_clock clock) {
    const struct bench_result *result = &attempt->results[entry];
    return clock == BENCH_CPU ? result->cpu_ns : result->wall_ns;
}

struct bench_quartiles bench_ratio(const struct bench_attempt *attempt, uint32_t entry,
                                   enum bench_clock clock) {
    const double *base = times_of(attempt, 0, clock);
    const double *own = times_of(attempt, entry, clock);
    double ratios[BENCH_ROUNDS_MAX];
    for (uint32_t i = 0; i < attempt->round_count; ++i) {
        ratios[i] = own[i] > 0 ? base[i] / own[i] : 0;
    }
    return quartiles_of(ratios, attempt->round_count);
}

struct bench_quartiles bench_time_ns(const struct bench_attempt *attempt, uint32_t entry,
                                     enum bench_clock clock) {
    double times[BENCH_ROUNDS_MAX];
    memcpy(times, times_of(attempt, entry, clock), attempt->round_count * sizeof *times);
    return quartiles_of(times, attempt->round_count);
}

double bench_quantile_us(const kaio_latency *latency, double quantile) {
    double wanted = quantile * (double)kaio_latency_total(latency);
    double below = 0;
    for (uint32_t i = 0; i < KAIO_LATENCY_BUCKET_COUNT; ++i) {
        double count = (double)latency->counts[i];
        if (count > 0 && below + count >= wanted) {
            double first = (double)kaio_latency_bucket_first_ns(i);
            double width = (double)kaio_latency_bucket_first_ns(i + 1) - first;
            return (first + width * (wanted - below) / count) / 1000;
        }
        below += count;
    }
    return 0;
}
