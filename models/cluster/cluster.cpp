#include <fmt/format.h>

#include <algorithm>

#include "core/backend.hpp"
#include "core/error.hpp"
#include "core/partition.hpp"
#include "core/units.hpp"
#include "models/bounds.hpp"
#include "models/cluster/step.hpp"
#include "models/cluster/training.hpp"

namespace wb {

std::unique_ptr<Backend> make_cluster();

namespace {

bool is_bare_collective(const Graph& g) { return g.ops().size() == 1 && g.ops()[0].kind == OpKind::collective; }

/// The mapping of the case, or tensor parallelism over all units.
Mapping mapping_of(const Case& c) {
    Mapping m = c.mapping;
    if (m.units() == 1) m.tensor = c.units;
    return m;
}

/// The part of one tensor rank.
std::shared_ptr<const Graph> local_graph(const Case& c) {
    if (c.units == 1 || is_bare_collective(*c.graph)) return c.graph;
    Mapping tensor;
    tensor.tensor = mapping_of(c).tensor;
    if (tensor.tensor == 1) return c.graph;
    // The rules of operators name classes of types again where a product is wider than its operands.
    const System& s = *c.system;
    return std::make_shared<Graph>(
        partition(*c.graph, tensor, 0)
            .local.resolved(s.native16.value_or(DType::any16), s.native8.value_or(DType::any8)));
}

class ClusterSession final : public Session {
public:
    explicit ClusterSession(const Case& c)
        : graph_(c.graph), local_(local_graph(c)), system_(c.system), mapping_(mapping_of(c)), units_(c.units) {
        const cluster::Device device(*system_);
        if (cluster::is_training(*local_)) {
            const cluster::TrainingStep step = cluster::training_step(*local_, device, mapping_);
            sample_ = {Seconds(step.time), step.spans()};
        } else {
            const cluster::Step step = cluster::cost(*local_, device, units_, mapping_.algorithm);
            sample_ = {Seconds(step.time), step.spans};
            traffic_ = Bytes(step.bytes);
        }
    }

    Sample run() override { return sample_; }

    ResourceUse usage() const override {
        ResourceUse use;
        for (const Memory& m : system_->memories)
            use.memory.push_back({m.name, Bytes(m.capacity ? m.capacity->value : 0), Bytes(0), Bytes(0)});
        if (!use.memory.empty()) {
            use.memory.back().peak = resident_bytes(*local_, 1);
            use.memory.back().traffic = traffic_;
        }
        CommUse comm;
        for (const Span& span : sample_.spans)
            if (span.resource == "network") comm.time += span.duration;
        if (comm.time > Seconds(0)) {
            comm.fabric = system_->fabrics.empty() ? "" : system_->fabrics.front().name;
            comm.operation = "all";
            comm.bytes = communication_bytes(*local_);
            comm.exposed = comm.time;
            for (const Block& b : local_->blocks())
                for (int i = b.first; i < b.last; ++i)
                    if (local_->ops()[static_cast<std::size_t>(i)].kind == OpKind::collective) comm.calls += b.repeat;
            use.detail = fmt::format("{:.0f} % of the time in the network", 100 * (comm.time / sample_.elapsed));
            use.communication.push_back(comm);
        }
        use.useful = graph_->flops();
        use.mapping = is_bare_collective(*graph_) ? fmt::format("{} ranks", units_) : mapping_.text();
        return use;
    }

private:
    std::shared_ptr<const Graph> graph_, local_;
    std::shared_ptr<const System> system_;
    Mapping mapping_;
    int units_;
    Sample sample_;
    Bytes traffic_;
};

/// Why the model cannot spread the graph like that; empty if it can.
std::string unsupported_mapping(const Case& c) {
    const Mapping m = mapping_of(c);
    if (m.units() != c.units)
        return fmt::format("mapping {} takes {} units, the case has {}", m.text(), m.units(), c.units);
    if (!cluster::is_training(*c.graph) && m.units() != m.tensor)
        return "only training is modelled with more than tensor parallelism yet";
    return "";
}

class Cluster final : public Backend {
public:
    Kind kind() const override { return Kind::modelled; }
    bool suits(SystemKind kind) const override { return kind == SystemKind::cluster; }

    Support supports(const Case& c, int) const override {
        const System& s = *c.system;
        if (s.kind != SystemKind::cluster) return Support::no(s.id + " is no cluster of discrete units");
        if (const std::string key = cluster::missing_constant(s); !key.empty())
            return Support::no(fmt::format("{} has no constant \"{}\": nothing measured on it to fit", s.id, key));
        if (std::string why = missing_peak(*c.graph, s); !why.empty()) return Support::no(std::move(why));
        if (const auto most = joinable_units(s); most && c.units > *most)
            return Support::no(fmt::format("{} units are more than the {:.0f} that {} joins", c.units, *most, s.id));
        if (is_bare_collective(*c.graph) && c.units == 1) return Support::no("a collective needs two units or more");
        if (std::string why = unsupported_mapping(c); !why.empty()) return Support::no(std::move(why));
        const Bytes needed = resident_bytes(*c.graph, c.units);
        if (const auto room = capacity(s, c.units); room && needed > *room)
            return Support::no(
                fmt::format("needs {} and {} x {} hold {}", format(needed), c.units, s.id, format(*room)));
        try {
            local_graph(c);
        } catch (const Error& e) {
            return Support::no(e.what());
        }
        return {};
    }

    std::unique_ptr<Session> prepare(const Case& c, Comm&) const override {
        return std::make_unique<ClusterSession>(c);
    }
};

}  // namespace

std::unique_ptr<Backend> make_cluster() { return std::make_unique<Cluster>(); }

}  // namespace wb
