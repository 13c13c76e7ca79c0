#include <doctest/doctest.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "harness/result_file.hpp"
#include "tests/cli/sandbox.hpp"

using cli::Outcome;
using cli::Sandbox;

namespace {

std::string experiment(const std::string& data, const std::string& model = "tiny-gpt2") {
    return R"([protocol]
warmup = 0
min_samples = 1
max_samples = 1
verify = false
[[workload]]
use = "pipeline"
batch = 1
seq = 16
steps = 4000
checkpoint_every = 200
evaluate_batches = 2
model = ")" +
           model + "\"\ndata = \"" + data + R"("
[[system]]
use = "host"
backends = ["cpu"]
threads = 1
)";
}

bool checkpoint_in(const cli::fs::path& folder) {
    std::error_code ignored;
    for (const auto& file : cli::fs::recursive_directory_iterator(folder, ignored))
        if (file.path().filename().string().starts_with("step-")) return true;
    return false;
}

std::vector<double> losses(const cli::fs::path& file) {
    const wb::ResultSet set = wb::read_results(file.string());
    REQUIRE(set.results.size() == 1);
    REQUIRE(set.results[0].m.series.size() == 2);
    std::vector<double> out = set.results[0].m.series[0].values;
    out.push_back(set.results[0].m.series[1].values.at(0));
    return out;
}

}  // namespace

TEST_CASE("a training that is killed goes on from its last checkpoint and ends with the same losses") {
    const Sandbox box;
    box.write("text.txt", std::string(3000, 'x') + "In the beginning God created the heaven and the earth." +
                              std::string(3000, 'y'));
    const Outcome made = box.run({"tokenize", "text.txt", "-o", "text.h5", "--held-out", "10%"});
    CHECK(made.out == "text.txt: 6054 bytes -> 6054 tokens of a vocabulary of 256, the last 605 held out -> text.h5\n");
    box.write("p.toml", experiment("text.h5"));
    REQUIRE(box.run({"run", "p.toml", "-o", "whole.h5", "-q"}).code == 0);
    cli::Child killed = box.start({"run", "p.toml", "-o", "part.h5", "-q"});
    for (int i = 0; i < 2000 && !checkpoint_in(box / "part.checkpoints"); ++i)
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    killed.send(SIGKILL);
    CHECK(killed.wait().code == 128 + SIGKILL);
    CHECK(checkpoint_in(box / "part.checkpoints"));
    CHECK(!cli::fs::exists(box / "part.h5"));
    const Outcome resumed = box.run({"run", "p.toml", "-o", "part.h5", "--resume"});
    CHECK(resumed.code == 0);
    CHECK(resumed.says("; resumed at step "));
    CHECK(losses(box / "part.h5") == losses(box / "whole.h5"));
}

TEST_CASE("data that does not suit the model is refused before anything runs") {
    const Sandbox box;
    box.write("p.toml", experiment("nowhere.txt"));
    Outcome o = box.run({"run", "p.toml"});
    CHECK(o.code == 1);
    CHECK(o.err ==
          "waferbench: data = nowhere.txt: there is no such file (it holds the text to train on). Use \"builtin\", a "
          "text, or what waferbench tokenize wrote.\n");
    box.write("p.toml", experiment("builtin", "{hidden=16,layers=1,heads=2,ffn=32,vocab=100}"));
    o = box.run({"run", "p.toml"});
    CHECK(o.code == 1);
    CHECK(o.err ==
          "waferbench: data = builtin: has a vocabulary of 256, the model one of 100 (there is no embedding for the "
          "rest). Use the tokeniser of the model.\n");
    o = box.run({"tokenize", "p.toml", "-o", "p.h5", "--held-out", "120%"});
    CHECK(o.code == 1);
    CHECK(o.says("--held-out: is 120% (something must be left to train on)."));
}
