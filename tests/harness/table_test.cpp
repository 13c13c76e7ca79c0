#include "harness/table.hpp"

#include <doctest/doctest.h>

#include "core/error.hpp"

using namespace wb;

TEST_CASE("table: columns have one length, and are found by name and type") {
    Table table{"cases", "one row per case", {}};
    CHECK(table.rows() == 0);
    table.columns.push_back({"elapsed_s", "s", "", "measured", "lower", std::vector<double>{1.5, 2.5}});
    table.columns.push_back({"name", "", "", "input", "none", std::vector<std::string>{"a", "b"}});
    CHECK(table.rows() == 2);
    CHECK(values<double>(table, "elapsed_s")[1] == 2.5);
    CHECK(values<std::string>(table, "name")[0] == "a");
    CHECK(table.find("absent") == nullptr);
    CHECK_THROWS_AS(values<double>(table, "absent"), Error);
    try {
        values<std::int64_t>(table, "elapsed_s");
        FAIL("a column of doubles was read as integers");
    } catch (const Error& error) {
        CHECK(error.code() == Exit::baseline);
        CHECK(std::string(error.what()).find("is of type double, not int64") != std::string::npos);
    }
    table.columns.push_back({"status", "1", "", "derived", "none", std::vector<std::uint8_t>{0}});
    CHECK_THROWS_AS(table.rows(), ContractError);
}

TEST_CASE("clean_utf8: valid text is untouched, every stray byte becomes U+FFFD") {
    const std::string bad = "\xEF\xBF\xBD";
    for (const std::string text :
         {"", "plain", "größe €  \xF0\x9F\x9A\x80", "\xEF\xBF\xBF", "\xF4\x8F\xBF\xBF", "\xED\x9F\xBF"})
        CHECK(clean_utf8(text) == text);
    CHECK(clean_utf8("h\xF6st") == "h" + bad + "st");
    CHECK(clean_utf8(std::string("a\0b", 3)) == "a" + bad + "b");
    CHECK(clean_utf8("\xC0\xAF") == bad + bad);                      // overlong '/'
    CHECK(clean_utf8("\xED\xA0\x80") == bad + bad + bad);            // a surrogate
    CHECK(clean_utf8("\xF4\x90\x80\x80") == bad + bad + bad + bad);  // beyond U+10FFFF
    CHECK(clean_utf8("\xE2\x82") == bad + bad);                      // cut short
}
