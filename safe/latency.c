#include <assert.h>
#include <stddef.h>

#include "kaio/safe/observe.h"
#include "table.h"

// Latencies below 2^LINEAR_BITS have a bucket each; so has then each SUB_COUNT-th part of a power
// of two, up to 2^LIMIT_BITS.
enum { SUB_BITS = 3, SUB_COUNT = 1 << SUB_BITS, LIMIT_BITS = 42 };

static_assert(KAIO_LATENCY_BUCKET_COUNT == (LIMIT_BITS - SUB_BITS + 1) * SUB_COUNT + 1,
              "eight for each power of two, and one for all above");

#define QUANTILE_MAX_PPM 1000000u

uint32_t kaio_latency_bucket_from_ns(int64_t latency_ns) {
    if (latency_ns < SUB_COUNT) {
        return latency_ns < 0 ? 0 : (uint32_t)latency_ns;
    }
    if (latency_ns >> LIMIT_BITS != 0) {
        return KAIO_LATENCY_BUCKET_COUNT - 1;
    }
    uint32_t top_bit = 63 - (uint32_t)__builtin_clzll((uint64_t)latency_ns);
    uint32_t shift = top_bit - SUB_BITS;
    return (shift << SUB_BITS) + (uint32_t)(latency_ns >> shift);
}

int64_t kaio_latency_bucket_first_ns(uint32_t index) {
    if (index >= KAIO_LATENCY_BUCKET_COUNT) {
        return INT64_MAX;
    }
    if (index < SUB_COUNT) {
        return index;
    }
    uint32_t shift = (index >> SUB_BITS) - 1;
    return (int64_t)(SUB_COUNT + (index & (SUB_COUNT - 1))) << shift;
}

uint64_t kaio_latency_total(const kaio_latency *latency) {
    uint64_t total = 0;
    for (uint32_t i = 0; latency != NULL && i < KAIO_LATENCY_BUCKET_COUNT; ++i) {
        total += latency->counts[i];
    }
    return total;
}

// rank_of is which of `total` latencies in order is the quantile: from 1.
static uint64_t rank_of(uint64_t total, uint32_t quantile_ppm) {
    // Without an intermediate product that overflows: the total in millions, and the rest.
    uint64_t rank =
        total / QUANTILE_MAX_PPM * quantile_ppm +
        (total % QUANTILE_MAX_PPM * quantile_ppm + QUANTILE_MAX_PPM - 1) / QUANTILE_MAX_PPM;
    return rank == 0 ? 1 : rank;
}

kaio_status kaio_latency_quantile(const kaio_latency *latency, uint32_t quantile_ppm,
                                  int64_t *out_latency_ns) {
    if (latency == NULL || out_latency_ns == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT,
                                latency == NULL ? KAIO_SUBJECT_LATENCY : KAIO_SUBJECT_OUTPUT);
    }
    if (quantile_ppm > QUANTILE_MAX_PPM) {
        return kaio_status_pair(KAIO_RANGE, KAIO_SUBJECT_QUANTILE, quantile_ppm, QUANTILE_MAX_PPM);
    }
    uint64_t total = kaio_latency_total(latency);
    if (total == 0) {
        return kaio_status_make(KAIO_EMPTY, KAIO_SUBJECT_LATENCY);
    }
    uint64_t rank = rank_of(total, quantile_ppm);
    uint32_t index = 0;
    while (rank > latency->counts[index]) {
        rank -= latency->counts[index++];
    }
    *out_latency_ns = kaio_latency_bucket_first_ns(index + 1) - 1;
    return kaio_status_ok();
}

kaio_status kaio_latency_merge(kaio_latency *into, const kaio_latency *from) {
    if (into == NULL || from == NULL) {
        return kaio_status_make(KAIO_NULL_ARGUMENT, KAIO_SUBJECT_LATENCY);
    }
    for (uint32_t i = 0; i < KAIO_LATENCY_BUCKET_COUNT; ++i) {
        into->counts[i] += from->counts[i];
    }
    return kaio_status_ok();
}
