#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "tests/cli/sandbox.hpp"

using cli::Outcome;
using cli::Sandbox;

namespace {

constexpr const char* experiment = R"([[workload]]
use = "train"
model = "tiny-llama"
batch = 8
seq = 64
[[system]]
use = "h100-sxm"
backends = ["cluster"]
mapping = "tp2 dp2 mb2"
)";

std::string key_of(const Outcome& o) {
    const auto table = nlohmann::json::parse(o.out);
    return table["rows"].at(0).dump();
}

}  // namespace

TEST_CASE("a mapping is forced by the file or the command line, and brings its units") {
    const Sandbox box;
    box.write("e.toml", experiment);
    const Outcome file = box.run({"run", "e.toml", "-o", "a.h5", "--format", "json"});
    CAPTURE(file.err);
    REQUIRE(file.code == 0);
    CHECK(key_of(file).find("h100-sxm x4") != std::string::npos);
    const Outcome line = box.run({"run", "e.toml", "-o", "b.h5", "--format", "json", "--mapping", "dp8 zero1"});
    CAPTURE(line.err);
    REQUIRE(line.code == 0);
    CHECK(key_of(line).find("h100-sxm x8") != std::string::npos);
    const Outcome wrong = box.run({"plan", "e.toml", "--mapping", "dp8 zer1"});
    CHECK(wrong.code == 1);
    CHECK(
        wrong.says("--mapping: mapping: \"zer1\" is no part of a mapping (it would be ignored). Did you mean "
                   "\"zero1\"?"));
    const Outcome many = box.run({"plan", "e.toml", "--mapping", "dp3"});
    CHECK(many.says("dp3 x ep1 does not divide a batch of 8 sequences; the nearest lawful: dp2 and dp4"));
}

TEST_CASE("only a cluster takes a mapping") {
    const Sandbox box;
    box.write("w.toml", "[[workload]]\nuse = \"gemm\"\nm = 8\nn = 8\nk = 8\n[[system]]\nuse = \"wse2\"\n");
    const Outcome forced = box.run({"plan", "w.toml", "--mapping", "dp2"});
    CHECK(forced.code == 1);
    CHECK(forced.says("--mapping: w has no cluster (there is nothing to spread a workload over). Leave it out."));
    box.write("k.toml",
              "[[workload]]\nuse = \"gemm\"\nm = 8\nn = 8\nk = 8\n[[system]]\nuse = \"wse2\"\nmapping = \"dp2\"\n");
    const Outcome key = box.run({"plan", "k.toml"});
    CHECK(key.code == 1);
    CHECK(key.says("wse2 is no cluster"));
}

namespace {

constexpr const char* products = R"([protocol]
min_samples = 2
max_samples = 2
min_time = "0"
[[workload]]
use = "gemm"
m = 24
n = 20
k = 16
dtype = "f64"
[[system]]
use = "host"
backends = ["cpu", "roofline"]
algorithm = ["summa", "cannon", "2.5d"]
)";

int rows(const Outcome& o) { return static_cast<int>(nlohmann::json::parse(o.out)["rows"].size()); }

}  // namespace

TEST_CASE("the host takes a list of ways to spread a product; the bound stands once beside them") {
    const Sandbox box;
    box.write("e.toml", products);
    if (box.run({"describe", "cpu"}).says("not built")) return;
    const Outcome run = box.run({"run", "e.toml", "-o", "e.h5", "--format", "json", "--wide"});
    CAPTURE(run.out);
    CAPTURE(run.err);
    CHECK(run.code == 0);
    CHECK(rows(run) == 4);
    for (const char* said : {"summa on 1x1", "cannon on 1x1", "1 ranks form no grid on which \\\"2.5d\\\" can spread"})
        CHECK_MESSAGE(run.says(said), said);
    const Outcome wrong = box.run({"plan", "e.toml", "--set", "system.0.algorithm=canon"});
    CHECK(wrong.code == 1);
    CHECK(wrong.err ==
          "waferbench: e.toml:12:7: no backend of host has an algorithm \"canon\". Did you mean \"cannon\"?\n");
}

TEST_CASE("units of a machine are measured by as many ranks, and a mapping that is named is the one that runs") {
    const Sandbox box;
    box.write("e.toml", cli::small_experiment());
    const Outcome two = box.run({"plan", "e.toml", "--set", "system.0.gpus=2", "--format", "csv"});
    CAPTURE(two.out);
    CHECK(two.says("2 x h100-sxm are measured by 2 ranks, and there is 1: start it as mpirun -n 2"));
    const Outcome spread = box.run({"plan", "e.toml", "--set", "system.0.mapping=tp4 pp2", "--format", "csv"});
    CAPTURE(spread.out);
    CHECK(spread.says("8 x h100-sxm are measured by 8 ranks"));
    const Outcome host = box.run({"plan", "e.toml", "--set", "system.0.use=host", "--set", "system.0.sockets=2"});
    CHECK(host.says("2 of this machine cannot be measured: there is one"));
}

TEST_CASE("threads that an experiment names are compared as ranks are") {
    const Sandbox box;
    std::string text = "[protocol]\nmin_time = \"0\"\nverify = false\n";
    text += "[[workload]]\nuse = \"gemm\"\nm = 32\nn = 32\nk = 32\ndtype = \"f32\"\n";
    for (const char* threads : {"1", "2"})
        text += std::string("[[system]]\nuse = \"host\"\nbackends = [\"fake\"]\nthreads = ") + threads + "\n";
    box.write("e.toml", text);
    const Outcome run = box.run({"run", "e.toml", "-o", "e.h5", "--oversubscribe"});
    CAPTURE(run.err);
    REQUIRE(run.code == 0);
    // The fake clock knows no threads: as fast with two, which are half as much use each.
    CHECK(run.says("strong scaling over threads: gemm on host, fake"));
    const std::size_t two = run.out.find("\n      2  gemm");
    REQUIRE(two != std::string::npos);
    const std::string line = run.out.substr(two, run.out.find('\n', two + 1) - two);
    CAPTURE(line);
    const double share = std::stod(line.substr(line.find("x  ") + 1));
    CHECK(share > 48);
    CHECK(share < 52);
}
