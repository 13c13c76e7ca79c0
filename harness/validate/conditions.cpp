#include "harness/validate/conditions.hpp"

#include <algorithm>

#include "core/config.hpp"

namespace wb {

bool name_matches(const std::string& pattern, const std::string& name) {
    if (pattern.ends_with('*')) return name.starts_with(pattern.substr(0, pattern.size() - 1));
    return name == pattern;
}

bool Condition::holds(const Point& point) const {
    return (group.empty() || name_matches(group, point.group)) &&
           (library.empty() || name_matches(library, point.word_or("library", ""))) &&
           std::all_of(params.begin(), params.end(),
                       [&](const auto& p) { return point.word_or(p.first, "") == p.second; });
}

std::vector<Condition> read_conditions(const Files& files) {
    const std::string path = files.find("validation/conditions.toml");
    std::vector<Condition> out;
    if (path.empty()) return out;
    const Config file = Config::load(path);
    for (const Config& c : file.tables("condition")) {
        Condition x;
        x.group = c.text_or("group", "");
        x.library = c.text_or("library", "");
        if (const auto params = c.maybe_table("params"))
            for (const std::string& key : params->keys()) x.params[key] = params->text(key);
        if (x.group.empty() && x.library.empty() && x.params.empty())
            throw Error(
                {c.where(), "a condition names no group, library or params", "it would hold for every row", ""});
        if (const auto options = c.maybe_table("options"))
            for (const std::string& key : options->keys()) x.options[key] = options->text(key);
        if (const auto states = c.maybe_table("states"))
            for (const std::string& key : states->keys()) x.states[key] = states->text(key);
        x.algorithm = c.text_or("algorithm", "");
        if (x.options.empty() && x.states.empty() && x.algorithm.empty())
            throw Error(
                {c.where(), "a condition chooses no options and states no keys", "it would change nothing", ""});
        c.text("why");
        out.push_back(std::move(x));
    }
    file.finish();
    return out;
}

}  // namespace wb
