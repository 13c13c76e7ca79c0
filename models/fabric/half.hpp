#pragma once

#include <cstdint>
#ifdef __F16C__
#include <immintrin.h>
#endif

#include "core/element.hpp"

namespace wb::fabric {

/// IEEE half precision, rounded to nearest even.
inline std::uint16_t half_of(float x) {
#ifdef __F16C__
    return static_cast<std::uint16_t>(_cvtss_sh(x, _MM_FROUND_TO_NEAREST_INT));
#else
    std::uint16_t h = 0;
    encode(x, DType::f16, &h);
    return h;
#endif
}

inline float float_of(std::uint16_t h) {
#ifdef __F16C__
    return _cvtsh_ss(h);
#else
    return static_cast<float>(decode(DType::f16, &h));
#endif
}

}  // namespace wb::fabric
