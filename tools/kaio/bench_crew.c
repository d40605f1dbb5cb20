#define _POSIX_C_SOURCE 200809L  // pthread_barrier_t

#include "bench_crew.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { THREADS_MAX = 8 };

struct hand {
    struct bench_crew *crew;
    pthread_t thread;
    struct bench_work work;  // with memory of its own
    void *peer;              // NULL: it could not be opened
    bool is_good;            // the last run was
    kaio_latency latency;
    char why[BENCH_WHY_BYTES];
};

struct bench_crew {
    const struct bench_peer *peer;
    struct bench_variant variant;
    uint32_t hand_count;   // the first one is the calling thread's, when it is the only one
    uint64_t share_count;  // of operations, for each; 0: the end
    pthread_barrier_t begin;
    pthread_barrier_t end;
    struct hand hands[THREADS_MAX];
};

void *bench_peer_cannot(char out_why[BENCH_WHY_BYTES], const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(out_why, BENCH_WHY_BYTES, format, arguments);
    va_end(arguments);
    return NULL;
}

// open_own opens the file once more, since threads that share one share its counts of users. Where
// that cannot be done they do.
static int open_own(int fd) {
    int flags = fcntl(fd, F_GETFL);
    return flags < 0 ? -1 : bench_work_reopen(fd, flags);
}

static void *work_on(void *argument) {
    struct hand *hand = argument;
    struct bench_crew *crew = hand->crew;
    int own_fd = open_own(hand->work.fd);
    hand->work.fd = own_fd < 0 ? hand->work.fd : own_fd;
    hand->peer = crew->peer->open(&hand->work, &crew->variant, hand->why);
    for (;;) {
        (void)pthread_barrier_wait(&crew->end);
        (void)pthread_barrier_wait(&crew->begin);
        if (crew->share_count == 0) {
            break;
        }
        hand->is_good = crew->peer->run(hand->peer, crew->share_count, &hand->latency);
    }
    if (hand->peer != NULL) {
        crew->peer->close(hand->peer);
    }
    if (own_fd >= 0) {
        (void)close(own_fd);
    }
    return NULL;
}

static void end_threads(struct bench_crew *crew) {
    crew->share_count = 0;
    (void)pthread_barrier_wait(&crew->begin);
    for (uint32_t i = 0; i < crew->hand_count; ++i) {
        (void)pthread_join(crew->hands[i].thread, NULL);
    }
    (void)pthread_barrier_destroy(&crew->begin);
    (void)pthread_barrier_destroy(&crew->end);
}

// open_threads begins them, and waits until each has opened its peer or could not.
static bool open_threads(struct bench_crew *crew, char out_why[BENCH_WHY_BYTES]) {
    (void)pthread_barrier_init(&crew->begin, NULL, crew->hand_count + 1);
    (void)pthread_barrier_init(&crew->end, NULL, crew->hand_count + 1);
    for (uint32_t i = 0; i < crew->hand_count; ++i) {
        if (pthread_create(&crew->hands[i].thread, NULL, work_on, &crew->hands[i]) != 0) {
            (void)fprintf(stderr, "kaio bench: no thread\n");  // half a crew cannot be ended
            exit(EXIT_FAILURE);
        }
    }
    (void)pthread_barrier_wait(&crew->end);
    for (uint32_t i = 0; i < crew->hand_count; ++i) {
        if (crew->hands[i].peer == NULL) {
            (void)bench_peer_cannot(out_why, "%s", crew->hands[i].why);
            end_threads(crew);
            return false;
        }
    }
    return true;
}

struct bench_crew *bench_crew_open(const struct bench_peer *peer, const struct bench_work *work,
                                   const struct bench_variant *variant,
                                   char out_why[BENCH_WHY_BYTES]) {
    struct bench_crew *crew = calloc(1, sizeof *crew);
    if (crew == NULL) {
        return bench_peer_cannot(out_why, "no memory");
    }
    crew->peer = peer;
    crew->variant = *variant;
    crew->hand_count = variant->thread_count == 0 ? 1 : variant->thread_count;
    for (uint32_t i = 0; i < crew->hand_count; ++i) {
        crew->hands[i].crew = crew;
        crew->hands[i].work = *work;
        crew->hands[i].work.memory += (size_t)i * work->depth * work->stride_bytes;
    }
    bool is_open = true;
    if (crew->hand_count > 1) {
        is_open = open_threads(crew, out_why);
    } else {
        crew->hands[0].peer = peer->open(&crew->hands[0].work, variant, out_why);
        is_open = crew->hands[0].peer != NULL;
    }
    if (!is_open) {
        free(crew);
        return NULL;
    }
    return crew;
}

bool bench_crew_run(struct bench_crew *crew, uint64_t count, kaio_latency *latency) {
    if (crew->hand_count == 1) {
        return crew->peer->run(crew->hands[0].peer, count, latency);
    }
    uint64_t share_count = count / crew->hand_count;
    crew->share_count = share_count == 0 ? 1 : share_count;
    (void)pthread_barrier_wait(&crew->begin);
    (void)pthread_barrier_wait(&crew->end);
    bool is_good = true;
    for (uint32_t i = 0; i < crew->hand_count; ++i) {
        struct hand *hand = &crew->hands[i];
        is_good = is_good && hand->is_good;
        if (latency != NULL) {
            (void)!kaio_status_is_ok(kaio_latency_merge(latency, &hand->latency));
        }
        hand->latency = (kaio_latency){{0}};
    }
    return is_good;
}

void bench_crew_close(struct bench_crew *crew) {
    if (crew == NULL) {
        return;
    }
    if (crew->hand_count > 1) {
        end_threads(crew);
    } else {
        crew->peer->close(crew->hands[0].peer);
    }
    free(crew);
}
