#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <numbers>
#include <random>
#include <vector>

#include "core/error.hpp"
#include "kernels/bench/operators.hpp"
#include "kernels/cpu/vector_math.hpp"
#include "kernels/cpu/vector_ops.hpp"
#include "kernels/cpu/vector_rows.hpp"

namespace wb::cpu {

namespace {

using Reals = std::vector<double>;

template <class T>
std::vector<T> random(std::size_t count, unsigned seed, float width = 2.0F) {
    std::mt19937 engine(seed);
    std::normal_distribution<float> normal(0, width);
    std::vector<T> out(count);
    for (T& x : out) x = from_float<T>(normal(engine));
    return out;
}

template <class T>
Reals reals(const std::vector<T>& x) {
    Reals out;
    for (const T& v : x) out.push_back(to_float(v));
    return out;
}

/// One rounding of the result in T, and float arithmetic before it.
template <class T>
constexpr double tolerance = sizeof(T) == 2 ? 1.0 / 256 : 3e-6;

/// `scale`: size of the terms whose rounding is forgiven.
template <class T>
void check_close(const std::vector<T>& got, const Reals& want, double relative, double scale = 1.0) {
    REQUIRE(got.size() == want.size());
    double worst = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
        const double error = std::abs(to_float(got[i]) - want[i]) / std::max(std::abs(want[i]), scale);
        if (!(error <= worst)) worst = error;
    }
    CHECK(worst <= relative);
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

/// run(threads) gives vectors; they must be the same bits for 1, 2 and 3 threads.
template <class Run>
auto deterministic(Run&& run) {
    const auto one = run(1);
    CHECK(same_bits(one, run(2)));
    CHECK(same_bits(one, run(3)));
    return one;
}

/// Central difference of a scalar function of one real.
template <class F>
double slope(F&& f, double x) {
    constexpr double h = 1e-5;
    return (f(x + h) - f(x - h)) / (2 * h);
}

double gelu_tanh(double x) {
    return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
}
double gelu_erf(double x) { return 0.5 * x * std::erfc(-x / std::numbers::sqrt2); }
double silu(double x) { return x / (1 + std::exp(-x)); }

constexpr std::int64_t odd_cols[] = {1, 7, 33, 130, 257};
constexpr std::int64_t rows = 5;

}  // namespace

TEST_CASE("exp and the normal distribution are accurate to a millionth") {
    double worst_exp = 0, worst_cdf = 0;
    for (double x = -87; x < 88; x += 0.0137) {
        const auto f = static_cast<float>(x);
        worst_exp = std::max(worst_exp, std::abs(exp_of(f) / std::exp(double(f)) - 1));
    }
    for (double x = -3; x < 8; x += 0.00137) {
        const auto f = static_cast<float>(x);
        worst_cdf =
            std::max(worst_cdf, std::abs(normal_cdf(f) / (0.5 * std::erfc(-double(f) / std::numbers::sqrt2)) - 1));
    }
    CHECK(worst_exp < 3e-7);
    CHECK(worst_cdf < 1e-6);
    CHECK(exp_of(-INFINITY) == 0.0F);
    CHECK(exp_of(0.0F) == 1.0F);
    CHECK(std::isnan(exp_of(NAN)));
    CHECK(std::isnan(normal_cdf(NAN)));
}

TEST_CASE_TEMPLATE("softmax equals its definition", T, float, bf16) {
    for (const std::int64_t cols : odd_cols) {
        for (const float scale : {1.0F, 0.125F, -0.5F}) {
            const auto x = random<T>(std::size_t(rows * cols), 1, 8);
            Reals want = reals(x);
            for (std::int64_t r = 0; r < rows; ++r) {
                double sum = 0;
                for (std::int64_t j = 0; j < cols; ++j) sum += std::exp(scale * want[std::size_t(r * cols + j)]);
                for (std::int64_t j = 0; j < cols; ++j) {
                    double& w = want[std::size_t(r * cols + j)];
                    w = std::exp(scale * w) / sum;
                }
            }
            check_close(deterministic([&](int threads) {
                            auto y = x;
                            softmax(y.data(), y.data(), rows, cols, scale, threads);
                            return y;
                        }),
                        want, tolerance<T>, 1e-3);
        }
    }
}

TEST_CASE_TEMPLATE("a long row's sum of exponentials is that of its definition, wherever its maximum lies", T, float,
                   bf16) {
    const std::int64_t cols = 10007;  // more than two blocks
    const T never = from_float<T>(-INFINITY);
    for (const std::size_t peak : {3, 5000, 10006}) {
        auto x = random<T>(std::size_t(cols), 1, 8);
        x[peak] = from_float<T>(60.0F);
        std::fill_n(x.begin() + 4096, 800, never);
        double sum = 0;
        for (const double v : reals(x)) sum += std::exp(v - 60);
        const RowSum got = row_sum_of_exp(x.data(), cols);
        CHECK(got.largest == 60.0F);
        CHECK(got.sum == doctest::Approx(sum).epsilon(1e-6).scale(0));
        std::fill_n(x.begin(), 4096, never);  // a whole block that counts for nothing
        x[9000] = from_float<T>(70.0F);
        CHECK(row_sum_of_exp(x.data(), cols).largest == 70.0F);
        CHECK(row_sum_of_exp(x.data(), cols).sum >= 1.0F);
        CHECK(row_sum_of_exp(x.data(), 4096).sum == 0.0F);
        x[peak] = from_float<T>(NAN);
        CHECK(std::isnan(row_sum_of_exp(x.data(), cols).sum));
    }
}

TEST_CASE_TEMPLATE("layernorm and rmsnorm equal their definitions, forward and backward", T, float, bf16) {
    for (const std::int64_t cols : odd_cols) {
        for (const bool centred : {true, false}) {
            const std::int64_t many = 37;
            const auto n = std::size_t(many * cols), c = std::size_t(cols);
            const auto x = random<T>(n, 1), dy = random<T>(n, 2), gamma = random<T>(c, 3), beta = random<T>(c, 4);
            const double eps = 1e-5;
            Reals y(n), dx(n), dgamma(c), dbeta(c);
            for (std::size_t r = 0; r < std::size_t(many); ++r) {
                double mean = 0, square = 0, a = 0, b = 0;
                for (std::size_t j = 0; j < c; ++j) mean += to_float(x[r * c + j]) / double(c);
                if (!centred) mean = 0;
                for (std::size_t j = 0; j < c; ++j) square += std::pow(to_float(x[r * c + j]) - mean, 2) / double(c);
                const double inv = 1 / std::sqrt(square + eps);
                const auto hat = [&](std::size_t j) { return (to_float(x[r * c + j]) - mean) * inv; };
                const auto g = [&](std::size_t j) { return double(to_float(dy[r * c + j])) * to_float(gamma[j]); };
                for (std::size_t j = 0; j < c; ++j) {
                    y[r * c + j] = hat(j) * to_float(gamma[j]) + (centred ? to_float(beta[j]) : 0);
                    dgamma[j] += to_float(dy[r * c + j]) * hat(j);
                    dbeta[j] += to_float(dy[r * c + j]);
                    a += centred ? g(j) / double(c) : 0;
                    b += g(j) * hat(j) / double(c);
                }
                for (std::size_t j = 0; j < c; ++j) dx[r * c + j] = inv * (g(j) - a - hat(j) * b);
            }
            std::vector<float> mean(many), inv(many);
            check_close(deterministic([&](int threads) {
                            std::vector<T> out(n);
                            if (centred)
                                layernorm(x.data(), gamma.data(), beta.data(), out.data(), mean.data(), inv.data(),
                                          many, cols, float(eps), threads);
                            else
                                rmsnorm(x.data(), gamma.data(), out.data(), inv.data(), many, cols, float(eps),
                                        threads);
                            return out;
                        }),
                        y, tolerance<T>);
            const auto kept_mean = mean, kept_inv = inv;
            if (centred)
                layernorm_statistics(x.data(), mean.data(), inv.data(), many, cols, float(eps), 2);
            else
                rmsnorm_statistics(x.data(), inv.data(), many, cols, float(eps), 2);
            CHECK(same_bits(mean, kept_mean));
            CHECK(same_bits(inv, kept_inv));
            std::vector<float> dg(c), db(c);
            const auto got = deterministic([&](int threads) {
                std::vector<T> out(n);
                if (centred)
                    layernorm_backward(x.data(), gamma.data(), mean.data(), inv.data(), dy.data(), out.data(),
                                       dg.data(), db.data(), many, cols, threads);
                else
                    rmsnorm_backward(x.data(), gamma.data(), inv.data(), dy.data(), out.data(), dg.data(), many, cols,
                                     threads);
                return out;
            });
            if (cols > 1 || !centred) check_close(got, dx, sizeof(T) == 2 ? 1.0 / 128 : 2e-5, 4.0);
            check_close(dg, dgamma, 3e-6, 30.0);
            if (centred) check_close(db, dbeta, 3e-6, 30.0);
        }
    }
}

TEST_CASE("the sums over rows have the same bits for every number of threads") {
    for (const std::int64_t cols : {7, 130, 700}) {
        const std::int64_t many = 61;
        const auto n = std::size_t(many * cols), c = std::size_t(cols);
        const auto x = random<float>(n, 1), dy = random<float>(n, 2), gamma = random<float>(c, 3);
        const auto mean = random<float>(std::size_t(many), 4), inv = random<float>(std::size_t(many), 5);
        Reals sums(c);
        for (std::size_t i = 0; i < n; ++i) sums[i % c] += x[i];
        check_close(deterministic([&](int threads) {
                        std::vector<float> out(c);
                        sum_rows(x.data(), out.data(), many, cols, threads);
                        return out;
                    }),
                    sums, 3e-6, 20.0);
        deterministic([&](int threads) {
            std::vector<float> dx(n), out(2 * c);
            layernorm_backward(x.data(), gamma.data(), mean.data(), inv.data(), dy.data(), dx.data(), out.data(),
                               out.data() + c, many, cols, threads);
            return out;
        });
    }
}

TEST_CASE_TEMPLATE("activations and their slopes equal the formulas", T, float, bf16) {
    for (const std::size_t n : {1, 19, 1003}) {
        const auto x = random<T>(n, 1, 3), u = random<T>(n, 2), dy = random<T>(n, 3);
        const auto xs = reals(x), us = reals(u), ds = reals(dy);
        const auto length = std::int64_t(n);
        for (const auto form : {GeluForm::tanh, GeluForm::erf}) {
            const auto f = form == GeluForm::tanh ? gelu_tanh : gelu_erf;
            Reals y(n), dx(n);
            for (std::size_t i = 0; i < n; ++i) y[i] = f(xs[i]), dx[i] = ds[i] * slope(f, xs[i]);
            std::vector<T> got(n);
            gelu(x.data(), got.data(), length, form, 2);
            check_close(got, y, tolerance<T>, 1e-2);
            gelu_backward(x.data(), dy.data(), got.data(), length, form, 3);
            check_close(got, dx, 2 * tolerance<T>, 0.3);
        }
        Reals y(n), dg(n), du(n);
        for (std::size_t i = 0; i < n; ++i) {
            y[i] = silu(xs[i]) * us[i];
            dg[i] = ds[i] * us[i] * slope(silu, xs[i]);
            du[i] = ds[i] * silu(xs[i]);
        }
        std::vector<T> got(n), other(n);
        silu_mul(x.data(), u.data(), got.data(), length, 2);
        check_close(got, y, tolerance<T>, 1e-2);
        silu_mul_backward(x.data(), u.data(), dy.data(), got.data(), other.data(), length, 2);
        check_close(got, dg, 2 * tolerance<T>, 0.3);
        check_close(other, du, tolerance<T>, 1e-1);
    }
}

TEST_CASE_TEMPLATE("sums are exact up to one rounding", T, float, bf16) {
    const auto a = random<T>(5 * 37, 1), b = random<T>(5 * 37, 2);
    Reals sum(5 * 37);
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] = double(to_float(a[i])) + to_float(b[i]);
    std::vector<T> y(5 * 37);
    add(a.data(), b.data(), y.data(), 5 * 37, 2);
    check_close(y, sum, tolerance<T>);
}

TEST_CASE_TEMPLATE("AdamW follows the published recurrence", T, float, bf16) {
    const std::size_t n = 1003;
    const auto length = std::int64_t(n);
    auto p = random<float>(n, 1);
    std::vector<float> m(n), v(n);
    std::vector<bf16> weight(n);
    Reals wp = reals(p), wm(n), wv(n);
    AdamW how{0.01F, 0.9F, 0.95F, 1e-8F, 0.1F, 1};
    for (; how.step <= 4; ++how.step) {
        const auto g = random<T>(n, unsigned(10 + how.step));
        if constexpr (sizeof(T) == 4)
            adamw(p.data(), g.data(), m.data(), v.data(), length, how, 2);
        else
            adamw(p.data(), g.data(), m.data(), v.data(), weight.data(), length, how, 2);
        for (std::size_t i = 0; i < n; ++i) {
            const double gradient = to_float(g[i]);
            wm[i] = how.beta1 * wm[i] + (1.0 - how.beta1) * gradient;
            wv[i] = how.beta2 * wv[i] + (1.0 - how.beta2) * gradient * gradient;
            const double mh = wm[i] / (1 - std::pow(how.beta1, how.step)),
                         vh = wv[i] / (1 - std::pow(how.beta2, how.step));
            wp[i] -= how.lr * (mh / (std::sqrt(vh) + how.eps) + how.weight_decay * wp[i]);
        }
    }
    check_close(p, wp, 3e-6);
    check_close(m, wm, 3e-6);
    check_close(v, wv, 3e-6);
    if (sizeof(T) == 2)
        for (std::size_t i = 0; i < n; ++i) CHECK(to_float(weight[i]) == to_float(to_bf16(p[i])));
}

TEST_CASE_TEMPLATE("a NaN reaches everything that depends on it, and nothing else", T, float, bf16) {
    const auto nan = from_float<T>(NAN);
    const std::int64_t cols = 35, all = 105;
    auto x = random<T>(105, 1);
    x[35 + 9] = nan;
    const std::vector<T> ones(105, from_float<T>(1.0F));
    const auto only_row_one = [&](const std::vector<T>& y) {
        for (std::size_t i = 0; i < 105; ++i) CHECK(std::isnan(to_float(y[i])) == (i / 35 == 1));
    };
    const auto only_itself = [&](const std::vector<T>& y) {
        for (std::size_t i = 0; i < 105; ++i) CHECK(std::isnan(to_float(y[i])) == (i == 44));
    };
    std::vector<T> y(105);
    softmax(x.data(), y.data(), 3, cols, 1.0F, 1);
    only_row_one(y);
    layernorm(x.data(), ones.data(), ones.data(), y.data(), nullptr, nullptr, 3, cols, 1e-5F, 1);
    only_row_one(y);
    rmsnorm(x.data(), ones.data(), y.data(), nullptr, 3, cols, 1e-5F, 1);
    only_row_one(y);
    for (const auto form : {GeluForm::tanh, GeluForm::erf}) {
        gelu(x.data(), y.data(), all, form, 1);
        only_itself(y);
    }
    silu_mul(x.data(), ones.data(), y.data(), all, 1);
    only_itself(y);
}

TEST_CASE("cpu benchmarks: every operator that a rank computes has one, with bytes") {
    CHECK(without_operator().empty());
    for (const Operator& o : operators(DType::bf16)) {
        CAPTURE(o.name);
        CHECK(o.bytes > 0);
        CHECK(o.flops >= o.matmul_flops);
    }
}

}  // namespace wb::cpu
