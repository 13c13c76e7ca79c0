#include "harness/loggp_fit.hpp"

#include <algorithm>
#include <cmath>

#include "core/error.hpp"

namespace wb {
namespace {

struct Line {
    double start = 0, slope = 0, squares = 0;
};

/// Least squares of (start + slope x - y) / y, neither below 0: times span orders of magnitude.
Line line_through(const std::vector<double>& x, const std::vector<double>& y, std::size_t from, std::size_t to) {
    double s1 = 0, sx = 0, sxx = 0, sy = 0, sxy = 0;
    for (std::size_t i = from; i < to; ++i) {
        const double w = 1 / (y[i] * y[i]);
        s1 += w, sx += w * x[i], sxx += w * x[i] * x[i], sy += w * y[i], sxy += w * x[i] * y[i];
    }
    const double d = s1 * sxx - sx * sx;
    Line out{(sy * sxx - sx * sxy) / d, (s1 * sxy - sx * sy) / d, 0};
    if (out.slope < 0) out = {sy / s1, 0, 0};
    if (out.start < 0) out = {0, sxy / sxx, 0};
    for (std::size_t i = from; i < to; ++i) out.squares += std::pow((out.start + out.slope * x[i]) / y[i] - 1, 2);
    return out;
}

}  // namespace

namespace {

constexpr std::size_t fewest = 3;      // points of a line
constexpr double close_enough = 0.03;  // mean relative error that no further line is to explain

struct Fit {
    std::vector<MessagePiece> pieces;
    double squares = 0;
};

/// The best of `count` lines through the points from `from` on; no pieces if there are too few points.
Fit best_fit(const std::vector<double>& x, const std::vector<double>& y, std::size_t from, int count) {
    const std::size_t n = x.size();
    if (n - from < fewest * static_cast<std::size_t>(count)) return {};
    if (count == 1) {
        const Line line = line_through(x, y, from, n);
        return {{{x[from], line.start, line.slope}}, line.squares};
    }
    Fit best;
    for (std::size_t cut = from + fewest; cut + fewest <= n; ++cut) {
        Fit rest = best_fit(x, y, cut, count - 1);
        if (rest.pieces.empty()) continue;
        const Line line = line_through(x, y, from, cut);
        rest.squares += line.squares;
        if (!best.pieces.empty() && rest.squares >= best.squares) continue;
        rest.pieces.insert(rest.pieces.begin(), {x[from], line.start, line.slope});
        best = std::move(rest);
    }
    return best;
}

}  // namespace

std::vector<MessagePiece> fit_pieces(const std::vector<double>& x, const std::vector<double>& y) {
    WB_EXPECT(x.size() >= fewest && y.size() == x.size());
    Fit best = best_fit(x, y, 0, 1);
    const double good = close_enough * close_enough * static_cast<double>(x.size());
    for (int count = 2; count <= 3 && best.squares > good; ++count)
        if (Fit more = best_fit(x, y, 0, count); !more.pieces.empty() && more.squares < best.squares / 2)
            best = std::move(more);
    return best.pieces;
}

LogGP fit_loggp(const NetworkFigures& f) {
    const std::vector<double> sizes = f.sizes("latency");
    std::vector<double> times;
    for (const double bytes : sizes) times.push_back(f.at("latency", bytes));
    LogGP out;
    const double smallest = sizes.front();
    out.send_overhead_s = f.at("send_overhead", smallest);
    out.receive_overhead_s = f.at("receive_overhead", smallest);
    // A message of a rank to its neighbour takes o + L + o; of small ones the gap a byte does not count.
    out.latency_s = std::max(0.0, f.at("latency", smallest) - out.send_overhead_s - out.receive_overhead_s);
    out.gap_s = f.at("bandwidth", smallest);
    out.pieces = fit_pieces(sizes, times);
    return out;
}

}  // namespace wb
