#include "harness/rank_use.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace wb {
namespace {

enum class Over { sum, largest, smallest };

double value(std::int64_t n) { return static_cast<double>(n); }
template <class Q>
double value(const Q& q) {
    return q.si();
}
double value(const std::optional<Bytes>& b) { return b ? b->si() : std::numeric_limits<double>::quiet_NaN(); }

void set(std::int64_t& to, double v) { to = static_cast<std::int64_t>(v); }
template <class Q>
void set(Q& to, double v) {
    to = Q(v);
}
/// What one rank does not know all do not know.
void set(std::optional<Bytes>& to, double v) { to = std::isnan(v) ? std::nullopt : std::optional(Bytes(v)); }

template <class Calls, class Visit>
void each_call(Calls& calls, const Visit& visit) {
    for (auto& c : calls) {
        visit(c.calls, Over::sum);
        visit(c.bytes, Over::sum);
        visit(c.time, Over::largest);
        visit(c.exposed, Over::largest);
    }
}

/// Every number that differs from rank to rank, and what all of them together have of it.
template <class Use, class Visit>
void each_number(Use& use, const Visit& visit) {
    visit(use.useful, Over::sum);
    visit(use.overhead, Over::sum);
    for (auto& m : use.memory) {
        visit(m.peak, Over::largest);
        visit(m.traffic, Over::largest);
    }
    each_call(use.communication, visit);
    for (auto& p : use.phases) {
        visit(p.time, Over::largest);
        visit(p.fastest, Over::smallest);
        visit(p.memory, Over::largest);
        visit(p.communication, Over::sum);
        visit(p.calls, Over::sum);
        visit(p.exposed, Over::largest);
        visit(p.useful, Over::sum);
        visit(p.counted, Over::sum);
        each_call(p.collectives, visit);
    }
}

double folded(const std::vector<std::vector<double>>& ranks, std::size_t at, Over how) {
    double out = ranks.front()[at];
    for (std::size_t r = 1; r < ranks.size(); ++r) {
        const double next = ranks[r][at];
        out = how == Over::sum ? out + next : how == Over::largest ? std::max(out, next) : std::min(out, next);
    }
    return out;
}

}  // namespace

std::vector<double> numbers_of(const ResourceUse& use) {
    std::vector<double> out;
    each_number(use, [&out](const auto& x, Over) { out.push_back(value(x)); });
    return out;
}

bool merge_ranks(const std::vector<std::vector<double>>& ranks, Measurement& m) {
    std::size_t count = 0;
    each_number(m, [&count](const auto&, Over) { ++count; });
    if (ranks.empty() || std::any_of(ranks.begin(), ranks.end(), [&](const auto& r) { return r.size() != count; }))
        return false;
    std::size_t at = 0;
    each_number(m, [&](auto& x, Over how) { set(x, folded(ranks, at++, how)); });
    return true;
}

}  // namespace wb
