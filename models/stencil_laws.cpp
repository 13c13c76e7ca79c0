#include "models/stencil_laws.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "models/vector_laws.hpp"

namespace wb {
namespace {

double wavelets(const StencilShape& s) {
    const int each = elements_per_wavelet(s.type);
    return std::ceil(static_cast<double>(s.depth) / each);
}

/// `count` vector instructions, one after another: whole cycles each.
double sweeps(const Mesh& mesh, double count, std::int64_t elements, double element_cycles) {
    return count * std::ceil(mesh.vector_start_cycles + static_cast<double>(elements) * element_cycles);
}

double sum_cycles(const Mesh& mesh, const StencilShape& s) {
    return s.sums == s.type ? element_cycles(mesh, s.type) : mixed_element_cycles(mesh, s.type);
}

int neighbours(int side) { return std::min(side - 1, 2); }

/// Columns of points that PE i of a line of `side` gets, or passes on, in one round of travel both ways.
int received(int side, int i, int round) { return (i >= round) + (side - 1 - i >= round); }
int passed_on(int side, int i, int round) {
    return (i >= round - 1 && i + 1 < side) + (side - 1 - i >= round - 1 && i > 0);
}

/// The 25-point step, round by round, on a corner of the mesh: PEs further inside are like its innermost.
class Rounds {
public:
    Rounds(const Mesh& mesh, const StencilShape& s)
        : s_(s),
          rows_(std::min(s.rows, 10)),
          columns_(std::min(s.columns, 10)),
          begin_(mesh.microthread_start_cycles + mesh.vector_start_cycles + 2.0 * mesh.ramp_cycles + 2),
          column_(sweeps(mesh, 1, s.depth, sum_cycles(mesh, s))),
          task_(mesh.task_start_cycles) {
        double own = column_;
        for (std::int64_t d = 1; d <= std::min<std::int64_t>(4, s.depth - 1); ++d)
            own += sweeps(mesh, 2, s.depth - d, sum_cycles(mesh, s));
        ready_.assign(static_cast<std::size_t>(rows_) * static_cast<std::size_t>(columns_), 0);
        for (int round = 1; round <= 4; ++round) play(round, own);
    }

    double end() const {
        double most = 0;
        for (int i = 0; i < rows_; ++i)
            for (int j = 0; j < columns_; ++j)
                most = std::max(most, at(ready_, i, j) + (brought(i, j, 4) + 2) * column_);
        return most;
    }

private:
    std::size_t index(int i, int j) const {
        return static_cast<std::size_t>(i) * static_cast<std::size_t>(columns_) + static_cast<std::size_t>(j);
    }
    double at(const std::vector<double>& v, int i, int j) const { return v[index(i, j)]; }
    int brought(int i, int j, int round) const { return received(rows_, i, round) + received(columns_, j, round); }

    /// A PE is done when its work is, and the columns that it exchanges with its neighbours once all have begun.
    void play(int round, double own) {
        std::vector<double> next = ready_;
        for (int i = 0; i < rows_; ++i)
            for (int j = 0; j < columns_; ++j) {
                const int passed = passed_on(rows_, i, round) + passed_on(columns_, j, round);
                const int moved = std::max(brought(i, j, round), passed);
                double together = at(ready_, i, j);
                for (const auto& [di, dj] : {std::pair{-1, 0}, {1, 0}, {0, -1}, {0, 1}})
                    if (i + di >= 0 && i + di < rows_ && j + dj >= 0 && j + dj < columns_)
                        together = std::max(together, at(ready_, i + di, j + dj));
                const double work = round == 1 ? own : brought(i, j, round - 1) * column_;
                next[index(i, j)] = task_ + std::max(at(ready_, i, j) + work,
                                                     moved == 0 ? 0 : together + begin_ + moved * wavelets(s_));
            }
        ready_ = next;
    }

    StencilShape s_;
    int rows_, columns_;
    double begin_, column_, task_;
    std::vector<double> ready_;  // for the next round
};

}  // namespace

double stencil7_cycles(const Mesh& mesh, const StencilShape& s) {
    // Arrivals and local products share the datapath; the ramp brings one wavelet a cycle.
    const int around = neighbours(s.rows) + neighbours(s.columns);
    const double own = sweeps(mesh, 1, s.depth, sum_cycles(mesh, s)) +
                       (s.depth > 1 ? sweeps(mesh, 2, s.depth - 1, sum_cycles(mesh, s)) : 0);
    if (around == 0) return own + mesh.task_start_cycles;
    const double begin = mesh.microthread_start_cycles + mesh.vector_start_cycles;
    // A PE at the edge of the mesh begins a direction late by the way of a wavelet: it has waited for the one before.
    return own + mesh.task_start_cycles + around * (begin + wavelets(s)) +
           std::max(around - 1, 1) * (2.0 * mesh.ramp_cycles + 2);
}

double stencil25_cycles(const Mesh& mesh, const StencilShape& s) { return Rounds(mesh, s).end(); }

double scalar_allreduce_cycles(const Mesh& mesh, int rows, int columns) {
    const double half_row = std::ceil(columns / 2.0), half_column = std::ceil(rows / 2.0);
    const double message = mesh.vector_start_cycles + 2 * mesh.ramp_cycles + 1;
    return 2 * (half_row + half_column) + 3 * message;
}

double bicgstab_iteration_cycles(const Mesh& mesh, const StencilShape& s) {
    return 2 * stencil7_cycles(mesh, s) +
           4 * (sweeps(mesh, 1, s.depth, mixed_element_cycles(mesh, s.type)) +
                scalar_allreduce_cycles(mesh, s.rows, s.columns)) +
           6 * sweeps(mesh, 1, s.depth, element_cycles(mesh, s.type));
}

namespace {

/// The middle link of a line carries this many of its n x n points in each direction.
double fft3d(const Mesh& mesh, std::int64_t n, DType type, double crossing) {
    const double points = static_cast<double>(n);
    // A butterfly of two complex points: a product by the twiddle (4 multiply-adds), two complex sums (4 sums); each
    // level in 8 instructions of n / 2.
    const double level = 8 * (mesh.vector_start_cycles + points / 2 * element_cycles(mesh, type));
    return 3 * std::log2(points) * level + 2 * crossing * 2 / elements_per_wavelet(type);
}

}  // namespace

double fft3d_cycles(const Mesh& mesh, std::int64_t n, DType type) {
    return fft3d(mesh, n, type, static_cast<double>(n * n) / 2);
}

double fft3d_least_cycles(const Mesh& mesh, std::int64_t n, DType type) {
    return fft3d(mesh, n, type, static_cast<double>(n * n) / 4);
}

}  // namespace wb
