#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "core/dtype.hpp"

namespace wb {

/// `value` rounded to nearest even in `type` (integers: to nearest), saturated at its largest finite value for fp8 and
/// fp4, to infinity for the others.
double rounded(double value, DType type);

/// One element to and from its bytes in memory. fp4 takes a whole byte here.
void encode(double value, DType type, void* at);
double decode(DType type, const void* at);

/// Bytes of one element in host memory.
inline std::int64_t stored_bytes(DType type) { return (bits(type) + 7) / 8; }

}  // namespace wb
