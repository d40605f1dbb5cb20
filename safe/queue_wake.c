#define _POSIX_C_SOURCE 200809L  // nanosleep

#include "queue_wake.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <time.h>

#include "eventfd.h"
#include "kaio/raw/aio_prep.h"
#include "kaio/safe/run.h"
#include "kernel.h"
#include "queue_reap.h"

int kaio_queue_make_wakeable(struct kaio_queue_place *queue) {
    if (atomic_load_explicit(&queue->wake_fd, memory_order_relaxed) >= 0) {
        return 0;
    }
    int fd;
    int error = kaio_eventfd_make(&fd);
    if (error == 0) {
        atomic_store(&queue->wake_fd, fd);
    }
    return error;
}

// arm has the kernel poll the eventfd. Before, it is lowered: what it was raised for is in
// `is_woken`, which the caller looks at afterwards. False: the kernel has no room or no polls.
static bool arm(struct kaio_queue_place *queue) {
    if (queue->is_armed != 0) {
        return true;
    }
    int fd = atomic_load_explicit(&queue->wake_fd, memory_order_relaxed);
    kaio_eventfd_lower(fd);
    struct kaio_raw_iocb *iocb = &queue->wake_iocb;
    *iocb = kaio_raw_prep_poll(fd, POLLIN);
    kaio_raw_set_data(iocb, kaio_queue_bits(queue));
    ++queue->submit_count;
    queue->is_armed = kaio_kernel_submit(queue->ctx, 1, &iocb) == 1;
    return queue->is_armed != 0;
}

bool kaio_queue_begin_blocking(struct kaio_queue_place *queue) {
    bool is_armed = arm(queue);
    atomic_store(&queue->is_blocking, 1);
    return is_armed;
}

void kaio_queue_no_request(struct kaio_queue_place *queue, uint64_t data) {
    if (queue->is_armed != 0 && data == queue->wake_iocb.aio_data) {
        queue->is_armed = 0;
    } else {
        ++queue->duplicate_count;  // seen in the field: a kernel delivered some events twice
    }
}

// While a thread is counted here, a signal handler of its own must not close the queue, and wait.
void kaio_queue_wake(kaio_queue *queue) {
    uintptr_t bits = (uintptr_t)queue;
    kaio_process_check();
    struct kaio_queue_place *place = kaio_queue_at(kaio_bits_index(bits));
    if (place == NULL || kaio_bits_kind(bits) != KAIO_KIND_QUEUE) {
        return;
    }
    ++kaio_self.call_depth;
    atomic_signal_fence(memory_order_seq_cst);
    atomic_fetch_add(&place->waker_count, 1);
    uintptr_t word = atomic_load(&place->place.word) & ~KAIO_QUEUE_DROP_ASKED;
    if (word == (kaio_bits_life(bits) | KAIO_QUEUE_OPEN)) {
        atomic_store(&place->is_woken, 1);
        if (atomic_load(&place->is_blocking) != 0) {
            kaio_eventfd_raise(atomic_load(&place->wake_fd));
        }
    }
    atomic_fetch_sub(&place->waker_count, 1);
    atomic_signal_fence(memory_order_seq_cst);
    --kaio_self.call_depth;
}

// await_wakers sleeps where it must wait, since a waker may run at a lower priority.
static void await_wakers(struct kaio_queue_place *queue) {
    const struct timespec pause = {.tv_nsec = 50000};
    int saved_errno = errno;
    int state;
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    while (atomic_load(&queue->waker_count) != 0) {
        (void)nanosleep(&pause, NULL);
    }
    (void)pthread_setcancelstate(state, NULL);
    errno = saved_errno;
}

void kaio_queue_end_wakes(struct kaio_queue_place *queue) {
    if (atomic_load(&queue->waker_count) != 0) {
        await_wakers(queue);
    }
    kaio_eventfd_close(atomic_load_explicit(&queue->wake_fd, memory_order_relaxed));
    atomic_store_explicit(&queue->wake_fd, -1, memory_order_relaxed);
    atomic_store_explicit(&queue->is_woken, 0, memory_order_relaxed);
    atomic_store_explicit(&queue->is_blocking, 0, memory_order_relaxed);
    queue->is_armed = 0;
}

void kaio_queue_forget_wakers(void) {
    for (uint32_t i = 1; i < kaio_queues.made_count; ++i) {
        struct kaio_queue_place *queue = kaio_queue_at(i);
        if (queue != NULL) {
            atomic_store_explicit(&queue->waker_count, 0, memory_order_relaxed);
        }
    }
}
