#include "models/emulation/session.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "core/element.hpp"
#include "core/error.hpp"
#include "core/fill.hpp"
#include "core/units.hpp"
#include "models/emulation/engine.hpp"
#include "models/emulation/machine.hpp"
#include "models/footprint.hpp"
#include "models/lawful.hpp"
#include "models/pipeline_schedule.hpp"

namespace wb::emulation {
namespace {

constexpr std::size_t most_watched = 16;

const Op& only_op(const Graph& g) { return g.ops().front(); }

double seconds(Time t) { return static_cast<double>(t) * 1e-12; }

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

class EmulationSession final : public Session {
public:
    EmulationSession(const Case& c, Comm& comm)
        : graph_(c.graph),
          choice_(c.emulation),
          seed_(c.seed),
          bare_(is_bare_collective(*c.graph)),
          steps_(steps_of(c)),
          comm_(comm),
          program_(program_of(c, steps_)),
          engine_(program_, comm, watched_units(steps_, c.emulation)) {
        if (!bare_) {
            const cluster::Device device(*c.system);
            memory_ = cluster::footprint(cluster::model_memory(local_part(c), device), c.mapping)
                          .levels(cluster::unit_capacity(*c.system));
        }
        if (!lays_out()) return;
        engine_.add_with(adder(graph_->tensor(only_op(*graph_).in[0]).dtype));
        for (int u = engine_.first_unit(); u < engine_.last_unit(); ++u) fill(u);
    }

    Sample run() override {
        for (int u = engine_.first_unit(); lays_out() && u < engine_.last_unit(); ++u) lay_out(u);
        finish_ = engine_.run();
        Sample s{Seconds(seconds(finish_.time)), {}, finish_.problem};
        for (const Mark& m : finish_.marks) s.spans.push_back(span(m));
        for (const Stuck& u : finish_.stuck) s.spans.push_back(span(u));
        return s;
    }

    std::optional<Outputs> outputs() override;
    ResourceUse usage() const override;

private:
    bool lays_out() const { return bare_ && choice_.payload == Payload::full; }
    CollectiveKind kind() const { return only_op(*graph_).attributes.collective; }
    const Play& first_play() const { return program_.stages.front().front(); }
    const Play& last_play() const { return program_.stages.front().back(); }
    /// Where unit `u`'s block of the buffer lies while units work on it: by shards, where these are of several domains.
    Region block(int u) const {
        return own_block(program_, kind() == CollectiveKind::reduce_scatter ? last_play() : first_play(), u);
    }
    std::size_t part() const {
        return static_cast<std::size_t>(buffer_bytes(*graph_)) / static_cast<std::size_t>(steps_.mapping.tensor);
    }

    void fill(int unit);
    void lay_out(int unit);
    Span span(const Mark& m) const;
    Span span(const Stuck& s) const;
    const Step& step_of(int unit, int step) const {
        return steps_.stages[static_cast<std::size_t>(program_.stage_of(unit))][static_cast<std::size_t>(step)];
    }

    std::shared_ptr<const Graph> graph_;
    EmulationChoice choice_;
    std::uint64_t seed_;
    bool bare_;
    StageSteps steps_;
    Comm& comm_;
    Program program_;
    Engine engine_;
    Finish finish_;
    std::vector<MemoryUse> memory_;
};

/// What the unit brings along, from the fill alone. The first domain has the shards of what the root sends to others.
void EmulationSession::fill(int unit) {
    const Tensor& in = graph_->tensor(only_op(*graph_).in[0]);
    const std::int64_t each = stored_bytes(in.dtype);
    const std::int64_t shares = kind() == CollectiveKind::allgather ? steps_.mapping.tensor : 1;
    const std::int64_t n = elements(in.shape) / shares;
    const FillStream stream(in.fill, seed_, in.name, kind() == CollectiveKind::broadcast ? 0 : unit);
    std::vector<std::byte>& to = engine_.input(unit);
    to.resize(static_cast<std::size_t>(n * each));
    for (std::int64_t i = 0; i < n; ++i) encode(stream(i), in.dtype, to.data() + i * each);
}

/// The buffer as it is before the collective; what is to arrive is not there yet.
void EmulationSession::lay_out(int unit) {
    const std::vector<std::byte>& in = engine_.input(unit);
    std::vector<std::byte>& buffer = engine_.buffer(unit);
    buffer.assign(static_cast<std::size_t>(buffer_bytes(*graph_)), std::byte{0xff});
    const auto copy = [&](std::size_t from, std::int64_t to, std::size_t count) {
        std::copy_n(in.begin() + static_cast<std::ptrdiff_t>(from), count, buffer.begin() + to);
    };
    switch (kind()) {
        case CollectiveKind::allgather: copy(0, block(unit).at, part()); break;
        case CollectiveKind::reduce_scatter:
            for (int u = 0; u < steps_.mapping.tensor; ++u)
                copy(part() * static_cast<std::size_t>(u), block(u).at, part());
            break;
        case CollectiveKind::alltoall: copy(part() * static_cast<std::size_t>(unit), block(unit).at, part()); break;
        case CollectiveKind::send_recv: break;
        case CollectiveKind::broadcast: {
            const Region r = shard_of(program_, first_play(), unit);
            if (group_of(program_.mapping, first_play(), unit).place == 0)
                copy(static_cast<std::size_t>(r.at), r.at, static_cast<std::size_t>(r.bytes));
            break;
        }
        default: buffer = in;
    }
}

Span EmulationSession::span(const Mark& m) const {
    const Step& step = step_of(m.unit, m.step);
    Span s{-1,      "", step.phase, Seconds(seconds(m.start)), Seconds(seconds(m.end - m.start)), Bytes(step.bytes),
           Flops(0)};
    const int each = program_.units / static_cast<int>(program_.stages.size());
    if (step.kind == Step::Kind::compute) {
        s.resource = fmt::format("unit {} compute", m.unit);
        s.bytes = Bytes(0);
    } else if (step.kind == Step::Kind::receive) {
        s.resource = fmt::format("unit {} idle", m.unit);
        s.phase = fmt::format("waiting for unit {}", m.unit % each + step.peer * each);
    } else {
        s.resource = fmt::format("unit {} network", m.unit);
    }
    return s;
}

/// Until the last of the others can do no more.
Span EmulationSession::span(const Stuck& s) const {
    const bool failed = s.source < 0;
    return {-1,
            fmt::format("unit {} {}", s.unit, failed ? "failed" : "idle"),
            failed ? "failed" : fmt::format("waiting for unit {} for ever", s.source),
            Seconds(seconds(s.since)),
            Seconds(seconds(finish_.time - s.since)),
            Bytes(0),
            Flops(0)};
}

std::optional<Outputs> EmulationSession::outputs() {
    if (!lays_out()) return std::nullopt;
    std::string mine;
    const bool scattered = kind() == CollectiveKind::reduce_scatter, gathered = kind() == CollectiveKind::allgather;
    for (int u = engine_.first_unit(); u < engine_.last_unit(); ++u) {
        const char* from = reinterpret_cast<const char*>(engine_.buffer(u).data());
        if (scattered) mine.append(from + block(u).at, part());
        for (int other = 0; gathered && other < steps_.mapping.tensor; ++other)
            mine.append(from + block(other).at, part());
        if (!scattered && !gathered) mine.append(from, engine_.buffer(u).size());
    }
    const Op& op = only_op(*graph_);
    const Tensor& out = graph_->tensor(op.out[0]);
    const auto each = static_cast<std::size_t>(stored_bytes(out.dtype));
    const std::size_t bytes = scattered ? part() : static_cast<std::size_t>(buffer_bytes(*graph_));
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
    for (const Mark& m : finish_.marks) {
        const Span s = span(m);
        if (m.unit == 0 && s.resource.ends_with("network")) comm.time += s.duration;
    }
    comm.exposed = comm.time;
    use.communication.push_back(comm);
    use.memory = memory_;
    if (comm_.rank() == 0) use.useful = graph_->flops();
    use.mapping = bare_ ? fmt::format("{} ranks", steps_.mapping.tensor) : steps_.mapping.text();
    constexpr const char* payloads[] = {"headers only", "sized messages", "real data"};
    use.detail = (bare_ ? "" : use.mapping + "; ") + payloads[static_cast<std::size_t>(choice_.payload)];
    if (program_.stamped && choice_.payload == Payload::full) {
        use.verification.done = true;
        use.verification.method =
            fmt::format("{} collectives and messages of stamped bytes against their known sums", finish_.checked);
    }
    if (program_.uplink_byte_time > 0)
        use.detail +=
            fmt::format("; {} units share {} each way", program_.uplink_units, format(BytesPerSecond(choice_.uplink)));
    for (const Fault& f : choice_.faults) {
        if (f.kind == Fault::Kind::straggler) use.detail += fmt::format("; unit {} is {:g}x slower", f.unit, f.factor);
        if (f.kind == Fault::Kind::slow_link)
            use.detail += fmt::format("; port of unit {} is {:g}x slower", f.unit, f.factor);
        if (f.kind == Fault::Kind::failed) use.detail += fmt::format("; unit {} fails at {}", f.unit, format(f.at));
    }
    return use;
}

}  // namespace

bool is_bare_collective(const Graph& g) { return g.ops().size() == 1 && g.ops()[0].kind == OpKind::collective; }

double buffer_bytes(const Graph& g) {
    const Op& op = only_op(g);
    return std::max(g.bytes(op.in[0]), g.bytes(op.out[0])).si();
}

Partition local_part(const Case& c) {
    if (c.mapping.tensor == 1) return {*c.graph, {}};
    Mapping tensor;
    tensor.tensor = c.mapping.tensor;
    const System& s = *c.system;
    Partition part = partition(*c.graph, tensor, 0);
    part.local = part.local.resolved(s.native16.value_or(DType::any16), s.native8.value_or(DType::any8));
    return part;
}

StageSteps steps_of(const Case& c) {
    if (is_bare_collective(*c.graph))
        return bare_collective(only_op(*c.graph).attributes.collective, buffer_bytes(*c.graph), c.units);
    const cluster::Device device(*c.system);
    return cluster::pipeline_steps(cluster::model_work(local_part(c).local, device, c.mapping), device, c.mapping);
}

Program program_of(const Case& c, const StageSteps& steps) {
    const bool bare = is_bare_collective(*c.graph);
    Machine machine(*c.system, steps.mapping);
    Program p = machine.compile(steps, c.emulation, bare ? c.mapping.algorithm : "");
    if (bare) p.element_bytes = stored_bytes(c.graph->tensor(only_op(*c.graph).in[0]).dtype);
    p.stamped = !bare;
    p.seed = c.seed;
    return p;
}

std::unique_ptr<Session> make_session(const Case& c, Comm& comm) { return std::make_unique<EmulationSession>(c, comm); }

}  // namespace wb::emulation
