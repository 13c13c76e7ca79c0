#include "harness/tco/published.hpp"

#include <fmt/format.h>

#include <cmath>
#include <map>

namespace wb::tco {
namespace {

/// The servers these devices are sold in.
constexpr int node_units = 8;

double without_people(const Hourly& h) { return h.total() - h.people(); }

void price(Published& p, const Book& book, const StudyOptions& options) {
    const Bill bill = bill_of(book, p.device);
    Use use;
    use.units = use.node_units = use.replicas = node_units;
    std::vector<char> used(book.all().size(), 0);
    std::vector<double> modes;
    for (const Assumption& a : book.all()) modes.push_back(a.mode);
    p.at_modes = without_people(hourly_cost(bill, use, {modes.data(), &used}));
    const Draws draws(book, used, options.trials, options.seed);
    std::vector<double> trials;
    for (std::size_t t = 0; t < draws.trials(); ++t)
        trials.push_back(without_people(hourly_cost(bill, use, {draws.trial(t)})));
    p.ours = spread_of(std::move(trials));
}

Published read_point(const Config& c, const Sources& sources) {
    Published p;
    p.device = c.text("device");
    p.preset = c.text("preset");
    p.value = c.quantity<Quantity<-1, 0, 0, 0, 1>>("value").si() * 3600;
    if (c.has("within")) p.within = c.quantity<double>("within");
    p.date = c.text("date");
    const std::string source = c.text("source");
    const auto known = sources.find(source);
    p.source = known == sources.end() ? source : known->second;
    return p;
}

}  // namespace

Book book_of(const Files& files, const std::string& preset, const std::vector<std::string>& with,
             const std::vector<std::string>& settings) {
    Book book = Book::load(files, preset);
    for (const std::string& path : with) book.overlay(path);
    for (const std::string& s : settings) book.set(s);
    book.check();
    return book;
}

std::vector<Published> published_points(const Files& files, const std::vector<std::string>& with,
                                        const std::vector<std::string>& settings, const StudyOptions& options) {
    const std::string path = files.find("tco/published.toml");
    if (path.empty()) throw Error({"tco/published.toml", "was not found in any folder of configuration", "", ""});
    const Config file = Config::load(path);
    file.text("title");
    Sources sources;
    for (const std::string& key : file.table("sources").keys()) sources[key] = file.table("sources").text(key);
    std::vector<Published> out;
    std::map<std::string, Book> books;
    for (const Config& c : file.tables("point")) {
        Published p = read_point(c, sources);
        auto at = books.find(p.preset);
        if (at == books.end()) at = books.emplace(p.preset, book_of(files, p.preset, with, settings)).first;
        price(p, at->second, options);
        out.push_back(std::move(p));
    }
    file.finish();
    return out;
}

Page published_page(const std::vector<Published>& points) {
    std::vector<TextColumn> columns{{"device"}, {"preset"}, {"published", Align::right, "USD/h", "USD/h"}};
    for (const char* c : {"at modes", "median", "5 %", "95 %"})
        columns.push_back({c, Align::right, "ours, without people", "USD/h"});
    for (const char* c : {"off", "gate"})
        columns.push_back({c, Align::right, std::string(c) == "off" ? "at modes" : "", "1"});
    columns.push_back({"verdict"});
    columns.push_back({"source"});
    Page page{
        "published", "An hour of an owned device, as others state it and as our sum has it", TextTable(columns), {}};
    for (const Published& p : points) {
        std::vector<Cell> cells{p.device, p.preset};
        for (const double v : {p.value, p.at_modes, p.ours.median, p.ours.low, p.ours.high})
            cells.push_back({figure(v), v});
        cells.push_back({fmt::format("{:+.0f} %", 100 * p.off()), p.off()});
        cells.push_back(p.within ? Cell(fmt::format("{:.0f} %", 100 * *p.within), *p.within) : Cell(""));
        cells.push_back(!p.within    ? Cell("no gate", Emphasis::faint)
                        : p.passes() ? Cell("within", Emphasis::good)
                                     : Cell("outside", Emphasis::bad));
        cells.push_back({p.source, Emphasis::faint});
        page.table.row(std::move(cells));
    }
    return page;
}

}  // namespace wb::tco
