#pragma once

#include <cstdint>
#ifdef __AVX512F__
#include <immintrin.h>
#endif

#include "models/fabric/planes.hpp"

namespace wb::fabric {

/// Copies payloads between two blocks of queues, or within one. Lane i of `arrive` takes lane i + shift of the source,
/// from slot `source_head` (a bit for each lane that takes), into slot `tail`.
inline void copy_lanes(std::uint32_t* const to[2], const std::uint32_t* const from[2], int shift, Plane arrive,
                       Plane source_head, Plane tail) {
#ifdef __AVX512F__
    if (std::popcount(arrive) > 6) {
        for (int g = 0; g < lanes; g += 16) {
            const auto m = static_cast<__mmask16>(arrive >> g);
            if (m == 0) continue;
            const auto parity = static_cast<__mmask16>(source_head >> g), where = static_cast<__mmask16>(tail >> g);
            const auto m1 = static_cast<__mmask16>(m & parity), m0 = static_cast<__mmask16>(m & ~parity);
            const auto t1 = static_cast<__mmask16>(m & where), t0 = static_cast<__mmask16>(m & ~where);
            __m512i v = _mm512_setzero_si512();
            if (m0 != 0) v = _mm512_maskz_loadu_epi32(m0, from[0] + g + shift);
            if (m1 != 0) v = _mm512_mask_loadu_epi32(v, m1, from[1] + g + shift);
            if (t0 != 0) _mm512_mask_storeu_epi32(to[0] + g, t0, v);
            if (t1 != 0) _mm512_mask_storeu_epi32(to[1] + g, t1, v);
        }
        return;
    }
#endif
    for_lanes(arrive, [&](int i) { to[tail >> i & 1U][i] = from[source_head >> i & 1U][i + shift]; });
}

}  // namespace wb::fabric
