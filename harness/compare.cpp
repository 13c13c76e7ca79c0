#include "harness/compare.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "core/units.hpp"
#include "harness/stats.hpp"
#include "harness/text_table.hpp"

namespace wb {
namespace {

struct Verdict {
    std::string word, change, detail;
    Emphasis emphasis = Emphasis::none;
    Exit code = Exit::ok;
};

/// To the last bit; what neither knows (NaN) is the same.
bool same(const std::vector<double>& a, const std::vector<double>& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](double x, double y) { return x == y || (std::isnan(x) && std::isnan(y)); });
}
bool same(const Span& a, const Span& b) {
    return std::tie(a.op, a.resource, a.phase) == std::tie(b.op, b.resource, b.phase) &&
           same({a.start.si(), a.duration.si(), a.bytes.si(), a.flops.si()},
                {b.start.si(), b.duration.si(), b.bytes.si(), b.flops.si()});
}
bool same(const MemoryUse& a, const MemoryUse& b) {
    return a.level == b.level &&
           same({a.capacity.si(), a.peak.si(), a.traffic.si()}, {b.capacity.si(), b.peak.si(), b.traffic.si()});
}
bool same(const CommUse& a, const CommUse& b) {
    return std::tie(a.fabric, a.operation, a.calls) == std::tie(b.fabric, b.operation, b.calls) &&
           same({a.bytes.si(), a.time.si(), a.exposed.si()}, {b.bytes.si(), b.time.si(), b.exposed.si()});
}
bool same(const Grid& a, const Grid& b) {
    return a.name == b.name && same({a.mean, a.largest}, {b.mean, b.largest}) && same(a.values, b.values);
}

template <class T>
bool same(const std::vector<T>& a, const std::vector<T>& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const T& x, const T& y) { return same(x, y); });
}

/// What of an exact case differs beside its time; empty if nothing does.
std::string other_difference(const Measurement& a, const Measurement& b) {
    if (!same(a.spans, b.spans)) return "its timeline is another";
    if (!same(a.memory, b.memory)) return "its memory is another";
    if (!same(a.communication, b.communication)) return "its communication is another";
    if (!same(a.grids, b.grids)) return "its heat maps are others";
    return "";
}

/// Bit by bit: a model that changed must say so.
Verdict exact(const Result& a, const Result& b) {
    const double x = a.median_s(), y = b.median_s();
    const std::string band = band_text(b.m).empty() ? "" : ", real time " + band_text(b.m);
    const std::string other = other_difference(a.m, b.m);
    if (x == y && !other.empty())
        return {"CHANGED", "", "the same time, but " + other, Emphasis::bad, Exit::regression};
    if (x == y) return {"same", "", "exact" + band, Emphasis::none, Exit::ok};
    return {"CHANGED", fmt::format("{:+.3g} %", 100 * (y / x - 1)), fmt::format("{:.17g} s -> {:.17g} s{}", x, y, band),
            Emphasis::bad, Exit::regression};
}

/// The smallest slowdown this pair of samples could have shown, from the widths of the two medians' intervals.
double detectable(const std::vector<double>& a, const std::vector<double>& b) {
    return 1.4 * std::hypot(summarise(a).noise, summarise(b).noise) / 2;
}

Verdict statistical(const Result& a, const Result& b, const CompareOptions& o) {
    const auto interval = ratio_of_medians_interval(b.m.samples_s, a.m.samples_s, o.seed);
    if (!interval) return {"ERROR", "", "a sample is empty or holds no time", Emphasis::bad, Exit::failed};
    const double ratio = b.median_s() / a.median_s();
    Verdict v;
    v.change = fmt::format("{:+.1f} % [{:+.1f}, {:+.1f}]", 100 * (ratio - 1), 100 * (interval->low - 1),
                           100 * (interval->high - 1));
    const double mde = detectable(a.m.samples_s, b.m.samples_s);
    v.detail = fmt::format("n={}/{} could have seen {:.1f} %", a.m.samples_s.size(), b.m.samples_s.size(), 100 * mde);
    const double limit = 1 + o.threshold;
    if (interval->low > limit)
        v.word = "SLOWER", v.emphasis = Emphasis::bad, v.code = Exit::regression;
    else if (interval->high < 1 / limit)
        v.word = "faster", v.emphasis = Emphasis::good;
    else if (interval->high <= limit && interval->low >= 1 / limit)
        v.word = "same";
    else
        v.word = "inconclusive", v.emphasis = Emphasis::caution, v.code = o.strict ? Exit::inconclusive : Exit::ok;
    return v;
}

Verdict judge(const Result& a, const Result& b, const CompareOptions& o) {
    if (a.fingerprint != b.fingerprint)
        throw Error({a.key, "the two files hold different workloads under this name",
                     fmt::format("fingerprints {} and {}", a.fingerprint, b.fingerprint),
                     "Run both with the same version."});
    if (a.m.kind != b.m.kind)
        throw Error({a.key, fmt::format("one number is {}, the other {}", name(a.m.kind), name(b.m.kind)),
                     "kinds are never compared", ""});
    if (a.m.status != b.m.status)
        return {"CHANGED", "", fmt::format("{} -> {}: {}", name(a.m.status), name(b.m.status), b.m.reason),
                Emphasis::bad, b.m.status == Status::ok ? Exit::ok : Exit::regression};
    if (a.m.status != Status::ok) {
        const std::string other = a.m.kind == Kind::measured ? "" : other_difference(a.m, b.m);
        if (!other.empty()) return {"CHANGED", "", other, Emphasis::bad, Exit::regression};
        return {"same", "", std::string(name(a.m.status)), Emphasis::faint, Exit::ok};
    }
    return a.m.kind == Kind::measured ? statistical(a, b, o) : exact(a, b);
}

/// The worse of two outcomes of a gate.
Exit worse(Exit a, Exit b) {
    const auto weight = [](Exit e) {
        return e == Exit::regression ? 3 : e == Exit::failed ? 2 : e == Exit::inconclusive ? 1 : 0;
    };
    return weight(a) >= weight(b) ? a : b;
}

}  // namespace

Comparison compare_results(const ResultSet& a, const ResultSet& b, const CompareOptions& options, Format format_,
                           bool colour) {
    TextTable table({{"case"},
                     {"kind"},
                     {"A", Align::right, "", "s"},
                     {"B", Align::right, "", "s"},
                     {"change", Align::right},
                     {"verdict"},
                     {"why"}});
    std::map<std::string, const Result*> in_a;
    for (const Result& r : a.results) in_a[r.key] = &r;
    std::map<std::string, int> count;
    int only_b = 0, common = 0;
    Exit code = Exit::ok;
    for (const Result& r : b.results) {
        const auto it = in_a.find(r.key);
        if (options.exact_only && r.m.kind == Kind::measured) {
            if (it != in_a.end()) in_a.erase(it);
            continue;
        }
        if (it == in_a.end()) {
            ++only_b;
            continue;
        }
        ++common;
        const Result& old = *it->second;
        const Verdict v = judge(old, r, options);
        ++count[v.word];
        code = worse(code, v.code);
        const auto cell = [](const Result& x) {
            return x.m.samples_s.empty() ? Cell("-") : Cell(format(Seconds(x.median_s())), x.median_s());
        };
        table.row({fmt::format("{} | {} x{} {}", r.label, r.system, r.units, r.backend),
                   std::string(name(r.m.kind)),
                   cell(old),
                   cell(r),
                   v.change,
                   {v.word, v.emphasis},
                   {v.detail, Emphasis::faint}});
        in_a.erase(it);
    }
    std::erase_if(in_a, [&](const auto& x) { return options.exact_only && x.second->m.kind == Kind::measured; });
    if (common == 0)
        throw Error({"compare", "the two files have no case in common", "there is nothing to compare",
                     "Run the same experiment for both."},
                    Exit::baseline);
    Comparison out;
    switch (format_) {
        case Format::markdown: out.table = table.markdown(); break;
        case Format::csv: out.table = table.csv(); break;
        case Format::json: out.table = table.json(); break;
        case Format::latex: out.table = table.latex(); break;
        default: out.table = table.terminal(colour);
    }
    out.summary = fmt::format("{} compared:", common);
    for (const auto& [word, n] : count) out.summary += fmt::format(" {} {}", n, word);
    if (only_b > 0) out.summary += fmt::format("; {} only in B", only_b);
    if (!in_a.empty()) {
        out.summary += fmt::format("; {} missing in B, first: {}", in_a.size(), in_a.begin()->first);
        code = worse(code, Exit::regression);
    }
    out.code = code;
    return out;
}

}  // namespace wb
