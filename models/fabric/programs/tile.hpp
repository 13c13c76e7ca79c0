#pragma once

#include <cstdint>
#include <functional>

#include "models/fabric/program.hpp"
#include "models/vector_laws.hpp"

namespace wb::fabric {

/// How programs read and write matrices of the host: called in data mode only, by each PE for its own elements.
using Load = std::function<float(std::int64_t row, std::int64_t column)>;
using Store = std::function<void(std::int64_t row, std::int64_t column, float value)>;

/// A run of indices [first, first + count).
struct Range {
    std::int64_t first = 0, count = 0;
};
/// Part i of n indices in `parts` nearly equal runs, of ceil(n / parts) at most.
inline Range part(std::int64_t n, std::int64_t parts, std::int64_t i) {
    const std::int64_t first = n * i / parts;
    return {first, n * (i + 1) / parts - first};
}

/// The data type of the laws.
inline DType dtype(Type type) { return type == Type::f32 ? DType::f32 : DType::f16; }

/// `instructions` vector instructions of `elements` each, as the laws count them: in `type`, or added up in f32.
inline Work sweep(const Pe& pe, Type type, double instructions, std::int64_t elements, double fma = 0) {
    return {instructions, static_cast<double>(elements), element_cycles(pe.mesh(), dtype(type)), fma};
}
inline Work sum_sweep(const Pe& pe, Type type, double instructions, std::int64_t elements, double fma = 0) {
    return {instructions, static_cast<double>(elements), mixed_element_cycles(pe.mesh(), dtype(type)), fma};
}

}  // namespace wb::fabric
