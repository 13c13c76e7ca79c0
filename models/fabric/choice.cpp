#include "models/fabric/choice.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "core/error.hpp"
#include "core/units.hpp"

namespace wb::fabric {
namespace {

// What the simulator does in a second on one core, about: for estimates only.
constexpr double hops_per_second = 3e7, pes_per_second = 2e5, host_flops_per_second = 1e9;
constexpr double own_choice_s = 2;  // where the mesh is ours to choose
constexpr int usual_square = 32, largest_square = 1024;

double seconds(const Candidate& c) {
    return c.hops / hops_per_second + static_cast<double>(c.rows) * c.columns / pes_per_second +
           c.host_flops / host_flops_per_second;
}

struct Extent {
    int rows, columns;
};

/// The named rectangle; or the usual square, then smaller ones for what takes long, then larger ones for what needs
/// their SRAM.
std::vector<Extent> extents(const Case& c, const Mesh& mesh) {
    if (c.mapping.rows > 0) return {{c.mapping.rows, c.mapping.columns}};
    std::vector<Extent> out;
    const auto put = [&](int n) {
        if (n <= mesh.rows && n <= mesh.columns) out.push_back({n, n});
    };
    for (int n = usual_square; n >= 1; n /= 2) put(n);
    for (int n = 2 * usual_square; n <= largest_square; n *= 2) put(n);
    return out;
}

std::string over(const Candidate& c, const Mesh& mesh) {
    return fmt::format("{} on {}x{} PEs needs {} in a PE, {} more than its SRAM holds: use more PEs", c.algorithm,
                       c.rows, c.columns, format(Bytes(c.sram_bytes)),
                       format(Bytes(c.sram_bytes - static_cast<double>(mesh.sram_bytes))));
}

std::vector<std::string> names(const Candidates& found) {
    std::vector<std::string> out;
    for (const Candidate& c : found.all) out.push_back(c.algorithm);
    return out;
}

/// The quickest on one rectangle.
Choice best(const Case& c, const Mesh& mesh, const Placing& placing, double most_s) {
    Candidates found = candidates(placing);
    if (!found.refused.empty()) return {{}, found.refused, 0};
    const std::vector<std::string> known = names(found);
    if (const std::string& wanted = c.mapping.algorithm; !wanted.empty())
        std::erase_if(found.all, [&](const Candidate& x) { return x.algorithm != wanted; });
    if (found.all.empty())
        return {{},
                fmt::format("{} on {}x{} PEs has no algorithm \"{}\"; it has: {}", name(placing.op.kind), placing.rows,
                            placing.columns, c.mapping.algorithm, fmt::join(known, ", ")),
                0};
    const auto less = [](const auto& key) {
        return [&key](const Candidate& a, const Candidate& b) { return key(a) < key(b); };
    };
    const auto sram = [](const Candidate& x) { return x.sram_bytes; };
    const auto cycles = [](const Candidate& x) { return x.cycles; };
    const Candidate smallest = *std::min_element(found.all.begin(), found.all.end(), less(sram));
    std::erase_if(found.all, [&](const Candidate& x) { return x.sram_bytes > static_cast<double>(mesh.sram_bytes); });
    if (found.all.empty()) return {{}, over(smallest, mesh), 0};
    const Candidate& quickest = *std::min_element(found.all.begin(), found.all.end(), less(cycles));
    const double s = seconds(quickest);
    if (s > most_s)
        return {{},
                fmt::format("simulating {} on {}x{} PEs takes about {}, more than the {} allowed: use a smaller size "
                            "or mesh, or raise protocol.timeout",
                            quickest.algorithm, quickest.rows, quickest.columns, format(Seconds(s)),
                            format(Seconds(most_s))),
                s};
    return {quickest, "", s};
}

/// Why a graph is none of ours, whatever the mesh.
std::string why_not(const Case& c) {
    const Graph& g = *c.graph;
    if (c.system->kind != SystemKind::wafer)
        return fmt::format("{} is no wafer: it has no mesh of PEs to simulate", c.system->id);
    if (c.units != 1) return fmt::format("simulates one wafer, not {}", c.units);
    if (g.ops().size() != 1 || g.blocks().size() != 1 || g.blocks().front().repeat != 1)
        return fmt::format("simulates single operators, and this graph has {}: use the model of the wafer",
                           g.ops().size());
    if (!type_of(g)) return "PEs compute in f32 or f16, one type for all operands";
    if (g.ops().front().kind == OpKind::collective && c.mapping.rows == 0)
        return "a bare collective is one among the PEs of a mesh: name one, such as mesh = \"32x32\"";
    return "";
}

}  // namespace

std::optional<Type> type_of(const Graph& graph) {
    const Op& op = graph.ops().front();
    const DType first = graph.tensor(op.out.front()).dtype;
    for (const TensorId id : op.in)
        if (graph.tensor(id).dtype != first) return std::nullopt;
    if (first == DType::f32) return Type::f32;
    if (first == DType::f16) return Type::f16;
    return std::nullopt;
}

Choice choose(const Case& c) {
    if (std::string why = why_not(c); !why.empty()) return {{}, std::move(why), 0};
    const Mesh mesh = mesh_of(*c.system);
    const bool named = c.mapping.rows > 0;
    const double most_s = named ? c.protocol.timeout.si() : std::min(own_choice_s, c.protocol.timeout.si());
    Choice last;
    for (const Extent& e : extents(c, mesh)) {
        const Placing placing{*c.graph, c.graph->ops().front(), mesh, *type_of(*c.graph), e.rows, e.columns};
        Choice found = best(c, mesh, placing, most_s);
        if (found.candidate) return found;
        // Of many meshes the first that is large enough explains best: others only lack SRAM.
        if (last.refused.empty() || (last.seconds == 0 && found.seconds > 0)) last = std::move(found);
    }
    return last;
}

}  // namespace wb::fabric
