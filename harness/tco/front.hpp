#pragma once

#include <optional>
#include <vector>

namespace wb::tco {

/// One stored result as a choice between quality of service and yield.
struct Point {
    double service = 0;  ///< the more the better: tokens per second of a user, or 1 / time to the first token
    double rate = 0;     ///< what one unit yields, per second
    std::size_t row = 0;
};
/// The points no other is at least as good as in both; by service, so rates fall.
std::vector<Point> pareto(std::vector<Point> points);

/// The rate at a service level by Steffen's monotone interpolation (Astron. Astrophys. 239, 443, 1990); nothing outside
/// the range of the points: nobody measured or modelled there.
std::optional<double> rate_at(const std::vector<Point>& front, double service);

}  // namespace wb::tco
