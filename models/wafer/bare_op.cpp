#include "models/wafer/bare_op.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/error.hpp"
#include "core/units.hpp"
#include "models/attention_laws.hpp"
#include "models/collective_laws.hpp"
#include "models/gemm_laws.hpp"
#include "models/tile_work.hpp"
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
    /// A law that refuses this rectangle says why itself.
    template <class Enter>
    void attempt(Enter&& enter) {
        try {
            enter();
        } catch (const Error& e) {
            if (refused_.empty()) refused_ = e.what();
        }
    }
    BareChoice result() {
        if (best_) return {std::move(best_), ""};
        if (!refused_.empty()) return {{}, refused_};
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
    std::string refused_;
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

/// As the runtime of He et al. does it, by constants fitted to its prefill: tiles as small as theirs need another order
/// of loops than the programs of models/fabric have.
void enter_runtime_gemm(Contest& contest, const Machine& m, Sizes s, DType type) {
    if (type != DType::f16 || !contest.allows("runtime")) return;
    for (const Grid grid : contest.grids()) {
        if (grid.rows != grid.columns) continue;
        Cost cost = gemm(m, f(s.m), f(s.k), f(s.n), type, grid);
        cost.dispatch = m.dispatch;
        contest.enter({cost, grid, "runtime", gemm_bytes(f(s.m), f(s.k), f(s.n), type, grid)});
    }
}

/// "meshgemv" is the two-level sum on a square mesh.
void enter_gemv(Contest& contest, const Machine& m, std::int64_t k, std::int64_t n, DType type, bool forced_grid) {
    const auto enter = [&](const GemvPlan& plan, std::string_view algorithm) {
        const double wavelets_sent = plan.columns * f(wavelets(plan.tile_n(), type)) * plan.rows;
        contest.enter({{gemv_cycles(m.mesh, plan), 0, 0, 4 * wavelets_sent},
                       {plan.rows, plan.columns},
                       std::string(algorithm),
                       f(plan.sram_bytes())});
    };
    for (const Grid grid : contest.grids()) {
        if (grid.rows > k || grid.columns > n) continue;
        GemvPlan plan{k, n, type, grid.rows, grid.columns, GemvPlan::Sum::two_level, false};
        if (contest.allows("meshgemv") && grid.rows == grid.columns) enter(plan, "meshgemv");
        if (contest.allows("two_level")) enter(plan, "two_level");
        plan.sum = GemvPlan::Sum::pipeline;
        if (contest.allows("pipeline")) enter(plan, "pipeline");
    }
    if (!forced_grid && contest.allows("two_level"))
        contest.attempt([&] { enter(best_gemv(m.mesh, k, n, type, false), "two_level"); });
}

/// One PE, the matrix as one vector instruction over a two-dimensional descriptor.
void enter_tile_gemv(Contest& contest, const Machine& m, std::int64_t k, std::int64_t n, DType type) {
    const GemvPlan plan{k, n, type, 1, 1, GemvPlan::Sum::pipeline, false};
    contest.enter(
        {{streamed_gemv_cycles(m.mesh, type, n, k), 0, 0, 0}, {1, 1}, "single-tile-gemv", f(plan.sram_bytes())});
}

/// A's rows over the columns of the mesh, k over its rows; partial products are summed along the rows by a chain.
void enter_row_reduce(Contest& contest, const Machine& m, Sizes s, DType type) {
    for (const Grid grid : contest.grids()) {
        const std::int64_t rows = (s.m + grid.columns - 1) / grid.columns, depth = (s.k + grid.rows - 1) / grid.rows;
        const std::int64_t words = wavelets(rows * s.n, type);
        const double sum = f(chain_cycles(m.mesh, grid.rows, words));
        contest.enter({{tile_product(m.mesh, type, rows, depth, s.n).cycles(m.mesh), sum, 0, 4 * f(words) * grid.pes()},
                       grid,
                       "tile-gemm-row-reduce",
                       4 * f(words + wavelets(rows * depth, type) + wavelets(depth * s.n, type))});
    }
}

void enter_product(Contest& contest, const Machine& m, Sizes s, DType type, const Mapping& mapping) {
    const std::string& wanted = mapping.algorithm;
    if (wanted == "single-tile-gemv" && std::min(s.m, s.n) == 1)
        return enter_tile_gemv(contest, m, s.k, std::max(s.m, s.n), type);
    if (wanted == "tile-gemm-row-reduce") return enter_row_reduce(contest, m, s, type);
    if (std::min(s.m, s.n) == 1) enter_gemv(contest, m, s.k, std::max(s.m, s.n), type, mapping.rows > 0);
    if (std::min(s.m, s.n) == 1 && wanted.empty()) return;
    enter_gemm(contest, m, s, type);
    enter_runtime_gemm(contest, m, s, type);
}

void enter_attention(Contest& contest, const Machine& m, const Graph& g, const Op& op, DType type) {
    double held = g.bytes(op.out[0]).si();
    for (const TensorId id : op.in) held += g.bytes(id).si();
    for (const Grid grid : contest.grids()) {
        BareOp least{{}, grid, "", held / grid.pes()};  // before any plan: queries, keys, values and results
        if (least.sram_bytes > m.usable_bytes()) {
            contest.enter(std::move(least));
            continue;
        }
        contest.attempt([&] {
            const PlannedAttention p = plan_attention(m.mesh, op.attributes, type, grid.rows, grid.columns);
            contest.enter({{p.cycles, 0, 0, 0}, grid, fmt::format("groups of {}", p.plan.width), f(p.sram_bytes)});
        });
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

/// Half of a line's data crosses its middle link, first along rows, then along columns. Nobody is sent less than a
/// wavelet, as in the ring of an allgather.
double alltoall_cycles(const Machine& m, Grid grid, std::int64_t words) {
    const std::int64_t pes = std::int64_t{grid.rows} * grid.columns, sent = (words + pes - 1) / pes * pes;
    return f(sent) * (grid.rows + grid.columns) / 4.0 + f(message_cycles(m.mesh, grid.rows + grid.columns - 2, 1));
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
        enter_product(contest, m, sizes_of(g, op), type, mapping);
    } else if (op.kind == OpKind::attention) {
        enter_attention(contest, m, g, op, type);
    } else if (op.kind == OpKind::collective) {
        enter_collective(contest, m, g, op, mapping.rows > 0 ? Grid{mapping.rows, mapping.columns} : m.whole());
    } else if (const auto kind = vector_op(op)) {
        enter_vector(contest, m, g, op, *kind);
    }
    BareChoice choice = contest.result();
    const std::string& wanted = mapping.algorithm;
    if (!choice.best && choice.refused.empty() && !wanted.empty())
        choice.refused = fmt::format("no algorithm \"{}\" for {} there", wanted, name(op.kind));
    return choice;
}

std::vector<std::string> known_algorithms() {
    std::vector<std::string> out{"meshgemv", "two_level", "pipeline", "single-tile-gemv", "tile-gemm-row-reduce",
                                 "runtime",  "snake",     "ring",     "multicast",        "partial",
                                 "streamed", "shift",     "concat"};
    for (const GemmAlgorithm a : products) out.emplace_back(name(a));
    for (const ReduceAlgorithm a : trees) out.emplace_back(name(a));
    return out;
}

}  // namespace wb::wafer
