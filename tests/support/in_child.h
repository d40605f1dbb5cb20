// A test's child process: expectations in it count for the test.

#ifndef KAIO_TESTS_SUPPORT_IN_CHILD_H_
#define KAIO_TESTS_SUPPORT_IN_CHILD_H_

#include <gtest/gtest.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

namespace kaio_test {

// ExpectFineInChild runs `body` in a child of fork(2), which leaves by _exit. What fails in it is
// printed there, and fails the test here.
template <typename Body>
void ExpectFineInChild(Body body) {
    fflush(nullptr);
    const pid_t child = fork();
    ASSERT_NE(child, -1);
    if (child == 0) {
        const bool had_failed = testing::Test::HasFailure();
        body();
        fflush(nullptr);
        _exit(!had_failed && testing::Test::HasFailure() ? 1 : 0);
    }
    int answer = 0;
    ASSERT_EQ(waitpid(child, &answer, 0), child);
    EXPECT_TRUE(WIFEXITED(answer)) << "the child ended by signal " << WTERMSIG(answer);
    EXPECT_EQ(WEXITSTATUS(answer), 0) << "the child failed";
}

}  // namespace kaio_test

#endif  // KAIO_TESTS_SUPPORT_IN_CHILD_H_
