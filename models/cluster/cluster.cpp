#include <fmt/format.h>

#include <algorithm>

#include "core/backend.hpp"
#include "core/error.hpp"
#include "core/partition.hpp"
#include "core/resize.hpp"
#include "core/units.hpp"
#include "models/bounds.hpp"
#include "models/cluster/search.hpp"
#include "models/cluster/step.hpp"
#include "models/collective_algorithm.hpp"
#include "models/offload.hpp"
#include "models/pipeline_schedule.hpp"
#include "models/transfer.hpp"
#include "models/transfer_session.hpp"

namespace wb {

std::unique_ptr<Backend> make_cluster();

namespace {

bool is_bare_collective(const Graph& g) { return g.ops().size() == 1 && g.ops()[0].kind == OpKind::collective; }

/// How a case is spread: what it names, or for a model the best that a search finds, else tensor parallelism.
struct Choice {
    Mapping mapping;
    std::string refusal, why;
    double again = 1;  ///< part of the layers that are recomputed, where the mapping recomputes
};

bool is_named(const Mapping& m) {
    Mapping plain;
    plain.algorithm = m.algorithm;
    return m.text() != plain.text();
}

std::string too_large(const cluster::Footprint& f, double room, const Mapping& m, const cluster::Device& d) {
    if (f.total() <= room) return cluster::host_refusal(f, d, m);
    return fmt::format("{} does not fit the {} of a unit: it needs {}", m.text(), format(Bytes(room)), f.text());
}

/// What comes before a way to recompute: selective before full, nothing before selective.
Mapping lighter(Mapping m) {
    using Recompute = Mapping::Recompute;
    m.recompute = m.recompute == Recompute::full ? Recompute::selective : Recompute::none;
    return m;
}

/// A mapping that recomputes its way in the part `again` of its layers, the lighter way in the others.
cluster::Candidate evaluated(cluster::Planner& planner, const Mapping& m, double again) {
    cluster::Candidate c = planner.evaluate(m);
    if (m.recompute == Mapping::Recompute::none || again >= 1) return c;
    const cluster::Candidate less = planner.evaluate(lighter(m));
    c.step = cluster::blend(less.step, c.step, again);
    c.memory = cluster::blend(less.memory, c.memory, again);
    return c;
}

/// The fastest way to make a mapping fit by what it leaves open: sequence parallelism, sharing of the optimizer's state
/// (runs that share more say so), and recomputation in as many layers as it takes.
std::optional<Choice> completed(cluster::Planner& planner, const Mapping& given, double room) {
    std::optional<Choice> best;
    double best_time = 0;
    using Recompute = Mapping::Recompute;
    Mapping m = given;
    for (const Recompute r : {Recompute::none, Recompute::selective, Recompute::full})
        for (const bool sp : {false, true})
            for (int shard = given.shard; shard <= std::max(1, given.shard); ++shard) {
                if (given.recompute != Recompute::none && r != given.recompute) continue;
                if (sp < given.sequence_parallel || (sp && m.tensor == 1)) continue;
                m.recompute = r;
                m.sequence_parallel = sp;
                m.shard = shard;
                const double all = cluster::footprint(planner.memory(m.tensor), m).total();
                if (all > room) continue;
                double again = 1;
                if (r != Recompute::none && given.recompute == Recompute::none) {
                    const double without = cluster::footprint(planner.memory(m.tensor), lighter(m)).total();
                    again = without > room ? (without - room) / (without - all) : 0;
                }
                const double time = evaluated(planner, m, again).step.time;
                if (best && best_time <= time) continue;
                best = Choice{m, "", "", again};
                best_time = time;
            }
    return best;
}

Choice named(cluster::Planner& planner, const Mapping& m, int units, const cluster::Device& device) {
    Choice out{m, cluster::unlawful(planner.shape(), m, units), ""};
    if (!out.refusal.empty() || !planner.shape().is_model()) return out;
    const cluster::Footprint f = cluster::footprint(planner.memory(m.tensor), m);
    out.refusal = cluster::host_refusal(f, device, m);
    if (!out.refusal.empty()) return out;
    const double room = cluster::unit_capacity(device.system());
    if (room > 0 && f.total() > room) {
        const bool open = m.open && planner.shape().training;
        const auto fits = open ? completed(planner, m, room) : std::nullopt;
        if (!fits && !open) return {m, too_large(f, room, m, device), ""};
        if (!fits)  // it ran, so its authors kept less than this model knows of
            return {m, "", fmt::format("taken to fit, as it ran: {}", too_large(f, room, m, device))};
        out = *fits;
        out.why = fmt::format("{} chosen, as {} needs {}", out.mapping.text(), m.text(), format(Bytes(f.total())));
        if (out.mapping.recompute != Mapping::Recompute::none && out.again < 1)
            out.why += fmt::format(", in {:.0f} % of the layers", 100 * out.again);
    }
    planner.evaluate(m);  // throws where the fabrics do not reach
    return out;
}

/// An inference that no mapping spreads over all units leaves some idle: the fewest.
std::optional<Choice> with_idle_units(cluster::Planner& planner, int units) {
    for (int n = units - 1; 2 * n > units; --n)
        if (const cluster::Found found = planner.search(n); found.best)
            return Choice{found.best->mapping, "",
                          fmt::format("{} of {} units idle; {}", units - n, units, found.text())};
    return std::nullopt;
}

Choice searched(cluster::Planner& planner, const Case& c, const cluster::Device& device) {
    constexpr int optimizer_state = 1;  // published runs that share more say so
    cluster::Found found = planner.search(c.units, c.mapping.open ? optimizer_state : 3);
    if (!found.best && c.mapping.open) found = planner.search(c.units);
    if (found.best) {
        Choice out{found.best->mapping, "", found.text()};
        out.mapping.open = c.mapping.open;
        return out;
    }
    if (!found.smallest && !planner.shape().training)
        if (auto some = with_idle_units(planner, c.units)) return *some;
    if (!found.smallest)
        return {
            {},
            fmt::format("no mapping of {} units divides the model and its batch of {}", c.units, planner.shape().batch),
            ""};
    return {{},
            fmt::format("none of {} mappings fits; nearest: ", found.lawful + found.kept) +
                too_large(found.smallest->memory, found.capacity, found.smallest->mapping, device),
            ""};
}

Choice choose(const Case& c, cluster::Parts& parts) {
    const cluster::Device device(*c.system);
    cluster::Planner planner(c.graph, device, parts);
    if (!planner.shape().is_model() && !is_named(c.mapping)) {
        Mapping m = c.mapping;
        if (m.units() == 1) m.tensor = c.units;
        return {m, "", ""};
    }
    if (is_named(c.mapping)) return named(planner, c.mapping, c.units, device);
    return searched(planner, c, device);
}

class ClusterSession final : public Session {
public:
    ClusterSession(const Case& c, Choice choice, cluster::Parts& parts)
        : graph_(c.graph),
          system_(c.system),
          mapping_(choice.mapping),
          again_(choice.again),
          detail_(std::move(choice.why)),
          units_(c.units),
          brief_(c.protocol.brief) {
        const cluster::Device device(*system_);
        cluster::Planner planner(graph_, device, parts);
        if (planner.shape().is_model())
            model(planner, device);
        else
            operators(planner, device);
    }

    Sample run() override { return sample_; }

    ResourceUse usage() const override {
        ResourceUse use;
        use.memory = parts_;  // of the main memory
        for (const Memory& m : parts_.empty() ? system_->memories : std::vector<Memory>{})
            use.memory.push_back({m.name, Bytes(m.capacity ? m.capacity->value : 0), Bytes(0), Bytes(0)});
        if (parts_.empty() && !use.memory.empty()) {
            use.memory.back().peak = resident_;
            use.memory.back().traffic = traffic_;
        }
        if (network_ > Seconds(0)) {
            CommUse comm = communication_;
            comm.fabric = system_->fabrics.empty() ? "" : system_->fabrics.front().name;
            comm.operation = "all";
            comm.time = comm.exposed = network_;
            use.communication.push_back(comm);
        }
        use.detail = detail_;
        use.useful = graph_->flops();
        use.mapping = is_bare_collective(*graph_) ? fmt::format("{} ranks", units_) : mapping_.text();
        return use;
    }

private:
    void operators(cluster::Planner& planner, const cluster::Device& device) {
        const Graph& local = is_bare_collective(*graph_) ? *graph_ : planner.part(mapping_.tensor).local;
        const cluster::Step step = cluster::cost(local, device, units_, mapping_.algorithm);
        sample_ = {Seconds(step.time), step.spans};
        traffic_ = Bytes(step.bytes);
        resident_ = resident_bytes(local, 1);
        network_ = Seconds(step.communication);
        describe(local);
    }

    void model(cluster::Planner& planner, const cluster::Device& device) {
        const cluster::Candidate c = evaluated(planner, mapping_, again_);
        const cluster::ModelStep& step = c.step;
        const double room = cluster::unit_capacity(*system_);
        sample_ = {Seconds(step.time), step.spans()};
        parts_ = c.memory.levels(room, cluster::host_of(device).share(units_));
        if (brief_) return;
        network_ = Seconds(step.tensor_network + step.context_network + step.pipeline_network + step.data_network);
        describe(planner.part(mapping_.tensor).local);
        play(planner.work(mapping_), device, step);
        detail_ += fmt::format("{}{}", detail_.empty() ? "" : "; ", c.memory.text());
    }

    /// The schedule, stage by stage, where it is short enough to be looked at.
    void play(const cluster::ModelWork& work, const cluster::Device& device, const cluster::ModelStep& step) {
        constexpr double most_turns = 20000;
        const double turns = 2.0 * mapping_.pipeline * mapping_.microbatches * mapping_.virtual_stages;
        if (mapping_.pipeline == 1 || turns > most_turns) return;
        if (mapping_.virtual_stages > 1 && mapping_.microbatches % mapping_.pipeline != 0) return;
        const Timeline t =
            wb::play(cluster::pipeline_steps(work, device, mapping_), cluster::step_seconds(device, mapping_));
        sample_.spans.insert(sample_.spans.end(), t.spans.begin(), t.spans.end());
        detail_ += fmt::format("{}schedule played: {}, closed form {}; stage 0 idle {}", detail_.empty() ? "" : "; ",
                               format(Seconds(t.seconds)), format(Seconds(step.time)), format(Seconds(t.idle.front())));
    }

    void describe(const Graph& local) {
        if (!(network_ > Seconds(0))) return;
        communication_.bytes = communication_bytes(local);
        for (const Block& b : local.blocks())
            for (int i = b.first; i < b.last; ++i)
                if (local.ops()[static_cast<std::size_t>(i)].kind == OpKind::collective)
                    communication_.calls += b.repeat;
        const std::string share =
            fmt::format("{:.0f} % of the time in the network", 100 * (network_ / sample_.elapsed));
        detail_ = detail_.empty() ? share : share + "; " + detail_;
    }

    std::shared_ptr<const Graph> graph_;
    std::shared_ptr<const System> system_;
    Mapping mapping_;
    double again_;
    std::string detail_;
    int units_;
    bool brief_;
    Sample sample_;
    std::vector<MemoryUse> parts_;
    Bytes traffic_{0}, resident_{0};
    Seconds network_{0};
    CommUse communication_;
};

/// What a search found for the last case asked about: supports() and prepare() need it both.
class LastChoice {
public:
    const Choice& of(const Case& c) {
        if (graph_ != c.graph || system_ != c.system || units_ != c.units || mapping_ != key(c)) {
            choice_ = choose(c, parts_);
            graph_ = c.graph;
            system_ = c.system;
            units_ = c.units;
            mapping_ = key(c);
        }
        return choice_;
    }

    cluster::Parts& parts() { return parts_; }

private:
    static std::string key(const Case& c) { return c.mapping.text() + (c.mapping.open ? " open" : ""); }

    std::shared_ptr<const Graph> graph_;
    std::shared_ptr<const System> system_;
    int units_ = 0;
    std::string mapping_;
    Choice choice_;
    cluster::Parts parts_;
};

class Cluster final : public Backend {
public:
    Kind kind() const override { return Kind::modelled; }
    bool suits(SystemKind kind) const override { return kind == SystemKind::cluster; }
    std::vector<std::string> algorithms() const override {
        auto names = cluster::collective_algorithm_names();
        names.push_back("gpipe");
        names.push_back("early-stop");
        return names;
    }

    Support supports(const Case& c, int) const override {
        const System& s = *c.system;
        if (s.kind != SystemKind::cluster) return Support::no(s.id + " is no cluster of discrete units");
        if (only_moves(*c.graph)) return transfer_support(c);
        if (const std::string key = cluster::missing_constant(s); !key.empty())
            return Support::no(fmt::format("{} has no constant \"{}\": nothing measured on it to fit", s.id, key));
        if (std::string why = missing_peak(*c.graph, s); !why.empty()) return Support::no(std::move(why));
        if (const auto most = joinable_units(s); most && c.units > *most)
            return Support::no(fmt::format("{} units are more than the {:.0f} that {} joins", c.units, *most, s.id));
        if (is_bare_collective(*c.graph) && c.units == 1) return Support::no("a collective needs two units or more");
        try {
            const Choice& choice = last_.of(c);
            if (!choice.refusal.empty()) return Support::no(choice.refusal);
            const Bytes needed = resident_bytes(*c.graph, c.units);
            if (const auto room = capacity(s, c.units); room && needed > *room && !choice.mapping.offload)
                return Support::no(
                    fmt::format("needs {} and {} x {} hold {}", format(needed), c.units, s.id, format(*room)));
            if (!cluster::shape_of(*c.graph).is_model())
                ClusterSession(c, choice, last_.parts());  // throws where it cannot be cut
        } catch (const Error& e) {
            return Support::no(without_stop(e.what()));
        }
        return {};
    }

    std::unique_ptr<Session> prepare(const Case& c, Comm&) const override {
        if (only_moves(*c.graph)) return transfer_session(c, false);
        return std::make_unique<ClusterSession>(c, last_.of(c), last_.parts());
    }

    std::optional<Mapping> best_mapping(const Case& c) const override {
        const System& s = *c.system;
        if (s.kind != SystemKind::cluster || !cluster::missing_constant(s).empty()) return std::nullopt;
        if (is_named(c.mapping) || !cluster::shape_of(*c.graph).is_model()) return std::nullopt;
        if (!missing_peak(*c.graph, s).empty()) return std::nullopt;
        const Choice& choice = last_.of(c);
        if (!choice.refusal.empty()) throw Error({"mapping", choice.refusal, "", ""});
        return choice.mapping;
    }

    std::vector<MemoryUse> memory_of(const Case& c) const override {
        if (c.system->kind != SystemKind::cluster || !cluster::missing_constant(*c.system).empty() ||
            only_moves(*c.graph))
            return {};
        const cluster::Device device(*c.system);
        cluster::Planner planner(c.graph, device, last_.parts());
        if (!planner.shape().is_model() || !cluster::unlawful(planner.shape(), c.mapping, c.units).empty()) return {};
        return cluster::footprint(planner.memory(c.mapping.tensor), c.mapping)
            .levels(cluster::unit_capacity(*c.system), cluster::host_of(device).share(c.units));
    }

    std::optional<double> cache_tokens(const Case& c) const override {
        const double room = c.system->kind == SystemKind::cluster ? cluster::unit_capacity(*c.system) : 0;
        if (room <= 0 || !cluster::missing_constant(*c.system).empty() || only_moves(*c.graph)) return std::nullopt;
        const cluster::Device device(*c.system);
        cluster::Planner planner(*c.graph, device);
        if (!planner.shape().is_model() || planner.shape().training ||
            !cluster::unlawful(planner.shape(), c.mapping, c.units).empty())
            return std::nullopt;
        const cluster::Footprint f = cluster::footprint(planner.memory(c.mapping.tensor), c.mapping);
        const StepShape s = step_shape(*c.graph);
        const double cached = static_cast<double>(s.batch * (s.cached + s.step));
        return std::max(0.0, room - (f.total() - f.cache)) / (f.cache / cached);
    }

private:
    mutable LastChoice last_;  // the same for the same case, whoever asks
};

}  // namespace

std::unique_ptr<Backend> make_cluster() { return std::make_unique<Cluster>(); }

}  // namespace wb
