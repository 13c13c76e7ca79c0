#include <doctest/doctest.h>
#include <fmt/format.h>

#include <iostream>

#include "tests/models/fabric/compare.hpp"
#include "tests/models/fabric/interpreter.hpp"
#include "tests/models/fabric/oracle.hpp"
#include "tests/models/fabric/recipe.hpp"

using namespace wb::fabric::test;

namespace {

/// How the programs of one check ended: a generator that only makes deadlocks would test nothing.
struct Tally {
    int ends[5] = {};
    std::uint64_t cycles = 0, hops = 0;
    double finished() const {
        const int all = ends[0] + ends[1] + ends[2] + ends[3] + ends[4];
        return all == 0 ? 0 : static_cast<double>(ends[0]) / all;
    }
    void add(const Outcome& o) {
        ++ends[static_cast<int>(o.end)];
        cycles += o.cycles;
        hops += o.hops;
    }
};

/// Nothing is lost and nothing appears: what instructions send and receive is what the result counts, every wavelet
/// consumed has left a router through its ramp, every hop one through a link. Returns what is wrong.
std::string unbalanced(const Script& script, const Outcome& o) {
    std::uint64_t sent = 0, received = 0, hops = 0, ramps = 0;
    for (const Node& node : script.nodes)
        for (const Step& s : node.steps) {
            if (s.kind >= Kind::compute) continue;
            const View& v = s.kind == Kind::recv_mac ? s.b : s.a;
            const bool half = v.region < 0 ? v.half : node.regions[static_cast<std::size_t>(v.region)].half;
            const auto n = static_cast<std::uint64_t>(wavelets(v.count, half));
            if (s.out >= 0) sent += n;
            if (s.in >= 0) received += n;
        }
    for (std::size_t i = 0; i < o.links.size(); ++i) (i % 5 == ramp ? ramps : hops) += o.links[i];
    if (sent != o.injected) return fmt::format("{} sent, {} injected", sent, o.injected);
    if (received != o.consumed) return fmt::format("{} received, {} consumed", received, o.consumed);
    if (hops != o.hops) return fmt::format("links carried {}, {} hops", hops, o.hops);
    if (ramps != o.consumed) return fmt::format("ramps carried {}, {} consumed", ramps, o.consumed);
    return "";
}

/// The simulator against the oracle; on the way, what each program must conserve.
/// `threaded`: one program of so many is run with several threads too.
void same_on_both(const Recipe& recipe, unsigned threaded, Tally& tally) {
    const Script script = cook(recipe);
    RC_LOG() << describe(script);
    const Outcome expected = Oracle(script).run();
    tally.add(expected);
    RC_PRE(expected.end != End::endless);
    const auto agree = [&](const EngineOptions& options) {
        const Outcome got = run_engine(script, options);
        const std::string text = difference(script, expected, got);
        if (!text.empty())
            RC_FAIL(fmt::format("{} threads, {}: {}", options.threads, options.data ? "data" : "timing", text));
    };
    if (expected.end == End::finished) RC_ASSERT(unbalanced(script, expected) == "");
    agree({});
    agree({.data = false});
    if (recipe.seed % threaded == 0) agree({.data = true, .threads = 2 + static_cast<int>(recipe.seed / threaded % 2)});
}

void check_programs(const std::string& what, int programs, const rc::Gen<Recipe>& recipes, unsigned threaded) {
    Tally tally;
    rc::detail::TestParams params = rc::detail::configuration().testParams;
    params.maxSuccess = programs;
    rc::detail::TestMetadata about;
    about.id = about.description = what;
    const auto result = rc::detail::checkTestable([&] { same_on_both(*recipes, threaded, tally); }, about, params);
    rc::detail::printResultMessage(result, std::cerr);
    std::cerr << fmt::format(
        "\n{}: {} finished, {} deadlocked, {} left wavelets, {} were refused; {} cycles, {} hops\n", what,
        tally.ends[0], tally.ends[1], tally.ends[2], tally.ends[3], tally.cycles, tally.hops);
    CHECK(result.is<rc::detail::SuccessResult>());
    CHECK(tally.finished() > 0.5);
    if (programs < 1000) return;
    CHECK(tally.ends[1] > programs / 50);
    CHECK(tally.ends[2] > programs / 100);
    CHECK(tally.ends[3] > programs / 1000);
}

}  // namespace

TEST_CASE("3,000 random programs: the simulator does what the oracle does") {
    check_programs("random programs", 3000, recipes(), 16);
}

TEST_CASE("200 random programs on long meshes, with many colours or long messages") {
    check_programs("long random programs", 200, long_recipes(), 4);
}

TEST_SUITE("nightly") {
    TEST_CASE("20,000 random programs: the simulator does what the oracle does") {
        check_programs("many random programs", 20000, recipes(), 4);
    }

    TEST_CASE("2,000 random programs on long meshes, with many colours or long messages") {
        check_programs("many long random programs", 2000, long_recipes(), 2);
    }
}
