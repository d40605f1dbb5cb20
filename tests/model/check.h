// How a random run fails: with the seed and step to replay, and what was done last; then it aborts,
// since everything after the first difference is noise (and a fuzzer wants it so).

#ifndef KAIO_TESTS_MODEL_CHECK_H_
#define KAIO_TESTS_MODEL_CHECK_H_

#include <cstdint>
#include <string>

namespace kaio_model {

// SetPlace names the place in the run that Fail reports.
void SetPlace(uint64_t seed, uint64_t step);

// Remember adds a line to the last ones that Fail shows.
void Remember(const std::string &line);

[[noreturn]] void Fail(const char *file, int line, const std::string &what);

#define MODEL_CHECK(condition, what)                                                           \
    do {                                                                                       \
        if (!(condition)) {                                                                    \
            ::kaio_model::Fail(__FILE__, __LINE__,                                             \
                               std::string(#condition " (") + ::kaio_model::Text(what) + ")"); \
        }                                                                                      \
    } while (0)

inline std::string Text(const char *text) {
    return text;
}
inline std::string Text(const std::string &text) {
    return text;
}
inline std::string Text(int64_t number) {
    return std::to_string(number);
}

}  // namespace kaio_model

#endif  // KAIO_TESTS_MODEL_CHECK_H_
