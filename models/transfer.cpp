#include "models/transfer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>

namespace wb {
namespace {

bool moves(OpKind kind) {
    return kind == OpKind::read || kind == OpKind::load || kind == OpKind::write || kind == OpKind::compile;
}

std::optional<double> value(const std::map<std::string, Fact>& facts, const std::string& key) {
    const auto f = facts.find(key);
    return f == facts.end() ? std::nullopt : std::optional(f->second.value);
}

/// Bytes per second of all units together, as the data sheets say.
std::optional<double> sheet_rate(const System& s, OpKind kind, int units) {
    const double per_node = value(s.node, "units").value_or(1), nodes = std::ceil(units / per_node);
    if (kind == OpKind::load) {
        const auto link = value(s.node, "host_link");
        return link ? std::optional(*link * units) : std::nullopt;
    }
    auto storage = value(s.node, "storage");
    if (const auto slower = value(s.node, "storage_write"); kind == OpKind::write && slower) storage = slower;
    return storage ? std::optional(*storage * nodes) : std::nullopt;
}

std::optional<double> rate(const System& s, OpKind kind, int units, bool bound) {
    const std::string key = std::string(name(kind)) + "_bandwidth";
    const auto fitted = value(s.fitted, key);
    return fitted && !bound ? fitted : sheet_rate(s, kind, units);
}

/// The memory products run from: the first that holds a gigabyte.
const Memory* fast_memory(const System& s) {
    for (const Memory& m : s.memories)
        if (m.capacity && m.capacity->value >= 1e9) return &m;
    return nullptr;
}

/// The share of `experts` models of `bytes` each that the fast memories do not hold.
double outside(const System& s, double experts, double bytes, int units) {
    const Memory* fast = fast_memory(s);
    const double room = fast ? fast->capacity->value * units : 0;
    return std::clamp(1 - room / (experts * bytes), 0.0, 1.0);
}

/// Bytes per second at which units fetch a model from the tier behind their fast memory.
std::optional<double> switch_rate(const System& s, int units) {
    if (const auto tier = value(s.node, "tier_link")) return *tier * units;
    return sheet_rate(s, OpKind::load, units);
}

double compile_seconds(const System& s, double operators, int units) {
    return value(s.fitted, "compile_start_time").value_or(0) +
           units * value(s.fitted, "compile_unit_time").value_or(0) +
           operators * value(s.fitted, "compile_operator_time").value_or(0);
}

const char* resource(OpKind kind) {
    return kind == OpKind::compile ? "compiler" : kind == OpKind::load ? "host link" : "storage";
}

}  // namespace

bool only_moves(const Graph& graph) {
    return !graph.ops().empty() &&
           std::all_of(graph.ops().begin(), graph.ops().end(), [](const Op& op) { return moves(op.kind); });
}

std::string missing_transfer(const Graph& graph, const System& system) {
    for (const Op& op : graph.ops()) {
        if (op.kind == OpKind::compile && system.kind != SystemKind::host &&
            !system.fitted.contains("compile_start_time"))
            return fmt::format(
                "{} has no constant \"compile_start_time\": nobody told how long a program takes to start there",
                system.id);
        if (op.kind == OpKind::compile || rate(system, op.kind, 1, false)) continue;
        return fmt::format("{} says nothing of its {}: [node] lacks \"{}\"", system.id, resource(op.kind),
                           op.kind == OpKind::load ? "host_link" : "storage");
    }
    return "";
}

Transfer transfer(const Graph& graph, const System& system, int units, bool bound) {
    struct Sum {
        double bytes = 0, operators = 0, experts = 0;
        bool weights = false;
        std::string phase;
    };
    constexpr std::array order{OpKind::read, OpKind::compile, OpKind::load, OpKind::write};
    std::array<Sum, order.size()> sums;
    for (const Block& block : graph.blocks())
        for (int i = block.first; i < block.last; ++i) {
            const Op& op = graph.ops()[i];
            Sum& sum = sums[static_cast<std::size_t>(std::find(order.begin(), order.end(), op.kind) - order.begin())];
            const double times = static_cast<double>(block.repeat);
            for (TensorId id : op.in) {
                sum.bytes += times * graph.bytes(id).si();
                sum.weights |= graph.tensor(id).role == Role::weight;
            }
            sum.operators += times * static_cast<double>(std::max<std::int64_t>(1, op.attributes.rows));
            sum.experts = std::max(sum.experts, static_cast<double>(op.attributes.experts));
            sum.phase = block.phase;
        }
    Transfer out;
    for (std::size_t i = 0; i < order.size(); ++i) {
        const Sum& sum = sums[i];
        if (sum.operators == 0) continue;
        double seconds = 0;
        if (order[i] == OpKind::compile) {
            seconds = bound ? 0 : compile_seconds(system, sum.operators, units);
        } else if (sum.experts > 1) {
            const double moved = sum.bytes * outside(system, sum.experts, sum.bytes, units);
            seconds = moved / switch_rate(system, units).value_or(std::numeric_limits<double>::infinity());
            out.loaded += Bytes(moved);
        } else {
            seconds =
                sum.bytes / rate(system, order[i], units, bound).value_or(std::numeric_limits<double>::infinity());
            if (order[i] == OpKind::load && sum.weights && !bound)
                seconds += value(system.fitted, "load_start_time").value_or(0);
            (order[i] == OpKind::load ? out.loaded : out.stored) += Bytes(sum.bytes);
        }
        Span span;
        span.resource = resource(order[i]);
        span.phase = sum.phase;
        span.start = Seconds(out.seconds);
        span.duration = Seconds(seconds);
        span.bytes = Bytes(sum.bytes);
        out.spans.push_back(span);
        out.seconds += seconds;
    }
    return out;
}

}  // namespace wb
