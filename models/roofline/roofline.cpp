#include <fmt/format.h>

#include <algorithm>

#include "core/backend.hpp"
#include "core/units.hpp"
#include "models/bounds.hpp"
#include "models/transfer.hpp"
#include "models/transfer_session.hpp"

namespace wb {

std::unique_ptr<Backend> make_roofline();

namespace {

struct Named {
    const char* resource;
    Limit limit;
};

std::vector<Named> limits(const Case& c) {
    return {{"compute", compute_limit(*c.graph, *c.system, c.units)},
            {"memory", memory_limit(*c.graph, *c.system, c.units)},
            {"network", network_limit(*c.graph, *c.system, c.units, c.mapping)}};
}

const Named& slowest(const std::vector<Named>& all) {
    return *std::max_element(all.begin(), all.end(),
                             [](const Named& a, const Named& b) { return a.limit.time < b.limit.time; });
}

bool communicates(const Graph& g) {
    return std::any_of(g.ops().begin(), g.ops().end(), [](const Op& op) { return op.kind == OpKind::collective; });
}

class RooflineSession final : public Session {
public:
    explicit RooflineSession(const Case& c) : graph_(c.graph), system_(c.system), units_(c.units), limits_(limits(c)) {}

    Sample run() override {
        Sample sample{slowest(limits_).limit.time, {}};
        for (const Named& n : limits_) {
            Span span;
            span.resource = n.resource;
            span.duration = n.limit.time;
            span.bytes = n.limit.bytes;
            span.flops = n.limit.flops;
            sample.spans.push_back(span);
        }
        return sample;
    }

    ResourceUse usage() const override {
        ResourceUse use;
        const std::vector<Bytes> crossing = crossing_bytes(*graph_, *system_, units_);
        for (std::size_t i = 0; i < crossing.size(); ++i) {
            const Memory& m = system_->memories[i];
            const bool outermost = i + 1 == crossing.size();
            use.memory.push_back({m.name, Bytes(m.capacity ? m.capacity->value : 0),
                                  outermost ? resident_bytes(*graph_, units_) / units_ : Bytes(0),
                                  crossing[i] / units_});
        }
        use.useful = graph_->flops();
        use.mapping = "any";
        use.detail = detail();
        use.band = {1, 1, "bound"};
        return use;
    }

private:
    std::string detail() const {
        const Named& most = slowest(limits_);
        std::string text = fmt::format("{}: {}", most.resource, most.limit.text);
        if (units_ > 1 && !communicates(*graph_)) text += "; network not bounded";
        return text;
    }

    std::shared_ptr<const Graph> graph_;
    std::shared_ptr<const System> system_;
    int units_;
    std::vector<Named> limits_;
};

class Roofline final : public Backend {
public:
    Kind kind() const override { return Kind::bound; }

    Support supports(const Case& c, int) const override {
        const std::string& id = c.system->id;
        if (std::string why = missing_peak(*c.graph, *c.system); !why.empty()) return Support::no(std::move(why));
        if (const auto most = joinable_units(*c.system); most && c.units > *most)
            return Support::no(fmt::format("{} units are more than the {:.0f} that {} joins", c.units, *most, id));
        if (only_moves(*c.graph)) return transfer_support(c);
        const Bytes needed = resident_bytes(*c.graph, c.units);
        if (const auto room = capacity(*c.system, c.units); room && needed > *room)
            return Support::no(fmt::format("needs {} and {} x {} hold {}", format(needed), c.units, id, format(*room)));
        if (slowest(limits(c)).limit.time == Seconds(0))
            return Support::no(
                fmt::format("nothing known of {} bounds it: all it moves may stay where no bandwidth is known", id));
        return {};
    }

    std::unique_ptr<Session> prepare(const Case& c, Comm&) const override {
        if (only_moves(*c.graph)) return transfer_session(c, true);
        return std::make_unique<RooflineSession>(c);
    }
};

}  // namespace

std::unique_ptr<Backend> make_roofline() { return std::make_unique<Roofline>(); }

}  // namespace wb
