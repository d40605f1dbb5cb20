#include "tests/support/command.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <filesystem>

// From linux/capability.h, which clashes with what the C library declares on some systems.
enum { CAP_OVERRIDE_MODES = 1, CAP_READ_AND_SEARCH = 2 };

extern char **environ;

namespace kaio_test {
namespace {

std::string Environment(const char *name) {
    const char *value = getenv(name);
    return value == nullptr ? "" : value;
}

// Runfile finds a file of this repository: in the runfiles, or where a test is run by hand.
std::string Runfile(const std::string &name) {
    const std::string root = Environment("TEST_SRCDIR") + "/" + Environment("TEST_WORKSPACE");
    const std::string path = root + "/" + name;
    return std::filesystem::absolute(access(path.c_str(), X_OK) == 0 ? path : name).string();
}

struct Pipe {
    int from;
    int to;
};

Pipe NewPipe() {
    int fds[2] = {-1, -1};
    EXPECT_EQ(pipe2(fds, O_CLOEXEC), 0);
    return {fds[0], fds[1]};
}

// The terminal passes everything on as it was written.
Pipe NewTerminal() {
    int from = -1;
    int to = -1;
    termios raw = {};
    cfmakeraw(&raw);
    winsize size = {};
    size.ws_row = 24;
    size.ws_col = 80;
    EXPECT_EQ(openpty(&from, &to, nullptr, &raw, &size), 0);
    EXPECT_EQ(fcntl(from, F_SETFD, FD_CLOEXEC), 0);
    EXPECT_EQ(fcntl(to, F_SETFD, FD_CLOEXEC), 0);
    return {from, to};
}

std::vector<char *> Pointers(const std::vector<std::string> &texts) {
    std::vector<char *> pointers;
    for (const std::string &text : texts) {
        pointers.push_back(const_cast<char *>(text.c_str()));
    }
    pointers.push_back(nullptr);
    return pointers;
}

// ReadOnce appends what is there. False at the end; a terminal that nobody holds answers EIO.
bool ReadOnce(int fd, std::string *text) {
    char part[4096];
    const ssize_t count = read(fd, part, sizeof part);
    if (count <= 0) {
        return false;
    }
    text->append(part, static_cast<size_t>(count));
    return true;
}

void ReadBoth(int out_fd, int err_fd, Ending *ending) {
    pollfd files[] = {{out_fd, POLLIN, 0}, {err_fd, POLLIN, 0}};
    while (files[0].fd >= 0 || files[1].fd >= 0) {
        poll(files, 2, -1);
        if (files[0].revents != 0 && !ReadOnce(out_fd, &ending->out)) {
            files[0] = {-1, 0, 0};
        }
        if (files[1].revents != 0 && !ReadOnce(err_fd, &ending->err)) {
            files[1] = {-1, 0, 0};
        }
    }
}

}  // namespace

Running::Running(Running &&other) noexcept
    : pid_(std::exchange(other.pid_, -1)), out_fd_(other.out_fd_), err_fd_(other.err_fd_) {}

Running::~Running() {
    if (pid_ > 0) {
        Kill(SIGKILL);
        Wait();
    }
}

Ending Running::Wait() {
    Ending ending;
    ReadBoth(out_fd_, err_fd_, &ending);
    close(out_fd_);
    close(err_fd_);
    int status = 0;
    EXPECT_EQ(waitpid(std::exchange(pid_, -1), &status, 0) > 0, true);
    if (WIFEXITED(status)) {
        ending.exit_status = WEXITSTATUS(status);
    } else {
        ending.signal = WTERMSIG(status);
    }
    return ending;
}

void Running::Kill(int signal) const {
    EXPECT_EQ(kill(pid_, signal), 0);
}

bool Running::HasEnded() const {
    siginfo_t state = {};
    EXPECT_EQ(waitid(P_PID, static_cast<id_t>(pid_), &state, WEXITED | WNOWAIT | WNOHANG), 0);
    return state.si_pid != 0;
}

bool Running::Stop() const {
    Kill(SIGSTOP);
    siginfo_t state = {};
    EXPECT_EQ(waitid(P_PID, static_cast<id_t>(pid_), &state, WSTOPPED | WEXITED | WNOWAIT), 0);
    return state.si_code == CLD_STOPPED;
}

Command &Command::BoundByModes() {
    return Before([] {
        if (geteuid() == 0) {
            prctl(PR_CAPBSET_DROP, CAP_OVERRIDE_MODES);
            prctl(PR_CAPBSET_DROP, CAP_READ_AND_SEARCH);
        }
    });
}

Running Command::Start() const {
    std::vector<std::string> arguments = {Runfile(program_)};
    arguments.insert(arguments.end(), arguments_.begin(), arguments_.end());
    std::vector<std::string> environment = environment_;
    for (char **variable = environ; *variable != nullptr; ++variable) {
        environment.emplace_back(*variable);
    }
    const std::vector<char *> argv = Pointers(arguments);
    const std::vector<char *> envp = Pointers(environment);
    const Pipe out = NewPipe();
    const Pipe err = is_on_terminal_ ? NewTerminal() : NewPipe();

    const pid_t pid = fork();
    EXPECT_GE(pid, 0);
    if (pid == 0) {
        dup2(out.to, STDOUT_FILENO);
        dup2(err.to, STDERR_FILENO);
        for (const auto &preparation : preparations_) {
            preparation();
        }
        execve(argv[0], argv.data(), envp.data());
        perror(argv[0]);
        _exit(127);
    }
    close(out.to);
    close(err.to);
    return {pid, out.from, err.from};
}

}  // namespace kaio_test
