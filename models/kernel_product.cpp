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
    double peak, compute, memory, tile_loss, prologue, power, smallest;

    Constants(const Device& d, const Product& p) {
        const std::string ready = "gemm_ready_fraction_" + std::string(name(p.a));
        const auto of_type = [&](const std::string& key, double fallback) {
            const std::string own = key + "_" + std::string(name(p.a));
            return d.constant_or(own, d.constant_or(key, fallback));
        };
        peak = d.peak(p.a == p.b ? std::vector{p.a} : std::vector{p.a, p.b});
        compute = p.ready && d.has(ready) ? d.constant(ready) : d.constant("gemm_compute_fraction", p.a);
        memory = d.constant("gemm_memory_fraction", p.a);
        if (p.along_depth) memory = of_type("gemm_depth_memory_fraction", memory);
        tile_loss = of_type("gemm_tile_loss", 0);
        if (p.searched) tile_loss = d.constant_or("gemm_searched_tile_loss", tile_loss);
        prologue = p.ready && d.has(ready) ? d.constant_or("gemm_prologue", 0) : of_type("gemm_prologue", 0);
        power = of_type("gemm_overlap_power", 0);
        smallest = d.constant_or("gemm_smallest_tile", 32);
    }

    /// The longer of arithmetic and memory; kernels that wait for some of their reads: between it and the sum.
    double together(double arithmetic, double moving) const {
        return power > 0 ? std::pow(std::pow(arithmetic, power) + std::pow(moving, power), 1 / power)
                         : std::max(arithmetic, moving);
    }
    /// 32-bit products run on vector units, whose registers hold tiles with an edge of 128 and another up to that.
    bool offered(Tile t, DType type) const {
        return bits(type) < 32 || (std::max(t.m, t.n) == 128 && std::min(t.m, t.n) >= smallest);
    }
};

double width(DType type) { return bits(type) / 8.0; }

double traffic(const Product& p) {
    return p.groups * p.m * p.k * width(p.a) + (p.shared_b ? 1 : p.groups) * p.k * p.n * width(p.b) +
           p.groups * p.m * p.n * width(p.c);
}

/// One choice of tile and split, seconds.
double tiled(const Device& d, const Product& p, const Constants& c, Tile t, double split) {
    const double count = p.groups * std::ceil(p.m / t.m) * std::ceil(p.n / t.n) * split;
    const double waves = std::ceil(count / d.parts());
    const double steps = p.k / split + 32 * c.prologue;
    const double slower = (1 + 16 * c.tile_loss * (1 / t.m + 1 / t.n)) / c.compute;
    const double arithmetic = waves * 2 * t.m * t.n * steps * std::max(1.0, slower) / (c.peak / d.parts());
    const double partial_sums = split > 1 ? 2 * 4 * split * p.groups * p.m * p.n : 0;
    const double busy = std::min(1.0, 2 * count / d.parts());
    return c.together(arithmetic, (traffic(p) + partial_sums) / (c.memory * d.memory_rate() * busy));
}

}  // namespace

Kernel product(const Device& d, const Product& p) {
    const Constants c(d, p);
    Kernel out;
    out.flops = 2 * p.groups * p.m * p.n * p.k;
    out.bytes = traffic(p);
    if (!d.has("gemm_tile_loss")) {
        out.time = c.together(out.flops / (c.compute * c.peak), out.bytes / (c.memory * d.memory_rate()));
        return out;
    }
    out.time = std::numeric_limits<double>::infinity();
    for (Tile t : tiles)
        for (double split : splits)
            if (c.offered(t, p.a) && (split == 1 || p.k / split >= 64))
                out.time = std::min(out.time, tiled(d, p, c, t, split));
    return out;
}

}  // namespace wb::cluster
