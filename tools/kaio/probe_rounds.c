#include "probe_rounds.h"

#include "probe_worker.h"

struct round {
    struct report *report;
    const struct round_work *work;
    size_t first;
    size_t last;
};

static void mark_stuck(struct report *report, size_t first, size_t last) {
    for (size_t i = first; i < last; ++i) {
        report->probes[i].answer = (struct answer){.why = WHY_STUCK};
    }
}

// The child's part. An event that did not come leaves a request in flight: no more are sent.
static void run_round(void *context) {
    const struct round *round = context;
    struct report *report = round->report;
    round->work->begin(report);
    report->is_begun = true;
    for (size_t i = round->first; i < round->last; ++i) {
        report->current = i;
        worker_tick();
        round->work->run(report, &report->probes[i]);
        if (report->probes[i].answer.is_late) {
            mark_stuck(report, i + 1, round->last);
            return;
        }
    }
}

static void mark_end(struct report *report, size_t index, const struct worker_end *end) {
    bool is_late = end->fate == WORKER_LATE;
    report->probes[index].answer =
        (struct answer){.result = is_late ? ANSWER_FAILED : ANSWER_KILLED,
                        .channel = report->stage,
                        .signal = end->signal,
                        .is_late = is_late};
}

// end_round gives the first probe that is still to be done.
static size_t end_round(struct report *report, const struct round *round,
                        const struct worker_end *end) {
    if (end->fate == WORKER_DONE) {
        return round->last;
    }
    if (!report->is_begun) {  // and the next child would not get further
        for (size_t i = round->first; i < round->last; ++i) {
            mark_end(report, i, end);
        }
        return round->last;
    }
    mark_end(report, report->current, end);
    if (end->fate == WORKER_KILLED) {
        return report->current + 1;
    }
    mark_stuck(report, report->current + 1, round->last);
    return round->last;
}

bool rounds_run(struct report *report, size_t first, size_t last, const struct round_work *work) {
    struct round round = {.report = report, .work = work, .first = first, .last = last};
    while (round.first < round.last) {
        struct worker_end end;
        report->is_begun = false;
        report->stage = CHANNEL_CALL;
        if (!worker_run(run_round, &round, report->timeout_s + 1, &end)) {
            return false;
        }
        round.first = end_round(report, &round, &end);
    }
    return true;
}

void rounds_stage(struct report *report, enum answer_channel stage) {
    report->stage = stage;
}
