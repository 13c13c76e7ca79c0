#include "harness/validate/system_book.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.hpp"
#include "core/suggest.hpp"

namespace wb {
namespace {

/// Smaller or larger nodes than the file's: only where the node is what the innermost fabric joins.
void resize_nodes(System& s, int units) {
    const auto node = s.node.find("units");
    if (node == s.node.end() || s.fabrics.empty() || !s.fabrics.front().units) return;
    if (s.fabrics.front().units->value != node->second.value) return;
    s.fabrics.front().units->value = node->second.value = units;
}

}  // namespace

std::map<std::string, Fact>& facts_of(System& system, const std::string& table) {
    if (table == "mesh") return system.mesh;
    if (table == "fitted") return system.fitted;
    if (table == "measured") return system.measured;
    throw Error({system.id, fmt::format("has no table of constants {}", in_quotes(table)), "only facts can be fitted",
                 did_you_mean(table, {"mesh", "fitted", "measured"})});
}

std::shared_ptr<const System> SystemBook::load(const std::string& id, const std::map<std::string, std::string>& choices,
                                               int units_per_node) {
    std::string key = fmt::format("{} {}", id, units_per_node);
    for (const auto& [option, choice] : choices) key += fmt::format(" {}={}", option, choice);
    if (const auto at = made_.find(key); at != made_.end()) return at->second;
    std::shared_ptr<const System>& file = read_[key];
    if (!file) {
        System s = load_system(files_.find("systems/" + id + ".toml"), choices);
        if (units_per_node > 0) resize_nodes(s, units_per_node);
        file = std::make_shared<const System>(std::move(s));
    }
    bool changed = false;
    System s = *file;
    // One of several alternatives is not what rows with another choice are judged by.
    const auto in_force = [&](const ConstantName& name) {
        return name.alternative.empty() || std::any_of(s.chosen.begin(), s.chosen.end(), [&](const auto& choice) {
                   return choice.second == name.alternative;
               });
    };
    for (const auto& [name, value] : replaced_)
        if (name.system == id && in_force(name)) {
            if (value)
                facts_of(s, name.table)[name.key].value = *value;
            else
                facts_of(s, name.table).erase(name.key);
            changed = true;
        }
    return made_[key] = changed ? std::make_shared<const System>(std::move(s)) : file;
}

Fact SystemBook::constant(const ConstantName& name) {
    const std::string path = files_.find("systems/" + name.system + ".toml");
    if (path.empty())
        throw Error({name.system, "is no system", "its constants are not known",
                     did_you_mean(name.system, files_.names("systems", ".toml"))});
    System s = load_system(path);
    if (!name.alternative.empty()) {
        std::map<std::string, std::string> choices;
        for (const auto& [option, names] : s.options)
            if (std::find(names.begin(), names.end(), name.alternative) != names.end())
                choices[option] = name.alternative;
        s = load_system(path, choices);
    }
    const auto& facts = facts_of(s, name.table);
    const auto at = facts.find(name.key);
    if (at != facts.end()) return at->second;
    std::vector<std::string> known;
    for (const auto& [key, fact] : facts) known.push_back(key);
    throw Error({path, fmt::format("[{}] has no {}", name.table, in_quotes(name.key)),
                 "there is no value to begin from", did_you_mean(name.key, known)});
}

void SystemBook::replace(const ConstantName& name, double value) {
    replaced_[name] = value;
    made_.clear();
}

void SystemBook::withhold(const ConstantName& name) {
    replaced_[name] = std::nullopt;
    made_.clear();
}

void SystemBook::restore() {
    replaced_.clear();
    made_.clear();
}

}  // namespace wb
