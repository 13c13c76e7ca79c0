#include "models/device.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "core/error.hpp"

namespace wb::cluster {

namespace {

std::uint64_t hash(std::string_view key) {
    constexpr std::uint64_t factor = 0x9E3779B97F4A7C15;  // 2^64 over the golden ratio
    std::uint64_t h = key.size();
    const auto add = [&](std::uint64_t word) {
        h = (h ^ word) * factor;
        h ^= h >> 32;
    };
    std::uint64_t word = 0;
    if (key.size() < sizeof word) {
        for (const char c : key) word = word << 8 | static_cast<unsigned char>(c);
        add(word);
        return h;
    }
    for (std::size_t i = 0; i + sizeof word < key.size(); i += sizeof word) {
        std::memcpy(&word, key.data() + i, sizeof word);
        add(word);
    }
    std::memcpy(&word, key.data() + key.size() - sizeof word, sizeof word);  // the end, some of it again
    add(word);
    return h;
}

}  // namespace

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
    index_constants();
    look_up_kernels();
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

void Device::index_constants() {
    slots_.resize(std::bit_ceil(2 * system_->fitted.size() + 1));
    for (const auto& [key, fact] : system_->fitted) {
        std::size_t i = hash(key) & (slots_.size() - 1);
        while (slots_[i].fact) i = (i + 1) & (slots_.size() - 1);
        slots_[i] = {key, hash(key), &fact};
    }
}

void Device::look_up_kernels() {
    constexpr double unknown = -1;
    for (std::size_t t = 0; t < types; ++t) {
        const auto type = static_cast<DType>(t);
        peaks_[t] = peak(std::vector{type});
        const double memory = constant("gemm_memory_fraction", type);
        gemm_[t] = {constant("gemm_compute_fraction", type),
                    constant_or("gemm_ready_fraction", type, unknown),
                    memory,
                    constant_or("gemm_depth_memory_fraction", type, memory),
                    constant_or("gemm_tile_loss", type, 0),
                    constant_or("gemm_prologue", type, 0),
                    constant_or("gemm_overlap_power", type, 0)};
    }
    for (std::size_t f = 0; f < families.size(); ++f) family_[f] = looked_up(families[f]);
}

Device::Family Device::looked_up(std::string_view family) const {
    return {family_constant_or(family, "_memory_fraction", constant("vector_memory_fraction")),
            family_constant_or(family, "_kept_bytes", -1)};
}

Device::Family Device::family(std::string_view name) const {
    for (std::size_t f = 0; f < families.size(); ++f)
        if (families[f] == name) return family_[f];
    return looked_up(name);
}

const Fact* Device::find(std::string_view key) const {
    const std::uint64_t h = hash(key);
    for (std::size_t i = h & (slots_.size() - 1); slots_[i].fact; i = (i + 1) & (slots_.size() - 1))
        if (slots_[i].hash == h && slots_[i].key == key) return slots_[i].fact;
    return nullptr;
}

const Fact* Device::find(std::initializer_list<std::string_view> parts) const {
    std::array<char, 96> key;
    std::size_t size = 0;
    for (const std::string_view part : parts) size += part.copy(key.data() + size, key.size() - size);
    WB_EXPECT(size < key.size());
    return find(std::string_view(key.data(), size));
}

double Device::constant(std::string_view key) const {
    if (const Fact* f = find(key)) return f->value;
    throw Error({system_->file, fmt::format("[fitted] has no \"{}\"", key), "the closed-form model needs it",
                 "State it with its source."});
}

double Device::constant(std::string_view key, DType type) const {
    const Fact* own = find({key, "_", name(type)});
    return own ? own->value : constant(key);
}

double Device::constant_or(std::string_view key, DType type, double fallback) const {
    const Fact* own = find({key, "_", name(type)});
    return own ? own->value : constant_or(key, fallback);
}

double Device::family_constant_or(std::string_view family, std::string_view key, double fallback) const {
    const Fact* own = find({family, key});
    return own ? own->value : fallback;
}

}  // namespace wb::cluster
