#include "harness/validate/bands.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "core/config.hpp"
#include "harness/stats.hpp"
#include "harness/validate/point.hpp"

namespace wb {
namespace {

constexpr const char* any = "any";
constexpr const char* unseen_word = "unseen";
constexpr const char* extrapolated_word = "extrapolated";

template <class Row>
const Row* find(const std::vector<Row>& rows, const std::string& backend, const std::string& systems,
                const std::string& family) {
    for (const Row& r : rows)
        if (r.backend == backend && r.systems == systems && r.family == family) return &r;
    return nullptr;
}

/// The row of the family on this kind of system, or the nearest parent.
template <class Row>
const Row* nearest(const std::vector<Row>& rows, const std::string& backend, const std::string& systems,
                   const std::string& family) {
    for (const auto& [s, f] :
         {std::pair<std::string, std::string>{systems, family}, {any, family}, {systems, any}, {any, any}})
        if (const Row* r = find(rows, backend, s, f)) return r;
    return nullptr;
}

bool judged(const BandRow* row, const std::string& system) {
    return row && std::find(row->judged.begin(), row->judged.end(), system) != row->judged.end();
}

template <class Row>
std::string parent_text(const Row& r) {
    return fmt::format("({} systems, {} family)", r.systems, r.family);
}

template <class Row>
void check(const Config& c, const Row& r) {
    if (!(r.low > 0) || r.high < r.low)
        throw c.error("low", fmt::format("{} to {} is no band", r.low, r.high), "factors rise from low to high", "");
}

}  // namespace

bool is_unseen(const Band& band) { return band.source.starts_with(unseen_word); }
bool is_extrapolated(const Band& band) { return band.source.find(extrapolated_word) != std::string::npos; }

bool same_family(const std::string& a, const std::string& b) { return family_of_workload(a) == family_of_workload(b); }

Band joined(const std::vector<std::pair<double, Band>>& parts) {
    constexpr double counts = 0.1;
    double low = 0, high = 0, all = 0, unseen = 0, extrapolated = 0;
    for (const auto& [weight, band] : parts) {
        low += weight * band.low;
        high += weight * band.high;
        all += weight;
        if (is_unseen(band)) unseen += weight;
        if (is_extrapolated(band)) extrapolated += weight;
    }
    if (!(all > 0)) return {};
    std::string source = "of its phases, weighed by their time";
    if (extrapolated > counts * all) source = fmt::format("{}: {}", extrapolated_word, source);
    if (unseen > counts * all) source = fmt::format("{} system, {}", unseen_word, source);
    return {low / all, high / all, std::move(source)};
}

std::optional<Band> Bands::of(const std::string& backend, const std::string& system, SystemKind kind,
                              const std::string& workload) const {
    const std::string systems(name(kind)), family = family_of_workload(workload);
    const BandRow* own = find(rows_, backend, systems, family);
    if (judged(own, system))
        return Band{own->low, own->high, fmt::format("{} published rows of {} groups", own->rows, own->groups)};
    const BandRow* of_others = nearest(rows_, backend, systems, family);
    if (!of_others) return std::nullopt;
    const std::string others =
        fmt::format("{} from {} published rows {}", extrapolated_word, of_others->rows, parent_text(*of_others));
    if (judged(find(rows_, backend, systems, any), system)) return Band{of_others->low, of_others->high, others};
    const UnseenRow* unseen = nearest(unseen_, backend, systems, family);
    if (!unseen) return Band{of_others->low, of_others->high, fmt::format("{} system, {}", unseen_word, others)};
    std::string source = fmt::format("{} system: {} predictions of {} system{} by constants of others", unseen_word,
                                     unseen->rows, unseen->left_out, unseen->left_out == 1 ? "" : "s");
    if (unseen->systems != systems || unseen->family != family)
        source += fmt::format(", {} {}", extrapolated_word, parent_text(*unseen));
    return Band{std::min(unseen->low, of_others->low), std::max(unseen->high, of_others->high), std::move(source)};
}

Bands Bands::read(const Files& files) {
    const std::string path = files.find("validation/bands.toml");
    if (path.empty()) return {};
    const Config file = Config::load(path);
    std::vector<BandRow> rows;
    for (const Config& c : file.tables("band")) {
        BandRow r{c.text("backend"), c.text("systems"), c.text("family"), c.number("low"), c.number("high"), 0, 0, {}};
        r.rows = static_cast<std::size_t>(c.integer("rows"));
        r.groups = static_cast<std::size_t>(c.integer("groups"));
        if (c.has("judged")) r.judged = c.texts("judged");
        check(c, r);
        rows.push_back(std::move(r));
    }
    std::vector<UnseenRow> unseen;
    for (const Config& c : file.tables("unseen")) {
        UnseenRow r{c.text("backend"), c.text("systems"), c.text("family"), c.number("low"), c.number("high"), 0, 0};
        r.rows = static_cast<std::size_t>(c.integer("rows"));
        r.left_out = static_cast<std::size_t>(c.integer("left_out"));
        check(c, r);
        unseen.push_back(std::move(r));
    }
    file.finish();
    return Bands(std::move(rows), std::move(unseen));
}

std::string Bands::toml() const {
    std::string out =
        "# Written by `waferbench validate --update-bands`: 10th to 90th percentile of measured / predicted time, of\n"
        "# published rows that no constant was fitted to. \"any\" is the parent of all. A system that is not among "
        "the\n"
        "# `judged` ones of a family gets the band of [[unseen]] systems: the same of systems by constants of "
        "others.\n";
    for (const BandRow& r : rows_) {
        out += fmt::format(
            "\n[[band]]\nbackend = \"{}\"\nsystems = \"{}\"\nfamily = \"{}\"\nlow = {:.3f}\nhigh = {:.3f}\nrows = {}\n"
            "groups = {}\n",
            r.backend, r.systems, r.family, r.low, r.high, r.rows, r.groups);
        if (!r.judged.empty()) out += fmt::format("judged = [\"{}\"]\n", fmt::join(r.judged, "\", \""));
    }
    for (const UnseenRow& r : unseen_)
        out += fmt::format(
            "\n[[unseen]]\nbackend = \"{}\"\nsystems = \"{}\"\nfamily = \"{}\"\nlow = {:.3f}\nhigh = {:.3f}\n"
            "rows = {}\nleft_out = {}\n",
            r.backend, r.systems, r.family, r.low, r.high, r.rows, r.left_out);
    return out;
}

namespace {

struct Pool {
    std::vector<double> factors;
    std::set<std::string> groups;
    std::map<std::string, std::vector<double>> by_system;
};
/// By backend, kind of system and family.
using Pools = std::map<std::tuple<std::string, std::string, std::string>, Pool>;

Pools pools_of(const std::vector<BandSample>& samples) {
    Pools out;
    for (const BandSample& s : samples)
        for (const std::string& systems : {s.systems, std::string(any)})
            for (const std::string& family : {s.family, std::string(any)}) {
                Pool& c = out[{s.backend, systems, family}];
                c.factors.push_back(s.factor);
                c.groups.insert(s.group);
                c.by_system[s.system].push_back(s.factor);
            }
    return out;
}

/// Where the part p lies below, each system with the same weight whatever its rows.
double balanced_quantile(const std::map<std::string, std::vector<double>>& by_system, double p) {
    std::vector<std::pair<double, double>> all;  // factor, weight
    for (const auto& [system, factors] : by_system)
        for (const double f : factors)
            all.emplace_back(f, 1.0 / static_cast<double>(factors.size() * by_system.size()));
    std::sort(all.begin(), all.end());
    double below = 0, before = 0;
    for (std::size_t i = 0; i < all.size(); ++i) {
        const double middle = below + 0.5 * all[i].second;
        if (middle >= p)
            return i == 0 ? all[i].first
                          : all[i - 1].first +
                                (all[i].first - all[i - 1].first) * (p - before) / std::max(middle - before, 1e-12);
        below += all[i].second;
        before = middle;
    }
    return all.back().first;
}

/// Systems with enough rows of a family; of "any" family: with enough of half of those there are.
std::vector<std::string> judged_systems(const Pools& pools, const Pools::key_type& key, std::size_t enough) {
    const auto& [backend, systems, family] = key;
    std::map<std::string, std::size_t> families;
    std::size_t all = 0;
    for (const auto& [other, pool] : pools) {
        const auto& [b, s, f] = other;
        if (b != backend || s != systems || f == any || (family != any && f != family)) continue;
        ++all;
        for (const auto& [system, factors] : pool.by_system) families[system] += factors.size() >= enough ? 1 : 0;
    }
    std::vector<std::string> out;
    for (const auto& [system, n] : families)
        if (n > 0 && 2 * n >= all) out.push_back(system);
    return out;
}

}  // namespace

Bands derive_bands(const std::vector<BandSample>& samples, const std::vector<BandSample>& unseen, std::size_t fewest) {
    const Pools pools = pools_of(samples);
    std::vector<BandRow> rows;
    for (const auto& [key, c] : pools) {
        const auto low = quantile(c.factors, 0.1), high = quantile(c.factors, 0.9);
        const auto& [backend, systems, family] = key;
        if (c.factors.size() < fewest || !low || !high) continue;
        rows.push_back({backend, systems, family, *low, *high, c.factors.size(), c.groups.size(), {}});
        if (systems != any) rows.back().judged = judged_systems(pools, key, fewest - 1);
    }
    std::vector<UnseenRow> left_out;
    for (const auto& [key, c] : pools_of(unseen)) {
        const auto& [backend, systems, family] = key;
        if (c.factors.size() < fewest) continue;
        double low = balanced_quantile(c.by_system, 0.1), high = balanced_quantile(c.by_system, 0.9);
        if (const BandRow* seen = find(rows, backend, systems, family))
            low = std::min(low, seen->low), high = std::max(high, seen->high);
        left_out.push_back({backend, systems, family, low, high, c.factors.size(), c.by_system.size()});
    }
    for (UnseenRow& r : left_out) {  // too few systems know no spread: that of all families, too
        const UnseenRow* all = find(left_out, r.backend, r.systems, any);
        if (r.left_out < fewest && all) r.low = std::min(r.low, all->low), r.high = std::max(r.high, all->high);
    }
    return Bands(std::move(rows), std::move(left_out));
}

}  // namespace wb
