// SIGKILL at any moment: what the `wal` program said is durable is read afterwards.
//
// KAIO_WAL_KILLS=1000 kills that often.

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include <random>

#include "tests/engines/wal_log.h"

namespace kaio_test {
namespace {

// A Child is `wal append`, with its ends of both pipes.
struct Child {
    pid_t pid = -1;
    int input = -1;   // ours to write to
    int output = -1;  // ours to read from
};

Child Start(const std::string &program, const char *folder, bool is_new) {
    int in[2];
    int out[2];
    EXPECT_EQ(pipe2(in, O_CLOEXEC), 0);
    EXPECT_EQ(pipe2(out, O_CLOEXEC), 0);
    Child child;
    child.pid = fork();
    if (child.pid == 0) {
        dup2(in[0], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        execl(program.c_str(), "wal", "append", "--segment-bytes=1048576", "--segments=16", folder,
              is_new ? "--new" : nullptr, nullptr);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    child.input = in[1];
    child.output = out[0];
    return child;
}

std::string LineOf(uint64_t number) {
    return "record " + std::to_string(number) + std::string(number * 37 % 200, '.');
}

// FeedAndKill writes lines for `life_us` microseconds, counted from the first answer or from the
// start, and kills.
void FeedAndKill(const Child &child, uint64_t first, int64_t life_us, bool from_first_answer) {
    timespec start;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (uint64_t number = first;;) {
        timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        const int64_t past_us =
            (now.tv_sec - start.tv_sec) * 1000000 + (now.tv_nsec - start.tv_nsec) / 1000;
        pollfd answer = {child.output, POLLIN, 0};
        if (from_first_answer && poll(&answer, 1, 0) == 1) {
            from_first_answer = false;
            start = now;
        } else if (!from_first_answer && past_us >= life_us) {
            break;
        }
        std::string lines;
        for (int i = 0; i < 5; ++i) {
            lines += LineOf(number++) + "\n";
        }
        if (write(child.input, lines.data(), lines.size()) != static_cast<ssize_t>(lines.size())) {
            break;  // it ended by itself: the test will say so
        }
        usleep(100);
    }
    kill(child.pid, SIGKILL);
}

// What it said last.
uint64_t Acknowledged(const Child &child) {
    std::string text;
    char bytes[4096];
    ssize_t got;
    while ((got = read(child.output, bytes, sizeof bytes)) > 0) {
        text.append(bytes, static_cast<size_t>(got));
    }
    const size_t end = text.rfind('\n');
    if (end == std::string::npos) {
        return 0;
    }
    const size_t start = text.rfind('\n', end - 1);
    return strtoull(text.c_str() + (start == std::string::npos ? 0 : start + 1), nullptr, 10);
}

TEST(WalKillTest, WhatWasAcknowledgedIsRead) {
    signal(SIGPIPE, SIG_IGN);
    const char *count_text = getenv("KAIO_WAL_KILLS");
    const int kills = count_text == nullptr ? 60 : atoi(count_text);
    const char *program = getenv("KAIO_WAL");
    ASSERT_NE(program, nullptr);
    std::mt19937_64 random(1);
    Folder folder;
    uint64_t last = 0;
    uint64_t acknowledged_count = 0;
    for (int i = 0; i < kills; ++i) {
        const bool is_new = i % 8 == 0;
        if (is_new) {
            folder.Empty();
            last = 0;
        }
        const Child child = Start(program, folder.path(), is_new);
        // Half of them may die before they have said anything.
        const bool from_first_answer = is_new || random() % 2 == 0;
        FeedAndKill(child, last + 1, static_cast<int64_t>(random() % 30000), from_first_answer);
        const uint64_t acknowledged = Acknowledged(child);
        int status = 0;
        ASSERT_EQ(waitpid(child.pid, &status, 0), child.pid);
        ASSERT_TRUE(WIFSIGNALED(status)) << "it ended by itself: " << status;
        close(child.input);
        close(child.output);

        wal_options options = {};
        options.folder = folder.path();
        wal *log = nullptr;
        const Found found = Recover(options, &log);
        wal_abandon(log);
        if (is_new && access(folder.File(15).c_str(), F_OK) != 0) {
            continue;  // killed before it had made all the files
        }
        ASSERT_EQ(found.code, WAL_OK) << found.error.text;
        const uint64_t found_last = found.records.size();
        ASSERT_GE(found_last, acknowledged) << "kill " << i;
        ASSERT_GE(found_last, last) << "kill " << i;
        for (uint64_t number = 1; number <= found_last; ++number) {
            ASSERT_EQ(found.records[number - 1], LineOf(number)) << "kill " << i;
        }
        acknowledged_count += acknowledged > last;
        last = found_last;
    }
    EXPECT_GT(acknowledged_count, static_cast<uint64_t>(kills / 4)) << "they lived too shortly";
}

}  // namespace
}  // namespace kaio_test
