// What a process or a system has too little of.

#include <stdio.h>
#include <sys/resource.h>

#include "tests/support/safe_test.h"

namespace kaio_test {
namespace {

class LimitTest : public QueueTest {};

unsigned long ReadNumber(const char *path) {
    unsigned long number = 0;
    FILE *file = fopen(path, "re");
    EXPECT_NE(file, nullptr);
    EXPECT_EQ(fscanf(file, "%lu", &number), 1);
    fclose(file);
    return number;
}

TEST_F(LimitTest, AnExhaustedSystemIsNamedWithItsNumbers) {
    // Takes what is left of fs.aio-max-nr, for a moment.
    std::vector<kaio_queue *> queues;
    kaio_status status = {};
    kaio_queue *queue = nullptr;
    uint32_t depth = 16384;
    while (depth > 0) {
        kaio_queue_options options = {};
        options.depth = depth;
        status = kaio_queue_open(&options, &queue);
        if (!kaio_status_is_ok(status)) {
            depth /= 2;
            continue;
        }
        queues.push_back(queue);
        ASSERT_LT(queues.size(), 100u) << "fs.aio-max-nr is too large for this test";
    }
    EXPECT_CODE(KAIO_LIMIT, status);
    EXPECT_EQ(status.os_error, EAGAIN);
    EXPECT_EQ(status.detail >> 32, ReadNumber("/proc/sys/fs/aio-max-nr"));
    EXPECT_NE(Text(status).find("fs.aio-max-nr"), std::string::npos);
    for (kaio_queue *&open : queues) {
        kaio_queue_drop(&open);
    }
}

TEST_F(LimitTest, AWriteBeyondTheFileSizeLimitIsShortThenFails) {
    TempFile temp;
    kaio_file *file = OpenFile(temp.path());
    rlimit old = {};
    ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old), 0);
    rlimit small = old;
    small.rlim_cur = 8192;
    signal(SIGXFSZ, SIG_IGN);
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
    kaio_buffer *buffer = NewBuffer(8192);
    StartWrite(file, 4096, &buffer);
    kaio_completion completion = WaitAndTake();
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_SHORT);
    EXPECT_EQ(completion.moved_bytes, 4096u);
    StartWrite(file, 8192, &completion.buffer);
    completion = WaitAndTake();
    EXPECT_EQ(completion.transfer, KAIO_TRANSFER_FAILED);
    EXPECT_EQ(completion.os_error, EFBIG);
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &old), 0);
    signal(SIGXFSZ, SIG_DFL);
    kaio_completion_drop(&completion);
    kaio_file_drop(&file);
}

}  // namespace
}  // namespace kaio_test
