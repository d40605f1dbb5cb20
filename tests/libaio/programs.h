// Programs as they are packaged, run on our libaio.so.1 or on the system's.

#ifndef KAIO_TESTS_LIBAIO_PROGRAMS_H_
#define KAIO_TESTS_LIBAIO_PROGRAMS_H_

#include <gtest/gtest.h>
#include <stdlib.h>

#include <string>
#include <vector>

#include "tests/support/command.h"
#include "tests/support/folder.h"

namespace kaio_test {

// The folder with libaio.so.1 that this repository builds.
inline std::string OurFolder() {
    return std::string(getenv("TEST_SRCDIR")) + "/" + getenv("TEST_WORKSPACE") + "/raw/libaio";
}

// A Program is one command line. A minute is more than any needs: what hangs is killed.
class Program {
  public:
    explicit Program(const std::vector<std::string> &line) : line_({"-s", "KILL", "60"}) {
        line_.insert(line_.end(), line.begin(), line.end());
    }

    // Our library, and no other, was the one whose io_submit the program called.
    Ending RunOnOurs() const {
        const Folder logs;
        const Ending ending = Command(line_)
                                  .Program("/usr/bin/timeout")
                                  .With("LD_LIBRARY_PATH", OurFolder())
                                  .With("LD_DEBUG", "bindings")
                                  .With("LD_DEBUG_OUTPUT", logs / "log")
                                  .Run();
        std::string bindings;
        for (const std::string &name : logs.Names()) {
            bindings += ReadFile(logs / name);
        }
        EXPECT_NE(
            bindings.find(" to " + OurFolder() + "/libaio.so.1 [0]: normal symbol `io_submit'"),
            std::string::npos)
            << "another libaio was loaded";
        return ending;
    }

    Ending RunOnTheSystems() const {
        return Command(line_).Program("/usr/bin/timeout").Run();
    }

  private:
    std::vector<std::string> line_;
};

// FioLine is fio on a file or device, with libaio, which reads and writes and checks all it wrote.
inline std::vector<std::string> FioLine(const std::string &path,
                                        const std::vector<std::string> &more) {
    std::vector<std::string> line = {
        "fio",      "--name=job", "--filename=" + path, "--ioengine=libaio", "--rw=randrw",
        "--bs=4k",  "--size=8m",  "--iodepth=16",       "--verify=crc32c",   "--verify_fatal=1",
        "--thread", "--eta=never"};
    line.insert(line.end(), more.begin(), more.end());
    return line;
}

}  // namespace kaio_test

#endif  // KAIO_TESTS_LIBAIO_PROGRAMS_H_
