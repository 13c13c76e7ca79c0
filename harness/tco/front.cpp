#include "harness/tco/front.hpp"

#include <algorithm>
#include <cmath>

namespace wb::tco {
namespace {

double sign(double v) { return v < 0 ? -1 : 1; }

/// Steffen's slope at an inner point from the slopes and widths on both sides.
double inner_slope(double s0, double h0, double s1, double h1) {
    const double p = (s0 * h1 + s1 * h0) / (h0 + h1);
    return (sign(s0) + sign(s1)) * std::min({std::abs(s0), std::abs(s1), 0.5 * std::abs(p)});
}

/// At an end: the parabola through the nearest three points, held back where it would overshoot.
double end_slope(double s0, double h0, double s1, double h1) {
    const double p = s0 * (1 + h0 / (h0 + h1)) - s1 * h0 / (h0 + h1);
    if (p * s0 <= 0) return 0;
    return std::abs(p) > 2 * std::abs(s0) ? 2 * s0 : p;
}

}  // namespace

std::vector<Point> pareto(std::vector<Point> points) {
    std::sort(points.begin(), points.end(), [](const Point& a, const Point& b) {
        return a.service != b.service ? a.service > b.service : a.rate > b.rate;
    });
    std::vector<Point> out;
    for (const Point& p : points)
        if (out.empty() || p.rate > out.back().rate) out.push_back(p);
    std::reverse(out.begin(), out.end());
    return out;
}

std::optional<double> rate_at(const std::vector<Point>& f, double x) {
    if (f.empty() || x < f.front().service || x > f.back().service) return std::nullopt;
    if (f.size() == 1) return f.front().rate;
    std::size_t i = 1;
    while (i + 1 < f.size() && x > f[i].service) ++i;
    const auto width = [&](std::size_t k) { return f[k + 1].service - f[k].service; };
    const auto slope = [&](std::size_t k) { return (f[k + 1].rate - f[k].rate) / width(k); };
    const auto tangent = [&](std::size_t k) {
        if (f.size() == 2) return slope(0);
        const std::size_t last = f.size() - 1;
        if (k == 0) return end_slope(slope(0), width(0), slope(1), width(1));
        if (k == last) return end_slope(slope(last - 1), width(last - 1), slope(last - 2), width(last - 2));
        return inner_slope(slope(k - 1), width(k - 1), slope(k), width(k));
    };
    const std::size_t k = i - 1;
    const double h = width(k), s = slope(k), d0 = tangent(k), d1 = tangent(k + 1), t = x - f[k].service;
    const double a = (d0 + d1 - 2 * s) / (h * h), b = (3 * s - 2 * d0 - d1) / h;
    return ((a * t + b) * t + d0) * t + f[k].rate;
}

}  // namespace wb::tco
