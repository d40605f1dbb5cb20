// fio and qemu-img, unmodified, on our libaio.so.1 and a loop device.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/libaio/programs.h"
#include "tests/support/command.h"
#include "tests/support/folder.h"
#include "tests/support/machine.h"

namespace kaio_test {
namespace {

using testing::HasSubstr;

class ProgramsMachineTest : public MachineTest {
  protected:
    std::string NewImage() const {
        WriteFile(folder_ / "image", std::string(16 * 1024 * 1024, '\0'));
        return folder_ / "image";
    }
};

TEST_F(ProgramsMachineTest, FioOnALoopDevice) {
    const Loop loop(NewImage(), "--direct-io=on");
    const std::vector<std::string> ways[] = {
        {"--direct=1"},
        {"--direct=1", "--userspace_reap"},
        {"--direct=1", "--iodepth_batch=8", "--iodepth_batch_complete_min=8"},
        {"--direct=1", "--numjobs=4", "--size=2m", "--offset_increment=2m"},
        {"--direct=1", "--iodepth=1"}};
    for (const std::vector<std::string> &way : ways) {
        const Ending ending = Program(FioLine(loop.path(), way)).RunOnOurs();
        EXPECT_EQ(ending.exit_status, 0) << way.back() << ": " << ending.out << ending.err;
        EXPECT_THAT(ending.out, HasSubstr("err= 0"));
    }
}

// A device does not end a request inside io_submit: here our library waits in the kernel.
TEST_F(ProgramsMachineTest, FioOnALoopDeviceWhoseWaitsAreInterrupted) {
    const Loop loop(NewImage(), "--direct-io=on");
    std::vector<std::string> line = {"strace", "-f",
                                     "-o",     folder_ / "trace",
                                     "-e",     "trace=io_getevents",
                                     "-e",     "inject=io_getevents:error=EINTR:when=1+3"};
    const std::vector<std::string> fio =
        FioLine(loop.path(), {"--direct=1", "--size=1m", "--iodepth_batch_complete_min=8"});
    line.insert(line.end(), fio.begin(), fio.end());
    const Ending ending = Program(line).RunOnOurs();
    EXPECT_EQ(ending.exit_status, 0) << ending.out << ending.err;
    EXPECT_THAT(ending.out, HasSubstr("err= 0"));
    EXPECT_THAT(ReadFile(folder_ / "trace"), HasSubstr("(INJECTED)"));
}

TEST_F(ProgramsMachineTest, QemuImgBenchOnALoopDevice) {
    const Loop loop(NewImage(), "--direct-io=on");
    const Ending ending =
        Program({"qemu-img", "bench", "-n", "-i", "native", "-t", "none", "-f", "raw", "-w", "-c",
                 "2000", "-d", "32", "-s", "4096", loop.path()})
            .RunOnOurs();
    EXPECT_EQ(ending.exit_status, 0) << ending.err;
    EXPECT_THAT(ending.out, HasSubstr("Run completed"));
}

}  // namespace
}  // namespace kaio_test
