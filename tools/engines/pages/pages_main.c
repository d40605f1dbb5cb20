// pages: a page store from the command line.
//
// Usage: pages COMMAND [OPTION...] FILE     `pages --help` lists the commands.
// Exit:  0 done, 1 failed, 2 a page is damaged, 64 wrong usage.

#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pages.h"
#include "pages_bench.h"

enum { EXIT_DAMAGED = 2 };

struct arguments {
    const char *command;
    pages_options options;
    struct pages_bench_options bench;
    uint64_t first;
    uint64_t count;  // UINT64_MAX: all
};

// A session is an open store with one worker.
struct session {
    pages *store;
    pages_worker *worker;
};

static int failed(const char *text, pages_code code) {
    (void)fprintf(stderr, "pages: %s\n", text);
    return code == PAGES_DAMAGED ? EXIT_DAMAGED : EXIT_FAILURE;
}

static bool begin(const pages_options *options, struct session *out_session) {
    pages_error error;
    *out_session = (struct session){.store = NULL};
    bool is_open = pages_open(options, &out_session->store, &error) == PAGES_OK;
    if (is_open &&
        pages_worker_open(out_session->store, &out_session->worker, &error) == PAGES_OK) {
        return true;
    }
    (void)failed(error.text, PAGES_SYSTEM);
    if (is_open) {
        (void)pages_close(out_session->store);
    }
    return false;
}

// end closes the store and gives the exit status of a command that did `code`.
static int end(struct session *session, pages_code code) {
    int status = EXIT_SUCCESS;
    if (code == PAGES_RANGE) {
        char text[96];
        (void)snprintf(text, sizeof text, "there are %" PRIu64 " pages",
                       pages_count(session->store));
        status = failed(text, code);
    } else if (code != PAGES_OK) {
        status = failed(pages_failure(session->store), code);
    }
    pages_worker_close(session->worker);
    if (pages_close(session->store) != PAGES_OK && status == EXIT_SUCCESS) {
        status = failed("the last changes are not durable", PAGES_FAILED);
    }
    if (fflush(stdout) != 0 && status == EXIT_SUCCESS) {
        status = failed(strerror(errno), PAGES_FAILED);
    }
    return status;
}

static int load_command(const struct arguments *arguments) {
    struct session session;
    if (!begin(&arguments->options, &session)) {
        return EXIT_FAILURE;
    }
    uint8_t content[PAGES_CONTENT_BYTES];
    pages_code code = PAGES_OK;
    size_t got;
    for (uint64_t number = arguments->first;
         code == PAGES_OK && (got = fread(content, 1, sizeof content, stdin)) > 0; ++number) {
        memset(content + got, 0, sizeof content - got);
        code = pages_write(session.worker, number, content);
    }
    if (code == PAGES_OK && ferror(stdin) != 0) {
        (void)failed("standard input cannot be read", PAGES_FAILED);
        (void)end(&session, PAGES_OK);
        return EXIT_FAILURE;
    }
    return end(&session, code);
}

static int get_command(const struct arguments *arguments) {
    struct session session;
    if (!begin(&arguments->options, &session)) {
        return EXIT_FAILURE;
    }
    uint8_t content[PAGES_CONTENT_BYTES];
    pages_code code = pages_read(session.worker, arguments->first, content);
    if (code == PAGES_OK) {
        (void)fwrite(content, 1, sizeof content, stdout);
    }
    return end(&session, code);
}

static void print_content(void *context, uint64_t number, const uint8_t *bytes) {
    (void)context;
    (void)number;
    (void)fwrite(bytes, 1, PAGES_CONTENT_BYTES, stdout);
}

static void count_page(void *context, uint64_t number, const uint8_t *bytes) {
    (void)number;
    (void)bytes;
    ++*(uint64_t *)context;
}

static int scan_with(const struct arguments *arguments, pages_handler *handler, void *context,
                     struct session *out_session, pages_code *out_code) {
    if (!begin(&arguments->options, out_session)) {
        return EXIT_FAILURE;
    }
    uint64_t there = pages_count(out_session->store);
    uint64_t count = arguments->count != UINT64_MAX ? arguments->count
                     : arguments->first <= there    ? there - arguments->first
                                                    : 1;
    *out_code = pages_scan(out_session->worker, arguments->first, count, handler, context);
    return EXIT_SUCCESS;
}

static int scan_command(const struct arguments *arguments) {
    struct session session;
    pages_code code;
    int status = scan_with(arguments, print_content, NULL, &session, &code);
    return status != EXIT_SUCCESS ? status : end(&session, code);
}

static int verify_command(const struct arguments *arguments) {
    struct session session;
    pages_code code;
    uint64_t count = 0;
    int status = scan_with(arguments, count_page, &count, &session, &code);
    if (status == EXIT_SUCCESS) {
        (void)printf("%" PRIu64 " pages are as they were written\n", count);
        status = end(&session, code);
    }
    return status;
}

static int bench_command(const struct arguments *arguments) {
    pages_error error;
    if (!pages_bench(&arguments->options, &arguments->bench, &error)) {
        return failed(error.text, PAGES_FAILED);
    }
    return fflush(stdout) == 0 ? EXIT_SUCCESS : failed(strerror(errno), PAGES_FAILED);
}

// ---- arguments ----

static const struct command {
    const char *name;
    int (*run)(const struct arguments *arguments);
} commands[] = {{"bench", bench_command},
                {"get", get_command},
                {"load", load_command},
                {"scan", scan_command},
                {"verify", verify_command}};

enum {
    KEY_NEW = 256,
    KEY_PAGES,
    KEY_FRAMES,
    KEY_BUFFERED,
    KEY_FIRST,
    KEY_COUNT,
    KEY_THREADS,
    KEY_SECONDS,
    KEY_WRITES
};

static uint64_t parse_number(struct argp_state *state, const char *name, const char *text,
                             uint64_t min, uint64_t max) {
    char *last;
    errno = 0;
    unsigned long long number = strtoull(text, &last, 10);
    if (last == text || *last != '\0' || *text == '-' || errno != 0 || number < min ||
        number > max) {
        argp_error(state, "--%s=%s: a number from %" PRIu64 " to %" PRIu64 " is needed", name, text,
                   min, max);
    }
    return number;
}

static error_t parse(int key, char *argument, struct argp_state *state) {
    struct arguments *arguments = state->input;
    pages_options *options = &arguments->options;
    switch (key) {
        case KEY_NEW:
            options->is_new = true;
            return 0;
        case KEY_PAGES:
            options->page_count = parse_number(state, "pages", argument, 1, UINT64_C(1) << 40);
            return 0;
        case KEY_FRAMES:
            options->frame_count = (uint32_t)parse_number(state, "frames", argument, 16, 1u << 23);
            return 0;
        case KEY_BUFFERED:
            options->is_buffered = true;
            return 0;
        case KEY_FIRST:
            arguments->first = parse_number(state, "first", argument, 0, UINT64_C(1) << 40);
            return 0;
        case KEY_COUNT:
            arguments->count = parse_number(state, "count", argument, 0, UINT64_C(1) << 40);
            return 0;
        case KEY_THREADS:
            arguments->bench.thread_count =
                (uint32_t)parse_number(state, "threads", argument, 1, 1024);
            return 0;
        case KEY_SECONDS:
            arguments->bench.seconds = (uint32_t)parse_number(state, "seconds", argument, 1, 86400);
            return 0;
        case KEY_WRITES:
            arguments->bench.write_percent =
                (uint32_t)parse_number(state, "writes", argument, 0, 100);
            return 0;
        case ARGP_KEY_ARG:
            if (arguments->command == NULL) {
                arguments->command = argument;
            } else if (options->path == NULL) {
                options->path = argument;
            } else {
                argp_error(state, "%s: one FILE, and no more", argument);
            }
            return 0;
        case ARGP_KEY_END:
            if (options->path == NULL) {
                argp_error(state, "a COMMAND and a FILE are needed");
            } else if (options->is_new && options->page_count == 0) {
                argp_error(state, "--new needs --pages");
            }
            return 0;
        default:
            return ARGP_ERR_UNKNOWN;
    }
}

static const char documentation[] =
    "A fixed-frame page store."
    "\v"
    "Commands:\n\n"
    "  load     write standard input to the pages from --first on, 4080 bytes each\n"
    "  get      print the content of page --first\n"
    "  scan     print the contents of --count pages from --first on\n"
    "  verify   read them all, and compare their checksums\n"
    "  bench    random reads and writes by many threads; says how fast";

int main(int argc, char **argv) {
    static const struct argp_option argp_options[] = {
        {"new", KEY_NEW, NULL, 0, "make the file, which must not exist", 0},
        {"pages", KEY_PAGES, "N", 0, "of a new file", 0},
        {"frames", KEY_FRAMES, "N", 0, "of the cache (1024)", 0},
        {"buffered", KEY_BUFFERED, NULL, 0, "through the page cache instead of O_DIRECT", 0},
        {"first", KEY_FIRST, "N", 0, "the first page (0)", 0},
        {"count", KEY_COUNT, "N", 0, "how many pages (all)", 0},
        {"threads", KEY_THREADS, "N", 0, "bench: how many (1)", 0},
        {"seconds", KEY_SECONDS, "N", 0, "bench: how long (2)", 0},
        {"writes", KEY_WRITES, "PERCENT", 0, "bench: how many operations write (20)", 0},
        {0}};
    static const struct argp argp = {argp_options, parse, "COMMAND FILE", documentation, NULL,
                                     NULL,         NULL};
    struct arguments arguments = {.bench = {.thread_count = 1, .seconds = 2, .write_percent = 20},
                                  .count = UINT64_MAX};
    (void)argp_parse(&argp, argc, argv, 0, NULL, &arguments);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; ++i) {
        if (strcmp(commands[i].name, arguments.command) == 0) {
            return commands[i].run(&arguments);
        }
    }
    (void)fprintf(stderr, "pages: %s: no such command\n", arguments.command);
    return 64;
}
