#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>

#include "core/comm.hpp"
#include "core/tables.hpp"
#include "harness/environment.hpp"
#include "harness/experiment.hpp"
#include "harness/host.hpp"
#include "harness/runner.hpp"
#include "tests/host_toml.hpp"
#include "tests/temp_folder.hpp"
#ifdef ONNX_NAMESPACE
#include "tests/kernels/onnx_models.hpp"
#endif

using namespace wb;

namespace {

Files files() { return Files({std::string(WB_SOURCE_DIR) + "/configs"}); }

std::string quoted_list(const std::vector<std::string>& words) {
    std::string out;
    for (const std::string& w : words) out += fmt::format("{}\"{}\"", out.empty() ? "" : ", ", w);
    return "[" + out + "]";
}

#ifdef ONNX_NAMESPACE
/// A graph of a small GPT-2, written once.
std::string onnx_file() {
    static const Folder folder;
    static const std::string path = [] {
        OnnxWriter w(13);
        exported::gpt2(w, {2, 64, 4, 4, 256, 211, 64});
        w.save((folder.path / "gpt2.onnx").string());
        return (folder.path / "gpt2.onnx").string();
    }();
    return path;
}
#else
std::string onnx_file() { return "none"; }
#endif

/// All but the one that was built without its library.
std::vector<Workload> workloads() {
    std::vector<Workload> out;
    for (const Workload& w : all_workloads())
        if (w.params.front().name != "file" || onnx_file() != "none") out.push_back(w);
    return out;
}

/// A small value for a parameter that has none of its own. A new workload needs a line here only where 48 will not do.
std::string small_value(const ParamSpec& spec) {
    if (!spec.choices.empty()) return quoted_list(spec.choices);
    if (spec.name == "router") return "\"tiny-gpt2\"";
    if (spec.name == "model") return quoted_list({"tiny-gpt2", "tiny-llama", "tiny-moe", "tiny-mla"});
    if (spec.name == "file") return fmt::format("\"{}\"", onnx_file());
    if (spec.name == "bytes") return "\"48 KiB\"";
    if (spec.name == "heads") return "4";
    if (spec.name == "steps") return "2";
    if (spec.name == "requests") return "4";
    if (spec.name == "tokens") return "5";
    return "48";
}

std::string workload_text(const Workload& w) {
    std::string out = fmt::format("[[workload]]\nuse = \"{}\"\n", w.name);
    for (const ParamSpec& s : w.params) {
        if (s.name == "dtype")
            out += "dtype = [\"f32\", \"16-bit\", \"f64\"]\n";
        else if (!s.fallback)
            out += fmt::format("{} = {}\n", s.name, small_value(s));
        else if (s.name == "seq")
            out += "seq = 16\n";
    }
    return out;
}

std::vector<std::string> built_backends() {
    std::vector<std::string> out;
    for (const BackendRow& row : all_backends())
        if (row.make) out.push_back(row.name);
    return out;
}

std::vector<PlannedCase> plan_of(const std::string& text, const std::string& host_text, const BackendSet& backends) {
    const Experiment e =
        read_experiment(Config::parse(text, "conformance.toml"), [&](const std::string& id, const auto& choices) {
            if (id == "host")
                return std::make_shared<const System>(parse_system(host_text, "host.toml", "host", choices));
            return std::make_shared<const System>(load_system(files().find("systems/" + id + ".toml"), choices));
        });
    return expand(e, files(), backends, 1, "");
}

constexpr const char* protocol = "[protocol]\nwarmup = 1\nmin_samples = 3\nmax_samples = 3\nmin_time = \"0\"\n";

void check_result(const Result& r) {
    CAPTURE(r.key);
    CAPTURE(r.m.reason);
    if (r.m.status == Status::skipped) {
        CHECK(r.m.reason.size() > 10);
        return;
    }
    CHECK(r.m.status == Status::ok);
    CHECK(!r.m.samples_s.empty());
    CHECK(std::all_of(r.m.samples_s.begin(), r.m.samples_s.end(), [](double s) { return s > 0; }));
    CHECK(std::abs(r.m.useful.si() - r.flops) <= 1e-9 * std::max(1.0, r.flops));
    CHECK(!r.m.mapping.empty());
    const bool judged = r.m.kind == Kind::measured && r.backend != "fake";
    if (judged) CHECK(r.m.verification.done);
    if (r.m.verification.done) CHECK(r.m.verification.error <= r.m.verification.tolerance);
}

}  // namespace

TEST_CASE("every workload on every backend runs, is verified and conserves its FLOPs, or is declined with a reason") {
    const BackendSet backends;
    const std::vector<std::string> names = built_backends();
    const auto comm = single_process();
    std::map<std::string, int> ran;
    std::set<std::string> seen;
    for (const Workload& w : workloads()) {
        std::string text = protocol + workload_text(w);
        for (const char* system : {"host", "h100-sxm", "wse2"})
            text += fmt::format("[[system]]\nuse = \"{}\"\nbackends = {}\n", system, quoted_list(names));
        Runner runner(backends, *comm, {});
        for (const PlannedCase& p : plan_of(text, host_toml, backends)) {
            const Result r = runner.run(p);
            check_result(r);
            seen.insert(w.name + "|" + p.c.backend);
            if (r.m.status == Status::ok) ++ran[p.c.backend], ++ran[w.name];
            if (r.m.reason.starts_with("no CUDA device")) ran[p.c.backend] = 1;  // ctest -L gpu runs it where one is
        }
    }
    CHECK(seen.size() == workloads().size() * names.size());
    for (const std::string& b : names) CHECK_MESSAGE(ran[b] > 0, b, " ran nothing");
    for (const Workload& w : workloads()) CHECK_MESSAGE(ran[w.name] > 0, w.name, " ran nowhere");
}

TEST_CASE("what runs twice with one seed gives the same outputs' error and, where it is not measured, the same time") {
    const BackendSet backends;
    const auto comm = single_process();
    Runner runner(backends, *comm, {});
    for (const Workload& w : workloads()) {
        const std::string text = protocol + workload_text(w) +
                                 fmt::format("[[system]]\nuse = \"h100-sxm\"\nunits = [1, 8]\nbackends = {}\n",
                                             quoted_list(built_backends()));
        for (const PlannedCase& p : plan_of(text, host_toml, backends)) {
            if (p.kind == Kind::measured && p.c.backend != "fake") continue;
            CAPTURE(p.c.key);
            CHECK(runner.run(p).m.samples_s == runner.run(p).m.samples_s);
        }
    }
}

TEST_CASE("no real run on this host beats its bound") {
    const std::filesystem::path cached = host_cache_file(static_cast<int>(allowed_cpus().size()));
    std::ifstream in(cached);
    const std::string host{std::istreambuf_iterator<char>(in), {}};
    if (host.empty() || host.find("was busy") != std::string::npos) {
        const std::string why = host.empty() ? "does not exist" : "was measured on a busy machine";
        MESSAGE("skipped: ", cached.string(), " ", why,
                "; `waferbench describe host --measure-again` on an idle machine makes it");
        return;
    }
    const BackendSet backends;
    const auto comm = single_process();
    Runner runner(backends, *comm, {});
    std::string text = std::string(protocol) + R"([[workload]]
use = "gemm"
m = [64, 512]
n = [64, 512]
k = 512
dtype = ["f32", "f64", "16-bit"]
[[workload]]
use = "gemv"
m = 2048
k = [512, 4096]
dtype = "f32"
[[workload]]
use = "vector"
op = ["softmax", "add", "gelu"]
rows = 512
cols = 2048
dtype = "f32"
)";
    text += fmt::format("[[system]]\nuse = \"host\"\nbackends = {}\n", quoted_list(built_backends()));
    std::map<std::string, double> bound;
    const std::vector<PlannedCase> plan = plan_of(text, host, backends);
    for (const PlannedCase& p : plan)
        if (p.kind == Kind::bound) bound[p.c.graph->fingerprint()] = runner.run(p).median_s();
    int compared = 0;
    for (const PlannedCase& p : plan) {
        if (p.kind != Kind::measured || p.c.backend == "fake") continue;
        const Result r = runner.run(p);
        const auto b = bound.find(r.fingerprint);
        if (r.m.status != Status::ok || b == bound.end()) continue;
        CAPTURE(r.key);
        CHECK(*std::min_element(r.m.samples_s.begin(), r.m.samples_s.end()) >= b->second);
        ++compared;
    }
    CHECK(compared > 0);
}
