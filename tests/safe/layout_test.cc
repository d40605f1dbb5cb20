// C and C++ agree on every public type: layout_rows.inc has them all, made from the headers.

#include "tests/safe/layout.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace kaio_test {
namespace {

TEST(LayoutTest, EveryTypeIsTheSameInCAndInCxx) {
    const layout_row *in_c = layout_in_c();
    for (const layout_row &here : layout_here) {
        ASSERT_EQ(in_c->type == nullptr, here.type == nullptr);
        if (here.type == nullptr) {
            break;
        }
        const std::string name =
            std::string(here.type) + (here.field == nullptr ? "" : std::string(".") + here.field);
        EXPECT_STREQ(in_c->type, here.type);
        EXPECT_EQ(in_c->offset, here.offset) << name;
        EXPECT_EQ(in_c->size, here.size) << name;
        EXPECT_EQ(in_c->align, here.align) << name;
        ++in_c;
    }
}

TEST(LayoutTest, TheTypesAreThere) {
    std::set<std::string> types;
    std::set<std::string> fields;
    for (const layout_row *row = layout_in_c(); row->type != nullptr; ++row) {
        types.insert(row->type);
        if (row->field != nullptr) {
            fields.insert(std::string(row->type) + "." + row->field);
        }
    }

    EXPECT_GE(types.size(), 30u);
    for (const char *type : {"kaio_status", "kaio_completion", "kaio_code", "kaio_handlers"}) {
        EXPECT_EQ(types.count(type), 1u) << type;
    }
    for (const char *field : {"kaio_status.detail", "kaio_completion.buffer",
                              "kaio_flush_report.os_error", "kaio_handlers.on_turn"}) {
        EXPECT_EQ(fields.count(field), 1u) << field;
    }
}

TEST(LayoutTest, AStatusIsReturnedInRegistersAndAHandleIsAPointer) {
    EXPECT_EQ(sizeof(kaio_status), 16u);
    EXPECT_EQ(sizeof(kaio_ticket), 8u);
    EXPECT_EQ(sizeof(kaio_range), 16u);
}

}  // namespace
}  // namespace kaio_test
