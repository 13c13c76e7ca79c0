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
