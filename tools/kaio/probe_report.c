#include "probe_report.h"

#include <assert.h>
#include <string.h>

#include "kaio/raw/aio_abi.h"

static const struct probe list[] = {
    {.group = PROBE_GROUP_CALL, .name = "io_setup"},
    {.group = PROBE_GROUP_RING, .name = "ring"},
    {.group = PROBE_GROUP_CALL, .name = "io_submit"},
    {.group = PROBE_GROUP_CALL, .name = "io_cancel"},
    {.group = PROBE_GROUP_CALL, .name = "io_getevents"},
    {.group = PROBE_GROUP_CALL, .name = "io_pgetevents"},
    {.group = PROBE_GROUP_CALL, .name = "io_destroy"},
    {.group = PROBE_GROUP_OPCODE, .name = "pread", .value = KAIO_RAW_CMD_PREAD},
    {.group = PROBE_GROUP_OPCODE, .name = "pwrite", .value = KAIO_RAW_CMD_PWRITE},
    {.group = PROBE_GROUP_OPCODE, .name = "fsync", .value = KAIO_RAW_CMD_FSYNC},
    {.group = PROBE_GROUP_OPCODE, .name = "fdsync", .value = KAIO_RAW_CMD_FDSYNC},
    {.group = PROBE_GROUP_OPCODE,
     .name = "preadx",
     .value = KAIO_RAW_CMD_PREADX,
     .is_never_valid = true},
    {.group = PROBE_GROUP_OPCODE, .name = "poll", .value = KAIO_RAW_CMD_POLL},
    {.group = PROBE_GROUP_OPCODE,
     .name = "noop",
     .value = KAIO_RAW_CMD_NOOP,
     .is_never_valid = true},
    {.group = PROBE_GROUP_OPCODE, .name = "preadv", .value = KAIO_RAW_CMD_PREADV},
    {.group = PROBE_GROUP_OPCODE, .name = "pwritev", .value = KAIO_RAW_CMD_PWRITEV},
    {.group = PROBE_GROUP_REQUEST_FLAG, .name = "RESFD", .value = KAIO_RAW_FLAG_RESFD},
    {.group = PROBE_GROUP_REQUEST_FLAG, .name = "IOPRIO", .value = KAIO_RAW_FLAG_IOPRIO},
    {.group = PROBE_GROUP_PRIORITY, .name = "none", .value = KAIO_RAW_IOPRIO_CLASS_NONE},
    {.group = PROBE_GROUP_PRIORITY, .name = "real-time", .value = KAIO_RAW_IOPRIO_CLASS_RT},
    {.group = PROBE_GROUP_PRIORITY, .name = "best-effort", .value = KAIO_RAW_IOPRIO_CLASS_BE},
    {.group = PROBE_GROUP_PRIORITY, .name = "idle", .value = KAIO_RAW_IOPRIO_CLASS_IDLE},
    {.group = PROBE_GROUP_PRIORITY,
     .name = "invalid",
     .value = KAIO_RAW_IOPRIO_CLASS_INVALID,
     .is_never_valid = true},
    {.group = PROBE_GROUP_DIRECT_WRITE, .name = "overwrite"},
    {.group = PROBE_GROUP_DIRECT_WRITE, .name = "extend"},
};

// Each is tried four times: reading and writing, through the page cache and past it.
static const struct {
    const char *name;
    uint32_t value;
} rw_flags[] = {
    {"none", 0},
    {"HIPRI", KAIO_RAW_RWF_HIPRI},
    {"DSYNC", KAIO_RAW_RWF_DSYNC},
    {"SYNC", KAIO_RAW_RWF_SYNC},
    {"NOWAIT", KAIO_RAW_RWF_NOWAIT},
    {"APPEND", KAIO_RAW_RWF_APPEND},
    {"NOAPPEND", KAIO_RAW_RWF_NOAPPEND},
    {"ATOMIC", KAIO_RAW_RWF_ATOMIC},
    {"DONTCACHE", KAIO_RAW_RWF_DONTCACHE},
    {"NOSIGNAL", KAIO_RAW_RWF_NOSIGNAL},
};

enum {
    LIST_COUNT = sizeof list / sizeof list[0],
    RW_FLAG_COUNT = sizeof rw_flags / sizeof rw_flags[0],
    WAY_COUNT = PROBE_OPERATION_COUNT * PROBE_MODE_COUNT,
};
static_assert(LIST_COUNT + RW_FLAG_COUNT * WAY_COUNT <= PROBE_MAX, "PROBE_MAX is too small");

void report_fill(struct report *report) {
    memcpy(report->probes, list, sizeof list);
    report->probe_count = LIST_COUNT;
    for (size_t i = 0; i < (size_t)RW_FLAG_COUNT * WAY_COUNT; ++i) {
        report->probes[report->probe_count++] = (struct probe){
            .group = PROBE_GROUP_RW_FLAG,
            .name = rw_flags[i / WAY_COUNT].name,
            .value = rw_flags[i / WAY_COUNT].value,
            .operation = i % 2 == 0 ? PROBE_READ : PROBE_WRITE,
            .mode = i % WAY_COUNT < 2 ? PROBE_BUFFERED : PROBE_DIRECT,
        };
    }
}

size_t report_next(const struct report *report, enum probe_group group, size_t index) {
    while (index < report->probe_count && report->probes[index].group != group) {
        ++index;
    }
    return index;
}

const struct answer *report_find(const struct report *report, enum probe_group group,
                                 const char *name) {
    size_t i = report_next(report, group, 0);
    while (i < report->probe_count && strcmp(report->probes[i].name, name) != 0) {
        i = report_next(report, group, i + 1);
    }
    assert(i < report->probe_count);
    return &report->probes[i].answer;
}
