#include "core/suggest.hpp"

#include <algorithm>

#include <doctest/doctest.h>
#include <rapidcheck.h>

using namespace wb;

TEST_CASE("the edit distance counts letters and swaps of neighbours") {
    struct Row {
        std::string a, b;
        std::size_t distance;
    };
    for (const auto& [a, b, distance] : std::vector<Row>{{"", "", 0},
                                                         {"abc", "", 3},
                                                         {"clock", "clock", 0},
                                                         {"clokc", "clock", 1},
                                                         {"bandwith", "bandwidth", 1},
                                                         {"kitten", "sitting", 3},
                                                         {"ca", "abc", 3}}) {
        CAPTURE(a);
        CAPTURE(b);
        CHECK(edit_distance(a, b) == distance);
    }
}

TEST_CASE("the edit distance is symmetric, zero only for equals and never above the longer word") {
    CHECK(rc::check([](const std::string& a, const std::string& b) {
        const std::size_t distance = edit_distance(a, b);
        RC_ASSERT(distance == edit_distance(b, a));
        RC_ASSERT((distance == 0) == (a == b));
        RC_ASSERT(distance <= std::max(a.size(), b.size()));
        RC_ASSERT(distance + std::min(a.size(), b.size()) >= std::max(a.size(), b.size()));
    }));
}

TEST_CASE("the nearest word is found on one side of the cut-off only") {
    const std::vector<std::string> known{"clock", "bandwidth", "capacity", "m", "GEMM"};
    CHECK(nearest("clcok", known) == "clock");
    CHECK(nearest("CLOCK", known) == "clock");
    CHECK(nearest("gemm", known) == "GEMM");
    CHECK(nearest("bandw", known) == std::nullopt);      // four letters missing of five
    CHECK(nearest("bandwxxxh", known) == "bandwidth");   // three wrong of nine
    CHECK(nearest("banxxxxth", known) == std::nullopt);  // four wrong of nine
    CHECK(nearest("n", known) == std::nullopt);          // nothing in common
    CHECK(nearest("", known) == std::nullopt);
    CHECK(nearest("clock", {}) == std::nullopt);
    CHECK(nearest(std::string(100000, 'x'), known) == std::nullopt);
}

TEST_CASE("of equally near words the first wins, and capitals decide before order") {
    CHECK(nearest("cat", {"car", "can"}) == "car");
    CHECK(nearest("GB", {"gB", "Gb", "GB"}) == "GB");
}

TEST_CASE("a hint names the near word or lists what is known") {
    CHECK(did_you_mean("clokc", {"clock", "count"}) == "Did you mean \"clock\"?");
    CHECK(did_you_mean("zzz", {"a", "b", "c"}) == "Known: a, b, c.");
    CHECK(did_you_mean("zzz", {}) == "");
    std::vector<std::string> many;
    for (int i = 0; i < 12; ++i) many.push_back("k" + std::to_string(i));
    CHECK(did_you_mean("zzzz", many) == "Known: k0, k1, k2, k3, k4, k5, k6, k7, k8, k9, k10, k11.");
    many.push_back("k12");
    CHECK(did_you_mean("zzzz", many) == "Known: k0, k1, k2, k3, k4, k5, k6, k7, k8, k9, k10 and 2 more.");
}

TEST_CASE("quotes escape control bytes and shorten long texts between characters") {
    CHECK(in_quotes("a\nb\x1b") == "\"a\\x0ab\\x1b\"");
    CHECK(in_quotes("µs") == "\"µs\"");
    CHECK(in_quotes(std::string(100, 'x')) == "\"" + std::string(100, 'x') + "\"");
    CHECK(in_quotes(std::string(200, 'x')) == "\"" + std::string(66, 'x') + "..." + std::string(33, 'x') + "\"");
    std::string accents = "x";
    for (int i = 0; i < 100; ++i) accents += "é";
    const std::string shown = in_quotes(accents);
    CHECK(shown.find("é...é") != std::string::npos);
}
