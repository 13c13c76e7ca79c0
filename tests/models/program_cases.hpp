#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "core/element.hpp"
#include "core/fill.hpp"
#include "models/fabric/programs/tile.hpp"
#include "models/fabric/simulator.hpp"

/// What the tests of PE programs share: machines, matrices, and the table of closed form against simulator.
namespace wb::fabric {

/// The ideal machine of the published laws.
inline Mesh ideal_mesh(int rows, int columns) {
    Mesh m;
    m.rows = rows;
    m.columns = columns;
    m.sram_bytes = 48 * 1024;
    m.clock_hz = 1e9;
    return m;
}

/// One with a price on every start, and slower SRAM.
inline Mesh costly_mesh(int rows, int columns) {
    Mesh m = ideal_mesh(rows, columns);
    m.vector_start_cycles = 11;
    m.task_start_cycles = 40;
    m.microthread_start_cycles = 5;
    m.f32_sram_fma_cycles = 2.25;
    m.f16_sram_fma_cycles = 0.5;
    return m;
}

/// A matrix in doubles, its values exact in `type`.
struct Matrix {
    std::int64_t rows = 0, columns = 0;
    std::vector<double> values;

    double& at(std::int64_t i, std::int64_t j) { return values[static_cast<std::size_t>(i * columns + j)]; }
    double at(std::int64_t i, std::int64_t j) const { return values[static_cast<std::size_t>(i * columns + j)]; }
};

inline Matrix zeros(std::int64_t rows, std::int64_t columns) {
    return {rows, columns, std::vector<double>(static_cast<std::size_t>(rows * columns))};
}

inline Matrix filled(const std::string& name, std::int64_t rows, std::int64_t columns, Type type, double most = 1) {
    Matrix m = zeros(rows, columns);
    const FillStream stream({Fill::Kind::uniform, most}, 1, name, 0);
    for (std::size_t i = 0; i < m.values.size(); ++i)
        m.values[i] = rounded(stream(static_cast<std::int64_t>(i)), dtype(type));
    return m;
}

/// The matrix must outlive the program.
inline Load load_of(const Matrix& m) {
    return [&m](std::int64_t i, std::int64_t j) { return static_cast<float>(m.at(i, j)); };
}
inline Store store_to(Matrix& m) {
    return [&m](std::int64_t i, std::int64_t j, float value) { m.at(i, j) = value; };
}

inline double largest_difference(const Matrix& a, const Matrix& b) {
    double most = 0;
    for (std::size_t i = 0; i < a.values.size(); ++i)
        most = std::isnan(a.values[i]) ? INFINITY : std::max(most, std::abs(a.values[i] - b.values[i]));
    return most;
}

/// Closed form against simulator: prints what was compared, keeps the worst.
class Agreement {
public:
    explicit Agreement(std::string title) : title_(std::move(title)) {}
    ~Agreement() {
        std::sort(rows_.begin(), rows_.end(), [](const Row& a, const Row& b) { return a.error() > b.error(); });
        fmt::print("{}: {} cases, worst {:.2f} %, median {:.2f} %\n", title_, rows_.size(), 100 * worst(),
                   rows_.empty() ? 0 : 100 * rows_[rows_.size() / 2].error());
        for (std::size_t i = 0; i < std::min<std::size_t>(rows_.size(), 8); ++i)
            fmt::print("  {:<52} simulated {:>9}  closed form {:>11.1f}  {:+.2f} %\n", rows_[i].what,
                       rows_[i].simulated, rows_[i].law, 100 * (rows_[i].ratio() - 1));
    }
    Agreement(const Agreement&) = delete;
    Agreement& operator=(const Agreement&) = delete;

    /// Relative error of the closed form.
    double add(std::string what, std::uint64_t simulated, double law) {
        rows_.push_back({std::move(what), simulated, law});
        return rows_.back().error();
    }
    double worst() const {
        double most = 0;
        for (const Row& r : rows_) most = std::max(most, r.error());
        return most;
    }

private:
    struct Row {
        std::string what;
        std::uint64_t simulated;
        double law;
        double ratio() const { return law / static_cast<double>(simulated); }
        double error() const { return std::abs(ratio() - 1); }
    };
    std::string title_;
    std::vector<Row> rows_;
};

inline Options mesh_options(int rows, int columns, bool data) {
    Options o;
    o.rows = rows;
    o.columns = columns;
    o.data = data;
    o.link_use = false;
    return o;
}

}  // namespace wb::fabric
