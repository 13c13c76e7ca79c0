#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "tests/cli/sandbox.hpp"

using cli::Outcome;
using cli::Sandbox;

namespace {

constexpr const char* experiment = R"([[workload]]
use = "gemm"
m = 24
n = 20
k = 16
dtype = "16-bit"
[[workload]]
use = "collective"
op = "allreduce"
bytes = "128 B"
dtype = "f32"
[[system]]
use = "wse2"
mesh = ["2x2", "3x4"]
[[system]]
use = "wse3"
backends = ["fabric"]
mesh = "4x4"
algorithm = ["summa", "chain"]
)";

}  // namespace

TEST_CASE("an experiment that names meshes runs the simulator on each of them, and the bound once") {
    const Sandbox box;
    box.write("e.toml", experiment);
    const Outcome plan = box.run({"plan", "e.toml", "--format", "json"});
    CAPTURE(plan.err);
    REQUIRE(plan.code == 0);
    CHECK(nlohmann::json::parse(plan.out)["rows"].size() == 2 * (1 + 2 + 2 + 2));  // bound, simulator, model; wse3
    const Outcome run = box.run({"run", "e.toml", "-o", "e.h5", "--format", "json"});
    CAPTURE(run.err);
    REQUIRE(run.code == 0);
    int simulated = 0, skipped = 0;
    const nlohmann::json table = nlohmann::json::parse(run.out);
    for (const auto& row : table["rows"]) {
        if (row["backend"] != "fabric") continue;
        CHECK(row["kind"] == "simulated");
        if (row["time"].is_number())
            ++simulated;
        else
            ++skipped;
    }
    CHECK(simulated == 2 * 2 + 2);
    CHECK(skipped == 2);  // no SUMMA among collectives, no chain among products
    CHECK(run.says("wse2 3x4"));
    CHECK(run.says("summa on 4x4 PEs: "));
    CHECK(run.says("collective on 4x4 PEs has no algorithm \\\"summa\\\"; it has: "));
    CHECK(box.run({"check", "e.h5"}).code == 0);
    const Outcome one = box.run({"plan", "e.toml", "--filter", "gemm 3x4"});
    CHECK(one.says("2 cases"));  // simulated and modelled
}

TEST_CASE("heat maps are kept and drawn; a misspelt algorithm is an error") {
    const Sandbox box;
    box.write("e.toml", experiment);
    REQUIRE(box.run({"run", "e.toml", "-o", "e.h5", "--quiet", "--filter", "3x4"}).code == 0);
    const Outcome heat = box.run({"show", "e.h5", "--heat"});
    CHECK(heat.code == 0);
    for (const char* name : {"link_north", "link_east", "link_south", "link_west", "ramp", "datapath"})
        CHECK_MESSAGE(heat.says(std::string("\n") + name + ": "), name);
    CHECK(heat.says("3x4 PEs)\n|"));
    CHECK(!heat.says("\x1b"));
    for (const char* format : {"csv", "markdown"})
        CHECK(box.run({"show", "e.h5", "--heat", "--format", format}).says("link_east"));
    const Outcome wrong = box.run({"run", "e.toml", "--set", "system.1.algorithm=sumna"});
    CHECK(wrong.code == 1);
    CHECK(wrong.err ==
          "waferbench: e.toml:16:7: no backend of wse3 has an algorithm \"sumna\". Did you mean \"summa\"?\n");
}

TEST_CASE("a simulated result is the same to the last bit in every run") {
    const Sandbox box;
    box.write("e.toml", experiment);
    for (const char* file : {"a.h5", "b.h5"})
        REQUIRE(box.run({"run", "e.toml", "-o", file, "--quiet", "--filter", "fabric"}).code == 0);
    CHECK(box.run({"compare", "a.h5", "b.h5", "--exact"}).code == 0);
    CHECK(box.run({"show", "a.h5", "--heat"}).out == box.run({"show", "b.h5", "--heat"}).out);
}
