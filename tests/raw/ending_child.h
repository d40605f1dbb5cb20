// A child process whose memory ends, by exec, exit or a signal, while it has requests in flight.

#ifndef KAIO_TESTS_RAW_ENDING_CHILD_H_
#define KAIO_TESTS_RAW_ENDING_CHILD_H_

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <string>

namespace kaio_test {

enum class End { kExec, kExit, kKill };

inline std::string EndName(const testing::TestParamInfo<End> &info) {
    switch (info.param) {
        case End::kExec:
            return "Exec";
        case End::kExit:
            return "Exit";
        case End::kKill:
            return "Kill";
    }
    return "";
}

// After an exec the process lives on until this object ends. It lives a minute at most.
class EndingChild {
  public:
    // The child runs `prepare`, which answers whether it could, and then waits.
    EndingChild(End end, const std::function<bool()> &prepare) : end_(end) {
        EXPECT_EQ(pipe2(said_, O_CLOEXEC), 0);
        EXPECT_EQ(pipe2(order_, O_CLOEXEC), 0);
        child_ = fork();
        if (child_ == 0) {
            Live(prepare);
        }
        EXPECT_NE(child_, -1);
        close(said_[1]);
        close(order_[0]);
    }

    ~EndingChild() {
        close(order_[1]);
        close(said_[0]);
        int answer = 0;
        EXPECT_EQ(waitpid(child_, &answer, 0), child_);
        if (end_ == End::kKill) {
            EXPECT_TRUE(WIFSIGNALED(answer) && WTERMSIG(answer) == SIGKILL) << answer;
        } else {
            EXPECT_TRUE(WIFEXITED(answer) && WEXITSTATUS(answer) == kFine) << answer;
        }
    }

    EndingChild(const EndingChild &) = delete;
    EndingChild &operator=(const EndingChild &) = delete;

    // Waits until it is prepared.
    bool IsPrepared() {
        return Hear() == 1;
    }

    // Ends its memory, and waits until the kernel has: descriptors that close on exec go later.
    bool HasEnded() {
        if (end_ == End::kKill) {
            return kill(child_, SIGKILL) == 0 && Hear() == 0;
        }
        return write(order_[1], "x", 1) == 1 && Hear() == 0;
    }

  private:
    static constexpr int kFine = 7;
    static constexpr unsigned kSeconds = 60;

    [[noreturn]] void Live(const std::function<bool()> &prepare) {
        alarm(kSeconds);
        char order = 0;
        close(said_[0]);
        close(order_[1]);
        if (prepare() && write(said_[1], "x", 1) == 1 && read(order_[0], &order, 1) == 1) {
            if (end_ == End::kExit) {
                _exit(kFine);
            }
            dup2(order_[0], STDIN_FILENO);
            execl("/bin/sh", "sh", "-c", ("read x; exit " + std::to_string(kFine)).c_str(),
                  nullptr);
        }
        _exit(1);
    }

    // What read gives once the child has said something, or cannot any more: 1 or 0.
    ssize_t Hear() {
        pollfd said = {said_[0], POLLIN, 0};
        char word = 0;
        return poll(&said, 1, kSeconds * 1000) == 1 ? read(said_[0], &word, 1) : -1;
    }

    const End end_;
    int said_[2] = {-1, -1};
    int order_[2] = {-1, -1};
    pid_t child_ = -1;
};

}  // namespace kaio_test

#endif  // KAIO_TESTS_RAW_ENDING_CHILD_H_
