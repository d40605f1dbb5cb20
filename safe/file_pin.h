// kaio/safe/file_pin.h (private): what a queue needs to know of a file.
//
// The place of an open file does not change, except for its word and the number of queues that it
// is attached to. As long as a queue is attached, nobody closes the descriptor.

#ifndef KAIO_SAFE_FILE_PIN_H_
#define KAIO_SAFE_FILE_PIN_H_

#include "kaio/safe/file.h"
#include "table.h"

enum { KAIO_FILE_OPEN = 1, KAIO_FILE_DROPPED = 2 };

// What is true of the transfers of a file in one direction.
struct kaio_file_way {
    _Atomic uint32_t is_closed;  // KAIO_FILE_WAY_*: why there are none the short way now; or 0
    uint32_t mask;               // of what is enforced: the alignment less 1, or 0
    uint32_t flags_to_check;     // RWF_* that need a look: all but `flags`, and what has conditions
    uint32_t flags;              // RWF_* that can be had, as far as is known
    uint32_t align_bytes;        // of file offset and size
};

// FORCED closes the short way alone: forced_rw_flags are to be added.
enum { KAIO_FILE_WAY_CLOSED = 1, KAIO_FILE_WAY_LATE = 2, KAIO_FILE_WAY_FORCED = 4 };

static inline uint32_t kaio_file_way_closed(const struct kaio_file_way *way) {
    return atomic_load_explicit(&way->is_closed, memory_order_relaxed);
}

struct kaio_file_place {
    struct kaio_place place;
    int fd;
    dev_t device;  // what `fd` was when it came
    ino_t inode;
    bool is_owned;
    bool is_direct;
    bool has_offsets;         // a transfer's offset says which bytes it uses ...
    bool is_appending;        // ... but of a write without RWF_NOAPPEND
    bool is_alignment_known;  // and enforced
    _Atomic bool fails_fast;  // once a request of it was late
    kaio_alignment_source alignment_source;
    uint32_t memory_align_bytes;
    uint32_t memory_mask;  // as the ways' masks
    struct kaio_file_way read;
    struct kaio_file_way write;
    uint32_t atomic_min_bytes;  // of a write with RWF_ATOMIC; 0, 0: not told
    uint32_t atomic_max_bytes;
    _Atomic int32_t forced_rw_flags;  // RWF_NOWAIT where a transfer could sleep
    uint32_t attached_count;          // queues; guarded by kaio_files.kind_lock
    _Atomic int32_t sync_error;       // of the first sync that failed, until it is cleared; or 0
};

extern struct kaio_table kaio_files;

// Counts drops that had to be deferred, so that queues know when to look for them.
extern _Atomic uint32_t kaio_file_deferred_count;

static inline struct kaio_file_place *kaio_file_at(uint32_t index) {
    return kaio_table_at(&kaio_files, index, sizeof(struct kaio_file_place));
}

// kaio_file_note_late closes both ways of a file that fails fast.
void kaio_file_note_late(struct kaio_file_place *file);

// kaio_file_is_open tells whether `bits` name the open file `file`.
static inline bool kaio_file_is_open(const struct kaio_file_place *file, uintptr_t bits) {
    return kaio_bits_kind(bits) == KAIO_KIND_FILE &&
           atomic_load_explicit(&file->place.word, memory_order_acquire) ==
               (kaio_bits_life(bits) | KAIO_FILE_OPEN);
}

// kaio_file_join counts one more queue that has the file of `bits` attached. False: it is not open.
bool kaio_file_join(uintptr_t bits);

// kaio_file_refusal says why `bits` name no open file. Never OK.
static inline kaio_status kaio_file_refusal(uintptr_t bits) {
    return kaio_table_stale(&kaio_files, bits, KAIO_KIND_FILE, KAIO_SUBJECT_FILE);
}

#ifndef NDEBUG
// kaio_file_is_replaced tells whether the borrowed descriptor was closed behind the library, and
// its number is another file's now. Files that have no inode of their own (eventfd) are all alike.
bool kaio_file_is_replaced(const struct kaio_file_place *file);
#endif

// kaio_file_leave takes that back; the last to leave a dropped file closes it.
void kaio_file_leave(struct kaio_file_place *file);

// kaio_file_leave_own detaches `file` from the calling thread's queues that do not use it. Returns
// how many requests of the others do; those are `*out_queue_count` queues. (In attach.c.)
uint32_t kaio_file_leave_own(struct kaio_file_place *file, uint32_t *out_queue_count);

#endif  // KAIO_SAFE_FILE_PIN_H_
