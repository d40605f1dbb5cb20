#define _GNU_SOURCE  // argp.h's error_t; sigaction

#include "bench.h"

#include <argp.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_plot.h"
#include "bench_report.h"
#include "message.h"
#include "number.h"
#include "progress.h"

enum {
    DEFAULT_FILE_BYTES = 256 << 20,
    QUICK_FILE_BYTES = 64 << 20,
    FILE_MIN_BYTES = 32 << 20,
    ROWS_MAX = 64,
    MS = 1000000
};

enum key { KEY_JSON = 0x100, KEY_QUICK, KEY_LIST, KEY_HISTOGRAMS, KEY_LATENCIES, KEY_NO_PROGRESS };

struct arguments {
    struct bench_place place;
    struct bench_effort effort;
    bool is_quick;
    bool wants_json;
    bool wants_list;
    bool wants_latencies;
    bool is_plot;
    bool is_silent;
    const char *histograms;
    const char *words[ROWS_MAX];
    uint32_t word_count;
};

// ---- the command line ----

static void take_rounds(struct argp_state *state, struct bench_effort *effort, const char *text) {
    uint64_t count = 0;
    if (!number_parse(text, &count) || count < 3 || count > BENCH_ROUNDS_MAX) {
        argp_error(state, "--rounds=%s: a number from 3 to %d is needed", text, BENCH_ROUNDS_MAX);
    }
    effort->cpu_round_count = effort->wall_round_count = (uint32_t)count;
}

static void take_size(struct argp_state *state, struct bench_place *place, const char *text) {
    if (!size_parse(text, &place->size_bytes) || place->size_bytes < FILE_MIN_BYTES ||
        place->size_bytes % FILE_MIN_BYTES != 0 || place->size_bytes > (uint64_t)1 << 40) {
        argp_error(state, "--size=%s: a multiple of %dM up to 1024G is needed", text,
                   FILE_MIN_BYTES >> 20);
    }
}

static void take_word(struct argp_state *state, struct arguments *arguments, const char *word) {
    if (state->arg_num == 0 && strcmp(word, "plot") == 0) {
        arguments->is_plot = true;
    } else if (arguments->word_count == ROWS_MAX) {
        argp_error(state, "%s: more than %d names", word, ROWS_MAX);
    } else {
        arguments->words[arguments->word_count++] = word;
    }
}

static error_t parse(int key, char *argument, struct argp_state *state) {
    struct arguments *arguments = state->input;
    switch (key) {
        case 'f':
            arguments->place.folder = argument;
            return 0;
        case 'd':
            arguments->place.device = argument;
            return 0;
        case 'r':
            take_rounds(state, &arguments->effort, argument);
            return 0;
        case 's':
            take_size(state, &arguments->place, argument);
            return 0;
        case KEY_JSON:
            arguments->wants_json = true;
            return 0;
        case KEY_QUICK:
            arguments->is_quick = true;
            return 0;
        case KEY_LIST:
            arguments->wants_list = true;
            return 0;
        case KEY_HISTOGRAMS:
            arguments->histograms = argument;
            return 0;
        case KEY_LATENCIES:
            arguments->wants_latencies = true;
            return 0;
        case KEY_NO_PROGRESS:
            arguments->is_silent = true;
            return 0;
        case ARGP_KEY_ARG:
            take_word(state, arguments, argument);
            return 0;
        case ARGP_KEY_END:
            if (arguments->is_plot && arguments->word_count < 2) {
                argp_error(state, "plot: FILE.json and PICTURE are needed");
            }
            return 0;
        default:
            return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option option_list[] = {
    {"folder", 'f', "DIR", 0, "Make the files in DIR (.), which are gone afterwards", 0},
    {"size", 's', "SIZE", 0, "Of the file for direct transfers; M, G (256M)", 0},
    {"device", 'd', "PATH", 0, "Read this device, too: zram, loop, a disk", 0},
    {"rounds", 'r', "N", 0, "Run every peer N times for each row (31, or 21 on disks)", 0},
    {"quick", KEY_QUICK, NULL, 0, "A look, within a minute: good for nothing more", 0},
    {"json", KEY_JSON, NULL, 0, "Write everything that was measured as JSON", 0},
    {"histograms", KEY_HISTOGRAMS, "DIR", 0,
     "Write the latencies there, as HdrHistogram's plotters read them", 0},
    {"list", KEY_LIST, NULL, 0, "List the rows", 0},
    {"latencies", KEY_LATENCIES, NULL, 0, "Of plot: draw percentiles of one row, not speeds", 0},
    {"no-progress", KEY_NO_PROGRESS, NULL, 0, "No progress line, on a terminal either", 0},
    {0}};

static const char documentation[] =
    "Measure kaio beside libaio, io_uring, threads and plain reads, in one process."
    "\v"
    "Each peer runs for some milliseconds, one after the other, and that again and again, in an "
    "order that is drawn anew.  `speed' is how many times faster than the first one a peer is: the "
    "median, over the rounds, of the ratio within a round.  The first one runs twice; where it "
    "differs from itself by more than the row allows the row is measured anew, at most three "
    "times, and is marked when that does not help.\n\n"
    "ROW is the name of a row, or what names begin with: `noop' is noop-1, noop-4 and so on.\n\n"
    "A picture of the speeds, or of one row's latencies:\n\n"
    "  kaio bench --json read-1 > read.json\n"
    "  kaio bench plot read.json speed.svg\n"
    "  kaio bench plot --latencies read.json latency.png read-1\n\n"
    "Exit status: 0 measured, 1 failed, 64 wrong usage.";

// ---- rows ----

// is_name tells whether `word` is the whole name of a row.
static bool is_name(const char *word) {
    bool is_name = false;
    for (uint32_t i = 0; i < bench_row_count; ++i) {
        is_name |= strcmp(bench_rows[i].name, word) == 0;
    }
    return is_name;
}

static bool is_chosen(const struct arguments *arguments, const struct bench_row *row) {
    bool is_chosen = arguments->word_count == 0;
    for (uint32_t i = 0; i < arguments->word_count; ++i) {
        const char *word = arguments->words[i];
        is_chosen |= is_name(word) ? strcmp(row->name, word) == 0
                                   : strncmp(row->name, word, strlen(word)) == 0;
    }
    return is_chosen && (row->source != BENCH_DEVICE || arguments->place.device != NULL);
}

// has_rows tells whether each word chooses something.
static bool has_rows(const struct arguments *arguments) {
    for (uint32_t i = 0; i < arguments->word_count; ++i) {
        struct arguments one = *arguments;
        one.words[0] = arguments->words[i];
        one.word_count = 1;
        bool has_one = false;
        for (uint32_t k = 0; k < bench_row_count; ++k) {
            has_one |= is_chosen(&one, &bench_rows[k]);
        }
        if (!has_one) {
            return message_error("%s: no such row%s; --list lists them", arguments->words[i],
                                 arguments->place.device == NULL ? " without --device" : "");
        }
    }
    return true;
}

static void list_rows(void) {
    for (uint32_t i = 0; i < bench_row_count; ++i) {
        const struct bench_row *row = &bench_rows[i];
        (void)printf("%-14s %s, %u in flight\n", row->name, row->what, row->depth);
    }
}

static bool measure_row(const struct arguments *arguments, const struct bench_row *row,
                        json_t *rows) {
    struct bench_report report;
    if (!bench_measure(row, &arguments->place, &arguments->effort, &report)) {
        return false;
    }
    bool is_good = true;
    if (arguments->wants_json) {
        is_good =
            json_array_append_new(rows, bench_json(&report)) == 0 || message_error("no memory");
    } else {
        bench_print(&report);
    }
    is_good = is_good && (arguments->histograms == NULL ||
                          bench_write_histograms(&report, arguments->histograms));
    bench_report_end(&report);
    return is_good;
}

static bool write_json(json_t *all) {
    bool is_good = all != NULL || message_error("no memory");
    if (is_good) {
        is_good = json_dumpf(all, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) == 0 &&
                  printf("\n") == 1 && fflush(stdout) == 0;
        is_good = is_good || message_os_error("stdout", "write", errno);
    }
    json_decref(all);
    return is_good;
}

static bool measure_all(struct arguments *arguments) {
    json_t *rows = json_array();
    for (uint32_t i = 0; i < bench_row_count; ++i) {
        bool is_of_files = bench_rows[i].source == BENCH_FILES;
        arguments->place.wants_files |= is_of_files && is_chosen(arguments, &bench_rows[i]);
    }
    bool is_good = rows != NULL && bench_place_open(&arguments->place);
    for (uint32_t i = 0; is_good && i < bench_row_count; ++i) {
        if (is_chosen(arguments, &bench_rows[i])) {
            is_good = measure_row(arguments, &bench_rows[i], rows);
        }
    }
    if (is_good && arguments->wants_json) {
        return write_json(bench_json_all(rows, &arguments->place, &arguments->effort));
    }
    json_decref(rows);
    return is_good;
}

// ---- signals ----

static volatile sig_atomic_t is_stopped;

static void stop(int signal) {
    (void)signal;
    is_stopped = 1;
}

// catch_signals has the signals that end a program end the round instead, so that files are
// removed. The second one ends it.
static void catch_signals(void) {
    static const int signals[] = {SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGTERM};
    struct sigaction action = {.sa_handler = stop, .sa_flags = SA_RESTART | (int)SA_RESETHAND};
    (void)sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; ++i) {
        (void)sigaction(signals[i], &action, NULL);
    }
}

// set_effort fills in what was not asked for.
static void set_effort(struct arguments *arguments) {
    struct bench_effort *effort = &arguments->effort;
    bool is_quick = arguments->is_quick;
    if (effort->cpu_round_count == 0) {
        effort->cpu_round_count = is_quick ? 5 : 31;
        effort->wall_round_count = is_quick ? 5 : 21;
    }
    effort->cpu_slice_ns = is_quick ? 2 * MS : 8 * MS;
    effort->wall_slice_ns = is_quick ? 8 * MS : 40 * MS;
    effort->attempt_count = is_quick ? 1 : BENCH_ATTEMPTS_MAX;
    effort->is_stopped = &is_stopped;
    if (arguments->place.size_bytes == 0) {
        arguments->place.size_bytes = is_quick ? QUICK_FILE_BYTES : DEFAULT_FILE_BYTES;
    }
}

int bench_command(int argc, char **argv) {
    static const struct argp argp = {
        option_list, parse, "[ROW...]\nplot FILE.json PICTURE [ROW...]", documentation, NULL,
        NULL,        NULL};
    struct arguments arguments = {.place = {.folder = "."}};
    (void)argp_parse(&argp, argc, argv, 0, NULL, &arguments);
    message_begin("bench");
    if (!arguments.is_silent) {
        progress_allow();
    }
    if (arguments.is_plot) {
        const struct plot_options options = {.input = arguments.words[0],
                                             .output = arguments.words[1],
                                             .rows = arguments.words + 2,
                                             .row_count = arguments.word_count - 2,
                                             .of_latencies = arguments.wants_latencies};
        return bench_plot(&options) ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    if (arguments.wants_list) {
        list_rows();
        return EXIT_SUCCESS;
    }
    set_effort(&arguments);
    catch_signals();
    bool is_good = has_rows(&arguments) && measure_all(&arguments);
    bench_place_close(&arguments.place);
    return is_good ? EXIT_SUCCESS : EXIT_FAILURE;
}
