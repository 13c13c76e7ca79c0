#include "models/bounds.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>

#include "core/error.hpp"
#include "core/units.hpp"

namespace wb {
namespace {

/// The operands whose type decides on the matrix unit: the two matrices of a product, or q, k and v.
std::vector<DType> multiplied(const Graph& g, const Op& op) {
    std::size_t first = 0, last = 2;
    if (op.kind == OpKind::attention) last = 3;
    if (op.kind == OpKind::attention_backward) last = 4;  // d_o, q, k, v
    std::vector<DType> types;
    for (std::size_t i = first; i < last; ++i) types.push_back(g.tensor(op.in.at(i)).dtype);
    std::sort(types.begin(), types.end());
    types.erase(std::unique(types.begin(), types.end()), types.end());
    return types;
}

struct Arithmetic {
    std::map<std::vector<DType>, double> matmul;
    double vector = 0;
};

Arithmetic arithmetic(const Graph& g) {
    Arithmetic sum;
    for (const Block& block : g.blocks())
        for (int i = block.first; i < block.last; ++i) {
            const Op& op = g.ops()[static_cast<std::size_t>(i)];
            std::vector<Operand> in;
            for (TensorId id : op.in) in.push_back({&g.tensor(id).shape, g.tensor(id).dtype});
            Work w = work(op.kind, in, op.attributes);
            const Attributes& a = op.attributes;
            // The probabilities may have been kept by the forward pass: one product of five need not be made again.
            if (op.kind == OpKind::attention_backward)
                w.matmul -= Flops(2 * visible_pairs(a) * static_cast<double>(a.batch * a.heads * a.head_dim));
            const double times = static_cast<double>(block.repeat) * a.share;
            if (w.matmul > Flops(0)) sum.matmul[multiplied(g, op)] += w.matmul.si() * times;
            sum.vector += w.vector.si() * times;
        }
    return sum;
}

std::string words(const std::vector<DType>& types) {
    std::string out;
    for (DType t : types) out += (out.empty() ? "" : " x ") + std::string(name(t));
    return out;
}

const Op* first_collective(const Graph& g) {
    for (const Op& op : g.ops())
        if (op.kind == OpKind::collective) return &op;
    return nullptr;
}

/// What one unit must read and write for a bare collective with buffers of n bytes.
double collective_traffic(CollectiveKind kind, double n, double p) {
    switch (kind) {
        case CollectiveKind::allreduce:
        case CollectiveKind::send_recv: return 2 * n;
        case CollectiveKind::alltoall: return 2 * n * (p - 1) / p;
        default: return n;  // allgather reads n/p and receives the rest; reduce_scatter reads n; broadcast receives n
    }
}

/// Upper bound of what a run writes: results, and whatever it changes that was there before.
double written_bytes(const Graph& g) {
    std::vector<double> written(g.tensors().size(), 0);
    for (const Op& op : g.ops())
        for (TensorId id : op.out) {
            const Bytes b = op.kind == OpKind::cache_write ? g.bytes(op.in[1]) : g.bytes(id);
            written[index(id)] = std::max(written[index(id)], b.si());
        }
    for (const Block& block : g.blocks())
        for (const Carry& c : block.carries) written[index(c.result)] = g.bytes(c.result).si();
    double sum = 0;
    for (std::size_t i = 0; i < written.size(); ++i)
        if (g.tensors()[i].role != Role::activation) sum += written[i] * static_cast<double>(g.instances(tensor_id(i)));
    return sum;
}

}  // namespace

bool holds(DType unit, DType operand) {
    if (unit == operand) return true;
    const auto in = [operand](std::initializer_list<DType> types) {
        return std::find(types.begin(), types.end(), operand) != types.end();
    };
    using enum DType;
    switch (unit) {
        case f64: return in({f32, tf32, bf16, f16, fp8_e4m3, fp8_e5m2, fp4, int8, int32});
        case f32: return in({tf32, bf16, f16, fp8_e4m3, fp8_e5m2, fp4, int8});
        case tf32: return in({bf16, f16, fp8_e4m3, fp8_e5m2, fp4, int8});
        case bf16:
        case f16: return in({fp8_e4m3, fp8_e5m2, fp4, int8});
        case fp8_e4m3:
        case fp8_e5m2:
        case int8: return in({fp4});
        default: return false;
    }
}

std::optional<Peak> usable_peak(const System& system, const std::vector<DType>& operands) {
    std::optional<Peak> best;
    for (const auto& [type, fact] : system.peak) {
        const bool legal = std::all_of(operands.begin(), operands.end(), [t = type](DType o) { return holds(t, o); });
        if (legal && (!best || fact.value > best->rate.si())) best = Peak{type, FlopsPerSecond(fact.value)};
    }
    return best;
}

std::string missing_peak(const Graph& graph, const System& system) {
    for (const Tensor& t : graph.tensors())
        if (is_class(t.dtype)) return fmt::format("{} has no {} type", system.id, name(t.dtype));
    if (system.peak.empty()) return fmt::format("{} has no peak of any type", system.id);
    for (const auto& [types, flop] : arithmetic(graph).matmul)
        if (!usable_peak(system, types)) return fmt::format("{} has no peak for {}", system.id, words(types));
    return "";
}

Limit compute_limit(const Graph& graph, const System& system, int units) {
    WB_EXPECT(units >= 1);
    const Arithmetic all = arithmetic(graph);
    Limit limit;
    const auto consider = [&](double flop, Peak peak, const std::string& what) {
        limit.flops += Flops(flop);
        const Seconds t = Flops(flop) / (peak.rate * units);
        if (t <= limit.time) return;
        limit.time = t;
        limit.text =
            fmt::format("{}{} at {} {}", format(Flops(flop)), what, format(peak.rate * units), name(peak.type));
    };
    for (const auto& [types, flop] : all.matmul) {
        const auto peak = usable_peak(system, types);
        WB_EXPECT(peak.has_value());
        consider(flop, *peak, types == std::vector{peak->type} ? "" : " of " + words(types));
    }
    std::optional<Peak> fastest;
    for (const auto& [type, fact] : system.peak)
        if (!fastest || fact.value > fastest->rate.si()) fastest = Peak{type, FlopsPerSecond(fact.value)};
    WB_EXPECT(fastest.has_value());
    consider(all.vector, *fastest, " of vector work");
    return limit;
}

std::vector<Bytes> crossing_bytes(const Graph& graph, const System& system, int units) {
    WB_EXPECT(units >= 1);
    double all = graph.compulsory_bytes().si(), written = written_bytes(graph);
    if (const Op* op = first_collective(graph); op && units > 1) {
        const double n = graph.bytes(op->in[0]).si();
        all = units * collective_traffic(op->attributes.collective, n, units);
        written = all;
    }
    std::vector<Bytes> crossing;
    double inside = 0;
    for (const Memory& m : system.memories) {
        // At the start of the run `inside` may hold what will be read, at its end what was written.
        crossing.emplace_back(std::max(0.0, all - inside - std::min(inside, written)));
        inside += m.capacity ? units * m.capacity->value : std::numeric_limits<double>::infinity();
    }
    return crossing;
}

Limit memory_limit(const Graph& graph, const System& system, int units) {
    const std::vector<Bytes> crossing = crossing_bytes(graph, system, units);
    Limit limit;
    BytesPerSecond rate;  // of this level and all outside it: a program may read tiers side by side
    for (std::size_t i = crossing.size(); i-- > 0;) {
        const Memory& m = system.memories[i];
        if (!m.bandwidth) return limit;
        rate += BytesPerSecond(m.bandwidth->value * units);
        const Seconds t = crossing[i] / rate;
        if (t <= limit.time) continue;
        limit = {t, Flops(0), crossing[i],
                 fmt::format("{} of {}{} at {}", format(crossing[i]), m.name,
                             i + 1 < crossing.size() ? " or beyond" : "", format(rate))};
    }
    return limit;
}

Bytes resident_bytes(const Graph& graph, int units) {
    if (const Op* op = first_collective(graph)) return graph.bytes(op->in[0]) * units;
    Bytes sum;
    for (std::size_t i = 0; i < graph.tensors().size(); ++i)
        if (graph.tensors()[i].role != Role::activation)
            sum += graph.bytes(tensor_id(i)) * static_cast<double>(graph.instances(tensor_id(i)));
    return sum;
}

std::optional<Bytes> capacity(const System& system, int units) {
    Bytes sum;
    for (const Memory& m : system.memories) {
        if (!m.capacity) return std::nullopt;
        sum += Bytes(m.capacity->value) * units;
    }
    return sum;
}

std::optional<double> joinable_units(const System& system) {
    double most = 1;
    for (const Fabric& f : system.fabrics) {
        if (!f.units) return std::nullopt;
        most = std::max(most, f.units->value);
    }
    return most;
}

}  // namespace wb
