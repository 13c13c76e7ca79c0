#include "models/tile_work.hpp"

#include <numeric>

namespace wb {

double bank_conflict_share(const Mesh& mesh, DType type, std::int64_t m) {
    const std::int64_t half = mesh.sram_banks / 2;
    const std::int64_t width = elements_per_wavelet(type);
    const std::int64_t words = (m + width - 1) / width;
    if (half < 2 || words % half == 0) return 0;
    return static_cast<double>(std::gcd(words, half)) / static_cast<double>(half);
}

double sram_fma_cycles(const Mesh& mesh, DType type, std::int64_t m) {
    const bool wide = elements_per_wavelet(type) == 2;
    const double in_sram = wide ? mesh.f16_sram_fma_cycles : mesh.f32_sram_fma_cycles;
    const double rate = wide ? mesh.f16_fma_per_cycle : mesh.f32_fma_per_cycle;
    if (in_sram <= 1 / rate) return in_sram;  // a machine without port limits
    return in_sram + bank_conflict_share(mesh, type, m) / rate;
}

TileWork tile_product(const Mesh& mesh, DType type, std::int64_t m, std::int64_t k, std::int64_t n) {
    return {static_cast<double>(k * n), static_cast<double>(m), sram_fma_cycles(mesh, type, m)};
}

}  // namespace wb
