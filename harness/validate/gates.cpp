#include "harness/validate/gates.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/config.hpp"
#include "harness/validate/conditions.hpp"

namespace wb {
namespace {

constexpr double rounding = 1e-9;  // of a published decimal against a computed one

std::optional<double> limit(const Config& c, const char* key) {
    if (!c.has(key)) return std::nullopt;
    const double value = c.quantity<double>(key);
    if (value < 0) throw c.error(key, fmt::format("{} is {}", key, value), "an error is not negative", "");
    return value;
}

bool excepted(const std::vector<Gate>& gates, const Judged& row) {
    return std::any_of(gates.begin(), gates.end(), [&](const Gate& g) {
        return g.backend == row.backend && std::find(g.except.begin(), g.except.end(), row.point->id) != g.except.end();
    });
}

void hold(const Gate& gate, const char* what, double value, const std::optional<double>& most,
          std::vector<std::string>& out) {
    if (most && !(value <= *most))
        out.push_back(fmt::format("{}: the {} error of {} is {:.2f} % (the gate allows {:.2f} %).", gate.where, what,
                                  gate.text(), 100 * value, 100 * *most));
}

void judge(const Gate& gate, const std::vector<Judged>& rows, std::size_t wanted, std::vector<std::string>& out) {
    std::vector<const Judged*> mine;
    for (const Judged& r : rows)
        if (r.backend == gate.backend && r.point->shipped && gate.holds_for(*r.point)) mine.push_back(&r);
    if (mine.size() < wanted) return;  // a filter left some out
    const ErrorSummary s = summarise_errors(mine);
    if (gate.coverage && s.coverage() < *gate.coverage - rounding)
        out.push_back(fmt::format("{}: {} of {} rows of {} are predicted (the gate asks for {:.0f} %).", gate.where,
                                  s.predicted, s.n, gate.text(), 100 * *gate.coverage));
    hold(gate, "median", s.median, gate.median, out);
    hold(gate, "90th-percentile", s.p90, gate.p90, out);
    hold(gate, ("worst (" + s.worst_id + ")").c_str(), s.worst, gate.worst, out);
}

}  // namespace

bool Gate::holds_for(const Point& point) const {
    return (group.empty() || name_matches(group, point.group)) &&
           (family.empty() || name_matches(family, point.workload)) &&
           std::find(except.begin(), except.end(), point.id) == except.end();
}

std::string Gate::text() const {
    return fmt::format("{} on {}", !group.empty() ? group : family.empty() ? "every row" : family, backend);
}

std::vector<Gate> read_gates(const Files& files) {
    const std::string path = files.find("validation/gates.toml");
    std::vector<Gate> out;
    if (path.empty()) return out;
    const Config file = Config::load(path);
    for (const Config& c : file.tables("gate")) {
        Gate g;
        g.where = c.where();
        g.group = c.text_or("group", "");
        g.family = c.text_or("family", "");
        g.backend = c.text("backend");
        if (c.has("except")) {
            g.except = c.texts("except");
            c.text("why");
        }
        g.median = limit(c, "median");
        g.p90 = limit(c, "p90");
        g.worst = limit(c, "worst");
        g.coverage = limit(c, "coverage");
        out.push_back(std::move(g));
    }
    file.finish();
    return out;
}

std::vector<std::string> breaches(const std::vector<Gate>& gates, const std::vector<Judged>& rows,
                                  const std::vector<Point>& all, const BackendSet& backends) {
    std::vector<std::string> out;
    for (const Gate& g : gates) {
        const bool asked =
            std::any_of(rows.begin(), rows.end(), [&](const Judged& r) { return r.backend == g.backend; });
        const auto wanted = static_cast<std::size_t>(
            std::count_if(all.begin(), all.end(), [&](const Point& p) { return p.shipped && g.holds_for(p); }));
        const bool any = std::any_of(all.begin(), all.end(), [](const Point& p) { return p.shipped; });
        if (any && wanted == 0 && g.except.empty())
            out.push_back(fmt::format("{}: no point belongs to {} (the gate would hold nothing).", g.where, g.text()));
        else if (asked && wanted > 0)
            judge(g, rows, wanted, out);
    }
    for (const Judged& r : rows) {
        if (!r.prediction.known || backends.find(r.backend)->kind() != Kind::bound || excepted(gates, r)) continue;
        if (r.time_factor() < 1 - rounding)
            out.push_back(fmt::format("{}: {} was measured {:.3g} times faster than the bound of {} allows.",
                                      r.point->place, r.point->id, 1 / r.time_factor(), r.backend));
    }
    return out;
}

}  // namespace wb
