// Reads and prints: compiled at -O1.
#include "harness/tco/goodput_verb.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "core/units.hpp"
#include "harness/tco/page.hpp"
#include "harness/tco/reliability.hpp"

namespace wb {
namespace {

using namespace tco;

constexpr const char* footer = R"help(Examples (waferbench list systems):
  waferbench goodput SYSTEM OTHER                                 1 to 100,000 of each
  waferbench goodput SYSTEM --units 512,1024 --spares 8           so many spares and no more
  waferbench goodput SYSTEM --set mtbf.SYSTEM="2000 h .. 9000 h" --set checkpoint="5 min"

Exit codes: 0 ok; 1 a mistake in an assumption or an option.)help";

struct GoodputOptions {
    std::vector<std::string> systems, with, set;
    std::vector<std::int64_t> units{1, 8, 64, 512, 4096, 16384, 100000};
    std::string preset = "neocloud", today = "2026-01-01", there = "99.9%";
    std::int64_t spares = -1;  ///< -1: as many as `there` needs
    std::size_t trials = 10000;
};

/// Where the numbers of a system's failures stand in the book.
struct Places {
    int mtbf, checkpoint, restart, repair;

    Reliability read(const double* v) const { return {v[mtbf], v[checkpoint], v[restart], v[repair]}; }
};

Places places_of(const Book& book, const std::string& system) {
    return {book.need("mtbf." + book.device(system)), book.need("checkpoint"), book.need("restart"),
            book.need("repair")};
}

double part(const std::string& text) {
    std::string spaced = text;
    if (spaced.ends_with('%') && spaced.find(' ') == std::string::npos) spaced.insert(spaced.size() - 1, " ");
    double value = 0;
    try {
        value = parse<double>(spaced);
    } catch (const UnitProblem& p) {
        throw p.at("--there");
    }
    if (!(value > 0 && value < 1))
        throw Error({"--there", fmt::format("is {}", text), "no number of spares makes a job run always",
                     "Write a part such as 99.9%."});
    return value;
}

std::string percent(double part) { return fmt::format("{:.1f} %", 100 * part); }
Cell percent_cell(double part, Emphasis how = Emphasis::none) { return {percent(part), part, how}; }

std::vector<Cell> row_of(const GoodputOptions& o, const Book& book, const Draws& draws, const std::string& system,
                         std::int64_t units) {
    const Places at = places_of(book, system);
    const auto things = static_cast<double>(units);
    const Reliability mode = at.read(draws.modes().data());
    const std::int64_t spares =
        o.spares >= 0 ? o.spares : spares_for(things / mode.mtbf_s, mode.repair_s, part(o.there));
    const Goodput g = goodput(mode, things, spares), bare = goodput(mode, things, 0);
    std::vector<double> all;
    for (std::size_t t = 0; t < draws.trials(); ++t)
        all.push_back(goodput(at.read(draws.trial(t)), things, spares).goodput());
    const Spread s = spread_of(std::move(all));
    const double every = 1 / g.failures_per_s;
    const std::vector<char> used = [&] {
        std::vector<char> out(book.all().size(), 0);
        for (const int i : {at.mtbf, at.checkpoint, at.restart, at.repair}) out[static_cast<std::size_t>(i)] = 1;
        return out;
    }();
    return {Cell(system),
            Cell(fmt::format("{}", units), things),
            Cell(format(Seconds(every)), every),
            Cell(format(Seconds(g.interval_s)), g.interval_s),
            percent_cell(g.kept),
            percent_cell(bare.available),
            Cell(fmt::format("{}", spares), static_cast<double>(spares)),
            percent_cell(g.goodput()),
            percent_cell(s.median, Emphasis::strong),
            percent_cell(s.low),
            percent_cell(s.high),
            Cell(marks(book, used, o.today), Emphasis::caution)};
}

Book book_of(const GoodputOptions& o, const Files& files) {
    Book book = Book::load(files, o.preset);
    for (const std::string& path : o.with) book.overlay(path);
    for (const std::string& s : o.set) book.set(s);
    return book;
}

Exit run_goodput(const GoodputOptions& o, const VerbContext& context) {
    if (context.comm.rank() != 0) return Exit::ok;
    for (const std::int64_t n : o.units)
        if (n < 1 || n > 10'000'000)
            throw Error({"--units", fmt::format("{} units", n), "a job runs on 1 to 10,000,000", ""});
    const Book book = book_of(o, context.files());
    std::vector<char> used(book.all().size(), 0);
    for (const std::string& s : o.systems) {
        const Places at = places_of(book, s);
        for (const int i : {at.mtbf, at.checkpoint, at.restart, at.repair}) used[static_cast<std::size_t>(i)] = 1;
    }
    const Draws draws(book, used, o.trials, 1);
    TextTable table({{"system", Align::left},
                     {"units", Align::right},
                     {"a failure every", Align::right, "", "s"},
                     {"checkpoint every", Align::right, "", "s"},
                     {"progress", Align::right},
                     {"available without spares", Align::right},
                     {"spares", Align::right},
                     {"goodput", Align::right},
                     {"median", Align::right, "over all assumptions"},
                     {"5 %", Align::right, "over all assumptions"},
                     {"95 %", Align::right, "over all assumptions"},
                     {"on", Align::left}});
    for (const std::string& s : o.systems)
        for (const std::int64_t n : o.units) table.row(row_of(o, book, draws, s, n));
    Page page{"goodput", "What failures leave of the time of one job that needs all its units", std::move(table), {}};
    page.notes.push_back(fmt::format(
        "A checkpoint takes {}, a restart {}, a repair {}: assumptions, --set changes them. Spares: {}. "
        "docs/questions/failures.md has the formulas.",
        book[book.need("checkpoint")].text, book[book.need("restart")].text, book[book.need("repair")].text,
        o.spares >= 0 ? "as given" : fmt::format("so many that all units are there {} of the time", o.there)));
    for (const std::string& s : o.systems) {
        const Assumption& m = book[places_of(book, s).mtbf];
        page.notes.push_back(
            fmt::format("{}: a unit fails every {} ({}; {}).", s, m.text, m.note.empty() ? "given" : m.note, m.source));
    }
    std::fputs(pages_text({page}, context.format(), context.colour).c_str(), stdout);
    return Exit::ok;
}

}  // namespace

void define_goodput_verb(CLI::App& app, const VerbContext& context) {
    const auto o = std::make_shared<GoodputOptions>();
    auto* verb = app.add_subcommand("goodput", "what failures leave of a job's time, on one unit or 100,000");
    verb->footer(footer);
    verb->add_option("systems", o->systems, "devices of tco/devices")->required();
    verb->add_option("--units", o->units, "of one job")->delimiter(',')->capture_default_str();
    verb->add_option("--spares", o->spares, "units that stand by (default: as many as --there needs)")
        ->check(CLI::Range(std::int64_t{0}, std::int64_t{1'000'000}));
    verb->add_option("--there", o->there, "part of the time that all units of the job should be there")
        ->capture_default_str();
    verb->add_option("--preset", o->preset, "a file of tco/presets")->capture_default_str();
    verb->add_option("--with", o->with, "assumptions of your own laid over it; repeatable")->allow_extra_args(false);
    verb->add_option("--set", o->set, "one assumption: key=value or key=\"low .. mode .. high\"; repeatable")
        ->allow_extra_args(false);
    verb->add_option("--trials", o->trials, "of the Monte Carlo")
        ->capture_default_str()
        ->check(CLI::Range(100, 1000000));
    verb->callback([o, context] { context.chosen = [o, context] { return run_goodput(*o, context); }; });
}

}  // namespace wb
