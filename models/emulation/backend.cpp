#include "core/backend.hpp"

#include <fmt/format.h>

#include <bit>

#include "core/error.hpp"
#include "core/units.hpp"
#include "models/bounds.hpp"
#include "models/collective_time.hpp"
#include "models/emulation/machine.hpp"
#include "models/emulation/room.hpp"
#include "models/emulation/session.hpp"
#include "models/footprint.hpp"
#include "models/lawful.hpp"
#include "models/offload.hpp"

namespace wb {

std::unique_ptr<Backend> make_emulation();

namespace {

using emulation::is_bare_collective;

constexpr double share_of_free_memory = 0.8;
constexpr double messages_a_second = 1e7;  // for plans only

std::string sentence(const Error::Parts& parts) { return without_stop(Error(parts).what()); }

CollectiveKind kind_of(const Graph& bare) { return bare.ops().front().attributes.collective; }

/// Why the algorithm, named or not, does not fit; empty if it does.
std::string unlawful_algorithm(const Case& c) {
    const std::string& wanted = c.mapping.algorithm;
    const CollectiveKind kind = kind_of(*c.graph);
    const bool hierarchical = wanted.empty() || wanted == "hierarchical";
    if (wanted == "nvls") {
        const bool one = c.units <= cluster::domain_units(*c.system);
        if (kind != CollectiveKind::allreduce || !one || !emulation::Machine::reduces_in_switch(*c.system))
            return sentence(
                {"algorithm",
                 fmt::format("the switches of {} do not add up this {} of {} units", c.system->id, name(kind), c.units),
                 "only allreduce inside a domain is known to be reduced in one", ""});
    } else if (wanted == "dragonfly") {
        cluster::expect_lawful(cluster::CollectiveAlgorithm::dragonfly, kind, *c.system,
                               cluster::network_levels(*c.system, c.units));  // throws what stands in the way
    } else if (!hierarchical) {
        const emulation::Algorithm a = emulation::algorithm_from_name(wanted);
        if (!emulation::plays(kind, a))
            return sentence({"algorithm", fmt::format("{} is not played by \"{}\"", name(kind), wanted),
                             "its messages would not do it", ""});
        if (a == emulation::Algorithm::dissemination && c.emulation.payload == Payload::full &&
            !std::has_single_bit(static_cast<unsigned>(c.units)))
            return sentence({"algorithm", fmt::format("dissemination among {} units adds some data twice", c.units),
                             "only among a power of two of them is the sum right", "Use payload = \"sized\""});
    } else if (wanted == "hierarchical" && c.units <= cluster::domain_units(*c.system)) {
        return sentence({"algorithm", fmt::format("{} units are one domain of {}", c.units, c.system->id),
                         "there is no hierarchy", ""});
    }
    return "";
}

/// Why a unit cannot hold its share of a model; empty if it can.
std::string unlawful_footprint(const Case& c) {
    const double room = cluster::unit_capacity(*c.system);
    const cluster::Device device(*c.system);
    const cluster::Footprint f = cluster::footprint(cluster::model_memory(emulation::local_part(c), device), c.mapping);
    if (std::string why = cluster::host_refusal(f, device, c.mapping); !why.empty()) return why;
    if (room == 0 || f.total() <= room) return "";
    return sentence(
        {"mapping " + c.mapping.text(),
         fmt::format("does not fit the {} of a unit of {}", format(Bytes(room)), c.system->id), "it needs " + f.text(),
         "Name one with more ranks, sharing (zero1 to zero3) or recomputation, or none: the best is found"});
}

/// Why the units cannot share the work like that; empty if they can.
std::string unlawful_mapping(const Case& c) {
    const Mapping& m = c.mapping;
    const auto refused = [&](const std::string& problem, const std::string& why) {
        return sentence({"mapping " + m.text(), problem, why, ""});
    };
    if (is_bare_collective(*c.graph)) return c.units == 1 ? "a collective needs two units or more" : "";
    const cluster::ModelShape shape = cluster::shape_of(*c.graph);
    if (!shape.is_model())
        return "one operator on one unit sends no messages; models and bare collectives are emulated";
    if (std::string why = missing_peak(*c.graph, *c.system); !why.empty()) return why;
    if (const std::string key = cluster::missing_constant(*c.system); !key.empty())
        return fmt::format("{} has no constant \"{}\": nothing measured on it to fit", c.system->id, key);
    if (m.units() != c.units)
        return refused(fmt::format("takes {} units, the case has {}", m.units(), c.units), "some would have no part");
    if (std::string why = cluster::unlawful(shape, m, c.units); !why.empty()) return why;
    if (m.virtual_stages > 1 && m.microbatches % m.pipeline != 0)
        return refused(fmt::format("has {} microbatches, no multiple of {} stages", m.microbatches, m.pipeline),
                       "runs of layers take turns by groups of that many");
    return unlawful_footprint(c);
}

std::string unlawful_faults(const Case& c) {
    for (const Fault& f : c.emulation.faults)
        if (f.unit >= c.units)
            return sentence({"emulation", fmt::format("a fault is of unit {}, the case has {}", f.unit, c.units),
                             "it would never show", "Units are counted from 0"});
    return "";
}

/// Why this machine cannot hold what messages carry; empty if it can.
std::string unlawful_payload(const Case& c, const emulation::Program& program, const StageSteps& steps, int ranks) {
    const emulation::Burden b = emulation::burden(program, steps, cluster::microbatches_in_flight(c.mapping) + 1);
    const double needed = b.bytes * emulation::local_share(ranks), free = emulation::free_bytes();
    if (b.bytes == 0 || needed <= share_of_free_memory * free) return "";
    return sentence({fmt::format("payload \"{}\"", c.emulation.payload == Payload::full ? "full" : "sized"),
                     fmt::format("{} of {} on each of {} units take {} in all, {} of this machine are free", b.largest,
                                 format(Bytes(b.largest_bytes)), c.units, format(Bytes(needed)), format(Bytes(free))),
                     "messages really carry them", "Use payload = \"none\", fewer units, or more machines"});
}

class Emulation final : public Backend {
public:
    Kind kind() const override { return Kind::emulated; }
    bool suits(SystemKind kind) const override { return kind == SystemKind::cluster; }
    bool takes_mesh() const override { return true; }
    std::vector<std::string> algorithms() const override {
        auto names = emulation::algorithm_names();
        names.insert(names.end(), {"hierarchical", "dragonfly", "nvls"});
        return names;
    }
    bool has_outputs(const Case& c) const override {
        return is_bare_collective(*c.graph) && c.emulation.payload == Payload::full;
    }

    Support supports(const Case& c, int ranks) const override {
        const System& s = *c.system;
        if (s.kind != SystemKind::cluster) return Support::no(s.id + " is no cluster of discrete units");
        if (std::string why = emulation::Machine::missing(s); !why.empty()) return Support::no(std::move(why));
        try {
            if (std::string why = refusal(c, ranks); !why.empty()) return Support::no(std::move(why));
        } catch (const Error& e) {
            return Support::no(without_stop(e.what()));
        }
        return {};
    }

    std::unique_ptr<Session> prepare(const Case& c, Comm& comm) const override {
        return emulation::make_session(c, comm);
    }

    double estimate_s(const Case& c) const override {
        try {
            return emulation::messages_of(emulation::program_of(c, emulation::steps_of(c))) / messages_a_second;
        } catch (const std::exception&) {
            return 0;  // supports() tells why
        }
    }

private:
    static std::string refusal(const Case& c, int ranks) {
        const System& s = *c.system;
        if (const auto most = joinable_units(s); most && c.units > *most)
            return sentence({s.id, fmt::format("its fabrics join {:.0f} units, the case has {}", *most, c.units),
                             "messages between the others have no way",
                             "Use fewer, or describe the next fabric in its file"});
        if (ranks > c.units)
            return sentence({"mpirun",
                             fmt::format("{} ranks are more than the {} units they would play", ranks, c.units),
                             "some would have nothing to do", fmt::format("Start {} at most", c.units)});
        if (std::string why = unlawful_mapping(c); !why.empty()) return why;
        if (std::string why = unlawful_faults(c); !why.empty()) return why;
        if (is_bare_collective(*c.graph))
            if (std::string why = unlawful_algorithm(c); !why.empty()) return why;
        const StageSteps steps = emulation::steps_of(c);
        return unlawful_payload(c, emulation::program_of(c, steps), steps, ranks);
    }
};

}  // namespace

std::unique_ptr<Backend> make_emulation() { return std::make_unique<Emulation>(); }

}  // namespace wb
