#include "thread.h"

#include <assert.h>
#include <pthread.h>
#include <stddef.h>

enum { HOOK_COUNT = 4, STATE_ALIVE = 1 };

static struct kaio_table threads = KAIO_TABLE_INITIALIZER(struct kaio_thread);
static void (*_Atomic hooks[HOOK_COUNT])(uint32_t number);
static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static int key_error;

static _Thread_local volatile bool is_enrolling;

struct kaio_thread *kaio_thread_at(uint32_t number) {
    return kaio_table_at(&threads, number, sizeof(struct kaio_thread));
}

// end unbinds what the thread had. Destructors that run later and use the library enroll it anew.
static void end(void *argument) {
    struct kaio_thread *thread = argument;
    for (size_t i = 0; i < HOOK_COUNT; ++i) {
        void (*hook)(uint32_t) = atomic_load_explicit(&hooks[i], memory_order_acquire);
        if (hook != NULL) {
            hook(thread->place.index);
        }
    }
    kaio_self.thread_number = 0;
    kaio_self.queue_word = KAIO_NO_WORD;
    kaio_table_give_back(&threads, &thread->place,
                         atomic_load_explicit(&thread->place.word, memory_order_relaxed));
}

static void make_key(void) {
    key_error = pthread_key_create(&key, end);
}

static uint32_t enroll(void) {
    (void)pthread_once(&key_once, make_key);
    struct kaio_thread *thread = key_error == 0 ? kaio_table_take(&threads) : NULL;
    if (thread == NULL) {
        return KAIO_NO_THREAD;
    }
    uintptr_t word = atomic_load_explicit(&thread->place.word, memory_order_relaxed);
    if (pthread_setspecific(key, thread) != 0) {
        kaio_table_give_back(&threads, &thread->place, word);
        return KAIO_NO_THREAD;
    }
    atomic_store_explicit(&thread->place.word, word | STATE_ALIVE, memory_order_relaxed);
    kaio_self.thread_number = thread->place.index;
    return thread->place.index;
}

// A signal handler that interrupts this is a stranger: it must not wait for what it interrupted.
uint32_t kaio_thread_enroll(void) {
    if (is_enrolling) {
        return KAIO_NO_THREAD;
    }
    is_enrolling = true;
    atomic_signal_fence(memory_order_seq_cst);
    uint32_t number = enroll();
    atomic_signal_fence(memory_order_seq_cst);
    is_enrolling = false;
    return number;
}

void kaio_thread_at_exit(void (*hook)(uint32_t number)) {
    for (size_t i = 0; i < HOOK_COUNT; ++i) {
        void (*there)(uint32_t) = NULL;
        if (atomic_compare_exchange_strong(&hooks[i], &there, hook) || there == hook) {
            return;
        }
    }
    assert(false && "more hooks than places");
}
