// Reads and prints: compiled at -O1.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <thread>

#include "core/build_info.hpp"
#include "core/units.hpp"
#include "harness/catalogue.hpp"
#include "harness/compare.hpp"
#include "harness/exchange_verbs.hpp"
#include "harness/heat_map.hpp"
#include "harness/host.hpp"
#include "harness/host_network.hpp"
#include "harness/mpi_comm.hpp"
#include "harness/network_verb.hpp"
#include "harness/phase_table.hpp"
#include "harness/publish.hpp"
#include "harness/result_file.hpp"
#include "harness/run.hpp"
#include "harness/tco/goodput_verb.hpp"
#include "harness/tco/tco_verb.hpp"
#include "harness/tokenize_verb.hpp"
#include "harness/validate/validate_report.hpp"
#include "harness/validate/verbs.hpp"

namespace wb {
namespace {

constexpr const char* footer = R"help(Examples:
  waferbench run quick                               the tour: this host beside the bounds of named machines
  mpirun -n 2 waferbench run my.toml --output a.h5   the same on two ranks
  mpirun -n 2 waferbench network                     messages and collectives of this host's MPI, fitted to LogGP
  waferbench describe host                           every figure of a machine, and where it comes from
  waferbench compare before.h5 after.h5 --threshold 3%
  waferbench validate --group "waferllm-*"           the models judged by what others measured
  waferbench tco results/mine.h5 --preset enterprise  what each result costs, with uncertainty
  waferbench tokenize book.txt -o book.h5             a text to train on: data = "book.h5" in a pipeline
  waferbench VERB --help                             options and examples of each

Exit codes: 0 ok; 1 usage or configuration; 2 regression, changed value or exceeded gate; 3 a case failed or was wrong;
4 inconclusive (compare --strict); 5 baseline or result file missing or damaged; 6 environment unfit (oversubscribed,
wrongly bound); 7 results could not be written; 75 stopped by SIGTERM, run again with --resume; 124 budget used
up, or a case hangs; 130 interrupted.)help";

constexpr const char* run_footer = R"help(Examples:
  waferbench run quick
  waferbench run my.toml --set workload.0.m="range(1024, 8192, x2)" --filter "gemm cpu"
  mpirun -n 2 waferbench run my.toml --budget "10 min" --output a.h5
  waferbench run my.toml --resume --output a.h5      go on after a crash, Ctrl-C or the end of a time slot

Exit codes: 0 ok; 1 a mistake in the experiment; 3 a case failed or was wrong; 6 environment unfit (oversubscribed,
wrongly bound); 7 results could not be written; 75 stopped by SIGTERM, run again with --resume; 124 budget used up, or a
case hangs; 130 interrupted. What was measured is kept in all of them.)help";

constexpr const char* plan_footer = R"help(Examples:
  waferbench plan quick
  waferbench plan systems --filter "serve llama3.1-70b" --format csv)help";

constexpr const char* list_footer = R"help(Examples:
  waferbench list
  waferbench list systems --format csv
  waferbench --configs mine list models              yours first, then the ones that ship)help";

constexpr const char* describe_footer = R"help(Examples:
  waferbench describe SYSTEM                         every figure of a machine (list systems), and its source
  waferbench describe host --remeasure               this machine's figures and ceilings, measured anew
  waferbench describe llama3-8b                      parameters, layers, FLOPs a token
  waferbench describe results/mine.h5                phase by phase: time, memory, messages, traffic, what decides)help";

constexpr const char* show_footer = R"help(Examples:
  waferbench show results/mine.h5 --wide
  waferbench show results/mine.h5 --phases --filter "pipeline llama2-7b"
  waferbench --format markdown show results/mine.h5 > table.md)help";

constexpr const char* check_footer = R"help(Example:
  waferbench check results/mine.h5

Exit codes: 0 complete and unchanged; 5 missing or damaged, with every problem named.)help";

constexpr const char* compare_footer = R"help(Examples:
  waferbench compare before.h5 after.h5 --threshold 3%
  waferbench compare results/baseline/models.h5 now.h5 --exact

Exit codes: 0 nothing slower; 2 slower or changed; 4 inconclusive (with --strict); 5 a file is missing or damaged.)help";

constexpr const char* rebuild_footer = R"help(Example:
  waferbench rebuild results/mine.journal            writes results/mine.h5)help";

constexpr const char* probe_footer = R"help(Example:
  waferbench probe 2 > mine/systems/host.toml        what `describe host` would store, to be edited)help";

struct Arguments {
    std::vector<std::string> configs;
    std::string format = "terminal";
    RunOptions run;
    std::string budget, what, a, b, file, threshold = "5%", show_filter;
    CompareOptions compare;
    bool wide = false, heat = false, phases = false, measure_again = false;
    int probe_cpus = 1;
};

Format format_of(const std::string& word) {
    if (word == "markdown") return Format::markdown;
    if (word == "csv") return Format::csv;
    if (word == "latex") return Format::latex;
    return word == "json" ? Format::json : Format::terminal;
}

Files files_of(const Arguments& a) {
    std::vector<std::string> roots = a.configs;
    for (const std::string& r : roots)
        if (!std::filesystem::is_directory(r))
            throw Error({"--configs " + r, "is no folder", "systems, models and experiments are looked up there", ""});
    std::error_code ignored;
    const std::filesystem::path exe = std::filesystem::read_symlink("/proc/self/exe", ignored);
    for (const std::filesystem::path& p :
         {exe.parent_path() / "../../configs", exe.parent_path() / "../share/waferbench/configs",
          std::filesystem::path(WB_CONFIG_DIR)})
        if (std::filesystem::is_directory(p, ignored)) {
            roots.push_back(std::filesystem::weakly_canonical(p, ignored).string());
            break;
        }
    return Files(roots);
}

SystemLoader loader(const Files& files, Comm& comm, bool measure_again) {
    return [&files, &comm, measure_again](const std::string& id, const std::map<std::string, std::string>& choices) {
        if (id == "host") return host_system(files, comm, choices, measure_again);
        if (id == "host-network") return host_network(files, comm, choices);
        return std::shared_ptr<const System>(
            std::make_shared<System>(load_system(files.find("systems/" + id + ".toml"), choices)));
    };
}

void print(Comm& comm, const std::string& text) {
    if (comm.rank() == 0) std::fputs(text.c_str(), stdout);
}

Exit check_file(const Arguments& a, Comm& comm) {
    const std::vector<std::string> problems = verify(a.file);
    for (const std::string& p : problems) print(comm, fmt::format("{}: {}\n", a.file, p));
    if (!problems.empty()) return Exit::baseline;
    auto what = validation_summary(a.file);
    if (!what) what = tco_summary(a.file);
    if (!what) what = summary_line(read_results(a.file));
    print(comm, fmt::format("{}: complete and valid. {}\n", a.file, *what));
    return Exit::ok;
}

Exit compare_files(const Arguments& a, Comm& comm, bool colour) {
    CompareOptions o = a.compare;
    try {
        o.threshold =
            parse<double>(a.threshold.find('%') == std::string::npos || a.threshold.find(' ') != std::string::npos
                              ? a.threshold
                              : a.threshold.substr(0, a.threshold.find('%')) + " %");
    } catch (const UnitProblem& p) {
        throw p.at("--threshold");
    }
    const Comparison c = compare_results(read_results(a.a), read_results(a.b), o, format_of(a.format), colour);
    const bool for_programs =
        a.format != "terminal" && a.format != "markdown";  // whose table must stand alone on stdout
    print(comm, c.table + (for_programs ? "" : "\n" + c.summary + "\n"));
    if (for_programs && comm.rank() == 0) fmt::print(stderr, "{}\n", c.summary);
    return c.code;
}

/// What defines a verb: `chosen` becomes the one to carry out.
struct Definition {
    CLI::App& app;
    Arguments& a;
    Comm& comm;
    std::function<Exit()>& chosen;
    bool colour;

    /// `body` runs if `verb` is named.
    void carry_out(CLI::App* verb, const char* examples, std::function<Exit()> body) const {
        verb->footer(examples);
        verb->callback([&chosen = chosen, body = std::move(body)] { chosen = body; });
    }
};

void add_experiment(CLI::App* verb, Arguments& a) {
    verb->add_option("experiment", a.run.experiment, "TOML file, or a name from `list experiments`")->required();
    verb->add_option("--filter", a.run.filter, "only cases whose key has all these words (-word: has not)");
    verb->add_option("--mapping", a.run.mapping, "how every cluster spreads a model: \"tp8 pp8 dp64 mb32 sp zero1\"");
    verb->add_option("--set", a.run.set, "override a key: --set protocol.min_time=\"0.5 s\"; repeatable")
        ->allow_extra_args(false);
}

void define_run(const Definition& d) {
    Arguments& a = d.a;
    auto* verb = d.app.add_subcommand("run", "run an experiment, keep every number, show the comparison");
    add_experiment(verb, a);
    verb->add_option("--output,-o", a.run.output, "results file (default: results/<name>-<date>.h5)");
    verb->add_flag("--resume", a.run.resume, "skip the cases the journal already holds");
    verb->add_flag("--oversubscribe", a.run.oversubscribe, "allow more threads than cores");
    verb->add_flag("--remeasure", a.run.measure_again, "measure this host's ceilings anew before it begins");
    verb->add_option("--budget", a.budget, "start no case after this long, e.g. \"10 min\"");
    verb->add_flag("--wide", a.run.wide, "show verification, memory and communication too");
    verb->add_flag("--quiet,-q", a.run.quiet, "print nothing but mistakes");
    d.carry_out(verb, run_footer, [&a, &comm = d.comm] {
        a.run.format = format_of(a.format);
        a.run.configs = a.configs;
        try {
            if (!a.budget.empty()) a.run.budget_s = parse<Seconds>(a.budget).si();
        } catch (const UnitProblem& p) {
            throw p.at("--budget");
        }
        return run_experiment(a.run, files_of(a), comm);
    });
}

void define_plan(const Definition& d) {
    auto* verb =
        d.app.add_subcommand("plan", "list the cases of an experiment with work, memory and time; run nothing");
    add_experiment(verb, d.a);
    d.carry_out(verb, plan_footer, [&a = d.a, &comm = d.comm, colour = d.colour] {
        const Files files = files_of(a);
        const Experiment e = load_experiment(a.run, files, comm);
        const BackendSet backends;
        print(comm, plan_text(expand(e, files, backends, comm.size(), a.run.filter), comm.size(), format_of(a.format),
                              colour));
        return Exit::ok;
    });
}

void define_list(const Definition& d) {
    auto* verb = d.app.add_subcommand("list", "workloads, backends, systems, models, experiments");
    verb->add_option("what", d.a.what, "one of them");
    d.carry_out(verb, list_footer, [&a = d.a, &comm = d.comm, colour = d.colour] {
        return print(comm, list_text(a.what, files_of(a), format_of(a.format), colour)), Exit::ok;
    });
}

std::string stored_phases(const std::string& path, Format format, bool colour) {
    const ResultSet set = read_results(path);
    const bool one_table = format == Format::csv || format == Format::json;
    const std::string systems = one_table ? "" : show_phases(set, format, colour);
    return systems + (systems.empty() ? "" : "\n") + show_phase_details(set, format, colour);
}

void define_describe(const Definition& d) {
    Arguments& a = d.a;
    auto* verb = d.app.add_subcommand("describe", "a system, workload, backend or model: what it has and needs");
    verb->add_option("name", a.what, "its name; `host` is this machine; of results (.h5, .journal) their phases")
        ->required();
    verb->add_flag("--remeasure,--measure-again", a.measure_again, "host: measure its figures and ceilings anew");
    d.carry_out(verb, describe_footer, [&a, &comm = d.comm, colour = d.colour] {
        const Format format = format_of(a.format);
        if (a.what.ends_with(".h5") || a.what.ends_with(".journal"))
            return print(comm, stored_phases(a.what, format, colour)), Exit::ok;
        const Files files = files_of(a);
        print(comm, describe_text(a.what, files, loader(files, comm, a.measure_again), format, colour));
        if (a.what == "host" && format == Format::terminal) print(comm, host_network_text());
        return Exit::ok;
    });
}

void define_show(const Definition& d) {
    Arguments& a = d.a;
    auto* verb = d.app.add_subcommand("show", "the comparison of a stored result");
    verb->add_option("file", a.file, "results .h5 or .journal")->required();
    verb->add_option("--filter", a.show_filter, "only cases whose key contains this");
    verb->add_flag("--wide", a.wide, "verification, memory and communication too");
    verb->add_flag("--phases", a.phases, "instead: every phase of composed workloads, with what limits it");
    verb->add_flag("--heat", a.heat, "instead: heat maps of simulated cases, links and PEs of the mesh");
    d.carry_out(verb, show_footer, [&a, &comm = d.comm, colour = d.colour] {
        const ResultSet set = read_results(a.file);
        const Format format = format_of(a.format);
        print(comm, a.heat     ? show_heat_maps(set, format, colour, a.show_filter)
                    : a.phases ? show_phase_details(set, format, colour, a.show_filter)
                               : show_results(set, format, colour, a.wide, a.show_filter));
        return Exit::ok;
    });
}

void define_check(const Definition& d) {
    auto* verb = d.app.add_subcommand("check", "is this .h5 complete and valid?");
    verb->add_option("file", d.a.file, "results file")->required();
    d.carry_out(verb, check_footer, [&a = d.a, &comm = d.comm] { return check_file(a, comm); });
}

void define_compare(const Definition& d) {
    Arguments& a = d.a;
    auto* verb = d.app.add_subcommand(
        "compare", "is B slower than A? exact kinds to the last bit, measured ones by their medians");
    verb->add_option("A", a.a, "the older results")->required();
    verb->add_option("B", a.b, "the newer results")->required();
    verb->add_option("--threshold", a.threshold, "measured: slowdowns below this do not count")->capture_default_str();
    verb->add_flag("--strict", a.compare.strict, "inconclusive rows give exit code 4");
    verb->add_flag("--exact", a.compare.exact_only, "leave measured rows out");
    d.carry_out(verb, compare_footer,
                [&a, &comm = d.comm, colour = d.colour] { return compare_files(a, comm, colour); });
}

void define_rebuild(const Definition& d) {
    auto* verb = d.app.add_subcommand("rebuild", "publish the .h5 of a journal again");
    verb->add_option("journal", d.a.file, "results .journal")->required();
    d.carry_out(verb, rebuild_footer, [&a = d.a, &comm = d.comm] {
        const std::string out = std::filesystem::path(a.file).replace_extension(".h5").string();
        if (comm.rank() == 0) write_results(out, read_results(a.file));
        print(comm, fmt::format("{} -> {}\n", a.file, out));
        return Exit::ok;
    });
}

void define_probe(const Definition& d) {
    auto* verb = d.app.add_subcommand("probe", "measure this machine and print it as a system file");
    verb->add_option("cpus", d.a.probe_cpus, "cores to use");
    d.carry_out(verb, probe_footer, [&a = d.a] { return static_cast<Exit>(probe_main(a.probe_cpus)); });
}

void define(CLI::App& app, Arguments& a, Comm& comm, std::function<Exit()>& chosen) {
    const bool colour = comm.size() == 1 && isatty(1) && !std::getenv("NO_COLOR");
    app.footer(footer);
    app.require_subcommand(1);
    app.fallthrough();
    app.set_version_flag("--version",
                         fmt::format("waferbench {} ({}{})", build_info().version, build_info().git_revision,
                                     build_info().git_dirty ? ", changed" : ""));
    app.add_option("--configs", a.configs,
                   "folder with systems/, models/ and experiments/ of your own, searched first; repeatable");
    app.add_option("--format", a.format, "how tables are printed; HDF5: tco --output FILE.h5")
        ->check(CLI::IsMember({"terminal", "markdown", "csv", "json", "latex"}))
        ->capture_default_str();
    const Definition own{app, a, comm, chosen, colour};
    for (const auto define_verb : {define_run, define_plan, define_list, define_describe, define_show, define_check,
                                   define_compare, define_rebuild})
        define_verb(own);
    const VerbContext context{comm, [&a] { return files_of(a); }, [&a] { return format_of(a.format); }, colour, chosen};
    for (const auto define_verb : {define_validation_verbs, define_tokenize_verb, define_tco_verb, define_goodput_verb,
                                   define_exchange_verbs, define_network_verb})
        define_verb(app, context);
    define_probe(own);
}

/// The last words: a closed pipe must not turn them into an abort.
void say(const std::string& text) { std::fputs(text.c_str(), stderr); }

Exit serve(int argc, char** argv, Comm& comm) {
    Arguments a;
    for (int i = 0; i < argc; ++i) a.run.command += (i ? " " : "") + std::string(argv[i]);
    std::function<Exit()> chosen;
    CLI::App app(
        "waferbench: the same workloads on wafers, GPU clusters and the hardware you have, with every number's kind "
        "and source");
    define(app, a, comm, chosen);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        if (comm.rank() != 0) return e.get_exit_code() == 0 ? Exit::ok : Exit::usage;
        const int code = app.exit(e);
        return code == 0 ? Exit::ok : Exit::usage;
    }
    try {
        const Exit code = chosen();
        if (std::fflush(stdout) != 0 || std::ferror(stdout))
            throw Error({"stdout", "the output could not be written", "what reads it would take a part for the whole",
                         "Make room, or mend the pipe."},
                        Exit::io);
        return comm.rank() == 0 ? code : Exit::ok;  // one verdict: rank 0's, after all it prints
    } catch (const Error& e) {
        if (comm.rank() == 0) say(fmt::format("waferbench: {}\n", e.what()));
        if (comm.rank() != 0)
            std::this_thread::sleep_for(std::chrono::milliseconds(300));  // the launcher kills at the first failure
        return e.code();
    } catch (const std::exception& e) {
        say(fmt::format("waferbench: rank {}: internal error: {}. This is a bug; please report it.\n", comm.rank(),
                        e.what()));
        if (comm.size() > 1) comm.end_job(static_cast<int>(Exit::failed));
        return Exit::failed;
    }
}

}  // namespace
}  // namespace wb

int main(int argc, char** argv) {
    try {
        // Started by a rank to measure its machine, it must not take itself for another rank.
        const bool probe = argc > 1 && std::string_view(argv[1]) == "probe";
        const std::unique_ptr<wb::Comm> comm = probe ? wb::single_process() : wb::world(argc, argv);
        return static_cast<int>(wb::serve(argc, argv, *comm));
    } catch (const wb::Error& e) {
        wb::say(fmt::format("waferbench: {}\n", e.what()));
        return static_cast<int>(e.code());
    }
}
