#include "models/wafer/kernels.hpp"

#include <algorithm>
#include <cmath>

namespace wb::wafer {
namespace {

double words(double elements, DType type) { return std::ceil(elements / elements_per_wavelet(type)); }
double size_of(DType type) { return bits(type) / 8.0; }

}  // namespace

Cost operator+(Cost a, const Cost& b) {
    a.compute += b.compute;
    a.fabric += b.fabric;
    a.dispatch += b.dispatch;
    a.bytes += b.bytes;
    return a;
}

Cost operator*(Cost a, double times) {
    a.compute *= times;
    a.fabric *= times;
    a.dispatch *= times;
    a.bytes *= times;
    return a;
}

Cost reduce(const Machine& m, double elements, DType type, int pes, bool everywhere) {
    Cost c;
    if (pes <= 1 || elements <= 0) return c;
    const double hops = (everywhere ? 1.0 : 0.5) * pes * m.mesh.hop_cycles;
    c.fabric = hops + std::sqrt(static_cast<double>(pes)) * m.reduce_stage + 2 * m.mesh.ramp_cycles +
               (everywhere ? 3 : 2) * words(elements, type);
    c.bytes = 4 * words(elements, type) * (pes + (everywhere ? 1 : 0));
    return c;
}

Cost gemv(const Machine& m, double rows, double k, double n, DType type, Grid grid, bool everywhere) {
    const double a = share(k, grid.rows), b = share(n, grid.columns);
    Cost c = reduce(m, rows * b, type, grid.rows, everywhere);
    c.bytes *= grid.columns;
    c.compute = rows * a * (m.row_start + b * m.fma_cycles(type));
    return c;
}

Cost gemm(const Machine& m, double rows, double k, double n, DType type, Grid grid) {
    const int steps = std::max(grid.rows, grid.columns);
    const double a = share(rows, grid.rows), b = share(k, steps), c = share(n, grid.columns);
    const double moved = words(a * b, type) + words(b * c, type);
    Cost cost;
    cost.compute = steps * (m.gemm_step + a * b * c * m.fma_cycles(type));
    cost.fabric = steps * moved * m.gemm_word;
    cost.bytes = steps * moved * 4 * grid.pes();
    return cost;
}

double gemv_bytes(double rows, double k, double n, DType type, Grid grid) {
    const double a = share(k, grid.rows), b = share(n, grid.columns);
    return size_of(type) * (a * b + rows * (a + 2 * b));
}

double gemm_bytes(double rows, double k, double n, DType type, Grid grid) {
    const int steps = std::max(grid.rows, grid.columns);
    const double a = share(rows, grid.rows), b = share(k, steps), c = share(n, grid.columns);
    return size_of(type) * (2 * (a * b + b * c) + a * c);
}

}  // namespace wb::wafer
