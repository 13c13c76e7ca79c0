#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/system.hpp"
#include "models/bounds.hpp"

namespace wb::cluster {

/// One unit of a cluster as the closed-form model sees it: data-sheet figures and the constants fitted over whole
/// families of published measurements ([fitted] of the system file). Times in seconds, rates in SI. The system must
/// outlive it and lose none of its constants meanwhile.
class Device {
public:
    /// Throws Error naming the first constant the file lacks.
    explicit Device(const System& system);

    const System& system() const { return *system_; }
    double parts() const { return parts_; }  ///< SMs, CUs or cores: what tiles are dealt to
    /// Dense peak of a product of these types, FLOP/s; 0 if the unit has none.
    double peak(const std::vector<DType>& operands) const;
    double peak(DType of_all) const { return peaks_[static_cast<std::size_t>(of_all)]; }
    double memory_rate() const { return memory_rate_; }  ///< of the main memory, bytes/s
    double cache_bytes() const { return cache_bytes_; }  ///< of the last cache before it; 0 if unknown
    double cache_rate() const { return cache_rate_; }

    /// A constant of the file; `fallback` where it may be missing.
    double constant(std::string_view key) const;
    double constant_or(std::string_view key, double fallback) const {
        const Fact* f = find(key);
        return f ? f->value : fallback;
    }
    /// The constant for one type, `key_<type>`, or else for all.
    double constant(std::string_view key, DType type) const;
    double constant_or(std::string_view key, DType type, double fallback) const;
    /// That of a family, `<family><key>`.
    double family_constant_or(std::string_view family, std::string_view key, double fallback) const;
    bool has(std::string_view key) const { return find(key) != nullptr; }

    /// Constants of products whose first operand has one type; each the type's own or else that for all.
    struct Gemm {
        double compute, ready, memory, depth_memory, tile_loss, prologue, power;  ///< ready: -1 where it is not known
    };
    const Gemm& gemm(DType type) const { return gemm_[static_cast<std::size_t>(type)]; }
    /// Of one sort of kernels that move data.
    struct Family {
        double memory_fraction;
        double kept_bytes;  ///< -1 where it is not known
    };
    Family family(std::string_view name) const;

private:
    const Fact* find(std::string_view key) const;
    const Fact* find(std::initializer_list<std::string_view> parts) const;
    void index_constants();
    void look_up_kernels();
    Family looked_up(std::string_view family) const;

    struct Slot {
        std::string_view key;
        std::uint64_t hash = 0;
        const Fact* fact = nullptr;
    };
    const System* system_;
    double parts_ = 1, memory_rate_ = 0, cache_bytes_ = 0, cache_rate_ = 0;
    std::vector<Slot> slots_;  ///< of [fitted] by hash: a step asks for hundreds of constants
    static constexpr std::size_t types = static_cast<std::size_t>(DType::any8) + 1;
    std::array<double, types> peaks_{};
    std::array<Gemm, types> gemm_{};
    static constexpr std::array<std::string_view, 7> families{"elementwise", "norm",     "softmax",  "gather",
                                                              "gated",       "rotation", "optimizer"};
    std::array<Family, families.size()> family_{};
};

/// The first constant the model needs that the file lacks; empty if it has all.
std::string missing_constant(const System& system);

}  // namespace wb::cluster
