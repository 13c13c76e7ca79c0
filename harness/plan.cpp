#include "harness/plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

#include "core/suggest.hpp"
#include "core/tables.hpp"
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

std::vector<std::string> BackendSet::default_names() const {
    std::vector<std::string> out;
    for (const BackendRow& row : all_backends())
        if (row.make && !row.on_request) out.push_back(row.name);
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

}  // namespace

std::vector<PlannedCase> expand(const Experiment& e, const Files& files, const BackendSet& backends, int ranks,
                                const std::string& filter) {
    std::vector<PlannedCase> plan;
    const Bands bands = Bands::read(files);
    for (const WorkloadChoice& w : e.workloads)
        for (const Params& p : w.points) {
            std::optional<Built> built;
            std::map<std::string, Built> resolved;
            for (const SystemChoice& s : e.systems)
                for (std::int64_t units : s.units)
                    for (const std::string& name : s.backends.empty() ? backends.default_names() : s.backends) {
                        const Backend& backend = backends.require(name, s.where);
                        if (s.backends.empty() && backend.kind() == Kind::measured &&
                            s.system->kind != SystemKind::host)
                            continue;  // nothing here can be measured there; an experiment that names it is told so
                        PlannedCase x;
                        x.backend = &backend;
                        x.kind = backend.kind();
                        if (x.kind != Kind::measured && x.kind != Kind::bound)
                            x.band = bands.of(name, s.system->kind, w.workload->name);
                        x.c.workload = w.workload->name;
                        x.c.params = p;
                        x.c.system = s.system;
                        x.c.backend = name;
                        x.c.units = static_cast<int>(units);
                        x.c.threads = s.threads;
                        x.c.protocol = e.protocol;
                        x.c.seed = e.seed;
                        if (backend.kind() == Kind::measured && backend.collective()) x.c.mapping.tensor = ranks;
                        std::string key = fmt::format("{} {} | {}", w.workload->name, p.key(), s.system->id);
                        for (const auto& [option, choice] : s.system->chosen)
                            key += fmt::format(" {}={}", option, choice);
                        key += fmt::format(" units={} | {}", units, name);
                        if (x.c.mapping.units() > 1) key += " " + x.c.mapping.text();
                        if (s.threads > 0) key += fmt::format(" threads={}", s.threads);
                        x.c.key = key;
                        x.label = label_of(w, p);
                        if (backend.kind() == Kind::measured && units > 1)
                            x.refused = fmt::format("{} of this machine cannot be measured: there is one", units);
                        if (!passes(key, filter)) continue;
                        if (!built) built = build(*w.workload, p, files, w.where);
                        const auto n16 = s.system->native16, n8 = s.system->native8;
                        const std::string types =
                            fmt::format("{}/{}", n16 ? wb::name(*n16) : "", n8 ? wb::name(*n8) : "");
                        if (!resolved.contains(types)) {
                            Built r = *built;
                            r.graph = std::make_shared<const Graph>(
                                built->graph->resolved(n16.value_or(DType::any16), n8.value_or(DType::any8)));
                            r.small = built->small == built->graph
                                          ? r.graph
                                          : std::make_shared<const Graph>(built->small->resolved(
                                                n16.value_or(DType::any16), n8.value_or(DType::any8)));
                            resolved[types] = r;
                        }
                        const Built& r = resolved[types];
                        x.c.graph = r.graph;
                        x.c.small = r.small;
                        x.c.small_text = r.small_text;
                        for (std::size_t i = 0; i < r.graph->tensors().size(); ++i) {
                            const DType asked = built->graph->tensors()[i].dtype, got = r.graph->tensors()[i].dtype;
                            if (is_class(asked) && is_class(got))
                                x.refused = fmt::format("{} has no native {} type", s.system->id, wb::name(asked));
                            if (is_class(asked) && !is_class(got))
                                x.c.resolved_dtype = fmt::format("{} -> {}", wb::name(asked), wb::name(got));
                        }
                        plan.push_back(std::move(x));
                    }
        }
    return plan;
}

}  // namespace wb
