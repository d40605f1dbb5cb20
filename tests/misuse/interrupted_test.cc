// A signal handler after every single instruction of a call that ends something: nothing is
// released twice, nobody waits for what was interrupted.

#include <gtest/gtest.h>

#include "tests/support/sanitizer.h"

#if defined(__x86_64__) && defined(__LP64__) && !defined(KAIO_HAS_ASAN)

#    include <signal.h>
#    include <sys/wait.h>
#    include <ucontext.h>
#    include <unistd.h>

#    include <cstdint>

#    include "kaio/safe/kaio.h"
#    include "kaio/safe/testing.h"
#    include "tests/support/safe_test.h"

namespace {

using namespace kaio_test;

constexpr greg_t kTrapFlag = 0x100;

long moment;  // the handler acts at this instruction ...
long reached;
void (*act)();

void Step(int, siginfo_t *, void *context) {
    if (reached++ == moment) {
        static_cast<ucontext_t *>(context)->uc_mcontext.gregs[REG_EFL] &= ~kTrapFlag;
        act();
    }
}

// One instruction at a time between these two: they are inlined, so that nothing else is stepped.
#    define STEP_BEGIN() __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq" ::: "memory", "cc")
#    define STEP_END() __asm__ volatile("pushfq; andq $~0x100, (%%rsp); popfq" ::: "memory", "cc")

kaio_buffer *buffer;
kaio_buffer *alias;
kaio_pool *pool;
kaio_pool *pool_alias;
int hook_count;

void CountHook(void *, void *, size_t) {
    ++hook_count;
}

void DropAlias() {
    kaio_buffer *dropped = alias;
    kaio_buffer_drop(&dropped);
}

void TakeFromPool() {
    kaio_buffer *taken = nullptr;
    if (kaio_status_is_ok(kaio_pool_take(pool_alias, &taken))) {
        kaio_buffer_drop(&taken);
    }
}

void DropPool() {
    kaio_pool *dropped = pool_alias;
    kaio_pool_drop(&dropped);
}

void OpenPool() {
    kaio_pool_options options = {};
    options.buffer_bytes = 4096;
    options.buffer_count = 2;
    kaio_ignore(kaio_pool_open(&options, &pool));
    pool_alias = pool;
}

// True: all is well.
bool DropOfAnAdoptedBuffer() {
    static uint8_t bytes[64];
    kaio_ignore(kaio_buffer_adopt(bytes, sizeof bytes, CountHook, nullptr, &buffer));
    alias = buffer;
    act = DropAlias;
    STEP_BEGIN();
    kaio_buffer_drop(&buffer);
    STEP_END();
    return hook_count == 1 && kaio_testing_count().buffer_count == 0;
}

bool DropOfAFrame() {
    OpenPool();
    kaio_ignore(kaio_pool_take(pool, &buffer));
    alias = buffer;
    act = DropAlias;
    STEP_BEGIN();
    kaio_buffer_drop(&buffer);
    STEP_END();
    kaio_buffer *taken[3] = {};
    int count = 0;
    for (kaio_buffer *&one : taken) {
        count += kaio_status_is_ok(kaio_pool_take(pool, &one)) ? 1 : 0;
    }
    return count == 2 && kaio_buffer_as_bytes(taken[0]) != kaio_buffer_as_bytes(taken[1]);
}

bool CloseOfAPool(void (*what)()) {
    OpenPool();
    act = what;
    STEP_BEGIN();
    const kaio_status status = kaio_pool_close(&pool);
    STEP_END();
    kaio_buffer *next = nullptr;
    kaio_ignore(kaio_buffer_new(8, 8, &next));  // ends what was put off
    kaio_buffer_drop(&next);
    return (status.code == KAIO_OK || what == DropPool) && kaio_testing_count().region_count == 0;
}

bool TakeInsideClose() {
    return CloseOfAPool(TakeFromPool);
}

bool DropInsideClose() {
    return CloseOfAPool(DropPool);
}

bool DropInsideBusyClose() {
    OpenPool();
    kaio_ignore(kaio_pool_take(pool, &buffer));
    act = DropPool;
    STEP_BEGIN();
    const kaio_status status = kaio_pool_close(&pool);
    STEP_END();
    kaio_buffer_drop(&buffer);
    kaio_pool_drop(&pool);
    return status.code != KAIO_OK && kaio_testing_count().region_count == 0;
}

kaio_status pushed;

void ReadIntoAlias() {
    static kaio_queue *queue;
    static kaio_file *file;
    static kaio_read *read;
    kaio_queue_options options = {};
    options.depth = 4;
    pushed = kaio_queue_open(&options, &queue);
    kaio_ignore(kaio_file_open("/dev/zero", 0, 0, &file));
    kaio_buffer *moved = alias;
    pushed = kaio_read_new(queue, file, Range(0, 8), kaio_rw_none(), &moved, &read);
}

bool PushInsideDetach() {
    static uint8_t bytes[64];
    kaio_ignore(kaio_buffer_adopt(bytes, sizeof bytes, nullptr, nullptr, &buffer));
    kaio_view *view = nullptr;
    kaio_ignore(kaio_buffer_freeze(&buffer, &view));  // binds it
    kaio_ignore(kaio_view_thaw(&view, &buffer));
    alias = buffer;
    pushed.code = KAIO_STALE;
    act = ReadIntoAlias;
    STEP_BEGIN();
    kaio_ignore(kaio_buffer_detach(buffer));
    STEP_END();
    return pushed.code != KAIO_OK || kaio_buffer_as_bytes(buffer) == nullptr;
}

// RunAt runs `scene` in a child, interrupted at instruction `at`. Whether the call was over before
// is in `*out_is_over`.
bool RunAt(long at, bool (*scene)(), bool *out_is_over) {
    const pid_t child = fork();
    if (child == 0) {
        struct sigaction action = {};
        action.sa_sigaction = Step;
        action.sa_flags = SA_SIGINFO;
        sigaction(SIGTRAP, &action, nullptr);
        alarm(10);
        moment = at;
        const bool is_well = scene();
        _exit(!is_well ? 1 : reached <= moment ? 2 : 0);
    }
    int answer = 0;
    EXPECT_EQ(waitpid(child, &answer, 0), child);
    EXPECT_FALSE(WIFSIGNALED(answer)) << "signal " << WTERMSIG(answer) << " at instruction " << at;
    *out_is_over = WIFEXITED(answer) && WEXITSTATUS(answer) == 2;
    return WIFEXITED(answer) && WEXITSTATUS(answer) != 1;
}

// Every `step`th instruction: a step costs a signal, so a long call has too many.
void RunEverywhere(bool (*scene)(), long step = 1) {
    bool is_over = false;
    for (long at = 0; !is_over && at < 20000; at += step) {
        ASSERT_TRUE(RunAt(at, scene, &is_over)) << "interrupted at instruction " << at;
    }
    EXPECT_TRUE(is_over);
}

TEST(InterruptedTest, ABufferIsReleasedOnce) {
    RunEverywhere(DropOfAnAdoptedBuffer);
}

TEST(InterruptedTest, AFrameIsGivenBackOnce) {
    RunEverywhere(DropOfAFrame);
}

TEST(InterruptedTest, ATakeInTheMiddleOfACloseIsAnswered) {
    RunEverywhere(TakeInsideClose, 29);
}

TEST(InterruptedTest, ADropInTheMiddleOfACloseIsObeyedOnce) {
    RunEverywhere(DropInsideClose, 29);
}

TEST(InterruptedTest, ADropInTheMiddleOfACloseThatIsBusyIsObeyedOnce) {
    RunEverywhere(DropInsideBusyClose, 3);
}

TEST(InterruptedTest, ADetachDoesNotUndoAPush) {
    RunEverywhere(PushInsideDetach);
}

}  // namespace

#else

// Where no instruction can be stepped, or every one of them is instrumented, there is nothing to
// see.
TEST(InterruptedTest, IsForX86Alone) {
    SUCCEED();
}

#endif
