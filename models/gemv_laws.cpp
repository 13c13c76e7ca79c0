#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/error.hpp"
#include "models/collective_laws.hpp"
#include "models/gemm_laws.hpp"
#include "models/reduction_tree.hpp"
#include "models/tile_work.hpp"

namespace wb {

namespace {

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// Both halves of a line to the PE between them, the later one first; the other's first wavelets have filled the ramp
/// by then, and its messages follow one after another.
double sum_to_middle(const Mesh& mesh, int count, std::int64_t words, GemvPlan::Sum sum) {
    if (count == 1) return 0;
    const int after = count - count / 2, before = count / 2 + 1;
    const auto half = [&](int pes) {
        return static_cast<double>(sum == GemvPlan::Sum::pipeline ? chain_cycles(mesh, pes, words)
                                                                  : two_phase_cycles(mesh, pes, words));
    };
    if (after == 1) return half(before);
    const auto one = static_cast<double>(mesh.vector_start_cycles + words);
    const int groups = two_phase_groups(before);
    const bool chain = sum == GemvPlan::Sum::pipeline || groups == 1 || before / groups == 1;
    const double messages = chain ? one : 2 * one;  // two levels end in two
    const double ramp = std::min<double>(mesh.ramp_cycles + 2, static_cast<double>(words));
    const double waiting = before > after ? ramp / 2 : ramp;  // the longer half comes a little late
    return std::max(half(after) + waiting + messages, half(before));
}

}  // namespace

std::int64_t GemvPlan::tile_k() const { return ceil_div(k, rows); }
std::int64_t GemvPlan::tile_n() const { return ceil_div(n, columns); }

std::int64_t GemvPlan::sram_bytes() const {
    return 4 * (wavelets(tile_k() * tile_n(), type) + wavelets(tile_k(), type) + wavelets(tile_n(), type));
}

double gemv_cycles(const Mesh& mesh, const GemvPlan& plan) {
    const std::int64_t words = wavelets(plan.tile_n(), plan.type);
    double t =
        mesh.task_start_cycles + std::ceil(tile_product(mesh, plan.type, plan.tile_n(), plan.tile_k(), 1).cycles(mesh));
    t += sum_to_middle(mesh, plan.rows, words, plan.sum);
    if (plan.everywhere && plan.rows > 1) t += static_cast<double>(broadcast_cycles(mesh, plan.rows / 2 + 1, words));
    return t;
}

GemvPlan best_gemv(const Mesh& mesh, std::int64_t k, std::int64_t n, DType type, bool everywhere) {
    constexpr std::int64_t edges = 64;  // tiles this much larger than the smallest: fewer PEs never pay beyond
    GemvPlan best;
    double least = -1;
    // Only the edges of a tile matter: for each the fewest PEs that give it.
    const std::int64_t first_n = ceil_div(n, mesh.columns), first_k = ceil_div(k, mesh.rows);
    for (std::int64_t tile_n = first_n; tile_n <= std::min(n, first_n + edges); ++tile_n)
        for (std::int64_t tile_k = first_k; tile_k <= std::min(k, first_k + edges); ++tile_k)
            for (const auto sum : {GemvPlan::Sum::two_level, GemvPlan::Sum::pipeline}) {
                const GemvPlan plan{
                    k,   n,         type, static_cast<int>(ceil_div(k, tile_k)), static_cast<int>(ceil_div(n, tile_n)),
                    sum, everywhere};
                if (plan.sram_bytes() > mesh.sram_bytes) continue;
                const double t = gemv_cycles(mesh, plan);
                if (least >= 0 && t >= least) continue;
                least = t;
                best = plan;
            }
    if (least < 0)
        throw Error({fmt::format("gemv {} x {}", k, n), "does not fit the wafer's SRAM", "all weights must lie in it",
                     "Shard it over several."});
    return best;
}

}  // namespace wb
