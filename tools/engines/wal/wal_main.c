// wal: a group-commit log from the command line.
//
// Usage: wal COMMAND [OPTION...] FOLDER     `wal --help` lists the commands.
// Exit:  0 done, 1 failed, 2 the log is corrupt, 64 wrong usage.

#define _GNU_SOURCE  // memrchr

#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "wal.h"
#include "wal_bench.h"

enum { EXIT_CORRUPT = 2, INPUT_BYTES = 1 << 20 };

struct arguments {
    const char *command;
    wal_options options;
    struct wal_bench_options bench;
    uint64_t number;  // of trim, or the first to read
    bool has_numbers;
};

// ---- reading ----

struct printing {
    uint64_t first;
    bool has_numbers;
};

static void print_record(void *context, uint64_t number, const uint8_t *bytes,
                         uint32_t size_bytes) {
    const struct printing *printing = context;
    if (number < printing->first) {
        return;
    }
    if (printing->has_numbers) {
        (void)printf("%" PRIu64 "\t", number);
    }
    (void)fwrite(bytes, 1, size_bytes, stdout);
    (void)putchar('\n');
}

// open_log opens the log of the options, or says why not.
static int open_log(const wal_options *options, wal_record_handler *on_record, void *context,
                    wal **out_log, wal_recovery *out_recovery) {
    wal_error error;
    wal_code code = wal_open(options, on_record, context, out_log, out_recovery, &error);
    if (code == WAL_OK) {
        return EXIT_SUCCESS;
    }
    (void)fprintf(stderr, "wal: %s\n", error.text);
    return code == WAL_CORRUPT ? EXIT_CORRUPT : EXIT_FAILURE;
}

static int flush_output(void) {
    if (fflush(stdout) == 0) {
        return EXIT_SUCCESS;
    }
    (void)fprintf(stderr, "wal: standard output: %s\n", strerror(errno));
    return EXIT_FAILURE;
}

static int read_command(const struct arguments *arguments) {
    struct printing printing = {.first = arguments->number, .has_numbers = arguments->has_numbers};
    wal *log;
    wal_recovery recovery;
    int status = open_log(&arguments->options, print_record, &printing, &log, &recovery);
    if (status == EXIT_SUCCESS) {
        wal_abandon(log);
    }
    int written = flush_output();
    return status != EXIT_SUCCESS ? status : written;
}

static int verify_command(const struct arguments *arguments) {
    wal *log;
    wal_recovery recovery;
    int status = open_log(&arguments->options, NULL, NULL, &log, &recovery);
    if (status != EXIT_SUCCESS) {
        return status;
    }
    wal_abandon(log);
    if (recovery.first_number == 0) {
        (void)printf("no records");
    } else {
        (void)printf("records %" PRIu64 " to %" PRIu64, recovery.first_number,
                     recovery.last_number);
    }
    (void)printf("; ends in segment %" PRIu32 " at offset %" PRIu64 ": %s\n", recovery.segment,
                 recovery.end_offset, recovery.why);
    return flush_output();
}

// ---- writing ----

static int fail(wal *log, wal_code code) {
    const char *why = code == WAL_LOG_FULL    ? "the log is full: trim it"
                      : code == WAL_TOO_LARGE ? "a record is too large"
                                              : wal_failure(log);
    (void)fprintf(stderr, "wal: %s\n", why);
    wal_abandon(log);
    return EXIT_FAILURE;
}

// put_lines puts bytes[0..size_bytes), which are whole lines, and commits them.
static wal_code put_lines(wal *log, const char *bytes, size_t size_bytes) {
    const char *end = bytes + size_bytes;
    for (const char *line = bytes; line < end;) {
        const char *line_end = memchr(line, '\n', (size_t)(end - line));
        line_end = line_end == NULL ? end : line_end;
        uint64_t number;
        wal_code code;
        while ((code = wal_put(log, line, (uint32_t)(line_end - line), &number)) ==
               WAL_BATCH_FULL) {
            code = wal_commit(log);
            if (code != WAL_OK) {
                return code;
            }
        }
        if (code != WAL_OK) {
            return code;
        }
        line = line_end + 1;
    }
    return wal_commit(log);
}

// append_input puts what comes, as it comes, and says after each commit how far the log is durable.
static wal_code append_input(wal *log, char *input) {
    size_t used = 0;
    ssize_t got;
    wal_code code = WAL_OK;
    while (code == WAL_OK && (got = read(STDIN_FILENO, input + used, INPUT_BYTES - used)) != 0) {
        if (got < 0) {
            if (errno == EINTR) {
                continue;
            }
            (void)fprintf(stderr, "wal: standard input: %s\n", strerror(errno));
            return WAL_SYSTEM;
        }
        used += (size_t)got;
        const char *last = memrchr(input, '\n', used);
        size_t whole = last == NULL ? 0 : (size_t)(last + 1 - input);
        if (whole == 0 && used == INPUT_BYTES) {
            return WAL_TOO_LARGE;
        }
        code = whole == 0 ? WAL_OK : put_lines(log, input, whole);
        memmove(input, input + whole, used - whole);
        used -= whole;
        if (code == WAL_OK && whole > 0) {
            (void)printf("%" PRIu64 "\n", wal_durable_number(log));
            (void)fflush(stdout);
        }
    }
    if (code == WAL_OK && used > 0) {  // a last line without its end
        code = put_lines(log, input, used);
        (void)printf("%" PRIu64 "\n", wal_durable_number(log));
    }
    return code;
}

static int append_command(const struct arguments *arguments) {
    wal *log;
    wal_recovery recovery;
    int status = open_log(&arguments->options, NULL, NULL, &log, &recovery);
    if (status != EXIT_SUCCESS) {
        return status;
    }
    char *input = malloc(INPUT_BYTES);
    wal_code code = input == NULL ? WAL_SYSTEM : append_input(log, input);
    free(input);
    if (code != WAL_OK) {
        return fail(log, code);
    }
    code = wal_close(log);
    return code == WAL_OK ? flush_output() : EXIT_FAILURE;
}

static int trim_command(const struct arguments *arguments) {
    wal *log;
    wal_recovery recovery;
    int status = open_log(&arguments->options, NULL, NULL, &log, &recovery);
    if (status != EXIT_SUCCESS) {
        return status;
    }
    wal_trim(log, arguments->number);
    wal_code code = wal_commit(log);
    if (code != WAL_OK) {
        return fail(log, code);
    }
    return wal_close(log) == WAL_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int bench_command(const struct arguments *arguments) {
    wal_error error;
    if (!wal_bench(&arguments->options, &arguments->bench, &error)) {
        (void)fprintf(stderr, "wal: %s\n", error.text);
        return EXIT_FAILURE;
    }
    return flush_output();
}

// ---- arguments ----

static const struct command {
    const char *name;
    int (*run)(const struct arguments *arguments);
} commands[] = {{"append", append_command},
                {"bench", bench_command},
                {"read", read_command},
                {"trim", trim_command},
                {"verify", verify_command}};

enum {
    KEY_NEW = 256,
    KEY_SEGMENT,
    KEY_SEGMENTS,
    KEY_BATCH,
    KEY_BUFFERED,
    KEY_NUMBERS,
    KEY_NUMBER,
    KEY_THREADS,
    KEY_SIZE,
    KEY_SECONDS
};

static uint64_t parse_number(struct argp_state *state, const char *name, const char *text,
                             uint64_t min, uint64_t max) {
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (end == text || *end != '\0' || *text == '-' || errno != 0 || number < min || number > max) {
        argp_error(state, "--%s=%s: a number from %" PRIu64 " to %" PRIu64 " is needed", name, text,
                   min, max);
    }
    return number;
}

static error_t parse(int key, char *argument, struct argp_state *state) {
    struct arguments *arguments = state->input;
    wal_options *options = &arguments->options;
    switch (key) {
        case KEY_NEW:
            options->is_new = true;
            return 0;
        case KEY_SEGMENT:
            options->segment_bytes =
                parse_number(state, "segment-bytes", argument, 16384, UINT64_C(1) << 40);
            return 0;
        case KEY_SEGMENTS:
            options->segment_count = (uint32_t)parse_number(state, "segments", argument, 2, 1024);
            return 0;
        case KEY_BATCH:
            options->batch_bytes =
                (uint32_t)parse_number(state, "batch-bytes", argument, 16384, 1u << 30);
            return 0;
        case KEY_BUFFERED:
            options->is_buffered = true;
            return 0;
        case KEY_NUMBERS:
            arguments->has_numbers = true;
            return 0;
        case KEY_NUMBER:
            arguments->number = parse_number(state, "number", argument, 1, UINT64_MAX);
            return 0;
        case KEY_THREADS:
            arguments->bench.thread_count =
                (uint32_t)parse_number(state, "threads", argument, 1, 1024);
            return 0;
        case KEY_SIZE:
            arguments->bench.record_bytes =
                (uint32_t)parse_number(state, "size", argument, 0, 1u << 20);
            return 0;
        case KEY_SECONDS:
            arguments->bench.seconds = (uint32_t)parse_number(state, "seconds", argument, 1, 86400);
            return 0;
        case ARGP_KEY_ARG:
            if (arguments->command == NULL) {
                arguments->command = argument;
            } else if (options->folder == NULL) {
                options->folder = argument;
            } else {
                argp_error(state, "%s: one FOLDER, and no more", argument);
            }
            return 0;
        case ARGP_KEY_END:
            if (options->folder == NULL) {
                argp_error(state, "a COMMAND and a FOLDER are needed");
            }
            return 0;
        default:
            return ARGP_ERR_UNKNOWN;
    }
}

static const char documentation[] =
    "A group-commit log."
    "\v"
    "Commands:\n\n"
    "  append   add each line of standard input; says how far the log is durable\n"
    "  read     print the records, a line each\n"
    "  verify   say which records there are, and where the log ends and why\n"
    "  trim     give up the records up to --number\n"
    "  bench    append from many threads to a new log; says how fast";

int main(int argc, char **argv) {
    static const struct argp_option argp_options[] = {
        {"new", KEY_NEW, NULL, 0, "append: make the log, whose files must not exist", 0},
        {"segment-bytes", KEY_SEGMENT, "N", 0, "of a new log (16777216)", 0},
        {"segments", KEY_SEGMENTS, "N", 0, "of a new log (4)", 0},
        {"batch-bytes", KEY_BATCH, "N", 0, "the most that one commit writes (1048576)", 0},
        {"buffered", KEY_BUFFERED, NULL, 0, "through the page cache instead of O_DIRECT", 0},
        {"numbers", KEY_NUMBERS, NULL, 0, "read: begin each line with the record's number", 0},
        {"number", KEY_NUMBER, "N", 0, "read: the first record; trim: the last", 0},
        {"threads", KEY_THREADS, "N", 0, "bench: how many append (1)", 0},
        {"size", KEY_SIZE, "BYTES", 0, "bench: of each record (256)", 0},
        {"seconds", KEY_SECONDS, "N", 0, "bench: how long (2)", 0},
        {0}};
    static const struct argp argp = {argp_options, parse, "COMMAND FOLDER", documentation, NULL,
                                     NULL,         NULL};
    struct arguments arguments = {.bench = {.thread_count = 1, .record_bytes = 256, .seconds = 2}};
    (void)argp_parse(&argp, argc, argv, 0, NULL, &arguments);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; ++i) {
        if (strcmp(commands[i].name, arguments.command) == 0) {
            return commands[i].run(&arguments);
        }
    }
    (void)fprintf(stderr, "wal: %s: no such command\n", arguments.command);
    return 64;
}
