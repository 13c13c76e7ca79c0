#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "kernels/cpu/attention.hpp"

using namespace wb::cpu;
using Index = std::int64_t;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

enum class Layout { heads_outside, interleaved, gapped };

Strides strides(Layout layout, Index heads, Index seq, Index dim) {
    if (layout == Layout::heads_outside) return {heads * seq * dim, dim, seq * dim};
    if (layout == Layout::interleaved) return {heads * seq * dim, heads * dim, dim};
    const Index row = dim + 3;
    return {seq * (heads * row + 5) + 7, heads * row + 5, row};
}

struct Sizes {
    Index batch, heads, kv_heads, seq_q, seq_kv, dim, v_dim;
    bool causal;
    Index window;
    Layout layout = Layout::heads_outside;
};

AttentionShape shape_of(const Sizes& s) {
    return {s.batch,
            s.heads,
            s.kv_heads,
            s.seq_q,
            s.seq_kv,
            s.dim,
            s.v_dim,
            s.causal,
            s.window,
            1.0F / std::sqrt(static_cast<float>(s.dim)),
            strides(s.layout, s.heads, s.seq_q, s.dim),
            strides(s.layout, s.kv_heads, s.seq_kv, s.dim),
            strides(s.layout, s.kv_heads, s.seq_kv, s.v_dim),
            strides(s.layout, s.heads, s.seq_q, s.v_dim)};
}

Index extent(const Strides& t, Index batch, Index heads, Index seq, Index dim) {
    if (batch * heads * seq == 0) return 1;
    return (batch - 1) * t.batch + (heads - 1) * t.head + (seq - 1) * t.seq + dim;
}

template <class T>
std::vector<T> random(Index count, unsigned seed) {
    std::mt19937 engine(seed);
    std::uniform_real_distribution<float> draw(-2.0F, 2.0F);
    std::vector<T> out(static_cast<std::size_t>(count));
    for (T& x : out) x = from_float<T>(draw(engine));
    return out;
}

template <class T>
struct Problem {
    AttentionShape s;
    std::vector<T> q, k, v, o, d_o, dq, dk, dv;
    std::vector<float> lse;

    explicit Problem(const Sizes& sizes) : s(shape_of(sizes)) {
        const Index nq = extent(s.q, s.batch, s.heads, s.seq_q, s.head_dim);
        const Index nk = extent(s.k, s.batch, s.kv_heads, s.seq_kv, s.head_dim);
        const Index nv = extent(s.v, s.batch, s.kv_heads, s.seq_kv, s.v_head_dim);
        const Index no = extent(s.o, s.batch, s.heads, s.seq_q, s.v_head_dim);
        q = random<T>(nq, 1), k = random<T>(nk, 2), v = random<T>(nv, 3), d_o = random<T>(no, 4);
        o = random<T>(no, 5), dq = random<T>(nq, 6), dk = random<T>(nk, 7), dv = random<T>(nv, 8);
        lse.assign(static_cast<std::size_t>(s.batch * s.heads * s.seq_q), 123.0F);
    }
    void forward(int threads) { attention_forward(s, q.data(), k.data(), v.data(), o.data(), lse.data(), threads); }
    void backward(int threads) {
        attention_backward(s, q.data(), k.data(), v.data(), o.data(), lse.data(), d_o.data(), dq.data(), dk.data(),
                           dv.data(), threads);
    }
};

/// The definition, in double, one score matrix row at a time. Gradients where asked for.
template <class T>
struct Reference {
    std::vector<double> o, lse, dq, dk, dv;

    explicit Reference(const Problem<T>& p)
        : o(p.o.size()), lse(p.lse.size()), dq(p.q.size()), dk(p.k.size()), dv(p.v.size()) {
        const AttentionShape& s = p.s;
        for (Index b = 0; b < s.batch; ++b)
            for (Index h = 0; h < s.heads; ++h)
                for (Index i = 0; i < s.seq_q; ++i) row(p, b, h, i);
    }

private:
    static double at(const std::vector<T>& x, Index i) {
        return static_cast<double>(to_float(x[static_cast<std::size_t>(i)]));
    }
    static double& at(std::vector<double>& x, Index i) { return x[static_cast<std::size_t>(i)]; }

    void row(const Problem<T>& p, Index b, Index h, Index i) {
        const AttentionShape& s = p.s;
        const Index g = h / (s.heads / s.kv_heads), position = i + s.seq_kv - s.seq_q;
        const Index q = b * s.q.batch + h * s.q.head + i * s.q.seq, out = b * s.o.batch + h * s.o.head + i * s.o.seq;
        const auto key = [&](Index j) { return b * s.k.batch + g * s.k.head + j * s.k.seq; };
        const auto value = [&](Index j) { return b * s.v.batch + g * s.v.head + j * s.v.seq; };
        std::vector<double> w(static_cast<std::size_t>(s.seq_kv), -static_cast<double>(infinity));
        double high = -static_cast<double>(infinity), total = 0.0;
        for (Index j = 0; j < s.seq_kv; ++j) {
            if ((s.causal && j > position) || (s.window > 0 && j <= position - s.window)) continue;
            double dot = 0.0;
            for (Index x = 0; x < s.head_dim; ++x) dot += at(p.q, q + x) * at(p.k, key(j) + x);
            high = std::max(high, at(w, j) = dot * static_cast<double>(s.scale));
        }
        if (std::isfinite(high))
            for (double& x : w) total += x = std::exp(x - high);
        at(lse, (b * s.heads + h) * s.seq_q + i) = high + std::log(total);
        if (total == 0.0) return;
        double delta = 0.0;
        for (Index x = 0; x < s.v_head_dim; ++x) {
            for (Index j = 0; j < s.seq_kv; ++j) at(o, out + x) += (at(w, j) / total) * at(p.v, value(j) + x);
            delta += at(o, out + x) * at(p.d_o, out + x);
        }
        for (Index j = 0; j < s.seq_kv; ++j) {
            double dp = 0.0;
            for (Index x = 0; x < s.v_head_dim; ++x) {
                dp += at(p.d_o, out + x) * at(p.v, value(j) + x);
                at(dv, value(j) + x) += at(w, j) / total * at(p.d_o, out + x);
            }
            const double ds = at(w, j) / total * (dp - delta) * static_cast<double>(s.scale);
            for (Index x = 0; x < s.head_dim; ++x) {
                at(dq, q + x) += ds * at(p.k, key(j) + x);
                at(dk, key(j) + x) += ds * at(p.q, q + x);
            }
        }
    }
};

/// Largest |got - want| over the elements of a strided tensor, against the largest |want| (at least 1).
template <class T>
double error(const std::vector<T>& got, const std::vector<double>& want, const Strides& t, Index batch, Index heads,
             Index seq, Index dim) {
    double worst = 0.0, scale = 1.0;
    for (Index b = 0; b < batch; ++b)
        for (Index h = 0; h < heads; ++h)
            for (Index i = 0; i < seq; ++i)
                for (Index x = 0; x < dim; ++x) {
                    const auto at = static_cast<std::size_t>(b * t.batch + h * t.head + i * t.seq + x);
                    const double gap = std::abs(static_cast<double>(to_float(got[at])) - want[at]);
                    worst = std::isnan(gap) ? static_cast<double>(infinity) : std::max(worst, gap);
                    scale = std::max(scale, std::abs(want[at]));
                }
    return worst / scale;
}

std::string name(const Sizes& s) {
    std::string text;
    for (const Index x : {s.batch, s.heads, s.kv_heads, s.seq_q, s.seq_kv, s.dim, s.v_dim, Index{s.causal}, s.window,
                          static_cast<Index>(s.layout)})
        text += std::to_string(x) + " ";
    return text;
}

const std::vector<Sizes> table = {
    {1, 1, 1, 1, 1, 1, 1, false, 0},
    {1, 1, 1, 1, 1, 64, 64, true, 0},
    {2, 2, 1, 1, 1500, 64, 64, true, 0, Layout::interleaved},
    {1, 8, 2, 1, 700, 80, 80, false, 0, Layout::gapped},
    {1, 7, 1, 1, 33, 7, 5, true, 0, Layout::gapped},
    {1, 2, 2, 1, 1300, 128, 128, true, 600, Layout::interleaved},
    {1, 4, 2, 3, 65, 64, 64, true, 0, Layout::interleaved},
    {1, 4, 2, 5, 600, 16, 16, true, 9, Layout::gapped},
    {1, 2, 1, 7, 3, 16, 16, true, 0},
    {1, 1, 1, 8, 17, 192, 128, false, 0},
    {1, 33, 3, 1, 1100, 64, 64, true, 0, Layout::interleaved},
    {2, 8, 8, 1, 530, 32, 96, true, 0, Layout::interleaved},
    {1, 16, 1, 1, 600, 128, 64, false, 0},
    {1, 1, 1, 9, 9, 1, 1, true, 0},
    {2, 2, 2, 13, 29, 7, 7, false, 0, Layout::gapped},
    {1, 1, 1, 96, 64, 64, 64, false, 0},
    {1, 2, 1, 97, 257, 64, 64, true, 0, Layout::interleaved},
    {1, 2, 2, 200, 200, 64, 64, true, 0, Layout::gapped},
    {1, 1, 1, 300, 520, 64, 64, true, 0},
    {1, 1, 1, 300, 210, 64, 64, true, 0},
    {1, 4, 1, 40, 12, 20, 36, true, 0, Layout::gapped},
    {1, 2, 1, 100, 100, 80, 80, true, 0, Layout::interleaved},
    {1, 4, 2, 70, 130, 128, 128, false, 0, Layout::interleaved},
    {1, 2, 2, 101, 301, 192, 128, true, 0, Layout::gapped},
    {1, 1, 1, 50, 66, 256, 256, true, 0},
    {2, 2, 1, 230, 230, 64, 64, true, 1, Layout::interleaved},
    {1, 1, 1, 230, 230, 64, 64, true, 17},
    {1, 2, 1, 410, 410, 32, 32, true, 130, Layout::gapped},
    {1, 1, 1, 20, 700, 32, 48, true, 300},
    {1, 6, 3, 197, 389, 24, 40, false, 0, Layout::gapped},
};

template <class T>
void check_forward(double tolerance) {
    for (const Sizes& sizes : table) {
        CAPTURE(name(sizes));
        Problem<T> p(sizes);
        const Reference<T> want(p);
        const AttentionShape& s = p.s;
        std::vector<T> first;
        for (const int threads : {1, 2, 3}) {
            p.o = random<T>(static_cast<Index>(p.o.size()), 5);
            const std::vector<T> before = p.o;
            p.forward(threads);
            CHECK(error(p.o, want.o, s.o, s.batch, s.heads, s.seq_q, s.v_head_dim) < tolerance);
            for (std::size_t i = 0; i < p.lse.size(); ++i) {
                CAPTURE(i);
                if (std::isinf(want.lse[i]))
                    CHECK(p.lse[i] == -infinity);
                else
                    CHECK(std::abs(static_cast<double>(p.lse[i]) - want.lse[i]) < 2e-6 * (1.0 + std::abs(want.lse[i])));
            }
            if (sizes.layout == Layout::gapped && s.seq_q > 1 && s.heads > 1) {  // the gap between two rows is not ours
                const auto gap = static_cast<std::size_t>(s.v_head_dim);
                CHECK(std::memcmp(&p.o[gap], &before[gap], 3 * sizeof(T)) == 0);
            }
            if (first.empty()) first = p.o;
            CHECK(std::memcmp(first.data(), p.o.data(), first.size() * sizeof(T)) == 0);
        }
    }
}

template <class T>
void check_backward(double tolerance) {
    for (const Sizes& sizes : table) {
        CAPTURE(name(sizes));
        Problem<T> p(sizes);
        const Reference<T> want(p);
        const AttentionShape& s = p.s;
        p.forward(2);
        std::vector<T> first[3];
        for (const int threads : {1, 2, 3}) {
            p.backward(threads);
            CHECK(error(p.dq, want.dq, s.q, s.batch, s.heads, s.seq_q, s.head_dim) < tolerance);
            CHECK(error(p.dk, want.dk, s.k, s.batch, s.kv_heads, s.seq_kv, s.head_dim) < tolerance);
            CHECK(error(p.dv, want.dv, s.v, s.batch, s.kv_heads, s.seq_kv, s.v_head_dim) < tolerance);
            if (threads == 1) first[0] = p.dq, first[1] = p.dk, first[2] = p.dv;
            CHECK(std::memcmp(first[0].data(), p.dq.data(), p.dq.size() * sizeof(T)) == 0);
            CHECK(std::memcmp(first[1].data(), p.dk.data(), p.dk.size() * sizeof(T)) == 0);
            CHECK(std::memcmp(first[2].data(), p.dv.data(), p.dv.size() * sizeof(T)) == 0);
        }
    }
}

}  // namespace

TEST_CASE("attention backward agrees with the definition in double") {
    SUBCASE("float") { check_backward<float>(4e-6); }
    SUBCASE("bf16") { check_backward<bf16>(1.6e-2); }  // o is rounded to bf16 before delta = o . d_o
}

TEST_CASE("attention backward agrees with finite differences of attention forward") {
    Problem<float> p({1, 2, 1, 10, 13, 5, 6, true, 4});
    p.forward(1);
    p.backward(1);
    const auto loss = [&] {
        p.forward(1);
        double out = 0.0;
        for (std::size_t i = 0; i < p.o.size(); ++i) out += static_cast<double>(p.o[i]) * static_cast<double>(p.d_o[i]);
        return out;
    };
    const auto check = [&](std::vector<float>& x, const std::vector<float>& gradient) {
        constexpr float step = 0.0078125F;
        for (std::size_t i = 0; i < x.size(); ++i) {
            CAPTURE(i);
            const float kept = x[i];
            x[i] = kept + step;
            const double above = loss();
            x[i] = kept - step;
            const double below = loss();
            x[i] = kept;
            const double slope = (above - below) / (2.0 * static_cast<double>(step));
            CHECK(std::abs(slope - static_cast<double>(gradient[i])) < 2e-3);
        }
    };
    check(p.q, p.dq);
    check(p.k, p.dk);
    check(p.v, p.dv);
}

TEST_CASE("attention backward: NaN in d_o reaches the gradients") {
    Problem<float> p({1, 1, 1, 40, 300, 64, 64, true, 0});
    p.forward(1);
    p.d_o[5] = std::numeric_limits<float>::quiet_NaN();
    p.backward(2);
    CHECK(std::isnan(p.dq[0]));
    CHECK(std::isnan(p.dk[0]));
    CHECK(std::isnan(p.dv[5]));
    CHECK(std::isfinite(p.dv[6]));
    CHECK(std::isfinite(p.dq[64]));
}

TEST_CASE("attention forward agrees with the definition in double") {
    SUBCASE("float") { check_forward<float>(2e-6); }
    SUBCASE("bf16") { check_forward<bf16>(4.5e-3); }  // half a unit in the last place of the result: 2^-8
}

TEST_CASE("attention forward: NaN comes out as NaN, and only where it was seen") {
    for (const Index seq : {Index{1}, Index{40}, Index{300}}) {
        CAPTURE(seq);
        Problem<float> p({1, 1, 1, seq, 600, 64, 64, true, 0});
        SUBCASE("in q") {
            p.q[3] = std::numeric_limits<float>::quiet_NaN();
            p.forward(1);
            for (Index x = 0; x < 64; ++x) CHECK(std::isnan(p.o[static_cast<std::size_t>(x)]));
            CHECK(std::isnan(p.lse[0]));
            if (seq > 1) CHECK(std::isfinite(p.o[64]));
        }
        SUBCASE("in k") {
            p.k[599 * 64] = std::numeric_limits<float>::quiet_NaN();  // only the last query sees the last key
            p.forward(1);
            CHECK(std::isnan(p.o.back()));
            CHECK(std::isnan(p.lse.back()));
            if (seq > 1) CHECK(std::isfinite(p.o[0]));
        }
        SUBCASE("in v") {
            p.v[9] = std::numeric_limits<float>::quiet_NaN();
            p.forward(1);
            CHECK(std::isnan(p.o[9]));
            CHECK(std::isfinite(p.o[8]));
            CHECK(std::isfinite(p.lse[0]));
        }
    }
}

TEST_CASE("attention forward survives scores whose exponentials overflow") {
    Problem<float> p({1, 1, 1, 40, 300, 64, 64, false, 0});
    p.s.scale = 40.0F;
    const Reference<float> want(p);
    p.forward(2);
    CHECK(error(p.o, want.o, p.s.o, 1, 1, 40, 64) < 2e-3);  // scores near 4000 carry 2e-4 of rounding
}

TEST_CASE("attention without keys gives zeros") {
    for (const Index seq : {Index{1}, Index{20}}) {
        Problem<float> p({1, 2, 1, seq, 0, 16, 16, false, 0});
        p.forward(2);
        for (const float x : p.o) CHECK(x == 0.0F);
        for (const float x : p.lse) CHECK(x == -infinity);
    }
}

TEST_CASE("attention refuses shapes that contradict themselves") {
    Problem<float> p({1, 4, 2, 3, 3, 8, 8, false, 0});
    p.s.kv_heads = 3;
    CHECK_THROWS_AS(p.forward(1), wb::ContractError);
    p.s.kv_heads = 2;
    p.s.window = 2;
    CHECK_THROWS_AS(p.forward(1), wb::ContractError);
    p.s.window = 0;
    CHECK_THROWS_AS(p.forward(0), wb::ContractError);
}

TEST_CASE("attention: a head's bits do not depend on how many others there are, nor on the waves they come in") {
    constexpr Index batch = 36, keys = 4096;  // 2 MiB of packed keys and values each: more than one wave
    Problem<float> all({batch, 1, 1, 9, keys, 64, 64, true, 0});
    all.forward(2);
    all.backward(2);
    Problem<float> one({1, 1, 1, 9, keys, 64, 64, true, 0});
    const auto slice = [](const std::vector<float>& from, std::vector<float>& to, Index b) {
        std::copy_n(from.begin() + b * static_cast<Index>(to.size()), to.size(), to.begin());
    };
    const auto same = [](const std::vector<float>& of_all, const std::vector<float>& of_one, Index b) {
        return std::equal(of_one.begin(), of_one.end(), of_all.begin() + b * static_cast<Index>(of_one.size()));
    };
    for (const Index b : {Index{0}, Index{20}, Index{33}, batch - 1}) {
        CAPTURE(b);
        slice(all.q, one.q, b), slice(all.k, one.k, b), slice(all.v, one.v, b), slice(all.d_o, one.d_o, b);
        one.forward(1);
        one.backward(1);
        CHECK(same(all.o, one.o, b));
        CHECK(same(all.dq, one.dq, b));
        CHECK(same(all.dk, one.dk, b));
        CHECK(same(all.dv, one.dv, b));
    }
}
