// Reads and prints: compiled at -O1.
#include "harness/tco/tco_verb.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <memory>
#include <set>

#include "harness/result_file.hpp"
#include "harness/tco/pages.hpp"
#include "harness/tco/published.hpp"
#include "harness/validate/point_file.hpp"

namespace wb {
namespace {

using namespace tco;

constexpr const char* footer = R"help(Examples:
  waferbench tco results/mine.h5                                  what an hour costs, and what each result does
  waferbench tco a.h5 --preset enterprise --set pue=1.3           other assumptions
  waferbench tco a.h5 --set "price.DEVICE=25 kUSD .. 30 kUSD"     a quote of your own, with its range
  waferbench tco a.h5 --table systems                             every system with numbers, and what it is best for
  waferbench tco a.h5 --table parity --table tornado              prices at parity, and what moves a cost
  waferbench tco a.h5 --interactivity 50 --interactivity 200      the same service for all
  waferbench tco a.h5 --api "0.38 USD"                            the volume from which owning pays
  waferbench tco a.h5 --table all --output tables.tex             .md, .csv, .tex, .json, .h5
  waferbench --format latex tco a.h5 --table systems              the same on stdout: markdown, csv, json, latex
  waferbench tco a.h5 --table assumptions                         every number in use, with date and source
  waferbench tco --table published                                our sum beside what others state, with its gates

Exit codes: 0 ok; 1 a mistake in an assumption, an option or a result; 2 a gate is exceeded; 5 results missing or
damaged; 7 output not written.)help";

struct TcoOptions {
    std::vector<std::string> files, with, set, tables;
    std::string preset = "neocloud", filter, today, output, parity;
    std::vector<double> interactivity;
    std::vector<std::string> ttft, api;
    double tokens = 0;
    StudyOptions study;
};

bool asks(const TcoOptions& o, const std::string& table) {
    return std::find(o.tables.begin(), o.tables.end(), table) != o.tables.end();
}

/// The tables in the order they are printed.
const std::vector<std::string>& table_names() {
    static const std::vector<std::string> all{"parity", "costs", "hours",      "life",    "chances",
                                              "views",  "rent",  "importance", "tornado", "assumptions"};
    return all;
}

Page page_of(const std::string& table, const Study& study, const TcoOptions& o, const std::string& today) {
    if (table == "parity") return parity_page(study, o.parity, today);
    if (table == "costs") return costs_page(study, today);
    if (table == "hours") return hours_page(study, today);
    if (table == "life") return life_page(study, today);
    if (table == "chances") return chances_page(study);
    if (table == "views") return views_page(study);
    if (table == "rent") return rent_page(study, today);
    if (table == "importance") return importance_page(study);
    if (table == "tornado") return tornado_page(study);
    return assumptions_page(study, today);
}

/// The experiments the results are of, one after the other.
std::string experiment_of(const std::vector<ResultSet>& sets) {
    std::string out;
    for (const ResultSet& set : sets)
        if (!set.runs.empty()) out += set.runs.back().config_toml + "\n";
    return out;
}

std::vector<Page> pages_of(const Study& study, const TcoOptions& o, const std::vector<ResultSet>& sets,
                           const std::string& today) {
    std::vector<Page> out;
    if (asks(o, "systems") || asks(o, "all")) out = systems_pages(study, systems_of(sets), experiment_of(sets), today);
    for (const std::string& name : table_names()) {
        const bool asked = asks(o, name) || asks(o, "all");
        const bool usual = o.tables.empty() && o.interactivity.empty() && o.ttft.empty() && o.api.empty() &&
                           (name == "parity" || name == "costs" || name == "hours");
        if (!asked && !usual && !(name == "parity" && !o.parity.empty())) continue;
        Page page = page_of(name, study, o, today);
        if (asked || !page.table.empty()) out.push_back(std::move(page));
    }
    for (const double level : o.interactivity) out.push_back(level_page(study, level, false, today));
    for (const std::string& text : o.ttft) {
        try {
            out.push_back(level_page(study, 1 / parse<Seconds>(text).si(), true, today));
        } catch (const UnitProblem& p) {
            throw p.at("--ttft");
        }
    }
    for (const std::string& text : o.api) {
        try {
            const double price = parse<Usd>(text).si();
            if (!(price > 0))
                throw Error({"--api " + text, "is no price", "answers at no cost are level with nothing", ""});
            out.push_back(volume_page(study, price, today));
        } catch (const UnitProblem& p) {
            throw p.at("--api");
        }
    }
    if (!out.empty()) out.back().notes.push_back(legend());
    std::map<std::string, int> times;  // asked for twice, such as two levels of service
    for (Page& page : out)
        if (const int n = ++times[page.id]; n > 1) page.id += fmt::format("_{}", n);
    return out;
}

std::string date_of_today() {
    const std::chrono::year_month_day d{std::chrono::floor<std::chrono::days>(std::chrono::system_clock::now())};
    return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(d.year()), static_cast<unsigned>(d.month()),
                       static_cast<unsigned>(d.day()));
}

void deliver(const TcoOptions& o, const VerbContext& context, const std::vector<Page>& pages,
             const std::string& layers) {
    if (o.output.empty()) {
        std::fputs(pages_text(pages, context.format(), context.colour).c_str(), stdout);
        return;
    }
    write_pages(o.output, pages, layers);
    fmt::print("{} tables -> {}\n", pages.size(), o.output);
}

/// The sum beside what others publish: needs no results.
Exit run_published(const TcoOptions& o, const VerbContext& context) {
    const std::vector<Published> points = published_points(context.files(), o.with, o.set, o.study);
    deliver(o, context, {published_page(points)}, "the presets the points name");
    const bool good = std::all_of(points.begin(), points.end(), [](const Published& p) { return p.passes(); });
    return good ? Exit::ok : Exit::regression;
}

/// Results with what only this call knows: the training asked about, and which systems anything was published on.
std::vector<Yield> yields(const TcoOptions& o, const std::vector<ResultSet>& sets, const Files& files) {
    std::set<std::string> judged;
    for (const Point& p : read_all_points(files, {})) judged.insert(p.system);
    std::vector<Yield> out = yields_of(sets, o.filter);
    for (Yield& y : out) {
        y.training_tokens = o.tokens;
        y.unjudged = y.unjudged || (y.kind != Kind::measured && !judged.contains(y.system));
    }
    if (out.empty())
        throw Error({"tco", "no case is left to cost",
                     o.filter.empty() ? "bounds are nobody's results" : "the filter excludes all", ""});
    return out;
}

Exit run_tco(const TcoOptions& o, const VerbContext& context) {
    if (context.comm.rank() != 0) return Exit::ok;
    const std::string today = o.today.empty() ? date_of_today() : o.today;
    if (!days_between(today, today))
        throw Error({"--today", fmt::format("\"{}\" is no date", today), "the age of prices is counted from it",
                     "Write 2026-01-31."});
    if (asks(o, "published")) return run_published(o, context);
    if (o.files.empty())
        throw Error({"tco", "no results were named", "costs are of what was run", "Give a .h5 of `waferbench run`."});
    const Book book = book_of(context.files(), o.preset, o.with, o.set);
    std::vector<ResultSet> sets;
    for (const std::string& file : o.files) sets.push_back(read_results(file));
    const Study study(book, yields(o, sets, context.files()), o.study);
    const std::vector<Page> pages = pages_of(study, o, sets, today);
    std::string layers;
    for (const std::string& l : book.layers()) layers += l + "\n";
    deliver(o, context, pages, layers);
    return Exit::ok;
}

}  // namespace

void define_tco_verb(CLI::App& app, const VerbContext& context) {
    const auto o = std::make_shared<TcoOptions>();
    auto* verb = app.add_subcommand("tco", "what stored results cost to buy, run and staff, with uncertainty");
    verb->footer(footer);
    verb->add_option("results", o->files, "results .h5 or .journal");
    verb->add_option("--preset", o->preset, "who pays: a file of tco/presets")->capture_default_str();
    verb->add_option("--with", o->with, "assumptions of your own laid over it; repeatable")->allow_extra_args(false);
    verb->add_option("--set", o->set, "one assumption: key=value, key=\"low .. high\" or key=\"low .. mode .. high\"")
        ->allow_extra_args(false);
    verb->add_option("--filter", o->filter, "only cases whose key has all these words (-word: has not)");
    std::vector<std::string> names = table_names();
    names.insert(names.end(), {"systems", "published", "all"});
    verb->add_option(
            "--table", o->tables,
            "systems, parity, costs, hours, life, chances, views, rent, importance, tornado, assumptions, all; "
            "published needs no results; repeatable (default: parity, costs, hours)")
        ->allow_extra_args(false)
        ->check(CLI::IsMember(names));
    verb->add_option("--parity", o->parity,
                     "the system to ask for its price at parity (default: those without a price)");
    verb->add_option("--interactivity", o->interactivity,
                     "all systems at so many tokens per second for each user; repeatable")
        ->allow_extra_args(false)
        ->check(CLI::PositiveNumber);
    verb->add_option("--ttft", o->ttft, "all systems at this time to the first token, such as \"0.5 s\"; repeatable")
        ->allow_extra_args(false);
    verb->add_option("--api", o->api, "own, or buy a million tokens at this price, such as \"0.38 USD\"; repeatable")
        ->allow_extra_args(false);
    verb->add_option("--output,-o", o->output, "write the tables: .md, .csv, .tex, .json or .h5");
    verb->add_option("--tokens", o->tokens, "also the cost of a training on so many tokens, such as 15e12")
        ->check(CLI::PositiveNumber);
    verb->add_flag("--rent", o->study.rented, "rent everything by the hour");
    verb->add_option("--trials", o->study.trials, "of the Monte Carlo")
        ->capture_default_str()
        ->check(CLI::Range(100, 1000000));
    verb->add_option("--seed", o->study.seed, "of the Monte Carlo")->capture_default_str();
    verb->add_option("--today", o->today, "YYYY-MM-DD from which the age of prices is counted (default: today)");
    verb->callback([o, context] { context.chosen = [o, context] { return run_tco(*o, context); }; });
}

}  // namespace wb
