#include "harness/host_probe.hpp"

#include <doctest/doctest.h>

#include <toml++/toml.h>
#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "harness/environment.hpp"
#include "harness/host_loops.hpp"

using namespace wb;

namespace {

/// "377 GFLOP/s" in SI.
double si(const std::string& text) {
    static const std::map<std::string, double> units{
        {"GFLOP/s", 1e9}, {"TFLOP/s", 1e12}, {"GB/s", 1e9},   {"TB/s", 1e12},  {"MHz", 1e6},   {"ns", 1e-9},
        {"us", 1e-6},     {"B", 1},          {"KiB", 0x1p10}, {"MiB", 0x1p20}, {"GiB", 0x1p30}};
    const auto blank = text.find(' ');
    REQUIRE(blank != std::string::npos);
    REQUIRE_MESSAGE(units.count(text.substr(blank + 1)), text);
    return std::stod(text.substr(0, blank)) * units.at(text.substr(blank + 1));
}

/// The value of { value = ..., source = ..., note = ... }; checks that the source is listed and no other key is there.
double amount(const toml::table& file, toml::node_view<const toml::node> node) {
    REQUIRE(node.is_table());
    for (const auto& [key, value] : *node.as_table()) {
        const std::string name(key.str());
        CHECK_MESSAGE((name == "value" || name == "source" || name == "note"), name);
    }
    CHECK(file["sources"][*node["source"].value<std::string>()].is_string());
    return si(*node["value"].value<std::string>());
}

std::set<std::string> keys(const toml::table& table) {
    std::set<std::string> out;
    for (const auto& [key, value] : table) out.insert(std::string(key.str()));
    return out;
}

}  // namespace

TEST_CASE("the probe writes a system file that holds together") {
    const int cpus = static_cast<int>(allowed_cpus().size());
    const auto before = allowed_cpus();
    const std::string text = probe_host(cpus, "2026-01-02");
    CHECK(allowed_cpus() == before);
    CAPTURE(text);
    const toml::table file = toml::parse(text);
    CHECK(keys(file) == std::set<std::string>{"title", "vendor", "kind", "notes", "sources", "unit", "measured"});
    CHECK(file["kind"].value<std::string>() == "host");
    CHECK(file["sources"]["probe"].value<std::string>() == "measured on this host, 2026-01-02");

    const toml::table& unit = *file["unit"].as_table();
    CHECK(keys(unit) == std::set<std::string>{"name", "parts", "clock", "peak", "native", "memory"});
    const auto cores = *unit["parts"]["value"].value<int>();
    CHECK(cores >= 1);
    CHECK(cores <= cpus);
    const double clock = amount(file, file["unit"]["clock"]);
    CHECK(clock > 0.2e9);
    CHECK(clock < 10e9);
    const double f64 = amount(file, file["unit"]["peak"]["f64"]), f32 = amount(file, file["unit"]["peak"]["f32"]);
    CHECK(f32 == doctest::Approx(2 * f64).epsilon(0.002).scale(0));
    CHECK(f64 >= 4 * cores * clock * 0.99);  // 16-byte registers and one multiply-add unit at the least
    if (file["unit"]["peak"]["bf16"]) CHECK(amount(file, file["unit"]["peak"]["bf16"]) >= f32 * 0.999);
    CHECK(unit["native"]["16-bit"].value<std::string>() == "bf16");

    const toml::array& memory = *unit["memory"].as_array();
    REQUIRE(memory.size() >= 1);
    CHECK((*memory.back().as_table())["name"].value<std::string>() == "DRAM");
    double inner_bandwidth = INFINITY;
    for (const toml::node& node : memory) {
        const toml::table& level = *node.as_table();
        CHECK(keys(level) == std::set<std::string>{"name", "capacity", "bandwidth"});
        const double bandwidth = amount(file, level["bandwidth"]);
        CHECK(amount(file, level["capacity"]) > 1024);
        CHECK(bandwidth > 0);
        CHECK(bandwidth <= inner_bandwidth);
        inner_bandwidth = bandwidth;
    }
    std::set<std::string> expected{"parallel_launch", "timer_overhead"};
    for (const toml::node& node : memory) {
        const toml::table& level = *node.as_table();
        for (const char* loop : {"read", "copy", "triad"}) {
            const std::string name = *level["name"].value<std::string>() + "_" + loop + "_bandwidth";
            expected.insert(name);
            CHECK(amount(file, file["measured"][name]) > 0);
            CHECK(amount(file, file["measured"][name]) <= amount(file, level["bandwidth"]) * 1.001);  // as printed
        }
    }
    CHECK(keys(*file["measured"].as_table()) == expected);
    for (const char* name : {"parallel_launch", "timer_overhead"}) CHECK(amount(file, file["measured"][name]) > 0);
    CHECK(amount(file, file["measured"]["parallel_launch"]) < 0.01);
    // What else is measured is appended: this block must stay the last.
    CHECK(text.rfind("\n[") == text.rfind("\n[measured]\n"));
}

TEST_CASE("more threads than CPUs are refused before anything is measured") {
    CHECK_THROWS_AS(probe_host(static_cast<int>(allowed_cpus().size()) + 1, "now"), Error);
    CHECK_THROWS_AS(probe_host(0, "now"), ContractError);
}

TEST_CASE("the loops of the probe compute what they claim") {
    Stretch a(5000), b(5000), c(5000);
    REQUIRE(a.size() == 512);  // whole KiB
    for (std::size_t i = 0; i < a.size(); ++i) {
        a.data()[i] = static_cast<double>(i);
        b.data()[i] = 1.0 / static_cast<double>(i + 1);
    }
    const auto is = [&](auto expected) {
        for (std::size_t i = 0; i < c.size(); ++i)
            if (c.data()[i] != expected(i)) return false;
        return true;
    };
    CHECK(is([](std::size_t) { return 1.0; }));
    copy(a, c);
    CHECK(is([&](std::size_t i) { return a.data()[i]; }));
    triad(a, b, c);
    const auto sum = [&](std::size_t i) {
        return doctest::Approx(a.data()[i] + 3 * b.data()[i]).epsilon(1e-15).scale(0);
    };
    CHECK(is(sum));
    copy_uncached(b, c);
    CHECK(is([&](std::size_t i) { return b.data()[i]; }));
    triad_uncached(a, b, c);
    CHECK(is(sum));
    CHECK(Stretch(1).size() == 128);
}

TEST_CASE("wider registers do not do less, and no core does a dozen multiply-adds in a cycle") {
    const double clock = measured_core_clock_hz(3);
    const VectorUnit widest = widest_vector_unit();
    const double rate = multiply_add_rate(widest, 5);
    CHECK(rate > 0);
    if (clock > 0) CHECK(rate < 12 * clock);
    CHECK(rate * register_bytes(widest) > 0.9 * multiply_add_rate(VectorUnit::portable, 3) * 16);
}
