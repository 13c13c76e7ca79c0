#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "harness/result_file.hpp"
#include "tests/cli/sandbox.hpp"

using cli::Outcome;
using cli::Sandbox;

namespace {

/// One training step, and machines that take it.
std::string step_on(const std::string& systems) {
    return "[[workload]]\nuse = \"train\"\nmodel = \"tiny-llama\"\nbatch = 16\nseq = 64\n" + systems;
}

std::string allreduce_on(const std::string& systems, const std::string& bytes) {
    return "[[workload]]\nuse = \"collective\"\nop = \"allreduce\"\nbytes = \"" + bytes + "\"\n" + systems;
}

std::vector<wb::Result> results(const Sandbox& box, const std::string& file) {
    return wb::read_results(box / file).results;
}

/// What a skipped case says.
std::string skipped(const Sandbox& box, const std::string& experiment, const std::vector<std::string>& more = {}) {
    box.write("skipped.toml", experiment);
    std::vector<std::string> line{"run", "skipped.toml", "-q", "-o", "skipped.h5"};
    line.insert(line.end(), more.begin(), more.end());
    const Outcome o = box.run(line);
    CAPTURE(o.err);
    REQUIRE(o.code == 0);
    const wb::Result r = results(box, "skipped.h5").back();
    CHECK(r.m.status == wb::Status::skipped);
    return r.m.reason;
}

}  // namespace

TEST_CASE("a step is emulated by the mapping that the closed form finds, and takes as long") {
    const Sandbox box;
    box.write("e.toml", step_on(R"([[system]]
use = "h100-sxm"
gpus = [4, 16]
backends = ["cluster", "emulation"]
emulation = { payload = "full" }
)"));
    const Outcome o = box.run({"run", "e.toml", "-q", "-o", "a.h5"});
    CAPTURE(o.err);
    REQUIRE(o.code == 0);
    const std::vector<wb::Result> all = results(box, "a.h5");
    REQUIRE(all.size() == 4);
    for (std::size_t i = 0; i < 4; i += 2) {
        CHECK(all[i].m.mapping == all[i + 1].m.mapping);
        CHECK(std::abs(all[i + 1].median_s() / all[i].median_s() - 1) <= 0.05);
        CHECK(all[i + 1].m.verification.done);
        CHECK(all[i + 1].m.verification.method.find("stamped bytes against their known sums") != std::string::npos);
        CHECK(all[i + 1].key.ends_with("emulation payload=full"));  // what was found is no part of the name
    }
}

TEST_CASE("a failed unit fails the case, whose timeline is kept up to there") {
    const Sandbox box;
    box.write("e.toml", step_on(R"([[system]]
use = "h100-sxm"
backends = ["emulation"]
mapping = "tp2 pp2 dp2 mb4"
emulation = { failed = [{ unit = 3, at = "300 us" }] }
)"));
    const Outcome o = box.run({"run", "e.toml", "-o", "a.h5"});
    CHECK(o.code == 3);
    CHECK(o.says("unit 3 failed after 300 us; 7 others wait for ever"));
    const wb::Result r = results(box, "a.h5").at(0);
    CHECK(r.m.status == wb::Status::failed);
    CHECK(r.m.samples_s.empty());
    CHECK(r.m.mapping == "tp2 pp2 dp2 mb4");
    const auto count = [&](const std::string& text) {
        return std::count_if(r.m.spans.begin(), r.m.spans.end(),
                             [&](const wb::Span& s) { return (s.resource + " " + s.phase).find(text) == 0; });
    };
    CHECK(count("unit 3 compute") > 0);
    CHECK(count("unit 3 failed failed") == 1);
    CHECK(count("unit 2 idle waiting for unit 3 for ever") == 1);
    CHECK(box.run({"check", "a.h5"}).code == 0);
}

TEST_CASE("what cannot be emulated is told in a sentence: fabrics, memory of a unit, memory of this machine") {
    const Sandbox box;
    std::string file = cli::slurp(cli::fs::path(WB_SOURCE_DIR) / "configs/systems/h100-sxm.toml");
    const std::size_t outer = file.rfind("[[fabric]]"), after = file.find("\n[", outer);
    REQUIRE(outer != file.find("[[fabric]]"));
    box.write("mine/systems/one-box.toml", file.erase(outer, after + 1 - outer));
    CHECK(skipped(box, allreduce_on("[[system]]\nuse = \"one-box\"\ngpus = 16\nbackends = [\"emulation\"]\n", "1 MiB"),
                  {"--configs", "mine"}) ==
          "one-box: its fabrics join 8 units, the case has 16 (messages between the others have no way). Use fewer, or "
          "describe the next fabric in its file");
    CHECK(skipped(box,
                  "[[workload]]\nuse = \"train\"\nmodel = \"megatron-22b\"\nbatch = 64\nseq = 2048\n"
                  "[[system]]\nuse = \"h100-sxm\"\nbackends = [\"emulation\"]\nmapping = \"dp64\"\n")
              .find("mapping dp64: does not fit the 80.0 GB of a unit of h100-sxm (it needs ") == 0);
    CHECK(skipped(box, allreduce_on("[[system]]\nuse = \"h100-sxm\"\ngpus = 1024\nbackends = [\"emulation\"]\n"
                                    "emulation = { payload = \"sized\" }\nalgorithm = \"tree\"\n",
                                    "16 GiB"))
              .find("payload \"sized\": allreduce of 17.2 GB on each of 1024 units take ") == 0);
}

TEST_CASE("a fault of a unit that is not there, or one that makes it faster, is refused where it stands") {
    const Sandbox box;
    CHECK(skipped(box, allreduce_on("[[system]]\nuse = \"h100-sxm\"\ngpus = 8\nbackends = [\"emulation\"]\n"
                                    "emulation = { straggler = [{ unit = 8, factor = 2 }] }\n",
                                    "1 MiB")) ==
          "emulation: a fault is of unit 8, the case has 8 (it would never show). Units are counted from 0");
    box.write("e.toml", allreduce_on("[[system]]\nuse = \"h100-sxm\"\ngpus = 8\nbackends = [\"emulation\"]\n"
                                     "emulation = { straggler = [{ unit = 1, factor = 0.5 }] }\n",
                                     "1 MiB"));
    const Outcome o = box.run({"plan", "e.toml"});
    CHECK(o.code == 1);
    CHECK(o.says("factor is 0.5 (a fault makes a unit slower, not faster). Write a factor of at least 1."));
}

TEST_CASE("an exact case whose timeline changed has changed, whatever its time") {
    const Sandbox box;
    box.write("e.toml", step_on("[[system]]\nuse = \"h100-sxm\"\nbackends = [\"emulation\"]\nmapping = \"pp2 mb4\"\n"));
    REQUIRE(box.run({"run", "e.toml", "-q", "-o", "a.h5"}).code == 0);
    REQUIRE(box.run({"run", "e.toml", "-q", "-o", "b.h5"}).code == 0);
    CHECK(box.run({"compare", "a.h5", "b.h5", "--exact"}).code == 0);
    wb::ResultSet set = wb::read_results(box / "a.h5");
    REQUIRE(!set.results.at(0).m.spans.empty());
    set.results[0].m.spans.back().duration *= 1 + 1e-15;
    wb::write_results(box / "c.h5", set);
    const Outcome o = box.run({"compare", "a.h5", "c.h5", "--exact"});
    CHECK(o.code == 2);
    CHECK(o.says("the same time, but its timeline is another"));
}

TEST_CASE("a machine takes part in the workloads it names alone") {
    const Sandbox box;
    const std::string two = allreduce_on("", "1 MiB") + "[[workload]]\nuse = \"gemm\"\nm = 8\nn = 8\nk = 8\n";
    const std::string machine = "[[system]]\nuse = \"h100-sxm\"\ngpus = 8\nbackends = [\"emulation\"]\n";
    box.write("e.toml", two + machine + "workloads = [\"collective\"]\n");
    const Outcome o = box.run({"run", "e.toml", "-q", "-o", "a.h5"});
    CHECK(o.code == 0);
    REQUIRE(results(box, "a.h5").size() == 1);
    CHECK(results(box, "a.h5").at(0).workload == "collective");
    box.write("w.toml", two + machine + "workloads = [\"colective\"]\n");
    const Outcome wrong = box.run({"plan", "w.toml"});
    CHECK(wrong.code == 1);
    CHECK(
        wrong.says("the experiment has no workload \"colective\" (h100-sxm would not take part in it). Did you mean "
                   "\"collective\"?"));
}
