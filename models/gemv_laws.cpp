#include <algorithm>
#include <cmath>

#include "models/collective_laws.hpp"
#include "models/gemm_laws.hpp"
#include "models/tile_work.hpp"

namespace wb {

namespace {

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// Both halves of a line to the PE between them: the longer half, then the other's wavelets, which wait there.
double sum_to_middle(const Mesh& mesh, int count, std::int64_t words, GemvPlan::Sum sum) {
    const int longer = count / 2 + 1, shorter = count - count / 2;
    const auto half = [&](int pes) {
        return static_cast<double>(sum == GemvPlan::Sum::pipeline ? chain_cycles(mesh, pes, words)
                                                                  : two_phase_cycles(mesh, pes, words));
    };
    if (count == 1) return 0;
    if (shorter == 1) return half(longer);
    return half(longer) + mesh.vector_start_cycles + static_cast<double>(words);
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
    GemvPlan best;
    double least = -1;
    const auto consider = [&](int rows, int columns, GemvPlan::Sum sum) {
        const GemvPlan plan{k, n, type, rows, columns, sum, everywhere};
        if (rows > k || columns > n || plan.sram_bytes() > mesh.sram_bytes) return;
        if (const double t = gemv_cycles(mesh, plan); least < 0 || t < least) {
            least = t;
            best = plan;
        }
    };
    // Only tile edges matter: for each edge the fewest PEs that give it.
    for (const auto sum : {GemvPlan::Sum::pipeline, GemvPlan::Sum::two_level})
        for (std::int64_t tile_n = ceil_div(n, mesh.columns); tile_n <= ceil_div(n, mesh.columns) + 1; ++tile_n)
            for (std::int64_t tile_k = ceil_div(k, mesh.rows), last = 0; tile_k <= k && last < 64; ++tile_k, ++last)
                consider(static_cast<int>(ceil_div(k, tile_k)), static_cast<int>(ceil_div(n, tile_n)), sum);
    return best;
}

}  // namespace wb
