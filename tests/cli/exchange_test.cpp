#include <doctest/doctest.h>

#include "tests/cli/sandbox.hpp"

using cli::Outcome;
using cli::Sandbox;

namespace {

std::string benchmark(const char* time) {
    return std::string(R"({"context": {"host_name": "n"}, "benchmarks": [{"name": "BM_x", "real_time": )") + time +
           R"(, "cpu_time": 1, "time_unit": "ms"}]})";
}

}  // namespace

TEST_CASE("benchmarks of other programs are imported, shown, compared and exported") {
    const Sandbox box;
    box.write("a.json", benchmark("2.5"));
    box.write("b.json", benchmark("2.5"));
    CHECK(box.run({"import", "a.json"}).out == "a.json: 1 benchmarks, 1 samples -> a.h5\n");
    CHECK(box.run({"import", "b.json", "-o", "b.h5"}).code == 0);
    CHECK(box.run({"check", "a.h5"}).code == 0);
    CHECK(box.run({"show", "a.h5"}).says("google-benchmark  measured  2.50 ms"));
    CHECK(box.run({"compare", "a.h5", "b.h5"}).code == 0);
    CHECK(box.run({"export", "--google-benchmark", "a.h5"}).says("\"real_time\": 2.5"));
    CHECK(box.run({"export", "--google-benchmark", "a.h5", "-o", "c.json"}).code == 0);
    CHECK(box.run({"import", "c.json"}).code == 0);
}

TEST_CASE("what cannot be imported or exported is told in a sentence") {
    const Sandbox box;
    box.write("a.json", "{");
    const Outcome o = box.run({"import", "a.json"});
    CHECK(o.code == 1);
    CHECK(o.err ==
          "waferbench: a.json: is no JSON (it cannot be read). Write it with --benchmark_out=FILE "
          "--benchmark_out_format=json.\n");
    CHECK(!cli::fs::exists(box / "a.h5"));
    CHECK(box.run({"import", "nowhere.json"}).says("nowhere.json: cannot be read"));
    CHECK(box.run({"export", "a.h5"}).says("Add --google-benchmark."));
    CHECK(box.run({"export", "--google-benchmark", "nowhere.h5"}).code == 5);
}

TEST_CASE("goodput: rows for each system and number of units; mistakes in a sentence") {
    const Sandbox box;
    const Outcome o = box.run({"goodput", "h100-sxm", "wse3", "--units", "1,1024", "--spares", "4", "--format", "csv"});
    CHECK(o.code == 0);
    for (const char* row : {"h100-sxm,1,", "h100-sxm,1024,", "wse3,1,", "wse3,1024,"}) CHECK(o.says(row));
    CHECK(box.run({"goodput", "h100"}).says("h100"));  // its short name
    for (const auto& [arguments, sentence] : std::vector<std::pair<std::vector<std::string>, std::string>>{
             {{"nothing-of-the-kind"}, "nothing-of-the-kind"},
             {{"wse3", "--units", "0"}, "--units: 0 units (a job runs on 1 to 10,000,000)."},
             {{"wse3", "--there", "100%"}, "--there: is 100% (no number of spares makes a job run always)."},
             {{"wse3", "--set", "restart=5"}, "has no unit"},
             {{"wse3", "--set", "restrat=5 min"}, "restart"}}) {
        std::vector<std::string> all{"goodput"};
        all.insert(all.end(), arguments.begin(), arguments.end());
        const Outcome wrong = box.run(all);
        CHECK(wrong.code == 1);
        CHECK_MESSAGE(wrong.says(sentence), wrong.err);
        CHECK(std::count(wrong.err.begin(), wrong.err.end(), '\n') == 1);
    }
}
