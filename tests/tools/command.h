// What tests of tools/ share: folders to work in, and programs that are run for real.

#ifndef KAIO_TESTS_TOOLS_COMMAND_H_
#define KAIO_TESTS_TOOLS_COMMAND_H_

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace kaio_test {

// A Folder is empty at first, and removed in the end with all that is in it.
class Folder {
  public:
    explicit Folder(const std::string &parent = "");
    ~Folder();
    Folder(const Folder &) = delete;
    Folder &operator=(const Folder &) = delete;

    std::string operator/(const std::string &name) const {
        return path_ + "/" + name;
    }
    const std::string &path() const {
        return path_;
    }
    std::vector<std::string> Names() const;  // sorted

  private:
    std::string path_;
};

// Bytes that differ from place to place, and are never 0.
std::string Pattern(size_t size_bytes, unsigned seed = 1);

void WriteFile(const std::string &path, const std::string &bytes);
void WriteAt(const std::string &path, uint64_t offset_bytes, const std::string &bytes);
std::string ReadFile(const std::string &path);
struct stat Stat(const std::string &path);  // of the link itself

// Data is a string of `bytes` at `offset_bytes`; WriteSparse makes a file of nothing but these.
using Data = std::pair<uint64_t, std::string>;
void WriteSparse(const std::string &path, uint64_t size_bytes, const std::vector<Data> &data);

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

// WaitFor asks every millisecond, for a minute at most, until `is_so` answers true.
bool WaitFor(const std::function<bool()> &is_so);

}  // namespace kaio_test

#endif  // KAIO_TESTS_TOOLS_COMMAND_H_
