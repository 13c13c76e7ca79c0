#include <algorithm>
#include <cmath>

#include "kernels/reference/operators.hpp"

namespace wb::reference {

void rope(const Call& call) {
    const Attributes& a = call.a;
    const View &x = call.in[0], &y = call.out[0];
    const std::int64_t half = a.rotary_dim / 2, per_head = x.columns() / a.heads;
    std::copy_n(x.data, x.size(), y.data);
    for (std::int64_t r = 0; r < x.rows(); ++r) {
        const double position = static_cast<double>(a.offset + r % a.seq);
        for (std::int64_t h = 0; h < a.heads; ++h) {
            const std::int64_t at = h * per_head + a.rotary_offset;
            const double* from = x.row(r) + at;
            double* to = y.row(r) + at;
            for (std::int64_t i = 0; i < half; ++i) {
                const double turn =
                    position * std::pow(a.theta, -2.0 * static_cast<double>(i) / static_cast<double>(a.rotary_dim));
                const double c = std::cos(turn), s = a.inverse ? -std::sin(turn) : std::sin(turn);
                const std::int64_t first = a.interleaved ? 2 * i : i, second = a.interleaved ? 2 * i + 1 : i + half;
                to[first] = from[first] * c - from[second] * s;
                to[second] = from[second] * c + from[first] * s;
            }
        }
    }
}

void concat_heads(const Call& call) {
    const View &own = call.in[0], &common = call.in[1], &y = call.out[0];
    const std::int64_t d = call.a.head_dim, extra = call.a.rotary_dim;
    for (std::int64_t r = 0; r < y.rows(); ++r)
        for (std::int64_t h = 0; h < call.a.heads; ++h) {
            double* to = y.row(r) + h * (d + extra);
            std::copy_n(own.row(r) + h * d, d, to);
            std::copy_n(common.row(r), extra, to + d);
        }
}

void concat_heads_backward(const Call& call) {
    const View &dy = call.in[0], &own = call.out[0], &common = call.out[1];
    const std::int64_t d = call.a.head_dim, extra = call.a.rotary_dim;
    for (std::int64_t r = 0; r < dy.rows(); ++r)
        for (std::int64_t h = 0; h < call.a.heads; ++h) {
            const double* from = dy.row(r) + h * (d + extra);
            std::copy_n(from, d, own.row(r) + h * d);
            for (std::int64_t j = 0; j < extra; ++j) common.row(r)[j] += from[d + j];
        }
}

}  // namespace wb::reference
