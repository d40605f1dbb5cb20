// What `kaio probe --json` says, for the tests to ask.

#ifndef KAIO_TESTS_TOOLS_PROBE_REPORT_H_
#define KAIO_TESTS_TOOLS_PROBE_REPORT_H_

#include <gtest/gtest.h>
#include <jansson.h>

#include <memory>
#include <string>
#include <vector>

namespace kaio_test {

class Report {
  public:
    explicit Report(const std::string &text) {
        json_error_t error;
        root_.reset(json_loadb(text.data(), text.size(), JSON_REJECT_DUPLICATES, &error));
        EXPECT_NE(root_, nullptr) << error.text << " in line " << error.line << " of\n" << text;
    }

    const json_t *Root() const {
        return root_.get();
    }
    const json_t *Get(const char *key) const {
        return json_object_get(root_.get(), key);
    }
    const json_t *Get(const char *key, const char *inner) const {
        return json_object_get(Get(key), inner);
    }

    // The probe `name` of `group`, or the one of that operation and mode.
    const json_t *Find(const char *group, const std::string &name,
                       const std::string &operation = "", const std::string &mode = "") const {
        for (const json_t *probe : Probes(group)) {
            if (Text(probe, "name") == name &&
                (operation.empty() ||
                 (Text(probe, "operation") == operation && Text(probe, "mode") == mode))) {
                return probe;
            }
        }
        ADD_FAILURE() << group << " has no " << name << " " << operation << " " << mode;
        return nullptr;
    }

    std::vector<const json_t *> Probes(const char *group) const {
        std::vector<const json_t *> probes;
        for (size_t i = 0; i < json_array_size(Get(group)); ++i) {
            probes.push_back(json_array_get(Get(group), i));
        }
        return probes;
    }

    // Such as "ok", "refused by call: EPERM", "failed in event: EAGAIN", "not tried".
    static std::string Said(const json_t *probe) {
        const std::string result = Text(probe, "result");
        const std::string error = Text(probe, "errno");
        if (result == "refused") {
            return "refused by " + Text(probe, "channel") + ": " + error;
        }
        return result == "failed" ? "failed in " + Text(probe, "channel") + ": " + error : result;
    }

    std::string Call(const std::string &name) const {
        return Said(Find("calls", name));
    }
    std::string Opcode(const std::string &name) const {
        return Said(Find("opcodes", name));
    }
    std::string Flag(const std::string &name, const std::string &operation,
                     const std::string &mode) const {
        return Said(Find("rw_flags", name, operation, mode));
    }
    std::string CallReason(const std::string &name) const {
        return Text(Find("calls", name), "reason");
    }

    // The string behind `key`, or "" where it is null.
    static std::string Text(const json_t *object, const char *key) {
        const char *text = json_string_value(json_object_get(object, key));
        return text == nullptr ? "" : text;
    }

    // The number behind `key`, or -1 where it is null.
    static long long Number(const json_t *object, const char *key) {
        const json_t *value = json_object_get(object, key);
        return json_is_integer(value) ? json_integer_value(value) : -1;
    }

  private:
    struct Release {
        void operator()(json_t *object) const {
            json_decref(object);
        }
    };

    std::unique_ptr<json_t, Release> root_;
};

}  // namespace kaio_test

#endif  // KAIO_TESTS_TOOLS_PROBE_REPORT_H_
