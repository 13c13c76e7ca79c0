#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "core/backend.hpp"
#include "core/element.hpp"
#include "core/error.hpp"
#include "core/fill.hpp"
#include "core/partition.hpp"
#include "core/units.hpp"
#include "models/bounds.hpp"
#include "models/collective_time.hpp"
#include "models/emulation/engine.hpp"
#include "models/emulation/machine.hpp"
#include "models/lawful.hpp"
#include "models/pipeline_schedule.hpp"

namespace wb {

std::unique_ptr<Backend> make_emulation();

namespace {

using emulation::Engine;

constexpr double share_of_memory = 0.5;
constexpr std::size_t most_watched = 16;

bool is_bare_collective(const Graph& g) { return g.ops().size() == 1 && g.ops()[0].kind == OpKind::collective; }
const Op& only_op(const Graph& g) { return g.ops().front(); }

/// Of the buffer that collectives work on: what is gathered counts whole (nccl-tests).
double buffer_bytes(const Graph& g) {
    const Op& op = only_op(g);
    return std::max(g.bytes(op.in[0]), g.bytes(op.out[0])).si();
}

/// One unit of each stage, and those with a fault.
std::vector<int> watched_units(const StageSteps& steps, const EmulationChoice& choice) {
    const int units = steps.mapping.units(), stages = static_cast<int>(steps.stages.size());
    std::set<int> watched;
    for (const Fault& f : choice.faults) watched.insert(f.unit);
    for (int s = 0; s < stages && watched.size() < most_watched; ++s) watched.insert(s * (units / stages));
    return {watched.begin(), watched.end()};
}

template <DType type>
void add_elements(std::byte* to, const std::byte* from, std::int64_t bytes) {
    const std::int64_t each = stored_bytes(type);
    for (std::int64_t i = 0; i + each <= bytes; i += each)
        encode(decode(type, to + i) + decode(type, from + i), type, to + i);
}

Engine::Add adder(DType type) {
    switch (type) {
        case DType::f64: return add_elements<DType::f64>;
        case DType::f32: return add_elements<DType::f32>;
        case DType::tf32: return add_elements<DType::tf32>;
        case DType::bf16: return add_elements<DType::bf16>;
        case DType::f16: return add_elements<DType::f16>;
        case DType::int8: return add_elements<DType::int8>;
        case DType::int32: return add_elements<DType::int32>;
        case DType::fp8_e4m3: return add_elements<DType::fp8_e4m3>;
        case DType::fp8_e5m2: return add_elements<DType::fp8_e5m2>;
        case DType::fp4: return add_elements<DType::fp4>;
        default: throw ContractError("a class of types has no sum");
    }
}

/// The part of tensor rank 0, as the closed form cuts it.
Graph local_part(const Case& c) {
    if (c.mapping.tensor == 1) return *c.graph;
    Mapping tensor;
    tensor.tensor = c.mapping.tensor;
    const System& s = *c.system;
    return partition(*c.graph, tensor, 0)
        .local.resolved(s.native16.value_or(DType::any16), s.native8.value_or(DType::any8));
}

/// A model goes through the schedule of its mapping, a bare collective is one step.
StageSteps steps_of(const Case& c) {
    if (is_bare_collective(*c.graph))
        return bare_collective(only_op(*c.graph).attributes.collective, buffer_bytes(*c.graph), c.units);
    const cluster::Device device(*c.system);
    return cluster::pipeline_steps(cluster::model_work(local_part(c), device, c.mapping), device, c.mapping);
}

emulation::Program program_of(const Case& c, const StageSteps& steps) {
    emulation::Machine machine(*c.system, steps.mapping);
    emulation::Program p = machine.compile(steps, c.emulation, is_bare_collective(*c.graph) ? c.mapping.algorithm : "");
    if (is_bare_collective(*c.graph)) p.element_bytes = stored_bytes(c.graph->tensor(only_op(*c.graph).in[0]).dtype);
    return p;
}

class EmulationSession final : public Session {
public:
    EmulationSession(const Case& c, Comm& comm)
        : graph_(c.graph),
          choice_(c.emulation),
          seed_(c.seed),
          steps_(steps_of(c)),
          comm_(comm),
          engine_(program_of(c, steps_), comm, watched_units(steps_, c.emulation)) {
        if (choice_.payload != Payload::full) return;
        engine_.add_with(adder(graph_->tensor(only_op(*graph_).in[0]).dtype));
        for (int u = engine_.first_unit(); u < engine_.last_unit(); ++u) fill(u);
    }

    Sample run() override {
        if (choice_.payload == Payload::full)
            for (int u = engine_.first_unit(); u < engine_.last_unit(); ++u) lay_out(u);
        finish_ = engine_.run();
        Sample s{Seconds(static_cast<double>(finish_.time) * 1e-12), {}};
        for (const emulation::Mark& m : finish_.marks) s.spans.push_back(span(m));
        return s;
    }

    std::optional<Outputs> outputs() override;
    ResourceUse usage() const override;

private:
    /// What the unit brings along, from the fill alone.
    void fill(int unit) {
        const Tensor& in = graph_->tensor(only_op(*graph_).in[0]);
        const std::int64_t each = stored_bytes(in.dtype);
        const std::int64_t shares = kind() == CollectiveKind::allgather ? steps_.mapping.tensor : 1;
        const std::int64_t n = elements(in.shape) / shares;
        const FillStream stream(in.fill, seed_, in.name, unit);
        std::vector<std::byte>& to = engine_.input(unit);
        to.resize(static_cast<std::size_t>(n * each));
        for (std::int64_t i = 0; i < n; ++i) encode(stream(i), in.dtype, to.data() + i * each);
    }
    /// The buffer as it is before the collective; what is to arrive is not there yet.
    void lay_out(int unit) {
        const std::vector<std::byte>& in = engine_.input(unit);
        std::vector<std::byte>& buffer = engine_.buffer(unit);
        const auto bytes = static_cast<std::size_t>(buffer_bytes(*graph_));
        buffer.assign(bytes, std::byte{0xff});
        const std::size_t part = bytes / static_cast<std::size_t>(steps_.mapping.tensor);
        const std::size_t mine = part * static_cast<std::size_t>(unit);
        switch (kind()) {
            case CollectiveKind::allgather:
                std::copy(in.begin(), in.end(), buffer.begin() + static_cast<std::ptrdiff_t>(mine));
                break;
            case CollectiveKind::alltoall:
                std::copy_n(in.begin() + static_cast<std::ptrdiff_t>(mine), part,
                            buffer.begin() + static_cast<std::ptrdiff_t>(mine));
                break;
            case CollectiveKind::send_recv: break;
            case CollectiveKind::broadcast:
                if (unit == 0) buffer = in;
                break;
            default: buffer = in;
        }
    }
    CollectiveKind kind() const { return only_op(*graph_).attributes.collective; }
    Span span(const emulation::Mark& m) const {
        const std::size_t each = static_cast<std::size_t>(steps_.mapping.units()) / steps_.stages.size();
        const Step& step = steps_.stages[static_cast<std::size_t>(m.unit) / each][static_cast<std::size_t>(m.step)];
        const bool computes = step.kind == Step::Kind::compute;
        return {-1,
                fmt::format("unit {} {}", m.unit, computes ? "compute" : "network"),
                step.phase,
                Seconds(static_cast<double>(m.start) * 1e-12),
                Seconds(static_cast<double>(m.end - m.start) * 1e-12),
                Bytes(computes ? 0 : step.bytes),
                Flops(0)};
    }

    std::shared_ptr<const Graph> graph_;
    EmulationChoice choice_;
    std::uint64_t seed_;
    StageSteps steps_;
    Comm& comm_;
    Engine engine_;
    emulation::Finish finish_;
};

std::optional<Outputs> EmulationSession::outputs() {
    if (choice_.payload != Payload::full) return std::nullopt;
    std::string mine;
    const std::size_t part =
        static_cast<std::size_t>(buffer_bytes(*graph_)) / static_cast<std::size_t>(steps_.mapping.tensor);
    for (int u = engine_.first_unit(); u < engine_.last_unit(); ++u) {
        const std::vector<std::byte>& buffer = engine_.buffer(u);
        const bool scattered = kind() == CollectiveKind::reduce_scatter;
        const char* from =
            reinterpret_cast<const char*>(buffer.data()) + (scattered ? part * static_cast<std::size_t>(u) : 0);
        mine.append(from, scattered ? part : buffer.size());
    }
    const Op& op = only_op(*graph_);
    const Tensor& out = graph_->tensor(op.out[0]);
    const auto each = static_cast<std::size_t>(stored_bytes(out.dtype));
    const std::size_t bytes =
        kind() == CollectiveKind::reduce_scatter ? part : static_cast<std::size_t>(buffer_bytes(*graph_));
    Outputs all;
    for (const std::string& text : comm_.gather(mine))
        for (std::size_t at = 0; at < text.size(); at += bytes) {
            Output o{out.name, op.out[0], static_cast<std::int64_t>(all.size()), out.dtype, {}};
            for (std::size_t i = 0; i < bytes; i += each) o.values.push_back(decode(out.dtype, text.data() + at + i));
            all.push_back(std::move(o));
        }
    return all;
}

ResourceUse EmulationSession::usage() const {
    ResourceUse use;
    CommUse comm;
    comm.fabric = "messages";
    comm.operation = "all";
    comm.calls = finish_.messages;
    comm.bytes = Bytes(static_cast<double>(finish_.bytes));
    for (const emulation::Mark& m : finish_.marks) {
        const Span s = span(m);
        if (m.unit == 0 && s.resource.ends_with("network")) comm.time += s.duration;
    }
    comm.exposed = comm.time;
    use.communication.push_back(comm);
    if (comm_.rank() == 0) use.useful = graph_->flops();
    use.mapping = is_bare_collective(*graph_) ? fmt::format("{} ranks", steps_.mapping.tensor) : steps_.mapping.text();
    constexpr const char* payloads[] = {"headers only", "sized messages", "real data"};
    use.detail = payloads[static_cast<std::size_t>(choice_.payload)];
    for (const Fault& f : choice_.faults) {
        if (f.kind == Fault::Kind::straggler) use.detail += fmt::format("; unit {} is {:g}x slower", f.unit, f.factor);
        if (f.kind == Fault::Kind::slow_link)
            use.detail += fmt::format("; port of unit {} is {:g}x slower", f.unit, f.factor);
        if (f.kind == Fault::Kind::failed) use.detail += fmt::format("; unit {} fails at {}", f.unit, format(f.at));
    }
    return use;
}

/// Why the algorithm, named or not, does not fit; empty if it does.
std::string unlawful_algorithm(const Case& c) {
    const std::string& wanted = c.mapping.algorithm;
    const CollectiveKind kind = only_op(*c.graph).attributes.collective;
    const bool hierarchical = wanted.empty() || wanted == "hierarchical";
    if (!hierarchical && !emulation::plays(kind, emulation::algorithm_from_name(wanted)))
        return fmt::format("{} is not played by \"{}\"", name(kind), wanted);
    if (hierarchical && c.units > cluster::domain_units(*c.system)) {
        const bool whole = kind == CollectiveKind::allreduce || kind == CollectiveKind::alltoall ||
                           kind == CollectiveKind::send_recv || emulation::Machine::states_messages(*c.system);
        if (c.emulation.payload == Payload::full && !whole)
            return fmt::format(
                "between domains the shards of {} are played without data; name an algorithm for real ones",
                name(kind));
    } else if (wanted == "hierarchical") {
        return fmt::format("{} units are one domain of {}: no hierarchy", c.units, c.system->id);
    }
    return "";
}

/// Why the units cannot share the work like that; empty if they can.
std::string unlawful_mapping(const Case& c) {
    const Mapping& m = c.mapping;
    if (is_bare_collective(*c.graph)) return c.units == 1 ? "a collective needs two units or more" : "";
    if (!cluster::shape_of(*c.graph).is_model())
        return "one operator on one unit sends no messages; models and bare collectives are emulated";
    if (std::string why = missing_peak(*c.graph, *c.system); !why.empty()) return why;
    if (const std::string key = cluster::missing_constant(*c.system); !key.empty())
        return fmt::format("{} has no constant \"{}\": nothing measured on it to fit", c.system->id, key);
    if (m.units() != c.units)
        return fmt::format("mapping {} takes {} units, the case has {}; name one with `mapping`", m.text(), m.units(),
                           c.units);
    if (std::string why = cluster::unlawful(cluster::shape_of(*c.graph), m, c.units); !why.empty()) return why;
    if (m.virtual_stages > 1 && m.microbatches % m.pipeline != 0)
        return fmt::format("{} microbatches are no multiple of {} stages, as interleaving needs", m.microbatches,
                           m.pipeline);
    return "";
}

std::string unlawful_faults(const Case& c) {
    for (const Fault& f : c.emulation.faults)
        if (f.unit >= c.units) return fmt::format("a fault is of unit {}, the case has {}", f.unit, c.units);
    return "";
}

/// Why the data cannot really be moved; empty if they can.
std::string unlawful_payload(const Case& c) {
    if (c.emulation.payload == Payload::none) return "";
    if (!is_bare_collective(*c.graph))
        return c.emulation.payload == Payload::full ? "real data are played for bare collectives only" : "";
    const double bytes = buffer_bytes(*c.graph) * c.units;
    const double held = static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGE_SIZE));
    if (3 * bytes > share_of_memory * held)
        return fmt::format("{} units with messages of {} need {}, {:.0f} % of this machine's memory are {}", c.units,
                           format(Bytes(buffer_bytes(*c.graph))), format(Bytes(3 * bytes)), 100 * share_of_memory,
                           format(Bytes(share_of_memory * held)));
    return "";
}

class Emulation final : public Backend {
public:
    Kind kind() const override { return Kind::emulated; }
    bool suits(SystemKind kind) const override { return kind == SystemKind::cluster; }
    bool takes_mesh() const override { return true; }
    std::vector<std::string> algorithms() const override {
        auto names = emulation::algorithm_names();
        names.push_back("hierarchical");
        return names;
    }

    Support supports(const Case& c, int ranks) const override {
        const System& s = *c.system;
        if (s.kind != SystemKind::cluster) return Support::no(s.id + " is no cluster of discrete units");
        if (std::string why = emulation::Machine::missing(s); !why.empty()) return Support::no(std::move(why));
        if (const auto most = joinable_units(s); most && c.units > *most)
            return Support::no(fmt::format("{} units are more than the {:.0f} that {} joins", c.units, *most, s.id));
        if (ranks > c.units)
            return Support::no(fmt::format("{} ranks are more than the {} units they would play", ranks, c.units));
        if (std::string why = unlawful_mapping(c); !why.empty()) return Support::no(std::move(why));
        if (std::string why = unlawful_faults(c); !why.empty()) return Support::no(std::move(why));
        if (std::string why = is_bare_collective(*c.graph) ? unlawful_algorithm(c) : ""; !why.empty())
            return Support::no(std::move(why));
        if (std::string why = unlawful_payload(c); !why.empty()) return Support::no(std::move(why));
        try {
            program_of(c, steps_of(c));
        } catch (const Error& e) {
            return Support::no(e.what());
        }
        return {};
    }

    std::unique_ptr<Session> prepare(const Case& c, Comm& comm) const override {
        return std::make_unique<EmulationSession>(c, comm);
    }
};

}  // namespace

std::unique_ptr<Backend> make_emulation() { return std::make_unique<Emulation>(); }

}  // namespace wb
