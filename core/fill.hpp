#pragma once

#include <cstdint>
#include <string_view>

#include "core/fill_source.hpp"
#include "core/graph.hpp"
#include "core/hash.hpp"

namespace wb {

/// The stream of initial values of one tensor instance: element i depends on (seed, name, instance, i) alone, or on the
/// fill's source, so every rank and every backend sees the same numbers. Values are not yet rounded to the tensor's
/// type.
class FillStream {
public:
    FillStream(const Fill& fill, std::uint64_t seed, std::string_view name, std::int64_t instance)
        : fill_(fill),
          instance_(instance),
          key_(Digest().add(seed).add(fill.stream.empty() ? name : std::string_view(fill.stream)).add(instance).low()) {
    }

    /// Integers are uniform in [0, a); reals uniform in [-a, a) on a grid of 2^-23 * a, exact in f32.
    double operator()(std::int64_t i) const {
        if (fill_.kind == Fill::Kind::constant) return fill_.a;
        if (fill_.kind == Fill::Kind::source) return fill_.source->value(instance_, i);
        const std::uint64_t h = mix64(key_ ^ mix64(static_cast<std::uint64_t>(i)));
        if (fill_.kind == Fill::Kind::integers) return static_cast<double>(h % static_cast<std::uint64_t>(fill_.a));
        return (static_cast<double>(h >> 40) * 0x1p-23 - 1.0) * fill_.a;
    }

private:
    Fill fill_;
    std::int64_t instance_;
    std::uint64_t key_;
};

}  // namespace wb
