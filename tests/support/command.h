// Programs that are run for real: of tools/, and others.

#ifndef KAIO_TESTS_SUPPORT_COMMAND_H_
#define KAIO_TESTS_SUPPORT_COMMAND_H_

#include <sys/types.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/folder.h"

namespace kaio_test {

// How a program ended, and what it said.
struct Ending {
    int exit_status = -1;  // -1: it died by a signal
    int signal = 0;
    std::string out;
    std::string err;
};

// A Running program is waited for, or killed in the end.
class Running {
  public:
    Running(pid_t pid, int out_fd, int err_fd) : pid_(pid), out_fd_(out_fd), err_fd_(err_fd) {}
    ~Running();
    Running(Running &&other) noexcept;
    Running(const Running &) = delete;
    Running &operator=(const Running &) = delete;

    Ending Wait();
    void Kill(int signal) const;
    bool HasEnded() const;
    bool Stop() const;  // false when it has ended already

  private:
    pid_t pid_;
    int out_fd_;
    int err_fd_;
};

// A Command is `kaio` with arguments, to be run in the folder and with the rights that it is given.
class Command {
  public:
    explicit Command(std::vector<std::string> arguments) : arguments_(std::move(arguments)) {}

    // The program is another one: a path in the runfiles.
    Command &Program(const std::string &name) {
        program_ = name;
        return *this;
    }
    Command &With(const std::string &name, const std::string &value) {
        environment_.push_back(name + "=" + value);
        return *this;
    }
    // Before the program starts, the child calls this.
    Command &Before(std::function<void()> preparation) {
        preparations_.push_back(std::move(preparation));
        return *this;
    }
    // A superuser's right to pass over the modes of files is not the child's.
    Command &BoundByModes();
    // stderr is a terminal; what comes out of it is in Ending.err.
    Command &OnTerminal() {
        is_on_terminal_ = true;
        return *this;
    }

    Running Start() const;
    Ending Run() const {
        return Start().Wait();
    }

  private:
    std::vector<std::string> arguments_;
    std::string program_ = "tools/kaio";
    std::vector<std::string> environment_;
    std::vector<std::function<void()>> preparations_;
    bool is_on_terminal_ = false;
};

}  // namespace kaio_test

#endif  // KAIO_TESTS_SUPPORT_COMMAND_H_
