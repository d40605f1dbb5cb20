// kaio: file work over the library, one command each.
//
// Usage: kaio COMMAND [OPTION...] ...     `kaio --help` lists the commands.
// Exit:  0 done, 1 failed, 64 wrong usage.

#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "copy.h"
#include "probe.h"

const char *argp_program_version = "kaio 0.1.0";

struct command {
    const char *name;
    char *full_name;  // what argp calls it
    int (*run)(int argc, char **argv);
};

static char bench_name[] = "kaio bench";
static char copy_name[] = "kaio copy";
static char probe_name[] = "kaio probe";

static const struct command commands[] = {{"bench", bench_name, bench_command},
                                          {"copy", copy_name, copy_command},
                                          {"probe", probe_name, probe_command}};

static const struct command *find_command(const char *name) {
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; ++i) {
        if (strcmp(commands[i].name, name) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

// What argp is looking for: the command, and where its own arguments begin.
struct choice {
    const struct command *command;
    int first;
};

static error_t parse(int key, char *argument, struct argp_state *state) {
    struct choice *choice = state->input;
    switch (key) {
        case ARGP_KEY_ARG:
            choice->command = find_command(argument);
            if (choice->command == NULL) {
                argp_error(state, "%s: no such command", argument);
            }
            choice->first = state->next - 1;
            state->next = state->argc;  // the rest is the command's
            return 0;
        case ARGP_KEY_NO_ARGS:
            argp_error(state, "which command?");
            return EINVAL;
        default:
            return ARGP_ERR_UNKNOWN;
    }
}

// enter_users_folder goes where `bazel run` was called, so that relative paths mean the same there.
static int enter_users_folder(void) {
    const char *folder = getenv("BUILD_WORKING_DIRECTORY");
    if (folder == NULL || folder[0] == '\0' || chdir(folder) == 0) {
        return EXIT_SUCCESS;
    }
    (void)fprintf(stderr, "kaio: %s (BUILD_WORKING_DIRECTORY): %s\n", folder, strerror(errno));
    return EXIT_FAILURE;
}

static const char documentation[] =
    "File work by asynchronous I/O."
    "\v"
    "Commands:\n\n"
    "  bench [ROW...]  measure kaio beside libaio, io_uring and threads\n"
    "  copy SRC DST    copy a file, whole and durable or not at all\n"
    "  probe [PATH]    find out what asynchronous I/O works here\n\n"
    "`kaio COMMAND --help' tells more.";

int main(int argc, char **argv) {
    static const struct argp argp = {NULL, parse, "COMMAND ...", documentation, NULL, NULL, NULL};
    static char name[] = "kaio";
    struct choice choice = {0};
    if (argc > 0) {
        argv[0] = name;
    }
    (void)argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &choice);
    if (enter_users_folder() != EXIT_SUCCESS) {
        return EXIT_FAILURE;
    }
    argv[choice.first] = choice.command->full_name;
    return choice.command->run(argc - choice.first, argv + choice.first);
}
