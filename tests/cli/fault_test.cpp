#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>

#include "tests/cli/sandbox.hpp"

using cli::Outcome;
using cli::Sandbox;

namespace {

Outcome with_fault(const Sandbox& box, int seed) {
    return box.run({"run", "e.toml", "-o", fmt::format("{}.h5", seed), "--format", "csv", "--filter", "fake m=32",
                    "--set", fmt::format("seed={}", seed)});
}

}  // namespace

TEST_CASE("a case that breaks is a failed row with the reason and a line that repeats it; exit 3") {
    const Sandbox box;
    box.write("e.toml", cli::small_experiment());
    const std::vector<std::pair<int, std::string>> faults{
        {901, "FAILED whole result against the reference: fake: fails in prepare, as the seed asks"},
        {902, "FAILED whole result against the reference: fake: fails in run, as the seed asks"},
        {903, "sample 1 is -1 s, which is not a time"},
        {904, "s, which is not a time"},
        {906, "FAILED whole result against the reference: c[0] element 0 is nan, should be "},
        {907, "FAILED whole result against the reference: c[0] element 1023 is "},
    };
    for (const auto& [seed, reason] : faults) {
        const Outcome o = with_fault(box, seed);
        CAPTURE(seed);
        CAPTURE(o.err);
        CHECK(o.code == 3);
        CHECK(o.out.find(reason) != std::string::npos);
        CHECK(o.err.find(
                  "FAILED gemm m=32 n=32 k=32 batch=1 trans_a=false trans_b=false dtype=f32 | h100-sxm kernels=torch "
                  "library=flash-attn-3 units=1 | fake: ") != std::string::npos);
        CHECK(o.err.find(fmt::format("\n  reproduce: waferbench run e.toml --set 'seed={}' --filter 'gemm m=32 n=32 "
                                     "k=32 batch=1 trans_a=false "
                                     "trans_b=false dtype=f32 fake h100-sxm units=1'\n",
                                     seed)) != std::string::npos);
        CHECK(box.run({"check", fmt::format("{}.h5", seed)}).code == 0);
    }
    const Outcome slow = with_fault(box, 905);
    CHECK(slow.code == 0);
    CHECK(slow.wall_s > 0.05 * 6);  // five samples and a warm-up
}

TEST_CASE("without verification a failure in prepare or run is still a failed case") {
    const Sandbox box;
    box.write("e.toml", cli::small_experiment());
    for (const int seed : {901, 902}) {
        const Outcome o = box.run({"run", "e.toml", "--format", "csv", "--filter", "fake", "--set",
                                   "protocol.verify=false", "--set", fmt::format("seed={}", seed)});
        CHECK(o.code == 3);
        CHECK(o.says(fmt::format("fake: fails in {}, as the seed asks", seed == 901 ? "prepare" : "run")));
    }
}

TEST_CASE("the sweep goes on behind a failed case") {
    const Sandbox box;
    box.write("e.toml", cli::small_experiment());
    const Outcome o = box.run({"run", "e.toml", "--format", "csv", "--set", "seed=907"});
    CHECK(o.code == 3);
    CHECK(std::count(o.out.begin(), o.out.end(), '\n') == 5);  // heading, two wrong, two bounds
    CHECK(o.out.find("h100-sxm,roofline,bound,9.7") != std::string::npos);
}

TEST_CASE("the line that repeats a failed case repeats it alone") {
    const Sandbox box;
    box.write("e.toml", cli::small_experiment());
    const Outcome o =
        box.run({"run", "e.toml", "-q", "--set", "seed=906", "--set", "workload.0.m=[32, 320]", "--filter", "fake"});
    const std::size_t at = o.err.find("reproduce: waferbench ") + 22;
    const std::string line = o.err.substr(at, o.err.find('\n', at) - at);
    box.write("again.sh", std::string(WB_BINARY) + " " + line + " --format csv\n");
    const std::string command = "cd '" + box.path().string() + "' && sh again.sh > again.out 2>/dev/null";
    const int status = std::system(command.c_str());
    CHECK(WEXITSTATUS(status) == 3);
    const std::string out = box.read("again.out");
    CHECK(std::count(out.begin(), out.end(), '\n') == 2);
    CHECK(out.find("gemm m=32 n=32 k=32 f32,h100-sxm,fake,measured,failed") != std::string::npos);
}

TEST_CASE("a case that hangs ends the job with 124; what was finished is in the journal") {
    const Sandbox box;
    box.write("hang.toml", R"(seed = 905
[protocol]
min_samples = 1000
max_samples = 1000
case_limit = "0.3 s"
verify = false
[[system]]
use = "host"
backends = ["roofline", "fake"]
[[workload]]
use = "gemm"
m = 64
n = 64
k = 64
)");
    const Outcome o = box.run({"run", "hang.toml", "-o", "hang.h5"});
    CHECK(o.code == 124);
    CHECK(o.err.find("has not ended after 300 ms") != std::string::npos);
    CHECK(box.run({"rebuild", "hang.journal"}).code == 0);
    CHECK(box.run({"check", "hang.h5"}).out.find("1 cases: 1 ok") != std::string::npos);
}
