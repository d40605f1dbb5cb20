#define _GNU_SOURCE  // argp.h's error_t; sigaction

#include "probe.h"

#include <argp.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "message.h"
#include "number.h"
#include "probe_calls.h"
#include "probe_file.h"
#include "probe_json.h"
#include "probe_print.h"
#include "probe_report.h"
#include "probe_system.h"
#include "probe_target.h"
#include "probe_words.h"
#include "probe_worker.h"
#include "progress.h"
#include "text.h"

enum { DEFAULT_TIMEOUT_S = 10, TIMEOUT_MAX_S = 3600, OUTPUT_BYTES = 64 * 1024 };

enum key { KEY_JSON = 0x100, KEY_TIMEOUT };

struct arguments {
    const char *path;
    uint32_t timeout_s;
    bool wants_json;
    bool is_agreed;
};

// ---- the command line ----

static uint32_t parse_timeout(struct argp_state *state, const char *text) {
    uint64_t timeout_s = 0;
    if (!number_parse(text, &timeout_s) || timeout_s < 1 || timeout_s > TIMEOUT_MAX_S) {
        argp_error(state, "--timeout=%s: a number from 1 to %d is needed", text, TIMEOUT_MAX_S);
    }
    return (uint32_t)timeout_s;
}

static error_t parse(int key, char *argument, struct argp_state *state) {
    struct arguments *arguments = state->input;
    switch (key) {
        case KEY_JSON:
            arguments->wants_json = true;
            return 0;
        case KEY_TIMEOUT:
            arguments->timeout_s = parse_timeout(state, argument);
            return 0;
        case 'y':
            arguments->is_agreed = true;
            return 0;
        case ARGP_KEY_ARG:
            if (state->arg_num > 0) {
                argp_error(state, "%s: one PATH, and no more", argument);
            }
            arguments->path = argument;
            return 0;
        default:
            return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option option_list[] = {
    {"json", KEY_JSON, NULL, 0, "Print one JSON object instead of tables", 0},
    {"timeout", KEY_TIMEOUT, "SECONDS", 0, "Wait that long for an answer (10)", 0},
    {"yes", 'y', NULL, 0, "Read from a block device without a question", 0},
    {0}};

static const char documentation[] =
    "Find out what asynchronous I/O this kernel, this process and the file system of PATH (the "
    "current folder) accept."
    "\v"
    "Nothing that is there is written to, and nothing is left behind.  (The time of the last "
    "access of what is read may change where it is another user's; a folder's own times do where a "
    "file has to have a name for a moment.)  In a folder a file without a name is made, read and "
    "written; of a regular file it is read, and writes go to a file without a name in its folder; "
    "a block device is read after a question, or with --yes; for a pipe or a socket one of our own "
    "is probed.\n\n"
    "`submit: ERROR' is what io_submit refused, `event: ERROR' what it took and the event then "
    "refused.  Each probe is made in a child: one that a seccomp filter kills, or that gets no "
    "answer in time, is an answer too.\n\n"
    "--json prints an object with these keys:\n\n"
    "  version        1; grows when a key changes its meaning or goes\n"
    "  kernel         release, machine, aio_nr, aio_max_nr, aio_left,\n"
    "                 io_uring_disabled\n"
    "  process        seccomp_mode (0 off, 1 strict, 2 filter),\n"
    "                 rlimit_fsize, rlimit_nofile, rlimit_memlock (null:\n"
    "                 unlimited), cap_sys_admin, cap_sys_nice\n"
    "  calls          a probe for each of the six calls\n"
    "  ring           a probe, with is_mapped and the header's fields\n"
    "  path           path, kind, probed_by, file_system,\n"
    "                 file_system_magic; buffered_read, buffered_write,\n"
    "                 direct_read, direct_write: is_open, errno, reason\n"
    "  alignment      as statx names them, null where not reported\n"
    "  opcodes        probes, with number\n"
    "  iocb_flags     probes, with number\n"
    "  priorities     probes, with number: the class\n"
    "  rw_flags       probes, with number, operation (read, write), mode\n"
    "                 (buffered, direct), eagain_count\n"
    "  direct_writes  probes, with behaviour (`completed inside\n"
    "                 io_submit', `asynchronous'), write_count,\n"
    "                 inside_count, submit_median_ns, submit_longest_ns\n\n"
    "A probe is an object of name, result (ok, refused, failed, killed, not tried), channel (call, "
    "submit, event), errno (its name), errno_number, reason; null where there is none.\n\n"
    "For example, whether writes to /data can be told not to wait:\n\n"
    "  kaio probe /data | grep NOWAIT\n\n"
    "Exit status: 0 probed, whatever the answers; 1 PATH could not be probed, or a file that was "
    "made could not be removed; 64 wrong usage.";

// ---- PATH ----

static void examine(void *context) {
    target_examine(context);
}

static void survey(void *context) {
    target_survey(context);
}

// run_job runs a job on the target in a child that must answer: false when it did not, which was
// said. One that was killed answers, and is not `out_is_done`.
static bool run_job(struct report *report, void (*job)(void *context), bool *out_is_done) {
    struct worker_end end;
    struct target *target = &report->target;
    char name[WORDS_SHORT_BYTES];
    if (!worker_run(job, target, report->timeout_s, &end)) {
        return false;
    }
    *out_is_done = end.fate == WORKER_DONE;
    if (end.fate == WORKER_LATE) {
        return message_error("%s: %s: no answer within %u s", target->path, target->step,
                             (unsigned)report->timeout_s);
    }
    if (end.fate == WORKER_KILLED) {
        message_note("%s: %s: killed by %s%s", target->path, target->step,
                     words_signal(end.signal, name),
                     end.signal == SIGSYS ? ": a seccomp filter" : "");
    }
    return true;
}

static bool find_target(struct report *report) {
    bool is_done = false;
    if (!run_job(report, examine, &is_done) || !is_done) {
        return false;
    }
    const struct target *target = &report->target;
    if (target->stat_error != 0) {
        return message_os_error(target->path, target->step, target->stat_error);
    }
    if (target->kind == TARGET_UNSAFE) {
        return message_error("%s: %s: not probed", target->path, target->unsafe_text);
    }
    return true;
}

// is_permitted asks before a block device is read.
static bool is_permitted(const struct target *target, bool is_agreed) {
    if (target->kind != TARGET_BLOCK_DEVICE || is_agreed) {
        return true;
    }
    if (isatty(STDIN_FILENO) != 1 || isatty(STDERR_FILENO) != 1) {
        return message_error("%s: is a block device: to read from it, say --yes", target->path);
    }
    char answer[16] = "";
    (void)fputs("Probe ", stderr);
    text_put(stderr, target->path, strlen(target->path));
    (void)fputs(" by reading? [y/N] ", stderr);
    bool is_yes =
        fgets(answer, sizeof answer, stdin) != NULL &&
        (strcmp(answer, "y\n") == 0 || strcmp(answer, "Y\n") == 0 || strcmp(answer, "yes\n") == 0);
    return is_yes || message_error("%s: not probed", target->path);
}

static void set_not_opened(struct target *target) {
    for (int operation = 0; operation < PROBE_OPERATION_COUNT; ++operation) {
        for (int mode = 0; mode < PROBE_MODE_COUNT; ++mode) {
            target->places[operation][mode] = (struct place){.why = WHY_NOT_OPENED};
        }
    }
}

// open_target finds out which files there are for PATH. A folder that no file can be made in still
// has answers about the calls, and so has one where that is deadly.
static bool open_target(struct report *report) {
    bool is_done = false;
    if (!run_job(report, survey, &is_done)) {
        return false;
    }
    if (!report->target.is_surveyed) {
        set_not_opened(&report->target);
        return true;
    }
    const struct target *target = &report->target;
    const struct place *place = &target->places[PROBE_READ][PROBE_BUFFERED];
    if (place->why == WHY_REPLACED) {
        return message_error("%s: open: another file has taken its name meanwhile", target->path);
    }
    if (place->why == WHY_NO_FILE && target->kind != TARGET_FOLDER) {
        return message_os_error(target->path, "open", place->os_error);
    }
    place = &target->places[PROBE_WRITE][PROBE_BUFFERED];
    if (place->why == WHY_NO_FILE &&
        (target->kind == TARGET_FOLDER || target->kind == TARGET_FILE)) {
        message_note("%s: no file can be made in %s to write to: %s", target->path, target->folder,
                     strerror(place->os_error));
    }
    if (target->fill_error != 0) {
        message_note("%s: the file for the probes could not be filled: %s", target->path,
                     strerror(target->fill_error));
    }
    return true;
}

// ----

static bool probe_all(struct report *report, const struct arguments *arguments) {
    system_read(&report->system);
    if (!find_target(report) || !is_permitted(&report->target, arguments->is_agreed)) {
        return false;
    }
    progress_begin("probing", 0);
    return open_target(report) && calls_probe(report) && file_probe(report);
}

// is_clean says which file of our own is left, if one is.
static bool is_clean(const struct target *target) {
    return target->leftover_error == 0 ||
           message_error("%s/%s: could not be removed: %s", target->folder, target->leftover,
                         strerror(target->leftover_error));
}

// end_output has the end of the program fail when not all was written, also what --help says.
static void end_output(void) {
    errno = 0;
    if (fflush(stdout) != 0 || ferror(stdout) != 0) {
        (void)message_os_error("stdout", "write", errno == 0 ? EIO : errno);
        _exit(EXIT_FAILURE);
    }
}

// begin_output keeps all that is written for the end, where the cause of a failure is still known.
static bool begin_output(void) {
    static char lines[OUTPUT_BYTES];
    return setvbuf(stdout, lines, _IOFBF, sizeof lines) == 0 && atexit(end_output) == 0;
}

static bool print(const struct report *report, bool wants_json) {
    if (wants_json) {
        return probe_json(report);
    }
    probe_print(report);
    return true;
}

int probe_command(int argc, char **argv) {
    static const struct argp argp = {option_list, parse, "[PATH]", documentation, NULL, NULL, NULL};
    struct arguments arguments = {.path = ".", .timeout_s = DEFAULT_TIMEOUT_S};
    message_begin("probe");
    if (!begin_output()) {
        return EXIT_FAILURE;
    }
    (void)argp_parse(&argp, argc, argv, 0, NULL, &arguments);
    (void)signal(SIGXFSZ, SIG_IGN);  // a write beyond RLIMIT_FSIZE is an answer, no death
    struct report *report = worker_share(sizeof *report);
    if (report == NULL) {
        return EXIT_FAILURE;
    }
    report->target.path = arguments.path;
    report->timeout_s = arguments.timeout_s;
    report_fill(report);
    progress_allow();
    bool is_done = probe_all(report, &arguments);
    progress_end();
    is_done = is_done && print(report, arguments.wants_json);
    return is_clean(&report->target) && is_done ? EXIT_SUCCESS : EXIT_FAILURE;
}
