#define _GNU_SOURCE  // madvise, MADV_WIPEONFORK

#include "table.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <sys/mman.h>

static pthread_mutex_t process_lock = PTHREAD_MUTEX_INITIALIZER;
static struct kaio_table *all_tables;

static uint32_t not_begun;  // stays 0
_Atomic(uint32_t *) kaio_process_word = &not_begun;

static _Thread_local bool is_beginning;

static void *map_zeroed(size_t size_bytes) {
    int saved_errno = errno;
    void *bytes = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    errno = saved_errno;
    return bytes == MAP_FAILED ? NULL : bytes;
}

static void learn_of(struct kaio_table *table) {
    if (atomic_load_explicit(&table->is_known, memory_order_acquire)) {
        return;
    }
    kaio_lock(&process_lock);
    if (!atomic_load_explicit(&table->is_known, memory_order_relaxed)) {
        table->next_table = all_tables;
        all_tables = table;
        atomic_store_explicit(&table->is_known, true, memory_order_release);
    }
    kaio_unlock(&process_lock);
}

// extend makes the next place of `table`, with its lock held.
static struct kaio_place *extend(struct kaio_table *table) {
    uint32_t index = table->made_count == 0 ? 1 : table->made_count;
    if (index > KAIO_INDEX_MAX) {
        return NULL;
    }
    _Atomic(char *) *chunk = &table->chunks[index >> KAIO_CHUNK_BITS];
    if (atomic_load_explicit(chunk, memory_order_relaxed) == NULL) {
        char *bytes = map_zeroed(table->place_bytes << KAIO_CHUNK_BITS);
        if (bytes == NULL) {
            return NULL;
        }
        atomic_store_explicit(chunk, bytes, memory_order_release);
    }
    struct kaio_place *place = kaio_table_at(table, index, table->place_bytes);
    assert(place != NULL);
    place->index = index;
    atomic_store_explicit(&place->word, KAIO_LIFE_ONE | KAIO_STATE_FREE, memory_order_relaxed);
    table->made_count = index + 1;
    return place;
}

void *kaio_table_take(struct kaio_table *table) {
    learn_of(table);
    kaio_lock(&table->lock);
    struct kaio_place *place;
    if (table->free_head != 0) {
        place = kaio_table_at(table, table->free_head, table->place_bytes);
        assert(place != NULL);
        table->free_head = place->next;
    } else {
        place = extend(table);
    }
    kaio_unlock(&table->lock);
    return place;
}

void kaio_table_give_back(struct kaio_table *table, struct kaio_place *place, uintptr_t word) {
    uintptr_t life = kaio_bits_life(word) + KAIO_LIFE_ONE;
    atomic_store_explicit(&place->word, life | KAIO_STATE_FREE, memory_order_release);
    if (life == 0) {
        return;  // every life of this place is spent: it is never given out again
    }
    kaio_lock(&table->lock);
    place->next = table->free_head;
    table->free_head = place->index;
    kaio_unlock(&table->lock);
}

uint32_t kaio_table_end(struct kaio_table *table) {
    kaio_lock(&table->lock);
    uint32_t end = table->made_count;
    kaio_unlock(&table->lock);
    return end;
}

kaio_status kaio_table_stale(struct kaio_table *table, uintptr_t bits, uint32_t kind,
                             kaio_subject subject) {
    if (bits == 0) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, subject);
    }
    struct kaio_place *place = kaio_table_at(table, kaio_bits_index(bits), table->place_bytes);
    if (place != NULL && kaio_bits_kind(bits) == kind) {
        uintptr_t word = atomic_load_explicit(&place->word, memory_order_acquire);
        if (word == (kaio_bits_life(bits) | KAIO_STATE_FORKED)) {
            return kaio_status_make(KAIO_FORKED, subject);
        }
    }
    return kaio_status_make(KAIO_STALE, subject);
}

// disown marks every living place of `table` as the parent's, in a child, before anything else.
static void disown(struct kaio_table *table) {
    table->lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    table->kind_lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    if (table->in_child != NULL) {
        table->in_child();
    }
    for (uint32_t index = 1; index < table->made_count; ++index) {
        struct kaio_place *place = kaio_table_at(table, index, table->place_bytes);
        uintptr_t word = atomic_load_explicit(&place->word, memory_order_relaxed);
        if (kaio_word_state(word) != KAIO_STATE_FREE) {
            atomic_store_explicit(&place->word, kaio_bits_life(word) | KAIO_STATE_FORKED,
                                  memory_order_relaxed);
        }
    }
}

static void forget_in_child(void) {
    __atomic_store_n(atomic_load(&kaio_process_word), 0, __ATOMIC_RELAXED);
}

// begin_first makes the word, which the kernel wipes in a child, also after clone(2) by hand. Of
// two threads that do this at once one is too late. No lock: a child could inherit it held.
static void begin_first(void) {
    static uint32_t without_page;
    int saved_errno = errno;
    uint32_t *page = map_zeroed(sizeof *page);
    bool is_wiped = page != NULL && madvise(page, sizeof *page, MADV_WIPEONFORK) == 0;
    uint32_t *word = page == NULL ? &without_page : page;
    __atomic_store_n(word, KAIO_PROCESS_BEGUN, __ATOMIC_RELAXED);
    uint32_t *expected = &not_begun;
    if (!atomic_compare_exchange_strong(&kaio_process_word, &expected, word)) {
        (void)munmap(page, sizeof *page);
    } else if (!is_wiped) {
        (void)pthread_atfork(NULL, NULL, forget_in_child);
    }
    errno = saved_errno;
}

static void disown_all(void) {
    process_lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    for (struct kaio_table *table = all_tables; table != NULL; table = table->next_table) {
        disown(table);
    }
}

// begin_in_child disowns what the parent had: one thread does it and the others wait, except for a
// signal handler in the thread that does it.
static void begin_in_child(uint32_t *word) {
    uint32_t expected = 0;
    if (is_beginning) {
        return;
    }
    is_beginning = true;
    if (__atomic_compare_exchange_n(word, &expected, KAIO_PROCESS_BEGINNING, false,
                                    __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE)) {
        disown_all();
        __atomic_store_n(word, KAIO_PROCESS_BEGUN, __ATOMIC_RELEASE);
    }
    while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == KAIO_PROCESS_BEGINNING) {
        (void)sched_yield();
    }
    is_beginning = false;
}

void kaio_process_begin(void) {
    uint32_t *word = atomic_load_explicit(&kaio_process_word, memory_order_acquire);
    if (word == &not_begun) {
        begin_first();
    } else {
        begin_in_child(word);
    }
}
