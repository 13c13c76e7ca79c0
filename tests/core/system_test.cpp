#include <doctest/doctest.h>

#include <filesystem>
#include <functional>

#include "core/error.hpp"
#include "core/system.hpp"

using namespace wb;

namespace {

const std::string folder = std::string(WB_SOURCE_DIR) + "/configs/systems";

void check_sound(const System& s) {
    CAPTURE(s.id);
    CHECK_FALSE(s.title.empty());
    CHECK_FALSE(s.unit_name.empty());
    CHECK(s.peak.size() >= 1);
    for (const auto& [type, fact] : s.peak) {
        CHECK(fact.value > 0);
        CHECK_FALSE(fact.source.empty());
    }
    REQUIRE(s.memories.size() >= 1);
    bool rate = false;
    for (const Memory& m : s.memories) {
        CHECK_FALSE(m.name.empty());
        rate = rate || m.bandwidth.has_value();
        if (m.capacity) CHECK(m.capacity->value > 0);
        if (m.bandwidth) CHECK(m.bandwidth->value > 0);
    }
    CHECK(rate);
    double inner = 1;
    for (const Fabric& f : s.fabrics)
        if (f.units) {
            CHECK(f.units->value >= inner);  // inner to outer
            inner = f.units->value;
        }
}

struct Edit {
    std::string from, to;
};

const std::string sound = R"(title = "A machine"
kind = "cluster"

[sources]
paper = "A paper, 2026"

[unit]
name = "GPU"
clock.default = "low"
clock.low = { value = "1 GHz", source = "paper" }
clock.high = { value = "2 GHz", source = "paper" }

[unit.peak]
bf16 = { value = "10 TFLOP/s", source = "paper" }

[unit.native]
16-bit = "bf16"

[[unit.memory]]
name = "HBM"
capacity = { value = "80 GB", source = "paper" }
bandwidth = { value = "900 GB/s", source = "paper" }
)";

/// What the reader says of the sound file with one piece of text replaced.
std::string problem(const Edit& edit, const std::map<std::string, std::string>& choices = {}) {
    std::string text = sound;
    if (!edit.from.empty()) {
        const auto at = text.find(edit.from);
        REQUIRE(at != std::string::npos);
        text.replace(at, edit.from.size(), edit.to);
    }
    try {
        parse_system(text, "x.toml", "x", choices);
    } catch (const Error& e) {
        return e.what();
    }
    return "";
}

}  // namespace

TEST_CASE("system: every file loads, with every choice it offers") {
    int files = 0, alternatives = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        const std::string path = entry.path().string();
        CAPTURE(path);
        const System s = load_system(path);
        CHECK(s.id == entry.path().stem().string());
        check_sound(s);
        ++files;
        for (const auto& [option, names] : s.options)
            for (const std::string& name : names) {
                const System chosen = load_system(path, {{option, name}});
                CHECK(chosen.chosen.at(option) == name);
                check_sound(chosen);
                ++alternatives;
            }
    }
    CHECK(files >= 33);
    CHECK(alternatives >= 30);
}

TEST_CASE("system: numbers carry their unit and source") {
    const System s = parse_system(sound, "x.toml", "x");
    CHECK(problem({}) == "");
    CHECK(s.peak.at(DType::bf16).value == 1e13);
    CHECK(s.peak.at(DType::bf16).source == "A paper, 2026");
    CHECK(s.clock->value == 1e9);
    CHECK(parse_system(sound, "x.toml", "x", {{"clock", "high"}}).clock->value == 2e9);
    CHECK(s.resolve(DType::any16) == DType::bf16);
    CHECK_FALSE(s.resolve(DType::any8).has_value());
    CHECK(s.resolve(DType::f64) == DType::f64);
    CHECK(s.text == sound);
}

TEST_CASE("system: mistakes are told with place, reason and remedy") {
    CHECK(problem({"900 GB/s", "900"}) ==
          "x.toml:22:23: \"900\" has no unit (a bandwidth is in bytes per second). Write \"900 GB/s\".");
    CHECK(problem({"80 GB\"", "80 Gb\""}) ==
          "x.toml:21:22: \"80 Gb\" is in bits (b is a bit, 8 times less than the byte B, and is for "
          "rates such as Gb/s only). Write \"80 GB\", or \"10 GB\" if bits are meant.");
    CHECK(problem({"900 GB/s", "900 GB"}) ==
          "x.toml:22:23: \"900 GB\" is a size, not a bandwidth (a bandwidth is in bytes per "
          "second). Did you mean \"900 GB/s\"?");
    CHECK(problem({"capacity =", "capacty ="}) ==
          "x.toml:21:1: unknown key \"capacty\" in [unit.memory] (a key that nobody reads would be "
          "ignored). Did you mean \"capacity\"?");
    CHECK(problem({"[unit]\nname", "[unit]\nnmae = \"x\"\nname"}) ==
          "x.toml:8:1: unknown key \"nmae\" in [unit] (a key that nobody reads would be ignored). "
          "Did you mean \"name\"?");
    CHECK(problem({"bf16 = {", "bf61 = {"}) ==
          "x.toml:14:8: unknown type \"bf61\" (peaks are per element type). Did you mean \"bf16\"?");
    CHECK(problem({"\"10 TFLOP/s\", source = \"paper\"", "\"10 TFLOP/s\""}) ==
          "x.toml:14:8: \"source\" is missing from [unit.peak.bf16] (it is a text and has no "
          "default). Write it like source = \"...\".");
    CHECK(problem({"16-bit = \"bf16\"", "16-bit = \"f32\""}) ==
          "x.toml:17:10: \"f32\" is not a type of the class 16-bit (workloads of that class would "
          "run in another width).");
    CHECK(problem({"default = \"low\"", "default = \"lo\""}) ==
          "x.toml:9:17: clock has no alternative \"lo\" (only what the file describes can be "
          "chosen). Did you mean \"low\"?");
    CHECK(problem({}, {{"clock", "hihg"}}) ==
          "x.toml:9:17: clock has no alternative \"hihg\" (only what the file describes can be "
          "chosen). Did you mean \"high\"?");
    CHECK(problem({}, {{"clok", "high"}}) ==
          "x.toml: has no option \"clok\" (\"high\" cannot be chosen). Did you mean \"clock\"?");
    CHECK(problem({"\"cluster\"", "\"clutser\""}) == "x.toml:2:8: \"clutser\" is no kind. Did you mean \"cluster\"?");
    CHECK(problem({"[unit.peak]", "[unit.peek]"}) ==
          "x.toml:7:1: \"peak\" is missing from [unit] (it is a table and has no default). Was it "
          "meant by \"peek\" at x.toml:13:7?");
    CHECK(problem({"10 TFLOP/s", "-10 TFLOP/s"}) ==
          "x.toml:14:18: \"-10 TFLOP/s\" is negative (a compute rate is never below zero).");
}
