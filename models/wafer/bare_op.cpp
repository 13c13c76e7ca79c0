#include "models/wafer/bare_op.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/units.hpp"
#include "models/attention_laws.hpp"
#include "models/collective_laws.hpp"
#include "models/gemm_laws.hpp"
#include "models/vector_laws.hpp"

namespace wb::wafer {
namespace {

constexpr std::array products{GemmAlgorithm::summa, GemmAlgorithm::cannon, GemmAlgorithm::interleaved,
                              GemmAlgorithm::allgather};
constexpr std::array trees{ReduceAlgorithm::star, ReduceAlgorithm::chain, ReduceAlgorithm::tree,
                           ReduceAlgorithm::two_phase, ReduceAlgorithm::generated};

/// Collects what is possible and keeps the quickest that fits.
class Contest {
public:
    Contest(const Machine& m, const Mapping& mapping) : m_(m), mapping_(mapping) {}

    bool allows(std::string_view algorithm) const {
        return mapping_.algorithm.empty() || mapping_.algorithm == algorithm;
    }
    void enter(BareOp candidate) {
        if (candidate.sram_bytes > m_.usable_bytes()) {
            if (closest_ == 0 || candidate.sram_bytes < closest_) closest_ = candidate.sram_bytes;
            return;
        }
        if (!best_ || candidate.cost.cycles() < best_->cost.cycles()) best_ = std::move(candidate);
    }
    BareChoice result() {
        if (best_) return {std::move(best_), ""};
        if (closest_ == 0) return {};
        return {{},
                fmt::format("a PE needs {} of SRAM at least, it has {}", format(Bytes(closest_)),
                            format(Bytes(m_.usable_bytes())))};
    }
    /// Rectangles to try: the forced one, or the whole wafer and squares.
    std::vector<Grid> grids() const {
        if (mapping_.rows > 0) return {{mapping_.rows, mapping_.columns}};
        std::vector<Grid> out{m_.whole()};
        const int side = std::min(m_.mesh.rows, m_.mesh.columns);
        for (int parts = 1; parts <= 16; ++parts) out.push_back({side / parts, side / parts});
        for (int n = side / 16; n >= 1; n /= 2) out.push_back({n, n});
        return out;
    }

private:
    const Machine& m_;
    const Mapping& mapping_;
    std::optional<BareOp> best_;
    double closest_ = 0;
};

struct Sizes {
    std::int64_t m, k, n;
};

Sizes sizes_of(const Graph& g, const Op& op) {
    const Shape &x = g.tensor(op.in[0]).shape, &y = g.tensor(op.in[1]).shape;
    const Attributes& a = op.attributes;
    const std::int64_t k = a.trans_a ? x.at(x.size() - 2) : x.back(), n = a.trans_b ? y.at(y.size() - 2) : y.back();
    return {elements(x) / k, k, n};
}

double f(std::int64_t n) { return static_cast<double>(n); }

void enter_gemm(Contest& contest, const Machine& m, Sizes s, DType type) {
    for (const Grid grid : contest.grids())
        for (const GemmAlgorithm algorithm : products) {
            const bool square = grid.rows == grid.columns;
            const bool shifts = algorithm == GemmAlgorithm::cannon || algorithm == GemmAlgorithm::interleaved;
            if (!contest.allows(name(algorithm)) || (shifts && !square)) continue;
            const GemmPlan plan{algorithm, s.m, s.k, s.n, type, grid.rows, grid.columns};
            const GemmCycles t = gemm_parts(m.mesh, plan);
            Cost cost{t.compute, t.exposed + t.align, t.tasks, 0};
            cost.bytes = f(plan.steps()) * 4 * grid.pes() *
                         f(wavelets(plan.tile_m() * plan.panel(), type) + wavelets(plan.panel() * plan.tile_n(), type));
            contest.enter({cost, grid, std::string(name(algorithm)), f(plan.sram_bytes())});
        }
}

void enter_gemv(Contest& contest, const Machine& m, Sizes s, DType type) {
    const double few = f(std::min(s.m, s.n)), many = f(std::max(s.m, s.n)), k = f(s.k);
    for (const Grid grid : contest.grids()) {
        Cost cost = gemv(m, few, k, many, type, grid, false);
        cost.dispatch = m.dispatch;
        contest.enter({cost, grid, "meshgemv",
                       gemv_weight_bytes(k, many, type, grid) + gemv_buffer_bytes(few, k, many, type, grid)});
    }
}

void enter_attention(Contest& contest, const Machine& m, const Attributes& a, DType type) {
    for (const Grid grid : contest.grids()) {
        const PlannedAttention p = plan_attention(m.mesh, a, type, grid.rows, grid.columns);
        contest.enter({{p.cycles, 0, 0, 0}, grid, fmt::format("groups of {}", p.plan.width), f(p.sram_bytes)});
    }
}

std::optional<VectorOp> vector_op(const Op& op) {
    switch (op.kind) {
        case OpKind::add: return VectorOp::add;
        case OpKind::gelu: return op.attributes.tanh_form ? VectorOp::gelu_tanh : VectorOp::gelu_erf;
        case OpKind::silu_mul: return VectorOp::silu_mul;
        case OpKind::rope: return VectorOp::rope;
        case OpKind::softmax: return VectorOp::softmax;
        case OpKind::layernorm: return VectorOp::layernorm;
        case OpKind::rmsnorm: return VectorOp::rmsnorm;
        default: return std::nullopt;
    }
}

void enter_vector(Contest& contest, const Machine& m, const Graph& g, const Op& op, VectorOp kind) {
    const Shape& shape = g.tensor(op.out[0]).shape;
    const DType type = g.tensor(op.in[0]).dtype;
    for (const Grid grid : contest.grids()) {
        const Spread spread{elements(shape) / shape.back(), shape.back(), grid.rows, grid.columns, type};
        const double tile = f(spread.tile_rows() * spread.tile_columns()) * bits(type) / 8;
        contest.enter({{vector_op_cycles(m.mesh, kind, spread), 0, 0, 0},
                       grid,
                       "tiles",
                       tile * f(static_cast<std::int64_t>(op.in.size() + op.out.size()))});
    }
}

/// Half of a line's data crosses its middle link, first along rows, then along columns.
double alltoall_cycles(const Machine& m, Grid grid, std::int64_t words) {
    return f(words) * (grid.rows + grid.columns) / 4.0 + f(message_cycles(m.mesh, grid.rows + grid.columns - 2, 1));
}

/// The ranks are the PEs of the rectangle, each with a buffer of its own.
void enter_collective(Contest& contest, const Machine& m, const Graph& g, const Op& op, Grid grid) {
    const Tensor& x = g.tensor(op.in[0]);
    const std::int64_t words = wavelets(elements(x.shape), x.dtype);
    const int pes = grid.rows * grid.columns;
    const auto enter = [&](double cycles, std::string_view algorithm) {
        if (!contest.allows(algorithm)) return;
        contest.enter({{0, cycles, 0, 2.0 * 4 * f(words) * pes}, grid, std::string(algorithm), f(words) * 4});
    };
    switch (op.attributes.collective) {
        case CollectiveKind::allreduce:
            for (const ReduceAlgorithm a : trees)
                if (a != ReduceAlgorithm::generated || std::max(grid.rows, grid.columns) <= 64)
                    enter(f(reduce_cycles(a, m.mesh, grid.columns, words) + reduce_cycles(a, m.mesh, grid.rows, words) +
                            broadcast_2d_cycles(m.mesh, grid.rows, grid.columns, words)),
                          name(a));
            enter(f(chain_cycles(m.mesh, pes, words) + broadcast_2d_cycles(m.mesh, grid.rows, grid.columns, words)),
                  "snake");
            return enter(f(ring_allreduce_cycles(m.mesh, pes, words)), "ring");
        case CollectiveKind::broadcast:
            return enter(f(broadcast_2d_cycles(m.mesh, grid.rows, grid.columns, words)), "multicast");
        case CollectiveKind::allgather:
        case CollectiveKind::reduce_scatter: return enter(f(ring_half_cycles(m.mesh, pes, words)), "ring");
        case CollectiveKind::alltoall: return enter(alltoall_cycles(m, grid, words), "pairs");
        case CollectiveKind::send_recv:
            return enter(f(message_cycles(m.mesh, grid.rows + grid.columns - 2, words)), "message");
        case CollectiveKind::none: return;
    }
}

}  // namespace

BareChoice bare_op(const Machine& m, const Graph& g, const Mapping& mapping) {
    if (g.ops().size() != 1) return {};
    const Op& op = g.ops().front();
    const DType type = g.tensor(op.in[0]).dtype;
    Contest contest(m, mapping);
    if (op.kind == OpKind::matmul) {
        const Sizes s = sizes_of(g, op);
        const bool named = std::any_of(products.begin(), products.end(),
                                       [&](GemmAlgorithm a) { return name(a) == mapping.algorithm; });
        if (named || (mapping.algorithm.empty() && std::min(s.m, s.n) > 1)) enter_gemm(contest, m, s, type);
        if (!named) enter_gemv(contest, m, s, type);
    } else if (op.kind == OpKind::attention) {
        enter_attention(contest, m, op.attributes, type);
    } else if (op.kind == OpKind::collective) {
        enter_collective(contest, m, g, op, mapping.rows > 0 ? Grid{mapping.rows, mapping.columns} : m.whole());
    } else if (const auto kind = vector_op(op)) {
        enter_vector(contest, m, g, op, *kind);
    }
    return contest.result();
}

std::vector<std::string> known_algorithms() {
    std::vector<std::string> out{"meshgemv", "snake", "ring", "multicast", "partial", "streamed", "shift", "concat"};
    for (const GemmAlgorithm a : products) out.emplace_back(name(a));
    for (const ReduceAlgorithm a : trees) out.emplace_back(name(a));
    return out;
}

}  // namespace wb::wafer
