// Seccomp filters, for a thread of a test or for a program that it runs.

#ifndef KAIO_TESTS_SUPPORT_SECCOMP_H_
#define KAIO_TESTS_SUPPORT_SECCOMP_H_

#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include "tests/support/command.h"

namespace kaio_test {

// Filter answers `numbers` with `action`, and lets all else be: of the calling thread, and of what
// it starts. Below 0: it failed.
int Filter(const std::vector<long> &numbers, uint32_t action, unsigned flags = 0);

// Errno is the action that answers with an error.
uint32_t Errno(int error);

// A Listener is asked before the kernel does the calls `numbers` of a command and its children, as
// long as this object lasts. `answer` gets their index, from 0 on, and returns 0 to let the call be
// done or the error that it then has; the caller sleeps until it returns, in a thread of its own.
class Listener {
  public:
    Listener(Command *command, const std::vector<long> &numbers, std::function<int(int)> answer);
    ~Listener();
    Listener(const Listener &) = delete;
    Listener &operator=(const Listener &) = delete;

  private:
    void Listen();
    bool WaitFor(int fd) const;  // until it can be read; false when the object goes
    void Answer(int listener_fd);

    const std::function<int(int)> answer_;
    int index_ = 0;
    int from_ = -1;
    int to_ = -1;
    int end_ = -1;
    std::thread thread_;
};

}  // namespace kaio_test

#endif  // KAIO_TESTS_SUPPORT_SECCOMP_H_
