#include <algorithm>
#include <cmath>

#include "kernels/cpu/runner.hpp"

namespace wb::cpu {
namespace {

/// Cosine and sine of every position and pair, computed once for a first position: [seq, half] each.
struct Turns {
    std::vector<float> cosine, sine;
    std::int64_t first = -1;

    void from(std::int64_t position, const Attributes& a) {
        if (first == position) return;
        first = position;
        cosine.clear();
        sine.clear();
        for (std::int64_t s = 0; s < a.seq; ++s)
            for (std::int64_t i = 0; i < a.rotary_dim / 2; ++i) {
                const double turn =
                    static_cast<double>(first + s) *
                    std::pow(a.theta, -2.0 * static_cast<double>(i) / static_cast<double>(a.rotary_dim));
                cosine.push_back(static_cast<float>(std::cos(turn)));
                sine.push_back(static_cast<float>(a.inverse ? -std::sin(turn) : std::sin(turn)));
            }
    }
};

template <class T>
void turn_halves(const T* from, T* to, const float* c, const float* s, std::int64_t half) {
#pragma omp simd
    for (std::int64_t i = 0; i < half; ++i) {
        const float x = to_float(from[i]), y = to_float(from[i + half]);
        to[i] = from_float<T>(x * c[i] - y * s[i]);
        to[i + half] = from_float<T>(y * c[i] + x * s[i]);
    }
}

template <class T>
void turn_neighbours(const T* from, T* to, const float* c, const float* s, std::int64_t half) {
#pragma omp simd
    for (std::int64_t i = 0; i < half; ++i) {
        const float x = to_float(from[2 * i]), y = to_float(from[2 * i + 1]);
        to[2 * i] = from_float<T>(x * c[i] - y * s[i]);
        to[2 * i + 1] = from_float<T>(y * c[i] + x * s[i]);
    }
}

template <class T>
Runner rotary(const Site& site) {
    const std::int64_t rows = Site::rows(site.in(0)), heads = site.a().heads, width = Site::columns(site.in(0)) / heads;
    const std::int64_t seq = site.a().seq, half = site.a().rotary_dim / 2, offset = site.a().rotary_offset;
    const bool interleaved = site.a().interleaved;
    const int threads = site.threads();
    const auto turns = std::make_shared<Turns>();
    turns->from(site.a().offset, site.a());
    return {[=, a = site.a(), missing = &site.setup.missing](Operands p) {
                turns->from(a.offset - *missing, a);
                const T* x = input<T>(p, 0);
                T* y = output<T>(p, 1);
#pragma omp parallel for num_threads(threads) schedule(static)
                for (std::int64_t r = 0; r < rows; ++r) {
                    const float *c = turns->cosine.data() + r % seq * half, *s = turns->sine.data() + r % seq * half;
                    for (std::int64_t h = 0; h < heads; ++h) {
                        const std::int64_t at = (r * heads + h) * width, after = offset + 2 * half;
                        std::copy_n(x + at, offset, y + at);
                        if (interleaved)
                            turn_neighbours(x + at + offset, y + at + offset, c, s, half);
                        else
                            turn_halves(x + at + offset, y + at + offset, c, s, half);
                        std::copy_n(x + at + after, width - after, y + at + after);
                    }
                }
            },
            {}};
}

template <class T>
Runner concat(const Site& site) {
    const std::int64_t rows = Site::rows(site.in(0)), heads = site.a().heads, d = site.a().head_dim,
                       extra = site.a().rotary_dim;
    const int threads = site.threads();
    return {[=](Operands p) {
                const T *own = input<T>(p, 0), *common = input<T>(p, 1);
                T* y = output<T>(p, 2);
#pragma omp parallel for num_threads(threads) schedule(static)
                for (std::int64_t r = 0; r < rows; ++r)
                    for (std::int64_t h = 0; h < heads; ++h) {
                        T* to = y + (r * heads + h) * (d + extra);
                        std::copy_n(own + (r * heads + h) * d, d, to);
                        std::copy_n(common + r * extra, extra, to + d);
                    }
            },
            {}};
}

template <class T>
Runner concat_backward(const Site& site) {
    const std::int64_t rows = Site::rows(site.in(0)), heads = site.a().heads, d = site.a().head_dim,
                       extra = site.a().rotary_dim;
    const int threads = site.threads();
    return {[=](Operands p) {
                const T* dy = input<T>(p, 0);
                T *own = output<T>(p, 1), *common = output<T>(p, 2);
#pragma omp parallel for num_threads(threads) schedule(static)
                for (std::int64_t r = 0; r < rows; ++r) {
                    const T* from = dy + r * heads * (d + extra);
                    for (std::int64_t h = 0; h < heads; ++h)
                        std::copy_n(from + h * (d + extra), d, own + (r * heads + h) * d);
                    for (std::int64_t j = 0; j < extra; ++j) {
                        float sum = 0;
                        for (std::int64_t h = 0; h < heads; ++h) sum += to_float(from[h * (d + extra) + d + j]);
                        common[r * extra + j] = from_float<T>(sum);
                    }
                }
            },
            {}};
}

}  // namespace

Runner make_heads(const Site& site) {
    return with_type(site.out(0).dtype, [&]<class T>(T) {
        if (site.op.kind == OpKind::rope) return rotary<T>(site);
        return site.op.kind == OpKind::concat_heads ? concat<T>(site) : concat_backward<T>(site);
    });
}

}  // namespace wb::cpu
