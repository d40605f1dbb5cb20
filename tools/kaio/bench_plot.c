#define _POSIX_C_SOURCE 200809L  // popen

#include "bench_plot.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "message.h"

enum { PEERS_MAX = 16, LABEL_BYTES = 80 };

// The peers that are drawn: each that some row has, but for the controls.
struct peers {
    const char *labels[PEERS_MAX];
    unsigned count;
};

static bool ends_with(const char *text, const char *end) {
    size_t length = strlen(text);
    size_t end_length = strlen(end);
    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

static bool is_wanted(const struct plot_options *options, const json_t *row) {
    const char *name = json_string_value(json_object_get(row, "row"));
    bool is_wanted = options->row_count == 0;
    for (unsigned i = 0; i < options->row_count && name != NULL; ++i) {
        is_wanted |= strncmp(name, options->rows[i], strlen(options->rows[i])) == 0;
    }
    return name != NULL && is_wanted;
}

// peers_of is the list of a row's last attempt, which is what counts.
static json_t *peers_of(const json_t *row) {
    const json_t *attempts = json_object_get(row, "attempts");
    size_t count = json_array_size(attempts);
    return count == 0 ? NULL : json_object_get(json_array_get(attempts, count - 1), "peers");
}

static const json_t *find_peer(const json_t *row, const char *label) {
    size_t i;
    const json_t *peer;
    json_array_foreach(peers_of(row), i, peer) {
        const char *name = json_string_value(json_object_get(peer, "peer"));
        if (name != NULL && strcmp(name, label) == 0) {
            return peer;
        }
    }
    return NULL;
}

static void add_peers(struct peers *peers, const json_t *row) {
    size_t i;
    const json_t *peer;
    json_array_foreach(peers_of(row), i, peer) {
        const char *label = json_string_value(json_object_get(peer, "peer"));
        bool is_new = label != NULL && !ends_with(label, " again") && peers->count < PEERS_MAX;
        for (unsigned k = 0; is_new && k < peers->count; ++k) {
            is_new = strcmp(peers->labels[k], label) != 0;
        }
        if (is_new) {
            peers->labels[peers->count++] = label;
        }
    }
}

// put writes a string for gnuplot, without what means something to it.
static void put(FILE *gnuplot, const char *text) {
    (void)fputc('"', gnuplot);
    for (; *text != '\0'; ++text) {
        (void)fputc(*text == '"' || *text == '\\' || *text == '\n' ? ' ' : *text, gnuplot);
    }
    (void)fputc('"', gnuplot);
}

static void begin(FILE *gnuplot, const struct plot_options *options) {
    bool is_svg = ends_with(options->output, ".svg");
    (void)fprintf(gnuplot, "set terminal %s size 1200,560 %s\n", is_svg ? "svg" : "png",
                  is_svg ? "dynamic background '#ffffff'" : "");
    (void)fprintf(gnuplot, "set output ");
    put(gnuplot, options->output);
    (void)fprintf(gnuplot,
                  "\nset key outside right top\nset grid ytics\n"
                  "set linetype 9 linecolor rgb '#999999'\n"  // from here on they would come again
                  "set linetype 10 linecolor rgb '#7f5539'\n");
}

// ---- speeds ----

static double speed_of(const json_t *row, const char *label, size_t quartile) {
    const json_t *peer = find_peer(row, label);
    return json_number_value(json_array_get(json_object_get(peer, "speed"), quartile));
}

static void draw_speeds(FILE *gnuplot, const struct plot_options *options, const json_t *rows) {
    struct peers peers = {.count = 0};
    size_t i;
    const json_t *row;
    (void)fprintf(gnuplot, "$speeds << EOD\n");
    json_array_foreach(rows, i, row) {
        if (is_wanted(options, row)) {
            add_peers(&peers, row);
        }
    }
    json_array_foreach(rows, i, row) {
        if (!is_wanted(options, row)) {
            continue;
        }
        put(gnuplot, json_string_value(json_object_get(row, "row")));
        for (unsigned k = 0; k < peers.count; ++k) {
            double median = speed_of(row, peers.labels[k], 1);
            if (median > 0) {
                (void)fprintf(gnuplot, " %.4f %.4f %.4f", median, speed_of(row, peers.labels[k], 0),
                              speed_of(row, peers.labels[k], 2));
            } else {
                (void)fprintf(gnuplot, " NaN NaN NaN");
            }
        }
        (void)fprintf(gnuplot, "\n");
    }
    (void)fprintf(gnuplot,
                  "EOD\n"
                  "set style data histogram\n"
                  "set style histogram errorbars gap 1 lw 1\n"
                  "set style fill solid 0.8 noborder\n"
                  "set logscale y 2\n"
                  "set xtics rotate by -35\n"
                  "set ylabel 'times as fast, and quartiles'\n"
                  "set arrow from graph 0, first 1 to graph 1, first 1 nohead lw 1 front\n"
                  "plot ");
    for (unsigned k = 0; k < peers.count; ++k) {
        unsigned column = 2 + 3 * k;
        (void)fprintf(gnuplot, "%s$speeds using %u:%u:%u:xtic(1) title ", k == 0 ? "" : ", ",
                      column, column + 1, column + 2);
        put(gnuplot, peers.labels[k]);
    }
    (void)fprintf(gnuplot, "\n");
}

// ---- latencies ----

static void draw_latencies(FILE *gnuplot, const struct plot_options *options, const json_t *rows) {
    static const char *const keys[] = {"p50_us", "p99_us", "p999_us", "max_us"};
    static const char *const names[] = {"p50", "p99", "p99.9", "max"};
    struct peers peers = {.count = 0};
    const json_t *wanted = NULL;
    size_t i;
    const json_t *row;
    json_array_foreach(rows, i, row) {
        if (wanted == NULL && is_wanted(options, row)) {
            wanted = row;
        }
    }
    add_peers(&peers, wanted);
    (void)fprintf(gnuplot, "$latencies << EOD\n");
    for (size_t k = 0; k < sizeof keys / sizeof keys[0]; ++k) {
        put(gnuplot, names[k]);
        for (unsigned peer = 0; peer < peers.count; ++peer) {
            const json_t *latency =
                json_object_get(find_peer(wanted, peers.labels[peer]), "latency");
            double value = json_number_value(json_object_get(latency, keys[k]));
            (void)fprintf(gnuplot, value > 0 ? " %.3f" : " NaN", value);
        }
        (void)fprintf(gnuplot, "\n");
    }
    (void)fprintf(gnuplot,
                  "EOD\n"
                  "set style data histogram\n"
                  "set style histogram clustered gap 1\n"
                  "set style fill solid 0.8 noborder\n"
                  "set logscale y 10\n"
                  "set ylabel 'microseconds'\n"
                  "set title ");
    put(gnuplot, json_string_value(json_object_get(wanted, "what")));
    (void)fprintf(gnuplot, "\nplot ");
    for (unsigned k = 0; k < peers.count; ++k) {
        (void)fprintf(gnuplot, "%s$latencies using %u:xtic(1) title ", k == 0 ? "" : ", ", k + 2);
        put(gnuplot, peers.labels[k]);
    }
    (void)fprintf(gnuplot, "\n");
}

// ---- both ----

// count_wanted is how many rows there are to be drawn.
static unsigned count_wanted(const struct plot_options *options, const json_t *rows) {
    unsigned count = 0;
    size_t i;
    const json_t *row;
    json_array_foreach(rows, i, row) {
        count += is_wanted(options, row) && json_array_size(peers_of(row)) > 0;
    }
    return count;
}

static bool draw(const struct plot_options *options, const json_t *rows) {
    FILE *gnuplot = popen("gnuplot", "w");  // NOLINT(cert-env33-c): a constant
    if (gnuplot == NULL) {
        return message_os_error("gnuplot", "start", errno);
    }
    begin(gnuplot, options);
    if (options->of_latencies) {
        draw_latencies(gnuplot, options, rows);
    } else {
        draw_speeds(gnuplot, options, rows);
    }
    int status = pclose(gnuplot);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
        return message_error("gnuplot is not installed: apt-get install gnuplot-nox");
    }
    return status == 0 || message_error("%s: gnuplot could not draw it", options->output);
}

bool bench_plot(const struct plot_options *options) {
    if (!ends_with(options->output, ".svg") && !ends_with(options->output, ".png")) {
        return message_error("%s: the name must end in .svg or .png", options->output);
    }
    json_error_t error;
    json_t *report = json_load_file(options->input, JSON_REJECT_DUPLICATES, &error);
    if (report == NULL) {
        return message_error("%s, line %d: %s", options->input, error.line, error.text);
    }
    const json_t *rows = json_object_get(report, "rows");
    bool is_good = json_is_array(rows) && count_wanted(options, rows) > 0;
    if (is_good) {
        is_good = draw(options, rows);
    } else {
        (void)message_error("%s: no such row in it", options->input);
    }
    json_decref(report);
    return is_good;
}
