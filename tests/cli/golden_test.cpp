#include <doctest/doctest.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tests/cli/sandbox.hpp"

using cli::Outcome;
using cli::Sandbox;

namespace {

// 2 * 32^3 FLOP: at the fake's 1e12 FLOP/s 65.536 ns with 1 % noise, at 67 TFLOP/s 978 ps.
constexpr const char* csv =
    "section,system,backend,kind,time [s],+-,rate [FLOP/s or B/s],of bound [1],vs measured [1],\"limit, library or "
    "reason\"\n"
    "gemm m=32 n=32 k=32 f32,h100-sxm,fake,measured,6.533216587485428e-08,0.9 "
    "%,1003119965830.2491,0.014971939788511182,,"
    "\"arithmetic at 1 TFLOP/s, noise of 1 %\"\n"
    "gemm m=32 n=32 k=32 f32,h100-sxm,roofline,bound,9.781492537313432e-10,,67000000000000,,66.79161245140438,"
    "compute: 65.5 kFLOP at 67.0 TFLOP/s f32\n"
    "gemm m=64 n=32 k=32 f32,h100-sxm,fake,measured,1.3124406692478486e-07,0.8 "
    "%,998688954641.405,0.014905805293155298,,"
    "\"arithmetic at 1 TFLOP/s, noise of 1 %\"\n"
    "gemm m=64 n=32 k=32 f32,h100-sxm,roofline,bound,1.9562985074626865e-09,,67000000000000,,67.0879553524825,"
    "compute: 131 kFLOP at 67.0 TFLOP/s f32\n";

constexpr const char* terminal =
    "system    backend   kind         time     +-          rate  of bound  vs measured  limit, library or reason\n"
    "\n"
    "gemm m=32 n=32 k=32 f32\n"
    "h100-sxm  fake      measured  65.3 ns  0.9 %  1.00 TFLOP/s       1 %               arithmetic at 1 TFLOP/s, noise "
    "of 1 %\n"
    "h100-sxm  roofline  bound      978 ps         67.0 TFLOP/s               <= 66.8x  compute: 65.5 kFLOP at 67.0 "
    "TFLOP/s f32\n"
    "\n"
    "gemm m=64 n=32 k=32 f32\n"
    "h100-sxm  fake      measured   131 ns  0.8 %   999 GFLOP/s       1 %               arithmetic at 1 TFLOP/s, noise "
    "of 1 %\n"
    "h100-sxm  roofline  bound     1.96 ns         67.0 TFLOP/s               <= 67.1x  compute: 131 kFLOP at 67.0 "
    "TFLOP/s f32\n";

const std::vector<std::string> formats{"terminal", "markdown", "csv", "json"};

void check_form(const std::string& format, const std::string& out) {
    CAPTURE(format);
    CAPTURE(out.substr(0, 300));
    CHECK(!out.empty());
    CHECK(out.back() == '\n');
    CHECK(out.find('\x1b') == std::string::npos);  // no colours into a file
    CHECK(out.find("nan") == std::string::npos);
    if (format == "json") CHECK(!nlohmann::json::parse(out)["rows"].empty());
    if (format == "markdown") CHECK(out.find("| --- |") != std::string::npos);
    if (format != "csv") return;
    std::size_t columns = 0, here = 1;
    bool quoted = false;
    for (const char c : out) {
        if (c == '"') quoted = !quoted;
        if (c == ',' && !quoted) ++here;
        if (c != '\n' || quoted) continue;
        if (columns == 0) columns = here;
        CHECK(here == columns);
        here = 1;
    }
}

}  // namespace

TEST_CASE("run prints this, to the letter") {
    const Sandbox box;
    box.write("e.toml", cli::small_experiment());
    CHECK(box.run({"run", "e.toml", "-o", "a.h5", "--format", "csv"}).out == csv);
    CHECK(box.run({"show", "a.h5", "--format", "csv"}).out == csv);
    CHECK(box.run({"show", "a.journal", "--format", "csv"}).out == csv);
    CHECK(box.run({"show", "a.h5"}).out == terminal);
    CHECK(box.run({"run", "e.toml", "-o", "b.h5"}).out == std::string(terminal) + "\n4 cases: 4 ok -> b.h5\n");
    CHECK(box.run({"check", "a.h5"}).out == "a.h5: complete and valid. 4 cases: 4 ok\n");
    cli::fs::remove(box / "a.h5");
    const Outcome rebuilt = box.run({"rebuild", "a.journal"});
    CHECK(rebuilt.code == 0);
    CHECK(rebuilt.out == "a.journal -> a.h5\n");
    CHECK(box.run({"show", "a.h5", "--format", "csv"}).out == csv);
    CHECK(box.run({"run", "e.toml", "-o", "q.h5", "-q"}).out.empty());
}

TEST_CASE("neither locale, nor time zone, nor rank environment changes a letter") {
    for (const char* locale : {"de_DE.UTF-8", "C", "xx_YY.nonsense", "tr_TR.UTF-8"}) {
        Sandbox box;
        box.environment = {{"LC_ALL", locale}, {"LANG", locale}, {"TZ", "Asia/Kathmandu"}, {"NO_COLOR", "1"}};
        box.write("e.toml", cli::small_experiment());
        CHECK(box.run({"run", "e.toml", "-o", "a.h5", "--format", "csv"}).out == csv);
        CHECK(box.run({"show", "a.h5"}).out == terminal);
    }
}

TEST_CASE("names in UTF-8 and with blanks are names") {
    const Sandbox box;
    box.write("Größe und Maß/проба 試し.toml", cli::small_experiment());
    const Outcome o = box.run({"run", "Größe und Maß/проба 試し.toml", "-o", "結果/über.h5", "--format", "csv"});
    CHECK(o.code == 0);
    CHECK(o.out == csv);
    CHECK(box.run({"check", "結果/über.h5"}).out == "結果/über.h5: complete and valid. 4 cases: 4 ok\n");
    CHECK(box.run({"run", "Größe und Maß/проба 試し.toml", "-q"}).code == 0);
    CHECK(box.run({"run", "Größe und Maß/проба 試し.toml", "--resume"}).err.find("Resuming: 4 of 4") !=
          std::string::npos);
}

TEST_CASE("plan, list, describe and show in four formats") {
    const Sandbox box;
    box.write("e.toml", cli::small_experiment());
    REQUIRE(box.run({"run", "e.toml", "-q", "-o", "a.h5"}).code == 0);
    const std::vector<std::vector<std::string>> calls{{"plan", "e.toml"},       {"list"},
                                                      {"list", "systems"},      {"list", "models"},
                                                      {"describe", "h100-sxm"}, {"describe", "wse2"},
                                                      {"describe", "gemm"},     {"describe", "gpt2"},
                                                      {"describe", "host"},     {"describe", "fake"},
                                                      {"show", "a.h5"},         {"show", "a.h5", "--wide"}};
    for (const std::string& format : formats)
        for (std::vector<std::string> call : calls) {
            CAPTURE(call.back());
            call.insert(call.end(), {"--format", format});
            const Outcome o = box.run(call);
            CHECK(o.code == 0);
            CHECK(o.err.empty());
            check_form(format, o.out);
        }
}

TEST_CASE("output that could not be written is exit 7, and the results are there all the same") {
    const Sandbox box;
    box.write("e.toml", cli::small_experiment());
    const auto full = [] { ::dup2(::open("/dev/full", O_WRONLY), 1); };
    const Outcome run = box.run({"run", "e.toml", "-o", "a.h5"}, full);
    CHECK(run.code == 7);
    CHECK(run.err.find(
              "waferbench: stdout: the output could not be written (what reads it would take a part for the whole).") !=
          std::string::npos);
    CHECK(box.run({"check", "a.h5"}).code == 0);
    for (const std::vector<std::string>& call :
         {std::vector<std::string>{"show", "a.h5"}, {"list"}, {"compare", "a.h5", "a.h5"}})
        CHECK(box.run(call, full).code == 7);
}

TEST_CASE("plan runs nothing and writes nothing") {
    const Sandbox box;
    box.write("e.toml", cli::small_experiment());
    const Outcome o = box.run({"plan", "e.toml"});
    CHECK(o.code == 0);
    CHECK(o.out.ends_with("\n4 cases, 0 of them skipped; about 602 ms in all. Nothing was run.\n"));
    CHECK(std::distance(cli::fs::directory_iterator(box.path()), {}) == 1);
}

TEST_CASE("axes: range, zip, exclude, filter, and --set over all of them") {
    const Sandbox box;
    box.write("e.toml", cli::small_experiment());
    const auto cases = [&](std::vector<std::string> more) {
        more.insert(more.begin(), {"plan", "e.toml", "--format", "csv"});
        const Outcome o = box.run(more);
        CAPTURE(o.err);
        CHECK(o.code == 0);
        std::string labels;
        for (std::size_t at = o.out.find('\n') + 1; at < o.out.size(); at = o.out.find('\n', at) + 1)
            labels += o.out.substr(at, o.out.find(',', at) - at) + ";";
        return labels;
    };
    const std::string fake = "--filter";
    CHECK(cases({fake, "fake", "--set", "workload.0.m=\"range(8, 70, x2)\""}) ==
          "gemm m=8 n=32 k=32 f32;gemm m=16 n=32 k=32 f32;gemm m=32 n=32 k=32 f32;gemm m=64 n=32 k=32 f32;");
    CHECK(cases({fake, "fake", "--set", "workload.0.m=[\"range(1, 5, +2)\", 100]"}) ==
          "gemm m=1 n=32 k=32 f32;gemm m=3 n=32 k=32 f32;gemm m=5 n=32 k=32 f32;gemm m=100 n=32 k=32 f32;");
    CHECK(cases({fake, "fake", "--set", "workload.0.n=[7, 9]"}) ==
          "gemm m=32 n=7 k=32 f32;gemm m=32 n=9 k=32 f32;gemm m=64 n=7 k=32 f32;gemm m=64 n=9 k=32 f32;");
    CHECK(cases({fake, "fake", "--set", "workload.0.n=[7, 9]", "--set", "workload.0.zip=[\"m\", \"n\"]"}) ==
          "gemm m=32 n=7 k=32 f32;gemm m=64 n=9 k=32 f32;");
    CHECK(cases({fake, "fake", "--set", "workload.0.n=[7, 9]", "--set",
                 "workload.0.exclude=[{m = 32, n = 9}, {m = 64, n = 7}]"}) ==
          "gemm m=32 n=7 k=32 f32;gemm m=64 n=9 k=32 f32;");
    CHECK(cases({fake, "roofline m=64"}) == "gemm m=64 n=32 k=32 f32;");
    CHECK(cases({fake, "-roofline -m=64"}) == "gemm m=32 n=32 k=32 f32;");
    CHECK(cases({fake, "fake", "--set", "system.0.gpus=[1, 2, 8]", "--set", "workload.0.m=5"}) ==
          "gemm m=5 n=32 k=32 f32;gemm m=5 n=32 k=32 f32;gemm m=5 n=32 k=32 f32;");
    CHECK(cases({fake, "fake", "--set", "workload.0.dtype=[\"f32\", \"16-bit\"]", "--set", "workload.0.m=5"}) ==
          "gemm m=5 n=32 k=32 f32;gemm m=5 n=32 k=32 16-bit;");
    const Outcome uneven =
        box.run({"plan", "e.toml", "--set", "workload.0.n=[7, 9, 11]", "--set", "workload.0.zip=[\"m\", \"n\"]"});
    CHECK(uneven.code == 1);
    CHECK(uneven.err.find("zip joins 2 values of m with 3 of n (they step together).\n") != std::string::npos);
}

TEST_CASE("a folder of one's own is searched first, for systems, models and experiments") {
    const Sandbox box;
    std::string file = cli::slurp(cli::fs::path(WB_SOURCE_DIR) / "configs/systems/h100-sxm.toml");
    box.write("mine/systems/h100-sxm.toml", "# mine\n" + file.replace(file.find("67 TFLOP/s"), 2, "34"));
    box.write("mine/systems/my-gpu.toml", file);
    box.write("mine/models/my-model/config.json",
              cli::slurp(cli::fs::path(WB_SOURCE_DIR) / "configs/models/tiny-gpt2/config.json"));
    box.write("mine/experiments/my-sweep.toml", cli::small_experiment() + R"([[workload]]
use = "prefill"
model = "my-model"
seq = 16
[[system]]
use = "my-gpu"
backends = ["roofline"]
)");
    const Outcome o = box.run({"run", "my-sweep", "--configs", "mine", "--format", "csv", "--filter", "roofline"});
    CAPTURE(o.err);
    CHECK(o.code == 0);
    CHECK(o.out.find("at 34.0 TFLOP/s f32") != std::string::npos);
    CHECK(o.out.find("prefill my-model seq=16") != std::string::npos);
    const Outcome list = box.run({"list", "--configs", "mine", "--format", "csv"});
    for (const char* name : {"my-gpu", "my-model", "my-sweep", "h200-sxm", "gpt2", "quick"})
        CHECK(list.out.find(name) != std::string::npos);
    CHECK(box.run({"run", "my-sweep"}).code == 1);
}
