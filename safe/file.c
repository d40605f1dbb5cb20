#define _GNU_SOURCE  // O_CLOEXEC

#include "kaio/safe/file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file_learn.h"
#include "file_pin.h"
#include "table.h"

struct kaio_table kaio_files = KAIO_TABLE_INITIALIZER(struct kaio_file_place);
_Atomic uint32_t kaio_file_deferred_count;

// kaio_files.kind_lock guards what changes in the life of a file: fd, attached_count, and the word.
// Whoever holds it and sees an open word may read the rest.

// is_owned_already tells, with the lock held, whether a living file owns `fd`.
static bool is_owned_already(int fd) {
    uint32_t end = kaio_table_end(&kaio_files);
    for (uint32_t index = 1; index < end; ++index) {
        struct kaio_file_place *file = kaio_file_at(index);
        assert(file != NULL);
        uint32_t state = kaio_word_state(atomic_load(&file->place.word));
        if ((state == KAIO_FILE_OPEN || state == KAIO_FILE_DROPPED) && file->is_owned &&
            file->fd == fd) {
            return true;
        }
    }
    return false;
}

// How a descriptor comes to a file.
enum door { DOOR_OPENED, DOOR_ADOPTED, DOOR_BORROWED };

// publish makes the learnt `file` good, unless `fd` has an owner.
static kaio_status publish(struct kaio_file_place *file, uintptr_t life, int fd, enum door door) {
    kaio_lock(&kaio_files.kind_lock);
    bool is_taken = door == DOOR_ADOPTED && is_owned_already(fd);
    if (!is_taken) {
        file->fd = fd;
        file->is_owned = door != DOOR_BORROWED;
        file->attached_count = 0;
        atomic_store_explicit(&file->place.word, life | KAIO_FILE_OPEN, memory_order_release);
    }
    kaio_unlock(&kaio_files.kind_lock);
    return is_taken ? kaio_status_make(KAIO_BUSY, KAIO_SUBJECT_DESCRIPTOR) : kaio_status_ok();
}

// make gives a place to the open descriptor `fd`. What fails leaves `fd` open.
static kaio_status make(int fd, enum door door, kaio_file **out_file) {
    struct kaio_file_place *file = kaio_table_take(&kaio_files);
    if (file == NULL) {
        return kaio_status_make(KAIO_NO_MEMORY, KAIO_SUBJECT_FILE);
    }
    uintptr_t word = atomic_load_explicit(&file->place.word, memory_order_relaxed);
    uintptr_t life = kaio_bits_life(word);
    int error = kaio_file_learn(file, fd);
    kaio_status status =
        error != 0 ? kaio_status_os(KAIO_SUBJECT_DESCRIPTOR, error) : publish(file, life, fd, door);
    if (!kaio_status_is_ok(status)) {
        kaio_table_give_back(&kaio_files, &file->place, word);
        return status;
    }
    *out_file = (kaio_file *)kaio_bits_make(life, file->place.index, KAIO_KIND_FILE);
    return status;
}

static kaio_status open_path(const char *path, int flags, mode_t mode, kaio_file **out_file) {
    int fd = open(path, flags | O_CLOEXEC, mode);
    if (fd < 0) {
        return kaio_status_os(KAIO_SUBJECT_PATH, errno);
    }
    kaio_status status = make(fd, DOOR_OPENED, out_file);
    if (!kaio_status_is_ok(status)) {
        (void)close(fd);
    }
    return status;
}

kaio_status kaio_file_open(const char *path, int flags, mode_t mode, kaio_file **out_file) {
    kaio_process_check();
    if (path == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_PATH);
    }
    if (out_file == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OUTPUT);
    }
    int saved_errno = errno;
    kaio_status status = open_path(path, flags, mode, out_file);
    errno = saved_errno;
    return status;
}

static kaio_status wrap(int fd, enum door door, kaio_file **out_file) {
    kaio_process_check();
    if (out_file == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OUTPUT);
    }
    int saved_errno = errno;
    kaio_status status = make(fd, door, out_file);
    errno = saved_errno;
    return status;
}

kaio_status kaio_file_adopt(int fd, kaio_file **out_file) {
    return wrap(fd, DOOR_ADOPTED, out_file);
}

kaio_status kaio_file_borrow(int fd, kaio_file **out_file) {
    return wrap(fd, DOOR_BORROWED, out_file);
}

// find returns the open file of a handle, or NULL.
static struct kaio_file_place *find(const kaio_file *handle) {
    kaio_process_check();
    uintptr_t bits = (uintptr_t)handle;
    struct kaio_file_place *file = kaio_file_at(kaio_bits_index(bits));
    return file != NULL && kaio_file_is_open(file, bits) ? file : NULL;
}

kaio_status kaio_file_as_fd(const kaio_file *file, int *out_fd) {
    kaio_process_check();
    if (out_fd == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OUTPUT);
    }
    kaio_lock(&kaio_files.kind_lock);
    const struct kaio_file_place *found = find(file);
    if (found != NULL) {
        *out_fd = found->fd;
    }
    kaio_unlock(&kaio_files.kind_lock);
    return found != NULL ? kaio_status_ok() : kaio_file_refusal((uintptr_t)file);
}

kaio_status kaio_file_alignment(const kaio_file *file, kaio_alignment *out_alignment) {
    kaio_process_check();
    if (out_alignment == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OUTPUT);
    }
    kaio_lock(&kaio_files.kind_lock);
    const struct kaio_file_place *found = find(file);
    if (found != NULL) {
        *out_alignment = (kaio_alignment){.memory_bytes = found->memory_align_bytes,
                                          .read_bytes = found->read.align_bytes,
                                          .write_bytes = found->write.align_bytes,
                                          .source = found->alignment_source,
                                          .atomic_min_bytes = found->atomic_min_bytes,
                                          .atomic_max_bytes = found->atomic_max_bytes,
                                          .is_direct = found->is_direct,
                                          .is_known = found->is_alignment_known};
    }
    kaio_unlock(&kaio_files.kind_lock);
    return found != NULL ? kaio_status_ok() : kaio_file_refusal((uintptr_t)file);
}

kaio_status kaio_file_allow_stall(kaio_file *file) {
    kaio_process_check();
    kaio_lock(&kaio_files.kind_lock);
    struct kaio_file_place *found = find(file);
    if (found != NULL) {
        atomic_store_explicit(&found->forced_rw_flags, 0, memory_order_relaxed);
        atomic_fetch_and(&found->read.is_closed, ~(uint32_t)KAIO_FILE_WAY_FORCED);
        atomic_fetch_and(&found->write.is_closed, ~(uint32_t)KAIO_FILE_WAY_FORCED);
    }
    kaio_unlock(&kaio_files.kind_lock);
    return found != NULL ? kaio_status_ok() : kaio_file_refusal((uintptr_t)file);
}

void kaio_file_note_late(struct kaio_file_place *file) {
    kaio_lock(&kaio_files.kind_lock);
    if (atomic_load(&file->fails_fast)) {
        atomic_fetch_or(&file->read.is_closed, KAIO_FILE_WAY_LATE);
        atomic_fetch_or(&file->write.is_closed, KAIO_FILE_WAY_LATE);
    }
    kaio_unlock(&kaio_files.kind_lock);
}

kaio_status kaio_file_set_fail_fast(kaio_file *file, bool is_on) {
    kaio_process_check();
    kaio_lock(&kaio_files.kind_lock);
    struct kaio_file_place *found = find(file);
    if (found != NULL) {
        atomic_store(&found->fails_fast, is_on);
        atomic_fetch_and(&found->read.is_closed, ~(uint32_t)KAIO_FILE_WAY_LATE);
        atomic_fetch_and(&found->write.is_closed, ~(uint32_t)KAIO_FILE_WAY_LATE);
    }
    kaio_unlock(&kaio_files.kind_lock);
    return found != NULL ? kaio_status_ok() : kaio_file_refusal((uintptr_t)file);
}

kaio_status kaio_file_clear_sync_error(kaio_file *file, int32_t *out_error) {
    if (out_error == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_OUTPUT);
    }
    kaio_process_check();
    kaio_lock(&kaio_files.kind_lock);
    struct kaio_file_place *found = find(file);
    if (found != NULL) {
        *out_error = atomic_exchange(&found->sync_error, 0);
    }
    kaio_unlock(&kaio_files.kind_lock);
    return found != NULL ? kaio_status_ok() : kaio_file_refusal((uintptr_t)file);
}

bool kaio_file_join(uintptr_t bits) {
    struct kaio_file_place *file = kaio_file_at(kaio_bits_index(bits));
    kaio_lock(&kaio_files.kind_lock);
    bool is_open = file != NULL && kaio_file_is_open(file, bits);
    if (is_open) {
        ++file->attached_count;
    }
    kaio_unlock(&kaio_files.kind_lock);
    return is_open;
}

#ifndef NDEBUG
bool kaio_file_is_replaced(const struct kaio_file_place *file) {
    if (file->is_owned) {
        return false;
    }
    struct stat now;
    int saved_errno = errno;
    bool is_open = fstat(file->fd, &now) == 0;
    errno = saved_errno;
    return is_open && (now.st_dev != file->device || now.st_ino != file->inode);
}
#endif

// end closes a file that no queue is attached to. Returns 0 or close(2)'s errno.
static int end(struct kaio_file_place *file, uintptr_t word) {
    int fd = file->is_owned ? file->fd : -1;
    kaio_table_give_back(&kaio_files, &file->place, word);
    int saved_errno = errno;
    int error = fd >= 0 && close(fd) != 0 ? errno : 0;
    errno = saved_errno;
    return error;
}

void kaio_file_leave(struct kaio_file_place *file) {
    kaio_lock(&kaio_files.kind_lock);
    uintptr_t word = atomic_load_explicit(&file->place.word, memory_order_relaxed);
    bool is_last = --file->attached_count == 0 && kaio_word_state(word) == KAIO_FILE_DROPPED;
    kaio_unlock(&kaio_files.kind_lock);
    if (is_last) {
        (void)end(file, word);
    }
}

// try_end takes an open file away from everybody when no queue is attached to it.
static bool try_end(struct kaio_file_place *file, uintptr_t bits, uint32_t *out_attached_count,
                    uintptr_t *out_word) {
    kaio_lock(&kaio_files.kind_lock);
    bool is_open = kaio_file_is_open(file, bits);
    *out_attached_count = is_open ? file->attached_count : 0;
    bool is_ended = is_open && file->attached_count == 0;
    if (is_ended) {
        *out_word = kaio_bits_life(bits) | KAIO_FILE_DROPPED;
        atomic_store_explicit(&file->place.word, *out_word, memory_order_release);
    }
    kaio_unlock(&kaio_files.kind_lock);
    return is_ended;
}

kaio_status kaio_file_close(kaio_file **move_file) {
    if (move_file == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_FILE);
    }
    struct kaio_file_place *file = find(*move_file);
    if (file == NULL) {
        return kaio_file_refusal((uintptr_t)*move_file);
    }
    uintptr_t bits = (uintptr_t)*move_file;
    uint32_t own_queue_count;
    uint32_t own_user_count = kaio_file_leave_own(file, &own_queue_count);
    uint32_t attached_count;
    uintptr_t word = 0;
    if (!try_end(file, bits, &attached_count, &word)) {
        if (attached_count == 0) {  // another thread was faster
            return kaio_status_make(KAIO_STALE, KAIO_SUBJECT_FILE);
        }
        return kaio_status_pair(KAIO_BUSY, KAIO_SUBJECT_FILE, own_user_count,
                                attached_count - own_queue_count);
    }
    *move_file = NULL;
    int error = end(file, word);
    return error == 0 ? kaio_status_ok() : kaio_status_os(KAIO_SUBJECT_DESCRIPTOR, error);
}

// mark_dropped leaves the closing of a file to the last queue that is attached to it.
static void mark_dropped(struct kaio_file_place *file, uintptr_t bits) {
    kaio_lock(&kaio_files.kind_lock);
    bool is_deferred = kaio_file_is_open(file, bits) && file->attached_count > 0;
    if (is_deferred) {
        atomic_store_explicit(&file->place.word, kaio_bits_life(bits) | KAIO_FILE_DROPPED,
                              memory_order_release);
        atomic_fetch_add_explicit(&kaio_file_deferred_count, 1, memory_order_release);
    }
    kaio_unlock(&kaio_files.kind_lock);
}

void kaio_file_drop(kaio_file **move_file) {
    if (move_file == NULL) {
        return;
    }
    kaio_file *handle = *move_file;
    *move_file = NULL;
    struct kaio_file_place *file = find(handle);
    if (file == NULL) {
        return;
    }
    uintptr_t bits = (uintptr_t)handle;
    uint32_t own_queue_count;
    (void)kaio_file_leave_own(file, &own_queue_count);
    uint32_t attached_count;
    uintptr_t word = 0;
    while (!try_end(file, bits, &attached_count, &word)) {
        if (attached_count == 0) {
            return;
        }
        mark_dropped(file, bits);
    }
    (void)end(file, word);
}
