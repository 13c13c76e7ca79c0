#include "models/device.hpp"

#include <fmt/format.h>

#include "core/error.hpp"

namespace wb::cluster {

std::string missing_constant(const System& system) {
    for (const char* key : {"launch_time", "gap_time", "gemm_compute_fraction", "gemm_memory_fraction",
                            "vector_memory_fraction", "attention_fraction"})
        if (!system.fitted.contains(key)) return key;
    return "";
}

Device::Device(const System& system) : system_(&system) {
    if (const std::string key = missing_constant(system); !key.empty())
        throw Error({system.file, fmt::format("[fitted] has no \"{}\"", key),
                     "the closed-form model would have to guess how fast the device really is",
                     "Fit it over a family of measurements, or state it with its source."});
    parts_ = system.parts ? system.parts->value : 1;
    if (system.memories.empty()) return;
    // The main memory is the first level that holds gigabytes; the level inside it is its cache.
    constexpr double smallest_main = 4e9;
    std::size_t main = 0;
    while (main + 1 < system.memories.size() && system.memories[main].capacity &&
           system.memories[main].capacity->value < smallest_main)
        ++main;
    if (const Memory& m = system.memories[main]; m.bandwidth) memory_rate_ = m.bandwidth->value;
    if (main > 0) {
        const Memory& cache = system.memories[main - 1];
        if (cache.capacity) cache_bytes_ = cache.capacity->value;
        if (cache.bandwidth) cache_rate_ = cache.bandwidth->value;
    }
}

double Device::peak(const std::vector<DType>& operands) const {
    const auto best = usable_peak(*system_, operands);
    return best ? best->rate.si() : 0;
}

double Device::constant(const std::string& key) const {
    const auto found = system_->fitted.find(key);
    if (found == system_->fitted.end())
        throw Error({system_->file, fmt::format("[fitted] has no \"{}\"", key), "the closed-form model needs it",
                     "State it with its source."});
    return found->second.value;
}

double Device::constant_or(const std::string& key, double fallback) const {
    const auto found = system_->fitted.find(key);
    return found == system_->fitted.end() ? fallback : found->second.value;
}

double Device::constant(const std::string& key, DType type) const {
    const std::string own = key + "_" + std::string(name(type));
    return has(own) ? constant(own) : constant(key);
}

}  // namespace wb::cluster
