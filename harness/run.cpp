#include "harness/run.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "core/build_info.hpp"
#include "core/hash.hpp"
#include "core/suggest.hpp"
#include "core/units.hpp"
#include "harness/catalogue.hpp"
#include "harness/environment.hpp"
#include "harness/host.hpp"
#include "harness/journal.hpp"
#include "harness/mpi_comm.hpp"
#include "harness/progress.hpp"
#include "harness/result_file.hpp"
#include "harness/signals.hpp"
#include "harness/stats.hpp"
#include "harness/watchdog.hpp"

namespace wb {
namespace {

namespace fs = std::filesystem;

/// Cases shorter than this share an fdatasync: kill -9 loses none, a power cut at most this much work.
constexpr std::chrono::milliseconds sync_every{100};

double now_s() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

std::string utc(const char* pattern) {
    const std::time_t t = std::time(nullptr);
    std::tm parts{};
    gmtime_r(&t, &parts);
    return fmt::format(fmt::runtime(fmt::format("{{:{}}}", pattern)), parts);
}

/// Digest of the program itself: results of another build are not the results of this one.
std::string code_fingerprint() {
    std::ifstream in("/proc/self/exe", std::ios::binary);
    Digest d;
    std::array<char, 1 << 16> buffer;
    while (in.read(buffer.data(), buffer.size()) || in.gcount() > 0)
        d.add(std::string_view(buffer.data(), static_cast<std::size_t>(in.gcount())));
    return d.hex();
}

std::string full_key(const PlannedCase& p, const std::string& code) {
    const Protocol& o = p.c.protocol;
    Digest d;
    d.add(p.c.key).add(p.c.graph->fingerprint()).add(p.c.system->text).add(p.c.resolved_dtype).add(code);
    d.add(o.warmup)
        .add(o.min_samples)
        .add(o.max_samples)
        .add(o.min_time.si())
        .add(o.timeout.si())
        .add(o.max_noise)
        .add(o.verify);
    d.add(p.c.seed);
    return d.hex();
}

std::string outcome(const Result& r) {
    if (r.m.status != Status::ok) return fmt::format("{}: {}", name(r.m.status), r.m.reason);
    const Summary s = summarise(r.m.samples_s);
    if (r.m.kind != Kind::measured) return fmt::format("{} ({})", format(Seconds(s.median)), name(r.m.kind));
    return fmt::format("{} +- {:.1f} %", format(Seconds(s.median)), 50 * s.noise);
}

/// Results of an unfinished run of the same experiment, newest first.
fs::path newest_journal(const fs::path& folder, const std::string& name) {
    fs::path best;
    std::error_code ignored;
    for (const auto& e : fs::directory_iterator(folder, ignored)) {
        const std::string file = e.path().filename().string();
        if (e.path().extension() == ".journal" && file.rfind(name + "-", 0) == 0 &&
            (best.empty() || file > best.filename().string()))
            best = e.path();
    }
    return best;
}

/// The journal and the published file of one run; rank 0 only.
class Archive {
public:
    Archive(const RunOptions& options, const std::string& name) {
        const fs::path folder = "results";
        if (!options.output.empty()) {
            file_ = options.output;
            if (file_.extension() != ".h5")
                throw Error(
                    {options.output, "does not end in .h5", "results are HDF5 files", "Name it like results/mine.h5."});
        } else if (options.resume) {
            file_ = newest_journal(folder, name).replace_extension(".h5");
            if (file_.empty() || file_ == ".h5")
                throw Error({"--resume", fmt::format("there is no journal results/{}-*.journal", name),
                             "nothing was begun that could go on", "Run without --resume, or give --output."},
                            Exit::baseline);
        } else {
            file_ = folder / fmt::format("{}-{}.h5", name, utc("%Y%m%d-%H%M%S"));
        }
        fs::path journal = file_;
        journal.replace_extension(".journal");
        std::error_code failed;
        if (file_.has_parent_path()) fs::create_directories(file_.parent_path(), failed);
        if (!options.resume && fs::exists(journal)) {
            JournalWriter::open(journal);  // throws where another run writes it, or where it is no journal of ours
            fs::remove(journal, failed);
        }
        writer_.emplace(JournalWriter::open(journal, sync_every));
        if (!writer_->locked())
            fmt::print(stderr, "warning: {} cannot be locked here; do not run two jobs into it.\n", journal.string());
        Replay replay = writer_->take_replay();
        records_ = std::move(replay.payloads);
        set_ = from_records(records_, journal.string());
        for (const JournalDamage& d : replay.damage)
            fmt::print(stderr, "warning: {}: {} bytes at {} are damaged ({}); the rest is used.\n", journal.string(),
                       d.bytes, d.offset, d.what);
    }

    const fs::path& file() const { return file_; }
    const ResultSet& set() const { return set_; }

    void put(const std::string& record) {
        writer_->append(record);
        records_.push_back(record);
    }
    /// Rebuilds the file from all records.
    void publish() {
        writer_->sync();
        set_ = {};
        set_ = from_records(std::exchange(records_, {}), file_.string());
        write_results(file_, set_);
    }

private:
    fs::path file_;
    std::optional<JournalWriter> writer_;
    std::vector<std::string> records_;  // of earlier runs too; given up by publish
    ResultSet set_;
};

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

bool told_to_oversubscribe(const RunOptions& options) {
    const char* mca = std::getenv("OMPI_MCA_rmaps_base_oversubscribe");  // what `mpirun --oversubscribe` sets
    return options.oversubscribe || (mca && std::string(mca) == "1");
}

void refuse_oversubscription(const RunOptions& options, const std::vector<PlannedCase>& plan, Comm& comm) {
    const int cpus = job_cpus(comm), ranks = ranks_on_node();
    bool real = false;
    int most = default_threads(comm);
    for (const PlannedCase& p : plan)
        if (p.kind == Kind::measured) real = true, most = std::max(most, p.c.threads);
    if (!real) return;
    if (told_to_oversubscribe(options)) return;
    check_threads(most * ranks, cpus, false, {ranks, 1, "waferbench run " + options.experiment});
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

Exit exit_code(const ResultSet& mine, Stop stop) {
    if (stop == Stop::interrupt) return Exit::interrupted;
    if (stop == Stop::terminate) return Exit::requeue;
    for (const Result& r : mine.results)
        if (r.m.status != Status::ok && r.m.status != Status::skipped) return Exit::failed;
    return stop == Stop::budget ? Exit::timeout : Exit::ok;
}

/// Nothing can be awaited any more, least of all the other ranks: the launcher ends them when this process goes.
void end_hanging_job(const std::string& what, double limit_s) {
    fmt::print(stderr,
               "waferbench: {}: has not ended after {} (a rank or a library hangs). What was finished before is kept; "
               "use --resume, or raise protocol.case_limit.\n",
               what, format(Seconds(limit_s)));
    std::_Exit(static_cast<int>(Exit::timeout));
}

}  // namespace

int default_threads(Comm& comm) {
    int asked = 0;
    if (const char* text = std::getenv("OMP_NUM_THREADS"))
        std::from_chars(text, text + std::strlen(text), asked);  // the launcher's word, if it is a number
    if (asked > 0) return asked;
    const int mine = static_cast<int>(allowed_cpus().size()), all = job_cpus(comm), ranks = ranks_on_node();
    return std::max(1, mine < all || ranks == 1 ? mine : all / ranks);
}

Experiment load_experiment(const RunOptions& options, const Files& files, Comm& comm) {
    std::string path = options.experiment;
    std::error_code ignored;
    if (!fs::exists(path, ignored)) {
        const std::string named = files.find("experiments/" + path + ".toml");
        if (named.empty() && path.find('/') == std::string::npos && path.find(".toml") == std::string::npos)
            throw Error({"run", fmt::format("there is no experiment \"{}\"", path), "",
                         "Give a TOML file; `waferbench list experiments` shows those that ship."});
        if (!named.empty()) path = named;
    }
    Config config = Config::load(path);
    for (const std::string& s : options.set) {
        const std::size_t eq = s.find('=');
        if (eq == std::string::npos)
            throw Error({"--set " + s, "has no \"=\"", "", "Write --set protocol.min_time=\"0.5 s\"."});
        config.set(s.substr(0, eq), s.substr(eq + 1));
    }
    std::map<std::string, std::shared_ptr<const System>> loaded;
    return read_experiment(config, [&](const std::string& id, const std::map<std::string, std::string>& choices) {
        std::string key = id;
        for (const auto& [k, v] : choices) key += "|" + k + "=" + v;
        auto& s = loaded[key];
        if (s) return s;
        if (id == "host") return s = host_system(files, comm, choices);
        const std::string file = files.find("systems/" + id + ".toml");
        if (file.empty()) {
            std::vector<std::string> known = files.names("systems", ".toml");
            known.emplace_back("host");
            throw Error({"", fmt::format("there is no system \"{}\"", id), "", did_you_mean(id, known)});
        }
        return s = std::make_shared<const System>(load_system(file, choices));
    });
}

Exit run_experiment(const RunOptions& options, const Files& files, Comm& comm) {
    const Signals signals;
    const Experiment e = load_experiment(options, files, comm);
    const BackendSet backends;
    std::vector<PlannedCase> plan = expand(e, files, backends, comm.size(), options.filter);
    if (plan.empty())
        throw Error({"--filter", fmt::format("\"{}\" leaves no case", options.filter), "there is nothing to run",
                     "`waferbench plan` lists them."});
    refuse_oversubscription(options, plan, comm);
    const int threads = default_threads(comm);
    for (PlannedCase& p : plan)
        if (p.c.threads == 0 && p.kind == Kind::measured) p.c.threads = threads;

    const bool root = comm.rank() == 0;
    std::optional<Archive> archive;
    std::string trouble;
    RunInfo info;
    const std::string code = code_fingerprint();
    std::set<std::string> done;
    Environment before;
    if (root) {
        try {
            archive.emplace(options, e.name);
            for (const Result& r : archive->set().results)
                if (r.m.status == Status::ok || r.m.status == Status::skipped) done.insert(r.full_key);
            info = describe_run(options, e, comm, threads);
            before = take_environment(threads);
            info.environment_before = to_json(before);
            archive->put(to_record(info));
        } catch (const Error& x) {
            trouble = fmt::format("{}|{}", static_cast<int>(x.code()), x.what());
        }
    }
    trouble = comm.share(trouble);
    if (!trouble.empty())
        throw Error({"", trouble.substr(trouble.find('|') + 1, trouble.size() - trouble.find('|') - 2), "", ""},
                    static_cast<Exit>(std::stoi(trouble)));
    std::string finished;
    for (const std::string& k : done) finished += k + "\n";
    finished = comm.share(finished);

    done.clear();
    for (std::size_t at = 0, end; (end = finished.find('\n', at)) != std::string::npos; at = end + 1)
        done.insert(finished.substr(at, end - at));
    std::vector<const PlannedCase*> todo;
    for (const PlannedCase& p : plan)
        if (!done.contains(full_key(p, code))) todo.push_back(&p);
    if (root && options.resume && !options.quiet)
        fmt::print(stderr, "Resuming: {} of {} cases are there already.\n", plan.size() - todo.size(), plan.size());

    std::vector<double> costs;
    for (const PlannedCase* p : todo) costs.push_back(expected_s(*p));
    std::optional<Progress> progress;
    if (root && !options.quiet) progress.emplace(costs, stderr_sink());
    const double begin = now_s();
    Stop stop = Stop::none;
    Runner::Hooks hooks;
    hooks.stop = [&signals] { return signals.asked(); };
    if (progress) hooks.progress = [&progress](const std::string& detail) { progress->tick(detail); };
    Runner runner(backends, comm, hooks);
    Watchdog watchdog(end_hanging_job);
    std::vector<std::string> failures;
    for (const PlannedCase* p : todo) {
        const Stop asked = options.budget_s > 0 && now_s() - begin > options.budget_s ? Stop::budget : signals.asked();
        stop = static_cast<Stop>(static_cast<int>(comm.max(static_cast<double>(asked))));
        if (stop != Stop::none) break;
        if (progress) progress->start(fmt::format("{} | {} {}", p->label, p->c.system->id, p->c.backend));
        watchdog.watch(p->c.key, p->c.protocol.case_limit.si());
        Result r = runner.run(*p);
        watchdog.rest();
        std::string io;
        if (root) {
            r.full_key = full_key(*p, code);
            if (progress) progress->finish(outcome(r));
            if (r.m.status == Status::failed || r.m.status == Status::invalid)
                failures.push_back(fmt::format("{}: {}\n  reproduce: {}", r.key, r.m.reason,
                                               reproducer(*p, arguments(options), comm.size())));
            try {
                archive->put(to_record(r));
            } catch (const Error& x) {
                io = x.what();
            }
        }
        io = comm.share(io);
        if (!io.empty())
            throw Error({"journal", io.substr(0, io.size() - 1), "",
                         "What was written before is safe; make room and use --resume."},
                        Exit::io);
        stop = runner.stopped();
        if (stop != Stop::none) break;
    }
    std::set<std::string> keys;
    for (const PlannedCase& p : plan) keys.insert(p.c.key);
    plan = {};  // publishing a long campaign needs the memory its graphs hold
    int code_of_run = 0;
    if (root) {
        progress.reset();
        try {
            const Environment after = take_environment(threads);
            info.environment_after = to_json(after);
            info.warnings = warnings(before, after);
            archive->put(to_record(info));
            archive->publish();
            ResultSet mine;
            for (const Result& r : archive->set().results)
                if (keys.contains(r.key)) mine.results.push_back(r);
            const bool colour =
                comm.size() == 1 && isatty(1) && !std::getenv("NO_COLOR");  // mpirun gives ranks a terminal of its own
            if (!options.quiet) std::fputs(show_results(mine, options.format, colour, options.wide).c_str(), stdout);
            std::fflush(stdout);  // the table before what is said about it
            for (const std::string& w : info.warnings) fmt::print(stderr, "warning: {}\n", w);
            for (const std::string& f : failures) fmt::print(stderr, "FAILED {}\n", f);
            if (stop != Stop::none) fmt::print(stderr, "Stopped early; `--resume` goes on from here.\n");
            if (!options.quiet && options.format == Format::terminal)
                fmt::print("\n{} -> {}\n", summary_line(mine), archive->file().string());
            code_of_run = static_cast<int>(exit_code(mine, stop));
        } catch (const Error& x) {
            fmt::print(stderr, "waferbench: {}\n", x.what());
            code_of_run = static_cast<int>(x.code());
        }
    }
    return static_cast<Exit>(static_cast<int>(comm.max(code_of_run)));
}

}  // namespace wb
