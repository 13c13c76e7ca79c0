#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/reference/operators.hpp"

namespace wb::reference {
namespace {

/// Keys [first, last) that query i of a sequence sees.
struct Keys {
    std::int64_t first, last;
};

Keys visible(const Attributes& a, std::int64_t i) {
    const std::int64_t position = i + a.seq_kv - a.seq;  // bottom-right aligned
    const std::int64_t last = a.causal || a.window > 0 ? std::clamp<std::int64_t>(position + 1, 0, a.seq_kv) : a.seq_kv;
    const std::int64_t first = a.window > 0 ? std::clamp<std::int64_t>(position - a.window + 1, 0, last) : 0;
    return {first, last};
}

/// Where the vectors of one (sequence, head) lie in the token matrices.
struct Head {
    const Attributes& a;
    std::int64_t batch, head;

    double* query(const View& x, std::int64_t i, std::int64_t width) const {
        return x.row(batch * a.seq + i) + head * width;
    }
    /// Of values shared with the keys (one head, rows of head_dim) the first features.
    double* key(const View& x, std::int64_t j, std::int64_t width) const {
        return x.row(batch * a.seq_kv + j) + head / (a.heads / a.kv_heads) * width;
    }
    double& statistic(const View& x, std::int64_t i) const { return x.row(batch * a.heads + head)[i]; }
};

double dot(const double* x, const double* y, std::int64_t n) {
    double sum = 0;
    for (std::int64_t i = 0; i < n; ++i) sum += x[i] * y[i];
    return sum;
}

void add_scaled(double factor, const double* x, double* y, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) y[i] += factor * x[i];
}

template <class Body>
void for_each_query(const Attributes& a, const Body& body) {
    for (std::int64_t b = 0; b < a.batch; ++b)
        for (std::int64_t h = 0; h < a.heads; ++h)
            for (std::int64_t i = 0; i < a.seq; ++i) body(Head{a, b, h}, i, visible(a, i));
}

}  // namespace

void attention(const Call& call) {
    const Attributes& a = call.a;
    const View &q = call.in[0], &k = call.in[1], &v = call.in[2], &y = call.out[0], &lse = call.out[1];
    std::vector<double> score(a.seq_kv);
    for_each_query(a, [&](const Head& head, std::int64_t i, Keys keys) {
        double largest = -std::numeric_limits<double>::infinity(), sum = 0;
        for (std::int64_t j = keys.first; j < keys.last; ++j) {
            score[j] = a.scale * dot(head.query(q, i, a.head_dim), head.key(k, j, a.head_dim), a.head_dim);
            largest = std::max(largest, score[j]);
        }
        for (std::int64_t j = keys.first; j < keys.last; ++j) sum += std::exp(score[j] - largest);
        for (std::int64_t j = keys.first; j < keys.last; ++j)
            add_scaled(std::exp(score[j] - largest) / sum, head.key(v, j, a.v_head_dim), head.query(y, i, a.v_head_dim),
                       a.v_head_dim);
        head.statistic(lse, i) = largest + (sum > 0 ? std::log(sum) : 0);  // no visible key: 0 and -infinity
    });
}

void attention_backward(const Call& call) {
    const Attributes& a = call.a;
    const View &dy = call.in[0], &q = call.in[1], &k = call.in[2], &v = call.in[3], &y = call.in[4], &lse = call.in[5];
    const View &dq = call.out[0], &dk = call.out[1], &dv = call.out[2];
    for_each_query(a, [&](const Head& head, std::int64_t i, Keys keys) {
        const double* from = head.query(dy, i, a.v_head_dim);
        const double mean = dot(from, head.query(y, i, a.v_head_dim), a.v_head_dim);  // sum over keys of p dp
        for (std::int64_t j = keys.first; j < keys.last; ++j) {
            const double score = a.scale * dot(head.query(q, i, a.head_dim), head.key(k, j, a.head_dim), a.head_dim);
            const double p = std::exp(score - head.statistic(lse, i));
            const double ds = a.scale * p * (dot(from, head.key(v, j, a.v_head_dim), a.v_head_dim) - mean);
            add_scaled(p, from, head.key(dv, j, a.v_head_dim), a.v_head_dim);
            add_scaled(ds, head.key(k, j, a.head_dim), head.query(dq, i, a.head_dim), a.head_dim);
            add_scaled(ds, head.query(q, i, a.head_dim), head.key(dk, j, a.head_dim), a.head_dim);
        }
    });
}

}  // namespace wb::reference
