#include "harness/plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>

#include "core/suggest.hpp"
#include "core/tables.hpp"
#include "harness/end_of_text.hpp"
#include "harness/validate/bands.hpp"

namespace wb {

BackendSet::BackendSet() {
    for (const BackendRow& row : all_backends())
        if (row.make) built_.emplace_back(row.name, row.make());
}

const Backend* BackendSet::find(const std::string& name) const {
    for (const auto& [n, b] : built_)
        if (n == name) return b.get();
    return nullptr;
}

const Backend& BackendSet::require(const std::string& name, const std::string& where) const {
    if (const Backend* b = find(name)) return *b;
    std::vector<std::string> known;
    for (const BackendRow& row : all_backends()) {
        known.push_back(row.name);
        if (row.name == name)
            throw Error({where, fmt::format("backend \"{}\" was not built", name), row.missing,
                         "Install what is missing and build again."});
    }
    throw Error({where, fmt::format("there is no backend \"{}\"", name), "", did_you_mean(name, known)});
}

std::vector<std::string> BackendSet::default_names(bool mesh) const {
    std::vector<std::string> out;
    for (const BackendRow& row : all_backends())
        if (row.make && (!row.on_request || (mesh && find(row.name)->kind() == Kind::simulated)))
            out.push_back(row.name);
    return out;
}

namespace {

/// "m=32" must not find m=320: a word with "=" is a whole word of the key, any other a part of it.
bool occurs(const std::string& key, const std::string& word) {
    if (word.find('=') == std::string::npos) return key.find(word) != std::string::npos;
    return (" " + key + " ").find(" " + word + " ") != std::string::npos;
}

/// Words of a filter; "-word" excludes.
bool passes(const std::string& key, const std::string& filter) {
    std::size_t at = 0;
    while (at < filter.size()) {
        const std::size_t end = std::min(filter.find(' ', at), filter.size());
        std::string word = filter.substr(at, end - at);
        at = end + 1;
        if (word.empty()) continue;
        const bool exclude = word[0] == '-';
        if (exclude) word.erase(0, 1);
        if (occurs(key, word) == exclude) return false;
    }
    return true;
}

struct Built {
    std::shared_ptr<const Graph> graph, small;
    std::string small_text, refused;
};

/// Builds a point's graph, and the smaller one that verification uses, once for all systems of the same dtypes.
Built build(const Workload& w, const Params& p, const Files& files, const std::string& where) {
    Built b;
    try {
        b.graph = std::make_shared<const Graph>(w.build(p, files));
        const Params small = w.verify_size(p);
        b.small = b.graph;
        if (small.key() != p.key()) {
            b.small = std::make_shared<const Graph>(w.build(small, files));
            for (const auto& [name, value] : small.all())
                for (const auto& [old_name, old] : p.all())
                    if (name == old_name && text(value) != text(old))
                        b.small_text += fmt::format("{}{}={}", b.small_text.empty() ? "" : " ", name, text(value));
        }
    } catch (const Error& e) {
        throw Error({where, fmt::format("workload \"{}\" with {} cannot be built", w.name, p.key()),
                     without_stop(e.what()), ""});
    }
    return b;
}

std::string label_of(const WorkloadChoice& w, const Params& p) {
    std::string out = w.workload->name;
    for (const auto& [name, value] : p.all())
        if (std::find(w.shown.begin(), w.shown.end(), name) != w.shown.end())
            out += std::holds_alternative<std::string>(value) ? " " + text(value)
                                                              : fmt::format(" {}={}", name, text(value));
    return out;
}

/// The graphs of one point of a workload: built when first needed, resolved once for each pair of native types.
class Point {
public:
    Point(const WorkloadChoice& w, const Params& p, const Files& files) : workload_(w), params_(p), files_(files) {}

    /// Gives the case its graphs, or the reason why it has none.
    void resolve(PlannedCase& x) {
        if (!built_) built_ = build(*workload_.workload, params_, files_, workload_.where);
        const System& system = *x.c.system;
        const Built& r = resolved(system);
        x.c.graph = r.graph;
        x.c.small = r.small;
        x.c.small_text = r.small_text;
        const std::vector<const Graph*> wanted = built_->graph->leaves(), made = r.graph->leaves();
        for (std::size_t leaf = 0; leaf < made.size(); ++leaf)
            for (std::size_t i = 0; i < made[leaf]->tensors().size(); ++i) {
                const DType asked = wanted[leaf]->tensors()[i].dtype, got = made[leaf]->tensors()[i].dtype;
                if (is_class(asked) && is_class(got))
                    x.refused = fmt::format("{} has no native {} type", system.id, wb::name(asked));
                if (is_class(asked) && !is_class(got))
                    x.c.resolved_dtype = fmt::format("{} -> {}", wb::name(asked), wb::name(got));
            }
    }

private:
    const Built& resolved(const System& system) {
        const auto n16 = system.native16, n8 = system.native8;
        const std::string types = fmt::format("{}/{}", n16 ? wb::name(*n16) : "", n8 ? wb::name(*n8) : "");
        if (const auto found = resolved_.find(types); found != resolved_.end()) return found->second;
        const auto with_types = [&](const Graph& g) {
            return std::make_shared<const Graph>(g.resolved(n16.value_or(DType::any16), n8.value_or(DType::any8)));
        };
        Built r = *built_;
        r.graph = with_types(*built_->graph);
        r.small = built_->small == built_->graph ? r.graph : with_types(*built_->small);
        return resolved_[types] = r;
    }

    const WorkloadChoice& workload_;
    const Params& params_;
    const Files& files_;
    std::optional<Built> built_;
    std::map<std::string, Built> resolved_;
};

/// The backends asked: those the experiment names, which are told why not, else those whose business the machine is.
std::vector<std::string> names_of(const SystemChoice& s, const BackendSet& backends) {
    if (!s.backends.empty()) return s.backends;
    std::vector<std::string> out;
    for (const std::string& name : backends.default_names(!s.meshes.empty())) {
        const Backend& b = *backends.find(name);
        const SystemKind kind = s.system->kind;
        if (b.suits(kind) && (b.kind() != Kind::measured || kind == SystemKind::host)) out.push_back(name);
    }
    return out;
}

bool contains(const std::vector<std::string>& words, const std::string& word) {
    return std::find(words.begin(), words.end(), word) != words.end();
}

/// Words of the measured backends of a system: ways to run, which are no business of models.
std::vector<std::string> ways_to_run(const SystemChoice& s, const BackendSet& backends) {
    std::vector<std::string> out;
    for (const std::string& name : names_of(s, backends))
        if (const Backend& b = backends.require(name, s.where); b.kind() == Kind::measured)
            for (std::string& word : b.algorithms()) out.push_back(std::move(word));
    return out;
}

/// The algorithms of the experiment that concern this backend: those it knows, and of those it does not the ones it is
/// to decline in its own words. Empty text: its own choice.
std::vector<std::string> algorithms_for(const SystemChoice& s, const Backend& backend,
                                        const std::vector<std::string>& ways) {
    const std::vector<std::string> its = backend.algorithms();
    std::vector<std::string> out;
    for (const std::string& a : s.algorithms)
        if (contains(its, a) || (backend.takes_mesh() && !contains(ways, a))) out.push_back(a);
    return out.empty() ? std::vector<std::string>{""} : out;
}

/// What the experiment names of a mapping, one for each combination; ranks are what a measured backend was started
/// with.
std::vector<Mapping> mappings_of(const SystemChoice& s, const Backend& backend, const Params& p, int ranks,
                                 const std::vector<std::string>& ways) {
    Mapping given;
    const bool real = backend.kind() == Kind::measured, host = s.system->kind == SystemKind::host;
    const bool named = s.mapping && backend.kind() != Kind::bound && (!real || backend.collective());
    if (named && (!s.mapping->algorithm.empty() || (!real && !host))) return {*s.mapping};
    if (named) {
        given = *s.mapping;
    } else if (real && backend.collective()) {  // what trains on data shares the batch, all else the model
        const bool replicas = p.has("data") && p.has("batch") && p.integer("batch") % ranks == 0;
        (replicas ? given.data : given.tensor) = ranks;
    }
    const std::vector<MeshChoice> any_mesh{{}};
    std::vector<Mapping> out;
    for (const MeshChoice& m : s.meshes.empty() || !backend.takes_mesh() ? any_mesh : s.meshes)
        for (const std::string& a : algorithms_for(s, backend, ways)) {
            if (m.rows > 0) given.rows = m.rows, given.columns = m.columns;
            given.algorithm = a;
            out.push_back(given);
        }
    return out;
}

bool takes_part(const SystemChoice& s, const Workload& w, const Params& p) {
    for (const auto& [name, value] : s.only) {
        const auto& all = p.all();
        if (std::none_of(all.begin(), all.end(),
                         [&](const auto& x) { return x.first == name && text(x.second) == value; }))
            return false;
    }
    return s.workloads.empty() || std::find(s.workloads.begin(), s.workloads.end(), w.name) != s.workloads.end();
}

/// An algorithm that no backend of the system knows is a misspelt one.
void check_algorithms(const SystemChoice& s, const BackendSet& backends) {
    if (s.algorithms.empty()) return;
    std::vector<std::string> known;
    for (const std::string& name : names_of(s, backends)) {
        const Backend& backend = backends.require(name, s.where);
        const std::vector<std::string> its = backend.algorithms();
        if (its.empty() && backend.takes_mesh()) return;  // it will say itself
        for (const std::string& a : its)
            if (!contains(known, a)) known.push_back(a);
    }
    for (const std::string& a : s.algorithms)
        if (!contains(known, a))
            throw Error({s.where, fmt::format("no backend of {} has an algorithm {}", s.system->id, in_quotes(a)),
                         known.empty() ? "it would be ignored" : "", did_you_mean(a, known)});
}

/// What is emulated is spread as the first backend that searches would spread it. The key is the experiment's, without
/// what was found.
void spread(PlannedCase& x, const BackendSet& backends) {
    if (x.kind != Kind::emulated || !x.refused.empty() || x.c.mapping.units() > 1) return;
    try {
        for (const BackendRow& row : all_backends())
            if (const Backend* b = backends.find(row.name))
                if (const std::optional<Mapping> best = b->best_mapping(x.c)) {
                    x.c.mapping = *best;
                    return;
                }
    } catch (const Error& e) {
        x.refused = without_stop(e.what());
    }
}

/// Why so many units cannot be measured here: a rank speaks for one of them. Empty if they can.
std::string unmeasurable(const System& system, int units, int speakers) {
    if (system.kind == SystemKind::host)
        return units > 1 ? fmt::format("{} of this machine cannot be measured: there is one", units) : "";
    if (units == speakers) return "";
    return fmt::format("{} x {} {} measured by {} rank{}, and there {} {}: start it as mpirun -n {}", units, system.id,
                       units == 1 ? "is" : "are", units, units == 1 ? "" : "s", speakers == 1 ? "is" : "are", speakers,
                       units);
}

PlannedCase begin(const Experiment& e, const SystemChoice& s, int units, const std::string& name,
                  const Backend& backend, const Mapping& mapping, int ranks) {
    PlannedCase x;
    x.backend = &backend;
    x.kind = backend.kind();
    x.c.system = s.system;
    x.c.backend = name;
    x.c.units = units;
    x.c.threads = s.threads;
    x.c.mapping = mapping;
    if (backend.kind() == Kind::emulated) x.c.emulation = s.emulation;
    x.c.protocol = e.protocol;
    x.c.seed = e.seed;
    if (backend.kind() != Kind::measured) return x;
    const int speakers = backend.collective() ? ranks : 1;
    if (!s.units_named && !s.mapping && s.system->kind != SystemKind::host) x.c.units = speakers;
    x.refused = unmeasurable(*s.system, x.c.units, speakers);
    return x;
}

std::string key_of(const Case& c) {
    std::string key = fmt::format("{} {} | {}", c.workload, c.params.key(), c.system->id);
    for (const auto& [option, choice] : c.system->chosen) key += fmt::format(" {}={}", option, choice);
    key += fmt::format(" units={} | {}", c.units, c.backend);
    if (c.mapping.text() != "1") key += " " + c.mapping.text();
    if (const std::string emulated = c.emulation.text(); !emulated.empty()) key += " " + emulated;
    if (c.threads > 0) key += fmt::format(" threads={}", c.threads);
    return key;
}

/// A measured generation reads the prompt; models need its length alone.
void answer_to(const std::shared_ptr<Prompt>& prompt, PlannedCase& x) {
    suit_prompt(*prompt, x.c.params, *x.c.graph);
    if (x.kind != Kind::measured) return;
    x.prompt = prompt;
    x.tokens = tokens_of(*prompt);
}

/// The whole keeps its own band where wholes of its family were measured, and not their phases.
void give_phases_bands(PlannedCase& x, const Bands& bands) {
    x.judged_whole = !is_extrapolated(*x.band);
    for (const Phase& phase : x.c.graph->phases()) {
        if (const auto band = bands.of(x.c.backend, x.c.system->id, x.c.system->kind, phase.name))
            x.phase_bands[phase.name] = *band;
        x.judged_whole = x.judged_whole && !same_family(phase.name, x.c.workload);
    }
}

}  // namespace

std::vector<PlannedCase> expand(const Experiment& e, const Files& files, const BackendSet& backends, int ranks,
                                const std::string& filter) {
    for (const SystemChoice& s : e.systems) check_algorithms(s, backends);
    std::vector<PlannedCase> plan;
    const Bands bands = Bands::read(files);
    const Files near = files.beside(std::filesystem::path(e.file).parent_path().string());
    for (const WorkloadChoice& w : e.workloads)
        for (const Params& asked : w.points) {
            const std::shared_ptr<Prompt> prompt = read_prompt(asked, near);
            const Params p = with_end_of_text(prompt ? with_prompt(asked, *prompt) : asked, near);
            Point point(w, p, near);
            for (const SystemChoice& s : e.systems) {
                if (!takes_part(s, *w.workload, p)) continue;
                const std::vector<std::string> ways =
                    s.algorithms.empty() ? std::vector<std::string>{} : ways_to_run(s, backends);
                for (std::int64_t units : s.units)
                    for (const std::string& name : names_of(s, backends)) {
                        const Backend& backend = backends.require(name, s.where);
                        for (const Mapping& mapping : mappings_of(s, backend, p, ranks, ways)) {
                            PlannedCase x = begin(e, s, static_cast<int>(units), name, backend, mapping, ranks);
                            x.c.workload = w.workload->name;
                            x.c.params = p;
                            x.c.key = key_of(x.c);
                            x.label = label_of(w, p);
                            if (x.kind != Kind::measured && x.kind != Kind::bound)
                                x.band = bands.of(name, s.system->id, s.system->kind, w.workload->name);
                            if (!passes(x.c.key, filter)) continue;
                            point.resolve(x);
                            if (prompt) answer_to(prompt, x);
                            if (p.has("eos") && x.kind != Kind::measured)
                                x.refused =
                                    "how many tokens there are until \"eos\" is known only where they are computed";
                            spread(x, backends);
                            if (x.band) give_phases_bands(x, bands);
                            plan.push_back(std::move(x));
                        }
                    }
            }
        }
    return plan;
}

}  // namespace wb
