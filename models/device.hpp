#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/system.hpp"
#include "models/bounds.hpp"

namespace wb::cluster {

/// One unit of a cluster as the closed-form model sees it: data-sheet figures and the constants fitted over whole
/// families of published measurements ([fitted] of the system file). Times in seconds, rates in SI.
class Device {
public:
    /// Throws Error naming the first constant the file lacks.
    explicit Device(const System& system);

    const System& system() const { return *system_; }
    double parts() const { return parts_; }  ///< SMs, CUs or cores: what tiles are dealt to
    /// Dense peak of a product of these types, FLOP/s; 0 if the unit has none.
    double peak(const std::vector<DType>& operands) const;
    double memory_rate() const { return memory_rate_; }  ///< of the main memory, bytes/s
    double cache_bytes() const { return cache_bytes_; }  ///< of the last cache before it; 0 if unknown
    double cache_rate() const { return cache_rate_; }

    /// A constant of the file; `fallback` where it may be missing.
    double constant(const std::string& key) const;
    double constant_or(const std::string& key, double fallback) const;
    /// The constant for one type, `key_<type>`, or else for all.
    double constant(const std::string& key, DType type) const;
    bool has(const std::string& key) const { return system_->fitted.contains(key); }

private:
    const System* system_;
    double parts_ = 1, memory_rate_ = 0, cache_bytes_ = 0, cache_rate_ = 0;
};

/// The first constant the model needs that the file lacks; empty if it has all.
std::string missing_constant(const System& system);

}  // namespace wb::cluster
