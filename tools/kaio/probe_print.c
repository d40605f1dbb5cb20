#include "probe_print.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "number.h"
#include "probe_system.h"
#include "probe_target.h"
#include "probe_words.h"
#include "text.h"

enum {
    LINE_COLUMNS = 100,
    INDENT_COLUMNS = 2,
    NAME_COLUMNS = 26,
    SHORT_COLUMNS = 20,
    FLAG_COLUMNS = 11,
    TEXT_BYTES = 160,
};

// ---- rows ----

// fitting_bytes is how much of `text` goes into a line of `room` columns: whole words, if they fit.
static size_t fitting_bytes(const char *text, size_t room) {
    if (strlen(text) <= room) {
        return strlen(text);
    }
    size_t end = room;
    while (end > 0 && text[end] != ' ') {
        --end;
    }
    if (end > 0) {
        return end;
    }
    end = room;
    while (end > 1 && ((unsigned char)text[end] & 0xc0) == 0x80) {  // not inside a character
        --end;
    }
    return end;
}

// print_wrapped writes `text` from `column` on, where the line is already, and ends the line.
static void print_wrapped(const char *text, int column) {
    size_t room = (size_t)(LINE_COLUMNS - column);
    for (;;) {
        size_t count = fitting_bytes(text, room);
        text_put(stdout, text, count);
        (void)putchar('\n');
        text += count;
        text += strspn(text, " ");
        if (text[0] == '\0') {
            return;
        }
        (void)printf("%*s", column, "");
    }
}

static void print_fact(const char *name, const char *text) {
    (void)printf("%*s%-*s", INDENT_COLUMNS, "", NAME_COLUMNS, name);
    print_wrapped(text, INDENT_COLUMNS + NAME_COLUMNS);
}

static void print_answer(const char *name, const char *answer, const char *reason) {
    if (reason[0] == '\0') {
        print_fact(name, answer);
        return;
    }
    (void)printf("%*s%-*s%-*s", INDENT_COLUMNS, "", NAME_COLUMNS, name, SHORT_COLUMNS, answer);
    print_wrapped(reason, INDENT_COLUMNS + NAME_COLUMNS + SHORT_COLUMNS);
}

static void print_probe(const struct report *report, const struct probe *probe, const char *name) {
    char short_text[WORDS_SHORT_BYTES];
    char reason_text[WORDS_REASON_BYTES];
    print_answer(name, words_short(&probe->answer, short_text),
                 words_reason(report, probe, reason_text));
}

// What is to say about a good direct write is its answer.
static void print_direct_writes(const struct report *report) {
    for (size_t i = report_next(report, PROBE_GROUP_DIRECT_WRITE, 0); i < report->probe_count;
         i = report_next(report, PROBE_GROUP_DIRECT_WRITE, i + 1)) {
        const struct probe *probe = &report->probes[i];
        char text[WORDS_REASON_BYTES];
        if (probe->answer.result == ANSWER_OK) {
            print_fact(probe->name, words_reason(report, probe, text));
        } else {
            print_probe(report, probe, probe->name);
        }
    }
}

static void print_group(const struct report *report, enum probe_group group) {
    for (size_t i = report_next(report, group, 0); i < report->probe_count;
         i = report_next(report, group, i + 1)) {
        print_probe(report, &report->probes[i], report->probes[i].name);
    }
}

// As print_group, with the kernel's number behind each name.
static void print_numbered(const struct report *report, enum probe_group group) {
    for (size_t i = report_next(report, group, 0); i < report->probe_count;
         i = report_next(report, group, i + 1)) {
        char name[TEXT_BYTES];
        (void)snprintf(name, sizeof name, "%s (%u)", report->probes[i].name,
                       (unsigned)report->probes[i].value);
        print_probe(report, &report->probes[i], name);
    }
}

// ---- the system ----

static void print_count(const char *name, struct told told, const char *unknown_text) {
    char text[TEXT_BYTES];
    (void)snprintf(text, sizeof text, "%" PRIu64, told.value);
    print_fact(name, told.is_known ? text : unknown_text);
}

static void print_bytes(const char *name, struct told told) {
    char text[SIZE_TEXT_BYTES];
    print_fact(name, told.is_known ? size_format(told.value, text) : "unlimited");
}

static void print_capability(const char *name, const struct system_facts *system, int number) {
    bool is_there = (system->capabilities.value >> number & 1) != 0;
    print_fact(name, !system->capabilities.is_known ? "not told" : is_there ? "yes" : "no");
}

static void print_seccomp(struct told mode) {
    static const char *const names[] = {"off", "strict", "a filter is installed"};
    bool is_named = mode.is_known && mode.value < sizeof names / sizeof names[0];
    print_fact("seccomp", is_named ? names[mode.value] : "not told");
}

static void print_room(const struct system_facts *system) {
    char text[TEXT_BYTES];
    uint64_t nr = system->aio_nr.value;
    uint64_t max_nr = system->aio_max_nr.value;
    if (!system->aio_nr.is_known || !system->aio_max_nr.is_known) {
        print_fact("fs.aio-max-nr", "not told");
        return;
    }
    (void)snprintf(text, sizeof text,
                   "%" PRIu64 ", fs.aio-nr %" PRIu64 ": %" PRIu64 " more can be asked for", max_nr,
                   nr, nr < max_nr ? max_nr - nr : 0);
    print_fact("fs.aio-max-nr", text);
}

static void print_io_uring(struct told disabled) {
    char text[TEXT_BYTES];
    (void)snprintf(text, sizeof text, "%" PRIu64 " (AIO does not mind)", disabled.value);
    print_fact("kernel.io_uring_disabled", disabled.is_known ? text : "not told");
}

static void print_system(const struct system_facts *system) {
    (void)puts("Kernel");
    print_fact("release", system->release);
    print_fact("machine", system->machine);
    print_room(system);
    print_io_uring(system->io_uring_disabled);
    (void)puts("\nProcess");
    print_seccomp(system->seccomp_mode);
    print_bytes("RLIMIT_FSIZE", system->fsize_bytes);
    print_count("RLIMIT_NOFILE", system->nofile_count, "unlimited");
    print_bytes("RLIMIT_MEMLOCK", system->memlock_bytes);
    print_capability("CAP_SYS_ADMIN", system, CAPABILITY_SYS_ADMIN);
    print_capability("CAP_SYS_NICE", system, CAPABILITY_SYS_NICE);
}

// ---- calls and ring ----

static void print_ring(const struct report *report) {
    const struct ring_facts *ring = &report->ring;
    char text[TEXT_BYTES];
    (void)puts("\nRing of io_setup(1)");
    print_group(report, PROBE_GROUP_RING);
    if (report_find(report, PROBE_GROUP_RING, "ring")->result != ANSWER_OK) {
        return;
    }
    (void)snprintf(text, sizeof text, "%u slots, of which %u can hold an event", (unsigned)ring->nr,
                   (unsigned)ring->nr - 1);
    print_fact("nr", text);
    (void)snprintf(text, sizeof text, "id %u, head %u, tail %u, magic 0x%08x", (unsigned)ring->id,
                   (unsigned)ring->head, (unsigned)ring->tail, (unsigned)ring->magic);
    print_fact("header", text);
    (void)snprintf(text, sizeof text, "compat_features %u, incompat_features %u, header_length %u",
                   (unsigned)ring->compat_features, (unsigned)ring->incompat_features,
                   (unsigned)ring->header_bytes);
    print_fact("", text);
}

// ---- PATH ----

static void print_size(const char *name, bool is_known, uint32_t bytes) {
    char text[TEXT_BYTES];
    (void)snprintf(text, sizeof text, "%u bytes", (unsigned)bytes);
    print_fact(name, !is_known ? "not reported" : bytes == 0 ? "0: not possible" : text);
}

static void print_alignment(const struct alignment *alignment) {
    char text[TEXT_BYTES];
    (void)puts("\nAlignment, as statx reports it");
    if (!alignment->is_asked) {
        print_fact("statx", "not asked: there is no file");
        return;
    }
    if (alignment->os_error != 0) {
        print_fact("statx", strerror(alignment->os_error));
    }
    print_size("O_DIRECT memory", alignment->is_direct_known, alignment->memory_bytes);
    print_size("O_DIRECT offset", alignment->is_direct_known, alignment->offset_bytes);
    print_size("O_DIRECT read offset", alignment->is_read_known, alignment->read_offset_bytes);
    (void)snprintf(text, sizeof text, "%u to %u bytes, at most %u segments",
                   (unsigned)alignment->atomic_min_bytes, (unsigned)alignment->atomic_max_bytes,
                   (unsigned)alignment->atomic_segment_count);
    print_fact("atomic writes", !alignment->is_atomic_known        ? "not reported"
                                : alignment->atomic_max_bytes == 0 ? "0: not possible"
                                                                   : text);
}

static void print_place(const char *name, const struct place *place) {
    char text[WORDS_REASON_BYTES];
    print_answer(name, place->why == WHY_NONE ? "ok" : "not tried", words_place(place, text));
}

static void print_target(const struct target *target) {
    char text[TEXT_BYTES];
    (void)puts("\nPath");
    print_fact("path", target->path);
    print_fact("kind", target_kind_name(target->kind));
    print_fact("probed by", target_method(target->kind));
    if (target->file_system_magic != 0) {
        const char *name = target_file_system_name(target->file_system_magic);
        (void)snprintf(text, sizeof text, "0x%" PRIx64, target->file_system_magic);
        print_fact("file system", name != NULL ? name : text);
    }
    print_place("buffered reads", &target->places[PROBE_READ][PROBE_BUFFERED]);
    print_place("buffered writes", &target->places[PROBE_WRITE][PROBE_BUFFERED]);
    print_place("direct reads", &target->places[PROBE_READ][PROBE_DIRECT]);
    print_place("direct writes", &target->places[PROBE_WRITE][PROBE_DIRECT]);
    if (target->fill_error != 0) {
        print_answer("the file's content", "incomplete", strerror(target->fill_error));
    }
}

// ---- the table of flags ----

// find_flag gives the probe of the flag at `index` for another operation and mode.
static const struct probe *find_flag(const struct report *report, size_t index,
                                     enum probe_operation operation, enum probe_mode mode) {
    size_t i = index;
    while (report->probes[i].operation != operation || report->probes[i].mode != mode) {
        ++i;
    }
    return &report->probes[i];
}

static void print_cell(const struct probe *probe, bool is_last) {
    char text[WORDS_SHORT_BYTES];
    (void)printf("%-*s", is_last ? 0 : SHORT_COLUMNS, words_short(&probe->answer, text));
}

static void print_flag(const struct report *report, size_t index) {
    const char *name = report->probes[index].name;
    (void)printf("%*s%-*s", INDENT_COLUMNS, "", FLAG_COLUMNS, name);
    print_cell(find_flag(report, index, PROBE_READ, PROBE_BUFFERED), false);
    print_cell(find_flag(report, index, PROBE_WRITE, PROBE_BUFFERED), false);
    print_cell(find_flag(report, index, PROBE_READ, PROBE_DIRECT), false);
    print_cell(find_flag(report, index, PROBE_WRITE, PROBE_DIRECT), true);
    (void)putchar('\n');
}

struct note {
    char answer[WORDS_SHORT_BYTES];
    char reason[WORDS_REASON_BYTES];
};

static bool is_noted(const struct note *notes, size_t count, const struct note *note) {
    for (size_t i = 0; i < count; ++i) {
        if (strcmp(notes[i].answer, note->answer) == 0 &&
            strcmp(notes[i].reason, note->reason) == 0) {
            return true;
        }
    }
    return false;
}

// print_notes says once what stands in the cells.
static void print_notes(const struct report *report) {
    struct note notes[PROBE_MAX];
    size_t count = 0;
    for (size_t i = report_next(report, PROBE_GROUP_RW_FLAG, 0); i < report->probe_count;
         i = report_next(report, PROBE_GROUP_RW_FLAG, i + 1)) {
        char short_text[WORDS_SHORT_BYTES];
        char reason_text[WORDS_REASON_BYTES];
        struct note *note = &notes[count];
        (void)snprintf(note->answer, sizeof note->answer, "%s",
                       words_short(&report->probes[i].answer, short_text));
        (void)snprintf(note->reason, sizeof note->reason, "%s",
                       words_reason(report, &report->probes[i], reason_text));
        if (note->reason[0] != '\0' && !is_noted(notes, count, note)) {
            print_fact(note->answer, note->reason);
            ++count;
        }
    }
}

static void print_flags(const struct report *report) {
    (void)puts("\nFlags of reads and writes (RWF_...)");
    (void)printf("%*s%-*s%-*s%-*s%-*s%s\n", INDENT_COLUMNS, "", FLAG_COLUMNS, "flag", SHORT_COLUMNS,
                 "buffered read", SHORT_COLUMNS, "buffered write", SHORT_COLUMNS, "direct read",
                 "direct write");
    const char *name = "";
    for (size_t i = report_next(report, PROBE_GROUP_RW_FLAG, 0); i < report->probe_count;
         i = report_next(report, PROBE_GROUP_RW_FLAG, i + 1)) {
        if (strcmp(report->probes[i].name, name) != 0) {
            name = report->probes[i].name;
            print_flag(report, i);
        }
    }
    (void)putchar('\n');
    print_fact("submit: ERROR", "refused by io_submit itself");
    print_fact("event: ERROR", "taken by io_submit, and the event says so");
    print_notes(report);
}

// ----

void probe_print(const struct report *report) {
    print_system(&report->system);
    (void)puts("\nCalls");
    print_group(report, PROBE_GROUP_CALL);
    print_ring(report);
    print_target(&report->target);
    print_alignment(&report->target.alignment);
    (void)puts("\nOpcodes");
    print_numbered(report, PROBE_GROUP_OPCODE);
    (void)puts("\nFlags of a request (IOCB_FLAG_...)");
    print_group(report, PROBE_GROUP_REQUEST_FLAG);
    (void)puts("\nPriorities, by class");
    print_numbered(report, PROBE_GROUP_PRIORITY);
    print_flags(report);
    (void)puts("\nDirect writes: does io_submit wait for them?");
    print_direct_writes(report);
}
