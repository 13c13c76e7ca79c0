#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>

#include "harness/tco/contest.hpp"
#include "harness/tco/effort.hpp"
#include "harness/tco/front.hpp"
#include "harness/tco/pages.hpp"
#include "harness/tco/parity.hpp"
#include "harness/tco/risk.hpp"
#include "tests/tco/sample.hpp"

using namespace wb::tco;
using sample::relative;

namespace {

Study study_of(std::vector<wb::Result> results, std::size_t trials = 2000, std::vector<std::string> settings = {}) {
    Book book = sample::book();
    for (const std::string& s : settings) book.set(s);
    return Study(book, yields_of({sample::set_of(std::move(results))}, ""), {trials, 1, false});
}

bool says_both(const std::string& verdict) {
    CAPTURE(verdict);
    return verdict.starts_with("undecided: ") && verdict.find("h100-sxm x8") != std::string::npos &&
           verdict.find("h200-sxm x8") != std::string::npos;
}

std::vector<Point> line(std::vector<std::pair<double, double>> points) {
    std::vector<Point> out;
    for (const auto& [s, r] : points) out.push_back({s, r, out.size()});
    return out;
}

}  // namespace

TEST_CASE("a Latin hypercube draws each part of a range once, and the same with other numbers beside it") {
    const Book book = sample::book();
    std::vector<char> all(book.all().size(), 1), one(book.all().size(), 0);
    const int pue = book.need("pue");
    one[pue] = 1;
    const Draws many(book, all, 1000, 7), few(book, one, 1000, 7), other(book, one, 1000, 8);
    std::vector<double> v;
    int same = 0;
    for (std::size_t t = 0; t < 1000; ++t) {
        CHECK(many.trial(t)[pue] == few.trial(t)[pue]);
        same += few.trial(t)[pue] == other.trial(t)[pue];
        v.push_back(few.trial(t)[pue]);
        CHECK(few.trial(t)[book.need("load")] == book[book.need("load")].mode);
    }
    CHECK(same < 10);
    std::sort(v.begin(), v.end());
    const Assumption& a = book[pue];
    for (std::size_t t = 0; t < 1000; ++t) {
        CHECK(v[t] >= triangular(a.low, a.mode, a.high, t / 1000.0));
        CHECK(v[t] <= triangular(a.low, a.mode, a.high, (t + 1) / 1000.0));
    }
    std::vector<std::uint32_t> ranks(few.ranks(pue).begin(), few.ranks(pue).end());
    std::sort(ranks.begin(), ranks.end());
    for (std::uint32_t t = 0; t < 1000; ++t) CHECK(ranks[t] == t);
}

TEST_CASE("quantiles of the normal distribution") {
    CHECK(std::abs(normal_quantile(0.5)) < 1e-9);
    CHECK(relative(normal_quantile(0.9), 1.2815515655446004) < 1e-9);
    CHECK(relative(normal_quantile(0.975), 1.959963984540054) < 1e-9);
    CHECK(relative(normal_quantile(0.001), -3.090232306167813) < 1e-9);
    CHECK(triangular(1, 1, 4, 0) == 1);
    CHECK(triangular(1, 2, 4, 1) == 4);
    CHECK(relative(triangular(1, 2, 4, 1.0 / 3), 2) < 1e-12);
}

TEST_CASE("a unit cost times what is made in an hour is the cost of the hour") {
    const Study s = study_of({sample::decode("h100-sxm", 8, 64, 0.02)});
    const Row& row = s.rows().at(0);
    const double per_second = 64 / 0.02;
    const Unit out = unit_of(row, "usd_per_Mtok_out");
    CHECK(relative(row.cost(out) * per_second * 3600 / 1e6, 8 * row.hour->mode.useful()) < 1e-12);
    const std::vector<double> trials = row.cost_trials(out);
    for (std::size_t t = 0; t < trials.size(); t += 97) {
        CHECK(relative(trials[t] * per_second / row.slowness[t] * 3600 / 1e6, 8 * row.hour->useful[t]) < 1e-12);
        CHECK(relative(row.hour->capital[t] + row.hour->upkeep[t] + row.hour->energy[t] + row.hour->people[t],
                       row.hour->total[t]) < 1e-12);
    }
    const Unit work = unit_of(row, "usd_per_PFLOP"), run = unit_of(row, "usd_per_run");
    CHECK(relative(row.cost(work) * 64e12 / 1e15, row.cost(run)) < 1e-12);
    // The band of the time is 0.8 .. 1.25: its 10th and 90th percentile.
    std::vector<double> slow = row.slowness;
    std::sort(slow.begin(), slow.end());
    CHECK(relative(slow[slow.size() / 10], 0.8) < 0.01);
    CHECK(relative(slow[slow.size() * 9 / 10], 1.25) < 0.01);
    CHECK(relative(slow[slow.size() / 2], 1) < 0.01);
}

TEST_CASE("what two systems share is drawn once: equal machines cost the same in every trial") {
    wb::Result a = sample::decode("h100-sxm", 8, 64, 0.02), b = sample::decode("h100-sxm", 16, 64, 0.01);
    const Study s = study_of({a, b});
    const auto x = s.rows()[0].cost_trials(unit_of(s.rows()[0], "usd_per_Mtok_out"));
    const auto y = s.rows()[1].cost_trials(unit_of(s.rows()[1], "usd_per_Mtok_out"));
    for (std::size_t t = 0; t < x.size(); t += 41)
        CHECK(relative(x[t], y[t]) < 0.02);  // but for failures of more units
    // A tenth faster on the same machine is cheaper in every trial, though each cost alone is known to +-30 %.
    b.m.samples_s = {0.009};
    const Study faster = study_of({a, b});
    const auto z = faster.rows()[1].cost_trials(unit_of(faster.rows()[1], "usd_per_Mtok_out"));
    CHECK(chance_cheaper(z, x) == 1);
    CHECK(chance_cheaper(x, z) == 0);
}

TEST_CASE("at the price at parity both cost the same") {
    const std::vector<wb::Result> results{sample::decode("wse3", 1, 64, 0.0005),
                                          sample::decode("h100-sxm", 8, 64, 0.02)};
    const Study s = study_of(results, 500);
    const Unit u = unit_of(s.rows()[0], "usd_per_Mtok_out"), v = unit_of(s.rows()[1], "usd_per_Mtok_out");
    const Parity p = parity(s, s.rows()[0], s.rows()[1], u, v);
    const auto mine = s.rows()[0].cost_trials(u), theirs = s.rows()[1].cost_trials(v);
    for (std::size_t t = 0; t < p.price.size(); t += 31) {
        std::vector<double> values(s.draws().trial(t), s.draws().trial(t) + s.book().all().size());
        const double before = hourly_cost(s.rows()[0].bill, s.rows()[0].use, {values.data()}).useful();
        values[s.rows()[0].bill.price] = p.price[t];
        const double after = hourly_cost(s.rows()[0].bill, s.rows()[0].use, {values.data()}).useful();
        CHECK(relative(mine[t] * after / before, theirs[t]) < 1e-9);
        CHECK(relative(p.speedup[t], mine[t] / theirs[t]) < 1e-12);
        CHECK(relative(mine[t] * values[s.rows()[0].bill.utilisation] / p.utilisation[t], theirs[t]) < 1e-12);
    }
}

TEST_CASE("tornado and rank correlation name what decides") {
    wb::Result r = sample::decode("h100-sxm", 8, 64, 0.02);
    r.m.band = {0.999, 1.001, "rows"};
    const Study s = study_of({r}, 4000, {"utilisation=0.5", "price.h100=10 kUSD .. 30 kUSD .. 90 kUSD"});
    const Unit u = unit_of(s.rows()[0], "usd_per_Mtok_out");
    const auto swings = tornado(s, s.rows()[0], u);
    const auto order = importance(s, s.rows()[0], u);
    CHECK(s.book()[swings.at(0).assumption].key == "price.h100-sxm");
    CHECK(s.book()[order.at(0).assumption].key == "price.h100-sxm");
    CHECK(order[0].correlation > 0.8);
    double shares = 0;
    for (const Importance& i : order) shares += i.share;
    CHECK(order[0].share > 0.6);
    CHECK(shares > 0.9);  // close to additive: little is left for interactions
    CHECK(shares < 1.05);
    for (const Importance& i : order) {
        if (i.assumption < 0) continue;
        if (s.book()[i.assumption].key == "life") CHECK(i.correlation < -0.1);
        if (s.book()[i.assumption].key == "discount") CHECK(i.correlation > 0.02);
    }
    for (std::size_t i = 1; i < swings.size(); ++i) CHECK(swings[i - 1].size() >= swings[i].size());
    CHECK(relative(swings[0].at_low, s.rows()[0].cost(u)) > 0.3);
}

TEST_CASE("first-order indices of a sum are its parts of the variance") {
    std::vector<double> x = normal_draws("x", 10000, 1), y = normal_draws("y", 10000, 1), z(10000), sum(10000);
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] = 3 * x[i] + y[i] * y[i];  // variances 9 and 2
    CHECK(std::abs(sobol_first(ranks_of(x), sum) - 9.0 / 11) < 0.02);
    CHECK(std::abs(sobol_first(ranks_of(y), sum) - 2.0 / 11) < 0.02);  // no monotone effect: its rank correlation is 0
    CHECK(sobol_first(ranks_of(normal_draws("other", 10000, 1)), sum) < 0.005);
    CHECK(sobol_first(ranks_of(x), z) == 0);
}

TEST_CASE("a front keeps what nothing beats, and is silent outside its range") {
    const std::vector<Point> front = pareto(line({{10, 100}, {20, 90}, {15, 80}, {40, 30}, {30, 70}, {40, 20}}));
    REQUIRE(front.size() == 4);
    CHECK(front[0].service == 10);
    CHECK(front[3].rate == 30);
    for (const Point& p : front) CHECK(relative(*rate_at(front, p.service), p.rate) < 1e-12);
    CHECK(!rate_at(front, 9.999));
    CHECK(!rate_at(front, 40.001));
    double before = 1e9;
    for (double x = 10; x <= 40; x += 0.01) {
        const double rate = *rate_at(front, x);
        CHECK(rate <= before + 1e-9);  // no swing between the points
        before = rate;
    }
    const std::vector<Point> two = line({{1, 10}, {3, 4}});
    CHECK(relative(*rate_at(two, 2), 7) < 1e-12);
    CHECK(*rate_at(line({{5, 7}}), 5) == 7);
    CHECK(!rate_at(line({{5, 7}}), 5.1));
}

TEST_CASE("owning the base load and renting the bursts beats both") {
    const Demand d = daily_demand(0.5, 3, 0.05);
    CHECK(relative(std::accumulate(d.begin(), d.end(), 0.0), static_cast<double>(d.size())) < 1e-12);
    const Split best = best_split(d, 2, 5);
    for (double owned = 0; owned < 4; owned += 0.01) CHECK(split_cost(d, owned, 2, 5) >= best.cost - 1e-12);
    CHECK(best.cost < split_cost(d, 0, 2, 5));
    CHECK(best.cost < split_cost(d, *std::max_element(d.begin(), d.end()), 2, 5));
    CHECK(best_split(d, 5, 2).owned == 0);  // dearer than renting all the time
}

TEST_CASE("at the volume of parity owning costs what the answers do") {
    const Study s = study_of({sample::decode("h100-sxm", 8, 64, 0.02)}, 500);
    const Page page = volume_page(s, 0.4, "2026-11-21");
    REQUIRE(page.table.rows() == 1);
    const double owned = *page.table.cell(0, 1).number, volume = *page.table.cell(0, 2).number,
                 part = *page.table.cell(0, 6).number;
    CHECK(relative(volume * 0.4, owned) < 1e-12);
    CHECK(relative(owned, spread_of(s.rows()[0].hour->total).median * 8 * 730) < 1e-12);
    CHECK(relative(part, volume / (64 / 0.02 * 730 * 3600 / 1e6)) < 0.05);  // medians of a product and of its factors
}

TEST_CASE("the table of systems names the best with the part of the trials") {
    std::vector<wb::Result> results{sample::decode("h100-sxm", 8, 64, 0.02), sample::decode("wse3", 1, 64, 0.01),
                                    sample::decode("b200", 8, 64, 0.02)};
    results[2].m.status = wb::Status::skipped;
    results[2].m.samples_s.clear();
    results[2].m.reason = "does not fit";
    const wb::ResultSet set = sample::set_of(results);
    const Study s(sample::book(), yields_of({set}, ""), {500, 1, false});
    const std::vector<Page> pages = systems_pages(s, systems_of({set}), "", "2026-11-21");
    REQUIRE(pages.size() == 2);
    REQUIRE(pages[0].table.rows() == 3);
    const wb::TextTable& uses = pages[1].table;
    REQUIRE(uses.rows() == 1);
    CHECK(uses.cell(0, 1).text == "h100-sxm x8");  // 3200 tokens/s at some 27 USD/h against 6400 at some 160
    CHECK(uses.cell(0, 4).text == "wse3");
    CHECK(*uses.cell(0, 5).number > 0.95);
    CHECK(pages[0].table.cell(2, 11).text == "not available: does not fit");
}

TEST_CASE("a claim is made where it holds in four of five trials; else two names are given") {
    wb::Result a = sample::decode("h100-sxm", 8, 64, 0.02), b = sample::decode("h200-sxm", 8, 64, 0.02);
    a.m.band = b.m.band = {0.95, 1.05, "rows of published measurements"};
    const auto contest_of = [&](const std::string& what) {
        const Study s = study_of({a, b}, 2000, {"price.h200=33819 USD", "price.h100=33819 USD"});
        const std::vector<Group> groups = groups_of(s);
        const std::vector<Uses> uses = uses_of(s, groups);
        REQUIRE(uses.size() == 1);
        const Contest& c = what == "fastest" ? uses[0].fastest : uses[0].cheapest;
        double all = 0;
        for (const Contest::Entry& e : c.entries) all += e.chance;
        CHECK(relative(all, 1) < 1e-9);
        return std::pair{c.verdict(), uses_text(uses, "h100-sxm")};
    };
    const auto level = contest_of("fastest");
    CHECK(says_both(level.first));
    CHECK(level.second.find("fastest 0 (undecided 1)") != std::string::npos);
    a.m.samples_s = {0.015};  // a third faster: outside both bands
    const auto clear = contest_of("fastest");
    CHECK(clear.first == "h100-sxm x8");
    CHECK(clear.second.find("fastest 1") != std::string::npos);
    CHECK(contest_of("cheapest").first == "h100-sxm x8");
    a.m.band = {0.4, 2.5, "unseen system: 9 predictions of 3 systems by constants of others"};
    CHECK(says_both(contest_of("cheapest").first));  // the same numbers from a model nobody has judged: no claim
    CHECK(yields_of({sample::set_of({a})}, "").at(0).unjudged);
    CHECK(marks(yields_of({sample::set_of({a})}, "").at(0)) == "n");
}

TEST_CASE("lines of an experiment: without comments, each system its own") {
    const std::string toml =
        "title = \"x\"\n\n# none\n[[workload]]\nuse = \"train\"\nmodel = [\n  \"a\",\n]\n\n[[workload]]\nuse = "
        "\"gemm\"\n"
        "[[system]]\nuse = \"wse3\"\nwafers = 1  # one\n[[system]]\nuse = [\"wse2\", \"wse3\"]\n[protocol]\nx = 1\n";
    CHECK(lines_of(toml, "wse3").workloads == 7);
    CHECK(lines_of(toml, "wse3").system == 5);
    CHECK(lines_of(toml, "wse2").system == 2);
    CHECK(lines_of(toml, "wse").system == 0);
    CHECK(lines_of("", "wse3").workloads == 0);
}

TEST_CASE("numbers built on what is weak say so") {
    const Study s = study_of({sample::decode("wse3", 1, 64, 0.0005)}, 100);
    std::vector<char> price(s.book().all().size(), 0), energy = price, pue = price;
    price[s.book().need("price.wse3")] = 1;
    energy[s.book().need("electricity")] = 1;
    pue[s.book().need("pue")] = 1;
    CHECK(marks(s.book(), price, "2026-03-01") == "a");
    CHECK(marks(s.book(), price, "2026-12-01") == "as");
    CHECK(marks(s.book(), energy, "2026-12-01") == "s");
    CHECK(marks(s.book(), energy, "2025-11-28") == "");   // 180 days
    CHECK(marks(s.book(), energy, "2025-11-29") == "s");  // 181
    CHECK(marks(s.book(), pue, "2036-12-01") == "");      // no price
    Yield y;
    CHECK(marks(y) == "");
    y.band_unknown = true;
    CHECK(marks(y) == "u");
}

TEST_CASE("figures of three digits") {
    CHECK(figure(0.00123456) == "0.00123");
    CHECK(figure(1.845) == "1.84");
    CHECK(figure(99.97) == "100.0");
    CHECK(figure(9994) == "9994");
    CHECK(figure(33819) == "33.8k");
    CHECK(figure(2e6) == "2.00M");
    CHECK(figure(-351234) == "-351k");
    CHECK(figure(0) == "0");
    CHECK(figure(std::nan("")) == "-");
}
