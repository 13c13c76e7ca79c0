#include "harness/google_benchmark.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "harness/result_file.hpp"
#include "tests/temp_folder.hpp"

using namespace wb;
using nlohmann::json;

namespace {

/// As the library writes it: three repetitions in microseconds with their aggregates, one in milliseconds by real time
/// on four threads with a counter, one that failed, one fit.
const char* const written = R"({
  "context": {"date": "2026-01-31T12:00:00+00:00", "host_name": "node7", "executable": "./copy_bench", "num_cpus": 8,
    "mhz_per_cpu": 3000, "cpu_scaling_enabled": true, "caches": [], "load_avg": [0.5], "library_build_type": "debug"},
  "benchmarks": [
    {"name": "BM_copy/8", "run_name": "BM_copy/8", "run_type": "iteration", "repetitions": 3, "repetition_index": 0,
     "threads": 1, "iterations": 100, "real_time": 12.0, "cpu_time": 10.0, "time_unit": "us", "bytes_per_second": 8e6,
     "items_per_second": 1e5, "label": "aligned", "hits": 7},
    {"name": "BM_copy/8", "run_name": "BM_copy/8", "run_type": "iteration", "repetitions": 3, "repetition_index": 1,
     "threads": 1, "iterations": 100, "real_time": 11.0, "cpu_time": 10.0, "time_unit": "us", "bytes_per_second": 8e6,
     "items_per_second": 1e5, "label": "aligned", "hits": 8},
    {"name": "BM_copy/8", "run_name": "BM_copy/8", "run_type": "iteration", "repetitions": 3, "repetition_index": 2,
     "threads": 1, "iterations": 100, "real_time": 16.0, "cpu_time": 10.0, "time_unit": "us", "bytes_per_second": 8e6,
     "items_per_second": 1e5, "label": "aligned", "hits": 9},
    {"name": "BM_copy/8_mean", "run_name": "BM_copy/8", "run_type": "aggregate", "repetitions": 3, "threads": 1,
     "aggregate_name": "mean", "aggregate_unit": "time", "iterations": 3, "real_time": 13.0, "cpu_time": 10.0,
     "time_unit": "us"},
    {"name": "BM_copy/8_cv", "run_name": "BM_copy/8", "run_type": "aggregate", "repetitions": 3, "threads": 1,
     "aggregate_name": "cv", "aggregate_unit": "percentage", "iterations": 3, "real_time": 0.2, "cpu_time": 0.0,
     "time_unit": "us"},
    {"name": "BM_gemm/real_time/threads:4", "run_name": "BM_gemm/real_time/threads:4", "run_type": "iteration",
     "threads": 4, "iterations": 5, "real_time": 2.0, "cpu_time": 7.5, "time_unit": "ms", "GFLOP/s": 500.0},
    {"name": "BM_open", "run_name": "BM_open", "run_type": "iteration", "threads": 1, "error_occurred": true,
     "error_message": "no such device", "iterations": 0, "real_time": 0, "cpu_time": 0, "time_unit": "ns"},
    {"name": "BM_sort_BigO", "run_name": "BM_sort", "run_type": "aggregate", "aggregate_name": "BigO", "threads": 1,
     "cpu_coefficient": 1.5, "real_coefficient": 1.6, "big_o": "N", "time_unit": "ns"}]})";

const Series& series(const Result& r, const std::string& name) {
    for (const Series& s : r.m.series)
        if (s.name == name) return s;
    FAIL("no series " << name);
    return r.m.series.front();
}

std::string refusal(const std::string& text) {
    try {
        from_google_benchmark(text, "b.json");
    } catch (const Error& e) {
        CHECK(e.code() == Exit::usage);
        return e.what();
    }
    return "";
}

}  // namespace

TEST_CASE("a file of Google Benchmark: units, repetitions, rates, counters, threads and errors") {
    const GoogleBenchmarks read = from_google_benchmark(written, "b.json");
    CHECK(read.left_out == 1);
    REQUIRE(read.set.results.size() == 3);
    const Result &copy = read.set.results[0], &gemm = read.set.results[1], &open = read.set.results[2];
    CHECK(copy.label == "BM_copy/8");
    CHECK(copy.system == "node7");
    CHECK(copy.m.kind == Kind::measured);
    CHECK(copy.m.detail == "aligned");
    REQUIRE(copy.m.samples_s.size() == 3);  // the mean and cv are not samples
    CHECK(copy.median_s() == doctest::Approx(12e-6).epsilon(1e-12).scale(0));
    CHECK(copy.compulsory_bytes == doctest::Approx(80).epsilon(1e-12).scale(0));  // 8e6 B/s of processor time
    CHECK(series(copy, "hits").values == std::vector<double>{7, 8, 9});
    CHECK(series(copy, "items_per_second").unit == "1/s");
    CHECK(series(copy, "cpu_time").values[1] == doctest::Approx(10e-6).epsilon(1e-12).scale(0));
    CHECK(gemm.threads == 4);
    CHECK(gemm.median_s() == doctest::Approx(2e-3).epsilon(1e-12).scale(0));
    CHECK(gemm.flops == doctest::Approx(1e9).epsilon(1e-12).scale(0));  // of real time, as its name says
    CHECK(open.m.status == Status::failed);
    CHECK(open.m.reason == "no such device");
    REQUIRE(read.set.runs.size() == 1);
    CHECK(read.set.runs[0].anchor == "node7");
    CHECK(read.set.runs[0].warnings.size() == 2);
}

TEST_CASE("through the store and out again: the same times, counters and errors") {
    const Folder folder;
    const auto path = folder.path / "b.h5";
    write_results(path, from_google_benchmark(written, "b.json").set);
    const json out = json::parse(to_google_benchmark(read_results(path)));
    CHECK(out["context"]["num_cpus"] == 8);
    CHECK(out["context"]["executable"] == "./copy_bench");
    std::map<std::string, std::vector<json>> by_name;
    for (const json& e : out["benchmarks"]) {
        for (const char* field : {"name", "run_name", "run_type", "real_time", "cpu_time", "time_unit", "iterations"})
            CHECK(e.contains(field));
        by_name[e["name"]].push_back(e);
    }
    REQUIRE(by_name["BM_copy/8"].size() == 3);
    const json &copy = by_name["BM_copy/8"][2], &mean = by_name["BM_copy/8_mean"].at(0);
    CHECK(copy["time_unit"] == "us");  // compare.py looks at no other unit than that of the first file
    CHECK(copy["real_time"].get<double>() == doctest::Approx(16).epsilon(1e-12).scale(0));
    CHECK(copy["hits"] == 9);
    CHECK(copy["label"] == "aligned");
    CHECK(mean["real_time"].get<double>() == doctest::Approx(13).epsilon(1e-12).scale(0));
    CHECK(mean["aggregate_unit"] == "time");
    CHECK(mean["iterations"] == 3);
    CHECK(by_name["BM_copy/8_cv"].at(0)["real_time"] == 0.2);
    CHECK(by_name["BM_copy/8_cv"].at(0)["aggregate_unit"] == "percentage");
    CHECK(!by_name.contains("BM_copy/8_median"));  // the file had none
    CHECK(by_name["BM_gemm/real_time/threads:4"][0]["GFLOP/s"] == 500);
    CHECK(by_name["BM_open"][0]["error_message"] == "no such device");
    const ResultSet first = from_google_benchmark(written, "b.json").set;
    const ResultSet again = from_google_benchmark(to_google_benchmark(first), "b.json").set;
    REQUIRE(again.results.size() == first.results.size());
    for (std::size_t i = 0; i < first.results.size(); ++i) {
        CHECK(again.results[i].key == first.results[i].key);
        CHECK(again.results[i].fingerprint == first.results[i].fingerprint);
        REQUIRE(again.results[i].m.samples_s.size() == first.results[i].m.samples_s.size());
        for (std::size_t s = 0; s < first.results[i].m.samples_s.size(); ++s)
            CHECK(again.results[i].m.samples_s[s] ==
                  doctest::Approx(first.results[i].m.samples_s[s]).epsilon(1e-12).scale(0));
    }
}

TEST_CASE("aggregates alone: the median stands for the samples") {
    const std::string text = R"({"context": {}, "benchmarks": [
        {"name": "BM_x_mean", "run_name": "BM_x", "run_type": "aggregate", "aggregate_name": "mean",
         "real_time": 5.0, "cpu_time": 5.0, "time_unit": "s"},
        {"name": "BM_x_median", "run_name": "BM_x", "run_type": "aggregate", "aggregate_name": "median",
         "real_time": 4.0, "cpu_time": 4.0, "time_unit": "s", "bytes_per_second": 25.0}]})";
    const Result r = from_google_benchmark(text, "b.json").set.results.at(0);
    CHECK(r.m.samples_s == std::vector<double>{4});
    CHECK(r.compulsory_bytes == 100);
    CHECK(r.m.reason == "aggregates alone: the median");
}

TEST_CASE("words that JSON has not: NaN and Infinity are kept, in the store and out again") {
    const std::string text = R"({"context": {"executable": "C:\path\demo.exe", "json_schema_version": 2},
      "benchmarks": [
        {"name": "a", "real_time": 2.0, "cpu_time": 2.0, "time_unit": "us", "rate": 1.5, "label": "NaN \"x\""},
        {"name": "a", "real_time": 3.0, "cpu_time": NaN, "time_unit": "us", "x": nan, "y": -Infinity, "z": inf},
        {"name": "b", "real_time": -1, "cpu_time": 1}, {"name": "c", "real_time": NaN, "cpu_time": 1},
        {"name": "d", "skipped": true, "skip_message": "no disk", "real_time": 0, "cpu_time": 0}]})";
    const Folder folder;
    const auto path = folder.path / "b.h5";
    write_results(path, from_google_benchmark(text, "b.json").set);
    const ResultSet set = read_results(path);
    REQUIRE(set.results.size() == 4);
    CHECK(set.runs[0].command == "C:\\path\\demo.exe");
    CHECK(set.runs[0].warnings == std::vector<std::string>{"written in version 2 of the library's form; 1 is known"});
    const Result& a = set.results[0];
    CHECK(a.m.detail == "NaN \"x\"");
    CHECK(series(a, "rate").at == std::vector<double>{0});
    CHECK(series(a, "x").at == std::vector<double>{1});
    CHECK(std::isnan(series(a, "x").values[0]));
    CHECK(series(a, "y").values[0] == -HUGE_VAL);
    CHECK(set.results[1].m.reason == "a real_time of -1 (no run takes that long)");
    CHECK(set.results[2].m.status == Status::failed);
    CHECK(set.results[3].m.status == Status::skipped);
    const std::string out = to_google_benchmark(set);
    for (const char* word : {"\"x\": NaN", "\"y\": -Infinity", "\"z\": Infinity", "\"cpu_time\": NaN",
                             "\"skip_message\": \"no disk\"", "\"time_unit\": \"us\""})
        CHECK_MESSAGE(out.find(word) != std::string::npos, word);
    CHECK(from_google_benchmark(out, "b.json").set.results.size() == 4);
}

TEST_CASE("before 1.5 the name alone says what is a statistic") {
    const std::string text = R"({"benchmarks": [
        {"name": "f/threads:2", "iterations": 9, "real_time": 4, "cpu_time": 8},
        {"name": "f/threads:2", "iterations": 9, "real_time": 6, "cpu_time": 8},
        {"name": "f/threads:2_mean", "iterations": 9, "real_time": 5, "cpu_time": 8},
        {"name": "f/threads:2_stddev", "iterations": 0, "real_time": 1, "cpu_time": 0},
        {"name": "g_mean", "real_time": 7, "cpu_time": 7}, {"name": "g_stddev", "real_time": 1, "cpu_time": 1},
        {"name": "f_BigO", "cpu_coefficient": 1, "real_coefficient": 1, "big_o": "N", "time_unit": "ns"},
        {"name": "f_RMS", "rms": 0.04}, {"name": "arithmetic_mean", "real_time": 3, "cpu_time": 3}]})";
    const GoogleBenchmarks read = from_google_benchmark(text, "old.json");
    CHECK(read.left_out == 2);
    REQUIRE(read.set.results.size() == 3);
    CHECK(read.set.results[0].threads == 2);
    CHECK(read.set.results[0].m.samples_s.size() == 2);
    CHECK(read.set.results[1].label == "g");
    CHECK(read.set.results[1].m.reason == "aggregates alone: the mean");
    CHECK(read.set.results[2].label == "arithmetic_mean");
    const json out = json::parse(to_google_benchmark(read.set));
    std::vector<std::string> names;
    for (const json& e : out["benchmarks"]) names.push_back(e["name"]);
    CHECK(names == std::vector<std::string>{"f/threads:2", "f/threads:2", "f/threads:2_mean", "f/threads:2_stddev",
                                            "g_mean", "g_stddev", "arithmetic_mean"});
}

TEST_CASE("results of the suite itself: a name for each row, and no kind in another's guise") {
    Result r;
    r.label = "gemm m=8";
    r.workload = "gemm";
    r.system = "h100-sxm";
    r.backend = "cluster";
    r.units = 8;
    r.flops = 1e9;
    r.m.kind = Kind::modelled;
    r.m.samples_s = {1e-3, 2e-3, 3e-3};
    ResultSet set;
    set.results = {r, r};
    set.results[1].m.status = Status::skipped;
    const json out = json::parse(to_google_benchmark(set));
    const json& all = out["benchmarks"];
    REQUIRE(all.size() == 7);
    CHECK(all[0]["name"] == "gemm m=8/h100-sxm x8/cluster/modelled");
    CHECK(all[1]["FLOP/s"].get<double>() == doctest::Approx(5e11).epsilon(1e-12).scale(0));
    for (const auto& [i, which, value] :
         {std::tuple{3, "mean", 2e6}, {4, "median", 2e6}, {5, "stddev", 1e6}, {6, "cv", 0.5}}) {
        const json& e = all[static_cast<std::size_t>(i)];
        CHECK(e["name"] == std::string("gemm m=8/h100-sxm x8/cluster/modelled_") + which);
        CHECK(e["real_time"].get<double>() == doctest::Approx(value).epsilon(1e-9).scale(0));
    }
}

TEST_CASE("what is no such file is refused in a sentence") {
    CHECK(refusal("{") ==
          "b.json: is no JSON (it cannot be read). Write it with --benchmark_out=FILE --benchmark_out_format=json.");
    CHECK(refusal("[]").find("has no list \"benchmarks\"") != std::string::npos);
    CHECK(refusal(R"({"benchmarks": 3})").find("has no list") != std::string::npos);
    CHECK(refusal(R"({"benchmarks": []})").find("holds no benchmark") != std::string::npos);
    CHECK(refusal(R"({"benchmarks": [7]})").find("benchmark 1 is no object") != std::string::npos);
    CHECK(refusal(R"({"context": 1, "benchmarks": [{}]})").find("no object") != std::string::npos);
    CHECK(refusal(R"({"benchmarks": [{"real_time": 1}]})").find("has no name") != std::string::npos);
    CHECK(refusal(R"({"benchmarks": [{"name": "a", "real_time": "x", "cpu_time": 1}]})").find("no real_time") !=
          std::string::npos);
    CHECK(refusal(R"({"benchmarks": [{"name": "a", "real_time": 1, "cpu_time": 1, "time_unit": "h"}]})")
              .find("times in \"h\"") != std::string::npos);
    CHECK(refusal(R"({"benchmarks": [{"name": "a", "run_type": "aggregate", "aggregate_name": "zz", "real_time": 0.1,
                                      "aggregate_unit": "percentage", "cpu_time": 1}]})")
              .find("has no benchmark with a time") != std::string::npos);
    CHECK(refusal(R"({"benchmarks": [{"name": "a"}]})").find("has no benchmark with a time") != std::string::npos);
    CHECK(refusal(R"({"benchmarks": [{"name": "a", "real_time": wrong, "cpu_time": 1}]})").find("is no JSON") !=
          std::string::npos);
}
