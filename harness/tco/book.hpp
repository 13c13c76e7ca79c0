#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/workload.hpp"
#include "harness/tco/assumption.hpp"

namespace wb::tco {

/// All assumptions in force: tco/common.toml, tco/devices/*.toml, a preset of tco/presets, overlays, `--set`; later
/// ones replace earlier ones of the same key.
class Book {
public:
    /// Throws Error for a file that is missing or wrong, and for a preset that is none.
    static Book load(const Files& files, const std::string& preset);

    /// Lays a file over it: the keys of common.toml, and [price.DEVICE] and its like. `without = ["colocation"]` takes
    /// assumptions away. Throws Error for a key that matches nothing.
    void overlay(const std::string& path);
    /// "price.DEVICE=40000 USD" or "pue=1.1 .. 1.2 .. 1.4". Throws Error for a key that matches nothing.
    void set(const std::string& assignment);
    /// Throws Error unless the hall is paid for exactly once: rented or built.
    void check() const;

    const std::vector<Assumption>& all() const { return all_; }
    const Assumption& operator[](int index) const { return all_[static_cast<std::size_t>(index)]; }
    /// Its place in all(); -1 if there is none.
    int find(const std::string& key) const;
    /// The same; throws Error if there is none.
    int need(const std::string& key) const;

    /// The device a system id or one of its short names stands for. Throws Error for hardware nobody described: a cost
    /// of 0 would win every comparison.
    std::string device(const std::string& system) const;
    /// Points of the share of the network: nodes and place in all(), by nodes.
    std::vector<std::pair<std::int64_t, int>> network_shares() const;

    const std::string& preset() const { return preset_; }
    /// Title of the preset, then the overlays and settings laid over it.
    const std::vector<std::string>& layers() const { return layers_; }

private:
    void put(Assumption a);
    void read_common(const std::string& path);
    void read_device(const std::string& path, const std::string& id);
    void read_entry(const Config& file, const std::string& key, const Sources& sources);
    std::vector<std::string> known_keys() const;

    std::vector<Assumption> all_;
    std::map<std::string, int> by_key_;
    std::map<std::string, std::string> devices_;  // id or short name -> id
    std::string preset_;
    std::vector<std::string> layers_;
};

/// Names of the presets.
std::vector<std::string> preset_names(const Files& files);

}  // namespace wb::tco
