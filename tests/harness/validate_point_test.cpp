#include <doctest/doctest.h>

#include <cmath>
#include <fstream>

#include "core/error.hpp"
#include "core/measurement.hpp"
#include "harness/result_file.hpp"
#include "harness/validate/fitter.hpp"
#include "harness/validate/point_file.hpp"
#include "tests/temp_folder.hpp"

using namespace wb;

namespace {

const std::string row = "A1,big-wafer,gemm,m=64;n=32;k=16;dtype=fp16,time,0.001,s,some-group,raw,a paper,table 1";

std::string with(const std::string& from, const std::string& to) {
    std::string out = row;
    return out.replace(out.find(from), from.size(), to);
}

std::string write(const Folder& folder, const std::string& text) {
    const std::string path = (folder.path / "p.csv").string();
    std::ofstream(path) << text;
    return path;
}

std::string problem(const std::string& text) {
    const Folder folder;
    try {
        read_points(write(folder, text), {"big-wafer", "small-wafer"});
    } catch (const Error& e) {
        const std::string what = e.what();
        return what.substr(what.find("p.csv"));
    }
    return "";
}

std::string with_header(const std::string& line) { return std::string(point_columns) + "\n" + line + "\n"; }

}  // namespace

TEST_CASE("a row is read whole, with its place") {
    const Folder folder;
    const std::string path = write(folder, with_header(row) + "\r\n");
    const std::vector<Point> points = read_points(path, {"big-wafer"});
    REQUIRE(points.size() == 1);
    const Point& p = points.front();
    CHECK(p.id == "A1");
    CHECK(p.value == 0.001);
    CHECK(p.integer("n") == 32);
    CHECK(p.word("dtype") == "fp16");
    CHECK(p.integer_or("gpus", 7) == 7);
    CHECK(p.place == path + ":2");
    CHECK(p.sense() == Sense::time);
    CHECK_THROWS_WITH_AS(p.integer("tile"), "the row does not say \"tile\".", Error);
    CHECK_THROWS_AS(p.integer("dtype"), Error);
}

TEST_CASE("each mistake in a file of points is one sentence with its line") {
    const std::vector<std::pair<std::string, std::string>> mistakes{
        {with("big-wafer", "big-wafr"),
         "p.csv:2: unknown system \"big-wafr\" (its figures are not in configs/systems). Did you mean \"big-wafer\"?"},
        {with("gemm", "gem"), "p.csv:2: unknown workload \"gem\" (it belongs to no family). Did you mean \"gemm\"?"},
        {with("time", "tiem"),
         "p.csv:2: unknown metric \"tiem\" (what was measured is not known). Did you mean \"time\"?"},
        {with(",s,", ",ms,"), "p.csv:2: unknown unit \"ms\" for time (it is in s, in SI). Convert it and write \"s\"."},
        {with("raw", "rough"), "p.csv:2: unknown quality \"rough\" (how far to trust it is not known)."},
        {with("0.001", "nan"),
         "p.csv:2: value \"nan\" is not finite (an error relative to it would mean nothing). Leave the row out."},
        {with("0.001", "inf"),
         "p.csv:2: value \"inf\" is not finite (an error relative to it would mean nothing). Leave the row out."},
        {with("0.001", "1e999"),
         "p.csv:2: value \"1e999\" is not finite (an error relative to it would mean nothing). Leave the row out."},
        {with("0.001", "fast"),
         "p.csv:2: value \"fast\" is no number (values are plain decimals in SI). Write 0.0000012 or 1.2e-6."},
        {with("0.001", ""),
         "p.csv:2: value \"\" is no number (values are plain decimals in SI). Write 0.0000012 or 1.2e-6."},
        {with("0.001", "0"), "p.csv:2: value 0 is not positive (a time is)."},
        {with("0.001", "-1"), "p.csv:2: value -1 is not positive (a time is)."},
        {with("m=64", "m=many"), "p.csv:2: m is \"many\" (it must be a finite number, 0 or more)."},
        {with("m=64", "m=nan"), "p.csv:2: m is \"nan\" (it must be a finite number, 0 or more)."},
        {with("m=64", "m=64;m=65"), "p.csv:2: params hold \"m\" twice (only one of them can be true)."},
        {with("m=64", "m"),
         "p.csv:2: \"m\" in params is no key=value (params are key=value;key=value). "
         "Leave out what is not known."},
        {with(",table 1", ""),
         "p.csv:2: has 10 columns instead of 11 (columns are parted by commas, and no cell holds "
         "one). They are id,system,workload,params,metric,value,unit,group,quality,source,locator."},
        {row + ",more", "p.csv:2: has 12 columns instead of 11"},
        {with("A1", ""), "p.csv:2: id is empty (errors are told by it)."},
        {with("some-group", ""), "p.csv:2: group is empty (errors are told by it)."}};
    for (const auto& [line, sentence] : mistakes) {
        CAPTURE(line);
        CHECK(problem(with_header(line)).starts_with(sentence));
    }
    CHECK(problem(row + "\n").starts_with("p.csv:1: is not the header of a file of points"));
    CHECK(problem(std::string(point_columns) + "\n") == "p.csv: holds no rows (there is nothing to judge).");
    CHECK(problem("") == "p.csv: holds no rows (there is nothing to judge).");
    CHECK_THROWS_WITH_AS(read_points("/nowhere/p.csv", {}),
                         "/nowhere/p.csv: cannot be opened (it should hold published measurements). Check the path.",
                         Error);
}

TEST_CASE("a later file replaces rows of the same id; those it replaces still count for gates") {
    const Folder folder;
    const Files files({std::string(WB_SOURCE_DIR) + "/configs"});
    const std::vector<Point> shipped = read_all_points(files, {});
    REQUIRE(shipped.size() > 400);
    const Point& first = shipped.front();
    const std::string mine = first.id + "," + first.system + ",gemm,m=1;n=1;k=1,time,42,s,mine,raw,a,b\nNEW," +
                             first.system + ",gemm,m=1;n=1;k=1,time,43,s,mine,raw,a,b";
    const std::string path = write(folder, with_header(mine));
    const std::vector<Point> all = read_all_points(files, {path});
    CHECK(all.size() == shipped.size() + 1);
    CHECK(all.front().value == 42);
    CHECK(all.front().shipped);
    CHECK(all.back().id == "NEW");
    CHECK_FALSE(all.back().shipped);
    CHECK(read_all_points(files, {path}, true).size() == 2);
}

TEST_CASE("every metric has a unit, and every family a name") {
    for (const Metric& m : all_metrics()) CHECK(find_metric(m.name) == &m);
    CHECK(find_metric("speed") == nullptr);
    CHECK(family_of_workload("gemv") == "gemm");
    CHECK(family_of_workload("train") == "train_step");
    CHECK(family_of_workload("decode") == "decode");
}

namespace {

Result measured(const std::string& system, const std::string& workload, const std::string& params, double seconds) {
    Result r;
    r.workload = workload;
    r.params = params;
    r.system = system;
    r.backend = "cuda";
    r.key = r.m.key = workload + " " + params + " | " + system + " | cuda";
    r.label = workload;
    r.m.mapping = "1";
    r.m.detail = "cuBLASLt, launched from the host";
    r.m.samples_s = {seconds, 2 * seconds, seconds};
    return r;
}

std::string gemm(std::int64_t m, std::int64_t n) {
    return "m=" + std::to_string(m) + " n=" + std::to_string(n) +
           " k=4096 batch=1 trans_a=false trans_b=true dtype=16-bit";
}

}  // namespace

TEST_CASE("a results file is a file of points: the measured cases of machines that are known, asked as they were run") {
    const Folder folder;
    const std::string path = (folder.path / "gpu.h5").string();
    ResultSet set;
    set.results = {measured("h200-sxm", "gemm", gemm(4096, 8192), 4e-4), measured("host", "gemm", gemm(64, 64), 1e-3),
                   measured("h200-sxm", "gemm", gemm(512, 8192), 1e-4)};
    set.results[2].m.kind = Kind::modelled;
    write_results(path, set);
    const std::vector<Point> points = read_points(path, {"h200-sxm"});
    REQUIRE(points.size() == 1);
    const Point& p = points.front();
    CHECK(p.group == "run-h200-sxm-gemm");
    CHECK(p.value == 4e-4);
    CHECK(p.id == read_points(path, {"h200-sxm"}).front().id);
    CHECK(p.locator.find(',') == std::string::npos);

    const Files files({std::string(WB_SOURCE_DIR) + "/configs"});
    SystemBook systems(files);
    CaseMaker make(files, systems, read_conditions(files));
    const Question q = question_of(p, make);
    REQUIRE(q.reason == "");
    CHECK(q.terms.front().c.params.flag("trans_b"));
    CHECK(q.terms.front().c.graph->flops().si() == 2.0 * 4096 * 8192 * 4096);

    set.results = {measured("host", "gemm", gemm(64, 64), 1e-3)};
    write_results(path, set);
    CHECK_THROWS_WITH_AS(read_points(path, {"h200-sxm"}),
                         doctest::Contains("holds no measured case of a machine in configs/systems"), Error);
}

TEST_CASE("constants that fit a machine are found from a file of what was run on it") {
    const Files files({std::string(WB_SOURCE_DIR) + "/configs"});
    const BackendSet backends;
    const auto alone = single_process();
    SystemBook systems(files);
    CaseMaker make(files, systems, read_conditions(files));
    Predictor predictor(backends, *alone, {}, {1});
    const std::vector<FitSpec> fits = read_fits(files);
    const auto spec =
        std::find_if(fits.begin(), fits.end(), [](const FitSpec& f) { return f.name == "products run on H200"; });
    REQUIRE(spec != fits.end());
    const auto write_run = [&](const std::string& path) {
        ResultSet set;
        for (const auto& [m, n] :
             {std::pair{4096, 8192}, {512, 8192}, {16, 8192}, {1, 16384}, {200, 300}, {2000, 3000}})
            set.results.push_back(measured("h200-sxm", "gemm", gemm(m, n), 1));
        write_results(path, set);
        const std::vector<Point> points = read_points(path, {"h200-sxm"});
        for (std::size_t i = 0; i < points.size(); ++i)
            set.results[i].m.samples_s = {predictor.predict(question_of(points[i], make), "cluster", points).value};
        write_results(path, set);
    };
    const Folder folder;
    const std::string path = (folder.path / "gpu.h5").string();
    const ConstantName loss = spec->constants[0].in("h200-sxm"), memory = spec->constants[1].in("h200-sxm");
    systems.replace(loss, 1.1);
    systems.replace(memory, 0.6);
    write_run(path);
    systems.restore();
    predictor.forget();
    const std::vector<Point> points = read_points(path, {"h200-sxm"}), none;
    CHECK_FALSE(Fitter(systems, make, predictor, none, [] {}).decided(*spec));
    Fitter fitter(systems, make, predictor, points, [] {});
    REQUIRE(fitter.decided(*spec));
    const FitResult r = fitter.run(*spec);
    CHECK(r.as_stored.median > 0.05);
    CHECK(r.in_sample.worst < 0.01);
    CHECK(r.fitted[0] == doctest::Approx(1.1).epsilon(0.05).scale(0));
    CHECK(r.fitted[1] == doctest::Approx(0.6).epsilon(0.02).scale(0));
}
