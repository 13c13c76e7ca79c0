#include <fmt/format.h>

#include <algorithm>

#include "core/backend.hpp"
#include "core/error.hpp"
#include "core/partition.hpp"
#include "core/units.hpp"
#include "models/bounds.hpp"
#include "models/cluster/step.hpp"

namespace wb {

std::unique_ptr<Backend> make_cluster();

namespace {

bool is_bare_collective(const Graph& g) { return g.ops().size() == 1 && g.ops()[0].kind == OpKind::collective; }

/// The part of one unit: tensor parallelism over all units unless the mapping says otherwise.
std::shared_ptr<const Graph> local_graph(const Case& c) {
    if (c.units == 1 || is_bare_collective(*c.graph)) return c.graph;
    Mapping mapping;
    mapping.tensor = c.units;
    return std::make_shared<Graph>(partition(*c.graph, mapping, 0).local);
}

class ClusterSession final : public Session {
public:
    explicit ClusterSession(const Case& c)
        : graph_(c.graph),
          local_(local_graph(c)),
          system_(c.system),
          units_(c.units),
          step_(cluster::cost(*local_, cluster::Device(*system_), units_)) {}

    Sample run() override { return {Seconds(step_.time), step_.spans}; }

    ResourceUse usage() const override {
        ResourceUse use;
        for (const Memory& m : system_->memories)
            use.memory.push_back({m.name, Bytes(m.capacity ? m.capacity->value : 0), Bytes(0), Bytes(0)});
        if (!use.memory.empty()) {
            use.memory.back().peak = resident_bytes(*local_, 1);
            use.memory.back().traffic = Bytes(step_.bytes);
        }
        if (step_.communication > 0) {
            CommUse comm;
            comm.fabric = system_->fabrics.empty() ? "" : system_->fabrics.front().name;
            comm.operation = "all";
            comm.bytes = communication_bytes(*local_);
            comm.time = comm.exposed = Seconds(step_.communication);
            for (const Block& b : local_->blocks())
                for (int i = b.first; i < b.last; ++i)
                    if (local_->ops()[static_cast<std::size_t>(i)].kind == OpKind::collective) comm.calls += b.repeat;
            use.communication.push_back(comm);
        }
        use.useful = graph_->flops();
        Mapping mapping;
        mapping.tensor = units_;
        use.mapping = is_bare_collective(*graph_) ? fmt::format("{} ranks", units_) : mapping.text();
        if (step_.communication > 0)
            use.detail = fmt::format("{:.0f} % of the time in collectives", 100 * step_.communication / step_.time);
        return use;
    }

private:
    std::shared_ptr<const Graph> graph_, local_;
    std::shared_ptr<const System> system_;
    int units_;
    cluster::Step step_;
};

class Cluster final : public Backend {
public:
    Kind kind() const override { return Kind::modelled; }

    Support supports(const Case& c, int) const override {
        const System& s = *c.system;
        if (s.kind != SystemKind::cluster) return Support::no(s.id + " is no cluster of discrete units");
        if (const std::string key = cluster::missing_constant(s); !key.empty())
            return Support::no(fmt::format("{} has no constant \"{}\": nothing measured on it to fit", s.id, key));
        if (std::string why = missing_peak(*c.graph, s); !why.empty()) return Support::no(std::move(why));
        if (const auto most = joinable_units(s); most && c.units > *most)
            return Support::no(fmt::format("{} units are more than the {:.0f} that {} joins", c.units, *most, s.id));
        if (is_bare_collective(*c.graph) && c.units == 1) return Support::no("a collective needs two units or more");
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
