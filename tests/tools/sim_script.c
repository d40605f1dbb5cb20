// Gives the simulated kernel its script before main: numbers in the environment, named as the
// fields.

#include <stdlib.h>

#include "kaio/safe/sim/sim.h"

static uint32_t number(const char *name) {
    const char *text = getenv(name);
    return text == NULL ? 0 : (uint32_t)strtoul(text, NULL, 10);
}

__attribute__((constructor)) static void play(void) {
    kaio_sim_script script = {
        .submit_limit = number("SUBMIT_LIMIT"),
        .submit_error_count = number("SUBMIT_ERROR_COUNT"),
        .submit_error = (int32_t)number("SUBMIT_ERROR"),
        .setup_error_count = number("SETUP_ERROR_COUNT"),
        .setup_error = (int32_t)number("SETUP_ERROR"),
        .hold = number("HOLD") != 0,
        .reorder = number("REORDER") != 0,
        .seed = number("SEED"),
        .shorten_count = number("SHORTEN_COUNT"),
        .fail_count = number("FAIL_COUNT"),
        .fail_error = (int32_t)number("FAIL_ERROR"),
        .no_ring = number("NO_RING") != 0,
    };
    kaio_sim_play(&script);
}
