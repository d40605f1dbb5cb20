#include "tests/support/seccomp.h"

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <utility>

namespace kaio_test {
namespace {

// What is sent with a descriptor: a byte, and room for the descriptor.
struct Parcel {
    char byte = 0;
    iovec part = {&byte, 1};
    alignas(cmsghdr) char room[CMSG_SPACE(sizeof(int))] = {};
    msghdr message = {};

    Parcel() {
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = room;
        message.msg_controllen = sizeof room;
    }
};

void SendDescriptor(int to, int fd) {
    Parcel parcel;
    cmsghdr *header = CMSG_FIRSTHDR(&parcel.message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
    EXPECT_EQ(sendmsg(to, &parcel.message, 0), 1);
}

int TakeDescriptor(int from) {
    Parcel parcel;
    int fd = -1;
    EXPECT_EQ(recvmsg(from, &parcel.message, MSG_CMSG_CLOEXEC), 1);
    const cmsghdr *header = CMSG_FIRSTHDR(&parcel.message);
    if (header != nullptr) {
        memcpy(&fd, CMSG_DATA(header), sizeof fd);
    }
    return fd;
}

}  // namespace

int Filter(const std::vector<long> &numbers, uint32_t action, unsigned flags) {
    std::vector<sock_filter> program = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
    for (const long number : numbers) {
        program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(number), 0, 1));
        program.push_back(BPF_STMT(BPF_RET | BPF_K, action));
    }
    program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    const sock_fprog whole = {static_cast<unsigned short>(program.size()), program.data()};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return static_cast<int>(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &whole));
}

uint32_t Errno(int error) {
    return SECCOMP_RET_ERRNO | static_cast<uint32_t>(error);
}

Listener::Listener(Command *command, const std::vector<long> &numbers,
                   std::function<int(int)> answer)
    : answer_(std::move(answer)) {
    int ends[2] = {-1, -1};
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends), 0);
    from_ = ends[0];
    to_ = ends[1];
    end_ = eventfd(0, EFD_CLOEXEC);
    command->Before([this, numbers] {
        const int fd = Filter(numbers, SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER);
        SendDescriptor(to_, fd);
        close(fd);
    });
    thread_ = std::thread([this] { Listen(); });
}

Listener::~Listener() {
    const uint64_t one = 1;
    EXPECT_EQ(write(end_, &one, sizeof one), static_cast<ssize_t>(sizeof one));
    thread_.join();
    close(from_);
    close(to_);
    close(end_);
}

bool Listener::WaitFor(int fd) const {
    pollfd files[] = {{fd, POLLIN, 0}, {end_, POLLIN, 0}};
    poll(files, 2, -1);
    return files[0].revents == POLLIN && files[1].revents == 0;
}

// A caller that was killed is gone from the list.
void Listener::Answer(int listener_fd) {
    seccomp_notif call = {};
    if (ioctl(listener_fd, SECCOMP_IOCTL_NOTIF_RECV, &call) != 0) {
        return;
    }
    seccomp_notif_resp response = {};
    response.id = call.id;
    response.error = -answer_(index_++);
    response.flags = response.error == 0 ? SECCOMP_USER_NOTIF_FLAG_CONTINUE : 0;
    (void)ioctl(listener_fd, SECCOMP_IOCTL_NOTIF_SEND, &response);
}

void Listener::Listen() {
    if (!WaitFor(from_)) {
        return;
    }
    const int listener_fd = TakeDescriptor(from_);
    while (WaitFor(listener_fd)) {
        Answer(listener_fd);
    }
    close(listener_fd);
}

}  // namespace kaio_test
