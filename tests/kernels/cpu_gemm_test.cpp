#include <doctest/doctest.h>
#include <omp.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "core/error.hpp"
#include "kernels/cpu/bf16.hpp"
#include "kernels/cpu/gemm.hpp"
#include "kernels/cpu/gemm_engine.hpp"
#include "kernels/cpu/openblas.hpp"

namespace wb::cpu {

namespace {

double value_of(double x) { return x; }
double value_of(float x) { return x; }
double value_of(bf16 x) { return to_float(x); }
double value_of(std::int8_t x) { return x; }
double value_of(std::int32_t x) { return x; }

void assign(double& to, double x) { to = x; }
void assign(float& to, double x) { to = static_cast<float>(x); }
void assign(bf16& to, double x) { to = to_bf16(static_cast<float>(x)); }
void assign(std::int8_t& to, double x) { to = static_cast<std::int8_t>(x * 127); }
void assign(std::int32_t& to, double x) { to = static_cast<std::int32_t>(x * 1000); }

template <class T>
std::vector<T> random(std::int64_t count, unsigned seed) {
    std::mt19937 engine(seed);
    std::uniform_real_distribution<double> uniform(-1, 1);
    std::vector<T> out(static_cast<std::size_t>(count));
    for (T& x : out) assign(x, uniform(engine));
    return out;
}

/// C[b] by its definition, and the sum of the absolute values of its terms: rounding is measured against that.
struct Expected {
    std::vector<double> value, scale;
};

template <class In, class Out>
Expected definition(const GemmShape& s, const std::vector<In>& a, const std::vector<In>& b,
                    const std::vector<Out>& bias, const std::vector<Out>& c) {
    Expected e{std::vector<double>(c.size()), std::vector<double>(c.size())};
    for (std::int64_t t = 0; t < s.batch; ++t) {
        for (std::int64_t i = 0; i < s.m; ++i) {
            for (std::int64_t j = 0; j < s.n; ++j) {
                const auto at = static_cast<std::size_t>(t * s.stride_c + i * s.n + j);
                double sum = (s.accumulate ? value_of(c[at]) : 0) + (s.bias ? value_of(bias[std::size_t(j)]) : 0);
                double scale = std::abs(sum);
                for (std::int64_t l = 0; l < s.k; ++l) {
                    const auto ia = static_cast<std::size_t>(t * s.stride_a + (s.trans_a ? l * s.m + i : i * s.k + l));
                    const auto ib = static_cast<std::size_t>(t * s.stride_b + (s.trans_b ? j * s.k + l : l * s.n + j));
                    const double term = value_of(a[ia]) * value_of(b[ib]);
                    sum += term;
                    scale += std::abs(term);
                }
                e.value[at] = sum;
                e.scale[at] = scale;
            }
        }
    }
    return e;
}

/// Largest error over all elements, relative to the terms; `run` fills C.
template <class In, class Out, class Run>
double worst_error(const GemmShape& s, Run&& run) {
    const Extents sizes = extents(s);
    const auto a = random<In>(sizes.a, 1);
    const auto b = random<In>(sizes.b, 2);
    const auto bias = random<Out>(s.n, 3);
    auto c = random<Out>(sizes.c, 4);
    const Expected e = definition(s, a, b, bias, c);
    if (!s.accumulate)
        std::memset(static_cast<void*>(c.data()), 0xff, c.size() * sizeof(Out));  // NaN: must be overwritten
    run(a.data(), b.data(), bias.data(), c.data());
    double worst = 0;
    for (std::size_t i = 0; i < c.size(); ++i) {
        const double error = std::abs(value_of(c[i]) - e.value[i]) / std::max(e.scale[i], 1e-30);
        if (!(error <= worst)) worst = error;
    }
    return worst;
}

template <class Run>
double worst_error(const GemmShape& s, GemmType type, Run&& run) {
    switch (type) {
        case GemmType::f64: return worst_error<double, double>(s, run);
        case GemmType::f32: return worst_error<float, float>(s, run);
        case GemmType::bf16: return worst_error<bf16, bf16>(s, run);
        case GemmType::bf16_f32: return worst_error<bf16, float>(s, run);
        case GemmType::int8_int32: return worst_error<std::int8_t, std::int32_t>(s, run);
    }
    return 1;
}

/// Rounding of the sum and, for bf16 results, of the one store.
double tolerance(GemmType type) {
    switch (type) {
        case GemmType::f64: return 1e-15;
        case GemmType::f32: return 1e-6;
        case GemmType::bf16: return 1.0 / 256;
        case GemmType::bf16_f32: return 1e-6;
        case GemmType::int8_int32: return 0;
    }
    return 0;
}

std::vector<GemmShape> odd_shapes() {
    std::vector<GemmShape> out;
    for (const auto& [m, n, k] : {std::tuple(1, 1, 1),
                                  {1, 77, 130},
                                  {1, 300, 9},
                                  {77, 1, 131},
                                  {3, 65, 67},
                                  {5, 129, 33},
                                  {8, 200, 19},
                                  {70, 6, 40},
                                  {33, 45, 17},
                                  {64, 97, 128},
                                  {9, 2500, 3}}) {
        for (const bool ta : {false, true}) {
            for (const bool tb : {false, true}) out.push_back({m, n, k, 1, ta, tb});
        }
    }
    return out;
}

constexpr GemmType all_types[] = {GemmType::f64, GemmType::f32, GemmType::bf16, GemmType::bf16_f32,
                                  GemmType::int8_int32};

}  // namespace

TEST_CASE("gemm equals its definition for every type, layout and ending") {
    for (const GemmType type : all_types) {
        if (type == GemmType::f64 && !OpenBlas::available()) continue;
        for (GemmShape s : odd_shapes()) {
            for (const int ending : {0, 1, 2, 3}) {
                s.accumulate = ending & 1;
                s.bias = ending & 2;
                const int threads = 1 + (ending + int(s.m)) % 3;
                Gemm gemm(s, type, threads);
                CAPTURE(gemm.library());
                CAPTURE(s.m);
                CAPTURE(s.n);
                CAPTURE(s.k);
                CAPTURE(s.trans_a);
                CAPTURE(s.trans_b);
                CAPTURE(ending);
                CHECK(worst_error(s, type, [&](auto... p) { gemm(p...); }) <= tolerance(type));
            }
        }
    }
}

TEST_CASE("every engine equals the definition, also where another one would be chosen") {
    for (const GemmFactory make :
         {make_gemv, make_onednn_matmul, make_onednn_sgemm, make_openblas_gemm, make_widened_gemm, make_turned_gemm}) {
        for (const GemmType type : all_types) {
            if (type == GemmType::f64 && !OpenBlas::available()) continue;
            for (GemmShape s : odd_shapes()) {
                s.batch = 3;
                s.stride_a = s.m % 2 ? s.m * s.k + 5 : 0;
                s.stride_b = s.m % 2 ? 0 : s.k * s.n + 3;
                s.stride_c = s.m * s.n;
                s.bias = s.trans_a;
                s.accumulate = s.trans_b;
                const auto engine = make(s, type, 2);
                if (!engine) continue;
                CAPTURE(engine->library());
                CAPTURE(s.m);
                CAPTURE(s.n);
                CHECK(worst_error(s, type, [&](auto... p) { engine->run(p...); }) <= tolerance(type));
            }
        }
    }
}

TEST_CASE("gemv gives the same bits whatever runs beside it, and splits a deep narrow product among threads") {
    const GemmShape s{2, 40, 1000, 1, false, false};
    for (const int threads : {1, 2, 3, 7}) {
        const auto engine = make_gemv(s, GemmType::f32, threads);
        CHECK(worst_error<float, float>(s, [&](auto... p) { engine->run(p...); }) <= 1e-6);
        const auto a = random<float>(2000, 1), b = random<float>(40000, 2);
        std::vector<float> first(80), second(80);
        engine->run(a.data(), b.data(), nullptr, first.data());
        engine->run(a.data(), b.data(), nullptr, second.data());
        CHECK(first == second);
    }
}

TEST_CASE("gemv of wide and of deep matrices: rows shorter and longer than what is asked for ahead") {
    for (const auto& [m, n, k] : {std::tuple(1, 9001, 39), {2, 4500, 70}, {1, 515, 600}, {2, 130, 900}, {5, 3000, 21}})
        for (const bool by_output : {false, true})
            for (const GemmType type : {GemmType::f64, GemmType::f32, GemmType::bf16_f32})
                for (const int threads : {1, 3, 11}) {
                    const GemmShape s{m, n, k, 1, false, by_output};
                    const auto engine = make_gemv(s, type, threads);
                    CAPTURE(n);
                    CAPTURE(threads);
                    CHECK(worst_error(s, type, [&](auto... p) { engine->run(p...); }) <= tolerance(type));
                }
}

TEST_CASE("a product on turned operands, with zeros after them and in several slices") {
    for (const auto& [m, n, k] : {std::tuple(50, 35, 2048), {40, 3, 262145}, {70, 33, 96}, {17, 40, 100}})
        for (const int ending : {0, 3}) {
            GemmShape s{m, n, k, 1, true, false};
            s.accumulate = ending & 1;
            s.bias = ending & 2;
            const auto engine = make_turned_gemm(s, GemmType::bf16_f32, 2);
            if (!engine) continue;  // oneDNN computes bf16 on processors that can
            CAPTURE(k);
            CHECK(worst_error<bf16, float>(s, [&](auto... p) { engine->run(p...); }) <= 1e-6);
        }
}

TEST_CASE("a timed choice is made once and stays right") {
    const GemmShape s{96, 128, 80, 1, false, true};
    Gemm first(s, GemmType::f32, 2);
    Gemm second(s, GemmType::f32, 2);
    CHECK(first.library() == second.library());
    CHECK(worst_error(s, GemmType::f32, [&](auto... p) { first(p...); }) <= 1e-6);
}

TEST_CASE("a NaN in A or B reaches C, even against zero") {
    for (const std::int64_t m : {1, 5, 40}) {
        const GemmShape s{m, 33, 20, 1, false, false};
        Gemm gemm(s, GemmType::f32, 1);
        std::vector<float> a(std::size_t(m * 20), 0.0F), b(660, 0.0F), c(std::size_t(m * 33));
        b[33 * 3 + 7] = NAN;
        gemm(a.data(), b.data(), nullptr, c.data());
        CAPTURE(gemm.library());
        CHECK(std::isnan(c[7]));
        CHECK(c[8] == 0.0F);
    }
}

TEST_CASE("the caller's OpenMP thread count is untouched") {
    const int before = omp_get_max_threads();
    omp_set_num_threads(3);
    const GemmShape s{64, 64, 64};
    for (const GemmFactory make : {make_onednn_matmul, make_onednn_sgemm, make_openblas_gemm}) {
        const auto engine = make(s, GemmType::f32, 2);
        if (!engine) continue;
        CHECK(worst_error(s, GemmType::f32, [&](auto... p) { engine->run(p...); }) <= 1e-6);
        CHECK(omp_get_max_threads() == 3);
    }
    omp_set_num_threads(before);
}

TEST_CASE("OpenBLAS runs the kernels of this processor") {
    if (!OpenBlas::available()) return;
    CHECK(OpenBlas::instance().name().find(openblas_core_type()) != std::string::npos);
#ifdef __AVX512F__
    if (!std::getenv("WB_OPENBLAS_CORETYPE")) CHECK(openblas_core_type() == "SkylakeX");  // whatever the shell says
#endif
}

TEST_CASE("impossible shapes are the programmer's mistake") {
    CHECK_THROWS_AS(Gemm({0, 1, 1}, GemmType::f32, 1), ContractError);
    CHECK_THROWS_AS(Gemm({1, 1, 1}, GemmType::f32, 0), ContractError);
    CHECK_THROWS_AS(Gemm({2, 2, 2, 2}, GemmType::f32, 1), ContractError);
}

}  // namespace wb::cpu
