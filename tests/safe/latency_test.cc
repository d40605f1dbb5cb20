// Buckets of latencies, and quantiles of them, against the exact numbers.

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

#include "tests/support/safe_test.h"

namespace kaio_test {
namespace {

constexpr int64_t kHourNs = 3600 * int64_t{1000000000};
constexpr int64_t kLimitNs = int64_t{1} << 42;

int64_t First(uint32_t index) {
    return kaio_latency_bucket_first_ns(index);
}

int64_t Quantile(const kaio_latency &latency, uint32_t ppm) {
    int64_t ns = -1;
    EXPECT_OK(kaio_latency_quantile(&latency, ppm, &ns));
    return ns;
}

void Count(kaio_latency *latency, int64_t ns) {
    ++latency->counts[kaio_latency_bucket_from_ns(ns)];
}

TEST(LatencyTest, EveryBucketBeginsWhereTheOneBeforeItEnds) {
    EXPECT_EQ(First(0), 0);
    for (uint32_t i = 0; i < KAIO_LATENCY_BUCKET_COUNT; ++i) {
        EXPECT_LT(First(i), First(i + 1)) << i;
        EXPECT_EQ(kaio_latency_bucket_from_ns(First(i)), i);
        EXPECT_EQ(kaio_latency_bucket_from_ns(First(i + 1) - 1), i);
    }
}

TEST(LatencyTest, ABucketIsNarrowerThanAnEighthOfWhatIsInIt) {
    for (uint32_t i = 0; i + 1 < KAIO_LATENCY_BUCKET_COUNT; ++i) {
        const int64_t last = First(i + 1) - 1;
        EXPECT_LE((last - First(i)) * 8, First(i)) << i;
    }
    for (int64_t ns = 0; ns < 16; ++ns) {
        EXPECT_EQ(kaio_latency_bucket_from_ns(ns), static_cast<uint32_t>(ns));
    }
}

TEST(LatencyTest, WhatIsOutsideIsInTheFirstOrTheLastBucket) {
    EXPECT_EQ(kaio_latency_bucket_from_ns(-1), 0u);
    EXPECT_EQ(kaio_latency_bucket_from_ns(INT64_MIN), 0u);
    EXPECT_GT(kLimitNs, kHourNs);
    EXPECT_EQ(First(KAIO_LATENCY_BUCKET_COUNT - 1), kLimitNs);
    EXPECT_EQ(kaio_latency_bucket_from_ns(kLimitNs - 1), KAIO_LATENCY_BUCKET_COUNT - 2);
    EXPECT_EQ(kaio_latency_bucket_from_ns(kLimitNs), KAIO_LATENCY_BUCKET_COUNT - 1);
    EXPECT_EQ(kaio_latency_bucket_from_ns(INT64_MAX), KAIO_LATENCY_BUCKET_COUNT - 1);
    EXPECT_LT(kaio_latency_bucket_from_ns(kHourNs), KAIO_LATENCY_BUCKET_COUNT - 1);
    EXPECT_EQ(First(KAIO_LATENCY_BUCKET_COUNT), INT64_MAX);
    EXPECT_EQ(First(UINT32_MAX), INT64_MAX);
}

TEST(LatencyTest, AQuantileIsTheExactOneOrLessThanAnEighthMore) {
    std::mt19937_64 random(1);
    for (int round = 0; round < 200; ++round) {
        kaio_latency latency = {};
        std::vector<int64_t> exact(1 + random() % 999);
        for (int64_t &ns : exact) {
            ns = static_cast<int64_t>((random() & (kLimitNs - 1)) >> (random() % 42));
            Count(&latency, ns);
        }
        std::sort(exact.begin(), exact.end());
        ASSERT_EQ(kaio_latency_total(&latency), exact.size());
        for (uint32_t ppm : {0u, 1u, 100000u, 500000u, 900000u, 999000u, 999999u, 1000000u}) {
            // The smallest rank of which at least so many millionths are not above it.
            const uint64_t rank =
                std::max<uint64_t>((exact.size() * uint64_t{ppm} + 999999) / 1000000, 1);
            const int64_t wanted = exact[rank - 1];
            const int64_t found = Quantile(latency, ppm);
            EXPECT_GE(found, wanted) << ppm;
            EXPECT_LE(found - wanted, wanted / 8) << ppm;
        }
    }
}

TEST(LatencyTest, AQuantileOfWhatTookTooLongIsTheLargest) {
    kaio_latency latency = {};
    Count(&latency, kLimitNs);
    EXPECT_EQ(Quantile(latency, 500000), INT64_MAX - 1);
}

TEST(LatencyTest, QuantilesOfManyAreExactInRank) {
    kaio_latency latency = {};
    latency.counts[3] = uint64_t{1} << 62;
    latency.counts[5] = uint64_t{1} << 62;
    EXPECT_EQ(Quantile(latency, 500000), 3);
    EXPECT_EQ(Quantile(latency, 500001), 5);
    EXPECT_EQ(kaio_latency_total(&latency), uint64_t{1} << 63);
}

TEST(LatencyTest, MergingAddsTheCounts) {
    kaio_latency all = {};
    kaio_latency parts[2] = {};
    for (int64_t ns = 1; ns < kHourNs; ns = ns * 3 / 2 + 1) {
        Count(&all, ns);
        Count(&parts[ns % 2], ns);
    }
    EXPECT_OK(kaio_latency_merge(&parts[0], &parts[1]));
    EXPECT_EQ(memcmp(&parts[0], &all, sizeof all), 0);
}

TEST(LatencyTest, AnEmptyOneHasNoQuantile) {
    const kaio_latency latency = {};
    int64_t ns = 77;
    EXPECT_CODE(KAIO_EMPTY, kaio_latency_quantile(&latency, 500000, &ns));
    EXPECT_EQ(ns, 77);
    EXPECT_EQ(kaio_latency_total(&latency), 0u);
}

TEST(LatencyTest, MoreThanAllIsOutOfRange) {
    kaio_latency latency = {};
    Count(&latency, 1);
    int64_t ns = 77;
    const kaio_status status = kaio_latency_quantile(&latency, 1000001, &ns);
    EXPECT_CODE(KAIO_RANGE, status);
    EXPECT_EQ(Text(status), "range (quantile): asked for 1000001, the limit is 1000000");
    EXPECT_EQ(ns, 77);
}

}  // namespace
}  // namespace kaio_test
