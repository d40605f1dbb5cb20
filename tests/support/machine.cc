#include "tests/support/machine.h"

#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace kaio_test {
namespace {

constexpr size_t kMib = 1024 * 1024;

bool WriteLine(const std::string &path, const std::string &line) {
    std::ofstream file(path);
    file << line << std::endl;
    return file.good();
}

// The folder of this process in the hierarchy of `controller` ("" for v2), or "".
std::string OwnGroup(const std::string &controller, const std::string &root) {
    std::ifstream groups("/proc/self/cgroup");
    for (std::string line; std::getline(groups, line);) {
        const size_t first = line.find(':');
        const size_t second = line.find(':', first + 1);
        if (line.substr(first + 1, second - first - 1) == controller) {
            const std::string folder = root + line.substr(second + 1);
            return access(folder.c_str(), W_OK) == 0 ? folder : "";
        }
    }
    return "";
}

}  // namespace

const FileSystemKind kTmpfs = {"Tmpfs", "tmpfs", "", 0};
const FileSystemKind kExt4 = {"Ext4", "ext4", "mkfs.ext4 -q $1", 64 * kMib};
const FileSystemKind kXfs = {"Xfs", "xfs", "mkfs.xfs -q -f $1", 512 * kMib};
const FileSystemKind kBtrfs = {"Btrfs", "btrfs", "mkfs.btrfs -q -f $1", 256 * kMib};

int Shell(const std::string &line) {
    return system(("PATH=$PATH:/usr/sbin:/sbin; " + line).c_str());
}

Mount::Mount(const Folder &parent, const FileSystemKind &kind, const std::string &options)
    : path_(parent / "mounted"), image_(parent / "image") {
    EXPECT_EQ(mkdir(path_.c_str(), 0755), 0) << path_;
    if (kind.make[0] == '\0') {
        EXPECT_EQ(mount("none", path_.c_str(), kind.kind, 0, options.c_str()), 0)
            << strerror(errno);
        return;
    }
    WriteSparse(image_, kind.image_bytes, {});
    EXPECT_EQ(Shell("set -- " + image_ + "; " + kind.make + " >/dev/null"), 0) << kind.make;
    EXPECT_EQ(Shell("mount -o loop" + (options.empty() ? "" : "," + options) + " " + image_ + " " +
                    path_),
              0);
}

Mount::~Mount() {
    EXPECT_EQ(umount(path_.c_str()), 0) << strerror(errno);
    EXPECT_EQ(rmdir(path_.c_str()), 0);
    (void)unlink(image_.c_str());
}

std::vector<std::string> Mount::Names() const {
    std::vector<std::string> names;
    for (const auto &entry : std::filesystem::directory_iterator(path_)) {
        if (entry.path().filename() != "lost+found") {
            names.push_back(entry.path().filename().string());
        }
    }
    return names;
}

uint64_t Mount::FreeBytes() const {
    sync();
    struct statvfs found = {};
    EXPECT_EQ(statvfs(path_.c_str(), &found), 0);
    return static_cast<uint64_t>(found.f_bfree) * found.f_frsize;
}

dev_t Mount::Device() const {
    return Stat(path_).st_dev;
}

Loop::Loop(const std::string &image, const std::string &options) {
    const std::string answer = image + ".device";
    EXPECT_EQ(Shell("losetup --find --show " + options + " " + image + " >" + answer), 0);
    std::ifstream(answer) >> path_;
}

Loop::~Loop() {
    EXPECT_EQ(Shell("losetup --detach " + path_), 0);
}

dev_t Loop::Device() const {
    return Stat(path_).st_rdev;
}

Throttle::Throttle(dev_t device, unsigned per_second) {
    const std::string name = "/kaio_test_" + std::to_string(getpid());
    const std::string number =
        std::to_string(major(device)) + ":" + std::to_string(minor(device)) + " ";
    const std::string limit = std::to_string(per_second);
    old_group_ = OwnGroup("blkio", "/sys/fs/cgroup/blkio");
    const bool is_v1 = !old_group_.empty();
    if (!is_v1) {
        old_group_ = OwnGroup("", "/sys/fs/cgroup");
    }
    if (old_group_.empty()) {
        why_not_ = "there is no cgroup of this process that it may change";
        return;
    }
    // Beside the process's own group: with v2 no group with processes has a controller below it.
    const std::string root = is_v1 ? "/sys/fs/cgroup/blkio" : "/sys/fs/cgroup";
    group_ = root + name;
    if (mkdir(group_.c_str(), 0755) != 0) {
        why_not_ = group_ + ": " + strerror(errno);
        group_.clear();
        return;
    }
    const bool is_set =
        is_v1 ? WriteLine(group_ + "/blkio.throttle.read_iops_device", number + limit) &&
                    WriteLine(group_ + "/blkio.throttle.write_iops_device", number + limit)
              : WriteLine(group_ + "/io.max", number + "riops=" + limit + " wiops=" + limit);
    if (!is_set || !WriteLine(group_ + "/cgroup.procs", std::to_string(getpid()))) {
        why_not_ = group_ + ": the blkio controller refuses the limit";
    }
}

Throttle::~Throttle() {
    if (!group_.empty()) {
        EXPECT_TRUE(WriteLine(old_group_ + "/cgroup.procs", std::to_string(getpid())));
        EXPECT_TRUE(WaitFor([this] { return rmdir(group_.c_str()) == 0; })) << group_;
    }
}

std::string EnterMachine() {
    if (geteuid() != 0) {
        return "only the superuser may mount and limit";
    }
    static const int error =
        unshare(CLONE_NEWNS) == 0 && mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0
            ? 0
            : errno;
    return error == 0 ? "" : std::string("no mount namespace: ") + strerror(error);
}

}  // namespace kaio_test
