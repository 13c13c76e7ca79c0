#include "harness/tco/tco_verb.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <memory>

#include "harness/result_file.hpp"
#include "harness/tco/pages.hpp"

namespace wb {
namespace {

using namespace tco;

constexpr const char* footer = R"help(Examples:
  waferbench tco results/mine.h5                                  what an hour costs, and what each result does
  waferbench tco a.h5 --preset enterprise --set pue=1.3           other assumptions
  waferbench tco a.h5 --set "price.DEVICE=25 kUSD .. 30 kUSD"     a quote of your own, with its range
  waferbench tco a.h5 --table assumptions                         every number in use, with date and source

Exit codes: 0 ok; 1 a mistake in an assumption, an option or a result; 5 results missing or damaged; 7 output not
written.)help";

struct TcoOptions {
    std::vector<std::string> files, with, set, tables;
    std::string preset = "neocloud", filter, today;
    StudyOptions study;
};

std::string date_of_today() {
    const std::chrono::year_month_day d{std::chrono::floor<std::chrono::days>(std::chrono::system_clock::now())};
    return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(d.year()), static_cast<unsigned>(d.month()),
                       static_cast<unsigned>(d.day()));
}

Book book_of(const TcoOptions& o, const Files& files) {
    Book book = Book::load(files, o.preset);
    for (const std::string& path : o.with) book.overlay(path);
    for (const std::string& s : o.set) book.set(s);
    book.check();
    return book;
}

Exit run_tco(const TcoOptions& o, const VerbContext& context) {
    if (context.comm.rank() != 0) return Exit::ok;
    const std::string today = o.today.empty() ? date_of_today() : o.today;
    if (!days_between(today, today))
        throw Error({"--today", fmt::format("\"{}\" is no date", today), "the age of prices is counted from it",
                     "Write 2026-01-31."});
    const Book book = book_of(o, context.files());
    std::vector<ResultSet> sets;
    for (const std::string& file : o.files) sets.push_back(read_results(file));
    const Study study(book, yields_of(sets, o.filter), o.study);
    std::vector<Page> pages;
    for (const std::string& t : o.tables) {
        if (t == "hours" || t == "all") pages.push_back(hours_page(study, today));
        if (t == "costs" || t == "all") pages.push_back(costs_page(study, today));
        if (t == "assumptions" || t == "all") pages.push_back(assumptions_page(study, today));
    }
    pages.back().notes.push_back(legend());
    std::fputs(pages_text(pages, context.format(), context.colour).c_str(), stdout);
    return Exit::ok;
}

}  // namespace

void define_tco_verb(CLI::App& app, const VerbContext& context) {
    const auto o = std::make_shared<TcoOptions>();
    auto* verb = app.add_subcommand("tco", "what stored results cost to buy, run and staff, with uncertainty");
    verb->footer(footer);
    verb->add_option("results", o->files, "results .h5 or .journal")->required();
    verb->add_option("--preset", o->preset, "who pays: a file of tco/presets")->capture_default_str();
    verb->add_option("--with", o->with, "assumptions of your own laid over it; repeatable")->allow_extra_args(false);
    verb->add_option("--set", o->set, "one assumption: key=value, key=\"low .. high\" or key=\"low .. mode .. high\"")
        ->allow_extra_args(false);
    verb->add_option("--filter", o->filter, "only cases whose key has all these words (-word: has not)");
    verb->add_option("--table", o->tables, "hours, costs, assumptions, all; repeatable (default: hours and costs)")
        ->allow_extra_args(false)
        ->check(CLI::IsMember({"hours", "costs", "assumptions", "all"}));
    verb->add_flag("--rent", o->study.rented, "rent everything by the hour");
    verb->add_option("--trials", o->study.trials, "of the Monte Carlo")
        ->capture_default_str()
        ->check(CLI::Range(100, 1000000));
    verb->add_option("--seed", o->study.seed, "of the Monte Carlo")->capture_default_str();
    verb->add_option("--today", o->today, "YYYY-MM-DD from which the age of prices is counted (default: today)");
    verb->callback([o, context] {
        if (o->tables.empty()) o->tables = {"hours", "costs"};
        context.chosen = [o, context] { return run_tco(*o, context); };
    });
}

}  // namespace wb
