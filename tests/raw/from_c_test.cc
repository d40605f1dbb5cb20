#include "tests/raw/from_c.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>

namespace {

TEST(FromCTest, WritesAndReadsBack) {
    std::FILE *file = std::tmpfile();
    ASSERT_NE(file, nullptr);

    EXPECT_EQ(from_c_round_trip(fileno(file), "from C", 6), 0);

    std::fclose(file);
}

}  // namespace
