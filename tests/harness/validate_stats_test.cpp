#include <doctest/doctest.h>

#include <rapidcheck.h>
#include <cmath>
#include <fstream>

#include "core/error.hpp"
#include "harness/validate/bands.hpp"
#include "harness/validate/error_summary.hpp"
#include "harness/validate/gates.hpp"
#include "harness/validate/minimise.hpp"
#include "harness/validate/toml_edit.hpp"
#include "tests/temp_folder.hpp"

using namespace wb;

namespace {

Point point(const std::string& id, const std::string& metric, double value, const std::string& group = "g") {
    Point p;
    p.id = id;
    p.metric = metric;
    p.value = value;
    p.group = group;
    p.workload = "decode";
    p.shipped = true;
    return p;
}

Judged judged(const Point& p, double predicted, const std::string& backend = "b") {
    return {&p, backend, {true, predicted, ""}};
}

}  // namespace

TEST_CASE("errors of a group: hand-worked") {
    const std::vector<Point> points{point("a", "time", 1), point("b", "time", 2), point("c", "time", 4),
                                    point("d", "time", 8)};
    std::vector<Judged> rows{judged(points[0], 1.1),
                             judged(points[1], 1.8),
                             judged(points[2], 6),
                             {&points[3], "b", {false, 0, "too large"}}};
    const std::vector<ErrorSummary> groups = summarise_groups(rows);
    REQUIRE(groups.size() == 1);
    const ErrorSummary& s = groups.front();
    CHECK(s.n == 4);
    CHECK(s.predicted == 3);
    CHECK(s.coverage() == doctest::Approx(0.75));
    CHECK(s.median == doctest::Approx(0.1));  // 0.1, 0.1, 0.5
    CHECK(s.p90 == doctest::Approx(0.42));
    CHECK(s.worst == doctest::Approx(0.5));
    CHECK(s.worst_id == "c");
    CHECK(s.bias == doctest::Approx(0.1));  // +0.1, -0.1, +0.5
    CHECK(s.rank_correlation == doctest::Approx(1));
}

TEST_CASE("nothing predicted is no error of zero") {
    const Point p = point("a", "time", 1);
    const ErrorSummary s = summarise_groups({{&p, "b", {false, 0, "no"}}}).front();
    CHECK(s.predicted == 0);
    CHECK(std::isnan(s.median));
    CHECK(std::isnan(s.worst));
    CHECK(std::isnan(s.rank_correlation));
}

TEST_CASE("a factor of time is measured over predicted, also where the metric is a rate") {
    const Point slow = point("a", "time", 2), fast = point("b", "tokens_per_s", 50),
                ratio = point("c", "energy_ratio", 3);
    CHECK(judged(slow, 1).time_factor() == doctest::Approx(2));
    CHECK(judged(fast, 100).time_factor() == doctest::Approx(2));  // it took twice as long as predicted
    CHECK(std::isnan(judged(ratio, 3).time_factor()));
}

TEST_CASE("rank correlation: hand-worked, ties, and too few") {
    const std::vector<double> a{1, 2, 3, 4, 5}, b{5, 6, 7, 8, 7};
    CHECK(rank_correlation(a, b) == doctest::Approx(0.8207826817));  // the example of SciPy's spearmanr
    CHECK(rank_correlation(a, std::vector<double>{10, 8, 6, 4, 2}) == doctest::Approx(-1));
    CHECK(std::isnan(rank_correlation(a, std::vector<double>{1, 1, 1, 1, 1})));
    CHECK(std::isnan(rank_correlation(std::vector<double>{1, 2}, std::vector<double>{1, 2})));
    rc::check("a monotone change of either side changes nothing", [] {
        const auto x = *rc::gen::container<std::vector<double>>(
            6, rc::gen::map(rc::gen::inRange(1, 50), [](int i) { return i * 0.5; }));
        const auto y = *rc::gen::container<std::vector<double>>(
            6, rc::gen::map(rc::gen::inRange(1, 50), [](int i) { return i * 2.0; }));
        std::vector<double> z;
        for (double v : y) z.push_back(std::exp(v / 10));
        const double r = rank_correlation(x, y), t = rank_correlation(x, z);
        RC_ASSERT((std::isnan(r) && std::isnan(t)) || std::abs(r - t) < 1e-12);
    });
}

namespace {

/// Systems s0, s1, ... with 11 rows each of a family, factors around `middle`.
void add_samples(std::vector<BandSample>& to, const std::string& family, int systems, double middle, double step) {
    for (int s = 0; s < systems; ++s)
        for (int i = 0; i <= 10; ++i)
            to.push_back(
                {"m", "wafer", family, "g" + std::to_string(s), "s" + std::to_string(s), middle + step * (i - 5)});
}

}  // namespace

TEST_CASE("bands: percentiles of their own family, else of the nearest parent, marked") {
    std::vector<BandSample> samples;
    for (int i = 0; i <= 10; ++i)
        samples.push_back({"m", "wafer", "decode", i < 5 ? "x" : "y", i < 8 ? "s" : "t", 0.9 + 0.02 * i});
    for (int i = 0; i < 3; ++i) samples.push_back({"m", "wafer", "prefill", "z", "s", 3.0});
    const Bands bands = derive_bands(samples);
    const auto own = bands.of("m", "s", SystemKind::wafer, "decode");
    REQUIRE(own);
    CHECK(own->low == doctest::Approx(0.92));
    CHECK(own->high == doctest::Approx(1.08));
    CHECK(own->source == "11 published rows of 2 groups");
    const auto few = bands.of("m", "s", SystemKind::wafer, "prefill");  // three rows are too few
    REQUIRE(few);
    CHECK(few->source == "extrapolated from 14 published rows (wafer systems, any family)");
    const auto other = bands.of("m", "s", SystemKind::cluster, "decode");
    REQUIRE(other);
    CHECK(other->source == "unseen system, extrapolated from 11 published rows (any systems, decode family)");
    CHECK_FALSE(bands.of("nobody", "s", SystemKind::wafer, "decode"));
}

TEST_CASE("a system that was judged has its family's band; one that was not, the wider one of unseen systems") {
    std::vector<BandSample> seen, unseen;
    add_samples(seen, "decode", 3, 1, 0.01);
    add_samples(seen, "prefill", 2, 1, 0.02);
    add_samples(seen, "train_step", 1, 1, 0.002);
    add_samples(unseen, "decode", 3, 1.2, 0.1);
    add_samples(unseen, "train_step", 2, 1, 0.001);
    seen.push_back({"m", "wafer", "decode", "g", "two rows", 1.0});
    seen.push_back({"m", "wafer", "decode", "g", "two rows", 1.0});
    const Bands bands = derive_bands(seen, unseen);
    const auto of = [&](const char* system, const char* family) {
        return bands.of("m", system, SystemKind::wafer, family).value();
    };
    CHECK_FALSE(is_unseen(of("s2", "decode")));
    CHECK_FALSE(is_extrapolated(of("s2", "decode")));
    for (const char* nobody : {"new", "two rows"}) {  // fewer than three rows judge nothing
        CAPTURE(nobody);
        const Band wide = of(nobody, "decode");
        CHECK(is_unseen(wide));
        CHECK_FALSE(is_extrapolated(wide));
        CHECK(wide.low < of("s2", "decode").low - 0.1);
        CHECK(wide.high > of("s2", "decode").high + 0.3);
        CHECK(wide.source == "unseen system: 33 predictions of 3 systems by constants of others");
    }
    // Judged in half of the three families, s1 is no stranger in the third; s2, judged in one, is.
    CHECK(is_extrapolated(of("s1", "train_step")));
    CHECK_FALSE(is_unseen(of("s1", "train_step")));
    CHECK(is_unseen(of("s2", "train_step")));
    // Never narrower than what judged systems get, even where the systems left out happened to agree.
    CHECK(of("new", "train_step").low <= of("s0", "train_step").low);
    CHECK(of("new", "train_step").high >= of("s0", "train_step").high);
    CHECK(is_extrapolated(of("new", "prefill")));  // no unseen rows of that family: those of all
    CHECK(is_unseen(of("new", "prefill")));
    CHECK(of("new", "prefill").high > of("s0", "prefill").high);
}

TEST_CASE("each unseen system weighs the same, however many rows it has") {
    std::vector<BandSample> unseen;
    for (int i = 0; i < 1000; ++i) unseen.push_back({"m", "wafer", "decode", "g", "many", 1.0});
    for (int i = 0; i < 2; ++i) unseen.push_back({"m", "wafer", "decode", "g", "few", 2.0});
    std::vector<BandSample> seen;
    add_samples(seen, "decode", 1, 1, 0);
    const Band b = derive_bands(seen, unseen).of("m", "new", SystemKind::wafer, "decode").value();
    CHECK(b.low == 1);
    CHECK(b.high == 2);  // half of the weight
    unseen.resize(3);    // too few rows
    CHECK(derive_bands(seen, unseen).unseen().empty());
}

TEST_CASE("the band of parts: weighed, and as weak as a tenth of it") {
    const Band good{0.9, 1.1, "rows"}, unseen{0.5, 2, "unseen system: rows"}, far{0.8, 1.2, "extrapolated from rows"};
    const Band half = joined({{1, good}, {1, unseen}});
    CHECK(half.low == doctest::Approx(0.7).epsilon(1e-9).scale(0));
    CHECK(half.high == doctest::Approx(1.55).epsilon(1e-9).scale(0));
    CHECK(is_unseen(half));
    CHECK_FALSE(is_extrapolated(half));
    CHECK_FALSE(is_unseen(joined({{95, good}, {5, unseen}})));
    const Band both = joined({{1, far}, {1, unseen}});
    CHECK(is_unseen(both));
    CHECK(is_extrapolated(both));
    CHECK(is_extrapolated(joined({{1, far}, {1, good}})));
    CHECK(joined({}).source.empty());
}

TEST_CASE("bands are read as they were written") {
    const Folder folder;
    std::filesystem::create_directories(folder.path / "validation");
    const std::string path = (folder.path / "validation/bands.toml").string();
    const Bands bands({{"m", "wafer", "decode", 0.9, 1.1, 12, 3, {"a", "b"}}, {"m", "any", "any", 0.5, 2, 20, 5, {}}},
                      {{"m", "wafer", "decode", 0.7, 1.6, 30, 4}});
    std::ofstream(path) << bands.toml();
    const Bands again = Bands::read(Files({folder.path.string()}));
    REQUIRE(again.rows().size() == 2);
    CHECK(again.toml() == bands.toml());
    CHECK(again.of("m", "b", SystemKind::wafer, "decode")->low == 0.9);
    CHECK(again.of("m", "c", SystemKind::wafer, "decode")->low == 0.7);
    std::ofstream(path) << "[[band]]\nbackend = \"m\"\nsystems = \"wafer\"\nfamily = \"any\"\nlow = 2\nhigh = 1\nrows "
                           "= 1\ngroups = 1\n";
    CHECK_THROWS_WITH_AS(Bands::read(Files({folder.path.string()})),
                         (path + ":5:7: 2 to 1 is no band (factors rise from low to high).").c_str(), Error);
    CHECK(Bands::read(Files({"/nowhere"})).rows().empty());
}

TEST_CASE("gates: just under holds, just over is a sentence") {
    const std::vector<Point> points{point("a", "time", 1), point("b", "time", 1), point("c", "time", 1)};
    const std::vector<Judged> rows{judged(points[0], 1.1), judged(points[1], 1.2), {&points[2], "b", {false, 0, "no"}}};
    Gate g;
    g.family = "decode";
    g.backend = "b";
    g.where = "gates.toml:1:1";
    g.median = 0.151;
    g.worst = 0.201;
    g.coverage = 0.66;
    const BackendSet backends;
    // The bound check asks for the kind of the backend, so the rows here carry the name of one that is none.
    std::vector<Judged> real = rows;
    for (Judged& r : real) r.backend = "fake";
    g.backend = "fake";
    CHECK(breaches({g}, real, points, backends).empty());
    Gate tight = g;
    tight.median = 0.149;
    CHECK(breaches({tight}, real, points, backends) ==
          std::vector<std::string>{
              "gates.toml:1:1: the median error of decode on fake is 15.00 % (the gate allows 14.90 %)."});
    tight = g;
    tight.worst = 0.199;
    CHECK(breaches({tight}, real, points, backends) ==
          std::vector<std::string>{
              "gates.toml:1:1: the worst (b) error of decode on fake is 20.00 % (the gate allows 19.90 %)."});
    tight = g;
    tight.coverage = 0.67;
    CHECK(breaches({tight}, real, points, backends) ==
          std::vector<std::string>{
              "gates.toml:1:1: 2 of 3 rows of decode on fake are predicted (the gate asks for 67 %)."});
    tight.except = {"c"};
    CHECK(breaches({tight}, real, points, backends).empty());
    std::vector<Judged> part(real.begin(), real.begin() + 2);  // a filter left a row out: not judged
    tight = g;
    tight.median = 0.01;
    CHECK(breaches({tight}, part, points, backends).empty());
    tight.group = "nothing";
    CHECK(
        breaches({tight}, real, points, backends) ==
        std::vector<std::string>{"gates.toml:1:1: no point belongs to nothing on fake (the gate would hold nothing)."});
}

TEST_CASE("nothing is measured faster than a bound, unless a gate excepts it") {
    Point p = point("a", "time", 1);
    p.place = "p.csv:2";
    const BackendSet backends;
    CHECK(breaches({}, {judged(p, 1.0, "roofline")}, {p}, backends).empty());
    CHECK(breaches({}, {judged(p, 1.01, "roofline")}, {p}, backends) ==
          std::vector<std::string>{"p.csv:2: a was measured 1.01 times faster than the bound of roofline allows."});
    Gate g;
    g.backend = "roofline";
    g.except = {"a"};
    CHECK(breaches({g}, {judged(p, 1.01, "roofline")}, {p}, backends).empty());
    Point rate = point("r", "tokens_per_s", 100);
    CHECK(breaches({}, {judged(rate, 99, "roofline")}, {rate}, backends).size() == 1);
    CHECK(breaches({}, {judged(rate, 101, "roofline")}, {rate}, backends).empty());
}

TEST_CASE("the minimum of known functions") {
    const auto rosenbrock = [](const std::vector<double>& x) {
        return 100 * std::pow(x[1] - x[0] * x[0], 2) + std::pow(1 - x[0], 2);
    };
    const Minimum m = minimise(rosenbrock, {0.2, 2}, {0.1, 0.5}, 2000);
    CHECK(m.at[0] == doctest::Approx(1).epsilon(0.01).scale(0));
    CHECK(m.at[1] == doctest::Approx(1).epsilon(0.02).scale(0));
    CHECK(m.evaluations <= 2000);
    const auto kinked = [](const std::vector<double>& x) { return std::abs(x[0] - 3) + std::abs(x[0] - x[1]); };
    const Minimum k = minimise(kinked, {10, 1}, {2, 0.25}, 600);
    CHECK(k.at[0] == doctest::Approx(3).epsilon(0.01).scale(0));
    CHECK(k.at[1] == doctest::Approx(3).epsilon(0.01).scale(0));
    const auto downhill = [](const std::vector<double>& x) { return x[0]; };  // stays at 0 or above
    CHECK(minimise(downhill, {5}, {1}).at[0] == doctest::Approx(0));
}

TEST_CASE("a constant is rewritten in its place and unit, and nothing else") {
    const std::string text =
        "[mesh]\ncycles = { value = 1, source = \"a\" }\n\n[fitted]\ncycles = { value = 12.4, source = \"a\", note = "
        "\"value = 3\" }\n"
        "start_time.value = \"6.2 us\"\nstart_time.source = \"b\"\npeak.wall.value = 0.5  # why\n";
    CHECK(with_constant(text, "f", "fitted", "cycles", 12.4, 13.25) ==
          "[mesh]\ncycles = { value = 1, source = \"a\" }\n\n[fitted]\ncycles = { value = 13.25, source = \"a\", note "
          "= \"value = 3\" }\n"
          "start_time.value = \"6.2 us\"\nstart_time.source = \"b\"\npeak.wall.value = 0.5  # why\n");
    CHECK(with_constant(text, "f", "fitted", "start_time", 6.2e-6, 7.5e-6).find("start_time.value = \"7.5 us\"\n") !=
          std::string::npos);
    CHECK(
        with_constant(text, "f", "fitted", "peak.wall", 0.5, 0.123456789).find("peak.wall.value = 0.12346  # why\n") !=
        std::string::npos);
    CHECK(with_constant(text, "f", "mesh", "cycles", 1, 2).find("cycles = { value = 2, source") != std::string::npos);
    CHECK_THROWS_WITH_AS(with_constant(text, "f", "fitted", "cycle", 1, 2),
                         "f: [fitted] has no line for the value of cycle (it cannot be rewritten in place). "
                         "Edit the file by hand.",
                         Error);
}
