// kaio/safe/table.h (private): type-stable places for what handles name.
//
// A place is never unmapped and never changes its type, so any handle, however old, can be looked
// up. Its word holds the life of its present or next owner, and a state: a handle is good when the
// life and the state are the ones that the caller expects, which is one comparison.
// Threads: looking up is free for all; taking and returning places locks.

#ifndef KAIO_SAFE_TABLE_H_
#define KAIO_SAFE_TABLE_H_

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kaio/safe/status.h"

#define KAIO_LIKELY(x) __builtin_expect(!!(x), 1)
#define KAIO_UNLIKELY(x) __builtin_expect(!!(x), 0)

// Bits of a handle, from the lowest: kind 4, index, life. Bits of a word: state 4, mark, life.
#if UINTPTR_MAX > 0xffffffffu
#    define KAIO_INDEX_BITS 24
#    define KAIO_CHUNK_BITS 12
#else
#    define KAIO_INDEX_BITS 14
#    define KAIO_CHUNK_BITS 8
#endif
#define KAIO_KIND_BITS 4
#define KAIO_LIFE_SHIFT (KAIO_KIND_BITS + KAIO_INDEX_BITS)
#define KAIO_INDEX_MAX (((uint32_t)1 << KAIO_INDEX_BITS) - 1)
#define KAIO_LIFE_MASK (~(uintptr_t)0 << KAIO_LIFE_SHIFT)
#define KAIO_LIFE_ONE ((uintptr_t)1 << KAIO_LIFE_SHIFT)
#define KAIO_CHUNK_PLACES ((uint32_t)1 << KAIO_CHUNK_BITS)
#define KAIO_CHUNK_COUNT ((uint32_t)1 << (KAIO_INDEX_BITS - KAIO_CHUNK_BITS))

enum {
    KAIO_KIND_READ = 1,  // requests have the number of their operation
    KAIO_KIND_WRITE = 2,
    KAIO_KIND_READV = 3,
    KAIO_KIND_WRITEV = 4,
    KAIO_KIND_SYNC = 5,
    KAIO_KIND_POLL = 6,
    KAIO_KIND_QUEUE = 8,
    KAIO_KIND_FILE = 9,
    KAIO_KIND_BUFFER = 10,
    KAIO_KIND_VIEW = 11,
    KAIO_KIND_FRAME = 12,  // a buffer of a region or pool
    KAIO_KIND_REGION = 13,
    KAIO_KIND_POOL = 14
};

// The states that every kind of place has; the others are the kind's own.
enum { KAIO_STATE_FREE = 0, KAIO_STATE_FORKED = 15 };

static inline uint32_t kaio_bits_kind(uintptr_t bits) {
    return (uint32_t)(bits & (((uintptr_t)1 << KAIO_KIND_BITS) - 1));
}

static inline bool kaio_kind_is_vectored(uint32_t kind) {
    return kind == KAIO_KIND_READV || kind == KAIO_KIND_WRITEV;
}

static inline bool kaio_kind_is_write(uint32_t kind) {
    return kind == KAIO_KIND_WRITE || kind == KAIO_KIND_WRITEV;
}

static inline uint32_t kaio_bits_index(uintptr_t bits) {
    return (uint32_t)(bits >> KAIO_KIND_BITS) & KAIO_INDEX_MAX;
}

static inline uintptr_t kaio_bits_life(uintptr_t bits) {
    return bits & KAIO_LIFE_MASK;
}

static inline uintptr_t kaio_bits_make(uintptr_t life, uint32_t index, uint32_t kind) {
    return life | ((uintptr_t)index << KAIO_KIND_BITS) | kind;
}

static inline uint32_t kaio_word_state(uintptr_t word) {
    return (uint32_t)(word & 15);
}

// A kaio_place is what every entry of a table begins with.
struct kaio_place {
    _Atomic uintptr_t word;
    uint32_t index;
    uint32_t next;  // in the list of free places; 0 is none: place 0 is never given out
};

struct kaio_table {
    size_t place_bytes;
    uint32_t made_count;
    uint32_t free_head;
    pthread_mutex_t lock;       // of the list of free places
    pthread_mutex_t kind_lock;  // for the kind's own use; new in a child, as the other
    _Atomic bool is_known;      // to the list of all tables
    struct kaio_table *next_table;
    void (*in_child)(void);  // the kind's own part of disowning, or NULL
    _Atomic(char *) chunks[KAIO_CHUNK_COUNT];
};

#define KAIO_TABLE_INITIALIZER(type)                                    \
    {                                                                   \
        .place_bytes = sizeof(type), .lock = PTHREAD_MUTEX_INITIALIZER, \
        .kind_lock = PTHREAD_MUTEX_INITIALIZER                          \
    }

// kaio_table_at returns the place `index`, or NULL where there never was one.
static inline void *kaio_table_at(struct kaio_table *table, uint32_t index, size_t place_bytes) {
    char *chunk =
        atomic_load_explicit(&table->chunks[index >> KAIO_CHUNK_BITS], memory_order_acquire);
    if (KAIO_UNLIKELY(chunk == NULL)) {
        return NULL;
    }
    return chunk + (size_t)(index & (KAIO_CHUNK_PLACES - 1)) * place_bytes;
}

// kaio_table_find is kaio_table_at for the index of `bits`, in fewer instructions.
static inline void *kaio_table_find(struct kaio_table *table, uintptr_t bits, size_t place_bytes) {
    const size_t bits_of_place = (size_t)(KAIO_CHUNK_PLACES - 1) << KAIO_KIND_BITS;
    size_t number = (bits >> (KAIO_KIND_BITS + KAIO_CHUNK_BITS)) & (KAIO_CHUNK_COUNT - 1);
    char *chunk = atomic_load_explicit(&table->chunks[number], memory_order_acquire);
    if (KAIO_UNLIKELY(chunk == NULL)) {
        return NULL;
    }
    return chunk + (bits & bits_of_place) * (place_bytes >> KAIO_KIND_BITS);
}

// kaio_table_take gives a free place, whose word has the state FREE and a life that no handle has,
// or NULL when the table or the memory is full.
void *kaio_table_take(struct kaio_table *table);

// kaio_table_give_back ends the life of `place`, whose word is `word`: every handle to it is stale.
void kaio_table_give_back(struct kaio_table *table, struct kaio_place *place, uintptr_t word);

// kaio_table_end is the bound of the indices in use: [1, end).
uint32_t kaio_table_end(struct kaio_table *table);

// kaio_table_stale classifies `bits`, whose lookup in `table` failed, for an answer about
// `subject`.
kaio_status kaio_table_stale(struct kaio_table *table, uintptr_t bits, uint32_t kind,
                             kaio_subject subject);

// A kaio_self is what a thread knows of itself.
struct kaio_queue_place;
struct kaio_self {
    // How many calls and locks it is inside of. A signal handler that finds it above 0 has
    // interrupted one, and is answered REENTERED by whatever would meet the same state.
    uint32_t call_depth;
    uint32_t thread_number;  // 0: it has none yet; see thread.h
    // The queue it entered last, whose handle was `queue_bits` and whose word was `queue_word`.
    // Only a way to find it: whether it may be entered is asked each time.
    uintptr_t queue_bits;
    uintptr_t queue_word;
    struct kaio_queue_place *queue;
};
#define KAIO_NO_WORD (~(uintptr_t)0)  // of no place
extern _Thread_local struct kaio_self kaio_self __attribute__((tls_model("initial-exec")));

// kaio_call_begin begins a call that must not meet another one of its thread. False: it would.
static inline bool kaio_call_begin(void) {
    if (KAIO_UNLIKELY(kaio_self.call_depth != 0)) {
        return false;
    }
    kaio_self.call_depth = 1;
    atomic_signal_fence(memory_order_seq_cst);
    return true;
}

static inline void kaio_call_end(void) {
    atomic_signal_fence(memory_order_seq_cst);
    kaio_self.call_depth = 0;
}

static inline void kaio_lock(pthread_mutex_t *lock) {
    ++kaio_self.call_depth;
    atomic_signal_fence(memory_order_seq_cst);
    (void)pthread_mutex_lock(lock);
}

static inline void kaio_unlock(pthread_mutex_t *lock) {
    (void)pthread_mutex_unlock(lock);
    atomic_signal_fence(memory_order_seq_cst);
    --kaio_self.call_depth;
}

// The process's word: 0 before the first look, which is at its start and after a fork; then
// BEGINNING while one thread looks, then BEGUN.
enum { KAIO_PROCESS_BEGINNING = 1, KAIO_PROCESS_BEGUN = 2 };
extern _Atomic(uint32_t *) kaio_process_word;
void kaio_process_begin(void);

// kaio_process_check makes every object of a parent process answer FORKED, once in each child.
static inline void kaio_process_check(void) {
    const uint32_t *word = atomic_load_explicit(&kaio_process_word, memory_order_acquire);
    if (KAIO_UNLIKELY(__atomic_load_n(word, __ATOMIC_ACQUIRE) != KAIO_PROCESS_BEGUN)) {
        kaio_process_begin();
    }
}

static inline bool kaio_is_power_of_two(size_t n) {
    return n != 0 && (n & (n - 1)) == 0;
}

// kaio_status_make builds an answer.
static inline kaio_status kaio_status_make(kaio_code code, kaio_subject subject) {
    return (kaio_status){.code = (uint16_t)code, .subject = (uint16_t)subject};
}

static inline kaio_status kaio_status_os(kaio_subject subject, int os_error) {
    kaio_status status = kaio_status_make(KAIO_OS_ERROR, subject);
    status.os_error = os_error;
    return status;
}

static inline uint32_t kaio_saturate(uint64_t number) {
    return number > UINT32_MAX ? UINT32_MAX : (uint32_t)number;
}

// kaio_status_pair builds an answer with two numbers.
static inline kaio_status kaio_status_pair(kaio_code code, kaio_subject subject, uint64_t first,
                                           uint64_t second) {
    kaio_status status = kaio_status_make(code, subject);
    status.detail = kaio_saturate(first) | (uint64_t)kaio_saturate(second) << 32;
    return status;
}

#endif  // KAIO_SAFE_TABLE_H_
