#include "harness/validate/unseen.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>

#include "core/error.hpp"

namespace wb {
namespace {

using Keys = std::set<std::pair<std::string, std::string>>;  // table and key, whatever the alternative

/// Every constant that a fit derives, by system.
std::map<std::string, std::set<ConstantName>> constants_of(const std::vector<FitSpec>& fits) {
    std::map<std::string, std::set<ConstantName>> out;
    for (const FitSpec& f : fits)
        for (const std::string& system : f.systems)
            for (const FitSpec::Constant& c : f.constants) out[system].insert(c.in(system));
    return out;
}

Keys keys_of(const std::set<ConstantName>& constants) {
    Keys out;
    for (const ConstantName& c : constants) out.insert({c.table, c.key});
    return out;
}

/// Systems of the same kind whose own fits derive at least half of these.
std::vector<std::string> relatives(const std::string& system, const Keys& keys, SystemBook& systems,
                                   const std::map<std::string, std::set<ConstantName>>& fitted) {
    std::vector<std::string> out;
    for (const auto& [other, constants] : fitted) {
        if (other == system || systems.load(other)->kind != systems.load(system)->kind) continue;
        std::size_t shared = 0;
        for (const auto& key : keys_of(constants)) shared += keys.contains(key) ? 1 : 0;
        if (2 * shared >= keys.size()) out.push_back(other);
    }
    return out;
}

/// Whether what a file says under an option another one has was measured alike: it offers the same alternative, or
/// knows no such option and the alternative is what is usual.
bool alike(SystemBook& systems, const ConstantName& own, const std::string& relative) {
    if (own.alternative.empty()) return true;
    const auto mine = systems.load(own.system), theirs = systems.load(relative);
    for (const auto& [option, names] : mine->options) {
        if (std::find(names.begin(), names.end(), own.alternative) == names.end()) continue;
        const auto offered = theirs->options.find(option);
        if (offered == theirs->options.end()) return mine->chosen.at(option) == own.alternative;
        return std::find(offered->second.begin(), offered->second.end(), own.alternative) != offered->second.end();
    }
    return true;
}

/// Puts the constants of a relative in the place of a system's own, and takes away those its file does not know.
void borrow(SystemBook& systems, const std::set<ConstantName>& constants, const std::string& relative) {
    for (const ConstantName& own : constants) {
        std::optional<double> theirs;
        try {
            if (alike(systems, own, relative))
                theirs = systems.constant({relative, own.table, own.key, own.alternative}).value;
        } catch (const Error&) {  // its file does not know it
        }
        if (theirs)
            systems.replace(own, *theirs);
        else
            systems.withhold(own);
    }
}

}  // namespace

std::vector<BandSample> unseen_samples(const std::vector<Judged>& rows, const std::vector<BandSample>& seen,
                                       const std::vector<FitSpec>& fits, SystemBook& systems, CaseMaker& make,
                                       Predictor& predictor, const std::vector<Point>& published) {
    const auto fitted = constants_of(fits);
    std::vector<BandSample> out;
    std::set<std::string> backends;
    for (const BandSample& s : seen) {
        backends.insert(s.backend);
        if (!fitted.contains(s.system)) out.push_back(s);
    }
    for (const auto& [system, constants] : fitted)
        for (const std::string& relative : relatives(system, keys_of(constants), systems, fitted)) {
            borrow(systems, constants, relative);
            predictor.forget();
            for (const Judged& r : rows) {
                if (r.point->system != system || !backends.contains(r.backend) || !r.prediction.known) continue;
                const Judged again{r.point, r.backend,
                                   predictor.predict(question_of(*r.point, make), r.backend, published)};
                const double factor = again.prediction.known ? again.time_factor() : std::nan("");
                if (std::isfinite(factor) && factor > 0)
                    out.push_back({r.backend, std::string(name(systems.load(system)->kind)), r.point->workload,
                                   r.point->group, system, factor});
            }
            systems.restore();
        }
    predictor.forget();
    return out;
}

}  // namespace wb
