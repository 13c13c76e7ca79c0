#include "models/gemm_laws.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "core/error.hpp"
#include "models/collective_laws.hpp"
#include "models/tile_work.hpp"

namespace wb {

namespace {

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

double as_double(std::int64_t x) { return static_cast<double>(x); }

/// From starting an asynchronous instruction to its first wavelet.
double async_start(const Mesh& mesh) { return mesh.microthread_start_cycles + mesh.vector_start_cycles; }

/// Between two neighbours of a ring: PE, router, `hops` links, router, PE.
double latency(const Mesh& mesh, int hops) { return 2.0 * mesh.ramp_cycles + hops * mesh.hop_cycles + 1; }

/// Hops between neighbours of the ring, and of the message that closes it.
struct RingHops {
    int neighbour, closing;
};
RingHops ring_hops(GemmAlgorithm algorithm, int side) {
    if (algorithm == GemmAlgorithm::cannon) return {1, side - 1};
    return {std::min(2, side - 1), std::min(2, side - 1)};
}

/// Tiles of `words` travel half a ring, one neighbour after another.
double align_cycles(const Mesh& mesh, const GemmPlan& plan, double words) {
    const int shifts = plan.rows / 2;
    if (shifts == 0) return 0;
    const RingHops hops = ring_hops(plan.algorithm, plan.rows);
    const double one = mesh.task_start_cycles + async_start(mesh) + words + latency(mesh, hops.neighbour) + 1;
    return shifts * one + std::max(0, hops.closing - hops.neighbour) * mesh.hop_cycles;
}

struct Words {
    double a, b, c;  ///< wavelets of the tiles that travel in a step
};
Words words(const GemmPlan& p) {
    return {as_double(wavelets(p.tile_m() * p.panel(), p.type)), as_double(wavelets(p.panel() * p.tile_n(), p.type)),
            as_double(wavelets(p.tile_m() * p.tile_n(), p.type))};
}

/// Until the PE farthest from the north-west corner has its first wavelet, and has drained the ramp.
double fill(const Mesh& mesh, const GemmPlan& p) {
    if (p.rows * p.columns == 1) return 0;
    return (p.rows + p.columns - 2.0) * mesh.hop_cycles + 2 * latency(mesh, 0);
}

GemmCycles summa(const Mesh& mesh, const GemmPlan& p) {
    const Words w = words(p);
    const double steps = as_double(p.steps());
    // Both panels come through one ramp, and the buffers they fill are in use until the product is done.
    const double arrive = p.rows * p.columns == 1 ? 0
                                                  : async_start(mesh) + (p.columns > 1 ? w.a : 0) +
                                                        (p.rows > 1 ? w.b : 0) + 1;
    const TileWork product = tile_product(mesh, p.type, p.tile_m(), p.panel(), p.tile_n());
    return {steps * std::ceil(product.cycles(mesh)), steps * arrive + fill(mesh, p),
            steps * summa_tasks * mesh.task_start_cycles, 0};
}

GemmCycles allgather(const Mesh& mesh, const GemmPlan& p) {
    const Words w = words(p);
    const double steps = as_double(p.steps());
    const double arrive = p.rows * p.columns == 1 ? 0
                                                  : async_start(mesh) + steps * ((p.columns > 1 ? w.a : 0) +
                                                                                 (p.rows > 1 ? w.b : 0));
    const TileWork product = tile_product(mesh, p.type, p.tile_m(), p.panel() * p.steps(), p.tile_n());
    return {std::ceil(product.cycles(mesh)), arrive + fill(mesh, p),
            static_cast<double>(summa_tasks * mesh.task_start_cycles), 0};
}

/// A step ends when the product is done and both neighbours' tiles have come; the message that closes the ring delays
/// one step.
GemmCycles shifting(const Mesh& mesh, const GemmPlan& p) {
    const Words w = words(p);
    const double steps = as_double(p.steps());
    const double product = std::ceil(tile_product(mesh, p.type, p.tile_m(), p.panel(), p.tile_n()).cycles(mesh));
    GemmCycles t;
    t.compute = steps * product;
    t.tasks = steps * shift_tasks * mesh.task_start_cycles;
    if (p.rows == 1) return t;
    const RingHops hops = ring_hops(p.algorithm, p.rows);
    const double shift = async_start(mesh) + w.a + w.b + latency(mesh, hops.neighbour);
    const double closing = shift + (hops.closing - hops.neighbour) * mesh.hop_cycles;
    t.exposed = (steps - 1) * std::max(0.0, shift - product) +
                std::max(0.0, closing - std::max(shift, product));
    if (!p.aligned) t.align = align_cycles(mesh, p, w.a) + align_cycles(mesh, p, w.b);
    return t;
}

/// As shifting, of B alone; then the running sum of the row comes in, is added to and goes on.
GemmCycles transposed(const Mesh& mesh, const GemmPlan& p) {
    const Words w = words(p);
    const double steps = as_double(p.steps());
    const double product = std::ceil(tile_product(mesh, p.type, p.tile_m(), p.panel(), p.tile_n()).cycles(mesh));
    GemmCycles t;
    t.compute = steps * product;
    t.tasks = steps * shift_tasks * mesh.task_start_cycles;
    if (p.rows == 1) return t;
    const double shift = async_start(mesh) + w.b + latency(mesh, 2);
    const double add = mesh.vector_start_cycles + w.c;
    // Tile and sum leave, and come, through one ramp; then the PE notices both in turn.
    const double ramp = shift + w.c + 3;
    const double step = std::max(std::max(shift, product) + add, ramp);
    // No sum comes in the first step, and nothing leaves in the last.
    t.exposed = std::max(shift, product) + (steps - 2) * step + product + add - t.compute;
    if (!p.aligned) t.align = align_cycles(mesh, p, w.b) + align_cycles(mesh, p, w.c);
    return t;
}

}  // namespace

std::string_view name(GemmAlgorithm algorithm) {
    static constexpr std::array<std::string_view, 5> names{"summa", "cannon", "meshgemm", "allgather", "transposed"};
    return names[static_cast<std::size_t>(algorithm)];
}

void GemmPlan::check() const {
    const std::string place = fmt::format("gemm {} x {} x {} by {}", m, n, k, name(algorithm));
    if (m < 1 || k < 1 || n < 1)
        throw Error({place, "has a size below 1", "there is nothing to multiply", ""});
    if (rows < 1 || columns < 1) throw Error({place, "has a mesh without PEs", "", ""});
    const bool panels = algorithm == GemmAlgorithm::summa || algorithm == GemmAlgorithm::allgather;
    if (!panels && rows != columns)
        throw Error({place, fmt::format("wants a square mesh, not {} x {}", rows, columns),
                     "tiles of both operands shift in step", "Choose a square mesh, or summa."});
    elements_per_wavelet(type);
}

std::int64_t GemmPlan::steps() const {
    const bool panels = algorithm == GemmAlgorithm::summa || algorithm == GemmAlgorithm::allgather;
    return panels ? std::lcm(rows, columns) : rows;
}

std::int64_t GemmPlan::tile_m() const { return ceil_div(m, rows); }
std::int64_t GemmPlan::tile_n() const { return ceil_div(n, columns); }
std::int64_t GemmPlan::panel() const { return ceil_div(k, steps()); }
std::int64_t GemmPlan::a_tile() const { return tile_m() * panel() * (steps() / columns); }
std::int64_t GemmPlan::b_tile() const { return panel() * tile_n() * (steps() / rows); }

std::int64_t GemmPlan::sram_bytes() const {
    const std::int64_t a = wavelets(tile_m() * panel(), type), b = wavelets(panel() * tile_n(), type),
                       c = wavelets(tile_m() * tile_n(), type);
    const std::int64_t dealt = a * (steps() / columns) + b * (steps() / rows);
    switch (algorithm) {
        case GemmAlgorithm::summa: return 4 * (dealt + a + b + c);
        case GemmAlgorithm::allgather: return 4 * (dealt + (a + b) * steps() + c);
        case GemmAlgorithm::transposed: return 4 * (a + 2 * b + 2 * c);
        case GemmAlgorithm::cannon:
        case GemmAlgorithm::interleaved: break;
    }
    return 4 * (2 * a + 2 * b + c);
}

double GemmPlan::padded_fma() const {
    return as_double(rows * tile_m()) * as_double(columns * tile_n()) * as_double(panel() * steps()) -
           as_double(m) * as_double(n) * as_double(k);
}

GemmCycles gemm_parts(const Mesh& mesh, const GemmPlan& plan) {
    plan.check();
    switch (plan.algorithm) {
        case GemmAlgorithm::summa: return summa(mesh, plan);
        case GemmAlgorithm::allgather: return allgather(mesh, plan);
        case GemmAlgorithm::transposed: return transposed(mesh, plan);
        case GemmAlgorithm::cannon:
        case GemmAlgorithm::interleaved: break;
    }
    return shifting(mesh, plan);
}

double gemm_cycles(const Mesh& mesh, const GemmPlan& plan) { return gemm_parts(mesh, plan).sum(); }

double transpose_cycles(const Mesh& mesh, int side, std::int64_t rows, std::int64_t columns, DType type) {
    const std::int64_t elements = rows * columns;
    // The tile itself is transposed on the way out: one strided copy a row.
    const double width = elements_per_wavelet(type);
    const double in_tile = as_double(rows) * mesh.vector_start_cycles +
                           as_double(elements) * (width == 2 ? mesh.f16_sram_fma_cycles : mesh.f32_sram_fma_cycles);
    if (side == 1) return std::ceil(in_tile);
    // All tiles of the longest half row turn at one diagonal PE.
    const double words = as_double(wavelets(elements, type));
    return std::ceil(in_tile) + mesh.vector_start_cycles + (side - 1) * words +
           2.0 * (side - 1) * mesh.hop_cycles + latency(mesh, 0);
}

double streamed_gemv_cycles(const Mesh& mesh, DType type, std::int64_t m, std::int64_t n) {
    const std::int64_t width = elements_per_wavelet(type), line = mesh.sram_banks / 2 * width;
    const double rate = width == 2 ? mesh.f16_fma_per_cycle : mesh.f32_fma_per_cycle;
    return 2.0 * mesh.vector_start_cycles + as_double(n) * (as_double(ceil_div(m, line) * line) / rate + 1);
}

}  // namespace wb
