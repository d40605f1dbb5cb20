#include "probe_json.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"
#include "probe_system.h"
#include "probe_target.h"
#include "probe_words.h"
#include "text.h"

// A number that grows when a key changes its meaning or goes; new keys may come without.
enum { FORMAT_VERSION = 1 };

// Of all functions below: what there is no memory for is left out, and the whole is incomplete
// then.
static bool is_incomplete;

static json_t *number(uint64_t value) {
    return json_integer((json_int_t)value);
}

// What is more than an integer of JSON can be here is a limit, and as good as none.
static json_t *number_or_null(bool is_known, uint64_t value) {
    return is_known && value <= INT64_MAX ? number(value) : json_null();
}

static json_t *told_number(struct told told) {
    return number_or_null(told.is_known, told.value);
}

// text makes a string of any bytes; each that is no UTF-8 becomes "?".
static json_t *text(const char *bytes) {
    char plain[TARGET_PATH_BYTES];
    (void)snprintf(plain, sizeof plain, "%s", bytes);
    size_t i = 0;
    while (plain[i] != '\0') {
        size_t count = text_character(plain + i);
        if (count == 0) {
            plain[i] = '?';
        }
        i += count == 0 ? 1 : count;
    }
    return json_string(plain);
}

static json_t *text_or_null(const char *bytes) {
    return bytes == NULL || bytes[0] == '\0' ? json_null() : text(bytes);
}

static void set(json_t *object, const char *key, json_t *value) {
    is_incomplete |= json_object_set_new(object, key, value) != 0;
}

// ---- the system ----

static json_t *kernel_object(const struct system_facts *system) {
    json_t *object = json_object();
    set(object, "release", text(system->release));
    set(object, "machine", text(system->machine));
    set(object, "aio_nr", told_number(system->aio_nr));
    set(object, "aio_max_nr", told_number(system->aio_max_nr));
    bool is_known = system->aio_nr.is_known && system->aio_max_nr.is_known;
    bool is_free = system->aio_nr.value < system->aio_max_nr.value;
    set(object, "aio_left",
        number_or_null(is_known, is_free ? system->aio_max_nr.value - system->aio_nr.value : 0));
    set(object, "io_uring_disabled", told_number(system->io_uring_disabled));
    return object;
}

static json_t *capability(const struct system_facts *system, int bit) {
    return system->capabilities.is_known
               ? json_boolean((system->capabilities.value >> bit & 1) != 0)
               : json_null();
}

static json_t *process_object(const struct system_facts *system) {
    json_t *object = json_object();
    set(object, "seccomp_mode", told_number(system->seccomp_mode));
    set(object, "rlimit_fsize", told_number(system->fsize_bytes));
    set(object, "rlimit_nofile", told_number(system->nofile_count));
    set(object, "rlimit_memlock", told_number(system->memlock_bytes));
    set(object, "cap_sys_admin", capability(system, CAPABILITY_SYS_ADMIN));
    set(object, "cap_sys_nice", capability(system, CAPABILITY_SYS_NICE));
    return object;
}

// ---- probes ----

static json_t *probe_object(const struct report *report, const struct probe *probe) {
    const struct answer *answer = &probe->answer;
    char error_text[WORDS_SHORT_BYTES];
    char reason_text[WORDS_REASON_BYTES];
    json_t *object = json_object();
    set(object, "name", text(probe->name));
    set(object, "result", text(words_result(answer->result)));
    set(object, "channel", text_or_null(words_channel(answer->channel)));
    bool has_error = answer->os_error != 0;
    set(object, "errno", has_error ? text(words_error(answer->os_error, error_text)) : json_null());
    set(object, "errno_number", has_error ? json_integer(answer->os_error) : json_null());
    set(object, "reason", text_or_null(words_reason(report, probe, reason_text)));
    return object;
}

static void add_number(json_t *object, const struct probe *probe) {
    set(object, "number", number(probe->value));
}

static void add_way(json_t *object, const struct probe *probe) {
    add_number(object, probe);
    set(object, "operation", text(probe->operation == PROBE_READ ? "read" : "write"));
    set(object, "mode", text(probe->mode == PROBE_BUFFERED ? "buffered" : "direct"));
    set(object, "eagain_count", number(probe->answer.again_count));
}

static void add_times(json_t *object, const struct probe *probe) {
    const struct answer *answer = &probe->answer;
    bool is_known = words_behaviour(answer) != NULL;
    set(object, "behaviour", text_or_null(words_behaviour(answer)));
    set(object, "write_count", number_or_null(is_known, answer->sample_count));
    set(object, "inside_count", number_or_null(is_known, answer->inside_count));
    set(object, "submit_median_ns", number_or_null(is_known, (uint64_t)answer->median_ns));
    set(object, "submit_longest_ns", number_or_null(is_known, (uint64_t)answer->longest_ns));
}

static void add_nothing(json_t *object, const struct probe *probe) {
    (void)object;
    (void)probe;
}

static json_t *probe_array(const struct report *report, enum probe_group group,
                           void (*add_more)(json_t *object, const struct probe *probe)) {
    json_t *array = json_array();
    for (size_t i = report_next(report, group, 0); i < report->probe_count;
         i = report_next(report, group, i + 1)) {
        json_t *object = probe_object(report, &report->probes[i]);
        add_more(object, &report->probes[i]);
        is_incomplete |= json_array_append_new(array, object) != 0;
    }
    return array;
}

static json_t *ring_object(const struct report *report) {
    const struct probe *probe = &report->probes[report_next(report, PROBE_GROUP_RING, 0)];
    const struct ring_facts *ring = &report->ring;
    bool is_known = probe->answer.result == ANSWER_OK;
    json_t *object = probe_object(report, probe);
    set(object, "is_mapped", json_boolean(is_known));
    set(object, "nr", number_or_null(is_known, ring->nr));
    set(object, "id", number_or_null(is_known, ring->id));
    set(object, "head", number_or_null(is_known, ring->head));
    set(object, "tail", number_or_null(is_known, ring->tail));
    set(object, "magic", number_or_null(is_known, ring->magic));
    set(object, "compat_features", number_or_null(is_known, ring->compat_features));
    set(object, "incompat_features", number_or_null(is_known, ring->incompat_features));
    set(object, "header_length", number_or_null(is_known, ring->header_bytes));
    return object;
}

// ---- PATH ----

static json_t *place_object(const struct place *place) {
    char error_text[WORDS_SHORT_BYTES];
    char reason_text[WORDS_REASON_BYTES];
    json_t *object = json_object();
    bool has_error = place->os_error != 0;
    set(object, "is_open", json_boolean(place->why == WHY_NONE));
    set(object, "errno", has_error ? text(words_error(place->os_error, error_text)) : json_null());
    set(object, "reason", text_or_null(words_place(place, reason_text)));
    return object;
}

static json_t *path_object(const struct target *target) {
    json_t *object = json_object();
    bool has_magic = target->file_system_magic != 0;
    set(object, "path", text(target->path));
    set(object, "kind", text(target_kind_name(target->kind)));
    set(object, "probed_by", text(target_method(target->kind)));
    set(object, "file_system",
        text_or_null(has_magic ? target_file_system_name(target->file_system_magic) : NULL));
    set(object, "file_system_magic", number_or_null(has_magic, target->file_system_magic));
    set(object, "buffered_read", place_object(&target->places[PROBE_READ][PROBE_BUFFERED]));
    set(object, "buffered_write", place_object(&target->places[PROBE_WRITE][PROBE_BUFFERED]));
    set(object, "direct_read", place_object(&target->places[PROBE_READ][PROBE_DIRECT]));
    set(object, "direct_write", place_object(&target->places[PROBE_WRITE][PROBE_DIRECT]));
    return object;
}

static json_t *alignment_object(const struct alignment *alignment) {
    json_t *object = json_object();
    bool is_direct = alignment->is_direct_known;
    bool is_read = alignment->is_read_known;
    bool is_atomic = alignment->is_atomic_known;
    set(object, "dio_mem_align", number_or_null(is_direct, alignment->memory_bytes));
    set(object, "dio_offset_align", number_or_null(is_direct, alignment->offset_bytes));
    set(object, "dio_read_offset_align", number_or_null(is_read, alignment->read_offset_bytes));
    set(object, "atomic_write_unit_min", number_or_null(is_atomic, alignment->atomic_min_bytes));
    set(object, "atomic_write_unit_max", number_or_null(is_atomic, alignment->atomic_max_bytes));
    set(object, "atomic_write_segments_max",
        number_or_null(is_atomic, alignment->atomic_segment_count));
    return object;
}

// ----

bool probe_json(const struct report *report) {
    json_t *object = json_object();
    set(object, "version", json_integer(FORMAT_VERSION));
    set(object, "kernel", kernel_object(&report->system));
    set(object, "process", process_object(&report->system));
    set(object, "calls", probe_array(report, PROBE_GROUP_CALL, add_nothing));
    set(object, "ring", ring_object(report));
    set(object, "path", path_object(&report->target));
    set(object, "alignment", alignment_object(&report->target.alignment));
    set(object, "opcodes", probe_array(report, PROBE_GROUP_OPCODE, add_number));
    set(object, "iocb_flags", probe_array(report, PROBE_GROUP_REQUEST_FLAG, add_number));
    set(object, "priorities", probe_array(report, PROBE_GROUP_PRIORITY, add_number));
    set(object, "rw_flags", probe_array(report, PROBE_GROUP_RW_FLAG, add_way));
    set(object, "direct_writes", probe_array(report, PROBE_GROUP_DIRECT_WRITE, add_times));
    char *lines = is_incomplete ? NULL : json_dumps(object, JSON_INDENT(2));
    json_decref(object);
    if (lines == NULL) {
        return message_os_error("JSON", "make", ENOMEM);
    }
    (void)puts(lines);
    free(lines);
    return true;
}
