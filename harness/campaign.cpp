// Reads and prints: compiled at -O1.
#include "harness/campaign.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "core/build_info.hpp"
#include "core/hash.hpp"
#include "core/units.hpp"
#include "harness/catalogue.hpp"
#include "harness/checkpoint.hpp"
#include "harness/core_clock.hpp"
#include "harness/host.hpp"
#include "harness/mpi_comm.hpp"
#include "harness/progress.hpp"
#include "harness/scaling_table.hpp"
#include "harness/stats.hpp"
#include "harness/watchdog.hpp"

namespace wb {
namespace {

std::string outcome(const Result& r) {
    if (r.m.status != Status::ok) return fmt::format("{}: {}", name(r.m.status), r.m.reason);
    const Summary s = summarise(r.m.samples_s);
    if (r.m.kind != Kind::measured) return fmt::format("{} ({})", format(Seconds(s.median)), name(r.m.kind));
    return fmt::format("{} +- {:.1f} %", format(Seconds(s.median)), 50 * s.noise);
}

/// What `reproducer` repeats: the experiment with everything that changes its cases.
std::string arguments(const RunOptions& options) {
    const auto quoted = [](const std::string& s) {
        std::string out = "'";
        for (const char c : s) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
        return out + "'";
    };
    std::string out = "run " + options.experiment;
    for (const std::string& s : options.set) out += " --set " + quoted(s);
    for (const std::string& c : options.configs) out += " --configs " + quoted(c);
    return out;
}

std::string build_json() {
    const BuildInfo& b = build_info();
    std::string libraries;
    for (const auto& [lib, version] : b.libraries)
        libraries += fmt::format("{}\"{}\": \"{}\"", libraries.empty() ? "" : ", ", lib, version);
    return fmt::format(
        R"({{"version": "{}", "git_revision": "{}", "git_dirty": {}, "compiler": "{}", "flags": "{}", "build_type": "{}", "libraries": {{{}}}}})",
        b.version, b.git_revision, b.git_dirty, b.compiler, b.flags, b.build_type, libraries);
}

RunInfo describe_run(const RunOptions& options, const Experiment& e, Comm& comm, int threads) {
    RunInfo i;
    i.date = utc("%Y-%m-%dT%H:%M:%SZ");
    i.experiment = e.name;
    i.title = e.title;
    i.command = options.command;
    i.config_toml = e.text;
    for (const std::string& s : options.set) i.config_toml += fmt::format("\n# --set {}", s);
    for (const SystemChoice& s : e.systems) i.systems[s.system->id] = s.system->text;
    i.ranks = comm.size();
    i.mpi = fmt::format("{}, {} ranks, {} threads each", comm.library(), comm.size(), threads);
    std::array<char, 256> host{};
    gethostname(host.data(), host.size() - 1);
    i.anchor = host.data();
    i.run_id = Digest().add(i.date).add(i.anchor).add(static_cast<std::int64_t>(getpid())).add(now_s()).hex();
    i.build_json = build_json();
    return i;
}

/// Nothing can be awaited any more, least of all the other ranks: the launcher ends them when this process goes.
void end_hanging_job(const std::string& what, double limit_s) {
    fmt::print(stderr,
               "waferbench: {}: has not ended after {} (a rank or a library hangs). What was finished before is kept; "
               "use --resume, or raise protocol.case_limit.\n",
               what, format(Seconds(limit_s)));
    std::_Exit(static_cast<int>(Exit::timeout));
}

/// Texts of rank 0 as a set on all ranks.
std::set<std::string> shared(Comm& comm, const std::set<std::string>& mine) {
    std::string joined;
    for (const std::string& s : mine) joined += s + "\n";
    joined = comm.share(joined);
    std::set<std::string> all;
    for (std::size_t at = 0, end; (end = joined.find('\n', at)) != std::string::npos; at = end + 1)
        all.insert(joined.substr(at, end - at));
    return all;
}

/// An Error of rank 0 becomes the same Error on all ranks.
template <class Action>
void on_root(Comm& comm, const std::string& place, const std::string& hint, Action&& action) {
    std::string trouble;
    if (comm.rank() == 0) {
        try {
            action();
        } catch (const Error& x) {
            trouble = fmt::format("{}|{}", static_cast<int>(x.code()), x.what());
        }
    }
    trouble = comm.share(trouble);
    if (trouble.empty()) return;
    const std::size_t bar = trouble.find('|');
    throw Error({place, trouble.substr(bar + 1, trouble.size() - bar - 2), "", hint},
                static_cast<Exit>(std::stoi(trouble)));
}

}  // namespace

Campaign::Campaign(const RunOptions& options, const Experiment& experiment, std::vector<PlannedCase> plan,
                   const BackendSet& backends, Comm& comm, int threads)
    : options_(options),
      experiment_(experiment),
      plan_(std::move(plan)),
      backends_(backends),
      comm_(comm),
      threads_(threads) {}

void Campaign::open() {
    archive_.emplace(options_.output, options_.resume, experiment_.name);
    for (const Result& r : archive_->set().results)
        if (r.m.status == Status::ok || r.m.status == Status::skipped) done_.insert(r.full_key);
    lost_ = archive_->set().begun;
    info_ = describe_run(options_, experiment_, comm_, threads_);
    before_ = take_environment(threads_);
    info_.environment_before = to_json(before_);
    archive_->put(to_record(info_));
}

void Campaign::begin() {
    cpus_ = job_cpus(comm_);
    ranks_on_node_ = ranks_on_node();
    on_root(comm_, "", "", [this] { open(); });
    done_ = shared(comm_, done_);
    lost_ = shared(comm_, lost_);
    const std::string results = comm_.share(root() ? archive_->file().string() : "");
    for (PlannedCase& p : plan_)
        if (p.kind == Kind::measured && (p.tokens || !p.c.graph->phases().empty()))
            p.c.storage = file_storage(
                p.tokens, std::filesystem::path(results).replace_extension(".checkpoints") / full_key(p, code_),
                options_.resume, comm_);
    for (const PlannedCase& p : plan_)
        if (!done_.contains(full_key(p, code_))) todo_.push_back(&p);
    if (root() && options_.resume && !options_.quiet)
        fmt::print(stderr, "Resuming: {} of {} cases are there already.\n", plan_.size() - todo_.size(), plan_.size());
}

void Campaign::keep(const PlannedCase& planned, Result& r) {
    r.full_key = full_key(planned, code_);
    const bool together = planned.kind == Kind::measured && planned.backend->collective() && !r.m.samples_s.empty();
    if (std::string crowd = crowd_warning(std::min(r.ranks, ranks_on_node_),
                                          planned.c.threads > 0 ? planned.c.threads : threads_, cpus_);
        together && !crowd.empty())
        r.m.warnings.push_back(std::move(crowd));
    if (planned.prompt && r.m.status == Status::ok) add_texts(*planned.prompt, r.m);
    if (r.m.status == Status::failed || r.m.status == Status::invalid)
        failures_.push_back(fmt::format("{}: {}\n  reproduce: {}", r.key, r.m.reason,
                                        reproducer(planned, arguments(options_), comm_.size())));
    archive_->put(to_record(r));
}

/// A case whose job died with it is not tried again at once, lest it kill every job; the resume after this one does.
Result Campaign::lost(Runner& runner, PlannedCase planned) {
    planned.refused = "the job ended while this case ran: a rank was killed, or the machine stopped";
    Result r = runner.run(planned);
    r.m.status = Status::failed;
    return r;
}

void Campaign::work() {
    std::vector<double> costs;
    for (const PlannedCase* p : todo_) costs.push_back(expected_s(*p));
    std::optional<Progress> progress;
    if (root() && !options_.quiet) progress.emplace(costs, stderr_sink());
    Runner::Hooks hooks;
    hooks.stop = [this] { return signals_.asked(); };
    if (progress) hooks.progress = [&progress](const std::string& detail) { progress->tick(detail); };
    Runner runner(backends_, comm_, hooks);
    Watchdog watchdog(end_hanging_job);
    const double begin = now_s();
    for (const PlannedCase* p : todo_) {
        const bool spent = options_.budget_s > 0 && now_s() - begin > options_.budget_s;
        const Stop asked = spent ? Stop::budget : signals_.asked();
        stop_ = static_cast<Stop>(static_cast<int>(comm_.max(static_cast<double>(asked))));
        if (stop_ != Stop::none) break;
        if (progress) progress->start(fmt::format("{} | {} {}", p->label, p->c.system->id, p->c.backend));
        watchdog.watch(p->c.key, p->c.protocol.case_limit.si());
        const std::string key = full_key(*p, code_);
        // A rank that is killed takes all others along: only the journal can tell which case it was.
        if (p->kind == Kind::emulated && !lost_.contains(key))
            on_root(comm_, "journal", "Make room and use --resume.", [&] { archive_->put(begun_record(key)); });
        Result r = lost_.contains(key) ? lost(runner, *p) : runner.run(*p);
        watchdog.rest();
        if (progress) progress->finish(outcome(r));
        on_root(comm_, "journal", "What was written before is safe; make room and use --resume.", [&] { keep(*p, r); });
        stop_ = runner.stopped();
        if (stop_ != Stop::none) break;
    }
}

void Campaign::show(const ResultSet& mine) const {
    const bool colour = comm_.size() == 1 && isatty(1) && !std::getenv("NO_COLOR");  // mpirun gives ranks a terminal
    if (!options_.quiet) std::fputs(show_results(mine, options_.format, colour, options_.wide).c_str(), stdout);
    std::fflush(stdout);  // the table before what is said about it
    for (const std::string& w : info_.warnings) fmt::print(stderr, "warning: {}\n", w);
    for (const std::string& f : failures_) fmt::print(stderr, "FAILED {}\n", f);
    if (stop_ != Stop::none) fmt::print(stderr, "Stopped early; `--resume` goes on from here.\n");
    if (!options_.quiet && options_.format == Format::terminal)
        fmt::print("\n{} -> {}\n", summary_line(mine), archive_->file().string());
}

Exit Campaign::code(const ResultSet& mine) const {
    if (stop_ == Stop::interrupt) return Exit::interrupted;
    if (stop_ == Stop::terminate) return Exit::requeue;
    for (const Result& r : mine.results)
        if (r.m.status != Status::ok && r.m.status != Status::skipped) return Exit::failed;
    return stop_ == Stop::budget ? Exit::timeout : Exit::ok;
}

Exit Campaign::end() {
    std::set<std::string> keys;
    for (const PlannedCase& p : plan_) keys.insert(p.c.key);
    todo_.clear();
    plan_ = {};  // publishing a long campaign needs the memory its graphs hold
    int verdict = 0;
    if (root()) {
        try {
            const Environment after = take_environment(threads_);
            info_.environment_after = to_json(after);
            info_.warnings = warnings(before_, after);
            archive_->put(to_record(info_));
            archive_->publish();
            ResultSet mine;
            for (const Result& r : archive_->set().results)
                if (keys.contains(r.key)) mine.results.push_back(r);
            show(mine);
            verdict = static_cast<int>(code(mine));
        } catch (const Error& x) {
            fmt::print(stderr, "waferbench: {}\n", x.what());
            verdict = static_cast<int>(x.code());
        }
    }
    return static_cast<Exit>(static_cast<int>(comm_.max(verdict)));
}

}  // namespace wb
