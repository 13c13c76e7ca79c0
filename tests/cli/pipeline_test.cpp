#include <doctest/doctest.h>

#include <fmt/format.h>

#include <algorithm>
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

/// What was measured of a run that was cut at a step: its losses so far, and its phases as often as they were run.
void check_stopped(const cli::fs::path& file) {
    const wb::ResultSet set = wb::read_results(file.string());
    REQUIRE(set.results.size() == 1);
    const wb::Measurement& m = set.results[0].m;
    CHECK(m.status == wb::Status::timeout);
    CHECK(m.samples_s.empty());
    CHECK(m.reason.starts_with("stopped from outside in the phase "));
    CHECK(m.reason.find("; a checkpoint of step ") != std::string::npos);
    REQUIRE(!m.series.empty());
    CHECK(m.series[0].values.size() >= 200);
    CHECK(m.series[0].values.size() < 4000);
    for (const wb::PhaseUse& p : m.phases)
        if (p.name == "train") CHECK(p.times == static_cast<std::int64_t>(m.series[0].values.size()));
    CHECK(set.results[0].flops > 0);
    CHECK(set.results[0].flops == m.useful.si());
}

/// Tokens of the first sequence of a generation that ends with `eos`, if it is named.
std::vector<double> generated(const Sandbox& box, const std::string& eos) {
    const std::string named = eos.empty() ? "" : "eos = \"" + eos + "\"\n";
    box.write("g.toml", "[protocol]\nmin_samples = 1\nmax_samples = 2\n[[workload]]\nuse = \"generate\"\n" + named + R"(
model = "own"
batch = 1
seq = 4
tokens = 24
temperature = 1
[[system]]
use = "host"
backends = ["cpu"]
[[system]]
use = "h100-sxm"
backends = ["roofline"]
)");
    const Outcome o = box.run({"run", "g.toml", "-o", "g.h5", "--configs", "."});
    CHECK_MESSAGE(o.code == 0, o.err);
    const wb::ResultSet set = wb::read_results((box / "g.h5").string());
    REQUIRE(set.results.size() == 2);
    const wb::Result& r = set.results[0];
    CHECK((set.results[1].m.status == wb::Status::skipped) == !eos.empty());
    CHECK(r.m.verification.done);
    CHECK(r.m.status == wb::Status::ok);
    CHECK(r.flops == r.m.useful.si());
    std::int64_t runs = 0;
    for (const wb::PhaseUse& p : r.m.phases) runs += p.times;
    REQUIRE(r.m.series.size() == 1);
    CHECK(runs == static_cast<std::int64_t>(r.m.series[0].values.size()));
    return r.m.series[0].values;
}

}  // namespace

TEST_CASE("a training that is killed or stopped goes on from its last checkpoint and ends with the same losses") {
    const Sandbox box;
    box.write("text.txt", std::string(3000, 'x') + "In the beginning God created the heaven and the earth." +
                              std::string(3000, 'y'));
    const Outcome made = box.run({"tokenize", "text.txt", "-o", "text.h5", "--held-out", "10%"});
    CHECK(made.out == "text.txt: 6054 bytes -> 6054 tokens of a vocabulary of 256, the last 605 held out -> text.h5\n");
    box.write("p.toml", experiment("text.h5"));
    REQUIRE(box.run({"run", "p.toml", "-o", "whole.h5", "-q"}).code == 0);
    for (const auto& [signal, code] : {std::pair{SIGKILL, 128 + SIGKILL}, {SIGTERM, 75}, {SIGINT, 130}}) {
        CAPTURE(signal);
        const std::string name = fmt::format("part{}", signal), results = name + ".h5";
        cli::Child child = box.start({"run", "p.toml", "-o", results, "-q"});
        for (int i = 0; i < 2000 && !checkpoint_in(box / (name + ".checkpoints")); ++i)
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
        child.send(signal);
        const Outcome stopped = child.wait();
        CHECK(stopped.code == code);
        CHECK(checkpoint_in(box / (name + ".checkpoints")));
        CHECK(cli::fs::exists(box / results) == (signal != SIGKILL));
        if (signal != SIGKILL) check_stopped(box / results);
        const Outcome resumed = box.run({"run", "p.toml", "-o", results, "--resume"});
        CHECK(resumed.code == 0);
        CHECK(resumed.says("; resumed at step "));
        CHECK(losses(box / results) == losses(box / "whole.h5"));
    }
}

TEST_CASE("a generation ends with the token that its model ends texts with, where that is asked for") {
    const Sandbox box;
    const auto config = cli::fs::path(WB_SOURCE_DIR) / "configs/models/tiny-gpt2/config.json";
    box.write("models/own/config.json", cli::slurp(config));
    const std::vector<double> all = generated(box, "");
    REQUIRE(all.size() == 24);
    std::size_t at = 3;  // the first time that a token is said
    while (std::find(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(at), all[at]) !=
           all.begin() + static_cast<std::ptrdiff_t>(at))
        ++at;
    REQUIRE(at + 1 < all.size());
    const std::vector<double> some(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(at) + 1);
    const auto id = std::to_string(static_cast<int>(all[at]));
    CHECK(generated(box, "999999," + id) == some);
    const Outcome none = box.run({"run", "g.toml", "--configs", ".", "--set", "workload.0.eos=\"model\""});
    CHECK(none.code == 1);
    CHECK_MESSAGE(none.says("eos = model: \"own\" names no token that ends a text ("), none.err);
    box.write("models/own/generation_config.json", "{\"eos_token_id\": [" + id + "]}");
    CHECK(generated(box, "model") == some);
    const Outcome bad = box.run({"run", "g.toml", "--configs", ".", "--set", "workload.0.eos=\"end\""});
    CHECK_MESSAGE(bad.says("eos = end: is neither \"model\" nor a list of token ids"), bad.err);
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
