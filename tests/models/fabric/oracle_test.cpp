#include <doctest/doctest.h>

#include "tests/models/fabric/laws.hpp"
#include "tests/models/fabric/oracle.hpp"

using namespace wb::fabric::test;

namespace {

std::uint64_t cycles(const Script& script) {
    const Outcome o = Oracle(script).run();
    REQUIRE(o.end == End::finished);
    return o.cycles;
}

}  // namespace

TEST_CASE("the oracle alone obeys the laws of Luczynski et al. (HPDC 2024)") {
    for (const int t : {1, 2, 4})
        for (const int p : {2, 3, 7})
            for (const int b : {1, 2, 9, 40}) {
                CAPTURE(t);
                CAPTURE(p);
                CAPTURE(b);
                CHECK(cycles(message(p, b, t)) == static_cast<std::uint64_t>(b + p + 2 * t));
                CHECK(cycles(chain(p, b, t)) == static_cast<std::uint64_t>(b + (2 * t + 2) * (p - 1)));
                // A cycle more for each of the p - 2 switches in turn: a router lets the next PE's first wavelet in
                // when the last of its own has left, and on a cycle later.
                CHECK(cycles(star(p, b, t)) == static_cast<std::uint64_t>(b * (p - 1) + 2 * t + 2 + p - 2));
            }
}
