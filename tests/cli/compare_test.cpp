#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>

#include <nlohmann/json.hpp>

#include "harness/result_file.hpp"
#include "tests/cli/sandbox.hpp"

using cli::Outcome;
using cli::Sandbox;

namespace {

/// Runs the small experiment into a.h5.
void base(const Sandbox& box) {
    box.write("e.toml", cli::small_experiment());
    REQUIRE(box.run({"run", "e.toml", "-q", "-o", "a.h5"}).code == 0);
}

/// Writes a.h5 again as `name` with every result changed.
template <class Change>
void changed(const Sandbox& box, const char* name, const Change& change) {
    wb::ResultSet set = wb::read_results(box / "a.h5");
    for (wb::Result& r : set.results) change(r);
    wb::write_results(box / name, set);
}

void scale_measured(wb::Result& r, double factor) {
    if (r.m.kind == wb::Kind::measured)
        for (double& s : r.m.samples_s) s *= factor;
}

}  // namespace

TEST_CASE("a run compared with itself and with its repetition is the same") {
    const Sandbox box;
    base(box);
    const Outcome o = box.run({"compare", "a.h5", "a.h5", "--strict"});
    CHECK(o.code == 0);
    CHECK(o.out.ends_with("\n4 compared: 4 same\n"));
    CHECK(box.run({"run", "e.toml", "-q", "-o", "b.h5"}).code == 0);
    CHECK(box.run({"compare", "a.h5", "b.h5", "--strict"}).out.ends_with("\n4 compared: 4 same\n"));
    CHECK(box.run({"compare", "a.journal", "b.h5", "--strict"}).code == 0);
}

TEST_CASE("another seed of the fake clock is noise, not a change") {
    const Sandbox box;
    base(box);
    CHECK(box.run({"run", "e.toml", "-q", "-o", "b.h5", "--set", "seed=5"}).code == 0);
    const Outcome o = box.run({"compare", "a.h5", "b.h5", "--strict"});
    CHECK(o.code == 0);
    CHECK(o.out.ends_with("\n4 compared: 4 same\n"));
}

TEST_CASE("a figure of a machine that changed changes its bound, by name: exit 2") {
    const Sandbox box;
    base(box);
    std::string file = cli::slurp(cli::fs::path(WB_SOURCE_DIR) / "configs/systems/h100-sxm.toml");
    const std::size_t at = file.find("67 TFLOP/s");
    REQUIRE(at != std::string::npos);
    box.write("mine/systems/h100-sxm.toml", file.replace(at, 2, "66"));
    CHECK(box.run({"run", "e.toml", "-q", "-o", "b.h5", "--configs", "mine"}).code == 0);
    const Outcome o = box.run({"compare", "a.h5", "b.h5"});
    CHECK(o.code == 2);
    CHECK(o.out.find("gemm m=32 n=32 k=32 f32 | h100-sxm x1 roofline  bound") != std::string::npos);
    CHECK(o.out.find("+1.52 %  CHANGED") != std::string::npos);
    CHECK(o.out.ends_with("\n4 compared: 2 CHANGED 2 same\n"));
    CHECK(box.run({"compare", "a.h5", "b.h5", "--exact"}).out.ends_with("\n2 compared: 2 CHANGED\n"));
}

TEST_CASE("ten per cent slower is a regression, ten per cent faster is not") {
    const Sandbox box;
    base(box);
    changed(box, "slow.h5", [](wb::Result& r) { scale_measured(r, 1.1); });
    const Outcome slower = box.run({"compare", "a.h5", "slow.h5"});
    CHECK(slower.code == 2);
    CHECK(slower.out.find("SLOWER") != std::string::npos);
    CHECK(slower.out.ends_with("\n4 compared: 2 SLOWER 2 same\n"));
    const Outcome faster = box.run({"compare", "slow.h5", "a.h5"});
    CHECK(faster.code == 0);
    CHECK(faster.out.ends_with("\n4 compared: 2 faster 2 same\n"));
    CHECK(box.run({"compare", "a.h5", "slow.h5", "--exact"}).code == 0);
    for (const char* threshold : {"20%", "20 %", "0.2"})
        CHECK(box.run({"compare", "a.h5", "slow.h5", "--threshold", threshold}).code == 0);
    const Outcome odd = box.run({"compare", "a.h5", "slow.h5", "--threshold", "20 s"});
    CHECK(odd.code == 1);
    CHECK(odd.err.starts_with("waferbench: --threshold: "));
}

TEST_CASE("what cannot be told is inconclusive: 4 with --strict, else 0") {
    const Sandbox box;
    base(box);
    changed(box, "wide.h5", [](wb::Result& r) {
        if (r.m.kind != wb::Kind::measured) return;
        for (std::size_t i = 0; i < r.m.samples_s.size(); ++i) r.m.samples_s[i] *= i % 2 ? 1.4 : 0.8;
    });
    const Outcome o = box.run({"compare", "a.h5", "wide.h5"});
    CAPTURE(o.out);
    CHECK(o.code == 0);
    CHECK(o.out.find("2 inconclusive") != std::string::npos);
    CHECK(box.run({"compare", "a.h5", "wide.h5", "--strict"}).code == 4);
}

TEST_CASE("different workloads or kinds under one name are an error, not a comparison") {
    const Sandbox box;
    base(box);
    changed(box, "other.h5", [](wb::Result& r) { r.fingerprint[0] = r.fingerprint[0] == '0' ? '1' : '0'; });
    const Outcome graph = box.run({"compare", "a.h5", "other.h5"});
    CHECK(graph.code == 1);
    CHECK(graph.err.find("the two files hold different workloads under this name (fingerprints ") != std::string::npos);
    changed(box, "kind.h5", [](wb::Result& r) { r.m.kind = wb::Kind::modelled; });
    const Outcome kind = box.run({"compare", "a.h5", "kind.h5"});
    CHECK(kind.code == 1);
    CHECK(kind.err.find("one number is measured, the other modelled (kinds are never compared).\n") !=
          std::string::npos);
}

TEST_CASE("a case that vanished or broke is a regression; a new one is not") {
    const Sandbox box;
    base(box);
    CHECK(box.run({"run", "e.toml", "-q", "-o", "part.h5", "--filter", "m=32"}).code == 0);
    const Outcome missing = box.run({"compare", "a.h5", "part.h5"});
    CHECK(missing.code == 2);
    CHECK(missing.out.find("2 compared: 2 same; 2 missing in B, first: gemm m=64 ") != std::string::npos);
    const Outcome more = box.run({"compare", "part.h5", "a.h5"});
    CHECK(more.code == 0);
    CHECK(more.out.ends_with("\n2 compared: 2 same; 2 only in B\n"));
    CHECK(box.run({"run", "e.toml", "-q", "-o", "broken.h5", "--set", "seed=906"}).code == 3);
    const Outcome broken = box.run({"compare", "a.h5", "broken.h5"});
    CHECK(broken.code == 2);
    CHECK(broken.out.find("ok -> failed: FAILED whole result against the reference: c[0] element 0 is nan") !=
          std::string::npos);
    CHECK(box.run({"run", "e.toml", "-q", "-o", "else.h5", "--set", "workload.0.n=48"}).code == 0);
    const Outcome none = box.run({"compare", "a.h5", "else.h5"});
    CHECK(none.code == 5);
    CHECK(none.err.find("the two files have no case in common") != std::string::npos);
}

TEST_CASE("compare prints one parsable document in json and csv, and a table elsewhere") {
    const Sandbox box;
    base(box);
    const Outcome json = box.run({"compare", "a.h5", "a.h5", "--format", "json"});
    const auto document = nlohmann::json::parse(json.out);
    CHECK(document["rows"].size() == 4);
    CHECK(document["rows"][0]["verdict"] == "same");
    CHECK(json.err == "4 compared: 4 same\n");
    const Outcome csv = box.run({"compare", "a.h5", "a.h5", "--format", "csv"});
    CHECK(std::count(csv.out.begin(), csv.out.end(), '\n') == 5);
    CHECK(csv.out.starts_with("case,kind,A [s],B [s],change,verdict,why\n"));
    CHECK(box.run({"compare", "a.h5", "a.h5", "--format", "markdown"}).out.find("| --- |") != std::string::npos);
}
