#include <doctest/doctest.h>

#include <csignal>
#include <nlohmann/json.hpp>

#include "tests/cli/sandbox.hpp"

namespace {

using cli::Outcome;
using cli::Sandbox;

const std::string header = "id,system,workload,params,metric,value,unit,group,quality,source,locator\n";

/// Two products on the fake clock (1 TFLOP/s less up to 2 %, so within 3 %): 2 GFLOP in 2 ms, and one told 50 % slow.
std::string two_products() {
    return header +
           "P1,h100-sxm,gemm,m=1000;n=1000;k=1000;dtype=fp16,time,0.002,s,mine,raw,a paper,table 1\n"
           "P2,h100-sxm,gemm,m=1000;n=1000;k=2000;dtype=fp16,time,0.008,s,mine,raw,a paper,table 1\n"
           "P3,h100-sxm,pipeline,stage=init,time,5,s,stages,claim,a paper,table 2\n";
}

std::vector<std::string> validate(const std::vector<std::string>& more) {
    std::vector<std::string> all{"validate", "--points", "p.csv", "--points-only", "--backend", "fake"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
}

std::vector<std::string> lines(const std::string& text) {
    std::vector<std::string> out{""};
    for (char c : text)
        if (c == '\n')
            out.emplace_back();
        else
            out.back() += c;
    out.pop_back();
    return out;
}

}  // namespace

TEST_CASE("validate: a table, a row per point, the errors by group, and a results file") {
    const Sandbox box;
    box.write("p.csv", two_products());
    const Outcome o = box.run(validate({"--csv", "rows.csv", "--json", "e.json", "--out", "v.h5"}));
    CAPTURE(o.err);
    CHECK(o.code == 0);
    CHECK(o.says("by group"));
    CHECK(o.says("by family"));
    CHECK(o.says("P3     pipeline: the row does not say \"model\""));
    const std::vector<std::string> rows = lines(box.read("rows.csv"));
    REQUIRE(rows.size() == 4);
    CHECK(rows[0] + "\n" == header.substr(0, header.size() - 1) + ",backend,predicted,ratio,reason\n");
    CHECK(rows[1].starts_with(
        "P1,h100-sxm,gemm,m=1000;n=1000;k=1000;dtype=fp16,time,0.002,s,mine,raw,a paper,table 1,fake,0.00"));
    CHECK(rows[3] ==
          "P3,h100-sxm,pipeline,stage=init,time,5,s,stages,claim,a paper,table 2,fake,,,"
          "the row does not say 'model'");
    const auto json = nlohmann::json::parse(box.read("e.json"));
    REQUIRE(json["groups"].size() == 2);
    const auto& group = json["groups"][0];
    CHECK(group["name"] == "mine");
    CHECK(group["family"] == "gemm");
    CHECK(group["backend"] == "fake");
    CHECK(group["n"] == 2);
    CHECK(group["predicted"] == 2);
    CHECK(group["worst_abs_error"].get<double>() == doctest::Approx(0.5).epsilon(0.03));
    CHECK(group["median_abs_error"].get<double>() == doctest::Approx(0.25).epsilon(0.06));
    CHECK(group["bias"].get<double>() == doctest::Approx(-0.25).epsilon(0.06));
    CHECK(group["rank_correlation"].is_null());  // two rows
    CHECK(json["groups"][1]["median_abs_error"].is_null());
    CHECK(box.run({"check", "v.h5"}).out ==
          "v.h5: complete and valid. 3 predictions of published measurements in 2 "
          "groups.\n");
}

TEST_CASE("validate: filters, and what they do not find") {
    const Sandbox box;
    box.write("p.csv", two_products());
    CHECK(lines(box.run(validate({"--group", "st*", "--csv", "r.csv"})).out).size() > 3);
    CHECK(lines(box.read("r.csv")).size() == 2);
    const std::vector<std::pair<std::vector<std::string>, std::string>> mistakes{
        {{"--group", "min"},
         "waferbench: --group: no point has the group \"min\" (there is nothing to judge). Did you mean \"mine\"?\n"},
        {{"--system", "h100"}, "waferbench: --system: no point has the system \"h100\""},
        {{"--workload", "gem"}, "waferbench: --workload: no point has the workload \"gem\""},
        {{"--backend", "fak"}, "waferbench: --backend: there is no backend \"fak\". Did you mean \"fake\"?\n"},
        {{"--budget", "5"}, "waferbench: --budget: \"5\" has no unit (a time is in seconds). Write \"5 s\".\n"},
        {{"--points", "q.csv"},
         "waferbench: q.csv: cannot be opened (it should hold published measurements). Check the path.\n"},
        {{"--csv", "nowhere/r.csv"}, "waferbench: nowhere/r.csv: cannot create "}};
    for (const auto& [typed, line] : mistakes) {
        const Outcome o = box.run(validate(typed));
        CAPTURE(line);
        CAPTURE(o.err);
        CHECK(o.code == (typed[0] == "--csv" ? 7 : 1));
        CHECK(o.err.starts_with(line));
    }
}

TEST_CASE("validate: a bad row is refused with its line, and nothing is written") {
    const Sandbox box;
    const std::string good = two_products();
    const auto broken = [&](const std::string& from, const std::string& to) {
        std::string out = good;
        return out.replace(out.find(from), from.size(), to);
    };
    const std::vector<std::pair<std::string, std::string>> mistakes{
        {broken("h100-sxm,gemm", "h100-sx,gemm"),
         "p.csv:2: unknown system \"h100-sx\" (its figures are not in configs/systems). Did you mean \"h100-sxm\"?\n"},
        {broken("gemm", "gem"),
         "p.csv:2: unknown workload \"gem\" (it belongs to no family). Did you mean \"gemm\"?\n"},
        {broken("time", "tme"), "p.csv:2: unknown metric \"tme\" (what was measured is not known). "},
        {broken(",s,", ",h,"),
         "p.csv:2: unknown unit \"h\" for time (it is in s, in SI). Convert it and write \"s\".\n"},
        {broken("0.002", "nan"), "p.csv:2: value \"nan\" is not finite (an error relative to it would mean nothing). "},
        {broken("a paper,", ""), "p.csv:2: has 10 columns instead of 11 "},
        {"id,system\n", "p.csv:1: is not the header of a file of points "},
    };
    for (const auto& [text, line] : mistakes) {
        box.write("p.csv", text);
        const Outcome o = box.run(validate({"--csv", "r.csv"}));
        CAPTURE(o.err);
        CHECK(o.code == 1);
        CHECK(o.err.starts_with("waferbench: " + line));
        CHECK(lines(o.err).size() == 1);
        CHECK(!cli::fs::exists(box / "r.csv"));
    }
}

TEST_CASE("validate: a gate that is exceeded is a sentence and exit code 2") {
    const Sandbox box;
    cli::fs::create_directories(box / "my/validation");
    box.write("my/validation/mine.csv", two_products());
    const auto gate = [&](const std::string& limit) {
        box.write("my/validation/gates.toml",
                  "[[gate]]\ngroup = \"mine\"\nbackend = \"fake\"\nmedian = \"" + limit + "\"\n");
        return box.run({"--configs", "my", "validate", "--group", "mine", "--backend", "fake"});
    };
    CHECK(gate("30 %").code == 0);
    const Outcome o = gate("20 %");
    CHECK(o.code == 2);
    CHECK(o.says("gates.toml:1:1: the median error of mine on fake is 2"));
    CHECK(o.says("% (the gate allows 20.00 %).\n"));
    box.write("my/validation/gates.toml", "[[gate]]\ngroup = \"mine\"\nbackend = \"fake\"\nmedium = \"20 %\"\n");
    const Outcome typo = box.run({"--configs", "my", "validate", "--group", "mine", "--backend", "fake"});
    CHECK(typo.code == 1);
    CHECK(typo.says("gates.toml:4:1: unknown key \"medium\""));
    CHECK(typo.says("Did you mean \"median\"?"));
}

TEST_CASE("validate: interrupted, it leaves no file; help has examples") {
    const Sandbox box;
    std::string many = header;
    for (int i = 0; i < 20000; ++i)
        many += "P" + std::to_string(i) + ",h100-sxm,gemm,m=" + std::to_string(100 + i) +
                ";n=100;k=100;dtype=fp16,time,0.002,s,mine,raw,a paper,table 1\n";
    box.write("p.csv", many);
    cli::Child child = box.start(validate({"--csv", "r.csv", "--quiet"}));
    usleep(300000);
    child.send(SIGINT);
    const Outcome o = child.wait();
    CAPTURE(o.err);
    CHECK(o.code == 130);
    CHECK(o.says(" of 20000 points (nothing was written).\n"));
    CHECK(!cli::fs::exists(box / "r.csv"));
    const Outcome help = box.run({"validate", "--help"});
    CHECK(help.code == 0);
    CHECK(help.says("waferbench validate --points mine.csv --csv rows.csv"));
    CHECK(box.run({"fit", "--help"}).says("Exit codes:"));
}

TEST_CASE("fit: values go into the system file in place, and a second fit finds them there") {
    const Sandbox box;
    const std::string configs = std::string(WB_SOURCE_DIR) + "/configs";
    cli::fs::create_directories(box / "my/systems");
    cli::fs::create_directories(box / "my/validation");
    const std::string before = cli::slurp(configs + "/systems/wse2.toml");
    box.write("my/systems/wse2.toml", before);
    const std::string fits = cli::slurp(configs + "/validation/fits.toml");
    const std::size_t first = fits.find("[[fit]]");
    box.write("my/validation/fits.toml", fits.substr(first, fits.find("[[fit]]", first + 1) - first));
    const Outcome o = box.run({"--configs", "my", "fit", "wse2", "--write"});
    CAPTURE(o.err);
    CHECK(o.says("left out:"));
    CHECK(o.says("wrote my/systems/wse2.toml\n"));
    const std::vector<std::string> a = lines(before), b = lines(box.read("my/systems/wse2.toml"));
    REQUIRE(a.size() == b.size());
    std::size_t changed = 0;
    for (std::size_t i = 0; i < a.size(); ++i) changed += a[i] != b[i];
    CHECK(changed <= 4);  // the constants of that fit
    const Outcome again = box.run({"--configs", "my", "fit", "wse2"});
    CHECK(again.says("as stored:"));
    const Outcome unknown = box.run({"fit", "wse22"});
    CHECK(unknown.code == 1);
    CHECK(unknown.err == "waferbench: fit: there is no system \"wse22\". Did you mean \"wse2\"?\n");
}
