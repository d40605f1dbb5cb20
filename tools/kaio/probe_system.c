#define _GNU_SOURCE  // RLIMIT_MEMLOCK

#include "probe_system.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>

enum { LINE_BYTES = 256, DECIMAL = 10, HEXADECIMAL = 16 };

static struct told parse(const char *text, int base) {
    char *rest;
    unsigned long long value = strtoull(text, &rest, base);
    return (struct told){.is_known = rest != text, .value = value};
}

// read_number reads a file of one number.
static struct told read_number(const char *path) {
    struct told told = {0};
    char line[LINE_BYTES];
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return told;
    }
    if (fgets(line, sizeof line, file) != NULL) {
        told = parse(line, DECIMAL);
    }
    (void)fclose(file);
    return told;
}

static void take_line(const char *line, struct system_facts *facts) {
    static const char seccomp[] = "Seccomp:";
    static const char capabilities[] = "CapEff:";
    if (strncmp(line, seccomp, sizeof seccomp - 1) == 0) {
        facts->seccomp_mode = parse(line + sizeof seccomp - 1, DECIMAL);
    } else if (strncmp(line, capabilities, sizeof capabilities - 1) == 0) {
        facts->capabilities = parse(line + sizeof capabilities - 1, HEXADECIMAL);
    }
}

static void read_status(struct system_facts *facts) {
    char line[LINE_BYTES];
    FILE *file = fopen("/proc/self/status", "re");
    if (file == NULL) {
        return;
    }
    while (fgets(line, sizeof line, file) != NULL) {
        take_line(line, facts);
    }
    (void)fclose(file);
}

static struct told limit(int resource) {
    struct rlimit found;
    if (getrlimit((__rlimit_resource_t)resource, &found) != 0 || found.rlim_cur == RLIM_INFINITY) {
        return (struct told){0};
    }
    return (struct told){.is_known = true, .value = found.rlim_cur};
}

void system_read(struct system_facts *out_facts) {
    struct system_facts facts = {0};
    struct utsname name;
    if (uname(&name) == 0) {
        (void)snprintf(facts.release, sizeof facts.release, "%s", name.release);
        (void)snprintf(facts.machine, sizeof facts.machine, "%s", name.machine);
    }
    facts.aio_nr = read_number("/proc/sys/fs/aio-nr");
    facts.aio_max_nr = read_number("/proc/sys/fs/aio-max-nr");
    facts.io_uring_disabled = read_number("/proc/sys/kernel/io_uring_disabled");
    read_status(&facts);
    facts.fsize_bytes = limit(RLIMIT_FSIZE);
    facts.nofile_count = limit(RLIMIT_NOFILE);
    facts.memlock_bytes = limit(RLIMIT_MEMLOCK);
    *out_facts = facts;
}
