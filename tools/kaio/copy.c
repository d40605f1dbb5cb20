#include "copy.h"

#include <argp.h>
#include <inttypes.h>
#include <stdlib.h>

#include "copy_file.h"
#include "message.h"
#include "number.h"
#include "progress.h"

enum {
    DEFAULT_DEPTH = 4,
    DEPTH_MAX = 1024,
    DEFAULT_BLOCK_BYTES = 2 << 20,  // one large page
    BLOCK_MIN_BYTES = 512,
    BLOCK_MAX_BYTES = 1 << 28,
    BUFFERS_MAX_BYTES = 1 << 30
};

enum key { KEY_BUFFERED = 0x100, KEY_NO_PROGRESS, KEY_VERIFY };

struct arguments {
    struct copy_options options;
    bool is_silent;
};

static uint32_t parse_depth(struct argp_state *state, const char *text) {
    uint64_t depth = 0;
    if (!number_parse(text, &depth) || depth < 1 || depth > DEPTH_MAX) {
        argp_error(state, "--depth=%s: a number from 1 to %d is needed", text, DEPTH_MAX);
    }
    return (uint32_t)depth;
}

static uint32_t parse_block(struct argp_state *state, const char *text) {
    uint64_t bytes = 0;
    bool is_good = size_parse(text, &bytes) && bytes >= BLOCK_MIN_BYTES &&
                   bytes <= BLOCK_MAX_BYTES && (bytes & (bytes - 1)) == 0;
    if (!is_good) {
        argp_error(state, "--block-size=%s: a power of two from %d to %dM is needed", text,
                   BLOCK_MIN_BYTES, BLOCK_MAX_BYTES >> 20);
    }
    return (uint32_t)bytes;
}

static void take_name(struct argp_state *state, struct copy_options *options, char *name) {
    if (state->arg_num == 0) {
        options->source = name;
    } else if (state->arg_num == 1) {
        options->target = name;
    } else {
        argp_error(state, "%s: one SRC and one DST, and no more", name);
    }
}

static void check_all(struct argp_state *state, const struct copy_options *options) {
    if (options->target == NULL) {
        argp_error(state, "%s is missing", options->source == NULL ? "SRC" : "DST");
    }
    if ((uint64_t)options->depth * options->block_bytes > BUFFERS_MAX_BYTES) {
        argp_error(state, "--depth=%" PRIu32 " blocks of %" PRIu32 " bytes are more than %dG",
                   options->depth, options->block_bytes, BUFFERS_MAX_BYTES >> 30);
    }
}

static error_t parse(int key, char *argument, struct argp_state *state) {
    struct arguments *arguments = state->input;
    struct copy_options *options = &arguments->options;
    switch (key) {
        case 'd':
            options->depth = parse_depth(state, argument);
            return 0;
        case 'b':
            options->block_bytes = parse_block(state, argument);
            return 0;
        case 'p':
            options->is_preserved = true;
            return 0;
        case KEY_BUFFERED:
            options->is_buffered = true;
            return 0;
        case KEY_NO_PROGRESS:
            arguments->is_silent = true;
            return 0;
        case KEY_VERIFY:
            options->is_verified = true;
            return 0;
        case ARGP_KEY_ARG:
            take_name(state, options, argument);
            return 0;
        case ARGP_KEY_END:
            check_all(state, options);
            return 0;
        default:
            return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option option_list[] = {
    {"depth", 'd', "N", 0, "Keep N blocks in flight (4)", 0},
    {"block-size", 'b', "SIZE", 0, "Move SIZE bytes at a time, a power of two; K, M (2M)", 0},
    {"preserve", 'p', NULL, 0, "Keep the mode and both times to the nanosecond, not the owner", 0},
    {"verify", KEY_VERIFY, NULL, 0, "Read both back and compare their checksums (XXH3)", 0},
    {"buffered", KEY_BUFFERED, NULL, 0, "Copy through the page cache", 0},
    {"no-progress", KEY_NO_PROGRESS, NULL, 0, "No progress line, on a terminal either", 0},
    {0}};

static const char documentation[] =
    "Copy a file past the page cache, many blocks at a time, and keep its holes."
    "\v"
    "DST appears only when it is whole and durable: until then it is DST's folder's "
    "`.DST.kaio-XXXXXX', which is removed on every error and signal. What was at DST is replaced, "
    "also a symbolic link; a directory or a device is not.  A new file has SRC's permissions less "
    "the "
    "umask.  A source that changes meanwhile is an error.\n\n"
    "For example, a disk image with a second look at it:\n\n"
    "  kaio copy --verify -p disk.img /backup/disk.img\n\n"
    "Exit status: 0 copied, 1 failed, 64 wrong usage.";

int copy_command(int argc, char **argv) {
    static const struct argp argp = {option_list, parse, "SRC DST", documentation,
                                     NULL,        NULL,  NULL};
    struct arguments arguments = {
        .options = {.depth = DEFAULT_DEPTH, .block_bytes = DEFAULT_BLOCK_BYTES}};
    (void)argp_parse(&argp, argc, argv, 0, NULL, &arguments);
    message_begin("copy");
    if (!arguments.is_silent) {
        progress_allow();
    }
    return copy_file(&arguments.options) ? EXIT_SUCCESS : EXIT_FAILURE;
}
