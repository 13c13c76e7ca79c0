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
        const Device::Gemm& g = d.gemm(p.a);
        const bool ready = p.ready && g.ready >= 0;
        peak = p.a == p.b ? d.peak(p.a) : d.peak(std::vector{p.a, p.b});
        compute = ready ? g.ready : g.compute;
        if (p.searched) compute = d.constant_or("gemm_searched_fraction", p.a, compute);
        memory = p.along_depth ? g.depth_memory : g.memory;
        tile_loss = p.searched ? d.constant_or("gemm_searched_tile_loss", g.tile_loss) : g.tile_loss;
        prologue = ready ? d.constant_or("gemm_prologue", 0) : g.prologue;
        power = g.power;
        smallest = bits(p.a) < 32 ? 0 : d.constant_or("gemm_smallest_tile", 32);
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

/// The best of all tiles and splits, seconds. What a tile or a split shares is worked out once: a step asks for dozens
/// of products.
double tiled(const Device& d, const Product& p, const Constants& c) {
    const double parts = d.parts(), rate = c.peak / parts, memory = c.memory * d.memory_rate(), bytes = traffic(p);
    const bool longer_counts = c.power <= 0;  // then no choice is shorter than its arithmetic
    double best = std::numeric_limits<double>::infinity();
    for (const Tile t : tiles) {
        if (!c.offered(t, p.a)) continue;
        const double count_of_one = p.groups * std::ceil(p.m / t.m) * std::ceil(p.n / t.n);
        const double slower = std::max(1.0, (1 + 16 * c.tile_loss * (1 / t.m + 1 / t.n)) / c.compute);
        for (const double split : splits) {
            if (split != 1 && p.k / split < 64) break;
            const double count = count_of_one * split, waves = std::ceil(count / parts);
            const double steps = p.k / split + 32 * c.prologue;
            const double arithmetic = waves * 2 * t.m * t.n * steps * slower / rate;
            if (longer_counts && arithmetic >= best) continue;
            const double partial_sums = split > 1 ? 2 * 4 * split * p.groups * p.m * p.n : 0;
            const double busy = std::min(1.0, 2 * count / parts);
            best = std::min(best, c.together(arithmetic, (bytes + partial_sums) / (memory * busy)));
        }
    }
    return best;
}

}  // namespace

Kernel product(const Device& d, const Product& p) {
    const Constants c(d, p);
    Kernel out;
    out.flops = 2 * p.groups * p.m * p.n * p.k;
    out.bytes = traffic(p);
    out.arithmetic = out.flops / (c.compute * c.peak);
    if (!d.has("gemm_tile_loss")) {
        out.time = c.together(out.flops / (c.compute * c.peak), out.bytes / (c.memory * d.memory_rate()));
        return out;
    }
    out.time = tiled(d, p, c);
    return out;
}

}  // namespace wb::cluster
