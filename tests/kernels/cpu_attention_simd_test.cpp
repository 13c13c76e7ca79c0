#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "kernels/cpu/bf16.hpp"
#include "kernels/cpu/simd.hpp"

using namespace wb::cpu;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

}  // namespace

TEST_CASE("simd exp2 is accurate below 1.5e-7, flushes and keeps NaN") {
    float lane[simd::width];
    double worst = 0.0;
    for (float x = -125.9F; x <= 1.0F; x += 0.00371F) {
        simd::store(lane, simd::exp2(simd::broadcast(x)));
        const double want = std::exp2(static_cast<double>(x));
        worst = std::max(worst, std::abs(static_cast<double>(lane[0]) - want) / want);
    }
    CHECK(worst < 1.5e-7);
    const auto of = [&](float x) { return simd::store(lane, simd::exp2(simd::broadcast(x))), lane[simd::width - 1]; };
    CHECK(of(0.0F) == 1.0F);
    CHECK(of(-3.0F) == 0.125F);
    CHECK(of(-127.0F) == 0.0F);
    CHECK(of(-1e30F) == 0.0F);
    CHECK(of(-infinity) == 0.0F);
    CHECK(std::isnan(of(std::numeric_limits<float>::quiet_NaN())));
    CHECK(std::isnan(of(std::bit_cast<float>(0xffc12345U))));
}

TEST_CASE("bf16 rounds to nearest even and keeps NaN") {
    CHECK(to_bf16(1.0F).bits == 0x3f80);
    CHECK(to_bf16(std::bit_cast<float>(0x3f808000U)).bits == 0x3f80);  // tie, down to even
    CHECK(to_bf16(std::bit_cast<float>(0x3f818000U)).bits == 0x3f82);  // tie, up to even
    CHECK(to_bf16(std::bit_cast<float>(0x3f808001U)).bits == 0x3f81);
    CHECK(to_bf16(std::numeric_limits<float>::max()).bits == 0x7f80);
    CHECK(to_bf16(-infinity).bits == 0xff80);
    CHECK(std::isnan(to_float(to_bf16(std::bit_cast<float>(0x7f800001U)))));
    for (std::uint32_t bits = 0; bits < 0x10000U; ++bits) {
        const bf16 x{static_cast<std::uint16_t>(bits)};
        if (!std::isnan(to_float(x))) REQUIRE(to_bf16(to_float(x)).bits == x.bits);
    }
}

TEST_CASE("simd: whole vectors round to bf16 as single numbers do") {
    std::uint32_t state = 1;
    for (int round = 0; round < 4000; ++round) {
        float lane[simd::width];
        for (float& x : lane) {
            state = state * 1664525U + 1013904223U;
            x = std::bit_cast<float>(round % 4 == 0 ? state & 0xffff8000U : state);  // a quarter of them ties
            if (std::abs(x) < 1.2e-38F) x = 0;  // a processor's own rounding may flush these
        }
        bf16 got[simd::width];
        simd::store(got, simd::load(lane));
        for (int i = 0; i < simd::width; ++i) {
            if (std::isnan(lane[i]))
                CHECK(std::isnan(to_float(got[i])));
            else
                REQUIRE(got[i].bits == to_bf16(lane[i]).bits);
        }
    }
}

TEST_CASE("simd lanes: sums, maxima and bf16 loads agree with plain loops") {
    simd::Vec rows[simd::width];
    float want[simd::width], lane[simd::width];
    bf16 half[simd::width];
    for (int i = 0; i < simd::width; ++i) {
        want[i] = 0.0F;
        for (int j = 0; j < simd::width; ++j) {
            rows[i][j] = static_cast<float>((i * 37 + j * 11) % 29 - 14);  // small integers: exact in any order
            want[i] += rows[i][j];
        }
        half[i] = to_bf16(-1.5F * static_cast<float>(i));
        CHECK(simd::sum(rows[i]) == want[i]);
    }
    simd::Vec spike = simd::broadcast(-3.0F);
    for (int i = 0; i < simd::width; ++i) {
        spike[i] = static_cast<float>(i);
        CHECK(simd::max_lane(spike) == static_cast<float>(i));
    }
    simd::store(lane, simd::sums(rows));
    for (int i = 0; i < simd::width; ++i) CHECK(lane[i] == want[i]);
    simd::store(lane, simd::load(half));
    for (int i = 0; i < simd::width; ++i) CHECK(lane[i] == -1.5F * static_cast<float>(i));
}
