// What tests do to the machine, each thing undone in the end: mounts, loop devices, slow devices.
//
// All of it needs the superuser outside a sandbox: tags = ["local", "exclusive"] in BUILD. A test
// that may not says so and is skipped: see MachineTest.

#ifndef KAIO_TESTS_SUPPORT_MACHINE_H_
#define KAIO_TESTS_SUPPORT_MACHINE_H_

#include <gtest/gtest.h>
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "tests/support/folder.h"

namespace kaio_test {

// Shell runs one line of sh, with the superuser's tools in PATH; the result is its exit status.
int Shell(const std::string &line);

// A FileSystemKind says how to make one. `make` works on the file $1; "" where nothing is made.
struct FileSystemKind {
    const char *name;
    const char *kind;
    const char *make;
    size_t image_bytes;
};

extern const FileSystemKind kTmpfs;
extern const FileSystemKind kExt4;
extern const FileSystemKind kXfs;
extern const FileSystemKind kBtrfs;

// A Mount lasts as long as this object: an image in `parent`, mounted beside it by a loop device.
class Mount {
  public:
    Mount(const Folder &parent, const FileSystemKind &kind, const std::string &options = "");
    ~Mount();
    Mount(const Mount &) = delete;
    Mount &operator=(const Mount &) = delete;

    std::string operator/(const std::string &name) const {
        return path_ + "/" + name;
    }
    const std::string &path() const {
        return path_;
    }
    std::vector<std::string> Names() const;  // without lost+found
    uint64_t FreeBytes() const;
    dev_t Device() const;  // of the file system: the loop device's, but for tmpfs and btrfs

  private:
    const std::string path_;
    const std::string image_;
};

// A Loop device lasts as long as this object. `options` are losetup's.
class Loop {
  public:
    explicit Loop(const std::string &image, const std::string &options = "");
    ~Loop();
    Loop(const Loop &) = delete;
    Loop &operator=(const Loop &) = delete;

    const std::string &path() const {
        return path_;
    }
    dev_t Device() const;

  private:
    std::string path_;
};

// A Throttle lets this process do `per_second` reads and as many writes on `device`, while it
// lasts: an in-flight request can be looked at. By the blkio controller, of cgroup v1 or v2.
class Throttle {
  public:
    Throttle(dev_t device, unsigned per_second);
    ~Throttle();
    Throttle(const Throttle &) = delete;
    Throttle &operator=(const Throttle &) = delete;

    // Empty, or why there is no such controller here.
    const std::string &why_not() const {
        return why_not_;
    }

  private:
    std::string group_;
    std::string old_group_;
    std::string why_not_;
};

// EnterMachine gives this process a mount namespace of its own: whatever kills the test, nothing
// stays mounted. Returns "", or why the test may not do anything to the machine.
std::string EnterMachine();

// OnMachine is the fixture `Base` for tests that do something to the machine, and are skipped where
// that may not be. They work in `folder_`.
template <typename Base>
class OnMachine : public Base {
  protected:
    void SetUp() override {
        Base::SetUp();
        const std::string why_not = EnterMachine();
        if (!why_not.empty()) {
            GTEST_SKIP() << why_not;
        }
    }

    Folder folder_;
};

using MachineTest = OnMachine<testing::Test>;

}  // namespace kaio_test

#endif  // KAIO_TESTS_SUPPORT_MACHINE_H_
