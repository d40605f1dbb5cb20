#include <stdio.h>

#include "kaio/safe/buffer.h"
#include "kaio/safe/queue.h"
#include "kaio/safe/view.h"
#include "table.h"

void kaio_completion_drop(kaio_completion *completion) {
    if (completion != NULL) {
        kaio_buffer_drop(&completion->buffer);
        kaio_view_drop(&completion->view);
        for (uint32_t i = 0; completion->segments != NULL && i < completion->segment_count; ++i) {
            kaio_buffer_drop(&completion->segments[i].buffer);
            kaio_view_drop(&completion->segments[i].view);
        }
    }
}

// line_head writes the part of a completion's line that its operation decides, as snprintf does.
static int line_head(const kaio_completion *completion, char *out_text, size_t size_bytes) {
    switch (completion->operation) {
        case KAIO_SYNC:
            return snprintf(out_text, size_bytes, "sync %s",
                            kaio_sync_outcome_name(completion->sync));
        case KAIO_POLL:
            return completion->poll == KAIO_POLL_READY
                       ? snprintf(out_text, size_bytes, "poll ready: events 0x%x",
                                  (unsigned)completion->events.bits)
                       : snprintf(out_text, size_bytes, "poll %s",
                                  kaio_poll_outcome_name(completion->poll));
        case KAIO_NO_OPERATION:
        case KAIO_READ:
        case KAIO_WRITE:
        case KAIO_READV:
        case KAIO_WRITEV:
            break;
    }
    return snprintf(out_text, size_bytes, "%s %s: %llu of %u bytes at offset %llu",
                    kaio_operation_name(completion->operation),
                    kaio_transfer_outcome_name(completion->transfer),
                    (unsigned long long)completion->moved_bytes,
                    (unsigned)completion->range.size_bytes,
                    (unsigned long long)completion->range.file_offset_bytes);
}

size_t kaio_completion_message(const kaio_completion *completion, char *out_text,
                               size_t size_bytes) {
    if (completion == NULL) {
        return kaio_status_message(kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_REQUEST),
                                   out_text, size_bytes);
    }
    char cause[2 + KAIO_STATUS_MESSAGE_BYTES] = "";
    kaio_status reason = completion->refusal;
    if (kaio_status_is_ok(reason) && completion->os_error != 0) {
        reason = kaio_status_os(KAIO_SUBJECT_NONE, completion->os_error);
    }
    if (!kaio_status_is_ok(reason)) {
        cause[0] = ':';
        cause[1] = ' ';
        (void)kaio_status_message(reason, cause + 2, sizeof cause - 2);
    }
    char head[KAIO_COMPLETION_MESSAGE_BYTES - sizeof cause];
    (void)line_head(completion, head, sizeof head);
    int length = snprintf(out_text, out_text == NULL ? 0 : size_bytes, "%s%s", head, cause);
    return length < 0 ? 0 : (size_t)length;
}
