#include "harness/tco/book.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "core/suggest.hpp"

namespace wb::tco {
namespace {

Sources sources_of(const Config& file) {
    Sources out;
    if (const auto table = file.maybe_table("sources"))
        for (const std::string& key : table->keys()) out[key] = table->text(key);
    return out;
}

std::string found(const Files& files, const std::string& relative) {
    const std::string path = files.find(relative);
    if (path.empty())
        throw Error({relative, "was not found in any folder of configuration", "costs are built on it", ""});
    return path;
}

}  // namespace

std::vector<std::string> preset_names(const Files& files) { return files.names("tco/presets", ".toml"); }

Book Book::load(const Files& files, const std::string& preset) {
    Book book;
    for (const std::string& id : files.names("tco/devices", ".toml"))
        book.read_device(found(files, "tco/devices/" + id + ".toml"), id);
    book.read_common(found(files, "tco/common.toml"));
    const std::vector<std::string> presets = preset_names(files);
    if (std::find(presets.begin(), presets.end(), preset) == presets.end())
        throw Error(
            {"--preset " + preset, "is no preset", "they are the files of tco/presets", did_you_mean(preset, presets)});
    book.preset_ = preset;
    book.read_common(found(files, "tco/presets/" + preset + ".toml"));
    return book;
}

void Book::put(Assumption a) {
    const auto at = by_key_.find(a.key);
    if (at != by_key_.end()) {
        all_[static_cast<std::size_t>(at->second)] = std::move(a);
        return;
    }
    by_key_[a.key] = static_cast<int>(all_.size());
    all_.push_back(std::move(a));
}

void Book::read_device(const std::string& path, const std::string& id) {
    const Config file = Config::load(path);
    file.text("title");
    file.text_or("notes", "");
    devices_[id] = id;
    if (file.has("also"))
        for (const std::string& name : file.texts("also")) {
            if (devices_.contains(name) && devices_[name] != id)
                throw file.error("also", fmt::format("{} already stands for {}", in_quotes(name), devices_[name]),
                                 "a short name means one device", "");
            devices_[name] = id;
        }
    const Sources sources = sources_of(file);
    for (const AssumptionKind& kind : assumption_kinds())
        if (kind.of_device && file.has(kind.name))
            put(read_assumption(file.table(kind.name), kind.name + "." + id, sources));
    file.finish();
    for (const char* key : {"power", "space", "mtbf"})
        if (find(std::string(key) + "." + id) < 0)
            throw file.error(key, fmt::format("{} has no {}", id, key),
                             "every device needs price or rent, power, space and mtbf", "");
    if (find("price." + id) < 0 && find("rent." + id) < 0)
        throw file.error("price", id + " has neither price nor rent", "a cost of 0 would win every comparison", "");
}

void Book::read_entry(const Config& file, const std::string& key, const Sources& sources) {
    const AssumptionKind* common = kind_of(key);
    if (common && !common->of_device) return put(read_assumption(file.table(key), key, sources));
    const auto& kinds = assumption_kinds();
    const bool of_device =
        std::any_of(kinds.begin(), kinds.end(), [&](const auto& k) { return k.of_device && k.name == key; });
    if (!of_device)
        throw file.error(key, fmt::format("{} matches nothing", in_quotes(key)),
                         "a number that changes nothing would be believed to be in force",
                         did_you_mean(key, known_keys()));
    const Config table = file.table(key);
    for (const std::string& name : table.keys()) {
        if (key == "network" && network_nodes("network." + name) > 0) {
            put(read_assumption(table.table(name), "network." + name, sources));
            continue;
        }
        std::string id;
        try {
            id = device(name);
        } catch (const Error& e) {
            throw table.error(name, fmt::format("{} matches nothing", in_quotes(key + "." + name)),
                              without_stop(e.what()), "");
        }
        put(read_assumption(table.table(name), key + "." + id, sources));
    }
}

void Book::read_common(const std::string& path) {
    const Config file = Config::load(path);
    layers_.push_back(file.text_or("title", std::filesystem::path(path).stem().string()));
    const Sources sources = sources_of(file);
    if (file.has("without"))
        for (const std::string& key : file.texts("without")) {
            if (find(key) < 0)
                throw file.error("without", fmt::format("{} matches nothing", in_quotes(key)),
                                 "nothing of that name is assumed", did_you_mean(key, known_keys()));
            by_key_.erase(key);  // what all() still holds of it is asked for by nobody
        }
    for (const std::string& key : file.keys())
        if (key != "title" && key != "sources" && key != "without") read_entry(file, key, sources);
    file.finish();
}

void Book::overlay(const std::string& path) {
    if (!std::filesystem::is_regular_file(path))
        throw Error({"--with " + path, "is no file", "it is laid over the assumptions", ""});
    read_common(path);
    layers_.back() += " (" + path + ")";
}

void Book::set(const std::string& assignment) {
    const auto equals = assignment.find('=');
    if (equals == std::string::npos)
        throw Error(
            {"--set " + assignment, "has no value", "an assumption is set by key=value", "Write --set pue=1.2."});
    std::string key = assignment.substr(0, equals);
    const auto point = key.find('.');
    const AssumptionKind* kind = kind_of(key);
    if (!kind)
        throw Error({"--set " + key, "matches nothing",
                     "a number that changes nothing would be believed to be in force",
                     did_you_mean(key, known_keys())});
    if (kind->of_device) {
        try {
            key = kind->name + "." + device(key.substr(point + 1));
        } catch (const Error& e) {
            throw Error({"--set " + key, "matches nothing", without_stop(e.what()), ""});
        }
    }
    put(set_assumption(key, assignment.substr(equals + 1)));
    layers_.push_back("--set " + assignment);
}

void Book::check() const {
    const bool rented = find("colocation") >= 0, built = find("facility") >= 0;
    if (rented && built)
        throw Error({(*this)[find("facility")].place, "the hall is both rented (colocation) and built (facility)",
                     "it would be paid twice", "Take one away: without = [\"colocation\"]."});
    if (!rented && !built)
        throw Error({"tco", "the hall is neither rented (colocation) nor built (facility)", "machines stand somewhere",
                     "Set one: --set colocation=\"2000 USD/kW/year\"."});
    if (built) need("facility_life");
}

int Book::find(const std::string& key) const {
    const auto at = by_key_.find(key);
    return at == by_key_.end() ? -1 : at->second;
}

int Book::need(const std::string& key) const {
    const int at = find(key);
    if (at < 0)
        throw Error({"tco", fmt::format("nothing says {}", key), "costs are built on it",
                     fmt::format("Set it: --set {}=...", key)});
    return at;
}

std::string Book::device(const std::string& system) const {
    const auto at = devices_.find(system);
    if (at != devices_.end()) return at->second;
    std::vector<std::string> names;
    for (const auto& [name, id] : devices_) names.push_back(name);
    throw Error(
        {system, "no price of this hardware is known", "a cost of 0 would win every comparison",
         fmt::format("Describe it in tco/devices/{}.toml of a folder given with --configs, or leave it out with "
                     "--filter=-{}. {}",
                     system, system, did_you_mean(system, names))});
}

std::vector<std::pair<std::int64_t, int>> Book::network_shares() const {
    std::vector<std::pair<std::int64_t, int>> out;
    for (const auto& [key, at] : by_key_)
        if (const std::int64_t nodes = network_nodes(key); nodes > 0) out.emplace_back(nodes, at);
    std::sort(out.begin(), out.end());
    return out;
}

std::vector<std::string> Book::known_keys() const {
    std::vector<std::string> out;
    for (const AssumptionKind& k : assumption_kinds())
        if (!k.of_device) out.push_back(k.name);
    for (const auto& [name, id] : devices_)
        for (const AssumptionKind& k : assumption_kinds())
            if (k.of_device) out.push_back(k.name + "." + name);
    return out;
}

}  // namespace wb::tco
