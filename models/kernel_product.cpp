#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "models/kernel.hpp"

namespace wb::cluster {
namespace {

struct Tile {
    double m, n;
};
/// What GEMM libraries of GPUs offer (CUTLASS profiles of sm_70 to sm_90).
constexpr std::array<Tile, 13> tiles{{{256, 128},
                                      {128, 256},
                                      {128, 128},
                                      {128, 64},
                                      {64, 128},
                                      {64, 64},
                                      {64, 256},
                                      {32, 128},
                                      {16, 128},
                                      {32, 64},
                                      {128, 32},
                                      {128, 16},
                                      {64, 32}}};
constexpr std::array<double, 5> splits{1, 2, 4, 8, 16};

struct Constants {
    double compute, memory, tile_loss, prologue;
};

double width(DType type) { return bits(type) / 8.0; }

double traffic(const Product& p) {
    return p.groups * p.m * p.k * width(p.a) + (p.shared_b ? 1 : p.groups) * p.k * p.n * width(p.b) +
           p.groups * p.m * p.n * width(p.c);
}

/// One choice of tile and split: the slower of arithmetic and memory, seconds.
double tiled(const Device& d, const Product& p, double peak, const Constants& c, Tile t, double split) {
    const double count = p.groups * std::ceil(p.m / t.m) * std::ceil(p.n / t.n) * split;
    const double waves = std::ceil(count / d.parts());
    const double steps = p.k / split + 32 * c.prologue;
    const double arithmetic =
        waves * 2 * t.m * t.n * steps / (c.compute * peak / d.parts()) * (1 + 16 * c.tile_loss * (1 / t.m + 1 / t.n));
    const double partial_sums = split > 1 ? 2 * 4 * split * p.groups * p.m * p.n : 0;
    const double busy = std::min(1.0, 2 * count / d.parts());
    const double memory = (traffic(p) + partial_sums) / (c.memory * d.memory_rate() * busy);
    return std::max(arithmetic, memory);
}

}  // namespace

Kernel product(const Device& d, const Product& p) {
    const double peak = d.peak(p.a == p.b ? std::vector{p.a} : std::vector{p.a, p.b});
    const Constants c{d.constant("gemm_compute_fraction", p.a), d.constant("gemm_memory_fraction"),
                      d.constant_or("gemm_tile_loss", 0),
                      d.has("gemm_prologue") ? d.constant("gemm_prologue", p.a) : 0};
    Kernel out;
    out.flops = 2 * p.groups * p.m * p.n * p.k;
    out.bytes = traffic(p);
    if (!d.has("gemm_tile_loss")) {
        const double arithmetic = out.flops / (c.compute * peak), memory = out.bytes / (c.memory * d.memory_rate());
        // Cores that wait for some of their reads: between the longer of the two and their sum.
        const double power = d.constant_or("gemm_overlap_power", 0);
        out.time = power > 0 ? std::pow(std::pow(arithmetic, power) + std::pow(memory, power), 1 / power)
                             : std::max(arithmetic, memory);
        return out;
    }
    out.time = std::numeric_limits<double>::infinity();
    for (Tile t : tiles)
        for (double split : splits)
            if (split == 1 || p.k / split >= 64) out.time = std::min(out.time, tiled(d, p, peak, c, t, split));
    return out;
}

}  // namespace wb::cluster
