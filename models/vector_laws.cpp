#include "models/vector_laws.hpp"

#include <algorithm>
#include <cmath>

#include "core/error.hpp"
#include "models/collective_laws.hpp"

namespace wb {
namespace {

/// `count` vector instructions of `elements` each, one after another: whole cycles.
double instructions(const Mesh& mesh, double count, double elements, double element_cycles) {
    return std::ceil(count * (mesh.vector_start_cycles + elements * element_cycles));
}

}  // namespace

VectorPasses passes(VectorOp op) {
    switch (op) {
        case VectorOp::add: return {0, 1, 0, 0};
        // x sigmoid(2 u): u in 3, exp, 1 + e, its reciprocal, times x.
        case VectorOp::gelu_tanh: return {0, 5 + exp_passes + reciprocal_passes, 0, 0};
        // Abramowitz and Stegun 7.1.26: |x|, 1 / (1 + p |x|), degree 5, exp(-x x), product, sign, 0.5 x (1 + erf).
        case VectorOp::gelu_erf: return {0, 12 + exp_passes + reciprocal_passes, 0, 0};
        case VectorOp::silu_mul: return {0, 3 + exp_passes + reciprocal_passes, 0, 0};
        case VectorOp::rope: return {0, 2, 0, 0};  // four products of half the features each
        case VectorOp::softmax: return {2, 2 + exp_passes, reciprocal_passes, 2};
        case VectorOp::layernorm: return {2, 3, 2 + rsqrt_passes, 2};
        case VectorOp::rmsnorm: return {1, 2, 1 + rsqrt_passes, 1};
    }
    return {};
}

double element_cycles(const Mesh& mesh, DType type) {
    if (type == DType::f32) return mesh.f32_sram_fma_cycles;
    if (type == DType::f16) return mesh.f16_sram_fma_cycles;
    throw Error(
        {std::string(name(type)), "is no type of the PEs' datapath", "it works in f32 and f16", "Use one of them."});
}

double mixed_element_cycles(const Mesh& mesh, DType type) {
    return type == DType::f32 ? element_cycles(mesh, type)
                              : std::min(mesh.f32_sram_fma_cycles, 2 * element_cycles(mesh, type));
}

LineAllreduce line_allreduce(const Mesh& mesh, int pes, std::int64_t wavelets) {
    if (pes < 2) return {};
    const std::int64_t chain = chain_cycles(mesh, pes, wavelets), two_phase = two_phase_cycles(mesh, pes, wavelets);
    return {two_phase < chain, static_cast<double>(std::min(chain, two_phase) + broadcast_cycles(mesh, pes, wavelets))};
}

double vector_op_cycles(const Mesh& mesh, VectorOp op, const Spread& s) {
    const VectorPasses p = passes(op);
    const double columns = static_cast<double>(op == VectorOp::rope ? s.paired_tile_columns() : s.tile_columns());
    const double rows = static_cast<double>(s.tile_rows()), tile = rows * columns;
    return p.sums * instructions(mesh, 1, tile, mixed_element_cycles(mesh, s.type)) +
           instructions(mesh, p.plain, tile, element_cycles(mesh, s.type)) +
           instructions(mesh, p.row, rows, mesh.f32_sram_fma_cycles) +
           p.allreduces * (line_allreduce(mesh, s.mesh_columns, s.tile_rows()).cycles + mesh.task_start_cycles);
}

}  // namespace wb
