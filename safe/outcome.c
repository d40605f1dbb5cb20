#include "kaio/safe/outcome.h"

#include <errno.h>
#include <poll.h>

#include "outcome_count.h"

static int32_t error_of(const kaio_ending *ending) {
    if (ending->kernel_result >= 0) {
        return 0;
    }
    // No kernel says less than -4095; an invented number stays an error.
    return ending->kernel_result < -INT32_MAX ? INT32_MAX : (int32_t)-ending->kernel_result;
}

static kaio_transfer_outcome of_count(const kaio_ending *ending, uint64_t moved_bytes) {
    bool is_read = ending->operation == KAIO_READ || ending->operation == KAIO_READV;
    return kaio_outcome_of_count(is_read, moved_bytes, ending->asked_bytes);
}

// ended_early tells whether the end that was asked for is how it ended. A cancelled request moved
// nothing; another error than the kernels' words for it is an error of its own.
static bool ended_early(const kaio_ending *ending) {
    return ending->kernel_result == -ECANCELED ||
           (ending->was_cancelled &&
            (ending->kernel_result == 0 || ending->kernel_result == -EINTR));
}

static kaio_transfer_outcome of_transfer(const kaio_ending *ending) {
    if (ending->was_refused) {
        return KAIO_TRANSFER_REFUSED;
    }
    if (ended_early(ending)) {
        return KAIO_TRANSFER_CANCELLED;
    }
    if (ending->kernel_result >= 0) {
        return of_count(ending, (uint64_t)ending->kernel_result);
    }
    return error_of(ending) == EAGAIN ? KAIO_TRANSFER_WOULD_BLOCK : KAIO_TRANSFER_FAILED;
}

static kaio_sync_outcome of_sync(const kaio_ending *ending) {
    if (ending->was_refused) {
        return KAIO_SYNC_REFUSED;
    }
    if (ending->was_preceded) {
        return KAIO_SYNC_PRECEDED_BY_FAILURE;
    }
    if (ended_early(ending)) {
        return KAIO_SYNC_CANCELLED;
    }
    return ending->kernel_result == 0 ? KAIO_SYNC_SYNCED : KAIO_SYNC_FAILED;
}

// What is told of a file whether it was asked for or not. Kernel: aio_poll, fs/aio.c.
static const uint16_t always_events = POLLERR | POLLHUP | POLLNVAL;

static kaio_poll_outcome of_poll(const kaio_ending *ending) {
    if (ending->was_refused) {
        return KAIO_POLL_REFUSED;
    }
    if (ended_early(ending)) {
        return KAIO_POLL_CANCELLED;
    }
    return ending->kernel_result >= 0 ? KAIO_POLL_READY : KAIO_POLL_FAILED;
}

static kaio_verdict transfer_verdict(const kaio_ending *ending) {
    kaio_verdict verdict = {.transfer = of_transfer(ending)};
    verdict.met_end = verdict.transfer == KAIO_TRANSFER_END;
    switch (verdict.transfer) {
        case KAIO_TRANSFER_FULL:
        case KAIO_TRANSFER_SHORT:
            verdict.moved_bytes = (uint64_t)ending->kernel_result;
            return verdict;
        case KAIO_TRANSFER_WOULD_BLOCK:
        case KAIO_TRANSFER_REFUSED:
        case KAIO_TRANSFER_FAILED:
            verdict.os_error = error_of(ending);
            return verdict;
        case KAIO_TRANSFER_PENDING:
        case KAIO_TRANSFER_END:
        case KAIO_TRANSFER_CANCELLED:
            return verdict;
    }
    return verdict;
}

static kaio_verdict sync_verdict(const kaio_ending *ending) {
    kaio_verdict verdict = {.sync = of_sync(ending)};
    if (verdict.sync == KAIO_SYNC_REFUSED || verdict.sync == KAIO_SYNC_FAILED) {
        verdict.os_error = error_of(ending);
    }
    return verdict;
}

static kaio_verdict poll_verdict(const kaio_ending *ending) {
    kaio_verdict verdict = {.poll = of_poll(ending)};
    if (verdict.poll == KAIO_POLL_READY) {
        uint16_t wanted = ending->asked_events.bits | always_events;
        verdict.events.bits = (uint16_t)ending->kernel_result & wanted;
    } else if (verdict.poll != KAIO_POLL_CANCELLED) {
        verdict.os_error = error_of(ending);
    }
    return verdict;
}

kaio_verdict kaio_verdict_from_ending(kaio_ending ending) {
    switch (ending.operation) {
        case KAIO_READ:
        case KAIO_WRITE:
        case KAIO_READV:
        case KAIO_WRITEV:
            return transfer_verdict(&ending);
        case KAIO_SYNC:
            return sync_verdict(&ending);
        case KAIO_POLL:
            return poll_verdict(&ending);
        case KAIO_NO_OPERATION:
            break;
    }
    return (kaio_verdict){.transfer = KAIO_TRANSFER_PENDING};
}

const char *kaio_operation_name(kaio_operation operation) {
    switch (operation) {
        case KAIO_NO_OPERATION:
            return "no operation";
        case KAIO_READ:
            return "read";
        case KAIO_WRITE:
            return "write";
        case KAIO_READV:
            return "readv";
        case KAIO_WRITEV:
            return "writev";
        case KAIO_SYNC:
            return "sync";
        case KAIO_POLL:
            return "poll";
    }
    return "invalid";
}

const char *kaio_transfer_outcome_name(kaio_transfer_outcome outcome) {
    switch (outcome) {
        case KAIO_TRANSFER_PENDING:
            return "pending";
        case KAIO_TRANSFER_FULL:
            return "full";
        case KAIO_TRANSFER_SHORT:
            return "short";
        case KAIO_TRANSFER_END:
            return "end";
        case KAIO_TRANSFER_WOULD_BLOCK:
            return "would block";
        case KAIO_TRANSFER_CANCELLED:
            return "cancelled";
        case KAIO_TRANSFER_REFUSED:
            return "refused";
        case KAIO_TRANSFER_FAILED:
            return "failed";
    }
    return "invalid";
}

const char *kaio_sync_outcome_name(kaio_sync_outcome outcome) {
    switch (outcome) {
        case KAIO_SYNC_PENDING:
            return "pending";
        case KAIO_SYNC_SYNCED:
            return "synced";
        case KAIO_SYNC_PRECEDED_BY_FAILURE:
            return "preceded by failure";
        case KAIO_SYNC_CANCELLED:
            return "cancelled";
        case KAIO_SYNC_REFUSED:
            return "refused";
        case KAIO_SYNC_FAILED:
            return "failed";
    }
    return "invalid";
}

const char *kaio_poll_outcome_name(kaio_poll_outcome outcome) {
    switch (outcome) {
        case KAIO_POLL_PENDING:
            return "pending";
        case KAIO_POLL_READY:
            return "ready";
        case KAIO_POLL_CANCELLED:
            return "cancelled";
        case KAIO_POLL_REFUSED:
            return "refused";
        case KAIO_POLL_FAILED:
            return "failed";
    }
    return "invalid";
}
