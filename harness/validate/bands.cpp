#include "harness/validate/bands.hpp"

#include <fmt/format.h>

#include <map>
#include <set>
#include <tuple>

#include "core/config.hpp"
#include "harness/stats.hpp"
#include "harness/validate/point.hpp"

namespace wb {
namespace {

constexpr const char* any = "any";

}  // namespace

const BandRow* Bands::find(const std::string& backend, const std::string& systems, const std::string& family) const {
    for (const BandRow& r : rows_)
        if (r.backend == backend && r.systems == systems && r.family == family) return &r;
    return nullptr;
}

std::optional<Band> Bands::of(const std::string& backend, SystemKind kind, const std::string& workload) const {
    const std::string systems(name(kind)), family = family_of_workload(workload);
    if (const BandRow* own = find(backend, systems, family))
        return Band{own->low, own->high, fmt::format("{} published rows of {} groups", own->rows, own->groups)};
    for (const auto& [s, f] : {std::pair<std::string, std::string>{any, family}, {systems, any}, {any, any}})
        if (const BandRow* r = find(backend, s, f))
            return Band{r->low, r->high,
                        fmt::format("extrapolated from {} published rows ({} systems, {} family)", r->rows, s, f)};
    return std::nullopt;
}

Bands Bands::read(const Files& files) {
    const std::string path = files.find("validation/bands.toml");
    if (path.empty()) return {};
    const Config file = Config::load(path);
    std::vector<BandRow> rows;
    for (const Config& c : file.tables("band")) {
        BandRow r{c.text("backend"), c.text("systems"), c.text("family"), c.number("low"), c.number("high"), 0, 0};
        r.rows = static_cast<std::size_t>(c.integer("rows"));
        r.groups = static_cast<std::size_t>(c.integer("groups"));
        if (!(r.low > 0) || r.high < r.low)
            throw c.error("low", fmt::format("{} to {} is no band", r.low, r.high), "factors rise from low to high",
                          "");
        rows.push_back(std::move(r));
    }
    file.finish();
    return Bands(std::move(rows));
}

std::string Bands::toml() const {
    std::string out =
        "# Written by `waferbench validate --update-bands`: 10th to 90th percentile of measured / predicted time, of\n"
        "# published rows that no constant was fitted to. \"any\" is the parent of all.\n";
    for (const BandRow& r : rows_)
        out += fmt::format(
            "\n[[band]]\nbackend = \"{}\"\nsystems = \"{}\"\nfamily = \"{}\"\nlow = {:.3f}\nhigh = {:.3f}\nrows = {}\n"
            "groups = {}\n",
            r.backend, r.systems, r.family, r.low, r.high, r.rows, r.groups);
    return out;
}

Bands derive_bands(const std::vector<BandSample>& samples, std::size_t fewest) {
    struct Pool {
        std::vector<double> factors;
        std::set<std::string> groups;
    };
    std::map<std::tuple<std::string, std::string, std::string>, Pool> cells;
    for (const BandSample& s : samples)
        for (const std::string& systems : {s.systems, std::string(any)})
            for (const std::string& family : {s.family, std::string(any)}) {
                Pool& c = cells[{s.backend, systems, family}];
                c.factors.push_back(s.factor);
                c.groups.insert(s.group);
            }
    std::vector<BandRow> rows;
    for (const auto& [key, c] : cells) {
        const auto low = quantile(c.factors, 0.1), high = quantile(c.factors, 0.9);
        const auto& [backend, systems, family] = key;
        if (c.factors.size() >= fewest && low && high)
            rows.push_back({backend, systems, family, *low, *high, c.factors.size(), c.groups.size()});
    }
    return Bands(std::move(rows));
}

}  // namespace wb
