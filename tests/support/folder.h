// Folders and files for tests: made, looked at, and removed in the end.

#ifndef KAIO_TESTS_SUPPORT_FOLDER_H_
#define KAIO_TESTS_SUPPORT_FOLDER_H_

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

// WaitFor asks every millisecond, for a minute at most, until `is_so` answers true.
bool WaitFor(const std::function<bool()> &is_so);

}  // namespace kaio_test

#endif  // KAIO_TESTS_SUPPORT_FOLDER_H_
