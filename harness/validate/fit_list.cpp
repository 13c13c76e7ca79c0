#include "harness/validate/fit_list.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/config.hpp"
#include "core/suggest.hpp"
#include "harness/validate/conditions.hpp"

namespace wb {
namespace {

FitSpec::Constant constant(const Config& c, const std::string& text) {
    const std::size_t dot = text.find('.');
    if (dot == std::string::npos)
        throw c.error("constants", fmt::format("{} is no table.key", in_quotes(text)),
                      "a constant stands in a table of the system file", "Write \"fitted.name\" or \"mesh.name\".");
    const std::size_t second = std::min(text.find('.', dot + 1), text.size());
    return {text.substr(0, dot), text.substr(dot + 1, second - dot - 1),
            second < text.size() ? text.substr(second + 1) : ""};
}

bool derives(const FitSpec& f, const ConstantName& n) {
    return std::find(f.systems.begin(), f.systems.end(), n.system) != f.systems.end() &&
           std::any_of(f.constants.begin(), f.constants.end(),
                       [&](const FitSpec::Constant& c) { return c.table == n.table && c.key == n.key; });
}

}  // namespace

bool FitSpec::uses(const Point& point) const {
    return std::any_of(groups.begin(), groups.end(),
                       [&](const std::string& g) { return name_matches(g, point.group); });
}

std::vector<FitSpec> read_fits(const Files& files) {
    const std::string path = files.find("validation/fits.toml");
    std::vector<FitSpec> out;
    if (path.empty()) return out;
    const Config file = Config::load(path);
    for (const Config& c : file.tables("fit")) {
        FitSpec f;
        f.where = c.where();
        f.name = c.text("name");
        f.backend = c.text("backend");
        f.systems = c.texts("systems");
        for (const std::string& text : c.texts("constants")) f.constants.push_back(constant(c, text));
        if (c.has("whole"))
            for (const std::string& text : c.texts("whole")) {
                const auto at = std::find_if(f.constants.begin(), f.constants.end(),
                                             [&](const FitSpec::Constant& x) { return x.text() == text; });
                if (at == f.constants.end())
                    throw c.error("whole", fmt::format("{} is none of the constants", in_quotes(text)), "", "");
                at->whole = true;
            }
        f.groups = c.texts("groups");
        f.leave_out = c.text_or("leave_out", "");
        if (c.has("objective")) f.objective = c.choice("objective", {"mean", "rms", "worst"});
        f.awaited = c.flag_or("awaited", false);
        if (f.constants.empty() || f.groups.empty() || f.systems.empty())
            throw Error({f.where, fmt::format("the fit {} names no constants, groups or systems", in_quotes(f.name)),
                         "there is nothing to derive, or nothing to derive it from", ""});
        out.push_back(std::move(f));
    }
    file.finish();
    return out;
}

std::vector<ConstantName> underived(const std::vector<FitSpec>& fits, const Files& files) {
    std::vector<ConstantName> out;
    for (const std::string& id : files.names("systems", ".toml")) {
        System s = load_system(files.find("systems/" + id + ".toml"));
        for (const char* table : {"fitted", "mesh", "measured"})
            for (const auto& [key, fact] : facts_of(s, table)) {
                const ConstantName n{id, table, key, ""};
                const bool fitted = fact.source.starts_with("fitted") || fact.note.starts_with("fitted");
                if (fitted && std::none_of(fits.begin(), fits.end(), [&](const FitSpec& f) { return derives(f, n); }))
                    out.push_back(n);
            }
    }
    return out;
}

}  // namespace wb
